//! What makes a good copy slow or wrong after cut-over, on real servers: each is told with its remedy, and a good copy is not
//! talked about.

mod support;

use std::time::Instant;

use pgconvoy::model::{Finding, QualifiedName, Severity};
use pgconvoy::pg::cluster::ClusterOptions;
use pgconvoy::pg::conninfo::{Conninfo, Environment};
use pgconvoy::pg::{Connector, Session, Side};
use pgconvoy::toc::Toc;
use pgconvoy::verify::{Readiness, Scope, readiness_findings};
use support::binary::Pgconvoy;
use support::moving::{RUN_DIR, assert_proven, build, move_with, report};
use support::server::Server;

/// What every throw-away server is, and rightly told of.
const THROW_AWAY: &str = "not-crash-safe";

const SHOP: &str = "
    create table item (id int primary key, name text, kind int, born date);
    insert into item select i, 'Item ' || i, i % 10, date '2000-01-01' + i from generate_series(1, 20000) i;
    create index item_lower on item (lower(name));
    create statistics item_kinds (dependencies) on kind, born from item;
    create table part (id int, name text) partition by range (id);
    create table part_1 partition of part for values from (0) to (100);
    insert into part select i, 'x' from generate_series(1, 99) i;
    create materialized view summary as select kind, count(*) from item group by kind;
    create table empty (a int);
    create table deleted (a int);
    insert into deleted select generate_series(1, 1000);
    delete from deleted;
    analyze;
";

/// Without autovacuum, which would do what is to be missed.
fn start(major: u32) -> Option<Server> {
    Server::start_with(major, |options: ClusterOptions| {
        options.setting("autovacuum", "off")
    })
}

async fn session(conninfo: &str) -> Session {
    let conninfo =
        Conninfo::resolve(conninfo, &Environment::of_process()).expect("a connection string");
    let connector = Connector::new(conninfo, Side::Target).expect("no TLS");
    connector.session("test").await.expect("a session")
}

/// Everything of a database.
fn scope(server: &Server, database: &str) -> Scope {
    let dump = server
        .tool("pg_dump")
        .args(["-Fc", "--schema-only", "-d", &server.conninfo(database)])
        .output()
        .expect("pg_dump runs");
    Scope::of(&Toc::parse(&dump.stdout).expect("a table of contents"))
}

async fn findings(source: (&Server, &str), target: (&Server, &str)) -> Vec<Finding> {
    let read = async |(server, database): (&Server, &str)| {
        let session = session(&server.conninfo(database)).await;
        Readiness::read(&session).await.expect("answers")
    };
    let (ours, theirs) = (read(source).await, read(target).await);
    let mut found = readiness_findings(&ours, &theirs, &scope(source.0, source.1));
    found.retain(|finding| finding.rule != THROW_AWAY);
    found
}

fn rules(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|found| found.rule.as_str()).collect()
}

fn restore(source: (&Server, &str), target: (&Server, &str)) {
    let archive = source.0.cluster.dir().join("stock.dump");
    let dumped = source
        .0
        .tool("pg_dump")
        .args(["-Fc", "-f"])
        .arg(&archive)
        .args(["-d", &source.0.conninfo(source.1)])
        .status();
    assert!(dumped.expect("pg_dump runs").success());
    target.0.database(target.1);
    // An old server does not know all that a new pg_restore sets.
    target
        .0
        .tool("pg_restore")
        .args(["-d", &target.0.conninfo(target.1)])
        .arg(&archive)
        .output()
        .expect("pg_restore runs");
}

async fn the_stock_tools_forget_one_thing(from: u32, to: u32) {
    let (Some(source), Some(target)) = (start(from), start(to)) else {
        return;
    };
    source.database("shop");
    source.psql("shop", SHOP);
    let (ours, theirs) = ((&source, "shop"), (&target, "shop"));
    restore(ours, theirs);
    let found = findings(ours, theirs).await;
    assert_eq!(rules(&found), ["statistics-missing"], "{found:#?}");
    let told = &found[0];
    assert_eq!(told.severity, Severity::Warning);
    for table in ["item", "part", "part_1", "summary"] {
        assert!(told.what.contains(&format!("public.{table}")), "{told:?}");
        assert!(told.remedy.contains(&format!("\"{table}\"")), "{told:?}");
    }
    assert!(
        !told.what.contains("empty") && !told.what.contains("deleted"),
        "{told:?}"
    );
    let remedy = told.remedy.split_once('\n').expect("a statement").1;
    target.psql("shop", remedy);
    let found = findings(ours, theirs).await;
    assert_eq!(found, [], "after {remedy}");
}

#[tokio::test]
async fn the_stock_tools_forget_statistics_15() {
    the_stock_tools_forget_one_thing(15, 15).await;
}

#[tokio::test]
async fn the_stock_tools_forget_statistics_10_to_18() {
    the_stock_tools_forget_one_thing(10, 18).await;
}

#[tokio::test]
async fn the_stock_tools_forget_statistics_12_to_13() {
    the_stock_tools_forget_one_thing(12, 13).await;
}

async fn a_move_is_not_talked_about(from: u32, to: u32) {
    let (Some(source), Some(target)) = (Server::start(from), Server::start(to)) else {
        return;
    };
    let from = source.database("m");
    build(&source, "m", "mastodon.sql", "scale=0.005");
    source.psql("m", SHOP);
    let to = target.database("m");
    let report = assert_proven(&move_with(&from, &to, &[]));
    let told = report["findings"].as_array().expect("a list");
    let told: Vec<&str> = told
        .iter()
        .map(|finding| finding["rule"].as_str().expect("a rule"))
        .collect();
    assert_eq!(told, [THROW_AWAY], "{report:#?}");
    assert_eq!(report["findings"][0]["severity"], "note");
    assert_eq!(findings((&source, "m"), (&target, "m")).await, []);
}

#[tokio::test]
async fn a_move_from_15_to_15_is_not_talked_about() {
    a_move_is_not_talked_about(15, 15).await;
}

#[tokio::test]
async fn a_move_from_15_to_18_is_not_talked_about() {
    a_move_is_not_talked_about(15, 18).await;
}

#[tokio::test]
async fn a_move_from_11_to_17_is_not_talked_about() {
    a_move_is_not_talked_about(11, 17).await;
}

/// What is done to the target, the rule that tells of it, and a part of what is said.
const LEFT_BEHIND: [(&str, &str, &str); 16] = [
    (
        "alter system set random_page_cost = 1.1",
        "planner-settings",
        "random_page_cost (4 on the source, 1.1 on the target)",
    ),
    (
        "alter system set enable_nestloop = off",
        "planner-settings",
        "enable_nestloop (on on the source, off on the target)",
    ),
    (
        "alter system set work_mem = '1MB'",
        "memory-settings",
        "work_mem (4MB on the source, 1MB on the target)",
    ),
    (
        "alter system set checkpoint_timeout = '1min'",
        "io-settings",
        "checkpoint_timeout (300s on the source, 60s on the target)",
    ),
    (
        "alter system set autovacuum_vacuum_cost_delay = '50ms'",
        "io-settings",
        "autovacuum_vacuum_cost_delay (2ms on the source, 50ms on the target)",
    ),
    (
        "alter system set temp_tablespaces = 'pg_default'",
        "io-settings",
        "temp_tablespaces (empty on the source, pg_default on the target)",
    ),
    (
        "alter system set statement_timeout = '1500ms'",
        "session-settings",
        "statement_timeout (0 on the source, 1500ms on the target)",
    ),
    (
        "alter database shop set statement_timeout = '1500ms'",
        "session-settings",
        "statement_timeout (0 on the source, 1500ms on the target)",
    ),
    (
        "alter database shop set timezone = 'Asia/Tokyo'; alter database shop reset timezone; alter system set timezone = 'Asia/Tokyo'",
        "session-settings",
        "Asia/Tokyo on the target",
    ),
    (
        "alter system set track_counts = off",
        "autovacuum-off",
        "track_counts",
    ),
    (
        "truncate item; insert into item select i, 'x', 1 from generate_series(1, 50000) i",
        "statistics-stale",
        "public.item",
    ),
    (
        "insert into item select i, repeat('x', 500), 1 from generate_series(20001, 40000) i",
        "statistics-stale",
        "public.item",
    ),
    (
        "drop index item_lower; create index item_lower on item (lower(name))",
        "statistics-missing",
        "public.item (index item_lower)",
    ),
    (
        "drop statistics item_kinds; create statistics item_kinds (dependencies) on kind, born from item",
        "extended-statistics-missing",
        "public.item_kinds",
    ),
    (
        "create collation dutch (provider = icu, locale = 'nl'); create table said (a text collate dutch); \
         update pg_catalog.pg_collation set collversion = '0.1' where collname = 'dutch'",
        "collation-version-outdated",
        "the collation public.dutch (made with 0.1, now ",
    ),
    (
        "update pg_catalog.pg_database set datctype = 'C.UTF-8' where datname = 'shop'",
        "locale-differs",
        "ctype C.utf8 on the target",
    ),
];

/// A server of 16 or later has its own spelling of the name that it was given, and the operating system's orders nothing there.
#[tokio::test]
async fn the_same_locale_of_icu_is_told_by_no_spelling() {
    let (Some(source), Some(target)) = (start(15), start(18)) else {
        return;
    };
    let made = "create database shop template template0 encoding utf8 locale_provider icu icu_locale 'en_US'";
    source.psql(
        "postgres",
        &format!("{made} lc_collate 'C.UTF-8' lc_ctype 'C.UTF-8'"),
    );
    target.psql(
        "postgres",
        &format!("{made} lc_collate 'C' lc_ctype 'C.UTF-8'"),
    );
    let kept = "select coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') from pg_database d where datname = 'shop'";
    assert_eq!(source.psql("postgres", kept).trim(), "en_US");
    assert_eq!(target.psql("postgres", kept).trim(), "en-US");
    let found = findings((&source, "shop"), (&target, "shop")).await;
    assert!(!rules(&found).contains(&"locale-differs"), "{found:#?}");
    // Of which version it is decides the library that the server was built with.
    let version =
        "select pg_database_collation_actual_version(oid) from pg_database where datname = 'shop'";
    let [ours, theirs] = [&source, &target].map(|server| server.psql("shop", version));
    let differ = format!("own collation ({ours} on the source, {theirs} on the target)");
    let told = found.iter().any(|one| {
        (one.severity, one.rule.as_str()) == (Severity::Note, "collation-versions-differ")
            && one.what.ends_with(&differ)
    });
    assert_eq!(told, ours != theirs, "{found:#?}");
    assert_eq!(findings((&source, "shop"), (&source, "shop")).await, []);
    let other = "create database other template template0 encoding utf8 locale_provider icu icu_locale 'en_GB' lc_collate 'C' lc_ctype 'C.UTF-8'";
    target.psql("postgres", other);
    let found = findings((&source, "shop"), (&target, "other")).await;
    assert!(rules(&found).contains(&"locale-differs"), "{found:#?}");
}

#[tokio::test]
async fn each_thing_left_behind_is_told() {
    let (Some(source), Some(target)) = (start(15), start(15)) else {
        return;
    };
    source.database("shop");
    source.psql("shop", SHOP);
    restore((&source, "shop"), (&target, "good"));
    target.psql("good", "analyze");
    for (done, rule, said) in LEFT_BEHIND {
        target.psql("postgres", "create database shop template good");
        let before = findings((&source, "shop"), (&target, "shop")).await;
        assert_eq!(before, [], "before {done}");
        for statement in done.split("; ") {
            target.psql("shop", statement);
        }
        target.psql("shop", "select pg_reload_conf()");
        std::thread::sleep(std::time::Duration::from_millis(200));
        let found = findings((&source, "shop"), (&target, "shop")).await;
        assert!(
            found
                .iter()
                .any(|one| one.rule == rule && one.what.contains(said)),
            "{done}: {found:#?}"
        );
        target.psql("postgres", "alter system reset all");
        target.psql("postgres", "select pg_reload_conf()");
        target.psql("postgres", "drop database shop with (force)");
    }
}

#[tokio::test]
async fn settings_of_the_database_and_of_roles_are_told_without_secrets() {
    let Some(server) = start(15) else {
        return;
    };
    server.database("one");
    server.database("two");
    server.psql(
        "postgres",
        "create role app;
         alter database one set work_mem = '64MB';
         alter database one set app.jwt_secret = 'hunter2';
         alter role app in database one set statement_timeout = '5s';
         alter role app set lock_timeout = '1s';",
    );
    let found = findings((&server, "one"), (&server, "two")).await;
    // What is set on the role for every database is the same here: it is one server.
    assert_eq!(rules(&found), ["database-settings"], "{found:#?}");
    for said in [
        "work_mem=64MB",
        "app.jwt_secret",
        "app: statement_timeout=5s",
    ] {
        assert!(found[0].what.contains(said), "{found:?}");
    }
    assert!(!found[0].what.contains("hunter2"), "{found:?}");

    let Some(other) = start(15) else {
        return;
    };
    other.database("one");
    other.psql("postgres", "create role app");
    let found = findings((&server, "one"), (&other, "one")).await;
    assert_eq!(
        rules(&found),
        ["database-settings", "role-settings"],
        "{found:#?}"
    );
    assert!(found[1].what.ends_with("app: lock_timeout=1s"), "{found:?}");
}

/// By name, with what the server says to it; everything else is told all the same.
#[tokio::test]
async fn what_a_server_refuses_to_tell_is_named() {
    let Some(server) = start(15) else {
        return;
    };
    server.psql("postgres", "create role reader login");
    server.database("shop");
    server.psql("shop", SHOP);
    server.psql("postgres", "create database copy template shop");
    let scope = scope(&server, "shop");
    let told = async || {
        let read = async |database: &str| {
            let session = session(&format!("{} user=reader", server.conninfo(database))).await;
            Readiness::read(&session).await.expect("answers")
        };
        let (ours, theirs) = (read("shop").await, read("copy").await);
        readiness_findings(&ours, &theirs, &scope)
    };
    assert_eq!(rules(&told().await), [THROW_AWAY]);
    server.psql(
        "copy",
        "revoke select on pg_catalog.pg_stats from public;
         update pg_catalog.pg_database set datctype = 'C.UTF-8' where datname = 'copy'",
    );
    let found = told().await;
    assert!(rules(&found).contains(&"locale-differs"), "{found:#?}");
    let refused = found.iter().find(|one| one.rule == "not-looked-at");
    let refused = refused.unwrap_or_else(|| panic!("{found:#?}"));
    assert_eq!(refused.severity, Severity::Note);
    let what = "could not be looked at: planner statistics on the target (ERROR:  42501: ";
    assert!(refused.what.starts_with(what), "{refused:?}");
}

/// What somebody has left on the target's database, or on a role, and what every session of the application would begin with.
const OF_SESSIONS: &str = "
    alter database shop set session_replication_role = replica;
    alter database shop set default_transaction_read_only = on;
    alter database shop set statement_timeout = '5s';
    alter database shop set timezone = 'Asia/Tokyo';
    alter database shop set search_path = elsewhere;
    alter database shop set row_security = off;
    alter role app set lock_timeout = '1s';
    alter role app in database shop set search_path = nowhere;
";

#[tokio::test]
async fn what_is_set_on_the_target_alone_is_told_with_what_takes_it_away() {
    let (Some(source), Some(target)) = (start(10), start(18)) else {
        return;
    };
    for server in [&source, &target] {
        server.database("shop");
        server.psql("postgres", "create role app");
    }
    let (ours, theirs) = ((&source, "shop"), (&target, "shop"));
    assert_eq!(findings(ours, theirs).await, []);
    target.psql("postgres", OF_SESSIONS);
    let found = findings(ours, theirs).await;
    assert_eq!(
        rules(&found),
        ["session-settings", "target-settings"],
        "{found:#?}"
    );
    for said in [
        "session_replication_role (origin on the source, replica on the target)",
        "default_transaction_read_only (off on the source, on on the target)",
        "statement_timeout (0 on the source, 5000ms on the target)",
        "Asia/Tokyo on the target",
        "public on the source, elsewhere on the target",
        "row_security (on on the source, off on the target)",
    ] {
        assert!(found[0].what.contains(said), "{said}: {found:#?}");
    }
    for said in [
        "app: lock_timeout (0 on the source, 1000ms on the target)",
        "app: search_path (\"$user\", public on the source, nowhere on the target)",
    ] {
        assert!(found[1].what.contains(said), "{said}: {found:#?}");
    }
    for told in &found {
        let remedy = told.remedy.split_once('\n').expect("statements").1;
        target.psql("postgres", remedy);
    }
    assert_eq!(findings(ours, theirs).await, []);
}

#[tokio::test]
async fn sessions_that_begin_alike_are_not_talked_about_wherever_that_is_set() {
    let (Some(one), Some(other)) = (start(18), start(18)) else {
        return;
    };
    for server in [&one, &other] {
        server.database("shop");
        server.psql("postgres", "create role app");
    }
    one.psql(
        "postgres",
        "alter database shop set statement_timeout = '7s';
         alter role app in database shop set lock_timeout = '3s';
         alter role all set idle_in_transaction_session_timeout = '1min'",
    );
    for sql in [
        "alter system set statement_timeout = 7000",
        "alter role app set lock_timeout = '3000ms'",
        "alter database shop set idle_in_transaction_session_timeout = '60s'",
    ] {
        other.psql("postgres", sql);
    }
    other.cluster.reload().expect("reloaded");
    std::thread::sleep(std::time::Duration::from_millis(200));
    let sides = ((&one, "shop"), (&other, "shop"));
    assert_eq!(findings(sides.0, sides.1).await, []);
    assert_eq!(findings(sides.1, sides.0).await, []);

    other.psql(
        "postgres",
        "alter database shop set statement_timeout = 8000",
    );
    let found = findings(sides.0, sides.1).await;
    assert_eq!(rules(&found), ["session-settings"], "{found:#?}");
    let said = "statement_timeout (7000ms on the source, 8000ms on the target)";
    assert!(found[0].what.ends_with(said), "{found:#?}");
}

/// On the target's database and on a role in it: what a salvage leaves behind, what a load does, and what an application goes by.
const OF_ANYTHING: &str = "
    alter database two set zero_damaged_pages = on;
    alter database two set ignore_checksum_failure = on;
    alter database two set check_function_bodies = off;
    alter database two set \"app.tenant\" = 'secret';
    alter role app in database two set quote_all_identifiers = on;
    alter role app in database two set \"app.Colour\" = 'red';
    alter database two set log_statement = 'all';
    alter role app in database two set application_name = 'shop';
";

#[tokio::test]
async fn whatever_is_set_for_the_targets_database_or_a_role_is_told_but_for_logs() {
    for major in [10, 18] {
        let Some(server) = start(major) else {
            continue;
        };
        server.database("one");
        server.database("two");
        server.psql("postgres", "create role app");
        server.psql("postgres", OF_ANYTHING);
        let sides = ((&server, "one"), (&server, "two"));
        let found = findings(sides.0, sides.1).await;
        assert_eq!(
            rules(&found),
            ["session-settings", "target-settings"],
            "{major}: {found:#?}"
        );
        for said in [
            "ignore_checksum_failure (off on the source, on on the target)",
            "zero_damaged_pages (off on the source, on on the target)",
        ] {
            assert!(found[0].what.contains(said), "{major}: {found:#?}");
        }
        for said in [
            "check_function_bodies (on on the source, off on the target)",
            "app.tenant",
            "app: quote_all_identifiers (off on the source, on on the target)",
            "app: app.Colour",
        ] {
            assert!(found[1].what.contains(said), "{said}: {found:#?}");
        }
        for unsaid in ["secret", "red", "log_statement", "application_name"] {
            assert!(!found[1].what.contains(unsaid), "{unsaid}: {found:#?}");
        }
        // Nobody wants damage passed over: that the source does, and the target not, is none of a copy's faults.
        let back = findings(sides.1, sides.0).await;
        assert_eq!(rules(&back), ["database-settings"], "{major}: {back:#?}");
        assert!(!back[0].what.contains("damaged"), "{major}: {back:#?}");

        for told in &found {
            let remedy = told.remedy.split_once('\n').expect("statements").1;
            server.psql("postgres", remedy);
        }
        assert_eq!(findings(sides.0, sides.1).await, [], "{major}");
    }
}

#[tokio::test]
async fn settings_that_mean_the_same_are_not_told_however_they_are_spelled() {
    let Some(server) = start(18) else {
        return;
    };
    for database in ["one", "two"] {
        server.database(database);
    }
    server.psql(
        "postgres",
        "create role app;
         alter database one set timezone = 'utc';
         alter database two set timezone = 'Etc/UTC';
         alter role app in database one set jit = off;
         alter role app in database two set jit = 'f';
         alter role app in database one set client_encoding = 'UTF8';
         alter role app in database two set client_encoding = 'utf-8';
         alter role app in database one set default_text_search_config = 'english';
         alter role app in database two set default_text_search_config = 'pg_catalog.english';
         alter role app in database one set search_path = 'app';
         alter role app in database two set search_path = App;
         alter role app in database one set intervalstyle = 'ISO_8601';
         alter role app in database two set intervalstyle = 'iso_8601';
         alter role app in database two set datestyle = 'iso, mdy';
         alter role app in database two set bytea_output = 'HEX'",
    );
    let sides = ((&server, "one"), (&server, "two"));
    assert_eq!(findings(sides.0, sides.1).await, []);
    assert_eq!(findings(sides.1, sides.0).await, []);
    server.psql(
        "postgres",
        "alter role app in database two set datestyle = 'iso, dmy'",
    );
    let found = findings(sides.0, sides.1).await;
    assert_eq!(rules(&found), ["target-settings"], "{found:#?}");
    let said = ": app: DateStyle (ISO, MDY on the source, ISO, DMY on the target)";
    assert!(found[0].what.ends_with(said), "{found:#?}");
}

/// At its beginning, by the same measure as a comparison.
#[test]
fn a_move_names_the_settings_that_its_target_lacks_and_no_other_spelling() {
    let Some(server) = start(18) else {
        return;
    };
    for database in ["one", "alike", "bare"] {
        server.database(database);
    }
    server.psql("one", "create table t (i int)");
    server.psql(
        "postgres",
        "alter database one set work_mem = '64MB';
         alter database one set datestyle = 'iso, dmy';
         alter database one set timezone = 'utc';
         alter database one set app.key = 'hush';
         alter database alike set app.key = 'hush';
         alter database alike set timezone = 'Etc/UTC';
         alter database alike set datestyle = 'DMY, ISO';
         alter database alike set work_mem = '65536kB'",
    );
    let from = server.conninfo("one");
    // Whoever watches the log for errors is not called because of it.
    let to = server.conninfo("bare");
    let plan = Pgconvoy::new(["plan", "--source", &from, "--target", &to]).run();
    assert_eq!(plan.status, 0, "{plan}");
    assert!(plan.stderr.contains("[database-settings]"), "{plan}");
    let log = std::fs::read(server.cluster.dir().join("log")).expect("it logs");
    let log = String::from_utf8_lossy(&log);
    assert!(!log.contains("SAVEPOINT can only be used"), "{log}");
    let told = |target: &str| {
        let run = move_with(&from, &server.conninfo(target), &[]);
        let report = assert_proven(&run);
        let told = report["findings"].as_array().expect("a list").iter();
        let mut told = told.filter(|one| one["rule"] == "database-settings");
        told.next().map(|one| one["what"].to_string())
    };
    assert_eq!(told("alike"), None);
    let lacking = told("bare").expect("a finding");
    for said in ["work_mem=64MB", "=iso, dmy", "app.key"] {
        assert!(lacking.contains(said), "{said}: {lacking}");
    }
    // The server's own time zone is that one already.
    for unsaid in ["utc", "hush"] {
        assert!(!lacking.contains(unsaid), "{unsaid}: {lacking}");
    }
}

/// A role for each tenant, with settings of its own, is not rare.
const TENANTS: &str = "
    do $$ begin for i in 1..2000 loop execute format('create role tenant_%s', i); end loop; end $$;
    insert into pg_catalog.pg_db_role_setting
    select place.oid, r.oid, array[format('search_path=%s', r.rolname), 'statement_timeout=' || place.timeout]
    from pg_catalog.pg_authid r,
         (values (0::oid, '5s'), ((select d.oid from pg_catalog.pg_database d where datname = 'two'), '7s')) place(oid, timeout)
    where r.rolname ~ '^tenant_';
";

#[tokio::test]
async fn settings_of_thousands_of_roles_take_no_longer_than_there_are_and_a_few_are_named() {
    let Some(server) = start(18) else {
        return;
    };
    server.database("one");
    server.database("two");
    server.psql("postgres", TENANTS);
    let read = async |database: &str| {
        let session = session(&server.conninfo(database)).await;
        Readiness::read(&session).await.expect("answers")
    };
    let (ours, theirs) = (read("one").await, read("two").await);
    let scope = scope(&server, "one");
    let found = readiness_findings(&ours, &theirs, &scope);
    let told = found.iter().find(|one| one.rule == "target-settings");
    let told = told.unwrap_or_else(|| panic!("{found:#?}"));
    assert!(told.what.ends_with(" and 1,995 more"), "{told:#?}");
    let (sentence, pasted) = told.remedy.split_once('\n').expect("statements");
    assert!(sentence.contains("20 of 2,000"), "{sentence}");
    assert_eq!(pasted.lines().count(), 20, "{pasted}");

    let eighth = |side: &Readiness| {
        let mut side = side.clone();
        side.role_settings.retain(|one| {
            let number = one.role.as_deref().and_then(|role| role.split_once('_'));
            number.is_some_and(|(_, number)| number.parse::<u32>().is_ok_and(|it| it % 8 == 0))
        });
        side
    };
    let fastest = |ours: &Readiness, theirs: &Readiness| {
        let took = |_| {
            let begun = Instant::now();
            assert!(!readiness_findings(ours, theirs, &scope).is_empty());
            begun.elapsed()
        };
        (0..3).map(took).min().expect("three of them")
    };
    let (few, all) = (
        fastest(&eighth(&ours), &eighth(&theirs)),
        fastest(&ours, &theirs),
    );
    // Of eight times as many; if each were looked for among all, it would be 64.
    assert!(all < few * 24, "{few:?} for an eighth, {all:?} for all");
}

/// The session that has made the database began before that was given anything.
#[test]
fn what_a_created_database_was_given_is_not_told_as_missing() {
    for (from, to) in [(11, 17), (18, 18)] {
        let (Some(source), Some(target)) = (Server::start(from), Server::start(to)) else {
            continue;
        };
        let from = source.database("shop");
        source.psql(
            "shop",
            "create schema app; create table app.t as select 1 as id",
        );
        for server in [&source, &target] {
            server.psql("postgres", "create role app");
        }
        source.psql(
            "postgres",
            "alter database shop set statement_timeout = '7s';
             alter database shop set search_path = app, public;
             alter database shop set timezone = 'Europe/Berlin';
             alter database shop set work_mem = '64MB';
             alter database shop set effective_io_concurrency = 200;
             alter role app in database shop set lock_timeout = '1s'",
        );
        let run = move_with(&from, &target.conninfo("shop"), &["--create"]);
        let report = assert_proven(&run);
        let brought = "select count(*) from pg_db_role_setting s, unnest(setconfig)";
        assert_eq!(target.psql("shop", brought), "6", "{run}");
        let told = report["findings"].as_array().expect("a list").iter();
        let rules: Vec<&str> = told.filter_map(|one| one["rule"].as_str()).collect();
        let of_settings = |rule: &&str| rule.ends_with("-settings");
        assert!(!rules.iter().any(of_settings), "{run}");
        assert!(rules.contains(&THROW_AWAY), "what is to be told is: {run}");
    }
}

#[tokio::test]
async fn a_subscription_that_writes_into_the_copy_is_told_by_name() {
    for major in [10, 18] {
        let Some(server) = start(major) else {
            continue;
        };
        let subscribe = |database: &str, name: &str| {
            let made = format!(
                "create subscription {name} connection 'host=/nowhere dbname=x' publication p with (connect = false, slot_name = {name})"
            );
            server.psql(database, &made);
        };
        for database in ["one", "two"] {
            server.database(database);
            subscribe(database, "news");
        }
        // As in a database that follows another one.
        let ours = "pgconvoy_0123456789abcdef";
        subscribe("two", ours);
        server.psql("two", &format!("alter subscription {ours} enable"));
        server.psql(
            "postgres",
            "alter database two set default_transaction_read_only = on",
        );
        let sides = ((&server, "one"), (&server, "two"));
        assert_eq!(findings(sides.0, sides.1).await, [], "{major}");

        let write = |sql: &str| {
            let sql = format!("set default_transaction_read_only = off; {sql}");
            server.psql("two", &sql);
        };
        write("alter subscription news enable");
        let found = findings(sides.0, sides.1).await;
        assert_eq!(
            rules(&found),
            ["subscriptions-enabled"],
            "{major}: {found:#?}"
        );
        assert_eq!(found[0].severity, Severity::Warning);
        let said = ": news (the copy of the source's, which is disabled there)";
        assert!(found[0].what.ends_with(said), "{major}: {found:#?}");

        server.psql("one", "alter subscription news enable");
        let found = findings(sides.0, sides.1).await;
        assert_eq!(
            rules(&found),
            ["subscriptions-enabled"],
            "{major}: {found:#?}"
        );
        let said = ": news (enabled on the source as well)";
        assert!(found[0].what.ends_with(said), "{major}: {found:#?}");

        write(found[0].remedy.split_once('\n').expect("a statement").1);
        let found = findings(sides.0, sides.1).await;
        assert_eq!(
            rules(&found),
            ["subscriptions-disabled"],
            "{major}: {found:#?}"
        );
        assert_eq!(found[0].severity, Severity::Note);
        assert!(found[0].what.ends_with(": news"), "{major}: {found:#?}");
        server.psql("one", "alter subscription news disable");
        assert_eq!(findings(sides.0, sides.1).await, [], "{major}");
    }
}

/// Neither of a move nor of a comparison does any of it change the status.
#[test]
fn what_is_set_on_the_target_alone_is_told_by_every_command() {
    let (Some(source), Some(target)) = (start(15), start(18)) else {
        return;
    };
    let (from, to) = (source.database("shop"), target.database("shop"));
    source.psql(
        "shop",
        "create table t (id int primary key); insert into t values (1); analyze",
    );
    for server in [&source, &target] {
        server.psql("postgres", "create role app");
    }
    target.psql("postgres", OF_SESSIONS);
    let ends = ["--source", &from, "--target", &to, "--run-dir", RUN_DIR];
    let commands: [&[&str]; 3] = [&["move"], &["verify"], &["verify", "--after"]];
    for command in commands {
        let run = Pgconvoy::new(command.iter().chain(&ends)).run();
        assert_eq!(run.status, 0, "{command:?}: {run}");
        let report = report(&run);
        let told = report["findings"].as_array().expect("a list");
        for (rule, said) in [
            (
                "session-settings",
                "session_replication_role (origin on the source, replica on the target)",
            ),
            ("target-settings", "app: search_path"),
        ] {
            let mut told = told.iter().filter(|one| one["rule"] == rule);
            let what = told.next().and_then(|one| one["what"].as_str());
            let what = what.unwrap_or_else(|| panic!("{command:?} does not tell of {rule}: {run}"));
            assert!(what.contains(said), "{command:?}: {run}");
        }
    }
}

/// Who owns a database and nothing else is told everything about it.
#[tokio::test]
async fn an_ordinary_owner_can_ask() {
    for major in [10, 14, 15, 18] {
        let Some(server) = start(major) else {
            continue;
        };
        server.psql(
            "postgres",
            "create role owner login; create database source owner owner; create database target owner owner",
        );
        for (database, analyze) in [("source", SHOP), ("target", SHOP)] {
            server.psql(database, "grant all on schema public to owner");
            server.psql(database, &format!("set role owner; {analyze}"));
            server.psql(
                database,
                "create table foreign_to_owner as select generate_series(1, 9999)",
            );
        }
        server.psql("target", "set role owner; drop table item cascade");
        server.psql(
            "target",
            "set role owner; create table item as select i as id, 1 as kind from generate_series(1, 20000) i",
        );
        let read = async |database: &str| {
            let conninfo = format!("{} user=owner", server.conninfo(database));
            let session = session(&conninfo).await;
            Readiness::read(&session).await.expect("answers")
        };
        let (ours, theirs) = (read("source").await, read("target").await);
        assert_eq!(theirs.refused, [], "{major}");
        let known = |name: &str| {
            let name = QualifiedName::new("public", name);
            theirs.statistics.iter().any(|one| one.table == name)
        };
        assert!(known("item") && !known("foreign_to_owner"), "{major}");
        let scope = scope(&server, "source");
        let found = readiness_findings(&ours, &theirs, &scope);
        assert!(
            rules(&found).contains(&"statistics-missing"),
            "{major}: {found:#?}"
        );
        // Nothing else is missing for want of rights.
        let source = readiness_findings(&ours, &ours, &scope);
        assert_eq!(rules(&source), [THROW_AWAY], "{major}");
        assert!(ours.extended.iter().all(|one| one.built), "{major}");
    }
}
