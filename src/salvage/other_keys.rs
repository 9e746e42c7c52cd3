//! Rows that were read where an index has rows with other keys: another page has taken the place of theirs, or bytes of a key are others
//! than they were. Without checksums nothing else tells.
//!
//! Of each block, the sum of the keys that its rows have is held against the sum of those that the index has for it. Where they differ,
//! one is held against the other.

use std::collections::{BTreeMap, BTreeSet};

use super::SalvageError;
use super::beforehand::Beforehand;
use super::crosscheck::{Known, Missing};
use super::facts::{IndexFacts, TableFacts};
use super::files::Shape;
use super::keys::{KeyColumn, decode, parts};
use super::on_disk::{PAGES, each_page};
use super::page::{BtreePage, IndexEntry, btree};
use super::proven::Sums;
use super::sound::{flat, key_at, key_of};
use super::standing::Standing;
use crate::pg::Session;
use crate::plan::Place;

/// The keys that an index has for rows that were read.
#[derive(Debug, Default)]
pub(super) struct KeySums {
    sums: Sums,
    /// Blocks for which it has a key that is not plain to see.
    unsure: BTreeSet<u32>,
}

impl KeySums {
    /// Adds one.
    pub fn add(&mut self, entry: &IndexEntry<'_>, columns: &[KeyColumn]) {
        let (block, offset) = entry.place;
        match parts(entry, columns) {
            Some(parts) => {
                let sum = self.sums.of(block);
                *sum = sum.wrapping_add(key_of(offset, &parts));
            }
            None => _ = self.unsure.insert(block),
        }
    }

    /// Blocks whose rows have others.
    fn odd(&self, beforehand: &Beforehand, table: &TableFacts) -> BTreeSet<u32> {
        let is_odd = |&(block, sum): &(u32, u32)| {
            !self.unsure.contains(&block) && beforehand.has_other_keys(table, block, sum)
        };
        let odd = self.sums.iter().filter(is_odd);
        odd.map(|(block, _)| block).collect()
    }
}

/// Entries of an index that lead to rows which were read and have other keys. Whether there ever were rows with theirs, nobody knows.
pub(super) async fn other_keys(
    session: &Session,
    (table, index, shape): (&TableFacts, &IndexFacts, &Shape),
    (keys, known): (&KeySums, Known<'_>),
) -> Result<Vec<Missing>, SalvageError> {
    let mut rows: BTreeMap<Place, Vec<u8>> = BTreeMap::new();
    for block in keys.odd(known.beforehand, table) {
        let page = known.pages(session, table, (block, 1)).await?;
        let Some(page) = page.into_iter().next().flatten() else {
            continue;
        };
        for offset in known.seen.of(block).iter() {
            if let Some(key) = key_at(&page, offset, table.layout()) {
                rows.insert((block, offset), flat(&key));
            }
        }
    }
    let mut others = Vec::new();
    if rows.is_empty() {
        return Ok(others);
    }
    let mut first = 0;
    while first < shape.reached {
        let count = PAGES.min(shape.reached - first);
        let pages = each_page(session, (index.path.as_str(), shape), first, count).await?;
        for page in pages.into_iter().flatten() {
            let BtreePage::Leaf { entries, .. } = btree(&page) else {
                continue;
            };
            for entry in entries {
                let Some(row) = rows.get(&entry.place) else {
                    continue;
                };
                let is_same = parts(&entry, &index.columns).is_none_or(|key| flat(&key) == *row);
                if !is_same {
                    others.push(Missing {
                        place: entry.place,
                        standing: Standing::Perhaps,
                        key: decode(&entry, &index.columns),
                    });
                }
            }
        }
        first += count;
    }
    Ok(others)
}
