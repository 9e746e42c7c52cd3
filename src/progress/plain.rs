//! Without a terminal: one plain line every few seconds, and what matters at once.

use chrono::{DateTime, Utc};

use crate::event::Event;
use crate::model::Verdict;

use super::estimate::millis_between;
use super::state::{Estimate, PhaseProgress, State};
use super::style::Style;
use super::{DisplayOptions, Output, Verbosity, Writer, news, words};

/// Often enough to see that it lives, seldom enough for a log.
const EVERY_MS: u64 = 5000;

/// Plain lines.
pub struct Plain {
    options: DisplayOptions,
    state: State,
    pub(super) output: Output,
    last: Option<DateTime<Utc>>,
}

impl Plain {
    pub(super) fn new(options: DisplayOptions, stderr: Writer) -> Self {
        Self {
            options,
            state: State::default(),
            output: Output::new(stderr),
            last: None,
        }
    }

    pub(super) fn event(&mut self, event: &Event) {
        self.lasting(event);
        self.tick(event.at);
    }

    pub(super) fn past(&mut self, event: &Event) {
        self.lasting(event);
        self.last = Some(event.at);
    }

    fn lasting(&mut self, event: &Event) {
        self.state.apply(event);
        let style = Style {
            color: self.options.color && self.options.stderr_is_terminal,
        };
        for line in news::lines(event, &self.state, self.options.verbosity, style) {
            self.line(event.at, &line);
        }
    }

    pub(super) fn tick(&mut self, now: DateTime<Utc>) {
        self.state.tick(now);
        if self.options.verbosity == Verbosity::Quiet || self.state.ended.is_some() {
            return;
        }
        // The first line comes one interval after the plan, not at once with zeros in it.
        // A clock that was set back is not waited for.
        let last = self.last.map_or(now, |last| last.min(now));
        if millis_between(last, now) < EVERY_MS {
            self.last = Some(last);
            return;
        }
        self.last = Some(now);
        if let Some(line) = line(&self.state) {
            self.line(now, &line);
        }
    }

    /// Every line begins with the time of day, also the later lines of one message: a log is searched line by line.
    fn line(&mut self, at: DateTime<Utc>, text: &str) {
        let time = at.with_timezone(&self.options.zone).format("%H:%M:%S");
        for line in text.split('\n') {
            self.output.line(format!("{time}  {line}").trim_end());
        }
    }
}

/// `copying 41% · 530.2 MB of 1.3 GB · 88.1 MB/s · indexes 3/40 · … · about 1 min 20 s left`; of a comparison `reading 41% ·
/// 1.1 GB of 2.6 GB · 210.0 MB/s · 7/23 · 3 of 12 tables the same · about 10 s left`. `None` without a plan.
pub fn line(state: &State) -> Option<String> {
    let mut parts: Vec<String> = Vec::new();
    for (phase, progress) in state.phases() {
        let jobs = format!("{}/{}", progress.finished, progress.jobs);
        if phase != state.measured() {
            parts.push(format!("{} {jobs}", words::phase(phase)));
            continue;
        }
        let word = if state.compares() {
            "reading"
        } else {
            words::phase(phase)
        };
        if progress.is_over() {
            let word = if state.compares() { "read" } else { "copied" };
            parts.push(format!("{word} {}", progress.bytes));
        } else {
            parts.push(format!("{word} {}", percent(state.fraction(phase))));
            parts.extend(bytes_and_rate(state, &progress));
        }
        if state.compares() {
            parts.push(jobs);
            parts.push(same(state));
        }
    }
    if parts.is_empty() {
        return None;
    }
    parts.extend(trouble(state));
    parts.extend(time_left(state));
    Some(parts.join(" · "))
}

/// How many tables of a comparison are known to be the same.
pub fn same(state: &State) -> String {
    format!(
        "{} of {} tables the same",
        state.tables_same(),
        state.tables
    )
}

/// Rounded down, so that 100% is said only when it is true.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and 100"
)]
pub fn percent(fraction: f64) -> String {
    format!("{}%", (fraction * 100.0).floor() as u8)
}

/// How far a phase that is measured in bytes is, and how fast.
pub fn bytes_and_rate(state: &State, progress: &PhaseProgress) -> Vec<String> {
    let mut parts = vec![format!("{} of {}", progress.done, progress.bytes)];
    parts.extend(state.speed().map(words::speed));
    parts
}

/// What went wrong so far, in numbers.
pub fn trouble(state: &State) -> Vec<String> {
    let different = state.verdicts.get(&Verdict::Different).copied();
    let counts = [
        (state.failures, "failed"),
        (state.skipped, "skipped"),
        (state.differences.max(different.unwrap_or(0)), "different"),
        (state.unverified, "not verified"),
    ];
    counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect()
}

/// How it goes on: that it stops, or how long it will take.
pub fn time_left(state: &State) -> Vec<String> {
    match stopping(state) {
        Some(stopping) => vec![stopping],
        None => left(state),
    }
}

/// That it stops, and how long its running jobs may take.
fn stopping(state: &State) -> Option<String> {
    let (_, until) = state.draining.as_ref()?;
    let left = state.now().map_or(0, |now| millis_between(now, *until));
    Some(format!("stopping within {} s", left.div_ceil(1000)))
}

/// How long it will go on, in words; and how that compares with an earlier run, and with the time that there is.
fn left(state: &State) -> Vec<String> {
    let left_ms = match state.estimate() {
        Estimate::None => return Vec::new(),
        Estimate::Estimating => return vec!["estimating the time left".to_owned()],
        Estimate::Left(ms) => ms,
    };
    let left = format!("{} left", words::about(left_ms));
    let Some(outlook) = state.outlook() else {
        return vec![left];
    };
    let mut parts: Vec<String> = Vec::new();
    parts.extend(outlook.done.map(|done| format!("{} in all", percent(done))));
    parts.push(match (outlook.then_left_ms, &outlook.by) {
        (Some(then_ms), Some(by)) => format!("{left} ({by}: {})", words::about(then_ms)),
        _ => left,
    });
    parts.extend(
        outlook
            .window_ms
            .map(|window_ms| within(window_ms, state.elapsed_ms().saturating_add(left_ms))),
    );
    parts
}

/// How a part begins that says that there is too little time.
pub const BEYOND: &str = "BEYOND THE WINDOW";

/// Whether what will have taken so long fits into the time there is.
fn within(window_ms: u64, end_ms: u64) -> String {
    match window_ms.checked_sub(end_ms) {
        Some(spare_ms) => format!("within the window by {}", length(spare_ms)),
        None => format!("{BEYOND} by {}", length(end_ms - window_ms)),
    }
}

/// No more exact than an estimate can be, and never more than there is.
fn length(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..5 => "a few seconds".to_owned(),
        5..60 => format!("{} s", seconds / 5 * 5),
        60..3600 => format!("{} min", seconds / 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}
