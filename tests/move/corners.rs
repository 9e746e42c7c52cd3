//! Corners that databases of years' standing have, and what is asked for less than a proof.

use crate::counts::assert_every_count;
use crate::support::binary::{Finished, Pgconvoy};
use crate::support::moving::{
    OnceRead, assert_equal, assert_no_ledger, assert_proven, build, independent_check, move_with,
    report,
};
use crate::support::server::Server;
use crate::support::template::Holding;

#[test]
fn less_than_a_proof_is_never_exit_status_0() {
    let (Some(source), Some(target)) = (Server::start(15), Server::start(18)) else {
        return;
    };
    let from = source.database("db");
    build(&source, "db", "mastodon.sql", "scale=0.002");
    let checked = OnceRead::new();
    for level in ["counts", "none"] {
        let to = target.database(level);
        let run = move_with(&from, &to, &["--verify", level]);
        assert_eq!(run.status, 6, "{run}");
        assert_no_ledger(&target, level);
        checked.assert_equal(level, &from, &to);
    }
}

/// Constants in definitions are printed in a session's time zone, and what a view's query gives may depend on it: that of the source
/// is meant, wherever the target is.
#[test]
fn the_time_zone_is_the_sources() {
    let (Some(source), Some(target)) = (Server::start(15), Server::start(18)) else {
        return;
    };
    let from = source.database("db");
    source.psql("db", "alter database db set timezone = 'Asia/Tokyo'");
    source.psql(
        "db",
        "create table ev (id int, at timestamptz not null) partition by range (at);
         create table ev1 partition of ev for values from ('2026-01-01') to ('2026-07-01');
         create index recent on ev1 (id) where at > '2026-02-01';
         insert into ev select i, timestamptz '2026-01-01 00:00+09' + i * interval '5 hours' from generate_series(0, 99) i;
         create materialized view per_day as select date_trunc('day', at)::date as day, count(*) from ev group by 1;
         create materialized view stale as select at::text from ev;
         insert into ev values (100, '2026-03-03');",
    );
    source.psql("db", "refresh materialized view per_day");
    let to = target.database("db");
    let run = move_with(&from, &to, &[]);
    assert_proven(&run);
    let days = "select string_agg(day || ' ' || count, ',' order by day) from per_day";
    assert_eq!(target.psql("db", days), source.psql("db", days), "{run}");
    assert!(!run.stderr.contains("per_day was out of date"), "{run}");
    assert!(run.stderr.contains("stale was out of date"), "{run}");
    let fresh = "select count(*) from stale where at like '%+09'";
    assert_eq!(target.psql("db", fresh), "101", "{run}");

    source.psql(
        "db",
        "insert into ev values (101, '2026-03-04'); refresh materialized view per_day",
    );
    let sides = ["--source", &from, "--target", &to];
    let synced = Pgconvoy::new(["sync"].iter().chain(&sides)).run();
    assert_eq!(synced.status, 0, "{synced}");
    assert_eq!(target.psql("db", days), source.psql("db", days), "{synced}");
    let verified = Pgconvoy::new(["verify"].iter().chain(&sides)).run();
    assert_eq!(verified.status, 0, "{verified}");
}

/// Of a key over periods of time, a server that validates it would only look whether the periods meet. A row that got past it on the source
/// does not become one that the target says it has checked.
#[test]
fn a_key_over_periods_of_time_is_checked_as_a_whole() {
    let (Some(source), Some(target)) = (Server::start(18), Server::start(18)) else {
        return;
    };
    let (from, to) = (source.database("db"), target.database("db"));
    source.psql(
        "db",
        "create table room (id int4range, at daterange, primary key (id, at without overlaps));
         create table booking (id int primary key, room int4range, at daterange,
             constraint booked foreign key (room, period at) references room (id, period at));
         insert into room values ('[1,2)', '[2026-01-01,2026-02-01)');
         insert into booking values (1, '[1,2)', '[2026-01-10,2026-01-20)');",
    );
    let run = move_with(&from, &to, &[]);
    assert_proven(&run);
    assert_equal("rooms", &from, &to, &[]);
    // Of small tables, keys are added at once anyway.
    source.psql(
        "db",
        "alter table booking add note text;
         insert into booking select 1 + i, '[1,2)', '[2026-01-10,2026-01-20)', repeat('x', 500) from generate_series(1, 8000) i;
         set session_replication_role = replica;
         insert into booking values (0, '[1,2)', '[2026-01-10,2026-03-01)')",
    );
    let run = move_with(&from, &to, &["--overwrite", "db"]);
    assert_eq!(run.status, 1, "{run}");
    assert!(run.stderr.contains("failed: foreign key booked"), "{run}");
}

/// A zoo on 15, and an 18 that has its roles.
fn zoo_and_target() -> Option<(Server, Server)> {
    let zoo = Holding::zoo("target=18 subscription=off");
    let source = Server::start_holding(15, Some(&zoo), |options| options)?;
    let target = Server::start(18)?;
    build(&target, "postgres", "zoo-roles.sql", "");
    Some((source, target))
}

/// Locks are taken in many orders: what can deadlock does, sooner or later.
#[test]
fn many_workers_do_not_get_into_each_others_way() {
    let Some((source, target)) = zoo_and_target() else {
        return;
    };
    let from = source.conninfo("zoo");
    build(&source, "zoo", "zoo-contrib.sql", "");
    let checked = OnceRead::new();
    for (number, jobs) in ["1", "12"].iter().enumerate() {
        let database = format!("zoo{number}");
        let to = target.database(&database);
        assert_proven(&move_with(
            &from,
            &to,
            &["-j", jobs, "--chunk-size", "64kB"],
        ));
        checked.assert_equal(&format!("{jobs} workers"), &from, &to);
        assert_no_ledger(&target, &database);
        target.psql("postgres", &format!("drop database {database}"));
    }
}

#[test]
fn five_hundred_tables() {
    let (Some(source), Some(target)) = (Server::start(15), Server::start(15)) else {
        return;
    };
    let from = source.database("db");
    source.psql(
        "db",
        "do $$ begin
            for i in 1 .. 500 loop
                execute format('create table t%s (id int primary key, up int references t%s, note text unique)', i, greatest(1, i - 1));
                execute format('insert into t%s select g, null, g from generate_series(1, 3) g', i);
            end loop;
        end $$",
    );
    let to = target.database("db");
    let run = move_with(&from, &to, &[]);
    let report = assert_proven(&run);
    assert_eq!(report["tables"].as_array().map(Vec::len), Some(500));
    assert_equal("five hundred tables", &from, &to, &[]);
}

struct Moved {
    run: Finished,
    source: Server,
    target: Server,
    /// By the independent check.
    said: (bool, String),
}

/// A zoo with more in it, moved.
fn zoo_with(fixtures: &[&str]) -> Option<Moved> {
    let (source, target) = zoo_and_target()?;
    let from = source.conninfo("zoo");
    for fixture in fixtures {
        build(&source, "zoo", fixture, "");
    }
    let to = target.database("zoo");
    let run = move_with(&from, &to, &[]);
    let said = independent_check(&from, &to, &[]);
    Some(Moved {
        run,
        source,
        target,
        said,
    })
}

/// An index that a failed build left behind is not missed, foreign tables in trees are left alone, and every count that there is of a
/// table's rows is the same.
#[test]
fn what_cannot_be_moved_is_not_in_the_way_and_everything_else_is_counted() {
    let fixtures = ["zoo-invalid-index.sql", "zoo-foreign-trees.sql"];
    if let Some(moved) = zoo_with(&fixtures) {
        let report = assert_proven(&moved.run);
        let (equal, said) = &moved.said;
        assert!(equal, "{said}");
        assert_every_count(&moved.source, &moved.target, &report);
    }
}

/// `pg_dump` does not write what would be needed: that is seen, and it is all that is different.
#[test]
fn what_pg_dump_itself_gets_wrong_is_found() {
    if let Some(Moved { run, said, .. }) = zoo_with(&["zoo-traps.sql"]) {
        let (equal, said) = said;
        assert_eq!(run.status, 3, "{run}");
        let differences = &report(&run)["differences"];
        assert_eq!(
            differences.as_array().map(Vec::len),
            Some(1),
            "{differences}"
        );
        assert!(
            differences[0]["object"]
                .to_string()
                .contains("trap_grandchild born"),
            "{differences}"
        );
        assert!(!equal && said.contains("trap_grandchild"), "{said}");
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

/// The query of such a view comes as a rule, behind the primary key that it groups by; until then the view gives a row of NULLs.
#[test]
fn materialized_views_wait_for_views_that_are_made_late() {
    let (Some(source), Some(target)) = (Server::start(18), Server::start(18)) else {
        return;
    };
    let (from, to) = (source.database("db"), target.database("db"));
    source.psql(
        "db",
        "create table keyed (id int primary key, a int); insert into keyed select i, i from generate_series(1, 50) i;
         create view grouped as select id, a, count(*) as n from keyed group by id;
         create view over_it as select * from grouped;
         create materialized view first as select * from over_it;
         create materialized view second as select * from first;
         create materialized view third as select * from second;
         create unique index on third (id);
         create materialized view apart as select a from keyed",
    );
    assert_proven(&move_with(&from, &to, &[]));
    assert_equal("db", &from, &to, &[]);
}
