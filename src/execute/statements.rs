//! Statements in one transaction, all sent at once; one by one when one of them fails.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::outcome::{Ended, Outcome, failure};
use super::supervisor::Context;
use crate::fault;
use crate::ledger::{self, Mark};
use crate::model::{DumpId, SqlText, quote_literal};
use crate::pg::PgError;
use crate::pg::wire::Wire;
use crate::plan::{Job, Statement};

/// Runs a job's statements. `broken` are the entries that are not there although they should be.
pub(super) async fn run(
    context: &Context,
    job: &Job,
    (statements, settings): (&[Statement], &[(String, String)]),
    broken: &HashSet<DumpId>,
) -> Ended {
    let mut outcome = Outcome::default();
    let runnable: Vec<&Statement> = statements
        .iter()
        .filter(|statement| !skip(statement, broken, &mut outcome))
        .collect();
    let mut wire = context.target.take().await?;
    let begin = begin(job, settings);
    let all_at_once = transaction(&begin, &runnable, Some(job));
    match wire.execute_all(&all_at_once).await {
        Ok(()) => {}
        Err((_, error)) if error.is_lost_connection() => return Err(error),
        Err((index, error)) if runnable.len() <= 1 => fail(&mut outcome, &runnable, index, error)?,
        Err(_) => one_by_one(&mut wire, job, &begin, &runnable, &mut outcome).await?,
    }
    fault::point_of("statements-done", || &job.label);
    context.remark(job, &mut wire);
    context.target.give_back(wire);
    Ok(outcome)
}

/// Runs a single statement outside of a transaction, and marks it as done afterwards.
pub(super) async fn run_alone(context: &Context, job: &Job, statement: &SqlText) -> Ended {
    let mut outcome = Outcome::default();
    let mut wire = context.target.take().await?;
    let done = async {
        wire.execute(statement).await?;
        fault::point_of("alone-unmarked", || &job.label);
        wire.execute(&ledger::mark(job.id, &job.label, &Mark::default()))
            .await
    };
    if let Err(error) = done.await {
        outcome.fail(failure(None, error)?);
    }
    fault::point_of("alone-marked", || &job.label);
    context.remark(job, &mut wire);
    context.target.give_back(wire);
    Ok(outcome)
}

/// The start of a job's transaction.
pub(super) fn begin(job: &Job, settings: &[(String, String)]) -> SqlText {
    let mut sql = format!(
        "begin; set local application_name = {}",
        quote_literal(&format!("pgconvoy:{}", job.label))
    );
    if job.memory.0 > 0 {
        let _ = write!(
            sql,
            "; set local maintenance_work_mem = '{}kB'",
            job.memory.0 / 1024
        );
    }
    for (name, value) in settings {
        let _ = write!(sql, "; set local {name} = {}", quote_literal(value));
    }
    SqlText::from(sql)
}

/// A statement whose needs are broken is not run, and breaks what needs it.
fn skip(statement: &Statement, broken: &HashSet<DumpId>, outcome: &mut Outcome) -> bool {
    let skipped = statement
        .needs
        .iter()
        .any(|entry| broken.contains(entry) || outcome.broken.contains(entry));
    if skipped {
        outcome
            .broken
            .extend(statement.entry.as_ref().map(|entry| entry.dump_id));
    }
    skipped
}

fn transaction(begin: &SqlText, statements: &[&Statement], mark: Option<&Job>) -> Vec<SqlText> {
    let subject = mark.map_or("", |job| &job.label);
    let stall = |name| fault::stall(name, subject).map(SqlText::from);
    let mut all = vec![begin.clone()];
    all.extend(stall("statements-begun"));
    all.extend(statements.iter().map(|statement| statement.sql.clone()));
    all.extend(stall("statements-unmarked"));
    all.extend(mark.map(|job| ledger::mark(job.id, &job.label, &Mark::default())));
    all.extend(stall("statements-uncommitted"));
    all.push(SqlText::from("commit"));
    all
}

/// The failure of a transaction's statement number `index`; 0 is its BEGIN.
fn fail(
    outcome: &mut Outcome,
    statements: &[&Statement],
    index: usize,
    error: PgError,
) -> Result<(), PgError> {
    let entry = index
        .checked_sub(1)
        .and_then(|index| statements.get(index))
        .or(statements.last());
    outcome.fail(failure(
        entry.and_then(|statement| statement.entry.clone()),
        error,
    )?);
    Ok(())
}

/// One of them fails: each has a transaction of its own, so that the others are done, and the one is named.
async fn one_by_one(
    wire: &mut Wire,
    job: &Job,
    begin: &SqlText,
    statements: &[&Statement],
    outcome: &mut Outcome,
) -> Result<(), PgError> {
    for statement in statements {
        if skip(statement, &HashSet::new(), outcome) {
            continue;
        }
        if let Err((index, error)) = wire
            .execute_all(&transaction(begin, &[statement], None))
            .await
        {
            fail(outcome, &[statement], index, error)?;
        }
    }
    if outcome.failures.is_empty() {
        // They failed together and succeed alone: two of them disagree about a lock or a name only within one transaction.
        wire.execute(&ledger::mark(job.id, &job.label, &Mark::default()))
            .await?;
    }
    Ok(())
}
