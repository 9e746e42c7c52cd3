//! The rows that were read against those that the indexes know of: what is missing without an error, and what it was called.
//!
//! Every row has an entry in every B-tree that is neither partial nor on an expression. The index's file is read as bytes, since a
//! query would have to read the table's pages to know which entries count. An entry whose row was not read is looked up in
//! the table's own page, which tells whether the row had been deleted, or is lost. Where no index is whole, the table's pages are all there
//! is: they have the rows themselves, unless their line pointers are gone. What is on disk is what counts, so the source had better be a copy
//! that nobody uses.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::SalvageError;
use super::beforehand::Beforehand;
use super::counted::{Counted, Traces, has_loose_rows};
use super::facts::{Facts, IndexFacts, TableFacts};
use super::fates::Fates;
use super::files::Shape;
use super::keys::decode;
use super::on_disk::{PAGES, heap_pages, show_run, visibility_map};
use super::other_keys::{Compared, KeySums, other_keys};
use super::page::{BtreePage, IndexEntry, Leaves, PageState, all_visible, btree, state};
use super::seen::Seen;
use super::sight::patient_session;
use super::spill::{Kept, Records, Scratch, Sorter, Spool};
use super::standing::{Block, Standing};
use super::told::{Told, judge, once_visible};
use crate::model::Rows;
use crate::pg::{Connector, Session};
use crate::plan::Place;

/// Sessions that may be lost while one table is held against its indexes.
const MOST_LOST: u32 = 3;

/// Rows that were not read, although nothing says that they were deleted. There may be as many as the table had.
#[derive(Debug, Default)]
pub struct Missing {
    /// So many are lost for certain.
    pub lost: u64,
    /// Of so many more nothing tells whether they had been deleted.
    pub perhaps: u64,
    /// The entries that lead to them, if an index names them: kept as certain, or not.
    entries: Option<Spool>,
}

impl Missing {
    /// None so far; they will be named.
    fn to_be_named(scratch: &Arc<Scratch>) -> Self {
        Self {
            entries: Some(Spool::new(scratch)),
            ..Self::default()
        }
    }

    /// Adds one, unless nothing is lost with it.
    pub fn add(
        &mut self,
        standing: Standing,
        entry: Option<&IndexEntry<'_>>,
    ) -> Result<(), SalvageError> {
        match standing {
            Standing::Read | Standing::Gone => return Ok(()),
            Standing::Perhaps => self.perhaps += 1,
            Standing::Lost => self.lost += 1,
        }
        match (&mut self.entries, entry) {
            (Some(entries), Some(entry)) => entries.push(entry, standing == Standing::Lost),
            _ => Ok(()),
        }
    }

    /// No more are added.
    fn end(&mut self) -> Result<(), SalvageError> {
        self.entries.as_mut().map_or(Ok(()), Spool::rest)
    }

    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        self.lost == 0 && self.perhaps == 0
    }

    /// The entries that lead to them, as far as an index names them.
    pub fn entries(&self) -> Records {
        let entries = self.entries.as_ref();
        entries.map_or_else(Records::default, Spool::records)
    }
}

/// What a look into the indexes tells.
#[derive(Debug, Default)]
pub struct CrossCheck {
    /// The index that tells it; `None`: there is none that is whole.
    pub index: Option<IndexFacts>,
    /// Rows that were not read.
    pub missing: Missing,
    /// Rows that were read, and that the index has no entries for: as many of its entries may lead to where no row ever was.
    pub unlisted: u64,
    /// Rows that there must be by the table's pages, where it is not known which were read: for certain, and perhaps more.
    pub by_pages: Option<(u64, u64)>,
    /// Blocks of zeros that are not new, and of which no index tells what was in them.
    pub zeros: BTreeSet<u32>,
    /// Blocks with rows that no line pointer leads to, as far as they are looked for: where no index tells of them.
    pub loose: BTreeSet<u32>,
    /// So many rows were counted there once, and have left no trace.
    pub traceless: Option<u64>,
    /// Rows that were read where the index has rows with other keys: these are among those that were not read.
    pub others: u64,
    /// Indexes that are damaged, and how: nothing is lost with them.
    pub damaged: Vec<String>,
}

impl CrossCheck {
    /// What a row was called that an entry leads to, if that can be understood.
    pub fn key_of(&self, kept: &Kept) -> Option<Vec<Option<String>>> {
        decode(&kept.entry(), &self.index.as_ref()?.columns)
    }
}

/// Entries of an index.
#[derive(Debug)]
struct Entries {
    /// How many lead to rows that were read.
    read: u64,
    /// The others.
    candidates: Sorter,
    /// The keys of the former.
    keys: KeySums,
}

/// What is known of a table's rows.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    /// Where they were read.
    pub seen: &'a Seen,
    /// Those that cannot be read, as the search has found.
    pub lost: &'a Seen,
    /// What its pages were before they were read.
    pub beforehand: &'a Beforehand,
}

impl Known<'_> {
    /// Pages of the table, as they were before the server has read them.
    pub async fn pages(
        &self,
        session: &Session,
        table: &TableFacts,
        (first, count): (u32, u32),
    ) -> Result<Vec<Option<Vec<u8>>>, SalvageError> {
        let now = heap_pages(session, table, first, count).await?;
        let pages = (0..count).zip(now);
        pages
            .map(|(number, now)| {
                let block = first.saturating_add(number);
                self.beforehand.page(table, block, now)
            })
            .collect()
    }
}

/// Compares what was read of a table with its indexes. Without `known`, only where rows must be missing is looked for.
async fn cross_check(
    session: &Session,
    (facts, table): (&Facts, &TableFacts),
    (known, scratch): (Option<Known<'_>>, &Arc<Scratch>),
) -> Result<CrossCheck, SalvageError> {
    let mut check = CrossCheck::default();
    let next = facts.next_transaction(session).await?;
    let mut fates = Fates::before(next, &facts.record);
    for index in &table.indexes {
        let shape = facts.shape_of(&index.path);
        let read = match (shape.wrong.first(), known) {
            (Some(wrong), _) => Err(wrong.clone()),
            (None, None) => continue,
            (None, Some(known)) => {
                let compared = Compared::of(facts, table, index).is_some();
                let how = (compared, facts.quiet.is_cold());
                let place = (index, &shape);
                let entries = entries(session, place, (known.seen, how), scratch).await?;
                entries.map(|entries| (entries, known))
            }
        };
        match read {
            Ok((entries, known)) => {
                let place = (table, index, &shape);
                let with = (known, &mut fates, scratch);
                let told = by_entries((session, facts), place, entries, with).await?;
                check.damaged.extend(told.damaged);
                return Ok(CrossCheck {
                    damaged: check.damaged,
                    ..told
                });
            }
            // Of a server that is in use, what is on disk may not be what it has.
            Err(_) if !facts.quiet.is_cold() => {}
            Err(how) => check
                .damaged
                .push(format!("the index {}: {how}", index.name.shown())),
        }
    }
    by_pages(session, (facts, table), (known, &mut check, &mut fates)).await?;
    Ok(check)
}

/// The same. A server that a probe has just brought down may have let the session in before it noticed: then another one is opened.
pub(super) async fn patient_cross_check(
    source: &Connector,
    session: &mut Session,
    what: (&Facts, &TableFacts),
    (known, scratch): (Option<Known<'_>>, &Arc<Scratch>),
) -> Result<CrossCheck, SalvageError> {
    for _ in 0..MOST_LOST {
        match cross_check(session, what, (known, scratch)).await {
            Err(SalvageError::Pg(error)) if error.is_lost_connection() => {
                *session = patient_session(source).await?;
            }
            check => return check,
        }
    }
    cross_check(session, what, (known, scratch)).await
}

/// Entries of an index, by whether their rows were read; the inner result is what is wrong with it, if it is not whole. What is marked as dead
/// may have led to a row when damage had already taken that; on a server that is in use, it may only be that the page was written later.
async fn entries(
    session: &Session,
    (index, shape): (&IndexFacts, &Shape),
    (seen, (compared, is_cold)): (&Seen, (bool, bool)),
    scratch: &Scratch,
) -> Result<Result<Entries, String>, SalvageError> {
    let mut is_bare = true;
    let mut all = Entries {
        read: 0,
        candidates: Sorter::beside(scratch),
        keys: KeySums::default(),
    };
    let take = |entry: &IndexEntry<'_>| {
        let (block, offset) = entry.place;
        let is_read = seen.has(block, offset);
        if entry.is_dead && (is_read || !is_cold) {
            return Ok(());
        }
        is_bare &= entry.is_dead;
        if !is_read {
            return all.candidates.push(entry);
        }
        all.read += 1;
        if compared {
            all.keys.add(entry, &index.columns);
        }
        Ok(())
    };
    let read = each_entry(session, (index.path.as_str(), shape), take).await?;
    Ok(read.and_then(|()| {
        if is_bare && seen.rows() > 0 {
            return Err("it has no entries, although there are rows".to_owned());
        }
        Ok(all)
    }))
}

/// What is read of an index, page by page.
struct Reading<F> {
    leaves: Leaves,
    /// The first page that is none of a B-tree.
    damaged: Option<u32>,
    each: F,
}

impl<F: FnMut(&IndexEntry<'_>) -> Result<(), SalvageError>> Reading<F> {
    fn take(&mut self, number: u32, page: &[u8]) -> Result<(), SalvageError> {
        if self.damaged.is_some() {
            return Ok(());
        }
        if number == 0 {
            self.leaves.begin(page);
        }
        match btree(page) {
            BtreePage::Other => {}
            BtreePage::HalfDead => self.leaves.add_half_dead(number),
            BtreePage::Damaged => self.damaged = Some(number),
            BtreePage::Leaf {
                entries,
                before,
                next,
            } => {
                self.leaves.add(number, (before, next));
                entries.iter().try_for_each(&mut self.each)?;
            }
        }
        Ok(())
    }
}

/// Shows all entries of the leaves of an index; the inner result is what is wrong with it, if it is not whole.
pub(super) async fn each_entry(
    session: &Session,
    (path, shape): (&str, &Shape),
    each: impl FnMut(&IndexEntry<'_>) -> Result<(), SalvageError>,
) -> Result<Result<(), String>, SalvageError> {
    let mut reading = Reading {
        leaves: Leaves::default(),
        damaged: None,
        each,
    };
    let mut first = 0;
    while first < shape.reached {
        let count = PAGES.min(shape.reached - first);
        let take = |number, page: &[u8]| reading.take(number, page);
        if !show_run(session, (path, shape), (first, count), take).await? {
            return Ok(Err(format!(
                "blocks {first} to {} cannot be read",
                first + count - 1
            )));
        }
        if let Some(number) = reading.damaged {
            return Ok(Err(format!("block {number} is not a B-tree page")));
        }
        first += count;
    }
    if shape.reached == 0 {
        return Ok(Err("its file is empty".to_owned()));
    }
    Ok(reading.leaves.wrong().map_or(Ok(()), Err))
}

/// What the entries of an index tell, which is whole.
async fn by_entries(
    (session, facts): (&Session, &Facts),
    place: (&TableFacts, &IndexFacts, &Shape),
    entries: Entries,
    (known, fates, scratch): (Known<'_>, &mut Fates<'_>, &Arc<Scratch>),
) -> Result<CrossCheck, SalvageError> {
    let (table, index, _) = place;
    let mut missing = Missing::to_be_named(scratch);
    let keys = (&entries.keys, known);
    let others = other_keys(session, place, keys, (scratch, &mut missing)).await?;
    let mut told = Told {
        read: 0,
        others,
        zeros: known.beforehand.zeros(table),
        missing,
    };
    let candidates = (entries.candidates.merged()?, known, fates);
    judge(session, (facts, (table, index)), candidates, &mut told).await?;
    told.missing.end()?;
    let mut check = CrossCheck {
        index: Some(index.clone()),
        zeros: once_visible(session, (facts, table), &told.zeros).await?,
        missing: told.missing,
        others: told.others.count,
        ..CrossCheck::default()
    };
    // Every row has an entry, unless entries are damaged, or the table is written to.
    let listed = entries.read + told.read;
    if facts.quiet.is_cold() && known.seen.rows() > listed {
        check.unlisted = known.seen.rows() - listed;
        check.damaged.push(format!(
            "the index {}: it has no entries for {}",
            index.name.shown(),
            match check.unlisted {
                1 => "1 row that is there".to_owned(),
                rows => format!("{} rows that are there", Rows(rows)),
            }
        ));
    }
    Ok(check)
}

/// What a table's own pages tell, where no index does: blocks of zeros, and rows that the server does not show although nothing has
/// become of them. One whose line pointer is gone leaves no trace.
async fn by_pages(
    session: &Session,
    (facts, table): (&Facts, &TableFacts),
    (known, check, fates): (Option<Known<'_>>, &mut CrossCheck, &mut Fates<'_>),
) -> Result<(), SalvageError> {
    let map = visibility_map(session, facts, table).await?;
    let (seen, lost, beforehand) = <(Seen, Seen, Beforehand)>::default();
    let nothing = Known {
        seen: &seen,
        lost: &lost,
        beforehand: &beforehand,
    };
    let (pages, rows) = (table.pages, table.rows);
    let (mut behind, mut traces) = (None, Traces::of(Counted { pages, rows }));
    let mut first = 0;
    while first < table.shape.reached {
        let count = PAGES.min(table.shape.reached - first);
        let bytes = match known {
            Some(known) => known.pages(session, table, (first, count)).await?,
            None => heap_pages(session, table, first, count).await?,
        };
        for (number, page) in (first..).zip(&bytes) {
            match page.as_deref().map(state) {
                Some(PageState::Zeros) => _ = check.zeros.insert(number),
                Some(_) => behind = Some(number),
                None => {}
            }
            let page = page.as_deref().unwrap_or_default();
            traces.add(number, page);
            check.loose.extend(has_loose_rows(page).then_some(number));
        }
        let pages = (first..).zip(bytes.iter().map(Option::as_deref));
        if let Some(known) = known {
            let with = (table, (known, &mut *fates));
            unread(session, pages, with, &mut check.missing).await?;
        } else {
            let mut missing = Missing::default();
            let with = (table, (nothing, &mut *fates));
            unread(session, pages, with, &mut missing).await?;
            let (certain, perhaps) = check.by_pages.get_or_insert_default();
            *certain += missing.lost;
            *perhaps += missing.perhaps;
        }
        first += count;
    }
    // Of a server that is in use, these may only have been in its memory.
    if facts.quiet.is_cold() {
        check.traceless = traces.lacks();
    } else {
        check.loose.clear();
    }
    // New pages are at the end, and may have been counted; and of a page that is all visible, there once was something to see.
    let is_short = check.traceless.is_some();
    check.zeros.retain(|&number| {
        let is_empty = known.is_none_or(|known| known.seen.of(number).count() == 0);
        let had_rows = is_short && number < table.pages;
        let is_seen = all_visible(&map, number) == Some(true);
        is_empty && (Some(number) < behind || had_rows || is_seen)
    });
    Ok(())
}

/// Rows of pages that were not read, although their pages do not say that they were deleted.
async fn unread<'a>(
    session: &Session,
    pages: impl Iterator<Item = (u32, Option<&'a [u8]>)>,
    (table, (known, fates)): (&TableFacts, (Known<'_>, &mut Fates<'_>)),
    missing: &mut Missing,
) -> Result<(), SalvageError> {
    let mut found: Vec<(Block<'_>, Place)> = Vec::new();
    for (number, page) in pages {
        let block = Block {
            page,
            all_visible: None,
            read: known.seen.of(number),
            is_trusted: known.beforehand.is_trusted(table, number),
        };
        let places = block.unread().into_iter().map(|offset| (number, offset));
        let unknown = places.filter(|place| !known.lost.has_nearest(*place));
        found.extend(unknown.map(|place| (block, place)));
    }
    let wanted = found
        .iter()
        .flat_map(|(block, place)| block.writers_of(place.1));
    fates.ask(session, wanted.collect()).await?;
    let fate = |writer| fates.of(writer);
    for (block, place) in found {
        missing.add(block.by_itself(place.1, &fate), None)?;
    }
    Ok(())
}
