//! `CHECK` constraints of a damaged database: set aside before the rows come, and put back behind them.
//!
//! What damage has made of a value may violate one, and a single such row would have its table stay empty. A check that does not
//! hold in the end is put back all the same, for new rows alone; the account says which ones violate it.

use super::builder::{Builder, Draft};
use super::schema::BATCH;
use super::{Check, Statement, cost};
use crate::event::Phase;
use crate::model::{LockMode, SqlText};

impl Builder<'_> {
    /// Before anything is loaded.
    pub fn set_checks_aside(&mut self) {
        let statements: Vec<Statement> = self
            .checks()
            .iter()
            .map(|check| self.about(check, check.set_aside(), None))
            .collect();
        for batch in statements.chunks(BATCH) {
            let label = format!("set {} checks aside", batch.len());
            let job = self.add(Draft {
                after: self.schema_done.clone(),
                ..Draft::run(Phase::Schema, label, batch.to_vec())
            });
            self.schema_done = vec![job];
        }
    }

    /// When a table is loaded.
    pub fn put_checks_back(&mut self) {
        for check in self.checks() {
            let jobs = self.tables.get(&check.table);
            let bytes = jobs.map(|jobs| jobs.bytes).unwrap_or_default();
            let statement = self.about(&check, check.put_back(), Some(check.put_back_unproven()));
            self.add(Draft {
                after: [self.schema_done.clone(), self.loaded(&check.table)].concat(),
                needs: statement.needs.clone(),
                cost: cost::read(bytes),
                locks: vec![(check.table.clone(), LockMode::AccessExclusive)],
                bytes,
                ..Draft::run(
                    Phase::Finish,
                    format!("check {} of {}", check.name, check.table.shown()),
                    vec![statement],
                )
            });
        }
    }

    /// Those of the tables that are moved.
    fn checks(&self) -> Vec<Check> {
        let all = self.inputs.options.salvaged.checks.iter();
        all.filter(|check| self.relations.contains_key(&check.table))
            .cloned()
            .collect()
    }

    fn about(&self, check: &Check, sql: SqlText, otherwise: Option<SqlText>) -> Statement {
        Statement {
            entry: None,
            needs: self
                .relations
                .get(&check.table)
                .copied()
                .into_iter()
                .collect(),
            prelude: None,
            sql,
            otherwise,
        }
    }
}
