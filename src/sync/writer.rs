//! The transaction in which the target is changed: its locks, its snapshot, its end.
//!
//! One session, from the first lock to the commit. Dropped before that, it leaves the target as it was.

use crate::fault;
use crate::model::{QualifiedName, Rows, SqlText, quote_literal};
use crate::pg::PgError;
use crate::pg::wire::Wire;

use super::changes::Changes;
use super::error::SyncError;
use super::sequences::SequenceChange;
use super::statements::locks;

/// How long we wait for whoever writes to the target: long enough for a statement to end, but not for somebody who has gone to
/// lunch in a transaction.
const LOCK_TIMEOUT: &str = "30s";

/// `insufficient_privilege`.
pub(super) const MAY_NOT: &str = "42501";

/// What other sessions need to see the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// As `pg_export_snapshot` names it.
    pub id: String,
    /// WAL position at that moment.
    pub lsn: String,
}

/// The transaction.
pub struct Writer {
    pub(super) wire: Wire,
    /// The tables that it has locked.
    tables: Vec<QualifiedName>,
}

impl Writer {
    /// Begins it, and locks tables against writers.
    pub async fn begin(mut wire: Wire, tables: Vec<QualifiedName>) -> Result<Self, SyncError> {
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
        statements.extend(locks(&tables));
        let locked = wire.execute_all(&statements).await;
        locked.map_err(|(_, error)| SyncError::Lock(error))?;
        Ok(Self { wire, tables })
    }

    /// Exports the state that the locks preserve, for those who read it.
    pub async fn export(&mut self) -> Result<Exported, SyncError> {
        // A standby cannot be written to, so this is not one.
        let sql = "select pg_catalog.pg_export_snapshot(), pg_catalog.pg_current_wal_lsn()";
        let mut texts = self.texts(sql).await.map_err(SyncError::Lock)?.into_iter();
        let mut text = || texts.next().unwrap_or_default();
        Ok(Exported {
            id: text(),
            lsn: text(),
        })
    }

    /// The values of the first row.
    async fn texts(&mut self, sql: &str) -> Result<Vec<String>, PgError> {
        let rows = self.wire.query(&SqlText::from(sql)).await?;
        let values = rows.iter().take(1).flatten();
        Ok(values
            .map(|value| String::from_utf8_lossy(value.as_deref().unwrap_or_default()).into_owned())
            .collect())
    }

    /// Makes our session count as a replicating one, if it may.
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

    /// The commit point: before it the target is as it was, after it as it is to be. We wait until it is on disk. Then
    /// sequences are set back.
    pub async fn commit(mut self, changes: &Changes) -> Result<Wire, SyncError> {
        self.commit_here(changes).await?;
        Ok(self.wire)
    }

    /// The same, and takes the locks again at once: nobody else writes to the tables until they are released. Returns whether
    /// nobody did in between. Whoever waited for us comes first, and we wait for them; so everybody who wrote has ended by
    /// then, each under a transaction ID that is not ours. (Somebody who wrote elsewhere looks the same: then it is not known.)
    pub async fn commit_and_stay(mut self, changes: &Changes) -> Result<(Self, bool), SyncError> {
        let sql =
            "select pg_catalog.txid_current_snapshot()::text, pg_catalog.txid_current()::text";
        let mut before = self.texts(sql).await.map_err(SyncError::Lock)?.into_iter();
        let before_us = quote_literal(&before.next().unwrap_or_default());
        let mut ours: Vec<String> = before.collect();
        ours.extend(self.commit_here(changes).await?);
        let Self { wire, tables } = self;
        let mut again = Self::begin(wire, tables).await?;
        let sql = format!(
            "select count(*)::text from (\
             select pg_catalog.generate_series(pg_catalog.txid_snapshot_xmax({before_us}::pg_catalog.txid_snapshot), \
             pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot()) - 1) \
             union all select pg_catalog.txid_snapshot_xip({before_us}::pg_catalog.txid_snapshot)) t (id) \
             where t.id not in ({}) and pg_catalog.txid_visible_in_snapshot(t.id, pg_catalog.txid_current_snapshot())",
            ours.join(", ")
        );
        let others = again.texts(&sql).await.map_err(SyncError::Lock)?;
        let is_alone = others.first().is_some_and(|count| count == "0");
        Ok((again, is_alone))
    }

    /// Returns which transaction set sequences back, if any did.
    async fn commit_here(&mut self, changes: &Changes) -> Result<Option<String>, SyncError> {
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
            let set = self.run_all(&statements).await;
            set.map_err(SyncError::Sequences)?;
            let number = self.texts("select pg_catalog.txid_current()::text").await;
            let number = number.map_err(SyncError::Sequences)?;
            self.run("commit").await.map_err(SyncError::Sequences)?;
            return Ok(number.into_iter().next());
        }
        Ok(None)
    }

    /// An error if the transaction has ended, and its locks with it.
    pub async fn assert_held(&mut self) -> Result<(), SyncError> {
        let held = self.run("select").await;
        held.map_err(SyncError::Unguarded)
    }

    /// Releases the locks; nothing was changed.
    pub async fn give_way(mut self) -> Result<Wire, SyncError> {
        self.run("rollback").await.map_err(SyncError::Lock)?;
        Ok(self.wire)
    }
}
