//! An archive instead of a target: it holds what could be read, says that it is not whole, and has the account in it; whoever restores
//! it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::{Case, Expected, Lab, PAGE, TABLES, harmless, rows_of};
use crate::support::binary::{Finished, Pgconvoy};

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
        verified.stderr.contains("not all that there was"),
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
        restored.stderr.contains("this archive is not whole"),
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
