//! The nouns that every other module shares.
//!
//! Nothing here does anything: these are values with names, units and a way to print them. Pure: no socket,
//! no file, no clock.
//!
//! | file | what things are called, and how much there is |
//! |---|---|
//! | `name` | identifiers and names: OIDs, dump ids, jobs, qualified names |
//! | `follow_name` | the name of what is made on two servers so that one follows the other |
//! | `icu_locale` | whether two names mean one ICU locale |
//! | `libc_locale` | whether two names mean one locale of the C library |
//! | `version` | server versions |
//! | `quantity` | rows, bytes, and lengths of time in words |
//! | `word` | a short text that is held in many places |
//!
//! | file | what is asked of a run |
//! |---|---|
//! | `command` | the command that a session belongs to |
//! | `endpoint` | source or target, and how it is shown |
//! | `filter`, `pattern` | which objects it is about |
//! | `lock` | which locks of its jobs exclude each other |
//!
//! | file | what comes of it |
//! |---|---|
//! | `exit` | the exit status |
//! | `finding`, `rule` | what is found before the start, and the names of rules on which two modules must agree |
//! | `server_error`, `remedy` | an error as the server reported it, and what helps against it |
//! | `difference`, `differing_rows` | what verification finds, and the rows that differ |
//! | `digest` | the hash of a table's rows, in whatever order |
//! | `synced` | what a sync has changed |
//! | `repair_file` | the SQL that a comparison has written for a person to run |
//! | `turn` | what happens while one database follows another |
//!
//! | file | text for others |
//! |---|---|
//! | `sql` | SQL, and the one place that quotes |
//! | `rebuild` | the statement that builds indexes again |
//! | `shell` | words of a command that can be pasted |
//! | `listed` | names in a sentence |

mod command;
mod difference;
mod differing_rows;
mod digest;
mod endpoint;
mod exit;
mod filter;
mod finding;
mod follow_name;
mod icu_locale;
mod libc_locale;
mod listed;
mod lock;
mod name;
mod pattern;
mod quantity;
mod rebuild;
mod remedy;
mod repair_file;
pub mod rule;
mod server_error;
mod shell;
mod sql;
mod synced;
mod turn;
mod version;
mod word;

pub use command::RunCommand;
pub use difference::{
    ARCHIVE_LACKS, DATABASE_PROPERTIES, Difference, DifferenceKind, FILE_DAMAGED, FILE_UNREAD,
    OF_LIVE_SOURCE, TableVerdict, Unverified, Verdict, Waiver,
};
pub use differing_rows::{
    ColumnDifference, ColumnForm, RowDifference, RowKind, RowsDiffer, ShownValue,
};
pub use digest::MultisetDigest;
pub use endpoint::{Endpoint, Side};
pub use exit::ExitStatus;
pub use filter::{Filter, FilterError, FilterKind, FilterProblem, Filters, Objects, Relation};
pub use finding::{Finding, Severity, not_yet, or_instead, to_paste};
pub use follow_name::{FollowEnd, FollowName};
pub use icu_locale::IcuLocales;
pub use libc_locale::canonical_locale;
pub use listed::{and_more, first_listed, listed, some_of};
pub use lock::LockMode;
pub use name::{DumpId, JobId, Oid, QualifiedName, shown_ident};
pub use pattern::{NameKind, Pattern, PatternError};
pub use quantity::{Bytes, Rows, count, how_long};
pub use rebuild::Rebuild;
pub use remedy::{WHERE_PASSWORDS_ARE, remedy, remedy_in_job};
pub use repair_file::RepairFile;
pub use server_error::ServerError;
pub use shell::{run_command, shell_word};
pub use sql::{SqlText, ascii_json, quote_ident, quote_literal};
pub use synced::{Synced, SyncedTable};
pub use turn::{FollowMoment, FollowedBy, Happening, LeftSize, LeftTable, TurnStep};
pub use version::ServerVersion;
pub use word::Word;

/// How the rows of a table travel: the two formats of COPY that we use.
///
/// `Text` carries the reason why the binary format was not safe; the plan and the report show it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyFormat {
    /// `FORMAT binary`: every column's type has a stable binary representation.
    Binary,
    /// `FORMAT text`, and why.
    Text {
        /// One clause, for example ``column "tags": array of a user-defined type carries its OID``.
        because: String,
    },
}

impl CopyFormat {
    /// The word COPY takes after `FORMAT`.
    pub fn keyword(&self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Text { .. } => "text",
        }
    }

    /// What its rows look like, given the places of the columns that are arrays.
    pub fn layout<'a>(&self, arrays: &'a [u16]) -> RowLayout<'a> {
        match self {
            Self::Binary => RowLayout::Binary { arrays },
            Self::Text { .. } => RowLayout::Text,
        }
    }
}

/// What the rows of one COPY look like to who hashes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowLayout<'a> {
    /// Lines of text.
    Text,
    /// Fields, each with its length.
    Binary {
        /// Places of those that are arrays, from 0 on, in ascending order: not every byte of these is the value's own.
        arrays: &'a [u16],
    },
}

impl RowLayout<'_> {
    /// Fields, none of them an array.
    pub const PLAIN: Self = Self::Binary { arrays: &[] };
}

/// How much a move proves before it may exit 0.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum VerifyLevel {
    /// Nothing: the run ends with status 6, because nothing was proven.
    None,
    /// Everything but rows; of `verify` only.
    Schema,
    /// Row counts of every table, besides everything that is not rows.
    Counts,
    /// Row counts and a hash of every row's content.
    Content,
}
