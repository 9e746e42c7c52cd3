//! Rows that nothing tells from one another but their whole content: a multiset, so that a row can be there too often.

use std::collections::{HashMap, HashSet};

use super::{DifferingRow, Found, read};
use crate::model::RowKind;
use crate::pg::wire::RowSink;
use crate::pg::{PgError, Pool};
use crate::verify::rows::{Bucketing, Buckets, Comparand, Ends, FIELD_COUNT, fields};

/// Rows that are kept at a time.
const PASS_ROWS: u64 = 1 << 20;
/// How often a table is read again to look at another part of its rows.
const PASSES: u64 = 16;

/// Length and bytes of the place of a row, which is read in front of it.
const PLACE_FIELD: usize = 4 + size_of::<Place>();

/// Hash of a row → how many of it, and where the first stands.
type Rows = HashMap<u128, (u64, Place)>;
/// Block and line pointer, as `tid` has them in the binary format.
type Place = [u8; 6];

/// Finds them. A changed row is one that is missing and one that is there besides.
pub(super) async fn find(
    comparand: &Comparand,
    ((source, target), ends): ((&Buckets, &Buckets), &Ends),
    remembered: usize,
) -> Result<Found, PgError> {
    let differing = source.differing(target);
    let rows: u64 = differing
        .iter()
        .map(|bucket| source.rows(*bucket).max(target.rows(*bucket)))
        .sum();
    let wanted: HashSet<usize> = differing.into_iter().collect();
    let passes = rows.div_ceil(PASS_ROWS).max(1);
    let mut found = Found {
        cut_off: passes > PASSES,
        ..Found::default()
    };
    for pass in 0..passes.min(PASSES) {
        let filter = Filter {
            by: source.by(),
            wanted: &wanted,
            part: (pass, passes),
        };
        let [left, right] = &ends.pools;
        let (left, right) = tokio::try_join!(
            rows_of(comparand, left, &filter),
            rows_of(comparand, right, &filter)
        )?;
        compare(&left, &right, &mut found, remembered);
    }
    Ok(found)
}

fn compare(source: &Rows, target: &Rows, found: &mut Found, remembered: usize) {
    let mut rows = Vec::new();
    let mut surplus = |these: &Rows, those: &Rows, kind: RowKind| {
        for (hash, (number, place)) in these {
            let other = those.get(hash).map_or(0, |(number, _)| *number);
            if *number > other {
                rows.push(DifferingRow {
                    kind,
                    key: vec![in_words(*place)],
                    copies: number - other,
                    hash: Some(*hash),
                });
            }
        }
    };
    surplus(source, target, RowKind::Missing);
    surplus(target, source, RowKind::Extra);
    rows.sort_by_key(|row| (row.kind, row.hash));
    for row in rows {
        found.note(row, remembered);
    }
}

/// `(12,3)`
fn in_words(place: Place) -> String {
    let (block, line) = place.split_at(size_of::<u32>());
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | u32::from(*byte))
    };
    let (block, line) = (number(block), number(line));
    format!("({block},{line})")
}

struct Filter<'a> {
    by: &'a Bucketing,
    wanted: &'a HashSet<usize>,
    part: (u64, u64),
}

async fn rows_of(comparand: &Comparand, pool: &Pool, filter: &Filter<'_>) -> Result<Rows, PgError> {
    let statement = comparand.copy_out(&["ctid".to_owned()], "");
    let sink = Surplus {
        filter,
        rows: Rows::new(),
    };
    Ok(read(pool, &statement, sink).await?.rows)
}

struct Surplus<'a> {
    filter: &'a Filter<'a>,
    rows: Rows,
}

impl RowSink for Surplus<'_> {
    fn row(&mut self, hash: u128, head: &[u8]) {
        let filter = self.filter;
        if !filter.wanted.contains(&filter.by.bucket(hash, head)) || !filter.takes(hash) {
            return;
        }
        let place = fields(head).next().flatten();
        let place: Option<Place> = place.and_then(|place| place.try_into().ok());
        let row = self
            .rows
            .entry(hash)
            .or_insert((0, place.unwrap_or_default()));
        row.0 += 1;
    }

    fn unhashed(&self) -> usize {
        FIELD_COUNT + PLACE_FIELD
    }
}

impl Filter<'_> {
    fn takes(&self, hash: u128) -> bool {
        let (part, parts) = self.part;
        // Other bits than those that the buckets are made of.
        hash % u128::from(parts.max(1)) == u128::from(part)
    }
}
