//! The whole road: a database into a store, looked at, and out of it into another.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::store::{Store, address};
use crate::support::binary::{Finished, Pgconvoy};
use crate::support::moving::{OnceRead, RUN_DIR, assert_no_ledger, assert_proven, report};
use crate::support::proxy::Proxy;
use crate::support::server::{Server, newest_tools};

/// A table of several parts of an upload; one with a piece of very large values between others, that is more than is held in
/// memory; one of each small kind; and large objects.
const MIXED: &str = "
    create table t (id bigint primary key, v text, b bytea);
    insert into t select i, repeat(md5(i::text), 4), decode(md5(i::text), 'hex') from generate_series(1, 100000) i;
    create table wide (id int primary key, v text, pad text);
    alter table wide alter v set storage external, alter pad set storage plain;
    insert into wide select i, null, repeat('y', 3000) from generate_series(1, 100) i;
    insert into wide select i, repeat('x', 2500000 + i), null from generate_series(101, 114) i;
    insert into wide select i, null, repeat('z', 3000) from generate_series(115, 300) i;
    create table other (id int primary key, note text);
    insert into other select i, E'\\\\.\\n\\\\N' from generate_series(1, 2000) i;
    create table empty (a int);
    create table no_columns ();
    insert into no_columns default values;
    create sequence s start 5;
    select nextval('s'), lo_from_bytea(0, decode(repeat('00ff', 4500000), 'hex')), lo_create(0), lo_from_bytea(0, 'x');
    create index on t (v);
    analyze;
";

pub fn mixed() -> Option<Server> {
    let server = Server::start(18)?;
    server.database("mixed");
    server.psql("mixed", MIXED);
    Some(server)
}

pub fn dump(source: &Server, prefix: &str, more: &[&str]) -> Pgconvoy {
    let (source, archive) = (source.conninfo("mixed"), address(prefix));
    let fixed = [
        "dump",
        "--source",
        &source,
        "--archive",
        &archive,
        "--run-dir",
        RUN_DIR,
    ];
    Pgconvoy::new(fixed.iter().chain(more))
}

fn restore(store: &Store, prefix: &str, target: &str) -> Finished {
    let archive = address(prefix);
    store.run([
        "restore",
        "--archive",
        &archive,
        "--target",
        target,
        "--run-dir",
        RUN_DIR,
        "-j2",
    ])
}

fn verify(store: &Store, prefix: &str) -> Finished {
    store.run(["verify", "--archive", &address(prefix)])
}

/// Nothing of the rows is on a disk here.
pub fn assert_no_copy(run: &Finished) {
    let mut bytes = 0;
    for entry in fs::read_dir(run.path("")).expect("a directory") {
        let path = entry.expect("an entry").path();
        assert!(path.ends_with(RUN_DIR), "{} was left", path.display());
        for entry in fs::read_dir(path).expect("a directory") {
            bytes += entry.expect("an entry").metadata().expect("there").len();
        }
    }
    assert!(bytes < 1 << 20, "{bytes} bytes in the run's directory");
}

/// What a plain download of the prefix is to stock tools.
fn assert_stock_restores(
    store: &Store,
    prefix: &str,
    (source, checked): (&Server, &OnceRead),
    target: &Server,
) {
    let to = target.database("stock");
    let output = Command::new(newest_tools().join("pg_restore"))
        .args(["-j2", "-d", &to])
        .arg(store.objects(prefix))
        .output()
        .expect("pg_restore starts");
    assert!(output.status.success(), "{output:?}");
    checked.assert_equal("pg_restore", &source.conninfo("mixed"), &to);
}

#[test]
fn an_archive_in_a_store_is_dumped_checked_listed_and_restored() {
    let (Some(source), Some(target)) = (mixed(), Server::start(18)) else {
        return;
    };
    let store = Store::start();
    for (prefix, compression) in [("a/zstd", "zstd"), ("plain", "none")] {
        let run = dump(&source, prefix, &["-Z", compression, "-j3"]);
        let run = Store::tell(run, store.port()).run();
        assert_eq!(run.status, 0, "{run}");
        assert_eq!(report(&run)["status"], "proven", "{run}");
        crate::store::assert_no_secret(&run);
        assert_no_copy(&run);
        assert_eq!(store.of_uploads(), Vec::<std::path::PathBuf>::new());
        let objects = store.objects(prefix);
        assert!(objects.join("pgconvoy.manifest.json").exists());
        assert!(!objects.join("pgconvoy.unfinished.json").exists());
        let intact = verify(&store, prefix);
        assert_eq!(intact.status, 0, "{intact}");
    }
    // What is there is what a directory would have.
    let objects = store.objects("a/zstd");
    let local = Pgconvoy::new(["verify".as_ref(), "--archive".as_ref(), objects.as_os_str()]);
    let local = local.run();
    assert_eq!(local.status, 0, "{local}");
    let list = store.run(["list", &address("plain")]);
    assert_eq!(list.status, 0, "{list}");
    assert!(list.stdout.contains("100,000 rows"), "{list}");
    assert!(list.stdout.contains("TABLE DATA public t "), "{list}");
    let to = target.database("restored");
    let run = restore(&store, "a/zstd", &to);
    assert_proven(&run);
    assert_no_ledger(&target, "restored");
    let checked = OnceRead::new();
    checked.assert_equal("restored", &source.conninfo("mixed"), &to);
    let archive = address("plain");
    for (side, server) in [("--source", source.conninfo("mixed")), ("--target", to)] {
        let compared = store.run(["verify", "--archive", &archive, side, &server]);
        assert_eq!(compared.status, 0, "{side}: {compared}");
    }
    assert_stock_restores(&store, "plain", (&source, &checked), &target);
    // A name that is taken.
    let taken = Store::tell(dump(&source, "a/zstd", &[]), store.port()).run();
    assert_eq!(taken.status, 2, "{taken}");
    assert!(taken.stderr.contains("exists already"), "{taken}");
    let small = [
        "-Z",
        "none",
        "--exclude-table-data=wide",
        "--exclude-table-data=t",
    ];
    let small = Store::tell(dump(&source, "small", &small), store.port()).run();
    assert_eq!(small.status, 0, "{small}");
    damage_is_found(&store, &target);
    cut_connections_are_taken_up(&store);
}

fn manifest(objects: &Path) -> Value {
    let text = fs::read_to_string(objects.join("pgconvoy.manifest.json")).expect("a manifest");
    serde_json::from_str(&text).expect("JSON")
}

fn file_of(objects: &Path, table: &str) -> String {
    let manifest = manifest(objects);
    let mut tables = manifest["tables"].as_array().expect("tables").iter();
    let found = tables.find(|one| one["table"]["name"] == table);
    let file = found.expect("it is there")["file"].as_str();
    file.expect("a name").to_owned()
}

fn damage_is_found(store: &Store, target: &Server) {
    let objects = store.objects("small");
    let file = file_of(&objects, "other");
    let path = objects.join(&file);
    let bytes = fs::read(&path).expect("read");
    let found = |what: &str, file: &str, table: &str| {
        let found = verify(store, "small");
        assert_eq!(found.status, 3, "{what}: {found}");
        assert!(found.stderr.contains(file), "{what}: {found}");
        assert!(found.stderr.contains(table), "{what}: {found}");
    };
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    fs::write(&path, &flipped).expect("written");
    found("a bit", &file, "other");
    let to = target.database("damaged");
    let refused = restore(store, "small", &to);
    assert!(![0, 6].contains(&refused.status), "{refused}");
    assert!(refused.stderr.contains(&file), "{refused}");
    fs::write(&path, &bytes[..bytes.len() - 9]).expect("written");
    found("cut short", &file, "other");
    let to = target.database("short");
    let refused = restore(store, "small", &to);
    assert_eq!(refused.status, 4, "{refused}");
    assert!(refused.stderr.contains("public.other"), "{refused}");
    fs::remove_file(&path).expect("removed");
    found("missing", &file, "other");
    fs::write(&path, &bytes).expect("written");
    fs::write(objects.join("9999.dat"), "x").expect("written");
    found("added", "9999.dat", "not in the manifest");
    fs::remove_file(objects.join("9999.dat")).expect("removed");
    // Without a manifest, and with the mark of somebody who writes.
    let kept = store.objects("kept.json");
    fs::rename(objects.join("pgconvoy.manifest.json"), &kept).expect("moved");
    let stock = verify(store, "small");
    assert_eq!(stock.status, 2, "{stock}");
    assert!(stock.stderr.contains("made by pg_dump"), "{stock}");
    fs::write(objects.join("pgconvoy.unfinished.json"), r#"{"run":"/r"}"#).expect("written");
    for refused in [
        verify(store, "small"),
        store.run(["list", &address("small")]),
        restore(store, "small", &to),
    ] {
        assert_eq!(refused.status, 2, "{refused}");
        assert!(refused.stderr.contains("was not finished"), "{refused}");
    }
    fs::remove_file(objects.join("pgconvoy.unfinished.json")).expect("removed");
    fs::rename(&kept, objects.join("pgconvoy.manifest.json")).expect("moved");
    assert_eq!(verify(store, "small").status, 0);
}

/// A connection that is cut in the middle of a file is no end of it.
fn cut_connections_are_taken_up(store: &Store) {
    let proxy = Proxy::start(store.port());
    proxy.slow_down(24 << 20);
    let archive = address("plain");
    let run = Pgconvoy::new(["verify", "--archive", &archive]);
    let began = Instant::now();
    let mut run = Store::tell(run, proxy.port()).start();
    for cut in 1..=3 {
        while run.is_running() && began.elapsed() < Duration::from_millis(700 * cut) {
            std::thread::sleep(Duration::from_millis(5));
        }
        proxy.cut();
    }
    let run = run.finish();
    assert_eq!(run.status, 0, "{run}");
}

/// A large object is a file of its own, and most of the time is spent waiting for a store: with one worker, too, several are written
/// and read at the same time, and each costs two requests.
#[test]
fn large_objects_are_written_and_read_several_at_once() {
    const OBJECTS: usize = 60;
    let Some(source) = Server::start(18) else {
        return;
    };
    source.database("mixed");
    let objects =
        "select lo_from_bytea(0, convert_to(repeat('x', i), 'UTF8')) from generate_series(0, $N) i";
    source.psql("mixed", &objects.replace("$N", &(OBJECTS - 1).to_string()));
    let store = Store::start();
    // An empty object that is not compressed cannot be read: it is looked at.
    for compression in ["none", "gzip"] {
        let run = dump(&source, compression, &["-Z", compression, "-j1"]);
        let run = Store::tell(run, store.port()).run();
        assert_eq!(run.status, 0, "{run}");
        let (requests, at_once) = store.requests_for_objects();
        assert_eq!(requests, 2 * OBJECTS, "{run}");
        assert!(at_once >= 4, "{at_once} at the same time: {run}");
    }
    let intact = verify(&store, "gzip");
    assert_eq!(intact.status, 0, "{intact}");
    store.requests_for_objects();
    let to = source.database("copy");
    let run = restore(&store, "gzip", &to);
    assert_proven(&run);
    let (requests, at_once) = store.requests_for_objects();
    assert_eq!(requests, OBJECTS, "{run}");
    assert!(at_once >= 4, "{at_once} at the same time: {run}");
}

/// The name of an archive may begin with another's: nobody who reads that counts the files of the one below it.
#[test]
fn an_archive_below_another_is_not_of_it() {
    let Some(source) = Server::start(18) else {
        return;
    };
    source.database("mixed");
    let store = Store::start();
    let archives = [
        (
            "shop",
            "1",
            "create table t (id int primary key); insert into t values (1); select lo_from_bytea(4711, 'x')",
        ),
        (
            "shop/x",
            "2",
            "create table u (a int); insert into t values (2); select lo_from_bytea(4712, 'y')",
        ),
    ];
    for (prefix, _, sql) in archives {
        source.psql("mixed", sql);
        let run = dump(&source, prefix, &["-Z", "none"]);
        let run = Store::tell(run, store.port()).run();
        assert_eq!(run.status, 0, "{run}");
    }
    for (database, (prefix, rows, _)) in ["above", "below"].into_iter().zip(archives) {
        let intact = verify(&store, prefix);
        assert_eq!(intact.status, 0, "{intact}");
        let to = source.database(database);
        assert_proven(&restore(&store, prefix, &to));
        assert_eq!(source.psql(database, "select count(*) from t"), rows);
        let objects = "select count(*) from pg_largeobject_metadata";
        assert_eq!(source.psql(database, objects), rows);
    }
    // What is beside the files of one is still found, and is not of the other.
    fs::write(store.objects("shop").join("9999.dat"), "x").expect("written");
    let found = verify(&store, "shop");
    assert_eq!(found.status, 3, "{found}");
    assert!(found.stderr.contains("9999.dat"), "{found}");
    assert!(!found.stderr.contains("x/toc.dat"), "{found}");
    let intact = verify(&store, "shop/x");
    assert_eq!(intact.status, 0, "{intact}");
}
