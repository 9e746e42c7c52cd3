//! A run beside the one that it was measured by: what was expected, what it took, and which jobs were not as expected.
//!
//! Times only: what was proven does not depend on them.

use std::cmp::Reverse;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::sessions::worked_ms;
use super::{JobReport, Outcome, Report};
use crate::event::Expected;
use crate::model::{ExitStatus, JobId};
use crate::progress::{Style, words};

use super::terminal::{View, head};

/// A job that is off by less is not worth a line.
const WORTH_TELLING_MS: u64 = 2000;

/// Nor one that is off by less than this, the longer time by the shorter.
const MUCH: f64 = 1.5;

/// Jobs that are kept in the report; those that are off by most.
const MOST: usize = 100;

/// Jobs that are named on the terminal.
const NAMED: usize = 5;

/// What was expected, and what came of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ExpectedReport {
    /// What the earlier run was: `rehearsal` or `earlier run`; `None` without one.
    pub by: Option<String>,
    /// Its directory.
    pub baseline: Option<String>,
    /// What it made us expect, from the first job to the end, in milliseconds.
    pub expected_ms: Option<u64>,
    /// What it took, all sessions together; `None` unless all of it was done.
    pub took_ms: Option<u64>,
    /// The time that there was, from the start of the run on, in milliseconds.
    pub window_ms: Option<u64>,
    /// Jobs that took much longer or shorter, those first that are off by most.
    pub deviations: Vec<Deviation>,
    #[serde(skip)]
    jobs: HashMap<JobId, u64>,
}

/// A job that was not as expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deviation {
    /// Which.
    pub job: JobId,
    /// What was expected, in milliseconds.
    pub expected_ms: u64,
    /// What it took.
    pub took_ms: u64,
}

impl ExpectedReport {
    /// As it was told.
    pub(super) fn of(expected: &Expected) -> Self {
        let jobs = expected.jobs.iter();
        Self {
            by: expected.by.clone(),
            baseline: expected.baseline.clone(),
            expected_ms: expected.total_ms,
            window_ms: expected.window_ms,
            jobs: jobs.map(|job| (job.job, job.duration_ms)).collect(),
            ..Self::default()
        }
    }

    /// What came of it so far. What was expected is of the whole run, and so is what it took: with the earlier sessions, which took
    /// so many milliseconds, and only of a run that did all its work.
    pub(super) fn settle(&mut self, report: &Report, earlier_ms: u64) {
        let all_done = matches!(
            report.status,
            Some(ExitStatus::Proven | ExitStatus::Waived | ExitStatus::Different)
        );
        let took_ms = earlier_ms.saturating_add(worked_ms(report));
        self.took_ms = (all_done && took_ms > 0).then_some(took_ms);
        // How far rough rates are off says nothing of a job.
        let finished = report
            .jobs
            .iter()
            .filter(|job| self.by.is_some() && job.outcome == Outcome::Finished);
        let off = finished.filter_map(|job| self.deviation(job));
        self.deviations = off.collect();
        self.deviations
            .sort_by_key(|off| (Reverse(off.took_ms.abs_diff(off.expected_ms)), off.job));
        self.deviations.truncate(MOST);
    }

    fn deviation(&self, job: &JobReport) -> Option<Deviation> {
        let (expected_ms, took_ms) = (*self.jobs.get(&job.plan.id)?, job.duration_ms);
        let (less, more) = (expected_ms.min(took_ms), expected_ms.max(took_ms));
        let much = more as f64 >= MUCH * less as f64;
        (much && more - less >= WORTH_TELLING_MS).then_some(Deviation {
            job: job.plan.id,
            expected_ms,
            took_ms,
        })
    }

    /// `expected by the rehearsal: 44 min 10 s; it took 41 min 2 s`, of several sessions `…, in 2 sessions`; nothing before the end, or
    /// without an earlier run.
    pub(super) fn sentence(&self, sessions: usize) -> Option<String> {
        let (by, expected_ms, took_ms) = (self.by.as_ref()?, self.expected_ms?, self.took_ms?);
        let in_sessions = match sessions {
            0 | 1 => String::new(),
            more => format!(", in {more} sessions"),
        };
        Some(format!(
            "expected by the {by}: {}; it took {}{in_sessions}",
            words::duration(expected_ms),
            words::duration(took_ms)
        ))
    }
}

impl Deviation {
    /// `12.0 s expected, took 29.4 s (2.4 times as long)`.
    pub(super) fn words(&self) -> String {
        let (expected, took) = (self.expected_ms.max(1) as f64, self.took_ms.max(1) as f64);
        let times = if took > expected {
            format!("{:.1} times as long", took / expected)
        } else {
            format!("{:.1} times as fast", expected / took)
        };
        format!(
            "{} expected, took {} ({times})",
            words::duration(self.expected_ms),
            words::duration(self.took_ms)
        )
    }
}

/// On the terminal: one line, and the jobs that are off by most.
pub(super) fn add(lines: &mut Vec<String>, report: &Report, view: View) {
    let Some(expected) = &report.expected else {
        return;
    };
    let Some(sentence) = expected.sentence(report.sessions.len()) else {
        return;
    };
    head(lines, ("measured:", Style::faint), &sentence, view);
    for off in expected.deviations.iter().take(NAMED) {
        let label = words::one_line(&report.label(off.job));
        lines.push(format!("    {label}: {}", off.words()));
    }
    let more = expected.deviations.len().saturating_sub(NAMED);
    if more > 0 {
        lines.push(format!(
            "    … and {} more, in report.json",
            words::count(more as u64, "job", "jobs")
        ));
    }
    lines.push(String::new());
}
