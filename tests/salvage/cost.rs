//! What it costs to salvage a gigabyte of which one block is damaged, against a move of the same when nothing is.
//!
//! The figures are printed, and kept with those of `chance`: how fast a build is that is not optimised says nothing. `make test-salvage
//! BUILD=--release` has one that is.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use pgconvoy::pg::cluster::{ClusterOptions, StopMode};

use crate::lab::PAGE;
use crate::support::binary::{Finished, Pgconvoy};
use crate::support::server::Server;

/// Four tables of a quarter each; how many rows of each make a megabyte is about 3,500.
const TABLE: &str = "
create table part_:n (id bigint primary key, account int not null, at timestamptz not null, line text not null);
insert into part_:n select i, i % 977, now() + i * interval '1 second', md5(i::text) || md5((i * 7)::text) || repeat('x', 60 + i % 80)
  from generate_series(1, :rows) i;
create index on part_:n (account);
";

fn timed(command: &str, (from, to): (&str, &str)) -> (Finished, f64) {
    let began = Instant::now();
    let run = Pgconvoy::new([
        command,
        "--source",
        from,
        "--target",
        to,
        "--overwrite",
        "giga",
        "--run-dir",
        "run",
    ])
    .timeout(Duration::from_secs(900))
    .run();
    (run, began.elapsed().as_secs_f64())
}

#[test]
#[ignore = "a gigabyte: make test-salvage"]
fn heavy_cost_of_one_bad_block() {
    let options = |options: ClusterOptions| {
        options
            .setting("autovacuum", "off")
            .setting("max_wal_size", "4GB")
    };
    let (Some(mut source), Some(target)) = (
        Server::start_with(18, options),
        Server::start_with(18, options),
    ) else {
        return;
    };
    let (from, to) = (source.database("giga"), target.database("giga"));
    let rows = std::env::var("PGCONVOY_SALVAGE_ROWS").ok();
    let rows = rows
        .filter(|rows| !rows.is_empty())
        .unwrap_or_else(|| "900000".to_owned());
    for number in 1..=4 {
        let sql = TABLE
            .replace(":n", &number.to_string())
            .replace(":rows", &rows);
        source.psql("giga", &sql);
    }
    source.psql("giga", "vacuum (freeze, analyze); checkpoint");
    let size = source.psql("giga", "select pg_size_pretty(pg_database_size('giga'))");
    let (moved, first) = timed("move", (&from, &to));
    assert_eq!(moved.status, 0, "{moved}");
    let (moved, again) = timed("move", (&from, &to));
    assert_eq!(moved.status, 0, "{moved}");

    let path = source.psql("giga", "select pg_relation_filepath('part_2')");
    let path = source.cluster.data_dir().join(path);
    source.cluster.stop(StopMode::Fast).expect("it stops");
    let file = fs::OpenOptions::new()
        .write(true)
        .open(path)
        .expect("opened");
    file.write_all_at(&[0x5a; 8192], 1000 * PAGE)
        .expect("written");
    source.cluster.resume().expect("it starts");
    let (salvaged, took) = timed("salvage", (&from, &to));
    assert_eq!(salvaged.status, 6, "{salvaged}");
    let healthy = first.min(again);
    let line = format!(
        "{size}, one bad block: a salvage takes {took:.1} s, a move of the same when it was whole {healthy:.1} s: {:.2} times as long\n",
        took / healthy
    );
    print!("{line}");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("salvage-figures.txt");
    let file = fs::OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(line.as_bytes()))
        .expect("the figures are kept");
}
