//! Rows that are left alone, because what holds them is: a table, or a type of its columns, that is not as on the source when the rows'
//! turn is may not take a value, or make another one of it; and a statement that fails ends the file for all that follows.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::QualifiedName;

use super::draft::{Draft, about};
use super::order;
use super::rows::TableRepair;

/// What is not covered, by its place in the source's table of contents.
type Undone = BTreeMap<usize, String>;

impl Draft<'_> {
    /// Leaves out the rows of every table that needs what is not covered.
    pub(super) fn leave_rows(&mut self, undone: &BTreeSet<String>) {
        let undone: Undone = self
            .entries
            .iter()
            .filter_map(|one| Some((self.source.place(one.source?), about(&one.difference))))
            .filter(|(_, about)| undone.contains(about))
            .collect();
        if undone.is_empty() {
            return;
        }
        let input = self.input;
        let holders = self.holders();
        for table in input.tables {
            let Some(needed) = self.not_covered_beneath(table, &holders, &undone) else {
                continue;
            };
            self.left.insert(table.table.clone());
            let object = table.table.shown();
            let mut differences = input.differences.iter();
            let difference =
                differences.find(|one| one.class == "table data" && one.object == object);
            if let Some(difference) = difference {
                let because = format!("its rows wait for what is not covered: {needed}");
                self.leave(difference, because, Vec::new());
            }
        }
    }

    /// The entries of each table, and of what it is made a partition by; of a partitioned one, those of all that is below it as well.
    fn holders(&self) -> BTreeMap<QualifiedName, Vec<usize>> {
        let above = order::partitions(self.source.toc);
        let mut holders: BTreeMap<QualifiedName, Vec<usize>> = BTreeMap::new();
        for (place, entry) in self.source.toc.entries.iter().enumerate() {
            let Some(name) = entry.qualified_name() else {
                continue;
            };
            if entry.is("TABLE") {
                for table in order::with_ancestors(&name, &above) {
                    holders.entry(table).or_default().push(place);
                }
            } else if entry.is("TABLE ATTACH") {
                // A partition's own rows are the same, whatever it is a part of.
                let mut tables = order::with_ancestors(&name, &above);
                tables.remove(&name);
                for table in tables {
                    holders.entry(table).or_default().push(place);
                }
            }
        }
        holders
    }

    /// Something that a table is made of and that is not covered. Its schema and extensions are where that is, and no part of it.
    fn not_covered_beneath(
        &self,
        table: &TableRepair,
        holders: &BTreeMap<QualifiedName, Vec<usize>>,
        undone: &Undone,
    ) -> Option<String> {
        let mut ahead = holders.get(&table.table).cloned().unwrap_or_default();
        let mut seen = BTreeSet::new();
        while let Some(place) = ahead.pop() {
            let entry = self.source.at(place)?;
            let is_around = matches!(entry.desc.as_str(), "SCHEMA" | "EXTENSION");
            if is_around || !seen.insert(place) {
                continue;
            }
            if let Some(about) = undone.get(&place) {
                return Some(about.clone());
            }
            ahead.extend(self.source.needs(entry));
        }
        None
    }
}
