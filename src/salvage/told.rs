//! What the entries of an index tell that lead to rows which were not read: what became of these, by their pages, and as far as these pages
//! can be theirs.

use std::collections::BTreeSet;

use super::SalvageError;
use super::crosscheck::{Known, Missing};
use super::facts::{Facts, IndexFacts, TableFacts};
use super::fates::Fates;
use super::on_disk::visibility_map;
use super::other_keys::{Compared, Others};
use super::page::all_visible;
use super::proven::Numbers;
use super::spill::{Kept, Merged, Window};
use super::standing::{Block, Standing, Writer};
use crate::pg::Session;

/// Blocks of zeros in which there once was something to see, and to which no entry leads any more: whoever has met one there may have taken
/// it out of the index.
pub(super) async fn once_visible(
    session: &Session,
    (facts, table): (&Facts, &TableFacts),
    zeros: &Numbers,
) -> Result<BTreeSet<u32>, SalvageError> {
    if zeros.is_empty() {
        return Ok(BTreeSet::new());
    }
    let map = visibility_map(session, facts, table).await?;
    let mut found = BTreeSet::new();
    let mut from = 0;
    while let Some(block) = zeros.first_of((from, u32::MAX)) {
        if all_visible(&map, block) == Some(true) {
            found.insert(block);
        }
        from = block.saturating_add(1);
    }
    Ok(found)
}

/// What the entries of an index tell.
pub(super) struct Told {
    /// How many lead to rows of which another version was read.
    pub read: u64,
    /// Where rows with other keys are.
    pub others: Others,
    /// Blocks of zeros to which none leads.
    pub zeros: Numbers,
    /// Those that lead to rows which were not read.
    pub missing: Missing,
}

impl Told {
    /// Adds what became of a row that was not read itself, as its page has it.
    fn add(
        &mut self,
        (block, one): (Block<'_>, &Kept),
        (standing, is_anothers): (Standing, bool),
    ) -> Result<(), SalvageError> {
        let is_odd = self.others.blocks.has(one.place.0);
        let was_visible = block.all_visible == Some(true);
        let standing = match standing {
            Standing::Read if one.is_dead => return Ok(()),
            Standing::Read => {
                self.read += 1;
                self.others.count += u64::from(is_anothers);
                if is_anothers {
                    Standing::Perhaps
                } else {
                    Standing::Read
                }
            }
            // What became of another's row is not what became of this one.
            Standing::Gone if is_odd => Standing::Perhaps,
            Standing::Lost if (is_anothers || one.is_dead) && !was_visible => Standing::Perhaps,
            standing => standing,
        };
        self.missing.add(standing, Some(&one.entry()))
    }
}

/// What became of the rows that were not read.
pub(super) async fn judge(
    session: &Session,
    (facts, (table, index)): (&Facts, (&TableFacts, &IndexFacts)),
    (mut candidates, known, fates): (Merged, Known<'_>, &mut Fates<'_>),
    told: &mut Told,
) -> Result<(), SalvageError> {
    let compared = Compared::of(facts, table, index);
    let mut next = candidates.window()?;
    if next.is_none() {
        return Ok(());
    }
    let map = visibility_map(session, facts, table).await?;
    while let Some(window) = next {
        let pages = known
            .pages(session, table, (window.first, window.count))
            .await?;
        let blocks = blocks_of(&window, (&pages, &map), (table, known));
        let block_of = |one: &Kept| blocks.get(window.number_of(one.place)).copied();
        let entries = window.entries.iter();
        let entries: Vec<(Block<'_>, &Kept)> = entries
            .filter_map(|one| Some((block_of(one)?, one)))
            .collect();
        let wanted: BTreeSet<Writer> = entries
            .iter()
            .flat_map(|(block, one)| block.writers(one.place.1))
            .collect();
        fates.ask(session, wanted).await?;
        let fate = |writer| fates.of(writer);
        let mut judged = Vec::with_capacity(entries.len());
        for (block, one) in &entries {
            let standing = block.standing(one.place.1, &fate);
            // That the server has marked one as dead may be because of damage, but not that its row was read.
            let is_meant = standing != Standing::Read || !one.is_dead;
            let is_anothers = is_meant
                && compared.is_some_and(|compared| compared.is_anothers(block, &one.entry()));
            told.zeros.set(one.place.0, false);
            if is_anothers {
                told.others.blocks.set(one.place.0, true);
            }
            judged.push((standing, is_anothers));
        }
        for (entry, judged) in entries.into_iter().zip(judged) {
            told.add(entry, judged)?;
        }
        next = candidates.window()?;
    }
    Ok(())
}

/// The blocks of a window, and what is known of them.
fn blocks_of<'a>(
    window: &Window,
    (pages, map): (&'a [Option<Vec<u8>>], &[u8]),
    (table, known): (&TableFacts, Known<'_>),
) -> Vec<Block<'a>> {
    let pages = (0..window.count).zip(pages);
    pages
        .map(|(number, page)| {
            let block = window.first.saturating_add(number);
            Block {
                page: page.as_deref(),
                all_visible: all_visible(map, block),
                read: known.seen.of(block),
                is_trusted: known.beforehand.is_trusted(table, block),
            }
        })
        .collect()
}
