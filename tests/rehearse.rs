//! A rehearsal, and the move that is measured by it, on real servers; and what is refused as a measure.

mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::binary::{Finished, Pgconvoy};
use support::moving::{RUN_DIR, assert_equal, assert_no_ledger, assert_proven, move_with, prepare};
use support::server::Server;

const SHOP: &str = "
    create table item (id int primary key, name text, kind int);
    insert into item select i, 'Item ' || i, i % 10 from generate_series(1, 50000) i;
    create index item_kind on item (kind, name);
    create table sale (id int primary key, item int references item);
    insert into sale select i, 1 + i % 50000 from generate_series(1, 30000) i;
";

fn rehearse(source: &str, target: &str) -> Finished {
    let fixed = [
        "rehearse",
        "--source",
        source,
        "--target",
        target,
        "--run-dir",
        RUN_DIR,
    ];
    Pgconvoy::new(fixed).run()
}

/// The record of a run that was killed when it was half done.
fn cut_in_half(run: &Path, into: &Path) {
    let events = fs::read_to_string(run.join("events.jsonl")).expect("a record");
    let lines: Vec<&str> = events.lines().collect();
    fs::create_dir(into).expect("made");
    fs::write(
        into.join("events.jsonl"),
        lines[..lines.len() / 2].join("\n"),
    )
    .expect("written");
}

#[test]
fn a_move_is_measured_by_its_rehearsal() {
    let (Some(source), Some(target)) = (Server::start(15), Server::start(18)) else {
        return;
    };
    let from = source.database("shop");
    source.psql("shop", SHOP);
    let scratch = target.database("scratch");
    let rehearsal = rehearse(&from, &scratch);
    let rehearsed = assert_proven(&rehearsal);
    assert_eq!(rehearsed["command"], "rehearse");
    let next = rehearsed["next"].as_str().expect("what to do next");
    assert!(
        next.contains(&format!("--baseline {RUN_DIR}")),
        "{rehearsal}"
    );
    assert_no_ledger(&target, "scratch");

    let measure = rehearsal.path(RUN_DIR);
    let measure = measure.to_str().expect("UTF-8");
    let to = target.database("shop");
    let run = move_with(&from, &to, &["--baseline", measure, "--window", "1h"]);
    let moved = assert_proven(&run);
    assert_equal("after the rehearsal", &from, &to, &[]);
    let expected = &moved["expected"];
    assert_eq!(expected["by"], "rehearsal", "{run}");
    assert_eq!(expected["baseline"], measure, "{run}");
    assert_eq!(expected["window_ms"], 3_600_000, "{run}");
    for time in ["expected_ms", "took_ms"] {
        assert!(expected[time].as_u64().is_some_and(|ms| ms > 0), "{run}");
    }
    for said in [
        &format!("expected by the rehearsal in {measure}: "),
        "there are 1 h 00 min for it",
        "measured: expected by the rehearsal: ",
    ] {
        assert!(run.stderr.contains(said), "{said}: {run}");
    }
    let page = fs::read_to_string(run.path(RUN_DIR).join("report.html")).expect("a page");
    assert!(page.contains("Against what was expected"), "{page}");
    // Every job of the one is a job of the other: nothing has changed in between.
    let jobs = moved["jobs"].as_array().expect("a list").len();
    let told = events(&run.path(RUN_DIR), "expected");
    assert_eq!(
        told["jobs"].as_array().expect("a list").len(),
        jobs,
        "{run}"
    );

    let paper = target.database("paper");
    let fixed = ["plan", "--source", &from, "--target", &paper];
    for (window, verdict) in [
        ("1h", "within the window of 1 h 00 min"),
        ("1s", "s from the first job on"),
    ] {
        let planned =
            Pgconvoy::new(
                fixed
                    .iter()
                    .chain(&["--baseline", measure, "--window", window]),
            )
            .run();
        assert_eq!(planned.status, 0, "{planned}");
        for said in [
            &format!("Measured by the rehearsal in {measure}: about "),
            verdict,
            "to the end of its last, by the earlier run, if both servers are as busy as then.",
        ] {
            assert!(planned.stdout.contains(said), "{said}: {planned}");
        }
        assert_ranges(&planned, 1.5);
    }

    let again = target.database("again");
    assert_measured_after_a_kill((&from, &again), measure);

    assert_a_restore_is_measured_by_a_restore(&from, &target, measure);

    let half = rehearsal.path("half");
    cut_in_half(&rehearsal.path(RUN_DIR), &half);
    let half = half.to_str().expect("UTF-8");
    for (dir, why) in [
        (half, "cannot be used: it did not come to its end"),
        ("nowhere", "there is no run directory nowhere"),
    ] {
        let refused = move_with(&from, &to, &["--baseline", dir]);
        assert_eq!(refused.status, 2, "{refused}");
        assert!(refused.stderr.contains(why), "{refused}");
    }
}

/// Each phase of a plan is predicted in a range, which reaches so many times as far as what is likely.
fn assert_ranges(planned: &Finished, times: f64) {
    let seconds = |words: &str| {
        let number = words.trim().strip_suffix(" s").expect("seconds");
        number.parse::<f64>().expect("a number")
    };
    for phase in ["copying", "indexes", "foreign keys", "verify"] {
        let lines = planned.stdout.lines();
        let line = lines.clone().find(|line| line.starts_with(phase));
        let line = line.unwrap_or_else(|| panic!("{phase}: {planned}"));
        let range = line.split_once(" of work; takes ").expect("a range").1;
        let (likely, range) = range.split_once(", from ").expect("a range");
        let (least, most) = range.split_once(" to ").expect("a range");
        let (least, likely, most) = (seconds(least), seconds(likely), seconds(most));
        assert!(least <= likely && likely <= most, "{line}");
        assert!((most - likely * times).abs() < 0.3 * times, "{line}");
    }
}

/// A restore is measured by an earlier one, not by a move; and the same after a kill.
fn assert_a_restore_is_measured_by_a_restore(from: &str, target: &Server, of_a_move: &str) {
    let dumped = Pgconvoy::new(["dump", "--source", from, "--archive", "archive"]).run();
    assert_eq!(dumped.status, 0, "{dumped}");
    let archive = dumped.path("archive").display().to_string();
    let restore = |database: &str, more: &[&str]| {
        let to = target.database(database);
        let fixed = ["restore", "--archive", &archive, "--target", &to];
        let run_dir = ["--run-dir", RUN_DIR];
        Pgconvoy::new(fixed.iter().chain(&run_dir).chain(more))
    };
    let first = restore("first", &["--window", "1h"]).run();
    let by_rates = assert_proven(&first);
    assert_eq!(by_rates["expected"]["window_ms"], 3_600_000, "{first}");
    let measure = first.path(RUN_DIR).display().to_string();
    let killed = restore("second", &["--baseline", &measure])
        .env("PGCONVOY_FAULT", "kill@job-started[copy ]")
        .run();
    let run_dir = killed.path(RUN_DIR);
    let resumed = Pgconvoy::new(["resume", run_dir.to_str().expect("UTF-8")]).run();
    assert_eq!(resumed.status, 0, "{killed}\n{resumed}");
    let expected = &report_of(&run_dir)["expected"];
    assert_eq!(expected["by"], "earlier restore", "{resumed}");
    assert_eq!(expected["baseline"], measure, "{resumed}");
    let refused = restore("third", &["--baseline", of_a_move]).run();
    assert_eq!(refused.status, 2, "{refused}");
    assert!(refused.stderr.contains("it is not a restore"), "{refused}");
}

/// Killed and resumed, a move is still measured by the rehearsal, and has what is left of the window.
fn assert_measured_after_a_kill((from, to): (&str, &str), measure: &str) {
    let killed = prepare(from, to, &["--baseline", measure, "--window", "1h"])
        .env("PGCONVOY_FAULT", "kill@job-started[copy ]")
        .run();
    let run_dir = killed.path(RUN_DIR);
    let resumed = Pgconvoy::new(["resume", run_dir.to_str().expect("UTF-8")]).run();
    assert_eq!(resumed.status, 0, "{resumed}");
    let expected = &report_of(&run_dir)["expected"];
    assert_eq!(expected["baseline"], measure, "{resumed}");
    let left = expected["window_ms"].as_u64();
    assert!(
        left.is_some_and(|left| (3_000_000..3_600_000).contains(&left)),
        "{resumed}"
    );
}

/// The event of a kind, of which there is one.
fn report_of(run_dir: &Path) -> Value {
    let report = fs::read_to_string(run_dir.join("report.json")).expect("a report");
    serde_json::from_str(&report).expect("JSON")
}

fn events(run_dir: &Path, kind: &str) -> Value {
    let record = fs::read_to_string(run_dir.join("events.jsonl")).expect("a record");
    let events = record
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let mut found = events.filter(|event| event["event"] == kind);
    let event = found.next().expect("is there");
    assert!(found.next().is_none(), "{kind} is there twice");
    event
}

/// What a move would do is shown, drawn and compared, and nothing is touched.
#[test]
fn a_plan_is_drawn() {
    let (Some(source), Some(target)) = (Server::start(15), Server::start(18)) else {
        return;
    };
    let from = source.database("shop");
    source.psql("shop", SHOP);
    let to = target.database("shop");
    let more = ["-j", "2", "--gantt", "plan.svg", "--compare-jobs", "8,1"];
    let fixed = ["plan", "--source", &from, "--target", &to];
    let run = Pgconvoy::new(fixed.iter().chain(&more)).run();
    assert_eq!(run.status, 0, "{run}");
    let file = fs::read_to_string(run.path("plan.svg")).expect("the picture");
    assert!(file.starts_with("<?xml"), "{file}");
    assert!(file.contains("copy") && file.contains("worker 1"), "{file}");
    for said in [
        "What each worker would do, and when:",
        "On the target's disk: ",
        "to the end of its last, by rough rates of ordinary hardware, not measured on these servers.",
        "With other numbers of workers",
        "nothing was touched",
    ] {
        assert!(run.stdout.contains(said), "{said}: {run}");
    }
    assert_ranges(&run, 4.0);
    let position = |what: &str| {
        run.stdout
            .find(what)
            .unwrap_or_else(|| panic!("{what}: {run}"))
    };
    assert!(position("\n      1 ") < position("\n      8 "), "{run}");
    let tables = target.psql(
        "shop",
        "select count(*) from pg_class where relname in ('item', 'sale')",
    );
    assert_eq!(tables, "0");
}
