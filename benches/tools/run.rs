//! One run of one tool: everything made equal beforehand, measured, and checked.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;
use tempfile::TempDir;

use crate::check::Check;
use crate::foretold::Foretold;
use crate::meter::{self, Metered};
use crate::options::Options;
use crate::pair::{DATABASE, Pair};
use crate::profile::Profile;
use crate::support::server::newest_tools;
use crate::tool::Tool;

/// How much of what a failed tool or check said is shown.
const SHOWN_LINES: usize = 20;

/// What a run cost.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Figures {
    /// From the tool's start to its end.
    pub wall_s: f64,
    /// Of the tool and everything it started.
    pub client_cpu_s: f64,
    pub source_cpu_s: f64,
    pub target_cpu_s: f64,
    /// How much longer the target's write-ahead log became.
    pub wal_bytes: u64,
    /// What the target wrote: data, WAL, temporary files, and the checkpoint below.
    pub written_bytes: Option<u64>,
    /// The largest process of the client.
    pub peak_bytes: u64,
    /// The checkpoint that follows: what the tool left for others to do. Not in the wall time.
    pub checkpoint_s: f64,
    /// What was foretold, if that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foretold: Option<Foretold>,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The independent check found both sides equal.
    Equal(Figures),
    /// It does not count, and why.
    Failed(String),
}

/// What the runs of a scenario share.
pub struct Conditions<'a> {
    options: &'a Options,
    pair: &'a Pair,
    check: Check,
}

impl<'a> Conditions<'a> {
    pub fn new(options: &'a Options, pair: &'a Pair) -> Result<Self, String> {
        Ok(Self {
            options,
            pair,
            check: Check::new(pair.source_conninfo(), pair.target_conninfo())?,
        })
    }

    /// Runs a tool into a fresh target.
    pub fn run(&mut self, tool: &Tool) -> Outcome {
        let measured = self.measure(tool);
        match measured.and_then(|figures| self.checked(figures)) {
            Ok(figures) => Outcome::Equal(figures),
            Err(said) => Outcome::Failed(said),
        }
    }

    fn checked(&mut self, figures: Figures) -> Result<Figures, String> {
        match self.check.ask() {
            Ok(()) => Ok(figures),
            Err(said) => Err(format!(
                "the independent check says:\n{}",
                last_lines(&said)
            )),
        }
    }

    fn measure(&self, tool: &Tool) -> Result<Figures, String> {
        self.pair.renew_target()?;
        let scratch = scratch_dir()?;
        let environment = self.environment(scratch.path());
        let output = scratch.path().join("output");
        meter::run(tool.before, &environment, scratch.path(), &output)
            .and_then(|metered| succeeded(&metered, &output))?;
        if !tool.before.is_empty() {
            self.pair.settle()?;
        }
        let profile = self.options.profile.then(|| Profile::begin(self.pair));
        let wal_before = self.pair.target_wal_bytes()?;
        let (source_before, target_before) = self.pair.usages()?;

        let metered = meter::run(tool.script, &environment, scratch.path(), &output)?;

        let (source_after, target_after) = self.pair.usages()?;
        let wal_after = self.pair.target_wal_bytes()?;
        if let Some(profile) = profile {
            println!("{}:\n{}", tool.name, profile.end());
        }
        succeeded(&metered, &output)?;
        let began = Instant::now();
        self.pair.target.try_psql("postgres", "checkpoint")?;
        let checkpoint_s = began.elapsed().as_secs_f64();
        let (_, target_settled) = self.pair.usages()?;
        meter::run(tool.after, &environment, scratch.path(), &output)
            .and_then(|metered| succeeded(&metered, &output))?;
        Ok(Figures {
            wall_s: metered.wall_s,
            client_cpu_s: metered.cpu_s,
            source_cpu_s: (source_after - source_before).cpu_s,
            target_cpu_s: (target_after - target_before).cpu_s,
            wal_bytes: wal_after.saturating_sub(wal_before),
            written_bytes: (target_settled - target_before).written_bytes,
            peak_bytes: metered.peak_bytes,
            checkpoint_s,
            foretold: Foretold::read(scratch.path())?,
        })
    }

    /// All that a tool knows, and nothing of ours.
    fn environment(&self, scratch: &Path) -> Vec<(&'static str, String)> {
        let (source, target) = self.pair.conninfos_for_tools();
        let binary = PathBuf::from(env!("CARGO_BIN_EXE_pgconvoy"));
        let tools = newest_tools();
        let inherited = std::env::var("PATH").unwrap_or_default();
        let binary_dir = binary.parent().unwrap_or(&binary);
        let base = self.options.base.as_deref().unwrap_or(Path::new(""));
        vec![
            (
                "PATH",
                format!("{}:{}:{inherited}", binary_dir.display(), tools.display()),
            ),
            ("PGCONVOY_PG_BIN", tools.display().to_string()),
            ("HOME", scratch.display().to_string()),
            ("TMPDIR", scratch.display().to_string()),
            ("LC_ALL", "C.UTF-8".to_owned()),
            ("SOURCE", source),
            ("TARGET", target),
            ("DATABASE", DATABASE.to_owned()),
            ("JOBS", self.options.jobs.to_string()),
            ("SCRATCH", scratch.display().to_string()),
            ("CHECKOUT", env!("CARGO_MANIFEST_DIR").to_owned()),
            ("COMPRESSION", self.options.compression.clone()),
            ("BASE", base.display().to_string()),
        ]
    }
}

/// What a script said at last, if it did not end as it should.
fn succeeded(metered: &Metered, output: &Path) -> Result<(), String> {
    if metered.status == Some(0) {
        return Ok(());
    }
    let said = std::fs::read(output).unwrap_or_default();
    let status = metered.status.map_or_else(
        || "a signal".to_owned(),
        |status| format!("status {status}"),
    );
    Err(format!(
        "it ended with {status} and said at last:\n{}",
        last_lines(&String::from_utf8_lossy(&said))
    ))
}

/// Beside the clusters' own directories, so that a dump is written to the disk that the servers write to.
fn scratch_dir() -> Result<TempDir, String> {
    tempfile::Builder::new()
        .prefix("pgconvoy-bench-run-")
        .tempdir()
        .map_err(|error| format!("a scratch directory: {error}"))
}

fn last_lines(said: &str) -> String {
    let lines: Vec<&str> = said.trim_end().lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}
