//! `pgconvoy check`: looks before leaping; touches nothing.
//!
//! ```text
//!   Road (both ends connected) ─► how things stand ─► Inspection ─► orphans, the road measured ─► findings ─► verdict
//! ```
//!
//! | file | |
//! |---|---|
//! | `look` | what is looked at, in which order |
//! | `measure` | how fast both servers are, for some seconds |
//! | `measure_log` | how fast the target writes its log |
//! | `measure_rows` | how fast rows come, and are copied |

mod look;
mod measure;
mod measure_log;
mod measure_rows;

use std::io::Write as _;
use std::time::Duration;

use clap::Args;

use super::arguments::IntendedArgs;
use super::arguments::duration;
use super::output::style_of_stdout;
use crate::failure::Failure;
use crate::model::ExitStatus;
use crate::progress::Size;
use crate::report::check::render;
use look::{Asked, look};

const AFTER_HELP: &str = "\
Exit status:
  0  go, even with warnings
  1  undecided: something could not be checked
  2  wrong usage or configuration (also: a server cannot be reached, no suitable pg_dump)
  4  no-go";

/// Look before leaping: everything that could spoil a move, each with its remedy; go or no-go
///
/// Reads both servers and changes neither. Every finding has a severity: a blocker forbids the move, a warning is likely to
/// hurt, a note is worth knowing; each says what to do about it. Exits with 0 for go, even with warnings, with 4 for no-go, and
/// with 1 if something could not be checked.
#[derive(Debug, Clone, Args)]
#[command(after_help = AFTER_HELP)]
pub struct CheckArgs {
    /// The move.
    #[command(flatten)]
    pub intended: IntendedArgs,

    /// The time available for the move, for example 2h or 90min: says whether the move can fit
    #[arg(long, value_name = "TIME", value_parser = duration::parse, help_heading = "Time")]
    pub window: Option<Duration>,

    /// Only read the catalogs: do not measure how fast both servers are, look for rows whose foreign key points nowhere, or
    /// count rows against the primary keys
    ///
    /// All of that takes some seconds. On the source, it reads small tables and a part of the largest ones. On the target, it
    /// fills and indexes a temporary table in a transaction that is rolled back, so that nothing of it stays, and writes 16 MB
    /// of meaningless messages to the write-ahead log, unless a replication slot of that database decodes it.
    #[arg(long, help_heading = "Time")]
    pub no_measure: bool,

    /// Print all of it on stdout, as one line of JSON
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

impl CheckArgs {
    /// From the command line.
    pub(super) async fn start(self) -> Result<ExitStatus, Failure> {
        let requested = self.intended.looked_into()?;
        let asked = Asked {
            window: self.window,
            measure: !self.no_measure,
            sizes: self.intended.speed.sizes(),
        };
        let check = Box::pin(look(requested, &asked)).await?;
        let text = if self.json {
            serde_json::to_string(&check)
                .map_err(|error| Failure::defect(format!("putting the check into JSON: {error}")))?
        } else {
            let width = usize::from(Size::of_stdout().columns);
            render(&check, (width, style_of_stdout())).join("\n")
        };
        // A reader that has seen enough closes the pipe; that is no failure of the check.
        let _ = writeln!(std::io::stdout(), "{text}");
        Ok(check.verdict.status())
    }
}
