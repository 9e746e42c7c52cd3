//! `pgconvoy move`: source server → target server, directly, verified.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::sync::watch;

use super::arguments::{
    ConnectionArgs, LeaveOutArgs, OutputArgs, RunningArgs, SelectionArgs, SpeedArgs, VerifyArgs,
};
use super::detach;
use super::inspect::{self, Inspection, Requested, Road, Server};
use super::output::{Emitter, Output};
use super::prove::{self, Proof};
use crate::event::{Emit as _, What};
use crate::execute::{self, ExecuteError, Run, Stop};
use crate::failure::Failure;
use crate::ledger::{self, RunRecord};
use crate::model::{ExitStatus, Finding, Severity, Side};
use crate::pg::claim::Claim;
use crate::pg::wire::Wire;
use crate::plan::Plan;
use crate::preflight;
use crate::report::Ending;

/// Copy a database to another server and prove the copy
///
/// Copies everything that a database holds from one server to another, on all cores, and exits with 0 only if it has
/// read the target anew and found there exactly what the source held at one moment. The source is only read. The source
/// may be in use meanwhile; what is written to it after that moment is not copied, and said.
#[derive(Debug, Clone, Args)]
#[command(name = "move", after_help = super::AFTER_HELP)]
pub struct MoveArgs {
    /// Source and target.
    #[command(flatten)]
    pub connection: ConnectionArgs,

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

    /// Which objects.
    #[command(flatten)]
    pub selection: SelectionArgs,

    /// What to leave out of them.
    #[command(flatten)]
    pub leave_out: LeaveOutArgs,

    /// How to go about it.
    #[command(flatten)]
    pub speed: SpeedArgs,

    /// What to prove.
    #[command(flatten)]
    pub verify: VerifyArgs,

    /// How to start and stop it.
    #[command(flatten)]
    pub running: RunningArgs,

    /// How to tell.
    #[command(flatten)]
    pub output: OutputArgs,
}

impl MoveArgs {
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

    fn requested(&self) -> Result<Requested, Failure> {
        let mut requested = Requested::new(&self.connection, &self.selection, &self.leave_out)?;
        requested.create = self.create;
        requested.overwrite.clone_from(&self.overwrite);
        requested.jobs = self.speed.jobs();
        requested.verify = self.verify.level();
        Ok(requested)
    }
}

/// Moves.
pub async fn run(args: MoveArgs, output: Output) -> Result<ExitStatus, Failure> {
    let emitter = output.emitter();
    let stop = super::signals::watch(&output);
    let prepared = tokio::select! {
        prepared = prepare(&args, &output, &emitter) => prepared,
        failure = super::signals::stopped(stop.clone()) => Err(failure),
    };
    let Prepared {
        inspection,
        mut claim,
    } = match prepared {
        Ok(prepared) => prepared,
        // Nothing was touched, so there is nothing to keep a record of.
        Err(failure) => {
            output.abandon(&failure).await;
            return Err(failure);
        }
    };
    match Box::pin(carry_out(inspection, &mut claim, &args, &output, stop)).await {
        Ok(done) => {
            // Both are ours until the very end.
            let (_claim, _run_dir) = (claim, output.run_dir().clone());
            conclude(done, output).await
        }
        Err(failure) => {
            give_up(claim).await;
            Ok(output.fail(failure).await)
        }
    }
}

/// What was given up in the middle of a question may still be at work on the target: no backend goes on for a run that is over.
async fn give_up(claim: Option<Claim>) {
    const PATIENCE: Duration = Duration::from_secs(10);
    if let Some(claim) = claim {
        // If the server cannot be asked any more, the next run that claims the target ends them.
        let _ = tokio::time::timeout(PATIENCE, claim.end_leftovers()).await;
    }
}

/// The look before the leap: everything up to here only reads.
async fn prepare(args: &MoveArgs, output: &Output, emitter: &Emitter) -> Result<Prepared, Failure> {
    let requested = args.requested()?;
    step(emitter, "connecting");
    let road = Road::connect(&requested).await?;
    emitter.emit(What::RunStarted {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        command: "move".to_owned(),
        source: road.source.endpoint.clone(),
        target: road.target_endpoint(),
        jobs: requested.jobs,
        verify: requested.verify,
        run_dir: output.run_dir().path().display().to_string(),
        narrowed_by: requested.narrowed_by(),
    });
    // A database that is yet to be created is claimed then.
    let claim = if requested.create {
        None
    } else {
        Some(claim_target(&road.target, emitter).await?)
    };
    step(emitter, "looking at the target");
    let target_facts = road.view_target(&requested).await?;
    refuse_blockers(&road.first_findings(&requested, &target_facts).await?)?;
    step(emitter, "reading the schema of the source");
    let inspection = Box::pin(road.inspect(requested, target_facts)).await?;
    emitter.emit(What::SnapshotTaken {
        side: Side::Source,
        snapshot: inspection.view.snapshot.id.clone(),
        lsn: inspection.view.snapshot.lsn.clone(),
    });
    let findings = inspection.findings();
    refuse_blockers(&findings)?;
    let worth_telling = findings
        .into_iter()
        .filter(|finding| finding.severity < Severity::Blocker);
    worth_telling.for_each(|finding| emitter.emit(What::Finding(finding)));
    Ok(Prepared { inspection, claim })
}

/// Makes the target ours alone: no other run fills it, and nothing that one has left behind still works on it.
async fn claim_target(target: &Server, emitter: &Emitter) -> Result<Claim, Failure> {
    let claim = Claim::take(&target.connector).await?;
    for ended in claim.end_leftovers().await? {
        let text = format!("ended a session that an earlier run left on the target: {ended}");
        emitter.emit(What::Note { text });
    }
    claim.cover(&target.session).await?;
    Ok(claim)
}

/// What is known before anything is changed.
struct Prepared {
    inspection: Inspection,
    /// `None` as long as there is no target database.
    claim: Option<Claim>,
}

/// A run that has done all its jobs, with what proves it.
struct Done {
    target_superuser: bool,
    /// A session of the target that drops the ledger.
    ledger: Wire,
}

/// Everything that changes the target.
async fn carry_out(
    inspection: Inspection,
    claim: &mut Option<Claim>,
    args: &MoveArgs,
    output: &Output,
    stop: watch::Receiver<Stop>,
) -> Result<Done, Failure> {
    let emitter = output.emitter();
    step(&emitter, "planning");
    let memory = args.speed.memory(&inspection.road.target.facts);
    let plan = Arc::new(inspection.plan(memory, args.speed.chunk_size)?);
    output.run_dir().write_schema(&inspection.view.archive)?;
    output.run_dir().write_plan(&*plan)?;
    for text in plan.notes.clone() {
        emitter.emit(What::Note { text });
    }
    let (inspection, target) = tokio::select! {
        ready = Box::pin(inspection.ready_target(&emitter)) => ready?,
        failure = super::signals::stopped(stop.clone()) => return Err(failure),
    };
    if claim.is_none() {
        *claim = Some(claim_target(&inspection.road.target, &emitter).await?);
    }
    let mut ledger = open_ledger(&inspection, &plan, output).await?;
    emitter.emit(What::Planned {
        jobs: plan.announced(),
        tables: inspect::tables_to_judge(&plan),
        bytes: plan.data_bytes(),
    });
    step(&emitter, "copying and building");
    let (snapshot, proof) = inspection.split(Arc::clone(&plan));
    let run = Run {
        plan,
        source: proof.source_connector(),
        target: Claim::worker(&target),
        snapshot,
        emit: Arc::new(emitter.clone()),
        stop: stop.clone(),
        patience: args.running.patience(),
    };
    Box::pin(execute::run(run))
        .await
        .map_err(|error| stopped(error, &stop))?;
    tokio::select! {
        proven = prove(proof, &mut ledger, &emitter) => proven,
        failure = super::signals::stopped(stop.clone()) => Err(failure),
    }
    .map(|target_superuser| Done {
        target_superuser,
        ledger,
    })
}

async fn prove(proof: Proof, ledger: &mut Wire, emitter: &Emitter) -> Result<bool, Failure> {
    step(
        emitter,
        "comparing schemas, indexes, constraints and sequences",
    );
    proof.finish_target().await?;
    prove::compare(&proof, emitter).await?;
    prove::tell_readiness(&proof, emitter).await?;
    prove::tell_writes_since(&proof.before(), emitter).await?;
    // Until here commits were not waited for; what is called proven is on disk.
    ledger.execute(&ledger::flush()).await?;
    Ok(proof.target_superuser())
}

/// The end: report first, and the ledger goes last, when nothing can ask for it any more.
async fn conclude(mut done: Done, output: Output) -> Result<ExitStatus, Failure> {
    let run_dir = output.run_dir().path().display().to_string();
    let status = output.finish(Ending::Complete).await;
    if matches!(status, ExitStatus::Proven | ExitStatus::Waived) {
        let dropped = done
            .ledger
            .execute(&ledger::drop(done.target_superuser))
            .await;
        dropped.map_err(|error| {
            Failure::from(error)
                .with_status(ExitStatus::Failed)
                .while_doing(&format!(
                    "dropping the ledger (schema pgconvoy) after the run in {run_dir} was complete"
                ))
        })?;
    }
    done.ledger.close().await;
    Ok(status)
}

async fn open_ledger(
    inspection: &Inspection,
    plan: &Plan,
    output: &Output,
) -> Result<Wire, Failure> {
    let plan = serde_json::to_string(plan)
        .map_err(|error| Failure::defect(format!("putting the plan into JSON: {error}")))?;
    let record = RunRecord {
        run: &output.run_dir().path().display().to_string(),
        source: &inspection.road.source.endpoint,
        snapshot: &inspection.view.snapshot.id,
        lsn: &inspection.view.snapshot.lsn,
        plan: &plan,
    };
    let mut wire = Claim::worker(&inspection.road.target.connector)
        .wire("ledger")
        .await?;
    let created = wire.execute(&ledger::create(&record)).await;
    created
        .map_err(|error| Failure::from(error).while_doing("creating the ledger on the target"))?;
    Ok(wire)
}

fn refuse_blockers(findings: &[Finding]) -> Result<(), Failure> {
    if preflight::is_go(findings) {
        Ok(())
    } else {
        Err(Failure::no_go(findings))
    }
}

fn stopped(error: ExecuteError, stop: &watch::Receiver<Stop>) -> Failure {
    match (error, stop.borrow().cause()) {
        (ExecuteError::Stopped, Some(cause)) => Failure::stopped(cause),
        (error, _) => Failure::from(error),
    }
}

fn step(emitter: &Emitter, what: &str) {
    emitter.emit(What::StepStarted {
        step: what.to_owned(),
    });
}
