//! Rows against the entries of primary keys, with real damage to the files of both.

use std::fs;
use std::path::{Path, PathBuf};

use pgconvoy::pg::cluster::{ClusterOptions, StopMode};
use serde_json::Value;

use super::support::server::Server;
use super::{assert_silent, assert_told, looked, remedy, rules};

const PAGE: usize = 8192;

const TABLES: &str = "
    -- VACUUM takes a row for visible to everybody only when its commit is on disk.
    set synchronous_commit = on;
    create table lost (id int primary key, what text);
    create table stale (id int primary key);
    create table torn (id int, part int, more int, primary key (part, id) include (more));
    create table broken (\"the id\" int primary key, what text);
    create table large (id int primary key, what text);
    create table \"without a key\" (id int);
    create table over (id int primary key);
    create table below (also int) inherits (over);
    insert into lost select i, repeat('x', 200) from generate_series(1, 2000) i;
    insert into stale select generate_series(1, 100);
    insert into torn select i, i % 3 from generate_series(1, 3000) i;
    insert into broken select i, repeat('x', 200) from generate_series(1, 2000) i;
    insert into large values (1);
    insert into over values (1);
    insert into below values (1), (2);
    vacuum analyze;
    create table unseen (id int primary key, what text);
    insert into unseen select i, repeat('x', 200) from generate_series(1, 2000) i;
    create table points (\"to\" int references unseen);
    insert into points select generate_series(1, 2000);
";

const DAMAGE: [&str; 3] = [
    "source-rows-missing",
    "source-rows-unreadable",
    "source-indexes-damaged",
];

fn file(server: &Server, relation: &str) -> PathBuf {
    let place = server.psql(
        "shop",
        &format!("select pg_relation_filepath('{relation}')"),
    );
    server.cluster.data_dir().join(place)
}

/// Puts another page into the place of one; what was there.
fn replace(path: &Path, block: usize, page: &[u8]) -> Vec<u8> {
    let mut bytes = fs::read(path).expect("a file");
    let place = &mut bytes[block * PAGE..(block + 1) * PAGE];
    let before = place.to_vec();
    place.copy_from_slice(page);
    // The file stays the server's.
    fs::write(path, bytes).expect("written");
    before
}

#[track_caller]
fn evidence<'a>(check: &'a Value, rule: &str) -> Vec<&'a str> {
    let found = check["findings"].as_array().expect("a list");
    let found = found.iter().find(|one| one["rule"] == rule);
    let lines = found.and_then(|one| one["evidence"].as_array());
    let lines = lines.unwrap_or_else(|| panic!("no {rule} in {:?}", rules(check)));
    lines.iter().filter_map(Value::as_str).collect()
}

#[test]
fn tables_that_have_other_rows_than_their_keys_lead_to() {
    let quiet = |options: ClusterOptions| options.setting("autovacuum", "off");
    let (Some(mut source), Some(target)) = (Server::start_with(16, quiet), Server::start(16))
    else {
        return;
    };
    let (from, to) = (source.database("shop"), target.database("shop"));
    source.psql("shop", TABLES);
    let check = looked(&from, &to, &[], 0);
    assert_silent(&check, &DAMAGE);
    assert_silent(&check, &["keys-not-counted", "not-looked-at"]);

    damage(&mut source);
    let index = file(&source, "unseen_pkey");
    let before = fs::read(&index).expect("a file");
    let check = looked(&from, &to, &[], 4);
    // Of a page that is lost, the index still tells what was on it.
    source.psql("shop", "checkpoint");
    assert!(
        fs::read(&index).expect("a file") == before,
        "a check leaves traces"
    );
    assert_told(&check, "blocker", &["source-orphans"]);
    assert_told(&check, "blocker", &DAMAGE[..2]);
    assert_told(&check, "warning", &DAMAGE[2..]);
    assert_told(&check, "note", &["keys-not-counted"]);
    let missing = evidence(&check, DAMAGE[0]);
    assert_eq!(missing.len(), 1, "{missing:?}");
    let line =
        regex::Regex::new(r"^public\.lost: 1,9\d\d rows, 2,000 entries in public\.lost_pkey$");
    assert!(line.expect("a pattern").is_match(missing[0]), "{missing:?}");
    let unreadable = evidence(&check, DAMAGE[1]);
    assert_eq!(unreadable.len(), 1, "{unreadable:?}");
    assert!(unreadable[0].starts_with("public.broken: invalid page in block 1 of "));
    let keys = evidence(&check, DAMAGE[2]);
    assert_eq!(keys.len(), 2, "{keys:?}");
    assert_eq!(
        keys[0],
        "public.stale: 200 rows, 100 entries in public.stale_pkey"
    );
    assert!(
        keys[1].starts_with("public.torn: index \"torn_pkey\" "),
        "{keys:?}"
    );
    assert!(keys[1].contains("zero page"), "{keys:?}");
    let not_counted = evidence(&check, "keys-not-counted");
    assert_eq!(not_counted.len(), 2, "{not_counted:?}");
    assert_eq!(not_counted[0], "1: larger than 64.0 MB");
    assert!(not_counted[1].starts_with("1: "), "{not_counted:?}");
    // Who only asks the catalogs reads no rows.
    let options = ["--no-measure"];
    assert_silent(&looked(&from, &to, &options, 0), &DAMAGE);
    // What is left out is nobody's business.
    let without = ["-T", "lost", "-T", "broken", "-T", "points"];
    let check = looked(&from, &to, &without, 0);
    assert_silent(&check, &DAMAGE[..2]);
    assert_told(&check, "warning", &DAMAGE[2..]);

    let rebuild = remedy(&check, DAMAGE[2])
        .split_once('\n')
        .expect("statements")
        .1;
    source.psql("shop", rebuild);
    let check = looked(&from, &to, &without, 0);
    assert_silent(&check, &DAMAGE);
}

/// A page of a table that is lost, one that is noise, one of a key that was never written, and one of another key that is lost.
fn damage(source: &mut Server) {
    let names = [
        "lost",
        "stale_pkey",
        "torn_pkey",
        "broken",
        "large",
        "unseen",
    ];
    let [lost, stale, torn, broken, large, unseen] = names.map(|name| file(source, name));
    source.cluster.stop(StopMode::Fast).expect("stopped");
    let early = fs::read(&stale).expect("a file")[PAGE..2 * PAGE].to_vec();
    source.cluster.resume().expect("started");
    source.psql("shop", "insert into stale select generate_series(101, 200)");
    source.cluster.stop(StopMode::Fast).expect("stopped");
    replace(&lost, 3, &[0; PAGE]);
    replace(&unseen, 3, &[0; PAGE]);
    let late = replace(&stale, 1, &early);
    assert_ne!(late, early, "it was written in between");
    replace(&torn, 2, &[0; PAGE]);
    replace(&broken, 1, &[0x55; PAGE]);
    let large = fs::File::options().write(true).open(large).expect("a file");
    large.set_len(100 << 20).expect("longer");
    source.cluster.resume().expect("started");
}
