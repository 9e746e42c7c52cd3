//! Damaged values: what is out of line and cannot be read becomes NULL, and the row arrives without it; what a row says of
//! transactions is no reason to lose it, unless the server does not show it.

use std::collections::{BTreeMap, BTreeSet};

use pgconvoy::pg::cluster::{ClusterOptions, StopMode};
use serde_json::json;

use crate::lab::{Case, Expected, Lab, PAGE, loses_bodies, losses};
use crate::support::binary::{Finished, Pgconvoy};
use crate::support::server::Server;

fn toast() -> Vec<Case> {
    vec![
        loses_bodies(
            "part_zeros",
            |files| files.write("posts toast", 2 * PAGE, &[0; 8192]),
            |(block, _)| block == 2,
        ),
        loses_bodies(
            "part_random",
            |files| files.scramble("posts toast", 7),
            |(block, _)| block == 7,
        ),
        loses_bodies(
            "part_unused",
            |files| {
                let (pointer, _) = files.tuple("posts toast", (3, 2));
                files.write("posts toast", pointer, &[0; 4]);
            },
            |place| place == (3, 2),
        ),
        // Its number is that of the part before: there are two of one, and none of the other.
        loses_bodies(
            "part_doubled",
            |files| {
                let (_, before) = files.tuple("posts toast", (3, 1));
                let (_, tuple) = files.tuple("posts toast", (3, 2));
                let number = files.read("posts toast", before + 28, 4);
                files.write("posts toast", tuple + 28, &number);
            },
            |place| place == (3, 2),
        ),
        loses_bodies(
            "toast_cut",
            |files| files.truncate("posts toast", 20 * PAGE),
            |(block, _)| block >= 20,
        ),
        loses_bodies(
            "toast_missing",
            |files| files.remove("posts toast"),
            |_| true,
        ),
        loses_bodies(
            "toast_index",
            |files| files.scramble("posts toast index", 0),
            |_| true,
        ),
        // The page says of a row that it was deleted, and the map that there are none such.
        Case {
            name: "infomask",
            damage: Box::new(|files| {
                let (_, tuple) = files.tuple("accounts", (5, 4));
                let page = 5 * PAGE;
                let flags = files.read("accounts", page + 10, 1)[0];
                files.write("accounts", page + 10, &[flags & !4]);
                files.write("accounts", tuple + 4, &3u32.to_le_bytes());
                let mask = files.read("accounts", tuple + 21, 1)[0];
                files.write("accounts", tuple + 21, &[mask & !0x08 | 0x04]);
            }),
            expected: Box::new(|before| Expected {
                status: 6,
                lost: BTreeMap::from([(
                    "accounts",
                    before.at("accounts", |place| place == (5, 4)),
                )]),
                bounded: true,
                ..Expected::default()
            }),
        },
        Case {
            name: "not_text",
            damage: Box::new(|files| {
                // 24 bytes of header, an id, `name 1` with its length, the length of the bio, and two of its letters.
                let (_, tuple) = files.tuple("accounts", (0, 1));
                files.write("accounts", tuple + 24 + 4 + 7 + 1 + 2, &[0xff]);
            }),
            expected: Box::new(|_| Expected {
                status: 6,
                columns: BTreeSet::from([("accounts", "1".to_owned(), "bio")]),
                ..Expected::default()
            }),
        },
    ]
}

#[test]
fn values_out_of_line() {
    let cases = toast();
    let Some(mut lab) = Lab::start(18, false, &cases) else {
        return;
    };
    lab.check(&cases);
}

/// Where only the index is damaged that leads to long values, they are lost to a server, but not from its files: the account says how a copy
/// gets them back, and that is so.
#[test]
fn values_that_are_lost_with_their_index_come_back_with_a_new_one() {
    let cases: Vec<Case> = toast()
        .into_iter()
        .filter(|case| matches!(case.name, "toast_index" | "part_zeros"))
        .collect();
    let Some(lab) = Lab::start(18, false, &cases) else {
        return;
    };
    let run = lab.salvage("part_zeros", &[]);
    assert_eq!(run.status, 6, "{run}");
    assert_eq!(losses(&run)["tables"][0]["notes"], json!([]), "{run}");

    let run = lab.salvage("toast_index", &[]);
    assert_eq!(run.status, 6, "{run}");
    let account = losses(&run);
    let note = account["tables"][0]["notes"][0].as_str();
    let note = note.unwrap_or_else(|| panic!("{account:#}"));
    assert!(run.stderr.contains(note), "{run}");
    let (_, remedy) = note.split_once("REINDEX TABLE ").expect("a remedy");
    let (table, _) = remedy.split_once(" lets").expect("its name");
    lab.source
        .psql("toast_index", &format!("reindex table {table}"));
    lab.source.psql("toast_index", "checkpoint");
    lab.target.psql("postgres", "drop database toast_index");
    let run = lab.salvage("toast_index", &[]);
    lab.check_case(
        "toast_index",
        (&run, &run.path("run")),
        &Expected::default(),
    );
}

/// An entry of the index of TOAST has got the number of another value, and leads to a page that is gone: that other value can be read all the
/// same, and is not taken for lost.
#[test]
fn a_value_is_not_lost_with_an_entry_that_only_has_its_number() {
    let cases = [Case {
        name: "other_number",
        damage: Box::new(|files| {
            let (_, part) = files.tuple("posts toast", (15, 1));
            let number = files.read("posts toast", part + 24, 4);
            let leads_to = |entry: u64| {
                let place = files.read("posts toast index", entry, 4);
                u64::from(u16::from_le_bytes([place[2], place[3]]))
            };
            let entries = (2..300).map(|offset| files.tuple("posts toast index", (1, offset)).1);
            let mut entries = entries.filter(|entry| leads_to(*entry) == 30);
            let entry = entries.next().expect("a part is there");
            files.write("posts toast index", entry + 8, &number);
            for block in [2, 30] {
                files.write("posts toast", block * PAGE, &[0; 8192]);
            }
        }),
        expected: Box::new(|_| Expected::default()),
    }];
    let Some(lab) = Lab::start(18, false, &cases) else {
        return;
    };
    let run = lab.salvage("other_number", &[]);
    assert_eq!(run.status, 6, "{run}");
    let account = losses(&run);
    let columns = account["tables"][0]["lost_columns"].as_array();
    let lost: BTreeSet<String> = columns
        .expect("a list")
        .iter()
        .filter_map(|column| Some(column["key"]["id"].as_str()?.to_owned()))
        .collect();
    let gone = lab
        .before
        .toasted_at(|(block, _)| block == 2 || block == 30);
    assert!(gone.is_subset(&lost), "{gone:?}: {account:#}\n{run}");
    let kept = lab.before.toasted_at(|place| place == (15, 1));
    assert_eq!(kept.len(), 1);
    assert!(kept.is_disjoint(&lost), "{kept:?}: {account:#}\n{run}");
}

fn shop(schema: &str) -> Option<(Server, String)> {
    let source = Server::start_with(18, |options| {
        options
            .setting("autovacuum", "off")
            .setting("synchronous_commit", "on")
    })?;
    let conninfo = source.database("shop");
    source.psql("shop", schema);
    Some((source, conninfo))
}

fn salvage(source: &str, target: &str) -> Finished {
    Pgconvoy::new([
        "salvage",
        "--source",
        source,
        "--target",
        target,
        "--run-dir",
        "run",
    ])
    .run()
}

/// A version that took another's place is gone, or a row says that it never was, although the record says otherwise. The server takes
/// such rows for deleted, without an error.
#[test]
fn rows_that_contradict_themselves_are_lost_and_not_deleted() {
    let schema = "create table t (id int primary key, v text); \
                  create table bare (id int, v text); \
                  create table keyless (id int primary key, v text); \
                  insert into keyless select i, 'v' || i from generate_series(1, 100) i; \
                  delete from keyless where id = 50; \
                  insert into t select i, 'v' || i from generate_series(1, 100) i; \
                  insert into bare select i, 'v' || i from generate_series(1, 100) i; \
                  update t set v = 'new' where id in (10, 20); \
                  delete from bare where id = 50";
    let (Some((mut source, from)), Some(target)) = (shop(schema), Server::start(18)) else {
        return;
    };
    let path = |relation: &str| {
        let query = format!("select pg_relation_filepath('{relation}')");
        let path = source.psql("shop", &query);
        source.cluster.data_dir().join(path)
    };
    let (table, bare) = (path("t"), path("bare"));
    let (keyless, key) = (path("keyless"), path("keyless_pkey"));
    source.cluster.stop(StopMode::Fast).expect("it stops");
    let tuple = |bytes: &[u8], offset: usize| {
        let at = 24 + 4 * (offset - 1);
        let item = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        (item & 0x7fff) as usize
    };
    let mut bytes = std::fs::read(&table).expect("read");
    // The new version of the tenth row is at line pointer 101; the thirtieth came to nothing.
    bytes[24 + 4 * 100..24 + 4 * 101].fill(0);
    let at = tuple(&bytes, 30);
    bytes[at + 21] = bytes[at + 21] & !0x01 | 0x02;
    std::fs::write(&table, bytes).expect("written");
    for path in [&bare, &keyless] {
        let mut bytes = std::fs::read(path).expect("read");
        let at = tuple(&bytes, 40);
        bytes[at + 21] = bytes[at + 21] & !0x01 | 0x02;
        std::fs::write(path, bytes).expect("written");
    }
    std::fs::remove_file(key).expect("removed");
    source.cluster.resume().expect("it starts");

    let to = target.database("shop");
    let run = salvage(&from, &to);
    assert_eq!(run.status, 6, "{run}");
    let missing = "select string_agg(i::text, ' ' order by i) from generate_series(1, 100) i where not exists (select from t where id = i)";
    assert_eq!(target.psql("shop", missing), "10 30", "{run}");
    let account = losses(&run);
    let tables = account["tables"].as_array().expect("a list");
    let rows_of = |name: &str| {
        let table = tables.iter().find(|table| table["table"]["name"] == name);
        let rows = &table.unwrap_or_else(|| panic!("{name}: {account:#}"))["lost_rows"];
        (rows["certain"].as_u64(), rows["perhaps"].as_u64())
    };
    // Whether the new version was deleted in its turn nobody knows.
    assert_eq!(rows_of("t"), (Some(1), Some(1)), "{account:#}");
    assert_eq!(rows_of("bare"), (Some(1), Some(0)), "{account:#}");
    // No query can be planned of it: it is read as a whole, and how many rows there must be is all that is known.
    assert_eq!(rows_of("keyless"), (Some(1), Some(0)), "{account:#}");
    let keys = std::fs::read_to_string(run.path("run/lost/public.t.csv")).expect("keys");
    let keys: Vec<&str> = keys.lines().skip(1).collect();
    assert_eq!(keys, ["0,10,perhaps,10", "0,30,certain,30"]);
}

/// A long value comes piece by piece, and is looked at to its end: the target would refuse it.
#[test]
fn a_long_value_is_text_to_its_end_or_none() {
    let schema = "create table t (id int primary key, v text); alter table t alter v set storage external; \
                  insert into t select i, repeat('a', 3000000) from generate_series(1, 2) i; vacuum (freeze) t";
    let (Some((mut source, from)), Some(target)) = (shop(schema), Server::start(18)) else {
        return;
    };
    let path = source.psql(
        "shop",
        "select pg_relation_filepath(reltoastrelid) from pg_class where relname = 't'",
    );
    source.cluster.stop(StopMode::Fast).expect("it stops");
    let path = source.cluster.data_dir().join(path);
    let mut bytes = std::fs::read(&path).expect("read");
    // In the midst of a part of the first value, near its end.
    bytes[360 * 8192 + 5000] = 0xff;
    std::fs::write(&path, bytes).expect("written");
    source.cluster.resume().expect("it starts");
    let to = target.database("shop");
    let run = salvage(&from, &to);
    assert_eq!(run.status, 6, "{run}");
    let there = target.psql("shop", "select id, length(v) from t order by id");
    assert_eq!(there, "1|\n2|3000000", "{run}");
}

/// Whatever a server shows, the target has to take it: a day beyond all calendars, an hour of no day, a network of more bits than there are,
/// an object without an end.
#[test]
fn what_nobody_takes_back_is_no_value() {
    let schema = "create table t (id int primary key, d date, i inet, j json, h time); \
                  insert into t select i, date '2020-01-01' + i, '10.0.0.1', '{\"a\": 1}', time '12:00' from generate_series(1, 9) i; \
                  vacuum (freeze) t";
    let (Some((mut source, from)), Some(target)) = (shop(schema), Server::start(18)) else {
        return;
    };
    let path = source.psql("shop", "select pg_relation_filepath('t')");
    source.cluster.stop(StopMode::Fast).expect("it stops");
    let path = source.cluster.data_dir().join(path);
    let mut bytes = std::fs::read(&path).expect("read");
    let tuple = |offset: usize| 8192 - 56 * offset + 24;
    // The id, the day, the address with its header of one byte (family, bits, four bytes), the object with its header, padding, the time.
    let (day, bits, brace, time) = (4, 8 + 1 + 1, 15 + 1 + 7, 24);
    bytes[tuple(2) + day..tuple(2) + day + 4].copy_from_slice(&i32::to_le_bytes(-2_000_000_000));
    bytes[tuple(3) + bits] = 99;
    bytes[tuple(4) + brace] = b'?';
    bytes[tuple(5) + time..tuple(5) + time + 8].copy_from_slice(&i64::MAX.to_le_bytes());
    std::fs::write(&path, bytes).expect("written");
    source.cluster.resume().expect("it starts");
    let to = target.database("shop");
    let run = salvage(&from, &to);
    assert_eq!(run.status, 6, "{run}");
    let missing = "select string_agg(id::text || case when d is null then 'd' else '' end || case when i is null then 'i' else '' end \
                   || case when j is null then 'j' else '' end || case when h is null then 'h' else '' end, ' ' order by id) \
                   from t where d is null or i is null or j is null or h is null";
    assert_eq!(target.psql("shop", missing), "2d 3i 4j 5h", "{run}");
    assert_eq!(target.psql("shop", "select count(*) from t"), "9");
}

/// A check is set aside while rows come that may violate it: not those of a table all of whose pages have the checksums that they should.
#[test]
fn checks_of_tables_that_are_proven_sound_stay_where_they_are() {
    let options = |options: ClusterOptions| {
        ClusterOptions {
            data_checksums: true,
            ..options
        }
        .setting("autovacuum", "off")
        .setting("synchronous_commit", "on")
    };
    let (Some(mut source), Some(target)) = (Server::start_with(18, options), Server::start(18))
    else {
        return;
    };
    let from = source.database("shop");
    source.psql(
        "shop",
        "create table hurt (id int primary key constraint hurt_check check (id > 0)); \
         create table sound (id int primary key constraint sound_check check (id > 0)); \
         insert into hurt select generate_series(1, 1000); insert into sound select generate_series(1, 1000); vacuum (freeze)",
    );
    let path = source.psql("shop", "select pg_relation_filepath('hurt')");
    source.cluster.stop(StopMode::Fast).expect("it stops");
    let path = source.cluster.data_dir().join(path);
    let mut bytes = std::fs::read(&path).expect("read");
    bytes[8192 + 8000] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    source.cluster.resume().expect("it starts");
    let to = target.database("shop");
    let run = salvage(&from, &to);
    assert_eq!(run.status, 6, "{run}");
    let plan = std::fs::read_to_string(run.path("run/plan.json")).expect("a plan");
    assert!(plan.contains("check hurt_check of"), "{run}");
    assert!(!plan.contains("check sound_check of"), "{run}");
    let checks = "select string_agg(conname::text || convalidated::text, ' ' order by conname) from pg_constraint where contype = 'c' and connamespace = 'public'::regnamespace";
    assert_eq!(
        target.psql("shop", checks),
        "hurt_checktrue sound_checktrue"
    );
}

/// Several transactions have had their hands on a row that is gone: one has locked it, and another has made it another row. That is no
/// damage, and neither is what was aborted.
#[test]
fn what_several_transactions_have_changed_is_not_lost() {
    let schema = "create table t (id int primary key, v text); \
                  insert into t select i, 'v' || i from generate_series(1, 100) i; \
                  begin; select from t where id = 5 for key share; savepoint s; \
                  update t set id = 105 where id = 5; release s; commit; \
                  begin; select from t where id = 6 for share; savepoint s; delete from t where id = 6; commit; \
                  begin; insert into t values (200, 'never'); update t set v = 'nor' where id = 200; rollback; checkpoint";
    let (Some((source, from)), Some(target)) = (shop(schema), Server::start(18)) else {
        return;
    };
    let to = target.database("shop");
    let run = salvage(&from, &to);
    assert_eq!(run.status, 0, "{run}");
    assert_eq!(target.psql("shop", "select count(*) from t"), "99");
    assert_eq!(losses(&run)["cold"], true, "{run}");

    // What was deleted since the files were written is in the files still: then nothing is certain.
    source.psql("shop", "delete from t where id < 4");
    let run = Pgconvoy::new(["salvage", "--survey", "--source", &from, "--run-dir", "run"]).run();
    assert!(run.stderr.contains("not everything written to it"), "{run}");
    let account = losses(&run);
    assert_eq!(account["cold"], false, "{account:#}");
    for table in account["tables"].as_array().expect("a list") {
        assert_eq!(table["lost_rows"]["certain"], 0, "{account:#}");
    }
}

/// Rows whose inserting transaction has been made one that is yet to come are not shown, and there is no error. They are found by the
/// index, and told from rows that were deleted, of which the index knows as well.
#[test]
fn rows_of_transactions_to_come_are_told_from_deleted_ones() {
    let options = |options: ClusterOptions| {
        options
            .setting("autovacuum", "off")
            .setting("synchronous_commit", "on")
    };
    let (Some(mut source), Some(target)) = (Server::start_with(18, options), Server::start(18))
    else {
        return;
    };
    let conninfo = source.database("shop");
    source.psql(
        "shop",
        "create table t (id int primary key, v text); insert into t select i, 'v' || i from generate_series(1, 500) i",
    );
    source.psql("shop", "delete from t where id between 100 and 119");
    source.psql(
        "shop",
        "update t set v = 'new' where id between 200 and 229",
    );
    source.psql(
        "shop",
        "begin; insert into t values (9000, 'never'); rollback",
    );
    let path = source.psql("shop", "select pg_relation_filepath('t')");
    source.cluster.stop(StopMode::Fast).expect("it stops");
    let file = source.cluster.data_dir().join(path);
    let mut bytes = std::fs::read(&file).expect("read");
    // The tuples of ids 7 and 8: line pointers 7 and 8 of the first page.
    for offset in [7usize, 8] {
        let at = 24 + 4 * (offset - 1);
        let item = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let tuple = (item & 0x7fff) as usize;
        bytes[tuple..tuple + 4].copy_from_slice(&2_000_000_000u32.to_le_bytes());
        // No hint that it has committed.
        bytes[tuple + 21] &= !0x03;
    }
    std::fs::write(&file, bytes).expect("written");
    source.cluster.resume().expect("it starts");
    let to = target.database("shop");
    let run = salvage(&conninfo, &to);
    assert_eq!(run.status, 6, "{run}");
    let there = target.psql(
        "shop",
        "select count(*), min(v) filter (where id = 210) from t",
    );
    assert_eq!(there, "478|new", "{run}");
    let account = losses(&run);
    // The server may also say that it does not know the transaction: then the rows cannot be read.
    let table = &account["tables"][0];
    let lost = table["lost_rows"]["certain"].as_u64().unwrap_or(0)
        + table["lost_rows"]["perhaps"].as_u64().unwrap_or(0);
    assert_eq!(lost, 2, "{account:#}\n{run}");
    assert_eq!(table["key"], json!(["id"]));
    let keys = std::fs::read_to_string(run.path("run/lost/public.t.csv")).expect("keys");
    let ids: Vec<&str> = keys
        .lines()
        .skip(1)
        .filter_map(|line| line.split(',').nth(3))
        .collect();
    assert_eq!(ids, ["7", "8"], "{keys}");
}
