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
    /// What to do about it: a sentence. Below it, if there is anything to paste, is nothing but that, a statement a line, which is
    /// never wrapped.
    pub remedy: String,
}

/// A remedy with something to paste: a sentence that says where, and statements that run as they stand.
pub fn to_paste(sentence: &str, statements: impl IntoIterator<Item = String>) -> String {
    let lines = std::iter::once(sentence.to_owned()).chain(statements);
    lines.collect::<Vec<_>>().join("\n")
}

/// A statement that is not to run when the others are pasted, but when or where it is said: whoever wants it takes that away. `None` if
/// something in it would end the comment, as a name with a line end does.
pub fn not_yet(when: &str, statement: &str) -> Option<String> {
    let ends = |char: char| matches!(char, '\n' | '\r');
    (!statement.contains(ends)).then(|| format!("-- {when}: {statement}"))
}

/// The other way, below a statement that is to be pasted.
pub fn or_instead(statement: &str) -> Option<String> {
    not_yet("or, instead", statement)
}

impl Finding {
    /// A finding; what it was found by is said with [`Finding::with_evidence`].
    pub fn new(
        severity: Severity,
        rule: &str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            rule: rule.to_owned(),
            what: what.into(),
            evidence: Vec::new(),
            remedy: remedy.into(),
        }
    }

    /// One because of which the run must not start.
    pub fn blocker(rule: &str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Severity::Blocker, rule, what, remedy)
    }

    /// One that is likely to hurt.
    pub fn warning(rule: &str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Severity::Warning, rule, what, remedy)
    }

    /// One that is worth knowing.
    pub fn note(rule: &str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Severity::Note, rule, what, remedy)
    }

    /// The same with what it was found by.
    #[must_use]
    pub fn with_evidence(self, evidence: impl IntoIterator<Item = String>) -> Self {
        Self {
            evidence: evidence.into_iter().collect(),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_way_is_a_comment_as_a_whole_or_not_there() {
        let or = or_instead("DROP INDEX \"i\";");
        assert_eq!(or.as_deref(), Some("-- or, instead: DROP INDEX \"i\";"));
        assert_eq!(or_instead("DROP INDEX \"i\nDROP TABLE t;\";"), None);
        let remedy = to_paste("On the target:", ["A;".to_owned(), "B;".to_owned()]);
        assert_eq!(remedy, "On the target:\nA;\nB;");
    }
}
