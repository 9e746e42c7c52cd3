//! `pgconvoy check` on real servers: every condition is really made, and told with its remedy; and where it is not, nothing is told.
//!
//! Servers are what takes time, so a test looks twice at the same ones: before, and after all its conditions were made.

#[path = "check/counted.rs"]
mod counted;
#[path = "check/created.rs"]
mod created;
#[path = "check/disks.rs"]
mod disks;
#[path = "check/measured.rs"]
mod measured;
mod support;
#[path = "check/unsaid.rs"]
mod unsaid;
#[path = "check/worst.rs"]
mod worst;

use std::fs;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pgconvoy::pg::cluster::{ClusterOptions, StopMode};
use serde_json::Value;
use support::binary::{Finished, Pgconvoy};
use support::moving::Untouched;
use support::server::Server;

const SHOP: &str = "
    create table parent (id int primary key);
    create table child (id int primary key, parent int references parent);
    insert into parent select generate_series(1, 5000);
    insert into child select i, i from generate_series(1, 5000) i;
    analyze;
";

fn run(source: &str, target: &str, more: &[&str]) -> Finished {
    let ends = ["check", "--source", source, "--target", target];
    let run = Pgconvoy::new([&ends[..], more].concat());
    // Who waits for a lock on the source gives way after two seconds instead of ten.
    run.env("PGCONVOY_FAULT", "hasty-readers").run()
}

/// What it says to machines, with the status that it ended with.
#[track_caller]
fn looked(source: &str, target: &str, more: &[&str], status: i32) -> Value {
    let run = run(source, target, &[more, &["--json"]].concat());
    assert_eq!(run.status, status, "{run}");
    let check: Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(check["exit_status"], status, "{run}");
    check
}

fn rules(check: &Value) -> Vec<&str> {
    let findings = check["findings"].as_array().expect("a list");
    let rules = findings.iter().map(|one| one["rule"].as_str());
    rules.map(|rule| rule.expect("a rule")).collect()
}

#[track_caller]
fn assert_told(check: &Value, severity: &str, expected: &[&str]) {
    for rule in expected {
        let found = check["findings"].as_array().expect("a list");
        let found = found.iter().find(|one| one["rule"] == *rule);
        let found = found.unwrap_or_else(|| panic!("{rule} is not among {:?}", rules(check)));
        assert_eq!(found["severity"], severity, "{found:#}");
        let what = found["what"].as_str().expect("a sentence");
        assert!(what.len() > 20, "{found:#}");
    }
}

#[track_caller]
fn assert_silent(check: &Value, unexpected: &[&str]) {
    for rule in unexpected {
        assert!(!rules(check).contains(rule), "{rule}: {check:#}");
    }
}

#[track_caller]
fn remedy<'a>(check: &'a Value, rule: &str) -> &'a str {
    let found = check["findings"].as_array().expect("a list");
    let found = found.iter().find(|one| one["rule"] == rule);
    let remedy = found.and_then(|one| one["remedy"].as_str());
    remedy.unwrap_or_else(|| panic!("no {rule} in {check:#}"))
}

/// Somebody else's session, which ends with this value.
struct Visitor(Child);

impl Visitor {
    /// Runs SQL, and is waited for until a query finds it at work.
    fn run(server: &Server, database: &str, name: &str, sql: &str) -> Self {
        let mut psql: Command = server.tool("psql");
        psql.args(["-X", "-q", "-d", &server.conninfo(database), "-c", sql])
            .env("PGAPPNAME", name)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let visitor = Self(psql.spawn().expect("psql starts"));
        let began = Instant::now();
        let at_work = format!(
            "select count(*) from pg_stat_activity where application_name = '{name}' and state = 'active' and wait_event = 'PgSleep'"
        );
        while server.psql("postgres", &at_work) != "1" {
            assert!(began.elapsed() < Duration::from_secs(20), "{name}: {sql}");
            std::thread::sleep(Duration::from_millis(50));
        }
        visitor
    }
}

impl Visitor {
    /// Writes a row five times a second.
    fn writing(server: &Server, database: &str, table: &str) -> Self {
        let mut psql: Command = server.tool("psql");
        psql.args(["-X", "-q", "-d", &server.conninfo(database)])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = psql.spawn().expect("psql starts");
        let mut stdin = child.stdin.take().expect("piped");
        writeln!(stdin, "insert into {table} values (1) \\watch 0.2").expect("written");
        let visitor = Self(child);
        let began = Instant::now();
        while server.psql(database, &format!("select count(*) from {table}")) == "0" {
            assert!(began.elapsed() < Duration::from_secs(20), "{table}");
            std::thread::sleep(Duration::from_millis(50));
        }
        visitor
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Text without what differs from machine to machine.
fn without_places(text: &str) -> String {
    let mut text = text.to_owned();
    for (pattern, instead) in [
        (r" at /[^ ]+:\d+", " at [SOCKET]"),
        (r"PostgreSQL \d+\.\d+", "PostgreSQL [VERSION]"),
        (r"pg_dump \d+\.\d+ \([^)]*\)", "pg_dump [VERSION] ([PATH])"),
        (r"pid \d+", "pid [PID]"),
        (r#"("new"|"wiki") \([^)]*\)"#, "$1 ([SIZE])"),
    ] {
        let pattern = regex::Regex::new(pattern).expect("a pattern");
        text = pattern.replace_all(&text, instead).into_owned();
    }
    text
}

#[test]
fn two_quiet_servers_are_a_go_and_nothing_is_touched() {
    let with_checksums = |options: ClusterOptions| ClusterOptions {
        data_checksums: true,
        // Autovacuum takes transaction ids, and here nobody is to.
        ..options.setting("fsync", "on").setting("autovacuum", "off")
    };
    let (Some(mut source), Some(target)) = (
        Server::start_with(16, with_checksums),
        Server::start_with(16, with_checksums),
    ) else {
        return;
    };
    let (from, to) = (source.database("shop"), target.database("shop"));
    source.psql("shop", SHOP);
    let quiet = run(&from, &to, &["--no-measure"]);
    assert_eq!(quiet.status, 0, "{quiet}");
    assert_eq!(quiet.stderr, "", "{quiet}");
    insta::assert_snapshot!("go", without_places(&quiet.stdout));
    let left: Vec<_> = fs::read_dir(quiet.path(".")).expect("exists").collect();
    assert!(left.is_empty(), "{left:?}");

    source.psql(
        "shop",
        "create table large as select i, repeat('x', 200) from generate_series(1, 30000) i; analyze",
    );
    let before = Untouched::of(&source, "shop");
    let with_window = looked(&from, &to, &["--window", "2h"], 0);
    assert_told(&with_window, "note", &["window"]);
    assert_silent(
        &with_window,
        &["road-not-measured", "target-checksums", "not-looked-at"],
    );
    assert_eq!(with_window["forecast"]["measured"], true);
    assert_eq!(with_window["forecast"]["window_s"], 7200);
    for rate in [
        "read_bytes_per_second",
        "copy_bytes_per_second",
        "write_bytes_per_second",
        "index_bytes_per_second",
    ] {
        let measured = with_window["measured"][rate].as_f64();
        assert!(measured > Some(0.0), "{with_window:#}");
    }
    // Only reads, on the source; what was written on the target was never committed.
    assert_eq!(Untouched::of(&source, "shop"), before);
    let left = "select count(*) from pg_class where relname ~ 'pgconvoy'";
    assert_eq!(target.psql("shop", left), "0");

    // A file with a hole weighs as much as a full one, to whoever asks for its size.
    let place = source.psql("shop", "select pg_relation_filepath('child')");
    source.cluster.stop(StopMode::Fast).expect("stopped");
    let file = fs::File::options()
        .write(true)
        .open(source.cluster.data_dir().join(place))
        .expect("a file");
    file.set_len(900 << 20).expect("longer");
    source.cluster.resume().expect("started");
    for (window, severity, status) in [("1s", "blocker", 4), ("10s", "warning", 0)] {
        let options = ["--no-measure", "-j", "1", "--window", window];
        let tight = looked(&from, &to, &options, status);
        assert_eq!(tight["forecast"]["measured"], false);
        assert_told(&tight, severity, &["window"]);
    }
}

#[test]
fn blockers_are_a_no_go_and_are_told_first() {
    let Some(server) = Server::start(16) else {
        return;
    };
    let (from, to) = (server.database("shop"), server.database("new"));
    server.psql("shop", SHOP);
    server.psql("new", "create schema app; create table app.mine (i int)");
    server.psql("shop", "create database wiki template template0");
    let refused = run(&from, &to, &["--no-measure"]);
    assert_eq!(refused.status, 4, "{refused}");
    insta::assert_snapshot!("no_go", without_places(&refused.stdout));
    // The way out that it names.
    looked(&from, &to, &["--no-measure", "--overwrite", "new"], 0);
    let created = server.conninfo("other");
    let created = looked(&from, &created, &["--no-measure", "--create"], 0);
    assert_silent(&created, &["target-not-empty", "target-in-use"]);
    let nothing = run(&from, &to, &["--no-measure", "-t", "nothing"]);
    assert_eq!(nothing.status, 2, "{nothing}");

    // A name is no command to the terminal, whoever shows it.
    server.psql("new", "create table app.\"\u{1b}[2Jgone\" (i int)");
    server.psql("shop", "create table \"\u{1b}]0;gone\" (i int)");
    for command in ["plan", "move"] {
        let shown = Pgconvoy::new([command, "--source", &from, "--target", &to]).run();
        assert_eq!(shown.status, 4, "{shown}");
        let text = [&*shown.stdout, &*shown.stderr].concat();
        assert!(
            text.contains("\\u{1b}[2Jgone") && !text.contains('\u{1b}'),
            "{text:?}"
        );
    }
}

/// A source with everything that its settings can allow.
fn busy_source() -> Option<Server> {
    Server::start_with(15, |options| ClusterOptions {
        data_checksums: true,
        ..options
            .setting("wal_level", "logical")
            .setting("max_prepared_transactions", "5")
            .setting("autovacuum", "off")
    })
}

#[test]
fn what_goes_on_and_what_is_wrong_on_the_source() {
    let (Some(mut source), Some(target)) = (busy_source(), Server::start(16)) else {
        return;
    };
    let (from, to) = (source.database("shop"), target.database("shop"));
    source.psql("shop", SHOP);
    let blockers = ["collations-missing", "source-orphans"];
    let warnings = [
        "source-written",
        "source-transactions",
        "source-prepared",
        "source-snapshot-expires",
        "source-checksums",
        "source-collations-outdated",
        "indexes-invalid",
        "slots-left-behind",
        "subscriptions-disabled",
        "database-privileges",
    ];
    let notes = [
        "constraints-not-valid",
        "foreign-servers",
        "other-databases",
    ];
    let quiet = looked(&from, &to, &[], 0);
    assert_silent(&quiet, &blockers);
    assert_silent(&quiet, &warnings);
    assert_silent(&quiet, &notes);

    break_a_page(&mut source);
    spoil(&source);
    let _reader = Visitor::run(
        &source,
        "shop",
        "open",
        "begin; insert into parent values (7777777); select pg_sleep(120)",
    );
    let _writer = Visitor::writing(&source, "shop", "log");
    let check = looked(&from, &to, &[], 4);
    assert_told(&check, "blocker", &blockers);
    assert_told(&check, "warning", &warnings);
    assert_told(&check, "note", &notes);
    for (rule, words) in [
        ("source-prepared", "COMMIT PREPARED 'half'"),
        (
            "indexes-invalid",
            "REINDEX INDEX CONCURRENTLY \"public\".\"twice\"",
        ),
        (
            "slots-left-behind",
            "-- on the source, after the switch: SELECT pg_drop_replication_slot('cdc');",
        ),
        (
            "database-privileges",
            "GRANT CONNECT ON DATABASE \"shop\" TO \"reader\";",
        ),
        ("constraints-not-valid", "VALIDATE CONSTRAINT \"positive\""),
        (
            "source-orphans",
            "select t.* from only \"public\".\"child\"",
        ),
    ] {
        let remedy = remedy(&check, rule);
        assert!(remedy.contains(words), "{rule}: {remedy}");
    }
    // A reader that is only down for the moment keeps its place, whoever pastes what is for after the switch.
    let (_, pasted) = remedy(&check, "slots-left-behind")
        .split_once('\n')
        .expect("something to paste");
    source.psql("shop", pasted);
    let slots = "select slot_name from pg_replication_slots where slot_name = 'cdc'";
    assert_eq!(source.psql("shop", slots), "cdc");
    // The query of the remedy finds the row.
    let remedy = remedy(&check, "source-orphans");
    let query = remedy.lines().find(|line| line.starts_with("select "));
    assert_eq!(source.psql("shop", query.expect("a query")), "99999|99999");
}

/// Makes everything that can be wrong with a source.
fn spoil(source: &Server) {
    source.psql(
        "shop",
        "create role reader login;
         create table log (i int);
         alter table child disable trigger all;
         insert into child values (99999, 99999);
         alter table child enable trigger all;
         alter table parent add constraint positive check (id > 0) not valid;
         create table doubled (i int);
         insert into doubled values (1), (1);
         create foreign data wrapper far;
         create server far foreign data wrapper far;
         create foreign table elsewhere (i int) server far;
         create subscription following connection 'dbname=none' publication p with (connect = false);
         select pg_create_logical_replication_slot('cdc', 'pgoutput');
         grant connect on database shop to reader;
         create database wiki template template0;
         create collation pg_catalog.moon (locale = 'C');
         create collation aging (provider = icu, locale = 'de');
         update pg_collation set collversion = '1' where collname = 'aging';
         create table words (w text collate moon, v text collate aging);
         begin; insert into log values (0); prepare transaction 'half';",
    );
    let failed = source.try_psql(
        "shop",
        "create unique index concurrently twice on doubled (i)",
    );
    assert!(failed.is_err(), "there are duplicates");
}

/// Has the server read a page whose checksum is wrong, as a bad disk would.
fn break_a_page(source: &mut Server) {
    source.psql(
        "shop",
        "create table broken (i int); insert into broken values (1); checkpoint;
         alter system set old_snapshot_threshold = '1h'",
    );
    let place = source.psql("shop", "select pg_relation_filepath('broken')");
    source.cluster.stop(StopMode::Fast).expect("stopped");
    let path = source.cluster.data_dir().join(place);
    let mut page = fs::read(&path).expect("a file");
    page[8000] ^= 0xff;
    fs::write(&path, page).expect("written");
    source.cluster.resume().expect("started");
    let said = source.try_psql("shop", "select * from broken");
    assert!(said.is_err(), "the page is broken");
    source.psql("shop", "drop table broken");
    let began = Instant::now();
    let counted = "select checksum_failures from pg_stat_database where datname = 'shop'";
    while source.psql("shop", counted) == "0" {
        assert!(began.elapsed() < Duration::from_secs(20), "nobody counts");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn what_no_dump_carries() {
    let (Some(source), Some(target)) = (Server::start(15), Server::start(15)) else {
        return;
    };
    let (from, to) = (source.database("shop"), target.database("shop"));
    let rules = [
        ("extension-rows", "public.plain"),
        ("system-schema-objects", "table information_schema.mine"),
        ("remarks-left-behind", "public.t: a comment on its row type"),
        (
            "system-schema-objects",
            "what was changed about text search configuration pg_catalog.english",
        ),
    ];
    source.psql(
        "shop",
        "create extension hstore; create table t (a int); create table plain (v text)",
    );
    let names = rules.map(|(rule, _)| rule);
    assert_silent(&looked(&from, &to, &["--no-measure"], 0), &names);
    source.psql(
        "shop",
        "alter extension hstore add table plain; insert into plain values ('a'); create table information_schema.mine (a int);
         comment on type t is 'row'; alter text search configuration pg_catalog.english alter mapping for asciiword with simple",
    );
    let check = looked(&from, &to, &["--no-measure"], 0);
    assert_told(&check, "note", &names[..1]);
    assert_told(&check, "warning", &names[1..]);
    let findings = check["findings"].as_array().expect("a list");
    for (rule, object) in rules {
        let found = findings.iter().find(|one| one["rule"] == rule);
        let evidence = found.expect("told")["evidence"].to_string();
        assert!(evidence.contains(object), "{rule}: {evidence}");
    }
}

#[test]
fn a_role_that_may_not_see_or_read_everything() {
    let (Some(source), Some(target)) = (Server::start(16), Server::start(16)) else {
        return;
    };
    source.psql(
        "postgres",
        "create role reader login; grant pg_read_all_data to reader; create role mover login",
    );
    target.psql("postgres", "create role mover login");
    source.database("shop");
    target.database("shop");
    source.psql("shop", SHOP);
    target.psql("postgres", "alter database shop owner to mover");
    let from = source
        .conninfo("shop")
        .replace("user='postgres'", "user=reader");
    let to = target
        .conninfo("shop")
        .replace("user='postgres'", "user=mover");
    let options = ["--no-owner", "-x", "-j", "2"];
    let quiet = looked(&from, &to, &options, 0);
    let rules = [
        "large-objects-unreadable",
        "sessions-hidden",
        "source-connections",
        "target-connections",
    ];
    assert_silent(&quiet, &rules);

    source.psql("shop", "select lo_from_bytea(77, 'secret')");
    source.psql("postgres", "alter role reader connection limit 6");
    target.psql("postgres", "alter database shop connection limit 3");
    let _visitor = Visitor::run(&source, "shop", "visitor", "select pg_sleep(120)");
    let check = looked(&from, &to, &options, 4);
    assert_told(
        &check,
        "blocker",
        &["large-objects-unreadable", "target-connections"],
    );
    assert_told(&check, "warning", &["source-connections"]);
    assert_told(&check, "note", &["sessions-hidden"]);

    // What it is refused to see, it says, and decides nothing.
    target.psql(
        "postgres",
        "alter database shop connection limit -1; alter role mover nologin; alter role mover login",
    );
    source.psql("shop", "select lo_unlink(77)");
    source.psql("postgres", "alter role reader connection limit -1");
    target.psql(
        "shop",
        "revoke select on pg_catalog.pg_replication_slots from public",
    );
    let check = looked(&from, &to, &options, 1);
    assert_eq!(check["verdict"], "undecided");
    assert_told(&check, "warning", &["not-looked-at"]);
}

#[test]
fn a_table_that_is_locked_against_everybody_or_gone() {
    let Some(server) = Server::start(16) else {
        return;
    };
    let (from, to) = (server.database("shop"), server.database("new"));
    server.psql("shop", SHOP);
    let whole = looked(&from, &to, &["--no-measure"], 0);
    assert_silent(
        &whole,
        &["source-files", "source-index-files", "source-locked"],
    );

    // A file that is missing forbids a move, and not one that leaves out whose it is.
    server.psql(
        "shop",
        "create table lost (id int primary key); insert into lost values (1);
         create schema staging; create view staging.seen as select 1 as i",
    );
    let files = server.psql(
        "shop",
        "checkpoint; select pg_relation_filepath(oid) from pg_class where relname in ('lost', 'lost_pkey')",
    );
    for file in files.lines() {
        fs::remove_file(server.cluster.data_dir().join(file)).expect("removed");
    }
    let wrong = looked(&from, &to, &["--no-measure"], 4);
    assert_told(&wrong, "blocker", &["source-files"]);
    assert_told(&wrong, "warning", &["source-index-files"]);
    for leaving_out in [["-T", "lost"], ["--exclude-table-data", "lost"]] {
        let options = [&["--no-measure"][..], &leaving_out].concat();
        let part = looked(&from, &to, &options, 0);
        assert_silent(&part, &["source-files", "source-index-files"]);
    }
    server.psql("shop", "drop table lost");

    // A lock that is gone by the time that it is looked at again is only waited for.
    let _passer_by = Visitor::run(
        &server,
        "shop",
        "passer-by",
        "begin; lock table parent in access exclusive mode; select pg_sleep(1.5)",
    );
    let passed = looked(&from, &to, &["--no-measure"], 0);
    assert_silent(&passed, &["source-locked", "not-looked-at"]);
    // So is one on what is left out.
    let aside = Visitor::run(
        &server,
        "shop",
        "aside",
        "begin; alter view staging.seen rename to was; select pg_sleep(120)",
    );
    let part = looked(&from, &to, &["--no-measure", "-N", "staging"], 0);
    assert_silent(&part, &["source-locked", "not-looked-at"]);
    server.psql(
        "postgres",
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'aside'",
    );
    drop(aside);

    let _visitor = Visitor::run(
        &server,
        "shop",
        "locker",
        "begin; lock table parent in access exclusive mode; select pg_sleep(120)",
    );
    let check = looked(&from, &to, &["--no-measure"], 4);
    assert_told(&check, "blocker", &["source-locked"]);
    assert_told(&check, "warning", &["not-looked-at"]);
    let text = check.to_string();
    assert!(text.contains("locker"), "{check:#}");
}

#[test]
fn what_makes_the_target_slow_or_lets_it_run_full() {
    let archives = |options: ClusterOptions| {
        options
            .setting("archive_mode", "on")
            .setting("archive_command", "false")
            .setting("max_wal_size", "32MB")
            .setting("min_wal_size", "32MB")
            .setting("work_mem", "1MB")
    };
    let (Some(source), Some(good), Some(bad)) = (
        Server::start(16),
        Server::start(16),
        Server::start_with(16, archives),
    ) else {
        return;
    };
    let from = source.database("shop");
    // Many pages with little on them: only their number counts.
    source.psql(
        "shop",
        "create table wide (id int primary key, what text) with (fillfactor = 10);
         insert into wide select i, repeat('x', 300) from generate_series(1, 18000) i; analyze",
    );
    source.psql("postgres", "alter system set work_mem = '8MB'");
    source.cluster.reload().expect("reloaded");
    let warnings = [
        "target-archiver",
        "target-checkpoints",
        "target-log-kept",
        "target-temp-limit",
        "target-in-use",
        "memory-settings",
        "io-settings",
    ];
    good.psql("postgres", "alter system set work_mem = '8MB'");
    good.cluster.reload().expect("reloaded");
    let quiet = looked(&from, &good.database("shop"), &["--no-measure"], 0);
    assert_silent(&quiet, &warnings);
    assert_silent(
        &quiet,
        &[
            "target-synchronous-standbys",
            "index-memory",
            "target-logs-all",
        ],
    );

    let to = bad.database("shop");
    bad.psql(
        "postgres",
        "select pg_create_physical_replication_slot('idle', true); select pg_switch_wal();
         alter system set temp_file_limit = '64kB';",
    );
    bad.cluster.reload().expect("reloaded");
    let began = Instant::now();
    while bad.psql("postgres", "select failed_count from pg_stat_archiver") == "0" {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "nothing is archived"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    let _visitor = Visitor::run(&bad, "shop", "visitor", "select pg_sleep(120)");
    let options = ["--no-measure", "--memory", "100kB"];
    let check = looked(&from, &to, &options, 0);
    assert_told(&check, "warning", &warnings);
    assert_told(&check, "note", &["index-memory", "target-checksums"]);
    assert_eq!(check["verdict"], "go_with_warnings");

    // Setting it needs no commit, which would wait.
    bad.psql(
        "postgres",
        "alter system set synchronous_standby_names = 'nobody'",
    );
    bad.cluster.reload().expect("reloaded");
    let check = looked(&from, &to, &options, 4);
    assert_told(&check, "blocker", &["target-synchronous-standbys"]);
}

#[test]
fn a_target_without_room_for_locks_and_one_that_need_not_log() {
    let few_locks = |options: ClusterOptions| {
        options
            .setting("max_locks_per_transaction", "10")
            .setting("max_connections", "15")
            .setting("max_wal_size", "32MB")
            .setting("min_wal_size", "32MB")
    };
    let (Some(source), Some(target)) = (Server::start(16), Server::start_with(16, few_locks))
    else {
        return;
    };
    let from = source.database("shop");
    source.psql(
        "shop",
        "do $$ begin for i in 1..80 loop execute format('create table t%s (i int)', i); end loop; end $$;
         create table wide (id int, what text) with (fillfactor = 10);
         insert into wide select i, repeat('x', 300) from generate_series(1, 18000) i; analyze",
    );
    let to = target.database("shop");
    let check = looked(&from, &to, &["--no-measure", "-j", "2"], 0);
    assert_told(&check, "warning", &["target-locks", "target-checkpoints"]);
    assert_told(&check, "note", &["target-logs-all"]);
    assert_silent(&check, &["target-connections"]);
    let check = looked(&from, &to, &["--no-measure", "-j", "16"], 0);
    assert_told(&check, "warning", &["target-connections"]);
    let few = remedy(&check, "target-connections");
    assert!(few.contains("(-j "), "{few}");
}
