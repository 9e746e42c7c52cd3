//! What is said of a run by its record and its lock: while the next session has not come further than to connect, and of records of days.

#[expect(
    dead_code,
    reason = "every test binary compiles all of this and uses a part"
)]
mod recorded;
mod support;

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::resource::{UsageWho, getrusage};
use pgconvoy::event::{Event, What};
use pgconvoy::model::ExitStatus;
use recorded::Run;
use serde_json::Value;
use support::binary::{Finished, Pgconvoy};

/// A run directory with the record of a run; with a holder, somebody is at work in it.
fn told(events: &[Event], args: &[&str], is_held: bool) -> Finished {
    let run = Pgconvoy::new(args);
    let dir = run.dir().join("run");
    fs::create_dir(&dir).expect("made");
    write(&dir, events.iter().cloned());
    let held = is_held.then(|| {
        let path = dir.join("lock");
        let holder = "{\"pid\":4711,\"since\":\"2026-01-02T03:04:05Z\"}\n";
        fs::write(&path, holder).expect("written");
        let file = File::open(&path).expect("it is there");
        Flock::lock(file, FlockArg::LockExclusiveNonblock).expect("nobody else has it")
    });
    let finished = run.run();
    drop(held);
    finished
}

fn write(dir: &Path, events: impl Iterator<Item = Event>) {
    let file = File::create(dir.join("events.jsonl")).expect("made");
    let mut record = BufWriter::new(file);
    for event in events {
        let line = serde_json::to_string(&event).expect("JSON");
        writeln!(record, "{line}").expect("written");
    }
    record.flush().expect("written");
}

/// A run that was stopped, and is resumed: the servers are yet to be connected to.
fn resuming() -> Run {
    let next = Some("Go on where it stopped: pgconvoy resume run".to_owned());
    let sentence = "Interrupted by SIGTERM.".to_owned();
    let mut run = recorded::finished(recorded::stopped(), ExitStatus::Interrupted, sentence, next);
    run.wait(3_600_000).push(What::StepStarted {
        step: "connecting".to_owned(),
    });
    run
}

#[test]
fn a_session_that_has_not_said_that_it_has_started_is_at_work() {
    let events = resuming().events;
    let status = told(&events, &["status", "run"], true);
    assert_eq!(status.status, 0, "{status}");
    for says in [
        "running: pgconvoy, pid 4711, since 2026-01-02 03:04 UTC · session 2 · run\n",
        "\nconnecting\n",
    ] {
        assert!(status.stdout.contains(says), "{says}: {status}");
    }
    for earlier in ["not running", "Interrupted", "pgconvoy resume", " in all"] {
        assert!(!status.stdout.contains(earlier), "{earlier}: {status}");
    }
    let status = told(&events, &["status", "run", "--json"], true);
    let json: Value = serde_json::from_str(&status.stdout).expect("JSON");
    assert_eq!(json["running"]["pid"], 4711, "{status}");
    assert_eq!(json["status"], Value::Null, "{status}");
    assert_eq!(json["sessions"][0]["status"], "interrupted", "{status}");
    assert_eq!(json["sessions"][1]["status"], Value::Null, "{status}");
    let report = told(&events, &["report", "run", "-o", "-"], true);
    assert_eq!(report.status, 0, "{report}");
    assert!(report.stdout.contains("Still running"), "{report}");
    assert!(
        !report.stdout.contains("Interrupted by SIGTERM."),
        "{report}"
    );

    // Nobody is at work there any more: the last words are those of the session that had some.
    let status = told(&events, &["status", "run"], false);
    for says in ["not running since ", "Interrupted by SIGTERM."] {
        assert!(status.stdout.contains(says), "{says}: {status}");
    }
}

/// The jobs of a session that was killed do not run, whatever the record ends with.
#[test]
fn jobs_that_nobody_works_on_are_begun_and_not_ended() {
    const LEFT: &str = "begun; resume takes it up";
    let begun = recorded::under_way().events;
    let killed = told(&begun, &["status", "run"], false);
    assert_eq!(killed.status, 0, "{killed}");
    let lines = killed.stdout.lines();
    let left = lines.filter(|line| line.contains(LEFT)).count();
    assert_eq!(left, 3, "{killed}");
    for says in ["not running since ", "pgconvoy resume run"] {
        assert!(killed.stdout.contains(says), "{says}: {killed}");
    }

    let at_work = told(&begun, &["status", "run"], true);
    let job = "    copy public.accounts";
    assert!(at_work.stdout.contains(job), "{at_work}");
    assert!(!at_work.stdout.contains("resume takes it up"), "{at_work}");
}

/// What a record of some hours may cost more than one of a few lines. Held whole, it would be several times as much.
const MOST_KB: i64 = 16 * 1024;

/// The events of a run that has been told of so often.
fn long(lines: u64) -> impl Iterator<Item = Event> {
    let mut run = recorded::under_way();
    let begun = std::mem::take(&mut run.events);
    let more = (0..lines).map(move |number| {
        let job = u32::try_from(1 + number % 3).expect("it is small");
        run.wait(100).advance(job, number, number * 10_000);
        run.events.pop().expect("it was told")
    });
    begun.into_iter().chain(more)
}

/// Of all children that have ended, in kB.
fn peak_kb() -> i64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the system says so");
    usage.max_rss()
}

fn read_by(args: &[&str], lines: u64) -> Finished {
    let run = Pgconvoy::new(args);
    let dir = run.dir().join("run");
    fs::create_dir(&dir).expect("made");
    write(&dir, long(lines));
    run.run()
}

#[test]
fn the_record_of_a_long_run_is_not_held_in_memory() {
    let commands: [(&[&str], i32, u64); 3] = [
        (&["status", "run"], 0, 200_000),
        (&["report", "run"], 0, 100_000),
        (&["watch", "run"], 5, 100_000),
    ];
    for (args, status, _) in commands {
        let run = read_by(args, 10);
        assert_eq!(run.status, status, "{run}");
    }
    let few = peak_kb();
    for (args, status, lines) in commands {
        let run = read_by(args, lines);
        assert_eq!(run.status, status, "{run}");
        let more = peak_kb() - few;
        println!("{args:?}: {few} kB for a few lines, {more} kB more for {lines}");
        assert!(few > 1000 && more < MOST_KB, "{more} kB more: {run}");
    }
}
