//! What speaks against a follow and against its turns, by the name of each rule: told while that is so, and silent once that is done which
//! it says.

use std::time::{Duration, Instant};

use pgconvoy::pg::cluster::StopMode;

use crate::scene::{DATABASE, Pooled, SCHEMA, Scene, named, start};
use crate::support::moving::{assert_proven, prepare};
use crate::support::server::Server;

/// For conninfos of a role's own.
const FOLLOW: [&str; 4] = [
    "--follow",
    "--allow-source-objects",
    "--replica-identity-full",
    "public.bare",
];

/// Everything that the source has is somebody else's already.
const USED_UP: &str = "
    select pg_create_logical_replication_slot('idle', 'pgoutput');
    create function public.told() returns event_trigger language plpgsql as 'begin end';
    create event trigger told on ddl_command_end execute function public.told();
    alter event trigger told enable always;
    create function public.greeted() returns event_trigger language plpgsql as 'begin end';
    create event trigger greeted on login execute function public.greeted();
    begin; insert into public.bare values (1, 1); prepare transaction 'half';
";

/// Of which `pg_stat_activity` tells an ordinary role nothing: sessions that are senders of the log.
fn senders(source: &Server) -> [Pooled; 2] {
    ["one", "other"].map(|name| Pooled::start_as(source, name, "replication=database"))
}

/// A target that takes nobody's changes; `origins` is by what its version limits how many subscriptions have a place.
fn poor(major: u32, origins: &str) -> Option<Server> {
    Server::start_with(major, |options| {
        options
            .setting("max_replication_slots", "0")
            .setting(origins, "0")
            .setting("max_logical_replication_workers", "0")
            .setting("wal_retrieve_retry_interval", "500ms")
    })
}

#[test]
fn poor_servers_are_refused_by_name_until_they_are_richer() {
    const POOR: [&str; 7] = [
        "follow-slots",
        "follow-senders",
        "follow-prepared",
        "follow-event-triggers",
        "follow-login-triggers",
        "follow-workers",
        "follow-origins",
    ];
    let source = Server::start_with(17, |options| {
        options
            .setting("wal_level", "logical")
            .setting("max_replication_slots", "1")
            .setting("max_wal_senders", "2")
            .setting("max_slot_wal_keep_size", "1GB")
            .setting("max_prepared_transactions", "1")
    });
    let (Some(source), Some(old), Some(mut target)) = (
        source,
        poor(17, "max_replication_slots"),
        poor(18, "max_active_replication_origins"),
    ) else {
        return;
    };
    source.database(DATABASE);
    source.psql(DATABASE, &format!("{SCHEMA} {USED_UP}"));
    let _senders = senders(&source);
    for target in [&old, &target] {
        target.database(DATABASE);
        let scene = Scene {
            source: &source,
            target,
        };
        let run = scene.follow(&[]).run();
        assert_eq!(run.status, 4, "{run}");
        assert_eq!(named(&run.stderr), POOR, "{run}");
    }

    source.psql(
        DATABASE,
        "rollback prepared 'half'; alter event trigger told enable; select pg_drop_replication_slot('idle');
         create or replace function public.greeted() returns event_trigger language plpgsql as
             'begin if current_setting(''transaction_read_only'')::bool then return; end if; end';
         select pg_terminate_backend(pid, 10000) from pg_stat_replication",
    );
    // What is left of slots is none of those that keep a subscription's place.
    target.psql(
        "postgres",
        "alter system set max_logical_replication_workers = 1; alter system set max_active_replication_origins = 1",
    );
    target.cluster.restart(StopMode::Fast).expect("restarted");
    let scene = Scene {
        source: &source,
        target: &target,
    };
    // Of these, one has once been used, and takes the only place.
    target.psql(
        "postgres",
        "select pg_replication_origin_create('left' || n) from generate_series(1, 3) as n;
         select pg_replication_origin_advance('left2', '0/1')",
    );
    let refused = scene.follow(&[]).run();
    assert_eq!(refused.status, 4, "{refused}");
    assert_eq!(named(&refused.stderr), ["follow-origins"], "{refused}");
    let remedy = "SELECT pg_replication_origin_drop('…')";
    assert!(refused.stderr.contains(remedy), "{refused}");
    target.psql("postgres", "select pg_replication_origin_drop('left2')");
    // The source limits by itself what it keeps of its log.
    let moved = scene.follow(&[]).run();
    assert_proven(&moved);
    assert_eq!(
        named(&moved.stderr),
        ["follow-not-carried", "follow-no-way-back"],
        "{moved}"
    );
    let lacks = "wal_level of the target is replica; the target has no replication slot left";
    assert!(moved.stderr.contains(lacks), "{moved}");
    let refused = scene.command("cutover", &["--dry-run"]).run();
    assert_eq!(refused.status, 4, "{refused}");
    assert_eq!(
        named(&refused.stderr),
        ["follow-wal-level", "follow-slots"],
        "{refused}"
    );
    scene.run("cutover", &["--dry-run", "--no-fallback"]);
}

/// A database that is full of an ordinary role's tables.
fn filled_by_mover(source: &Server) {
    source.database(DATABASE);
    source.psql(
        DATABASE,
        "grant create on schema public to mover; grant create on database shop to mover",
    );
    source.psql(DATABASE, &format!("set role mover; {SCHEMA}"));
}

fn as_mover(server: &Server) -> String {
    format!("{} user=mover", server.conninfo(DATABASE))
}

#[test]
fn a_role_that_may_do_little_and_a_standby_are_refused_by_name() {
    let source = Server::start_with(18, |options| {
        options
            .setting("wal_level", "logical")
            .setting("max_wal_senders", "2")
    });
    let (Some(mut source), Some(target)) = (source, start(18)) else {
        return;
    };
    for server in [&source, &target] {
        server.psql("postgres", "create role mover login");
    }
    filled_by_mover(&source);
    target.psql(
        "postgres",
        "create database shop owner mover template template0",
    );
    let to = as_mover(&target);
    // It is told of senders, though not who they are.
    let sending = senders(&source);
    let refused = prepare(&as_mover(&source), &to, &FOLLOW).run();
    assert_eq!(refused.status, 4, "{refused}");
    assert_eq!(
        named(&refused.stderr),
        [
            "follow-senders",
            "follow-may-replicate",
            "follow-may-publish",
            "follow-may-subscribe"
        ],
        "{refused}"
    );

    source.psql(
        "postgres",
        "select pg_terminate_backend(pid, 10000) from pg_stat_replication;
         alter role mover replication; alter database shop owner to mover",
    );
    drop(sending);
    target.psql("postgres", "grant pg_create_subscription to mover");
    let refused = prepare(&as_mover(&source), &to, &FOLLOW).run();
    // What is left is between the servers: this source asks nobody for a password.
    assert_eq!(refused.status, 1, "{refused}");
    assert!(refused.stderr.contains("password is required"), "{refused}");
    assert_eq!(
        named(&refused.stderr),
        [
            "follow-not-carried",
            "follow-log-kept",
            "follow-no-way-back"
        ],
        "{refused}"
    );
    let lacks = "the role that is connected to the source may not make a subscription";
    assert!(refused.stderr.contains(lacks), "{refused}");

    source.cluster.stop(StopMode::Fast).expect("stopped");
    let signal = source.cluster.write_data_file("standby.signal", b"");
    signal.expect("written");
    source.cluster.resume().expect("started");
    let refused = prepare(&as_mover(&source), &to, &FOLLOW).run();
    assert_eq!(refused.status, 4, "{refused}");
    assert_eq!(named(&refused.stderr), ["follow-standby"], "{refused}");
}

/// On the source, after the move. The one subscription has the only worker, and the only place.
const AGAINST_A_TURN: &str = "
    alter role app set default_transaction_read_only = off;
    alter role batch in database shop set default_transaction_read_only = off;
    create subscription theirs connection 'host=/nonexistent dbname=theirs' publication theirs with (connect = false);
    alter subscription theirs enable;
    alter table aside.few enable row level security, force row level security;
    begin; insert into public.bare values (1, 1); prepare transaction 'half';
";

/// As it is said, but for what is said to the way back.
const NO_MORE_AGAINST_IT: &str = "
    alter role app reset default_transaction_read_only;
    alter role batch in database shop reset default_transaction_read_only;
    alter subscription theirs disable;
    rollback prepared 'half';
";

/// On the target: the way back would lead to a source where the rows may be in another partition.
const SCATTERED: &str = "
    set default_transaction_read_only = off;
    create type public.mood as enum ('good', 'bad');
    create table public.moods (m public.mood, id int4, primary key (m, id)) partition by hash (m);
    create table public.moods_0 partition of public.moods for values with (modulus 1, remainder 0);
";

/// The subscription that has the only place is dropped, and gives it back; an origin of nobody's takes none until it is used.
const ONE_THAT_IS_NOT_USED: &str = "
    grant pg_create_subscription to mover;
    alter table aside.few no force row level security;
    alter subscription theirs set (slot_name = none);
    drop subscription theirs;
    select pg_replication_origin_create('theirs');
";

/// As a turn leaves it that was killed: the way back has worked, has the only place, and is not enabled any more.
fn leave_way_back(scene: &Scene<'_>) {
    let name = scene.target.psql(
        DATABASE,
        "select state::jsonb -> 'wanted' ->> 'backward' from pgconvoy_follow.state",
    );
    scene.source.psql(
        DATABASE,
        &format!(
            "create subscription {name} connection 'host=/nonexistent dbname=theirs' publication {name} with (connect = false);
             alter subscription {name} enable"
        ),
    );
    let deadline = Instant::now() + Duration::from_secs(30);
    let places = "select count(*) from pg_replication_origin_status";
    while scene.source.psql(DATABASE, places) == "0" {
        assert!(Instant::now() < deadline, "it takes no place");
        std::thread::sleep(Duration::from_millis(50));
    }
    scene
        .source
        .psql(DATABASE, &format!("alter subscription {name} disable"));
}

#[test]
fn what_speaks_against_a_turn_is_named_until_it_is_gone() {
    const TURN: [&str; 3] = ["turn-unfenced-roles", "turn-subscriptions", "turn-prepared"];
    const WAY_BACK: [&str; 5] = [
        "turn-may-subscribe",
        "turn-workers",
        "turn-origins",
        "turn-partitions",
        "turn-forced-row-security",
    ];
    let source = Server::start_with(18, |options| {
        options
            .setting("wal_level", "logical")
            .setting("max_logical_replication_workers", "1")
            .setting("max_active_replication_origins", "1")
            .setting("max_prepared_transactions", "1")
    });
    let (Some(source), Some(target)) = (source, start(18)) else {
        return;
    };
    for server in [&source, &target] {
        server.psql(
            "postgres",
            "create role mover login replication; create role app; create role batch login; grant pg_read_all_stats to mover",
        );
    }
    filled_by_mover(&source);
    source.psql("postgres", "alter database shop owner to mover");
    let to = target.database(DATABASE);
    assert_proven(&prepare(&as_mover(&source), &to, &FOLLOW).run());

    source.psql(DATABASE, AGAINST_A_TURN);
    target.psql(DATABASE, SCATTERED);
    let scene = Scene {
        source: &source,
        target: &target,
    };
    let refused = |more: &[&str], rules: &[&str]| {
        let run = scene.command("cutover", more).run();
        assert_eq!(run.status, 4, "{run}");
        assert_eq!(named(&run.stderr), rules, "{run}");
        run
    };
    let run = refused(&[], &[&TURN[..], &WAY_BACK].concat());
    let roles = "(default_transaction_read_only = off): app, batch (in this database)";
    assert!(run.stderr.contains(roles), "{run}");
    refused(&["--no-fallback"], &TURN);
    assert_eq!(scene.open(), (true, false));

    source.psql(DATABASE, NO_MORE_AGAINST_IT);
    target.psql(
        DATABASE,
        "set default_transaction_read_only = off; drop table public.moods; drop type public.mood;
         alter table aside.few enable row level security, force row level security",
    );
    // No rule speaks against it. The comparison does, which would refuse it later: it may not see the subscription.
    let run = refused(&["--dry-run", "--no-fallback"], &[]);
    let unseen = "subscription theirs: pg_dump shows subscriptions to superusers only";
    assert!(run.stderr.contains(unseen), "{run}");
    // It is disabled, and keeps its place.
    let left = ["turn-may-subscribe", "turn-origins", WAY_BACK[4]];
    refused(&["--dry-run"], &left);
    source.psql(DATABASE, ONE_THAT_IS_NOT_USED);
    // The role may not see that it is not.
    let run = refused(&["--dry-run"], &["turn-origins"]);
    let doubt = "may not see which origins take a place";
    assert!(run.stderr.contains(doubt), "{run}");
    for server in [&source, &target] {
        server.psql(
            DATABASE,
            "set default_transaction_read_only = off;
             alter table aside.few no force row level security;
             grant execute on function pg_show_replication_origin_status() to mover",
        );
    }
    scene.run("cutover", &["--dry-run"]);
    source.psql(
        DATABASE,
        "select pg_replication_origin_advance('theirs', '0/1')",
    );
    let run = refused(&["--dry-run"], &["turn-origins"]);
    assert!(!run.stderr.contains(doubt), "{run}");
    source.psql(DATABASE, "select pg_replication_origin_drop('theirs')");
    leave_way_back(&scene);
    scene.run("cutover", &["--dry-run"]);
    let theirs = Pooled::start(&source, "theirs");
    for _ in 0..2 {
        // What the role may not do to a superuser's, it still may not.
        let run = refused(&["--dry-run"], &["turn-sessions-that-stay"]);
        assert!(run.stderr.contains("(theirs), role postgres"), "{run}");
        source.psql("postgres", "grant pg_signal_backend to mover");
    }
    drop(theirs);
    let _others = Pooled::start_as(&source, "others", "user=batch");
    scene.run("cutover", &["--dry-run"]);
}
