//! What is planned, done and lost of a phase.

use std::collections::BTreeSet;

use crate::event::PlannedJob;
use crate::model::{Bytes, JobId, Rows};

/// What any job costs besides its bytes: as much as copying this many.
const OVERHEAD: u64 = 256 * 1024;

/// How much of a phase is planned, done and lost.
#[derive(Debug, Clone, Copy, Default)]
pub struct PhaseProgress {
    /// Jobs planned.
    pub jobs: u64,
    /// Jobs finished.
    pub finished: u64,
    /// Jobs failed.
    pub failed: u64,
    /// Jobs that will not start, because one they need failed.
    pub skipped: u64,
    /// Bytes planned, without those of failed and skipped jobs.
    pub bytes: Bytes,
    /// Bytes done, on the scale of the plan; running jobs count as far as they are.
    pub done: Bytes,
    /// Rows handled by finished jobs.
    pub rows: Rows,
}

impl PhaseProgress {
    /// Nothing of it is left to do, well or badly.
    pub fn is_over(&self) -> bool {
        self.finished + self.failed + self.skipped >= self.jobs
    }
}

/// What the estimate needs to know of a phase besides.
#[derive(Debug, Clone, Default)]
pub(super) struct Account {
    pub progress: PhaseProgress,
    /// Of all jobs but the failed and skipped ones.
    pub weight: u64,
    pub weight_finished: u64,
    /// Of those that an earlier session has done: they say nothing about how fast this one is.
    pub weight_kept: u64,
    /// Worker time of the finished ones.
    pub busy_ms: u64,
    /// Jobs that nobody has begun, by weight.
    pub open: BTreeSet<(u64, JobId)>,
    pub open_weight: u64,
}

/// What a job counts for in its phase.
pub(super) fn weight(plan: &PlannedJob) -> u64 {
    plan.bytes.0.saturating_add(OVERHEAD)
}
