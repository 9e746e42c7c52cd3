//! Bytes of relations as they are on disk, by way of the server's own functions for files.
//!
//! What cannot be read, or is not there, is `None`: whoever asks knows what that means.

use super::SalvageError;
use super::facts::{FILES, Facts, TableFacts};
use super::files::{BLOCKS_PER_FILE, Listing, Shape};
use super::page::{BLOCK, pages_of_map};
use crate::pg::{Answer, PgError, Session};

/// Pages that are asked for at once.
pub(super) const PAGES: u32 = 512;

/// Bytes that the server takes into memory at once: for much more it gets memory from the operating system anew each time, which takes
/// longer than reading it (a survey of 930 MB takes 2.1 s with this, and 2.7 s with 4 MB).
const PIECE: u64 = 256 << 10;

/// What the server calls them.
const BYTES: &str = "bytes";

/// Pages of a map that is read whatever it is of: 32 MB, for a terabyte.
const SMALL_MAP: u32 = 4096;

/// The files in a directory of the data directory. One that cannot be read, as that of a tablespace on a disk that is lost, has none: whatever
/// should be in it is missing.
pub(super) async fn listing(session: &Session, directory: &str) -> Result<Listing, SalvageError> {
    let rows = match session.query(&FILES, &[&directory]).await {
        Ok(rows) => rows,
        Err(PgError::Server { error, .. }) if error.code.starts_with("58") => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let mut listing = Listing::new();
    for row in &rows {
        if let Some(size) = row.get::<Option<i64>>("size_bytes")? {
            listing.insert(row.get("name")?, u64::try_from(size).unwrap_or(0));
        }
    }
    Ok(listing)
}

/// Shows pages of a relation, each if it is there. Of a run that cannot be read at once, each is tried.
pub(super) async fn show_pages(
    session: &Session,
    place: (&str, &Shape),
    (first, count): (u32, u32),
    mut show: impl FnMut(u32, Option<&[u8]>) -> Result<(), SalvageError>,
) -> Result<(), SalvageError> {
    if show_run(session, place, (first, count), |block, page| {
        show(block, Some(page))
    })
    .await?
    {
        return Ok(());
    }
    for number in 0..count {
        // A damaged index may lead to the last block that there can be.
        let Some(block) = first.checked_add(number) else {
            show(u32::MAX, None)?;
            continue;
        };
        let page = pages(session, place, block, 1).await?;
        show(block, page.as_deref())?;
    }
    Ok(())
}

/// Shows pages of a run, if all of them can be read: whether they could.
pub(super) async fn show_run(
    session: &Session,
    place: (&str, &Shape),
    (first, count): (u32, u32),
    mut show: impl FnMut(u32, &[u8]) -> Result<(), SalvageError>,
) -> Result<bool, SalvageError> {
    let Some(pieces) = pieces(session, place, first, count).await? else {
        return Ok(false);
    };
    // To look at them takes as long as to have them sent: whoever waits for others is not kept waiting.
    tokio::task::block_in_place(|| {
        let mut blocks = first..;
        for piece in &pieces {
            let pages = piece.get::<&[u8]>(BYTES)?.chunks(BLOCK);
            // In this order: no block is taken for a page that is not there.
            for (page, block) in pages.zip(blocks.by_ref()) {
                show(block, page)?;
            }
        }
        Ok(true)
    })
}

/// Pages, each if it is there.
pub(super) async fn each_page(
    session: &Session,
    place: (&str, &Shape),
    first: u32,
    count: u32,
) -> Result<Vec<Option<Vec<u8>>>, SalvageError> {
    let mut found = Vec::new();
    let keep = |_, page: Option<&[u8]>| {
        found.push(page.map(<[u8]>::to_vec));
        Ok(())
    };
    show_pages(session, place, (first, count), keep).await?;
    Ok(found)
}

/// The same of a table.
pub(super) async fn heap_pages(
    session: &Session,
    table: &TableFacts,
    first: u32,
    count: u32,
) -> Result<Vec<Option<Vec<u8>>>, SalvageError> {
    each_page(session, (table.path.as_str(), &table.shape), first, count).await
}

/// A table's map of what is visible to everybody, as far as it can be read.
pub(super) async fn visibility_map(
    session: &Session,
    facts: &Facts,
    table: &TableFacts,
) -> Result<Vec<u8>, SalvageError> {
    let path = format!("{}_vm", table.path);
    let shape = facts.shape_of(&path);
    let mut map = Vec::new();
    let mut first = 0;
    // However long damage has made its file. How long the table was that is cut off, nobody knows.
    let blocks = table.shape.reached.max(table.pages);
    let end = shape.reached.min(pages_of_map(blocks).max(SMALL_MAP));
    while first < end {
        let count = PAGES.min(end - first);
        match pages(session, (path.as_str(), &shape), first, count).await? {
            Some(bytes) => map.extend(bytes),
            None => break,
        }
        first += count;
    }
    Ok(map)
}

/// Bytes of a relation's files; `None` if not all of them can be read.
pub(super) async fn pages(
    session: &Session,
    place: (&str, &Shape),
    first: u32,
    count: u32,
) -> Result<Option<Vec<u8>>, SalvageError> {
    let Some(pieces) = pieces(session, place, first, count).await? else {
        return Ok(None);
    };
    let mut all = Vec::new();
    for piece in &pieces {
        all.extend_from_slice(piece.get(BYTES)?);
    }
    Ok(Some(all))
}

/// The same, as they come: whole pages each.
async fn pieces(
    session: &Session,
    (path, shape): (&str, &Shape),
    first: u32,
    count: u32,
) -> Result<Option<Vec<Answer>>, SalvageError> {
    let mut all = Vec::new();
    let mut block = first;
    let Some(end) = first.checked_add(count) else {
        return Ok(None);
    };
    while block < end {
        let in_file = (BLOCKS_PER_FILE - block % BLOCKS_PER_FILE).min(end - block);
        let Some((number, start)) = shape.place(block) else {
            return Ok(None);
        };
        let file = if number == 0 {
            path.to_owned()
        } else {
            format!("{path}.{number}")
        };
        let length = u64::from(in_file) * BLOCK as u64;
        let behind = start + length;
        let sql = format!(
            "select pg_catalog.pg_read_binary_file('{file}', at, least({PIECE}, {behind} - at)) as {BYTES}
             from pg_catalog.generate_series({start}::pg_catalog.int8, {behind} - 1, {PIECE}) as at"
        );
        let rows = match session.query_text("pages of a file", &sql, &[]).await {
            Ok(rows) => rows,
            Err(PgError::Server { error, .. }) if error.code.starts_with("58") => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut read = 0;
        for row in &rows {
            read += row.get::<&[u8]>(BYTES)?.len();
        }
        if u64::try_from(read) != Ok(length) {
            return Ok(None);
        }
        all.extend(rows);
        block += in_file;
    }
    Ok(Some(all))
}
