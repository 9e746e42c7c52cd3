//! Large objects, through the same relay: into a temporary table, and from there, on the server, into being.

use super::attempt::Attempt;
use super::copy;
use super::outcome::{Ended, Found, Measured, Outcome, failure};
use super::statements::begin_for_sure;
use super::supervisor::Context;
use crate::catalog::{LargeObject, large_object_content};
use crate::fault;
use crate::ledger::{Line, Mark, WHOLE};
use crate::model::{MultisetDigest, Oid, RowLayout, Rows, SqlText};
use crate::pg::wire::{Bundle, Ends, Gauge, Leg, Moment, Relayed, Wire, read_copy, relay};
use crate::pg::{PgError, Pool};
use crate::plan::Statement;

pub(super) const STAGE: &str =
    "create temporary table pgconvoy_stage (oid oid, part int4, data bytea) on commit drop";

/// The first part makes the object, the others follow.
pub(super) const UNSTAGE: [&str; 2] = [
    "select pg_catalog.lo_from_bytea(oid, data) from pg_temp.pgconvoy_stage where part = 0",
    "select pg_catalog.lo_put(oid, part::int8 * 1048576, data) from pg_temp.pgconvoy_stage where part > 0",
];

/// Copies large objects with their owners, grants and comments; reads them again on the source if that was done before.
pub(super) async fn copy(
    context: &Context,
    attempt: &Attempt<'_>,
    (objects, statements): (&[LargeObject], &[Statement]),
) -> Ended {
    let oids: Vec<Oid> = objects.iter().map(|object| object.oid).collect();
    let Some(&first) = oids.first() else {
        return Ok(Outcome::default());
    };
    if attempt.is_done(WHOLE) && context.archive.is_some() {
        return Ok(Outcome::default());
    }
    if attempt.is_done(WHOLE) {
        return read_again(context, attempt, &oids).await;
    }
    if let Some(failure) = attempt.failed_before(WHOLE) {
        let mut outcome = Outcome::default();
        outcome.fail(failure.clone());
        return Ok(outcome);
    }
    if let Some(archive) = &context.archive {
        return super::load::large_objects(context, attempt, (&oids, statements), archive).await;
    }
    let copy::Wires {
        mut source,
        mut target,
    } = context.wires().await?;
    let mut outcome = Outcome::default();
    let mut wires = (&mut source, &mut target);
    let copied = copy_in_transaction(&mut wires, attempt, (&oids, statements), &mut outcome).await;
    match copied {
        Ok((Relayed { digest, bytes }, measured)) => {
            context.remark(attempt.job, &mut target);
            context.source.give_back(source);
            context.target.give_back(target);
            outcome.rows = Rows(oids.len() as u64);
            outcome.bytes = bytes;
            outcome.found.push(Found::LargeObjectsCopied {
                first,
                digest,
                measured,
            });
            Ok(outcome)
        }
        Err(error) => {
            context.source.give_up(source);
            context.target.give_up(target);
            let mut outcome = Outcome::default();
            outcome.fail(failure(attempt, None, error)?);
            Ok(outcome)
        }
    }
}

/// One side's large objects, by content and by size.
async fn content(
    wire: &mut Wire,
    oids: &[Oid],
    gauge: &Gauge,
) -> Result<(Relayed, Measured), PgError> {
    let relayed = read_copy(wire, &copy_out(oids), RowLayout::PLAIN, gauge).await?;
    Ok((relayed, measure(wire, oids).await?))
}

/// What an earlier session, or an attempt of this one, has copied: the source's side of the evidence.
async fn read_again(context: &Context, attempt: &Attempt<'_>, oids: &[Oid]) -> Ended {
    let mut source = context.source.take().await?;
    let read = content(&mut source, oids, attempt.gauge).await;
    settle_reading(&context.source, source, attempt, (oids, read), |side| {
        Found::LargeObjectsCopied {
            first: side.first,
            digest: side.digest,
            measured: side.measured,
        }
    })
}

/// Reads large objects of the target.
pub(super) async fn read(context: &Context, attempt: &Attempt<'_>, oids: &[Oid]) -> Ended {
    let mut target = context.target.take().await?;
    let read = content(&mut target, oids, attempt.gauge).await;
    settle_reading(&context.target, target, attempt, (oids, read), |side| {
        Found::LargeObjectsRead {
            first: side.first,
            digest: side.digest,
            measured: side.measured,
        }
    })
}

/// What was read of one side.
struct SideRead {
    first: Oid,
    digest: MultisetDigest,
    measured: Measured,
}

fn settle_reading(
    pool: &Pool,
    wire: Wire,
    attempt: &Attempt<'_>,
    (oids, read): (&[Oid], Result<(Relayed, Measured), PgError>),
    found: impl FnOnce(SideRead) -> Found,
) -> Ended {
    let mut outcome = Outcome::default();
    match read {
        Ok((Relayed { digest, bytes }, measured)) => {
            pool.give_back(wire);
            outcome.rows = Rows(oids.len() as u64);
            outcome.bytes = bytes;
            let side = oids.first().map(|&first| SideRead {
                first,
                digest,
                measured,
            });
            outcome.found.extend(side.map(found));
        }
        Err(error) => {
            pool.give_up(wire);
            outcome.fail(failure(attempt, None, error)?);
        }
    }
    Ok(outcome)
}

fn copy_out(oids: &[Oid]) -> SqlText {
    SqlText::from(format!(
        "copy ({}) to stdout (format binary)",
        large_object_content(oids)
    ))
}

async fn copy_in_transaction(
    (source, target): &mut (&mut Wire, &mut Wire),
    attempt: &Attempt<'_>,
    (oids, statements): (&[Oid], &[Statement]),
    outcome: &mut Outcome,
) -> Result<(Relayed, Measured), PgError> {
    let job = attempt.job;
    let measured = measure(source, oids).await?;
    let leg = Leg {
        copy_out: copy_out(oids),
        copy_in: SqlText::from("copy pg_temp.pgconvoy_stage from stdin (format binary)"),
        layout: RowLayout::PLAIN,
        count: None,
    };
    let mut opening = begin_for_sure(job, &[]).to_vec();
    opening.push(SqlText::from(STAGE));
    let bundle = Bundle {
        opening: &opening,
        legs: &[leg],
        tell: &|moment| {
            if moment == Moment::Opened {
                fault::point("large-objects-opened");
            }
        },
    };
    let ends = Ends { source, target };
    let passed = relay(ends, &bundle, attempt.gauge).await?;
    let relayed: Relayed = passed.iter().map(|leg| leg.relayed).sum();
    fault::point("large-objects-staged");
    let line = Line {
        part: WHOLE,
        what: &job.label,
        mark: Mark {
            rows: Rows(oids.len() as u64),
            bytes: relayed.bytes,
            digest: Some(relayed.digest),
        },
    };
    let mut closing: Vec<SqlText> = UNSTAGE.map(SqlText::from).to_vec();
    closing.extend(fault::stall("large-objects-made", "").map(SqlText::from));
    closing.extend(statements.iter().map(Statement::text));
    closing.push(attempt.mark(&[line], outcome));
    closing.extend(fault::stall("large-objects-uncommitted", "").map(SqlText::from));
    closing.push(SqlText::from("commit"));
    target
        .execute_all(&closing)
        .await
        .map_err(|(_, error)| error)?;
    fault::point("large-objects-committed");
    Ok((relayed, measured))
}

/// Number and size of large objects, by another way than the one that copies them.
async fn measure(wire: &mut Wire, oids: &[Oid]) -> Result<Measured, PgError> {
    const QUERY: &str = include_str!("../../sql/verify/large_object_sizes.sql");
    let list: Vec<String> = oids.iter().map(ToString::to_string).collect();
    let sql = QUERY.replace(":oids::", &format!("'{{{}}}'::", list.join(",")));
    let rows = wire.query(&SqlText::from(sql)).await?;
    let number = |column: usize| {
        let text = rows.first()?.get(column)?.as_deref()?;
        std::str::from_utf8(text).ok()?.parse::<u64>().ok()
    };
    let numbers = number(0).zip(number(1));
    let (objects, bytes) = numbers.ok_or_else(|| PgError::Answer {
        query: "large_object_sizes.sql",
        what: "no numbers".into(),
    })?;
    Ok(Measured { objects, bytes })
}
