//! The last sentence of a move whose target is to follow the source: the next thing to do is not to switch over by hand, but
//! `pgconvoy cutover`.
//!
//! It is said once the target follows. If that could not begin, the copy is no less proven, but the run has failed: an operator
//! who reads that all is well goes home, and the source keeps its WAL until its disk is full.

use super::facts::{Facts, stop_word};
use super::{Conclusion, Report, TurnReport};
use crate::event::{Event, What};
use crate::model::{ExitStatus, Happening};

/// What it means for whoever has to decide that one is proven.
pub(super) const MEANING: &str = "The target holds what the source held, and follows it for what has been written since: pgconvoy cutover \
                                  switches over to it.";

/// Takes in an event that is about two databases of which one follows the other: of a move that is followed, or of a turn.
pub(super) fn apply(report: &mut Report, event: &Event) {
    match &event.what {
        What::WillFollow(by) => report.follow = Some(by.clone()),
        What::FollowMoment(moment) if report.follow.is_some() => {
            if moment.happening == Happening::Following {
                report.following_since = Some(moment.happened_at);
            }
        }
        _ => TurnReport::apply(&mut report.turn, event),
    }
}

/// What a run comes to whose copy is what it was to be, and whose target does not follow, why; `ledger_is_left`: nor does it say yet that it
/// is to.
pub(super) fn not_begun(
    facts: &Facts<'_>,
    copy: &Conclusion,
    (status, why): (ExitStatus, &str),
    ledger_is_left: bool,
) -> Conclusion {
    let status = not_well(status);
    let slot = facts.report.follow.as_ref().map(|follow| {
        format!(
            " Until then, replication slot {} on the source keeps its WAL from {} on; pgconvoy unfollow removes all of it.",
            follow.name, follow.lsn
        )
    });
    let next = if ledger_is_left {
        facts.go_on()
    } else {
        format!(
            "Once the cause is removed, pgconvoy follow with the same --target starts the replication.{}",
            slot.unwrap_or_default()
        )
    };
    stopped((status, why), copy, Some(next))
}

/// What a run comes to whose target follows, and that never came to say so: it was killed in between, or its record ends there.
pub(super) fn unsaid(
    facts: &Facts<'_>,
    copy: Conclusion,
    (status, why): (ExitStatus, &str),
) -> Conclusion {
    let status = not_well(status);
    let copy = tell(facts, copy);
    stopped((status, why), &copy, copy.next.clone())
}

/// Why it is not well comes first, then what the copy is.
fn stopped(
    (status, why): (ExitStatus, &str),
    copy: &Conclusion,
    next: Option<String>,
) -> Conclusion {
    let why = why.trim_end_matches('.');
    Conclusion {
        status,
        sentence: format!("{}: {why}. {}", stop_word(status), copy.sentence),
        next,
    }
}

/// Neither is all well, nor was nothing touched.
fn not_well(status: ExitStatus) -> ExitStatus {
    match status {
        ExitStatus::Interrupted => ExitStatus::Interrupted,
        _ => ExitStatus::Failed,
    }
}

/// What a run comes to, with what follows from it.
pub(super) fn tell(facts: &Facts<'_>, conclusion: Conclusion) -> Conclusion {
    let report = facts.report;
    let Some(follow) = &report.follow else {
        return conclusion;
    };
    let by = format!(
        "publication and replication slot {} on the source, which keeps its WAL from {} on",
        follow.name, follow.lsn
    );
    // What is to be done comes last, so that a command at its end can be copied.
    let then = conclusion
        .next
        .map_or_else(String::new, |next| format!(" {next}"));
    let begins = match report.following_since {
        Some(_) => "The target follows the source",
        None => "The target now begins to follow the source",
    };
    let begins = format!("{begins}, by {by}, and by a subscription of the same name.");
    let next = match conclusion.status {
        ExitStatus::Proven => format!(
            "{begins} pgconvoy status --target says how it stands, pgconvoy cutover switches over to it, and pgconvoy unfollow removes all \
             of it."
        ),
        ExitStatus::Waived => {
            format!("{begins} pgconvoy status --target says how it stands.{then}")
        }
        // It may have begun to after the last word of the record: nobody is told to remove what it follows by.
        ExitStatus::Interrupted if facts.did_all() => format!(
            "Whether the target follows the source by now is not on record. What was set up for it stays: {by}.{then}"
        ),
        _ => format!(
            "The target does not follow the source yet. What was set up for it stays until then: {by}; pgconvoy unfollow --source removes \
             it.{then}"
        ),
    };
    Conclusion {
        next: Some(next),
        ..conclusion
    }
}
