//! A run of `pgconvoy verify`, and what its report says.

use std::time::Duration;

use pgconvoy::model::{Difference, ExitStatus, RowsDiffer, Severity};
use pgconvoy::report::Report;

use crate::list::{Damage, Rows};
use crate::support::binary::{Finished, Pgconvoy};
use crate::support::moving::RUN_DIR;

/// Where the SQL is that would bring the target in line.
pub const REPAIR: &str = "repair.sql";

/// A finished run.
pub struct Verified {
    /// What it exited with and printed.
    pub run: Finished,
    /// Its report.
    pub report: Report,
}

/// Verifies, with a repair, and with further arguments.
pub fn verify(source: &str, target: &str, more: &[&str]) -> Verified {
    let fixed = ["verify", "--source", source, "--target", target];
    let files = ["--run-dir", RUN_DIR, "--repair", REPAIR];
    // A million rows take a while on a machine that does other things as well.
    let run = Pgconvoy::new(fixed.iter().chain(&files).chain(more))
        .timeout(Duration::from_secs(300))
        .run();
    let path = run.path(RUN_DIR).join("report.json");
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}\n{run}", path.display()));
    let report = serde_json::from_str(&text).expect("the report is JSON");
    Verified { run, report }
}

/// `Missing index zoo.keyed_a`; a line break in a name as a sign, since the list has one difference a line.
fn named(difference: &Difference) -> String {
    let object = difference.object.replace('\n', "⏎");
    format!("{:?} {} {object}", difference.kind, difference.class)
}

fn rows(differ: &RowsDiffer) -> Rows {
    let (missing, extra, changed) = (differ.missing, differ.extra, differ.changed);
    let keys = differ.examples.iter().map(|row| row.key.join("/"));
    Rows {
        table: differ.table.shown(),
        totals: format!(
            "{} missing, {} extra, {} changed",
            missing.0, extra.0, changed.0
        ),
        keys: keys.collect(),
    }
}

impl Verified {
    /// Every difference, sorted.
    pub fn named(&self) -> Vec<String> {
        let mut found: Vec<String> = self.report.differences.iter().map(named).collect();
        found.sort();
        found
    }

    /// Whether it found just what the list says.
    pub fn is_just(&self, damage: &Damage) -> Result<(), String> {
        let found = self.named();
        if found != damage.expected {
            return Err(format!(
                "found: {found:#?}\nexpected: {:#?}",
                damage.expected
            ));
        }
        self.ended(if found.is_empty() {
            ExitStatus::Proven
        } else {
            ExitStatus::Different
        })?;
        for expected in &damage.rows {
            let found = self.report.rows.iter().map(rows);
            let found: Vec<Rows> = found.filter(|one| one.table == expected.table).collect();
            let [one] = found.as_slice() else {
                return Err(format!("rows of {}: {found:#?}", expected.table));
            };
            let keys_agree = expected.keys.is_empty() || expected.keys == one.keys;
            if one.totals != expected.totals || !keys_agree {
                return Err(format!("rows: {one:#?}\nexpected: {expected:#?}"));
            }
        }
        let warnings: Vec<String> = self.warnings();
        for expected in &damage.warnings {
            if !warnings.iter().any(|one| one.contains(expected)) {
                return Err(format!("no warning of {expected:?}: {warnings:#?}"));
            }
        }
        Ok(())
    }

    /// What it warns of.
    fn warnings(&self) -> Vec<String> {
        let findings = self.report.findings.iter();
        let warnings = findings.filter(|one| one.severity >= Severity::Warning);
        warnings
            .map(|one| format!("{}: {}", one.rule, one.what))
            .collect()
    }

    /// Whether source and target are the same, and that is what it says.
    pub fn is_clean(&self) -> Result<(), String> {
        let found = &self.report.differences;
        if !found.is_empty() {
            let said = found
                .iter()
                .map(|one| format!("{}: {}", named(one), one.detail));
            return Err(said.collect::<Vec<_>>().join("\n"));
        }
        self.ended(ExitStatus::Proven)
    }

    fn ended(&self, expected: ExitStatus) -> Result<(), String> {
        if !self.report.unverified.is_empty() {
            return Err(format!("not verified: {:#?}", self.report.unverified));
        }
        if self.run.status != i32::from(expected.code()) || self.report.status != Some(expected) {
            return Err(format!("the status is not {expected:?}: {}", self.run));
        }
        Ok(())
    }

    /// What is to be done next, as its last lines say.
    pub fn what_to_do(&self) -> String {
        self.report.next.clone().unwrap_or_default()
    }

    /// The repair that it wrote.
    pub fn repair(&self) -> String {
        std::fs::read_to_string(self.run.path(REPAIR)).unwrap_or_default()
    }

    /// Whether the repair says of itself that it does not cover something, and why.
    pub fn repair_says(&self, reason: &str) -> Result<(), String> {
        let repair = self.repair();
        if repair.contains(reason) {
            return Ok(());
        }
        let run = &self.run;
        Err(format!(
            "the repair does not say {reason:?}:\n{repair}\n{run}"
        ))
    }
}
