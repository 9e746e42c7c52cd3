//! Done-marks, committed with the work.
//!
//! The ledger is a schema of the target. A job's rows and its mark are in one transaction, so they are both there or
//! neither is, even when the connection dies while COMMIT is under way: whoever asks the ledger gets the truth.
//!
//! This module only knows what to say; the executor says it, in the transaction that does the work. Verification does not
//! look here.

use crate::fault;
use crate::model::{Bytes, Endpoint, JobId, MultisetDigest, Rows, SqlText, quote_literal};

/// The schema's name; it is never dumped, compared or counted as content.
pub const SCHEMA: &str = "pgconvoy";

const CREATE: &str = include_str!("../../sql/ledger/create.sql");

/// What identifies a run.
#[derive(Debug, Clone)]
pub struct RunRecord<'a> {
    /// Its name: that of its run directory.
    pub run: &'a str,
    /// Where it reads.
    pub source: &'a Endpoint,
    /// The snapshot it reads in.
    pub snapshot: &'a str,
    /// The snapshot's position in the write-ahead log.
    pub lsn: &'a str,
    /// The plan, as JSON.
    pub plan: &'a str,
}

/// What a job did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    /// Rows it handled.
    pub rows: Rows,
    /// Bytes it handled.
    pub bytes: Bytes,
    /// Digest of the rows it copied.
    pub digest: Option<MultisetDigest>,
}

/// Makes the ledger and writes the run into it; in one transaction.
pub fn create(record: &RunRecord<'_>) -> SqlText {
    let values = [
        record.run,
        env!("CARGO_PKG_VERSION"),
        &record.source.to_string(),
        record.snapshot,
        record.lsn,
        record.plan,
    ]
    .map(quote_literal)
    .join(", ");
    let stall = fault::stall("ledger-half-made", "").unwrap_or_default();
    SqlText::from(format!(
        "begin;\n{CREATE};\ninsert into pgconvoy.run (run, pgconvoy_version, source, snapshot, snapshot_lsn, plan) values ({values});\n{stall};\ncommit"
    ))
}

/// Marks a job as done; to be run in the transaction of its work.
pub fn mark(job: JobId, what: &str, mark: &Mark) -> SqlText {
    let hash = mark
        .digest
        .map_or("null".to_owned(), |digest| format!("'{:032x}'", digest.sum));
    SqlText::from(format!(
        "insert into pgconvoy.done (job, what, rows, bytes, hash) values ({job}, {}, {}, {}, {hash})",
        quote_literal(what),
        mark.rows.0,
        mark.bytes.0,
    ))
}

/// Commits once and waits for it: what was committed before without waiting is on disk then, too.
pub fn flush() -> SqlText {
    SqlText::from(
        "begin; set local synchronous_commit = on; \
         insert into pgconvoy.done (job, what, rows, bytes) values (-1, 'flushed', 0, 0); commit",
    )
}

/// Drops the ledger. The commit is synchronous, and with it everything before it is on disk.
///
/// Event triggers of the moved database are in place by now; a superuser keeps them from firing on this.
pub fn drop(superuser: bool) -> SqlText {
    let silence = if superuser {
        "set local session_replication_role = replica;"
    } else {
        ""
    };
    let stall = fault::stall("ledger-half-dropped", "").unwrap_or_default();
    SqlText::from(format!(
        "begin; set local synchronous_commit = on; {silence} set local client_min_messages = warning; drop schema pgconvoy cascade; {stall}; commit"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_says_what_was_done() {
        let digest = MultisetDigest {
            rows: Rows(2),
            sum: 255,
        };
        let mark = mark(
            JobId(7),
            "copy \"it's\"",
            &Mark {
                rows: Rows(2),
                bytes: Bytes(9),
                digest: Some(digest),
            },
        );
        assert_eq!(
            mark.to_string(),
            "insert into pgconvoy.done (job, what, rows, bytes, hash) values \
             (7, 'copy \"it''s\"', 2, 9, '000000000000000000000000000000ff')"
        );
    }
}
