//! An error as the server reported it, every field kept.

use std::fmt;

use serde::{Deserialize, Serialize};

/// All fields of an `ErrorResponse` (Postgres manual, "Error and Notice Message Fields"). Nothing is cut short.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerError {
    /// `ERROR`, `FATAL`, `PANIC` (never translated, from field `V`).
    pub severity: String,
    /// SQLSTATE, five characters.
    pub code: String,
    /// Primary message.
    pub message: String,
    /// Detail.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
    /// Hint of the server.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hint: Option<String>,
    /// Position in the statement, in characters, from 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub position: Option<u32>,
    /// Position in the internal query.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub internal_position: Option<u32>,
    /// The internally generated query that failed, for example inside a function.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub internal_query: Option<String>,
    /// Call stack (`CONTEXT`).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub context: Option<String>,
    /// Schema the error is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub schema: Option<String>,
    /// Table the error is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub table: Option<String>,
    /// Column the error is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub column: Option<String>,
    /// Data type the error is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub data_type: Option<String>,
    /// Constraint the error is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub constraint: Option<String>,
    /// Source file, line and routine in the server.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub routine: Option<String>,
}

impl std::error::Error for ServerError {}

/// The layout psql uses for `\errverbose`, one field a line.
impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:  {}: {}", self.severity, self.code, self.message)?;
        let named = [
            ("DETAIL", &self.detail),
            ("HINT", &self.hint),
            ("QUERY", &self.internal_query),
            ("CONTEXT", &self.context),
            ("SCHEMA NAME", &self.schema),
            ("TABLE NAME", &self.table),
            ("COLUMN NAME", &self.column),
            ("DATATYPE NAME", &self.data_type),
            ("CONSTRAINT NAME", &self.constraint),
            ("LOCATION", &self.routine),
        ];
        for (label, value) in named {
            if let Some(value) = value {
                write!(f, "\n{label}:  {value}")?;
            }
        }
        match self.position {
            Some(position) => write!(f, "\nPOSITION:  character {position}"),
            None => Ok(()),
        }
    }
}
