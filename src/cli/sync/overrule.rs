//! What a turn finds to differ although replication carries it: named before it is changed.
//!
//! Replication or the fence has failed: somebody wrote to the closed side, or something was not carried. The side that hands
//! over was in service, so the other one is brought to what it holds; and whoever wrote rows that only the other one has must
//! be able to find out what that means for them.

use std::collections::BTreeSet;

use futures_util::future::LocalBoxFuture;

use super::carry_out::Course;
use crate::catalog::SourceFacts;
use crate::cli::verify::{RowsLook, TableDiffers};
use crate::event::What;
use crate::failure::Failure;
use crate::model::{QualifiedName, RowKind, and_more};
use crate::progress::words;
use crate::sync::{Changes, TableChange};

/// At most this many rows of a table are named.
const MOST: usize = 20;

/// Remembers for a turn what was overruled: once changed, it can no longer be found.
pub(in crate::cli) trait Overruling {
    /// Everything that is written down, including by earlier attempts.
    fn known(&self) -> Vec<QualifiedName>;

    /// Writes down tables that are about to be overruled.
    fn write_down(&self, tables: Vec<QualifiedName>) -> LocalBoxFuture<'_, Result<(), Failure>>;
}

/// Names the tables that are about to be changed although replication carries them, and has them written down. Returns these
/// tables, with those of earlier attempts; none outside of a turn.
pub(super) async fn tell_and_write_down(
    course: Course<'_>,
    found: (&Changes, &RowsLook, &SourceFacts),
) -> Result<Vec<QualifiedName>, Failure> {
    let (Some(carried), Some(overruling)) = (course.carried, course.overruling) else {
        return Ok(Vec::new());
    };
    let about_to_be = tell(course, carried, found);
    if !about_to_be.is_empty() {
        overruling.write_down(about_to_be).await?;
    }
    Ok(overruling.known())
}

/// Names the carried tables that are about to be changed, and returns them.
fn tell(
    course: Course<'_>,
    carried: &BTreeSet<QualifiedName>,
    (changes, rows, facts): (&Changes, &RowsLook, &SourceFacts),
) -> Vec<QualifiedName> {
    let mut overruled = Vec::new();
    for change in &changes.tables {
        if !is_carried(&change.table, carried, facts) {
            continue;
        }
        let mut differing = rows.tables.iter();
        let differing = differing.find(|one| one.comparand.name == change.table);
        let text = sentence(change, differing.map(named).unwrap_or_default());
        course.emit.emit(What::Note { text });
        overruled.push(change.table.clone());
    }
    overruled
}

/// Partitions may be compared as one.
fn is_carried(
    table: &QualifiedName,
    carried: &BTreeSet<QualifiedName>,
    facts: &SourceFacts,
) -> bool {
    carried.contains(table)
        || facts
            .tables
            .iter()
            .any(|one| one.partition_root.as_ref() == Some(table) && carried.contains(&one.name))
}

fn sentence(change: &TableChange, named: Option<String>) -> String {
    let figures = change.figures;
    let rows = named.map_or_else(
        || "which rows these are was not looked for".to_owned(),
        |named| format!("these are {named}"),
    );
    format!(
        "{} differs although replication carries it: somebody has written to the side that takes over while it was closed, or not all was \
         carried. There, {} deleted, {} other values and {} added; {rows}",
        change.table.shown(),
        words::count(figures.deleted.0, "row is", "rows are"),
        words::count(figures.updated.0, "gets", "get"),
        words::count(figures.inserted.0, "is", "are")
    )
}

/// The first of the rows, beginning with those that go; `None` if they are not known.
fn named(table: &TableDiffers) -> Option<String> {
    let (found, differ) = table.found.as_ref()?;
    let key = differ.key.join(", ");
    let mut named = Vec::new();
    for (kind, word) in [
        (RowKind::Extra, "deleted"),
        (RowKind::Changed, "with other values"),
        (RowKind::Missing, "added"),
    ] {
        let rows = found.rows.iter().filter(|row| row.kind == kind);
        named.extend(rows.take(MOST).map(|row| {
            let values = row.key.join(", ");
            if key.is_empty() {
                // Without a key, a row is known by its place.
                format!("ctid {values} ({word})")
            } else {
                format!("({key}) = ({values}) ({word})")
            }
        }));
    }
    named.truncate(MOST);
    let shown = u64::try_from(named.len()).unwrap_or(u64::MAX);
    (!named.is_empty()).then(|| and_more(&named, found.total().saturating_sub(shown)))
}
