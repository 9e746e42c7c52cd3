//! The snapshot that all reads of the source share.
//!
//! Rows are locked against DDL *before* the snapshot is taken: a table that is truncated or rewritten after the snapshot,
//! but before it is locked, reads as empty, without an error. So: list the tables, lock them, take the snapshot, list
//! again; if the list has changed, start over.
//!
//! Whoever holds it locks the tables and exports the snapshot: a session of ours, which ends with us, or that of a keeper,
//! a process of its own, which need not.

use futures_util::future::join_all;

use super::keeper::{ALIVE, BACKEND, Keeper, KeeperError, Kept, PURPOSE, TERMINATE};
use super::replication::FreshSlot;
use super::{Connector, Parameter, PgError, Session, Slot};
use crate::model::{FollowName, Oid, QualifiedName, quote_literal};

/// Tables named in one LOCK statement.
const TABLES_PER_LOCK: usize = 500;

/// How often the list of tables may change while we lock it.
const ATTEMPTS: u32 = 10;

/// SQLSTATE `undefined_table`: dropped between listing and locking.
const GONE: &str = "42P01";

/// What a server answers to an import if the snapshot is not there any more (`ImportSnapshot` in `snapmgr.c`): no such file
/// (22023, later 42704), its process has ended (55000), or another database's has its name by now (0A000).
pub(super) const LOST: [&str; 4] = ["22023", "42704", "55000", "0A000"];

/// A snapshot. When it is dropped, or left, its own session ends; a keeper does what it was last told.
pub struct Snapshot {
    session: Session,
    holder: Holder,
    /// As `pg_export_snapshot` names it; any session of the same database can import it.
    pub id: String,
    /// Position of the write-ahead log at that moment.
    pub lsn: String,
    /// Which transactions it sees: equal to that of a later snapshot if nothing was written in between.
    pub transactions: String,
    /// The replication slot that begins where it ends, if one was asked for.
    pub slot: Option<Slot>,
}

/// How a snapshot is taken.
struct Taking<'a, F> {
    /// The list of tables as it was a moment ago.
    tables: Vec<(Oid, QualifiedName)>,
    /// Reads it anew.
    list_tables: F,
    /// The slot that is to begin with the snapshot, and who makes it.
    slot: Option<(&'a Connector, &'a FollowName)>,
}

/// Who holds it.
enum Holder {
    /// Its own session.
    Itself,
    /// A keeper that we started; its own session imported it.
    Keeper(Box<Keeper>),
    /// A keeper that an earlier process of ours started; its own session imported it.
    Elsewhere(Kept),
    /// A keeper that still held it when it was told to give it back: it may be gone.
    Dismissed(Kept),
}

impl Snapshot {
    /// Takes a snapshot, held by a session of its own. `list_tables` says which tables to lock against being changed by DDL.
    pub async fn take<F>(connector: &Connector, list_tables: F) -> Result<Self, PgError>
    where
        F: AsyncFn(&Session) -> Result<Vec<(Oid, QualifiedName)>, PgError>,
    {
        Self::take_for(connector, list_tables, None).await
    }

    /// The same; if a slot is named, it is made, and the snapshot is the one at which it begins.
    pub async fn take_for<F>(
        connector: &Connector,
        list_tables: F,
        slot: Option<&FollowName>,
    ) -> Result<Self, PgError>
    where
        F: AsyncFn(&Session) -> Result<Vec<(Oid, QualifiedName)>, PgError>,
    {
        let session = connector.session("snapshot").await?;
        let taking = Taking {
            tables: list_tables(&session).await?,
            list_tables,
            slot: slot.map(|name| (connector, name)),
        };
        Self::take_in(session, taking).await
    }

    /// A snapshot that another session of ours exports, imported by a session that is opened for it. It lasts as long as that
    /// session's transaction, which is also what holds locks, if anything does.
    pub async fn exported(connector: &Connector, id: &str, lsn: &str) -> Result<Self, PgError> {
        let session = connector.session("snapshot").await?;
        let ((), transactions) = tokio::try_join!(
            biased;
            session.enter(id),
            current_transactions(&session),
        )?;
        Ok(Self {
            session,
            holder: Holder::Itself,
            id: id.to_owned(),
            lsn: lsn.to_owned(),
            transactions,
            slot: None,
        })
    }

    /// The same in a keeper's process; with what the others need to find it.
    pub(super) async fn take_for_others<F>(
        connector: &Connector,
        list_tables: F,
        slot: Option<&FollowName>,
    ) -> Result<(Self, Kept), PgError>
    where
        F: AsyncFn(&Session) -> Result<Vec<(Oid, QualifiedName)>, PgError>,
    {
        let session = connector.session(PURPOSE).await?;
        let (rows, tables) =
            tokio::try_join!(biased; session.query(&BACKEND, &[]), list_tables(&session))?;
        let backend = rows.first().ok_or_else(|| PgError::Answer {
            query: BACKEND.name,
            what: "no row".into(),
        })?;
        let (backend_pid, backend_start) =
            (backend.get("backend_pid")?, backend.get("backend_start")?);
        let taking = Taking {
            tables,
            list_tables,
            slot: slot.map(|name| (connector, name)),
        };
        let taken = Self::take_in(session, taking).await?;
        let kept = Kept {
            snapshot: taken.id.clone(),
            lsn: taken.lsn.clone(),
            transactions: taken.transactions.clone(),
            backend_pid,
            backend_start,
            slot: taken.slot.clone(),
        };
        Ok((taken, kept))
    }

    async fn take_in<F>(session: Session, mut taking: Taking<'_, F>) -> Result<Self, PgError>
    where
        F: AsyncFn(&Session) -> Result<Vec<(Oid, QualifiedName)>, PgError>,
    {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (snapshot, slot, listed) = match taking.attempt(&session).await {
                Err(error) if error.code() == Some(GONE) && attempts < ATTEMPTS => {
                    session.execute("rollback").await?;
                    taking.tables = (taking.list_tables)(&session).await?;
                    continue;
                }
                taken => taken?,
            };
            if listed == taking.tables {
                let [id, lsn, transactions] = snapshot;
                return Ok(Self {
                    session,
                    holder: Holder::Itself,
                    id,
                    lsn: slot
                        .as_ref()
                        .map_or(lsn, |slot| slot.consistent_point.clone()),
                    transactions,
                    slot,
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
            taking.tables = (taking.list_tables)(&session).await?;
        }
    }

    /// The snapshot that a keeper of ours has just taken, imported by a session that was opened for it.
    pub async fn kept(session: Session, keeper: Keeper) -> Result<Self, PgError> {
        let kept = keeper.kept().clone();
        let ((), transactions) = tokio::try_join!(
            biased;
            session.enter(&kept.snapshot),
            current_transactions(&session),
        )?;
        if transactions != kept.transactions {
            return Err(PgError::Answer {
                query: "the snapshot",
                what: format!("{} is not the one that was taken", kept.snapshot),
            });
        }
        Ok(Self::imported(
            session,
            kept,
            Holder::Keeper(Box::new(keeper)),
        ))
    }

    /// The snapshot that a keeper held when an earlier process of ours ended; `None` if it is lost. Names of snapshots are
    /// used again after the server has been restarted: what counts is which transactions it sees.
    pub async fn resume(connector: &Connector, kept: &Kept) -> Result<Option<Self>, PgError> {
        let session = connector.session("snapshot").await?;
        if session.query(&ALIVE, &backend(kept)).await?.is_empty() {
            return Ok(None);
        }
        match session.enter(&kept.snapshot).await {
            Err(error) if error.code().is_some_and(|code| LOST.contains(&code)) => return Ok(None),
            imported => imported?,
        }
        if current_transactions(&session).await? != kept.transactions {
            return Ok(None);
        }
        let holder = Holder::Elsewhere(kept.clone());
        Ok(Some(Self::imported(session, kept.clone(), holder)))
    }

    fn imported(session: Session, kept: Kept, holder: Holder) -> Self {
        Self {
            session,
            holder,
            id: kept.snapshot,
            lsn: kept.lsn,
            transactions: kept.transactions,
            slot: kept.slot,
        }
    }

    /// A session that sees it: questions asked on it see the snapshot.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Which keeper holds it, if one does: what a later process needs to go on with it.
    pub fn kept_by(&self) -> Option<Kept> {
        match &self.holder {
            Holder::Itself => None,
            Holder::Keeper(keeper) => Some(keeper.kept().clone()),
            Holder::Elsewhere(kept) | Holder::Dismissed(kept) => Some(kept.clone()),
        }
    }

    /// From now on it survives us, if a keeper holds it: there is something that could be resumed. Until then the keeper
    /// ends with us.
    pub async fn keep(&mut self) -> Result<(), KeeperError> {
        match &mut self.holder {
            Holder::Keeper(keeper) => keeper.keep().await,
            Holder::Itself | Holder::Elsewhere(_) | Holder::Dismissed(_) => Ok(()),
        }
    }

    /// Leaves it to its keeper, for a later process of ours; without a keeper, it ends.
    pub fn leave(self) {
        // The keeper notices that nobody is at the other end of its pipe.
        drop(self);
    }

    /// Whether it has been held to this moment. Errors as those of [`Self::release`], which this does not replace; if nobody knows, it
    /// can be asked on another session ([`Self::check_by`]).
    pub async fn check(&mut self) -> Result<(), PgError> {
        let Some(kept) = self.kept_by() else {
            let seen = current_transactions(&self.session).await;
            return match seen {
                Ok(transactions) if transactions == self.transactions => Ok(()),
                Ok(_) => Err(lost(&self.id, "the session that held it sees another one")),
                Err(gone) if gone.is_lost_connection() => Err(lost(&self.id, &gone.to_string())),
                Err(other) => Err(other),
            };
        };
        let asked = backend(&kept);
        // Within a transaction, a server says again what it has said of its sessions before.
        let ((), alive) = tokio::try_join!(
            biased;
            self.session.execute("select pg_catalog.pg_stat_clear_snapshot()"),
            self.session.query(&ALIVE, &asked),
        )?;
        self.is_held(&kept, !alive.is_empty())
    }

    /// The same by way of another session, as [`Self::release_by`] does.
    pub async fn check_by(&mut self, session: Session) -> Result<(), PgError> {
        let kept = self.change_session(session)?;
        let alive = self.session.query(&ALIVE, &backend(&kept)).await?;
        self.is_held(&kept, !alive.is_empty())
    }

    /// Gives it back: the source may clean up again what only this snapshot could see.
    ///
    /// An error if its holder has ended before: from then on nothing kept tables that were not being read from being emptied,
    /// and what is emptied then reads as empty, without an error. Another error means that nobody knows; if a keeper holds it,
    /// it can be asked for on another session ([`Self::release_by`]).
    pub async fn release(&mut self) -> Result<(), PgError> {
        let Some(kept) = self.kept_by() else {
            let ended = self.session.execute("commit").await;
            return ended.map_err(|error| match error {
                gone if gone.is_lost_connection() => lost(&self.id, &gone.to_string()),
                other => other,
            });
        };
        let asked = backend(&kept);
        let ((), alive) = tokio::try_join!(
            biased;
            self.session.execute("commit"),
            self.session.query(&ALIVE, &asked),
        )?;
        self.dismiss(kept, !alive.is_empty()).await
    }

    /// The same by way of another session: our own may have ended, it holds nothing if a keeper does. Without a keeper, the
    /// snapshot has ended with it.
    pub async fn release_by(&mut self, session: Session) -> Result<(), PgError> {
        let kept = self.change_session(session)?;
        let alive = self.session.query(&ALIVE, &backend(&kept)).await?;
        self.dismiss(kept, !alive.is_empty()).await
    }

    /// Another session in the place of our own. An error if that held it.
    fn change_session(&mut self, session: Session) -> Result<Kept, PgError> {
        self.session = session;
        self.kept_by()
            .ok_or_else(|| lost(&self.id, "the session that held it has ended"))
    }

    /// An error if its keeper is not there any more, unless that was told to give it back.
    fn is_held(&self, kept: &Kept, is_there: bool) -> Result<(), PgError> {
        if is_there || matches!(self.holder, Holder::Dismissed(_)) {
            return Ok(());
        }
        Err(lost(
            &kept.snapshot,
            "the session that held it, and the locks on all tables, has ended",
        ))
    }

    /// Tells its keeper to give it back. An error if that is not there any more, unless it was told before.
    async fn dismiss(&mut self, kept: Kept, is_there: bool) -> Result<(), PgError> {
        if !is_there {
            return self.is_held(&kept, is_there);
        }
        let holder = std::mem::replace(&mut self.holder, Holder::Dismissed(kept.clone()));
        if let Holder::Keeper(keeper) = holder
            && keeper.release().await
        {
            return Ok(());
        }
        let ended = self.session.query(&TERMINATE, &backend(&kept)).await;
        ended.map(drop)
    }
}

fn lost(snapshot: &str, because: &str) -> PgError {
    PgError::SnapshotLost {
        snapshot: snapshot.to_owned(),
        because: because.to_owned(),
    }
}

impl<F> Taking<'_, F>
where
    F: AsyncFn(&Session) -> Result<Vec<(Oid, QualifiedName)>, PgError>,
{
    /// Locks the tables and takes the snapshot: as the server exports it, with its slot, and the list of tables as it is then.
    async fn attempt(
        &self,
        session: &Session,
    ) -> Result<([String; 3], Option<Slot>, Vec<(Oid, QualifiedName)>), PgError> {
        if let Some((connector, name)) = self.slot {
            // Locks alone do not take a snapshot: the transaction can still be given that of the slot.
            lock(session, &self.tables).await?;
            let fresh = FreshSlot::make(connector, name).await?;
            let take_over = format!(
                "set transaction snapshot {}",
                quote_literal(&fresh.snapshot)
            );
            session.execute(&take_over).await?;
            let snapshot = export(session).await?;
            let listed = (self.list_tables)(session).await?;
            return Ok((snapshot, Some(fresh.slot), listed));
        }
        // All is sent at once, and done one after the other: the snapshot is taken when the locks are there, and the list
        // is read again in it. If the locks cannot be had, their error is the first.
        let ((), snapshot, listed) = tokio::try_join!(
            biased;
            lock(session, &self.tables),
            export(session),
            (self.list_tables)(session),
        )?;
        Ok((snapshot, None, listed))
    }
}

fn backend(kept: &Kept) -> [&dyn Parameter; 2] {
    [&kept.backend_pid, &kept.backend_start]
}

/// Which transactions a new snapshot would see, for comparison with [`Snapshot::transactions`].
pub async fn current_transactions(session: &Session) -> Result<String, PgError> {
    let sql = "select pg_catalog.txid_current_snapshot()::text as transactions";
    let rows = session.query_text("the current snapshot", sql, &[]).await?;
    rows.first()
        .map_or(Ok(String::new()), |row| row.get("transactions"))
}

/// Begins the transaction and locks the tables in it: everything is sent before the first answer is waited for.
async fn lock(session: &Session, tables: &[(Oid, QualifiedName)]) -> Result<(), PgError> {
    let begin = "begin transaction isolation level repeatable read, read only".to_owned();
    let locks = tables.chunks(TABLES_PER_LOCK).map(|batch| {
        let names: Vec<String> = batch
            .iter()
            .map(|(_, name)| format!("only {name}"))
            .collect();
        format!("lock table {} in access share mode", names.join(", "))
    });
    let statements: Vec<String> = [begin].into_iter().chain(locks).collect();
    // After the first failure, the others fail because of it.
    let done = join_all(statements.iter().map(|sql| session.execute(sql))).await;
    done.into_iter().collect()
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
