//! The last sentence: what is proven, what is not, and what to do next.
//!
//! It is derived from the evidence in the report, not from how the run thinks it went. Proven is only what was compared:
//! as many verdicts as the plan has tables, each of them `identical`, every job finished, nothing different and nothing
//! left unverified. One missing verdict is enough to take the word away.

use crate::model::{Bytes, ExitStatus, Rows, Severity, TableVerdict, Verdict, VerifyLevel};
use crate::progress::words;

use super::{Outcome, Report};

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

/// Most names that a sentence gives before it counts the rest; the report has them all.
const MOST_NAMES: usize = 8;

/// Concludes from a report of everything but the last event.
pub fn conclude(report: &Report, ending: &Ending) -> Conclusion {
    let facts = Facts::new(report);
    if let Ending::Stopped { status, why } = ending {
        return stopped(&facts, *status, why);
    }
    let blockers = report
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Blocker)
        .count();
    if blockers > 0 && facts.started == 0 {
        return no_go(blockers);
    }
    if facts.unfinished > 0 || facts.jobs == 0 {
        return unfinished(&facts);
    }
    if facts.different() {
        return different(&facts);
    }
    match report.verify {
        Some(VerifyLevel::None) => not_verified(&facts),
        _ if facts.open_questions() => unproven(&facts),
        Some(VerifyLevel::Counts) => counted(&facts),
        _ => proven(&facts),
    }
}

/// What the sentences are made of, counted once.
struct Facts<'a> {
    report: &'a Report,
    /// Verdicts `identical`, and the rows and bytes behind them.
    identical: u64,
    identical_rows: Rows,
    same_count: u64,
    counted_rows: Rows,
    different_tables: u64,
    /// Tables of the plan that have no verdict, or the verdict that they were not verified.
    silent: u64,
    jobs: u64,
    started: u64,
    failed: u64,
    skipped: u64,
    /// Jobs that are not finished, for whatever reason.
    unfinished: u64,
}

impl<'a> Facts<'a> {
    fn new(report: &'a Report) -> Self {
        let outcomes = |wanted: fn(&Outcome) -> bool| {
            report
                .jobs
                .iter()
                .filter(|job| wanted(&job.outcome))
                .count() as u64
        };
        let rows = |verdict| {
            let tables = report.tables.iter();
            tables
                .filter(|table| table.verdict == verdict)
                .filter_map(|table| table.target.map(|digest| digest.rows))
                .sum()
        };
        let identical = report.verdicts(Verdict::Identical);
        let same_count = report.verdicts(Verdict::SameCount);
        let different_tables = report.verdicts(Verdict::Different);
        let planned = u64::from(report.planned_tables.unwrap_or(0));
        let jobs = report.jobs.len() as u64;
        Self {
            report,
            identical,
            identical_rows: rows(Verdict::Identical),
            same_count,
            counted_rows: rows(Verdict::SameCount),
            different_tables,
            silent: planned
                .saturating_sub(identical + same_count + different_tables)
                .max(report.verdicts(Verdict::NotVerified)),
            jobs,
            started: jobs - outcomes(|outcome| *outcome == Outcome::Open),
            failed: outcomes(|outcome| matches!(outcome, Outcome::Failed { .. })),
            skipped: outcomes(|outcome| matches!(outcome, Outcome::Skipped { .. })),
            unfinished: jobs - outcomes(|outcome| *outcome == Outcome::Finished),
        }
    }

    fn different(&self) -> bool {
        self.different_tables > 0 || !self.report.differences.is_empty()
    }

    /// Something that ought to have been verified was not.
    fn open_questions(&self) -> bool {
        let wants_content = self.report.verify != Some(VerifyLevel::Counts);
        self.silent > 0
            || !self.report.unverified.is_empty()
            || self.report.planned_tables.is_none()
            || self.report.snapshot.is_none()
            || self.report.checked.is_empty()
            || (wants_content && self.same_count > 0)
    }

    /// `at snapshot 00000003-0000001B-1 (LSN 0/1A2B3C4D)`.
    fn at_snapshot(&self) -> String {
        match &self.report.snapshot {
            Some(snapshot) => format!("at snapshot {} (LSN {})", snapshot.name, snapshot.lsn),
            None => "at a snapshot that was not recorded".to_owned(),
        }
    }

    /// `14 tables, 5,123,456 rows`.
    fn identical_tables(&self) -> String {
        format!(
            "{}, {}",
            words::count(self.identical, "table", "tables"),
            words::count(self.identical_rows.0, "row", "rows")
        )
    }

    /// `Also the same: 40 indexes, 17 foreign keys.`, or nothing.
    fn also_the_same(&self) -> String {
        let items = self.report.checked.iter();
        let items: Vec<String> = items
            .filter(|checked| checked.count > 0)
            .map(|checked| format!("{} {}", Rows(checked.count), checked.what))
            .collect();
        if items.is_empty() {
            String::new()
        } else {
            format!(" Also the same: {}.", items.join(", "))
        }
    }

    /// What no move has, and what this one left out.
    fn not_included(&self) -> String {
        let mut items = Vec::new();
        match &self.report.source_moved_on {
            Some(moved) if moved.tables.is_empty() => {
                items.push("what may have been written to the source since then (transactions have begun on its server; no table's statistics show writes)".to_owned());
            }
            Some(moved) => {
                let names: Vec<String> = moved
                    .tables
                    .iter()
                    .map(|(table, _)| table.clone())
                    .collect();
                items.push(format!(
                    "what was written to the source since then, in {}",
                    listed(&names)
                ));
            }
            None if self.report.source_unchanged_at.is_some() => {}
            None => items.push("anything written to the source since then".to_owned()),
        }
        let excluded: Vec<String> = self
            .report
            .tables
            .iter()
            .filter(|table| table.verdict == Verdict::Excluded)
            .map(|table| table.table.shown())
            .collect();
        if !excluded.is_empty() {
            items.push(format!(
                "the rows of {}, left out on request",
                listed(&excluded)
            ));
        }
        items.push("roles and tablespaces, which belong to the whole server".to_owned());
        format!(" Not included: {}.", items.join("; "))
    }

    /// The names of tables with this verdict.
    fn named(&self, wanted: fn(&TableVerdict) -> bool) -> String {
        let tables = self.report.tables.iter();
        let names: Vec<String> = tables
            .filter(|table| wanted(table))
            .map(|table| table.table.shown())
            .collect();
        listed(&names)
    }

    fn in_run_dir(&self, file: &str) -> String {
        words::in_dir(&self.report.run_dir, file)
    }

    /// What to type next time: the target is not empty any more, and is not emptied unasked.
    fn again(&self) -> String {
        match &self.report.target {
            Some(target) => format!(
                "with --overwrite {}, which empties the target first",
                target.database
            ),
            None => "into an emptied target".to_owned(),
        }
    }

    /// What can be relied on although the whole cannot.
    fn proven_part(&self) -> String {
        if self.identical == 0 {
            return "Nothing is proven.".to_owned();
        }
        format!(
            "Proven nevertheless: {} hold exactly what the source held {}.",
            self.identical_tables(),
            self.at_snapshot()
        )
    }
}

/// `a, b and c`, or the first few `and 17 more`.
fn listed(names: &[String]) -> String {
    match names {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        _ if names.len() > MOST_NAMES => format!(
            "{} and {} more",
            names[..MOST_NAMES].join(", "),
            Rows((names.len() - MOST_NAMES) as u64)
        ),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

fn proven(facts: &Facts<'_>) -> Conclusion {
    let bytes: Bytes = facts.report.tables.iter().map(|table| table.bytes).sum();
    let what = if facts.identical == 0 {
        "there are no rows to copy, and the target has none".to_owned()
    } else {
        format!(
            "{} ({bytes}): the target holds exactly what the source held",
            facts.identical_tables()
        )
    };
    let next = facts.report.source_moved_on.as_ref().map(|_| {
        format!(
            "The copy does not have the later writes. Before you switch over, stop whatever writes to the source, and move \
             again {}.",
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

fn counted(facts: &Facts<'_>) -> Conclusion {
    Conclusion {
        status: ExitStatus::Waived,
        sentence: format!(
            "Counted, not compared: {}, {}: the target has as many rows in each as the source had {}, but whether they \
             hold the same was not looked at (--verify counts).{}{}",
            words::count(facts.same_count + facts.identical, "table", "tables"),
            words::count((facts.counted_rows + facts.identical_rows).0, "row", "rows"),
            facts.at_snapshot(),
            facts.also_the_same(),
            facts.not_included()
        ),
        next: Some("To prove the content, move with --verify content.".to_owned()),
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
        next: Some(
            "To prove that everything arrived, move with --verify content, the default.".to_owned(),
        ),
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
            "Do not switch over to this target. Every difference is listed above, and in {}.",
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
            "Do not rely on this target before that is settled. The reasons are listed above, and in {}.",
            facts.in_run_dir("report.json")
        )),
    }
}

fn unfinished(facts: &Facts<'_>) -> Conclusion {
    if facts.jobs == 0 {
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
            " {} found.",
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
                "Each failed statement is shown above and kept whole under {}. Remove its cause, then move again {}.",
                facts.in_run_dir("failed/"),
                facts.again()
            )
        } else {
            format!("Move again {}.", facts.again())
        }),
    }
}

fn no_go(blockers: usize) -> Conclusion {
    Conclusion {
        status: ExitStatus::NoGo,
        sentence: format!(
            "No-go: {} the move. Nothing was touched.",
            words::count(blockers as u64, "finding forbids", "findings forbid")
        ),
        next: Some("Follow what each finding says, then try again.".to_owned()),
    }
}

fn stopped(facts: &Facts<'_>, status: ExitStatus, why: &str) -> Conclusion {
    let why = why.trim_end_matches('.');
    let done = facts.jobs - facts.unfinished;
    let word = match status {
        ExitStatus::Interrupted => "Interrupted",
        ExitStatus::NoGo => "No-go",
        ExitStatus::Usage => "Not started",
        _ => "Failed",
    };
    let nothing_touched = matches!(status, ExitStatus::NoGo | ExitStatus::Usage);
    let sentence = if nothing_touched {
        format!("{word}: {why}. Nothing was touched.")
    } else if facts.started == 0 {
        format!("{word}: {why}. No job had begun; nothing is proven.")
    } else {
        format!(
            "{word}: {why}. {} of {} done; the target is not a copy of the source. {}",
            Rows(done),
            words::count(facts.jobs, "job was", "jobs were"),
            facts.proven_part()
        )
    };
    let next = (facts.started > 0).then(|| format!("Move again {}.", facts.again()));
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
