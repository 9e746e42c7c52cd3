//! What is looked at at a time: a part of the table small enough to keep a hash of each of its rows.

use std::collections::VecDeque;

use crate::verify::rows::{Buckets, Scale};

/// Rows of a piece, if it can be chosen.
pub(super) const PIECE_ROWS: u64 = 100_000;

/// A range of buckets of a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub scale: Scale,
    pub from: usize,
    /// Not included.
    pub to: usize,
    /// Rows in it, on the side that has more.
    pub rows: u64,
}

/// The ranges that differ; neighbours are joined as long as they are small.
pub(super) fn differing(scale: Scale, source: &Buckets, target: &Buckets) -> VecDeque<Piece> {
    let mut pieces: VecDeque<Piece> = VecDeque::new();
    for bucket in source.differing(target) {
        let rows = source.rows(bucket).max(target.rows(bucket));
        match pieces.back_mut() {
            Some(last) if last.to == bucket && last.rows + rows <= PIECE_ROWS => {
                last.to += 1;
                last.rows += rows;
            }
            _ => pieces.push_back(Piece {
                scale,
                from: bucket,
                to: bucket + 1,
                rows,
            }),
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::wire::RowSink as _;
    use crate::verify::rows::Bucketing;

    #[test]
    fn neighbours_make_one_range() {
        let scale = Scale {
            low: 0,
            high: 9,
            buckets: 10,
            is_uuid: false,
            is_part: false,
        };
        let filled = |changed: &[i64]| {
            let mut buckets = Buckets::new(Bucketing::ByOrder(scale));
            for number in 0..10_i64 {
                let row = [&[0, 1, 0, 0, 0, 8][..], &number.to_be_bytes()].concat();
                let hash =
                    u128::from(number.unsigned_abs()) << u32::from(changed.contains(&number));
                buckets.row(hash, &row);
            }
            buckets
        };
        let pieces = differing(scale, &filled(&[]), &filled(&[2, 3, 7]));
        let ranges: Vec<_> = pieces
            .iter()
            .map(|piece| (piece.from, piece.to, piece.rows))
            .collect();
        assert_eq!(ranges, [(2, 4, 2), (7, 8, 1)]);
    }
}
