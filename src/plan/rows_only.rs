//! Rows alone, into tables that are there with all that belongs to them (`--data-only`): no definitions, no indexes, no keys.
//!
//! Foreign keys of the target are checked by the server as rows arrive, so a table waits for those that it refers to. Where they
//! are set aside there is no order to keep. Materialized views are not refreshed, as with `pg_restore`.

use super::PlanError;
use super::builder::Builder;
use crate::model::{JobId, QualifiedName};

/// A target that has everything but rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Existing {
    /// Tables that refer to another, and that other: its rows come first. Without circles.
    pub order: Vec<(QualifiedName, QualifiedName)>,
}

impl Builder<'_> {
    /// Rows, large objects, where sequences stand, and statistics of what was loaded.
    pub fn plan_rows_only(&mut self, existing: &Existing) -> Result<(), PlanError> {
        let entries = self.inputs.toc.entries.iter();
        let made = entries.filter(|entry| !entry.is_of_large_object());
        self.placed.extend(made.map(|entry| entry.dump_id));
        self.plan_data()?;
        for (table, first) in &existing.order {
            self.wait_for_rows(table, first);
        }
        self.plan_large_objects();
        self.plan_statistics();
        self.plan_sequences();
        // Grants and comments of large objects.
        self.plan_finish()
    }

    /// Whether a table refers to one that is loaded as well, or is referred to: then its rows travel alone.
    pub fn is_in_order(&self, table: &QualifiedName) -> bool {
        let existing = self.inputs.options.left.existing.as_ref();
        let mut pairs = existing.iter().flat_map(|existing| &existing.order);
        pairs.any(|(one, other)| one == table || other == table)
    }

    fn wait_for_rows(&mut self, table: &QualifiedName, first: &QualifiedName) {
        let copied = |of: &QualifiedName| -> Vec<JobId> {
            let jobs = self.tables.get(of);
            jobs.map_or_else(Vec::new, |jobs| jobs.copied.clone())
        };
        let (waiting, others) = (copied(table), copied(first));
        for job in waiting {
            self.wait(job, &others);
        }
    }
}
