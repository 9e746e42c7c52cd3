//! The road, measured for some seconds: how fast rows come from the source to the target, how fast the target sorts them, and how far
//! away both are.
//!
//! As many sessions as the move would have workers do it at once: what one of them can do alone says little of what a machine
//! does for all. On the source, each reads the same part of the largest table. On the target, each fills a temporary table and
//! indexes another, in transactions that are rolled back, so that nothing of it is left. Temporary tables are not logged, and
//! a part is not the whole: it is a rough measure, and the prediction says a range.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::cli::inspect::{Inspection, Server};
use crate::failure::Failure;
use crate::model::{Bytes, Finding, RowLayout, Severity, SqlText, quote_ident};
use crate::pg::wire::{Bundle, Ends, Gauge, Leg, Wire, read_copy, relay};
use crate::pg::{Connector, PgError, Session, Side};
use crate::plan::{CopyUnit, Pace, Plan};
use crate::report::check::Measured;

/// How long each part may take, in milliseconds.
const LIMIT_MS: u32 = 3000;
/// How much of the source's largest table is read by one session alone.
const SAMPLE: Bytes = Bytes(64 << 20);
/// And how much each of several sessions copies.
const COPIED: Bytes = Bytes(24 << 20);
/// Less than this says nothing.
const LEAST: Bytes = Bytes(256 << 10);
/// Rows of a table that nobody has counted.
const ROWS_OF_UNKNOWN: u64 = 100_000;
/// More sessions at once would be no small matter any more.
const MOST_SESSIONS: u32 = 8;

/// What the same takes where the costs of jobs are right, in nanoseconds a byte. It is less than those: what is measured is not logged,
/// and small. Two servers on one machine with two cores take 11 for copying and 25 for an index, and their jobs 2.5 times the cost.
const ORDINARY_COPY: f64 = 4.5;
const ORDINARY_WRITE: f64 = 13.0;
const ORDINARY_INDEX: f64 = 11.0;

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
    let copied = measured.copy_bytes_per_second;
    Pace {
        copy: copied.map_or_else(
            || times(ORDINARY_WRITE, measured.write_bytes_per_second),
            |rate| times(ORDINARY_COPY, rate),
        ),
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
    let largest = plan.tables.iter().max_by_key(|unit| unit.bytes);
    let source_round_trip_us = round_trip(&source.session).await?;
    let (mut read_bytes_per_second, mut copy_bytes_per_second) = (None, None);
    if let Some(unit) = largest {
        read_bytes_per_second = read(source, unit).await?;
        let roads = Roads::open(&source.connector, &writer, sessions).await?;
        let encoding = unit.encoding.as_ref().unwrap_or(&plan.client_encoding);
        copy_bytes_per_second = roads.copy(unit, encoding).await?;
    }
    let (target_round_trip_us, [write_bytes_per_second, index_bytes_per_second]) =
        write_at_once(&writer, sessions).await?;
    Ok(Measured {
        sessions,
        read_bytes_per_second,
        copy_bytes_per_second,
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

/// Rows of a table that are about so many bytes of it.
fn rows_of(unit: &CopyUnit, bytes: Bytes) -> u64 {
    match unit.rows.0 {
        0 => ROWS_OF_UNKNOWN,
        // A row's share of the table, with all that is dead or empty: a move's costs are counted so.
        rows => (bytes.0 / (unit.bytes.0 / rows).max(1)).max(1),
    }
}

/// What came of a table, as far as it came; `None` if that is too little to say anything.
fn rate_of(unit: &CopyUnit, gauge: &Gauge, took: Duration) -> Option<f64> {
    let (rows, sent) = gauge.read();
    let bytes = match unit.rows.0 {
        0 => sent,
        known => Bytes(rows.0.saturating_mul(unit.bytes.0 / known)),
    };
    (bytes >= LEAST).then(|| rate(bytes, took))
}

/// A part of a table, as text.
fn part_of(unit: &CopyUnit, bytes: Bytes) -> SqlText {
    let columns: Vec<String> = unit
        .columns
        .iter()
        .map(|column| quote_ident(column))
        .collect();
    SqlText::from(format!(
        "copy (select {} from only {} limit {}) to stdout",
        columns.join(", "),
        unit.table,
        rows_of(unit, bytes)
    ))
}

/// That it took too long is no failure: as far as it came in that time, it counts.
fn in_time<T>(outcome: Result<T, PgError>) -> Result<(), PgError> {
    match outcome {
        Err(error) if error.code() != Some(CANCELLED) => Err(error),
        _ => Ok(()),
    }
}

/// By one session, to nowhere.
async fn read(source: &Server, unit: &CopyUnit) -> Result<Option<f64>, PgError> {
    let mut wire = source.connector.wire("measure").await?;
    wire.execute(&limit()).await?;
    let gauge = Gauge::default();
    let began = Instant::now();
    let copy = part_of(unit, SAMPLE);
    in_time(read_copy(&mut wire, &copy, RowLayout::Text, &gauge).await)?;
    let took = began.elapsed();
    wire.close().await;
    Ok(rate_of(unit, &gauge, took))
}

fn limit() -> SqlText {
    SqlText::from(format!("set statement_timeout = {LIMIT_MS}"))
}

/// Sessions of both sides, in pairs.
struct Roads(Vec<(Wire, Wire)>);

impl Roads {
    async fn open(source: &Connector, target: &Connector, sessions: u32) -> Result<Self, PgError> {
        let mut pairs = Vec::new();
        for _ in 0..sessions {
            let pair = tokio::try_join!(source.wire("measure"), target.wire("measure"));
            pairs.push(pair?);
        }
        Ok(Self(pairs))
    }

    /// All at once, from the source into temporary tables; what each of them does in a second.
    async fn copy(self, unit: &CopyUnit, encoding: &str) -> Result<Option<f64>, Failure> {
        let columns = (1..=unit.columns.len()).map(|number| format!("c{number} text"));
        let columns: Vec<String> = columns.collect();
        let ready = [
            limit(),
            SqlText::from(format!("set client_encoding = {}", quote_ident(encoding))),
        ];
        let room = [
            SqlText::from("begin".to_owned()),
            SqlText::from(format!(
                "create temporary table pgconvoy_measure ({})",
                columns.join(", ")
            )),
        ];
        let copy_out = part_of(unit, COPIED);
        let copying = Arc::new((ready, room, copy_out));
        let mut running = JoinSet::new();
        for pair in self.0 {
            running.spawn(copied(pair, Arc::clone(&copying)));
        }
        let (mut bytes, mut count) = (0.0, 0.0);
        while let Some(ended) = running.join_next().await {
            let (gauge, took) = of_task(ended)??;
            if let Some(rate) = rate_of(unit, &gauge, took) {
                bytes += rate;
                count += 1.0;
            }
        }
        Ok((count > 0.0).then_some(bytes / count))
    }
}

/// By one pair. What is left of it goes with its sessions.
async fn copied(
    (mut source, mut target): (Wire, Wire),
    copying: Arc<([SqlText; 2], [SqlText; 2], SqlText)>,
) -> Result<(Gauge, Duration), PgError> {
    let (ready, room, copy_out) = copying.as_ref();
    for statement in ready {
        tokio::try_join!(source.execute(statement), target.execute(statement))?;
    }
    for statement in room {
        target.execute(statement).await?;
    }
    let leg = Leg {
        copy_out: copy_out.clone(),
        copy_in: SqlText::from("copy pg_temp.pgconvoy_measure from stdin".to_owned()),
        layout: RowLayout::Text,
        count: None,
    };
    let bundle = Bundle {
        opening: &[],
        legs: &[leg],
        tell: &|_| {},
    };
    let ends = Ends {
        source: &mut source,
        target: &mut target,
    };
    let gauge = Gauge::default();
    let began = Instant::now();
    in_time(relay(ends, &bundle, &gauge).await)?;
    let took = began.elapsed();
    source.close().await;
    target.close().await;
    Ok((gauge, took))
}

/// Opens sessions that may write, unlike all others of a check.
fn writer(target: &Server) -> Result<Connector, Failure> {
    let conninfo = target.connector.conninfo().clone();
    Ok(Connector::new(conninfo, Side::Target)?.pinned_to(target.session.peer()))
}

/// All at once, each a temporary table and an index on it. Returns how far away the target is, and what each of them does in a
/// second, of the table and of the index.
async fn write_at_once(writer: &Connector, sessions: u32) -> Result<(u64, [f64; 2]), Failure> {
    let mut open = Vec::new();
    for _ in 0..sessions {
        open.push(writer.session("measure").await?);
    }
    let target_round_trip_us = match open.first() {
        Some(session) => round_trip(session).await?,
        None => 0,
    };
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
    Ok((
        target_round_trip_us,
        sum.map(|sum| sum / f64::from(sessions)),
    ))
}

fn of_task<T>(ended: Result<T, tokio::task::JoinError>) -> Result<T, Failure> {
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
    session.execute(FILL).await?;
    let written = began.elapsed();
    let began = Instant::now();
    session
        .execute("create index on pg_temp.pgconvoy_measure (pg_catalog.hashint8(a))")
        .await?;
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

fn rate(bytes: Bytes, took: Duration) -> f64 {
    bytes.0 as f64 / took.as_secs_f64().max(1e-6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_half_as_fast_as_ordinary_takes_twice_as_long() {
        let measured = Measured {
            sessions: 2,
            read_bytes_per_second: None,
            copy_bytes_per_second: Some(1e9 / ORDINARY_COPY / 3.0),
            write_bytes_per_second: 1e9 / ORDINARY_WRITE / 2.0,
            index_bytes_per_second: 1e9 / ORDINARY_INDEX,
            source_round_trip_us: 300,
            target_round_trip_us: 200,
        };
        let pace_of = pace(&measured);
        assert!((pace_of.copy - 3.0).abs() < 1e-6, "{pace_of:?}");
        assert!((pace_of.index - 1.0).abs() < 1e-6, "{pace_of:?}");
        assert_eq!(pace_of.round_trip_us, 300);
        // Where there was nothing to be copied, writing says it.
        let nothing = Measured {
            copy_bytes_per_second: None,
            ..measured
        };
        assert!((pace(&nothing).copy - 2.0).abs() < 1e-6);
    }
}
