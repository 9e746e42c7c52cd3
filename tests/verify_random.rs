//! A thousand random tables with random types and values: moved, they are the same; and one change to any of them is
//! found, with its row and its column. Half of them are done each time, by half of the routes, and all by `make test-versions`.
//!
//! The same tables every time, unless the environment says otherwise:
//!
//! | variable | says |
//! |---|---|
//! | `PGCONVOY_RANDOM_SEED` | another number to start from, or `fresh` for a new one each time; a failure shows it |
//! | `PGCONVOY_RANDOM_TABLES` | how many tables there are in all routes together, instead of a thousand |

#[path = "support/random_tables/mod.rs"]
mod random_tables;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pgconvoy::model::QualifiedName;
use serde_json::Value;

use random_tables::damage::{Deed, Image, Injury, Plan};
use random_tables::dice::Dice;
use random_tables::tables::Database;
use support::binary::{Finished, Pgconvoy};
use support::moving::{RUN_DIR, assert_proven, move_with, report};
use support::server::Server;

const SEED: u64 = 20_260;
const TABLES: u64 = 1000;
const ROUTES: u64 = 8;
/// One database holds so many of them, at most.
const TABLES_PER_DATABASE: u64 = 125;

/// Who moves.
#[derive(Debug, Clone, Copy)]
enum By {
    Pgconvoy,
    StockTools,
}

struct Route {
    /// Its number, so that no two have the same tables.
    number: u64,
    source: u32,
    target: u32,
    by: By,
}

fn number_from(variable: &str, default: u64) -> u64 {
    match std::env::var(variable).as_deref() {
        Ok("fresh") => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            u64::from(now.expect("a clock").subsec_nanos())
        }
        Ok(number) => number.parse().expect("a number"),
        Err(_) => default,
    }
}

fn travel(route: &Route) {
    let (Some(source), Some(target)) = (Server::start(route.source), Server::start(route.target))
    else {
        return;
    };
    let seed = number_from("PGCONVOY_RANDOM_SEED", SEED);
    println!("to see this again: PGCONVOY_RANDOM_SEED={seed}");
    let dice = |part| Dice::of_part(seed, route.number * 1000 + part);
    let each = Database::of_each_type(dice(0).next(), route.source);
    one_database((&source, &target), route, &each, dice(1));
    let mut left = number_from("PGCONVOY_RANDOM_TABLES", TABLES).div_ceil(ROUTES);
    let mut part = 2;
    while left > 0 {
        let tables = left.min(TABLES_PER_DATABASE);
        left -= tables;
        let database = Database::random(dice(part).next(), tables, route.source);
        one_database((&source, &target), route, &database, dice(part + 1));
        part += 2;
    }
}

fn one_database(
    (source, target): (&Server, &Server),
    route: &Route,
    database: &Database,
    mut dice: Dice,
) {
    let name = format!("random {}", dice.next());
    let (from, to) = (source.database(&name), target.database(&name));
    build(source, &name, database);
    match route.by {
        By::Pgconvoy => {
            assert_proven(&move_with(&from, &to, &[]));
        }
        By::StockTools => stock_move(source, target, &name),
    }
    let run = verify(&from, &to);
    assert_all_identical(&run, database);

    target.psql(
        "postgres",
        &format!("create database damaged template \"{name}\""),
    );
    let victims = database.tables.iter().filter(|_| dice.below(5) < 2);
    let victims: Vec<_> = victims.collect();
    let plan = Plan::new(victims.iter().copied(), &database.pool, &mut dice);
    let injuries = plan.done(&target.psql("damaged", &plan.script));
    assert!(
        injuries.len() * 4 >= victims.len() * 3,
        "{} of {} were changed",
        injuries.len(),
        victims.len()
    );
    let run = verify(&from, &target.conninfo("damaged"));
    assert_exactly_these(&run, &injuries, route);
    target.psql("postgres", "drop database damaged");
}

/// What psql complains of is enough to see; the script is long.
#[track_caller]
fn build(server: &Server, name: &str, database: &Database) {
    if let Err(said) = server.try_psql(name, &database.script) {
        let line = said
            .find("stdin>:")
            .and_then(|at| said[at + 7..].split(':').next()?.parse().ok());
        let lines = database
            .script
            .lines()
            .skip(line.map_or(0, |line: usize| line.saturating_sub(4)));
        panic!("{said}\n{}", lines.take(5).collect::<Vec<_>>().join("\n"));
    }
}

fn stock_move(source: &Server, target: &Server, database: &str) {
    let archive = source.cluster.dir().join("archive");
    let dump = source
        .tool("pg_dump")
        .args(["-Fc", "-Z0", "-f"])
        .arg(&archive)
        .arg("-d")
        .arg(source.conninfo(database))
        .output();
    let dump = dump.expect("pg_dump runs");
    assert!(
        dump.status.success(),
        "{}",
        String::from_utf8_lossy(&dump.stderr)
    );
    let restore = target
        .tool("pg_restore")
        .arg("-d")
        .arg(target.conninfo(database))
        .arg(&archive)
        .output();
    let said = String::from_utf8_lossy(&restore.expect("pg_restore runs").stderr).into_owned();
    let errors = said
        .lines()
        .filter(|line| line.contains("ERROR:") && !line.contains("transaction_timeout"));
    assert_eq!(errors.collect::<Vec<_>>(), [""; 0], "{said}");
    std::fs::remove_file(&archive).expect("the archive can be removed");
}

fn verify(from: &str, to: &str) -> Finished {
    Pgconvoy::new([
        "verify",
        "--source",
        from,
        "--target",
        to,
        "--run-dir",
        RUN_DIR,
        "--max-rows",
        "5",
    ])
    .timeout(Duration::from_secs(200))
    .run()
}

fn list<'a>(report: &'a Value, name: &str) -> &'a [Value] {
    report[name].as_array().map_or(&[], Vec::as_slice)
}

fn table_name(value: &Value) -> QualifiedName {
    serde_json::from_value(value["table"].clone()).expect("a table has a name")
}

fn verdicts(report: &Value) -> BTreeMap<QualifiedName, &str> {
    list(report, "tables")
        .iter()
        .map(|table| {
            (
                table_name(table),
                table["verdict"].as_str().expect("a verdict"),
            )
        })
        .collect()
}

#[track_caller]
fn assert_all_identical(run: &Finished, database: &Database) {
    let report = assert_proven(run);
    let verdicts = verdicts(&report);
    for table in &database.tables {
        assert_eq!(
            verdicts.get(&table.name),
            Some(&"identical"),
            "{}\n{run}",
            table.name
        );
    }
}

#[track_caller]
fn assert_exactly_these(run: &Finished, injuries: &[Injury], route: &Route) {
    assert_eq!(run.status, 3, "{run}");
    let report = report(run);
    assert_eq!(list(&report, "unverified"), [] as [Value; 0], "{run}");
    let damaged: BTreeMap<QualifiedName, &Injury> = injuries
        .iter()
        .map(|one| (one.table.clone(), one))
        .collect();
    let found: BTreeMap<String, &str> = list(&report, "differences")
        .iter()
        .map(|one| {
            assert_eq!(one["class"], "table data", "{one}");
            (
                one["object"].to_string(),
                one["kind"].as_str().expect("a kind"),
            )
        })
        .collect();
    let expected: BTreeMap<String, &str> = injuries
        .iter()
        .map(|one| (Value::from(one.table.shown()).to_string(), kind_of(one)))
        .collect();
    assert_eq!(found, expected, "{run}");
    for (table, verdict) in verdicts(&report) {
        let expected = if damaged.contains_key(&table) {
            "different"
        } else {
            "identical"
        };
        assert_eq!(verdict, expected, "{table}");
    }
    let mut told = BTreeSet::new();
    for rows in list(&report, "rows") {
        let table = table_name(rows);
        let injury = damaged
            .get(&table)
            .unwrap_or_else(|| panic!("{table} was not damaged"));
        assert_row(rows, injury, route);
        told.insert(table);
    }
    assert_eq!(told, damaged.into_keys().collect());
}

fn kind_of(injury: &Injury) -> &'static str {
    match injury.deed {
        Deed::Update => "different",
        Deed::Delete => "missing",
        Deed::Add => "extra",
    }
}

/// The row is named by its key, and its column by its name.
fn assert_row(rows: &Value, injury: &Injury, route: &Route) {
    let key: Vec<String> = serde_json::from_value(rows["key"].clone()).expect("a key");
    assert!(
        !injury.has_plain_key || !key.is_empty(),
        "no key was used: {rows}"
    );
    let changed = injury.changed();
    let is_key_changed = changed.iter().any(|column| key.contains(column));
    let totals = ["missing", "extra", "changed"].map(|total| rows[total].as_u64());
    let expected: &[[u64; 3]] = match injury.deed {
        Deed::Delete => &[[1, 0, 0]],
        Deed::Add => &[[0, 1, 0]],
        // Under a key that is equal, yet not the same, a row is a changed one.
        Deed::Update if is_key_changed => &[[1, 1, 0], [0, 0, 1]],
        Deed::Update if key.is_empty() => &[[1, 1, 0]],
        Deed::Update => &[[0, 0, 1]],
    };
    let is_expected = expected.iter().any(|one| totals == one.map(Some));
    assert!(
        is_expected && rows["exact"] == true,
        "{expected:?} were expected of {injury:?}: {rows}"
    );
    for example in list(rows, "examples") {
        assert_example(example, &key, injury, route);
    }
}

fn assert_example(example: &Value, key: &[String], injury: &Injury, route: &Route) {
    let image: Option<&Image> = match example["kind"].as_str() {
        Some("extra") => injury.after.as_ref(),
        _ => injury.before.as_ref(),
    };
    let image = image.unwrap_or_else(|| panic!("there is no such row: {example} of {injury:?}"));
    let told: Vec<Option<String>> = serde_json::from_value(example["key"].clone()).expect("a key");
    let is_float =
        |text: &Option<String>| text.as_ref().is_some_and(|text| text.contains(['.', 'e']));
    for (column, text) in key.iter().zip(&told) {
        // Before 12, a float is shown with more digits than it takes.
        if route.source >= 12 || !is_float(text) {
            assert_eq!(image.get(column), Some(text), "{example} of {injury:?}");
        }
    }
    if example["kind"] == "changed" {
        let columns: BTreeSet<&str> = list(example, "columns")
            .iter()
            .filter_map(|one| one["column"].as_str())
            .collect();
        let changed = injury.changed();
        assert_eq!(
            columns,
            changed.iter().map(String::as_str).collect(),
            "{example} of {injury:?}"
        );
    }
}

macro_rules! routes {
    ($($(#[$ignored:meta])? $test:ident: $number:literal, $source:literal to $target:literal by $by:ident;)*) => {
        $(#[test]
        $(#[$ignored])?
        fn $test() {
            travel(&Route { number: $number, source: $source, target: $target, by: By::$by });
        })*
    };
}

// The numbers are below ROUTES. Each pair of versions, and each who moves, is done every time; not every pair by both.
routes! {
    #[ignore = "make test-versions"]
    from_15_to_15_by_us: 0, 15 to 15 by Pgconvoy;
    from_15_to_15_by_the_stock_tools: 1, 15 to 15 by StockTools;
    #[ignore = "make test-versions"]
    from_18_to_18_by_us: 2, 18 to 18 by Pgconvoy;
    from_18_to_18_by_the_stock_tools: 3, 18 to 18 by StockTools;
    from_15_to_18_by_us: 4, 15 to 18 by Pgconvoy;
    #[ignore = "make test-versions"]
    from_15_to_18_by_the_stock_tools: 5, 15 to 18 by StockTools;
    from_10_to_18_by_us: 6, 10 to 18 by Pgconvoy;
    #[ignore = "make test-versions"]
    from_10_to_18_by_the_stock_tools: 7, 10 to 18 by StockTools;
}

/// The tables themselves, where there is nothing to verify them with: each route's script runs, and each change is one.
#[test]
fn the_dice_make_tables_that_servers_take() {
    for (version, number) in [(10, 7), (15, 1), (18, 3)] {
        let Some(server) = Server::start(version) else {
            return;
        };
        let seed = number_from("PGCONVOY_RANDOM_SEED", SEED);
        let database = Database::random(seed ^ number, 60, version);
        server.database("db");
        build(&server, "db", &database);
        let mut dice = Dice::new(seed);
        let plan = Plan::new(&database.tables, &database.pool, &mut dice);
        let injuries = plan.done(&server.psql("db", &plan.script));
        let deeds = [Deed::Update, Deed::Delete, Deed::Add];
        for deed in deeds {
            let count = injuries.iter().filter(|one| one.deed == deed).count();
            assert!(count > 5, "{deed:?}: {count} of {}", injuries.len());
        }
        for injury in injuries.iter().filter(|one| one.deed == Deed::Update) {
            assert!(!injury.changed().is_empty(), "{injury:?}");
        }
    }
}
