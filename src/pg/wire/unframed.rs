//! Reads one COPY, and writes what it holds without the frames of its messages: what a file of an archive holds.

use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

use super::answers::Answers;
use super::connection::Wire;
use super::read::copy;
use super::{Gauge, MESSAGE_HEADER, Relayed};
use crate::model::{RowLayout, SqlText};
use crate::pg::PgError;

/// Takes the frames off, and passes the rest on. What is written may be compressed or go to a disk, but must not wait for
/// anything else.
pub struct Unframed<W> {
    into: W,
    header: Vec<u8>,
    /// Bytes of the message under way that are still to come.
    payload: usize,
    failure: Option<io::Error>,
}

impl<W: Write> Unframed<W> {
    /// Into a writer.
    pub fn new(into: W) -> Self {
        Self {
            into,
            header: Vec::with_capacity(MESSAGE_HEADER),
            payload: 0,
            failure: None,
        }
    }

    /// Where it went.
    pub fn into_inner(self) -> W {
        self.into
    }

    /// Why nothing more could be written: the writer's fault, and not that of a connection.
    pub fn failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    fn take(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.payload == 0 {
                let (header, rest) =
                    bytes.split_at(bytes.len().min(MESSAGE_HEADER - self.header.len()));
                self.header.extend_from_slice(header);
                bytes = rest;
                if let Some(&[_, a, b, c, d]) = self.header.first_chunk::<MESSAGE_HEADER>() {
                    // The scanner has looked at it: it is 4 or more.
                    let length = u32::from_be_bytes([a, b, c, d]).saturating_sub(4);
                    self.payload = usize::try_from(length).unwrap_or(usize::MAX);
                    self.header.clear();
                }
                continue;
            }
            let (piece, rest) = bytes.split_at(bytes.len().min(self.payload));
            self.into.write_all(piece)?;
            self.payload -= piece.len();
            bytes = rest;
        }
        Ok(())
    }
}

impl<W: Write + Unpin> AsyncWrite for Unframed<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(match self.take(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => {
                let kind = error.kind();
                self.failure = Some(error);
                Err(kind.into())
            }
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Reads one COPY to its end, counting and hashing, and writes what it holds. If it fails, `into` tells whether that was
/// because of what it writes to.
pub async fn read_into<W: Write + Unpin>(
    wire: &mut Wire,
    copy_out: &SqlText,
    layout: RowLayout<'_>,
    (gauge, into): (&Gauge, &mut Unframed<W>),
) -> Result<Relayed, PgError> {
    wire.send_query(copy_out).await?;
    let Wire {
        reader,
        buffer,
        notices,
        ..
    } = wire;
    let mut answers = Answers::passed_on(reader, buffer, notices, Some(&mut *into));
    let read = copy(&mut answers, (copy_out, layout), (gauge, ())).await;
    let is_lost = answers.is_lost();
    answers.close();
    wire.broken |= is_lost || into.failure.is_some();
    Ok(read?.0)
}

#[cfg(test)]
mod tests {
    use super::super::testing::framed;
    use super::*;

    #[test]
    fn frames_are_taken_off_wherever_they_are_cut() {
        let rows = ["one\n", "", "three\n"];
        let framed = framed(&rows);
        for cut in 0..framed.len() {
            let mut unframed = Unframed::new(Vec::new());
            unframed.take(&framed[..cut]).expect("taken");
            unframed.take(&framed[cut..]).expect("taken");
            assert_eq!(unframed.into_inner(), b"one\nthree\n", "cut at {cut}");
        }
    }
}
