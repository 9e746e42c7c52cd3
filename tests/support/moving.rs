//! Moves by the real binary, what their reports say, and what the independent check says of both ends.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::binary::{Finished, Pgconvoy};
use super::server::{Server, newest_tools};

/// Where [`move_with`] has the run directory, below the directory of the run.
pub const RUN_DIR: &str = "run";

/// A move to be, with further arguments.
pub fn prepare(source: &str, target: &str, more: &[&str]) -> Pgconvoy {
    let fixed = [
        "move",
        "--source",
        source,
        "--target",
        target,
        "--run-dir",
        RUN_DIR,
    ];
    Pgconvoy::new(fixed.iter().chain(more))
}

/// Moves, with further arguments.
pub fn move_with(source: &str, target: &str, more: &[&str]) -> Finished {
    prepare(source, target, more).run()
}

/// What a run says that it could not verify: class and object.
pub fn unverified(run: &Finished) -> Vec<String> {
    let report = report(run);
    let named = report["unverified"].as_array().expect("a list").iter();
    named
        .map(|one| {
            let text = |key: &str| one[key].as_str().expect("a text");
            format!("{} {}", text("class"), text("object"))
        })
        .collect()
}

/// `report.json` of a run.
pub fn report(run: &Finished) -> Value {
    let path = run.path(RUN_DIR).join("report.json");
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}\n{run}", path.display()));
    serde_json::from_str(&text).expect("the report is JSON")
}

/// Asserts that a move ended proven, and says so wherever it says anything.
#[track_caller]
pub fn assert_proven(run: &Finished) -> Value {
    assert_eq!(run.status, 0, "{run}");
    let report = report(run);
    assert_eq!(report["status"], "proven", "{run}");
    for list in ["differences", "unverified"] {
        assert_eq!(report[list], Value::Array(Vec::new()), "{list}\n{run}");
    }
    report
}

/// The script of a fixture below `fixtures/schemas`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/schemas")
        .join(name)
}

/// Runs a fixture in a database, with psql variables: `target=18 pg_dump=18`. By way of `\i`, because some include others.
pub fn build(server: &Server, database: &str, name: &str, variables: &str) {
    let set = |variable: &str| format!("\\set {}\n", variable.replacen('=', " ", 1));
    let variables: String = variables.split_whitespace().map(set).collect();
    let script = format!("{variables}\\i '{}'\n", fixture(name).display());
    server.psql(database, &script);
}

/// Asks the independent check, which shares no code with us; what it says, and whether it says that both are equal.
pub fn independent_check(source: &str, target: &str, options: &[&str]) -> (bool, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/independent_check");
    let output = Command::new(script)
        .args(options)
        .args([source, target])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("PGCONVOY_PG_BIN", newest_tools())
        .output()
        .expect("the check starts");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.success() && said.starts_with("EQUAL"), said)
}

/// What the independent check has read of a source that nobody writes to: it reads it once, however many targets it is compared with.
#[derive(Debug)]
pub struct OnceRead(tempfile::TempDir);

impl OnceRead {
    /// Nothing is read yet.
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    /// [`independent_check`], always of the same source.
    pub fn check(&self, source: &str, target: &str) -> (bool, String) {
        self.check_and_dump(source, target).0
    }

    /// The same, with the target's schema, as its `pg_dump` wrote it.
    pub fn check_and_dump(&self, source: &str, target: &str) -> ((bool, String), String) {
        let dir = self.0.path().to_str().expect("UTF-8");
        // The check writes this last.
        let is_read = self.0.path().join("asked.source").exists();
        let from: &[&str] = if is_read {
            &["--source-from", dir]
        } else {
            &[]
        };
        let said = independent_check(source, target, &[&["--keep", dir], from].concat());
        let dump = std::fs::read(self.0.path().join("dump.target")).unwrap_or_default();
        (said, String::from_utf8_lossy(&dump).into_owned())
    }

    /// [`assert_equal`], always of the same source.
    #[track_caller]
    pub fn assert_equal(&self, what: &str, source: &str, target: &str) {
        let (equal, said) = self.check(source, target);
        assert!(equal, "{what}: {said}");
    }
}

/// Asserts that two databases are equal.
#[track_caller]
pub fn assert_equal(what: &str, source: &str, target: &str, options: &[&str]) {
    let (equal, said) = independent_check(source, target, options);
    assert!(equal, "{what}: {said}");
}

/// Asserts that nothing of ours stays behind on the target.
#[track_caller]
pub fn assert_no_ledger(server: &Server, database: &str) {
    let left = server.psql(
        database,
        "select nspname from pg_catalog.pg_namespace where nspname like 'pgconvoy%'",
    );
    assert_eq!(left, "", "left behind in {database}");
}

/// What would change if anybody wrote to a database: the next transaction's id, and the schema as `pg_dump` writes it.
#[derive(Debug, PartialEq, Eq)]
pub struct Untouched {
    next_transaction: String,
    schema: String,
}

impl Untouched {
    /// How it is now.
    pub fn of(server: &Server, database: &str) -> Self {
        let dump = server
            .tool("pg_dump")
            .args(["-s", "-d", &server.conninfo(database)])
            .output()
            .expect("pg_dump starts");
        assert!(
            dump.status.success(),
            "{}",
            String::from_utf8_lossy(&dump.stderr)
        );
        let lines = String::from_utf8_lossy(&dump.stdout);
        let is_lasting =
            |line: &&str| !line.starts_with(r"\restrict ") && !line.starts_with(r"\unrestrict ");
        Self {
            next_transaction: server.psql(
                database,
                "select txid_snapshot_xmax(txid_current_snapshot())",
            ),
            schema: lines
                .lines()
                .filter(is_lasting)
                .collect::<Vec<_>>()
                .join("\n"),
        }
    }
}
