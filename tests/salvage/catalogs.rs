//! Damaged catalogs: their indexes, which are done without; and definitions that cannot be read, which come from elsewhere.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use pgconvoy::pg::cluster::StopMode;
use serde_json::Value;

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

/// Whoever reads the catalog by its indexes, and is led to a page of zeros, has the server mark the entries as dead that led there: who surveys
/// first must not keep a salvage from finding it.
#[test]
fn what_a_survey_has_missed_is_missed_by_the_salvage_after_it() {
    let (Some(mut source), Some(target)) = (source(&["surveyed"]), Server::start(18)) else {
        return;
    };
    source.psql(
        "surveyed",
        "select lo_from_bytea(20000 + i, 'large') from generate_series(1, 9) i",
    );
    let query = "select pg_relation_filepath('pg_largeobject_metadata')";
    let path = source.psql("surveyed", query);
    source.cluster.stop(StopMode::Fast).expect("it stops");
    let path = source.cluster.data_dir().join(path);
    fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|file| file.write_all_at(&[0; 8192], 0))
        .expect("written");
    source.cluster.resume().expect("it starts");
    let (from, to) = (source.conninfo("surveyed"), target.database("surveyed"));
    let survey = Pgconvoy::new(["salvage", "--survey", "--source", &from]).run();
    assert_eq!(survey.status, 6, "{survey}");
    // An application, too, may have looked.
    let look = "set enable_seqscan = off; set enable_bitmapscan = off; \
                select count(lomowner) from pg_largeobject_metadata where oid between 20000 and 20009";
    source.psql("surveyed", look);
    source.cluster.stop(StopMode::Fast).expect("it stops");
    source.cluster.resume().expect("it starts");

    let run = salvage(&from, &to, &[]);
    assert_eq!(run.status, 6, "{run}");
    let account = losses(&run);
    assert_eq!(
        account["objects"][0]["object"], "pg_catalog.pg_largeobject_metadata",
        "{account:#}"
    );
    let keys = run.path("run/lost/pg_catalog.pg_largeobject_metadata.csv");
    let keys = fs::read_to_string(keys).expect("keys");
    for number in 20001..=20009 {
        let is_it = |line: &str| line.ends_with(&format!(",{number}"));
        assert!(keys.lines().any(is_it), "{number}: {keys}");
    }
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

/// Rows of a relation of the catalog, by where they are; all of them visible to everybody from now on.
struct Rows {
    file: PathBuf,
    pointers: Vec<u64>,
}

impl Rows {
    fn of(source: &Server, database: &str, (relation, which): (&str, &str)) -> Self {
        source.psql(database, &format!("vacuum (freeze) {relation}"));
        let path = source.psql(
            database,
            &format!("select pg_relation_filepath('{relation}')"),
        );
        let places = source.psql(
            database,
            &format!("select ctid from {relation} where {which}"),
        );
        let pointer = |place: &str| {
            let (block, offset) = place.trim_matches(['(', ')']).split_once(',')?;
            let (block, offset): (u64, u64) = (block.parse().ok()?, offset.parse().ok()?);
            Some(block * PAGE + 24 + 4 * (offset - 1))
        };
        let pointers = places.lines().map(|place| pointer(place).expect("a place"));
        let rows = Self {
            file: source.cluster.data_dir().join(path),
            pointers: pointers.collect(),
        };
        assert!(!rows.pointers.is_empty(), "{relation} has no such rows");
        rows
    }

    /// Their line pointers are not in use any more.
    fn forget(&self) {
        let file = fs::OpenOptions::new().write(true).open(&self.file);
        let file = file.expect("opened");
        for pointer in &self.pointers {
            file.write_all_at(&[0; 4], *pointer).expect("written");
        }
    }
}

/// What the account says is lost, by class and name.
fn told(run: &Finished) -> Vec<String> {
    let account = losses(run);
    let objects = account["objects"].as_array().expect("a list");
    let name = |one: &Value| format!("{} {}", one["class"], one["object"]).replace('"', "");
    let mut names: Vec<String> = objects.iter().map(name).collect();
    names.sort_unstable();
    names
}

/// A materialized view whose query is lost, and a table whose columns are: these are left out, by name, and everything else arrives.
#[test]
fn what_the_catalog_does_not_know_all_of_is_left_out() {
    let (Some(mut source), Some(target)) = (source(&["ruleless", "blind"]), Server::start(18))
    else {
        return;
    };
    source.psql(
        "ruleless",
        "create materialized view summed as select count(*) from things",
    );
    source.psql(
        "blind",
        "create table dark (id int primary key, line text check (line <> '')); \
         create index on dark (line); create materialized view dim as select id from dark; \
         insert into dark select i, 'line ' || i from generate_series(1, 100) i",
    );
    let rules = ("pg_rewrite", "ev_class = 'summed'::regclass");
    let rules = Rows::of(&source, "ruleless", rules);
    let columns = ("pg_attribute", "attrelid = 'dark'::regclass and attnum > 0");
    let columns = Rows::of(&source, "blind", columns);
    source.cluster.stop(StopMode::Fast).expect("it stops");
    rules.forget();
    columns.forget();
    source.cluster.resume().expect("it starts");
    for (database, names, left_out) in [
        (
            "ruleless",
            &["catalog pg_catalog.pg_rewrite", "relation public.summed"][..],
            "summed",
        ),
        (
            "blind",
            &[
                "catalog pg_catalog.pg_attribute",
                "relation public.dark",
                "relation public.dim",
            ][..],
            "dark",
        ),
    ] {
        let (from, to) = (source.conninfo(database), target.database(database));
        let run = salvage(&from, &to, &[]);
        assert_eq!(run.status, 6, "{run}");
        assert_all_there(&target, database, &run);
        assert_eq!(told(&run), names, "{run}");
        let there = format!("select to_regclass('{left_out}')");
        assert_eq!(target.psql(database, &there), "", "{run}");
        // A survey says so, too.
        let survey = ["salvage", "--survey", "--run-dir", "run", "--source", &from];
        let run = Pgconvoy::new(survey).run();
        assert_eq!(run.status, 6, "{run}");
        assert_eq!(told(&run), names, "{run}");
    }
}

/// Constraints that are gone from the catalog are on the target by the definitions from elsewhere: that is no difference that nobody
/// knows of.
#[test]
fn what_comes_from_elsewhere_is_not_held_against_what_the_catalog_has_lost() {
    let (Some(mut source), Some(target)) = (source(&["unbound"]), Server::start(18)) else {
        return;
    };
    let which = "conrelid in ('things'::regclass, 'parts'::regclass) and contype in ('p', 'f')";
    let rows = Rows::of(&source, "unbound", ("pg_constraint", which));
    assert_eq!(rows.pointers.len(), 2);
    source.cluster.stop(StopMode::Fast).expect("it stops");
    rows.forget();
    source.cluster.resume().expect("it starts");
    let (from, to) = (source.conninfo("unbound"), target.database("unbound"));
    let sound = source.conninfo("sound");
    let run = salvage(&from, &to, &["--schema-from", &sound]);
    assert_eq!(run.status, 6, "{run}");
    assert_all_there(&target, "unbound", &run);
    assert_eq!(told(&run), ["catalog pg_catalog.pg_constraint"], "{run}");
    assert!(!run.stderr.contains("differs:"), "{run}");
    let query = format!("select count(*) from pg_constraint where {which}");
    assert_eq!(target.psql("unbound", &query), "2");
}

/// Keys whose indexes are gone from the catalog cannot be dumped: they are accounted for with these, and so are a foreign key that needs
/// one of them, and the index of a partitioned table that lacks its part.
#[test]
fn keys_of_indexes_that_the_catalog_has_lost_are_accounted_for() {
    let (Some(mut source), Some(target)) = (source(&["keyless"]), Server::start(18)) else {
        return;
    };
    source.psql(
        "keyless",
        "create table kids (id int primary key) partition by range (id); \
         create table kids_0 partition of kids for values from (0) to (100); \
         insert into kids select generate_series(1, 50)",
    );
    let which = "indexrelid in ('kids_0_pkey'::regclass, 'things_pkey'::regclass)";
    let rows = Rows::of(&source, "keyless", ("pg_index", which));
    assert_eq!(rows.pointers.len(), 2);
    source.cluster.stop(StopMode::Fast).expect("it stops");
    rows.forget();
    source.cluster.resume().expect("it starts");
    let (from, to) = (source.conninfo("keyless"), target.database("keyless"));
    let run = salvage(&from, &to, &[]);
    assert_eq!(run.status, 6, "{run}");
    assert_all_there(&target, "keyless", &run);
    assert_eq!(target.psql("keyless", "select count(*) from kids"), "50");
    assert_eq!(told(&run), ["catalog pg_catalog.pg_index"], "{run}");
    assert!(!run.stderr.contains("differs:"), "{run}");
    let valid = "select indisvalid from pg_index where indexrelid = 'kids_pkey'::regclass";
    assert_eq!(target.psql("keyless", valid), "f", "{run}");
}

/// What can be done if no session begins is not always to do without indexes.
#[test]
fn damage_without_which_no_session_begins_is_told_what_to_do() {
    let (Some(mut source), Some(target)) = (source(&["mapless", "nameless"]), Server::start(18))
    else {
        return;
    };
    let oid = source.psql(
        "postgres",
        "select oid from pg_database where datname = 'mapless'",
    );
    let base = source.cluster.data_dir().join("base");
    let map = base.join(oid).join("pg_filenode.map");
    let schemas = ("pg_namespace", "nspname = 'pg_catalog'");
    let schemas = Rows::of(&source, "nameless", schemas);
    source.cluster.stop(StopMode::Fast).expect("it stops");
    let mut bytes = fs::read(&map).expect("read");
    bytes[20] ^= 0xff;
    fs::write(&map, bytes).expect("written");
    schemas.forget();
    source.cluster.resume().expect("it starts");

    let (from, to) = (source.conninfo("mapless"), target.database("mapless"));
    let run = salvage(&from, &to, &[]);
    assert_eq!(run.status, 2, "{run}");
    assert!(run.stderr.contains("base/1/pg_filenode.map"), "{run}");
    assert!(!run.stderr.contains("ignore_system_indexes"), "{run}");
    fs::copy(base.join("1/pg_filenode.map"), &map).expect("copied");
    let run = salvage(&from, &to, &[]);
    assert_eq!(run.status, 0, "{run}");
    assert_all_there(&target, "mapless", &run);

    let (from, to) = (source.conninfo("nameless"), target.database("nameless"));
    let run = salvage(&from, &to, &[]);
    assert_eq!(run.status, 1, "{run}");
    assert!(
        run.stderr.contains("missing from the catalog itself"),
        "{run}"
    );
}
