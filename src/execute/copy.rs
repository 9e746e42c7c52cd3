//! Tables and chunks through the relay.

use std::time::Instant;

use super::attempt::Attempt;
use super::load;
use super::outcome::{Ended, Found, Outcome, failure};
use super::statements::begin_for_sure;
use super::supervisor::Context;
use crate::event::EntryRef;
use crate::fault;
use crate::ledger::{Line, Mark, WHOLE};
use crate::model::{SqlText, VerifyLevel, Word};
use crate::pg::PgError;
use crate::pg::wire::{Bundle, Ends, Leg, Moment, Passed, Question, Relayed, Wire, ask_all, relay};
use crate::plan::{CopyUnit, Job, Plan, Range};

/// Both ends of the road.
pub(super) struct Wires {
    pub source: Wire,
    pub target: Wire,
}

/// A table of a job, and which part of it that is.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub number: u32,
    pub table: usize,
}

/// What one transaction copies.
pub(super) struct Load<'a> {
    pub parts: &'a [Part],
    /// It is the whole job.
    pub whole: bool,
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
    outcome.merge(all_again(context, attempt, &done).await?);
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
    let number = WHOLE;
    let part = Part { number, table };
    if let Some(failure) = attempt.failed_before(WHOLE) {
        let mut outcome = Outcome::default();
        outcome.fail(failure.clone());
        return Ok(outcome);
    }
    if let Some(loaded) = load::chunk(context, attempt, (table, range)).await {
        return loaded.or_else(|error| failed(context, attempt, part, error));
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
        let bundle = Bundle {
            opening: &begin_for_sure(job, settings([unit])),
            legs: &[leg(unit, Some(range), VerifyLevel::None)],
            tell: &|moment| {
                if moment == Moment::Opened {
                    fault::point_of("chunk-opened", || &job.label);
                }
            },
        };
        let passed = relay(wires.ends(), &bundle, attempt.gauge).await?;
        let relayed: Relayed = passed.iter().map(|leg| leg.relayed).sum();
        let lines = [line(WHOLE, &job.label, &relayed)];
        let mut outcome = Outcome {
            rows: relayed.digest.rows,
            bytes: relayed.bytes,
            found: passed
                .iter()
                .flat_map(|leg| found((table, unit), leg))
                .collect(),
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
    match source.count(&context.plan.tables[table].count()).await {
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

/// Reads on the source what an earlier session, or an attempt of this one, has copied: all tables at once, or, if that fails,
/// one after the other, so that the one is named.
async fn all_again(context: &Context, attempt: &Attempt<'_>, parts: &[Part]) -> Ended {
    let mut outcome = Outcome::default();
    if parts.is_empty() {
        return Ok(outcome);
    }
    let tables: Vec<usize> = parts.iter().map(|part| part.table).collect();
    match once_more(context, attempt, &tables, None).await {
        Ok(read) => return Ok(read),
        Err(error) if attempt.is_undecided(&error) => return Err(error),
        Err(_) => attempt.gauge.reset(),
    }
    for table in tables {
        outcome.merge(read_again(context, attempt, table, None).await?);
    }
    Ok(outcome)
}

async fn read_again(
    context: &Context,
    attempt: &Attempt<'_>,
    table: usize,
    range: Option<&Range>,
) -> Ended {
    let number = WHOLE;
    match once_more(context, attempt, &[table], range).await {
        Ok(outcome) => Ok(outcome),
        Err(error) => failed(context, attempt, Part { number, table }, error),
    }
}

/// Reads tables on the source, but for those that this session has read already; the first failure is that of all.
async fn once_more(
    context: &Context,
    attempt: &Attempt<'_>,
    tables: &[usize],
    range: Option<&Range>,
) -> Ended {
    if context.archive.is_some() {
        // The target is compared with the archive when everything is there; who brought it does not matter then.
        return Ok(Outcome::default());
    }
    let started = Instant::now();
    let asks_counts = range.is_none() && context.plan.verify != VerifyLevel::None;
    let unit = |table: usize| &context.plan.tables[table];
    let known = |table: usize| context.earlier.known.get(&unit(table).table);
    let mut questions = Vec::new();
    for &table in tables {
        let unit = unit(table);
        if known(table).is_none() {
            questions.push(Question::Copy(unit.copy_out(range), unit.layout()));
        }
        if asks_counts && unit.can_be_counted() {
            questions.push(Question::Count(unit.count()));
        }
    }
    let mut source = context.source.take().await?;
    for &table in tables {
        set(&mut source, unit(table), true).await?;
    }
    let asked = ask_all(&mut source, &questions, attempt.gauge).await;
    let answers: Result<Vec<Relayed>, PgError> =
        asked.and_then(|answers| answers.into_iter().collect());
    let answers = match answers {
        Ok(answers) => answers,
        Err(error) => {
            context.source.give_up(source);
            return Err(error);
        }
    };
    fault::point_of("copy-read-again", || &attempt.job.label);
    for &table in tables {
        set(&mut source, unit(table), false).await?;
    }
    context.source.give_back(source);
    let mut answers = answers.into_iter();
    let mut outcome = Outcome::default();
    for &table in tables {
        let known = known(table).map(|known| Relayed {
            digest: known.digest,
            bytes: known.bytes,
        });
        let mut next = || {
            answers.next().ok_or_else(|| PgError::Answer {
                query: "reading tables again",
                what: "one of them was not answered".into(),
            })
        };
        let read = known.map_or_else(&mut next, Ok)?;
        let counts = asks_counts && unit(table).can_be_counted();
        let counted = if counts { Some(next()?) } else { None };
        let leg = Passed {
            relayed: read,
            counted: counted.map(|answer| answer.digest.rows),
            duration: started.elapsed(),
        };
        outcome.rows += read.digest.rows;
        outcome.bytes += read.bytes;
        outcome.found.extend(found((table, unit(table)), &leg));
    }
    Ok(outcome)
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
    if let Some(archive) = &context.archive {
        return load::tables(context, attempt, load, archive).await;
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
pub(super) fn opening(context: &Context, job: &Job, parts: &[Part]) -> Vec<SqlText> {
    let units = || parts.iter().map(|part| &context.plan.tables[part.table]);
    let names: Vec<String> = units()
        .filter(|unit| unit.freeze)
        .map(|unit| format!("only {}", unit.into))
        .collect();
    let mut statements = begin_for_sure(job, settings(units())).to_vec();
    for unit in units() {
        statements.extend(unit.shield.before.clone());
    }
    if !names.is_empty() {
        statements.push(SqlText::from(format!(
            "truncate table {}",
            names.join(", ")
        )));
    }
    statements
}

/// What these tables are loaded with.
pub(super) fn settings<'a>(
    units: impl IntoIterator<Item = &'a CopyUnit>,
) -> &'static [(&'static str, &'static str)] {
    let mut units = units.into_iter();
    if units.any(|unit| unit.uncounted) {
        &[("track_counts", "off")]
    } else {
        &[]
    }
}

impl Wires {
    fn ends(&mut self) -> Ends<'_> {
        Ends {
            source: &mut self.source,
            target: &mut self.target,
        }
    }

    /// One transaction: tables, and their marks. Its COMMIT is not sent before everybody's counts of every table agree.
    async fn load(
        &mut self,
        context: &Context,
        attempt: &Attempt<'_>,
        load: &Load<'_>,
        outcome: &mut Outcome,
    ) -> Result<(), PgError> {
        let job = attempt.job;
        let units = || {
            load.parts
                .iter()
                .map(|part| &context.plan.tables[part.table])
        };
        let legs: Vec<Leg<'_>> = units()
            .map(|unit| leg(unit, None, context.plan.verify))
            .collect();
        let bundle = Bundle {
            opening: &opening(context, job, load.parts),
            legs: &legs,
            tell: &|moment| match moment {
                Moment::Opened => fault::point_of("copy-opened", || &job.label),
                Moment::BetweenLegs => fault::point_of("copy-between-tables", || &job.label),
            },
        };
        for unit in units() {
            set(&mut self.source, unit, true).await?;
        }
        let passed = relay(self.ends(), &bundle, attempt.gauge).await?;
        for unit in units() {
            set(&mut self.source, unit, false).await?;
        }
        let mut lines = Vec::new();
        for (&Part { number, table }, leg) in load.parts.iter().zip(&passed) {
            let name = &context.plan.tables[table].table.name;
            lines.push(line(number, name, &leg.relayed));
            let unit = &context.plan.tables[table];
            outcome.found.extend(found((table, unit), leg));
        }
        let total: Relayed = passed.iter().map(|leg| leg.relayed).sum();
        if load.whole {
            lines.push(line(WHOLE, &job.label, &total));
        }
        (outcome.rows, outcome.bytes) = (total.digest.rows, total.bytes);
        let shielded = units().flat_map(|unit| unit.shield.after.clone()).collect();
        fault::point_of("copy-ended", || &job.label);
        self.commit(attempt, shielded, &lines, outcome).await?;
        fault::point_of("copy-committed", || &job.label);
        Ok(())
    }

    async fn commit(
        &mut self,
        attempt: &Attempt<'_>,
        shielded: Vec<SqlText>,
        lines: &[Line<'_>],
        outcome: &mut Outcome,
    ) -> Result<(), PgError> {
        commit(&mut self.target, attempt, shielded, (lines, outcome)).await
    }
}

/// The commit point: rows and done-marks together, after what takes a shield away.
pub(super) async fn commit(
    target: &mut Wire,
    attempt: &Attempt<'_>,
    mut shielded: Vec<SqlText>,
    (lines, outcome): (&[Line<'_>], &mut Outcome),
) -> Result<(), PgError> {
    shielded.push(attempt.mark(lines, outcome));
    shielded.extend(fault::stall("copy-uncommitted", &attempt.job.label).map(SqlText::from));
    shielded.push(SqlText::from("commit"));
    let committed = target.execute_all(&shielded).await;
    committed.map_err(|(_, error)| error)
}

pub(super) fn line<'a>(part: u32, what: &'a str, relayed: &Relayed) -> Line<'a> {
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

/// Has a session of the source read a damaged table as it has to be, or no more.
pub(super) async fn set(source: &mut Wire, unit: &CopyUnit, on: bool) -> Result<(), PgError> {
    for statement in unit.settings(on) {
        source.execute(&statement).await?;
    }
    Ok(())
}

/// A table, or a part of one, from one end of the road to the other; the whole of it is counted as well, so that a hole shows.
fn leg<'a>(unit: &'a CopyUnit, range: Option<&Range>, verify: VerifyLevel) -> Leg<'a> {
    Leg {
        copy_out: unit.copy_out(range),
        copy_in: unit.copy_in(),
        layout: unit.layout(),
        count: (verify != VerifyLevel::None && unit.can_be_counted()).then(|| unit.count()),
    }
}

/// Where the source cannot be asked to count, what was read is all there is to go by: a salvage knows how much that must be.
fn found((table, unit): (usize, &CopyUnit), leg: &Passed) -> impl Iterator<Item = Found> + use<> {
    let uncounted = (!unit.can_be_counted()).then_some(leg.relayed.digest.rows);
    let copied = Found::Copied {
        table,
        digest: leg.relayed.digest,
        bytes: leg.relayed.bytes,
        duration_ms: u64::try_from(leg.duration.as_millis()).unwrap_or(u64::MAX),
    };
    let counted = leg
        .counted
        .or(uncounted)
        .map(|rows| Found::Counted { table, rows });
    [copied].into_iter().chain(counted)
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
        owner: Word::default(),
    })
}
