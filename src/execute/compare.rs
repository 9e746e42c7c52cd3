//! Reads one side of comparisons: all that a job has to read is asked for at once.

use super::attempt::Attempt;
use super::outcome::{Ended, Found, Outcome};
use super::supervisor::Context;
use crate::fault;
use crate::model::VerifyLevel;
use crate::pg::PgError;
use crate::pg::wire::{Question, Relayed, ask_all};
use crate::plan::Comparison;
use crate::verify::content::Reading;

/// Reads the source's side. For a materialized view: what it holds, then the result of its query, if that may be run.
pub(super) async fn source(context: &Context, attempt: &Attempt<'_>, index: usize) -> Ended {
    let comparison = &context.plan.comparisons[index];
    let mut sides = vec![from(comparison)];
    sides.extend(by_query(comparison));
    let questions: Vec<Question<'_>> = sides
        .iter()
        .map(|side| question(context, comparison, side))
        .collect();
    let mut outcome = Outcome::default();
    let mut wire = context.source.take().await?;
    let asked = ask_all(&mut wire, &questions, attempt.gauge).await;
    // They are in one transaction: the first refusal is that of all.
    let read: Result<Vec<Relayed>, PgError> =
        asked.and_then(|answers| answers.into_iter().collect());
    match read {
        Ok(read) => {
            fault::point("source-read-again");
            context.source.give_back(wire);
            outcome.rows = read.last().map(|side| side.digest.rows).unwrap_or_default();
            outcome.bytes = read.iter().map(|side| side.bytes).sum();
            outcome.found.push(Found::ReadSource {
                comparison: index,
                digests: read.iter().map(|side| side.digest).collect(),
            });
            Ok(outcome)
        }
        Err(error) => {
            // The transaction is spoilt; the session with it.
            context.source.give_up(wire);
            if attempt.is_undecided(&error) {
                return Err(error);
            }
            outcome.found.push(Found::Unreadable {
                comparison: index,
                because: format!("on the source: {error}"),
            });
            Ok(outcome)
        }
    }
}

/// Reads the target's side of several comparisons. What cannot be read is evidence, too, and does not stop the others: each is
/// a transaction of its own.
pub(super) async fn target(
    context: &Context,
    attempt: &Attempt<'_>,
    comparisons: &[usize],
) -> Ended {
    let mut questions = Vec::new();
    for &index in comparisons {
        let comparison = &context.plan.comparisons[index];
        questions.push(question(context, comparison, &from(comparison)));
        questions.extend(fresh(comparison).map(|query| question(context, comparison, &query)));
    }
    let mut wire = context.target.take().await?;
    let asked = ask_all(&mut wire, &questions, attempt.gauge).await;
    let outcome = asked.and_then(|answers| sort(context, attempt, (comparisons, answers)));
    match &outcome {
        Ok(_) => context.target.give_back(wire),
        Err(_) => context.target.give_up(wire),
    }
    outcome
}

/// Which answer is about which comparison.
fn sort(
    context: &Context,
    attempt: &Attempt<'_>,
    (comparisons, answers): (&[usize], Vec<Result<Relayed, PgError>>),
) -> Ended {
    let mut outcome = Outcome::default();
    let mut answers = answers.into_iter();
    for &index in comparisons {
        let comparison = &context.plan.comparisons[index];
        let read = answers.next();
        // Best effort: without it, the view is only compared with the source's side.
        let by_query = fresh(comparison).and_then(|_| answers.next()?.ok());
        match read {
            Some(Ok(relayed)) => {
                fault::point("target-read");
                outcome.rows += relayed.digest.rows;
                outcome.bytes += relayed.bytes;
                outcome
                    .found
                    .extend(by_query.map(|relayed| Found::QueriedTarget {
                        comparison: index,
                        digest: relayed.digest,
                    }));
                outcome.found.push(Found::ReadTarget {
                    comparison: index,
                    digest: relayed.digest,
                    hashed: context.plan.verify == VerifyLevel::Content,
                });
            }
            Some(Err(error)) if attempt.is_undecided(&error) => return Err(error),
            Some(Err(error)) => outcome.found.push(Found::Unreadable {
                comparison: index,
                because: format!("on the target: {error}"),
            }),
            None => outcome.found.push(Found::Unreadable {
                comparison: index,
                because: "on the target: it was not answered".to_owned(),
            }),
        }
    }
    Ok(outcome)
}

fn by_query(comparison: &Comparison) -> Option<String> {
    let query = comparison.definition.as_ref()?;
    Some(format!("({query}) as definition"))
}

/// What gives a materialized view anew on the target, if that may be another than on the source.
fn fresh(comparison: &Comparison) -> Option<String> {
    by_query(comparison).filter(|_| comparison.reads_matview)
}

fn from(comparison: &Comparison) -> String {
    if comparison.only {
        format!("only {}", comparison.table)
    } else {
        comparison.table.to_string()
    }
}

fn question<'a>(context: &Context, comparison: &'a Comparison, from: &str) -> Question<'a> {
    let reading = Reading {
        from,
        columns: &comparison.columns,
        condition: comparison.condition.as_deref(),
        format: &comparison.format,
        arrays: &comparison.arrays,
        encoding: comparison.encoding.as_deref(),
    };
    if context.plan.verify == VerifyLevel::Content {
        let layout = comparison.format.layout(&comparison.arrays);
        Question::Copy(reading.statement(), layout)
    } else {
        Question::Count(reading.count_statement())
    }
}
