//! Full and read-only disks: small file systems in memory, mounted where nobody but this test and its children sees them.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use pgconvoy::pg::cluster::{ClusterOptions, StopMode};

use crate::case::{Before, Case};
use crate::figures::{Figures, kept};
use crate::lab::{Fixture, Lab};
use crate::matrix::comes;
use crate::support::binary::Finished;
use crate::support::server::record_skip;

const FULL: &str = "No space left on device";

/// From here on, what this thread and its children mount is theirs alone, and ends with them.
fn may_mount() -> bool {
    let everywhere = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    let private = unshare(CloneFlags::CLONE_NEWNS)
        .and_then(|()| mount(None::<&str>, "/", None::<&str>, everywhere, None::<&str>));
    if let Err(error) = private {
        record_skip(&format!(
            "no small disk can be mounted here ({error}); it takes root"
        ));
    }
    private.is_ok()
}

/// A small file system.
struct Disk {
    path: PathBuf,
    /// What takes up its room.
    ballast: PathBuf,
}

impl Disk {
    /// Over a directory that is there, and belongs to whoever it belonged to.
    fn over(path: &Path, size: &str) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        let owner = fs::metadata(path).expect("the directory is there");
        let options = format!(
            "size={size},mode=700,uid={},gid={}",
            owner.uid(),
            owner.gid()
        );
        let mounted = mount(
            Some("none"),
            path,
            Some("tmpfs"),
            MsFlags::empty(),
            Some(options.as_str()),
        );
        mounted.expect("a file system in memory is mounted");
        Self {
            path: path.to_owned(),
            ballast: path.join("ballast"),
        }
    }

    fn free_bytes(&self) -> u64 {
        let disk = nix::sys::statvfs::statvfs(&self.path).expect("it is mounted");
        disk.blocks_available() * disk.fragment_size()
    }

    /// Fills it up to so many bytes.
    fn leave(&self, bytes: u64) {
        let mut ballast = fs::File::create(&self.ballast).expect("it can be written to");
        let size = self.free_bytes().saturating_sub(bytes);
        let size = usize::try_from(size).expect("it is small");
        // A run writes there meanwhile: the room may be gone before the ballast has all of it.
        match ballast.write_all(&vec![7; size]) {
            Err(error) if error.kind() != ErrorKind::StorageFull => panic!("{error}"),
            _ => {}
        }
    }

    fn make_room(&self) {
        fs::remove_file(&self.ballast).expect("it is there");
    }

    fn make_read_only(&self, read_only: bool) {
        let mut flags = MsFlags::MS_REMOUNT;
        flags.set(MsFlags::MS_RDONLY, read_only);
        let mounted = mount(None::<&str>, &self.path, None::<&str>, flags, None::<&str>);
        mounted.expect("it can be mounted otherwise");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Best effort: it ends with this process.
        let _ = umount2(&self.path, MntFlags::MNT_DETACH);
    }
}

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
    let cluster = &mut lab.target.cluster;
    let dir = cluster.create_dir("wal").expect("a directory");
    let disk = Disk::over(&dir, "128m");
    cluster.stop(StopMode::Fast).expect("it stops");
    let wal = cluster.data_dir().join("pg_wal");
    let moved = std::process::Command::new("cp")
        .arg("-a")
        .arg(wal.join("."))
        .arg(&dir)
        .status();
    assert!(moved.expect("cp starts").success());
    fs::remove_dir_all(&wal).expect("it is copied");
    std::os::unix::fs::symlink(&dir, &wal).expect("it may be elsewhere");
    cluster.resume().expect("it starts");

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
