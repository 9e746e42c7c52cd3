//! The look before the leap: the archive as facts, the target, and what speaks against it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::opened::Opened;
use crate::catalog::{self, TargetFacts};
use crate::cli::inspect::{Server, memory_for_indexes};
use crate::cli::session::{Session, refuse_blockers};
use crate::event::{Emit as _, What};
use crate::failure::Failure;
use crate::ledger::{ArchiveRecord, Identity, Request};
use crate::model::{
    Bytes, Endpoint, Filters, Finding, QualifiedName, ServerVersion, Severity, Side, VerifyLevel,
};
use crate::pg::conninfo::Conninfo;
use crate::plan::{Archived, Inputs, Left, Plan, PlanOptions, Salvaged};
use crate::preflight::{self, PreflightFacts};
use crate::toc::{RestoreOptions, Selection, Text, Toc};

/// What was asked for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Empty the target database of this name.
    pub overwrite: Option<String>,
    /// Rules whose blockers are passed over.
    pub skip_checks: Vec<String>,
    /// What is left out.
    pub restore: RestoreOptions,
    /// Number of workers.
    pub jobs: u32,
    /// Memory for index builds, if the operator said so.
    pub memory: Option<Bytes>,
    /// What to prove.
    pub verify: VerifyLevel,
    /// Which part of the archive.
    pub selection: Selection,
}

/// Both ends, looked at.
pub(super) struct Looked {
    /// The archive's files.
    pub opened: Opened,
    /// The archive as a database.
    pub archived: Archived,
    /// The target.
    pub target: Server,
    /// What it held and offers.
    pub target_facts: TargetFacts,
    /// What was asked for.
    pub wanted: Wanted,
}

/// Connects to the target.
pub(super) async fn connect(conninfo: Conninfo) -> Result<Server, Failure> {
    let target = Server::connect(conninfo, Side::Target).await;
    target.map_err(|failure| failure.while_doing("the target"))
}

/// What was asked for, for later sessions.
pub(super) fn request(run: &str, (opened, target): (&Opened, &Server), wanted: &Wanted) -> Request {
    let conninfo = target.connector.conninfo();
    Request {
        run: run.to_owned(),
        source: BTreeMap::new(),
        target: conninfo.record(&target.session.peer().host),
        source_identity: Identity {
            system_identifier: None,
            database_oid: crate::model::Oid(0),
            database: database(&opened.stored.toc),
        },
        archive: Some(ArchiveRecord {
            selection: wanted.selection.clone(),
            ..opened.record.clone()
        }),
        target_database: conninfo.database.clone(),
        filters: Filters::default(),
        restore: wanted.restore,
        create: false,
        overwrite: wanted.overwrite.clone(),
        jobs: wanted.jobs,
        verify: wanted.verify,
        memory: wanted.memory,
        chunk_size: None,
        keep_snapshot_s: None,
        salvage: false,
    }
}

fn database(toc: &Toc) -> String {
    let name = toc.header.database.as_ref().map(Text::to_string_lossy);
    name.unwrap_or_default()
}

/// The first event of a session.
pub(super) fn tell_start(
    command: &str,
    session: &Session<'_>,
    (opened, target): (&Opened, &Server),
    wanted: &Wanted,
) {
    let toc = &opened.stored.toc;
    let version = toc.header.server_version.as_ref();
    let version = version.map(|text| ServerVersion::reported(&text.to_string_lossy()));
    let mut narrowed_by = opened.narrowed_by();
    narrowed_by.extend(wanted.selection.options());
    narrowed_by.extend(wanted.restore.options().map(str::to_owned));
    let emitter = session.emitter();
    emitter.emit(What::RunStarted {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        command: command.to_owned(),
        source: Endpoint {
            version,
            ..Endpoint::archive(opened.path.display().to_string(), database(toc))
        },
        target: target.endpoint.clone(),
        jobs: wanted.jobs,
        verify: wanted.verify,
        run_dir: session.output.run_dir().path().display().to_string(),
        narrowed_by,
    });
    if let Some(manifest) = &opened.manifest {
        emitter.emit(What::SnapshotTaken {
            side: Side::Source,
            snapshot: manifest.source.snapshot.clone(),
            lsn: manifest.source.lsn.clone(),
        });
    }
}

/// Claims the target, and looks at everything that could speak against the restore.
pub(super) async fn look(
    session: &Session<'_>,
    (opened, target): (Opened, Server),
    wanted: Wanted,
) -> Result<Looked, Failure> {
    session.claim(&target).await?;
    session.step("looking at the target");
    let looked = describe((opened, target), wanted).await?;
    let roles = catalog::assumable_roles(&looked.target.session).await?;
    let mut findings = looked.findings(&roles);
    if !looked.wanted.selection.is_everything() {
        looked.make_room_for_a_part(&mut findings).await?;
    }
    refuse_blockers(&findings)?;
    session.open_ledger(&looked.target).await;
    let emitter = session.emitter();
    let worth_telling = findings.into_iter();
    worth_telling
        .filter(|finding| finding.severity < Severity::Blocker)
        .for_each(|finding| emitter.emit(What::Finding(finding)));
    Ok(looked)
}

/// The archive as facts, and the target's.
pub(super) async fn describe(
    (opened, target): (Opened, Server),
    wanted: Wanted,
) -> Result<Looked, Failure> {
    let mut toc = in_utf8(&opened, &target).await?;
    wanted.selection.narrow(&mut toc).map_err(|error| {
        Failure::usage(
            error.to_string(),
            "pgconvoy list shows what is in the archive.",
        )
    })?;
    let archived = Archived::of(toc, &opened.data())?;
    let target_facts = catalog::target_facts(&target.session).await?;
    Ok(Looked {
        opened,
        archived,
        target,
        target_facts,
        wanted,
    })
}

/// The table of contents in UTF-8: the target knows every encoding that there is. Where the database had none, it stays as it
/// is.
async fn in_utf8(opened: &Opened, target: &Server) -> Result<Toc, Failure> {
    let toc = opened.stored.toc.clone();
    if matches!(opened.encoding.as_str(), "UTF8" | "SQL_ASCII") {
        return Ok(toc);
    }
    let texts: Vec<Vec<u8>> = toc
        .encoded_texts()
        .into_iter()
        .map(<[u8]>::to_vec)
        .collect();
    let bytes = texts.iter().map(Vec::as_slice);
    let decoded = catalog::decoded_texts(&target.session, bytes, &opened.encoding).await;
    let decoded = decoded.map_err(|error| {
        let doing = format!("decoding the archive's names from {}", opened.encoding);
        Failure::from(error).while_doing(&doing)
    })?;
    let decoded: HashMap<Vec<u8>, String> = texts.into_iter().zip(decoded).collect();
    Ok(toc.in_utf8(&decoded))
}

impl Looked {
    /// A part may be added to what is there, as long as nothing of it is there.
    async fn make_room_for_a_part(&self, findings: &mut Vec<Finding>) -> Result<(), Failure> {
        let there = catalog::relations(&self.target.session).await?;
        let there: BTreeSet<QualifiedName> =
            there.into_iter().map(|relation| relation.name).collect();
        let emptied = self.wanted.overwrite.is_some();
        preflight::add_a_part(findings, &self.archived.toc, (&there, emptied));
        Ok(())
    }

    fn findings(&self, assumable_roles: &[String]) -> Vec<Finding> {
        let mut findings = preflight::restore_findings(&PreflightFacts {
            source: &self.archived.source,
            target: &self.target.facts,
            source_facts: &self.archived.facts,
            target_facts: &self.target_facts,
            toc: Some(&self.archived.toc),
            restore: &self.wanted.restore,
            overwrite: self.wanted.overwrite.as_deref(),
            create: false,
            selective: !self.wanted.selection.is_everything(),
            unreadable: &[],
            database_settings: &[],
            assumable_roles,
        });
        preflight::pass_over(&mut findings, &self.wanted.skip_checks);
        findings
    }

    /// The plan. What is in the target is compared with the archive when everything is there, and not job by job.
    pub fn plan(&self) -> Result<Plan, Failure> {
        let options = PlanOptions {
            jobs: self.wanted.jobs,
            verify: VerifyLevel::None,
            restore: self.wanted.restore,
            exclude_data: self.archived.without_rows.clone(),
            chunk_size: None,
            memory: self
                .wanted
                .memory
                .unwrap_or_else(|| memory_for_indexes(&self.target.facts)),
            left: Left::default(),
            salvaged: Salvaged::default(),
        };
        Ok(Plan::make(&Inputs {
            toc: &self.archived.toc,
            source: &self.archived.source,
            facts: &self.archived.facts,
            target: &self.target.facts,
            archive: Some(&self.archived.rows),
            options: &options,
        })?)
    }
}
