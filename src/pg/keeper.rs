//! The keeper: a process of its own that holds the source's snapshot, so that it survives a crash of the supervisor.
//!
//! ```text
//!   supervisor ──spawns──► pgconvoy keeper ──session──► source: the tables' locks, the exported snapshot
//!       │  ◄── one line ───────┘                           ▲
//!       │  ─── keep, release ──►                           │
//!       └──────── its own sessions import the snapshot ────┘
//! ```
//!
//! It learns where to connect from its environment, never from its arguments. What it has to say is one line of JSON: the
//! snapshot it took, or why it could not. Until it is told to keep the snapshot, the end of its supervisor is its own end
//! as well: nothing has been done yet that could be resumed. From then on it holds on until it is told to release the
//! snapshot, or until nobody has used the source for a while (see [`hold`]).

mod hold;

use std::error::Error;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use super::client_tools::{ChildEnvironment, in_words, without_libpq_variables};
use super::{PgError, Query, Slot};
use crate::model::{FollowName, ServerError, SqlText};

pub use hold::{HoldError, Holding, Released, hold};

/// What its session is called: `pgconvoy:keeper` in `pg_stat_activity`.
pub const PURPOSE: &str = "keeper";

/// How many bytes its line may have: an error with a long statement, not a program that does not stop.
const LONGEST_LINE: u64 = 16 << 20;

/// How long it may take to commit and to end once it was told to.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) const BACKEND: Query =
    Query::new("backend.sql", include_str!("../../sql/keeper/backend.sql"));
pub(super) const ALIVE: Query = Query::new("alive.sql", include_str!("../../sql/keeper/alive.sql"));
pub(super) const TERMINATE: Query = Query::new(
    "terminate.sql",
    include_str!("../../sql/keeper/terminate.sql"),
);
pub(super) const USERS: Query = Query::new("users.sql", include_str!("../../sql/keeper/users.sql"));

/// All of them, for the test that prepares each on every supported server.
pub const QUERIES: [Query; 4] = [BACKEND, ALIVE, TERMINATE, USERS];

/// A snapshot that a keeper holds, and which backend serves it: enough to find it again after a crash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// As `pg_export_snapshot` names it.
    pub snapshot: String,
    /// Position of the write-ahead log at that moment.
    pub lsn: String,
    /// Which transactions it sees.
    pub transactions: String,
    /// Process id of the server's process.
    pub backend_pid: i32,
    /// When that process began, as the server writes it: process ids are used again.
    pub backend_start: String,
    /// The replication slot that was made with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<Slot>,
}

/// The one line that a keeper writes.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    /// It holds this.
    Kept(Kept),
    /// It could not.
    Failed {
        /// Why not.
        error: Box<Trouble>,
    },
}

/// An error on its way from one process to the other, whole.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Trouble {
    message: String,
    causes: Vec<String>,
    statement: SqlText,
    server_error: Option<ServerError>,
}

/// The line of a keeper that cannot even try.
pub fn refusal(message: &str) -> String {
    let error = Box::new(Trouble {
        message: message.to_owned(),
        ..Trouble::default()
    });
    // Strings always fit into JSON.
    serde_json::to_string(&Line::Failed { error }).unwrap_or_default()
}

/// What a supervisor writes to its keeper.
const KEEP: &str = "keep";
const RELEASE: &str = "release";

/// Why there is no keeper, or why it does not do what it is told.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The program could not be started.
    #[error("the process that is to hold the snapshot cannot be started ({program})")]
    Start {
        /// Which program.
        program: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The server said no, to it or to a session of ours.
    #[error(transparent)]
    Session(#[from] PgError),
    /// It could not take the snapshot for another reason.
    #[error("the process that is to hold the snapshot could not take it: {message}")]
    Failed {
        /// What it said, with its causes.
        message: String,
    },
    /// It ended, or said what nobody understands.
    #[error("the process that is to hold the snapshot does not: {what}")]
    Odd {
        /// What it did.
        what: String,
    },
    /// It ended although nobody told it to.
    #[error("the process that holds the snapshot has ended")]
    Gone {
        /// How that was noticed.
        #[source]
        source: io::Error,
    },
}

/// A keeper that this process started. When it is dropped the keeper notices, and does what it was last told: it ends, or
/// it holds on.
#[derive(Debug)]
pub struct Keeper {
    child: Child,
    orders: ChildStdin,
    kept: Kept,
}

impl Keeper {
    /// Starts this program again as a keeper.
    pub async fn spawn_ourselves(
        connection: &ChildEnvironment,
        keep_for: Duration,
        slot: Option<&FollowName>,
    ) -> Result<Self, KeeperError> {
        let program = std::env::current_exe().map_err(|source| KeeperError::Start {
            program: "pgconvoy".to_owned(),
            source,
        })?;
        Self::spawn(&program, connection, (keep_for, slot)).await
    }

    /// Starts `program keeper …` and waits for its snapshot, as long as it takes: it waits for locks as we would.
    pub async fn spawn(
        program: &Path,
        connection: &ChildEnvironment,
        (keep_for, slot): (Duration, Option<&FollowName>),
    ) -> Result<Self, KeeperError> {
        let mut command = Command::new(program);
        command
            .arg(PURPOSE)
            .arg(format!("--keep-snapshot={}s", keep_for.as_secs().max(1)))
            .args(slot.map(|name| format!("--slot={name}")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        without_libpq_variables(&mut command);
        let variables: Vec<(&str, OsString)> = connection.for_ourselves();
        let mut child = command
            .envs(variables)
            .spawn()
            .map_err(|source| KeeperError::Start {
                program: program.display().to_string(),
                source,
            })?;
        let (Some(orders), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(odd("it has no pipe to us"));
        };
        let mut line = String::new();
        let mut stdout = BufReader::new(stdout.take(LONGEST_LINE));
        let read = stdout.read_line(&mut line).await;
        match read {
            Ok(0) => {
                let status = child.wait().await;
                Err(odd(&status.map_or_else(
                    |error| format!("it ended without a word, and how is not known: {error}"),
                    |status| format!("it ended without a word ({})", in_words(status)),
                )))
            }
            Ok(_) => Ok(Self {
                kept: understood(&line)?,
                child,
                orders,
            }),
            Err(error) => Err(odd(&format!("its answer cannot be read: {error}"))),
        }
    }

    /// What it holds.
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Its process id; `None` if it has ended.
    pub fn process_id(&self) -> Option<u32> {
        self.child.id()
    }

    /// From now on it outlives us.
    pub async fn keep(&mut self) -> Result<(), KeeperError> {
        self.tell(KEEP)
            .await
            .map_err(|source| KeeperError::Gone { source })
    }

    /// Tells it to give the snapshot back, and waits for its end; whether it came in time.
    pub(super) async fn release(mut self) -> bool {
        // One that has ended by itself cannot be told, and need not be.
        let _ = self.tell(RELEASE).await;
        tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .is_ok()
    }

    async fn tell(&mut self, order: &str) -> io::Result<()> {
        self.orders
            .write_all(format!("{order}\n").as_bytes())
            .await?;
        self.orders.flush().await
    }
}

fn odd(what: &str) -> KeeperError {
    KeeperError::Odd {
        what: what.to_owned(),
    }
}

fn understood(line: &str) -> Result<Kept, KeeperError> {
    match serde_json::from_str(line) {
        Ok(Line::Kept(kept)) => Ok(kept),
        Ok(Line::Failed { error }) => Err(error.into_error()),
        Err(_) => Err(odd(&format!("it says {:?}", line.trim_end()))),
    }
}

impl Trouble {
    fn of(error: &PgError) -> Self {
        let mut causes = Vec::new();
        let mut source = error.source();
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        let (statement, server_error) = match error {
            PgError::Server { statement, error } => (statement.clone(), Some((**error).clone())),
            PgError::Connect(error) => (SqlText::default(), error.server_error().cloned()),
            _ => (SqlText::default(), None),
        };
        Self {
            message: error.to_string(),
            causes,
            statement,
            server_error,
        }
    }

    /// What the server said is the same error again; of everything else the words are left.
    fn into_error(self) -> KeeperError {
        match self.server_error {
            Some(error) => PgError::server(&self.statement, error).into(),
            None => KeeperError::Failed {
                message: [vec![self.message], self.causes].concat().join(": "),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_keeper_says_arrives_whole() {
        let kept = Kept {
            snapshot: "00000003-0000001B-1".to_owned(),
            lsn: "0/1".to_owned(),
            transactions: "7:7:".to_owned(),
            backend_pid: 12,
            backend_start: "2026-01-01 00:00:00+00".to_owned(),
            slot: None,
        };
        let line = serde_json::to_string(&Line::Kept(kept.clone())).expect("JSON");
        assert_eq!(understood(&line).expect("understood"), kept);

        let server_error = ServerError {
            code: "55P03".to_owned(),
            message: "canceling statement due to lock timeout".to_owned(),
            detail: Some("all of it".to_owned()),
            ..ServerError::default()
        };
        let error = PgError::server(&SqlText::from("lock table a"), server_error.clone());
        let trouble = Line::Failed {
            error: Box::new(Trouble::of(&error)),
        };
        let line = serde_json::to_string(&trouble).expect("JSON");
        match understood(&line) {
            Err(KeeperError::Session(PgError::Server { statement, error })) => {
                assert_eq!(*error, server_error);
                assert_eq!(statement.to_string(), "lock table a");
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(
            understood("segmentation fault"),
            Err(KeeperError::Odd { .. })
        ));
    }

    #[tokio::test]
    async fn a_program_that_is_no_keeper_is_noticed() {
        let nothing = ChildEnvironment::default();
        let hour = Duration::from_secs(3600);
        let ended = Keeper::spawn(Path::new("/bin/true"), &nothing, (hour, None)).await;
        assert!(
            matches!(&ended, Err(KeeperError::Odd { what }) if what.contains("without a word")),
            "{ended:?}"
        );
        let missing =
            Keeper::spawn(Path::new("/nonexistent/program"), &nothing, (hour, None)).await;
        assert!(
            matches!(missing, Err(KeeperError::Start { .. })),
            "{missing:?}"
        );
    }
}
