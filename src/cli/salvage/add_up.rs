//! Whether what is on the target of a table is what the survey has read of it: together with what is accounted for as lost, that is all
//! there was.
//!
//! A table whose content was compared has been read on the target when all of its rows were there, and how many they were is known from
//! that. Only the others are counted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::try_join_all;

use super::search::{ACCOUNTED, does_not_add_up};
use crate::cli::output::Emitter;
use crate::cli::prove::Proof;
use crate::event::{Emit, What};
use crate::failure::Failure;
use crate::model::{Difference, DifferenceKind, QualifiedName, Verdict};
use crate::pg::Connector;
use crate::plan::Plan;
use crate::salvage::DamageMap;

/// Sessions that count side by side.
const AT_ONCE: usize = 4;

/// Remembers how many rows of a table the target had when its content was found to be the same, on its way to whoever tells it.
pub(in crate::cli) struct Compared {
    emit: Arc<dyn Emit>,
    rows: Mutex<BTreeMap<QualifiedName, u64>>,
}

impl Compared {
    /// Of nothing so far.
    pub fn new(emit: Arc<dyn Emit>) -> Self {
        Self {
            emit,
            rows: Mutex::default(),
        }
    }
}

impl Emit for Compared {
    fn emit(&self, what: What) {
        if let What::TableVerified(table) = &what {
            let is_same = table.verdict == Verdict::Identical;
            let mut rows = held(&self.rows);
            match table.target.filter(|_| is_same) {
                Some(target) => rows.insert(table.table.clone(), target.rows.0),
                None => rows.remove(&table.table),
            };
        }
        self.emit.emit(what);
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Holds every table against what the survey has read of it, and tells what does not add up.
pub(super) async fn add_up(
    (proof, compared): (&Proof, &Compared),
    map: &DamageMap,
    emitter: &Emitter,
) -> Result<(), Failure> {
    let alone = loaded_alone(&proof.plan);
    let expected = map.expected_rows();
    let expected: Vec<_> = expected
        .filter(|(table, _)| alone.contains(table))
        .collect();
    let mut there = of_those_compared(&proof.plan, compared);
    let tables = expected.iter().map(|(table, _)| *table);
    let uncounted: VecDeque<&QualifiedName> =
        tables.filter(|table| !there.contains_key(table)).collect();
    there.extend(count(&proof.target.connector, uncounted).await?);
    let mut adding_up = 0;
    for (table, expected) in expected {
        let rows = there.get(table).copied().unwrap_or(0);
        if rows == expected {
            adding_up += 1;
            continue;
        }
        emitter.emit(What::Difference(Difference {
            kind: DifferenceKind::Different,
            class: "table data".to_owned(),
            object: table.to_string(),
            detail: does_not_add_up(expected, (rows, "on the target")),
        }));
    }
    if adding_up > 0 {
        emitter.emit(What::Checked {
            what: ACCOUNTED.to_owned(),
            count: adding_up,
        });
    }
    Ok(())
}

/// Tables all of whose rows are loaded, and into themselves: of others, what is on the target says nothing.
fn loaded_alone(plan: &Plan) -> BTreeSet<&QualifiedName> {
    let alone = plan
        .tables
        .iter()
        .filter(|unit| unit.into == unit.table && unit.condition.is_none());
    alone.map(|unit| &unit.table).collect()
}

/// How many rows the target had of tables that were compared as a whole, and without their children.
fn of_those_compared<'a>(plan: &'a Plan, compared: &Compared) -> BTreeMap<&'a QualifiedName, u64> {
    let rows = held(&compared.rows);
    let whole = plan
        .comparisons
        .iter()
        .filter(|one| one.only && one.condition.is_none());
    whole
        .filter_map(|one| Some((&one.table, *rows.get(&one.table)?)))
        .collect()
}

/// Counts the rows of tables.
async fn count<'a>(
    target: &Connector,
    tables: VecDeque<&'a QualifiedName>,
) -> Result<Vec<(&'a QualifiedName, u64)>, Failure> {
    let workers = AT_ONCE.min(tables.len());
    let tables = Mutex::new(tables);
    let next = || held(&tables).pop_front();
    let work = || async {
        let session = target.session("counts").await?;
        let mut counted = Vec::new();
        while let Some(table) = next() {
            let sql = format!("select count(*) as rows from only {table}");
            let rows = session.query_text("rows of a table", &sql, &[]).await?;
            let rows = rows.first().map_or(Ok(0), |row| row.count("rows"))?;
            counted.push((table, rows));
        }
        Ok::<_, Failure>(counted)
    };
    let counted = try_join_all((0..workers).map(|_| work())).await?;
    Ok(counted.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Bytes, CopyFormat, MultisetDigest, Rows, TableVerdict};

    struct Nobody;

    impl Emit for Nobody {
        fn emit(&self, _: What) {}
    }

    #[test]
    fn only_what_was_found_the_same_is_known() {
        let compared = Compared::new(Arc::new(Nobody));
        let judged = |name: &str, verdict| {
            let target = MultisetDigest {
                rows: Rows(7),
                sum: 1,
            };
            compared.emit(What::TableVerified(TableVerdict {
                table: QualifiedName::new("public", name),
                format: CopyFormat::Binary,
                read: None,
                source_count: None,
                target: Some(target),
                bytes: Bytes(0),
                copy_ms: 0,
                verdict,
                forms: Vec::new(),
            }));
            held(&compared.rows)
                .get(&QualifiedName::new("public", name))
                .copied()
        };
        assert_eq!(judged("a", Verdict::Identical), Some(7));
        assert_eq!(judged("b", Verdict::SameCount), None);
        // It was looked at once more.
        assert_eq!(judged("a", Verdict::Different), None);
    }
}
