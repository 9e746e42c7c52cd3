//! temporary
use crate::list::{Fixture, damages};
use crate::support::server::Server;
use crate::support::moving;
use pgconvoy::catalog::source_facts;
use pgconvoy::pg::conninfo::{Conninfo, Environment};
use pgconvoy::pg::{Connector, Session, Side};
use pgconvoy::toc::{CompareOptions, RestoreOptions, Toc};
use pgconvoy::verify::{Observed, Outcome, Scope, compare_catalogs, compare_schemas, states};
async fn session(server: &Server, database: &str) -> Session {
    let conninfo = Conninfo::resolve(&server.conninfo(database), &Environment::of_process()).unwrap();
    Connector::new(conninfo, Side::Source).unwrap().session("test").await.unwrap()
}
fn schema(server: &Server, database: &str) -> Toc {
    let dump = server.tool("pg_dump").args(["-Fc", "-Z0", "--schema-only", "-d"]).arg(server.conninfo(database)).output().unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    Toc::parse(&dump.stdout).unwrap()
}
async fn verify(server: &Server, from: &str, to: &str) -> Outcome {
    let (source, target) = (session(server, from).await, session(server, to).await);
    let (left, right) = (schema(server, from), schema(server, to));
    let options = CompareOptions { source_major: 15, target_major: 15, ..CompareOptions::default() };
    let mut outcome = compare_schemas(&left, &right, &options);
    let facts = source_facts(&source).await.unwrap();
    let settings = states(&source).await.unwrap();
    let ours = Observed::in_snapshot(&facts, settings);
    let theirs = Observed::read(&target).await.unwrap();
    outcome.extend(compare_catalogs(&ours, &theirs, &Scope::of(&left), &RestoreOptions::default()));
    outcome
}
#[tokio::test]
async fn lib() {
    let only = std::env::var("ONLY").unwrap_or_default();
    let server = Server::start(15).unwrap();
    server.psql("postgres", &std::fs::read_to_string(moving::fixture("zoo-roles.sql")).unwrap());
    let mut bad = 0;
    for (fixture, name) in [(Fixture::Zoo, "zoo"), (Fixture::Contrib, "zoo-contrib"), (Fixture::Mastodon, "mastodon")] {
        server.database(name);
        moving::build(&server, name, &format!("{name}.sql"), "pg_dump=18 subscription=off scale=0.001");
        if fixture == Fixture::Zoo { server.psql_file(name, std::path::Path::new("tests/verify/unruly.sql")); }
        let to = format!("{name}_moved");
        server.database(&to);
        let run = moving::move_with(&server.conninfo(name), &server.conninfo(&to), &[]);
        assert_eq!(run.status, 0, "{run}");
        for damage in damages().into_iter().filter(|one| one.fixture == fixture && one.title.contains(&only)) {
            server.psql("postgres", &format!("create database damaged template \"{to}\""));
            let done = server.try_psql("damaged", &damage.sql);
            if let Err(said) = done { println!("## {}\n  FAILS {said}", damage.title); bad += 1; }
            else {
                let mut found: Vec<String> = verify(&server, name, "damaged").await.differences.iter()
                    .map(|one| format!("{:?} {} {}", one.kind, one.class, one.object.replace('\n', "⏎"))).collect();
                let data: Vec<String> = damage.expected.iter().filter(|one| one.contains(" table data ") || one.contains("materialized view zoo.") || one.contains(" large object ")).filter(|one| !found.contains(one)).cloned().collect();
                found.extend(data);
                found.sort();
                if found != damage.expected { bad += 1; println!("## {}\n  found {found:#?}\n  expected {:#?}", damage.title, damage.expected); }
            }
            server.psql("postgres", "drop database damaged with (force)");
        }
    }
    println!("BAD {bad}");
}
