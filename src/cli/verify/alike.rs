//! Tables that are known to be the same on both sides, and what that makes of a query over all of them.

use std::collections::BTreeSet;

use super::Asked;
use super::look::SideView;
use crate::model::{QualifiedName, VerifyLevel};
use crate::toc::Entry;
use crate::verify::matview::Tables;

/// Tables that are the same on both sides, by what was compared of them.
#[derive(Debug, Clone, Default)]
pub struct Alike {
    /// The content of every row.
    pub by_content: BTreeSet<QualifiedName>,
    /// Their numbers of rows, and perhaps no more.
    pub by_count: BTreeSet<QualifiedName>,
}

impl Alike {
    /// One more, which was compared at a level.
    pub(super) fn add(&mut self, table: &QualifiedName, level: VerifyLevel) {
        match level {
            VerifyLevel::Content => self.by_content.insert(table.clone()),
            _ => self.by_count.insert(table.clone()),
        };
    }

    /// What is known of all tables of the source, if none is known to differ.
    pub(super) fn tables(&self, source: &SideView, asked: &Asked) -> Tables {
        let is_foreign = |entry: &Entry| entry.is("FOREIGN TABLE");
        // What is not looked at of a table may be what a view shows.
        let are_whole = asked.level == VerifyLevel::Content && asked.ignore.is_empty();
        if !are_whole || source.toc.entries.iter().any(is_foreign) {
            return Tables::NotAllCompared;
        }
        let all_are = |is_known: &dyn Fn(&QualifiedName) -> bool| {
            source.facts.tables.iter().all(|table| {
                let root = table.partition_root.as_ref();
                std::iter::once(&table.name).chain(root).any(is_known)
            })
        };
        let is_proven = |name: &QualifiedName| self.by_content.contains(name);
        let is_counted = |name: &QualifiedName| is_proven(name) || self.by_count.contains(name);
        if all_are(&is_proven) {
            Tables::Proven
        } else if all_are(&is_counted) {
            Tables::Counted
        } else {
            Tables::NotAllCompared
        }
    }
}
