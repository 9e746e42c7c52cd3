//! Facts and options → an immutable plan: jobs, what each waits for, what each costs.
//!
//! ```text
//!   schema batches ─► copy ─► (freeze) ─► indexes ─► keys ─► analyze ─► foreign keys ─┬─► triggers, rules, comments
//!                      │                                                             ├─► materialized views
//!                      └─► verify (reads the target anew) ──► policies               └─► grants ─► event triggers
//! ```
//!
//! The arrows are per table: an index starts when its table is in, while others are still being copied. A plan is made
//! once, written down, and never changed; the supervisor only decides when, never what. Everything here is pure, so
//! every decision can be tested without a server.
//!
//! | file | decides |
//! |---|---|
//! | `archived` | what is known of a database of which there is only an archive |
//! | `archived_database` | how the target database is created as an archive has it |
//! | `around` | how a damaged table is read |
//! | `format` | text or binary, and which form of a column can be compared |
//! | `tables` | what is copied whole, bundled or in chunks; the COPY statements |
//! | `builder` | numbers jobs and remembers which table and entry they serve |
//! | `schema` | pre-data, and the statements around an entry |
//! | `data` | copy, freeze and count jobs |
//! | `comparisons` | what is read back when, and in which form |
//! | `indexes` | indexes and the constraints that stand on one |
//! | `statistics` | whose statistics the planner gets: the source's, or those of an ANALYZE |
//! | `large_objects` | batches of them, with owners, grants and comments |
//! | `foreign_keys` | NOT VALID first, validated side by side later |
//! | `checks` | set aside while rows of a damaged database are loaded |
//! | `matviews` | refresh in order |
//! | `finish` | everything else, in `pg_restore`'s order |
//! | `database` | how the target database is created, and what is set on it when |
//! | `rows_only` | what brings rows alone, into tables that are there |
//! | `dump` | what a dump reads, in which pieces |
//! | `cost` | how long a job may take |
//! | `forecast` | how long all of them may take, and which of them matter |
//! | `prediction` | how long on these servers, and how far that can be believed |

mod archived;
mod archived_database;
mod around;
mod builder;
mod checks;
mod comparisons;
mod cost;
mod data;
mod database;
mod dump;
mod finish;
mod forecast;
mod foreign_keys;
mod format;
mod indexes;
mod large_objects;
mod matviews;
mod prediction;
mod rows_only;
mod schema;
mod statistics;
mod tables;
#[cfg(test)]
pub(crate) mod testing;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::catalog::{LargeObject, ServerFacts, SourceFacts};
use crate::event::{EntryRef, Phase, PlannedJob};
use crate::model::LockMode;
use crate::model::{Bytes, DumpId, JobId, Oid, QualifiedName, Rows, SqlText, VerifyLevel};
use crate::toc::{RestoreOptions, Toc};

pub use archived::{ArchiveData, Archived};
pub use around::{
    Around, Blank, Check, Doubtful, MOST_ROWS_OF_A_BLOCK, Part, Patched, Place, Salvaged, at,
    in_blocks, is_left_out,
};
pub use database::{DatabaseError, NewDatabase, Property};
pub use dump::{DumpJob, DumpOptions, DumpPlan, DumpPlanError, DumpUnit, DumpWork};
pub use forecast::Forecast;
pub use format::IN_ARCHIVES;
pub use matviews::HAS_WRITTEN;
pub use prediction::{Ground, Pace, Prediction};
pub use rows_only::Existing;
pub use tables::{Comparison, CopyUnit, Range, Shield, Stripes};

/// What the operator asked for, as far as the plan depends on it.
#[derive(Debug, Clone)]
pub struct PlanOptions {
    /// Number of workers.
    pub jobs: u32,
    /// What will be proven.
    pub verify: VerifyLevel,
    /// What to leave out.
    pub restore: RestoreOptions,
    /// Tables whose rows are left out.
    pub exclude_data: BTreeSet<QualifiedName>,
    /// Tables larger than this are cut into chunks; by default decided from the sizes of all.
    pub chunk_size: Option<Bytes>,
    /// Memory for all index builds together, on the target.
    pub memory: Bytes,
    /// What an earlier session has left on the target.
    pub left: Left,
    /// What of a damaged source can be read, and what is lost.
    pub salvaged: Salvaged,
}

/// What an earlier session has left on the target, as far as a plan depends on it.
#[derive(Debug, Clone, Default)]
pub struct Left {
    /// Tables of the source that are copied already: in one piece, as far as this plan is concerned.
    pub copied: BTreeSet<QualifiedName>,
    /// Tables of the target that are finished but for their rows, and what is set aside while these are loaded: in one
    /// transaction, and so in one piece.
    pub shields: BTreeMap<QualifiedName, Shield>,
    /// All tables are there, with all that belongs to them: nothing but rows is brought.
    pub existing: Option<Existing>,
}

/// Everything a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The schema archive.
    pub toc: &'a Toc,
    /// Who the source is.
    pub source: &'a ServerFacts,
    /// What it holds.
    pub facts: &'a SourceFacts,
    /// Who the target is.
    pub target: &'a ServerFacts,
    /// Where the rows of each table are, if they come from an archive: its `TABLE DATA` entry.
    pub archive: Option<&'a BTreeMap<QualifiedName, DumpId>>,
    /// What was asked for.
    pub options: &'a PlanOptions,
}

/// Why no plan can be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// An entry's SQL cannot be understood.
    #[error("planning: {entry}")]
    Entry {
        /// Which entry, for a person.
        entry: String,
        /// What is wrong with it.
        #[source]
        source: crate::toc::TocError,
    },
    /// An entry of an archive says something else than `pg_dump` would.
    #[error("planning: {entry} is not understood: {what}")]
    ArchivedEntry {
        /// The entry, for a person.
        entry: String,
        /// What of it.
        what: &'static str,
    },
    /// A table of the schema archive has a name that is not UTF-8.
    #[error("planning: {what} has a name that is not UTF-8, which is not supported")]
    NameNotUtf8 {
        /// The entry, for a person.
        what: String,
    },
    /// Rows are loaded through a partitioned table some of whose partitions are on other servers.
    #[error(
        "planning: the rows of {} are loaded through it, since a row may belong to another partition there, and some of its \
         partitions are foreign tables, to which they could be written",
        table.shown()
    )]
    ForeignPartitions {
        /// The partitioned table.
        table: QualifiedName,
    },
    /// The archive has rows of foreign tables (`pg_dump --include-foreign-data`).
    #[error(
        "the archive has rows of foreign tables, which would be written to other servers: {}",
        shown(tables)
    )]
    ForeignRows {
        /// The foreign tables.
        tables: Vec<QualifiedName>,
    },
    /// The schema archive names a table that the catalog does not show.
    #[error(
        "planning: table {table} is in the schema dump but cannot be read; is the role \"{role}\" allowed to?"
    )]
    TableNotVisible {
        /// The table.
        table: QualifiedName,
        /// The connected role.
        role: String,
    },
}

fn shown(tables: &[QualifiedName]) -> String {
    let names: Vec<String> = tables.iter().map(QualifiedName::shown).collect();
    names.join(", ")
}

/// The plan of one run. Immutable; `plan.json` and the ledger hold it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Version of this format.
    pub format: u32,
    /// Number of workers it was made for.
    pub workers: u32,
    /// What will be proven.
    pub verify: VerifyLevel,
    /// Client encoding of the sessions that run statements and COPY.
    pub client_encoding: String,
    /// Memory for all jobs together, on the target.
    pub memory: Bytes,
    /// What is copied; jobs refer to it by index.
    pub tables: Vec<CopyUnit>,
    /// What all large objects take on the source's disk.
    #[serde(default)]
    pub large_object_bytes: Bytes,
    /// What is compared; jobs refer to it by index.
    pub comparisons: Vec<Comparison>,
    /// Tables whose rows are left out on request.
    pub excluded: Vec<QualifiedName>,
    /// What is not done, or not compared, and why: sentences for the operator.
    pub notes: Vec<String>,
    /// Entries that are left out, and why.
    pub left_out: Vec<(EntryRef, String)>,
    /// The jobs, by number.
    pub jobs: Vec<Job>,
}

/// The smallest thing that can be retried alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its number: its place in [`Plan::jobs`].
    pub id: JobId,
    /// Phase, for displays.
    pub phase: Phase,
    /// What it does, for a person.
    pub label: String,
    /// What it does.
    pub work: Work,
    /// The jobs it waits for, whether they succeed or not.
    pub after: Vec<JobId>,
    /// The entries that must have succeeded, or else the job is skipped.
    pub needs: Vec<DumpId>,
    /// Expected duration in microseconds.
    pub cost: u64,
    /// What it locks on the target.
    pub locks: Vec<(QualifiedName, LockMode)>,
    /// `maintenance_work_mem` it runs with; 0 for the session's own.
    pub memory: Bytes,
    /// Bytes it handles, for displays.
    pub bytes: Bytes,
    /// Rows it is expected to handle.
    pub rows: Rows,
}

/// What a job does.
///
/// Of a new kind the compiler leads to everything that has to know of it. It does not lead to what looks for one kind alone: to
/// `ledger::adopt`, `execute::rebase` and `cli::take_up`, which take any other to be done anew in another snapshot, with nothing to clear away
/// before; nor to `execute::load`, which counts chunks; nor to `execute::earlier`, which says what entry a failure is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Work {
    /// Runs statements in one transaction.
    Run {
        /// In this order.
        statements: Vec<Statement>,
        /// Settings for the transaction, besides `maintenance_work_mem`.
        settings: Vec<(String, String)>,
    },
    /// Runs one statement that must not be in a transaction, such as VACUUM.
    RunAlone {
        /// The statement.
        statement: SqlText,
    },
    /// Copies tables whole, in one transaction.
    Copy {
        /// Indexes into [`Plan::tables`].
        tables: Vec<usize>,
    },
    /// Copies a part of a table.
    CopyChunk {
        /// Index into [`Plan::tables`].
        table: usize,
        /// Which part.
        range: Range,
    },
    /// Counts a chunked table on the source, in the snapshot, regardless of chunks.
    Count {
        /// Index into [`Plan::tables`].
        table: usize,
    },
    /// Reads the source a second time, in the form in which both sides can be compared.
    ReadSource {
        /// Index into [`Plan::comparisons`].
        comparison: usize,
    },
    /// Reads the target again and compares.
    Compare {
        /// Indexes into [`Plan::comparisons`].
        comparisons: Vec<usize>,
    },
    /// Copies large objects, and makes their owners, grants and comments.
    LargeObjects {
        /// Which.
        objects: Vec<LargeObject>,
        /// Statements for owners, grants and comments.
        statements: Vec<Statement>,
    },
    /// Reads a materialized view on both sides and compares.
    CompareMatview {
        /// Index into [`Plan::comparisons`].
        comparison: usize,
    },
    /// Reads large objects of the target again and compares.
    CompareLargeObjects {
        /// Which.
        objects: Vec<Oid>,
    },
}

impl Work {
    /// The statements that it runs in one transaction, each of them a part of the job; none if it does anything else. Those that go with
    /// large objects are no parts: they are done with their objects or not at all, and have no entry.
    pub fn statements(&self) -> &[Statement] {
        match self {
            Self::Run { statements, .. } => statements,
            Self::RunAlone { .. }
            | Self::Copy { .. }
            | Self::CopyChunk { .. }
            | Self::Count { .. }
            | Self::ReadSource { .. }
            | Self::Compare { .. }
            | Self::LargeObjects { .. }
            | Self::CompareMatview { .. }
            | Self::CompareLargeObjects { .. } => &[],
        }
    }

    /// Whether it does nothing but say where sequences stand.
    pub fn sets_sequences(&self) -> bool {
        let sets = |statement: &Statement| {
            statement
                .sql
                .as_bytes()
                .starts_with(b"select pg_catalog.setval(")
        };
        let statements = self.statements();
        !statements.is_empty() && statements.iter().all(sets)
    }

    /// Whether it has anything to do with the target.
    pub fn needs_target(&self) -> bool {
        match self {
            Self::Run { .. }
            | Self::RunAlone { .. }
            | Self::Copy { .. }
            | Self::CopyChunk { .. }
            | Self::Compare { .. }
            | Self::LargeObjects { .. }
            | Self::CompareMatview { .. }
            | Self::CompareLargeObjects { .. } => true,
            Self::Count { .. } | Self::ReadSource { .. } => false,
        }
    }

    /// Whether it changes the target: then its mark is in the ledger when it is done.
    pub fn changes_target(&self) -> bool {
        match self {
            Self::Run { .. }
            | Self::RunAlone { .. }
            | Self::Copy { .. }
            | Self::CopyChunk { .. }
            | Self::LargeObjects { .. } => true,
            Self::Count { .. }
            | Self::ReadSource { .. }
            | Self::Compare { .. }
            | Self::CompareMatview { .. }
            | Self::CompareLargeObjects { .. } => false,
        }
    }

    /// Whether it reads the source: the snapshot must be held until all such jobs are done.
    pub fn reads_source(&self) -> bool {
        match self {
            Self::Copy { .. }
            | Self::CopyChunk { .. }
            | Self::Count { .. }
            | Self::ReadSource { .. }
            | Self::CompareMatview { .. }
            | Self::LargeObjects { .. } => true,
            Self::Run { .. }
            | Self::RunAlone { .. }
            | Self::Compare { .. }
            | Self::CompareLargeObjects { .. } => false,
        }
    }
}

/// A statement and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The entry, if it has one.
    pub entry: Option<EntryRef>,
    /// The entries that must have succeeded before: if one is broken, this one is skipped, and broken as well.
    pub needs: Vec<DumpId>,
    /// Settings that it relies on, local to its transaction. Most statements of a plan share them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prelude: Option<SqlText>,
    /// What to execute; it may be several statements, separated by `;`.
    pub sql: SqlText,
    /// What to execute in its place if it fails: it is only the quicker of two ways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<SqlText>,
}

impl Statement {
    /// What is sent to the target.
    pub fn text(&self) -> SqlText {
        self.behind_prelude(&self.sql)
    }

    /// Another text that relies on the same settings.
    pub fn behind_prelude(&self, sql: &SqlText) -> SqlText {
        match &self.prelude {
            Some(prelude) => SqlText::from([prelude.as_bytes(), sql.as_bytes()].concat()),
            None => sql.clone(),
        }
    }
}

impl Plan {
    /// Makes the plan.
    pub fn make(inputs: &Inputs<'_>) -> Result<Self, PlanError> {
        builder::Builder::new(inputs)?.build()
    }

    /// A plan to do nothing, for rules that are looked at before there is one.
    pub fn of_nothing(workers: u32) -> Self {
        Self {
            format: 1,
            workers,
            verify: VerifyLevel::Content,
            client_encoding: String::new(),
            memory: Bytes(0),
            tables: Vec::new(),
            large_object_bytes: Bytes(0),
            comparisons: Vec::new(),
            excluded: Vec::new(),
            notes: Vec::new(),
            left_out: Vec::new(),
            jobs: Vec::new(),
        }
    }

    /// The jobs as displays need them.
    pub fn announced(&self) -> Vec<PlannedJob> {
        let announce = |job: &Job| PlannedJob {
            id: job.id,
            phase: job.phase,
            label: job.label.clone(),
            bytes: job.bytes,
            rows: job.rows,
        };
        self.jobs.iter().map(announce).collect()
    }

    /// The job with this number.
    pub fn job(&self, id: JobId) -> Option<&Job> {
        self.jobs.get(usize::try_from(id.0).ok()?)
    }

    /// Lets go of statements, when all jobs are done: a proof looks at what was copied and compared, and at what `edited` names. They are
    /// a good half of a large plan.
    pub fn forget_statements(&mut self, edited: &BTreeSet<JobId>) {
        let done = self.jobs.iter_mut().filter(|job| !edited.contains(&job.id));
        for job in done {
            if let Work::Run { statements, .. } = &mut job.work {
                *statements = Vec::new();
            }
        }
    }

    /// The sum of what is stored on the source for all tables that are copied.
    pub fn data_bytes(&self) -> Bytes {
        self.tables.iter().map(|table| table.bytes).sum()
    }
}
