//! Others who write to a side that is closed, and what is still on its way when a turn is given up: nothing of it goes unsaid.
#![cfg(feature = "faults")]

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::lab::Held;
use crate::scene::{DATABASE, Pooled, SCHEMA, Scene, named, schema, start};
use crate::support::binary::Finished;
use crate::support::moving::{RUN_DIR, assert_proven, report};
use crate::support::server::Server;

const OF_COUNTERS: &str =
    "select string_agg(writer || ':' || n, ' ' order by writer) from public.counters";

/// Waits until a query says that.
#[track_caller]
fn await_answer(server: &Server, (query, wanted): (&str, &str)) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while server.psql(DATABASE, query) != wanted {
        assert!(
            Instant::now() < deadline,
            "{query} does not come to {wanted}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What was said, with no regard to where lines end.
fn said(run: &Finished) -> String {
    run.stderr.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A role that would write although a side is closed is named before, of whichever side.
fn roles_that_would_write(scene: &Scene<'_>, command: &str, rule: &str) {
    scene.target.psql(
        "postgres",
        "alter role loud set default_transaction_read_only = off",
    );
    let run = match command {
        "move" => scene.follow(&[]).run(),
        _ => scene.command(command, &["--dry-run"]).run(),
    };
    assert_eq!(run.status, 4, "{run}");
    assert_eq!(named(&run.stderr), [rule], "{run}");
    assert!(said(&run).contains("On the target: ALTER ROLE"), "{run}");
    scene.target.psql(
        "postgres",
        "alter role loud reset default_transaction_read_only",
    );
}

#[test]
fn what_is_written_to_a_side_that_is_closed_is_named_and_is_not_proven() {
    let (Some(source), Some(target)) = (start(18), start(18)) else {
        return;
    };
    let scene = Scene::filled(&source, &target, SCHEMA);
    target.psql("postgres", "create role loud");
    roles_that_would_write(&scene, "move", "follow-unfenced-roles");
    // It could write for as long as it lasts.
    let _pooled = Pooled::start(&target, "pooled");
    assert_proven(&scene.follow(&[]).run());
    assert!(!Pooled::is_there(&target, "pooled"));
    roles_that_would_write(&scene, "cutover", "turn-unfenced-roles");

    let before = source.psql(DATABASE, OF_COUNTERS);
    target.psql(
        DATABASE,
        "set default_transaction_read_only = off;
         insert into public.counters values (99, 1); update public.counters set n = 7 where writer = 1",
    );
    let _late = Pooled::start(&target, "late");
    let held = Held::at(
        "follow-step[Fence]",
        scene.command("cutover", &["--grace", "1s"]),
    );
    assert!(!Pooled::is_there(&target, "late"));
    held.let_go();
    let turned = held.run.finish();
    assert_eq!(turned.status, 6, "{turned}");
    for says in [
        "public.counters differs although replication carries it",
        "1 row is deleted, 1 gets other values and 0 are added",
        "(writer) = (99) (deleted)",
        "(writer) = (1) (with other values)",
        "Except for what was overruled",
    ] {
        assert!(said(&turned).contains(says), "{says}: {turned}");
    }
    assert_eq!(scene.open(), (false, true), "{turned}");
    assert_eq!(target.psql(DATABASE, OF_COUNTERS), before, "{turned}");
    let again = scene.command("cutover", &[]).run();
    assert_eq!(again.status, 6, "{again}");
    let status = scene.run("status", &[]);
    for told in [said(&again), status.stdout.clone()] {
        let says = "tables differed that replication carries, and what the side that took over held of them was changed: public.counters";
        assert!(told.contains(says), "{told}");
    }
    written_before_the_opening(&scene);
}

#[test]
fn what_was_overruled_is_told_however_often_a_turn_begins_anew() {
    let (Some(source), Some(target)) = (start(18), start(18)) else {
        return;
    };
    let scene = Scene::filled(&source, &target, SCHEMA);
    assert_proven(&scene.follow(&[]).run());
    let foreign = |server: &Server, writer: u32| {
        let sql = format!(
            "set default_transaction_read_only = off; insert into public.counters values ({writer}, 1)"
        );
        server.psql(DATABASE, &sql);
    };
    let rows = |server: &Server| {
        let sql = "select count(*) from public.counters where writer > 8";
        server.psql(DATABASE, sql)
    };

    foreign(&target, 98);
    let killed = scene.command("cutover", &["--grace", "1s"]);
    let killed = killed.env("PGCONVOY_FAULT", "kill@sync-committed").run();
    assert_eq!(killed.status, -1, "{killed}");
    assert_eq!(rows(&target), "0", "{killed}");
    scene.run("cutover", &["--undo"]);
    let status = scene.run("status", &[]);
    let says = "of a turn that went back: tables differed that replication carries";
    assert!(status.stdout.contains(says), "{status}");
    told_to_everybody(&scene, "cutover");

    foreign(&source, 97);
    let held = Held::at(
        "follow-step[Reverse]",
        scene.command("fallback", &["--grace", "1s"]),
    );
    source.psql(
        DATABASE,
        "select pg_terminate_backend(pid, 10000) from pg_stat_activity where application_name = 'pgconvoy:write'",
    );
    held.let_go();
    let run = held.run.finish();
    assert_eq!(run.status, 5, "{run}");
    for says in ["what was changed there is committed", "It has gone back: "] {
        assert!(said(&run).contains(says), "{says}: {run}");
    }
    assert!(!said(&run).contains("target is as it was"), "{run}");
    assert_eq!(scene.open(), (false, true), "{run}");
    assert_eq!(rows(&source), "0", "{run}");
    told_to_everybody(&scene, "fallback");
}

/// The turn finds nothing any more, and neither its report nor whoever is called at its end takes it for a proof.
fn told_to_everybody(scene: &Scene<'_>, command: &str) {
    let more = [
        "--grace",
        "1s",
        "--run-dir",
        RUN_DIR,
        "--metrics-file",
        "metrics.prom",
        "--on-finish",
        "echo \"$PGCONVOY_STATUS $PGCONVOY_VERDICT\" > told",
    ];
    let run = scene.command(command, &more).run();
    assert_eq!(run.status, 6, "{run}");
    let told = report(&run);
    assert_eq!(told["status"], "waived", "{run}");
    let sentence = told["sentence"].as_str().unwrap_or_default();
    let says = "replication carries public.counters, and yet rows differed";
    assert!(sentence.contains(says), "{sentence}");
    let read = |name: &str| std::fs::read_to_string(run.path(name)).expect("it was written");
    assert_eq!(read("told"), "6 waived\n", "{run}");
    let metrics = read("metrics.prom");
    assert!(metrics.contains("\npgconvoy_exit_status 6\n"), "{metrics}");
}

/// Nobody writes between the comparison and the opening: whoever wants to waits, and writes to the side that is in service then.
fn written_before_the_opening(scene: &Scene<'_>) {
    let Scene { source, target } = scene;
    let held = Held::at(
        "follow-step[Reverse]",
        scene.command("fallback", &["--grace", "1s"]),
    );
    let turned = std::thread::scope(|scope| {
        let foreign = scope.spawn(|| {
            let sql = "set default_transaction_read_only = off; insert into public.counters values (50, 50)";
            source.try_psql(DATABASE, sql)
        });
        let waits = "select count(*) from pg_locks where not granted and relation = 'public.counters'::regclass";
        await_answer(source, (waits, "1"));
        held.let_go();
        let turned = held.run.finish();
        let written = foreign.join().expect("it does not panic");
        assert!(written.is_ok(), "{written:?}: {turned}");
        turned
    });
    assert_eq!(turned.status, 0, "{turned}");
    assert_eq!(scene.open(), (true, false), "{turned}");
    let written = "select n from public.counters where writer = 50";
    await_answer(source, (written, "50"));
    await_answer(target, (written, "50"));
    scene.run("cutover", &["--grace", "1s"]);
}

#[test]
fn whoever_goes_on_with_a_turn_is_told_what_its_proof_was_and_what_is_closed() {
    let (Some(source), Some(target)) = (start(18), start(18)) else {
        return;
    };
    let scene = Scene::filled(&source, &target, SCHEMA);
    source.psql("postgres", "create role fenced login");
    assert_proven(&scene.follow(&[]).run());
    let counted = ["--verify", "counts", "--grace", "1s"];
    let killed = |moment: &str| {
        let run = scene.command("cutover", &counted);
        let run = run.env("PGCONVOY_FAULT", format!("kill@{moment}")).run();
        assert_eq!(run.status, -1, "{moment}: {run}");
    };

    killed("follow-step-taken[Reverse]");
    let status = scene.run("status", &[]);
    for says in [
        "nobody can write to either side",
        "pgconvoy cutover --undo opens source",
        "nobody can write since ",
        "next: pgconvoy cutover goes on, pgconvoy cutover --undo goes back to source",
    ] {
        assert!(status.stdout.contains(says), "{says}: {status}");
    }
    // That was the turn itself.
    assert!(!status.stdout.contains("is disabled"), "{status}");
    scene.run("cutover", &["--dry-run"]);

    killed("follow-step[Clear]");
    assert_eq!(scene.open(), (false, true));
    let refused = scene.command("unfollow", &[]).run();
    assert_eq!(refused.status, 1, "{refused}");
    assert!(
        said(&refused).contains("pgconvoy cutover goes on"),
        "{refused}"
    );
    assert_eq!(scene.open(), (false, true), "{refused}");
    let only = "only the numbers of rows were compared (--verify counts)";
    // However often it is asked for.
    for _ in 0..2 {
        let run = scene.command("cutover", &["--grace", "1s"]).run();
        assert_eq!(run.status, 6, "{run}");
        assert!(said(&run).contains(only), "{run}");
    }
    let status = scene.run("status", &[]);
    assert!(status.stdout.contains(only), "{status}");
    let back = scene.run("fallback", &["--grace", "1s"]);
    assert!(!said(&back).contains(only), "{back}");
    let status = scene.run("status", &[]);
    assert!(!status.stdout.contains(only), "{status}");
    a_role_that_is_not_there_any_more(&scene);
}

/// It cannot be let in again, and keeps nobody else out.
fn a_role_that_is_not_there_any_more(scene: &Scene<'_>) {
    let may_log_in = |role: &str| {
        let sql = format!("select rolcanlogin from pg_roles where rolname = '{role}'");
        scene.source.psql("postgres", &sql)
    };
    scene.run("cutover", &["--grace", "1s", "--fence-role", "fenced"]);
    assert_eq!(may_log_in("fenced"), "f");
    scene
        .source
        .psql("postgres", "alter role fenced rename to elsewhere");
    let gone = "roles that were kept out (--fence-role) are not there any more: fenced";
    let foretold = scene.run("fallback", &["--dry-run"]);
    assert!(said(&foretold).contains(gone), "{foretold}");
    let returned = scene.run("fallback", &["--grace", "1s"]);
    assert!(said(&returned).contains(gone), "{returned}");
    assert_eq!(scene.open(), (true, false), "{returned}");
    assert_eq!(may_log_in("elsewhere"), "f");

    // The same of what removes all of it.
    scene.source.psql(
        "postgres",
        "alter role elsewhere rename to fenced; alter role fenced login",
    );
    scene.run("cutover", &["--grace", "1s", "--fence-role", "fenced"]);
    scene.source.psql("postgres", "drop role fenced");
    let parted = scene.run("unfollow", &[]);
    assert!(said(&parted).contains(gone), "{parted}");
    assert_eq!(scene.open(), (true, true), "{parted}");
}

/// Somebody has what a turn needs to close the source.
struct InTheWay<'a>(&'a Server, Child);

impl<'a> InTheWay<'a> {
    #[track_caller]
    fn of(source: &'a Server) -> Self {
        let there = source
            .tool("psql")
            .args([
                "-X",
                "-q",
                "-c",
                "select pg_advisory_lock(1885823855, 1717923427), pg_sleep(120)",
            ])
            .args(["-d", &source.conninfo(DATABASE)])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("psql starts");
        let held = "select count(*) from pg_locks where locktype = 'advisory' and granted and objid = 1717923427";
        await_answer(source, (held, "1"));
        Self(source, there)
    }

    /// Waits until a turn does.
    #[track_caller]
    fn await_turn(&self) {
        let waits = "select count(*) from pg_locks where locktype = 'advisory' and not granted and objid = 1717923427";
        await_answer(self.0, (waits, "1"));
    }

    /// Whoever still waits for it has it now.
    fn give_way(mut self) {
        self.0.psql(
            DATABASE,
            "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted and objid = 1717923427",
        );
        self.1.wait().expect("it ends");
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Of these servers none notices by itself that nobody is there any more for whom it waits.
#[test]
fn what_still_waits_when_a_turn_is_given_up_closes_nothing_afterwards() {
    let (Some(source), Some(target)) = (start(13), start(18)) else {
        return;
    };
    let scene = Scene::filled(&source, &target, &schema(13));
    assert_proven(&scene.follow(&[]).run());

    let in_the_way = InTheWay::of(&source);
    let turning = scene.command("cutover", &["--grace", "1s"]).start();
    in_the_way.await_turn();
    let pid = Pid::from_raw(i32::try_from(turning.pid()).expect("a process"));
    kill(pid, Signal::SIGINT).expect("it is there");
    let run = turning.finish();
    assert_eq!(run.status, 5, "{run}");
    assert!(
        said(&run).contains("source is in service as before"),
        "{run}"
    );
    in_the_way.give_way();
    assert_eq!(scene.open(), (true, false), "{run}");

    let in_the_way = InTheWay::of(&source);
    let mut turning = scene.command("cutover", &["--grace", "1s"]).start();
    in_the_way.await_turn();
    turning.kill();
    turning.finish();
    let undone = scene.run("cutover", &["--undo"]);
    let ended = "ended a session that an earlier run left on the source: pid ";
    assert!(said(&undone).contains(ended), "{undone}");
    in_the_way.give_way();
    assert_eq!(scene.open(), (true, false), "{undone}");

    closed_by_nobody(&scene);
    scene.run("unfollow", &[]);
}

/// However a side has come to be closed that is in service, whoever looks is told, and it can be opened.
fn closed_by_nobody(scene: &Scene<'_>) {
    let killed = scene
        .command("cutover", &["--grace", "1s"])
        .env("PGCONVOY_FAULT", "kill@follow-step-taken[Fence]")
        .run();
    assert_eq!(killed.status, -1, "{killed}");
    scene.target.psql(
        DATABASE,
        r#"set default_transaction_read_only = off;
           update pgconvoy_follow.state set state = jsonb_set(state::jsonb, '{phase}', '"following"')::text"#,
    );
    let status = scene.run("status", &[]);
    let says = "nobody can write to either side: pgconvoy cutover --undo opens source.";
    assert!(status.stdout.contains(says), "{status}");
    let watched = scene.command("follow", &["--once"]).run();
    assert_eq!(watched.status, 1, "{watched}");
    scene.run("cutover", &["--undo"]);
    assert_eq!(scene.open(), (true, false));
    let nothing = scene.run("cutover", &["--undo"]);
    assert!(
        said(&nothing).contains("nothing is to be undone"),
        "{nothing}"
    );
}
