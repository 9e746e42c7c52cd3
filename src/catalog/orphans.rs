//! Rows whose foreign key points nowhere, looked for within a time.
//!
//! A server checks a foreign key when rows are written. Damage, disabled triggers and `session_replication_role = replica` leave rows
//! behind that break it, and nobody notices before another server is to build the key.

use std::time::{Duration, Instant};

use super::foreign_keys::{ForeignKey, foreign_keys};
use crate::model::QualifiedName;
use crate::pg::{PgError, Session};

/// An index scan that comes to a page which is lost takes the row for deleted, and notes that in the index, which then does not tell any
/// more that there was one. Who looks for damage leaves it as it is; a bitmap scan does.
const READ_NO_ROW_BY_AN_INDEX: &str = "set enable_indexscan = off; set enable_indexonlyscan = off";

/// A statement was cancelled.
const CANCELLED: &str = "57014";

/// Rows that point nowhere, of a foreign key that is said to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// The referencing table.
    pub table: QualifiedName,
    /// The foreign key.
    pub constraint: String,
    /// The referenced table.
    pub references: QualifiedName,
    /// A query that finds all such rows.
    pub query: String,
}

/// What a look for orphans came to, within its time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Orphans {
    /// Foreign keys that were looked at, to the end.
    pub looked_at: u64,
    /// All that there are.
    pub all: u64,
    /// Those with rows that point nowhere.
    pub found: Vec<Orphan>,
}

impl Orphans {
    /// Looks at one foreign key after the other, those of small tables first, until the time is over. The session is one's own:
    /// its statements are cut off.
    pub async fn look(session: &Session, limit: Duration) -> Result<Self, PgError> {
        let began = Instant::now();
        let mut keys = foreign_keys(session).await?;
        // Of a partitioned table, those of its partitions are looked at.
        keys.retain(|key| !key.partitioned);
        session.execute(READ_NO_ROW_BY_AN_INDEX).await?;
        let mut orphans = Self {
            all: keys.len() as u64,
            ..Self::default()
        };
        for key in keys {
            let left_ms = limit.saturating_sub(began.elapsed()).as_millis();
            if left_ms == 0 {
                break;
            }
            let orphan = Orphan::of(key);
            session
                .execute(&format!("set statement_timeout = {left_ms}"))
                .await?;
            let probe = format!("{} limit 1", orphan.query);
            match session.query_text("a look for orphans", &probe, &[]).await {
                Ok(rows) if rows.is_empty() => {}
                Ok(_) => orphans.found.push(orphan),
                Err(error) if error.code() == Some(CANCELLED) => break,
                Err(error) if error.is_lost_connection() || error.code().is_none() => {
                    return Err(error);
                }
                // Row security, for example: it counts as one that was not looked at.
                Err(_) => continue,
            }
            orphans.looked_at += 1;
        }
        Ok(orphans)
    }
}

impl Orphan {
    fn of(key: ForeignKey) -> Self {
        let condition = key.references.violated_by(&key.columns);
        Self {
            query: format!("select t.* from only {} t where {condition}", key.table),
            table: key.table,
            constraint: key.name,
            references: key.references.table,
        }
    }
}
