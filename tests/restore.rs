//! Archives that are restored: those by pgconvoy and by `pg_dump`, in each of its formats; the target then holds what the source
//! does, damage to an archive is never called proven, and what was interrupted goes on.

mod support;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pgconvoy::pg::cluster::ServerInstall;
use support::binary::{Finished, Pgconvoy};
use support::moving::{OnceRead, RUN_DIR, assert_no_ledger, assert_proven, build, report};
use support::server::{Server, newest_tools, require_server};
use support::template::Holding;

fn prepare(archive: &Path, target: &str, more: &[&str]) -> Pgconvoy {
    let archive = archive.to_str().expect("UTF-8");
    let fixed = [
        "restore",
        "--archive",
        archive,
        "--target",
        target,
        "--run-dir",
        RUN_DIR,
    ];
    Pgconvoy::new(fixed.iter().chain(more))
}

fn restore(archive: &Path, target: &str, more: &[&str]) -> Finished {
    prepare(archive, target, more).run()
}

/// A directory that goes when the test ends.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

/// By stock `pg_dump`.
fn pg_dump(tools: &Path, source: &Server, database: &str, (format, to): (&[&str], &Path)) {
    let output = Command::new(tools.join("pg_dump"))
        .args(format)
        .arg("-f")
        .arg(to)
        .args(["-d", &source.conninfo(database)])
        .output()
        .expect("pg_dump starts");
    assert!(output.status.success(), "{format:?}: {output:?}");
}

/// By stock `pg_dump` into a pipe: nobody can go back in it to say where things are.
fn pg_dump_into_pipe(tools: &Path, source: &Server, database: &str, to: &Path) {
    let mut dumping = Command::new(tools.join("pg_dump"))
        .args(["-Fc", "-d", &source.conninfo(database)])
        .stdout(Stdio::piped())
        .spawn()
        .expect("pg_dump starts");
    let mut from = dumping.stdout.take().expect("a pipe");
    std::io::copy(&mut from, &mut File::create(to).expect("made")).expect("copied");
    assert!(dumping.wait().expect("ended").success());
}

/// By pgconvoy.
fn our_dump(tools: &Path, source: &Server, database: &str, (format, to): (&[&str], &Path)) {
    let to = to.to_str().expect("UTF-8");
    let source = source.conninfo(database);
    let fixed = ["dump", "--source", &source, "--archive", to];
    let run = Pgconvoy::new(fixed.iter().chain(format));
    let run = run.env("PGCONVOY_PG_BIN", tools).run();
    assert_eq!(run.status, 0, "{run}");
}

/// The client tools of a server's own version, where they are to be had.
fn tools_of(major: u32) -> PathBuf {
    let tools = require_server(major).filter(ServerInstall::has_client_tools);
    tools.map_or_else(newest_tools, |install| install.bin_dir.clone())
}

fn zoo(major: u32) -> Option<Server> {
    Server::start_holding(major, Some(&Holding::zoo("")), |options| {
        options.setting("wal_level", "logical")
    })
}

/// A server that has the zoo's roles.
fn with_roles(major: u32) -> Server {
    let target = Server::start_with(major, |options| options.setting("wal_level", "logical"));
    let target = target.expect("it was there for the source");
    build(&target, "postgres", "zoo-roles.sql", "");
    target
}

/// Nobody but a person may give their slots up.
fn drop_subscriptions(target: &Server, database: &str) {
    let named = target.psql(database, "select quote_ident(subname) from pg_subscription");
    for name in named.lines() {
        for what in [
            "alter subscription NAME disable",
            "alter subscription NAME set (slot_name = none)",
            "drop subscription NAME",
        ] {
            target.psql(database, &what.replace("NAME", name));
        }
    }
}

fn make_empty(source: &Server, target: &Server, database: &str) {
    let encoding = source.psql(database, "show server_encoding");
    target.psql(
        "postgres",
        &format!("drop database if exists \"{database}\""),
    );
    target.psql(
        "postgres",
        &format!(
            "create database \"{database}\" template template0 encoding '{}' lc_collate 'C' lc_ctype 'C'",
            encoding.trim()
        ),
    );
}

/// Archives of one database, restored one after the other to one server.
struct Restores<'a> {
    source: &'a Server,
    target: &'a Server,
    database: &'a str,
    tools: &'a Path,
    checked: OnceRead,
}

/// What an archive is restored into.
enum Place {
    /// An empty database.
    Empty,
    /// What the restore before this one has left there.
    Full,
}

impl<'a> Restores<'a> {
    fn new((source, target): (&'a Server, &'a Server), database: &'a str, tools: &'a Path) -> Self {
        Self {
            source,
            target,
            database,
            tools,
            checked: OnceRead::new(),
        }
    }

    /// Restores, and has both compared by the independent check.
    #[track_caller]
    fn assert(&self, what: &str, archive: &Path, into: &Place) -> Finished {
        let (source, target, database) = (self.source, self.target, self.database);
        let exists = format!("select count(*) from pg_database where datname = '{database}'");
        if target.psql("postgres", &exists) == "1" {
            drop_subscriptions(target, database);
        }
        let mut more = vec!["-j2"];
        match into {
            Place::Empty => make_empty(source, target, database),
            Place::Full => more.extend(["--overwrite", database]),
        }
        let to = target.conninfo(database);
        let run = prepare(archive, &to, &more)
            .env("PGCONVOY_PG_BIN", self.tools)
            .run();
        assert_eq!(run.status, 0, "{what}: {run}");
        assert_proven(&run);
        assert_no_ledger(target, database);
        self.checked
            .assert_equal(what, &source.conninfo(database), &to);
        run
    }
}

/// Every format and compression that the tools at hand can write.
fn restores_whatever_wrote_it(major: u32) {
    let Some(source) = zoo(major) else { return };
    let target = with_roles(major);
    let tools = tools_of(major);
    let dir = scratch();
    // Between the two of them, all.
    let stock: [(&str, &[&str]); 2] = if major == 15 {
        [("directory", &["-Fd", "-Z0"]), ("tar", &["-Ft"])]
    } else {
        [
            ("directory.gz", &["-Fd", "-Z1"]),
            ("custom.plain", &["-Fc", "-Z0"]),
        ]
    };
    let restores = Restores::new((&source, &target), "zoo", &tools);
    for ((name, format), into) in stock.into_iter().zip([Place::Empty, Place::Full]) {
        let archive = dir.path().join(name);
        pg_dump(&tools, &source, "zoo", (format, &archive));
        let run = restores.assert(name, &archive, &into);
        let sentence = report(&run)["sentence"].as_str().map(str::to_owned);
        let sentence = sentence.unwrap_or_default();
        assert!(sentence.contains("no manifest"), "{sentence}");
        let is_open = run.stderr.contains("whether such a file ends too early");
        assert_eq!(is_open, name == "directory", "{name}: {run}");
    }
    if major != 15 {
        let piped = dir.path().join("piped");
        pg_dump_into_pipe(&tools, &source, "zoo", &piped);
        restores.assert("custom from a pipe", &piped, &Place::Empty);
    }
    let ours = dir.path().join("ours");
    our_dump(&tools, &source, "zoo", (&["-Z", "gzip:1"], &ours));
    let run = restores.assert("ours", &ours, &Place::Empty);
    let sentence = report(&run)["sentence"].as_str().map(str::to_owned);
    let sentence = sentence.unwrap_or_default();
    assert!(
        sentence.contains("what its database held at snapshot"),
        "{sentence}"
    );
    let (source, to) = (source.conninfo("zoo"), target.conninfo("zoo"));
    let compared = Pgconvoy::new(["verify", "--source", &source, "--target", &to]).run();
    assert_eq!(compared.status, 0, "{compared}");
}

#[test]
fn the_zoo_of_15_is_restored_whatever_wrote_it() {
    restores_whatever_wrote_it(15);
}

#[test]
fn the_zoo_of_18_is_restored_whatever_wrote_it() {
    restores_whatever_wrote_it(18);
}

#[test]
fn other_encodings_keep_their_bytes() {
    let (Some(source), Some(target)) = (Server::start(18), Server::start(18)) else {
        return;
    };
    let dir = scratch();
    for (database, encoding) in [("latin1", "LATIN1"), ("sql_ascii", "SQL_ASCII")] {
        source.psql(
            "postgres",
            &format!("create database {database} template template0 encoding '{encoding}' lc_collate 'C' lc_ctype 'C'"),
        );
        build(&source, database, &format!("{database}.sql"), "");
        let tools = newest_tools();
        let stock = dir.path().join(format!("{database}.custom"));
        pg_dump(&tools, &source, database, (&["-Fc"], &stock));
        let ours = dir.path().join(format!("{database}.ours"));
        our_dump(&tools, &source, database, (&[], &ours));
        let restores = Restores::new((&source, &target), database, &tools);
        restores.assert(encoding, &stock, &Place::Empty);
        restores.assert(encoding, &ours, &Place::Full);
    }
}

/// Tables with large values, of every small kind, sequences, and large objects of more than a part.
const MIXED: &str = "
    create table t (id bigint primary key, v text, b bytea);
    insert into t select i, repeat(md5(i::text), 4), decode(md5(i::text), 'hex') from generate_series(1, 60000) i;
    alter table t alter v set storage external;
    insert into t select -i, repeat('x', 1500000 + i), null from generate_series(1, 4) i;
    create table other (id int primary key references t, note text);
    insert into other select i, E'\\\\.\\n\\\\N' from generate_series(1, 2000) i;
    create unlogged table unlogged (a int);
    insert into unlogged select generate_series(1, 100);
    create table empty (a int);
    create table no_columns ();
    insert into no_columns default values;
    create sequence s start 5;
    select nextval('s'), lo_from_bytea(0, decode(repeat('00ff', 1500000), 'hex')), lo_create(0), lo_from_bytea(0, 'x');
    create table parts (k text, n int) partition by list (k);
    create table parts_a partition of parts for values in ('a');
    create table parts_b partition of parts for values in ('b', 'c');
    insert into parts select chr(97 + i % 3), i from generate_series(1, 300) i;
    create materialized view counted as select k, count(*) from parts group by k;
    analyze;
";

fn mixed(major: u32) -> Option<Server> {
    let server = Server::start(major)?;
    server.database("db");
    server.psql("db", MIXED);
    Some(server)
}

/// The definitions of what was restored are compared in the end: what that takes is looked for before anything is loaded.
#[test]
fn without_pg_dump_nothing_is_begun() {
    let Some(server) = Server::start(18) else {
        return;
    };
    let dir = scratch();
    let archive = dir.path().join("shop.dump");
    server.psql(
        "postgres",
        "create table item as select generate_series(1, 10) id",
    );
    pg_dump(&newest_tools(), &server, "postgres", (&["-Fc"], &archive));
    let target = server.database("restored");
    let nothing = dir.path().join("nothing");
    fs::create_dir(&nothing).expect("made");
    let run = prepare(&archive, &target, &[]);
    let run = run.env("PGCONVOY_PG_BIN", &nothing).run();
    assert_eq!(run.status, 2, "{run}");
    assert!(run.stderr.contains("pg_dump"), "{run}");
    let tables = "select count(*) from pg_class where relname = 'item'";
    assert_eq!(server.psql("restored", tables), "0");
    // Rows alone have no definitions.
    server.psql("restored", "create table item (id int)");
    let run = prepare(&archive, &target, &["--data-only"]);
    let run = run.env("PGCONVOY_PG_BIN", &nothing).run();
    assert_proven(&run);
}

#[test]
fn archives_of_old_servers_and_other_compressions_are_restored() {
    for (from, to, compressions) in [(10, 18, &["none"][..]), (18, 18, &["lz4", "zstd:1"][..])] {
        let (Some(source), Some(target)) = (mixed(from), Server::start(to)) else {
            continue;
        };
        let dir = scratch();
        let tools = newest_tools();
        let restores = Restores::new((&source, &target), "db", &tools);
        for compression in compressions {
            let archive = dir.path().join(compression);
            our_dump(&tools, &source, "db", (&["-Z", compression], &archive));
            restores.assert(compression, &archive, &Place::Empty);
        }
    }
}

/// XML prints less than it holds: an archive of ours has all of it, and what a stock one has arrives as it is there, also if it would
/// be printed as less once more.
#[test]
fn xml_is_restored_as_the_archive_has_it() {
    let (Some(source), Some(target)) = (Server::start(16), Server::start(18)) else {
        return;
    };
    let from = source.database("db");
    source.psql(
        "db",
        r#"create table t (id int primary key, x xml, many xml[]);
           insert into t values (1, E'<?xml version="1.0"?>\n<a/>', array[E'\n\n<a/>', null]::xml[]), (2, E'\n\n\n<a/>', '{}');
           create table whole (x xml);
           insert into whole values (E'\n\n<!DOCTYPE a><a/>'), (null)"#,
    );
    let stored = "select id, x::text, many::text[] from t union all select 0, x::text, null from whole order by 1";
    let (dir, tools) = (scratch(), newest_tools());
    let [stock, ours] = ["stock", "ours"].map(|name| dir.path().join(name));
    pg_dump(&tools, &source, "db", (&["-Fc"], &stock));
    our_dump(&tools, &source, "db", (&[], &ours));
    let restored = |archive: &Path| {
        make_empty(&source, &target, "db");
        let run = restore(archive, &target.conninfo("db"), &["--source", &from]);
        assert_proven(&run);
        target.psql("db", stored)
    };
    let held = source.psql("db", stored);
    assert_ne!(restored(&stock), held, "pg_dump carries all of it");
    assert_eq!(restored(&ours), held);
    for (side, server) in [("--source", &source), ("--target", &target)] {
        let (ours, server) = (ours.to_str().expect("UTF-8"), server.conninfo("db"));
        let compared = Pgconvoy::new(["verify", "--archive", ours, side, &server]).run();
        assert_eq!(compared.status, 0, "{side}: {compared}");
    }
}

/// Kills a restore at a moment, and goes on with it: from its directory, or, without that, from the ledger.
fn goes_on(moments: &[&str], dumped_by_us: bool) {
    let (Some(source), Some(target)) = (mixed(18), Server::start(18)) else {
        return;
    };
    let tools = newest_tools();
    let dir = scratch();
    let archive = dir.path().join("archive");
    if dumped_by_us {
        our_dump(&tools, &source, "db", (&["-Z", "none"], &archive));
    } else {
        pg_dump(&tools, &source, "db", (&["-Fc"], &archive));
    }
    let to = target.conninfo("db");
    let checked = OnceRead::new();
    for moment in moments {
        make_empty(&source, &target, "db");
        let run = prepare(&archive, &to, &["-j2"]);
        let killed = run.env("PGCONVOY_FAULT", format!("kill@{moment}")).run();
        assert_eq!(killed.status, -1, "{moment}: {killed}");
        let run_dir = killed.path(RUN_DIR);
        let run_dir = run_dir.to_str().expect("UTF-8");
        let resumed = if *moment == BY_LEDGER {
            Pgconvoy::new(["resume", "--target", &to, "--run-dir", "elsewhere"]).run()
        } else {
            Pgconvoy::new(["resume", run_dir]).run()
        };
        assert_eq!(resumed.status, 0, "{moment}: {killed}\n{resumed}");
        assert_no_ledger(&target, "db");
        checked.assert_equal(moment, &source.conninfo("db"), &to);
    }
}

/// After this moment the run directory is not used.
const BY_LEDGER: &str = "copy-committed:2";

/// By another `pg_dump` than the one that describes the target: what is worded otherwise is not called the same.
#[test]
fn an_archive_that_an_older_pg_dump_described_is_restored() {
    let (Some(source), Some(target)) = (mixed(15), Server::start(18)) else {
        return;
    };
    let dir = scratch();
    let archive = dir.path().join("archive");
    pg_dump(&tools_of(15), &source, "db", (&["-Fc"], &archive));
    let tools = newest_tools();
    let restores = Restores::new((&source, &target), "db", &tools);
    restores.assert("by 15", &archive, &Place::Empty);
}

#[test]
fn a_restore_of_ours_goes_on_wherever_it_was_killed() {
    let moments = [
        "planned",
        "copy-ended:1",
        BY_LEDGER,
        "large-objects-staged",
        "schemas-compared",
        "ledger-dropped",
    ];
    goes_on(&moments, true);
}

#[test]
fn a_restore_of_a_stock_archive_goes_on_wherever_it_was_killed() {
    let moments = [
        "ledger-made",
        "copy-opened:1",
        "copy-committed:1",
        BY_LEDGER,
        "large-objects-committed",
        "jobs-done",
        "report-kept",
    ];
    goes_on(&moments, false);
}

/// Flips a bit.
fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .expect("it is there");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("within");
    byte[0] ^= 0x10;
    file.write_all_at(&byte, at).expect("written");
}

fn copy_of(archive: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir(to).expect("made");
    for entry in fs::read_dir(archive).expect("a directory") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("copied");
    }
}

/// The file of a table's rows, by the manifest.
fn file_of(archive: &Path, table: &str) -> String {
    let text = fs::read_to_string(archive.join("pgconvoy.manifest.json")).expect("a manifest");
    let manifest: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let tables = manifest["tables"].as_array().expect("a list");
    let found = tables.iter().find(|one| one["table"]["name"] == table);
    let file = found.expect("it is in it")["file"].as_str();
    file.expect("a name").to_owned()
}

#[test]
fn a_damaged_archive_of_ours_is_never_called_proven() {
    let (Some(source), Some(target)) = (mixed(18), Server::start(18)) else {
        return;
    };
    let dir = scratch();
    let (whole, broken) = (dir.path().join("whole"), dir.path().join("broken"));
    our_dump(&newest_tools(), &source, "db", (&["-Z", "none"], &whole));
    let to = target.conninfo("db");
    let (t, other) = (file_of(&whole, "t"), file_of(&whole, "other"));
    let length = fs::metadata(whole.join(&t)).expect("it is there").len();
    let damages: [(&str, &str, &dyn Fn()); 9] = [
        ("missing", "is missing", &|| {
            fs::remove_file(broken.join(&t)).expect("removed");
        }),
        ("cut", "bytes instead of", &|| {
            let file = OpenOptions::new().write(true).open(broken.join(&t));
            file.expect("it is there").set_len(length / 2).expect("cut");
        }),
        ("emptied", "bytes instead of", &|| {
            drop(File::create(broken.join(&t)).expect("emptied"));
        }),
        ("swapped", "bytes instead of", &|| {
            fs::copy(whole.join(&other), broken.join(&t)).expect("copied");
        }),
        ("doubled", "in no table of contents", &|| {
            fs::copy(whole.join(&t), broken.join(format!("9{t}")))
                .map(drop)
                .expect("copied");
        }),
        ("another compression beside it", "as well", &|| {
            fs::copy(whole.join(&t), broken.join(format!("{t}.gz")))
                .map(drop)
                .expect("copied");
        }),
        ("one bit of its rows", "the manifest says", &|| {
            flip(&broken.join(&t), length / 3);
        }),
        ("one bit at its end", "\\.", &|| {
            flip(&broken.join(&t), length - 5);
        }),
        ("one bit of the list", "has changed", &|| {
            flip(&broken.join("toc.dat"), 700);
        }),
    ];
    for (what, words, damage) in damages {
        copy_of(&whole, &broken);
        damage();
        make_empty(&source, &target, "db");
        let run = restore(&broken, &to, &["-j2"]);
        assert!(matches!(run.status, 1 | 4), "{what}: {run}");
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.contains(words), "{what}: {run}");
        let named = if what == "one bit of the list" {
            "toc.dat"
        } else {
            t.as_str()
        };
        assert!(said.contains(named), "{what}: {run}");
        if run.status == 4 {
            let tables = target.psql(
                "db",
                "select count(*) from pg_class where relname in ('t', 'other')",
            );
            assert_eq!(tables, "0", "{what}: nothing was to be touched");
        } else {
            let next = report(&run)["next"].to_string();
            for words in ["another copy of the archive", "dump again", "-L"] {
                assert!(next.contains(words), "{what}: {next}");
            }
            assert!(!next.contains("its cause"), "{what}: {next}");
        }
    }
}

/// A thousand places are left to `verify --archive`; here each costs a restore.
#[test]
fn a_damaged_archive_by_pg_dump_is_not_called_proven_where_that_can_be_seen() {
    let (Some(source), Some(target)) = (mixed(18), Server::start(18)) else {
        return;
    };
    let dir = scratch();
    let to = target.conninfo("db");
    let tools = newest_tools();
    let (custom, tar) = (dir.path().join("custom"), dir.path().join("tar"));
    pg_dump(&tools, &source, "db", (&["-Fc", "-Z1"], &custom));
    pg_dump(&tools, &source, "db", (&["-Ft"], &tar));
    for archive in [&custom, &tar] {
        let length = fs::metadata(archive).expect("it is there").len();
        let broken = dir.path().join("broken");
        for part in (1..8).step_by(2) {
            fs::copy(archive, &broken).expect("copied");
            let file = OpenOptions::new()
                .write(true)
                .open(&broken)
                .expect("it is there");
            file.set_len(length * part / 8).expect("cut");
            make_empty(&source, &target, "db");
            let run = restore(&broken, &to, &["-j2"]);
            assert!(matches!(run.status, 1 | 4), "cut at {part}/8: {run}");
        }
        // What zlib has packed says itself that it is not what it was.
        for part in (1..8).step_by(2) {
            fs::copy(archive, &broken).expect("copied");
            flip(&broken, length * part / 8);
            make_empty(&source, &target, "db");
            let run = restore(&broken, &to, &["-j2"]);
            if run.status == 0 {
                assert!(archive == &tar, "flipped at {part}/8: {run}");
                let said = report(&run)["sentence"].as_str().map(str::to_owned);
                assert!(
                    said.is_some_and(|said| said.contains("no manifest")),
                    "{run}"
                );
            }
        }
    }
}

#[test]
fn what_cannot_be_restored_is_refused_and_nothing_is_touched() {
    let Some(server) = Server::start(18) else {
        return;
    };
    server.psql(
        "postgres",
        "create role app; create table public.t (a int); insert into t values (1)",
    );
    server.psql(
        "postgres",
        "create table public.owned (); alter table owned owner to app",
    );
    let dir = scratch();
    let tools = newest_tools();
    let archive = |name: &str, format: &[&str]| {
        let path = dir.path().join(name);
        pg_dump(&tools, &server, "postgres", (format, &path));
        path
    };
    let empty = server.database("empty");
    let plain = archive("plain", &["-Fp"]);
    let run = restore(&plain, &empty, &[]);
    assert!(matches!(run.status, 1 | 2 | 4), "{run}");
    assert!(run.stderr.contains("psql"), "{run}");
    let inserts = archive("inserts", &["-Fc", "--inserts"]);
    let run = restore(&inserts, &empty, &[]);
    assert_ne!(run.status, 0, "{run}");
    assert!(run.stderr.contains("INSERT"), "{run}");
    let run = restore(&dir.path().join("nothing"), &empty, &[]);
    assert_eq!(run.status, 2, "{run}");
    let custom = archive("custom", &["-Fc"]);
    let full = server.database("full");
    server.psql("full", "create table precious (a int)");
    let run = restore(&custom, &full, &[]);
    assert_eq!(run.status, 4, "{run}");
    assert!(run.stderr.contains("not empty"), "{run}");
    let run = restore(&custom, &full, &["--verify", "counts"]);
    assert_eq!(run.status, 2, "{run}");
    assert_eq!(server.psql("full", "select count(*) from precious"), "0");
    let run = restore(&custom, &full, &["--overwrite", "full", "--no-owner"]);
    assert_proven(&run);
    assert_eq!(server.psql("full", "select count(*) from t"), "1");
    let run = restore(&custom, &empty, &["--verify", "none"]);
    assert_eq!(run.status, 6, "{run}");
    let schema = archive("schema", &["-Fc", "--schema-only"]);
    let run = restore(&schema, &server.database("bare"), &[]);
    assert_proven(&run);
    let sentence = report(&run)["sentence"].as_str().map(str::to_owned);
    let sentence = sentence.unwrap_or_default();
    assert!(sentence.contains("the archive does not have"), "{sentence}");
}

#[test]
fn a_part_of_an_archive_is_added_to_what_is_there() {
    let (Some(source), Some(target)) = (mixed(18), Server::start(18)) else {
        return;
    };
    source.psql(
        "db",
        "create schema app; create table app.one (id int primary key, note text); insert into app.one values (1, 'x');
         create index on app.one (note); comment on table app.one is 'kept';
         create table app.two (id int references app.one); create view app.seen as select * from app.one",
    );
    let tools = newest_tools();
    let dir = scratch();
    let (ours, stock) = (dir.path().join("ours"), dir.path().join("stock"));
    our_dump(&tools, &source, "db", (&["-Z", "none"], &ours));
    pg_dump(&tools, &source, "db", (&["-Fc"], &stock));
    for archive in [&ours, &stock] {
        make_empty(&source, &target, "db");
        let to = target.conninfo("db");
        target.psql(
            "db",
            "create schema app; create table public.mine (a int); insert into mine values (7)",
        );
        // One table, as pg_restore -t has it: with its rows, and nothing else.
        let run = restore(archive, &to, &["-n", "app", "-t", "one"]);
        let report = assert_proven(&run);
        let sentence = report["sentence"].as_str().unwrap_or_default();
        assert!(sentence.contains("--table=one"), "{sentence}");
        assert_eq!(target.psql("db", "select * from app.one"), "1|x");
        assert_eq!(
            target.psql(
                "db",
                "select count(*) from pg_index where indrelid = 'app.one'::regclass"
            ),
            "0"
        );
        let again = restore(archive, &to, &["-n", "app", "-t", "one"]);
        assert_eq!(again.status, 4, "{again}");
        assert!(again.stderr.contains("already has app.one"), "{again}");
        target.psql("db", "drop table app.one");
        let run = restore(archive, &to, &["-n", "app"]);
        assert_proven(&run);
        assert_eq!(
            target.psql(
                "db",
                "select obj_description('app.one'::regclass), count(*) from app.seen"
            ),
            "kept|1"
        );
        assert_eq!(target.psql("db", "select count(*) from pg_constraint where conrelid = 'app.two'::regclass and contype = 'f'"), "1");
        assert_eq!(target.psql("db", "select * from mine"), "7");
        let nothing = restore(archive, &to, &["-t", "nothing"]);
        assert_eq!(nothing.status, 2, "{nothing}");
        let late = restore(archive, &to, &["--section", "post-data"]);
        assert_eq!(late.status, 2, "{late}");
        // An edited list: everything but one table's rows.
        let list = Pgconvoy::new(["list".as_ref(), archive.as_os_str()]).run();
        let kept = list.stdout.lines().map(|line| {
            let is_out = line.contains(" TABLE DATA app one ");
            if is_out {
                format!(";{line}\n")
            } else {
                format!("{line}\n")
            }
        });
        let path = dir.path().join("list");
        fs::write(&path, kept.collect::<String>()).expect("written");
        make_empty(&source, &target, "db");
        let run = restore(archive, &to, &["-L", path.to_str().expect("UTF-8")]);
        assert_proven(&run);
        assert_eq!(target.psql("db", "select count(*) from app.one"), "0");
        assert_eq!(target.psql("db", "select count(*) from t"), "60004");
    }
}

const WITH_BELONGINGS: &str = "
    create role part_reader;
    create schema app;
    create table app.one (id int primary key, secret text);
    insert into app.one values (1, 'x'), (2, 'y');
    create table app.two (id int references app.one);
    create sequence app.numbers;
    grant insert on app.one to part_reader;
    grant select (id) on app.one to part_reader;
    comment on constraint one_pkey on app.one is 'a key';
    comment on column app.one.secret is 'not for everybody';
    create publication published for table app.one;
    select lo_create(4711);
    grant select on large object 4711 to part_reader;
    comment on large object 4711 is 'an object';
";

fn archive_with_belongings(server: &Server, dir: &Path) -> PathBuf {
    server.database("db");
    server.psql("db", WITH_BELONGINGS);
    let archive = dir.join("archive");
    pg_dump(&newest_tools(), server, "db", (&["-Fc"], &archive));
    archive
}

/// What belongs to an object comes with it, and with nothing else; and nothing that is there is added to.
#[test]
fn a_part_has_what_belongs_to_it_and_no_more() {
    let Some(server) = Server::start(18) else {
        return;
    };
    let dir = scratch();
    let archive = archive_with_belongings(&server, dir.path());
    let to = server.database("part");
    server.psql("part", "create schema app");
    let run = restore(&archive, &to, &["-n", "app"]);
    assert_proven(&run);
    assert!(
        run.stderr.contains("publications are in no schema"),
        "{run}"
    );
    let granted = "select has_column_privilege('part_reader', 'app.one', 'id', 'select'),
        has_column_privilege('part_reader', 'app.one', 'secret', 'select')";
    assert_eq!(server.psql("part", granted), "t|f");

    // Before the indexes there is no comment on one, and no large object before the data.
    let to = server.database("early");
    let run = restore(&archive, &to, &["--section", "pre-data"]);
    assert_proven(&run);
    assert_eq!(server.psql("early", granted), "t|f");
    let run = restore(
        &archive,
        &to,
        &[
            "--section",
            "pre-data",
            "--section",
            "data",
            "--overwrite",
            "early",
        ],
    );
    assert_proven(&run);
    let object = "select has_largeobject_privilege('part_reader', 4711, 'select'), obj_description(4711, 'pg_largeobject')";
    assert_eq!(server.psql("early", object), "t|an object");

    // Rows without their table would be added to those that are there.
    let list = Pgconvoy::new(["list".as_ref(), archive.as_os_str()]).run();
    for alone in [" TABLE app one ", " SEQUENCE app numbers "] {
        let kept = list.stdout.lines().filter(|line| !line.contains(alone));
        let path = dir.path().join("list");
        fs::write(&path, kept.collect::<Vec<_>>().join("\n")).expect("written");
        let run = restore(&archive, &to, &["-L", path.to_str().expect("UTF-8")]);
        assert_eq!(run.status, 2, "{run}");
        assert!(run.stderr.contains("without its definition"), "{run}");
    }
    assert_eq!(server.psql("early", "select count(*) from app.one"), "2");
}

/// What others have is none of our business, but on what was restored nothing is more than the archive has.
#[test]
fn too_much_on_what_was_restored_is_a_difference() {
    let Some(server) = Server::start(18) else {
        return;
    };
    let dir = scratch();
    let archive = archive_with_belongings(&server, dir.path());
    let to = server.database("part");
    server.psql(
        "part",
        "create schema app; create table app.mine (id int primary key); grant select on app.mine to public;
         alter default privileges in schema app grant select on tables to public",
    );
    let run = restore(&archive, &to, &["-n", "app"]);
    assert_eq!(run.status, 3, "{run}");
    let differences = report(&run)["differences"].to_string();
    assert!(differences.contains("TABLE two"), "{differences}");
    assert!(!differences.contains("mine"), "{differences}");

    let to = server.database("again");
    assert_proven(&restore(&archive, &to, &[]));
    server.psql(
        "again",
        "create table mine (id int primary key); grant select on mine to public",
    );
    assert_proven(&restore(&archive, &to, &["-c", "again"]));
    assert_eq!(server.psql("again", "select count(*) from mine"), "0");
}
