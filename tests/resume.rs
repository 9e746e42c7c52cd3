//! What a resumption does besides going on: it tries failed statements again when it is told to, refuses what cannot be finished or may
//! be somebody else's by now, and loads tables anew that are finished already.

mod support;

use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use pgconvoy::pg::cluster::ClusterOptions;
use serde_json::Value;
use support::binary::{Finished, Pgconvoy};
use support::moving::{RUN_DIR, assert_equal, assert_no_ledger, prepare, report};
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
    assert_refused(&resume(&killed, &["--target", &third]), &[NOT_THE_ONE]);
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

/// A ledger is known by the columns that every version's has; a table of somebody's own is none, whatever it is called.
#[test]
fn a_ledger_of_another_version_is_one_although_it_cannot_be_read() {
    let Some(server) = Server::start(15) else {
        return;
    };
    let target = server.database("target");
    for (columns, row, status, said) in [
        (
            "run text, pgconvoy_version text",
            "values ('/runs/that', '99.0')",
            1,
            "the ledger was written by pgconvoy 99.0, and has other columns",
        ),
        (
            "run text, pgconvoy_version text, format int",
            "select '', '' where false",
            1,
            "holds 0 runs instead of one",
        ),
        (
            "run text, distance int",
            "values ('around the lake', 12)",
            2,
            "has no ledger of an unfinished run",
        ),
    ] {
        let table = format!("create schema pgconvoy; create table pgconvoy.run ({columns})");
        server.psql(
            "target",
            &format!("{table}; insert into pgconvoy.run {row}"),
        );
        let resumed = Pgconvoy::new(["resume", "--target", &target]).run();
        assert_eq!(resumed.status, status, "{columns}: {resumed}");
        assert!(resumed.stderr.contains(said), "{columns}: {resumed}");
        let names_version = resumed
            .stderr
            .contains("Use the version of pgconvoy that began the run");
        assert_eq!(names_version, status == 1, "{columns}: {resumed}");
        server.psql("target", "drop schema pgconvoy cascade");
    }
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
        refused.stderr.contains("no longer has a ledger"),
        "{refused}"
    );
    let rows = scene.server.psql("target", "select count(*) from fish");
    assert_eq!(rows, "2", "{refused}");
}

/// More than what is dropped in one transaction.
const OF_OLD: &str = "do $$ begin for i in 1 .. 130 loop execute format('create table old%s (id int)', i); end loop; end $$";
const FISH: &str = "create table fish (id int primary key); insert into fish values (1)";

/// What it said, however the lines were broken.
fn said(run: &Finished) -> String {
    let words: Vec<&str> = run.stderr.split_whitespace().collect();
    words.join(" ")
}

#[track_caller]
fn assert_refused(run: &Finished, words: &[&str]) {
    assert_eq!(run.status, 2, "{run}");
    let said = said(run);
    for words in words {
        assert!(said.contains(words), "{words}: {run}");
    }
}

/// Another address of this machine that leads to a server, with the port of another one.
fn lead(from: (Ipv4Addr, u16), to: u16) {
    let listener = TcpListener::bind(from).expect("nobody listens there");
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).expect("it runs");
            for (from, into) in [(&client, &server), (&server, &client)] {
                let mut from = from.try_clone().expect("a handle");
                let mut into = into.try_clone().expect("a handle");
                std::thread::spawn(move || {
                    let _ = io::copy(&mut from, &mut into);
                    let _ = into.shutdown(Shutdown::Write);
                });
            }
        }
    });
}

/// Two servers on one port of two addresses, with the same databases, and a name (here an address) that leads to the wrong one.
struct Twins {
    meant: Server,
    other: Server,
    source: String,
}

impl Twins {
    fn build() -> Option<Self> {
        let tcp = |options: ClusterOptions| ClusterOptions {
            listen_tcp: true,
            ..options
        };
        let (meant, other) = (Server::start_with(15, tcp)?, Server::start_with(15, tcp)?);
        lead(
            (Ipv4Addr::new(127, 0, 0, 2), meant.cluster.port()),
            other.cluster.port(),
        );
        for server in [&meant, &other] {
            server.database("source");
            server.database("shop");
        }
        meant.psql("source", FISH);
        Some(Self {
            source: meant.conninfo("source"),
            meant,
            other,
        })
    }

    /// By a name that leads to the other one, and by the address that is meant.
    fn reached(&self, database: &str) -> (String, String) {
        let (port, user) = (self.meant.cluster.port(), self.meant.cluster.superuser());
        let name = format!("host=127.0.0.2 port={port} user={user} dbname={database}");
        let address = format!("{name} hostaddr=127.0.0.1");
        (name, address)
    }

    fn killed(&self, moment: &str, (target, more): (&str, &[&str])) -> Finished {
        let run = prepare(&self.source, target, more);
        let run = run.env("PGCONVOY_FAULT", format!("kill@{moment}")).run();
        assert_eq!(run.status, -1, "{run}");
        run
    }
}

const NOT_THE_ONE: &str = "is not the target that the run began with";

#[test]
fn only_the_server_that_a_run_was_emptying_is_emptied_by_its_resumption() {
    let Some(twins) = Twins::build() else { return };
    let precious = "create table precious as select generate_series(1, 1000) as id";
    for server in [&twins.meant, &twins.other] {
        server.psql("shop", precious);
    }
    let untouched = || twins.other.psql("shop", "select count(*) from precious");
    let (name, address) = twins.reached("shop");
    let overwrite = ["--overwrite", "shop"];
    let killed = twins.killed("target-half-empty", (&address, &overwrite));

    // Led there by hand; and by a record of an earlier version, which has the name alone.
    assert_refused(&resume(&killed, &["--target", &name]), &[NOT_THE_ONE]);
    assert_eq!(untouched(), "1000");
    let path = run_dir(&killed).join("run.json");
    let text = fs::read_to_string(&path).expect("it is written");
    let mut record: Value = serde_json::from_str(&text).expect("JSON");
    let identity = record["target_identity"].take();
    assert!(identity["system_identifier"].is_i64(), "{text}");
    record["target"]
        .as_object_mut()
        .and_then(|target| target.remove("PGHOSTADDR"))
        .expect("the address is on record");
    fs::write(&path, record.to_string()).expect("written");
    let old = resume(&killed, &[]);
    assert_refused(&old, &["may be in use by now", "--overwrite shop"]);
    assert_eq!(untouched(), "1000");

    fs::write(&path, &text).expect("written");
    let resumed = resume(&killed, &[]);
    assert_eq!(resumed.status, 0, "{resumed}");
    assert_equal("gone on", &twins.source, &twins.meant.conninfo("shop"), &[]);
    assert_no_ledger(&twins.meant, "shop");
    assert_eq!(untouched(), "1000");
}

#[test]
fn another_server_is_neither_given_a_database_nor_taken_for_one_that_is_finished() {
    let Some(twins) = Twins::build() else { return };
    let (name, address) = twins.reached("fresh");
    let killed = twins.killed("plan-written", (&address, &["--create"]));
    assert_refused(&resume(&killed, &["--target", &name]), &[NOT_THE_ONE]);
    let made = "select count(*) from pg_database where datname = 'fresh'";
    assert_eq!(twins.other.psql("postgres", made), "0");
    assert_eq!(resume(&killed, &[]).status, 0, "{killed}");

    let (name, address) = twins.reached("shop");
    // Proven, and killed before it could drop its ledger.
    let killed = twins.killed("report-kept", (&address, &[]));
    assert_refused(&resume(&killed, &["--target", &name]), &[NOT_THE_ONE]);
    let resumed = resume(&killed, &[]);
    assert_eq!(resumed.status, 0, "{resumed}");
    assert_no_ledger(&twins.meant, "shop");
}

#[test]
fn what_was_begun_anew_is_not_emptied_by_a_run_that_is_resumed() {
    let Some(scene) = Scene::build(FISH) else {
        return;
    };
    scene.server.psql("target", OF_OLD);
    let overwrite = ["--overwrite", "target"];
    let killed = scene.move_with("kill@target-half-empty:2", &overwrite);
    let sign = "select obj_description('pgconvoy'::regnamespace)";
    let sign = scene.server.psql("target", sign);
    let directory = run_dir(&killed).display().to_string();
    assert!(sign.ends_with(&directory), "{sign}");
    let anew = prepare(&scene.source, &scene.target, &overwrite).run();
    assert_eq!(anew.status, 0, "{anew}");
    assert_no_ledger(&scene.server, "target");
    scene.server.psql("target", "insert into fish values (2)");

    let rows = || scene.server.psql("target", "select count(*) from fish");
    let refused = resume(&killed, &[]);
    assert_refused(&refused, &["may be in use by now", "--overwrite target"]);
    assert_eq!(rows(), "2");
    let wrong = resume(&killed, &["--overwrite", "other"]);
    assert_eq!(wrong.status, 4, "{wrong}");
    assert_eq!(rows(), "2");
    let named = resume(&killed, &overwrite);
    assert_eq!(named.status, 0, "{named}");
    assert_equal("named again", &scene.source, &scene.target, &[]);
}

#[test]
fn consent_counts_for_a_run_that_has_begun_to_empty_and_for_no_other() {
    let Some(scene) = Scene::build(FISH) else {
        return;
    };
    scene.server.psql("target", OF_OLD);
    let overwrite = ["--overwrite", "target"];
    let killed = scene.move_with("kill@plan-written", &overwrite);
    assert_refused(&resume(&killed, &[]), &["before it began to empty it"]);
    let old = "select count(*) from pg_class where relname like 'old%'";
    assert_eq!(scene.server.psql("target", old), "130");

    // Another run has it by now, and that one has begun.
    let other = scene.move_with("kill@announced", &overwrite);
    let taken = resume(&killed, &overwrite);
    assert_refused(&taken, &["belongs to another run"]);
    let late = resume(&other, &overwrite);
    assert_refused(&late, &["and begun to fill it", "Leave --overwrite out"]);
    let resumed = resume(&other, &[]);
    assert_eq!(resumed.status, 0, "{resumed}");

    scene.server.psql("target", "drop table fish");
    let without = scene.move_with("kill@plan-written", &[]);
    let refused = resume(&without, &overwrite);
    assert_refused(&refused, &["was not started with --overwrite"]);
    let resumed = resume(&without, &[]);
    assert_eq!(resumed.status, 0, "{resumed}");

    // It goes on without being asked, all the way through.
    scene.server.psql("target", OF_OLD);
    for moment in ["target-signed", "target-half-empty:2", "target-emptied"] {
        let killed = scene.move_with(&format!("kill@{moment}"), &overwrite);
        let resumed = resume(&killed, &[]);
        assert_eq!(resumed.status, 0, "{moment}: {resumed}");
        assert_no_ledger(&scene.server, "target");
        scene.server.psql("target", OF_OLD);
    }
}

/// Nothing can be lost there; and what comes there in between is not touched.
#[test]
fn a_target_that_holds_nothing_is_filled_without_asking_again() {
    let Some(scene) = Scene::build(FISH) else {
        return;
    };
    let killed = scene.move_with("kill@plan-written", &["--overwrite", "target"]);
    scene.server.psql("target", "create table theirs (id int)");
    let refused = resume(&killed, &[]);
    assert_refused(&refused, &["may be in use by now"]);
    // The same once more would be refused once more.
    let goes_on = said(&refused).contains("Go on where it stopped");
    assert!(!goes_on, "{refused}");
    let next = report(&killed)["next"].clone();
    let next = next.as_str().unwrap_or_default();
    assert!(next.contains("give --overwrite target again"), "{next}");
    scene.server.psql("target", "drop table theirs");
    let resumed = resume(&killed, &[]);
    assert_eq!(resumed.status, 0, "{resumed}");
    assert_equal("not asked", &scene.source, &scene.target, &[]);
    assert_no_ledger(&scene.server, "target");

    scene.server.psql("target", "drop table fish");
    let dir = tempfile::tempdir().expect("a directory");
    let archive = dir.path().join("archive").display().to_string();
    let dumped = Pgconvoy::new(["dump", "--source", &scene.source, "--archive", &archive]).run();
    assert_eq!(dumped.status, 0, "{dumped}");
    let restore = ["restore", "--archive", &archive, "--target", &scene.target];
    let more = ["--run-dir", RUN_DIR, "--clean", "target"];
    let run = Pgconvoy::new(restore.iter().chain(&more)).env("PGCONVOY_FAULT", "kill@planned");
    let killed = run.run();
    assert_eq!(killed.status, -1, "{killed}");
    let resumed = resume(&killed, &[]);
    assert_eq!(resumed.status, 0, "{resumed}");
    assert_equal("cleaned", &scene.source, &scene.target, &[]);
    assert_no_ledger(&scene.server, "target");
}

#[test]
fn what_earlier_sessions_have_dropped_is_told_by_later_ones() {
    let Some(scene) = Scene::build(FISH) else {
        return;
    };
    scene.server.psql("target", OF_OLD);
    let killed = scene.move_with("kill@target-half-empty:2", &["--overwrite", "target"]);
    let directory = run_dir(&killed).display().to_string();
    let told = || {
        let status = Pgconvoy::new(["status", &directory]).run();
        let shown = format!("{} {}", status.stdout, status.stderr);
        let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        let from = shown.find("The target was being emptied: ");
        let text = from.and_then(|from| shown[from..].split('.').next());
        text.unwrap_or_else(|| panic!("{status}")).to_owned()
    };
    let record = Path::new(&directory).join("events.jsonl");
    let said =
        || fs::read_to_string(&record).map_or(0, |all| all.matches("emptying_target").count());
    let before = said();
    let held = Path::new(&directory).with_extension("held");
    let mut again = Pgconvoy::new(["resume", &directory])
        .env("PGCONVOY_FAULT", "hold@target-half-empty")
        .env("PGCONVOY_FAULT_FILE", &held)
        .start();
    // It is recorded by a thread of its own.
    while !held.exists() || said() == before {
        assert!(again.is_running());
        std::thread::sleep(Duration::from_millis(20));
    }
    again.kill();
    again.finish();
    // What a session has dropped that was killed before it could say so is known to the next one. The sign is up by then, and is none of
    // them.
    let first = told();
    assert!(first.ends_with(", at least 100 are gone"), "{first}");
    let elsewhere = scene.server.conninfo("postgres");
    let refused = resume(&killed, &["--target", &elsewhere]);
    assert_refused(&refused, &[NOT_THE_ONE, &first]);
    let resumed = resume(&killed, &[]);
    assert_eq!(resumed.status, 0, "{resumed}");
    assert_no_ledger(&scene.server, "target");
}

#[test]
fn a_restore_empties_on_the_word_of_another_day_only_what_it_was_emptying() {
    let Some(scene) = Scene::build(FISH) else {
        return;
    };
    let dir = tempfile::tempdir().expect("a directory");
    let archive = dir.path().join("archive").display().to_string();
    let dumped = Pgconvoy::new(["dump", "--source", &scene.source, "--archive", &archive]).run();
    assert_eq!(dumped.status, 0, "{dumped}");
    let killed_at = |moment: &str, more: &[&str]| {
        let fixed = ["restore", "--archive", &archive, "--target", &scene.target];
        let fixed = fixed.iter().chain(&["--run-dir", RUN_DIR]).chain(more);
        let run = Pgconvoy::new(fixed).env("PGCONVOY_FAULT", format!("kill@{moment}"));
        let run = run.run();
        assert_eq!(run.status, -1, "{run}");
        run
    };
    let overwrite: &[&str] = &["--overwrite", "target"];
    let rows_alone: &[&str] = &["--data-only", "--overwrite", "target"];
    let held = || scene.server.psql("target", "select sum(id) from fish");
    let more = "create table fish (id int primary key); insert into fish values (7)";
    scene.server.psql("target", more);
    for more in [overwrite, rows_alone] {
        let killed = killed_at("planned", more);
        assert_refused(&resume(&killed, &[]), &["--overwrite target again"]);
        assert_eq!(held(), "7", "{killed}");
    }
    for (moment, more) in [
        ("target-half-empty", overwrite),
        ("target-ready", rows_alone),
    ] {
        let killed = killed_at(moment, more);
        let resumed = resume(&killed, &[]);
        assert_eq!(resumed.status, 0, "{moment}: {resumed}");
        assert_eq!(held(), "1", "{moment}");
        assert_no_ledger(&scene.server, "target");
        scene.server.psql("target", "update fish set id = 7");
    }
    let killed = killed_at("planned", &["--clean", "target"]);
    assert_refused(&resume(&killed, &[]), &["start it again", "--clean target"]);
    assert_eq!(held(), "7", "{killed}");
}

const SECRET: &str = "open-sesame-4711";

fn write_password_file(path: &Path) {
    fs::write(path, format!("*:*:*:*:{SECRET}\n")).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("permitted");
}

/// Where the file is depends on where the run was started, and a resumption is started from anywhere.
#[test]
fn the_password_file_that_a_connection_string_names_is_found_again() {
    let started = Server::start_with(15, |options| ClusterOptions {
        auth_method: "scram-sha-256".into(),
        password: Some(SECRET.into()),
        ..options
    });
    let Some(server) = started else { return };
    // For psql.
    write_password_file(&server.cluster.dir().join(".pgpass"));
    let source = server.database("source");
    let target = server.database("target");
    server.psql("source", FISH);
    let named = |conninfo: &str| {
        format!("{conninfo} passfile=secrets/passwords connect_timeout=60 tcp_user_timeout=900000")
    };
    let run = prepare(&named(&source), &named(&target), &[]);
    fs::create_dir(run.dir().join("secrets")).expect("a directory");
    write_password_file(&run.dir().join("secrets/passwords"));
    let killed = run.env("PGCONVOY_FAULT", EARLY).run();
    assert_eq!(killed.status, -1, "{killed}");
    let text = fs::read_to_string(run_dir(&killed).join("run.json")).expect("it is written");
    assert!(!text.contains(SECRET), "{text}");
    let record: Value = serde_json::from_str(&text).expect("JSON");
    for side in ["source", "target"] {
        assert_eq!(record[side]["PGCONNECT_TIMEOUT"], "60", "{text}");
        assert_eq!(record[side]["tcp_user_timeout"], "900000", "{text}");
    }
    let resumed = resume(&killed, &[]);
    assert_eq!(resumed.status, 0, "{resumed}");
    // Without the run directory, the ledger knows the way to the source.
    server.psql("target", "drop table fish");
    let run = prepare(&named(&source), &named(&target), &[]);
    fs::create_dir(run.dir().join("secrets")).expect("a directory");
    write_password_file(&run.dir().join("secrets/passwords"));
    let killed = run.env("PGCONVOY_FAULT", EARLY).run();
    assert_eq!(killed.status, -1, "{killed}");
    let given = format!("{target} password={SECRET}");
    let resumed = Pgconvoy::new(["resume", "--target", &given]).run();
    assert_eq!(resumed.status, 0, "{resumed}");
    // Where that file is not, ~/.pgpass counts.
    server.psql("target", "drop table fish");
    let run = prepare(&named(&source), &named(&target), &[]);
    fs::create_dir(run.dir().join("secrets")).expect("a directory");
    write_password_file(&run.dir().join("secrets/passwords"));
    let killed = run.env("PGCONVOY_FAULT", EARLY).run();
    assert_eq!(killed.status, -1, "{killed}");
    fs::remove_dir_all(killed.path("secrets")).expect("removed");
    assert_eq!(resume(&killed, &[]).status, 2, "{killed}");
    let directory = run_dir(&killed).display().to_string();
    let resumed = Pgconvoy::new(["resume", &directory]).env("HOME", server.cluster.dir());
    let resumed = resumed.run();
    assert_eq!(resumed.status, 0, "{resumed}");
}
