//! Messages of a server, for tests of those who read them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::model::SqlText;

pub fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
    [&[tag][..], &length, body].concat()
}

/// `ReadyForQuery`, in a transaction.
pub fn ready() -> Vec<u8> {
    message(b'Z', b"T")
}

pub fn tag(tag: &str) -> Vec<u8> {
    message(b'C', format!("{tag}\0").as_bytes())
}

/// A COPY FROM that was done.
pub fn taken_in(rows: usize) -> Vec<u8> {
    let begun = message(b'G', b"\0\0\0");
    [begun, tag(&format!("COPY {rows}")), ready()].concat()
}

/// The rows of a COPY TO, framed.
pub fn framed(rows: &[&str]) -> Vec<u8> {
    let mut framed = Vec::new();
    for row in rows {
        framed.extend_from_slice(&message(b'd', row.as_bytes()));
    }
    framed
}

/// A COPY TO with its rows.
pub fn given_out(rows: &[&str]) -> Vec<u8> {
    let begun = message(b'H', b"\0\0\0");
    let end = [message(b'c', b""), tag(&format!("COPY {}", rows.len()))].concat();
    [begun, framed(rows), end, ready()].concat()
}

/// The answer to `SELECT count(*)`.
pub fn counted(rows: usize) -> Vec<u8> {
    let digits = rows.to_string();
    let length = u32::try_from(digits.len()).expect("short").to_be_bytes();
    let row = [&[0, 1][..], &length, digits.as_bytes()].concat();
    let described = message(b'T', b"\0\0");
    [described, message(b'D', &row), tag("SELECT 1"), ready()].concat()
}

/// A refusal, without the end of the answer.
pub fn complaint(code: &str) -> Vec<u8> {
    let fields = format!("SERROR\0VERROR\0C{code}\0Mno\0\0");
    message(b'E', fields.as_bytes())
}

pub fn refused(code: &str) -> Vec<u8> {
    [complaint(code), ready()].concat()
}

/// What a server is sent for a statement.
pub fn asked(sql: &str) -> Vec<u8> {
    message(b'Q', format!("{sql}\0").as_bytes())
}

pub fn sql(text: &str) -> SqlText {
    SqlText::from(text)
}

/// Gives so many bytes at a time, and counts the times.
pub struct Road<'a> {
    pub bytes: &'a [u8],
    pub at_once: usize,
    pub reads: usize,
}

impl AsyncRead for Road<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let road = self.get_mut();
        road.reads += 1;
        let count = road.at_once.min(buffer.remaining()).min(road.bytes.len());
        let (now, later) = road.bytes.split_at(count);
        buffer.put_slice(now);
        road.bytes = later;
        Poll::Ready(Ok(()))
    }
}

/// Takes everything in, and counts the times.
#[derive(Default)]
pub struct Depot {
    pub bytes: Vec<u8>,
    pub writes: usize,
}

impl AsyncWrite for Depot {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let depot = self.get_mut();
        depot.writes += 1;
        depot.bytes.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
