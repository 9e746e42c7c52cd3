//! Whose statistics the planner gets: the source's, where the target can take them (18+), or those of an ANALYZE.
//!
//! ANALYZE reads up to 30,000 pages of a table and sorts what it finds, column by column, to learn what the source has
//! learned already: of 100,000 rows 0.1 s, where taking the source's word for it takes 2 ms. For small tables it is the other way
//! round, 0.6 ms against 1.6 ms for a page of rows, and the plan would be full of them; so these are analyzed.
//!
//! The source's word is taken where it is known to be true: every column was sampled, and few rows have changed since. If
//! the target does not take it, the table is analyzed after all ([`Statement::otherwise`]). Materialized views are always
//! analyzed: what a refresh finds is not what the source's view held when that was sampled.
//!
//! Who takes statistics over has not counted rows. The target's `pg_stat_user_tables` would show none for tables whose rows were
//! not counted while they were loaded ([`CopyUnit::uncounted`]); at the end a VACUUM that finds nothing to do counts them.
//!
//! Sizes are the target's own, and so are its visible pages, which decide whether a foreign key is checked by index-only
//! scans: VACUUM counts them, and CREATE INDEX. Only where neither did (a table without indexes, or a server or table without
//! autovacuum, where CREATE INDEX leaves them alone) they are set.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::builder::{Builder, Draft};
use super::{CopyUnit, Plan, Statement, Work, cost};
use crate::catalog::{ColumnStatistics, Sampled, ServerFacts, SourceFacts, Table};
use crate::event::Phase;
use crate::model::{Bytes, DumpId, JobId, LockMode, Oid, QualifiedName, SqlText, quote_literal};

/// The first major version that can be given statistics, and that tells a table from those below it in VACUUM and ANALYZE.
const TAKES_STATISTICS: u32 = 18;
/// The first major version that shows what it knows of ranges.
const SHOWS_RANGES: u32 = 17;
/// Smaller tables are analyzed in less time than their statistics take to be read.
const WORTH_TAKING: Bytes = Bytes(256 << 10);
/// For the largest so many tables: the plan holds what is taken, some 60 kB for each.
const MOST_TABLES: usize = 200;
/// What is known of one table may take up so much of the plan: more than a hundred values for each of some hundred columns.
const MOST_BYTES: usize = 1 << 20;
/// From this size on, an autovacuum between a table's rows and its indexes is worth being kept away: it takes seconds, and CREATE INDEX
/// waits for it. The VACUUM that counts the rows in the end knows better than its sample in tables of which it sees less than
/// 2 %, and COPY leaves up to 64 pages to be seen.
const LARGE: Bytes = Bytes(64 << 20);
/// Changed rows that matter to no plan, whatever their share.
const FEW_ROWS: f64 = 1000.0;
/// Pages that a table may have grown by, whatever their share.
const FEW_PAGES: u64 = 64;

/// Which tables are analyzed by one job.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Analyzed {
    Root(QualifiedName),
    Alone(QualifiedName),
    Bundle(usize),
}

impl Plan {
    /// Tables whose statistics are to be looked at: those that may be worth taking over.
    pub fn worth_sampling(facts: &SourceFacts, target: &ServerFacts) -> Vec<Oid> {
        if target.version.major() < TAKES_STATISTICS {
            return Vec::new();
        }
        let large = |table: &&Table| table.heap >= WORTH_TAKING;
        let mut tables: Vec<&Table> = facts.tables.iter().filter(large).collect();
        tables.sort_by_key(|table| (Reverse(table.heap), table.oid));
        let tables = tables.into_iter().take(MOST_TABLES);
        tables.map(|table| table.oid).collect()
    }
}

impl<'a> Builder<'a> {
    /// Once all indexes of a table are there: statistics of expressions need the index. Small tables in bundles.
    ///
    /// Partitions are analyzed through their root, which has statistics of its own, unless a foreign table is below it; or each
    /// alone, and then the root alone, where the source's statistics are taken for any of them.
    pub fn plan_statistics(&mut self) {
        let facts = self.inputs.facts;
        let roots: BTreeMap<&QualifiedName, &QualifiedName> = facts
            .tables
            .iter()
            .filter_map(|table| Some((&table.name, table.partition_root.as_ref()?)))
            .collect();
        let apart = self.trees_taken_apart();
        let mut notes: Vec<String> = Vec::new();
        let mut groups: BTreeMap<Analyzed, Vec<QualifiedName>> = BTreeMap::new();
        let mut trees: BTreeMap<QualifiedName, Vec<QualifiedName>> = BTreeMap::new();
        for (name, jobs) in self
            .tables
            .iter()
            .filter(|(_, jobs)| !jobs.copied.is_empty())
        {
            let reaches_foreign = self.reaches_foreign(name);
            if reaches_foreign && !roots.contains_key(name) {
                notes.push(format!(
                    "{} is not analyzed: below it is a foreign table, which ANALYZE would read",
                    name.shown()
                ));
                continue;
            }
            let root = roots
                .get(name)
                .filter(|root| self.relations.contains_key(**root) && !reaches_foreign);
            if let Some(root) = root.filter(|root| apart.contains(**root)) {
                let tree = trees.entry((*root).clone()).or_default();
                tree.push(name.clone());
            }
            let group = match (root, jobs.bundle) {
                (Some(root), _) if !apart.contains(*root) => Analyzed::Root((*root).clone()),
                (_, Some(bundle)) => Analyzed::Bundle(bundle),
                (_, None) => Analyzed::Alone(name.clone()),
            };
            groups.entry(group).or_default().push(name.clone());
        }
        self.notes.append(&mut notes);
        let concerned = groups.values().flatten().chain(trees.keys());
        let note = self.note_on_statistics(concerned);
        self.notes.extend(note);
        for (group, members) in groups {
            self.plan_analyze_group(&group, &members);
        }
        for (root, leaves) in trees {
            self.plan_root(&root, &leaves);
        }
    }

    /// For a table that is frozen, and gets statistics once it is loaded.
    pub fn leave_uncounted(&mut self, unit: usize) {
        let unit = &mut self.units[unit];
        let facts = self.facts_by_name.get(&unit.table);
        unit.uncounted = self.inputs.target.superuser
            && facts.is_some_and(|facts| facts.heap >= LARGE && !facts.reaches_foreign);
    }

    /// What keeps VACUUM and ANALYZE of a table from those that inherit from it, which have jobs of their own and may not be loaded
    /// yet. Before 18 nothing goes on to these.
    pub fn only(&self) -> &'static str {
        if self.inputs.target.version.major() < TAKES_STATISTICS {
            return "";
        }
        "only "
    }

    /// Tables that were neither counted when they were loaded nor analyzed, of which the server believes that they hold no rows.
    /// All their pages are known to be visible, so that VACUUM estimates, and reads hardly anything. It waits for nobody.
    pub fn plan_row_counts(&mut self) {
        let taken = |table: &QualifiedName| matches!(self.taken(table), Some(Ok(_)));
        let unknown = |unit: &&CopyUnit| unit.uncounted && unit.freeze && taken(&unit.table);
        let tables: Vec<QualifiedName> = self
            .units
            .iter()
            .filter(unknown)
            .map(|unit| unit.table.clone())
            .collect();
        if tables.is_empty() {
            return;
        }
        let only = self.only();
        let names = tables.iter().map(|table| format!("{only}{table}"));
        let names: Vec<String> = names.collect();
        let statement = SqlText::from(format!(
            "vacuum (skip_locked, index_cleanup off, process_toast off, truncate off) {}",
            names.join(", ")
        ));
        let after = self.last_of(&[
            Phase::Data,
            Phase::Indexes,
            Phase::ForeignKeys,
            Phase::Finish,
        ]);
        self.add(Draft {
            after,
            cost: cost::statements(tables.len()),
            ..Draft::new(
                Phase::Finish,
                format!("row counts of {}", counted(tables.len())),
                Work::RunAlone { statement },
            )
        });
    }

    fn reaches_foreign(&self, table: &QualifiedName) -> bool {
        let facts = self.facts_by_name.get(table);
        facts.is_some_and(|facts| facts.reaches_foreign)
    }

    fn plan_analyze_group(&mut self, group: &Analyzed, members: &[QualifiedName]) {
        let mut after: Vec<JobId> = Vec::new();
        let mut needs: Vec<DumpId> = Vec::new();
        let mut bytes = Bytes(0);
        if matches!(group, Analyzed::Root(_)) {
            // Both lock the whole tree, each in its own order.
            after.extend(&self.partitioned_indexes);
        }
        for member in members {
            let jobs = &self.tables[member];
            after.extend(jobs.loaded.iter().chain(&jobs.indexed));
            needs.extend(self.relations.get(member));
            bytes += jobs.bytes;
        }
        let (targets, of) = match group {
            Analyzed::Root(root) => (vec![root.clone()], root.shown()),
            Analyzed::Alone(table) => (vec![table.clone()], table.shown()),
            Analyzed::Bundle(_) => (members.to_vec(), format!("{} small tables", members.len())),
        };
        let only = match group {
            Analyzed::Root(_) => "",
            Analyzed::Alone(_) | Analyzed::Bundle(_) => self.only(),
        };
        let statements: Vec<Statement> = targets
            .iter()
            .map(|table| self.statistics_of(table, only))
            .collect();
        let work = Statistics { of, bytes };
        let job = self.add(Draft {
            after,
            needs: if matches!(group, Analyzed::Bundle(_)) {
                Vec::new()
            } else {
                needs
            },
            locks: members
                .iter()
                .map(|member| (member.clone(), LockMode::ShareUpdateExclusive))
                .collect(),
            ..work.draft(statements)
        });
        for member in members.iter().chain(&targets) {
            self.tables.entry(member.clone()).or_default().analyzed = Some(job);
        }
    }

    /// A partitioned table whose partitions have their own statistics already. Who waits for it waits for them as well.
    fn plan_root(&mut self, root: &QualifiedName, leaves: &[QualifiedName]) {
        let mut after = self.partitioned_indexes.clone();
        let mut locks = vec![(root.clone(), LockMode::ShareUpdateExclusive)];
        let mut bytes = Bytes(0);
        for leaf in leaves {
            let jobs = &self.tables[leaf];
            after.extend(jobs.loaded.iter().chain(&jobs.indexed).copied());
            after.extend(jobs.analyzed);
            bytes += jobs.bytes;
            locks.push((leaf.clone(), LockMode::AccessShare));
        }
        let statement = self.statistics_of(root, "only ");
        let work = Statistics {
            of: root.shown(),
            bytes,
        };
        let job = self.add(Draft {
            after,
            needs: self.relations.get(root).copied().into_iter().collect(),
            locks,
            ..work.draft(vec![statement])
        });
        self.tables.entry(root.clone()).or_default().analyzed = Some(job);
    }

    /// What gives a table its statistics. `only` keeps ANALYZE from what is below it.
    fn statistics_of(&self, table: &QualifiedName, only: &str) -> Statement {
        let analyze = SqlText::from(format!("analyze {only}{table}"));
        let taken = self
            .taken(table)
            .and_then(Result::ok)
            .map(|sampled| SqlText::from(take(sampled, table, self.inputs.source.version.0)));
        let (sql, otherwise) = match taken {
            Some(taken) => (taken, Some(analyze)),
            None => (analyze, None),
        };
        Statement {
            entry: None,
            needs: self.relations.get(table).copied().into_iter().collect(),
            prelude: None,
            sql,
            otherwise,
        }
    }

    /// Roots of which some partition takes the source's statistics. Where there are partitioned tables in between, these would
    /// have to be analyzed as well: then the root is, with everything below it.
    fn trees_taken_apart(&self) -> BTreeSet<&'a QualifiedName> {
        let facts = self.inputs.facts;
        let leaves = facts
            .tables
            .iter()
            .filter(|table| matches!(self.taken(&table.name), Some(Ok(_))));
        let roots = leaves.filter_map(|leaf| leaf.partition_root.as_ref());
        let flat = |root: &&QualifiedName| facts.sampled.get(root).is_some_and(|one| !one.nested);
        roots.filter(flat).collect()
    }

    /// The source's statistics of a table, or why they are not taken; `None` if it is too small to ask.
    fn taken(&self, table: &QualifiedName) -> Option<Result<&'a Sampled, &'static str>> {
        let facts = self.inputs.facts;
        let sampled = facts.sampled.get(table)?;
        let leaves = || {
            let below = |leaf: &&Table| leaf.partition_root.as_ref() == Some(table);
            facts.tables.iter().filter(below)
        };
        let of_itself = self.facts_by_name.get(table).copied();
        let tables = || of_itself.into_iter().chain(leaves());
        let filtered = |one: &Table| {
            one.extension_condition
                .as_ref()
                .is_some_and(|c| !c.is_empty())
                || self.inputs.options.exclude_data.contains(&one.name)
        };
        // Of the smaller partitions nothing is known, and nothing that matters.
        let below = sampled.partitioned.then(|| {
            let known = leaves().filter_map(|leaf| facts.sampled.get(&leaf.name));
            known.map(|leaf| leaf.rows_then).sum()
        });
        let rules = [
            (
                self.inputs.source.encoding == "SQL_ASCII",
                "whose values have no encoding",
            ),
            (
                of_itself.is_some_and(|table| table.has_children),
                "from which others inherit",
            ),
            (tables().any(filtered), "not moved as a whole"),
            (
                tables().any(|one| self.has_hidden_ranges(one)),
                "with ranges, of which the source does not show what it knows",
            ),
        ];
        let refused = rules
            .into_iter()
            .find_map(|(applies, because)| applies.then_some(because));
        let refused = refused.or_else(|| doubt(sampled, below));
        Some(refused.map_or(Ok(sampled), Err))
    }

    /// Whether there is a column of whose values the source knows more than it shows.
    fn has_hidden_ranges(&self, table: &Table) -> bool {
        let types = &self.inputs.facts.types;
        let is_range = |mut oid: Oid| {
            while let Some(base) = types.get(&oid).and_then(|one| one.base) {
                oid = base;
            }
            types
                .get(&oid)
                .is_some_and(|one| matches!(one.kind, 'r' | 'm'))
        };
        self.inputs.source.version.major() < SHOWS_RANGES
            && table.columns.iter().any(|column| is_range(column.type_oid))
    }

    /// For the operator: how many take the source's statistics, and why others do not.
    fn note_on_statistics<'t>(
        &self,
        tables: impl Iterator<Item = &'t QualifiedName>,
    ) -> Option<String> {
        let mut taken = 0;
        let mut refused: BTreeMap<&str, usize> = BTreeMap::new();
        for verdict in tables.filter_map(|table| self.taken(table)) {
            match verdict {
                Ok(_) => taken += 1,
                Err(because) => *refused.entry(because).or_default() += 1,
            }
        }
        let analyzed: usize = refused.values().sum();
        if taken + analyzed == 0 {
            return None;
        }
        let mut note = format!(
            "planner statistics of {} are taken over from the source; all others are analyzed",
            counted(taken)
        );
        for (index, (because, count)) in refused.iter().enumerate() {
            let before = if index == 0 { ", also" } else { "," };
            let _ = write!(note, "{before} {} {because}", counted(*count));
        }
        Some(note)
    }
}

/// A job that sees to statistics.
struct Statistics {
    of: String,
    bytes: Bytes,
}

impl Statistics {
    /// The job without what it waits for and what it locks.
    fn draft(self, statements: Vec<Statement>) -> Draft {
        let Self { of, bytes } = self;
        let only_taken = statements.iter().all(|one| one.otherwise.is_some());
        let some_taken = statements.iter().any(|one| one.otherwise.is_some());
        let label = if some_taken {
            format!("statistics of {of}")
        } else {
            format!("analyze {of}")
        };
        let sampling = if only_taken { 0 } else { cost::read(bytes) / 4 };
        Draft {
            cost: sampling + cost::statements(statements.len()),
            bytes,
            ..Draft::run(Phase::Finish, label, statements)
        }
    }
}

/// What speaks against statistics, by themselves; `below` is how many rows all partitions have together.
fn doubt(sampled: &Sampled, below: Option<f64>) -> Option<&'static str> {
    let stale = match below {
        Some(rows) => differ(rows, sampled.rows_then),
        None => is_stale(sampled),
    };
    let size: usize = sampled.columns.iter().map(|one| one.arguments.len()).sum();
    let rules = [
        (sampled.unreadable, "with values that are no text"),
        (
            !sampled.complete || sampled.columns.is_empty(),
            "not analyzed there, or not in full",
        ),
        (sampled.extended, "with extended statistics"),
        (
            stale,
            "that changed a lot since, or it is not known how much",
        ),
        (size > MOST_BYTES, "whose statistics are bulky"),
    ];
    let mut rules = rules.into_iter();
    rules.find_map(|(applies, because)| applies.then_some(because))
}

/// Whether what was sampled is not what there is now.
#[expect(
    clippy::cast_precision_loss,
    reason = "compared with an estimate, and at a distance"
)]
fn is_stale(sampled: &Sampled) -> bool {
    let Sampled {
        rows_then,
        pages_then,
        pages,
        modified,
        ..
    } = *sampled;
    let much = FEW_ROWS.max(rows_then / 5.0);
    let few_changes = modified.is_some_and(|rows| rows as f64 <= much);
    let grown = pages > pages_then + pages_then / 5 + FEW_PAGES;
    rows_then == 0.0 || !few_changes || grown
}

/// Whether two numbers of rows are more than a fifth apart.
fn differ(one: f64, other: f64) -> bool {
    (one - other).abs() > FEW_ROWS.max(one.max(other) / 5.0)
}

fn counted(tables: usize) -> String {
    match tables {
        0 => "no table".to_owned(),
        1 => "one table".to_owned(),
        many => format!("{many} tables"),
    }
}

/// A statement that gives a table the source's statistics. The server only warns of what it does not take, and returns
/// false: a division by zero makes an error of it, so that it is all or nothing. `version` is the server's that made them.
fn take(sampled: &Sampled, table: &QualifiedName, version: u32) -> String {
    let calls: Vec<String> = sampled
        .columns
        .iter()
        .map(|column| take_column(column, version))
        .collect();
    let mut sql = format!("select 1 / ({})::integer", calls.join("\n and "));
    let of = quote_literal(&table.to_string());
    let rows = sampled.rows_then;
    // COPY with FREEZE makes a visibility map, and leaves hardly a page out of it.
    let _ = write!(
        sql,
        ";\n\
         select pg_catalog.pg_restore_relation_stats(\n  \
           'schemaname', n.nspname::text, 'relname', c.relname::text, 'relpages', s.pages,\n  \
           'reltuples', {rows}::real, 'relallvisible', s.visible, 'relallfrozen', s.visible)\n\
         from pg_catalog.pg_class c\n\
         join pg_catalog.pg_namespace n on n.oid = c.relnamespace\n\
         cross join lateral (select case c.relkind when 'p' then -1 else pg_catalog.pg_relation_size(c.oid)\n  \
             / pg_catalog.current_setting('block_size')::integer end::integer) p (pages)\n\
         cross join lateral (select p.pages, case when p.pages > 0\n  \
             and pg_catalog.pg_relation_size(c.oid, 'vm') > 0 then p.pages else 0 end) s (pages, visible)\n\
         where c.reltuples < 0\n  \
           and (c.oid = {of}::regclass\n       \
             or c.oid in (select i.indexrelid from pg_catalog.pg_index i\n                    \
                          where i.indrelid = {of}::regclass and i.indpred is null))"
    );
    sql
}

fn take_column(column: &ColumnStatistics, version: u32) -> String {
    let of = match column.number {
        Some(number) => format!("'attnum', {number}::smallint"),
        None => format!("'attname', {}", quote_literal(&column.column)),
    };
    format!(
        "pg_catalog.pg_restore_attribute_stats('version', {version}::integer, 'schemaname', {}, 'relname', {}, {of}, \
         'inherited', {}, {})",
        quote_literal(&column.relation.schema),
        quote_literal(&column.relation.name),
        column.inherited,
        column.arguments
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled() -> Sampled {
        Sampled {
            rows_then: 100_000.0,
            pages_then: 1000,
            pages: 1000,
            modified: Some(0),
            complete: true,
            columns: vec![ColumnStatistics {
                relation: QualifiedName::new("s", "it's"),
                column: "a".into(),
                number: None,
                inherited: false,
                arguments: "'null_frac', '0'::real".into(),
            }],
            ..Sampled::default()
        }
    }

    #[test]
    fn statistics_are_taken_where_they_are_known_to_be_true() {
        let changed = |rows| Sampled {
            modified: Some(rows),
            ..sampled()
        };
        let bulky = || {
            let mut sampled = sampled();
            sampled.columns[0].arguments = "x".repeat(MOST_BYTES + 1);
            sampled
        };
        let small = |pages, rows| Sampled {
            rows_then: 100.0,
            pages_then: 10,
            pages,
            ..changed(rows)
        };
        for (sampled, is_taken) in [
            (sampled(), true),
            (changed(20_000), true),
            (changed(20_001), false),
            (small(74, 1000), true),
            (small(74, 1001), false),
            (small(77, 0), false),
            (
                Sampled {
                    modified: None,
                    ..sampled()
                },
                false,
            ),
            (
                Sampled {
                    rows_then: 0.0,
                    ..sampled()
                },
                false,
            ),
            (
                Sampled {
                    complete: false,
                    ..sampled()
                },
                false,
            ),
            (
                Sampled {
                    unreadable: true,
                    ..sampled()
                },
                false,
            ),
            (
                Sampled {
                    extended: true,
                    ..sampled()
                },
                false,
            ),
            (
                Sampled {
                    columns: vec![],
                    ..sampled()
                },
                false,
            ),
            (bulky(), false),
        ] {
            assert_eq!(doubt(&sampled, None).is_none(), is_taken, "{sampled:?}");
        }
        // Of a partitioned table nobody counts changes; its partitions tell.
        let root = Sampled {
            modified: None,
            pages: 0,
            pages_then: 0,
            partitioned: true,
            ..sampled()
        };
        assert_eq!(doubt(&root, Some(120_000.0)), None);
        assert!(doubt(&root, Some(130_000.0)).is_some());
        assert!(doubt(&root, Some(70_000.0)).is_some());
    }

    #[test]
    fn what_is_not_taken_is_an_error() {
        let table = QualifiedName::new("s", "it's");
        let sql = take(&sampled(), &table, 150_018);
        let (columns, sizes) = sql.split_once(";\n").expect("two statements");
        assert_eq!(
            columns,
            "select 1 / (pg_catalog.pg_restore_attribute_stats('version', 150018::integer, 'schemaname', 's', \
             'relname', 'it''s', 'attname', 'a', 'inherited', false, 'null_frac', '0'::real))::integer"
        );
        assert!(sizes.contains("where c.reltuples < 0"), "{sizes}");
        assert!(sizes.contains(r#"'"s"."it''s"'::regclass"#), "{sizes}");
        let number = Some(2);
        let column = ColumnStatistics {
            number,
            ..sampled().columns.remove(0)
        };
        assert!(take_column(&column, 1).contains("'attnum', 2::smallint"));
    }
}
