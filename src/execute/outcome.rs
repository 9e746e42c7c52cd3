//! How a job ended, and what it found.

use std::collections::HashSet;

use super::attempt::Attempt;
use crate::event::{EntryRef, JobFailure};
use crate::ledger::{self, Marks, WHOLE};
use crate::model::{Bytes, DumpId, FILE_DAMAGED, MultisetDigest, Oid, Rows, remedy_in_job};
use crate::pg::PgError;
use crate::plan::HAS_WRITTEN;
use crate::verify::matview::ViewVerdict;

/// What a job did, failed statements included.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub rows: Rows,
    pub bytes: Bytes,
    /// What failed, and which part of the job that is. Empty: the job is done, and marked as done.
    pub failures: Vec<(u32, JobFailure)>,
    /// Entries that are broken now: those that failed, and those that need one that did.
    pub broken: HashSet<DumpId>,
    pub found: Vec<Found>,
    /// What the ledger says of it, if COMMIT got through.
    pub marks: Marks,
}

/// How many large objects there are, and how many bytes they hold together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Measured {
    pub objects: u64,
    pub bytes: u64,
}

/// A piece of evidence.
#[derive(Debug)]
pub(super) enum Found {
    /// A table, or a part of it, went through the relay.
    Copied {
        table: usize,
        digest: MultisetDigest,
        bytes: Bytes,
        duration_ms: u64,
    },
    /// `count(*)` of a table on the source.
    Counted { table: usize, rows: Rows },
    /// The source's side of a comparison, read again.
    ReadSource {
        comparison: usize,
        digest: MultisetDigest,
    },
    /// What a materialized view of the target is.
    Matview {
        comparison: usize,
        verdict: ViewVerdict,
    },
    /// The target's side of a comparison.
    ReadTarget {
        comparison: usize,
        digest: MultisetDigest,
        hashed: bool,
    },
    /// A side could not be read.
    Unreadable { comparison: usize, because: String },
    /// Large objects went through the relay; they are known by the first of them.
    LargeObjectsCopied {
        first: Oid,
        digest: MultisetDigest,
        measured: Measured,
    },
    /// Large objects were read from the target.
    LargeObjectsRead {
        first: Oid,
        digest: MultisetDigest,
        measured: Measured,
    },
}

/// Why a job could not be done at all: its connection was lost.
pub(super) type Ended = Result<Outcome, PgError>;

impl Outcome {
    /// Adds what another part of the same job did.
    pub fn merge(&mut self, other: Self) {
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.failures.extend(other.failures);
        self.broken.extend(other.broken);
        self.found.extend(other.found);
        self.marks.extend(other.marks);
    }

    /// Notes a failure of the job as a whole, and what it breaks.
    pub fn fail(&mut self, failure: JobFailure) {
        self.fail_part(WHOLE, failure);
    }

    /// The same of an earlier session's failure, if there is one.
    pub fn fail_part_if(&mut self, part: u32, failure: Option<JobFailure>) {
        if let Some(failure) = failure {
            self.fail_part(part, failure);
        }
    }

    /// Notes a failure of a part of the job, and what it breaks.
    pub fn fail_part(&mut self, part: u32, failure: JobFailure) {
        self.broken
            .extend(failure.entry.as_ref().map(|entry| entry.dump_id));
        self.failures.push((part, failure));
    }
}

/// What can be done when the ledger does not take a mark.
const UNMARKED: &str = "The error is about the run's ledger, schema pgconvoy of the target: it could not be noted there that this is done, so \
                        it counts as not done. When the cause is fixed, resume with --retry-failed.";

/// What can be done about a file of an archive that is not what it must be: nothing that is done to a server helps.
const DAMAGED: &str = "Take the archive from another copy of it, or dump again. What this job has read of it was not committed.";

/// Whether it is the ledger that did not take a mark; nothing is wrong then with what was done.
pub(super) fn is_of_ledger(error: &PgError) -> bool {
    matches!(error, PgError::Server { statement, .. } if ledger::is_mark(statement))
}

/// A failure out of an error, with the statement whole; the error itself if it is none yet.
pub(super) fn failure(
    attempt: &Attempt<'_>,
    entry: Option<EntryRef>,
    error: PgError,
) -> Result<JobFailure, PgError> {
    if attempt.is_undecided(&error) {
        return Err(error);
    }
    let is_of_ledger = is_of_ledger(&error);
    let message = error.to_string();
    let (statement, server_error) = match error {
        PgError::Server { statement, error } => (Some(statement.to_string()), Some(*error)),
        _ => (None, None),
    };
    let message = server_error
        .as_ref()
        .map_or(message, |error| error.message.clone());
    let hint = server_error
        .as_ref()
        .and_then(|error| hint(&error.code, &error.message))
        .filter(|_| !is_of_ledger)
        .or(is_of_ledger.then_some(UNMARKED))
        .or(message.starts_with(FILE_DAMAGED).then_some(DAMAGED))
        .map(str::to_owned);
    Ok(JobFailure {
        entry,
        statement,
        message,
        server_error,
        hint,
        file: None,
    })
}

/// What a person can do about an error of a statement.
fn hint(code: &str, message: &str) -> Option<&'static str> {
    match code {
        "22P02" if message.contains(HAS_WRITTEN) => Some(
            "The view's query writes to tables whenever it is refreshed, on the source as well: refreshing it on the target would change the copy. Leave the view out (-T) and create it on the target yourself, or make its function only read.",
        ),
        _ => remedy_in_job(code),
    }
}
