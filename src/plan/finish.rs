//! Everything else, in `pg_restore`'s order: what is left of post-data, sequences, policies, grants, event triggers.
//!
//! ```text
//!   triggers, rules, comments, …  ──►  policies, row security  ──►  grants  ──►  late materialized views, event triggers
//!   (after indexes and foreign keys)   (after the tables were read back: row security would hide rows from an owner)
//! ```

use std::collections::BTreeMap;

use super::builder::{Builder, Draft, Group};
use super::{PlanError, Statement};
use crate::event::Phase;
use crate::model::{DumpId, QualifiedName, SqlText, quote_literal};
use crate::toc::{Entry, RestorePass};

/// `setval` calls of one transaction.
const SEQUENCES_PER_JOB: usize = 500;

impl<'a> Builder<'a> {
    /// Where the sequences stand. They are read once, with the schema: a sequence does not follow snapshots.
    pub fn plan_sequences(&mut self) {
        let entries = self.inputs.toc.entries.iter().filter(|entry| entry.is("SEQUENCE"));
        let dumped: BTreeMap<QualifiedName, DumpId> =
            entries.filter_map(|entry| Some((entry.qualified_name()?, entry.dump_id))).collect();
        let mut statements: Vec<Statement> = Vec::new();
        for sequence in &self.inputs.facts.sequences {
            let Some(&entry) = dumped.get(&sequence.name) else { continue };
            let name = quote_literal(&sequence.name.to_string());
            let sql = format!("select pg_catalog.setval({name}, {}, {})", sequence.last_value, sequence.is_called);
            statements.push(Statement { entry: None, needs: vec![entry], sql: SqlText::from(sql) });
        }
        for batch in statements.chunks(SEQUENCES_PER_JOB) {
            let label = format!("{} sequences", batch.len());
            self.add(Draft { after: self.schema_done.clone(), ..Draft::run(Phase::Finish, label, batch.to_vec()) });
        }
    }

    /// All entries that have no job yet.
    pub fn plan_finish(&mut self) -> Result<(), PlanError> {
        let rest: Vec<&'a Entry> = self.inputs.toc.entries.iter().filter(|entry| !self.placed.contains(&entry.dump_id)).collect();
        let in_pass = |pass| rest.iter().copied().filter(move |entry| entry.restore_pass() == pass);
        let is_policy = |entry: &&Entry| matches!(entry.desc.as_str(), "POLICY" | "ROW SECURITY");
        let main: Vec<&Entry> = in_pass(RestorePass::Main).filter(|entry| !is_policy(entry) && !is_comment_on_policy(entry)).collect();
        let policies: Vec<&Entry> = in_pass(RestorePass::Main).filter(|entry| is_policy(entry) || is_comment_on_policy(entry)).collect();

        let built = self.jobs_of(&[Phase::Schema, Phase::Data, Phase::Indexes, Phase::ForeignKeys, Phase::Finish]);
        let mut done = self.plan_group(Group { phase: Phase::Finish, label: "triggers, rules, comments", entries: main, after: built })?;
        let mut after_policies = done.clone();
        after_policies.extend(policies.iter().filter_map(|entry| self.table_of(entry)).flat_map(|(_, table)| {
            self.tables.get(&table).map(|jobs| jobs.compared.clone()).unwrap_or_default()
        }));
        done.extend(self.plan_group(Group { phase: Phase::Finish, label: "row security", entries: policies, after: after_policies })?);
        // An owner may have taken rights from itself that reading the tables back needs; a superuser needs none.
        if !self.inputs.target.superuser {
            done.extend(self.jobs_of(&[Phase::Verify]));
        }
        let grants: Vec<&Entry> = in_pass(RestorePass::Acl).collect();
        done.extend(self.plan_group(Group { phase: Phase::Finish, label: "grants", entries: grants, after: done.clone() })?);
        self.plan_late_matviews(&done)?;
        let late: Vec<&Entry> = in_pass(RestorePass::PostAcl).filter(|entry| !self.placed.contains(&entry.dump_id)).collect();
        let after = self.jobs_of(&[Phase::Schema, Phase::Data, Phase::Indexes, Phase::ForeignKeys, Phase::Finish]);
        self.plan_group(Group { phase: Phase::Finish, label: "event triggers", entries: late, after })?;
        Ok(())
    }
}

fn is_comment_on_policy(entry: &Entry) -> bool {
    entry.is("COMMENT") && entry.tag.starts_with(b"POLICY ")
}
