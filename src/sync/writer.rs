//! The transaction in which the target is changed: its locks, its snapshot, its end.
//!
//! One session, from the first lock to the commit. Dropped before that, it leaves the target as it was.

use crate::fault;
use crate::model::{QualifiedName, Rows, SqlText};
use crate::pg::PgError;
use crate::pg::wire::Wire;

use super::changes::Changes;
use super::error::SyncError;
use super::sequences::SequenceChange;
use super::statements::locks;

/// How long we wait for whoever writes to the target: long enough for a statement to end, and not for somebody who has gone to
/// lunch in a transaction.
const LOCK_TIMEOUT: &str = "30s";

/// `insufficient_privilege`.
const MAY_NOT: &str = "42501";

/// What other sessions need to see the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// As `pg_export_snapshot` names it.
    pub id: String,
    /// Position of the write-ahead log at that moment.
    pub lsn: String,
}

/// The transaction.
pub struct Writer {
    pub(super) wire: Wire,
}

impl Writer {
    /// Begins it, and locks tables against writers.
    pub async fn begin(mut wire: Wire, tables: &[QualifiedName]) -> Result<Self, SyncError> {
        let opening = format!(
            "begin transaction isolation level read committed, read write; set local lock_timeout = '{}'; \
             set local synchronous_commit = on",
            if fault::strikes("impatient") {
                "500ms"
            } else {
                LOCK_TIMEOUT
            }
        );
        let mut statements = vec![SqlText::from(opening)];
        statements.extend(locks(tables));
        let locked = wire.execute_all(&statements).await;
        locked.map_err(|(_, error)| SyncError::Lock(error))?;
        fault::point("sync-locked");
        Ok(Self { wire })
    }

    /// The state that the locks hold fast, for those who read it.
    pub async fn export(&mut self) -> Result<Exported, SyncError> {
        // A standby cannot be written to, so this is none.
        let sql = "select pg_catalog.pg_export_snapshot(), pg_catalog.pg_current_wal_lsn()";
        let rows = self.wire.query(&SqlText::from(sql)).await;
        let rows = rows.map_err(SyncError::Lock)?;
        let text = |column: usize| {
            let value = rows.first().and_then(|row| row.get(column)?.as_deref());
            String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
        };
        Ok(Exported {
            id: text(0),
            lsn: text(1),
        })
    }

    /// Makes our session count as one that replicates, if it may.
    pub(super) async fn replicate(&mut self) -> Result<bool, PgError> {
        self.run("savepoint replicating").await?;
        match self
            .run("set local session_replication_role = replica")
            .await
        {
            Ok(()) => {
                self.run("release savepoint replicating").await?;
                Ok(true)
            }
            Err(error) if error.code() == Some(MAY_NOT) => {
                self.run("rollback to savepoint replicating; release savepoint replicating")
                    .await?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn run(&mut self, sql: &str) -> Result<(), PgError> {
        self.wire.execute(&SqlText::from(sql)).await
    }

    pub(super) async fn run_all(&mut self, statements: &[SqlText]) -> Result<(), PgError> {
        if statements.is_empty() {
            return Ok(());
        }
        let ran = self.wire.execute_all(statements).await;
        ran.map_err(|(_, error)| error)
    }

    pub(super) async fn count(&mut self, sql: &SqlText) -> Result<Rows, PgError> {
        self.wire.count(sql).await
    }

    /// The commit point: before it the target is as it was, after it, it is as it is to be. It is waited for until it is on disk. Behind
    /// it come the sequences that go back.
    pub async fn commit(mut self, changes: &Changes) -> Result<Wire, SyncError> {
        fault::point("sync-uncommitted");
        let committed = self.run("commit").await;
        committed.map_err(|error| {
            if error.is_lost_connection() {
                SyncError::Commit(error)
            } else {
                SyncError::Step {
                    doing: "committing".to_owned(),
                    source: error,
                }
            }
        })?;
        fault::point("sync-committed");
        if !changes.sequences.is_empty() {
            let mut statements = vec![SqlText::from(
                "begin transaction isolation level read committed, read write; set local synchronous_commit = on",
            )];
            statements.extend(changes.sequences.iter().map(SequenceChange::back));
            statements.push(SqlText::from("commit"));
            let set = self.run_all(&statements).await;
            set.map_err(SyncError::Sequences)?;
        }
        Ok(self.wire)
    }

    /// Lets the locks go; nothing was changed.
    pub async fn give_way(mut self) -> Result<Wire, SyncError> {
        self.run("rollback").await.map_err(SyncError::Lock)?;
        Ok(self.wire)
    }
}
