//! Reads one side of comparisons: all that a job has to read is asked for at once.

use std::borrow::Cow;

use super::attempt::Attempt;
use super::outcome::{Ended, Found, Outcome};
use super::supervisor::Context;
use crate::fault;
use crate::model::{MultisetDigest, Side, SqlText, VerifyLevel, shown_ident};
use crate::pg::wire::{Question, Relayed, RowSink, Wire, ask_all, read_rows};
use crate::pg::{PgError, pin_values, set_values};
use crate::plan::Comparison;
use crate::verify::content::Reading;
use crate::verify::matview::{Next, ViewCase, ViewRead, ViewVerdict};
use crate::verify::rows::ByColumn;

/// Reads the source's side once more.
pub(super) async fn source(context: &Context, attempt: &Attempt<'_>, index: usize) -> Ended {
    let comparison = &context.plan.comparisons[index];
    let mut outcome = Outcome::default();
    let read = Read {
        side: Side::Source,
        comparison,
        from: &from(comparison),
        anew: false,
    };
    let read = one(context, attempt, read, ()).await?;
    fault::point("source-read-again");
    outcome.found.push(match read {
        Ok((relayed, ())) => {
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

/// Compares what a materialized view holds on both sides. Only where that differs are its columns looked at, and its query run, which may
/// take long.
pub(super) async fn matview(context: &Context, attempt: &Attempt<'_>, index: usize) -> Ended {
    let comparison = &context.plan.comparisons[index];
    let unreadable = |side: Side, error: &PgError| Outcome {
        found: vec![Found::Unreadable {
            comparison: index,
            because: format!("on the {side}: {error}"),
        }],
        ..Outcome::default()
    };
    let view = from(comparison);
    let of_view = |side| Read {
        side,
        comparison,
        from: &view,
        anew: false,
    };
    let (held, there) = tokio::try_join!(
        Box::pin(one(context, attempt, of_view(Side::Source), ())),
        Box::pin(one(context, attempt, of_view(Side::Target), ())),
    )?;
    fault::point("views-read");
    let [(held, ()), (there, ())] = match both(held, there) {
        Ok(both) => both,
        Err((side, error)) => return Ok(unreadable(side, &error)),
    };
    let found = |verdict| Outcome {
        rows: there.digest.rows,
        bytes: held.bytes + there.bytes,
        found: vec![Found::Matview {
            comparison: index,
            verdict,
        }],
        ..Outcome::default()
    };
    if held.digest == there.digest {
        return Ok(found(ViewVerdict::Same));
    }
    let held = match Box::pin(held_by_column(context, attempt, comparison)).await? {
        Ok(held) => held,
        Err((side, error)) => return Ok(unreadable(side, &error)),
    };
    let columns = comparison.columns.iter().map(|column| shown(column));
    let case = ViewCase::new(comparison.table.shown(), columns.collect(), held);
    let judged = judged(context, attempt, (comparison, case)).await?;
    Ok(judged.map_or_else(|(side, error)| unreadable(side, &error), found))
}

/// What a view holds on either side, and each of its columns by itself. What a side refuses is the inner error.
async fn held_by_column(
    context: &Context,
    attempt: &Attempt<'_>,
    comparison: &Comparison,
) -> Result<Result<[ViewRead; 2], (Side, PgError)>, PgError> {
    let view = from(comparison);
    let of_view = |side| Read {
        side,
        comparison,
        from: &view,
        anew: false,
    };
    let (held, there) = tokio::try_join!(
        Box::pin(by_column(context, attempt, of_view(Side::Source))),
        Box::pin(by_column(context, attempt, of_view(Side::Target))),
    )?;
    Ok(both(held, there))
}

/// What both sides have given, or which of them refused it.
fn both<T>(
    source: Result<T, PgError>,
    target: Result<T, PgError>,
) -> Result<[T; 2], (Side, PgError)> {
    match (source, target) {
        (Ok(source), Ok(target)) => Ok([source, target]),
        (Err(error), _) => Err((Side::Source, error)),
        (_, Err(error)) => Err((Side::Target, error)),
    }
}

/// Runs a view's query wherever that tells what the view is. If it cannot be run on the source, that is the inner error, because what it
/// gives there says most; or if the view cannot be read a second time.
async fn judged(
    context: &Context,
    attempt: &Attempt<'_>,
    (comparison, mut case): (&Comparison, ViewCase),
) -> Result<Result<ViewVerdict, (Side, PgError)>, PgError> {
    let mut comparison = Cow::Borrowed(comparison);
    let query = by_query(&comparison);
    if query.is_none() {
        case.may_not_ask(Side::Source);
        case.may_not_ask(Side::Target);
    }
    loop {
        let (side, anew) = match case.next() {
            Next::Ask { side, again } => (side, again),
            Next::Narrow(places) => {
                comparison = Cow::Owned(narrowed(&comparison, &places));
                match Box::pin(held_by_column(context, attempt, &comparison)).await? {
                    Ok(held) => case.narrow(&places, held),
                    Err(refused) => return Ok(Err(refused)),
                }
                continue;
            }
            Next::Judged(verdict) => return Ok(Ok(verdict)),
        };
        let read = Read {
            side,
            comparison: &comparison,
            from: query.as_deref().unwrap_or_default(),
            anew,
        };
        match by_column(context, attempt, read).await? {
            Ok(given) => case.add(side, given),
            Err(error) if side == Side::Source => return Ok(Err((side, error))),
            Err(_) => case.failed(side),
        }
    }
}

/// The same with no more than the columns in these places.
fn narrowed(comparison: &Comparison, places: &[usize]) -> Comparison {
    let is_array =
        |place: usize| u16::try_from(place).is_ok_and(|place| comparison.arrays.contains(&place));
    let arrays = (0..).zip(places).filter(|(_, place)| is_array(**place));
    let columns = places
        .iter()
        .filter_map(|&place| comparison.columns.get(place));
    Comparison {
        columns: columns.cloned().collect(),
        arrays: arrays.map(|(place, _)| place).collect(),
        ..comparison.clone()
    }
}

/// Something that is read on one side.
#[derive(Clone, Copy)]
struct Read<'a> {
    side: Side,
    comparison: &'a Comparison,
    from: &'a str,
    /// In a transaction that begins now.
    anew: bool,
}

/// Reads a view, or what its query gives, and each column by itself.
async fn by_column(
    context: &Context,
    attempt: &Attempt<'_>,
    read: Read<'_>,
) -> Result<Result<ViewRead, PgError>, PgError> {
    let Comparison {
        format,
        arrays,
        columns,
        ..
    } = read.comparison;
    let sink = ByColumn::new(format.layout(arrays), columns.len());
    let hashes = context.plan.verify == VerifyLevel::Content;
    let read = Box::pin(one(context, attempt, read, sink)).await?;
    Ok(read.map(|(relayed, by_column)| {
        let columns = by_column.digests().filter(|_| hashes);
        let all = relayed.digest;
        ViewRead { all, columns }
    }))
}

/// Reads one thing on one side. What the server refuses is the inner error; its session is given up, as its transaction is
/// spoilt.
async fn one<S: RowSink>(
    context: &Context,
    attempt: &Attempt<'_>,
    read: Read<'_>,
    sink: S,
) -> Result<Result<(Relayed, S), PgError>, PgError> {
    let pool = match read.side {
        Side::Source => &context.source,
        Side::Target => &context.target,
    };
    let mut wire = if read.anew {
        pool.take_anew().await?
    } else {
        pool.take().await?
    };
    let answer = one_with_settings(&mut wire, context, attempt, (read, sink)).await;
    match answer {
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
async fn one_with_settings<S: RowSink>(
    wire: &mut Wire,
    context: &Context,
    attempt: &Attempt<'_>,
    (read, sink): (Read<'_>, S),
) -> Result<(Relayed, S), PgError> {
    let comparison = read.comparison;
    if !comparison.settings.is_empty() {
        let set = set_values(&comparison.settings);
        wire.execute(&SqlText::from(set)).await?;
    }
    let reading = reading(comparison, read.from);
    let answer = if context.plan.verify == VerifyLevel::Content {
        let layout = comparison.format.layout(&comparison.arrays);
        read_rows(wire, &reading.statement(), layout, (attempt.gauge, sink)).await?
    } else {
        let rows = reading.count(wire).await?;
        let digest = MultisetDigest { rows, sum: 0 };
        let relayed = Relayed {
            digest,
            ..Relayed::default()
        };
        (relayed, sink)
    };
    if !comparison.settings.is_empty() {
        wire.execute(&SqlText::from(pin_values())).await?;
    }
    Ok(answer)
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

/// A column, for people; an expression that is more than its name as it stands.
fn shown(expression: &str) -> String {
    let name = expression.strip_prefix('"');
    let name = name.and_then(|name| name.strip_suffix('"'));
    match name.filter(|name| !name.contains('"')) {
        Some(name) => shown_ident(name),
        None => expression.to_owned(),
    }
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
