//! The table of contents, read from real archives (`fixtures/archives`, made by the scripts there) and checked against what
//! `pg_restore` and another reader say of the same files.

#[path = "../support/mod.rs"]
mod support;

mod archives;
mod comparison;
mod damage;
mod oracle;
mod round_trip;
mod selection;
