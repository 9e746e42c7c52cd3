//! Asks a damaged server one thing at a time: what comes of it is rows, damage, or something that has nothing to do with damage.
//!
//! A session that ends while it reads may have come upon something that brings a server process down, and with it all others for a
//! moment: the server is waited for, and what was asked is not asked again. A session that was taken away (`life`) tells nothing of what it
//! read, and that is asked again. Errors are asked for in English, whatever the server speaks: they stand in the account. Nothing is
//! written: sessions of the source are read-only.

use std::fmt::Write as _;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::SalvageError;
use super::account::{Cause, DamageClass};
use super::life::{End, Life, last_words};
use super::places::Places;
use crate::model::{RowLayout, SqlText};
use crate::pg::wire::{Gauge, RowSink, Unframed, Wire, read_into, read_rows};
use crate::pg::{Connector, PgError, Session};
use crate::plan::Doubtful;

/// How long a server that crashed is waited for.
const RECOVERY: Duration = Duration::from_secs(600);
/// How often it is looked whether it is back.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a server that cancels nothing is waited for, beyond the time that a probe is given.
const GRACE: Duration = Duration::from_secs(30);
/// By then a server has noticed that one of its processes has crashed, and has ended all sessions.
const NOTICED: Duration = Duration::from_secs(2);
/// A statement was cancelled.
const CANCELLED: &str = "57014";
/// How often something is asked whose session is taken away each time.
const MOST_ATTEMPTS: u32 = 3;

/// How a session reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Manner {
    /// A table may be scanned as a whole, also where less of it would do.
    scans: bool,
    /// All of it has to come within the time that a probe is given. Otherwise something of it has to come within that, again and again.
    in_time: bool,
}

impl Manner {
    /// What makes a session read so.
    fn setting(self, timeout: Duration) -> SqlText {
        let scans = if self.scans { "on" } else { "off" };
        let limit_ms = if self.in_time { timeout.as_millis() } else { 0 };
        SqlText::from(format!(
            "set enable_seqscan = {scans}; set statement_timeout = '{limit_ms}ms'"
        ))
    }
}

/// Whether a session has ended without a word, and nobody knows yet what it was that ended it.
#[derive(Debug, Clone, Default)]
pub struct Unexplained(Arc<AtomicBool>);

impl Unexplained {
    /// Whether that is so.
    pub fn is_so(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    pub(super) fn set(&self, is_so: bool) {
        self.0.store(is_so, Ordering::SeqCst);
    }
}

/// What comes of reading once.
enum Outcome<S> {
    /// So many rows, and what has looked at them.
    Read(u64, S),
    Damage(Cause),
    /// The session ended.
    Ended(PgError, End),
}

/// A session of the source for probes.
pub struct Sight {
    connector: Connector,
    wire: Option<Wire>,
    timeout: Duration,
    doubtful: Doubtful,
    /// Nobody else of ours reads at the same time.
    is_alone: bool,
    /// How the session reads; unknown, if there is none.
    manner: Option<Manner>,
    /// Which life of the server the session is of, or was.
    life: Option<Life>,
    unexplained: Unexplained,
}

impl Sight {
    /// For a source; opens nothing yet.
    pub fn new(connector: &Connector, timeout: Duration) -> Self {
        Self::doubting(connector, timeout, Doubtful::default())
    }

    /// The same, for what cannot be read otherwise.
    pub fn doubting(connector: &Connector, timeout: Duration, doubtful: Doubtful) -> Self {
        let mut opening = String::from(
            "set lc_messages = 'C'; set enable_indexonlyscan = off; set enable_indexscan = off; \
             set enable_bitmapscan = off",
        );
        for statement in doubtful.statements(true) {
            let _infallible = write!(opening, "; {statement}");
        }
        Self {
            connector: connector.with_opening(&opening),
            wire: None,
            timeout,
            doubtful,
            is_alone: true,
            manner: None,
            life: None,
            unexplained: Unexplained::default(),
        }
    }

    /// The same, if others of ours read at the same time.
    #[must_use]
    pub fn beside_others(self) -> Self {
        Self {
            is_alone: false,
            ..self
        }
    }

    /// Whether nobody else of ours reads at the same time: then it was nobody else who brought the server down.
    pub fn is_alone(&self) -> bool {
        self.is_alone
    }

    /// Tells, also when it is asked no more, whether what it read last may be what the server did not survive.
    pub fn unexplained(&self) -> Unexplained {
        self.unexplained.clone()
    }

    /// Whether it reads what may be wrong.
    pub fn is_doubtful(&self) -> bool {
        !self.doubtful.is_none()
    }

    /// Reads rows whose first column is their place. A small table is only scanned as a whole if that is meant (`scans`): otherwise rows that
    /// were not asked for would be read as well, and passed over then.
    pub async fn places(
        &mut self,
        (query, scans): (&str, bool),
        (encoding, utf8): (&str, bool),
    ) -> Result<Result<Places, Cause>, SalvageError> {
        let sql = SqlText::from(format!("copy ({query}) to stdout ({encoding})"));
        let manner = Manner {
            scans,
            in_time: true,
        };
        let places = match self.read(&sql, manner, || Places::new(utf8)).await? {
            Ok((_, places)) => places,
            Err(cause) => return Ok(Err(cause)),
        };
        if places.are_strange() {
            return Err(SalvageError::Strange(query.to_owned()));
        }
        Ok(match places.not_text() {
            Some((block, offset)) => Err(Cause {
                class: DamageClass::Value,
                code: None,
                message: format!("row ({block},{offset}) holds text that is not valid UTF-8"),
            }),
            None => Ok(places),
        })
    }

    /// Reads rows: how many there were, or the damage that was met.
    pub async fn rows(&mut self, sql: &SqlText) -> Result<Result<u64, Cause>, SalvageError> {
        let manner = Manner {
            scans: true,
            in_time: true,
        };
        self.count(sql, manner).await
    }

    /// The same of a whole table, however long that takes, as long as something comes.
    pub async fn whole(&mut self, sql: &SqlText) -> Result<Result<u64, Cause>, SalvageError> {
        let manner = Manner {
            scans: true,
            in_time: false,
        };
        let read = self.count(sql, manner).await?;
        Ok(read.map_err(|cause| match cause.code.as_deref() {
            Some(CANCELLED) => Cause {
                message: format!(
                    "reading it as a whole was cancelled, as happens when nothing arrives for {:?}",
                    self.timeout
                ),
                ..cause
            },
            _ => cause,
        }))
    }

    async fn count(
        &mut self,
        sql: &SqlText,
        manner: Manner,
    ) -> Result<Result<u64, Cause>, SalvageError> {
        let read = self.read(sql, manner, || ()).await?;
        Ok(read.map(|(rows, ())| rows))
    }

    /// Reads rows, and shows each to a sink: how many there were, and the sink; or the damage that was met. What was read when the session was
    /// taken away is read again, up to three times in all; after that it is told as what it is, or believed to be a crash of its own doing.
    async fn read<S: RowSink>(
        &mut self,
        sql: &SqlText,
        manner: Manner,
        sink: impl Fn() -> S,
    ) -> Result<Result<(u64, S), Cause>, SalvageError> {
        let mut attempts = 1;
        loop {
            let (error, end) = match Box::pin(self.read_once(sql, manner, sink())).await? {
                Outcome::Read(rows, sink) => return Ok(Ok((rows, sink))),
                Outcome::Damage(cause) => return Ok(Err(cause)),
                Outcome::Ended(error, end) => (error, end),
            };
            let is_last = attempts == MOST_ATTEMPTS;
            match end {
                End::TakenAway if is_last && manner.in_time => return Err(error.into()),
                // All of a table takes long; it must not keep us from all others.
                End::TakenAway if is_last => {
                    return Ok(Err(Cause {
                        class: DamageClass::Timeout,
                        code: error.code().map(str::to_owned),
                        message: format!(
                            "its session was ended {MOST_ATTEMPTS} times before all of it had arrived: {error}"
                        ),
                    }));
                }
                End::TakenAway => {}
                End::TakenAlong if !is_last => {}
                End::TakenAlong | End::Crash => {
                    return Ok(Err(Cause {
                        class: DamageClass::Crash,
                        code: error.code().map(str::to_owned),
                        message: format!("the server process that read it ended: {error}"),
                    }));
                }
            }
            attempts += 1;
        }
    }

    async fn read_once<S: RowSink>(
        &mut self,
        sql: &SqlText,
        manner: Manner,
        sink: S,
    ) -> Result<Outcome<S>, SalvageError> {
        let mut wire = self.take(manner).await?;
        // What is said from here on counts.
        wire.notices.take();
        let (peer, backend) = (wire.peer().clone(), wire.backend());
        let gauge = Gauge::default();
        let read = read_rows(&mut wire, sql, RowLayout::Text, (&gauge, sink));
        let read = if manner.in_time {
            let read = tokio::time::timeout(self.timeout + GRACE, read).await;
            read.ok()
        } else {
            let cancel = self.connector.cancel(&peer, backend);
            while_it_comes(read, (&gauge, self.timeout), cancel).await
        };
        let error = match read {
            Some(Ok((relayed, sink))) => {
                self.wire = Some(wire);
                return Ok(Outcome::Read(relayed.digest.rows.0, sink));
            }
            Some(Err(error)) => error,
            None => {
                return Ok(Outcome::Damage(Cause {
                    class: DamageClass::Timeout,
                    code: None,
                    message: "no answer in time, and it could not be cancelled".to_owned(),
                }));
            }
        };
        if error.is_lost_connection() {
            let end = match last_words(&error, &wire.notices.take()) {
                Some(end) => end,
                None => self.why_it_ended().await?,
            };
            return Ok(Outcome::Ended(error, end));
        }
        let cause = error
            .code()
            .and_then(|code| Cause::of_error(code, &message_of(&error)));
        if !wire.is_broken() {
            self.wire = Some(wire);
        }
        match cause {
            Some(cause) => Ok(Outcome::Damage(cause)),
            None => Err(error.into()),
        }
    }

    /// Why a session ended without a word: the server is waited for, and asked.
    async fn why_it_ended(&mut self) -> Result<End, SalvageError> {
        let Some(before) = self.life.take() else {
            return Ok(End::Crash);
        };
        self.unexplained.set(true);
        let began = Instant::now();
        let end = loop {
            let opened = self.open().await;
            let mut wire = opened.map_err(SalvageError::or_not_back)?;
            if self.life.as_ref() != Some(&before) {
                self.wire = Some(wire);
                break End::Crash;
            }
            match outlasts_a_crash(&mut wire).await {
                Ok(()) => {
                    self.wire = Some(wire);
                    break End::TakenAway;
                }
                Err(error) => wait_unless_hopeless(error, began)
                    .await
                    .map_err(SalvageError::or_not_back)?,
            }
        };
        self.unexplained.set(false);
        Ok(end)
    }

    /// Writes rows as they come, however long that takes. The inner error is that of the writer.
    pub async fn copy<W: io::Write + Unpin>(
        &mut self,
        sql: &SqlText,
        into: W,
    ) -> Result<io::Result<W>, SalvageError> {
        let manner = Manner {
            scans: false,
            in_time: false,
        };
        let mut wire = self.take(manner).await?;
        let mut into = Unframed::new(into);
        let read = read_into(
            &mut wire,
            sql,
            RowLayout::Text,
            (&Gauge::default(), &mut into),
        )
        .await;
        if let Some(error) = into.failure() {
            return Ok(Err(error));
        }
        read?;
        self.wire = Some(wire);
        Ok(Ok(into.into_inner()))
    }

    /// The session, reading so.
    async fn take(&mut self, manner: Manner) -> Result<Wire, SalvageError> {
        let began = Instant::now();
        loop {
            let mut wire = match self.wire.take() {
                Some(wire) => wire,
                None => self.open().await?,
            };
            if self.manner == Some(manner) {
                return Ok(wire);
            }
            match wire.execute(&manner.setting(self.timeout)).await {
                Ok(()) => {
                    self.manner = Some(manner);
                    return Ok(wire);
                }
                // A server that has just crashed may have let us in before it noticed.
                Err(error) if error.is_lost_connection() => {
                    wait_unless_hopeless(error, began).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A new session.
    async fn open(&mut self) -> Result<Wire, SalvageError> {
        self.manner = None;
        let began = Instant::now();
        loop {
            let error = match self.connector.wire("salvage").await {
                Ok(mut wire) => match Life::of(&mut wire).await {
                    Ok(life) => {
                        self.life = life;
                        return Ok(wire);
                    }
                    Err(error) => error,
                },
                Err(error) => error,
            };
            wait_unless_hopeless(error, began).await?;
        }
    }
}

/// An error, if the session ends: a server that has just crashed may have let it in before it noticed.
async fn outlasts_a_crash(wire: &mut Wire) -> Result<(), PgError> {
    let began = Instant::now();
    while began.elapsed() < NOTICED {
        tokio::time::sleep(PAUSE).await;
        Life::of(wire).await?;
    }
    Ok(())
}

/// Waits for what is read, as long as something of it comes: what has fallen silent for so long is cancelled. Nothing, if not even that
/// ends it.
async fn while_it_comes<T>(
    read: impl Future<Output = T>,
    (gauge, patience): (&Gauge, Duration),
    cancel: impl Future<Output = ()>,
) -> Option<T> {
    let mut read = pin!(read);
    let mut before = gauge.read();
    loop {
        if let Ok(read) = tokio::time::timeout(patience, &mut read).await {
            return Some(read);
        }
        let now = gauge.read();
        if now == before {
            break;
        }
        before = now;
    }
    cancel.await;
    tokio::time::timeout(GRACE, read).await.ok()
}

/// A session for questions, of a server that may just have crashed.
pub async fn patient_session(source: &Connector) -> Result<Session, SalvageError> {
    let began = Instant::now();
    loop {
        match source.session("survey").await {
            Ok(session) => return Ok(session),
            Err(error) => wait_unless_hopeless(error, began).await?,
        }
    }
}

/// A server that has just crashed takes a while to come back.
async fn wait_unless_hopeless(error: PgError, began: Instant) -> Result<(), SalvageError> {
    if !error.may_pass() || began.elapsed() > RECOVERY {
        return Err(error.into());
    }
    tokio::time::sleep(PAUSE).await;
    Ok(())
}

fn message_of(error: &PgError) -> String {
    match error {
        PgError::Server { error, .. } => error.message.clone(),
        other => other.to_string(),
    }
}
