//! The last sentence of a restore: whether the target is proven to hold what the archive does.
//!
//! An archive with a manifest is known to hold what its database held. Of one without, by `pg_dump`, it cannot be known whether
//! anything was left out of it, and the sentence says so.

use std::collections::BTreeSet;

use crate::model::{
    ARCHIVE_LACKS, Bytes, ExitStatus, FILE_DAMAGED, FILE_UNREAD, OF_LIVE_SOURCE, Verdict,
};
use crate::progress::words;

use super::archive::what_to_do;
use super::facts::{Facts, listed};
use super::salvaged::{self, losses};
use super::{Conclusion, Report};

/// Whether rows came out of an archive.
pub(super) fn is_restore(report: &Report) -> bool {
    let source = report.source.as_ref();
    !report.compares() && source.is_some_and(|source| source.archive.is_some())
}

/// What the end of a restore means for whoever has to decide; `None` for another run, or an end that means the same for all.
pub(super) fn meaning(report: &Report) -> Option<&'static str> {
    let status = report.status.filter(|_| is_restore(report))?;
    Some(match (status, report.snapshot.is_some()) {
        (ExitStatus::Waived, _)
            if lacks(report) && !salvaged::is_lossy(report) && !salvaged::is_short(report) =>
        {
            "The target holds what the archive does, but the archive does not hold its whole database: decide whether what it lacks \
             matters."
        }
        (ExitStatus::Proven, true) => {
            "The target holds what the archive does, and the archive holds what the database held when it was dumped."
        }
        (ExitStatus::Proven, false) => {
            "The target holds what the archive does. Without a manifest it cannot be known whether the archive held everything."
        }
        (ExitStatus::Different, _) if is_only_of_live_source(report) => {
            "The target holds what the archive does, but not what the source holds now: decide whether what differs was written since the dump."
        }
        (ExitStatus::Different, _) => "Do not use this target: it is not what the archive holds.",
        _ => return None,
    })
}

pub(super) fn proven(facts: &Facts<'_>) -> Conclusion {
    Conclusion {
        status: ExitStatus::Proven,
        sentence: format!("Proven: {}", what_is_there(facts)),
        next: None,
    }
}

/// Whether something is missing that nobody left out: the archive lacks it.
pub(super) fn lacks(report: &Report) -> bool {
    is_restore(report) && !lacking(report).is_empty()
}

/// The target holds what the archive does, which is not all that was to be restored of its database.
pub(super) fn in_part(facts: &Facts<'_>) -> Conclusion {
    Conclusion {
        status: ExitStatus::Waived,
        sentence: format!(
            "Restored, but not the whole database: {}{}",
            what_is_there(facts),
            facts.except_edited()
        ),
        next: Some(what_to_do(&lacking(facts.report))),
    }
}

/// What the target is proven to hold, and what it is not said to.
fn what_is_there(facts: &Facts<'_>) -> String {
    let report = facts.report;
    let bytes: Bytes = report.tables.iter().map(|table| table.bytes).sum();
    let what = if facts.jobs == 0 {
        "there is nothing to restore".to_owned()
    } else if facts.identical == 0 && has_excluded(report) {
        format!(
            "no rows were to be loaded, and the target has none; its definitions are exactly what {} holds",
            archive(report)
        )
    } else if facts.identical == 0 {
        "there are no rows to load, and the target has none".to_owned()
    } else {
        format!(
            "{} ({bytes}): the target holds exactly what {} holds",
            facts.identical_tables(),
            archive(report)
        )
    };
    let whole = match &report.snapshot {
        Some(snapshot) => format!(
            ", which is what its database held at snapshot {} (LSN {}){}",
            snapshot.name,
            snapshot.lsn,
            but_for(&lacking(report))
        ),
        None => {
            ". The archive has no manifest, so it cannot be known what pg_dump may have left out of it"
                .to_owned()
        }
    };
    format!(
        "{what}{whole}.{}{}",
        facts.also_the_same(),
        not_included(facts)
    )
}

/// What is missing because the archive lacks it, although nobody left it out: it was said when that was opened.
fn lacking(report: &Report) -> Vec<String> {
    let notes = report.notes.iter();
    let lacking: BTreeSet<&str> = notes
        .filter_map(|note| note.strip_prefix(ARCHIVE_LACKS))
        .collect();
    lacking.into_iter().map(words::one_line).collect()
}

fn but_for(lacking: &[String]) -> String {
    if lacking.is_empty() {
        return String::new();
    }
    format!(
        ", but for what is not in it, or not in full: {}",
        listed(lacking)
    )
}

/// The same behind another sentence, or nothing.
fn also_lacking(report: &Report) -> String {
    match lacking(report).as_slice() {
        [] => String::new(),
        lacking => format!(" Not in it, or not in full: {}.", listed(lacking)),
    }
}

fn has_excluded(report: &Report) -> bool {
    report.verdicts(Verdict::Excluded) > 0
}

/// Whether the run itself has left rows out that the archive may well have.
fn chooses_rows(report: &Report) -> bool {
    let mut options = report.narrowed_by.iter();
    options.any(|option| {
        option == "--schema-only" || option == "--use-list" || option.starts_with("--section=")
    })
}

/// The archive is what could be read of a damaged database.
pub(super) fn salvaged(facts: &Facts<'_>) -> Conclusion {
    let report = facts.report;
    let bytes: Bytes = report.tables.iter().map(|table| table.bytes).sum();
    Conclusion {
        status: ExitStatus::Waived,
        sentence: format!(
            "Salvaged, with losses: {} ({bytes}): the target holds exactly what {} holds, and that is what could be read of a damaged \
             database. Something is lost of, or because of: {}.{}{}{}{}",
            facts.identical_tables(),
            archive(report),
            listed(&losses(report)),
            also_lacking(report),
            facts.also_the_same(),
            not_included(facts),
            facts.except_edited()
        ),
        next: Some(format!(
            "What is lost is in losses.json of the archive and, with constraints that do not hold because of it, in {}.",
            facts.in_run_dir("losses.json")
        )),
    }
}

/// What is left to do with an archive of which there is no other copy: a sentence, and a space.
const WITHOUT_A_COPY: &str = "If there is no other copy, dump again; or restore everything else into an emptied target, with -L and a list \
    (pgconvoy list) without what is damaged. ";

/// What does not come out of a file of the archive will not come out of it another time: another copy of it is needed to go on.
pub(super) fn with_another_copy(facts: &Facts<'_>, conclusion: Conclusion) -> Conclusion {
    let report = facts.report;
    let mut unverified = report.unverified.iter();
    let is_unread = unverified.any(|one| one.because.starts_with(FILE_UNREAD));
    let failures = report.failures();
    let damaged = failures.filter(|(_, failure)| failure.message.starts_with(FILE_DAMAGED));
    let damaged = damaged.count();
    if damaged == 0 && !is_unread {
        return conclusion;
    }
    let next = match conclusion.next {
        // Two things are to be done, and the second is told already.
        Some(next) if damaged > 0 && damaged < report.failures().count() => {
            format!(
                "A file of the archive is damaged: put another copy of the archive in its place first. {next}"
            )
        }
        _ => format!(
            "What cannot be read of the archive is named above, and in {}. {}Put another copy of the archive in its place, then try again: \
             {}",
            facts.in_run_dir("report.json"),
            if damaged > 0 { WITHOUT_A_COPY } else { "" },
            facts.resume("resume --retry-failed")
        ),
    };
    Conclusion {
        next: Some(next),
        ..conclusion
    }
}

/// Whether the target is what the archive holds, and differs from the source as it is now.
fn is_only_of_live_source(report: &Report) -> bool {
    let mut differences = report.differences.iter();
    !report.differences.is_empty()
        && differences.all(|one| one.class.starts_with(OF_LIVE_SOURCE))
        && report.verdicts(Verdict::Different) == 0
}

/// What was written to the source since the dump is a difference, too.
fn source_differs(facts: &Facts<'_>, status: ExitStatus) -> Conclusion {
    let report = facts.report;
    let differences = report.differences.iter();
    let objects: Vec<String> = differences
        .map(|one| {
            let class = one.class.trim_start_matches(OF_LIVE_SOURCE);
            format!("{class} {}", words::one_line(&one.object))
        })
        .collect();
    Conclusion {
        status,
        sentence: format!(
            "NOT what the live source holds: the target holds exactly what {} holds ({}), and source and target differ in {}: {}. Anything \
             written to the source since the dump shows up as a difference.",
            archive(report),
            facts.identical_tables(),
            words::count(objects.len() as u64, "place", "places"),
            listed(&objects)
        ),
        next: Some(format!(
            "Decide whether what differs was written to the source since the dump; every difference is listed above, and in {}.",
            facts.in_run_dir("report.json")
        )),
    }
}

pub(super) fn different(facts: &Facts<'_>, conclusion: &Conclusion) -> Conclusion {
    if is_only_of_live_source(facts.report) {
        return source_differs(facts, conclusion.status);
    }
    let path = facts.report.source.as_ref();
    let path = path
        .and_then(|source| source.archive.clone())
        .unwrap_or_default();
    Conclusion {
        sentence: conclusion
            .sentence
            .replace("source and target differ", "archive and target differ"),
        next: Some(format!(
            "Do not use this target. Every difference is listed above, and in {}. To check whether the archive is still what it was: \
             pgconvoy verify --archive {}",
            facts.in_run_dir("report.json"),
            crate::model::shell_word(&path)
        )),
        status: conclusion.status,
    }
}

fn archive(report: &Report) -> String {
    let source = report.source.as_ref();
    source.map_or("the archive".to_owned(), |source| {
        words::one_line(&source.to_string())
    })
}

fn not_included(facts: &Facts<'_>) -> String {
    let mut items = Vec::new();
    let excluded = facts.named(|table| table.verdict == Verdict::Excluded);
    if has_excluded(facts.report) {
        let why = if chooses_rows(facts.report) {
            "left out on request, as far as the archive has them"
        } else {
            "which the archive does not have"
        };
        items.push(format!("the rows of {excluded}, {why}"));
    }
    items.extend(facts.narrowed());
    facts.without(items)
}

/// What a restore that nobody wanted to be proven comes to.
pub(super) fn not_verified(facts: &Facts<'_>) -> Conclusion {
    let planned = u64::from(facts.report.planned_tables.unwrap_or(0));
    let tables = [words::count(planned, "table was", "tables were")];
    Conclusion {
        status: ExitStatus::Waived,
        sentence: format!(
            "Nothing is proven: {} loaded without an error, and nothing was compared (--verify none).{}{}",
            listed(&tables),
            also_lacking(facts.report),
            not_included(facts)
        ),
        next: Some(
            "To prove that everything arrived, restore with --verify content, the default."
                .to_owned(),
        ),
    }
}
