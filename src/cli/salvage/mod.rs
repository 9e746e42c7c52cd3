//! `pgconvoy salvage`: what can still be read of a damaged database → another server, with an account of what cannot.
//!
//! ```text
//!   connect ─► survey (the whole source is read once; nothing else is touched) ─► a move, around the damage ─► account
//! ```
//!
//! | file | |
//! |---|---|
//! | `settle` | constraints that do not hold, and whether what is there and what is lost add up |
//! | `tell` | the account: `losses.json`, and as a table |
//!
//! The survey's result is kept in the run directory: a session that goes on does not search again.

mod settle;
mod tell;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::arguments::{
    ConnectionArgs, KeeperOptions, LeaveOutArgs, OutputArgs, RetryArgs, RunningArgs, SelectionArgs,
    SkipArgs, SourceArgs, SpeedArgs,
};
use super::inspect::{Inspection, Road, Server};
use super::output::Output;
use super::requested::Requested;
use super::run_dir::RunDir;
use super::session::{self, Session};
use crate::event::{Emit as _, What};
use crate::failure::Failure;
use crate::ledger::Request;
use crate::model::{ExitStatus, Finding, Severity, Side};
use crate::pg::conninfo::Environment;
use crate::salvage::{DamageMap, Quiet, Survey, patient_session, quiet, survey};

pub(super) use settle::{Settled, settle};

/// How long one thing of a damaged table may take.
const PROBE: Duration = Duration::from_secs(600);
/// The only size of pages that is understood.
const BLOCK_SIZE: u64 = 8192;
/// The survey's result, in the run directory.
const MAP: &str = "salvage.json";

/// Move what can still be read of a damaged database, and account for what cannot
///
/// Reads every row of the source once before anything else, closes in on what cannot be read, down to the page, the row and the
/// column, and asks the indexes which rows are missing without an error. Then it moves everything else, and proves that. What is
/// lost is in losses.json, with the keys of the lost rows under lost/, as far as an index still holds them. Exits with 6 if
/// anything is lost, with 0 if nothing is.
///
/// The source is only read. Work on a copy of its files that nobody uses, made while the server was stopped: on a server that is in
/// use, what is lost can only be bounded. Needs a superuser on the source.
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

    /// Only look for damage, and say what could be read and what is lost; exits with 6 if anything is
    #[arg(long)]
    pub survey: bool,

    /// Create the target database, with the source's encoding, locale, owner and settings
    #[arg(long, help_heading = "Connections")]
    pub create: bool,

    /// Empty the target database first; NAME must be its own name
    #[arg(
        long,
        value_name = "NAME",
        help_heading = "Connections",
        conflicts_with = "create"
    )]
    pub overwrite: Option<String>,

    #[command(flatten)]
    later: Later,

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

/// What somebody may look for, and is not there: refused by name.
#[derive(Debug, Clone, Args)]
struct Later {
    #[arg(long, hide = true)]
    archive: Option<PathBuf>,
    #[arg(long, hide = true)]
    schema_from: Option<String>,
    #[arg(long, hide = true)]
    ignore_checksum_failure: bool,
    #[arg(long, hide = true)]
    zero_damaged_pages: bool,
}

impl Later {
    fn refuse(&self) -> Result<(), Failure> {
        let refused = [
            (
                self.archive.is_some(),
                "--archive",
                "Give it a --target, and dump that.",
            ),
            (
                self.schema_from.is_some(),
                "--schema-from",
                "A source whose catalogs are so damaged that pg_dump cannot read them is not supported.",
            ),
            (
                self.ignore_checksum_failure,
                "--ignore-checksum-failure",
                "It would read rows that may be wrong. Pages with a wrong checksum are accounted for as lost.",
            ),
            (
                self.zero_damaged_pages,
                "--zero-damaged-pages",
                "It would change the source's pages in memory. Damaged pages are read around.",
            ),
        ];
        match refused.iter().find(|(given, ..)| *given) {
            Some((_, option, hint)) => Err(Failure::usage(
                format!("salvage {option} is not supported"),
                *hint,
            )),
            None => Ok(()),
        }
    }
}

impl SalvageArgs {
    /// From the command line: with a display and a run directory of its own.
    pub(super) async fn start(self) -> Result<ExitStatus, Failure> {
        self.later.refuse()?;
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
        Box::pin(run(self, output)).await
    }

    fn requested(&self) -> Result<Requested, Failure> {
        let connection = ConnectionArgs {
            source: self.source.source.clone(),
            target: self.target.clone().unwrap_or_default(),
        };
        let mut requested = Requested::new(&connection, &self.selection, &self.leave_out)?;
        requested.create = self.create;
        requested.overwrite.clone_from(&self.overwrite);
        requested.skip_checks.clone_from(&self.skip.skip_check);
        requested.jobs = self.speed.jobs();
        requested.keep_snapshot = self.keeper.keep_snapshot();
        Ok(requested)
    }

    /// Looks, and says what it has found.
    async fn only_survey(self, run_dir: &RunDir) -> Result<ExitStatus, Failure> {
        let environment = Environment::of_process();
        let source = Server::connect(self.source.resolve(&environment)?, Side::Source).await;
        let source = source.map_err(|failure| failure.while_doing("the source"))?;
        can_be_searched(&source)?;
        for finding in findings(&quiet(&source.session).await?) {
            tell::say(&format!("warning: {}\n  {}", finding.what, finding.remedy));
        }
        let search = Survey {
            source: &source.connector,
            server: &source.facts,
            jobs: self.speed.jobs(),
            timeout: PROBE,
            directory: run_dir.path(),
            tell: &|text| tell::say(&text),
        };
        let map = survey(&search).await?;
        tell::write(run_dir.path(), &map.losses)?;
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
        Err(failure)
            if session
                .output
                .run_dir()
                .path()
                .join("salvage.journal")
                .exists() =>
        {
            return Ok(output.fail(failure).await);
        }
        Err(failure) => {
            output.abandon(&failure).await;
            return Err(failure);
        }
    };
    let done = async {
        let ready = Box::pin(session.begin(inspection, &request)).await?;
        Box::pin(session.carry_out(ready)).await
    };
    let done = done.await;
    let claim = session.end(&done).await;
    session::conclude(done, claim, output).await
}

/// The look before the leap, and the search for damage: everything up to here only reads.
async fn prepare(
    args: &SalvageArgs,
    session: &Session<'_>,
) -> Result<(Inspection, Request), Failure> {
    let mut requested = args.requested()?;
    session.step("connecting");
    let mut road = Road::connect(&requested).await?;
    session.tell_start("salvage", &road, &requested);
    let request = Request {
        salvage: true,
        ..requested.record(&road, &session.run_id(), args.speed.sizes())
    };
    can_be_searched(&road.source)?;
    reads_damage(&mut road);
    // A search takes as long as reading everything does: what is wrong with the target is said before.
    let target_facts = road.view_target(&requested).await?;
    session::refuse_blockers(&road.first_findings(&requested, &target_facts).await?)?;
    session.output.run_dir().write_request(&request)?;
    let map = Box::pin(look_for_damage(session, &mut road, requested.jobs)).await?;
    requested.salvage = Some(map);
    let inspection = session.look(road, requested).await?;
    Ok((inspection, request))
}

/// A damaged visibility map would have rows counted that are not there.
pub(super) fn reads_damage(road: &mut Road) {
    let source = &mut road.source.connector;
    *source = source.with_opening("set enable_indexonlyscan = off");
}

/// The damage of a source: as an earlier session found it, or by a search.
pub(super) async fn look_for_damage(
    session: &Session<'_>,
    road: &mut Road,
    jobs: u32,
) -> Result<Arc<DamageMap>, Failure> {
    let directory = session.output.run_dir().path();
    let emitter = session.emitter();
    if let Some(map) = tell::read_map(&directory.join(MAP))? {
        return Ok(Arc::new(map));
    }
    session.step("looking for damage: reading every row of the source");
    can_be_searched(&road.source)?;
    for finding in findings(&quiet(&road.source.session).await?) {
        emitter.emit(What::Finding(finding));
    }
    let search = Survey {
        source: &road.source.connector,
        server: &road.source.facts,
        jobs,
        timeout: PROBE,
        directory,
        tell: &|text| emitter.emit(What::Note { text }),
    };
    let map = survey(&search).await?;
    // What was read may have brought down the server, and with it the session that was there before.
    road.source.session = patient_session(&road.source.connector).await?;
    for text in tell::sentences(&map.losses) {
        emitter.emit(What::Note { text });
    }
    tell::write(directory, &map.losses)?;
    // From here on nothing is searched again.
    tell::write_json(&directory.join(MAP), &map)?;
    Ok(Arc::new(map))
}

/// What is needed to look into the source's files.
fn can_be_searched(source: &Server) -> Result<(), Failure> {
    if !source.facts.superuser {
        return Err(Failure::usage(
            format!(
                "salvage looks into the files of the source, which the role \"{}\" may not do",
                source.facts.role
            ),
            "Connect to the source as a superuser: of a copy of its files, you can be one.",
        ));
    }
    if source.facts.block_size != BLOCK_SIZE {
        return Err(Failure::usage(
            format!(
                "the source has pages of {} bytes; salvage understands those of {BLOCK_SIZE}",
                source.facts.block_size
            ),
            "Nothing was touched.",
        ));
    }
    Ok(())
}

/// What speaks against the source being a copy that nobody uses.
fn findings(quiet: &Quiet) -> Vec<Finding> {
    let remedy = "Stop the server, copy its data directory as a whole, start a server on the copy with autovacuum = off, and \
                  salvage that: then what is lost can be told to the row, and the original stays as it is.";
    let mut what: Vec<String> = Vec::new();
    if quiet.others > 0 {
        what.push(format!(
            "{} other sessions are connected to it",
            quiet.others
        ));
    }
    if !quiet.is_cold() && quiet.others == 0 {
        what.push("not all that was written to it is in its files yet (a CHECKPOINT by its owner would do)".to_owned());
    }
    if quiet.autovacuum {
        what.push("it cleans up by itself (autovacuum)".to_owned());
    }
    what.into_iter()
        .map(|what| Finding {
            rule: "source-in-use".to_owned(),
            severity: Severity::Warning,
            what: format!("the source is in use: {what}"),
            remedy: remedy.to_owned(),
            evidence: Vec::new(),
        })
        .collect()
}
