//! Killed at every step: at no time are both sides open, and the same command again, or the way back, leads out of it.
#![cfg(feature = "faults")]

use std::time::{Duration, Instant};

use crate::lab::Held;
use crate::scene::{DATABASE, Pooled, SCHEMA, Scene, named, start};
use crate::support::binary::{Finished, Pgconvoy};
use crate::support::moving::{RUN_DIR, assert_proven};
use crate::support::server::Server;

/// The others are in the table of faults.
const MOMENTS: [&str; 3] = [
    "follow-step-taken[Fence]",
    "follow-step-taken[Reverse]",
    "follow-step-taken[Open]",
];

fn is_whole() -> bool {
    std::env::var("PGCONVOY_FOLLOW").is_ok_and(|wanted| wanted == "whole")
}

/// All sessions of ours on one side end at a moment: then a turn goes back by itself.
fn cut(scene: &Scene<'_>, (command, moment): (&str, &str), side: usize) -> Finished {
    let held = tempfile::tempdir().expect("a directory");
    let file = held.path().join("held");
    let run = scene
        .command(command, &["--grace", "1s"])
        .env("PGCONVOY_FAULT", format!("hold@{moment}"))
        .env("PGCONVOY_FAULT_FILE", &file)
        .start();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !file.exists() {
        assert!(Instant::now() < deadline, "{moment} never came");
        std::thread::sleep(Duration::from_millis(20));
    }
    // It would be read-only for as long as it lasts, also when the side is open again.
    let closed = [scene.source, scene.target][usize::from(command == "fallback")];
    let _pooled = Pooled::start(closed, "pooled");
    [scene.source, scene.target][side].psql(
        DATABASE,
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name like 'pgconvoy:%'",
    );
    std::fs::remove_file(&file).expect("removed");
    let run = run.finish();
    assert!(!Pooled::is_there(closed, "pooled"), "{run}");
    run
}

/// Nothing but the session with the claim ends: a turn notices before it writes anything down, and says what that means.
fn unclaimed(scene: &Scene<'_>, command: &str) {
    let turn = scene.command(command, &["--grace", "1s"]);
    let held = Held::at("follow-step-taken[Check]", turn);
    let ended = "select pg_terminate_backend(pid, 10000) from pg_stat_activity where application_name = 'pgconvoy:claim'";
    assert_eq!(scene.target.psql(DATABASE, ended), "t");
    held.let_go();
    let run = held.run.finish();
    assert_eq!(run.status, 5, "{run}");
    for says in ["it could not reach us for a minute", "(pgconvoy:claim)"] {
        assert!(run.stderr.contains(says), "{says}: {run}");
    }
    assert!(!run.stderr.contains("invalid input"), "{run}");
}

#[test]
fn a_turn_that_is_killed_goes_on_or_goes_back_and_never_are_both_sides_open() {
    let (Some(source), Some(target)) = (start(18), start(18)) else {
        return;
    };
    let scene = Scene::filled(&source, &target, SCHEMA);
    let before = Scene::traces(&source);
    // Killed when nothing works yet: the watch begins what is left.
    let killed = scene
        .follow(&[])
        .env("PGCONVOY_FAULT", "kill@follow-subscribed")
        .run();
    assert_eq!(killed.status, -1, "{killed}");
    scene.run("follow", &["--once"]);

    let mut written = 0;
    // The side that is in service, and the command that leads away from it.
    let mut sides = [
        (&source, "cutover", (true, false)),
        (&target, "fallback", (false, true)),
    ];
    for moment in MOMENTS {
        let [(in_service, command, open), (other, _, turned)] = sides;
        written += 1;
        in_service.psql(
            DATABASE,
            &format!("insert into public.events (writer, n) values (9, {written})"),
        );
        let killed = scene
            .command(command, &["--grace", "1s"])
            .env("PGCONVOY_FAULT", format!("kill@{moment}"))
            .run();
        assert_eq!(killed.status, -1, "{moment}: {killed}");
        let now = scene.open();
        assert_ne!(now, (true, true), "{moment}");
        // Half of them go back first, where there is a way back.
        if written % 2 == 0
            && now != turned
            && !moment.contains("[Open]")
            && !moment.contains("[Clear]")
        {
            scene.run(command, &["--undo"]);
            assert_eq!(scene.open(), open, "{moment}");
        }
        let run = scene.run(command, &["--grace", "1s"]);
        assert_eq!(scene.open(), turned, "{moment}: {run}");
        let count =
            format!("select count(*) from public.events where writer = 9 and n <= {written}");
        assert_eq!(
            other.psql(DATABASE, &count),
            written.to_string(),
            "{moment}: {run}"
        );
        sides.swap(0, 1);
    }

    let [(_, command, open), (_, _, turned)] = sides;
    unclaimed(&scene, command);
    assert_eq!(scene.open(), open);
    let run = cut(&scene, (command, "follow-step[Drain]"), 0);
    assert_ne!(run.status, 0, "{run}");
    assert_eq!(scene.open(), open, "{run}");
    let run = scene.run(command, &["--grace", "1s"]);
    assert_eq!(scene.open(), turned, "{run}");

    for point in ["follow-unsubscribed", "follow-unpublished"] {
        if point == "follow-unpublished" && !is_whole() {
            continue;
        }
        let killed = scene
            .command("unfollow", &[])
            .env("PGCONVOY_FAULT", format!("kill@{point}"))
            .run();
        assert_eq!(killed.status, -1, "{point}: {killed}");
    }
    let parted = scene.run("unfollow", &[]);
    assert_eq!(Scene::traces(&source), before, "{parted}");
    assert_eq!(Scene::traces(&target), before, "{parted}");
}

/// The other target is in service in its place: to open a third database would be to have two that can be written to.
fn a_source_that_another_follow_has_closed(scene: &Scene<'_>, other: &str) {
    let turn = |command: &str| {
        let run = Pgconvoy::new([command, "--target", other, "--verify", "counts"]).run();
        assert_eq!(run.status, 6, "{run}");
    };
    turn("cutover");
    let refused = scene.command("cutover", &["--dry-run"]).run();
    assert_eq!(refused.status, 4, "{refused}");
    assert!(
        refused
            .stderr
            .contains("another follow of the source has closed it to writers"),
        "{refused}"
    );
    // In which it takes the changes of that target.
    assert_eq!(
        named(&refused.stderr),
        ["turn-other-follow", "turn-closed-already"],
        "{refused}"
    );
    // What is written to the one in service comes to both others, by way of the source.
    let target = scene.target;
    target.psql(
        "other",
        "insert into public.events (writer, n) values (5, 1); update public.counters set n = 55 where writer = 5",
    );
    await_rows(
        target,
        (DATABASE, "select n from public.counters where writer = 5"),
        "55",
    );
    await_rows(
        target,
        (DATABASE, "select n from public.events where writer = 5"),
        "1",
    );
    turn("fallback");
    scene.run("cutover", &["--dry-run"]);
}

/// Waits until a query says that.
#[track_caller]
fn await_rows(server: &Server, (database, query): (&str, &str), wanted: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while server.psql(database, query) != wanted {
        assert!(
            Instant::now() < deadline,
            "{query} does not come to {wanted}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// They do not get in each other's way, nor in that of a comparison; and what one has changed stays for as long as the other needs it.
fn two_who_follow_one(scene: &Scene<'_>, before: &str) {
    let Scene { source, target } = scene;
    let (from, other) = (scene.from(), target.database("other"));
    let ends = ["--source", &from, "--target", &other];
    let follow = [
        "--follow",
        "--allow-source-objects",
        "--replica-identity-full",
        "bare",
    ];
    let second = Pgconvoy::new(["move"].iter().chain(&ends).chain(&follow)).run();
    assert_eq!(second.status, 0, "{second}");
    let verified = scene.run("verify", &["--source", &from]);
    // It is closed to writers, and something writes into it: that is what following is.
    for rule in ["session-settings", "subscriptions-enabled"] {
        assert!(!verified.stderr.contains(rule), "{verified}");
    }
    a_source_that_another_follow_has_closed(scene, &other);
    scene.run("unfollow", &[]);
    source.psql(
        DATABASE,
        "insert into public.bare values (9, 1), (9, 2); update public.bare set n = 3 where n = 2; delete from public.bare where n = 1",
    );
    let of_nine = "select n from public.bare where writer = 9";
    await_rows(target, ("other", of_nine), "3");
    let parted = Pgconvoy::new(["unfollow", "--target", &other]).run();
    assert_eq!(parted.status, 0, "{parted}");
    assert_eq!(Scene::traces(source), before, "{parted}");
    target.psql("postgres", "drop database other with (force)");
    target.psql("postgres", "drop database shop with (force)");
    target.database(DATABASE);
}

#[test]
fn a_move_that_is_killed_is_resumed_with_a_slot_that_fits_to_its_snapshot() {
    let (Some(source), Some(target)) = (start(18), start(18)) else {
        return;
    };
    let scene = Scene {
        source: &source,
        target: &target,
    };
    source.database(DATABASE);
    source.psql(DATABASE, SCHEMA);
    let before = Scene::traces(&source);
    // With a snapshot that is held, with one that is lost, and with one whose slot is another by now.
    let mut cases = vec![
        (&[][..], "announced", false),
        (&["--no-keeper"][..], "announced", false),
        (&[][..], "announced", true),
    ];
    if is_whole() {
        // The snapshot has been given back already, but for the state that takes the ledger's place.
        cases.extend(["jobs-done", "report-kept"].map(|moment| (&[][..], moment, false)));
    }
    for (more, moment, slot_is_another) in cases {
        target.psql("postgres", "drop database if exists shop with (force)");
        target.database(DATABASE);
        let killed = scene
            .follow(more)
            .env("PGCONVOY_FAULT", format!("kill@{moment}"))
            .run();
        assert_eq!(killed.status, -1, "{killed}");
        source.psql(
            DATABASE,
            "insert into public.events (writer, n) select 9, coalesce(max(n), 0) + 1 from public.events where writer = 9;
             update public.counters set n = n + 1",
        );
        if slot_is_another {
            source.psql(
                DATABASE,
                "do $$ declare s name := (select slot_name from pg_replication_slots); begin
                     perform pg_drop_replication_slot(s); end $$",
            );
            source.psql(
                DATABASE,
                "select pg_create_logical_replication_slot((select pubname from pg_publication), 'pgoutput')",
            );
        }
        let directory = killed.path(RUN_DIR);
        let resumed = Pgconvoy::new(["resume", &directory.display().to_string()]).run();
        assert_eq!(resumed.status, 0, "{resumed}");
        scene.await_same("select count(*), sum(n) from public.events");
        scene.await_same("select sum(n) from public.counters");
        source.psql(DATABASE, "update public.counters set n = n + 1");
        scene.await_same("select sum(n) from public.counters");
        scene.run("unfollow", &[]);
        assert_eq!(Scene::traces(&source), before, "{resumed}");
    }
    // Killed before there is anything to resume, and given up.
    target.psql("postgres", "drop database if exists shop with (force)");
    target.database(DATABASE);
    let killed = scene
        .follow(&[])
        .env("PGCONVOY_FAULT", "kill@follow-published")
        .run();
    assert_eq!(killed.status, -1, "{killed}");
    scene.run("unfollow", &["--source", &scene.from()]);
    assert_eq!(Scene::traces(&source), before);
    assert_proven(&scene.follow(&[]).run());
    two_who_follow_one(&scene, &before);
    assert_proven(&scene.follow(&[]).run());
    // A turn without a way back leaves one side open, and nobody who follows; parted, both are as they were.
    let turned = scene.run("cutover", &["--no-fallback"]);
    assert_eq!(scene.open(), (false, true), "{turned}");
    let refused = scene.command("fallback", &[]).run();
    assert_eq!(refused.status, 1, "{refused}");
    let parted = scene.run("unfollow", &[]);
    assert_eq!(Scene::traces(&source), before, "{parted}");
    assert_eq!(Scene::traces(&target), before, "{parted}");
}
