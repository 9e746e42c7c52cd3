//! The look before the leap: the archive as facts, the target, and what speaks against it.

use std::collections::{BTreeMap, BTreeSet};

use super::existing::There;
use super::lacking;
use super::opened::Opened;
use super::prove::Describer;
use crate::catalog::{self, LedgerSchema, OwnerWithoutCreate, TargetFacts};
use crate::cli::inspect::{MAINTENANCE_DATABASE, Server, memory_for_indexes};
use crate::cli::schema::{in_two_encodings, in_utf8};
use crate::cli::session::{Session, refuse_blockers};
use crate::event::{Emit as _, What};
use crate::execute::prepare::{self, PrepareError};
use crate::failure::Failure;
use crate::ledger::{self, ArchiveRecord, Identity, Request};
use crate::model::{
    ARCHIVE_LACKS, Bytes, Endpoint, Filters, Finding, QualifiedName, RunCommand, ServerVersion,
    Severity, Side, VerifyLevel, rule,
};
use crate::pg::conninfo::Conninfo;
use crate::plan::{Archived, Doubtful, Inputs, Left, NewDatabase, Plan, PlanOptions, Salvaged};
use crate::preflight::{self, PreflightFacts};
use crate::progress::words;
use crate::salvage::{Key, Losses};
use crate::toc::{self, Drop, RestoreOptions, Selection, Text, Toc};

/// What was asked for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// The database that is filled.
    pub target: Conninfo,
    /// The live source, which the target is compared with besides.
    pub source: Option<Conninfo>,
    /// Empty the target database of this name; of rows alone, their tables.
    pub overwrite: Option<String>,
    /// Drop what the archive has.
    pub clean: Option<Clean>,
    /// The target database is made as the archive has it.
    pub create: bool,
    /// It is not there yet.
    pub is_missing: bool,
    /// Triggers and foreign keys do not fire while rows alone are loaded.
    pub disable_triggers: bool,
    /// Rules whose blockers are passed over.
    pub skip_checks: Vec<String>,
    /// What is left out.
    pub restore: RestoreOptions,
    /// Number of workers.
    pub jobs: u32,
    /// Memory for index builds, if the operator said so.
    pub memory: Option<Bytes>,
    /// Which tables are loaded by several connections, if the operator said so.
    pub chunk_size: Option<Bytes>,
    /// What to prove.
    pub verify: VerifyLevel,
    /// Which part of the archive.
    pub selection: Selection,
}

/// What the archive has is dropped first.
#[derive(Debug, Clone)]
pub(super) struct Clean {
    /// The database's name, as it was given; empty if none was.
    pub named: String,
    /// What is not there is passed over.
    pub if_exists: bool,
}

impl Wanted {
    /// Where the first session is opened: a database that is yet to be created cannot be connected to.
    pub fn first_database(&self) -> Conninfo {
        let target = self.target.clone();
        if self.is_missing {
            target.with_database(MAINTENANCE_DATABASE)
        } else {
            target
        }
    }

    /// Who the target is: a database that is yet to be created is known by its server.
    pub fn identity_of(&self, target: &Server) -> Identity {
        if self.is_missing {
            Identity::of_new(&target.facts, &self.target.database)
        } else {
            Identity::of(&target.facts)
        }
    }

    /// What is to be created must not be there.
    pub async fn refuse_what_exists(&self, target: &Server) -> Result<(), Failure> {
        let database = self.target.database.clone();
        if self.is_missing && prepare::database_exists(&target.session, &database).await? {
            return Err(PrepareError::Exists { database }.into());
        }
        Ok(())
    }

    /// Whether the target may hold what the archive does not.
    pub fn is_beside_others(&self) -> bool {
        self.clean.is_some() || !self.selection.options().is_empty()
    }
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
    /// The target database as the archive has it, if it is made like that.
    pub new_database: Option<NewDatabase>,
    /// Tables that are there, if rows alone are loaded.
    pub existing: Option<There>,
    /// What was asked for.
    pub wanted: Wanted,
    /// Describes the target when all is loaded; `None` if definitions are not compared.
    pub describer: Option<Describer>,
    /// What is left out besides, in sentences.
    notes: Vec<String>,
}

/// Connects to the target.
pub(super) async fn connect(conninfo: Conninfo) -> Result<Server, Failure> {
    let target = Server::connect(conninfo, Side::Target).await;
    target.map_err(|failure| failure.while_doing("the target"))
}

/// What was asked for, for later sessions.
pub(super) fn request(run: &str, (opened, target): (&Opened, &Server), wanted: &Wanted) -> Request {
    let conninfo = &wanted.target;
    Request {
        run: run.to_owned(),
        source: BTreeMap::new(),
        target: conninfo.record(&target.session.peer().host),
        source_identity: Identity {
            system_identifier: None,
            database_oid: crate::model::Oid(0),
            database: database(&opened.stored.toc),
        },
        target_identity: Some(wanted.identity_of(target)),
        archive: Some(ArchiveRecord {
            selection: wanted.selection.clone(),
            clean: wanted.clean.is_some(),
            disable_triggers: wanted.disable_triggers,
            ..opened.record.clone()
        }),
        target_database: conninfo.database.clone(),
        filters: Filters::default(),
        restore: wanted.restore,
        create: wanted.create,
        overwrite: wanted.overwrite.clone(),
        jobs: wanted.jobs,
        verify: wanted.verify,
        memory: wanted.memory,
        chunk_size: wanted.chunk_size,
        keep_snapshot_s: None,
        salvage: false,
        follow: None,
        doubtful: Doubtful::default(),
    }
}

fn database(toc: &Toc) -> String {
    let name = toc.header.database.as_ref().map(Text::to_string_lossy);
    name.unwrap_or_default()
}

/// The first event of a session.
pub(super) fn tell_start(
    command: RunCommand,
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
        command,
        source: Endpoint {
            version,
            ..Endpoint::archive(opened.path.display().to_string(), database(toc))
        },
        target: Endpoint {
            database: wanted.target.database.clone(),
            ..target.endpoint.clone()
        },
        jobs: wanted.jobs,
        verify: wanted.verify,
        run_dir: session.output.run_dir().path().display().to_string(),
        narrowed_by,
    });
    if let Some(losses) = &opened.losses {
        let text = format!(
            "this archive is incomplete: it holds what could be read of a damaged database; its losses.json lists what was lost of {}",
            words::count(losses.said().len() as u64, "object", "objects")
        );
        emitter.emit(What::Note { text });
    }
    if let Some(manifest) = &opened.manifest {
        let lacks = (manifest.lacks.as_slice(), toc);
        for one in lacking::missed(lacks, (&wanted.selection, &wanted.restore)) {
            let text = format!("{ARCHIVE_LACKS}{} {}", one.class, one.object);
            emitter.emit(What::Note { text });
        }
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
    // A database that is yet to be created is claimed then.
    if !wanted.is_missing {
        session.claim(&target).await?;
    }
    session.step("looking at the target");
    let mut looked = Box::pin(describe((opened, target), wanted)).await?;
    let roles = catalog::assumable_roles(&looked.target.session).await?;
    let barred = looked.owners_without_create().await?;
    let mut findings = looked.findings(&roles, &barred);
    if looked.wanted.selection.data_only {
        // What is there is what the rows are for.
        let not_here = [rule::TARGET_NOT_EMPTY, rule::TARGET_EMPTIED];
        findings.retain(|finding| !not_here.contains(&finding.rule.as_str()));
        findings.extend(looked.look_at_tables().await?);
    } else if looked.wanted.is_beside_others() {
        looked.make_room_for_a_part(&mut findings).await?;
    }
    looked.ledger_in_the_way(&mut findings).await?;
    findings.extend(looked.what_is_dropped());
    refuse_blockers(&findings)?;
    session.open_ledger(&looked.target).await;
    let emitter = session.emitter();
    for text in std::mem::take(&mut looked.notes) {
        emitter.emit(What::Note { text });
    }
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
    let mut toc = in_utf8(opened.stored.toc.clone(), &target.session).await?;
    let describer = if wanted.verify == VerifyLevel::None || wanted.selection.data_only {
        None
    } else {
        Some(Describer::find(&toc, target.facts.version).await?)
    };
    let name = &wanted.target.database;
    let new_database = wanted
        .create
        .then(|| NewDatabase::of_archive(&toc, name, &wanted.restore))
        .transpose()?;
    let mut notes = wanted.selection.narrow(&mut toc).map_err(|error| {
        Failure::usage(
            error.to_string(),
            "pgconvoy list shows what is in the archive.",
        )
    })?;
    let manifest = opened.manifest.as_ref();
    notes.extend(manifest.and_then(|manifest| in_two_encodings(manifest, &opened.stored.toc)));
    let mut archived = Archived::of(toc, &opened.data())?;
    if wanted.selection.data_only {
        // They are not refreshed, and tables of which no rows are wanted stay as they are.
        archived.facts.matviews.clear();
        archived.without_rows.clear();
    }
    let mut target_facts = catalog::target_facts(&target.session).await?;
    if wanted.is_missing {
        target_facts.holdings.clear();
        target_facts.ledger_schema = None;
    }
    Ok(Looked {
        opened,
        archived,
        target,
        target_facts,
        new_database,
        existing: None,
        wanted,
        describer,
        notes,
    })
}

impl Looked {
    /// A part may be added to what is there, as long as nothing of it is there.
    async fn make_room_for_a_part(&self, findings: &mut Vec<Finding>) -> Result<(), Failure> {
        let there = catalog::relations(&self.target.session).await?;
        let there: BTreeSet<QualifiedName> =
            there.into_iter().map(|relation| relation.name).collect();
        let emptied = self.wanted.overwrite.is_some() || self.wanted.clean.is_some();
        let part = &self.archived.toc;
        preflight::add_a_part(findings, part, (&there, emptied));
        findings.extend(preflight::rows_elsewhere(part, &self.archived.facts.tables));
        Ok(())
    }

    /// Where what the target holds stays, so does the ledger of another run.
    async fn ledger_in_the_way(&self, findings: &mut Vec<Finding>) -> Result<(), Failure> {
        let wanted = &self.wanted;
        let is_emptied = wanted.overwrite.is_some() && !wanted.selection.data_only;
        if is_emptied || !wanted.is_beside_others() {
            return Ok(());
        }
        // What is done about it where nothing may stay is not what is done here.
        findings.retain(|finding| finding.rule != rule::TARGET_SCHEMA_TAKEN);
        match self.target_facts.ledger_schema {
            None | Some(LedgerSchema::Sign) => {}
            Some(LedgerSchema::Ledger) => {
                let run = ledger::run_of(&self.target.session).await?;
                findings.push(preflight::ledger_in_the_way(run.as_deref()));
            }
            Some(LedgerSchema::Another) => findings.push(preflight::schema_in_the_way()),
        }
        Ok(())
    }

    /// The statements that drop what the archive has; none unless that was asked for.
    pub fn drops(&self) -> Vec<Drop<'_>> {
        let clean = self.wanted.clean.as_ref();
        clean.map_or_else(Vec::new, |clean| {
            toc::drops(&self.archived.toc, &self.wanted.restore, clean.if_exists)
        })
    }

    fn what_is_dropped(&self) -> Vec<Finding> {
        let Some(clean) = &self.wanted.clean else {
            return Vec::new();
        };
        let mut part = self.archived.toc.clone();
        let restore = &self.wanted.restore;
        part.entries
            .retain(|entry| restore.leaves_out(entry).is_none());
        let names = (clean.named.as_str(), self.target.facts.database.as_str());
        preflight::clean(&self.drops(), &part, names)
    }

    async fn owners_without_create(&self) -> Result<Vec<OwnerWithoutCreate>, Failure> {
        let wanted = &self.wanted;
        if wanted.selection.data_only {
            return Ok(Vec::new());
        }
        let is_emptied = wanted.overwrite.is_some() || wanted.clean.is_some();
        let described = (&self.archived.toc, &wanted.restore);
        let stays = !wanted.is_missing && !is_emptied;
        self.target.owners_without_create(described, stays).await
    }

    fn findings(
        &self,
        assumable_roles: &[String],
        owners_without_create: &[OwnerWithoutCreate],
    ) -> Vec<Finding> {
        let mut findings = preflight::restore_findings(&PreflightFacts {
            source: &self.archived.source,
            target: &self.target.facts,
            source_facts: &self.archived.facts,
            target_facts: &self.target_facts,
            // Rows alone need nothing of what is defined there.
            toc: (!self.wanted.selection.data_only).then_some(&self.archived.toc),
            restore: &self.wanted.restore,
            overwrite: self.wanted.overwrite.as_deref(),
            create: self.wanted.is_missing,
            selective: !self.wanted.selection.is_everything(),
            unreadable: &catalog::Unreadable::default(),
            out_of_reach: &[],
            database_settings: &[],
            assumable_roles,
            owners_without_create,
        });
        preflight::pass_over(&mut findings, &self.wanted.skip_checks);
        findings
    }

    /// The plan. The target's tables are read back as soon as their rows are there; what was read is compared with the archive when
    /// everything is.
    pub fn plan(&self) -> Result<Plan, Failure> {
        let options = PlanOptions {
            jobs: self.wanted.jobs,
            verify: self.wanted.verify,
            restore: self.wanted.restore,
            exclude_data: self.archived.without_rows.clone(),
            chunk_size: self.wanted.chunk_size,
            memory: self
                .wanted
                .memory
                .unwrap_or_else(|| memory_for_indexes(&self.target.facts)),
            left: self
                .existing
                .as_ref()
                .map_or_else(Left::default, There::left),
            salvaged: Salvaged {
                // What refers to what is lost need not hold.
                lossy: self
                    .opened
                    .losses
                    .as_ref()
                    .map(Losses::lossy)
                    .unwrap_or_default(),
                anywhere: self.opened.losses.is_some(),
                checks: self
                    .opened
                    .losses
                    .iter()
                    .flat_map(|losses| &losses.may_not_hold)
                    .filter_map(Key::as_check)
                    .collect(),
                ..Salvaged::default()
            },
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
