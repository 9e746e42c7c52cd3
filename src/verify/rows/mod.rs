//! The rows of two databases: how many, and a hash of the multiset, table by table, on both sides at once.
//!
//! ```text
//!   facts of both sides ──► Comparand (what to read, in which form) ──► readers of the source ──┐
//!                                                              └──────► readers of the target ──┴─► Sides ──► verdict
//! ```
//!
//! | file | |
//! |---|---|
//! | `form` | in which form a column is compared |
//! | `comparand` | which tables and views, and what is read of them |
//! | `key` | what tells the rows of a table apart, and how a statement names them |
//! | `copy_out` | the statement that reads them, and what its rows look like |
//! | `cut` | a large table in chunks |
//! | `buckets` | a digest for each part of a table, so that a difference need not be looked for in all of it |
//! | `by_column` | a digest for each column |
//! | `judge` | what both sides come to |
//! | `readers` | the work of both sides, and what came of it |
//! | `again` | other ways to read what differs, or could not be read |
//!
//! Rows are read in one format only, binary COPY; a column whose binary form would not do is sent as text in it. Of an array's
//! binary form, what is not the value's own is left out of the hash.

mod again;
mod buckets;
mod by_column;
mod comparand;
mod copy_out;
mod cut;
mod form;
mod judge;
mod key;
mod readers;

pub use buckets::{Bucketing, Buckets, Scale};
pub(super) use buckets::{FIELD_COUNT, fields, first_fields};
pub use by_column::ByColumn;
pub use comparand::{Comparand, Inputs, Pairing, ReadColumn, Subject, TableKey};
pub use copy_out::CopyOut;
pub(super) use form::as_text;
pub use form::{Form, Forms};
pub use judge::{Judgement, class, judge, object, unverified, verdict};
pub use key::Key;
pub(super) use readers::key_range;
pub use readers::{Ends, Reading, SideRead, Sides, read};

use std::collections::BTreeSet;

use crate::catalog::VersionedQuery;
use crate::model::QualifiedName;
use crate::pg::{Answer, PgError, Query, Session};

/// Lists every table's keys.
pub(super) const KEYS: VersionedQuery = VersionedQuery {
    newest: Query::new("keys.sql", include_str!("../../../sql/verify/keys.sql")),
    older: Some((
        10,
        Query::new(
            "keys.10.sql",
            include_str!("../../../sql/verify/keys.10.sql"),
        ),
    )),
};

/// Lists identity columns that are always generated.
pub(super) const IDENTITIES: VersionedQuery = VersionedQuery {
    newest: Query::new(
        "identities.sql",
        include_str!("../../../sql/verify/identities.sql"),
    ),
    older: None,
};

/// Which columns are `GENERATED ALWAYS AS IDENTITY`.
pub async fn identities(session: &Session) -> Result<BTreeSet<(QualifiedName, String)>, PgError> {
    let query = IDENTITIES.for_server(session.version());
    let column = |row: &Answer| Ok((row.name("schema", "name")?, row.get("column_name")?));
    let columns = session.query_each(query, &[], column).await?;
    Ok(columns.into_iter().collect())
}

/// Which columns tell the rows of a table apart, the best first for each table.
pub async fn keys(session: &Session) -> Result<Vec<TableKey>, PgError> {
    let query = KEYS.for_server(session.version());
    let key = |row: &Answer| Ok((row.name("schema", "name")?, row.get("columns")?));
    session.query_each(query, &[], key).await
}
