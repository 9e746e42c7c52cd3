//! The ledger as it is found in a target.

use super::packed::{Packed, unpack};
use super::{DoneMark, FORMAT, Mark, Marks, Memory, Request};
use crate::catalog::{self, LedgerSchema};
use crate::model::{Bytes, JobId, MultisetDigest, Rows};
use crate::pg::{Answer, PgError, Query, Session};
use crate::plan::Plan;

/// `undefined_table`.
const UNDEFINED_TABLE: &str = "42P01";
/// `undefined_column`.
const UNDEFINED_COLUMN: &str = "42703";

const RUN: Query = Query::new("ledger/run.sql", include_str!("../../sql/ledger/run.sql"));
const WHOSE: Query = Query::new(
    "ledger/whose.sql",
    include_str!("../../sql/ledger/whose.sql"),
);
const DONE: Query = Query::new("ledger/done.sql", include_str!("../../sql/ledger/done.sql"));
const FAILED: Query = Query::new(
    "ledger/failed.sql",
    include_str!("../../sql/ledger/failed.sql"),
);

/// Why a ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It could not be read.
    #[error("reading the ledger (schema pgconvoy of the target)")]
    Read(#[source] PgError),
    /// It does not hold exactly one run.
    #[error("the ledger (schema pgconvoy of the target) holds {0} runs instead of one")]
    Runs(usize),
    /// Another version of pgconvoy wrote it.
    #[error(
        "the ledger was written by pgconvoy {version} (format {format}), which this version cannot go on with"
    )]
    Format {
        /// Whose it is.
        version: String,
        /// Its format.
        format: i32,
    },
    /// Another version of pgconvoy wrote it, with other columns.
    #[error(
        "the ledger was written by pgconvoy {version}, and has other columns than this version can read"
    )]
    Columns {
        /// Whose it is.
        version: String,
    },
    /// What it holds is not what we write.
    #[error("the ledger's {what} cannot be understood")]
    Content {
        /// Which column.
        what: &'static str,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
}

/// A run as its ledger has it.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// What was asked for.
    pub request: Request,
    /// What was seen before.
    pub memory: Memory,
    /// The snapshot and who holds it, as JSON.
    pub snapshot: String,
    /// The plan.
    pub plan: Plan,
    /// The schema archive.
    pub archive: Packed,
    /// What is done.
    pub marks: Marks,
    /// What failed for good, by job and part.
    pub failed: Vec<FailedBefore>,
}

/// A statement that failed for good in an earlier session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedBefore {
    /// The job.
    pub job: JobId,
    /// Its part.
    pub part: u32,
    /// What the server said.
    pub message: String,
    /// The statement, whole.
    pub statement: Option<String>,
}

/// Reads the ledger; `None` if the target has none. Whoever else writes to it must be gone by now.
pub async fn read(session: &Session) -> Result<Option<Ledger>, LedgerError> {
    let found = catalog::ledger_schema(session).await;
    if found.map_err(LedgerError::Read)? != Some(LedgerSchema::Ledger) {
        return Ok(None);
    }
    let rows = match session.query(&RUN, &[]).await {
        // Whoever was dropping it has come to his COMMIT, which we have waited for.
        Err(error) if error.code() == Some(UNDEFINED_TABLE) => return Ok(None),
        Err(error) if error.code() == Some(UNDEFINED_COLUMN) => {
            return Err(of_another_version(session).await);
        }
        rows => rows.map_err(LedgerError::Read)?,
    };
    let [row] = rows.as_slice() else {
        return Err(LedgerError::Runs(rows.len()));
    };
    let format: i32 = row.get("format").map_err(LedgerError::Read)?;
    if format != FORMAT {
        let version = row.get("pgconvoy_version").map_err(LedgerError::Read)?;
        return Err(LedgerError::Format { version, format });
    }
    let failed = session.query(&FAILED, &[]).await;
    let failed = failed.and_then(|rows| rows.iter().map(failed_before).collect());
    Ok(Some(Ledger {
        request: json(row, "request")?,
        memory: packed(row, "memory", unpack)?,
        plan: packed(row, "plan", unpack)?,
        snapshot: row.get("snapshot").map_err(LedgerError::Read)?,
        archive: packed(row, "archive", |bytes| Ok(Packed::kept(bytes)))?,
        marks: read_marks(session, None).await.map_err(LedgerError::Read)?,
        failed: failed.map_err(LedgerError::Read)?,
    }))
}

/// Why a ledger cannot be read that has not the columns of ours, by those that every version's has.
async fn of_another_version(session: &Session) -> LedgerError {
    let rows = match session.query(&WHOSE, &[]).await {
        Ok(rows) => rows,
        Err(error) => return LedgerError::Read(error),
    };
    match rows.first().map(|row| row.get("pgconvoy_version")) {
        Some(Ok(version)) => LedgerError::Columns { version },
        Some(Err(error)) => LedgerError::Read(error),
        None => LedgerError::Runs(0),
    }
}

/// The run that the ledger is of; `None` if it may not be read, or holds none.
pub async fn run_of(session: &Session) -> Result<Option<String>, LedgerError> {
    let run = match session.query(&WHOSE, &[]).await {
        Ok(rows) => rows.first().map(|row| row.get("run")).transpose(),
        Err(error) if error.code().is_some() && !error.is_lost_connection() => Ok(None),
        Err(error) => Err(error),
    };
    run.map_err(LedgerError::Read)
}

/// What is done, as of now: by one job, or by all.
pub async fn read_marks(session: &Session, job: Option<JobId>) -> Result<Marks, PgError> {
    let mut marks = Marks::default();
    let job = job.and_then(|job| i32::try_from(job.0).ok());
    let mark = |row: &Answer| {
        let (job, part, mark) = done_mark(row)?;
        marks.add(job, part, mark);
        Ok(())
    };
    session.query_each(&DONE, &[&job], mark).await?;
    Ok(marks)
}

fn done_mark(row: &Answer) -> Result<(JobId, u32, DoneMark), PgError> {
    let rows = Rows(row.count("rows")?);
    let sum = row
        .get::<Option<String>>("hash")?
        .and_then(|hash| u128::from_str_radix(&hash, 16).ok());
    let mark = Mark {
        rows,
        bytes: Bytes(row.count("bytes")?),
        digest: sum.map(|sum| MultisetDigest { rows, sum }),
    };
    let what = row.get("what")?;
    let (job, part) = (JobId(number(row, "job")?), number(row, "part")?);
    Ok((job, part, DoneMark { what, mark }))
}

fn failed_before(row: &Answer) -> Result<FailedBefore, PgError> {
    Ok(FailedBefore {
        job: JobId(number(row, "job")?),
        part: number(row, "part")?,
        message: row.get("message")?,
        statement: row.get("statement")?,
    })
}

fn number(row: &Answer, column: &str) -> Result<u32, PgError> {
    let number: i32 = row.get(column)?;
    u32::try_from(number).map_err(|error| PgError::Answer {
        query: "the ledger",
        what: format!("{column} {number}: {error}"),
    })
}

fn json<T: serde::de::DeserializeOwned>(
    row: &Answer,
    column: &'static str,
) -> Result<T, LedgerError> {
    let text: String = row.get(column).map_err(LedgerError::Read)?;
    serde_json::from_str(&text).map_err(|source| LedgerError::Content {
        what: column,
        source,
    })
}

fn packed<T>(
    row: &Answer,
    column: &'static str,
    unpack: impl FnOnce(&[u8]) -> Result<T, serde_json::Error>,
) -> Result<T, LedgerError> {
    let bytes: &[u8] = row.get(column).map_err(LedgerError::Read)?;
    unpack(bytes).map_err(|source| LedgerError::Content {
        what: column,
        source,
    })
}
