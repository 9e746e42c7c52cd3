//! The proof of a sync: the target is read anew, in a snapshot taken after the commit, and compared with the source's.
//!
//! Everything but rows is compared as after a move. Rows of every changed table are read again on the target, and must come to
//! what the source's came to, which its snapshot has kept as it was. An unchanged table was read on both sides and found the
//! same while it was locked against writers, and the lock was held until the commit: nobody can have changed it (that we did
//! not, through a trigger or the like, is what the server's own counts say: where it keeps none, everything is read again, or
//! counted again if rows were only counted). So it is not read once more. Large objects and materialized views cannot be locked,
//! so all of them are compared again.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};

use super::budget::Counting;
use super::carry_out::{Course, drain};
use crate::cli::verify::{self as looks, Alike, Found, Look, RowsLook, TableDiffers};
use crate::event::What;
use crate::failure::Failure;
use crate::model::{Bytes, MultisetDigest, QualifiedName, Side, TableVerdict, Unverified, Verdict};
use crate::pg::wire::{Gauge, read_rows};
use crate::pg::{PgError, Pool};
use crate::verify::rows::{Bucketing, Buckets, Ends};

/// What was found before anything was changed.
pub(super) struct Already<'a> {
    pub rows: RowsLook,
    /// What was asked of tables whose rows were only counted, if any were.
    pub counting: Option<Counting<'a>>,
    /// The sessions that found it.
    pub ends: Arc<Ends>,
    /// Nothing wrote to any table but those that were to be changed.
    pub is_certain: bool,
}

/// Compares, and reports what is found. Returns what could not be held until the end.
pub(super) async fn prove(
    course: Course<'_>,
    before: Look,
    already: Already<'_>,
) -> Result<Vec<Unverified>, Failure> {
    let Course {
        both, asked, emit, ..
    } = course;
    course.step("proving: reading the schema of the target, and what was changed");
    let Look {
        source,
        target,
        scope,
        unreadable,
    } = before;
    drop(target);
    drain(&already.ends).await;
    let snapshot = looks::snapshot(&both.target).await?;
    course.snapshot_taken(Side::Target, &snapshot);
    let seen = looks::view(&both.target, snapshot, (&both.pg_dump, &asked.filters));
    let look = Look {
        source,
        target: Box::pin(seen).await?,
        scope,
        unreadable,
    };
    let outcome = look.compare(both, asked);
    let ends = Arc::new(look.ends(both));
    course.at_work.read_by(&ends);
    let mut again = always_again(&look, already.is_certain);
    let changed = already.rows.tables;
    let mut known = already.rows.same_tables;
    for (table, read) in read_again(&changed, &ends, asked.jobs).await {
        match read {
            Some(verdict) => {
                known.by_content.insert(table.comparand.name.clone());
                emit.emit(What::TableVerified(verdict));
            }
            None => {
                again.insert(table.difference.object.clone());
            }
        }
    }
    let seen = (&look, &ends);
    let rows = if already.is_certain {
        compare_again(course, seen, (&again, known)).await
    } else {
        everything_again(course, seen, (again, known), already.counting).await
    };
    // Findings are not differences: the proof holds without them.
    for finding in look.findings().await.unwrap_or_default() {
        emit.emit(What::Finding(finding));
    }
    looks::tell(
        Found { outcome, rows },
        Vec::new(),
        (&look, both, asked),
        emit,
    )
    .await;
    drain(&ends).await;
    Ok(look.release().await)
}

/// Compares what is named by content.
async fn compare_again(
    course: Course<'_>,
    (look, ends): (&Look, &Arc<Ends>),
    (again, known): (&BTreeSet<String>, Alike),
) -> RowsLook {
    let Course {
        both, asked, emit, ..
    } = course;
    if again.is_empty() {
        return RowsLook::default();
    }
    looks::compare_rows((both, look, ends), asked, (Some(again), &known), emit).await
}

/// Compares everything once more; what was only counted is counted: to read it is what there was no time for while nobody can write.
async fn everything_again(
    course: Course<'_>,
    (look, ends): (&Look, &Arc<Ends>),
    (mut again, before): (BTreeSet<String>, Alike),
    counting: Option<Counting<'_>>,
) -> RowsLook {
    let Course { both, emit, .. } = course;
    let counted = only_counted(&before);
    let Some(counting) = counting.filter(|_| !counted.is_empty()) else {
        return compare_again(course, (look, ends), (&again, Alike::default())).await;
    };
    again.retain(|name| !counted.contains(name));
    let only = (Some(&counted), &Alike::default());
    let mut rows = looks::compare_rows((both, look, ends), counting.asked, only, emit).await;
    let known = std::mem::take(&mut rows.same_tables);
    let mut read = compare_again(course, (look, ends), (&again, known)).await;
    read.tables.append(&mut rows.tables);
    read.unverified.append(&mut rows.unverified);
    read
}

/// The tables of which no more is known than their numbers of rows.
fn only_counted(known: &Alike) -> BTreeSet<String> {
    let counted = known.by_count.difference(&known.by_content);
    counted.map(QualifiedName::shown).collect()
}

/// What is compared again in any case: what cannot be locked, and so could have been changed by somebody else. `is_certain`:
/// nothing wrote to any table but those that were to be changed.
pub(super) fn always_again(look: &Look, is_certain: bool) -> BTreeSet<String> {
    let facts = &look.source.facts;
    let views = facts.matviews.iter().map(|view| view.name.shown());
    let mut again: BTreeSet<String> = views.collect();
    if look.scope.large_objects {
        let objects = facts.large_objects.iter();
        again.extend(objects.map(|object| object.oid.to_string()));
    }
    if !is_certain {
        for table in &facts.tables {
            again.insert(table.name.shown());
            again.extend(table.partition_root.iter().map(QualifiedName::shown));
        }
    }
    again
}

/// Reads changed tables on the target. A verdict for each that holds what the source's does; for the others, both sides are compared again.
async fn read_again<'a>(
    tables: &'a [TableDiffers],
    ends: &Arc<Ends>,
    jobs: u32,
) -> Vec<(&'a TableDiffers, Option<TableVerdict>)> {
    let reads = tables.iter().map(|table| async move {
        let read = read(table, &ends.pools[1]).await;
        let same = read
            .ok()
            .filter(|(digest, _)| Some(*digest) == table.verdict.read);
        let verdict = same.map(|(digest, bytes)| verdict(table, digest, bytes));
        (table, verdict)
    });
    let reads: Vec<_> = reads.collect();
    let at_once = usize::try_from(jobs.max(1)).unwrap_or(1);
    stream::iter(reads)
        .buffer_unordered(at_once)
        .collect()
        .await
}

async fn read(table: &TableDiffers, pool: &Pool) -> Result<(MultisetDigest, Bytes), PgError> {
    let copy_out = table.comparand.copy_out(&[], "");
    let mut wire = pool.take().await?;
    // Sorted into buckets as before, if only into one: so the same counts as a row's content.
    let sink = (&Gauge::default(), Buckets::new(Bucketing::One));
    let read = read_rows(&mut wire, &copy_out.sql, copy_out.layout(), sink).await;
    match read {
        Ok((relayed, buckets)) => {
            pool.give_back(wire);
            Ok((buckets.total(), relayed.bytes))
        }
        Err(error) => {
            pool.give_up(wire);
            Err(error)
        }
    }
}

fn verdict(table: &TableDiffers, target: MultisetDigest, bytes: Bytes) -> TableVerdict {
    TableVerdict {
        target: Some(target),
        bytes: table.verdict.bytes + bytes,
        verdict: Verdict::Identical,
        ..table.verdict.clone()
    }
}
