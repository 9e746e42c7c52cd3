//! What cannot be read otherwise, read once more by a server that lets pass what it takes for damaged: on request alone.
//!
//! Only what the search has given up is asked for so, and of that, no value of which nothing is left: there may be millions of these.
//! Whatever comes of it is suspect: it is written down row by row (`suspect/<table>.csv`), counted in the account, and read so when it is
//! copied, by a session that reads nothing else. A page that was let pass once stays in the server's memory, where nobody looks at its
//! checksum any more; that is why the search looks at the bytes on disk itself.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};

use super::SalvageError;
use super::account::{TableLosses, runs};
use super::facts::Kind;
use super::keys::{csv_line, file_name};
use super::one_table::TableSearch;
use super::probe::{Found, Search};
use super::seen::Seen;
use super::sight::Sight;
use crate::model::SqlText;
use crate::plan::{Around, Place};

/// Rows that may be wrong.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    /// Blocks all of whose rows are.
    blocks: BTreeSet<u32>,
    /// Rows of others.
    rows: BTreeSet<Place>,
    /// How many there are.
    count: u64,
}

impl Suspects {
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Rows that are lost after all.
    pub fn forget(&mut self, lost: &BTreeSet<Place>) {
        for place in lost {
            self.count -= u64::from(self.rows.remove(place));
        }
    }

    pub fn has(&self, place: Place) -> bool {
        self.blocks.contains(&place.0) || self.rows.contains(&place)
    }
}

impl TableSearch<'_> {
    /// Asks once more for what was given up; what comes of it is no longer lost.
    pub(super) async fn doubt(
        &self,
        found: &mut Found,
        (seen, losses): (&mut Seen, &mut TableLosses),
    ) -> Result<Suspects, SalvageError> {
        let doubtful = self.survey.doubtful;
        let given_up = self.take_what_may_come(found);
        if given_up == Found::default() {
            return Ok(Suspects::default());
        }
        let mut sight = Sight::doubting(self.survey.source, self.survey.timeout, doubtful);
        let search = Search::among(&runs(&given_up.lost_blocks), self.columns());
        let columns = given_up.lost_columns.keys();
        let search = search.and_rows(given_up.lost_rows.iter().chain(columns).copied());
        let mut read = Seen::default();
        let (mut again, partly) = self.search(&mut sight, search, (&mut read, losses)).await?;
        self.one_by_one(&partly, &mut again);
        let mut suspects = Suspects::default();
        for block in read.blocks() {
            let offsets = read.of(block);
            if again.whole.contains(&block) {
                suspects.blocks.insert(block);
            } else {
                let places = offsets.iter().map(|offset| (block, offset));
                suspects.rows.extend(places);
            }
            suspects.count += offsets.count();
        }
        // What was read as an empty page was not read at all.
        let (empty, whole): (BTreeSet<u32>, BTreeSet<u32>) = std::mem::take(&mut again.whole)
            .into_iter()
            .partition(|block| read.of(*block).count() == 0);
        again.lost_blocks.extend(empty);
        for (place, columns) in &again.lost_columns {
            // As much was known of it before.
            if given_up.lost_columns.get(place) != Some(columns) {
                suspects.count += u64::from(suspects.rows.insert(*place));
            }
        }
        seen.extend(read);
        found.whole.extend(whole);
        found.lost_blocks.extend(again.lost_blocks);
        found.lost_rows.extend(again.lost_rows);
        found.lost_columns.extend(again.lost_columns);
        Ok(suspects)
    }

    /// Takes out of what was found what a server that lets pages pass may show after all: nothing, unless it was asked for.
    fn take_what_may_come(&self, found: &mut Found) -> Found {
        if self.survey.doubtful.is_none() || self.table.kind != Kind::Table {
            return Found::default();
        }
        let all: BTreeSet<u16> = (0..self.columns()).collect();
        let rows = std::mem::take(&mut found.lost_rows).into_iter();
        let (lost_rows, rows) = rows.partition(|place| self.may_come(*place, &all));
        let columns = std::mem::take(&mut found.lost_columns).into_iter();
        let (lost_columns, columns) =
            columns.partition(|(place, columns)| self.may_come(*place, columns));
        (found.lost_rows, found.lost_columns) = (rows, columns);
        Found {
            lost_blocks: std::mem::take(&mut found.lost_blocks),
            lost_rows,
            lost_columns,
            ..Found::default()
        }
    }

    /// Whether one of these columns of a row may come, because it is not lost for good, if pages are let pass.
    pub(super) fn may_come(&self, place: Place, columns: &BTreeSet<u16>) -> bool {
        let hopeless = || self.shared.beforehand.hopeless(self.table, place);
        !self.survey.doubtful.is_none() && !columns.is_subset(&hopeless())
    }

    /// `suspect/<table>.csv`: each row that may be wrong, with its place.
    pub(super) async fn write_suspects(
        &self,
        suspects: &Suspects,
        (around, losses): (&Around, &mut TableLosses),
    ) -> Result<(), SalvageError> {
        let table = self.table;
        let file = format!("suspect/{}.csv", file_name(&table.name.shown()));
        let path = self.survey.directory.join(&file);
        let failed = |source| SalvageError::File {
            doing: "writing",
            path: path.clone(),
            source,
        };
        let columns = table.columns.iter().map(|column| column.name.clone());
        let columns: Vec<String> = ["ctid".to_owned()].into_iter().chain(columns).collect();
        let patched: BTreeSet<Place> = around.patched.iter().map(|row| row.place).collect();
        let of_suspects = Around {
            blocks: runs(&suspects.blocks),
            rows: suspects.rows.difference(&patched).copied().collect(),
            patched: around
                .patched
                .iter()
                .filter(|row| suspects.has(row.place))
                .cloned()
                .collect(),
            ..around.clone()
        };
        let create = || -> io::Result<File> {
            fs::create_dir_all(self.survey.directory.join("suspect"))?;
            let mut out = File::create(&path)?;
            let head = columns.iter().map(|column| Some(column.as_str()));
            out.write_all(csv_line(head).as_bytes())?;
            Ok(out)
        };
        let out = io::BufWriter::new(create().map_err(failed)?);
        let query = of_suspects.query(&table.name.to_string(), &columns, None);
        let options = self.shared.encoding.replace("format text", "format csv");
        let sql = SqlText::from(format!("copy ({query}) to stdout ({options})"));
        let doubtful = self.survey.doubtful;
        let mut sight = Sight::doubting(self.survey.source, self.survey.timeout, doubtful);
        let out = sight.copy(&sql, out).await?.map_err(failed)?;
        out.into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(|file| file.sync_all())
            .map_err(failed)?;
        losses.suspect_rows = suspects.count;
        losses.suspect_file = Some(file);
        Ok(())
    }
}
