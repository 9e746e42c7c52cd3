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
//! | `clear` | drops or empties what an archive has, before it is restored |
//! | `rebase` | brings what earlier sessions left to another snapshot, before there is a plan for that |
//! | `supervisor` | starts jobs, hears of their ends, decides what is skipped |
//! | `earlier` | what earlier sessions of the run have done |
//! | `running` | a job under way: what is told of it from its start to its end |
//! | `attempt` | one job, tried again after what may pass |
//! | `outcome` | how a job ended, and what it found |
//! | `lost` | what may still come to its end when a job is lost |
//! | `release` | gives the source's snapshot back |
//! | `watchdog` | tells a slow job from one whose server is dead |
//! | `stop` | being asked to stop: first it drains, then it is given up |
//! | `bound` | which side sets the pace of a COPY |
//! | `explain` | who stands behind an error that names nobody |
//! | `statements` | statements in one transaction; one by one when one of them fails |
//! | `copy` | tables and chunks through the relay |
//! | `large_objects` | large objects, through the same relay |
//! | `load` | tables, chunks of them and large objects out of an archive |
//! | `compare` | reads a side for the comparison |
//! | `dump` | a dump, which has no target server |
//! | `evidence` | sums up what jobs read, and has it judged |
//!
//! What fails is an entry of the table of contents, not the run: what needs a broken entry is skipped and is broken as
//! well, everything else goes on to the end. It emits events and knows nothing of displays.

mod attempt;
mod bound;
pub mod clear;
mod compare;
mod copy;
pub mod dump;
mod earlier;
mod evidence;
mod explain;
mod large_objects;
mod load;
mod lost;
mod outcome;
pub mod prepare;
pub mod rebase;
mod release;
mod running;
mod statements;
mod stop;
mod supervisor;
mod watchdog;

use std::sync::Arc;
use std::time::Duration;

use crate::event::Emit;
use crate::model::JobId;
use crate::pg::{Connector, PgError, Snapshot};
use crate::plan::Plan;
use crate::schedule::ScheduleError;

pub use earlier::{Earlier, entry_of, known_failures};
pub use load::{Loaded, Loading};
pub use release::{release, still_held};
pub use stop::{Cause, Stop, asked};
pub use supervisor::run;
pub use watchdog::queries as progress_queries;

/// What a run needs.
pub struct Run {
    /// What to do.
    pub plan: Arc<Plan>,
    /// Where the rows come from.
    pub origin: Origin,
    /// Opens sessions of the target.
    pub target: Connector,
    /// Who hears of it.
    pub emit: Arc<dyn Emit>,
    /// Says when the run is to be stopped.
    pub stop: tokio::sync::watch::Receiver<Stop>,
    /// How long running jobs may go on then.
    pub patience: Duration,
    /// What earlier sessions have done.
    pub earlier: Earlier,
    /// How many times a job is tried again after an error that may pass.
    pub max_retries: u32,
}

/// Where the rows of a run come from.
pub enum Origin {
    /// A server.
    Server {
        /// Opens sessions of it.
        source: Box<Connector>,
        /// What these see; given back when nothing reads the source any more.
        snapshot: Box<Snapshot>,
    },
    /// An archive.
    Archive(Arc<Loading>),
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

impl ExecuteError {
    fn of(job: String, source: PgError) -> Self {
        if source.stops_run() {
            Self::Stuck { job, source }
        } else {
            Self::Lost { job, source }
        }
    }
}
