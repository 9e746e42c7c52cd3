//! A gigabyte on its way to a store and back, and the memory that it takes.

use std::fs;
use std::time::{Duration, Instant};

use crate::store::{Store, address};
use crate::support::binary::{Finished, Pgconvoy, Running};
use crate::support::moving::{RUN_DIR, assert_equal};
use crate::support::server::Server;
use crate::whole::assert_no_copy;

/// Of which a run holds no more, whatever it moves.
const MOST_MEMORY_KB: u64 = 400 << 10;

/// Waits for its end; the most memory that it had.
fn measured(mut run: Running) -> (Finished, u64, Duration) {
    let began = Instant::now();
    let status = format!("/proc/{}/status", run.pid());
    let mut most = 0;
    while run.is_running() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        most = most.max(now.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(50));
    }
    (run.finish(), most, began.elapsed())
}

#[test]
#[ignore = "a gigabyte: make test-archives"]
fn heavy_a_gigabyte_goes_to_a_store_and_back() {
    let (Some(source), Some(target)) = (Server::start(18), Server::start(18)) else {
        return;
    };
    source.database("mixed");
    source.psql(
        "mixed",
        "create table t (id bigint primary key, v text);
         insert into t select i, repeat(md5(i::text), 8) from generate_series(1, 4000000) i;
         create table wide (id int, v bytea);
         alter table wide alter v set storage external;
         insert into wide select i, convert_to(repeat(md5(i::text), 65536), 'UTF8') from generate_series(1, 40) i;
         analyze;",
    );
    let store = Store::start();
    let within = Duration::from_secs(900);
    let run = crate::whole::dump(&source, "large", &["-Z", "none", "-j2"]);
    let run = Store::tell(run.timeout(within), store.port()).start();
    let (run, memory_kb, took) = measured(run);
    assert_eq!(run.status, 0, "{run}");
    assert_no_copy(&run);
    let objects = fs::read_dir(store.objects("large")).expect("objects");
    let bytes: u64 = objects
        .map(|object| object.expect("an object").metadata().expect("there").len())
        .sum();
    println!("dump: {bytes} bytes in {took:?}, {memory_kb} kB of memory");
    assert!(bytes > 1 << 30, "{bytes}");
    assert!(memory_kb < MOST_MEMORY_KB, "{memory_kb} kB");
    let archive = address("large");
    let verify = Pgconvoy::new(["verify", "--archive", &archive]).timeout(within);
    let (run, memory_kb, took) = measured(Store::tell(verify, store.port()).start());
    assert_eq!(run.status, 0, "{run}");
    println!("verify: {took:?}, {memory_kb} kB of memory");
    assert!(memory_kb < MOST_MEMORY_KB, "{memory_kb} kB");
    let to = target.database("mixed");
    let restore = [
        "restore",
        "--archive",
        &archive,
        "--target",
        &to,
        "--run-dir",
        RUN_DIR,
        "-j2",
    ];
    let restore = Pgconvoy::new(restore).timeout(within);
    let (run, memory_kb, took) = measured(Store::tell(restore, store.port()).start());
    assert_eq!(run.status, 0, "{run}");
    println!("restore: {took:?}, {memory_kb} kB of memory");
    assert!(memory_kb < MOST_MEMORY_KB, "{memory_kb} kB");
    assert_equal("large", &source.conninfo("mixed"), &to, &[]);
}
