//! Done-marks, committed with the work; and what is done, what is left, and why.
//!
//! The ledger is a schema of the target. A job's rows and its mark are in one transaction, so they are both there or
//! neither is, even when the connection dies while COMMIT is under way: whoever asks the ledger gets the truth. Its primary
//! key is a second lock on the same door: of two transactions that do one job, the later one fails.
//!
//! | file | |
//! |---|---|
//! | `mod` | the statements that write it; the executor runs them, in the transaction that does the work |
//! | `record` | what a run was asked for, and what it saw before it touched the target |
//! | `read` | the ledger as it is found |
//! | `sign` | what is in its place while the target is being emptied |
//! | `marks` | what is done, by job and part |
//! | `packed` | compresses what is large |
//! | `adopt` | what of a new plan is done already, in another snapshot |
//! | `end` | drops it |
//! | `standing` | a plan and its marks → what is done, done again, or left, and why |
//! | `testing` | plans for tests |
//!
//! Verification does not look here: a resumed run reads both databases again.

mod adopt;
mod end;
mod marks;
mod packed;
mod read;
mod record;
mod sign;
mod standing;
#[cfg(test)]
mod testing;

pub use adopt::{
    Held, Replaced, There, adopt, brought, comparable, copied, edited, failed_in, held,
    statements_run,
};
pub use end::drop;
pub use marks::{DoneMark, EDITED, Marks};
pub use packed::{Packed, Packing, pack};
pub use read::{FailedBefore, Ledger, LedgerError, read, read_marks, run_of};
pub use record::{ArchiveRecord, Identity, Memory, Request};
pub use sign::{has_sign, put_up_sign};
pub use standing::{reasons, standing};

use std::fmt::Write as _;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::fault;
use crate::model::{Bytes, JobId, MultisetDigest, Rows, ServerError, SqlText, quote_literal};
use crate::pg::BEGIN_DURABLY;
use sign::TAKE_DOWN_SIGN;

/// The schema's name; it is never dumped, compared or counted as content.
pub const SCHEMA: &str = "pgconvoy";

/// Version of the ledger's own tables and of what is in them.
pub const FORMAT: i32 = 2;

/// The part of a job that is the whole of it.
pub const WHOLE: u32 = 0;

const CREATE: &str = include_str!("../../sql/ledger/create.sql");

/// How a statement begins that marks what is done.
const MARK: &str = "insert into pgconvoy.done ";

/// What the ledger says of a run.
#[derive(Debug, Clone)]
pub struct RunRow<'a> {
    /// What identifies the run.
    pub run: &'a str,
    /// The [`Request`], as JSON.
    pub request: &'a str,
    /// The snapshot and who holds it, as JSON.
    pub snapshot: &'a str,
    /// The [`Memory`], [packed](pack).
    pub memory: &'a [u8],
    /// The plan, packed.
    pub plan: &'a [u8],
    /// The schema archive, [packed](Packed).
    pub archive: &'a [u8],
}

/// What a job, or a part of one, did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    /// Rows it handled.
    pub rows: Rows,
    /// Bytes it handled.
    pub bytes: Bytes,
    /// Digest of the rows it copied.
    pub digest: Option<MultisetDigest>,
}

/// A mark and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<'a> {
    /// [`WHOLE`], or a part's number, from 1.
    pub part: u32,
    /// What was done, for a person.
    pub what: &'a str,
    /// What came of it.
    pub mark: Mark,
}

/// Makes the ledger, in the place of the [sign](put_up_sign) if there is one, and writes the run into it; in one transaction.
pub fn create(row: &RunRow<'_>) -> SqlText {
    let mut sql = format!(
        "{BEGIN_DURABLY}; set local client_min_messages = warning; {TAKE_DOWN_SIGN};\n{CREATE};\n"
    );
    insert_run(row, &mut sql);
    sql.push_str(fault::stall("ledger-half-made", "").unwrap_or_default());
    sql.push_str(";\ncommit");
    SqlText::from(sql)
}

/// Writes another plan, in another snapshot, in the place of the old one, with what of it is done already; in one transaction.
pub fn rebase(row: &RunRow<'_>, done: &Marks, failed: &[FailedBefore]) -> SqlText {
    let mut sql = format!(
        "{BEGIN_DURABLY};\ndelete from pgconvoy.done;\ndelete from pgconvoy.trouble;\ndelete from pgconvoy.run;\n"
    );
    insert_run(row, &mut sql);
    for (job, parts) in done.by_job() {
        let lines: Vec<Line<'_>> = parts
            .iter()
            .map(|&(part, done)| Line {
                part,
                what: &done.what,
                mark: done.mark,
            })
            .collect();
        sql.push_str(&mark(job, 1, &lines).to_string_lossy());
        sql.push_str(";\n");
    }
    for before in failed {
        let line = trouble(&Trouble {
            job: before.job,
            part: before.part,
            attempt: 1,
            is_final: true,
            message: &before.message,
            statement: before.statement.as_deref(),
        });
        sql.push_str(&line.to_string_lossy());
        sql.push_str(";\n");
    }
    sql.push_str(fault::stall("ledger-half-rebased", "").unwrap_or_default());
    sql.push_str(";\ncommit");
    SqlText::from(sql)
}

/// Writes another record of the snapshot in the place of the old one, and waits until it is on disk.
pub fn note_snapshot(snapshot: &str) -> SqlText {
    let snapshot = quote_literal(snapshot);
    SqlText::from(format!(
        "{BEGIN_DURABLY};\nupdate pgconvoy.run set snapshot = {snapshot};\ncommit"
    ))
}

/// Of a large database it is large, and is made once.
fn insert_run(row: &RunRow<'_>, sql: &mut String) {
    let texts = [
        row.run,
        env!("CARGO_PKG_VERSION"),
        row.request,
        row.snapshot,
    ];
    let texts = texts.map(quote_literal).join(", ");
    let packed = [row.memory, row.plan, row.archive];
    let encoded: usize = packed.iter().map(|bytes| bytes.len().div_ceil(3) * 4).sum();
    sql.reserve_exact(encoded + texts.len() + 500);
    sql.push_str(
        "insert into pgconvoy.run (run, pgconvoy_version, request, snapshot, memory, plan, archive, format) values (",
    );
    sql.push_str(&texts);
    for bytes in packed {
        sql.push_str(", ");
        bytea(bytes, sql);
    }
    let _ = writeln!(sql, ", {FORMAT});");
}

/// Whatever `standard_conforming_strings` is.
fn bytea(bytes: &[u8], sql: &mut String) {
    sql.push_str("pg_catalog.decode('");
    BASE64_STANDARD.encode_string(bytes, sql);
    sql.push_str("', 'base64')");
}

/// Marks a job, or parts of it, as done; to be run in the transaction of the work.
pub fn mark(job: JobId, attempt: u32, lines: &[Line<'_>]) -> SqlText {
    let values: Vec<String> = lines
        .iter()
        .map(|Line { part, what, mark }| {
            let hash = mark
                .digest
                .map_or("null".to_owned(), |digest| format!("'{:032x}'", digest.sum));
            format!(
                "({job}, {part}, {}, {}, {}, {hash}, {attempt})",
                quote_literal(what),
                mark.rows.0,
                mark.bytes.0,
            )
        })
        .collect();
    SqlText::from(format!(
        "{MARK}(job, part, what, rows, bytes, hash, attempt) values {}",
        values.join(", ")
    ))
}

/// Whether a statement is one that [`mark`] makes.
pub fn is_mark(statement: &SqlText) -> bool {
    statement.as_bytes().starts_with(MARK.as_bytes())
}

/// Takes the marks of jobs' parts back, and of these jobs as a whole: what they made is undone in the same transaction.
pub fn unmark(parts: &[(JobId, u32)]) -> SqlText {
    let parts: Vec<String> = parts
        .iter()
        .flat_map(|(job, part)| [format!("({job}, {part})"), format!("({job}, {WHOLE})")])
        .collect();
    SqlText::from(format!(
        "delete from pgconvoy.done where (job, part) in ({})",
        parts.join(", ")
    ))
}

/// Something that went wrong with a job.
#[derive(Debug, Clone, Copy)]
pub struct Trouble<'a> {
    /// The job.
    pub job: JobId,
    /// Its part, from 1, or [`WHOLE`].
    pub part: u32,
    /// Which attempt it was.
    pub attempt: u32,
    /// Nobody will try again by himself.
    pub is_final: bool,
    /// What the server said.
    pub message: &'a str,
    /// The statement, whole.
    pub statement: Option<&'a str>,
}

/// Notes what went wrong; a transaction of its own.
pub fn trouble(trouble: &Trouble<'_>) -> SqlText {
    let text = |text: Option<&str>| text.map_or("null".to_owned(), quote_literal);
    SqlText::from(format!(
        "insert into pgconvoy.trouble (job, part, attempt, final, message, statement) values ({}, {}, {}, {}, {}, {})",
        trouble.job,
        trouble.part,
        trouble.attempt,
        trouble.is_final,
        text(Some(trouble.message)),
        text(trouble.statement),
    ))
}

/// Whether a statement failed because somebody else has done the same job: an earlier attempt whose COMMIT got through
/// after all.
pub fn is_duplicate(error: &ServerError) -> bool {
    error.code == "23505"
        && error.schema.as_deref() == Some(SCHEMA)
        && error.constraint.as_deref() == Some("done_pkey")
}

/// Commits once and waits until it is on the target's disk: what was committed before without waiting is there then, too.
pub fn flush() -> SqlText {
    commit_once(BEGIN_DURABLY)
}

/// The same, and where the target has synchronous standbys, until they have it: what is called proven outlasts the target.
pub fn settle() -> SqlText {
    commit_once("begin; set local synchronous_commit = on")
}

fn commit_once(begin: &str) -> SqlText {
    SqlText::from(format!(
        "{begin}; update pgconvoy.run set format = format; commit"
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
        let line = |part, what| Line {
            part,
            what,
            mark: Mark {
                rows: Rows(2),
                bytes: Bytes(9),
                digest: (part == 1).then_some(digest),
            },
        };
        let mark = mark(JobId(7), 3, &[line(WHOLE, "copy \"it's\""), line(1, "t")]);
        assert_eq!(
            mark.to_string(),
            "insert into pgconvoy.done (job, part, what, rows, bytes, hash, attempt) values \
             (7, 0, 'copy \"it''s\"', 2, 9, null, 3), (7, 1, 't', 2, 9, '000000000000000000000000000000ff', 3)"
        );
        assert!(is_mark(&mark) && !is_mark(&unmark(&[(JobId(7), 1)])));
    }
}
