//! The road, measured for some seconds: how fast rows come from the source to the target, how fast the target sorts them, and how far
//! away both are.
//!
//! As many sessions as the move would have workers do it at once: what one of them can do alone says little of what a machine
//! does for all. On the source, each reads the same parts of the largest tables. On the target, each fills temporary tables and
//! indexes another, in transactions that are rolled back, so that nothing of it is left. Temporary tables are not logged, and
//! a part is not the whole: it is a rough measure, and the prediction says a range.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::measure_log::measure_log;
use super::measure_rows::measure_rows;
use crate::cli::inspect::{Inspection, Server};
use crate::failure::Failure;
use crate::model::{Bytes, Finding, SqlText};
use crate::pg::{Connector, PgError, Session, Side};
use crate::plan::{Pace, Plan};
use crate::preflight::Measured;

/// How long each part may take, in milliseconds.
pub(super) const LIMIT_MS: u32 = 3000;
/// More sessions at once would be no small matter any more.
const MOST_SESSIONS: u32 = 8;

/// What the same takes where the costs of jobs are right, in nanoseconds a byte. It differs from those: what is measured is
/// not logged, and small. Two servers on one machine with two cores take 18 for copying, 5.5 for reading and for writing alone, and 32 for an
/// index; the jobs of a social network of 2 GB then take 2.2, 1.3 and 1.5 times their costs.
const ORDINARY_COPY: f64 = 8.5;
const ORDINARY_READ: f64 = 4.4;
const ORDINARY_WRITE: f64 = 2.4;
const ORDINARY_INDEX: f64 = 22.0;

/// A statement was cancelled.
pub(super) const CANCELLED: &str = "57014";

/// Rows of 200 bytes that do not compress, as many as an ordinary machine writes in a fifth of a second.
const FILL: &str = "insert into pg_temp.pgconvoy_measure \
                    select i, pg_catalog.repeat(pg_catalog.md5(i::text), 6) from pg_catalog.generate_series(1, 60000) i";
/// What that comes to, and an index on it: where it was cut off, nobody can ask.
const FILLED: Bytes = Bytes(14 << 20);
const INDEXED: Bytes = Bytes(3 << 19);
const SIZES: &str = "select pg_catalog.pg_table_size('pg_temp.pgconvoy_measure')::int8 as table_bytes, \
                     pg_catalog.pg_indexes_size('pg_temp.pgconvoy_measure')::int8 as index_bytes";

/// What was measured, as the plan takes it.
pub fn pace(measured: &Measured) -> Pace {
    let times = |ordinary: f64, bytes_per_second: f64| 1e9 / bytes_per_second.max(1.0) / ordinary;
    let copied = measured.copy_bytes_per_second;
    let copy = copied.map_or_else(
        || times(ORDINARY_WRITE, measured.write_bytes_per_second),
        |rate| times(ORDINARY_COPY, rate),
    );
    let read = measured.read_bytes_per_second;
    Pace {
        copy,
        verify: read.map_or(copy, |rate| times(ORDINARY_READ, rate)),
        index: times(ORDINARY_INDEX, measured.index_bytes_per_second),
        round_trip_us: measured
            .source_round_trip_us
            .max(measured.target_round_trip_us),
    }
}

/// Measures the road to both servers.
pub async fn measure(inspection: &Inspection, plan: &Plan) -> Result<Measured, Failure> {
    let (source, target) = (&inspection.road.source, &inspection.road.target);
    let writer = writer(target)?;
    let sessions = plan.workers.clamp(1, MOST_SESSIONS);
    let source_round_trip_us = round_trip(&source.session).await?;
    let target_round_trip_us = round_trip(&target.session).await?;
    let ways = [source_round_trip_us, target_round_trip_us].map(Duration::from_micros);
    let rows = measure_rows(inspection, plan, (&writer, sessions, ways)).await?;
    let [write_bytes_per_second, index_bytes_per_second] = write_at_once(&writer, sessions).await?;
    let log = measure_log(&writer, target_round_trip_us).await?;
    Ok(Measured {
        sessions,
        read_bytes_per_second: rows.read,
        copy_bytes_per_second: rows.copy,
        write_bytes_per_second,
        index_bytes_per_second,
        source_round_trip_us,
        target_round_trip_us,
        log,
    })
}

/// That the road was not measured is no reason not to go.
pub fn not_measured(because: &Failure) -> Finding {
    Finding::note(
        "road-not-measured",
        "the road could not be measured; the time is predicted by rough rates of ordinary hardware",
        "",
    )
    .with_evidence([because.to_string()])
}

/// The shortest of some: what is longer had to wait for something else.
async fn round_trip(session: &Session) -> Result<u64, PgError> {
    let mut shortest = Duration::MAX;
    for _ in 0..5 {
        let began = Instant::now();
        session.execute("select 1").await?;
        shortest = shortest.min(began.elapsed());
    }
    Ok(u64::try_from(shortest.as_micros()).unwrap_or(u64::MAX))
}

/// That it took too long is no failure: as far as it came in that time, it counts.
pub(super) fn in_time<T>(outcome: Result<T, PgError>) -> Result<(), PgError> {
    match outcome {
        Err(error) if error.code() != Some(CANCELLED) => Err(error),
        _ => Ok(()),
    }
}

/// Whether it was cut off, because its time was over.
fn is_over(outcome: Result<(), PgError>) -> Result<bool, PgError> {
    match outcome {
        Ok(()) => Ok(false),
        Err(error) if error.code() == Some(CANCELLED) => Ok(true),
        Err(error) => Err(error),
    }
}

pub(super) fn limit(limit_ms: u32) -> SqlText {
    SqlText::from(format!("set statement_timeout = {limit_ms}"))
}

/// Opens sessions that may write, unlike all others of a check.
fn writer(target: &Server) -> Result<Connector, Failure> {
    let conninfo = target.connector.conninfo().clone();
    Ok(Connector::new(conninfo, Side::Target)?.pinned_to(target.session.peer()))
}

/// All at once, each a temporary table and an index on it. Returns what each of them does in a second, of the table and of the index.
async fn write_at_once(writer: &Connector, sessions: u32) -> Result<[f64; 2], Failure> {
    let mut open = Vec::new();
    for _ in 0..sessions {
        open.push(writer.session("measure").await?);
    }
    let mut running = JoinSet::new();
    for session in open {
        running.spawn(async move {
            let written = write(&session).await;
            // Whatever became of it: nothing stays.
            session.execute("rollback").await?;
            written
        });
    }
    let mut sum = [0.0; 2];
    while let Some(ended) = running.join_next().await {
        let rates = of_task(ended)??;
        sum = [sum[0] + rates[0], sum[1] + rates[1]];
    }
    Ok(sum.map(|sum| sum / f64::from(sessions)))
}

pub(super) fn of_task<T>(ended: Result<T, tokio::task::JoinError>) -> Result<T, Failure> {
    ended.map_err(|error| Failure::defect(format!("measuring the road: {error}")))
}

async fn write(session: &Session) -> Result<[f64; 2], PgError> {
    session
        .execute(&format!(
            "begin; set local statement_timeout = {LIMIT_MS}; set local maintenance_work_mem = '256MB'; \
             create temporary table pgconvoy_measure (a bigint, b text)"
        ))
        .await?;
    let began = Instant::now();
    if is_over(session.execute(FILL).await)? {
        // So slow that its time was over: the rest of it is taken to be as slow.
        let wrote = rate(FILLED, began.elapsed());
        return Ok([wrote, wrote * ORDINARY_WRITE / ORDINARY_INDEX]);
    }
    let written = began.elapsed();
    let began = Instant::now();
    let index = "create index on pg_temp.pgconvoy_measure (pg_catalog.hashint8(a))";
    if is_over(session.execute(index).await)? {
        return Ok([rate(FILLED, written), rate(INDEXED, began.elapsed())]);
    }
    let indexed = began.elapsed();
    let rows = session.query_text("sizes", SIZES, &[]).await?;
    let row = rows.first().ok_or_else(|| PgError::Answer {
        query: "sizes",
        what: "no row".into(),
    })?;
    Ok([
        rate(row.bytes("table_bytes")?, written),
        rate(row.bytes("index_bytes")?, indexed),
    ])
}

pub(super) fn rate(bytes: Bytes, took: Duration) -> f64 {
    bytes.0 as f64 / took.as_secs_f64().max(1e-6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_knows_how_many_sessions_measure_the_road() {
        assert_eq!(MOST_SESSIONS, 8);
        assert!(crate::readme_says(
            "(eight at most): a part of the source's largest table"
        ));
    }

    #[test]
    fn what_is_half_as_fast_as_ordinary_takes_twice_as_long() {
        let measured = Measured {
            sessions: 2,
            read_bytes_per_second: Some(1e9 / ORDINARY_READ / 4.0),
            copy_bytes_per_second: Some(1e9 / ORDINARY_COPY / 3.0),
            write_bytes_per_second: 1e9 / ORDINARY_WRITE / 2.0,
            index_bytes_per_second: 1e9 / ORDINARY_INDEX,
            source_round_trip_us: 300,
            target_round_trip_us: 200,
            log: None,
        };
        let pace_of = pace(&measured);
        assert!((pace_of.copy - 3.0).abs() < 1e-6, "{pace_of:?}");
        assert!((pace_of.verify - 4.0).abs() < 1e-6, "{pace_of:?}");
        assert!((pace_of.index - 1.0).abs() < 1e-6, "{pace_of:?}");
        assert_eq!(pace_of.round_trip_us, 300);
        // Where there was nothing to be copied, writing says it.
        let nothing = Measured {
            copy_bytes_per_second: None,
            read_bytes_per_second: None,
            ..measured
        };
        let pace_of = pace(&nothing);
        assert!((pace_of.copy - 2.0).abs() < 1e-6, "{pace_of:?}");
        assert!((pace_of.verify - 2.0).abs() < 1e-6, "{pace_of:?}");
    }
}
