//! An archive in `pg_dump`'s directory format: what is in its files, and what is beside them.
//!
//! ```text
//!   NAME/toc.dat                 the table of contents (module toc)
//!   NAME/3541.dat.zst            the rows of one table: COPY text, then \. (data)
//!   NAME/blobs_3542.toc          which large objects there are, and in which files
//!   NAME/blob_16411.dat.zst      the content of one large object
//!   NAME/pgconvoy.manifest.json  what all of these must hold; written last (manifest)
//! ```
//!
//! Stock `pg_restore` reads everything but the manifest, and does not mind it. An archive comes into being under another
//! name, `NAME.unfinished`, and gets its own when the manifest is in it and everything is on disk: what is called NAME
//! is whole. In object storage nothing can be renamed: there the manifest alone makes an archive of what is under NAME.
//!
//! | file | |
//! |---|---|
//! | `codec` | the compressions that `pg_dump` knows, in frames that may stand one after the other |
//! | `data` | rows in a data file: counted, hashed, and whole or not |
//! | `store` | where all of it lies: a directory, or object storage |
//! | `unfinished` | the files while an archive is written: in a `directory`, or with a `prefix` in object storage |
//! | `held` | a piece of a file that waits for its turn |
//! | `journal` | which of them are finished, for a dump that goes on with another |
//! | `manifest` | what the archive holds, file by file |
//! | `narrowed` | what was left out of it when it was dumped |
//! | `check` | the files against the manifest |
//! | `read_through` | the data of one without a manifest, to its end |
//! | `stored` | a finished archive, whoever wrote it: where everything is |
//! | `blocks`, `tar` | the data in archives that are one file |
//! | `error` | what can go wrong |
//!
//! Nothing here connects to anything but object storage. Facts about the format are from `pg_backup_directory.c` and `compress_*.c` of
//! Postgres 9.1 to 18.

mod blocks;
mod check;
mod codec;
mod data;
mod directory;
mod error;
mod held;
mod journal;
mod manifest;
mod narrowed;
mod prefix;
mod read_through;
mod store;
mod stored;
mod tar;
mod unfinished;

pub use check::{
    Problem, changed_since, check_files, check_files_of, is_of_the_road, still_as_noted,
};
pub use codec::{Algorithm, Codec, CodecError, Decoder, Encoder};
pub use data::{DATA_END, DataReader, RowPieces, Stretch, read_large_object, read_rows};
pub use error::ArchiveError;
pub use held::{Blocks, Held};
pub use journal::{Header, Journal, Line, Noted};
pub use manifest::{
    Content, FileFacts, LOSSES, LargeObjectFacts, LossFacts, MANIFEST, Manifest, SequenceFacts,
    SourceFacts, TableFacts,
};
pub use narrowed::Narrowed;
pub use read_through::{ReadThrough, read_through};
pub use store::{Store, StoreError, absolute, tell_setbacks, tell_setbacks_left};
pub use stored::{Asked, Place, Stored};
pub use unfinished::{Growing, Unfinished, is_finished};

use xxhash_rust::xxh3::Xxh3;

/// The name of the table of contents.
pub const TOC: &str = "toc.dat";

/// Hashes and counts what passes through to another writer.
pub(crate) struct Summed<W> {
    into: W,
    hash: Box<Xxh3>,
    bytes: u64,
}

impl<W> Summed<W> {
    /// Nothing so far.
    pub fn new(into: W) -> Self {
        Self {
            into,
            hash: Box::new(Xxh3::new()),
            bytes: 0,
        }
    }

    /// What has passed.
    pub fn facts(&self) -> FileFacts {
        FileFacts {
            bytes: self.bytes,
            xxh3: self.hash.digest128(),
        }
    }

    /// Where it went.
    pub fn into_inner(self) -> W {
        self.into
    }
}

impl<W: std::io::Write> std::io::Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.into.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.into.flush()
    }
}
