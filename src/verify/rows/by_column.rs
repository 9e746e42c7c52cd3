//! A digest for each column: what can still be compared of rows that are never the same twice.

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::buckets::fields;
use crate::model::{MultisetDigest, RowLayout};
use crate::pg::wire::RowSink;

/// Where the flags of an array are in its binary form, which are no part of its value.
const ARRAY_FLAGS: std::ops::Range<usize> = 4..8;

/// Adds up the values of each column by themselves.
#[derive(Debug)]
pub struct ByColumn<'a> {
    layout: RowLayout<'a>,
    digests: Vec<MultisetDigest>,
    /// Every row was shown as a whole.
    is_whole: bool,
}

impl<'a> ByColumn<'a> {
    /// Of no rows yet.
    pub fn new(layout: RowLayout<'a>, columns: usize) -> Self {
        Self {
            layout,
            digests: vec![MultisetDigest::default(); columns],
            is_whole: true,
        }
    }

    /// The digests, in the order of the columns; `None` if a row was too large to be taken apart.
    pub fn digests(self) -> Option<Vec<MultisetDigest>> {
        self.is_whole.then_some(self.digests)
    }
}

impl RowSink for ByColumn<'_> {
    fn row(&mut self, _hash: u128, head: &[u8]) {
        match self.layout {
            RowLayout::Text => {
                let line = head.strip_suffix(b"\n").unwrap_or(head);
                // A tab that is part of a value is written as two characters.
                let values = line.split(|byte| *byte == b'\t');
                for (digest, value) in self.digests.iter_mut().zip(values) {
                    digest.add_row(xxh3_128(value));
                }
            }
            RowLayout::Binary { arrays } => {
                let places = (0_u16..).zip(&mut self.digests);
                for ((place, digest), field) in places.zip(fields(head)) {
                    digest.add_row(hash(field, arrays.contains(&place)));
                }
            }
        }
    }

    fn piece(&mut self, _piece: &[u8]) {
        self.is_whole = false;
    }
}

fn hash(field: Option<&[u8]>, is_array: bool) -> u128 {
    match field {
        None => 0,
        Some(field) if is_array && field.len() >= ARRAY_FLAGS.end => {
            let mut hasher = Xxh3::new();
            hasher.update(&field[..ARRAY_FLAGS.start]);
            hasher.update(&field[ARRAY_FLAGS.end..]);
            hasher.digest128()
        }
        Some(field) => xxh3_128(field),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(layout: RowLayout<'_>, rows: &[&[u8]]) -> Option<Vec<MultisetDigest>> {
        let mut columns = ByColumn::new(layout, 2);
        for row in rows {
            columns.row(0, row);
        }
        columns.digests()
    }

    #[test]
    fn only_the_column_that_differs_has_another_digest() {
        let of_text = |rows: &[&[u8]]| digests(RowLayout::Text, rows).expect("whole");
        let one = of_text(&[b"1\ta\n", b"2\t\\N\n"]);
        assert_eq!(one, of_text(&[b"2\ta\n", b"1\t\\N\n"]));
        let other = of_text(&[b"1\ta\n", b"2\tb\n"]);
        assert_eq!(one[0], other[0]);
        assert_ne!(one[1], other[1]);
        assert_eq!((one[1].rows.0, other[1].rows.0), (2, 2));
    }

    #[test]
    fn null_is_not_the_empty_value_and_an_arrays_flags_are_no_value() {
        let binary = |second: &[u8]| [b"\0\x02\0\0\0\x01x".as_slice(), second].concat();
        let null = binary(b"\xff\xff\xff\xff");
        let empty = binary(b"\0\0\0\0");
        let array = |flags: u8| {
            let value = [0, 0, 0, 1, 0, 0, 0, flags, 0, 0, 0, 23];
            binary(&[&[0, 0, 0, 12][..], &value].concat())
        };
        let of = |arrays: &[u16], row: &[u8]| {
            let layout = RowLayout::Binary { arrays };
            digests(layout, &[row]).expect("whole")
        };
        assert_ne!(of(&[], &null)[1], of(&[], &empty)[1]);
        assert_eq!(of(&[], &null)[0], of(&[], &empty)[0]);
        assert_eq!(of(&[1], &array(0)), of(&[1], &array(1)));
        assert_ne!(of(&[], &array(0)), of(&[], &array(1)));
    }

    #[test]
    fn a_row_that_came_in_pieces_tells_nothing_of_its_columns() {
        let mut columns = ByColumn::new(RowLayout::Text, 1);
        columns.piece(b"1");
        columns.row(0, b"1");
        assert_eq!(columns.digests(), None);
    }
}
