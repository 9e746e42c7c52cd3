//! `pgconvoy plan`: dry run; touches nothing.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;

use super::arguments::IntendedArgs;
use super::arguments::SpeedArgs;
use super::expect::ExpectArgs;
use super::inspect::{Inspection, Road};
use super::output::style_of_stderr;
use super::requested::Sizes;
use super::session::refuse_blockers;
use crate::event::{Expected, Phase};
use crate::failure::Failure;
use crate::model::{ExitStatus, JobId};
use crate::plan::{Ground, Job, Left, Plan, Prediction};
use crate::preflight;
use crate::progress::{Measured, Size, finding_lines};
use crate::report::plan::{OnPaper, WithWorkers, render};
use crate::report::timetable;

/// Show what a move would do, in which order, and touch nothing
///
/// Reads both servers as a move would, and prints how tables are copied, how many jobs there are, and what the duration depends
/// on. If a finding would forbid the move, it says so, and exits with 4.
#[derive(Debug, Clone, Args)]
pub struct PlanArgs {
    /// The move.
    #[command(flatten)]
    pub intended: IntendedArgs,

    /// What to measure it by.
    #[command(flatten)]
    pub expect: ExpectArgs,

    /// Draw which worker would do what and when, as SVG, into a file
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub gantt: Option<PathBuf>,

    /// Estimate the time for other numbers of workers too, for example 4,8,16,32
    #[arg(
        long,
        value_name = "N,N,…",
        value_delimiter = ',',
        value_parser = SpeedArgs::parse_jobs,
        conflicts_with = "json",
        help_heading = "Speed"
    )]
    pub compare_jobs: Vec<u32>,

    /// Print the whole plan on stdout, as JSON, as a move would write it to plan.json
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

impl PlanArgs {
    /// From the command line.
    pub(super) async fn start(self) -> Result<ExitStatus, Failure> {
        let expectations = self.expect.resolve(Measured::Move)?;
        let requested = self.intended.looked_into()?;
        let road = Road::connect(&requested).await?;
        refuse_blockers(&road.unsupported())?;
        let target_facts = road.view_target(&requested).await?;
        let inspection = Box::pin(road.inspect(requested, target_facts)).await?;
        let findings = inspection.findings();
        for finding in &findings {
            let lines = finding_lines(finding, true, style_of_stderr());
            // Nobody is left to tell if stderr is gone.
            let _ = writeln!(std::io::stderr(), "{}", lines.join("\n"));
        }
        let plan = inspection.plan(self.intended.speed.sizes(), Left::default())?;
        let slots = plan.timetable()?;
        if let Some(file) = &self.gantt {
            std::fs::write(file, timetable::svg(&plan, &slots))
                .map_err(|error| Failure::file("writing", file, &error))?;
        }
        let text = if self.json {
            serde_json::to_string(&plan)
                .map_err(|error| Failure::defect(format!("putting the plan into JSON: {error}")))?
        } else {
            let expected = expectations.of(&plan);
            let rough = plan.predict(None)?;
            let best = best_known(&expected, rough);
            let paper = OnPaper {
                plan: &plan,
                forecast: &plan.forecast()?,
                rough,
                best,
                phases: &predict_phases(&plan, &expected, &best)?,
                expected: &expected,
                timetable: &slots,
                columns: usize::from(Size::of_stdout().columns),
            };
            render(&paper, &self.with_other_workers(&inspection)?).join("\n")
        };
        // A reader that has seen enough closes the pipe; that is no failure of the plan.
        let _ = writeln!(std::io::stdout(), "{text}");
        Ok(if preflight::is_go(&findings) {
            ExitStatus::Proven
        } else {
            ExitStatus::NoGo
        })
    }

    /// A plan depends on how many carry it out: each number has its own.
    fn with_other_workers(&self, inspection: &Inspection) -> Result<Vec<WithWorkers>, Failure> {
        let mut numbers = self.compare_jobs.clone();
        numbers.sort_unstable();
        numbers.dedup();
        let mut others = Vec::with_capacity(numbers.len());
        for workers in numbers {
            let sizes = Sizes {
                workers: Some(workers),
                ..self.intended.speed.sizes()
            };
            let forecast = inspection.plan(sizes, Left::default())?.forecast()?;
            others.push(WithWorkers {
                workers,
                duration_us: forecast.duration_us,
                critical_us: forecast.critical_us,
                work_us: forecast.work_us,
            });
        }
        Ok(others)
    }
}

/// What an earlier run makes us expect of the whole, or else the plan's own costs.
fn best_known(expected: &Expected, rough: Prediction) -> Prediction {
    match (&expected.by, expected.total_ms) {
        (Some(_), Some(ms)) => Ground::Earlier.range(ms.saturating_mul(1000)),
        _ => rough,
    }
}

/// The same of each phase.
fn predict_phases(
    plan: &Plan,
    expected: &Expected,
    whole: &Prediction,
) -> Result<BTreeMap<Phase, Prediction>, Failure> {
    let earlier: HashMap<JobId, u64> = match &expected.by {
        Some(_) => {
            let jobs = expected.jobs.iter();
            jobs.map(|job| (job.job, job.duration_ms.saturating_mul(1000)))
                .collect()
        }
        None => HashMap::new(),
    };
    let takes = |job: &Job| earlier.get(&job.id).copied().unwrap_or(job.cost);
    Ok(plan.predict_phases(whole, takes)?)
}
