//! What can still be read of a damaged source, and what cannot: the search, and the account.
//!
//! ```text
//!   facts (catalog, files) ─► first pass: every page of every table, and the rows that it does not prove, on all workers
//!                                │ what cannot be read
//!                                ▼
//!                            probe plan ◄─► sight (one thing at a time; quarantine first)
//!                                │
//!                                ▼
//!                            cross-check with the indexes' own bytes ─► map (how to read around it) + account (what is lost)
//! ```
//!
//! All of that is done before the target is touched, and without a snapshot, which a crash of the source would take along. What
//! then copies a damaged table is the ordinary run, with another COPY statement ([`crate::plan::Around`]).
//!
//! | file | |
//! |---|---|
//! | `facts` | tables, their files and indexes |
//! | `files` | a relation's files against what there should be (pure) |
//! | `probe` | what is read next (pure) |
//! | `asking` | how it is asked for |
//! | `sight` | reads it |
//! | `places` | where the rows are that it shows |
//! | `life` | why a session ended |
//! | `quarantine` | what was asked and never answered |
//! | `survey` | the first pass over all tables |
//! | `beforehand` | what pages say of themselves, before the server is asked for what is on them |
//! | `on_disk` | bytes of relations, as they are on disk |
//! | `sound` | what the bytes of a page prove, so that it need not be read (pure) |
//! | `numeric` | whether bytes are a number of that type (pure) |
//! | `proven` | of which blocks they prove everything, and what is left to be asked (pure) |
//! | `seen` | where rows were read (pure) |
//! | `one_table` | the search of one of them |
//! | `parts` | values out of line that cannot be had at all |
//! | `lost_values` | values that are known to be lost, however many |
//! | `patches` | rows that arrive without some of their values |
//! | `doubt` | what cannot be read otherwise, on request: it is suspect |
//! | `objects` | sequences, large objects, materialized views, the catalog, prepared transactions |
//! | `amcheck` | what that extension says, where it is installed |
//! | `checksum` | the checksum of a page (pure) |
//! | `page` | pages of heaps and B-trees (pure) |
//! | `standing` | what became of a row that was not read (pure) |
//! | `fates` | what became of transactions |
//! | `record` | transactions of which nothing is written down |
//! | `toast` | which rows have values on certain pages of TOAST (pure) |
//! | `keys` | keys from the bytes of an index (pure) |
//! | `counted` | whether a table's pages hold all that was counted on them (pure) |
//! | `crosscheck` | rows that are missing without an error |
//! | `told` | what became of rows that an index leads to and that were not read |
//! | `twins` | pages that are there twice (pure) |
//! | `other_keys` | rows that are there in the place of others |
//! | `spill` | entries of indexes, of which there may be more than memory should hold |
//! | `constraints` | constraints that may not hold, and the rows in their way |
//! | `testing` | pages for tests |
//! | `account` | what is lost: the model of `losses.json` (pure) |
//!
//! Nothing here writes to the source, or shows anything to anybody.

pub mod account;
mod amcheck;
mod asking;
mod beforehand;
mod checksum;
mod constraints;
mod counted;
mod crosscheck;
mod doubt;
mod facts;
mod fates;
mod files;
mod keys;
mod life;
mod lost_values;
mod numeric;
mod objects;
mod on_disk;
mod one_table;
mod other_keys;
mod page;
mod parts;
mod patches;
mod places;
mod probe;
mod proven;
mod quarantine;
mod record;
mod seen;
mod sight;
mod sound;
mod spill;
mod standing;
mod survey;
#[cfg(test)]
mod testing;
mod toast;
mod told;
mod twins;

pub use account::{Cause, DamageClass, DamageMap, LeftConstraint, Losses, LostObject, TableLosses};
pub use constraints::{Key, Unindexed, dependents, keys as constraints, unindexed};
pub use facts::{Facts, Quiet, WrongFile, quiet, wrong_files};
pub use keys::{csv_line, file_name};
pub use objects::CATALOG;
pub use sight::patient_session;
pub use survey::{Part, Survey, survey};

use std::io;
use std::path::PathBuf;

use crate::pg::{PgError, Query};

/// For the test that shows every query to every server.
pub const QUERIES: [Query; 13] = [
    facts::RELATIONS,
    facts::INDEXES,
    facts::COLUMNS,
    facts::FILES,
    facts::QUIET,
    facts::SEQUENCES,
    life::LIFE,
    objects::PREPARED,
    amcheck::INSTALLED,
    amcheck::INDEXES,
    constraints::KEYS,
    constraints::DEPENDENTS,
    constraints::UNINDEXED,
];

/// Why a source could not be searched for damage.
#[derive(Debug, thiserror::Error)]
pub enum SalvageError {
    /// Something that has nothing to do with damage.
    #[error("looking for damage: {0}")]
    Pg(#[from] PgError),
    /// The server has ended a session that was reading, and cannot be reached since.
    #[error("the source has ended a session that was reading, and has not come back: {0}")]
    NotBack(#[source] PgError),
    /// A file of the run directory.
    #[error("{doing} {}", path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The server shows rows in places where there can be none.
    #[error("the server shows rows in places that a table does not have: {0}")]
    Strange(String),
}

impl SalvageError {
    /// The same, of a server that had just ended a session.
    fn or_not_back(self) -> Self {
        match self {
            Self::Pg(error) => Self::NotBack(error),
            other => other,
        }
    }
}
