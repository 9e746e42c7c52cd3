//! A run that is asked to stop stops in good order, and says how to go on; one whose terminal goes does not stop.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::scene::{Scene, events, position, send};
use crate::support::binary::Finished;
#[cfg(feature = "faults")]
use crate::support::binary::Pgconvoy;
use crate::support::moving::{RUN_DIR, assert_proven, report};

/// How a run ends that was stopped: with status 5, with the command that goes on with it, and with nothing at work anywhere.
#[track_caller]
fn assert_stopped(scene: &Scene, run: &Finished, by: &str) {
    scene.assert_no_backends();
    assert_eq!(run.status, 5, "{run}");
    assert_eq!(
        run.stderr.lines().last(),
        Some("pgconvoy resume run"),
        "{run}"
    );
    let report = report(run);
    assert_eq!(report["status"], "interrupted", "{run}");
    let sentence = report["sentence"].as_str().unwrap_or_default();
    assert!(
        sentence.starts_with(&format!("Interrupted by {by}. ")),
        "{run}"
    );
    assert_eq!(
        report["next"],
        "Go on where it stopped: pgconvoy resume run"
    );
}

#[test]
fn the_first_signal_lets_running_jobs_finish_and_starts_no_other() {
    let Some(scene) = Scene::set(18, 3) else {
        return;
    };
    let mut run = scene.moving(&["-j1"]).start();
    scene.wait_for_slow_index(&mut run);
    send(&run, Signal::SIGINT);
    let run = run.finish();
    assert_stopped(&scene, &run, "SIGINT");
    let says =
        "SIGINT: no new job starts; 1 running job may finish within 30 s (a signal stops at once)";
    assert!(run.stderr.contains(says), "{run}");
    let events = events(&run.path(RUN_DIR));
    let after = &events[position(&events, "draining")..];
    position(after, "job_finished");
    assert!(after.iter().all(|event| event["event"] != "job_started"));
    let there = "select count(*) from pg_class where relname = 'slow_index'";
    assert_eq!(scene.server.psql("dst", there), "1", "{run}");
}

#[test]
fn what_does_not_finish_in_time_is_cancelled_and_rolled_back() {
    let Some(scene) = Scene::set(18, 3600) else {
        return;
    };
    let mut run = scene.moving(&["--drain-seconds=1"]).start();
    scene.wait_for_slow_index(&mut run);
    send(&run, Signal::SIGTERM);
    let run = run.finish();
    assert_stopped(&scene, &run, "SIGTERM");
    let there = "select count(*) from pg_class where relname = 'slow_index'";
    assert_eq!(scene.server.psql("dst", there), "0", "{run}");
}

#[test]
fn the_second_signal_ends_a_run_at_once() {
    // 12 does not look whether its client is still there.
    let Some(scene) = Scene::set(12, 3600) else {
        return;
    };
    let mut run = scene.moving(&[]).start();
    scene.wait_for_slow_index(&mut run);
    send(&run, Signal::SIGINT);
    std::thread::sleep(Duration::from_millis(300));
    assert!(run.is_running());
    let began = Instant::now();
    send(&run, Signal::SIGTERM);
    let run = run.finish();
    assert!(began.elapsed() < Duration::from_secs(10), "{run}");
    assert_stopped(&scene, &run, "SIGINT");
}

/// Emptying the target waits for somebody's lock; whoever asks to stop there does not wait for it.
#[test]
fn a_run_that_empties_the_target_stops_as_well() {
    let Some(scene) = Scene::set(13, 0) else {
        return;
    };
    scene.server.psql("dst", "create table in_use (id int)");
    let locker = scene
        .server
        .tool("psql")
        .args(["-X", "-d", &scene.server.conninfo("dst"), "-c"])
        .arg("begin; lock table in_use in row share mode; select pg_sleep(60)")
        .stdout(Stdio::null())
        .spawn();
    let mut locker = locker.expect("psql starts");
    let mut run = scene.moving(&["--overwrite", "dst", "--json"]).start();
    let began = Instant::now();
    while scene.backends("wait_event_type = 'Lock'").is_empty() {
        assert!(run.is_running() && began.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(20));
    }
    send(&run, Signal::SIGINT);
    let run = run.finish();
    scene.assert_no_backends();
    locker.kill().expect("it runs");
    locker.wait().expect("it ends");
    assert_eq!(run.status, 5, "{run}");
    assert_eq!(run.stderr, "pgconvoy resume run\n", "{run}");
    let report: serde_json::Value =
        serde_json::from_str(run.stdout.lines().last().unwrap_or_default()).expect("the report");
    let sentence = report["sentence"].as_str().unwrap_or_default();
    assert!(
        sentence.starts_with("Interrupted by SIGINT. The target was being emptied: of ")
            && sentence.ends_with(
                " that it held, none is known to be gone. No job had begun; nothing is proven."
            ),
        "{run}"
    );
    let there = "select count(*) from pg_class where relname = 'in_use'";
    assert_eq!(scene.server.psql("dst", there), "1", "{run}");
}

/// A part of what the target held is gone, and nobody is to believe that it is untouched.
#[cfg(feature = "faults")]
#[test]
fn a_run_that_is_stopped_in_the_middle_of_emptying_the_target_says_how_much_is_gone() {
    let Some(scene) = Scene::set(18, 0) else {
        return;
    };
    let tables = "select count(*) from pg_class where relname like 'old%'";
    scene.server.psql(
        "dst",
        "do $$ begin for i in 1..150 loop execute format('create table old%s (id int)', i); end loop; end $$",
    );
    let prepared = scene.moving(&["--overwrite", "dst"]);
    let held = prepared.dir().join("held");
    let mut run = prepared
        .env("PGCONVOY_FAULT", "hold@target-half-empty:2")
        .env("PGCONVOY_FAULT_FILE", &held)
        .start();
    let began = Instant::now();
    while !held.exists() {
        assert!(run.is_running() && began.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(20));
    }
    let left: u32 = scene.server.psql("dst", tables).parse().expect("a number");
    assert!((1..150).contains(&left), "{left}");
    send(&run, Signal::SIGINT);
    std::thread::sleep(Duration::from_millis(300));
    std::fs::remove_file(&held).expect("it is there");
    let run = run.finish();
    assert_stopped(&scene, &run, "SIGINT");
    let report = report(&run);
    let sentence = report["sentence"].as_str().unwrap_or_default();
    assert!(
        sentence.starts_with("Interrupted by SIGINT. The target was being emptied: of 1")
            && sentence.contains(" objects that it held, at least 1")
            && sentence.ends_with(" are gone. No job had begun; nothing is proven."),
        "{run}"
    );
    assert!(run.stderr.contains("emptying the target: 1"), "{run}");
    let events = events(&run.path(RUN_DIR));
    let told = &events[position(&events, "emptying_target")];
    assert_eq!(told["dropped"], 0, "before the first: {run}");

    let resumed = Pgconvoy::new(["resume", &run.path(RUN_DIR).display().to_string()]).run();
    assert_eq!(resumed.status, 0, "{resumed}");
    assert_eq!(scene.server.psql("dst", tables), "0", "{resumed}");
}

#[test]
fn a_run_that_has_touched_nothing_leaves_nothing_behind() {
    let Some(scene) = Scene::set(18, 0) else {
        return;
    };
    // Somebody's DDL is under way: the look at the source waits for it.
    let locker = scene
        .server
        .tool("psql")
        .args([
            "-X",
            "-d",
            &scene.server.conninfo("src"),
            "-c",
            "begin; lock table quick; select pg_sleep(60)",
        ])
        .stdout(Stdio::null())
        .spawn();
    let mut locker = locker.expect("psql starts");
    let mut run = scene.moving(&[]).start();
    let began = Instant::now();
    while scene.backends("wait_event_type = 'Lock'").is_empty() {
        assert!(run.is_running() && began.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(20));
    }
    send(&run, Signal::SIGINT);
    let run = run.finish();
    locker.kill().expect("it runs");
    locker.wait().expect("it ends");
    assert_eq!(run.status, 5, "{run}");
    assert!(
        run.stderr.contains("pgconvoy: interrupted by SIGINT"),
        "{run}"
    );
    assert!(!run.path(RUN_DIR).exists(), "{run}");
}

/// A terminal that is closed: whoever runs in it is told with SIGHUP, and cannot write to it any more.
#[test]
fn a_run_survives_its_terminal() {
    let Some(scene) = Scene::set(18, 4) else {
        return;
    };
    let dir = tempfile::tempdir().expect("a directory");
    let run_dir = dir.path().join(RUN_DIR);
    let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let words = [
        env!("CARGO_BIN_EXE_pgconvoy"),
        "move",
        "--source",
        &scene.server.conninfo("src"),
        "--target",
        &scene.server.conninfo("dst"),
        "--run-dir",
        &run_dir.display().to_string(),
    ]
    .map(quoted);
    // It has a terminal of its own for whatever it runs.
    let started = Command::new("script")
        .args(["-q", "-e", "-c", &words.join(" "), "/dev/null"])
        .env("PGCONVOY_PG_BIN", crate::support::server::newest_tools())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    let Ok(mut terminal) = started else {
        println!("skipped: there is no script(1)");
        return;
    };
    let began = Instant::now();
    while scene.backends("query ilike '%slow_index%'").is_empty() {
        assert!(began.elapsed() < Duration::from_secs(60), "it never began");
        std::thread::sleep(Duration::from_millis(20));
    }
    terminal.kill().expect("it runs");
    terminal.wait().expect("it ends");
    let ended = || {
        let events = events(&run_dir);
        events
            .last()
            .is_some_and(|event| event["event"] == "run_finished")
    };
    while !ended() {
        assert!(began.elapsed() < Duration::from_secs(60), "it never ended");
        std::thread::sleep(Duration::from_millis(50));
    }
    let events = events(&run_dir);
    assert_eq!(events.last().expect("there")["status"], "proven");
    let said = events.iter().filter_map(|event| event["text"].as_str());
    let says = format!(
        "the terminal is gone (SIGHUP); the run goes on: pgconvoy watch {}",
        run_dir.display()
    );
    assert_eq!(said.filter(|text| *text == says).count(), 1, "{events:#?}");
}

/// Nobody could check a run without a record later: it stops, says which file, where and why, and can be gone on with.
#[test]
fn a_run_whose_record_cannot_be_written_stops() {
    let Some(scene) = Scene::set(18, 2) else {
        return;
    };
    // Fails on the target while the slow index is still being built.
    scene.server.psql(
        "src",
        "create table strict (id int);
         insert into strict values (1), (1);
         create function public.one_by_one(id int) returns int language plpgsql immutable as $$
         begin
             if pg_catalog.current_database() = 'dst' then
                 raise exception 'not here';
             end if;
             return id;
         end $$;
         create index strict_index on strict (public.one_by_one(id));",
    );
    let run = scene.moving(&[]);
    let in_the_way = run.dir().join(RUN_DIR).join("failed");
    let mut run = run.start();
    let began = Instant::now();
    while std::fs::write(&in_the_way, "a file where a directory should be").is_err() {
        assert!(run.is_running() && began.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(1));
    }
    let run = run.finish();
    scene.assert_no_backends();
    assert_eq!(run.status, 1, "{run}");
    let why = "run/failed/ cannot be written: Not a directory (os error 20)";
    assert!(run.stderr.contains(why), "{run}");
    let report = report(&run);
    let sentence = report["sentence"].as_str().unwrap_or_default();
    assert!(
        sentence.contains(why) || sentence.starts_with("Not complete"),
        "{run}"
    );
    assert_eq!(
        report["next"], "Make room, then go on where it stopped: pgconvoy resume run",
        "{run}"
    );
    assert_eq!(
        run.stderr.lines().last(),
        Some("pgconvoy resume run"),
        "{run}"
    );
}

/// A file system of its own for a directory; `None` where nobody may mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(dir.path())
            .stderr(Stdio::null())
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then_some(Self(dir))
    }

    /// Leaves no room on it.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.0.path().join("fill")).expect("room for a file");
        while file.write_all(&[0; 4096]).is_ok() {}
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Fails only if somebody still uses it, and then the test has failed.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_under_the_run_directory_stops_the_run_and_is_named() {
    let (Some(disk), Some(scene)) = (SmallDisk::mount("400k"), Scene::set(18, 2)) else {
        println!("skipped: no file system can be mounted here");
        return;
    };
    // A verdict on each of them is more than fits into what is left of the record's last block.
    scene.server.psql(
        "src",
        "select format('create table one_of_many_%s (id int)', i) from generate_series(1, 80) as i \\gexec",
    );
    let run_dir = disk.0.path().join(RUN_DIR).display().to_string();
    let mut run = scene.moving_in(&run_dir, &[]).start();
    scene.wait_for_slow_index(&mut run);
    disk.fill();
    let run = run.finish();
    scene.assert_no_backends();
    assert_eq!(run.status, 1, "{run}");
    let why =
        format!("{run_dir}/events.jsonl cannot be written: No space left on device (os error 28)");
    assert!(run.stderr.contains(&why), "{run}");
    assert!(
        run.stderr
            .contains("Next: Make room, then go on where it stopped:"),
        "{run}"
    );
    assert_eq!(
        run.stderr.lines().last(),
        Some(&*format!("pgconvoy resume {run_dir}")),
        "{run}"
    );
}

/// Nobody reads what it says any more, not even that: it goes on, and is proven.
#[test]
fn a_run_that_nobody_listens_to_goes_on() {
    let Some(scene) = Scene::set(18, 0) else {
        return;
    };
    let dir = tempfile::tempdir().expect("a directory");
    let mut child = Command::new(env!("CARGO_BIN_EXE_pgconvoy"))
        .args(["move", "--run-dir", RUN_DIR])
        .args(["--source", &scene.server.conninfo("src")])
        .args(["--target", &scene.server.conninfo("dst")])
        .env("PGCONVOY_PG_BIN", crate::support::server::newest_tools())
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    drop(child.stderr.take());
    drop(child.stdout.take());
    let pid = i32::try_from(child.id()).expect("a process id");
    std::thread::sleep(Duration::from_millis(300));
    nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGHUP).expect("it runs");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    let again = scene.moving(&["--overwrite", "dst"]).run();
    assert_proven(&again);
}
