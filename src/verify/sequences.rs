//! Where sequences stand, and whether the next value of one is free in the columns that it feeds.
//!
//! A sequence that stands behind its column makes the first insert after cut-over fail. That the source's does so, too, is
//! no difference, but worth saying.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::catalog::{LOGGED_AHEAD, Sequence, VersionedQuery};
use crate::model::{DifferenceKind, QualifiedName, quote_ident, shown_ident};
use crate::pg::{Answer, PgError, Query, Session};

use super::attempt::{attempt, attempt_text};
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

/// Reads what of each column the sequence must be beyond. Columns for which that takes a scan are left out, and those of
/// tables that cannot be read: what there is to say of these their rows say.
pub(super) async fn feeds(session: &Session) -> Result<Vec<Feed>, PgError> {
    let rows = session
        .query(FEEDS.for_server(session.version()), &[])
        .await?;
    let mut feeds: Vec<(Feed, bool)> = rows.iter().map(feed).collect::<Result<_, _>>()?;
    let mut known = Vec::with_capacity(feeds.len());
    for batch in feeds.chunks_mut(COLUMNS_PER_QUERY) {
        if read_farthest(session, batch).await? {
            known.extend_from_slice(batch);
            continue;
        }
        // One is locked, or was dropped meanwhile: the others can still be read.
        for one in batch.chunks_mut(1) {
            if read_farthest(session, one).await? {
                known.extend_from_slice(one);
            }
        }
    }
    Ok(known.into_iter().map(|(feed, _)| feed).collect())
}

/// The same of a damaged server: nothing, if it cannot say which columns take their values from a sequence.
pub(super) async fn feeds_if_any(session: &Session) -> Result<Vec<Feed>, PgError> {
    match attempt(session, &FEEDS).await? {
        Ok(_) => feeds(session).await,
        Err(_) => Ok(Vec::new()),
    }
}

/// Whether all of these could be read.
async fn read_farthest(session: &Session, feeds: &mut [(Feed, bool)]) -> Result<bool, PgError> {
    let mut sql = String::new();
    for (index, (feed, partitioned)) in feeds.iter().enumerate() {
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
    let Ok(rows) = attempt_text(session, "the largest values of columns", &sql).await? else {
        return Ok(false);
    };
    for row in rows {
        let place = usize::try_from(row.get::<i32>("index")?).ok();
        if let Some((feed, _)) = place.and_then(|place| feeds.get_mut(place)) {
            feed.farthest = row.get("farthest")?;
        }
    }
    Ok(true)
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

    /// What the sequence would give out next, if the column is there already.
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
    let mut in_doubt = Vec::new();
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
        if sequence.stands_as(found) {
            continue;
        }
        let detail = format!(
            "it stands {} on the source, and {} on the target",
            stands(sequence),
            stands(found)
        );
        if sequence.may_stand_as(found) {
            in_doubt.push(format!("{} ({detail})", sequence.name.shown()));
        } else {
            outcome.differ(DifferenceKind::Different, object, detail);
        }
    }
    if !in_doubt.is_empty() {
        outcome.notes.push(format!(
            "One side is a standby, where a sequence stands further on than on its primary, by up to {LOGGED_AHEAD} values that are logged \
             and not given out yet, and those that a session takes at once. So these are not counted as different, and only the primary \
             can tell: {}.",
            super::some_of(&in_doubt)
        ));
    }
    outcome.count("sequences", compared);
}

/// For people.
fn stands(sequence: &Sequence) -> String {
    let place = if sequence.is_called { "at" } else { "before" };
    format!("{place} {}", sequence.last_value)
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
            "The next insert may fail: sequences stand behind a column that they feed, and nothing shows that the source's stand better: {}.",
            super::some_of(&behind_on_both)
        ));
    }
    if compared > 0 {
        outcome.count("columns fed by sequences", compared);
    }
}

/// A sequence whose next value is in a column already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Behind {
    /// The sequence.
    pub sequence: QualifiedName,
    /// The column that it feeds, for people.
    pub column: String,
    /// What it would give out next.
    pub next: i64,
    /// How far the column is.
    pub farthest: i64,
    /// It counts down.
    pub downwards: bool,
}

/// Those of one side, whatever the other's are.
pub(super) fn behind(side: &Observed, scope: &Scope) -> Vec<Behind> {
    let sequences = by_name(side);
    let feeds = side.feeds.iter().filter(|feed| {
        scope.has_relation(&feed.sequence)
            && scope.has_relation(&feed.table)
            && !scope.without_value.contains(&feed.sequence)
    });
    feeds
        .filter_map(|feed| {
            let (next, farthest) = feed.behind(sequences.get(&feed.sequence)?)?;
            Some(Behind {
                sequence: feed.sequence.clone(),
                column: feed.shown(),
                next,
                farthest,
                downwards: feed.increment < 0,
            })
        })
        .collect()
}

fn by_name(side: &Observed) -> BTreeMap<&QualifiedName, &Sequence> {
    let sequences = side.sequences.iter();
    sequences.map(|one| (&one.name, one)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::LoggedAhead;

    fn name(name: &str) -> QualifiedName {
        QualifiedName::new("s", name)
    }

    /// A sequence that has given out its last value, and the column it feeds, if that is known.
    fn side(last_value: i64, increment: i64, farthest: &[Option<i64>]) -> Observed {
        let feed = |farthest| Feed {
            sequence: name("q"),
            table: name("t"),
            column: "id".into(),
            increment,
            farthest,
        };
        Observed {
            sequences: vec![Sequence {
                name: name("q"),
                last_value,
                extension: None,
                ahead: None,
                is_called: true,
            }],
            feeds: farthest.iter().copied().map(feed).collect(),
            ..Observed::default()
        }
    }

    fn found(source: &Observed, target: &Observed) -> Outcome {
        compare(source, target, &Scope::of_relations([name("q"), name("t")]))
    }

    #[test]
    fn a_sequence_must_be_beyond_its_column_unless_the_sources_is_not_either() {
        let good = side(10, 1, &[Some(10)]);
        assert!(found(&good, &good).is_same() && found(&good, &good).notes.is_empty());
        let outcome = found(&good, &side(10, 1, &[Some(11)]));
        let [difference] = outcome.differences.as_slice() else {
            panic!("{outcome:?}");
        };
        assert_eq!(
            (difference.class.as_str(), difference.object.as_str()),
            ("sequence", "s.q")
        );
        assert!(
            difference
                .detail
                .contains("next value is 11, but s.t.id is at 11"),
            "{difference:?}"
        );
        // Where it stands and that it is behind is one difference.
        let outcome = found(&good, &side(9, 1, &[Some(10)]));
        assert_eq!(outcome.differences.len(), 1, "{outcome:?}");
        for source in [side(10, 1, &[Some(99)]), side(10, 1, &[])] {
            let outcome = found(&source, &side(10, 1, &[Some(11)]));
            assert!(outcome.is_same() && outcome.notes.len() == 1, "{outcome:?}");
        }
        assert!(found(&good, &side(10, 1, &[None])).notes.is_empty());
        assert!(found(&good, &side(10, 1, &[])).is_same());
    }

    #[test]
    fn how_far_a_standby_logged_ahead_is_a_note() {
        let on_standby = |last_value| {
            let mut side = side(last_value, 1, &[]);
            side.sequences[0].ahead = Some(LoggedAhead { step: 1, cached: 1 });
            side
        };
        let primary = side(3, 1, &[]);
        for (source, target) in [(&on_standby(35), &primary), (&primary, &on_standby(35))] {
            let outcome = found(source, target);
            assert!(outcome.is_same(), "{outcome:?}");
            assert!(
                outcome.notes[0].contains("s.q (it stands at "),
                "{outcome:?}"
            );
        }
        assert!(found(&on_standby(3), &primary).notes.is_empty());
        assert!(!found(&on_standby(2), &primary).is_same());
        assert!(!found(&on_standby(35), &on_standby(3)).is_same());
        assert!(!found(&primary, &side(35, 1, &[])).is_same());
    }

    #[test]
    fn direction_and_the_end_of_the_range_count() {
        let down = side(-10, -1, &[Some(-10)]);
        assert!(found(&down, &down).is_same());
        assert!(!found(&down, &side(-10, -1, &[Some(-11)])).is_same());
        // There is no next value that could collide.
        let full = side(i64::MAX, 1, &[Some(i64::MAX)]);
        assert!(found(&full, &full).notes.is_empty());
        let not_called = |last_value, farthest| {
            let mut side = side(last_value, 1, &[Some(farthest)]);
            side.sequences[0].is_called = false;
            side
        };
        let good = not_called(11, 10);
        assert!(found(&good, &good).notes.is_empty());
        assert!(!found(&good, &not_called(11, 11)).is_same());
    }
}
