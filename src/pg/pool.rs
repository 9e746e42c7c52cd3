//! Sessions of one side, to be used again.
//!
//! A job takes a wire and gives it back when its transaction is over and all is well; otherwise the wire is dropped, which
//! rolls back on the server, and the next job opens a new one.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::Notify;

use super::claim::TERMINATE;
use super::snapshot::LOST;
use super::stream::Peer;
use super::wire::Wire;
use super::{Connector, PgError, Query, Session};
use crate::model::JobId;

/// How long all cancel requests together may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether they have ended.
const PAUSE: Duration = Duration::from_millis(50);
/// How long they may take.
const SEEING_OFF: Duration = Duration::from_secs(15);
/// How often a server is asked for the room of one that was given up.
const UNTIL_GONE: Duration = Duration::from_millis(200);

pub(super) const STILL_THERE: Query = Query::new(
    "sessions/still_there.sql",
    include_str!("../../sql/sessions/still_there.sql"),
);

/// The pool of one side.
pub struct Pool {
    /// `None`: there is no server.
    connector: Option<Connector>,
    /// The snapshot that every session's transaction sees: the source's side.
    snapshot: Option<String>,
    state: Mutex<State>,
    /// A session was given back, or up.
    freed: Notify,
    /// Somebody has begun to wait for one.
    wanted: Notify,
}

/// A session that is lent. As long as a pool counts one as busy, others may wait for it: so it is counted out wherever it is dropped.
pub struct Lent<'a> {
    wire: Wire,
    // Dropped after the wire: there is room then.
    place: Place<'a>,
}

struct Place<'a> {
    pool: &'a Pool,
    backend: (i32, i32),
    is_given_back: bool,
}

impl Lent<'_> {
    /// It is well, and outside of any transaction of its own.
    pub fn give_back(self) {
        let Self { wire, mut place } = self;
        place.is_given_back = true;
        place.pool.give_back(wire);
    }
}

impl Deref for Lent<'_> {
    type Target = Wire;

    fn deref(&self) -> &Wire {
        &self.wire
    }
}

impl DerefMut for Lent<'_> {
    fn deref_mut(&mut self) -> &mut Wire {
        &mut self.wire
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.is_given_back {
            self.pool.vacate(self.backend);
        }
    }
}

#[derive(Default)]
struct State {
    idle: Vec<Wire>,
    /// Backends that are working, for a cancel request, and for which job.
    busy: HashMap<(i32, i32), Busy>,
    /// Backends whose sessions were given up: they may be at work still, until their server says that they are gone.
    given_up: BTreeSet<i32>,
    /// When the last one was.
    vacated: Option<Instant>,
    /// Jobs that have taken a session since that was last asked.
    served: HashSet<JobId>,
    drained: bool,
    /// There was no room for as many sessions as there are workers.
    scarce: bool,
    scarce_told: bool,
    /// How many wait for a session of ours, because the server has no room for more.
    waiting: usize,
}

/// Somebody who waits for room.
struct Waiting<'a>(&'a Pool);

impl<'a> Waiting<'a> {
    fn begin(pool: &'a Pool) -> Self {
        pool.state().waiting += 1;
        pool.wanted.notify_waiters();
        Self(pool)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state().waiting -= 1;
    }
}

struct Busy {
    peer: Peer,
    job: Option<JobId>,
}

tokio::task_local! {
    /// The job that takes sessions.
    static JOB: JobId;
}

/// Does something for a job: sessions that it takes are known to serve that job.
pub async fn serving<T>(job: JobId, work: impl Future<Output = T>) -> T {
    JOB.scope(job, work).await
}

impl Pool {
    /// A pool of sessions that see a snapshot.
    pub fn in_snapshot(connector: Connector, snapshot: String) -> Self {
        Self {
            connector: Some(connector),
            snapshot: Some(snapshot),
            state: Mutex::default(),
            freed: Notify::new(),
            wanted: Notify::new(),
        }
    }

    /// A pool of ordinary sessions.
    pub fn without_snapshot(connector: Connector) -> Self {
        Self {
            connector: Some(connector),
            snapshot: None,
            state: Mutex::default(),
            freed: Notify::new(),
            wanted: Notify::new(),
        }
    }

    /// A pool of no sessions, for a side that is no server.
    pub fn of_nothing() -> Self {
        Self {
            connector: None,
            snapshot: None,
            state: Mutex::default(),
            freed: Notify::new(),
            wanted: Notify::new(),
        }
    }

    /// An idle session, or a new one. Where the server has no room for another one, one of ours is waited for.
    pub async fn take(&self) -> Result<Wire, PgError> {
        self.taken(false).await
    }

    /// A new one: where all see a snapshot, those that are idle are in transactions that have begun earlier, and to them it is not yet
    /// as late as it is.
    pub async fn take_anew(&self) -> Result<Wire, PgError> {
        self.taken(true).await
    }

    async fn taken(&self, anew: bool) -> Result<Wire, PgError> {
        let mut waiting = None;
        let wire = loop {
            if anew {
                self.forget_idle();
            } else if let Some(wire) = self.idle() {
                break wire;
            }
            let freed = self.freed.notified();
            let error = match self.open().await {
                Ok(wire) => break wire,
                Err(error) => error,
            };
            if !error.is_about_room() {
                return Err(error);
            }
            let Some(patience) = self.state().patience() else {
                return Err(error);
            };
            waiting.get_or_insert_with(|| Waiting::begin(self));
            // Others come and go as well: now and then there is room without one of ours.
            let _ = tokio::time::timeout(patience, freed).await;
        };
        let busy = Busy {
            peer: wire.peer().clone(),
            job: JOB.try_with(|job| *job).ok(),
        };
        self.state().busy_with(wire.backend(), busy);
        Ok(wire)
    }

    /// Until somebody waits for a session, because the server has no room for more: whoever has one and can do without should give it up.
    pub async fn is_wanted(&self) {
        loop {
            let wanted = self.wanted.notified();
            tokio::pin!(wanted);
            // From here on no notice is missed.
            wanted.as_mut().enable();
            if self.state().waiting > 0 {
                return;
            }
            wanted.await;
        }
    }

    fn idle(&self) -> Option<Wire> {
        self.state().idle.pop()
    }

    /// The same for as long as it is needed: one that is not given back is given up, also if whoever has it is broken off.
    pub async fn lend(&self) -> Result<Lent<'_>, PgError> {
        Ok(self.lent(self.take().await?))
    }

    /// The same of a new one.
    pub async fn lend_anew(&self) -> Result<Lent<'_>, PgError> {
        Ok(self.lent(self.take_anew().await?))
    }

    fn lent(&self, wire: Wire) -> Lent<'_> {
        let place = Place {
            pool: self,
            backend: wire.backend(),
            is_given_back: false,
        };
        Lent { wire, place }
    }

    /// Which backend serves which job, as far as sessions were taken for one.
    pub fn backends(&self) -> Vec<(JobId, i32)> {
        let state = self.state();
        let busy = state.busy.iter();
        busy.filter_map(|((pid, _), busy)| Some((busy.job?, *pid)))
            .collect()
    }

    /// Whether a job has taken a session since this was last asked: if not, it has begun nothing here.
    pub fn has_served(&self, job: JobId) -> bool {
        self.state().served.remove(&job)
    }

    /// Sessions that a job has not given back are given up: it has none any more.
    pub fn abandon(&self, job: JobId) {
        self.state().abandon(job);
    }

    /// Closes all idle sessions; new ones will be opened.
    pub fn forget_idle(&self) {
        let idle = std::mem::take(&mut self.state().idle);
        drop(idle);
    }

    async fn open(&self) -> Result<Wire, PgError> {
        let connector = self.connector()?;
        let opened = match &self.snapshot {
            None => connector.wire("write").await,
            Some(snapshot) => {
                let wire = connector.wire_in(snapshot, "read").await;
                wire.map_err(|error| snapshot_lost(snapshot, error))
            }
        };
        opened.map_err(|error| error.of_side(connector.side()))
    }

    /// Whether jobs had to wait for each other's sessions, because the server had no room for more: true only once.
    pub fn has_become_scarce(&self) -> bool {
        let mut state = self.state();
        let is_news = state.scarce && !state.scarce_told;
        state.scarce_told |= is_news;
        is_news
    }

    /// A session that is well, and outside of any transaction of its own.
    pub fn give_back(&self, wire: Wire) {
        let mut state = self.state();
        state.busy.remove(&wire.backend());
        if !wire.is_broken() && !state.drained {
            state.idle.push(wire);
        }
        self.freed.notify_one();
    }

    /// A session that is not: it is closed.
    pub fn give_up(&self, wire: Wire) {
        let backend = wire.backend();
        drop(wire);
        self.vacate(backend);
    }

    /// A session is gone; its server process may be at work still.
    fn vacate(&self, backend: (i32, i32)) {
        let mut state = self.state();
        state.busy.remove(&backend);
        state.given_up.insert(backend.0);
        state.vacated = Some(Instant::now());
        self.freed.notify_one();
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

    /// Asks the server to cancel whatever its sessions are doing. Returns the server processes that were at work, or may be.
    pub async fn cancel(&self) -> Vec<i32> {
        let (busy, given_up) = {
            let mut state = self.state();
            let busy: Vec<((i32, i32), Busy)> = state.busy.drain().collect();
            (busy, std::mem::take(&mut state.given_up))
        };
        let requests = self.connector.iter().flat_map(|connector| {
            let busy = busy.iter();
            busy.map(|(backend, busy)| connector.cancel(&busy.peer, *backend))
        });
        // A server that does not answer will not cancel anything either.
        let _ = tokio::time::timeout(PATIENCE, join_all(requests)).await;
        let busy = busy.iter().map(|((pid, _), _)| *pid);
        busy.chain(given_up).collect()
    }

    /// Waits until these server processes, whose sessions were given up, have ended; after a while they are told to. Returns
    /// those that have not; none as well if the server cannot be asked. For a run that is over: nothing hangs on the answer.
    pub async fn see_off(&self, backends: &[i32]) -> Vec<i32> {
        if backends.is_empty() {
            return Vec::new();
        }
        let mut left = Vec::new();
        let watched = async {
            let session = self.connector()?.session("end").await?;
            watch_leave(&session, backends, &mut left).await
        };
        let in_time = tokio::time::timeout(SEEING_OFF, watched).await.is_ok();
        if in_time { Vec::new() } else { left }
    }

    /// Waits until all backends whose sessions were given up have ended; after a while they are told to. Asks on a session of
    /// the same server. After an error nobody knows whether they have: whoever asks next waits for them again.
    pub async fn outlive_given_up(&self, session: &Session) -> Result<(), PgError> {
        let given_up: Vec<i32> = self.state().given_up.iter().copied().collect();
        if given_up.is_empty() {
            return Ok(());
        }
        let mut left = given_up.clone();
        let watched = watch_leave(session, &given_up, &mut left);
        let ended = tokio::time::timeout(SEEING_OFF, watched).await;
        let gone = given_up.iter().filter(|pid| !left.contains(pid));
        let mut state = self.state();
        for pid in gone {
            state.given_up.remove(pid);
        }
        ended.unwrap_or_else(|_| {
            Err(PgError::Closed {
                doing: format!("waiting for our own backends to end, which were told to: {left:?}"),
            })
        })
    }

    /// Opens a session for questions on the same server; it is the caller's.
    pub async fn session(&self, purpose: &str) -> Result<Session, PgError> {
        let connector = self.connector()?;
        let session = connector.session(purpose).await;
        session.map_err(|error| error.of_side(connector.side()))
    }

    fn connector(&self) -> Result<&Connector, PgError> {
        self.connector.as_ref().ok_or_else(|| PgError::Supply {
            what: "there is no server to be asked".to_owned(),
        })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; if something did, the pool would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// How long to wait for room before it is looked for again; `None` if none of our sessions will come back.
    fn patience(&mut self) -> Option<Duration> {
        self.scarce |= !self.busy.is_empty();
        // It takes the server a moment to see that a session was given up.
        let is_leaving = |at: Instant| at.elapsed() < SEEING_OFF;
        if self.vacated.is_some_and(is_leaving) {
            Some(UNTIL_GONE)
        } else {
            (!self.busy.is_empty()).then_some(PATIENCE)
        }
    }

    /// A job has one session at a time of each side: one that it had before and did not give back is not its any more.
    fn busy_with(&mut self, backend: (i32, i32), new: Busy) {
        if let Some(job) = new.job {
            self.abandon(job);
            self.served.insert(job);
        }
        // Its number was another's before: that one is gone.
        self.given_up.remove(&backend.0);
        self.busy.insert(backend, new);
    }

    /// Sessions that a job has and will not give back: it was broken off.
    fn abandon(&mut self, job: JobId) {
        let is_its = |_: &(i32, i32), busy: &mut Busy| busy.job == Some(job);
        let abandoned = self.busy.extract_if(is_its);
        self.given_up.extend(abandoned.map(|((pid, _), _)| pid));
    }
}

/// Looks until none of these is left; `left` is what was seen last.
async fn watch_leave(
    session: &Session,
    backends: &[i32],
    left: &mut Vec<i32>,
) -> Result<(), PgError> {
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

fn snapshot_lost(snapshot: &str, error: PgError) -> PgError {
    match error {
        PgError::Server { error, .. } if LOST.contains(&error.code.as_str()) => {
            PgError::SnapshotLost {
                snapshot: snapshot.to_owned(),
                because: error.to_string(),
            }
        }
        other => other,
    }
}
