//! What was foretold of a move, and what came of it.
//!
//! `check` says beforehand how long it will take, by the measured road; an earlier move of the same rows says it by its own times; and
//! while it goes on, the display says how much is left. All of that is in files: what `check` printed, and the record of the
//! run, which is shown to the display's own state again, second by second.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use pgconvoy::event::What;
use pgconvoy::progress::{Estimate, State};
use pgconvoy::report::recorded;
use serde::Serialize;

/// Parts of the run, after each of which it is asked how much is left.
const ASKED_AT: [f64; 3] = [0.25, 0.5, 0.75];

/// Each as a part of what it really was: 1 is right, 1.1 is a tenth too long.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Foretold {
    /// The whole, by `check`.
    pub check: Option<f64>,
    /// From the first job to the end, by the earlier run.
    pub baseline: Option<f64>,
    /// The whole, as the display had it after a quarter, a half and three quarters.
    pub display: [Option<f64>; 3],
}

impl Foretold {
    /// What the files in a scratch directory say: `check.json` and the run directory `run`. `None` if nothing was asked beforehand.
    pub fn read(scratch: &Path) -> Result<Option<Self>, String> {
        let check = scratch.join("check.json");
        if !check.exists() {
            return Ok(None);
        }
        let text = std::fs::read(&check).map_err(|error| error.to_string())?;
        let check: serde_json::Value =
            serde_json::from_slice(&text).map_err(|error| format!("check.json: {error}"))?;
        let record = File::open(scratch.join("run/events.jsonl"));
        let mut events = Vec::new();
        let take = |event| events.push(event);
        let record = record.and_then(|file| recorded::read(BufReader::new(file), take));
        record.map_err(|error| error.to_string())?;
        let (Some(first), Some(last)) = (events.first(), events.last()) else {
            return Err("the run has no record".to_owned());
        };
        let whole = (last.at - first.at).as_seconds_f64();
        let begun = events
            .iter()
            .find_map(|event| matches!(event.what, What::JobStarted { .. }).then_some(event.at));
        let baseline = events.iter().find_map(|event| match &event.what {
            What::Expected(expected) if expected.by.is_some() => expected.total_ms,
            _ => None,
        });
        let from_first_job = begun.map(|begun| (last.at - begun).as_seconds_f64());
        let mut display = [None; 3];
        for (part, said) in ASKED_AT.into_iter().zip(&mut display) {
            let now = after(first.at, whole * part);
            let mut state = State::default();
            events
                .iter()
                .take_while(|event| event.at <= now)
                .for_each(|event| state.apply(event));
            state.tick(now);
            if let Estimate::Left(ms) = state.estimate() {
                *said = Some((whole * part + ms as f64 / 1000.0) / whole);
            }
        }
        Ok(Some(Self {
            check: check["forecast"]["likely_s"]
                .as_f64()
                .map(|said| said / whole),
            baseline: baseline
                .zip(from_first_job)
                .map(|(said, took)| said as f64 / 1000.0 / took),
            display,
        }))
    }

    /// All of them, with their names.
    pub fn named(&self) -> [(&'static str, Option<f64>); 5] {
        let [quarter, half, three_quarters] = self.display;
        [
            ("check", self.check),
            ("the run before", self.baseline),
            ("at 25 %", quarter),
            ("at 50 %", half),
            ("at 75 %", three_quarters),
        ]
    }
}

fn after(time: DateTime<Utc>, seconds: f64) -> DateTime<Utc> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "milliseconds of a benchmark"
    )]
    let ms = (seconds * 1000.0) as i64;
    time + TimeDelta::milliseconds(ms)
}
