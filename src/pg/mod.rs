//! (being built)

pub mod cluster;
