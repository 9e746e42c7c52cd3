//! Reads, splits, compares and writes an archive's table of contents (TOC).
//!
//! ```text
//!   bytes ──reader──▶ Toc ──writer──▶ the same bytes
//!                      ├──statements──▶ what pg_restore would execute for one entry
//!                      │      └──split──▶ … one statement at a time
//!                      └──compare(source, target)──▶ differences, by name
//! ```
//!
//! `pg_dump` describes a database as a list of entries: one for each object, each with the SQL that makes it. That list is
//! all that pgconvoy knows about a schema, so it is read without loss: strings are bytes in the dump's encoding, NULL is
//! not the empty string, and what is read can be written back byte for byte. The reader is for files that somebody else
//! made: no input makes it panic, overflow, or allocate for bytes that are not there, and what it does not understand
//! it refuses, with the position, the entry and the field. Two things are passed over: what pgconvoy itself made so that one database
//! follows another, and what a server notes for itself (see `of_server`).
//!
//! Everything but [`Toc::open`] is pure. This module does not read the archive's data, connects to nothing, and decides no
//! order: the entries stay in the order of the file.
//!
//! Facts about the format are from `src/bin/pg_dump/pg_backup_archiver.c`, `pg_backup_custom.c` and
//! `pg_backup_directory.c` of Postgres 9.0 to 18.

mod apart;
mod appended;
mod archive;
mod compare;
mod database;
mod described;
mod doubt;
mod drops;
mod encoded;
mod entries;
mod error;
mod filter;
mod large_objects;
mod lines;
mod marks;
mod model;
mod normalise;
mod of_server;
mod open;
mod owner;
mod public;
mod quoted;
mod reader;
mod select;
mod split;
mod statements;
#[cfg(test)]
pub(crate) mod testing;
mod text;
mod texts;
mod tokens;
mod upon;
mod writer;

pub use archive::{LargeObjectList, SequencePosition};
pub use compare::{
    CompareOptions, EntryDifference, compare, compare_entries, compare_or_doubt, named_alike,
    object_name, quoted_alike,
};
pub use database::DatabaseEntries;
pub use described::KeyDefinition;
pub use doubt::Doubt;
pub use drops::{Drop, drops};
pub use entries::{RestorePass, Section};
pub use error::{Place, TocError};
pub use filter::RestoreOptions;
pub use large_objects::{Granted, LargeObjectNotes};
pub use model::{
    ArchiveFormat, ArchiveVersion, Compression, CreatedAt, DataPlace, Entry, Header, OffsetState,
    Toc,
};
pub use owner::owner_statement;
pub use select::{SelectError, Selection};
pub use split::{SplitError, split_statements};
pub use statements::{Restore, restore_statements};
pub use text::Text;
pub use texts::Texts;
pub(crate) use tokens::{Kind, Tokens};
pub use upon::on_objects_of;
