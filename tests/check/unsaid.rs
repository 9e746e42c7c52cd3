//! What no dump says of the source, and settings under which damage is read without an error: a move refuses, a comparison tells the
//! difference, and what the remedy says lets the move through.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use pgconvoy::pg::cluster::StopMode;

use super::support::binary::Pgconvoy;
use super::support::moving::{assert_proven, move_with};
use super::support::server::Server;
use super::{assert_silent, assert_told, looked, remedy};

/// What a remedy has below its first sentence.
fn statements(check: &serde_json::Value, rule: &str) -> String {
    let (_, statements) = remedy(check, rule).split_once('\n').expect("statements");
    statements.to_owned()
}

#[test]
fn tables_with_oids_are_refused_until_a_column_keeps_these() {
    const RULE: [&str; 1] = ["tables-with-oids"];
    let (Some(source), Some(target)) = (Server::start(11), Server::start(16)) else {
        return;
    };
    let (from, to) = (source.database("shop"), target.database("shop"));
    source.psql(
        "shop",
        "create table plain (i int);
         create table legacy (name text) with oids;
         create table \"Child\" () inherits (legacy) with oids;
         insert into legacy values ('a'), ('b'); insert into \"Child\" values ('c');
         create table refers as select oid as legacy_oid, name from legacy",
    );
    let options = ["--no-measure"];
    let check = looked(&from, &to, &options, 4);
    assert_told(&check, "blocker", &RULE);
    assert_told(&check, "note", &["pg-dump-warned"]);
    let without = ["--no-measure", "-T", "legacy", "-T", "\"Child\""];
    assert_silent(&looked(&from, &to, &without, 0), &RULE);
    let refused = move_with(&from, &to, &[]);
    assert_eq!(refused.status, 4, "{refused}");
    // An archive has no place for them either.
    for (more, status) in [(&[][..], 4), (&["-t", "legacy"], 4), (&["-t", "plain"], 0)] {
        let arguments = ["dump", "--source", &from, "--archive", "archive"];
        let dump = Pgconvoy::new([&arguments[..], more].concat()).run();
        assert_eq!(dump.status, status, "{more:?}: {dump}");
    }
    // Whoever copied it otherwise is told what is not there.
    let copy = target.database("copy");
    target.psql(
        "copy",
        "create table plain (i int);
         create table legacy (name text);
         create table \"Child\" () inherits (legacy);
         insert into legacy values ('a'), ('b'); insert into \"Child\" values ('c');
         create table refers (legacy_oid oid, name text)",
    );
    let rows = source.psql(
        "shop",
        "select format('(%s, %L)', legacy_oid, name) from refers",
    );
    let rows: Vec<&str> = rows.lines().collect();
    target.psql(
        "copy",
        &format!("insert into refers values {}", rows.join(", ")),
    );
    let verified = Pgconvoy::new(["verify", "--source", &from, "--target", &copy]).run();
    assert_eq!(verified.status, 3, "{verified}");
    let told = "with oids: yes on the source, the default on the target";
    assert!(verified.to_string().contains(told), "{verified}");
    assert!(
        verified.to_string().contains("WITH OIDS is not supported"),
        "what pg_dump says: {verified}"
    );

    source.psql("shop", &statements(&check, RULE[0]));
    assert_silent(&looked(&from, &to, &options, 0), &RULE);
    assert_proven(&move_with(&from, &to, &[]));
    let found = "select count(*) from refers join legacy on old_oid = legacy_oid";
    assert_eq!(target.psql("shop", found), "3");
}

/// Interrupts a detachment in the middle: it waits for whoever still sees the partition.
fn half_detach(server: &Server, (table, partition): (&str, &str)) {
    let start = |sql: &str| {
        let mut psql = server.tool("psql");
        psql.args(["-X", "-q", "-d", &server.conninfo("shop"), "-c", sql])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        psql.spawn().expect("psql starts")
    };
    let until = |what: &str| {
        let began = Instant::now();
        while server.psql("shop", what) != "1" {
            assert!(began.elapsed() < Duration::from_secs(20), "{what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let asleep = "select count(*) from pg_stat_activity where query ~ '^begin; select' and wait_event = 'PgSleep'";
    let mut reader = start(&format!(
        "begin; select count(*) from {table}; select pg_sleep(120)"
    ));
    until(asleep);
    let mut detaching = start(&format!(
        "alter table {table} detach partition {partition} concurrently"
    ));
    until("select count(*) from pg_inherits where inhdetachpending");
    server.psql(
        "shop",
        "select pg_cancel_backend(pid) from pg_stat_activity where query ~ '^alter table .* concurrently'",
    );
    detaching.wait().expect("it ends");
    server.psql(
        "shop",
        "select pg_terminate_backend(pid) from pg_stat_activity where query ~ '^begin; select'",
    );
    reader.wait().expect("it ends");
}

#[test]
fn a_partition_that_is_half_detached_does_not_come_back() {
    const RULE: [&str; 1] = ["partitions-half-detached"];
    let (Some(source), Some(target)) = (Server::start(16), Server::start(16)) else {
        return;
    };
    let (from, to) = (source.database("shop"), target.database("shop"));
    let tables = "create table root (i int) partition by range (i);
         create table r1 partition of root for values from (0) to (10);
         create table \"R2\" partition of root for values from (10) to (20);
         insert into root values (1), (11)";
    source.psql("shop", tables);
    let options = ["--no-measure"];
    assert_silent(&looked(&from, &to, &options, 0), &RULE);
    half_detach(&source, ("root", "\"R2\""));
    assert_eq!(source.psql("shop", "select count(*) from root"), "1");
    let check = looked(&from, &to, &options, 4);
    assert_told(&check, "blocker", &RULE);
    let refused = move_with(&from, &to, &[]);
    assert_eq!(refused.status, 4, "{refused}");
    let copy = target.database("copy");
    target.psql("copy", tables);
    let verified = Pgconvoy::new(["verify", "--source", &from, "--target", &copy]).run();
    assert_eq!(verified.status, 3, "{verified}");
    let told = "partition: being detached on the source, the default on the target";
    assert!(verified.to_string().contains(told), "{verified}");

    source.psql("shop", &statements(&check, RULE[0]));
    assert_silent(&looked(&from, &to, &options, 0), &RULE);
    assert_proven(&move_with(&from, &to, &[]));
    assert_eq!(target.psql("shop", "select count(*) from root"), "1");
    assert_eq!(target.psql("shop", "select count(*) from \"R2\""), "1");
}

/// Fills the second block of a table's file with what is no page. The server is restarted: nothing of it is in its memory.
fn damage(server: &mut Server, database: &str, table: &str) {
    let path = server.psql(
        database,
        &format!("checkpoint; select pg_relation_filepath('{table}')"),
    );
    let path = server.cluster.data_dir().join(path.trim());
    server.cluster.stop(StopMode::Fast).expect("stopped");
    let file = OpenOptions::new().write(true).open(path).expect("opened");
    file.write_all_at(&[0xaa; 8192], 8192).expect("written");
    server.cluster.resume().expect("started");
}

#[test]
fn damage_that_a_server_passes_over_is_not_passed_over_by_us() {
    let (Some(mut source), Some(target)) = (Server::start(16), Server::start(16)) else {
        return;
    };
    let (from, to) = (source.database("shop"), target.database("shop"));
    let table =
        "create table t as select i, repeat('x', 100) as filler from generate_series(1, 2000) i";
    source.psql("shop", table);
    source.psql("postgres", "create role reader login");
    source.psql("postgres", "grant pg_read_all_data to reader");
    let options = ["--no-measure"];
    let rules = ["source-passes-over-damage", "target-passes-over-damage"];
    assert_silent(&looked(&from, &to, &options, 0), &rules);

    for server in [&source, &target] {
        server.psql("postgres", "alter system set zero_damaged_pages = on");
        server.cluster.reload().expect("reloaded");
    }
    damage(&mut source, "shop", "t");
    // The same rows as anybody else reads of it, who then has the page as an empty one in the server's memory.
    let copy = target.database("copy");
    target.psql("copy", table);
    let verified = Pgconvoy::new(["verify", "--source", &from, "--target", &copy]).run();
    assert_ne!(verified.status, 0, "{verified}");
    assert!(
        verified.to_string().contains("invalid page in block 1"),
        "{verified}"
    );
    let check = looked(&from, &to, &options, 4);
    assert_told(&check, "blocker", &rules);
    let refused = move_with(&from, &to, &[]);
    assert_eq!(refused.status, 4, "{refused}");
    assert!(
        refused
            .stderr
            .contains("zero_damaged_pages is enabled on the source"),
        "{refused}"
    );

    // A role that may not switch it off is let in nowhere.
    let reader = from.replace("user='postgres'", "user=reader");
    let shut_out = move_with(&reader, &to, &["--no-owner", "-x"]);
    assert_eq!(shut_out.status, 2, "{shut_out}");
    for said in [
        "permission denied to set parameter \"zero_damaged_pages\"",
        "passes over damage without an error",
    ] {
        assert!(shut_out.stderr.contains(said), "{said}: {shut_out}");
    }

    target.psql("shop", &statements(&check, rules[1]));
    // Whoever comes to a salvage has often set it before.
    let saved = target.database("saved");
    let salvage = ["salvage", "--source", &from, "--target", &saved];
    let salvaged = Pgconvoy::new(salvage).run();
    assert_eq!(salvaged.status, 6, "{salvaged}");
    assert!(salvaged.stderr.contains(rules[0]), "{salvaged}");

    source.psql("shop", &statements(&check, rules[0]));
    source.cluster.restart(StopMode::Fast).expect("restarted");
    assert_silent(&looked(&from, &to, &options, 0), &rules);
    let failed = move_with(&from, &to, &[]);
    assert_ne!(failed.status, 0, "{failed}");
    assert!(
        failed.stderr.contains("invalid page in block 1"),
        "{failed}"
    );
}
