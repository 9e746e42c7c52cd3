//! Brings a target that was moved earlier to the source's present: what differs is changed, and nothing else.
//!
//! ```text
//!   lock the target's tables ─► a snapshot of it ─┐
//!                                                 ├─► verify finds what differs ─► Changes ─► Writer: one transaction ─► verify proves
//!   a snapshot of the source ─────────────────────┘
//! ```
//!
//! | file | |
//! |---|---|
//! | `changes` | everything that is to be done (pure) |
//! | `table` | of a table: rows one by one, or all of them anew (pure) |
//! | `statements` | the statements that do that (pure) |
//! | `large_objects` | large objects: which, and the statements (pure) |
//! | `sequences` | sequences: which statements before the commit, and which behind it (pure) |
//! | `schema` | what of the differences is none of the schema (pure) |
//! | `obstacles` | what stands in the way on the target: triggers, rules, foreign keys, checks that old rows need not satisfy, publications |
//! | `writer` | the transaction: its locks, its snapshot, its end |
//! | `apply` | what is done in it |
//! | `error` | what can go wrong |
//!
//! **One transaction for everything.** Foreign keys tie tables together, and whoever reads the target must not see a half of
//! it; so there is one session that locks, changes and commits. A run that is killed leaves the target as it was, or as it is to
//! be (sequences, which follow no transaction, may stand further on), and to go on is to run it again: there is no ledger. What that
//! costs is that rows are written by one session; they are read by many.
//!
//! **Nothing is decided on stale data.** The tables are locked against writers (`SHARE ROW EXCLUSIVE`: readers are not kept out)
//! before the transaction takes the snapshot in which the target is read, by as many sessions as are wanted; the locks
//! go with its end. Large objects and sequences cannot be locked: what they come to is looked at again afterwards.
//!
//! **How rows are found** is [`verify`](crate::verify)'s matter: digests of parts of a table on both sides, and of those that
//! differ, rows. Parts are ranges of a key only where that is an integer or a `uuid`, whose order is the same everywhere; every
//! other key, and the rows of a table without one, are sorted into parts by a hash that we make ourselves. No collation, and no
//! hash function of a server, has a say in it: both differ between servers and versions.
//!
//! Deliberately absent: changes of the schema. They are named, and nothing is done.

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
