//! On a terminal: a bar per phase that has work, the time gone and left, and a line per running job.
//!
//! [`picture`] decides what is to be seen; the [screen](super::screen) keeps it below the lines that last.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::event::{Bound, Event, Phase};
use crate::model::Verdict;

use super::estimate::Speed;
use super::screen::{Screen, Size};
use super::state::{Ended, Guess, PhaseProgress, RunningJob, State};
use super::style::Style;
use super::{DisplayOptions, Writer, news, plain, words};

/// Pictures a second; more would only cost.
const PICTURES: u8 = 10;

/// Running jobs that are shown at most; a machine may have a hundred cores, but no screen has so many lines.
const MOST_JOBS: usize = 16;

/// Bars on a terminal.
pub struct Terminal {
    options: DisplayOptions,
    style: Style,
    state: State,
    screen: Screen,
    drawn: Option<Instant>,
}

impl Terminal {
    pub(super) fn new(options: DisplayOptions, stderr: Writer) -> Self {
        Self {
            options,
            style: Style {
                color: options.color,
            },
            state: State::default(),
            screen: Screen::new(stderr, options.size),
            drawn: None,
        }
    }

    pub(super) fn event(&mut self, event: &Event) {
        self.state.apply(event);
        if self.state.ended.is_some() {
            self.clear();
        }
        let news = news::lines(event, &self.state, self.options.verbosity, self.style);
        if !news.is_empty() {
            self.screen.print(&news);
        }
        self.tick(event.at);
    }

    pub(super) fn tick(&mut self, now: DateTime<Utc>) {
        self.state.tick(now);
        let interval = Duration::from_millis(1000 / u64::from(PICTURES));
        let fresh = self.drawn.is_some_and(|drawn| drawn.elapsed() < interval);
        if fresh || self.state.ended.is_some() {
            return;
        }
        self.drawn = Some(Instant::now());
        let picture = picture(&self.state, (self.options.size)(), self.style);
        self.screen.show(picture);
    }

    pub(super) fn clear(&mut self) {
        self.screen.clear();
    }

    pub(super) fn write_error(&self) -> Option<String> {
        self.screen.error()
    }
}

/// The lines to be seen now, none wider than the terminal.
pub fn picture(state: &State, size: Size, style: Style) -> Vec<String> {
    let columns = usize::from(size.columns).max(20);
    let mut lines: Vec<String> = state
        .phases()
        .map(|(phase, progress)| phase_line(state, phase, &progress, columns, style))
        .collect();
    if lines.is_empty() {
        return lines;
    }
    let room = usize::from(size.rows).saturating_sub(lines.len() + 1);
    let totals = total_lines(state, columns, style).into_iter();
    lines.extend(totals.take(room.max(1)));
    // One line stays free for the cursor.
    let room = usize::from(size.rows).saturating_sub(lines.len() + 2);
    let running: Vec<&RunningJob> = state.running().collect();
    let shown = running.len().min(MOST_JOBS).min(room);
    let labels: Vec<String> = running[..shown]
        .iter()
        .map(|job| words::one_line(&job.plan.label))
        .collect();
    let widest = labels
        .iter()
        .map(|label| console::measure_text_width(label))
        .max();
    let label_width = widest.unwrap_or(0).min((columns / 2).saturating_sub(4));
    for (job, label) in running.iter().zip(&labels) {
        lines.push(job_line(state, job, label, label_width));
    }
    if running.len() > shown && shown > 0 {
        let are = if state.ended.is_some() {
            ""
        } else {
            " running"
        };
        lines.push(format!("    … and {} more{are}", running.len() - shown));
    }
    lines
        .into_iter()
        .map(|line| console::truncate_str(&line, columns.saturating_sub(1), "…").into_owned())
        .collect()
}

fn phase_line(
    state: &State,
    phase: Phase,
    progress: &PhaseProgress,
    columns: usize,
    style: Style,
) -> String {
    let fraction = state.fraction(phase);
    let bar = match columns {
        0..60 => String::new(),
        60..100 => bar(fraction, 16),
        _ => bar(fraction, 30),
    };
    let mut details = Vec::new();
    let measured = phase == state.measured();
    if measured && !progress.is_over() {
        details.extend(plain::bytes_and_rate(state, progress));
    } else if measured {
        details.push(format!("{}", progress.bytes));
    }
    details.push(format!("{}/{}", progress.finished, progress.jobs));
    if phase == Phase::Verify && !state.compares() {
        let identical = state
            .verdicts
            .get(&Verdict::Identical)
            .copied()
            .unwrap_or(0);
        details.push(format!("{identical} of {} tables identical", state.tables));
    }
    for (count, word) in [(progress.failed, "failed"), (progress.skipped, "skipped")] {
        if count > 0 {
            details.push(style.bad(&format!("{count} {word}")));
        }
    }
    format!(
        "  {:<12}  {} {:>4}  {}",
        if state.compares() {
            "reading"
        } else {
            words::phase(phase)
        },
        bar,
        plain::percent(fraction),
        details.join(" · ")
    )
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and the bar's width"
)]
fn bar(fraction: f64, width: usize) -> String {
    let full = ((fraction * width as f64).floor() as usize).min(width);
    format!("{}{}", "█".repeat(full), "░".repeat(width - full))
}

/// The time gone and left, and what went wrong: that first, and in as many lines as it takes, because what is cut off is not seen.
fn total_lines(state: &State, columns: usize, style: Style) -> Vec<String> {
    let is_bad = |part: &String| part.starts_with(plain::BEYOND);
    let (beyond, left): (Vec<String>, Vec<String>) =
        plain::time_left(state).into_iter().partition(is_bad);
    let trouble = beyond.into_iter().chain(plain::trouble(state));
    let good = left
        .into_iter()
        .chain(state.compares().then(|| plain::same(state)));
    let gone = format!("{} gone", words::clock(state.elapsed_ms()));
    let parts = std::iter::once((gone, false))
        .chain(trouble.map(|part| (part, true)))
        .chain(good.map(|part| (part, false)));
    let mut lines = Vec::new();
    let mut line = String::new();
    for (part, bad) in parts {
        let painted = if bad {
            style.bad(&part)
        } else {
            style.strong(&part)
        };
        let width = console::measure_text_width(&line) + 3 + console::measure_text_width(&part);
        if line.is_empty() {
            line = format!("  {painted}");
        } else if width < columns {
            line = format!("{line} · {painted}");
        } else {
            lines.push(std::mem::replace(&mut line, format!("  {painted}")));
        }
    }
    lines.push(line);
    lines
}

fn job_line(state: &State, job: &RunningJob, label: &str, label_width: usize) -> String {
    let details = match &state.ended {
        Some(ended) => broken_off(job, ended),
        None => under_way(state, job),
    };
    let label = console::truncate_str(label, label_width, "…");
    let label = console::pad_str(&label, label_width, console::Alignment::Left, None);
    format!("    {label}  {}", details.join(" · "))
}

/// Nobody works on it any more, and the record has no end of it; the target may.
fn broken_off(job: &RunningJob, ended: &Ended) -> Vec<String> {
    let next = ended.next.as_deref();
    let is_resumed = next.is_some_and(|next| next.contains("pgconvoy resume"));
    let what = if is_resumed {
        "begun; resume takes it up"
    } else {
        "begun, no end recorded"
    };
    let mut details = vec![what.to_owned()];
    details.extend(how_far(job));
    details
}

fn how_far(job: &RunningJob) -> Option<String> {
    if job.bytes.0 > 0 {
        let all = job.plan.bytes.max(job.bytes);
        return Some(format!("{} of {all}", job.bytes));
    }
    (job.plan.bytes.0 > 0).then(|| format!("{} to do", job.plan.bytes))
}

fn under_way(state: &State, job: &RunningJob) -> Vec<String> {
    let mut details = vec![format!("{:>5}", words::clock(state.running_ms(job)))];
    details.extend(how_far(job).filter(|_| job.bytes.0 > 0 || job.waits.is_none()));
    // First, because what is cut off is not seen.
    let guess = state.guess(job);
    details.extend(guess.as_ref().map(Guess::words));
    match &job.waits {
        // In place of a rate, which would be sinking to nothing.
        Some(waits) => details.push(words::one_line(waits)),
        None if job.bytes.0 > 0 => {
            let speed = job.speed();
            details.extend(speed.map(words::speed));
            details.extend((job.rows.0 > 0).then(|| words::count(job.rows.0, "row", "rows")));
            let by = match job.bound {
                Bound::Source => "the source",
                Bound::Target => "the target",
                Bound::Client => "this machine",
                Bound::Nobody => "",
            };
            let has_pace = matches!(speed, Some(Speed::PerSecond(_))) && !by.is_empty();
            details.extend(has_pace.then(|| format!("{by} sets the pace")));
        }
        None => {}
    }
    let slower = state.slower(job.plan.id, state.running_ms(job));
    let slower = slower.filter(|_| guess.is_none());
    // `2.4 × the rehearsal`: how much longer than then it has taken by now.
    details.extend(slower.map(|slower| format!("{:.1} × the {}", slower.times, slower.by)));
    details
}
