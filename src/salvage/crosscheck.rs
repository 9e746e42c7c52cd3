//! The rows that were read against those that the indexes know of: what is missing without an error, and what it was called.
//!
//! Every row has an entry in every B-tree that is neither partial nor on an expression. The index's file is read as bytes, since a
//! query would have to read the table's pages to know which entries count. An entry whose row was not read is looked up in
//! the table's own page, which tells whether the row had been deleted, or is lost. Where no index is whole, the table's pages are all there
//! is: they have the rows themselves, unless their line pointers are gone. What is on disk is what counts, so the source had better be a copy
//! that nobody uses.

use std::collections::{BTreeMap, BTreeSet};

use super::SalvageError;
use super::beforehand::Beforehand;
use super::facts::{Facts, IndexFacts, TableFacts};
use super::fates::Fates;
use super::files::Shape;
use super::keys::decode;
use super::on_disk::{PAGES, heap_pages, pages, visibility_map};
use super::other_keys::{KeySums, other_keys};
use super::page::{BLOCK, BtreePage, Leaves, PageState, all_visible, btree, state};
use super::seen::Seen;
use super::standing::{Block, Standing, Writer};
use crate::pg::Session;
use crate::plan::Place;

/// A row that was not read, and what it was called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Where it was, or its first version.
    pub place: Place,
    /// Whether it is lost for certain.
    pub standing: Standing,
    /// Its key, if that can be understood.
    pub key: Option<Vec<Option<String>>>,
}

/// What a look into the indexes tells.
#[derive(Debug, Default)]
pub struct CrossCheck {
    /// The index that tells it; `None`: there is none that is whole.
    pub index: Option<IndexFacts>,
    /// Rows that were not read.
    pub missing: Vec<Missing>,
    /// Rows that were read, and that the index has no entries for: as many of its entries may lead to where no row ever was.
    pub unlisted: u64,
    /// Rows that there must be by the table's pages, where it is not known which were read: for certain, and perhaps more.
    pub by_pages: Option<(u64, u64)>,
    /// Blocks of zeros that are not new: looked for only where no index tells what was in them.
    pub zeros: BTreeSet<u32>,
    /// Rows that were read where the index has rows with other keys: these are among those that were not read.
    pub others: u64,
    /// Indexes that are damaged, and how: nothing is lost with them.
    pub damaged: Vec<String>,
}

/// Entries of an index.
#[derive(Debug, Default)]
struct Entries {
    /// How many lead to rows that were read.
    read: u64,
    /// The others.
    candidates: Candidates,
    /// The keys of the former.
    keys: KeySums,
}

/// Entries of an index whose rows were not read.
type Candidates = BTreeMap<u32, Vec<(u16, Option<Vec<Option<String>>>)>>;

/// What is known of a table's rows.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    /// Where they were read.
    pub seen: &'a Seen,
    /// Those that cannot be read, as the search has found.
    pub lost: &'a BTreeSet<Place>,
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
        Ok(pages
            .map(|(number, now)| {
                let block = first.saturating_add(number);
                self.beforehand.page(table, block, now)
            })
            .collect())
    }
}

/// Compares what was read of a table with its indexes. Without `known`, only where rows must be missing is looked for.
pub(super) async fn cross_check(
    session: &Session,
    (facts, table): (&Facts, &TableFacts),
    known: Option<Known<'_>>,
) -> Result<CrossCheck, SalvageError> {
    let mut check = CrossCheck::default();
    let mut fates = Fates::before(facts.next_transaction(session).await?);
    for index in &table.indexes {
        let shape = facts.shape_of(&index.path);
        let read = match (shape.wrong.first(), known) {
            (Some(wrong), _) => Err(wrong.clone()),
            (None, None) => continue,
            (None, Some(known)) => {
                // Keys are compared with those of the best index, if they can be.
                let compared = table.indexes.first() == Some(index) && !table.key.is_empty();
                entries(session, (index, &shape), (known.seen, compared)).await?
            }
        };
        match read {
            Ok(entries) => {
                if let Some(known) = known {
                    let judged = (&entries.candidates, known, &mut fates);
                    let (missing, read) = judge(session, (facts, table), judged).await?;
                    check.missing = missing;
                    let place = (table, index, &shape);
                    let others = other_keys(session, place, (&entries.keys, known)).await?;
                    check.others = others.len().try_into().unwrap_or(u64::MAX);
                    check.missing.extend(others);
                    // Every row has an entry, unless entries are damaged, or the table is written to.
                    let listed = entries.read + read;
                    if facts.quiet.is_cold() && known.seen.rows() > listed {
                        check.unlisted = known.seen.rows() - listed;
                        check.damaged.push(format!(
                            "the index {}: it has no entries for {} rows that are there",
                            index.name.shown(),
                            check.unlisted
                        ));
                    }
                }
                check.index = Some(index.clone());
                return Ok(check);
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

/// Reads all leaves of an index; the inner result is what is wrong with it, if it is not whole.
async fn entries(
    session: &Session,
    (index, shape): (&IndexFacts, &Shape),
    (seen, compared): (&Seen, bool),
) -> Result<Result<Entries, String>, SalvageError> {
    let mut all = Entries::default();
    let mut leaves = Leaves::default();
    let mut first = 0;
    while first < shape.reached {
        let count = PAGES.min(shape.reached - first);
        let Some(bytes) = pages(session, (index.path.as_str(), shape), first, count).await? else {
            return Ok(Err(format!(
                "blocks {first} to {} cannot be read",
                first + count - 1
            )));
        };
        for (number, page) in (first..).zip(bytes.chunks(BLOCK)) {
            match btree(page) {
                BtreePage::Other => {}
                BtreePage::HalfDead => leaves.add_half_dead(number),
                BtreePage::Damaged => {
                    return Ok(Err(format!("block {number} is no page of a B-tree")));
                }
                BtreePage::Leaf {
                    entries,
                    before,
                    next,
                } => {
                    leaves.add(number, (before, next));
                    for entry in entries {
                        let (block, offset) = entry.place;
                        if seen.has(block, offset) {
                            all.read += 1;
                            if compared {
                                all.keys.add(&entry, &index.columns);
                            }
                            continue;
                        }
                        let key = decode(&entry, &index.columns);
                        let of_block = all.candidates.entry(block).or_default();
                        of_block.push((offset, key));
                    }
                }
            }
        }
        first += count;
    }
    if shape.reached == 0 {
        return Ok(Err("its file is empty".to_owned()));
    }
    if let Some(wrong) = leaves.wrong() {
        return Ok(Err(wrong));
    }
    Ok(Ok(all))
}

/// What became of the rows that were not read; and of how many another version was.
async fn judge(
    session: &Session,
    (facts, table): (&Facts, &TableFacts),
    (candidates, known, fates): (&Candidates, Known<'_>, &mut Fates),
) -> Result<(Vec<Missing>, u64), SalvageError> {
    let (mut missing, mut read) = (Vec::new(), 0);
    if candidates.is_empty() {
        return Ok((missing, read));
    }
    let map = visibility_map(session, facts, table).await?;
    let blocks: Vec<u32> = candidates.keys().copied().collect();
    for run in blocks.chunk_by(|a, b| a + 1 == *b && b % PAGES != 0) {
        let (first, count) = (run[0], u32::try_from(run.len()).unwrap_or(PAGES));
        let bytes = known.pages(session, table, (first, count)).await?;
        let looked_at: Vec<(u32, Block<'_>)> = run
            .iter()
            .zip(&bytes)
            .map(|(&number, page)| {
                let block = Block {
                    page: page.as_deref(),
                    all_visible: all_visible(&map, number),
                    read: known.seen.of(number),
                };
                (number, block)
            })
            .collect();
        let wanted: BTreeSet<Writer> = looked_at
            .iter()
            .flat_map(|(number, block)| {
                let roots = candidates.get(number).into_iter().flatten();
                roots.flat_map(move |(root, _)| block.writers(*root))
            })
            .collect();
        fates.ask(session, wanted).await?;
        let fate = |writer| fates.of(writer);
        for (number, block) in looked_at {
            for (root, key) in candidates.get(&number).into_iter().flatten() {
                let standing = block.standing(*root, &fate);
                read += u64::from(standing == Standing::Read);
                if standing >= Standing::Perhaps {
                    missing.push(Missing {
                        place: (number, *root),
                        standing,
                        key: key.clone(),
                    });
                }
            }
        }
    }
    Ok((missing, read))
}

/// What a table's own pages tell, where no index does: blocks of zeros, and rows that the server does not show although nothing has
/// become of them. One whose line pointer is gone leaves no trace.
async fn by_pages(
    session: &Session,
    (facts, table): (&Facts, &TableFacts),
    (known, check, fates): (Option<Known<'_>>, &mut CrossCheck, &mut Fates),
) -> Result<(), SalvageError> {
    let map = visibility_map(session, facts, table).await?;
    let (seen, lost, beforehand) = <(Seen, BTreeSet<Place>, Beforehand)>::default();
    let nothing = Known {
        seen: &seen,
        lost: &lost,
        beforehand: &beforehand,
    };
    let mut behind = None;
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
        }
        let pages = (first..).zip(bytes.iter().map(Option::as_deref));
        if let Some(known) = known {
            let missing = unread(session, pages, (known, fates)).await?;
            check.missing.extend(missing);
        } else {
            let (certain, perhaps) = check.by_pages.get_or_insert_default();
            for row in unread(session, pages, (nothing, fates)).await? {
                match row.standing {
                    Standing::Lost => *certain += 1,
                    _ => *perhaps += 1,
                }
            }
        }
        first += count;
    }
    // New pages are at the end; and of a page that is all visible, there once was something to see.
    check.zeros.retain(|&number| {
        let is_empty = known.is_none_or(|known| known.seen.of(number).count() == 0);
        is_empty && (Some(number) < behind || all_visible(&map, number) == Some(true))
    });
    Ok(())
}

/// Rows of pages that were not read, although their pages do not say that they were deleted.
async fn unread<'a>(
    session: &Session,
    pages: impl Iterator<Item = (u32, Option<&'a [u8]>)>,
    (known, fates): (Known<'_>, &mut Fates),
) -> Result<Vec<Missing>, SalvageError> {
    let mut found: Vec<(Block<'_>, Place)> = Vec::new();
    for (number, page) in pages {
        let block = Block {
            page,
            all_visible: None,
            read: known.seen.of(number),
        };
        let places = block.unread().into_iter().map(|offset| (number, offset));
        let unknown = places.filter(|place| !known.lost.contains(place));
        found.extend(unknown.map(|place| (block, place)));
    }
    let wanted = found
        .iter()
        .flat_map(|(block, place)| block.writers_of(place.1));
    fates.ask(session, wanted.collect()).await?;
    let fate = |writer| fates.of(writer);
    let judged = found.into_iter().map(|(block, place)| Missing {
        place,
        standing: block.by_itself(place.1, &fate),
        key: None,
    });
    Ok(judged
        .filter(|row| row.standing >= Standing::Perhaps)
        .collect())
}
