//! The order of tables: those that foreign keys point to before those that have them.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::Constraint;
use crate::model::QualifiedName;
use crate::toc::Toc;

/// Tables in order, and those of them that point to each other in a circle.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Order {
    /// Parents first.
    pub tables: Vec<QualifiedName>,
    /// For these there is no right order.
    pub circular: Vec<QualifiedName>,
}

/// Orders `tables`. A foreign key to a partitioned table is one to every partition of it, and one of a partitioned table is one of each.
pub(super) fn by_foreign_keys(
    tables: &[&QualifiedName],
    constraints: &[Constraint],
    above: &BTreeMap<QualifiedName, QualifiedName>,
) -> Order {
    let names: Vec<BTreeSet<QualifiedName>> = tables
        .iter()
        .map(|table| with_ancestors(table, above))
        .collect();
    let keys: Vec<(&QualifiedName, &QualifiedName)> = constraints
        .iter()
        .filter(|one| one.kind == 'f')
        .filter_map(|one| Some((&one.table, one.references.as_ref()?)))
        .collect();
    let needs = |child: usize, parent: usize| {
        child != parent
            && keys
                .iter()
                .any(|(from, to)| names[child].contains(*from) && names[parent].contains(*to))
    };
    let needed: Vec<Vec<usize>> = (0..tables.len())
        .map(|child| {
            (0..tables.len())
                .filter(|&parent| needs(child, parent))
                .collect()
        })
        .collect();
    let mut order = Order::default();
    let mut done: BTreeSet<usize> = BTreeSet::new();
    while done.len() < tables.len() {
        let open = || (0..tables.len()).filter(|at| !done.contains(at));
        let ready = open().find(|&at| needed[at].iter().all(|parent| done.contains(parent)));
        let next = ready.or_else(|| open().next());
        let Some(next) = next else { break };
        if ready.is_none() {
            order.circular.push(tables[next].clone());
        }
        done.insert(next);
        order.tables.push(tables[next].clone());
    }
    order
}

/// A table, and what it is a partition of, directly or not.
pub(super) fn with_ancestors(
    table: &QualifiedName,
    above: &BTreeMap<QualifiedName, QualifiedName>,
) -> BTreeSet<QualifiedName> {
    let mut found = BTreeSet::from([table.clone()]);
    let mut at = table;
    while let Some(parent) = above.get(at).filter(|parent| !found.contains(parent)) {
        found.insert(parent.clone());
        at = parent;
    }
    found
}

/// Partitions, and what each is a partition of.
pub(super) fn partitions(toc: &Toc) -> BTreeMap<QualifiedName, QualifiedName> {
    let attached = toc.entries.iter().filter(|entry| entry.is("TABLE ATTACH"));
    attached
        .filter_map(|entry| {
            let partition = entry.qualified_name()?;
            let mut needed = entry
                .dependencies
                .iter()
                .filter_map(|&id| toc.by_id(id)?.qualified_name());
            let parent = needed.find(|name| *name != partition)?;
            Some((partition, parent))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(from: &str, to: &str) -> Constraint {
        Constraint {
            table: QualifiedName::new("s", from),
            name: "k".to_owned(),
            kind: 'f',
            validated: true,
            enforced: true,
            on_partitioned: false,
            inherited: false,
            references: Some(QualifiedName::new("s", to)),
            references_partitioned: false,
            over_time: None,
        }
    }

    fn ordered(
        tables: &[&str],
        keys: &[Constraint],
        above: &[(&str, &str)],
    ) -> (Vec<String>, usize) {
        let names: Vec<QualifiedName> = tables
            .iter()
            .map(|table| QualifiedName::new("s", *table))
            .collect();
        let above = above
            .iter()
            .map(|(part, parent)| {
                (
                    QualifiedName::new("s", *part),
                    QualifiedName::new("s", *parent),
                )
            })
            .collect();
        let order = by_foreign_keys(&names.iter().collect::<Vec<_>>(), keys, &above);
        let tables = order.tables.into_iter();
        let tables = tables.map(|table| String::from(table.name)).collect();
        (tables, order.circular.len())
    }

    #[test]
    fn parents_come_first() {
        let keys = [key("a", "b"), key("b", "c"), key("a", "a")];
        assert_eq!(
            ordered(&["a", "b", "c"], &keys, &[]),
            (vec!["c".into(), "b".into(), "a".into()], 0)
        );
    }

    #[test]
    fn partitions_are_what_their_parent_is() {
        let keys = [key("a", "whole")];
        let found = ordered(
            &["a", "part"],
            &keys,
            &[("part", "middle"), ("middle", "whole")],
        );
        assert_eq!(found, (vec!["part".into(), "a".into()], 0));
    }

    #[test]
    fn a_circle_is_said() {
        let keys = [key("a", "b"), key("b", "a")];
        let (tables, circular) = ordered(&["a", "b"], &keys, &[]);
        assert_eq!((tables.len(), circular), (2, 1));
    }
}
