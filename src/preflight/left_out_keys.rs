//! Foreign keys to rows that are left out: the target refuses them when everything else is there already.

use std::collections::{BTreeMap, BTreeSet};

use super::CheckFacts;
use crate::catalog::Constraint;
use crate::model::{Finding, QualifiedName, listed, quote_ident};

/// `pg_dump` brings the key of a table that it was asked for, whether the table that the key points to is asked for or not.
pub(super) fn finding(facts: &CheckFacts<'_>) -> Option<Finding> {
    let tables = facts.basis.source_facts.tables.iter();
    let roots = tables.filter_map(|one| Some((&one.name, one.partition_root.as_ref()?)));
    let roots: BTreeMap<&QualifiedName, &QualifiedName> = roots.collect();
    // What is done to a partition is done to a part of the table above it.
    let and_root = |table| std::iter::once(table).chain(roots.get(table).copied());
    let copied = facts.plan.tables.iter().map(|unit| &unit.table);
    let copied: BTreeSet<&QualifiedName> = copied.flat_map(and_root).collect();
    let emptied = facts.plan.excluded.iter();
    let emptied: BTreeSet<&QualifiedName> = emptied.flat_map(and_root).collect();
    let described = |name: &QualifiedName| {
        let mut tables = facts.basis.entries().filter(|entry| entry.is("TABLE"));
        tables.any(|entry| entry.qualified_name().as_ref() == Some(name))
    };
    let why = |key: &Constraint| {
        let points_to = key.references.as_ref()?;
        let shown = points_to.shown();
        if emptied.contains(points_to) {
            Some(format!("the rows of {shown}"))
        } else if facts.basis.selective && !described(points_to) {
            Some(format!("{shown} itself"))
        } else {
            None
        }
    };
    let keys = facts.basis.source_facts.constraints.iter();
    let named: Vec<String> = keys
        .filter(|key| key.kind == 'f' && key.validated && key.enforced && !key.inherited)
        .filter(|key| copied.contains(&key.table))
        .filter_map(|key| {
            let left_out = why(key)?;
            let name = quote_ident(&key.name);
            Some(format!("{name} of {} ({left_out})", key.table.shown()))
        })
        .collect();
    (!named.is_empty()).then(|| {
        Finding::warning(
            "references-left-out",
            format!(
                "foreign keys point to what is left out, and the target will refuse those whose rows point there: {}",
                listed(&named)
            ),
            "Move what they point to as well, or leave out the tables that point there; otherwise the move ends with status 1, without these \
             keys.",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::PreflightFacts;
    use super::super::testing::{World, rules};
    use super::*;
    use crate::model::Bytes;

    fn world() -> World {
        let mut world = World::default();
        world.copied("child", Bytes(1));
        world.entry("TABLE", "child", "CREATE TABLE public.child ();");
        world.source_facts.constraints.push(Constraint {
            table: QualifiedName::new("public", "child"),
            name: "key".into(),
            kind: 'f',
            validated: true,
            enforced: true,
            on_partitioned: false,
            inherited: false,
            references: Some(QualifiedName::new("public", "parent")),
            references_partitioned: false,
            over_time: None,
        });
        world
    }

    fn found(world: &World) -> Option<Finding> {
        finding(&CheckFacts {
            basis: PreflightFacts {
                selective: true,
                ..world.facts()
            },
            ..world.check_facts()
        })
    }

    #[test]
    fn a_key_to_what_is_left_out_is_named() {
        let mut world = world();
        let told = found(&world).expect("its table is left out");
        assert!(
            told.what
                .ends_with("\"key\" of public.child (public.parent itself)"),
            "{told:?}"
        );
        world.entry("TABLE", "parent", "CREATE TABLE public.parent ();");
        assert_eq!(found(&world), None);
        let parent = QualifiedName::new("public", "parent");
        world.plan.excluded.push(parent);
        let told = found(&world).expect("its rows are left out");
        assert!(
            told.what.ends_with("(the rows of public.parent)"),
            "{told:?}"
        );
        // It says so among all others, and not of rows that are left out, too.
        assert!(
            rules(&super::super::further_findings(&world.check_facts()))
                .contains(&"references-left-out")
        );
        world.plan.tables.clear();
        assert_eq!(found(&world), None);
    }
}
