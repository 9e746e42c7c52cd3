//! `pgconvoy salvage`: what can still be read of a damaged database → another server, or an archive, with an account of what cannot.
//!
//! ```text
//!   connect ─► survey (the whole source is read once; nothing else is touched) ─► a move, or a dump, around the damage ─► account
//! ```
//!
//! | file | |
//! |---|---|
//! | `add_up` | whether what is there and what is lost add up |
//! | `describe` | its definitions, without what `pg_dump` stumbles over |
//! | `part` | what of it is searched, if not everything is asked for |
//! | `reach` | a damaged source, connected to so that its catalogs can be read |
//! | `schema_from` | the definitions, from elsewhere |
//! | `search` | the search for damage, and what it needs |
//! | `settle` | constraints that do not hold |
//! | `tell` | the account: `losses.json`, and as a table |
//!
//! The survey's result is kept in the run directory: a session that goes on does not search again.

mod add_up;
mod describe;
mod part;
mod reach;
mod schema_from;
mod search;
mod settle;
mod tell;

use std::path::PathBuf;

use clap::Args;

use super::arguments::{
    DatabaseArgs, KeeperOptions, LeaveOutArgs, OutputArgs, RetryArgs, RunningArgs, SelectionArgs,
    SkipArgs, SourceArgs, SpeedArgs, resolve_target,
};
use super::dump;
use super::inspect::{Inspection, Road, Server};
use super::output::Output;
use super::requested::Requested;
use super::run_dir::RunDir;
use super::session::{self, Session};
use crate::archive::Codec;
use crate::failure::Failure;
use crate::ledger::Request;
use crate::model::{ExitStatus, RunCommand, Side, VerifyLevel};
use crate::pg::conninfo::Environment;
use crate::plan::Doubtful;
use crate::preflight;

pub(super) use add_up::Compared;
pub(super) use describe::{LeftOut, pattern};
pub(super) use reach::{connect, reachable};
pub(super) use search::{
    ACCOUNTED, Asked, can_be_searched, does_not_add_up, has_begun, look_for_damage,
};
pub(super) use settle::{Settled, settle, settle_restored, tell_losses};

/// Move or dump what can still be read of a damaged database, and account for what cannot
///
/// Looks at every page of the source before anything else, reads what its bytes do not prove, narrows down what cannot be read
/// to the page, the row and the column, and asks the indexes which rows are missing without an error. Then it moves everything
/// else, and proves that; or it dumps it into an archive, whose manifest says that it is incomplete. What is lost is listed in
/// losses.json, with the keys of the lost rows under lost/, as far as an index still holds them. Exits with 6 if anything is
/// lost, with 0 if nothing is.
///
/// The source is only read. Work on an unused copy of its files, made while the server was stopped: on a server that is in use,
/// losses can only be bounded. Needs a superuser on the source.
#[derive(Debug, Clone, Args)]
#[command(after_help = super::AFTER_HELP)]
pub struct SalvageArgs {
    /// Source.
    #[command(flatten)]
    pub source: SourceArgs,

    /// The database to fill; it must exist, unless --create is given, and be empty, unless --overwrite names it
    #[arg(
        long,
        value_name = "CONNINFO",
        env = "PGCONVOY_TARGET",
        hide_env_values = true,
        help_heading = "Connections",
        required_unless_present_any = ["survey", "archive"]
    )]
    pub target: Option<String>,

    /// The directory to write, instead of a target: an archive that `pg_restore` can read, with the account in it; or an address in
    /// object storage
    #[arg(long, value_name = "DIR", help_heading = "Archive", conflicts_with_all = ["target", "create", "overwrite"])]
    pub archive: Option<PathBuf>,

    /// How to compress the archive: none, gzip, lz4 or zstd, optionally with a level (zstd:9)
    #[arg(
        short = 'Z',
        long,
        value_name = "METHOD[:LEVEL]",
        default_value = "gzip",
        help_heading = "Archive"
    )]
    pub compress: Codec,

    /// Only look for damage, and say what could be read and what is lost; exits with 6 if anything is lost
    #[arg(
        long,
        help_heading = "Damage",
        conflicts_with_all = ["detach", "on_finish", "on_fail", "metrics_file"]
    )]
    pub survey: bool,

    /// What is done to the target first.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// Take the definitions from an archive, or from a server that has the same tables, if the source's catalogs are too
    /// damaged for `pg_dump`; the rows still come from the source
    #[arg(
        long,
        value_name = "ARCHIVE|CONNINFO",
        help_heading = "Damage",
        conflicts_with = "archive"
    )]
    pub schema_from: Option<String>,

    /// Also read pages with a wrong checksum, where nothing else is left; every row that is read that way is marked as suspect,
    /// in suspect/TABLE.csv
    ///
    /// The server may write such a page back with a correct checksum: use a copy of the files that is thrown away afterwards.
    #[arg(long, help_heading = "Damage")]
    pub ignore_checksum_failure: bool,

    /// Have the server treat pages with an invalid header as empty, where nothing else is left; what can be read only that way
    /// is marked as suspect
    #[arg(long, help_heading = "Damage")]
    pub zero_damaged_pages: bool,

    /// What is passed over.
    #[command(flatten)]
    pub skip: SkipArgs,

    /// Which objects.
    #[command(flatten)]
    pub selection: SelectionArgs,

    /// What to leave out of them.
    #[command(flatten)]
    pub leave_out: LeaveOutArgs,

    /// How to go about it.
    #[command(flatten)]
    pub speed: SpeedArgs,

    /// What survives a crash.
    #[command(flatten)]
    pub keeper: KeeperOptions,

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

impl SalvageArgs {
    /// From the command line: with a display and a run directory of its own.
    pub(super) async fn start(self) -> Result<ExitStatus, Failure> {
        let options = self.output.options();
        if self.survey {
            let run_dir = RunDir::create(&options.run_dir)?;
            return Box::pin(self.only_survey(&run_dir)).await;
        }
        if self.running.detach {
            let more = self.output.run_dir_as_argument(&options);
            return Box::pin(super::detach::start(&options, &more)).await;
        }
        let output = Output::start(&options)?;
        let Some(archive) = self.archive.clone() else {
            return Box::pin(run(self, output)).await;
        };
        match self.dump_into(archive) {
            Ok(asked) => Box::pin(dump::run(asked, (self.running, self.retry), output)).await,
            Err(failure) => {
                output.abandon(&failure).await;
                Err(failure)
            }
        }
    }

    fn doubtful(&self) -> Doubtful {
        Doubtful {
            checksums: self.ignore_checksum_failure,
            zeros: self.zero_damaged_pages,
        }
    }

    /// The same as a dump.
    fn dump_into(&self, archive: PathBuf) -> Result<dump::Asked, Failure> {
        Ok(dump::Asked {
            conninfo: self.source.resolve(&Environment::of_process())?,
            archive,
            compress: self.compress,
            filters: self.selection.filters()?,
            restore: self.leave_out.restore_options(false),
            jobs: self.speed.jobs(),
            verify: VerifyLevel::Content,
            keep_snapshot: self.keeper.keep_snapshot(),
            salvage: Some(self.doubtful()),
        })
    }

    fn requested(&self) -> Result<Requested, Failure> {
        let target = self.target.as_deref().ok_or_else(|| {
            Failure::usage(
                "there is no database to fill",
                "Name it with --target, or an archive to write with --archive.",
            )
        })?;
        let environment = Environment::of_process();
        let ends = (
            self.source.resolve(&environment)?,
            resolve_target(target, &environment)?,
        );
        let mut requested = Requested::new(environment, ends, &self.selection, &self.leave_out)?;
        requested.create = self.database.create;
        requested.overwrite.clone_from(&self.database.overwrite);
        requested.skip_checks.clone_from(&self.skip.skip_check);
        requested.jobs = self.speed.jobs();
        requested.keep_snapshot = self.keeper.keep_snapshot();
        Ok(requested)
    }

    /// Looks, and says what it has found.
    async fn only_survey(self, run_dir: &RunDir) -> Result<ExitStatus, Failure> {
        let environment = Environment::of_process();
        let conninfo = self.source.resolve(&environment)?;
        // What cannot be described can be looked at all the same.
        let mut filters = self.selection.filters()?;
        let (reached, undescribed) =
            match Box::pin(reachable(conninfo.clone(), Some(&filters))).await {
                Ok(reached) => (reached, None),
                Err(failure) if failure.status == ExitStatus::Usage => {
                    return Err(failure.while_doing("the source"));
                }
                Err(failure) => (
                    Box::pin(reachable(conninfo, None)).await?,
                    Some(failure.message),
                ),
            };
        let source = Server::connect(reached.conninfo, Side::Source).await;
        let mut source = source.map_err(|failure| failure.while_doing("the source"))?;
        can_be_searched(&mut source, self.doubtful()).await?;
        if !filters.is_empty() {
            reached.left_out.narrow(&mut filters)?;
        }
        let asked = Asked {
            jobs: self.speed.jobs(),
            doubtful: self.doubtful(),
            left_out: reached.left_out,
            filters: &filters,
            schema: None,
        };
        let map = search::survey_only((&source, undescribed), asked, run_dir);
        let map = Box::pin(map).await?;
        tell::show(&map.losses, run_dir.path(), self.output.display.json())?;
        Ok(if map.losses.is_loss() {
            ExitStatus::Waived
        } else {
            ExitStatus::Proven
        })
    }
}

/// Salvages.
async fn run(args: SalvageArgs, output: Output) -> Result<ExitStatus, Failure> {
    let session = Session::new(&output, args.running, args.retry);
    let prepared = tokio::select! {
        prepared = prepare(&args, &session) => prepared,
        failure = session.stopped() => Err(failure),
    };
    let (inspection, request) = match prepared {
        Ok(prepared) => prepared,
        // What was found of the damage took its time: the record stays, and a session that goes on begins there.
        Err(failure) => {
            // The claim goes before anybody is told.
            drop(session);
            if has_begun(&output) {
                return Ok(output.fail(failure.broken_off()).await);
            }
            output.abandon(&failure).await;
            return Err(failure);
        }
    };
    let done = async {
        let ready = Box::pin(session.begin(inspection, &request)).await?;
        Box::pin(session.carry_out(ready)).await
    };
    let done = done.await;
    let (done, claim) = session.end(done).await;
    session::conclude(done, claim, output).await
}

/// The look before the leap, and the search for damage: everything up to here only reads.
async fn prepare(
    args: &SalvageArgs,
    session: &Session<'_>,
) -> Result<(Inspection, Request), Failure> {
    let mut requested = args.requested()?;
    session.step("connecting");
    let describe = args.schema_from.is_none().then_some(&requested.filters);
    let reached = Box::pin(reachable(requested.source, describe)).await;
    let reached = reached.map_err(|failure| failure.while_doing("the source"))?;
    requested.source = reached.conninfo;
    reached.left_out.narrow(&mut requested.filters)?;
    let mut road = Road::connect(&requested).await?;
    session.tell_start(RunCommand::Salvage, &road, &requested);
    let doubtful = args.doubtful();
    let request = Request {
        salvage: true,
        doubtful,
        ..requested.record(&road, &session.run_id(), args.speed.sizes())
    };
    can_be_searched(&mut road.source, doubtful).await?;
    if let Some(from) = &args.schema_from {
        session.step("reading the definitions from elsewhere");
        requested.schema = Some(schema_from::read(from, (&road, &requested), session).await?);
    }
    // A search takes as long as reading everything does: what is wrong with the target is said before.
    let target_facts = road.view_target(&requested).await?;
    let mut findings = road.first_findings(&requested, &target_facts).await?;
    preflight::for_salvage(&mut findings);
    session::refuse_blockers(&findings)?;
    session.output.run_dir().write_request(&request)?;
    let asked = requested.search(doubtful, reached.left_out);
    let map = Box::pin(look_for_damage(session.output, &mut road.source, asked)).await?;
    requested.salvage = Some(map);
    let inspection = session.look(road, requested).await?;
    Ok((inspection, request))
}

impl Requested {
    /// How a damaged source is searched for what is asked for.
    fn search(&self, doubtful: Doubtful, left_out: LeftOut) -> Asked<'_> {
        Asked {
            jobs: self.jobs,
            doubtful,
            left_out,
            filters: &self.filters,
            schema: self.schema.as_deref().map(Vec::as_slice),
        }
    }
}

/// Whether the definitions were taken from elsewhere.
pub(super) fn has_schema(run_dir: &RunDir) -> bool {
    schema_from::is_kept(run_dir)
}

/// What a session that goes on has to know of a damaged source.
pub(super) async fn go_on(
    session: &Session<'_>,
    (road, requested): (&mut Road, &mut Requested),
    doubtful: Doubtful,
) -> Result<(), Failure> {
    can_be_searched(&mut road.source, doubtful).await?;
    requested.schema = schema_from::kept(session.output.run_dir())?;
    // What could not be described is in the filters by now.
    let asked = requested.search(doubtful, LeftOut::default());
    let map = Box::pin(look_for_damage(session.output, &mut road.source, asked)).await?;
    requested.salvage = Some(map);
    Ok(())
}
