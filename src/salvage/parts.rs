//! Which values out of line cannot be had, by the bytes of TOAST and of its index: where a file of it is gone there may be millions, and the
//! server would have to be asked for each by itself.
//!
//! A value is cut into parts, and the index leads to each. A value of which one part would be where nothing is cannot be read; without
//! the index, none can. That is held against what the server says of the first and the last such value: if it shows one of them, nothing
//! is taken for lost that it has not refused. Layouts: `toast_internals.c`, `nbtree.h`.

use super::SalvageError;
use super::beforehand::Look;
use super::checksum::refused;
use super::files::Shape;
use super::lost_values::Gone;
use super::on_disk::{PAGES, each_page};
use super::one_table::TableSearch;
use super::page::{BLOCK, BtreePage, btree, is_meta, u32_at};
use super::probe::Probe;
use super::proven::Numbers;
use super::quarantine::Question;
use super::sight::Sight;
use super::survey::Progress;
use crate::pg::Session;

impl TableSearch<'_> {
    /// Learns it of a table that is damaged, and looks once more for the rows that have such values, among those that could not be read.
    pub(super) async fn learn_of_values(
        &self,
        sight: &mut Sight,
        progress: &Progress,
    ) -> Result<(), SalvageError> {
        let (facts, beforehand) = (&self.shared.facts, &self.shared.beforehand);
        if !facts.quiet.is_cold() || self.table.toast.is_none() {
            return Ok(());
        }
        let mut look = Look::new(beforehand, facts, self.survey.source).await?;
        let gone = self.gone(look.session()).await?;
        if gone.is_nothing() {
            return Ok(());
        }
        beforehand.learn(self.table, &gone);
        for &run in &progress.failed {
            look.at(self.table, run).await?;
        }
        for (place, column) in beforehand.learned(self.table) {
            let question = Question {
                table: self.table.oid.0,
                probe: Probe::Column { place, column },
                doubtful: false,
            };
            let asking = self.shared.read_column(sight, self.table, question.probe);
            let read = self.shared.ask_once(question, asking).await?;
            if read.is_ok_and(|places| places.rows > 0) {
                beforehand.unlearn(self.table);
                break;
            }
        }
        Ok(())
    }

    async fn gone(&self, session: &Session) -> Result<Gone, SalvageError> {
        let all = |why| Gone {
            all: Some(why),
            ..Gone::default()
        };
        let (Some((path, shape)), Some(index)) = (&self.table.toast, &self.table.toast_index)
        else {
            return Ok(Gone::default());
        };
        let of_index = self.shared.facts.shape_of(index);
        if shape.reached == 0 {
            return Ok(all("the file that they are in is not there, or empty"));
        }
        if of_index.reached == 0 {
            return Ok(all("the index that leads to them is not there, or empty"));
        }
        let missing = self.missing_pages(session, (path, shape)).await?;
        let mut gone = Gone::default();
        let place = (index.as_str(), &of_index);
        let mut first = 0;
        while first < of_index.reached {
            let count = PAGES.min(of_index.reached - first);
            let pages = each_page(session, place, first, count).await?;
            for (number, page) in (first..).zip(pages) {
                let page = page.unwrap_or_default();
                if number == 0 && !is_meta(&page) {
                    return Ok(all("the index that leads to them is damaged"));
                }
                // What a damaged leaf leads to is asked for.
                let BtreePage::Leaf { entries, .. } = btree(&page) else {
                    continue;
                };
                for entry in entries {
                    let block = entry.place.0;
                    let is_missing = block >= shape.reached || missing.has(block);
                    if let Some(value) = u32_at(entry.key, 0).filter(|_| is_missing) {
                        gone.missing.set(value, true);
                    }
                }
            }
            first += count;
        }
        Ok(gone)
    }

    /// Pages of TOAST that the server does not take from disk, or on which there is nothing.
    async fn missing_pages(
        &self,
        session: &Session,
        (path, shape): (&str, &Shape),
    ) -> Result<Numbers, SalvageError> {
        let checksums = self.shared.facts.quiet.checksums;
        let mut missing = Numbers::default();
        let mut first = 0;
        while first < shape.reached {
            let count = PAGES.min(shape.reached - first);
            let pages = each_page(session, (path, shape), first, count).await?;
            for (block, page) in (first..).zip(pages) {
                let is_there = |page: &Vec<u8>| {
                    let is_zero = page.len() == BLOCK && page.iter().all(|&byte| byte == 0);
                    !is_zero && refused(page, block, checksums).is_none()
                };
                if !page.as_ref().is_some_and(is_there) {
                    missing.set(block, true);
                }
            }
            first += count;
        }
        Ok(missing)
    }
}
