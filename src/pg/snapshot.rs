//! The snapshot that all reads of the source share.
//!
//! Rows are locked against DDL *before* the snapshot is taken: a table that is truncated or rewritten after the snapshot,
//! but before it is locked, reads as empty, without an error. So: list the tables, lock them, take the snapshot, list
//! again; if the list has changed, start over.

use super::{Connector, PgError, Session};
use crate::model::{Oid, QualifiedName};

/// Tables named in one LOCK statement.
const TABLES_PER_LOCK: usize = 500;

/// How often the list of tables may change while we lock it.
const ATTEMPTS: u32 = 10;

/// SQLSTATE `undefined_table`: dropped between listing and locking.
const GONE: &str = "42P01";

/// A snapshot, held by the transaction of a session.
pub struct Snapshot {
    session: Session,
    /// As `pg_export_snapshot` names it; any session of the same database can import it.
    pub id: String,
    /// Position of the write-ahead log at that moment.
    pub lsn: String,
    /// Which transactions it sees: equal to that of a later snapshot if nothing was written in between.
    pub transactions: String,
}

impl Snapshot {
    /// Takes a snapshot. `list_tables` says which tables to lock against being changed by DDL.
    pub async fn take<F>(connector: &Connector, list_tables: F) -> Result<Self, PgError>
    where
        F: AsyncFn(&Session) -> Result<Vec<(Oid, QualifiedName)>, PgError>,
    {
        let session = connector.session("snapshot").await?;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let tables = list_tables(&session).await?;
            session
                .execute("begin transaction isolation level repeatable read, read only")
                .await?;
            match lock(&session, &tables).await {
                Err(error) if error.code() == Some(GONE) && attempts < ATTEMPTS => {
                    session.execute("rollback").await?;
                    continue;
                }
                locked => locked?,
            }
            let snapshot = export(&session).await?;
            if list_tables(&session).await? == tables {
                let [id, lsn, transactions] = snapshot;
                return Ok(Self {
                    session,
                    id,
                    lsn,
                    transactions,
                });
            }
            session.execute("rollback").await?;
            if attempts >= ATTEMPTS {
                return Err(PgError::Answer {
                    query: "the list of tables",
                    what: format!(
                        "tables were created or dropped during each of {ATTEMPTS} attempts to take a snapshot"
                    ),
                });
            }
        }
    }

    /// The session that holds it; questions asked on it see the snapshot.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Gives it back: the source may clean up again what only this snapshot could see.
    pub async fn release(self) -> Result<(), PgError> {
        self.session.execute("commit").await
    }
}

/// Which transactions a new snapshot would see, for comparison with [`Snapshot::transactions`].
pub async fn current_transactions(session: &Session) -> Result<String, PgError> {
    let sql = "select pg_catalog.txid_current_snapshot()::text as transactions";
    let rows = session.query_text("the current snapshot", sql, &[]).await?;
    rows.first()
        .map_or(Ok(String::new()), |row| row.get("transactions"))
}

async fn lock(session: &Session, tables: &[(Oid, QualifiedName)]) -> Result<(), PgError> {
    for batch in tables.chunks(TABLES_PER_LOCK) {
        let names: Vec<String> = batch
            .iter()
            .map(|(_, name)| format!("only {name}"))
            .collect();
        session
            .execute(&format!(
                "lock table {} in access share mode",
                names.join(", ")
            ))
            .await?;
    }
    Ok(())
}

async fn export(session: &Session) -> Result<[String; 3], PgError> {
    const NAME: &str = "the snapshot";
    let sql = "select pg_catalog.pg_export_snapshot() as id,
                      pg_catalog.txid_current_snapshot()::text as transactions,
                      case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn()
                           else pg_catalog.pg_current_wal_lsn() end::text as lsn";
    let rows = session.query_text(NAME, sql, &[]).await?;
    let row = rows.first().ok_or_else(|| PgError::Answer {
        query: NAME,
        what: "no row".into(),
    })?;
    Ok([
        row.get("id")?,
        row.get::<Option<String>>("lsn")?.unwrap_or_default(),
        row.get("transactions")?,
    ])
}
