//! Where sequences stand, and whether the next value of one is free in the columns that it feeds.
//!
//! A sequence that stands behind its column makes the first insert after cut-over fail. That the source's does so, too, is
//! no difference, but worth saying.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::catalog::{Sequence, VersionedQuery};
use crate::model::{DifferenceKind, QualifiedName, quote_ident, shown_ident};
use crate::pg::{Answer, PgError, Query, Session};

use super::{Observed, Outcome, Scope};

pub(super) const FEEDS: VersionedQuery = VersionedQuery {
    newest: Query::new("feeds.sql", include_str!("../../sql/verify/feeds.sql")),
    older: None,
};

/// How many columns are asked for their largest value in one statement.
const COLUMNS_PER_QUERY: usize = 200;

/// A column that takes its values from a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// The sequence.
    pub sequence: QualifiedName,
    /// The column's table.
    pub table: QualifiedName,
    /// The column.
    pub column: String,
    /// What the sequence adds each time.
    pub increment: i64,
    /// The column's value that is farthest in the sequence's direction: the largest, unless it counts down. `None` without rows.
    pub farthest: Option<i64>,
}

/// Reads what of each column the sequence must be beyond; columns for which that takes a scan are left out.
pub(super) async fn feeds(session: &Session) -> Result<Vec<Feed>, PgError> {
    const NAME: &str = "the largest values of columns";
    let rows = session
        .query(FEEDS.for_server(session.version()), &[])
        .await?;
    let mut feeds: Vec<(Feed, bool)> = rows.iter().map(feed).collect::<Result<_, _>>()?;
    for batch in feeds.chunks_mut(COLUMNS_PER_QUERY) {
        let mut sql = String::new();
        for (index, (feed, partitioned)) in batch.iter().enumerate() {
            let union = if index == 0 { "" } else { " union all " };
            let farthest = if feed.increment < 0 { "min" } else { "max" };
            let only = if *partitioned { "" } else { "only " };
            let _ = write!(
                sql,
                "{union}select {index}::int4 as index, pg_catalog.{farthest}({})::int8 as farthest from {only}{}",
                quote_ident(&feed.column),
                feed.table
            );
        }
        for row in session.query_text(NAME, &sql, &[]).await? {
            let place = usize::try_from(row.get::<i32>("index")?).ok();
            if let Some((feed, _)) = place.and_then(|place| batch.get_mut(place)) {
                feed.farthest = row.get("farthest")?;
            }
        }
    }
    Ok(feeds.into_iter().map(|(feed, _)| feed).collect())
}

/// A column, and whether its table is partitioned.
fn feed(row: &Answer) -> Result<(Feed, bool), PgError> {
    let feed = Feed {
        sequence: row.name("sequence_schema", "sequence_name")?,
        table: row.name("schema", "name")?,
        column: row.get("column_name")?,
        increment: row.get("increment")?,
        farthest: None,
    };
    Ok((feed, row.get("partitioned")?))
}

impl Feed {
    fn shown(&self) -> String {
        format!("{}.{}", self.table.shown(), shown_ident(&self.column))
    }

    /// What the sequence would give out next, if the column is there already. The other side, if it is not known, is `None`.
    fn behind(&self, sequence: &Sequence) -> Option<(i64, i64)> {
        let farthest = self.farthest?;
        // At the end of its range a sequence gives out nothing more, and says so.
        let next = if sequence.is_called {
            sequence.last_value.checked_add(self.increment)?
        } else {
            sequence.last_value
        };
        let collides = if self.increment < 0 {
            next >= farthest
        } else {
            next <= farthest
        };
        collides.then_some((next, farthest))
    }
}

pub(super) fn compare(source: &Observed, target: &Observed, scope: &Scope) -> Outcome {
    let mut outcome = Outcome::default();
    compare_values(source, target, scope, &mut outcome);
    let mut behind = Outcome::default();
    compare_feeds(source, target, scope, &mut behind);
    outcome.extend(behind);
    outcome
}
fn compare_values(source: &Observed, target: &Observed, scope: &Scope, outcome: &mut Outcome) {
    let there: BTreeMap<&QualifiedName, &Sequence> = target
        .sequences
        .iter()
        .map(|sequence| (&sequence.name, sequence))
        .collect();
    let mut compared = 0;
    for sequence in &source.sequences {
        let configures = |extension: &String| scope.has_extension(extension);
        if !scope.has_relation(&sequence.name)
            && !sequence.extension.as_ref().is_some_and(configures)
        {
            continue;
        }
        let object = ("sequence", sequence.name.shown());
        let Some(found) = there.get(&sequence.name) else {
            let detail = "it is on the source, and not on the target".into();
            outcome.differ(DifferenceKind::Missing, object, detail);
            continue;
        };
        if scope.without_value.contains(&sequence.name) {
            continue;
        }
        compared += 1;
        if (found.last_value, found.is_called) != (sequence.last_value, sequence.is_called) {
            let stands = |one: &Sequence| {
                let place = if one.is_called { "at" } else { "before" };
                format!("{place} {}", one.last_value)
            };
            let detail = format!(
                "it stands {} on the source, and {} on the target",
                stands(sequence),
                stands(found)
            );
            outcome.differ(DifferenceKind::Different, object, detail);
        }
    }
    outcome.count("sequences", compared);
}
/// Whether a sequence stands behind the column it feeds on the target, and does not on the source.
fn compare_feeds(source: &Observed, target: &Observed, scope: &Scope, outcome: &mut Outcome) {
    let ours = by_name(source);
    let theirs = by_name(target);
    let takes_part = |feed: &&Feed| {
        scope.has_relation(&feed.sequence)
            && scope.has_relation(&feed.table)
            && !scope.without_value.contains(&feed.sequence)
    };
    let mut behind_on_both = Vec::new();
    let mut compared = 0;
    for feed in target.feeds.iter().filter(takes_part) {
        let Some(sequence) = theirs.get(&feed.sequence) else {
            continue;
        };
        compared += 1;
        let Some((next, farthest)) = feed.behind(sequence) else {
            continue;
        };
        let same = |other: &&Feed| {
            (&other.sequence, &other.table, &other.column)
                == (&feed.sequence, &feed.table, &feed.column)
        };
        let there = source.feeds.iter().find(same);
        let there = there.and_then(|feed| Some((feed, *ours.get(&feed.sequence)?)));
        match there {
            Some((other, sequence)) if other.behind(sequence).is_none() => {
                let detail = format!(
                    "its next value is {next}, but {} is at {farthest} already, so that inserts would fail or repeat a value; \
                     on the source it is beyond that column",
                    feed.shown()
                );
                let object = ("sequence", feed.sequence.shown());
                outcome.differ(DifferenceKind::Different, object, detail);
            }
            _ => behind_on_both.push(format!(
                "{} ({next} is next, {} is at {farthest})",
                feed.sequence.shown(),
                feed.shown()
            )),
        }
    }
    if !behind_on_both.is_empty() {
        outcome.notes.push(format!(
            "Sequences stand behind a column that they feed, as on the source: {}. The next insert may fail there, too.",
            super::some_of(&behind_on_both)
        ));
    }
    if compared > 0 {
        outcome.count("columns fed by sequences", compared);
    }
}

fn by_name(side: &Observed) -> BTreeMap<&QualifiedName, &Sequence> {
    let sequences = side.sequences.iter();
    sequences.map(|one| (&one.name, one)).collect()
}
