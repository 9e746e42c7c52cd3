//! Starts jobs, hears of their ends, decides what is skipped, and gives the snapshot back.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use super::attempt::Task;
use super::evidence::Evidence;
use super::lost::Lost;
use super::outcome::{Ended, Outcome};
use super::release::release;
use super::running::{Running, TICK, begin_to_drain};
use super::stop::{self, Drain, Turn};
use super::watchdog::{Servers, Watchdog};
use super::{Earlier, ExecuteError, Loading, Origin, Run};
use crate::event::{Emit, Phase, What};
use crate::fault;
use crate::ledger::Marks;
use crate::model::{DumpId, JobId, Side};
use crate::pg::wire::Wire;
use crate::pg::{Connector, PgError, Pool, Snapshot};
use crate::plan::{Job, Plan, Work};
use crate::schedule::Schedule;

/// What every job can reach.
pub(super) struct Context {
    pub plan: Arc<Plan>,
    /// Of no sessions, if the rows are in an archive.
    pub source: Pool,
    pub archive: Option<Arc<Loading>>,
    pub target: Pool,
    pub emit: Arc<dyn Emit>,
    /// What earlier sessions have done.
    pub earlier: Arc<Earlier>,
    /// What they and we have done: it must be in the ledger.
    pub done: Mutex<Marks>,
    /// How many times a job is tried again after an error that may pass.
    pub max_retries: u32,
    pub watchdog: Watchdog,
}

/// A job under way, with the task that does it.
pub(super) struct UnderWay {
    pub running: Running,
    pub task: AbortHandle,
    slot: u32,
}

pub(super) struct Supervisor {
    pub context: Arc<Context>,
    schedule: Schedule<JobId>,
    tasks: JoinSet<Ended>,
    pub running: HashMap<Id, UnderWay>,
    free_slots: BTreeSet<u32>,
    /// Entries that are not there although they should be, and the job that is the cause.
    broken: HashMap<DumpId, JobId>,
    evidence: Evidence,
    /// With what opens sessions of the source.
    snapshot: Option<(Box<Snapshot>, Box<Connector>)>,
    /// The snapshot on its way back.
    releasing: JoinSet<Result<(), PgError>>,
    pub drain: Drain,
    /// Why no other job starts.
    pub lost: Option<Lost>,
    /// Jobs that read the source and have not ended yet.
    readers: usize,
}

/// Runs all jobs of a plan, but for what earlier sessions have done. Failed statements are events; an error is what kept the
/// run from going on. Returns what must be in the ledger now.
pub async fn run(run: Run) -> Result<Marks, ExecuteError> {
    let Run {
        plan,
        origin,
        target,
        emit,
        stop,
        patience,
        earlier,
        max_retries,
    } = run;
    let (source, snapshot, archive) = match origin {
        Origin::Archive(archive) => (Pool::of_nothing(), None, Some(archive)),
        Origin::Server { source, snapshot } => {
            let encoded = source.with_encoding(&plan.client_encoding);
            let pool = Pool::in_snapshot(encoded, snapshot.id.clone());
            (pool, Some((snapshot, source)), None)
        }
    };
    let context = Arc::new(Context {
        source,
        archive,
        target: Pool::without_snapshot(target.with_encoding(&plan.client_encoding)),
        plan: Arc::clone(&plan),
        emit,
        done: Mutex::new(earlier.marks.clone()),
        earlier: Arc::new(earlier),
        max_retries,
        watchdog: Watchdog::default(),
    });
    let watched = Arc::clone(&context);
    let mut supervisor = Supervisor {
        schedule: Schedule::new(plan.nodes(), plan.limits())?,
        tasks: JoinSet::new(),
        running: HashMap::new(),
        free_slots: (0..plan.workers.max(1)).collect(),
        broken: HashMap::new(),
        evidence: Evidence::default(),
        snapshot,
        releasing: JoinSet::new(),
        lost: None,
        drain: Drain::new(stop.clone(), patience),
        readers: plan
            .jobs
            .iter()
            .filter(|job| job.work.reads_source())
            .count(),
        context,
    };
    let ended = tokio::select! {
        ended = supervisor.work() => ended,
        () = stop::aborted(stop) => Err(ExecuteError::Stopped),
        never = watched.watchdog.watch(watched.servers()) => match never {},
    };
    // What was lost first is why a run ends, even if it is stopped while other jobs come to their end.
    let ended = ended.map_err(|error| supervisor.lost.take().map_or(error, Lost::into_error));
    if ended.is_err() {
        supervisor.abort().await;
    }
    supervisor.context.source.drain().await;
    supervisor.context.target.drain().await;
    ended.map(|()| supervisor.context.done())
}

impl Supervisor {
    async fn work(&mut self) -> Result<(), ExecuteError> {
        let mut tick = tokio::time::interval(TICK);
        loop {
            self.release_snapshot_if_unused();
            self.start_what_can();
            if self.tasks.is_empty() && self.releasing.is_empty() {
                return self.at_the_end();
            }
            tokio::select! {
                Some(ended) = self.tasks.join_next_with_id() => {
                    if let Err(error) = self.end(ended) {
                        self.lose(error).await?;
                    }
                }
                Some(released) = self.releasing.join_next() => {
                    if let Err(error) = Self::released(released) {
                        self.lose(error).await?;
                    }
                }
                () = Lost::time_is_up(self.lost.as_ref()) => self.give_up_readers(),
                _ = tick.tick() => self.tell_progress(),
                turn = self.drain.turn() => self.stop(turn)?,
            }
        }
    }

    fn at_the_end(&mut self) -> Result<(), ExecuteError> {
        if let Some(lost) = self.lost.take() {
            return Err(lost.into_error());
        }
        if self.drain.is_asked_for() {
            return Err(ExecuteError::Stopped);
        }
        // What came out of an archive is compared with it afterwards.
        if self.context.archive.is_none() {
            let emit = self.context.emit.as_ref();
            self.evidence.unjudged(&self.context.plan, emit);
        }
        Ok(())
    }

    /// The first time it is only told: what is running goes on, and nothing new is started. Then the time is up.
    fn stop(&self, turn: Turn) -> Result<(), ExecuteError> {
        let Turn::Begins(cause) = turn else {
            return Err(ExecuteError::Stopped);
        };
        let jobs = (self.running.len(), self.drain.patience());
        begin_to_drain(&cause, jobs, self.context.emit.as_ref());
        Ok(())
    }

    fn start_what_can(&mut self) {
        if self.drain.is_asked_for() || self.lost.is_some() {
            return;
        }
        while let Some(&slot) = self.free_slots.first() {
            let Some(id) = self.schedule.start_next() else {
                return;
            };
            let context = Arc::clone(&self.context);
            let Some(job) = context.plan.job(id) else {
                continue;
            };
            if self.is_kept(job) {
                self.over(job);
                continue;
            }
            if let Some(&because_of) = job.needs.iter().find_map(|entry| self.broken.get(entry)) {
                self.skip(job, because_of);
                continue;
            }
            self.free_slots.remove(&slot);
            let mut running = Running::begin(id, slot, context.emit.as_ref());
            if job.phase == Phase::Data && context.archive.is_none() {
                running = running.relays();
            }
            fault::point_of("job-started", || &job.label);
            let task = Task {
                context: Arc::clone(&context),
                id,
                broken: self.broken.keys().copied().collect(),
                gauge: Arc::clone(&running.gauge),
            };
            let task = self.tasks.spawn(Box::pin(task.perform()));
            let under_way = UnderWay {
                running,
                task,
                slot,
            };
            self.running.insert(under_way.task.id(), under_way);
        }
    }

    /// Statements that an earlier session has run stay as they are. What it copied is read again.
    fn is_kept(&self, job: &Job) -> bool {
        let is_statements = match &job.work {
            Work::Run { .. } | Work::RunAlone { .. } => true,
            Work::Copy { .. }
            | Work::CopyChunk { .. }
            | Work::Count { .. }
            | Work::ReadSource { .. }
            | Work::Compare { .. }
            | Work::LargeObjects { .. }
            | Work::CompareMatview { .. }
            | Work::CompareLargeObjects { .. } => false,
        };
        is_statements && self.context.earlier.marks.whole(job.id)
    }

    /// A job that needs what is broken is not started; what it would have made is broken, too.
    fn skip(&mut self, job: &Job, because_of: JobId) {
        self.context.emit.emit(What::JobSkipped {
            job: job.id,
            because_of,
        });
        let statements = job.work.statements().iter();
        for entry in statements.filter_map(|statement| statement.entry.as_ref()) {
            self.broken.entry(entry.dump_id).or_insert(because_of);
        }
        self.over(job);
    }

    fn end(&mut self, ended: Result<(Id, Ended), JoinError>) -> Result<(), ExecuteError> {
        let (task, outcome) = match ended {
            Ok((task, outcome)) => (task, Ok(outcome)),
            Err(error) => (error.id(), Err(error)),
        };
        // One that was given up is not among them any more.
        let Some(UnderWay { running, slot, .. }) = self.running.remove(&task) else {
            return Ok(());
        };
        let context = Arc::clone(&self.context);
        let Some(job) = context.plan.job(running.job) else {
            return Ok(());
        };
        let name = || job.label.clone();
        let outcome = outcome.map_err(|source| ExecuteError::Panicked {
            job: name(),
            source,
        })?;
        let outcome = outcome.map_err(|source| ExecuteError::of(name(), source))?;
        fault::point_of("job-ended", || &job.label);
        self.tell_scarcity();
        self.conclude(job, &running, outcome);
        fault::point_of("job-told", || &job.label);
        self.free_slots.insert(slot);
        self.over(job);
        Ok(())
    }

    fn conclude(&mut self, job: &Job, running: &Running, outcome: Outcome) {
        let emit = Arc::clone(&self.context.emit);
        for found in outcome.found {
            self.evidence.take(&self.context.plan, found, emit.as_ref());
        }
        self.context.believe(outcome.marks);
        for entry in outcome.broken {
            self.broken.entry(entry).or_insert(job.id);
        }
        if outcome.failures.is_empty() {
            running.finished((outcome.rows, outcome.bytes), emit.as_ref());
        }
        for (_, failure) in outcome.failures {
            emit.emit(What::JobFailed {
                job: job.id,
                failure: Box::new(failure),
            });
        }
    }

    fn over(&mut self, job: &Job) {
        self.schedule.finish(job.id);
        if job.work.reads_source() {
            self.readers -= 1;
        }
    }

    /// The source holds back its vacuum for as long as the snapshot lives: not a moment longer than it is read. Other jobs do not
    /// wait for that.
    fn release_snapshot_if_unused(&mut self) {
        // A run that is going to be resumed still needs it.
        if self.readers > 0 || self.lost.is_some() {
            return;
        }
        if let Some((snapshot, source)) = self.snapshot.take() {
            fault::point("snapshot-unused");
            let context = Arc::clone(&self.context);
            self.releasing.spawn(async move {
                context.source.drain().await;
                let how = (context.max_retries, context.emit.as_ref());
                release(*snapshot, &source, how).await
            });
        }
    }

    fn released(ended: Result<Result<(), PgError>, JoinError>) -> Result<(), ExecuteError> {
        let job = || "releasing the source's snapshot".to_owned();
        let released = ended.map_err(|source| ExecuteError::Panicked { job: job(), source })?;
        released.map_err(|source| ExecuteError::of(job(), source))
    }

    fn tell_scarcity(&self) {
        let sides = [
            (Side::Source, &self.context.source),
            (Side::Target, &self.context.target),
        ];
        for (side, _) in sides.iter().filter(|(_, pool)| pool.has_become_scarce()) {
            let text = format!(
                "the {side} does not allow as many connections as there are workers: workers wait for each other's (use fewer --jobs, or raise \
                 max_connections or CONNECTION LIMIT there)"
            );
            self.context.emit.emit(What::Note { text });
        }
    }

    fn tell_progress(&mut self) {
        let emit = self.context.emit.as_ref();
        let under_way = self.running.values_mut();
        under_way.for_each(|job| job.running.tell(emit));
    }

    /// Ends whatever is running on both servers, and waits until it has ended: no backend goes on working for a run that is
    /// over.
    async fn abort(&mut self) {
        let (source, target) = (&self.context.source, &self.context.target);
        let (reading, writing) = tokio::join!(source.cancel(), target.cancel());
        self.tasks.shutdown().await;
        let left = tokio::join!(source.see_off(&reading), target.see_off(&writing));
        for (side, left) in [("source", left.0), ("target", left.1)] {
            for pid in left {
                let text = format!("a session on the {side} has not ended yet: pid {pid}");
                self.context.emit.emit(What::Note { text });
            }
        }
    }
}

impl Context {
    pub fn servers(&self) -> Servers<'_> {
        Servers {
            source: &self.source,
            target: &self.target,
            emit: self.emit.as_ref(),
        }
    }

    /// Passes on what the server remarked while a job ran, warnings only: a restore is full of notices.
    pub fn remark(&self, job: &Job, wire: &mut Wire) {
        let mut said: HashSet<String> = HashSet::new();
        for notice in wire.notices.take() {
            if notice.severity == "WARNING" && said.insert(notice.message.clone()) {
                self.emit.emit(What::Note {
                    text: format!("{}: the server warns: {}", job.label, notice.message),
                });
            }
        }
    }
}
