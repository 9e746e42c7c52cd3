//! What the extension `amcheck` says of heaps and B-trees, where the source has it: nothing is installed there.
//!
//! It knows more than can be seen by reading: rows out of order in an index, transactions that there cannot have been. What it
//! finds is noted. It is no loss: every row that can be read has been read by then, whatever the indexes say. It reads everything once
//! more, so it is only asked by who wants nothing but the survey.

use super::SalvageError;
use super::account::DamageMap;
use super::facts::{Kind, TableFacts};
use super::sight::patient_session;
use super::survey::{Shared, Survey};
use crate::model::{Oid, quote_ident};
use crate::pg::{Connector, PgError, Query, Session};

pub(super) const INSTALLED: Query = Query::new(
    "salvage/amcheck.sql",
    include_str!("../../sql/salvage/amcheck.sql"),
);
pub(super) const INDEXES: Query = Query::new(
    "salvage/btrees.sql",
    include_str!("../../sql/salvage/btrees.sql"),
);

/// Asks it about every B-tree and every heap.
pub(super) async fn look(
    survey: &Survey<'_>,
    shared: &Shared,
    map: &mut DamageMap,
) -> Result<(), SalvageError> {
    if !survey.thorough {
        return Ok(());
    }
    let opening = format!(
        "set statement_timeout = '{}ms'; set lc_messages = 'C'",
        survey.timeout.as_millis()
    );
    let connector = survey.source.with_opening(&opening);
    let session = patient_session(&connector).await?;
    let rows = session.query(&INSTALLED, &[]).await?;
    let Some(row) = rows.first() else {
        (survey.tell)(
            "the extension amcheck is not installed in the source: indexes are checked only as far as they lead to rows"
                .to_owned(),
        );
        return Ok(());
    };
    let schema: String = row.get("schema")?;
    let knows_heaps: bool = row.get("knows_heaps")?;
    (survey.tell)("asking amcheck about indexes and tables".to_owned());
    let mut asked = Asked { connector, session };
    let btrees = asked.session.query(&INDEXES, &[]).await?;
    for index in &btrees {
        let oid: Oid = index.oid("oid")?;
        let sql = format!(
            "select ''::text as message from {}.bt_index_check({oid}::pg_catalog.regclass)",
            quote_ident(&schema)
        );
        let name = index.name("schema", "name")?.shown();
        if let Some(said) = asked.complaint(&sql).await? {
            map.losses
                .notes
                .push(format!("the index {name}, by amcheck: {said}"));
        }
    }
    let heaps = shared.facts.tables.iter();
    for table in heaps.filter(|table| knows_heaps && table.kind != Kind::LargeObjects) {
        if is_known(map, table) {
            continue;
        }
        let sql = format!(
            "select coalesce('(' || blkno || ',' || offnum || '): ', '') || msg as message \
             from {}.verify_heapam({}::pg_catalog.regclass, check_toast => true)",
            quote_ident(&schema),
            table.oid
        );
        if let Some(said) = asked.complaint(&sql).await? {
            let name = table.name.shown();
            map.losses.notes.push(format!("{name}, by amcheck: {said}"));
        }
    }
    Ok(())
}

/// Of what is damaged more is known than that it is.
fn is_known(map: &DamageMap, table: &TableFacts) -> bool {
    let tables = &map.losses.tables;
    tables.iter().any(|one| one.table == table.name) || map.matviews.contains(&table.name)
}

/// A session of the source that may be brought down by what it is asked.
struct Asked {
    connector: Connector,
    session: Session,
}

impl Asked {
    /// What it says, if it says anything: the first of what it has found, or its error.
    async fn complaint(&mut self, sql: &str) -> Result<Option<String>, SalvageError> {
        let rows = match self.session.query_text("amcheck", sql, &[]).await {
            Ok(rows) => rows,
            Err(error) if error.is_lost_connection() => {
                self.session = patient_session(&self.connector).await?;
                return Ok(Some(
                    "the server process that looked at it ended".to_owned(),
                ));
            }
            Err(PgError::Server { error, .. }) => return Ok(Some(error.message.clone())),
            Err(error) => return Err(error.into()),
        };
        let first: Option<String> = rows.first().map(|row| row.get("message")).transpose()?;
        let Some(message) = first.filter(|message| !message.is_empty()) else {
            return Ok(None);
        };
        Ok(Some(match rows.len() {
            1 => message,
            more => format!("{message}, and {} more", more - 1),
        }))
    }
}
