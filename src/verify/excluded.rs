//! Tables whose rows were left out on request: there must be none.

use crate::model::{DifferenceKind, QualifiedName, Unverified, quote_literal};
use crate::pg::{PgError, Session};

use super::Outcome;

/// Checks that these tables are there, and empty. A table that cannot be read is reported as not verified.
pub async fn excluded_are_empty(session: &Session, tables: &[QualifiedName]) -> Outcome {
    let mut outcome = Outcome::default();
    for table in tables {
        match rows_of(session, table).await {
            Ok(Some(false)) => {}
            Ok(Some(true)) => outcome.differ(
                DifferenceKind::Extra,
                ("table data", table.shown()),
                "its rows were left out on request, but on the target it is not empty".into(),
            ),
            Ok(None) => outcome.differ(
                DifferenceKind::Missing,
                ("table", table.shown()),
                "it is not on the target".into(),
            ),
            Err(error) => outcome.unverified.push(Unverified {
                class: "table data".into(),
                object: table.shown(),
                because: format!("it could not be read: {error}"),
            }),
        }
    }
    outcome.count("tables left empty", tables.len());
    outcome
}

/// Whether a table has rows of its own; `None` if it is not there.
async fn rows_of(session: &Session, table: &QualifiedName) -> Result<Option<bool>, PgError> {
    let name = quote_literal(&table.to_string());
    let is_there = format!("select pg_catalog.to_regclass({name}) is not null as yes");
    if !ask(session, &is_there).await? {
        return Ok(None);
    }
    let has_rows = format!("select exists (select from only {table}) as yes");
    ask(session, &has_rows).await.map(Some)
}

async fn ask(session: &Session, sql: &str) -> Result<bool, PgError> {
    const NAME: &str = "whether a table is empty";
    let rows = session.query_text(NAME, sql, &[]).await?;
    let row = rows.first().ok_or_else(|| PgError::Answer {
        query: NAME,
        what: "no row".into(),
    })?;
    row.get("yes")
}
