//! Why there is no session. Every variant names the host; none repeats a secret.

use std::fmt;
use std::time::Duration;

use super::PgError;
use super::conninfo::{Conninfo, SslMode};
use super::stream::Peer;
use crate::model::{ServerError, Side};

/// Why a connection could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answers, at any address.
    #[error("cannot reach {host}: {}", list(.tried, "; "))]
    Unreachable {
        /// Host and port.
        host: String,
        /// Every address, and why not.
        tried: Vec<Tried>,
    },
    /// The name means nothing.
    #[error("cannot reach {host}: its name cannot be looked up")]
    UnknownHost {
        /// Host and port.
        host: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It answers, but not in time.
    #[error("{host} did not answer within {} s while {doing} (connect_timeout)", .after.as_secs_f32())]
    TimedOut {
        /// Host and port.
        host: String,
        /// What was being done.
        doing: &'static str,
        /// The limit.
        after: Duration,
    },
    /// The server has no TLS, and the mode demands it.
    #[error("{host} does not support TLS, but sslmode {mode} demands it")]
    NoTls {
        /// Host and port.
        host: String,
        /// The mode.
        mode: SslMode,
    },
    /// Not what a Postgres server answers.
    #[error("{host} does not answer like a PostgreSQL server: {answer}")]
    OddAnswer {
        /// Host and port.
        host: String,
        /// What it did.
        answer: String,
        /// It closed the connection: so does whatever stands before a server that is away, a load balancer or a tunnel.
        hung_up: bool,
    },
    /// TLS failed.
    #[error("no TLS connection to {host}")]
    Tls {
        /// Host and port.
        host: String,
        /// Why.
        #[source]
        source: super::tls::TlsError,
    },
    /// The server behind a Unix socket runs as another user than `requirepeer` says.
    #[error("the server at {host} runs as {found}, but requirepeer says \"{wanted}\"")]
    WrongPeer {
        /// The socket.
        host: String,
        /// The user that was asked for.
        wanted: String,
        /// The user that it is.
        found: String,
    },
    /// The server does not let us in.
    #[error("{host} refused user \"{user}\" for database \"{database}\"{}: {}", over_tls(*.encrypted), .error.message)]
    Refused {
        /// Host and port.
        host: String,
        /// Role.
        user: String,
        /// Database.
        database: String,
        /// Whether the connection was encrypted.
        encrypted: bool,
        /// What the server said, every field.
        #[source]
        error: Box<ServerError>,
    },
    /// The server asks for what we don't have or don't do, or does without what was required: that does not pass.
    #[error("cannot log in to {host}: {why}")]
    Login {
        /// Host and port.
        host: String,
        /// Which of these.
        why: Box<PgError>,
    },
    /// The server is not what `target_session_attrs` asks for.
    #[error("{host} is not what target_session_attrs asks for: {because}")]
    Unsuitable {
        /// Host and port.
        host: String,
        /// What it is.
        because: String,
    },
    /// The connection broke, or the other side does not keep to the protocol.
    #[error("the connection to {host} broke before the session began")]
    Broken {
        /// Host and port.
        host: String,
        /// How.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Several hosts, or several ways to encrypt, were tried.
    #[error("no connection, all of {} attempts failed: {}", .0.len(), with_sources(.0))]
    All(Vec<ConnectError>),
    /// Any of these, of one of the two servers of a run that has begun.
    #[error("the {side}: {error}")]
    OfSide {
        /// Which of them.
        side: Side,
        /// Why it cannot be connected to.
        #[source]
        error: Box<ConnectError>,
    },
}

impl ConnectError {
    /// Whether it may work if it is tried again in a while: nobody answers, or the server has no room or no time. A wrong
    /// password stays wrong.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::UnknownHost { .. }
            | Self::TimedOut { .. }
            | Self::Broken { .. }
            | Self::Unsuitable { .. } => true,
            // too_many_connections, admin_shutdown, crash_shutdown, cannot_connect_now
            Self::Refused { error, .. } => {
                matches!(error.code.as_str(), "53300" | "57P01" | "57P02" | "57P03")
            }
            Self::All(errors) => errors.iter().any(Self::may_pass),
            Self::OfSide { error, .. } => error.may_pass(),
            Self::OddAnswer { hung_up, .. } => *hung_up,
            Self::NoTls { .. } | Self::Tls { .. } | Self::WrongPeer { .. } | Self::Login { .. } => {
                false
            }
        }
    }
}

/// One address that did not answer.
#[derive(Debug)]
pub struct Tried {
    /// The address, or the path of the socket.
    pub address: String,
    /// `None` if it took too long.
    pub error: Option<std::io::Error>,
    /// The limit that was in force, if any.
    pub limit: Duration,
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error {
            Some(error) => write!(f, "{}: {error}", self.address),
            None => write!(
                f,
                "{}: no answer within {} s (connect_timeout)",
                self.address,
                self.limit.as_secs_f32()
            ),
        }
    }
}

/// Why no session came of a connection.
#[derive(Debug)]
pub enum OpenError {
    /// The server said no.
    Server(Box<ServerError>),
    /// We cannot log in, at any time; why.
    Login(Box<PgError>),
    /// The server is not what was wanted; why.
    Unsuitable(String),
    /// Anything else: the connection broke, the server cannot be authenticated.
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl ConnectError {
    pub(super) fn opening(peer: &Peer, conninfo: &Conninfo, error: OpenError) -> Self {
        let host = peer.host.to_string();
        match error {
            OpenError::Server(error) => Self::Refused {
                host,
                user: conninfo.user.clone(),
                database: conninfo.database.clone(),
                encrypted: peer.encrypted,
                error,
            },
            OpenError::Login(why) => Self::Login { host, why },
            OpenError::Unsuitable(because) => Self::Unsuitable { host, because },
            OpenError::Other(source) => Self::Broken { host, source },
        }
    }

    /// One error out of what was tried; never called without any.
    pub(super) fn of(mut failures: Vec<Self>) -> Self {
        match failures.pop() {
            Some(only) if failures.is_empty() => only,
            last => {
                failures.extend(last);
                Self::All(failures)
            }
        }
    }

    /// Every failure, one by one: itself, or what [`ConnectError::All`] holds.
    pub fn each(&self) -> &[Self] {
        match self {
            Self::All(failures) => failures,
            Self::OfSide { error, .. } => error.each(),
            single => std::slice::from_ref(single),
        }
    }

    /// What the server said, if one refused us: of the last one that did.
    pub fn server_error(&self) -> Option<&ServerError> {
        self.each().iter().rev().find_map(|failure| match failure {
            Self::Refused { error, .. } => Some(error.as_ref()),
            _ => None,
        })
    }
}

fn over_tls(encrypted: bool) -> &'static str {
    if encrypted { " over TLS" } else { "" }
}

fn list<T: fmt::Display>(items: &[T], separator: &str) -> String {
    items
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(separator)
}

/// The only error with several causes, so it shows them itself.
fn with_sources(failures: &[ConnectError]) -> String {
    failures
        .iter()
        .enumerate()
        .map(|(i, failure)| {
            let mut text = format!("({}) {failure}", i + 1);
            let mut source = match failure {
                // Its message is the source's.
                ConnectError::Refused { .. } => None,
                other => std::error::Error::source(other),
            };
            while let Some(error) = source {
                text.push_str(": ");
                text.push_str(&error.to_string());
                source = error.source();
            }
            text
        })
        .collect::<Vec<_>>()
        .join("; ")
}
