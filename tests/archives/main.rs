//! Archives in a world that is not tidy: targets that hold something already, files that are damaged, runs that are killed.
//!
//! | file | |
//! |---|---|
//! | `scene` | a small database, dumps of it, and restores |
//! | `chunks` | large tables that several connections load from one file |
//! | `into` | rows alone, objects dropped first, databases created, and what a restore proves besides |
//! | `refused` | columns, keys and subscriptions that stand in the way |
//! | `astray` | rows that would go where nobody has sent them, and parts that would have everything dropped |
//! | `damage` | bits, cuts, files that are missing or another's: in our archives and in those of `pg_dump` |
//! | `stock` | what can be said of archives without a manifest, and what is no archive |
//! | `told` | what an archive says of itself: encodings, options, quotes |
//! | `redirected` | custom files that the shell has opened |
//! | `packed` | compressions that the tools at hand do not know |
//! | `full` | an archive on a disk without room |
//! | `killed` | restores killed at any instant |
//! | `ends` | restores that do not bring everything, and what they say in the end |
//!
//! Some of it is a sample here: `make test-archives` does all of it.

#[path = "../support/mod.rs"]
mod support;

mod astray;
mod chunks;
mod damage;
mod ends;
mod full;
mod into;
mod killed;
mod packed;
mod redirected;
mod refused;
mod scene;
mod stock;
mod told;
