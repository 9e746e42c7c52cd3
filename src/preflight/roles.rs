//! Roles that the schema names, and the target does not have or the connected role cannot act for.
//!
//! Roles belong to the whole server and are in no dump of one database.

use std::collections::{BTreeMap, BTreeSet};

use super::PreflightFacts;
use super::grantees::roles_in;
use crate::model::{Finding, listed, quote_ident, rule, to_paste};
use crate::toc::{Text, owner_statement};

pub(super) fn findings(facts: &PreflightFacts<'_>) -> Vec<Finding> {
    let owners = owners(facts);
    let named = named(facts);
    [
        missing(facts, &owners, &named),
        not_assumable(facts, &owners),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The roles that will own something; none with `--no-owner`.
fn owners(facts: &PreflightFacts<'_>) -> BTreeSet<String> {
    if facts.restore.no_owner {
        return BTreeSet::new();
    }
    let of_entries = facts
        .entries()
        // An entry whose kind is not known is the plan's to refuse.
        .filter(|entry| matches!(owner_statement(entry), Ok(Some(_))))
        .filter_map(|entry| entry.owner.as_ref().and_then(Text::to_str))
        .map(str::to_owned);
    let objects = facts
        .toc
        .map_or(&[][..], |_| &facts.source_facts.large_objects);
    // An archive need not say who owns an object: the restoring role does then.
    let of_objects = objects.iter().map(|object| object.owner.clone());
    of_entries
        .chain(of_objects.filter(|owner| !owner.is_empty()))
        .collect()
}

/// Roles that grants, default privileges, policies and user mappings name, with what names them.
fn named(facts: &PreflightFacts<'_>) -> BTreeMap<String, BTreeSet<&'static str>> {
    let mut named: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
    let mut add = |role: String, what| named.entry(role).or_default().insert(what);
    for entry in facts.entries() {
        let what = match entry.desc.as_str() {
            "POLICY" => "policies",
            "USER MAPPING" => "user mappings",
            _ if entry.is_acl() => "grants",
            _ => continue,
        };
        // A definition in another encoding cannot be read for names; the statement itself will tell.
        if let Ok(sql) = std::str::from_utf8(entry.defn_bytes()) {
            for role in roles_in(sql) {
                add(role, what);
            }
        }
    }
    if !facts.restore.no_acl && facts.toc.is_some() {
        let grants = facts
            .source_facts
            .large_objects
            .iter()
            .filter_map(|object| object.grants.as_ref())
            .flatten();
        for role in grants.filter_map(|grant| grant.grantee.clone()) {
            add(role, "grants");
        }
    }
    named
}

fn missing(
    facts: &PreflightFacts<'_>,
    owners: &BTreeSet<String>,
    named: &BTreeMap<String, BTreeSet<&'static str>>,
) -> Option<Finding> {
    let there: BTreeSet<&String> = facts.target_facts.roles.iter().collect();
    let all: BTreeSet<&String> = owners.iter().chain(named.keys()).collect();
    let missing: Vec<&String> = all.difference(&there).copied().collect();
    if missing.is_empty() {
        return None;
    }
    let described = missing.iter().map(|role| {
        let mut parts = Vec::new();
        if owners.contains(*role) {
            parts.push("owns objects");
        }
        let named_by = named.get(*role);
        let in_parts: Vec<&str> = named_by.into_iter().flatten().copied().collect();
        let in_text = format!("is in {}", listed(in_parts.iter()));
        if named_by.is_some() {
            parts.push(&in_text);
        }
        format!("{} ({})", quote_ident(role), parts.join("; "))
    });
    let what = format!("the target has no role {}", listed(described));
    // Those of newer versions are there or not.
    let (predefined, others): (Vec<&String>, Vec<&String>) = missing
        .iter()
        .copied()
        .partition(|role| role.starts_with("pg_"));
    let instead = "leave owners out with --no-owner, and grants with -x";
    let reserved = if predefined.is_empty() {
        String::new()
    } else {
        let theirs = listed(predefined.iter().map(|role| quote_ident(role)));
        format!(
            "Only newer versions of PostgreSQL have {theirs}: revoke what they were granted on the source, or {instead}."
        )
    };
    let statements = others
        .iter()
        .map(|role| format!("CREATE ROLE {};", quote_ident(role)));
    let create = to_paste(
        &format!(
            "Create them on the target as they are on the source, with passwords, attributes and memberships (pg_dumpall --roles-only writes \
             the statements); or {instead}; or, for a trial, as roles that own and cannot log in:"
        ),
        statements,
    );
    Some(Finding::blocker(
        rule::ROLES_MISSING,
        what,
        match (predefined.is_empty(), others.is_empty()) {
            (true, _) => create,
            (false, true) => reserved,
            (false, false) => format!("{reserved} {create}"),
        },
    ))
}

/// `ALTER … OWNER TO` takes a role that one could become.
fn not_assumable(facts: &PreflightFacts<'_>, owners: &BTreeSet<String>) -> Option<Finding> {
    if facts.target.superuser {
        return None;
    }
    let there = &facts.target_facts.roles;
    let role = &facts.target.role;
    let foreign: Vec<&String> = owners
        .iter()
        .filter(|owner| there.contains(owner) && *owner != role)
        .filter(|owner| !facts.assumable_roles.contains(owner))
        .collect();
    if foreign.is_empty() {
        return None;
    }
    let me = quote_ident(role);
    let grants = foreign
        .iter()
        .map(|owner| format!("GRANT {} TO {me};", quote_ident(owner)));
    Some(Finding::blocker(
        rule::OWNERS_NOT_ASSUMABLE,
        format!(
            "role {me} is not a superuser on the target and cannot give objects to {}",
            listed(foreign.iter().map(|owner| quote_ident(owner)))
        ),
        to_paste(
            "Leave owners out with --no-owner, or, on the target:",
            grants,
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{World, rules};
    use super::super::{findings, is_go};
    use crate::catalog::LargeObject;
    use crate::model::Oid;

    fn world() -> World {
        let mut world = World::default();
        world
            .entry("TABLE", "t", "CREATE TABLE public.t ();")
            .owner("Ann");
        world
            .entry("ACL", "TABLE t", "GRANT SELECT ON TABLE public.t TO bob;")
            .owner("Ann");
        world.entry(
            "POLICY",
            "t p",
            "CREATE POLICY p ON public.t TO carl USING (true);",
        );
        world
    }

    #[test]
    fn roles_that_the_target_does_not_have_are_named_with_the_statements_to_make_them() {
        let found = findings(&world().facts());
        assert_eq!(rules(&found), ["roles-missing"]);
        assert_eq!(
            found[0].what,
            "the target has no role \"Ann\" (owns objects), \"bob\" (is in grants) and \"carl\" (is in policies)"
        );
        assert!(
            found[0]
                .remedy
                .contains("CREATE ROLE \"Ann\";\nCREATE ROLE \"bob\";"),
            "{}",
            found[0].remedy
        );
    }

    #[test]
    fn a_role_that_every_newer_server_has_cannot_be_created() {
        let mut world = World::default();
        world.entry("ACL", "TABLE t", "GRANT SELECT ON TABLE t TO pg_maintain;");
        let found = findings(&world.facts());
        assert_eq!(rules(&found), ["roles-missing"]);
        assert!(!found[0].remedy.contains("CREATE ROLE"), "{found:?}");
        world.entry("ACL", "TABLE t", "GRANT SELECT ON TABLE t TO bob;");
        let found = findings(&world.facts());
        let statements: Vec<&str> = found[0].remedy.lines().skip(1).collect();
        assert_eq!(statements, ["CREATE ROLE \"bob\";"]);
    }

    #[test]
    fn what_is_left_out_needs_no_role() {
        let mut world = world();
        world.restore.no_owner = true;
        world.restore.no_acl = true;
        let found = findings(&world.facts());
        assert!(
            found[0].what.ends_with("no role \"carl\" (is in policies)"),
            "{}",
            found[0].what
        );
        world.target_facts.roles.push("carl".into());
        assert!(is_go(&findings(&world.facts())));
    }

    #[test]
    fn a_large_object_whose_owner_is_not_said_needs_no_role() {
        let mut world = World::default();
        let of = |owner: &str| LargeObject {
            oid: Oid(7),
            owner: owner.to_owned(),
            comment: None,
            grants: None,
        };
        world.source_facts.large_objects = vec![of("")];
        assert!(is_go(&findings(&world.facts())));
        world.source_facts.large_objects = vec![of(""), of("Ann")];
        let found = findings(&world.facts());
        assert_eq!(rules(&found), ["roles-missing"]);
        assert_eq!(
            found[0].what,
            "the target has no role \"Ann\" (owns objects)"
        );
    }

    #[test]
    fn owners_must_be_roles_that_one_can_become() {
        let mut world = world();
        world.target_facts.roles = ["Ann", "bob", "carl"].map(String::from).to_vec();
        assert!(
            is_go(&findings(&world.facts())),
            "a superuser can become anybody"
        );
        world.target.superuser = false;
        let found = findings(&world.facts());
        assert_eq!(rules(&found), ["owners-not-assumable"]);
        assert!(
            found[0].remedy.contains("GRANT \"Ann\" TO \"me\";"),
            "{}",
            found[0].remedy
        );
        world.assumable = vec!["Ann".into()];
        assert!(is_go(&findings(&world.facts())));
    }
}
