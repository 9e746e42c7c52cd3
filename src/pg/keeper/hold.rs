//! The keeper's side: takes the snapshot, says so, and holds it until it is told otherwise or nobody wants it any more.
//!
//! | what happens | before `keep` | after `keep` |
//! |---|---|---|
//! | `release` | gives it back | gives it back |
//! | the supervisor ends | gives it back | holds it, until it has not been used for a while |
//! | SIGTERM | gives it back | gives it back |
//! | SIGINT, SIGHUP | nothing | nothing |
//! | the session ends | ends | ends |
//!
//! "Used" is when a session of ours is there, in the same database and by the same role: a resumed run.

use std::io::{self, stdin};
use std::os::fd::AsFd as _;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::unix::pipe;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::super::{Connector, PgError, Session, Snapshot};
use super::{KEEP, Line, RELEASE, Trouble, USERS};
use crate::model::{FollowName, Oid, QualifiedName};

/// How often it looks whether its session is still there; asks nobody.
const LOOK: Duration = Duration::from_secs(1);

/// How often it asks the server who uses the source: which also keeps the connection from looking idle.
const ASK: Duration = Duration::from_secs(30);

/// How a keeper is to hold the snapshot.
pub struct Holding<'a> {
    /// Where.
    pub connector: &'a Connector,
    /// How long it holds on without a supervisor, and without anybody who uses the source.
    pub keep_for: Duration,
    /// The replication slot that is to begin with it.
    pub slot: Option<&'a FollowName>,
    /// Writes the one line to the supervisor.
    pub say: &'a mut (dyn FnMut(&str) -> io::Result<()> + Send),
}

/// Why the snapshot was given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Released {
    /// The supervisor said so, or ended before there was anything to resume.
    Told,
    /// SIGTERM.
    Terminated,
    /// Nobody has used the source for as long as it was to be held.
    Unused,
}

/// Why a keeper cannot hold a snapshot, or cannot any more.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// Its standard input is not a supervisor.
    #[error("standard input is no pipe from a supervisor")]
    NoSupervisor(#[source] io::Error),
    /// Signals cannot be caught.
    #[error("signals cannot be caught")]
    Signals(#[source] io::Error),
    /// The supervisor cannot be told.
    #[error("the supervisor cannot be told")]
    Tell(#[source] io::Error),
    /// The snapshot could not be taken; the supervisor has been told.
    #[error("the snapshot could not be taken")]
    Take(#[source] PgError),
    /// The session has ended.
    #[error("the session that holds the snapshot has ended")]
    Lost(#[source] PgError),
}

/// Takes the snapshot and holds it. Returns when it has been given back; an error is a snapshot that is lost.
pub async fn hold<F>(holding: Holding<'_>, list_tables: F) -> Result<Released, HoldError>
where
    F: AsyncFn(&Session) -> Result<Vec<(Oid, QualifiedName)>, PgError>,
{
    let Holding {
        connector,
        keep_for,
        slot,
        say,
    } = holding;
    let mut orders = Orders::of_process()?;
    let mut signals = Signals::catch().map_err(HoldError::Signals)?;
    let mut tell = |line: &Line| {
        let text = serde_json::to_string(line).map_err(io::Error::other)?;
        say(&text)
    };
    let taken = tokio::select! {
        taken = Snapshot::take_for_others(connector, list_tables, slot) => taken,
        () = orders.end() => return Ok(Released::Told),
        _ = signals.terminate.recv() => return Ok(Released::Terminated),
    };
    let (mut snapshot, kept) = match taken {
        Ok(taken) => taken,
        Err(error) => {
            let line = Line::Failed {
                error: Box::new(Trouble::of(&error)),
            };
            tell(&line).map_err(HoldError::Tell)?;
            return Err(HoldError::Take(error));
        }
    };
    tell(&Line::Kept(kept)).map_err(HoldError::Tell)?;
    let released = wait(snapshot.session(), keep_for, orders, signals).await?;
    // The source may clean up again from here on.
    snapshot.release().await.map_err(HoldError::Lost)?;
    Ok(released)
}

async fn wait(
    session: &Session,
    keep_for: Duration,
    mut orders: Orders,
    mut signals: Signals,
) -> Result<Released, HoldError> {
    let mut look = interval(LOOK);
    let mut ask = interval(ASK.min(keep_for / 2));
    for timer in [&mut look, &mut ask] {
        // A machine that slept has not missed anything.
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    let mut outlives = false;
    let mut alone_since: Option<Instant> = None;
    loop {
        tokio::select! {
            order = orders.next(), if alone_since.is_none() => match order {
                Order::Keep => outlives = true,
                Order::End if outlives => alone_since = Some(Instant::now()),
                Order::Release | Order::End => return Ok(Released::Told),
            },
            _ = look.tick() => if session.is_closed() {
                let doing = "holding the snapshot".to_owned();
                return Err(HoldError::Lost(PgError::Closed { doing }));
            },
            _ = ask.tick() => {
                let used = is_used(session).await.map_err(HoldError::Lost)?;
                if let Some(since) = &mut alone_since {
                    if used {
                        *since = Instant::now();
                    } else if since.elapsed() >= keep_for {
                        return Ok(Released::Unused);
                    }
                }
            },
            _ = signals.terminate.recv() => return Ok(Released::Terminated),
        }
    }
}

/// Whether a session of ours is there. Within a transaction, the server shows the same sessions again unless it is asked
/// to look anew.
async fn is_used(session: &Session) -> Result<bool, PgError> {
    session
        .execute("select pg_catalog.pg_stat_clear_snapshot()")
        .await?;
    let rows = session.query(&USERS, &[]).await?;
    let users = rows.first().map(|row| row.count("users")).transpose()?;
    Ok(users.is_some_and(|users| users > 0))
}

/// What a supervisor says.
enum Order {
    Keep,
    Release,
    /// There is no supervisor any more.
    End,
}

/// The pipe from the supervisor.
struct Orders(Lines<BufReader<pipe::Receiver>>);

impl Orders {
    /// Standard input. Reading it as a file would take a thread, which nothing could wake up any more at our end.
    fn of_process() -> Result<Self, HoldError> {
        let pipe = stdin().as_fd().try_clone_to_owned();
        let receiver = pipe.and_then(pipe::Receiver::from_owned_fd);
        let receiver = receiver.map_err(HoldError::NoSupervisor)?;
        Ok(Self(BufReader::new(receiver).lines()))
    }

    async fn next(&mut self) -> Order {
        loop {
            match self.0.next_line().await {
                Ok(Some(line)) if line == KEEP => return Order::Keep,
                Ok(Some(line)) if line == RELEASE => return Order::Release,
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return Order::End,
            }
        }
    }

    /// The supervisor's end, before it has said anything that could matter.
    async fn end(&mut self) {
        while !matches!(self.next().await, Order::End | Order::Release) {}
    }
}

/// Signals that do not end the keeper as they would by default.
struct Signals {
    terminate: Signal,
    _ignored: [Signal; 2],
}

impl Signals {
    fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            // The keys and the end of a terminal mean the supervisor, not its snapshot.
            _ignored: [
                signal(SignalKind::interrupt())?,
                signal(SignalKind::hangup())?,
            ],
        })
    }
}
