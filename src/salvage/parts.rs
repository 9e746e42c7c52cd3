//! Which values out of line cannot be had, by the bytes of TOAST and of its index: where a file of it is gone there may be millions, and the
//! server would have to be asked for each by itself.
//!
//! A value is cut into parts, and the index leads to each. A value of which one part would be where nothing is cannot be read; without
//! the index, none can. That is held against what the server says of the first and the last such value: if it shows one of them, nothing
//! is taken for lost that it has not refused. Layouts: `toast_internals.c`, `nbtree.h`.

use super::SalvageError;
use super::beforehand::Look;
use super::checksum::refused;
use super::crosscheck::each_entry;
use super::files::Shape;
use super::lost_values::Gone;
use super::on_disk::{PAGES, each_page};
use super::one_table::TableSearch;
use super::page::{BtreePage, IndexEntry, PageState, btree, is_meta, state, u32_at};
use super::probe::Probe;
use super::proven::Numbers;
use super::quarantine::Question;
use super::sight::Sight;
use super::survey::Progress;
use crate::pg::{PgError, Session};

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
            let unexplained = sight.unexplained();
            let asking = self.shared.read_column(sight, self.table, question.probe);
            let asked = self.shared.ask_once((question, unexplained), asking);
            let read = asked.await?;
            if read.is_ok_and(|places| places.rows > 0) {
                beforehand.unlearn(self.table);
                break;
            }
        }
        Ok(())
    }

    /// What is to be said of values that are lost, if the index that leads to them is damaged, and what they are in is whole.
    pub(super) async fn remedy_of_values(
        &self,
        session: &Session,
    ) -> Result<Option<String>, SalvageError> {
        let table = self.table;
        let (Some((path, shape)), Some(index)) = (&table.toast, &table.toast_index) else {
            return Ok(None);
        };
        let is_whole = shape.reached > 0 && table.toast_wrong.is_empty();
        if !is_whole || !self.shared.facts.quiet.is_cold() {
            return Ok(None);
        }
        let of_index = self.shared.facts.shape_of(index);
        let how = match of_index.wrong.first() {
            Some(how) => how.clone(),
            None => match each_entry(session, (index.as_str(), &of_index), |_| Ok(())).await? {
                Ok(()) => return Ok(None),
                Err(how) => how,
            },
        };
        let hidden = self.hidden_pages(session, (path, shape)).await?;
        if !hidden.missing.is_empty() || !hidden.refused.is_empty() {
            return Ok(None);
        }
        let sql = format!(
            "select reltoastrelid::pg_catalog.regclass::text as name from pg_catalog.pg_class where oid = {}",
            table.oid.0
        );
        let rows = match session.query_text("the name of TOAST", &sql, &[]).await {
            Ok(rows) => rows,
            // There is nothing to be said then.
            Err(PgError::Server { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let name: Option<String> = rows.first().map(|row| row.get("name")).transpose()?;
        Ok(name.map(|name| {
            format!(
                "the index of its long values is damaged ({how}), but the file that holds them is not: on a copy of the files that is thrown \
                 away afterwards, REINDEX TABLE {name} lets the server find them again; then salvage that copy"
            )
        }))
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
            return Ok(all("the file that holds them is missing or empty"));
        }
        if of_index.reached == 0 {
            return Ok(all("the index that leads to them is missing or empty"));
        }
        let hidden = self.hidden_pages(session, (path, shape)).await?;
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
                let BtreePage::Leaf { mut entries, .. } = btree(&page) else {
                    continue;
                };
                entries.retain(|entry| !entry.is_dead);
                for (value, block) in in_order(&entries) {
                    if block >= shape.reached || hidden.missing.has(block) {
                        gone.missing.set(value, true);
                    } else if hidden.refused.has(block) {
                        gone.led.set(value, true);
                    }
                }
            }
            first += count;
        }
        Ok(gone)
    }

    /// Pages of TOAST of which the server shows nothing.
    async fn hidden_pages(
        &self,
        session: &Session,
        (path, shape): (&str, &Shape),
    ) -> Result<Hidden, SalvageError> {
        let checksums = self.shared.facts.quiet.checksums;
        let mut hidden = Hidden::default();
        let mut first = 0;
        while first < shape.reached {
            let count = PAGES.min(shape.reached - first);
            let pages = each_page(session, (path, shape), first, count).await?;
            for (block, page) in (first..).zip(pages) {
                let page = page.unwrap_or_default();
                let is_zero = matches!(state(&page), PageState::Zeros);
                let is_refused = |checksums| refused(&page, block, checksums).is_some();
                if is_zero || is_refused(false) {
                    hidden.missing.set(block, true);
                } else if is_refused(checksums) {
                    hidden.refused.set(block, true);
                }
            }
            first += count;
        }
        Ok(hidden)
    }
}

/// Pages of TOAST of which a server shows nothing.
#[derive(Default)]
struct Hidden {
    /// Those that are not there, or cannot be read; and those on which there is nothing.
    missing: Numbers,
    /// Those that have nothing wrong with them but their checksum.
    refused: Numbers,
}

/// The numbers of values of which a part is told by a leaf, and the blocks of these parts. An entry that is not in order with those beside it,
/// or is there twice, may have the number of another value, which can be read.
fn in_order(entries: &[IndexEntry<'_>]) -> Vec<(u32, u32)> {
    let part = |entry: &IndexEntry<'_>| Some((u32_at(entry.key, 0)?, u32_at(entry.key, 4)?));
    let parts: Vec<Option<(u32, u32)>> = entries.iter().map(part).collect();
    let is_below = |one: usize, other: usize| match (parts.get(one), parts.get(other)) {
        (Some(one), Some(other)) => one < other,
        _ => true,
    };
    let told = entries.iter().zip(&parts).enumerate();
    told.filter_map(|(number, (entry, part))| {
        let is_after = number == 0 || is_below(number - 1, number);
        let is_in_order = is_after && is_below(number, number + 1);
        Some((part.filter(|_| is_in_order)?.0, entry.place.0))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_order_tells_of_no_value() {
        let key = |value: u32, part: u32| [value.to_le_bytes(), part.to_le_bytes()].concat();
        let told = |parts: &[(u32, u32)]| {
            let keys: Vec<Vec<u8>> = parts
                .iter()
                .map(|(value, part)| key(*value, *part))
                .collect();
            let entries = (0..).zip(&keys).map(|(block, key)| IndexEntry {
                place: (block, 1),
                key,
                nulls: None,
                is_dead: false,
            });
            in_order(&entries.collect::<Vec<_>>())
        };
        let all = [(5, 0), (5, 1), (6, 0), (8, 0)];
        assert_eq!(told(&all), [(5, 0), (5, 1), (6, 2), (8, 3)]);
        // The third has become one of the first value, and then one of the last.
        let lower = [(5, 0), (5, 1), (5, 0), (8, 0)];
        assert_eq!(told(&lower), [(5, 0), (8, 3)]);
        let doubled = [(5, 0), (5, 1), (8, 0), (8, 0), (9, 0)];
        assert_eq!(told(&doubled), [(5, 0), (5, 1), (9, 4)]);
        assert_eq!(told(&[(7, 0)]), [(7, 0)]);
    }
}
