//! Large tables that several connections load from one file: each row once, nothing of a file that is broken, and each chunk
//! that is committed stays.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pgconvoy::pg::cluster::ClusterOptions;

use crate::scene::{anew, assert_ends, copy_of, our_dump, pg_dump, scratch};
use crate::support::binary::{Finished, Pgconvoy, Running};
use crate::support::moving::{OnceRead, RUN_DIR, assert_no_ledger, assert_proven, report};
use crate::support::server::Server;

/// Some forty stripes, rows that are longer than a stripe among them; and a table that is loaded whole.
const LARGE: &str = r"
    create table large (id bigint primary key, v text, b bytea);
    insert into large select i, md5(i::text) || md5((i * 7)::text) || md5((i * 13)::text) || E'\\\n\\.', decode(md5(i::text), 'hex')
      from generate_series(1, 40000) i;
    insert into large select -i, repeat('x', 600000 + i), null from generate_series(1, 4) i;
    create index on large (b);
    create table other (id bigint references large);
    insert into other select i from generate_series(1, 100) i;
    analyze;
";

/// How many chunks it is loaded in.
const CHUNKS: usize = 3;

/// How long something is waited for that happens at once, unless it never does.
const PATIENCE: Duration = Duration::from_secs(60);

fn large() -> Option<Server> {
    let server = Server::start_with(18, |options: ClusterOptions| {
        options.setting("log_statement", "all")
    })?;
    server.database("large");
    server.psql("large", LARGE);
    Some(server)
}

/// A restore with so many workers, each of which has a chunk.
fn prepare(archive: &Path, to: &str) -> Pgconvoy {
    let archive = archive.to_str().expect("UTF-8");
    Pgconvoy::new([
        "restore",
        "--archive",
        archive,
        "--target",
        to,
        "--run-dir",
        RUN_DIR,
        "-j3",
        "--chunk-size",
        "1MB",
    ])
}

fn resume(run: &Finished, more: &[&str]) -> Finished {
    let run_dir = run.path(RUN_DIR);
    let run_dir = run_dir.to_str().expect("UTF-8");
    Pgconvoy::new(["resume", run_dir].iter().chain(more)).run()
}

/// The transactions that its rows are from.
fn transactions(server: &Server) -> BTreeSet<String> {
    let distinct = "select distinct xmin from large";
    let rows = server.psql("copy", distinct);
    rows.lines().map(str::to_owned).collect()
}

/// How many times a table was read back.
fn read_back(server: &Server, table: &str) -> usize {
    let log = fs::read(server.cluster.dir().join("log")).expect("it logs");
    let log = String::from_utf8_lossy(&log);
    let from = format!("from only \"public\".\"{table}\"");
    // Who dumps it counts it as well.
    let copies = log.lines().filter(|line| line.contains("copy (select"));
    copies.filter(|line| line.contains(&from)).count()
}

/// Waits for something while a run goes on.
fn wait_for(run: &mut Running, what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(run.is_running() && began.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn several_connections_load_a_file_and_what_they_have_loaded_is_read_back_once() {
    let Some(server) = large() else { return };
    let dir = scratch();
    let checked = OnceRead::new();
    let ours = ["none", "zstd"];
    let stock: [&[&str]; 3] = [&["-Fc"], &["-Fd", "-Z1"], &["-Ft"]];
    let mut archives: Vec<PathBuf> = Vec::new();
    for compression in ours {
        let archive = dir.path().join(compression);
        our_dump(&server, "large", (&["-Z", compression], &archive));
        archives.push(archive);
    }
    for format in stock {
        let archive = dir.path().join(format[0]);
        assert!(pg_dump(&server, "large", (format, &archive)));
        archives.push(archive);
    }
    for archive in archives {
        let what = archive.display();
        let to = anew(&server, "copy");
        let before = read_back(&server, "large");
        let run = prepare(&archive, &to).run();
        let report = assert_proven(&run);
        assert_eq!(read_back(&server, "large") - before, 1, "{what}: {run}");
        assert_eq!(transactions(&server).len(), CHUNKS, "{what}: {run}");
        let jobs = report["jobs"].as_array().expect("jobs").iter();
        let labels: Vec<&str> = jobs.filter_map(|job| job["label"].as_str()).collect();
        for label in [
            "copy public.large 1/3",
            "copy public.large 3/3",
            "freeze public.large",
            "verify public.large",
        ] {
            assert!(labels.contains(&label), "{what}: {label} in {labels:?}");
        }
        checked.assert_equal(&what.to_string(), &server.conninfo("large"), &to);
    }
}

/// Nobody waits with the proof of a small table until a large one is there.
#[test]
fn a_table_is_read_back_while_others_are_loaded() {
    let Some(server) = large() else { return };
    let dir = scratch();
    let archive = dir.path().join("archive");
    our_dump(&server, "large", (&["-Z", "none"], &archive));
    let to = anew(&server, "copy");
    let held = dir.path().join("held");
    let before = read_back(&server, "other");
    let mut run = prepare(&archive, &to)
        .env("PGCONVOY_FAULT", "hold@chunk-ended[ 1/3]")
        .env("PGCONVOY_FAULT_FILE", &held)
        .start();
    wait_for(&mut run, "it was not held", || held.exists());
    wait_for(&mut run, "it was not read back", || {
        read_back(&server, "other") > before
    });
    assert_eq!(read_back(&server, "large"), 0, "not all of it is there yet");
    fs::remove_file(&held).expect("it is there");
    assert_proven(&run.finish());
    assert_eq!(read_back(&server, "other") - before, 1);
}

/// Killed at a moment; what its servers' processes were doing has come to an end.
fn killed_at(moment: &str, server: &Server, run: Pgconvoy) -> Finished {
    let run = run.env("PGCONVOY_FAULT", format!("kill@{moment}"));
    let killed = run.run();
    assert_eq!(killed.status, -1, "{moment}: {killed}");
    let ours = "select count(*) from pg_stat_activity where application_name like 'pgconvoy:%' and datname = 'copy'";
    while server.psql("postgres", ours) != "0" {
        std::thread::sleep(Duration::from_millis(20));
    }
    killed
}

/// Whoever goes on deals to those chunks that are not there.
#[test]
fn chunks_that_are_committed_stay() {
    let Some(server) = large() else { return };
    let dir = scratch();
    let archive = dir.path().join("archive");
    assert!(pg_dump(&server, "large", (&["-Fc"], &archive)));
    let checked = OnceRead::new();
    for moment in [
        "chunk-opened:2",
        "chunk-ended:1",
        "chunk-committed:1",
        "chunk-committed:2",
        "target-read:1",
    ] {
        let to = anew(&server, "copy");
        let killed = killed_at(moment, &server, prepare(&archive, &to));
        let there = transactions(&server);
        let marks =
            "select count(*) from pgconvoy.done where what like 'copy public.large %' and part = 0";
        assert_eq!(server.psql("copy", marks), there.len().to_string());
        if moment.starts_with("chunk-committed") {
            assert!(!there.is_empty(), "{moment}: {killed}");
        }
        let resumed = resume(&killed, &[]);
        assert_eq!(resumed.status, 0, "{moment}: {killed}\n{resumed}");
        let events = fs::read_to_string(killed.path(RUN_DIR).join("events.jsonl"));
        let events = events.expect("a record");
        assert!(events.contains("committed, with its mark in the ledger"));
        // There is no source that anything could be read again on.
        assert!(!events.contains("read again on the source"), "{moment}");
        let all = transactions(&server);
        assert!(all.is_superset(&there), "{moment}: {there:?} {all:?}");
        assert_eq!(all.len(), CHUNKS, "{moment}");
        assert_no_ledger(&server, "copy");
        checked.assert_equal(moment, &server.conninfo("large"), &to);
    }
}

/// Nobody says of what stays that it was not committed.
#[test]
fn what_was_committed_of_a_file_stays_when_it_is_damaged_later() {
    let Some(server) = large() else { return };
    let dir = scratch();
    let archive = dir.path().join("archive");
    our_dump(&server, "large", (&["-Z", "none"], &archive));
    // All of them may be on their way by then.
    let in_part = (0..10).find_map(|_| {
        let to = anew(&server, "copy");
        let killed = killed_at("chunk-committed:1", &server, prepare(&archive, &to));
        let there = transactions(&server);
        (1..CHUNKS)
            .contains(&there.len())
            .then_some((killed, there))
    });
    let (killed, there) = in_part.expect("a part of them");
    let file = OpenOptions::new().write(true).open(file_of_large(&archive));
    let file = file.expect("it is there");
    let length = file.metadata().expect("it is there").len();
    file.write_all_at(b"y", length - 100).expect("written");
    let resumed = resume(&killed, &[]);
    assert_ends(&resumed, 1, &["the manifest says"]);
    assert_eq!(transactions(&server), there);
    let told = report(&killed).to_string();
    let of_job = "What this job has read of it was not committed.";
    assert!(told.contains(of_job), "{told}");
    assert!(!told.contains("Nothing of this file"), "{told}");
}

/// The file of a table's rows, by the manifest.
fn file_of_large(archive: &Path) -> PathBuf {
    let text = fs::read_to_string(archive.join("pgconvoy.manifest.json")).expect("a manifest");
    let manifest: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let mut tables = manifest["tables"].as_array().expect("a list").iter();
    let found = tables.find(|one| one["table"]["name"] == "large");
    let file = found.expect("it is in it")["file"].as_str();
    archive.join(file.expect("a name"))
}

/// What is wrong at the end of a file is known before any chunk of it is committed.
#[test]
fn no_chunk_of_a_broken_file_is_committed() {
    let Some(server) = large() else { return };
    let dir = scratch();
    let (whole, broken) = (dir.path().join("whole"), dir.path().join("broken"));
    our_dump(&server, "large", (&["-Z", "none"], &whole));
    copy_of(&whole, &broken);
    let path = file_of_large(&broken);
    let file = OpenOptions::new().read(true).write(true).open(&path);
    let file = file.expect("it is there");
    let length = file.metadata().expect("it is there").len();
    // An x of the last row, long as it is.
    let mut byte = [0];
    file.read_exact_at(&mut byte, length - 100).expect("within");
    assert_eq!(byte, *b"x");
    file.write_all_at(b"y", length - 100).expect("written");
    let to = anew(&server, "copy");
    let run = prepare(&broken, &to).run();
    let name = path.file_name().expect("a name").to_string_lossy();
    assert_ends(&run, 1, &[&name, "the manifest says"]);
    assert_eq!(server.psql("copy", "select count(*) from large"), "0");
    // Mended, it is loaded from the beginning.
    file.write_all_at(&byte, length - 100).expect("written");
    let mended = resume(&run, &["--retry-failed"]);
    assert_eq!(mended.status, 0, "{run}\n{mended}");
    assert_eq!(server.psql("copy", "select count(*) from large"), "40004");

    // By pg_dump, and cut short: the last line is missing.
    let stock = dir.path().join("stock");
    assert!(pg_dump(&server, "large", (&["-Fd", "-Z0"], &stock)));
    let files = fs::read_dir(&stock).expect("a directory");
    let paths = files.map(|file| file.expect("an entry").path());
    let largest = paths.max_by_key(|path| fs::metadata(path).expect("it is there").len());
    let largest = OpenOptions::new()
        .write(true)
        .open(largest.expect("there is one"))
        .expect("it is there");
    let length = largest.metadata().expect("it is there").len();
    largest.set_len(length - 5).expect("cut");
    let to = anew(&server, "copy");
    let run = prepare(&stock, &to).run();
    assert_ends(&run, 1, &["without the line \\."]);
    assert_eq!(server.psql("copy", "select count(*) from large"), "0");
}

/// One of the chunks loses its connection: it has the file read once more, for itself, and the others do not notice.
#[test]
fn a_chunk_whose_connection_is_lost_is_loaded_again() {
    let Some(server) = large() else { return };
    let dir = scratch();
    let archive = dir.path().join("archive");
    assert!(pg_dump(&server, "large", (&["-Fc"], &archive)));
    let to = anew(&server, "copy");
    let held = dir.path().join("held");
    let mut run = prepare(&archive, &to)
        .env("PGCONVOY_FAULT", "hold@chunk-opened[ 2/3]")
        .env("PGCONVOY_FAULT_FILE", &held)
        .start();
    wait_for(&mut run, "it was not held", || held.exists());
    let lost = server.psql(
        "postgres",
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'pgconvoy:copy public.large 2/3'",
    );
    assert_eq!(lost, "1");
    fs::remove_file(&held).expect("it is there");
    let run = run.finish();
    assert_proven(&run);
    let report = report(&run);
    let retries = report["retries"].as_array().map_or(0, Vec::len);
    assert_eq!(retries, 1, "{run}");
    assert_eq!(transactions(&server).len(), CHUNKS, "{run}");
    OnceRead::new().assert_equal("again", &server.conninfo("large"), &to);
}

/// Chunks that have a connection do not wait for one that has none.
#[test]
fn chunks_without_a_connection_come_later() {
    let few = |options: ClusterOptions| {
        options
            .setting("max_connections", "7")
            .setting("superuser_reserved_connections", "0")
            .setting("max_wal_senders", "0")
    };
    let (Some(source), Some(target)) = (large(), Server::start_with(18, few)) else {
        return;
    };
    let dir = scratch();
    let archive = dir.path().join("archive");
    our_dump(&source, "large", (&["-Z", "none"], &archive));
    let to = target.database("copy");
    let archive = archive.to_str().expect("UTF-8");
    let run = Pgconvoy::new([
        "restore",
        "--archive",
        archive,
        "--target",
        &to,
        "--run-dir",
        RUN_DIR,
        "-j8",
        "--chunk-size",
        "1MB",
    ]);
    let run = run.run();
    assert_proven(&run);
    assert!(
        run.stderr.contains("does not allow as many connections"),
        "{run}"
    );
    assert_eq!(transactions(&target).len(), 8, "{run}");
    OnceRead::new().assert_equal("few", &source.conninfo("large"), &to);
}
