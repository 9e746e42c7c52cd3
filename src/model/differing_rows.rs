//! Rows that differ, told one by one.

use serde::{Deserialize, Serialize};

use super::{QualifiedName, Rows};

/// In what way a row of the target is not what the source's is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowKind {
    /// On the source, not on the target.
    Missing,
    /// On the target, not on the source.
    Extra,
    /// On both under the same key, with other values.
    Changed,
}

/// Which rows of a table differ: totals of all, and the first ones in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowsDiffer {
    /// The table.
    pub table: QualifiedName,
    /// The columns that tell one row from another: a key of both sides. Empty: there is none, and rows are told by
    /// their whole content, so that a changed row is one missing and one extra.
    pub key: Vec<String>,
    /// Number of rows that are on the source only.
    pub missing: Rows,
    /// Number of rows that are on the target only.
    pub extra: Rows,
    /// Number of rows with the same key and other values.
    pub changed: Rows,
    /// Whether the three totals are exact; otherwise there are at least as many.
    pub exact: bool,
    /// The first of them.
    pub examples: Vec<RowDifference>,
    /// Rows that differed at first and no longer did when they were looked at again.
    #[serde(default)]
    pub in_flux: Rows,
}

/// One row that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowDifference {
    /// In what way.
    pub kind: RowKind,
    /// The values of the key's columns as text, in the key's order. Without a key, the place of the row in its table
    /// (`ctid`) on the side that has it.
    pub key: Vec<String>,
    /// How many copies of it too few or too many; 1 where there is a key.
    pub copies: u64,
    /// For a changed row, the columns that differ; for a missing or extra one all columns, if values are to be shown, and
    /// none otherwise.
    pub columns: Vec<ColumnDifference>,
}

/// One column of a row that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnDifference {
    /// Its name, unquoted.
    pub column: String,
    /// The value on the source; not there unless values are shown, nor for a row that the source does not have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<ShownValue>,
    /// The value on the target, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<ShownValue>,
}

/// A value, as its type's output function prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownValue {
    /// The text, or its beginning; `None` is NULL.
    pub text: Option<String>,
    /// Length of the whole text in characters, if only its beginning is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_from: Option<u64>,
}

impl RowsDiffer {
    /// How many rows differ, in whatever way.
    pub fn total(&self) -> Rows {
        self.missing + self.extra + self.changed
    }
}

/// A column that was not compared as the bytes that the server sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnForm {
    /// Its name, unquoted.
    pub column: String,
    /// In which form it was compared: `as text`, `by its bits`, `not at all`.
    pub form: String,
    /// Why, as a clause: `equal arrays may have different binary forms`.
    pub because: String,
}
