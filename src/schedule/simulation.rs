//! The ready queue without anybody who works: what a plan takes on paper, and who would do what when.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fmt;
use std::hash::Hash;

use super::{Limits, Node, Schedule, ScheduleError};

/// A job on paper: by which worker, and from when to when, in the unit of costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot<K> {
    /// Which.
    pub key: K,
    /// The worker's number, from 0.
    pub worker: usize,
    /// When it starts.
    pub from: u64,
    /// When it ends.
    pub to: u64,
}

/// How long the plan would take on so many workers, if each job took as long as `takes` says of it: its cost, to see what is
/// expected; something else, to see how well the queue does when costs turn out wrong.
///
/// Fails as [`Schedule::new`] does. No workers at all take for ever: `u64::MAX`.
pub fn simulate<K, L>(
    nodes: &[Node<K, L>],
    limits: Limits,
    workers: usize,
    takes: impl Fn(&Node<K, L>) -> u64,
) -> Result<u64, ScheduleError<K>>
where
    K: Copy + Ord + Hash + fmt::Debug + fmt::Display,
    L: Clone + Eq + Hash,
{
    run((nodes, limits), workers, takes, |_| ())
}

/// The same, with who does what when, in the order in which jobs start. A worker that is free does not care which it is: the first
/// one takes the job.
pub fn timetable<K, L>(
    nodes: &[Node<K, L>],
    limits: Limits,
    workers: usize,
    takes: impl Fn(&Node<K, L>) -> u64,
) -> Result<Vec<Slot<K>>, ScheduleError<K>>
where
    K: Copy + Ord + Hash + fmt::Debug + fmt::Display,
    L: Clone + Eq + Hash,
{
    let mut slots = Vec::with_capacity(nodes.len());
    run((nodes, limits), workers, takes, |slot| slots.push(slot))?;
    Ok(slots)
}

fn run<K, L>(
    (nodes, limits): (&[Node<K, L>], Limits),
    workers: usize,
    takes: impl Fn(&Node<K, L>) -> u64,
    mut tell: impl FnMut(Slot<K>),
) -> Result<u64, ScheduleError<K>>
where
    K: Copy + Ord + Hash + fmt::Debug + fmt::Display,
    L: Clone + Eq + Hash,
{
    let lasts: HashMap<K, u64> = nodes.iter().map(|node| (node.key, takes(node))).collect();
    let mut schedule = Schedule::new(nodes.iter().cloned(), limits)?;
    let mut now = 0_u64;
    let mut ends: BinaryHeap<Reverse<(u64, K, usize)>> = BinaryHeap::new();
    // Those that have worked and are free again; the others have numbers from `hired` on.
    let mut free: BinaryHeap<Reverse<usize>> = BinaryHeap::new();
    let mut hired = 0;
    while !schedule.is_done() {
        while schedule.running() < workers {
            let Some(key) = schedule.start_next() else {
                break;
            };
            let worker = if let Some(Reverse(worker)) = free.pop() {
                worker
            } else {
                hired += 1;
                hired - 1
            };
            let (from, to) = (now, now.saturating_add(lasts[&key]));
            tell(Slot {
                key,
                worker,
                from,
                to,
            });
            ends.push(Reverse((to, key, worker)));
        }
        let Some(Reverse((end, key, worker))) = ends.pop() else {
            return Ok(u64::MAX);
        };
        now = end;
        free.push(Reverse(worker));
        schedule.finish(key);
    }
    Ok(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(key: u32, cost: u64, after: &[u32]) -> Node<u32, u8> {
        Node {
            key,
            cost,
            after: after.to_vec(),
            locks: Vec::new(),
            memory: 0,
        }
    }

    #[test]
    fn a_worker_does_one_thing_at_a_time_and_the_last_ends_when_all_is_done() {
        let nodes = [
            node(0, 10, &[]),
            node(1, 4, &[]),
            node(2, 3, &[1]),
            node(3, 5, &[0, 2]),
        ];
        let limits = Limits { memory: 0 };
        let slots = timetable(&nodes, limits, 2, |node| node.cost).expect("is a plan");
        let told: Vec<(u32, usize, u64, u64)> = slots
            .iter()
            .map(|slot| (slot.key, slot.worker, slot.from, slot.to))
            .collect();
        assert_eq!(
            told,
            [(0, 0, 0, 10), (1, 1, 0, 4), (2, 1, 4, 7), (3, 0, 10, 15)]
        );
        let all = simulate(&nodes, limits, 2, |node| node.cost).expect("is a plan");
        assert_eq!(all, 15);
        assert_eq!(simulate(&nodes, limits, 0, |node| node.cost), Ok(u64::MAX));
        assert_eq!(
            timetable(&nodes, limits, 0, |node| node.cost),
            Ok(Vec::new())
        );
    }
}
