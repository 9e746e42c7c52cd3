//! Targets that were moved earlier are brought to the source's present, by the real binary between real servers.

#[path = "../support/random_tables/mod.rs"]
#[expect(dead_code, reason = "made for more than is used here")]
mod random_tables;
#[path = "../support/mod.rs"]
mod support;

mod aside;
mod cost;
mod elsewhere;
mod keys;
mod killed;
mod random;
mod scene;
mod shop;
mod trouble;
mod zoo;
