//! A run is watched from elsewhere: while it runs, when it is over, and when it was killed.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::Value;

use crate::scene::{GOES_ON, Scene, events, position, send};
use crate::support::binary::{Finished, Pgconvoy};
use crate::support::moving::RUN_DIR;

fn shown(command: &str, run_dir: &str, more: &[&str]) -> Finished {
    Pgconvoy::new([command, run_dir].iter().chain(more)).run()
}

/// What is different every time is replaced by what it is.
fn steady(text: &str) -> String {
    let rules = [
        (r"\d\d:\d\d:\d\d  ", "HH:MM:SS  "),
        (r"/tmp/[^ /']+/", "/tmp/…/"),
        (r"at /tmp/[^ :]+:\d+", "at SOCKET"),
        (r"pid \d+|kill \d+", "PID"),
        (r"since \d\d:\d\d UTC", "since HH:MM UTC"),
        (r"since \d{4}-\d\d-\d\d \d\d:\d\d UTC", "since DATE UTC"),
        (r"[0-9A-F]{8}-[0-9A-F]{8}-\d+", "SNAPSHOT"),
        (r"[0-9A-F]+/[0-9A-F]{6,}", "LSN"),
        (r"\d+:\d\d gone", "M:SS gone"),
        (r"\d+\.\d s\b", "N s"),
        (r"( +)\d+:\d\d\b", "  M:SS"),
        (r"PostgreSQL [\d.]+", "PostgreSQL V"),
        (r"\(0\.\d, |hash [0-9a-f]+", "("),
    ];
    rules.iter().fold(text.to_owned(), |text, (pattern, with)| {
        let pattern = regex::Regex::new(pattern).expect("valid");
        pattern.replace_all(&text, *with).into_owned()
    })
}

/// Lets it go on; a run is known by the process id in its lock.
fn pid_of(run_dir: &std::path::Path) -> Pid {
    let text = std::fs::read_to_string(run_dir.join("lock")).expect("a lock");
    let holder: Value = serde_json::from_str(&text).expect("JSON");
    Pid::from_raw(i32::try_from(holder["pid"].as_i64().expect("a number")).expect("a pid"))
}

#[test]
fn a_detached_run_is_watched_to_its_proof() {
    let Some(scene) = Scene::set(18, 4) else {
        return;
    };
    let started = scene.moving(&["--detach", "-j1"]).run();
    assert_eq!(started.status, 0, "{started}");
    let run_dir = started.path(RUN_DIR);
    let dir = run_dir.display().to_string();
    for says in [
        GOES_ON,
        "pgconvoy watch run",
        "pgconvoy status run",
        "kill ",
    ] {
        assert!(started.stderr.contains(says), "{says}: {started}");
    }
    let session = nix::unistd::getsid(Some(pid_of(&run_dir))).expect("it runs");
    assert_eq!(session, pid_of(&run_dir), "it has a session of its own");

    let began = Instant::now();
    while scene
        .backends("query ilike '%slow_index%' and state = 'active'")
        .is_empty()
    {
        assert!(began.elapsed() < Duration::from_secs(60), "never began");
        std::thread::sleep(Duration::from_millis(20));
    }
    let status = shown("status", &dir, &[]);
    assert_eq!(status.status, 0, "{status}");
    insta::assert_snapshot!("status_of_a_running_run", steady(&status.stdout));
    let status = shown("status", &dir, &["--json"]);
    let told: Value = serde_json::from_str(&status.stdout).expect("JSON");
    assert_eq!(
        told["running"]["pid"],
        pid_of(&run_dir).as_raw(),
        "{status}"
    );
    assert_eq!(told["status"], Value::Null, "{status}");

    // Whoever stops watching does not stop the run.
    let mut watching = Pgconvoy::new(["watch", &dir]).start();
    std::thread::sleep(Duration::from_millis(700));
    assert!(watching.is_running());
    send(&watching, Signal::SIGINT);
    let watched = watching.finish();
    assert_eq!(watched.status, 5, "{watched}");
    let says =
        format!("no longer watching; the run goes on. To watch it again: pgconvoy watch {dir}");
    assert!(watched.stderr.ends_with(&format!("{says}\n")), "{watched}");

    let watched = shown("watch", &dir, &[]);
    assert_eq!(watched.status, 0, "{watched}");
    assert!(
        watched.stderr.contains("Proven: 3 tables, 1,001 rows"),
        "{watched}"
    );
    scene.assert_no_backends();
    let again = shown("watch", &dir, &[]);
    assert_eq!(again.status, 0, "{again}");
    insta::assert_snapshot!("watch_of_a_proven_run", steady(&again.stderr));
    let passed_on = shown("watch", &dir, &["--json"]);
    assert_eq!(passed_on.status, 0, "{passed_on}");
    let record = std::fs::read_to_string(run_dir.join("events.jsonl")).expect("a record");
    let report = passed_on
        .stdout
        .strip_prefix(&record)
        .expect("its lines as they are");
    let report: Value = serde_json::from_str(report).expect("the report");
    assert_eq!(report["status"], "proven");
    let status = shown("status", &dir, &[]);
    assert_eq!(status.status, 0, "{status}");
    insta::assert_snapshot!("status_of_a_proven_run", steady(&status.stdout));
}

/// A session that was killed in the middle of a line, and one that went on to the proof: the record is one, and the second session
/// is what is shown.
#[test]
fn a_run_of_several_sessions_is_watched_from_its_last_one_on() {
    let Some(scene) = Scene::set(18, 0) else {
        return;
    };
    let run = scene.moving(&[]).run();
    assert_eq!(run.status, 0, "{run}");
    let path = run.path(RUN_DIR).join("events.jsonl");
    let record = std::fs::read_to_string(&path).expect("a record");
    let killed = record
        .lines()
        .position(|line| line.contains("job_finished"));
    let lines: Vec<&str> = record.lines().take(killed.expect("one")).collect();
    let first = format!("{}\n{}", lines.join("\n"), r#"{"at":"2026-01-02T03:"#);
    std::fs::write(&path, format!("{first}\n{record}")).expect("written");
    let dir = run.path(RUN_DIR).display().to_string();
    let watched = shown("watch", &dir, &[]);
    assert_eq!(watched.status, 0, "{watched}");
    assert_eq!(watched.stderr.matches("planned: ").count(), 1, "{watched}");
    assert!(watched.stderr.contains(" in session 2, "), "{watched}");
    let status = shown("status", &dir, &[]);
    assert!(status.stdout.contains(" · session 2 · "), "{status}");
    let passed_on = shown("watch", &dir, &["--json"]);
    let mut lines = passed_on.stdout.lines();
    let report: Value = serde_json::from_str(lines.next_back().expect("a report")).expect("JSON");
    assert_eq!(report["sessions"].as_array().map(Vec::len), Some(2));
    assert_eq!(report["sessions"][0]["status"], Value::Null);
    for line in lines {
        serde_json::from_str::<Value>(line).expect("what is no JSON is left out");
    }
}

#[test]
fn what_goes_wrong_before_a_detached_run_is_on_its_way_is_said_here() {
    let Some(scene) = Scene::set(18, 0) else {
        return;
    };
    scene.server.psql("dst", "create table in_the_way (id int)");
    let refused = scene.moving(&["--detach"]).run();
    assert_eq!(refused.status, 4, "{refused}");
    assert!(refused.stderr.contains("[target-not-empty]"), "{refused}");
    assert!(!refused.path(RUN_DIR).exists(), "{refused}");
    let both = scene.moving(&["--detach", "--json"]).run();
    assert_eq!(both.status, 2, "{both}");
}

#[test]
fn a_killed_run_is_told_from_one_that_goes_on() {
    let Some(scene) = Scene::set(18, 3600) else {
        return;
    };
    let mut run = scene.moving(&["-j1"]).start();
    scene.wait_for_slow_index(&mut run);
    let dir = run.dir().join(RUN_DIR).display().to_string();
    let watching = Pgconvoy::new(["watch", &dir]).start();
    std::thread::sleep(Duration::from_millis(500));
    run.kill();
    let watched = watching.finish();
    let run = run.finish();
    assert_eq!(watched.status, 5, "{watched}");
    let resume = format!("pgconvoy resume {dir}");
    assert_eq!(watched.stderr.lines().last(), Some(&*resume), "{watched}");
    assert!(
        watched
            .stderr
            .contains("Interrupted: no process works on it any more"),
        "{watched}"
    );
    let status = shown("status", &dir, &[]);
    assert_eq!(status.status, 0, "{status}");
    insta::assert_snapshot!("status_of_a_killed_run", steady(&status.stdout));
    let events = events(&run.path(RUN_DIR));
    position(&events, "planned");
    let newest = Pgconvoy::new(["status"]).run();
    assert_eq!(newest.status, 2, "{newest}");
    for (path, says) in [
        (
            "/nowhere/at/all",
            "there is no run directory /nowhere/at/all",
        ),
        (
            "/tmp",
            "/tmp is not a run directory: it has no events.jsonl",
        ),
    ] {
        let none = shown("watch", path, &[]);
        assert_eq!(none.status, 2, "{none}");
        assert!(none.stderr.contains(says), "{none}");
    }
}
