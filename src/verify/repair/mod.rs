//! Differences → the SQL that would bring the target in line with the source, for a person to read and to run.
//!
//! ```text
//!   differences ─┐
//!   both TOCs ───┼─▶ draft ──▶ steps, in phases ──▶ script ──▶ the file
//!   both catalogs┘     │                              ▲
//!   rows, by key ──────┴──▶ rows: questions ──▶ values┘
//! ```
//!
//! | file | what it decides |
//! |---|---|
//! | `draft` | what each difference is met with; what is left to a person, and why |
//! | `definitions`, `table`, `sequences`, `enums` | what changes an object that is defined otherwise |
//! | `extensions`, `operators` | versions of extensions; estimators of operators |
//! | `options` | options of foreign tables and their columns |
//! | `grants` | grants, and large objects' owners |
//! | `catalog`, `states` | what is not in force, settings, where sequences stand |
//! | `graph`, `order` | what depends on what; which table's rows come first |
//! | `rows` | the statements that ask for values and write them |
//! | `no_rows` | why none of a table's rows are written |
//! | `waiting` | what is left alone, because it needs what is, or that needs it |
//! | `left_rows` | which rows are left alone, because what holds them is |
//! | `taken_along` | which rows are not deleted yet, because others could go with them |
//! | `identity` | what identifies published rows while their index is not there |
//! | `silent_keys` | foreign keys that would act even while they are not in force |
//! | `step` | statements, in steps, in phases |
//! | `text` | where a word stands in a statement that is no part of a name |
//! | `script` | the file: settings, sections, comments, statements |
//! | `build` | what drops an entry, what makes it, and what comes with it |
//! | `write`, `write_rows` | the only I/O: values are read from open snapshots while the file is written |
//!
//! Nothing is run here, and nothing that holds data is dropped by what is written: such statements are comments.
//! Deliberately absent: doing without the second look. Whoever has run the file verifies again.

mod build;
mod catalog;
mod definitions;
mod draft;
mod enums;
mod extensions;
mod grants;
mod graph;
mod identity;
mod left_rows;
mod no_rows;
mod operators;
mod options;
mod order;
mod rows;
mod script;
mod sequences;
mod silent_keys;
mod states;
mod step;
mod table;
mod taken_along;
mod text;
mod waiting;
mod write;
mod write_rows;

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Difference, Endpoint, Oid, QualifiedName};
use crate::toc::{CompareOptions, Toc};

use super::Observed;
use draft::Draft;
use order::Order;
use step::{Statement, Step};

pub use no_rows::NoRows;
pub use rows::{RepairColumn, RepairRow, TableRepair};
pub use write::RepairError;

/// One side of the comparison.
#[derive(Debug, Clone, Copy)]
pub struct RepairSide<'a> {
    /// Where it is.
    pub endpoint: &'a Endpoint,
    /// What `pg_dump` says of it.
    pub toc: &'a Toc,
    /// What its catalogs say.
    pub observed: &'a Observed,
}

/// What a repair is made from.
#[derive(Debug, Clone, Copy)]
pub struct RepairInput<'a> {
    /// What was found, as verification reports it.
    pub differences: &'a [Difference],
    /// What it should be like.
    pub source: RepairSide<'a>,
    /// What it is like.
    pub target: RepairSide<'a>,
    /// How the two were compared.
    pub options: &'a CompareOptions,
    /// Rows that differ.
    pub tables: &'a [TableRepair],
    /// The other tables with rows that differ: why none of them are written.
    pub no_rows: &'a BTreeMap<QualifiedName, NoRows>,
    /// Tables that were compared in full, and are the same on both sides.
    pub same: &'a BTreeSet<QualifiedName>,
    /// By what the target is told from another database of its name.
    pub target_identity: TargetIdentity,
    /// Whether the role that will run the file is a superuser, who can keep triggers from firing.
    pub target_superuser: bool,
    /// When the comparison was made, for the head of the file.
    pub made_at: &'a str,
}

impl RepairInput<'_> {
    /// Whether a row that is changed may be deleted, and inserted as it should be: where no foreign key notices, and nothing is lost.
    /// Otherwise, what to do about one that no `UPDATE` makes what it should be.
    fn may_replace(&self, table: &TableRepair) -> Result<(), &'static str> {
        if table.has_own_values {
            Err(
                "change them by hand: they hold values that were not compared, and that a row in their place would not have",
            )
        } else if self.target_superuser {
            Ok(())
        } else {
            Err("verify with --repair as a superuser of the target")
        }
    }
}

/// By what a database is told from another one of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetIdentity {
    /// Made by `initdb`; `None` if the server does not tell.
    pub system_identifier: Option<i64>,
    /// The database's OID.
    pub database_oid: Oid,
}

/// A difference that the file does not make go away, or not all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotCovered {
    /// The difference.
    pub difference: Difference,
    /// Why not, and what to do, in clauses.
    pub because: String,
    /// Statements that stand in the file as comments.
    suggestions: Vec<Statement>,
}

/// A large object whose content is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Content {
    oid: Oid,
    exists: bool,
    about: String,
}

/// A repair, thought out; [`Repair::write`] makes the file of it.
#[derive(Debug)]
pub struct Repair<'a> {
    input: &'a RepairInput<'a>,
    steps: Vec<Step>,
    contents: Vec<Content>,
    order: Order,
    /// Partitions, and what each is a partition of.
    above: BTreeMap<QualifiedName, QualifiedName>,
    /// Those of the target.
    above_on_target: BTreeMap<QualifiedName, QualifiedName>,
    /// Tables whose rows are not written.
    left: BTreeSet<QualifiedName>,
    /// Tables of which no row is deleted, and why.
    undeleted: BTreeMap<QualifiedName, String>,
    /// Schema and `table trigger` of the triggers and rules that are gone when rows are written.
    dropped: Vec<(String, String)>,
    not_covered: Vec<NotCovered>,
}

/// Thinks out the repair. Pure; what is not covered is known from here on.
pub fn plan<'a>(input: &'a RepairInput<'a>) -> Repair<'a> {
    let draft = Draft::of(input);
    let tables: Vec<&QualifiedName> = input.tables.iter().map(|table| &table.table).collect();
    let above_on_target = order::partitions(input.target.toc);
    let mut above = order::partitions(input.source.toc);
    above.extend(above_on_target.clone());
    let mut keys = input.source.observed.constraints.clone();
    keys.extend(input.target.observed.constraints.iter().cloned());
    Repair {
        input,
        order: order::by_foreign_keys(&tables, &keys, &above),
        above,
        above_on_target,
        dropped: draft.dropped_parts(),
        left: draft.left,
        undeleted: draft.undeleted,
        contents: draft.contents,
        steps: draft.steps,
        not_covered: draft.not_covered,
    }
}

impl Repair<'_> {
    /// How many of the differences are gone when the file has been run.
    pub fn covered(&self) -> usize {
        self.input.differences.len() - self.not_covered.len()
    }

    /// The others, each with the reason.
    pub fn not_covered(&self) -> &[NotCovered] {
        &self.not_covered
    }
}
