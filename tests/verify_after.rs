//! What nobody compares and the first users would notice: on real servers, a statement that would run worse on the target is
//! named with both plans, one that would not is not talked about, and neither side is written to.

mod support;

use pgconvoy::pg::cluster::ClusterOptions;
use pgconvoy::pg::conninfo::{Conninfo, Environment};
use pgconvoy::pg::{Connector, Side};
use serde_json::Value;
use support::binary::{Finished, Pgconvoy};
use support::moving::{RUN_DIR, Untouched, assert_proven, move_with, report};
use support::server::Server;

const APP: &str = "
    create table account (id int primary key, name text);
    insert into account select i, 'account ' || i from generate_series(1, 100) i;
    create table notification (id int primary key, account_id int references account, read boolean, body text);
    insert into notification select i, 1 + i % 100, false, repeat('x', 100) from generate_series(1, 30000) i;
    create index notification_account on notification (account_id, id);
    create table visit (day date not null, page text) partition by list (day);
    create table visit_1 partition of visit for values in ('2026-01-01');
    create table visit_2 partition of visit for values in ('2026-01-02');
    insert into visit select date '2026-01-01' + i % 2, 'page ' || i from generate_series(1, 40000) i;
    create index visit_page on visit (page);
    create table tag (id int primary key, label char(1000));
    insert into tag select i, 'tag ' || i from generate_series(1, 100) i;
    analyze;
";

/// One that will get worse, one of a partitioned table, two that write, one without parameters, one of a table that is soon read as a whole.
const STATEMENTS: &str = "
    -- the bell on every page
    select id, body from notification where account_id = $1 and id > $2 order by id limit 20;
    select * from visit where page = $1 and day = $2;
    insert into account (id, name) values ($1, $2);
    with gone as (delete from account where id = $1 returning id) select count(*) from gone;
    select ';' || name from account;
    select label from tag where id = $1;
";

/// What keeps a planner from using an index.
const NO_INDEXES: &str = "
    alter database copy set enable_indexscan = off;
    alter database copy set enable_bitmapscan = off;
    alter database copy set enable_indexonlyscan = off;
";

fn start(major: u32) -> Option<(Server, String, String)> {
    let server = Server::start_with(major, |options: ClusterOptions| {
        options.setting("autovacuum", "off")
    })?;
    let from = server.database("app");
    server.psql("app", APP);
    server.psql("postgres", "create database copy template app");
    let to = server.conninfo("copy");
    Some((server, from, to))
}

fn verify(from: &str, to: &str, statements: Option<&str>, more: &[&str]) -> Finished {
    let fixed = [
        "verify",
        "--source",
        from,
        "--target",
        to,
        "--run-dir",
        RUN_DIR,
        "--after",
    ];
    let mut arguments: Vec<&str> = fixed.iter().chain(more).copied().collect();
    if statements.is_some() {
        arguments.extend(["--statements", "statements.sql"]);
    }
    let run = Pgconvoy::new(arguments);
    if let Some(statements) = statements {
        std::fs::write(run.dir().join("statements.sql"), statements).expect("written");
    }
    run.run()
}

/// The findings of a rule.
fn told<'a>(report: &'a Value, rule: &str) -> Vec<&'a Value> {
    let findings = report["findings"].as_array().expect("a list");
    findings.iter().filter(|one| one["rule"] == rule).collect()
}

/// Why there are no plans to be compared.
#[track_caller]
fn why_not_compared(run: &Finished) -> String {
    let report = report(run);
    let found = told(&report, "plans-not-compared");
    let why = found.first().and_then(|one| one["what"].as_str());
    why.unwrap_or_else(|| panic!("{run}")).to_owned()
}

fn plans_that_are_the_same(report: &Value) -> u64 {
    let checked = report["checked"].as_array().expect("a list");
    let plans = checked
        .iter()
        .find(|one| one["what"] == "plans of statements");
    plans.map_or(0, |plans| plans["count"].as_u64().expect("a number"))
}

fn both_are_told(major: u32) {
    let Some((server, from, to)) = start(major) else {
        return;
    };
    let before = [
        Untouched::of(&server, "app"),
        Untouched::of(&server, "copy"),
    ];
    let run = verify(&from, &to, Some(STATEMENTS), &[]);
    assert_eq!(run.status, 0, "{run}");
    let same = report(&run);
    assert_eq!(plans_that_are_the_same(&same), 6, "{run}");
    for rule in [
        "plan-worse",
        "plan-other",
        "plans-not-compared",
        "statement-refused",
    ] {
        assert_eq!(told(&same, rule), [&Value::Null; 0], "{run}");
    }
    let after = [
        Untouched::of(&server, "app"),
        Untouched::of(&server, "copy"),
    ];
    assert_eq!(before, after, "{run}");

    server.psql("postgres", NO_INDEXES);
    let run = verify(&from, &to, Some(STATEMENTS), &["--level", "schema"]);
    // Everything that is compared is the same, and rows were not looked at: a worse plan does not change that.
    assert_eq!(run.status, 6, "{run}");
    let worse = report(&run);
    let found = told(&worse, "plan-worse");
    let what: Vec<&str> = found
        .iter()
        .filter_map(|one| one["what"].as_str())
        .collect();
    assert_eq!(what.len(), 2, "{run}");
    assert!(
        what[0]
            .contains("Seq Scan instead of Index Scan on public.notification, Sort besides; cost "),
        "{run}"
    );
    // No partition is ruled out by a parameter that has no value.
    assert!(
        what[1].contains("public.visit_1") && what[1].contains("public.visit_2"),
        "{run}"
    );
    let evidence = found[0]["evidence"].as_array().expect("a list");
    let evidence: Vec<&str> = evidence.iter().filter_map(Value::as_str).collect();
    let [statement, source, target] = evidence.as_slice() else {
        panic!("{run}");
    };
    assert!(statement.starts_with("statement: select id, body"), "{run}");
    assert!(
        source.contains("Index Scan using notification_account on public.notification"),
        "{run}"
    );
    assert!(target.contains("Seq Scan on public.notification"), "{run}");
    let [other] = told(&worse, "plan-other")[..] else {
        panic!("{run}");
    };
    assert_eq!(other["severity"], "note", "{run}");
    assert_eq!(other["evidence"].as_array().map(Vec::len), Some(1), "{run}");
    let evidence = other["evidence"][0].as_str().expect("text");
    let differs = "Seq Scan instead of Index Scan on public.tag; cost ";
    assert!(evidence.starts_with(differs), "{run}");
    let warned = "warning: a statement has a worse plan on the target";
    assert!(run.stderr.contains(warned), "{run}");
    let next = worse["next"].as_str().expect("what to do next");
    assert!(
        next.contains("Before the target goes into service: "),
        "{run}"
    );
    let page = std::fs::read_to_string(run.path(RUN_DIR).join("report.html")).expect("a page");
    assert!(page.contains("Seq Scan on public.notification"), "{page}");
}

#[test]
fn a_worse_plan_is_named_18() {
    both_are_told(18);
}

#[test]
fn a_worse_plan_is_named_13() {
    both_are_told(13);
}

/// One is asked by way of a prepared statement, the other is not, and their planners are five years apart: that alone is nothing to
/// be warned of.
#[test]
fn another_version_is_no_worse_plan() {
    let (Some((_source, from, _)), Some(target)) = (start(13), Server::start(18)) else {
        return;
    };
    let to = target.database("app");
    assert_proven(&move_with(&from, &to, &[]));
    let run = verify(&from, &to, Some(STATEMENTS), &[]);
    assert_eq!(run.status, 0, "{run}");
    let report = report(&run);
    for rule in ["plan-worse", "plans-not-compared", "statement-refused"] {
        assert_eq!(told(&report, rule), [&Value::Null; 0], "{run}");
    }
    assert!(plans_that_are_the_same(&report) >= 4, "{run}");
}

#[test]
fn what_an_old_server_cannot_tell_is_refused_by_name() {
    let Some((server, from, to)) = start(11) else {
        return;
    };
    server.psql("postgres", NO_INDEXES);
    let run = verify(&from, &to, Some(STATEMENTS), &["--level", "schema"]);
    assert_eq!(run.status, 6, "{run}");
    let report = report(&run);
    let unknown = told(&report, "plans-not-compared");
    let evidence = unknown[0]["evidence"].as_array().expect("a list");
    assert_eq!(evidence.len(), 5, "{run}");
    let said = evidence[0].as_str().expect("text");
    assert!(
        said.contains("PostgreSQL 11 can plan a statement with parameters only for values"),
        "{run}"
    );
    // Without parameters it can.
    assert_eq!(plans_that_are_the_same(&report), 1, "{run}");
}

#[test]
fn the_statements_that_the_source_has_counted_are_planned() {
    let Some(server) = Server::start_with(15, |options: ClusterOptions| {
        options.setting("shared_preload_libraries", "pg_stat_statements")
    }) else {
        return;
    };
    let from = server.database("app");
    server.psql("app", APP);
    server.psql("postgres", "create database copy template app");
    let to = server.conninfo("copy");
    let run = verify(&from, &to, None, &["--level", "schema"]);
    let why = why_not_compared(&run);
    assert!(
        why.contains("pg_stat_statements is not installed in the source database"),
        "{run}"
    );

    server.psql(
        "app",
        "create schema tools; create extension pg_stat_statements schema tools",
    );
    // Tools ask the catalogs, as pg_dump does for us: no application does.
    server.psql(
        "postgres",
        "create extension pg_stat_statements; select pg_stat_statements_reset()",
    );
    server.psql("app", "select count(*) from pg_class");
    let run = verify(&from, &to, None, &["--level", "schema"]);
    let why = why_not_compared(&run);
    assert!(why.ends_with("read nothing but catalogs"), "{run}");
    server.psql(
        "app",
        "create function bell(int) returns bigint language sql begin atomic select count(*) from notification where account_id = $1; end",
    );
    server.psql(
        "postgres",
        "drop database copy; create database copy template app",
    );
    server.psql("copy", "drop function bell");
    server.psql("postgres", NO_INDEXES);
    server.psql("app", "select tools.pg_stat_statements_reset()");
    for account in 1..=3 {
        let asked =
            format!("select body from notification where id = {account}; select bell({account})");
        server.psql("app", &asked);
    }
    let run = verify(&from, &to, None, &["--level", "schema"]);
    // The function is missing.
    assert_eq!(run.status, 3, "{run}");
    let report = report(&run);
    let worse = told(&report, "plan-worse");
    assert_eq!(worse.len(), 1, "{run}");
    let what = worse[0]["what"].as_str().expect("text");
    assert!(
        what.starts_with("a statement that the source has run 3 times has a worse plan on the target: Seq Scan instead of "),
        "{run}"
    );
    let refused = told(&report, "statement-refused");
    assert_eq!(refused.len(), 1, "{run}");
    let what = refused[0]["what"].as_str().expect("text");
    assert!(
        what.starts_with("a statement that the source has run 3 times is refused by the target: ERROR:  42883: function bell("),
        "{run}"
    );
}

/// Sequences that stand where they should: of two columns, of an identity, of one that goes downwards, of a table that is empty.
const IN_PLACE: &str = "
    create table ticket (id serial primary key, n int);
    create table reply (id int primary key default nextval('ticket_id_seq'), n int);
    insert into ticket (n) select generate_series(1, 100);
    insert into reply (n) select generate_series(1, 20);
    create table event (id bigint generated always as identity (start 1000 increment 10) primary key, n int);
    insert into event (n) select generate_series(1, 30);
    create sequence down increment -1;
    create table debt (id int primary key default nextval('down'), n int);
    insert into debt (n) select generate_series(1, 30);
    create table draft (id serial primary key, n int);
    analyze;
";

/// Both databases are the same all the while: it is of the target that this is told.
#[test]
fn sequences_are_told_of_where_they_stand_in_the_way_and_nowhere_else() {
    let Some(server) = Server::start(18) else {
        return;
    };
    let databases = ["app", "copy"];
    let [from, to] = databases.map(|database| server.database(database));
    let rules = ["sequence-behind", "row-far-beyond-sequence"];
    for (done, told_then) in [
        (IN_PLACE, [""; 2]),
        (
            "select setval('ticket_id_seq', 110)",
            [
                "public.ticket_id_seq (111 is next, public.reply.id is at 120)",
                "",
            ],
        ),
        (
            "insert into debt (id) values (-2147483648)",
            [
                "public.ticket_id_seq (111 is next, public.reply.id is at 120)",
                "public.down (-31 is next, public.debt.id is at -2147483648)",
            ],
        ),
        (
            "select setval('ticket_id_seq', 120)",
            [
                "",
                "public.down (-31 is next, public.debt.id is at -2147483648)",
            ],
        ),
    ] {
        for database in databases {
            server.psql(database, done);
        }
        let run = verify(&from, &to, None, &["--level", "schema"]);
        assert_eq!(run.status, 6, "{run}");
        let report = report(&run);
        for (rule, expected) in rules.into_iter().zip(told_then) {
            let found = told(&report, rule);
            let named = found.first().and_then(|one| one["what"].as_str());
            let named = named.and_then(|what| what.split(": ").last());
            assert_eq!(named.unwrap_or_default(), expected, "{done}: {run}");
        }
    }
}

#[test]
fn a_file_that_holds_something_else_is_wrong_usage() {
    let run = verify(
        "host=a",
        "host=b",
        Some("select 1;\ndrop table account;"),
        &[],
    );
    assert_eq!(run.status, 2, "{run}");
    assert!(
        run.stderr.contains(
            "--statements statements.sql: line 2: a statement that begins with \"drop\" has no plan"
        ),
        "{run}"
    );
}

/// Whatever we think of a text, the server decides whether it is one statement.
#[tokio::test]
async fn the_server_takes_one_statement_and_no_more() {
    let Some((_server, from, _)) = start(18) else {
        return;
    };
    let conninfo = Conninfo::resolve(&from, &Environment::of_process()).expect("a conninfo");
    let connector = Connector::new(conninfo, Side::Source).expect("no TLS");
    let session = connector.session("test").await.expect("a session");
    let parameters = session
        .parameters_of("select * from public.account where id = $1;")
        .await;
    assert_eq!(parameters.expect("one statement"), 1);
    for several in [
        "select 1; select 2",
        "select 1;; drop table public.account -- ;",
    ] {
        let refused = session.parameters_of(several).await.expect_err("several");
        assert_eq!(refused.code(), Some("42601"), "{refused}");
    }
}
