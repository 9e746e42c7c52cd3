//! What is proven, and how a run is told about.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::PathBuf;

use chrono::{Local, Offset as _, Utc};
use clap::{ArgAction, Args, ValueEnum};

use crate::cli::hooks::Hooks;
use crate::cli::output::{OutputOptions, color_wanted};
use crate::cli::run_dir;
use crate::model::VerifyLevel;
use crate::pg::detached::is_detached;
use crate::progress::{DisplayOptions, Size, Verbosity};

/// What to prove.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Verification")]
pub struct VerifyArgs {
    /// What to prove
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = Level::Content)]
    verify: Level,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Level {
    /// Every row's content, and everything else
    Content,
    /// Row counts, and everything else; exit status 6 at best
    Counts,
    /// Nothing; exit status 6 at best
    None,
}

impl VerifyArgs {
    /// What to prove.
    pub fn level(self) -> VerifyLevel {
        match self.verify {
            Level::Content => VerifyLevel::Content,
            Level::Counts => VerifyLevel::Counts,
            Level::None => VerifyLevel::None,
        }
    }
}

/// How a run is told about.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Where plan, events, failed statements and report are kept [default: ./pgconvoy-TIME-ID]
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,

    /// Run a command when the run has ended, however it ended, with `PGCONVOY_STATUS`, `PGCONVOY_VERDICT` and `PGCONVOY_RUN_DIR` set
    ///
    /// It is run by sh -c, for at most a minute, with `PGCONVOY_REPORT` set as well, to the path of report.json, and without
    /// any password. If it fails, that is a warning.
    #[arg(long, value_name = "CMD")]
    on_finish: Option<OsString>,

    /// Like --on-finish, but only if the exit status is neither 0 nor 6
    #[arg(long, value_name = "CMD")]
    on_fail: Option<OsString>,

    /// Keep a file up to date with how the run stands, in the text format of Prometheus
    #[arg(long, value_name = "FILE")]
    metrics_file: Option<PathBuf>,

    /// How it is shown.
    #[command(flatten)]
    pub display: DisplayArgs,
}

/// How a run is shown.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Output")]
pub struct DisplayArgs {
    /// Print events on stdout as JSON, one per line, and the report as the last line
    ///
    /// Other programs call this --log-format json. The lines are those of events.jsonl and report.json in the run directory.
    #[arg(long)]
    json: bool,

    /// Print nothing unless something goes wrong, or is left unproven
    #[arg(short = 'q', long, conflicts_with = "verbose")]
    quiet: bool,

    /// Report each job and each table
    #[arg(short = 'v', long, action = ArgAction::SetTrue)]
    verbose: bool,

    /// Use no colours, as if the variable `NO_COLOR` were set
    #[arg(long)]
    no_color: bool,
}

impl OutputArgs {
    /// The run directory as an argument for whoever carries the run out, if it was not named.
    pub fn run_dir_as_argument(&self, options: &OutputOptions) -> Vec<OsString> {
        match self.run_dir {
            Some(_) => Vec::new(),
            None => vec!["--run-dir".into(), options.run_dir.clone().into()],
        }
    }

    /// What this and the surroundings say; reads the clock for the name of the run directory.
    pub fn options(&self) -> OutputOptions {
        OutputOptions {
            run_dir: self
                .run_dir
                .clone()
                .unwrap_or_else(|| run_dir::default_path(Utc::now(), std::process::id())),
            display: self.display.options(),
            hooks: Hooks {
                on_finish: self.on_finish.clone(),
                on_fail: self.on_fail.clone(),
            },
            metrics_file: self.metrics_file.clone(),
        }
    }
}

impl DisplayArgs {
    /// Whether events and the report go to stdout as JSON.
    pub fn json(&self) -> bool {
        self.json
    }

    /// What this and the surroundings say.
    pub fn options(&self) -> DisplayOptions {
        let verbosity = match (self.quiet || is_detached(), self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        };
        let stderr_is_terminal = std::io::stderr().is_terminal();
        DisplayOptions {
            json: self.json,
            verbosity,
            color: !self.no_color && stderr_is_terminal && color_wanted(),
            stderr_is_terminal,
            size: Size::of_stderr,
            zone: Local::now().offset().fix(),
        }
    }
}
