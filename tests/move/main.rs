//! Whole moves, by the real binary between real servers.

#[path = "../support/mod.rs"]
mod support;

mod versions;
