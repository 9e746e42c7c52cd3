//! The COPY relay: from one server's COPY TO into another's COPY FROM, without touching disk.
//!
//! One buffer, read from the source and written to the target as it is. That is all the memory a relay takes, and all
//! the backpressure it needs: while the target does not take the buffer, the source is not read.
//!
//! While rows flow, the target's side of the conversation is listened to as well. A target that fails early (disk full,
//! a constraint) says so at once and then swallows whatever is sent; without listening, a failed COPY would go on for
//! hours.

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use super::Gauge;
use super::connection::Wire;
use super::message::{Message, next_message};
use super::scanner::{RowScanner, RowSink};
use crate::fault;
use crate::model::{Bytes, CopyFormat, MultisetDigest, Rows, ServerError, SqlText};
use crate::pg::{PgError, stream::Stream};

/// Large enough that a system call is cheap against the copying it does, small enough to stay in the cache.
const BUFFER: usize = 256 << 10;

/// A COPY that both servers and our own count agree on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Relayed {
    /// What went through.
    pub digest: MultisetDigest,
    /// `CopyData` bytes, framing included.
    pub bytes: Bytes,
}

/// The two ends of a relay: the statements, and the sessions they run on.
pub struct Ends<'a> {
    /// A session of the source, inside its transaction.
    pub source: &'a mut Wire,
    /// `COPY … TO STDOUT`.
    pub copy_out: &'a SqlText,
    /// A session of the target, inside its transaction.
    pub target: &'a mut Wire,
    /// `COPY … FROM STDIN`.
    pub copy_in: &'a SqlText,
}

/// Relays one COPY. On error the target's transaction must be rolled back, or its session thrown away if broken.
pub async fn relay(ends: Ends<'_>, format: &CopyFormat, gauge: &Gauge) -> Result<Relayed, PgError> {
    let Ends {
        source,
        copy_out,
        target,
        copy_in,
    } = ends;
    target.begin_copy(copy_in, b'G').await?;
    if let Err(error) = source.begin_copy(copy_out, b'H').await {
        target.fail_copy("the source refused its COPY").await;
        return Err(error);
    }
    let mut pump = Pump {
        scanner: RowScanner::new(format, ()),
        gauge,
        bytes: 0,
    };
    let forwarded = {
        let forward = pump.run(
            &mut source.reader,
            &mut source.buffer,
            Some(&mut target.writer),
        );
        tokio::select! {
            biased;
            refusal = first_error(&mut target.reader, &mut target.buffer) => refusal.map(Box::new).map(Forwarded::TargetFailed),
            ended = forward => ended.map(Forwarded::SourceEnded),
        }
    };
    // Unless both servers know how the COPY ended, neither session is in a state to go on from.
    let forwarded = forwarded.inspect_err(|_| (source.broken, target.broken) = (true, true))?;
    match forwarded {
        Forwarded::TargetFailed(error) => {
            // The source is in the middle of its COPY: there is no polite way to stop it but to hang up.
            source.broken = true;
            // What the server said is the news, not how its session ended.
            let _ = target.await_ready().await;
            Err(PgError::server(copy_in, *error))
        }
        Forwarded::SourceEnded(Ended::Error(error)) => {
            let _ = source.await_ready().await;
            target.fail_copy("the source's COPY failed").await;
            Err(PgError::server(copy_out, *error))
        }
        Forwarded::SourceEnded(Ended::Done) => {
            if let Err(cut_short) = pump.scanner.finish() {
                target.fail_copy("the source's COPY was cut short").await;
                return Err(cut_short.into());
            }
            target.send_copy_done().await?;
            fault::point("copy-done-sent");
            let source_tag = source.end_copy(copy_out).await?;
            let target_tag = target.end_copy(copy_in).await?;
            let digest = pump.scanner.finish()?;
            if digest.rows != source_tag || digest.rows != target_tag {
                return Err(PgError::CountMismatch {
                    ours: digest.rows,
                    source_tag,
                    target_tag,
                });
            }
            Ok(Relayed {
                digest,
                bytes: Bytes(pump.bytes),
            })
        }
    }
}

/// Reads one COPY to its end, counting and hashing, and keeps nothing.
pub async fn read_copy(
    wire: &mut Wire,
    copy_out: &SqlText,
    format: &CopyFormat,
    gauge: &Gauge,
) -> Result<Relayed, PgError> {
    let (relayed, ()) = read_rows(wire, copy_out, format, (gauge, ())).await?;
    Ok(relayed)
}

/// Reads one COPY to its end, and shows each row to a sink, which is given back.
pub async fn read_rows<S: RowSink>(
    wire: &mut Wire,
    copy_out: &SqlText,
    format: &CopyFormat,
    (gauge, sink): (&Gauge, S),
) -> Result<(Relayed, S), PgError> {
    wire.begin_copy(copy_out, b'H').await?;
    let mut pump = Pump {
        scanner: RowScanner::new(format, sink),
        gauge,
        bytes: 0,
    };
    let ended = pump.run(&mut wire.reader, &mut wire.buffer, None).await;
    match ended.inspect_err(|_| wire.broken = true)? {
        Ended::Error(error) => {
            let _ = wire.await_ready().await;
            Err(PgError::server(copy_out, *error))
        }
        Ended::Done => {
            let tag = wire.end_copy(copy_out).await?;
            let digest = pump.scanner.finish()?;
            if digest.rows != tag {
                return Err(PgError::CountMismatch {
                    ours: digest.rows,
                    source_tag: tag,
                    target_tag: tag,
                });
            }
            let relayed = Relayed {
                digest,
                bytes: Bytes(pump.bytes),
            };
            Ok((relayed, pump.scanner.into_sink()))
        }
    }
}

enum Forwarded {
    TargetFailed(Box<ServerError>),
    SourceEnded(Ended),
}

enum Ended {
    Done,
    Error(Box<ServerError>),
}

/// Reads buffers, has them scanned, passes them on.
struct Pump<'a, S> {
    scanner: RowScanner<S>,
    gauge: &'a Gauge,
    bytes: u64,
}

impl<S: RowSink> Pump<'_, S> {
    /// Runs until the source says that it is done, or fails. What it said afterwards is left in `leftover`.
    async fn run(
        &mut self,
        source: &mut ReadHalf<Stream>,
        leftover: &mut BytesMut,
        mut target: Option<&mut WriteHalf<Stream>>,
    ) -> Result<Ended, PgError> {
        let mut buffer = BytesMut::with_capacity(BUFFER);
        buffer.extend_from_slice(&leftover.split());
        loop {
            let before = self.scanner.digest().rows;
            let taken = self.scanner.scan(&buffer, BUFFER)?;
            if taken > 0 {
                if fault::strikes("relay-cut-short") && self.bytes > 0 {
                    target = None;
                }
                if target.is_some() {
                    fault::point("rows-relayed");
                } else {
                    fault::point("rows-read");
                }
                if let Some(target) = &mut target {
                    target
                        .write_all(&buffer[..taken])
                        .await
                        .map_err(|source| lost("writing rows to the target", source))?;
                }
                self.bytes += taken as u64;
                let rows = Rows(self.scanner.digest().rows.0 - before.0);
                self.gauge.advance(rows, Bytes(taken as u64));
                shift(&mut buffer, taken);
            }
            if self.scanner.between_messages() && buffer.first().is_some_and(|&tag| tag != b'd') {
                *leftover = buffer.split();
                match self.other_message(source, leftover).await? {
                    Some(ended) => return Ok(ended),
                    None => buffer.extend_from_slice(&leftover.split()),
                }
                continue;
            }
            buffer.reserve(BUFFER.saturating_sub(buffer.len()).max(1));
            let read = source
                .read_buf(&mut buffer)
                .await
                .map_err(|source| lost("reading rows", source))?;
            if read == 0 {
                return Err(PgError::Closed {
                    doing: "reading rows".into(),
                });
            }
        }
    }

    async fn other_message(
        &self,
        source: &mut ReadHalf<Stream>,
        leftover: &mut BytesMut,
    ) -> Result<Option<Ended>, PgError> {
        let message = next_message(source, leftover, "reading rows").await?;
        match message.tag {
            b'c' => Ok(Some(Ended::Done)),
            b'E' => Ok(Some(Ended::Error(Box::new(message.to_server_error())))),
            b'N' | b'S' | b'A' => Ok(None),
            tag => Err(PgError::Protocol {
                what: format!("message {:?} in the middle of a COPY", char::from(tag)),
            }),
        }
    }
}

/// Moves what was not taken to the front, in the same allocation.
fn shift(buffer: &mut BytesMut, taken: usize) {
    let length = buffer.len();
    buffer.copy_within(taken..length, 0);
    buffer.truncate(length - taken);
}

/// Waits until the target complains. Never returns otherwise.
async fn first_error(
    reader: &mut ReadHalf<Stream>,
    buffer: &mut BytesMut,
) -> Result<ServerError, PgError> {
    loop {
        let message = next_message(reader, buffer, "writing rows to the target").await?;
        if message.tag == b'E' {
            return Ok(message.to_server_error());
        }
    }
}

fn lost(doing: &str, source: std::io::Error) -> PgError {
    PgError::Io {
        doing: doing.to_owned(),
        source,
    }
}

impl Wire {
    /// Sends a COPY statement and waits for the server to agree: `H` (out) or `G` (in).
    async fn begin_copy(&mut self, sql: &SqlText, expected: u8) -> Result<(), PgError> {
        self.send_query(sql).await?;
        let message = self.receive("starting a COPY").await?;
        match message.tag {
            b'E' => {
                let _ = self.await_ready().await;
                Err(PgError::server(sql, message.to_server_error()))
            }
            tag if tag == expected => Ok(()),
            _ => Err(self.lost("the server did not start the COPY")),
        }
    }

    async fn send_copy_done(&mut self) -> Result<(), PgError> {
        let mut message = BytesMut::new();
        frontend::copy_done(&mut message);
        self.send(&message, "ending a COPY").await
    }

    /// Makes the target give up its COPY; its transaction is then to be rolled back.
    async fn fail_copy(&mut self, reason: &str) {
        let mut message = BytesMut::new();
        let written = frontend::copy_fail(reason, &mut message).is_ok();
        // Whether the server takes it or not, the COPY has no effect: it answers with an error, or the session is gone.
        if !written
            || self.send(&message, "giving up a COPY").await.is_err()
            || self.await_ready().await.is_ok()
        {
            self.broken = true;
        }
    }

    /// Reads the command tag that ends a COPY and returns its row count.
    async fn end_copy(&mut self, sql: &SqlText) -> Result<Rows, PgError> {
        let mut tag: Option<Message> = None;
        let mut failure = None;
        loop {
            let message = match self.receive("ending a COPY").await {
                Ok(message) => message,
                // A FATAL error is followed by the end of the connection: the error is the news, not the end.
                Err(error) => {
                    return Err(failure.map_or(error, |fatal| PgError::server(sql, fatal)));
                }
            };
            match message.tag {
                b'C' => tag = Some(message),
                b'E' => failure = Some(message.to_server_error()),
                b'Z' => break,
                _ => {}
            }
        }
        if let Some(error) = failure {
            return Err(PgError::server(sql, error));
        }
        let rows = tag.and_then(|tag| tag.tag_rows());
        rows.map(Rows)
            .ok_or_else(|| self.lost("the COPY ended without a row count"))
    }
}
