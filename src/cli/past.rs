//! What earlier sessions of a run have left in its directory: how the last one ended, and which statements failed.
//!
//! Where the ledger and the record say different things of what is done, the ledger is right. The record only adds to it: the
//! server's whole error, and the file that keeps the statement, which the operator may have edited.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};

use super::record;
use super::run_dir::{Look, edited_statements};
use crate::event::{Event, Expected, JobFailure, What};
use crate::failure::Failure;
use crate::model::{ExitStatus, JobId, SqlText};

/// Failures by job and part.
pub(super) type Failures = BTreeMap<JobId, BTreeMap<u32, JobFailure>>;

/// What the record of a run says.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// How the last session ended, if it came to its end: its exit status, and its last sentence.
    pub ended: Option<(ExitStatus, String)>,
    /// Whether there was a ledger: jobs were announced.
    pub begun: bool,
    /// What the last session went by, if it was told of anything.
    pub measure: Measure,
    /// When the last session said that it had started.
    began: DateTime<Utc>,
    failures: Vec<JobFailure>,
}

/// What a session compares itself with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Measure {
    /// The directory of an earlier run.
    pub baseline: Option<PathBuf>,
    /// When it should be over.
    pub until: Option<DateTime<Utc>>,
}

impl Measure {
    fn of(expected: &Expected, began: DateTime<Utc>) -> Self {
        let window =
            |ms: u64| began.checked_add_signed(TimeDelta::milliseconds(i64::try_from(ms).ok()?));
        Self {
            baseline: expected.baseline.as_ref().map(PathBuf::from),
            until: expected.window_ms.and_then(window),
        }
    }
}

/// A statement that the operator has edited after it failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edited {
    /// What to run instead.
    pub sql: SqlText,
    /// The file that it is in, relative to the run directory.
    pub file: String,
}

impl Past {
    /// Reads it.
    pub fn read(look: &Look) -> Result<Self, Failure> {
        let mut past = Self::default();
        record::read(look, |event| past.meet(event))?;
        Ok(past)
    }

    fn meet(&mut self, event: Event) {
        match event.what {
            // Not at a `SessionBoundary`: a session that has not said that it has started touched nothing, so the end before it holds.
            What::RunStarted { .. } => {
                self.ended = None;
                self.began = event.at;
            }
            What::Expected(expected) => self.measure = Measure::of(&expected, self.began),
            What::Planned { .. } => self.begun = true,
            What::RunFinished {
                status, sentence, ..
            } => self.ended = Some((status, sentence)),
            What::JobFailed { failure, .. } => self.failures.push(*failure),
            _ => {}
        }
    }

    /// The same failures, with all that the record knows of them.
    pub fn enrich(&self, failures: Failures) -> Failures {
        let whole = |failure: JobFailure| {
            let recorded = self.failures.iter().rev();
            let found = recorded.clone().find(|recorded| same(recorded, &failure));
            found.cloned().unwrap_or(failure)
        };
        failures
            .into_iter()
            .map(|(job, parts)| {
                let parts = parts.into_iter();
                let parts = parts.map(|(part, failure)| (part, whole(failure)));
                (job, parts.collect())
            })
            .collect()
    }
}

/// Numbers of jobs and entries may have changed in between.
fn same(one: &JobFailure, other: &JobFailure) -> bool {
    let entry = |failure: &JobFailure| {
        let entry = failure.entry.as_ref()?;
        Some((entry.desc.clone(), entry.tag.clone()))
    };
    entry(one) == entry(other) && one.statement == other.statement
}

/// Which of the failed statements were edited in their files.
pub(super) fn edited(
    look: &Look,
    failures: &Failures,
) -> Result<BTreeMap<(JobId, u32), Edited>, Failure> {
    let mut edited = BTreeMap::new();
    for (job, parts) in failures {
        for (part, failure) in parts {
            let Some(file) = &failure.file else {
                continue;
            };
            let path = look.path().join(file);
            let text = fs::read_to_string(&path)
                .map_err(|error| Failure::file("reading", &path, &error))?;
            if let Some(sql) = edited_statements(&text, failure) {
                let sql = SqlText::from(sql);
                let file = file.clone();
                edited.insert((*job, *part), Edited { sql, file });
            }
        }
    }
    Ok(edited)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::testing::started;
    use crate::model::{RunCommand, VerifyLevel};

    #[test]
    fn an_end_holds_until_a_later_session_says_that_it_has_started() {
        let mut past = Past::default();
        let start = || started(RunCommand::Resume, VerifyLevel::Content);
        let end = What::RunFinished {
            status: ExitStatus::Proven,
            sentence: "Proven.".to_owned(),
            next: None,
        };
        let step = What::StepStarted {
            step: "connecting".to_owned(),
        };
        let at = DateTime::UNIX_EPOCH;
        for what in [start(), end, step] {
            past.meet(Event { at, what });
        }
        let ended = Some((ExitStatus::Proven, "Proven.".to_owned()));
        assert_eq!(past.ended, ended, "killed before it had touched anything");
        past.meet(Event { at, what: start() });
        assert_eq!(past.ended, None);
    }
}
