//! A move between servers that are far away: how many round trips there are in a row, whatever a round trip takes.
//!
//! Counted is for how many round trips something was on the road to or from either server. What the machine computes
//! meanwhile does not count, so that a slow one does not find more than a fast one.

mod support;

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use pgconvoy::pg::cluster::ClusterOptions;
use support::moving::{assert_proven, build, move_with};
use support::proxy::{Distance, Proxy};
use support::server::{Server, newest_tools};

const ROUND_TRIP: Duration = Duration::from_millis(20);

/// What a move may take besides what `pg_dump` takes on both sides, with some room for what happens to overlap less on a busy
/// machine.
const OWN_OF_LITTLE: f64 = 110.0;
const OWN_OF_MASTODON: f64 = 320.0;

/// Both servers, near.
struct Ends {
    source: Server,
    target: Server,
}

impl Ends {
    fn start(major: u32) -> Option<Self> {
        let by_tcp = |options| ClusterOptions {
            listen_tcp: true,
            ..options
        };
        Some(Self {
            source: Server::start_with(major, by_tcp)?,
            target: Server::start_with(major, by_tcp)?,
        })
    }

    /// Moves a database from far to far; the number of round trips in a row.
    fn move_far(&self, database: &str) -> f64 {
        let distance = Distance::of_round_trip(ROUND_TRIP);
        let from = far(&self.source, database, &distance);
        let to = far(&self.target, database, &distance);
        assert_proven(&move_with(&from, &to, &[]));
        distance.round_trips()
    }

    /// The same for reading a schema on one of them.
    fn dump_far(server: &Server, database: &str) -> f64 {
        let distance = Distance::of_round_trip(ROUND_TRIP);
        let from = far(server, database, &distance);
        let dump = Command::new(newest_tools().join("pg_dump"))
            .args(["--schema-only", "--format=custom", "-d", &from])
            .stdout(Stdio::null())
            .status()
            .expect("pg_dump starts");
        assert!(dump.success());
        distance.round_trips()
    }
}

/// A database by a long road.
fn far(server: &Server, database: &str, distance: &Arc<Distance>) -> String {
    let proxy = Proxy::start(server.cluster.port());
    proxy.be_far(distance);
    let port = proxy.port();
    format!("host=127.0.0.1 port={port} user=postgres dbname={database}")
}

/// `pg_dump` reads each side once, one question after the other; what we ask for ourselves is little besides.
#[test]
fn a_move_waits_for_little_besides_pg_dump() {
    let Some(ends) = Ends::start(18) else {
        return;
    };
    for (database, own) in [("little", OWN_OF_LITTLE), ("mastodon", OWN_OF_MASTODON)] {
        ends.source.database(database);
        ends.target.database(database);
        if database == "mastodon" {
            build(&ends.source, database, "mastodon.sql", "scale=0.01");
        } else {
            let table = "create table t (id int primary key); insert into t values (1)";
            ends.source.psql(database, table);
        }
        let moved = ends.move_far(database);
        let read = [&ends.source, &ends.target].map(|server| Ends::dump_far(server, database));
        let besides = moved - read.iter().sum::<f64>();
        println!("{database}: {moved:.1} round trips, {read:.1?} of them pg_dump's");
        assert!(
            besides <= own,
            "{database}: {moved:.1} round trips in a row, of which pg_dump takes {read:.1?}"
        );
    }
}
