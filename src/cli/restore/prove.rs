//! The target, read anew, against the archive: rows and large objects against the manifest, or, where there is none, against what
//! came out of the files; definitions against the table of contents.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use super::held::Unread;
use super::look::Wanted;
use super::{beside, held, with_source};
use crate::archive::Manifest;
use crate::catalog::{self, Extension, Table};
use crate::cli::inspect::Server;
use crate::cli::prove::{forget_what_was_there, make_last, nothing_was_lost, tell, waive_edited};
use crate::cli::salvage;
use crate::cli::schema::describe;
use crate::cli::session::Session;
use crate::cli::verify::common_encoding;
use crate::event::{Emit, What};
use crate::execute::Loading;
use crate::failure::Failure;
use crate::fault;
use crate::ledger::Marks;
use crate::model::{
    Difference, DifferenceKind, DumpId, Oid, QualifiedName, ServerVersion, TableVerdict,
    Unverified, Verdict, VerifyLevel,
};
use crate::pg::client_tools::{ClientTool, Search};
use crate::pg::conninfo::Environment;
use crate::pg::wire::Wire;
use crate::pg::{Pool, Snapshot};
use crate::plan::{Archived, CopyUnit, NewDatabase, Plan};
use crate::salvage::Losses;
use crate::toc::{self, CompareOptions, Entry, Text, Toc};
use crate::verify::archived::{self, Archived as Compared};
use crate::verify::{self, Outcome};

/// What was restored, and where it is.
pub(super) struct Proof<'a> {
    pub target: &'a Server,
    pub plan: &'a Plan,
    pub archived: &'a Archived,
    pub manifest: Option<Manifest>,
    /// What the archive does not have.
    pub losses: Option<Losses>,
    pub encoding: &'a str,
    pub path: &'a Path,
    pub loading: &'a Loading,
    pub wanted: &'a Wanted,
    /// Describes the target; `None` of rows alone.
    pub describer: Option<&'a Describer>,
    /// Extensions that the target had before.
    pub installed: &'a [Extension],
    /// The target database as the archive has it, if it was made like that.
    pub new_database: Option<&'a NewDatabase>,
    /// What the ledger says is done.
    pub marks: &'a Marks,
}

/// Compares everything, and tells what is found.
pub(super) async fn prove(
    session: &Session<'_>,
    mut proof: Proof<'_>,
    ledger: &mut Wire,
) -> Result<(), Failure> {
    let emitter = session.emitter();
    let emit: Arc<dyn Emit> = Arc::new(emitter.clone());
    for table in &proof.plan.excluded {
        emit.emit(What::TableVerified(TableVerdict::excluded(table)));
    }
    if proof.wanted.verify == VerifyLevel::None {
        let tables = proof.plan.tables.iter();
        tables.for_each(|unit| emit.emit(What::TableVerified(not_verified(unit))));
        if let Some(losses) = &proof.losses {
            salvage::tell_losses(losses, &emitter);
        }
    } else {
        let (manifest, unread, open_ends) = if let Some(manifest) = proof.manifest.take() {
            (of_the_part(&proof, manifest), Unread::default(), None)
        } else {
            session.step("putting together what the archive holds");
            let (manifest, unread) = held::in_files(&proof).await?;
            (manifest, unread, held::open_ends(&proof))
        };
        session.step("comparing the target with the archive");
        let mut outcome = compare(&proof, &manifest, &emit).await?;
        outcome.notes.extend(open_ends);
        unread.tell(&mut outcome, emit.as_ref());
        if let Some(losses) = &proof.losses {
            let directory = session.output.run_dir().path();
            let places = (directory, &emitter);
            let settled = salvage::settle_restored(proof.target, losses, places).await?;
            settled.waive(&mut outcome, &emitter);
        }
        tell(outcome, emit.as_ref());
        with_source::compare(session, (proof.wanted, proof.target), &emit).await?;
        fault::point("source-compared");
    }
    fault::point("schemas-compared");
    make_last(ledger, &emitter).await?;
    fault::point("flushed");
    nothing_was_lost(&proof.target.session, proof.plan, proof.marks).await
}

async fn compare(
    proof: &Proof<'_>,
    manifest: &Manifest,
    emit: &Arc<dyn Emit>,
) -> Result<Outcome, Failure> {
    let server = proof.target;
    let beside_others =
        proof.wanted.is_beside_others() || manifest.narrowed().leaves_out_large_objects();
    let mut snapshot = Snapshot::take(&server.connector, catalog::readable_tables).await?;
    let mut outcome = if let Some(describer) = proof.describer {
        schema(proof, describer, &snapshot, emit.as_ref()).await?
    } else {
        let text = "only rows were restored: the target's definitions are as they were and were not compared; materialized views were not refreshed";
        Outcome {
            notes: vec![text.to_owned()],
            ..Outcome::default()
        }
    };
    let mut facts = catalog::source_facts(snapshot.session()).await?;
    compare_as_loaded(&mut facts.tables, proof.plan);
    let encoding = common_encoding(proof.encoding, &server.facts.encoding);
    let connector = server.connector.with_encoding(encoding);
    let pool = Pool::in_snapshot(connector, snapshot.id.clone());
    let compared = Compared {
        manifest,
        pool: &pool,
        facts: &facts,
        version: server.facts.version,
        readers: usize::try_from(proof.wanted.jobs).unwrap_or(1),
        beside_others,
        answered: proof.loading.read_back(),
    };
    let subjects = compared.subjects();
    outcome.extend(Box::pin(archived::compare(&compared, subjects, emit)).await);
    pool.drain().await;
    let objects = proof.archived.facts.large_objects.iter();
    let objects: Vec<Oid> = objects.map(|object| object.oid).collect();
    outcome.extend(verify::compare_archived_large_objects(
        (&proof.archived.toc, &objects),
        &facts.large_objects,
        &proof.wanted.restore,
    ));
    if proof.wanted.disable_triggers {
        outcome.extend(beside::foreign_keys(proof, &facts).await?);
    }
    outcome.extend(verify::excluded_are_empty(snapshot.session(), &proof.plan.excluded).await);
    snapshot.release().await?;
    if !proof.archived.facts.matviews.is_empty() {
        let text = "an archive does not hold the rows of materialized views: they were refreshed, and not compared";
        outcome.notes.push(text.to_owned());
    }
    Ok(outcome)
}

/// Partitions whose rows were loaded through the table above them may have each other's here: they are compared as one, as far as that
/// can be, which takes the same columns in the same order.
fn compare_as_loaded(tables: &mut [Table], plan: &Plan) {
    let mut through: BTreeMap<&QualifiedName, Vec<&CopyUnit>> = BTreeMap::new();
    for unit in plan.tables.iter().filter(|unit| unit.into != unit.table) {
        through.entry(&unit.into).or_default().push(unit);
    }
    let alike = |units: &&Vec<&CopyUnit>| {
        let mut pairs = units.iter().zip(units.iter().skip(1));
        pairs.all(|(one, other)| one.columns == other.columns)
    };
    let roots: BTreeMap<&QualifiedName, &QualifiedName> = through
        .values()
        .filter(alike)
        .flatten()
        .map(|unit| (&unit.table, &unit.into))
        .collect();
    for table in tables {
        let root = roots.get(&table.name).copied();
        table.load_via_root |= root.is_some() && table.partition_root.as_ref() == root;
    }
}

/// The version of the `pg_dump` that has described an archive.
fn described_by(toc: &Toc) -> String {
    let version = toc.header.dump_version.as_ref();
    version.map(Text::to_string_lossy).unwrap_or_default()
}

/// The `pg_dump` that describes a target in the end.
pub(super) struct Describer {
    pg_dump: ClientTool,
    /// Of the major version of the one that has described the archive.
    is_same: bool,
}

impl Describer {
    /// An error if none is to be had: better before anything is loaded.
    pub async fn find(archived: &Toc, target: ServerVersion) -> Result<Self, Failure> {
        let then = described_by(archived);
        let major = then.split(['.', ' ']).next();
        let major = major.and_then(|major| major.parse().ok());
        let search = Search::run("pg_dump", &Environment::of_process()).await;
        let same = major
            .filter(|major| *major >= target.major())
            .and_then(|major| search.of_major(major));
        let is_same = same.is_some();
        let pg_dump = same.map_or_else(|| search.closest_for(target), Ok)?;
        Ok(Self { pg_dump, is_same })
    }
}

/// Definitions, as `pg_dump` has them. One of another major version words some of them in another way: then a difference is
/// none that anybody could rely on.
async fn schema(
    proof: &Proof<'_>,
    Describer { pg_dump, is_same }: &Describer,
    snapshot: &Snapshot,
    emit: &dyn Emit,
) -> Result<Outcome, Failure> {
    let server = proof.target;
    // In UTF-8 by now, unless the database had no encoding.
    let encoding = proof.archived.toc.encoding();
    let quoted = proof.archived.toc.quotes_all_names();
    let options = quoted.then(|| "--quote-all-identifiers".to_owned());
    let dumped = describe(
        server,
        pg_dump,
        (
            Some(&snapshot.id),
            encoding.as_deref(),
            options.into_iter().collect(),
        ),
    );
    let mut there = dumped.await?;
    forget_what_was_there(&mut there, (&proof.archived.toc, proof.installed));
    let options = CompareOptions {
        restore: proof.wanted.restore,
        source_major: proof.archived.source.version.major(),
        target_major: server.facts.version.major(),
        nested_arrays: verify::has_nested_arrays(snapshot.session()).await?,
        ..CompareOptions::default()
    };
    let mut outcome = verify::compare_schemas(&proof.archived.toc, &there, &options);
    if proof.wanted.is_beside_others() {
        leave_others_alone(&mut outcome, (&proof.archived.toc, &there), &options);
    }
    if let Some(new) = proof.new_database {
        outcome.extend(beside::database(new, &there, proof.wanted));
    }
    let planned = (proof.plan, &proof.archived.toc);
    waive_edited(&mut outcome, planned, proof.marks, emit);
    if !is_same {
        let because = format!(
            "its definition is worded differently, perhaps because the archive was described by pg_dump {} and the target by {pg_dump}",
            described_by(&proof.archived.toc)
        );
        doubt(&mut outcome, &because);
    }
    Ok(outcome)
}

/// What else is there is none of our business. What is on the objects that were made is.
fn leave_others_alone(
    outcome: &mut Outcome,
    (archived, there): (&Toc, &Toc),
    options: &CompareOptions,
) {
    let on_ours = toc::on_objects_of(there, archived);
    let found = toc::compare_entries(archived, there, options).into_iter();
    let of_others = found.filter(|one| {
        let on_others = |entry: &Entry| !on_ours.contains(&entry.dump_id);
        one.source.is_none() && one.target.is_some_and(on_others)
    });
    let of_others: Vec<Difference> = of_others.map(|one| one.difference).collect();
    outcome.differences.retain(|one| !of_others.contains(one));
}

/// A definition that is worded differently is not known to mean something else.
fn doubt(outcome: &mut Outcome, because: &str) {
    let (worded, real): (Vec<Difference>, Vec<Difference>) =
        std::mem::take(&mut outcome.differences)
            .into_iter()
            .partition(|difference| difference.kind == DifferenceKind::Different);
    outcome.differences = real;
    outcome
        .unverified
        .extend(worded.into_iter().map(|one| Unverified {
            class: one.class,
            object: one.object,
            because: format!("{because}:\n{}", one.detail),
        }));
}

/// What the manifest says of the part that was chosen.
fn of_the_part(proof: &Proof<'_>, mut manifest: Manifest) -> Manifest {
    if proof.wanted.selection.is_everything() {
        return manifest;
    }
    let rows: HashSet<DumpId> = proof
        .plan
        .tables
        .iter()
        .filter_map(|unit| unit.rows_in)
        .collect();
    manifest
        .tables
        .retain(|table| rows.contains(&table.dump_id));
    let facts = &proof.archived.facts;
    let sequences: HashSet<&QualifiedName> = facts.sequences.iter().map(|one| &one.name).collect();
    manifest
        .sequences
        .retain(|one| sequences.contains(&one.sequence));
    let objects: HashSet<Oid> = facts
        .large_objects
        .iter()
        .map(|object| object.oid)
        .collect();
    manifest
        .large_objects
        .retain(|object| objects.contains(&object.oid));
    manifest
}

pub(super) fn not_verified(unit: &CopyUnit) -> TableVerdict {
    TableVerdict {
        table: unit.table.clone(),
        format: unit.format.clone(),
        read: None,
        source_count: None,
        target: None,
        bytes: unit.bytes,
        copy_ms: 0,
        verdict: Verdict::NotVerified,
        forms: Vec::new(),
    }
}
