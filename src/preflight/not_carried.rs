//! What belongs to the server, to the database itself, or to its replication, and so is in no dump.
//!
//! Roles, settings and tablespaces have rules of their own.

use std::collections::BTreeSet;

use super::CheckFacts;
use crate::catalog::{DatabaseFacts, NotDumped, NotDumpedKind, Slot};
use crate::model::{Finding, Rows, listed, not_yet, quote_ident, quote_literal, to_paste};

pub(super) fn findings(facts: &CheckFacts<'_>) -> Vec<Finding> {
    [
        database_privileges(facts),
        followers(facts),
        subscriptions(facts),
        foreign_servers(facts),
        other_databases(facts),
        extension_rows(facts),
        in_system_schemas(facts),
        remarks(facts),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A privilege on the database: whose, which, and whether it can be passed on. `None` is `PUBLIC`.
type Privilege<'a> = (Option<&'a str>, &'a str, bool);

/// What others than the owner may do. Without a list, the server's default holds.
fn privileges(database: &DatabaseFacts) -> BTreeSet<Privilege<'_>> {
    match &database.grants {
        None => BTreeSet::from([(None, "CONNECT", false), (None, "TEMPORARY", false)]),
        Some(grants) => grants
            .iter()
            .filter(|grant| grant.grantee.as_deref() != Some(&database.owner))
            .map(|grant| {
                (
                    grant.grantee.as_deref(),
                    grant.privilege.as_str(),
                    grant.grantable,
                )
            })
            .collect(),
    }
}

/// What would make the target's privileges the source's. The owner of the one is a grantee of the other at times.
fn database_privileges(facts: &CheckFacts<'_>) -> Option<Finding> {
    // A database that is created gets them, and who leaves privileges out wants none.
    let target = facts.target_database?;
    if facts.basis.restore.no_acl {
        return None;
    }
    let (ours, theirs) = (privileges(facts.source_database), privileges(target));
    let database = quote_ident(&target.name);
    let owner = target.owner.as_str();
    let role = |grantee: Option<&str>| grantee.map_or_else(|| "PUBLIC".to_owned(), quote_ident);
    let is_there = |role: &str| facts.basis.target_facts.roles.iter().any(|one| one == role);
    let grants = ours
        .difference(&theirs)
        .filter(|(grantee, ..)| *grantee != Some(owner))
        .filter_map(|(grantee, privilege, grantable)| {
            let option = if *grantable { " WITH GRANT OPTION" } else { "" };
            let to = role(*grantee);
            let grant = format!("GRANT {privilege} ON DATABASE {database} TO {to}{option};");
            match grantee {
                Some(name) if !is_there(name) => not_yet("once the role is there", &grant),
                _ => Some(grant),
            }
        });
    let mover = facts.basis.target;
    let comes_as_anybody = !mover.superuser && mover.role != owner;
    // Only what everybody may do is taken away: a role that may do more on the target was let in there by somebody.
    let revokes = theirs
        .difference(&ours)
        .filter(|(grantee, ..)| grantee.is_none())
        .filter_map(|(_, privilege, _)| {
            let revoke = format!("REVOKE {privilege} ON DATABASE {database} FROM PUBLIC;");
            if comes_as_anybody {
                not_yet("after the move, which may be let in by this", &revoke)
            } else {
                Some(revoke)
            }
        });
    let statements: Vec<String> = grants.chain(revokes).collect();
    (!statements.is_empty()).then(|| {
        Finding::warning(
            "database-privileges",
            "privileges on the source database itself are not moved, and the target's differ"
                .to_owned(),
            to_paste(
                "On the target (move --create brings them along):",
                statements,
            ),
        )
    })
}

fn followers(facts: &CheckFacts<'_>) -> Option<Finding> {
    let slots = facts.source.slots.iter();
    let here: Vec<&Slot> = slots.filter(|slot| slot.logical && slot.here).collect();
    // Until the switch, a reader that is only down for the moment needs its place in the log.
    let statements = here.iter().filter_map(|slot| {
        let name = quote_literal(&slot.name);
        let drop = format!("SELECT pg_drop_replication_slot({name});");
        not_yet("on the source, after the switch", &drop)
    });
    (!here.is_empty()).then(|| {
        Finding::warning(
            "slots-left-behind",
            format!(
                "logical replication slots on the source database are not moved: {}",
                listed(here.iter().map(|slot| &slot.name))
            ),
            to_paste(
                "Start their consumers (subscriptions, change data capture) again from the target after the switch, then drop the slots on the \
                 source, which keep its write-ahead log:",
                statements,
            ),
        )
        .with_evidence(here.iter().map(|slot| {
            let state = if slot.active { "active" } else { "inactive" };
            format!("{} keeps {}; {state}", slot.name, slot.kept)
        }))
    })
}

/// They arrive disabled, because two of the same name on one publisher would rob each other.
fn subscriptions(facts: &CheckFacts<'_>) -> Option<Finding> {
    let names: Vec<String> = facts
        .basis
        .entries()
        .filter(|entry| entry.is("SUBSCRIPTION"))
        .map(crate::toc::Entry::tag_lossy)
        .collect();
    let quoted = || names.iter().map(|name| quote_ident(name));
    let disable = quoted().map(|name| format!("ALTER SUBSCRIPTION {name} DISABLE;"));
    // The source is where this is pasted: what is for the target is not to run there.
    let enable = quoted().filter_map(|name| {
        let enable = format!(
            "ALTER SUBSCRIPTION {name} ENABLE; ALTER SUBSCRIPTION {name} REFRESH PUBLICATION WITH (copy_data = false);"
        );
        not_yet("on the target, after the move", &enable)
    });
    (!names.is_empty()).then(|| {
        Finding::warning(
            "subscriptions-disabled",
            format!(
                "subscriptions arrive disabled, and what is published in the meantime is on the source only: {}",
                listed(&names)
            ),
            to_paste(
                "Before the last move, disable them on the source. Enabled on the target after it, they go on with the same slots (what the \
                 source had received and not yet confirmed arrives again):",
                disable.chain(enable),
            ),
        )
    })
}

fn foreign_servers(facts: &CheckFacts<'_>) -> Option<Finding> {
    let entries = || facts.basis.entries();
    let servers: Vec<String> = entries()
        .filter(|entry| entry.is("SERVER"))
        .map(crate::toc::Entry::tag_lossy)
        .collect();
    let tables = entries().filter(|entry| entry.is("FOREIGN TABLE")).count() as u64;
    (!servers.is_empty()).then(|| {
        Finding::note(
            "foreign-servers",
            format!(
                "foreign servers are moved as definitions; the rows of their tables stay where they are: {}",
                listed(&servers)
            ),
            "Make sure that the target's machine can reach them (firewall, pg_hba.conf and passwords there), and that no address in their \
             options points at the old machine.",
        )
        .with_evidence([format!("foreign tables: {}", Rows(tables))])
    })
}

fn other_databases(facts: &CheckFacts<'_>) -> Option<Finding> {
    let others = &facts.source.other_databases;
    let shown = others.iter().map(|(name, bytes)| match bytes {
        Some(bytes) => format!("{} ({bytes})", quote_ident(name)),
        None => quote_ident(name),
    });
    (!others.is_empty()).then(|| {
        Finding::note(
            "other-databases",
            format!(
                "one database is moved; the source's server has others: {}",
                listed(shown)
            ),
            "Each of them is a move of its own.",
        )
    })
}

/// The names of what is in no dump, of one kind.
fn uncarried<'a>(
    facts: &CheckFacts<'a>,
    is_meant: impl Fn(&NotDumpedKind) -> bool,
) -> Vec<&'a str> {
    let all: &'a [NotDumped] = &facts.source.uncarried;
    let meant = all.iter().filter(|one| is_meant(&one.kind));
    meant.map(|one| one.object.as_str()).collect()
}

fn is_moved(facts: &CheckFacts<'_>, extension: &str) -> bool {
    let mut entries = facts.basis.entries();
    entries.any(|entry| entry.is("EXTENSION") && entry.tag_lossy() == extension)
}

/// Most are bookkeeping, which the extension does again on the target.
fn extension_rows(facts: &CheckFacts<'_>) -> Option<Finding> {
    let tables = uncarried(
        facts,
        |kind| matches!(kind, NotDumpedKind::ExtensionRows(of) if is_moved(facts, of)),
    );
    (!tables.is_empty()).then(|| {
        Finding::note(
            "extension-rows",
            "tables of extensions hold rows that are neither moved nor compared, because the extensions do not declare them as configuration"
                .to_owned(),
            "CREATE EXTENSION, or the extension itself, fills them again on the target. If other rows were added, copy these by hand after the \
             move, or find a newer version of the extension that declares them.",
        )
        .with_evidence(tables.into_iter().map(str::to_owned))
    })
}

fn in_system_schemas(facts: &CheckFacts<'_>) -> Option<Finding> {
    if facts.basis.selective {
        return None;
    }
    let objects = uncarried(facts, |kind| *kind == NotDumpedKind::InSystemSchema);
    (!objects.is_empty()).then(|| {
        Finding::warning(
            "system-schema-objects",
            "objects were created or changed in pg_catalog or information_schema; neither they nor their rows are moved".to_owned(),
            "Move what was created to a schema of its own on the source, or make the same changes on the target before the move.",
        )
        .with_evidence(objects.into_iter().map(str::to_owned))
    })
}

fn remarks(facts: &CheckFacts<'_>) -> Option<Finding> {
    const RELATIONS: [&str; 4] = ["TABLE", "VIEW", "MATERIALIZED VIEW", "FOREIGN TABLE"];
    let restore = facts.basis.restore;
    let remarks = uncarried(facts, |kind| match kind {
        NotDumpedKind::Remark { on, grants } => {
            let is_left_out = if *grants {
                restore.no_acl
            } else {
                restore.no_comments
            };
            !is_left_out && facts.basis.describes(&RELATIONS, on)
        }
        _ => false,
    });
    (!remarks.is_empty()).then(|| {
        Finding::warning(
            "remarks-left-behind",
            "comments on parts of tables that no dump names (inherited constraints and triggers, row types, the rules of views), and grants on row \
             types, are not moved"
                .to_owned(),
            "Repeat them on the target after the move, with COMMENT ON CONSTRAINT, TRIGGER, RULE or TYPE, and GRANT or REVOKE … ON TYPE.",
        )
        .with_evidence(remarks.into_iter().map(str::to_owned))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{World, rules};
    use super::*;
    use crate::catalog::DatabaseGrant;
    use crate::model::{Bytes, QualifiedName};

    fn grant(grantee: Option<&str>, privilege: &str) -> DatabaseGrant {
        DatabaseGrant {
            grantor: "owner".into(),
            grantee: grantee.map(str::to_owned),
            privilege: privilege.into(),
            grantable: false,
        }
    }

    #[test]
    fn privileges_on_the_database_are_written_as_statements() {
        let mut world = World::default();
        assert_eq!(findings(&world.check_facts()), []);
        world.target_facts.roles.push("reader".into());
        world.source_database.grants = Some(vec![
            grant(Some("owner"), "CREATE"),
            grant(Some("reader"), "CONNECT"),
        ]);
        let found = findings(&world.check_facts());
        assert_eq!(rules(&found), ["database-privileges"]);
        let statements: Vec<&str> = found[0].remedy.lines().skip(1).collect();
        assert_eq!(
            statements,
            [
                "GRANT CONNECT ON DATABASE \"shop\" TO \"reader\";",
                "REVOKE CONNECT ON DATABASE \"shop\" FROM PUBLIC;",
                "REVOKE TEMPORARY ON DATABASE \"shop\" FROM PUBLIC;",
            ]
        );
        // Who does not exist cannot be granted anything; who comes in as anybody would lock himself out.
        world.target_facts.roles.retain(|role| role != "reader");
        world.target.superuser = false;
        let found = findings(&world.check_facts());
        let mut statements = found[0].remedy.lines().skip(1);
        assert!(statements.all(|line| line.starts_with("-- ")), "{found:?}");
        world.target.superuser = true;
        world.restore.no_acl = true;
        assert_eq!(findings(&world.check_facts()), [], "they are not wanted");
        world.restore.no_acl = false;
        let grants = world.source_database.grants.clone();
        world.target_database.grants = grants;
        assert_eq!(findings(&world.check_facts()), []);
    }

    #[test]
    fn whoever_follows_this_database_is_named() {
        let mut world = World::default();
        let slot = |name: &str, logical, here| Slot {
            name: name.into(),
            logical,
            here,
            ..Slot::default()
        };
        world.source_now.slots = vec![slot("physical", false, false), slot("other", true, false)];
        assert_eq!(findings(&world.check_facts()), []);
        world.source_now.slots.push(slot("cdc", true, true));
        let found = findings(&world.check_facts());
        assert_eq!(rules(&found), ["slots-left-behind"]);
        assert!(found[0].what.ends_with(": cdc"), "{found:?}");
        // Pasted before the switch, nothing is dropped.
        let mut pasted = found[0].remedy.lines().skip(1);
        assert!(pasted.all(|line| line.starts_with("-- ")), "{found:?}");
    }

    #[test]
    fn what_reaches_out_is_named() {
        let mut world = World::default();
        world.entry("SUBSCRIPTION", "s", "CREATE SUBSCRIPTION s …;");
        world.entry("SERVER", "far", "CREATE SERVER far …;");
        world.source_now.other_databases = vec![("wiki".into(), Some(Bytes(1 << 20)))];
        let found = findings(&world.check_facts());
        assert_eq!(
            rules(&found),
            [
                "subscriptions-disabled",
                "foreign-servers",
                "other-databases"
            ]
        );
        assert!(found[2].what.ends_with(": \"wiki\" (1.0 MB)"), "{found:?}");
        world.restore.no_subscriptions = true;
        assert!(!rules(&findings(&world.check_facts())).contains(&"subscriptions-disabled"));
    }

    #[test]
    fn what_is_in_no_dump_is_named_as_far_as_it_takes_part() {
        let mut world = World::default();
        let kinds = [
            NotDumpedKind::ExtensionRows("e".into()),
            NotDumpedKind::InSystemSchema,
            NotDumpedKind::Remark {
                on: QualifiedName::new("public", "t"),
                grants: true,
            },
        ];
        let named = kinds.into_iter().zip(["rows", "function f()", "grants"]);
        let uncarried = named.map(|(kind, object)| NotDumped {
            kind,
            object: object.into(),
        });
        world.source_now.uncarried = uncarried.collect();
        let without = findings(&world.check_facts());
        let elsewhere = ["system-schema-objects", "remarks-left-behind"];
        assert_eq!(rules(&without), elsewhere, "the extension is not moved");
        world.entry("EXTENSION", "e", "CREATE EXTENSION e;");
        world.restore.no_acl = true;
        let found = findings(&world.check_facts());
        assert_eq!(rules(&found), ["extension-rows", "system-schema-objects"]);
        assert_eq!(found[0].evidence, ["rows"]);
        assert_eq!(found[1].evidence, ["function f()"]);
    }
}
