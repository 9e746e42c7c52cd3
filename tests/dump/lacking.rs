//! What an archive cannot hold, because its role is not shown it or because no dump has it: it is named, and nothing is called proven.

use serde_json::Value;

use crate::support::binary::Finished;
use crate::support::moving::{report, unverified};
use crate::support::server::{Server, newest_tools};
use crate::{ARCHIVE, FEW, assert_dumped, dump, large, manifest, verify, verify_with};

/// What a superuser alone is shown.
const KEPT: &str = "
    create table t (id int primary key); insert into t values (1), (2);
    create subscription news connection 'dbname=nowhere' publication p with (connect = false);
    comment on subscription news is 'of nowhere';
    create foreign data wrapper w; create server far foreign data wrapper w;
    create user mapping for postgres server far options (password 'hush');
";

/// A server with a role that may read every table of it, and is no superuser.
fn with_reader(major: u32) -> Option<Server> {
    let server = Server::start(major)?;
    server.psql(
        "postgres",
        "create role reader login; grant pg_read_all_data to reader",
    );
    Some(server)
}

fn as_reader(server: &Server, database: &str) -> String {
    let conninfo = server.conninfo(database);
    conninfo.replace("user='postgres'", "user=reader")
}

/// What it says, in one line.
fn said(run: &Finished) -> String {
    let words: Vec<&str> = run.stderr.split_whitespace().collect();
    words.join(" ")
}

#[track_caller]
fn assert_says(run: &Finished, status: i32, words: &[&str]) {
    assert_eq!(run.status, status, "{run}");
    let said = said(run);
    for words in words {
        assert!(said.contains(words), "{words}: {run}");
    }
}

#[test]
fn what_a_role_is_not_shown_is_named_and_not_called_proven() {
    let Some(source) = with_reader(16) else {
        return;
    };
    let all = source.database("shop");
    source.psql("shop", KEPT);
    let reader = as_reader(&source, "shop");
    let kept = ["subscription news", "user mapping postgres SERVER far"];

    let run = dump(&reader, &["-Z", "none"]);
    let who = [
        "shows subscriptions to superusers only",
        "a superuser would see them",
    ];
    assert_says(&run, 6, &who);
    assert_eq!(unverified(&run), kept);
    assert_eq!(report(&run)["status"], "waived", "{run}");
    // It stays known, to whoever has nothing but the archive.
    let archive = run.path(ARCHIVE);
    let lacks = manifest(&archive)["lacks"].as_array().map(Vec::len);
    assert_eq!(lacks, Some(2), "{run}");
    assert_says(&verify(&archive), 6, &kept);
    let on = |side: &str, server: &str| verify_with(&archive, &newest_tools(), &[side, server]);
    // No role can be shown by the server what is not in the archive.
    assert_says(&on("--source", &reader), 6, &kept);
    // Who sees it, sees no difference in it; in what else is there, he does.
    let seen = on("--source", &all);
    assert_says(&seen, 6, &kept);
    for word in ["differs:", "extra:"] {
        assert!(!seen.stderr.contains(word), "{word}: {seen}");
    }
    source.psql(
        "shop",
        "create subscription later connection 'dbname=nowhere' publication p with (connect = false, slot_name = none)",
    );
    assert_says(&on("--source", &all), 3, &["extra: subscription later"]);
    source.psql("shop", "drop subscription later");

    // It is all in the archive of a superuser, and another role cannot tell whether a server has it.
    let whole = dump(&all, &["-Z", "none"]);
    assert_dumped(&whole);
    let archive = whole.path(ARCHIVE);
    assert_eq!(verify(&archive).status, 0);
    let on = |server: &str| verify_with(&archive, &newest_tools(), &["--target", server]);
    assert_says(&on(&all), 0, &["Proven"]);
    let unseen = on(&reader);
    assert_says(&unseen, 1, &kept);
    for word in ["differs:", "missing"] {
        assert!(!unseen.stderr.contains(word), "{word}: {unseen}");
    }

    // What is left out is not missed, and what is there no more neither.
    let without = ["-Z", "none", "--no-subscriptions"];
    let run = dump(&reader, &without);
    assert_eq!(run.status, 6, "{run}");
    assert_eq!(unverified(&run), kept[1..]);
    assert_dumped(&dump(&reader, &["-Z", "none", "-t", "t"]));
    source.psql("shop", "drop user mapping for postgres server far");
    let run = dump(&reader, &without);
    assert_dumped(&run);
    let same = verify_with(&run.path(ARCHIVE), &newest_tools(), &["--source", &reader]);
    assert_says(&same, 0, &["Proven"]);
}

/// A session that only gives the archive its name has no source to ask.
#[cfg(feature = "faults")]
#[test]
fn a_dump_that_is_finished_later_still_lacks_what_it_lacked() {
    let Some(source) = with_reader(18) else {
        return;
    };
    source.database("shop");
    source.psql("shop", KEPT);
    let run = crate::prepare(&as_reader(&source, "shop"), &["-Z", "none"]);
    let killed = run.env("PGCONVOY_FAULT", "kill@snapshot-released").run();
    assert_eq!(killed.status, -1, "{killed}");
    let finished = crate::resume(&killed);
    assert_says(
        &finished,
        6,
        &["is finished without the source", "subscription news"],
    );
    assert_eq!(unverified(&killed).len(), 2, "{finished}");
}

#[test]
fn what_no_dump_has_is_named_and_not_called_proven() {
    let Some(source) = Server::start(18) else {
        return;
    };
    let from = source.database("shop");
    source.psql(
        "shop",
        "create extension hstore; create table t (id int primary key);
         set allow_system_table_mods = on;
         create function pg_catalog.mine() returns int language sql as 'select 1';
         comment on type t is 'a row'",
    );
    let run = dump(&from, &["-Z", "none"]);
    assert_says(&run, 6, &["was not looked for: hstore"]);
    let lacks = unverified(&run);
    let remark = "comment public.t: a comment on its row type";
    let [function, comment] = lacks.as_slice() else {
        panic!("{lacks:?}");
    };
    // Nothing of it is kept from a superuser.
    let next = report(&run)["next"].to_string();
    assert!(!next.contains("superuser"), "{next}");
    assert!(next.contains("made again"), "{next}");
    assert!(function.starts_with("system object ") && function.contains("mine"));
    assert_eq!(comment, remark);
    let archive = run.path(ARCHIVE);
    for side in ["--source", "--target"] {
        let compared = verify_with(&archive, &newest_tools(), &[side, &from]);
        let words = [
            "The same, as far as the archive goes",
            "mine",
            remark,
            "No comparison with this archive can settle it",
            "was not looked for: hstore",
        ];
        assert_says(&compared, 6, &words);
        let again = "run the same again";
        assert!(!said(&compared).contains(again), "{compared}");
    }
    source.psql("shop", "insert into t values (1)");
    let differs = verify_with(&archive, &newest_tools(), &["--target", &from]);
    assert_says(
        &differs,
        3,
        &["public.t", "This archive does not hold the following"],
    );
    for option in ["--repair", "--show-values", "--recheck"] {
        assert!(!differs.stderr.contains(option), "{option}: {differs}");
    }

    // Who names a table does not mean the system's schemas.
    let of_one = dump(&from, &["-Z", "none", "-t", "t"]);
    assert_eq!(of_one.status, 6, "{of_one}");
    assert_eq!(unverified(&of_one), [remark]);
    assert_dumped(&dump(&from, &["-Z", "none", "-t", "t", "--no-comments"]));
}

#[test]
fn a_schema_that_is_called_as_ours_is_refused_or_named_by_a_dump() {
    let Some(source) = Server::start(18) else {
        return;
    };
    let from = source.database("shop");
    source.psql(
        "shop",
        "create table t (id int primary key); create schema pgconvoy; create table pgconvoy.mine (id int);
         create schema pgconvoy_follow; create domain pgconvoy_follow.mine as int",
    );
    assert_says(&dump(&from, &["-Z", "none"]), 4, &["[source-has-ledger]"]);
    source.psql("shop", "drop schema pgconvoy cascade");
    let run = dump(&from, &["-Z", "none"]);
    assert_says(&run, 6, &["domain mine"]);
    let schemas = ["schema pgconvoy_follow"];
    assert_eq!(unverified(&run), schemas);
    let archive = run.path(ARCHIVE);
    let compared = verify_with(&archive, &newest_tools(), &["--source", &from]);
    assert_says(&compared, 6, &schemas);
    // Who names a table does not mean them.
    assert_dumped(&dump(&from, &["-Z", "none", "-t", "t"]));
}

/// Whoever may read all tables may not read large objects.
#[test]
fn large_objects_that_may_not_be_read_are_refused_before_anything_is_written() {
    let Some(source) = large(18, FEW) else { return };
    source.psql(
        "large",
        "create role reader login; grant pg_read_all_data to reader",
    );
    let reader = as_reader(&source, "large");
    let refused = dump(&reader, &["-Z", "none"]);
    let words = [
        "[large-objects-unreadable]",
        "may not read 2 large objects",
        "GRANT SELECT ON LARGE OBJECT",
    ];
    assert_says(&refused, 4, &words);
    for name in [ARCHIVE, "archive.unfinished"] {
        assert!(!refused.path(name).exists(), "{name}: {refused}");
    }
    // Who names tables means no large objects.
    let run = dump(&reader, &["-Z", "none", "-t", "t"]);
    assert_dumped(&run);
    source.psql(
        "large",
        "do $$ declare o oid; begin for o in select oid from pg_largeobject_metadata loop
           execute format('grant select on large object %s to reader', o); end loop; end $$",
    );
    let run = dump(&reader, &["-Z", "none"]);
    let report: Value = assert_dumped(&run);
    assert_eq!(report["unverified"], Value::Array(Vec::new()), "{run}");
}
