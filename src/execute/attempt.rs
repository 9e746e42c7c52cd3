//! One job, tried until it is done, has failed for good, or nothing more can be hoped for.
//!
//! ```text
//!   try ──► done
//!    ▲  └─► an error that may pass ──► wait ──► end the old backends ──► ask the ledger ──┐
//!    │                                                                                    │
//!    └────────────────── with what is done by now, by part ◄──────────────────────────────┘
//! ```
//!
//! The ledger is asked because the connection may have died while COMMIT was under way: then the work is done, and doing it
//! again would do it twice. It is asked when the old backends are gone, so that its answer does not change any more.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::future::Future;
use std::sync::{Arc, MutexGuard, PoisonError};

use super::outcome::{Ended, Outcome};
use super::running::wait_for_next;
use super::supervisor::Context;
use super::watchdog::DEAD_AFTER;
use super::{compare, copy, large_objects, statements};
use crate::event::JobFailure;
use crate::ledger::{self, DoneMark, Line, Marks, Trouble};
use crate::model::{DumpId, JobId, SqlText};
use crate::pg::wire::Gauge;
use crate::pg::{PgError, Session};
use crate::plan::{Job, Work};

/// A job on its way to a worker.
pub(super) struct Task {
    pub context: Arc<Context>,
    pub id: JobId,
    pub broken: HashSet<DumpId>,
    pub gauge: Arc<Gauge>,
}

/// What a job has to know about the attempt it is in.
pub(super) struct Attempt<'a> {
    /// The job.
    pub job: &'a Job,
    /// Counted from 1.
    pub number: u32,
    /// There will be no other.
    pub last: bool,
    /// What is done already.
    pub done: &'a Marks,
    /// What failed in an earlier session.
    pub failed: Option<&'a BTreeMap<u32, JobFailure>>,
    /// Entries that are not there although they should be.
    pub broken: &'a HashSet<DumpId>,
    /// How far it is.
    pub gauge: &'a Gauge,
}

impl Attempt<'_> {
    /// Whether an earlier attempt, or session, did a part of the job. Parts count from 1.
    pub fn is_done(&self, part: u32) -> bool {
        self.done.has(self.job.id, part)
    }

    /// How a part failed in an earlier session: it is not tried again.
    pub fn failed_before(&self, part: u32) -> Option<&JobFailure> {
        self.failed?.get(&part)
    }

    /// The statement that marks what was done, and is said of the outcome as well.
    pub fn mark(&self, lines: &[Line<'_>], outcome: &mut Outcome) -> SqlText {
        for line in lines {
            let mark = DoneMark {
                what: line.what.to_owned(),
                mark: line.mark,
            };
            outcome.marks.add(self.job.id, line.part, mark);
        }
        ledger::mark(self.job.id, self.number, lines)
    }

    /// Whether an error is no failure of the job yet: it will be tried again, or the whole run is over.
    pub fn is_undecided(&self, error: &PgError) -> bool {
        error.is_lost_connection()
            || error.stops_run()
            || matches!(error, PgError::Connect(_) | PgError::Unread { .. })
            || (!self.last && may_pass(error))
    }
}

impl Task {
    /// Performs the job.
    pub async fn perform(self) -> Ended {
        let context = Arc::clone(&self.context);
        let Some(job) = context.plan.job(self.id) else {
            return Ok(Outcome::default());
        };
        let mut done = Cow::Borrowed(&context.earlier.marks);
        let mut number = 1;
        // Something was begun on the target since the ledger was asked.
        let mut is_unsettled = false;
        loop {
            let attempt = Attempt {
                job,
                number,
                last: number > context.max_retries,
                done: &done,
                failed: context.earlier.failed.get(&job.id),
                broken: &self.broken,
                gauge: &self.gauge,
            };
            let work = Box::pin(once(&context, &attempt));
            let watchdog = &context.watchdog;
            let watched = watchdog.over(context.servers(), (job.id, &self.gauge), work);
            let mut error = match watched.await {
                Ok(mut outcome) => {
                    context.explain_failures(&mut outcome).await;
                    context.note_failures(&attempt, &outcome).await?;
                    return Ok(outcome);
                }
                Err(error) => error,
            };
            if error.is_lost_connection() {
                context.forget_idle(job);
            }
            is_unsettled |= context.target.has_served(job.id);
            done = loop {
                if number > context.max_retries || !may_pass(&error) {
                    return Err(error);
                }
                self.wait(job, number, &error).await;
                number += 1;
                if !is_unsettled {
                    break done;
                }
                let asked = context.settle(job);
                match in_time("asking the ledger what is done", asked).await {
                    Ok(marks) => {
                        is_unsettled = false;
                        // A COMMIT whose answer was lost may have got through.
                        context.believe(marks.clone());
                        break Cow::Owned(marks);
                    }
                    // The server that is to be asked is away, too.
                    Err(away) => error = away,
                }
            };
        }
    }

    /// Says what happened, notes it in the ledger, and lets time pass.
    async fn wait(&self, job: &Job, number: u32, error: &PgError) {
        let mut because = error.to_string();
        if let Some(explained) = self.context.explain(error.code()).await {
            because = format!("{because}; {explained}");
        }
        let told = (&*self.gauge, self.context.emit.as_ref());
        wait_for_next((job.id, number), because, told).await;
        self.context.note_trouble(job, number, error).await;
    }
}

/// A server that does not answer is no more to be waited for here than in the job itself.
pub(super) async fn in_time<T>(
    doing: &str,
    asked: impl Future<Output = Result<T, PgError>>,
) -> Result<T, PgError> {
    let answer = tokio::time::timeout(2 * DEAD_AFTER, asked).await;
    answer.unwrap_or_else(|_| {
        Err(PgError::Io {
            doing: doing.to_owned(),
            source: std::io::ErrorKind::TimedOut.into(),
        })
    })
}

/// One attempt.
async fn once(context: &Context, attempt: &Attempt<'_>) -> Ended {
    match &attempt.job.work {
        Work::Run {
            statements,
            settings,
        } => statements::run(context, attempt, (statements, settings)).await,
        Work::RunAlone { statement } => statements::run_alone(context, attempt, statement).await,
        Work::Copy { tables } => copy::tables(context, attempt, tables).await,
        Work::CopyChunk { table, range } => copy::chunk(context, attempt, (*table, range)).await,
        Work::Count { table } => copy::count(context, attempt, *table).await,
        Work::ReadSource { comparison } => compare::source(context, attempt, *comparison).await,
        Work::CompareMatview { comparison } => {
            compare::matview(context, attempt, *comparison).await
        }
        Work::Compare { comparisons } => compare::target(context, attempt, comparisons).await,
        Work::LargeObjects {
            objects,
            statements,
        } => large_objects::copy(context, attempt, (objects, statements)).await,
        Work::CompareLargeObjects { objects } => {
            large_objects::read(context, attempt, objects).await
        }
    }
}

fn may_pass(error: &PgError) -> bool {
    let is_duplicate = match error {
        PgError::Server { error, .. } => ledger::is_duplicate(error),
        _ => false,
    };
    error.may_pass() || is_duplicate
}

impl Context {
    /// What is done of a job, once nobody can add to it any more.
    async fn settle(&self, job: &Job) -> Result<Marks, PgError> {
        if !job.work.needs_target() {
            return Ok(Marks::default());
        }
        self.target.abandon(job.id);
        let session = match self.target.session("ledger").await {
            // Next time there is room: the idle sessions are ours.
            Err(full) if full.is_about_room() => {
                self.target.forget_idle();
                return Err(full);
            }
            session => session?,
        };
        self.target.outlive_given_up(&session).await?;
        self.look_for_losses(&session).await?;
        ledger::read_marks(&session, Some(job.id)).await
    }

    /// What ended a session may have ended those that were idle as well: the next attempt does not go from one dead session to the next.
    /// Which side it was, nobody says.
    fn forget_idle(&self, job: &Job) {
        if job.work.needs_target() {
            self.target.forget_idle();
        }
        if job.work.reads_source() {
            self.source.forget_idle();
        }
    }

    /// A target that crashes loses the last commits, which nobody waited for. What is built on them after that would fail, or be
    /// built on nothing.
    async fn look_for_losses(&self, session: &Session) -> Result<(), PgError> {
        let expected = self.done();
        let found = ledger::read_marks(session, None).await?;
        let lost: Vec<String> = expected
            .missing_from(&found)
            .map(|(_, _, what)| what.to_owned())
            .collect();
        if lost.is_empty() {
            Ok(())
        } else {
            Err(PgError::WorkLost { lost })
        }
    }

    /// What must be in the ledger by now.
    pub fn done(&self) -> Marks {
        self.believed().clone()
    }

    /// Takes in what a job has done.
    pub fn believe(&self, marks: Marks) {
        self.believed().extend(marks);
    }

    fn believed(&self) -> MutexGuard<'_, Marks> {
        // Nothing panics while it holds the lock; if something did, the marks would still be whole.
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Best effort: what counts is in the record of the run.
    async fn note_trouble(&self, job: &Job, attempt: u32, error: &PgError) {
        let message = error.to_string();
        let statement = ledger::trouble(&Trouble {
            job: job.id,
            part: ledger::WHOLE,
            attempt,
            is_final: false,
            message: &message,
            statement: None,
        });
        self.write_in_ledger(&statement).await;
    }

    /// So that another session knows what not to try again, unless it is told to: not of jobs that only read, which each session
    /// does. What failed because the target has lost what it is built on has not failed.
    async fn note_failures(&self, attempt: &Attempt<'_>, outcome: &Outcome) -> Result<(), PgError> {
        let is_new = |(part, _): &&(u32, JobFailure)| attempt.failed_before(*part).is_none();
        let new: Vec<&(u32, JobFailure)> = outcome.failures.iter().filter(is_new).collect();
        if new.is_empty() {
            return Ok(());
        }
        if let Ok(session) = self.target.session("ledger").await {
            // Whoever cannot be asked now is asked at the end of the run.
            if let Err(lost @ PgError::WorkLost { .. }) = self.look_for_losses(&session).await {
                return Err(lost);
            }
        }
        if !attempt.job.work.changes_target() {
            return Ok(());
        }
        for (part, failure) in new {
            let statement = ledger::trouble(&Trouble {
                job: attempt.job.id,
                part: *part,
                attempt: attempt.number,
                is_final: true,
                message: &failure.message,
                statement: failure.statement.as_deref(),
            });
            self.write_in_ledger(&statement).await;
        }
        Ok(())
    }

    /// Best effort, for what nobody relies on.
    pub async fn write_in_ledger(&self, statement: &SqlText) {
        if let Ok(mut wire) = self.target.take().await {
            if wire.execute(statement).await.is_ok() {
                self.target.give_back(wire);
            } else {
                self.target.give_up(wire);
            }
        }
    }
}
