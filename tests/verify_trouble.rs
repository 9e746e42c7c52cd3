//! What cannot be verified is said, by name and with why, and all else is verified; and what the operator asks to have passed
//! over, or looked at again, is never called proven.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pgconvoy::pg::cluster::{ClusterOptions, StopMode};
use serde_json::Value;

use support::binary::{Finished, Pgconvoy, Running};
use support::moving::{RUN_DIR, assert_proven, report};
use support::server::Server;

/// Tables that are read in no time, and one that takes long enough to be caught.
const SHOP: &str = "
    create table item (id int primary key, name text, price numeric);
    create table client (id int primary key, name text);
    create table secret (id int primary key, word text);
    create table log (at timestamptz, what text);
    create table big (id int primary key, body text);
    insert into item select n, 'item ' || n, n / 10.0 from generate_series(1, 300) n;
    insert into client select n, 'client ' || n from generate_series(1, 200) n;
    insert into secret select n, md5(n::text) from generate_series(1, 100) n;
    insert into log select now() - n * interval '1 s', 'event ' || n from generate_series(1, 50) n;
";

/// Readers give way after two seconds instead of ten.
const HASTY: (&str, &str) = ("PGCONVOY_FAULT", "hasty-readers");

const BIG: &str =
    "insert into big select n, repeat(md5(n::text), 100000) from generate_series(1, 100) n;";

/// So many lost connections are too many for one table.
const LOSSES: usize = 3;

const TABLES: [&str; 5] = ["big", "client", "item", "log", "secret"];

/// A server with a database `shop` and a `copy` of it.
fn shops(sql: &str) -> Option<(Server, String, String)> {
    let server = Server::start(15)?;
    let from = server.database("shop");
    server.psql("shop", &format!("{SHOP}{sql}"));
    server.psql("postgres", "create database copy template shop");
    let to = server.conninfo("copy");
    Some((server, from, to))
}

fn prepare(from: &str, to: &str, more: &[&str]) -> Pgconvoy {
    let fixed = [
        "verify",
        "--source",
        from,
        "--target",
        to,
        "--run-dir",
        RUN_DIR,
    ];
    Pgconvoy::new(fixed.iter().chain(more))
}

fn verify(from: &str, to: &str, more: &[&str]) -> Finished {
    prepare(from, to, more).run()
}

fn list<'a>(report: &'a Value, name: &str) -> &'a [Value] {
    report[name].as_array().map_or(&[], Vec::as_slice)
}

fn objects(report: &Value, name: &str) -> Vec<String> {
    let objects = list(report, name).iter();
    let mut objects: Vec<String> = objects
        .map(|one| one["object"].as_str().unwrap_or("?").to_owned())
        .collect();
    objects.sort();
    objects.dedup();
    objects
}

fn verdict<'a>(report: &'a Value, table: &str) -> &'a str {
    let tables = list(report, "tables").iter();
    let mut found = tables.filter(|one| one["table"]["name"] == table);
    found
        .next()
        .and_then(|one| one["verdict"].as_str())
        .unwrap_or("not there")
}

/// It says of these tables why they were not verified, and of all others that they are the same.
#[track_caller]
fn assert_not_verified(run: &Finished, tables: &[&str], because: &str) {
    assert_eq!(run.status, 1, "{run}");
    let report = report(run);
    assert_eq!(report["status"], "failed", "{run}");
    let expected: Vec<String> = tables
        .iter()
        .map(|table| format!("public.{table}"))
        .collect();
    assert_eq!(objects(&report, "unverified"), expected, "{run}");
    for one in list(&report, "unverified") {
        assert_eq!(one["class"], "table data", "{run}");
        let said = one["because"].as_str().unwrap_or_default();
        assert!(said.contains(because), "{because}: {run}");
        let told = run.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.contains(because), "{run}");
    }
    assert_eq!(objects(&report, "differences"), [""; 0], "{run}");
    for table in TABLES {
        let expected = if tables.contains(&table) {
            "not_verified"
        } else {
            "identical"
        };
        assert_eq!(verdict(&report, table), expected, "{table}: {run}");
    }
}

/// Waits until the big table of a database is being read, and stops the run there. Returns the backend that reads it.
fn hold(run: &mut Running, server: &Server, database: &str) -> String {
    let reading = format!(
        "select min(pid) from pg_stat_activity where application_name like 'pgconvoy%' and datname = '{database}'
         and state = 'active' and query ilike 'copy%\"big\"%'"
    );
    let began = Instant::now();
    loop {
        let pid = server.psql("postgres", &reading);
        if !pid.is_empty() {
            send(run, Signal::SIGSTOP);
            // What was on its way when it stopped has arrived by now; unless that was all, the backend waits for us.
            std::thread::sleep(Duration::from_millis(100));
            if server.psql("postgres", &reading) == pid {
                return pid;
            }
            send(run, Signal::SIGCONT);
        }
        assert!(run.is_running(), "it ended before it was caught");
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "it never read the table"
        );
    }
}

fn send(run: &Running, signal: Signal) {
    let pid = i32::try_from(run.pid()).expect("a process id");
    kill(Pid::from_raw(pid), signal).expect("it is there");
}

fn assert_nobody_left(server: &Server) {
    let ours = "select count(*) from pg_stat_activity where application_name like 'pgconvoy%' or application_name = 'pg_dump'";
    let began = Instant::now();
    while server.psql("postgres", ours) != "0" {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "somebody is still there"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whatever ends a statement from outside: our own timeouts are off.
#[test]
fn a_statement_that_is_canceled() {
    let Some((server, from, to)) = shops(BIG) else {
        return;
    };
    server.psql(
        "postgres",
        "alter database shop set statement_timeout = 200; alter database copy set statement_timeout = 200",
    );
    for database in ["shop", "copy"] {
        let mut run = prepare(&from, &to, &["-j", "2"]).start();
        let pid = hold(&mut run, &server, database);
        server.psql("postgres", &format!("select pg_cancel_backend({pid})"));
        send(&run, Signal::SIGCONT);
        assert_not_verified(
            &run.finish(),
            &["big"],
            "canceling statement due to user request",
        );
    }
    assert_nobody_left(&server);
}

/// The snapshot is held by another session: a new reader sees what the lost one saw. Who loses it again and again gives up.
#[test]
fn a_reader_that_loses_its_connection() {
    let Some((server, from, to)) = shops(BIG) else {
        return;
    };
    let terminate = |pid: &str| {
        let sql = format!("select pg_terminate_backend({pid})");
        assert_eq!(server.psql("postgres", &sql), "t");
        let there = format!("select count(*) from pg_stat_activity where pid = {pid}");
        while server.psql("postgres", &there) != "0" {
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    for database in ["shop", "copy"] {
        let mut run = prepare(&from, &to, &["-j", "1"]).start();
        terminate(&hold(&mut run, &server, database));
        send(&run, Signal::SIGCONT);
        assert_proven(&run.finish());

        let mut run = prepare(&from, &to, &["-j", "1"]).start();
        for _ in 0..LOSSES {
            terminate(&hold(&mut run, &server, database));
            send(&run, Signal::SIGCONT);
        }
        assert_not_verified(&run.finish(), &["big"], "closed the connection");
    }
    assert_nobody_left(&server);
}

/// Without its holder, nobody else can see the snapshot.
#[test]
fn the_snapshot_is_lost() {
    let Some((server, from, to)) = shops(BIG) else {
        return;
    };
    for database in ["shop", "copy"] {
        let mut run = prepare(&from, &to, &["-j", "1"]).start();
        hold(&mut run, &server, database);
        let ended = server.psql(
            "postgres",
            &format!("select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'pgconvoy:snapshot' and datname = '{database}'"),
        );
        assert_eq!(ended, "1");
        send(&run, Signal::SIGCONT);
        let run = run.finish();
        // What had the snapshot by then may go on with it, but without its locks: nothing is different, and nothing is proven.
        assert_eq!(run.status, 1, "{run}");
        let report = report(&run);
        assert_eq!(objects(&report, "differences"), [""; 0], "{run}");
        let side = if database == "shop" {
            "source"
        } else {
            "target"
        };
        assert!(
            objects(&report, "unverified").contains(&side.to_owned()),
            "{run}"
        );
    }
    assert_nobody_left(&server);
}

#[test]
fn a_target_that_stops() {
    let (Some(source), Some(mut target)) = (Server::start(15), Server::start(15)) else {
        return;
    };
    let (from, to) = (source.database("shop"), target.database("shop"));
    for server in [&source, &target] {
        server.psql(
            "shop",
            &format!("set timezone = 'UTC'; {SHOP}{BIG}")
                .replace("now()", "'2000-01-01'::timestamptz"),
        );
    }
    let mut run = prepare(&from, &to, &["-j", "1"]).start();
    hold(&mut run, &target, "shop");
    target.cluster.stop(StopMode::Immediate).expect("stopped");
    send(&run, Signal::SIGCONT);
    let run = run.finish();
    assert_eq!(run.status, 1, "{run}");
    let report = report(&run);
    assert_eq!(objects(&report, "differences"), [""; 0], "{run}");
    assert!(
        objects(&report, "unverified").contains(&"public.big".to_owned()),
        "{run}"
    );
    assert_eq!(verdict(&report, "big"), "not_verified", "{run}");
    assert_nobody_left(&source);
}

/// A role that may read everything but one table, on one side or the other.
#[test]
fn permission_is_denied_on_one_table() {
    let Some((server, from, to)) = shops("") else {
        return;
    };
    server.psql("postgres", "create role clerk login");
    let clerk = |conninfo: &str| conninfo.replace("user='postgres'", "user='clerk'");
    assert_ne!(clerk(&from), from);
    for database in ["shop", "copy"] {
        server.psql(
            database,
            "grant select on all tables in schema public to clerk",
        );
    }
    server.psql("copy", "revoke select on secret from clerk");
    let run = verify(&from, &clerk(&to), &["-x"]);
    assert_eq!(run.status, 1, "{run}");
    assert!(
        run.stderr.contains("secret") && run.stderr.contains("permission denied"),
        "{run}"
    );
    let run = verify(&clerk(&to), &from, &["-x"]);
    assert_eq!(run.status, 1, "{run}");
    assert!(
        run.stderr.contains("secret") && run.stderr.contains("permission denied"),
        "{run}"
    );
    assert_the_rest_is_verified(&run);
}

#[track_caller]
fn assert_the_rest_is_verified(run: &Finished) {
    let report = report(run);
    assert!(
        objects(&report, "unverified").contains(&"public.secret".to_owned()),
        "{run}"
    );
    for table in TABLES {
        // One whose definition cannot be read has no line of its own among the others'.
        let expected = if table == "secret" {
            "not there"
        } else {
            "identical"
        };
        assert_eq!(verdict(&report, table), expected, "{table}: {run}");
    }
}

/// Not an ordinary reader's right to see all: fewer rows on both sides would look the same.
#[test]
fn a_policy_that_hides_rows() {
    let Some((server, from, to)) = shops("") else {
        return;
    };
    server.psql("postgres", "create role clerk login");
    for database in ["shop", "copy"] {
        server.psql(
            database,
            "grant select on all tables in schema public to clerk; alter table secret enable row level security;
             create policy few on secret to clerk using (id < 10)",
        );
    }
    let clerk = |conninfo: &str| conninfo.replace("user='postgres'", "user='clerk'");
    for (from, to) in [
        (clerk(&from), clerk(&to)),
        (from.clone(), clerk(&to)),
        (clerk(&from), to.clone()),
    ] {
        let run = verify(&from, &to, &["-x"]);
        assert_not_verified(&run, &["secret"], "row-level security policy");
    }
    assert_proven(&verify(&from, &to, &[]));
}

/// The snapshot holds a lock on every table, so that others wait; and readers that come behind them give way.
#[test]
fn tables_that_others_want_to_change_meanwhile() {
    let Some((server, from, to)) = shops(BIG) else {
        return;
    };
    server.psql("postgres", "create database first template shop");
    let changes = [
        ("copy", "drop table client"),
        ("shop", "truncate log"),
        ("copy", "alter table item add column more int default 1"),
    ];
    for (database, sql) in changes {
        let mut run = prepare(&from, &to, &["-j", "1"])
            .env(HASTY.0, HASTY.1)
            .timeout(Duration::from_secs(90))
            .start();
        hold(&mut run, &server, database);
        std::thread::scope(|scope| {
            let psql = scope.spawn(|| server.try_psql(database, sql));
            let waits = format!(
                "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query = '{sql}'"
            );
            let began = Instant::now();
            while server.psql("postgres", &waits) == "0" {
                assert!(
                    began.elapsed() < Duration::from_secs(20),
                    "{sql} does not wait"
                );
                std::thread::sleep(Duration::from_millis(20));
            }
            send(&run, Signal::SIGCONT);
            let run = run.finish();
            let report = report(&run);
            assert_eq!(objects(&report, "differences"), [""; 0], "{sql}: {run}");
            assert!([0, 1].contains(&run.status), "{sql}: {run}");
            assert_eq!(
                run.status == 1,
                !list(&report, "unverified").is_empty(),
                "{sql}: {run}"
            );
            assert_eq!(
                psql.join().expect("psql ends"),
                Ok(String::new()),
                "{sql}: {run}"
            );
        });
        // Now it is another database, and that is seen.
        assert_eq!(verify(&from, &to, &[]).status, 3, "{sql}");
        server.psql(
            "postgres",
            "drop database shop; drop database copy; create database shop template first; create database copy template first",
        );
    }
}

#[test]
fn a_difference_and_something_unverified() {
    let Some((server, from, to)) = shops("") else {
        return;
    };
    server.psql("postgres", "create role clerk login");
    for database in ["shop", "copy"] {
        server.psql(database, "grant select on all tables in schema public to clerk; alter table secret enable row level security");
    }
    server.psql("copy", "delete from item where id = 7");
    let run = verify(
        &from,
        &to.replace("user='postgres'", "user='clerk'"),
        &["-x"],
    );
    assert_eq!(run.status, 3, "{run}");
    let report = report(&run);
    assert_eq!(objects(&report, "differences"), ["public.item"], "{run}");
    assert_eq!(objects(&report, "unverified"), ["public.secret"], "{run}");
    let (sentence, next) = (report["sentence"].to_string(), report["next"].to_string());
    assert!(
        format!("{sentence}{next}").contains("verif"),
        "the sentence says both: {run}"
    );
    for table in ["big", "client", "log"] {
        assert_eq!(verdict(&report, table), "identical", "{run}");
    }
}

/// Somebody who keeps adding a row and taking it away again.
struct Writer {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Writer {
    /// Never the same row twice; the table is never without one.
    fn start(server: &Server) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let mut psql = server.tool("psql");
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d"])
            .arg(server.conninfo("shop"));
        psql.stdin(std::process::Stdio::piped());
        server.psql("shop", "insert into client values (1000, 'new')");
        let thread = std::thread::spawn(move || {
            use std::io::Write as _;
            let mut psql = psql.spawn().expect("psql starts");
            let mut stdin = psql.stdin.take().expect("piped");
            let mut id = 1000;
            while !until.load(Ordering::Relaxed) {
                id += 1;
                let sql = format!(
                    "begin; insert into client values ({id}, 'new'); delete from client where id = {}; commit;\n",
                    id - 1
                );
                stdin.write_all(sql.as_bytes()).expect("psql reads");
                std::thread::sleep(Duration::from_millis(5));
            }
            drop(stdin);
            psql.wait().expect("psql ends");
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(std::thread::JoinHandle::join);
        assert!(ended.is_some_and(|ended| ended.is_ok()) || std::thread::panicking());
    }
}

#[test]
fn a_source_that_is_written_to() {
    let Some((server, from, to)) = shops("") else {
        return;
    };
    let writer = Writer::start(&server);
    let once = verify(&from, &to, &[]);
    assert_eq!(once.status, 3, "{once}");

    let again = ["--recheck", "2", "--recheck-pause", "1"];
    let run = verify(&from, &to, &again);
    assert_eq!(run.status, 1, "{run}");
    let flux = report(&run);
    assert_eq!(objects(&flux, "differences"), [""; 0], "{run}");
    assert_eq!(objects(&flux, "in_flux"), ["public.client"], "{run}");
    assert!(
        flux["sentence"].to_string().contains("quiet")
            || flux["next"].to_string().contains("quiet"),
        "{run}"
    );

    // What lasts is told from what passes, in the same table and in another one.
    server.psql(
        "copy",
        "update item set name = 'other' where id = 7; delete from client where id = 7",
    );
    let run = verify(&from, &to, &again);
    assert_eq!(run.status, 3, "{run}");
    let lasting = report(&run);
    assert_eq!(
        objects(&lasting, "differences"),
        ["public.client", "public.item"],
        "{run}"
    );
    for rows in list(&lasting, "rows") {
        let keys: Vec<&Value> = list(rows, "examples")
            .iter()
            .map(|row| &row["key"][0])
            .collect();
        assert_eq!(keys, ["7"], "{run}");
    }
    drop(writer);
    server.psql("shop", "delete from client where id >= 1000");
    server.psql(
        "copy",
        "update item set name = 'item 7' where id = 7; insert into client values (7, 'client 7')",
    );
    assert_proven(&verify(&from, &to, &again));
}

/// What is passed over is recorded, what was found there is told, and nothing of it is proven.
#[test]
fn what_is_to_be_passed_over() {
    let Some((server, from, to)) = shops(
        "create schema old; create table old.item (id int); create index by_name on item (name);",
    ) else {
        return;
    };
    server.psql(
        "copy",
        "update item set price = 0 where id = 7; drop index by_name; comment on table log is 'other';
         insert into log values (now(), 'more'); insert into old.item values (1)",
    );
    assert_eq!(verify(&from, &to, &[]).status, 3);
    let rules = [
        "schema:old",
        "table:public.log",
        "column:public.item.price",
        "index:public.by_name",
    ];
    let all: Vec<&str> = rules.iter().flat_map(|rule| ["--ignore", rule]).collect();
    let run = verify(&from, &to, &all);
    assert_eq!(run.status, 6, "{run}");
    let told = report(&run);
    assert_eq!(told["status"], "waived", "{run}");
    assert_eq!(objects(&told, "differences"), [""; 0], "{run}");
    let waivers: Vec<&str> = list(&told, "waivers")
        .iter()
        .filter_map(|one| one["rule"].as_str())
        .collect();
    assert_eq!(waivers.len(), rules.len(), "{run}");
    for rule in rules {
        assert!(
            waivers.contains(&rule) && run.stderr.contains(rule),
            "{rule}: {run}"
        );
    }
    // Each of them is needed.
    for left_out in rules {
        let others = rules.iter().filter(|rule| **rule != left_out);
        let some: Vec<&str> = others.flat_map(|rule| ["--ignore", rule]).collect();
        assert_eq!(verify(&from, &to, &some).status, 3, "{left_out}");
    }
    // A whole class.
    let classes = [
        "--ignore",
        "class:table data",
        "--ignore",
        "class:index",
        "--ignore",
        "class:comment",
    ];
    let run = verify(&from, &to, &classes);
    assert_eq!(run.status, 6, "{run}");
}

#[test]
fn what_was_not_needed() {
    let Some((_server, from, to)) = shops("comment on table item is 'an item';") else {
        return;
    };
    let run = verify(&from, &to, &["--ignore", "class:comment"]);
    let report = assert_proven(&run);
    assert!(
        report["notes"].to_string().contains("class:comment"),
        "it is noted: {run}"
    );
    // Where nothing was read, nothing is known.
    for rule in [
        "schema:public",
        "table:public.item",
        "column:public.item.price",
    ] {
        let run = verify(&from, &to, &["--ignore", rule]);
        assert_eq!(run.status, 6, "{rule}: {run}");
    }
}

#[test]
fn a_name_that_is_not_there_is_wrong_usage() {
    let Some((_server, from, to)) = shops("") else {
        return;
    };
    let wrong = [
        "schema:nowhere",
        "table:public.nothing",
        "table:item",
        "column:public.item.nothing",
        "column:public.item",
        "class:nonsense",
        "nonsense",
        ":",
        "index:",
    ];
    for rule in wrong {
        let run = verify(&from, &to, &["--ignore", rule]);
        assert_eq!(run.status, 2, "{rule}: {run}");
        assert!(run.stderr.contains(rule), "{rule}: {run}");
    }
}

const SECRET: &str = "open-sesame-4711";

#[test]
fn a_password_shows_nowhere() {
    let options = |options: ClusterOptions| ClusterOptions {
        listen_tcp: true,
        auth_method: "scram-sha-256".to_owned(),
        password: Some(SECRET.to_owned()),
        ..options
    };
    let Some(server) = Server::start_with(15, options) else {
        return;
    };
    let uri = |database: &str| {
        format!(
            "postgresql://postgres:{SECRET}@127.0.0.1:{}/{database}?sslmode=disable",
            server.cluster.port()
        )
    };
    let admin = |database: &str, sql: &str| {
        let psql = server
            .tool("psql")
            .args(["-X", "-q", "-c", sql, "-d", &uri(database)])
            .output();
        let psql = psql.expect("psql runs");
        assert!(
            psql.status.success(),
            "{}",
            String::from_utf8_lossy(&psql.stderr)
        );
    };
    admin("postgres", "create database shop");
    admin("shop", SHOP);
    admin("postgres", "create database copy template shop");
    let mut run = prepare(&uri("shop"), &uri("copy"), &["-v", "--json"]).start();
    std::thread::sleep(Duration::from_millis(100));
    let shown = std::fs::read(format!("/proc/{}/cmdline", run.pid())).unwrap_or_default();
    assert!(run.is_running() && !String::from_utf8_lossy(&shown).contains(SECRET));
    let run = run.finish();
    assert_proven(&run);
    admin("copy", "delete from item where id = 7");
    let differs = verify(&uri("shop"), &uri("copy"), &["-v"]);
    assert_eq!(differs.status, 3, "{differs}");
    let wrong = verify(
        &uri("shop"),
        &uri("copy").replace(SECRET, &format!("{SECRET}-not")),
        &[],
    );
    assert_eq!(wrong.status, 2, "{wrong}");
    for run in [run, differs, wrong] {
        assert!(
            !run.stdout.contains(SECRET) && !run.stderr.contains(SECRET),
            "{run}"
        );
        assert_not_below(&run.path(RUN_DIR));
    }
}

fn assert_not_below(directory: &std::path::Path) {
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            assert_not_below(&path);
        } else {
            let bytes = std::fs::read(&path).expect("it can be read");
            assert!(
                !String::from_utf8_lossy(&bytes).contains(SECRET),
                "{}",
                path.display()
            );
        }
    }
}

#[test]
fn a_signal_ends_it_on_both_sides() {
    let Some((server, from, to)) = shops(BIG) else {
        return;
    };
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut run = prepare(&from, &to, &[]).start();
        hold(&mut run, &server, "shop");
        send(&run, signal);
        send(&run, Signal::SIGCONT);
        let asked = Instant::now();
        let run = run.finish();
        assert!(asked.elapsed() < Duration::from_secs(30), "{run}");
        assert_eq!(run.status, 5, "{run}");
        assert_eq!(report(&run)["status"], "interrupted", "{run}");
        assert_nobody_left(&server);
    }
}
