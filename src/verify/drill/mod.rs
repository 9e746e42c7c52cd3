//! From a table that differs down to the rows that do.
//!
//! ```text
//!   buckets that differ ─┬─ key is a number: the index ranges behind them ──┐
//!                        ├─ another key: its rows whose key falls into them ─┼─► key → hash on both sides ─► missing, extra, changed
//!                        └─ no key: rows whose hash falls into them ─────────┘
//! ```
//!
//! | file | |
//! |---|---|
//! | `by_key` | rows told by a key |
//! | `by_content` | rows told by their whole content, with multiplicity |
//! | `others` | large objects, and materialized views with what their queries give |
//! | `pieces` | what is looked at at a time, so that memory stays flat |
//! | `values` | the first of the rows that were found, column by column |
//!
//! What it costs is in proportion to the differences, not to the table, where the key is a number; otherwise the table is read
//! again, and only what falls into the buckets is kept.

mod by_content;
mod by_key;
mod others;
mod pieces;
mod values;

use std::collections::BTreeMap;

pub use others::{large_objects, matview};

use super::rows::{Comparand, CopyOut, Ends, Sides};
use crate::model::{RowKind, Rows, RowsDiffer};
use crate::pg::wire::{Gauge, RowSink, read_rows};
use crate::pg::{PgError, Pool};

/// How far to go.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Rows that are shown column by column.
    pub shown: usize,
    /// Whether values are shown.
    pub values: bool,
    /// Rows that are remembered by name, for a repair or for another look.
    pub remembered: usize,
}

/// A row that differs, by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DifferingRow {
    /// In what way.
    pub kind: RowKind,
    /// Its key as text, or its `ctid` on the side that has it.
    pub key: Vec<String>,
    /// How many copies too few or too many.
    pub copies: u64,
    /// The hash of its content, where there is no key to tell it by.
    pub hash: Option<u128>,
}

/// What was found in one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Rows that only the source has.
    pub missing: u64,
    /// Rows that only the target has.
    pub extra: u64,
    /// Rows with the same key and another content.
    pub changed: u64,
    /// Whether there may be more.
    pub cut_off: bool,
    /// The first of them.
    pub rows: Vec<DifferingRow>,
}

impl Found {
    fn note(&mut self, row: DifferingRow, remembered: usize) {
        match row.kind {
            RowKind::Missing => self.missing += row.copies,
            RowKind::Extra => self.extra += row.copies,
            RowKind::Changed => self.changed += row.copies,
        }
        if self.rows.len() < remembered {
            self.rows.push(row);
        }
    }

    /// How many rows differ.
    pub fn total(&self) -> u64 {
        self.missing + self.extra + self.changed
    }

    /// Only those that another look has found as well, and how many that leaves out. A row is the same one if it has the same
    /// key, or the same content; what it differs in may have changed in between.
    pub fn lasting(&self, again: &Self) -> (Self, u64) {
        let name = |row: &DifferingRow| match row.hash {
            Some(hash) => (Some(hash), Vec::new()),
            None => (None, row.key.clone()),
        };
        let seen: BTreeMap<_, u64> = self
            .rows
            .iter()
            .map(|row| (name(row), row.copies))
            .collect();
        let mut lasting = Self {
            cut_off: self.cut_off || again.cut_off,
            ..Self::default()
        };
        for row in &again.rows {
            if let Some(copies) = seen.get(&name(row)) {
                let copies = row.copies.min(*copies);
                lasting.note(
                    DifferingRow {
                        copies,
                        ..row.clone()
                    },
                    usize::MAX,
                );
            }
        }
        // Of rows that were only counted nobody can say that they are other rows: they are taken to last.
        let uncounted =
            |found: &Self| found.total() - found.rows.iter().map(|row| row.copies).sum::<u64>();
        let unknown = uncounted(self).min(uncounted(again));
        lasting.changed += unknown;
        (
            lasting.clone(),
            self.total().saturating_sub(lasting.total()),
        )
    }
}

/// Reads one side, in its snapshot. After an error its transaction is spoilt, and the session goes with it.
async fn read<S: RowSink>(pool: &Pool, copy_out: &CopyOut, sink: S) -> Result<S, PgError> {
    let mut wire = pool.lend().await?;
    let gauge = Gauge::default();
    let sink = (&gauge, sink);
    let (_, sink) = read_rows(&mut wire, &copy_out.sql, copy_out.layout(), sink).await?;
    wire.give_back();
    Ok(sink)
}

/// Finds the rows of a table that differ.
pub async fn find(
    comparand: &Comparand,
    sides: &Sides,
    ends: &Ends,
    limits: Limits,
) -> Result<Found, PgError> {
    let [Ok(source), Ok(target)] = sides else {
        return Ok(Found::default());
    };
    let buckets = (&source.buckets, &target.buckets);
    match &comparand.key {
        Some(key) => by_key::find(comparand, key, (buckets, ends), limits.remembered).await,
        None => by_content::find(comparand, (buckets, ends), limits.remembered).await,
    }
}

/// The first rows that were found, column by column, for the report.
pub async fn describe(
    comparand: &Comparand,
    found: &Found,
    ends: &Ends,
    limits: Limits,
) -> Result<RowsDiffer, PgError> {
    let key = comparand.key.as_ref();
    Ok(RowsDiffer {
        table: comparand.name.clone(),
        key: key.map(|key| key.columns.clone()).unwrap_or_default(),
        missing: Rows(found.missing),
        extra: Rows(found.extra),
        changed: Rows(found.changed),
        exact: !found.cut_off,
        examples: values::examples(comparand, found, ends, limits).await?,
        in_flux: Rows(0),
    })
}
