//! What a role may not read although it may read all tables, and what text is compared by.

use super::{CheckFacts, blocker, listed};
use crate::model::{Finding, Rows, quote_ident};

pub(super) fn findings(facts: &CheckFacts<'_>) -> Vec<Finding> {
    [large_objects(facts), collations(facts)]
        .into_iter()
        .flatten()
        .collect()
}

/// Each has an owner and privileges of its own.
fn large_objects(facts: &CheckFacts<'_>) -> Option<Finding> {
    let (count, examples) = &facts.source.unreadable_large_objects;
    let is_moved = !facts.basis.source_facts.large_objects.is_empty();
    let role = quote_ident(&facts.basis.source.role);
    (*count > 0 && is_moved).then(|| {
        blocker(
            "large-objects-unreadable",
            format!(
                "role {role} may not read {} large objects of the source (among them {})",
                Rows(*count),
                listed(examples)
            ),
            format!(
                "On the source, as a superuser or their owner (or connect as such a role):\nDO $$DECLARE o oid; BEGIN FOR o IN SELECT oid \
                 FROM pg_largeobject_metadata LOOP EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO %I', o, {}); END LOOP; END$$;",
                crate::model::quote_literal(&facts.basis.source.role)
            ),
        )
    })
}

/// Those of the system are there or not, depending on the operating system and on ICU; no dump creates them.
fn collations(facts: &CheckFacts<'_>) -> Option<Finding> {
    let there = &facts.target.collations;
    let missing: Vec<String> = facts
        .source
        .collations
        .iter()
        .filter(|(name, used)| *used && !there.iter().any(|(other, _)| other == name))
        .map(|(name, _)| quote_ident(name))
        .collect();
    // A server that has refused to say what it has lacks nothing that is known.
    (!missing.is_empty() && !there.is_empty()).then(|| {
        blocker(
            "collations-missing",
            format!(
                "columns or types of the source use collations that the target does not have: {}",
                listed(&missing)
            ),
            "Install the locale on the target's machine (locale-gen, or the package locales-all; for names with -x-icu a server with \
             ICU), restart the server, and then in the target database: SELECT pg_import_system_collations('pg_catalog');",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{World, rules};
    use super::findings;
    use crate::catalog::LargeObject;
    use crate::model::Oid;

    #[test]
    fn large_objects_that_may_not_be_read_forbid_unless_they_are_left_out() {
        let mut world = World::default();
        world.source_now.unreadable_large_objects = (2, vec![Oid(7), Oid(8)]);
        assert_eq!(findings(&world.check_facts()), []);
        world.source_facts.large_objects = vec![LargeObject {
            oid: Oid(7),
            owner: "me".into(),
            comment: None,
            grants: None,
        }];
        let found = findings(&world.check_facts());
        assert_eq!(rules(&found), ["large-objects-unreadable"]);
        assert!(found[0].what.contains("7 and 8"), "{found:?}");
    }

    #[test]
    fn collations_in_use_must_be_there() {
        let mut world = World::default();
        world.source_now.collations = vec![("de_DE".into(), true), ("fr_FR".into(), false)];
        assert_eq!(findings(&world.check_facts()), []);
        world.target_now.collations = vec![("C".into(), false)];
        let found = findings(&world.check_facts());
        assert_eq!(rules(&found), ["collations-missing"]);
        assert!(found[0].what.ends_with(": \"de_DE\""), "{found:?}");
        world.target_now.collations.push(("de_DE".into(), false));
        assert_eq!(findings(&world.check_facts()), []);
    }
}
