//! Whole tables, and parts of large ones.

use std::io::{self, BufReader, Read as _, Write};
use std::time::Instant;

use super::assembly::{Appended, Whole};
use super::context::Context;
use super::{Broken, Ended};
use crate::archive::{
    ArchiveError, Content, DATA_END, Decoder, Encoder, FileFacts, Held, TableFacts, read_rows,
};
use crate::model::{Bytes, RowLayout, SqlText, VerifyLevel};
use crate::pg::wire::{Gauge, Relayed, Unframed, Wire, read_into};
use crate::plan::DumpUnit;

/// The tag byte and the length of a message, which [`Relayed::bytes`] has for every row.
const FRAME: u64 = 5;

/// Whole tables, one after the other.
pub(super) async fn whole(
    context: &Context,
    units: &[usize],
    gauge: &Gauge,
) -> Result<Ended, Broken> {
    let mut wire = context.source.take().await?;
    let mut ended = Ended::default();
    for &unit in units {
        // An earlier attempt, or session, may have come as far as this.
        if context.state().tables.contains_key(&unit) {
            continue;
        }
        match one(context, &mut wire, unit, gauge).await {
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
    gauge: &Gauge,
) -> Result<Content, Broken> {
    let unit = &context.plan.units[index];
    let began = Instant::now();
    let name = context.file_name(index);
    let sql = unit.copy.copy_out(None);
    let mut file = context.archive.file(&name)?;
    let (rows, ended) = read(context, wire, (&sql, gauge), (&name, &mut file, true)).await?;
    ended?;
    let counted = match context.verify {
        VerifyLevel::None => None,
        _ => Some(wire.count(&unit.copy.count()).await?),
    };
    let facts = file.facts();
    let again = again(context, &name, (0, facts.bytes), false)?;
    let facts = facts_of(unit, name, facts, rows);
    context.finish_table(index, facts, (again, counted), began.elapsed())?;
    Ok(rows)
}

/// A part of a table: read, then appended when it is its turn.
pub(super) async fn part(
    context: &Context,
    (index, part): (usize, usize),
    gauge: &Gauge,
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
    let overflow = context.archive.path().join(format!("{name}.part-{part}"));
    let mut held = Held::new(overflow);
    let mut wire = context.source.take().await?;
    let read = read(
        context,
        &mut wire,
        (&sql, gauge),
        (&name, &mut held, is_last),
    )
    .await;
    let rows = match read {
        Ok((rows, Ok(()))) => rows,
        Ok((_, Err(error))) => {
            context.source.give_up(wire);
            return Err(error.into());
        }
        Err(broken) => {
            context.source.give_up(wire);
            return Err(broken);
        }
    };
    // Others may need the session while this waits.
    context.source.give_back(wire);
    let place = assembly.append(part, |file| held.append_to(file)).await?;
    let again = again(context, &name, place, !is_last)?;
    let appended = Appended {
        read: rows,
        again,
        took: began.elapsed(),
    };
    if let Some(whole) = assembly.take(appended).await {
        finish(context, index, &whole)?;
    }
    Ok(Ended {
        rows: rows.digest.rows,
        bytes: Bytes(rows.bytes),
    })
}

/// Counts a table that is read in parts, regardless of these.
pub(super) async fn count(context: &Context, index: usize) -> Result<Ended, Broken> {
    let Some(assembly) = context.assemblies.get(&index) else {
        return Ok(Ended::default());
    };
    let mut wire = context.source.take().await?;
    let counted = match wire.count(&context.plan.units[index].copy.count()).await {
        Ok(counted) => counted,
        Err(error) => {
            context.source.give_up(wire);
            return Err(error.into());
        }
    };
    context.source.give_back(wire);
    if let Some(whole) = assembly.counted(counted).await {
        finish(context, index, &whole)?;
    }
    Ok(Ended {
        rows: counted,
        bytes: Bytes(0),
    })
}

fn finish(context: &Context, index: usize, whole: &Whole) -> Result<(), ArchiveError> {
    let unit = &context.plan.units[index];
    let facts = facts_of(unit, context.file_name(index), whole.on_disk, whole.read);
    let evidence = (whole.again, whole.counted);
    context.finish_table(index, facts, evidence, whole.took)
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

/// Reads again what was written: from the file, through the decompression. What cannot be understood there is no content at
/// all, and will be a difference.
fn again(
    context: &Context,
    name: &str,
    (begin, length): (u64, u64),
    is_part: bool,
) -> Result<Option<Content>, ArchiveError> {
    if context.verify != VerifyLevel::Content {
        return Ok(None);
    }
    let path = context.archive.path().join(name);
    let file = context.archive.read_from(name, begin)?;
    let algorithm = context.codec.algorithm;
    let read = tokio::task::block_in_place(|| {
        let raw = BufReader::with_capacity(128 << 10, file.take(length));
        read_rows(&mut Decoder::buffered(algorithm, raw)?, is_part)
    });
    match read.map_err(ArchiveError::file("reading again", &path))? {
        Ok(rows) => Ok(Some(rows)),
        Err(what) => Err(ArchiveError::Data { path, what }),
    }
}
