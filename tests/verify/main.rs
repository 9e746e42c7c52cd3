//! `pgconvoy verify`, by the real binary between real servers: each kind of damage is found by name, and nothing else is.

#[path = "../support/mod.rs"]
mod support;

mod alike;
mod drill;
mod list;
mod matrix;
mod repaired;
mod verified;
