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

    let held = ("latin", "bare", "row exclusive");
    let refused = while_somebody_holds_a_lock(&target, held, (&from, &to));
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

/// A table that is emptied is closed to readers, too.
#[test]
fn a_reader_who_does_not_give_way_is_named() {
    let (Some(source), Some(target)) = (quiet(16), quiet(16)) else {
        return;
    };
    let (from, to) = (source.database("shop"), target.database("shop"));
    source.psql(
        "shop",
        "create table t (id int primary key, v text); insert into t select g, 'x' from generate_series(1, 2000) g;
         create table tree (id int primary key, v int) partition by range (id);
         create table leaf partition of tree for values from (0) to (10);
         create table other partition of tree for values from (10) to (20);
         insert into tree values (1, -1);
         alter table tree add constraint positive check (v > 0) not valid",
    );
    assert_proven(&move_with(&from, &to, &[]));
    source.psql("shop", "update t set v = 'y'");
    let held = ("shop", "t", "access share");
    let refused = while_somebody_holds_a_lock(&target, held, (&from, &to));
    assert_eq!(refused.status, 1, "{refused}");
    for said in [
        "deleting rows of public.t",
        "(somebody, ",
        " has AccessShareLock on public.t",
    ] {
        assert!(refused.stderr.contains(said), "{said}: {refused}");
    }
    let unchanged = "select count(*) from t where v = 'x'";
    assert_eq!(target.psql("shop", unchanged), "2000", "{refused}");

    // A check that a row violates goes with all that has it.
    source.psql("shop", "update t set v = 'x'");
    target.psql("shop", "truncate leaf");
    let held = ("shop", "other", "access share");
    let refused = while_somebody_holds_a_lock(&target, held, (&from, &to));
    assert_eq!(refused.status, 1, "{refused}");
    let said = " has AccessShareLock on public.other";
    assert!(refused.stderr.contains(said), "{refused}");
    assert_eq!(target.psql("shop", "select count(*) from leaf"), "0");
}

/// Somebody is named, and nothing is done.
fn while_somebody_holds_a_lock(
    target: &Server,
    (database, table, mode): (&str, &str, &str),
    (from, to): (&str, &str),
) -> Finished {
    let lock = format!("begin; lock table {table} in {mode} mode; select pg_sleep(60)");
    let mut holder = target
        .tool("psql")
        .args(["-X", "-q", "-c", lock.as_str(), "-d"])
        .arg(format!("{to} application_name=somebody"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("psql starts");
    let deadline = Instant::now() + Duration::from_secs(30);
    let held =
        format!("select count(*) from pg_locks where relation = '{table}'::regclass and granted");
    while target.psql(database, &held) != "1" {
        assert!(Instant::now() < deadline, "nobody holds it");
        std::thread::sleep(Duration::from_millis(20));
    }
    let run = prepare(from, to, &[])
        .env("PGCONVOY_FAULT", "impatient")
        .run();
    target.psql(
        database,
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
