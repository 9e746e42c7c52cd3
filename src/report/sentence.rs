//! The last sentence: what is proven, what is not, and what to do next.
//!
//! It is derived from the evidence in the report, not from how the run thinks it went. Proven is only what was compared:
//! as many verdicts as the plan has tables, each of them `identical`, every job finished, nothing different and nothing
//! left unverified. One missing verdict is enough to take the word away.

use crate::event::Emptying;
use crate::model::{Bytes, ExitStatus, Rows, Severity, Verdict, VerifyLevel};
use crate::progress::words;

use super::facts::{Facts, PROVE_LATER, listed, stop_word};
use super::{Report, archive, comparison, followed, rehearsed, restored, salvaged, synced};

/// How the command came to its end, which events alone do not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It went all the way through.
    Complete,
    /// It stopped before, for a reason that no job's failure tells.
    Stopped {
        /// What that means for the exit status.
        status: ExitStatus,
        /// Why, as a clause: `the connection to the target was lost`.
        why: String,
    },
    /// The copy is what it was to be, and the target that was to follow the source does not.
    NotFollowing {
        /// What that means for the exit status.
        status: ExitStatus,
        /// Why, as a clause.
        why: String,
        /// The ledger is still there: the target does not say yet that it is to follow.
        ledger_is_left: bool,
    },
}

/// What a run comes to; the fields of [`What::RunFinished`](crate::event::What::RunFinished).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conclusion {
    /// The exit status that the evidence allows.
    pub status: ExitStatus,
    /// What is proven and what is not.
    pub sentence: String,
    /// What to do next.
    pub next: Option<String>,
}

/// Concludes from a report of everything but the last event.
pub fn conclude(report: &Report, ending: &Ending) -> Conclusion {
    let facts = Facts::new(report);
    if report.command.is_sync() {
        return synced::conclude(&facts, ending);
    }
    if report.compares() {
        return comparison::conclude(&facts, ending);
    }
    if archive::is_dump(report) {
        return archive::conclude(&facts, ending);
    }
    if let Ending::NotFollowing {
        status,
        why,
        ledger_is_left,
    } = ending
    {
        let copy = copied(&facts, &Ending::Complete);
        return followed::not_begun(&facts, &copy, (*status, why), *ledger_is_left);
    }
    if let Ending::Stopped { status, why } = ending
        && report.following_since.is_some()
    {
        // No target begins to follow whose copy is not what it was to be.
        let copy = copied(&facts, &Ending::Complete);
        if matches!(copy.status, ExitStatus::Proven | ExitStatus::Waived) {
            return followed::unsaid(&facts, copy, (*status, why));
        }
    }
    followed::tell(&facts, copied(&facts, ending))
}

/// Of what has brought rows to a server.
fn copied(facts: &Facts<'_>, ending: &Ending) -> Conclusion {
    let report = facts.report;
    if let Ending::Stopped { status, why } = ending {
        return stopped(facts, *status, why);
    }
    let blockers = report
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Blocker)
        .count();
    if blockers > 0 && facts.started == 0 {
        return no_go(facts, blockers);
    }
    let is_restore = restored::is_restore(report);
    if facts.unfinished > 0 || !facts.is_planned() {
        return restored::with_another_copy(facts, unfinished(facts));
    }
    if facts.different() {
        let different = different(facts);
        return if is_restore {
            restored::different(facts, &different)
        } else {
            different
        };
    }
    match report.verify {
        Some(VerifyLevel::None) if is_restore => restored::not_verified(facts),
        Some(VerifyLevel::None) => not_verified(facts),
        _ if facts.open_questions() => restored::with_another_copy(facts, unproven(facts)),
        Some(VerifyLevel::Counts) => counted(facts),
        _ if salvaged::is_lossy(report) => salvaged::concluded(facts),
        _ if restored::lacks(report) => restored::in_part(facts),
        _ if !facts.report.waivers.is_empty() => edited(facts),
        _ => proven(facts),
    }
}

fn proven(facts: &Facts<'_>) -> Conclusion {
    if restored::is_restore(facts.report) {
        return restored::proven(facts);
    }
    let bytes: Bytes = facts.report.tables.iter().map(|table| table.bytes).sum();
    let what = if facts.identical == 0 {
        "there are no rows to copy, and the target has none".to_owned()
    } else {
        format!(
            "{} ({bytes}): the target holds exactly what the source held",
            facts.identical_tables()
        )
    };
    if rehearsed::is_rehearsal(facts.report) {
        return rehearsed::proven(facts, &what);
    }
    // A target that follows gets them.
    let is_stale = facts.report.source_moved_on.is_some() && facts.report.follow.is_none();
    let next = is_stale.then(|| {
        format!(
            "The copy does not have the later writes. Before you switch over, stop whatever writes to the source; then bring \
             them over with pgconvoy sync and the same --source and --target, or move again {}.",
            facts.again()
        )
    });
    Conclusion {
        status: ExitStatus::Proven,
        sentence: format!(
            "Proven: {what} {}.{}{}",
            facts.at_snapshot(),
            facts.also_the_same(),
            facts.not_included()
        ),
        next,
    }
}

/// Everything is the same but what the operator has made otherwise, by editing a statement that had failed.
fn edited(facts: &Facts<'_>) -> Conclusion {
    let proven = proven(facts);
    Conclusion {
        status: ExitStatus::Waived,
        sentence: format!("{}{}", proven.sentence, facts.except_edited()),
        next: proven.next,
    }
}

fn counted(facts: &Facts<'_>) -> Conclusion {
    Conclusion {
        status: ExitStatus::Waived,
        sentence: format!(
            "Counted, not compared: {}, {}: the target has as many rows in each as the source had {}, but their content was not compared \
             (--verify counts).{}{}{}",
            words::count(facts.same_count + facts.identical, "table", "tables"),
            words::count((facts.counted_rows + facts.identical_rows).0, "row", "rows"),
            facts.at_snapshot(),
            facts.also_the_same(),
            facts.not_included(),
            facts.except_edited()
        ),
        next: Some(PROVE_LATER.to_owned()),
    }
}

fn not_verified(facts: &Facts<'_>) -> Conclusion {
    let planned = u64::from(facts.report.planned_tables.unwrap_or(0));
    Conclusion {
        status: ExitStatus::Waived,
        sentence: format!(
            "Nothing is proven: {} copied without an error, and nothing was compared (--verify none).{}",
            words::count(planned, "table was", "tables were"),
            facts.not_included()
        ),
        next: Some(PROVE_LATER.to_owned()),
    }
}

fn different(facts: &Facts<'_>) -> Conclusion {
    let objects: Vec<String> = facts
        .report
        .differences
        .iter()
        .map(|difference| {
            format!(
                "{} {}",
                difference.class,
                words::one_line(&difference.object)
            )
        })
        .collect();
    let what = if objects.is_empty() {
        format!(
            "the rows of {}",
            facts.named(|table| table.verdict == Verdict::Different)
        )
    } else {
        listed(&objects)
    };
    let count = facts.different_tables.max(objects.len() as u64);
    let unverified = facts.silent.max(facts.report.unverified.len() as u64);
    let besides = match unverified {
        0 => String::new(),
        count => format!(
            " Besides, {} not be verified.",
            words::count(count, "thing could", "things could")
        ),
    };
    Conclusion {
        status: ExitStatus::Different,
        sentence: format!(
            "NOT the same: source and target differ in {}: {what}. {}{besides}",
            words::count(count, "place", "places"),
            facts.proven_part()
        ),
        next: Some(format!(
            "Do not switch over to this target. Every difference is listed above, and in {}. pgconvoy verify with the same --source and \
             --target shows which rows differ; with --repair FILE it also writes the SQL that would bring the target in line.",
            facts.in_run_dir("report.json")
        )),
    }
}

/// Everything ran and nothing differs, but some of it was not verified.
fn unproven(facts: &Facts<'_>) -> Conclusion {
    let mut gaps = Vec::new();
    if facts.silent > 0 {
        let listed = facts.named(|table| table.verdict == Verdict::NotVerified);
        let which = if listed == "nothing" {
            String::new()
        } else {
            format!(" ({listed})")
        };
        gaps.push(format!(
            "the rows of {}{which}",
            words::count(facts.silent, "table", "tables")
        ));
    }
    let unverified: Vec<String> = facts
        .report
        .unverified
        .iter()
        .map(|one| format!("{} {}", one.class, words::one_line(&one.object)))
        .collect();
    if !unverified.is_empty() {
        gaps.push(listed(&unverified));
    }
    if facts.same_count > 0 && facts.report.verify != Some(VerifyLevel::Counts) {
        gaps.push(format!(
            "the content of {}, of which only the rows were counted",
            words::count(facts.same_count, "table", "tables")
        ));
    }
    if facts.report.checked.is_empty() {
        gaps.push("everything but rows: indexes, constraints, sequences and the rest".to_owned());
    }
    if gaps.is_empty() {
        gaps.push("what the plan was, or which snapshot it was made from".to_owned());
    }
    Conclusion {
        status: ExitStatus::Failed,
        sentence: format!(
            "Not proven: everything was copied and no difference was found, but this could not be verified: {}. {}",
            gaps.join("; "),
            facts.proven_part()
        ),
        next: Some(format!(
            "Do not rely on this target before that is settled. The reasons are listed above, and in {}. Once they are gone, have it \
             proven again: {}",
            facts.in_run_dir("report.json"),
            facts.resume("resume")
        )),
    }
}

fn unfinished(facts: &Facts<'_>) -> Conclusion {
    if !facts.is_planned() {
        return Conclusion {
            status: ExitStatus::Failed,
            sentence: "Nothing was done: the run has no plan. Nothing is proven.".to_owned(),
            next: None,
        };
    }
    let lost = facts.unfinished - facts.failed - facts.skipped;
    let mut parts = Vec::new();
    if facts.failed > 0 {
        parts.push(format!(
            "{} failed",
            words::count(facts.failed, "job", "jobs")
        ));
    }
    if facts.skipped > 0 {
        parts.push(format!(
            "{} left out because of that",
            words::count(facts.skipped, "job was", "jobs were")
        ));
    }
    if lost > 0 {
        parts.push(format!(
            "{} not done",
            words::count(lost, "job was", "jobs were")
        ));
    }
    let differences = match facts.report.differences.len() as u64 {
        0 => String::new(),
        count => format!(
            " {} found; what was not done may be why.",
            words::count(count, "difference was", "differences were")
        ),
    };
    Conclusion {
        status: ExitStatus::Failed,
        sentence: format!(
            "Not complete: of {}, {}. The target is not a copy of the source. {}{differences}",
            words::count(facts.jobs, "job", "jobs"),
            parts.join(" and "),
            facts.proven_part()
        ),
        next: Some(if facts.failed > 0 {
            format!(
                "Each failed statement is shown above and kept whole under {}. Remove its cause, then try these again: {}",
                facts.in_run_dir("failed/"),
                facts.resume("resume --retry-failed")
            )
        } else {
            facts.go_on()
        }),
    }
}

fn no_go(facts: &Facts<'_>, blockers: usize) -> Conclusion {
    Conclusion {
        status: ExitStatus::NoGo,
        sentence: format!(
            "No-go: {} this run. {}",
            words::count(blockers as u64, "finding forbids", "findings forbid"),
            facts.untouched()
        ),
        next: Some("Follow what each finding says, then try again.".to_owned()),
    }
}

/// What has become of what a target held that was to be emptied: a sentence, and a space.
fn emptied(Emptying { objects, dropped }: Emptying) -> String {
    let held = words::count(objects, "object", "objects");
    match dropped {
        0 => format!(
            "The target was being emptied: of {held} that it held, none is known to be gone. "
        ),
        _ if dropped >= objects => {
            format!("The target was emptied: what it held is gone ({held}). ")
        }
        _ => format!(
            "The target was being emptied: of {held} that it held, at least {}. ",
            words::count(dropped, "is gone", "are gone")
        ),
    }
}

fn stopped(facts: &Facts<'_>, status: ExitStatus, why: &str) -> Conclusion {
    let why = why.trim_end_matches('.');
    let done = facts.jobs - facts.unfinished;
    let by = why.strip_prefix("interrupted by ");
    let begins = match by.filter(|_| status == ExitStatus::Interrupted) {
        Some(by) => format!("Interrupted by {by}"),
        None => format!("{}: {why}", stop_word(status)),
    };
    // Once there is a plan, the target is what the jobs have made of it.
    let emptying = facts.report.emptying;
    let emptying = emptying.filter(|_| facts.report.planned_tables.is_none());
    let nothing_touched =
        matches!(status, ExitStatus::NoGo | ExitStatus::Usage) && emptying.is_none();
    let sentence = if nothing_touched {
        format!("{begins}. {}", facts.untouched())
    } else if facts.started == 0 {
        let emptied = emptying.map_or_else(String::new, emptied);
        format!("{begins}. {emptied}No job had begun; nothing is proven.")
    } else {
        // With nothing left to do it may be one; what would have said so did not come.
        let copy = if facts.did_all() {
            "whether the target is a copy of the source was not concluded"
        } else {
            "the target is not a copy of the source"
        };
        format!(
            "{begins}. {} of {} done; {copy}. {}",
            Rows(done),
            words::count(facts.jobs, "job was", "jobs were"),
            facts.proven_part()
        )
    };
    // Before there is a plan there is nothing to go on with, unless an earlier session had one.
    let planned = facts.report.planned_tables.is_some() && !nothing_touched;
    let goes_on = planned || facts.report.is_resumed() || emptying.is_some();
    let next = goes_on.then(|| facts.go_on());
    // Whoever stops in spite of everything being proven must not be told that it is.
    let status = match status {
        ExitStatus::Proven | ExitStatus::Waived => ExitStatus::Failed,
        other => other,
    };
    Conclusion {
        status,
        sentence,
        next,
    }
}
