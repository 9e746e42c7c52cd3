//! Whether everything on the source can be read.

use std::collections::BTreeSet;

use super::meanwhile::{Change, with_reload, with_restart};
use super::{PreflightFacts, damage_passed_over, remade};
use crate::catalog::ServerFacts;
use crate::model::{
    Finding, QualifiedName, Rows, ServerVersion, Severity, Side, listed, quote_ident,
    quote_literal, rule, shell_word, to_paste,
};
use crate::toc::Entry;

pub(super) fn findings(facts: &PreflightFacts<'_>) -> Vec<Finding> {
    let found = [
        too_old(facts.source),
        reserved_schema(facts),
        unreadable(facts),
        unreadable_large_objects(facts),
        out_of_reach(facts),
        damage_passed_over::finding(Side::Source, facts.source),
        standby(facts),
        too_few_locks(facts),
    ];
    let found = found.into_iter().flatten();
    found.chain(remade::findings(facts)).collect()
}

pub(super) fn too_old(source: &ServerFacts) -> Option<Finding> {
    let version = source.version;
    (version < ServerVersion::OLDEST).then(|| {
        Finding::blocker(
            "source-too-old",
            format!("the source is PostgreSQL {version}; versions before 10 are not supported"),
            "Use that version's own pg_dump and pg_restore.",
        )
    })
}

/// That schema is never dumped, copied or compared, so there must be nothing in it that anybody wants.
fn reserved_schema(facts: &PreflightFacts<'_>) -> Option<Finding> {
    facts.source.has_pgconvoy_schema.then(|| {
        Finding::blocker(
            "source-has-ledger",
            "the source has a schema pgconvoy, the name of the ledger of a move into it: it would be left behind".to_owned(),
            to_paste(
                "If it is yours, rename it, on the source; if an unfinished move into that database left it there (tables run, done and \
                 trouble), it may be dropped instead:",
                [
                    "ALTER SCHEMA pgconvoy RENAME TO something_else;".to_owned(),
                    "-- or, instead: DROP SCHEMA pgconvoy CASCADE;".to_owned(),
                ],
            ),
        )
    })
}

/// `pg_dump` locks and we copy every table: one that may not be read ends both.
fn unreadable(facts: &PreflightFacts<'_>) -> Option<Finding> {
    let relations = &facts.unreadable.relations;
    let first = relations.first()?;
    // What was not selected need not be readable; if it was, pg_dump says so before anything is touched.
    let severity = if facts.selective {
        Severity::Warning
    } else {
        Severity::Blocker
    };
    let role = quote_ident(&facts.source.role);
    Some(Finding::new(
        severity,
        rule::SOURCE_UNREADABLE,
        format!(
            "role {role} may not read all of the source: {}",
            listed(relations)
        ),
        format!(
            "Connect to the source as a superuser or the owner; or there: GRANT pg_read_all_data TO {role}; (14 and later), or \
             GRANT USAGE ON SCHEMA and GRANT SELECT ON {first}, …; for tables with row-level security also ALTER ROLE {role} \
             BYPASSRLS; or leave them out with -T."
        ),
    ))
}

/// Each has an owner and privileges of its own: a role that may read all tables may still not read these.
fn unreadable_large_objects(facts: &PreflightFacts<'_>) -> Option<Finding> {
    let (count, examples) = &facts.unreadable.large_objects;
    let role = quote_ident(&facts.source.role);
    (*count > 0).then(|| {
        Finding::blocker(
            rule::LARGE_OBJECTS_UNREADABLE,
            format!(
                "role {role} may not read {} large objects of the source (among them {})",
                Rows(*count),
                listed(examples)
            ),
            to_paste(
                "Connect as a superuser or their owner, or have such a role do this, on the source:",
                [format!(
                    "DO $$DECLARE o oid; BEGIN FOR o IN SELECT oid FROM pg_largeobject_metadata LOOP EXECUTE format('GRANT SELECT ON \
                     LARGE OBJECT %s TO %I', o, {}); END LOOP; END$$;",
                    quote_literal(&facts.source.role)
                )],
            ),
        )
    })
}

/// `pg_dump` leaves such rows out without a word, and copying them is refused.
fn out_of_reach(facts: &PreflightFacts<'_>) -> Option<Finding> {
    if facts.out_of_reach.is_empty() {
        return None;
    }
    let defined: Option<BTreeSet<QualifiedName>> = facts.toc.map(|toc| {
        let defines = |entry: &&Entry| entry.is("TABLE") || entry.is("SEQUENCE");
        let entries = toc.entries.iter().filter(defines);
        entries.filter_map(Entry::qualified_name).collect()
    });
    let is_listed = |name: &&QualifiedName| match &defined {
        Some(defined) => defined.contains(*name),
        // Whether it was selected is not known yet.
        None => !facts.selective,
    };
    let wanted: Vec<String> = facts
        .out_of_reach
        .iter()
        .filter(is_listed)
        .map(QualifiedName::shown)
        .collect();
    if wanted.is_empty() {
        return None;
    }
    let option = |name: &String| shell_word(&format!("--exclude-table-data={name}"));
    let options: Vec<String> = wanted.iter().map(option).collect();
    Some(Finding::blocker(
        "source-unlogged",
        format!(
            "the source is a standby, which does not have unlogged data: no rows of {}",
            listed(&wanted)
        ),
        format!(
            "Use the primary as the source, which has them; or leave them out: {}",
            options.join(" ")
        ),
    ))
}

fn standby(facts: &PreflightFacts<'_>) -> Option<Finding> {
    let delays = [
        ("max_standby_streaming_delay", &facts.source.streaming_delay),
        ("max_standby_archive_delay", &facts.source.archive_delay),
    ];
    let limited = delays
        .into_iter()
        .filter(|(_, delay)| delay.as_deref().is_some_and(|delay| delay != "-1"));
    let changes: Vec<Change<'_>> = limited
        .map(|(name, delay)| Change::new(name, "-1", delay.clone()))
        .collect();
    facts.source.cancels_reads.then(|| {
        Finding::warning(
            "source-standby",
            "the source is a standby: recovery may cancel long reads".to_owned(),
            to_paste(
                "On the source, for the time of the move (or hot_standby_feedback = on, where the primary may keep dead rows for it):",
                with_reload(&changes),
            ),
        )
    })
}

/// The snapshot's session and `pg_dump` each lock every table, in a table of locks that all sessions share.
fn too_few_locks(facts: &PreflightFacts<'_>) -> Option<Finding> {
    let tables = facts.source_facts.tables.len() as u64;
    let source = facts.source;
    let slots = source.lock_slots;
    source
        .locks_setting_for(tables.saturating_mul(2))
        .map(|setting| {
            Finding::warning(
                "source-locks",
                format!(
                    "the source has {} tables, and room for about {} locks",
                    Rows(tables),
                    Rows(slots)
                ),
                to_paste(
                    "If it says \"out of shared memory\", on the source (needs a restart):",
                    with_restart(&[Change::new(
                        "max_locks_per_transaction",
                        setting.to_string(),
                        Some(source.locks_per_session.to_string()),
                    )]),
                ),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{World, rules};
    use super::super::{findings, is_go, pass_over};
    use super::*;
    use crate::model::Oid;

    #[test]
    fn tables_that_may_not_be_read_are_named() {
        let mut world = World::default();
        world.unreadable.relations = vec![QualifiedName::new("public", "secrets")];
        let found = findings(&world.facts());
        assert_eq!(rules(&found), ["source-unreadable"]);
        assert!(!is_go(&found));
        assert!(
            found[0]
                .what
                .ends_with(&QualifiedName::new("public", "secrets").to_string())
        );
        let selective = PreflightFacts {
            selective: true,
            ..world.facts()
        };
        assert!(is_go(&findings(&selective)), "it may have been left out");
    }

    /// Who asks for them knows whether they take part.
    #[test]
    fn large_objects_that_may_not_be_read_forbid_unless_that_is_passed_over() {
        let mut world = World::default();
        world.unreadable.large_objects = (2, vec![Oid(7), Oid(8)]);
        let selective = PreflightFacts {
            selective: true,
            ..world.facts()
        };
        let mut found = findings(&selective);
        assert_eq!(rules(&found), ["large-objects-unreadable"]);
        assert!(found[0].what.contains("7 and 8"), "{found:?}");
        assert!(!is_go(&found));
        pass_over(&mut found, &["large-objects-unreadable".to_owned()]);
        assert!(is_go(&found));
    }

    #[test]
    fn what_a_standby_does_not_have_is_named_if_it_is_wanted() {
        let mut world = World::default();
        world.entry("TABLE", "cache", "CREATE UNLOGGED TABLE public.cache ()");
        world.out_of_reach = ["cache", "Left Out"]
            .map(|name| QualifiedName::new("public", name))
            .to_vec();
        let found = findings(&world.facts());
        assert_eq!(rules(&found), ["source-unlogged"]);
        assert!(!is_go(&found));
        assert!(found[0].what.ends_with("no rows of public.cache"));
        let option = "--exclude-table-data=public.cache";
        assert!(found[0].remedy.ends_with(option), "{}", found[0].remedy);
        let before = PreflightFacts {
            toc: None,
            ..world.facts()
        };
        let found = findings(&before);
        assert!(!is_go(&found));
        let option = "'--exclude-table-data=public.\"Left Out\"'";
        assert!(found[0].remedy.contains(option), "{}", found[0].remedy);
        let selective = PreflightFacts {
            selective: true,
            ..before
        };
        assert!(is_go(&findings(&selective)), "it may have been left out");
    }

    #[test]
    fn a_standby_and_a_small_lock_table_are_warned_of() {
        let mut world = World::default();
        world.source.in_recovery = true;
        world.source.cancels_reads = true;
        world.source.streaming_delay = Some("40s".into());
        world.source.lock_slots = 1;
        world.table("t");
        let found = findings(&world.facts());
        assert_eq!(rules(&found), ["source-standby", "source-locks"]);
        let back = [
            "max_standby_streaming_delay = '40s'; SELECT pg_reload_conf();",
            "max_locks_per_transaction = '64';",
        ];
        for (found, back) in found.iter().zip(back) {
            let back = format!("\n-- after the move, as it was: ALTER SYSTEM SET {back}");
            assert!(found.remedy.ends_with(&back), "{found:?}");
        }
        assert!(is_go(&found));
    }
}
