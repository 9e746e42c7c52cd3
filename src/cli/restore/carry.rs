//! Everything from the plan to the last job; and then the proof.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::look::{self, Looked};
use super::prove::{self, Proof};
use crate::archive::Manifest;
use crate::catalog;
use crate::cli::inspect::Server;
use crate::cli::ledger_row::{LedgerRow, SnapshotRecord};
use crate::cli::session::{Done, Session};
use crate::event::{Emit as _, What};
use crate::execute::{self, Earlier, Loaded, Loading, Origin, Run, clear, prepare};
use crate::failure::Failure;
use crate::fault;
use crate::ledger::{self, Memory, Packed, Request};
use crate::model::{QualifiedName, SqlText};
use crate::pg::wire::Wire;
use crate::plan::{NewDatabase, Plan};
use crate::progress::words;

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
    let schema = Packed::of(&looked.archived.toc.to_bytes()?)
        .map_err(|error| Failure::defect(format!("compressing the schema: {error}")))?;
    session.write_down(&schema, &plan)?;
    tokio::select! {
        ready = Box::pin(make_ready(session, &mut looked, &request.run)) => ready?,
        failure = session.stopped() => return Err(failure),
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
        is_being_cleared: false,
    };
    let row = LedgerRow::new(&snapshot, (&memory, &schema), (&plan, request))?;
    let ledger = session.make_ledger(&looked.target, row, request).await?;
    announce(session, &plan);
    fault::point("announced");
    Ok(Ready {
        looked,
        plan: Arc::new(plan),
        earlier: Earlier::default(),
        ledger,
    })
}

/// What is done to the target before anything is loaded.
enum Preparation {
    /// The database is made as the archive has it.
    Create(NewDatabase),
    /// It was made by an earlier session, and is given the rest.
    Adopt(NewDatabase),
    /// The tables that rows are loaded into are emptied.
    EmptyTables,
    /// Everything goes.
    Empty,
    /// What the archive has goes: what it is called, and the statement.
    Drop(Vec<(String, SqlText)>),
}

impl Preparation {
    /// As it was asked for; `None` if the target is taken as it is.
    fn of(looked: &Looked) -> Option<Self> {
        let wanted = &looked.wanted;
        if let Some(new) = looked.new_database.clone() {
            return Some(if wanted.is_missing {
                Self::Create(new)
            } else {
                Self::Adopt(new)
            });
        }
        if wanted.overwrite.is_some() {
            return Some(if wanted.selection.data_only {
                Self::EmptyTables
            } else {
                Self::Empty
            });
        }
        let drops = looked.drops().into_iter();
        let drops: Vec<_> = drops
            .map(|drop| (drop.entry.to_string(), drop.sql))
            .collect();
        (!drops.is_empty()).then_some(Self::Drop(drops))
    }
}

/// Creates, empties or clears the target where that was asked for.
async fn make_ready(session: &Session<'_>, looked: &mut Looked, run: &str) -> Result<(), Failure> {
    let Some(preparation) = Preparation::of(looked) else {
        return Ok(());
    };
    session.touch();
    let sign = ledger::put_up_sign(run);
    let notes = match preparation {
        Preparation::Create(new) => {
            prepare::create_database(&looked.target.session, &new).await?;
            fault::point("target-created");
            looked.target = look::connect(looked.wanted.target.clone()).await?;
            session.claim(&looked.target).await?;
            vec![format!("created database {} on the target", new.name)]
        }
        Preparation::Adopt(new) => {
            prepare::adopt_database(&looked.target.session, &new).await?;
            Vec::new()
        }
        Preparation::EmptyTables => looked.empty_tables(&sign).await?.into_iter().collect(),
        Preparation::Empty => {
            let emitter = session.emitter();
            let emptied = prepare::empty(&looked.target.session, Some(&sign), &emitter).await?;
            fault::point("target-emptied");
            emptied.notes()
        }
        Preparation::Drop(drops) => {
            clear::drop_objects(&looked.target.session, &drops, &sign).await?;
            let objects = words::count(drops.len() as u64, "object", "objects");
            vec![format!("dropped {objects} on the target")]
        }
    };
    for text in notes {
        session.emitter().emit(What::Note { text });
    }
    let installed = catalog::installed_extensions(&looked.target.session);
    looked.target_facts.installed = installed.await?;
    Ok(())
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

/// What must come out of the files.
fn expected(manifest: &Manifest) -> Loaded {
    let tables = manifest.tables.iter();
    let objects = manifest.large_objects.iter();
    Loaded {
        tables: tables.map(|table| (table.dump_id, table.content)).collect(),
        objects: objects.map(|one| (one.oid, one.content)).collect(),
    }
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
    session.touch();
    session.step("loading and building");
    let target: Server = looked.target;
    let new_database = looked.new_database;
    let worker = session.worker(&target);
    let opened = looked.opened;
    let expected = opened.manifest.as_ref().map(expected);
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
    if let Some(new) = &new_database {
        prepare::apply_properties(&target.session, new).await?;
        fault::point("properties-applied");
    }
    let proof = Proof {
        target: &target,
        plan: &plan,
        archived: &looked.archived,
        manifest: opened.manifest,
        losses: opened.losses,
        encoding: &opened.encoding,
        path: &opened.path,
        loading: &loading,
        wanted: &looked.wanted,
        describer: looked.describer.as_ref(),
        installed: &looked.target_facts.installed,
        new_database: new_database.as_ref(),
        marks: &marks,
    };
    let proven = tokio::select! {
        proven = Box::pin(prove::prove(session, proof, &mut ledger)) => proven,
        failure = session.stopped() => Err(failure),
    };
    proven?;
    Ok(Done {
        target_superuser: target.facts.superuser,
        target: worker,
        ledger,
        follow: None,
    })
}
