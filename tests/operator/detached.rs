//! What was started with `--detach` and does not come to its first job: whoever typed it is told why, with the exit status that the run ends
//! with, and is never told that it goes on.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::scene::{GOES_ON, Scene};
use crate::support::binary::{Finished, Pgconvoy, Running};
use crate::support::moving::RUN_DIR;

/// Nobody listens there.
const NOWHERE: &str = "host=127.0.0.1 port=1 dbname=nowhere user=nobody";
const UNREACHABLE: &str = "cannot reach 127.0.0.1:1";

fn detached(command: &[&str], run_dir: &str) -> Pgconvoy {
    Pgconvoy::new([command, &["--detach", "--run-dir", run_dir]].concat())
}

#[track_caller]
fn assert_never_began(run: &Finished, status: i32, why: &str) {
    assert_eq!(run.status, status, "{run}");
    assert!(run.stderr.contains(why), "{why}: {run}");
    assert!(!run.stderr.contains(GOES_ON), "{run}");
}

#[test]
fn what_forbids_a_detached_run_is_told_to_whoever_started_it() {
    let Some(scene) = Scene::set(18, 0) else {
        return;
    };
    let dir = tempfile::tempdir().expect("a directory");
    let archive = dir.path().join("archive").display().to_string();
    let (src, dst) = (scene.server.conninfo("src"), scene.server.conninfo("dst"));
    let mut pg_dump = scene.server.tool("pg_dump");
    let dumped = pg_dump.args(["-Fc", "-f", &archive, "-d", &src]).status();
    assert!(dumped.expect("pg_dump starts").success());
    scene.server.psql("dst", "create table in_the_way (id int)");

    let no_source = format!("the source: {UNREACHABLE}");
    let no_target = format!("the target: {UNREACHABLE}");
    let full = "[target-not-empty]";
    let cases: [(&[&str], i32, &str); 5] = [
        (
            &["move", "--source", NOWHERE, "--target", &dst],
            2,
            &no_source,
        ),
        (
            &["move", "--source", &src, "--target", NOWHERE],
            2,
            &no_target,
        ),
        (
            &["dump", "--source", NOWHERE, "--archive", "new"],
            2,
            &no_source,
        ),
        (
            &["restore", "--archive", &archive, "--target", NOWHERE],
            2,
            &no_target,
        ),
        (
            &["restore", "--archive", &archive, "--target", &dst],
            4,
            full,
        ),
    ];
    for (command, status, why) in cases {
        let run = detached(command, RUN_DIR).run();
        assert_never_began(&run, status, why);
        assert!(!run.path(RUN_DIR).exists(), "{run}");
    }
}

#[test]
fn a_run_directory_that_a_detached_run_cannot_make_is_named() {
    let commands: [&[&str]; 3] = [
        &["move", "--source", NOWHERE, "--target", NOWHERE],
        &["dump", "--source", NOWHERE, "--archive", "archive"],
        &["restore", "--archive", "archive", "--target", NOWHERE],
    ];
    for command in commands {
        for (run_dir, because) in [
            ("missing/run", "No such file or directory"),
            // Its record cannot be looked for either.
            ("file/run", "Not a directory"),
        ] {
            let run = detached(command, run_dir);
            fs::write(run.dir().join("file"), "").expect("written");
            let why = format!("the run directory {run_dir} cannot be used: {because}");
            assert_never_began(&run.run(), 2, &why);
        }
    }
}

/// The run directory holds the record of a run that had begun its jobs: these are not the jobs of a run that is refused, nor of a
/// resumption that comes to none.
#[test]
fn what_another_run_began_in_the_run_directory_is_not_taken_for_the_first_job() {
    let Some(scene) = Scene::set(18, 3600) else {
        return;
    };
    let mut first = scene.moving(&["-j1"]).start();
    scene.wait_for_slow_index(&mut first);
    let run_dir = first.dir().join(RUN_DIR).display().to_string();
    let resume = |more: &[&str]| {
        let fixed = ["resume", "--detach", &run_dir];
        Pgconvoy::new(fixed.iter().chain(more)).run()
    };

    let pid = first.pid();
    let in_use = format!("{run_dir} cannot be used: it is in use by pgconvoy, pid {pid}, since ");
    let refused = scene.moving_in(&run_dir, &["--detach"]).run();
    assert_never_began(&refused, 2, &in_use);
    assert_never_began(&resume(&[]), 2, &in_use);

    // Its record does not say that it has ended.
    first.kill();
    let killed = first.finish();
    assert_eq!(killed.status, -1, "{killed}");
    let refused = scene.moving_in(&run_dir, &["--detach"]).run();
    assert_never_began(&refused, 2, "cannot be used: it is not empty");
    let unreachable = format!("the source: {UNREACHABLE}");
    assert_never_began(&resume(&["--source", NOWHERE]), 2, &unreachable);
}

/// The process that has the run directory; it is written down there.
fn holder(run: &mut Running) -> Pid {
    let lock = run.dir().join(RUN_DIR).join("lock");
    let began = Instant::now();
    loop {
        let text = fs::read_to_string(&lock).unwrap_or_default();
        let holder: Option<Value> = serde_json::from_str(&text).ok();
        if let Some(pid) = holder.and_then(|holder| holder["pid"].as_i64()) {
            return Pid::from_raw(i32::try_from(pid).expect("a process id"));
        }
        assert!(run.is_running(), "it ended before");
        assert!(began.elapsed() < Duration::from_secs(60), "it never began");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// As by a system that is out of memory: nothing is left that could say why.
#[test]
fn a_detached_run_that_is_killed_before_its_first_job_is_not_said_to_go_on() {
    // Takes connections, and says nothing.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let port = silent.local_addr().expect("it has an address").port();
    let nobody = format!("host=127.0.0.1 port={port} dbname=nowhere user=nobody");
    let command = ["move", "--source", &nobody, "--target", &nobody];
    let mut run = detached(&command, RUN_DIR).start();
    kill(holder(&mut run), Signal::SIGKILL).expect("it is there");
    let run = run.finish();
    let why = "the process that was to carry out the run was killed (signal: 9";
    assert_never_began(&run, 5, why);
}
