//! A restore that was interrupted: the archive must still be the one that it was begun with.

use chrono::Utc;

use super::carry::{self, Ready};
use super::look::{self, Clean, Wanted};
use super::opened::{self, Opened};
use crate::cli::arguments::{RetryArgs, RunningArgs};
use crate::cli::consent;
use crate::cli::expect::{ExpectArgs, Expectations};
use crate::cli::inspect::{MAINTENANCE_DATABASE, Server};
use crate::cli::output::Output;
use crate::cli::past::Past;
use crate::cli::requested::reached_again;
use crate::cli::resume::{ledger_gone, refuse_another_run};
use crate::cli::say::say;
use crate::cli::session::{self, Session};
use crate::cli::take_up::as_planned;
use crate::event::{Emit as _, What};
use crate::execute::{prepare, rebase};
use crate::failure::Failure;
use crate::fault;
use crate::ledger::{self, Identity, Ledger, Request};
use crate::model::{ExitStatus, RunCommand, Side};
use crate::pg::conninfo::{Conninfo, Environment};
use crate::progress::Measured;

/// What is resumed, and how.
pub(in crate::cli) struct Resume {
    /// What was asked for.
    pub request: Request,
    /// The target, if it is to be reached otherwise than then.
    pub target: Option<Conninfo>,
    /// The live source, likewise.
    pub source: Option<Conninfo>,
    /// What the run directory says.
    pub past: Past,
    /// Try failed statements again.
    pub retry_failed: bool,
    /// Empty the target database of this name, if the run had not begun to.
    pub overwrite: Option<String>,
    /// What it is measured by, if it is said anew.
    pub expect: ExpectArgs,
}

/// Goes on with it.
pub(in crate::cli) async fn resume(
    asked: Resume,
    (running, retry): (RunningArgs, RetryArgs),
    output: Output,
) -> Result<ExitStatus, Failure> {
    let session = Session::new(&output, running, retry);
    let ready = tokio::select! {
        ready = Box::pin(measured(&asked, &session)) => ready,
        failure = session.stopped() => Err(failure),
    };
    let done = match ready {
        Ok((ready, expectations)) => {
            expectations.tell(&ready.plan, &session.emitter());
            Box::pin(carry::carry_out(&session, ready)).await
        }
        Err(failure) => Err(failure),
    };
    let (done, claim) = session.end(done).await;
    session::conclude(done, claim, output).await
}

/// The target that an interrupted restore was filling.
fn recorded_target(request: &Request, given: Option<Conninfo>) -> Result<Conninfo, Failure> {
    let environment = Environment::of_process();
    reached_again(given, &request.target, &environment, Side::Target)
}

/// The same as what was asked for then, without what the target was made ready by.
fn wanted(asked: &Resume) -> Result<Wanted, Failure> {
    let request = &asked.request;
    let environment = Environment::of_process();
    let source = if request.source.is_empty() {
        None
    } else {
        let given = asked.source.clone();
        Some(reached_again(
            given,
            &request.source,
            &environment,
            Side::Source,
        )?)
    };
    let archive = request.archive.as_ref();
    Ok(Wanted {
        target: recorded_target(request, asked.target.clone())?,
        source,
        overwrite: None,
        // What an earlier session may have dropped already is not missed.
        clean: archive.filter(|archive| archive.clean).map(|_| Clean {
            named: request.target_database.clone(),
            if_exists: true,
        }),
        create: request.create,
        is_missing: false,
        disable_triggers: archive.is_some_and(|archive| archive.disable_triggers),
        skip_checks: Vec::new(),
        restore: request.restore,
        jobs: request.jobs,
        memory: request.memory,
        chunk_size: request.chunk_size,
        verify: request.verify,
        selection: archive
            .map(|archive| archive.selection.clone())
            .unwrap_or_default(),
    })
}

/// What is ready, and what it is measured by.
async fn measured(asked: &Resume, session: &Session<'_>) -> Result<(Ready, Expectations), Failure> {
    let before = (Measured::Restore, &asked.past.measure);
    let (expectations, gone) = asked.expect.resume(before, Utc::now())?;
    let ready = Box::pin(ready(asked, session)).await?;
    for text in gone {
        session.emitter().emit(What::Note { text });
    }
    Ok((ready, expectations))
}

async fn ready(asked: &Resume, session: &Session<'_>) -> Result<Ready, Failure> {
    let request = &asked.request;
    let overwrite = asked.overwrite.as_deref();
    consent::refuse_new_consent(request, overwrite)?;
    session.step("opening the archive");
    let opened = the_same_archive(request)?;
    session.step("connecting");
    let mut wanted = wanted(asked)?;
    if wanted.create {
        // It may or may not have been created by then.
        let first = wanted.target.clone().with_database(MAINTENANCE_DATABASE);
        let first = look::connect(first).await?;
        let name = &wanted.target.database;
        wanted.is_missing = !prepare::database_exists(&first.session, name).await?;
    }
    let target = look::connect(wanted.first_database()).await?;
    look::tell_start(RunCommand::Resume, session, (&opened, &target), &wanted);
    let now = wanted.identity_of(&target);
    consent::refuse_another_target(request, &now, &target.endpoint)?;
    if wanted.is_missing {
        if asked.past.begun {
            return Err(ledger_gone(&target.endpoint));
        }
        let looked = Box::pin(look::look(session, (opened, target), wanted)).await?;
        return carry::begin(session, looked, request).await;
    }
    session.claim(&target).await?;
    let Some(ledger) = ledger::read(&target.session).await? else {
        if asked.past.begun {
            return Err(ledger_gone(&target.endpoint));
        }
        let may_go = consent::to_empty(&target, request, overwrite).await?;
        wanted.overwrite = may_go.overwrite;
        wanted.clean = wanted.clean.filter(|_| may_go.clean);
        let looked = Box::pin(look::look(session, (opened, target), wanted)).await?;
        return carry::begin(session, looked, request).await;
    };
    refuse_another_run(&ledger, request, &target.endpoint)?;
    consent::refuse_late_consent(overwrite, &target.endpoint)?;
    Box::pin(take_up(asked, session, (opened, target, wanted), ledger)).await
}

/// Goes on with the plan that was begun.
async fn take_up(
    asked: &Resume,
    session: &Session<'_>,
    (opened, target, wanted): (Opened, Server, Wanted),
    mut ledger: Ledger,
) -> Result<Ready, Failure> {
    session.step("finding out what is done");
    let mut wire = session.ledger_wire(&target).await?;
    // What the ledger says is what a crash of the target would leave.
    wire.execute(&ledger::flush()).await?;
    let emptied = rebase::emptied(&target.session, &ledger.plan, &ledger.marks).await?;
    if let Some((table, _)) = emptied.first() {
        return Err(Failure::usage(
            format!(
                "the target has crashed since, which emptied its unlogged tables, {} among them",
                table.shown()
            ),
            "This restore cannot go on. Begin again with --overwrite and the name of the target database.",
        ));
    }
    let mut looked = look::describe((opened, target), wanted).await?;
    looked.target_facts.installed = std::mem::take(&mut ledger.memory.installed);
    let resumption = as_planned(&looked.target.session, ledger).await?;
    fault::point("taken-up");
    carry::announce(session, resumption.plan());
    let (plan, earlier) = resumption.earlier(session, &asked.past, asked.retry_failed)?;
    Ok(Ready {
        looked,
        plan,
        earlier,
        ledger: wire,
    })
}

fn the_same_archive(request: &Request) -> Result<Opened, Failure> {
    let Some(record) = &request.archive else {
        return Err(Failure::defect("a restore of no archive"));
    };
    let opened = opened::open(&record.path)?;
    if opened.record.contents == record.contents {
        return Ok(opened);
    }
    Err(Failure::usage(
        format!(
            "{} is not the archive that the restore was begun with: its table of contents differs",
            record.path.display()
        ),
        "Put that archive back; or restore this one, into an empty database.",
    ))
}

/// A restore that was finished, and whose ledger is gone, has nothing to resume: says so, and with which status.
pub(in crate::cli) async fn finished_before(
    request: &Request,
    given: Option<Conninfo>,
    past: &Past,
) -> Result<Option<ExitStatus>, Failure> {
    let Some((status @ (ExitStatus::Proven | ExitStatus::Waived), sentence)) = &past.ended else {
        return Ok(None);
    };
    let target = look::connect(recorded_target(request, given)?).await?;
    consent::refuse_another_target(request, &Identity::of(&target.facts), &target.endpoint)?;
    if ledger::read(&target.session).await?.is_some() {
        return Ok(None);
    }
    say(&format!(
        "There is nothing to resume: this run was finished.\n{sentence}"
    ));
    Ok(Some(*status))
}
