//! Reads a recorded run, `events.jsonl`, as far as it goes.
//!
//! A session may have been killed in the middle of a line, and a run may have been written by a newer pgconvoy with kinds of
//! events that this one does not know. Neither keeps the rest from being read; both are said. Events are handed on one by one, and
//! none is kept: the record of a run of days is larger than what it comes to.

use std::collections::BTreeMap;
use std::io::{self, BufRead};

use crate::event::{Event, What};
use crate::progress::words;

/// What was read besides the events that are understood.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recording {
    /// Kinds of events that are not known here, or not in this form, and how many there were of each.
    pub unknown: BTreeMap<String, u64>,
    /// Lines, from 1, that are not events at all.
    pub damaged: Vec<u64>,
    /// The last line was not written to its end.
    pub torn: bool,
    /// Lines read so far.
    lines: u64,
    /// The last line, if it is not an event: damage, unless a later session begins after it.
    suspect: Option<u64>,
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
        remarks.extend(unknown_kinds(&self.unknown));
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

impl Recording {
    /// Takes the next line in, with its line end if it has one, and returns the event in it.
    pub fn line(&mut self, line: &[u8]) -> Option<Event> {
        self.lines += 1;
        let suspect = self.suspect.take();
        if line.trim_ascii().is_empty() {
            self.damaged.extend(suspect);
            return None;
        }
        let event = serde_json::from_slice::<Event>(line).ok();
        let begins = event.as_ref().is_some_and(begins_a_session);
        self.damaged.extend(suspect.filter(|_| !begins));
        if event.is_some() {
            return event;
        }
        if let Some(kind) = kind(line) {
            *self.unknown.entry(kind).or_default() += 1;
        } else if line.ends_with(b"\n") {
            self.suspect = Some(self.lines);
        } else {
            self.torn = true;
        }
        None
    }
}

/// A session that was killed in the middle of a line is no damage: the next one begins on a line of its own, with a step or
/// with its start. No `SessionBoundary` falls before that step: the session that was killed has not said that it has ended.
fn begins_a_session(event: &Event) -> bool {
    matches!(
        event.what,
        What::RunStarted { .. } | What::StepStarted { .. }
    )
}

/// Reads a record, and hands its events on, in order. Fails only if reading itself fails.
pub fn read(mut record: impl BufRead, mut take: impl FnMut(Event)) -> io::Result<Recording> {
    let mut recording = Recording::default();
    let mut line = Vec::new();
    while record.read_until(b'\n', &mut line)? > 0 {
        if let Some(event) = recording.line(&line) {
            take(event);
        }
        line.clear();
    }
    let suspect = recording.suspect.take();
    recording.damaged.extend(suspect);
    Ok(recording)
}

/// `2 events are of a kind this version does not know: weather_changed`, of kinds and how many there are of each; `None` of none.
pub fn unknown_kinds(unknown: &BTreeMap<String, u64>) -> Option<String> {
    let kinds: Vec<&str> = unknown.keys().map(String::as_str).collect();
    (!kinds.is_empty()).then(|| {
        format!(
            "{} of a kind this version does not know: {}",
            words::count(unknown.values().sum(), "event is", "events are"),
            words::one_line(&kinds.join(", "))
        )
    })
}

/// What a line calls itself, if it is JSON and has the form of an event.
pub fn kind(line: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(line).ok()?;
    Some(value.get("event")?.as_str()?.to_owned())
}
