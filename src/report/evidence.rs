//! What a comparison's last sentence rests on, counted once, and the clauses that say it.
//!
//! A table counts as the same only if both sides' digests are in its verdict and are equal. A read that did not end, a
//! side without a snapshot, a table of the plan without a verdict: each is a gap, and is named.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Difference, QualifiedName, Rows, TableVerdict, Verdict, VerifyLevel};
use crate::progress::words;

use super::facts::{BEYOND, Facts, listed};
use super::{Report, SnapshotReport, salvaged};

/// The class of differences that are about a table's rows.
pub(super) const TABLE_DATA: &str = "table data";

/// The form of a column that was not compared.
const NOT_AT_ALL: &str = "not at all";

/// What the sentences rest on.
pub(super) struct Evidence<'a> {
    pub facts: &'a Facts<'a>,
    /// Tables of which both sides were read and found the same, as far as was asked for.
    pub same: BTreeSet<&'a QualifiedName>,
    /// Their rows.
    pub rows: Rows,
}

impl<'a> Evidence<'a> {
    pub fn new(facts: &'a Facts<'a>) -> Self {
        let mut evidence = Self {
            facts,
            same: BTreeSet::new(),
            rows: Rows(0),
        };
        let unsettled = unsettled_tables(facts.report);
        for table in &facts.report.tables {
            if unsettled.contains(&table.table.shown()) {
                continue;
            }
            if let Some(rows) = rows_proven(table, evidence.counts_do())
                && evidence.same.insert(&table.table)
            {
                evidence.rows += rows;
            }
        }
        evidence
    }

    pub fn different(&self) -> bool {
        let mut rows = self.facts.report.rows.iter();
        self.facts.different() || rows.any(|rows| rows.total() > Rows(0))
    }

    pub fn in_flux(&self) -> bool {
        !self.objects_in_flux().is_empty()
    }

    /// What differed for a while: `rows of public.statuses`, `sequence public.ids`.
    pub fn objects_in_flux(&self) -> Vec<String> {
        let report = self.facts.report;
        let tables = tables_in_flux(report).into_iter();
        let tables = tables.map(|table| of(TABLE_DATA, &words::one_line(&table)));
        let objects = report.in_flux.iter().map(of_object);
        let all: BTreeSet<String> = tables.chain(objects).collect();
        all.into_iter().collect()
    }

    /// What ought to have been compared and was not, a clause each.
    pub fn gaps(&self) -> Vec<String> {
        let report = self.facts.report;
        let mut gaps = Vec::new();
        let unverified = report.unverified.iter();
        let named: Vec<String> = unverified
            .filter(|one| !one.is_not_in_archive())
            .map(|one| of(&one.class, &words::one_line(&one.object)))
            .collect();
        if !named.is_empty() {
            gaps.push(listed(&named));
        }
        if report.verify != Some(VerifyLevel::Schema) {
            gaps.extend(self.silent_tables());
            if report.planned_tables.is_none() {
                gaps.push("the rows of all tables: no plan was made".to_owned());
            }
        }
        if self.facts.unfinished > 0 {
            gaps.push(format!(
                "{} that did not end well",
                words::count(self.facts.unfinished, "read", "reads")
            ));
        }
        for (side, snapshot) in [
            ("source", &report.snapshot),
            ("target", &report.target_snapshot),
        ] {
            if snapshot.is_none() {
                gaps.push(format!("at which moment the {side} was read"));
            }
        }
        if report.checked.is_empty() {
            gaps.push("everything but rows: indexes, constraints, sequences and the rest".into());
        }
        gaps
    }

    /// What the archive that is compared with does not hold, so that no comparison with it can tell; or nothing.
    pub fn not_in_archive(&self) -> String {
        match not_in_archive(self.facts.report).as_slice() {
            [] => String::new(),
            named => format!(
                " This archive does not hold the following, or not in full, so it cannot prove it: {}.",
                listed(named)
            ),
        }
    }

    /// Tables of which nothing is known, besides those that are named as unverified or in flux.
    pub fn silent_tables(&self) -> Option<String> {
        let report = self.facts.report;
        let named = unsettled_tables(report);
        let different = self.names(|table| table.verdict == Verdict::Different);
        let judged = report.tables.iter();
        let unsure: BTreeSet<String> = judged
            .filter(|table| !matches!(table.verdict, Verdict::Excluded | Verdict::Different))
            .filter(|table| rows_proven(table, self.counts_do()).is_none())
            .map(|table| table.table.shown())
            .filter(|name| !named.contains(name))
            .collect();
        let unsure: Vec<String> = unsure.into_iter().collect();
        let mut accounted = named;
        accounted.extend(self.same.iter().map(|table| table.shown()));
        accounted.extend(different);
        let passed_over = report.waivers.iter().flat_map(|waiver| &waiver.differences);
        let of_rows = passed_over.filter(|one| one.class == TABLE_DATA);
        accounted.extend(of_rows.map(|one| one.object.clone()));
        let planned = u64::from(report.planned_tables.unwrap_or(0));
        let silent = planned.saturating_sub(accounted.len() as u64);
        match silent.max(unsure.len() as u64) {
            0 => None,
            count if unsure.is_empty() => Some(format!(
                "the rows of {} without a verdict",
                words::count(count, "table", "tables")
            )),
            count => Some(format!(
                "the rows of {} ({})",
                words::count(count, "table", "tables"),
                listed(&unsure)
            )),
        }
    }

    /// Whether a number of rows is all that was asked for.
    pub fn counts_do(&self) -> bool {
        self.facts.report.verify == Some(VerifyLevel::Counts)
    }

    /// `4 tables with 5,123,456 rows are the same on source and target`.
    pub fn same_tables(&self) -> String {
        let tables = self.same.len() as u64;
        format!(
            "{} with {} {} the same on source and target",
            words::count(tables, "table", "tables"),
            words::count(self.rows.0, "row", "rows"),
            if tables == 1 { "is" } else { "are" }
        )
    }

    pub fn proven_part(&self) -> String {
        if self.same.is_empty() || self.facts.report.verify != Some(VerifyLevel::Content) {
            return "Nothing is proven.".to_owned();
        }
        format!("Proven nevertheless: {}.", self.same_tables())
    }

    /// What the whole is about: two moments, and whether they are still now.
    pub fn moments(&self) -> String {
        let report = self.facts.report;
        let lsn = |snapshot: &Option<SnapshotReport>| {
            let lsn = snapshot.as_ref().map(|snapshot| snapshot.lsn.as_str());
            lsn.unwrap_or("unknown").to_owned()
        };
        let when = format!(
            "(source at LSN {}, target at LSN {})",
            lsn(&report.snapshot),
            lsn(&report.target_snapshot)
        );
        match (&report.source_moved_on, report.source_unchanged_at) {
            (Some(moved), _) if moved.tables.is_empty() => format!(
                " Transactions have begun on the source's server meanwhile, though no table's statistics show writes: this \
                 holds for the moment of the two snapshots {when}."
            ),
            (Some(moved), _) => {
                let names: Vec<String> = moved
                    .tables
                    .iter()
                    .map(|(table, _)| table.clone())
                    .collect();
                format!(
                    " The source is being written to, in {}: this holds for the moment of the two snapshots {when}, and not \
                     for now.",
                    listed(&names)
                )
            }
            (None, Some(at)) => format!(
                " The source was quiet: no transaction began on its server from its snapshot until {} UTC {when}.",
                at.format("%H:%M:%S")
            ),
            (None, None) => format!(
                " Whether the source was written to meanwhile is not known: this holds for the moment of the two snapshots \
                 {when}."
            ),
        }
    }

    pub fn not_compared(&self) -> String {
        let excluded: Vec<String> = self.names(|table| table.verdict == Verdict::Excluded);
        let mut items = Vec::new();
        if !excluded.is_empty() {
            items.push(format!(
                "the rows of {}, left out on request",
                listed(&excluded)
            ));
        }
        let report = self.facts.report;
        let mut columns = Vec::new();
        for table in &report.tables {
            let forms = table.forms.iter().filter(|form| form.form == NOT_AT_ALL);
            columns.extend(forms.map(|form| {
                let name = format!("{}.{}", table.table.shown(), form.column);
                format!("{} ({})", words::one_line(&name), form.because)
            }));
        }
        if !columns.is_empty() {
            let noun = if columns.len() == 1 {
                "column"
            } else {
                "columns"
            };
            items.push(format!("{noun} {}", listed(&columns)));
        }
        items.extend(self.facts.narrowed());
        items.extend(BEYOND.map(str::to_owned));
        format!(" Not compared: {}.", items.join("; "))
    }

    /// The rules that passed something over, and what that was; or nothing.
    pub fn passed_over(&self) -> String {
        let lost = match salvaged::losses(self.facts.report).as_slice() {
            [] => String::new(),
            names => format!(
                " The archive is what could be read of a damaged database; something is lost of, or because of: {}.",
                listed(names)
            ),
        };
        let waivers = salvaged::passed_over(self.facts.report);
        if waivers.is_empty() {
            return lost;
        }
        let rules: Vec<String> = waivers
            .iter()
            .map(|waiver| format!("--ignore {}", words::one_line(&waiver.rule)))
            .collect();
        let differences: usize = waivers.iter().map(|waiver| waiver.differences.len()).sum();
        let unread = waivers.iter().any(|waiver| !waiver.not_compared.is_empty());
        let counted = match differences as u64 {
            0 => None,
            count => Some(format!(
                "{} found and not counted",
                words::count(count, "difference was", "differences were")
            )),
        };
        let unread = unread.then(|| "not all of it was read".to_owned());
        let found: Vec<String> = unread.into_iter().chain(counted).collect();
        let found = found.join("; ");
        format!(
            "{lost} Passed over on request, with {}: {found}.",
            listed(&rules)
        )
    }

    pub fn names(&self, wanted: fn(&TableVerdict) -> bool) -> Vec<String> {
        let tables = self.facts.report.tables.iter();
        tables
            .filter(|table| wanted(table))
            .map(|table| table.table.shown())
            .collect()
    }
}

/// What of a comparison with an archive that does not hold, each with its class.
pub(super) fn not_in_archive(report: &Report) -> Vec<String> {
    let unverified = report.unverified.iter();
    unverified
        .filter(|one| one.is_not_in_archive())
        .map(|one| of(&one.class, &words::one_line(&one.object)))
        .collect()
}

/// Columns that were compared otherwise than as the bytes that the servers send, by form and reason.
pub(super) fn columns_by_form(report: &Report) -> BTreeMap<(&str, &str), Vec<String>> {
    let mut by_form: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for table in &report.tables {
        for form in &table.forms {
            let column = format!("{}.{}", table.table.shown(), form.column);
            let key = (&*form.form, &*form.because);
            by_form.entry(key).or_default().push(column);
        }
    }
    by_form
}

/// Tables that something is said against besides a verdict: not verified, in flux, or with rows that differ.
pub(super) fn unsettled_tables(report: &Report) -> BTreeSet<String> {
    let unverified = report
        .unverified
        .iter()
        .map(|one| (&one.class, &one.object));
    let in_flux = report.in_flux.iter().map(|one| (&one.class, &one.object));
    unverified
        .chain(in_flux)
        .filter(|(class, _)| *class == TABLE_DATA)
        .map(|(_, object)| object.clone())
        .chain(report.rows.iter().map(|rows| rows.table.shown()))
        .collect()
}

/// Tables that differed for a while.
pub(super) fn tables_in_flux(report: &Report) -> BTreeSet<String> {
    let rows = report.rows.iter().filter(|rows| rows.in_flux > Rows(0));
    let whole = report.in_flux.iter().filter(|one| one.class == TABLE_DATA);
    rows.map(|rows| rows.table.shown())
        .chain(whole.map(|one| one.object.clone()))
        .collect()
}

/// The rows of a table that its verdict proves to be the same, if it does.
fn rows_proven(table: &TableVerdict, counts_do: bool) -> Option<Rows> {
    let target = table.target?;
    match table.verdict {
        Verdict::Identical => (table.read == Some(target)).then_some(target.rows),
        Verdict::SameCount if counts_do => {
            let source = table.source_count.or(table.read.map(|digest| digest.rows));
            (source == Some(target.rows)).then_some(target.rows)
        }
        _ => None,
    }
}

fn of(class: &str, object: &str) -> String {
    match class {
        TABLE_DATA => format!("rows of {object}"),
        _ => format!("{class} {object}"),
    }
}

pub(super) fn of_object(difference: &Difference) -> String {
    of(&difference.class, &words::one_line(&difference.object))
}
