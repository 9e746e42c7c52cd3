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
//! | `assembly` | the file of a table that is read in parts |
//! | `large_objects` | each into a file of its own |
//!
//! All is read in one snapshot. A job that is broken off by something that may pass is done again, as long as nothing of it is
//! in a file that others append to. What is finished is noted in the journal beside the files.

mod assembly;
mod large_objects;
mod tables;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::stop;
use super::stop::{Drain, Stop, Turn};
use crate::archive::{
    ArchiveError, Codec, Content, Journal, LargeObjectFacts, Line, TableFacts, Unfinished,
};
use crate::event::{Emit, What};
use crate::model::{Bytes, JobId, Oid, Rows, TableVerdict, Unverified, Verdict, VerifyLevel};
use crate::pg::wire::Gauge;
use crate::pg::{Connector, PgError, Pool, serving};
use crate::plan::{DumpJob, DumpPlan, DumpWork};
use crate::verify::content::{Evidence, judge};
use assembly::Assembly;

/// How often the progress of running jobs is told.
const TICK: Duration = Duration::from_millis(500);
/// The wait before the second attempt; it doubles from one to the next …
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// … up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

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

/// What a job came to.
#[derive(Debug, Default, Clone, Copy)]
struct Ended {
    rows: Rows,
    bytes: Bytes,
}

/// What all workers share.
struct Context {
    plan: Arc<DumpPlan>,
    source: Pool,
    archive: Unfinished,
    codec: Codec,
    verify: VerifyLevel,
    emit: Arc<dyn Emit>,
    max_retries: u32,
    assemblies: HashMap<usize, Assembly>,
    state: Mutex<State>,
}

struct State {
    /// Jobs that nobody has begun.
    waiting: VecDeque<JobId>,
    /// Jobs that are not done.
    left: usize,
    /// Nothing new is to be begun.
    is_draining: bool,
    running: HashMap<JobId, Running>,
    journal: Journal,
    tables: BTreeMap<usize, TableFacts>,
    large_objects: Vec<LargeObjectFacts>,
    has_doubts: bool,
}

impl State {
    fn finished(&mut self, job: JobId) {
        self.running.remove(&job);
        self.left -= 1;
    }
}

struct Running {
    gauge: Arc<Gauge>,
    told: (Rows, Bytes),
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
    };
    if ended.is_err() {
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
                Turn::Begins(cause) => context.begin_to_drain(&cause.to_string(), drain.patience()),
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
        let started = Instant::now();
        let ended = serving(id, persist(&context, (id, job), &gauge)).await?;
        context.state().finished(id);
        context.emit.emit(What::JobFinished {
            job: id,
            rows: ended.rows,
            bytes: ended.bytes,
            duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
    }
    Ok(())
}

/// One job, again and again, until it is done or nothing more can be hoped for.
async fn persist(
    context: &Context,
    (id, job): (JobId, &DumpJob),
    gauge: &Gauge,
) -> Result<Ended, DumpError> {
    let mut attempt = 1;
    loop {
        let once = match &job.work {
            DumpWork::Tables(units) => Box::pin(tables::whole(context, units, gauge)).await,
            DumpWork::Part(unit, part) => {
                Box::pin(tables::part(context, (*unit, *part), gauge)).await
            }
            DumpWork::Count(unit) => Box::pin(tables::count(context, *unit)).await,
            DumpWork::LargeObjects(list, oids) => {
                Box::pin(large_objects::dump(context, (*list, oids), gauge)).await
            }
        };
        let source = match once {
            Ok(ended) => return Ok(ended),
            Err(Broken::Archive(error)) => return Err(error.into()),
            Err(Broken::Source(error)) => error,
        };
        if attempt > context.max_retries || !source.may_pass() {
            let job = job.label.clone();
            return Err(DumpError::Source { job, source });
        }
        let wait = FIRST_WAIT
            .saturating_mul(1 << (attempt - 1).min(10))
            .min(LONGEST_WAIT);
        context.emit.emit(What::JobRetried {
            job: id,
            attempt,
            because: source.to_string(),
            wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
        });
        tokio::time::sleep(wait).await;
        gauge.reset();
        attempt += 1;
    }
}

impl Context {
    fn new(dump: Dump) -> Result<Self, DumpError> {
        let Dump {
            plan,
            source,
            snapshot,
            archive,
            codec,
            verify,
            emit,
            max_retries,
            finished,
            ..
        } = dump;
        let journal = Journal::open(&archive)?;
        let mut context = Self {
            source: Pool::in_snapshot(source.with_encoding(&plan.client_encoding), snapshot),
            archive,
            codec,
            verify,
            emit,
            max_retries,
            assemblies: HashMap::new(),
            state: Mutex::new(State {
                waiting: (0..).map(JobId).take(plan.jobs.len()).collect(),
                left: plan.jobs.len(),
                is_draining: false,
                running: HashMap::new(),
                journal,
                tables: BTreeMap::new(),
                large_objects: Vec::new(),
                has_doubts: false,
            }),
            plan,
        };
        context.take_up(finished);
        for (index, unit) in context.plan.units.iter().enumerate() {
            if unit.parts.len() > 1 && !context.state().tables.contains_key(&index) {
                let name = context.file_name(index);
                let counts = usize::from(context.verify != VerifyLevel::None);
                let pieces = unit.parts.len() + counts;
                let assembly = Assembly::new(&context.archive, &name, pieces)?;
                context.assemblies.insert(index, assembly);
            }
        }
        Ok(context)
    }

    /// What an earlier session has finished is not done again; its jobs are over.
    fn take_up(&self, finished: Vec<Line>) {
        for line in finished {
            match line {
                Line::Table { facts, counted } => {
                    let mut units = self.plan.units.iter();
                    let Some(index) = units.position(|unit| unit.dump_id == facts.dump_id) else {
                        continue;
                    };
                    let evidence = (Some(facts.content), counted.map(Rows));
                    self.tell_verdict(index, &facts, evidence, Duration::ZERO);
                    self.state().tables.insert(index, facts);
                }
                Line::LargeObjects { facts } => self.state().large_objects.extend(facts),
            }
        }
        let over: Vec<JobId> = {
            let state = self.state();
            let is_over = |job: &DumpJob| match &job.work {
                DumpWork::Tables(units) => units.iter().all(|unit| state.tables.contains_key(unit)),
                DumpWork::Part(unit, _) | DumpWork::Count(unit) => state.tables.contains_key(unit),
                DumpWork::LargeObjects(_, oids) => {
                    let known =
                        |oid: &Oid| state.large_objects.iter().any(|facts| facts.oid == *oid);
                    oids.first().is_some_and(known)
                }
            };
            let jobs = (0..).map(JobId).zip(&self.plan.jobs);
            jobs.filter(|(_, job)| is_over(job))
                .map(|(id, _)| id)
                .collect()
        };
        {
            let mut state = self.state();
            state.waiting.retain(|id| !over.contains(id));
            state.left = state.waiting.len();
        }
        for job in over {
            self.emit.emit(What::JobStarted { job, worker: 0 });
            self.emit.emit(What::JobFinished {
                job,
                rows: Rows(0),
                bytes: Bytes(0),
                duration_ms: 0,
            });
        }
    }

    fn job(&self, id: JobId) -> Option<&DumpJob> {
        self.plan.jobs.get(usize::try_from(id.0).ok()?)
    }

    /// Takes the next job. They are begun in order: whoever waits for his turn at a file waits for those who began before.
    fn start_next(&self, slot: u32) -> Option<(JobId, Arc<Gauge>)> {
        let mut state = self.state();
        if state.is_draining {
            return None;
        }
        let id = state.waiting.pop_front()?;
        let gauge = Arc::new(Gauge::default());
        let running = Running {
            gauge: Arc::clone(&gauge),
            told: Default::default(),
        };
        state.running.insert(id, running);
        self.emit.emit(What::JobStarted {
            job: id,
            worker: slot,
        });
        Some((id, gauge))
    }

    /// Nothing new is begun; what is running may come to its end.
    fn begin_to_drain(&self, signal: &str, patience: Duration) {
        let mut state = self.state();
        state.is_draining = true;
        let jobs = u32::try_from(state.running.len()).unwrap_or(u32::MAX);
        drop(state);
        self.emit.emit(What::Draining {
            signal: signal.to_owned(),
            jobs,
            seconds: patience.as_secs(),
        });
    }

    fn tell_progress(&self) {
        for (job, running) in &mut self.state().running {
            let so_far = running.gauge.read();
            if so_far != running.told {
                running.told = so_far;
                let (rows, bytes) = so_far;
                self.emit.emit(What::JobAdvanced {
                    job: *job,
                    rows,
                    bytes,
                });
            }
        }
    }

    /// The name of a table's file.
    fn file_name(&self, unit: usize) -> String {
        format!(
            "{}{}",
            self.plan.units[unit].file,
            self.codec.algorithm.suffix()
        )
    }

    /// A table's file is finished: notes it, and has it judged. What was read again of the file, and what the source counted.
    fn finish_table(
        &self,
        unit: usize,
        facts: TableFacts,
        evidence: (Option<Content>, Option<Rows>),
        took: Duration,
    ) -> Result<(), ArchiveError> {
        self.tell_verdict(unit, &facts, evidence, took);
        let mut state = self.state();
        state.journal.note(&Line::Table {
            facts: facts.clone(),
            counted: evidence.1.map(|rows| rows.0),
        })?;
        state.tables.insert(unit, facts);
        Ok(())
    }

    fn tell_verdict(
        &self,
        unit: usize,
        facts: &TableFacts,
        (again, counted): (Option<Content>, Option<Rows>),
        took: Duration,
    ) {
        let hashed = self.verify == VerifyLevel::Content;
        let again = match (self.verify, again) {
            (VerifyLevel::Content, again) => again.map(|content| content.digest),
            (VerifyLevel::Counts, _) => Some(facts.content.digest),
            _ => None,
        };
        let evidence = Evidence {
            read: Some(facts.content.digest),
            source_count: counted,
            target: again,
            hashed,
        };
        let (verdict, differences) = judge(&facts.table, &evidence);
        self.emit.emit(What::TableVerified(TableVerdict {
            table: facts.table.clone(),
            format: self.plan.units[unit].copy.format.clone(),
            read: evidence.read,
            source_count: counted,
            target: again,
            bytes: Bytes(facts.content.bytes),
            copy_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            verdict,
            forms: Vec::new(),
        }));
        if verdict == Verdict::NotVerified && self.verify != VerifyLevel::None {
            self.doubt(What::Unverified(Unverified {
                class: "table data".into(),
                object: facts.table.to_string(),
                because: "its file was not read again, or its rows were not counted".to_owned(),
            }));
        }
        for difference in differences {
            self.doubt(What::Difference(difference));
        }
    }

    /// Something that keeps the archive from being called whole.
    fn doubt(&self, what: What) {
        self.state().has_doubts = true;
        self.emit.emit(what);
    }

    /// Every job is done, and of every table of the plan it is known what its file holds.
    fn is_complete(&self) -> bool {
        let state = self.state();
        let tables = state.tables.len();
        state.left == 0 && tables == self.plan.units.len()
    }

    fn dumped(&self) -> Dumped {
        let mut state = self.state();
        let tables = std::mem::take(&mut state.tables);
        let mut large_objects = std::mem::take(&mut state.large_objects);
        large_objects.sort_by_key(|object| object.oid);
        Dumped {
            tables: tables.into_values().collect(),
            large_objects,
            has_doubts: state.has_doubts,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; if something did, the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
