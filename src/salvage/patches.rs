//! Rows that arrive without some of their values: what stands in the place of these, and what the rows are called.

use std::collections::{BTreeMap, BTreeSet};

use super::SalvageError;
use super::account::{Cause, LostColumn, TableLosses};
use super::doubt::Suspects;
use super::one_table::TableSearch;
use super::probe::{Found, Probe};
use super::quarantine::Question;
use super::sight::{patient_session, place_of};
use crate::model::quote_ident;
use crate::pg::{PgError, Session};
use crate::plan::{Around, Patched, Place, at};

/// Rows whose keys are read at once.
const KEYS_AT_ONCE: usize = 1000;

/// What stands in the place of columns, by name; `None` is NULL.
type Replaced = BTreeMap<String, Option<String>>;
/// A key, by column, as far as it can be read.
type Key = BTreeMap<String, Option<String>>;

impl TableSearch<'_> {
    /// What stands in the place of columns that cannot be read; a row of which one cannot be replaced is lost.
    pub(super) async fn patch(
        &self,
        found: &mut Found,
        around: &mut Around,
        (losses, suspects): (&mut TableLosses, &Suspects),
    ) -> Result<(), SalvageError> {
        // A small table would be scanned as a whole.
        let alone = "set enable_indexonlyscan = off; set enable_seqscan = off";
        let session = patient_session(&self.survey.source.with_opening(alone)).await?;
        let mut rows: Vec<(Place, BTreeSet<u16>, Replaced)> = Vec::new();
        for (place, columns) in std::mem::take(&mut found.lost_columns) {
            match self.replaced(&columns) {
                Some(replaced) => rows.push((place, columns, replaced)),
                None => _ = found.lost_rows.insert(place),
            }
        }
        for rows in rows.chunks(KEYS_AT_ONCE) {
            let mut keys = self.keys_of(&session, rows).await?;
            for (place, columns, replaced) in rows {
                let key = match keys.remove(place) {
                    Some(key) => key,
                    None => self.key_of(&session, *place, replaced).await?,
                };
                for &column in columns {
                    let doubtful = suspects.has(*place);
                    let lost = self.lost_column((*place, column), (replaced, &key), doubtful);
                    if let Some(lost) = lost {
                        losses.because(lost.cause.clone());
                        losses.lost_columns.push(lost);
                    }
                }
                around.patched.push(Patched {
                    place: *place,
                    columns: replaced.clone(),
                });
            }
        }
        Ok(())
    }

    /// What stands in the place of these columns, if there is something for each.
    fn replaced(&self, columns: &BTreeSet<u16>) -> Option<Replaced> {
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
        rows: &[(Place, BTreeSet<u16>, Replaced)],
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
