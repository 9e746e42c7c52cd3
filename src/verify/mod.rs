//! Source and target → differences, in one vocabulary.
//!
//! Verification reads the two databases again and believes nothing else: it never imports `plan`, `execute` or `ledger`, so
//! it cannot inherit the copier's mistakes.
//!
//! | file | compares |
//! |---|---|
//! | `content` | rows of a table: count and multiset hash |
//! | `archived` | an archive's manifest with a server |
//! | `in_force` | an archive with a server: whether constraints are in force, and materialized views populated |
//! | `schema` | what `pg_dump` says of both sides: every object's definition, owner, grants, comment |
//! | `catalog` | what a dump does not say: whether all of it is there and in force, and where sequences stand |
//! | `constraints` | that each index and constraint is there and in force |
//! | `sequences` | where sequences stand, and whether that is beyond the columns they feed |
//! | `extensions` | versions of extensions |
//! | `uncarried` | what no dump carries: what was put onto extensions, into the system's schemas, … |
//! | `readiness` | what makes a good copy slow or wrong all the same: statistics, settings, locales, subscriptions |
//! | `opening` | what of the target a person should know before it is used, as on the source or not |
//! | `statements` | the plans of the application's statements |
//! | `large_objects` | large objects without their content |
//! | `excluded` | that what was left out is not there |
//! | `rows` | rows of two servers, by buckets of their hashes |
//! | `matview` | what a materialized view holds, with what its query gives |
//! | `drill` | which rows of a table differ, and in what |
//!
//! These compare nothing, and serve those that do:
//!
//! | file | |
//! |---|---|
//! | `scope` | which objects take part |
//! | `attempt` | questions that a server may refuse |
//! | `nested` | whether arrays have arrays in them, which `schema` has to know |
//! | `unseen` | what a role may not see of a side, and what takes no part |
//! | `ours` | what somebody else keeps in the schemas of a run and of a follow |
//! | `left_behind` | what an archive of one side lacks |
//! | `outcome` | what was found |
//! | `waiver` | passes over what the operator has said is to be passed over |
//! | `repair` | writes the SQL that would make the differences go away |
//!
//! What is found is an [`Outcome`]; several are folded into one, because more than one of them finds that an index is missing.

pub mod archived;
pub mod content;
pub mod in_force;
pub mod left_behind;
pub mod matview;
pub mod repair;
pub mod statements;

mod attempt;
mod catalog;
mod constraints;
pub mod drill;
mod excluded;
mod extensions;
mod large_objects;
mod nested;
mod opening;
mod ours;
mod outcome;
mod readiness;
pub mod rows;
mod schema;
mod scope;
mod sequences;
mod uncarried;
mod unseen;
mod waiver;

use crate::model;

pub use catalog::{Hidden, Observed, QUERIES, State, compare as compare_catalogs, states};
pub use constraints::{KeyTriggers, inherited_object};
pub use excluded::excluded_are_empty;
pub use large_objects::{
    compare as compare_large_objects, compare_archived as compare_archived_large_objects,
};
pub use left_behind::LeftBehind;
pub use nested::{has_nested_arrays, nested_arrays};
pub use opening::before_opening;
pub use outcome::Outcome;
pub use readiness::{Readiness, SettingsLacking, findings as readiness_findings, outlook};
pub use schema::compare as compare_schemas;
pub use scope::Scope;
pub use sequences::Feed;
pub use waiver::{Ignore, IgnoreError, waive};

/// How many names a sentence may hold.
const NAMES_IN_A_SENTENCE: usize = 5;

/// The first few, and how many more there are.
fn some_of(names: &[String]) -> String {
    model::some_of(names, NAMES_IN_A_SENTENCE)
}
