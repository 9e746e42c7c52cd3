//! A chunk of a large table: its share of the rows of a file, in a transaction of its own.

use std::sync::{Arc, OnceLock};

use super::Loading;
use super::dealer::Share;
use crate::execute::attempt::Attempt;
use crate::execute::copy::{commit, line, settings};
use crate::execute::outcome::Outcome;
use crate::execute::statements::begin_for_sure;
use crate::execute::supervisor::Context;
use crate::fault;
use crate::ledger::WHOLE;
use crate::pg::PgError;
use crate::pg::wire::{Feed, Moment, Relayed, Wire, feed};
use crate::plan::{Job, Range, Stripes, Work};

/// Loads a chunk that is in a file; nothing if it is on a server.
pub(in crate::execute) async fn chunk(
    context: &Context,
    attempt: &Attempt<'_>,
    (table, range): (usize, &Range),
) -> Option<Result<Outcome, PgError>> {
    match (range, &context.archive) {
        (Range::Stripes(stripes), Some(archive)) => {
            Some(out_of(archive, context, attempt, (table, *stripes)).await)
        }
        (Range::Block { .. } | Range::Key { .. }, None) => None,
        _ => {
            let table = context.plan.tables[table].table.shown();
            let what = format!("the plan has the rows of {table} in another place than the run");
            Some(Err(PgError::Supply { what }))
        }
    }
}

async fn out_of(
    archive: &Loading,
    context: &Context,
    attempt: &Attempt<'_>,
    chunk: (usize, Stripes),
) -> Result<Outcome, PgError> {
    // Before it has a seat at the reader, where others would wait for it.
    let mut target = context.target.lend().await?;
    let outcome = load(context, attempt, chunk, (archive, &mut target)).await?;
    context.remark(attempt.job, &mut target);
    target.give_back();
    Ok(outcome)
}

async fn load(
    context: &Context,
    attempt: &Attempt<'_>,
    (table, stripes): (usize, Stripes),
    (archive, target): (&Loading, &mut Wire),
) -> Result<Outcome, PgError> {
    let job = attempt.job;
    let unit = &context.plan.tables[table];
    let file = archive.rows_of(unit)?;
    let entry = file.entry;
    let hand = archive.dealers.join(file, stripes, to_come(context, table));
    let noted: Arc<OnceLock<Share>> = Arc::default();
    let feeding = Feed {
        opening: &begin_for_sure(job, settings([unit])),
        copies: vec![(unit.copy_in(), hand.supply(Arc::clone(&noted)))],
        tell: &|moment| {
            if moment == Moment::Opened {
                fault::point_of("chunk-opened", || &job.label);
            }
        },
    };
    let sent = feed(target, feeding, attempt.gauge).await?;
    let share = noted.get().ok_or_else(|| PgError::Supply {
        what: format!(
            "it is not known what the rows of {} were",
            unit.table.shown()
        ),
    })?;
    let relayed = Relayed {
        digest: share.own.digest,
        bytes: sent.iter().map(|(_, bytes)| *bytes).sum(),
    };
    let mut outcome = Outcome {
        rows: relayed.digest.rows,
        bytes: relayed.bytes,
        ..Outcome::default()
    };
    fault::point_of("chunk-ended", || &job.label);
    let lines = [line(WHOLE, &job.label, &relayed)];
    commit(target, attempt, Vec::new(), (&lines, &mut outcome)).await?;
    archive.noted().tables.insert(entry, share.whole);
    fault::point_of("chunk-committed", || &job.label);
    Ok(outcome)
}

/// How many chunks of a table this session has to load, as far as they can be loaded at the same time.
fn to_come(context: &Context, table: usize) -> usize {
    let earlier = &context.earlier;
    let is_left = |job: &&Job| {
        let is_of_table = matches!(&job.work, Work::CopyChunk { table: its, .. } if *its == table);
        is_of_table && !earlier.marks.whole(job.id) && !earlier.failed.contains_key(&job.id)
    };
    let left = context.plan.jobs.iter().filter(is_left).count();
    left.min(usize::try_from(context.plan.workers).unwrap_or(usize::MAX))
}
