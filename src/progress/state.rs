//! Where a run stands: the events so far, folded into one state.
//!
//! Pure: the time is the events' own, or that of the last [`State::tick`]. A recorded run gives the same state as a
//! live one did. No order of events makes it panic: a recording may begin or end anywhere. Of a run of several sessions it
//! is the state of the last one.

mod account;
mod clock;
mod expectation;
mod guess;
mod running;
mod throughput;

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};

use crate::event::{Bound, Event, Phase, PlannedJob, Standing, StandingState, What};
use crate::model::{Bytes, ExitStatus, JobId, Rows, Verdict};

use super::estimate::{self, Meter, PhaseLoad, Speed};
use account::{Account, weight};
use expectation::Expectation;
use throughput::Throughput;

pub use account::PhaseProgress;
pub use expectation::{Outlook, Slower};
pub use guess::{Grounds, Guess};
pub use running::RunningJob;
pub use throughput::PaceChange;

/// Before this much work an estimate would be a guess.
const EVIDENCE_MS: u64 = 3000;

/// What a byte costs in each phase, relative to copying it, until it has been measured (measured once on two cores: 1.3 GB
/// copied in 14 s of worker time, indexed in 13 s, its keys validated in 2 s, read back in 5 s).
fn prior(phase: Phase) -> f64 {
    match phase {
        Phase::Data | Phase::Indexes => 1.0,
        Phase::ForeignKeys => 0.15,
        Phase::Verify => 0.4,
        Phase::Schema | Phase::Finish => 0.2,
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// What the process exits with.
    pub status: ExitStatus,
    /// What is proven and what is not.
    pub sentence: String,
    /// What to do next.
    pub next: Option<String>,
}

/// Whether and when a run will be over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Estimate {
    /// There is no plan yet, or nothing left.
    None,
    /// Too early to tell.
    Estimating,
    /// Milliseconds from now.
    Left(u64),
}

/// Where a run stands.
#[derive(Debug, Clone, Default)]
pub struct State {
    now: Option<DateTime<Utc>>,
    started: Option<DateTime<Utc>>,
    first_job: Option<DateTime<Utc>>,
    workers: u32,
    /// Nothing is copied: both sides are read.
    compares: bool,
    /// Where the archive is that is restored.
    archive: Option<String>,
    plans: HashMap<JobId, PlannedJob>,
    over: HashSet<JobId>,
    phases: BTreeMap<Phase, Account>,
    running: BTreeMap<JobId, RunningJob>,
    moved: Option<Meter>,
    moved_bytes: u64,
    expectation: Option<Expectation>,
    throughput: Throughput,
    /// Rows travel at another pace than before, as the last event has shown.
    pub pace_change: Option<PaceChange>,
    /// The run directory.
    pub run_dir: String,
    /// Step of the command that goes on.
    pub step: Option<String>,
    /// Tables whose rows are copied, or compared.
    pub tables: u32,
    /// How many tables have which verdict.
    pub verdicts: BTreeMap<Verdict, u64>,
    /// Jobs that failed.
    pub failures: u64,
    /// Jobs that will never start.
    pub skipped: u64,
    /// How often jobs were broken off, and tried again.
    pub retries: u64,
    /// What it was asked to stop by, and until when its running jobs may go on.
    pub draining: Option<(String, DateTime<Utc>)>,
    /// Differences found.
    pub differences: u64,
    /// Things that could not be verified.
    pub unverified: u64,
    /// Warnings and blockers of the preflight.
    pub warnings: u64,
    /// How it ended, if it has.
    pub ended: Option<Ended>,
}

impl State {
    /// Folds in one event.
    pub fn apply(&mut self, event: &Event) {
        self.tick(event.at);
        self.pace_change = None;
        match &event.what {
            What::RunStarted { .. } => self.begin(&event.what, event.at),
            What::StepStarted { step } => self.step = Some(step.clone()),
            What::Finding(finding) => {
                self.warnings += u64::from(finding.severity > crate::model::Severity::Note);
            }
            What::Planned { jobs, tables, .. } => self.plan(jobs, *tables),
            What::Expected(expected) => self.expect(expected),
            What::JobStarted { job, .. } => self.start(*job, event.at),
            What::JobAdvanced { job, rows, bytes } => self.advance(*job, *rows, *bytes, event.at),
            What::JobFinished {
                job,
                rows,
                bytes,
                duration_ms,
            } => self.finish(*job, *rows, *bytes, *duration_ms),
            What::JobFailed { job, .. } => self.lose(*job, true),
            What::JobSkipped { job, .. } => self.lose(*job, false),
            What::Resumed { standing } => self.resume(standing),
            What::JobRetried { job, .. } => self.retry(*job, event.at),
            What::JobBound { job, bound } => self.bind(*job, *bound),
            What::JobWaits {
                job, what, at_work, ..
            } => {
                if let Some(running) = self.running.get_mut(job) {
                    running.stand_still(what, *at_work);
                }
            }
            What::Draining {
                signal, seconds, ..
            } => {
                let seconds = TimeDelta::seconds(i64::try_from(*seconds).unwrap_or(0));
                self.draining = Some((signal.clone(), event.at + seconds));
            }
            What::TableVerified(verdict) => *self.verdicts.entry(verdict.verdict).or_default() += 1,
            What::Difference(_) => self.differences += 1,
            What::Unverified(_) => self.unverified += 1,
            What::RunFinished {
                status,
                sentence,
                next,
            } => {
                self.ended = Some(Ended {
                    status: *status,
                    sentence: sentence.clone(),
                    next: next.clone(),
                });
            }
            What::RowsDiffer(_)
            | What::Waived(_)
            | What::InFlux { .. }
            | What::RepairWritten(_)
            | What::Synced(_)
            | What::TurnStep { .. }
            | What::FollowMoment(_)
            | What::Reserved { .. }
            | What::WillFollow(_)
            | What::EmptyingTarget(_)
            | What::SnapshotTaken { .. }
            | What::SnapshotReleased
            | What::Checked { .. }
            | What::SourceMovedOn { .. }
            | What::SourceUnchanged
            | What::StoreRetried { .. }
            | What::Note { .. } => {}
        }
    }

    /// Who sets a job's pace.
    fn bind(&mut self, job: JobId, bound: Bound) {
        if let Some(running) = self.running.get_mut(&job) {
            running.bound = bound;
        }
    }

    /// A later session tells everything anew, from its start on: what comes before it is a step, and takes nothing back.
    fn begin(&mut self, what: &What, at: DateTime<Utc>) {
        if let What::RunStarted {
            jobs,
            run_dir,
            command,
            source,
            ..
        } = what
        {
            if self.started.is_some() {
                *self = Self {
                    now: self.now,
                    ..Self::default()
                };
            }
            self.run_dir.clone_from(run_dir);
            self.compares = command.compares();
            self.archive.clone_from(&source.archive);
            self.started = Some(at);
            self.workers = *jobs;
        }
    }

    /// Lets time go by, so that rates sink when nothing happens.
    pub fn tick(&mut self, now: DateTime<Utc>) {
        if !self.goes_on(now) {
            return;
        }
        self.now = Some(now);
        for job in self.running.values_mut() {
            job.meter.read(now, job.bytes.0);
        }
        if let Some(meter) = &mut self.moved {
            meter.read(now, self.moved_bytes);
        }
    }

    /// The latest time known.
    pub fn now(&self) -> Option<DateTime<Utc>> {
        self.now
    }

    /// Milliseconds since the run started.
    pub fn elapsed_ms(&self) -> u64 {
        self.since(self.started)
    }

    /// Milliseconds that a running job has been running.
    pub fn running_ms(&self, job: &RunningJob) -> u64 {
        self.since(Some(job.started))
    }

    /// The phases that have work, in order, running jobs included in what is done.
    pub fn phases(&self) -> impl Iterator<Item = (Phase, PhaseProgress)> {
        self.phases.iter().map(|(&phase, account)| {
            let under_way = self.running_in(phase).map(RunningJob::done).sum::<u64>();
            let mut progress = account.progress;
            progress.done = Bytes(progress.done.0.saturating_add(under_way)).min(progress.bytes);
            (phase, progress)
        })
    }

    /// How much of a phase is done, from 0 to 1, by weight.
    pub fn fraction(&self, phase: Phase) -> f64 {
        let Some(account) = self.phases.get(&phase) else {
            return 0.0;
        };
        if account.progress.is_over() {
            // Not full if something was lost: what failed is not done.
            return account.progress.finished as f64 / account.progress.jobs as f64;
        }
        let under_way = self.running_in(phase).map(RunningJob::done).sum::<u64>();
        let done = account.weight_finished.saturating_add(account.weight_kept);
        let done = done.saturating_add(under_way) as f64;
        (done / account.weight as f64).clamp(0.0, 1.0)
    }

    /// Running jobs, in the order of the plan.
    pub fn running(&self) -> impl ExactSizeIterator<Item = &RunningJob> {
        self.running.values()
    }

    /// What a job does, for a person.
    pub fn label(&self, job: JobId) -> String {
        match self.plans.get(&job) {
            Some(plan) => plan.label.clone(),
            None => format!("job {job}"),
        }
    }

    /// Whether this is a comparison: nothing is copied, both sides are read.
    pub fn compares(&self) -> bool {
        self.compares
    }

    /// Whether rows come out of an archive.
    pub fn restores(&self) -> bool {
        !self.compares && self.archive.is_some()
    }

    /// The phase whose progress is told in bytes: that in which rows travel.
    pub fn measured(&self) -> Phase {
        if self.compares {
            Phase::Verify
        } else {
            Phase::Data
        }
    }

    /// How fast rows travel, in bytes, over all jobs of the measured phase.
    pub fn speed(&self) -> Option<Speed> {
        self.moved.as_ref().and_then(Meter::speed)
    }

    /// Tables that were found to be the same, as far as was asked for.
    pub fn tables_same(&self) -> u64 {
        let of = |verdict| self.verdicts.get(&verdict).copied().unwrap_or(0);
        of(Verdict::Identical) + of(Verdict::SameCount)
    }

    /// When it will be over.
    pub fn estimate(&self) -> Estimate {
        let open = self.phases.values().any(|phase| !phase.progress.is_over());
        if !open || self.ended.is_some() {
            return Estimate::None;
        }
        let is_early = self.since(self.first_job) < EVIDENCE_MS;
        match self.expected_left(true) {
            Some(_) if is_early && self.is_rough() => return Estimate::Estimating,
            Some(ms) => return Estimate::Left(ms),
            None if is_early => return Estimate::Estimating,
            None => {}
        }
        let loads: Vec<PhaseLoad> = self.phases.keys().map(|&phase| self.load(phase)).collect();
        estimate::remaining_ms(&loads, self.workers).map_or(Estimate::Estimating, Estimate::Left)
    }

    fn load(&self, phase: Phase) -> PhaseLoad {
        let account = &self.phases[&phase];
        let mut load = PhaseLoad {
            prior: prior(phase),
            done: account.weight_finished as f64,
            busy_ms: account.busy_ms as f64,
            open: account.open_weight as f64,
            largest_open: account
                .open
                .last()
                .map_or(0.0, |(weight, _)| *weight as f64),
            running: Vec::new(),
        };
        for job in self.running_in(phase) {
            let elapsed = self.running_ms(job) as f64;
            load.running.push((job.weight() as f64, elapsed));
            // A job that tells how far it is says what a byte costs before it has finished.
            if job.done() > 0 {
                load.done += job.done() as f64;
                load.busy_ms += elapsed;
            }
        }
        load
    }

    fn since(&self, then: Option<DateTime<Utc>>) -> u64 {
        match (then, self.now) {
            (Some(then), Some(now)) => estimate::millis_between(then, now),
            _ => 0,
        }
    }

    fn running_in(&self, phase: Phase) -> impl Iterator<Item = &RunningJob> {
        self.running
            .values()
            .filter(move |job| job.plan.phase == phase)
    }

    fn plan(&mut self, jobs: &[PlannedJob], tables: u32) {
        self.tables = tables;
        for job in jobs {
            // A second plan for the same job changes nothing: plans are immutable.
            if self.plans.contains_key(&job.id) {
                continue;
            }
            let phase = self.phases.entry(job.phase).or_default();
            phase.progress.jobs += 1;
            phase.progress.bytes += job.bytes;
            phase.weight = phase.weight.saturating_add(weight(job));
            phase.open_weight = phase.open_weight.saturating_add(weight(job));
            phase.open.insert((weight(job), job.id));
            self.plans.insert(job.id, job.clone());
        }
    }

    /// A job that starts again, in a later session, begins from nothing.
    fn start(&mut self, job: JobId, at: DateTime<Utc>) {
        let Some(plan) = self.plans.get(&job).cloned() else {
            return;
        };
        if self.over.contains(&job) {
            return;
        }
        self.first_job.get_or_insert(at);
        self.take_from_open(&plan);
        if plan.phase == self.measured() {
            self.moved.get_or_insert_with(|| Meter::new(at));
        }
        self.running.insert(job, RunningJob::new(plan, at));
    }

    /// What an earlier session has done counts as done, and what failed in one as failed.
    fn resume(&mut self, standing: &[Standing]) {
        for Standing { job, state, .. } in standing {
            match state {
                StandingState::Done => self.keep(*job),
                StandingState::Failed => self.lose(*job, true),
                StandingState::Redo | StandingState::Left => {}
            }
        }
    }

    fn keep(&mut self, job: JobId) {
        let Some((plan, _)) = self.end(job) else {
            return;
        };
        let phase = self.phases.entry(plan.phase).or_default();
        phase.progress.finished += 1;
        phase.progress.done += plan.bytes;
        phase.weight_kept = phase.weight_kept.saturating_add(weight(&plan));
    }

    /// A job that was broken off begins from nothing when its pause is over.
    fn retry(&mut self, job: JobId, at: DateTime<Utc>) {
        self.retries += 1;
        if let Some(running) = self.running.get_mut(&job) {
            *running = RunningJob::new(running.plan.clone(), at);
        }
    }

    fn advance(&mut self, job: JobId, rows: Rows, bytes: Bytes, at: DateTime<Utc>) {
        let measured = self.measured();
        let Some(running) = self.running.get_mut(&job) else {
            return;
        };
        if running.plan.phase == measured {
            let more = bytes.0.saturating_sub(running.bytes.0);
            self.moved_bytes = self.moved_bytes.saturating_add(more);
        }
        running.advance(rows, bytes, at);
        let moving = self.running.values();
        let moving = moving.filter(|job| job.plan.phase == measured);
        self.pace_change = self.throughput.look(at, moving);
    }

    fn finish(&mut self, job: JobId, rows: Rows, bytes: Bytes, duration_ms: u64) {
        let Some((plan, told)) = self.end(job) else {
            return;
        };
        if plan.phase == self.measured() {
            let untold = bytes.0.saturating_sub(told.0);
            self.moved_bytes = self.moved_bytes.saturating_add(untold);
        }
        if let Some(expectation) = &mut self.expectation {
            expectation.finished(job, plan.phase, duration_ms);
        }
        let phase = self.phases.entry(plan.phase).or_default();
        phase.progress.finished += 1;
        phase.progress.rows += rows;
        phase.progress.done += plan.bytes;
        phase.weight_finished = phase.weight_finished.saturating_add(weight(&plan));
        phase.busy_ms = phase.busy_ms.saturating_add(duration_ms);
    }

    fn lose(&mut self, job: JobId, failed: bool) {
        let (failures, skipped) = (u64::from(failed), u64::from(!failed));
        self.failures += failures;
        self.skipped += skipped;
        let Some((plan, _)) = self.end(job) else {
            return;
        };
        let phase = self.phases.entry(plan.phase).or_default();
        phase.progress.failed += failures;
        phase.progress.skipped += skipped;
        phase.progress.bytes = Bytes(phase.progress.bytes.0.saturating_sub(plan.bytes.0));
        phase.weight = phase.weight.saturating_sub(weight(&plan));
    }

    /// Takes a job out of all accounts of what is still to come; `None` if it was never planned or is over already.
    /// Returns the bytes that it had told of besides.
    fn end(&mut self, job: JobId) -> Option<(PlannedJob, Bytes)> {
        let plan = self.plans.get(&job)?.clone();
        if !self.over.insert(job) {
            return None;
        }
        self.take_from_open(&plan);
        if let Some(expectation) = &mut self.expectation {
            expectation.over(job, plan.phase);
        }
        let told = self.running.remove(&job).map_or(Bytes(0), |job| job.bytes);
        Some((plan, told))
    }

    fn take_from_open(&mut self, plan: &PlannedJob) {
        let phase = self.phases.entry(plan.phase).or_default();
        if phase.open.remove(&(weight(plan), plan.id)) {
            phase.open_weight = phase.open_weight.saturating_sub(weight(plan));
        }
    }
}
