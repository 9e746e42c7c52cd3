//! What is the same on servers of different versions is found to be the same, and each of some forty changes is found, by name.

use pgconvoy::model::{Difference, DifferenceKind};
use pgconvoy::toc::{CompareOptions, RestoreOptions, Toc, compare};

use super::archives;

fn moved(name: &str) -> Toc {
    toc(&format!("compared/moved/{name}.toc"))
}

fn toc(file: &str) -> Toc {
    Toc::parse(&archives::bytes(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn between(source_major: u32, target_major: u32) -> CompareOptions {
    CompareOptions {
        source_major,
        target_major,
        ..CompareOptions::default()
    }
}

/// `Missing table s.t`, as `schema/changes.sql` puts it.
fn named(difference: &Difference) -> String {
    format!(
        "{:?} {} {}",
        difference.kind, difference.class, difference.object
    )
}

#[test]
fn a_moved_schema_is_the_same() {
    for (source, target) in [(10, 15), (10, 18), (15, 15), (15, 18), (18, 18)] {
        let left = moved(&source.to_string());
        let right = moved(&format!("{source}-to-{target}"));
        assert!(left.entries.len() > 150);
        let mut options = between(source, target);
        // pg_dump 18 says run_as_owner of every subscription, and servers before 16 refuse it.
        options.restore.no_subscriptions = target < 16;
        let differences = compare(&left, &right, &options);
        assert_eq!(differences, [], "{source} to {target}");
        (options.source_major, options.target_major) = (target, source);
        let backwards = compare(&right, &left, &options);
        assert_eq!(backwards, [], "{target} from {source}");
    }
}

/// The rules on wording are in force only between the versions that they are for.
#[test]
fn other_wording_is_a_difference_where_no_version_explains_it() {
    let left = moved("10");
    let right = moved("10-to-18");
    let unexplained = compare(&left, &right, &between(18, 18));
    let classes: Vec<&str> = unexplained.iter().map(|d| d.class.as_str()).collect();
    for class in ["view", "materialized view", "trigger", "type", "table"] {
        assert!(classes.contains(&class), "{class}: {classes:?}");
    }
    assert!(
        unexplained
            .iter()
            .all(|d| d.kind == DifferenceKind::Different)
    );
}

#[test]
fn each_change_is_found_by_name() {
    let script = String::from_utf8(archives::bytes("schema/changes.sql")).expect("UTF-8");
    let base = toc("compared/changed/base.toc");
    let changes: Vec<&str> = script.split("\n-- change: ").skip(1).collect();
    assert!(changes.len() > 40);
    let mut wrong = Vec::new();
    for (number, change) in (1..).zip(changes) {
        let title = change.lines().next().unwrap_or_default();
        let mut expected: Vec<&str> = change
            .lines()
            .filter_map(|line| line.strip_prefix("-- expect: "))
            .collect();
        expected.sort_unstable();
        let after = toc(&format!("compared/changed/{number:02}.toc"));
        let differences = compare(&base, &after, &between(15, 15));
        let mut found: Vec<String> = differences.iter().map(named).collect();
        found.sort_unstable();
        if found != expected {
            wrong.push(format!(
                "{number} {title}: {found:#?} instead of {expected:#?}"
            ));
        }
        // The rules on wording must not hide it either.
        let across = compare(&base, &after, &between(10, 18));
        assert_eq!(across.len(), differences.len(), "{number}: {title}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_detail_shows_both_sides_whole() {
    let base = toc("compared/changed/base.toc");
    let detail = |number: u32| {
        let changed = toc(&format!("compared/changed/{number:02}.toc"));
        let differences = compare(&base, &changed, &between(15, 15));
        let table = differences.into_iter().find(|found| found.class == "table");
        table.expect("a table differs").detail
    };
    assert_eq!(
        detail(4),
        "  CREATE TABLE s.t (\n      id integer NOT NULL,\n      a text DEFAULT 'x'::text,\n      b integer NOT NULL,\n      c s.mood,\n+     d integer,\n      CONSTRAINT t_b_check CHECK ((b > 0))\n  );"
    );
    assert_eq!(
        detail(27).lines().last(),
        Some("owner: \"postgres\" on the source, \"carol\" on the target")
    );
}

#[test]
fn what_was_left_out_on_purpose_is_not_missed() {
    let base = toc("compared/changed/base.toc");
    let with = |restore: RestoreOptions| CompareOptions {
        restore,
        ..between(15, 15)
    };
    let no_owner = with(RestoreOptions {
        no_owner: true,
        no_acl: true,
        ..RestoreOptions::default()
    });
    let no_comments = with(RestoreOptions {
        no_comments: true,
        ..RestoreOptions::default()
    });
    let changed = |title: &str| {
        let script = String::from_utf8(archives::bytes("schema/changes.sql")).expect("UTF-8");
        let number = script
            .split("\n-- change: ")
            .position(|change| change.lines().next() == Some(title))
            .unwrap_or_else(|| panic!("no change {title}"));
        toc(&format!("compared/changed/{number:02}.toc"))
    };
    for title in [
        "another owner",
        "a grant",
        "a grant on a column",
        "an owner of the schema",
    ] {
        assert_eq!(compare(&base, &changed(title), &no_owner), [], "{title}");
        assert_ne!(compare(&base, &changed(title), &no_comments), [], "{title}");
    }
    assert_eq!(
        compare(&base, &changed("a comment is gone"), &no_comments),
        []
    );
    let everything = CompareOptions {
        exclude_schemas: Vec::new(),
        ..between(15, 15)
    };
    let ledger = changed("the ledger of a run");
    let found: Vec<String> = compare(&base, &ledger, &everything)
        .iter()
        .map(named)
        .collect();
    assert!(
        found.contains(&"Extra table pgconvoy.done".to_owned()),
        "{found:?}"
    );
    assert!(
        found.contains(&"Extra comment SCHEMA pgconvoy".to_owned()),
        "{found:?}"
    );
}

#[test]
fn text_in_different_encodings_is_not_compared_in_silence() {
    let found = compare(
        &archives::custom("15-latin1"),
        &archives::custom("15-ascii"),
        &CompareOptions::default(),
    );
    assert_eq!(named(&found[0]), "Different encoding dump");
    assert_eq!(found[0].detail, "source: LATIN1\ntarget: SQL_ASCII");
}
