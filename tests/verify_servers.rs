//! The final check, on real servers: what the stock tools moved is the same, and each kind of damage is found, by name.

mod support;

use std::path::Path;

use pgconvoy::catalog::source_facts;
use pgconvoy::model::QualifiedName;
use pgconvoy::pg::conninfo::{Conninfo, Environment};
use pgconvoy::pg::{Connector, Session, Side};
use pgconvoy::toc::{CompareOptions, RestoreOptions, Toc};
use pgconvoy::verify::{
    Observed, Outcome, Scope, compare_catalogs, compare_schemas, excluded_are_empty, states,
};
use support::server::Server;

async fn session(server: &Server, database: &str) -> Session {
    let conninfo = Conninfo::resolve(&server.conninfo(database), &Environment::of_process())
        .expect("a connection string");
    let connector = Connector::new(conninfo, Side::Source).expect("no TLS");
    connector.session("test").await.expect("a session")
}

/// By way of `\i`, because the fixture includes others beside it. The variables say where the zoo will go.
fn build(server: &Server, database: &str, fixture: &str, variables: &str) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/schemas");
    let file = directory.join(fixture);
    let script = format!("{variables}\n\\i '{}'\n", file.display());
    server.psql(database, &script);
}

fn schema(server: &Server, database: &str) -> Toc {
    let dump = server
        .tool("pg_dump")
        .args(["-Fc", "--schema-only", "-d"])
        .arg(server.conninfo(database))
        .output()
        .expect("pg_dump runs");
    let said = String::from_utf8_lossy(&dump.stderr);
    assert!(dump.status.success(), "pg_dump: {said}");
    Toc::parse(&dump.stdout).expect("a table of contents")
}

/// Two databases, of which one is to be what the other is.
struct Move<'a> {
    source: (&'a Server, &'a str),
    target: (&'a Server, &'a str),
    restore: RestoreOptions,
}

impl Move<'_> {
    /// Moves everything with the stock tools.
    fn run(&self, arguments: &[&str]) {
        let ((source, from), (target, to)) = (self.source, self.target);
        target.database(to);
        let archive = source.cluster.dir().join(format!("{from}.dump"));
        let dump = source
            .tool("pg_dump")
            .args(["-Fc", "-Z0", "-f"])
            .arg(&archive)
            .arg("-d")
            .arg(source.conninfo(from))
            .output()
            .expect("pg_dump runs");
        let said = String::from_utf8_lossy(&dump.stderr);
        assert!(dump.status.success(), "pg_dump: {said}");
        let restore = target
            .tool("pg_restore")
            .args(arguments)
            .arg("-d")
            .arg(target.conninfo(to))
            .arg(&archive)
            .output()
            .expect("pg_restore runs");
        let said = String::from_utf8_lossy(&restore.stderr);
        // What a new pg_restore sets that an old server does not know is no error of the move.
        let errors = said
            .lines()
            .filter(|line| line.contains("ERROR:") && !line.contains("transaction_timeout"));
        assert_eq!(errors.collect::<Vec<_>>(), [""; 0], "pg_restore: {said}");
    }

    async fn verify(&self) -> Outcome {
        let (source, target) = (
            session(self.source.0, self.source.1).await,
            session(self.target.0, self.target.1).await,
        );
        let (left, right) = (
            schema(self.source.0, self.source.1),
            schema(self.target.0, self.target.1),
        );
        let options = CompareOptions {
            restore: self.restore,
            source_major: source.version().major(),
            target_major: target.version().major(),
            ..CompareOptions::default()
        };
        let mut outcome = compare_schemas(&left, &right, &options);
        let facts = source_facts(&source).await.expect("facts");
        let settings = states(&source).await.expect("settings");
        let ours = Observed::in_snapshot(&facts, settings);
        let theirs = Observed::read(&target).await.expect("facts");
        let scope = Scope::of(&left);
        outcome.extend(compare_catalogs(&ours, &theirs, &scope, &self.restore));
        outcome
    }
}

fn named(outcome: &Outcome) -> Vec<String> {
    let mut found: Vec<String> = outcome
        .differences
        .iter()
        .map(|one| format!("{:?} {} {}", one.kind, one.class, one.object))
        .collect();
    found.sort();
    found
}

fn assert_same(outcome: &Outcome, what: &str) {
    assert!(outcome.is_same(), "{what}: {outcome:#?}");
    let count = |name: &str| {
        let found = outcome.checked.iter().find(|(what, _)| what == name);
        found.map_or(0, |(_, count)| *count)
    };
    for name in ["definitions", "indexes", "constraints", "sequences"] {
        assert!(count(name) > 5, "{what}: {name}: {:?}", outcome.checked);
    }
}

async fn a_move_is_the_same(from: u32, to: u32) {
    let (Some(source), Some(target)) = (Server::start(from), Server::start(to)) else {
        return;
    };
    for fixture in ["zoo", "mastodon"] {
        source.database(fixture);
        let file = format!("{fixture}.sql");
        let variables = match fixture {
            "zoo" => format!("\\set target {to}\n\\set pg_dump 18\n\\set xml off\n\\set icu off"),
            _ => "\\set scale 0.001".to_owned(),
        };
        build(&source, fixture, &file, &variables);
        if fixture == "zoo" {
            build(&source, fixture, "zoo-invalid-index.sql", "");
            build(&target, "postgres", "zoo-roles.sql", "");
        }
        let moved = Move {
            source: (&source, fixture),
            target: (&target, fixture),
            restore: RestoreOptions::default(),
        };
        moved.run(&[]);
        let outcome = moved.verify().await;
        assert_same(&outcome, &format!("{fixture} {from} to {to}"));
        if fixture == "zoo" {
            let about = |note: &&String| note.contains("zoo.invalid_index_id");
            assert_eq!(outcome.notes.iter().filter(about).count(), 1);
        }
    }
}

#[tokio::test]
async fn a_move_from_15_to_15_is_the_same() {
    a_move_is_the_same(15, 15).await;
}

#[tokio::test]
async fn a_move_from_15_to_18_is_the_same() {
    a_move_is_the_same(15, 18).await;
}

#[tokio::test]
async fn a_move_from_10_to_18_is_the_same() {
    a_move_is_the_same(10, 18).await;
}

#[tokio::test]
async fn a_move_from_10_to_15_is_the_same() {
    a_move_is_the_same(10, 15).await;
}

#[tokio::test]
async fn a_move_from_12_to_17_is_the_same() {
    a_move_is_the_same(12, 17).await;
}

#[tokio::test]
async fn a_move_from_18_to_18_is_the_same() {
    a_move_is_the_same(18, 18).await;
}
