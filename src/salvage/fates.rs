//! What became of the transactions that a damaged page names, as the server's own record has it.
//!
//! A number that damage has made leads nowhere, or to a transaction that there has been: the record of the first gives an error, and of the
//! second it says what is true of somebody else. Only what was asked for is known; everything else is unknown.

use std::collections::{BTreeSet, HashMap};

use super::SalvageError;
use super::record::{Record, latest};
use super::standing::{Fate, Writer};
use crate::pg::{Answer, PgError, Session};

/// Transactions that are asked for at once.
const AT_ONCE: usize = 1000;
/// Transactions whose fates are kept until others are asked for: every row may have been written by one of its own.
const KEPT: usize = 100_000;
/// Number of 32-bit transaction ids.
const EPOCH: i64 = 1 << 32;

/// What is known of transactions.
#[derive(Debug)]
pub(super) struct Fates<'a> {
    /// The number of the next one.
    next: i64,
    /// Whether anything is written down of one: if not, the server says that it did not commit.
    record: &'a Record,
    known: HashMap<Writer, Fate>,
}

impl<'a> Fates<'a> {
    /// Nothing is known yet.
    pub fn before(next: i64, record: &'a Record) -> Self {
        Self {
            next,
            record,
            known: HashMap::new(),
        }
    }

    /// What became of it.
    pub fn of(&self, writer: Writer) -> Fate {
        self.known.get(&writer).copied().unwrap_or(Fate::Unknown)
    }

    /// Asks for those of which nothing is known yet. What was known before may be forgotten.
    pub async fn ask(
        &mut self,
        session: &Session,
        wanted: BTreeSet<Writer>,
    ) -> Result<(), SalvageError> {
        if self.known.len() > KEPT {
            self.known.clear();
        }
        let (mut alone, mut several) = (BTreeSet::new(), Vec::new());
        for writer in wanted {
            match writer {
                _ if self.known.contains_key(&writer) => {}
                Writer::One(xid) => _ = alone.insert(xid),
                Writer::Several(number) => several.push(number),
            }
        }
        let deleters = deleters(session, &several).await?;
        let asked = deleters.values().flatten().copied();
        alone.extend(asked.filter(|xid| !self.known.contains_key(&Writer::One(*xid))));
        self.ask_for_each(session, alone).await?;
        for (number, deleter) in deleters {
            // Whoever only locks a row leaves it as it was.
            let fate = deleter.map_or(Fate::Aborted, |xid| self.of(Writer::One(xid)));
            self.known.insert(Writer::Several(number), fate);
        }
        Ok(())
    }

    async fn ask_for_each(
        &mut self,
        session: &Session,
        wanted: BTreeSet<u32>,
    ) -> Result<(), SalvageError> {
        let mut askable: Vec<i64> = Vec::new();
        for xid in wanted {
            let full = latest(xid, self.next);
            if full < 3 || self.next - full > EPOCH / 2 {
                self.known.insert(Writer::One(xid), Fate::Impossible);
            } else if self.record.lacks(xid) {
                self.known.insert(Writer::One(xid), Fate::Unrecorded);
            } else {
                askable.push(full);
            }
        }
        for some in askable.chunks(AT_ONCE) {
            let list: Vec<String> = some.iter().map(|full| format!("({full}::int8)")).collect();
            let sql = format!(
                "select x, pg_catalog.txid_status(x) as status from (values {}) as v(x)",
                list.join(", ")
            );
            let asked = session.query_text("the fate of transactions", &sql, &[]);
            // Their record is damaged, too.
            let Some(rows) = unless_damaged(asked.await)? else {
                continue;
            };
            for row in &rows {
                let full: i64 = row.get("x")?;
                let fate = match row.get::<Option<String>>("status")?.as_deref() {
                    Some("committed") => Fate::Committed,
                    Some("aborted" | "in progress") => Fate::Aborted,
                    _ => Fate::Unknown,
                };
                let xid = u32::try_from(full.rem_euclid(EPOCH)).unwrap_or(0);
                self.known.insert(Writer::One(xid), fate);
            }
        }
        Ok(())
    }
}

/// Who of several has deleted a row, or updated it, if one has. Those whose record is damaged, or who never were, are not there.
async fn deleters(
    session: &Session,
    several: &[u32],
) -> Result<HashMap<u32, Option<u32>>, SalvageError> {
    let mut found = HashMap::new();
    for some in several.chunks(AT_ONCE) {
        if let Some(rows) = members(session, some).await? {
            note(&rows, some, &mut found)?;
            continue;
        }
        // One that there cannot have been is an error for all.
        for number in some {
            let alone = std::slice::from_ref(number);
            if let Some(rows) = members(session, alone).await? {
                note(&rows, alone, &mut found)?;
            }
        }
    }
    Ok(found)
}

async fn members(session: &Session, of: &[u32]) -> Result<Option<Vec<Answer>>, SalvageError> {
    let list: Vec<String> = of
        .iter()
        .map(|number| format!("('{number}'::pg_catalog.xid)"))
        .collect();
    let sql = format!(
        "select v.x::text::int8 as several, m.xid::text::int8 as xid from (values {}) as v(x), \
         pg_catalog.pg_get_multixact_members(v.x) as m where m.mode in ('upd', 'nokeyupd')",
        list.join(", ")
    );
    unless_damaged(
        session
            .query_text("members of a multixact", &sql, &[])
            .await,
    )
}

fn note(
    rows: &[Answer],
    asked: &[u32],
    found: &mut HashMap<u32, Option<u32>>,
) -> Result<(), PgError> {
    found.extend(asked.iter().map(|number| (*number, None)));
    for row in rows {
        let (several, xid): (i64, i64) = (row.get("several")?, row.get("xid")?);
        if let (Ok(several), Ok(xid)) = (u32::try_from(several), u32::try_from(xid)) {
            found.insert(several, Some(xid));
        }
    }
    Ok(())
}

fn unless_damaged(
    asked: Result<Vec<Answer>, PgError>,
) -> Result<Option<Vec<Answer>>, SalvageError> {
    match asked {
        Ok(rows) => Ok(Some(rows)),
        Err(error) if error.is_lost_connection() => Err(error.into()),
        Err(PgError::Server { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
