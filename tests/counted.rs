//! What a small table costs, in counted work: round trips and statements on either server. Seconds depend on the machine and
//! on who else is at work on it; this does not.
//!
//! Moves of so many tables and of twice as many, which differ in nothing else: what is more in the second is what these
//! tables cost.

mod support;

use std::fmt::Write as _;

use pgconvoy::pg::cluster::ClusterOptions;
use support::moving::{assert_proven, prepare, report};
use support::server::Server;
use support::tally::Tally;

/// Of the smaller move: two bundles.
const TABLES: usize = 128;

/// Of one table, on either side. It is a few hundredths; with a wait for an answer now and then it would be two or three.
const MOST_ROUND_TRIPS: f64 = 0.4;

/// On the source: COPY, and `count(*)`; the catalog is read as a whole. Room for those of a bundle.
const MOST_ON_SOURCE: f64 = 2.1;

/// On the target: CREATE TABLE and its owner, COPY in, CREATE UNIQUE INDEX and the key that stands on it, and COPY out to
/// compare. Room for those of a bundle: BEGIN, the mark, COMMIT, ANALYZE.
const MOST_ON_TARGET: f64 = 6.4;

fn counted_server(major: u32) -> Option<Server> {
    Server::start_with(major, |options| {
        let options = ClusterOptions {
            listen_tcp: true,
            ..options
        };
        options
            .setting("log_statement", "all")
            .setting("log_line_prefix", "%a|")
    })
}

/// A database with so many tables of ten rows.
fn tables(server: &Server, name: &str, count: usize) {
    let mut sql = String::new();
    for number in 0..count {
        let _ = writeln!(
            sql,
            "create table t{number} (id int primary key, name text);
             insert into t{number} select i, 'row ' || i from generate_series(1, 10) i;"
        );
    }
    server.database(name);
    server.psql(name, &sql);
}

/// How many statements of ours a server has logged.
fn statements(server: &Server) -> u64 {
    let log = server.cluster.dir().join("log");
    let log = std::fs::read(&log).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
    let log = String::from_utf8_lossy(&log);
    let ours = log.lines().filter(|line| {
        let is_statement = |kind: &str| line.contains(&format!("|LOG:  {kind}"));
        line.starts_with("pgconvoy:") && (is_statement("statement: ") || is_statement("execute "))
    });
    ours.count() as u64
}

/// One side of the road, and what was counted there.
struct Side {
    server: Server,
    tally: Tally,
}

impl Side {
    fn start(major: u32) -> Option<Self> {
        let server = counted_server(major)?;
        let tally = Tally::start(server.cluster.port(), "pg_dump");
        Some(Self { server, tally })
    }

    fn conninfo(&self, database: &str) -> String {
        format!(
            "host=127.0.0.1 port={} user=postgres dbname={database} sslmode=disable",
            self.tally.port()
        )
    }
}

/// Round trips and statements of a move, on the source and on the target.
fn cost(source: &Side, target: &Side, count: usize) -> [u64; 4] {
    let name = format!("of{count}");
    tables(&source.server, &name, count);
    target.server.database(&name);
    let before = [statements(&source.server), statements(&target.server)];
    source.tally.take();
    target.tally.take();
    // A process of its own that keeps the snapshot would be counted at its end, which is later.
    let arguments = ["-j", "1", "--no-keeper"];
    let run = prepare(&source.conninfo(&name), &target.conninfo(&name), &arguments).run();
    assert_proven(&run);
    [
        source.tally.take(),
        target.tally.take(),
        statements(&source.server) - before[0],
        statements(&target.server) - before[1],
    ]
}

#[test]
fn a_small_table_costs_its_statements_and_next_to_no_round_trip() {
    let (Some(source), Some(target)) = (Side::start(16), Side::start(18)) else {
        return;
    };
    let once = cost(&source, &target, TABLES);
    let twice = cost(&source, &target, 2 * TABLES);
    let per_table = |of: usize| (twice[of] as f64 - once[of] as f64) / TABLES as f64;
    println!(
        "{once:?}, {twice:?}; a table: {:.2} and {:.2} round trips, {:.2} and {:.2} statements",
        per_table(0),
        per_table(1),
        per_table(2),
        per_table(3)
    );
    for (of, most, what) in [
        (0, MOST_ROUND_TRIPS, "round trips on the source"),
        (1, MOST_ROUND_TRIPS, "round trips on the target"),
        (2, MOST_ON_SOURCE, "statements on the source"),
        (3, MOST_ON_TARGET, "statements on the target"),
    ] {
        let found = per_table(of);
        assert!(found <= most, "{found:.2} {what} for a table");
        assert!(twice[of] > 0, "no {what} were counted");
    }
    // What is moved is copied and compared: fewer would be a miscount.
    assert!(
        per_table(2) >= 2.0 && per_table(3) >= 5.0,
        "{once:?} {twice:?}"
    );
}

/// A table of a bundle whose rows the target refuses, at the beginning, in the middle or at the end of it: that one is
/// named, and all others arrive.
#[test]
fn one_table_of_a_bundle_that_is_refused_does_not_keep_the_others() {
    let (Some(source), Some(target)) = (Server::start(16), Server::start(18)) else {
        return;
    };
    for bad in [0, 3, 7] {
        let name = format!("bad{bad}");
        let from = source.database(&name);
        let mut sql = String::from(
            "create function fits(id int) returns bool immutable language plpgsql as $$
             begin
                 if pg_catalog.current_setting('application_name') like 'pgconvoy:%' and id = 500 then
                     raise 'not this one';
                 end if;
                 return true;
             end $$;",
        );
        for number in 0..8 {
            let check = if number == bad {
                ", check (public.fits(id))"
            } else {
                ""
            };
            let _ = writeln!(
                sql,
                "create table t{number} (id int primary key{check});
                 insert into t{number} select generate_series(1, 1000);"
            );
        }
        source.psql(&name, &sql);
        let to = target.database(&name);
        let run = prepare(&from, &to, &[]).run();
        assert_eq!(run.status, 1, "{run}");
        let report = report(&run);
        let jobs = report["jobs"].as_array().unwrap_or_else(|| panic!("{run}"));
        let failed = jobs.iter().filter_map(|job| job.get("failure"));
        let failed: Vec<String> = failed.map(ToString::to_string).collect();
        assert_eq!(failed.len(), 1, "{failed:?} {run}");
        let told = &failed[0];
        assert!(told.contains(&format!("public t{bad}")), "{told}");
        assert!(told.contains("not this one"), "{told}");
        for number in 0..8 {
            let rows = if number == bad { "0" } else { "1000" };
            let count = format!("select count(*) from t{number}");
            assert_eq!(target.psql(&name, &count), rows, "t{number}: {run}");
        }
    }
}
