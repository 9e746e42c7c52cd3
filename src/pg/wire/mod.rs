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
//! Deliberately absent: prepared statements, typed values, the extended protocol.

mod connection;
mod message;
mod relay;
mod scanner;

pub(super) use connection::parse_version;
pub use connection::{Notices, Wire, WireStart};
pub use relay::{Ends, Relayed, read_copy, read_rows, relay};
pub use scanner::{RowScanner, RowSink, ScanError};

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::{Bytes, Rows};

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
