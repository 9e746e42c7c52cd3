//! What cannot be followed is refused by name, before anything is made; what goes wrong later is told by name.

use std::time::{Duration, Instant};

#[cfg(feature = "faults")]
use crate::lab::Held;
use crate::scene::{DATABASE, SCHEMA, Scene, named, start};
use crate::support::binary::Pgconvoy;
use crate::support::moving::assert_proven;
use crate::support::server::Server;

#[test]
fn what_cannot_be_followed_is_refused_before_anything_is_made() {
    let (Some(source), Some(target)) = (Server::start(18), Server::start(18)) else {
        return;
    };
    let (from, to) = (source.database(DATABASE), target.database(DATABASE));
    source.psql(DATABASE, SCHEMA);
    source.psql(
        DATABASE,
        "create function public.f() returns trigger language plpgsql as 'begin return new; end';
         create trigger loud after insert on public.events for each row execute function public.f();
         alter table public.events enable always trigger loud;
         create type public.mood as enum ('good', 'bad');
         create table public.moods (m public.mood, id int4, primary key (m, id)) partition by hash (m);
         create table public.moods_0 partition of public.moods for values with (modulus 2, remainder 0);
         create table public.moods_1 partition of public.moods for values with (modulus 2, remainder 1);
         create subscription theirs connection 'host=/nonexistent dbname=theirs' publication theirs with (connect = false);
         alter subscription theirs enable;",
    );
    let before = Scene::traces(&source);
    let follow = |more: &[&str]| {
        let fixed = ["move", "--source", &from, "--target", &to, "--follow"];
        Pgconvoy::new(fixed.iter().chain(more)).run()
    };
    let run = follow(&[]);
    assert_eq!(run.status, 4, "{run}");
    for said in [
        "wal_level of the source is replica",
        "ALTER SYSTEM SET wal_level = logical",
        "--replica-identity-full public.bare",
        "loud on public.events",
        "the source takes changes from elsewhere",
        "subscriptions theirs",
        "partitioned by the hash of an enum",
        ": public.moods",
        "publication pgconvoy_",
        "Give --allow-source-objects",
    ] {
        assert!(run.stderr.contains(said), "{said}: {run}");
    }
    for more in [
        &["-t", "events"][..],
        &["--verify", "counts"],
        &["--exclude-table-data", "bare"],
    ] {
        let run = follow(more);
        assert_eq!(run.status, 2, "{run}");
    }
    assert_eq!(Scene::traces(&source), before);
    assert_eq!(
        target.psql(
            DATABASE,
            "select count(*) from pg_class where relnamespace = 'public'::regnamespace"
        ),
        "0"
    );
    let nobody = Pgconvoy::new(["cutover", "--target", &to]).run();
    assert_eq!(nobody.status, 2, "{nobody}");
    assert!(nobody.stderr.contains("follows no source"), "{nobody}");
}

#[test]
fn trouble_is_told_by_name_and_a_lost_slot_is_let_go() {
    let (Some(source), Some(target)) = (start(15), start(16)) else {
        return;
    };
    let scene = Scene::filled(&source, &target, SCHEMA);
    let before = Scene::traces(&source);

    // A way that leads nowhere is found before anything is copied, and nothing stays behind.
    let nowhere = scene
        .follow(&["--source-from-target", "host=/nonexistent dbname=shop"])
        .env("PGCONVOY_SOURCE_FROM_TARGET_PASSWORD", "s3cret")
        .run();
    assert_ne!(nowhere.status, 0, "{nowhere}");
    assert!(nowhere.stderr.contains("--source-from-target"), "{nowhere}");
    assert_eq!(Scene::traces(&source), before, "{nowhere}");
    // A statement that fails is in the log, but for this one.
    let log = target.cluster.log_tail();
    assert!(log.contains("could not connect to the publisher"), "{log}");
    assert!(!log.contains("s3cret"), "{log}");

    let moved = scene.follow(&["--max-wal-retained", "64MB"]).run();
    assert_proven(&moved);
    // With that, the log that is kept is nothing to warn of.
    assert_eq!(named(&moved.stderr), ["follow-not-carried"], "{moved}");

    // A row that is there already stops the worker, and its absence lets it go on.
    target.psql(
        DATABASE,
        "set default_transaction_read_only = off; insert into public.events (writer, n, number) values (7, 7, 70000)",
    );
    source.psql(
        DATABASE,
        "insert into public.events (writer, n, number) values (7, 7, 70001)",
    );
    said_in_time(&scene, "the apply worker does not run");
    let refused = scene.command("cutover", &["--patience", "2s"]).run();
    assert_eq!(refused.status, 1, "{refused}");
    assert_eq!(scene.open(), (true, false), "{refused}");
    target.psql(
        DATABASE,
        "set default_transaction_read_only = off; delete from public.events where writer = 7",
    );
    scene.await_same("select count(*) from public.events where number = 70001");

    // A change of the schema is noticed, also before it is written to.
    source.psql(DATABASE, "alter table public.counters add column more text");
    said_in_time(
        &scene,
        "the columns of tables are not the same on both sides",
    );
    let refused = scene.command("cutover", &[]).run();
    assert_eq!(refused.status, 1, "{refused}");
    assert!(refused.stderr.contains("public.counters"), "{refused}");
    target.psql(
        DATABASE,
        "set default_transaction_read_only = off; alter table public.counters add column more text",
    );

    // A target that stands still: rather than fill the source's disk, it is given up.
    #[cfg(feature = "faults")]
    let turning = Held::at("follow-step[Check]", scene.command("cutover", &[]));
    let name = target.psql(DATABASE, "select subname from pg_subscription");
    target.psql(
        DATABASE,
        &format!("set default_transaction_read_only = off; alter subscription {name} disable"),
    );
    source.psql(
        DATABASE,
        "create table public.heavy (t text); alter table public.heavy replica identity full;
         alter table public.heavy alter t set storage external;
         insert into public.heavy select repeat('x', 1000000) from generate_series(1, 80)",
    );
    #[cfg(feature = "faults")]
    nothing_is_given_up_while_somebody_turns(&scene, turning);
    let gone = scene.command("follow", &["--every", "1s"]).run();
    assert_eq!(gone.status, 1, "{gone}");
    assert!(gone.stderr.contains("--max-wal-retained"), "{gone}");
    assert_eq!(
        source.psql(DATABASE, "select count(*) from pg_replication_slots"),
        "0"
    );
    let refused = scene.command("cutover", &[]).run();
    assert_eq!(refused.status, 1, "{refused}");

    // The target is gone: the source by itself is enough.
    let from = scene.from();
    let listed = Pgconvoy::new(["unfollow", "--source", &from]).run();
    assert_eq!(listed.status, 0, "{listed}");
    assert!(
        listed.stdout.contains(&format!("publication {name}")),
        "{listed}"
    );
    let dropped = Pgconvoy::new(["unfollow", "--source", &from, "--drop", &name]).run();
    assert_eq!(dropped.status, 0, "{dropped}");
    source.psql(DATABASE, "drop table public.heavy");
    assert_eq!(Scene::traces(&source), before, "{dropped}");
}

/// Killed in its first step, a turn keeps nobody from it.
#[cfg(feature = "faults")]
fn nothing_is_given_up_while_somebody_turns(scene: &Scene<'_>, mut turning: Held) {
    let kept = scene.command("follow", &["--once"]).run();
    assert_eq!(kept.status, 1, "{kept}");
    for said in [
        "the log kept is more than may be",
        "another run of pgconvoy is at work (pid ",
    ] {
        assert!(kept.stderr.contains(said), "{said}: {kept}");
    }
    assert_eq!(
        scene
            .source
            .psql(DATABASE, "select count(*) from pg_replication_slots"),
        "1",
        "{kept}"
    );
    turning.run.kill();
    let killed = turning.run.finish();
    assert_eq!(killed.status, -1, "{killed}");
    let status = scene.run("status", &[]);
    assert!(
        status.stdout.contains("and a cutover has begun"),
        "{status}"
    );
}

#[track_caller]
fn said_in_time(scene: &Scene<'_>, wanted: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let status = scene.run("status", &[]);
        if status.stdout.contains(wanted) {
            return;
        }
        assert!(Instant::now() < deadline, "{wanted}: {status}");
        std::thread::sleep(Duration::from_millis(300));
    }
}
