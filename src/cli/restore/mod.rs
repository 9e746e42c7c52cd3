//! `pgconvoy restore`: archive → target server, proven against what the archive holds.
//!
//! ```text
//!   open the archive ─► connect ─► look ─► plan ─► ledger ─► load and build ─► read the target anew ─► report
//! ```
//!
//! The jobs, the ledger and the supervisor are those of a move; only where the rows come from is another place.
//!
//! | file | |
//! |---|---|
//! | `opened` | the archive: what is in it, and whether all of its files are there |
//! | `part` | which part of it |
//! | `look` | both ends, and what speaks against it |
//! | `lacking` | what of its database the archive lacks, and would have brought |
//! | `existing` | tables that are there, if rows alone are wanted |
//! | `carry` | everything from the plan to the last job |
//! | `prove` | the target, read anew, against the archive |
//! | `held` | what an archive without a manifest holds |
//! | `beside` | what a dump of definitions does not say: large objects, the database itself, foreign keys that were set aside |
//! | `with_source` | the target against the live source |
//! | `resume` | a restore that was interrupted |

mod beside;
mod carry;
mod existing;
mod held;
mod lacking;
mod look;
mod opened;
mod part;
mod prove;
mod resume;
mod with_source;

use std::path::PathBuf;

use clap::{Arg, Args, ValueEnum};

use super::arguments::{
    LeaveOutArgs, OutputArgs, RetryArgs, RunningArgs, SkipArgs, SpeedArgs, TargetArgs, explained,
    resolve_source, size,
};
use super::detach;
use super::expect::{ExpectArgs, Expectations};
use super::output::Output;
use super::session::{self, Session};
use crate::failure::Failure;
use crate::ledger::Request;
use crate::model::{Bytes, ExitStatus, RunCommand, VerifyLevel};
use crate::pg::conninfo::Environment;
use crate::progress::Measured;
use look::{Clean, Looked, Wanted};
use part::PartArgs;

pub(super) use resume::{Resume, finished_before, resume};

/// What a target may hold depends on how much is restored.
fn of_restore(target: Arg) -> Arg {
    let what = target.get_help().map(ToString::to_string);
    let what = what.unwrap_or_default();
    explained(target.long_help(format!(
        "{what}\n\nIt must exist, unless --create is given, and be empty, unless --overwrite names it, --clean is given, or only a part of \
         the archive is restored."
    )))
}

/// Restore an archive into a database, and prove that the database holds what the archive does
///
/// Reads archives made by pgconvoy dump and by `pg_dump` (-Fd, -Fc, -Ft), and loads them on all cores. Exits with 0 only if it
/// has read the target back and found there exactly what the archive holds. An archive made by pgconvoy has a manifest, which
/// shows that it is complete. One made by `pg_dump` has none: it cannot be known what is missing from it.
#[derive(Debug, Clone, Args)]
#[command(after_help = super::AFTER_HELP, mut_arg("target", of_restore))]
pub struct RestoreArgs {
    /// The archive: a directory, a file in `pg_dump`'s custom or tar format, or an address in object storage
    #[arg(long, value_name = "PATH", help_heading = "Archive")]
    pub archive: PathBuf,

    /// Target.
    #[command(flatten)]
    pub connection: TargetArgs,

    /// Empty the target database first; NAME must be its own name
    #[arg(long, value_name = "NAME", help_heading = "Connections")]
    pub overwrite: Option<String>,

    /// Drop what the archive holds before creating it again, and leave everything else; NAME must be the target database's own
    /// name
    ///
    /// Without NAME, it only says what would be dropped. Everything is dropped in one transaction, without CASCADE: if
    /// something outside the archive depends on something in it, nothing is dropped.
    #[arg(short = 'c', long, value_name = "NAME", num_args = 0..=1, default_missing_value = "", help_heading = "Connections",
          conflicts_with_all = ["overwrite", "create", "data_only"])]
    pub clean: Option<String>,

    /// With --clean: skip what does not exist
    #[arg(long, requires = "clean", help_heading = "Connections")]
    pub if_exists: bool,

    /// Create the target database, with the encoding, locale, owner and settings that the archive has; it must not exist
    #[arg(short = 'C', long, help_heading = "Connections", conflicts_with_all = ["overwrite", "data_only"])]
    pub create: bool,

    /// The database that was dumped, to compare the target with it as well: anything written to it since the dump shows up as a difference
    #[arg(long, value_name = "CONNINFO", help_heading = "Connections")]
    pub source: Option<String>,

    /// Which part of it.
    #[command(flatten)]
    pub part: PartArgs,

    /// What is passed over.
    #[command(flatten)]
    pub skip: SkipArgs,

    /// What to leave out.
    #[command(flatten)]
    pub leave_out: LeaveOutArgs,

    /// Number of workers, each with a connection to the target [default: all cores]
    #[arg(short = 'j', long, value_name = "N", help_heading = "Speed", value_parser = SpeedArgs::parse_jobs)]
    pub jobs: Option<u32>,

    /// Tables larger than this are loaded by several connections at once, for example 512MB [default: chosen from the table
    /// sizes]
    #[arg(long, value_name = "SIZE", help_heading = "Speed", value_parser = size::parse)]
    pub chunk_size: Option<Bytes>,

    /// Memory on the target for all index builds together [default: half of its `shared_buffers`, at least 512MB]
    #[arg(long, value_name = "SIZE", help_heading = "Speed", value_parser = size::parse)]
    pub memory: Option<Bytes>,

    /// What to prove
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = Level::Content, help_heading = "Verification")]
    pub verify: Level,

    /// What it is measured by.
    #[command(flatten)]
    pub expect: ExpectArgs,

    /// What is tried again.
    #[command(flatten)]
    pub retry: RetryArgs,

    /// How to start and stop it.
    #[command(flatten)]
    pub running: RunningArgs,

    /// How to tell.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// What a restore proves: everything or nothing. It never counts rows alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// Every row's content, and everything else
    Content,
    /// Nothing; exit status 6 at best
    None,
}

impl RestoreArgs {
    /// From the command line: with a display and a run directory of its own.
    pub(super) async fn start(self) -> Result<ExitStatus, Failure> {
        let options = self.output.options();
        if self.running.detach {
            let more = self.output.run_dir_as_argument(&options);
            return Box::pin(detach::start(&options, &more)).await;
        }
        let output = Output::start(&options)?;
        Box::pin(run(self, output)).await
    }

    fn wanted(&self) -> Result<Wanted, Failure> {
        let environment = Environment::of_process();
        let source = self.source.as_ref();
        let source = source.map(|text| resolve_source(text, &environment));
        Ok(Wanted {
            target: self.connection.resolve(&environment)?,
            source: source.transpose()?,
            overwrite: self.overwrite.clone(),
            clean: self.clean.as_ref().map(|named| Clean {
                named: named.clone(),
                if_exists: self.if_exists,
            }),
            create: self.create,
            is_missing: self.create,
            disable_triggers: self.part.disable_triggers,
            skip_checks: self.skip.skip_check.clone(),
            restore: self.leave_out.restore_options(false),
            jobs: self.jobs.unwrap_or_else(SpeedArgs::cores),
            memory: self.memory,
            chunk_size: self.chunk_size,
            verify: match self.verify {
                Level::Content => VerifyLevel::Content,
                Level::None => VerifyLevel::None,
            },
            selection: self.part.selection()?,
        })
    }
}

/// Restores.
async fn run(args: RestoreArgs, output: Output) -> Result<ExitStatus, Failure> {
    let session = Session::new(&output, args.running, args.retry);
    let prepared = tokio::select! {
        prepared = Box::pin(prepare(&args, &session)) => prepared,
        failure = session.stopped() => Err(failure),
    };
    let (looked, request, expectations) = match prepared {
        Ok(prepared) => prepared,
        // Nothing was touched, so there is nothing to keep a record of.
        Err(failure) => {
            // The claim goes before anybody is told.
            drop(session);
            output.abandon(&failure).await;
            return Err(failure);
        }
    };
    let done = async {
        let ready = Box::pin(carry::begin(&session, looked, &request)).await?;
        expectations.tell(&ready.plan, &session.emitter());
        Box::pin(carry::carry_out(&session, ready)).await
    };
    let done = done.await;
    let (done, claim) = session.end(done).await;
    session::conclude(done, claim, output).await
}

/// The look before the leap: everything up to here only reads.
async fn prepare(
    args: &RestoreArgs,
    session: &Session<'_>,
) -> Result<(Looked, Request, Expectations), Failure> {
    let wanted = args.wanted()?;
    part::refuse_to_drop_everything(&wanted)?;
    let expectations = args.expect.resolve(Measured::Restore)?;
    session.step("opening the archive");
    let opened = opened::open(&args.archive)?;
    with_source::refuse_a_part(&wanted, &opened)?;
    session.step("connecting");
    let target = look::connect(wanted.first_database()).await?;
    wanted.refuse_what_exists(&target).await?;
    let source = with_source::record(&wanted, &target).await?;
    let mut request = look::request(&session.run_id(), (&opened, &target), &wanted);
    request.source = source;
    look::tell_start(RunCommand::Restore, session, (&opened, &target), &wanted);
    session.output.run_dir().write_request(&request)?;
    let looked = Box::pin(look::look(session, (opened, target), wanted)).await?;
    Ok((looked, request, expectations))
}
