//! Restores that do not bring everything, and what they say in the end: ledgers that are left, files that cannot be read, rows that were
//! left out, and archives that lack something.

use std::fs;
use std::path::{Path, PathBuf};

use pgconvoy::archive::Stored;

use crate::scene::{
    anew, archives, assert_ends, copy_of, our_dump, pg_dump, prepare, restore, scene, scratch,
};
use crate::support::binary::{Finished, Pgconvoy};
use crate::support::moving::{
    RUN_DIR, assert_equal, assert_no_ledger, assert_proven, report, unverified,
};
use crate::support::server::Server;

fn resume(run: &Finished, more: &[&str]) -> Finished {
    let directory = run.path(RUN_DIR);
    let directory = directory.to_str().expect("UTF-8");
    Pgconvoy::new(["resume", directory].iter().chain(more)).run()
}

/// A text of the report.
fn said(run: &Finished, what: &str) -> String {
    let text = report(run)[what].as_str().map(str::to_owned);
    text.unwrap_or_default()
}

/// How many tables have this verdict.
fn tables(run: &Finished, verdict: &str) -> usize {
    let report = report(run);
    let tables = report["tables"].as_array().expect("a list").iter();
    tables.filter(|table| table["verdict"] == verdict).count()
}

/// A part that was not finished is somebody's: another one is told so before anything is touched, and both ways out lead on.
#[test]
fn a_ledger_in_the_way_of_a_part_is_told_with_both_ways_out() {
    let Some(server) = scene(18) else { return };
    let dir = scratch();
    let [archive, _] = archives(&server, dir.path());
    let begin = || {
        let to = anew(&server, "left");
        // Its schema is not there.
        let first = restore(&archive, &to, &["-t", "child"]);
        assert_eq!(first.status, 1, "{first}");
        (to, first)
    };
    let (to, first) = begin();
    let run = first.path(RUN_DIR).canonicalize().expect("it is there");
    let run = run.display().to_string();
    let others: [&[&str]; 4] = [
        &["-t", "self"],
        &["--data-only"],
        &["--data-only", "--overwrite", "left"],
        &["--clean", "left", "--if-exists"],
    ];
    for other in others {
        let refused = restore(&archive, &to, other);
        let words = [
            "[target-has-ledger]",
            &run,
            "pgconvoy resume",
            "DROP TABLE IF EXISTS pgconvoy.run, pgconvoy.done, pgconvoy.trouble;",
            "DROP SCHEMA pgconvoy;",
        ];
        assert_ends(&refused, 4, &words);
    }
    server.psql("left", "create schema app");
    let resumed = resume(&first, &["--retry-failed"]);
    assert_ends(&resumed, 0, &[]);
    assert_no_ledger(&server, "left");
    assert_proven(&restore(&archive, &to, &["-t", "self"]));

    let (to, _) = begin();
    let refused = restore(&archive, &to, &["-t", "self"]).stderr;
    let drops = refused.lines().map(str::trim_start);
    let drops: Vec<&str> = drops.filter(|line| line.starts_with("DROP ")).collect();
    assert_eq!(drops.len(), 2, "{refused}");
    // What somebody else keeps beside it does not go with it.
    server.psql("left", "create table pgconvoy.mine (i int)");
    let kept = server.try_psql("left", &drops.join("\n"));
    assert!(kept.expect_err("it is not empty").contains("mine"));
    server.psql("left", "drop table pgconvoy.mine");
    server.psql("left", &format!("{}; create schema app", drops.join("\n")));
    assert_proven(&restore(&archive, &to, &["-t", "self"]));
}

/// A table that is loaded by itself.
const BIG: &str = "create table app.big (id int primary key, body text);
    insert into app.big select i, md5(i::text) || md5((i * 7)::text) from generate_series(1, 60000) i";

/// The file that its rows are in.
fn file_of(archive: &Path, table: &str) -> PathBuf {
    let stored = Stored::open(archive).expect("whole");
    let mut entries = stored.toc.entries.iter();
    let entry = entries.find(|entry| entry.is_table_data() && entry.tag.to_string_lossy() == table);
    let file = entry.and_then(|entry| entry.data_file()).expect("a file");
    archive.join(format!("{file}.gz"))
}

fn cut_in_half(file: &Path) {
    let bytes = fs::read(file).expect("read");
    fs::write(file, &bytes[..bytes.len() / 2]).expect("written");
}

#[test]
fn a_file_that_cannot_be_read_takes_the_proof_of_nothing_else() {
    let Some(server) = scene(18) else { return };
    server.psql("scene", BIG);
    let dir = scratch();
    let (whole, broken) = (dir.path().join("whole"), dir.path().join("broken"));
    assert!(pg_dump(&server, "scene", (&["-Fd", "-Z1"], &whole)));
    copy_of(&whole, &broken);
    cut_in_half(&file_of(&broken, "big"));
    let to = anew(&server, "copy");
    let run = restore(&broken, &to, &[]);
    assert_ends(&run, 1, &["app.big"]);
    assert_eq!(unverified(&run), ["table data app.big"], "{run}");
    let because = report(&run)["unverified"][0]["because"].to_string();
    assert!(because.contains("its file cannot be read"), "{because}");
    assert_eq!(tables(&run, "identical"), 6, "{run}");
    let sentence = said(&run, "sentence");
    assert!(sentence.contains("Proven nevertheless: 6 tables"), "{run}");
    // Without a manifest nobody knows what the database held.
    let held = "hold exactly what the archive does.";
    assert!(sentence.contains(held), "{run}");
    let next = said(&run, "next");
    for words in ["Put another copy of the archive", "--retry-failed"] {
        assert!(next.contains(words), "{words}: {run}");
    }
    copy_of(&whole, &broken);
    assert_ends(&resume(&run, &["--retry-failed"]), 0, &[]);
    assert_equal("another copy", &server.conninfo("scene"), &to, &[]);

    // What was loaded by then is on the target, and no file says any more that it must be.
    let to = anew(&server, "copy");
    let killed = prepare(&broken, &to, &[]);
    let killed = killed.env("PGCONVOY_FAULT", "kill@jobs-done").run();
    assert_eq!(killed.status, -1, "{killed}");
    cut_in_half(&file_of(&broken, "big"));
    cut_in_half(&broken.join("blob_70001.dat.gz"));
    let unproven = resume(&killed, &[]);
    assert_ends(&unproven, 1, &[]);
    assert_eq!(
        unverified(&killed),
        ["table data app.big", "large object 70001"],
        "{unproven}"
    );
    assert_eq!(tables(&killed, "identical"), 6, "{unproven}");
    let next = said(&killed, "next");
    assert!(next.contains("Put another copy of the archive"), "{next}");
    copy_of(&whole, &broken);
    assert_ends(&resume(&killed, &["--retry-failed"]), 0, &[]);
    assert_no_ledger(&server, "copy");
}

/// What the last sentence says of rows, and of the database itself, is what was done.
#[test]
fn what_was_left_out_and_what_was_not_is_said_as_it_is() {
    const ITSELF: &str = "privileges and comment of the database itself";
    let Some(server) = scene(18) else { return };
    let dir = scratch();
    let [ours, stock] = archives(&server, dir.path());
    for archive in [&ours, &stock] {
        let to = anew(&server, "copy");
        let definitions = restore(archive, &to, &["--schema-only"]);
        assert_proven(&definitions);
        let sentence = said(&definitions, "sentence");
        for words in ["no rows were to be loaded", "left out on request", ITSELF] {
            assert!(sentence.contains(words), "{words}: {sentence}");
        }
        let wrong = "which the archive does not have";
        assert!(!sentence.contains(wrong), "{sentence}");
    }
    let without = dir.path().join("without");
    our_dump(
        &server,
        "scene",
        (&["--exclude-table-data", "app.self"], &without),
    );
    let to = anew(&server, "copy");
    let part = restore(&without, &to, &[]);
    assert_proven(&part);
    let sentence = said(&part, "sentence");
    let words = "the rows of app.self, which the archive does not have";
    assert!(sentence.contains(words), "{sentence}");

    let from = server.conninfo("scene");
    let to = from.replace("dbname='scene'", "dbname='made'");
    let created = restore(&ours, &to, &["--create"]);
    assert_proven(&created);
    let again = dir.path().join("again");
    let again = again.to_str().expect("UTF-8");
    let fixed = ["dump", "--source", &from, "--archive", again];
    let dumped = Pgconvoy::new(fixed.iter().chain(&["--run-dir", RUN_DIR])).run();
    assert_eq!(dumped.status, 0, "{dumped}");
    for run in [&created, &dumped] {
        let sentence = said(run, "sentence");
        assert!(sentence.contains("roles and tablespaces"), "{sentence}");
        assert!(!sentence.contains(ITSELF), "{sentence}");
    }
}

/// A schema that is called like ours is not ours: nothing that is said of it would drop it.
#[test]
fn a_schema_without_a_ledger_is_to_be_renamed_and_not_dropped() {
    let Some(server) = scene(18) else { return };
    let dir = scratch();
    let [archive, _] = archives(&server, dir.path());
    let to = anew(&server, "taken");
    let rename = "ALTER SCHEMA pgconvoy RENAME TO something_else;";
    let no_rescue = ["[target-schema-taken]", "also what you rename"];
    // One that is empty, as a run's sign is, and does not say that it is one.
    let empty = "create schema pgconvoy; comment on schema pgconvoy is 'my own'";
    server.psql("taken", empty);
    let refused = restore(&archive, &to, &["-t", "self"]);
    assert_ends(&refused, 4, &["[target-schema-taken]", rename]);
    assert_ends(&restore(&archive, &to, &[]), 4, &no_rescue);
    server.psql("taken", "drop schema pgconvoy");
    let run_of_others = "create table pgconvoy.run (distance int)";
    for (schema, table) in [
        (
            "create schema pgconvoy",
            "create table pgconvoy.mine (i int)",
        ),
        ("create schema app", run_of_others),
    ] {
        server.psql("taken", &format!("{schema}; {table}"));
        let refused = restore(&archive, &to, &["-t", "self"]);
        assert_ends(&refused, 4, &["[target-schema-taken]", rename]);
        assert!(!refused.stderr.contains("DROP SCHEMA"), "{refused}");
        let told = refused.stderr.matches("[target-schema-taken]").count();
        assert_eq!(told, 1, "{refused}");
        // Nor is it called a ledger where everything would be emptied.
        let whole = restore(&archive, &to, &[]);
        assert_ends(&whole, 4, &["[target-not-empty]", "pgconvoy.mine"]);
        assert!(!whole.stderr.contains("unfinished run"), "{whole}");
        // Nor is it emptied, nor would its new name save it.
        let emptied = restore(&archive, &to, &["--overwrite", "taken"]);
        for run in [&whole, &emptied] {
            assert_ends(run, 4, &no_rescue);
            assert!(!run.stderr.contains(rename), "{run}");
        }
    }
    server.psql("taken", "ALTER SCHEMA pgconvoy RENAME TO something_else;");
    assert_proven(&restore(&archive, &to, &["-t", "self"]));
    let tables =
        "select count(*) from pg_class where relnamespace = 'something_else'::regnamespace";
    assert_eq!(server.psql("taken", tables), "2");

    // Whoever may not read it is told the same.
    server.psql(
        "taken",
        "create role stranger login; grant create on database taken to stranger;
         grant create on schema app to stranger; create schema pgconvoy; create table pgconvoy.mine (i int)",
    );
    let stranger = to.replace("user='postgres'", "user=stranger");
    let hidden = || restore(&archive, &stranger, &["--no-owner", "-x", "-t", "parent"]);
    assert_ends(&hidden(), 4, &["[target-schema-taken]"]);
    server.psql(
        "taken",
        "create table pgconvoy.run (run text, pgconvoy_version text)",
    );
    let untold = [
        "[target-has-ledger]",
        "which run it belongs to cannot be known",
    ];
    assert_ends(&hidden(), 4, &untold);
}

/// The target is proven to hold what the archive does, which is not all that its database held.
#[test]
fn what_an_archive_lacks_is_said_by_whoever_restores_it() {
    let Some(server) = Server::start(18) else {
        return;
    };
    let from = server.database("shop");
    server.psql(
        "shop",
        "set client_min_messages = error;
         create role reader login; grant pg_read_all_data to reader;
         create table t (id int primary key); insert into t values (1); create table u (id int);
         create subscription news connection 'dbname=none' publication p with (connect = false)",
    );
    let dir = scratch();
    let archive = dir.path().join("lacking");
    let path = archive.to_str().expect("UTF-8");
    let reader = from.replace("user='postgres'", "user=reader");
    let fixed = ["dump", "--source", &reader, "--archive", path, "-Z", "none"];
    let dumped = Pgconvoy::new(fixed).run();
    assert_eq!(dumped.status, 6, "{dumped}");
    let lacks = "not in it, or not in full: subscription news";
    let list = Pgconvoy::new(["list", path]).run();
    assert_ends(&list, 0, &["; incomplete, by its manifest", lacks]);
    let to = server.database("copy");
    let run = restore(&archive, &to, &[]);
    let is_not_all = "Restored, but not the whole database";
    assert_ends(&run, 6, &[is_not_all]);
    let next = said(&run, "next");
    assert!(next.contains("superuser's dump"), "{next}");
    assert_no_ledger(&server, "copy");
    let notes = report(&run)["notes"].to_string();
    assert!(notes.contains(lacks), "{notes}");
    let sentence = said(&run, "sentence");
    let but_for = format!("but for what is {lacks}");
    assert!(sentence.contains(&but_for), "{sentence}");
    let compared = Pgconvoy::new(["verify", "--archive", path, "--target", &to]).run();
    assert_ends(&compared, 6, &["subscription news"]);

    // What would not have come anyway is not missed.
    let without: [&[&str]; 3] = [&["-t", "t"], &["-n", "public"], &["--no-subscriptions"]];
    for options in without {
        let run = restore(&archive, &anew(&server, "copy"), options);
        assert_proven(&run);
        let report = report(&run).to_string();
        assert!(!report.contains(lacks), "{options:?}: {report}");
    }
    // No list says that what the archive has no line for was not wanted, whatever it leaves out: an option does.
    let lines: Vec<&str> = list.stdout.lines().collect();
    let without_u = lines.iter().filter(|line| !line.contains(" public u "));
    let without_u: Vec<&str> = without_u.copied().collect();
    let unwanted = "--no-subscriptions";
    for (lines, option, status) in [
        (&lines, None, 6),
        (&without_u, None, 6),
        (&without_u, Some(unwanted), 0),
    ] {
        let path = dir.path().join("list");
        fs::write(&path, lines.join("\n")).expect("written");
        let path = path.to_str().expect("UTF-8");
        let listed: Vec<&str> = ["-L", path].into_iter().chain(option).collect();
        let run = restore(&archive, &anew(&server, "copy"), &listed);
        assert_ends(&run, status, &[]);
        let is_said = report(&run)["notes"].to_string().contains(lacks);
        assert_eq!(is_said, status == 6, "{run}");
    }
    let to = anew(&server, "copy");
    let definitions = restore(&archive, &to, &["--schema-only"]);
    assert_ends(&definitions, 6, &[is_not_all]);
    assert_proven(&restore(&archive, &to, &["--data-only"]));
}
