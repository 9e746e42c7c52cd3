//! Why a sync did not do what it was asked to do.

use crate::model::Rows;
use crate::pg::PgError;

/// Each variant says what was being done, and to what.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The schema has changed since the move, or something differs that is no part of a sync.
    #[error(
        "source and target do not have the same schema, in {} places: {}; the target is as it was",
        objects.len(),
        objects.join("; ")
    )]
    Schema {
        /// What differs, class and name.
        objects: Vec<String>,
    },
    /// What cannot be read cannot be brought over.
    #[error("not all of both sides can be read: {}; the target is as it was", objects.join("; "))]
    Unread {
        /// What, and why.
        objects: Vec<String>,
    },
    /// Somebody else writes to the target, or we may not lock it.
    #[error("locking the tables of the target against writers")]
    Lock(#[source] PgError),
    /// A table was created while the others were being locked.
    #[error(
        "table {table} was made on the target while its tables were being locked; the target is as it was"
    )]
    Unlocked {
        /// The table.
        table: String,
    },
    /// One in a part of the large objects differs, and it could not be found out which.
    #[error("which large objects differ could not be found out: {because}")]
    LargeObjects {
        /// Why not.
        because: String,
    },
    /// A partitioned table is brought over as a whole, but a part of it was left out.
    #[error(
        "{table} differs, and is brought over as a whole, because a row may be in another partition there than on the source; \
         its partition {partition} is to take no part; the target is as it was"
    )]
    PartOfTree {
        /// The partitioned table.
        table: String,
        /// What was left out.
        partition: String,
    },
    /// A partitioned table is brought over as a whole, but a part of it is another server's.
    #[error(
        "{table} differs, and is brought over as a whole, because a row may be in another partition there than on the source; \
         partitions of it are foreign tables, and what other servers hold would be deleted and written with it; the target is as it was"
    )]
    ForeignRows {
        /// The partitioned table.
        table: String,
    },
    /// The replica identity of a published table names an index that no longer exists: no statement puts that back.
    #[error(
        "rows of {table} are to be deleted, which the server refuses: there are publications, and the index that is the table's \
         replica identity is gone; the target is as it was"
    )]
    Unidentified {
        /// The table.
        table: String,
    },
    /// What stands in the way cannot be removed, or cannot be put back.
    #[error("{because}; the target is as it was")]
    InTheWay {
        /// What, and why not.
        because: String,
    },
    /// A step of the transaction failed, or the search for what stands in its way.
    #[error("{doing}; the target is as it was")]
    Step {
        /// What was being done.
        doing: String,
        /// Why it failed.
        #[source]
        source: PgError,
    },
    /// A statement affected a different number of rows than was found before: under the locks, that cannot be.
    #[error(
        "{doing} {table}: {expected} rows were to be {done}, and {found} were; the target is as it was"
    )]
    Rows {
        /// The table.
        table: String,
        /// `deleting rows of`.
        doing: &'static str,
        /// `deleted`.
        done: &'static str,
        /// How many rows there ought to be.
        expected: Rows,
        /// How many there were.
        found: Rows,
    },
    /// Rows of the source do not satisfy one of the target's foreign keys.
    #[error(
        "foreign key {key}: {rows} rows would point nowhere, as they do on the source or in tables that take no part; \
         the target is as it was"
    )]
    ForeignKey {
        /// The key's name, with its table's.
        key: String,
        /// How many.
        rows: Rows,
    },
    /// Something on the target wrote to other tables as well.
    #[error(
        "changing the target has made something there write to other tables as well, which are not to be changed: {}; \
         the target is as it was",
        tables.join(", ")
    )]
    WrittenAlong {
        /// The tables.
        tables: Vec<String>,
    },
    /// Somebody may have written to a side that was proven to be like the other one.
    #[error(
        "keeping others from writing until the side is open; what was changed there is committed"
    )]
    Unguarded(#[source] PgError),
    /// Everything is committed, but what comes after the commit has failed.
    #[error(
        "setting back sequences that stand further on than on the source; everything else is changed and committed"
    )]
    Sequences(#[source] PgError),
    /// The connection was lost while COMMIT was under way.
    #[error("committing: whether the target was changed, all of it or nothing, is not known")]
    Commit(#[source] PgError),
}

/// `lock_not_available`.
const LOCKED: &str = "55P03";

impl SyncError {
    /// Whether somebody held on to what we had to lock.
    pub fn is_for_a_lock(&self) -> bool {
        match self {
            Self::Lock(source) | Self::Step { source, .. } => source.code() == Some(LOCKED),
            _ => false,
        }
    }
}
