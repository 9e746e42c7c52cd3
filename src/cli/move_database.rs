//! `pgconvoy move`: a whole database from one server to another, proven.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::inspect::{self, DumpOptions, Server, SourceView};
use crate::catalog::{self, Activity};
use crate::event::{Emit, What};
use crate::execute::{self, Run};
use crate::failure::Failure;
use crate::ledger::{self, RunRecord};
use crate::model::{Bytes, Filters, Oid, QualifiedName, VerifyLevel};
use crate::pg::conninfo::{Conninfo, Environment};
use crate::pg::{Side, Snapshot};
use crate::plan::{Inputs, Plan, PlanOptions};
use crate::toc::RestoreOptions;

/// What was asked for, with everything resolved.
pub struct Request {
    pub environment: Environment,
    pub source: Conninfo,
    pub target: Conninfo,
    pub filters: Filters,
    pub restore: RestoreOptions,
    pub jobs: u32,
    pub verify: VerifyLevel,
    pub chunk_size: Option<Bytes>,
    pub memory: Option<Bytes>,
}

pub async fn dev_run(request: Request, emit: Arc<dyn Emit>) -> Result<(), Failure> {
    let source = Server::connect(request.source.clone(), Side::Source).await?;
    let target = Server::connect(request.target.clone(), Side::Target).await?;
    inspect::refuse_same_database(&source, &target)?;
    let pg_dump = inspect::find_pg_dump(&request.environment, &[&source, &target]).await?;
    let view = inspect::view_source(&source, &pg_dump, &request.filters).await?;
    let options = PlanOptions {
        jobs: request.jobs,
        verify: request.verify,
        restore: request.restore,
        exclude_data: view.exclude_data.clone(),
        chunk_size: request.chunk_size,
        memory: request.memory.unwrap_or(Bytes(1 << 30)),
    };
    let inputs = Inputs {
        toc: &view.toc,
        source: &source.facts,
        facts: &view.facts,
        target: &target.facts,
        options: &options,
    };
    let plan = Arc::new(Plan::make(&inputs)?);
    std::fs::write(
        "/tmp/plan.json",
        serde_json::to_string_pretty(&*plan).unwrap_or_default(),
    )
    .ok();
    emit.emit(What::Planned {
        jobs: plan.announced(),
        tables: plan.tables.len() as u32,
        bytes: plan.data_bytes(),
    });
    let mut wire = target.connector.wire("ledger").await?;
    wire.execute(&ledger::create(&RunRecord {
        run: "dev",
        source: &source.endpoint,
        snapshot: &view.snapshot.id,
        lsn: &view.snapshot.lsn,
        plan: &serde_json::to_string(&*plan).unwrap_or_default(),
    }))
    .await?;
    let (_tx, stop) = tokio::sync::watch::channel(false);
    execute::run(Run {
        plan: Arc::clone(&plan),
        source: source.connector.clone(),
        target: target.connector.clone(),
        snapshot: view.snapshot,
        emit: Arc::clone(&emit),
        stop,
    })
    .await
    .map_err(|e| Failure::usage(e.to_string(), ""))?;
    wire.execute(&ledger::drop(target.facts.superuser)).await?;
    Ok(())
}
