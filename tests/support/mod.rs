//! What integration tests stand on: servers of a wished version, psql, and the real binary.
//!
//! Every test starts clusters of its own (a fraction of a second each) and nothing is shared but what they are copied from, so that
//! no test can see another's objects, settings or load, and a killed one leaves nothing behind. A version that is not installed skips the
//! test, and the skip is recorded where `make test` shows it; where all versions must be there (`CI`, or
//! `PGCONVOY_REQUIRE_ALL_SERVERS=1`) it fails instead.
//!
//! ```ignore
//! let (Some(source), Some(target)) = (Server::start(10), Server::start(18)) else { return };
//! source.database("shop");
//! source.psql("shop", "create table …");
//! let run = Pgconvoy::new(["move", "--source", &source.conninfo("shop"), …]).run();
//! assert_eq!(run.status, 0, "{run}");
//! ```
#![expect(
    dead_code,
    reason = "every test binary compiles all of this and uses a part"
)]

pub mod age;
pub mod binary;
pub mod disk;
pub mod installed;
pub mod moving;
pub mod proxy;
pub mod record;
pub mod server;
pub mod tally;
pub mod template;

/// Keeps the expectation above true in a binary that happens to use everything.
fn nobody_calls_this() {}
