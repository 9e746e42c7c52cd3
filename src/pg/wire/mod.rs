//! The raw wire: what pgconvoy speaks where every copy of a byte counts.
//!
//! ```text
//!   source ──CopyData frames──► [ one buffer ] ──the same bytes──► target
//!                                     │
//!                                     └─► rows counted and hashed (scanner)
//! ```
//!
//! The framing of COPY is the same in both directions (`'d'`, length, payload), so whole buffers are forwarded verbatim
//! and only looked at in passing. Everything that is a question with an answer goes through `tokio-postgres` (see
//! [`Session`](crate::pg::Session)); what is here is start-up, the simple query protocol for statements given as bytes, and COPY.
//!
//! | file | |
//! |---|---|
//! | `connection` | start-up, authentication, statements as bytes |
//! | `answers` | what a server answers to statements that were sent without waiting; the buffer |
//! | `relay` | a bundle of tables from one server to the other |
//! | `feed` | a bundle of tables from elsewhere into a server |
//! | `read` | tables that are only read |
//! | `large_objects` | large objects that are read, taken apart |
//! | `unframed` | tables that are read into a file |
//! | `scanner` | counts and hashes rows as they pass by |
//! | `arrays` | what of an array is no part of its value |
//! | `message` | everything that is no row |
//!
//! Deliberately absent: prepared statements, typed values, the extended protocol.

mod answers;
mod arrays;
mod connection;
mod feed;
mod large_objects;
mod message;
mod read;
mod relay;
mod scanner;
#[cfg(test)]
mod testing;
mod unframed;

pub use connection::{Notices, Wire, WireStart};
pub use feed::{Feed, Piece, Supply, feed, supply};
pub use large_objects::{ObjectRows, ObjectSink};
pub use read::{Question, ask_all, read_copy, read_rows};
pub use relay::{Bundle, Ends, Leg, Moment, Passed, relay};
pub use scanner::{RowScanner, RowSink, ScanError};
pub use unframed::{Unframed, read_into};

use std::iter::Sum;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::model::{Bytes, MultisetDigest, Rows};

/// The tag byte and the length of a message.
const MESSAGE_HEADER: usize = 5;

/// What a binary COPY begins with: signature, flags and length of the header extension (manual, "COPY", "File Header").
pub const BINARY_HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// A COPY that whoever took part in it counted alike.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Relayed {
    /// What went through.
    pub digest: MultisetDigest,
    /// `CopyData` bytes, framing included.
    pub bytes: Bytes,
}

impl Sum for Relayed {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |sum, part| Self {
            digest: sum.digest + part.digest,
            bytes: sum.bytes + part.bytes,
        })
    }
}

/// How far a COPY is: written by the relay once per buffer, read by whoever shows progress.
#[derive(Debug, Default)]
pub struct Gauge {
    rows: AtomicU64,
    bytes: AtomicU64,
    /// In nanoseconds, since the first attempt.
    for_rows: AtomicU64,
    for_room: AtomicU64,
}

/// For how long a COPY has waited for others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waits {
    /// Until whoever gives the rows had some.
    pub for_rows: Duration,
    /// Until whoever takes them did.
    pub for_room: Duration,
}

impl Waits {
    /// What came since then.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            for_rows: self.for_rows.saturating_sub(earlier.for_rows),
            for_room: self.for_room.saturating_sub(earlier.for_room),
        }
    }
}

impl Gauge {
    /// Adds to what has gone through.
    pub fn advance(&self, rows: Rows, bytes: Bytes) {
        self.rows.fetch_add(rows.0, Ordering::Relaxed);
        self.bytes.fetch_add(bytes.0, Ordering::Relaxed);
    }

    /// Adds to how long it was waited for rows.
    pub fn waited_for_rows(&self, waited: Duration) {
        self.for_rows.fetch_add(nanos(waited), Ordering::Relaxed);
    }

    /// Adds to how long it was waited for room.
    pub fn waited_for_room(&self, waited: Duration) {
        self.for_room.fetch_add(nanos(waited), Ordering::Relaxed);
    }

    /// For how long it was waited so far.
    pub fn waits(&self) -> Waits {
        let of = |nanos: &AtomicU64| Duration::from_nanos(nanos.load(Ordering::Relaxed));
        Waits {
            for_rows: of(&self.for_rows),
            for_room: of(&self.for_room),
        }
    }

    /// Begins anew, for another attempt.
    pub fn reset(&self) {
        self.rows.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// Rows and bytes so far.
    pub fn read(&self) -> (Rows, Bytes) {
        (
            Rows(self.rows.load(Ordering::Relaxed)),
            Bytes(self.bytes.load(Ordering::Relaxed)),
        )
    }
}

fn nanos(of: Duration) -> u64 {
    u64::try_from(of.as_nanos()).unwrap_or(u64::MAX)
}
