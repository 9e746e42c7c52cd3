//! From version to version: what arrives is equal, by a check that shares no code with us, and the source was only read.

use regex::Regex;

use crate::support::binary::Pgconvoy;
use crate::support::moving::{
    RUN_DIR, Untouched, assert_equal, assert_no_ledger, assert_proven, build, move_with,
};
use crate::support::server::Server;
use crate::support::template::Holding;

/// A database to move.
struct Case {
    database: &'static str,
    fixture: &'static str,
    variables: &'static str,
    encoding: &'static str,
    /// Whether the source has it from the first.
    is_there: bool,
    options: &'static [&'static str],
    /// By what at least one table is cut, as the plan says it.
    cut_by: Option<&'static str>,
}

const UTF8: Case = Case {
    database: "",
    fixture: "",
    variables: "",
    encoding: "UTF8",
    is_there: false,
    options: &[],
    cut_by: None,
};

const MASTODON: Case = Case {
    database: "mastodon",
    fixture: "mastodon.sql",
    variables: "scale=0.01",
    ..UTF8
};

const LATIN1: Case = Case {
    database: "latin1",
    fixture: "latin1.sql",
    encoding: "LATIN1",
    ..UTF8
};

const SQL_ASCII: Case = Case {
    database: "sql_ascii",
    fixture: "sql_ascii.sql",
    encoding: "SQL_ASCII",
    ..UTF8
};

fn zoo(variables: &'static str) -> Case {
    Case {
        database: "zoo",
        fixture: "zoo.sql",
        variables,
        ..UTF8
    }
}

fn zoo_that_is_there() -> Case {
    Case {
        is_there: true,
        ..zoo("")
    }
}

fn servers(source: u32, target: u32) -> Option<(Server, Server)> {
    servers_holding(source, target, None)
}

/// A source that writes down every statement, and on which nobody but us does anything; and a target.
fn servers_holding(
    source: u32,
    target: u32,
    holding: Option<&Holding>,
) -> Option<(Server, Server)> {
    let source = Server::start_holding(source, holding, |options| {
        options
            .setting("autovacuum", "off")
            .setting("wal_level", "logical")
            .setting("log_line_prefix", "\u{1}%a\u{2}")
    })?;
    let target = Server::start_with(target, |options| options.setting("wal_level", "logical"))?;
    build(&target, "postgres", "zoo-roles.sql", "");
    Some((source, target))
}

fn create(server: &Server, database: &str, encoding: &str) -> String {
    server.psql(
        "postgres",
        &format!("create database \"{database}\" template template0 encoding '{encoding}' lc_collate 'C' lc_ctype 'C'"),
    );
    server.conninfo(database)
}

/// Moves each, and has each compared.
fn moves(source: &Server, target: &Server, cases: &[Case]) {
    for case in cases {
        println!("{}", case.database);
        let to = create(target, case.database, case.encoding);
        if !case.is_there {
            create(source, case.database, case.encoding);
            build(source, case.database, case.fixture, case.variables);
        }
        let from = source.conninfo(case.database);
        source.psql(
            case.database,
            "alter system set log_statement = 'all'; select pg_reload_conf(), pg_sleep(0.2)",
        );
        let before = Untouched::of(source, case.database);
        let said_before = log(source).len();
        let run = move_with(&from, &to, case.options);
        let said = log(source).split_off(said_before);
        assert_eq!(Untouched::of(source, case.database), before, "{run}");
        assert_only_reads(&said);
        assert_proven(&run);
        if let Some(cut_by) = case.cut_by {
            let plan = std::fs::read_to_string(run.path(RUN_DIR).join("plan.json"));
            let parts = plan
                .expect("a plan")
                .matches(&format!("\"by\": \"{cut_by}\""))
                .count();
            assert!(parts > 5, "{parts} parts by {cut_by}");
        }
        assert_no_ledger(target, case.database);
        assert_equal(case.database, &from, &to, &[]);
    }
}

fn log(server: &Server) -> String {
    let bytes = std::fs::read(server.cluster.dir().join("log")).expect("the server has a log");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Every statement in a log is one that reads, or is about the session alone.
fn assert_only_reads(log: &str) {
    let statement = Regex::new(
        r"(?s)^(?<who>[^\x02]*)\x02LOG:  (?:statement|execute [^:]*): (?<statement>.*)$",
    )
    .expect("valid");
    let reading = Regex::new(
        r"(?isx)^(?:\s | --[^\n]*\n)*(?:
            select\b | with\b | show\b | values\b | set\b | reset\b | begin\b | start\s+transaction\b | commit\b | rollback\b | abort\b
            | savepoint\b | release\b | prepare\b | execute\b | deallocate\b | declare\b | fetch\b | close\b | discard\b
            | copy\b.*\bto\s+stdout\b | lock\s+table\b.*\bin\s+access\s+share\s+mode$ )",
    )
    .expect("valid");
    let mut ours = 0;
    for entry in log.split('\u{1}') {
        let Some(found) = statement.captures(entry) else {
            continue;
        };
        ours += u32::from(found["who"].starts_with("pgconvoy"));
        assert!(
            reading.is_match(found["statement"].trim_end().trim_end_matches(';')),
            "not only read: {entry}"
        );
    }
    assert!(ours > 10, "the log shows our statements:\n{log}");
}

#[test]
fn from_15_to_15() {
    let zoo = Holding::zoo("pg_dump=18");
    let Some((source, target)) = servers_holding(15, 15, Some(&zoo)) else {
        return;
    };
    let contrib = Case {
        database: "contrib",
        fixture: "zoo-contrib.sql",
        ..UTF8
    };
    let zoo = zoo_that_is_there();
    moves(
        &source,
        &target,
        &[zoo, MASTODON, contrib, LATIN1, SQL_ASCII],
    );
}

#[test]
fn from_15_to_18() {
    let Some((source, target)) = servers(15, 18) else {
        return;
    };
    // Small enough that most tables are cut into ranges of blocks.
    let chunked = Case {
        options: &["--chunk-size", "512kB"],
        cut_by: Some("block"),
        ..MASTODON
    };
    moves(&source, &target, &[zoo("target=18"), chunked]);
}

#[test]
fn from_10_to_18() {
    let Some((source, target)) = servers(10, 18) else {
        return;
    };
    // Before 14 a range of blocks is read by reading the whole table: there it is cut by ranges of keys.
    let chunked = Case {
        options: &["--chunk-size", "512kB"],
        cut_by: Some("key"),
        ..MASTODON
    };
    moves(
        &source,
        &target,
        &[zoo("target=18"), chunked, LATIN1, SQL_ASCII],
    );
}

#[test]
fn from_18_to_18() {
    let zoo = Holding::zoo("");
    let Some((source, target)) = servers_holding(18, 18, Some(&zoo)) else {
        return;
    };
    moves(&source, &target, &[zoo_that_is_there(), MASTODON]);
}

/// The zoo, between the versions that the other tests leave out.
fn zoo_from(version: u32, target: u32, variables: &'static str) {
    if let Some((source, target)) = servers(version, target) {
        moves(&source, &target, &[zoo(variables)]);
    }
}

#[test]
fn from_11_to_18() {
    zoo_from(11, 18, "target=18");
}

#[test]
fn from_12_to_17() {
    zoo_from(12, 17, "target=17 pg_dump=18");
}

#[test]
fn from_13_to_16() {
    zoo_from(13, 16, "target=16 pg_dump=18");
}

#[test]
fn from_14_to_14() {
    zoo_from(14, 14, "target=14 pg_dump=18");
}

#[test]
fn from_16_to_18() {
    zoo_from(16, 18, "target=18");
}

#[test]
fn from_17_to_17() {
    zoo_from(17, 17, "target=17 pg_dump=18");
}

/// Infinity came to intervals with 17, in the bytes of the longest ones, which older servers take for just these.
#[test]
fn an_infinite_interval_is_none_to_a_server_that_knows_no_infinity() {
    let (Some(new), Some(old)) = (Server::start(18), Server::start(16)) else {
        return;
    };
    let longest = "178956970 years 7 mons 2147483647 days 2562047788:00:54.775807";
    let tables =
        "create table t (id int primary key, i interval); create table several (i interval[]);";
    let ordinary = "insert into t values (1, '-1 year -2 mons +3 days -04:05:06.789'); insert into several values ('{1 mon,00:00:00.000001}')";
    let both = |from: &str, to: &str| ["--source", from, "--target", to].map(str::to_owned);

    let from = new.database("db");
    new.psql("db", &format!("{tables} {ordinary}"));
    let to = old.database("db");
    assert_proven(&move_with(&from, &to, &[]));
    new.psql(
        "db",
        "insert into t values (2, 'infinity'); insert into several values ('{-infinity}')",
    );
    let moved = move_with(&from, &old.database("moved"), &[]);
    assert_eq!(moved.status, 1, "{moved}");
    let said = "invalid input syntax for type interval: \"infinity\"";
    assert!(moved.stderr.contains(said), "{moved}");
    let sides = both(&from, &to);
    let synced = Pgconvoy::new(["sync".to_owned()].iter().chain(&sides)).run();
    assert_eq!(synced.status, 1, "{synced}");
    // As whoever copies bytes would have it.
    old.psql("db", &format!("insert into t values (2, '{longest}')"));
    let compared = Pgconvoy::new(["verify".to_owned()].iter().chain(&sides)).run();
    assert_eq!(compared.status, 3, "{compared}");
    let changed = "differs: public.t, rows: 1 changed";
    assert!(compared.stderr.contains(changed), "{compared}");

    let back = new.database("back");
    let run = move_with(&to, &back, &[]);
    assert_eq!(run.status, 3, "{run}");
    assert_eq!(new.psql("back", "select i from t where id = 2"), "infinity");
    old.psql("db", "delete from t where id = 2");
    assert_proven(&move_with(&to, &new.database("again"), &[]));
}

/// In UTF8 a name of 63 letters beyond ASCII is too long, and the server cuts it: then it is not the same database.
#[test]
fn from_latin1_to_utf8() {
    let (Some(source), Some(target)) = (Server::start(15), Server::start(18)) else {
        return;
    };
    let from = create(&source, "latin1", "LATIN1");
    build(&source, "latin1", "latin1.sql", "");
    let to = create(&target, "cut", "UTF8");
    let cut = move_with(&from, &to, &[]);
    assert_eq!(cut.status, 3, "{cut}");
    let long = "ä".repeat(63);
    assert!(
        cut.stdout.contains(&long) || cut.stderr.contains(&long),
        "{cut}"
    );

    source.psql(
        "latin1",
        &format!("set client_encoding = 'UTF8'; drop table \"Größe\".\"{long}\""),
    );
    let to = create(&target, "whole", "UTF8");
    let moved = assert_proven(&move_with(&from, &to, &[]));
    assert_equal("latin1 to utf8", &from, &to, &[]);
    // Before a move it can still be mended, and is a warning.
    let verify = ["verify", "--source", &from, "--target", &to];
    let verify = Pgconvoy::new([&verify[..], &["--run-dir", RUN_DIR]].concat());
    let verified = assert_proven(&verify.run());
    for (report, severity) in [(moved, "warning"), (verified, "note")] {
        let findings = report["findings"].as_array().expect("a list");
        let mut told = findings.iter();
        let told = told.find(|one| one["rule"] == "encoding-differs");
        let told = told.unwrap_or_else(|| panic!("{findings:#?}"));
        assert_eq!(told["severity"], severity, "{told:#}");
    }
}

/// A server whose encoding lacks a character refuses the whole statement, even if it is in a comment.
#[test]
fn our_own_statements_are_ascii() {
    let sql = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
    for directory in ["catalog", "ledger", "verify"] {
        let entries = std::fs::read_dir(sql.join(directory)).expect("a directory");
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            let text = std::fs::read_to_string(&path).expect("readable");
            assert!(text.is_ascii(), "{}", path.display());
        }
    }
}
