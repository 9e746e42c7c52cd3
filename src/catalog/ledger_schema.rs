//! Whose the schema is that has the ledger's name: decided by one query (`ledger_schema.sql`), for everybody who asks about it.

use serde::{Deserialize, Serialize};

use super::queries;
use super::queries::VersionedQuery;
use super::read::ask;
use crate::pg::{Answer, PgError, Session};

/// The query, for who can do without its answer. It has one row, or none.
pub const LEDGER_SCHEMA: VersionedQuery = queries::LEDGER_SCHEMA;

/// Whose a schema `pgconvoy` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerSchema {
    /// A run's: its ledger is in it, whichever version wrote that.
    Ledger,
    /// A run's that is emptying the database, or was: its comment says so, and nothing is in it.
    Sign,
    /// Somebody's own.
    Another,
}

impl LedgerSchema {
    /// From the rows of [`LEDGER_SCHEMA`]; `None` if there is no such schema.
    pub fn of(rows: &[Answer]) -> Result<Option<Self>, PgError> {
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let whose: String = row.get("whose")?;
        match whose.as_str() {
            "ledger" => Ok(Some(Self::Ledger)),
            "sign" => Ok(Some(Self::Sign)),
            "another" => Ok(Some(Self::Another)),
            other => Err(PgError::Answer {
                query: LEDGER_SCHEMA.newest.name,
                what: format!("{other:?} is unknown"),
            }),
        }
    }

    /// What it is called among what a database holds: the parameter of the queries that list that.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Ledger => "ledger of an unfinished run",
            Self::Sign => "sign of an unfinished run",
            Self::Another => "schema",
        }
    }
}

/// Whose the schema pgconvoy of the connected database is, if there is one.
pub async fn ledger_schema(session: &Session) -> Result<Option<LedgerSchema>, PgError> {
    LedgerSchema::of(&ask(session, &LEDGER_SCHEMA, &[]).await?)
}

/// The same as a parameter. Where there is no such schema, none is listed.
pub(super) fn kind(whose: Option<LedgerSchema>) -> &'static str {
    whose.map_or("", LedgerSchema::kind)
}
