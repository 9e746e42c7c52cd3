//! The ready queue without anybody who works: what a plan takes on paper.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fmt;
use std::hash::Hash;

use super::{Limits, Node, Schedule, ScheduleError};

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
    let lasts: HashMap<K, u64> = nodes.iter().map(|node| (node.key, takes(node))).collect();
    let mut schedule = Schedule::new(nodes.iter().cloned(), limits)?;
    let mut now = 0_u64;
    let mut ends: BinaryHeap<Reverse<(u64, K)>> = BinaryHeap::new();
    while !schedule.is_done() {
        while schedule.running() < workers {
            let Some(key) = schedule.start_next() else {
                break;
            };
            ends.push(Reverse((now.saturating_add(lasts[&key]), key)));
        }
        let Some(Reverse((end, key))) = ends.pop() else {
            return Ok(u64::MAX);
        };
        now = end;
        schedule.finish(key);
    }
    Ok(now)
}
