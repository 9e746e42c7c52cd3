//! Which blockers of the look before the leap are passed over.

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::preflight::SKIPPABLE;

/// What is passed over.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Look before the leap")]
pub struct SkipArgs {
    /// Go ahead although this rule forbids it; may be given several times
    ///
    /// What the rule predicts then fails and is reported by name, and the run ends accordingly. The report shows the finding as
    /// a warning, and says that it was passed over.
    #[arg(long, value_name = "RULE", value_parser = PossibleValuesParser::new(SKIPPABLE))]
    pub skip_check: Vec<String>,
}
