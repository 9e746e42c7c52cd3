//! Memory stays flat, however large a table or a single value is.

use std::fs;
use std::time::Duration;

use crate::support::moving::{assert_proven, prepare};
use crate::support::server::Server;

/// The most that the process may ever have had in memory.
const LIMIT_KB: u64 = 200 * 1024;

#[test]
fn heavy_a_value_of_200_mb_costs_a_few_buffers() {
    let (Some(source), Some(target)) = (Server::start(15), Server::start(18)) else {
        return;
    };
    let from = source.database("db");
    source.psql(
        "db",
        "create table large (id int primary key, value text);
         alter table large alter value set storage external;
         insert into large select i, repeat(md5(i::text), 3200) from generate_series(1, 1000) i;
         insert into large select 0, repeat('0123456789', 20 * 1024 * 1024)",
    );
    let to = target.database("db");
    let mut run = prepare(&from, &to, &[])
        .timeout(Duration::from_secs(300))
        .start();
    let mut peak_kb = 0;
    while run.is_running() {
        peak_kb = peak_kb.max(peak_of(run.pid()));
        std::thread::sleep(Duration::from_millis(20));
    }
    let run = run.finish();
    let report = assert_proven(&run);
    println!("at most {peak_kb} kB in memory");
    assert!(
        report["tables"][0]["bytes"].as_u64() > Some(300_000_000),
        "{run}"
    );
    assert!(
        peak_kb > 1000 && peak_kb < LIMIT_KB,
        "{peak_kb} kB in memory: {run}"
    );
}

/// `VmHWM`: the kernel keeps the peak itself, so that none is missed between two looks.
fn peak_of(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}
