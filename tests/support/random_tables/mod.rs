//! Random tables, for tests that have no favourites: types and values of every kind a user can have, from a seed.
//!
//! ```text
//!   seed ─► Dice ─► types::Pool (what a version has, and types made for one database)
//!                     └─► tables::Database (a psql script, and the tables that hold rows)
//!                           └─► damage::Injury (one change each, made on a server, and what it was)
//! ```
//!
//! Every table has dice of its own, so that a change in how one is made does not change the others.

pub mod builtin;
pub mod damage;
pub mod dice;
pub mod tables;
pub mod types;
