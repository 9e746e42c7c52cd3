//! Source and target → differences, in one vocabulary.
//!
//! Verification reads the two databases anew and believes nothing else: it never imports `plan`, `execute` or `ledger`, so
//! it cannot inherit the copier's mistakes.
//!
//! | file | compares |
//! |---|---|
//! | `content` | rows of a table: count and multiset hash |
//! | `schema` | what `pg_dump` says of both sides: every object's definition, owner, grants, comment |
//! | `catalog` | what a dump does not say: whether all of it is there and in force, and where sequences stand |
//! | `large_objects` | large objects without their content |
//! | `excluded` | that what was left out is not there |
//!
//! What they find is an [`Outcome`]; several are folded into one, because a missing index is missed by more than one of them.

pub mod content;

mod catalog;
pub mod drill;
mod excluded;
mod large_objects;
mod outcome;
pub mod rows;
mod schema;
mod scope;
mod waiver;

pub use catalog::{Observed, QUERIES, State, compare as compare_catalogs, states};
pub use excluded::excluded_are_empty;
pub use outcome::Outcome;
pub use schema::compare as compare_schemas;
pub use scope::Scope;
pub use waiver::{Ignore, IgnoreError, waive};
