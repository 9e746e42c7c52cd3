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
//! | file | the table of contents itself |
//! |---|---|
//! | `model` | what is in it, every field kept |
//! | `text`, `texts` | its strings, and how two tables of contents share them |
//! | `reader`, `writer`, `open` | bytes or a file → `Toc`, and back |
//! | `error` | what can be wrong with it |
//! | `appended` | the copy that `pg_dump` appends to a custom archive |
//! | `entries` | sections and passes: when an entry's turn is |
//! | `of_server` | what a server notes for itself, or we made: left out of what `pg_dump` says |
//! | `marks` | notes of a server that an older `pg_dump` takes for options of columns |
//!
//! | file | what it says |
//! |---|---|
//! | `archive` | which data files there are, and what is in them |
//! | `database` | the database: how it is made, whose it is, what is set on it |
//! | `large_objects` | owners, grants and comments of large objects |
//! | `described` | tables, keys and indexes, by their statements |
//! | `upon` | what is on objects that were restored, and what is merely beside them |
//! | `quoted`, `encoded` | whether all names are quoted; its texts in UTF-8 |
//!
//! | file | what a restore executes |
//! |---|---|
//! | `select`, `filter` | which entries are chosen, and which are left out and why |
//! | `statements`, `owner` | the statements of one entry |
//! | `drops` | what would drop everything first (`--clean`) |
//! | `tokens`, `split` | SQL cut into tokens, and into statements |
//!
//! | file | comparing two of them |
//! |---|---|
//! | `compare` | entry by entry → differences |
//! | `normalise` | wordings that mean the same |
//! | `on_both_sides` | what is there on both sides, though only one has an entry for it |
//! | `public` | the schema `public`, which no dump makes |
//! | `doubt` | definitions whose text does not say whether they mean the same |
//! | `lines` | how two definitions differ, line by line |
//!
//! Everything but [`Toc::open`] is pure. This module does not read the archive's data, connects to nothing, and decides no
//! order: the entries stay in the order of the file.
//!
//! Facts about the format are from `src/bin/pg_dump/pg_backup_archiver.c`, `pg_backup_custom.c` and
//! `pg_backup_directory.c` of Postgres 9.0 to 18.

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
mod on_both_sides;
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
