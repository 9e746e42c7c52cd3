//! Throw-away clusters: every installed version starts, answers, stops, and leaves nothing behind.

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pgconvoy::pg::cluster::{
    ClusterError, ClusterOptions, ServerInstall, StopMode, ThrowawayCluster,
};
use support::server::{Server, newest_tools, servers};

fn options(install: &ServerInstall) -> ClusterOptions {
    ClusterOptions {
        purpose: "test".to_owned(),
        ..ClusterOptions::new(&install.bin_dir)
    }
}

fn newest() -> ServerInstall {
    servers()
        .into_iter()
        .next()
        .expect("a Postgres server is installed")
}

async fn ask(conninfo: &str, query: &str) -> String {
    let (client, connection) = tokio_postgres::connect(conninfo, tokio_postgres::NoTls)
        .await
        .expect("the server accepts connections");
    let driver = tokio::spawn(connection);
    let answer = client
        .query_one(query, &[])
        .await
        .expect("the query runs")
        .get(0);
    drop(client);
    driver.await.expect("no panic").expect("a clean goodbye");
    answer
}

fn alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn every_installed_version_starts_answers_and_leaves_nothing() {
    let installed = servers();
    assert!(!installed.is_empty(), "a Postgres server is installed");
    for install in installed {
        let cluster = ThrowawayCluster::start(&options(&install))
            .unwrap_or_else(|error| panic!("{}: {error}", install.version));
        let said = ask(
            &cluster.conninfo("postgres"),
            "select current_setting('server_version_num')",
        )
        .await;
        assert_eq!(said, install.version.0.to_string());
        let dir = cluster.dir().to_owned();
        let pid = cluster.postmaster_pid().expect("it runs");
        drop(cluster);
        assert!(!dir.exists(), "{} is left behind", dir.display());
        assert!(!alive(pid), "the server of {} still runs", dir.display());
    }
}

#[tokio::test]
async fn settings_encoding_checksums_and_tcp_are_as_asked() {
    let install = newest();
    let cluster = ThrowawayCluster::start(&ClusterOptions {
        encoding: "LATIN1".to_owned(),
        data_checksums: true,
        listen_tcp: true,
        superuser: "the boss".to_owned(),
        ..options(&install)
            .setting("search_path", "it's")
            .setting("fsync", "on")
    })
    .expect("it starts");
    for (setting, expected) in [
        ("server_encoding", "LATIN1"),
        ("data_checksums", "on"),
        ("search_path", "it's"),
        ("fsync", "on"),
        ("synchronous_commit", "off"),
    ] {
        let query = format!("select current_setting('{setting}')");
        assert_eq!(
            ask(&cluster.tcp_conninfo("postgres"), &query).await,
            expected,
            "{setting}"
        );
    }
    assert_eq!(
        ask(&cluster.conninfo("postgres"), "select current_user::text").await,
        "the boss"
    );
}

#[tokio::test]
async fn a_restarted_cluster_keeps_its_port_and_its_rows() {
    let mut cluster = ThrowawayCluster::start(&options(&newest())).expect("it starts");
    let conninfo = cluster.conninfo("postgres");
    ask(&conninfo, "select lo_from_bytea(4711, 'kept')::oid::text").await;
    cluster.stop(StopMode::Fast).expect("it stops");
    assert!(cluster.postmaster_pid().is_none());
    assert!(
        tokio_postgres::connect(&conninfo, tokio_postgres::NoTls)
            .await
            .is_err()
    );
    cluster.resume().expect("it starts again");
    cluster.restart(StopMode::Immediate).expect("it recovers");
    assert_eq!(
        ask(&conninfo, "select convert_from(lo_get(4711), 'UTF8')").await,
        "kept"
    );
}

/// What tests are given is copied from what `initdb` made once.
#[test]
fn copies_of_a_template_are_clusters_of_their_own() {
    for major in [10, 18] {
        let (Some(one), Some(mut other)) = (Server::start(major), Server::start(major)) else {
            continue;
        };
        let identity = "select system_identifier from pg_control_system()";
        let before = other.psql("postgres", identity);
        assert_ne!(one.psql("postgres", identity), before, "{major}");
        other.psql(
            "postgres",
            "set synchronous_commit = on; create table kept as select 4711 as a",
        );
        // It is what the log says as well.
        other.cluster.restart(StopMode::Immediate).expect("started");
        assert_eq!(other.psql("postgres", "select a from kept"), "4711");
        assert_eq!(other.psql("postgres", identity), before, "{major}");
    }
}

#[test]
fn a_server_that_does_not_start_shows_its_command_and_its_log() {
    let refused = ThrowawayCluster::start(&options(&newest()).setting("shared_buffers", "plenty"))
        .expect_err("no such setting");
    assert!(matches!(refused, ClusterError::Ended { .. }), "{refused:?}");
    let said = refused.to_string();
    assert!(
        said.contains("shared_buffers") && said.contains("/postgres -D "),
        "{said}"
    );
}

#[test]
fn an_initdb_that_fails_shows_its_command_and_what_it_said() {
    let asked = ClusterOptions {
        encoding: "KLINGON".to_owned(),
        ..options(&newest())
    };
    let refused = ThrowawayCluster::start(&asked).expect_err("no such encoding");
    assert!(
        matches!(refused, ClusterError::Initdb { .. }),
        "{refused:?}"
    );
    let said = refused.to_string();
    assert!(
        said.contains("--encoding KLINGON") && said.contains("not a valid"),
        "{said}"
    );
}

/// Run as a process of its own by the test below, which kills it.
#[test]
#[ignore = "half of another test"]
fn waits_to_be_killed() {
    let cluster = ThrowawayCluster::start(&options(&newest())).expect("it starts");
    let pid = cluster.postmaster_pid().expect("it runs");
    println!("cluster {} {pid}", cluster.dir().display());
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_killed_owner_leaves_neither_server_nor_directory() {
    use std::io::{BufRead as _, BufReader};

    let mut owner = Command::new(std::env::current_exe().expect("a test binary"))
        .args(["--ignored", "--exact", "waits_to_be_killed", "--nocapture"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs itself");
    let announced = BufReader::new(owner.stdout.take().expect("piped"))
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.split_once("cluster ").map(|(_, rest)| rest.to_owned()))
        .expect("the owner announces its cluster");
    let (dir, pid) = announced.split_once(' ').expect("directory and process id");
    let (dir, pid) = (Path::new(dir), pid.parse().expect("a process id"));
    assert!(dir.join("data").exists() && alive(pid));

    owner.kill().expect("SIGKILL");
    owner.wait().expect("it is dead");

    let deadline = Instant::now() + Duration::from_secs(20);
    while dir.exists() || alive(pid) {
        assert!(Instant::now() < deadline, "{announced} is left behind");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn psql_runs_on_every_installed_version_and_tells_its_errors() {
    for major in [10, 15, 18] {
        let Some(server) = Server::start(major) else {
            continue;
        };
        server.database("a \"b\" é");
        let said = server.psql(
            "a \"b\" é",
            "create extension hstore; select 'a=>1'::hstore -> 'a', null",
        );
        assert_eq!(said, "1|");
        let refused = server
            .try_psql("postgres", "select 1; select * from nowhere")
            .expect_err("no such table");
        assert!(
            refused.contains("relation \"nowhere\" does not exist"),
            "{refused}"
        );
        let long = format!("select length('{}')", "x".repeat(1_000_000));
        assert_eq!(server.psql("postgres", &long), "1000000");
    }
    assert!(newest_tools().join("pg_dump").is_file());
}
