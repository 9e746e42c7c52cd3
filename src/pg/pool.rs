//! Sessions of one side, to be used again.
//!
//! A job takes a wire and gives it back when its transaction is over and all is well; otherwise the wire is dropped, which
//! rolls back on the server, and the next job opens a new one.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::claim::TERMINATE;
use super::stream::Peer;
use super::wire::Wire;
use super::{Connector, PgError, Query};

/// How long all cancel requests together may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether they have ended.
const PAUSE: Duration = Duration::from_millis(50);

pub(super) const STILL_THERE: Query = Query::new(
    "sessions/still_there.sql",
    include_str!("../../sql/sessions/still_there.sql"),
);

/// The pool of one side.
pub struct Pool {
    connector: Connector,
    /// The snapshot that every session's transaction sees: the source's side.
    snapshot: Option<String>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    idle: Vec<Wire>,
    /// Backends that are working, for a cancel request.
    busy: HashMap<(i32, i32), Peer>,
    drained: bool,
}

impl Pool {
    /// A pool of sessions that see a snapshot.
    pub fn in_snapshot(connector: Connector, snapshot: String) -> Self {
        Self {
            connector,
            snapshot: Some(snapshot),
            state: Mutex::default(),
        }
    }

    /// A pool of ordinary sessions.
    pub fn without_snapshot(connector: Connector) -> Self {
        Self {
            connector,
            snapshot: None,
            state: Mutex::default(),
        }
    }

    /// An idle session, or a new one.
    pub async fn take(&self) -> Result<Wire, PgError> {
        let idle = self.state().idle.pop();
        let wire = match (idle, &self.snapshot) {
            (Some(wire), _) => wire,
            (None, Some(snapshot)) => self.connector.wire_in(snapshot, "read").await?,
            (None, None) => self.connector.wire("write").await?,
        };
        self.state()
            .busy
            .insert(wire.backend(), wire.peer().clone());
        Ok(wire)
    }

    /// A session that is well, and outside of any transaction of its own.
    pub fn give_back(&self, wire: Wire) {
        let mut state = self.state();
        state.busy.remove(&wire.backend());
        if !wire.is_broken() && !state.drained {
            state.idle.push(wire);
        }
    }

    /// A session that is not: it is closed.
    pub fn give_up(&self, wire: Wire) {
        self.state().busy.remove(&wire.backend());
        drop(wire);
    }

    /// Closes all idle sessions, and from now on every session that is given back.
    pub async fn drain(&self) {
        let idle = {
            let mut state = self.state();
            state.drained = true;
            std::mem::take(&mut state.idle)
        };
        for wire in idle {
            wire.close().await;
        }
    }

    /// Asks the server to cancel whatever its sessions are doing. Returns the server processes that were at work.
    pub async fn cancel(&self) -> Vec<i32> {
        let busy: Vec<((i32, i32), Peer)> = self.state().busy.drain().collect();
        let requests = busy
            .iter()
            .map(|(backend, peer)| self.connector.cancel(peer, *backend));
        // A server that does not answer will not cancel anything either.
        let _ = tokio::time::timeout(PATIENCE, join_all(requests)).await;
        busy.iter().map(|((pid, _), _)| *pid).collect()
    }

    /// Waits until these server processes, whose sessions were given up, have ended; after a while they are told to. Returns
    /// those that have not; none as well if the server cannot be asked.
    pub async fn see_off(&self, backends: &[i32]) -> Vec<i32> {
        if backends.is_empty() {
            return Vec::new();
        }
        let mut left = Vec::new();
        let seen_off = tokio::time::timeout(3 * PATIENCE, self.watch_leave(backends, &mut left));
        let in_time = seen_off.await.is_ok();
        if in_time { Vec::new() } else { left }
    }

    async fn watch_leave(&self, backends: &[i32], left: &mut Vec<i32>) -> Result<(), PgError> {
        let session = self.connector.session("end").await?;
        let began = Instant::now();
        let mut told = false;
        loop {
            let rows = session.query(&STILL_THERE, &[&backends]).await?;
            let pids: Result<_, _> = rows.iter().map(|row| row.get("pid")).collect();
            *left = pids?;
            if left.is_empty() {
                return Ok(());
            }
            if !told && began.elapsed() > PATIENCE {
                for pid in left.iter() {
                    session.query(&TERMINATE, &[pid]).await?;
                }
                told = true;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; if something did, the pool would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
