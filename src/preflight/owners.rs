//! Owners that may create nothing in the schema of what they are to own: `ALTER … OWNER TO` is refused then, unless a superuser runs it.
//!
//! Owners are set with each object, and grants come last of all: what the source itself has granted is not there yet. Only what is certain
//! is reported: what the schema public will be like in a database that is yet to be created or emptied is not known.

use std::collections::{BTreeMap, BTreeSet};

use super::PreflightFacts;
use crate::catalog::{NewOwner, OwnerWithoutCreate};
use crate::model::{Finding, listed, not_yet, quote_ident, rule, to_paste};
use crate::toc::{Entry, RestoreOptions, Toc, owner_statement};

/// Who is to own something in which schema. `stays`: what the target holds is there still by then.
pub fn new_owners((toc, restore): (&Toc, &RestoreOptions), stays: bool) -> Vec<NewOwner> {
    if restore.no_owner {
        return Vec::new();
    }
    let owned: Vec<(&Entry, &str)> = toc
        .entries
        .iter()
        .filter(|entry| restore.leaves_out(entry).is_none())
        .filter(|entry| matches!(owner_statement(entry), Ok(Some(_))))
        .filter_map(|entry| Some((entry, entry.owner.as_ref()?.to_str()?)))
        .collect();
    let of_schemas = owned.iter().filter(|(entry, _)| entry.is("SCHEMA"));
    let of_schemas: BTreeMap<&str, &str> = of_schemas
        .filter_map(|(entry, owner)| Some((entry.tag.to_str()?, *owner)))
        .collect();
    let in_schemas: BTreeSet<(&str, &str)> = owned
        .iter()
        .filter_map(|(entry, owner)| Some((entry.namespace.as_ref()?.to_str()?, *owner)))
        .filter(|(schema, _)| !schema.is_empty() && (stays || *schema != "public"))
        .collect();
    let new_owner = |(schema, role): (&str, &str)| NewOwner {
        role: role.to_owned(),
        schema: schema.to_owned(),
        schema_owner: of_schemas
            .get(schema)
            .copied()
            .unwrap_or_default()
            .to_owned(),
    };
    in_schemas.into_iter().map(new_owner).collect()
}

pub(super) fn finding(facts: &PreflightFacts<'_>) -> Option<Finding> {
    let barred = facts.owners_without_create;
    if barred.is_empty() {
        return None;
    }
    let named = barred
        .iter()
        .map(|one| format!("{} in {}", quote_ident(&one.role), quote_ident(&one.schema)));
    let grants: BTreeSet<String> = barred.iter().filter_map(|one| grant(facts, one)).collect();
    Some(Finding::blocker(
        rule::OWNERS_WITHOUT_CREATE,
        format!(
            "role {} is not a superuser on the target, and cannot give objects to roles that may not create anything in the objects' schema: {}",
            quote_ident(&facts.target.role),
            listed(named)
        ),
        to_paste(
            "Leave owners out with --no-owner, or connect to the target as a superuser. Or grant it on the target (what the source does not \
             grant as well is a difference in the end):",
            grants,
        ),
    ))
}

/// What lets one own it, if it can be said in one line. In a schema that is yet to be made, it can be granted once that has failed there.
fn grant(facts: &PreflightFacts<'_>, one: &OwnerWithoutCreate) -> Option<String> {
    let role = if is_open_on_source(facts, &one.schema) {
        "PUBLIC".to_owned()
    } else {
        quote_ident(&one.role)
    };
    let grant = format!(
        "GRANT CREATE ON SCHEMA {} TO {role};",
        quote_ident(&one.schema)
    );
    if one.there {
        return Some(grant);
    }
    let when = format!(
        "once it has failed (--skip-check {}), before pgconvoy resume --retry-failed",
        rule::OWNERS_WITHOUT_CREATE
    );
    not_yet(&when, &grant)
}

/// Whether everybody may create in a schema of the source, as in public before version 15.
fn is_open_on_source(facts: &PreflightFacts<'_>, schema: &str) -> bool {
    let tag = format!("SCHEMA {schema}");
    let mut grants = facts
        .entries()
        .filter(|entry| entry.is("ACL") && entry.tag.to_str() == Some(&*tag))
        .flat_map(|entry| entry.defn_bytes().split(|byte| *byte == b'\n'));
    grants.any(|statement| {
        let privileges = statement.strip_prefix(b"GRANT ");
        privileges.is_some_and(|rest| {
            (rest.starts_with(b"ALL ") || rest.starts_with(b"CREATE "))
                && rest.ends_with(b" TO PUBLIC;")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{World, rules};
    use super::super::{findings, is_go};
    use super::*;

    fn world() -> World {
        let mut world = World::default();
        world
            .entry("SCHEMA", "billing", "CREATE SCHEMA billing;")
            .owner("boss");
        world
            .entry("TABLE", "t", "CREATE TABLE public.t ();")
            .owner("Ann");
        world.target_facts.roles = ["Ann", "boss", "me"].map(String::from).to_vec();
        world.assumable = world.target_facts.roles.clone();
        world.target.superuser = false;
        world
    }

    fn asked(world: &World, stays: bool) -> Vec<(String, String, String)> {
        let owners = new_owners((&world.toc, &world.restore), stays);
        let owners = owners.into_iter();
        owners
            .map(|one| (one.role, one.schema, one.schema_owner))
            .collect()
    }

    #[test]
    fn whoever_is_to_own_something_is_asked_about_with_whose_the_schema_will_be() {
        let mut world = world();
        world.toc.entries[0].namespace = None;
        let owned = |role: &str, schema: &str, of: &str| {
            (role.to_owned(), schema.to_owned(), of.to_owned())
        };
        assert_eq!(asked(&world, true), [owned("Ann", "public", "")]);
        assert!(asked(&world, false).is_empty(), "nobody knows public then");
        let table = world.toc.entries[1].clone();
        world.toc.entries.push(Entry {
            namespace: Some("billing".into()),
            ..table
        });
        assert_eq!(asked(&world, false), [owned("Ann", "billing", "boss")]);
        world.restore.no_owner = true;
        assert!(asked(&world, true).is_empty());
    }

    #[test]
    fn owners_that_may_create_nothing_forbid_with_what_lets_them() {
        let mut world = world();
        assert!(is_go(&findings(&world.facts())));
        let barred = |schema: &str, there| OwnerWithoutCreate {
            role: "Ann".into(),
            schema: schema.into(),
            there,
        };
        world.without_create = vec![barred("public", true), barred("billing", false)];
        let pasted = |world: &World| -> Vec<String> {
            let found = findings(&world.facts());
            assert_eq!(rules(&found), ["owners-without-create"]);
            let lines = found[0].remedy.lines().skip(1);
            lines.map(str::to_owned).collect()
        };
        assert_eq!(
            pasted(&world),
            [
                "-- once it has failed (--skip-check owners-without-create), before pgconvoy resume --retry-failed: \
                 GRANT CREATE ON SCHEMA \"billing\" TO \"Ann\";",
                "GRANT CREATE ON SCHEMA \"public\" TO \"Ann\";"
            ]
        );
        // As it was before version 15: who grants it to one role makes a difference.
        world.without_create.pop();
        world.entry(
            "ACL",
            "SCHEMA public",
            "REVOKE USAGE ON SCHEMA public FROM PUBLIC;\nGRANT ALL ON SCHEMA public TO PUBLIC;\n",
        );
        assert_eq!(
            pasted(&world),
            ["GRANT CREATE ON SCHEMA \"public\" TO PUBLIC;"]
        );
    }
}
