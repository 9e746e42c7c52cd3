//! What is needed on disk against what there is: on small disks of the target, where they can be seen, and where they cannot.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;

use pgconvoy::pg::cluster::ClusterOptions;
use serde_json::Value;

use super::support::binary::Pgconvoy;
use super::support::disk::{Disk, may_mount};
use super::support::server::Server;
use super::{assert_silent, assert_told, looked, remedy};

const MB: u64 = 1 << 20;

/// 21 MB of rows and a key of one: a copy takes at least 20 MB, and 27 are no longer narrow.
const WIDE: &str = "
    create table wide (id int primary key, what text);
    insert into wide select i, repeat(md5(i::text), 15) from generate_series(1, 40000) i;
    vacuum analyze wide;
";

fn evidence(check: &Value) -> String {
    let found = check["findings"].as_array().expect("a list");
    let found = found.iter().find(|one| one["rule"] == "target-disk");
    found.map_or_else(String::new, |one| {
        format!("{} {}", one["what"], one["evidence"])
    })
}

/// A socket of the same name in another directory, behind which somebody passes on what is said: as `ssh -L` does, from elsewhere.
fn passed_on(server: &Server) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let name = format!(".s.PGSQL.{}", server.cluster.port());
    let theirs = server.cluster.socket_dir().join(&name);
    let listener = UnixListener::bind(dir.path().join(&name)).expect("bound");
    thread::spawn(move || {
        for ours in listener.incoming().map_while(Result::ok) {
            let theirs = UnixStream::connect(&theirs).expect("it listens");
            let pass = |mut from: UnixStream, mut to: UnixStream| {
                thread::spawn(move || {
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            };
            pass(
                ours.try_clone().expect("a clone"),
                theirs.try_clone().expect("a clone"),
            );
            pass(theirs, ours);
        }
    });
    dir
}

#[test]
fn a_target_without_room_forbids_and_a_narrow_one_is_warned_of() {
    if !may_mount() {
        return;
    }
    let with_tcp = |options: ClusterOptions| ClusterOptions {
        listen_tcp: true,
        ..options
    };
    let (Some(source), Some(mut target)) = (Server::start(16), Server::start_with(16, with_tcp))
    else {
        return;
    };
    let from = source.database("shop");
    source.psql("shop", WIDE);
    let dir = target
        .cluster
        .create_dir("small disk")
        .expect("a directory");
    let disk = Disk::over(&dir, "96m");
    let place = dir.display();
    target.psql(
        "postgres",
        &format!("create tablespace small location '{place}'"),
    );
    target.psql(
        "postgres",
        "create database shop template template0 tablespace small",
    );
    let to = target.conninfo("shop");
    let look = |status| looked(&from, &to, &["--no-measure"], status);

    for (free, severity, status) in [
        (15 * MB, Some("blocker"), 4),
        (24 * MB, Some("warning"), 0),
        (34 * MB, None, 0),
    ] {
        disk.leave(free);
        let check = look(status);
        match severity {
            Some(severity) => {
                assert_told(&check, severity, &["target-disk"]);
                let said = evidence(&check);
                assert!(said.contains(&*dir.to_string_lossy()), "{said}");
                assert!(said.contains("tablespace small: rows 2"), "{said}");
                let look = format!("\ndf -h '{place}'");
                let remedy = remedy(&check, "target-disk");
                assert!(remedy.ends_with(&look), "{remedy}");
            }
            None => assert_silent(&check, &["target-disk"]),
        }
        assert_silent(&check, &["disk-needed"]);
        if severity.is_some() {
            disk.make_room();
        }
    }
    // Elsewhere there is room.
    target.psql("postgres", "create database other template template0");
    disk.make_room();
    disk.leave(MB);
    let elsewhere = target.conninfo("other");
    let check = looked(&from, &elsewhere, &["--no-measure"], 0);
    assert_silent(&check, &["target-disk", "disk-needed"]);
    disk_is_not_seen((&source, &target), &place.to_string());
    disk.make_room();
    the_log_is_elsewhere((&source, &mut target));
}

/// Over TCP, and over a socket that somebody else listens at, nobody knows whose disk it is.
fn disk_is_not_seen((source, target): (&Server, &Server), place: &str) {
    let from = source.conninfo("shop");
    let passed_on = passed_on(target);
    let by_socket = target.conninfo("shop").replace(
        &target.cluster.socket_dir().display().to_string(),
        &passed_on.path().display().to_string(),
    );
    assert_ne!(by_socket, target.conninfo("shop"));
    for to in [target.cluster.tcp_conninfo("shop"), by_socket] {
        let check = looked(&from, &to, &["--no-measure"], 0);
        assert_told(&check, "note", &["disk-needed"]);
        assert_silent(&check, &["target-disk"]);
        assert!(!check.to_string().contains(place), "{check:#}");
    }
}

fn the_log_is_elsewhere((source, target): (&Server, &mut Server)) {
    let from = source.conninfo("shop");
    let disk = Disk::of_log(&mut target.cluster, "96m");
    // Nothing of it is used again.
    target.psql(
        "postgres",
        "select pg_create_physical_replication_slot('idle', true)",
    );
    let to = target.conninfo("other");
    disk.leave(2 * MB);
    let check = looked(&from, &to, &["--no-measure"], 0);
    assert_told(&check, "warning", &["target-disk"]);
    let said = evidence(&check);
    assert!(said.contains("write-ahead log: "), "{said}");
    disk.make_room();
    let check = looked(&from, &to, &["--no-measure"], 0);
    assert_silent(&check, &["target-disk"]);
}

#[test]
fn a_dump_to_a_disk_that_is_too_small_is_warned_of_beforehand() {
    if !may_mount() {
        return;
    }
    let Some(source) = Server::start(16) else {
        return;
    };
    let from = source.database("shop");
    source.psql("shop", WIDE);
    let dir = tempfile::tempdir().expect("a directory");
    let disk = Disk::over(dir.path(), "64m");
    let dump = |name: &str, compress: &str| {
        let archive = dir.path().join(name).display().to_string();
        let options = [
            "dump",
            "--source",
            &from,
            "--archive",
            &archive,
            "-Z",
            compress,
        ];
        Pgconvoy::new(options).run()
    };
    let large = dump("large", "none");
    assert_eq!(large.status, 0, "{large}");
    assert!(!large.stderr.contains("archive-disk"), "{large}");
    assert!(Path::new(dir.path()).join("large").is_dir(), "{large}");
    disk.leave(8 * MB);
    let small = dump("small", "none");
    assert!(matches!(small.status, 1 | 5), "{small}");
    let told = format!("warning: the archive's disk at {}", dir.path().display());
    assert!(small.stderr.contains(&told), "{small}");
    assert!(small.stderr.contains("[archive-disk]"), "{small}");
    disk.make_room();
    disk.leave(16 * MB);
    // Packed, it takes a quarter of that, or less.
    let packed = dump("packed", "gzip");
    assert!(!packed.stderr.contains("archive-disk"), "{packed}");
}
