//! Whether rows travel at another pace than before: a disk that was fast while its cache was empty, a road that somebody else uses.
//!
//! Tables differ, and so do the paces at which their rows travel. So each table is compared with itself: what its jobs moved in a while, with
//! what they moved before; and all of these that run at the same time together, because a server that is slow is so for all. A change that does
//! not last is none, and one that has been told is what the next one is compared with.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};

use super::RunningJob;
use crate::event::Bound;
use crate::model::JobId;
use crate::progress::baseline::without_piece;
use crate::progress::estimate::millis_between;

/// Over how long it is looked at.
const WINDOW_MS: u64 = 5000;
/// So many windows make a pace that is known, or a change that lasts.
const LASTING: u32 = 2;
/// So many do so if nobody is known yet who sets it.
const AT_LAST: u32 = LASTING + 1;
/// So many times as fast, or as slow, is another pace.
const OTHER: f64 = 2.5;
/// How much a window that is like the others says about all of them.
const WEIGHT: f64 = 0.2;
/// Between two changes that are told.
const PAUSE_MS: u64 = 60_000;

/// Rows travel at another pace than before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PaceChange {
    /// Bytes per second before, of those tables that are copied, or read, before and after.
    pub before: f64,
    /// Bytes per second now, of the same.
    pub now: f64,
    /// Who sets the pace now.
    pub bound: Bound,
}

/// What a job of a table moves in a second, and how many windows say so.
#[derive(Debug, Clone, Copy)]
struct Usual {
    per_second: f64,
    windows: u32,
}

/// What was seen so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Throughput {
    since: Option<DateTime<Utc>>,
    /// What the jobs that ran then had moved by the beginning of the window.
    then: HashMap<JobId, u64>,
    /// By what is copied.
    usual: HashMap<String, Usual>,
    /// Windows in a row that were slower (below zero) or faster than usual.
    other: i32,
    told: Option<DateTime<Utc>>,
}

impl Throughput {
    /// Looks at the jobs that move rows; returns a change, once.
    pub fn look<'a>(
        &mut self,
        now: DateTime<Utc>,
        jobs: impl Iterator<Item = &'a RunningJob> + Clone,
    ) -> Option<PaceChange> {
        let passed = self.since.map(|since| millis_between(since, now));
        // A clock that was set back begins anew.
        let is_back = self.since.is_some_and(|since| now < since);
        if passed.is_some_and(|passed| passed < WINDOW_MS) && !is_back {
            return None;
        }
        let moved = self.moved(jobs.clone(), passed.filter(|_| !is_back));
        self.since = Some(now);
        self.then = jobs.map(|job| (job.plan.id, job.bytes.0)).collect();
        self.judge(&moved, now)
    }

    /// What each job that ran all the time has moved in a second. One that stands still says nothing of a pace: others ask why.
    fn moved<'a>(
        &self,
        jobs: impl Iterator<Item = &'a RunningJob>,
        passed_ms: Option<u64>,
    ) -> Vec<(&'a RunningJob, f64)> {
        let Some(passed_ms) = passed_ms else {
            return Vec::new();
        };
        let moved = jobs.filter_map(|job| {
            let bytes = job.bytes.0.checked_sub(*self.then.get(&job.plan.id)?)?;
            let per_second = bytes as f64 * 1000.0 / passed_ms.max(1) as f64;
            (bytes > 0 && job.waits.is_none()).then_some((job, per_second))
        });
        moved.collect()
    }

    fn judge(&mut self, moved: &[(&RunningJob, f64)], now: DateTime<Utc>) -> Option<PaceChange> {
        let known: Vec<_> = moved
            .iter()
            .filter_map(|&(job, per_second)| {
                let usual = self.usual.get(name(job))?;
                (usual.windows >= LASTING).then_some((job, usual.per_second, per_second))
            })
            .collect();
        let before: f64 = known.iter().map(|(_, before, _)| before).sum();
        let by_now: f64 = known.iter().map(|(_, _, now)| now).sum();
        // A few of many say little about what all of them are up against.
        let is_telling = !known.is_empty() && known.len() * 2 >= moved.len();
        self.other = if is_telling && by_now * OTHER < before {
            self.other.min(0) - 1
        } else if is_telling && before * OTHER < by_now {
            self.other.max(0) + 1
        } else {
            0
        };
        if self.other == 0 {
            self.learn(moved);
        }
        let is_early = self
            .told
            .is_some_and(|told| millis_between(told, now) < PAUSE_MS);
        let bound = most_often(known.iter().map(|(job, _, _)| job.bound));
        let enough = match bound {
            Bound::Nobody => AT_LAST,
            _ => LASTING,
        };
        if self.other.unsigned_abs() < enough || is_early {
            return None;
        }
        self.told = Some(now);
        self.other = 0;
        self.usual.clear();
        self.learn(moved);
        self.usual
            .values_mut()
            .for_each(|usual| usual.windows = LASTING);
        Some(PaceChange {
            before,
            now: by_now,
            bound,
        })
    }

    /// This is how it usually is.
    fn learn(&mut self, moved: &[(&RunningJob, f64)]) {
        for (job, per_second) in moved {
            let usual = self.usual.entry(name(job).to_owned()).or_insert(Usual {
                per_second: *per_second,
                windows: 0,
            });
            usual.windows = usual.windows.saturating_add(1);
            let weight = WEIGHT.max(1.0 / f64::from(usual.windows));
            usual.per_second += (per_second - usual.per_second) * weight;
        }
    }
}

/// Pieces of one table are one.
fn name(job: &RunningJob) -> &str {
    without_piece(&job.plan.label)
}

fn most_often(bounds: impl ExactSizeIterator<Item = Bound>) -> Bound {
    let all = bounds.len();
    let mut counts: BTreeMap<Bound, usize> = BTreeMap::new();
    bounds.for_each(|bound| *counts.entry(bound).or_default() += 1);
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.filter(|(_, count)| count * 2 > all)
        .map_or(Bound::Nobody, |(bound, _)| bound)
}
