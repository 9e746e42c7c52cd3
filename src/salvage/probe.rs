//! What of a damaged table is read next, and what is known of it in the end: a state machine that knows no server.
//!
//! ```text
//!   blocks ─fails─► halves … one block ─fails─► its page ─fails─► the block is lost
//!                                                 └─read─► its rows, by halves … one row ─► its head ─fails─► the row is lost
//!                                                                                            └─read─► column by column
//! ```
//!
//! It is told for each probe whether that was read, and answers with the next. No probe is asked for twice, so that one that
//! crashes the server does so once. That a page can be read is asked for with a line pointer that no page has: the server
//! reads the page, and finds nothing there; no message has to be understood for it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::plan::{MOST_ROWS_OF_A_BLOCK, Place};

/// Something to be read of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "read", rename_all = "snake_case")]
pub enum Probe {
    /// No row at all: whether a query can be planned, and the file opened.
    Open,
    /// The table by COPY, without a query, for which no index is opened.
    Plain,
    /// Whole rows of a run of blocks: the first, and the one behind the last.
    Blocks {
        /// First block.
        from: u32,
        /// The block after the last.
        to: u32,
    },
    /// The same, without values that are known to be lost.
    Rest {
        /// First block.
        from: u32,
        /// The block after the last.
        to: u32,
    },
    /// The page itself, and no row of it.
    Page {
        /// Which.
        block: u32,
    },
    /// Whole rows of one block: the first line pointer, and the one behind the last.
    Rows {
        /// The block.
        block: u32,
        /// First line pointer.
        from: u16,
        /// The line pointer after the last.
        to: u16,
    },
    /// A row without its columns.
    Row {
        /// Where it is.
        place: Place,
    },
    /// One column of a row.
    Column {
        /// Where the row is.
        place: Place,
        /// The column's place among those that are copied, from 0.
        column: u16,
    },
}

impl Probe {
    /// Whether nothing is lost with it, because it is asked for by halves, or row by row, if it is not read.
    pub fn has_halves(self) -> bool {
        matches!(
            self,
            Self::Blocks { .. } | Self::Rest { .. } | Self::Rows { .. }
        )
    }
}

/// What was found out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Blocks all of whose rows were read.
    pub whole: BTreeSet<u32>,
    /// Blocks whose page cannot be read.
    pub lost_blocks: BTreeSet<u32>,
    /// Rows that cannot be read at all.
    pub lost_rows: BTreeSet<Place>,
    /// Rows some of whose columns cannot be read, and which.
    pub lost_columns: BTreeMap<Place, BTreeSet<u16>>,
}

/// A search for what can be read.
#[derive(Debug)]
pub struct Search {
    columns: u16,
    open: Vec<Probe>,
    found: Found,
}

impl Search {
    /// Among these runs of blocks, of a table with so many columns to copy.
    pub fn among(runs: &[(u32, u32)], columns: u16) -> Self {
        let runs = runs.iter().filter(|(from, to)| from < to);
        let mut open: Vec<Probe> = runs.map(|&(from, to)| Probe::Blocks { from, to }).collect();
        open.reverse();
        Self {
            columns,
            open,
            found: Found::default(),
        }
    }

    /// Goes on where a run of blocks, asked for elsewhere, could not be read.
    pub fn after_failures(runs: &[(u32, u32)], columns: u16) -> Self {
        let mut search = Self::among(&[], columns);
        for &(from, to) in runs.iter().rev() {
            search.told(Probe::Blocks { from, to }, false);
        }
        search
    }

    /// Other runs of blocks besides.
    #[must_use]
    pub fn and_among(mut self, runs: &[(u32, u32)]) -> Self {
        let more = Self::among(runs, self.columns);
        self.open.extend(more.open);
        self
    }

    /// Single rows besides.
    #[must_use]
    pub fn and_rows(mut self, places: impl IntoIterator<Item = Place>) -> Self {
        let row = |(block, from): Place| Probe::Rows {
            block,
            from,
            to: from.saturating_add(1),
        };
        self.open.extend(places.into_iter().map(row));
        self
    }

    /// What is to be read next; nothing if all is known.
    pub fn next_probe(&mut self) -> Option<Probe> {
        self.open.pop()
    }

    /// Whether it was read.
    pub fn told(&mut self, probe: Probe, read: bool) {
        match (probe, read) {
            (Probe::Blocks { from, to }, true) => self.found.whole.extend(from..to),
            (Probe::Blocks { from, to }, false) if to - from > 1 => {
                let middle = from + (to - from) / 2;
                self.open.push(Probe::Blocks { from: middle, to });
                self.open.push(Probe::Blocks { from, to: middle });
            }
            (Probe::Blocks { from, .. }, false) => self.open.push(Probe::Page { block: from }),
            (Probe::Page { block }, true) => self.open.push(Probe::Rows {
                block,
                from: 1,
                to: MOST_ROWS_OF_A_BLOCK + 1,
            }),
            (Probe::Page { block }, false) => {
                self.found.lost_blocks.insert(block);
            }
            (Probe::Rows { block, from, to }, false) if to - from > 1 => {
                let middle = from + (to - from) / 2;
                let half = |from, to| Probe::Rows { block, from, to };
                self.open.push(half(middle, to));
                self.open.push(half(from, middle));
            }
            (Probe::Rows { block, from, .. }, false) => self.open.push(Probe::Row {
                place: (block, from),
            }),
            (Probe::Row { place }, true) if self.columns > 0 => {
                let column = |column| Probe::Column { place, column };
                self.open.extend((0..self.columns).rev().map(column));
            }
            (Probe::Row { place }, _) => {
                self.found.lost_rows.insert(place);
            }
            (Probe::Column { place, column }, read) => self.column(place, column, read),
            (Probe::Rows { .. }, true) | (Probe::Open | Probe::Plain | Probe::Rest { .. }, _) => {}
        }
    }

    /// The last column concludes the row. A row of which each column can be read, but not all of them together, is lost, and so
    /// is one of which none can.
    fn column(&mut self, place: Place, column: u16, read: bool) {
        if !read {
            let columns = self.found.lost_columns.entry(place).or_default();
            columns.insert(column);
        }
        if column + 1 < self.columns {
            return;
        }
        let lost = self.found.lost_columns.get(&place).map_or(0, BTreeSet::len);
        if lost == 0 || lost == usize::from(self.columns) {
            self.found.lost_columns.remove(&place);
            self.found.lost_rows.insert(place);
        }
    }

    /// What was found out, when nothing is left to be read.
    pub fn found(self) -> Found {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, btree_set};
    use proptest::prelude::*;

    use super::*;

    /// Where a table is damaged.
    #[derive(Debug, Clone)]
    struct Damage {
        pages: BTreeSet<u32>,
        rows: BTreeSet<Place>,
        columns: BTreeMap<Place, BTreeSet<u16>>,
    }

    impl Damage {
        fn can_read(&self, probe: Probe) -> bool {
            let rows = |block: u32, from: u16, to: u16| {
                !self.pages.contains(&block)
                    && self.rows.range((block, from)..(block, to)).next().is_none()
                    && self
                        .columns
                        .range((block, from)..(block, to))
                        .next()
                        .is_none()
            };
            match probe {
                Probe::Blocks { from, to } => {
                    (from..to).all(|block| rows(block, 0, MOST_ROWS_OF_A_BLOCK + 1))
                }
                Probe::Open | Probe::Plain | Probe::Rest { .. } => {
                    unreachable!("a search does not ask for it")
                }
                Probe::Page { block } => !self.pages.contains(&block),
                Probe::Rows { block, from, to } => rows(block, from, to),
                Probe::Row { place } => !self.rows.contains(&place),
                Probe::Column { place, column } => self
                    .columns
                    .get(&place)
                    .is_none_or(|columns| !columns.contains(&column)),
            }
        }
    }

    fn places() -> impl Strategy<Value = Place> {
        (0..200u32, 1..=MOST_ROWS_OF_A_BLOCK)
    }

    proptest! {
        #[test]
        fn exactly_what_is_damaged_is_found_and_nothing_is_asked_twice(
            pages in btree_set(0..200u32, 0..5),
            rows in btree_set(places(), 0..8),
            columns in btree_map(places(), btree_set(0..3u16, 1..3), 0..8),
        ) {
            let rows: BTreeSet<Place> = rows.into_iter().filter(|(block, _)| !pages.contains(block)).collect();
            let columns: BTreeMap<Place, BTreeSet<u16>> = columns
                .into_iter()
                .filter(|(place, _)| !pages.contains(&place.0) && !rows.contains(place))
                .collect();
            let damage = Damage { pages, rows, columns };
            let mut search = Search::among(&[(0, 120), (120, 200)], 3);
            let mut asked = BTreeSet::new();
            while let Some(probe) = search.next_probe() {
                prop_assert!(asked.insert(probe), "{probe:?} was asked twice");
                prop_assert!(asked.len() < 20_000);
                search.told(probe, damage.can_read(probe));
            }
            let found = search.found();
            prop_assert_eq!(&found.lost_blocks, &damage.pages);
            prop_assert_eq!(&found.lost_rows, &damage.rows);
            prop_assert_eq!(&found.lost_columns, &damage.columns);
            let hurt = |block: &u32| {
                damage.pages.contains(block)
                    || damage.rows.iter().any(|(at, _)| at == block)
                    || damage.columns.keys().any(|(at, _)| at == block)
            };
            let whole: BTreeSet<u32> = (0..200).filter(|block| !hurt(block)).collect();
            prop_assert_eq!(found.whole, whole);
        }
    }

    #[test]
    fn a_row_that_cannot_be_read_as_a_whole_is_lost_even_if_each_column_can() {
        let mut search = Search::after_failures(&[(7, 8)], 2);
        while let Some(probe) = search.next_probe() {
            let read = match probe {
                Probe::Rows { from, to, .. } => !(from..to).contains(&5),
                _ => true,
            };
            search.told(probe, read);
        }
        assert_eq!(search.found().lost_rows, BTreeSet::from([(7, 5)]));
    }

    #[test]
    fn single_rows_are_looked_at_like_those_of_a_block() {
        let mut search = Search::among(&[], 2).and_rows([(3, 4), (9, 1)]);
        while let Some(probe) = search.next_probe() {
            let read = !matches!(
                probe,
                Probe::Rows { block: 9, .. } | Probe::Column { column: 1, .. }
            );
            search.told(probe, read);
        }
        let found = search.found();
        assert_eq!(
            found.lost_columns,
            BTreeMap::from([((9, 1), BTreeSet::from([1]))])
        );
        assert!(found.lost_rows.is_empty() && found.lost_blocks.is_empty());
    }

    #[test]
    fn a_failed_run_is_not_asked_for_again() {
        let mut search = Search::after_failures(&[(0, 4)], 1).and_among(&[(9, 10)]);
        assert_eq!(search.next_probe(), Some(Probe::Blocks { from: 9, to: 10 }));
        assert_eq!(search.next_probe(), Some(Probe::Blocks { from: 0, to: 2 }));
        assert_eq!(search.next_probe(), Some(Probe::Blocks { from: 2, to: 4 }));
        assert_eq!(search.next_probe(), None);
    }
}
