//! What all findings come to: go, or no-go.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{ExitStatus, Finding, Severity, rule};

/// What a look before the leap comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing stands in the way.
    Go,
    /// Nothing stands in the way, but something is likely to hurt.
    GoWithWarnings,
    /// Something could not be looked at, so it is not known.
    Undecided,
    /// A move would refuse, or is bound to fail.
    NoGo,
}

impl Verdict {
    /// One blocker is enough for a no-go, whatever else is not known.
    pub fn of(findings: &[Finding]) -> Self {
        let worst = findings.iter().map(|finding| finding.severity).max();
        let is_unknown = findings
            .iter()
            .any(|finding| finding.rule == rule::NOT_LOOKED_AT);
        match worst {
            Some(Severity::Blocker) => Self::NoGo,
            _ if is_unknown => Self::Undecided,
            Some(Severity::Warning) => Self::GoWithWarnings,
            _ => Self::Go,
        }
    }

    /// What the command exits with. Warnings leave the decision to a person, and a script with a 0.
    pub fn status(self) -> ExitStatus {
        match self {
            Self::Go | Self::GoWithWarnings => ExitStatus::Proven,
            Self::Undecided => ExitStatus::Failed,
            Self::NoGo => ExitStatus::NoGo,
        }
    }

    /// What to do next.
    pub fn next(self) -> &'static str {
        match self {
            Self::Go => "pgconvoy move, with the same options.",
            Self::GoWithWarnings => {
                "Read the warnings; if you can live with them, pgconvoy move with the same options."
            }
            Self::Undecided => "Make sure that everything can be looked at, then check again.",
            Self::NoGo => "Fix what is listed under \"no-go\", then check again.",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Go => "GO",
            Self::GoWithWarnings => "GO, WITH WARNINGS",
            Self::Undecided => "UNDECIDED",
            Self::NoGo => "NO-GO",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_blocker_decides_and_what_is_not_known_is_no_go_ahead() {
        let found = |severity, rule: &str| Finding::new(severity, rule, "", "");
        let note = found(Severity::Note, "a");
        let warning = found(Severity::Warning, "b");
        let blocker = found(Severity::Blocker, "c");
        let unknown = found(Severity::Note, rule::NOT_LOOKED_AT);
        for (findings, verdict, status) in [
            (vec![], Verdict::Go, 0),
            (vec![note.clone()], Verdict::Go, 0),
            (vec![note, warning.clone()], Verdict::GoWithWarnings, 0),
            (vec![warning, unknown.clone()], Verdict::Undecided, 1),
            (vec![unknown, blocker], Verdict::NoGo, 4),
        ] {
            assert_eq!(Verdict::of(&findings), verdict, "{findings:?}");
            assert_eq!(verdict.status().code(), status, "{verdict}");
        }
    }
}
