//! What every document about a run says, whatever it is written in: the verdict in a word, what it means for whoever has to
//! decide, which tables need a look, and what was not verified.
//!
//! Pure. The sentence of a run comes from its evidence (`sentence`); what is said here only follows from its exit status.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};

use super::course::Course;
use super::evidence::{columns_by_form, tables_in_flux};
use super::facts::has_database_itself;
use super::{
    JobReport, Outcome, Report, archive, comparison, followed, rehearsed, restored, salvaged,
    synced,
};
use crate::event::Phase;
use crate::model::{ExitStatus, JobId, QualifiedName, Rows, TableVerdict, Verdict, VerifyLevel};
use crate::progress::words;

/// What is known of a run.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// What it came to.
    pub report: &'a Report,
    /// How it went over time.
    pub course: &'a Course,
    /// Who works on it, if somebody does.
    pub running: Option<&'a Running>,
    /// What could not be read of its record, a sentence each.
    pub remarks: &'a [String],
}

/// Who works on a run, and when that was so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// `pgconvoy, pid 4711, since …`.
    pub by: String,
    /// When it was looked at.
    pub at: DateTime<Utc>,
}

/// How a document is to be taken at first sight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Proven.
    Good,
    /// With reservations, or not over yet.
    Careful,
    /// Not to be relied on.
    Bad,
}

/// The verdict on a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headline {
    /// How it is to be taken.
    pub tone: Tone,
    /// In a word or two.
    pub word: &'static str,
    /// What that means for whoever has to decide: one sentence.
    pub meaning: &'static str,
}

/// Of a run that has not ended.
const RUNNING: (Tone, &str, &str) = (
    Tone::Careful,
    "Still running",
    "The run goes on; nothing is proven until it has ended.",
);
/// Of one that was killed.
const NEVER_ENDED: (Tone, &str, &str) = (
    Tone::Bad,
    "Not finished",
    "The run never said how it ended; do not rely on the target.",
);
/// Of one that was not to prove everything.
const WAIVED: (&str, &str) = (
    "Finished, with reservations",
    "Not everything was to be proven, or something was passed over on request: decide whether what is listed as such matters.",
);
/// Of a session that could not begin to go on.
const NOT_RESUMED: (Tone, &str, &str) = (
    Tone::Bad,
    "Not resumed",
    "This session touched nothing; what earlier ones committed stays. Fix what stands in the way, and resume again.",
);

impl Headline {
    /// Of a run.
    pub fn of(record: Record<'_>) -> Self {
        let report = record.report;
        let (tone, word, meaning) = match (report.status, record.running) {
            (None, Some(_)) => RUNNING,
            (None, None) => NEVER_ENDED,
            (Some(ExitStatus::Proven), _) if is_stale(report) => (
                Tone::Careful,
                "Proven, as of its snapshot",
                "Do not switch over yet: the target holds what the source held, but the source has moved on since.",
            ),
            (Some(ExitStatus::Proven), _) => (Tone::Good, "Proven", proven(report)),
            (Some(ExitStatus::Waived), _) => {
                let (word, meaning) = salvaged::headline(report).unwrap_or(WAIVED);
                (Tone::Careful, word, meaning)
            }
            (Some(ExitStatus::Different), _) => (
                Tone::Bad,
                "Different",
                "Do not switch over to this target: it is not what the source was.",
            ),
            (Some(ExitStatus::Failed), _) if compares(report) => (
                Tone::Bad,
                "Not proven",
                "This comparison does not prove the target: part of it could not be carried out.",
            ),
            (Some(ExitStatus::Failed), _) => (
                Tone::Bad,
                "Failed",
                "Do not switch over to this target: it is not proven to be a whole copy.",
            ),
            (Some(ExitStatus::Usage | ExitStatus::NoGo), _) if report.is_resumed() => NOT_RESUMED,
            (Some(ExitStatus::Usage), _) => (
                Tone::Bad,
                "Not begun",
                "Nothing was touched: the run could not begin.",
            ),
            (Some(ExitStatus::NoGo), _) => (
                Tone::Bad,
                "No-go",
                "Nothing was touched: fix what is listed as a blocker, and begin again.",
            ),
            (Some(ExitStatus::Interrupted), _) if compares(report) => (
                Tone::Bad,
                "Interrupted",
                "The comparison did not come to its end, and changed nothing: begin it again.",
            ),
            (Some(ExitStatus::Interrupted), _) => (
                Tone::Bad,
                "Interrupted",
                "The target is not a whole copy yet; what is committed stays, and the run can be resumed.",
            ),
        };
        Self {
            tone,
            word,
            meaning: synced::meaning(report)
                .or_else(|| archive::meaning(report))
                .or_else(|| restored::meaning(report))
                .or_else(|| comparison::meaning(report))
                .or_else(|| rehearsed::meaning(report))
                .unwrap_or(meaning),
        }
    }
}

/// Whether what was written to the source since comes to the target by nothing.
fn is_stale(report: &Report) -> bool {
    report.source_moved_on.is_some() && report.follow.is_none()
}

fn proven(report: &Report) -> &'static str {
    if report.follow.is_some() {
        followed::MEANING
    } else if report.source_unchanged_at.is_some() {
        "The target holds what the source held, and nothing was written to the source meanwhile."
    } else {
        "The target holds what the source held at that moment; before you switch over, make sure that nothing has been written to the \
         source since."
    }
}

/// Whether nothing was copied, and two servers were compared.
pub(super) fn compares(report: &Report) -> bool {
    report.compares()
}

/// `3, finished, but source and target differ`; nothing while it runs.
pub(super) fn exit_status(report: &Report) -> Option<String> {
    let status = report.status?;
    let meaning = match status {
        ExitStatus::Proven => "finished and proven",
        ExitStatus::Failed => "failed, or something could not be verified",
        ExitStatus::Usage => "wrong usage or configuration; it touched nothing",
        ExitStatus::Different => "finished, but source and target differ",
        ExitStatus::NoGo => "the check beforehand refused; it touched nothing",
        ExitStatus::Interrupted => "interrupted",
        ExitStatus::Waived => salvaged::exit_status(report),
    };
    Some(format!("{} ({meaning})", status.code()))
}

/// The sentence of a run, or what takes its place while there is none.
pub(super) fn sentence(record: Record<'_>) -> String {
    match (&record.report.status, record.running) {
        (Some(_), _) => record.report.sentence.clone(),
        (None, Some(running)) => format!(
            "The run goes on ({}). Seen at {}.",
            running.by,
            time(running.at)
        ),
        (None, None) => {
            "The run has not said how it ended: it was killed, or it still goes on. Nothing is proven."
                .to_owned()
        }
    }
}

/// A verdict in words.
pub(super) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Identical => "identical",
        Verdict::SameCount => "same count",
        Verdict::Excluded => "left out",
        Verdict::NotVerified => "not verified",
        Verdict::Different => "different",
    }
}

/// The tables: those that need a look, worst first, and the others, the largest first.
pub(super) struct Tables<'a> {
    pub urgent: Vec<&'a TableVerdict>,
    pub calm: Vec<&'a TableVerdict>,
    in_flux: BTreeSet<String>,
}

impl<'a> Tables<'a> {
    pub fn of(report: &'a Report) -> Self {
        let in_flux = tables_in_flux(report);
        let urgent = |table: &&TableVerdict| {
            matches!(table.verdict, Verdict::Different | Verdict::NotVerified)
                || in_flux.contains(&table.table.shown())
        };
        let (mut urgent, mut calm): (Vec<_>, Vec<_>) = report.tables.iter().partition(urgent);
        let largest = |table: &&TableVerdict| {
            let size = (table.bytes, table.source_count);
            (Reverse(size), table.table.clone())
        };
        urgent.sort_by_cached_key(|table| (Reverse(table.verdict), largest(table)));
        calm.sort_by_cached_key(largest);
        Self {
            urgent,
            calm,
            in_flux,
        }
    }

    /// What is said of a table, in words.
    pub fn word(&self, table: &TableVerdict) -> &'static str {
        if table.verdict != Verdict::Different && self.in_flux.contains(&table.table.shown()) {
            return "in flux";
        }
        verdict(table.verdict)
    }
}

/// `4,950 identical, 3 left out`.
pub(super) fn verdicts(tables: &[&TableVerdict]) -> String {
    let mut counts: BTreeMap<Verdict, u64> = BTreeMap::new();
    for table in tables {
        *counts.entry(table.verdict).or_default() += 1;
    }
    let parts: Vec<String> = counts
        .into_iter()
        .rev()
        .map(|(of, count)| format!("{} {}", Rows(count), verdict(of)))
        .collect();
    parts.join(", ")
}

/// The jobs that took longest.
pub(super) fn slowest(report: &Report, most: usize) -> Vec<&JobReport> {
    let mut jobs: Vec<&JobReport> = report
        .jobs
        .iter()
        .filter(|job| job.duration_ms > 0)
        .collect();
    jobs.sort_by_key(|job| (Reverse(job.duration_ms), job.plan.id));
    jobs.truncate(most);
    jobs
}

/// What jobs are called, for many of them at once.
pub(super) fn labels(report: &Report) -> HashMap<JobId, &str> {
    let jobs = report.jobs.iter();
    jobs.map(|job| (job.plan.id, job.plan.label.as_str()))
        .collect()
}

/// A phase as the noun that a heading wants.
pub(super) fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Finish => "statistics, grants and the rest",
        Phase::Verify => "reading back",
        phase => words::phase(phase),
    }
}

/// What became of a job.
pub(super) fn outcome(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Open => "not begun",
        Outcome::Running => "running",
        Outcome::Finished => "finished",
        Outcome::Failed { .. } => "failed",
        Outcome::Skipped { .. } => "skipped",
        Outcome::Kept { .. } => "kept from an earlier session",
    }
}

/// A moment: `2026-01-02 03:04:05 UTC`.
pub(super) fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// What was to be proven, in words.
pub(super) fn level(level: VerifyLevel) -> &'static str {
    match level {
        VerifyLevel::Content => "every row's content, and everything else",
        VerifyLevel::Counts => "numbers of rows, and everything else",
        VerifyLevel::Schema => "everything but rows",
        VerifyLevel::None => "nothing",
    }
}

/// What was not verified: what it is, and why.
pub(super) fn not_verified(report: &Report) -> Vec<(String, String)> {
    let mut gaps: Vec<(String, String)> = report
        .unverified
        .iter()
        .map(|one| (format!("{} {}", one.class, one.object), one.because.clone()))
        .collect();
    gaps.extend(silent_tables(report));
    gaps.extend(report.in_flux.iter().map(|one| {
        let because = "in flux: it differed at first, but not when it was looked at again";
        (format!("{} {}", one.class, one.object), because.to_owned())
    }));
    for rows in &report.rows {
        if rows.in_flux.0 > 0 {
            let count = words::count(rows.in_flux.0, "row", "rows");
            let because =
                format!("in flux: {count} differed at first, but not when looked at again");
            gaps.push((format!("table data {}", rows.table.shown()), because));
        }
    }
    gaps.extend(of_level(report));
    gaps.extend(left_out(report));
    gaps.extend(forms(report));
    gaps.push((
        "roles and tablespaces".to_owned(),
        "they belong to the whole server".to_owned(),
    ));
    if !has_database_itself(report) {
        gaps.push((
            "privileges and comment of the database itself".to_owned(),
            "only --create brings them, and they are not compared".to_owned(),
        ));
    }
    gaps
}

/// Tables that have no verdict, or the verdict that they were not verified and no reason beside it.
fn silent_tables(report: &Report) -> Vec<(String, String)> {
    let explained: HashSet<&str> = report
        .unverified
        .iter()
        .map(|one| one.object.as_str())
        .collect();
    let mut gaps: Vec<(String, String)> = report
        .tables
        .iter()
        .filter(|table| table.verdict == Verdict::NotVerified)
        .map(|table| table.table.shown())
        .filter(|table| !explained.contains(table.as_str()))
        .map(|table| {
            let because = "its rows were not compared".to_owned();
            (format!("table data {table}"), because)
        })
        .collect();
    let excluded = report.verdicts(Verdict::Excluded);
    let judged = (report.tables.len() as u64).saturating_sub(excluded);
    let planned = u64::from(report.planned_tables.unwrap_or(0));
    match planned.saturating_sub(judged) {
        0 => {}
        silent => gaps.push((
            words::count(silent, "table", "tables"),
            "planned, and without a verdict".to_owned(),
        )),
    }
    gaps
}

fn of_level(report: &Report) -> Option<(String, String)> {
    let what = match report.verify? {
        VerifyLevel::Content => return None,
        VerifyLevel::Counts => "the content of all rows",
        VerifyLevel::Schema => "the rows of all tables",
        VerifyLevel::None => "everything",
    };
    Some((what.to_owned(), "it was not asked for".to_owned()))
}

fn left_out(report: &Report) -> Vec<(String, String)> {
    let because = || "left out on request".to_owned();
    let rows = |table: &QualifiedName| format!("table data {}", table.shown());
    let excluded = report
        .tables
        .iter()
        .filter(|table| table.verdict == Verdict::Excluded);
    let mut gaps: Vec<(String, String)> = excluded
        .map(|table| (rows(&table.table), because()))
        .collect();
    if !report.narrowed_by.is_empty() {
        let options = report.narrowed_by.join(" ");
        gaps.push((format!("what {options} left out"), because()));
    }
    for waiver in salvaged::passed_over(report) {
        for clause in &waiver.not_compared {
            gaps.push((clause.clone(), format!("waived by {}", waiver.rule)));
        }
    }
    gaps
}

/// Columns that were compared otherwise than as the bytes that the servers send, by form and reason.
fn forms(report: &Report) -> Vec<(String, String)> {
    columns_by_form(report)
        .into_iter()
        .map(|((form, because), columns)| {
            let noun = if columns.len() == 1 {
                "column"
            } else {
                "columns"
            };
            let because = format!("compared {form}: {because}");
            (format!("{noun} {}", columns.join(", ")), because)
        })
        .collect()
}
