//! What an archive without a manifest holds: what the manifest would say if there were one.
//!
//! Everything that was loaded in this session was counted and hashed meanwhile. What an earlier session has loaded is read again, on
//! threads of its own: files are slow, and whoever stops the run does not wait for them.

use chrono::Utc;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::prove::Proof;
use crate::archive::{
    Content, FileFacts, LargeObjectFacts, Manifest, Place, SequenceFacts, SourceFacts, TableFacts,
    read_large_object, read_rows,
};
use crate::execute::Loaded;
use crate::failure::Failure;
use crate::pg::VALUE_SETTINGS;

/// What its manifest would say.
pub(super) async fn in_files(proof: &Proof<'_>) -> Result<Manifest, Failure> {
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
        narrowed_by: Vec::new(),
        compression: "none".to_owned(),
        toc: FileFacts::default(),
        sequences: sequences.collect(),
        tables: tables(proof, &loaded).await?,
        large_objects: objects(proof, &loaded).await?,
        large_object_lists: Vec::new(),
        losses: None,
    })
}

/// What may be missing from the files without anybody being able to tell.
pub(super) fn open_ends(proof: &Proof<'_>) -> Option<String> {
    let stored = &proof.loading.stored;
    let objects = proof.archived.facts.large_objects.iter();
    let open = objects.filter(|object| stored.has_open_end(object.oid));
    match open.count() {
        0 => None,
        count => Some(format!(
            "{count} large objects are in files that are not compressed, or empty: without a manifest nobody can tell whether such a \
             file ends too early"
        )),
    }
}

fn readers(proof: &Proof<'_>) -> usize {
    usize::try_from(proof.wanted.jobs).unwrap_or(1).max(1)
}

async fn tables(proof: &Proof<'_>, loaded: &Loaded) -> Result<Vec<TableFacts>, Failure> {
    let stored = &proof.loading.stored;
    let known = proof.plan.tables.iter().filter_map(|unit| {
        let entry = unit.rows_in?;
        let content = loaded.tables.get(&entry).copied();
        let place = stored.rows(entry).cloned();
        (content.is_some() || place.is_some()).then_some((unit, entry, content, place))
    });
    let reads = stream::iter(known).map(|(unit, entry, content, place)| async move {
        let content = match (content, place) {
            (Some(content), _) => content,
            (None, Some(place)) => on_a_thread(place, rows).await?,
            (None, None) => Content::default(),
        };
        Ok::<_, Failure>(TableFacts {
            dump_id: entry,
            table: unit.table.clone(),
            columns: unit.columns.clone(),
            file: String::new(),
            on_disk: FileFacts::default(),
            content,
        })
    });
    reads.buffered(readers(proof)).try_collect().await
}

async fn objects(proof: &Proof<'_>, loaded: &Loaded) -> Result<Vec<LargeObjectFacts>, Failure> {
    let stored = &proof.loading.stored;
    let known = proof.archived.facts.large_objects.iter();
    let known = known.filter_map(|object| {
        let content = loaded.objects.get(&object.oid).copied();
        let place = stored.object(object.oid).cloned();
        (content.is_some() || place.is_some()).then_some((object.oid, content, place))
    });
    let reads = stream::iter(known).map(|(oid, content, place)| async move {
        let content = match (content, place) {
            (Some(content), _) => content,
            (None, Some(place)) => on_a_thread(place, object).await?,
            (None, None) => FileFacts::default(),
        };
        Ok::<_, Failure>(LargeObjectFacts {
            oid,
            file: String::new(),
            on_disk: FileFacts::default(),
            content,
        })
    });
    reads.buffered(readers(proof)).try_collect().await
}

async fn on_a_thread<T: Send + 'static>(
    place: Place,
    read: fn(&Place) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let read = tokio::task::spawn_blocking(move || read(&place)).await;
    read.map_err(|error| Failure::defect(format!("reading the archive: {error}")))?
}

fn rows(place: &Place) -> Result<Content, Failure> {
    let read = place
        .open()
        .and_then(|mut from| read_rows(&mut from, false));
    let content = read.map_err(|error| place.broken(&error))?;
    Ok(content.map_err(|what| place.broken(&what))?)
}

fn object(place: &Place) -> Result<FileFacts, Failure> {
    let read = place
        .open()
        .and_then(|mut from| read_large_object(&mut from));
    Ok(read.map_err(|error| place.broken(&error))?)
}
