//! A digest for each part of a table, taken in passing.
//!
//! Two digests that differ say that some row does, and not which. So rows are sorted into buckets as they are read: by the
//! value of their key where that is a number, so that a bucket is a range of the key's index; otherwise by a hash of the key, or
//! of the whole row. Only what is in the buckets that differ has to be looked at again.

use xxhash_rust::xxh3::xxh3_64;

use crate::model::{MultisetDigest, Rows, quote_literal};
use crate::pg::wire::RowSink;

/// Bytes of the field count in front of each row of the binary format.
pub const FIELD_COUNT: usize = 2;

/// How rows are sorted into buckets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bucketing {
    /// All in one.
    One,
    /// By the value of the first column.
    ByOrder(Scale),
    /// By a hash of the first columns.
    ByKey {
        /// How many columns.
        columns: usize,
        /// How many buckets.
        buckets: usize,
    },
    /// By a hash of the whole row.
    ByContent {
        /// How many buckets.
        buckets: usize,
    },
}

/// A column whose binary form is a number that sorts as the column does, cut into ranges of equal width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// Smallest value on either side.
    pub low: i128,
    /// Largest value on either side.
    pub high: i128,
    /// How many ranges.
    pub buckets: usize,
    /// The column is a `uuid`, of which the last bit is left out.
    pub is_uuid: bool,
    /// There are smaller and larger numbers as well, which are not meant.
    pub is_part: bool,
}

impl Scale {
    /// The number behind a field: an integer, or the bits of a `uuid`.
    pub fn number(field: &[u8]) -> Option<i128> {
        Some(match field.len() {
            2 => i16::from_be_bytes(field.try_into().ok()?).into(),
            4 => i32::from_be_bytes(field.try_into().ok()?).into(),
            8 => i64::from_be_bytes(field.try_into().ok()?).into(),
            _ => {
                let bits = u128::from_be_bytes(field.try_into().ok()?);
                i128::try_from(bits >> 1).ok()?
            }
        })
    }

    fn bucket(&self, field: &[u8]) -> usize {
        Self::number(field).map_or(0, |number| self.bucket_of(number))
    }

    /// The condition that selects a range of buckets, `to` not included.
    pub fn condition(&self, column: &str, from: usize, to: usize) -> String {
        let mut conditions = Vec::new();
        if from > 0 || self.is_part {
            conditions.push(format!("{column} >= {}", self.literal(self.edge(from), 0)));
        }
        if to < self.buckets {
            conditions.push(format!("{column} < {}", self.literal(self.edge(to), 0)));
        } else if self.is_part {
            conditions.push(format!("{column} <= {}", self.literal(self.high, 1)));
        }
        conditions.join(" and ")
    }

    /// The smallest number that falls into a bucket, found by halving: the same arithmetic decides as for rows.
    fn edge(&self, bucket: usize) -> i128 {
        let (mut low, mut high) = (self.low, self.high);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.bucket_of(middle) >= bucket {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        // A bucket beyond the last number is empty, and so is the range above it.
        if self.bucket_of(low) >= bucket {
            low
        } else {
            low + 1
        }
    }

    fn bucket_of(&self, number: i128) -> usize {
        let (distance, width) = (self.distance(number), self.width());
        // The product must fit: widths of more than 96 bits, which only uuids have, are brought down to as many.
        let shift = (u128::BITS - width.leading_zeros()).saturating_sub(96);
        let place = (distance >> shift) * self.buckets as u128 / ((width >> shift) + 1);
        usize::try_from(place)
            .unwrap_or(usize::MAX)
            .min(self.buckets - 1)
    }

    fn distance(&self, number: i128) -> u128 {
        number.clamp(self.low, self.high).abs_diff(self.low)
    }

    fn width(&self) -> u128 {
        self.high.abs_diff(self.low)
    }

    /// `last_bit` is that of a `uuid`.
    fn literal(&self, number: i128, last_bit: u128) -> String {
        if !self.is_uuid {
            return format!("({number})");
        }
        let bits = u128::try_from(number).unwrap_or(0) << 1 | last_bit;
        quote_literal(&format!("{bits:032x}"))
    }
}

/// The digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buckets {
    by: Bucketing,
    digests: Vec<MultisetDigest>,
}

impl Buckets {
    /// Empty ones.
    pub fn new(by: Bucketing) -> Self {
        let count = match by {
            Bucketing::One => 1,
            Bucketing::ByOrder(scale) => scale.buckets,
            Bucketing::ByKey { buckets, .. } | Bucketing::ByContent { buckets } => buckets,
        };
        Self {
            by,
            digests: vec![MultisetDigest::default(); count.max(1)],
        }
    }

    /// How rows were sorted.
    pub fn by(&self) -> &Bucketing {
        &self.by
    }

    /// The digest of all rows.
    pub fn total(&self) -> MultisetDigest {
        self.digests.iter().copied().sum()
    }

    /// Adds rows of which only the number is known.
    pub fn add_rows(&mut self, rows: Rows) {
        if let Some(digest) = self.digests.first_mut() {
            digest.rows += rows;
        }
    }

    /// Adds another part of the same table.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.digests.iter_mut().zip(&other.digests) {
            *mine += *theirs;
        }
    }

    /// Rows in a bucket.
    pub fn rows(&self, bucket: usize) -> u64 {
        self.digests.get(bucket).map_or(0, |digest| digest.rows.0)
    }

    /// The buckets that differ.
    pub fn differing(&self, other: &Self) -> Vec<usize> {
        let pairs = self.digests.iter().zip(&other.digests).enumerate();
        pairs
            .filter(|(_, (left, right))| left != right)
            .map(|(bucket, _)| bucket)
            .collect()
    }
}

impl RowSink for Buckets {
    fn row(&mut self, hash: u128, head: &[u8]) {
        let bucket = self.by.bucket(hash, head);
        self.digests[bucket].add_row(hash);
    }

    /// A row is the same whatever else is read in front of it.
    fn unhashed(&self) -> usize {
        FIELD_COUNT
    }
}

impl Bucketing {
    /// The bucket of a row, from its hash and its beginning.
    pub fn bucket(&self, hash: u128, head: &[u8]) -> usize {
        match self {
            Self::One => 0,
            Self::ByOrder(scale) => fields(head)
                .next()
                .flatten()
                .map_or(0, |field| scale.bucket(field)),
            Self::ByKey { columns, buckets } => {
                let key = xxh3_64(first_fields(head, *columns));
                usize::try_from(key % (*buckets as u64)).unwrap_or(0)
            }
            Self::ByContent { buckets } => {
                let top = (hash >> 64) % (*buckets as u128);
                usize::try_from(top).unwrap_or(0)
            }
        }
    }
}

/// The fields of a row of the binary format, `None` for NULL; as many as are whole.
pub fn fields(row: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = row.get(FIELD_COUNT..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk::<4>()?;
        // NULL has the length -1.
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            rest = after;
            return Some(None);
        };
        let field = after.get(..length)?;
        rest = &after[length..];
        Some(Some(field))
    })
}

/// The bytes of a row's first fields, with their lengths.
pub fn first_fields(row: &[u8], count: usize) -> &[u8] {
    let body = row.get(FIELD_COUNT..).unwrap_or_default();
    let length: usize = fields(row)
        .take(count)
        .map(|field| 4 + field.map_or(0, <[u8]>::len))
        .sum();
    &body[..length.min(body.len())]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(fields: &[Option<&[u8]>]) -> Vec<u8> {
        let mut row = u16::try_from(fields.len())
            .expect("few")
            .to_be_bytes()
            .to_vec();
        for field in fields {
            match field {
                Some(bytes) => {
                    row.extend(i32::try_from(bytes.len()).expect("short").to_be_bytes());
                    row.extend(*bytes);
                }
                None => row.extend((-1_i32).to_be_bytes()),
            }
        }
        row
    }

    #[test]
    fn fields_are_taken_apart() {
        let row = row(&[Some(b"ab"), None, Some(b"")]);
        let found: Vec<_> = fields(&row).collect();
        assert_eq!(found, [Some(b"ab".as_slice()), None, Some(b"".as_slice())]);
        assert_eq!(first_fields(&row, 1), b"\0\0\0\x02ab");
        assert_eq!(first_fields(&row, 9).len(), row.len() - 2);
        assert_eq!(fields(&row[..5]).count(), 0);
    }

    #[test]
    fn only_the_bucket_of_the_changed_row_differs() {
        let scale = Scale {
            low: 1,
            high: 1000,
            buckets: 10,
            is_uuid: false,
            is_part: false,
        };
        let buckets = |changed: i32| {
            let mut buckets = Buckets::new(Bucketing::ByOrder(scale));
            for id in 1..=1000_i32 {
                let hash = u128::from(id.unsigned_abs()) + u128::from(id == changed);
                buckets.row(hash, &row(&[Some(&id.to_be_bytes())]));
            }
            buckets
        };
        assert_eq!(buckets(0).differing(&buckets(0)), [0_usize; 0]);
        assert_eq!(buckets(0).differing(&buckets(555)), [5]);
        assert_eq!(buckets(0).total().rows.0, 1000);
    }

    proptest! {
        /// A number's bucket is the one whose range holds it, whatever the scale.
        #[test]
        fn ranges_hold_what_falls_into_the_bucket(
            ends in (any::<i64>(), any::<i64>()), at in 0.0..=1.0_f64, buckets in 1_usize..5000,
        ) {
            let (low, high) = (i128::from(ends.0.min(ends.1)), i128::from(ends.0.max(ends.1)));
            let scale = Scale { low, high, buckets, is_uuid: false, is_part: false };
            #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "any number in between will do")]
            let number = (low + ((high - low) as f64 * at) as i128).min(high);
            let bucket = scale.bucket_of(number);
            prop_assert!(bucket < buckets);
            prop_assert!(bucket == 0 || number >= scale.edge(bucket));
            prop_assert!(bucket + 1 == buckets || number < scale.edge(bucket + 1));
        }

        #[test]
        fn so_do_ranges_of_uuids(bits: [u128; 3], buckets in 1_usize..5000) {
            let number = |bits: u128| Scale::number(&bits.to_be_bytes()).expect("16 bytes");
            let (low, high) = (number(bits[0]).min(number(bits[1])), number(bits[0]).max(number(bits[1])));
            let scale = Scale { low, high, buckets, is_uuid: true, is_part: false };
            let number = number(bits[2]).clamp(low, high);
            let bucket = scale.bucket_of(number);
            prop_assert!(bucket == 0 || number >= scale.edge(bucket));
            prop_assert!(bucket + 1 == buckets || number < scale.edge(bucket + 1));
        }
    }
}
