//! What a run comes to, job by job. Pure.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::event::{JobFailure, PlannedJob};
use crate::model::{Bytes, JobId, Rows};

/// How far a job came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It was never begun.
    #[default]
    Open,
    /// It was running when the record ends.
    Running,
    /// Done and committed.
    Finished,
    /// Failed and rolled back.
    Failed {
        /// Why, whole.
        failure: Box<JobFailure>,
    },
    /// Not begun, because a job it needs failed or was skipped.
    Skipped {
        /// That job.
        because_of: JobId,
    },
    /// Done and committed in an earlier session; it stays.
    Kept {
        /// Why: a clause.
        why: String,
    },
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobReport {
    /// What was planned.
    #[serde(flatten)]
    pub plan: PlannedJob,
    /// How far it came.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// When it started.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Rows it handled.
    pub rows_done: Rows,
    /// Bytes it handled.
    pub bytes_done: Bytes,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

impl JobReport {
    /// One that has not begun.
    pub fn planned(plan: PlannedJob) -> Self {
        Self {
            plan,
            outcome: Outcome::Open,
            started_at: None,
            ended_at: None,
            rows_done: Rows(0),
            bytes_done: Bytes(0),
            duration_ms: 0,
        }
    }
}
