//! What makes a good copy slow or wrong after cut-over, on real servers: each is told with its remedy, and a good copy is not
//! talked about.

mod support;

use pgconvoy::model::{Finding, QualifiedName, Severity};
use pgconvoy::pg::cluster::ClusterOptions;
use pgconvoy::pg::conninfo::{Conninfo, Environment};
use pgconvoy::pg::{Connector, Session, Side};
use pgconvoy::toc::Toc;
use pgconvoy::verify::{Readiness, Scope, readiness_findings};
use support::moving::{assert_proven, build, move_with};
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
const LEFT_BEHIND: [(&str, &str, &str); 15] = [
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
