//! An archive on a disk without room: what is said, and that the dump goes on when there is some.

use crate::scene::{assert_ends, scratch};
use crate::support::binary::Pgconvoy;
use crate::support::disk::{Disk, may_mount};
use crate::support::moving::RUN_DIR;
use crate::support::server::Server;

/// Twenty-four megabytes.
const WIDE: &str = "
    create table wide (id int primary key, v text);
    alter table wide alter v set storage external;
    insert into wide select i, repeat('x', 2000000) from generate_series(1, 12) i;
    analyze;
";

#[test]
fn a_full_disk_of_an_archive_is_told_as_that() {
    if !may_mount() {
        return;
    }
    let Some(source) = Server::start(18) else {
        return;
    };
    let from = source.database("wide");
    source.psql("wide", WIDE);
    let dir = scratch();
    let disk = Disk::over(dir.path(), "64m");
    disk.leave(8 << 20);
    let archive = dir.path().join("wide").display().to_string();
    let options = [
        "dump",
        "--source",
        &from,
        "--archive",
        &archive,
        "--run-dir",
        RUN_DIR,
        "-Z",
        "none",
        "-j2",
    ];
    let full = Pgconvoy::new(options).run();
    assert!([1, 5].contains(&full.status), "{full}");
    let words = [
        "No space left on device",
        "The disk of the archive is full: make room there and go on, or start again with --archive elsewhere.",
        "pgconvoy resume",
    ];
    assert_ends(&full, full.status, &words);
    // The run's own directory has nothing to do with it.
    assert!(!full.stderr.contains("elsewhere with --run-dir"), "{full}");
    disk.make_room();
    let resumed = Pgconvoy::new(["resume".as_ref(), full.path(RUN_DIR).as_os_str()]).run();
    assert_ends(&resumed, 0, &[]);
    let intact = Pgconvoy::new(["verify", "--archive", &archive]).run();
    assert_ends(&intact, 0, &[]);
}
