//! What a repair is made of: statements, in steps, in phases.

use std::fmt;

use crate::model::SqlText;

/// When a step's turn is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Values of enums, which can only be used once the transaction that adds them is over.
    Enums,
    /// What is too many, or will be made anew.
    Drop,
    /// Definitions that rows need: schemas, types, tables, columns, functions, views; and policies, so that rows that one hides are never
    /// laid open.
    Define,
    /// Rows of tables. Their steps are not made beforehand.
    Rows,
    /// Where sequences stand; large objects.
    Values,
    /// What the rows must satisfy, or what is quicker once they are in: indexes, constraints, triggers; and settings.
    Finish,
    /// Comments and labels.
    Comments,
    /// Grants.
    Grants,
    /// Event triggers, which would fire on all of the above, and materialized views, which read it.
    Last,
    /// What is too many, and was needed by something that is otherwise now: should something need it still, nothing else is left to do.
    Spare,
}

impl Phase {
    /// The section's title.
    pub fn title(self) -> &'static str {
        match self {
            Self::Enums => "Values of enums",
            Self::Drop => "What is on the target only, or is made again below",
            Self::Define => "Definitions that the rows need, and policies",
            Self::Rows => "Rows",
            Self::Values => "Sequences and large objects",
            Self::Finish => "Indexes, constraints, triggers, rules and settings",
            Self::Comments => "Comments and labels",
            Self::Grants => "Grants",
            Self::Last => "Event triggers and materialized views",
            Self::Spare => "What is on the target only, and was needed up to here",
        }
    }

    /// Whether its steps are one transaction: what is quick, and of no use by halves. An index build that was finished should not
    /// be lost because the next one fails.
    pub fn is_one_transaction(self) -> bool {
        !matches!(
            self,
            Self::Enums | Self::Values | Self::Finish | Self::Last | Self::Spare
        )
    }
}

/// One statement, without its semicolon, and the encoding that its bytes are in.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub sql: Vec<u8>,
    /// In the encoding of the source's dump; otherwise in that of our sessions.
    pub of_dump: bool,
}

impl Statement {
    /// Text taken from a table of contents.
    pub fn of_dump(sql: impl Into<Vec<u8>>) -> Self {
        Self {
            sql: sql.into(),
            of_dump: true,
        }
    }

    /// Text that we wrote, with names that a session told us.
    pub fn ours(sql: impl Into<String>) -> Self {
        Self {
            sql: sql.into().into_bytes(),
            of_dump: false,
        }
    }

    /// For people.
    pub fn to_string_lossy(&self) -> String {
        String::from_utf8_lossy(&self.sql).into_owned()
    }
}

impl From<&SqlText> for Statement {
    fn from(sql: &SqlText) -> Self {
        Self::of_dump(sql.as_bytes())
    }
}

impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string_lossy())
    }
}

/// Statements that belong together, and what they are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub phase: Phase,
    /// Place within the phase.
    pub position: usize,
    /// For the comment above it.
    pub about: String,
    pub statements: Vec<Statement>,
    /// Needs a transaction of its own, in a phase that is none.
    pub transaction: bool,
}
