//! Somebody who does not give way, a server that dies in the middle, a database that is not in UTF-8; told as JSON.
#![cfg(feature = "faults")]

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::scene::{figures, is_nothing, prepare, quiet};
use crate::support::binary::Finished;
use crate::support::moving::{assert_equal, assert_proven, move_with, report};
use crate::support::server::Server;

const LATIN: &str = "
    set client_encoding = 'UTF8';
    create table \"größe\" (\"schlüssel\" text primary key, was text);
    insert into \"größe\" select 'ä' || g, 'übrig ' || g from generate_series(1, 3000) g;
    create table bare (was text);
    insert into bare select 'ß' || g % 50 from generate_series(1, 500) g;
";
const CHANGES: &str = "
    set client_encoding = 'UTF8';
    update \"größe\" set was = 'geändert' where \"schlüssel\" in ('ä1', 'ä2');
    delete from \"größe\" where \"schlüssel\" = 'ä3';
    insert into \"größe\" values ('ÿ', 'neu');
    delete from bare where ctid in (select ctid from bare where was = 'ß7' limit 3);
";
const IS_NEW: &str =
    "set client_encoding = 'UTF8'; select count(*) from \"größe\" where was in ('geändert', 'neu')";

fn latin(server: &Server) -> String {
    server.psql(
        "postgres",
        "create database latin encoding 'LATIN1' locale 'C' template template0",
    );
    server.conninfo("latin")
}

#[test]
fn trouble_in_a_database_of_another_encoding_leaves_the_target_as_it_was() {
    let (Some(source), Some(mut target)) = (quiet(16), quiet(16)) else {
        return;
    };
    let (from, to) = (latin(&source), latin(&target));
    source.psql("latin", LATIN);
    assert_proven(&move_with(&from, &to, &[]));
    source.psql("latin", CHANGES);

    let refused = while_somebody_holds_a_lock(&target, &from, &to);
    assert_eq!(refused.status, 1, "{refused}");
    for said in ["locking the tables of the target", "pid ", "somebody"] {
        assert!(refused.stderr.contains(said), "{said}: {refused}");
    }
    assert_eq!(target.psql("latin", IS_NEW), "0");

    let killed = while_the_server_dies(&mut target, &from, &to);
    assert!(!matches!(killed.status, 0 | 3 | 6), "{killed}");
    assert_eq!(target.psql("latin", IS_NEW), "0", "{killed}");

    let run = prepare(&from, &to, &["--json"]).run();
    assert_eq!(run.status, 0, "{run}");
    let lines: Vec<Value> = run
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let (last, events) = lines.split_last().expect("something is told");
    assert!(
        events.iter().all(|event| event["event"].is_string()),
        "{run}"
    );
    assert_eq!(last["status"], "proven", "{run}");
    assert_eq!(last["synced"], report(&run)["synced"]);
    assert_eq!(
        figures(&last["synced"], "größe"),
        Some((1, 2, 1, false)),
        "{run}"
    );
    assert_equal(&run.to_string(), &from, &to, &[]);
    let again = prepare(&from, &to, &["--json", "--dry-run"]).run();
    assert_eq!(again.status, 0, "{again}");
    assert!(is_nothing(&report(&again)["synced"]), "{again}");
}

/// It is named, and nothing is done.
fn while_somebody_holds_a_lock(target: &Server, from: &str, to: &str) -> Finished {
    let mut holder = target
        .tool("psql")
        .args([
            "-X",
            "-q",
            "-c",
            "begin; lock table bare in row exclusive mode; select pg_sleep(60)",
            "-d",
        ])
        .arg(format!("{to} application_name=somebody"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("psql starts");
    let deadline = Instant::now() + Duration::from_secs(30);
    let held = "select count(*) from pg_locks where relation = 'bare'::regclass and granted";
    while target.psql("latin", held) != "1" {
        assert!(Instant::now() < deadline, "nobody holds it");
        std::thread::sleep(Duration::from_millis(20));
    }
    let run = prepare(from, to, &[])
        .env("PGCONVOY_FAULT", "impatient")
        .run();
    target.psql(
        "latin",
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'somebody'",
    );
    holder.wait().expect("it ends");
    run
}

/// Everything is changed, and nothing of it is committed.
fn while_the_server_dies(target: &mut Server, from: &str, to: &str) -> Finished {
    let run = prepare(from, to, &[]);
    let held = run.dir().join("held");
    let running = run
        .env("PGCONVOY_FAULT", "hold@sync-uncommitted")
        .env("PGCONVOY_FAULT_FILE", &held)
        .start();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !held.exists() {
        assert!(Instant::now() < deadline, "it never came so far");
        std::thread::sleep(Duration::from_millis(10));
    }
    target.crash();
    std::fs::remove_file(&held).expect("it is there");
    let run = running.finish();
    target.cluster.resume().expect("it recovers");
    run
}
