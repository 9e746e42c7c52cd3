//! What there was no time to compare while nobody could write is compared afterwards: as it was, also while the other side is written to.
#![cfg(feature = "faults")]

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::Held;
use crate::scene::{DATABASE, SCHEMA, Scene, start};
use crate::support::binary::{Finished, Pgconvoy};
use crate::support::moving::{RUN_DIR, assert_proven, report};

/// Too large for a second, as long as nothing is known of how fast it is read.
const BIG: &str = "
    create table public.big (id int4 primary key, what text);
    insert into public.big select i, repeat(md5(i::text), 6) from generate_series(1, 100000) as i;
    create materialized view public.here as select current_setting('data_directory') as here, count(*) from public.counters;
";
const LARGE: &str = "
    create table public.large (id int4 primary key, what text);
    insert into public.large select i, repeat(md5(i::text), 6) from generate_series(1, 100000) as i;
";
const BUDGET: [&str; 6] = [
    "--verify-budget",
    "1s",
    "--grace",
    "1s",
    "--run-dir",
    RUN_DIR,
];
const OF_BIG: &str = "select count(*), sum(hashtext(what)) from public.big";

#[test]
fn what_there_was_no_time_for_is_compared_when_the_other_side_is_open() {
    let (Some(source), Some(target)) = (start(18), start(18)) else {
        return;
    };
    let scene = Scene::filled(&source, &target, &format!("{SCHEMA} {BIG}"));
    assert_proven(&scene.follow(&[]).run());
    let wrong = scene
        .command("cutover", &["--verify-budget", "1s", "--verify", "counts"])
        .run();
    assert_eq!(wrong.status, 2, "{wrong}");

    written_to_meanwhile(&scene);
    found_afterwards(&scene);
    killed_meanwhile(&scene);
    // Replication carries it from the next turn on.
    on_both(&scene, LARGE);
    only_we_have_written(&scene);
    others_commit_elsewhere(&scene);
    renamed_and_dropped_meanwhile(&scene);
    scene.run("unfollow", &[]);
}

/// The way back works, and what is written while the rest is compared is no difference.
fn written_to_meanwhile(scene: &Scene<'_>) {
    let command = scene.command("cutover", &BUDGET);
    let held = command.dir().join("held");
    let running = command
        .env("PGCONVOY_FAULT", "hold@follow-rest-held")
        .env("PGCONVOY_FAULT_FILE", &held)
        .start();
    await_file(&held);
    assert_eq!(scene.open(), (false, true));
    scene.target.psql(
        DATABASE,
        "update public.big set what = 'new' where id = 1; delete from public.big where id = 2; insert into public.big values (0, 'late')",
    );
    scene.await_same(OF_BIG);
    let status = scene.run("status", &[]);
    assert!(
        status
            .stdout
            .contains("1 table has not been found the same by content since the last turn"),
        "{status}"
    );
    std::fs::remove_file(&held).expect("it is there");
    let run = running.finish();
    assert_eq!(run.status, 0, "{run}");
    assert!(said(&run).contains("are still being compared"), "{run}");
    let told = report(&run);
    assert_eq!(verdict(&told, "big"), "identical", "{run}");
    // What a view holds that is another on every server is held to tables that were only counted by then.
    let over_counted = "materialized views by what their queries give on the target alone";
    assert_eq!(checked(&told, over_counted), 1, "{run}");
    assert_eq!(checked(&told, "materialized views"), 1, "{run}");
    let steps = told["turn"]["steps"].as_array().expect("has steps");
    let last = steps.last().expect("one at least");
    assert_eq!(
        (steps.len(), &last["turn_step"]),
        (8, &Value::from("rest")),
        "{run}"
    );
    let happened = happenings(&told);
    assert_eq!(
        happened,
        ["copying", "following", "closed", "opened", "compared"],
        "{run}"
    );
    let opened = &told["turn"]["moments"][3];
    assert_eq!(opened["left"]["tables"], 1, "{run}");
    assert!(
        opened["without_writers_ms"]
            .as_u64()
            .is_some_and(|ms| ms > 0),
        "{run}"
    );
    let status = scene.run("status", &[]);
    assert!(
        !status.stdout.contains("have not been found the same"),
        "{status}"
    );
    assert!(
        status
            .stdout
            .contains("target was opened to writers, after "),
        "{status}"
    );
    let directory = run.path(RUN_DIR).display().to_string();
    let written = Pgconvoy::new(["report", &directory, "--markdown"]).run();
    assert!(
        written.stdout.contains("## The turn") && written.stdout.contains("| compare the rest |"),
        "{written}"
    );
}

/// A row that differs is found although the side is open, and told with the way back; mended, the same again proves it.
fn found_afterwards(scene: &Scene<'_>) {
    let right = scene
        .target
        .psql(DATABASE, "select what from public.big where id = 77");
    scene.source.psql(
        DATABASE,
        "set default_transaction_read_only = off; update public.big set what = 'wrong' where id = 77",
    );
    let run = scene.command("fallback", &BUDGET).run();
    assert_eq!(run.status, 3, "{run}");
    assert_eq!(scene.open(), (true, false), "{run}");
    assert!(
        said(&run).contains("is in service, and what is named above is not as"),
        "{run}"
    );
    assert!(
        said(&run).contains("pgconvoy cutover switches over again"),
        "{run}"
    );
    assert_eq!(verdict(&report(&run), "big"), "different", "{run}");
    assert_eq!(
        happenings(&report(&run)).last().map(String::as_str),
        Some("differed"),
        "{run}"
    );
    let status = scene.run("status", &[]);
    assert!(
        status
            .stdout
            .contains("next: pgconvoy fallback compares them; pgconvoy cutover"),
        "{status}"
    );
    let again = scene.command("fallback", &["--run-dir", RUN_DIR]).run();
    assert_eq!(again.status, 3, "{again}");
    scene.source.psql(
        DATABASE,
        &format!("update public.big set what = '{right}' where id = 77"),
    );
    let again = scene.run("fallback", &["--run-dir", RUN_DIR]);
    assert!(
        again
            .stderr
            .contains("Proven: 1 table with 100,000 rows is the same"),
        "{again}"
    );
    nothing_left(scene, "source");
}

/// The snapshots are lost: the same again has both sides meet once more.
fn killed_meanwhile(scene: &Scene<'_>) {
    let killed = scene
        .command("cutover", &BUDGET)
        .env("PGCONVOY_FAULT", "kill@follow-rest-held")
        .run();
    assert_eq!(killed.status, -1, "{killed}");
    assert_eq!(scene.open(), (false, true), "{killed}");
    scene.target.psql(
        DATABASE,
        "update public.big set what = 'newer' where id = 3",
    );
    // What the other side does not have cannot be the same.
    scene.await_same(OF_BIG);
    let rename = |from: &str, to: &str| {
        scene.source.psql(
            DATABASE,
            &format!(
                "set default_transaction_read_only = off; alter table public.{from} rename to {to}"
            ),
        );
    };
    rename("big", "elsewhere");
    let run = scene.command("cutover", &["--run-dir", RUN_DIR]).run();
    assert_eq!(run.status, 1, "{run}");
    assert!(
        said(&run).contains("one of the sides does not have it any more"),
        "{run}"
    );
    rename("elsewhere", "big");
    let run: Finished = scene.run("cutover", &["--run-dir", RUN_DIR]);
    assert!(
        said(&run).contains("It is what the cutover had left"),
        "{run}"
    );
    nothing_left(scene, "target");
}

/// Also on the side that is closed.
fn on_both(scene: &Scene<'_>, sql: &str) {
    for server in [scene.source, scene.target] {
        let sql = format!("set default_transaction_read_only = off; {sql}");
        server.psql(DATABASE, &sql);
    }
}

/// Killed with all that it has left; by another name, the same on both sides, it is compared all the same; what neither side has any more
/// cannot be, and nothing calls it proven, however often it is asked.
fn renamed_and_dropped_meanwhile(scene: &Scene<'_>) {
    let turn = |command: &str| scene.command(command, &["--run-dir", RUN_DIR]).run();
    let killed = |command: &str| {
        let killed = scene.command(command, &BUDGET);
        let killed = killed.env("PGCONVOY_FAULT", "kill@follow-rest-held").run();
        assert_eq!(killed.status, -1, "{killed}");
    };
    killed("cutover");
    on_both(
        scene,
        "alter table public.big rename to moved; create table public.big (id int4 primary key, what text); drop table public.large",
    );
    let run = turn("cutover");
    assert_eq!(run.status, 6, "{run}");
    let told = report(&run);
    assert_eq!(told["status"], "waived", "{run}");
    assert_eq!(verdict(&told, "moved"), "identical", "{run}");
    assert_eq!(
        happenings(&told).last().map(String::as_str),
        Some("dropped")
    );
    let not = "dropped on both sides before that: public.large";
    for says in ["The same: 1 table", not] {
        assert!(said(&run).contains(says), "{says}: {run}");
    }
    let again = turn("cutover");
    assert_eq!(again.status, 6, "{again}");
    assert!(said(&again).contains(not), "{again}");

    killed("fallback");
    scene.target.psql(
        DATABASE,
        "set default_transaction_read_only = off; update public.moved set what = 'wrong' where id = 78",
    );
    let run = turn("fallback");
    assert_eq!(run.status, 3, "{run}");
    assert_eq!(verdict(&report(&run), "moved"), "different", "{run}");
    on_both(scene, "drop table public.moved");
    let run = turn("fallback");
    assert_eq!(run.status, 6, "{run}");
    assert!(
        said(&run).contains("was dropped on both sides since, and never compared"),
        "{run}"
    );
    assert_eq!(
        happenings(&report(&run)).last().map(String::as_str),
        Some("dropped"),
        "{run}"
    );
    let again = turn("fallback");
    assert_eq!(again.status, 6, "{again}");
    nothing_left(scene, "source");
}

/// What is written down of a turn, on the side that is closed, is nobody else's write.
fn only_we_have_written(scene: &Scene<'_>) {
    let held = Held::at(
        "sync-compared",
        scene.command("fallback", &["--grace", "1s"]),
    );
    scene.target.psql(
        DATABASE,
        "set default_transaction_read_only = off; update pgconvoy_follow.state set changed_at = now()",
    );
    held.let_go();
    let run = held.run.finish();
    assert_eq!(run.status, 0, "{run}");
    assert_eq!(scene.open(), (true, false), "{run}");
}

/// They could have written here, as far as the server tells. What was only counted is counted again, and not read.
fn others_commit_elsewhere(scene: &Scene<'_>) {
    scene
        .source
        .psql(DATABASE, "update public.scratch set what = 'more'");
    let counts = ["--verify", "counts", "--grace", "1s", "--run-dir", RUN_DIR];
    let held = Held::at("sync-committed", scene.command("cutover", &counts));
    scene
        .target
        .psql("postgres", "create table elsewhere as select 1 as one");
    held.let_go();
    let run = held.run.finish();
    assert_eq!(run.status, 6, "{run}");
    let told = report(&run);
    assert_eq!(verdict(&told, "big"), "same_count", "{run}");
    assert_eq!(verdict(&told, "scratch"), "identical", "{run}");
    assert_eq!(scene.open(), (false, true), "{run}");
    let back = scene.command("fallback", &counts).run();
    assert_eq!(back.status, 6, "{back}");
}

#[track_caller]
fn nothing_left(scene: &Scene<'_>, serving: &str) {
    let status = scene.run("status", &[]);
    assert!(
        status
            .stdout
            .contains(&format!("{serving} is in service, and ")),
        "{status}"
    );
    assert!(
        !status.stdout.contains("have not been found the same"),
        "{status}"
    );
}

/// What was said, with no regard to where lines end.
fn said(run: &Finished) -> String {
    run.stderr.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn verdict(report: &Value, table: &str) -> String {
    let tables = report["tables"].as_array().expect("has tables");
    let of_it: Vec<&Value> = tables
        .iter()
        .filter(|one| one["table"]["name"] == table)
        .collect();
    assert_eq!(of_it.len(), 1, "{of_it:?}");
    of_it[0]["verdict"].as_str().expect("a word").to_owned()
}

/// How many of a kind were the same.
fn checked(report: &Value, what: &str) -> u64 {
    let checked = report["checked"].as_array().expect("a list").iter();
    let of_it = checked.filter(|one| one["what"] == what);
    of_it.filter_map(|one| one["count"].as_u64()).sum()
}

fn happenings(report: &Value) -> Vec<String> {
    let moments = report["turn"]["moments"].as_array().expect("has moments");
    let words = moments.iter().map(|moment| moment["happening"].as_str());
    words.map(|word| word.expect("a word").to_owned()).collect()
}

#[track_caller]
fn await_file(path: &Path) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !path.exists() {
        assert!(Instant::now() < deadline, "it never came so far");
        std::thread::sleep(Duration::from_millis(10));
    }
}
