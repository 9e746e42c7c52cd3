//! The last sentence of a comparison: whether source and target are proven to be the same, and what to do if not.
//!
//! As for a move, it is derived from the evidence alone: one gap in it, or one thing that differed only for a while, and
//! nothing is called proven.

use std::collections::BTreeSet;

use crate::model::{
    Difference, DifferenceKind, ExitStatus, RepairFile, Rows, RowsDiffer, Severity, Verdict,
    VerifyLevel, shell_word,
};
use crate::progress::words;

use super::archive::what_to_do;
use super::evidence::{Evidence, TABLE_DATA, not_in_archive, of_object};
use super::facts::{Facts, listed, stop_word};
use super::{Conclusion, Ending, Report};
use super::{rows, salvaged};

/// Whether all was compared that the archive holds, and that lacks something.
pub(super) fn lacks(report: &Report) -> bool {
    report.compares() && !not_in_archive(report).is_empty()
}

/// What the end of a comparison with such an archive means for whoever has to decide; `None` for another one.
pub(super) fn meaning(report: &Report) -> Option<&'static str> {
    let is_it = report.status == Some(ExitStatus::Waived)
        && lacks(report)
        && !salvaged::is_lossy(report)
        && !salvaged::is_short(report);
    is_it.then_some(
        "What the archive holds is the same, but it does not hold everything: decide whether what is listed as not verified matters.",
    )
}

/// Concludes from a report of everything but the last event.
pub(super) fn conclude(facts: &Facts<'_>, ending: &Ending) -> Conclusion {
    let mut conclusion = judge(facts, ending);
    if matches!(conclusion.status, ExitStatus::Proven | ExitStatus::Waived) {
        let next = [conclusion.next, warned(facts)];
        let next: Vec<String> = next.into_iter().flatten().collect();
        conclusion.next = (!next.is_empty()).then(|| next.join(" "));
    }
    conclusion
}

/// What is no difference, and may hurt all the same, must not be overread because all the rest is well.
fn warned(facts: &Facts<'_>) -> Option<String> {
    let findings = facts.report.findings.iter();
    let warnings = findings.filter(|finding| finding.severity == Severity::Warning);
    let (count, verb) = match warnings.count() as u64 {
        0 => return None,
        1 => (1, "says"),
        count => (count, "say"),
    };
    Some(format!(
        "Before the target goes into service: {} above {verb} what may make the target slow or wrong in use, and what to do about it.",
        words::count(count, "warning", "warnings")
    ))
}

fn judge(facts: &Facts<'_>, ending: &Ending) -> Conclusion {
    let evidence = Evidence::new(facts);
    if let Ending::Stopped { status, why } = ending {
        return stopped(&evidence, *status, why);
    }
    let findings = facts.report.findings.iter();
    let blockers = findings.filter(|finding| finding.severity == Severity::Blocker);
    let blockers = blockers.count() as u64;
    if blockers > 0 && facts.started == 0 {
        return no_go(blockers);
    }
    if evidence.different() {
        return different(&evidence);
    }
    let gaps = evidence.gaps();
    if !gaps.is_empty() {
        return unverified(&evidence, &gaps);
    }
    if evidence.in_flux() {
        return in_flux(&evidence);
    }
    match facts.report.verify {
        Some(VerifyLevel::Content) if !facts.report.waivers.is_empty() => waived(&evidence),
        Some(VerifyLevel::Content) if lacks(facts.report) => in_part(&evidence),
        Some(VerifyLevel::Content) => proven(&evidence),
        Some(VerifyLevel::Counts) => counted(&evidence),
        Some(VerifyLevel::Schema) => schema_only(&evidence),
        Some(VerifyLevel::None) | None => Conclusion {
            status: ExitStatus::Failed,
            sentence: "Nothing is proven: nothing was to be compared.".to_owned(),
            next: None,
        },
    }
}

/// How to get to a proof when the source is being written to.
const QUIET: &str = "stop whatever writes to the source, wait until the target has caught up, and run the same again. The \
                     source is quiet when pg_stat_activity there shows no client session but your own, and when pgconvoy says \
                     that no transaction has begun there since its snapshot.";

fn proven(evidence: &Evidence<'_>) -> Conclusion {
    let facts = evidence.facts;
    let what = if evidence.same.is_empty() {
        "source and target have no rows to compare".to_owned()
    } else {
        format!("{}, by the content of every row", evidence.same_tables())
    };
    Conclusion {
        status: ExitStatus::Proven,
        sentence: format!(
            "Proven: {what}.{}{}{}",
            facts.also_the_same(),
            evidence.moments(),
            evidence.not_compared()
        ),
        next: (facts.report.source_moved_on.is_some())
            .then(|| format!("Before you switch over: {QUIET}")),
    }
}

/// What the archive holds is the same. It does not hold everything, and to compare it again changes nothing about that.
fn in_part(evidence: &Evidence<'_>) -> Conclusion {
    let facts = evidence.facts;
    Conclusion {
        status: ExitStatus::Waived,
        sentence: format!(
            "The same, as far as the archive goes: {}.{}{}{}{}",
            evidence.same_tables(),
            facts.also_the_same(),
            evidence.not_in_archive(),
            evidence.moments(),
            evidence.not_compared()
        ),
        next: Some(format!(
            "{} No comparison with this archive can settle it: the reasons are listed above, and in {}. Two servers can be compared in it: \
             pgconvoy verify --source … --target ….",
            what_to_do(&not_in_archive(facts.report)),
            facts.in_run_dir("report.json")
        )),
    }
}

fn waived(evidence: &Evidence<'_>) -> Conclusion {
    let (except, next) = if salvaged::passed_over(evidence.facts.report).is_empty() {
        (
            "what is lost",
            "What is lost is listed above, and in losses.json of the archive.",
        )
    } else {
        (
            "what was passed over",
            "What was passed over is listed above. To prove that too, run again without --ignore.",
        )
    };
    Conclusion {
        status: ExitStatus::Waived,
        sentence: format!(
            "The same, except for {except}: {}.{}{}{}{}{}",
            evidence.same_tables(),
            evidence.facts.also_the_same(),
            evidence.passed_over(),
            evidence.not_in_archive(),
            evidence.moments(),
            evidence.not_compared()
        ),
        next: Some(next.to_owned()),
    }
}

fn counted(evidence: &Evidence<'_>) -> Conclusion {
    let tables = evidence.same.len() as u64;
    Conclusion {
        status: ExitStatus::Waived,
        sentence: format!(
            "Counted, not compared: {} as many rows on the target as on the source, {} in all; their content was not compared (--level \
             counts).{}{}{}{}",
            words::count(tables, "table has", "tables have"),
            evidence.rows,
            evidence.facts.also_the_same(),
            evidence.passed_over(),
            evidence.moments(),
            evidence.not_compared()
        ),
        next: Some(
            "To prove that the rows are the same, run again with --level content.".to_owned(),
        ),
    }
}

fn schema_only(evidence: &Evidence<'_>) -> Conclusion {
    Conclusion {
        status: ExitStatus::Waived,
        sentence: format!(
            "The same schema; rows were not looked at (--level schema).{}{}{}{}",
            evidence.facts.also_the_same(),
            evidence.passed_over(),
            evidence.moments(),
            evidence.not_compared()
        ),
        next: Some(
            "To prove that the rows are the same, run again with --level content.".to_owned(),
        ),
    }
}

fn different(evidence: &Evidence<'_>) -> Conclusion {
    let report = evidence.facts.report;
    let tables = differing_tables(evidence);
    let others = report
        .differences
        .iter()
        .filter(|difference| difference.class != TABLE_DATA);
    let count = (tables.len() + others.clone().count()) as u64;
    let mut groups = Vec::new();
    if !tables.is_empty() {
        groups.push(format!("rows of {}", listed(&tables)));
    }
    for (kind, heading) in [
        (DifferenceKind::Missing, "missing on the target"),
        (DifferenceKind::Invalid, "there, but not in force"),
        (DifferenceKind::Different, "not the same"),
        (DifferenceKind::Extra, "only on the target"),
    ] {
        let of_kind = others.clone().filter(|difference| difference.kind == kind);
        let names: Vec<String> = of_kind.map(of_object).collect();
        if !names.is_empty() {
            groups.push(format!("{heading}: {}", listed(&names)));
        }
    }
    let gaps = match evidence.gaps() {
        gaps if gaps.is_empty() => String::new(),
        gaps => format!(" Besides, this could not be verified: {}.", gaps.join("; ")),
    };
    let flux = match evidence.objects_in_flux() {
        objects if objects.is_empty() => String::new(),
        objects => format!(" In flux besides: {}.", listed(&objects)),
    };
    Conclusion {
        status: ExitStatus::Different,
        sentence: format!(
            "NOT the same: source and target differ in {}: {}. {}{gaps}{flux}{}{}",
            words::count(count, "place", "places"),
            groups.join("; "),
            evidence.proven_part(),
            evidence.passed_over(),
            evidence.not_in_archive()
        ),
        next: Some(after_differences(evidence)),
    }
}

/// The tables whose rows differ, each with how many.
fn differing_tables(evidence: &Evidence<'_>) -> Vec<String> {
    let report = evidence.facts.report;
    let mut told: Vec<&RowsDiffer> = report.rows.iter().collect();
    told.retain(|rows| rows.total() > Rows(0));
    told.sort_by_key(|rows| std::cmp::Reverse(rows.total()));
    let mut names: Vec<String> = told
        .iter()
        .map(|differ| format!("{} ({})", differ.table.shown(), rows::counts(differ)))
        .collect();
    let told: BTreeSet<String> = report.rows.iter().map(|rows| rows.table.shown()).collect();
    let mut others: BTreeSet<String> = evidence
        .names(|table| table.verdict == Verdict::Different)
        .into_iter()
        .collect();
    // A table that is not there at all has a difference of its own.
    let (of_rows, of_others): (Vec<_>, Vec<_>) = report
        .differences
        .iter()
        .partition(|difference| difference.class == TABLE_DATA);
    others.retain(|name| {
        !of_others
            .iter()
            .any(|difference| difference.object == *name)
    });
    others.extend(of_rows.iter().map(|difference| difference.object.clone()));
    names.extend(others.into_iter().filter(|name| !told.contains(name)));
    names
}

fn after_differences(evidence: &Evidence<'_>) -> String {
    let report = evidence.facts.report;
    let mut next = vec![format!(
        "Do not switch over to this target. What differs is listed above, and in full in {}.",
        evidence.facts.in_run_dir("report.json")
    )];
    if report.source_moved_on.is_some() {
        next.push(
            "The source is being written to, and what is still on its way to the target looks like a difference: stop the \
             writers and run again, or let pgconvoy look again with --recheck 3."
                .to_owned(),
        );
    }
    // None of that is for archives.
    if report
        .source
        .as_ref()
        .is_some_and(|source| source.archive.is_some())
    {
        return next.join(" ");
    }
    if !report.rows.is_empty() && !report.rows.iter().any(rows::shows_values) {
        next.push("With --show-values you see what the rows hold on either side.".to_owned());
    }
    next.push(of_repair(evidence));
    next.join(" ")
}

/// Whether SQL is to be had for what differs, or what to do with it if it is there.
fn of_repair(evidence: &Evidence<'_>) -> String {
    let report = evidence.facts.report;
    let mut differences = report.differences.iter();
    if differing_tables(evidence).is_empty() && differences.all(Difference::is_in_no_dump) {
        return "No dump carries what differs, so --repair has no SQL for it: make it the same by hand, and run the same again."
            .to_owned();
    }
    report.repair.as_ref().map_or_else(
        || {
            "With --repair FILE you get the SQL that would bring the target in line, to read and to run yourself."
                .to_owned()
        },
        with_repair,
    )
}

/// What to do with the file that was asked for.
fn with_repair(repair: &RepairFile) -> String {
    let RepairFile {
        file,
        covered,
        differences,
    } = repair;
    let by_hand = if repair.is_whole() {
        String::new()
    } else {
        format!(
            " It covers {} of {}: the others are named at its head, with why, and are left for you to do by hand.",
            Rows(*covered),
            words::count(*differences, "difference", "differences")
        )
    };
    format!(
        "The repair is in {file}: read it, and run it with psql against the target while nobody writes to either side \
         (psql -X -d TARGET -f {}).{by_hand} Then verify again.",
        shell_word(file)
    )
}

/// Nothing differs as far as could be seen.
fn unverified(evidence: &Evidence<'_>, gaps: &[String]) -> Conclusion {
    let flux = match evidence.objects_in_flux() {
        objects if objects.is_empty() => String::new(),
        objects => format!(" In flux, and so not proven either: {}.", listed(&objects)),
    };
    Conclusion {
        status: ExitStatus::Failed,
        sentence: format!(
            "Not proven: no difference was found, but this could not be verified: {}. {}{flux}{}{}",
            gaps.join("; "),
            evidence.proven_part(),
            evidence.passed_over(),
            evidence.not_in_archive()
        ),
        next: Some(format!(
            "Do not rely on this target before that is settled: remove what stood in the way, then run the same again. The \
             reasons are listed above, and in {}.",
            evidence.facts.in_run_dir("report.json")
        )),
    }
}

fn in_flux(evidence: &Evidence<'_>) -> Conclusion {
    let objects = evidence.objects_in_flux();
    Conclusion {
        status: ExitStatus::Failed,
        sentence: format!(
            "Not proven: what differed at first was the same when it was looked at again, so it is in flux: {}. Nothing else \
             differs. {}{}",
            listed(&objects),
            evidence.proven_part(),
            evidence.passed_over()
        ),
        next: Some(format!("A proof needs a quiet source: {QUIET}")),
    }
}

fn no_go(blockers: u64) -> Conclusion {
    Conclusion {
        status: ExitStatus::NoGo,
        sentence: format!(
            "No-go: {} the comparison. Nothing was compared.",
            words::count(blockers, "finding forbids", "findings forbid")
        ),
        next: Some("Follow what each finding says, then try again.".to_owned()),
    }
}

fn stopped(evidence: &Evidence<'_>, status: ExitStatus, why: &str) -> Conclusion {
    let facts = evidence.facts;
    let why = why.trim_end_matches('.');
    let word = stop_word(status);
    let found = match facts.report.differences.len() as u64 {
        0 => String::new(),
        count => format!(
            " {} found before that.",
            words::count(count, "difference was", "differences were")
        ),
    };
    let sentence = if facts.started == 0 {
        format!("{word}: {why}. No table had been read; nothing is proven.{found}")
    } else {
        format!(
            "{word}: {why}. {} of {} done. {}{found}",
            Rows(facts.jobs - facts.unfinished),
            words::count(facts.jobs, "read was", "reads were"),
            evidence.proven_part()
        )
    };
    let again = "Run the same again: a comparison changes nothing on either side.".to_owned();
    Conclusion {
        // Whoever stops in spite of everything being proven must not be told that it is.
        status: match status {
            ExitStatus::Proven | ExitStatus::Waived => ExitStatus::Failed,
            other => other,
        },
        sentence,
        next: (facts.started > 0).then_some(again),
    }
}
