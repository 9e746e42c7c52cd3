//! Clears a part of the target before an archive is restored into it: drops what the archive has (`--clean`), or empties the
//! tables that it has rows of (`--data-only --overwrite`).
//!
//! Each is one transaction: what cannot be cleared as a whole is left as it was. Nothing is dropped with CASCADE, so what is not in
//! the archive and needs what is keeps it from being dropped. Both may be done twice.

use super::rebase;
use crate::fault;
use crate::model::{Oid, QualifiedName, SqlText};
use crate::pg::{BEGIN_DURABLY, PgError, Session};

/// Why a part of the target could not be cleared. It is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ClearError {
    /// Something could not be dropped.
    #[error("dropping {what} on the target")]
    Drop {
        /// What.
        what: String,
        /// Why not.
        #[source]
        source: PgError,
    },
    /// Tables could not be emptied.
    #[error("emptying tables on the target")]
    Empty {
        /// Why not.
        #[source]
        source: PgError,
    },
}

/// A table that is to be emptied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emptied {
    /// Which.
    pub table: QualifiedName,
    /// Only these rows of it, which an extension has for its users: a `WHERE` clause, or nothing.
    pub of_extension: Option<String>,
}

/// Drops what an archive has, in this order; `(what, statement)`. In the same transaction `sign` puts up [the run's
/// sign](crate::ledger::put_up_sign).
pub async fn drop_objects(
    session: &Session,
    drops: &[(String, SqlText)],
    sign: &str,
) -> Result<(), ClearError> {
    let failed = |what: &str, source| ClearError::Drop {
        what: what.to_owned(),
        source,
    };
    let begin = session.execute(BEGIN_DURABLY);
    begin.await.map_err(|source| failed("nothing", source))?;
    for (what, sql) in drops {
        let dropped = session.execute(&sql.to_string_lossy()).await;
        if let Err(source) = dropped {
            // Should this fail as well, then the session is gone, and the transaction with it.
            let _ = session.execute("rollback").await;
            return Err(failed(what, source));
        }
    }
    if let Err(source) = session.execute(sign).await {
        let _ = session.execute("rollback").await;
        return Err(failed("everything, and noting which run does it,", source));
    }
    fault::point("target-uncleaned");
    let committed = session.execute("commit").await;
    committed.map_err(|source| failed("everything", source))
}

/// Empties tables, and removes large objects that are there. With `as_replica` no trigger fires. In the same transaction `sign` puts
/// up [the run's sign](crate::ledger::put_up_sign).
pub async fn empty_tables(
    session: &Session,
    (tables, objects): (&[Emptied], &[Oid]),
    as_replica: bool,
    sign: &str,
) -> Result<(), ClearError> {
    let emptied = async {
        session.execute(BEGIN_DURABLY).await?;
        if as_replica {
            session
                .execute("set local session_replication_role = replica")
                .await?;
        }
        session.execute(sign).await?;
        for table in tables {
            if let Some(condition) = &table.of_extension {
                let sql = format!("delete from only {} {condition}", table.table);
                session.execute(&sql).await?;
            }
        }
        let whole = tables.iter().filter(|table| table.of_extension.is_none());
        let whole: Vec<String> = whole.map(|table| format!("only {}", table.table)).collect();
        if !whole.is_empty() {
            // Together, since some refer to others.
            let sql = format!("truncate table {}", whole.join(", "));
            session.execute(&sql).await?;
        }
        rebase::remove_large_objects(session, objects).await?;
        session.execute("commit").await
    };
    let emptied = emptied.await;
    if emptied.is_err() {
        let _ = session.execute("rollback").await;
    }
    emptied.map_err(|source| ClearError::Empty { source })
}
