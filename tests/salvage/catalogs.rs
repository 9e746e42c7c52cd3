//! Damaged catalogs: their indexes, which are done without; and definitions that cannot be read, which come from elsewhere.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::Path;

use pgconvoy::pg::cluster::StopMode;

use crate::lab::{PAGE, losses};
use crate::support::binary::{Finished, Pgconvoy};
use crate::support::server::{Server, newest_tools};

const SCHEMA: &str = "
create function orphan(int) returns int language sql immutable as 'select $1';
create function twice(int) returns int language sql immutable as 'select $1 * 2';
create table things (id int primary key, name varchar(20) not null, at timestamp(3) with time zone, n numeric(10,2)[]);
insert into things select i, 'thing ' || i, now(), array[i] from generate_series(1, 500) i;
create table parts (thing int references things, part text default 'p' || twice(1));
insert into parts select i, 'part' from generate_series(1, 500) i;
create view named as select twice(id), name from things;
";

fn scramble(path: &Path) {
    let file = fs::OpenOptions::new()
        .write(true)
        .open(path)
        .expect("opened");
    let length = file.metadata().expect("a length").len();
    let noise: Vec<u8> = (0..length)
        .map(|at| (at * 7919 % 251).to_le_bytes()[0])
        .collect();
    file.write_all_at(&noise, 0).expect("written");
}

fn salvage(source: &str, target: &str, more: &[&str]) -> Finished {
    let fixed = [
        "salvage",
        "--source",
        source,
        "--target",
        target,
        "--run-dir",
        "run",
    ];
    Pgconvoy::new(fixed.iter().chain(more)).run()
}

/// A server with the database `sound`, and others made from it.
fn source(databases: &[&str]) -> Option<Server> {
    let options = |options: pgconvoy::pg::cluster::ClusterOptions| {
        options
            .setting("autovacuum", "off")
            .setting("synchronous_commit", "on")
    };
    let source = Server::start_with(18, options)?;
    source.database("sound");
    source.psql("sound", SCHEMA);
    source.psql("sound", "vacuum (freeze, analyze)");
    for database in databases {
        source.psql(
            "postgres",
            &format!("create database {database} template sound"),
        );
    }
    Some(source)
}

fn assert_all_there(target: &Server, database: &str, run: &Finished) {
    let query = "select (select count(*) from things), (select count(*) from parts), (select sum(twice) from named)";
    assert_eq!(target.psql(database, query), "500|500|250500", "{run}");
}

#[test]
fn catalogs_are_read_without_their_indexes() {
    let (Some(mut source), Some(target)) = (source(&["no_procs", "no_columns"]), Server::start(18))
    else {
        return;
    };
    let path = |database: &str, relation: &str| {
        let query = format!("select pg_relation_filepath('{relation}')");
        source
            .cluster
            .data_dir()
            .join(source.psql(database, &query))
    };
    let procs = path("no_procs", "pg_proc_oid_index");
    let columns = path("no_columns", "pg_attribute_relid_attnum_index");
    source.cluster.stop(StopMode::Fast).expect("it stops");
    scramble(&procs);
    scramble(&columns);
    source.cluster.resume().expect("it starts");

    let (from, to) = (source.conninfo("no_procs"), target.database("no_procs"));
    let run = salvage(&from, &to, &[]);
    assert_eq!(run.status, 0, "{run}");
    assert_all_there(&target, "no_procs", &run);
    let notes = losses(&run)["notes"].to_string();
    assert!(notes.contains("indexes of the catalog"), "{notes}");

    // Where no session can begin, the server has to be told; and is told how.
    let (from, to) = (source.conninfo("no_columns"), target.database("no_columns"));
    let run = salvage(&from, &to, &[]);
    assert_eq!(run.status, 2, "{run}");
    assert!(run.stderr.contains("ignore_system_indexes = on"), "{run}");
    source.cluster.stop(StopMode::Fast).expect("it stops");
    let settings = source.cluster.data_dir().join("postgresql.conf");
    let mut settings = fs::OpenOptions::new()
        .append(true)
        .open(settings)
        .expect("opened");
    settings
        .write_all(b"\nignore_system_indexes = on\n")
        .expect("written");
    source.cluster.resume().expect("it starts");
    let run = salvage(&from, &to, &[]);
    assert_eq!(run.status, 0, "{run}");
    assert_all_there(&target, "no_columns", &run);
}

/// A function is gone from the catalog, and a view and a default use it: these are left out, and everything else arrives.
fn what_cannot_be_described_is_left_out(source: &Server, target: &Server) {
    source.psql(
        "gone",
        "set allow_system_table_mods = on; delete from pg_proc where proname = 'twice'",
    );
    let (from, to) = (source.conninfo("gone"), target.database("gone"));
    let run = salvage(&from, &to, &[]);
    assert_eq!(run.status, 6, "{run}");
    let account = losses(&run);
    let objects = account["objects"].as_array().expect("a list");
    let mut names: Vec<&str> = objects
        .iter()
        .filter_map(|one| one["object"].as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["public.named", "public.parts"], "{account:#}");
    let why = objects[0]["cause"]["message"].as_str().expect("why");
    assert!(why.contains("cache lookup failed for function"), "{why}");
    assert_eq!(target.psql("gone", "select count(*) from things"), "500");
    assert_eq!(target.psql("gone", "select to_regclass('parts')"), "");
}

/// A page of the catalog that is gone is no error: what its rows described is missing from everything that is read of it, on both sides.
#[test]
fn what_is_missing_from_the_catalog_is_missed() {
    let (Some(mut source), Some(target)) = (source(&["unseen", "objectless"]), Server::start(18))
    else {
        return;
    };
    source.psql(
        "objectless",
        "select lo_from_bytea(20000 + i, 'large') from generate_series(1, 9) i; vacuum (freeze) pg_largeobject_metadata",
    );
    let path = |database: &str, relation: &str| {
        let query = format!("select pg_relation_filepath('{relation}')");
        source
            .cluster
            .data_dir()
            .join(source.psql(database, &query))
    };
    let (classes, objects) = (
        path("unseen", "pg_class"),
        path("objectless", "pg_largeobject_metadata"),
    );
    let place = source.psql(
        "unseen",
        "select ctid, oid from pg_class where relname = 'parts'",
    );
    let (place, oid) = place.split_once('|').expect("two columns");
    let (block, offset) = place
        .trim_matches(['(', ')'])
        .split_once(',')
        .expect("a place");
    let number = |text: &str| text.parse::<u64>().expect("a number");
    let pointer = number(block) * PAGE + 24 + 4 * (number(offset) - 1);
    source.cluster.stop(StopMode::Fast).expect("it stops");
    let overwrite = |path: &Path, at: u64, bytes: &[u8]| {
        let file = fs::OpenOptions::new().write(true).open(path);
        file.and_then(|file| file.write_all_at(bytes, at))
            .expect("written");
    };
    overwrite(&classes, pointer, &[0; 4]);
    overwrite(&objects, 0, &[0; 8192]);
    source.cluster.resume().expect("it starts");

    let lost_of = |run: &Finished| {
        assert_eq!(run.status, 6, "{run}");
        let account = losses(run);
        let objects = account["objects"].as_array().expect("a list").clone();
        assert_eq!(objects.len(), 1, "{account:#}");
        assert_eq!(objects[0]["class"], "catalog", "{account:#}");
        objects[0].clone()
    };
    let (from, to) = (source.conninfo("unseen"), target.database("unseen"));
    let run = salvage(&from, &to, &[]);
    let lost = lost_of(&run);
    assert_eq!(lost["object"], "pg_catalog.pg_class", "{lost:#}");
    assert!(
        lost["what"]
            .as_str()
            .is_some_and(|what| what.starts_with("lost: 1 row")),
        "{lost:#}"
    );
    let keys = fs::read_to_string(run.path("run/lost/pg_catalog.pg_class.csv")).expect("keys");
    assert!(
        keys.lines().any(|line| line.ends_with(&format!(",{oid}"))),
        "{keys}"
    );
    assert_eq!(target.psql("unseen", "select count(*) from things"), "500");
    assert_eq!(target.psql("unseen", "select to_regclass('parts')"), "");
    assert!(run.stderr.contains("nothing else tells of it"), "{run}");

    let (from, to) = (source.conninfo("objectless"), target.database("objectless"));
    let lost = lost_of(&salvage(&from, &to, &[]));
    assert_eq!(
        lost["object"], "pg_catalog.pg_largeobject_metadata",
        "{lost:#}"
    );
    assert!(
        lost["what"]
            .as_str()
            .is_some_and(|what| what.starts_with("lost: 9 rows")),
        "{lost:#}"
    );
}

/// A `pg_dump` that fails whatever is left out, after it has succeeded once.
#[test]
fn a_search_for_what_cannot_be_described_comes_to_an_end() {
    let (Some(source), Some(target)) = (source(&[]), Server::start(18)) else {
        return;
    };
    let dir = tempfile::tempdir().expect("a directory");
    let real = newest_tools();
    let (script, marker) = (dir.path().join("pg_dump"), dir.path().join("once"));
    let text = format!(
        "#!/bin/sh\ncase \"$*\" in\n*--version*) exec {0}/pg_dump --version ;;\n\
         *--exclude-table=*) [ -e {1} ] || {{ : > {1}; exec {0}/pg_dump \"$@\"; }} ;;\nesac\n\
         echo 'pg_dump: error: query failed: ERROR:  something else' >&2\nexit 1\n",
        real.display(),
        marker.display()
    );
    fs::write(&script, text).expect("written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it may be run");
    let (from, to) = (source.conninfo("sound"), target.database("never"));
    let run = Pgconvoy::new(["salvage", "--source", &from, "--target", &to])
        .env("PGCONVOY_PG_BIN", dir.path())
        .run();
    assert_eq!(run.status, 1, "{run}");
    assert!(run.stderr.contains("something else"), "{run}");
    assert!(marker.exists(), "{run}");
}

/// A type is gone that a function takes: that is not left out, and the definitions come from elsewhere.
#[test]
fn definitions_that_cannot_be_read_come_from_elsewhere() {
    let (Some(source), Some(target)) = (source(&["gone", "broken", "other"]), Server::start(18))
    else {
        return;
    };
    what_cannot_be_described_is_left_out(&source, &target);
    source.psql(
        "broken",
        "set allow_system_table_mods = on; update pg_proc set proargtypes = '99999' where proname = 'orphan'",
    );
    source.psql("postgres", "checkpoint");
    source.psql(
        "other",
        "drop view named; alter table things alter id type bigint",
    );
    let (from, to) = (source.conninfo("broken"), target.database("broken"));
    let run = salvage(&from, &to, &[]);
    assert_eq!(run.status, 1, "{run}");
    assert!(
        run.stderr.contains("cache lookup failed for type 99999"),
        "{run}"
    );
    assert!(run.stderr.contains("--schema-from"), "{run}");

    let survey = Pgconvoy::new(["salvage", "--survey", "--source", &from]).run();
    assert_eq!(survey.status, 6, "{survey}");
    assert!(
        survey.stdout.contains("pg_dump cannot describe"),
        "{survey}"
    );

    let other = source.conninfo("other");
    let run = salvage(&from, &to, &["--schema-from", &other]);
    assert_eq!(run.status, 2, "{run}");
    assert!(run.stderr.contains("id integer"), "{run}");
    assert!(run.stderr.contains("id bigint"), "{run}");

    let sound = source.conninfo("sound");
    let run = salvage(&from, &to, &["--schema-from", &sound]);
    assert_eq!(run.status, 0, "{run}");
    assert_all_there(&target, "broken", &run);
    assert!(run.stderr.contains("the definitions are those of"), "{run}");

    // The same from an archive.
    let dumped = Pgconvoy::new(["dump", "--source", &sound, "--archive", "sound"]).run();
    assert_eq!(dumped.status, 0, "{dumped}");
    let archive = dumped.path("sound").display().to_string();
    let again = target.database("again");
    let run = salvage(&from, &again, &["--schema-from", &archive]);
    assert_eq!(run.status, 0, "{run}");
    assert_all_there(&target, "again", &run);
}
