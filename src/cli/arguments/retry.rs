//! What is tried again.

use clap::Args;

/// What is tried again.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Resuming")]
pub struct RetryArgs {
    /// How often a job is retried after a temporary error: a lost connection, a deadlock, a full server
    ///
    /// The wait before each retry grows from half a second to 15 seconds: with the default, a server may be out of reach for
    /// about two minutes. Then the run stops, and can be resumed. A restart of the server that is filled, or of one that is
    /// read in a snapshot, stops the run at once.
    #[arg(long, value_name = "N", default_value_t = 12)]
    pub max_retries: u32,
}
