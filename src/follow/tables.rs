//! User tables as replication sees them: which of them it carries, and how it could find their rows.

use super::facts::name;
use crate::model::{QualifiedName, quote_ident};
use crate::pg::{Answer, PgError, Query, Session};

pub(super) const TABLES: Query = Query::new(
    "follow/tables.sql",
    include_str!("../../sql/follow/tables.sql"),
);

/// A user table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: QualifiedName,
    /// Whether replication carries it: an unlogged table leaves nothing in the WAL.
    pub is_logged: bool,
    /// `relreplident`, as ALTER TABLE takes it.
    pub identity: String,
    /// What could identify the rows of an UPDATE or DELETE.
    pub keys: Keys,
    /// Its owner is subject to row-level security as well: FORCE ROW LEVEL SECURITY.
    pub forced_rls: bool,
    /// The owner bypasses row-level security.
    pub owner_bypasses_rls: bool,
    /// For a partition: the partitioned table, if a row may be in another of its partitions on another server (by the hash of an enum).
    pub scattered_below: Option<QualifiedName>,
    /// A digest of its columns: names, types, NOT NULL.
    pub columns: String,
}

/// What is known about one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A server finds rows by it.
    Sound,
    /// It is checked only at the end of a transaction: no server identifies rows by it.
    Deferrable,
    /// One of its columns is generated, and replication does not carry it.
    Generated,
}

/// What tells the rows of a table apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    /// The key that its replica identity names, unless that is all columns or nothing.
    pub identity: Option<Key>,
    /// Its primary key: a subscriber goes by it when all columns are sent.
    pub primary: Option<Key>,
    /// Indexes that the server would accept as a replica identity.
    pub indexes: Vec<String>,
    /// It has generated columns.
    pub has_generated: bool,
    /// Columns whose type has no equality: a subscriber cannot find rows by them.
    pub unequal: Vec<String>,
}

/// All user tables.
pub async fn tables(session: &Session) -> Result<Vec<Table>, PgError> {
    session.query_each(&TABLES, &[], table).await
}

fn table(row: &Answer) -> Result<Table, PgError> {
    let root: Option<String> = row.get("scattered_schema")?;
    let root = root.zip(row.get::<Option<String>>("scattered_name")?);
    Ok(Table {
        name: name(row)?,
        is_logged: row.get("is_logged")?,
        identity: identity(row)?,
        keys: Keys {
            identity: key(row, "identity_key")?,
            primary: key(row, "primary_key")?,
            indexes: row.get("identity_indexes")?,
            has_generated: row.get("has_generated")?,
            unequal: row.get("unequal")?,
        },
        forced_rls: row.get("forced_rls")?,
        owner_bypasses_rls: row.get("owner_bypasses_rls")?,
        scattered_below: root.map(|(schema, name)| QualifiedName::new(schema, name)),
        columns: row.get("columns")?,
    })
}

fn identity(row: &Answer) -> Result<String, PgError> {
    let index: Option<String> = row.get("identity_index")?;
    Ok(match (row.get::<&str>("identity")?, index) {
        ("f", _) => "full".to_owned(),
        ("n", _) => "nothing".to_owned(),
        ("i", Some(index)) => format!("using index {}", quote_ident(&index)),
        _ => "default".to_owned(),
    })
}

fn key(row: &Answer, column: &str) -> Result<Option<Key>, PgError> {
    Ok(row.get::<Option<&str>>(column)?.map(|kind| match kind {
        "deferrable" => Key::Deferrable,
        "generated" => Key::Generated,
        _ => Key::Sound,
    }))
}
