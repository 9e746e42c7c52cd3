//! An archive instead of a target: it holds what could be read, says that it is not whole, and has the account in it; whoever restores
//! it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use pgconvoy::pg::cluster::StopMode;
use serde_json::Value;

use crate::lab::{Case, Expected, Lab, PAGE, TABLES, harmless, rows_of};
use crate::support::binary::{Finished, Pgconvoy};
use crate::support::server::Server;

/// A page of a table, a part of a long value, and a table without any index.
fn hurt() -> Case {
    Case {
        name: "hurt",
        damage: Box::new(|files| {
            files.scramble("accounts", 1);
            files.write("posts toast", 2 * PAGE, &[0; 8192]);
            files.scramble("log", 2);
        }),
        expected: Box::new(|before| Expected {
            status: 6,
            lost: BTreeMap::from([
                ("accounts", before.at("accounts", |(block, _)| block == 1)),
                ("log", before.at("log", |(block, _)| block == 2)),
            ]),
            columns: before
                .toasted_at(|(block, _)| block == 2)
                .into_iter()
                .map(|key| ("posts", key, "body"))
                .collect(),
            bounded: true,
        }),
    }
}

fn salvage(lab: &Lab, database: &str) -> Finished {
    let source = lab.source.conninfo(database);
    Pgconvoy::new([
        "salvage",
        "--source",
        &source,
        "--archive",
        "archive",
        "--run-dir",
        "run",
        "-j",
        "2",
    ])
    .run()
}

/// A sequence, and a page of large objects of two owners; `damage` names the relations whose pages become noise, and which pages.
fn objects(major: u32, damage: &[(&str, u64)]) -> Option<(Server, String)> {
    let mut source = Server::start_with(major, |options| {
        options
            .setting("autovacuum", "off")
            .setting("synchronous_commit", "on")
    })?;
    let from = source.database("things");
    source.psql(
        "things",
        "create role other; create sequence tickets; select setval('tickets', 4711); create sequence sound; select setval('sound', 7); \
         create table t as select i from generate_series(1, 100) i; \
         select lo_from_bytea(20000 + i, convert_to((select string_agg(md5(i || '-' || k), '') from generate_series(1, 300) k), 'UTF8')) \
           from generate_series(1, 12) i; \
         alter large object 20001 owner to other; comment on large object 20002 is 'said'; comment on large object 20012 is 'said, too'; \
         vacuum (freeze) pg_largeobject; checkpoint",
    );
    let paths: Vec<_> = damage
        .iter()
        .map(|(relation, block)| {
            let query = format!("select pg_relation_filepath('{relation}')");
            let path = source.psql("things", &query);
            (source.cluster.data_dir().join(path), *block)
        })
        .collect();
    source.cluster.stop(StopMode::Fast).expect("it stops");
    for (path, block) in paths {
        let noise: Vec<u8> = (0..PAGE)
            .map(|at| (at * 31 % 251).to_le_bytes()[0])
            .collect();
        let file = fs::OpenOptions::new().write(true).open(path);
        file.and_then(|file| file.write_all_at(&noise, block * PAGE))
            .expect("written");
    }
    source.cluster.resume().expect("it starts");
    Some((source, from))
}

fn salvage_things(from: &str) -> Finished {
    let ends = [
        "salvage",
        "--source",
        from,
        "--archive",
        "archive",
        "--run-dir",
        "run",
    ];
    Pgconvoy::new(ends).run()
}

/// Contents of all large objects but those.
fn contents(server: &Server, database: &str, but: &BTreeSet<String>) -> String {
    let but: Vec<&str> = but.iter().map(String::as_str).collect();
    let query = format!(
        "select string_agg(l.oid || md5(lo_get(l.oid)) || coalesce(obj_description(l.oid, 'pg_largeobject'), ''), ' ' order by l.oid) \
         from pg_largeobject_metadata l where not l.oid::text = any ('{{{}}}')",
        but.join(",")
    );
    server.psql(database, &query)
}

#[test]
fn sequences_and_large_objects_that_are_damaged_are_left_out_of_an_archive() {
    let damage = [("pg_largeobject", 0), ("tickets", 0)];
    for (major, damage) in [(16, &damage[..]), (18, &damage[..1])] {
        let (Some((source, from)), Some(target)) = (objects(major, damage), Server::start(18))
        else {
            continue;
        };
        target.psql("postgres", "create role other");
        let run = salvage_things(&from);
        assert_eq!(run.status, 6, "{run}");
        let archive = run.path("archive");
        let text = fs::read_to_string(archive.join("losses.json")).expect("an account");
        let account: Value = serde_json::from_str(&text).expect("JSON");
        let objects = account["objects"].as_array().expect("a list");
        let of_class = |class: &str| -> BTreeSet<String> {
            let some = objects.iter().filter(|one| one["class"] == class);
            some.map(|one| one["object"].as_str().expect("a name").to_owned())
                .collect()
        };
        let lost = of_class("large object");
        // The first of another owner is alone in its list.
        assert!(lost.contains("20001") && lost.len() < 12, "{account:#}");
        assert_eq!(of_class("sequence").len(), damage.len() - 1, "{account:#}");
        assert_eq!(verify(&archive).status, 6);

        let to = target.database("restored");
        let restored = Pgconvoy::new([
            "restore",
            "--archive",
            &archive.display().to_string(),
            "--target",
            &to,
        ])
        .run();
        assert_eq!(restored.status, 6, "{restored}");
        let stock = target.database("stock");
        let stock = target
            .tool("pg_restore")
            .args(["--exit-on-error", "-d", &stock])
            .arg(&archive)
            .output();
        let stock = stock.expect("pg_restore runs");
        assert!(
            stock.status.success(),
            "{}",
            String::from_utf8_lossy(&stock.stderr)
        );
        let sound = contents(&source, "things", &lost);
        for database in ["restored", "stock"] {
            assert_eq!(
                contents(&target, database, &BTreeSet::new()),
                sound,
                "{database}"
            );
            assert_eq!(target.psql(database, "select last_value from sound"), "7");
            assert_eq!(target.psql(database, "select count(*) from t"), "100");
            let tickets = if damage.len() > 1 { "1" } else { "4711" };
            assert_eq!(
                target.psql(database, "select last_value from tickets"),
                tickets
            );
        }
    }
}

/// `pg_dump` reads all sequences of such a server at once.
#[test]
fn a_damaged_sequence_of_a_new_server_is_refused_by_name() {
    let Some((_source, from)) = objects(18, &[("tickets", 0)]) else {
        return;
    };
    let run = salvage_things(&from);
    assert_eq!(run.status, 2, "{run}");
    assert!(run.stderr.contains("public.tickets"), "{run}");
    assert!(run.stderr.contains("--target"), "{run}");
}

fn verify(archive: &Path) -> Finished {
    let archive = archive.display().to_string();
    Pgconvoy::new(["verify", "--archive", &archive]).run()
}

fn restore(lab: &Lab, archive: &Path, database: &str) -> Finished {
    let target = lab.target.database(database);
    let archive = archive.display().to_string();
    Pgconvoy::new([
        "restore",
        "--archive",
        &archive,
        "--target",
        &target,
        "--run-dir",
        "run",
    ])
    .run()
}

/// What arrived of the database that is called so is what must have.
fn check(lab: &Lab, (database, expected): (&str, &Expected), run: &Finished) {
    for (table, key) in TABLES {
        let mut should = lab.before.rows[table].clone();
        let lost = expected.lost.get(table).cloned().unwrap_or_default();
        should.retain(|key, _| !lost.contains(key));
        for (_, key, _) in expected.columns.iter().filter(|(of, ..)| *of == table) {
            "NULL".clone_into(&mut should.get_mut(key).expect("the row is there")[3]);
        }
        let there = rows_of(&lab.target, database, (table, key));
        assert!(should == there, "{table} is not what it must be\n{run}");
    }
}

#[test]
fn an_archive_has_the_account_in_it_and_is_never_taken_for_whole() {
    let cases = [hurt(), harmless("sound", |_| {})];
    let Some(lab) = Lab::start(18, false, &cases) else {
        return;
    };
    let run = salvage(&lab, "hurt");
    assert_eq!(run.status, 6, "{run}");
    assert!(run.stderr.contains("Salvaged, with losses"), "{run}");
    let archive = run.path("archive");
    let text = fs::read_to_string(archive.join("losses.json")).expect("an account");
    let account: Value = serde_json::from_str(&text).expect("JSON");
    let expected = (cases[0].expected)(&lab.before);
    let keys = fs::read_to_string(archive.join("lost-public.accounts.csv")).expect("keys");
    let keys: BTreeSet<String> = keys
        .lines()
        .skip(1)
        .filter_map(|line| line.split(',').nth(3))
        .map(str::to_owned)
        .collect();
    assert_eq!(keys, expected.lost["accounts"]);
    assert_eq!(
        account["tables"][0]["keys_file"], "lost-public.accounts.csv",
        "{account:#}"
    );

    let verified = verify(&archive);
    assert_eq!(verified.status, 6, "{verified}");
    assert!(
        verified.stderr.contains("does not hold everything"),
        "{verified}"
    );

    let shown = archive.display().to_string();
    let listed = Pgconvoy::new(["list", &shown]).run();
    assert_eq!(listed.status, 0, "{listed}");
    for said in ["; NOT whole, by its manifest", "; lost of public.accounts:"] {
        assert!(listed.stdout.contains(said), "{listed}");
    }

    let restored = restore(&lab, &archive, "restored");
    assert_eq!(restored.status, 6, "{restored}");
    assert!(
        restored.stderr.contains("this archive is incomplete"),
        "{restored}"
    );
    assert!(
        restored.stderr.contains("Salvaged, with losses"),
        "{restored}"
    );
    check(&lab, ("restored", &expected), &restored);
    let violations = restored.path("run/violations/public.posts.posts_account_id_fkey.csv");
    let violations = fs::read_to_string(violations).expect("posts of accounts that are lost");
    assert_eq!(violations.lines().count(), 1 + violating(&lab, &expected));

    // pg_restore takes it as well, and complains of that key alone.
    let conninfo = lab.target.database("stock");
    let stock = lab
        .target
        .tool("pg_restore")
        .arg("-d")
        .arg(&conninfo)
        .arg(&archive)
        .output();
    let stock = String::from_utf8_lossy(&stock.expect("pg_restore runs").stderr).into_owned();
    assert!(stock.contains("posts_account_id_fkey"), "{stock}");
    check(&lab, ("stock", &expected), &restored);

    // Whoever changes the account is found out.
    fs::write(
        archive.join("losses.json"),
        text.replace("accounts", "contacts"),
    )
    .expect("written");
    let verified = verify(&archive);
    assert_eq!(verified.status, 3, "{verified}");
    let refused = restore(&lab, &archive, "never");
    assert_eq!(refused.status, 4, "{refused}");
    assert!(refused.stderr.contains("losses.json"), "{refused}");

    sound(&lab);
}

/// An archive of a database that is not damaged is like any other.
fn sound(lab: &Lab) {
    let run = salvage(lab, "sound");
    assert_eq!(run.status, 0, "{run}");
    let archive = run.path("archive");
    assert!(!archive.join("losses.json").exists());
    let verified = verify(&archive);
    assert_eq!(verified.status, 0, "{verified}");
}

/// Posts that point to accounts that are lost.
fn violating(lab: &Lab, expected: &Expected) -> usize {
    let lost: Vec<&str> = expected.lost["accounts"]
        .iter()
        .map(String::as_str)
        .collect();
    let query = format!(
        "select count(*) from posts where account_id in ({})",
        lost.join(",")
    );
    lab.source
        .psql("template", &query)
        .parse()
        .expect("a number")
}

#[test]
fn an_archive_that_was_begun_goes_on_without_searching_again() {
    let cases = [hurt()];
    let Some(lab) = Lab::start(18, false, &cases) else {
        return;
    };
    let source = lab.source.conninfo("hurt");
    let mut begun = Pgconvoy::new([
        "salvage",
        "--source",
        &source,
        "--archive",
        "archive",
        "--run-dir",
        "run",
    ])
    .start();
    let map = begun.dir().join("run/salvage.json");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !map.exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    begun.kill();
    let begun = begun.finish();
    let journal = fs::read(begun.path("run/salvage.journal")).expect("a journal");
    let run_dir = begun.path("run").display().to_string();
    let run = Pgconvoy::new(["resume", &run_dir]).run();
    assert_eq!(run.status, 6, "{begun}\n{run}");
    assert_eq!(
        fs::read(begun.path("run/salvage.journal")).expect("a journal"),
        journal
    );
    let archive = begun.path("archive");
    assert_eq!(verify(&archive).status, 6);
    let restored = restore(&lab, &archive, "restored");
    assert_eq!(restored.status, 6, "{restored}");
    check(
        &lab,
        ("restored", &(cases[0].expected)(&lab.before)),
        &restored,
    );
}
