//! Pages in the place of others, of tables that have the same columns; entries that damage has had the server mark as dead; and line pointers
//! that are gone, of rows that are there and of rows that had been deleted. What is said is held against what there was.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use pgconvoy::pg::cluster::{ClusterOptions, StopMode};

use crate::lab::{Case, Expected, Lab, PAGE, losses, salvaging};
use crate::support::binary::Finished;
use crate::support::server::Server;

/// Two tables whose rows look the same, but for their keys.
const TABLES: &str = "create table h (id int primary key, n int, t text) with (fillfactor = 45); \
                      create table g (id int primary key, n int, t text) with (fillfactor = 45); \
                      insert into h select i, 0, repeat('t', 40) from generate_series(1, 1000) i; \
                      insert into g select i + 100000, 0, repeat('u', 40) from generate_series(1, 1000) i";
const FULL: &str = "create table h (id int primary key, n int, t text); \
                    insert into h select i, 0, repeat('t', 40) from generate_series(1, 1000) i";
const READ: &str = "select count(*) from h; select count(*) from g";
const UPDATED_IN_PLACE: &str = "update h set n = n + 1; update g set n = n + 1; select count(*) from h; select count(*) from g";

/// What is in the place of what: the block of `h`, and the table and the block whose page takes it.
type Swap = (u64, (&'static str, u64));

struct Swapped {
    name: &'static str,
    sql: &'static [&'static str],
    swap: Swap,
}

fn swaps() -> Vec<Swapped> {
    let of = |name, sql, swap| Swapped { name, sql, swap };
    vec![
        of("hinted", &[TABLES, READ], (1, ("g", 1))),
        of("not_hinted", &[TABLES], (1, ("g", 1))),
        of(
            "in_place",
            &[TABLES, UPDATED_IN_PLACE, "vacuum h", "vacuum g"],
            (1, ("g", 1)),
        ),
        // Of other rows, all of which were deleted.
        of(
            "deleted",
            &[TABLES, "delete from g where id < 100400"],
            (1, ("g", 3)),
        ),
        // Of the same table, and its rows were cleared away: the server does so when it reads a page that is full.
        of(
            "cleared",
            &[
                FULL,
                "delete from h where id between 201 and 600",
                "select count(*) from h",
            ],
            (0, ("h", 3)),
        ),
    ]
}

/// The rows of `h`: where each is, by its key.
fn places(server: &Server, database: &str) -> BTreeMap<u32, String> {
    let rows = server.psql(database, "select id, ctid from h");
    let row = |line: &str| {
        let (id, place) = line.split_once('|').expect("two columns");
        (id.parse().expect("a number"), place.to_owned())
    };
    rows.lines().map(row).collect()
}

fn path(server: &Server, database: &str, relation: &str) -> PathBuf {
    let query = format!("select pg_relation_filepath('{relation}')");
    let path = server.psql(database, &query);
    server.cluster.data_dir().join(path)
}

fn page(path: &Path, block: u64) -> Vec<u8> {
    let mut page = vec![0; 8192];
    let file = fs::File::open(path).expect("opened");
    file.read_exact_at(&mut page, block * PAGE).expect("read");
    page
}

fn put(path: &Path, block: u64, page: &[u8]) {
    let file = fs::OpenOptions::new().write(true).open(path);
    let file = file.expect("opened");
    file.write_all_at(page, block * PAGE).expect("written");
}

fn start(major: u32, checksums: bool) -> Option<Server> {
    Server::start_with(major, |options| {
        ClusterOptions {
            data_checksums: checksums,
            ..options
        }
        .setting("autovacuum", "off")
        .setting("synchronous_commit", "on")
    })
}

/// The keys of `lost/public.h.csv`: those that are lost for certain, and all.
fn named(run: &Finished) -> (BTreeSet<u32>, BTreeSet<u32>) {
    let file = run.path("run/lost/public.h.csv");
    let text = fs::read_to_string(file).unwrap_or_default();
    let (mut certain, mut all) = (BTreeSet::new(), BTreeSet::new());
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let id = fields[3].parse().expect("a number");
        all.insert(id);
        if fields[2] == "certain" {
            certain.insert(id);
        }
    }
    (certain, all)
}

/// Whatever is missing is named, and what is named as lost for certain was there, and is missing.
fn check_names(run: &Finished, was: &BTreeSet<u32>, there: &BTreeSet<u32>) {
    let (certain, all) = named(run);
    let missing: BTreeSet<u32> = was.difference(there).copied().collect();
    assert!(!missing.is_empty(), "{run}");
    let unnamed: Vec<&u32> = missing.difference(&all).collect();
    assert!(
        unnamed.is_empty(),
        "missing and not named: {unnamed:?}\n{run}"
    );
    let wrong: Vec<&u32> = certain.difference(&missing).collect();
    assert!(wrong.is_empty(), "certain, and not so: {wrong:?}\n{run}");
}

fn swapped(major: u32, checksums: bool) {
    let (Some(mut source), Some(target)) = (start(major, checksums), Server::start(18)) else {
        return;
    };
    let mut was = BTreeMap::new();
    let mut files = Vec::new();
    let all = swaps();
    for one in &all {
        source.database(one.name);
        for sql in one.sql {
            source.psql(one.name, sql);
        }
        was.insert(one.name, places(&source, one.name));
        let (block, (table, other)) = one.swap;
        let paths = ["h", table].map(|table| path(&source, one.name, table));
        files.push((paths, block, other));
    }
    source.cluster.stop(StopMode::Fast).expect("it stops");
    for ([table, other], block, taken) in &files {
        put(table, *block, &page(other, *taken));
    }
    source.cluster.resume().expect("it starts");
    for one in &all {
        let (from, to) = (source.conninfo(one.name), target.database(one.name));
        let run = salvaging(&from, &to, &[]).run();
        assert_eq!(run.status, 6, "{major}, {checksums}, {}: {run}", one.name);
        let there: BTreeSet<u32> = places(&target, one.name).into_keys().collect();
        let was = &was[one.name];
        check_names(&run, &was.keys().copied().collect(), &there);
        let (block, _) = one.swap;
        let in_block = format!("({block},");
        let rows = was.values().filter(|place| place.starts_with(&in_block));
        assert!(rows.count() > 30, "{}", one.name);
    }
}

#[test]
fn pages_of_another_table_are_told_by_their_keys() {
    swapped(18, false);
}

#[test]
fn pages_of_another_table_are_told_by_their_keys_on_old_servers_and_with_checksums() {
    swapped(10, false);
    swapped(16, true);
}

/// Single rows: one whose key has become another, where nobody has noted yet that it was committed.
#[test]
fn a_key_that_has_become_another_is_told_of_a_row_that_nobody_has_read() {
    let (Some(mut source), Some(target)) = (start(16, false), Server::start(18)) else {
        return;
    };
    let from = source.database("bent");
    source.psql("bent", TABLES);
    let file = path(&source, "bent", "h");
    source.cluster.stop(StopMode::Fast).expect("it stops");
    let mut bytes = page(&file, 0);
    let item = u32::from_le_bytes(bytes[24..28].try_into().expect("four bytes"));
    let tuple = (item & 0x7fff) as usize;
    assert_eq!(bytes[tuple + 21] & 0x03, 0, "it has been read");
    bytes[tuple + 24..tuple + 28].copy_from_slice(&777_777i32.to_le_bytes());
    put(&file, 0, &bytes);
    source.cluster.resume().expect("it starts");
    let run = salvaging(&from, &target.database("bent"), &[]).run();
    assert_eq!(run.status, 6, "{run}");
    assert_eq!(named(&run).1, BTreeSet::from([1]), "{run}");
}

/// Entries of a leaf that the server has marked as dead.
fn dead_entries(index: &[u8]) -> usize {
    let u16_at = |page: &[u8], at| usize::from(u16::from_le_bytes([page[at], page[at + 1]]));
    let leaves = index.chunks(8192).filter(|page| page[8192 - 4] & 1 == 1);
    let dead = leaves.map(|page| {
        let pointers = page[24..u16_at(page, 12)].chunks(4);
        let flags = pointers.map(|item| u32::from_le_bytes(item.try_into().expect("four")) >> 15);
        flags.filter(|flags| flags & 3 == 3).count()
    });
    dead.sum()
}

/// Whoever is led to a page of zeros by an index has the server mark the entries as dead that led there: they name its rows all the same.
#[test]
fn entries_that_were_marked_as_dead_name_what_is_lost() {
    let case = |name, with_map: bool| Case {
        name,
        damage: Box::new(move |files| {
            files.write("accounts", 3 * PAGE, &[0; 8192]);
            if !with_map {
                files.remove("accounts_vm");
            }
        }),
        expected: Box::new(move |before| Expected {
            status: 6,
            lost: BTreeMap::from([("accounts", before.at("accounts", |(block, _)| block == 3))]),
            // Without its map, nothing tells whether they had been deleted.
            bounded: !with_map,
            ..Expected::default()
        }),
    };
    for major in [10, 18] {
        let cases = [case("with_map", true), case("without_map", false)];
        let Some(mut lab) = Lab::start(major, false, &cases) else {
            return;
        };
        let look = "set enable_seqscan = off; set enable_bitmapscan = off; \
                    select count(name) from accounts where id between 1 and 2000";
        let keys = cases.each_ref().map(|case| {
            lab.source.psql(case.name, look);
            path(&lab.source, case.name, "accounts_pkey")
        });
        lab.source.cluster.stop(StopMode::Fast).expect("it stops");
        let lost = lab.before.at("accounts", |(block, _)| block == 3).len();
        for key in keys {
            let index = fs::read(key).expect("read");
            assert_eq!(dead_entries(&index), lost);
        }
        lab.source.cluster.resume().expect("it starts");
        lab.check(&cases);
    }
}

/// An index that was made anew knows nothing of a page of zeros; but the visibility map knows that there was something in it.
#[test]
fn a_page_of_zeros_is_not_forgotten_with_an_index_that_was_made_anew() {
    let cases = [Case {
        name: "made_anew",
        damage: Box::new(|files| files.write("accounts", 3 * PAGE, &[0; 8192])),
        expected: Box::new(|before| Expected {
            status: 6,
            lost: BTreeMap::from([("accounts", before.at("accounts", |(block, _)| block == 3))]),
            bounded: true,
            ..Expected::default()
        }),
    }];
    let Some(mut lab) = Lab::start(18, false, &cases) else {
        return;
    };
    lab.source.psql("made_anew", "reindex table accounts");
    lab.source.cluster.stop(StopMode::Fast).expect("it stops");
    lab.source.cluster.resume().expect("it starts");
    let run = lab.salvage("made_anew", &[]);
    let blocks = losses(&run)["tables"][0]["lost_blocks"].clone();
    assert_eq!(blocks, serde_json::json!([[3, 4]]), "{run}");
    lab.target.psql("postgres", "drop database made_anew");
    lab.check(&cases);
}

/// The entry of a row that was deleted is there until the next vacuum: that its line pointer is gone does not say that the row was there.
#[test]
fn rows_that_had_been_deleted_are_not_lost_for_certain() {
    let (Some(mut source), Some(target)) = (start(18, false), Server::start(18)) else {
        return;
    };
    let from = source.database("gone");
    source.psql("gone", TABLES);
    source.psql("gone", "delete from h where id % 7 = 0");
    let was: BTreeSet<u32> = places(&source, "gone").into_keys().collect();
    let file = path(&source, "gone", "h");
    source.cluster.stop(StopMode::Fast).expect("it stops");
    let mut bytes = page(&file, 2);
    // The first ten are not in use any more.
    bytes[24..24 + 40].fill(0);
    put(&file, 2, &bytes);
    // Those behind the first six are not there any more.
    let mut bytes = page(&file, 4);
    bytes[12..14].copy_from_slice(&(24u16 + 4 * 6).to_le_bytes());
    put(&file, 4, &bytes);
    source.cluster.resume().expect("it starts");
    let run = salvaging(&from, &target.database("gone"), &[]).run();
    assert_eq!(run.status, 6, "{run}");
    let there: BTreeSet<u32> = places(&target, "gone").into_keys().collect();
    check_names(&run, &was, &there);
    // The first row that was deleted: its page is as it was.
    assert!(!named(&run).1.contains(&7), "{run}");
    let account = losses(&run);
    let rows = &account["tables"][0]["lost_rows"];
    let missing = was.difference(&there).count() as u64;
    assert!(rows["perhaps"].as_u64() >= Some(missing), "{account:#}");
}
