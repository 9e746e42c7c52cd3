//! How a run is started and stopped.

use std::time::Duration;

use clap::Args;

/// Running and stopping.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Running")]
pub struct RunningArgs {
    /// Return once the look before the leap is over and the first job has begun; the run continues without this terminal
    ///
    /// From then on, its output is in its run directory: pgconvoy watch shows it in any terminal, pgconvoy status on one
    /// screen. What goes wrong before that is reported here, with the exit status of the run; otherwise the exit status is 0,
    /// and says nothing about the run. It cannot ask for a password.
    #[arg(long, conflicts_with = "json")]
    pub detach: bool,

    /// How long running jobs may go on after the first SIGINT (Ctrl-C) or SIGTERM, in seconds; a second signal stops at once
    ///
    /// No new job starts meanwhile. Jobs that have not ended by then are cancelled on both servers and rolled back; pgconvoy
    /// resume continues from there.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(..=86_400))]
    pub drain_seconds: u64,
}

impl RunningArgs {
    /// How long running jobs may go on.
    pub fn patience(self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }
}
