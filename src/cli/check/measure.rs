//! The road, measured for some seconds: how fast the source gives rows out, how fast the target takes them in and sorts them, and
//! how far away both are.
//!
//! On the source a part of the largest table is read, to nowhere. On the target a temporary table is filled and indexed in a
//! transaction that is rolled back, so that nothing of it is left. One session a side, one after the other: what many do at once
//! is not measured, and temporary tables are not logged. So it is a rough measure, and the prediction says a range.

use std::time::{Duration, Instant};

use crate::cli::inspect::{Inspection, Server};
use crate::failure::Failure;
use crate::model::{Bytes, Finding, RowLayout, Severity, SqlText};
use crate::pg::wire::{Gauge, read_copy};
use crate::pg::{Connector, PgError, Session, Side};
use crate::plan::{CopyUnit, Pace, Plan};
use crate::report::check::Measured;

/// How long each part may take, in milliseconds.
const LIMIT_MS: u32 = 3000;
/// How much of the source's largest table is read.
const SAMPLE: Bytes = Bytes(64 << 20);
/// Less than this says nothing.
const LEAST: Bytes = Bytes(256 << 10);
/// Rows of a table that nobody has counted.
const ROWS_OF_UNKNOWN: u64 = 100_000;

/// What the same takes on the machine that the costs of jobs are of (two cores), in nanoseconds a byte.
const ORDINARY_READ: f64 = 5.0;
const ORDINARY_WRITE: f64 = 13.0;
const ORDINARY_INDEX: f64 = 9.0;

/// A statement was cancelled.
const CANCELLED: &str = "57014";

/// Rows of 200 bytes that do not compress, as many as an ordinary machine writes in a fifth of a second.
const FILL: &str = "insert into pg_temp.pgconvoy_measure \
                    select i, pg_catalog.repeat(pg_catalog.md5(i::text), 6) from pg_catalog.generate_series(1, 60000) i";
const SIZES: &str = "select pg_catalog.pg_table_size('pg_temp.pgconvoy_measure')::int8 as table_bytes, \
                     pg_catalog.pg_indexes_size('pg_temp.pgconvoy_measure')::int8 as index_bytes";

/// What was measured, as the plan takes it.
pub fn pace(measured: &Measured) -> Pace {
    let times = |ordinary: f64, bytes_per_second: f64| 1e9 / bytes_per_second.max(1.0) / ordinary;
    Pace {
        read: measured
            .read_bytes_per_second
            .map_or(1.0, |rate| times(ORDINARY_READ, rate)),
        write: times(ORDINARY_WRITE, measured.write_bytes_per_second),
        index: times(ORDINARY_INDEX, measured.index_bytes_per_second),
        round_trip_us: measured
            .source_round_trip_us
            .max(measured.target_round_trip_us),
    }
}

/// Measures the road to both servers.
pub async fn measure(inspection: &Inspection, plan: &Plan) -> Result<Measured, Failure> {
    let (source, target) = (&inspection.road.source, &inspection.road.target);
    let source_round_trip_us = round_trip(&source.session).await?;
    let largest = plan.tables.iter().max_by_key(|unit| unit.bytes);
    let read_bytes_per_second = match largest {
        Some(unit) => read(source, unit).await?,
        None => None,
    };
    let session = writer(target).await?;
    let target_round_trip_us = round_trip(&session).await?;
    let written = write(&session).await;
    // Whatever became of it: nothing stays.
    session.execute("rollback").await?;
    let (write_bytes_per_second, index_bytes_per_second) = written?;
    Ok(Measured {
        read_bytes_per_second,
        write_bytes_per_second,
        index_bytes_per_second,
        source_round_trip_us,
        target_round_trip_us,
    })
}

/// That the road was not measured is no reason not to go.
pub fn not_measured(because: &Failure) -> Finding {
    Finding {
        severity: Severity::Note,
        rule: "road-not-measured".to_owned(),
        what: "the road could not be measured; the time is predicted by rough rates of ordinary hardware".to_owned(),
        evidence: vec![because.to_string()],
        remedy: String::new(),
    }
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

async fn read(source: &Server, unit: &CopyUnit) -> Result<Option<f64>, PgError> {
    let known = unit.rows.0 > 0;
    let rows = if known {
        // A row's share of the table, with all that is dead or empty: a move's costs are counted so.
        let row = (unit.bytes.0 / unit.rows.0).max(1);
        SAMPLE.0 / row
    } else {
        ROWS_OF_UNKNOWN
    };
    let copy = SqlText::from(format!(
        "copy (select * from only {} limit {rows}) to stdout",
        unit.table
    ));
    let mut wire = source.connector.wire("measure").await?;
    let limit = format!("set statement_timeout = {LIMIT_MS}");
    wire.execute(&SqlText::from(limit)).await?;
    let gauge = Gauge::default();
    let began = Instant::now();
    let outcome = read_copy(&mut wire, &copy, RowLayout::Text, &gauge).await;
    let took = began.elapsed();
    match outcome {
        Ok(_) => {}
        // As far as it came in that time.
        Err(error) if error.code() == Some(CANCELLED) => {}
        Err(error) => return Err(error),
    }
    wire.close().await;
    let (rows, sent) = gauge.read();
    let bytes = if known {
        Bytes(rows.0.saturating_mul(unit.bytes.0 / unit.rows.0))
    } else {
        sent
    };
    Ok((bytes >= LEAST).then(|| rate(bytes, took)))
}

/// A session that may write, unlike all others of a check.
async fn writer(target: &Server) -> Result<Session, Failure> {
    let conninfo = target.connector.conninfo().clone();
    let connector = Connector::new(conninfo, Side::Target)?.pinned_to(target.session.peer());
    Ok(connector.session("measure").await?)
}

async fn write(session: &Session) -> Result<(f64, f64), PgError> {
    session
        .execute(&format!(
            "begin; set local statement_timeout = {LIMIT_MS}; set local maintenance_work_mem = '256MB'; \
             create temporary table pgconvoy_measure (a bigint, b text)"
        ))
        .await?;
    let began = Instant::now();
    session.execute(FILL).await?;
    let written = began.elapsed();
    let began = Instant::now();
    session
        .execute("create index on pg_temp.pgconvoy_measure (a, b)")
        .await?;
    let indexed = began.elapsed();
    let rows = session.query_text("sizes", SIZES, &[]).await?;
    let row = rows.first().ok_or_else(|| PgError::Answer {
        query: "sizes",
        what: "no row".into(),
    })?;
    Ok((
        rate(row.bytes("table_bytes")?, written),
        rate(row.bytes("index_bytes")?, indexed),
    ))
}

fn rate(bytes: Bytes, took: Duration) -> f64 {
    bytes.0 as f64 / took.as_secs_f64().max(1e-6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_half_as_fast_as_ordinary_takes_twice_as_long() {
        let measured = Measured {
            read_bytes_per_second: None,
            write_bytes_per_second: 1e9 / ORDINARY_WRITE / 2.0,
            index_bytes_per_second: 1e9 / ORDINARY_INDEX,
            source_round_trip_us: 300,
            target_round_trip_us: 200,
        };
        let pace = pace(&measured);
        assert!((pace.write - 2.0).abs() < 1e-6, "{pace:?}");
        assert!((pace.index - 1.0).abs() < 1e-6, "{pace:?}");
        assert!((pace.read - 1.0).abs() < 1e-6, "{pace:?}");
        assert_eq!(pace.round_trip_us, 300);
    }
}
