//! Two servers, a database or two to move, and what an undisturbed move of each looks like.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pgconvoy::pg::cluster::ClusterOptions;

use crate::support::binary::Pgconvoy;
use crate::support::moving::{Untouched, assert_equal, build};
use crate::support::server::Server;

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
    /// The target's schema, as `pg_dump` writes it.
    pub schema: String,
    /// What the target knows about its own rows.
    pub statistics: String,
    /// How long it took.
    pub took: Duration,
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

    /// The same with the options of both servers changed.
    pub fn start_with(
        fixtures: &[Fixture],
        change: impl Fn(ClusterOptions) -> ClusterOptions,
    ) -> Option<Self> {
        // Autovacuum would assign transaction ids, and the source is to be as it was.
        let quiet = |options: ClusterOptions| {
            let options = options.setting("autovacuum", "off");
            change(ClusterOptions {
                listen_tcp: true,
                ..options.setting("wal_level", "logical")
            })
        };
        let source = Server::start_with(15, quiet)?;
        let target = Server::start_with(18, quiet)?;
        build(&target, "postgres", "zoo-roles.sql", "");
        let mut lab = Self {
            source,
            target,
            references: BTreeMap::new(),
            number: 0,
        };
        for &fixture in fixtures {
            lab.build_source(fixture);
        }
        // All are built before any is looked at: the servers' transactions are counted together.
        for &fixture in fixtures {
            let reference = lab.undisturbed(fixture);
            lab.references.insert(fixture, reference);
        }
        Some(lab)
    }

    fn build_source(&self, fixture: Fixture) {
        self.source.database(fixture.name());
        let (script, variables) = match fixture {
            Fixture::Zoo => ("zoo.sql", "target=18 subscription=off"),
            Fixture::Mastodon => ("mastodon.sql", "scale=0.001"),
        };
        build(&self.source, fixture.name(), script, variables);
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
        assert_equal("the undisturbed move", &source, &target, &[]);
        Reference {
            untouched,
            schema: self.schema(&database),
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

    /// The schema of a database of the target.
    pub fn schema(&self, database: &str) -> String {
        let dump = self
            .target
            .tool("pg_dump")
            .args(["-s", "-d", &self.target.conninfo(database)])
            .output()
            .expect("pg_dump starts");
        assert!(
            dump.status.success(),
            "{}",
            String::from_utf8_lossy(&dump.stderr)
        );
        // Its keys are random. Its order follows oids where nothing else decides, and oids follow the order in which jobs ended.
        let text = String::from_utf8_lossy(&dump.stdout);
        let lines = text
            .lines()
            .filter(|line| !line.starts_with(r"\restrict ") && !line.starts_with(r"\unrestrict "));
        let text = lines.collect::<Vec<_>>().join("\n");
        let mut entries: Vec<&str> = text
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
