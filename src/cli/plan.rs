//! `pgconvoy plan`: dry run; touches nothing.

use std::io::Write as _;

use clap::Args;

use super::arguments::{ConnectionArgs, LeaveOutArgs, SelectionArgs, SpeedArgs, VerifyArgs};
use super::inspect::Road;
use super::output::style_of_stderr;
use super::requested::Requested;
use crate::failure::Failure;
use crate::model::{ExitStatus, Severity};
use crate::plan::Left;
use crate::preflight;
use crate::report::plan::render;

/// Show what a move would do, in which order, and touch nothing
///
/// Reads both servers as a move would, and prints which tables are copied how, how many jobs there are, and what the
/// duration hangs on. With findings that would forbid the move it says so, and exits with 4.
#[derive(Debug, Clone, Args)]
pub struct PlanArgs {
    /// Source and target.
    #[command(flatten)]
    pub connection: ConnectionArgs,

    /// Which objects.
    #[command(flatten)]
    pub selection: SelectionArgs,

    /// What to leave out of them.
    #[command(flatten)]
    pub leave_out: LeaveOutArgs,

    /// How to go about it.
    #[command(flatten)]
    pub speed: SpeedArgs,

    /// What to prove.
    #[command(flatten)]
    pub verify: VerifyArgs,

    /// The whole plan as JSON on stdout, as a move would write it to plan.json
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

impl PlanArgs {
    /// From the command line.
    pub(super) async fn start(self) -> Result<ExitStatus, Failure> {
        let mut requested = Requested::new(&self.connection, &self.selection, &self.leave_out)?;
        requested.jobs = self.speed.jobs();
        requested.verify = self.verify.level();
        let road = Road::connect(&requested).await?;
        let target_facts = road.view_target(&requested).await?;
        let inspection = Box::pin(road.inspect(requested, target_facts)).await?;
        let findings = inspection.findings();
        let style = style_of_stderr();
        for finding in &findings {
            let word = match finding.severity {
                Severity::Blocker => style.bad("no-go:"),
                Severity::Warning => style.warning("warning:"),
                Severity::Note => "note:".to_owned(),
            };
            eprintln!(
                "{word} {} [{}]\n  what to do: {}",
                finding.what, finding.rule, finding.remedy
            );
        }
        let plan = inspection.plan(self.speed.sizes(), Left::default())?;
        let text = if self.json {
            serde_json::to_string(&plan)
                .map_err(|error| Failure::defect(format!("putting the plan into JSON: {error}")))?
        } else {
            render(&plan, &plan.forecast()?).join("\n")
        };
        // A reader that has seen enough closes the pipe; that is no failure of the plan.
        let _ = writeln!(std::io::stdout(), "{text}");
        Ok(if preflight::is_go(&findings) {
            ExitStatus::Proven
        } else {
            ExitStatus::NoGo
        })
    }
}
