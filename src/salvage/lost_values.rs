//! Values that are known to be lost before the server is asked for them. Where a file of long values is gone there may be millions of them:
//! so the rows are kept by column and reason, as those are that were read (`seen`), and the values by their numbers, a bit each.

use std::collections::BTreeMap;

use super::account::{Cause, DamageClass};
use super::facts::TableFacts;
use super::proven::Numbers;
use super::seen::Seen;
use crate::plan::Place;

/// All rows of a table.
const EVERYWHERE: (Place, Place) = ((0, 0), (u32::MAX, 0));

/// Why a value is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// A part of it is on a page of TOAST which the server does not take from disk, because its checksum is wrong.
    Refused,
    /// The same, by the index that leads there, and not by what is on the page.
    Led,
    /// A part of it would be on a page of TOAST which is not there, or cannot be read.
    Missing,
    /// Nothing of TOAST can be had.
    Nothing(&'static str),
    /// The server shows it, and no other takes it.
    Untaken(&'static str),
}

impl Why {
    /// For the account.
    pub fn cause(self, (block, offset): Place, table: &TableFacts) -> Cause {
        let toast = table.toast.as_ref().map_or("", |(path, _)| path.as_str());
        let (class, message) = match self {
            Self::Refused | Self::Led => (
                DamageClass::Corrupted,
                format!(
                    "a part of the value is on a page of relation {toast} that is invalid: its checksum is wrong"
                ),
            ),
            Self::Missing => (
                DamageClass::Corrupted,
                format!(
                    "a part of the value is on a page of relation {toast}, which cannot be read"
                ),
            ),
            Self::Nothing(why) => (
                DamageClass::MissingFile,
                format!("no out-of-line value can be read: {why}"),
            ),
            Self::Untaken(why) => (DamageClass::Value, format!("row ({block},{offset}): {why}")),
        };
        Cause {
            class,
            ..Cause::silent(message)
        }
    }

    /// It is not known by the row itself, or by a checksum, but by what seems to be missing from TOAST.
    fn is_learned(self) -> bool {
        matches!(self, Self::Led | Self::Missing | Self::Nothing(_))
    }

    /// Whether a server that lets pages with wrong checksums pass may show the value after all.
    pub fn is_for_a_checksum(self) -> bool {
        matches!(self, Self::Refused | Self::Led)
    }
}

/// Values out of line that cannot be had, by number.
#[derive(Debug, Clone, Default)]
pub struct Gone {
    /// Why none can be had.
    pub all: Option<&'static str>,
    /// Those that have a part on a page which the server does not take from disk, because its checksum is wrong.
    pub refused: Numbers,
    /// Those that would have a part on such a page, by the index that leads there.
    pub led: Numbers,
    /// Those that would have a part on a page which is not there, or cannot be read.
    pub missing: Numbers,
}

impl Gone {
    /// Whether all can be had.
    pub fn is_nothing(&self) -> bool {
        let numbers = [&self.refused, &self.led, &self.missing];
        self.all.is_none() && numbers.into_iter().all(Numbers::is_empty)
    }

    /// Why one cannot be had, if it cannot.
    pub fn why(&self, value: u32) -> Option<Why> {
        if let Some(why) = self.all {
            return Some(Why::Nothing(why));
        }
        let known = [
            (&self.refused, Why::Refused),
            (&self.missing, Why::Missing),
            (&self.led, Why::Led),
        ];
        let mut known = known.into_iter();
        known.find_map(|(numbers, why)| numbers.has(value).then_some(why))
    }

    /// Others besides.
    pub fn extend(&mut self, more: &Self) {
        self.all = self.all.or(more.all);
        self.refused.extend(&more.refused);
        self.led.extend(&more.led);
        self.missing.extend(&more.missing);
    }

    /// Only what a checksum tells is so.
    pub fn unlearn(&mut self) {
        self.all = None;
        self.led = Numbers::default();
        self.missing = Numbers::default();
    }
}

/// Values of rows that are lost, by attribute from 0, and why.
#[derive(Debug, Default)]
pub struct LostValues(BTreeMap<(usize, Why), Seen>);

impl LostValues {
    /// Adds one, unless it is known.
    pub fn add(&mut self, (block, offset): Place, (attribute, why): (usize, Why)) {
        let mut known = self.0.iter();
        let is_it =
            |((one, _), rows): (&(usize, Why), &Seen)| *one == attribute && rows.has(block, offset);
        if !known.any(is_it) {
            let rows = self.0.entry((attribute, why)).or_default();
            rows.insert(block, offset);
        }
    }

    /// The first of them, among some rows, that is lost for a reason that is meant; of one attribute, if one is given.
    pub fn first_of(
        &self,
        rows: (Place, Place),
        attribute: Option<usize>,
        is_meant: impl Fn(Why) -> bool,
    ) -> Option<(Place, Why)> {
        let meant = self.0.iter().filter(|((one, why), _)| {
            is_meant(*why) && attribute.is_none_or(|attribute| attribute == *one)
        });
        let first = meant.filter_map(|((_, why), lost)| Some((lost.first_of(rows)?, *why)));
        first.min_by_key(|(place, _)| *place)
    }

    /// Whether there are any in a run of blocks.
    pub fn are_in(&self, (from, to): (u32, u32)) -> bool {
        let mut lost = self.0.values();
        lost.any(|rows| rows.first_of(((from, 0), (to, 0))).is_some())
    }

    /// Whether there are more than so many in a run of blocks.
    pub fn are_more_than(&self, most: usize, run: (u32, u32)) -> bool {
        let counts = self.0.values().map(|rows| rows.within(run).rows());
        usize::try_from(counts.sum::<u64>()).is_ok_and(|count| count > most)
    }

    /// Those in a run of blocks, by attribute.
    pub fn of(&self, run: (u32, u32)) -> Vec<(Place, usize)> {
        let mut values = Vec::new();
        for ((attribute, _), rows) in &self.0 {
            let places = rows.within(run).places();
            values.extend(places.into_iter().map(|place| (place, *attribute)));
        }
        values
    }

    /// Those of a row: attribute, and why.
    pub fn of_row(&self, (block, offset): Place) -> impl Iterator<Item = (usize, Why)> {
        let lost = self.0.iter();
        let lost = lost.filter(move |(_, rows)| rows.has(block, offset));
        lost.map(|(value, _)| *value)
    }

    /// All attributes of which one is lost.
    pub fn attributes(&self) -> impl Iterator<Item = usize> {
        let lost = self.0.iter().filter(|(_, rows)| rows.rows() > 0);
        lost.map(|((attribute, _), _)| *attribute)
    }

    /// The first and the last that is lost because of what seems to be missing from TOAST, of these attributes.
    pub fn learned(&self, is_meant: impl Fn(usize) -> bool) -> Vec<(Place, usize)> {
        let learned = || {
            let lost = self.0.iter();
            lost.filter(|((attribute, why), _)| why.is_learned() && is_meant(*attribute))
        };
        let first = learned()
            .filter_map(|((attribute, _), rows)| Some((rows.first_of(EVERYWHERE)?, *attribute)))
            .min();
        let last = learned()
            .filter_map(|((attribute, _), rows)| Some((rows.last_of_all()?, *attribute)))
            .max();
        first.into_iter().chain(last).collect()
    }

    /// What seems to be missing from TOAST is not: the rows of which that was said, by attribute.
    pub fn unlearn(&mut self) -> Vec<(usize, Seen)> {
        let all = std::mem::take(&mut self.0).into_iter();
        let (learned, known): (BTreeMap<_, _>, BTreeMap<_, _>) =
            all.partition(|((_, why), _)| why.is_learned());
        self.0 = known;
        let learned = learned.into_iter();
        let rows = learned.map(|((attribute, _), rows)| (attribute, rows));
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_known_by_row_and_attribute_and_each_once() {
        let mut lost = LostValues::default();
        for (place, value) in [
            ((7, 3), (1, Why::Missing)),
            ((7, 3), (2, Why::Untaken("odd"))),
            ((9, 1), (1, Why::Missing)),
            // It is known already.
            ((9, 1), (1, Why::Refused)),
            ((5, 2), (1, Why::Refused)),
        ] {
            lost.add(place, value);
        }
        let any = |_| true;
        assert_eq!(
            lost.first_of(EVERYWHERE, None, any),
            Some(((5, 2), Why::Refused))
        );
        let shown = |why| matches!(why, Why::Untaken(_));
        assert_eq!(
            lost.first_of(EVERYWHERE, None, shown),
            Some(((7, 3), Why::Untaken("odd")))
        );
        assert_eq!(lost.first_of(((7, 0), (8, 0)), Some(3), any), None);
        assert!(lost.are_in((9, 10)) && !lost.are_in((10, 11)) && !lost.are_in((6, 7)));
        assert!(lost.are_more_than(3, (0, 10)) && !lost.are_more_than(4, (0, 10)));
        assert_eq!(lost.of((7, 8)), [((7, 3), 1), ((7, 3), 2)]);
        assert_eq!(
            lost.of_row((7, 3)).collect::<Vec<_>>(),
            [(1, Why::Missing), (2, Why::Untaken("odd"))]
        );
        assert_eq!(lost.of_row((9, 1)).collect::<Vec<_>>(), [(1, Why::Missing)]);
        assert_eq!(lost.learned(|_| true), [((7, 3), 1), ((9, 1), 1)]);
        assert_eq!(lost.learned(|attribute| attribute == 2), []);
        let unlearned = lost.unlearn();
        assert_eq!(unlearned.len(), 1);
        assert_eq!((unlearned[0].0, unlearned[0].1.rows()), (1, 2));
        assert_eq!(lost.of((0, 10)), [((5, 2), 1), ((7, 3), 2)]);
    }

    #[test]
    fn what_a_checksum_tells_stays_known() {
        let mut gone = Gone::default();
        assert!(gone.is_nothing());
        gone.refused.set(4711, true);
        let mut more = Gone::default();
        more.missing.set(4711, true);
        more.missing.set(9, true);
        more.led.set(9, true);
        more.led.set(10, true);
        gone.extend(&more);
        assert_eq!(gone.why(4711), Some(Why::Refused));
        // What is not there does not come, whatever a server lets pass.
        assert_eq!(gone.why(9), Some(Why::Missing));
        assert_eq!(gone.why(10), Some(Why::Led));
        gone.all = Some("gone");
        assert_eq!(gone.why(8), Some(Why::Nothing("gone")));
        gone.unlearn();
        for value in [8, 9, 10] {
            assert_eq!(gone.why(value), None);
        }
        assert_eq!(gone.why(4711), Some(Why::Refused));
    }
}
