//! What can be wrong with an archive's table of contents.

use std::fmt;
use std::path::PathBuf;

/// Where in the file something was found: enough to look at it with a hex viewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Offset in bytes from the beginning of the file, where the field begins.
    pub position: u64,
    /// The field, by the name this crate gives it: `defn`, `drop_stmt`, …
    pub field: &'static str,
    /// Index of the entry, counted from 0, and its dump id as far as it was read; `None` in the header.
    pub entry: Option<(usize, Option<i32>)>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}, field {}", self.position, self.field)?;
        match self.entry {
            None => f.write_str(" of the header"),
            Some((index, None)) => write!(f, " of entry {}", index + 1),
            Some((index, Some(id))) => write!(f, " of entry {} (dump id {id})", index + 1),
        }
    }
}

/// Why a table of contents could not be read, written or turned into statements.
#[derive(Debug, thiserror::Error)]
pub enum TocError {
    /// The file could not be opened.
    #[error("could not open the archive {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file could not be read.
    #[error("could not read the table of contents at {place}")]
    Read {
        /// Where.
        place: Place,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A script, as `pg_dump` without `-Fc` or `-Fd` writes.
    #[error(
        "this is a plain SQL dump: load it with psql (pgconvoy reads what pg_dump writes with -Fd, -Fc and -Ft)"
    )]
    PlainSql,
    /// The output of `pg_dump -Ft`.
    #[error(
        "this is a tar archive (pg_dump -Ft), which pgconvoy restore reads as it is; for other commands unpack it with tar, the result is read like the directory format"
    )]
    TarFile,
    /// Compressed as a whole, by something other than `pg_dump`.
    #[error("this file is compressed as a whole with {algorithm}; decompress it first")]
    CompressedWhole {
        /// `gzip`, `zstd` or `lz4`.
        algorithm: &'static str,
    },
    /// Something else.
    #[error("this is not an archive of pg_dump: it begins with \"{}\" and not with \"PGDMP\"", begins.escape_ascii())]
    NotAnArchive {
        /// The first bytes, at most 5.
        begins: Vec<u8>,
    },
    /// Made by a `pg_dump` before 9.0.
    #[error(
        "the archive's format version is {version}; versions before 1.12 (pg_dump 9.0) are not supported"
    )]
    TooOld {
        /// Its version.
        version: super::ArchiveVersion,
    },
    /// Made by a `pg_dump` newer than this program knows.
    #[error("the archive's format version is {version}; this program knows versions up to 1.16")]
    TooNew {
        /// Its version.
        version: super::ArchiveVersion,
    },
    /// The file ends before the table of contents does.
    #[error("the archive is cut off: it ends at {place}")]
    Truncated {
        /// The field that is not all there.
        place: Place,
    },
    /// A field has a value that `pg_dump` does not write.
    #[error("the archive is damaged: {what} at {place}")]
    Damaged {
        /// Where.
        place: Place,
        /// What is there, and what should be.
        what: String,
    },
    /// Something follows the table of contents in a `toc.dat`.
    #[error("the archive is damaged: toc.dat goes on after its last entry, at byte {position}")]
    TrailingBytes {
        /// The first byte that does not belong there.
        position: u64,
    },
    /// A value does not fit the header's integer or offset size.
    #[error("could not write the table of contents: {field} of dump id {dump_id} does not fit")]
    Unwritable {
        /// The entry, or 0 for the header.
        dump_id: i32,
        /// The field.
        field: &'static str,
    },
    /// `pg_restore` stops at the same entry with the same complaint.
    #[error("could not make the statements of {entry}: {what}")]
    Statements {
        /// The entry, as [`super::Entry`] prints itself.
        entry: String,
        /// What is missing or unknown.
        what: String,
    },
}
