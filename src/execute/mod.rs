//! The supervisor: runs a plan's jobs on all workers, and gathers the evidence as they end.
//!
//! ```text
//!              Schedule (what may start)            Evidence (what was read, counted, found)
//!                   │                                   ▲
//!   supervisor ─────┴──► job ──► wire from a pool ──────┘
//!                         │
//!                         └──► the target: work and done-mark in one transaction
//! ```
//!
//! | file | what it does |
//! |---|---|
//! | `prepare` | creates or empties the target database, before there is a plan |
//! | `rebase` | brings what earlier sessions left to another snapshot, before there is a plan for that |
//! | `supervisor` | starts jobs, hears of their ends, decides what is skipped |
//! | `attempt` | one job, tried again after what may pass |
//! | `watchdog` | tells a slow job from one whose server is dead |
//! | `statements` | statements in one transaction; one by one when one of them fails |
//! | `copy` | tables and chunks through the relay |
//! | `large_objects` | large objects, through the same relay |
//! | `compare` | reads a side for the comparison |
//! | `evidence` | sums up what jobs read, and has it judged |
//!
//! What fails is an entry of the table of contents, not the run: what needs a broken entry is skipped and is broken as
//! well, everything else goes on to the end. It emits events and knows nothing of displays.

mod attempt;
mod compare;
mod copy;
mod evidence;
mod large_objects;
mod outcome;
pub mod prepare;
pub mod rebase;
mod statements;
mod supervisor;
mod watchdog;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::event::{Emit, EntryRef, JobFailure};
use crate::ledger::{FailedBefore, Held, Marks};
use crate::model::{JobId, QualifiedName};
use crate::pg::{Connector, PgError, Snapshot};
use crate::plan::{Job, Plan, Work};
use crate::schedule::ScheduleError;

pub use supervisor::run;
pub use watchdog::queries as progress_queries;

/// What a run needs.
pub struct Run {
    /// What to do.
    pub plan: Arc<Plan>,
    /// Opens sessions of the source.
    pub source: Connector,
    /// Opens sessions of the target.
    pub target: Connector,
    /// What the source's sessions see; given back when nothing reads the source any more.
    pub snapshot: Snapshot,
    /// Who hears of it.
    pub emit: Arc<dyn Emit>,
    /// Becomes true when the run is to be given up.
    pub stop: tokio::sync::watch::Receiver<bool>,
    /// What earlier sessions have done.
    pub earlier: Earlier,
    /// How many times a job is tried again after an error that may pass.
    pub max_retries: u32,
}

/// What earlier sessions of the run have done.
#[derive(Debug, Clone, Default)]
pub struct Earlier {
    /// Their done-marks.
    pub marks: Marks,
    /// What failed for good, by job and part, and is not tried again in this session: it fails as it did before.
    pub failed: BTreeMap<JobId, BTreeMap<u32, JobFailure>>,
    /// Tables that need not be read again: this session has read them, in its snapshot.
    pub known: BTreeMap<QualifiedName, Held>,
}

/// Failures of earlier sessions, as the ledger has them, by job and part.
pub fn known_failures(
    plan: &Plan,
    failed: &[FailedBefore],
) -> BTreeMap<JobId, BTreeMap<u32, JobFailure>> {
    let mut known: BTreeMap<JobId, BTreeMap<u32, JobFailure>> = BTreeMap::new();
    for before in failed {
        let failure = JobFailure {
            entry: plan.job(before.job).and_then(|job| entry_of(plan, job, before.part)),
            statement: before.statement.clone(),
            message: before.message.clone(),
            server_error: None,
            hint: Some("It failed in an earlier session. When its cause is mended, resume with --retry-failed.".to_owned()),
            file: None,
        };
        known
            .entry(before.job)
            .or_default()
            .insert(before.part, failure);
    }
    known
}

/// The entry that a part of a job is about.
fn entry_of(plan: &Plan, job: &Job, part: u32) -> Option<EntryRef> {
    let place = usize::try_from(part).ok()?.checked_sub(1);
    match &job.work {
        Work::Run { statements, .. } => statements.get(place?)?.entry.clone(),
        Work::Copy { tables } => copy::entry_of(plan, *tables.get(place?)?),
        Work::CopyChunk { table, .. } => copy::entry_of(plan, *table),
        _ => None,
    }
}

/// Why a run could not go on. Failed statements do not end up here: they are events.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The plan is not one.
    #[error(transparent)]
    Schedule(#[from] ScheduleError<JobId>),
    /// A connection was lost.
    #[error("{job}: {source}")]
    Lost {
        /// The job that noticed.
        job: String,
        /// How.
        source: PgError,
    },
    /// Nothing can go on until a person has done something: a disk is full, the snapshot is lost.
    #[error("{job}: {source}")]
    Stuck {
        /// The job that noticed.
        job: String,
        /// What the matter is.
        source: PgError,
    },
    /// Somebody asked us to stop.
    #[error("stopped by a signal")]
    Stopped,
    /// A job ended in a way that no job should.
    #[error("{job} ended abnormally")]
    Panicked {
        /// Which.
        job: String,
        /// How.
        #[source]
        source: tokio::task::JoinError,
    },
}
