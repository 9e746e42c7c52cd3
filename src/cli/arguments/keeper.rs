//! Whether a process of its own holds the source's snapshot, and for how long.

use std::time::Duration;

use clap::Args;

use super::duration;

/// What survives a crash of the move.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Resuming")]
pub struct KeeperOptions {
    /// Do not start a separate process that holds the source's snapshot
    ///
    /// That process survives a crash of the run, so that the run can be resumed in the same snapshot. Without it, a run that
    /// was killed is resumed in a new snapshot, and everything that has changed is copied again.
    #[arg(long, conflicts_with = "keep_snapshot")]
    no_keeper: bool,

    /// How long the source's snapshot is held for resuming an interrupted run, for example 8h or 30min
    ///
    /// While it is held, vacuum on the source cannot remove rows that have been deleted since.
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "8h")]
    keep_snapshot: Duration,
}

impl KeeperOptions {
    /// How long a keeper holds the snapshot without us; `None` is no keeper.
    pub fn keep_snapshot(&self) -> Option<Duration> {
        (!self.no_keeper).then_some(self.keep_snapshot)
    }
}
