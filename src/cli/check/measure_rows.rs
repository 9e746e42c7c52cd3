//! How fast rows come: those of the source's largest tables, as they are.
//!
//! A table is asked for in the form in which it will be copied. Where its rows are few and large, each is taken for what it is; where
//! they come slowly, they are cut off, and what came by then says how fast they are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::measure::{LIMIT_MS, in_time, limit, of_task, rate};
use crate::catalog::SourceFacts;
use crate::cli::inspect::{Inspection, Server};
use crate::failure::Failure;
use crate::model::{Bytes, CopyFormat, RowLayout, Rows, SqlText, quote_ident};
use crate::pg::wire::{Bundle, Ends, Gauge, Leg, Wire, read_copy, relay};
use crate::pg::{Connector, PgError, Session};
use crate::plan::{CopyUnit, Plan};

/// How much of the source's largest table is read by one session alone.
const SAMPLE: Bytes = Bytes(64 << 20);
/// And how much each of several sessions copies, of so many of the largest.
const TABLES: usize = 3;
const COPIED: Bytes = Bytes(24 << 20);
/// Less than this says nothing: it is over before it has begun.
const LEAST: Bytes = Bytes(4 << 20);
/// Rows that are larger than such a part are few, and one may be ten times another: so many of them at least are asked for, and if that
/// are less than so many, each is taken for what it is, and not for an average one.
const FEWEST_ROWS: u64 = 8;
const FEW_ROWS: u64 = 100;
/// Rows of a table that nobody has counted.
const ROWS_OF_UNKNOWN: u64 = 100_000;

/// In bytes a second; `None` of what there is too little of.
pub(super) struct RowRates {
    /// From the source, to nowhere.
    pub read: Option<f64>,
    /// From the source into temporary tables of the target.
    pub copy: Option<f64>,
}

/// Of the largest tables: read by one session alone, and copied by so many at once. `ways` is how long it takes to either side and
/// back.
pub(super) async fn measure_rows(
    inspection: &Inspection,
    plan: &Plan,
    (writer, sessions, ways): (&Connector, u32, [Duration; 2]),
) -> Result<RowRates, Failure> {
    let source = &inspection.road.source;
    let mut largest: Vec<&CopyUnit> = plan.tables.iter().collect();
    largest.sort_by_key(|unit| std::cmp::Reverse(unit.bytes));
    largest.truncate(TABLES);
    let Some(first) = largest.first() else {
        return Ok(RowRates {
            read: None,
            copy: None,
        });
    };
    let read = read(source, first, ways[0]).await?;
    let ends = [&source.connector, writer];
    let roads = Roads::open(ends, sessions, ways.iter().sum()).await?;
    let share = Bytes(COPIED.0 / largest.len() as u64);
    let facts = &inspection.view.facts;
    let mut samples = Vec::new();
    for unit in largest {
        let size = Size::of(unit, share, &source.session).await?;
        samples.push(Sample::of((unit, size), share, (facts, plan)));
    }
    let copy = roads.copy(samples).await?;
    Ok(RowRates { read, copy })
}

/// Rows of a table that are about so many bytes of it.
fn rows_of(unit: &CopyUnit, bytes: Bytes) -> u64 {
    match unit.rows.0 {
        0 => ROWS_OF_UNKNOWN,
        // A row's share of the table, with all that is dead or empty: a move's costs are counted so.
        rows => (bytes.0 / (unit.bytes.0 / rows).max(1)).max(FEWEST_ROWS),
    }
}

/// How large a table is; and the rows of the part that is asked for, one by one, where these are few.
struct Size {
    rows: Rows,
    bytes: Bytes,
    first: Vec<Bytes>,
}

impl Size {
    async fn of(unit: &CopyUnit, part: Bytes, session: &Session) -> Result<Self, PgError> {
        let count = rows_of(unit, part);
        let mut first = Vec::new();
        if count < FEW_ROWS && !unit.columns.is_empty() {
            let stored = unit.columns.iter().map(|column| {
                let column = quote_ident(column);
                format!("coalesce(pg_catalog.pg_column_size({column}), 0)::int8")
            });
            let stored = stored.collect::<Vec<_>>().join(" + ");
            let sql = format!(
                "select {stored} as bytes from only {} limit {count}",
                unit.table
            );
            let rows = session.query_text("sizes of rows", &sql, &[]).await?;
            for row in rows {
                first.push(row.bytes("bytes")?);
            }
        }
        Ok(Self {
            rows: unit.rows,
            bytes: unit.bytes,
            first,
        })
    }

    /// What of it came with so many rows and bytes sent. Large rows are worked on one after the other: of one that has been sent whole
    /// when the time is over, half is taken to be done.
    fn came(&self, (rows, sent): (Rows, Bytes), is_over: bool) -> Bytes {
        let rows_sent = usize::try_from(rows.0).unwrap_or(usize::MAX);
        if let Some(first) = self.first.get(..rows_sent) {
            let all: Bytes = first.iter().copied().sum();
            let last = first.last().filter(|_| is_over);
            return Bytes(all.0 - last.map_or(0, |last| last.0 / 2));
        }
        match self.bytes.0.checked_div(self.rows.0) {
            Some(of_each) => Bytes(rows.0.saturating_mul(of_each)),
            None => sent,
        }
    }
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

/// A type by the name that SQL has for it, for values of any length: `bit` and `character` alone are of one.
fn of_any_length(name: &str) -> String {
    let (of, array) = match name.strip_suffix("[]") {
        Some(of) => (of, "[]"),
        None => (name, ""),
    };
    let of = match of {
        "bit" => "pg_catalog.\"bit\"",
        "character" => "pg_catalog.bpchar",
        _ => of,
    };
    format!("{of}{array}")
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
    size: Size,
}

impl Sample {
    fn of(
        (unit, size): (&CopyUnit, Size),
        bytes: Bytes,
        (facts, plan): (&SourceFacts, &Plan),
    ) -> Self {
        let types = Self::built_in(unit, facts).filter(|_| unit.format == CopyFormat::Binary);
        let is_binary = types.is_some();
        let format = if is_binary { "binary" } else { "text" };
        let types = types.unwrap_or_else(|| vec!["text".to_owned(); unit.columns.len()]);
        let columns: Vec<String> = (1..)
            .zip(types)
            .map(|(number, named)| format!("c{number} {named}"))
            .collect();
        let encoding = unit.encoding.as_ref().unwrap_or(&plan.client_encoding);
        Self {
            ready: SqlText::from(format!("set client_encoding = {}", quote_ident(encoding))),
            room: SqlText::from(format!(
                "begin; create temporary table pgconvoy_measure ({})",
                columns.join(", ")
            )),
            copy_out: part_of(unit, bytes, format),
            copy_in: SqlText::from(format!(
                "copy pg_temp.pgconvoy_measure from stdin (format {format})"
            )),
            is_binary,
            size,
        }
    }

    /// The types of the columns, if every server has them.
    fn built_in(unit: &CopyUnit, facts: &SourceFacts) -> Option<Vec<String>> {
        let mut tables = facts.tables.iter();
        let table = tables.find(|table| table.name == unit.table)?;
        let type_of = |name: &String| {
            let column = table.columns.iter().find(|column| column.name == *name)?;
            let of_column = facts.types.get(&column.type_oid)?;
            (of_column.schema == "pg_catalog").then(|| of_any_length(&of_column.name))
        };
        unit.columns.iter().map(type_of).collect()
    }
}

/// By one session, to nowhere.
async fn read(source: &Server, unit: &CopyUnit, way: Duration) -> Result<Option<f64>, PgError> {
    let mut wire = source.connector.wire("measure").await?;
    wire.execute(&limit(LIMIT_MS)).await?;
    let size = Size::of(unit, SAMPLE, &source.session).await?;
    let gauge = Gauge::default();
    let began = Instant::now();
    let copy = part_of(unit, SAMPLE, unit.format.keyword());
    in_time(read_copy(&mut wire, &copy, unit.layout(), &gauge).await)?;
    let took = without_way(began.elapsed(), way);
    wire.close().await;
    Ok(rate_if_enough(size.came(gauge.read(), false), took))
}

/// Without the time after which the first row comes and the last one is answered for: of a short part it may be the most, of a table it is
/// next to nothing.
fn without_way(took: Duration, way: Duration) -> Duration {
    took.saturating_sub(way).max(took / 4)
}

/// A session of either side, how to open others, and how long it takes to both and back.
struct Road {
    source: Wire,
    target: Wire,
    ends: [Connector; 2],
    way: Duration,
}

impl Road {
    async fn open(ends: [Connector; 2], way: Duration) -> Result<Self, PgError> {
        let [source, target] = &ends;
        let (source, target) = tokio::try_join!(source.wire("measure"), target.wire("measure"))?;
        Ok(Self {
            source,
            target,
            ends,
            way,
        })
    }

    async fn close(self) {
        self.source.close().await;
        self.target.close().await;
    }
}

/// As many as copy at once.
struct Roads(Vec<Road>);

impl Roads {
    async fn open(ends: [&Connector; 2], sessions: u32, way: Duration) -> Result<Self, PgError> {
        let mut roads = Vec::new();
        for _ in 0..sessions {
            roads.push(Road::open(ends.map(Clone::clone), way).await?);
        }
        Ok(Self(roads))
    }

    /// All at once, from the source into temporary tables; what each of them does in a second.
    async fn copy(self, samples: Vec<Sample>) -> Result<Option<f64>, Failure> {
        let samples: Arc<[Sample]> = samples.into();
        let mut running = JoinSet::new();
        for road in self.0 {
            running.spawn(copied(road, Arc::clone(&samples)));
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

/// By one pair of sessions, one after the other. What is left of it goes with them.
async fn copied(mut road: Road, samples: Arc<[Sample]>) -> Result<Vec<Part>, PgError> {
    let limit = limit(LIMIT_MS / u32::try_from(samples.len()).unwrap_or(1).max(1));
    let mut parts = Vec::new();
    for sample in samples.iter() {
        let is_over = match copied_one(&mut road, sample, &limit).await {
            Ok((part, is_over)) => {
                parts.push(part);
                is_over
            }
            // What cannot be copied there says nothing of the others.
            Err(error) if error.code().is_some() => true,
            Err(error) => return Err(error),
        };
        if is_over {
            // Its sessions are in the middle of something; the next table has other ones.
            let (ends, way) = (road.ends.clone(), road.way);
            road.close().await;
            road = Road::open(ends, way).await?;
        }
    }
    road.close().await;
    Ok(parts)
}

/// A part of one table, and whether its time was over before it was there.
async fn copied_one(
    road: &mut Road,
    sample: &Sample,
    limit: &SqlText,
) -> Result<(Part, bool), PgError> {
    let Road {
        source,
        target,
        way,
        ..
    } = road;
    tokio::try_join!(source.execute(limit), target.execute(limit))?;
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
    let gauge = Gauge::default();
    let began = Instant::now();
    let ended = relay(Ends { source, target }, &bundle, &gauge).await;
    let took = without_way(began.elapsed(), *way);
    let is_over = ended.is_err();
    in_time(ended)?;
    if !is_over {
        target.execute(&SqlText::from("rollback")).await?;
    }
    let part = Part {
        of: sample.size.bytes,
        came: sample.size.came(gauge.read(), is_over),
        took,
    };
    Ok((part, is_over))
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
    fn the_way_to_a_far_server_is_no_slow_table() {
        let millis = Duration::from_millis;
        assert_eq!(without_way(millis(120), millis(40)), millis(80));
        assert_eq!(
            without_way(millis(50), millis(40)),
            millis(12) + Duration::from_micros(500)
        );
    }

    #[test]
    fn a_few_large_rows_are_what_they_come_to() {
        let size = |first: &[u64]| Size {
            rows: Rows(80),
            bytes: Bytes(80 << 20),
            first: first
                .iter()
                .map(|megabytes| Bytes(megabytes << 20))
                .collect(),
        };
        let sent = Bytes(90 << 20);
        let came = |size: &Size, rows, is_over| size.came((Rows(rows), sent), is_over).0 >> 20;
        let few = size(&[1, 2, 3, 4]);
        assert_eq!(came(&few, 4, false), 10);
        // The target had the last one, and was not done with it.
        assert_eq!(came(&few, 4, true), 8);
        assert_eq!(came(&few, 2, true), 2);
        assert_eq!(came(&few, 0, true), 0);
        // Of many, or of more than were there a moment ago, each is an average one.
        assert_eq!(came(&size(&[]), 8, true), 8);
        assert_eq!(came(&few, 5, false), 5);
    }
}
