//! No false alarm: whatever a good copy was made with, verification agrees with it.
//!
//! Copies by the stock tools between servers of one version are left to `make test-versions`: those that are restored from archives
//! (tests/dump.rs, tests/restore.rs) and those that pgconvoy makes itself (tests/verify) are compared each time.

mod support;

use std::path::Path;

use serde_json::Value;

use support::binary::{Finished, Pgconvoy};
use support::moving::{RUN_DIR, assert_proven, build, move_with, report};
use support::server::Server;
use support::template::Holding;

/// A database, and how it is copied and compared.
#[derive(Clone, Copy)]
struct Case {
    database: &'static str,
    fixture: &'static str,
    variables: &'static str,
    encoding: &'static str,
    /// Whether the source has it from the first.
    is_there: bool,
    /// What is selected, by `pg_dump` and by verification.
    selection: &'static [&'static str],
    /// What `pg_restore` and verification leave out.
    leave_out: &'static [&'static str],
    /// Restore with `-j2`, from an archive that is a directory.
    parallel: bool,
    /// Tables that must have been compared.
    tables: usize,
}

const MASTODON: Case = Case {
    database: "mastodon",
    fixture: "mastodon.sql",
    variables: "scale=0.002",
    encoding: "UTF8",
    is_there: false,
    selection: &[],
    leave_out: &[],
    parallel: false,
    tables: 16,
};

const LATIN1: Case = Case {
    database: "latin1",
    fixture: "latin1.sql",
    encoding: "LATIN1",
    variables: "",
    tables: 1,
    ..MASTODON
};

const SQL_ASCII: Case = Case {
    database: "sql_ascii",
    fixture: "sql_ascii.sql",
    encoding: "SQL_ASCII",
    variables: "",
    tables: 1,
    ..MASTODON
};

const CONTRIB: Case = Case {
    database: "contrib",
    fixture: "zoo-contrib.sql",
    variables: "",
    tables: 1,
    ..MASTODON
};

fn zoo(variables: &'static str) -> Case {
    Case {
        database: "zoo",
        fixture: "zoo.sql",
        variables,
        tables: 100,
        ..MASTODON
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

fn servers_holding(
    source: u32,
    target: u32,
    holding: Option<&Holding>,
) -> Option<(Server, Server)> {
    let start = |major, holding| {
        Server::start_holding(major, holding, |options| {
            options.setting("wal_level", "logical")
        })
    };
    let servers = (start(source, holding)?, start(target, None)?);
    build(&servers.1, "postgres", "zoo-roles.sql", "");
    Some(servers)
}

fn create(server: &Server, database: &str, encoding: &str) -> String {
    server.psql(
        "postgres",
        &format!(
            "create database \"{database}\" template template0 encoding '{encoding}' lc_collate 'C' lc_ctype 'C'"
        ),
    );
    server.conninfo(database)
}

fn stock_copy(source: &Server, target: &Server, case: &Case) {
    let archive = source.cluster.dir().join("archive");
    let mut dump = source.tool("pg_dump");
    dump.arg(if case.parallel { "-Fd" } else { "-Fc" })
        .args(["-Z0", "-f"])
        .arg(&archive)
        .args(case.selection)
        .arg("-d")
        .arg(source.conninfo(case.database));
    let said = dump.output().expect("pg_dump runs");
    assert!(
        said.status.success(),
        "{}",
        String::from_utf8_lossy(&said.stderr)
    );
    let mut restore = target.tool("pg_restore");
    if case.parallel {
        restore.arg("-j2");
    }
    restore
        .args(case.leave_out)
        .arg("-d")
        .arg(target.conninfo(case.database))
        .arg(&archive);
    let said = restore.output().expect("pg_restore runs").stderr;
    let said = String::from_utf8_lossy(&said);
    // A new pg_restore sets what an old server does not know.
    let is_error = |line: &&str| line.contains("ERROR:") && !line.contains("transaction_timeout");
    assert_eq!(
        said.lines().filter(is_error).collect::<Vec<_>>(),
        [""; 0],
        "{said}"
    );
    remove(&archive);
}

fn remove(archive: &Path) {
    let removed = if archive.is_dir() {
        std::fs::remove_dir_all(archive)
    } else {
        std::fs::remove_file(archive)
    };
    removed.expect("the archive can be removed");
}

fn verify(from: &str, to: &str, more: &[&str]) -> Finished {
    let fixed = [
        "verify",
        "--source",
        from,
        "--target",
        to,
        "--run-dir",
        RUN_DIR,
    ];
    Pgconvoy::new(fixed.iter().chain(more)).run()
}

fn with_verdict(report: &Value, verdict: &str) -> usize {
    let tables = report["tables"].as_array().expect("tables");
    tables
        .iter()
        .filter(|table| table["verdict"] == verdict)
        .count()
}

/// Copies each with the stock tools, and verifies.
fn agree(source: &Server, target: &Server, cases: &[Case]) {
    for case in cases {
        let to = create(target, case.database, case.encoding);
        if !case.is_there {
            create(source, case.database, case.encoding);
            build(source, case.database, case.fixture, case.variables);
        }
        let from = source.conninfo(case.database);
        stock_copy(source, target, case);
        let run = verify(&from, &to, &[case.selection, case.leave_out].concat());
        let report = assert_proven(&run);
        let identical = with_verdict(&report, "identical");
        assert!(identical >= case.tables, "{identical} tables\n{run}");
        for database in [source, target].map(|server| (server, case.database)) {
            forget(database.0, database.1);
        }
    }
}

/// So that the next case has a server without it.
fn forget(server: &Server, database: &str) {
    server.psql(
        "postgres",
        &format!(
            "alter database \"{database}\" rename to \"{database} {}\"",
            server.psql("postgres", "select count(*) from pg_database")
        ),
    );
}

#[test]
#[ignore = "make test-versions"]
fn with_the_stock_tools_from_15_to_15() {
    let holding = Holding::zoo("pg_dump=18");
    if let Some((source, target)) = servers_holding(15, 15, Some(&holding)) {
        let zoo = zoo_that_is_there();
        agree(
            &source,
            &target,
            &[zoo, CONTRIB, MASTODON, LATIN1, SQL_ASCII],
        );
    }
}

#[test]
fn with_the_stock_tools_from_10_to_18() {
    if let Some((source, target)) = servers(10, 18) {
        let zoo = zoo("target=18 subscription=off");
        agree(
            &source,
            &target,
            &[zoo, CONTRIB, MASTODON, LATIN1, SQL_ASCII],
        );
    }
}

#[test]
fn with_the_stock_tools_from_15_to_18() {
    let holding = Holding::zoo("target=18 subscription=off");
    if let Some((source, target)) = servers_holding(15, 18, Some(&holding)) {
        let zoo = zoo_that_is_there();
        let parallel = Case {
            parallel: true,
            ..MASTODON
        };
        agree(&source, &target, &[zoo, parallel]);
    }
}

#[test]
#[ignore = "make test-versions"]
fn with_the_stock_tools_from_18_to_18() {
    let holding = Holding::zoo("subscription=off");
    if let Some((source, target)) = servers_holding(18, 18, Some(&holding)) {
        let zoo = zoo_that_is_there();
        let parallel = Case {
            parallel: true,
            ..MASTODON
        };
        agree(&source, &target, &[zoo, parallel, LATIN1]);
    }
}

/// What the copy was made with is what verification is given.
#[test]
fn a_part_of_it() {
    let holding = Holding::zoo("target=18 subscription=off");
    if let Some((source, target)) = servers_holding(15, 18, Some(&holding)) {
        let leave_out: &[&str] = &["--no-owner", "-x"];
        let cases = [
            Case {
                leave_out,
                ..zoo_that_is_there()
            },
            Case {
                leave_out: &["--no-owner", "-x", "--no-comments"],
                ..MASTODON
            },
            Case {
                selection: &[
                    "--exclude-table-data",
                    "public.favourites",
                    "--exclude-table-data",
                    "public.media*",
                ],
                tables: 10,
                ..MASTODON
            },
        ];
        agree(&source, &target, &cases);
    }
}

const SHOP: &str = "
    create schema shop; create schema \"Old Shop\"; create role clerk;
    create table shop.item (id bigint generated always as identity primary key, name text not null, price numeric(10, 2));
    create table shop.log (at timestamptz, what text);
    create table \"Old Shop\".item (id int, name text);
    create index on shop.item (name);
    create materialized view shop.cheap as select id, name from shop.item where price < 10;
    create view shop.names as select name from shop.item;
    insert into shop.item (name, price) select 'item ' || n, n / 10.0 from generate_series(1, 500) n;
    insert into shop.log select now(), 'x' from generate_series(1, 20);
    insert into \"Old Shop\".item values (1, 'old');
    grant select on shop.item to clerk;
    refresh materialized view shop.cheap;
";

/// Two databases `shop`, of which the second holds what `pg_dump` selects of the first.
fn shops(
    servers: &(Server, Server),
    database: &str,
    selection: &'static [&'static str],
) -> (String, String) {
    let (source, target) = servers;
    let from = source.database(database);
    source.psql(database, &SHOP.replace("create role clerk;", ""));
    let to = target.database(database);
    // As pg_dump's manual says: what is selected comes without the schemas it is in, unless these are selected.
    if selection.contains(&"-t") {
        target.psql(database, "create schema shop");
    }
    let case = Case {
        database: Box::leak(database.to_owned().into_boxed_str()),
        selection,
        ..MASTODON
    };
    stock_copy(source, target, &case);
    (from, to)
}

fn shop_servers() -> Option<(Server, Server)> {
    let servers = (Server::start(15)?, Server::start(18)?);
    for server in [&servers.0, &servers.1] {
        server.psql("postgres", "create role clerk");
    }
    Some(servers)
}

#[test]
fn selections_by_schema_table_and_filter_file() {
    let Some(servers) = shop_servers() else {
        return;
    };
    let filter = servers.0.cluster.dir().join("filter");
    std::fs::write(
        &filter,
        "include schema shop\nexclude table_data shop.log\n",
    )
    .expect("a filter file");
    let filter: &'static str = Box::leak(filter.display().to_string().into_boxed_str());
    let filter: &'static [&'static str] = Box::leak(vec!["--filter", filter].into_boxed_slice());
    let cases: [(&str, &'static [&'static str], usize); 5] = [
        ("a schema", &["-n", "shop"], 2),
        ("not a schema", &["-N", "shop"], 1),
        ("a table", &["-t", "shop.item"], 1),
        ("not a table", &["-n", "shop", "-T", "shop.log"], 1),
        ("a filter", filter, 1),
    ];
    for (name, selection, tables) in cases {
        let (from, to) = shops(&servers, name, selection);
        let run = verify(&from, &to, selection);
        let report = assert_proven(&run);
        assert_eq!(with_verdict(&report, "identical"), tables, "{name}\n{run}");
    }
}

/// What is not selected is no difference where it is missing, and none where it is there.
#[test]
fn what_is_not_selected_may_be_there() {
    let Some(servers) = shop_servers() else {
        return;
    };
    let (from, to) = shops(&servers, "shop", &[]);
    servers.1.psql(
        "shop",
        "drop table \"Old Shop\".item; create table \"Old Shop\".other (a int)",
    );
    assert_proven(&verify(&from, &to, &["-n", "shop"]));
    assert_eq!(verify(&from, &to, &[]).status, 3);
}

#[test]
fn less_than_the_content_is_never_exit_status_0() {
    let Some(servers) = shop_servers() else {
        return;
    };
    let (from, to) = shops(&servers, "shop", &[]);
    assert_proven(&verify(&from, &to, &[]));
    for (level, verdict) in [("counts", "same_count"), ("schema", "not_verified")] {
        let run = verify(&from, &to, &["--level", level]);
        assert_eq!(run.status, 6, "{run}");
        let report = report(&run);
        assert_eq!(with_verdict(&report, "identical"), 0, "{run}");
        let tables = report["tables"].as_array().map_or(0, Vec::len);
        assert_eq!(with_verdict(&report, verdict), tables, "{run}");
        assert_eq!(report["differences"], Value::Array(vec![]), "{run}");
    }
    // What these levels do not see, and what they do.
    let change = "update shop.item set name = 'other' where id = 7";
    servers.1.psql("shop", change);
    assert_eq!(verify(&from, &to, &["--level", "counts"]).status, 6);
    assert_eq!(verify(&from, &to, &[]).status, 3);
    servers
        .1
        .psql("shop", "delete from shop.log where ctid = '(0,1)'");
    assert_eq!(verify(&from, &to, &["--level", "counts"]).status, 3);
    assert_eq!(verify(&from, &to, &["--level", "schema"]).status, 6);
}

/// A restore refreshes materialized views, so that the copy may be newer than the source's.
#[test]
fn a_materialized_view_that_is_stale_on_the_source() {
    let Some(servers) = shop_servers() else {
        return;
    };
    let (source, target) = &servers;
    let from = source.database("shop");
    source.psql("shop", &SHOP.replace("create role clerk;", ""));
    source.psql("shop", "update shop.item set price = 1 where id > 490");
    let to = target.database("shop");
    stock_copy(
        source,
        target,
        &Case {
            database: "shop",
            ..MASTODON
        },
    );
    let run = verify(&from, &to, &[]);
    let report = assert_proven(&run);
    assert!(
        report["notes"].to_string().contains("shop.cheap"),
        "it is said: {run}"
    );
}

/// What no text tells: which NaN it is, and what XML leaves out when it is printed. (`-` gives a NaN its sign on every machine.)
const UNTOLD: &str = r#"
    create domain page as xml;
    create table pages (id int primary key, x xml, many xml[], d page);
    insert into pages values
        (1, E'<?xml version="1.0"?>\n<a/>', array[E'\n<a/>', null]::xml[], E'\n\n<a/>'),
        (2, E'\n<a/>', '{}', '<a/>'),
        (3, E'\n\n<a/>', array[array[E'\n\n<a/>']]::xml[], null),
        (4, E'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE a>\n<a/>', null, ''),
        (5, E'<?xml version="1.0" standalone="yes"?>\n\n<a/>', null, 'a<b/>c');
    create table loose (x xml, f float8);
    insert into loose select E'\n\n<a/>', -'NaN'::float8 from generate_series(1, 3);
    create table numbers (id int primary key, f float8, g float4, p point, many float8[]);
    insert into numbers values
        (1, -'NaN'::float8, -'NaN'::float4, point(-'NaN'::float8, 1), array[-'NaN'::float8, 1]),
        (2, 'NaN', '-0', '(0,-0)', '{NaN}');
    create table by_nan (f float8 primary key, n int);
    insert into by_nan values (-'NaN'::float8, 1), (1, 2);
    create type titled as (title text, x xml);
    create table within (id int primary key, t titled);
    insert into within values (1, row('one', '<a/>'));
"#;
/// What is stored of them.
const STORED: &str = "select id, x::text, many::text[], d::text from pages union all select 0, x::text, null, null from loose \
     order by 1, 2";

/// What a copy as text cannot carry is no difference, and is said; what is copied by us is carried, as far as it can be.
#[test]
fn what_no_text_tells() {
    let (Some(source), Some(target)) = (Server::start(16), Server::start(18)) else {
        return;
    };
    let from = source.database("untold");
    source.psql("untold", UNTOLD);
    let bits = "select float8send(f) from numbers where id = 1";
    assert_eq!(source.psql("untold", bits), "\\xfff8000000000000");
    let is_untold = |run: &Finished, table: &str| {
        let said = format!("public.{table} is the same as text");
        report(run)["notes"].to_string().contains(&said)
    };

    let moved = target.database("moved");
    let run = move_with(&from, &moved, &[]);
    let told = assert_proven(&run);
    assert!(told["notes"].to_string().contains("XML inside of"), "{run}");
    let stored = source.psql("untold", STORED);
    assert_eq!(target.psql("moved", STORED), stored);
    let run = verify(&from, &moved, &[]);
    assert_proven(&run);
    assert!(!is_untold(&run, "pages"), "{run}");

    let to = target.database("untold");
    let case = Case {
        database: "untold",
        ..MASTODON
    };
    stock_copy(&source, &target, &case);
    assert_ne!(target.psql("untold", STORED), stored, "pg_dump carries it");
    assert_ne!(target.psql("untold", bits), source.psql("untold", bits));
    let run = verify(&from, &to, &[]);
    let told = assert_proven(&run);
    assert_eq!(with_verdict(&told, "identical"), 5, "{run}");
    for table in ["pages", "loose", "numbers"] {
        assert!(is_untold(&run, table), "{table}: {run}");
    }

    target.psql(
        "untold",
        "update pages set x = E'\n<b/>' where id = 2; update numbers set many[1] = 7 where id = 2;
         update pages set x = E'\n\n\n<a/>' where id = 3; delete from loose where ctid = '(0,1)'",
    );
    let run = verify(&from, &to, &[]);
    assert_eq!(run.status, 3, "{run}");
    let rows = report(&run)["rows"].as_array().cloned().unwrap_or_default();
    let rows = rows.iter().map(|rows| {
        let number = |kind: &str| rows[kind].as_u64().unwrap_or_default();
        let name = rows["table"]["name"].as_str().unwrap_or_default();
        (
            name,
            [number("missing"), number("extra"), number("changed")],
        )
    });
    let expected = [
        ("loose", [1, 0, 0]),
        ("numbers", [0, 0, 1]),
        ("pages", [0, 0, 1]),
    ];
    let mut rows: Vec<(&str, [u64; 3])> = rows.collect();
    rows.sort_unstable();
    assert_eq!(rows, expected, "{run}");

    let sides = ["sync", "--source", &from, "--target", &to];
    let synced = Pgconvoy::new(sides).run();
    assert_eq!(synced.status, 0, "{synced}");
    let of_two = "select x::text from pages where id = 2";
    assert_eq!(target.psql("untold", of_two), source.psql("untold", of_two));
    assert_proven(&verify(&from, &to, &[]));
}

/// Not every byte of an encoding is a character in UTF-8: 0x81 of WIN1252 is none.
#[test]
fn text_that_is_none_in_utf8() {
    let (Some(source), Some(target)) = (Server::start(16), Server::start(18)) else {
        return;
    };
    let [from, to] = [&source, &target].map(|server| create(server, "windows", "WIN1252"));
    source.psql(
        "windows",
        "create table t (id int primary key, v text, many text[], n numeric);
         insert into t select g, 'caf' || chr(233), array[chr(228)], g / 3.0 from generate_series(1, 12000) g;
         update t set v = chr(129) || chr(141) || chr(143) || chr(144) || chr(157), many = array[chr(129), null] where id = 17;
         create table loose (v varchar);
         insert into loose values (chr(129)), ('\\201'), (null);
         create table plain (id int primary key, v text);
         insert into plain values (1, chr(233));
         analyze",
    );
    assert_proven(&move_with(&from, &to, &[]));
    let run = verify(&from, &to, &[]);
    let told = assert_proven(&run);
    assert_eq!(with_verdict(&told, "identical"), 3, "{run}");

    target.psql(
        "windows",
        "update t set v = 'x' where id = 17; update loose set v = chr(141) where v = chr(129)",
    );
    let run = verify(&from, &to, &["--show-values"]);
    assert_eq!(run.status, 3, "{run}");
    let told = report(&run);
    assert_eq!(with_verdict(&told, "identical"), 1, "{run}");
    assert!(told["rows"].to_string().contains("\\\\201\\\\215"), "{run}");
    let sides = ["sync", "--source", &from, "--target", &to];
    let synced = Pgconvoy::new(sides).run();
    assert_eq!(synced.status, 0, "{synced}");
    let odd = "select encode(convert_to(v, 'WIN1252'), 'hex') from t where id = 17";
    assert_eq!(target.psql("windows", odd), "818d8f909d");
    assert_proven(&verify(&from, &to, &[]));
}

/// Two databases of one server, of which one was made of the files of the other.
#[test]
fn a_database_made_from_another_as_its_template() {
    let Some(server) = Server::start(15) else {
        return;
    };
    let from = server.database("mastodon");
    build(&server, "mastodon", "mastodon.sql", "scale=0.002");
    server.psql("postgres", "create database copy template mastodon");
    let run = verify(&from, &server.conninfo("copy"), &[]);
    let report = assert_proven(&run);
    assert!(with_verdict(&report, "identical") >= 16, "{run}");
}

/// Many workers and few.
#[test]
fn with_any_number_of_workers() {
    let Some(servers) = shop_servers() else {
        return;
    };
    let (from, to) = shops(&servers, "shop", &[]);
    for jobs in ["1", "2", "16"] {
        assert_proven(&verify(&from, &to, &["-j", jobs]));
    }
}

/// Empty on both sides is the same, too.
#[test]
fn nothing_at_all() {
    if let Some((source, target)) = servers(15, 18) {
        let run = verify(&source.database("db"), &target.database("db"), &[]);
        assert_proven(&run);
    }
}
