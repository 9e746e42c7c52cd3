//! Memory stays flat, however many rows an index knows of that were not read, or that have other keys: their entries are put aside, and come
//! back in order.

use std::fs;

use pgconvoy::pg::cluster::StopMode;

use crate::lab::losses;
use crate::support::binary::{Finished, Pgconvoy};
use crate::support::server::Server;

/// Rows of each table.
const ROWS: u64 = 300_000;
/// The most that the process may ever have had in memory. Two numbers and a key for each of these rows would be more.
const LIMIT_KB: u64 = 150 * 1024;

/// `VmHWM`: the kernel keeps the peak itself.
fn peak_of(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}

fn surveyed(source: &str) -> (Finished, u64) {
    let survey = ["salvage", "--survey", "--run-dir", "run", "-j", "2"];
    let mut run = Pgconvoy::new(survey.iter().chain(&["--source", source])).start();
    let mut peak_kb = 0;
    while run.is_running() {
        peak_kb = peak_kb.max(peak_of(run.pid()));
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    (run.finish(), peak_kb)
}

/// The keys of all rows of a table are in its file, once each, in the order of their places.
fn check_keys(run: &Finished, table: &str, lost: &str) {
    let csv = run.path(&format!("run/lost/public.{table}.csv"));
    let csv = fs::read_to_string(csv).expect("the file is there");
    let mut before = (0, 0);
    let mut keys = Vec::new();
    for line in csv.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let number = |at: usize| fields[at].parse::<u64>().expect("a number");
        let place = (number(0), number(1));
        assert!(before < place, "{table}: {place:?} behind {before:?}");
        assert_eq!(fields[2], lost, "{table}: {line}");
        before = place;
        keys.push(number(3));
    }
    keys.sort_unstable();
    assert!(keys.into_iter().eq(1..=ROWS), "{table}");
}

/// A table whose file is gone, and one whose file has become that of another.
#[test]
fn what_an_index_knows_of_is_not_held_in_memory() {
    let source = Server::start_with(18, |options| {
        options
            .setting("autovacuum", "off")
            .setting("synchronous_commit", "on")
    });
    let Some(mut source) = source else { return };
    let from = source.database("shop");
    source.psql(
        "shop",
        &format!(
            "create table gone (id bigint); insert into gone select generate_series(1, {ROWS}); \
             create table other (id bigint); insert into other select id + {ROWS} from gone; \
             create table replaced (id bigint); insert into replaced select id from gone; \
             alter table gone add primary key (id); alter table replaced add primary key (id); vacuum (freeze)"
        ),
    );
    let path = |table: &str| {
        let path = source.psql("shop", &format!("select pg_relation_filepath('{table}')"));
        source.cluster.data_dir().join(path)
    };
    let (gone, other, replaced) = (path("gone"), path("other"), path("replaced"));
    source.cluster.stop(StopMode::Fast).expect("it stops");
    fs::remove_file(gone).expect("removed");
    fs::copy(other, replaced).expect("copied");
    source.cluster.resume().expect("it starts");

    let (run, peak_kb) = surveyed(&from);
    println!("at most {peak_kb} kB in memory");
    assert_eq!(run.status, 6, "{run}");
    let account = losses(&run);
    let rows_of = |name: &str| {
        let tables = account["tables"].as_array().expect("a list");
        let table = tables.iter().find(|table| table["table"]["name"] == name);
        let rows = &table.unwrap_or_else(|| panic!("{name}: {account:#}"))["lost_rows"];
        (rows["certain"].as_u64(), rows["perhaps"].as_u64())
    };
    assert_eq!(rows_of("gone"), (Some(ROWS), Some(0)), "{account:#}");
    assert_eq!(rows_of("replaced"), (Some(0), Some(ROWS)), "{account:#}");
    check_keys(&run, "gone", "certain");
    check_keys(&run, "replaced", "perhaps");
    let there = fs::read_dir(run.path("run")).expect("it can be read");
    let scratch = there.flatten().filter(|file| {
        let name = file.file_name();
        name.to_string_lossy().contains("scratch")
    });
    assert_eq!(scratch.count(), 0, "{run}");
    assert!(
        peak_kb > 1000 && peak_kb < LIMIT_KB,
        "{peak_kb} kB in memory: {run}"
    );
}
