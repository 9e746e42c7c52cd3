//! What a plan takes when its jobs do not take what was expected, and what it takes at least.

use std::collections::BTreeMap;

use pgconvoy::model::{JobId, LockMode, QualifiedName};
use pgconvoy::plan::{Job, Plan};
use pgconvoy::schedule::simulate;

use super::dice::Dice;

/// The course of one plan, in microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Course {
    /// What the ready queue makes of it.
    pub makespan: u64,
    /// The larger of all work shared out evenly, and the longest chain of jobs that wait for each other.
    pub floor: u64,
    /// The same, also over what can only begin late, and over chains of jobs that exclude each other on a table: no queue can run
    /// these at once.
    pub strict_floor: u64,
}

impl Course {
    /// How many times the floor.
    pub fn ratio(&self) -> f64 {
        self.makespan as f64 / self.floor as f64
    }

    /// How many times the floor that knows of locks.
    pub fn strict_ratio(&self) -> f64 {
        self.makespan as f64 / self.strict_floor as f64
    }
}

/// Runs a plan, each job taking up to 30 % less or more than was expected of it; always the same way for the same plan.
pub fn run(plan: &Plan) -> Course {
    let mut dice = Dice::new(42);
    let takes: Vec<u64> = plan
        .jobs
        .iter()
        .map(|job| job.cost * (700 + dice.below(601)) / 1000)
        .collect();
    let workers = usize::try_from(plan.workers).expect("fits");
    let nodes: Vec<_> = plan.nodes().collect();
    let makespan = simulate(&nodes, plan.limits(), workers, |node| {
        takes[place(node.key)]
    });
    let longest = Chains::of(plan, &takes);
    let even = takes.iter().sum::<u64>().div_ceil(u64::from(plan.workers));
    let floor = even.max(longest.critical());
    let strict = longest.with_shared_heads(plan);
    Course {
        makespan: makespan.expect("a plan without circles"),
        floor,
        strict_floor: floor
            .max(strict.critical())
            .max(strict.late(u64::from(plan.workers)))
            .max(strict.heaviest_lock(plan)),
    }
}

fn place(job: JobId) -> usize {
    usize::try_from(job.0).expect("fits")
}

/// For each job, the longest chain before it and after it, without itself.
struct Chains {
    head: Vec<u64>,
    tail: Vec<u64>,
    takes: Vec<u64>,
}

impl Chains {
    /// A job waits only for jobs that stand before it in the plan, so one pass each way is enough.
    fn of(plan: &Plan, takes: &[u64]) -> Self {
        let mut head = vec![0; takes.len()];
        let mut tail = vec![0; takes.len()];
        for (index, job) in plan.jobs.iter().enumerate() {
            let ends = job
                .after
                .iter()
                .map(|&id| head[place(id)] + takes[place(id)]);
            head[index] = ends.max().unwrap_or(0);
        }
        for (index, job) in plan.jobs.iter().enumerate().rev() {
            for &id in &job.after {
                let behind = tail[index] + takes[index];
                tail[place(id)] = behind.max(tail[place(id)]);
            }
        }
        Self {
            head,
            tail,
            takes: takes.to_vec(),
        }
    }

    /// The same, where many jobs before one are shared out among the workers there are: the last of all chunks of a table cannot
    /// be done before all of them are.
    fn with_shared_heads(&self, plan: &Plan) -> Self {
        let mut head = self.head.clone();
        for (index, job) in plan.jobs.iter().enumerate() {
            let before = || job.after.iter().map(|&id| place(id));
            let chain = before()
                .map(|before| head[before] + self.takes[before])
                .max();
            let work: u64 = before().map(|before| self.takes[before]).sum();
            let earliest = before().map(|before| head[before]).min().unwrap_or(0);
            let shared = earliest + work.div_ceil(u64::from(plan.workers));
            head[index] = chain.unwrap_or(0).max(shared);
        }
        Self {
            head,
            tail: self.tail.clone(),
            takes: self.takes.clone(),
        }
    }

    fn critical(&self) -> u64 {
        let chains = self.takes.iter().zip(&self.head).zip(&self.tail);
        let chains = chains.map(|((takes, head), tail)| takes + head + tail);
        chains.max().unwrap_or(0)
    }

    /// For every moment before which certain jobs cannot begin: that moment, and then these jobs, shared out evenly.
    fn late(&self, workers: u64) -> u64 {
        let mut by_head: Vec<(u64, u64)> = self
            .head
            .iter()
            .copied()
            .zip(self.takes.iter().copied())
            .collect();
        by_head.sort_unstable_by(|one, other| other.cmp(one));
        let mut work = 0;
        let bounds = by_head.into_iter().map(|(head, takes)| {
            work += takes;
            head + work.div_ceil(workers)
        });
        bounds.max().unwrap_or(0)
    }

    /// On each table: all jobs that exclude each other one after the other, with the shortest way to any of them and from
    /// any of them to an end. Jobs that share a mode are one after the other with the rest, but not among themselves.
    ///
    /// Chains are looked at by the time that their first job can begin, and by the rest that is left after their last: the
    /// bound holds for any part of them (Carlier's bound for one machine), so the heaviest part counts.
    fn heaviest_lock(&self, plan: &Plan) -> u64 {
        let mut by_table: BTreeMap<&QualifiedName, Vec<(&Job, LockMode)>> = BTreeMap::new();
        for job in &plan.jobs {
            for (table, mode) in &job.locks {
                by_table.entry(table).or_default().push((job, *mode));
            }
        }
        let chains = by_table
            .values()
            .map(|jobs| self.one_lock(jobs).max(self.reader_or_writer(jobs)));
        chains.max().unwrap_or(0)
    }

    /// Whoever only reads a table, and whoever wants it for itself: one of them is first. Behind the latter comes what waits for
    /// it, and that is one after the other as well where it excludes each other.
    fn reader_or_writer(&self, jobs: &[(&Job, LockMode)]) -> u64 {
        let of = |mode: LockMode| jobs.iter().filter(move |(_, held)| *held == mode);
        let places = |mode| of(mode).map(|(job, _)| place(job.id));
        let mut most = 0;
        for (writer, _) in of(LockMode::AccessExclusive) {
            let key = place(writer.id);
            let behind = jobs.iter().filter(|(job, mode)| {
                mode.conflicts().contains(mode) && job.after.contains(&writer.id)
            });
            let behind: u64 = behind.map(|(job, _)| self.takes[place(job.id)]).sum();
            for reader in places(LockMode::AccessShare) {
                let both = self.takes[key] + self.takes[reader];
                let reader_first = self.head[reader] + both + behind.max(self.tail[key]);
                let writer_first = self.head[key] + both + self.tail[reader];
                most = most.max(reader_first.min(writer_first));
            }
        }
        most
    }

    fn one_lock(&self, jobs: &[(&Job, LockMode)]) -> u64 {
        let exclusive = |mode: &LockMode| mode.conflicts().contains(mode);
        let mut chain: Vec<usize> = Vec::new();
        // Of those that may run together, the longest stands for all: the rest may be beside it.
        let mut shared: BTreeMap<LockMode, usize> = BTreeMap::new();
        for (job, mode) in jobs {
            let index = place(job.id);
            if exclusive(mode) {
                chain.push(index);
            } else {
                let longest = shared.entry(*mode).or_insert(index);
                if self.takes[index] > self.takes[*longest] {
                    *longest = index;
                }
            }
        }
        // ShareUpdateExclusive, ShareRowExclusive, Exclusive and AccessExclusive all exclude each other, and Share as well.
        chain.extend(shared.get(&LockMode::Share));
        let mut heads: Vec<u64> = chain.iter().map(|&index| self.head[index]).collect();
        heads.sort_unstable();
        heads.dedup();
        let parts = heads.into_iter().map(|earliest| {
            let part = chain.iter().filter(|&&index| self.head[index] >= earliest);
            let load: u64 = part.clone().map(|&index| self.takes[index]).sum();
            let rest = part.map(|&index| self.tail[index]).min().unwrap_or(0);
            earliest + load + rest
        });
        parts.max().unwrap_or(0)
    }
}
