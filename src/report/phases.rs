//! The phases of a run in numbers, summed over its jobs.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{JobReport, Outcome};
use crate::event::Phase;

/// One phase in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseReport {
    /// Which.
    pub phase: Phase,
    /// Jobs planned.
    pub jobs: u64,
    /// Of them, finished, or kept from an earlier session.
    pub finished: u64,
    /// Of them, failed.
    pub failed: u64,
    /// Of them, not started because one they need failed.
    pub skipped: u64,
    /// When the first one started.
    pub started_at: Option<DateTime<Utc>>,
    /// When the last one ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Worker time in milliseconds: more than the clock shows when several work at once.
    pub busy_ms: u64,
}

impl PhaseReport {
    /// Of all jobs, by phase.
    pub(super) fn of(jobs: &[JobReport]) -> Vec<Self> {
        let mut phases: BTreeMap<Phase, Self> = BTreeMap::new();
        for job in jobs {
            let phase = phases.entry(job.plan.phase).or_insert(Self {
                phase: job.plan.phase,
                jobs: 0,
                finished: 0,
                failed: 0,
                skipped: 0,
                started_at: None,
                ended_at: None,
                busy_ms: 0,
            });
            phase.jobs += 1;
            match job.outcome {
                Outcome::Finished | Outcome::Kept { .. } => phase.finished += 1,
                Outcome::Failed { .. } => phase.failed += 1,
                Outcome::Skipped { .. } => phase.skipped += 1,
                Outcome::Open | Outcome::Running => {}
            }
            phase.started_at = [phase.started_at, job.started_at]
                .into_iter()
                .flatten()
                .min();
            phase.ended_at = phase.ended_at.max(job.ended_at);
            phase.busy_ms = phase.busy_ms.saturating_add(job.duration_ms);
        }
        phases.into_values().collect()
    }
}
