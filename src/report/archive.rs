//! The last sentence of a dump: whether the archive is proven to hold the database.

use crate::model::{Bytes, ExitStatus, Rows, VerifyLevel};
use crate::progress::words;

use super::facts::{Facts, listed, stop_word};
use super::salvaged::{is_lossy, losses};
use super::{Conclusion, Ending, Report};

/// What roles that are no superusers are not shown, and superusers are.
const KEPT_FROM_ROLES: [&str; 2] = ["subscription", "user mapping"];

/// Whether what is written is an archive.
pub(super) fn is_dump(report: &Report) -> bool {
    report
        .target
        .as_ref()
        .is_some_and(|target| target.archive.is_some())
}

/// Whether it is written, and lacks what could not be dumped.
pub(super) fn lacks(report: &Report) -> bool {
    is_dump(report) && !report.unverified.is_empty()
}

/// What the end of a dump means for whoever has to decide; `None` for another run, or one that has not ended.
pub(super) fn meaning(report: &Report) -> Option<&'static str> {
    let status = report.status.filter(|_| is_dump(report))?;
    Some(match status {
        ExitStatus::Proven => {
            "The archive holds what the source held at that moment, and each file was read again."
        }
        ExitStatus::Waived if is_lossy(report) => {
            "The archive holds what could be read of a damaged database; what is lost is in its losses.json."
        }
        ExitStatus::Waived if lacks(report) => {
            "The archive is whole, but does not hold the whole database: decide whether what is listed as not verified matters."
        }
        ExitStatus::Waived => "The archive is written but not proven, as requested.",
        ExitStatus::Different => {
            "There is no archive: what was written is not what the source holds."
        }
        ExitStatus::Failed => "There is no archive that can be relied on.",
        ExitStatus::Interrupted => {
            "There is no archive yet; what is finished stays, and the dump can be resumed."
        }
        ExitStatus::Usage | ExitStatus::NoGo => "Nothing was written.",
    })
}

/// Concludes from a report of everything but the last event.
pub(super) fn conclude(facts: &Facts<'_>, ending: &Ending) -> Conclusion {
    let archive = facts.report.target.as_ref();
    let archive = archive.and_then(|target| target.archive.clone());
    let archive = archive.unwrap_or_default();
    match ending {
        Ending::Stopped { status, why } | Ending::NotFollowing { status, why, .. } => {
            stopped(facts, (*status, why))
        }
        Ending::Complete if facts.different() => broken(facts, &archive),
        Ending::Complete if facts.unfinished > 0 => {
            stopped(facts, (ExitStatus::Failed, "not every job was done"))
        }
        Ending::Complete => match facts.report.verify {
            // Whatever was asked for, nothing has been given its name then.
            _ if has_doubts(facts.report) => open(facts, &archive),
            Some(VerifyLevel::None) => unproven(
                "what was written was not read again, and nothing was counted (--verify none)",
                (facts, &archive),
            ),
            _ if facts.is_unanswered() => open(facts, &archive),
            Some(VerifyLevel::Counts) => unproven(
                "the rows were counted, and what was written was not read again (--verify counts)",
                (facts, &archive),
            ),
            _ if is_lossy(facts.report) => salvaged(facts, &archive),
            _ if !facts.report.unverified.is_empty() => in_part(facts, &archive),
            _ => proven(facts, &archive),
        },
    }
}

fn proven(facts: &Facts<'_>, archive: &str) -> Conclusion {
    let bytes: Bytes = facts.report.tables.iter().map(|table| table.bytes).sum();
    Conclusion {
        status: ExitStatus::Proven,
        sentence: format!(
            "Proven: {} ({bytes}): {archive} holds exactly what the source held {}. Also checked: {}.{}",
            facts.identical_tables(),
            facts.at_snapshot(),
            checked(facts),
            facts.not_included()
        ),
        next: None,
    }
}

/// Whether anything that is in the archive, or should be, may not be what it was.
fn has_doubts(report: &Report) -> bool {
    report.unverified.iter().any(|one| !one.is_not_dumped())
}

/// What is in no archive that this role can make.
fn lacking(facts: &Facts<'_>) -> Vec<String> {
    let lacking = facts.report.unverified.iter();
    lacking
        .map(|one| format!("{} {}", one.class, words::one_line(&one.object)))
        .collect()
}

/// The same behind another sentence, or nothing.
fn also_lacking(facts: &Facts<'_>) -> String {
    match lacking(facts).as_slice() {
        [] => String::new(),
        lacking => format!(" Not in it, or not in full: {}.", listed(lacking)),
    }
}

/// What to do about what an archive lacks, each named with its class in front.
pub(super) fn what_to_do(lacking: &[String]) -> String {
    let is_kept = |one: &&String| {
        let mut classes = KEPT_FROM_ROLES.iter();
        classes.any(|class| one.starts_with(*class))
    };
    let kept = lacking.iter().filter(is_kept).count();
    let mut what = Vec::new();
    if kept > 0 {
        what.push("A superuser's dump has what was kept from the role.");
    }
    if lacking.iter().any(|one| one.starts_with("subscription")) {
        what.push("--no-subscriptions leaves subscriptions out by name.");
    }
    if kept < lacking.len() {
        what.push("What no dump has must be made again where the archive is restored.");
    }
    what.join(" ")
}

/// The archive is whole, but for what the role was not shown, or no dump writes.
fn in_part(facts: &Facts<'_>, archive: &str) -> Conclusion {
    let bytes: Bytes = facts.report.tables.iter().map(|table| table.bytes).sum();
    Conclusion {
        status: ExitStatus::Waived,
        sentence: format!(
            "Written, but incomplete: {} ({bytes}): {archive} holds exactly what the source held {}, but for what could not be dumped and \
             verified, or not in full: {}. Also checked: {}.{}",
            facts.identical_tables(),
            facts.at_snapshot(),
            listed(&lacking(facts)),
            checked(facts),
            facts.not_included()
        ),
        next: Some(format!(
            "{} The reasons are listed above, and in {}.",
            what_to_do(&lacking(facts)),
            facts.in_run_dir("report.json")
        )),
    }
}

/// The archive is whole as such, and the database was not.
fn salvaged(facts: &Facts<'_>, archive: &str) -> Conclusion {
    let bytes: Bytes = facts.report.tables.iter().map(|table| table.bytes).sum();
    Conclusion {
        status: ExitStatus::Waived,
        sentence: format!(
            "Salvaged, with losses: {} ({bytes}): {archive} holds exactly what could be read of the source {}. Something is lost of: {}. \
             Also checked: {}.{}{}",
            facts.identical_tables(),
            facts.at_snapshot(),
            listed(&losses(facts.report)),
            checked(facts),
            also_lacking(facts),
            facts.not_included()
        ),
        next: Some(format!(
            "What is lost is in losses.json, in the archive and in {}, row by row under lost/ and suspect/.",
            facts.report.run_dir
        )),
    }
}

fn unproven(why: &str, (facts, archive): (&Facts<'_>, &str)) -> Conclusion {
    Conclusion {
        status: ExitStatus::Waived,
        sentence: format!(
            "Written, but not proven: {archive} is whole, but {why}.{}{}",
            also_lacking(facts),
            facts.not_included()
        ),
        next: Some("To prove that the archive holds what the source held, dump with --verify content, the default.".to_owned()),
    }
}

fn broken(facts: &Facts<'_>, archive: &str) -> Conclusion {
    let objects = facts.report.differences.iter();
    let objects: Vec<String> = objects
        .map(|difference| {
            format!(
                "{} {}",
                difference.class,
                words::one_line(&difference.object)
            )
        })
        .collect();
    Conclusion {
        status: ExitStatus::Different,
        sentence: format!(
            "NOT an archive of the source: what was written is not what was read, or not all of it was read: {}. {archive} was \
             not given its name.",
            listed(&objects)
        ),
        next: Some("Look at the disk, and at the source's tables named above; then dump again under another name.".to_owned()),
    }
}

fn open(facts: &Facts<'_>, archive: &str) -> Conclusion {
    let unverified = lacking(facts);
    Conclusion {
        status: ExitStatus::Failed,
        sentence: format!(
            "Not proven: this could not be verified: {}. {archive} was not given its name.",
            listed(&unverified)
        ),
        next: Some(format!(
            "The reasons are listed above, and in {}.",
            facts.in_run_dir("report.json")
        )),
    }
}

fn stopped(facts: &Facts<'_>, (status, why): (ExitStatus, &str)) -> Conclusion {
    let why = why.trim_end_matches('.');
    let word = stop_word(status);
    let done = facts.jobs - facts.unfinished;
    let sentence = format!(
        "{word}: {why}. {} of {} done; there is no archive yet.",
        Rows(done),
        words::count(facts.jobs, "job was", "jobs were"),
    );
    let goes_on =
        matches!(status, ExitStatus::Interrupted | ExitStatus::Failed) || facts.report.is_resumed();
    Conclusion {
        status,
        sentence,
        next: goes_on.then(|| facts.go_on()),
    }
}

fn checked(facts: &Facts<'_>) -> String {
    let items = facts.report.checked.iter();
    let items: Vec<String> = items
        .filter(|checked| checked.count > 0)
        .map(|checked| words::compared(checked.count, &checked.what))
        .collect();
    listed(&items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Endpoint, Unverified};
    use crate::report::{Checked, Report, SnapshotReport};

    #[test]
    fn with_an_open_question_nothing_is_called_whole_whatever_was_to_be_proven() {
        for verify in [VerifyLevel::None, VerifyLevel::Counts, VerifyLevel::Content] {
            let report = Report {
                target: Some(Endpoint::archive("shop.dump".into(), "shop".into())),
                verify: Some(verify),
                unverified: vec![Unverified {
                    class: "table of contents".into(),
                    object: "toc.dat".into(),
                    because: "it does not read as it was written".into(),
                }],
                ..Report::default()
            };
            let concluded = conclude(&Facts::new(&report), &Ending::Complete);
            assert_eq!(concluded.status, ExitStatus::Failed, "{concluded:?}");
            let sentence = &concluded.sentence;
            assert!(sentence.contains("was not given its name"), "{sentence}");
        }
    }

    #[test]
    fn what_could_not_be_dumped_takes_the_word_proven_away_and_not_the_name() {
        let kept_from_us = Unverified {
            class: "subscription".into(),
            object: "news".into(),
            because: "the role is no superuser".into(),
        };
        for (verify, words) in [
            (
                VerifyLevel::None,
                "Not in it, or not in full: subscription news.",
            ),
            (
                VerifyLevel::Content,
                "or not in full: subscription news. Also checked",
            ),
        ] {
            let report = Report {
                target: Some(Endpoint::archive("shop.dump".into(), "shop".into())),
                verify: Some(verify),
                unverified: vec![kept_from_us.clone()],
                planned_tables: Some(0),
                snapshot: Some(SnapshotReport {
                    name: "1".into(),
                    lsn: "0/1".into(),
                    taken_at: chrono::DateTime::UNIX_EPOCH,
                    released_at: None,
                }),
                checked: vec![Checked {
                    what: "entries of the table of contents".into(),
                    count: 3,
                }],
                ..Report::default()
            };
            let concluded = conclude(&Facts::new(&report), &Ending::Complete);
            assert_eq!(concluded.status, ExitStatus::Waived, "{concluded:?}");
            let sentence = &concluded.sentence;
            assert!(sentence.contains(words), "{sentence}");
            assert!(!sentence.contains("not given its name"), "{sentence}");
            let ended = Report {
                status: Some(ExitStatus::Waived),
                ..report
            };
            assert!(
                meaning(&ended)
                    .is_some_and(|text| text.contains("does not hold the whole database"))
            );
            let status = crate::report::salvaged::exit_status(&ended);
            let words = match verify {
                VerifyLevel::Content => "lacks what could not be dumped",
                _ => "not everything was to be proven",
            };
            assert!(status.contains(words), "{status}");
        }
    }

    #[test]
    fn what_to_do_is_about_what_is_lacking() {
        let about = |lacking: &[&str]| {
            let lacking: Vec<String> = lacking.iter().map(ToString::to_string).collect();
            what_to_do(&lacking)
        };
        let mapping = about(&["user mapping app SERVER far"]);
        assert!(mapping.contains("superuser") && !mapping.contains("--no-subscriptions"));
        let function = about(&["system object function pg_catalog.mine()"]);
        assert!(function.contains("made again") && !function.contains("superuser"));
        let both = about(&[
            "subscription news",
            "comment public.t: a comment on its row type",
        ]);
        for words in ["superuser", "--no-subscriptions", "made again"] {
            assert!(both.contains(words), "{words}: {both}");
        }
    }
}
