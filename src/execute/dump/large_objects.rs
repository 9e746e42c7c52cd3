//! Large objects, each into a file of its own.
//! They come as rows of a binary COPY, in parts of a megabyte: OID, number of the part, bytes. The first part of an object
//! begins its file.
//!
//! `pg_restore` wants a file for each. In a store that is a request to write it and one to read it again, and most of the time is
//! spent waiting for the answers: so several of them are waited for at once.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{self, BufReader, Write};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::context::Context;
use super::{Broken, Ended, Errand};
use crate::archive::{
    Algorithm, ArchiveError, Decoder, Encoder, FileFacts, Growing, LargeObjectFacts, Line, Summed,
    Unfinished, read_large_object,
};
use crate::catalog::large_object_content;
use crate::event::What;
use crate::model::{
    Difference, DifferenceKind, Oid, RowLayout, Rows, SqlText, Unverified, VerifyLevel,
};
use crate::pg::wire::{ObjectRows, ObjectSink, Unframed, read_into};

/// What differences are about.
const CLASS: &str = "large objects' contents";

/// More than this is not held in memory of objects that are being completed.
const MOST_HELD: u64 = 8 << 20;

/// Large objects, as many as a job has.
pub(super) async fn dump(
    context: &Context,
    oids: &[Oid],
    errand: Errand<'_>,
) -> Result<Ended, Broken> {
    let sql = SqlText::from(format!(
        "copy ({}) to stdout (format binary)",
        large_object_content(oids)
    ));
    let mut wire = context.source.take().await?;
    let mut unframed = Unframed::new(ObjectRows::new(Files::new(context)));
    let sink = (errand.gauge.as_ref(), &mut unframed);
    let reading = read_into(&mut wire, &sql, RowLayout::PLAIN, sink);
    let read = context.watched(errand, reading).await;
    if let Some(error) = unframed.failure() {
        context.source.give_up(wire);
        let rows = unframed.into_inner();
        return Err(ArchiveError::file("writing", &rows.sink().path())(error).into());
    }
    let relayed = match read {
        Ok(relayed) => relayed,
        Err(error) => {
            context.source.give_up(wire);
            return Err(error.into());
        }
    };
    context.source.give_back(wire);
    let rows = unframed.into_inner();
    let path = rows.sink().path();
    let files = rows.finish().and_then(Files::finish);
    let facts = files.map_err(ArchiveError::file("writing", &path))?;
    let again = all_again(context, &facts).await?;
    let is_well = judge(context, oids, (&facts, &again));
    let bytes = relayed.bytes;
    let rows = Rows(facts.len() as u64);
    let mut state = context.state();
    // What is noted counts as read again for a session that goes on.
    if is_well {
        state.journal.note(&Line::LargeObjects {
            tags: context.tags_of(facts.iter().map(|object| object.file.as_str())),
            facts: facts.clone(),
        })?;
    }
    state.add_objects(facts);
    Ok(Ended { rows, bytes })
}

/// Every object is there, and its file holds what was read. Whether that is so of all.
fn judge(
    context: &Context,
    oids: &[Oid],
    (facts, again): (&[LargeObjectFacts], &HashMap<Oid, FileFacts>),
) -> bool {
    let class = || CLASS.to_owned();
    if context.verify == VerifyLevel::None {
        return true;
    }
    let mut count = 0;
    let read: BTreeMap<Oid, FileFacts> = facts
        .iter()
        .map(|object| (object.oid, object.content))
        .collect();
    for oid in oids {
        let Some(first) = read.get(oid) else {
            context.doubt(What::Unverified(Unverified {
                class: class(),
                object: oid.to_string(),
                because: "pg_dump lists it, and it could not be read".to_owned(),
            }));
            continue;
        };
        match again.get(oid) {
            _ if context.verify != VerifyLevel::Content => count += 1,
            Some(again) if again == first => count += 1,
            again => {
                let FileFacts { bytes, xxh3 } = again.copied().unwrap_or_default();
                context.doubt(What::Difference(Difference {
                    kind: DifferenceKind::Different,
                    class: class(),
                    object: oid.to_string(),
                    detail: format!(
                        "{} bytes were read, hash {:032x}; its file holds {bytes}, hash {xxh3:032x}",
                        first.bytes, first.xxh3
                    ),
                }));
            }
        }
    }
    context.emit.emit(checked(count));
    count == oids.len()
}

/// So many are in their files as they were read.
pub fn checked(count: usize) -> What {
    What::Checked {
        what: CLASS.to_owned(),
        count: count as u64,
    }
}

/// What their files hold, if that is to be proven.
async fn all_again(
    context: &Context,
    facts: &[LargeObjectFacts],
) -> Result<HashMap<Oid, FileFacts>, ArchiveError> {
    if context.verify != VerifyLevel::Content {
        return Ok(HashMap::new());
    }
    let readings = stream::iter(facts.to_vec()).map(|object| {
        let archive = context.archive.clone();
        let algorithm = context.codec.algorithm;
        let path = archive.path().join(&object.file);
        let reading = tokio::task::spawn_blocking(move || again((&archive, algorithm), &object));
        async move {
            let read = reading.await.map_err(io::Error::other);
            read.map_err(ArchiveError::file("reading again", &path))?
        }
    });
    let readings = readings.buffered(context.archive.files_at_once());
    readings.try_collect().await
}

fn again(
    (archive, algorithm): (&Unfinished, Algorithm),
    object: &LargeObjectFacts,
) -> Result<(Oid, FileFacts), ArchiveError> {
    let path = archive.path().join(&object.file);
    let file = archive.read_all(&object.file, object.on_disk.bytes)?;
    let read = || {
        let raw = BufReader::new(file);
        let mut decoder = Decoder::buffered(algorithm, raw)?;
        Ok((object.oid, read_large_object(&mut decoder)?))
    };
    read().map_err(ArchiveError::file("reading again", &path))
}

/// Writes a file for each object.
struct Files<'a> {
    context: &'a Context,
    open: Option<Open>,
    /// Objects of a store that are being completed, the oldest first.
    ending: VecDeque<Ending>,
    finished: Vec<LargeObjectFacts>,
}

/// An object whose content is written.
struct Ending {
    oid: Oid,
    file: String,
    content: FileFacts,
    /// How long its file is.
    bytes: u64,
    on_disk: JoinHandle<Result<FileFacts, ArchiveError>>,
}

/// The object whose content is coming.
struct Open {
    oid: Oid,
    file: String,
    content: Summed<Encoder<Growing>>,
}

impl<'a> Files<'a> {
    fn new(context: &'a Context) -> Self {
        Self {
            context,
            open: None,
            ending: VecDeque::new(),
            finished: Vec::new(),
        }
    }

    /// All of them, when they are complete.
    fn finish(mut self) -> io::Result<Vec<LargeObjectFacts>> {
        self.wait_for_all_but(0)?;
        Ok(self.finished)
    }

    /// Those that are waited for any longer are few, and not large: they are in memory.
    fn wait_for_all_but(&mut self, count: usize) -> io::Result<()> {
        let bytes = |ending: &VecDeque<Ending>| ending.iter().map(|one| one.bytes).sum::<u64>();
        while self.ending.len() > count || bytes(&self.ending) > MOST_HELD {
            let Some(ending) = self.ending.pop_front() else {
                break;
            };
            let on_disk =
                tokio::task::block_in_place(|| Handle::current().block_on(ending.on_disk));
            self.finished.push(LargeObjectFacts {
                oid: ending.oid,
                file: ending.file,
                on_disk: on_disk.map_err(io::Error::other)?.map_err(into_io)?,
                content: ending.content,
            });
        }
        Ok(())
    }

    /// The file that is being written.
    fn path(&self) -> std::path::PathBuf {
        let directory = self.context.archive.path();
        match &self.open {
            Some(open) => directory.join(&open.file),
            None => directory.to_owned(),
        }
    }
}

impl ObjectSink for Files<'_> {
    fn begin(&mut self, oid: Oid) -> io::Result<()> {
        self.end()?;
        let suffix = self.context.codec.algorithm.suffix();
        let file = format!("blob_{oid}.dat{suffix}");
        let growing = self.context.archive.file(&file).map_err(into_io)?;
        let encoder = Encoder::new(self.context.codec, growing)?;
        self.open = Some(Open {
            oid,
            file,
            content: Summed::new(encoder),
        });
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.open {
            Some(open) => open.content.write_all(bytes),
            None => Ok(()),
        }
    }

    fn end(&mut self) -> io::Result<()> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let content = open.content.facts();
        let growing = open.content.into_inner().finish()?;
        let end: fn(Growing) -> Result<FileFacts, ArchiveError> = match self.context.verify {
            VerifyLevel::Content => Growing::end_to_be_read,
            _ => Growing::end,
        };
        self.ending.push_back(Ending {
            oid: open.oid,
            file: open.file,
            content,
            bytes: growing.facts().bytes,
            on_disk: tokio::task::spawn_blocking(move || end(growing)),
        });
        let at_once = self.context.archive.files_at_once();
        self.wait_for_all_but(at_once.saturating_sub(1))
    }
}

/// What a store has said stays that.
fn into_io(error: ArchiveError) -> io::Error {
    match error {
        ArchiveError::Store { source, .. } => source.into(),
        other => io::Error::other(other),
    }
}
