//! A COPY of rows in the binary format, and which of the columns are arrays: who hashes the rows has to know.

use crate::model::{RowLayout, SqlText};

/// A COPY of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOut {
    /// The statement.
    pub sql: SqlText,
    arrays: Vec<u16>,
}

impl CopyOut {
    /// `is_array` says it of each column that is read, in their order.
    pub(super) fn new(sql: SqlText, is_array: impl Iterator<Item = bool>) -> Self {
        let arrays = (0..).zip(is_array).filter(|(_, is_array)| *is_array);
        Self {
            sql,
            arrays: arrays.map(|(place, _)| place).collect(),
        }
    }

    /// What its rows look like.
    pub fn layout(&self) -> RowLayout<'_> {
        RowLayout::Binary {
            arrays: &self.arrays,
        }
    }
}
