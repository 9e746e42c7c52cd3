//! Large objects, through the same relay: into a temporary table, and from there, on the server, into being.

use super::outcome::{Ended, Found, Measured, Outcome, failure};
use super::statements::begin;
use super::supervisor::Context;
use crate::catalog::{LargeObject, large_object_content};
use crate::fault;
use crate::ledger::{self, Mark};
use crate::model::{CopyFormat, Oid, Rows, SqlText};
use crate::pg::PgError;
use crate::pg::wire::{Ends, Gauge, Relayed, Wire, read_copy, relay};
use crate::plan::{Job, Statement};

const STAGE: &str =
    "create temporary table pgconvoy_stage (oid oid, part int4, data bytea) on commit drop";

/// The first part makes the object, the others follow.
const UNSTAGE: [&str; 2] = [
    "select pg_catalog.lo_from_bytea(oid, data) from pg_temp.pgconvoy_stage where part = 0",
    "select pg_catalog.lo_put(oid, part::int8 * 1048576, data) from pg_temp.pgconvoy_stage where part > 0",
];

/// Copies large objects with their owners, grants and comments.
pub(super) async fn copy(
    context: &Context,
    job: &Job,
    (objects, statements): (&[LargeObject], &[Statement]),
    gauge: &Gauge,
) -> Ended {
    let oids: Vec<Oid> = objects.iter().map(|object| object.oid).collect();
    let Some(&first) = oids.first() else {
        return Ok(Outcome::default());
    };
    let mut source = context.source.take().await?;
    let mut target = context.target.take().await?;
    let copied =
        copy_in_transaction(&mut source, &mut target, job, (&oids, statements), gauge).await;
    match copied {
        Ok((Relayed { digest, bytes }, measured)) => {
            context.remark(job, &mut target);
            context.source.give_back(source);
            context.target.give_back(target);
            let found = vec![Found::LargeObjectsCopied {
                first,
                digest,
                measured,
            }];
            Ok(Outcome {
                rows: Rows(oids.len() as u64),
                bytes,
                found,
                ..Outcome::default()
            })
        }
        Err(error) => {
            context.source.give_up(source);
            context.target.give_up(target);
            let mut outcome = Outcome::default();
            outcome.fail(failure(None, error)?);
            Ok(outcome)
        }
    }
}

/// Reads large objects of the target.
pub(super) async fn read(context: &Context, oids: &[Oid], gauge: &Gauge) -> Ended {
    let Some(&first) = oids.first() else {
        return Ok(Outcome::default());
    };
    let mut target = context.target.take().await?;
    let read = async {
        let relayed = read_copy(&mut target, &copy_out(oids), &CopyFormat::Binary, gauge).await?;
        Ok::<_, PgError>((relayed, measure(&mut target, oids).await?))
    };
    match read.await {
        Ok((Relayed { digest, bytes }, measured)) => {
            context.target.give_back(target);
            let found = vec![Found::LargeObjectsRead {
                first,
                digest,
                measured,
            }];
            Ok(Outcome {
                rows: Rows(oids.len() as u64),
                bytes,
                found,
                ..Outcome::default()
            })
        }
        Err(error) => {
            context.target.give_up(target);
            let mut outcome = Outcome::default();
            outcome.fail(failure(None, error)?);
            Ok(outcome)
        }
    }
}

fn copy_out(oids: &[Oid]) -> SqlText {
    SqlText::from(format!(
        "copy ({}) to stdout (format binary)",
        large_object_content(oids)
    ))
}

async fn copy_in_transaction(
    source: &mut Wire,
    target: &mut Wire,
    job: &Job,
    (oids, statements): (&[Oid], &[Statement]),
    gauge: &Gauge,
) -> Result<(Relayed, Measured), PgError> {
    let opening = [begin(job, &[]), SqlText::from(STAGE)];
    target
        .execute_all(&opening)
        .await
        .map_err(|(_, error)| error)?;
    fault::point("large-objects-opened");
    let measured = measure(source, oids).await?;
    let ends = Ends {
        source,
        copy_out: &copy_out(oids),
        target: &mut *target,
        copy_in: &SqlText::from("copy pg_temp.pgconvoy_stage from stdin (format binary)"),
    };
    let relayed = relay(ends, &CopyFormat::Binary, gauge).await?;
    fault::point("large-objects-staged");
    let mark = Mark {
        rows: Rows(oids.len() as u64),
        bytes: relayed.bytes,
        digest: Some(relayed.digest),
    };
    let mut closing: Vec<SqlText> = UNSTAGE.map(SqlText::from).to_vec();
    closing.extend(fault::stall("large-objects-made", "").map(SqlText::from));
    closing.extend(statements.iter().map(|statement| statement.sql.clone()));
    closing.push(ledger::mark(job.id, &job.label, &mark));
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
