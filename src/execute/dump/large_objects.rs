//! Large objects, each into a file of its own.
//! They come as rows of a binary COPY, in parts of a megabyte: OID, number of the part, bytes. The first part of an object
//! begins its file.

use std::io::{self, BufReader, Write};

use super::context::Context;
use super::{Broken, Ended, Errand};
use crate::archive::{
    ArchiveError, Decoder, Encoder, FileFacts, Growing, LargeObjectFacts, Line, Summed,
    read_large_object,
};
use crate::catalog::large_object_content;
use crate::event::What;
use crate::model::{
    Difference, DifferenceKind, Oid, RowLayout, Rows, SqlText, Unverified, VerifyLevel,
};
use crate::pg::wire::{ObjectRows, ObjectSink, Unframed, read_into};

/// What differences are about.
const CLASS: &str = "large objects' contents";

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
    let files = rows
        .finish()
        .map_err(ArchiveError::file("writing", &path))?;
    let facts = files.finished;
    judge(context, oids, &facts)?;
    let bytes = relayed.bytes;
    let rows = Rows(facts.len() as u64);
    let mut state = context.state();
    state.journal.note(&Line::LargeObjects {
        tags: context.tags_of(facts.iter().map(|object| object.file.as_str())),
        facts: facts.clone(),
    })?;
    state.add_objects(facts);
    Ok(Ended { rows, bytes })
}

/// Every object is there, and its file holds what was read.
fn judge(context: &Context, oids: &[Oid], facts: &[LargeObjectFacts]) -> Result<(), ArchiveError> {
    let class = || CLASS.to_owned();
    if context.verify == VerifyLevel::None {
        return Ok(());
    }
    let mut count = 0;
    for oid in oids {
        let Some(facts) = facts.iter().find(|facts| facts.oid == *oid) else {
            context.doubt(What::Unverified(Unverified {
                class: class(),
                object: oid.to_string(),
                because: "pg_dump lists it, and it could not be read".to_owned(),
            }));
            continue;
        };
        if context.verify == VerifyLevel::Content {
            let again = again(context, facts)?;
            if again != facts.content {
                context.doubt(What::Difference(Difference {
                    kind: DifferenceKind::Different,
                    class: class(),
                    object: oid.to_string(),
                    detail: format!(
                        "{} bytes were read, hash {:032x}; its file holds {}, hash {:032x}",
                        facts.content.bytes, facts.content.xxh3, again.bytes, again.xxh3
                    ),
                }));
                continue;
            }
        }
        count += 1;
    }
    context.emit.emit(checked(count));
    Ok(())
}

/// So many are in their files as they were read.
pub(super) fn checked(count: usize) -> What {
    What::Checked {
        what: CLASS.to_owned(),
        count: count as u64,
    }
}

fn again(context: &Context, facts: &LargeObjectFacts) -> Result<FileFacts, ArchiveError> {
    let all = (0, facts.on_disk.bytes);
    let file = context.archive.read(&facts.file, all)?;
    let path = context.archive.path().join(&facts.file);
    let read = || {
        let raw = BufReader::new(file);
        let mut decoder = Decoder::buffered(context.codec.algorithm, raw)?;
        read_large_object(&mut decoder)
    };
    read().map_err(ArchiveError::file("reading again", &path))
}

/// Writes a file for each object.
struct Files<'a> {
    context: &'a Context,
    open: Option<Open>,
    finished: Vec<LargeObjectFacts>,
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
            finished: Vec::new(),
        }
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
        let on_disk = tokio::task::block_in_place(|| growing.end());
        self.finished.push(LargeObjectFacts {
            oid: open.oid,
            file: open.file,
            on_disk: on_disk.map_err(into_io)?,
            content,
        });
        Ok(())
    }
}

/// What a store has said stays that.
fn into_io(error: ArchiveError) -> io::Error {
    match error {
        ArchiveError::Store { source, .. } => source.into(),
        other => io::Error::other(other),
    }
}
