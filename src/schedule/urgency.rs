//! How urgent a job is: what is left to be done from its start to the end of the plan, if every lock is a machine of its own.
//!
//! The longest chain of jobs that wait for each other is not all. Twelve foreign keys of one table do not wait for each other,
//! and yet no two of them are ever validated at once: each needs the table for itself. What has to be done before any of
//! them must be done early, because all twelve come after it, and not just the longest.
//!
//! ```text
//!   copy ─► index ─┬─► validate a ─┐ one lock:          urgency of a = a + b + c + what comes after c
//!                  ├─► validate b ─┤ one after the other           b =     b + c + what comes after c
//!                  └─► validate c ─┘                               c =         c + what comes after c
//! ```
//!
//! Jobs are taken from the end of the plan backwards, the least urgent first, as they stand one behind the other at a lock in
//! the end. It is a rule for what goes first, and no promise: memory and the number of workers do not enter into it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Index, Job};

/// For each lock and mode: the most urgent job so far that holds it.
type Behind = [u64; 8];

/// Fills in the urgency of all jobs, whose needs and numbers of dependents these are. There is no circle among them.
pub(super) fn fill_in<K>(jobs: &mut [Job<K>], costs: &[u64], needs: &[Vec<Index>], locks: usize) {
    let mut behind: Vec<Behind> = vec![Behind::default(); locks];
    let mut open_dependents: Vec<usize> = jobs.iter().map(|job| job.dependents.len()).collect();
    let mut least_first: BinaryHeap<Reverse<(u64, Index)>> = BinaryHeap::new();
    let ends = open_dependents
        .iter()
        .enumerate()
        .filter(|(_, open)| **open == 0);
    least_first.extend(ends.map(|(index, _)| Reverse((costs[index], index))));
    while let Some(Reverse((alone, index))) = least_first.pop() {
        let queued = jobs[index].locks.iter().flat_map(|&(lock, mode)| {
            let of_lock = &behind[lock];
            let rivals = mode.conflicts().iter();
            rivals.map(move |&rival| of_lock[rival as usize])
        });
        let queued = queued.max().unwrap_or(0);
        let urgency = alone.max(costs[index].saturating_add(queued));
        jobs[index].urgency = urgency;
        for &(lock, mode) in &jobs[index].locks {
            let most = &mut behind[lock][mode as usize];
            *most = urgency.max(*most);
        }
        for &need in &needs[index] {
            open_dependents[need] -= 1;
            if open_dependents[need] == 0 {
                let after = jobs[need].dependents.iter();
                let after = after.map(|&index| jobs[index].urgency).max().unwrap_or(0);
                least_first.push(Reverse((costs[need].saturating_add(after), need)));
            }
        }
    }
}
