//! How fast the target writes its log, and how long a commit waits for the disk.
//!
//! By messages in the log that nobody reads: whoever may connect can have them written, and nothing in the database changes. One session does
//! it, for there is one log. Commits wait for the disk, as those of an application do, and for no standby, which may not be there.

use std::time::{Duration, Instant};

use super::measure::{CANCELLED, LIMIT_MS, rate};
use crate::model::Bytes;
use crate::pg::{Connector, PgError, Session};
use crate::preflight::MeasuredLog;

/// Messages of 16 MB in sum, a segment of the log; none where somebody decodes this database's log, and may take them for something.
const FILL_LOG: &str = "select pg_catalog.count(pg_catalog.pg_logical_emit_message(true, 'pgconvoy', pg_catalog.repeat('x', 1048576))) as messages \
                        from pg_catalog.generate_series(1, 16) \
                        where not exists (select from pg_catalog.pg_replication_slots s \
                                          where s.database = pg_catalog.current_database())";
const LOGGED: Bytes = Bytes(16 << 20);
/// A transaction with next to nothing to flush.
const ONE_MESSAGE: &str = "select pg_catalog.pg_logical_emit_message(true, 'pgconvoy', '')";
/// Of so many commits, the shortest counts.
const COMMITS: usize = 5;

/// How the target writes its log; `None` where it refuses that, as to a role that may not call the function, or has no room for one
/// more session.
pub(super) async fn measure_log(
    writer: &Connector,
    round_trip_us: u64,
) -> Result<Option<MeasuredLog>, PgError> {
    let session = match writer.session("measure").await {
        Err(error) if error.is_about_room() => return Ok(None),
        opened => opened?,
    };
    match write_log(&session, round_trip_us).await {
        Err(error) if error.code().is_some() && !error.is_lost_connection() => Ok(None),
        other => other,
    }
}

async fn write_log(session: &Session, round_trip_us: u64) -> Result<Option<MeasuredLog>, PgError> {
    let opening = format!(
        "begin; set local synchronous_commit = local; set local statement_timeout = {LIMIT_MS}"
    );
    session.execute(&opening).await?;
    let began = Instant::now();
    let written = session.query_text("messages", FILL_LOG, &[]).await;
    let bytes_per_second = match written {
        Ok(rows) => {
            let row = rows.first();
            if row.map(|row| row.count("messages")).transpose()? == Some(0) {
                return Ok(None);
            }
            session.execute("commit").await?;
            rate(LOGGED, began.elapsed())
        }
        // So slow that its time was over.
        Err(error) if error.code() == Some(CANCELLED) => {
            session.execute("rollback").await?;
            rate(LOGGED, began.elapsed())
        }
        Err(error) => return Err(error),
    };
    // Beside each commit a way there and back, which may take longer or shorter than it did before.
    let (mut commit, mut way) = (Duration::MAX, Duration::from_micros(round_trip_us));
    for _ in 0..COMMITS {
        session
            .execute(&format!("{opening}; {ONE_MESSAGE}"))
            .await?;
        way = way.min(timed(session, "select 1").await?);
        commit = commit.min(timed(session, "commit").await?);
    }
    let commit_us = commit.saturating_sub(way).as_micros();
    Ok(Some(MeasuredLog {
        bytes_per_second,
        commit_us: u64::try_from(commit_us).unwrap_or(u64::MAX),
    }))
}

async fn timed(session: &Session, sql: &str) -> Result<Duration, PgError> {
    let began = Instant::now();
    session.execute(sql).await?;
    Ok(began.elapsed())
}
