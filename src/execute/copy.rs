//! Tables and chunks through the relay.

use std::time::Instant;

use super::attempt::Attempt;
use super::outcome::{Ended, Found, Outcome, failure};
use super::statements::begin;
use super::supervisor::Context;
use crate::event::EntryRef;
use crate::fault;
use crate::ledger::{Line, Mark, WHOLE};
use crate::model::{Rows, SqlText, VerifyLevel};
use crate::pg::PgError;
use crate::pg::wire::{Ends, Gauge, Relayed, Wire, read_copy, relay};
use crate::plan::{CopyUnit, Job, Plan, Range};

/// Both ends of the road.
pub(super) struct Wires {
    pub source: Wire,
    pub target: Wire,
}

/// A table of a job, and which part of it that is.
#[derive(Clone, Copy)]
struct Part {
    number: u32,
    table: usize,
}

/// What one transaction copies.
struct Load<'a> {
    parts: &'a [Part],
    /// It is the whole job.
    whole: bool,
}

/// Copies tables whole, in one transaction; each in its own when one of them fails. What an earlier session copied is
/// read again on the source: a proof takes nobody's word.
pub(super) async fn tables(context: &Context, attempt: &Attempt<'_>, tables: &[usize]) -> Ended {
    let is_whole = |part: &Part| {
        let entry = context.plan.tables[part.table].entry;
        entry.is_none_or(|entry| !attempt.broken.contains(&entry))
    };
    let parts = tables.iter().zip(1..);
    let parts = parts.map(|(&table, number)| Part { number, table });
    let (done, left): (Vec<Part>, Vec<Part>) = parts
        .filter(is_whole)
        .partition(|part| attempt.is_done(part.number));
    let mut outcome = Outcome::default();
    let (failed_before, left) = left
        .into_iter()
        .partition::<Vec<Part>, _>(|part| attempt.failed_before(part.number).is_some());
    let all_here = done.len() + left.len() == tables.len();
    for part in failed_before {
        let failure = attempt.failed_before(part.number).cloned();
        outcome.fail_part_if(part.number, failure);
    }
    for part in done {
        outcome.merge(read_again(context, attempt, part.table, None).await?);
    }
    if attempt.is_done(WHOLE) {
        return Ok(outcome);
    }
    let load = Load {
        parts: &left,
        whole: all_here,
    };
    match together(context, attempt, &load).await {
        Ok(copied) => outcome.merge(copied),
        Err(error) if attempt.is_undecided(&error) => return Err(error),
        Err(error) if left.len() == 1 => {
            outcome.merge(failed(context, attempt, left[0], error)?);
        }
        Err(_) => {
            for part in left {
                let load = Load {
                    parts: &[part],
                    whole: false,
                };
                match together(context, attempt, &load).await {
                    Ok(copied) => outcome.merge(copied),
                    Err(error) => outcome.merge(failed(context, attempt, part, error)?),
                }
            }
        }
    }
    Ok(outcome)
}

/// Copies a part of a table.
pub(super) async fn chunk(
    context: &Context,
    attempt: &Attempt<'_>,
    (table, range): (usize, &Range),
) -> Ended {
    if attempt.is_done(WHOLE) {
        return read_again(context, attempt, table, Some(range)).await;
    }
    let part = Part {
        number: WHOLE,
        table,
    };
    if let Some(failure) = attempt.failed_before(WHOLE) {
        let mut outcome = Outcome::default();
        outcome.fail(failure.clone());
        return Ok(outcome);
    }
    let job = attempt.job;
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
    let copied = async {
        wires.target.execute(&begin(job, &[])).await?;
        fault::point_of("chunk-opened", || &job.label);
        let (found, relayed) = wires.copy(unit, table, Some(range), attempt.gauge).await?;
        let lines = [line(WHOLE, &job.label, &relayed)];
        let mut outcome = Outcome {
            rows: relayed.digest.rows,
            bytes: relayed.bytes,
            found: vec![found],
            ..Outcome::default()
        };
        fault::point_of("chunk-ended", || &job.label);
        wires
            .commit(attempt, Vec::new(), &lines, &mut outcome)
            .await?;
        fault::point_of("chunk-committed", || &job.label);
        Ok::<_, PgError>(outcome)
    };
    match copied.await {
        Ok(outcome) => {
            context.give_back(job, wires);
            Ok(outcome)
        }
        Err(error) => {
            context.give_up(wires);
            failed(context, attempt, part, error)
        }
    }
}

/// Counts a table on the source, in the snapshot.
pub(super) async fn count(context: &Context, attempt: &Attempt<'_>, table: usize) -> Ended {
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
            let number = WHOLE;
            failed(context, attempt, Part { number, table }, error)
        }
    }
}

/// Reads on the source what an earlier session, or an attempt of this one, has copied.
async fn read_again(
    context: &Context,
    attempt: &Attempt<'_>,
    table: usize,
    range: Option<&Range>,
) -> Ended {
    let unit = &context.plan.tables[table];
    let started = Instant::now();
    let mut source = context.source.take().await?;
    let read = async {
        let relayed = if let Some(known) = context.earlier.known.get(&unit.table) {
            Relayed {
                digest: known.digest,
                bytes: known.bytes,
            }
        } else {
            let copy_out = unit.copy_out(range);
            read_copy(&mut source, &copy_out, &unit.format, attempt.gauge).await?
        };
        fault::point_of("copy-read-again", || &attempt.job.label);
        let mut found = vec![copied(table, &relayed, started)];
        if range.is_none() && context.plan.verify != VerifyLevel::None {
            let rows = count_rows(&mut source, unit).await?;
            found.push(Found::Counted { table, rows });
        }
        Ok::<_, PgError>(Outcome {
            rows: relayed.digest.rows,
            bytes: relayed.bytes,
            found,
            ..Outcome::default()
        })
    };
    match read.await {
        Ok(outcome) => {
            context.source.give_back(source);
            Ok(outcome)
        }
        Err(error) => {
            context.source.give_up(source);
            let number = WHOLE;
            failed(context, attempt, Part { number, table }, error)
        }
    }
}

async fn together(
    context: &Context,
    attempt: &Attempt<'_>,
    load: &Load<'_>,
) -> Result<Outcome, PgError> {
    let mut outcome = Outcome::default();
    if load.parts.is_empty() {
        return Ok(outcome);
    }
    let mut wires = context.wires().await?;
    match wires.load(context, attempt, load, &mut outcome).await {
        Ok(()) => {
            context.give_back(attempt.job, wires);
            Ok(outcome)
        }
        Err(error) => {
            context.give_up(wires);
            Err(error)
        }
    }
}

/// BEGIN, and TRUNCATE for what is loaded with FREEZE, which asks for a table that this transaction created or emptied.
fn opening(context: &Context, job: &Job, parts: &[Part]) -> Vec<SqlText> {
    let freezable = parts
        .iter()
        .map(|part| &context.plan.tables[part.table])
        .filter(|unit| unit.freeze);
    let names: Vec<String> = freezable
        .map(|unit| format!("only {}", unit.into))
        .collect();
    let mut statements = vec![begin(job, &[])];
    for part in parts {
        statements.extend(context.plan.tables[part.table].shield.before.clone());
    }
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
        Ok((copied(table, &relayed, started), relayed))
    }

    /// One transaction: tables, and their marks.
    async fn load(
        &mut self,
        context: &Context,
        attempt: &Attempt<'_>,
        load: &Load<'_>,
        outcome: &mut Outcome,
    ) -> Result<(), PgError> {
        self.target
            .execute_all(&opening(context, attempt.job, load.parts))
            .await
            .map_err(|(_, error)| error)?;
        let mut total = Relayed::default();
        let mut lines = Vec::new();
        fault::point_of("copy-opened", || &attempt.job.label);
        for &Part { number, table } in load.parts {
            if !lines.is_empty() {
                fault::point_of("copy-between-tables", || &attempt.job.label);
            }
            let unit = &context.plan.tables[table];
            let (found, relayed) = self.copy(unit, table, None, attempt.gauge).await?;
            total.digest += relayed.digest;
            total.bytes += relayed.bytes;
            lines.push(line(number, &unit.table.name, &relayed));
            outcome.found.push(found);
            if context.plan.verify != VerifyLevel::None {
                let rows = count_rows(&mut self.source, unit).await?;
                outcome.found.push(Found::Counted { table, rows });
            }
        }
        if load.whole {
            lines.push(line(WHOLE, &attempt.job.label, &total));
        }
        (outcome.rows, outcome.bytes) = (total.digest.rows, total.bytes);
        let units = load
            .parts
            .iter()
            .map(|part| &context.plan.tables[part.table]);
        let shielded = units.flat_map(|unit| unit.shield.after.clone()).collect();
        fault::point_of("copy-ended", || &attempt.job.label);
        self.commit(attempt, shielded, &lines, outcome).await?;
        fault::point_of("copy-committed", || &attempt.job.label);
        Ok(())
    }

    /// The commit point: rows and done-marks together, after what takes a shield away.
    async fn commit(
        &mut self,
        attempt: &Attempt<'_>,
        mut shielded: Vec<SqlText>,
        lines: &[Line<'_>],
        outcome: &mut Outcome,
    ) -> Result<(), PgError> {
        shielded.push(attempt.mark(lines, outcome));
        shielded.extend(fault::stall("copy-uncommitted", &attempt.job.label).map(SqlText::from));
        shielded.push(SqlText::from("commit"));
        self.target
            .execute_all(&shielded)
            .await
            .map_err(|(_, error)| error)
    }
}

fn line<'a>(part: u32, what: &'a str, relayed: &Relayed) -> Line<'a> {
    Line {
        part,
        what,
        mark: Mark {
            rows: relayed.digest.rows,
            bytes: relayed.bytes,
            digest: Some(relayed.digest),
        },
    }
}

fn copied(table: usize, relayed: &Relayed, started: Instant) -> Found {
    Found::Copied {
        table,
        digest: relayed.digest,
        bytes: relayed.bytes,
        duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

impl Context {
    /// A session of each side. Always the target's first: where sessions are scarce, two jobs that each have one and wait for
    /// the other would wait for ever.
    pub async fn wires(&self) -> Result<Wires, PgError> {
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
fn failed(context: &Context, attempt: &Attempt<'_>, part: Part, error: PgError) -> Ended {
    let entry = entry_of(&context.plan, part.table);
    let mut outcome = Outcome::default();
    outcome.fail_part(part.number, failure(attempt, entry, error)?);
    Ok(outcome)
}

/// The entry of a table's rows.
pub(super) fn entry_of(plan: &Plan, table: usize) -> Option<EntryRef> {
    let unit = plan.tables.get(table)?;
    Some(EntryRef {
        dump_id: unit.entry?,
        desc: "TABLE DATA".into(),
        tag: format!("{} {}", unit.table.schema, unit.table.name),
        owner: String::new(),
    })
}
