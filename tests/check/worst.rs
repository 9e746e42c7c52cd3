//! Conditions that are seldom met: the last stage of rules that begin with a warning, a standby that commits wait for, and servers of
//! versions that nobody supports any more.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use pgconvoy::pg::cluster::ClusterOptions;

use super::support::age::give_out_from;
use super::support::binary::Pgconvoy;
use super::support::server::Server;
use super::{SHOP, assert_silent, assert_told, looked, remedy, rules};

/// A receiver of the write-ahead log, which ends with this value.
struct Standby(Child);

impl Standby {
    /// Whose word commits wait for.
    fn of(server: &Server) -> Self {
        let dir = server.cluster.dir().join("received");
        std::fs::create_dir(&dir).expect("made");
        let mut receive = server.tool("pg_receivewal");
        receive
            .args(["--synchronous", "-D"])
            .arg(&dir)
            .args(["-d", &server.conninfo("postgres")])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let standby = Self(receive.spawn().expect("pg_receivewal starts"));
        server.psql(
            "postgres",
            "alter system set synchronous_standby_names = 'pg_receivewal'",
        );
        server.cluster.reload().expect("reloaded");
        let began = Instant::now();
        let waited_for = "select count(*) from pg_stat_replication where sync_state = 'sync'";
        while server.psql("postgres", waited_for) != "1" {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "nobody waits for it"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        standby
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_old_source_without_room_for_sessions_and_a_target_with_a_standby() {
    let old = |options: ClusterOptions| {
        options
            .setting("autovacuum", "off")
            .setting("autovacuum_freeze_max_age", "2000000000")
    };
    let (Some(mut source), Some(target)) = (Server::start_with(15, old), Server::start(16)) else {
        return;
    };
    source.psql(
        "postgres",
        "create role reader login; grant pg_read_all_data to reader",
    );
    source.database("shop");
    source.psql("shop", SHOP);
    let from = source.conninfo("shop");
    let from = from.replace("user='postgres'", "user=reader");
    let to = target.database("shop");
    let options = ["--no-measure", "--no-owner", "-x", "-j", "2"];
    let blockers = ["source-age", "source-connections"];
    let quiet = looked(&from, &to, &options, 0);
    assert_silent(&quiet, &blockers);
    assert_silent(&quiet, &["target-synchronous-standbys"]);

    // The first of a page of their states, which is made then.
    give_out_from(&mut source, 1_900_019_712);
    source.psql("postgres", "alter role reader connection limit 5");
    let standby = Standby::of(&target);
    let check = looked(&from, &to, &options, 4);
    assert_told(&check, "blocker", &blockers);
    assert_told(&check, "warning", &["target-synchronous-standbys"]);

    let pasted = |server: &Server, rule| {
        let statements = remedy(&check, rule).split_once('\n').expect("statements");
        server.psql("shop", statements.1);
    };
    pasted(&source, "source-age");
    pasted(&target, "target-synchronous-standbys");
    source.psql("postgres", "alter role reader connection limit -1");
    drop(standby);
    let check = looked(&from, &to, &options, 0);
    assert_silent(&check, &blockers);
    assert_silent(&check, &["target-synchronous-standbys"]);
}

/// Has a database of a server say that it is of version 9.6, to whoever asks for that in SQL. There is no such server to be had. The
/// function is put into the question when that is planned, which a strict one is not: what is built in would be called.
fn call_it_old(server: &Server, database: &str) {
    server.psql(
        database,
        "create function true_setting(text) returns text language internal stable strict as 'show_config_by_name';
         create or replace function pg_catalog.current_setting(text) returns text language sql stable as $$
             select case when $1 = 'server_version_num' then '90624' else public.true_setting($1) end $$",
    );
}

#[test]
fn versions_that_are_not_supported_are_refused() {
    let (Some(source), Some(target)) = (Server::start(16), Server::start(16)) else {
        return;
    };
    let ends = ["new", "old"].map(|name| (source.database(name), target.database(name)));
    for server in [&source, &target] {
        call_it_old(server, "old");
    }
    let [(new_source, new_target), (old_source, old_target)] = &ends;
    let options = ["--no-measure", "--overwrite", "old"];
    let check = looked(old_source, new_target, &options[..1], 4);
    assert_told(&check, "blocker", &["source-too-old"]);
    // Nothing else is asked of a server that would not understand it.
    assert_eq!(rules(&check), ["source-too-old"]);
    assert!(check.to_string().contains("PostgreSQL 9.6.24"), "{check:#}");
    let check = looked(new_source, old_target, &options, 4);
    assert_told(&check, "blocker", &["target-too-old"]);
    assert_eq!(rules(&check), ["target-too-old"]);
    for command in ["move", "plan"] {
        let run = Pgconvoy::new([command, "--source", old_source, "--target", new_target]).run();
        assert_eq!(run.status, 4, "{run}");
        let told = "the source is PostgreSQL 9.6.24; versions before 10 are not supported";
        assert!(run.stderr.contains(told), "{run}");
    }
    let check = looked(new_source, new_target, &options[..1], 0);
    assert_silent(&check, &["source-too-old", "target-too-old"]);
}
