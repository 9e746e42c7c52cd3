//! The last sentence of a rehearsal: a move into a target that nobody needs afterwards.
//!
//! What counts is what was learned. That the source has moved on since does not matter, and nobody switches over to the copy:
//! only what would go wrong with the move itself is bad news.

use super::facts::Facts;
use super::{Conclusion, Report};
use crate::model::{ExitStatus, shell_word};

/// Whether the target is a scratch one.
pub(super) fn is_rehearsal(report: &Report) -> bool {
    let of_first = report.sessions.first().map(|session| &session.command);
    [Some(&report.command), of_first].contains(&Some(&"rehearse".to_owned()))
}

/// What its end means for whoever has to decide; `None` for another run, or an end that means the same for all.
pub(super) fn meaning(report: &Report) -> Option<&'static str> {
    Some(match report.status.filter(|_| is_rehearsal(report))? {
        ExitStatus::Proven => {
            "The move can be made like this one: what arrived was what the source held. Nobody should use this target."
        }
        ExitStatus::Different => {
            "Do not move yet: what arrived is not what the source held. Find out why with this target, which nobody needs."
        }
        ExitStatus::Failed => {
            "Do not move yet: the rehearsal did not make a whole copy, and neither would the move."
        }
        _ => return None,
    })
}

/// `what` arrived as it was sent.
pub(super) fn proven(facts: &Facts<'_>, what: &str) -> Conclusion {
    Conclusion {
        status: ExitStatus::Proven,
        sentence: format!(
            "Rehearsed, and proven: {what} {}.{}{}",
            facts.at_snapshot(),
            facts.also_the_same(),
            facts.not_included()
        ),
        next: Some(format!(
            "The move itself will tell the time left by this one if it is given --baseline {}. The target of the rehearsal is of no further use.",
            shell_word(&facts.report.run_dir)
        )),
    }
}
