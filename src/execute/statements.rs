//! Statements in one transaction, all sent at once; one by one when one of them fails.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::attempt::Attempt;
use super::outcome::{Ended, Outcome, failure, is_of_ledger};
use super::supervisor::Context;
use crate::event::What;
use crate::fault;
use crate::ledger::{Line, Mark, Marks, WHOLE};
use crate::model::{DumpId, SqlText, quote_literal};
use crate::pg::PgError;
use crate::pg::wire::Wire;
use crate::plan::{Job, Statement, is_left_out};

/// A statement of a job, and which part of it that is.
#[derive(Clone, Copy)]
struct Part<'a> {
    number: u32,
    statement: &'a Statement,
    /// What is run: the statement, unless the operator has edited it.
    sql: &'a SqlText,
    /// What the ledger calls it, if it was edited.
    edited: Option<&'a str>,
}

/// Runs a job's statements, but for those that are done already.
pub(super) async fn run(
    context: &Context,
    attempt: &Attempt<'_>,
    (statements, settings): (&[Statement], &[(String, String)]),
) -> Ended {
    let mut outcome = Outcome::default();
    if attempt.is_done(WHOLE) {
        return Ok(outcome);
    }
    let mut skipped = false;
    let mut runnable: Vec<Part<'_>> = Vec::new();
    for (statement, number) in statements.iter().zip(1..) {
        if attempt.is_done(number) {
            continue;
        }
        if let Some(failure) = attempt.failed_before(number) {
            outcome.fail_part(number, failure.clone());
            skipped = true;
        } else if skip(statement, attempt.broken, &mut outcome) {
            skipped = true;
        } else {
            let edited = context.earlier.edited.get(&(attempt.job.id, number));
            runnable.push(Part {
                number,
                statement,
                sql: edited.map_or(&statement.sql, |(sql, _)| sql),
                edited: edited.map(|(_, what)| what.as_str()),
            });
        }
    }
    let job = attempt.job;
    let mut wire = context.target.take().await?;
    let begin = begin(job, settings);
    let mut lines: Vec<Line<'_>> = runnable
        .iter()
        .filter(|part| skipped || part.edited.is_some())
        .map(|part| part.line(job))
        .collect();
    if !skipped {
        lines.push(line(job, WHOLE));
    }
    let all_at_once = transaction(attempt, &begin, (&runnable, &lines), &mut outcome);
    let ended = match wire.execute_all(&all_at_once).await {
        Ok(()) => Ok(()),
        Err((_, error)) if attempt.is_undecided(&error) => Err(error),
        Err((index, error)) => {
            outcome.marks = Marks::default();
            if runnable.len() <= 1 && runnable.iter().all(|part| part.otherwise().is_none()) {
                fail(attempt, &mut outcome, (&runnable, index), error)
            } else {
                one_by_one(
                    (context, &mut wire),
                    attempt,
                    (&begin, &runnable, skipped),
                    &mut outcome,
                )
                .await
            }
        }
    };
    // A transaction may be open, or the connection dead.
    if let Err(error) = ended {
        context.target.give_up(wire);
        return Err(error);
    }
    fault::point_of("statements-done", || &job.label);
    context.remark(job, &mut wire);
    context.target.give_back(wire);
    Ok(outcome)
}

/// Runs a single statement outside of a transaction, and marks it as done afterwards. It is one that may be run twice.
pub(super) async fn run_alone(
    context: &Context,
    attempt: &Attempt<'_>,
    statement: &SqlText,
) -> Ended {
    let mut outcome = Outcome::default();
    if attempt.is_done(WHOLE) {
        return Ok(outcome);
    }
    if let Some(failure) = attempt.failed_before(WHOLE) {
        outcome.fail(failure.clone());
        return Ok(outcome);
    }
    let job = attempt.job;
    let mut wire = context.target.take().await?;
    let mark = attempt.mark(&[line(job, WHOLE)], &mut outcome);
    let done = async {
        wire.execute(statement).await?;
        fault::point_of("alone-unmarked", || &job.label);
        wire.execute(&mark).await
    };
    if let Err(error) = done.await {
        outcome.marks = Marks::default();
        match failure(attempt, None, error) {
            Ok(failure) => outcome.fail(failure),
            Err(error) => {
                context.target.give_up(wire);
                return Err(error);
            }
        }
    }
    fault::point_of("alone-marked", || &job.label);
    context.remark(job, &mut wire);
    context.target.give_back(wire);
    Ok(outcome)
}

/// The start of a job's transaction.
pub(super) fn begin(job: &Job, settings: &[(String, String)]) -> SqlText {
    let settings = settings.iter();
    let settings = settings.map(|(name, value)| (name.as_str(), value.as_str()));
    SqlText::from(format!("begin; {}", settings_of(job, settings)))
}

/// The same in two statements, for who sends more before the answer has come. The first cannot fail in a session that goes
/// on, so that nothing behind it can ever be a transaction of its own.
pub(super) fn begin_for_sure(job: &Job, settings: &[(&str, &str)]) -> [SqlText; 2] {
    [
        SqlText::from("begin"),
        SqlText::from(settings_of(job, settings.iter().copied())),
    ]
}

/// What a job's transaction runs with.
fn settings_of<'a>(job: &Job, settings: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut sql = format!(
        "set local application_name = {}",
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
    sql
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

impl<'a> Part<'a> {
    /// The other way to do it, if there is one, and if the operator has not said how.
    fn otherwise(self) -> Option<Self> {
        let sql = self.statement.otherwise.as_ref()?;
        self.edited.is_none().then_some(Self { sql, ..self })
    }

    /// What is sent. What the operator has edited was written down with the settings that it relies on.
    fn text(&self) -> SqlText {
        match self.edited {
            Some(_) => self.sql.clone(),
            None => self.statement.behind_prelude(self.sql),
        }
    }

    fn line(&self, job: &'a Job) -> Line<'a> {
        Line {
            what: self.edited.unwrap_or(&job.label),
            ..line(job, self.number)
        }
    }
}

fn line(job: &Job, part: u32) -> Line<'_> {
    Line {
        part,
        what: &job.label,
        mark: Mark::default(),
    }
}

fn transaction(
    attempt: &Attempt<'_>,
    begin: &SqlText,
    (parts, lines): (&[Part<'_>], &[Line<'_>]),
    outcome: &mut Outcome,
) -> Vec<SqlText> {
    let stall = |name| fault::stall(name, &attempt.job.label).map(SqlText::from);
    let mut all = vec![begin.clone()];
    all.extend(stall("statements-begun"));
    all.extend(parts.iter().map(Part::text));
    all.extend(stall("statements-unmarked"));
    if !lines.is_empty() {
        all.push(attempt.mark(lines, outcome));
    }
    all.extend(stall("statements-uncommitted"));
    all.push(SqlText::from("commit"));
    all
}

/// The failure of a transaction's statement number `index`; 0 is its BEGIN. When the ledger does not take the mark, no statement of
/// an entry has failed; but none has done anything either.
fn fail(
    attempt: &Attempt<'_>,
    outcome: &mut Outcome,
    (parts, index): (&[Part<'_>], usize),
    error: PgError,
) -> Result<(), PgError> {
    let part = index
        .checked_sub(1)
        .and_then(|index| parts.get(index))
        .or(parts.last());
    let entry = part.and_then(|part| part.statement.entry.clone());
    let number = part.map_or(WHOLE, |part| part.number);
    let is_of_ledger = is_of_ledger(&error);
    let mut failure = failure(attempt, entry, error)?;
    if is_of_ledger {
        let entry = failure.entry.take();
        outcome.broken.extend(entry.map(|entry| entry.dump_id));
    }
    outcome.fail_part(number, failure);
    Ok(())
}

/// One of them, in a transaction of its own.
async fn alone(
    wire: &mut Wire,
    attempt: &Attempt<'_>,
    (begin, part): (&SqlText, Part<'_>),
    outcome: &mut Outcome,
) -> Result<(), (usize, PgError)> {
    let mut done = Outcome::default();
    let lines = [part.line(attempt.job)];
    let statements = transaction(attempt, begin, (&[part], &lines), &mut done);
    wire.execute_all(&statements).await?;
    outcome.marks.extend(done.marks);
    Ok(())
}

/// One of them fails: each has a transaction and a mark of its own, so that the others are done, and the one is named.
async fn one_by_one(
    (context, wire): (&Context, &mut Wire),
    attempt: &Attempt<'_>,
    (begin, parts, skipped_before): (&SqlText, &[Part<'_>], bool),
    outcome: &mut Outcome,
) -> Result<(), PgError> {
    let mut skipped = skipped_before;
    for part in parts {
        if skip(part.statement, &HashSet::new(), outcome) {
            skipped = true;
            continue;
        }
        let ended = match alone(wire, attempt, (begin, *part), outcome).await {
            Err((_, error)) if !attempt.is_undecided(&error) => match part.otherwise() {
                Some(otherwise) => {
                    context.remark(attempt.job, wire);
                    let what = if is_left_out(otherwise.sql) {
                        format!("left out or not validated, because of what is lost: {error}")
                    } else {
                        format!("the quicker way failed ({error}), taking the other one")
                    };
                    let text = format!("{}: {what}", attempt.job.label);
                    context.emit.emit(What::Note { text });
                    alone(wire, attempt, (begin, otherwise), outcome).await
                }
                None => Err((1, error)),
            },
            ended => ended,
        };
        if let Err((index, error)) = ended {
            fail(attempt, outcome, (&[*part], index), error)?;
        }
    }
    if outcome.failures.is_empty() && !skipped {
        // They failed together and succeed alone: two of them disagree about a lock or a name only within one transaction.
        let mark = attempt.mark(&[line(attempt.job, WHOLE)], outcome);
        wire.execute(&mark).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EntryRef, Phase};
    use crate::ledger;
    use crate::model::ServerError;
    use crate::pg::wire::Gauge;
    use crate::plan::{Work, testing};

    fn job(statements: Vec<Statement>) -> Job {
        Job {
            label: "index t_a".to_owned(),
            ..testing::job(
                4,
                Phase::Indexes,
                Work::Run {
                    statements,
                    settings: Vec::new(),
                },
            )
        }
    }

    /// The error says that a table is missing, which is not that of the statement.
    #[test]
    fn what_the_ledger_refuses_is_no_failure_of_the_statement() {
        let statement = Statement {
            entry: Some(EntryRef {
                dump_id: DumpId(7),
                desc: "INDEX".into(),
                tag: "public t_a".to_owned(),
                owner: "".into(),
            }),
            needs: Vec::new(),
            prelude: None,
            sql: SqlText::from("create index t_a on t (a)"),
            otherwise: None,
        };
        let job = job(vec![statement.clone()]);
        let part = Part {
            number: 1,
            statement: &statement,
            sql: &statement.sql,
            edited: None,
        };
        let attempt = Attempt {
            job: &job,
            number: 1,
            last: true,
            done: &Marks::default(),
            failed: None,
            broken: &HashSet::new(),
            gauge: &Gauge::default(),
        };
        let mark = ledger::mark(job.id, 1, &[line(&job, WHOLE)]);
        let failed = |index: usize, sql: &SqlText| {
            let error = ServerError {
                code: "42P01".to_owned(),
                message: "relation does not exist".to_owned(),
                ..ServerError::default()
            };
            let error = PgError::server(sql, error);
            let mut outcome = Outcome::default();
            fail(&attempt, &mut outcome, (&[part], index), error).expect("a failure");
            assert_eq!(outcome.broken, HashSet::from([DumpId(7)]));
            let (number, failure) = outcome.failures.remove(0);
            assert_eq!(number, 1);
            let hint = failure.hint.unwrap_or_default();
            (failure.entry.is_some(), hint.contains("ledger"))
        };
        assert_eq!(failed(1, &statement.sql), (true, false));
        assert_eq!(failed(2, &mark), (false, true));
    }
}
