//! A COPY of rows in the binary format, and which of the columns are arrays: who hashes the rows has to know.

use super::comparand::Comparand;
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
    fn new(sql: SqlText, is_array: impl Iterator<Item = bool>) -> Self {
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

impl Comparand {
    /// The same with no more than the columns in these places.
    #[must_use]
    pub fn narrowed(&self, places: &[usize]) -> Self {
        let columns = places.iter().filter_map(|&place| self.columns.get(place));
        Self {
            columns: columns.cloned().collect(),
            ..self.clone()
        }
    }

    /// What stands behind WHERE if `more` is to hold besides; empty if nothing has to.
    pub fn filter(&self, more: &str) -> String {
        let conditions: Vec<&str> = [self.condition.as_deref().unwrap_or_default(), more]
            .into_iter()
            .filter(|condition| !condition.is_empty())
            .collect();
        if conditions.is_empty() {
            String::new()
        } else {
            format!(" where {}", conditions.join(" and "))
        }
    }

    /// `COPY … TO STDOUT` of the rows for which a condition holds (empty: all), with more columns in front.
    pub fn copy_out(&self, in_front: &[String], condition: &str) -> CopyOut {
        let columns = self.columns.iter().map(|column| column.expression.clone());
        let list: Vec<String> = in_front.iter().cloned().chain(columns).collect();
        let sql = SqlText::from(format!(
            "copy (select {} from {}{}) to stdout (format binary)",
            list.join(", "),
            self.from,
            self.filter(condition)
        ));
        let in_front = in_front.iter().map(|_| false);
        let columns = self.columns.iter().map(|column| column.is_array);
        CopyOut::new(sql, in_front.chain(columns))
    }

    /// `SELECT count(*)` of the rows for which a condition holds.
    pub fn count(&self, condition: &str) -> SqlText {
        let filter = self.filter(condition);
        SqlText::from(format!("select count(*) from {}{filter}", self.from))
    }
}
