//! Corners that databases of years' standing have, and what is asked for less than a proof.

use crate::support::moving::{
    assert_equal, assert_no_ledger, assert_proven, build, independent_check, move_with,
};
use crate::support::server::Server;

#[test]
fn less_than_a_proof_is_never_exit_status_0() {
    let (Some(source), Some(target)) = (Server::start(15), Server::start(18)) else {
        return;
    };
    let from = source.database("db");
    build(&source, "db", "mastodon.sql", "scale=0.005");
    for level in ["counts", "none"] {
        let to = target.database(level);
        let run = move_with(&from, &to, &["--verify", level]);
        assert_eq!(run.status, 6, "{run}");
        assert_no_ledger(&target, level);
        assert_equal(level, &from, &to, &[]);
    }
}

/// Locks are taken in many orders: what can deadlock does, sooner or later.
#[test]
fn many_workers_do_not_get_into_each_others_way() {
    let (Some(source), Some(target)) = (Server::start(15), Server::start(18)) else {
        return;
    };
    let from = source.database("zoo");
    build(&source, "zoo", "zoo.sql", "target=18 subscription=off");
    build(&source, "zoo", "zoo-contrib.sql", "");
    build(&target, "postgres", "zoo-roles.sql", "");
    for (number, jobs) in ["1", "8", "12"].iter().enumerate() {
        let database = format!("zoo{number}");
        let to = target.database(&database);
        assert_proven(&move_with(
            &from,
            &to,
            &["-j", jobs, "--chunk-size", "64kB"],
        ));
        assert_equal(&format!("{jobs} workers"), &from, &to, &[]);
        assert_no_ledger(&target, &database);
        target.psql("postgres", &format!("drop database {database}"));
    }
}

#[test]
fn a_thousand_tables() {
    let (Some(source), Some(target)) = (Server::start(15), Server::start(15)) else {
        return;
    };
    let from = source.database("db");
    source.psql(
        "db",
        "do $$ begin
            for i in 1 .. 1000 loop
                execute format('create table t%s (id int primary key, up int references t%s, note text unique)', i, greatest(1, i - 1));
                execute format('insert into t%s select g, null, g from generate_series(1, 3) g', i);
            end loop;
        end $$",
    );
    let to = target.database("db");
    let run = move_with(&from, &to, &[]);
    let report = assert_proven(&run);
    assert_eq!(report["tables"].as_array().map(Vec::len), Some(1000));
    assert_equal("a thousand tables", &from, &to, &[]);
}

/// What an invalid index left behind, foreign tables in trees, the database's own settings.
#[test]
fn what_the_zoo_keeps_apart() {
    let (Some(source), Some(target)) = (Server::start(15), Server::start(18)) else {
        return;
    };
    build(&target, "postgres", "zoo-roles.sql", "");
    for fixture in [
        "zoo-invalid-index.sql",
        "zoo-foreign-trees.sql",
        "zoo-traps.sql",
    ] {
        let database = fixture.trim_end_matches(".sql");
        let from = source.database(database);
        build(&source, database, "zoo.sql", "target=18 subscription=off");
        build(&source, database, fixture, "");
        let to = target.database(database);
        let run = move_with(&from, &to, &[]);
        let (equal, said) = independent_check(&from, &to, &[]);
        println!("{fixture}: {}\n{run}\n{said}", run.status);
        assert_eq!(run.status == 0, equal, "{fixture}: {run}\n{said}");
    }
}

/// Somebody who may read every table, but not every row of it.
#[test]
fn rows_that_a_policy_hides_are_not_left_out_in_silence() {
    let (Some(source), Some(target)) = (Server::start(15), Server::start(15)) else {
        return;
    };
    let from = source.database("db");
    source.psql(
        "db",
        "create role reader login; grant pg_read_all_data to reader;
         create table t (a int); insert into t values (1), (2);
         alter table t enable row level security; create policy few on t using (a = 1)",
    );
    let to = target.database("db");
    let run = move_with(&format!("{from} user=reader"), &to, &["--no-owner", "-x"]);
    assert_eq!(run.status, 4, "{run}");
    assert!(
        run.stderr.contains("\"public\".\"t\"") && run.stderr.contains("BYPASSRLS"),
        "{run}"
    );
}
