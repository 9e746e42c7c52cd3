//! Two servers, a database or two to move, and what an undisturbed move of each looks like.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pgconvoy::pg::cluster::ClusterOptions;

use crate::support::binary::Pgconvoy;
use crate::support::moving::{OnceRead, Untouched, build};
use crate::support::server::Server;
use crate::support::template::Holding;

/// What is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fixture {
    /// Everything that `pg_dump` can write, once.
    Zoo,
    /// A social network, small.
    Mastodon,
}

impl Fixture {
    /// Also the name of the source's database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zoo => "zoo",
            Self::Mastodon => "mastodon",
        }
    }
}

/// So small that tables are copied in chunks, which are frozen and counted afterwards.
pub const SMALL_CHUNKS: [&str; 4] = ["--chunk-size", "64kB", "-j", "3"];

/// What an undisturbed move brought.
#[derive(Debug)]
pub struct Reference {
    /// The source.
    pub untouched: Untouched,
    /// What the independent check has read of it.
    pub read: OnceRead,
    /// The target's schema, as `pg_dump` writes it.
    pub schema: String,
    /// What the target knows about its own rows.
    pub statistics: String,
    /// How long it took.
    pub took: Duration,
}

/// The entries of a dump of a schema, in an order of their own: that of the dump follows oids where nothing else decides, and oids
/// follow the order in which jobs ended. Its keys, which are random, are in front of the first.
pub fn entries(dump: &str) -> String {
    let mut entries: Vec<&str> = dump
        .split("\n--\n-- Name: ")
        .skip(1)
        .map(|entry| {
            let end = entry.find("\n--\n-- PostgreSQL database dump complete");
            entry[..end.unwrap_or(entry.len())].trim_end()
        })
        .collect();
    entries.sort_unstable();
    entries.join("\n\n")
}

/// Autovacuum would assign transaction ids, and the source is to be as it was.
fn quiet(options: ClusterOptions) -> ClusterOptions {
    let options = options
        .setting("autovacuum", "off")
        .setting("wal_level", "logical");
    ClusterOptions {
        listen_tcp: true,
        ..options
    }
}

/// Two servers.
pub struct Lab {
    /// Where from.
    pub source: Server,
    /// Where to.
    pub target: Server,
    references: BTreeMap<Fixture, Reference>,
    /// Of the next target database.
    number: u32,
}

impl Lab {
    /// From 15 to 18; `None`, recorded as a skip, if they are not installed.
    pub fn start(fixtures: &[Fixture]) -> Option<Self> {
        Self::start_with(fixtures, |options| options)
    }

    /// For those who do not ask what an undisturbed move looks like: none is made.
    pub fn bare(fixtures: &[Fixture]) -> Option<Self> {
        Self::without_references(fixtures, quiet)
    }

    /// The same with the options of both servers changed.
    pub fn start_with(
        fixtures: &[Fixture],
        change: impl Fn(ClusterOptions) -> ClusterOptions,
    ) -> Option<Self> {
        let quiet = |options: ClusterOptions| change(quiet(options));
        let mut lab = Self::without_references(fixtures, quiet)?;
        // All are built before any is looked at: the servers' transactions are counted together.
        for &fixture in fixtures {
            let reference = lab.undisturbed(fixture);
            lab.references.insert(fixture, reference);
        }
        Some(lab)
    }

    fn without_references(
        fixtures: &[Fixture],
        options: impl Fn(ClusterOptions) -> ClusterOptions,
    ) -> Option<Self> {
        let zoo = Holding::zoo("target=18 subscription=off");
        let zoo = fixtures.contains(&Fixture::Zoo).then_some(&zoo);
        let lab = Self {
            source: Server::start_holding(15, zoo, &options)?,
            target: Server::start_with(18, &options)?,
            references: BTreeMap::new(),
            number: 0,
        };
        build(&lab.target, "postgres", "zoo-roles.sql", "");
        if fixtures.contains(&Fixture::Mastodon) {
            lab.source.database("mastodon");
            build(&lab.source, "mastodon", "mastodon.sql", "scale=0.001");
        }
        Some(lab)
    }

    fn undisturbed(&self, fixture: Fixture) -> Reference {
        let untouched = Untouched::of(&self.source, fixture.name());
        let database = format!("undisturbed {}", fixture.name());
        let target = self.target.database(&database);
        let source = self.source.conninfo(fixture.name());
        let began = Instant::now();
        let mut arguments = vec!["move", "--source", &source, "--target", &target];
        arguments.extend(SMALL_CHUNKS);
        let run = Pgconvoy::new(arguments).run();
        let took = began.elapsed();
        assert_eq!(run.status, 0, "{run}");
        let read = OnceRead::new();
        let ((equal, said), dump) = read.check_and_dump(&source, &target);
        assert!(equal, "the undisturbed move: {said}");
        let schema = entries(&dump);
        assert!(schema.lines().count() > 100, "it has no schema: {dump}");
        Reference {
            untouched,
            read,
            schema,
            statistics: self.statistics(&database),
            took,
        }
    }

    /// What an undisturbed move of this database brought.
    pub fn reference(&self, fixture: Fixture) -> &Reference {
        &self.references[&fixture]
    }

    /// The number of the next case.
    pub fn next_number(&mut self) -> u32 {
        self.number += 1;
        self.number
    }

    /// Conninfo of a source.
    pub fn from(&self, fixture: Fixture) -> String {
        self.source.conninfo(fixture.name())
    }

    /// Conninfo of a target.
    pub fn to(&self, database: &str) -> String {
        self.target.conninfo(database)
    }

    /// Which relations have planner statistics: a resumption that forgets ANALYZE leaves the same rows behind, and is slow.
    /// Those that are partitioned by the hash of an oid have other rows each time.
    pub fn statistics(&self, database: &str) -> String {
        self.target.psql(
            database,
            "select s.starelid::regclass, count(*), c.reltuples
             from pg_catalog.pg_statistic s join pg_catalog.pg_class c on c.oid = s.starelid
             where c.relnamespace <> 'pg_catalog'::regnamespace and c.relname !~ '^by_mood_'
             group by s.starelid, c.reltuples order by s.starelid::regclass::text collate \"C\"",
        )
    }
}
