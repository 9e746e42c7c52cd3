//! What is said of a run whose source is a damaged server, or an archive that is the account of one.
//!
//! What is lost travels as a waiver, because it takes the word "proven" away like one. But nobody asked for it: it has a sentence, a
//! meaning and a place in each document of its own.

use crate::model::{Bytes, ExitStatus, VerifyLevel, Waiver};
use crate::progress::words;

use super::facts::{Facts, listed};
use super::{Conclusion, Report, archive, comparison, restored};

/// Whether something is lost.
pub(super) fn is_lossy(report: &Report) -> bool {
    report.waivers.iter().any(|waiver| waiver.lost().is_some())
}

/// What something is lost of, and what of it.
pub(super) fn lost(report: &Report) -> Vec<(&str, &Waiver)> {
    let waivers = report.waivers.iter();
    waivers
        .filter_map(|waiver| Some((waiver.lost()?, waiver)))
        .collect()
}

/// What something is lost of, for a sentence.
pub(super) fn losses(report: &Report) -> Vec<String> {
    let lost = lost(report).into_iter();
    lost.map(|(object, _)| words::one_line(object)).collect()
}

/// What was passed over because somebody asked for it.
pub(super) fn passed_over(report: &Report) -> Vec<&Waiver> {
    let waivers = report.waivers.iter();
    waivers.filter(|waiver| waiver.lost().is_none()).collect()
}

/// Whether less was to be proven than there is.
pub(super) fn is_short(report: &Report) -> bool {
    report.verify != Some(VerifyLevel::Content) || !passed_over(report).is_empty()
}

/// The end in a word or two, and what it means for whoever has to decide; `None` for a run of which nothing is lost, and for another
/// end.
pub(super) fn headline(report: &Report) -> Option<(&'static str, &'static str)> {
    if report.status != Some(ExitStatus::Waived) || !is_lossy(report) {
        return None;
    }
    Some(if report.compares() {
        (
            "Finished, with reservations",
            "What could be compared is the same, and it is not all that the database once held: decide whether what is listed as lost matters.",
        )
    } else if is_short(report) {
        (
            "Finished, with reservations",
            "Not everything could be read of a damaged database, and not everything was to be proven: decide whether what is listed as such matters.",
        )
    } else {
        (
            "Salvaged, with losses",
            "The target holds what could be read of a damaged database: decide whether what is listed as lost matters, and keep the damaged files until then.",
        )
    })
}

/// The same end as the meaning of the exit status.
pub(super) fn exit_status(report: &Report) -> &'static str {
    let lacks = archive::lacks(report) || restored::lacks(report) || comparison::lacks(report);
    match (is_lossy(report), is_short(report)) {
        (true, false) => "finished, but not everything could be read",
        (true, true) => {
            "finished, but not everything could be read, and not everything was to be proven"
        }
        (false, false) if lacks => "finished, but an archive lacks what could not be dumped",
        (false, _) => "finished, but not everything was to be proven",
    }
}

/// What could be read of a damaged source is there, and what could not is accounted for.
pub(super) fn concluded(facts: &Facts<'_>) -> Conclusion {
    let report = facts.report;
    if restored::is_restore(report) {
        return restored::salvaged(facts);
    }
    let bytes: Bytes = report.tables.iter().map(|table| table.bytes).sum();
    Conclusion {
        status: ExitStatus::Waived,
        sentence: format!(
            "Salvaged, with losses: {} ({bytes}): the target holds exactly what could be read of the source {}. Something is \
             lost of, or because of: {}.{}{}{}",
            facts.identical_tables(),
            facts.at_snapshot(),
            listed(&losses(report)),
            facts.also_the_same(),
            facts.not_included(),
            facts.except_edited()
        ),
        next: Some(format!(
            "What is lost is in {}, row by row under lost/, suspect/ and violations/.",
            facts.in_run_dir("losses.json")
        )),
    }
}
