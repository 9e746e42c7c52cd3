//! What becomes of the target database before it is filled.

use clap::Args;

/// What is done to the target database first.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Connections")]
pub struct DatabaseArgs {
    /// Create the target database, with the source's encoding, locale, owner and settings
    #[arg(long)]
    pub create: bool,

    /// Empty the target database first; NAME must be its own name
    #[arg(long, value_name = "NAME", conflicts_with = "create")]
    pub overwrite: Option<String>,
}
