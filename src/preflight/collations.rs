//! What text is compared by.

use std::collections::BTreeSet;

use super::CheckFacts;
use crate::catalog::SystemCollation;
use crate::model::{Finding, QualifiedName, listed, quote_ident, to_paste};
use crate::toc::Entry;

/// Entries that say by name what text is compared by.
const COLLATED: [&str; 6] = [
    "TABLE",
    "VIEW",
    "MATERIALIZED VIEW",
    "FOREIGN TABLE",
    "TYPE",
    "DOMAIN",
];

/// Those of the system are there or not, depending on the operating system and on ICU; no dump creates them.
pub(super) fn finding(facts: &CheckFacts<'_>) -> Option<Finding> {
    let (source, target) = (facts.basis.source, facts.basis.target);
    // A database that is created will have the source's encoding, whatever the one has that is connected to.
    let encoding = if facts.basis.create {
        &source.encoding
    } else {
        &target.encoding
    };
    let there: BTreeSet<&str> = names_in(&facts.target.collations, encoding).collect();
    let described: Option<BTreeSet<QualifiedName>> = facts.basis.toc.map(|_| {
        let entries = facts.basis.entries();
        let named = entries.filter(|entry| COLLATED.contains(&entry.desc.as_str()));
        named.filter_map(Entry::qualified_name).collect()
    });
    let takes_part = |one: &&SystemCollation| {
        let used_by = one.used_by.as_ref();
        used_by.is_some_and(|object| described.as_ref().is_none_or(|all| all.contains(object)))
    };
    let used = facts.source.collations.iter().filter(takes_part);
    let missing: BTreeSet<String> = names_in(used, &source.encoding)
        .filter(|name| !there.contains(name))
        .map(quote_ident)
        .collect();
    // A server that has refused to say what it has lacks nothing that is known.
    (!missing.is_empty() && !there.is_empty()).then(|| {
        Finding::blocker(
            "collations-missing",
            format!(
                "columns or types of the source use collations that the target does not have: {}",
                listed(&missing)
            ),
            to_paste(
                "Install the locale on the target's machine (locale-gen, or the package locales-all; for names with -x-icu a server with ICU; \
                 unicode, pg_c_utf8 and pg_unicode_fast come only with newer servers), restart the server, and then in the target database:",
                ["SELECT pg_import_system_collations('pg_catalog');".to_owned()],
            ),
        )
    })
}

/// Those that can be used in a database of that encoding.
fn names_in<'a>(
    collations: impl IntoIterator<Item = &'a SystemCollation>,
    encoding: &str,
) -> impl Iterator<Item = &'a str> {
    let fits = move |one: &&SystemCollation| {
        let own = one.encoding.as_deref();
        own.is_none_or(|own| own == encoding)
    };
    collations
        .into_iter()
        .filter(fits)
        .map(|one| one.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::PreflightFacts;
    use super::super::testing::{World, rules};
    use super::{CheckFacts, SystemCollation, finding};
    use crate::model::QualifiedName;

    fn collation(name: &str, used_by: Option<&str>) -> SystemCollation {
        SystemCollation {
            name: name.into(),
            encoding: name.ends_with("utf8").then(|| "UTF8".into()),
            used_by: used_by.map(|table| QualifiedName::new("public", table)),
        }
    }

    #[test]
    fn collations_in_use_must_be_there() {
        let mut world = World::default();
        world.entry("TABLE", "t", "CREATE TABLE public.t ();");
        world.source_now.collations = vec![collation("de_DE", Some("t")), collation("fr_FR", None)];
        assert_eq!(finding(&world.check_facts()), None);
        world.target_now.collations = vec![collation("C", None)];
        let found = Vec::from_iter(finding(&world.check_facts()));
        assert_eq!(rules(&found), ["collations-missing"]);
        assert!(found[0].what.ends_with(": \"de_DE\""), "{found:?}");
        world.target_now.collations.push(collation("de_DE", None));
        assert_eq!(finding(&world.check_facts()), None);
    }

    #[test]
    fn what_is_left_out_needs_no_collation() {
        let mut world = World::default();
        world.entry("TABLE", "t", "CREATE TABLE public.t ();");
        world.source_now.collations = vec![collation("de_DE", Some("left_out"))];
        world.target_now.collations = vec![collation("C", None)];
        assert_eq!(finding(&world.check_facts()), None);
    }

    /// The maintenance database may have another encoding than the one that will be created.
    #[test]
    fn a_database_that_is_created_has_the_collations_of_its_own_encoding() {
        let mut world = World::default();
        world.entry("TABLE", "t", "CREATE TABLE public.t ();");
        world.source_now.collations = vec![collation("de_DE.utf8", Some("t"))];
        world.target_now.collations = vec![collation("C", None), collation("de_DE.utf8", None)];
        world.target.encoding = "SQL_ASCII".into();
        let found = Vec::from_iter(finding(&world.check_facts()));
        assert_eq!(rules(&found), ["collations-missing"]);
        let created = CheckFacts {
            basis: PreflightFacts {
                create: true,
                ..world.facts()
            },
            ..world.check_facts()
        };
        assert_eq!(finding(&created), None);
    }
}
