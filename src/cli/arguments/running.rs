//! How a run is started and stopped.

use std::time::Duration;

use clap::Args;

/// Running and stopping.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Running")]
pub struct RunningArgs {
    /// Return once the look before the leap is over and the first job has begun; the run goes on without this terminal
    ///
    /// What it then says is in its run directory: pgconvoy watch shows it from any terminal, pgconvoy status in one screen. What
    /// goes wrong before that is said here, with the exit status of the run; otherwise the exit status is 0, and says nothing
    /// about the run. Nobody can be asked for a password.
    #[arg(long, conflicts_with = "json")]
    pub detach: bool,

    /// How long running jobs may go on after the first SIGINT (Ctrl-C) or SIGTERM, in seconds; a second one stops at once
    ///
    /// No new job starts meanwhile. What has not ended by then is cancelled on both servers and rolled back; pgconvoy resume
    /// goes on from there.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(..=86_400))]
    pub drain_seconds: u64,
}

impl RunningArgs {
    /// How long running jobs may go on.
    pub fn patience(self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }
}
