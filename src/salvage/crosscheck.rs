//! The rows that were read against those that the indexes know of: what is missing without an error, and what it was called.
//!
//! Every row has an entry in every B-tree that is neither partial nor on an expression. The index's file is read as bytes, since a
//! query would have to read the table's pages to know which entries count. An entry whose row was not read is looked up in
//! the table's own page, which tells whether the row had been deleted, or is lost. What is on disk is what counts, so the
//! source had better be a copy that nobody uses.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::SalvageError;
use super::facts::{Facts, IndexFacts, TableFacts};
use super::files::{BLOCKS_PER_FILE, Shape};
use super::keys::decode;
use super::page::{BLOCK, Block, BtreePage, Fate, PageState, Standing, all_visible, btree, state};
use super::seen::Seen;
use crate::pg::{PgError, Session};
use crate::plan::Place;

/// Pages that are asked for at once.
pub(super) const PAGES: u32 = 512;
/// Transactions that are asked for at once.
const TRANSACTIONS: usize = 1000;
/// Number of 32-bit transaction ids.
const EPOCH: i64 = 1 << 32;

/// A row that was not read, and what it was called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Where it was, or its first version.
    pub place: Place,
    /// Whether it is lost for certain.
    pub standing: Standing,
    /// Its key, if that can be understood.
    pub key: Option<Vec<Option<String>>>,
}

/// What a look into the indexes tells.
#[derive(Debug, Default)]
pub struct CrossCheck {
    /// The index that tells it; `None`: there is none that is whole.
    pub index: Option<IndexFacts>,
    /// Rows that were not read.
    pub missing: Vec<Missing>,
    /// Blocks of zeros in the midst of others: looked for only where no index tells what was in them.
    pub zeros: BTreeSet<u32>,
    /// Indexes that are damaged, and how: nothing is lost with them.
    pub damaged: Vec<String>,
}

/// Entries of an index whose rows were not read.
type Candidates = BTreeMap<u32, Vec<(u16, Option<Vec<Option<String>>>)>>;

/// Compares what was read of a table with its indexes. Without `seen`, only where rows must be missing is looked for.
pub async fn cross_check(
    session: &Session,
    (facts, table): (&Facts, &TableFacts),
    seen: Option<&Seen>,
) -> Result<CrossCheck, SalvageError> {
    let mut check = CrossCheck::default();
    for index in &table.indexes {
        let shape = facts.shape_of(&index.path);
        let read = match (shape.wrong.first(), seen) {
            (Some(wrong), _) => Err(wrong.clone()),
            (None, None) => continue,
            (None, Some(seen)) => entries(session, (index, &shape), seen).await?,
        };
        match read {
            Ok(candidates) => {
                if let Some(seen) = seen {
                    check.missing = judge(session, (facts, table), (&candidates, seen)).await?;
                }
                check.index = Some(index.clone());
                return Ok(check);
            }
            // Of a server that is in use, what is on disk may not be what it has.
            Err(_) if !facts.quiet.is_cold() => {}
            Err(how) => check
                .damaged
                .push(format!("the index {}: {how}", index.name.shown())),
        }
    }
    check.zeros = zeros(session, table).await?;
    if let Some(seen) = seen {
        check.zeros.retain(|block| seen.of(*block).count() == 0);
    }
    Ok(check)
}

/// Reads all leaves of an index; the inner result is what is wrong with it, if it is not whole.
async fn entries(
    session: &Session,
    (index, shape): (&IndexFacts, &Shape),
    seen: &Seen,
) -> Result<Result<Candidates, String>, SalvageError> {
    let mut candidates = Candidates::new();
    let mut first = 0;
    while first < shape.reached {
        let count = PAGES.min(shape.reached - first);
        let Some(bytes) = pages(session, (index.path.as_str(), shape), first, count).await? else {
            return Ok(Err(format!(
                "blocks {first} to {} cannot be read",
                first + count - 1
            )));
        };
        for (number, page) in (first..).zip(bytes.chunks(BLOCK)) {
            match btree(page) {
                BtreePage::Other => {}
                BtreePage::Damaged => {
                    return Ok(Err(format!("block {number} is no page of a B-tree")));
                }
                BtreePage::Leaf { entries, next } => {
                    if next.is_some_and(|next| next >= shape.reached) {
                        return Ok(Err(format!(
                            "block {number} leads to one that is not there"
                        )));
                    }
                    for entry in entries {
                        let (block, offset) = entry.place;
                        if !seen.has(block, offset) {
                            let key = decode(&entry, &index.columns);
                            candidates.entry(block).or_default().push((offset, key));
                        }
                    }
                }
            }
        }
        first += count;
    }
    if shape.reached == 0 {
        return Ok(Err("its file is empty".to_owned()));
    }
    Ok(Ok(candidates))
}

/// What became of the rows that were not read.
async fn judge(
    session: &Session,
    (facts, table): (&Facts, &TableFacts),
    (candidates, seen): (&Candidates, &Seen),
) -> Result<Vec<Missing>, SalvageError> {
    let mut missing = Vec::new();
    if candidates.is_empty() {
        return Ok(missing);
    }
    let map = visibility_map(session, facts, table).await?;
    let mut fates: HashMap<u32, Fate> = HashMap::new();
    let blocks: Vec<u32> = candidates.keys().copied().collect();
    for run in blocks.chunk_by(|a, b| a + 1 == *b && b % PAGES != 0) {
        let (first, count) = (run[0], u32::try_from(run.len()).unwrap_or(PAGES));
        let bytes = heap_pages(session, table, first, count).await?;
        let read: Vec<BTreeSet<u16>> = run
            .iter()
            .map(|block| seen.of(*block).iter().collect())
            .collect();
        let looked_at: Vec<(u32, Block<'_>)> = run
            .iter()
            .zip(&read)
            .zip(&bytes)
            .map(|((&number, read), page)| {
                let block = Block {
                    page: page.as_deref(),
                    all_visible: all_visible(&map, number),
                    read,
                };
                (number, block)
            })
            .collect();
        let wanted: BTreeSet<u32> = looked_at
            .iter()
            .flat_map(|(number, block)| {
                let roots = candidates.get(number).into_iter().flatten();
                roots.flat_map(move |(root, _)| block.transactions(*root))
            })
            .filter(|xid| !fates.contains_key(xid))
            .collect();
        ask_fates(session, facts.quiet.next_transaction, wanted, &mut fates).await?;
        let fate = |xid: u32| fates.get(&xid).copied().unwrap_or(Fate::Unknown);
        for (number, block) in looked_at {
            for (root, key) in candidates.get(&number).into_iter().flatten() {
                let standing = block.standing(*root, &fate);
                if standing >= Standing::Perhaps {
                    missing.push(Missing {
                        place: (number, *root),
                        standing,
                        key: key.clone(),
                    });
                }
            }
        }
    }
    Ok(missing)
}

async fn ask_fates(
    session: &Session,
    next: i64,
    wanted: BTreeSet<u32>,
    fates: &mut HashMap<u32, Fate>,
) -> Result<(), SalvageError> {
    let mut askable: Vec<(u32, i64)> = Vec::new();
    for xid in wanted {
        // The latest of that number that there can have been.
        let mut full = next.div_euclid(EPOCH) * EPOCH + i64::from(xid);
        if full >= next {
            full -= EPOCH;
        }
        if full < 3 || next - full > EPOCH / 2 {
            fates.insert(xid, Fate::Impossible);
        } else {
            askable.push((xid, full));
        }
    }
    for some in askable.chunks(TRANSACTIONS) {
        let list: Vec<String> = some
            .iter()
            .map(|(_, full)| format!("({full}::int8)"))
            .collect();
        let sql = format!(
            "select x, pg_catalog.txid_status(x) as status from (values {}) as v(x)",
            list.join(", ")
        );
        let rows = match session
            .query_text("the fate of transactions", &sql, &[])
            .await
        {
            Ok(rows) => rows,
            // Their record is damaged, too.
            Err(PgError::Server { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        for row in &rows {
            let full: i64 = row.get("x")?;
            let fate = match row.get::<Option<String>>("status")?.as_deref() {
                Some("committed") => Fate::Committed,
                Some("aborted" | "in progress") => Fate::Aborted,
                _ => Fate::Unknown,
            };
            let xid = u32::try_from(full.rem_euclid(EPOCH)).unwrap_or(0);
            fates.insert(xid, fate);
        }
    }
    Ok(())
}

/// Blocks of zeros that have others behind them.
async fn zeros(session: &Session, table: &TableFacts) -> Result<BTreeSet<u32>, SalvageError> {
    let (mut found, mut last) = (BTreeSet::new(), None);
    let mut first = 0;
    while first < table.shape.reached {
        let count = PAGES.min(table.shape.reached - first);
        for (number, page) in (first..).zip(heap_pages(session, table, first, count).await?) {
            match page.as_deref().map(state) {
                Some(PageState::Zeros) => _ = found.insert(number),
                Some(_) => last = Some(number),
                None => {}
            }
        }
        first += count;
    }
    Ok(found
        .into_iter()
        .filter(|&number| Some(number) < last)
        .collect())
}

async fn visibility_map(
    session: &Session,
    facts: &Facts,
    table: &TableFacts,
) -> Result<Vec<u8>, SalvageError> {
    let path = format!("{}_vm", table.path);
    let shape = facts.shape_of(&path);
    let mut map = Vec::new();
    let mut first = 0;
    while first < shape.reached {
        let count = PAGES.min(shape.reached - first);
        match pages(session, (path.as_str(), &shape), first, count).await? {
            Some(bytes) => map.extend(bytes),
            None => break,
        }
        first += count;
    }
    Ok(map)
}

/// Pages of a heap, each if it is there. Of a run that cannot be read at once, each is tried.
pub(super) async fn heap_pages(
    session: &Session,
    table: &TableFacts,
    first: u32,
    count: u32,
) -> Result<Vec<Option<Vec<u8>>>, SalvageError> {
    let place = (table.path.as_str(), &table.shape);
    if let Some(bytes) = pages(session, place, first, count).await? {
        return Ok(bytes
            .chunks(BLOCK)
            .map(|page| Some(page.to_vec()))
            .collect());
    }
    let mut found = Vec::new();
    for block in first..first + count {
        found.push(pages(session, place, block, 1).await?);
    }
    Ok(found)
}

/// Bytes of a relation's files; `None` if not all of them can be read.
async fn pages(
    session: &Session,
    (path, shape): (&str, &Shape),
    first: u32,
    count: u32,
) -> Result<Option<Vec<u8>>, SalvageError> {
    let mut all = Vec::new();
    let (mut block, end) = (first, first.saturating_add(count));
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
        let sql =
            format!("select pg_catalog.pg_read_binary_file('{file}', {start}, {length}) as bytes");
        let rows = match session.query_text("pages of a file", &sql, &[]).await {
            Ok(rows) => rows,
            Err(PgError::Server { error, .. }) if error.code.starts_with("58") => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let bytes: &[u8] = match rows.first() {
            Some(row) => row.get("bytes")?,
            None => return Ok(None),
        };
        if u64::try_from(bytes.len()) != Ok(length) {
            return Ok(None);
        }
        all.extend_from_slice(bytes);
        block += in_file;
    }
    Ok(Some(all))
}
