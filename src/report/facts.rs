//! What the last sentences are made of: the evidence of a report, counted once.

use crate::model::{
    DATABASE_PROPERTIES, ExitStatus, Rows, TableVerdict, Verdict, VerifyLevel, first_listed,
    run_command, shell_word,
};
use crate::progress::words;

use super::{Outcome, Report, archive, restored, salvaged};

/// What is in no database, and what is not in this one but about it.
pub(super) const BEYOND: [&str; 2] = [
    "roles and tablespaces, which belong to the whole server",
    "privileges and comment of the database itself",
];
/// Whoever makes the database gives it those.
const BROUGHT_BY_CREATE: &str = " (--create brings these)";

/// What to do after a run that was not asked to prove what it brought over.
pub(super) const PROVE_LATER: &str = "To prove the content without copying it again, stop whatever writes to the source, then run \
                                      pgconvoy verify with the same --source and --target.";

/// Most names that a sentence gives before it counts the rest; the report has them all.
const MOST_NAMES: usize = 8;

/// What the sentences are made of, counted once.
pub(super) struct Facts<'a> {
    pub report: &'a Report,
    /// Verdicts `identical`, and the rows and bytes behind them.
    pub identical: u64,
    pub identical_rows: Rows,
    pub same_count: u64,
    pub counted_rows: Rows,
    pub different_tables: u64,
    /// Tables of the plan that have no verdict, or the verdict that they were not verified.
    pub silent: u64,
    pub jobs: u64,
    pub started: u64,
    pub failed: u64,
    pub skipped: u64,
    /// Jobs that are not finished, for whatever reason.
    pub unfinished: u64,
}

impl<'a> Facts<'a> {
    pub fn new(report: &'a Report) -> Self {
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
            unfinished: jobs
                - outcomes(|outcome| matches!(outcome, Outcome::Finished | Outcome::Kept { .. })),
        }
    }

    /// There is a plan; of a database with nothing in it, it has no job.
    pub fn is_planned(&self) -> bool {
        self.report.planned_tables.is_some()
    }

    /// Nothing of the plan is left to do.
    pub fn did_all(&self) -> bool {
        self.jobs > 0 && self.unfinished == 0
    }

    pub fn different(&self) -> bool {
        self.different_tables > 0 || !self.report.differences.is_empty()
    }

    /// Something that ought to have been verified was not.
    pub fn open_questions(&self) -> bool {
        !self.report.unverified.is_empty() || self.is_unanswered()
    }

    /// The same, besides what is named as not verified.
    pub fn is_unanswered(&self) -> bool {
        let wants_content = self.report.verify != Some(VerifyLevel::Counts);
        self.silent > 0
            || !self.is_planned()
            || (self.report.snapshot.is_none() && !restored::is_restore(self.report))
            || self.report.checked.is_empty()
            || (wants_content && self.same_count > 0)
    }

    /// `at snapshot 00000003-0000001B-1 (LSN 0/1A2B3C4D)`.
    pub fn at_snapshot(&self) -> String {
        match &self.report.snapshot {
            _ if restored::is_restore(self.report) => "when it was dumped".to_owned(),
            Some(snapshot) => format!("at snapshot {} (LSN {})", snapshot.name, snapshot.lsn),
            None => "at a snapshot that was not recorded".to_owned(),
        }
    }

    /// `14 tables, 5,123,456 rows`.
    pub fn identical_tables(&self) -> String {
        format!(
            "{}, {}",
            words::count(self.identical, "table", "tables"),
            words::count(self.identical_rows.0, "row", "rows")
        )
    }

    /// `Also the same: 40 indexes, 17 foreign keys.`, or nothing.
    pub fn also_the_same(&self) -> String {
        let items = self.report.checked.iter();
        let items: Vec<String> = items
            .filter(|checked| checked.count > 0)
            .map(|checked| words::compared(checked.count, &checked.what))
            .collect();
        if items.is_empty() {
            String::new()
        } else {
            format!(" Also the same: {}.", items.join(", "))
        }
    }

    /// What the options of the run left out, as a clause.
    pub fn narrowed(&self) -> Option<String> {
        let options = &self.report.narrowed_by;
        (!options.is_empty()).then(|| format!("what was left out by {}", options.join(" ")))
    }

    /// What no move has, and what this one left out.
    pub fn not_included(&self) -> String {
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
        items.extend(self.narrowed());
        self.without(items)
    }

    /// ` Not included: … .`: these, and what is in no database, or not in this one but about it.
    pub fn without(&self, mut items: Vec<String>) -> String {
        let [of_server, of_database] = BEYOND;
        items.push(of_server.to_owned());
        if !has_database_itself(self.report) {
            items.push(format!("{of_database}{BROUGHT_BY_CREATE}"));
        }
        format!(" Not included: {}.", items.join("; "))
    }

    /// ` Except for what was run as edited after it had failed: failed/3412-a_key.sql.`, or nothing.
    pub fn except_edited(&self) -> String {
        let files = salvaged::passed_over(self.report).into_iter();
        let files: Vec<String> = files
            .map(|waiver| words::one_line(waiver.rule.trim_start_matches("edited:")))
            .collect();
        if files.is_empty() {
            return String::new();
        }
        format!(
            " Except for what was run as edited after it had failed: {}.",
            listed(&files)
        )
    }

    /// The names of tables with this verdict.
    pub fn named(&self, wanted: fn(&TableVerdict) -> bool) -> String {
        let tables = self.report.tables.iter();
        let names: Vec<String> = tables
            .filter(|table| wanted(table))
            .map(|table| table.table.shown())
            .collect();
        listed(&names)
    }

    pub fn in_run_dir(&self, file: &str) -> String {
        words::in_dir(&self.report.run_dir, file)
    }

    /// The command that goes on with this run.
    pub fn resume(&self, command: &str) -> String {
        run_command(command, &self.report.run_dir)
    }

    /// What to do after a run that did not come to its end.
    pub fn go_on(&self) -> String {
        go_on(&self.report.run_dir)
    }

    /// What a session leaves behind that stopped before it did anything.
    pub fn untouched(&self) -> &'static str {
        if self.report.is_resumed() {
            "This session touched nothing; what earlier ones committed stays."
        } else {
            "Nothing was touched."
        }
    }

    /// What to type next time: the target is not empty any more, and is not emptied unasked.
    pub fn again(&self) -> String {
        match &self.report.target {
            Some(target) => format!(
                "with --overwrite {}, which empties the target first",
                shell_word(&target.database)
            ),
            None => "into an emptied target".to_owned(),
        }
    }

    /// What can be relied on although the whole cannot.
    pub fn proven_part(&self) -> String {
        if self.identical == 0 {
            return "Nothing is proven.".to_owned();
        }
        let held = if restored::is_restore(self.report) && self.report.snapshot.is_none() {
            // Nobody knows what its database held.
            "the archive does".to_owned()
        } else {
            format!("the source held {}", self.at_snapshot())
        };
        format!(
            "Proven nevertheless: {} hold exactly what {held}.",
            self.identical_tables()
        )
    }
}

/// What to do after a run that did not come to its end, by its directory.
pub fn go_on(run_dir: &str) -> String {
    format!("Go on where it stopped: {}", run_command("resume", run_dir))
}

/// Whether the database itself is part of it, with its privileges and comment: an archive always has it, and a target that was made like
/// that was compared.
pub(super) fn has_database_itself(report: &Report) -> bool {
    let mut checked = report.checked.iter();
    archive::is_dump(report)
        || checked.any(|checked| checked.what == DATABASE_PROPERTIES && checked.count > 0)
}

/// How the sentence of a run begins that stopped before its end.
pub(super) fn stop_word(status: ExitStatus) -> &'static str {
    match status {
        ExitStatus::Interrupted => "Interrupted",
        ExitStatus::NoGo => "No-go",
        ExitStatus::Usage => "Not started",
        _ => "Failed",
    }
}

/// `a, b and c`, or the first few `and 17 more`.
pub(super) fn listed(names: &[String]) -> String {
    first_listed(names, MOST_NAMES)
}
