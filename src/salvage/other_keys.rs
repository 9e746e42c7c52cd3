//! Rows that were read where an index has rows with other keys: another page has taken the place of theirs, or bytes of a key are others
//! than they were. Without checksums nothing else tells.
//!
//! Of each block, the sum of the keys that its rows have is held against the sum of those that the index has for it. Where they differ,
//! one is held against the other. An entry that leads to a row by way of others within the page, or to one that was not read, is held
//! against it by itself. What a page says of its rows says nothing of others that should be in their place.

use std::sync::Arc;

use super::SalvageError;
use super::beforehand::Beforehand;
use super::crosscheck::{Known, Missing, each_entry};
use super::facts::{Facts, IndexFacts, TableFacts};
use super::files::Shape;
use super::keys::{KeyColumn, parts};
use super::page::IndexEntry;
use super::proven::{Numbers, Sums};
use super::sound::{key_at, key_of};
use super::spill::{Merged, Scratch, Sorter};
use super::standing::{Block, Standing};
use crate::pg::Session;

/// Where there are rows with other keys than an index has.
#[derive(Debug, Default)]
pub(super) struct Others {
    /// How many were read.
    pub count: u64,
    /// The blocks that have such, read or not.
    pub blocks: Numbers,
}

/// A table whose rows have the keys of an index plain to see, and that index.
#[derive(Debug, Clone, Copy)]
pub(super) struct Compared<'a> {
    table: &'a TableFacts,
    index: &'a IndexFacts,
}

impl<'a> Compared<'a> {
    /// The best index of a table is compared with it, if it can be, and if what is on disk is what was read.
    pub fn of(facts: &Facts, table: &'a TableFacts, index: &'a IndexFacts) -> Option<Self> {
        let is_best = table.indexes.first() == Some(index);
        let can_be = is_best && !table.key.is_empty() && facts.quiet.is_cold();
        can_be.then_some(Self { table, index })
    }

    /// Whether an entry leads to a row that is not the one that it was made for. Of versions within the page, the one counts that was read;
    /// if none was, there may be older ones among them than the index.
    pub fn is_anothers(self, block: &Block<'_>, entry: &IndexEntry<'_>) -> bool {
        let key = parts(entry, &self.index.columns);
        let (Some(page), Some(key)) = (block.page, key) else {
            return false;
        };
        let is_other = |at: &u16| {
            let row = key_at(page, *at, self.table.layout());
            row.is_some_and(|row| row != key)
        };
        let versions = block.versions(entry.place.1);
        match versions.iter().find(|at| block.read.has(**at)) {
            Some(read) => is_other(read),
            None => !versions.is_empty() && versions.iter().all(is_other),
        }
    }
}

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

    /// Blocks whose rows may have others.
    fn odd(&self, beforehand: &Beforehand, table: &TableFacts) -> Numbers {
        let mut odd = Numbers::default();
        for (block, sum) in self.sums.iter() {
            if self.unsure.has(block) || beforehand.may_have_other_keys(table, block, sum) {
                odd.set(block, true);
            }
        }
        odd
    }
}

/// Adds entries of an index that lead to rows which were read and have other keys. Whether there ever were rows with theirs, nobody knows.
pub(super) async fn other_keys(
    session: &Session,
    place: (&TableFacts, &IndexFacts, &Shape),
    (keys, known): (&KeySums, Known<'_>),
    (scratch, missing): (&Arc<Scratch>, &mut Missing),
) -> Result<Others, SalvageError> {
    let (table, index, _) = place;
    let odd = keys.odd(known.beforehand, table);
    let mut others = Others::default();
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
                others.count += 1;
                others.blocks.set(one.place.0, true);
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
        if !entry.is_dead && blocks.has(block) && known.seen.has(block, offset) {
            sorter.push(entry)?;
        }
        Ok(())
    };
    // It was whole a moment ago.
    let _whole = each_entry(session, (index.path.as_str(), shape), take).await?;
    sorter.merged()
}
