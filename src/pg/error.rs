//! What can go wrong between us and a server.

use crate::model::{Rows, ServerError, Side, SqlText};

use super::claim;
use super::connect_error::ConnectError;
use super::wire::ScanError;

/// Why a session cannot be bound to the server's certificate.
pub(super) const NOT_ENCRYPTED: &str = "the connection is not encrypted";

/// An error on a session. Each variant says what was being done, and to what.
#[derive(Debug, thiserror::Error)]
pub enum PgError {
    /// No session at all.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server refused a statement.
    #[error("{error}")]
    Server {
        /// The statement, whole; empty when the server spoke up on its own (at start-up, at its shutdown).
        statement: SqlText,
        /// Its answer, every field.
        error: Box<ServerError>,
    },
    /// The socket failed.
    #[error("the connection was lost while {doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What was to be sent to a server could not be read, which says nothing of what it is: a store or a disk may give it another time.
    #[error("{doing} failed")]
    Unread {
        /// What was being done.
        doing: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The server hung up without a word.
    #[error("the server closed the connection while {doing}")]
    Closed {
        /// What was being done.
        doing: String,
    },
    /// The server asks for a password and none was found.
    #[error("the server asks for a password for role \"{user}\", and none was given or found")]
    PasswordMissing {
        /// The role.
        user: String,
    },
    /// The server asks for an authentication method that is not supported.
    #[error("the server asks for authentication method {method}, which pgconvoy does not support")]
    AuthenticationMethod {
        /// Its name, or its number in the protocol.
        method: String,
    },
    /// The session was to be bound to the server's certificate, and would not be.
    #[error("channel binding is required (channel_binding), but {instead}")]
    Unbound {
        /// What there is instead: a clause.
        instead: &'static str,
    },
    /// The other side broke the protocol.
    #[error("protocol error: {what}")]
    Protocol {
        /// How.
        what: String,
    },
    /// The COPY stream is not whole.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The command tags of the two sides and our own count do not agree.
    #[error(
        "COPY counted {ours} rows, but the source says {source_tag} and the target says {target_tag}"
    )]
    CountMismatch {
        /// Rows that went through our hands.
        ours: Rows,
        /// The source's command tag.
        source_tag: Rows,
        /// The target's command tag.
        target_tag: Rows,
    },
    /// The snapshot that all reads of the source share is gone: its holder ended, or the server was restarted.
    #[error("the source's snapshot {snapshot} is gone: {because}")]
    SnapshotLost {
        /// Its name.
        snapshot: String,
        /// How that shows: what the server says, or who is missing.
        because: String,
    },
    /// The target has crashed, and lost what was committed and not yet on its disk.
    #[error("the target has crashed, and lost work that was done: {}", shown(lost))]
    WorkLost {
        /// What is not there any more, a few words each.
        lost: Vec<String>,
    },
    /// The session that had the target's claim is gone: whoever has claimed it since may be at work there.
    #[error(
        "the target was restarted or has crashed, or it could not reach us for a minute, or the session that keeps other runs out of it \
         (pgconvoy:claim) was ended"
    )]
    ClaimLost,
    /// What was to be sent could not be had; nothing is wrong with the server.
    #[error("{what}")]
    Supply {
        /// Why not, whole.
        what: String,
    },
    /// An answer that does not have the form we asked for.
    #[error("unexpected answer to {query}: {what}")]
    Answer {
        /// The query, by name.
        query: &'static str,
        /// What is wrong with it.
        what: String,
    },
}

impl PgError {
    /// The server's answer to a statement.
    pub fn server(statement: &SqlText, error: ServerError) -> Self {
        Self::Server {
            statement: statement.clone(),
            error: Box::new(error),
        }
    }

    /// In words of its own, if it was [`Claim::guard`](claim::Claim::guard) that failed.
    #[must_use]
    pub fn of_guarded(self) -> Self {
        match self {
            Self::Server { error, .. } if claim::is_lost(&error) => Self::ClaimLost,
            other => other,
        }
    }

    /// Names the server, if it is one that cannot be connected to: whoever has two of them must know which.
    #[must_use]
    pub(super) fn of_side(self, side: Side) -> Self {
        match self {
            Self::Connect(error) => Self::Connect(ConnectError::OfSide {
                side,
                error: Box::new(error),
            }),
            other => other,
        }
    }

    /// The SQLSTATE, when the server gave one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Server { error, .. } => Some(&error.code),
            _ => None,
        }
    }

    /// Whether the connection itself is gone, as opposed to a statement that failed.
    pub fn is_lost_connection(&self) -> bool {
        match self {
            Self::Io { .. } | Self::Closed { .. } => true,
            Self::Server { error, .. } => {
                error.code.starts_with("08")
                    || (error.code.starts_with("57P") && error.code != "57P04")
            }
            _ => false,
        }
    }

    /// Whether the same may succeed if it is tried again in a while, on another connection: the connection was lost, the
    /// server is starting up or full, a lock or a deadlock was in the way, or somebody else is doing the very same.
    pub fn may_pass(&self) -> bool {
        const PASSING: [&str; 4] = [
            "40001", // serialization_failure: also a conflict with recovery, on a standby
            "40P01", // deadlock_detected
            "53300", // too_many_connections
            "55P03", // lock_not_available
        ];
        match self {
            Self::Connect(error) => error.may_pass(),
            Self::Unread { .. } => true,
            Self::Server { error, .. } => {
                self.is_lost_connection() || PASSING.contains(&error.code.as_str())
            }
            other => other.is_lost_connection(),
        }
    }

    /// Whether the server has no room for another session.
    pub fn is_about_room(&self) -> bool {
        const TOO_MANY_CONNECTIONS: &str = "53300";
        match self {
            Self::Connect(error) => {
                let said = error.server_error();
                said.is_some_and(|error| error.code == TOO_MANY_CONNECTIONS)
            }
            other => other.code() == Some(TOO_MANY_CONNECTIONS),
        }
    }

    /// Whether nothing else can succeed either until a person has done something about it: a disk is full, the database, the
    /// snapshot or the claim is gone.
    pub fn stops_run(&self) -> bool {
        const HOPELESS: [&str; 2] = [
            "53100", // disk_full
            "57P04", // database_dropped
        ];
        match self {
            Self::SnapshotLost { .. } | Self::WorkLost { .. } | Self::ClaimLost => true,
            Self::Server { error, .. } => HOPELESS.contains(&error.code.as_str()),
            _ => false,
        }
    }

    /// The server asks for an authentication method that is not supported, by its number in the protocol.
    pub(super) fn authentication_method(kind: i32) -> Self {
        Self::AuthenticationMethod {
            method: method_name(kind),
        }
    }

    /// Whether no session can begin as long as both ends are set up as they are.
    pub(super) fn is_about_login(&self) -> bool {
        matches!(
            self,
            Self::PasswordMissing { .. } | Self::AuthenticationMethod { .. } | Self::Unbound { .. }
        )
    }

    /// From the query client's error at the start of a session.
    pub(super) fn from_login(user: &str, encrypted: bool, error: tokio_postgres::Error) -> Self {
        let unsupported = |method: &str| Self::AuthenticationMethod {
            method: method.to_owned(),
        };
        // Only in words does the client tell these from a connection that broke.
        let words = std::error::Error::source(&error).map(ToString::to_string);
        match words.as_deref() {
            Some("password missing") => Self::PasswordMissing {
                user: user.to_owned(),
            },
            Some("server did not use channel binding") => Self::Unbound {
                instead: if encrypted {
                    "the server does without it"
                } else {
                    NOT_ENCRYPTED
                },
            },
            Some("unsupported authentication method") => unsupported("Kerberos, GSSAPI or SSPI"),
            Some("unsupported SASL mechanism") => unsupported("SASL without SCRAM-SHA-256"),
            _ => Self::from_client("the start of a session", error),
        }
    }

    /// From the query client's error; `query` is the statement or its name.
    pub(super) fn from_client(query: &str, error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(db_error) => Self::server(&SqlText::from(query), server_error(db_error)),
            None if error.is_closed() => Self::Closed {
                doing: format!("running {query}"),
            },
            None => Self::Io {
                doing: format!("running {query}"),
                source: std::io::Error::other(error),
            },
        }
    }
}

/// The first of them; the rest is counted.
fn shown(lost: &[String]) -> String {
    const MOST: usize = 20;
    let mut shown: Vec<String> = lost.iter().take(MOST).cloned().collect();
    if lost.len() > MOST {
        shown.push(format!("and {} more", lost.len() - MOST));
    }
    shown.join("; ")
}

/// The query client's notion of a server error, in ours.
fn server_error(error: &tokio_postgres::error::DbError) -> ServerError {
    use tokio_postgres::error::ErrorPosition;
    let (position, internal_position, internal_query) = match error.position() {
        Some(ErrorPosition::Original(position)) => (Some(*position), None, None),
        Some(ErrorPosition::Internal { position, query }) => {
            (None, Some(*position), Some(query.clone()))
        }
        None => (None, None, None),
    };
    let routine = match (error.routine(), error.file(), error.line()) {
        (Some(routine), Some(file), Some(line)) => Some(format!("{routine}, {file}:{line}")),
        _ => None,
    };
    ServerError {
        severity: error.severity().to_owned(),
        code: error.code().code().to_owned(),
        message: error.message().to_owned(),
        detail: error.detail().map(str::to_owned),
        hint: error.hint().map(str::to_owned),
        position,
        internal_position,
        internal_query,
        context: error.where_().map(str::to_owned),
        schema: error.schema().map(str::to_owned),
        table: error.table().map(str::to_owned),
        column: error.column().map(str::to_owned),
        data_type: error.datatype().map(str::to_owned),
        constraint: error.constraint().map(str::to_owned),
        routine,
    }
}

/// `AuthenticationRequest` codes (manual, "Message Formats").
fn method_name(kind: i32) -> String {
    match kind {
        2 => "Kerberos V5".into(),
        7 | 8 => "GSSAPI".into(),
        9 => "SSPI".into(),
        other => format!("number {other}"),
    }
}
