//! Reads one side of a comparison.

use super::attempt::Attempt;
use super::outcome::{Ended, Found, Outcome};
use super::supervisor::Context;
use crate::fault;
use crate::model::{MultisetDigest, VerifyLevel};
use crate::pg::PgError;
use crate::pg::wire::{Gauge, Relayed, Wire};
use crate::plan::Comparison;
use crate::verify::content::Reading;

/// Reads the source's side. For a materialized view: what it holds, then the result of its query, if that may be run.
pub(super) async fn source(context: &Context, attempt: &Attempt<'_>, index: usize) -> Ended {
    let comparison = &context.plan.comparisons[index];
    let mut wire = context.source.take().await?;
    let mut sides = vec![from(comparison)];
    sides.extend(by_query(comparison));
    let mut outcome = Outcome::default();
    let mut digests = Vec::new();
    for side in sides {
        match read(context, &mut wire, comparison, &side, attempt.gauge).await {
            Ok(relayed) => {
                outcome.rows = relayed.digest.rows;
                outcome.bytes += relayed.bytes;
                digests.push(relayed.digest);
            }
            Err(error) if attempt.is_undecided(&error) => {
                context.source.give_up(wire);
                return Err(error);
            }
            Err(error) => {
                // The transaction is spoilt; the session with it.
                context.source.give_up(wire);
                outcome.found.push(Found::Unreadable {
                    comparison: index,
                    because: format!("on the source: {error}"),
                });
                return Ok(outcome);
            }
        }
    }
    fault::point("source-read-again");
    context.source.give_back(wire);
    outcome.found.push(Found::ReadSource {
        comparison: index,
        digests,
    });
    Ok(outcome)
}

/// Reads the target's side of several comparisons. What cannot be read is evidence, too, and does not stop the others.
pub(super) async fn target(
    context: &Context,
    attempt: &Attempt<'_>,
    comparisons: &[usize],
) -> Ended {
    let gauge = attempt.gauge;
    let mut outcome = Outcome::default();
    let mut wire = context.target.take().await?;
    for &index in comparisons {
        let comparison = &context.plan.comparisons[index];
        match read(context, &mut wire, comparison, &from(comparison), gauge).await {
            Ok(relayed) => {
                fault::point("target-read");
                outcome.rows += relayed.digest.rows;
                outcome.bytes += relayed.bytes;
                if let Some(query) = by_query(comparison).filter(|_| comparison.reads_matview) {
                    // Best effort: without it, the view is only compared with the source's side.
                    if let Ok(fresh) = read(context, &mut wire, comparison, &query, gauge).await {
                        let digest = fresh.digest;
                        outcome.found.push(Found::QueriedTarget {
                            comparison: index,
                            digest,
                        });
                    }
                }
                let hashed = context.plan.verify == VerifyLevel::Content;
                outcome.found.push(Found::ReadTarget {
                    comparison: index,
                    digest: relayed.digest,
                    hashed,
                });
            }
            Err(error) if attempt.is_undecided(&error) => {
                context.target.give_up(wire);
                return Err(error);
            }
            Err(error) => outcome.found.push(Found::Unreadable {
                comparison: index,
                because: format!("on the target: {error}"),
            }),
        }
    }
    context.target.give_back(wire);
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

async fn read(
    context: &Context,
    wire: &mut Wire,
    comparison: &Comparison,
    from: &str,
    gauge: &Gauge,
) -> Result<Relayed, PgError> {
    let reading = Reading {
        from,
        columns: &comparison.columns,
        condition: comparison.condition.as_deref(),
        format: &comparison.format,
        encoding: comparison.encoding.as_deref(),
    };
    if context.plan.verify == VerifyLevel::Content {
        return reading.hash(wire, gauge).await;
    }
    let rows = reading.count(wire).await?;
    Ok(Relayed {
        digest: MultisetDigest { rows, sum: 0 },
        ..Relayed::default()
    })
}
