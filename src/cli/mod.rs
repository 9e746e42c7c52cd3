//! The command line: one file per command, each with its arguments and its `run()`; the only user of clap.
//!
//! ```text
//!   main ─► Cli::from_process ─► Cli::run ─┬─► move_database ─┐
//!                                          ├─► verify         ├─► Output: display, run directory, report, exit status
//!                                          ├─► plan, check    │
//!                                          ├─► demo ──────────┘
//!                                          └─► watch, status, report ─► what another process wrote into a run directory
//! ```
//!
//! | file | |
//! |---|---|
//! | `arguments` | groups of options that several commands have |
//! | `requested`, `patterns` | what was asked for, and whether there is any of it |
//! | `inspect` | the first steps: who both ends are, what the source holds, what speaks against the move |
//! | `source_view` | what the source holds, in one snapshot |
//! | `schema` | a server's schema, by `pg_dump` |
//! | `join` | two things that do not wait for each other |
//! | `move_database` | a server into another |
//! | `check` | looks before leaping |
//! | `dump` | a server into an archive |
//! | `restore` | an archive into a server |
//! | `list` | what is in an archive |
//! | `verify` | compares two servers |
//! | `sync` | brings a target that was moved earlier to the source's present |
//! | `salvage` | moves what can still be read of a damaged database |
//! | `prove` | the last steps: what the jobs did not compare, and writes since the snapshot |
//! | `plan` | what a move would do, in which order, and how long it would take |
//! | `session` | one session of a run, from a plan to an exit status: what `move` and `resume` have in common |
//! | `take_up`, `past` | what earlier sessions have left on the target, and in the run directory |
//! | `consent` | whether a target is the one that they began with, and may be emptied |
//! | `expect` | what an earlier run, or the clock, makes us expect of one |
//! | `explain` | who stands behind an error that names nobody: locks, connections |
//! | `keeper` | the process that holds the source's snapshot for a move |
//! | `ledger_row` | what a session writes into the ledger, for other machines |
//! | `hooks`, `metrics_file` | what a run does for whoever is not there to watch it |
//! | `signals` | SIGINT, SIGTERM and SIGHUP |
//! | `detach` | a run in a process of its own, apart from the terminal |
//! | `watch`, `status`, `report` | what a run's directory says, while it runs or afterwards |
//! | `record` | reads the record that another process writes |
//! | `follow` | one database follows another: `follow`, `unfollow`, `cutover`, `fallback` |
//! | `demo` | everything, on two throw-away clusters |
//! | `completions` | completions for shells, and manual pages |
//! | `say` | a line on standard error, whether anybody reads it or not |
//! | `secrets` | takes a password out of the process list |
//! | `output` | everything between a run and the world |
//! | `run_dir` | the directory that keeps what happened |

pub mod arguments;
mod check;
mod completions;
mod consent;
mod demo;
mod detach;
mod dump;
mod expect;
mod explain;
mod follow;
pub mod hooks;
mod inspect;
mod join;
mod keeper;
mod ledger_row;
mod list;
mod metrics_file;
mod move_database;
pub mod output;
mod past;
mod patterns;
mod plan;
mod prove;
mod record;
mod report;
mod requested;
mod restore;
mod resume;
pub mod run_dir;
mod salvage;
mod say;
mod schema;
mod secrets;
mod session;
mod signals;
mod source_view;
mod status;
mod sync;
mod take_up;
mod verify;
mod watch;

use std::ffi::OsString;
use std::io::Write as _;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::failure::{Failure, FailureKind};
use crate::model::{ExitStatus, Side};
use crate::pg::detached::leave_terminal;
use crate::progress::words;

pub use move_database::MoveArgs;

const AFTER_HELP: &str = "\
Exit status:
  0  finished and proven
  1  failed; the message says what
  2  wrong usage or configuration; it touched nothing
  3  finished, but source and target differ; the report says where
  4  no-go: the check beforehand refused; it touched nothing
  5  interrupted (signal, lost connection, lost snapshot); pgconvoy resume goes on
  6  finished, but not everything was to be proven (--verify, --level, --ignore) or could be read

Connections are those of libpq: URIs or keyword=value, PG* variables, ~/.pgpass, pg_service.conf, sslmode.
Try it without any database of your own: pgconvoy demo";

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "pgconvoy",
    version,
    about,
    after_help = AFTER_HELP,
    max_term_width = 110,
    disable_help_subcommand = true,
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Move(Box<MoveArgs>),
    /// Move to a scratch target, to learn what to expect of the move itself
    ///
    /// Does what a move does, with the same options, into a database that is not needed afterwards: copies everything, and
    /// proves it. Its run directory records how long each job took. Pass that directory to the move with --baseline: the move
    /// uses it to estimate the time left and to report what is slower.
    Rehearse(Box<MoveArgs>),
    Resume(Box<resume::ResumeArgs>),
    Check(Box<check::CheckArgs>),
    Plan(Box<plan::PlanArgs>),
    Dump(Box<dump::DumpArgs>),
    Restore(Box<restore::RestoreArgs>),
    List(list::ListArgs),
    Verify(Box<verify::VerifyArgs>),
    Sync(Box<sync::SyncArgs>),
    Follow(follow::FollowingArgs),
    /// Switch over from the source to the target that follows it, and have the source follow the target
    ///
    /// Closes the source to writers, waits until the target has applied everything, brings over what replication does not
    /// carry, compares everything, prepares the way back, and opens the target. Every step is recorded before it is taken:
    /// after a crash, run the same command again. If a step fails before the target is opened, the source is opened again, and
    /// is in service as before.
    Cutover(Box<follow::TurnArgs>),
    /// Switch back from the target to the source, with everything that was written since the cut-over
    ///
    /// The same steps the other way round: nothing that was written to the target meanwhile is lost, and the target follows
    /// the source again afterwards.
    Fallback(Box<follow::TurnArgs>),
    Unfollow(follow::UnfollowArgs),
    Salvage(Box<salvage::SalvageArgs>),
    Watch(watch::WatchArgs),
    Status(status::StatusArgs),
    Report(report::ReportArgs),
    Demo(demo::DemoArgs),
    Completions(completions::CompletionsArgs),
    Man(completions::ManArgs),
    #[command(hide = true)]
    Keeper(keeper::KeeperArgs),
}

impl Command {
    /// How many threads it needs. Who passes rows on waits most of the time, and each row that wakes up another thread than the one
    /// that has just slept costs both of them; half as many as there are cores take in more than servers on the same machine give.
    /// Who packs rows needs all cores.
    fn threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let packs = match self {
            Self::Dump(_) | Self::Restore(_) => true,
            Self::Resume(args) => args.is_about_archive(),
            _ => false,
        };
        if packs { cores } else { (cores / 2).max(1) }
    }
}

impl Cli {
    /// From the process's arguments. A password in them is taken out of the process list first. What clap has to say,
    /// help or a complaint, is printed here, and the status to exit with is the error.
    pub fn from_process() -> Result<Self, ExitStatus> {
        let arguments: Vec<OsString> = std::env::args_os().collect();
        if let Err(failure) = secrets::hide(&arguments) {
            print_failure(&failure);
            return Err(failure.status);
        }
        let parsed = Self::command()
            .try_get_matches_from(&arguments)
            .and_then(|mut matches| Self::from_arg_matches_mut(&mut matches));
        parsed.map_err(|error| {
            if error.use_stderr() {
                secrets::print_usage_error(&error, &arguments);
                ExitStatus::Usage
            } else {
                // Nobody is left to tell if stdout cannot be written to.
                let _ = error.print();
                ExitStatus::Proven
            }
        })
    }

    /// Runs the command. A failure that the command has not shown itself is printed.
    pub fn run(self) -> ExitStatus {
        leave_terminal();
        open_many_files();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(self.command.threads())
            .enable_all()
            .thread_name("pgconvoy")
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                print_failure(&Failure::defect(format!("starting threads: {error}")));
                return ExitStatus::Failed;
            }
        };
        let ended = runtime.block_on(async {
            match self.command {
                Command::Move(args) => Box::pin(args.start()).await,
                Command::Rehearse(args) => Box::pin(args.rehearse()).await,
                Command::Resume(args) => Box::pin(args.start()).await,
                Command::Check(args) => Box::pin(args.start()).await,
                Command::Plan(args) => Box::pin(args.start()).await,
                Command::Dump(args) => Box::pin(args.start()).await,
                Command::Restore(args) => Box::pin(args.start()).await,
                Command::List(args) => args.start(),
                Command::Verify(args) => Box::pin(args.start()).await,
                Command::Sync(args) => Box::pin(args.start()).await,
                Command::Follow(args) => Box::pin(args.start()).await,
                Command::Cutover(args) => Box::pin(args.start(Side::Source)).await,
                Command::Fallback(args) => Box::pin(args.start(Side::Target)).await,
                Command::Unfollow(args) => Box::pin(args.start()).await,
                Command::Salvage(args) => Box::pin(args.start()).await,
                Command::Watch(args) => Box::pin(args.start()).await,
                Command::Status(args) => Box::pin(args.start()).await,
                Command::Report(args) => args.start(),
                Command::Completions(args) => args.start(),
                Command::Man(args) => args.start(),
                Command::Demo(args) => Box::pin(demo::run(args)).await,
                Command::Keeper(args) => Box::pin(args.start()).await,
            }
        });
        ended.unwrap_or_else(|failure| {
            print_failure(&failure);
            failure.status
        })
    }
}

/// As many files and connections at once as the system allows, which is more than it gives unasked: a dump has a file open for each table
/// that is read in parts.
fn open_many_files() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // If it does not let us after all, what there is may be enough.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}

/// On stderr, in red where it is a terminal that wants colour.
fn print_failure(failure: &Failure) {
    let style = output::style_of_stderr();
    let word = if failure.kind == FailureKind::Interrupted {
        "pgconvoy:"
    } else {
        "error:"
    };
    let text = words::harmless(&failure.to_string());
    // The terminal may be gone, and then nobody is left to tell.
    let _ = writeln!(std::io::stderr(), "{} {text}", style.bad(word));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threads(arguments: &[&str]) -> usize {
        let typed = ["pgconvoy"].iter().chain(arguments);
        Cli::parse_from(typed).command.threads()
    }

    #[test]
    fn only_who_packs_rows_has_all_cores() {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let half = (cores / 2).max(1);
        let ends = ["--source=dbname=a", "--target=dbname=b"];
        for command in ["move", "check", "plan", "verify", "sync"] {
            assert_eq!(
                threads(&[&[command][..], &ends].concat()),
                half,
                "{command}"
            );
        }
        assert_eq!(threads(&["dump", ends[0], "--archive=a"]), cores);

        let dir = tempfile::tempdir().expect("a directory");
        let resumed = |request: &str| {
            std::fs::write(dir.path().join("run.json"), request).expect("written");
            threads(&["resume", dir.path().to_str().expect("UTF-8")])
        };
        assert_eq!(resumed(r#"{"command": "dump", "archive": "a"}"#), cores);
        assert_eq!(resumed(r#"{"archive": {"path": "a"}}"#), cores);
        assert_eq!(resumed(r#"{"archive": null}"#), half);
        assert_eq!(resumed("{}"), half);
        assert_eq!(resumed("half a li"), half);
    }
}
