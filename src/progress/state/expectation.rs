//! What an earlier run, or else the plan's own costs, make us expect, corrected by what this run has shown so far.
//!
//! Each job has an expected time. What is left of these, by how much slower or faster each kind of job has been up to now, shared by
//! the workers as well as the earlier run did: that is the time left. The same without the correction is what the earlier
//! run had left at this point.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use super::State;
use crate::event::{AtWork, Expected, ExpectedJob, Phase};
use crate::model::JobId;

/// How much work speaks for the expectation before anything is known: a few jobs that are quick or slow by chance do not turn
/// it over.
const TRUST_MS: f64 = 5000.0;

/// For rough rates less speaks: they are often off by some times.
const TRUST_IN_ROUGH_MS: f64 = 500.0;

/// A job that takes less than this is not worth a word, and neither is one that takes so little more.
const WORTH_TELLING_MS: u64 = 5000;

/// What any job counts for at least: of one that takes no time at all, nothing would be left while it runs for an hour.
const LEAST_MS: u64 = 1;

/// More is not said to be done while anything is left to do.
const NEARLY_DONE: f64 = 0.99;

/// As many times as long is not chance any more.
const MUCH_LONGER: f64 = 2.0;

/// What is expected.
#[derive(Debug, Clone)]
pub(super) struct Expectation {
    pub by: Option<String>,
    window_ms: Option<u64>,
    jobs: HashMap<JobId, ExpectedJob>,
    /// Those with the longest chains first.
    by_chain: Vec<JobId>,
    /// By how much all jobs take longer than their work, shared by the workers as far as it can be.
    stretch: Option<f64>,
    /// What comes after the last job.
    after_ms: u64,
    /// Expected time of all jobs, and of those that are not over.
    all_ms: u64,
    open_ms: BTreeMap<Phase, u64>,
    /// Of finished jobs: what was expected, and what they took.
    shown: BTreeMap<Phase, (f64, f64)>,
}

/// How a run stands against what was expected.
#[derive(Debug, Clone, PartialEq)]
pub struct Outlook {
    /// What the earlier run was; `None` without one.
    pub by: Option<String>,
    /// How much of the work is done, from 0 to 1; `None` if nothing was expected of its jobs.
    pub done: Option<f64>,
    /// What was expected to be left at this point, in milliseconds.
    pub then_left_ms: Option<u64>,
    /// The time that there is, from the start of the run on, in milliseconds.
    pub window_ms: Option<u64>,
}

/// A job that takes much longer than it should.
#[derive(Debug, Clone, PartialEq)]
pub struct Slower {
    /// How many times as long.
    pub times: f64,
    /// What was expected, in milliseconds.
    pub expected_ms: u64,
    /// What the earlier run was.
    pub by: String,
}

/// How many times as long as expected jobs take, by phase.
pub(super) struct Paces {
    phases: BTreeMap<Phase, f64>,
    others: f64,
}

impl Default for Paces {
    fn default() -> Self {
        Self {
            phases: BTreeMap::new(),
            others: 1.0,
        }
    }
}

impl Paces {
    /// For each kind as far as its own jobs have shown, of which it is said what was expected and what they took; for the rest as
    /// all have.
    fn shown(shown: &BTreeMap<Phase, (f64, f64)>, expectation: &Expectation) -> Self {
        let trust = match expectation.by {
            Some(_) => TRUST_MS,
            None => TRUST_IN_ROUGH_MS,
        };
        let (then, now) = shown.values().fold((0.0, 0.0), |(then, now), shown| {
            (then + shown.0, now + shown.1)
        });
        let others = (now + trust) / (then + trust);
        let of = |(then, now): &(f64, f64)| (now + trust * others) / (then + trust);
        let phases = shown.iter().map(|(phase, shown)| (*phase, of(shown)));
        Self {
            phases: phases.collect(),
            others,
        }
    }

    pub(super) fn of(&self, phase: Phase) -> f64 {
        self.phases.get(&phase).copied().unwrap_or(self.others)
    }
}

impl State {
    pub(super) fn expect(&mut self, expected: &Expected) {
        let mut open_ms: BTreeMap<Phase, u64> = BTreeMap::new();
        let mut jobs = HashMap::new();
        for job in &expected.jobs {
            let Some(plan) = self.plans.get(&job.job) else {
                continue;
            };
            jobs.insert(job.job, *job);
            if !self.over.contains(&job.job) {
                let open = open_ms.entry(plan.phase).or_default();
                *open = open.saturating_add(counted_ms(job));
            }
        }
        let all_ms = jobs.values().map(counted_ms);
        let all_ms = all_ms.fold(0, u64::saturating_add);
        let mut by_chain: Vec<JobId> = jobs.keys().copied().collect();
        by_chain.sort_by_key(|id| (Reverse(jobs.get(id).map_or(0, chain_ms)), *id));
        let of_schema = |job: &&ExpectedJob| {
            let plan = self.plans.get(&job.job);
            plan.is_some_and(|plan| plan.phase == Phase::Schema)
        };
        let schema = expected.jobs.iter().filter(of_schema);
        let schema_ms = schema.map(|job| counted_ms(job) as f64).sum();
        let shared = self.shared(all_ms as f64, schema_ms);
        let of_jobs = |total: u64| total.saturating_sub(expected.after_ms) as f64;
        let any_takes_time = jobs.values().any(|job| job.duration_ms > 0);
        let stretch = expected.total_ms.filter(|_| any_takes_time).map(of_jobs);
        self.expectation = Some(Expectation {
            by: expected.by.clone(),
            window_ms: expected.window_ms,
            jobs,
            by_chain,
            stretch: stretch.map(|total| total / shared.max(1.0)),
            after_ms: expected.after_ms,
            all_ms,
            open_ms,
            shown: BTreeMap::new(),
        });
    }

    /// What is known beyond the run itself; `None` if nothing is.
    pub fn outlook(&self) -> Option<Outlook> {
        let expectation = self.expectation.as_ref()?;
        let left = self.expected_left(false);
        let is_over = self.phases.values().all(|phase| phase.progress.is_over());
        let most = if is_over { 1.0 } else { NEARLY_DONE };
        let done = left.map(|_| {
            let (open, _) = self.open_ms(expectation, &Paces::default(), as_expected);
            (1.0 - open / expectation.all_ms.max(1) as f64).clamp(0.0, most)
        });
        Some(Outlook {
            by: expectation.by.clone(),
            done,
            then_left_ms: left,
            window_ms: expectation.window_ms,
        })
    }

    /// Milliseconds that are left, if something says what to expect; by that alone, or corrected by what this run has shown.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast from float saturates, and no time is negative"
    )]
    pub(super) fn expected_left(&self, corrected: bool) -> Option<u64> {
        let expectation = self.expectation.as_ref()?;
        let stretch = expectation.stretch?;
        let (paces, rest): (_, fn(f64, f64) -> f64) = if corrected {
            (self.paces_by_now(expectation), as_seen)
        } else {
            (Paces::default(), as_expected)
        };
        let (open, longest) = self.open_ms(expectation, &paces, rest);
        let schema_ms = expectation.open_ms.get(&Phase::Schema);
        let schema_ms = schema_ms.map_or(0.0, |ms| *ms as f64 * paces.of(Phase::Schema));
        let shared = self.shared(open, schema_ms.min(open));
        // A chain of jobs is not shared with anybody.
        let of_jobs = (shared * stretch).max(longest) as u64;
        Some(of_jobs.saturating_add(expectation.after_ms))
    }

    /// How long so much work takes all workers, if nobody waits for another one. The jobs of a schema come one after the other.
    fn shared(&self, all_ms: f64, schema_ms: f64) -> f64 {
        schema_ms + (all_ms - schema_ms) / f64::from(self.workers.max(1))
    }

    /// Whether what is expected are rough rates, which say little until the run has shown how far they are off.
    pub(super) fn is_rough(&self) -> bool {
        let expectation = self.expectation.as_ref();
        expectation.is_some_and(|expectation| expectation.by.is_none())
    }

    /// Worker time that is still to come, and how much of it the longest chain has of jobs that wait for each other. `rest` says of a
    /// running job what is left of it, by what it should take and what it has taken.
    fn open_ms(
        &self,
        expectation: &Expectation,
        paces: &Paces,
        rest: fn(f64, f64) -> f64,
    ) -> (f64, f64) {
        let open = expectation.open_ms.iter();
        let mut all: f64 = open.map(|(phase, ms)| *ms as f64 * paces.of(*phase)).sum();
        let is_open = |id: &&JobId| !self.over.contains(id) && !self.running.contains_key(id);
        let next = expectation.by_chain.iter().find(is_open);
        let next = next.and_then(|id| expectation.jobs.get(id));
        let mut longest = next.map_or(0, chain_ms) as f64 * paces.others;
        for job in self.running.values() {
            let expected = expectation.jobs.get(&job.plan.id);
            let (expected, then) = expected.map_or((0, 0), |job| (counted_ms(job), job.then_ms));
            let whole = expected as f64 * paces.of(job.plan.phase);
            let left = rest(whole, self.running_ms(job) as f64);
            all += left - whole;
            longest = longest.max(left + then as f64 * paces.others);
        }
        (all.max(0.0), longest)
    }

    /// Of finished jobs: what was expected, and what they took. Against rough rates, what running jobs have done so far counts as well.
    fn shown(&self, expectation: &Expectation) -> BTreeMap<Phase, (f64, f64)> {
        let mut shown = expectation.shown.clone();
        if expectation.by.is_some() {
            return shown;
        }
        for job in self.running.values().filter(|job| job.done() > 0) {
            if let Some(expected) = expectation.expected_ms(job.plan.id) {
                let part = job.done() as f64 / job.plan.bytes.0.max(1) as f64;
                let (then, now) = shown.entry(job.plan.phase).or_default();
                *then += expected as f64 * part;
                *now += self.running_ms(job) as f64;
            }
        }
        shown
    }

    /// How many times as long as expected each kind of job has taken, as far as its jobs say how far they are.
    pub(super) fn paces(&self, expectation: &Expectation) -> Paces {
        Paces::shown(&self.shown(expectation), expectation)
    }

    /// The same with the running jobs that say nothing, but have outlived what was left to them: what is like them takes as long at least.
    /// Not one that waits for somebody: that is none of its kind's.
    fn paces_by_now(&self, expectation: &Expectation) -> Paces {
        let mut shown = self.shown(expectation);
        let paces = Paces::shown(&shown, expectation);
        for job in self.running.values().filter(|job| job.done() == 0) {
            let waits = job.waits.is_some() && job.at_work == AtWork::Unknown;
            let elapsed = self.running_ms(job) as f64;
            let expected = expectation.expected_ms(job.plan.id).unwrap_or(0) as f64;
            if !waits && expected > 0.0 && elapsed > expected * paces.of(job.plan.phase) {
                let (then, now) = shown.entry(job.plan.phase).or_default();
                *then += expected;
                *now += elapsed;
            }
        }
        Paces::shown(&shown, expectation)
    }

    /// Whether a job that has taken so long, and may go on, takes much longer than it should.
    pub fn slower(&self, job: JobId, duration_ms: u64) -> Option<Slower> {
        let expectation = self.expectation.as_ref()?;
        // Rough rates are no measure for a job.
        let by = expectation.by.clone()?;
        let expected_ms = expectation.expected_ms(job)?;
        let times = duration_ms as f64 / expected_ms.max(1) as f64;
        let worth_telling = duration_ms.saturating_sub(expected_ms) >= WORTH_TELLING_MS;
        (worth_telling && times >= MUCH_LONGER).then_some(Slower {
            times,
            expected_ms,
            by,
        })
    }
}

/// What is left of a running job as far as it does what was expected: as good as nothing, in the end.
fn as_expected(whole: f64, elapsed: f64) -> f64 {
    (whole - elapsed).max(whole * 0.05)
}

/// The same as it is: one that has outlived what was expected is taken to need a tenth of its time again, not to be over.
fn as_seen(whole: f64, elapsed: f64) -> f64 {
    (whole - elapsed).max(elapsed * 0.1)
}

/// What a job counts for in what is done and what is left.
fn counted_ms(job: &ExpectedJob) -> u64 {
    job.duration_ms.max(LEAST_MS)
}

/// A job and those that wait for it, one after the other.
fn chain_ms(job: &ExpectedJob) -> u64 {
    job.duration_ms.saturating_add(job.then_ms)
}

impl Expectation {
    /// What a job should take.
    pub fn expected_ms(&self, job: JobId) -> Option<u64> {
        self.jobs.get(&job).map(|job| job.duration_ms)
    }

    /// What the finished jobs of a kind have taken.
    pub fn took_ms(&self, phase: Phase) -> f64 {
        self.shown.get(&phase).map_or(0.0, |(_, now)| *now)
    }

    /// A job is over, however it ended.
    pub fn over(&mut self, job: JobId, phase: Phase) {
        if let Some(counted) = self.jobs.get(&job).map(counted_ms) {
            let open = self.open_ms.entry(phase).or_default();
            *open = open.saturating_sub(counted);
        }
    }

    /// A job took so long.
    pub fn finished(&mut self, job: JobId, phase: Phase, duration_ms: u64) {
        if let Some(expected) = self.expected_ms(job) {
            let (then, now) = self.shown.entry(phase).or_default();
            *then += expected as f64;
            *now += duration_ms as f64;
        }
    }
}
