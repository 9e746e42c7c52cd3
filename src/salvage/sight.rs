//! Asks a damaged server one thing at a time: what comes of it is rows, damage, or something that has nothing to do with damage.
//!
//! A session that ends while it reads has come upon something that brings a server process down, and with it all others for a
//! moment: the server is waited for, and what was asked is not asked again. Errors are asked for in English, whatever the
//! server speaks: they stand in the account. Nothing is written: sessions of the source are read-only.

use std::fmt::Write as _;
use std::io;
use std::time::{Duration, Instant};

use super::SalvageError;
use super::account::{Cause, DamageClass};
use super::seen::Seen;
use crate::model::{RowLayout, SqlText};
use crate::pg::wire::{Gauge, RowSink, Unframed, Wire, read_into, read_rows};
use crate::pg::{Connector, PgError, Session};
use crate::plan::{Doubtful, Place};

/// How long a server that crashed is waited for.
const RECOVERY: Duration = Duration::from_secs(600);
/// How often it is looked whether it is back.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a server that cancels nothing is waited for, beyond the time that a probe is given.
const GRACE: Duration = Duration::from_secs(30);
/// Takes note of where rows are, by their first column, and of text that is none.
#[derive(Debug, Default)]
pub struct Places {
    /// Where rows were read.
    pub seen: Seen,
    /// How many.
    pub rows: u64,
    /// Whether text is looked at: it is UTF-8, if it is text.
    utf8: bool,
    /// What has come of a row that comes piece by piece.
    pieces: Option<Text>,
    /// A row that holds something else.
    not_text: Option<Place>,
    /// A row without a place: nobody else's.
    strange: bool,
}

impl Places {
    /// Of rows in UTF-8, or in an encoding that is not looked at.
    pub fn new(utf8: bool) -> Self {
        Self {
            utf8,
            ..Self::default()
        }
    }

    /// Of rows that were found elsewhere.
    pub fn of(seen: Seen) -> Self {
        Self {
            rows: seen.rows(),
            seen,
            ..Self::default()
        }
    }

    /// And those besides.
    #[must_use]
    pub fn and(mut self, more: Seen) -> Self {
        self.seen.extend(more);
        self
    }

    /// So many rows, of which nobody knows where they are.
    pub fn without_places(rows: u64) -> Self {
        Self {
            rows,
            ..Self::default()
        }
    }
}

impl RowSink for Places {
    fn row(&mut self, _hash: u128, head: &[u8]) {
        self.rows += 1;
        let Some(place) = place_of(head) else {
            self.strange = true;
            return;
        };
        if !self.seen.insert(place.0, place.1) {
            self.strange = true;
        }
        if self.utf8 {
            let is_text = match self.pieces.take() {
                Some(text) => text.is_whole(),
                None => std::str::from_utf8(head).is_ok(),
            };
            if !is_text {
                self.not_text.get_or_insert(place);
            }
        }
    }

    fn piece(&mut self, piece: &[u8]) {
        if self.utf8 {
            self.pieces.get_or_insert_default().take_in(piece);
        }
    }
}

/// Text that comes piece by piece.
#[derive(Debug, Default)]
struct Text {
    /// A character that is not whole yet.
    rest: Vec<u8>,
    is_none: bool,
}

impl Text {
    fn take_in(&mut self, piece: &[u8]) {
        let mut text = std::mem::take(&mut self.rest);
        text.extend_from_slice(piece);
        if let Err(error) = std::str::from_utf8(&text) {
            self.is_none |= error.error_len().is_some();
            self.rest = text.split_off(error.valid_up_to());
            // What is no text need not be kept.
            self.rest.truncate(4);
        }
    }

    fn is_whole(&self) -> bool {
        !self.is_none && self.rest.is_empty()
    }
}

/// `(12,3)`, at the beginning of a line.
pub(super) fn place_of(line: &[u8]) -> Option<Place> {
    let line = line.strip_prefix(b"(")?;
    let end = line.iter().position(|&byte| byte == b')')?;
    let text = std::str::from_utf8(&line[..end]).ok()?;
    let (block, offset) = text.split_once(',')?;
    Some((block.parse().ok()?, offset.parse().ok()?))
}

/// A session of the source for probes.
pub struct Sight {
    connector: Connector,
    wire: Option<Wire>,
    timeout: Duration,
    doubtful: Doubtful,
    /// Whether the session may scan a table as a whole; unknown, if there is none.
    scans: Option<bool>,
}

impl Sight {
    /// For a source; opens nothing yet.
    pub fn new(connector: &Connector, timeout: Duration) -> Self {
        Self::doubting(connector, timeout, Doubtful::default())
    }

    /// The same, for what cannot be read otherwise.
    pub fn doubting(connector: &Connector, timeout: Duration, doubtful: Doubtful) -> Self {
        let mut opening = format!(
            "set statement_timeout = '{}ms'; set lc_messages = 'C'; set enable_indexonlyscan = off; \
             set enable_indexscan = off; set enable_bitmapscan = off",
            timeout.as_millis()
        );
        for statement in doubtful.statements(true) {
            let _infallible = write!(opening, "; {statement}");
        }
        Self {
            connector: connector.with_opening(&opening),
            wire: None,
            timeout,
            doubtful,
            scans: None,
        }
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
        self.may_scan(scans).await?;
        let sql = SqlText::from(format!("copy ({query}) to stdout ({encoding})"));
        let places = match self.rows(&sql, Places::new(utf8)).await? {
            Ok((_, places)) => places,
            Err(cause) => return Ok(Err(cause)),
        };
        if places.strange {
            return Err(SalvageError::Strange(query.to_owned()));
        }
        Ok(match places.not_text {
            Some((block, offset)) => Err(Cause {
                class: DamageClass::Value,
                code: None,
                message: format!("row ({block},{offset}) holds text that is not valid UTF-8"),
            }),
            None => Ok(places),
        })
    }

    /// Reads rows, and shows each to a sink: how many there were, and the sink; or the damage that was met.
    pub async fn rows<S: RowSink>(
        &mut self,
        sql: &SqlText,
        sink: S,
    ) -> Result<Result<(u64, S), Cause>, SalvageError> {
        let mut wire = self.take().await?;
        let gauge = Gauge::default();
        let read = read_rows(&mut wire, sql, RowLayout::Text, (&gauge, sink));
        let Ok(read) = tokio::time::timeout(self.timeout + GRACE, read).await else {
            return Ok(Err(Cause {
                class: DamageClass::Timeout,
                code: None,
                message: "no answer in time, and it could not be cancelled".to_owned(),
            }));
        };
        let error = match read {
            Ok((relayed, sink)) => {
                self.wire = Some(wire);
                return Ok(Ok((relayed.digest.rows.0, sink)));
            }
            Err(error) => error,
        };
        if error.is_lost_connection() {
            let message = format!("the server process that read it ended: {error}");
            return Ok(Err(Cause {
                class: DamageClass::Crash,
                code: error.code().map(str::to_owned),
                message,
            }));
        }
        let cause = error
            .code()
            .and_then(|code| Cause::of_error(code, &message_of(&error)));
        if !wire.is_broken() {
            self.wire = Some(wire);
        }
        match cause {
            Some(cause) => Ok(Err(cause)),
            None => Err(error.into()),
        }
    }

    /// Writes rows as they come. The inner error is that of the writer.
    pub async fn copy<W: io::Write + Unpin>(
        &mut self,
        sql: &SqlText,
        into: W,
    ) -> Result<io::Result<W>, SalvageError> {
        self.may_scan(false).await?;
        let mut wire = self.take().await?;
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

    async fn may_scan(&mut self, scans: bool) -> Result<(), SalvageError> {
        let began = Instant::now();
        loop {
            let mut wire = self.take().await?;
            if self.scans == Some(scans) {
                self.wire = Some(wire);
                return Ok(());
            }
            let to = if scans { "on" } else { "off" };
            let setting = SqlText::from(format!("set enable_seqscan = {to}"));
            match wire.execute(&setting).await {
                Ok(()) => {
                    self.wire = Some(wire);
                    self.scans = Some(scans);
                }
                // A server that has just crashed may have let us in before it noticed.
                Err(error) if error.is_lost_connection() => {
                    wait_unless_hopeless(error, began).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn take(&mut self) -> Result<Wire, SalvageError> {
        if let Some(wire) = self.wire.take() {
            return Ok(wire);
        }
        self.scans = None;
        self.open().await
    }

    async fn open(&self) -> Result<Wire, SalvageError> {
        let began = Instant::now();
        loop {
            match self.connector.wire("salvage").await {
                Ok(wire) => return Ok(wire),
                Err(error) => wait_unless_hopeless(error, began).await?,
            }
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_from_the_first_column() {
        assert_eq!(place_of(b"(12,3)\tx\n"), Some((12, 3)));
        assert_eq!(
            place_of(b"(4294967295,65535)\n"),
            Some((u32::MAX, u16::MAX))
        );
        assert_eq!(place_of(b"12,3)\n"), None);
        let mut places = Places::new(true);
        places.row(0, b"(1,2)\tgood\n");
        places.row(0, b"(1,291)\tbad \xff\n");
        assert_eq!(places.not_text, Some((1, 291)));
        assert_eq!(places.seen.of(1).iter().collect::<Vec<_>>(), [2, 291]);
        assert_eq!(places.seen.rows(), 2);
        assert!(!places.strange);
    }

    #[test]
    fn a_long_row_is_text_to_its_end() {
        let of = |pieces: &[&[u8]]| {
            let mut places = Places::new(true);
            for piece in pieces {
                places.piece(piece);
            }
            places.row(
                0,
                b"(1,2)\tthe beginning, which may end within a character \xc3",
            );
            places.not_text
        };
        assert_eq!(of(&[b"(1,2)\t\xc3", b"\xa4 and on", b" and on\n"]), None);
        assert_eq!(
            of(&[b"(1,2)\tgood ", b"bad \xff", b" good\n"]),
            Some((1, 2))
        );
        assert_eq!(of(&[b"(1,2)\t", b"half \xc3"]), Some((1, 2)));
        // The next row begins anew.
        let mut places = Places::new(true);
        places.piece(b"(1,1)\tlong\n");
        places.row(0, b"(1,1)\tlong\n");
        places.row(0, b"(1,3)\tshort \xff\n");
        assert_eq!(places.not_text, Some((1, 3)));
    }
}
