//! The ready queue: what may start now, longest remaining path first, and jobs that exclude each other by their locks count
//! as a path too.
//!
//! Generic in what a job is called and in what it locks; it starts nothing, waits for nothing and reads no clock. The
//! owner asks [`Schedule::start_next`] for a job whenever a worker is free, and says that it has ended with
//! [`Schedule::finish`]. Whether it failed, and what is skipped because of that, is the owner's business: what is skipped has
//! ended at once.
//!
//! ```text
//!   waiting for others ──► ready ──► running ──► finished
//!                           │  ▲
//!                           ▼  │
//!                 parked: would wait for a lock, or for memory
//! ```
//!
//! A job that would only queue up for a lock inside the server is better not started: its worker can do something else.
//! It is parked with all others that want the same lock in the same mode, and when that lock comes free only the best of
//! them is looked at again. So a hundred thousand jobs cost a hundred thousand steps, not their square. Nor does a job
//! overtake a more urgent one that is parked for a lock which it would take away.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::fmt;
use std::hash::Hash;

use crate::model::LockMode;

mod simulation;
mod urgency;

pub use simulation::{Slot, simulate, timetable};

/// One job, as far as the queue needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node<K, L> {
    /// Its name; also the last word between jobs of equal rank: the smaller key goes first.
    pub key: K,
    /// How long it is expected to take, in any unit that all nodes share.
    pub cost: u64,
    /// The jobs that must have finished before it may start. Naming one twice does no harm.
    pub after: Vec<K>,
    /// What it locks while it runs, and how.
    pub locks: Vec<(L, LockMode)>,
    /// Memory it claims on the server, in bytes.
    pub memory: u64,
}

/// What all running jobs together may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Sum of [`Node::memory`], in bytes. A job that alone wants more runs when no other holds any.
    pub memory: u64,
}

/// Why a set of jobs is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError<K: fmt::Debug + fmt::Display> {
    /// Two nodes have the same key.
    #[error("scheduling: job {0} is there twice")]
    Duplicate(K),
    /// A node waits for a key that no node has.
    #[error("scheduling: job {job} waits for job {needs}, which does not exist")]
    Unknown {
        /// The job that waits.
        job: K,
        /// What it waits for.
        needs: K,
    },
    /// Jobs wait for each other in a circle: each for the next, the last for the first.
    #[error("scheduling: jobs wait for each other in a circle: {}", circle(.0))]
    Cycle(Vec<K>),
}

fn circle<K: fmt::Display>(keys: &[K]) -> String {
    let mut text = String::new();
    for key in keys.iter().chain(keys.first()) {
        if !text.is_empty() {
            text.push_str(" after ");
        }
        text.push_str(&key.to_string());
    }
    text
}

/// Jobs are numbered in the order of their keys, so comparing numbers compares keys.
type Index = usize;

/// The most urgent first, then the smallest key.
type Rank = (u64, Reverse<Index>);

/// Where a job in the ready heap was parked before, if it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lot {
    Lock(usize, LockMode),
    Memory,
}

#[derive(Debug)]
struct Job<K> {
    key: K,
    /// Cost of the longest path from here to an end, this job included.
    path: u64,
    /// The same along locks as well: what a job is ranked by.
    urgency: u64,
    /// How many of the jobs it needs have not finished.
    missing: usize,
    dependents: Vec<Index>,
    locks: Vec<(usize, LockMode)>,
    memory: u64,
    is_running: bool,
    offered_from: Option<Lot>,
}

/// One lockable thing: who holds it, and who is parked because of it.
#[derive(Debug, Default)]
struct Lock {
    holders: [u32; 8],
    parked: BTreeMap<LockMode, BinaryHeap<Rank>>,
}

impl Lock {
    /// Whether a job of this rank may have it now. Not if that overtakes a more urgent one that waits for it and could not have it
    /// beside this one: readers that nobody waits for would otherwise take turns for ever at a table whose key is wanted.
    fn admits(&self, mode: LockMode, rank: Rank) -> bool {
        mode.conflicts().iter().all(|other| {
            let first = self.parked.get(other).and_then(BinaryHeap::peek);
            self.holders[*other as usize] == 0 && first.is_none_or(|first| *first <= rank)
        })
    }

    /// Takes the most urgent of those out that wait for it in a mode, if it may have it now.
    fn next(&mut self, mode: LockMode) -> Option<Rank> {
        let first = *self.parked.get(&mode)?.peek()?;
        if !self.admits(mode, first) {
            return None;
        }
        self.parked.get_mut(&mode)?.pop()
    }
}

/// The queue. See the module's text.
#[derive(Debug)]
pub struct Schedule<K> {
    jobs: Vec<Job<K>>,
    indexes: HashMap<K, Index>,
    ready: BinaryHeap<Rank>,
    locks: Vec<Lock>,
    /// Jobs that wait for memory, the most urgent first.
    hungry: BinaryHeap<Rank>,
    memory_limit: u64,
    memory_in_use: u64,
    running: usize,
    remaining: usize,
}

impl<K: Copy + Ord + Hash + fmt::Debug + fmt::Display> Schedule<K> {
    /// Takes the jobs in; fails if they are no plan: a key twice, an unknown one, or a circle.
    pub fn new<L: Eq + Hash>(
        nodes: impl IntoIterator<Item = Node<K, L>>,
        limits: Limits,
    ) -> Result<Self, ScheduleError<K>> {
        let mut nodes: Vec<Node<K, L>> = nodes.into_iter().collect();
        nodes.sort_by_key(|node| node.key);
        let mut indexes = HashMap::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            if indexes.insert(node.key, index).is_some() {
                return Err(ScheduleError::Duplicate(node.key));
            }
        }
        let needs = resolve(&nodes, &indexes)?;
        let (jobs, lock_count) = number_locks(nodes);
        let mut schedule = Self {
            remaining: jobs.len(),
            jobs,
            indexes,
            ready: BinaryHeap::new(),
            locks: std::iter::repeat_with(Lock::default)
                .take(lock_count)
                .collect(),
            hungry: BinaryHeap::new(),
            memory_limit: limits.memory,
            memory_in_use: 0,
            running: 0,
        };
        schedule.link(&needs)?;
        for index in 0..schedule.jobs.len() {
            if schedule.jobs[index].missing == 0 {
                schedule.make_ready(index);
            }
        }
        Ok(schedule)
    }

    /// Starts the most urgent job that may run now; `None` if none may before another one ends.
    pub fn start_next(&mut self) -> Option<K> {
        while let Some((_, Reverse(index))) = self.ready.pop() {
            let offered_from = self.jobs[index].offered_from.take();
            let obstacle = self.obstacle(index);
            match obstacle {
                None => self.start(index),
                Some(lot) => self.park(index, lot),
            }
            // Its neighbours in the lot were not looked at when it was; now the best of them has its turn. If it waits elsewhere
            // by now, also those that it was not to be overtaken by.
            match offered_from {
                Some(Lot::Lock(lock, _)) if obstacle.is_some() && obstacle != offered_from => {
                    self.offer_all(lock);
                }
                Some(lot) => self.offer(lot),
                None => {}
            }
            if obstacle.is_none() {
                return Some(self.jobs[index].key);
            }
        }
        None
    }

    /// A running job has finished: its locks and memory are free, and what waited for it may be ready.
    ///
    /// # Panics
    /// If the job is not running: the caller has lost track, and nothing that follows would be right.
    pub fn finish(&mut self, key: K) {
        let index = self.release(key);
        for dependent in self.jobs[index].dependents.clone() {
            self.jobs[dependent].missing -= 1;
            if self.jobs[dependent].missing == 0 {
                self.make_ready(dependent);
            }
        }
    }

    /// Nothing runs and nothing is left to start.
    pub fn is_done(&self) -> bool {
        self.remaining == 0
    }

    /// Number of jobs that run now.
    pub fn running(&self) -> usize {
        self.running
    }

    /// Number of jobs that have not ended: running, ready, or waiting for others.
    pub fn remaining(&self) -> usize {
        self.remaining
    }

    /// Cost of the longest path from this job to an end of the plan, the job included; `None` for an unknown key.
    pub fn path(&self, key: K) -> Option<u64> {
        self.indexes.get(&key).map(|&index| self.jobs[index].path)
    }

    /// Fills in dependents, the count of missing needs, path costs and urgencies, from the ends of the plan backwards.
    fn link(&mut self, needs: &[Vec<Index>]) -> Result<(), ScheduleError<K>> {
        let costs: Vec<u64> = self.jobs.iter().map(|job| job.path).collect();
        let mut open_dependents = vec![0_usize; self.jobs.len()];
        for (index, needed) in needs.iter().enumerate() {
            self.jobs[index].missing = needed.len();
            for &need in needed {
                self.jobs[need].dependents.push(index);
                open_dependents[need] += 1;
            }
        }
        let mut ends: Vec<Index> = (0..self.jobs.len())
            .filter(|&index| open_dependents[index] == 0)
            .collect();
        let mut seen = 0;
        while let Some(end) = ends.pop() {
            seen += 1;
            let downstream = self.jobs[end].dependents.iter();
            let longest = downstream.map(|&index| self.jobs[index].path).max();
            // Until here `path` was the job's own cost.
            self.jobs[end].path = self.jobs[end].path.saturating_add(longest.unwrap_or(0));
            for &need in &needs[end] {
                open_dependents[need] -= 1;
                if open_dependents[need] == 0 {
                    ends.push(need);
                }
            }
        }
        if seen == self.jobs.len() {
            urgency::fill_in(&mut self.jobs, &costs, needs, self.locks.len());
            return Ok(());
        }
        Err(ScheduleError::Cycle(self.find_circle(&open_dependents)))
    }

    /// Every job with open dependents has a dependent that has one too: walking on along those must come round.
    fn find_circle(&self, open_dependents: &[usize]) -> Vec<K> {
        let on_circle = |index: &Index| open_dependents[*index] > 0;
        let mut visited = HashMap::new();
        let mut walk = Vec::new();
        let mut next = (0..self.jobs.len()).find(on_circle);
        while let Some(index) = next {
            if let Some(&first) = visited.get(&index) {
                // Reversed, so that it reads "a after b after c", and turned so that it starts with the smallest.
                let mut keys: Vec<K> = walk[first..].iter().rev().copied().collect();
                let smallest = (0..keys.len()).min_by_key(|&at| keys[at]);
                keys.rotate_left(smallest.unwrap_or(0));
                return keys;
            }
            visited.insert(index, walk.len());
            walk.push(self.jobs[index].key);
            next = self.jobs[index].dependents.iter().copied().find(on_circle);
        }
        walk
    }

    fn rank(&self, index: Index) -> Rank {
        (self.jobs[index].urgency, Reverse(index))
    }

    fn make_ready(&mut self, index: Index) {
        self.ready.push(self.rank(index));
    }

    /// What keeps a ready job from starting now.
    fn obstacle(&self, index: Index) -> Option<Lot> {
        let job = &self.jobs[index];
        let locked = job
            .locks
            .iter()
            .find(|&&(lock, mode)| !self.locks[lock].admits(mode, self.rank(index)));
        if let Some(&(lock, mode)) = locked {
            return Some(Lot::Lock(lock, mode));
        }
        // A job behind a more urgent one that waits for memory waits too, even if it is small enough: small ones
        // would otherwise take turns for ever while the largest, which should have begun first, never fits.
        let overtakes = self
            .hungry
            .peek()
            .is_some_and(|&first| first > self.rank(index));
        (job.memory > 0 && (overtakes || !self.fits(job.memory))).then_some(Lot::Memory)
    }

    fn fits(&self, memory: u64) -> bool {
        self.memory_in_use == 0 || self.memory_in_use.saturating_add(memory) <= self.memory_limit
    }

    fn start(&mut self, index: Index) {
        let job = &mut self.jobs[index];
        job.is_running = true;
        self.running += 1;
        self.memory_in_use = self.memory_in_use.saturating_add(job.memory);
        for &(lock, mode) in &job.locks {
            self.locks[lock].holders[mode as usize] += 1;
        }
    }

    fn park(&mut self, index: Index, lot: Lot) {
        let rank = self.rank(index);
        match lot {
            Lot::Memory => self.hungry.push(rank),
            Lot::Lock(lock, mode) => {
                self.locks[lock].parked.entry(mode).or_default().push(rank);
            }
        }
    }

    /// Puts the most urgent job of a lot back into the ready heap, if what it waited for is free.
    fn offer(&mut self, lot: Lot) {
        let best = match lot {
            Lot::Memory => match self.hungry.peek() {
                Some(&(_, Reverse(index))) if self.fits(self.jobs[index].memory) => {
                    self.hungry.pop()
                }
                _ => None,
            },
            Lot::Lock(lock, mode) => self.locks[lock].next(mode),
        };
        if let Some(rank) = best {
            let Reverse(index) = rank.1;
            self.jobs[index].offered_from = Some(lot);
            self.ready.push(rank);
        }
    }

    /// The same with all who wait for a lock.
    fn offer_all(&mut self, lock: usize) {
        let waiting: Vec<LockMode> = self.locks[lock].parked.keys().copied().collect();
        for mode in waiting {
            self.offer(Lot::Lock(lock, mode));
        }
    }

    fn release(&mut self, key: K) -> Index {
        let index = self.indexes.get(&key).copied();
        let Some(index) = index.filter(|&index| self.jobs[index].is_running) else {
            panic!("job {key} has ended, but it was not running");
        };
        self.jobs[index].is_running = false;
        self.running -= 1;
        self.remaining -= 1;
        self.memory_in_use = self.memory_in_use.saturating_sub(self.jobs[index].memory);
        if self.jobs[index].memory > 0 {
            self.offer(Lot::Memory);
        }
        let locks = std::mem::take(&mut self.jobs[index].locks);
        for &(lock, mode) in &locks {
            self.locks[lock].holders[mode as usize] -= 1;
        }
        for &(lock, _) in &locks {
            self.offer_all(lock);
        }
        index
    }
}

/// The needs of each node as indexes, each once.
fn resolve<K, L>(
    nodes: &[Node<K, L>],
    indexes: &HashMap<K, Index>,
) -> Result<Vec<Vec<Index>>, ScheduleError<K>>
where
    K: Copy + Ord + Hash + fmt::Debug + fmt::Display,
{
    let mut needs = Vec::with_capacity(nodes.len());
    for node in nodes {
        let mut needed = Vec::with_capacity(node.after.len());
        for &need in &node.after {
            let index = indexes.get(&need).ok_or(ScheduleError::Unknown {
                job: node.key,
                needs: need,
            })?;
            needed.push(*index);
        }
        needed.sort_unstable();
        needed.dedup();
        needs.push(needed);
    }
    Ok(needs)
}

/// Turns nodes into jobs, with a number for each different thing that is locked; and how many those are.
fn number_locks<K, L: Eq + Hash>(nodes: Vec<Node<K, L>>) -> (Vec<Job<K>>, usize) {
    let mut numbers: HashMap<L, usize> = HashMap::new();
    let jobs = nodes
        .into_iter()
        .map(|node| Job {
            key: node.key,
            path: node.cost,
            urgency: 0,
            missing: 0,
            dependents: Vec::new(),
            locks: node
                .locks
                .into_iter()
                .map(|(lock, mode)| {
                    let next = numbers.len();
                    (*numbers.entry(lock).or_insert(next), mode)
                })
                .collect(),
            memory: node.memory,
            is_running: false,
            offered_from: None,
        })
        .collect();
    (jobs, numbers.len())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const PLENTY: Limits = Limits { memory: u64::MAX };

    fn node(key: u32, cost: u64, after: &[u32]) -> Node<u32, u32> {
        Node {
            key,
            cost,
            after: after.to_vec(),
            locks: Vec::new(),
            memory: 0,
        }
    }

    fn locking(key: u32, cost: u64, lock: u32, mode: LockMode) -> Node<u32, u32> {
        Node {
            locks: vec![(lock, mode)],
            ..node(key, cost, &[])
        }
    }

    fn hungry(key: u32, cost: u64, memory: u64) -> Node<u32, u32> {
        Node {
            memory,
            ..node(key, cost, &[])
        }
    }

    fn own_cost(node: &Node<u32, u32>) -> u64 {
        node.cost
    }

    fn start_all(schedule: &mut Schedule<u32>) -> Vec<u32> {
        std::iter::from_fn(|| schedule.start_next()).collect()
    }

    #[test]
    fn the_longest_remaining_path_goes_first_and_ties_go_to_the_smaller_key() {
        // 4 is cheap, but a long job waits for it.
        let nodes = [
            node(1, 5, &[]),
            node(2, 7, &[]),
            node(3, 7, &[]),
            node(4, 1, &[]),
            node(5, 100, &[4]),
        ];
        let mut schedule = Schedule::new(nodes, PLENTY).expect("is a plan");
        assert_eq!(schedule.path(4), Some(101));
        assert_eq!(start_all(&mut schedule), [4, 2, 3, 1]);
        schedule.finish(4);
        assert_eq!(start_all(&mut schedule), [5]);
        assert_eq!((schedule.running(), schedule.remaining()), (4, 4));
    }

    #[test]
    fn what_is_no_plan_is_refused_by_name() {
        let refused = |nodes: &[Node<u32, u32>]| {
            Schedule::new(nodes.to_vec(), PLENTY)
                .expect_err("is no plan")
                .to_string()
        };
        assert_eq!(
            refused(&[node(1, 1, &[]), node(1, 1, &[])]),
            "scheduling: job 1 is there twice"
        );
        assert_eq!(
            refused(&[node(1, 1, &[9])]),
            "scheduling: job 1 waits for job 9, which does not exist"
        );
        assert_eq!(
            refused(&[node(1, 1, &[1])]),
            "scheduling: jobs wait for each other in a circle: 1 after 1"
        );
        // 1 waits for the circle and 5 is waited for by it; neither is part of it.
        let nodes = [
            node(1, 1, &[2]),
            node(2, 1, &[3]),
            node(3, 1, &[4, 5]),
            node(4, 1, &[2]),
            node(5, 1, &[]),
        ];
        assert_eq!(
            refused(&nodes),
            "scheduling: jobs wait for each other in a circle: 2 after 3 after 4 after 2"
        );
    }

    #[test]
    fn a_job_that_would_wait_for_a_lock_leaves_its_worker_to_another() {
        let nodes = [
            locking(1, 9, 70, LockMode::ShareRowExclusive),
            locking(2, 8, 70, LockMode::ShareRowExclusive),
            locking(3, 7, 70, LockMode::RowShare),
            locking(4, 6, 71, LockMode::ShareRowExclusive),
            locking(5, 5, 70, LockMode::ShareRowExclusive),
        ];
        let mut schedule = Schedule::new(nodes, PLENTY).expect("is a plan");
        assert_eq!(start_all(&mut schedule), [1, 3, 4]);
        schedule.finish(4);
        assert_eq!(start_all(&mut schedule), [0_u32; 0]);
        schedule.finish(1);
        assert_eq!(start_all(&mut schedule), [2]);
        schedule.finish(2);
        assert_eq!(start_all(&mut schedule), [5]);
    }

    /// A reader runs, and a job that wants the table for itself waits for it: another reader that nobody waits for does not start.
    #[test]
    fn who_waits_for_a_lock_is_not_overtaken_by_those_that_matter_less() {
        let nodes = [
            locking(1, 9, 70, LockMode::AccessShare),
            locking(2, 8, 70, LockMode::AccessExclusive),
            locking(3, 7, 70, LockMode::AccessShare),
            locking(4, 6, 71, LockMode::AccessShare),
        ];
        let mut schedule = Schedule::new(nodes, PLENTY).expect("is a plan");
        assert_eq!(start_all(&mut schedule), [1, 4]);
        schedule.finish(1);
        assert_eq!(start_all(&mut schedule), [2]);
        schedule.finish(2);
        assert_eq!(start_all(&mut schedule), [3]);
    }

    #[test]
    fn several_holders_must_all_let_go() {
        let nodes = [
            locking(1, 9, 70, LockMode::Share),
            locking(2, 8, 70, LockMode::Share),
            locking(3, 7, 70, LockMode::RowExclusive),
        ];
        let mut schedule = Schedule::new(nodes, PLENTY).expect("is a plan");
        assert_eq!(start_all(&mut schedule), [1, 2]);
        schedule.finish(1);
        assert_eq!(schedule.start_next(), None);
        schedule.finish(2);
        assert_eq!(schedule.start_next(), Some(3));
    }

    #[test]
    fn a_job_larger_than_the_budget_runs_alone_and_is_not_starved() {
        let limits = Limits { memory: 100 };
        let nodes = [
            hungry(1, 9, 60),
            hungry(2, 8, 500),
            hungry(3, 7, 10),
            node(4, 1, &[]),
        ];
        let mut schedule = Schedule::new(nodes, limits).expect("is a plan");
        // 3 would fit beside 1, but 2 is more urgent and waits; 4 needs no memory.
        assert_eq!(start_all(&mut schedule), [1, 4]);
        schedule.finish(1);
        assert_eq!(start_all(&mut schedule), [2]);
        schedule.finish(2);
        assert_eq!(start_all(&mut schedule), [3]);
    }

    #[test]
    #[should_panic(expected = "job 1 has ended, but it was not running")]
    fn ending_a_job_twice_is_a_bug() {
        let mut schedule = Schedule::new([node(1, 1, &[])], PLENTY).expect("is a plan");
        schedule.start_next();
        schedule.finish(1);
        schedule.finish(1);
    }

    /// A hundred thousand jobs that all want the same lock, and as many that all want memory, behind one root.
    #[test]
    fn a_hundred_thousand_parked_jobs_are_not_rescanned() {
        let crowd = |key| Node {
            after: vec![0],
            memory: 10,
            ..locking(key, 1, 70 + key % 2, LockMode::ShareRowExclusive)
        };
        let nodes: Vec<_> = std::iter::once(node(0, 1, &[]))
            .chain((1..=100_000).map(crowd))
            .collect();
        let began = std::time::Instant::now();
        let makespan = simulate(&nodes, Limits { memory: 20 }, 4, own_cost).expect("is a plan");
        assert_eq!(makespan, 1 + 50_000);
        // A rescan at each end would be 5 * 10^9 steps.
        assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    }

    #[derive(Debug, Clone)]
    struct Case {
        nodes: Vec<Node<u32, u32>>,
        workers: usize,
    }

    const BUDGET: Limits = Limits { memory: 10 };

    fn cases() -> impl Strategy<Value = Case> {
        let lock = (0_u32..4, (0_usize..8).prop_map(|mode| LockMode::ALL[mode]));
        let raw = (
            0_u64..20,
            prop::collection::vec(any::<prop::sample::Index>(), 0..3),
            prop::collection::vec(lock, 0..3),
            0_u64..14,
        );
        let raws = prop::collection::vec(raw, 1..40);
        (raws, 1_usize..6).prop_map(|(raws, workers)| {
            let mut nodes = Vec::new();
            for (key, (cost, after, locks, memory)) in raws.into_iter().enumerate() {
                let earlier =
                    |index: prop::sample::Index| u32::try_from(index.index(key)).expect("is small");
                nodes.push(Node {
                    key: u32::try_from(key).expect("is small"),
                    cost,
                    after: if key == 0 {
                        Vec::new()
                    } else {
                        after.into_iter().map(earlier).collect()
                    },
                    locks,
                    memory,
                });
            }
            Case { nodes, workers }
        })
    }

    fn clash(one: &Node<u32, u32>, other: &Node<u32, u32>) -> bool {
        one.locks.iter().any(|(lock, mode)| {
            other
                .locks
                .iter()
                .any(|(held, held_mode)| lock == held && mode.conflicts().contains(held_mode))
        })
    }

    /// Runs a case with an own, naive account of who runs and who is done, and asserts at each step.
    fn run(case: &Case) -> Result<(), TestCaseError> {
        let mut schedule =
            Schedule::new(case.nodes.clone(), BUDGET).expect("edges go backwards only");
        let mut running: Vec<u32> = Vec::new();
        let mut ended: BTreeSet<u32> = BTreeSet::new();
        while !schedule.is_done() {
            while running.len() < case.workers {
                let Some(key) = schedule.start_next() else {
                    break;
                };
                let node = &case.nodes[key as usize];
                prop_assert!(!ended.contains(&key) && !running.contains(&key));
                for need in &node.after {
                    prop_assert!(ended.contains(need));
                }
                for other in &running {
                    prop_assert!(!clash(node, &case.nodes[*other as usize]));
                }
                running.push(key);
                let held = running.iter().map(|&key| case.nodes[key as usize].memory);
                let holders = held.clone().filter(|&memory| memory > 0).count();
                prop_assert!(held.sum::<u64>() <= BUDGET.memory || holders == 1);
            }
            // Whoever is ready, needs no memory, clashes with nobody and overtakes no clashing one must have been started.
            if running.len() < case.workers {
                let is_ready = |node: &&Node<u32, u32>| {
                    !ended.contains(&node.key)
                        && !running.contains(&node.key)
                        && node.after.iter().all(|need| ended.contains(need))
                };
                let ready: Vec<_> = case.nodes.iter().filter(is_ready).collect();
                let rank = |node: &Node<u32, u32>| schedule.rank(schedule.indexes[&node.key]);
                for node in &ready {
                    let before = ready.iter().filter(|other| rank(other) > rank(node));
                    let before = before.map(|other| other.key).chain(running.iter().copied());
                    let free = node.memory == 0
                        && !before
                            .into_iter()
                            .any(|k| clash(node, &case.nodes[k as usize]));
                    prop_assert!(!free, "{} was left lying", node.key);
                }
            }
            prop_assert!(
                !running.is_empty(),
                "stuck with {} left",
                schedule.remaining()
            );
            let key = running.remove(0);
            ended.insert(key);
            schedule.finish(key);
        }
        prop_assert_eq!(ended.len(), case.nodes.len());
        Ok(())
    }

    proptest! {
        #[test]
        fn everything_runs_once_in_order_and_without_clashes(case in cases()) {
            run(&case)?;
        }

        #[test]
        fn the_makespan_lies_between_its_bounds(case in cases()) {
            let total: u64 = case.nodes.iter().map(|node| node.cost).sum();
            let schedule = Schedule::new(case.nodes.clone(), BUDGET).expect("is a plan");
            let longest = case.nodes.iter().filter_map(|node| schedule.path(node.key)).max();
            let makespan = simulate(&case.nodes, BUDGET, case.workers, own_cost).expect("is a plan");
            prop_assert!(makespan >= longest.expect("has nodes"));
            prop_assert!(makespan <= total);
            prop_assert!(makespan >= total.div_ceil(case.workers as u64));
            prop_assert_eq!(simulate(&case.nodes, BUDGET, 1, own_cost).expect("is a plan"), total);
        }

        /// Without locks and memory, list scheduling is at most twice as long as the best (Graham's bound).
        #[test]
        fn without_locks_no_worker_idles_for_long(case in cases()) {
            let mut nodes = case.nodes;
            for node in &mut nodes {
                node.locks.clear();
                node.memory = 0;
            }
            let total: u64 = nodes.iter().map(|node| node.cost).sum();
            let schedule = Schedule::new(nodes.clone(), BUDGET).expect("is a plan");
            let longest = nodes.iter().filter_map(|node| schedule.path(node.key)).max();
            let makespan = simulate(&nodes, BUDGET, case.workers, own_cost).expect("is a plan");
            prop_assert!(makespan <= total / case.workers as u64 + longest.expect("has nodes"));
        }
    }
}
