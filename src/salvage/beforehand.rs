//! What pages say of themselves, before the server is asked for what is on them: rows that cannot be what they claim are never asked for,
//! and what the server would refuse to take from disk is refused here as well.
//!
//! The server looks at a page when it reads it from disk, and never again while it is in memory. If somebody has told it to let a page pass,
//! it shows what is on it to everybody after him. So the bytes on disk are looked at, of tables and of their TOAST; of a server that is in use
//! they say little, and only rows that do not hold together count.
//!
//! What the server takes for deleted it may clear away when it reads the page, whoever reads. So a page that tells of its rows what may not be
//! true is kept as it was, however many such there are: rows of transactions that came to nothing are on many a sound page.
//!
//! And what a page proves by itself (`sound`), the server is not asked for at all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use super::SalvageError;
use super::account::{Cause, DamageClass};
use super::checksum::refused;
use super::counted::has_loose_rows;
use super::facts::{Facts, TableFacts};
use super::files::Shape;
use super::lost_values::{Gone, LostValues, Why};
use super::on_disk::{PAGES, show_pages};
use super::page::{BLOCK, PageState, state};
use super::probe::Probe;
use super::proven::{Left, Numbers, Proven};
use super::quarantine::Question;
use super::seen::{Offsets, Seen};
use super::sight::patient_session;
use super::sound::{Judged, Rules, judge};
use super::spill::{Pages, Scratch};
use super::standing::{depends_on, may_contradict};
use super::survey::held;
use super::toast::values_on;
use super::twins::Twins;
use crate::pg::{Connector, Session};
use crate::plan::Place;

/// Values that are lost, and named in one query: from the first version on that looks them up in a table of hashes, and before.
const NAMED: usize = 10_000;
const NAMED_ONE_BY_ONE: usize = 500;
pub(super) const HASHES_LISTS: u32 = 14;

/// What was seen, by table.
#[derive(Debug, Default)]
pub(super) struct Beforehand {
    /// Text is UTF-8.
    utf8: bool,
    major: u32,
    tables: Mutex<BTreeMap<u32, OfTable>>,
    /// Pages as they were.
    kept: Option<Pages>,
}

/// What was seen of one.
#[derive(Debug, Default)]
struct OfTable {
    /// Rows that cannot be what their page says: the server is never asked for them.
    suspects: Seen,
    /// Pages that the server would not take from disk, by why not: it may have them in memory all the same.
    refused: BTreeMap<&'static str, Numbers>,
    /// Pages of zeros.
    zeros: Numbers,
    /// Pages that are there twice.
    twins: Twins,
    /// Values out of line that cannot be had.
    gone: Gone,
    /// Values of rows that are lost: those, and others that nobody takes.
    lost: LostValues,
    /// What the bytes prove.
    proven: Proven,
}

/// As the server says it.
fn invalid(block: u32, path: &str, why: &str) -> Cause {
    Cause {
        class: DamageClass::Corrupted,
        ..Cause::silent(format!(
            "invalid page in block {block} of relation {path}: {why}"
        ))
    }
}

impl OfTable {
    /// The first page in a run of blocks that the server would not take from disk, and why not.
    fn refused_in(&self, run: (u32, u32)) -> Option<(u32, &'static str)> {
        let pages = self.refused.iter();
        pages
            .filter_map(|(why, blocks)| Some((blocks.first_of(run)?, *why)))
            .min()
    }

    /// What the bytes of a page tell, of a source that nobody uses.
    fn take_in(&mut self, block: u32, judged: Judged) {
        let mut unproven = judged.unproven;
        for one in judged.out_of_line {
            match self.gone.why(one.value) {
                Some(why) => self.lost.add((block, one.offset), (one.attribute, why)),
                None => _ = unproven.insert(one.attribute),
            }
        }
        for (offset, attribute, why) in judged.refused {
            let value = (attribute, Why::Untaken(why));
            self.lost.add((block, offset), value);
        }
        self.proven.note_keys(block, judged.keys);
        self.proven.note_rows(block, judged.rows.is_some());
        match judged.rows.filter(|_| unproven.is_empty()) {
            Some(rows) => self.proven.insert(block, rows),
            None => self.proven.remove(block, unproven),
        }
    }
}

/// The rows that a probe is about.
fn rows_of(probe: Probe) -> Option<(Place, Place)> {
    Some(match probe {
        Probe::Blocks { from, to } | Probe::Rest { from, to } => ((from, 0), (to, 0)),
        Probe::Plain => ((0, 0), (u32::MAX, 0)),
        Probe::Page { block } => ((block, 0), (block, 0)),
        Probe::Rows { block, from, to } => ((block, from), (block, to)),
        Probe::Row { place } | Probe::Column { place, .. } => {
            (place, (place.0, place.1.saturating_add(1)))
        }
        Probe::Open => return None,
    })
}

impl Beforehand {
    /// Of a server of this version, whose text is UTF-8, or not.
    pub fn of(major: u32, utf8: bool, scratch: &Arc<Scratch>) -> Self {
        Self {
            utf8,
            major,
            kept: Some(Pages::new(scratch)),
            ..Self::default()
        }
    }

    fn look_at_page(
        &self,
        facts: &Facts,
        table: &TableFacts,
        (block, page): (u32, &[u8]),
    ) -> Result<(), SalvageError> {
        let quiet = &facts.quiet;
        let is_cold = quiet.is_cold();
        let why = is_cold
            .then(|| refused(page, block, quiet.checksums))
            .flatten();
        let record = &facts.record;
        if is_cold
            && (may_contradict(page)
                || has_loose_rows(page)
                || !record.is_whole() && depends_on(page, |xid| record.lacks(xid)))
            && let (Some(kept), Ok(page)) = (&self.kept, <&[u8; BLOCK]>::try_from(page))
        {
            kept.keep((table.oid.0, block), page)?;
        }
        let rules = Rules {
            utf8: self.utf8,
            next_transaction: facts.next_transaction_id(),
        };
        let judged = judge(page, table.layout(), rules);
        let mut tables = held(&self.tables);
        let of = tables.entry(table.oid.0).or_default();
        for &offset in &judged.suspects {
            of.suspects.insert_nearest((block, offset));
        }
        match why {
            Some(why) => of.refused.entry(why).or_default().set(block, true),
            None if is_cold => {
                of.zeros.set(block, state(page) == PageState::Zeros);
                of.twins.add(block, page);
                of.take_in(block, judged);
            }
            None => {}
        }
        Ok(())
    }

    /// Whether a page may say what became of its rows: not one that the server would not take from disk, nor one that is there twice.
    pub fn is_trusted(&self, table: &TableFacts, block: u32) -> bool {
        let tables = held(&self.tables);
        let is_refused = |of: &OfTable| of.refused.values().any(|blocks| blocks.has(block));
        let of_table = tables.get(&table.oid.0);
        of_table.is_none_or(|of| !of.twins.has(block) && !is_refused(of))
    }

    /// Pages of zeros, of a source that nobody uses.
    pub fn zeros(&self, table: &TableFacts) -> Numbers {
        let tables = held(&self.tables);
        let of_table = tables.get(&table.oid.0);
        of_table.map_or_else(Numbers::default, |of| of.zeros.clone())
    }

    /// A page as it was before the server read it, if it was kept; and otherwise as it is now.
    pub fn page(
        &self,
        table: &TableFacts,
        block: u32,
        now: Option<Vec<u8>>,
    ) -> Result<Option<Vec<u8>>, SalvageError> {
        let kept = self.kept.as_ref();
        let kept = kept.map(|kept| kept.get((table.oid.0, block)));
        Ok(kept.transpose()?.flatten().or(now))
    }

    /// Suspicious rows of a block.
    pub fn suspects_of(&self, table: &TableFacts, block: u32) -> Offsets {
        let tables = held(&self.tables);
        let of_table = tables.get(&table.oid.0);
        of_table.map_or_else(Offsets::default, |of| of.suspects.of(block))
    }

    /// All suspicious rows.
    pub fn suspects(&self, table: &TableFacts) -> Seen {
        let tables = held(&self.tables);
        let of_table = tables.get(&table.oid.0);
        of_table.map_or_else(Seen::default, |of| of.suspects.clone())
    }

    /// Whether values of a run of blocks are known to be lost.
    pub fn knows_losses(&self, table: &TableFacts, run: (u32, u32)) -> bool {
        let tables = held(&self.tables);
        let of_table = tables.get(&table.oid.0);
        of_table.is_some_and(|of| of.lost.are_in(run))
    }

    /// Rows of a run of blocks of which values are lost; some of them more than once.
    pub fn rows_with_losses(&self, table: &TableFacts, run: (u32, u32)) -> Vec<Place> {
        let tables = held(&self.tables);
        let lost = tables.get(&table.oid.0).map(|of| of.lost.of(run));
        let places = lost.into_iter().flatten().map(|(place, _)| place);
        places.collect()
    }

    /// The columns of a row whose values are lost.
    pub fn losses_of(&self, table: &TableFacts, row: Place) -> BTreeSet<u16> {
        let tables = held(&self.tables);
        let of = tables.get(&table.oid.0);
        let lost = of.into_iter().flat_map(|of| of.lost.of_row(row));
        lost.filter_map(|(attribute, _)| table.column_of(attribute))
            .collect()
    }

    /// Of these, the ones that are lost whatever pages a server lets pass.
    pub fn hopeless(&self, table: &TableFacts, row: Place) -> BTreeSet<u16> {
        let tables = held(&self.tables);
        let of = tables.get(&table.oid.0);
        let lost = of.into_iter().flat_map(|of| of.lost.of_row(row));
        let hopeless = lost.filter(|(_, why)| !why.is_for_a_checksum());
        hopeless
            .filter_map(|(attribute, _)| table.column_of(attribute))
            .collect()
    }

    /// The columns of which values are lost, of any row.
    pub fn losses(&self, table: &TableFacts) -> BTreeSet<u16> {
        let tables = held(&self.tables);
        let of = tables.get(&table.oid.0);
        let lost = of.into_iter().flat_map(|of| of.lost.attributes());
        lost.filter_map(|attribute| table.column_of(attribute))
            .collect()
    }

    /// What of a question the bytes have answered: where rows are, and what is left to be asked. Nothing, if it is not a question about
    /// blocks that nobody uses.
    pub fn answer(
        &self,
        (facts, table): (&Facts, &TableFacts),
        question: Question,
    ) -> Option<(Seen, Option<Left>)> {
        let blocks = match question.probe {
            Probe::Blocks { from, to } | Probe::Rest { from, to } => (from, to),
            _ => return None,
        };
        if question.doubtful || !facts.quiet.is_cold() {
            return None;
        }
        let tables = held(&self.tables);
        let of = tables.get(&table.oid.0)?;
        let (seen, mut left) = of.proven.of(blocks);
        if let Some(left) = left.as_mut() {
            left.without = of.lost.of(left.blocks);
        }
        Some((seen, left))
    }

    /// Why something must not be asked for, if it must not. In doubt, what the server would refuse because of a checksum may be asked for all
    /// the same.
    pub fn forbids(&self, table: &TableFacts, (probe, doubtful): (Probe, bool)) -> Option<Cause> {
        let tables = held(&self.tables);
        let of = tables.get(&table.oid.0)?;
        let (from, to) = rows_of(probe)?;
        if !doubtful {
            let blocks = match probe {
                Probe::Blocks { .. } | Probe::Rest { .. } | Probe::Plain => (from.0, to.0),
                _ => (from.0, from.0.saturating_add(1)),
            };
            if let Some((block, why)) = of.refused_in(blocks) {
                return Some(invalid(block, &table.path, why));
            }
        }
        let attribute = match probe {
            Probe::Column { column, .. } => Some(table.columns.get(usize::from(column))?.attribute),
            _ => None,
        };
        // By COPY alone the rest of a row could not be had either.
        let is_meant = |why: Why| match why {
            Why::Untaken(_) => probe != Probe::Plain,
            _ => !(doubtful && why.is_for_a_checksum()),
        };
        let is_of_values = !matches!(
            probe,
            Probe::Row { .. } | Probe::Page { .. } | Probe::Rest { .. }
        );
        let value = is_of_values.then(|| of.lost.first_of((from, to), attribute, is_meant));
        if let Some((place, why)) = value.flatten() {
            return Some(why.cause(place, table));
        }
        // Suspicious rows are left out of a query for rows of a page.
        if matches!(probe, Probe::Rows { .. } | Probe::Page { .. }) {
            return None;
        }
        if let Some((block, offset)) = of.suspects.first_of((from, to)) {
            return Some(Cause::silent(format!(
                "row ({block},{offset}) reaches beyond its page, or its values reach beyond the row"
            )));
        }
        let named = self.named();
        let is_too_much = matches!(probe, Probe::Rest { from, to } if to - from > 1)
            && of.lost.are_more_than(named, (from.0, to.0));
        is_too_much.then(|| Cause::silent(format!("more than {named} values are lost")))
    }

    fn named(&self) -> usize {
        if self.major >= HASHES_LISTS {
            NAMED
        } else {
            NAMED_ONE_BY_ONE
        }
    }

    /// Whether the bytes of a run of blocks tell where these have rows.
    pub fn tells_rows(&self, table: &TableFacts, run: (u32, u32)) -> bool {
        let tables = held(&self.tables);
        let of_table = tables.get(&table.oid.0);
        of_table.is_some_and(|of| of.proven.tells_rows(run))
    }

    /// Whether the bytes prove all values of these rows, but for those that are lost.
    pub fn proves(&self, (facts, table): (&Facts, &TableFacts), seen: &Seen) -> bool {
        let tables = held(&self.tables);
        let of_table = tables.get(&table.oid.0);
        facts.quiet.is_cold() && of_table.is_some_and(|of| of.proven.proves(seen))
    }

    /// Whether an index may have other keys for the rows of a block, which it leads to, than these have.
    pub fn may_have_other_keys(&self, table: &TableFacts, block: u32, sum: u32) -> bool {
        let tables = held(&self.tables);
        let of_table = tables.get(&table.oid.0);
        of_table.is_some_and(|of| of.proven.may_have_other_keys(block, sum))
    }

    /// Learns which values out of line cannot be had. The rows that have them are known when they are looked at once more.
    pub fn learn(&self, table: &TableFacts, gone: &Gone) {
        let mut tables = held(&self.tables);
        let of = tables.entry(table.oid.0).or_default();
        of.gone.extend(gone);
    }

    /// The first and the last value that is lost because of what was learned.
    pub fn learned(&self, table: &TableFacts) -> Vec<(Place, u16)> {
        let tables = held(&self.tables);
        let is_copied = |attribute| table.column_of(attribute).is_some();
        let of = tables.get(&table.oid.0);
        let learned = of.map(|of| of.lost.learned(is_copied));
        let values = learned.into_iter().flatten();
        values
            .filter_map(|(place, attribute)| Some((place, table.column_of(attribute)?)))
            .collect()
    }

    /// It was not so: nothing is known of values out of line, but for those that a checksum tells of.
    pub fn unlearn(&self, table: &TableFacts) {
        let mut tables = held(&self.tables);
        let of = tables.entry(table.oid.0).or_default();
        of.gone.unlearn();
        for (attribute, rows) in of.lost.unlearn() {
            for block in rows.blocks() {
                of.proven.remove(block, [attribute]);
            }
        }
    }
}

/// Looks at pages.
pub(super) struct Look<'a> {
    beforehand: &'a Beforehand,
    facts: &'a Facts,
    source: &'a Connector,
    session: Session,
}

impl<'a> Look<'a> {
    /// With a session of its own.
    pub async fn new(
        beforehand: &'a Beforehand,
        facts: &'a Facts,
        source: &'a Connector,
    ) -> Result<Self, SalvageError> {
        Ok(Self {
            beforehand,
            facts,
            source,
            session: patient_session(source).await?,
        })
    }

    /// For other questions.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Looks at some of a table.
    pub async fn at(
        &mut self,
        table: &TableFacts,
        (mut first, end): (u32, u32),
    ) -> Result<(), SalvageError> {
        let (beforehand, facts) = (self.beforehand, self.facts);
        let look = |block, page: Option<&[u8]>| match page {
            Some(page) => beforehand.look_at_page(facts, table, (block, page)),
            None => Ok(()),
        };
        while first < end {
            let count = PAGES.min(end - first);
            self.show((table.path.as_str(), &table.shape), (first, count), look)
                .await?;
            first += count;
        }
        Ok(())
    }

    /// Looks at a table's TOAST, of a server whose pages have checksums.
    pub async fn at_toast(&mut self, table: &TableFacts) -> Result<(), SalvageError> {
        let Some((path, shape)) = &table.toast else {
            return Ok(());
        };
        let beforehand = self.beforehand;
        let look = |block, page: Option<&[u8]>| {
            let page = page.filter(|page| refused(page, block, true).is_some());
            let values = page.map(values_on).unwrap_or_default();
            let mut gone = Gone::default();
            for value in values {
                gone.refused.set(value, true);
            }
            if !gone.is_nothing() {
                beforehand.learn(table, &gone);
            }
            Ok(())
        };
        let mut first = 0;
        while first < shape.reached {
            let count = PAGES.min(shape.reached - first);
            self.show((path.as_str(), shape), (first, count), look)
                .await?;
            first += count;
        }
        Ok(())
    }

    /// Shows pages of a relation. A server that is brought down meanwhile by what somebody else reads is waited for.
    async fn show(
        &mut self,
        place: (&str, &Shape),
        pages: (u32, u32),
        look: impl Fn(u32, Option<&[u8]>) -> Result<(), SalvageError>,
    ) -> Result<(), SalvageError> {
        loop {
            match show_pages(&self.session, place, pages, &look).await {
                Err(SalvageError::Pg(error)) if error.is_lost_connection() => {
                    self.session = patient_session(self.source).await?;
                }
                shown => return shown,
            }
        }
    }
}
