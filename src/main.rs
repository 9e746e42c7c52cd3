//! Parses, runs, prints the failure if there is one, and exits; nothing else.

use std::process::ExitCode;

use pgconvoy::cli::Cli;
use tikv_jemallocator::Jemalloc;

/// Facts of tens of thousands of tables come and go in small pieces between larger ones that stay: what is free again in between goes
/// back to the system.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    let status = Cli::from_process().map_or_else(|status| status, Cli::run);
    ExitCode::from(status.code())
}
