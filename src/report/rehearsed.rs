//! The last sentence of a rehearsal: a move into a target that nobody needs afterwards.
//!
//! What counts is what was learned. That the source has moved on since does not matter, and nobody switches over to the copy:
//! only what would go wrong with the move itself is bad news.

use super::facts::Facts;
use super::{Conclusion, Report};
use crate::model::{ExitStatus, RunCommand, shell_word};

/// Whether the target is a scratch one.
pub(super) fn is_rehearsal(report: &Report) -> bool {
    let of_first = report.sessions.first().map(|session| &session.command);
    [Some(&report.command), of_first].contains(&Some(&RunCommand::Rehearse))
}

/// What its end means for whoever has to decide; `None` for another run, or an end that means the same for all.
pub(super) fn meaning(report: &Report) -> Option<&'static str> {
    Some(match report.status.filter(|_| is_rehearsal(report))? {
        ExitStatus::Proven => {
            "The move can be made in the same way: what arrived was what the source held. Do not use this target."
        }
        ExitStatus::Different => {
            "Do not move yet: what arrived is not what the source held. This target is needed for nothing else: use it to find out why."
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
            "Pass --baseline {} to the move, and it estimates the time left from this rehearsal. The target of the rehearsal is no longer \
             needed.",
            shell_word(&facts.report.run_dir)
        )),
    }
}
