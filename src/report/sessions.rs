//! A run of several sessions, each of which began where the one before it had ended: what stays of the earlier ones.
//!
//! Pure, as the model is. A session begins with a `run_started`. One that was killed never says how it ended: it lasted up
//! to its last event, and not up to the first of the next one, which tells of a step before it says that it has started.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Outcome, Report};
use crate::event::{Emptying, Event, JobFailure, Standing, StandingState, What};
use crate::model::{ExitStatus, JobId, Rows, RunCommand};

/// One session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionReport {
    /// The command.
    pub command: RunCommand,
    /// Time of its first event.
    pub started_at: DateTime<Utc>,
    /// Time of its last event.
    pub ended_at: DateTime<Utc>,
    /// What the process exited with; `None` if it never said so.
    pub status: Option<ExitStatus>,
}

/// Tells the sessions of a record apart, event by event.
#[derive(Debug, Clone, Default)]
pub struct SessionBoundary {
    /// The last event was the end of one.
    ended: bool,
}

impl SessionBoundary {
    /// Whether a session begins with this event: with its start, or, as long as it has not said so, with what comes after the end of the
    /// one before it.
    pub fn falls_before(&mut self, event: &Event) -> bool {
        let begins = self.ended || matches!(event.what, What::RunStarted { .. });
        self.ended = matches!(event.what, What::RunFinished { .. });
        begins
    }
}

/// How many jobs stood where when a later session began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumedReport {
    /// Done by an earlier session, and kept.
    pub done: u64,
    /// Done by an earlier session, and done again.
    pub redo: u64,
    /// Done by nobody yet.
    pub left: u64,
    /// Failed in an earlier session, and not tried again.
    pub failed: u64,
}

/// A job that was broken off and tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryReport {
    /// Which.
    pub job: JobId,
    /// How many times it had been tried by then.
    pub attempt: u32,
    /// What broke it off.
    pub because: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// Requests to object stores that were sent again in a session: by store how many, and why the last was.
#[derive(Debug, Clone, Default)]
pub(super) struct StoreRetries(BTreeMap<String, (u64, String)>);

impl StoreRetries {
    /// Takes some in.
    pub fn meet(&mut self, what: &What) {
        if let What::StoreRetried {
            store,
            because,
            requests,
        } = what
        {
            let (count, last) = self.0.entry(store.clone()).or_default();
            *count += requests;
            last.clone_from(because);
        }
    }

    /// A sentence for each store, however often it was told.
    pub fn notes(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(store, (count, because))| {
            let (count, word) = match count {
                1 => ("a".to_owned(), "request"),
                more => (Rows(*more).to_string(), "requests"),
            };
            format!("{store} did not answer {count} {word} as it should, and was asked again (the last: {because})")
        })
    }
}

impl SessionReport {
    /// Of the session that a report is about; `None` if nothing has happened in it.
    pub(super) fn of(report: &Report) -> Option<Self> {
        Some(Self {
            command: report.command.clone(),
            started_at: report.started_at?,
            ended_at: report.ended_at?,
            status: report.status,
        })
    }
}

/// What the session of a report took, from its first job to its end, in milliseconds; 0 if it had no job.
pub(super) fn worked_ms(report: &Report) -> u64 {
    let began = report.jobs.iter().filter_map(|job| job.started_at).min();
    let took = began.zip(report.ended_at);
    let took = took.map(|(began, ended)| (ended - began).num_milliseconds());
    took.map_or(0, |took| u64::try_from(took).unwrap_or(0))
}

impl ResumedReport {
    /// Counts.
    pub fn of(standing: &[Standing]) -> Self {
        let count = |wanted| {
            let jobs = standing.iter();
            jobs.filter(|standing| standing.state == wanted).count() as u64
        };
        Self {
            done: count(StandingState::Done),
            redo: count(StandingState::Redo),
            left: count(StandingState::Left),
            failed: count(StandingState::Failed),
        }
    }
}

/// What a later session may need to know of the earlier ones.
#[derive(Debug, Clone, Default)]
pub(super) struct Past {
    /// The last word on each job that failed.
    failures: HashMap<JobId, Box<JobFailure>>,
    /// When the session ended, unless the steps that came last are its own.
    before_last_steps: Option<DateTime<Utc>>,
    boundary: SessionBoundary,
    /// When something happened after the end of the session: in the next one, which has not said yet that it has started.
    went_on: Option<DateTime<Utc>>,
    /// What the sessions took together, each from its first job to its end, in milliseconds.
    worked_ms: u64,
    /// How far emptying the target came, unless there was a plan afterwards: then the target is what the jobs have made of it.
    emptied: Option<Emptying>,
}

impl Past {
    /// Moves the end of a session on to this event. What follows its last event is not its own.
    pub fn meet(&mut self, event: &Event, ended_at: &mut Option<DateTime<Utc>>) {
        if matches!(event.what, What::StepStarted { .. }) {
            self.before_last_steps = self.before_last_steps.or(*ended_at);
        } else {
            self.before_last_steps = None;
        }
        *ended_at = Some(event.at);
        let begins = self.boundary.falls_before(event);
        match event.what {
            What::RunStarted { .. } | What::RunFinished { .. } => self.went_on = None,
            _ if begins => self.went_on = Some(event.at),
            _ => {}
        }
    }

    /// When the next session began that has not said yet that it has started; `None` if nothing is known of one.
    pub fn went_on(&self) -> Option<DateTime<Utc>> {
        self.went_on
    }

    /// What the earlier sessions took together, each from its first job to its end, in milliseconds.
    pub fn worked_ms(&self) -> u64 {
        self.worked_ms
    }

    /// How far the earlier sessions came with emptying the target.
    pub fn emptied(&self) -> Option<Emptying> {
        self.emptied
    }

    /// How far all sessions together are, from how far this one is. What was there and is not found any more is gone, also if nobody
    /// came to say so.
    pub fn emptying(&self, now: Emptying) -> Emptying {
        let Some(before) = self.emptied else {
            return now;
        };
        let held = before.dropped.saturating_add(now.objects);
        let held = held.max(before.objects);
        let left = now.objects.saturating_sub(now.dropped);
        Emptying {
            objects: held,
            dropped: held.saturating_sub(left),
        }
    }

    /// A report's session is over: keeps what is needed of it.
    pub fn remember(&mut self, report: &mut Report) {
        if let Some(ended_at) = self.before_last_steps.take() {
            report.ended_at = Some(ended_at);
        }
        self.worked_ms = self.worked_ms.saturating_add(worked_ms(report));
        let has_plan = report.planned_tables.is_some();
        self.emptied = report.emptying.filter(|_| !has_plan);
        (self.boundary, self.went_on) = (SessionBoundary::default(), None);
        for job in &report.jobs {
            match &job.outcome {
                Outcome::Failed { failure } => {
                    self.failures.insert(job.plan.id, failure.clone());
                }
                Outcome::Finished => {
                    self.failures.remove(&job.plan.id);
                }
                _ => {}
            }
        }
    }

    /// Why a job failed in an earlier session; all that there is to say about it if that is not in the record.
    pub fn failure(&self, job: JobId, why: &str) -> Box<JobFailure> {
        let known = self.failures.get(&job).cloned();
        known.unwrap_or_else(|| {
            Box::new(JobFailure {
                entry: None,
                statement: None,
                message: why.to_owned(),
                server_error: None,
                hint: None,
                file: None,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::testing::started;
    use crate::model::VerifyLevel;

    fn step() -> What {
        What::StepStarted {
            step: "connecting".to_owned(),
        }
    }

    fn start() -> What {
        started(RunCommand::Resume, VerifyLevel::Content)
    }

    fn end() -> What {
        What::RunFinished {
            status: ExitStatus::Interrupted,
            sentence: String::new(),
            next: None,
        }
    }

    /// Each a second after the one before it.
    fn events(kinds: impl IntoIterator<Item = What>) -> Vec<Event> {
        let event = |(second, what)| Event {
            at: DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(second),
            what,
        };
        (0..).zip(kinds).map(event).collect()
    }

    /// Before which events a session begins, by their places.
    fn begun(kinds: impl IntoIterator<Item = What>) -> Vec<usize> {
        let mut boundary = SessionBoundary::default();
        let events = events(kinds);
        let places = events.iter().enumerate();
        let begins = places.filter(|(_, event)| boundary.falls_before(event));
        begins.map(|(place, _)| place).collect()
    }

    #[test]
    fn a_session_begins_with_its_start_or_after_the_end_of_the_one_before() {
        assert_eq!(begun([step(), start(), step(), end()]), [1]);
        assert_eq!(begun([start(), end(), step(), step()]), [0, 2]);
        assert_eq!(begun([start(), end(), step(), start(), step()]), [0, 2, 3]);
        assert_eq!(begun([start(), step(), start()]), [0, 2], "killed");
    }

    #[test]
    fn what_came_first_after_an_end_is_when_the_next_session_began() {
        let went_on = |kinds: Vec<What>| {
            let (mut past, mut ended_at) = (Past::default(), None);
            for event in events(kinds) {
                past.meet(&event, &mut ended_at);
            }
            past.went_on().map(|at| at.timestamp())
        };
        assert_eq!(went_on(vec![step(), start(), end()]), None);
        assert_eq!(went_on(vec![start(), end(), step(), step()]), Some(2));
        assert_eq!(went_on(vec![start(), end(), step(), start()]), None);
        assert_eq!(went_on(vec![start(), end(), step(), end()]), None);
    }
}
