//! A thousand pages overwritten at random in a database of 200 MB, without checksums, ten of them at a time.
//!
//! One page at a time would have 200 MB read a thousand times. With ten, an index is often damaged together with the table that it knows,
//! so that the pages alone tell what is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pgconvoy::pg::cluster::StopMode;

use crate::noise::{
    Dice, Figures, Kept, blocks, check, overwrite, pages, pg_dump, relations, seed, wait_for,
};
use crate::support::binary::Pgconvoy;
use crate::support::server::Server;

/// Pages that are overwritten in one round.
const AT_ONCE: u64 = 10;

/// Fat rows with a key and a reference, fat rows without any index, values out of line, and two small tables of which one refers to the
/// other. Everything is frozen, but for people who have changed their names: their pages have rows that are dead.
const SCHEMA: &str = "
create table people (id int primary key, name text not null, since timestamptz not null) with (fillfactor = 80);
insert into people select i, 'name ' || i, timestamptz '2020-01-01' + i * interval '1 hour' from generate_series(1, 2000) i;
create table follows (who int references people, whom int references people, at timestamptz not null, primary key (who, whom));
insert into follows select 1 + i % 2000, 1 + (i * 7 + i / 2000) % 2000, timestamptz '2021-01-01' + i * interval '1 minute'
  from generate_series(0, 5999) i;
create table letters (id int primary key, author int not null references people, subject text, body text not null);
insert into letters select i, 1 + i % 2000, 'subject ' || i, repeat(md5(i::text), 38 + i % 20) from generate_series(1, 30000) i;
create index on letters (author);
create table notices (number int not null, line text not null);
insert into notices select i, repeat(md5(i::text), 55) from generate_series(1, 20000) i;
create table pictures (id int primary key, title text unique, image text not null);
alter table pictures alter image set storage external;
insert into pictures select i, 'title ' || i, repeat(md5(i::text), 700) from generate_series(1, 4000) i;
";

/// The tables, with what their rows are told by.
const TABLES: [(&str, &str); 5] = [
    ("people", "id"),
    ("follows", "who || '-' || whom"),
    ("letters", "id"),
    ("notices", "number"),
    ("pictures", "id"),
];

/// Rows of a table by their key, with a digest of all of each.
fn rows_of(
    server: &Server,
    database: &str,
    (table, key): (&str, &str),
) -> BTreeMap<String, String> {
    let rows = server.psql(
        database,
        &format!("select {key}, md5(t::text) from {table} t order by 1, 2"),
    );
    let row = |line: &str| {
        let (key, digest) = line.split_once('|').expect("two columns");
        (key.to_owned(), digest.to_owned())
    };
    rows.lines().map(row).collect()
}

fn source() -> Option<Server> {
    let source = Server::start_with(18, |options| {
        options
            .setting("autovacuum", "off")
            .setting("synchronous_commit", "on")
            .setting("max_wal_size", "4GB")
    })?;
    source.database("large");
    source.psql("large", SCHEMA);
    source.psql("large", "vacuum (freeze, analyze)");
    source.psql(
        "large",
        "update people set name = 'another ' || id where id % 10 = 0; checkpoint",
    );
    Some(source)
}

/// Overwrites ten pages, no two of them the same; says what was done.
fn overwrite_some(source: &Server, relations: &[&str], dice: &mut Dice) -> String {
    let mut chosen = BTreeSet::new();
    let mut done = Vec::new();
    while (done.len() as u64) < AT_ONCE {
        let path = source.cluster.data_dir().join(dice.one_of(relations));
        let block = dice.roll(blocks(&path));
        if chosen.insert((path.clone(), block)) {
            done.push(overwrite(&path, block, dice));
        }
    }
    done.join("\n  ")
}

fn salvage(from: &str, to: &str) -> Pgconvoy {
    Pgconvoy::new([
        "salvage",
        "--source",
        from,
        "--target",
        to,
        "--overwrite",
        "there",
        "--run-dir",
        "run",
    ])
    .timeout(Duration::from_secs(900))
}

/// `PGCONVOY_SALVAGE_FROM` and `PGCONVOY_SALVAGE_ROUNDS` count pages, of which each round has ten.
#[test]
#[ignore = "make test-salvage"]
fn heavy_pages_of_two_hundred_megabytes() {
    let (Some(mut source), Some(target)) = (source(), Server::start(18)) else {
        return;
    };
    let before: Vec<BTreeMap<String, String>> = TABLES
        .iter()
        .map(|table| rows_of(&source, "large", *table))
        .collect();
    let keys = |rows: &BTreeMap<String, String>| rows.keys().cloned().collect::<BTreeSet<String>>();
    let keys_before: Vec<BTreeSet<String>> = before.iter().map(keys).collect();
    let all: u64 = before.iter().map(|rows| rows.len() as u64).sum();
    let size = source.psql("large", "select pg_size_pretty(pg_database_size('large'))");
    let (from, to) = (source.conninfo("large"), target.database("there"));
    let relations = relations(&source, "large");
    let relations: Vec<&str> = relations.iter().map(String::as_str).collect();
    source.cluster.stop(StopMode::Fast).expect("it stops");
    let directory = source.cluster.data_dir().join(relations[0]);
    let mut kept = Kept::of(directory.parent().expect("a directory"));
    let mut figures = Figures::default();
    let (mut same, pages) = (0, pages());
    for round in pages.start / AT_ONCE..pages.end / AT_ONCE {
        let mut dice = Dice::of(seed(), round);
        let done = overwrite_some(&source, &relations, &mut dice);
        let what = format!("seed {}, round {round}:\n  {done}", seed());
        source.cluster.resume().expect("it starts");
        let run = salvage(&from, &to).run();
        assert!(matches!(run.status, 0 | 1 | 3 | 6), "{what}\n{run}");
        assert!(!run.stderr.contains("panicked"), "{what}\n{run}");
        *figures.statuses.entry(run.status).or_default() += 1;
        figures.there += all;
        if run.status == 1 {
            println!("{what}\n{run}");
        }
        if matches!(run.status, 0 | 6) {
            let there: Vec<BTreeMap<String, String>> = TABLES
                .iter()
                .map(|table| rows_of(&target, "there", *table))
                .collect();
            let both = before.iter().zip(&there);
            let same_of =
                |(before, there): (&BTreeMap<String, String>, &BTreeMap<String, String>)| {
                    let rows = before.iter();
                    rows.filter(|(key, row)| there.get(*key) == Some(*row))
                        .count()
                };
            same += both.map(same_of).sum::<usize>();
            let tables = TABLES.iter().zip(&keys_before).zip(&there);
            let tables = tables.map(|((table, before), there)| (table.0, before, keys(there)));
            figures.salvaged += check(&tables.collect::<Vec<_>>(), &what, &run);
        }
        if pg_dump(&source, "large") {
            figures.dumps += 1;
            figures.dumped += all;
        }
        wait_for(&source, &what);
        source.cluster.stop(StopMode::Fast).expect("it stops");
        kept.put_back();
    }
    figures.keep(&format!(
        "{size}, pages {} to {}, {AT_ONCE} at a time, {same} rows to the letter as they were",
        pages.start, pages.end
    ));
}
