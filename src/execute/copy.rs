//! Tables and chunks through the relay.

use std::collections::HashSet;
use std::time::Instant;

use super::outcome::{Ended, Found, Outcome, failure};
use super::statements::begin;
use super::supervisor::Context;
use crate::event::EntryRef;
use crate::fault;
use crate::ledger::{self, Mark};
use crate::model::{DumpId, Rows, SqlText, VerifyLevel};
use crate::pg::PgError;
use crate::pg::wire::{Ends, Gauge, Relayed, Wire, relay};
use crate::plan::{CopyUnit, Job, Range};

/// Both ends of the road.
struct Wires {
    source: Wire,
    target: Wire,
}

/// Copies tables whole, in one transaction; each in its own when one of them fails.
pub(super) async fn tables(
    context: &Context,
    job: &Job,
    tables: &[usize],
    broken: &HashSet<DumpId>,
    gauge: &Gauge,
) -> Ended {
    let is_whole = |table: &&usize| {
        context.plan.tables[**table]
            .entry
            .is_none_or(|entry| !broken.contains(&entry))
    };
    let tables: Vec<usize> = tables.iter().filter(is_whole).copied().collect();
    match together(context, job, (&tables, &job.label), gauge).await {
        Ok(outcome) => Ok(outcome),
        Err(error) if error.is_lost_connection() => Err(error),
        Err(error) if tables.len() == 1 => Ok(failed(context, tables[0], error)?),
        Err(_) => {
            let mut outcome = Outcome::default();
            for table in tables {
                let part = format!("{}: {}", job.label, context.plan.tables[table].table);
                match together(context, job, (&[table], &part), gauge).await {
                    Ok(one) => outcome.merge(one),
                    Err(error) => outcome.merge(failed(context, table, error)?),
                }
            }
            Ok(outcome)
        }
    }
}

/// Copies a part of a table.
pub(super) async fn chunk(
    context: &Context,
    job: &Job,
    (table, range): (usize, &Range),
    gauge: &Gauge,
) -> Ended {
    let unit = &context.plan.tables[table];
    let range = if fault::strikes("hole-between-chunks") {
        &Range::Block {
            from: 0,
            to: Some(0),
        }
    } else {
        range
    };
    let mut wires = context.wires().await?;
    let done = async {
        wires.target.execute(&begin(job, &[])).await?;
        fault::point_of("chunk-opened", || &job.label);
        let (found, relayed) = wires.copy(unit, table, Some(range), gauge).await?;
        fault::point_of("chunk-ended", || &job.label);
        wires.commit(job, &job.label, relayed).await?;
        fault::point_of("chunk-committed", || &job.label);
        Ok::<_, PgError>(Outcome {
            rows: relayed.digest.rows,
            bytes: relayed.bytes,
            found: vec![found],
            ..Outcome::default()
        })
    };
    match done.await {
        Ok(outcome) => {
            context.give_back(job, wires);
            Ok(outcome)
        }
        Err(error) => {
            context.give_up(wires);
            failed(context, table, error)
        }
    }
}

/// Counts a table on the source, in the snapshot.
pub(super) async fn count(context: &Context, table: usize) -> Ended {
    let mut source = context.source.take().await?;
    match count_rows(&mut source, &context.plan.tables[table]).await {
        Ok(rows) => {
            fault::point("counted");
            context.source.give_back(source);
            Ok(Outcome {
                rows,
                found: vec![Found::Counted { table, rows }],
                ..Outcome::default()
            })
        }
        Err(error) => {
            context.source.give_up(source);
            failed(context, table, error)
        }
    }
}

async fn together(
    context: &Context,
    job: &Job,
    (tables, what): (&[usize], &str),
    gauge: &Gauge,
) -> Result<Outcome, PgError> {
    let mut outcome = Outcome::default();
    if tables.is_empty() {
        return Ok(outcome);
    }
    let mut wires = context.wires().await?;
    let done = async {
        wires
            .target
            .execute_all(&opening(context, job, tables))
            .await
            .map_err(|(_, error)| error)?;
        fault::point_of("copy-opened", || what);
        let mut total = Relayed::default();
        for &table in tables {
            if !outcome.found.is_empty() {
                fault::point_of("copy-between-tables", || what);
            }
            let unit = &context.plan.tables[table];
            let (found, relayed) = wires.copy(unit, table, None, gauge).await?;
            total.digest += relayed.digest;
            total.bytes += relayed.bytes;
            outcome.found.push(found);
            if context.plan.verify != VerifyLevel::None {
                let rows = count_rows(&mut wires.source, unit).await?;
                outcome.found.push(Found::Counted { table, rows });
            }
        }
        fault::point_of("copy-ended", || what);
        wires.commit(job, what, total).await?;
        fault::point_of("copy-committed", || what);
        Ok::<_, PgError>(total)
    };
    match done.await {
        Ok(total) => {
            context.give_back(job, wires);
            Ok(Outcome {
                rows: total.digest.rows,
                bytes: total.bytes,
                ..outcome
            })
        }
        Err(error) => {
            context.give_up(wires);
            Err(error)
        }
    }
}

/// BEGIN, and TRUNCATE for what is loaded with FREEZE, which asks for a table that this transaction created or emptied.
fn opening(context: &Context, job: &Job, tables: &[usize]) -> Vec<SqlText> {
    let freezable = tables
        .iter()
        .map(|&table| &context.plan.tables[table])
        .filter(|unit| unit.freeze);
    let names: Vec<String> = freezable
        .map(|unit| format!("only {}", unit.into))
        .collect();
    let mut statements = vec![begin(job, &[])];
    if !names.is_empty() {
        statements.push(SqlText::from(format!(
            "truncate table {}",
            names.join(", ")
        )));
    }
    statements
}

impl Wires {
    async fn copy(
        &mut self,
        unit: &CopyUnit,
        table: usize,
        range: Option<&Range>,
        gauge: &Gauge,
    ) -> Result<(Found, Relayed), PgError> {
        let started = Instant::now();
        let ends = Ends {
            source: &mut self.source,
            copy_out: &unit.copy_out(range),
            target: &mut self.target,
            copy_in: &unit.copy_in(),
        };
        let relayed = relay(ends, &unit.format, gauge).await?;
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok((
            Found::Copied {
                table,
                digest: relayed.digest,
                bytes: relayed.bytes,
                duration_ms,
            },
            relayed,
        ))
    }

    /// The commit point: rows and done-mark together.
    async fn commit(&mut self, job: &Job, what: &str, relayed: Relayed) -> Result<(), PgError> {
        let mark = Mark {
            rows: relayed.digest.rows,
            bytes: relayed.bytes,
            digest: Some(relayed.digest),
        };
        let mut statements = vec![ledger::mark(job.id, what, &mark)];
        statements.extend(fault::stall("copy-uncommitted", what).map(SqlText::from));
        statements.push(SqlText::from("commit"));
        self.target
            .execute_all(&statements)
            .await
            .map_err(|(_, error)| error)
    }
}

impl Context {
    async fn wires(&self) -> Result<Wires, PgError> {
        let target = self.target.take().await?;
        match self.source.take().await {
            Ok(source) => Ok(Wires { source, target }),
            Err(error) => {
                self.target.give_back(target);
                Err(error)
            }
        }
    }

    fn give_back(&self, job: &Job, mut wires: Wires) {
        self.remark(job, &mut wires.target);
        self.source.give_back(wires.source);
        self.target.give_back(wires.target);
    }

    /// After an error neither transaction can go on: both sessions are closed, and their servers roll back.
    fn give_up(&self, wires: Wires) {
        self.source.give_up(wires.source);
        self.target.give_up(wires.target);
    }
}

/// Counts a table regardless of how it is read, so that a hole between two chunks shows.
async fn count_rows(source: &mut Wire, unit: &CopyUnit) -> Result<Rows, PgError> {
    let condition = unit.condition.as_deref().unwrap_or_default();
    let sql = format!("select count(*) from only {} {condition}", unit.table);
    source.count(&SqlText::from(sql)).await
}

/// A table that did not arrive breaks its entry, and with it everything that is built on it.
fn failed(context: &Context, table: usize, error: PgError) -> Ended {
    let unit = &context.plan.tables[table];
    let entry = unit.entry.map(|dump_id| EntryRef {
        dump_id,
        desc: "TABLE DATA".into(),
        tag: format!("{} {}", unit.table.schema, unit.table.name),
        owner: String::new(),
    });
    let mut outcome = Outcome::default();
    outcome.fail(failure(entry, error)?);
    Ok(outcome)
}
