//! What an archive says of itself: the encoding that it is in, what was left out of it, and whether its names are all quoted; and what it
//! says, and cannot say, of what is in force on a server.

use std::fs;
use std::path::Path;

use pgconvoy::archive::{FileFacts, Manifest};
use pgconvoy::model::SqlText;
use pgconvoy::toc::Toc;
use xxhash_rust::xxh3::xxh3_128;

use crate::scene::{anew, assert_ends, copy_of, our_dump, pg_dump, restore, scene, scratch};
use crate::support::binary::{Finished, Pgconvoy};
use crate::support::moving::{RUN_DIR, assert_equal, assert_no_ledger, assert_proven, report};
use crate::support::server::Server;

/// A database, its encoding, and another that its sessions may be set to.
const ENCODINGS: [(&str, &str, &str); 2] =
    [("utf8", "UTF8", "LATIN1"), ("latin1", "LATIN1", "UTF8")];

/// A database of an encoding, and how it is reached.
fn encoded(server: &Server, database: &str, encoding: &str) -> String {
    server.psql(
        "postgres",
        &format!("create database {database} template template0 encoding '{encoding}' lc_collate 'C' lc_ctype 'C'"),
    );
    server.conninfo(database)
}

/// A table with a letter that no two encodings have alike.
const COFFEE: &str =
    "create table t (id int primary key, v text); insert into t values (1, 'caf' || chr(233))";

#[track_caller]
fn assert_coffee(server: &Server, database: &str) {
    let is_it = server.psql(database, "select v = 'caf' || chr(233) from t");
    assert_eq!(is_it, "t", "{database}");
}

fn contents(archive: &Path) -> Toc {
    Toc::parse(&fs::read(archive.join("toc.dat")).expect("read")).expect("whole")
}

/// Writes the manifest anew, with a hash that is right.
fn reseal(archive: &Path, change: impl FnOnce(&mut Manifest)) {
    let mut manifest = Manifest::read(archive).expect("a manifest");
    change(&mut manifest);
    let bytes = manifest.to_bytes().expect("JSON");
    fs::write(archive.join("pgconvoy.manifest.json"), bytes).expect("written");
}

/// Makes the table of contents say that everything is in this encoding.
fn relabel(archive: &Path, encoding: &str) {
    let mut toc = contents(archive);
    let labels = toc.entries.iter_mut();
    for label in labels.filter(|entry| entry.is("ENCODING")) {
        label.defn = Some(SqlText::from(format!(
            "SET client_encoding = '{encoding}';\n"
        )));
    }
    let bytes = toc.to_bytes().expect("writable");
    fs::write(archive.join("toc.dat"), &bytes).expect("written");
    let facts = FileFacts {
        bytes: bytes.len() as u64,
        xxh3: xxh3_128(&bytes),
    };
    reseal(archive, |manifest| manifest.toc = facts);
}

fn verify(archive: &Path, more: &[&str]) -> Finished {
    let archive = archive.to_str().expect("UTF-8");
    let fixed = ["verify", "--archive", archive];
    Pgconvoy::new(fixed.iter().chain(more)).run()
}

#[test]
fn names_and_rows_are_in_the_encoding_of_the_database_whatever_its_sessions_have() {
    let Some(server) = Server::start(18) else {
        return;
    };
    let dir = scratch();
    for (database, encoding, of_sessions) in ENCODINGS {
        encoded(&server, database, encoding);
        server.psql(database, COFFEE);
        server.psql(
            database,
            "do $$ begin execute format('create sequence %I', 'z' || chr(228)); end $$",
        );
        server.psql(
            "postgres",
            &format!("alter database {database} set client_encoding to '{of_sessions}'"),
        );
        let archive = dir.path().join(database);
        our_dump(&server, database, (&["-Z", "none"], &archive));
        assert_eq!(contents(&archive).encoding().as_deref(), Some(encoding));
        let manifest = Manifest::read(&archive).expect("a manifest");
        let sequences = manifest.sequences.iter();
        let named: Vec<&str> = sequences.map(|one| one.sequence.name.as_str()).collect();
        assert_eq!(named, ["zä"]);
        assert_ends(&verify(&archive, &[]), 0, &[]);
        let stock = format!("{database}_stock");
        let to = encoded(&server, &stock, encoding);
        let restored = server
            .tool("pg_restore")
            .args(["-d", &to])
            .arg(&archive)
            .output()
            .expect("pg_restore starts");
        assert!(restored.status.success(), "{restored:?}");
        assert_coffee(&server, &stock);
        let ours = format!("{database}_ours");
        assert_proven(&restore(&archive, &encoded(&server, &ours, encoding), &[]));
        assert_coffee(&server, &ours);
    }
}

/// One bit of a name, and the rows of a table are those of another: stock tools load both, by their statements.
#[test]
fn rows_of_one_name_that_are_there_twice_are_not_taken_for_one() {
    let Some(server) = Server::start(18) else {
        return;
    };
    let dir = scratch();
    server.database("pair");
    server.psql(
        "pair",
        "create table p1 (i int); create table p3 (i int); insert into p1 values (1); insert into p3 values (3)",
    );
    let archive = dir.path().join("pair");
    pg_dump(&server, "pair", (&["-Fd", "-Z0"], &archive));
    let mut toc = contents(&archive);
    let mut rows = toc.entries.iter_mut();
    let rows = rows.find(|entry| entry.is("TABLE DATA") && entry.tag == "p1");
    rows.expect("there").tag = "p3".into();
    let bytes = toc.to_bytes().expect("writable");
    fs::write(archive.join("toc.dat"), bytes).expect("written");
    let refused = restore(&archive, &server.database("copy"), &[]);
    assert_ne!(refused.status, 0, "{refused}");
    assert!(
        refused
            .stderr
            .contains("another entry has rows of the same table"),
        "{refused}"
    );
}

/// As dumps were written of databases whose sessions have another encoding.
#[test]
fn an_archive_in_two_encodings_is_found_and_restored_as_what_it_is() {
    let Some(server) = Server::start(18) else {
        return;
    };
    let dir = scratch();
    for (database, encoding, named) in ENCODINGS {
        encoded(&server, database, encoding);
        server.psql(database, COFFEE);
        let archive = dir.path().join(database);
        our_dump(&server, database, (&["-Z", "none"], &archive));
        relabel(&archive, named);
        let rows = format!("the rows are in {encoding}");
        let found = verify(&archive, &[]);
        assert_ends(&found, 3, &["toc.dat", &rows, "NOT for pg_restore"]);
        let copy = format!("{database}_copy");
        let to = encoded(&server, &copy, encoding);
        let run = restore(&archive, &to, &[]);
        assert_proven(&run);
        assert!(report(&run)["notes"].to_string().contains(&rows), "{run}");
        assert_coffee(&server, &copy);
        assert_ends(&verify(&archive, &["--target", &to]), 0, &[]);
    }
}

/// Nothing is converted where a database, or who reads it, has no encoding: what is in the archive is the same either way.
#[test]
fn an_archive_that_was_read_without_an_encoding_is_no_other_database() {
    let Some(server) = Server::start(18) else {
        return;
    };
    let dir = scratch();
    for (database, encoding, named) in [
        ("plain", "SQL_ASCII", "UTF8"),
        ("utf8", "UTF8", "SQL_ASCII"),
    ] {
        encoded(&server, database, encoding);
        server.psql(
            database,
            "create table t (id int primary key, v text); insert into t values (1, 'café')",
        );
        let archive = dir.path().join(database);
        our_dump(&server, database, (&["-Z", "none"], &archive));
        relabel(&archive, named);
        assert_ends(&verify(&archive, &[]), 0, &[]);
        let copy = format!("{database}_copy");
        let run = restore(&archive, &encoded(&server, &copy, encoding), &[]);
        assert_proven(&run);
        let notes = report(&run)["notes"].to_string();
        assert!(!notes.contains("everything in the archive is in"), "{run}");
        let is_it = server.psql(&copy, "select v = 'café' and octet_length(v) = 5 from t");
        assert_eq!(is_it, "t", "{copy}");
    }
}

/// Which of the functions of one name is meant no text tells: that is said, and not passed over.
#[test]
fn an_archive_has_names_of_functions_alone_and_that_is_said() {
    let Some(server) = Server::start(18) else {
        return;
    };
    let dir = scratch();
    let to = encoded(&server, "named", "UTF8");
    server.psql(
        "named",
        "create function twin(int) returns int language sql as 'select 1';
         create function twin(text) returns int language sql as 'select 2';
         create domain called as regproc;
         create type invoked as (f regproc);
         create table kept (id int primary key, f regproc, fs regproc[], d called, c invoked, note text);
         insert into kept select 1, f, array[f], f, row(f)::invoked, 'twin' from (select 'twin(int)'::regprocedure::regproc as f) it;
         create table plain (id int primary key, note text);",
    );
    let archive = dir.path().join("named");
    our_dump(&server, "named", (&["-Z", "none"], &archive));
    let told =
        "public.kept: of functions and operators in f, fs, d, c, an archive has only the names";
    for change in [
        "select",
        "update kept set f = 'twin(text)'::regprocedure::regproc, fs[1] = 'twin(text)'::regprocedure::regproc",
    ] {
        server.psql("named", change);
        let verified = verify(&archive, &["--target", &to]);
        assert_ends(&verified, 0, &[]);
        let said = format!("{}{}", verified.stdout, verified.stderr);
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(told), "{change}: {verified}");
        let of_others = "public.plain: of functions";
        assert!(!said.contains(of_others), "{verified}");
    }
}

#[test]
fn nothing_that_a_manifest_says_becomes_an_argument() {
    let Some(server) = scene(18) else { return };
    let dir = scratch();
    let archive = dir.path().join("ours");
    our_dump(&server, "scene", (&["-Z", "none"], &archive));
    let to = server.conninfo("scene");
    let written = dir.path().join("written");
    let to_a_file = format!("--file={}", written.display());
    for option in [
        to_a_file.as_str(),
        "--dbname=host=elsewhere.invalid dbname=x",
        "--snapshot=00000003-0000001B-1",
        "-f",
        "scene",
    ] {
        let another = dir.path().join("another");
        copy_of(&archive, &another);
        reseal(&another, |manifest| {
            manifest.narrowed_by = vec!["--no-comments".to_owned(), option.to_owned()];
        });
        let said = format!("{option:?} is not an option");
        let listed = Pgconvoy::new(["list".as_ref(), another.as_os_str()]).run();
        for refused in [
            verify(&another, &["--target", &to]),
            verify(&another, &["--source", &to]),
            verify(&another, &[]),
            listed,
            restore(&another, &to, &[]),
        ] {
            assert_ends(&refused, 4, &[&said]);
        }
    }
    assert!(!written.exists());
}

/// Where objects are chosen `pg_dump` takes no large objects; whatever else is left out, it takes all.
#[test]
fn a_large_object_too_many_is_found_whatever_was_left_out() {
    let Some(server) = scene(18) else { return };
    let dir = scratch();
    let to = server.conninfo("scene");
    let cases: [(&[&str], i32); 4] = [
        (&["--no-comments"], 3),
        (&["-T", "app.empty"], 3),
        (&["--exclude-table-data", "app.self"], 3),
        (&["-n", "app"], 0),
    ];
    let archives = (0..cases.len()).map(|at| dir.path().join(at.to_string()));
    let archives: Vec<_> = archives.zip(cases).collect();
    for (archive, (options, _)) in &archives {
        our_dump(&server, "scene", (options, archive));
        assert_ends(&verify(archive, &["--target", &to]), 0, &[]);
    }
    server.psql("scene", "select lo_from_bytea(80001, 'extra')");
    for (archive, (options, status)) in &archives {
        let found = verify(archive, &["--target", &to]);
        let said: &[&str] = if *status == 3 { &["80001"] } else { &[] };
        assert_eq!(found.status, *status, "{options:?}: {found}");
        assert_ends(&found, *status, said);
    }
}

/// As its manual advises for a move between major versions.
#[test]
fn an_archive_whose_names_are_all_quoted_is_proven() {
    let Some(server) = scene(18) else { return };
    // Defaults have names in texts, which `pg_dump` quotes as well.
    server.psql(
        "scene",
        "create table public.numbered (id serial primary key, kind text not null default 'a', made date check (made > '2000-01-01'));
         create view public.kinds as select kind, count(*) from public.numbered group by kind;
         insert into public.numbered (kind) values ('b')",
    );
    let dir = scratch();
    let archive = dir.path().join("quoted");
    let options = ["-Fc", "--quote-all-identifiers"];
    assert!(pg_dump(&server, "scene", (&options, &archive)));
    let to = anew(&server, "copy");
    assert_proven(&restore(&archive, &to, &[]));
    assert_equal("all quoted", &server.conninfo("scene"), &to, &[]);
}

/// Constraints that the server enforces by triggers, a trigger that is disabled, and views that are populated and that are not.
const IN_FORCE: &str = "
    create table app.keyed (id int primary key, twin int unique deferrable, up int references app.parent);
    insert into app.keyed values (1, 1, 1);
    create function app.note() returns trigger language plpgsql as $$ begin return new; end $$;
    create trigger mine before insert on app.keyed for each row execute function app.note();
    alter table app.keyed disable trigger mine;
    create materialized view app.filled as select count(*) from app.parent;
    create materialized view app.later as select 1 as one with no data";

/// `pg_restore --data-only --disable-triggers` that was killed leaves such a target, and a schema alone such views.
#[test]
fn constraints_that_are_off_and_views_in_another_state_are_found() {
    let Some(server) = scene(18) else { return };
    server.psql("scene", IN_FORCE);
    let dir = scratch();
    let (archive, part) = (dir.path().join("ours"), dir.path().join("part"));
    our_dump(&server, "scene", (&["-Z", "none"], &archive));
    our_dump(&server, "scene", (&["-t", "app.parent"], &part));
    let to = anew(&server, "copy");
    assert_proven(&restore(&archive, &to, &[]));
    let from = server.conninfo("scene");
    assert_ends(&verify(&archive, &["--source", &from]), 0, &[]);
    assert_ends(&verify(&archive, &["--target", &to]), 0, &[]);
    let cases: [(&str, &str, &[&str]); 4] = [
        (
            "alter table app.child disable trigger all",
            "alter table app.child enable trigger all",
            &["child_parent_fkey", "disabled"],
        ),
        (
            "alter table app.keyed disable trigger all",
            "alter table app.keyed enable trigger all; alter table app.keyed disable trigger mine",
            &["keyed_twin_key", "keyed_up_fkey", "disabled"],
        ),
        (
            "refresh materialized view app.filled with no data",
            "refresh materialized view app.filled",
            &["app.filled"],
        ),
        (
            "refresh materialized view app.later",
            "refresh materialized view app.later with no data",
            &["app.later"],
        ),
    ];
    for (changed, undone, said) in cases {
        server.psql("copy", changed);
        let found = verify(&archive, &["--target", &to]);
        assert_eq!(found.status, 3, "{changed}: {found}");
        assert_ends(&found, 3, said);
        // None of it is of the one table that is in this one.
        assert_ends(&verify(&part, &["--target", &to]), 0, &[]);
        server.psql("copy", undone);
    }
    assert_ends(&verify(&archive, &["--target", &to]), 0, &[]);
}

/// Its constraints' triggers may be off, and of a view that reads an empty one `pg_dump` does not say whether it is populated.
#[test]
fn what_no_dump_says_of_the_server_that_was_dumped_is_no_difference() {
    let Some(server) = scene(18) else { return };
    server.psql(
        "scene",
        "alter table app.child disable trigger all;
         create materialized view app.below as select 1 as one;
         create view app.between as select one from app.below;
         create materialized view app.above as select one from app.between;
         refresh materialized view app.below with no data;
         create materialized view app.beside as select 1 as one",
    );
    let dir = scratch();
    let (archive, narrowed) = (dir.path().join("ours"), dir.path().join("narrowed"));
    let without = ["--exclude-table-data", "app.beside"];
    our_dump(&server, "scene", (&["-Z", "none"], &archive));
    our_dump(&server, "scene", (&without, &narrowed));
    let from = server.conninfo("scene");
    for archive in [&archive, &narrowed] {
        let run = verify(archive, &["--source", &from, "--run-dir", RUN_DIR]);
        assert_proven(&run);
        let notes = report(&run)["notes"].to_string();
        assert!(notes.contains("child_parent_fkey"), "{run}");
    }
    // What is restored enforces it.
    let to = anew(&server, "copy");
    assert_proven(&restore(&archive, &to, &[]));
    assert_ends(&verify(&archive, &["--target", &to]), 0, &[]);
    assert_ends(&verify(&narrowed, &["--target", &to]), 0, &[]);
    server.psql("copy", "alter table app.child disable trigger all");
    let found = verify(&archive, &["--target", &to]);
    assert_ends(&found, 3, &["child_parent_fkey"]);
    // Here it is still known that this one was populated.
    server.psql("scene", "refresh materialized view app.beside with no data");
    let emptied = verify(&archive, &["--source", &from]);
    assert_ends(&emptied, 3, &["app.beside"]);
    assert_ends(&verify(&narrowed, &["--source", &from]), 0, &[]);
}

/// As a `pg_dump` before version 12 writes it; those at hand do not.
fn say_with_oids(archive: &Path, table: &str) {
    let mut toc = contents(archive);
    let tables = toc.entries.iter_mut();
    for entry in tables.filter(|entry| entry.is("TABLE") && entry.tag_lossy() == table) {
        entry.with_oids = true;
    }
    let bytes = toc.to_bytes().expect("writable");
    fs::write(archive.join("toc.dat"), bytes).expect("written");
}

/// As `pg_dump --oids` did besides.
fn say_rows_have_oids(archive: &Path, table: &str) {
    let mut toc = contents(archive);
    let rows = toc.entries.iter_mut();
    for entry in rows.filter(|entry| entry.is_table_data() && entry.tag_lossy() == table) {
        let statement = format!("COPY public.{table} (i) WITH OIDS FROM stdin;\n");
        entry.copy_stmt = Some(SqlText::from(statement));
    }
    let bytes = toc.to_bytes().expect("writable");
    fs::write(archive.join("toc.dat"), bytes).expect("written");
}

/// Runs the commands that a refusal gives, with what they are about.
fn run_as_pasted(server: &Server, refused: &Finished, (archive, target): (&Path, &str)) {
    let archive = archive.to_str().expect("UTF-8");
    let mut done = Vec::new();
    let lines = refused.stderr.lines().map(str::trim);
    for line in lines.filter(|line| line.ends_with(" ARCHIVE")) {
        let mut words = line.split(' ').map(|word| match word {
            "ARCHIVE" => archive,
            "TARGET" => target,
            word => word,
        });
        let command = words.next().unwrap_or_default();
        match command {
            "pg_restore" => {
                let output = server.tool(command).args(words).output();
                let output = output.expect("pg_restore starts");
                assert!(output.status.success(), "{line}: {output:?}");
            }
            "pgconvoy" => {
                let run = Pgconvoy::new(words.chain(["--run-dir", RUN_DIR])).run();
                assert_proven(&run);
            }
            _ => panic!("no command: {line}"),
        }
        done.push(command.to_owned());
    }
    assert_eq!(done, ["pg_restore", "pgconvoy", "pg_restore"], "{refused}");
}

#[test]
fn tables_with_oids_are_refused_by_name_and_their_rows_alone_are_loaded() {
    let Some(server) = Server::start(18) else {
        return;
    };
    server.database("old");
    server.psql(
        "old",
        "create table plain (i int); insert into plain values (1);
         create table legacy (i int primary key); insert into legacy values (2), (3);
         create materialized view double as select i * 2 as i from legacy;
         select lo_from_bytea(4711, 'large')",
    );
    let dir = scratch();
    let archive = dir.path().join("old");
    assert!(pg_dump(&server, "old", (&["-Fd"], &archive)));
    say_with_oids(&archive, "legacy");
    let to = anew(&server, "copy");
    let run = restore(&archive, &to, &[]);
    assert_ends(
        &run,
        4,
        &["tables-with-oids", "public.legacy", "--data-only"],
    );
    assert!(!run.stderr.contains("public.plain"), "{run}");
    let tables = "select count(*) from pg_class where relnamespace = 'public'::regnamespace";
    assert_eq!(server.psql("copy", tables), "0", "nothing is touched");
    let others = restore(&archive, &to, &["-t", "plain"]);
    assert_proven(&others);
    // As is said there, all of it comes.
    let to = anew(&server, "copy");
    run_as_pasted(&server, &run, (&archive, &to));
    assert_equal("three steps", &server.conninfo("old"), &to, &[]);

    say_rows_have_oids(&archive, "legacy");
    server.psql("copy", "truncate legacy, plain; select lo_unlink(4711)");
    let run = restore(&archive, &to, &["--data-only"]);
    assert_ends(&run, 4, &["[tables-with-oids]", "public.legacy", "-L"]);
    assert_eq!(server.psql("copy", "select count(*) from plain"), "0");
    let others = restore(&archive, &to, &["--data-only", "-t", "plain"]);
    assert_proven(&others);
}

#[test]
fn an_archive_of_a_database_with_nothing_in_it_is_proven() {
    let Some(server) = Server::start(18) else {
        return;
    };
    let from = server.database("void");
    let dir = scratch();
    let ours = dir.path().join("ours");
    our_dump(&server, "void", (&["-Z", "none"], &ours));
    let stock = ["-Fc", "-Fd", "-Ft"].map(|format| {
        let path = dir.path().join(format);
        assert!(pg_dump(&server, "void", (&[format], &path)));
        path
    });
    for archive in [ours].iter().chain(&stock) {
        let to = anew(&server, "copy");
        let run = restore(archive, &to, &[]);
        let report = assert_proven(&run);
        let sentence = report["sentence"].as_str().unwrap_or_default();
        assert!(sentence.contains("there is nothing to restore"), "{run}");
        assert_no_ledger(&server, "copy");
        assert_equal("nothing", &from, &to, &[]);
    }
}
