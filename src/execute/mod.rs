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
//! | `supervisor` | starts jobs, hears of their ends, decides what is skipped |
//! | `stop` | being asked to stop: first it drains, then it is given up |
//! | `statements` | statements in one transaction; one by one when one of them fails |
//! | `copy` | tables and chunks through the relay |
//! | `large_objects` | large objects, through the same relay |
//! | `compare` | reads a side for the comparison |
//! | `evidence` | sums up what jobs read, and has it judged |
//!
//! What fails is an entry of the table of contents, not the run: what needs a broken entry is skipped and is broken as
//! well, everything else goes on to the end. It emits events and knows nothing of displays.

mod compare;
mod copy;
mod evidence;
mod large_objects;
mod outcome;
pub mod prepare;
mod statements;
mod stop;
mod supervisor;

use std::sync::Arc;
use std::time::Duration;

use crate::event::Emit;
use crate::pg::{Connector, PgError, Snapshot};
use crate::plan::Plan;
use crate::schedule::ScheduleError;

pub use stop::{Cause, Stop, asked};
pub use supervisor::run;

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
    /// Says when the run is to be stopped.
    pub stop: tokio::sync::watch::Receiver<Stop>,
    /// How long running jobs may go on then.
    pub patience: Duration,
}

/// Why a run could not go on. Failed statements do not end up here: they are events.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The plan is not one.
    #[error(transparent)]
    Schedule(#[from] ScheduleError<crate::model::JobId>),
    /// A connection was lost.
    #[error("{job}: {source}")]
    Lost {
        /// The job that noticed.
        job: String,
        /// How.
        source: PgError,
    },
    /// We were asked to stop; why, knows who asked.
    #[error("stopped on request")]
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
