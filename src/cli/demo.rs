//! `pgconvoy demo`: everything, on two throw-away clusters.

use clap::Args;

use crate::failure::Failure;
use crate::model::ExitStatus;

/// Move a sample database between two throw-away servers, prove it, then damage it to show the alarm
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {}

#[expect(clippy::unused_async, reason = "to be built")]
pub(super) async fn run(_args: DemoArgs) -> Result<ExitStatus, Failure> {
    Err(Failure::defect("demo is not built yet"))
}
