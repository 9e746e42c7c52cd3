//! What stands in tables that are to be loaded, and what would fire.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::queries;
use super::read::ask;
use crate::model::QualifiedName;
use crate::pg::{Answer, PgError, Session};

/// Tables that are looked into by one statement.
const TABLES_PER_QUERY: usize = 200;

/// A trigger of a user that is not disabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// Its table.
    pub table: QualifiedName,
    /// Its name.
    pub name: String,
    /// It fires although the session plays the part of a replica.
    pub on_replica: bool,
    /// It fires in an ordinary session.
    pub on_origin: bool,
    /// It fires when rows are loaded, and not only on TRUNCATE.
    pub on_insert: bool,
}

/// All of them that would fire on rows that are loaded, or on TRUNCATE.
pub async fn firing_triggers(session: &Session) -> Result<Vec<Trigger>, PgError> {
    let rows = ask(session, &queries::FIRING_TRIGGERS, &[]).await?;
    let trigger = |row: &Answer| {
        let enabled = row.char("enabled")?;
        Ok(Trigger {
            table: row.name("schema", "name")?,
            name: row.get("trigger_name")?,
            on_replica: enabled != 'O',
            on_origin: enabled != 'R',
            on_insert: row.get("on_insert")?,
        })
    };
    rows.iter().map(trigger).collect()
}

/// What has a name like a table's and is no plain one, and what it is instead: `a view`.
pub async fn no_plain_tables(
    session: &Session,
) -> Result<BTreeMap<QualifiedName, String>, PgError> {
    let rows = ask(session, &queries::NO_PLAIN_TABLES, &[]).await?;
    let other = |row: &Answer| Ok((row.name("schema", "name")?, row.get::<String>("kind")?));
    rows.iter().map(other).collect()
}

/// Which of these tables hold rows; of some only those count that a `WHERE` clause selects.
pub async fn filled(
    session: &Session,
    tables: &[(&QualifiedName, Option<&str>)],
) -> Result<Vec<QualifiedName>, PgError> {
    const NAME: &str = "which tables hold rows";
    let mut filled = Vec::new();
    for batch in tables.chunks(TABLES_PER_QUERY) {
        let mut sql = String::new();
        for (index, (table, condition)) in batch.iter().enumerate() {
            let union = if index == 0 { "" } else { " union all " };
            let condition = condition.unwrap_or_default();
            let _infallible = write!(
                sql,
                "{union}select {index}::int4 as index where exists (select from only {table} {condition})"
            );
        }
        for row in session.query_text(NAME, &sql, &[]).await? {
            let index = usize::try_from(row.get::<i32>("index")?).ok();
            let table = index.and_then(|index| batch.get(index));
            let (table, _) = table.ok_or_else(|| PgError::Answer {
                query: NAME,
                what: "an unknown table".into(),
            })?;
            filled.push((*table).clone());
        }
    }
    Ok(filled)
}
