//! What is not as usual: a role that is no superuser, row-level security, changes of the schema meanwhile, a slot that the server gave up.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::scene::{DATABASE, SCHEMA, Scene, start_with};
use crate::support::binary::Pgconvoy;
use crate::support::moving::assert_proven;
use crate::support::server::Server;

/// Row-level security for whoever does not own the table.
const PRIVATE: &str = "
    create table public.private (id int4 primary key, who text, what text);
    alter table public.private enable row level security;
    create policy own on public.private using (who = current_user);
    insert into public.private values (1, 'nobody', 'one'), (2, 'nobody', 'two');
    create table public.going (id int4 primary key);
";

/// A source that asks for a password over TCP, as it must if no superuser subscribes; with little log, so that a slot is lost soon.
fn source() -> Option<Server> {
    let source = start_with(18, |mut options| {
        options.listen_tcp = true;
        options.initdb_args.push("--wal-segsize=1".to_owned());
        options.setting("min_wal_size", "2MB")
    })?;
    let hba = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
    source
        .cluster
        .write_data_file("pg_hba.conf", hba.as_bytes())
        .expect("written");
    source.cluster.reload().expect("reloaded");
    source.psql("postgres", "alter role postgres password 's3cret'");
    source.database(DATABASE);
    source.psql(DATABASE, SCHEMA);
    source.psql(DATABASE, PRIVATE);
    Some(source)
}

/// A target whose database belongs to a role that may subscribe and publish, and is no superuser.
fn target() -> Option<Server> {
    let target = start_with(18, |options| options)?;
    target.psql(
        "postgres",
        "create role app login; create role mover login replication; grant pg_create_subscription, pg_signal_backend to mover",
    );
    target.psql(
        "postgres",
        "create database shop owner mover template template0",
    );
    Some(target)
}

#[test]
fn followed_by_a_role_that_is_no_superuser_and_told_by_name_what_changes_meanwhile() {
    let (Some(source), Some(target)) = (source(), target()) else {
        return;
    };
    let scene = Scene {
        source: &source,
        target: &target,
    };
    let before = [Scene::traces(&source), Scene::traces(&target)];
    let from = source
        .cluster
        .tcp_conninfo(DATABASE)
        .replace("user=", "password='s3cret' user=");
    let to = format!("{} user=mover", target.conninfo(DATABASE));
    let run = |command: &str, more: &[&str]| {
        Pgconvoy::new([command, "--target", &to].iter().chain(more))
            .env("PGCONVOY_SOURCE", from.as_str())
            .env("PGCONVOY_SOURCE_PASSWORD", "s3cret")
            .run()
    };
    let follow = [
        "--run-dir",
        crate::support::moving::RUN_DIR,
        "--no-owner",
        "--no-acl",
        "--follow",
        "--allow-source-objects",
        "--replica-identity-full",
        "bare",
    ];

    // The apply worker would refuse every row.
    source.psql(DATABASE, "alter table private force row level security");
    let refused = run("move", &follow);
    assert_eq!(refused.status, 4, "{refused}");
    assert!(
        refused
            .stderr
            .contains("force row-level security on their owner as well, and replication writes as the owner: public.private"),
        "{refused}"
    );
    source.psql(DATABASE, "alter table private no force row level security");
    let moved = run("move", &follow);
    assert_proven(&moved);
    assert!(!moved.stderr.contains("s3cret"), "{moved}");
    source.psql(
        DATABASE,
        "insert into private values (3, 'nobody', 'three'); update private set what = 'new' where id = 1; delete from private where id = 2",
    );
    scene.await_same("select string_agg(p::text, ' ' order by id) from public.private p");

    changes_of_the_schema(&scene, &run);

    // Over and back: the new table has rows that nobody has replicated.
    let turned = run("cutover", &[]);
    assert_eq!(turned.status, 0, "{turned}");
    assert_eq!(scene.open(), (false, true), "{turned}");
    assert_eq!(
        target.psql(
            DATABASE,
            "select string_agg(t, '' order by id) from public.fresh"
        ),
        "ab"
    );
    target.psql(DATABASE, "insert into public.fresh values (3, 'c'); insert into public.private values (4, 'nobody', 'four')");
    sessions_that_we_may_not_see(&target, &run);
    assert_eq!(
        source.psql(
            DATABASE,
            "select string_agg(t, '' order by id) from public.fresh"
        ),
        "abc"
    );

    slot_that_the_server_gave_up(&scene, &run);
    let parted = run("unfollow", &[]);
    assert_eq!(parted.status, 0, "{parted}");
    for server in [&source, &target] {
        server.psql(DATABASE, "drop table public.fresh");
    }
    source.psql(DATABASE, "alter system reset max_slot_wal_keep_size");
    let without_gone = before[0].replace("identity|goingd\n", "");
    assert_eq!(Scene::traces(&source), without_gone, "{parted}");
    let traces = Scene::traces(&target);
    let of_others = traces.lines().filter(|line| !line.starts_with("identity|"));
    assert_eq!(
        of_others.collect::<Vec<_>>().join("\n"),
        before[1],
        "{parted}"
    );
}

/// Whose sessions we may not look at could go on writing unseen.
fn sessions_that_we_may_not_see(target: &Server, run: Run<'_>) {
    let mut theirs = target
        .tool("psql")
        .args(["-X", "-q", "-c", "select pg_sleep(60)", "-d"])
        .arg(format!("{} user=app", target.conninfo(DATABASE)))
        .stderr(Stdio::null())
        .spawn()
        .expect("psql starts");
    let there = "select count(*) from pg_stat_activity where usename = 'app'";
    let deadline = Instant::now() + Duration::from_secs(30);
    while target.psql(DATABASE, there) != "1" {
        assert!(Instant::now() < deadline, "it does not connect");
        std::thread::sleep(Duration::from_millis(50));
    }
    let refused = run("fallback", &[]);
    assert_eq!(refused.status, 4, "{refused}");
    assert!(
        refused
            .stderr
            .contains("1 sessions of other roles are connected to the target"),
        "{refused}"
    );
    target.psql(DATABASE, "grant pg_read_all_stats to mover");
    let returned = run("fallback", &["--grace", "1s"]);
    assert_eq!(returned.status, 0, "{returned}");
    let ended = theirs.wait().expect("it ends");
    assert!(!ended.success(), "{returned}");
}

type Run<'a> = &'a dyn Fn(&str, &[&str]) -> crate::support::binary::Finished;

/// A table that is new, and one that is gone.
fn changes_of_the_schema(scene: &Scene<'_>, run: Run<'_>) {
    let Scene { source, target } = scene;
    source.psql(
        DATABASE,
        "create table public.fresh (id int4, t text); insert into public.fresh values (1, 'a'), (2, 'b'); drop table public.going",
    );
    let status = run("status", &[]);
    assert!(
        status.stdout.contains(
            "the columns of tables are not the same on both sides (replication carries no change of a schema): public.fresh, public.going"
        ),
        "{status}"
    );
    let refused = run("cutover", &[]);
    assert_eq!(refused.status, 1, "{refused}");
    assert!(
        refused.stderr.contains("public.fresh, public.going"),
        "{refused}"
    );
    assert_eq!(scene.open(), (true, false), "{refused}");
    target.psql(
        DATABASE,
        "set default_transaction_read_only = off; set role mover; create table public.fresh (id int4, t text); drop table public.going",
    );
    // Published as it is, UPDATE of it would fail on the target once that is in service.
    let refused = run("cutover", &[]);
    assert_eq!(refused.status, 4, "{refused}");
    assert!(
        refused
            .stderr
            .contains("UPDATE and DELETE of them would fail there: public.fresh"),
        "{refused}"
    );
    for server in [source, target] {
        server.psql(
            DATABASE,
            "set default_transaction_read_only = off; alter table public.fresh add primary key (id)",
        );
    }
}

/// The target stands still, and the source keeps no more of its log than it was told to.
fn slot_that_the_server_gave_up(scene: &Scene<'_>, run: Run<'_>) {
    let Scene { source, target } = scene;
    let name = target.psql(DATABASE, "select subname from pg_subscription");
    target.psql(
        DATABASE,
        &format!("set default_transaction_read_only = off; alter subscription {name} disable"),
    );
    source.psql(DATABASE, "alter system set max_slot_wal_keep_size = '2MB'");
    source.psql(DATABASE, "alter system set wal_keep_size = 0");
    source.cluster.reload().expect("reloaded");
    let deadline = Instant::now() + Duration::from_secs(30);
    let lost = "select wal_status from pg_replication_slots";
    while source.psql(DATABASE, lost) != "lost" {
        assert!(Instant::now() < deadline, "the slot stays");
        source.psql(
            DATABASE,
            "create table public.heavy (t text); alter table public.heavy alter t set storage external;
             insert into public.heavy select repeat('x', 1000000) from generate_series(1, 4); drop table public.heavy; checkpoint",
        );
    }
    let status = run("status", &[]);
    assert!(
        status.stdout.contains(
            "the slot is lost: the log that it needs was removed: max_slot_wal_keep_size"
        ),
        "{status}"
    );
    let refused = run("cutover", &[]);
    assert_eq!(refused.status, 1, "{refused}");
    assert!(
        refused
            .stderr
            .contains("changes are missing on the other side"),
        "{refused}"
    );
    assert_eq!(scene.open(), (true, false), "{refused}");
    let gone = run("follow", &["--every", "1s"]);
    assert_eq!(gone.status, 1, "{gone}");
    assert!(
        gone.stderr.contains("the log that it needs was removed"),
        "{gone}"
    );
    let status = run("status", &[]);
    assert!(status.stdout.contains("target was let go"), "{status}");
    assert!(
        status.stdout.contains("next: pgconvoy unfollow"),
        "{status}"
    );
}
