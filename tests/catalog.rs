//! Every catalog query is understood by every server version, and what they say of a known database is true.

mod support;

use std::time::Duration;

use pgconvoy::catalog::{
    self, Circumstances, Counts, Orphans, Pulse, VersionedQuery, source_facts,
};
use pgconvoy::execute::{self, rebase};
use pgconvoy::model::QualifiedName;
use pgconvoy::pg::conninfo::{Conninfo, Environment};
use pgconvoy::pg::keeper;
use pgconvoy::pg::{Connector, Session, Side};
use pgconvoy::{salvage, verify};
use support::moving::build;
use support::server::{Server, servers};
use support::template::Holding;

async fn session(conninfo: &str) -> Session {
    let conninfo =
        Conninfo::resolve(conninfo, &Environment::of_process()).expect("a connection string");
    let connector = Connector::new(conninfo, Side::Source).expect("no TLS");
    connector.session("test").await.expect("a session")
}

fn majors() -> Vec<u32> {
    let mut majors: Vec<u32> = servers()
        .iter()
        .map(|install| install.version.major())
        .collect();
    majors.dedup();
    majors
}

#[tokio::test]
async fn every_server_understands_every_query() {
    for major in majors() {
        let Some(server) = Server::start(major) else {
            continue;
        };
        let session = session(&server.conninfo("postgres")).await;
        let queries = catalog::QUERIES
            .iter()
            .chain(catalog::CIRCUMSTANCES_QUERIES)
            .chain(verify::QUERIES)
            .chain(pgconvoy::follow::QUERIES);
        for query in queries {
            let query = VersionedQuery::for_server(query, session.version());
            if let Err(error) = session.prepare(query).await {
                panic!("{} on {major}: {error}", query.name);
            }
        }
        let ours = [
            &keeper::QUERIES[..],
            &rebase::QUERIES,
            &pgconvoy::sync::QUERIES,
            pgconvoy::pg::QUERIES,
            &salvage::QUERIES,
        ]
        .concat();
        let ours = ours.into_iter().map(|query| (0, query));
        for (since, query) in ours.chain(execute::progress_queries()) {
            if since > major {
                continue;
            }
            if let Err(error) = session.prepare(&query).await {
                panic!("{} on {major}: {error}", query.name);
            }
        }
    }
}

#[tokio::test]
async fn every_query_is_answered_on_every_server() {
    for major in majors() {
        let Some(server) = zoo(major) else {
            continue;
        };
        let session = session(&server.conninfo("zoo")).await;
        let facts = source_facts(&session)
            .await
            .unwrap_or_else(|error| panic!("{major}: {error}"));
        assert!(facts.tables.len() > 40, "{major}: {}", facts.tables.len());
        // The packaged server 10 carries control files of extensions that only later versions can read.
        if major > 10 {
            catalog::target_facts(&session).await.expect("answers");
        }
        catalog::readable_tables(&session).await.expect("answers");
        catalog::activity(&session).await.expect("answers");
        let now = Circumstances::read(&session).await.expect("answers");
        assert_eq!(now.refused, [], "{major}");
        assert!(
            now.connections.most > 0 && now.settings.len() >= 7,
            "{major}"
        );
        let pulse = Pulse::read(&session).await.expect("answers");
        assert!(pulse.rows_written > 0, "{major}");
        let orphans = Orphans::look(&session, Duration::from_secs(10)).await;
        let orphans = orphans.expect("answers");
        assert!(orphans.all > 0, "{major}");
        assert_eq!(
            (orphans.looked_at, &*orphans.found),
            (orphans.all, &[][..]),
            "{major}"
        );
        let keys = salvage::constraints(&session).await.expect("answers");
        assert!(keys.len() > 20, "{major}: {}", keys.len());
        for key in keys {
            let query = key.violations(&key.columns);
            let rows = session.query_text("violations", &query, &[]).await;
            let rows = rows.unwrap_or_else(|error| panic!("{major}: {query}: {error}"));
            assert_eq!(rows.len(), 0, "{major}: {query}");
        }
        let counts = Counts::look(&session, Duration::from_secs(10)).await;
        let counts = counts.expect("answers");
        assert_eq!(counts.found, [], "{major}");
        // Of a few, another index does as well as the key, or its type has no operators of its own.
        assert!(
            counts.all > 10 && counts.counted + 5 > counts.all,
            "{major}: {counts:?}"
        );
        let packed = catalog::packed_rows(&session).await.expect("answers");
        for table in &facts.tables {
            let least = packed.get(&table.name);
            assert!(least <= Some(&table.total), "{major}: {table:?}: {least:?}");
        }
        let states = verify::states(&session).await.expect("answers");
        assert!(states.len() > 20, "{major}: {}", states.len());
    }
}

fn zoo(major: u32) -> Option<Server> {
    Server::start_holding(major, Some(&Holding::zoo("")), |options| options)
}

fn of_zoo(name: &str) -> QualifiedName {
    QualifiedName::new("zoo", name)
}

#[tokio::test]
async fn the_facts_about_the_zoo_are_true() {
    let Some(server) = zoo(15) else {
        return;
    };
    build(&server, "zoo", "zoo-invalid-index.sql", "");
    let session = session(&server.conninfo("zoo")).await;
    let facts = source_facts(&session).await.expect("facts");

    let table = |name: &str| {
        let found = facts.tables.iter().find(|table| table.name == of_zoo(name));
        found.unwrap_or_else(|| panic!("no table {name}"))
    };
    assert!(table("unlogged").unlogged && !table("keyed").unlogged);
    assert!(table("animal").has_children && !table("trout").has_children);
    assert_eq!(
        table("measured_old").partition_root,
        Some(of_zoo("measured"))
    );
    assert!(
        facts
            .tables
            .iter()
            .all(|table| table.name != of_zoo("measured")),
        "a partitioned table has no rows of its own"
    );
    assert_eq!(table("indexed").integer_key.as_deref(), Some("id"));
    assert_eq!(table("identity_full").integer_key, None);
    let generated: Vec<&str> = facts
        .tables
        .iter()
        .filter(|table| table.columns.iter().any(|column| column.generated))
        .map(|table| table.name.name.as_str())
        .collect();
    assert!(!generated.is_empty());
    for table in &facts.tables {
        for column in &table.columns {
            assert!(facts.types.contains_key(&column.type_oid), "{}", table.name);
        }
    }

    let invalid: Vec<&str> = facts
        .indexes
        .iter()
        .filter(|index| !index.valid && !index.partitioned)
        .map(|index| index.name.name.as_str())
        .collect();
    assert_eq!(invalid, ["invalid_index_id"]);
    let not_validated: Vec<&str> = facts
        .constraints
        .iter()
        .filter(|constraint| !constraint.validated)
        .map(|constraint| constraint.name.as_str())
        .collect();
    assert_eq!(not_validated, ["more", "dangling_egg"]);

    let stands = |name: &str| {
        let found = facts.sequences.iter().find(|one| one.name == of_zoo(name));
        found.map(|one| (one.last_value, one.is_called))
    };
    assert_eq!(stands("untouched"), Some((1, false)));
    assert_eq!(stands("not_called"), Some((500, false)));
    assert_eq!(stands("tiny"), Some((32767, true)));
    assert_eq!(stands("huge"), Some((i64::MAX, true)));

    let unpopulated: Vec<&str> = facts
        .matviews
        .iter()
        .filter(|view| !view.populated)
        .map(|view| view.name.name.as_str())
        .collect();
    assert_eq!(unpopulated, ["unpopulated"]);
    assert_eq!(facts.large_objects.len(), 1506);
    let object = |oid: u32| {
        let found = facts
            .large_objects
            .iter()
            .find(|object| object.oid.0 == oid);
        found.expect("the large object is there")
    };
    assert_eq!(object(990_001).owner, "zoo_owner");
    assert_eq!(object(991_001).grants, None);
    let grants = object(990_003).grants.as_ref().expect("granted");
    assert!(
        grants
            .iter()
            .any(|grant| grant.grantee.as_deref() == Some("zoo_visitor") && grant.grantable)
    );
}
