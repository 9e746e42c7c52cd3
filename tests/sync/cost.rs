//! What it costs: a gigabyte, of which 0, 1, 1,000 and 100,000 rows have changed. For `make test-sync`; prints figures.

use std::fmt::Write as _;
use std::time::Instant;

use chrono::DateTime;
use serde_json::Value;

use crate::scene::{figures, is_nothing, prepare};
use crate::support::binary::Finished;
use crate::support::moving::{
    RUN_DIR, assert_equal, assert_proven, prepare as move_prepared, report,
};
use crate::support::server::Server;

/// About a gigabyte: three tables with keys of three kinds, one without, and large objects.
const DATABASE: &str = "
create table statuses (id bigint primary key, account int not null, body text, at timestamptz);
insert into statuses select g, g % 50000, repeat(md5(g::text), 6), timestamptz '2024-01-01' + g * interval '1 second' from generate_series(1, 2200000) g;
create index on statuses (account);
create table documents (id uuid primary key, body text);
insert into documents select md5(g::text)::uuid, repeat(md5(g::text), 8) from generate_series(1, 600000) g;
create table tags (a text, b text, n int, primary key (a, b));
insert into tags select 'tag ' || g % 1000, 'name ' || g, g from generate_series(1, 800000) g;
create table log (line text, n int);
insert into log select 'line ' || g % 1000, g % 7 from generate_series(1, 1500000) g;
create sequence numbers;
select count(lo_from_bytea(0, decode(repeat(md5(g::text), 300), 'hex'))) from generate_series(1, 2000) g;
vacuum analyze;
";

#[test]
#[ignore = "a gigabyte: make test-sync"]
fn heavy_cost_of_a_gigabyte() {
    let (Some(source), Some(target)) = (Server::start(16), Server::start(16)) else {
        return;
    };
    let (from, to) = (source.database("giga"), target.database("giga"));
    source.psql("giga", DATABASE);
    let size = source.psql("giga", "select pg_size_pretty(pg_database_size('giga'))");
    let began = Instant::now();
    let moved = move_prepared(&from, &to, &[]).timeout(std::time::Duration::from_secs(600));
    assert_proven(&moved.run());
    println!(
        "{size}; a move takes {:.1} s",
        began.elapsed().as_secs_f64()
    );
    for rows in [0_u64, 1, 1_000, 100_000] {
        change(&source, rows);
        for arguments in [&["--dry-run"][..], &[]] {
            let began = Instant::now();
            let run = prepare(&from, &to, arguments).timeout(std::time::Duration::from_secs(600));
            let run = run.run();
            let took = began.elapsed().as_secs_f64();
            let report = report(&run);
            println!(
                "{rows} rows, {arguments:?}: {took:.1} s; {}; {}{}",
                said(&report),
                report["synced"],
                steps(&run)
            );
            let expected = if rows > 0 && !arguments.is_empty() {
                3
            } else {
                0
            };
            assert_eq!(run.status, expected, "{run}");
            let synced = &report["synced"];
            assert_eq!(is_nothing(synced), rows == 0, "{run}");
            if rows > 0 {
                let (inserted, updated, deleted, anew) =
                    figures(synced, "statuses").expect("it differs");
                assert!(!anew && inserted + updated + deleted <= rows, "{run}");
            }
        }
    }
    assert_equal("a gigabyte", &from, &to, &[]);
}

/// So many rows of all tables: most of them changed, some new, some gone.
fn change(server: &Server, rows: u64) {
    if rows == 0 {
        return;
    }
    if rows == 1 {
        server.psql(
            "giga",
            "update statuses set body = 'changed' where id = 1000000",
        );
        return;
    }
    let part = rows / 10;
    server.psql(
        "giga",
        &format!(
            "update statuses set body = 'changed {rows}' where id % (2200000 / ({part} * 4)) = 1;
             insert into statuses select 3000000 + {rows} + g, 1, 'new', now() from generate_series(1, {part}) g;
             delete from statuses where id in (select id from statuses order by md5(id::text) limit {part});
             update documents set body = 'changed {rows}' where id in (select id from documents limit {part});
             update tags set n = -{rows} where n % (800000 / {part}) = 3;
             insert into log select 'new', {rows} from generate_series(1, {part}) g;
             delete from log where ctid in (select ctid from log where line = 'line 5' limit {part});
             select setval('numbers', {rows}), lo_from_bytea(0, 'new'), lo_put((select min(oid) from pg_largeobject_metadata), 0, '{rows}')"
        ),
    );
}

/// When each step began, in seconds.
fn steps(run: &Finished) -> String {
    let events = std::fs::read_to_string(run.path(RUN_DIR).join("events.jsonl")).expect("a record");
    let events = events
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let time = |event: &Value| {
        DateTime::parse_from_rfc3339(event["at"].as_str().expect("a time")).expect("a time")
    };
    let mut began = None;
    let mut told = String::new();
    for event in events {
        let at = time(&event);
        let after = at - *began.get_or_insert(at);
        if let Some(step) = event["step"].as_str() {
            let _ = write!(told, "\n    {:.1} s {step}", after.as_seconds_f64());
        }
    }
    told
}

fn said(report: &Value) -> String {
    let bytes = report["tables"].as_array().into_iter().flatten();
    let bytes: u64 = bytes.filter_map(|table| table["bytes"].as_u64()).sum();
    format!("{} MB read", bytes >> 20)
}
