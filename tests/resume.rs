//! What a resumption does besides going on: it tries failed statements again when it is told to, refuses what cannot be finished,
//! and loads tables anew that are finished already.

mod support;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use support::binary::{Finished, Pgconvoy};
use support::moving::{RUN_DIR, assert_equal, prepare, report};
use support::server::Server;

/// Everything is there, and the ledger still is.
const AT_THE_END: &str = "kill@report-kept";
/// The schema is made.
const EARLY: &str = "kill@job-started[copy ]";

/// A source and a target on one server.
struct Scene {
    server: Server,
    source: String,
    target: String,
}

impl Scene {
    fn build(sql: &str) -> Option<Self> {
        Self::build_on(15, sql)
    }

    fn build_on(major: u32, sql: &str) -> Option<Self> {
        let server = Server::start(major)?;
        server.psql("postgres", "create database source");
        server.psql("postgres", "create database target template template0");
        server.psql("source", sql);
        Some(Self {
            source: server.conninfo("source"),
            target: server.conninfo("target"),
            server,
        })
    }

    fn move_until(&self, fault: &str) -> Finished {
        self.move_with(fault, &[])
    }

    fn move_with(&self, fault: &str, more: &[&str]) -> Finished {
        let run = prepare(&self.source, &self.target, more)
            .env("PGCONVOY_FAULT", fault)
            .run();
        assert_eq!(run.status, -1, "{run}");
        run
    }
}

fn run_dir(run: &Finished) -> PathBuf {
    run.path(RUN_DIR)
}

fn resume(run: &Finished, more: &[&str]) -> Finished {
    let directory = run_dir(run).display().to_string();
    let arguments = ["resume", &directory];
    Pgconvoy::new(arguments.iter().chain(more)).run()
}

/// The names under `failed/`.
fn failed(run: &Finished) -> Vec<PathBuf> {
    let entries = fs::read_dir(run_dir(run).join("failed")).expect("something failed");
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// An index that cannot be built before a setting is made that the target does not have.
const PICKY: &str = "
    alter database source set app.ready = 'yes';
    create function picky(i int) returns int language plpgsql immutable as $$
        begin
            if current_setting('app.ready', true) is distinct from 'yes' then raise exception 'not ready'; end if;
            return i;
        end $$;
    create table fish (id int primary key, size int);
    set app.ready = 'yes';
    insert into fish select i, i from generate_series(1, 100) i;
    create index by_size on fish (picky(size));
    comment on index by_size is 'needs a setting';
    create index by_id on fish (id);
";

#[test]
fn failed_statements_are_tried_again_only_when_that_is_asked_for() {
    let Some(scene) = Scene::build(PICKY) else {
        return;
    };
    let first = prepare(&scene.source, &scene.target, &[]).run();
    assert_eq!(first.status, 1, "{first}");
    assert_eq!(failed(&first).len(), 1, "{first}");
    let left = resume(&first, &[]);
    assert_eq!(left.status, 1, "{left}");
    assert_eq!(failed(&first).len(), 1, "it was not tried again: {left}");
    assert!(left.stderr.contains("--retry-failed"), "{left}");
    scene
        .server
        .psql("postgres", "alter database target set app.ready = 'yes'");
    let again = resume(&first, &["--retry-failed"]);
    assert_eq!(again.status, 0, "{again}");
    assert_equal("after a second try", &scene.source, &scene.target, &[]);
    let over = resume(&first, &[]);
    assert_eq!(over.status, 0, "{over}");
    assert!(over.stderr.contains("nothing to resume"), "{over}");
}

#[test]
fn an_edited_statement_is_run_as_edited_and_takes_the_word_proven_away() {
    let Some(scene) = Scene::build(PICKY) else {
        return;
    };
    let first = prepare(&scene.source, &scene.target, &[]).run();
    assert_eq!(first.status, 1, "{first}");
    let [file] = failed(&first).try_into().expect("one failed");
    let text = fs::read_to_string(&file).expect("it can be read");
    fs::write(&file, text.replace("public.picky(size)", "size")).expect("it can be edited");
    let again = resume(&first, &["--retry-failed"]);
    assert_eq!(again.status, 6, "{again}");
    let report = report(&first);
    let rule = report["waivers"][0]["rule"].as_str().expect("a waiver");
    assert!(rule.starts_with("edited:failed/001-"), "{rule}");
    assert_eq!(
        report["waivers"][0]["differences"][0]["object"],
        "public.by_size"
    );
    assert_eq!(report["differences"], Value::Array(Vec::new()), "{again}");
    let defined = scene.server.psql(
        "target",
        "select pg_get_indexdef('by_size'::regclass) || obj_description('by_size'::regclass)",
    );
    assert!(defined.contains("(size)needs a setting"), "{defined}");
}

#[test]
fn another_schema_cannot_be_finished_and_is_named() {
    let Some(scene) = Scene::build("create table fish (id int primary key)") else {
        return;
    };
    // As long as the snapshot is held, what comes later is not in it.
    let killed = scene.move_with(EARLY, &["--no-keeper"]);
    scene.server.psql(
        "source",
        "create function fresh() returns int language sql as 'select 1'",
    );
    let refused = resume(&killed, &[]);
    assert_eq!(refused.status, 4, "{refused}");
    for words in [
        "schema of the source has changed",
        "public.fresh()",
        "is new",
    ] {
        assert!(refused.stderr.contains(words), "{words}: {refused}");
    }
    scene.server.psql("source", "drop function fresh()");
    let resumed = resume(&killed, &[]);
    assert_eq!(resumed.status, 0, "{resumed}");
}

#[test]
fn what_is_not_this_run_is_refused_by_name() {
    let Some(scene) = Scene::build("create table fish (id int primary key)") else {
        return;
    };
    let killed = scene.move_until(EARLY);
    for database in ["other", "third"] {
        let sql = format!("create database {database} template template0");
        scene.server.psql("postgres", &sql);
    }
    let other = scene.server.conninfo("other");
    let third = scene.server.conninfo("third");
    let source = resume(&killed, &["--source", &other]);
    assert_eq!(source.status, 2, "{source}");
    assert!(source.stderr.contains("is not the database"), "{source}");
    let elsewhere = prepare(&other, &third, &[])
        .env("PGCONVOY_FAULT", "kill@ledger-made")
        .run();
    assert_eq!(elsewhere.status, -1, "{elsewhere}");
    let target = resume(&killed, &["--target", &third]);
    assert_eq!(target.status, 2, "{target}");
    assert!(target.stderr.contains("belongs to another run"), "{target}");
    let no_ledger = Pgconvoy::new(["resume", "--target", &other]).run();
    assert_eq!(no_ledger.status, 2, "{no_ledger}");
    assert!(no_ledger.stderr.contains("no ledger"), "{no_ledger}");
    let nothing = Pgconvoy::new(["resume"]).run();
    assert_eq!(nothing.status, 2, "{nothing}");
    let resumed = resume(&killed, &[]);
    assert_eq!(resumed.status, 0, "{resumed}");
}

/// Whatever could act on rows that are loaded into a finished table.
const WARY: &str = "
    create table parent (id int primary key, note text);
    create table child (id int primary key, parent int references parent deferrable, size int);
    create table tree (id int, kind text) partition by list (kind);
    create table tree_a partition of tree for values in ('a');
    create table tree_b partition of tree for values in ('b');
    alter table tree add primary key (id, kind);
    insert into parent select i, 'n' || i from generate_series(1, 50) i;
    insert into child select i, i, i from generate_series(1, 50) i;
    insert into tree select i, case when i % 2 = 0 then 'a' else 'b' end from generate_series(1, 50) i;
    alter table child add constraint small check (size < 10) not valid;
    create domain odd as int;
    create table odds (id int primary key, n odd);
    insert into odds values (1, 2), (2, 3);
    alter domain odd add constraint is_odd check (value % 2 = 1) not valid;
    create function never() returns trigger language plpgsql as $$ begin raise exception 'fired'; end $$;
    create trigger t_origin before insert or update on child for each row execute function never();
    create trigger t_always before insert or update or delete on child for each row execute function never();
    create trigger t_replica before insert on child for each row execute function never();
    create trigger t_disabled before insert on child for each row execute function never();
    create trigger t_truncate before truncate on child for each statement execute function never();
    create trigger t_tree after insert on tree for each row execute function never();
    alter table child enable always trigger t_always;
    alter table child enable replica trigger t_replica;
    alter table child disable trigger t_disabled;
    alter table parent enable row level security, force row level security;
    create policy nobody on parent using (false) with check (false);
    create rule lost as on insert to parent do instead nothing;
    create materialized view sizes as select sum(size) from child;
    create unique index on sizes (sum);
    create function no_ddl() returns event_trigger language plpgsql as $$ begin raise exception 'no DDL here'; end $$;
    create event trigger strict on ddl_command_start execute function no_ddl();
";
const WRITES: &str = "
    set session_replication_role = replica;
    alter table child disable trigger t_always;
    update child set size = size + 1 where id <= 5;
    update parent set note = 'changed' where id = 7;
    insert into tree values (100, 'a');
    update odds set id = 3 where id = 2;
    alter table child enable always trigger t_always;
    refresh materialized view sizes;
";

fn finished_tables_are_loaded_anew(major: u32) {
    let Some(scene) = Scene::build_on(major, WARY) else {
        return;
    };
    let killed = scene.move_until(AT_THE_END);
    scene.server.psql("source", WRITES);
    let resumed = resume(&killed, &["-v"]);
    assert_eq!(resumed.status, 0, "{resumed}");
    assert_equal("loaded anew", &scene.source, &scene.target, &[]);
    let report = report(&killed);
    assert!(
        report["resumed"]["redo"].as_u64() >= Some(1),
        "{}",
        report["resumed"]
    );
    let states = |database: &str| {
        scene.server.psql(
            database,
            "select string_agg(tgname || tgenabled::text, ' ' order by tgrelid::regclass::text, tgname) from pg_trigger where not tgisinternal",
        )
    };
    assert_eq!(states("source"), states("target"), "{resumed}");
}

#[test]
fn finished_tables_are_loaded_anew_and_nothing_fires_on_11() {
    finished_tables_are_loaded_anew(11);
}

#[test]
fn finished_tables_are_loaded_anew_and_nothing_fires_on_18() {
    finished_tables_are_loaded_anew(18);
}

/// Unlogged tables: one with a foreign key, and partitions that are loaded through their root, since the hash of an enum's value
/// is another one on each server, whatever domain it is of. And a table that only we are slow to fill, so that the snapshot is still needed.
const UNLOGGED: &str = "
    create table parent (id int primary key);
    create unlogged table child (id int primary key, parent int references parent);
    insert into parent select generate_series(1, 50);
    insert into child select i, i from generate_series(1, 50) i;
    create type mood as enum ('calm', 'glad', 'sad');
    create domain feeling as mood;
    create table moods (id int, mood feeling) partition by hash (mood);
    create unlogged table moods_0 partition of moods for values with (modulus 2, remainder 0);
    create unlogged table moods_1 partition of moods for values with (modulus 2, remainder 1);
    insert into moods select i, (enum_range(null::mood))[1 + i % 3] from generate_series(1, 50) i;
    create function slow(id int) returns boolean language plpgsql as $$
        begin
            perform pg_catalog.pg_sleep(case when pg_catalog.current_setting('application_name') like 'pgconvoy:%' then 0.04 else 0 end);
            return true;
        end $$;
    create table lasting (id int primary key, filling text, check (public.slow(id)));
    alter table lasting alter filling set storage external;
    insert into lasting select i, repeat('x', 40000) from generate_series(1, 100) i;
";

/// Constraints and triggers that are in the way of loading a table again are dropped without their marks.
#[test]
fn what_was_cleared_away_is_made_again_also_in_the_snapshot_of_the_plan_that_had_made_it() {
    let Some(scene) = Scene::build(UNLOGGED) else {
        return;
    };
    let keyed = "kill@job-ended[foreign keys of small tables]";
    let killed = scene.move_with(keyed, &["-j", "2"]);
    let keys = || {
        let keys = "select count(*) from pg_constraint where contype = 'f'";
        scene.server.psql("target", keys)
    };
    assert_eq!(keys(), "1", "{killed}");
    // As a crash leaves them.
    scene.server.psql("target", "truncate child, moods");
    let directory = run_dir(&killed).display().to_string();
    let cleared = Pgconvoy::new(["resume", &directory])
        .env("PGCONVOY_FAULT", "kill@cleared")
        .run();
    assert_eq!(cleared.status, -1, "{cleared}");
    assert_eq!(keys(), "0", "{cleared}");
    let resumed = resume(&killed, &[]);
    assert!(resumed.stderr.contains("is still held"), "{resumed}");
    assert_eq!(resumed.status, 0, "{resumed}");
    assert_equal("cleared and killed", &scene.source, &scene.target, &[]);
}

#[test]
fn a_target_whose_ledger_is_gone_is_left_alone() {
    let Some(scene) =
        Scene::build("create table fish (id int primary key); insert into fish values (1)")
    else {
        return;
    };
    scene.server.psql("target", "create table before (id int)");
    let run = prepare(&scene.source, &scene.target, &["--overwrite", "target"])
        .env("PGCONVOY_FAULT", "kill@jobs-done")
        .run();
    assert_eq!(run.status, -1, "{run}");
    scene.server.psql(
        "target",
        "drop schema pgconvoy cascade; insert into fish values (2)",
    );
    let refused = resume(&run, &[]);
    assert_eq!(refused.status, 2, "{refused}");
    assert!(
        refused.stderr.contains("has no ledger any more"),
        "{refused}"
    );
    let rows = scene.server.psql("target", "select count(*) from fish");
    assert_eq!(rows, "2", "{refused}");
}
