//! Sections and passes: when an entry's turn is.

use serde::{Deserialize, Serialize};

/// The part of a restore that an entry belongs to (`teSection` in `pg_backup.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// Follows the object that it belongs to: comments, grants, security labels.
    None,
    /// Definitions that must be there before rows can be loaded.
    PreData,
    /// Rows, large objects, sequence values.
    Data,
    /// Indexes, constraints, triggers, rules: what is better made once the rows are in.
    PostData,
}

impl Section {
    /// From the number in the file.
    pub(super) fn from_code(code: i32) -> Option<Self> {
        match code {
            1 => Some(Self::None),
            2 => Some(Self::PreData),
            3 => Some(Self::Data),
            4 => Some(Self::PostData),
            _ => None,
        }
    }

    /// The number in the file.
    pub(super) fn code(self) -> i32 {
        match self {
            Self::None => 1,
            Self::PreData => 2,
            Self::Data => 3,
            Self::PostData => 4,
        }
    }
}

/// The pass in which `pg_restore` restores an entry (`_tocEntryRestorePass`): grants after everything else, and after the
/// grants what may need them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestorePass {
    /// Everything but the following.
    Main,
    /// Grants and default privileges.
    Acl,
    /// Event triggers, which would fire on the grants, and refreshing of materialized views, which may need them.
    PostAcl,
}
