//! The last sentence of a move that is followed: from here on the target is to take what is written to the source, and the next thing to be done
//! is not to switch over, but to turn.
//!
//! The report is written before the target begins to follow: whether it did, `pgconvoy status` says.

use super::{Conclusion, Report};
use crate::model::ExitStatus;

/// What it means for whoever has to decide that one is proven.
pub(super) const MEANING: &str = "The target holds what the source held, and what has been written since comes to it by following: pgconvoy cutover turns over to it.";

/// What a run comes to, with what follows from it.
pub(super) fn tell(report: &Report, conclusion: Conclusion) -> Conclusion {
    let Some(follow) = &report.follow else {
        return conclusion;
    };
    let by = format!(
        "publication and replication slot {} of the source, which keeps its log from {} on",
        follow.name, follow.lsn
    );
    // What is to be done comes last, so that a command at its end can be copied.
    let then = conclusion
        .next
        .map_or_else(String::new, |next| format!(" {next}"));
    let begins = format!(
        "The target is made to follow the source now, by {by}, and by a subscription of the same name."
    );
    let next = match conclusion.status {
        ExitStatus::Proven => format!(
            "{begins} pgconvoy status --target says how it stands, pgconvoy cutover turns over to it, and pgconvoy unfollow removes all of it."
        ),
        ExitStatus::Waived => {
            format!("{begins} pgconvoy status --target says how it stands.{then}")
        }
        _ => format!(
            "The target does not follow the source yet. What it would follow by stays until then: {by}; pgconvoy unfollow --source removes it.{then}"
        ),
    };
    Conclusion {
        next: Some(next),
        ..conclusion
    }
}
