//! Everything from the plan to the last job; and then the proof.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::look::Looked;
use super::prove::{self, Proof};
use crate::cli::inspect::Server;
use crate::cli::ledger_row::{LedgerRow, SnapshotRecord};
use crate::cli::session::{Done, Session};
use crate::event::{Emit as _, What};
use crate::execute::{self, Earlier, Loaded, Loading, Origin, Run, prepare};
use crate::failure::Failure;
use crate::fault;
use crate::ledger::{Memory, Request};
use crate::model::QualifiedName;
use crate::pg::wire::Wire;
use crate::plan::Plan;

/// A target that is ours, a ledger in it, and a plan.
pub(super) struct Ready {
    pub looked: Looked,
    pub plan: Arc<Plan>,
    pub earlier: Earlier,
    /// The session of the target that drops the ledger in the end.
    pub ledger: Wire,
}

/// The first time that the target is touched: empties it where that was asked for, and makes the ledger.
pub(super) async fn begin(
    session: &Session<'_>,
    mut looked: Looked,
    request: &Request,
) -> Result<Ready, Failure> {
    session.step("planning");
    let plan = looked.plan()?;
    fault::point("planned");
    let schema = looked.archived.toc.to_bytes()?;
    session.write_down(&schema, &plan)?;
    if looked.wanted.overwrite.is_some() {
        let emptied = tokio::select! {
            emptied = prepare::empty(&looked.target.session) => emptied?,
            failure = session.stopped() => return Err(failure),
        };
        fault::point("target-emptied");
        for text in emptied.notes() {
            session.emitter().emit(What::Note { text });
        }
        let installed = crate::catalog::installed_extensions(&looked.target.session);
        looked.target_facts.installed = installed.await?;
    }
    fault::point("target-ready");
    let memory = Memory {
        installed: looked.target_facts.installed.clone(),
        sequences: looked.archived.facts.sequences.clone(),
        activity: Vec::new(),
    };
    // There is no snapshot but the archive itself.
    let snapshot = SnapshotRecord {
        id: String::new(),
        lsn: String::new(),
        kept: None,
    };
    let row = LedgerRow::new(&snapshot, (&memory, &schema), (&plan, request))?;
    let ledger = session.make_ledger(&looked.target, (&row, request)).await?;
    announce(session, &plan);
    fault::point("announced");
    Ok(Ready {
        looked,
        plan: Arc::new(plan),
        earlier: Earlier::default(),
        ledger,
    })
}

/// Tells what the jobs of a plan are. Of tables that are loaded through a partitioned one, that is compared.
pub(super) fn announce(session: &Session<'_>, plan: &Plan) {
    let compared: BTreeSet<&QualifiedName> = plan.tables.iter().map(|unit| &unit.into).collect();
    session.emitter().emit(What::Planned {
        jobs: plan.announced(),
        tables: u32::try_from(compared.len()).unwrap_or(u32::MAX),
        bytes: plan.data_bytes(),
    });
}

/// Everything that is planned and not done, and the proof.
pub(super) async fn carry_out(session: &Session<'_>, ready: Ready) -> Result<Done, Failure> {
    let Ready {
        looked,
        plan,
        earlier,
        mut ledger,
    } = ready;
    let emitter = session.emitter();
    session.step("loading and building");
    let target: Server = looked.target;
    let worker = session.worker(&target);
    let opened = looked.opened;
    let expected = opened.manifest.as_ref().map(|manifest| Loaded {
        tables: manifest
            .tables
            .iter()
            .map(|table| (table.dump_id, table.content))
            .collect(),
        objects: manifest
            .large_objects
            .iter()
            .map(|object| (object.oid, object.content))
            .collect(),
    });
    let loading = Arc::new(Loading::new(opened.stored, expected));
    let run = Run {
        plan: Arc::clone(&plan),
        origin: Origin::Archive(Arc::clone(&loading)),
        target: worker.clone(),
        emit: Arc::new(emitter.clone()),
        stop: session.stop.clone(),
        patience: session.patience,
        earlier,
        max_retries: session.max_retries,
    };
    let marks = Box::pin(execute::run(run))
        .await
        .map_err(|error| session.why_stopped(error))?;
    fault::point("jobs-done");
    let proof = Proof {
        target: &target,
        plan: &plan,
        archived: &looked.archived,
        manifest: opened.manifest,
        encoding: &opened.encoding,
        path: &opened.path,
        loading: &loading,
        wanted: &looked.wanted,
        installed: &looked.target_facts.installed,
    };
    let proven = tokio::select! {
        proven = Box::pin(prove::prove(session, proof, &mut ledger, &marks)) => proven,
        failure = session.stopped() => Err(failure),
    };
    proven.map(|()| Done {
        target_superuser: target.facts.superuser,
        target: worker,
        ledger,
    })
}
