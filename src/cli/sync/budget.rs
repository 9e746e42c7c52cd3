//! How much is compared while nobody can write: only row counts, or content as far as time allows.
//!
//! Rows of every table are counted in any case. Then the tables are read by content, the smallest first, so that as many as
//! possible are proven, until the next one would take longer than the time left, judged by how fast the others were. A table
//! that was begun is read to its end.
//!
//! What is left is up to the caller: nothing here calls it proven.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::carry_out::Course;
use super::prove::always_again;
use crate::catalog::Table;
use crate::cli::verify::{self as looks, Alike, Asked, Look, RowsLook};
use crate::event::What;
use crate::model::{Bytes, LeftTable, Oid, QualifiedName, Rows};
use crate::verify::rows::Ends;

/// Bytes per millisecond, as long as nothing has been measured: not many.
const AT_FIRST: f64 = 20_000.0;
/// Anything less tells of round trips, and nothing of how fast rows are read.
const MEASURABLE: Bytes = Bytes(4 << 20);
/// The share of the time left that is planned at once; the rest is planned when it is known how that went.
const AT_ONCE: f64 = 0.5;
/// The share of it that a table may take if it is the only one in question.
const ALONE: f64 = 0.9;

/// What is asked where rows are only counted.
#[derive(Clone, Copy)]
pub(super) struct Counting<'a> {
    /// What is asked of the comparison.
    pub asked: &'a Asked,
    /// The tables concerned: replication carried their rows.
    pub carried: &'a BTreeSet<QualifiedName>,
}

/// Counts the rows of carried tables, and compares everything else by content.
pub(super) async fn counted(
    course: Course<'_>,
    (look, ends): (&Look, &Arc<Ends>),
    counting: Counting<'_>,
) -> RowsLook {
    let Course { both, emit, .. } = course;
    let mut rows = looks::compare_rows(
        (both, look, ends),
        counting.asked,
        (None, &Alike::default()),
        emit,
    )
    .await;
    let mut uncarried = always_again(look, true);
    let tables = look.source.facts.tables.iter();
    for table in tables.filter(|table| !counting.carried.contains(&table.name)) {
        // Partitions may be compared as one.
        uncarried.insert(table.name.shown());
        uncarried.extend(table.partition_root.iter().map(QualifiedName::shown));
    }
    let read = read(course, (look, ends), (&mut rows, &uncarried)).await;
    // The row count of a materialized view says nothing.
    rows.others = read.others;
    rows.same = read.same;
    rows.notes = read.notes;
    rows
}

/// Compares some by content, which replaces their row counts. Returns what is not a table.
async fn read(
    course: Course<'_>,
    (look, ends): (&Look, &Arc<Ends>),
    (rows, names): (&mut RowsLook, &BTreeSet<String>),
) -> RowsLook {
    let Course {
        both, asked, emit, ..
    } = course;
    let mut read = looks::compare_rows(
        (both, look, ends),
        asked,
        (Some(names), &rows.same_tables),
        emit,
    )
    .await;
    rows.same_tables = std::mem::take(&mut read.same_tables);
    rows.tables
        .retain(|table| !names.contains(&table.difference.object));
    rows.tables.append(&mut read.tables);
    rows.unverified.append(&mut read.unverified);
    read
}

/// The same, and compares as many of the tables by content as time allows. Also returns those left.
pub(super) async fn within(
    course: Course<'_>,
    (look, ends): (&Look, &Arc<Ends>),
    (counting, budget): (Counting<'_>, Duration),
) -> (RowsLook, Vec<LeftTable>) {
    let began = Instant::now();
    let mut rows = counted(course, (look, ends), counting).await;
    let mut left = tables_of(look, counting.carried);
    let mut measured = None;
    loop {
        let time = budget.saturating_sub(began.elapsed());
        let sizes: Vec<Bytes> = left.iter().map(|one| one.bytes).collect();
        let count = fits(&sizes, time, measured);
        if count == 0 {
            break;
        }
        let batch: Vec<LeftTable> = left.drain(..count).collect();
        course.emit.emit(What::StepStarted {
            step: format!(
                "reading {} tables by content, the smallest first; {} are left",
                Rows(count as u64),
                Rows(left.len() as u64)
            ),
        });
        let names = batch.iter().map(|one| one.name.shown()).collect();
        let since = Instant::now();
        let more = read(course, (look, ends), (&mut rows, &names)).await;
        rows.notes.extend(more.notes);
        let bytes: Bytes = batch.iter().map(|one| one.bytes).sum();
        if bytes >= MEASURABLE {
            let ms = since.elapsed().as_secs_f64() * 1000.0;
            measured = Some(bytes.0 as f64 / ms.max(1.0));
        }
    }
    // Tables whose row counts differ are copied anew, and read in full for that.
    let differ: BTreeSet<&str> = rows
        .tables
        .iter()
        .map(|table| table.difference.object.as_str())
        .collect();
    left.retain(|one| !differ.contains(one.name.shown().as_str()));
    (rows, left)
}

/// The carried tables, the smallest first.
fn tables_of(look: &Look, carried: &BTreeSet<QualifiedName>) -> Vec<LeftTable> {
    let tables = look.source.facts.tables.iter();
    let mut found = grouped(tables.filter(|table| look.scope.has_relation(&table.name)));
    found.retain(|one| one.tables.iter().all(|table| carried.contains(table)));
    let there = look.target.facts.tables.iter();
    let there: BTreeMap<&QualifiedName, Oid> =
        there.map(|table| (&table.name, table.oid)).collect();
    for one in &mut found {
        let oids = one.tables.iter();
        one.oids[1] = oids.filter_map(|name| there.get(name).copied()).collect();
    }
    found
}

fn grouped<'a>(tables: impl Iterator<Item = &'a Table>) -> Vec<LeftTable> {
    let mut found: BTreeMap<&QualifiedName, LeftTable> = BTreeMap::new();
    for table in tables {
        let name = match &table.partition_root {
            Some(root) if table.load_via_root => root,
            _ => &table.name,
        };
        let one = found.entry(name).or_insert_with(|| LeftTable {
            name: name.clone(),
            tables: Vec::new(),
            oids: [Vec::new(), Vec::new()],
            bytes: Bytes(0),
        });
        one.tables.push(table.name.clone());
        one.oids[0].push(table.oid);
        one.bytes += table.total;
    }
    let mut found: Vec<LeftTable> = found.into_values().collect();
    found.sort_by(|a, b| (a.bytes, &a.name).cmp(&(b.bytes, &b.name)));
    found
}

/// How many of the tables are begun now, the smallest first. `measured`: bytes per millisecond.
fn fits(sizes: &[Bytes], time: Duration, measured: Option<f64>) -> usize {
    let all = time.as_secs_f64() * 1000.0 * measured.unwrap_or(AT_FIRST);
    let mut sum = 0.0;
    let planned = sizes.iter().take_while(|size| {
        sum += size.0 as f64;
        sum <= all * AT_ONCE
    });
    match planned.count() {
        // Once the time is up nothing is begun, however small.
        0 => usize::from(
            !time.is_zero()
                && sizes
                    .first()
                    .is_some_and(|size| size.0 as f64 <= all * ALONE),
        ),
        _ if time.is_zero() => 0,
        count => count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_there_is_time_for_and_no_more() {
        let sizes = |all: &[u64]| -> Vec<Bytes> { all.iter().map(|size| Bytes(*size)).collect() };
        let second = Duration::from_secs(1);
        let some = sizes(&[0, 10, 100, 1_000_000, 9_000_000, 90_000_000]);
        // A second at 20 MB/s, half of it planned at once.
        assert_eq!(fits(&some, second, None), 4);
        assert_eq!(fits(&some, second, Some(30_000.0)), 5);
        assert_eq!(fits(&some, Duration::ZERO, Some(30_000.0)), 0);
        // The only one in question may take more of the time, but not all.
        assert_eq!(fits(&sizes(&[17_000_000]), second, None), 1);
        assert_eq!(fits(&sizes(&[19_000_000]), second, None), 0);
        assert_eq!(fits(&[], second, None), 0);
    }

    #[test]
    fn partitions_that_are_compared_as_one_are_one() {
        let table = |name: &str, bytes, root: Option<&str>| Table {
            total: Bytes(bytes),
            load_via_root: root.is_some(),
            partition_root: root.map(|root| QualifiedName::new("s", root)),
            ..Table::bare(QualifiedName::new("s", name), Vec::new())
        };
        let tables = [
            table("p1", 5, Some("p")),
            table("small", 6, None),
            table("p2", 5, Some("p")),
        ];
        let found = grouped(tables.iter());
        let names: Vec<&str> = found.iter().map(|one| one.name.name.as_str()).collect();
        assert_eq!(names, ["small", "p"]);
        assert_eq!((found[1].bytes, found[1].tables.len()), (Bytes(10), 2));
    }
}
