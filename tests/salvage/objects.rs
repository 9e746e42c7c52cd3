//! What else a database is made of: sequences, large objects, materialized views; values that must not be NULL, that hang, or that are
//! there twice; transactions of which nobody knows what became of them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use pgconvoy::pg::cluster::StopMode;
use serde_json::Value;

use crate::lab::{PAGE, losses};
use crate::support::binary::{Finished, Pgconvoy};
use crate::support::server::{Server, newest_tools, record_skip};

const SCHEMA: &str = "
create sequence tickets;
select setval('tickets', 4711);
create sequence sound;
select setval('sound', 7);
create table rows (id int primary key, v text);
insert into rows select i, 'row ' || i from generate_series(1, 1000) i;
create materialized view summed as select id % 10 as digit, count(*) from rows group by 1;
select lo_from_bytea(20000 + i, convert_to((select string_agg(md5(i || '-' || k), '') from generate_series(1, 300) k), 'UTF8'))
  from generate_series(1, 12) i;
create table notes (id int primary key, body text not null, amount numeric not null);
alter table notes alter body set storage external, alter amount set storage external;
insert into notes select i, repeat(md5(i::text), 200), (repeat('12345678', 1200) || i)::numeric from generate_series(1, 9) i;
create table tags (id int primary key, tag text unique, number int);
create unique index tags_number on tags (number);
create unique index tags_half on tags ((number * 2)) where number < 50;
alter table tags add constraint tags_honest check (tag = 'tag ' || id), add constraint tags_sound check (number > 0);
insert into tags select i, 'tag ' || i, i from generate_series(1, 100) i;
create table labels (tag int references tags);
insert into labels select i from generate_series(1, 100) i;
create type slow;
create function slow_in(cstring) returns slow language internal immutable strict as 'float8in';
create function slow_out(slow) returns cstring language internal immutable strict as 'pg_sleep';
create type slow (input = slow_in, output = slow_out, like = float8);
create table waits (id int primary key, s slow);
insert into waits select i, case when i = 7 then '1e6'::slow end from generate_series(1, 20) i;
create table stuck (id int primary key, s slow);
insert into stuck select i, case when i = 7 then '1e6'::slow end from generate_series(1, 20) i;
";

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let file = fs::OpenOptions::new()
        .write(true)
        .open(path)
        .expect("opened");
    file.write_all_at(bytes, at).expect("written");
}

fn start() -> Option<Server> {
    Server::start_with(18, |options| {
        options
            .setting("autovacuum", "off")
            .setting("synchronous_commit", "on")
    })
}

fn path(server: &Server, relation: &str) -> PathBuf {
    let query = format!("select pg_relation_filepath('{relation}')");
    server
        .cluster
        .data_dir()
        .join(server.psql("things", &query))
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
    .env("PGCONVOY_PROBE_TIMEOUT_MS", "800")
    .run()
}

fn table<'a>(account: &'a Value, name: &str) -> &'a Value {
    let tables = account["tables"].as_array().expect("a list");
    let found = tables.iter().find(|table| table["table"]["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is not in {account:#}"))
}

/// The places of the parts of a value of `notes`.
fn parts(server: &Server, column: &str, id: u32) -> Vec<(u64, u64)> {
    let toast = server.psql(
        "things",
        "select reltoastrelid::regclass from pg_class where relname = 'notes'",
    );
    let query = format!(
        "select c.ctid from {toast} c join notes n on pg_column_toast_chunk_id(n.{column}) = c.chunk_id where n.id = {id} order by 1"
    );
    let found = server.psql("things", &query);
    let place = |line: &str| {
        let (block, offset) = line
            .trim_matches(['(', ')'])
            .split_once(',')
            .expect("a place");
        (
            block.parse().expect("a number"),
            offset.parse().expect("a number"),
        )
    };
    found.lines().map(place).collect()
}

fn damage(source: &mut Server) {
    let sequence = path(source, "tickets");
    let matview = path(source, "summed");
    let objects = path(source, "pg_largeobject");
    let tags = path(source, "tags");
    let key = path(source, "stuck_pkey");
    let toast = source.psql(
        "things",
        "select reltoastrelid::regclass from pg_class where relname = 'notes'",
    );
    let toast = path(source, &toast);
    let (body, amount) = (parts(source, "body", 3), parts(source, "amount", 5));
    source.cluster.stop(StopMode::Fast).expect("it stops");
    let noise: Vec<u8> = (0..PAGE)
        .map(|at| (at * 31 % 251).to_le_bytes()[0])
        .collect();
    // Without it, the table is read as a whole or not at all.
    fs::remove_file(key).expect("removed");
    overwrite(&sequence, 0, &noise);
    overwrite(&matview, 0, &noise);
    overwrite(&objects, 2 * PAGE, &noise);
    // Line pointers of two parts: not in use.
    for (block, offset) in [body[1], amount[1]] {
        overwrite(&toast, block * PAGE + 24 + 4 * (offset - 1), &[0; 4]);
    }
    // The sixth tag gets the number of the fifth, and its other number as well: behind `tag 6`, with its length, and padding.
    let bytes = fs::read(&tags).expect("read");
    let item = u32::from_le_bytes(
        bytes[24 + 4 * 5..24 + 4 * 6]
            .try_into()
            .expect("four bytes"),
    );
    let tuple = u64::from(item & 0x7fff) + 24;
    overwrite(&tags, tuple, &5i32.to_le_bytes());
    overwrite(&tags, tuple + 4 + 6 + 2, &5i32.to_le_bytes());
    source.cluster.resume().expect("it starts");
}

#[test]
fn sequences_large_objects_views_and_values() {
    let (Some(mut source), Some(target)) = (start(), Server::start(18)) else {
        return;
    };
    let from = source.database("things");
    source.psql("things", SCHEMA);
    source.psql(
        "things",
        "vacuum (freeze, analyze); vacuum (freeze) pg_largeobject",
    );
    let lost: BTreeSet<String> = source
        .psql(
            "things",
            "select distinct loid from pg_largeobject where ctid >= '(2,0)' and ctid < '(3,0)'",
        )
        .lines()
        .map(str::to_owned)
        .collect();
    let contents = "select string_agg(l.oid || md5(lo_get(l.oid)), ' ' order by l.oid) from pg_largeobject_metadata l";
    let sound = format!(
        "{contents} where l.oid not in ({})",
        lost.iter().cloned().collect::<Vec<_>>().join(",")
    );
    let before = source.psql("things", &sound);
    damage(&mut source);

    let to = target.database("things");
    let run = salvage(&from, &to);
    assert_eq!(run.status, 6, "{run}");
    let account = losses(&run);
    let objects = account["objects"].as_array().expect("a list");
    let of_class = |class: &str| -> BTreeSet<String> {
        let some = objects.iter().filter(|one| one["class"] == class);
        some.map(|one| one["object"].as_str().expect("a name").to_owned())
            .collect()
    };
    assert_eq!(of_class("large object"), lost, "{account:#}\n{run}");
    assert_eq!(
        of_class("sequence"),
        BTreeSet::from(["public.tickets".to_owned()])
    );
    assert_eq!(target.psql("things", contents), before, "{run}");
    assert_eq!(target.psql("things", "select last_value from sound"), "7");
    assert_eq!(
        target.psql("things", "select sum(count) from summed"),
        "1000"
    );
    assert!(
        account["notes"].to_string().contains("public.summed"),
        "{account:#}"
    );

    // What must not be NULL is empty where that is a value of its type; where it is not, the row is lost, by its key.
    let body = target.psql("things", "select id from notes where body = ''");
    assert_eq!(body, "3", "{run}");
    assert_eq!(
        target.psql("things", "select count(*), sum(id) from notes"),
        "8|40"
    );
    let notes = table(&account, "notes");
    assert_eq!(notes["lost_rows"]["certain"], 1, "{notes:#}");
    assert_eq!(notes["lost_columns"][0]["replaced_by"], "''", "{notes:#}");
    let keys = fs::read_to_string(run.path("run/lost/public.notes.csv")).expect("keys");
    assert!(
        keys.lines().nth(1).is_some_and(|line| line.ends_with(",5")),
        "{keys}"
    );

    // A value that hangs is given up in time.
    let waits = table(&account, "waits");
    assert_eq!(
        waits["lost_columns"][0]["cause"]["class"], "timeout",
        "{waits:#}"
    );
    assert_eq!(waits["lost_columns"][0]["key"]["id"], "7", "{waits:#}");
    assert_eq!(
        target.psql("things", "select count(*), count(s) from waits"),
        "20|0"
    );

    // So is a table that is read as a whole, when nothing comes of it any more; but a session with more patience asks again.
    let stuck = table(&account, "stuck");
    let why = stuck["causes"].to_string();
    assert!(why.contains("when nothing arrives for 800ms"), "{stuck:#}");
    assert_eq!(target.psql("things", "select count(*) from stuck"), "0");
    let journal = fs::read_to_string(run.path("run/salvage.journal")).expect("a journal");
    let of_whole = journal.lines().filter(|line| line.contains("\"plain\""));
    let became: Vec<Value> = of_whole
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["what"].clone())
        .collect();
    assert_eq!(became, ["asked", "taken_back"], "{journal}");

    twice(&target, &account, &run);
}

/// A number that is there twice keeps its keys from being made, and the foreign key that needs one; a row that a check forbids keeps it
/// from being validated. All are accounted for.
fn twice(target: &Server, account: &Value, run: &Finished) {
    assert_eq!(
        target.psql("things", "select count(*) from tags where id = 5"),
        "2",
        "{run}"
    );
    let constraints = account["constraints"].as_array().expect("a list");
    let names: BTreeSet<&str> = constraints
        .iter()
        .filter_map(|one| one["constraint"].as_str())
        .collect();
    assert_eq!(
        names,
        BTreeSet::from([
            "tags_number",
            "tags_half",
            "tags_pkey",
            "labels_tag_fkey",
            "tags_honest"
        ]),
        "{account:#}\n{run}"
    );
    let rows = |constraint: &str| {
        let path = run.path(&format!("run/violations/public.tags.{constraint}.csv"));
        let text = fs::read_to_string(path).expect("rows");
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(rows("tags_pkey"), ["id", "5", "5"]);
    assert_eq!(rows("tags_half"), ["id", "5", "5"]);
    assert_eq!(rows("tags_honest"), ["id,tag", "5,tag 6"]);
    let checks = target.psql(
        "things",
        "select conname, convalidated from pg_constraint where conrelid = 'tags'::regclass and contype = 'c' order by 1",
    );
    assert_eq!(checks, "tags_honest|f\ntags_sound|t", "{run}");
}

/// The record of the transactions that wrote some rows is gone: whether they were ever committed nobody knows.
#[test]
fn rows_of_transactions_that_nobody_knows_of() {
    let (Some(mut source), Some(target)) = (start(), Server::start(18)) else {
        return;
    };
    let tool = newest_tools().join("pg_resetwal");
    if !tool.exists() {
        record_skip("pg_resetwal is not installed");
        return;
    }
    let from = source.database("things");
    source.psql("things", "create table t (id int primary key, v text)");
    for database in ["postgres", "template1", "things"] {
        source.psql(database, "vacuum (freeze)");
    }
    source.psql(
        "things",
        "insert into t select i, 'old ' || i from generate_series(1, 50) i",
    );
    source.cluster.stop(StopMode::Fast).expect("it stops");
    let record = source.cluster.data_dir().join("pg_xact");
    let owner = fs::metadata(&record).expect("it is there");
    // The next transaction is the first of another file.
    let reset = Command::new(&tool)
        .args(["-x", "1048676", "-D"])
        .arg(source.cluster.data_dir())
        .uid(owner.uid())
        .gid(owner.gid())
        .output()
        .expect("it runs");
    assert!(
        reset.status.success(),
        "{}",
        String::from_utf8_lossy(&reset.stderr)
    );
    fs::write(record.join("0001"), vec![0; 262_144]).expect("written");
    std::os::unix::fs::chown(record.join("0001"), Some(owner.uid()), Some(owner.gid()))
        .expect("given");
    source.cluster.resume().expect("it starts");
    source.psql(
        "things",
        "insert into t select i, 'new ' || i from generate_series(51, 80) i",
    );
    source.cluster.stop(StopMode::Fast).expect("it stops");
    fs::remove_file(record.join("0000")).expect("removed");
    source.cluster.resume().expect("it starts");

    let to = target.database("things");
    let run = salvage(&from, &to);
    assert_eq!(run.status, 6, "{run}");
    assert_eq!(
        target.psql("things", "select count(*), min(id) from t"),
        "30|51",
        "{run}"
    );
    let account = losses(&run);
    let lost = &table(&account, "t")["lost_rows"];
    let at_most = lost["certain"]
        .as_u64()
        .zip(lost["perhaps"].as_u64())
        .map(|(a, b)| a + b);
    assert_eq!(at_most, Some(50), "{account:#}");
    let keys = fs::read_to_string(run.path("run/lost/public.t.csv")).expect("keys");
    let mut ids: Vec<u32> = keys
        .lines()
        .skip(1)
        .filter_map(|line| line.split(',').nth(3)?.parse().ok())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=50).collect::<Vec<u32>>(), "{keys}");
}

/// The record of the transactions that wrote some rows is zeros: the server takes them all for such that never committed, and says so in the
/// rows as soon as it reads them.
#[test]
fn rows_of_transactions_whose_record_was_overwritten() {
    let (Some(mut source), Some(target)) = (start(), Server::start(18)) else {
        return;
    };
    let from = source.database("things");
    source.psql(
        "things",
        "create table t (id int primary key, v text); create table kept (id int); insert into kept select generate_series(1, 9)",
    );
    for database in ["postgres", "template1", "things"] {
        source.psql(database, "vacuum (freeze)");
    }
    let survey = |source: &str| Pgconvoy::new(["salvage", "--survey", "--source", source]).run();
    source.psql("postgres", "checkpoint");
    let sound = survey(&from);
    assert_eq!(sound.status, 0, "{sound}");
    source.psql(
        "things",
        "insert into t select i, 'row ' || i from generate_series(1, 50) i",
    );
    source.psql("things", "delete from kept where id <= 3");
    source.cluster.stop(StopMode::Fast).expect("it stops");
    let record = source.cluster.data_dir().join("pg_xact/0000");
    overwrite(&record, 0, &[0; 8192]);
    source.cluster.resume().expect("it starts");

    // What the server has noted while it was looked at is on disk by the time that it is looked at once more.
    let looked = survey(&from);
    assert_eq!(looked.status, 6, "{looked}");
    source.cluster.stop(StopMode::Fast).expect("it stops");
    source.cluster.resume().expect("it starts");
    let run = salvage(&from, &target.database("things"));
    assert_eq!(run.status, 6, "{run}");
    let there = "select (select count(*) from t), (select count(*) from kept)";
    assert_eq!(target.psql("things", there), "0|9", "{run}");
    let account = losses(&run);
    let objects = account["objects"].as_array().expect("a list");
    let records = objects
        .iter()
        .filter(|one| one["class"] == "record of transactions");
    assert_eq!(records.count(), 1, "{account:#}");
    assert!(run.stderr.contains("may be there again"), "{run}");
    let lost = &table(&account, "t")["lost_rows"];
    assert_eq!(
        (lost["certain"].as_u64(), lost["perhaps"].as_u64()),
        (Some(0), Some(50)),
        "{account:#}"
    );
    let keys = fs::read_to_string(run.path("run/lost/public.t.csv")).expect("keys");
    let ids: BTreeSet<u32> = keys
        .lines()
        .skip(1)
        .filter_map(|line| line.split(',').nth(3)?.parse().ok())
        .collect();
    assert_eq!(ids, (1..=50).collect(), "{keys}");
}

/// A crash ends a transaction that was at work, and with it all its savepoints, of which each had a number of its own.
#[test]
fn savepoints_that_a_crash_has_ended_are_no_damage() {
    let Some(mut source) = start() else {
        return;
    };
    let from = source.database("things");
    source.psql(
        "things",
        "create table t (id int primary key); create table log (id int); insert into t values (0); insert into log values (0)",
    );
    let load = "do $$ begin for i in 1..300 loop \
                begin insert into t values (i); insert into log values (i); exception when division_by_zero then null; end; \
                end loop; perform pg_sleep(120); end $$";
    let mut loading = source
        .tool("psql")
        .args(["-X", "-d", &from, "-c", load])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("psql starts");
    let began = Instant::now();
    let is_there = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";
    while source.psql("postgres", is_there) != "1" {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "it does not load"
        );
        sleep(Duration::from_millis(50));
    }
    source.psql("things", "insert into log values (-1)");
    source.psql("postgres", "checkpoint");
    let stopped = source.cluster.stop(StopMode::Immediate);
    let _ = loading.kill();
    let _ = loading.wait();
    stopped.expect("it stops");
    source.cluster.resume().expect("it recovers");
    let count = "select (select count(*) from t), (select count(*) from log)";
    assert_eq!(source.psql("things", count), "1|2");
    source.cluster.stop(StopMode::Fast).expect("it stops");
    source.cluster.resume().expect("it starts");

    let survey = Pgconvoy::new(["salvage", "--survey", "--source", &from]).run();
    assert_eq!(survey.status, 0, "{survey}");
    assert!(survey.stdout.contains("no damage was found"), "{survey}");
}
