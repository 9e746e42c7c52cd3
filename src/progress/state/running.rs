//! A job that runs now: how far it is, how fast, and what it waits for.

use chrono::{DateTime, Utc};

use super::account::weight;
use crate::event::{Bound, PlannedJob};
use crate::model::{Bytes, Rows};
use crate::progress::estimate::Meter;

/// A job that runs now.
#[derive(Debug, Clone)]
pub struct RunningJob {
    /// What was planned.
    pub plan: PlannedJob,
    /// When it started.
    pub started: DateTime<Utc>,
    /// Rows so far.
    pub rows: Rows,
    /// Bytes so far.
    pub bytes: Bytes,
    /// What keeps it from going on, if that is known.
    pub waits: Option<String>,
    /// Who sets its pace.
    pub bound: Bound,
    pub(super) meter: Meter,
}

impl RunningJob {
    /// Smoothed bytes per second, once there are any.
    pub fn rate(&self) -> Option<f64> {
        self.meter.per_second().filter(|_| self.bytes.0 > 0)
    }

    pub(super) fn weight(&self) -> u64 {
        weight(&self.plan)
    }

    /// The part of the planned bytes that is done. A job whose bytes have passed the plan's is nearly done, not more.
    pub(super) fn done(&self) -> u64 {
        self.bytes.0.min(self.plan.bytes.0 / 100 * 99)
    }
}
