//! Reads one side of comparisons: all that a job has to read is asked for at once.

use super::attempt::Attempt;
use super::outcome::{Ended, Found, MatviewRead, Outcome};
use super::supervisor::Context;
use crate::fault;
use crate::model::{SqlText, VerifyLevel};
use crate::pg::wire::{Question, Relayed, Wire, ask_all};
use crate::pg::{PgError, Pool, pin_values, set_values};
use crate::plan::Comparison;
use crate::verify::content::Reading;

/// Reads the source's side once more.
pub(super) async fn source(context: &Context, attempt: &Attempt<'_>, index: usize) -> Ended {
    let comparison = &context.plan.comparisons[index];
    let side = from(comparison);
    let mut outcome = Outcome::default();
    let read = one(context, attempt, (&context.source, comparison, &side)).await?;
    fault::point("source-read-again");
    outcome.found.push(match read {
        Ok(relayed) => {
            outcome.rows = relayed.digest.rows;
            outcome.bytes = relayed.bytes;
            Found::ReadSource {
                comparison: index,
                digest: relayed.digest,
            }
        }
        Err(error) => Found::Unreadable {
            comparison: index,
            because: format!("on the source: {error}"),
        },
    });
    Ok(outcome)
}

/// Compares what a materialized view holds on both sides. Only where that differs are queries run, which may take long: what
/// the view's own gives on the source tells whether the source's view was merely out of date.
pub(super) async fn matview(context: &Context, attempt: &Attempt<'_>, index: usize) -> Ended {
    let comparison = &context.plan.comparisons[index];
    let (source, target) = (&context.source, &context.target);
    let unreadable = |side: &str, error: &PgError| Outcome {
        found: vec![Found::Unreadable {
            comparison: index,
            because: format!("on the {side}: {error}"),
        }],
        ..Outcome::default()
    };
    let view = from(comparison);
    let (held, there) = tokio::try_join!(
        Box::pin(one(context, attempt, (source, comparison, &view))),
        Box::pin(one(context, attempt, (target, comparison, &view))),
    )?;
    fault::point("views-read");
    let (held, there) = match (held, there) {
        (Ok(held), Ok(there)) => (held, there),
        (Err(error), _) => return Ok(unreadable("source", &error)),
        (_, Err(error)) => return Ok(unreadable("target", &error)),
    };
    let mut read = MatviewRead {
        held: held.digest,
        target: there.digest,
        by_query: None,
        on_target: None,
    };
    if held.digest != there.digest
        && let Some(query) = by_query(comparison)
    {
        match one(context, attempt, (source, comparison, &query)).await? {
            Ok(relayed) => read.by_query = Some(relayed.digest),
            Err(error) => return Ok(unreadable("source", &error)),
        }
        if comparison.reads_matview {
            // Without it, the view is only compared with the source's side.
            let fresh = one(context, attempt, (target, comparison, &query)).await?;
            read.on_target = fresh.ok().map(|relayed| relayed.digest);
        }
    }
    Ok(Outcome {
        rows: there.digest.rows,
        bytes: held.bytes + there.bytes,
        found: vec![Found::ReadMatview {
            comparison: index,
            read,
        }],
        ..Outcome::default()
    })
}

/// Reads one thing on one side. What the server refuses is the inner error; its session is given up, as its transaction is
/// spoilt.
async fn one(
    context: &Context,
    attempt: &Attempt<'_>,
    (pool, comparison, side): (&Pool, &Comparison, &str),
) -> Result<Result<Relayed, PgError>, PgError> {
    let mut wire = pool.take().await?;
    let read = one_with_settings(&mut wire, context, attempt, (comparison, side)).await;
    match read {
        Ok(relayed) => {
            pool.give_back(wire);
            Ok(Ok(relayed))
        }
        Err(error) => {
            pool.give_up(wire);
            if attempt.is_undecided(&error) {
                return Err(error);
            }
            Ok(Err(error))
        }
    }
}

/// With the settings that the comparison wants; the session has its own again afterwards.
async fn one_with_settings(
    wire: &mut Wire,
    context: &Context,
    attempt: &Attempt<'_>,
    (comparison, side): (&Comparison, &str),
) -> Result<Relayed, PgError> {
    if !comparison.settings.is_empty() {
        let set = set_values(&comparison.settings);
        wire.execute(&SqlText::from(set)).await?;
    }
    let asked = [question(context, comparison, side)];
    let answers = ask_all(wire, &asked, attempt.gauge).await;
    let read = answers.and_then(|answers| {
        let unanswered = || PgError::Protocol {
            what: "a question was not answered".to_owned(),
        };
        answers
            .into_iter()
            .next()
            .unwrap_or_else(|| Err(unanswered()))
    })?;
    if !comparison.settings.is_empty() {
        wire.execute(&SqlText::from(pin_values())).await?;
    }
    Ok(read)
}

/// Reads the target's side of several comparisons. What cannot be read is evidence, too, and does not stop the others: each is
/// a transaction of its own.
pub(super) async fn target(
    context: &Context,
    attempt: &Attempt<'_>,
    comparisons: &[usize],
) -> Ended {
    let question = |&index: &usize| {
        let comparison = &context.plan.comparisons[index];
        question(context, comparison, &from(comparison))
    };
    let questions: Vec<Question<'_>> = comparisons.iter().map(question).collect();
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
        match answers.next() {
            Some(Ok(relayed)) => {
                fault::point("target-read");
                outcome.rows += relayed.digest.rows;
                outcome.bytes += relayed.bytes;
                if let Some(archive) = &context.archive {
                    // What the archive holds is known to whoever judges in the end.
                    let comparison = &context.plan.comparisons[index];
                    let asked = reading(comparison, &from(comparison)).statement();
                    archive.answered(asked, relayed.digest);
                    continue;
                }
                outcome.found.push(Found::ReadTarget {
                    comparison: index,
                    digest: relayed.digest,
                    hashed: context.plan.verify == VerifyLevel::Content,
                });
            }
            Some(Err(error)) if attempt.is_undecided(&error) => return Err(error),
            // Then it is asked again in the end, and said why it cannot be read.
            _ if context.archive.is_some() => {}
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

fn from(comparison: &Comparison) -> String {
    if comparison.only {
        format!("only {}", comparison.table)
    } else {
        comparison.table.to_string()
    }
}

fn reading<'a>(comparison: &'a Comparison, from: &'a str) -> Reading<'a> {
    Reading {
        from,
        columns: &comparison.columns,
        condition: comparison.condition.as_deref(),
        format: &comparison.format,
        arrays: &comparison.arrays,
        encoding: comparison.encoding.as_deref(),
    }
}

fn question<'a>(context: &Context, comparison: &'a Comparison, from: &str) -> Question<'a> {
    let reading = reading(comparison, from);
    if context.plan.verify == VerifyLevel::Content {
        let layout = comparison.format.layout(&comparison.arrays);
        Question::Copy(reading.statement(), layout)
    } else {
        Question::Count(reading.count_statement())
    }
}
