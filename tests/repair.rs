//! The repair, on real servers: damage, the file, psql, and a second look that finds nothing but what the file says it leaves.

mod support;

use std::path::Path;

use pgconvoy::catalog::source_facts;
use pgconvoy::model::{Difference, Endpoint, QualifiedName, RowKind};
use pgconvoy::pg::conninfo::{Conninfo, Environment};
use pgconvoy::pg::wire::Wire;
use pgconvoy::pg::{Connector, Session, Side};
use pgconvoy::toc::{CompareOptions, Toc};
use pgconvoy::verify::repair::{
    self, RepairColumn, RepairInput, RepairRow, RepairSide, TableRepair,
};
use pgconvoy::verify::{Observed, Outcome, Scope, compare_catalogs, compare_schemas, states};
use support::server::Server;

fn connector(server: &Server, database: &str) -> Connector {
    let conninfo = Conninfo::resolve(&server.conninfo(database), &Environment::of_process())
        .expect("a connection string");
    Connector::new(conninfo, Side::Source).expect("no TLS")
}

async fn session(server: &Server, database: &str) -> Session {
    let connector = connector(server, database);
    connector.session("test").await.expect("a session")
}

/// A connection with a snapshot open.
async fn wire(server: &Server, database: &str) -> Wire {
    let mut wire = connector(server, database)
        .wire("test")
        .await
        .expect("a connection");
    let begin = "begin transaction isolation level repeatable read, read only";
    wire.execute(&begin.into()).await.expect("a transaction");
    wire
}

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

/// All there is to know about one database.
struct Known {
    toc: Toc,
    observed: Observed,
    endpoint: Endpoint,
}

impl Known {
    async fn of(server: &Server, database: &str) -> Self {
        let session = session(server, database).await;
        let facts = source_facts(&session).await.expect("facts");
        let settings = states(&session).await.expect("settings");
        Self {
            toc: schema(server, database),
            observed: Observed::in_snapshot(&facts, settings),
            endpoint: Endpoint {
                host: "/tmp".to_owned(),
                port: 5432,
                database: database.to_owned(),
                user: "me\n; drop".to_owned(),
                version: None,
            },
        }
    }

    fn side(&self) -> RepairSide<'_> {
        RepairSide {
            endpoint: &self.endpoint,
            toc: &self.toc,
            observed: &self.observed,
        }
    }
}

fn compare(source: &Known, target: &Known, options: &CompareOptions) -> Outcome {
    let mut outcome = compare_schemas(&source.toc, &target.toc, options);
    let scope = Scope::of(&source.toc);
    let (ours, theirs) = (&source.observed, &target.observed);
    outcome.extend(compare_catalogs(ours, theirs, &scope, &options.restore));
    outcome
}

fn named(differences: &[Difference]) -> Vec<String> {
    let mut found: Vec<String> = differences
        .iter()
        .map(|one| format!("{:?} {} {}", one.kind, one.class, one.object))
        .collect();
    found.sort();
    found
}

/// What was written, and what it says it leaves.
struct Written {
    text: String,
    found: Vec<String>,
    left: Vec<(String, String)>,
}

/// Two databases on one server.
struct Pair<'a> {
    server: &'a Server,
    source: &'a str,
    target: &'a str,
    options: CompareOptions,
    superuser: bool,
}

impl Pair<'_> {
    fn new<'a>(server: &'a Server, source: &'a str, target: &'a str) -> Pair<'a> {
        Pair {
            server,
            source,
            target,
            options: CompareOptions::default(),
            superuser: true,
        }
    }

    async fn written(&self, more: &[Difference], tables: &[TableRepair]) -> Written {
        let source = Known::of(self.server, self.source).await;
        let target = Known::of(self.server, self.target).await;
        let mut differences = compare(&source, &target, &self.options).differences;
        differences.extend_from_slice(more);
        let input = RepairInput {
            differences: &differences,
            source: source.side(),
            target: target.side(),
            options: &self.options,
            tables,
            target_superuser: self.superuser,
            made_at: "2026-01-01 00:00:00Z",
        };
        let repair = repair::plan(&input);
        let mut text = Vec::new();
        let mut left = wire(self.server, self.source).await;
        let mut right = wire(self.server, self.target).await;
        repair
            .write(&mut left, &mut right, &mut text)
            .await
            .expect("a file");
        assert_eq!(
            repair.covered() + repair.not_covered().len(),
            differences.len()
        );
        let not_covered = repair.not_covered().iter();
        Written {
            text: String::from_utf8(text).expect("UTF-8"),
            found: named(&differences),
            left: not_covered
                .map(|one| {
                    let name = named(std::slice::from_ref(&one.difference)).remove(0);
                    (name, one.because.clone())
                })
                .collect(),
        }
    }

    async fn differences(&self) -> Vec<String> {
        let source = Known::of(self.server, self.source).await;
        let target = Known::of(self.server, self.target).await;
        named(&compare(&source, &target, &self.options).differences)
    }
}

/// A zoo and its copy, by the stock tools.
fn copied_zoo(server: &Server) {
    server.database("zoo");
    build(server, "zoo", "zoo.sql", "\\set pg_dump 18");
    server.database("copy");
    let archive = server.cluster.dir().join("zoo.dump");
    let dump = server
        .tool("pg_dump")
        .args(["-Fc", "-Z0", "-f"])
        .arg(&archive)
        .arg("-d")
        .arg(server.conninfo("zoo"))
        .status();
    assert!(dump.expect("pg_dump runs").success());
    let restore = server
        .tool("pg_restore")
        .arg("-d")
        .arg(server.conninfo("copy"))
        .arg(&archive)
        .output();
    let said = restore.expect("pg_restore runs");
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    let errors = said
        .lines()
        .filter(|line| line.contains("ERROR:") && !line.contains("transaction_timeout"));
    assert_eq!(errors.count(), 0, "{said}");
}

/// What a file may leave of the damages of `verify_damage.sql`, and no other.
const LEFT: [&str; 7] = [
    "Different domain zoo.labels",
    "Different table zoo.adopted",
    "Different table zoo.nulls",
    "Different type zoo.empty_enum",
    "Extra schema more",
    "Extra table zoo.one_more",
    "Missing table zoo.no_columns_no_rows",
];

#[tokio::test]
async fn every_damage_is_repaired_or_said_to_be_left() {
    let Some(server) = Server::start(15) else {
        return;
    };
    copied_zoo(&server);
    let script = include_str!("verify_damage.sql");
    for damage in script.split("\n-- damage: ").skip(1) {
        server.psql("copy", &format!("-- {damage}"));
    }
    let pair = Pair::new(&server, "zoo", "copy");
    let written = pair.written(&[], &[]).await;
    println!("{}", written.text);
    println!("{:#?}", written.left);
    server.psql("copy", &written.text);
    let left: Vec<&str> = written.left.iter().map(|(name, _)| name.as_str()).collect();
    let found = pair.differences().await;
    let unexpected: Vec<&String> = found
        .iter()
        .filter(|one| !left.contains(&one.as_str()))
        .collect();
    assert!(
        unexpected.is_empty(),
        "still there: {unexpected:#?}\nleft: {left:#?}"
    );
    for one in left {
        assert!(LEFT.contains(&one), "not covered: {one}");
    }
}
