//! What pages say of themselves, before the server is asked for what is on them: rows that cannot be what they claim are never asked for,
//! and what the server would refuse to take from disk is refused here as well.
//!
//! The server looks at a page when it reads it from disk, and never again while it is in memory. If somebody has told it to let a page pass,
//! it shows what is on it to everybody after him. So the bytes on disk are looked at, of tables and of their TOAST; of a server that is in use
//! they say little, and only rows that do not hold together count.
//!
//! What the server takes for deleted it may clear away when it reads the page, whoever reads. So a page that tells of its rows what may not be
//! true is kept as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use super::SalvageError;
use super::account::{Cause, DamageClass};
use super::checksum::refused;
use super::facts::{Facts, TableFacts};
use super::files::Shape;
use super::on_disk::{PAGES, each_page};
use super::page::suspects;
use super::probe::Probe;
use super::sight::patient_session;
use super::standing::may_contradict;
use super::survey::held;
use super::toast::{out_of_line, values_on};
use crate::pg::{Connector, Session};
use crate::plan::Place;

/// Pages that are kept, of all tables: 32 MB.
const KEPT: usize = 4096;

/// What was seen, by table.
#[derive(Debug, Default)]
pub(super) struct Beforehand {
    tables: Mutex<BTreeMap<u32, OfTable>>,
    /// Pages as they were, by table and block.
    kept: Mutex<BTreeMap<(u32, u32), Vec<u8>>>,
}

/// What was seen of one.
#[derive(Debug, Default)]
struct OfTable {
    /// Rows that cannot be what their page says: the server is never asked for them.
    suspects: BTreeSet<Place>,
    /// Pages that the server would not take from disk, and why: it may have them in memory all the same.
    refused: BTreeMap<u32, &'static str>,
    /// Values with parts on such pages of TOAST, by number: on which.
    values: BTreeMap<u32, u32>,
    /// The attributes of rows, from 0, that are such values.
    out_of_line: BTreeMap<Place, BTreeMap<usize, u32>>,
}

impl OfTable {
    /// Why a value of TOAST that is among these rows must not be read.
    fn value(
        &self,
        (from, to): (Place, Place),
        attribute: Option<usize>,
        toast: &str,
    ) -> Option<Cause> {
        let rows = self.out_of_line.range(from..to);
        let mut blocks = rows.filter_map(|(_, values)| match attribute {
            None => values.values().next(),
            Some(attribute) => values.get(&attribute),
        });
        let block = blocks.next()?;
        Some(invalid(*block, toast, "its checksum is wrong"))
    }
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

impl Beforehand {
    fn look_at_page(&self, facts: &Facts, table: &TableFacts, (block, page): (u32, &[u8])) {
        let quiet = &facts.quiet;
        let why = quiet
            .is_cold()
            .then(|| refused(page, block, quiet.checksums))
            .flatten();
        if quiet.is_cold() && may_contradict(page) {
            let mut kept = held(&self.kept);
            if kept.len() < KEPT {
                kept.insert((table.oid.0, block), page.to_vec());
            }
        }
        let found = suspects(page, &table.attributes);
        let mut tables = held(&self.tables);
        let known = tables.get(&table.oid.0);
        let values = known.map_or_else(Vec::new, |of| {
            let is_hurt = !of.values.is_empty();
            let all = is_hurt.then(|| out_of_line(page, &table.attributes));
            let all = all.unwrap_or_default().into_iter();
            all.filter_map(|one| Some((one, *of.values.get(&one.value)?)))
                .collect()
        });
        if found.is_empty() && values.is_empty() && why.is_none() {
            return;
        }
        let of = tables.entry(table.oid.0).or_default();
        of.suspects
            .extend(found.into_iter().map(|offset| (block, offset)));
        of.refused.extend(why.map(|why| (block, why)));
        for (one, on) in values {
            let row = of.out_of_line.entry((block, one.offset)).or_default();
            row.insert(one.attribute, on);
        }
    }

    /// A page as it was before the server read it, if it was kept; and otherwise as it is now.
    pub fn page(&self, table: &TableFacts, block: u32, now: Option<Vec<u8>>) -> Option<Vec<u8>> {
        let kept = held(&self.kept);
        kept.get(&(table.oid.0, block)).cloned().or(now)
    }

    /// Suspicious rows among these places.
    pub fn suspects(&self, table: &TableFacts, from: Place, to: Place) -> Vec<Place> {
        let tables = held(&self.tables);
        let of_table = tables.get(&table.oid.0);
        of_table.map_or_else(Vec::new, |of| {
            of.suspects.range(from..to).copied().collect()
        })
    }

    /// Why something must not be asked for, if it must not. In doubt, whatever the server would refuse may be asked for all the same.
    pub fn forbids(&self, table: &TableFacts, (probe, doubtful): (Probe, bool)) -> Option<Cause> {
        let tables = held(&self.tables);
        let of = tables.get(&table.oid.0)?;
        let (from, to) = match probe {
            Probe::Blocks { from, to } => ((from, 0), (to, 0)),
            Probe::Plain => ((0, 0), (u32::MAX, 0)),
            Probe::Page { block } => ((block, 0), (block, 0)),
            Probe::Rows { block, from, to } => ((block, from), (block, to)),
            Probe::Row { place } | Probe::Column { place, .. } => {
                (place, (place.0, place.1.saturating_add(1)))
            }
            Probe::Open => return None,
        };
        if !doubtful {
            let pages = match probe {
                Probe::Blocks { from, to } => of.refused.range(from..to).next(),
                Probe::Plain => of.refused.first_key_value(),
                _ => of.refused.get_key_value(&from.0),
            };
            if let Some((block, why)) = pages {
                return Some(invalid(*block, &table.path, why));
            }
            let toast = table.toast.as_ref().map_or("", |(path, _)| path.as_str());
            let attribute = match probe {
                Probe::Column { column, .. } => {
                    Some(table.columns.get(usize::from(column))?.attribute)
                }
                _ => None,
            };
            let is_of_values = !matches!(probe, Probe::Row { .. } | Probe::Page { .. });
            let value = is_of_values.then(|| of.value((from, to), attribute, toast));
            if let Some(cause) = value.flatten() {
                return Some(cause);
            }
        }
        // Suspicious rows are left out of a query for rows of a page.
        if matches!(probe, Probe::Rows { .. } | Probe::Page { .. }) {
            return None;
        }
        let (block, offset) = of.suspects.range(from..to).next()?;
        Some(Cause::silent(format!(
            "row ({block},{offset}) is not within its page, or its values are not within the row"
        )))
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

    /// Looks at some of a table.
    pub async fn at(
        &mut self,
        table: &TableFacts,
        (mut first, end): (u32, u32),
    ) -> Result<(), SalvageError> {
        let place = (table.path.as_str(), &table.shape);
        while first < end {
            let count = PAGES.min(end - first);
            let pages = self.pages(place, first, count).await?;
            for (block, page) in (first..).zip(pages) {
                if let Some(page) = page {
                    self.beforehand
                        .look_at_page(self.facts, table, (block, &page));
                }
            }
            first += count;
        }
        Ok(())
    }

    /// Looks at a table's TOAST, of a server whose pages have checksums.
    pub async fn at_toast(&mut self, table: &TableFacts) -> Result<(), SalvageError> {
        let Some((path, shape)) = &table.toast else {
            return Ok(());
        };
        let mut first = 0;
        while first < shape.reached {
            let count = PAGES.min(shape.reached - first);
            let pages = self.pages((path.as_str(), shape), first, count).await?;
            for (block, page) in (first..).zip(pages) {
                let page = page.filter(|page| refused(page, block, true).is_some());
                let values = page.map(|page| values_on(&page)).unwrap_or_default();
                if !values.is_empty() {
                    let mut tables = held(&self.beforehand.tables);
                    let of = tables.entry(table.oid.0).or_default();
                    of.values
                        .extend(values.into_iter().map(|value| (value, block)));
                }
            }
            first += count;
        }
        Ok(())
    }

    /// Pages of a relation. A server that is brought down meanwhile by what somebody else reads is waited for.
    async fn pages(
        &mut self,
        place: (&str, &Shape),
        first: u32,
        count: u32,
    ) -> Result<Vec<Option<Vec<u8>>>, SalvageError> {
        loop {
            match each_page(&self.session, place, first, count).await {
                Err(SalvageError::Pg(error)) if error.is_lost_connection() => {
                    self.session = patient_session(self.source).await?;
                }
                pages => return pages,
            }
        }
    }
}
