//! Rows that were read where an index has rows with other keys: another page has taken the place of theirs, or bytes of a key are others
//! than they were. Without checksums nothing else tells.
//!
//! Of each block, the sum of the keys that its rows have is held against the sum of those that the index has for it. Where they differ,
//! one is held against the other.

use std::sync::Arc;

use super::SalvageError;
use super::beforehand::Beforehand;
use super::crosscheck::{Known, Missing, each_entry};
use super::facts::{IndexFacts, TableFacts};
use super::files::Shape;
use super::keys::{KeyColumn, parts};
use super::page::IndexEntry;
use super::proven::{Numbers, Sums};
use super::sound::{key_at, key_of};
use super::spill::{Merged, Scratch, Sorter};
use super::standing::Standing;
use crate::pg::Session;

/// The keys that an index has for rows that were read.
#[derive(Debug, Default)]
pub(super) struct KeySums {
    sums: Sums,
    /// Blocks for which it has a key that is not plain to see.
    unsure: Numbers,
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
            None => self.unsure.set(block, true),
        }
    }

    /// Blocks whose rows have others.
    fn odd(&self, beforehand: &Beforehand, table: &TableFacts) -> Numbers {
        let mut odd = Numbers::default();
        for (block, sum) in self.sums.iter() {
            if !self.unsure.has(block) && beforehand.has_other_keys(table, block, sum) {
                odd.set(block, true);
            }
        }
        odd
    }
}

/// Adds entries of an index that lead to rows which were read and have other keys: how many. Whether there ever were rows with theirs,
/// nobody knows.
pub(super) async fn other_keys(
    session: &Session,
    place: (&TableFacts, &IndexFacts, &Shape),
    (keys, known): (&KeySums, Known<'_>),
    (scratch, missing): (&Arc<Scratch>, &mut Missing),
) -> Result<u64, SalvageError> {
    let (table, index, _) = place;
    let odd = keys.odd(known.beforehand, table);
    let mut others = 0;
    if odd.is_empty() {
        return Ok(others);
    }
    let mut entries = entries_of(session, place, (&odd, known), scratch).await?;
    while let Some(window) = entries.window()? {
        let blocks = (window.first, window.count);
        let pages = known.pages(session, table, blocks).await?;
        for one in &window.entries {
            let page = pages.get(window.number_of(one.place));
            let row = page
                .and_then(Option::as_deref)
                .and_then(|page| key_at(page, one.place.1, table.layout()));
            let entry = one.entry();
            let key = parts(&entry, &index.columns);
            if row.zip(key).is_some_and(|(row, key)| row != key) {
                missing.add(Standing::Perhaps, Some(&entry))?;
                others += 1;
            }
        }
    }
    Ok(others)
}

/// Entries that lead to rows of some blocks which were read, by their places.
async fn entries_of(
    session: &Session,
    (_, index, shape): (&TableFacts, &IndexFacts, &Shape),
    (blocks, known): (&Numbers, Known<'_>),
    scratch: &Scratch,
) -> Result<Merged, SalvageError> {
    let mut sorter = Sorter::beside(scratch);
    let take = |entry: &IndexEntry<'_>| {
        let (block, offset) = entry.place;
        if blocks.has(block) && known.seen.has(block, offset) {
            sorter.push(entry)?;
        }
        Ok(())
    };
    // It was whole a moment ago.
    let _whole = each_entry(session, (index.path.as_str(), shape), take).await?;
    sorter.merged()
}
