//! What is measured of the road, and what rules tell by it.

use pgconvoy::pg::cluster::ClusterOptions;
use serde_json::Value;

use super::support::server::Server;
use super::{assert_silent, assert_told, looked, remedy};

/// What a finding was found by.
#[track_caller]
fn evidence(check: &Value, rule: &str) -> String {
    let found = check["findings"].as_array().expect("a list");
    let found = found.iter().find(|one| one["rule"] == rule);
    let found = found.unwrap_or_else(|| panic!("no {rule} in {check:#}"));
    found["evidence"].to_string()
}

#[test]
fn what_settings_cost_is_told_by_what_was_measured_of_the_log() {
    let on_disk = |options: ClusterOptions| {
        options
            .setting("fsync", "on")
            .setting("commit_siblings", "0")
            .setting("max_wal_size", "32MB")
            .setting("min_wal_size", "32MB")
            .setting("wal_level", "logical")
    };
    let (Some(source), Some(target)) = (Server::start(16), Server::start_with(16, on_disk)) else {
        return;
    };
    let (from, to) = (source.database("shop"), target.database("shop"));
    source.psql(
        "shop",
        "create table wide (id int, what text) with (fillfactor = 10);
         insert into wide select i, repeat('x', 300) from generate_series(1, 18000) i; analyze",
    );
    let quiet = looked(&from, &to, &[], 0);
    assert_silent(&quiet, &["target-commits", "road-not-measured"]);
    for figure in ["bytes_per_second", "commit_us"] {
        let measured = quiet["measured"]["log"][figure].as_f64();
        assert!(measured > Some(0.0), "{figure}: {quiet:#}");
    }
    for (rule, told) in [
        (
            "target-checkpoints",
            "measured just now: rows are copied at ",
        ),
        (
            "target-checkpoints",
            "one begins whenever 16.0 MB have been written, and every 5 min in any case",
        ),
        (
            "target-logs-all",
            "measured just now: the target writes its log at ",
        ),
    ] {
        let evidence = evidence(&quiet, rule);
        assert!(evidence.contains(told), "{rule}: {evidence}");
    }
    let not_measured = looked(&from, &to, &["--no-measure"], 0);
    let of_checkpoints = evidence(&not_measured, "target-checkpoints");
    assert!(!of_checkpoints.contains("measured"), "{of_checkpoints}");

    target.psql("postgres", "alter system set commit_delay = 60000");
    target.cluster.reload().expect("reloaded");
    let check = looked(&from, &to, &[], 0);
    assert_told(&check, "warning", &["target-commits"]);
    let waited = check["measured"]["log"]["commit_us"].as_u64();
    assert!(waited >= Some(59_000), "{check:#}");
    let pasted = remedy(&check, "target-commits")
        .split_once('\n')
        .expect("statements");
    target.psql("shop", pasted.1);
    let check = looked(&from, &to, &[], 0);
    assert_silent(&check, &["target-commits"]);
    nobody_is_sent_messages((&source, &target));
}

/// Where the log is decoded, and to whoever may not write messages, only the rest is measured.
fn nobody_is_sent_messages((source, target): (&Server, &Server)) {
    let (from, to) = (source.conninfo("shop"), target.conninfo("shop"));
    let only_the_rest = |to: &str| {
        let check = looked(&from, to, &["--no-owner"], 0);
        assert!(check["measured"]["log"].is_null(), "{check:#}");
        assert!(
            !check["measured"]["index_bytes_per_second"].is_null(),
            "{check:#}"
        );
        assert_silent(&check, &["target-commits", "road-not-measured"]);
    };
    target.psql(
        "postgres",
        "create role mover login; alter database shop owner to mover",
    );
    target.psql(
        "shop",
        "revoke execute on function pg_logical_emit_message(boolean, text, text) from public",
    );
    only_the_rest(&to.replace("user='postgres'", "user=mover"));
    target.psql(
        "shop",
        "select pg_create_logical_replication_slot('cdc', 'pgoutput')",
    );
    only_the_rest(&to);
}

/// The temporary tables that it is measured with are of the same types. One that does not take its rows costs no other measure.
#[test]
fn rows_are_measured_whatever_their_types() {
    let (Some(source), Some(target)) = (Server::start(13), Server::start(17)) else {
        return;
    };
    let (from, to) = (source.database("shop"), target.database("shop"));
    source.psql(
        "shop",
        "create table flags (id int primary key, bits bit(8), varying_bits bit varying, code \"char\", tags text[],
                             price numeric(8, 2), short varchar(3), fixed char(7), at timestamptz(0), filler text);
         insert into flags
         select i, (i % 256)::bit(8), b'10101', chr(i % 127 + 1)::\"char\", array['a', null], i, 'abc', 'abc', now(), repeat('x', 200)
         from generate_series(1, 60000) i; analyze",
    );
    let check = looked(&from, &to, &[], 0);
    assert_silent(&check, &["road-not-measured"]);
    let copied = check["measured"]["copy_bytes_per_second"].as_f64();
    assert!(copied > Some(0.0), "{check:#}");
}
