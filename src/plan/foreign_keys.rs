//! Foreign keys: added NOT VALID, which takes an instant, then validated side by side.
//!
//! `ADD FOREIGN KEY` locks both tables against each other's keys for as long as it checks; `VALIDATE CONSTRAINT` does
//! not. And the check is several times faster when both tables are frozen, analyzed and indexed, and the planner is kept
//! from hashing: it becomes a merge join over two index-only scans.

use std::collections::{BTreeMap, VecDeque};

use memchr::memmem;

use super::builder::{Builder, Draft, entry_ref};
use super::{PlanError, Statement, Work, cost};
use crate::catalog::Constraint;
use crate::event::Phase;
use crate::model::LockMode;
use crate::model::{Bytes, DumpId, JobId, QualifiedName, SqlText, quote_ident, shown_ident};
use crate::toc::{Entry, Text, split_statements};

/// The first major version that adds a foreign key to a partitioned table without checking it.
const NOT_VALID_ON_PARTITIONED: u32 = 18;

/// Of a key over periods of time, servers validate only that the periods meet (18.4); that they are covered is looked at only when such
/// a key is added at once.
const OVER_TIME: &[u8] = b", PERIOD ";

/// Foreign keys between small tables that one transaction adds, at least where there are that many: fewer are not worth the
/// round trips …
const SMALLEST_BUNDLE: usize = 4;
/// … and at most: each holds two locks.
const LARGEST_BUNDLE: usize = 50;

impl<'a> Builder<'a> {
    /// Jobs for every FK CONSTRAINT entry.
    pub fn plan_foreign_keys(&mut self) -> Result<(), PlanError> {
        let facts = self.inputs.facts;
        let foreign_keys = facts
            .constraints
            .iter()
            .filter(|constraint| constraint.kind == 'f');
        let tag =
            |constraint: &Constraint| format!("{} {}", constraint.table.name, constraint.name);
        let by_tag: BTreeMap<(&str, String), &'a Constraint> = foreign_keys
            .map(|constraint| {
                (
                    (constraint.table.schema.as_str(), tag(constraint)),
                    constraint,
                )
            })
            .collect();
        let mut small: Vec<ForeignKey<'a>> = Vec::new();
        for entry in self
            .inputs
            .toc
            .entries
            .iter()
            .filter(|entry| entry.is("FK CONSTRAINT"))
        {
            // The tag is the table's name and the constraint's; what the catalog does not show has its turn at the end.
            let key = entry
                .namespace
                .as_ref()
                .and_then(Text::to_str)
                .zip(entry.tag.to_str());
            let found = key.and_then(|(schema, tag)| by_tag.get(&(schema, tag.to_owned())));
            let Some(&constraint) = found else { continue };
            let is_small = |table: &QualifiedName| {
                self.tables
                    .get(table)
                    .is_some_and(|jobs| jobs.bundle.is_some())
            };
            let otherwise = self.otherwise(constraint);
            if otherwise.is_none()
                && is_small(&constraint.table)
                && constraint.references.as_ref().is_some_and(is_small)
            {
                small.push((entry, constraint));
            } else {
                self.plan_foreign_key(entry, constraint)?;
            }
        }
        let constraints: Vec<&Constraint> =
            small.iter().map(|(_, constraint)| *constraint).collect();
        for bundle in bundles(&constraints, self.inputs.options.jobs) {
            let keys = bundle.into_iter().map(|index| small[index]);
            self.plan_small(&keys.collect::<Vec<_>>())?;
        }
        Ok(())
    }

    fn plan_foreign_key(
        &mut self,
        entry: &'a Entry,
        constraint: &Constraint,
    ) -> Result<(), PlanError> {
        let mut statements = self.statements(entry)?;
        if statements.is_empty() {
            return Ok(());
        }
        let otherwise = self.otherwise(constraint);
        for statement in &mut statements {
            statement.otherwise.clone_from(&otherwise);
        }
        let check = Check::new(self, constraint);
        let not_valid = self.not_valid(entry, constraint);
        let job = if let Some(not_valid) = not_valid {
            self.plan_in_two_steps(entry, check, (not_valid, otherwise))
        } else {
            let after = [self.after_dependencies(entry), check.ready].concat();
            let locks = at_once(&check.tables, LockMode::ShareRowExclusive);
            let settings = merge_join();
            let work = Work::Run {
                statements,
                settings,
            };
            self.add(Draft {
                after,
                needs: self.needs(entry),
                cost: cost::foreign_key(check.bytes),
                locks,
                memory: self.memory_for(Bytes(check.bytes.0 * 2)),
                bytes: check.bytes,
                ..Draft::new(
                    Phase::ForeignKeys,
                    format!("foreign key {}", check.label),
                    work,
                )
            })
        };
        self.entry_jobs.insert(entry.dump_id, job);
        Ok(())
    }

    /// Adds the key without a check, and validates it when the check is cheap. Returns the job that does the latter.
    fn plan_in_two_steps(
        &mut self,
        entry: &'a Entry,
        check: Check,
        (not_valid, otherwise): (SqlText, Option<SqlText>),
    ) -> JobId {
        let statement = |sql: SqlText, needs: &[DumpId]| Statement {
            entry: Some(entry_ref(entry)),
            needs: needs.to_vec(),
            prelude: None,
            sql,
            otherwise: otherwise.clone(),
        };
        let needs = self.needs(entry);
        let statements = vec![statement(not_valid, &needs)];
        let added = self.add(Draft {
            after: [self.after_dependencies(entry), check.loaded].concat(),
            needs,
            locks: at_once(&check.tables, LockMode::ShareRowExclusive),
            ..Draft::run(
                Phase::ForeignKeys,
                format!("add foreign key {}", check.label),
                statements,
            )
        });
        let needs = self.needs_of_second_half(entry);
        let mut locks = at_once(&check.tables, LockMode::RowShare);
        locks[0].1 = LockMode::ShareUpdateExclusive;
        let work = Work::Run {
            statements: vec![statement(check.validate, &needs)],
            settings: merge_join(),
        };
        let label = format!("validate foreign key {}", check.label);
        self.add(Draft {
            after: [vec![added], check.ready].concat(),
            needs,
            cost: cost::foreign_key(check.bytes),
            locks,
            memory: self.memory_for(Bytes(check.bytes.0 * 2)),
            bytes: check.bytes,
            ..Draft::new(Phase::ForeignKeys, label, work)
        })
    }

    /// What is done instead, if rows that the key needs may be lost.
    fn otherwise(&self, constraint: &Constraint) -> Option<SqlText> {
        let tables: Vec<&QualifiedName> = ends(constraint).collect();
        self.inputs.options.salvaged.otherwise(&tables)
    }

    fn plan_small(&mut self, bundle: &[ForeignKey<'a>]) -> Result<(), PlanError> {
        let mut statements = Vec::new();
        let mut after: Vec<JobId> = Vec::new();
        let mut tables: Vec<QualifiedName> = Vec::new();
        for (entry, constraint) in bundle {
            statements.extend(self.statements(entry)?);
            after.extend(self.after_dependencies(entry));
            tables.extend(tables_of(constraint));
        }
        tables.sort();
        tables.dedup();
        after.extend(self.ready_for_checks(&tables));
        let after = self.last_among(after);
        let label = format!("{} foreign keys of small tables", bundle.len());
        let locks = tables
            .iter()
            .map(|table| (table.clone(), LockMode::ShareRowExclusive))
            .collect();
        let job = self.add(Draft {
            after,
            locks,
            ..Draft::run(Phase::ForeignKeys, label, statements)
        });
        self.entry_jobs
            .extend(bundle.iter().map(|(entry, _)| (entry.dump_id, job)));
        Ok(())
    }

    /// The jobs after which a check is cheap: rows in, indexes there, statistics taken, on both tables.
    fn ready_for_checks(&self, tables: &[QualifiedName]) -> Vec<JobId> {
        let jobs = tables.iter().filter_map(|table| self.tables.get(table));
        jobs.flat_map(|jobs| {
            jobs.loaded
                .iter()
                .chain(&jobs.indexed)
                .copied()
                .chain(jobs.analyzed)
        })
        .collect()
    }

    /// The jobs after which every partitioned table has all its rows and indexes: a foreign key of a partitioned table
    /// concerns, and locks, its whole tree.
    fn whole_trees(&self) -> Vec<JobId> {
        [
            self.last_of(&[Phase::Data]),
            self.partitioned_indexes.clone(),
        ]
        .concat()
    }

    /// The entry's statement with `NOT VALID`; `None` where the server would not take it, or where nothing is to be
    /// validated because it is not valid on the source either.
    fn not_valid(&self, entry: &Entry, constraint: &Constraint) -> Option<SqlText> {
        let partitioned = constraint.on_partitioned || constraint.references_partitioned;
        if !constraint.validated
            || partitioned && self.inputs.target.version.major() < NOT_VALID_ON_PARTITIONED
        {
            return None;
        }
        let parts = split_statements(entry.defn_bytes(), self.inputs.toc.std_strings()).ok()?;
        let [only] = parts.as_slice() else {
            return None;
        };
        let bare = only.trim_ascii_end();
        let bare = bare.strip_suffix(b";").unwrap_or(bare);
        let is_over_time = memmem::find(bare, OVER_TIME).is_some();
        if is_over_time || bare.ends_with(b"NOT VALID") || bare.ends_with(b"NOT ENFORCED") {
            return None;
        }
        Some(SqlText::from([bare, b" NOT VALID"].concat()))
    }
}

/// An FK CONSTRAINT entry, and what the catalog says of that key.
type ForeignKey<'a> = (&'a Entry, &'a Constraint);

/// Foreign keys between small tables, in bundles of neighbours: keys that share tables.
///
/// A bundle locks all its tables against every other bundle for as long as it takes. Of keys taken as they come, any two
/// bundles would have a table in common, and all of them would run one after the other. Neighbours have fewer tables
/// between them; and the fewer keys in a bundle, the fewer other bundles it excludes. With n keys of tables that point to each
/// other at random, one of size s excludes some 2s of the n/s others, and all workers are busy if n/s ≥ 2s · workers. Keys that share
/// no table with any other exclude nobody: they fill a bundle up.
fn bundles(keys: &[&Constraint], workers: u32) -> Vec<Vec<usize>> {
    let workers = usize::try_from(workers.max(1)).unwrap_or(usize::MAX);
    let size = (keys.len() / workers.saturating_mul(2)).isqrt();
    let size = size.clamp(SMALLEST_BUNDLE, LARGEST_BUNDLE);
    let mut by_table: BTreeMap<&QualifiedName, VecDeque<usize>> = BTreeMap::new();
    for (index, key) in keys.iter().enumerate() {
        for table in ends(key) {
            by_table.entry(table).or_default().push_back(index);
        }
    }
    let mut placed = vec![false; keys.len()];
    let mut bundles: Vec<Vec<usize>> = Vec::new();
    let mut bundle: Vec<usize> = Vec::new();
    for first in 0..keys.len() {
        let mut next = Some(first).filter(|&first| !placed[first]);
        let mut reached: VecDeque<&QualifiedName> = VecDeque::new();
        while let Some(index) = next {
            placed[index] = true;
            bundle.push(index);
            reached.extend(ends(keys[index]));
            next = None;
            while bundle.len() < size
                && next.is_none()
                && let Some(table) = reached.front()
            {
                // Each key is taken from the list of each of its tables once, so all of this is linear.
                let of_table = by_table.get_mut(*table);
                match of_table.and_then(VecDeque::pop_front) {
                    Some(index) => next = Some(index).filter(|&index| !placed[index]),
                    None => drop(reached.pop_front()),
                }
            }
        }
        // What is left of its neighbours goes into the next one: only a bundle whose neighbours are all in it takes strangers in.
        if bundle.len() >= size || !reached.is_empty() {
            bundles.push(std::mem::take(&mut bundle));
        }
    }
    bundles.extend(Some(bundle).filter(|bundle| !bundle.is_empty()));
    bundles
}

/// The tables at both ends of a foreign key.
fn ends(constraint: &Constraint) -> impl Iterator<Item = &QualifiedName> {
    std::iter::once(&constraint.table).chain(&constraint.references)
}

/// What adding and checking a foreign key needs to know.
struct Check {
    /// The referencing table, then the referenced one if it is another.
    tables: Vec<QualifiedName>,
    label: String,
    validate: SqlText,
    /// Jobs after which the key can be added: the rows are in.
    loaded: Vec<JobId>,
    /// Jobs after which the check is cheap.
    ready: Vec<JobId>,
    bytes: Bytes,
}

impl Check {
    fn new(builder: &Builder<'_>, constraint: &Constraint) -> Self {
        let tables = tables_of(constraint);
        let mut loaded: Vec<JobId> = tables
            .iter()
            .flat_map(|table| builder.loaded(table))
            .collect();
        let mut ready = builder.ready_for_checks(&tables);
        if constraint.on_partitioned || constraint.references_partitioned {
            loaded.extend(builder.whole_trees());
            ready.extend(builder.whole_trees());
        }
        let name = quote_ident(&constraint.name);
        let validate = format!(
            "alter table {} validate constraint {name}",
            constraint.table
        );
        let jobs = builder.tables.get(&constraint.table);
        Self {
            label: format!(
                "{} of {}",
                shown_ident(&constraint.name),
                constraint.table.shown()
            ),
            validate: SqlText::from(validate),
            loaded,
            ready,
            bytes: jobs.map(|jobs| jobs.bytes).unwrap_or_default(),
            tables,
        }
    }
}

/// The same lock on several tables.
fn at_once(tables: &[QualifiedName], mode: LockMode) -> Vec<(QualifiedName, LockMode)> {
    tables.iter().map(|table| (table.clone(), mode)).collect()
}

fn tables_of(constraint: &Constraint) -> Vec<QualifiedName> {
    let mut tables = vec![constraint.table.clone()];
    tables.extend(
        constraint
            .references
            .clone()
            .filter(|table| *table != constraint.table),
    );
    tables
}

/// Makes the planner of the validation query merge two index-only scans where it can.
fn merge_join() -> Vec<(String, String)> {
    [("enable_hashjoin", "off"), ("enable_seqscan", "off")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(of: usize, to: usize) -> Constraint {
        let table = |number: usize| QualifiedName::new("public", format!("t{number}"));
        Constraint {
            table: table(of),
            name: "key".to_owned(),
            kind: 'f',
            validated: true,
            enforced: true,
            on_partitioned: false,
            inherited: false,
            references: Some(table(to)),
            references_partitioned: false,
            over_time: None,
        }
    }

    fn bundled(keys: &[Constraint], workers: u32) -> Vec<Vec<usize>> {
        bundles(&keys.iter().collect::<Vec<_>>(), workers)
    }

    fn each_once(bundles: &[Vec<usize>], count: usize) {
        let mut all: Vec<usize> = bundles.concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..count));
    }

    #[test]
    fn keys_that_share_no_table_fill_bundles_up() {
        let keys: Vec<Constraint> = (0..1000).map(|n| key(2 * n, 2 * n + 1)).collect();
        let bundles = bundled(&keys, 2);
        each_once(&bundles, 1000);
        assert_eq!(bundles.len(), 1000_usize.div_ceil(15));
    }

    #[test]
    fn neighbours_stay_together_and_take_no_strangers_along_before_all_are_in() {
        // Thirty keys of one table, and ten that share none.
        let mut keys: Vec<Constraint> = (1..=30).map(|n| key(n, 0)).collect();
        keys.extend((50..60).map(|n| key(2 * n, 2 * n + 1)));
        let bundles = bundled(&keys, 1);
        each_once(&bundles, 40);
        let neighbours = |bundle: &&Vec<usize>| bundle.iter().any(|&index| index < 30);
        let strangers = |bundle: &&Vec<usize>| bundle.iter().any(|&index| index >= 30);
        let mixed = bundles.iter().filter(neighbours).filter(strangers);
        assert!(mixed.count() <= 1, "{bundles:?}");
        assert!(bundles.iter().all(|bundle| bundle.len() <= SMALLEST_BUNDLE));
    }
}
