//! What stands behind a job's error that names a resource and nobody: who holds the lock, how much room there is for locks.
//! Asked right after the error, on sessions of their own; best effort.

use std::time::Duration;

use super::outcome::Outcome;
use super::supervisor::Context;
use crate::catalog::{self, LockTable};
use crate::model::Side;
use crate::pg::{PgError, Pool};

/// How long a job may be kept from going on.
const PATIENCE: Duration = Duration::from_secs(10);

/// SQLSTATE `lock_not_available`: on the source alone, since nothing on the target has a time limit.
const LOCKED: &str = "55P03";
/// SQLSTATE `out_of_memory`, also of the memory for locks.
const OUT_OF_MEMORY: &str = "53200";

impl Context {
    /// A clause about an error with this SQLSTATE, if there is anything to be said.
    pub async fn explain(&self, code: Option<&str>) -> Option<String> {
        let asked = async {
            match code? {
                LOCKED => locks(&self.source).await.ok()?,
                OUT_OF_MEMORY => {
                    let source = room(&self.source, Side::Source);
                    let (source, target) = tokio::join!(source, room(&self.target, Side::Target));
                    let found: Vec<String> = source.into_iter().chain(target).collect();
                    (!found.is_empty()).then(|| found.join("; "))
                }
                _ => None,
            }
        };
        // A server that does not answer leaves the error as it is.
        tokio::time::timeout(PATIENCE, asked).await.ok().flatten()
    }

    /// Adds to the hints of failures what the servers say about them.
    pub async fn explain_failures(&self, outcome: &mut Outcome) {
        for (_, failure) in &mut outcome.failures {
            let code = failure
                .server_error
                .as_ref()
                .map(|error| error.code.as_str());
            if let Some(explained) = self.explain(code).await {
                let hint = failure.hint.take().map(|hint| format!("{hint} "));
                failure.hint = Some(format!("{}{explained}.", hint.unwrap_or_default()));
            }
        }
    }
}

async fn locks(source: &Pool) -> Result<Option<String>, PgError> {
    let session = source.session("explain").await?;
    let locks = catalog::barring_locks(&session).await?;
    let words: Vec<String> = locks.iter().map(ToString::to_string).collect();
    Ok((!words.is_empty()).then(|| words.join("; ")))
}

async fn room(pool: &Pool, side: Side) -> Option<String> {
    let session = pool.session("explain").await.ok()?;
    let table = LockTable::read(&session).await.ok()??;
    Some(format!("on the {side}, {table}"))
}
