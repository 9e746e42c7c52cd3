//! Archives in a world that is not tidy: targets that hold something already, files that are damaged, runs that are killed.
//!
//! | file | |
//! |---|---|
//! | `scene` | a small database, dumps of it, and restores |
//! | `chunks` | large tables that several connections load from one file |
//! | `into` | rows alone, objects dropped first, databases created, and what a restore proves besides |
//! | `damage` | bits, cuts, files that are missing or another's: in our archives and in those of `pg_dump` |
//! | `told` | what an archive says of itself: encodings, options, quotes |
//! | `packed` | compressions that the tools at hand do not know |
//! | `full` | an archive on a disk without room |
//! | `killed` | restores killed at any instant |
//!
//! Some of it is a sample here: `make test-archives` does all of it.

#[path = "../support/mod.rs"]
mod support;

mod chunks;
mod damage;
mod full;
mod into;
mod killed;
mod packed;
mod scene;
mod told;
