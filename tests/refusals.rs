//! What `move` refuses, with which status and which way out; and that nothing was touched then.

mod support;

use std::fs;
use std::path::PathBuf;

use support::binary::{Finished, Pgconvoy};
use support::server::{Server, require_server};

/// A server with a small `shop` to move, and an empty `new` to move it to.
fn stage() -> Option<(Server, String, String)> {
    let server = Server::start(15)?;
    let source = server.database("shop");
    server.psql(
        "shop",
        "create table items (id int primary key, name text); insert into items select i, 'x' from generate_series(1, 10) i",
    );
    let target = server.database("new");
    Some((server, source, target))
}

/// Moves, and checks what every refusal has in common: the status, a hint or remedy, and no trace of the attempt.
fn refused(server: &Server, run: Pgconvoy, status: i32, said: &[&str]) -> Finished {
    let before = holdings(server);
    let run = run.run();
    assert_eq!(run.status, status, "{run}");
    for text in said {
        assert!(run.stderr.contains(text), "not said: {text}\n{run}");
    }
    assert!(
        run.stderr.contains("hint: ") || run.stderr.contains("what to do: "),
        "no way out: {run}"
    );
    assert_eq!(holdings(server), before, "something was touched: {run}");
    run
}

/// What the databases hold, as far as a move could change it.
fn holdings(server: &Server) -> Vec<String> {
    let databases = server.psql(
        "postgres",
        "select datname from pg_database where not datistemplate order by 1",
    );
    let what = "select (select string_agg(nspname, ',' order by 1) from pg_namespace where nspname !~ '^pg_'),
                       (select string_agg(relname, ',' order by 1) from pg_class where oid >= 16384),
                       (select string_agg(rolname, ',' order by 1) from pg_roles)";
    databases
        .lines()
        .map(|name| format!("{name}: {}", server.psql(name, what)))
        .collect()
}

fn run(source: &str, target: &str, more: &[&str]) -> Pgconvoy {
    let ends = ["move", "--source", source, "--target", target];
    Pgconvoy::new([&ends[..], more].concat())
}

/// What a rule foretells happens where it is passed over, and the server's own words for it are told.
#[track_caller]
fn passed_over(
    (source, target): (&str, &str),
    rules: &[&str],
    more: &[&str],
    said: &str,
) -> Finished {
    let skipped = rules.iter().flat_map(|rule| ["--skip-check", *rule]);
    let options: Vec<&str> = skipped.chain(more.iter().copied()).collect();
    let tried = run(source, target, &options).run();
    assert_eq!(tried.status, 1, "{tried}");
    assert!(tried.stderr.contains(said), "not said: {said}\n{tried}");
    tried
}

#[test]
fn a_target_that_holds_anything() {
    let Some((server, source, target)) = stage() else {
        return;
    };
    server.psql("new", "create schema app; create table app.mine (i int)");
    let said = ["not empty", "app.mine", "--overwrite new"];
    let first = refused(&server, run(&source, &target, &[]), 4, &said);
    let left: Vec<_> = fs::read_dir(first.path(".")).expect("exists").collect();
    assert!(
        left.is_empty(),
        "nothing was touched, nothing is left: {left:?}"
    );
    let said = ["--overwrite names \"other\""];
    refused(
        &server,
        run(&source, &target, &["--overwrite", "other"]),
        4,
        &said,
    );
}

#[test]
fn the_source_itself_as_the_target() {
    let Some((server, source, _)) = stage() else {
        return;
    };
    refused(
        &server,
        run(&source, &source, &[]),
        2,
        &["the same database"],
    );
    refused(
        &server,
        run(&source, &source, &["--overwrite", "shop"]),
        2,
        &["the same database"],
    );
}

#[test]
fn a_pattern_that_matches_nothing() {
    let Some((server, source, target)) = stage() else {
        return;
    };
    for (option, pattern) in [
        ("-t", "itmes"),
        ("-T", "itmes"),
        ("-n", "shpo"),
        ("-N", "shpo"),
        ("--exclude-table-data", "itmes"),
        ("-e", "postgsi"),
    ] {
        let said = [pattern, "matches nothing in database \"shop\""];
        refused(&server, run(&source, &target, &[option, pattern]), 2, &said);
    }
}

#[test]
fn a_pg_dump_that_is_missing_or_too_old() {
    let Some((server, source, target)) = stage() else {
        return;
    };
    let nowhere = run(&source, &target, &[]).env("PGCONVOY_PG_BIN", "/nonexistent");
    refused(&server, nowhere, 2, &["pg_dump", "postgresql-client-15"]);
    let old = run(&source, &target, &[]);
    let bin = old.dir().join("bin");
    fs::create_dir(&bin).expect("created");
    script(bin.join("pg_dump"), "echo 'pg_dump (PostgreSQL) 14.9'");
    let old = old.env("PGCONVOY_PG_BIN", bin);
    refused(&server, old, 2, &["pg_dump 14.9", "postgresql-client-15"]);
}

fn script(path: PathBuf, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("permitted");
}

#[test]
fn roles_that_the_target_does_not_have() {
    let Some((server, source, _)) = stage() else {
        return;
    };
    let Some(other) = Server::start(15) else {
        return;
    };
    let target = other.database("new");
    server.psql(
        "shop",
        "create role \"Keeper\"; create role reader; alter table items owner to \"Keeper\"; grant select on items to reader",
    );
    let said = [
        "\"Keeper\" (owns objects)",
        "\"reader\" (is in grants)",
        "CREATE ROLE \"Keeper\";",
        "--no-owner",
    ];
    refused(&other, run(&source, &target, &[]), 4, &said);
    // One way out that it names.
    let moved = run(&source, &target, &["--no-owner", "-x"]).run();
    assert_eq!(moved.status, 0, "{moved}");
}

#[test]
fn a_blocker_that_is_passed_over_by_name_is_recorded() {
    let Some((server, source, _)) = stage() else {
        return;
    };
    let Some(other) = Server::start(15) else {
        return;
    };
    let target = other.database("new");
    server.psql(
        "shop",
        "create role keeper; alter table items owner to keeper",
    );
    let options = ["--skip-check", "roles-missing", "--run-dir", "run"];
    let tried = run(&source, &target, &options).run();
    // Its owner cannot be set, and that is told: nothing else ends with 0.
    assert_eq!(tried.status, 1, "{tried}");
    assert!(
        tried.stderr.contains("role \"keeper\" does not exist"),
        "{tried}"
    );
    let report = fs::read_to_string(tried.path("run/report.json")).expect("a report");
    assert!(
        report.contains("passed over: --skip-check roles-missing"),
        "{report}"
    );
    // What protects the target cannot be passed over.
    let emptied = ["--skip-check", "target-not-empty"];
    let refused = run(&source, &target, &emptied).run();
    assert_eq!(refused.status, 2, "{refused}");
}

#[test]
fn owners_whom_an_ordinary_role_cannot_become() {
    let Some((server, source, _)) = stage() else {
        return;
    };
    server.psql(
        "shop",
        "create role keeper; create role mover login; create database owned owner mover; alter table items owner to keeper",
    );
    let target = server
        .conninfo("owned")
        .replace("user='postgres'", "user=mover");
    let said = [
        "\"mover\" is not a superuser",
        "GRANT \"keeper\" TO \"mover\";",
    ];
    refused(&server, run(&source, &target, &[]), 4, &said);
    let rules = ["owners-not-assumable", "owners-without-create"];
    let said = "must be member of role \"keeper\"";
    passed_over((&source, &target), &rules, &[], said);
}

#[test]
fn an_extension_that_the_target_does_not_have() {
    // Bare servers come without the contrib extensions; where there is none, the extension is made up.
    let Some((server, source, target)) = stage() else {
        return;
    };
    let Some(install) = require_server(15) else {
        return;
    };
    let Some(other) = Server::start(18).filter(|_| install.has_extension("hstore")) else {
        return;
    };
    if has_extension(&other, "hstore") {
        // Another one that this server does not have, then: whatever only the other offers.
        let missing = server.psql(
            "shop",
            "select name from pg_available_extensions order by 1",
        );
        let Some(name) = missing.lines().find(|name| !has_extension(&other, name)) else {
            return;
        };
        server.psql("shop", &format!("create extension \"{name}\""));
        let target = other.database("new");
        let said = ["does not have the extension", name, "--exclude-extension"];
        refused(&other, run(&source, &target, &[]), 4, &said);
        let said = format!("extension \"{name}\" is not available");
        passed_over((&source, &target), &["extensions-missing"], &[], &said);
    } else {
        server.psql("shop", "create extension hstore");
        let there = other.database("new");
        let said = ["does not have the extension hstore", "postgresql-contrib"];
        refused(&other, run(&source, &there, &[]), 4, &said);
        let said = "extension \"hstore\" is not available";
        passed_over((&source, &there), &["extensions-missing"], &[], said);
    }
    drop(target);
}

fn has_extension(server: &Server, name: &str) -> bool {
    let sql = format!("select count(*) from pg_available_extensions where name = '{name}'");
    server.psql("postgres", &sql) != "0"
}

#[test]
fn a_tablespace_that_the_target_does_not_have() {
    let Some((server, source, _)) = stage() else {
        return;
    };
    let Some(other) = Server::start(15) else {
        return;
    };
    let target = other.database("new");
    let place = server.cluster.create_dir("fast").expect("created");
    server.psql(
        "shop",
        &format!("create tablespace fast location '{}'", place.display()),
    );
    server.psql("shop", "alter table items set tablespace fast");
    let said = ["no tablespace \"fast\"", "--no-tablespaces"];
    refused(&other, run(&source, &target, &[]), 4, &said);
    let tried = other.database("tried");
    let said = "Tablespace \"fast\" does not exist";
    passed_over((&source, &tried), &["tablespaces-missing"], &[], said);
    let moved = run(&source, &target, &["--no-tablespaces"]).run();
    assert_eq!(moved.status, 0, "{moved}");
}

#[test]
fn a_target_in_which_nothing_may_be_created() {
    let Some((server, source, target)) = stage() else {
        return;
    };
    server.psql("new", "create role mover login");
    let target = target.replace("user='postgres'", "user=mover");
    let said = [
        "lacks privileges",
        "GRANT CREATE ON DATABASE new TO \"mover\";",
    ];
    let left_out = ["--no-owner", "-x"];
    refused(&server, run(&source, &target, &left_out), 4, &said);
    let rules = ["target-privileges"];
    let said = "creating the ledger, schema pgconvoy, on the target: ERROR:  42501: permission denied for database new";
    let tried = passed_over((&source, &target), &rules, &left_out, said);
    assert!(tried.stderr.contains("hint: "), "{tried}");
    assert!(tried.stderr.contains("GRANT CREATE ON DATABASE"), "{tried}");
    // What it would have run says nothing to anybody.
    for statement in ["STATEMENT", "create table", "insert into"] {
        assert!(!tried.stderr.contains(statement), "{statement}: {tried}");
    }
}

#[test]
fn what_only_a_superuser_may_create() {
    let Some((server, source, target)) = stage() else {
        return;
    };
    server.psql(
        "postgres",
        "create role mover login; create database owned owner mover",
    );
    server.psql(
        "shop",
        "create function told() returns event_trigger language plpgsql as $$ begin end $$;
         create event trigger watch on sql_drop execute function told()",
    );
    let owned = server
        .conninfo("owned")
        .replace("user='postgres'", "user=mover");
    let said = [
        "[needs-superuser]",
        "event triggers need a superuser on the target, and role \"mover\" is not one: watch",
        "Connect to the target as a superuser",
    ];
    let left_out = ["--no-owner", "-x"];
    refused(&server, run(&source, &owned, &left_out), 4, &said);
    let rules = ["needs-superuser"];
    let said = "permission denied to create event trigger \"watch\"";
    let more = [&left_out[..], &["--run-dir", "run"]].concat();
    let tried = passed_over((&source, &owned), &rules, &more, said);
    let report = fs::read_to_string(tried.path("run/report.json")).expect("a report");
    assert!(
        report.contains("passed over: --skip-check needs-superuser"),
        "{report}"
    );
    // All else is there.
    assert_eq!(server.psql("owned", "select count(*) from items"), "10");
    let moved = run(&source, &target, &[]).run();
    assert_eq!(moved.status, 0, "a superuser may: {moved}");
    let triggers = "select count(*) from pg_event_trigger where evtname = 'watch'";
    assert_eq!(server.psql("new", triggers), "1");
}

#[test]
fn a_refusal_is_json_where_json_is_wanted() {
    let Some((server, source, target)) = stage() else {
        return;
    };
    server.psql("new", "create table mine (i int)");
    let run = refused(
        &server,
        run(&source, &target, &["--json"]),
        4,
        &["not empty"],
    );
    let last = run.stdout.lines().last().expect("a report");
    let report: serde_json::Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(report["status"], "no_go", "{last}");
    assert!(
        report["notes"].to_string().contains("--overwrite new"),
        "{last}"
    );
}

#[test]
fn a_source_that_may_not_be_read_as_a_whole() {
    let Some((server, source, target)) = stage() else {
        return;
    };
    server.psql(
        "shop",
        "create role reader login; create table secrets (i int)",
    );
    server.psql("shop", "grant select on items to reader");
    let source = source.replace("user='postgres'", "user=reader");
    let said = ["secrets", "GRANT", "pg_read_all_data"];
    let left_out = ["--no-owner", "-x"];
    // What pgconvoy keeps of a follow is not moved, so it need not be readable.
    server.psql(
        "shop",
        "create schema pgconvoy_follow; create table pgconvoy_follow.state (i int)",
    );
    let told = refused(&server, run(&source, &target, &left_out), 4, &said);
    assert!(!told.stderr.contains("pgconvoy_follow"), "{told}");
    server.psql("shop", "drop schema pgconvoy_follow cascade");
    let rules = ["source-unreadable"];
    let said = "permission denied for table secrets";
    passed_over((&source, &target), &rules, &left_out, said);
    // Whatever else there is, this table may be read.
    let part = [&left_out[..], &["-t", "items"]].concat();
    let moved = run(&source, &target, &part).run();
    assert_eq!(moved.status, 0, "{moved}");
    let warned = "warning: role \"reader\" may not read all of the source: ";
    assert!(moved.stderr.contains(warned), "{moved}");
}

#[test]
fn a_password_is_in_nothing_that_a_run_leaves_behind() {
    const SECRET: &str = "s3cr3t-and-l0ng";
    let Some((server, source, target)) = stage() else {
        return;
    };
    drop(server.psql("shop", "select 1"));
    // Trusted connections ignore the password, which makes no difference to where it could end up.
    let run = run(
        &format!("{source} password={SECRET}"),
        &format!("{target} password={SECRET}"),
        &["--run-dir", "run", "--json"],
    )
    .run();
    assert_eq!(run.status, 0, "{run}");
    assert!(!run.stdout.contains(SECRET) && !run.stderr.contains(SECRET));
    let mut files = 0;
    let mut open = vec![run.path("run")];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("can be read");
            open.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else {
            files += 1;
            let text = fs::read(&path).expect("can be read");
            assert!(
                !String::from_utf8_lossy(&text).contains(SECRET),
                "{}",
                path.display()
            );
        }
    }
    assert!(files >= 4, "plan, events, schema and report: {files}");
    let last = run.stdout.lines().last().expect("a report");
    let report: serde_json::Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(report["status"], "proven", "{last}");
}
