//! Restores that are killed at any instant, and go on to the same end. (Dumps are killed in `tests/dump.rs`.)

use std::path::Path;
use std::time::{Duration, Instant};

use crate::scene::{anew, archives, prepare, restore, scene, scratch, whole};
use crate::support::binary::Pgconvoy;
use crate::support::moving::{RUN_DIR, assert_equal, assert_no_ledger, assert_proven};
use crate::support::server::Server;

/// In all, and in the sample.
const INSTANTS: u32 = 50;
const SAMPLE: u32 = 2;

fn killed_and_resumed(server: &Server, archive: &Path, what: &str) {
    let from = server.conninfo("scene");
    let to = anew(server, "copy");
    let began = Instant::now();
    assert_proven(&restore(archive, &to, &[]));
    let took = began.elapsed();
    let instants = if whole() { INSTANTS } else { SAMPLE };
    let (mut resumed, mut begun_anew, mut survived) = (0, 0, 0);
    for instant in 0..instants {
        // Neither at the very first moment nor after the last.
        let at = took * (instant * 2 + 1) / (instants * 2);
        let to = anew(server, "copy");
        let mut run = prepare(archive, &to, &[]).start();
        let began = Instant::now();
        while run.is_running() && began.elapsed() < at {
            std::thread::sleep(Duration::from_millis(1));
        }
        if run.is_running() {
            run.kill();
        }
        let killed = run.finish();
        let title = format!("{what}, killed at {at:?} of {took:?}");
        if killed.status == 0 {
            survived += 1;
        } else if killed.path(RUN_DIR).join("run.json").exists() {
            let run_dir = killed.path(RUN_DIR);
            let again = Pgconvoy::new(["resume".as_ref(), run_dir.as_os_str()]).run();
            assert_eq!(again.status, 0, "{title}: {killed}\n{again}");
            resumed += 1;
        } else {
            assert_proven(&restore(archive, &to, &[]));
            begun_anew += 1;
        }
        assert_no_ledger(server, "copy");
        assert_equal(&title, &from, &to, &[]);
    }
    println!(
        "{what}: {instants} instants, {resumed} resumed, {begun_anew} begun anew, {survived} had ended, 0 differences"
    );
}

#[test]
fn a_restore_of_ours_goes_on_from_any_instant() {
    let Some(server) = scene(18) else { return };
    let dir = scratch();
    let [ours, _] = archives(&server, dir.path());
    killed_and_resumed(&server, &ours, "ours");
}

#[test]
fn a_restore_of_a_stock_archive_goes_on_from_any_instant() {
    let Some(server) = scene(18) else { return };
    let dir = scratch();
    let [_, stock] = archives(&server, dir.path());
    killed_and_resumed(&server, &stock, "pg_dump -Fc");
}
