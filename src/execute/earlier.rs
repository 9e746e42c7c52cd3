//! What earlier sessions of the run have done, and what of it failed.

use std::collections::BTreeMap;

use super::copy;
use crate::event::{EntryRef, JobFailure};
use crate::ledger::{FailedBefore, Held, Marks};
use crate::model::{FILE_DAMAGED, JobId, QualifiedName, SqlText};
use crate::plan::{Plan, Work};

/// What earlier sessions of the run have done.
#[derive(Debug, Clone, Default)]
pub struct Earlier {
    /// Their done-marks.
    pub marks: Marks,
    /// What failed for good, by job and part, and is not tried again in this session: it fails as it did before.
    pub failed: BTreeMap<JobId, BTreeMap<u32, JobFailure>>,
    /// What is run in the place of statements that failed, by job and part; and what that is called in the ledger.
    pub edited: BTreeMap<(JobId, u32), (SqlText, String)>,
    /// Tables that need not be read again: this session has read them, in its snapshot.
    pub known: BTreeMap<QualifiedName, Held>,
}

/// Failures of earlier sessions, as the ledger has them, by job and part.
pub fn known_failures(
    plan: &Plan,
    failed: &[FailedBefore],
) -> BTreeMap<JobId, BTreeMap<u32, JobFailure>> {
    let mut known: BTreeMap<JobId, BTreeMap<u32, JobFailure>> = BTreeMap::new();
    for before in failed {
        let again = if before.message.starts_with(FILE_DAMAGED) {
            "With another copy of the archive in its place"
        } else {
            "When its cause is fixed"
        };
        let hint = format!("It failed in an earlier session. {again}, resume with --retry-failed.");
        let failure = JobFailure {
            entry: entry_of(plan, before.job, before.part),
            statement: before.statement.clone(),
            message: before.message.clone(),
            server_error: None,
            hint: Some(hint),
            file: None,
        };
        known
            .entry(before.job)
            .or_default()
            .insert(before.part, failure);
    }
    known
}

/// The entry that a part of a job is about.
pub fn entry_of(plan: &Plan, job: JobId, part: u32) -> Option<EntryRef> {
    let place = usize::try_from(part).ok()?.checked_sub(1);
    match &plan.job(job)?.work {
        Work::Copy { tables } => copy::entry_of(plan, *tables.get(place?)?),
        Work::CopyChunk { table, .. } => copy::entry_of(plan, *table),
        other => other.statements().get(place?)?.entry.clone(),
    }
}
