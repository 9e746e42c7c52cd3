//! The road, measured for some seconds: how fast rows come from the source to the target, how fast the target sorts them, and how far
//! away both are.
//!
//! As many sessions as the move would have workers do it at once: what one of them can do alone says little of what a machine
//! does for all. On the source, each reads the same parts of the largest tables. On the target, each fills temporary tables and
//! indexes another, in transactions that are rolled back, so that nothing of it is left. Temporary tables are not logged, and
//! a part is not the whole: it is a rough measure, and the prediction says a range.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::measure_log::measure_log;
use crate::catalog::SourceFacts;
use crate::cli::inspect::{Inspection, Server};
use crate::failure::Failure;
use crate::model::{Bytes, CopyFormat, Finding, RowLayout, Rows, Severity, SqlText, quote_ident};
use crate::pg::wire::{Bundle, Ends, Gauge, Leg, Wire, read_copy, relay};
use crate::pg::{Connector, PgError, Session, Side};
use crate::plan::{CopyUnit, Pace, Plan};
use crate::preflight::Measured;

/// How long each part may take, in milliseconds.
pub(super) const LIMIT_MS: u32 = 3000;
/// How much of the source's largest table is read by one session alone.
const SAMPLE: Bytes = Bytes(64 << 20);
/// And how much each of several sessions copies, of so many of the largest.
const TABLES: usize = 3;
const COPIED: Bytes = Bytes(24 << 20);
/// Less than this says nothing: it is over before it has begun.
const LEAST: Bytes = Bytes(4 << 20);
/// Rows that are larger than such a part are few, and one may be ten times another: so many of them at least are asked for, and of less
/// than so many it is looked at what they come to, instead of taking each for an average one.
const FEWEST_ROWS: u64 = 8;
const FEW_ROWS: u64 = 100;
/// Rows of a table that nobody has counted.
const ROWS_OF_UNKNOWN: u64 = 100_000;
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
    let mut largest: Vec<&CopyUnit> = plan.tables.iter().collect();
    largest.sort_by_key(|unit| std::cmp::Reverse(unit.bytes));
    largest.truncate(TABLES);
    let source_round_trip_us = round_trip(&source.session).await?;
    let (mut read_bytes_per_second, mut copy_bytes_per_second) = (None, None);
    if let Some(unit) = largest.first() {
        read_bytes_per_second = read(source, unit).await?;
        let roads = Roads::open(&source.connector, &writer, sessions).await?;
        let share = Bytes(COPIED.0 / largest.len() as u64);
        let facts = &inspection.view.facts;
        let samples = largest
            .iter()
            .map(|unit| Sample::of(unit, share, (facts, plan)));
        copy_bytes_per_second = roads.copy(samples.collect()).await?;
    }
    let (target_round_trip_us, [write_bytes_per_second, index_bytes_per_second]) =
        write_at_once(&writer, sessions).await?;
    let log = measure_log(&writer, target_round_trip_us).await?;
    Ok(Measured {
        sessions,
        read_bytes_per_second,
        copy_bytes_per_second,
        write_bytes_per_second,
        index_bytes_per_second,
        source_round_trip_us,
        target_round_trip_us,
        log,
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
        rows => (bytes.0 / (unit.bytes.0 / rows).max(1)).max(FEWEST_ROWS),
    }
}

/// What of a table came with so many rows and bytes sent, as far as they came; the last row may have come in part.
fn came((rows, sent): (Rows, Bytes), (rows_of_all, bytes_of_all): (Rows, Bytes)) -> Bytes {
    let Some(of_each) = bytes_of_all.0.checked_div(rows_of_all.0) else {
        return sent;
    };
    if rows.0 < FEW_ROWS {
        return sent.min(Bytes((rows.0 + 1).saturating_mul(of_each)));
    }
    Bytes(rows.0.saturating_mul(of_each))
}

/// `None` if that is too little to say anything.
fn rate_if_enough(bytes: Bytes, took: Duration) -> Option<f64> {
    (bytes >= LEAST).then(|| rate(bytes, took))
}

/// A part of a table.
fn part_of(unit: &CopyUnit, bytes: Bytes, format: &str) -> SqlText {
    let columns: Vec<String> = unit
        .columns
        .iter()
        .map(|column| quote_ident(column))
        .collect();
    SqlText::from(format!(
        "copy (select {} from only {} limit {}) to stdout (format {format})",
        columns.join(", "),
        unit.table,
        rows_of(unit, bytes)
    ))
}

/// A part of a table of the source, and a temporary table of the target that takes it: as the table itself, and filled in the format
/// that it will be, if the target is sure to have the types of its columns; else all text.
struct Sample {
    /// On both sides.
    ready: SqlText,
    /// On the target.
    room: SqlText,
    copy_out: SqlText,
    copy_in: SqlText,
    is_binary: bool,
    /// Of the whole table.
    size: (Rows, Bytes),
}

impl Sample {
    fn of(unit: &CopyUnit, bytes: Bytes, (facts, plan): (&SourceFacts, &Plan)) -> Self {
        let types = Self::built_in(unit, facts).filter(|_| unit.format == CopyFormat::Binary);
        let is_binary = types.is_some();
        let format = if is_binary { "binary" } else { "text" };
        let types = types.unwrap_or_else(|| vec!["text"; unit.columns.len()]);
        let columns: Vec<String> = (1..)
            .zip(types)
            .map(|(number, named)| format!("c{number} {named}"))
            .collect();
        let encoding = unit.encoding.as_ref().unwrap_or(&plan.client_encoding);
        Self {
            ready: SqlText::from(format!("set client_encoding = {}", quote_ident(encoding))),
            room: SqlText::from(format!(
                "drop table if exists pg_temp.pgconvoy_measure; create temporary table pgconvoy_measure ({})",
                columns.join(", ")
            )),
            copy_out: part_of(unit, bytes, format),
            copy_in: SqlText::from(format!(
                "copy pg_temp.pgconvoy_measure from stdin (format {format})"
            )),
            is_binary,
            size: (unit.rows, unit.bytes),
        }
    }

    /// The types of the columns, if every server has them.
    fn built_in<'a>(unit: &CopyUnit, facts: &'a SourceFacts) -> Option<Vec<&'a str>> {
        let mut tables = facts.tables.iter();
        let table = tables.find(|table| table.name == unit.table)?;
        let type_of = |name: &String| {
            let column = table.columns.iter().find(|column| column.name == *name)?;
            let of_column = facts.types.get(&column.type_oid)?;
            (of_column.schema == "pg_catalog").then_some(of_column.name.as_str())
        };
        unit.columns.iter().map(type_of).collect()
    }
}

/// That it took too long is no failure: as far as it came in that time, it counts.
fn in_time<T>(outcome: Result<T, PgError>) -> Result<(), PgError> {
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

/// By one session, to nowhere.
async fn read(source: &Server, unit: &CopyUnit) -> Result<Option<f64>, PgError> {
    let mut wire = source.connector.wire("measure").await?;
    wire.execute(&limit(LIMIT_MS)).await?;
    let gauge = Gauge::default();
    let began = Instant::now();
    let copy = part_of(unit, SAMPLE, unit.format.keyword());
    in_time(read_copy(&mut wire, &copy, unit.layout(), &gauge).await)?;
    let took = began.elapsed();
    wire.close().await;
    let came = came(gauge.read(), (unit.rows, unit.bytes));
    Ok(rate_if_enough(came, took))
}

fn limit(limit_ms: u32) -> SqlText {
    SqlText::from(format!("set statement_timeout = {limit_ms}"))
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
    async fn copy(self, samples: Vec<Sample>) -> Result<Option<f64>, Failure> {
        let samples: Arc<[Sample]> = samples.into();
        let mut running = JoinSet::new();
        for pair in self.0 {
            running.spawn(copied(pair, Arc::clone(&samples)));
        }
        let (mut sum, mut count) = (0.0, 0.0);
        while let Some(ended) = running.join_next().await {
            if let Some(rate) = rate_of_all(&of_task(ended)??) {
                sum += rate;
                count += 1.0;
            }
        }
        Ok((count > 0.0).then_some(sum / count))
    }
}

/// What came of a table that is so large, and in which time.
struct Part {
    of: Bytes,
    came: Bytes,
    took: Duration,
}

/// At which rate all of these tables come: each at its own, for as long as it takes. `None` if too little came to say anything.
fn rate_of_all(parts: &[Part]) -> Option<f64> {
    let came: Bytes = parts.iter().map(|part| part.came).sum();
    let said: Vec<&Part> = parts.iter().filter(|part| part.came.0 > 0).collect();
    let seconds = |part: &&Part| part.of.0 as f64 / rate(part.came, part.took);
    let of: Bytes = said.iter().map(|part| part.of).sum();
    (came >= LEAST).then(|| of.0 as f64 / said.iter().map(seconds).sum::<f64>())
}

/// By one pair, one after the other. What is left of it goes with its sessions.
async fn copied(
    (mut source, mut target): (Wire, Wire),
    samples: Arc<[Sample]>,
) -> Result<Vec<Part>, PgError> {
    let limit = limit(LIMIT_MS / u32::try_from(samples.len()).unwrap_or(1).max(1));
    tokio::try_join!(source.execute(&limit), target.execute(&limit))?;
    target.execute(&SqlText::from("begin".to_owned())).await?;
    let mut parts = Vec::new();
    for sample in samples.iter() {
        tokio::try_join!(source.execute(&sample.ready), target.execute(&sample.ready))?;
        target.execute(&sample.room).await?;
        let layout = if sample.is_binary {
            RowLayout::PLAIN
        } else {
            RowLayout::Text
        };
        let leg = Leg {
            copy_out: sample.copy_out.clone(),
            copy_in: sample.copy_in.clone(),
            layout,
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
        let ended = relay(ends, &bundle, &gauge).await;
        parts.push(Part {
            of: sample.size.1,
            came: came(gauge.read(), sample.size),
            took: began.elapsed(),
        });
        // Whose time was over is in the middle of something.
        let is_over = ended.is_err();
        in_time(ended)?;
        if is_over {
            break;
        }
    }
    source.close().await;
    target.close().await;
    Ok(parts)
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
    fn a_table_that_is_slow_to_come_counts_for_as_much_as_there_is_of_it() {
        let part = |of: u64, came: u64, millis: u64| Part {
            of: Bytes(of << 20),
            came: Bytes(came << 20),
            took: Duration::from_millis(millis),
        };
        // 100 MB/s of one half, 20 MB/s of the other, whatever came of each.
        let megabytes =
            |parts: &[Part]| rate_of_all(parts).map(|rate| (rate / f64::from(1 << 20)).round());
        assert_eq!(
            megabytes(&[part(500, 8, 80), part(500, 2, 100)]),
            Some(33.0)
        );
        // One that did not begin says nothing, and too little neither.
        assert_eq!(
            megabytes(&[part(500, 8, 80), part(500, 0, 900)]),
            Some(100.0)
        );
        assert_eq!(megabytes(&[part(500, 3, 80)]), None);
    }

    #[test]
    fn a_few_large_rows_are_what_they_come_to() {
        let size = (Rows(80), Bytes(80 << 20));
        let came = |rows, megabytes: u64| came((Rows(rows), Bytes(megabytes << 20)), size).0 >> 20;
        // Small ones, and compressed ones, which travel as more than they are.
        assert_eq!(came(8, 2), 2);
        assert_eq!(came(8, 50), 9);
        assert_eq!(came(0, 1), 1);
    }

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
