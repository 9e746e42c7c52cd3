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
    /// One sentence.
    pub what: String,
    /// What it was found by, one fact a line, where that is more than fits into the sentence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// What to do about it: SQL to paste, a flag to give.
    pub remedy: String,
}

impl Finding {
    /// The same with what it was found by.
    #[must_use]
    pub fn with_evidence(self, evidence: impl IntoIterator<Item = String>) -> Self {
        Self {
            evidence: evidence.into_iter().collect(),
            ..self
        }
    }
}
