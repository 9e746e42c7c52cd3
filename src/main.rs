//! Parses, runs, prints the failure if there is one, and exits; nothing else.

use std::process::ExitCode;

use pgconvoy::cli::Cli;

fn main() -> ExitCode {
    let status = Cli::from_process().map_or_else(|status| status, Cli::run);
    ExitCode::from(status.code())
}
