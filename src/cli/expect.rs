//! What is expected of a run, told once it has a plan: by an earlier run (`--baseline`), or else by what its jobs should cost; and the
//! time that there is (`--window`).
//!
//! It changes nothing about what is done: displays and the report compare with it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;

use super::arguments::duration;
use super::past::Measure;
use super::record;
use super::run_dir::Look;
use crate::event::{Emit, Expected, ExpectedJob, What};
use crate::failure::Failure;
use crate::model::JobId;
use crate::plan::Plan;
use crate::progress::{Baseline, BaselineBuilder, Measured, Planned};

/// What to expect.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Time")]
pub struct ExpectArgs {
    /// The directory of an earlier run of the same kind into a scratch target (for a move: pgconvoy rehearse), used to estimate
    /// the time left and to report what is slower
    #[arg(long, value_name = "RUN_DIR")]
    baseline: Option<PathBuf>,

    /// The time available, for example 2h or 90min: says all along whether the run will fit
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    window: Option<Duration>,
}

/// What was asked for, read.
pub struct Expectations {
    baseline: Option<(Baseline, String)>,
    window_ms: Option<u64>,
}

impl ExpectArgs {
    /// There is nothing to compare it with.
    pub fn refuse_for(&self, what: &str) -> Result<(), Failure> {
        if self.baseline.is_none() && self.window.is_none() {
            return Ok(());
        }
        Err(Failure::usage(
            format!("{what} is not compared with an earlier run or a window"),
            "Leave --baseline and --window out.",
        ))
    }

    /// For a session that goes on with a run: what is not said anew is as the sessions before it had it. Returns as well what of that
    /// does not hold any more; a run that can go on is not kept from it by that.
    pub(super) fn resume(
        &self,
        (measured, before): (Measured, &Measure),
        now: DateTime<Utc>,
    ) -> Result<(Expectations, Vec<String>), Failure> {
        let mut expectations = self.resolve(measured)?;
        let mut gone = Vec::new();
        if let (None, Some(dir)) = (&self.baseline, &before.baseline) {
            match read(dir, measured) {
                Ok(baseline) => expectations.baseline = Some((baseline, dir.display().to_string())),
                Err(failure) => gone.push(format!(
                    "the earlier run is no longer used to estimate the time left: {}",
                    failure.message
                )),
            }
        }
        if let (None, Some(until)) = (self.window, before.until) {
            let left = u64::try_from((until - now).num_milliseconds());
            match left {
                Ok(left @ 1..) => expectations.window_ms = Some(left),
                Ok(0) | Err(_) => gone.push(format!(
                    "the window of the run ended at {}; give a new one with --window",
                    until.format("%Y-%m-%d %H:%M:%S UTC")
                )),
            }
        }
        Ok((expectations, gone))
    }

    /// Reads the record of the earlier run.
    pub fn resolve(&self, measured: Measured) -> Result<Expectations, Failure> {
        let baseline = match &self.baseline {
            Some(dir) => Some((read(dir, measured)?, dir.display().to_string())),
            None => None,
        };
        let in_ms = |window: Duration| u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        Ok(Expectations {
            baseline,
            window_ms: self.window.map(in_ms),
        })
    }
}

fn read(dir: &Path, measured: Measured) -> Result<Baseline, Failure> {
    let look = Look::at(dir).map_err(|failure| failure.while_doing("--baseline"))?;
    let mut baseline = BaselineBuilder::default();
    record::read(&look, |event| baseline.apply(&event))?;
    baseline.build(measured).map_err(|error| {
        let which = match measured {
            Measured::Move => "a move or a rehearsal",
            Measured::Restore => "a restore",
        };
        Failure::usage(
            format!(
                "--baseline: the run in {} cannot be used: {error}",
                dir.display()
            ),
            format!("Name the directory of {which} that finished."),
        )
    })
}

impl Expectations {
    /// Tells it of a plan.
    pub fn tell(&self, plan: &Plan, emit: &dyn Emit) {
        emit.emit(What::Expected(Box::new(self.of(plan))));
    }

    /// What is expected of a plan: by the earlier run, or else by the plan's own costs.
    pub fn of(&self, plan: &Plan) -> Expected {
        let mut expected = match &self.baseline {
            Some((baseline, dir)) => by_baseline(plan, (baseline, dir)),
            None => by_costs(plan),
        };
        let jobs = expected.jobs.iter();
        let takes: HashMap<JobId, u64> = jobs.map(|job| (job.job, job.duration_ms)).collect();
        let behind = plan.behind(|job| takes.get(&job.id).copied().unwrap_or(0));
        for (job, then_ms) in expected.jobs.iter_mut().zip(behind) {
            job.then_ms = then_ms;
        }
        Expected {
            window_ms: self.window_ms,
            ..expected
        }
    }
}

fn by_baseline(plan: &Plan, (baseline, dir): (&Baseline, &str)) -> Expected {
    let costs = plan.jobs.iter().map(|job| (job.id, job.cost / 1000));
    let planned = Planned {
        jobs: &plan.announced(),
        costs_ms: &costs.collect(),
        workers: plan.workers,
        verify: plan.verify,
    };
    baseline.expect(planned, dir.to_owned())
}

/// By rough rates: the run itself will soon show how far they are off.
fn by_costs(plan: &Plan) -> Expected {
    // A plan that cannot be carried out says so elsewhere.
    let likely = plan.predict(None).ok();
    let jobs = plan.jobs.iter().map(|job| ExpectedJob {
        job: job.id,
        duration_ms: job.cost / 1000,
        then_ms: 0,
    });
    Expected {
        total_ms: likely.map(|likely| likely.likely_us / 1000),
        jobs: jobs.collect(),
        ..Expected::default()
    }
}
