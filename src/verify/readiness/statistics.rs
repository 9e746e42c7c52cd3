//! Planner statistics: a restore brings none (before version 18 none can be brought), and until they are there every plan is
//! a guess.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Finding, QualifiedName, shown_ident, to_paste};
use crate::pg::{Answer, PgError};

use super::{Readiness, Scope, some_of};

/// Tables of up to so many pages are not missed where the source has no statistics of them either: autovacuum does not care
/// for them.
const SMALL_PAGES: u64 = 8;
/// A table that has grown by so many pages, beyond doubling, is not the one that was analyzed.
const GROWTH_PAGES: u64 = 64;
/// Fewer changed rows than this matter to no plan.
const FEW_ROWS: u64 = 1000;
/// As many tables as can be analyzed by name in one line.
const TABLES_BY_NAME: usize = 5;

/// The planner's statistics of a table, or of an index over expressions.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// The table.
    pub table: QualifiedName,
    /// The index over expressions, if it is of one.
    pub index: Option<String>,
    /// It has no rows of its own, but its partitions have.
    pub partitioned: bool,
    /// Whether there are any.
    pub analyzed: bool,
    /// How many rows the planner reckons with; -1 if nobody has counted yet.
    pub rows_then: f64,
    /// How many pages there were when they were counted.
    pub pages_then: u64,
    /// How many pages the table has now.
    pub pages: u64,
    /// Rows written since, as far as the server has kept count: 0 if it knows of no ANALYZE.
    pub modified: u64,
}

/// A statistics object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtendedStatistics {
    /// Its name.
    pub name: QualifiedName,
    /// Its table.
    pub table: QualifiedName,
    /// Whether it holds anything.
    pub built: bool,
}

impl ExtendedStatistics {
    pub(super) fn from_answer(row: &Answer) -> Result<Self, PgError> {
        Ok(Self {
            name: row.name("schema", "name")?,
            table: row.name("table_schema", "table_name")?,
            built: row.get("built")?,
        })
    }
}

impl Statistics {
    pub(super) fn from_answer(row: &Answer) -> Result<Self, PgError> {
        Ok(Self {
            table: row.name("schema", "name")?,
            index: row.get("index_name")?,
            partitioned: row.get("partitioned")?,
            analyzed: row.get("analyzed")?,
            rows_then: row.get("rows_then")?,
            pages_then: row.count("pages_then")?,
            pages: row.count("pages")?,
            modified: row.count("modified")?,
        })
    }

    fn key(&self) -> (&QualifiedName, Option<&str>) {
        (&self.table, self.index.as_deref())
    }

    /// An index over expressions is shown with its table, which is what is analyzed.
    fn shown(&self) -> String {
        match &self.index {
            Some(index) => format!("{} (index {})", self.table.shown(), shown_ident(index)),
            None => self.table.shown(),
        }
    }

    /// Pages alone do not tell: the rows of some may all be deleted, and analyzing an empty table makes no statistics.
    fn has_rows(&self) -> bool {
        let uncounted = self.rows_then < 0.0 || (self.rows_then == 0.0 && self.pages_then == 0);
        self.rows_then > 0.0 || (uncounted && self.pages > 0)
    }

    /// Whether the target should have what it has not: because the source has it, or because the table is large.
    fn is_missing(&self, on_source: bool) -> bool {
        if self.analyzed {
            return false;
        }
        if self.partitioned {
            return on_source;
        }
        self.has_rows() && (on_source || self.pages > SMALL_PAGES)
    }

    /// Whether what was analyzed is not what there is now. Rows that a load wrote may be counted only after the table was
    /// analyzed, so that as many changes as there are rows mean nothing.
    #[expect(
        clippy::cast_precision_loss,
        reason = "compared with an estimate, and at a distance"
    )]
    fn is_stale(&self) -> bool {
        let has_grown = self.pages > 2 * self.pages_then + GROWTH_PAGES;
        let was_rewritten =
            self.modified > FEW_ROWS && self.modified as f64 > 1.2 * self.rows_then.max(0.0);
        self.analyzed && self.index.is_none() && !self.partitioned && (has_grown || was_rewritten)
    }
}

pub(super) fn findings(source: &Readiness, target: &Readiness, scope: &Scope) -> Vec<Finding> {
    let there: BTreeMap<_, bool> = source
        .statistics
        .iter()
        .map(|one| (one.key(), one.analyzed))
        .collect();
    let on_source = |one: &Statistics| there.get(&one.key()).copied().unwrap_or(false);
    let taking_part: Vec<&Statistics> = target
        .statistics
        .iter()
        .filter(|one| scope.has_relation(&one.table))
        .collect();
    let mut missing: Vec<&Statistics> = taking_part
        .iter()
        .copied()
        .filter(|one| one.is_missing(on_source(one)))
        .collect();
    let bare: BTreeSet<&QualifiedName> = missing
        .iter()
        .filter(|one| one.index.is_none())
        .map(|one| &one.table)
        .collect();
    // One that is bare itself speaks for its indexes.
    missing.retain(|one| one.index.is_none() || !bare.contains(&one.table));
    let stale: Vec<&Statistics> = taking_part
        .iter()
        .copied()
        .filter(|one| one.is_stale())
        .collect();
    let mut findings = Vec::new();
    if !missing.is_empty() {
        let what = format!(
            "the planner has no statistics of {}, and guesses: {}",
            counted(&missing),
            shown(&missing)
        );
        findings.push(Finding::warning(
            "statistics-missing",
            what,
            analyze(&tables(&missing)),
        ));
    }
    if !stale.is_empty() {
        let what = format!(
            "{} changed a lot since the planner's statistics were made: {}",
            counted(&stale),
            shown(&stale)
        );
        findings.push(Finding::warning(
            "statistics-stale",
            what,
            analyze(&tables(&stale)),
        ));
    }
    let mut covered = tables(&missing);
    covered.extend(tables(&stale));
    findings.extend(unbuilt(source, target, scope, &covered));
    findings
}

/// Extended statistics that hold something on the source only, and that no other finding has analyzed already.
fn unbuilt(
    source: &Readiness,
    target: &Readiness,
    scope: &Scope,
    covered: &BTreeSet<&QualifiedName>,
) -> Option<Finding> {
    let built: BTreeSet<&QualifiedName> = source
        .extended
        .iter()
        .filter(|one| one.built)
        .map(|one| &one.name)
        .collect();
    let unbuilt: Vec<&ExtendedStatistics> = target
        .extended
        .iter()
        .filter(|one| !one.built && built.contains(&one.name))
        .filter(|one| scope.has_relation(&one.table) && !covered.contains(&one.table))
        .collect();
    let names: Vec<String> = unbuilt.iter().map(|one| one.name.shown()).collect();
    (!names.is_empty()).then(|| {
        Finding::warning(
            "extended-statistics-missing",
            format!(
                "extended statistics are defined but hold nothing, unlike on the source: {}",
                some_of(&names)
            ),
            analyze(&unbuilt.iter().map(|one| &one.table).collect()),
        )
    })
}

fn tables<'a>(statistics: &[&'a Statistics]) -> BTreeSet<&'a QualifiedName> {
    statistics.iter().map(|one| &one.table).collect()
}

fn counted(statistics: &[&Statistics]) -> String {
    match tables(statistics).len() {
        1 => "a table".to_owned(),
        more => format!("{more} tables"),
    }
}

fn shown(statistics: &[&Statistics]) -> String {
    let names: Vec<String> = statistics.iter().map(|one| one.shown()).collect();
    some_of(&names)
}

fn analyze(tables: &BTreeSet<&QualifiedName>) -> String {
    if tables.len() > TABLES_BY_NAME {
        return to_paste(
            "Run on the target, before the application does (vacuumdb --analyze-in-stages has rough ones sooner):",
            ["ANALYZE;".to_owned()],
        );
    }
    to_paste(
        "Run on the target, before the application does:",
        tables.iter().map(|table| format!("ANALYZE {table};")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> QualifiedName {
        QualifiedName::new("s", name)
    }

    fn table(of: &str, analyzed: bool) -> Statistics {
        Statistics {
            table: name(of),
            index: None,
            partitioned: false,
            analyzed,
            rows_then: 1000.0,
            pages_then: 100,
            pages: 100,
            modified: 0,
        }
    }

    fn side(statistics: Vec<Statistics>) -> Readiness {
        Readiness {
            statistics,
            ..Readiness::default()
        }
    }

    fn found(source: &Readiness, target: &Readiness) -> Vec<(String, String, String)> {
        let scope = Scope::of_relations(["t", "u", "p"].map(name));
        let found = findings(source, target, &scope);
        let found = found.into_iter();
        found.map(|one| (one.rule, one.what, one.remedy)).collect()
    }

    fn rules(source: Vec<Statistics>, target: Vec<Statistics>) -> Vec<String> {
        let found = found(&side(source), &side(target));
        found.into_iter().map(|(rule, ..)| rule).collect()
    }

    #[test]
    fn what_is_missing_is_told_once_with_its_index() {
        let index = Statistics {
            index: Some("t_lower".into()),
            ..table("t", false)
        };
        let both = [
            table("t", true),
            Statistics {
                analyzed: true,
                ..index.clone()
            },
        ];
        let source = side(both.to_vec());
        assert_eq!(
            found(
                &source,
                &side(vec![
                    table("t", false),
                    index.clone(),
                    table("elsewhere", false)
                ])
            ),
            [(
                "statistics-missing".to_owned(),
                "the planner has no statistics of a table, and guesses: s.t".to_owned(),
                "Run on the target, before the application does:\nANALYZE \"s\".\"t\";".to_owned()
            )]
        );
        let found = found(&source, &side(vec![table("t", true), index]));
        assert!(found[0].1.ends_with("s.t (index t_lower)"), "{found:?}");
    }

    #[test]
    fn nobody_needs_statistics_of_nothing() {
        let analyzed = || vec![table("t", true)];
        let uncounted = |rows_then, pages_then, pages| Statistics {
            rows_then,
            pages_then,
            pages,
            ..table("t", false)
        };
        for (statistics, is_missing) in [
            (uncounted(0.0, 100, 100), false),
            (uncounted(-1.0, 0, 0), false),
            (uncounted(-1.0, 0, 1), true),
            (uncounted(0.0, 0, 1), true),
            (uncounted(5.0, 1, 1), true),
        ] {
            let found = rules(analyzed(), vec![statistics.clone()]);
            assert_eq!(found.len(), usize::from(is_missing), "{statistics:?}");
        }
        // The source has none of a small table either.
        let small = uncounted(-1.0, 0, SMALL_PAGES);
        assert_eq!(rules(vec![table("t", false)], vec![small.clone()]), [""; 0]);
        let large = uncounted(-1.0, 0, SMALL_PAGES + 1);
        assert_eq!(rules(vec![table("t", false)], vec![large]).len(), 1);
        let parent = Statistics {
            partitioned: true,
            rows_then: -1.0,
            pages: 0,
            ..table("p", false)
        };
        assert_eq!(rules(vec![parent.clone()], vec![parent.clone()]), [""; 0]);
        assert_eq!(rules(vec![table("p", true)], vec![parent]).len(), 1);
    }

    #[test]
    fn statistics_are_stale_when_the_table_is_another_one() {
        let changed = |pages, modified| Statistics {
            pages,
            modified,
            ..table("t", true)
        };
        for (statistics, is_stale) in [
            (changed(100, 1000), false),
            (changed(100, 1200), false),
            (changed(100, 1201), true),
            (changed(264, 0), false),
            (changed(265, 0), true),
        ] {
            let found = rules(vec![table("t", true)], vec![statistics.clone()]);
            assert_eq!(found.len(), usize::from(is_stale), "{statistics:?}");
        }
    }

    #[test]
    fn extended_statistics_are_told_where_nothing_else_is() {
        let extended = |built| ExtendedStatistics {
            name: name("x"),
            table: name("t"),
            built,
        };
        let side = |analyzed, built| Readiness {
            extended: vec![extended(built)],
            ..side(vec![table("t", analyzed)])
        };
        let rules = |source: &Readiness, target: &Readiness| -> Vec<String> {
            let found = found(source, target).into_iter();
            found.map(|(rule, ..)| rule).collect()
        };
        let good = side(true, true);
        assert_eq!(
            rules(&good, &side(true, false)),
            ["extended-statistics-missing"]
        );
        assert_eq!(rules(&good, &side(false, false)), ["statistics-missing"]);
        assert_eq!(rules(&side(true, false), &side(true, false)), [""; 0]);
    }

    #[test]
    fn many_tables_are_analyzed_in_one_go() {
        let many: Vec<QualifiedName> = (0..6).map(|n| name(&format!("t{n}"))).collect();
        let analyzed = analyze(&many.iter().collect());
        assert!(analyzed.ends_with("\nANALYZE;"), "{analyzed}");
    }
}
