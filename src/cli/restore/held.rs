//! What an archive without a manifest holds: what the manifest would say if there were one.
//!
//! Everything that was loaded in this session was counted and hashed meanwhile. What an earlier session has loaded is read again, on
//! threads of its own: files are slow, and whoever stops the run does not wait for them. What cannot be read is not verified, by name,
//! and takes nothing away from what can.

use std::collections::HashSet;
use std::io;

use chrono::Utc;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::prove::{Proof, not_verified};
use crate::archive::{
    ArchiveError, Content, FileFacts, LargeObjectFacts, Manifest, Place, SequenceFacts,
    SourceFacts, TableFacts, is_of_the_road, read_large_object, read_rows,
};
use crate::event::{Emit, What};
use crate::execute::Loaded;
use crate::failure::Failure;
use crate::model::{DumpId, ExitStatus, FILE_UNREAD, Oid, QualifiedName, TableVerdict, Unverified};
use crate::pg::VALUE_SETTINGS;
use crate::plan::CopyUnit;
use crate::verify::Outcome;

/// What of an archive cannot be read.
#[derive(Default)]
pub(super) struct Unread {
    tables: Vec<TableVerdict>,
    unverified: Vec<Unverified>,
}

impl Unread {
    fn table(&mut self, unit: &CopyUnit, because: String) {
        self.tables.push(not_verified(unit));
        self.unverified.push(Unverified {
            class: "table data".to_owned(),
            object: unit.table.shown(),
            because,
        });
    }

    fn object(&mut self, oid: Oid, because: String) {
        self.unverified.push(Unverified {
            class: "large object".to_owned(),
            object: oid.to_string(),
            because,
        });
    }

    /// Tells it. That the target has what is not known to be in the archive is no difference.
    pub fn tell(self, outcome: &mut Outcome, emit: &dyn Emit) {
        let Self { tables, unverified } = self;
        for verdict in tables {
            emit.emit(What::TableVerified(verdict));
        }
        let named: HashSet<(&str, &str)> = unverified
            .iter()
            .map(|one| (one.class.as_str(), one.object.as_str()))
            .collect();
        outcome
            .differences
            .retain(|one| !named.contains(&(one.class.as_str(), one.object.as_str())));
        outcome.unverified.extend(unverified);
    }
}

/// What its manifest would say of what can be read, and what cannot.
pub(super) async fn in_files(proof: &Proof<'_>) -> Result<(Manifest, Unread), Failure> {
    let loaded = proof.loading.loaded();
    let mut unread = Unread::default();
    let tables = tables(proof, &loaded, &mut unread).await?;
    let large_objects = objects(proof, &loaded, &mut unread).await?;
    let sequences = proof.archived.facts.sequences.iter();
    let sequences = sequences.map(|sequence| SequenceFacts {
        sequence: sequence.name.clone(),
        last_value: sequence.last_value,
        is_called: sequence.is_called,
    });
    let source = &proof.archived.source;
    let settings = VALUE_SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let manifest = Manifest {
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
        tables,
        large_objects,
        large_object_lists: Vec::new(),
        losses: None,
        lacks: Vec::new(),
    };
    Ok((manifest, unread))
}

/// What may be missing from the files without anybody being able to tell.
pub(super) fn open_ends(proof: &Proof<'_>) -> Option<String> {
    let stored = &proof.loading.stored;
    let objects = proof.archived.facts.large_objects.iter();
    let open = objects.filter(|object| stored.has_open_end(object.oid));
    match open.count() {
        0 => None,
        count => Some(format!(
            "{count} large objects are in files that are not compressed, or empty: without a manifest it cannot be known whether such a file \
             ends too early"
        )),
    }
}

fn readers(proof: &Proof<'_>) -> usize {
    usize::try_from(proof.wanted.jobs).unwrap_or(1).max(1)
}

async fn tables(
    proof: &Proof<'_>,
    loaded: &Loaded,
    unread: &mut Unread,
) -> Result<Vec<TableFacts>, Failure> {
    let stored = &proof.loading.stored;
    let known = proof.plan.tables.iter().filter_map(|unit| {
        let entry = unit.rows_in?;
        let content = loaded.tables.get(&entry).copied();
        let place = stored.rows(entry).cloned();
        (content.is_some() || place.is_some()).then_some((unit, entry, content, place))
    });
    let reads = stream::iter(known).map(|(unit, entry, content, place)| async move {
        let content = match (content, place) {
            (Some(content), _) => Ok(content),
            (None, Some(place)) => on_a_thread(place, rows).await?,
            (None, None) => Ok(Content::default()),
        };
        Ok::<_, Failure>((unit, entry, content))
    });
    let read: Vec<(&CopyUnit, DumpId, Result<Content, String>)> =
        reads.buffered(readers(proof)).try_collect().await?;
    // Rows that are loaded through one table are compared as one.
    let broken: HashSet<&QualifiedName> = read
        .iter()
        .filter(|(_, _, content)| content.is_err())
        .map(|(unit, _, _)| &unit.into)
        .collect();
    let mut tables = Vec::with_capacity(read.len());
    for (unit, entry, content) in &read {
        match content {
            Err(because) => unread.table(unit, because.clone()),
            Ok(_) if broken.contains(&unit.into) => {
                let because = format!(
                    "its rows are in {} with those of other tables, and not all of these can be read",
                    unit.into.shown()
                );
                unread.table(unit, because);
            }
            Ok(content) => tables.push(TableFacts {
                dump_id: *entry,
                table: unit.table.clone(),
                columns: unit.columns.clone(),
                file: String::new(),
                on_disk: FileFacts::default(),
                content: *content,
            }),
        }
    }
    Ok(tables)
}

async fn objects(
    proof: &Proof<'_>,
    loaded: &Loaded,
    unread: &mut Unread,
) -> Result<Vec<LargeObjectFacts>, Failure> {
    let stored = &proof.loading.stored;
    let known = proof.archived.facts.large_objects.iter();
    let known = known.filter_map(|object| {
        let content = loaded.objects.get(&object.oid).copied();
        let place = stored.object(object.oid).cloned();
        (content.is_some() || place.is_some()).then_some((object.oid, content, place))
    });
    let reads = stream::iter(known).map(|(oid, content, place)| async move {
        let content = match (content, place) {
            (Some(content), _) => Ok(content),
            (None, Some(place)) => on_a_thread(place, object).await?,
            (None, None) => Ok(FileFacts::default()),
        };
        Ok::<_, Failure>((oid, content))
    });
    let read: Vec<(Oid, Result<FileFacts, String>)> =
        reads.buffered(readers(proof)).try_collect().await?;
    let mut objects = Vec::with_capacity(read.len());
    for (oid, content) in read {
        match content {
            Err(because) => unread.object(oid, because),
            Ok(content) => objects.push(LargeObjectFacts {
                oid,
                file: String::new(),
                on_disk: FileFacts::default(),
                content,
            }),
        }
    }
    Ok(objects)
}

async fn on_a_thread<T: Send + 'static>(
    place: Place,
    read: fn(&Place) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let read = tokio::task::spawn_blocking(move || read(&place)).await;
    read.map_err(|error| Failure::defect(format!("reading the archive: {error}")))?
}

/// What a file holds, or why nobody can tell; an error if it is the road to it that is broken.
type Read<T> = Result<Result<T, String>, Failure>;

fn rows(place: &Place) -> Read<Content> {
    let read = place
        .open()
        .and_then(|mut from| read_rows(&mut from, false));
    let content = of_file(place, read)?;
    Ok(content.and_then(|content| content.map_err(|what| unread(&place.broken(&what)))))
}

fn object(place: &Place) -> Read<FileFacts> {
    let read = place
        .open()
        .and_then(|mut from| read_large_object(&mut from));
    of_file(place, read)
}

fn of_file<T>(place: &Place, read: io::Result<T>) -> Read<T> {
    let error = match read {
        Ok(content) => return Ok(Ok(content)),
        Err(error) => error,
    };
    if is_of_the_road(&error) {
        let failure = ArchiveError::file("reading", place.name().as_ref())(error);
        return Err(Failure::from(failure).with_status(ExitStatus::Interrupted));
    }
    Ok(Err(unread(&place.broken(&error))))
}

fn unread(error: &ArchiveError) -> String {
    format!(
        "{FILE_UNREAD}, so it cannot be known what the archive holds of it: {error}. Use another copy of the archive"
    )
}
