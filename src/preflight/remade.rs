//! What would be created on the target as something other than it is, because no dump says what it is.

use super::PreflightFacts;
use crate::catalog::{HalfDetached, WithOids};
use crate::model::{Finding, QualifiedName, listed, shell_word, to_paste};

const TABLES: [&str; 2] = ["TABLE", "FOREIGN TABLE"];

/// What to do with an archive that has oids.
pub(super) const KEEP_OIDS: &str = "If oids are in it (pg_dump --oids): (1) restore it into a server older than 12, with a pg_restore older \
                                    than 12; (2) copy the oids into an ordinary column there (pgconvoy check says how); (3) move from there.";

pub(super) fn findings(facts: &PreflightFacts<'_>) -> Vec<Finding> {
    let findings = [with_oids(facts), half_detached(facts)];
    findings.into_iter().flatten().collect()
}

/// What `pg_dump` itself warned of: only it says what it leaves out.
pub fn pg_dump_warned(warnings: &[String]) -> Option<Finding> {
    (!warnings.is_empty()).then(|| {
        Finding::note(
            "pg-dump-warned",
            "pg_dump printed warnings when it described the source; what it leaves out is not in the copy, and its absence may not be \
             noticed there"
                .to_owned(),
            "Check whether you need what it names.",
        )
        .with_evidence(warnings.iter().cloned())
    })
}

fn is_made(facts: &PreflightFacts<'_>, relation: &QualifiedName) -> bool {
    // As long as the schema has not been read, nobody knows what was selected.
    let is_known = !facts.selective || facts.toc.is_some();
    is_known && facts.describes(&TABLES, relation)
}

/// `pg_dump` leaves the column out since version 12; one that does not has the rows get other oids.
fn with_oids(facts: &PreflightFacts<'_>) -> Option<Finding> {
    let all = facts.source_facts.remade.with_oids.iter();
    let tables: Vec<&WithOids> = all.filter(|one| is_made(facts, &one.table)).collect();
    // A statement about a parent is one about its children, but for oids that these were given by themselves as well.
    let without = |one: &&WithOids| format!("ALTER TABLE {} SET WITHOUT OIDS;", one.table);
    let roots = tables.iter().filter(|one| !one.inherited);
    let statements = roots.flat_map(|one| {
        let table = &one.table;
        [
            format!("ALTER TABLE {table} ADD COLUMN old_oid oid;"),
            format!("UPDATE {table} SET old_oid = oid;"),
            without(one),
        ]
    });
    let children = tables.iter().filter(|one| one.inherited).map(without);
    let statements = statements.chain(children);
    (!tables.is_empty()).then(|| {
        let names = tables.iter().map(|one| one.table.shown());
        Finding::blocker(
            "tables-with-oids",
            format!(
                "tables of the source are WITH OIDS, and the oids of their rows would be lost (no dump carries them, and no server since \
                 version 12 has such tables): {}",
                listed(names)
            ),
            to_paste(
                "On the source, copy the oids into an ordinary column, which the application has to read from then on (if the oids are not \
                 needed, SET WITHOUT OIDS alone will do); or leave the tables out with -T:",
                statements,
            ),
        )
    })
}

/// The same of an archive by a `pg_dump` before version 12, which says it of each table. Whether it has the oids themselves was up to
/// `--oids`.
pub(super) fn archived_with_oids(facts: &PreflightFacts<'_>) -> Option<Finding> {
    let tables = facts.entries().filter(|entry| entry.with_oids);
    let names = tables.map(|entry| match entry.qualified_name() {
        Some(table) => table.shown(),
        None => entry.to_string(),
    });
    let names: Vec<String> = names.collect();
    (!names.is_empty()).then(|| {
        Finding::blocker(
            "tables-with-oids",
            format!(
                "tables of the archive are WITH OIDS, and would be created without (no server since version 12 has such tables): {}",
                listed(names)
            ),
            to_paste(
                &format!(
                    "{KEEP_OIDS} Or leave these tables out with -L. If no oids are in it, and such tables are not needed, let a newer \
                     pg_restore create them without, before and after the rows (definitions are not compared then):"
                ),
                in_three_steps(facts),
            ),
        )
    })
}

/// The commands that restore everything, and make tables that were `WITH OIDS` without.
fn in_three_steps(facts: &PreflightFacts<'_>) -> [String; 3] {
    // What comes before the rows makes large objects, which are empty then.
    let has_objects = facts
        .entries()
        .any(|entry| entry.is("BLOB") || entry.is("BLOB METADATA"));
    let overwrite = if has_objects {
        format!(" --overwrite {}", shell_word(&facts.target.database))
    } else {
        String::new()
    };
    [
        "pg_restore --section=pre-data -d TARGET ARCHIVE".to_owned(),
        format!("pgconvoy restore --data-only{overwrite} --target TARGET --archive ARCHIVE"),
        "pg_restore --section=post-data -d TARGET ARCHIVE".to_owned(),
    ]
}

/// To `pg_dump` it is a partition like any other.
fn half_detached(facts: &PreflightFacts<'_>) -> Option<Finding> {
    let all = facts.source_facts.remade.half_detached.iter();
    let partitions: Vec<&HalfDetached> = all.filter(|one| is_made(facts, &one.partition)).collect();
    let statements = partitions.iter().map(|one| {
        let HalfDetached { partition, parent } = one;
        format!("ALTER TABLE {parent} DETACH PARTITION {partition} FINALIZE;")
    });
    (!partitions.is_empty()).then(|| {
        let names = partitions
            .iter()
            .map(|one| format!("{} of {}", one.partition.shown(), one.parent.shown()));
        Finding::blocker(
            "partitions-half-detached",
            format!(
                "detaching partitions of the source was interrupted: queries of their tables no longer read them, and on the target they \
                 would: {}",
                listed(names)
            ),
            to_paste(
                "On the source, finish detaching (it waits for transactions that still see the partition); the partition can be attached again \
                 after that:",
                statements,
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{World, rules};
    use super::super::{is_go, restore_findings, source_findings};
    use super::*;
    use crate::model::Severity;

    fn name(name: &str) -> QualifiedName {
        QualifiedName::new("s", name)
    }

    #[test]
    fn oids_are_kept_by_a_column_of_the_topmost_table() {
        let mut world = World::default();
        assert_eq!(source_findings(&world.facts()), []);
        world.source_facts.remade.with_oids = [("parent", false), ("child", true)]
            .map(|(table, inherited)| WithOids {
                table: name(table),
                inherited,
            })
            .to_vec();
        let found = source_findings(&world.facts());
        assert_eq!(rules(&found), ["tables-with-oids"]);
        assert!(!is_go(&found));
        assert!(found[0].what.ends_with(": s.parent and s.child"));
        let statements: Vec<&str> = found[0].remedy.lines().skip(1).collect();
        assert_eq!(
            statements,
            [
                "ALTER TABLE \"s\".\"parent\" ADD COLUMN old_oid oid;",
                "UPDATE \"s\".\"parent\" SET old_oid = oid;",
                "ALTER TABLE \"s\".\"parent\" SET WITHOUT OIDS;",
                "ALTER TABLE \"s\".\"child\" SET WITHOUT OIDS;",
            ]
        );
        let selective = PreflightFacts {
            selective: true,
            ..world.facts()
        };
        assert!(is_go(&source_findings(&selective)), "it was left out");
        let before = PreflightFacts {
            toc: None,
            ..selective
        };
        assert!(is_go(&source_findings(&before)), "it may be left out");
        world.entry("TABLE", "child", "CREATE TABLE s.child ();");
        world.toc.entries[0].namespace = Some("s".into());
        let chosen = PreflightFacts {
            selective: true,
            ..world.facts()
        };
        let found = source_findings(&chosen);
        assert!(found[0].what.ends_with(": s.child"), "{found:?}");
    }

    #[test]
    fn an_archive_with_oids_is_refused_for_the_tables_that_are_made() {
        let mut world = World::default();
        world.entry("TABLE", "plain", "CREATE TABLE public.plain ();");
        world.entry("TABLE", "legacy", "CREATE TABLE public.legacy ();");
        assert_eq!(restore_findings(&world.facts()), []);
        world.toc.entries[1].with_oids = true;
        let found = restore_findings(&world.facts());
        assert_eq!(rules(&found), ["tables-with-oids"]);
        assert!(!is_go(&found));
        assert!(found[0].what.ends_with(": public.legacy"), "{found:?}");
        let steps = |found: &[Finding]| -> Vec<String> {
            let lines = found[0].remedy.lines().skip(1);
            lines.map(str::to_owned).collect()
        };
        let loading = "pgconvoy restore --data-only --target TARGET --archive ARCHIVE";
        assert_eq!(
            steps(&found),
            [
                "pg_restore --section=pre-data -d TARGET ARCHIVE",
                loading,
                "pg_restore --section=post-data -d TARGET ARCHIVE",
            ]
        );
        world.entry("BLOB", "4711", "SELECT pg_catalog.lo_create('4711');");
        let with_objects = steps(&restore_findings(&world.facts()));
        assert!(
            with_objects[1].contains(" --overwrite "),
            "{with_objects:?}"
        );
        let rows_alone = PreflightFacts {
            toc: None,
            ..world.facts()
        };
        assert!(is_go(&restore_findings(&rows_alone)));
    }

    #[test]
    fn a_partition_that_is_half_detached_forbids() {
        let mut world = World::default();
        world.source_facts.remade.half_detached = vec![HalfDetached {
            partition: name("r1"),
            parent: name("root"),
        }];
        let found = source_findings(&world.facts());
        assert_eq!(rules(&found), ["partitions-half-detached"]);
        assert!(!is_go(&found));
        assert!(found[0].what.ends_with(": s.r1 of s.root"), "{found:?}");
        let statement = "\nALTER TABLE \"s\".\"root\" DETACH PARTITION \"s\".\"r1\" FINALIZE;";
        assert!(found[0].remedy.ends_with(statement), "{found:?}");
    }

    #[test]
    fn what_pg_dump_says_is_handed_on_whole() {
        assert_eq!(pg_dump_warned(&[]), None);
        let said = vec!["one".to_owned(), "two".to_owned()];
        let found = pg_dump_warned(&said).expect("a finding");
        assert_eq!((found.severity, &found.evidence), (Severity::Note, &said));
    }
}
