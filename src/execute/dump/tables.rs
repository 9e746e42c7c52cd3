//! Whole tables, and parts of large ones.

use std::io::{self, BufReader, Write};
use std::time::Instant;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::assembly::{Again, Appended, Place, Whole};
use super::context::Context;
use super::piece::Piece;
use super::{Broken, Ended, Errand};
use crate::archive::{
    Algorithm, ArchiveError, Content, DATA_END, Decoder, Encoder, FileFacts, TableFacts,
    Unfinished, read_rows,
};
use crate::execute::copy::set;
use crate::model::{Bytes, RowLayout, SqlText, VerifyLevel};
use crate::pg::wire::{Gauge, Relayed, Unframed, Wire, read_into};
use crate::plan::DumpUnit;

/// The tag byte and the length of a message, which [`Relayed::bytes`] has for every row.
const FRAME: u64 = 5;

/// Whole tables, one after the other.
pub(super) async fn whole(
    context: &Context,
    units: &[usize],
    errand: Errand<'_>,
) -> Result<Ended, Broken> {
    let mut wire = context.source.take().await?;
    let mut ended = Ended::default();
    for &unit in units {
        // An earlier attempt, or session, may have come as far as this.
        if context.state().tables.contains_key(&unit) {
            continue;
        }
        match one(context, &mut wire, unit, errand).await {
            Ok(read) => {
                ended.rows += read.digest.rows;
                ended.bytes += Bytes(read.bytes);
            }
            Err(broken) => {
                context.source.give_up(wire);
                return Err(broken);
            }
        }
    }
    context.source.give_back(wire);
    Ok(ended)
}

/// A whole table into its file.
async fn one(
    context: &Context,
    wire: &mut Wire,
    index: usize,
    errand: Errand<'_>,
) -> Result<Content, Broken> {
    let unit = &context.plan.units[index];
    let began = Instant::now();
    let name = context.file_name(index);
    let sql = unit.copy.copy_out(None);
    let mut file = context.archive.file_of(&name, unit.copy.bytes)?;
    let asked = async {
        set(wire, &unit.copy, true).await?;
        let into = (&*name, &mut file, true);
        let (rows, ended) = read(context, wire, (&sql, errand.gauge), into).await?;
        ended?;
        let counted = match context.verify {
            VerifyLevel::None => None,
            // Where the source cannot be asked, what was read is all there is: a salvage knows how much that must be.
            _ if !unit.copy.can_be_counted() => Some(rows.digest.rows),
            _ => Some(wire.count(&unit.copy.count()).await?),
        };
        set(wire, &unit.copy, false).await?;
        Ok::<_, Broken>((rows, counted))
    };
    let (rows, counted) = context.watched(errand, asked).await?;
    let facts = tokio::task::block_in_place(|| file.end())?;
    let again = again(context, &name, (0, facts.bytes), false)?;
    let facts = facts_of(unit, name, facts, rows);
    context.finish_table(index, facts, (again, counted), began.elapsed())?;
    Ok(rows)
}

/// A part of a table: read, then appended when it is its turn.
pub(super) async fn part(
    context: &Context,
    (index, part): (usize, usize),
    errand: Errand<'_>,
) -> Result<Ended, Broken> {
    let unit = &context.plan.units[index];
    let Some(assembly) = context.assemblies.get(&index) else {
        return Ok(Ended::default());
    };
    let began = Instant::now();
    let name = context.file_name(index);
    let sql = unit
        .copy
        .copy_out(unit.parts.get(part).and_then(Option::as_ref));
    let is_last = part + 1 == unit.parts.len();
    let overflow = context.archive.overflow(&format!("{name}.part-{part}"));
    let mut piece = Piece::new(assembly, part, (&context.source, overflow));
    let mut wire = context.source.take().await?;
    let into = (&*name, &mut piece, is_last);
    let reading = read(context, &mut wire, (&sql, errand.gauge), into);
    let rows = match context.watched(errand, reading).await {
        Ok((rows, Ok(()))) => rows,
        Ok((_, Err(error))) => {
            context.source.give_up(wire);
            return Err(error.into());
        }
        Err(_) if piece.gave_way() => {
            context.source.give_up(wire);
            assembly.is_next(part).await?;
            return Err(Broken::GaveWay);
        }
        Err(broken) => {
            context.source.give_up(wire);
            return Err(match broken {
                Broken::Source(error) if piece.cannot_be_repeated() => Broken::HalfWritten(error),
                broken => broken,
            });
        }
    };
    // Others may need the session while this waits.
    context.source.give_back(wire);
    let place = piece.append().await?;
    let again = if context.verify != VerifyLevel::Content {
        Again::Never
    } else if context.archive.can_be_read_as_it_grows() {
        again(context, &name, place, !is_last)?.map_or(Again::Never, Again::Now)
    } else {
        Again::Later
    };
    let appended = Appended {
        place,
        read: rows,
        again,
        took: began.elapsed(),
    };
    if let Some(whole) = assembly.take(appended).await {
        finish(context, index, whole).await?;
    }
    Ok(Ended {
        rows: rows.digest.rows,
        bytes: Bytes(rows.bytes),
    })
}

/// Counts a table that is read in parts, regardless of these.
pub(super) async fn count(
    context: &Context,
    index: usize,
    errand: Errand<'_>,
) -> Result<Ended, Broken> {
    let Some(assembly) = context.assemblies.get(&index) else {
        return Ok(Ended::default());
    };
    let mut wire = context.source.take().await?;
    let sql = context.plan.units[index].copy.count();
    let counted = match context.watched(errand, wire.count(&sql)).await {
        Ok(counted) => counted,
        Err(error) => {
            context.source.give_up(wire);
            return Err(error.into());
        }
    };
    context.source.give_back(wire);
    if let Some(whole) = assembly.counted(counted).await {
        finish(context, index, whole).await?;
    }
    Ok(Ended {
        rows: counted,
        bytes: Bytes(0),
    })
}

async fn finish(context: &Context, index: usize, whole: Whole) -> Result<(), ArchiveError> {
    let unit = &context.plan.units[index];
    let name = context.file_name(index);
    let on_disk = tokio::task::block_in_place(|| whole.file.end())?;
    let again = if whole.unread.is_empty() {
        whole.again
    } else {
        Some(stretches_again(context, &name, &whole.unread).await?)
    };
    let facts = facts_of(unit, name, on_disk, whole.read);
    context.finish_table(index, facts, (again, whole.counted), whole.took)
}

/// Reads again a file of many parts, which are one behind the other, with several readers.
async fn stretches_again(
    context: &Context,
    name: &str,
    parts: &[Place],
) -> Result<Content, ArchiveError> {
    let readers = context.workers.max(1);
    let mut stretches: Vec<(Place, bool)> = parts
        .chunks(parts.len().div_ceil(readers))
        .map(|parts| {
            let begin = parts.first().map_or(0, |(begin, _)| *begin);
            ((begin, parts.iter().map(|(_, length)| length).sum()), true)
        })
        .collect();
    if let Some((_, is_part)) = stretches.last_mut() {
        // Behind it is the end of the file.
        *is_part = false;
    }
    let readings = stretches.into_iter().map(|(place, is_part)| {
        let (archive, name) = (context.archive.clone(), name.to_owned());
        let algorithm = context.codec.algorithm;
        let path = archive.path().join(&name);
        let reading = tokio::task::spawn_blocking(move || {
            content_again((&archive, algorithm), &name, place, is_part)
        });
        async move {
            let read = reading.await.map_err(io::Error::other);
            read.map_err(ArchiveError::file("reading again", &path))?
        }
    });
    let contents: Vec<Content> = stream::iter(readings)
        .buffered(readers)
        .try_collect()
        .await?;
    Ok(contents.into_iter().fold(Content::default(), Content::and))
}

fn facts_of(unit: &DumpUnit, file: String, on_disk: FileFacts, content: Content) -> TableFacts {
    TableFacts {
        dump_id: unit.dump_id,
        table: unit.copy.table.clone(),
        columns: unit.copy.columns.clone(),
        file,
        on_disk,
        content,
    }
}

/// Reads rows and compresses them into `into`, with the end of the file behind them if there is nothing more to come. The
/// inner error is that of the end.
async fn read<W: Write + Unpin>(
    context: &Context,
    wire: &mut Wire,
    (sql, gauge): (&SqlText, &Gauge),
    (name, into, is_last): (&str, W, bool),
) -> Result<(Content, Result<(), ArchiveError>), Broken> {
    let path = context.archive.path().join(name);
    let writing = || ArchiveError::file("writing", &path);
    let encoder = Encoder::new(context.codec, into).map_err(writing())?;
    let mut unframed = Unframed::new(encoder);
    let relayed = read_into(wire, sql, RowLayout::Text, (gauge, &mut unframed)).await;
    if let Some(error) = unframed.failure() {
        return Err(writing()(error).into());
    }
    let Relayed { digest, bytes } = relayed?;
    let mut encoder = unframed.into_inner();
    let end = || -> io::Result<()> {
        if is_last {
            encoder.write_all(DATA_END)?;
        }
        encoder.finish().map(drop)
    };
    let ended = end().map_err(writing());
    let rows = Content::new(digest, bytes.0.saturating_sub(FRAME * digest.rows.0));
    Ok((rows, ended))
}

/// Reads again what was written, if that is to be proven.
fn again(
    context: &Context,
    name: &str,
    place: Place,
    is_part: bool,
) -> Result<Option<Content>, ArchiveError> {
    if context.verify != VerifyLevel::Content {
        return Ok(None);
    }
    let archive = (&context.archive, context.codec.algorithm);
    tokio::task::block_in_place(|| content_again(archive, name, place, is_part)).map(Some)
}

/// From the file, through the decompression. What cannot be understood there is no content at all.
fn content_again(
    (archive, algorithm): (&Unfinished, Algorithm),
    name: &str,
    place: Place,
    is_part: bool,
) -> Result<Content, ArchiveError> {
    let path = archive.path().join(name);
    let file = archive.read(name, place)?;
    let raw = BufReader::with_capacity(128 << 10, file);
    let read = Decoder::buffered(algorithm, raw).and_then(|mut from| read_rows(&mut from, is_part));
    match read.map_err(ArchiveError::file("reading again", &path))? {
        Ok(rows) => Ok(rows),
        Err(what) => Err(ArchiveError::Data { path, what }),
    }
}
