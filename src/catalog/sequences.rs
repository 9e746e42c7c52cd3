//! Sequences and where they stand.
//!
//! A sequence logs values before it gives them out (`nextval_internal` in `sequence.c`), and a standby has what was logged: there it
//! stands further on than on the primary, by as many values as have not been given out yet.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::queries::SEQUENCES;
use super::read::ask;
use crate::model::QualifiedName;
use crate::pg::{Answer, PgError, Session};

/// How many are read in one statement.
const SEQUENCES_PER_QUERY: usize = 200;

/// How many values are logged besides those that a session takes at once (`SEQ_LOG_VALS` in `sequence.c`).
pub const LOGGED_AHEAD: u8 = 32;

/// A sequence and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// Its name.
    pub name: QualifiedName,
    /// `last_value`.
    pub last_value: i64,
    /// The extension whose configuration it belongs to.
    pub extension: Option<String>,
    /// `is_called`: whether `last_value` was handed out.
    pub is_called: bool,
    /// On a standby: how far beyond the primary's it may stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead: Option<LoggedAhead>,
}

/// What tells how far beyond the primary's a standby's sequence may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedAhead {
    /// What the sequence adds each time.
    pub step: i64,
    /// How many values a session takes at once.
    pub cached: i64,
}

impl Sequence {
    /// Whether it stands where another one does.
    pub fn stands_as(&self, other: &Self) -> bool {
        (self.last_value, self.is_called) == (other.last_value, other.is_called)
    }

    /// Whether one of the two, and only one, was read on a standby, and stands no further beyond the other than what is logged ahead may
    /// have put it: then nobody knows that they do not stand in the same place.
    pub fn may_stand_as(&self, other: &Self) -> bool {
        let (standby, primary, ahead) = match (self.ahead, other.ahead) {
            (Some(ahead), None) => (self, other, ahead),
            (None, Some(ahead)) => (other, self, ahead),
            _ => return false,
        };
        let step = i128::from(ahead.step);
        let most = i128::from(LOGGED_AHEAD) + i128::from(ahead.cached);
        let beyond = i128::from(standby.last_value) - i128::from(primary.last_value);
        let values = beyond.checked_div(step);
        standby.is_called
            && primary.is_called
            && beyond.checked_rem(step) == Some(0)
            && values.is_some_and(|values| (0..=most).contains(&values))
    }
}

/// All sequences and where they stand now: a sequence does not follow snapshots.
pub async fn sequences(session: &Session) -> Result<Vec<Sequence>, PgError> {
    sequences_but(session, &BTreeSet::new()).await
}

/// The same without those that cannot be read.
pub async fn sequences_but(
    session: &Session,
    unreadable: &BTreeSet<QualifiedName>,
) -> Result<Vec<Sequence>, PgError> {
    const NAME: &str = "the values of sequences";
    let rows = ask(session, &SEQUENCES, &[]).await?;
    let listed: Vec<Sequence> = rows
        .iter()
        .map(listed_sequence)
        .filter(|one| !matches!(one, Ok(one) if unreadable.contains(&one.name)))
        .collect::<Result<_, PgError>>()?;
    let mut sequences = Vec::with_capacity(listed.len());
    for batch in listed.chunks(SEQUENCES_PER_QUERY) {
        let mut sql = String::new();
        for (index, sequence) in batch.iter().enumerate() {
            let union = if index == 0 { "" } else { " union all " };
            let _ = write!(
                sql,
                "{union}select {index}::int4 as index, last_value, is_called from {}",
                sequence.name
            );
        }
        for row in session.query_text(NAME, &sql, &[]).await? {
            let index = usize::try_from(row.get::<i32>("index")?)
                .ok()
                .and_then(|index| batch.get(index));
            let sequence = index.ok_or_else(|| PgError::Answer {
                query: NAME,
                what: "an unknown sequence".into(),
            })?;
            sequences.push(Sequence {
                last_value: row.get("last_value")?,
                is_called: row.get("is_called")?,
                ..sequence.clone()
            });
        }
    }
    Ok(sequences)
}

/// A sequence of which nobody has asked yet where it stands.
fn listed_sequence(row: &Answer) -> Result<Sequence, PgError> {
    let step = row.get::<Option<i64>>("logged_step")?;
    let cached = row.get::<Option<i64>>("cached")?;
    Ok(Sequence {
        name: row.name("schema", "name")?,
        extension: row.get("extension")?,
        last_value: 0,
        is_called: false,
        ahead: step
            .zip(cached)
            .map(|(step, cached)| LoggedAhead { step, cached }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last_value: i64, ahead: Option<LoggedAhead>) -> Sequence {
        Sequence {
            name: QualifiedName::new("s", "q"),
            last_value,
            extension: None,
            is_called: true,
            ahead,
        }
    }

    /// As on servers 10 to 18: after one `nextval()` a primary stands at 1 and its standby at 33; with a cache of 10, at 10 and 42.
    #[test]
    fn a_standby_may_be_ahead_and_never_behind() {
        let by = |step, cached| Some(LoggedAhead { step, cached });
        for (standby, primary, ahead, may) in [
            (33, 1, by(1, 1), true),
            (34, 1, by(1, 1), true),
            (35, 1, by(1, 1), false),
            (0, 1, by(1, 1), false),
            (42, 10, by(1, 10), true),
            (-33, -1, by(-1, 1), true),
            (33, 1, by(-1, 1), false),
            (321, 1, by(10, 1), true),
            (322, 1, by(10, 1), false),
            (i64::MAX, i64::MIN, by(1, i64::MAX), false),
            (33, 1, by(0, 1), false),
            (33, 1, None, false),
        ] {
            let (standby, primary) = (at(standby, ahead), at(primary, None));
            assert_eq!(standby.may_stand_as(&primary), may, "{standby:?}");
            assert_eq!(primary.may_stand_as(&standby), may, "{standby:?}");
        }
        let [standby, other] = [33, 1].map(|place| at(place, by(1, 1)));
        assert!(!standby.may_stand_as(&other), "both are standbys");
        let untouched = Sequence {
            is_called: false,
            ..at(1, None)
        };
        assert!(!standby.may_stand_as(&untouched), "nothing was logged");
    }
}
