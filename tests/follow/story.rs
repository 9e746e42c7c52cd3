//! The whole story: move, follow, cut over, write, fall back, part; with an application that writes all the time.

use std::time::Duration;

use crate::application::Application;
use crate::scene::{DATABASE, Scene, schema, start};
use crate::support::moving::{RUN_DIR, assert_equal, assert_proven};
use crate::support::server::Server;

/// There and back, from one version to another; what is left behind at the end is nothing.
fn tell(source: &Server, target: &Server, major: u32) {
    let scene = Scene { source, target };
    source.database(DATABASE);
    target.database(DATABASE);
    source.psql(DATABASE, &schema(major));
    target.psql(DATABASE, "create role batch login");
    let before = Scene::traces(source);
    let application = Application::start(&[scene.from(), scene.to()], 4);
    std::thread::sleep(Duration::from_millis(300));
    follow(&scene);
    let turned = cut_over(
        &scene,
        if major < 18 {
            ("counts", 6)
        } else {
            ("content", 0)
        },
    );
    std::thread::sleep(Duration::from_millis(700));
    let returned = fall_back(&scene);
    std::thread::sleep(Duration::from_millis(500));

    let writes = application.finish(source);
    assert!(writes > 200, "{writes}");
    scene.await_same("select count(*), sum(n) from public.events");
    scene.await_same("select sum(n) from public.counters");
    println!("{writes} acknowledged writes\n{turned}\n{returned}");
    part(&scene, &before);
}

/// The target follows, and is closed to everybody else.
fn follow(scene: &Scene<'_>) {
    let moved = scene.follow(&[]).run();
    let report = assert_proven(&moved);
    // The report of the move says by what it is followed, and that it is not to be made again because of later writes.
    let name = report["follow"]["name"].as_str().expect("a name");
    let slots = "select slot_name from pg_replication_slots";
    assert_eq!(scene.source.psql(DATABASE, slots), name, "{moved}");
    let next = report["next"].as_str().expect("what comes next");
    for says in [name, "pgconvoy cutover turns over to it"] {
        assert!(next.contains(says), "{says}: {moved}");
    }
    let page = std::fs::read_to_string(moved.path(RUN_DIR).join("report.html")).expect("a page");
    assert!(!page.contains("Do not switch over yet"), "{moved}");
    assert!(page.contains(name), "{moved}");
    assert_eq!(scene.open(), (true, false), "{moved}");
    std::thread::sleep(Duration::from_millis(500));
    let status = scene.run("status", &[]);
    assert!(
        status
            .stdout
            .contains("source is in service, and target follows it"),
        "{status}"
    );
    assert!(status.stdout.contains("next: pgconvoy cutover"), "{status}");
    scene.run("follow", &["--once"]);
}

/// Over to the target; says for how long nobody could write.
fn cut_over(scene: &Scene<'_>, (level, status): (&str, i32)) -> String {
    let Scene { source, target } = scene;
    // What replication does not carry.
    source.psql(
        DATABASE,
        "update public.scratch set what = 'new'; select lo_put(424242, 0, 'after'); refresh materialized view public.sums;",
    );
    let foretold = scene.run("cutover", &["--dry-run"]);
    assert!(
        foretold
            .stdout
            .starts_with("1. check that target follows source"),
        "{foretold}"
    );
    let early = scene.run("fallback", &[]);
    assert!(
        early
            .stderr
            .contains("nothing is to be done: source is in service"),
        "{early}"
    );
    // Somebody who does not come to an end is ended when his time is over, and what he did is gone.
    let turned = std::thread::scope(|scope| {
        let endless = scope.spawn(|| {
            let sql = "begin; update public.counters set n = -1 where writer = 7; select pg_sleep(60); commit";
            source.try_psql(DATABASE, sql)
        });
        std::thread::sleep(Duration::from_millis(300));
        let turned = scene
            .command("cutover", &["--grace", "2s", "--verify", level])
            .run();
        assert_eq!(turned.status, status, "{turned}");
        let ended = endless.join().expect("it does not panic");
        assert!(ended.is_err(), "{ended:?}");
        turned
    });
    assert!(
        turned
            .stderr
            .contains("waiting for transactions that are open"),
        "{turned}"
    );
    assert_eq!(scene.open(), (false, true), "{turned}");
    let says = |sql: &str| target.psql(DATABASE, sql);
    assert_eq!(says("select n from public.counters where writer = 7"), "0");
    assert_eq!(says(SCRATCH), "new");
    assert_eq!(says("select lo_get(424242)"), "\\x616674657265");
    says("update public.scratch set what = 'newest'");
    let status = scene.run("status", &[]);
    assert!(
        status
            .stdout
            .contains("target is in service, and source follows it"),
        "{status}"
    );
    downtime(&turned.stderr)
}

/// And back.
fn fall_back(scene: &Scene<'_>) -> String {
    let returned = scene.run("fallback", &["--grace", "2s", "--fence-role", "batch"]);
    assert_eq!(scene.open(), (true, false), "{returned}");
    assert_eq!(scene.target.psql(DATABASE, MAY_LOG_IN), "f");
    assert_eq!(scene.source.psql(DATABASE, SCRATCH), "newest");
    downtime(&returned.stderr)
}

/// Nothing stays behind.
fn part(scene: &Scene<'_>, before: &str) {
    let parted = scene.run("unfollow", &[]);
    assert_eq!(Scene::traces(scene.source), before, "{parted}");
    assert_eq!(Scene::traces(scene.target), before, "{parted}");
    assert_eq!(scene.open(), (true, true));
    assert_eq!(scene.target.psql(DATABASE, MAY_LOG_IN), "t");
    scene.run("unfollow", &[]);
    // Twice, and with nothing that says where the source is.
    scene.run("unfollow", &["--source", &scene.from()]);
    // Sequences stand where the last turn left them, or further on, and views as they were refreshed.
    scene
        .source
        .psql(DATABASE, "refresh materialized view public.sums");
    let sync = scene.run("sync", &["--source", &scene.from()]);
    assert_equal(&sync.to_string(), &scene.from(), &scene.to(), &[]);
}

const SCRATCH: &str = "select string_agg(distinct what, '') from public.scratch";
const MAY_LOG_IN: &str = "select rolcanlogin from pg_roles where rolname = 'batch'";

fn downtime(said: &str) -> String {
    let mut lines = said.lines();
    let line = lines.find(|line| line.contains("nobody could write for"));
    line.expect("it is said").to_owned()
}

#[test]
fn there_and_back_without_losing_a_write() {
    if let (Some(source), Some(target)) = (start(18), start(18)) {
        tell(&source, &target, 18);
    }
}

#[test]
fn there_and_back_between_versions() {
    if let (Some(source), Some(target)) = (start(15), start(18)) {
        tell(&source, &target, 15);
    }
}

#[test]
#[ignore = "as the others, from version 10: make test-follow"]
fn there_and_back_from_the_oldest_server() {
    if let (Some(source), Some(target)) = (start(10), start(18)) {
        tell(&source, &target, 10);
    }
}
