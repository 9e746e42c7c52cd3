//! Tables that are there, when rows alone are restored (`--data-only`): whether they can be loaded, in which order, what is set aside
//! meanwhile, and how they are emptied if that was asked for.

use std::collections::{BTreeMap, BTreeSet};

use super::look::Looked;
use crate::catalog::{self, SourceFacts, Table};
use crate::execute::clear::{self, Emptied};
use crate::execute::rebase;
use crate::failure::Failure;
use crate::model::{DumpId, Finding, Oid, QualifiedName, SqlText};
use crate::plan::{Existing, Left, Shield};
use crate::preflight::{self, RowsOnly};
use crate::progress::words;

/// What the target has, as far as a plan depends on it.
pub(super) struct There {
    /// Which rows must be there before which.
    order: Vec<(QualifiedName, QualifiedName)>,
    shields: BTreeMap<QualifiedName, Shield>,
    /// What is emptied, if that was asked for.
    emptied: Vec<Emptied>,
}

impl There {
    /// For a plan.
    pub fn left(&self) -> Left {
        Left {
            shields: self.shields.clone(),
            existing: Some(Existing {
                order: self.order.clone(),
            }),
            ..Left::default()
        }
    }
}

impl Looked {
    /// Looks whether the target's tables can take the rows.
    pub async fn look_at_tables(&mut self) -> Result<Vec<Finding>, Failure> {
        let session = &self.target.session;
        let there = catalog::source_facts(session).await?;
        let others = catalog::no_plain_tables(session).await?;
        let triggers = catalog::firing_triggers(session).await?;
        let loaded = &self.archived.facts.tables;
        let emptied = tables(loaded, &there);
        let with_conditions: Vec<(&QualifiedName, Option<&str>)> = emptied
            .iter()
            .map(|one| (&one.table, one.of_extension.as_deref()))
            .chain(
                beside(loaded, &there)
                    .into_iter()
                    .map(|table| (table, None)),
            )
            .collect();
        let filled = catalog::filled(session, &with_conditions).await?;
        let sequences = self.archived.facts.sequences.iter();
        let sequences: Vec<QualifiedName> = sequences.map(|one| one.name.clone()).collect();
        let with_oids = self.rows_with_oids();
        let facts = RowsOnly {
            loaded,
            there: &there,
            others: &others,
            triggers: &triggers,
            filled: &filled,
            with_oids: &with_oids,
            sequences: &sequences,
            objects: &self.objects(),
            database: &self.target.facts.database,
            overwrite: self.wanted.overwrite.as_deref(),
            disable_triggers: self.wanted.disable_triggers,
            superuser: self.target.facts.superuser,
        };
        let findings = preflight::rows_only(&facts);
        let order = facts.order();
        let written: BTreeSet<&QualifiedName> = loaded.iter().map(loaded_into).collect();
        let written: Vec<&QualifiedName> = written.into_iter().collect();
        let mut shields = rebase::shields(session, &written).await?;
        if self.wanted.disable_triggers {
            for table in written {
                let shield = shields.entry(table.clone()).or_default();
                let role = |role: &str| {
                    SqlText::from(format!("set local session_replication_role = {role}"))
                };
                shield.before.push(role("replica"));
                shield.after.push(role("origin"));
            }
        }
        self.existing = Some(There {
            order,
            shields,
            emptied,
        });
        Ok(findings)
    }

    /// Empties the tables that are loaded, and removes the large objects.
    pub async fn empty_tables(&self, sign: &str) -> Result<Option<String>, Failure> {
        let Some(existing) = &self.existing else {
            return Ok(None);
        };
        let objects = self.objects();
        let what = (existing.emptied.as_slice(), objects.as_slice());
        let as_replica = self.wanted.disable_triggers;
        clear::empty_tables(&self.target.session, what, as_replica, sign).await?;
        let tables = words::count(existing.emptied.len() as u64, "table", "tables");
        Ok(Some(format!("emptied {tables} on the target")))
    }

    /// Of the rows that are loaded, those that have their oids with them.
    fn rows_with_oids(&self) -> Vec<QualifiedName> {
        let entries = self.opened.stored.toc.entries.iter();
        let with_oids: BTreeSet<DumpId> = entries
            .filter(|entry| entry.copies_oids())
            .map(|entry| entry.dump_id)
            .collect();
        let rows = self.archived.rows.iter();
        rows.filter(|(_, entry)| with_oids.contains(*entry))
            .map(|(table, _)| table.clone())
            .collect()
    }

    fn objects(&self) -> Vec<Oid> {
        let objects = self.archived.facts.large_objects.iter();
        objects.map(|object| object.oid).collect()
    }
}

fn loaded_into(table: &Table) -> &QualifiedName {
    let root = table.partition_root.as_ref();
    root.filter(|_| table.load_via_root).unwrap_or(&table.name)
}

/// The tables, as far as they are there. Of those that an extension made, some rows are its own.
fn tables(loaded: &[Table], there: &SourceFacts) -> Vec<Emptied> {
    let found: BTreeMap<&QualifiedName, &Table> = there
        .tables
        .iter()
        .map(|table| (&table.name, table))
        .collect();
    let known = loaded.iter().filter_map(|table| found.get(&table.name));
    known
        .map(|table| Emptied {
            table: table.name.clone(),
            of_extension: table
                .extension
                .as_ref()
                .map(|_| table.extension_condition.clone().unwrap_or_default()),
        })
        .collect()
}

/// Partitions of tables that rows are loaded through, as far as their own rows are not loaded.
fn beside<'a>(loaded: &[Table], there: &'a SourceFacts) -> Vec<&'a QualifiedName> {
    let names: BTreeSet<&QualifiedName> = loaded.iter().map(|table| &table.name).collect();
    let through = loaded.iter().filter(|table| table.load_via_root);
    let through: BTreeSet<&QualifiedName> = through.map(loaded_into).collect();
    let is_below = |table: &&Table| {
        let root = table.partition_root.as_ref();
        root.is_some_and(|root| through.contains(root))
    };
    let below = there.tables.iter().filter(is_below);
    below
        .map(|table| &table.name)
        .filter(|name| !names.contains(*name))
        .collect()
}
