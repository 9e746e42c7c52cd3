//! Pre-data: types, functions, tables, in the archive's order.
//!
//! In batches, because a transaction that creates thousands of objects holds thousands of locks. One batch after the
//! other, because `pg_dump` sorted the entries and one connection needs no more than that.

use super::builder::{Builder, Draft};
use super::{PlanError, Statement, cost};
use crate::event::Phase;
use crate::toc::{RestorePass, Section};

/// Statements of one transaction. Each takes a few locks, and the default lock table has room for some 6,400.
pub(super) const BATCH: usize = 300;

impl Builder<'_> {
    /// Pre-data, and extended statistics, which ANALYZE must find in place.
    pub fn plan_schema(&mut self) -> Result<(), PlanError> {
        let toc = self.inputs.toc;
        let mut statements: Vec<Statement> = Vec::new();
        for entry in &toc.entries {
            let is_placed = self.placed.contains(&entry.dump_id);
            let is_first = entry.section == Section::PreData && !is_placed;
            if is_first && entry.restore_pass() == RestorePass::Main {
                statements.extend(self.statements(entry)?);
            }
        }
        for entry in toc.entries.iter().filter(|entry| entry.is("STATISTICS")) {
            statements.extend(self.statements(entry)?);
        }
        let batches: Vec<Vec<Statement>> = statements
            .chunks(BATCH)
            .map(<[Statement]>::to_vec)
            .collect();
        let count = batches.len();
        for (index, batch) in batches.into_iter().enumerate() {
            let label = if count == 1 {
                "schema".to_owned()
            } else {
                format!("schema {}/{count}", index + 1)
            };
            let entries: Vec<_> = batch
                .iter()
                .filter_map(|statement| statement.entry.as_ref())
                .map(|entry| entry.dump_id)
                .collect();
            let after = self.schema_done.clone();
            let job = self.add(Draft {
                after,
                cost: cost::definitions(batch.len()),
                ..Draft::run(Phase::Schema, label, batch)
            });
            self.entry_jobs
                .extend(entries.into_iter().map(|entry| (entry, job)));
            self.schema_done = vec![job];
        }
        Ok(())
    }
}
