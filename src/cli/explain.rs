//! What is behind an error that names a resource, but not who has it: who holds the lock, who has the connections, how much room
//! there is for locks. Asked right after the error, on a session that was open before; best effort.

use std::collections::BTreeSet;
use std::time::Duration;

use super::inspect::Server;
use crate::catalog::{self, BarringLock, LockTable};
use crate::failure::{Failure, FailureKind};
use crate::model::{ExitStatus, Rows};
use crate::pg::PgError;

/// How long the failure may be kept from whoever waits for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Locks for each table of the source: the snapshot's, `pg_dump`'s, and those of the sessions that read it, on the table and
/// on an index.
const LOCKS_PER_TABLE: u64 = 4;

/// What was not to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Lock,
    Connection,
    RoomForLocks,
}

impl Missing {
    /// By SQLSTATE if it is given; otherwise (`pg_dump` does not give it) by the server's words.
    fn of(said: &str) -> Option<Self> {
        const SIGNS: [(&str, Missing); 8] = [
            (" 55P03: ", Missing::Lock),
            ("due to lock timeout", Missing::Lock),
            // So pg_dump waits for its locks.
            ("due to statement timeout", Missing::Lock),
            (" 53300: ", Missing::Connection),
            ("too many clients", Missing::Connection),
            ("remaining connection slots", Missing::Connection),
            (" 53200: ", Missing::RoomForLocks),
            ("max_locks_per_transaction", Missing::RoomForLocks),
        ];
        let found = SIGNS.iter().find(|(sign, _)| said.contains(sign));
        found.map(|(_, missing)| *missing)
    }
}

/// The failure with what the server says about its cause, where it is one of these. A client tool does not say that it has lost its server:
/// if we have lost it as well, the run was broken off.
pub async fn explained(mut failure: Failure, server: &Server) -> Failure {
    if failure.kind == FailureKind::ClientTool && is_lost(server).await {
        return failure.with_status(ExitStatus::Interrupted);
    }
    if let Some(missing) = Missing::of(&failure.to_string()) {
        let asked = tokio::time::timeout(PATIENCE, ask(missing, server)).await;
        // A server that does not answer leaves the error as it is.
        failure
            .details
            .extend(asked.ok().and_then(Result::ok).unwrap_or_default());
    }
    failure
}

/// One that takes its time, or refuses to answer, is still there.
async fn is_lost(server: &Server) -> bool {
    let asked = tokio::time::timeout(PATIENCE, server.session.execute("select")).await;
    matches!(asked, Ok(Err(error)) if error.is_lost_connection())
}

async fn ask(missing: Missing, server: &Server) -> Result<Vec<String>, PgError> {
    let session = &server.session;
    Ok(match missing {
        Missing::Lock => {
            let locks = catalog::barring_locks(session).await?;
            let told = locks.iter().map(ToString::to_string);
            told.chain(way_past(&locks)).collect()
        }
        Missing::Connection => vec![catalog::connections(session).await?],
        Missing::RoomForLocks => {
            let found = LockTable::read(session).await?;
            found.iter().map(room_for_locks).collect()
        }
    })
}

/// A session that only waits for such a lock blocks everyone behind it, and may wait for the very snapshot that is kept for one of those.
fn way_past(locks: &[BarringLock]) -> Option<String> {
    let waiting = locks.iter().filter(|lock| !lock.granted);
    let waiting: BTreeSet<i32> = waiting.map(|lock| lock.holder.pid).collect();
    let cancel = waiting
        .iter()
        .map(|pid| format!("select pg_cancel_backend({pid});"));
    let cancel: Vec<String> = cancel.collect();
    (!cancel.is_empty()).then(|| {
        format!(
            "A session that waits for a table lock blocks everyone behind it; it may be waiting for the snapshot of an interrupted run \
             (session pgconvoy:keeper). Cancel its statement, then try again: {}",
            cancel.join(" ")
        )
    })
}

fn room_for_locks(table: &LockTable) -> String {
    let locks = table.tables * LOCKS_PER_TABLE;
    format!(
        "{table}; {} tables take about {}: set it to {} or more and restart the server",
        Rows(table.tables),
        Rows(locks),
        table.setting_for(locks)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Holder;
    use crate::model::QualifiedName;

    #[test]
    fn only_who_waits_is_to_be_cancelled() {
        let lock = |pid, granted| BarringLock {
            relation: QualifiedName::new("app", "t"),
            granted,
            holder: Holder {
                pid,
                ..Holder::default()
            },
        };
        assert_eq!(way_past(&[lock(1, true)]), None);
        let said = way_past(&[lock(1, true), lock(7, false), lock(7, false)]);
        let said = said.expect("somebody waits");
        assert!(
            said.ends_with("try again: select pg_cancel_backend(7);"),
            "{said}"
        );
    }

    #[test]
    fn what_is_missing_is_known_by_code_or_by_words() {
        for (said, missing) in [
            (
                "ERROR:  55P03: canceling statement due to lock timeout",
                Some(Missing::Lock),
            ),
            (
                "pg_dump: error: query failed: ERROR:  canceling statement due to lock timeout",
                Some(Missing::Lock),
            ),
            (
                "pg_dump: error: query failed: ERROR:  canceling statement due to statement timeout",
                Some(Missing::Lock),
            ),
            (
                "FATAL:  sorry, too many clients already",
                Some(Missing::Connection),
            ),
            (
                "ERROR:  53200: out of shared memory\nHINT:  You might need to increase max_locks_per_transaction.",
                Some(Missing::RoomForLocks),
            ),
            ("ERROR:  42501: permission denied for table locks", None),
        ] {
            assert_eq!(Missing::of(said), missing, "{said}");
        }
    }
}
