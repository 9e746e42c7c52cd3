//! Full and read-only disks.

use std::fs;

use pgconvoy::pg::cluster::{ClusterOptions, StopMode};

use crate::case::{Before, Case};
use crate::figures::{Figures, kept};
use crate::lab::{Fixture, Lab};
use crate::matrix::comes;
use crate::support::binary::Finished;
use crate::support::disk::{Disk, may_mount};

const FULL: &str = "No space left on device";

/// Stopped, with the disk named: what it said on it, and by whom.
#[track_caller]
fn assert_stopped(run: &Finished, words: &[&str]) {
    assert!(matches!(run.status, 1 | 5), "{run}");
    for words in words {
        assert!(run.stderr.contains(words), "nothing about {words}: {run}");
    }
}

#[track_caller]
fn resume(lab: &Lab, mut case: Case, mut figures: Figures) {
    figures.faults += 1;
    let run = case.finish(lab, &mut figures);
    let run = run.unwrap_or_else(|said| panic!("{said}"));
    case.look(lab)
        .unwrap_or_else(|said| panic!("{said}\n{run}"));
    case.clean_up(lab);
    figures.conclude();
}

#[test]
fn faults_of_a_full_data_disk() {
    if !may_mount() {
        return;
    }
    let Some(mut lab) = Lab::start(&[Fixture::Mastodon]) else {
        return;
    };
    let dir = lab.target.cluster.create_dir("small").expect("a directory");
    let disk = Disk::over(&dir, "64m");
    let case = Case::new(
        &mut lab,
        Fixture::Mastodon,
        "a full data disk",
        Before::Empty,
    );
    lab.target.psql(
        "postgres",
        &format!("create tablespace small location '{}'", dir.display()),
    );
    lab.target.psql(
        "postgres",
        &format!("alter database \"{}\" set tablespace small", case.database),
    );
    disk.leave(900 << 10);
    let run = case.move_it().run();
    assert_stopped(&run, &[FULL, "target"]);
    disk.make_room();
    resume(&lab, case, Figures::default());
    lab.target.psql("postgres", "drop tablespace small");
}

#[test]
fn faults_of_a_full_wal_disk() {
    if !may_mount() {
        return;
    }
    // Of the smallest pieces, none of them is ever used again, and whoever makes it writes it: the WAL writer has no client that
    // it could tell what is wrong.
    let small = |options: ClusterOptions| ClusterOptions {
        initdb_args: vec!["--wal-segsize=1".to_owned()],
        ..options
            .setting("wal_keep_size", "1GB")
            .setting("wal_buffers", "64kB")
            .setting("wal_writer_delay", "10s")
            .setting("wal_writer_flush_after", "1GB")
    };
    let Some(mut lab) = Lab::start_with(&[Fixture::Mastodon], small) else {
        return;
    };
    let disk = Disk::of_log(&mut lab.target.cluster, "128m");

    let case = Case::new(
        &mut lab,
        Fixture::Mastodon,
        "a full WAL disk",
        Before::Empty,
    );
    let case = case.with(&["--max-retries", "2"]);
    lab.target.psql("postgres", "checkpoint");
    disk.leave(2 << 20);
    let run = case.move_it().run();
    assert_stopped(&run, &[FULL, "pg_wal"]);
    disk.make_room();
    // It may have given up.
    lab.target
        .cluster
        .restart(StopMode::Immediate)
        .expect("it starts, now that there is room");
    resume(&lab, case, Figures::default());
}

fn run_dir_on_a_disk(lab: &mut Lab, title: &str, size: &str) -> (Case, Disk) {
    let dir = kept().join(format!("disk-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("a directory");
    let disk = Disk::over(&dir, size);
    let mut case = Case::new(lab, Fixture::Mastodon, title, Before::Empty);
    case.run_dir = dir.join("run");
    (case, disk)
}

#[test]
fn faults_of_a_full_disk_below_the_run_directory() {
    if !may_mount() {
        return;
    }
    let Some(mut lab) = Lab::start(&[Fixture::Mastodon]) else {
        return;
    };
    let (case, disk) = run_dir_on_a_disk(&mut lab, "no room for the record", "8m");
    let run = case.move_it();
    let held = run.dir().join("held");
    let run = run
        .env("PGCONVOY_FAULT", "hold@chunk-ended:5")
        .env("PGCONVOY_FAULT_FILE", &held);
    let mut running = run.start();
    assert!(comes(&held, &mut running), "{}", running.finish());
    disk.leave(0);
    fs::remove_file(&held).expect("it is held");
    let run = running.finish();
    let run_dir = case.run_dir.display().to_string();
    assert_stopped(&run, &[FULL, &run_dir]);
    disk.make_room();
    resume(&lab, case, Figures::default());
    drop(disk);
}

#[test]
fn faults_of_a_read_only_disk_below_the_run_directory() {
    if !may_mount() {
        return;
    }
    let Some(mut lab) = Lab::start(&[Fixture::Mastodon]) else {
        return;
    };
    let (case, disk) = run_dir_on_a_disk(&mut lab, "a record that is read-only", "8m");
    let run = case
        .move_it()
        .env("PGCONVOY_FAULT", "kill@chunk-ended:5")
        .run();
    assert_eq!(run.status, -1, "{run}");
    disk.make_read_only(true);
    let run = case.resume().run();
    assert!(matches!(run.status, 1 | 2), "{run}");
    let run_dir = case.run_dir.display().to_string();
    assert!(
        run.stderr.contains(&run_dir) && run.stderr.contains("ead-only"),
        "{run}"
    );
    disk.make_read_only(false);
    resume(&lab, case, Figures::default());
    drop(disk);
}
