//! The sign that a run puts up on a target before it empties it: the schema of the ledger, with nothing in it but a comment that names
//! the run.
//!
//! ```text
//!   full ─► the sign, committed with or before the first drop ─► half empty ─► empty ─► the ledger, in the sign's place
//! ```
//!
//! What a run was told to empty it may go on emptying after it was interrupted, on the word of that day, and nothing else. Without the
//! sign nobody knows whose the target is by now: somebody may have begun anew, and be using it. It is a schema because whoever
//! can make a ledger can make that; not everybody may comment on a database.

use super::LedgerError;
use crate::catalog::{self, LedgerSchema};
use crate::model::quote_literal;
use crate::pg::{Query, Session};

const SIGN: Query = Query::new("ledger/sign.sql", include_str!("../../sql/ledger/sign.sql"));

/// How a sign begins, and what it is known by (`catalog/ledger_schema.sql`); the run comes after it.
const BEGIN: &str = "This database was being emptied for an unfinished pgconvoy run: ";

/// Puts up the sign of a run, in the place of another one. Fails if there is a ledger: that is not ours to drop.
pub fn put_up_sign(run: &str) -> String {
    let text = quote_literal(&format!("{BEGIN}{run}"));
    format!("{TAKE_DOWN_SIGN};\ncreate schema pgconvoy;\ncomment on schema pgconvoy is {text}")
}

/// Takes the sign down, if there is one; fails if there is a ledger.
pub(super) const TAKE_DOWN_SIGN: &str = "drop schema if exists pgconvoy restrict";

/// Whether the sign of this very run is up.
pub async fn has_sign(session: &Session, run: &str) -> Result<bool, LedgerError> {
    let whose = catalog::ledger_schema(session).await;
    if whose.map_err(LedgerError::Read)? != Some(LedgerSchema::Sign) {
        return Ok(false);
    }
    let said = session.query(&SIGN, &[]).await;
    let said: Option<String> = said
        .and_then(|rows| rows.first().map_or(Ok(None), |row| row.get("said")))
        .map_err(LedgerError::Read)?;
    Ok(said.is_some_and(|said| said.strip_prefix(BEGIN) == Some(run)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOSE: &str = include_str!("../../sql/catalog/ledger_schema.sql");

    #[test]
    fn a_sign_is_known_by_what_it_says() {
        let says = format!(
            "'pg_namespace') like {}\n",
            quote_literal(&format!("{BEGIN}%"))
        );
        assert!(WHOSE.contains(&says), "{says}");
        let wild = |char| matches!(char, '_' | '%' | '\\');
        assert!(!BEGIN.contains(wild), "{BEGIN}");
    }

    #[test]
    fn a_sign_names_its_run_whatever_that_is_called() {
        let sql = put_up_sign("/runs/it's");
        assert!(
            sql.ends_with("unfinished pgconvoy run: /runs/it''s'"),
            "{sql}"
        );
        assert!(
            sql.starts_with("drop schema if exists pgconvoy restrict;"),
            "{sql}"
        );
    }
}
