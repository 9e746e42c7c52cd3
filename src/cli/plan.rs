//! `pgconvoy plan`: dry run; touches nothing.

use clap::Args;

use super::arguments::{
    ConnectionArgs, LeaveOutArgs, OutputArgs, SelectionArgs, SpeedArgs, VerifyArgs,
};
use crate::failure::Failure;
use crate::model::ExitStatus;

/// Show what a move would do, in which order, and touch nothing
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

    /// How to tell.
    #[command(flatten)]
    pub output: OutputArgs,
}

impl PlanArgs {
    /// From the command line.
    #[expect(clippy::unused_async, reason = "it will ask two servers")]
    pub(super) async fn start(self) -> Result<ExitStatus, Failure> {
        Err(Failure::defect("plan is not built yet"))
    }
}
