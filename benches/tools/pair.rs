//! A pair of fresh clusters, the database that is moved, and the roads to them.

use std::path::Path;

use pgconvoy::pg::cluster::ClusterOptions;

use crate::options::Options;
use crate::road::Road;
use crate::scenario::{Scenario, Setting, Step};
use crate::support::server::Server;
use crate::usage::{self, Usage};

/// The database's name, on both sides.
pub const DATABASE: &str = "bench";

/// Since this version initdb makes data checksums unless it is told not to.
const CHECKSUMS_SINCE: u32 = 18;

/// Two servers, and what lies between them and the tools.
pub struct Pair {
    pub source: Server,
    pub target: Server,
    roads: Option<(Road, Road)>,
}

impl Pair {
    /// Makes two clusters.
    pub fn start(options: &Options, scenario: &Scenario, setting: Setting) -> Result<Self, String> {
        let start = |major| {
            Server::start_with(major, |usual| {
                cluster_options(usual, major, scenario, setting)
            })
            .ok_or_else(|| format!("PostgreSQL {major} is not installed"))
        };
        let (source, target) = (start(options.from)?, start(options.to)?);
        let roads = match scenario.road {
            None => None,
            Some(kind) => Some((
                Road::open(kind, source.cluster.port())?,
                Road::open(kind, target.cluster.port())?,
            )),
        };
        Ok(Self {
            source,
            target,
            roads,
        })
    }

    /// Fills the source, and leaves it settled: vacuumed and analyzed, nothing left to write.
    pub fn fill(&self, scenario: &Scenario, options: &Options) -> Result<(), String> {
        self.source.database(DATABASE);
        let scale = scenario.scale * options.scale;
        for step in scenario.steps {
            match step {
                Step::Once(path) => self.run_script(path, &format!("\\set scale {scale}\n"))?,
                Step::InParts(path) => self.run_in_parts(path, scale, options.jobs)?,
            }
        }
        self.source.try_psql(DATABASE, "vacuum (analyze)")?;
        self.source.try_psql(DATABASE, "checkpoint")?;
        Ok(())
    }

    fn run_in_parts(&self, path: &str, scale: f64, parts: usize) -> Result<(), String> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..parts)
                .map(|part| {
                    let variables =
                        format!("\\set scale {scale}\n\\set part {part}\n\\set parts {parts}\n");
                    scope.spawn(move || self.run_script(path, &variables))
                })
                .collect();
            threads.into_iter().try_for_each(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err("a part panicked".to_owned()))
            })
        })
    }

    fn run_script(&self, path: &str, variables: &str) -> Result<(), String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        self.source
            .try_psql(DATABASE, &format!("{variables}\\i '{}'\n", path.display()))
            .map(drop)
    }

    /// An empty target database in place of the last one, and nothing left to write on either side.
    pub fn renew_target(&self) -> Result<(), String> {
        let terminate = format!(
            "select count(pg_catalog.pg_terminate_backend(pid)) from pg_catalog.pg_stat_activity where datname = '{DATABASE}'"
        );
        self.target.try_psql("postgres", &terminate)?;
        self.target
            .try_psql("postgres", &format!("drop database if exists {DATABASE}"))?;
        self.target.database(DATABASE);
        self.settle()
    }

    /// Both servers write what they hold, and so does the operating system.
    pub fn settle(&self) -> Result<(), String> {
        self.source.try_psql("postgres", "checkpoint")?;
        self.target.try_psql("postgres", "checkpoint")?;
        nix::unistd::sync();
        Ok(())
    }

    /// The source's conninfo, by the direct road.
    pub fn source_conninfo(&self) -> String {
        self.source.conninfo(DATABASE)
    }

    /// The target's conninfo, by the direct road.
    pub fn target_conninfo(&self) -> String {
        self.target.conninfo(DATABASE)
    }

    /// The two conninfos that a tool gets: of the source and of the target.
    pub fn conninfos_for_tools(&self) -> (String, String) {
        let by_road = |server: &Server, road: &Road| {
            format!(
                "host=127.0.0.1 port={} user={} dbname={DATABASE}",
                road.port(),
                server.cluster.superuser()
            )
        };
        match &self.roads {
            None => (self.source_conninfo(), self.target_conninfo()),
            Some((to_source, to_target)) => (
                by_road(&self.source, to_source),
                by_road(&self.target, to_target),
            ),
        }
    }

    /// Bytes of the source's database, on its disk.
    pub fn source_bytes(&self) -> u64 {
        let size = self.source.psql(
            DATABASE,
            "select pg_catalog.pg_database_size(pg_catalog.current_database())",
        );
        size.parse().unwrap_or(0)
    }

    /// How far the target's write-ahead log is, in bytes.
    pub fn target_wal_bytes(&self) -> Result<u64, String> {
        let position = self.target.try_psql(
            "postgres",
            "select pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), '0/0')",
        )?;
        position
            .parse()
            .map_err(|_| format!("{position} is no position"))
    }

    /// What the two servers have used so far: source, target.
    pub fn usages(&self) -> Result<(Usage, Usage), String> {
        let of = |server: &Server| {
            let postmaster = server.cluster.postmaster_pid();
            usage::of_server(postmaster.ok_or("the server has ended")?)
        };
        Ok((of(&self.source)?, of(&self.target)?))
    }
}

/// As initdb makes it, apart from the setting.
fn cluster_options(
    usual: ClusterOptions,
    major: u32,
    scenario: &Scenario,
    setting: Setting,
) -> ClusterOptions {
    let settings = setting.settings().iter().chain(scenario.settings);
    let options = ClusterOptions {
        purpose: "bench".to_owned(),
        data_checksums: major >= CHECKSUMS_SINCE,
        listen_tcp: scenario.road.is_some(),
        ..usual
    };
    settings.fold(options, |options, (name, value)| {
        options.setting(name, value)
    })
}
