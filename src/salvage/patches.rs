//! Rows that arrive without some of their values: what stands in the place of these, and what the rows are called.
//!
//! Where a file of long values is gone there may be millions of rows: those whose other values are read with their whole blocks are told by
//! their places alone, and the account lists the first of them; a file has them all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use super::SalvageError;
use super::account::{Cause, LostColumn, TableLosses};
use super::doubt::Suspects;
use super::facts::Kind;
use super::keys::{csv_line, file_name};
use super::one_table::TableSearch;
use super::places::place_of;
use super::probe::{Found, Probe};
use super::quarantine::Question;
use super::seen::Seen;
use super::sight::patient_session;
use crate::model::quote_ident;
use crate::pg::{PgError, Session};
use crate::plan::{Around, Blank, Patched, Place, at};

/// Rows whose keys are read at once.
const KEYS_AT_ONCE: usize = 1000;
/// Lost values of a table that the account lists.
const LISTED: usize = 5000;

/// What stands in the place of columns, by name; `None` is NULL.
type Replaced = BTreeMap<String, Option<String>>;
/// A key, by column, as far as it can be read.
type Key = BTreeMap<String, Option<String>>;
/// A row, the numbers of the columns that are lost, and what stands in their place.
type Hurt = (Place, BTreeSet<u16>, Replaced);

/// The list of a table's lost values: in its account, and in a file, if they are more than that lists.
pub(super) struct LostValuesList<'a> {
    directory: &'a Path,
    losses: &'a mut TableLosses,
    /// The columns that name a row.
    key: Vec<String>,
    listed: usize,
    file: Option<BufWriter<File>>,
}

impl<'a> LostValuesList<'a> {
    /// Without any.
    pub fn of(search: &TableSearch<'a>, losses: &'a mut TableLosses) -> Self {
        let index = search.table.indexes.first();
        let columns = index.into_iter().flat_map(|index| &index.columns);
        Self {
            directory: search.survey.directory,
            losses,
            key: columns.map(|column| column.name.clone()).collect(),
            listed: match search.table.kind {
                // By these it is known which objects are damaged.
                Kind::LargeObjects => usize::MAX,
                _ => LISTED,
            },
            file: None,
        }
    }

    fn add(&mut self, lost: LostColumn) -> Result<(), SalvageError> {
        self.losses.because(lost.cause.clone());
        self.losses.lost_values += 1;
        if self.losses.lost_columns.len() < self.listed {
            self.losses.lost_columns.push(lost);
            return Ok(());
        }
        let written = self.write(&lost);
        written.map_err(|source| self.failed(source))
    }

    fn write(&mut self, lost: &LostColumn) -> io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.begin()?,
        };
        file.write_all(line(lost, &self.key).as_bytes())?;
        self.file = Some(file);
        Ok(())
    }

    /// The file, with all that are listed.
    fn begin(&self) -> io::Result<BufWriter<File>> {
        fs::create_dir_all(self.directory.join("lost"))?;
        let mut file = BufWriter::new(File::create(self.directory.join(self.name()))?);
        let head = ["block", "line_pointer", "column", "replaced_by", "cause"].into_iter();
        let head = head.chain(self.key.iter().map(String::as_str));
        file.write_all(csv_line(head.map(Some)).as_bytes())?;
        for lost in &self.losses.lost_columns {
            file.write_all(line(lost, &self.key).as_bytes())?;
        }
        Ok(file)
    }

    fn name(&self) -> String {
        let table = file_name(&self.losses.table.shown());
        format!("lost/{table}.values.csv")
    }

    fn failed(&self, source: io::Error) -> SalvageError {
        SalvageError::File {
            doing: "writing",
            path: self.directory.join(self.name()),
            source,
        }
    }

    /// All are there.
    pub fn end(mut self) -> Result<(), SalvageError> {
        let Some(file) = self.file.take() else {
            return Ok(());
        };
        file.into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(|file| file.sync_all())
            .map_err(|source| self.failed(source))?;
        self.losses.values_file = Some(self.name());
        Ok(())
    }
}

/// A line of the file.
fn line(lost: &LostColumn, key: &[String]) -> String {
    let (block, offset) = (lost.place.0.to_string(), lost.place.1.to_string());
    let fields = [
        Some(block.as_str()),
        Some(offset.as_str()),
        Some(lost.column.as_str()),
        lost.replaced_by.as_deref(),
        Some(lost.cause.message.as_str()),
    ];
    let key = key.iter().map(|column| lost.key.get(column)?.as_deref());
    csv_line(fields.into_iter().chain(key))
}

impl TableSearch<'_> {
    /// What stands in the place of columns that cannot be read; a row of which one cannot be replaced is lost.
    pub(super) async fn patch(
        &self,
        found: &mut Found,
        around: &mut Around,
        (values, suspects): (&mut LostValuesList<'_>, &Suspects),
    ) -> Result<(), SalvageError> {
        let mut rows: Vec<Hurt> = Vec::new();
        for (place, columns) in std::mem::take(&mut found.lost_columns) {
            match self.replaced(&columns) {
                Some(replaced) => rows.push((place, columns, replaced)),
                None => _ = found.lost_rows.insert(place),
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        let session = self.session_for_keys().await?;
        for rows in rows.chunks(KEYS_AT_ONCE) {
            let is_doubtful = |place| suspects.has(place);
            self.account_for(&session, (rows, is_doubtful), values)
                .await?;
        }
        around.patched = rows
            .into_iter()
            .map(|(place, _, columns)| Patched { place, columns })
            .collect();
        Ok(())
    }

    /// Rows that are read with their whole blocks, without values that are known to be lost.
    pub(super) async fn leave_blank(
        &self,
        rows: &Seen,
        around: &mut Around,
        values: &mut LostValuesList<'_>,
    ) -> Result<(), SalvageError> {
        let blocks = rows.sorted_blocks();
        if blocks.is_empty() {
            return Ok(());
        }
        let session = self.session_for_keys().await?;
        let mut blanks: BTreeMap<(String, Option<String>), Vec<Place>> = BTreeMap::new();
        for some in blocks.chunks(KEYS_AT_ONCE / 10) {
            let places = some.iter().flat_map(|&block| {
                let offsets = rows.of(block).iter();
                offsets.map(move |offset| (block, offset))
            });
            let hurt = places.filter_map(|place| {
                let columns = self.shared.beforehand.losses_of(self.table, place);
                let replaced = self.replaced(&columns)?;
                Some((place, columns, replaced))
            });
            let hurt: Vec<Hurt> = hurt.collect();
            for rows in hurt.chunks(KEYS_AT_ONCE) {
                self.account_for(&session, (rows, |_| false), values)
                    .await?;
            }
            for (place, _, replaced) in hurt {
                for value in replaced {
                    blanks.entry(value).or_default().push(place);
                }
            }
        }
        let blanks = blanks.into_iter();
        around.blanks = blanks
            .map(|((column, replaced_by), rows)| Blank {
                column,
                replaced_by,
                rows,
            })
            .collect();
        Ok(())
    }

    /// A small table would be scanned as a whole.
    async fn session_for_keys(&self) -> Result<Session, SalvageError> {
        let alone = "set enable_indexonlyscan = off; set enable_seqscan = off";
        patient_session(&self.survey.source.with_opening(alone)).await
    }

    /// Adds the lost values of some rows to the account, with the rows' keys.
    async fn account_for(
        &self,
        session: &Session,
        (rows, is_doubtful): (&[Hurt], impl Fn(Place) -> bool),
        values: &mut LostValuesList<'_>,
    ) -> Result<(), SalvageError> {
        let mut keys = self.keys_of(session, rows).await?;
        for (place, columns, replaced) in rows {
            let key = match keys.remove(place) {
                Some(key) => key,
                None => self.key_of(session, *place, replaced).await?,
            };
            for &column in columns {
                let doubtful = is_doubtful(*place);
                let lost = self.lost_column((*place, column), (replaced, &key), doubtful);
                if let Some(lost) = lost {
                    values.add(lost)?;
                }
            }
        }
        Ok(())
    }

    /// What stands in the place of these columns, if there is something for each.
    pub(super) fn replaced(&self, columns: &BTreeSet<u16>) -> Option<Replaced> {
        let facts = columns
            .iter()
            .filter_map(|&column| self.table.columns.get(usize::from(column)));
        facts
            .map(|column| {
                let by = if column.nullable {
                    None
                } else {
                    Some(column.empty.clone()?)
                };
                Some((column.name.clone(), by))
            })
            .collect()
    }

    fn lost_column(
        &self,
        (place, column): (Place, u16),
        (replaced, key): (&Replaced, &Key),
        doubtful: bool,
    ) -> Option<LostColumn> {
        let name = &self.table.columns.get(usize::from(column))?.name;
        let question = Question {
            table: self.table.oid.0,
            probe: Probe::Column { place, column },
            doubtful,
        };
        let cause = self.shared.verdict(self.table, question);
        Some(LostColumn {
            place,
            column: name.clone(),
            replaced_by: replaced.get(name).cloned().flatten(),
            key: key.clone(),
            cause: cause.unwrap_or_else(Cause::interrupted),
        })
    }

    /// The keys of rows that are there, by their places: of those whose keys can be read, and all at once.
    async fn keys_of(
        &self,
        session: &Session,
        rows: &[Hurt],
    ) -> Result<BTreeMap<Place, Key>, SalvageError> {
        let mut keys = BTreeMap::new();
        let Some(index) = self.table.indexes.first() else {
            return Ok(keys);
        };
        let has_key = |replaced: &Replaced| {
            let mut columns = index.columns.iter();
            columns.all(|column| !replaced.contains_key(&column.name))
        };
        let readable = rows.iter().filter(|(.., replaced)| has_key(replaced));
        let places: Vec<Place> = readable.map(|(place, ..)| *place).collect();
        if places.is_empty() {
            return Ok(keys);
        }
        let columns = index.columns.iter();
        let columns: Vec<String> = columns
            .map(|column| format!("{}::text", quote_ident(&column.name)))
            .collect();
        let sql = format!(
            "select ctid::text as place, array[{}] as key from only {} where {}",
            columns.join(", "),
            self.table.name,
            at(&places)
        );
        let read = match session.query_text("the keys of rows", &sql, &[]).await {
            Ok(read) => read,
            // Each is asked for by itself.
            Err(PgError::Server { .. }) => return Ok(keys),
            Err(error) => return Err(error.into()),
        };
        for row in &read {
            let place: String = row.get("place")?;
            let values: Vec<Option<String>> = row.get("key")?;
            let names = index.columns.iter().map(|column| column.name.clone());
            if let Some(place) = place_of(place.as_bytes()) {
                keys.insert(place, names.zip(values).collect());
            }
        }
        Ok(keys)
    }

    /// The key of a row that is there, as far as it can be read.
    async fn key_of(
        &self,
        session: &Session,
        place: Place,
        lost: &Replaced,
    ) -> Result<Key, SalvageError> {
        let mut key = BTreeMap::new();
        let Some(index) = self.table.indexes.first() else {
            return Ok(key);
        };
        for column in index
            .columns
            .iter()
            .filter(|column| !lost.contains_key(&column.name))
        {
            let sql = format!(
                "select {}::text as value from only {} where {}",
                quote_ident(&column.name),
                self.table.name,
                at(&[place])
            );
            match session.query_text("the key of a row", &sql, &[]).await {
                Ok(rows) => {
                    for row in &rows {
                        key.insert(column.name.clone(), row.get("value")?);
                    }
                }
                // The row is known by its place all the same.
                Err(PgError::Server { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(key)
    }
}
