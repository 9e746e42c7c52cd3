//! Reads a recorded run, `events.jsonl`, as far as it goes.
//!
//! A run may have been killed in the middle of a line, and may have been written by a newer pgconvoy with kinds of events
//! that this one does not know. Neither keeps the rest from being read; both are said.

use std::collections::BTreeMap;
use std::io::{self, BufRead};

use crate::event::Event;
use crate::progress::words;

/// What was read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recording {
    /// The events that are understood, in order.
    pub events: Vec<Event>,
    /// Kinds of events that are not known here, or not in this form, and how many there were of each.
    pub unknown: BTreeMap<String, u64>,
    /// Lines, from 1, that are not events at all.
    pub damaged: Vec<u64>,
    /// The last line was not written to its end.
    pub torn: bool,
}

impl Recording {
    /// Sentences about what could not be read; none if all of it could.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.torn {
            remarks.push(
                "the record ends in the middle of a line: the run was killed, or still goes on"
                    .to_owned(),
            );
        }
        if !self.unknown.is_empty() {
            let total = self.unknown.values().sum();
            let kinds: Vec<&str> = self.unknown.keys().map(String::as_str).collect();
            remarks.push(format!(
                "{} of a kind this version does not know: {}",
                words::count(total, "event is", "events are"),
                words::one_line(&kinds.join(", "))
            ));
        }
        if !self.damaged.is_empty() {
            let lines: Vec<String> = self.damaged.iter().map(ToString::to_string).collect();
            remarks.push(format!(
                "no event can be read in {} {}: the record is damaged",
                if lines.len() == 1 { "line" } else { "lines" },
                lines.join(", ")
            ));
        }
        remarks
    }
}

/// Reads a record. Fails only if reading itself fails.
pub fn read(mut record: impl BufRead) -> io::Result<Recording> {
    let mut recording = Recording::default();
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        if record.read_until(b'\n', &mut line)? == 0 {
            return Ok(recording);
        }
        number += 1;
        let whole = line.last() == Some(&b'\n');
        if line.trim_ascii().is_empty() {
            continue;
        }
        if let Ok(event) = serde_json::from_slice::<Event>(&line) {
            recording.events.push(event);
        } else if let Some(kind) = kind(&line) {
            *recording.unknown.entry(kind).or_default() += 1;
        } else if whole {
            recording.damaged.push(number);
        } else {
            recording.torn = true;
        }
    }
}

/// What a line calls itself, if it is JSON and has the form of an event.
fn kind(line: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(line).ok()?;
    Some(value.get("event")?.as_str()?.to_owned())
}
