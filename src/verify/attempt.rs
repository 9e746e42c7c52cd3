//! Questions that a server may refuse without the comparison ending there: what an ordinary role may not ask, what a broken
//! file on the server keeps it from answering.

use crate::catalog::VersionedQuery;
use crate::pg::{Answer, PgError, Session};

/// `SAVEPOINT` outside of a transaction.
const NO_TRANSACTION: &str = "25P01";

/// Asks; a refusal is part of the answer, and leaves the session's transaction, if it is in one, as it was. A lost
/// connection is an error.
pub(super) async fn attempt(
    session: &Session,
    query: &VersionedQuery,
) -> Result<Result<Vec<Answer>, PgError>, PgError> {
    let query = query.for_server(session.version());
    attempt_text(session, query.name, query.sql).await
}

/// The same on a session that is in no transaction: a refusal ends nothing there, and a savepoint would be an error in the server's log.
pub(super) async fn attempt_outside(
    session: &Session,
    query: &VersionedQuery,
) -> Result<Result<Vec<Answer>, PgError>, PgError> {
    let query = query.for_server(session.version());
    refused(session.query_text(query.name, query.sql, &[]).await)
}

/// The same with a query built around identifiers.
pub(super) async fn attempt_text(
    session: &Session,
    name: &'static str,
    sql: &str,
) -> Result<Result<Vec<Answer>, PgError>, PgError> {
    // Sent at once. Nothing else may be asked on the session meanwhile, if it is in a transaction: it would fail along.
    let (saved, answer) = tokio::join!(
        biased;
        session.execute("savepoint attempt"),
        session.query_text(name, sql, &[]),
    );
    let in_transaction = match saved {
        Ok(()) => true,
        Err(error) if error.code() == Some(NO_TRANSACTION) => false,
        Err(error) => return Err(error),
    };
    let answer = refused(answer)?;
    if in_transaction {
        let end = if answer.is_ok() {
            "release savepoint attempt"
        } else {
            "rollback to savepoint attempt; release savepoint attempt"
        };
        session.execute(end).await?;
    }
    Ok(answer)
}

/// A refusal is an answer.
fn refused(answer: Result<Vec<Answer>, PgError>) -> Result<Result<Vec<Answer>, PgError>, PgError> {
    match answer {
        Err(error) if error.code().is_none() || error.is_lost_connection() => Err(error),
        other => Ok(other),
    }
}
