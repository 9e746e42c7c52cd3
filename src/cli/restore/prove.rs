//! The target, read anew, against the archive: rows and large objects against the manifest, or, where there is none, against what
//! came out of the files; definitions against the table of contents.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use chrono::Utc;

use super::look::Wanted;
use crate::archive::{
    Content, FileFacts, LargeObjectFacts, Manifest, Place, SequenceFacts, SourceFacts, TableFacts,
    read_large_object, read_rows,
};
use crate::catalog::{self, Extension, LargeObject};
use crate::cli::inspect::Server;
use crate::cli::prove::{forget_what_was_there, nothing_was_lost, tell};
use crate::cli::schema::describe;
use crate::cli::session::Session;
use crate::cli::verify::common_encoding;
use crate::event::{Emit, What};
use crate::execute::{Loaded, Loading};
use crate::failure::Failure;
use crate::fault;
use crate::ledger::{self, Marks};
use crate::model::{
    Difference, DifferenceKind, DumpId, Oid, QualifiedName, TableVerdict, Unverified, Verdict,
    VerifyLevel,
};
use crate::pg::client_tools::{ClientTool, Search};
use crate::pg::conninfo::Environment;
use crate::pg::wire::Wire;
use crate::pg::{Pool, Snapshot, VALUE_SETTINGS};
use crate::plan::{Archived, CopyUnit, Plan};
use crate::toc::{CompareOptions, Text, Toc};
use crate::verify::archived::{self, Archived as Compared};
use crate::verify::{self, Outcome};

/// What was restored, and where it is.
pub(super) struct Proof<'a> {
    pub target: &'a Server,
    pub plan: &'a Plan,
    pub archived: &'a Archived,
    pub manifest: Option<Manifest>,
    pub encoding: &'a str,
    pub path: &'a Path,
    pub loading: &'a Loading,
    pub wanted: &'a Wanted,
    /// Extensions that the target had before.
    pub installed: &'a [Extension],
}

/// Compares everything, and tells what is found.
pub(super) async fn prove(
    session: &Session<'_>,
    mut proof: Proof<'_>,
    ledger: &mut Wire,
    marks: &Marks,
) -> Result<(), Failure> {
    let emitter = session.emitter();
    let emit: Arc<dyn Emit> = Arc::new(emitter.clone());
    for table in &proof.plan.excluded {
        emit.emit(What::TableVerified(TableVerdict::excluded(table)));
    }
    if proof.wanted.verify == VerifyLevel::None {
        let tables = proof.plan.tables.iter();
        tables.for_each(|unit| emit.emit(What::TableVerified(not_verified(unit))));
    } else {
        let manifest = if let Some(manifest) = proof.manifest.take() {
            of_the_part(&proof, manifest)
        } else {
            session.step("putting together what the archive holds");
            found_in_files(&proof)?
        };
        session.step("comparing the target with the archive");
        let outcome = compare(&proof, &manifest, &emit).await?;
        tell(outcome, emit.as_ref());
    }
    fault::point("schemas-compared");
    // Until here commits were not waited for; what is called proven is on disk.
    ledger.execute(&ledger::flush()).await?;
    fault::point("flushed");
    nothing_was_lost(&proof.target.session, proof.plan, marks).await
}

async fn compare(
    proof: &Proof<'_>,
    manifest: &Manifest,
    emit: &Arc<dyn Emit>,
) -> Result<Outcome, Failure> {
    let server = proof.target;
    let snapshot = Snapshot::take(&server.connector, catalog::readable_tables).await?;
    let mut outcome = schema(proof, &snapshot).await?;
    let facts = catalog::source_facts(snapshot.session()).await?;
    let encoding = common_encoding(proof.encoding, &server.facts.encoding);
    let connector = server.connector.with_encoding(encoding);
    let pool = Pool::in_snapshot(connector, snapshot.id.clone());
    let compared = Compared {
        manifest,
        pool: &pool,
        facts: &facts,
        version: server.facts.version,
        readers: usize::try_from(proof.wanted.jobs).unwrap_or(1),
    };
    let subjects = compared.subjects();
    outcome.extend(Box::pin(archived::compare(&compared, subjects, emit)).await);
    pool.drain().await;
    outcome.extend(owners_of_large_objects(proof, &facts.large_objects));
    outcome.extend(verify::excluded_are_empty(snapshot.session(), &proof.plan.excluded).await);
    snapshot.release().await?;
    if !proof.archived.facts.matviews.is_empty() {
        let text = "what materialized views hold is not in an archive: they were refreshed, and not compared";
        outcome.notes.push(text.to_owned());
    }
    Ok(outcome)
}

/// Definitions, as `pg_dump` has them. One of another major version words some of them in another way: then a difference is
/// none that anybody could rely on.
async fn schema(proof: &Proof<'_>, snapshot: &Snapshot) -> Result<Outcome, Failure> {
    let server = proof.target;
    let then = proof.archived.toc.header.dump_version.as_ref();
    let then = then.map(Text::to_string_lossy).unwrap_or_default();
    let major = then
        .split(['.', ' '])
        .next()
        .and_then(|major| major.parse().ok());
    let search = Search::run("pg_dump", &Environment::of_process()).await;
    let same = major
        .filter(|major| *major >= server.facts.version.major())
        .and_then(|major| search.of_major(major));
    let is_same = same.is_some();
    let pg_dump: ClientTool = match same {
        Some(pg_dump) => pg_dump,
        None => search.closest_for(server.facts.version)?,
    };
    let encoding = (proof.encoding != "SQL_ASCII").then_some("UTF8");
    let dumped = describe(server, &pg_dump, (Some(&snapshot.id), encoding, Vec::new()));
    let mut there = Toc::parse(&dumped.await?)?;
    forget_what_was_there(&mut there, (&proof.archived.toc, proof.installed));
    let is_part = !proof.wanted.selection.is_everything();
    let options = CompareOptions {
        restore: proof.wanted.restore,
        source_major: proof.archived.source.version.major(),
        target_major: server.facts.version.major(),
        ..CompareOptions::default()
    };
    let mut outcome = verify::compare_schemas(&proof.archived.toc, &there, &options);
    if is_part {
        // What else is there is none of our business.
        let differences = &mut outcome.differences;
        differences.retain(|difference| difference.kind != DifferenceKind::Extra);
    }
    if !is_same {
        let because = format!(
            "its definition is worded in another way, perhaps because the archive was described by pg_dump {then} and the target by {pg_dump}"
        );
        doubt(&mut outcome, &because);
    }
    Ok(outcome)
}

/// Whose large objects are: a dump of definitions does not have them.
fn owners_of_large_objects(proof: &Proof<'_>, there: &[LargeObject]) -> Outcome {
    let mut outcome = Outcome::default();
    if proof.wanted.restore.no_owner {
        return outcome;
    }
    let owners: HashMap<Oid, &str> = there
        .iter()
        .map(|object| (object.oid, object.owner.as_str()))
        .collect();
    for wanted in &proof.archived.facts.large_objects {
        let Some(&owner) = owners.get(&wanted.oid) else {
            // That it is missing has been found with its content.
            continue;
        };
        if !wanted.owner.is_empty() && owner != wanted.owner {
            outcome.differences.push(Difference {
                kind: DifferenceKind::Different,
                class: "large object".to_owned(),
                object: wanted.oid.to_string(),
                detail: format!(
                    "in the archive it belongs to {}, on the target to {owner}",
                    wanted.owner
                ),
            });
        }
    }
    outcome
}

/// What is there and worded otherwise is not known to be another thing.
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
        .narrowed_by
        .extend(proof.wanted.selection.options());
    manifest
}

fn not_verified(unit: &CopyUnit) -> TableVerdict {
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

/// What the manifest of an archive without one would say. What an earlier session has loaded is read again.
fn found_in_files(proof: &Proof<'_>) -> Result<Manifest, Failure> {
    let loaded = proof.loading.loaded();
    let sequences = proof.archived.facts.sequences.iter();
    let sequences = sequences.map(|sequence| SequenceFacts {
        sequence: sequence.name.clone(),
        last_value: sequence.last_value,
        is_called: sequence.is_called,
    });
    let source = &proof.archived.source;
    let settings = VALUE_SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok(Manifest {
        format: Manifest::FORMAT,
        pgconvoy_version: env!("CARGO_PKG_VERSION").to_owned(),
        finished_at: Utc::now(),
        source: SourceFacts {
            server: proof.path.display().to_string(),
            database: source.database.clone(),
            server_version_num: source.version.0,
            system_identifier: None,
            encoding: proof.encoding.to_owned(),
            snapshot: String::new(),
            lsn: String::new(),
            settings: settings.to_vec(),
        },
        narrowed_by: proof.wanted.selection.options(),
        compression: "none".to_owned(),
        toc: FileFacts::default(),
        sequences: sequences.collect(),
        tables: tables_in_files(proof, &loaded)?,
        large_objects: objects_in_files(proof, &loaded)?,
        large_object_lists: Vec::new(),
    })
}

fn tables_in_files(proof: &Proof<'_>, loaded: &Loaded) -> Result<Vec<TableFacts>, Failure> {
    let stored = &proof.loading.stored;
    let mut facts = Vec::new();
    for unit in &proof.plan.tables {
        let Some(entry) = unit.rows_in else { continue };
        let content = match (loaded.tables.get(&entry), stored.rows(entry)) {
            (Some(content), _) => *content,
            (None, Some(place)) => content_of(place)?,
            (None, None) => continue,
        };
        facts.push(TableFacts {
            dump_id: entry,
            table: unit.table.clone(),
            columns: unit.columns.clone(),
            file: String::new(),
            on_disk: FileFacts::default(),
            content,
        });
    }
    Ok(facts)
}

fn objects_in_files(proof: &Proof<'_>, loaded: &Loaded) -> Result<Vec<LargeObjectFacts>, Failure> {
    let stored = &proof.loading.stored;
    let mut facts = Vec::new();
    for object in &proof.archived.facts.large_objects {
        let oid = object.oid;
        let content = match (loaded.objects.get(&oid), stored.object(oid)) {
            (Some(content), _) => *content,
            (None, Some(place)) => {
                let read = place
                    .open()
                    .and_then(|mut from| read_large_object(&mut from));
                read.map_err(|error| place.broken(&error))?
            }
            (None, None) => continue,
        };
        facts.push(LargeObjectFacts {
            oid,
            file: String::new(),
            on_disk: FileFacts::default(),
            content,
        });
    }
    Ok(facts)
}

fn content_of(place: &Place) -> Result<Content, Failure> {
    let read = place
        .open()
        .and_then(|mut from| read_rows(&mut from, false));
    let content = read.map_err(|error| place.broken(&error))?;
    Ok(content.map_err(|what| place.broken(&what))?)
}
