//! What there is not enough of is named, with who has it: connections, and room for locks.

mod support;

use std::fmt::Write as _;
use std::process::{Child, Stdio};
use std::time::Duration;

use pgconvoy::model::{JobId, Side, SqlText};
use pgconvoy::pg::cluster::ClusterOptions;
use pgconvoy::pg::conninfo::{Conninfo, Environment};
use pgconvoy::pg::{Connector, PgError, Pool, serving};
use support::moving::prepare;
use support::server::Server;

const TABLES: usize = 3000;

/// A server with room for about 200 locks.
fn with_few_locks(major: u32) -> Option<Server> {
    Server::start_with(major, |options| {
        let few: ClusterOptions = options.setting("max_locks_per_transaction", "10");
        few.setting("max_connections", "20")
    })
}

/// A database with thousands of tables, each made in a transaction of its own.
fn many_tables(server: &Server) -> String {
    let conninfo = server.database("shop");
    let mut sql = String::new();
    for number in 0..TABLES {
        let _ = writeln!(sql, "create table t{number} (id int primary key);");
    }
    server.psql("shop", &sql);
    conninfo
}

#[test]
fn a_source_without_room_for_locks_is_told_how_much_it_needs() {
    let (Some(source), Some(target)) = (with_few_locks(16), Server::start(16)) else {
        return;
    };
    let from = many_tables(&source);
    let run = prepare(&from, &target.database("shop"), &[]).run();
    assert_eq!(run.status, 1, "{run}");
    for words in [
        "53200",
        "max_locks_per_transaction is 10, which is room for about 200 locks",
        "3,000 tables take about 12,000: set it to 600 or more and restart the server",
    ] {
        assert!(run.stderr.contains(words), "{words}: {run}");
    }
}

/// Where thousands of objects do not fit into one transaction, each has its own; only to read all of the schema there is no
/// other way.
#[test]
fn a_target_without_room_for_locks_is_filled_and_told_what_the_proof_needs() {
    let (Some(source), Some(target)) = (Server::start(16), with_few_locks(16)) else {
        return;
    };
    let from = many_tables(&source);
    let run = prepare(&from, &target.database("shop"), &[])
        .timeout(Duration::from_secs(240))
        .run();
    assert_eq!(run.status, 1, "{run}");
    for words in [
        "max_locks_per_transaction is 10, which is room for about 200 locks",
        "set it to 601 or more and restart the server",
    ] {
        assert!(run.stderr.contains(words), "{words}: {run}");
    }
    let tables = "select count(*) from pg_class where relkind = 'r' and relname ~ '^t[0-9]+$'";
    assert_eq!(target.psql("shop", tables), "3000", "{run}");
}

struct Sleeper(Child);

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn whoever_has_all_the_connections_is_named() {
    let with_few_connections = |options: ClusterOptions| {
        let few = options.setting("max_connections", "6");
        few.setting("superuser_reserved_connections", "0")
            .setting("max_wal_senders", "0")
    };
    let Some(source) = Server::start_with(16, with_few_connections) else {
        return;
    };
    let Some(target) = Server::start(16) else {
        return;
    };
    let from = source.database("shop");
    let sleep = || {
        let mut psql = source.tool("psql");
        psql.args(["-X", "-d", &from, "-c", "select pg_sleep(60)"])
            .env("PGAPPNAME", "sleeper")
            .stdout(Stdio::null());
        Sleeper(psql.spawn().expect("psql starts"))
    };
    let _sleepers: Vec<Sleeper> = (0..4).map(|_| sleep()).collect();
    let asleep = "select count(*) from pg_stat_activity where application_name = 'sleeper'";
    while source.psql("shop", asleep) != "4" {
        std::thread::sleep(Duration::from_millis(50));
    }
    let run = prepare(&from, &target.database("shop"), &[]).run();
    assert_eq!(run.status, 2, "{run}");
    for words in [
        "sorry, too many clients already",
        "connections are open, max_connections is 6: 4 of role postgres in shop (sleeper)",
        "use fewer workers (-j), or raise max_connections",
    ] {
        assert!(run.stderr.contains(words), "{words}: {run}");
    }
}

/// As long as a pool counts a session as busy, others wait for it where there is no room for more.
#[tokio::test]
async fn a_session_that_is_lent_is_counted_out_however_it_ends() {
    let Some(server) = Server::start(16) else {
        return;
    };
    let environment = Environment::default().with_os_user("postgres");
    let conninfo = Conninfo::resolve(&server.database("shop"), &environment).expect("resolves");
    let connector = Connector::new(conninfo, Side::Target).expect("no TLS");
    let pool = Pool::without_snapshot(connector);
    let ask = async |sql: &str| {
        let asked = async {
            let mut wire = pool.lend().await?;
            let answer = wire.query(&SqlText::from(sql)).await?;
            wire.give_back();
            Ok::<_, PgError>(answer)
        };
        serving(JobId(1), asked).await
    };
    assert!(ask("select 1").await.is_ok());
    assert_eq!((pool.backends(), pool.cancel().await), Default::default());
    assert!(ask("select 1 / 0").await.is_err());
    assert_eq!(pool.backends(), []);
    assert_eq!(pool.cancel().await.len(), 1);
    // Whoever waits for the answer is broken off.
    let broken_off = ask("select pg_sleep(60)");
    let broken_off = tokio::time::timeout(Duration::from_millis(300), broken_off).await;
    assert!(broken_off.is_err());
    assert_eq!(pool.backends(), []);
    assert_eq!(pool.cancel().await.len(), 1);
    assert_eq!(pool.cancel().await, [0; 0]);
}
