//! Every catalog query is understood by every server version, and what they say of a known database is true.

mod support;

use std::time::Duration;

use pgconvoy::catalog::{
    self, Circumstances, Counts, NotDumpedKind, Orphans, Pulse, VersionedQuery, source_facts,
};
use pgconvoy::execute::{self, rebase};
use pgconvoy::model::{QualifiedName, ServerVersion};
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
        // Nothing that the server brings looks as if somebody had made or changed it.
        let hidden = verify::Hidden::read(&session).await.expect("answers");
        let mut left_behind = hidden.left_behind().into_iter();
        let of_system = left_behind.find(|one| one.kind == NotDumpedKind::InSystemSchema);
        assert_eq!(of_system, None, "{major}");
    }
}

/// The most rows that a part of a plan has looked at: those that it has handed on, or those that it has left out.
fn most_looked_at(plan: &str) -> f64 {
    let mut loops = 0.0;
    let mut most = 0.0_f64;
    for line in plan.lines() {
        let rows = if let Some((_, counts)) = line.split_once("(actual rows=") {
            let counts = counts.split_once(')').map_or(counts, |(counts, _)| counts);
            let Some((rows, times)) = counts.split_once(" loops=") else {
                panic!("{line}");
            };
            loops = times.parse().expect("a number");
            rows
        } else if let Some((_, rows)) = line.split_once("Rows Removed by ") {
            rows.rsplit(' ').next().unwrap_or_default()
        } else {
            continue;
        };
        most = most.max(loops * rows.parse::<f64>().expect("a number"));
    }
    most
}

/// A database of many tables is read in a time that grows with their number, and not with its square: nothing is searched anew for each
/// of them, whether the server has little memory for it or as much as usual.
#[test]
fn the_catalog_is_not_searched_anew_for_each_table() {
    let by_version = [
        catalog::QUERIES,
        catalog::CIRCUMSTANCES_QUERIES,
        verify::QUERIES,
    ];
    let little = "select set_config(name, '1', false) from pg_settings where name = 'hash_mem_multiplier'; \
                  set work_mem = '64kB'";
    for major in [10, 18] {
        let Some(server) = Server::start(major) else {
            continue;
        };
        server.database("many");
        let tables = "do $$ begin for i in 1..500 loop \
                      execute format('create table t%s (id int primary key, v text)', i); end loop; end $$";
        server.psql(
            "many",
            &format!("{tables}; analyze pg_catalog.pg_attribute; analyze pg_catalog.pg_constraint"),
        );
        let version = ServerVersion(major * 10_000);
        let by_version = by_version.into_iter().flatten();
        let queries = by_version.map(|query| *query.for_server(version));
        let queries = queries.chain(salvage::QUERIES);
        // What has a place for something is not asked for everything, and what could be created is in no table.
        let left_out = ["$", ":oids", "pg_available_extension"];
        let queries = queries.filter(|query| left_out.iter().all(|one| !query.sql.contains(one)));
        // For each key it looks through all collations: some hundreds, however many tables there are.
        let queries = queries.filter(|query| query.name != "salvage/keys.sql");
        let looked_at = queries.flat_map(|query| {
            ["set work_mem = '4MB'", little].map(|memory| {
                let explain = "explain (analyze, costs off, timing off, summary off)";
                let plan = server.psql("many", &format!("{memory}; {explain} {}", query.sql));
                (query.name, most_looked_at(&plan), plan)
            })
        });
        let looked_at: Vec<_> = looked_at.collect();
        // All columns of all relations are some thousands, and some queries look at those; a quarter of a million is the square.
        let thousands = looked_at.iter().filter(|(_, most, _)| *most > 2000.0);
        assert!(thousands.count() > 5, "{major}: {looked_at:?}");
        let squares = looked_at.iter().filter(|(_, most, _)| *most > 50_000.0);
        let squares: Vec<_> = squares
            .map(|(name, most, plan)| format!("{name}: {most} of\n{plan}"))
            .collect();
        assert!(squares.is_empty(), "{major}: {}", squares.join("\n"));
    }
}

/// What has an array of arrays in it, each since a version of Postgres.
const OF_ARRAYS: [(u32, &str); 17] = [
    (
        10,
        "create view v as select any_of(array[x.n]) as n from (select array_agg(v) as n from t) x",
    ),
    (
        10,
        "create rule r as on insert to t where any_of(array[new.l]) > 0 do instead nothing",
    ),
    (10, "alter table t add check (any_of(array[l]) > 0)"),
    (
        10,
        "alter table t alter v set default array[array[current_user]]::text",
    ),
    (
        10,
        "create domain d as text check (any_of(array[array[value]]) > 0)",
    ),
    (
        10,
        "create domain d as text default array[array[current_user]]::text",
    ),
    (10, "create index on t (any_of(array[l]))"),
    (10, "create index on t (v) where any_of(array[l]) > 0"),
    (10, "create policy p on t using (any_of(array[l]) > 0)"),
    (
        10,
        "create policy p on t for insert with check (any_of(array[l]) > 0)",
    ),
    (
        10,
        "create trigger g before update on t for each row when (any_of(array[new.l]) > 0) execute procedure g()",
    ),
    (
        10,
        "create table p (l varchar[]) partition by range (any_of(array[l]))",
    ),
    (
        10,
        "create function f(a text[] default array[array[current_user]]) returns int language sql as 'select 1'",
    ),
    (
        14,
        "create function f(l varchar[]) returns text[] language sql return array[l]::text[]",
    ),
    (14, "create statistics s on (any_of(array[l])), v from t"),
    (
        15,
        "create publication p for table t where (array[array[v]] = array[array['x'::varchar]])",
    ),
    // Nothing else has to be there.
    (
        10,
        "drop view w; create view w as select array[array[v]] as n from t",
    ),
];

/// Each has arrays in it, and none in another one.
const OF_SINGLE_VALUES: &str =
    "create table t (v varchar, l varchar[], check (v in ('a', ':multidims true')));
    create function any_of(text[]) returns int language plpgsql immutable as 'begin return 1; end';
    create function g() returns trigger language plpgsql as 'begin return new; end';
    create view w as select array[v, v] as \":multidims true\", array[l::text] as n, array['x'::name] || array[v]::name[] as m from t";

#[test]
fn an_array_of_arrays_is_found_wherever_a_dump_spells_one() {
    let mut queries = verify::QUERIES.iter();
    let query = queries.find(|query| query.newest.name == "nested_arrays.sql");
    let sql = query.expect("the query").newest.sql;
    for major in majors() {
        let Some(server) = Server::start(major) else {
            continue;
        };
        server.database("db");
        server.psql("db", OF_SINGLE_VALUES);
        assert_eq!(server.psql("db", sql), "f", "{major}");
        let known = OF_ARRAYS.iter().filter(|(since, _)| *since <= major);
        let known: Vec<&str> = known.map(|(_, made)| *made).collect();
        let asked = known
            .iter()
            .map(|made| format!("begin; {made};\n{sql};\nrollback;\n"));
        let found = server.psql("db", &asked.collect::<String>());
        let answers = known.iter().zip(found.lines());
        let missed: Vec<_> = answers.filter(|(_, answer)| *answer != "t").collect();
        assert!(missed.is_empty(), "{major}: {missed:?}");
        assert_eq!(found.lines().count(), known.len(), "{major}: {found}");
        // What an extension has is in its script, and in no dump.
        let of_extension = format!(
            "begin; create view v as select array[array[v]] as n from t; alter extension plpgsql add view v;\n{sql};\nrollback"
        );
        assert_eq!(server.psql("db", &of_extension), "f", "{major}");
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
