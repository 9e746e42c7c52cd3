//! Where sequences stand, and whether the next value of one is free in the columns that it feeds.
//!
//! A sequence that stands behind its column makes the first insert after cut-over fail. That the source's does so, too, is
//! no difference, but worth saying.
//!
//! A row may also be far beyond its sequence, as one whose key is 2147483647 and means "unknown". Nothing collides with it for long, and a
//! sequence that is set there gives out nothing more. So of a column both are known: its farthest value, which both sides are compared by,
//! and the one that its sequence is to be set to (`reach`), which leaves it at least half of the values that it has left.

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
    /// Whether that is partitioned: then its rows are those of its partitions.
    pub partitioned: bool,
    /// The column.
    pub column: String,
    /// What the sequence adds each time.
    pub increment: i64,
    /// The last value that the sequence and the column's type can hold.
    pub last: i64,
    /// The column's value that is farthest in the sequence's direction: the largest, unless it counts down. `None` without rows.
    pub farthest: Option<i64>,
    /// Of a column that is beyond what its sequence gives out next: what that is to be set to. `None` if there is nothing, or nobody looked.
    pub reach: Option<i64>,
    /// The first value that the sequence comes to after that, if it is not to be set beyond it.
    pub ahead: Option<i64>,
}

/// Reads what of each column the sequence must be beyond. Columns for which that takes a scan are left out, and those of
/// tables that cannot be read: what there is to say of these their rows say.
pub(super) async fn feeds(session: &Session) -> Result<Vec<Feed>, PgError> {
    let query = FEEDS.for_server(session.version());
    let feeds = session.query_each(query, &[], feed).await?;
    let (known, _) = ask(session, &FARTHEST, feeds).await?;
    Ok(known)
}

/// The same with what their sequences are to be set to. Columns of which the server does not tell stay as they are.
pub(super) async fn with_reach(
    session: &Session,
    sequences: &[Sequence],
    feeds: Vec<Feed>,
) -> Result<Vec<Feed>, PgError> {
    let stands: BTreeMap<&QualifiedName, &Sequence> =
        sequences.iter().map(|one| (&one.name, one)).collect();
    let (mut known, mut beyond) = (Vec::with_capacity(feeds.len()), Vec::new());
    for feed in feeds {
        let behind = stands.get(&feed.sequence);
        let Some((next, farthest)) = behind.and_then(|sequence| feed.behind(sequence)) else {
            known.push(feed);
            continue;
        };
        let half = feed.half_way(next);
        if feed.is_beyond(farthest, half) {
            beyond.push(Beyond { feed, next, half });
        } else {
            let reach = Some(farthest);
            known.push(Feed { reach, ..feed });
        }
    }
    let (beyond, unknown) = ask(session, &REACH, beyond).await?;
    known.extend(unknown.into_iter().map(|one| one.feed));
    let (beyond, unknown) = ask(session, &AHEAD, beyond).await?;
    known.extend(unknown.into_iter().map(|one| one.feed));
    known.extend(beyond.into_iter().map(Beyond::told));
    Ok(known)
}

/// The same of a damaged server: nothing, if it cannot say which columns take their values from a sequence.
pub(super) async fn feeds_if_any(session: &Session) -> Result<Vec<Feed>, PgError> {
    match attempt(session, &FEEDS).await? {
        Ok(_) => feeds(session).await,
        Err(_) => Ok(Vec::new()),
    }
}

/// What is asked of many columns in one statement: a query of one value each, and where that belongs.
struct Question<T> {
    name: &'static str,
    sql: fn(&T) -> String,
    keep: fn(&mut T, Option<i64>),
}

const FARTHEST: Question<Feed> = Question {
    name: "the largest values of columns",
    sql: Feed::ask_farthest,
    keep: |feed, value| feed.farthest = value,
};

const REACH: Question<Beyond> = Question {
    name: "the values that sequences come to",
    sql: Beyond::ask_reach,
    keep: |one, value| one.feed.reach = value,
};

const AHEAD: Question<Beyond> = Question {
    name: "the values that sequences come to later",
    sql: Beyond::ask_ahead,
    keep: |one, value| one.feed.ahead = value,
};

/// Those that could be asked, with the answer; and the others.
async fn ask<T: Clone>(
    session: &Session,
    question: &Question<T>,
    mut all: Vec<T>,
) -> Result<(Vec<T>, Vec<T>), PgError> {
    let (mut known, mut unknown) = (Vec::with_capacity(all.len()), Vec::new());
    for batch in all.chunks_mut(COLUMNS_PER_QUERY) {
        if ask_at_once(session, question, batch).await? {
            known.extend_from_slice(batch);
            continue;
        }
        // One is locked, or was dropped meanwhile: the others can still be read.
        for one in batch.chunks_mut(1) {
            if ask_at_once(session, question, one).await? {
                known.extend_from_slice(one);
            } else {
                unknown.extend_from_slice(one);
            }
        }
    }
    Ok((known, unknown))
}

/// Whether all of these could be read.
async fn ask_at_once<T>(
    session: &Session,
    question: &Question<T>,
    all: &mut [T],
) -> Result<bool, PgError> {
    let mut sql = String::new();
    for (index, one) in all.iter().enumerate() {
        let union = if index == 0 { "" } else { " union all " };
        let value = (question.sql)(one);
        let _ = write!(
            sql,
            "{union}select {index}::int4 as index, ({value})::int8 as value"
        );
    }
    let Ok(rows) = attempt_text(session, question.name, &sql).await? else {
        return Ok(false);
    };
    for row in rows {
        let place = usize::try_from(row.get::<i32>("index")?).ok();
        if let Some(one) = place.and_then(|place| all.get_mut(place)) {
            (question.keep)(one, row.get("value")?);
        }
    }
    Ok(true)
}

fn feed(row: &Answer) -> Result<Feed, PgError> {
    Ok(Feed {
        sequence: row.name("sequence_schema", "sequence_name")?,
        table: row.name("schema", "name")?,
        partitioned: row.get("partitioned")?,
        column: row.get("column_name")?,
        increment: row.get("increment")?,
        last: row.get("last")?,
        farthest: None,
        reach: None,
        ahead: None,
    })
}

impl Feed {
    fn shown(&self) -> String {
        format!("{}.{}", self.table.shown(), shown_ident(&self.column))
    }

    /// What its rows are read from.
    fn rows(&self) -> String {
        let only = if self.partitioned { "" } else { "only " };
        format!("{only}{}", self.table)
    }

    fn ask_farthest(&self) -> String {
        let farthest = if self.increment < 0 { "min" } else { "max" };
        let column = quote_ident(&self.column);
        format!(
            "select pg_catalog.{farthest}({column}) from {}",
            self.rows()
        )
    }

    /// Whether a sequence that has given out the second value comes to the first one later.
    fn is_beyond(&self, value: i64, other: i64) -> bool {
        if self.increment < 0 {
            value < other
        } else {
            value > other
        }
    }

    /// The middle between what the sequence gives out next and its last value.
    fn half_way(&self, next: i64) -> i64 {
        let (next, last) = (i128::from(next), i128::from(self.last));
        i64::try_from(next + (last - next) / 2).unwrap_or(self.last)
    }

    /// Whether the sequence gives out one more value after this one, and the column can hold it.
    fn goes_on_after(&self, value: i64) -> bool {
        let next = value.checked_add(self.increment);
        next.is_some_and(|next| !self.is_beyond(next, self.last))
    }

    /// What the sequence would give out next, if the column is there already, or beyond.
    fn behind(&self, sequence: &Sequence) -> Option<(i64, i64)> {
        let farthest = self.farthest?;
        // At the end of its range a sequence gives out nothing more, and says so.
        let next = if sequence.is_called {
            sequence.last_value.checked_add(self.increment)?
        } else {
            sequence.last_value
        };
        let collides = !self.is_beyond(next, farthest) && !self.is_beyond(next, self.last);
        collides.then_some((next, farthest))
    }
}

/// A column with values in the farther half of what its sequence has left.
#[derive(Debug, Clone)]
struct Beyond {
    feed: Feed,
    /// What the sequence gives out next.
    next: i64,
    /// Where that half begins.
    half: i64,
}

impl Beyond {
    /// The farthest value of the nearer half.
    fn ask_reach(&self) -> String {
        let [nearest, farthest] = ends(self.next, self.half);
        self.ask(
            !self.counts_down(),
            &format!("between {nearest} and {farthest}"),
        )
    }

    /// The first value of the farther half, if the sequence comes to it.
    fn ask_ahead(&self) -> String {
        let [low, high] = ends(self.half, self.feed.last);
        let half = self.half;
        let range = format!(
            "between {low} and {high} and t.{} <> '{half}'::int8",
            quote_ident(&self.feed.column)
        );
        self.ask(self.counts_down(), &range)
    }

    fn counts_down(&self) -> bool {
        self.feed.increment < 0
    }

    fn ask(&self, largest: bool, range: &str) -> String {
        let (column, rows) = (quote_ident(&self.feed.column), self.feed.rows());
        let which = if largest { "max" } else { "min" };
        format!("select pg_catalog.{which}(t.{column}) from {rows} t where t.{column} {range}")
    }

    /// Values that go on from one half into the other are no single rows with a meaning of their own.
    fn told(self) -> Feed {
        let feed = self.feed;
        let step = feed.increment.unsigned_abs();
        let few = step.saturating_mul(1000);
        let few = few.min(self.half.abs_diff(feed.last) / 8).max(step);
        match (feed.reach, feed.ahead) {
            (Some(reach), Some(ahead)) if reach.abs_diff(ahead) <= few => Feed {
                reach: feed.farthest,
                ahead: None,
                ..feed
            },
            _ => feed,
        }
    }
}

/// Of a range, the smaller one first.
fn ends(from: i64, to: i64) -> [String; 2] {
    [from.min(to), from.max(to)].map(|value| format!("'{value}'::int8"))
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
            _ => {
                // A row that is far beyond on both sides hurts nobody yet.
                behind_on_both.extend(feed.reach.map(|reach| {
                    format!(
                        "{} ({next} is next, {} is at {reach})",
                        feed.sequence.shown(),
                        feed.shown()
                    )
                }));
            }
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

/// A sequence of which a column holds what it has not given out yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Behind {
    /// The sequence.
    pub sequence: QualifiedName,
    /// The column that it feeds, for people.
    pub column: String,
    /// What it would give out next.
    pub next: i64,
    /// What it is to be set to, if anything.
    pub reach: Option<i64>,
    /// The first value that it comes to after that.
    pub ahead: Option<i64>,
    /// Whether there is a next value after these, for all columns that the sequence feeds.
    pub goes_on: bool,
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
            let (next, _) = feed.behind(sequences.get(&feed.sequence)?)?;
            let of_sequence = side.feeds.iter();
            let mut of_sequence = of_sequence.filter(|other| other.sequence == feed.sequence);
            let reach = feed.reach;
            Some(Behind {
                sequence: feed.sequence.clone(),
                column: feed.shown(),
                next,
                reach,
                ahead: feed.ahead,
                goes_on: reach
                    .is_some_and(|reach| of_sequence.all(|other| other.goes_on_after(reach))),
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
            partitioned: false,
            column: "id".into(),
            increment,
            last: if increment < 0 { i64::MIN } else { i64::MAX },
            farthest,
            reach: farthest,
            ahead: None,
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

    /// It is no difference, as long as both sides have it; and nothing collides with it for now.
    #[test]
    fn a_row_far_beyond_a_sequence_is_compared_and_not_talked_about() {
        let far = |last_value| {
            let mut side = side(last_value, 1, &[Some(2_147_483_647)]);
            side.feeds[0].reach = None;
            side
        };
        let outcome = found(&far(500), &far(500));
        assert!(outcome.is_same() && outcome.notes.is_empty(), "{outcome:?}");
        assert!(!found(&far(500), &far(499)).is_same());
        // A row that only the target has is one that it did not get from the source.
        assert!(!found(&side(500, 1, &[Some(500)]), &far(500)).is_same());
        // What collides is told with what it goes on to.
        let mut behind = far(490);
        behind.feeds[0].reach = Some(500);
        let outcome = found(&behind, &behind);
        assert!(outcome.is_same(), "{outcome:?}");
        assert!(
            outcome.notes[0].contains("(491 is next, s.t.id is at 500)"),
            "{outcome:?}"
        );
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

    fn beyond(feed: Feed, next: i64) -> Beyond {
        let half = feed.half_way(next);
        Beyond { feed, next, half }
    }

    #[test]
    fn half_of_what_is_left_is_counted_without_overflow_in_both_directions() {
        for (increment, next, last, half) in [
            (1, 1, i64::MAX, 1_i64 << 62),
            (1, i64::MIN, i64::MAX, -1),
            (-1, i64::MAX, i64::MIN, 0),
            (-1, -1, -11, -6),
            (1, 32_751, 32_767, 32_759),
            (1, 7, 7, 7),
            (1, 6, 7, 6),
        ] {
            let feed = Feed {
                last,
                ..side(0, increment, &[None]).feeds.remove(0)
            };
            assert_eq!(feed.half_way(next), half, "{next} to {last}");
        }
    }

    #[test]
    fn each_half_is_asked_by_one_plain_query() {
        let up = beyond(
            Feed {
                last: 100,
                ..side(0, 1, &[None]).feeds.remove(0)
            },
            2,
        );
        assert_eq!(
            up.ask_reach(),
            "select pg_catalog.max(t.\"id\") from only \"s\".\"t\" t where t.\"id\" between '2'::int8 and '51'::int8"
        );
        assert!(
            up.ask_ahead().starts_with("select pg_catalog.min(")
                && up
                    .ask_ahead()
                    .ends_with("between '51'::int8 and '100'::int8 and t.\"id\" <> '51'::int8")
        );
        let down = beyond(
            Feed {
                last: -100,
                ..side(0, -1, &[None]).feeds.remove(0)
            },
            -2,
        );
        assert!(
            down.ask_reach().starts_with("select pg_catalog.min(")
                && down
                    .ask_reach()
                    .ends_with("between '-51'::int8 and '-2'::int8")
        );
        assert!(
            down.ask_ahead().starts_with("select pg_catalog.max(")
                && down
                    .ask_ahead()
                    .contains("between '-100'::int8 and '-51'::int8")
        );
    }

    /// A single row is not what a sequence is set to; rows without a gap at the middle are.
    #[test]
    fn values_that_go_on_through_the_middle_are_no_rows_far_beyond() {
        let told = |last: i64, next: i64, found: [Option<i64>; 3]| {
            let [reach, ahead, farthest] = found;
            let feed = Feed {
                last,
                reach,
                ahead,
                ..side(0, 1, &[farthest]).feeds.remove(0)
            };
            let feed = beyond(feed, next).told();
            (feed.reach, feed.ahead)
        };
        let end = 2_147_483_647;
        let far = [Some(600), Some(end), Some(end)];
        assert_eq!(told(end, 501, far), (Some(600), Some(end)));
        let alone = [None, Some(end), Some(end)];
        assert_eq!(told(end, 501, alone), (None, Some(end)));
        let many = [
            Some(1_073_741_824),
            Some(1_073_741_825),
            Some(2_000_000_000),
        ];
        assert_eq!(told(end, 1, many), (Some(2_000_000_000), None));
        // In a small range, a thousand values are no small gap.
        let small = [Some(32_001), Some(32_767), Some(32_767)];
        assert_eq!(told(32_767, 32_000, small), (Some(32_001), Some(32_767)));
        let full = [Some(32_759), Some(32_760), Some(32_767)];
        assert_eq!(told(32_767, 32_751, full), (Some(32_767), None));
    }
}
