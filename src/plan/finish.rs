//! Everything else, in `pg_restore`'s order: what is left of post-data, sequences, policies, grants, event triggers.
//!
//! ```text
//!   triggers, rules, comments, …  ──►  policies, row security  ──►  grants  ──►  late materialized views, event triggers
//!   (after indexes and foreign keys)   (after the tables were read back: row security would hide rows from an owner)
//! ```

use std::collections::{BTreeMap, HashSet};

use super::builder::{Builder, Draft, Group};
use super::{PlanError, Statement};
use crate::event::Phase;
use crate::model::{DumpId, JobId, QualifiedName, SqlText, quote_literal};
use crate::toc::{Entry, RestorePass};

/// `setval` calls of one transaction.
const SEQUENCES_PER_JOB: usize = 500;

/// Every phase whose jobs change the target.
const BUILDING: [Phase; 5] = [
    Phase::Schema,
    Phase::Data,
    Phase::Indexes,
    Phase::ForeignKeys,
    Phase::Finish,
];

impl<'a> Builder<'a> {
    /// Where the sequences stand. They are read once, with the schema: a sequence does not follow snapshots.
    pub fn plan_sequences(&mut self) {
        let entries = self
            .inputs
            .toc
            .entries
            .iter()
            .filter(|entry| entry.is("SEQUENCE"));
        let dumped: BTreeMap<QualifiedName, DumpId> = entries
            .filter_map(|entry| Some((entry.qualified_name()?, entry.dump_id)))
            .collect();
        let entries = self.inputs.toc.entries.iter();
        let extensions: BTreeMap<&[u8], DumpId> = entries
            .filter(|entry| entry.is("EXTENSION"))
            .map(|entry| (&*entry.tag, entry.dump_id))
            .collect();
        let mut statements: Vec<Statement> = Vec::new();
        for sequence in &self.inputs.facts.sequences {
            // A sequence of an extension has no entry; the extension makes it, and its value is the user's.
            let by_extension = || extensions.get(sequence.extension.as_ref()?.as_bytes());
            let made = dumped.get(&sequence.name).or_else(by_extension).copied();
            // That an archive says where it stands is all that is needed: if nothing makes it, that fails by its name.
            if made.is_none() && self.inputs.archive.is_none() {
                continue;
            }
            if self.inputs.options.exclude_data.contains(&sequence.name) {
                continue;
            }
            let name = quote_literal(&sequence.name.to_string());
            let sql = format!(
                "select pg_catalog.setval({name}, {}, {})",
                sequence.last_value, sequence.is_called
            );
            statements.push(Statement {
                entry: None,
                needs: made.into_iter().collect(),
                prelude: None,
                sql: SqlText::from(sql),
                otherwise: None,
            });
        }
        for batch in statements.chunks(SEQUENCES_PER_JOB) {
            let label = format!("{} sequences", batch.len());
            self.add(Draft {
                after: self.schema_done.clone(),
                ..Draft::run(Phase::Finish, label, batch.to_vec())
            });
        }
    }

    /// All entries that have no job yet.
    pub fn plan_finish(&mut self) -> Result<(), PlanError> {
        let placed = |entry: &&Entry| self.placed.contains(&entry.dump_id);
        let rest: Vec<&'a Entry> = self
            .inputs
            .toc
            .entries
            .iter()
            .filter(|entry| !placed(entry))
            .collect();
        let in_pass = |pass| {
            rest.iter()
                .copied()
                .filter(move |entry| entry.restore_pass() == pass)
        };
        let waiting = self.waiting_for_late_matviews();
        let (behind, main): (Vec<&'a Entry>, Vec<&'a Entry>) =
            in_pass(RestorePass::Main).partition(|entry| waiting.contains(&entry.dump_id));
        let (policies, main): (Vec<&'a Entry>, Vec<&'a Entry>) = main
            .into_iter()
            .partition(|entry| belongs_to_row_security(entry));
        let grants: Vec<&'a Entry> = in_pass(RestorePass::Acl).collect();
        let late: Vec<&'a Entry> = in_pass(RestorePass::PostAcl).collect();

        let mut done =
            self.plan_last("triggers, rules, comments", main, self.last_of(&BUILDING))?;
        let mut after = done.clone();
        let tables: Vec<QualifiedName> = policies
            .iter()
            .filter_map(|entry| self.table_of(entry))
            .map(|(_, table)| table)
            .collect();
        after.extend(
            tables
                .iter()
                .filter_map(|table| self.tables.get(table))
                .flat_map(|jobs| &jobs.compared),
        );
        done.extend(self.plan_last("row security", policies, after)?);
        // An owner may have taken rights from itself that reading the tables back needs; a superuser needs none.
        if !self.inputs.target.superuser {
            done.extend(self.last_of(&[Phase::Verify]));
        }
        let mut before_grants = done.clone();
        before_grants.extend(self.plan_public(&grants, &done));
        let granted = self.plan_last("grants", grants, before_grants)?;
        done.extend(granted);
        self.plan_late_matviews(&done)?;
        self.plan_last(
            "what belongs to late materialized views",
            behind,
            self.last_of(&BUILDING),
        )?;
        self.plan_last("event triggers", late, self.last_of(&BUILDING))?;
        Ok(())
    }

    /// Since 15, `pg_dump` writes grants on schema public as what differs from a new database of 15, in which not everybody
    /// may create things there. An older target is made like that first, or everybody still may.
    fn plan_public(&mut self, grants: &[&'a Entry], after: &[JobId]) -> Option<JobId> {
        let dumped_by = self.inputs.toc.header.dump_version.as_deref()?;
        let dumped_by = std::str::from_utf8(dumped_by).ok()?;
        let major: u32 = dumped_by.split('.').next()?.trim().parse().ok()?;
        if major < 15 || self.inputs.target.version.major() >= 15 {
            return None;
        }
        let on_public = |entry: &&&Entry| entry.is("ACL") && &*entry.tag == b"SCHEMA public";
        let entry = grants.iter().find(on_public)?;
        let revoke = Statement {
            entry: None,
            needs: entry.dependencies.to_vec(),
            prelude: None,
            sql: SqlText::from("revoke create on schema public from public"),
            otherwise: None,
        };
        Some(self.add(Draft {
            after: after.to_vec(),
            ..Draft::run(
                Phase::Finish,
                "schema public as pg_dump takes it to be".to_owned(),
                vec![revoke],
            )
        }))
    }

    /// Entries on materialized views that can only be refreshed after the grants, and entries that need one of these.
    fn waiting_for_late_matviews(&self) -> HashSet<DumpId> {
        let late = self.late_matviews();
        let mut waiting: HashSet<DumpId> = HashSet::new();
        // The archive is sorted: what an entry needs stands before it.
        for entry in self
            .inputs
            .toc
            .entries
            .iter()
            .filter(|entry| !self.placed.contains(&entry.dump_id))
        {
            let is_index =
                entry.is("INDEX") && entry.dependencies.iter().any(|id| late.contains(id));
            if is_index
                || late.contains(&entry.dump_id)
                || entry.dependencies.iter().any(|id| waiting.contains(id))
            {
                waiting.insert(entry.dump_id);
            }
        }
        waiting
    }

    fn plan_last(
        &mut self,
        label: &'static str,
        entries: Vec<&'a Entry>,
        after: Vec<JobId>,
    ) -> Result<Vec<JobId>, PlanError> {
        self.plan_group(Group {
            phase: Phase::Finish,
            label,
            entries,
            after,
        })
    }
}

fn belongs_to_row_security(entry: &Entry) -> bool {
    matches!(entry.desc.as_str(), "POLICY" | "ROW SECURITY")
        || entry.is("COMMENT") && entry.tag.starts_with(b"POLICY ")
}
