//! Who and what a server is.

use super::facts::ServerFacts;
use super::queries;
use crate::model::ServerVersion;
use crate::pg::{PgError, Session};

/// Who and what the server is.
pub async fn server_facts(session: &Session) -> Result<ServerFacts, PgError> {
    let rows = session.query(&queries::SERVER.newest, &[]).await?;
    let row = rows.first().ok_or_else(|| PgError::Answer {
        query: queries::SERVER.newest.name,
        what: "no row; is the database gone?".into(),
    })?;
    let version: i32 = row.get("version")?;
    Ok(ServerFacts {
        version: ServerVersion(u32::try_from(version).unwrap_or(0)),
        system_identifier: row.get("system_identifier")?,
        database_oid: row.oid("database_oid")?,
        database: row.get("database")?,
        role: row.get("role")?,
        superuser: row.get("superuser")?,
        creates_databases: row.get("creates_databases")?,
        in_recovery: row.get("in_recovery")?,
        cancels_reads: row.get("cancels_reads")?,
        streaming_delay: row.get("streaming_delay")?,
        archive_delay: row.get("archive_delay")?,
        encoding: row.get("encoding")?,
        block_size: u64::try_from(row.get::<i32>("block_size")?).unwrap_or(8192),
        shared_buffers: row.bytes("shared_buffers_bytes")?,
        maintenance_work_mem: row.bytes("maintenance_work_mem_bytes")?,
        has_pgconvoy_schema: row.get("has_pgconvoy_schema")?,
        lock_slots: row.count("lock_slots")?,
        locks_per_session: row.count("locks_per_session")?,
        value_settings: pairs(row.get("value_settings")?),
        passing_over_damage: row.get("passing_over_damage")?,
    })
}

/// Of a list of names and values in turn.
fn pairs(list: Vec<String>) -> Vec<(String, String)> {
    let mut list = list.into_iter();
    std::iter::from_fn(|| list.next().zip(list.next())).collect()
}
