//! Brings the target of an earlier move up to date with the source: what differs is changed, and nothing else.
//!
//! ```text
//!   lock the target's tables ─► a snapshot of it ─┐
//!                                                 ├─► verify finds what differs ─► Changes ─► Writer: one transaction ─► verify proves
//!   a snapshot of the source ─────────────────────┘
//! ```
//!
//! | file | |
//! |---|---|
//! | `changes` | everything to be done (pure) |
//! | `table` | one table: rows one by one, or all of them anew (pure) |
//! | `statements` | the statements that do that (pure) |
//! | `large_objects` | large objects: which, and the statements (pure) |
//! | `sequences` | sequences: the statements before the commit, and those after it (pure) |
//! | `schema` | which differences are not in the schema (pure) |
//! | `obstacles` | what is in the way on the target: triggers, rules, foreign keys, checks that old rows need not satisfy, publications |
//! | `writer` | the transaction: its locks, its snapshot, its end |
//! | `apply` | what is done in it |
//! | `error` | what can go wrong |
//!
//! **One transaction for everything.** Foreign keys tie tables together, and readers of the target must not see half of a
//! change; so one session locks, changes and commits. A run that is killed leaves the target as it was, or as it is to be
//! (sequences, which follow no transaction, may stand further on), and to go on is to run it again: there is no ledger. The
//! price is that rows are written by one session; they are read by many.
//!
//! **Nothing is decided on stale data.** The tables are locked against writers (`SHARE ROW EXCLUSIVE`: readers are not kept
//! out) before the transaction takes the snapshot in which the target is read, by as many sessions as are wanted; the locks go
//! with its end. Large objects and sequences cannot be locked: they are looked at again afterwards.
//!
//! **How rows are found** is up to [`verify`](crate::verify): it compares digests of parts of a table on both sides, and the
//! rows of those parts that differ. Parts are ranges of a key only where that is an integer or a `uuid`, whose order is the
//! same everywhere; all other keys, and the rows of a table without one, are sorted into parts by a hash that we compute
//! ourselves. No collation and no hash function of a server has a say in it: both differ between servers and versions.
//!
//! Deliberately absent: schema changes. They are named, and nothing is done.

mod apply;
mod changes;
mod error;
mod large_objects;
mod obstacles;
mod schema;
mod sequences;
mod statements;
mod table;
mod writer;

pub use apply::{Applied, Sides};
pub use changes::{Changes, Facts, ViewChange};
pub use error::SyncError;
pub use large_objects::ObjectChanges;
pub use obstacles::{Obstacles, QUERIES};
pub use schema::as_if_synced;
pub use sequences::SequenceChange;
pub use table::{Differs, How, TableChange};
pub use writer::{Exported, Writer};
