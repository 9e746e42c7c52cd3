//! Rows that are not deleted yet, because others could go with them: where foreign keys are in force, what points to a row may be deleted
//! along with it, and a row that is to be changed points to it until it is.
//!
//! Such a file changes those rows; the next one, when they are as on the source, deletes what nothing points to any more.

use std::collections::BTreeMap;

use crate::catalog::Constraint;
use crate::model::{QualifiedName, RowKind, count};

use super::draft::Draft;
use super::order;
use super::rows::TableRepair;

/// Partitions, and what each is a partition of.
type Above = BTreeMap<QualifiedName, QualifiedName>;

impl Draft<'_> {
    /// Finds the tables whose rows stay: what is kept for one may be what another one's rows would take along.
    pub(super) fn keep_what_takes_others_along(&mut self) {
        if self.input.target_superuser {
            return;
        }
        let above = order::partitions(self.input.target.toc);
        loop {
            let input = self.input;
            let tables = input.tables.iter();
            let mut open = tables.filter(|table| !self.undeleted.contains_key(&table.table));
            let found = open.find_map(|table| Some((table, self.taken_along(table, &above)?)));
            let Some((table, because)) = found else { break };
            self.undeleted.insert(table.table.clone(), because);
        }
    }

    /// Why rows of a table are not deleted, as a clause, if there are any to be.
    fn taken_along(&self, table: &TableRepair, above: &Above) -> Option<String> {
        let extra = table.count(RowKind::Extra);
        if extra == 0 {
            return None;
        }
        let of_table = order::with_ancestors(&table.table, above);
        let points_to_it = |to: &QualifiedName| {
            of_table.contains(to)
                || table.is_root && order::with_ancestors(to, above).contains(&table.table)
        };
        let keys = self.input.target.observed.constraints.iter();
        let mut keys = keys.filter(|key| key.kind == 'f' && key.enforced && !key.on_partitioned);
        keys.find_map(|key: &Constraint| {
            let to = key.references.as_ref()?;
            let (which, instead) = points_to_it(to)
                .then(|| self.may_point(&key.table, above))
                .flatten()?;
            let those = count(extra, "row", "rows");
            Some(format!(
                "{those} that only the target has cannot be deleted yet, since rows of {} {which} could go along: {instead}; if that leads \
                 nowhere, use pgconvoy sync, or --repair as a superuser of the target",
                key.table.shown()
            ))
        })
    }

    /// Which rows of a table may point to what is deleted, and be there to stay, as a clause; and what to do about them.
    fn may_point(
        &self,
        from: &QualifiedName,
        above: &Above,
    ) -> Option<(&'static str, &'static str)> {
        const NEXT: &str = "run the file, and verify again with --repair";
        let names = order::with_ancestors(from, above);
        let mut differing = self.input.tables.iter();
        match differing.find(|other| names.contains(&other.table)) {
            Some(other) if other.count(RowKind::Changed) > 0 || other.more > 0 => {
                Some(("that differ", NEXT))
            }
            Some(other) if self.undeleted.contains_key(&other.table) => {
                Some(("that stay as well", NEXT))
            }
            None if names
                .iter()
                .any(|name| self.input.no_rows.contains_key(name)) =>
            {
                Some(("that differ and are not in this file", "see to those first"))
            }
            None if self.input.same.is_disjoint(&names) => {
                Some(("that are not known to be the same", "compare those as well"))
            }
            _ => None,
        }
    }
}
