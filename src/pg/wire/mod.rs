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

use crate::model::{Bytes, MultisetDigest, Rows};

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
}

impl Gauge {
    /// Adds to what has gone through.
    pub fn advance(&self, rows: Rows, bytes: Bytes) {
        self.rows.fetch_add(rows.0, Ordering::Relaxed);
        self.bytes.fetch_add(bytes.0, Ordering::Relaxed);
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
