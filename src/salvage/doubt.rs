//! What cannot be read otherwise, read once more by a server that lets pass what it takes for damaged: on request alone.
//!
//! Only what the search has given up is asked for so. Whatever comes of it is suspect: it is written down row by row
//! (`suspect/<table>.csv`), counted in the account, and read so when it is copied, by a session that reads nothing else. A page that was
//! let pass once stays in the server's memory, where nobody looks at its checksum any more; that is why the search looks at the
//! bytes on disk itself.

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
        let hurt: BTreeSet<Place> = found
            .lost_rows
            .iter()
            .chain(found.lost_columns.keys())
            .copied()
            .collect();
        let nothing = found.lost_blocks.is_empty() && hurt.is_empty();
        if doubtful.is_none() || nothing || self.table.kind != Kind::Table {
            return Ok(Suspects::default());
        }
        let mut sight = Sight::doubting(self.survey.source, self.survey.timeout, doubtful);
        let search = Search::among(&runs(&found.lost_blocks), self.columns());
        let search = search.and_rows(hurt.iter().copied());
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
            if found.lost_columns.get(place) != Some(columns) {
                suspects.count += u64::from(suspects.rows.insert(*place));
            }
        }
        seen.extend(read);
        found.whole.extend(whole);
        found.lost_blocks = again.lost_blocks;
        found.lost_rows = again.lost_rows;
        found.lost_columns = again.lost_columns;
        Ok(suspects)
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
        let is_patched = |place: &Place| around.patched.iter().any(|row| row.place == *place);
        let of_suspects = Around {
            blocks: runs(&suspects.blocks),
            rows: suspects
                .rows
                .iter()
                .filter(|place| !is_patched(place))
                .copied()
                .collect(),
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
