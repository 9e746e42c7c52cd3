//! A small database, dumps of it, and restores.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::binary::{Finished, Pgconvoy};
use crate::support::moving::{RUN_DIR, report};
use crate::support::server::{Server, newest_tools};

/// Roles that own and read something in it.
pub const ROLES: &str = "create role scene_owner; create role scene_reader; create role ghost";

/// Foreign keys to others and to itself, partitions, sequences, large objects with owners, grants and comments.
pub const SCENE: &str = r"
    create schema app;
    create table app.parent (id int primary key, note text);
    insert into app.parent select i, repeat(md5(i::text), i % 7) from generate_series(1, 500) i;
    create table app.child (id int primary key, parent int not null references app.parent, body text);
    insert into app.child select i + 1000, i % 500 + 1, E'tab\there, \\.' || i from generate_series(1, 900) i;
    create index child_body on app.child (body);
    create table app.self (id int primary key, up int references app.self);
    insert into app.self select i, nullif(301 - i, i) from generate_series(1, 300) i;
    create table app.parts (k text not null, n int) partition by list (k);
    create table app.parts_a partition of app.parts for values in ('a');
    create table app.parts_b partition of app.parts for values in ('b', 'c');
    insert into app.parts select chr(97 + i % 3), i from generate_series(1, 300) i;
    create table app.empty (a int);
    create sequence app.numbers start 7;
    select nextval('app.numbers'), nextval('app.numbers');
    create view app.seen as select c.id, p.note from app.child c join app.parent p on p.id = c.parent;
    select lo_from_bytea(70001, decode(repeat('00ff', 4000), 'hex')), lo_from_bytea(70002, 'x'), lo_create(70003);
    alter large object 70001 owner to scene_owner;
    grant select on large object 70001 to scene_reader;
    grant update on large object 70002 to scene_reader with grant option;
    grant select on large object 70003 to public;
    comment on large object 70002 is E'it''s a \\ one';
    comment on large object 70003 is 'empty';
    grant select on app.parent to ghost;
";

/// A server with the database `scene`.
pub fn scene(major: u32) -> Option<Server> {
    let server = Server::start(major)?;
    server.psql("postgres", ROLES);
    server.database("scene");
    server.psql("scene", SCENE);
    Some(server)
}

/// A directory that goes when the test ends.
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

/// By stock `pg_dump`; whether it could be done with these tools.
pub fn pg_dump(server: &Server, database: &str, (format, to): (&[&str], &Path)) -> bool {
    let output = Command::new(newest_tools().join("pg_dump"))
        .args(format)
        .arg("-f")
        .arg(to)
        .args(["-d", &server.conninfo(database)])
        .output()
        .expect("pg_dump starts");
    let said = String::from_utf8_lossy(&output.stderr);
    let is_unknown = said.contains("not supported by this build") || said.contains("compression");
    assert!(output.status.success() || is_unknown, "{format:?}: {said}");
    output.status.success()
}

/// By pgconvoy.
pub fn our_dump(server: &Server, database: &str, (format, to): (&[&str], &Path)) {
    let to = to.to_str().expect("UTF-8");
    let source = server.conninfo(database);
    let fixed = ["dump", "--source", &source, "--archive", to];
    let run = Pgconvoy::new(fixed.iter().chain(format)).run();
    assert_eq!(run.status, 0, "{run}");
}

/// A restore to be.
pub fn prepare(archive: &Path, target: &str, more: &[&str]) -> Pgconvoy {
    let archive = archive.to_str().expect("UTF-8");
    let fixed = [
        "restore",
        "--archive",
        archive,
        "--target",
        target,
        "--run-dir",
        RUN_DIR,
        "-j2",
    ];
    Pgconvoy::new(fixed.iter().chain(more))
}

/// A restore.
pub fn restore(archive: &Path, target: &str, more: &[&str]) -> Finished {
    prepare(archive, target, more).run()
}

/// An archive of each kind: by pgconvoy, and by `pg_dump`.
pub fn archives(server: &Server, dir: &Path) -> [PathBuf; 2] {
    let (ours, stock) = (dir.join("ours"), dir.join("stock"));
    our_dump(server, "scene", (&["-Z", "none"], &ours));
    assert!(pg_dump(server, "scene", (&["-Fc"], &stock)));
    [ours, stock]
}

/// A database anew, and how it is reached.
pub fn anew(server: &Server, database: &str) -> String {
    server.psql(
        "postgres",
        &format!("drop database if exists \"{database}\" with (force)"),
    );
    server.database(database)
}

/// Asserts how a run ended, and what it said.
#[track_caller]
pub fn assert_ends(run: &Finished, status: i32, words: &[&str]) {
    assert_eq!(run.status, status, "{run}");
    let said = format!("{}{}", run.stdout, run.stderr);
    for word in words {
        assert!(said.contains(word), "{word:?} is not said: {run}");
    }
}

/// The rules of all that was found, as the report has them.
pub fn rules(run: &Finished) -> Vec<String> {
    let report = report(run);
    let findings = report["findings"].as_array().expect("a list");
    let rules = findings.iter().map(|one| one["rule"].as_str());
    rules.map(|rule| rule.expect("a rule").to_owned()).collect()
}

/// Copies an archive: a directory or a file.
pub fn copy_of(archive: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let _ = fs::remove_file(to);
    if archive.is_file() {
        fs::copy(archive, to).map(drop).expect("copied");
        return;
    }
    fs::create_dir(to).expect("made");
    for entry in fs::read_dir(archive).expect("a directory") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("copied");
    }
}

/// Whether all of it is asked for, and not only what a change has to pass every time.
pub fn whole() -> bool {
    std::env::var("PGCONVOY_ARCHIVES").is_ok_and(|value| value == "whole")
}
