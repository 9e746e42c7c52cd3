//! Materialized views: refreshed in the order in which they read each other, then indexed and analyzed.
//!
//! A refresh waits for the rows of all tables, not only of those that the catalog says it reads: a function may read
//! others, and would quietly see them half loaded. It waits for the grants as well if it reads what belongs to another
//! role, because it runs with its owner's rights; and for the rules if it reads a view that one of them makes.

use std::collections::{BTreeMap, HashSet};

use super::builder::{Builder, Draft};
use super::{Comparison, PlanError, Statement, Work, cost};
use crate::catalog::Matview;
use crate::event::Phase;
use crate::model::LockMode;
use crate::model::{Bytes, CopyFormat, DumpId, JobId, Oid, QualifiedName, SqlText};
use crate::toc::Entry;

/// How the error begins of a refresh that has written to tables.
pub const HAS_WRITTEN: &str = "a function that it calls has written to ";

impl<'a> Builder<'a> {
    /// Refresh jobs, and what follows them. Those that need grants are left to [`Builder::plan_late_matviews`].
    pub fn plan_matviews(&mut self) -> Result<(), PlanError> {
        self.plan_refreshes(&[], false)
    }

    /// The others, once the grants and everything else is in place.
    pub fn plan_late_matviews(&mut self, grants: &[JobId]) -> Result<(), PlanError> {
        self.plan_refreshes(grants, true)
    }

    /// The entries of those materialized views.
    pub fn late_matviews(&self) -> HashSet<DumpId> {
        let late = self.late();
        let views = self.inputs.facts.matviews.iter();
        let late = views.filter(|view| late.contains(&view.oid));
        late.filter_map(|view| self.relations.get(&view.name))
            .copied()
            .collect()
    }

    /// The materialized views that are refreshed last: those that need grants, those that read a view which is made late, and
    /// those that read one of these. Of an archive all of them, as `pg_restore` has it: nothing tells afterwards whether one was
    /// filled too early.
    fn late(&self) -> HashSet<Oid> {
        let views = || self.inputs.facts.matviews.iter();
        if self.inputs.archive.is_some() {
            return views().map(|view| view.oid).collect();
        }
        let made_late = self.views_made_late();
        let reads = |view: &Matview, oids: &HashSet<Oid>| {
            view.inputs.iter().any(|input| oids.contains(input))
        };
        let mut late: HashSet<Oid> = views()
            .filter(|view| view.reads_foreign_property || reads(view, &made_late))
            .map(|view| view.oid)
            .collect();
        loop {
            let before = late.len();
            let further = views()
                .filter(|view| reads(view, &late))
                .map(|view| view.oid);
            let further: Vec<Oid> = further.collect();
            late.extend(further);
            if late.len() == before {
                return late;
            }
        }
    }

    /// Views whose query comes as a rule, behind the constraint that it needs (GROUP BY a primary key): until then they are
    /// there, and give a row of NULLs.
    fn views_made_late(&self) -> HashSet<Oid> {
        let entries = self.inputs.toc.entries.iter();
        let rules = entries.filter(|entry| entry.is("RULE") && entry.tag.ends_with(b" _RETURN"));
        let dependencies = rules.flat_map(|rule| &rule.dependencies);
        dependencies
            .filter_map(|id| self.entries.get(id))
            .filter(|entry| entry.is("VIEW"))
            .map(|entry| entry.oid)
            .collect()
    }

    fn plan_refreshes(&mut self, grants: &[JobId], late: bool) -> Result<(), PlanError> {
        let facts = self.inputs.facts;
        let by_oid: BTreeMap<Oid, &'a Matview> =
            facts.matviews.iter().map(|view| (view.oid, view)).collect();
        let last = self.late();
        for matview in in_order(&facts.matviews, &by_oid) {
            let is_late = last.contains(&matview.oid);
            if is_late == late && self.relations.contains_key(&matview.name) {
                self.plan_matview(matview, &by_oid, grants)?;
            }
        }
        Ok(())
    }

    fn plan_matview(
        &mut self,
        matview: &'a Matview,
        by_oid: &BTreeMap<Oid, &'a Matview>,
        grants: &[JobId],
    ) -> Result<(), PlanError> {
        let entry = self.entries[&self.relations[&matview.name]];
        let mut created: Vec<JobId> = self.after_dependencies(entry);
        if !self.placed.contains(&entry.dump_id) {
            // Its definition needs a primary key (GROUP BY), so pg_dump put it behind the data.
            let statements = self.statements(entry)?;
            let create = Draft::run(
                Phase::Finish,
                format!("materialized view {}", matview.name.shown()),
                statements,
            );
            created = vec![self.add(Draft {
                after: created,
                needs: self.needs(entry),
                ..create
            })];
        }
        self.entry_jobs
            .extend(created.last().map(|&job| (entry.dump_id, job)));
        let mut ready = created;
        if matview.populated {
            ready = vec![self.plan_refresh(matview, by_oid, [ready, grants.to_vec()].concat())];
            self.entry_jobs
                .extend(ready.last().map(|&job| (entry.dump_id, job)));
        }
        let jobs = self.tables.entry(matview.name.clone()).or_default();
        jobs.loaded = ready;
        jobs.bytes = matview.bytes;
        self.index_and_analyze(matview)
    }

    fn plan_refresh(
        &mut self,
        matview: &Matview,
        by_oid: &BTreeMap<Oid, &'a Matview>,
        mut after: Vec<JobId>,
    ) -> JobId {
        let tables = self.tables.values();
        let mut before = self.last_of(&[Phase::Data]);
        before.extend(tables.flat_map(|jobs| jobs.loaded.iter().copied().chain(jobs.analyzed)));
        after.extend(self.last_among(before));
        let inputs = matview.inputs.iter().filter_map(|oid| by_oid.get(oid));
        let needs = inputs
            .filter_map(|input| self.relations.get(&input.name))
            .copied()
            .collect();
        let entry = self.relations[&matview.name];
        let statement = Statement {
            entry: Some(super::builder::entry_ref(self.entries[&entry])),
            needs: vec![entry],
            prelude: None,
            sql: refresh(matview),
            otherwise: None,
        };
        let label = format!("refresh {}", matview.name.shown());
        let work = Work::Run {
            statements: vec![statement],
            settings: self.settings_of_queries(),
        };
        self.add(Draft {
            after,
            needs,
            cost: cost::refresh(matview.bytes, self.read_by(matview)),
            locks: vec![(matview.name.clone(), LockMode::AccessExclusive)],
            memory: self.memory_for(Bytes(matview.bytes.0 * 2)),
            bytes: matview.bytes,
            rows: matview.row_estimate,
            ..Draft::new(Phase::Finish, label, work)
        })
    }

    /// What a view's query is run with. An archive does not say what it was on the source: then it is what the target's sessions have.
    fn settings_of_queries(&self) -> Vec<(String, String)> {
        let (source, target) = (self.inputs.source, self.inputs.target);
        match self.inputs.archive {
            Some(_) => target.value_settings.clone(),
            None => source.settings_of_queries(target),
        }
    }

    /// How large everything is that its query reads.
    fn read_by(&self, matview: &Matview) -> Bytes {
        let facts = self.inputs.facts;
        let tables = facts.tables.iter().map(|table| (table.oid, table.total));
        let views = facts.matviews.iter().map(|view| (view.oid, view.bytes));
        let read = tables
            .chain(views)
            .filter(|(oid, _)| matview.inputs.contains(oid));
        read.map(|(_, bytes)| bytes).sum()
    }

    fn index_and_analyze(&mut self, matview: &Matview) -> Result<(), PlanError> {
        let on_it = |entry: &&'a Entry| {
            entry.is("INDEX")
                && self
                    .table_of(entry)
                    .is_some_and(|(_, table)| table == matview.name)
        };
        let entries: Vec<&'a Entry> = self.inputs.toc.entries.iter().filter(on_it).collect();
        for entry in entries {
            let after = [self.after_dependencies(entry), self.loaded(&matview.name)].concat();
            let statements = self.statements(entry)?;
            let job = self.add(Draft {
                after,
                needs: self.needs(entry),
                memory: self.memory_for(Bytes(matview.bytes.0 * 2)),
                locks: vec![(matview.name.clone(), LockMode::AccessExclusive)],
                cost: cost::index("btree", matview.bytes),
                ..Draft::run(
                    Phase::Indexes,
                    format!("index {}", entry.tag_lossy()),
                    statements,
                )
            });
            self.entry_jobs.insert(entry.dump_id, job);
            self.tables
                .entry(matview.name.clone())
                .or_default()
                .indexed
                .push(job);
        }
        if matview.populated {
            self.plan_matview_comparison(matview);
            let jobs = &self.tables[&matview.name];
            let after = [jobs.loaded.clone(), jobs.indexed.clone()].concat();
            let sql = SqlText::from(format!("analyze {}", matview.name));
            let job = self.add(Draft {
                after,
                needs: vec![self.relations[&matview.name]],
                cost: cost::read(matview.bytes),
                locks: vec![(matview.name.clone(), LockMode::ShareUpdateExclusive)],
                ..Draft::run(
                    Phase::Finish,
                    format!("analyze {}", matview.name.shown()),
                    vec![Statement {
                        entry: None,
                        needs: Vec::new(),
                        prelude: None,
                        sql,
                        otherwise: None,
                    }],
                )
            });
            self.tables
                .entry(matview.name.clone())
                .or_default()
                .analyzed = Some(job);
        }
        Ok(())
    }

    /// A table whose rows are left out, or not all there, among those that it reads, also through other materialized views.
    fn excluded_input(&self, matview: &Matview) -> Option<&'a QualifiedName> {
        let facts = self.inputs.facts;
        let options = self.inputs.options;
        let excluded = |name: &QualifiedName| {
            options.exclude_data.contains(name) || options.salvaged.lossy.contains(name)
        };
        let mut tables = facts.tables.iter().filter(|table| excluded(&table.name));
        let direct = tables.find(|table| matview.inputs.contains(&table.oid));
        // A view cannot read itself, so this ends.
        let views = || {
            facts
                .matviews
                .iter()
                .filter(|view| matview.inputs.contains(&view.oid))
        };
        direct
            .map(|table| &table.name)
            .or_else(|| views().find_map(|view| self.excluded_input(view)))
    }

    /// What a refreshed view holds must be what the source's view holds or, as that may be out of date, the result of its query
    /// in the snapshot. That is held until then: a query that the source needs not run again is worth more.
    fn plan_matview_comparison(&mut self, matview: &Matview) {
        if !self.verifies_against_source() {
            return;
        }
        if self
            .inputs
            .options
            .salvaged
            .matviews
            .contains(&matview.name)
        {
            self.notes.push(format!(
                "materialized view {} is damaged on the source: it is refreshed, and not compared",
                matview.name.shown()
            ));
            return;
        }
        // Without the rows of a table that it reads, it cannot be what it is on the source.
        if let Some(table) = self.excluded_input(matview) {
            let (view, table) = (matview.name.shown(), table.shown());
            self.notes.push(format!(
                "materialized view {view} is refreshed, but not compared: it reads {table}, whose rows are left out or lost"
            ));
            return;
        }
        let entry = self.relations[&matview.name];
        let format = self.formats.of(&matview.columns);
        let expression = |column| {
            self.formats
                .comparable(column, &format)
                .unwrap_or_else(|| self.formats.whole(column))
        };
        let columns: Vec<_> = matview.columns.iter().collect();
        let arrays = self.formats.arrays(&columns, &format);
        let encoding = &self.inputs.source.encoding;
        let converted =
            format != CopyFormat::Binary && !matches!(encoding.as_str(), "UTF8" | "SQL_ASCII");
        // REFRESH runs it with its owner's rights; we would run it with ours. What other people's functions do with a
        // superuser's rights is not for us to find out.
        let superuser = self.inputs.source.superuser || self.inputs.target.superuser;
        let may_run = !(matview.calls_user_code && superuser);
        let comparison = Comparison {
            table: matview.name.clone(),
            entries: vec![entry],
            copied: Vec::new(),
            matview: true,
            definition: may_run.then(|| matview.definition.clone()),
            columns: matview.columns.iter().map(expression).collect(),
            only: false,
            encoding: converted.then(|| encoding.clone()),
            arrays,
            format,
            condition: None,
            reads_source: true,
            bytes: matview.bytes,
            settings: self.settings_of_queries(),
        };
        self.plan_to_compare(matview, comparison);
    }

    fn plan_to_compare(&mut self, matview: &Matview, comparison: Comparison) {
        let index = self.comparisons.len();
        self.comparisons.push(comparison);
        let name = &matview.name;
        let job = self.add(Draft {
            after: self.loaded(name),
            cost: cost::verify(matview.bytes) * 2,
            locks: vec![(name.clone(), LockMode::AccessShare)],
            bytes: matview.bytes,
            ..Draft::new(
                Phase::Verify,
                format!("verify {}", name.shown()),
                Work::CompareMatview { comparison: index },
            )
        });
        self.tables
            .entry(name.clone())
            .or_default()
            .compared
            .push(job);
    }
}

/// Functions of users may write to tables when a view's query runs them, and these may have been read back by then. So such a refresh fails
/// if it has written to any: on the source it would, too, and a copy that does it once more is none.
///
/// A session's counts may hold what its transactions before have written, as long as that was not handed over; so what counts is what is
/// added. The run's own ledger does not count: the job's mark is written in the same transaction.
fn refresh(matview: &Matview) -> SqlText {
    const WRITTEN: &str = "(select c.oid::text as oid, pg_catalog.format('%I.%I', n.nspname, c.relname) as name, \
        pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid) + pg_catalog.pg_stat_get_xact_tuples_updated(c.oid) \
        + pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid) as rows \
        from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
        where c.relkind = 'r' and c.relpersistence <> 't' and n.nspname !~ '^pg_' \
        and n.nspname not in ('information_schema', 'pgconvoy')) w where w.rows > 0";
    let refresh = format!("refresh materialized view {}", matview.name);
    if !matview.calls_user_code {
        return SqlText::from(refresh);
    }
    SqlText::from(format!(
        "select pg_catalog.set_config('pgconvoy.written', \
         (select coalesce(pg_catalog.jsonb_object_agg(w.oid, w.rows), '{{}}')::text from {WRITTEN}), true);\n\
         {refresh};\n\
         select case when count(*) = 0 then 0 \
         else ('{HAS_WRITTEN}' || pg_catalog.string_agg(w.name, ', ' order by w.name))::int4 end \
         from {WRITTEN} and w.rows > coalesce((pg_catalog.current_setting('pgconvoy.written', true)::jsonb ->> w.oid)::int8, 0)"
    ))
}

/// Each after those it reads. A materialized view cannot read itself, not even indirectly, so this ends.
fn in_order<'a>(matviews: &'a [Matview], by_oid: &BTreeMap<Oid, &'a Matview>) -> Vec<&'a Matview> {
    let mut order: Vec<&'a Matview> = Vec::with_capacity(matviews.len());
    let mut waiting: Vec<&'a Matview> = matviews.iter().collect();
    while !waiting.is_empty() {
        let is_ready = |view: &&'a Matview| {
            view.inputs
                .iter()
                .all(|oid| !by_oid.contains_key(oid) || order.iter().any(|done| done.oid == *oid))
        };
        let (ready, blocked): (Vec<_>, Vec<_>) = waiting.iter().copied().partition(is_ready);
        if ready.is_empty() {
            // A circle, which only a damaged catalog can have: the server will say so.
            order.extend(blocked);
            return order;
        }
        order.extend(ready);
        waiting = blocked;
    }
    order
}
