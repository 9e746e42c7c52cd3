//! Indexes, and the constraints that stand on an index.
//!
//! A primary key or unique constraint of a large table is made in two steps: `CREATE UNIQUE INDEX`, which several
//! sessions can do on one table at once, then `ADD CONSTRAINT … USING INDEX`, which takes an instant. What the entry said
//! besides (`CLUSTER ON`, `REPLICA IDENTITY`, statistics targets) follows in the same transaction.

use std::collections::BTreeMap;

use super::builder::{Builder, Draft, Group, entry_ref, set_tablespace};
use super::{PlanError, Statement, Work, cost};
use crate::catalog::Index;
use crate::event::Phase;
use crate::model::LockMode;
use crate::model::{Bytes, DumpId, JobId, QualifiedName, SqlText, quote_ident};
use crate::toc::{Entry, split_statements};

/// What any job is taken to use: so small a sort is not worth being measured.
const LEAST_MEMORY: u64 = 16 << 20;
/// What a sort of the server takes for an entry, in bytes: its tuple, and where that is.
const SORTED_ENTRY: u64 = 48;
/// `maintenance_work_mem` beyond this is not used by a sort that fits (and servers before 17 take no more than 2 GB − 1 kB).
const MOST_MEMORY: u64 = (2 << 30) - 1024;

/// An entry that makes an index, with what the catalog says of that index.
struct IndexEntry<'a> {
    entry: &'a Entry,
    index: &'a Index,
}

impl<'a> Builder<'a> {
    /// Jobs for every INDEX and CONSTRAINT entry, except on materialized views, which have no rows yet.
    pub fn plan_indexes(&mut self) -> Result<(), PlanError> {
        let mut bundles: BTreeMap<usize, Vec<IndexEntry<'a>>> = BTreeMap::new();
        for found in self.index_entries() {
            let Some(jobs) = self.tables.get(&found.index.table) else {
                continue;
            };
            match jobs.bundle {
                Some(bundle) => bundles.entry(bundle).or_default().push(found),
                None => self.plan_index(&found)?,
            }
        }
        for entries in bundles.into_values() {
            self.plan_bundle(&entries)?;
        }
        self.plan_other_indexes()
    }

    /// What stands on partitioned tables, which have no rows: made in an instant, then told which index of which
    /// partition is a part of it. In the archive's order, once the partitions have their indexes.
    fn plan_other_indexes(&mut self) -> Result<(), PlanError> {
        let is_index =
            |entry: &Entry| matches!(entry.desc.as_str(), "INDEX" | "CONSTRAINT" | "INDEX ATTACH");
        let on_matview = |table: Option<(DumpId, QualifiedName)>| {
            table.is_some_and(|(id, _)| self.entries[&id].is("MATERIALIZED VIEW"))
        };
        let toc = self.inputs.toc;
        let rest = toc
            .entries
            .iter()
            .filter(|entry| is_index(entry) && !self.placed.contains(&entry.dump_id));
        let entries: Vec<&'a Entry> = rest
            .filter(|entry| !on_matview(self.table_of(entry)))
            .collect();
        let after = self.last_of(&[Phase::Schema, Phase::Data, Phase::Indexes]);
        let group = Group {
            phase: Phase::Indexes,
            label: "indexes of partitioned tables",
            entries,
            after,
        };
        self.partitioned_indexes = self.plan_group(group)?;
        Ok(())
    }

    /// INDEX and CONSTRAINT entries whose index the catalog shows, with their index.
    fn index_entries(&self) -> Vec<IndexEntry<'a>> {
        let facts = self.inputs.facts;
        let by_name: BTreeMap<&QualifiedName, &'a Index> = facts
            .indexes
            .iter()
            .map(|index| (&index.name, index))
            .collect();
        let mut by_constraint: BTreeMap<(&QualifiedName, &str), &'a Index> = BTreeMap::new();
        for index in &facts.indexes {
            if let Some(constraint) = &index.constraint {
                by_constraint.insert((&index.table, constraint), index);
            }
        }
        let find = |entry: &'a Entry| -> Option<IndexEntry<'a>> {
            let index = match entry.desc.as_str() {
                "INDEX" => *by_name.get(&entry.qualified_name()?)?,
                "CONSTRAINT" => {
                    let (_, table) = self.table_of(entry)?;
                    let tag = entry.tag.to_str()?;
                    let constraint = tag.strip_prefix(table.name.as_str())?.strip_prefix(' ')?;
                    *by_constraint.get(&(&table, constraint))?
                }
                _ => return None,
            };
            (!index.partitioned).then_some(IndexEntry { entry, index })
        };
        self.inputs.toc.entries.iter().filter_map(find).collect()
    }

    /// One job for an index, or two for a key: build it, then make it a constraint.
    fn plan_index(&mut self, found: &IndexEntry<'a>) -> Result<(), PlanError> {
        let IndexEntry { entry, index } = found;
        let after = [self.after_dependencies(entry), self.loaded(&index.table)].concat();
        let mut statements = self.statements(entry)?;
        if statements.is_empty() {
            return Ok(());
        }
        let otherwise = self.inputs.options.salvaged.otherwise(&[&index.table]);
        for statement in &mut statements {
            statement.otherwise.clone_from(&otherwise);
        }
        let build = Draft {
            after,
            needs: self.needs(entry),
            cost: cost::index(&index.method, index.bytes),
            memory: self.memory_for(sorted(index)),
            bytes: index.bytes,
            ..Draft::run(
                Phase::Indexes,
                format!("index {}", index.name.shown()),
                statements,
            )
        };
        let job = match self.two_steps(found) {
            None => {
                // ADD CONSTRAINT locks everybody out for as long as it takes to build the index.
                let mode = if entry.is("INDEX") {
                    LockMode::Share
                } else {
                    LockMode::AccessExclusive
                };
                self.add(Draft {
                    locks: vec![(index.table.clone(), mode)],
                    ..build
                })
            }
            Some((unique_index, constraint)) => {
                let locks = vec![(index.table.clone(), LockMode::Share)];
                let unique = self.add(Draft {
                    locks,
                    work: run(vec![unique_index]),
                    ..build
                });
                self.add(Draft {
                    after: vec![unique],
                    needs: constraint.needs.clone(),
                    locks: vec![(index.table.clone(), LockMode::AccessExclusive)],
                    ..Draft::run(
                        Phase::Indexes,
                        format!("key {}", index.name.shown()),
                        vec![constraint],
                    )
                })
            }
        };
        self.note_index(entry, index, job);
        Ok(())
    }

    /// All indexes and keys of a bundle of small tables, in one transaction.
    fn plan_bundle(&mut self, entries: &[IndexEntry<'a>]) -> Result<(), PlanError> {
        let mut statements = Vec::new();
        let mut after: Vec<JobId> = Vec::new();
        for IndexEntry { entry, index } in entries {
            after.extend(self.after_dependencies(entry));
            after.extend(self.loaded(&index.table));
            let otherwise = self.inputs.options.salvaged.otherwise(&[&index.table]);
            let made = self.statements(entry)?.into_iter();
            statements.extend(made.map(|statement| Statement {
                otherwise: otherwise.clone(),
                ..statement
            }));
        }
        let bytes: Bytes = entries.iter().map(|found| found.index.bytes).sum();
        let mut locks: Vec<_> = entries
            .iter()
            .map(|found| (found.index.table.clone(), LockMode::AccessExclusive))
            .collect();
        locks.sort();
        locks.dedup();
        let label = format!("{} indexes of {} small tables", entries.len(), locks.len());
        let job = self.add(Draft {
            after,
            cost: cost::statements(statements.len()) + cost::index("btree", bytes),
            memory: Bytes(LEAST_MEMORY),
            locks,
            bytes,
            ..Draft::run(Phase::Indexes, label, statements)
        });
        for IndexEntry { entry, index } in entries {
            self.note_index(entry, index, job);
        }
        Ok(())
    }

    fn note_index(&mut self, entry: &Entry, index: &Index, job: JobId) {
        self.entry_jobs.insert(entry.dump_id, job);
        self.tables
            .entry(index.table.clone())
            .or_default()
            .indexed
            .push(job);
    }

    /// The two statements for a key that can be made in two steps.
    fn two_steps(&mut self, found: &IndexEntry<'_>) -> Option<(Statement, Statement)> {
        let IndexEntry { entry, index } = found;
        let kind = match index.constraint_kind {
            Some('p') => "primary key",
            Some('u') => "unique",
            _ => return None,
        };
        // A temporal key (18) stands on a GiST index, which USING INDEX does not take.
        if !entry.is("CONSTRAINT")
            || index.method != "btree"
            || !index.definition.is_ascii() && self.inputs.source.encoding == "SQL_ASCII"
        {
            return None;
        }
        let split = split_statements(entry.defn_bytes(), self.inputs.toc.std_strings());
        let parts = split.ok()?;
        let (_, rest) = parts.split_first()?;
        let name = quote_ident(&index.name.name);
        let mut sql = format!(
            "alter table only {} add constraint {name} {kind} using index {name}",
            index.table
        );
        if index.deferrable {
            sql.push_str(if index.deferred {
                " deferrable initially deferred"
            } else {
                " deferrable"
            });
        }
        let mut constraint = sql.into_bytes();
        for part in rest {
            constraint.extend_from_slice(b";\n");
            constraint.extend_from_slice(part);
        }
        let tablespace = entry
            .tablespace
            .as_ref()
            .filter(|_| !self.inputs.options.restore.no_tablespaces);
        let prelude = self.shared(tablespace.map(set_tablespace).unwrap_or_default());
        let statement = |prelude, sql: Vec<u8>, needs: Vec<DumpId>| Statement {
            entry: Some(entry_ref(entry)),
            needs,
            prelude,
            sql: SqlText::from(sql),
            otherwise: self.inputs.options.salvaged.otherwise(&[&index.table]),
        };
        let unique_index = index.definition.as_bytes().to_vec();
        Some((
            statement(prelude, unique_index, self.needs(entry)),
            statement(None, constraint, self.needs_of_second_half(entry)),
        ))
    }

    /// `maintenance_work_mem` for who sorts so much: enough to do it in memory, within the worker's share.
    pub fn memory_for(&self, sorted: Bytes) -> Bytes {
        let options = self.inputs.options;
        let share = options.memory.0 / u64::from(options.jobs.max(1));
        Bytes(
            sorted
                .0
                .clamp(LEAST_MEMORY, share.clamp(LEAST_MEMORY, MOST_MEMORY)),
        )
    }

    /// The jobs after which a table's rows are in.
    pub fn loaded(&self, table: &QualifiedName) -> Vec<JobId> {
        self.tables
            .get(table)
            .map(|jobs| jobs.loaded.clone())
            .unwrap_or_default()
    }
}

/// What the entries of an index take while they are sorted. An index that keeps equal keys once is much smaller than that.
fn sorted(index: &Index) -> Bytes {
    Bytes((index.bytes.0 * 2).max(index.entries.0.saturating_mul(SORTED_ENTRY)))
}

fn run(statements: Vec<Statement>) -> Work {
    Work::Run {
        statements,
        settings: Vec::new(),
    }
}
