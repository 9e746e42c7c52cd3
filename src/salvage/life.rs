//! Why a session ended that was reading: what it read brought the server down, or it was taken away.
//!
//! A server process that crashes says nothing, and takes all others along, each of which says so. A road that is cut says nothing either, and
//! may take along whatever goes by it. So the server is asked when it can be reached again: after a crash its own processes are
//! others than before.

use std::time::Duration;

use crate::model::{ServerError, SqlText};
use crate::pg::wire::Wire;
use crate::pg::{PgError, Query};

pub(super) const LIFE: Query = Query::new(
    "salvage/life.sql",
    include_str!("../../sql/salvage/life.sql"),
);

/// How often it is looked for the process that tells: it begins a moment after the first session may.
const LOOKS: u32 = 10;
/// How long in between.
const PAUSE: Duration = Duration::from_millis(100);

/// What the end of a session says of what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing: it was told to go, or the road was cut.
    TakenAway,
    /// Hardly anything: another session brought the server down.
    TakenAlong,
    /// The server has crashed, and it was the first to go.
    Crash,
}

/// A server from its start to its crash or its end, as it tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Life(Vec<Option<bytes::Bytes>>);

impl Life {
    /// The one that a session is of; nothing, if the server does not tell.
    pub async fn of(wire: &mut Wire) -> Result<Option<Self>, PgError> {
        for _ in 0..LOOKS {
            match wire.query(&SqlText::from(LIFE.sql)).await {
                Ok(mut rows) => {
                    if let Some(row) = rows.pop() {
                        return Ok(Some(Self(row)));
                    }
                }
                Err(error) if error.is_lost_connection() => return Err(error),
                // What it would have to be asked by is damaged.
                Err(_) => return Ok(None),
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(None)
    }
}

/// What the server has said at the end of a session, if it has said anything.
pub(super) fn last_words(error: &PgError, notices: &[ServerError]) -> Option<End> {
    let noted = notices.iter().map(|notice| notice.code.as_str());
    let mut codes = noted.chain(error.code());
    codes.find_map(|code| match code {
        // admin_shutdown: also by `pg_terminate_backend`.
        "57P01" => Some(End::TakenAway),
        // crash_shutdown
        "57P02" => Some(End::TakenAlong),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: &str) -> ServerError {
        ServerError {
            code: code.to_owned(),
            ..ServerError::default()
        }
    }

    #[test]
    fn who_was_told_to_go_or_taken_along_says_so() {
        let silent = PgError::Closed {
            doing: "reading rows".to_owned(),
        };
        assert_eq!(last_words(&silent, &[]), None);
        // Of a crash elsewhere, a server warns; and that it is told to go is an error.
        let warned = [said("01000"), said("57P02")];
        assert_eq!(last_words(&silent, &warned), Some(End::TakenAlong));
        let told = PgError::server(&SqlText::from("copy t to stdout"), said("57P01"));
        assert_eq!(last_words(&told, &[said("01000")]), Some(End::TakenAway));
        assert_eq!(last_words(&told, &[]), Some(End::TakenAway));
    }
}
