//! Large objects out of an archive, as a binary COPY of their parts.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read as _};
use std::sync::{Arc, OnceLock};

use xxhash_rust::xxh3::Xxh3;

use super::{Broken, Loading, not_taken};
use crate::archive::{Asked, FileFacts, Place};
use crate::execute::attempt::Attempt;
use crate::execute::copy::{commit, line};
use crate::execute::large_objects::{STAGE, UNSTAGE};
use crate::execute::outcome::{Ended, Outcome, failure};
use crate::execute::statements::begin_for_sure;
use crate::execute::supervisor::Context;
use crate::fault;
use crate::ledger::WHOLE;
use crate::model::{MultisetDigest, Oid, Rows, SqlText};
use crate::pg::PgError;
use crate::pg::wire::{BINARY_HEADER, Feed, Moment, Piece, Relayed, Supply, Wire, feed, supply};
use crate::plan::Statement;

/// Large objects travel in parts of this size.
const PART: u64 = 1 << 20;

/// Objects that are asked for at the same time: of a store most of the time is spent waiting for its answer.
const AT_ONCE: usize = 8;

/// Loads large objects, with their owners, in one transaction.
pub(in crate::execute) async fn large_objects(
    context: &Context,
    attempt: &Attempt<'_>,
    (oids, statements): (&[Oid], &[Statement]),
    archive: &Arc<Loading>,
) -> Ended {
    let mut target = context.target.lend().await?;
    match load_objects(attempt, (oids, statements), archive, &mut target).await {
        Ok(outcome) => {
            context.remark(attempt.job, &mut target);
            target.give_back();
            Ok(outcome)
        }
        Err(error) => {
            drop(target);
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
    closing.extend(statements.iter().map(Statement::text));
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
        let places: Vec<&Place> = oids
            .iter()
            .map(|&oid| place_of(&archive, oid))
            .collect::<Result<_, _>>()?;
        let mut asked: VecDeque<Asked<'_>> = VecDeque::new();
        let mut next = places.iter();
        for (&oid, &place) in oids.iter().zip(&places) {
            let room = AT_ONCE.saturating_sub(asked.len());
            asked.extend(next.by_ref().take(room).map(|place| place.ask()));
            let asked = asked.pop_front().unwrap_or_else(|| place.ask());
            let facts = object(&archive, (oid, place, asked), &mut |piece| {
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

fn place_of(archive: &Loading, oid: Oid) -> Result<&Place, PgError> {
    let place = archive.stored.object(oid);
    place.ok_or_else(|| PgError::Supply {
        what: format!("large object {oid} is not in the archive"),
    })
}

fn object(
    archive: &Loading,
    (oid, place, asked): (Oid, &Place, Asked<'_>),
    hand_out: &mut dyn FnMut(Piece) -> bool,
) -> Result<FileFacts, PgError> {
    let about = |what: String| Broken::file(place, &format!("large object {oid}: {what}"));
    let unreadable = |error: io::Error| {
        let of_file = |error| about(format!("it cannot be read: {error}"));
        Broken::road(place, error).unwrap_or_else(of_file)
    };
    let mut from = asked.read().map_err(unreadable)?;
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
        Some(None) => Err(about("the manifest does not know it".to_owned()).into()),
        Some(Some(expected)) if *expected != facts => Err(about(format!(
            "it holds {bytes} bytes, hash {:032x}; the manifest says {}, {:032x}",
            facts.xxh3, expected.bytes, expected.xxh3
        ))
        .into()),
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
