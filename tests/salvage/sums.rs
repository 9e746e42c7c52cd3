//! What is on the target is held against what was found on the source. How much that is, the comparison of contents has just told; what it
//! does not tell is counted.

use std::fs;

use pgconvoy::pg::cluster::ClusterOptions;

use crate::lab::salvaging;
use crate::support::binary::{Finished, Pgconvoy};
use crate::support::record::events;
use crate::support::server::Server;

const SCHEMA: &str = "
create table large (id int primary key, v text);
insert into large select i, repeat(md5(i::text), 5) from generate_series(1, 20000) i;
create table small (id int primary key);
insert into small select generate_series(1, 10);
vacuum (freeze);
checkpoint;
";

fn prepare(from: &str, to: &str) -> Pgconvoy {
    salvaging(from, to, &["--chunk-size", "1MB"])
}

/// How many tables add up, by the record.
fn adding_up(run: &Finished) -> u64 {
    let events = events(&run.path("run")).into_iter().filter_map(|event| {
        let is_it = event["event"] == "checked"
            && event["what"] == "tables against what the search for damage has read of them";
        is_it.then(|| event["count"].as_u64().expect("a number"))
    });
    events.sum()
}

#[test]
fn only_what_was_not_found_the_same_is_counted() {
    let source = Server::start_with(18, |options: ClusterOptions| {
        options
            .setting("autovacuum", "off")
            .setting("synchronous_commit", "on")
    });
    let target = Server::start_with(18, |options: ClusterOptions| {
        options.setting("log_statement", "all")
    });
    let (Some(source), Some(target)) = (source, target) else {
        return;
    };
    let from = source.database("shop");
    source.psql("shop", SCHEMA);
    let counted = || {
        let log = fs::read(target.cluster.dir().join("log")).expect("a log");
        let log = String::from_utf8_lossy(&log);
        let counts = log
            .lines()
            .filter_map(|line| line.split_once("select count(*) as rows from only "));
        let tables = counts.map(|(_, table)| table.trim().to_owned());
        tables.collect::<Vec<String>>()
    };

    let run = prepare(&from, &target.database("whole")).run();
    assert_eq!(run.status, 0, "{run}");
    assert_eq!(adding_up(&run), 2, "{run}");
    assert_eq!(counted(), [""; 0], "{run}");

    // A chunk is left out: the comparison says that it is, and so does the account.
    let run = prepare(&from, &target.database("holes"))
        .env("PGCONVOY_FAULT", "hole-between-chunks")
        .run();
    assert_eq!(run.status, 3, "{run}");
    assert_eq!(adding_up(&run), 1, "{run}");
    assert_eq!(counted(), ["\"public\".\"large\""], "{run}");
    let said = "the search for damage read 20000 rows, but 0 are on the target";
    assert!(run.stderr.contains(said), "{run}");
}
