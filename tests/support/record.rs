//! What a run has written down: every line must be understood, but for one that is being written.

use std::path::Path;

use pgconvoy::event::{Event, What};
use serde_json::Value;

/// The events of a run directory so far, as they stand there.
#[track_caller]
pub fn events(run_dir: &Path) -> Vec<Value> {
    let path = run_dir.join("events.jsonl");
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let event = |line: &str| {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("no event: {error}: {line}"))
    };
    whole.lines().map(event).collect()
}

/// The same as their readers know them.
#[track_caller]
pub fn told(run_dir: &Path) -> Vec<What> {
    let understood = |event: Value| {
        let shown = event.to_string();
        let event: Result<Event, _> = serde_json::from_value(event);
        event
            .unwrap_or_else(|error| panic!("{error}: {shown}"))
            .what
    };
    events(run_dir).into_iter().map(understood).collect()
}

/// How often a job was tried again so far; 0 of a run that has not begun to write.
pub fn retries(run_dir: &Path) -> usize {
    if !run_dir.join("events.jsonl").exists() {
        return 0;
    }
    let is_retry = |what: &&What| matches!(what, What::JobRetried { .. });
    told(run_dir).iter().filter(is_retry).count()
}
