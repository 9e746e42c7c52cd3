//! One session of a run, from a plan to an exit status. `move` begins the first, `resume` every other.
//!
//! ```text
//!   move:    look ─► begin ──┐
//!                            ├─► carry out ─► conclude
//!   resume:  look ─► take up ┘
//! ```
//!
//! `begin` is where the target is first touched; what was asked for, the plan and the schema are written down before, in the
//! run directory, and right after it in the ledger. The ledger goes last of all; of a target that is to follow its source, it makes room for
//! what that goes by.

mod conclude;

use std::cell::Cell;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;

use super::arguments::{RetryArgs, RunningArgs};
use super::follow::{self, Handover, Made};
use super::inspect::{self, Inspection, Road, Server};
use super::join::at_once;
use super::ledger_row::LedgerRow;
use super::output::{Emitter, Output};
use super::prove::{self, Proof};
use super::requested::{Requested, Sizes};
use super::salvage;
use crate::event::{Emit as _, What};
use crate::execute::{self, Earlier, ExecuteError, Origin, Run, Stop};
use crate::failure::Failure;
use crate::fault;
use crate::ledger::{self, Marks, Packed, Request};
use crate::model::{Finding, RunCommand, Severity, Side};
use crate::pg::Connector;
use crate::pg::claim::Claim;
use crate::pg::wire::Wire;
use crate::plan::{Left, Plan};
use crate::preflight;
use crate::verify::Observed;

pub(super) use self::conclude::{Done, conclude};

/// What a session needs besides what it does.
pub(super) struct Session<'a> {
    /// Where it is told.
    pub output: &'a Output,
    /// Says when the run is to be stopped.
    pub stop: watch::Receiver<Stop>,
    /// How long running jobs may go on then.
    pub patience: Duration,
    /// How often a job is tried again.
    pub max_retries: u32,
    /// What makes the target ours alone, once there is a target.
    claim: OnceLock<Claim>,
    /// The session for the ledger, opened ahead of need.
    ledger: Cell<Option<Wire>>,
    /// What was made on the source, so that the target can follow it.
    made: Cell<Option<Made>>,
    /// The target may not be as it was found.
    has_touched: Cell<bool>,
}

/// What the session for the ledger is called.
const LEDGER: &str = "ledger";

/// A target that is ours, a ledger in it, and a plan.
pub(super) struct Ready {
    pub inspection: Inspection,
    pub plan: Arc<Plan>,
    pub earlier: Earlier,
    /// The session of the target that drops the ledger in the end.
    pub ledger: Wire,
}

impl<'a> Session<'a> {
    /// Listens to signals from now on.
    pub fn new(output: &'a Output, running: RunningArgs, retry: RetryArgs) -> Self {
        Self {
            output,
            stop: super::signals::watch(output),
            patience: running.patience(),
            max_retries: retry.max_retries,
            claim: OnceLock::new(),
            ledger: Cell::new(None),
            made: Cell::new(None),
            has_touched: Cell::new(false),
        }
    }

    /// The target may be changed from here on: whatever fails, nobody is told that nothing was touched.
    pub fn touch(&self) {
        self.has_touched.set(true);
    }

    /// Waits until the run is asked to stop, for steps that have nothing to bring to an end.
    pub async fn stopped(&self) -> Failure {
        super::signals::stopped(self.stop.clone()).await
    }

    /// The end of it, as it is to be told, and the claim, to be held until then. What was given up in the middle of a question may still be
    /// at work on the target: no backend goes on for a run that is over.
    pub async fn end(self, done: Result<Done, Failure>) -> (Result<Done, Failure>, Option<Claim>) {
        const PATIENCE: Duration = Duration::from_secs(10);
        // Its session counts as at work for the run.
        drop(self.ledger.take());
        let done = match done {
            Err(failure) if self.has_touched.get() => Err(failure.once_begun()),
            done => done,
        };
        let claim = self.claim.into_inner();
        if let (Err(_), Some(claim)) = (&done, &claim) {
            // If the server cannot be asked any more, the next run that claims the target ends them.
            let _ = tokio::time::timeout(PATIENCE, claim.end_leftovers()).await;
        }
        (done, claim)
    }

    /// Something was made on the source: should nothing be begun, it goes again.
    pub fn remember_made(&self, made: Made) {
        self.made.set(Some(made));
    }

    /// What was made on the source.
    pub fn made(&self) -> Option<Made> {
        self.made.take()
    }

    /// For whoever has something to say.
    pub fn emitter(&self) -> Emitter {
        self.output.emitter()
    }

    /// Says what is being done.
    pub fn step(&self, what: &str) {
        step(&self.emitter(), what);
    }

    /// What identifies the run: the name of its directory.
    pub fn run_id(&self) -> String {
        let path = self.output.run_dir().path();
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        path.display().to_string()
    }

    /// The first event of a session.
    pub fn tell_start(&self, command: RunCommand, road: &Road, requested: &Requested) {
        let started = started(command, road, requested, self.output);
        self.emitter().emit(started);
    }

    /// The look before the leap: everything that could speak against it. Only reads, and claims the target.
    pub async fn look(&self, road: Road, requested: Requested) -> Result<Inspection, Failure> {
        let emitter = self.emitter();
        refuse_blockers(&road.unsupported())?;
        let target = async {
            // A database that is yet to be created is claimed then.
            if !requested.create {
                self.claim(&road.target).await?;
            }
            self.step("looking at the target");
            let target_facts = road.view_target(&requested).await?;
            refuse_blockers(&road.first_findings(&requested, &target_facts).await?)?;
            self.step("reading the schema of the source");
            self.open_ledger(&road.target).await;
            Ok(target_facts)
        };
        // Reading the schema takes long. If the target is no good, it is given up.
        let (target_facts, seen) = if requested.follow.is_some() {
            // Nothing is made on the source before the target is known to be good.
            let target_facts = Box::pin(target).await?;
            Box::pin(follow::prepare(self, &road, &requested)).await?;
            (target_facts, Box::pin(road.see(&requested, None)).await?)
        } else {
            let source = road.see(&requested, None);
            at_once(Box::pin(target), Box::pin(source)).await?
        };
        let inspection = road.inspected(requested, target_facts, seen);
        follow::same_tables(&inspection).await?;
        self.tell_snapshot(&inspection);
        let findings = inspection.findings();
        refuse_blockers(&findings)?;
        let worth_telling = findings
            .into_iter()
            .filter(|finding| finding.severity < Severity::Blocker);
        worth_telling.for_each(|finding| emitter.emit(What::Finding(finding)));
        fault::point("go");
        Ok(inspection)
    }

    /// Opens the ledger's session ahead of need. Why it cannot be opened is told when it is needed.
    pub async fn open_ledger(&self, target: &Server) {
        if let Some(claim) = self.claim.get()
            && let Ok(wire) = claim.worker(&target.connector).wire(LEDGER).await
        {
            self.ledger.set(Some(wire));
        }
    }

    /// Which snapshot everything is read in.
    pub fn tell_snapshot(&self, inspection: &Inspection) {
        self.emitter().emit(What::SnapshotTaken {
            side: Side::Source,
            snapshot: inspection.view.snapshot.id.clone(),
            lsn: inspection.view.snapshot.lsn.clone(),
        });
    }

    /// Makes the target ours alone: no other run fills it, and nothing that one has left behind still works on it.
    pub async fn claim(&self, target: &Server) -> Result<(), Failure> {
        if self.claim.get().is_some() {
            return Ok(());
        }
        let claim = Claim::take(&target.connector).await?;
        for ended in claim.end_leftovers().await? {
            let text = format!("ended a session that an earlier run left on the target: {ended}");
            self.emitter().emit(What::Note { text });
        }
        claim.cover(&target.session).await?;
        fault::point("claimed");
        self.claim.get_or_init(|| claim);
        Ok(())
    }

    /// Opens sessions that work on the target, as long as it is ours.
    pub fn worker(&self, target: &Server) -> Connector {
        let target = &target.connector;
        self.claim
            .get()
            .map_or_else(|| target.clone(), |claim| claim.worker(target))
    }

    /// The session for the ledger.
    pub async fn ledger_wire(&self, target: &Server) -> Result<Wire, Failure> {
        match self.ledger.take() {
            Some(wire) => Ok(wire),
            None => Ok(self.worker(target).wire(LEDGER).await?),
        }
    }

    /// Makes the ledger, and writes the run into it.
    pub async fn make_ledger(
        &self,
        target: &Server,
        row: LedgerRow,
        request: &Request,
    ) -> Result<Wire, Failure> {
        let mut wire = self.ledger_wire(target).await?;
        let create = ledger::create(&row.row(request));
        // It is large where the plan is, and all of it is in the statement.
        drop(row);
        let created = tokio::select! {
            created = wire.execute(&create) => created,
            failure = self.stopped() => {
                // Nobody knows whether it was made.
                self.touch();
                return Err(failure);
            }
        };
        created.map_err(Failure::making_ledger)?;
        self.touch();
        fault::point("ledger-made");
        Ok(wire)
    }

    /// The first time that the target is touched: empties or creates it where that was asked for, and makes the ledger.
    pub async fn begin(&self, inspection: Inspection, request: &Request) -> Result<Ready, Failure> {
        self.step("planning");
        let plan = inspection.plan(Sizes::of(request), Left::default())?;
        fault::point("planned");
        self.write_down(&inspection.view.archive, &plan)?;
        let mut inspection = if inspection.is_to_change_target() {
            self.touch();
            let emitter = self.emitter();
            tokio::select! {
                ready = Box::pin(inspection.ready_target(&emitter, &request.run)) => ready?,
                failure = self.stopped() => return Err(failure),
            }
        } else {
            inspection
        };
        fault::point("target-ready");
        self.claim(&inspection.road.target).await?;
        let row = LedgerRow::of_move(&inspection, &plan, request)?;
        let wire = self
            .make_ledger(&inspection.road.target, row, request)
            .await?;
        // From here on there is something that can be resumed, in this snapshot.
        inspection.view.snapshot.keep().await?;
        fault::point("snapshot-kept");
        announce(&plan, &self.emitter());
        fault::point("announced");
        Ok(Ready {
            inspection,
            plan: Arc::new(plan),
            earlier: Earlier::default(),
            ledger: wire,
        })
    }

    /// Plan and schema, in the run directory.
    pub fn write_down(&self, schema: &Packed, plan: &Plan) -> Result<(), Failure> {
        let run_dir = self.output.run_dir();
        run_dir.write_schema(schema)?;
        fault::point("schema-archive-written");
        run_dir.write_plan(plan)?;
        fault::point("plan-written");
        for text in plan.notes.clone() {
            self.emitter().emit(What::Note { text });
        }
        Ok(())
    }

    /// Everything that is planned and not done, and the proof.
    pub async fn carry_out(&self, ready: Ready) -> Result<Done, Failure> {
        let Ready {
            inspection,
            plan,
            earlier,
            mut ledger,
        } = ready;
        let emitter = self.emitter();
        self.touch();
        self.step("copying and building");
        let target = self.worker(&inspection.road.target);
        let follow = Handover::of(&inspection)?;
        if let Some(handover) = &follow {
            emitter.emit(handover.told());
        }
        let (snapshot, mut proof, observed) = inspection.split(Arc::clone(&plan));
        let compared = Arc::new(salvage::Compared::new(Arc::new(emitter)));
        let run = Run {
            plan,
            origin: Origin::Server {
                source: Box::new(proof.source_connector()),
                snapshot: Box::new(snapshot),
            },
            target: target.clone(),
            emit: Arc::<salvage::Compared>::clone(&compared),
            stop: self.stop.clone(),
            patience: self.patience,
            earlier,
            max_retries: self.max_retries,
        };
        let marks = Box::pin(execute::run(run))
            .await
            .map_err(|error| self.why_stopped(error))?;
        fault::point("jobs-done");
        proof.forget_statements(&marks);
        let proven = tokio::select! {
            proven = self.prove((proof, observed, &compared), &mut ledger, &marks) => proven,
            failure = self.stopped() => Err(failure),
        };
        Ok(Done {
            target_superuser: proven?,
            target,
            ledger,
            follow,
        })
    }

    /// An error of the jobs, or why they were given up.
    pub fn why_stopped(&self, error: ExecuteError) -> Failure {
        match (error, self.stop.borrow().cause()) {
            (ExecuteError::Stopped, Some(cause)) => Failure::stopped(cause),
            (error, _) => Failure::from(error),
        }
    }
}

/// Tells what the jobs of a plan are.
pub(super) fn announce(plan: &Plan, emitter: &Emitter) {
    emitter.emit(What::Planned {
        jobs: plan.announced(),
        tables: inspect::tables_to_judge(plan),
        bytes: plan.data_bytes(),
    });
}

impl Session<'_> {
    async fn prove(
        &self,
        (proof, observed, compared): (Proof, Observed, &salvage::Compared),
        ledger: &mut Wire,
        marks: &Marks,
    ) -> Result<bool, Failure> {
        let emitter = &self.emitter();
        step(
            emitter,
            "comparing schemas, indexes, constraints and sequences",
        );
        proof.finish_target().await?;
        fault::point("properties-applied");
        let found = prove::look(&proof, observed).await?;
        let directory = self.output.run_dir().path();
        let settled = salvage::settle((&proof, compared), directory, emitter).await?;
        prove::compare(&proof, &found, &settled, emitter);
        fault::point("schemas-compared");
        prove::tell_readiness(&found, emitter);
        fault::point("readiness-told");
        let before = proof.before();
        let written = prove::writes_since(&found.source, &before);
        let kept = async {
            prove::make_last(ledger, emitter).await?;
            fault::point("flushed");
            prove::nothing_was_lost(&proof.target.session, &proof.plan, marks).await
        };
        let (written, kept) = tokio::join!(biased; written, kept);
        emitter.emit(written?);
        fault::point("writes-told");
        kept?;
        Ok(proof.target_superuser())
    }
}

/// An error if one of them forbids the run.
pub(super) fn refuse_blockers(findings: &[Finding]) -> Result<(), Failure> {
    if preflight::is_go(findings) {
        Ok(())
    } else {
        Err(Failure::no_go(findings))
    }
}

/// The first event of a session with two servers.
pub(super) fn started(
    command: RunCommand,
    road: &Road,
    requested: &Requested,
    output: &Output,
) -> What {
    What::RunStarted {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        command,
        source: road.source.endpoint.clone(),
        target: road.target_endpoint(),
        jobs: requested.jobs,
        verify: requested.verify,
        run_dir: output.run_dir().path().display().to_string(),
        narrowed_by: requested.narrowed_by(),
    }
}

/// Says what is being done.
pub(super) fn step(emitter: &Emitter, what: &str) {
    emitter.emit(What::StepStarted {
        step: what.to_owned(),
    });
}
