//! `pgconvoy resume`: goes on with an interrupted run, from its directory or, on another machine, from the target's ledger.
//!
//! ```text
//!   run.json, or the ledger ─► what was asked for ─► both ends ─► claim ─► ledger ─┬─ none: nothing was begun ─► begin
//!                                                                                  └─ take up:
//!   the keeper still holds the snapshot ─► the old plan, with what of it is done
//!   it is lost ─► a new snapshot ─► what has not changed stays, the rest is cleared away ─► a new plan
//! ```
//!
//! A session trusts the ledger for what is done, and for nothing else: what the proof needs is read anew on both sides.

use std::path::PathBuf;

use chrono::Utc;
use clap::Args;

use super::arguments::{OutputArgs, RetryArgs, RunningArgs, resolve_connection};
use super::consent;
use super::detach;
use super::dump;
use super::expect::{ExpectArgs, Expectations};
use super::follow;
use super::inspect::{Inspection, Road, Server};
use super::output::Output;
use super::past::Past;
use super::requested::Requested;
use super::restore::{self, Resume};
use super::run_dir::{self, RunDir};
use super::salvage;
use super::say::say;
use super::secrets::{SOURCE_PASSWORD, TARGET_PASSWORD};
use super::session::{self, Ready, Session};
use super::take_up::take_up;
use crate::event::{Emit, What};
use crate::failure::Failure;
use crate::ledger::{self, Identity, Ledger, Request};
use crate::model::{Endpoint, ExitStatus, RunCommand, Side};
use crate::pg::conninfo::{Conninfo, Environment};
use crate::progress::Measured;

/// Resume a run that was interrupted
///
/// Resumes a move, a rehearsal, a dump, a restore or a salvage. Says for each job whether it is done, is done again or remains,
/// and why; does what remains, and proves the whole. If the source's snapshot is still held, it continues in that; otherwise it
/// takes a new one and brings everything up to it. The run directory is all that it needs. From another machine, or without the
/// run directory, give --target: the ledger there has everything.
#[derive(Debug, Clone, Args)]
#[command(after_help = super::AFTER_HELP)]
pub struct ResumeArgs {
    /// The directory of the interrupted run
    #[arg(value_name = "RUN_DIR", conflicts_with = "run_dir")]
    pub directory: Option<PathBuf>,

    /// The source, if it is reached differently now
    #[arg(
        long,
        value_name = "CONNINFO",
        env = "PGCONVOY_SOURCE",
        hide_env_values = true,
        help_heading = "Connections"
    )]
    pub source: Option<String>,

    /// The target, if it is reached differently now, or if there is no run directory
    #[arg(
        long,
        value_name = "CONNINFO",
        env = "PGCONVOY_TARGET",
        hide_env_values = true,
        help_heading = "Connections"
    )]
    pub target: Option<String>,

    /// Retry failed statements, once their cause is fixed; one whose file under failed/ was edited is run as edited
    #[arg(long, help_heading = "Resuming")]
    pub retry_failed: bool,

    /// Empty the target database after all, if the run was interrupted before it began to; NAME must be the database's own name
    #[arg(long, value_name = "NAME", help_heading = "Resuming")]
    pub overwrite: Option<String>,

    /// What to expect of it; as before, if nothing is said.
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

/// What is known before the target is touched.
enum Found {
    /// The run was interrupted before it touched the target.
    Nothing(Box<Inspection>),
    /// Its ledger.
    Ledger(Box<Interrupted>),
}

/// An interrupted run, found.
pub(super) struct Interrupted {
    pub road: Road,
    pub requested: Requested,
    pub ledger: Ledger,
}

impl ResumeArgs {
    /// Whether a dump or a restore is resumed; not, if that cannot be known before the target is asked.
    pub(super) fn is_about_archive(&self) -> bool {
        let directory = self.directory.as_deref();
        directory.is_some_and(run_dir::is_about_archive)
    }

    /// From the command line.
    pub(super) async fn start(self) -> Result<ExitStatus, Failure> {
        let mut options = self.output.options();
        if let Some(directory) = &self.directory {
            options.run_dir.clone_from(directory);
        }
        if self.running.detach {
            let fixed = || self.output.run_dir_as_argument(&options);
            let more = self.directory.is_none().then(fixed).unwrap_or_default();
            return Box::pin(detach::start(&options, &more)).await;
        }
        let (output, request, past) = if let Some(directory) = &self.directory {
            let run_dir = RunDir::open_existing(directory)?;
            if let Some(request) = dump::asked_for(&run_dir)? {
                if self.retry_failed {
                    return Err(Failure::usage(
                        "a dump has no failed statements to try again",
                        "Leave --retry-failed out: resuming does whatever is not finished.",
                    ));
                }
                if self.overwrite.is_some() {
                    return Err(Failure::usage(
                        "a dump has no target database to empty",
                        "Leave --overwrite out.",
                    ));
                }
                self.expect.refuse_for("a dump")?;
                if let Some(status) = dump::finished_before(&request)? {
                    return Ok(status);
                }
                let output = Output::go_on(run_dir, &options)?;
                let source = self.given_source(&Environment::of_process())?;
                let dump = (request, source, self.running, self.retry);
                return Box::pin(dump::resume(dump, output)).await;
            }
            let past = Past::read(&run_dir.look())?;
            let request = run_dir.read_request()?;
            let request: Request = request.ok_or_else(|| nothing_asked(directory))?;
            if request.archive.is_some() {
                let target = self.given_target(&Environment::of_process())?;
                if let Some(status) =
                    restore::finished_before(&request, target.clone(), &past).await?
                {
                    return Ok(status);
                }
                let output = Output::go_on(run_dir, &options)?;
                return self.restore((request, target, past), output).await;
            }
            if let Some(status) = self.finished_before(&request, &past).await? {
                return Ok(status);
            }
            (Output::go_on(run_dir, &options)?, Some(request), past)
        } else if let Some(target) = self.given_target(&Environment::of_process())? {
            let request = request_from_ledger(&target).await?;
            if request.archive.is_some() {
                let output = Output::start(&options)?;
                output.run_dir().write_request(&request)?;
                let asked = (request, Some(target), Past::default());
                return self.restore(asked, output).await;
            }
            (Output::start(&options)?, None, Past::default())
        } else {
            return Err(Failure::usage(
                "which run should be resumed?",
                "Name its directory, or the target database with --target: the ledger is there.",
            ));
        };
        Box::pin(run(self, output, request, past)).await
    }
}

impl ResumeArgs {
    /// Goes on with a restore.
    async fn restore(
        self,
        (request, target, past): (Request, Option<Conninfo>, Past),
        output: Output,
    ) -> Result<ExitStatus, Failure> {
        let resumed = Resume {
            request,
            target,
            source: self.given_source(&Environment::of_process())?,
            past,
            retry_failed: self.retry_failed,
            overwrite: self.overwrite,
            expect: self.expect,
        };
        Box::pin(restore::resume(resumed, (self.running, self.retry), output)).await
    }

    /// A run that was proven, and whose ledger is gone, is over: says so, and with which status. It may have been killed in
    /// between, and then the ledger is still there. One that is followed may have been killed before it came to say that its copy is
    /// proven; then the target says so.
    async fn finished_before(
        &self,
        request: &Request,
        past: &Past,
    ) -> Result<Option<ExitStatus>, Failure> {
        let proven = match &past.ended {
            Some((status @ (ExitStatus::Proven | ExitStatus::Waived), sentence)) => {
                Some((*status, sentence))
            }
            _ => None,
        };
        let wanted = request.follow.as_ref().filter(|_| past.begun);
        if proven.is_none() && wanted.is_none() {
            return Ok(None);
        }
        let environment = Environment::of_process();
        let target = self.given_target(&environment)?;
        let requested = Requested::recorded(request, (None, target), environment)?;
        let target = requested.target().clone().even_if_closed();
        let target = Server::connect(target, Side::Target).await?;
        consent::refuse_another_target(request, &Identity::of(&target.facts), &target.endpoint)?;
        if ledger::read(&target.session).await?.is_some() {
            return Ok(None);
        }
        if let Some(wanted) = wanted {
            // The copy may have been no more than counted.
            let status = proven.map_or(ExitStatus::Waived, |(status, _)| status);
            let told = follow::tell_after_move(&target, wanted, status).await?;
            if told.is_some() {
                return Ok(told);
            }
        }
        let Some((status, sentence)) = proven else {
            return Ok(None);
        };
        say(&format!(
            "There is nothing to resume: this run was finished.\n{sentence}"
        ));
        Ok(Some(status))
    }

    fn given_target(&self, environment: &Environment) -> Result<Option<Conninfo>, Failure> {
        let side = ("--target", TARGET_PASSWORD);
        let resolve = |text: &String| resolve_connection(text, environment, side);
        self.target.as_ref().map(resolve).transpose()
    }

    fn given_source(&self, environment: &Environment) -> Result<Option<Conninfo>, Failure> {
        let side = ("--source", SOURCE_PASSWORD);
        let resolve = |text: &String| resolve_connection(text, environment, side);
        self.source.as_ref().map(resolve).transpose()
    }
}

fn nothing_asked(directory: &std::path::Path) -> Failure {
    Failure::usage(
        format!(
            "the run in {} was interrupted before it had looked at both servers; nothing was touched",
            directory.display()
        ),
        "There is nothing to resume: start it again.",
    )
}

/// Resumes.
async fn run(
    args: ResumeArgs,
    output: Output,
    request: Option<Request>,
    past: Past,
) -> Result<ExitStatus, Failure> {
    let session = Session::new(&output, args.running, args.retry);
    let from_elsewhere = request.is_none();
    let found = tokio::select! {
        found = look((&args, &past), &session, request) => found,
        failure = session.stopped() => Err(failure),
    };
    let (request, found, expectations) = match found {
        Ok(found) => found,
        // This session has touched nothing. The record of the others stays.
        Err(failure) => {
            let failure = follow::take_back(&session, failure).await;
            // The claim goes before anybody is told.
            drop(session);
            if from_elsewhere && !salvage::has_begun(&output) {
                output.abandon(&failure).await;
                return Err(failure);
            }
            return Ok(output.fail(failure).await);
        }
    };
    let done = async {
        let ready = ready((&past, args.retry_failed), &session, &request, found).await?;
        expectations.tell(&ready.plan, &session.emitter());
        Box::pin(session.carry_out(ready)).await
    };
    let done = done.await;
    let (done, claim) = session.end(done).await;
    session::conclude(done, claim, output).await
}

async fn ready(
    (past, retry_failed): (&Past, bool),
    session: &Session<'_>,
    request: &Request,
    found: Found,
) -> Result<Ready, Failure> {
    let take_up = async {
        match found {
            Found::Nothing(inspection) => Box::pin(session.begin(*inspection, request)).await,
            Found::Ledger(interrupted) => {
                Box::pin(take_up(session, *interrupted, past, retry_failed)).await
            }
        }
    };
    tokio::select! {
        ready = Box::pin(take_up) => ready,
        failure = session.stopped() => Err(failure),
    }
}

/// Finds both ends and the ledger; touches nothing, but that it ends what an earlier session has left running.
async fn look(
    (args, past): (&ResumeArgs, &Past),
    session: &Session<'_>,
    request: Option<Request>,
) -> Result<(Request, Found, Expectations), Failure> {
    let (expectations, gone) = args
        .expect
        .resume((Measured::Move, &past.measure), Utc::now())?;
    let environment = Environment::of_process();
    let source = args.given_source(&environment)?;
    let target = args.given_target(&environment)?;
    session.step("connecting");
    let (request, from_elsewhere) = match (request, &target) {
        (Some(request), _) => (request, false),
        (None, Some(target)) => (request_from_ledger(target).await?, true),
        (None, None) => return Err(Failure::defect("a run without a name")),
    };
    if from_elsewhere {
        session.output.run_dir().write_request(&request)?;
    }
    let overwrite = args.overwrite.as_deref();
    consent::refuse_new_consent(&request, overwrite)?;
    let mut requested = Requested::recorded(&request, (source, target), environment)?;
    if request.create && !requested.target_exists().await? {
        requested.create = true;
    }
    if request.salvage {
        let has_schema = salvage::has_schema(session.output.run_dir());
        let describe = (!has_schema).then_some(&requested.filters);
        let reached = Box::pin(salvage::reachable(requested.source, describe)).await;
        let reached = reached.map_err(|failure| failure.while_doing("the source"))?;
        requested.source = reached.conninfo;
    }
    let mut road = Road::connect(&requested).await?;
    session.tell_start(RunCommand::Resume, &road, &requested);
    let now = Identity::of(&road.source.facts);
    if !request.source_identity.may_be(&now) {
        return Err(Failure::usage(
            format!(
                "{} is not the database that the run was moving (another server, or another database of that name)",
                road.source.endpoint
            ),
            "Point --source at the database that the run began with; to move another one, start a move.",
        ));
    }
    let now = requested.identity_of(&road.target);
    consent::refuse_another_target(&request, &now, &road.target_endpoint())?;
    if request.salvage {
        if !requested.create && ledger::read(&road.target.session).await?.is_none() {
            // Before a search, which takes as long as reading everything does.
            consent::to_empty(&road.target, &request, overwrite).await?;
        }
        let both = (&mut road, &mut requested);
        Box::pin(salvage::go_on(session, both, request.doubtful)).await?;
    }
    let asked = (&request, past.begun, overwrite);
    let found = Box::pin(find(session, road, requested, asked)).await?;
    for text in gone {
        session.emitter().emit(What::Note { text });
    }
    Ok((request, found, expectations))
}

async fn find(
    session: &Session<'_>,
    road: Road,
    mut requested: Requested,
    (request, begun, overwrite): (&Request, bool, Option<&str>),
) -> Result<Found, Failure> {
    if requested.create {
        if begun {
            return Err(ledger_gone(&road.target_endpoint()));
        }
        let inspection = session.look(road, requested).await?;
        return Ok(Found::Nothing(Box::new(inspection)));
    }
    session.claim(&road.target).await?;
    let Some(ledger) = ledger::read(&road.target.session).await? else {
        if begun {
            return Err(ledger_gone(&road.target_endpoint()));
        }
        let may_go = consent::to_empty(&road.target, request, overwrite).await?;
        requested.overwrite = may_go.overwrite;
        requested.adopt = request.create;
        let inspection = session.look(road, requested).await?;
        return Ok(Found::Nothing(Box::new(inspection)));
    };
    refuse_another_run(&ledger, request, &road.target.endpoint)?;
    consent::refuse_late_consent(overwrite, &road.target.endpoint)?;
    Ok(Found::Ledger(Box::new(Interrupted {
        road,
        requested,
        ledger,
    })))
}

/// Whoever finished the run in the meantime, or did away with it, may be using the database by now.
pub(super) fn ledger_gone(target: &Endpoint) -> Failure {
    Failure::usage(
        format!(
            "{target} no longer has a ledger: the run was finished from elsewhere, or the ledger was removed"
        ),
        "Nothing was touched. If the run was not finished, start it again.",
    )
}

/// The ledger must be that of the run which is resumed.
pub(super) fn refuse_another_run(
    ledger: &Ledger,
    request: &Request,
    target: &Endpoint,
) -> Result<(), Failure> {
    if ledger.request.run == request.run {
        return Ok(());
    }
    Err(Failure::usage(
        format!(
            "the ledger in {target} belongs to another run: {}",
            ledger.request.run
        ),
        "Resume that run, or point --target at the database that this one was filling.",
    ))
}

/// Without a run directory, what was asked for is in the ledger.
async fn request_from_ledger(target: &Conninfo) -> Result<Request, Failure> {
    let server = Server::connect(target.clone(), Side::Target).await;
    let server = server.map_err(|failure| failure.while_doing("the target"))?;
    match ledger::read(&server.session).await? {
        Some(ledger) => Ok(ledger.request),
        None => Err(Failure::usage(
            format!("{} has no ledger of an unfinished run", server.endpoint),
            "There is nothing to resume there: either the run was finished, or it never touched this database.",
        )),
    }
}
