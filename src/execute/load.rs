//! Tables and large objects out of an archive: read by a thread, sent to the target as they are.
//!
//! What the manifest says of them must come out of the files, or the transaction is not committed. What came out is kept: of
//! an archive without a manifest it is all that is known, and the target is compared with it in the end.

use std::collections::HashMap;
use std::io::{self, BufRead, Read as _};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use xxhash_rust::xxh3::Xxh3;

use super::attempt::Attempt;
use super::copy::{Load, commit, line, opening};
use super::large_objects::{STAGE, UNSTAGE};
use super::outcome::{Ended, Outcome, failure};
use super::statements::begin_for_sure;
use super::supervisor::Context;
use crate::archive::{ArchiveError, Content, FileFacts, Place, RowPieces, StoreError, Stored};
use crate::fault;
use crate::ledger::WHOLE;
use crate::model::{DumpId, MultisetDigest, Oid, Rows, SqlText};
use crate::pg::PgError;
use crate::pg::wire::{Feed, Moment, Piece, Relayed, Supply, Wire, feed, supply};
use crate::plan::{CopyUnit, Statement};

/// How much is sent at once.
const PIECE: usize = 64 << 10;

/// Large objects travel in parts of this size.
const PART: u64 = 1 << 20;

/// Signature, flags and length of the header extension of a binary COPY.
const BINARY_HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// An archive that is loaded.
pub struct Loading {
    /// Where everything is.
    pub stored: Stored,
    /// What its manifest says, if it has one.
    pub expected: Option<Loaded>,
    loaded: Mutex<Loaded>,
}

/// What the files of an archive hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// By `TABLE DATA` entry.
    pub tables: HashMap<DumpId, Content>,
    /// By OID.
    pub objects: HashMap<Oid, FileFacts>,
}

impl Loading {
    /// Nothing of it so far.
    pub fn new(stored: Stored, expected: Option<Loaded>) -> Self {
        Self {
            stored,
            expected,
            loaded: Mutex::default(),
        }
    }

    /// What has been read and committed.
    pub fn loaded(&self) -> Loaded {
        self.noted().clone()
    }

    fn noted(&self) -> MutexGuard<'_, Loaded> {
        // Nothing panics while it holds the lock; if something did, what is noted would still be true.
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the rows of a table are, and what the manifest says of them, if there is one.
    fn rows_of(&self, unit: &CopyUnit) -> Result<(DumpId, Place, Option<Content>), PgError> {
        let missing = || PgError::Supply {
            what: format!("the rows of {} are not in the archive", unit.table.shown()),
        };
        let entry = unit.rows_in.ok_or_else(missing)?;
        let place = self.stored.rows(entry).ok_or_else(missing)?.clone();
        let said = self.expected.as_ref().map(|all| all.tables.get(&entry));
        match said {
            None => Ok((entry, place, None)),
            Some(Some(expected)) => Ok((entry, place, Some(*expected))),
            Some(None) => Err(supply_error(&place.broken("the manifest does not know it"))),
        }
    }
}

/// Loads tables whole, in one transaction.
pub(super) async fn tables(
    context: &Context,
    attempt: &Attempt<'_>,
    load: &Load<'_>,
    archive: &Arc<Loading>,
) -> Result<Outcome, PgError> {
    let mut target = context.target.take().await?;
    let loaded = load_tables(context, attempt, (load, archive), &mut target).await;
    match loaded {
        Ok(outcome) => {
            context.remark(attempt.job, &mut target);
            context.target.give_back(target);
            Ok(outcome)
        }
        Err(error) => {
            context.target.give_up(target);
            Err(error)
        }
    }
}

async fn load_tables(
    context: &Context,
    attempt: &Attempt<'_>,
    (load, archive): (&Load<'_>, &Arc<Loading>),
    target: &mut Wire,
) -> Result<Outcome, PgError> {
    let job = attempt.job;
    let units = || {
        let parts = load.parts.iter();
        parts.map(|part| &context.plan.tables[part.table])
    };
    let mut read = Vec::with_capacity(load.parts.len());
    let mut copies = Vec::with_capacity(load.parts.len());
    for unit in units() {
        let (entry, place, expected) = archive.rows_of(unit)?;
        let noted: Arc<OnceLock<Content>> = Arc::default();
        copies.push((unit.copy_in(), rows(place, expected, Arc::clone(&noted))));
        read.push((entry, noted));
    }
    let feeding = Feed {
        opening: &opening(context, job, load.parts),
        copies,
        tell: &|moment| match moment {
            Moment::Opened => fault::point_of("copy-opened", || &job.label),
            Moment::BetweenLegs => fault::point_of("copy-between-tables", || &job.label),
        },
    };
    let sent = feed(target, feeding, attempt.gauge).await?;
    let mut outcome = Outcome::default();
    let mut lines = Vec::new();
    let mut total = Relayed::default();
    let mut contents = Vec::new();
    for ((part, unit), ((entry, noted), (_, bytes))) in load
        .parts
        .iter()
        .zip(units())
        .zip(read.into_iter().zip(sent))
    {
        let held = noted.get().copied().unwrap_or_default();
        let relayed = Relayed {
            digest: held.digest,
            bytes,
        };
        lines.push(line(part.number, &unit.table.name, &relayed));
        total = [total, relayed].into_iter().sum();
        contents.push((entry, held));
    }
    if load.whole {
        lines.push(line(WHOLE, &job.label, &total));
    }
    (outcome.rows, outcome.bytes) = (total.digest.rows, total.bytes);
    let shielded = units().flat_map(|unit| unit.shield.after.clone()).collect();
    fault::point_of("copy-ended", || &job.label);
    commit(target, attempt, shielded, (&lines, &mut outcome)).await?;
    archive.noted().tables.extend(contents);
    fault::point_of("copy-committed", || &job.label);
    Ok(outcome)
}

/// The rows of a table, which must be what is expected, if anything is.
fn rows(place: Place, expected: Option<Content>, noted: Arc<OnceLock<Content>>) -> Supply {
    supply(move |hand_out| {
        let broken = |what: String| supply_error(&place.broken(&what));
        let unreadable = |error: io::Error| match lost_store(&place, error) {
            Ok(lost) => lost,
            Err(error) => broken(format!("it cannot be read: {error}")),
        };
        let mut rows = RowPieces::new(place.open().map_err(unreadable)?);
        let mut told = Rows(0);
        let mut is_more = true;
        while is_more {
            let mut piece = Piece::with_capacity(3 * PIECE);
            while is_more && piece.size() < PIECE {
                is_more = rows.next(piece.content()).map_err(unreadable)?;
            }
            piece.count(Rows(rows.rows().0 - told.0));
            told = rows.rows();
            if piece.size() > 0 && !hand_out(piece) {
                return Err(not_taken());
            }
        }
        let content = rows.finish().map_err(broken)?;
        if let Some(expected) = expected.filter(|expected| *expected != content) {
            return Err(broken(format!(
                "it holds {}, the manifest says {}",
                content.digest, expected.digest
            )));
        }
        let _ = noted.set(content);
        Ok(content.digest.rows)
    })
}

fn supply_error(error: &ArchiveError) -> PgError {
    PgError::Supply {
        what: error.to_string(),
    }
}

/// A store that nobody answers for may answer another time, as a server may.
fn lost_store(place: &Place, error: io::Error) -> Result<PgError, io::Error> {
    let inner = error.get_ref();
    let of_store = inner.and_then(|inner| inner.downcast_ref::<StoreError>());
    if !of_store.is_some_and(StoreError::may_pass) {
        return Err(error);
    }
    let doing = format!("reading {}", place.name());
    Ok(PgError::Io {
        doing,
        source: error,
    })
}

/// Whoever was to take it has another error to tell.
fn not_taken() -> PgError {
    PgError::Supply {
        what: "the target takes no more".to_owned(),
    }
}

/// Loads large objects, with their owners, in one transaction.
pub(super) async fn large_objects(
    context: &Context,
    attempt: &Attempt<'_>,
    (oids, statements): (&[Oid], &[Statement]),
    archive: &Arc<Loading>,
) -> Ended {
    let mut target = context.target.take().await?;
    match load_objects(attempt, (oids, statements), archive, &mut target).await {
        Ok(outcome) => {
            context.remark(attempt.job, &mut target);
            context.target.give_back(target);
            Ok(outcome)
        }
        Err(error) => {
            context.target.give_up(target);
            let mut outcome = Outcome::default();
            outcome.fail(failure(attempt, None, error)?);
            Ok(outcome)
        }
    }
}

async fn load_objects(
    attempt: &Attempt<'_>,
    (oids, statements): (&[Oid], &[Statement]),
    archive: &Arc<Loading>,
    target: &mut Wire,
) -> Result<Outcome, PgError> {
    let job = attempt.job;
    let mut opening = begin_for_sure(job, &[]).to_vec();
    opening.push(SqlText::from(STAGE));
    let read: Arc<OnceLock<Vec<(Oid, FileFacts)>>> = Arc::default();
    let copy_in = SqlText::from("copy pg_temp.pgconvoy_stage from stdin (format binary)");
    let content = objects(archive, oids.to_vec(), Arc::clone(&read));
    let feeding = Feed {
        opening: &opening,
        copies: vec![(copy_in, content)],
        tell: &|moment| {
            if moment == Moment::Opened {
                fault::point("large-objects-opened");
            }
        },
    };
    let sent = feed(target, feeding, attempt.gauge).await?;
    fault::point("large-objects-staged");
    let relayed = Relayed {
        digest: MultisetDigest {
            rows: Rows(oids.len() as u64),
            ..MultisetDigest::default()
        },
        bytes: sent.iter().map(|(_, bytes)| *bytes).sum(),
    };
    let mut outcome = Outcome {
        rows: relayed.digest.rows,
        bytes: relayed.bytes,
        ..Outcome::default()
    };
    let mut closing: Vec<SqlText> = UNSTAGE.map(SqlText::from).to_vec();
    closing.extend(statements.iter().map(|statement| statement.sql.clone()));
    let lines = [line(WHOLE, &job.label, &relayed)];
    commit(target, attempt, closing, (&lines, &mut outcome)).await?;
    let read = read.get().cloned().unwrap_or_default();
    archive.noted().objects.extend(read);
    fault::point("large-objects-committed");
    Ok(outcome)
}

/// Large objects as a binary COPY of OID, number of the part, bytes; every object has a part 0.
fn objects(
    archive: &Arc<Loading>,
    oids: Vec<Oid>,
    noted: Arc<OnceLock<Vec<(Oid, FileFacts)>>>,
) -> Supply {
    let archive = Arc::clone(archive);
    supply(move |hand_out| {
        let mut first = Piece::with_capacity(BINARY_HEADER.len());
        first.content().extend_from_slice(BINARY_HEADER);
        let mut parts = Rows(0);
        let mut read = Vec::with_capacity(oids.len());
        let mut taken = hand_out(first);
        for oid in oids {
            let facts = object(&archive, oid, &mut |piece| {
                parts += Rows(1);
                taken = taken && hand_out(piece);
                taken
            })?;
            read.push((oid, facts));
        }
        let mut last = Piece::with_capacity(2);
        last.content().extend_from_slice(&[0xff, 0xff]);
        if !(taken && hand_out(last)) {
            return Err(not_taken());
        }
        let _ = noted.set(read);
        Ok(parts)
    })
}

fn object(
    archive: &Loading,
    oid: Oid,
    hand_out: &mut dyn FnMut(Piece) -> bool,
) -> Result<FileFacts, PgError> {
    let place = archive.stored.object(oid).ok_or_else(|| PgError::Supply {
        what: format!("large object {oid} is not in the archive"),
    })?;
    let about = |what: String| place.broken(&format!("large object {oid}: {what}"));
    let unreadable = |error: io::Error| match lost_store(place, error) {
        Ok(lost) => lost,
        Err(error) => supply_error(&about(format!("it cannot be read: {error}"))),
    };
    let mut from = place.open().map_err(unreadable)?;
    let mut hash = Xxh3::new();
    let mut bytes = 0;
    for number in 0.. {
        let mut content = Vec::new();
        let read = from.by_ref().take(PART).read_to_end(&mut content);
        read.map_err(unreadable)?;
        if content.is_empty() && number > 0 {
            break;
        }
        hash.update(&content);
        bytes += content.len() as u64;
        if !hand_out(part(oid, number, &content)) {
            return Err(not_taken());
        }
        if (content.len() as u64) < PART || from.fill_buf().map_err(unreadable)?.is_empty() {
            break;
        }
    }
    let facts = FileFacts {
        bytes,
        xxh3: hash.digest128(),
    };
    let expected = archive.expected.as_ref();
    match expected.map(|all| all.objects.get(&oid)) {
        Some(None) => Err(supply_error(&about(
            "the manifest does not know it".to_owned(),
        ))),
        Some(Some(expected)) if *expected != facts => Err(supply_error(&about(format!(
            "it holds {bytes} bytes, hash {:032x}; the manifest says {}, {:032x}",
            facts.xxh3, expected.bytes, expected.xxh3
        )))),
        _ => Ok(facts),
    }
}

/// A row of three fields.
fn part(oid: Oid, number: u32, content: &[u8]) -> Piece {
    let mut piece = Piece::with_capacity(content.len() + 22);
    let row = piece.content();
    row.extend_from_slice(&[0, 3, 0, 0, 0, 4]);
    row.extend_from_slice(&oid.0.to_be_bytes());
    row.extend_from_slice(&[0, 0, 0, 4]);
    row.extend_from_slice(&number.to_be_bytes());
    // No part is longer than a megabyte.
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    row.extend_from_slice(&length.to_be_bytes());
    row.extend_from_slice(content);
    piece.count(Rows(1));
    piece
}
