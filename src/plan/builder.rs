//! Numbers the jobs, and remembers which table and which entry each of them serves.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::format::Formats;
use super::schema::BATCH;
use super::{Comparison, CopyUnit, Inputs, Job, Plan, PlanError, Statement, Work, cost};
use crate::catalog::Table;
use crate::event::{EntryRef, Phase};
use crate::model::LockMode;
use crate::model::{Bytes, DumpId, JobId, QualifiedName, Rows, SqlText, VerifyLevel};
use crate::toc::{Entry, Restore, Text, restore_statements};

/// What is known of a table while the plan grows.
#[derive(Debug, Default)]
pub(super) struct TableJobs {
    /// Jobs after which its rows are in, and an index may be built.
    pub loaded: Vec<JobId>,
    /// Jobs that copy its rows; for a chunked table, all of them.
    pub copied: Vec<JobId>,
    /// Jobs that build its indexes and the constraints on them.
    pub indexed: Vec<JobId>,
    /// The job that analyzes it.
    pub analyzed: Option<JobId>,
    /// Jobs that read it back.
    pub compared: Vec<JobId>,
    /// Which bundle of small tables it is in.
    pub bundle: Option<usize>,
    /// Bytes stored on the source.
    pub bytes: Bytes,
}

/// A plan under construction.
pub(super) struct Builder<'a> {
    pub inputs: &'a Inputs<'a>,
    /// Tables of the catalog by name.
    pub facts_by_name: BTreeMap<&'a QualifiedName, &'a Table>,
    pub formats: Formats<'a>,
    /// Entries by dump id.
    pub entries: HashMap<DumpId, &'a Entry>,
    /// `TABLE` and `MATERIALIZED VIEW` entries by name.
    pub relations: BTreeMap<QualifiedName, DumpId>,
    /// Entries that already have a job.
    pub placed: HashSet<DumpId>,
    /// The jobs each entry is done by.
    pub entry_jobs: HashMap<DumpId, JobId>,
    /// The last batch of pre-data; everything else comes after it.
    pub schema_done: Vec<JobId>,
    /// The jobs after which the indexes of partitioned tables are complete.
    pub partitioned_indexes: Vec<JobId>,
    /// Jobs by table.
    pub tables: BTreeMap<QualifiedName, TableJobs>,
    pub units: Vec<CopyUnit>,
    pub comparisons: Vec<Comparison>,
    pub excluded: Vec<QualifiedName>,
    pub notes: Vec<String>,
    pub left_out: Vec<(EntryRef, String)>,
    /// Settings that statements rely on.
    preludes: HashSet<SqlText>,
    jobs: Vec<Job>,
}

impl<'a> Builder<'a> {
    pub fn new(inputs: &'a Inputs<'a>) -> Result<Self, PlanError> {
        let mut relations = BTreeMap::new();
        for entry in &inputs.toc.entries {
            if matches!(entry.desc.as_str(), "TABLE" | "MATERIALIZED VIEW") {
                let name = entry.qualified_name();
                let name = name.ok_or_else(|| PlanError::NameNotUtf8 {
                    what: entry.to_string(),
                })?;
                relations.insert(name, entry.dump_id);
            }
        }
        Ok(Self {
            formats: Formats {
                types: &inputs.facts.types,
                encoding: &inputs.source.encoding,
                source: inputs.source.version,
                target: inputs.target.version,
                archived: inputs.archive.is_some(),
            },
            entries: inputs
                .toc
                .entries
                .iter()
                .map(|entry| (entry.dump_id, entry))
                .collect(),
            relations,
            facts_by_name: inputs
                .facts
                .tables
                .iter()
                .map(|table| (&table.name, table))
                .collect(),
            inputs,
            placed: HashSet::new(),
            entry_jobs: HashMap::new(),
            schema_done: Vec::new(),
            partitioned_indexes: Vec::new(),
            tables: BTreeMap::new(),
            units: Vec::new(),
            comparisons: Vec::new(),
            excluded: Vec::new(),
            notes: Vec::new(),
            left_out: Vec::new(),
            preludes: HashSet::new(),
            jobs: Vec::new(),
        })
    }

    /// All steps, in the order in which each builds on the one before.
    pub fn build(mut self) -> Result<Plan, PlanError> {
        self.place_large_objects();
        if let Some(existing) = &self.inputs.options.left.existing {
            self.plan_rows_only(existing)?;
        } else {
            self.plan_schema()?;
            self.set_checks_aside();
            self.plan_data()?;
            self.plan_large_objects();
            self.plan_indexes()?;
            self.plan_statistics();
            self.plan_foreign_keys()?;
            self.plan_row_counts();
            self.put_checks_back();
            self.plan_matviews()?;
            self.plan_sequences();
            self.plan_finish()?;
        }
        let options = self.inputs.options;
        let large_object_bytes = self.large_object_bytes();
        Ok(Plan {
            format: 1,
            workers: options.jobs,
            verify: options.verify,
            client_encoding: client_encoding(&self.inputs.source.encoding).to_owned(),
            memory: options.memory,
            tables: self.units,
            large_object_bytes,
            comparisons: self.comparisons,
            excluded: self.excluded,
            notes: self.notes,
            left_out: self.left_out,
            jobs: self.jobs,
        })
    }

    /// Adds a job and returns its number.
    pub fn add(&mut self, draft: Draft) -> JobId {
        let id = JobId(u32::try_from(self.jobs.len()).unwrap_or(u32::MAX));
        let mut after = draft.after;
        after.sort_unstable();
        after.dedup();
        self.jobs.push(Job {
            id,
            phase: draft.phase,
            label: draft.label,
            work: draft.work,
            after,
            needs: draft.needs,
            cost: draft.cost,
            locks: draft.locks,
            memory: draft.memory,
            bytes: draft.bytes,
            rows: draft.rows,
        });
        id
    }

    /// Has a job wait for others.
    pub fn wait(&mut self, job: JobId, others: &[JobId]) {
        let place = usize::try_from(job.0).ok();
        if let Some(job) = place.and_then(|place| self.jobs.get_mut(place)) {
            job.after.extend(others);
            job.after.sort_unstable();
            job.after.dedup();
        }
    }

    /// Whether the source is read or counted to be compared. There is none where rows come from an archive: what that holds is known
    /// from its files.
    pub fn verifies_against_source(&self) -> bool {
        self.inputs.options.verify != VerifyLevel::None && self.inputs.archive.is_none()
    }

    /// The jobs after which all jobs of these phases are over.
    pub fn last_of(&self, phases: &[Phase]) -> Vec<JobId> {
        let of_phases = self.jobs.iter().filter(|job| phases.contains(&job.phase));
        self.last_among(of_phases.map(|job| job.id).collect())
    }

    /// The jobs after which all of these are over: those that no other of them waits for. Who waits for everything waits for
    /// these, or a plan would be full of long lists of jobs that are waited for anyway.
    pub fn last_among(&self, mut jobs: Vec<JobId>) -> Vec<JobId> {
        let place = |id: JobId| usize::try_from(id.0).unwrap_or(usize::MAX);
        let mut waited_for = vec![false; self.jobs.len()];
        for job in jobs.iter().filter_map(|&id| self.jobs.get(place(id))) {
            for &id in &job.after {
                waited_for[place(id)] = true;
            }
        }
        jobs.retain(|&id| !waited_for[place(id)]);
        jobs.sort_unstable();
        jobs.dedup();
        jobs
    }

    /// How to restore an entry; `None` if it is left out, which is noted.
    pub fn restore(&mut self, entry: &Entry) -> Result<Option<Restore>, PlanError> {
        let restore = restore_statements(self.inputs.toc, entry, &self.inputs.options.restore)
            .map_err(|source| PlanError::Entry {
                entry: entry.to_string(),
                source,
            })?;
        if let Some(because) = restore.left_out {
            if !because.contains("describes the archive") {
                self.left_out.push((entry_ref(entry), because.to_owned()));
            }
            return Ok(None);
        }
        Ok(Some(restore))
    }

    /// An entry as statements to run; empty if it is left out or makes nothing.
    pub fn statements(&mut self, entry: &Entry) -> Result<Vec<Statement>, PlanError> {
        self.placed.insert(entry.dump_id);
        let Some(restore) = self.restore(entry)? else {
            return Ok(Vec::new());
        };
        let prelude = self.shared(prelude(&restore));
        let needs = self.needs(entry);
        let statement = |sql: SqlText| Statement {
            entry: Some(entry_ref(entry)),
            needs: needs.clone(),
            prelude: prelude.clone(),
            sql,
            otherwise: None,
        };
        Ok(restore.statements.into_iter().map(statement).collect())
    }

    /// A prelude as all that begin so have it; `None` if it is empty.
    pub fn shared(&mut self, prelude: Vec<u8>) -> Option<SqlText> {
        if prelude.is_empty() {
            return None;
        }
        let prelude = SqlText::from(prelude);
        if let Some(known) = self.preludes.get(&prelude) {
            return Some(known.clone());
        }
        self.preludes.insert(prelude.clone());
        Some(prelude)
    }

    /// The entries of this archive that an entry depends on.
    pub fn needs(&self, entry: &Entry) -> Vec<DumpId> {
        entry
            .dependencies
            .iter()
            .copied()
            .filter(|id| self.entries.contains_key(id))
            .collect()
    }

    /// What the second half of an entry needs that is made in two steps: the first half as well.
    pub fn needs_of_second_half(&self, entry: &Entry) -> Vec<DumpId> {
        let mut needs = self.needs(entry);
        needs.push(entry.dump_id);
        needs
    }

    /// The jobs that make what an entry depends on.
    pub fn after_dependencies(&self, entry: &Entry) -> Vec<JobId> {
        let mut after: Vec<JobId> = entry
            .dependencies
            .iter()
            .filter_map(|id| self.entry_jobs.get(id))
            .copied()
            .collect();
        after.extend(&self.schema_done);
        after
    }

    /// Batches of statements, one after the other; returns the last one.
    pub fn plan_group(&mut self, group: Group<'a>) -> Result<Vec<JobId>, PlanError> {
        let Group {
            phase,
            label,
            entries,
            mut after,
        } = group;
        let mut statements: Vec<(Statement, Option<QualifiedName>)> = Vec::new();
        for entry in entries {
            if self.placed.contains(&entry.dump_id) {
                continue;
            }
            let table = self.table_of(entry).map(|(_, table)| table);
            let made = self.statements(entry)?.into_iter();
            statements.extend(made.map(|statement| (statement, table.clone())));
        }
        let mut statements = statements.into_iter();
        while statements.len() > 0 {
            let batch = statements.by_ref().take(BATCH);
            let (batch, tables): (Vec<Statement>, Vec<_>) = batch.unzip();
            let lock = |table| (table, LockMode::AccessExclusive);
            let mut locks: Vec<_> = tables.into_iter().flatten().map(lock).collect();
            locks.sort();
            locks.dedup();
            let label = format!("{} statements: {label}", batch.len());
            let made: Vec<DumpId> = entries_of(&batch).collect();
            let job = self.add(Draft {
                after,
                locks,
                ..Draft::run(phase, label, batch)
            });
            self.entry_jobs
                .extend(made.into_iter().map(|entry| (entry, job)));
            after = vec![job];
        }
        Ok(after)
    }

    /// The table an entry is on: the first of its dependencies that is one.
    pub fn table_of(&self, entry: &Entry) -> Option<(DumpId, QualifiedName)> {
        let table = |id: &DumpId| {
            let entry = self.entries.get(id)?;
            let is_relation = matches!(
                entry.desc.as_str(),
                "TABLE" | "MATERIALIZED VIEW" | "FOREIGN TABLE" | "VIEW"
            );
            is_relation
                .then(|| entry.qualified_name().map(|name| (*id, name)))
                .flatten()
        };
        entry.dependencies.iter().find_map(table)
    }
}

/// Remaining entries that are run one after the other, what they are called, and what they wait for.
pub(super) struct Group<'a> {
    pub phase: Phase,
    pub label: &'static str,
    pub entries: Vec<&'a Entry>,
    pub after: Vec<JobId>,
}

/// A job without its number.
pub(super) struct Draft {
    pub phase: Phase,
    pub label: String,
    pub work: Work,
    pub after: Vec<JobId>,
    pub needs: Vec<DumpId>,
    pub cost: u64,
    pub locks: Vec<(QualifiedName, LockMode)>,
    pub memory: Bytes,
    pub bytes: Bytes,
    pub rows: Rows,
}

impl Draft {
    /// A job with nothing but what every job has; it takes as long as a statement.
    pub fn new(phase: Phase, label: impl Into<String>, work: Work) -> Self {
        Self {
            phase,
            label: label.into(),
            cost: cost::statements(1),
            work,
            after: Vec::new(),
            needs: Vec::new(),
            locks: Vec::new(),
            memory: Bytes(0),
            bytes: Bytes(0),
            rows: Rows(0),
        }
    }

    /// A job that runs statements in one transaction.
    pub fn run(phase: Phase, label: impl Into<String>, statements: Vec<Statement>) -> Self {
        let cost = cost::statements(statements.len());
        let work = Work::Run {
            statements,
            settings: Vec::new(),
        };
        Self {
            cost,
            ..Self::new(phase, label, work)
        }
    }
}

fn entries_of(statements: &[Statement]) -> impl Iterator<Item = DumpId> {
    let entries = statements.iter().filter_map(|one| one.entry.as_ref());
    entries.map(|entry| entry.dump_id)
}

/// How messages refer to an entry.
pub(super) fn entry_ref(entry: &Entry) -> EntryRef {
    let tag = match &entry.namespace {
        Some(schema) if !schema.is_empty() => format!("{schema} {}", entry.tag_lossy()),
        _ => entry.tag_lossy(),
    };
    let owner = entry.owner.as_ref().map(Text::to_string_lossy);
    EntryRef {
        dump_id: entry.dump_id,
        desc: entry.desc.clone(),
        tag,
        owner: owner.unwrap_or_default().into(),
    }
}

/// Statements and COPY run in UTF-8, except where the source has no encoding and its bytes are just bytes.
pub(super) fn client_encoding(source: &str) -> &str {
    if source == "SQL_ASCII" {
        "SQL_ASCII"
    } else {
        "UTF8"
    }
}

/// The settings that an entry's statements rely on, local to their transaction, and set for every entry that has storage:
/// the one before it in the transaction may have set others.
fn prelude(restore: &Restore) -> Vec<u8> {
    let mut sql = Vec::new();
    if let Some(tablespace) = &restore.tablespace {
        sql.extend(set_tablespace(tablespace));
    }
    if let Some(method) = &restore.table_access_method {
        sql.extend(set_local("default_table_access_method", &method.quoted()));
    }
    if let Some(schema) = &restore.search_path {
        let path = [schema.quoted(), b", pg_catalog".to_vec()].concat();
        sql.extend(set_local("search_path", &path));
    }
    sql
}

/// Where what follows is stored. Empty is the database's own tablespace, and is said as well: the role or the target may have
/// another default.
pub(super) fn set_tablespace(tablespace: &Text) -> Vec<u8> {
    let quoted = if tablespace.is_empty() {
        b"''".to_vec()
    } else {
        tablespace.quoted()
    };
    set_local("default_tablespace", &quoted)
}

fn set_local(name: &str, quoted: &[u8]) -> Vec<u8> {
    let statement: [&[u8]; 5] = [b"set local ", name.as_bytes(), b" = ", quoted, b";\n"];
    statement.concat()
}
