//! Starts jobs, hears of their ends, decides what is skipped, and gives the snapshot back.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::{Id, JoinSet};

use super::attempt::Task;
use super::bound::Pace;
use super::evidence::Evidence;
use super::outcome::{Ended, Outcome};
use super::stop::{self, Drain, Turn};
use super::watchdog::{self, Watchdog};
use super::{Earlier, ExecuteError, Loading, Origin, Run};
use crate::event::{Emit, Phase, What};
use crate::fault;
use crate::ledger::Marks;
use crate::model::{Bytes, DumpId, JobId, Rows, Side};
use crate::pg::wire::{Gauge, Wire};
use crate::pg::{Pool, Snapshot};
use crate::plan::{Job, Plan, Work};
use crate::schedule::Schedule;

/// How often the progress of running jobs is told.
const TICK: Duration = Duration::from_millis(500);

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

/// A job under way.
struct Running {
    job: JobId,
    slot: u32,
    started: Instant,
    gauge: Arc<Gauge>,
    told: (Rows, Bytes),
    /// Of a job that relays rows.
    pace: Option<Pace>,
}

struct Supervisor {
    context: Arc<Context>,
    schedule: Schedule<JobId>,
    tasks: JoinSet<Ended>,
    running: HashMap<Id, Running>,
    free_slots: BTreeSet<u32>,
    /// Entries that are not there although they should be, and the job that is the cause.
    broken: HashMap<DumpId, JobId>,
    evidence: Evidence,
    snapshot: Option<Snapshot>,
    drain: Drain,
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
            let source = source.with_encoding(&plan.client_encoding);
            let pool = Pool::in_snapshot(source, snapshot.id.clone());
            (pool, Some(*snapshot), None)
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
        never = watchdog::watch(&watched) => match never {},
    };
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
            self.release_snapshot_if_unused().await?;
            self.start_what_can();
            if self.tasks.is_empty() && self.drain.is_asked_for() {
                return Err(ExecuteError::Stopped);
            }
            if self.tasks.is_empty() {
                // What came out of an archive is compared with it afterwards.
                if self.context.archive.is_none() {
                    self.evidence
                        .unjudged(&self.context.plan, self.context.emit.as_ref());
                }
                return Ok(());
            }
            tokio::select! {
                Some(ended) = self.tasks.join_next_with_id() => self.end(ended)?,
                _ = tick.tick() => self.tell_progress(),
                turn = self.drain.turn() => self.stop(turn)?,
            }
        }
    }

    /// The first time it is only told: what is running goes on, and nothing new is started. Then the time is up.
    fn stop(&self, turn: Turn) -> Result<(), ExecuteError> {
        let Turn::Begins(cause) = turn else {
            return Err(ExecuteError::Stopped);
        };
        self.context.emit.emit(What::Draining {
            signal: cause.to_string(),
            jobs: u32::try_from(self.running.len()).unwrap_or(u32::MAX),
            seconds: self.drain.patience().as_secs(),
        });
        Ok(())
    }

    fn start_what_can(&mut self) {
        if self.drain.is_asked_for() {
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
            self.context.emit.emit(What::JobStarted {
                job: id,
                worker: slot,
            });
            fault::point_of("job-started", || &job.label);
            let gauge = Arc::new(Gauge::default());
            let is_relayed = job.phase == Phase::Data && context.archive.is_none();
            let broken: HashSet<DumpId> = self.broken.keys().copied().collect();
            let task = Task {
                context: Arc::clone(&context),
                id,
                broken,
                gauge: Arc::clone(&gauge),
            };
            let handle = self.tasks.spawn(Box::pin(task.perform()));
            let running = Running {
                job: id,
                slot,
                started: Instant::now(),
                gauge,
                told: Default::default(),
                pace: is_relayed.then(Pace::default),
            };
            self.running.insert(handle.id(), running);
        }
    }

    /// Statements that an earlier session has run stay as they are. What it copied is read again.
    fn is_kept(&self, job: &Job) -> bool {
        matches!(job.work, Work::Run { .. } | Work::RunAlone { .. })
            && self.context.earlier.marks.whole(job.id)
    }

    /// A job that needs what is broken is not started; what it would have made is broken, too.
    fn skip(&mut self, job: &Job, because_of: JobId) {
        self.context.emit.emit(What::JobSkipped {
            job: job.id,
            because_of,
        });
        for entry in entries_of(&job.work) {
            self.broken.entry(entry).or_insert(because_of);
        }
        self.over(job);
    }

    fn end(
        &mut self,
        ended: Result<(Id, Ended), tokio::task::JoinError>,
    ) -> Result<(), ExecuteError> {
        let (task, outcome) = match ended {
            Ok((task, outcome)) => (task, Ok(outcome)),
            Err(error) => (error.id(), Err(error)),
        };
        let Some(running) = self.running.remove(&task) else {
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
        let outcome = outcome.map_err(|source| {
            let job = name();
            if source.stops_run() {
                ExecuteError::Stuck { job, source }
            } else {
                ExecuteError::Lost { job, source }
            }
        })?;
        fault::point_of("job-ended", || &job.label);
        self.tell_scarcity();
        self.conclude(job, &running, outcome);
        fault::point_of("job-told", || &job.label);
        self.free_slots.insert(running.slot);
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
            let duration_ms =
                u64::try_from(running.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            emit.emit(What::JobFinished {
                job: job.id,
                rows: outcome.rows,
                bytes: outcome.bytes,
                duration_ms,
            });
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

    /// The source holds back its vacuum for as long as the snapshot lives: not a moment longer than it is read.
    async fn release_snapshot_if_unused(&mut self) -> Result<(), ExecuteError> {
        if self.readers > 0 {
            return Ok(());
        }
        if let Some(snapshot) = self.snapshot.take() {
            fault::point("snapshot-unused");
            self.context.source.drain().await;
            let released = snapshot.release().await;
            fault::point("snapshot-released");
            released.map_err(|source| ExecuteError::Stuck {
                job: "giving the source's snapshot back".to_owned(),
                source,
            })?;
            self.context.emit.emit(What::SnapshotReleased);
        }
        Ok(())
    }

    fn tell_scarcity(&self) {
        let sides = [
            (Side::Source, &self.context.source),
            (Side::Target, &self.context.target),
        ];
        for (side, _) in sides.iter().filter(|(_, pool)| pool.has_become_scarce()) {
            let text = format!(
                "the {side} has no room for as many connections as there are workers: they wait for each other's (fewer --jobs, or a \
                 higher max_connections or CONNECTION LIMIT there)"
            );
            self.context.emit.emit(What::Note { text });
        }
    }

    fn tell_progress(&mut self) {
        let now = Instant::now();
        for running in self.running.values_mut() {
            let pace = running.pace.as_mut();
            if let Some(bound) = pace.and_then(|pace| pace.look(&running.gauge, now)) {
                let job = running.job;
                self.context.emit.emit(What::JobBound { job, bound });
            }
            let so_far = running.gauge.read();
            if so_far != running.told {
                running.told = so_far;
                let (rows, bytes) = so_far;
                self.context.emit.emit(What::JobAdvanced {
                    job: running.job,
                    rows,
                    bytes,
                });
            }
        }
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

fn entries_of(work: &Work) -> Vec<DumpId> {
    match work {
        Work::Run { statements, .. } => statements
            .iter()
            .filter_map(|statement| statement.entry.as_ref())
            .map(|entry| entry.dump_id)
            .collect(),
        _ => Vec::new(),
    }
}
