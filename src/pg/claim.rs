//! One run at a time for a target database: a lock that lives with a session of it, on the server itself.
//!
//! ```text
//!   key (pgco, nvoy)   exclusive   the claim: one session for the whole run
//!   key (pgco, work)   shared      every session that works for the run on the target
//! ```
//!
//! A run that is killed loses its claim with its session. What its other sessions were doing may go on for a while: a server
//! notices only when it wants to talk to them. Whoever has the claim next finds them by the second key, and ends them
//! ([`Claim::end_leftovers`]); as long as it has the claim, nobody but itself can come to hold that key.
//!
//! Advisory locks belong to one database, and nobody waits for them: no statement of anybody else is held up by a run.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::{Instant, sleep, timeout};

use super::{Connector, PgError, Query, Session};
use crate::model::ServerError;

/// The server of a run that was killed a moment ago may not have noticed yet: a claim that is held is asked for again for so
/// long.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long sessions may take to end once they were told to.
const MOST_WAIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);
/// A server that has not answered a trivial question for so long is as good as gone.
const ANSWER: Duration = Duration::from_secs(20);

/// `pgco` and `nvoy` as two numbers: an arbitrary pair that nobody else is likely to have chosen.
const PGCO: i32 = i32::from_be_bytes(*b"pgco");
const CLAIM: i32 = i32::from_be_bytes(*b"nvoy");
const WORK: i32 = i32::from_be_bytes(*b"work");

/// What an error has in it by which the server tells that the claim is not held any more, in whatever language the rest of it is.
const LOST: &str = "the claim on this database is lost";

pub(super) const TAKE: Query = Query::new(
    "sessions/take.sql",
    include_str!("../../sql/sessions/take.sql"),
);
pub(super) const HOLDERS: Query = Query::new(
    "sessions/holders.sql",
    include_str!("../../sql/sessions/holders.sql"),
);
pub(super) const TERMINATE: Query = Query::new(
    "sessions/terminate.sql",
    include_str!("../../sql/sessions/terminate.sql"),
);
/// The claim's session may be idle for hours: a server that cannot reach us any more is to notice, and to give the claim up.
const KEEP_ALIVE: &str =
    "set tcp_keepalives_idle = 30; set tcp_keepalives_interval = 10; set tcp_keepalives_count = 3";

/// A session on the target that is in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its server process.
    pub pid: i32,
    /// What it calls itself.
    pub application_name: String,
    /// Its role.
    pub role: String,
    /// Where it comes from; `None` over a Unix socket, and if we may not know.
    pub client: Option<String>,
    /// When it was opened; `None` if we may not know.
    pub since: Option<DateTime<Utc>>,
}

/// `pid 123 (pgconvoy:claim), role bob, from 10.0.0.1, since 2026-01-02 03:04 UTC`.
impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            pid,
            application_name,
            role,
            client,
            since,
        } = self;
        write!(f, "pid {pid} ({application_name}), role {role}")?;
        if let Some(client) = client {
            write!(f, ", from {client}")?;
        }
        match since {
            Some(since) => write!(f, ", since {}", since.format("%Y-%m-%d %H:%M UTC")),
            None => Ok(()),
        }
    }
}

/// Why the target is not ours alone.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Another run has it.
    #[error(
        "the target database \"{database}\" is being filled by another run of pgconvoy{}",
        holder.as_ref().map_or(String::new(), |holder| format!(": {holder}"))
    )]
    Held {
        /// The database.
        database: String,
        /// Who; `None` if it was gone when we looked.
        holder: Option<Holder>,
    },
    /// The server could not be asked.
    #[error("claiming the target database")]
    Asking(#[source] PgError),
    /// A session of an earlier run could not be ended.
    #[error("a session that an earlier run left on the target could not be ended: {holder}")]
    Terminate {
        /// Which.
        holder: Holder,
        /// Why not.
        #[source]
        source: PgError,
    },
    /// They were told to end and did not.
    #[error(
        "sessions that an earlier run left on the target have not ended within {} s: {}",
        MOST_WAIT.as_secs(),
        holders.iter().map(Holder::to_string).collect::<Vec<_>>().join("; ")
    )]
    StillThere {
        /// Which.
        holders: Vec<Holder>,
    },
}

/// The target is ours for as long as this lives, and its session with it.
pub struct Claim {
    session: Session,
    /// The server process that holds it.
    pid: i32,
}

impl Claim {
    /// Claims the database that the connector leads to. Changes nothing in it.
    pub async fn take(target: &Connector) -> Result<Self, ClaimError> {
        let session = target.session("claim").await.map_err(ClaimError::Asking)?;
        let asked = tokio::try_join!(biased; own_pid(&session), session.execute(KEEP_ALIVE));
        let (pid, ()) = asked.map_err(ClaimError::Asking)?;
        let claim = Self { session, pid };
        let deadline = Instant::now() + PATIENCE;
        loop {
            if claim.try_take().await.map_err(ClaimError::Asking)? {
                return Ok(claim);
            }
            let holders = claim.holders(CLAIM).await.map_err(ClaimError::Asking)?;
            if Instant::now() >= deadline {
                return Err(ClaimError::Held {
                    database: target.conninfo().database.clone(),
                    holder: holders.into_iter().next(),
                });
            }
            sleep(PAUSE).await;
        }
    }

    /// The same connector, for sessions that work for the run on the target: should we be killed, they can be found. None is
    /// opened once the claim is lost ([`PgError::ClaimLost`]): somebody else may have it by then, and work on the same tables.
    #[must_use]
    pub fn worker(&self, target: &Connector) -> Connector {
        target.with_opening(&format!("{}; {}", still_claimed(self.pid), mark()))
    }

    /// Does the same with a session that is open already.
    pub async fn cover(&self, session: &Session) -> Result<(), ClaimError> {
        session.execute(&mark()).await.map_err(ClaimError::Asking)
    }

    /// A statement for a session of the claimed database that fails unless the claim is still held: for a transaction that nobody
    /// but its holder may make.
    #[must_use]
    pub fn guard(&self) -> String {
        still_claimed(self.pid)
    }

    /// Ends the sessions that an earlier run has left behind at work, and waits until they are gone. Call it before any session
    /// of this run works on the target. Returns whom it ended.
    pub async fn end_leftovers(&self) -> Result<Vec<Holder>, ClaimError> {
        let found = self.holders(WORK).await.map_err(ClaimError::Asking)?;
        if found.is_empty() {
            return Ok(found);
        }
        for holder in &found {
            let ended = self.session.query(&TERMINATE, &[&holder.pid]).await;
            ended.map_err(|source| ClaimError::Terminate {
                holder: holder.clone(),
                source,
            })?;
        }
        let deadline = Instant::now() + MOST_WAIT;
        loop {
            let holders = self.holders(WORK).await.map_err(ClaimError::Asking)?;
            if holders.is_empty() {
                return Ok(found);
            }
            if Instant::now() >= deadline {
                return Err(ClaimError::StillThere { holders });
            }
            sleep(PAUSE).await;
        }
    }

    /// Whether the claim's session still is there: if not, somebody else may have the claim by now.
    pub async fn is_alive(&self) -> bool {
        let asked = timeout(ANSWER, self.session.execute("select")).await;
        matches!(asked, Ok(Ok(())))
    }

    async fn try_take(&self) -> Result<bool, PgError> {
        let rows = self.session.query(&TAKE, &[&PGCO, &CLAIM]).await?;
        rows.first().map_or(Ok(false), |row| row.get("taken"))
    }

    async fn holders(&self, key: i32) -> Result<Vec<Holder>, PgError> {
        let rows = self.session.query(&HOLDERS, &[&PGCO, &key]).await?;
        let holder = |row: &super::Answer| {
            Ok(Holder {
                pid: row.get("pid")?,
                application_name: row.get("application_name")?,
                role: row.get("role")?,
                client: row.get("client")?,
                since: row
                    .get::<Option<f64>>("since")?
                    .and_then(|seconds| DateTime::from_timestamp_millis(millis(seconds))),
            })
        };
        rows.iter().map(holder).collect()
    }
}

/// Fails unless the claim is held by that server process. As a cast that only fails when it is reached: the database may have no
/// language that could raise an error.
fn still_claimed(pid: i32) -> String {
    format!(
        "select case when count(*) > 0 then 0 else ('{LOST}: ' || count(*))::int4 end \
         from pg_catalog.pg_locks l where l.locktype = 'advisory' and l.granted and l.objsubid = 2 \
         and l.classid::int8 = {PGCO} and l.objid::int8 = {CLAIM} and l.pid = {pid}"
    )
}

/// Whether it was that statement which failed.
pub(super) fn is_lost(error: &ServerError) -> bool {
    const INVALID_TEXT: &str = "22P02";
    error.code == INVALID_TEXT && error.message.contains(LOST)
}

async fn own_pid(session: &Session) -> Result<i32, PgError> {
    let sql = "select pg_catalog.pg_backend_pid() as pid";
    let rows = session.query_text("the claim's process", sql, &[]).await?;
    rows.first().map_or(Ok(0), |row| row.get("pid"))
}

fn mark() -> String {
    format!("select pg_catalog.pg_try_advisory_lock_shared({PGCO}, {WORK})")
}

#[expect(clippy::cast_possible_truncation, reason = "a time of day in our era")]
fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SqlText;

    #[test]
    fn a_lost_claim_is_known_in_every_language() {
        assert!(still_claimed(7).contains(LOST));
        let says = |code: &str, message: &str| {
            is_lost(&ServerError {
                code: code.into(),
                message: message.into(),
                ..ServerError::default()
            })
        };
        let german = format!("ungültige Eingabesyntax für Typ integer: »{LOST}: 0«");
        assert!(says("22P02", &german));
        assert!(!says(
            "22P02",
            "invalid input syntax for type integer: \"x\""
        ));
        assert!(!says("P0001", LOST));
    }

    #[test]
    fn a_guard_that_fails_says_what_it_guards_against() {
        let failed = |message: String| {
            let error = ServerError {
                code: "22P02".into(),
                message,
                ..ServerError::default()
            };
            PgError::server(&SqlText::from("begin"), error).of_guarded()
        };
        let lost = failed(format!(
            "invalid input syntax for type integer: \"{LOST}: 0\""
        ));
        assert!(matches!(lost, PgError::ClaimLost), "{lost}");
        let other = failed("invalid input syntax for type integer: \"x\"".to_owned());
        assert!(matches!(other, PgError::Server { .. }), "{other}");
    }
}
