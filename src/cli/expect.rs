//! `--baseline` and `--window`: what is expected of a run, told once it has a plan.
//!
//! It changes nothing about what is done: displays and the report compare with it.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::arguments::duration;
use super::run_dir::Look;
use crate::event::{Emit, Expected, What};
use crate::failure::Failure;
use crate::plan::Plan;
use crate::progress::Baseline;
use crate::report::recorded;

/// What to expect.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Time")]
pub struct ExpectArgs {
    /// The directory of an earlier run into a scratch target (pgconvoy rehearse), to tell the time left by, and what is slower than then
    #[arg(long, value_name = "RUN_DIR")]
    baseline: Option<PathBuf>,

    /// The time there is for the move, for example 2h or 90min: whether it will be over by then is told all along
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    window: Option<Duration>,
}

/// What was asked for, read.
pub struct Expectations {
    baseline: Option<(Baseline, String)>,
    window_ms: Option<u64>,
}

impl ExpectArgs {
    /// Reads the record of the earlier run.
    pub fn resolve(&self) -> Result<Expectations, Failure> {
        let baseline = match &self.baseline {
            Some(dir) => Some((read(dir)?, dir.display().to_string())),
            None => None,
        };
        let in_ms = |window: Duration| u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        Ok(Expectations {
            baseline,
            window_ms: self.window.map(in_ms),
        })
    }
}

fn read(dir: &Path) -> Result<Baseline, Failure> {
    let look = Look::at(dir).map_err(|failure| failure.while_doing("--baseline"))?;
    let path = look.events_path();
    let recording = File::open(&path).and_then(|file| recorded::read(BufReader::new(file)));
    let recording = recording.map_err(|error| Failure::file("reading", &path, &error))?;
    Baseline::of(&recording.events).map_err(|error| {
        Failure::usage(
            format!(
                "--baseline: the run in {} is no measure: {error}",
                dir.display()
            ),
            "Name the directory of a move or a rehearsal that came to its end.",
        )
    })
}

impl Expectations {
    /// Tells it of a plan.
    pub fn tell(&self, plan: &Plan, emit: &dyn Emit) {
        if self.baseline.is_none() && self.window_ms.is_none() {
            return;
        }
        let expected = match &self.baseline {
            Some((baseline, dir)) => baseline.expect(&plan.announced(), plan.workers, dir.clone()),
            None => Expected::default(),
        };
        emit.emit(What::Expected(Box::new(Expected {
            window_ms: self.window_ms,
            ..expected
        })));
    }
}
