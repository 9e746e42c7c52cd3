//! Carries a dump out: several workers read, compress and write, and look at what they have written.
//!
//! ```text
//!   source ──COPY──► rows hashed ──► compressed ──► its turn ──► the file ──► read again: the same rows?
//!                    (read)                                                   (target)
//!   source ──count(*)──────────────────────────────────────────────────────────────────► judged
//! ```
//!
//! | file | |
//! |---|---|
//! | `tables` | whole tables, and parts of large ones |
//! | `context` | what all workers share |
//! | `assembly` | the file of a table that is read in parts |
//! | `piece` | a part until it is in there |
//! | `large_objects` | each into a file of its own |
//!
//! All is read in one snapshot. A job that is broken off by something that may pass is done again, as long as nothing of it is
//! in a file that others append to. A source that does not answer any more is not waited for, as in a run. What is finished
//! is noted in the journal beside the files.
//!
//! A part that waits for those before it never keeps from them what they need: a session, where the server has no room for more.

mod assembly;
mod context;
mod large_objects;
mod piece;
mod tables;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::running::{TICK, wait_for_next};
use super::stop::{self, Drain, Stop, Turn};
use crate::archive::{
    ArchiveError, Codec, Journal, LargeObjectFacts, Line, TableFacts, Unfinished,
};
use crate::event::Emit;
use crate::model::{Bytes, JobId, Rows, VerifyLevel};
use crate::pg::wire::Gauge;
use crate::pg::{Connector, PgError, serving};
use crate::plan::{DumpJob, DumpPlan, DumpWork};
use assembly::Assembly;
use context::Context;

pub use context::verdict_of;
pub use large_objects::checked as large_objects_checked;

/// What a dump needs.
pub struct Dump {
    /// What to read.
    pub plan: Arc<DumpPlan>,
    /// Opens sessions of the source.
    pub source: Connector,
    /// What they see.
    pub snapshot: String,
    /// Where to write.
    pub archive: Unfinished,
    /// How to compress.
    pub codec: Codec,
    /// Number of workers.
    pub workers: u32,
    /// What to prove.
    pub verify: VerifyLevel,
    /// Who hears of it.
    pub emit: Arc<dyn Emit>,
    /// Says when it is to be stopped.
    pub stop: watch::Receiver<Stop>,
    /// How long running jobs may go on then.
    pub patience: Duration,
    /// How many times a job is tried again after an error that may pass.
    pub max_retries: u32,
    /// Where what is finished is noted.
    pub journal: Journal,
    /// What an earlier session has finished in the same snapshot, and is as it was.
    pub finished: Vec<Line>,
}

/// What was dumped, in the order of the archive.
#[derive(Debug, Default)]
pub struct Dumped {
    /// Tables.
    pub tables: Vec<TableFacts>,
    /// Large objects, by OID.
    pub large_objects: Vec<LargeObjectFacts>,
    /// Something is not as it should be, or was not looked at; it has been told.
    pub has_doubts: bool,
}

/// Why a dump could not go on.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The source's answer, or its silence.
    #[error("{job}: {source}")]
    Source {
        /// The job.
        job: String,
        /// What happened.
        source: PgError,
    },
    /// The archive cannot be written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Its file cannot be written, or read again.
    #[error("{job}: {source}")]
    Job {
        /// The job.
        job: String,
        /// What happened.
        source: Box<ArchiveError>,
    },
    /// We were asked to stop; why, knows who asked.
    #[error("stopped on request")]
    Stopped,
    /// A worker ended in a way that no worker should.
    #[error("a worker ended abnormally")]
    Panicked(#[source] tokio::task::JoinError),
}

/// What breaks a job off.
enum Broken {
    Source(PgError),
    /// The source, when some of what it had sent was in the file of a table already: that cannot be done again.
    HalfWritten(PgError),
    /// Nothing: it has given its session to others that cannot go on without, and is to be done again in its turn.
    GaveWay,
    Archive(ArchiveError),
}

impl From<PgError> for Broken {
    fn from(error: PgError) -> Self {
        Self::Source(error)
    }
}

impl From<ArchiveError> for Broken {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(error)
    }
}

/// A job, for whoever does a part of it.
#[derive(Clone, Copy)]
struct Errand<'a> {
    id: JobId,
    gauge: &'a Arc<Gauge>,
}

/// What a job came to.
#[derive(Debug, Default, Clone, Copy)]
struct Ended {
    rows: Rows,
    bytes: Bytes,
}

/// Dumps everything that the plan names.
pub async fn run(dump: Dump) -> Result<Dumped, DumpError> {
    let (stop, workers) = (dump.stop.clone(), dump.workers.max(1));
    let mut drain = Drain::new(stop.clone(), dump.patience);
    let context = Arc::new(Context::new(dump)?);
    let mut tasks: JoinSet<Result<(), DumpError>> = JoinSet::new();
    for slot in 0..workers {
        tasks.spawn(Box::pin(work(Arc::clone(&context), slot)));
    }
    let ended = tokio::select! {
        ended = watch_over(&context, &mut tasks, &mut drain) => ended,
        () = stop::aborted(stop) => Err(DumpError::Stopped),
        never = context.watchdog.watch(context.servers()) => match never {},
    };
    if ended.is_err() {
        context.assemblies.values().for_each(Assembly::abandon);
        context.archive.stop();
        let reading = context.source.cancel().await;
        tasks.shutdown().await;
        context.source.see_off(&reading).await;
    }
    context.source.drain().await;
    ended.map(|()| context.dumped())
}

/// Until all workers have ended, or the first has failed.
async fn watch_over(
    context: &Context,
    tasks: &mut JoinSet<Result<(), DumpError>>,
    drain: &mut Drain,
) -> Result<(), DumpError> {
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                Some(ended) => ended.map_err(DumpError::Panicked)??,
                None if context.is_complete() => return Ok(()),
                None => return Err(DumpError::Stopped),
            },
            _ = tick.tick() => context.tell_progress(),
            turn = drain.turn() => match turn {
                Turn::Begins(cause) => context.begin_to_drain(&cause, drain.patience()),
                Turn::Over => return Err(DumpError::Stopped),
            },
        }
    }
}

/// One worker: takes the next job for as long as there is one.
async fn work(context: Arc<Context>, slot: u32) -> Result<(), DumpError> {
    while let Some((id, gauge)) = context.start_next(slot) {
        let Some(job) = context.job(id) else {
            continue;
        };
        let errand = Errand { id, gauge: &gauge };
        let Ended { rows, bytes } = serving(id, persist(&context, errand, job)).await?;
        let running = context.state().finished(id);
        if let Some(running) = running {
            running.finished((rows, bytes), context.emit.as_ref());
        }
    }
    Ok(())
}

/// One job, again and again, until it is done or nothing more can be hoped for.
async fn persist(context: &Context, errand: Errand<'_>, job: &DumpJob) -> Result<Ended, DumpError> {
    let mut attempt = 1;
    loop {
        let once = match &job.work {
            DumpWork::Tables(units) => Box::pin(tables::whole(context, units, errand)).await,
            DumpWork::Part(unit, part) => {
                Box::pin(tables::part(context, (*unit, *part), errand)).await
            }
            DumpWork::Count(unit) => Box::pin(tables::count(context, *unit, errand)).await,
            DumpWork::LargeObjects(oids) => {
                Box::pin(large_objects::dump(context, oids, errand)).await
            }
        };
        let source = match once {
            Ok(ended) => return Ok(ended),
            Err(Broken::Archive(source)) => {
                let (job, source) = (job.label.clone(), Box::new(source));
                return Err(DumpError::Job { job, source });
            }
            Err(Broken::HalfWritten(source)) => {
                let job = job.label.clone();
                return Err(DumpError::Source { job, source });
            }
            Err(Broken::GaveWay) => {
                errand.gauge.reset();
                continue;
            }
            Err(Broken::Source(error)) => error,
        };
        if source.is_lost_connection() {
            // What ended it may have ended those that were idle as well.
            context.source.forget_idle();
        }
        if attempt > context.max_retries || !source.may_pass() {
            let job = job.label.clone();
            return Err(DumpError::Source { job, source });
        }
        let told = (errand.gauge.as_ref(), context.emit.as_ref());
        wait_for_next((errand.id, attempt), source.to_string(), told).await;
        attempt += 1;
    }
}
