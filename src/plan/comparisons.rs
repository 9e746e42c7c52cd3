//! What is read on the target, and compared: when, in which form, and what of it has to be read on the source once more.

use std::collections::BTreeMap;

use super::builder::{Builder, Draft};
use super::{Comparison, Work, cost};
use crate::catalog::Column;
use crate::event::Phase;
use crate::model::LockMode;
use crate::model::{Bytes, CopyFormat, JobId, QualifiedName, VerifyLevel, quote_ident};

impl Builder<'_> {
    /// One comparison for every table that was loaded; the comparisons of a bundle make one job.
    pub fn plan_comparisons(&mut self) {
        if self.inputs.options.verify == VerifyLevel::None {
            return;
        }
        let mut by_target: BTreeMap<QualifiedName, Vec<usize>> = BTreeMap::new();
        for (index, unit) in self.units.iter().enumerate() {
            by_target.entry(unit.into.clone()).or_default().push(index);
        }
        let mut by_job: BTreeMap<Vec<JobId>, Vec<usize>> = BTreeMap::new();
        for (table, copied) in by_target {
            let comparison = self.comparison(table, copied);
            self.tell_what_is_not_compared(&comparison);
            let mut after: Vec<JobId> = Vec::new();
            for &unit in &comparison.copied {
                after.extend(&self.tables[&self.units[unit].table].copied);
            }
            let index = self.comparisons.len();
            if comparison.reads_source {
                let label = format!("read {} on the source again", comparison.table.shown());
                after.push(self.add(Draft {
                    cost: cost::verify(comparison.bytes),
                    bytes: comparison.bytes,
                    needs: comparison.entries.clone(),
                    ..Draft::new(Phase::Verify, label, Work::ReadSource { comparison: index })
                }));
            }
            self.comparisons.push(comparison);
            by_job.entry(after).or_default().push(index);
        }
        for (after, comparisons) in by_job {
            self.plan_compare(after, comparisons);
        }
    }

    /// What is compared less strictly than by its bytes.
    fn tell_what_is_not_compared(&mut self, comparison: &Comparison) {
        let tables = comparison
            .copied
            .iter()
            .map(|&unit| &self.units[unit].table);
        let Some(table) = tables.clone().find_map(|name| self.facts_by_name.get(name)) else {
            return;
        };
        let columns = |is_meant: &dyn Fn(&Column) -> bool| {
            let meant = table.columns.iter().filter(|column| is_meant(column));
            let names: Vec<String> = meant.map(|column| quote_ident(&column.name)).collect();
            names.join(", ")
        };
        let rounded = columns(&|column| self.formats.is_rounded(column, &comparison.format));
        let hiding = columns(&|column| self.formats.hides_xml(column));
        let told = [
            (
                rounded,
                "floats inside of",
                "are compared in 15 digits (6 of a real), because the two versions print them differently",
            ),
            (
                hiding,
                "XML inside of",
                "is copied and compared as it is printed: without a plain declaration, and a line break at its beginning",
            ),
        ];
        let told = told.into_iter().filter(|(columns, ..)| !columns.is_empty());
        let table = comparison.table.shown();
        self.notes.extend(
            told.map(|(columns, what, compared)| format!("{table}: {what} {columns} {compared}")),
        );
    }

    pub fn plan_compare(&mut self, after: Vec<JobId>, comparisons: Vec<usize>) {
        let bytes: Bytes = comparisons
            .iter()
            .map(|&index| self.comparisons[index].bytes)
            .sum();
        let tables: Vec<QualifiedName> = comparisons
            .iter()
            .map(|&index| self.comparisons[index].table.clone())
            .collect();
        let label = match tables.len() {
            1 => format!("verify {}", tables[0].shown()),
            count => format!(
                "verify {} and {} more small tables",
                tables[0].shown(),
                count - 1
            ),
        };
        let job = self.add(Draft {
            after,
            cost: cost::verify(bytes) + cost::read_back(comparisons.len()),
            locks: tables
                .iter()
                .map(|table| (table.clone(), LockMode::AccessShare))
                .collect(),
            bytes,
            ..Draft::new(
                Phase::Verify,
                label,
                Work::Compare {
                    comparisons: comparisons.clone(),
                },
            )
        });
        for index in comparisons {
            for unit in self.comparisons[index].copied.clone() {
                let name = self.units[unit].table.clone();
                self.tables.entry(name).or_default().compared.push(job);
            }
            let table = self.comparisons[index].table.clone();
            self.tables.entry(table).or_default().compared.push(job);
        }
    }

    fn comparison(&self, table: QualifiedName, copied: Vec<usize>) -> Comparison {
        let unit = &self.units[copied[0]];
        let facts = self.facts_by_name.get(&unit.table);
        let columns = facts.map(|facts| facts.columns.as_slice());
        // A virtual column holds nothing. What it is computed from is read, and how is part of the table's definition.
        let columns: Vec<&Column> = columns
            .unwrap_or_default()
            .iter()
            .filter(|column| !column.is_virtual)
            .collect();
        let content = self.inputs.options.verify == VerifyLevel::Content;
        // What stands in the place of an unreadable value is on one side only: then what was copied is what is compared.
        let is_damaged = copied.iter().any(|&unit| self.units[unit].around.is_some());
        let reads_source = content
            && self.verifies_against_source()
            && !is_damaged
            && columns.iter().any(|column| {
                column.generated || self.formats.comparable(column, &unit.format).is_some()
            });
        let expressions: Vec<String> = if reads_source {
            let expression = |column: &&Column| {
                self.formats
                    .comparable(column, &unit.format)
                    .unwrap_or_else(|| self.formats.whole(column))
            };
            columns.iter().map(expression).collect()
        } else {
            unit.expressions()
        };
        // A generated column may be of a type that the copied ones are not.
        let all_columns: Vec<_> = columns
            .iter()
            .map(|&column| Column {
                generated: false,
                ..column.clone()
            })
            .collect();
        let format = if reads_source {
            self.formats.of(&all_columns)
        } else {
            unit.format.clone()
        };
        let arrays = if reads_source {
            self.formats.arrays(&columns, &format)
        } else {
            unit.arrays.clone()
        };
        let encoding = unit
            .encoding
            .clone()
            .filter(|_| format != CopyFormat::Binary);
        let entries = copied.iter().filter_map(|&unit| self.units[unit].entry);
        Comparison {
            only: table == unit.table,
            matview: false,
            definition: None,
            table,
            entries: entries.collect(),
            columns: expressions,
            arrays,
            format,
            encoding,
            condition: unit.condition.clone(),
            reads_source,
            bytes: copied.iter().map(|&unit| self.units[unit].bytes).sum(),
            settings: Vec::new(),
            copied,
        }
    }
}
