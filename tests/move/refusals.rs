//! What is refused: with the exit status that scripts rely on, with a message that helps, and before anything is touched.

use std::time::{Duration, Instant};

use pgconvoy::pg::cluster::{ClusterOptions, ServerInstall, ThrowawayCluster};

use crate::support::binary::Finished;
use crate::support::moving::{RUN_DIR, prepare};
use crate::support::server::{Server, require_server, servers};

/// A move that must not start.
#[derive(Clone, Copy, Default)]
struct Refused<'a> {
    source: &'a str,
    target: &'a str,
    arguments: &'a [&'a str],
    pg_bin: Option<&'a str>,
    status: i32,
    /// What the message must say, all of it.
    says: &'a [&'a str],
}

impl Refused<'_> {
    fn run(&self) -> Finished {
        let mut run = prepare(self.source, self.target, self.arguments);
        if let Some(directory) = self.pg_bin {
            run = run.env("PGCONVOY_PG_BIN", directory);
        }
        run.run()
    }
}

/// Two servers of the newest version; the target's has no contrib extensions. Nobody else writes to them.
fn newest_pair() -> Option<(Server, Server)> {
    let quiet = |options: ClusterOptions| options.setting("autovacuum", "off");
    let source = Server::start_with(18, quiet)?;
    let bare = servers()
        .into_iter()
        .find(|install: &ServerInstall| {
            install.version.major() == 18 && !install.has_extension("hstore")
        })
        .expect("a server without contrib extensions (make test installs it)");
    let options = ClusterOptions {
        purpose: "test".to_owned(),
        ..ClusterOptions::new(bare.bin_dir)
    };
    let cluster = ThrowawayCluster::start(&quiet(options)).expect("started");
    Some((source, Server { cluster }))
}

/// The next transaction's id: every write would take it.
fn next_transaction(server: &Server) -> String {
    server.psql("postgres", "select pg_snapshot_xmax(pg_current_snapshot())")
}

#[track_caller]
fn assert_refused(servers: [&Server; 2], cases: &[Refused<'_>]) {
    for case in cases {
        let before = servers.map(next_transaction);
        let run = case.run();
        assert_eq!(run.status, case.status, "{run}");
        for text in case.says {
            assert!(run.stderr.contains(text), "no {text:?} in: {run}");
        }
        assert_eq!(servers.map(next_transaction), before, "touched by {run}");
        assert!(
            !run.path(RUN_DIR).exists(),
            "a run directory of nothing: {run}"
        );
    }
}

#[test]
fn what_the_servers_hold_or_lack() {
    let Some((source, target)) = newest_pair() else {
        return;
    };
    let empty = target.database("empty");
    let full = target.database("full");
    target.psql(
        "full",
        "create table precious (a int); create view v as select 1; create schema s",
    );
    target.psql("full", "insert into precious values (1)");
    let plain = source.database("plain");
    source.psql("plain", "create table t (a int)");
    let owned = source.database("owned");
    source.psql("postgres", "create role \"the Boss\"");
    source.psql(
        "owned",
        "create table t (a int); alter table t owner to \"the Boss\"",
    );
    let extended = source.database("extended");
    source.psql(
        "extended",
        "create extension hstore; create table t (h hstore)",
    );
    let spaced = source.database("spaced");
    let place = source.cluster.create_dir("fast").expect("a directory");
    source.psql(
        "postgres",
        &format!("create tablespace fast location '{}'", place.display()),
    );
    source.psql("spaced", "create table t (a int) tablespace fast");

    let nothing = Refused {
        source: &plain,
        target: &empty,
        status: 4,
        ..Refused::default()
    };
    assert_refused(
        [&source, &target],
        &[
            Refused {
                target: &full,
                says: &["target-not-empty", "public.precious", "--overwrite full"],
                ..nothing
            },
            Refused {
                target: &full,
                arguments: &["--overwrite", "fool"],
                says: &["overwrite-name", "fool"],
                ..nothing
            },
            Refused {
                source: &owned,
                says: &[
                    "roles-missing",
                    "\"the Boss\"",
                    "CREATE ROLE \"the Boss\";",
                    "--no-owner",
                ],
                ..nothing
            },
            Refused {
                source: &extended,
                says: &["extensions-missing", "hstore"],
                ..nothing
            },
            Refused {
                source: &spaced,
                says: &["tablespaces-missing", "fast", "--no-tablespaces"],
                ..nothing
            },
        ],
    );
    let empty_still = target.psql("empty", "select count(*) from pg_class where oid >= 16384");
    assert_eq!(empty_still, "0");
    assert_eq!(target.psql("full", "select a from precious"), "1");
}

#[test]
fn a_source_that_the_role_may_not_read() {
    let Some((source, target)) = newest_pair() else {
        return;
    };
    let from = source.database("db");
    source.psql("db", "create role nobody login; create table t (a int)");
    let to = target.database("db");
    let tables = Refused {
        source: &format!("{from} user=nobody"),
        target: &to,
        status: 4,
        says: &["source-unreadable", "\"t\"", "GRANT"],
        ..Refused::default()
    };
    // Who may read all tables may still not read these.
    let with_object = source.database("objects");
    source.psql(
        "objects",
        "create role reader login; grant pg_read_all_data to reader; select lo_from_bytea(77, 'secret')",
    );
    let reader = format!("{with_object} user=reader");
    let large_objects = Refused {
        source: &reader,
        says: &["large-objects-unreadable", "among them 77", "GRANT SELECT"],
        ..tables
    };
    assert_refused([&source, &target], &[tables, large_objects]);
    let passing_over = [
        "--no-owner",
        "-x",
        "--skip-check",
        "large-objects-unreadable",
    ];
    let failed = prepare(&reader, &to, &passing_over).run();
    assert_eq!(failed.status, 1, "{failed}");
    assert!(failed.stderr.contains("large object 77"), "{failed}");
}

#[test]
fn a_wrong_source_or_target() {
    let Some((source, target)) = newest_pair() else {
        return;
    };
    let from = source.database("shop");
    source.psql("shop", "create table t (a int)");
    let to = target.database("shop");
    let missing = target.conninfo("not there");
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let nowhere = format!("host=127.0.0.1 port={port} dbname=shop connect_timeout=2");
    let typing_mistake = format!("{to} aplication_name=x");
    let cases: [(&str, &str, &[&str]); 6] = [
        (&from, &nowhere, &["2 s", "connect_timeout"]),
        (&nowhere, &to, &["2 s", "connect_timeout"]),
        (
            &from,
            "host=/nonexistent dbname=shop",
            &["/nonexistent", "hint:"],
        ),
        (&from, &from, &["source and target are the same database"]),
        (&from, &missing, &["3D000", "not there", "--create"]),
        (&from, &typing_mistake, &["--target", "aplication_name"]),
    ];
    let began = Instant::now();
    let cases = cases.map(|(source, target, says)| Refused {
        source,
        target,
        status: 2,
        says,
        ..Refused::default()
    });
    assert_refused([&source, &target], &cases);
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn wrong_tools_and_arguments() {
    let (Some((source, target)), Some(old)) = (newest_pair(), require_server(15)) else {
        return;
    };
    let from = source.database("shop");
    source.psql("shop", "create schema s; create table s.t (a int)");
    let to = target.database("shop");
    let usage = Refused {
        source: &from,
        target: &to,
        status: 2,
        ..Refused::default()
    };

    let no_tools = tempfile::tempdir().expect("a directory");
    let no_tools = no_tools.path().display().to_string();
    let old_tools = old.bin_dir.display().to_string();
    let tools: [(&str, &[&str]); 2] = [
        (&no_tools, &["pg_dump", &no_tools, "PGCONVOY_PG_BIN"]),
        (&old_tools, &["pg_dump 15", &old_tools, "18"]),
    ];
    let tools = tools.map(|(pg_bin, says)| Refused {
        pg_bin: Some(pg_bin),
        says,
        ..usage
    });
    assert_refused([&source, &target], &tools);

    let arguments: [(&[&str], &[&str]); 7] = [
        (
            &["-t", "s.nothing"],
            &["--table s.nothing", "matches nothing"],
        ),
        (&["-n", "\"S\""], &["--schema \"S\"", "matches nothing"]),
        (&["-T", "t?"], &["--exclude-table t?"]),
        (
            &["--exclude-table-data", "s.u"],
            &["--exclude-table-data s.u"],
        ),
        (&["-j", "0"], &["-j", "0"]),
        (&["--verify", "everything"], &["content", "counts", "none"]),
        (&["--chunk-size", "0"], &["--chunk-size"]),
    ];
    let arguments = arguments.map(|(arguments, says)| Refused {
        arguments,
        says,
        ..usage
    });
    assert_refused([&source, &target], &arguments);
}

#[test]
fn a_run_directory_that_is_in_use() {
    let Some(server) = Server::start(15) else {
        return;
    };
    let (from, to) = (server.database("a"), server.database("b"));
    server.psql("a", "create table t ()");
    let run = prepare(&from, &to, &[]);
    let directory = run.dir().join(RUN_DIR);
    std::fs::create_dir(&directory).expect("made");
    std::fs::write(directory.join("plan.json"), "an older plan").expect("written");
    let run = run.run();
    assert_eq!(run.status, 2, "{run}");
    assert!(run.stderr.contains("not empty"), "{run}");
    let kept = std::fs::read_to_string(directory.join("plan.json"));
    assert_eq!(kept.ok().as_deref(), Some("an older plan"), "{run}");
    let tables = server.psql("b", "select count(*) from pg_class where oid >= 16384");
    assert_eq!(tables, "0");
}

/// Rows that are loaded through a partitioned table go wherever the target thinks they belong.
#[test]
fn rows_that_could_go_to_another_server() {
    let Some(server) = Server::start(18) else {
        return;
    };
    let (from, to) = (server.database("db"), server.database("to"));
    server.psql(
        "db",
        "create foreign data wrapper nobody; create server elsewhere foreign data wrapper nobody;
         create type mood as enum ('sad', 'ok', 'happy');
         create table moods (m mood, id int) partition by hash (m);
         create table moods_0 partition of moods for values with (modulus 2, remainder 0);
         create foreign table moods_1 partition of moods for values with (modulus 2, remainder 1) server elsewhere;
         create table others (id int); insert into others values (1)",
    );
    let run = prepare(&from, &to, &[]).run();
    assert_eq!(run.status, 1, "{run}");
    for text in ["public.moods", "foreign tables", "-T"] {
        assert!(run.stderr.contains(text), "no {text:?} in: {run}");
    }
    let there = "select count(*) from pg_class where relname in ('moods', 'others')";
    assert_eq!(server.psql("to", there), "0", "{run}");
    let run = prepare(&from, &to, &["-T", "moods*"]).run();
    assert_eq!(run.status, 0, "{run}");
}
