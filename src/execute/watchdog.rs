//! The watchdog: tells a job that is slow from one whose server is dead, says which, and acts only on the dead.
//!
//! ```text
//!   a job has not moved for 10 s ──► ask its servers, on sessions of their own, every 10 s
//!                                      ├─ an answer ─────────────► slow: say what the server says (JobWaits)
//!                                      ├─ "I know no such process" twice in a row ─► dead
//!                                      └─ no answer ─────────────► say so; for 2 min in a row ─► dead
//! ```
//!
//! A server that answers is never dead, however long it takes: an index may be built for hours. One that does not answer
//! for two minutes is, as far as the job is concerned: its connection is given up, as if it had been lost, and whoever
//! started the job decides whether to try again. Two minutes, as for TCP itself (see [`crate::pg::conninfo::TcpSettings`]):
//! a network that freezes for one minute must not end anything.

mod probe;
mod sentence;

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::event::{AtWork, Emit, What};
use crate::fault;
use crate::model::{Bytes, JobId, Rows, Side, how_long};
use crate::pg::wire::Gauge;
use crate::pg::{PgError, Pool, serving};
use probe::{Probe, Unanswered};
use sentence::{Doing, shape};

pub use probe::queries;

/// How long nobody may answer before a connection is given up.
pub(super) const DEAD_AFTER: Duration = Duration::from_secs(120);

/// How often the same sentence, but for its numbers, is said again.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// How long things may take.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Between two looks at how far the jobs are.
    look: Duration,
    /// Without any progress before a job's servers are asked, and between two questions; also a question's patience.
    ask: Duration,
    /// Without an answer before a server is dead.
    dead: Duration,
}

impl Pace {
    fn new() -> Self {
        let usual = Self {
            look: Duration::from_secs(1),
            ask: Duration::from_secs(10),
            dead: DEAD_AFTER,
        };
        if fault::strikes("hasty-watchdog") {
            return Self {
                look: usual.look / 10,
                ask: usual.ask / 10,
                dead: usual.dead / 20,
            };
        }
        usual
    }
}

/// The jobs that are under way.
#[derive(Default)]
pub(super) struct Watchdog {
    jobs: Mutex<HashMap<JobId, Watched>>,
}

/// The servers that jobs are at work on, and who hears of it.
#[derive(Clone, Copy)]
pub(super) struct Servers<'a> {
    pub source: &'a Pool,
    pub target: &'a Pool,
    pub emit: &'a dyn Emit,
}

/// A job under way.
struct Watched {
    gauge: Arc<Gauge>,
    /// What its gauge showed, and since when.
    shown: (Rows, Bytes),
    since: Instant,
    /// What was said of it last, and when.
    told: HashMap<Side, (String, Instant)>,
    /// Backends that the server has shown us: one that it never did is behind a pooler, where numbers mean nothing.
    seen: HashSet<(Side, i32)>,
    /// Backends that it does not show any more.
    gone: HashSet<(Side, i32)>,
    dead: oneshot::Sender<PgError>,
}

impl Watchdog {
    /// Has a job, or a part of it, done, and watches it: if its server turns out to be dead, the error is that of a lost
    /// connection. After an error the job has no session any more.
    pub async fn over<T, E: From<PgError>>(
        &self,
        servers: Servers<'_>,
        (job, gauge): (JobId, &Arc<Gauge>),
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let verdict = self.begin(job, gauge);
        let ended = tokio::select! {
            ended = serving(job, work) => ended,
            // Without a verdict nobody watches any more.
            Ok(error) = verdict => Err(error.into()),
        };
        if ended.is_err() {
            self.give_up(servers, job);
        } else {
            self.jobs().remove(&job);
        }
        ended
    }

    /// A job is not done any more: it has no session, and nobody looks after it.
    pub fn give_up(&self, servers: Servers<'_>, job: JobId) {
        self.jobs().remove(&job);
        servers.source.abandon(job);
        servers.target.abandon(job);
    }

    /// Looks after all of them, for as long as the run goes on.
    pub async fn watch(&self, servers: Servers<'_>) -> Infallible {
        let pace = Pace::new();
        let mut source = Probe::new(servers.source);
        let mut target = Probe::new(servers.target);
        let mut asked = Instant::now();
        loop {
            tokio::time::sleep(pace.look).await;
            let stalled = self.stalled(pace.ask);
            if asked.elapsed() < pace.ask {
                continue;
            }
            asked = Instant::now();
            let (of_source, of_target) = tokio::join!(
                Heard::from(Side::Source, &mut source, &stalled, pace),
                Heard::from(Side::Target, &mut target, &stalled, pace)
            );
            let heard = [of_source, of_target].into_iter().flatten();
            let round = Round {
                watchdog: self,
                servers,
                pace,
            };
            round.conclude(heard);
        }
    }

    fn begin(&self, job: JobId, gauge: &Arc<Gauge>) -> oneshot::Receiver<PgError> {
        let (dead, verdict) = oneshot::channel();
        let watched = Watched {
            gauge: Arc::clone(gauge),
            shown: gauge.read(),
            since: Instant::now(),
            told: HashMap::new(),
            seen: HashSet::new(),
            gone: HashSet::new(),
            dead,
        };
        self.jobs().insert(job, watched);
        verdict
    }

    fn jobs(&self) -> MutexGuard<'_, HashMap<JobId, Watched>> {
        // Nothing panics while it holds the lock; if something did, the jobs would still be known.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one server said about our sessions.
struct Heard {
    side: Side,
    /// The processes that serve jobs that have not moved.
    backends: Vec<(JobId, i32)>,
    answer: Result<HashMap<i32, Doing>, Unanswered>,
}

impl Heard {
    /// Asks, if there is anything to ask about.
    async fn from(
        side: Side,
        probe: &mut Probe<'_>,
        stalled: &HashSet<JobId>,
        pace: Pace,
    ) -> Option<Self> {
        let mut backends = probe.pool().backends();
        backends.retain(|(job, _)| stalled.contains(job));
        if backends.is_empty() {
            probe.rest();
            return None;
        }
        Some(Self {
            side,
            backends,
            answer: probe.ask(pace.ask).await,
        })
    }
}

/// What follows from what was heard.
struct Round<'a> {
    watchdog: &'a Watchdog,
    servers: Servers<'a>,
    pace: Pace,
}

impl Round<'_> {
    fn conclude(&self, heard: impl Iterator<Item = Heard>) {
        let mut doings: HashMap<JobId, Vec<(Side, Doing)>> = HashMap::new();
        for Heard {
            side,
            backends,
            answer,
        } in heard
        {
            match answer {
                Ok(mut found) => {
                    for (job, pid) in backends {
                        match found.remove(&pid) {
                            Some(doing) => {
                                self.watchdog.is_there(job, (side, pid));
                                doings.entry(job).or_default().push((side, doing));
                            }
                            None => self.missing(job, (side, pid)),
                        }
                    }
                }
                Err(Unanswered::Refused(why)) => {
                    for (job, _) in backends {
                        let what = format!("the server does not say what it is doing: {why}");
                        self.tell(job, side, (what, AtWork::Unknown));
                    }
                }
                Err(Unanswered::Silent(since)) => self.silent(side, &backends, since),
            }
        }
        for (job, doings) in doings {
            self.tell_doings(job, doings);
        }
    }

    /// A server that waits for us is no news, unless both do.
    fn tell_doings(&self, job: JobId, doings: Vec<(Side, Doing)>) {
        let all_wait = doings.iter().all(|(_, doing)| doing.waits_for_us());
        let told = doings
            .into_iter()
            .filter(|(_, doing)| all_wait || !doing.waits_for_us());
        for (side, doing) in told {
            self.tell(job, side, (doing.sentence(), doing.at_work()));
        }
    }

    fn silent(&self, side: Side, backends: &[(JobId, i32)], since: Instant) {
        let silent = since.elapsed();
        let words = format!("no answer for {}", how_long(silent.as_secs()));
        for &(job, _) in backends {
            if silent >= self.pace.dead && self.watchdog.is_stalled(job, self.pace.dead) {
                self.bury(job, side, &words);
            } else {
                let limit = how_long(self.pace.dead.as_secs());
                let what = format!("{words}; after {limit} the connection is given up");
                self.tell(job, side, (what, AtWork::Unknown));
            }
        }
    }

    /// The server does not know a process that we are waiting for.
    fn missing(&self, job: JobId, backend: (Side, i32)) {
        if self.watchdog.is_gone(job, backend) {
            let (side, pid) = backend;
            self.bury(job, side, &format!("the server's process {pid} is gone"));
        }
    }

    /// Ends the job as if its connections had been lost.
    fn bury(&self, job: JobId, side: Side, why: &str) {
        let Some(watched) = self.watchdog.jobs().remove(&job) else {
            return;
        };
        self.servers.emit.emit(What::JobWaits {
            job,
            side,
            what: format!("{why}: the connection is given up"),
            at_work: AtWork::Unknown,
        });
        // Idle sessions of the same server are as dead as this one.
        self.servers.of(side).forget_idle();
        let error = PgError::Io {
            doing: format!("waiting for the {side}"),
            source: io::Error::new(io::ErrorKind::TimedOut, why),
        };
        // A job that has ended just now needs no verdict.
        let _ = watched.dead.send(error);
    }

    /// Says what a server does, unless that was said a moment ago.
    fn tell(&self, job: JobId, side: Side, (what, at_work): (String, AtWork)) {
        if self.watchdog.is_news(job, side, &what) {
            self.servers.emit.emit(What::JobWaits {
                job,
                side,
                what,
                at_work,
            });
        }
    }
}

impl<'a> Servers<'a> {
    fn of(&self, side: Side) -> &'a Pool {
        match side {
            Side::Source => self.source,
            Side::Target => self.target,
        }
    }
}

impl Watchdog {
    /// Jobs that have not moved for so long.
    fn stalled(&self, at_least: Duration) -> HashSet<JobId> {
        let mut jobs = self.jobs();
        jobs.values_mut().for_each(Watched::look);
        jobs.iter()
            .filter(|(_, watched)| watched.since.elapsed() >= at_least)
            .map(|(job, _)| *job)
            .collect()
    }

    /// Whether one has not moved for so long, up to now.
    fn is_stalled(&self, job: JobId, at_least: Duration) -> bool {
        self.jobs().get_mut(&job).is_some_and(|watched| {
            watched.look();
            watched.since.elapsed() >= at_least
        })
    }

    fn is_there(&self, job: JobId, backend: (Side, i32)) {
        if let Some(watched) = self.jobs().get_mut(&job) {
            watched.seen.insert(backend);
            watched.gone.remove(&backend);
        }
    }

    /// Whether a backend that was there is not, for the second time in a row, and the job still waits for it.
    fn is_gone(&self, job: JobId, backend: (Side, i32)) -> bool {
        self.jobs().get_mut(&job).is_some_and(|watched| {
            watched.look();
            watched.seen.contains(&backend) && !watched.gone.insert(backend)
        })
    }

    fn is_news(&self, job: JobId, side: Side, what: &str) -> bool {
        let shape = shape(what);
        self.jobs().get_mut(&job).is_some_and(|watched| {
            let old = watched.told.get(&side);
            let is_news = old.is_none_or(|(told, at)| *told != shape || at.elapsed() >= SAY_AGAIN);
            if is_news {
                watched.told.insert(side, (shape, Instant::now()));
            }
            is_news
        })
    }
}

impl Watched {
    /// Notices if the job has moved.
    fn look(&mut self) {
        let shows = self.gauge.read();
        if shows != self.shown {
            self.shown = shows;
            self.since = Instant::now();
            self.told.clear();
            self.gone.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKEND: (Side, i32) = (Side::Target, 7);

    #[test]
    fn the_readme_knows_when_servers_are_asked_and_when_one_is_dead() {
        let pace = Pace::new();
        let asked = pace.ask.as_secs();
        assert_eq!(pace.dead, Duration::from_secs(2 * 60));
        for says in [
            &format!(
                "If a job has not moved for {asked} s, pgconvoy asks its servers what they are doing"
            ),
            "one that does not answer for two minutes counts as a lost connection",
        ] {
            assert!(crate::readme_says(says), "{says}");
        }
    }

    #[test]
    fn a_backend_that_was_there_and_is_not_is_gone_at_the_second_look() {
        let (watchdog, job, gauge) = (Watchdog::default(), JobId(1), Arc::default());
        let _verdict = watchdog.begin(job, &gauge);
        // Behind a pooler the server never shows it.
        assert!(!watchdog.is_gone(job, BACKEND) && !watchdog.is_gone(job, BACKEND));
        watchdog.is_there(job, BACKEND);
        assert!(!watchdog.is_gone(job, BACKEND));
        watchdog.is_there(job, BACKEND);
        assert!(!watchdog.is_gone(job, BACKEND), "not in a row");
        assert!(watchdog.is_gone(job, BACKEND));
        // The job moves after all: it has ended while we looked.
        gauge.advance(Rows(1), Bytes(1));
        assert!(!watchdog.is_gone(job, BACKEND));
    }

    #[test]
    fn the_same_is_said_once_and_what_is_new_at_once() {
        let (watchdog, job, gauge) = (Watchdog::default(), JobId(1), Arc::default());
        let _verdict = watchdog.begin(job, &gauge);
        let is_news = |side, what| watchdog.is_news(job, side, what);
        assert!(is_news(Side::Target, "12 % of it"));
        assert!(!is_news(Side::Target, "13 % of it"));
        assert!(is_news(Side::Source, "13 % of it"));
        assert!(is_news(Side::Target, "waits"));
        assert!(watchdog.stalled(Duration::ZERO).contains(&job));
        gauge.advance(Rows(1), Bytes(1));
        assert!(!watchdog.is_stalled(job, Duration::from_secs(1)));
        assert!(is_news(Side::Target, "waits"), "it waits again");
    }
}
