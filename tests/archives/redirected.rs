//! Custom archives that the shell has opened, `pg_dump -Fc db > file` and `>> file`: behind the data they have the table of contents again.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::damage::content;
use crate::scene::{anew, assert_ends, prepare, restore, scene, scratch};
use crate::support::moving::{assert_equal, assert_no_ledger, assert_proven};
use crate::support::server::{Server, newest_tools, record_skip, servers};

/// Who has opened the file, and how.
#[derive(Debug, Clone, Copy)]
enum Opened {
    /// `pg_dump` itself, with `-f`.
    ByItself,
    /// The shell, with `>`.
    Over,
    /// The shell, with `>>`.
    Append,
    /// Another program, at the other end of a pipe.
    Pipe,
}

/// The scene.
fn dump(tools: &Path, server: &Server, options: &[&str], (opened, to): (Opened, &Path)) {
    let mut dumping = Command::new(tools.join("pg_dump"));
    dumping
        .args(["-Fc", "-d", &server.conninfo("scene")])
        .args(options);
    match opened {
        Opened::ByItself => dumping.arg("-f").arg(to),
        Opened::Over => dumping.stdout(File::create(to).expect("made")),
        Opened::Append => {
            let file = OpenOptions::new().append(true).create(true).open(to);
            dumping.stdout(file.expect("made"))
        }
        Opened::Pipe => dumping.stdout(Stdio::piped()),
    };
    let mut dumping = dumping.spawn().expect("pg_dump starts");
    if let Some(mut pipe) = dumping.stdout.take() {
        std::io::copy(&mut pipe, &mut File::create(to).expect("made")).expect("copied");
    }
    assert!(dumping.wait().expect("ended").success(), "{opened:?}");
}

/// Of 16, which was the first to append: its own, or those that are packed together with the newest ones.
fn tools_of_16() -> Option<PathBuf> {
    let installed = servers().into_iter().map(|install| install.bin_dir);
    let beside = newest_tools().join("../../pginstall/bin");
    installed.chain([beside]).find(|tools| {
        let version = Command::new(tools.join("pg_dump"))
            .arg("--version")
            .output();
        version.is_ok_and(|said| said.stdout.starts_with(b"pg_dump (PostgreSQL) 16."))
    })
}

/// What it is restored to is what was dumped.
fn assert_restored(tools: &Path, server: &Server, archive: &Path) {
    let to = anew(server, "copy");
    let run = prepare(archive, &to, &[])
        .env("PGCONVOY_PG_BIN", tools)
        .run();
    assert_proven(&run);
    assert_no_ledger(server, "copy");
    let what = archive.display().to_string();
    assert_equal(&what, &server.conninfo("scene"), &to, &[]);
}

#[test]
fn an_archive_is_the_same_whoever_has_opened_its_file() {
    let Some(server) = scene(16) else { return };
    let dir = scratch();
    let newest = newest_tools();
    let of_16 = tools_of_16();
    if of_16.is_none() {
        record_skip("the client tools of PostgreSQL 16 are not installed");
    }
    for tools in [Some(newest.clone()), of_16].into_iter().flatten() {
        // Without data, 16 appends its table of contents as well.
        for options in [&[][..], &["-s"]] {
            let by_itself = dir.path().join("by-itself");
            dump(&tools, &server, options, (Opened::ByItself, &by_itself));
            let whole = content(&by_itself).expect("whole");
            for opened in [Opened::Pipe, Opened::Over, Opened::Append] {
                let archive = dir.path().join(format!("{opened:?}"));
                let _ = fs::remove_file(&archive);
                dump(&tools, &server, options, (opened, &archive));
                let what = format!("{}, {options:?}, {opened:?}", tools.display());
                assert_eq!(content(&archive).as_ref(), Ok(&whole), "{what}");
            }
        }
        let archive = dir.path().join("redirected");
        dump(&tools, &server, &[], (Opened::Over, &archive));
        assert_restored(&tools, &server, &archive);
    }
    // Statistics are not said twice.
    server.psql("scene", "analyze");
    let archive = dir.path().join("with-statistics");
    dump(
        &newest,
        &server,
        &["--statistics"],
        (Opened::Append, &archive),
    );
    assert_restored(&newest, &server, &archive);
}

/// Two dumps of one database: into a pipe, and appended to a file.
fn piped_and_appended(server: &Server, dir: &Path) -> [Vec<u8>; 2] {
    [("piped", Opened::Pipe), ("appended", Opened::Append)].map(|(name, opened)| {
        let path = dir.join(name);
        let _ = fs::remove_file(&path);
        dump(&newest_tools(), server, &[], (opened, &path));
        fs::read(&path).expect("read")
    })
}

#[test]
fn behind_the_data_there_is_the_same_table_of_contents_or_nothing() {
    let Some(server) = scene(18) else { return };
    let dir = scratch();
    let [piped, whole] = piped_and_appended(&server, dir.path());
    let (data, again) = whole.split_at(piped.len());
    assert!(!again.is_empty(), "it is not there twice");
    server.psql("scene", "comment on table app.parent is 'another'");
    let [other_data, another] = piped_and_appended(&server, dir.path());
    let broken = dir.path().join("broken");
    let read = |bytes: &[u8]| {
        fs::write(&broken, bytes).expect("written");
        content(&broken)
    };
    assert_eq!(read(data), read(&whole), "as from a pipe");
    assert!(read(data).is_ok());
    for at in (1..again.len()).step_by(101) {
        let refused = read(&whole[..data.len() + at]).expect_err("cut");
        let said = format!("from byte {} on there is neither", data.len());
        assert!(refused.contains(&said), "cut at {at}: {refused}");
    }
    for at in (0..again.len()).step_by(53) {
        let mut changed = whole.clone();
        changed[data.len() + at] ^= 1 << (at % 8);
        assert!(read(&changed).is_err(), "changed at {at}");
    }
    let zeros = [0_u8; 5];
    for (what, bytes) in [
        ("one byte more", [&whole[..], &b"x"[..]].concat()),
        ("zeros", [&whole[..], &zeros[..]].concat()),
        ("a third one", [&whole[..], again].concat()),
        ("another archive", [&whole[..], &whole[..]].concat()),
        ("a byte before", [data, &b"x"[..], again].concat()),
        ("zeros before", [data, &zeros[..], again].concat()),
        ("another's", [data, &another[other_data.len()..]].concat()),
        ("nothing but zeros", [data, &zeros[..]].concat()),
    ] {
        assert!(read(&bytes).is_err(), "{what}");
    }
}

#[test]
fn a_file_that_is_cut_off_is_refused_and_nothing_is_touched() {
    let Some(server) = scene(18) else { return };
    let dir = scratch();
    let to = anew(&server, "copy");
    let tools = newest_tools();
    for (opened, options, less, said) in [
        (Opened::Append, &[][..], 7, "the same table of contents"),
        // The last block is that of large objects, or of a table.
        (Opened::ByItself, &[], 7, "cut off in the data of"),
        (Opened::ByItself, &["-B"], 7, "cut off in the data of"),
        (Opened::Pipe, &["-B"], 7, "cut off in the data of"),
        (Opened::ByItself, &["-Ft"], 200, "not followed by one"),
        (Opened::ByItself, &["-Ft"], 600, "the file is cut off"),
        (Opened::ByItself, &["-Ft"], 2000, "not all is there"),
    ] {
        let archive = dir.path().join("cut");
        let _ = fs::remove_file(&archive);
        dump(&tools, &server, options, (opened, &archive));
        let whole = fs::read(&archive).expect("read");
        fs::write(&archive, &whole[..whole.len() - less]).expect("written");
        let run = restore(&archive, &to, &[]);
        assert_ends(&run, 4, &[said, "Use another copy of the archive"]);
        let there = "select count(*) from pg_class where relnamespace::regnamespace::text in ('app', 'pgconvoy')";
        assert_eq!(server.psql("copy", there), "0", "{options:?}");
    }
}
