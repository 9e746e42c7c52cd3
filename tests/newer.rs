//! What is said of a run whose record has what only a newer pgconvoy knows: once, and with what is shown all the same.

#[expect(
    dead_code,
    reason = "every test binary compiles all of this and uses a part"
)]
mod recorded;
mod support;

use std::fmt::Write as _;
use std::fs;

use pgconvoy::model::{Verdict, VerifyLevel};
use support::binary::{Finished, Pgconvoy};

/// A proven run, with `strangers` lines of kinds that nobody knows yet.
fn run_with(strangers: usize, args: &[&str]) -> Finished {
    let verified = recorded::verified(VerifyLevel::Content, Verdict::Identical, Verdict::Identical);
    let mut record = String::new();
    for (number, event) in verified.events.iter().enumerate() {
        let line = serde_json::to_string(event).expect("JSON");
        let _infallible = writeln!(record, "{line}");
        if number > 3 && number < 4 + strangers {
            let kind = ["weather_changed", "tide_turned"][number % 2];
            let at = "2026-01-02T03:04:05Z";
            let _infallible = writeln!(
                record,
                "{{\"at\":\"{at}\",\"event\":\"{kind}\",\"wind\":3}}"
            );
        }
    }
    let run = Pgconvoy::new([args, &["run"]].concat());
    let dir = run.dir().join("run");
    fs::create_dir(&dir).expect("made");
    fs::write(dir.join("events.jsonl"), record).expect("written");
    run.run()
}

#[test]
fn what_is_not_known_is_owned_up_to_once() {
    for strangers in [0, 3] {
        let told = usize::from(strangers > 0);
        let watched = run_with(strangers, &["watch"]);
        let says = "does not know and does not show: tide_turned, weather_changed. Watch it with the version that runs it.";
        assert_eq!(watched.stderr.matches(says).count(), told, "{watched}");
        assert!(
            watched.stderr.contains("never said how it ended"),
            "{watched}"
        );
        let says =
            "3 events are of a kind this version does not know: tide_turned, weather_changed";
        let status = run_with(strangers, &["status"]);
        assert_eq!(status.stdout.matches(says).count(), told, "{status}");
        assert_eq!(status.status, 0, "{status}");
        // What programs read is as it was written.
        let passed_on = run_with(strangers, &["watch", "--json"]);
        assert_eq!(
            passed_on.stdout.matches("_turned\",\"wind\":3}").count()
                + passed_on.stdout.matches("_changed\",\"wind\":3}").count(),
            strangers,
            "{passed_on}"
        );
        assert_eq!(
            passed_on.stderr.matches("tide_turned").count(),
            0,
            "{passed_on}"
        );
        let status = run_with(strangers, &["status", "--json"]);
        assert_eq!(status.stderr.matches(says).count(), told, "{status}");
        assert!(
            serde_json::from_str::<serde_json::Value>(&status.stdout).is_ok(),
            "{status}"
        );
    }
}
