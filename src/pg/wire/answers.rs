//! What a server answers to statements that were sent without waiting, read through one buffer.
//!
//! ```text
//!   server ──► [ window ] ──► rows: scanned where they lie ──► outlet (the other server), the same bytes
//!                        └──► everything else: taken off as a message
//! ```
//!
//! The server answers in the order of the statements, and ends each answer with `ReadyForQuery`. So whoever reads here says
//! which statement is next, and every error is that statement's. After a refusal the next answer can be read as if nothing
//! had happened; only when the connection itself is of no use any more, the answers are [lost](Answers::is_lost).
//!
//! One window, made once, is all the memory that this takes. Before a wait, what the outlet has held back is sent: small
//! pieces travel together, but never later than they have to.

use std::time::Instant;

use bytes::{Bytes as MessageBytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::connection::Notices;
use super::message::{LARGEST_MESSAGE, Message};
use super::scanner::{RowScanner, RowSink};
use super::{Gauge, MESSAGE_HEADER};
use crate::fault;
use crate::model::{Bytes, MultisetDigest, RowLayout, Rows, ServerError, SqlText};
use crate::pg::PgError;

/// Large enough that a system call is cheap against the copying it does, small enough to stay in the cache.
pub(super) const WINDOW: usize = 256 << 10;

/// The answers of one server. `W` is where its rows are passed on to.
pub(super) struct Answers<'a, R, W = tokio::io::Sink> {
    reader: &'a mut R,
    /// What an earlier reader had read too much of, and what a later one has to read first.
    leftover: &'a mut BytesMut,
    notices: &'a mut Notices,
    outlet: Option<W>,
    window: Window,
    /// What the server said of the statement under way, before the end of its answer.
    complaint: Option<PgError>,
    lost: bool,
}

/// The rows of one COPY: a digest, how many bytes they were with their framing, and what looked at them.
pub(super) struct Taken<S> {
    pub digest: MultisetDigest,
    pub bytes: Bytes,
    pub sink: S,
}

impl<'a, R: AsyncRead + Unpin> Answers<'a, R> {
    /// Of a server whose rows go nowhere.
    pub fn new(reader: &'a mut R, leftover: &'a mut BytesMut, notices: &'a mut Notices) -> Self {
        Self::passed_on(reader, leftover, notices, None)
    }
}

impl<'a, R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Answers<'a, R, W> {
    /// Of a server whose rows are passed on.
    pub fn passed_on(
        reader: &'a mut R,
        leftover: &'a mut BytesMut,
        notices: &'a mut Notices,
        outlet: Option<W>,
    ) -> Self {
        Self {
            window: Window::new(&leftover.split()),
            reader,
            leftover,
            notices,
            outlet,
            complaint: None,
            lost: false,
        }
    }

    /// Whether nothing more can be heard: the connection is of no use any more.
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// What the server said last, if the end of that answer has not come.
    pub fn complaint(&mut self) -> Option<PgError> {
        self.complaint.take()
    }

    /// The answers are all read: what came after them is kept for the next reader.
    pub fn close(self) {
        self.leftover.extend_from_slice(self.window.unread());
    }

    /// Sends something to where the rows go, behind what was passed on so far.
    pub async fn pass(&mut self, bytes: &[u8]) -> Result<(), PgError> {
        let Some(outlet) = &mut self.outlet else {
            return Ok(());
        };
        let written = outlet.write_all(bytes).await;
        written.map_err(|source| lost("writing rows to the target", source))
    }

    /// Sends what the outlet has held back.
    pub async fn flush(&mut self) -> Result<(), PgError> {
        let Some(outlet) = &mut self.outlet else {
            return Ok(());
        };
        let flushed = outlet.flush().await;
        flushed.map_err(|source| lost("writing rows to the target", source))
    }

    /// The answer to a statement that returns nothing.
    pub async fn done(&mut self, sql: &SqlText) -> Result<(), PgError> {
        let doing = "running a batch of statements";
        loop {
            match self.message(sql, doing).await?.tag {
                b'Z' => return Ok(()),
                b'G' => return Err(self.nonsense("the server asked for data outside of a COPY")),
                _ => {}
            }
        }
    }

    /// The first answer to a COPY: `H`, rows will come, or `G`, rows may be sent.
    pub async fn begin(&mut self, sql: &SqlText, expected: u8) -> Result<(), PgError> {
        if self.message(sql, "starting a COPY").await?.tag == expected {
            return Ok(());
        }
        Err(self.nonsense("the server did not start the COPY"))
    }

    /// The rows of a COPY that has begun, up to `CopyDone`.
    pub async fn rows<S: RowSink>(
        &mut self,
        (sql, layout): (&SqlText, RowLayout<'_>),
        (gauge, sink): (&Gauge, S),
    ) -> Result<Taken<S>, PgError> {
        let mut scanner = RowScanner::new(layout, sink);
        let mut bytes = 0;
        loop {
            let so_far = (gauge, bytes);
            bytes += self.rows_in_a_row(sql, &mut scanner, so_far).await?;
            let message = self.any_message("reading rows").await?;
            match message.tag {
                b'c' => break,
                b'E' => return Err(self.refused(sql, &message).await),
                _ if self.is_remark(&message) => {}
                tag => {
                    let what = format!("message {:?} in the middle of a COPY", char::from(tag));
                    return Err(self.nonsense(&what));
                }
            }
        }
        let digest = scanner.finish().inspect_err(|_| self.lost = true)?;
        Ok(Taken {
            digest,
            bytes: Bytes(bytes),
            sink: scanner.into_sink(),
        })
    }

    /// The end of the answer to a COPY: how many rows the server says they were.
    pub async fn end(&mut self, sql: &SqlText) -> Result<Rows, PgError> {
        let mut rows = None;
        loop {
            let message = self.message(sql, "ending a COPY").await?;
            match (message.tag, rows) {
                (b'C', None) => rows = message.tag_rows().map(Rows),
                (b'Z', Some(rows)) => return Ok(rows),
                _ => return Err(self.nonsense("the COPY ended without a row count")),
            }
        }
    }

    /// The answer to a `SELECT count(*)`.
    pub async fn count(&mut self, sql: &SqlText) -> Result<Rows, PgError> {
        let mut rows = None;
        loop {
            let message = self.message(sql, "counting rows").await?;
            match message.tag {
                b'D' => {
                    let number = message.first_number();
                    rows = number.inspect_err(|_| self.lost = true)?.map(Rows);
                }
                b'Z' => break,
                b'T' | b'C' => {}
                _ => return Err(self.nonsense("no answer to count(*)")),
            }
        }
        rows.ok_or_else(|| PgError::Answer {
            query: "count(*)",
            what: "no number".into(),
        })
    }

    /// Takes in rows for as long as nothing else comes, and passes them on. Returns how many bytes they were; `before` of the
    /// same COPY went through already.
    async fn rows_in_a_row<S: RowSink>(
        &mut self,
        sql: &SqlText,
        scanner: &mut RowScanner<S>,
        (gauge, before): (&Gauge, u64),
    ) -> Result<u64, PgError> {
        let mut bytes = 0;
        loop {
            let rows_before = scanner.digest().rows;
            let unread = self.window.unread();
            let taken = scanner.scan(unread, WINDOW);
            let taken = taken.inspect_err(|_| self.lost = true)?;
            if taken > 0 {
                if let Some(outlet) = &mut self.outlet {
                    fault::point("rows-relayed");
                    if !(fault::strikes("relay-cut-short") && before + bytes > 0) {
                        let began = Instant::now();
                        let written = outlet.write_all(&unread[..taken]).await;
                        written.map_err(|source| lost("writing rows to the target", source))?;
                        gauge.waited_for_room(began.elapsed());
                    }
                } else {
                    fault::point_of("rows-read", || sql.to_string());
                }
                bytes += taken as u64;
                let rows = Rows(scanner.digest().rows.0 - rows_before.0);
                gauge.advance(rows, Bytes(taken as u64));
                self.window.take(taken);
            }
            let next = self.window.unread().first();
            if scanner.between_messages() && next.is_some_and(|&tag| tag != b'd') {
                return Ok(bytes);
            }
            let began = Instant::now();
            self.fill(WINDOW, "reading rows").await?;
            gauge.waited_for_rows(began.elapsed());
        }
    }

    /// The next message of the answer to `sql`. A complaint is an error once the answer has ended: then the server is ready
    /// for what comes next, and has let go of what it must.
    async fn message(&mut self, sql: &SqlText, doing: &str) -> Result<Message, PgError> {
        loop {
            let message = self.any_message(doing).await?;
            if message.tag == b'E' {
                return Err(self.refused(sql, &message).await);
            }
            if !self.is_remark(&message) {
                return Ok(message);
            }
        }
    }

    /// Reads on to the end of an answer that is an error.
    async fn refused(&mut self, sql: &SqlText, message: &Message) -> PgError {
        self.complaint = Some(PgError::server(sql, message.to_server_error()));
        loop {
            // A FATAL error is followed by the end of the connection: the error is the news, not the end.
            match self.any_message("waiting for the server").await {
                Ok(message) if message.tag != b'Z' => {
                    self.is_remark(&message);
                }
                Ok(_) | Err(_) => break,
            }
        }
        let unsaid = || PgError::server(sql, ServerError::default());
        self.complaint.take().unwrap_or_else(unsaid)
    }

    /// Whether a message belongs to no answer.
    fn is_remark(&mut self, message: &Message) -> bool {
        if message.tag == b'N' {
            self.notices.push(message);
        }
        matches!(message.tag, b'N' | b'S' | b'A')
    }

    async fn any_message(&mut self, doing: &str) -> Result<Message, PgError> {
        loop {
            let mut wanted = MESSAGE_HEADER;
            if let Some(&[tag, a, b, c, d]) = self.window.unread().first_chunk::<MESSAGE_HEADER>() {
                let length = usize::try_from(i32::from_be_bytes([a, b, c, d])).unwrap_or(0);
                if !(4..=LARGEST_MESSAGE).contains(&length) {
                    let tag = char::from(tag);
                    let what = format!("message {tag:?} announces {length} bytes");
                    return Err(self.nonsense(&what));
                }
                wanted = length + 1;
                if let Some(message) = self.window.unread().get(..wanted) {
                    let body = MessageBytes::copy_from_slice(&message[MESSAGE_HEADER..]);
                    self.window.take(wanted);
                    return Ok(Message { tag, body });
                }
            }
            self.fill(wanted, doing).await?;
        }
    }

    /// Waits for more; nothing is held back meanwhile.
    async fn fill(&mut self, wanted: usize, doing: &str) -> Result<(), PgError> {
        self.flush().await?;
        let room = self.window.room_for(wanted);
        match self.reader.read(room).await {
            Ok(0) => {
                self.lost = true;
                Err(PgError::Closed {
                    doing: doing.to_owned(),
                })
            }
            Ok(read) => {
                self.window.add(read);
                Ok(())
            }
            Err(source) => {
                self.lost = true;
                Err(lost(doing, source))
            }
        }
    }

    fn nonsense(&mut self, what: &str) -> PgError {
        self.lost = true;
        PgError::Protocol {
            what: what.to_owned(),
        }
    }
}

fn lost(doing: &str, source: std::io::Error) -> PgError {
    PgError::Io {
        doing: doing.to_owned(),
        source,
    }
}

/// What has arrived and is not dealt with: a part of one allocation.
struct Window {
    bytes: Vec<u8>,
    from: usize,
    to: usize,
    /// How many bytes were moved to the front so far.
    #[cfg(test)]
    moved: usize,
}

impl Window {
    fn new(leftover: &[u8]) -> Self {
        let mut bytes = vec![0; WINDOW.max(leftover.len())];
        bytes[..leftover.len()].copy_from_slice(leftover);
        Self {
            bytes,
            from: 0,
            to: leftover.len(),
            #[cfg(test)]
            moved: 0,
        }
    }

    fn unread(&self) -> &[u8] {
        &self.bytes[self.from..self.to]
    }

    fn take(&mut self, count: usize) {
        self.from += count;
        if self.from >= self.to {
            (self.from, self.to) = (0, 0);
        }
    }

    /// Where more can be read into, so that `wanted` bytes would fit in all. What is there, the beginning of a message, is
    /// moved to the front; only a message longer than the window, which must be a very long complaint, makes it grow.
    fn room_for(&mut self, wanted: usize) -> &mut [u8] {
        if self.from > 0 {
            self.bytes.copy_within(self.from..self.to, 0);
            #[cfg(test)]
            {
                self.moved += self.to - self.from;
            }
            (self.from, self.to) = (0, self.to - self.from);
        }
        if self.bytes.len() < wanted {
            self.bytes.resize(wanted, 0);
        }
        &mut self.bytes[self.to..]
    }

    fn add(&mut self, count: usize) {
        self.to += count;
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{
        Depot, Road, complaint, counted, framed, given_out, message, ready, refused, sql,
    };
    use super::*;

    const MEGABYTE: usize = 1 << 20;

    /// Rows of so many bytes, four megabytes of them, read so many bytes at a time: what that costs.
    async fn relayed(row: usize, at_once: usize) -> (Depot, usize, usize) {
        let row = "x".repeat(row);
        let rows = vec![row.as_str(); 4 * MEGABYTE / (row.len() + MESSAGE_HEADER)];
        let said = given_out(&rows);
        let mut road = Road {
            bytes: &said,
            at_once,
            reads: 0,
        };
        let mut depot = Depot::default();
        let (mut leftover, mut notices) = (BytesMut::new(), Notices::default());
        let outlet = Some(&mut depot);
        let mut answers = Answers::passed_on(&mut road, &mut leftover, &mut notices, outlet);
        let first = answers.window.bytes.as_ptr();
        let copy = sql("copy t to stdout");
        let gauge = Gauge::default();
        answers.begin(&copy, b'H').await.expect("it begins");
        let taken = answers.rows((&copy, RowLayout::Text), (&gauge, ())).await;
        let taken = taken.expect("it goes through");
        let tag = answers.end(&copy).await.expect("it ends");
        assert_eq!(taken.digest.rows, tag);
        assert_eq!(gauge.read(), (tag, taken.bytes));
        assert_eq!(answers.window.bytes.as_ptr(), first, "one allocation");
        assert_eq!(answers.window.bytes.len(), WINDOW);
        let moved = answers.window.moved;
        assert!(depot.bytes == framed(&rows), "not the same bytes");
        (depot, road.reads, moved)
    }

    /// Nothing is copied but the beginnings of rows whose ends have not come, and there are as few system calls as there can be.
    #[tokio::test]
    async fn a_byte_that_is_relayed_is_not_copied() {
        for (row, at_once, most_moved) in [
            (100, MEGABYTE, 1),
            (100, 8192, 2),
            (9000, MEGABYTE, 4),
            (100_000, MEGABYTE, 40),
            (3 * MEGABYTE, MEGABYTE, 60),
        ] {
            let (depot, reads, moved) = relayed(row, at_once).await;
            let bytes = depot.bytes.len();
            let most = bytes / at_once.min(WINDOW) * 2 + 20;
            assert!(reads <= most, "rows of {row}: {reads} reads");
            assert!(
                depot.writes <= reads,
                "rows of {row}: {} writes",
                depot.writes
            );
            let percent = moved * 100 / bytes;
            assert!(percent <= most_moved, "rows of {row}: {percent} % moved");
        }
    }

    #[tokio::test]
    async fn what_is_left_over_is_there_for_the_next_reader() {
        let early = message(b'N', b"SNOTICE\0\0");
        let late = message(b'A', b"\0\0\0\0a\0b\0");
        let (mut leftover, mut notices) = (BytesMut::from(&early[..3]), Notices::default());
        let said = [&early[3..], &counted(7), &late].concat();
        let mut reader = said.as_slice();
        let mut answers = Answers::new(&mut reader, &mut leftover, &mut notices);
        let rows = answers.count(&sql("select count(*) from t")).await;
        assert_eq!(rows.expect("a number"), Rows(7));
        answers.close();
        assert_eq!(leftover, late);
        assert_eq!(notices.take().len(), 1);
    }

    #[tokio::test]
    async fn after_a_refusal_the_next_answer_is_read_and_after_the_end_none() {
        let long = "x".repeat(2 * WINDOW);
        let fields = format!("SERROR\0C22000\0M{long}\0\0");
        let long = [message(b'E', fields.as_bytes()), ready()].concat();
        let said = [refused("42501"), long, counted(3), complaint("57P01")].concat();
        let (mut leftover, mut notices) = (BytesMut::new(), Notices::default());
        let mut reader = said.as_slice();
        let mut answers = Answers::new(&mut reader, &mut leftover, &mut notices);
        let query = sql("select count(*) from t");
        for code in ["42501", "22000"] {
            let refused = answers.count(&query).await.expect_err("refused");
            assert_eq!(refused.code(), Some(code));
        }
        assert_eq!(answers.count(&query).await.expect("a number"), Rows(3));
        assert!(!answers.is_lost());
        let fatal = answers.count(&query).await.expect_err("gone");
        assert_eq!(fatal.code(), Some("57P01"));
        assert!(answers.is_lost());
    }

    #[tokio::test]
    async fn remarks_between_rows_are_none_of_them() {
        let said = [
            message(b'H', b""),
            framed(&["1"]),
            message(b'N', b"SWARNING\0\0"),
            message(b'S', b"a\0b\0"),
            framed(&["2"]),
            message(b'c', b""),
        ]
        .concat();
        let (mut leftover, mut notices) = (BytesMut::new(), Notices::default());
        let mut reader = said.as_slice();
        let mut answers = Answers::new(&mut reader, &mut leftover, &mut notices);
        let copy = sql("copy t to stdout");
        answers.begin(&copy, b'H').await.expect("it begins");
        let gauge = Gauge::default();
        let taken = answers.rows((&copy, RowLayout::Text), (&gauge, ())).await;
        assert_eq!(taken.expect("it ends").digest.rows, Rows(2));
        assert_eq!(notices.take().len(), 1);
    }
}
