//! `verify --archive` of what has no manifest: archives by `pg_dump` in each of its formats, damaged ones, and what is none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pgconvoy::archive::Stored;
use serde_json::Value;

use crate::scene::{anew, assert_ends, copy_of, pg_dump, restore, scene, scratch};
use crate::support::binary::{Finished, Pgconvoy};
use crate::support::server::{Server, newest_tools};

fn verify(archive: &Path, more: &[&str]) -> Finished {
    let archive = archive.to_str().expect("UTF-8");
    let fixed = ["verify", "--archive", archive];
    Pgconvoy::new(fixed.iter().chain(more)).run()
}

/// The file that a table's rows are in, by its name in the archive.
fn file_of(archive: &Path, table: &str) -> String {
    let stored = Stored::open(archive).expect("whole");
    let mut entries = stored.toc.entries.iter();
    let entry = entries.find(|entry| entry.is("TABLE DATA") && entry.tag == table);
    let place = entry.and_then(|entry| stored.rows(entry.dump_id));
    place.expect("it has rows").name().to_owned()
}

#[test]
fn an_archive_without_a_manifest_is_read_to_its_end_and_not_called_proven() {
    let Some(server) = scene(18) else { return };
    let dir = scratch();
    let to = server.conninfo("scene");
    for format in ["-Fd", "-Fc", "-Ft"] {
        let archive = dir.path().join(format);
        assert!(pg_dump(&server, "scene", (&[format], &archive)));
        let run = verify(&archive, &[]);
        let words = [
            "Not proven",
            "made by pg_dump",
            "6 tables, 2,000 rows, 3 large objects",
            "It cannot be known what was left out",
            "pgconvoy restore",
        ];
        assert_ends(&run, 2, &words);
        assert!(
            !run.stderr.contains("whether the file ends too early"),
            "{run}"
        );
        let json = verify(&archive, &["--json"]);
        assert_eq!(json.status, 2, "{json}");
        let line: Value = serde_json::from_str(&json.stdout).expect("JSON");
        assert_eq!(line["status"], 2, "{json}");
        assert_eq!(line["problems"], Value::Array(Vec::new()), "{json}");
        for side in ["--source", "--target"] {
            let refused = verify(&archive, &[side, &to]);
            assert_ends(&refused, 2, &["made by pg_dump", "pgconvoy restore"]);
        }
        assert_ends(&verify(&archive, &["--after"]), 2, &["--after"]);
    }
    // Nothing says where the rows of these end.
    let plain = dir.path().join("plain");
    assert!(pg_dump(&server, "scene", (&["-Fd", "-Z0"], &plain)));
    let words = ["whether the file ends too early", "3 large objects"];
    assert_ends(&verify(&plain, &[]), 2, &words);
    let inserts = dir.path().join("inserts");
    assert!(pg_dump(&server, "scene", (&["-Fc", "--inserts"], &inserts)));
    let words = ["6 tables, 0 rows, and the statements of 6 tables"];
    assert_ends(&verify(&inserts, &[]), 2, &words);
}

#[test]
fn damage_to_an_archive_without_a_manifest_is_named_by_verify() {
    let Some(server) = scene(18) else { return };
    let dir = scratch();
    let broken = dir.path().join("broken");
    for format in [&["-Fc"][..], &["-Fc", "-Z0"], &["-Ft"], &["-Fd"]] {
        let whole = dir.path().join(format.concat());
        assert!(pg_dump(&server, "scene", (format, &whole)));
        if whole.is_dir() {
            continue;
        }
        let bytes = fs::read(&whole).expect("read");
        for part in [3, 2] {
            fs::write(&broken, &bytes[..bytes.len() - bytes.len() / part]).expect("written");
            let run = verify(&broken, &[]);
            assert_ends(&run, 3, &["damaged:", "NOT whole", "another copy"]);
        }
        fs::remove_file(&broken).expect("removed");
    }
    let whole = dir.path().join("-Fd");
    let child = file_of(&whole, "child");
    copy_of(&whole, &broken);
    let bytes = fs::read(broken.join(&child)).expect("read");
    fs::write(broken.join(&child), &bytes[..bytes.len() / 2]).expect("cut");
    let object = broken.join("blob_70001.dat.gz");
    let content = fs::read(&object).expect("read");
    fs::write(&object, &content[..content.len() / 2]).expect("cut");
    let run = verify(&broken, &[]);
    let words = [
        child.as_str(),
        "table app.child",
        "large object 70001",
        "(2 of 6 tables and 3 large objects)",
    ];
    assert_ends(&run, 3, &words);
    assert!(!run.stderr.contains("app.parent"), "{run}");
    fs::remove_file(broken.join(&child)).expect("removed");
    let run = verify(&broken, &[]);
    assert_ends(&run, 3, &["missing", "nothing else was read"]);
}

/// Takes a large object out of a directory, with its line in the list; its number.
fn lose_an_object(files: &Path) -> String {
    let name = |path: &Path| {
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
    };
    let paths = fs::read_dir(files).expect("a directory");
    let paths = paths.map(|entry| entry.expect("an entry").path());
    let is_list = |path: &PathBuf| name(path).is_some_and(|name| name.starts_with("blobs"));
    let (lists, others): (Vec<PathBuf>, Vec<PathBuf>) = paths.partition(is_list);
    let list = lists.first().expect("a list");
    let text = fs::read_to_string(list).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    let (dropped, rest) = lines.split_last().expect("a line");
    let (oid, file) = dropped.split_once(' ').expect("a number and a file");
    let rest: String = rest.iter().flat_map(|line| [*line, "\n"]).collect();
    fs::write(list, rest).expect("written");
    let file = others
        .iter()
        .find(|path| name(path).as_deref() == Some(file));
    fs::remove_file(file.expect("its content")).expect("removed");
    oid.to_owned()
}

fn tar(options: &[&str], archive: &Path, files: &Path) {
    let mut tar = Command::new("tar");
    tar.arg(options[0]).arg(archive).arg("-C").arg(files);
    let status = tar.args(&options[1..]).status();
    assert!(status.expect("tar starts").success(), "{options:?}");
}

/// The table of contents has what a list of large objects has lost: nobody calls the rest whole.
#[test]
fn a_list_that_has_lost_a_large_object_is_damage() {
    let Some(server) = scene(18) else { return };
    let dir = scratch();
    let to = anew(&server, "copy");
    let files = dir.path().join("files");
    for format in [&["-Fd", "-Z0"][..], &["-Ft"]] {
        let archive = dir.path().join(format.concat());
        assert!(pg_dump(&server, "scene", (format, &archive)));
        let oid = if archive.is_dir() {
            lose_an_object(&archive)
        } else {
            fs::create_dir(&files).expect("made");
            tar(&["-xf"], &archive, &files);
            let oid = lose_an_object(&files);
            let names = fs::read_dir(&files).expect("a directory");
            let names = names.map(|entry| entry.expect("an entry").file_name());
            let names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
            let mut options = vec!["-cf"];
            options.extend(names.iter().map(String::as_str));
            tar(&options, &archive, &files);
            oid
        };
        let lost = format!("content of large object {oid} is missing");
        let words = ["damaged:", lost.as_str(), "NOT whole"];
        assert_ends(&verify(&archive, &[]), 3, &words);
        assert_ends(&restore(&archive, &to, &[]), 4, &[&lost]);
    }
}

#[test]
fn what_is_no_archive_is_refused_by_what_it_is() {
    let Some(server) = Server::start(18) else {
        return;
    };
    server.database("few");
    server.psql("few", "create table t (i int)");
    let dir = scratch();
    let script = Command::new(newest_tools().join("pg_dump"))
        .args(["-d", &server.conninfo("few")])
        .output();
    let script = script.expect("pg_dump starts").stdout;
    let (nothing, text) = (dir.path().join("nothing"), dir.path().join("text"));
    fs::write(&text, "once upon a time").expect("written");
    let plain = dir.path().join("plain");
    fs::write(&plain, script).expect("written");
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).expect("made");
    for (path, words) in [
        (&nothing, "opening"),
        (&text, "not an archive of pg_dump"),
        (&plain, "plain SQL"),
        (&empty, "toc.dat"),
        // A pipe would be waited for.
        (
            &PathBuf::from("/dev/null"),
            "neither a file nor a directory",
        ),
    ] {
        let run = verify(path, &[]);
        assert_ends(&run, 2, &[words]);
        // Nothing that pgconvoy has had written.
        assert!(!run.stderr.contains("just now"), "{run}");
    }
    // A dump that psql loads is nothing to be dumped again.
    server.database("copy");
    let refused = restore(&plain, &server.conninfo("copy"), &[]);
    assert_ends(&refused, 4, &["plain SQL", "psql", "Nothing was touched."]);
    assert!(!refused.stderr.contains("another copy"), "{refused}");
}
