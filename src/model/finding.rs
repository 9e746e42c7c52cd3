//! What a look before the leap found.

use serde::{Deserialize, Serialize};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Will not stop the run, but is likely to hurt.
    Warning,
    /// The run must not start.
    Blocker,
}

/// One finding of the preflight, with its remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// The rule's stable name, for example `target-not-empty`.
    pub rule: String,
    /// One sentence with the evidence.
    pub what: String,
    /// What to do about it: SQL to paste, a flag to give.
    pub remedy: String,
}
