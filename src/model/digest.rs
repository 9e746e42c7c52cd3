//! A digest of a multiset of rows.
//!
//! A table has no order, so its rows' 128-bit hashes are added modulo 2^128, and the rows are counted. Addition, and
//! not XOR: two equal rows must not cancel. Digests of chunks add up to the digest of the table.

use std::fmt;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Rows;

/// How many rows, and the sum of their hashes. `Default` is the empty multiset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MultisetDigest {
    /// Number of rows, with multiplicity.
    pub rows: Rows,
    /// Sum of the rows' xxh3-128 hashes, modulo 2^128; 32 hexadecimal digits in JSON.
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    pub sum: u128,
}

impl MultisetDigest {
    /// Takes in one row by its hash.
    pub fn add_row(&mut self, hash: u128) {
        self.rows.0 += 1;
        self.sum = self.sum.wrapping_add(hash);
    }

    /// What was added since it was `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            rows: Rows(self.rows.0.wrapping_sub(earlier.rows.0)),
            sum: self.sum.wrapping_sub(earlier.sum),
        }
    }
}

impl Add for MultisetDigest {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            sum: self.sum.wrapping_add(other.sum),
        }
    }
}

impl AddAssign for MultisetDigest {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl std::iter::Sum for MultisetDigest {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for MultisetDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows, hash {:032x}", self.rows, self.sum)
    }
}

fn to_hex<S: Serializer>(sum: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format!("{sum:032x}"))
}

fn from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
    let digits = String::deserialize(deserializer)?;
    u128::from_str_radix(&digits, 16).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_rows_do_not_cancel_and_order_does_not_matter() {
        let digest = |hashes: &[u128]| {
            let mut digest = MultisetDigest::default();
            for &hash in hashes {
                digest.add_row(hash);
            }
            digest
        };
        assert_ne!(digest(&[7, 7]), digest(&[]));
        assert_ne!(digest(&[7, 7]), digest(&[8, 8]));
        assert_eq!(digest(&[1, u128::MAX]), digest(&[u128::MAX, 1]));
        assert_eq!(digest(&[1, 2]) + digest(&[3]), digest(&[3, 2, 1]));
        assert_eq!(
            digest(&[1, u128::MAX, 9]).since(digest(&[u128::MAX])),
            digest(&[9, 1])
        );
    }
}
