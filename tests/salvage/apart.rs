//! What is not searched, not there, or not finished: a part of a database, a tablespace whose disk is gone, a prepared transaction.

use std::fs;
use std::os::unix::fs::FileExt as _;

use pgconvoy::pg::cluster::StopMode;
use serde_json::Value;

use crate::lab::{PAGE, losses, salvaging};
use crate::support::binary::{Finished, Pgconvoy};
use crate::support::server::Server;

fn start(major: u32) -> Option<Server> {
    Server::start_with(major, |options| {
        options
            .setting("autovacuum", "off")
            .setting("synchronous_commit", "on")
            .setting("max_prepared_transactions", "5")
    })
}

fn survey(source: &str, more: &[&str]) -> Finished {
    let fixed = [
        "salvage",
        "--survey",
        "--run-dir",
        "run",
        "--source",
        source,
    ];
    Pgconvoy::new(fixed.iter().chain(more)).run()
}

fn objects(run: &Finished) -> Vec<Value> {
    let account = losses(run);
    account["objects"].as_array().cloned().unwrap_or_default()
}

/// The directory of a tablespace is gone, with the file of a table that was never counted. Its index is elsewhere, and names its rows.
#[test]
fn a_tablespace_that_is_gone_takes_nothing_else_along() {
    for major in [13, 18] {
        let (Some(mut source), Some(target)) = (start(major), Server::start(18)) else {
            return;
        };
        let place = source.cluster.create_dir("lost").expect("created");
        let (from, to) = (source.database("shop"), target.database("shop"));
        source.psql(
            "shop",
            &format!(
                "create tablespace lost location '{}'; \
                 create table near (id int primary key); insert into near select generate_series(1, 500); \
                 create table away (id int primary key, line text) tablespace lost; \
                 insert into away select i, 'line ' || i from generate_series(1, 100) i",
                place.display()
            ),
        );
        source.cluster.stop(StopMode::Fast).expect("it stops");
        fs::rename(&place, place.with_extension("aside")).expect("moved aside");
        source.cluster.resume().expect("it starts");

        let run = salvaging(&from, &to, &["--no-tablespaces"]).run();
        assert_eq!(run.status, 6, "{run}");
        assert_eq!(target.psql("shop", "select count(*) from near"), "500");
        assert_eq!(target.psql("shop", "select count(*) from away"), "0");
        let account = losses(&run);
        let tables = account["tables"].as_array().expect("a list");
        assert_eq!(tables.len(), 1, "{account:#}");
        assert_eq!(tables[0]["table"]["name"], "away", "{account:#}");
        let why = tables[0]["causes"].to_string();
        assert!(why.contains("is missing"), "{account:#}");
        let keys = fs::read_to_string(run.path("run/lost/public.away.csv")).expect("keys");
        assert_eq!(keys.lines().count(), 1 + 100, "{keys}");

        let run = survey(&from, &[]);
        assert_eq!(run.status, 6, "{run}");
        let said = "public.away: lost: perhaps 100 rows, and there may be more; 0 rows can be read";
        assert!(run.stdout.contains(said), "{run}");
    }
}

/// What somebody was promised is in its files, and in no copy.
#[test]
fn a_prepared_transaction_is_told() {
    for major in [10, 18] {
        let (Some(mut source), Some(target)) = (start(major), Server::start(18)) else {
            return;
        };
        let (from, to) = (source.database("shop"), target.database("shop"));
        source.psql(
            "shop",
            "create table orders (id int primary key); insert into orders select generate_series(1, 50); \
             begin; insert into orders select generate_series(51, 60); prepare transaction 'it''s due'",
        );
        // Whoever waits in another database is no concern of this one.
        source.psql(
            "postgres",
            "create table t (id int); begin; insert into t values (1); prepare transaction 'elsewhere'",
        );
        let restart = |source: &mut Server| {
            source.cluster.stop(StopMode::Fast).expect("it stops");
            source.cluster.resume().expect("it starts");
        };
        restart(&mut source);
        let run = survey(&from, &[]);
        assert_eq!(run.status, 6, "{run}");
        assert!(run.stdout.contains("COMMIT PREPARED 'it''s due'"), "{run}");

        let run = salvaging(&from, &to, &[]).run();
        assert_eq!(run.status, 6, "{run}");
        let told = objects(&run);
        assert_eq!(told.len(), 1, "{told:#?}\n{run}");
        assert_eq!(told[0]["class"], "prepared transaction", "{told:#?}");
        assert_eq!(told[0]["object"], "it's due", "{told:#?}");
        assert_eq!(target.psql("shop", "select count(*) from orders"), "50");

        source.psql("shop", "commit prepared 'it''s due'");
        restart(&mut source);
        let again = target.database("again");
        let run = salvaging(&from, &again, &[]).run();
        assert_eq!(run.status, 0, "{run}");
        assert_eq!(target.psql("again", "select count(*) from orders"), "60");
    }
}

/// Of a part of the database only that is searched, told, and asked for; whatever is wrong with the rest.
#[test]
fn what_is_not_asked_for_is_neither_searched_nor_told() {
    let (Some(mut source), Some(target)) = (start(18), Server::start(18)) else {
        return;
    };
    let from = source.database("shop");
    source.psql(
        "shop",
        "create table sound (id int primary key); insert into sound select generate_series(1, 500); \
         create table hurt (id serial primary key, line text); insert into hurt (line) select 'line ' || i from generate_series(1, 1000) i; \
         create table huge (id int primary key); insert into huge select generate_series(1, 1000); \
         select lo_from_bytea(20000, 'large'); vacuum (freeze)",
    );
    let path = |relation: &str| {
        let query = format!("select pg_relation_filepath('{relation}')");
        let path = source.psql("shop", &query);
        source.cluster.data_dir().join(path)
    };
    let pages = [path("hurt"), path("huge")];
    let whole = [path("hurt_id_seq"), path("pg_largeobject")];
    source.cluster.stop(StopMode::Fast).expect("it stops");
    for (file, at) in pages.iter().zip([PAGE, 2 * PAGE]) {
        let file = fs::OpenOptions::new().write(true).open(file);
        let file = file.expect("opened");
        file.write_all_at(&[0x5a; 8192], at).expect("written");
    }
    for file in &whole {
        fs::write(file, [0x5a; 8192]).expect("written");
    }
    source.cluster.resume().expect("it starts");

    let everything = survey(&from, &[]);
    assert_eq!(everything.status, 6, "{everything}");
    for said in [
        "public.hurt: lost",
        "public.huge: lost",
        "hurt_id_seq",
        "large object",
    ] {
        assert!(everything.stdout.contains(said), "{said}: {everything}");
    }
    let run = survey(&from, &["--table", "sound"]);
    assert_eq!(run.status, 0, "{run}");
    let (to, other) = (target.database("shop"), target.database("other"));
    let run = salvaging(&from, &to, &["--table", "sound"]).run();
    assert_eq!(run.status, 0, "{run}");
    assert_eq!(target.psql("shop", "select count(*) from sound"), "500");
    let journal = fs::read_to_string(run.path("run/salvage.journal")).expect("a journal");
    for table in ["hurt", "huge"] {
        let oid = source.psql("shop", &format!("select '{table}'::regclass::oid"));
        assert!(!journal.contains(&format!("\"table\":{oid},")), "{journal}");
    }

    // What is asked for besides is told, with its sequence; rows that are left out are not.
    let more = [
        "--table",
        "sound",
        "--table",
        "hurt",
        "--table",
        "huge",
        "--exclude-table-data",
        "huge",
    ];
    let run = salvaging(&from, &other, &more).run();
    assert_eq!(run.status, 6, "{run}");
    let account = losses(&run);
    let tables = account["tables"].as_array().expect("a list");
    assert_eq!(tables.len(), 1, "{account:#}");
    assert_eq!(tables[0]["table"]["name"], "hurt", "{account:#}");
    let told = objects(&run);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0]["object"], "public.hurt_id_seq", "{told:#?}");
}
