//! `pgconvoy verify`: compares two servers, whoever did the copying.
//!
//! ```text
//!   Asked ─► Both (connected) ─► Look (two snapshots) ─► differences ─► again, if asked for ─► waivers, repair, conclusion
//! ```
//!
//! | file | |
//! |---|---|
//! | `after` | what nobody compares and the first users would notice: plans of statements, and more |
//! | `again` | rows that are read once more, otherwise |
//! | `alike` | tables that are known to be the same, and what that makes of a query over them |
//! | `archive` | an archive against its own manifest |
//! | `archive_server` | a server against an archive's manifest |
//! | `look` | both databases at one moment each: everything but rows |
//! | `compare_rows` | the rows, and of the tables that differ the rows that do |
//! | `repair` | hands what was found to the module that thinks out the SQL |
//! | `stock` | an archive without a manifest, which nobody can compare with anything |
//! | `tell` | what was found, after the rules that pass something over |
//! | `verdict` | several looks, and what they come to |

mod after;
mod again;
mod alike;
mod archive;
mod archive_server;
mod compare_rows;
mod look;
mod repair;
mod stock;
mod tell;
mod verdict;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::{Args, ValueEnum};

pub(super) use alike::Alike;
pub(super) use archive::check_archive;
pub(super) use compare_rows::{RowsLook, TableDiffers, compare as compare_rows};
pub(super) use look::{
    Both, Look, SideView, common_encoding, own_encoding, scope_of, snapshot, view,
};
pub(super) use tell::tell;
pub(super) use verdict::Found;

use super::arguments::{ComparedArgs, LeaveOutArgs, OutputArgs, SelectionArgs, SpeedArgs};
use super::inspect::{Road, Server};
use super::output::Output;
use super::patterns::check_patterns;
use super::requested::Requested;
use crate::event::{Emit, What};
use crate::failure::{Failure, FailureKind};
use crate::model::{ExitStatus, Filters, RunCommand, VerifyLevel};
use crate::pg::client_tools::Search;
use crate::pg::conninfo::Environment;
use crate::report::Ending;
use crate::toc::RestoreOptions;
use crate::verify::Ignore;
use crate::verify::rows::Ends;
use after::{After, AfterArgs};

/// Compare two databases, and name what differs
///
/// Reads both databases, each in one snapshot, and compares everything: every row's content, every object's definition, owner
/// and grants, sequences, large objects, and what a dump does not say. It does not matter how the copy was made. Neither side
/// is changed. Exits with 0 only if everything is the same.
#[derive(Debug, Clone, Args)]
#[command(after_help = super::AFTER_HELP)]
pub struct VerifyArgs {
    /// What is compared.
    #[command(flatten)]
    pub connection: ComparedArgs,

    /// What to compare
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = Level::Content, help_heading = "Verification")]
    pub level: Level,

    /// Compare what differs N more times, each time in new snapshots; only what differs every time counts
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        help_heading = "Verification"
    )]
    pub recheck: u32,

    /// Seconds to wait before each of these
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 5,
        help_heading = "Verification"
    )]
    pub recheck_pause: u64,

    /// Pass over something, by name; it is recorded, and the exit status is 6 if anything was passed over. May be given several
    /// times
    ///
    /// schema:NAME, table:SCHEMA.NAME, column:SCHEMA.TABLE.COLUMN, class:CLASS (a class of differences, as reports name
    /// it: class:comment), or CLASS:OBJECT (one difference: `index:public.by_name`).
    #[arg(long, value_name = "WHAT:NAME", help_heading = "Verification")]
    pub ignore: Vec<String>,

    /// How many rows that differ to show in full, per table
    #[arg(
        long,
        value_name = "N",
        default_value_t = 20,
        help_heading = "Verification"
    )]
    pub max_rows: usize,

    /// Show the values of rows that differ: they are your users' data
    #[arg(long, help_heading = "Verification")]
    pub show_values: bool,

    /// Write the SQL that would make the target equal to the source, for a person to read and run
    #[arg(long, value_name = "FILE", help_heading = "Verification")]
    pub repair: Option<PathBuf>,

    /// What to look at besides.
    #[command(flatten)]
    pub after: AfterArgs,

    /// Which objects.
    #[command(flatten)]
    pub selection: SelectionArgs,

    /// What to leave out of them.
    #[command(flatten)]
    pub leave_out: LeaveOutArgs,

    /// Number of sessions that read each server at the same time [default: number of cores]
    #[arg(short = 'j', long, value_name = "N", help_heading = "Speed", value_parser = SpeedArgs::parse_jobs)]
    pub jobs: Option<u32>,

    /// How to tell.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// What to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// Every row's content, and everything else
    Content,
    /// Row counts, and everything else; exit status 6 at best
    Counts,
    /// Everything but rows; exit status 6 at best
    Schema,
}

/// What was asked for, resolved.
pub struct Asked {
    /// Which objects.
    pub filters: Filters,
    /// What to leave out of them.
    pub restore: RestoreOptions,
    /// What to compare.
    pub level: VerifyLevel,
    /// Readers of each side.
    pub jobs: u32,
    /// What to pass over.
    pub ignore: Vec<Ignore>,
    /// Rows to show in full.
    pub max_rows: usize,
    /// Whether with their values.
    pub show_values: bool,
    /// Further looks at what differs.
    pub recheck: u32,
    /// How long to wait before each.
    pub pause: Duration,
    /// Where a repair is to be written.
    pub repair: Option<PathBuf>,
    /// What to look at besides.
    pub after: Option<After>,
    /// Rows of a table that are remembered by name, for a repair, for another look, or to be changed.
    pub remembered: usize,
}

/// Rows that are remembered by name of one table.
const REMEMBERED: usize = 100_000;

impl Asked {
    /// Whether only some schemas or tables are to be compared.
    pub fn is_part(&self) -> bool {
        self.filters.iter().any(|filter| filter.kind.selects())
    }
}

/// The sessions that are reading, for a cancel request.
type Reading = Arc<Mutex<Option<Arc<Ends>>>>;

impl VerifyArgs {
    /// From the command line.
    pub(super) async fn start(self) -> Result<ExitStatus, Failure> {
        if let Some(archive) = &self.connection.archive {
            return Box::pin(archive::verify(archive, &self)).await;
        }
        let output = Output::start(&self.output.options())?;
        Box::pin(run(self, output)).await
    }

    fn asked(&self) -> Result<Asked, Failure> {
        let ignore = self.ignore.iter().map(|rule| Ignore::parse(rule));
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Asked {
            filters: self.selection.filters()?,
            restore: self.leave_out.restore_options(false),
            level: match self.level {
                Level::Content => VerifyLevel::Content,
                Level::Counts => VerifyLevel::Counts,
                Level::Schema => VerifyLevel::Schema,
            },
            jobs: self
                .jobs
                .unwrap_or_else(|| u32::try_from(cores()).unwrap_or(1)),
            ignore: ignore.collect::<Result<_, _>>()?,
            max_rows: self.max_rows,
            show_values: self.show_values,
            recheck: self.recheck,
            pause: Duration::from_secs(self.recheck_pause),
            repair: self.repair.clone(),
            after: self.after.resolve()?,
            remembered: REMEMBERED,
        })
    }
}

/// Compares everything of two servers, the source and the target, for a command that has something else to tell as well.
pub(super) async fn compare_all(
    (source, target): (Server, Server),
    (restore, jobs): (RestoreOptions, u32),
    emit: &Arc<dyn Emit>,
) -> Result<(), Failure> {
    let needed = source.facts.version.max(target.facts.version);
    let search = Search::run("pg_dump", &Environment::of_process()).await;
    let both = Both {
        source,
        target,
        pg_dump: search.closest_for(needed)?,
        exclude_data: BTreeSet::new(),
    };
    let asked = Asked {
        filters: Filters::default(),
        restore,
        level: VerifyLevel::Content,
        jobs,
        ignore: Vec::new(),
        max_rows: 20,
        show_values: false,
        recheck: 0,
        pause: Duration::ZERO,
        repair: None,
        after: None,
        remembered: REMEMBERED,
    };
    Box::pin(verdict::reach(&both, &asked, &Reading::default(), emit)).await
}

/// Compares.
pub async fn run(args: VerifyArgs, output: Output) -> Result<ExitStatus, Failure> {
    let stop = super::signals::watch(&output);
    let reading = Reading::default();
    let connected = tokio::select! {
        connected = connect(&args, &output) => connected,
        failure = super::signals::stopped(stop.clone()) => Err(failure),
    };
    let (both, asked) = match connected {
        Ok(connected) => connected,
        // Nothing was looked at, so there is nothing to keep a record of.
        Err(failure) => {
            output.abandon(&failure).await;
            return Err(failure);
        }
    };
    let emit: Arc<dyn Emit> = Arc::new(output.emitter());
    let ended = tokio::select! {
        ended = Box::pin(verdict::reach(&both, &asked, &reading, &emit)) => ended,
        failure = super::signals::stopped(stop.clone()) => Err(failure),
    };
    match ended {
        Ok(()) => Ok(output.finish(Ending::Complete).await),
        Err(failure) => {
            let ends = reading
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if let Some(ends) = ends {
                let [source, target] = &ends.pools;
                let at_work = tokio::join!(source.cancel(), target.cancel());
                tokio::join!(source.see_off(&at_work.0), target.see_off(&at_work.1));
            }
            if failure.kind == FailureKind::Usage {
                output.abandon(&failure).await;
                return Err(failure);
            }
            Ok(output.fail(failure.once_begun()).await)
        }
    }
}

/// Both ends, and what was asked for in terms of them.
async fn connect(args: &VerifyArgs, output: &Output) -> Result<(Both, Asked), Failure> {
    let asked = args.asked()?;
    let emitter = output.emitter();
    emitter.emit(What::StepStarted {
        step: "connecting".to_owned(),
    });
    let environment = Environment::of_process();
    let ends = args.connection.servers(&environment)?;
    let mut requested = Requested::new(environment, ends, &args.selection, &args.leave_out)?;
    requested.only_reads = true;
    requested.jobs = asked.jobs;
    requested.verify = asked.level;
    let road = Road::connect(&requested).await?;
    emitter.emit(super::session::started(
        RunCommand::Verify,
        &road,
        &requested,
        output,
    ));
    let Road {
        source,
        target,
        pg_dump,
        ..
    } = road;
    asked.filters.check_database(&source.facts.database)?;
    asked.filters.check_pg_dump(pg_dump.version.major())?;
    let exclude_data = check_patterns(&[&source, &target], &asked.filters).await?;
    let both = Both {
        source,
        target,
        pg_dump,
        exclude_data,
    };
    Ok((both, asked))
}
