//! Who keeps the target's tables from being locked against writers: sessions of others that have begun to write, in sentences.

use crate::model::QualifiedName;
use crate::pg::{Answer, PgError, Query, Session};

pub(super) const LOCK_HOLDERS: Query = Query::new(
    "sync/lock_holders.sql",
    include_str!("../../sql/sync/lock_holders.sql"),
);

/// `pid 123 (batch), role app, idle in transaction, has RowExclusiveLock on public.orders: its transaction began 12 s ago`.
pub async fn lock_holders(session: &Session) -> Result<Vec<String>, PgError> {
    let rows = session.query(&LOCK_HOLDERS, &[]).await?;
    rows.iter().map(told).collect()
}

fn told(row: &Answer) -> Result<String, PgError> {
    let table = QualifiedName::new(row.get::<&str>("schema")?, row.get::<&str>("name")?);
    Ok(format!(
        "pid {} ({}), role {}, {}, has {} on {}: its transaction began {} s ago",
        row.get::<i32>("pid")?,
        row.get::<&str>("application")?,
        row.get::<&str>("role")?,
        row.get::<&str>("state")?,
        row.get::<&str>("mode")?,
        table.shown(),
        row.get::<i64>("seconds")?
    ))
}
