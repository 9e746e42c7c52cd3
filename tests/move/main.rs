//! Whole moves, by the real binary between real servers.

#[expect(dead_code, reason = "made for more than is used here")]
#[path = "../connect/authority.rs"]
mod authority;
#[path = "../support/mod.rs"]
mod support;

mod alarms;
mod arrays;
mod corners;
mod counts;
mod memory;
mod refusals;
mod rights;
mod selection;
mod statistics;
mod unsaid;
mod versions;
mod wording;
