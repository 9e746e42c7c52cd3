//! Counts and hashes the rows of a COPY stream as it passes by.
//!
//! COPY TO sends exactly one row per `CopyData` message (manual, "COPY Operations"). In the binary format the 19-byte
//! file header stands in front of the first row, in the same message, and the trailer is a message of two bytes,
//! `0xFFFF`. So a row's bytes are its message's payload, and its hash is xxh3-128 of that payload. Header and trailer
//! are checked and not hashed; a binary stream without its trailer was cut short.
//!
//! A message that does not fit into the caller's buffer is hashed piece by piece, so that a row of 1 GB costs no memory.
//! Whoever wants to look at the rows themselves gives a [`RowSink`], which is shown the beginning of each.

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::model::{CopyFormat, MultisetDigest};

/// The tag byte and the length of a message.
const MESSAGE_HEADER: usize = 5;

/// Signature, flags and length of the header extension (manual, "COPY", "File Header").
const BINARY_HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// The field count that ends a binary stream.
const BINARY_TRAILER: &[u8; 2] = b"\xff\xff";

/// How much of a row is shown to a [`RowSink`] at least, if the row has as much: more than any key can be long, because an
/// index entry fits into a third of a page.
pub const HEAD: usize = 64 << 10;

/// Looks at the rows of a COPY stream as they pass by.
pub trait RowSink {
    /// One row: its hash, and its first 64 kB, or all of it.
    fn row(&mut self, hash: u128, head: &[u8]);

    /// How many of a row's first bytes are left out of its hash.
    fn unhashed(&self) -> usize {
        0
    }
}

/// For who only counts and hashes.
impl RowSink for () {
    fn row(&mut self, _hash: u128, _head: &[u8]) {}
}

/// A COPY stream that is not what the protocol promises.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ScanError {
    /// A length field smaller than itself.
    #[error("a CopyData message announces the impossible length {length}")]
    ImpossibleLength {
        /// The length field.
        length: i32,
    },
    /// A binary stream starts with something else.
    #[error("the binary COPY stream does not start with the header that PostgreSQL documents")]
    NoBinaryHeader,
    /// Rows after the end.
    #[error("the binary COPY stream goes on after its trailer")]
    DataAfterTrailer,
    /// The stream ended early.
    #[error("the COPY stream was cut short: it ended {missing}")]
    CutShort {
        /// What had not arrived.
        missing: &'static str,
    },
}

/// The state between two buffers of one COPY stream.
pub struct RowScanner<S = ()> {
    sink: S,
    binary: bool,
    header_seen: bool,
    trailer_seen: bool,
    digest: MultisetDigest,
    large_message: Option<LargeMessage>,
    hasher: Box<Xxh3>,
}

/// A message that is longer than the caller's buffer, under way.
struct LargeMessage {
    /// Payload bytes still to come.
    remaining: usize,
    /// The row's first bytes.
    head: Vec<u8>,
}

impl<S: RowSink> RowScanner<S> {
    /// For a stream of this format that has not started.
    pub fn new(format: &CopyFormat, sink: S) -> Self {
        let binary = matches!(format, CopyFormat::Binary);
        Self {
            sink,
            binary,
            header_seen: !binary,
            trailer_seen: !binary,
            digest: MultisetDigest::default(),
            large_message: None,
            hasher: Box::new(Xxh3::new()),
        }
    }

    /// Rows and hashes so far.
    pub fn digest(&self) -> MultisetDigest {
        self.digest
    }

    /// Takes in `CopyData` messages from the front of `buffer` and says how many bytes they were.
    ///
    /// Stops at the first message that is not `CopyData` (see [`Self::between_messages`]), and at one that is
    /// incomplete but could still fit into `capacity` bytes; a longer one is taken in piece by piece.
    pub fn scan(&mut self, buffer: &[u8], capacity: usize) -> Result<usize, ScanError> {
        let mut at = 0;
        if let Some(large) = &mut self.large_message {
            let piece = large.remaining.min(buffer.len());
            self.hasher.update(&buffer[..piece]);
            large.remaining -= piece;
            if large.remaining > 0 {
                return Ok(piece);
            }
            at = piece;
            if let Some(large) = self.large_message.take() {
                let hash = self.hasher.digest128();
                self.digest.add_row(hash);
                self.sink.row(hash, &large.head);
            }
        }
        while let Some(&[tag, a, b, c, d]) = buffer[at..].first_chunk::<MESSAGE_HEADER>() {
            if tag != b'd' {
                break;
            }
            let length = i32::from_be_bytes([a, b, c, d]);
            let payload = usize::try_from(length)
                .ok()
                .and_then(|length| length.checked_sub(4))
                .ok_or(ScanError::ImpossibleLength { length })?;
            let start = at + MESSAGE_HEADER;
            if let Some(message) = buffer[start..].get(..payload) {
                self.whole_message(message)?;
                at = start + payload;
            } else if MESSAGE_HEADER + payload > capacity
                && buffer.len() - start >= self.beginning(payload, capacity)
            {
                self.begin_large_message(&buffer[start..], payload)?;
                return Ok(buffer.len());
            } else {
                break;
            }
        }
        Ok(at)
    }

    /// What looked at the rows.
    pub fn into_sink(self) -> S {
        self.sink
    }

    /// Whether the last byte taken in was the last of a message: only then may another message follow.
    pub fn between_messages(&self) -> bool {
        self.large_message.is_none()
    }

    /// The digest of the whole stream, once the server has said `CopyDone`.
    pub fn finish(&self) -> Result<MultisetDigest, ScanError> {
        if !self.between_messages() {
            return Err(ScanError::CutShort {
                missing: "in the middle of a row",
            });
        }
        if !self.header_seen || !self.trailer_seen {
            return Err(ScanError::CutShort {
                missing: "without its trailer",
            });
        }
        Ok(self.digest)
    }

    fn whole_message(&mut self, message: &[u8]) -> Result<(), ScanError> {
        if !self.binary {
            self.add_row(message);
            return Ok(());
        }
        let row = self.after_header(message)?;
        if row.is_empty() {
            return Ok(());
        }
        if self.trailer_seen {
            return Err(ScanError::DataAfterTrailer);
        }
        if row == BINARY_TRAILER {
            self.trailer_seen = true;
        } else {
            self.add_row(row);
        }
        Ok(())
    }

    fn add_row(&mut self, row: &[u8]) {
        let hash = xxh3_128(row.get(self.sink.unhashed()..).unwrap_or_default());
        self.digest.add_row(hash);
        self.sink.row(hash, row);
    }

    fn begin_large_message(&mut self, so_far: &[u8], payload: usize) -> Result<(), ScanError> {
        let mut row = so_far;
        if self.binary {
            if self.trailer_seen {
                return Err(ScanError::DataAfterTrailer);
            }
            row = self.after_header(so_far)?;
        }
        self.hasher.reset();
        self.hasher
            .update(row.get(self.sink.unhashed()..).unwrap_or_default());
        self.large_message = Some(LargeMessage {
            remaining: payload - so_far.len(),
            head: row[..row.len().min(HEAD)].to_vec(),
        });
        Ok(())
    }

    /// How much of a message must be there before it is taken in piece by piece: the file header, if it is still to come,
    /// and the head that a sink is shown. A small buffer, as tests have, holds no such head.
    fn beginning(&self, payload: usize, capacity: usize) -> usize {
        let header = if self.header_seen {
            0
        } else {
            BINARY_HEADER.len()
        };
        (header + HEAD)
            .min(payload)
            .min((capacity - MESSAGE_HEADER).max(header))
    }

    /// Takes the file header off the first message of a binary stream.
    fn after_header<'a>(&mut self, message: &'a [u8]) -> Result<&'a [u8], ScanError> {
        if self.header_seen {
            return Ok(message);
        }
        self.header_seen = true;
        message
            .strip_prefix(BINARY_HEADER)
            .ok_or(ScanError::NoBinaryHeader)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(payload: &[u8]) -> Vec<u8> {
        let length = i32::try_from(payload.len() + 4)
            .expect("short")
            .to_be_bytes();
        [b"d".as_slice(), &length, payload].concat()
    }

    fn text() -> CopyFormat {
        CopyFormat::Text {
            because: "a test".into(),
        }
    }

    /// Feeds the stream through a buffer of `capacity`, `step` bytes at a time, the way the relay does.
    fn scan_in_steps(
        format: &CopyFormat,
        stream: &[u8],
        capacity: usize,
        step: usize,
    ) -> Result<MultisetDigest, ScanError> {
        let mut scanner = RowScanner::new(format, ());
        let mut buffer: Vec<u8> = Vec::new();
        let mut rest = stream;
        while !rest.is_empty() {
            let room = capacity - buffer.len();
            let (piece, later) = rest.split_at(step.min(room).min(rest.len()));
            assert!(!piece.is_empty(), "the scanner left no room");
            buffer.extend_from_slice(piece);
            rest = later;
            let taken = scanner.scan(&buffer, capacity)?;
            buffer.drain(..taken);
        }
        assert!(
            buffer.is_empty(),
            "{} bytes were not taken in",
            buffer.len()
        );
        scanner.finish()
    }

    #[test]
    fn binary_header_and_trailer_are_not_rows() {
        let empty = [message(
            &[BINARY_HEADER.as_slice(), BINARY_TRAILER].concat(),
        )]
        .concat();
        assert_eq!(
            scan_in_steps(&CopyFormat::Binary, &empty, 64, 64)
                .expect("scans")
                .rows
                .0,
            0
        );
        let one = [
            message(&[BINARY_HEADER.as_slice(), b"\0\x01row"].concat()),
            message(BINARY_TRAILER),
        ]
        .concat();
        let digest = scan_in_steps(&CopyFormat::Binary, &one, 64, 64).expect("scans");
        assert_eq!((digest.rows.0, digest.sum), (1, xxh3_128(b"\0\x01row")));
    }

    #[test]
    fn a_binary_stream_without_trailer_is_cut_short() {
        let stream = message(&[BINARY_HEADER.as_slice(), b"\0\x01row"].concat());
        let error = scan_in_steps(&CopyFormat::Binary, &stream, 64, 64).expect_err("cut");
        assert_eq!(
            error,
            ScanError::CutShort {
                missing: "without its trailer"
            }
        );
        assert!(scan_in_steps(&CopyFormat::Binary, &[], 64, 64).is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(
            RowScanner::new(&text(), ()).scan(b"d\0\0\0\x03", 64),
            Err(ScanError::ImpossibleLength { length: 3 })
        );
        assert_eq!(
            RowScanner::new(&CopyFormat::Binary, ()).scan(&message(b"PGCOPY\r\n"), 64),
            Err(ScanError::NoBinaryHeader)
        );
        let late = [
            message(&[BINARY_HEADER.as_slice(), BINARY_TRAILER].concat()),
            message(b"\0\x01row"),
        ]
        .concat();
        assert_eq!(
            RowScanner::new(&CopyFormat::Binary, ()).scan(&late, 128),
            Err(ScanError::DataAfterTrailer)
        );
    }

    #[test]
    fn it_stops_at_the_first_other_message() {
        let stream = [message(b"row\n"), b"c\0\0\0\x04".to_vec()].concat();
        let mut scanner = RowScanner::new(&text(), ());
        assert_eq!(scanner.scan(&stream, 64), Ok(9));
        assert!(scanner.between_messages());
    }

    proptest! {
        /// However the stream is cut into reads, and whether or not a row fits the buffer, the digest is the same.
        #[test]
        fn the_digest_does_not_depend_on_the_cuts(
            rows in prop::collection::vec(prop::collection::vec(any::<u8>(), 3..200), 0..40),
            step in 1_usize..70,
            binary: bool,
        ) {
            let mut expected = MultisetDigest::default();
            for row in &rows {
                expected.add_row(xxh3_128(row));
            }
            let (format, stream) = if binary {
                let mut payloads = rows.clone();
                payloads.push(BINARY_TRAILER.to_vec());
                payloads[0] = [BINARY_HEADER.as_slice(), &payloads[0]].concat();
                (CopyFormat::Binary, payloads.iter().flat_map(|row| message(row)).collect::<Vec<u8>>())
            } else {
                (text(), rows.iter().flat_map(|row| message(row)).collect())
            };
            // 64 bytes: most rows do not fit, and are taken in piece by piece.
            prop_assert_eq!(scan_in_steps(&format, &stream, 64, step), Ok(expected));
            prop_assert_eq!(scan_in_steps(&format, &stream, 4096, step), Ok(expected));
        }
    }
}
