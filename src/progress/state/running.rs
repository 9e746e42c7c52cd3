//! A job that runs now: how far it is, how fast, and what it waits for.

use chrono::{DateTime, Utc};

use super::account::weight;
use crate::event::{AtWork, Bound, PlannedJob};
use crate::model::{Bytes, Rows};
use crate::progress::estimate::{Meter, Speed};

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
    /// Whether it is worked on all the same.
    pub at_work: AtWork,
    /// Who sets its pace.
    pub bound: Bound,
    pub(super) meter: Meter,
}

impl RunningJob {
    pub(super) fn new(plan: PlannedJob, started: DateTime<Utc>) -> Self {
        Self {
            plan,
            started,
            rows: Rows(0),
            bytes: Bytes(0),
            waits: None,
            at_work: AtWork::Unknown,
            bound: Bound::default(),
            meter: Meter::new(started),
        }
    }

    /// How fast its bytes come, once there are any.
    pub fn speed(&self) -> Option<Speed> {
        self.meter.speed().filter(|_| self.bytes.0 > 0)
    }

    pub(super) fn weight(&self) -> u64 {
        weight(&self.plan)
    }

    /// A server says what it does while it does not move.
    pub(super) fn stand_still(&mut self, what: &str, at_work: AtWork) {
        self.waits = Some(what.to_owned());
        self.at_work = at_work;
    }

    /// So far it is now.
    pub(super) fn advance(&mut self, rows: Rows, bytes: Bytes, at: DateTime<Utc>) {
        if bytes != self.bytes || rows != self.rows {
            self.waits = None;
            self.at_work = AtWork::Unknown;
        }
        self.rows = rows;
        self.bytes = bytes;
        self.meter.read(at, bytes.0);
    }

    /// The part of the planned bytes that is done. A job whose bytes have passed the plan's is nearly done, not more.
    pub(super) fn done(&self) -> u64 {
        self.bytes.0.min(self.plan.bytes.0 / 100 * 99)
    }
}
