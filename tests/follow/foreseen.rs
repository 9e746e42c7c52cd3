//! What would fail once nobody can write is refused before anybody is kept out; what fails then all the same is not waited for; and whoever
//! watches goes on watching.
#![cfg(feature = "faults")]

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::lab::Held;
use crate::scene::{DATABASE, Pooled, SCHEMA, Scene, schema, start};
use crate::support::binary::{Finished, Pgconvoy};
use crate::support::moving::assert_proven;
use crate::support::server::Server;

const GRACE: [&str; 2] = ["--grace", "1s"];

#[test]
fn what_would_fail_later_is_refused_before_anybody_is_kept_out() {
    let (Some(source), Some(target)) = (start(18), start(18)) else {
        return;
    };
    let scene = Scene::filled(&source, &target, SCHEMA);
    assert_proven(&scene.follow(&["--max-wal-retained", "1GB"]).run());
    moved_again(&scene);
    watched_again(&scene);
    another_schema(&scene);
    slot_that_does_not_begin(&scene);
    drained_in_vain(&scene);
    scene.run("cutover", &GRACE);
    assert_eq!(scene.open(), (false, true));
    parted_beside_a_turn(&scene);
}

/// A turn that has lost its claim, and does not know yet, keeps nobody from writing once all of it is removed.
fn parted_beside_a_turn(scene: &Scene<'_>) {
    let mut held = Held::at("follow-step[Reverse]", scene.command("fallback", &GRACE));
    scene.target.psql(
        DATABASE,
        "select pg_terminate_backend(pid, 10000) from pg_stat_activity where application_name = 'pgconvoy:claim'",
    );
    let parted = scene.run("unfollow", &[]);
    let ended = "ended a session that an earlier run left on the source: pid ";
    assert!(said(&parted).contains(ended), "{parted}");
    for server in [scene.source, scene.target] {
        server.psql(
            DATABASE,
            "set statement_timeout = '5s'; update public.counters set n = n",
        );
    }
    held.run.kill();
    held.run.finish();
}

/// What was said, with no regard to where lines end.
fn said(run: &Finished) -> String {
    run.stderr.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn await_answer(server: &Server, query: &str, is_it: impl Fn(&str) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = server.psql("postgres", query);
        if is_it(&answer) {
            return;
        }
        assert!(Instant::now() < deadline, "{query}: {answer}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// It follows already: nothing of it is dropped, and the way out is named.
fn moved_again(scene: &Scene<'_>) {
    let (from, to) = (scene.from(), scene.to());
    let fixed = [
        "move",
        "--source",
        &from,
        "--target",
        &to,
        "--overwrite",
        DATABASE,
    ];
    let follow = [
        "--follow",
        "--allow-source-objects",
        "--replica-identity-full",
        "public.bare",
    ];
    let run = Pgconvoy::new(fixed.iter().chain(&follow)).run();
    assert_eq!(run.status, 4, "{run}");
    for says in ["follows the source already", "pgconvoy unfollow"] {
        assert!(said(&run).contains(says), "{says}: {run}");
    }
    let run = Pgconvoy::new(fixed).run();
    assert_ne!(run.status, 0, "{run}");
    assert!(said(&run).contains("pgconvoy unfollow"), "{run}");
    scene.run("follow", &["--once"]);
}

/// Its sessions end, as with a server that is restarted.
fn watched_again(scene: &Scene<'_>) {
    const OURS: &str =
        "select count(*) from pg_stat_activity where application_name like 'pgconvoy:%'";
    let servers = [scene.source, scene.target];
    let watch = scene.command("follow", &["--every", "1s"]).start();
    for server in servers {
        await_answer(server, OURS, |count| count != "0");
    }
    // It has asked for the first time by then.
    std::thread::sleep(Duration::from_secs(1));
    for server in servers {
        server.psql(
            DATABASE,
            "select count(pg_terminate_backend(pid, 10000)) from pg_stat_activity where application_name like 'pgconvoy:%'",
        );
    }
    for server in servers {
        await_answer(server, OURS, |count| count != "0");
    }
    std::thread::sleep(Duration::from_secs(2));
    let pid = nix::unistd::Pid::from_raw(i32::try_from(watch.pid()).expect("a process"));
    nix::sys::signal::kill(pid, nix::sys::signal::SIGINT).expect("it is there");
    let run = watch.finish();
    assert_eq!(run.status, 5, "{run}");
    assert!(
        run.stderr.contains("nobody watches --max-wal-retained"),
        "{run}"
    );
    let (_, after) = run
        .stderr
        .rsplit_once("both servers are reached again, and watched")
        .unwrap_or_else(|| panic!("{run}"));
    assert!(after.contains("of the log kept"), "{run}");
}

/// An index that one side alone has.
fn another_schema(scene: &Scene<'_>) {
    let source = scene.source;
    source.psql(DATABASE, "create index late on public.events (said)");
    let pooled = Pooled::start(source, "pooled");
    for more in [&["--dry-run"][..], &GRACE] {
        let run = scene.command("cutover", more).run();
        assert_eq!(run.status, 4, "{run}");
        for says in ["do not have the same schema", "late", "on both sides"] {
            assert!(said(&run).contains(says), "{says}: {run}");
        }
    }
    assert!(Pooled::is_there(source, "pooled"), "nobody was ended");
    drop(pooled);
    source.psql(DATABASE, "drop index public.late");

    // Made too late to be foreseen, it ends a turn that has kept writers out.
    let held = Held::at("follow-step[Fence]", scene.command("cutover", &GRACE));
    source.psql(DATABASE, "create index late on public.events (said)");
    held.let_go();
    let run = held.run.finish();
    assert_eq!(run.status, 1, "{run}");
    for says in ["do not have the same schema", "It has gone back: "] {
        assert!(said(&run).contains(says), "{says}: {run}");
    }
    assert!(!run.stderr.contains("nothing was touched"), "{run}");
    assert_eq!(scene.open(), (true, false), "{run}");
    source.psql(DATABASE, "drop index public.late");
}

/// A transaction of another database of that server, which does not end by itself.
fn endless(server: &Server) -> Child {
    let begun = server
        .tool("psql")
        .args(["-X", "-q", "-c"])
        .arg("begin; create table public.endless (); select pg_sleep(60)")
        .args(["-d", &server.conninfo("postgres")])
        .stderr(Stdio::null())
        .spawn()
        .expect("psql starts");
    let there = "select count(*) from pg_stat_activity where query like '%endless%' and backend_xid is not null and pid <> pg_backend_pid()";
    await_answer(server, there, |count| count == "1");
    begun
}

/// One that begins too late to be foreseen is waited for, and not for long; one that is known is not waited for at all.
fn slot_that_does_not_begin(scene: &Scene<'_>) {
    let turn = scene.command("cutover", &["--patience", "4s", "--grace", "1s"]);
    let held = Held::at("follow-step[Fence]", turn);
    let mut endless = endless(scene.target);
    held.let_go();
    let run = held.run.finish();
    assert_eq!(run.status, 1, "{run}");
    let who = "(psql), role postgres, database postgres, transaction open for";
    for says in ["the slot of the way back has not begun", who, "gone back"] {
        assert!(said(&run).contains(says), "{says}: {run}");
    }
    assert_eq!(scene.open(), (true, false), "{run}");

    let open = "select count(*) from pg_stat_activity where query like '%endless%' and clock_timestamp() - xact_start > interval '6 s'";
    await_answer(scene.target, open, |count| count == "1");
    let pooled = Pooled::start(scene.source, "pooled");
    for more in [&["--dry-run"][..], &GRACE] {
        let run = scene.command("cutover", more).run();
        assert_eq!(run.status, 1, "{run}");
        for says in ["been open for more than 5 s", who, "--no-fallback"] {
            assert!(said(&run).contains(says), "{says}: {run}");
        }
        assert!(!run.stderr.contains("gone back"), "{run}");
    }
    assert!(Pooled::is_there(scene.source, "pooled"), "nobody was ended");
    drop(pooled);
    scene.run("cutover", &["--dry-run", "--no-fallback"]);
    endless.kill().expect("it is there");
    endless.wait().expect("it ends");
    scene.target.psql(
        "postgres",
        "select pg_terminate_backend(pid, 10000) from pg_stat_activity where query like '%endless%' and pid <> pg_backend_pid()",
    );
}

/// Nobody applies any more: how it stands is said, and the ten minutes of --patience are not waited for.
fn drained_in_vain(scene: &Scene<'_>) {
    let held = Held::at("follow-step[Drain]", scene.command("cutover", &GRACE));
    let name = scene
        .target
        .psql(DATABASE, "select subname from pg_subscription");
    scene.target.psql(
        DATABASE,
        &format!("set default_transaction_read_only = off; alter subscription {name} disable"),
    );
    let active = "select active from pg_replication_slots";
    await_answer(scene.source, active, |active| active == "f");
    // Of this nobody says that it is applied.
    scene.source.psql(DATABASE, "select pg_switch_wal()");
    let began = Instant::now();
    held.let_go();
    let run = held.run.finish();
    assert_eq!(run.status, 1, "{run}");
    for says in [
        "waiting until target has applied everything: ",
        "has not applied everything within",
        "the subscription is disabled",
        "source is open to writers",
        "It has gone back: ",
    ] {
        assert!(said(&run).contains(says), "{says}: {run}");
    }
    assert!(began.elapsed() < Duration::from_secs(120), "{run}");
    assert_eq!(scene.open(), (true, false), "{run}");
}

/// The statistics of it take two seconds, for ten rows.
const SLOW: &str = "
    create function public.slow(id int4) returns int4 language plpgsql immutable as
        $$begin if current_query() ~ 'analyze' then perform pg_sleep(0.2); end if; return id; end$$;
    create index slow on public.scratch (public.slow(id));
";

/// What somebody does for a while.
#[track_caller]
fn busy(server: &Server, name: &str, sql: &str) -> Child {
    let busy = server
        .tool("psql")
        .args(["-X", "-q", "-c", sql, "-d"])
        .arg(format!(
            "{} application_name={name}",
            server.conninfo(DATABASE)
        ))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("psql starts");
    let there = format!(
        "select count(*) from pg_stat_activity where application_name = '{name}' and state = 'active'"
    );
    await_answer(server, &there, |count| count == "1");
    busy
}

#[track_caller]
fn end(server: &Server, mut busy: Child) {
    assert!(
        busy.try_wait().expect("it was started").is_none(),
        "nobody has ended it"
    );
    server.psql(
        DATABASE,
        "select pg_terminate_backend(pid, 10000) from pg_stat_activity where application_name = 'busy'",
    );
    busy.wait_with_output().expect("it ends");
}

#[test]
fn whoever_reads_stays_and_whoever_comes_when_a_side_is_open_does_not_wait_for_statistics() {
    let (Some(source), Some(target)) = (start(18), start(18)) else {
        return;
    };
    let scene = Scene::filled(&source, &target, &format!("{SCHEMA} {SLOW}"));
    assert_proven(&scene.follow(&[]).run());

    source.psql(
        DATABASE,
        "update public.scratch set what = 'new';
         insert into public.events (writer, n, said) values (9, 1, 'seen');
         refresh materialized view public.sums",
    );
    let reader = busy(
        &target,
        "busy",
        "begin; select count(*) from public.counters; select pg_sleep(60)",
    );
    // What it reads is to be refreshed.
    let mut in_the_way = busy(
        &target,
        "view",
        "begin; select count(*) from public.sums; select pg_sleep(60)",
    );
    let turning = scene.command("cutover", &GRACE).start();
    let analyzing = "select count(*) from pg_stat_activity where application_name like 'pgconvoy:%' and state = 'active' and query ~ 'analyze'";
    await_answer(&target, analyzing, |count| count == "1");
    // Not one of those that could only read.
    let application = Pooled::start(&target, "application");
    let run = turning.finish();
    assert_eq!(run.status, 0, "{run}");
    assert!(Pooled::is_there(&target, "application"), "{run}");
    let stays = "sessions that only read are still at work on the target: pid ";
    assert!(said(&run).contains(stays), "{run}");
    let told = said(&run);
    let at = |what: &str| told.find(what).unwrap_or_else(|| panic!("{what}: {run}"));
    assert!(
        at("nobody could write for") < at("gathering the planner's statistics"),
        "{run}"
    );
    end(&target, reader);
    let ended = in_the_way.wait().expect("it ends");
    assert!(!ended.success(), "it was waited for: {run}");
    drop(application);

    // Nor is somebody waited for who has locked what they are about.
    target.psql(DATABASE, "update public.scratch set what = 'newer'");
    let held = Held::at("follow-step[Reverse]", scene.command("fallback", &GRACE));
    let locker = busy(
        &source,
        "busy",
        "begin read write; lock table public.scratch in share update exclusive mode; select pg_sleep(60)",
    );
    held.let_go();
    let began = Instant::now();
    let run = held.run.finish();
    assert_eq!(run.status, 0, "{run}");
    let not = "the statistics of public.scratch could not be gathered";
    assert!(said(&run).contains(not), "{run}");
    assert!(began.elapsed() < Duration::from_secs(30), "{run}");
    end(&source, locker);
}

/// The workers of 10 call themselves nothing.
#[test]
fn a_side_that_takes_over_applies_all_the_while() {
    let (Some(source), Some(target)) = (start(10), start(18)) else {
        return;
    };
    let scene = Scene::filled(&source, &target, &schema(10));
    assert_proven(&scene.follow(&[]).run());
    scene.run("cutover", &GRACE);
    let workers = "select coalesce(string_agg(pid::text, ' '), '') from pg_stat_subscription where pid is not null";
    await_answer(&source, workers, |pids| !pids.is_empty());
    let before = source.psql(DATABASE, workers);
    let held = Held::at("follow-step[Drain]", scene.command("fallback", &GRACE));
    assert_eq!(source.psql(DATABASE, workers), before, "it was ended");
    held.let_go();
    let run = held.run.finish();
    assert_eq!(run.status, 0, "{run}");
    assert_eq!(scene.open(), (true, false), "{run}");
}
