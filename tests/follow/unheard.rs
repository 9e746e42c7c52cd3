//! Nobody hears what is said any more: a run that was detached, a terminal that is gone, a pipe to a program that has ended. The target follows
//! all the same; and if it does not, whoever asks the record, and whoever is called at the end, is told.
#![cfg(feature = "faults")]

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::Held;
use crate::scene::{DATABASE, SCHEMA, Scene, start};
use crate::support::binary::{Finished, Pgconvoy};
use crate::support::moving::RUN_DIR;

const LONGEST: Duration = Duration::from_secs(60);

/// What the catalogs say of the target's subscription, and of the slot that it reads from.
#[track_caller]
fn assert_follows(scene: &Scene<'_>, when: &Finished) {
    let enabled = "select string_agg(subenabled::text, ' ') from pg_subscription";
    assert_eq!(scene.target.psql(DATABASE, enabled), "true", "{when}");
    let active = "select string_agg(active::text, ' ') from pg_replication_slots";
    assert_eq!(scene.source.psql(DATABASE, active), "true", "{when}");
}

/// `report.json` of a run in a directory.
fn report(directory: &Path) -> Value {
    let text = std::fs::read_to_string(directory.join("report.json")).expect("a report");
    serde_json::from_str(&text).expect("JSON")
}

fn about(command: &str, directory: &Path) -> Finished {
    Pgconvoy::new([command, &directory.display().to_string()]).run()
}

/// A target that is empty again, and a source of which nothing is asked.
fn begin_anew(scene: &Scene<'_>) {
    scene.run("unfollow", &[]);
    scene
        .target
        .psql("postgres", "drop database shop with (force)");
    scene.target.database(DATABASE);
}

#[test]
fn a_target_follows_whoever_hears_of_it() {
    let (Some(source), Some(target)) = (start(18), start(18)) else {
        return;
    };
    let scene = Scene::filled(&source, &target, SCHEMA);
    detached(&scene);
    begin_anew(&scene);

    let moved = scene.follow(&[]).unheard().run();
    assert_eq!(moved.status, 0, "{moved}");
    assert_follows(&scene, &moved);
    // So does a turn that is taken up where it cannot go back any more: it has no display of its own.
    let killed = scene
        .command("cutover", &["--grace", "1s"])
        .env("PGCONVOY_FAULT", "kill@follow-step[Clear]")
        .run();
    assert_eq!(killed.status, -1, "{killed}");
    let turned = scene.command("cutover", &["--grace", "1s"]).unheard().run();
    assert_eq!(turned.status, 0, "{turned}");
    assert_eq!(scene.open(), (false, true), "{turned}");
    scene.run("fallback", &["--grace", "1s"]);
    begin_anew(&scene);

    killed_at_its_end(&scene);
    not_begun(&scene);
}

/// Its last words are not yet its end.
#[track_caller]
fn await_end(directory: &Path) {
    let began = Instant::now();
    loop {
        let directory = directory.display().to_string();
        let status = Pgconvoy::new(["status", &directory, "--json"]).run();
        let told: Value = serde_json::from_str(&status.stdout).expect("JSON");
        if told["running"].is_null() {
            return;
        }
        assert!(began.elapsed() < LONGEST, "{status}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whoever started it has gone with the first job, and its end of the pipe with him.
fn detached(scene: &Scene<'_>) {
    let prepared = scene.follow(&["--detach"]);
    let held = prepared.dir().join("held");
    let started = prepared
        .env("PGCONVOY_FAULT", "hold@jobs-done")
        .env("PGCONVOY_FAULT_FILE", &held)
        .run();
    assert_eq!(started.status, 0, "{started}");
    let directory = started.path(RUN_DIR);
    let began = Instant::now();
    while !held.exists() {
        assert!(began.elapsed() < LONGEST, "{started}");
        std::thread::sleep(Duration::from_millis(20));
    }
    let status = about("status", &directory);
    assert!(!status.stdout.contains("Proven"), "{status}");
    std::fs::remove_file(&held).expect("it is there");
    let watched = about("watch", &directory);
    assert_eq!(watched.status, 0, "{watched}");
    // It follows before anybody is told that it does.
    assert_follows(scene, &watched);
    assert!(
        watched.stderr.contains("The target follows the source, by"),
        "{watched}"
    );
    let report = report(&directory);
    assert_eq!(report["status"], "proven", "{watched}");
    assert!(report["following_since"].is_string(), "{watched}");
    let notes = report["notes"].to_string();
    assert!(
        notes.contains("made on the target: subscription"),
        "{notes}"
    );
    await_end(&directory);
    let over = about("resume", &directory);
    assert_eq!(over.status, 0, "{over}");
    assert!(over.stderr.contains("target follows it"), "{over}");
}

/// The record has no last word: it says no more than is certain, and names nothing that takes away what a target follows by.
fn killed_at_its_end(scene: &Scene<'_>) {
    const NOT_ON_RECORD: &str = "Whether the target follows the source by now is not on record.";
    for (moment, says) in [
        ("ledger-dropped", NOT_ON_RECORD),
        ("follow-begun", NOT_ON_RECORD),
        ("report-written", "The target follows the source, by "),
    ] {
        let killed = scene
            .follow(&[])
            .env("PGCONVOY_FAULT", format!("kill@{moment}"))
            .run();
        assert_eq!(killed.status, -1, "{killed}");
        if moment != "ledger-dropped" {
            assert_follows(scene, &killed);
        }
        let status = about("status", &killed.path(RUN_DIR));
        let said = format!("{} {}", status.stdout, status.stderr);
        let said: Vec<&str> = said.split_whitespace().collect();
        let said = said.join(" ");
        assert!(said.contains(says), "{moment}: {status}");
        for wrong in [
            "does not follow the source yet",
            "is not a copy of the source",
            "unfollow --source",
        ] {
            assert!(!said.contains(wrong), "{wrong}: {moment}: {status}");
        }
        begin_anew(scene);
    }
}

/// The slot goes when the copy is proven: there is nothing any more that the target could follow.
fn not_begun(scene: &Scene<'_>) {
    let hooks = [
        "--on-finish",
        "echo $PGCONVOY_VERDICT > verdict",
        "--on-fail",
        "touch failed",
    ];
    let held = Held::at("report-kept", scene.follow(&hooks));
    let directory = held.run.dir().join(RUN_DIR);
    // Were it killed here, this is what would be found.
    assert_eq!(report(&directory)["status"], "interrupted");
    scene.source.psql(
        DATABASE,
        "select pg_drop_replication_slot(slot_name) from pg_replication_slots",
    );
    held.let_go();
    let run = held.run.finish();
    assert_eq!(run.status, 1, "{run}");
    let verdict = std::fs::read_to_string(run.path("verdict")).expect("it was told");
    assert_eq!(verdict, "failed\n", "{run}");
    assert!(run.path("failed").exists(), "{run}");
    let report = report(&directory);
    assert_eq!(report["status"], "failed", "{run}");
    let sentence = report["sentence"].as_str().unwrap_or_default();
    assert!(
        sentence.starts_with("Failed: the target does not follow the source yet: ")
            && sentence.contains(" Proven: "),
        "{sentence}"
    );
    let watched = about("watch", &directory);
    assert_eq!(watched.status, 1, "{watched}");
    let again = about("resume", &directory);
    assert_eq!(again.status, 5, "{again}");
    assert!(
        again
            .stderr
            .contains("the copy is proven, and the target does not follow the source yet"),
        "{again}"
    );
    scene.run("unfollow", &[]);
}
