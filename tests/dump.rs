//! Archives that pgconvoy writes: stock `pg_restore` reads them, they hold the whole database, and damage to them is found.

#[path = "dump/lacking.rs"]
mod lacking;
mod support;
#[path = "dump/waiting.rs"]
mod waiting;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use pgconvoy::archive::{Manifest, check_files};
use pgconvoy::pg::cluster::{ServerInstall, StopMode};
use support::binary::{Finished, Pgconvoy};
use support::disk::{Disk, may_mount};
use support::moving::{RUN_DIR, Untouched, assert_equal, assert_proven, build, move_with, report};
use support::server::{Server, newest_tools, require_server};
use support::template::Holding;

const ARCHIVE: &str = "archive";

fn prepare(source: &str, more: &[&str]) -> Pgconvoy {
    let fixed = [
        "dump",
        "--source",
        source,
        "--archive",
        ARCHIVE,
        "--run-dir",
        RUN_DIR,
    ];
    Pgconvoy::new(fixed.iter().chain(more))
}

/// Whether everything is asked for (`make test-archives`), and not only what a change has to pass every time.
fn whole() -> bool {
    let is_set = |name| std::env::var(name).is_ok_and(|value| value == "whole");
    is_set("PGCONVOY_FAULTS") || is_set("PGCONVOY_ARCHIVES")
}

fn dump(source: &str, more: &[&str]) -> Finished {
    prepare(source, more).run()
}

#[track_caller]
fn assert_dumped(run: &Finished) -> Value {
    assert_eq!(run.status, 0, "{run}");
    let report = report(run);
    assert_eq!(report["status"], "proven", "{run}");
    assert!(!run.path("archive.unfinished").exists(), "{run}");
    report
}

fn manifest(archive: &Path) -> Value {
    let text = fs::read_to_string(archive.join("pgconvoy.manifest.json")).expect("a manifest");
    serde_json::from_str(&text).expect("JSON")
}

fn verify(archive: &Path) -> Finished {
    let archive = archive.to_str().expect("UTF-8");
    Pgconvoy::new(["verify", "--archive", archive]).run()
}

fn pg_restore(tools: &Path, archive: &Path, arguments: &[&str]) -> String {
    let output = Command::new(tools.join("pg_restore"))
        .args(arguments)
        .arg(archive)
        .output()
        .expect("pg_restore starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // What a pg_restore from 17 on says to every older server.
    let errors = said.lines().filter(|line| line.contains("error:"));
    let errors: Vec<&str> = errors
        .filter(|line| !line.contains("\"transaction_timeout\""))
        .collect();
    assert!(errors.is_empty(), "{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Two lists are the same; the first line that is not is told.
#[track_caller]
fn assert_same_lines(what: &str, ours: &[String], theirs: &[String]) {
    let differs = ours.iter().zip(theirs).find(|(one, other)| one != other);
    assert!(differs.is_none(), "{what}: {differs:?}");
    assert_eq!(ours.len(), theirs.len(), "{what}");
}

/// The list without what differs from one dump to the next: when it was made.
fn listed(tools: &Path, archive: &Path) -> Vec<String> {
    let list = pg_restore(tools, archive, &["-l"]);
    let is_entry = |line: &&str| !line.starts_with(';');
    list.lines().filter(is_entry).map(str::to_owned).collect()
}

/// Restores with stock `pg_restore`, and asks the independent check.
fn assert_restores(source: &Server, database: &str, (tools, archive): (&Path, &Path), jobs: &str) {
    let major: u32 = source
        .psql(database, "show server_version_num")
        .trim()
        .parse()
        .expect("a number");
    let target = Server::start_with(major / 10_000, |options| {
        options.setting("wal_level", "logical")
    });
    let target = target.expect("it was there for the source");
    build(&target, "postgres", "zoo-roles.sql", "");
    let encoding = source.psql(database, "show server_encoding");
    target.psql(
        "postgres",
        &format!(
            "create database \"{database}\" template template0 encoding '{}' lc_collate 'C' lc_ctype 'C'",
            encoding.trim()
        ),
    );
    let to = target.conninfo(database);
    pg_restore(tools, archive, &["-d", &to, jobs]);
    let from = source.conninfo(database);
    assert_equal(jobs, &from, &to, &[]);
    // Of each kind of object there is one in it: where both are compared, this is enough.
    if database == "zoo" {
        let compared = Pgconvoy::new(["verify", "--source", &from, "--target", &to]);
        let compared = compared.run();
        assert_eq!(compared.status, 0, "{compared}");
    }
    if archive.join("pgconvoy.manifest.json").exists() {
        for side in ["--source", "--target"] {
            let server = if side == "--source" { &from } else { &to };
            let compared = verify_with(archive, tools, &[side, server]);
            assert_eq!(compared.status, 0, "{side}: {compared}");
        }
    }
}

fn verify_with(archive: &Path, tools: &Path, more: &[&str]) -> Finished {
    let archive = archive.to_str().expect("UTF-8");
    let fixed = ["verify", "--archive", archive];
    let run = Pgconvoy::new(fixed.iter().chain(more));
    run.env("PGCONVOY_PG_BIN", tools).run()
}

fn zoo(major: u32) -> Option<Server> {
    Server::start_holding(major, Some(&Holding::zoo("")), |options| {
        options.setting("wal_level", "logical")
    })
}

#[test]
fn the_zoo_is_dumped_and_restored_by_stock_tools() {
    // With each of them by both when everything is asked for.
    for (major, mut compressions) in [(15, &["none"][..]), (18, &["gzip:1"][..])] {
        let Some(source) = zoo(major) else { continue };
        if whole() {
            compressions = &["none", "gzip:1"];
        }
        for &compression in compressions {
            // With the tools of its own version, where they are to be had.
            let tools = require_server(major).filter(ServerInstall::has_client_tools);
            let tools = tools.map_or_else(newest_tools, |install| install.bin_dir.clone());
            let run = prepare(&source.conninfo("zoo"), &["-Z", compression, "-j4"]);
            let run = run.env("PGCONVOY_PG_BIN", &tools).run();
            let report = assert_dumped(&run);
            let archive = run.path(ARCHIVE);
            let tables = manifest(&archive)["tables"]
                .as_array()
                .expect("a list")
                .len();
            assert!(tables > 100, "{tables} tables");
            assert_eq!(report["tables"].as_array().map(Vec::len), Some(tables));
            // One connection: side by side, pg_restore deadlocks now and then while it attaches indexes of partitions.
            assert_restores(&source, "zoo", (&tools, &archive), "-j1");
            let intact = verify(&archive);
            assert_eq!(intact.status, 0, "{intact}");
        }
    }
}

#[test]
fn the_list_is_that_of_pg_dump() {
    for major in [10, 15, 18] {
        let Some(source) = zoo(major) else { continue };
        let run = dump(&source.conninfo("zoo"), &["-Z", "none"]);
        assert_dumped(&run);
        let tools = newest_tools();
        let theirs = run.path("theirs");
        let output = Command::new(tools.join("pg_dump"))
            .args(["-Fd", "-Z0", "-f"])
            .arg(&theirs)
            .args(["-d", &source.conninfo("zoo")])
            .output()
            .expect("pg_dump starts");
        assert!(output.status.success(), "{output:?}");
        let ours = run.path(ARCHIVE);
        assert_same_lines(
            "pg_restore -l",
            &listed(&tools, &ours),
            &listed(&tools, &theirs),
        );
        // The same files, and in each of them the same rows, but for their order.
        let names = |directory: &Path| {
            let entries = fs::read_dir(directory).expect("a directory");
            let names = entries.map(|entry| entry.expect("an entry").file_name());
            let mut names: Vec<_> = names.collect();
            names.retain(|name| name != "pgconvoy.manifest.json");
            names.sort();
            names
        };
        assert_eq!(names(&ours), names(&theirs));
        for name in names(&ours) {
            if name == "toc.dat" {
                continue;
            }
            let lines = |directory: &Path| {
                let text = fs::read(directory.join(&name)).expect("a file");
                let mut lines: Vec<Vec<u8>> = text
                    .split(|&byte| byte == b'\n')
                    .map(<[u8]>::to_vec)
                    .collect();
                lines.sort();
                lines
            };
            let (ours, theirs) = (lines(&ours), lines(&theirs));
            assert_eq!(ours.len(), theirs.len(), "{}", name.display());
            // pg_dump loses the declarations of XML.
            let is_theirs = |line: &Vec<u8>| theirs.binary_search(line).is_ok();
            let declares = |line: &Vec<u8>| line.windows(5).any(|part| part == b"<?xml");
            let mut others = ours.iter().filter(|line| !is_theirs(line));
            assert!(others.all(declares), "{}", name.display());
        }
        // And pgconvoy's own list can be given to pg_restore -L; also that of an archive by pg_dump.
        let custom = run.path("theirs.dump");
        let output = Command::new(tools.join("pg_dump"))
            .args(["-Fc", "-f"])
            .arg(&custom)
            .args(["-d", &source.conninfo("zoo")])
            .output()
            .expect("pg_dump starts");
        assert!(output.status.success(), "{output:?}");
        for archive in [&ours, &theirs, &custom] {
            let list = Pgconvoy::new(["list".as_ref(), archive.as_os_str()]).run();
            assert_eq!(list.status, 0, "{list}");
            let entries = list.stdout.lines().filter(|line| !line.starts_with(';'));
            let entries: Vec<String> = entries.map(str::to_owned).collect();
            assert_same_lines("list", &entries, &listed(&tools, archive));
        }
    }
}

/// Rows of a table that is read in four parts at least.
const MANY: u32 = 350_000;
/// Rows of a table that takes long enough to be packed for something to be done meanwhile.
const SEVERAL: u32 = 150_000;
/// Rows where it is not the number that matters.
const FEW: u32 = 10_000;

/// A table of so many rows, with large values, and a sequence and large objects beside it.
fn large(major: u32, rows: u32) -> Option<Server> {
    let server = Server::start(major)?;
    server.database("large");
    let large_values = if rows == FEW { 2 } else { 8 };
    let fill = format!(
        "create table t (id bigint primary key, v text, b bytea);
         insert into t select i, repeat(md5(i::text), 4), decode(md5(i::text), 'hex')
           from generate_series(1, {rows}) i;
         alter table t alter v set storage external;
         insert into t select -i, repeat('x', 3000000 + i), null from generate_series(1, {large_values}) i;"
    );
    server.psql("large", &fill);
    server.psql(
        "large",
        "create table empty (a int);
         create table no_columns ();
         insert into no_columns default values;
         create sequence s start 5;
         select nextval('s'), lo_from_bytea(0, decode(repeat('00ff', 1500000), 'hex')), lo_create(0);
         analyze;",
    );
    Some(server)
}

#[test]
fn a_large_table_is_written_by_many_readers_into_one_file() {
    for (major, rows, compressions) in [
        (13, MANY, &["gzip:1"][..]),
        (18, MANY, &["zstd"][..]),
        (18, FEW, &["none", "lz4"][..]),
    ] {
        let Some(source) = large(major, rows) else {
            continue;
        };
        for &compression in compressions {
            let run = dump(&source.conninfo("large"), &["-Z", compression, "-j3", "-v"]);
            let report = assert_dumped(&run);
            let parts = report["jobs"].as_array().expect("jobs");
            let parts = parts.iter().filter(|job| {
                job["label"]
                    .as_str()
                    .is_some_and(|label| label.contains("public.t "))
            });
            assert!(rows < MANY || parts.count() >= 4, "{run}");
            let archive = run.path(ARCHIVE);
            let intact = verify(&archive);
            assert_eq!(intact.status, 0, "{intact}");
            let manifest = manifest(&archive);
            let table = &manifest["tables"].as_array().expect("tables")[0];
            for table in manifest["tables"].as_array().expect("tables") {
                if table["table"]["name"] == "t" {
                    let large_values = if rows == MANY { 8 } else { 2 };
                    assert_eq!(table["content"]["rows"], rows + large_values);
                }
            }
            assert!(table["on_disk"]["bytes"].as_u64() > Some(0));
            if matches!(compression, "none" | "gzip:1") {
                assert_restores(&source, "large", (&newest_tools(), &archive), "-j2");
            } else {
                assert_decompresses(&run, &source, compression);
            }
        }
    }
}

/// What the programs of these compressions make of our files is an archive without compression.
fn assert_decompresses(run: &Finished, source: &Server, compression: &str) {
    let plain = run.path("plain");
    fs::create_dir(&plain).expect("made");
    for entry in fs::read_dir(run.path(ARCHIVE)).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        // Its manifest is about other files, and another table of contents.
        if name == "pgconvoy.manifest.json" {
            continue;
        }
        let bare = name.trim_end_matches(".zst").trim_end_matches(".lz4");
        if bare == name {
            fs::copy(&path, plain.join(&name)).expect("copied");
            continue;
        }
        let output = Command::new(compression)
            .args(["-d", "-q", "-c"])
            .arg(&path)
            .output()
            .expect("the program is installed");
        assert!(output.status.success(), "{compression} {name}: {output:?}");
        fs::write(plain.join(bare), output.stdout).expect("written");
    }
    // The byte behind versions, sizes and format says how it is compressed.
    let toc = plain.join("toc.dat");
    let mut bytes = fs::read(&toc).expect("read");
    assert!(matches!(bytes[11], 2 | 3), "{:?}", &bytes[..12]);
    bytes[11] = 0;
    fs::write(&toc, bytes).expect("written");
    assert_restores(source, "large", (&newest_tools(), &plain), "-j2");
}

#[test]
fn other_encodings_keep_their_bytes() {
    for (database, encoding) in [("latin1", "LATIN1"), ("sql_ascii", "SQL_ASCII")] {
        let Some(source) = Server::start(18) else {
            continue;
        };
        source.psql(
            "postgres",
            &format!("create database {database} template template0 encoding '{encoding}' lc_collate 'C' lc_ctype 'C'"),
        );
        build(&source, database, &format!("{database}.sql"), "");
        let run = dump(&source.conninfo(database), &["-Z", "none"]);
        assert_dumped(&run);
        assert_eq!(manifest(&run.path(ARCHIVE))["source"]["encoding"], encoding);
        assert_restores(
            &source,
            database,
            (&newest_tools(), &run.path(ARCHIVE)),
            "-j2",
        );
    }
}

#[test]
fn what_is_left_out_is_said() {
    let Some(source) = large(18, FEW) else { return };
    let run = dump(
        &source.conninfo("large"),
        &["-Z", "none", "-T", "t", "--no-comments"],
    );
    let report = assert_dumped(&run);
    let sentence = report["sentence"].as_str().expect("a sentence");
    assert!(sentence.contains("--exclude-table=t"), "{sentence}");
    assert_eq!(
        manifest(&run.path(ARCHIVE))["tables"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    let unproven = dump(&source.conninfo("large"), &["--verify", "none"]);
    assert_eq!(unproven.status, 6, "{unproven}");
    let counted = dump(
        &source.conninfo("large"),
        &["-Z", "none", "--verify", "counts"],
    );
    assert_eq!(counted.status, 6, "{counted}");
    assert_eq!(verify(&counted.path(ARCHIVE)).status, 0);
}

/// What `pg_dump` leaves out only it says.
#[test]
fn what_pg_dump_warns_of_is_told() {
    let Some(source) = Server::start(16) else {
        return;
    };
    source.database("shop");
    source.psql(
        "shop",
        "create table t (i int); create type mood as enum ('good'); update pg_type set typtype = 'x' where typname = 'mood'",
    );
    let run = dump(&source.conninfo("shop"), &["-Z", "none"]);
    let report = assert_dumped(&run);
    let told = report.to_string();
    assert!(told.contains("pg-dump-warned"), "{told}");
    assert!(told.contains("typtype of data type"), "{told}");
    assert!(!told.contains("terminated"), "{told}");
}

#[test]
fn a_name_that_is_taken_and_a_compression_that_is_not_are_refused() {
    let Some(source) = Server::start(18) else {
        return;
    };
    let to = source.conninfo("postgres");
    let run = prepare(&to, &[]);
    fs::create_dir(run.dir().join(ARCHIVE)).expect("made");
    fs::write(run.dir().join(ARCHIVE).join("precious"), "x").expect("written");
    let refused = run.run();
    assert_eq!(refused.status, 2, "{refused}");
    assert!(refused.stderr.contains("exists already"), "{refused}");
    assert!(refused.path(ARCHIVE).join("precious").exists());
    let refused = dump(&to, &["-Z", "zstd:long"]);
    assert_eq!(refused.status, 2, "{refused}");
    assert!(
        refused.stderr.contains("the level is the only detail"),
        "{refused}"
    );
    let refused = dump("host=/nonexistent", &[]);
    assert_eq!(refused.status, 2, "{refused}");
    assert!(!refused.path("archive.unfinished").exists(), "{refused}");
}

fn named(source: &str, archive: &str) -> Pgconvoy {
    let fixed = ["dump", "--source", source, "--archive", archive];
    Pgconvoy::new(fixed.iter().chain(&["--run-dir", RUN_DIR, "-Z", "none"]))
}

#[track_caller]
fn assert_cannot_be_named(run: Pgconvoy, words: &str) -> Finished {
    let before = entries(run.dir());
    let refused = run.run();
    assert_eq!(refused.status, 2, "{refused}");
    for words in [words, "neither a link nor a mount point"] {
        assert!(refused.stderr.contains(words), "{words}: {refused}");
    }
    let hint = refused.stderr.split("Nothing was written.").nth(1);
    let hint = hint.and_then(|hint| hint.lines().next());
    assert!(hint.is_some_and(|hint| !hint.contains("  ")), "{refused}");
    assert_eq!(entries(&refused.path("")), before, "{refused}");
    refused
}

fn entries(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).expect("a directory");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = names
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name != RUN_DIR)
        .collect();
    names.sort();
    names
}

/// Nobody is asked for anything before that: there is no such server.
#[test]
fn a_name_that_an_archive_could_not_get_is_refused_at_once() {
    let nobody = "host=/nonexistent";
    let link = named(nobody, "link");
    fs::create_dir(link.dir().join("there")).expect("made");
    std::os::unix::fs::symlink("there", link.dir().join("link")).expect("made");
    assert_cannot_be_named(link, "it is a symbolic link");
    assert_cannot_be_named(named(nobody, "missing/shop"), "making");
    let on_disk = named(nobody, "disk");
    fs::create_dir(on_disk.dir().join("disk")).expect("made");
    if !may_mount() {
        return;
    }
    let over = on_disk.dir().join("disk");
    let disk = Disk::over(&over, "1m");
    let refused = assert_cannot_be_named(on_disk, "giving its name to");
    // Its directory goes when nothing is mounted in it any more.
    drop(disk);
    drop(refused);
}

#[test]
fn an_empty_directory_becomes_the_archive_also_with_a_slash_behind_its_name() {
    let Some(source) = Server::start(18) else {
        return;
    };
    let run = named(&source.conninfo("postgres"), "archive/");
    fs::create_dir(run.dir().join(ARCHIVE)).expect("made");
    let run = run.run();
    assert_dumped(&run);
    assert_eq!(entries(&run.path("")), [ARCHIVE]);
    assert_eq!(verify(&run.path(ARCHIVE)).status, 0);
}

/// Killed behind the last read: everything is written, and the snapshot is given back.
#[cfg(feature = "faults")]
fn dump_without_its_name(source: &Server, compression: &str) -> Finished {
    let run = prepare(&source.conninfo("large"), &["-Z", compression, "-j2"]);
    let killed = run.env("PGCONVOY_FAULT", "kill@snapshot-released").run();
    assert_eq!(killed.status, -1, "{killed}");
    assert!(!killed.path(ARCHIVE).exists(), "{killed}");
    killed
}

/// Nothing is read again of a source that may be gone; and until it is finished, nobody takes it for an archive.
#[cfg(feature = "faults")]
#[test]
fn a_dump_that_lacks_its_name_alone_is_finished_without_the_source() {
    let Some(mut source) = large(18, FEW) else {
        return;
    };
    let [whole, changed] = [(); 2].map(|()| dump_without_its_name(&source, "gzip:1"));
    let unfinished = changed.path("archive.unfinished");
    let archive = unfinished.to_str().expect("UTF-8");
    let to = source.conninfo("postgres");
    for arguments in [
        &["verify", "--archive", archive][..],
        &["list", archive],
        &["restore", "--archive", archive, "--target", &to],
    ] {
        let refused = Pgconvoy::new(arguments).run();
        assert_eq!(refused.status, 2, "{refused}");
        assert!(refused.stderr.contains("was not finished"), "{refused}");
    }
    // What is not as it was any more is not finished.
    let toc = unfinished.join("toc.dat");
    let mut bytes = fs::read(&toc).expect("read");
    bytes.push(0);
    fs::write(&toc, bytes).expect("written");
    let anew = resume(&changed);
    assert_eq!(anew.status, 0, "{anew}");
    for words in [
        "some of it has changed since: toc.dat: it has",
        "the dump begins again",
    ] {
        assert!(anew.stderr.contains(words), "{words}: {anew}");
    }
    source.cluster.stop(StopMode::Fast).expect("stopped");
    let journal = whole.path("archive.unfinished.journal");
    let toc = whole.path("archive.unfinished").join("toc.dat");
    let written = fs::metadata(&toc)
        .expect("there")
        .modified()
        .expect("a time");
    let finished = resume(&whole);
    assert_eq!(finished.status, 0, "{finished}");
    assert!(
        finished.stderr.contains("is finished without the source"),
        "{finished}"
    );
    assert_eq!(report(&whole)["status"], "proven", "{finished}");
    assert!(!journal.exists(), "{finished}");
    let toc = whole.path(ARCHIVE).join("toc.dat");
    let now = fs::metadata(&toc)
        .expect("there")
        .modified()
        .expect("a time");
    assert_eq!(now, written, "it is the same file");
    assert_eq!(verify(&whole.path(ARCHIVE)).status, 0);
}

/// The file of a large object with nothing in it: whatever has no length is as long as that.
#[cfg(feature = "faults")]
fn empty_object(run: &Finished) -> PathBuf {
    let unfinished = run.path("archive.unfinished");
    let objects = entries(&unfinished).into_iter();
    let mut objects = objects
        .filter(|name| name.starts_with("blob_"))
        .map(|name| unfinished.join(name));
    let empty = objects.find(|path| fs::metadata(path).is_ok_and(|there| there.len() == 0));
    empty.expect("an object with nothing in it")
}

/// A session that looks at what was written, and waits for a file.
#[cfg(feature = "faults")]
fn stopped_while_it_looks(run: &Finished) -> Finished {
    let events = run.path(RUN_DIR).join("events.jsonl");
    let mut looking = Pgconvoy::new(["resume".as_ref(), run.path(RUN_DIR).as_os_str()]).start();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !fs::read_to_string(&events).is_ok_and(|text| text.contains("looking at what was")) {
        assert!(
            looking.is_running() && Instant::now() < deadline,
            "it does not look"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = nix::unistd::Pid::from_raw(i32::try_from(looking.pid()).expect("a process"));
    nix::sys::signal::kill(pid, nix::sys::signal::SIGINT).expect("it is there");
    looking.finish()
}

/// The source is gone: whatever else is done with what was written, nobody can write it again.
#[cfg(feature = "faults")]
#[test]
fn a_file_that_cannot_be_read_costs_nothing_of_what_was_written() {
    let Some(mut source) = large(18, FEW) else {
        return;
    };
    let killed = dump_without_its_name(&source, "none");
    source.cluster.stop(StopMode::Fast).expect("stopped");
    let unfinished = killed.path("archive.unfinished");
    let before = entries(&unfinished);
    let object = empty_object(&killed);
    fs::remove_file(&object).expect("removed");
    // Whoever opens it waits until somebody writes to it.
    let made = Command::new("mkfifo").arg(&object).status();
    assert!(made.expect("mkfifo starts").success());
    let stopped = stopped_while_it_looks(&killed);
    assert_eq!(stopped.status, 5, "{stopped}");
    fs::remove_file(&object).expect("removed");
    // There is nothing at its beginning that could be read.
    std::os::unix::fs::symlink("/proc/self/mem", &object).expect("made");
    let unread = resume(&killed);
    assert_eq!(unread.status, 1, "{unread}");
    let name = object.file_name().expect("a name").to_string_lossy();
    for words in [&*name, "Nothing was touched", "when it can be read"] {
        assert!(unread.stderr.contains(words), "{words}: {unread}");
    }
    assert_eq!(entries(&unfinished), before, "{unread}");
    fs::remove_file(&object).expect("removed");
    fs::write(&object, "").expect("written");
    let finished = resume(&killed);
    assert_eq!(finished.status, 0, "{finished}");
    assert!(
        finished.stderr.contains("is finished without the source"),
        "{finished}"
    );
    assert_eq!(verify(&killed.path(ARCHIVE)).status, 0);
}

/// Whoever watches over a server ends sessions that are idle in a transaction: when everything is written, that is no loss.
#[cfg(feature = "faults")]
#[test]
fn a_dump_of_which_everything_is_written_does_not_fail_by_its_source() {
    let Some(source) = large(18, FEW) else {
        return;
    };
    let held = tempfile::tempdir().expect("a directory");
    let file = held.path().join("held");
    let to = source.conninfo("large");
    let mut run = prepare(&to, &["-Z", "none", "-j2", "--no-keeper"])
        .env("PGCONVOY_FAULT", "hold@whole-noted")
        .env("PGCONVOY_FAULT_FILE", &file)
        .start();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !file.exists() {
        assert!(
            run.is_running() && Instant::now() < deadline,
            "it came to no end"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    let ended = source.psql(
        "large",
        "select count(pg_terminate_backend(pid)) > 0 from pg_stat_activity where application_name like 'pgconvoy:%'",
    );
    assert_eq!(ended, "t");
    fs::remove_file(&file).expect("removed");
    let run = run.finish();
    assert_dumped(&run);
    let words = "it is not known whether the source still holds the snapshot";
    assert!(run.stderr.contains(words), "{run}");
    assert_eq!(verify(&run.path(ARCHIVE)).status, 0);
}

/// One bit, or all that follows, at many places of the archive: a thousand, when everything is asked for. By the library: the binary was asked above.
fn found_wherever(archive: &Path, files: &[String]) {
    let manifest = Manifest::read(archive).expect("a manifest");
    let contents: Vec<(PathBuf, Vec<u8>)> = files
        .iter()
        .map(|file| archive.join(file))
        .map(|path| (path.clone(), fs::read(path).expect("read")))
        .collect();
    let total: usize = contents.iter().map(|(_, bytes)| bytes.len()).sum();
    let places = if whole() { 1000 } else { 200 };
    for place in 0..places {
        let mut at = total * place / places;
        let (path, bytes) = contents
            .iter()
            .find(|(_, bytes)| {
                let is_here = at < bytes.len();
                at -= if is_here { 0 } else { bytes.len() };
                is_here
            })
            .expect("within");
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (place % 8);
        for damaged in [&flipped[..], &bytes[..at]] {
            fs::write(path, damaged).expect("written");
            let problems = check_files(archive, &manifest).expect("looked at");
            let named: Vec<PathBuf> = problems.iter().map(|one| archive.join(&one.file)).collect();
            assert_eq!(
                named.as_slice(),
                std::slice::from_ref(path),
                "place {place}: {problems:?}"
            );
        }
        fs::write(path, bytes).expect("written");
    }
}

/// Damage to any file is found, and the file and its table are named.
#[test]
fn damage_to_a_file_is_found() {
    let Some(source) = large(18, FEW) else { return };
    for compression in ["none", "gzip:1", "zstd"] {
        let run = dump(
            &source.conninfo("large"),
            &["-Z", compression, "--exclude-table-data", "t"],
        );
        assert_dumped(&run);
        let archive = run.path(ARCHIVE);
        let found = |what: &str, file: &str| {
            let found = verify(&archive);
            assert_eq!(found.status, 3, "{what}: {found}");
            assert!(found.stderr.contains(file), "{what}: {found}");
        };
        let manifest = manifest(&archive);
        let names = |list: &str| -> Vec<String> {
            let list = manifest[list].as_array().expect("a list").iter();
            list.map(|one| one["file"].as_str().expect("a name").to_owned())
                .collect()
        };
        let mut files = [names("tables"), names("large_objects")].concat();
        files.push("toc.dat".to_owned());
        for file in &files {
            let path = archive.join(file);
            let bytes = fs::read(&path).expect("read");
            if !bytes.is_empty() {
                for at in [0, bytes.len() / 2, bytes.len() - 1] {
                    let mut flipped = bytes.clone();
                    flipped[at] ^= 1;
                    fs::write(&path, flipped).expect("written");
                    found("a bit", file);
                    fs::write(&path, &bytes[..at]).expect("written");
                    found("cut short", file);
                }
            }
            fs::write(&path, [&bytes[..], b"x"].concat()).expect("written");
            found("longer", file);
            fs::remove_file(&path).expect("removed");
            found("missing", file);
            fs::write(&path, bytes).expect("written");
        }
        if compression == "zstd" {
            found_wherever(&archive, &files);
        }
        fs::write(archive.join("9999.dat"), "x").expect("written");
        found("added", "9999.dat");
        fs::remove_file(archive.join("9999.dat")).expect("removed");
        assert_eq!(verify(&archive).status, 0);
        fs::remove_file(archive.join("pgconvoy.manifest.json")).expect("removed");
        let not_whole = verify(&archive);
        assert_eq!(not_whole.status, 2, "{not_whole}");
        assert!(not_whole.stderr.contains("is not whole"), "{not_whole}");
    }
}

/// By stock `pg_dump`: a directory with a table of contents, and nothing else.
fn pg_dump_of_definitions(source: &str, to: &Path) {
    let output = Command::new(newest_tools().join("pg_dump"))
        .args(["-Fd", "-s", "-f"])
        .arg(to)
        .args(["-d", source])
        .output()
        .expect("pg_dump starts");
    assert!(output.status.success(), "{output:?}");
}

/// What a server holds is compared with the manifest, and what differs is named.
#[test]
fn a_server_that_differs_from_the_archive_is_found() {
    let Some(source) = large(18, FEW) else { return };
    let run = dump(&source.conninfo("large"), &["-Z", "gzip:1"]);
    assert_dumped(&run);
    let archive = run.path(ARCHIVE);
    let to = source.conninfo("large");
    // The data files are not needed for that.
    let toc = run.path("toc-and-manifest");
    fs::create_dir(&toc).expect("made");
    for name in ["toc.dat", "pgconvoy.manifest.json"] {
        fs::copy(archive.join(name), toc.join(name)).expect("copied");
    }
    let same = verify_with(&toc, &newest_tools(), &["--target", &to]);
    assert_eq!(same.status, 0, "{same}");
    // Of the same database, and of another moment: nobody knows what is in it.
    let another = run.path("another");
    pg_dump_of_definitions(&to, &another);
    fs::copy(another.join("toc.dat"), toc.join("toc.dat")).expect("copied");
    let list = Pgconvoy::new(["list".as_ref(), toc.as_os_str()]).run();
    for refused in [verify_with(&toc, &newest_tools(), &["--target", &to]), list] {
        assert_eq!(refused.status, 4, "{refused}");
        assert!(refused.stderr.contains("toc.dat: its content"), "{refused}");
    }
    let of_one = |what: &str| {
        format!(
            "do $$ declare one oid := min(oid) from pg_largeobject_metadata; \
             begin execute format('{what}', one); end $$"
        )
    };
    source.psql("large", "create role another");
    let alone = ["--target", &to, "--no-acl", "--no-comments", "--no-owner"];
    for (damage, object) in [
        ("comment on large object %s is ''one''", "comment: none"),
        (
            "grant select on large object %s to another",
            "grants: SELECT to postgres",
        ),
        ("alter large object %s owner to another", "owner: postgres"),
    ] {
        source.psql("large", &of_one(damage));
        let found = verify_with(&archive, &newest_tools(), &["--target", &to]);
        assert_eq!(found.status, 3, "{damage}: {found}");
        assert!(found.stderr.contains(object), "{damage}: {found}");
        let left_out = verify_with(&archive, &newest_tools(), &alone);
        assert_eq!(left_out.status, 0, "{damage}: {left_out}");
    }
    for (damage, object) in [
        ("update t set v = v || 'x' where id = 4711", "public.t"),
        ("delete from no_columns", "public.no_columns"),
        ("insert into empty values (1)", "public.empty"),
        ("select nextval('s')", "public.s"),
        (
            "select lo_put(loid, 0, 'x') from pg_largeobject limit 1",
            "large object",
        ),
        ("select lo_create(0)", "large object"),
        (
            "select lo_unlink(max(oid)) from pg_largeobject_metadata where oid in (select oid from pg_largeobject_metadata order by oid limit 2)",
            "the server has none",
        ),
        ("create index later on t (md5(v))", "later"),
        ("drop table empty", "public.empty"),
    ] {
        source.psql("large", damage);
        let found = verify_with(&archive, &newest_tools(), &["--target", &to]);
        assert_eq!(found.status, 3, "{damage}: {found}");
        assert!(found.stderr.contains(object), "{damage}: {found}");
        // What is missing keeps nobody from looking at what is there.
        let unread = "not verified: large object";
        assert!(!found.stderr.contains(unread), "{damage}: {found}");
    }
    let refused = verify_with(
        &archive,
        &newest_tools(),
        &["--target", &to, "--recheck", "1"],
    );
    assert_eq!(refused.status, 2, "{refused}");
    assert!(refused.stderr.contains("--recheck"), "{refused}");
}

/// What two versions print, or word, in different ways is not called the same, nor different.
#[test]
fn what_cannot_be_compared_is_said() {
    let (Some(source), Some(target)) = (Server::start(11), Server::start(18)) else {
        return;
    };
    source.database("old");
    source.psql(
        "old",
        "create table f (a float8); insert into f values (0.1); create table g (a int)",
    );
    let run = dump(&source.conninfo("old"), &["-Z", "none"]);
    assert_dumped(&run);
    let to = target.database("old");
    let archive = run.path(ARCHIVE);
    pg_restore(&newest_tools(), &archive, &["-d", &to]);
    let compared = verify_with(&archive, &newest_tools(), &["--target", &to]);
    assert_eq!(compared.status, 1, "{compared}");
    assert!(compared.stderr.contains("print differently"), "{compared}");
    assert!(
        compared
            .stderr
            .contains("not verified: table data public.f"),
        "{compared}"
    );
    let Some(other) = require_server(15).filter(ServerInstall::has_client_tools) else {
        return;
    };
    let Some(source) = Server::start(15) else {
        return;
    };
    source.database("new");
    source.psql("new", "create table g (a int)");
    let run = dump(&source.conninfo("new"), &["-Z", "none"]);
    let by = assert_dumped(&run);
    let described = verify_with(
        &run.path(ARCHIVE),
        &other.bin_dir,
        &["--source", &source.conninfo("new")],
    );
    let list = Pgconvoy::new(["list".as_ref(), run.path(ARCHIVE).as_os_str()]).run();
    if list.stdout.contains("by pg_dump 15") {
        assert_eq!(described.status, 0, "{by} {described}");
    } else {
        assert_eq!(described.status, 1, "{by} {described}");
        assert!(
            described.stderr.contains("words definitions differently"),
            "{described}"
        );
    }
}

fn resume(run: &Finished) -> Finished {
    Pgconvoy::new(["resume".as_ref(), run.path(RUN_DIR).as_os_str()]).run()
}

/// A dump that is held in the middle, and killed there.
fn killed_in_the_middle(source: &Server, compression: &str) -> Finished {
    let mut run = prepare(&source.conninfo("large"), &["-Z", compression, "-j2"]).start();
    let journal = run.dir().join("archive.unfinished.journal");
    // The header, and a line.
    while run.is_running()
        && fs::read_to_string(&journal).map_or(0, |text| text.lines().count()) < 2
    {
        std::thread::sleep(Duration::from_millis(1));
    }
    run.kill();
    let killed = run.finish();
    assert_eq!(killed.status, -1, "{killed}");
    killed
}

/// Without its snapshot a dump begins anew; with it, it stays as it is. What is under its name is nobody else's.
#[test]
fn a_dump_belongs_to_one_run_and_one_snapshot() {
    let Some(source) = large(18, SEVERAL) else {
        return;
    };
    let killed = killed_in_the_middle(&source, "gzip:9");
    // Another run's directory that leads to the same archive.
    let text = fs::read_to_string(killed.path(RUN_DIR).join("run.json")).expect("read");
    let mut request: Value = serde_json::from_str(&text).expect("JSON");
    request["run"] = "/another/run".into();
    fs::write(killed.path(RUN_DIR).join("run.json"), request.to_string()).expect("written");
    let refused = resume(&killed);
    assert_eq!(refused.status, 2, "{refused}");
    assert!(
        refused.stderr.contains("belongs to another dump"),
        "{refused}"
    );
    fs::write(killed.path(RUN_DIR).join("run.json"), text).expect("written");
    source.psql(
        "large",
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pgconvoy:keeper'",
    );
    source.psql("large", "insert into empty values (1)");
    let anew = resume(&killed);
    assert_eq!(anew.status, 0, "{anew}");
    assert!(anew.stderr.contains("the dump begins again"), "{anew}");
    let archive = killed.path(ARCHIVE);
    let to = source.conninfo("large");
    let compared = verify_with(&archive, &newest_tools(), &["--source", &to]);
    assert_eq!(compared.status, 0, "of the later moment: {compared}");
    let over = resume(&killed);
    assert_eq!(over.status, 0, "{over}");
    assert!(over.stderr.contains("nothing to resume"), "{over}");
    assert!(!killed.path("archive.unfinished.journal").exists());
    // What is under its name by now may be another dump's.
    let text = fs::read_to_string(killed.path(RUN_DIR).join("run.json")).expect("read");
    for (field, value) in [("compression", "zstd"), ("source_identity", "another")] {
        let mut request: Value = serde_json::from_str(&text).expect("JSON");
        match &mut request[field] {
            Value::Object(identity) => identity.insert("database".to_owned(), value.into()),
            plain => Some(std::mem::replace(plain, value.into())),
        };
        fs::write(killed.path(RUN_DIR).join("run.json"), request.to_string()).expect("written");
        let refused = resume(&killed);
        assert_eq!(refused.status, 2, "{field}: {refused}");
        assert!(
            refused.stderr.contains("belongs to another dump"),
            "{refused}"
        );
    }
}

/// What was begun with client programs that are gone is refused, and stays for them.
#[test]
fn a_dump_is_not_gone_on_with_by_a_pg_dump_that_cannot_describe_it() {
    let older = require_server(15).filter(ServerInstall::has_client_tools);
    let (Some(older), Some(source)) = (older, large(15, SEVERAL)) else {
        return;
    };
    let killed = killed_in_the_middle(&source, "zstd:15");
    let journal = killed.path("archive.unfinished.journal");
    let noted = fs::read_to_string(&journal).expect("it is there");
    let refused = Pgconvoy::new(["resume".as_ref(), killed.path(RUN_DIR).as_os_str()]);
    let refused = refused.env("PGCONVOY_PG_BIN", &older.bin_dir).run();
    assert_eq!(refused.status, 2, "{refused}");
    for words in [
        "archives of pg_dump 15",
        "know no zstd:15",
        "Resume it with the client programs that it was begun with",
    ] {
        assert!(refused.stderr.contains(words), "{words}: {refused}");
    }
    assert_eq!(fs::read_to_string(&journal).expect("it is there"), noted);
    let resumed = resume(&killed);
    assert_eq!(resumed.status, 0, "{resumed}");
    assert!(resumed.stderr.contains("are intact and stay"), "{resumed}");
    assert_eq!(verify(&killed.path(ARCHIVE)).status, 0);
}

/// Another version of `pg_dump` numbers entries otherwise: what is finished under a number that is another table's by now is not taken
/// for that, and does not stay behind.
#[test]
fn a_dump_that_another_pg_dump_describes_by_now_is_whole() {
    let older = require_server(15).filter(ServerInstall::has_client_tools);
    let (Some(older), Some(source)) = (older, large(15, SEVERAL)) else {
        return;
    };
    let killed = killed_in_the_middle(&source, "gzip:9");
    let resumed = Pgconvoy::new(["resume".as_ref(), killed.path(RUN_DIR).as_os_str()]);
    let resumed = resumed.env("PGCONVOY_PG_BIN", &older.bin_dir).run();
    assert_eq!(resumed.status, 0, "{resumed}");
    let archive = killed.path(ARCHIVE);
    assert_eq!(verify(&archive).status, 0);
    assert_restores(&source, "large", (&older.bin_dir, &archive), "-j2");
}

#[test]
fn what_cannot_be_dumped_as_a_whole_is_refused() {
    let Some(source) = large(18, FEW) else { return };
    source.psql(
        "large",
        "create role reader login; grant select on t to reader",
    );
    let reader = source
        .conninfo("large")
        .replace("user='postgres'", "user=reader");
    let refused = dump(&reader, &["-Z", "none"]);
    assert_eq!(refused.status, 4, "{refused}");
    assert!(refused.stderr.contains("no_columns"), "{refused}");
    assert!(!refused.path("archive.unfinished").exists(), "{refused}");
    for option in ["--no-owner", "--no-tablespaces"] {
        let refused = dump(&source.conninfo("large"), &[option]);
        assert_eq!(refused.status, 2, "{refused}");
        assert!(
            refused.stderr.contains("has no effect on an archive"),
            "{refused}"
        );
    }
}

/// A standby does not have the rows of what is not logged, and `pg_dump` leaves them out there without a word: nothing is read before that is
/// told, whatever is to be proven, and whatever else is left out.
#[test]
fn a_standby_is_not_dumped_without_what_it_does_not_have() {
    let (Some(mut source), Some(target)) = (Server::start(16), Server::start(17)) else {
        return;
    };
    let from = source.database("shop");
    source.psql(
        "shop",
        "create table item (id int primary key); insert into item select generate_series(1, 100);
         create table other (id int); insert into other values (1);
         create unlogged table cache (id bigint generated always as identity primary key, what text);
         insert into cache (what) values ('x')",
    );
    source.cluster.stop(StopMode::Fast).expect("stopped");
    let signal = source.cluster.write_data_file("standby.signal", b"");
    signal.expect("written");
    source.cluster.resume().expect("started");
    let to = target.database("shop");
    let before = Untouched::of(&target, "shop");
    for more in [
        &["-Z", "none"][..],
        &["--verify", "none"],
        &["--exclude-table-data", "other"],
    ] {
        let refused = dump(&from, more);
        assert_eq!(refused.status, 4, "{refused}");
        for words in [
            "no rows of public.cache and public.cache_id_seq",
            "--exclude-table-data=public.cache --exclude-table-data=public.cache_id_seq",
        ] {
            assert!(refused.stderr.contains(words), "{words}: {refused}");
        }
        assert!(!refused.path(ARCHIVE).exists(), "{refused}");
        assert!(!refused.path("archive.unfinished").exists(), "{refused}");
    }
    let refused = move_with(&from, &to, &[]);
    assert_eq!(refused.status, 4, "{refused}");
    assert!(refused.stderr.contains("[source-unlogged]"), "{refused}");
    assert_eq!(Untouched::of(&target, "shop"), before, "{refused}");

    // What is not selected is not missed.
    assert_dumped(&dump(&from, &["-T", "cache", "-T", "cache_id_seq"]));
    let left_out = [
        "--exclude-table-data=public.cache",
        "--exclude-table-data=public.cache_id_seq",
    ];
    assert_dumped(&dump(&from, &left_out));
    assert_proven(&move_with(&from, &to, &left_out));
    assert_eq!(target.psql("shop", "select count(*) from item"), "100");
}

/// A list that lacks a table is no whole database, whoever made the mistake.
#[test]
fn a_table_that_pg_dump_forgets_is_found() {
    let Some(source) = large(18, FEW) else { return };
    let run = prepare(&source.conninfo("large"), &["-Z", "none"]);
    let forgetful = run.dir().join("bin");
    fs::create_dir(&forgetful).expect("made");
    let real = newest_tools().join("pg_dump");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *--version*) exec '{0}' --version;; esac\nexec '{0}' --exclude-table-data=empty \"$@\"\n",
        real.display()
    );
    fs::write(forgetful.join("pg_dump"), script).expect("written");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(forgetful.join("pg_dump"), executable).expect("made executable");
    let run = run
        .env("PGCONVOY_PG_BIN", &forgetful)
        .env("PATH", "/usr/bin:/bin")
        .run();
    assert_eq!(run.status, 1, "{run}");
    assert!(run.stderr.contains("public.empty"), "{run}");
    assert!(!run.path(ARCHIVE).exists(), "{run}");
    assert!(!run.path("archive.unfinished").exists(), "{run}");
}

/// SIGINT lets what runs come to an end; what is finished stays for the resumption.
#[test]
fn an_interrupted_dump_is_resumed() {
    let Some(source) = large(18, SEVERAL) else {
        return;
    };
    let mut run = prepare(&source.conninfo("large"), &["-Z", "gzip:9", "-j2"]).start();
    let journal = run.dir().join("archive.unfinished");
    while run.is_running() && !journal.exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(200));
    let pid = nix::unistd::Pid::from_raw(i32::try_from(run.pid()).expect("a process"));
    nix::sys::signal::kill(pid, nix::sys::signal::SIGINT).expect("it is there");
    let stopped = run.finish();
    assert_eq!(stopped.status, 5, "{stopped}");
    assert!(stopped.stderr.contains("pgconvoy resume"), "{stopped}");
    assert!(!stopped.path(ARCHIVE).exists(), "{stopped}");
    // What a session leaves that is killed: a piece that waited for its turn.
    let piece = stopped.path("archive.unfinished").join("9.dat.gz.part-3");
    fs::write(piece, "x").expect("written");
    let again = resume(&stopped);
    assert_eq!(again.status, 0, "{again}");
    assert!(again.stderr.contains("are intact and stay"), "{again}");
    assert_eq!(verify(&stopped.path(ARCHIVE)).status, 0);
    let refused = Pgconvoy::new([
        "resume".as_ref(),
        stopped.path(RUN_DIR).as_os_str(),
        "--retry-failed".as_ref(),
    ]);
    assert_eq!(refused.run().status, 2);
}

/// Killed at some instant, a dump never looks whole, and is gone on with to the same end.
#[test]
fn a_killed_dump_is_resumed() {
    let Some(source) = large(18, SEVERAL) else {
        return;
    };
    let start = || {
        let mut run = prepare(&source.conninfo("large"), &["-Z", "gzip:9", "-j2"]).start();
        let request = run.dir().join(RUN_DIR).join("run.json");
        while run.is_running() && !request.exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
        (run, Instant::now())
    };
    let (run, began) = start();
    let undisturbed = run.finish();
    let mut took = began.elapsed();
    assert_dumped(&undisturbed);
    let contents = |archive: &Path| {
        let manifest = Manifest::read(archive).expect("a manifest");
        let tables = manifest.tables.into_iter();
        let tables: Vec<_> = tables.map(|one| (one.table, one.content)).collect();
        let objects = manifest.large_objects.into_iter();
        let objects: Vec<_> = objects.map(|one| (one.oid, one.content)).collect();
        (tables, objects, manifest.sequences)
    };
    let undisturbed = contents(&undisturbed.path(ARCHIVE));
    let kills = if whole() { 50 } else { 4 };
    let mut resumed = 0;
    for kill in 0..kills {
        let (mut run, began) = start();
        while run.is_running() && began.elapsed() < took * kill / kills {
            std::thread::sleep(Duration::from_millis(1));
        }
        let was_running = run.is_running();
        if was_running {
            run.kill();
        } else {
            // The machine is less busy than it was.
            took = took.min(began.elapsed());
        }
        let killed = run.finish();
        if was_running {
            let whole = killed.path(ARCHIVE).join("pgconvoy.manifest.json").exists();
            assert!(!killed.path(ARCHIVE).exists() || whole, "{killed}");
        }
        if killed.path(ARCHIVE).exists() {
            continue;
        }
        let again = Pgconvoy::new(["resume".as_ref(), killed.path(RUN_DIR).as_os_str()]).run();
        assert_eq!(again.status, 0, "killed at {kill}/{kills}: {again}");
        resumed += 1;
        let intact = verify(&killed.path(ARCHIVE));
        assert_eq!(intact.status, 0, "{intact}");
        assert_eq!(contents(&killed.path(ARCHIVE)), undisturbed, "{again}");
    }
    println!("{kills} instants, {resumed} dumps resumed, 0 differences");
    assert!(resumed > kills / 3, "{resumed} of {kills} were resumed");
}
