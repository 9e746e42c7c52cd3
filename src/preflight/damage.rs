//! What is damaged on the source, or not in force there, and comes to light only when it is built again.

use std::collections::BTreeSet;

use super::CheckFacts;
use crate::catalog::{Constraint, Index, Orphan};
use crate::model::{
    Finding, QualifiedName, Rebuild, Rows, count, listed, or_instead, quote_ident, to_paste,
};
use crate::salvage::WrongFile;

/// What to do when rows may be lost.
pub(super) const FROM_A_COPY: &str = "Stop the server, copy its data directory as a whole, start a server on the copy, and see what can still \
                                      be read of it: pgconvoy salvage --survey. Or restore a backup.";

pub(super) fn findings(facts: &CheckFacts<'_>) -> Vec<Finding> {
    let [table_files, index_files] = files(facts);
    [
        table_files,
        index_files,
        checksums(facts),
        orphans(facts),
        not_all_looked_at(facts),
        invalid_indexes(facts),
        not_validated(facts),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Files of relations that are missing or cut off: the server shows what is before them, and often says nothing.
fn files(facts: &CheckFacts<'_>) -> [Option<Finding>; 2] {
    let wrong = facts.wrong_files.iter();
    let wrong: Vec<&WrongFile> = wrong.filter(|one| is_read(facts, &one.table)).collect();
    let of_tables = wrong.iter().filter(|one| one.index.is_none());
    let tables: Vec<String> = of_tables
        .map(|one| format!("{}: {}", one.table.shown(), one.what))
        .collect();
    let of_indexes = wrong.iter();
    let of_indexes: Vec<(&QualifiedName, &String)> = of_indexes
        .filter_map(|one| Some((one.index.as_ref()?, &one.what)))
        .collect();
    let indexes: BTreeSet<&QualifiedName> = of_indexes.iter().map(|(name, _)| *name).collect();
    [
        (!tables.is_empty()).then(|| {
            Finding::blocker(
                "source-files",
                "files of the source are missing or cut off: reading these tables fails, or shows fewer rows than there were without an error, \
                 and a copy would still verify as the same"
                    .to_owned(),
                FROM_A_COPY,
            )
            .with_evidence(tables)
        }),
        (!of_indexes.is_empty()).then(|| {
            let evidence = of_indexes.iter();
            Finding::warning(
                "source-index-files",
                "files of indexes of the source are missing or cut off; no row is lost with them, but queries that use them fail"
                    .to_owned(),
                index_files(&indexes, facts),
            )
            .with_evidence(evidence.map(|(name, what)| format!("{}: {what}", name.shown())))
        }),
    ]
}

/// Nothing is read of the old ones for that.
fn index_files(indexes: &BTreeSet<&QualifiedName>, facts: &CheckFacts<'_>) -> String {
    let source = facts.basis.source;
    let Some(rebuild) = Rebuild::on(source.version.major(), source.in_recovery) else {
        return Rebuild::ON_STANDBY.to_owned();
    };
    let meanwhile = meanwhile(facts, rebuild, indexes.iter().copied());
    let statements = indexes.iter().map(|name| {
        let way = way(facts, rebuild, name);
        way.statement("INDEX", name)
    });
    let sentence = format!("{meanwhile} On the source; the target builds its own:");
    to_paste(&sentence, statements)
}

/// How an index is built anew: none of the catalog, nor of an exclusion constraint, which a key WITHOUT OVERLAPS is as well, while others write.
fn way(facts: &CheckFacts<'_>, rebuild: Rebuild, name: &QualifiedName) -> Rebuild {
    let excludes = |index: &Index| {
        let kind = index.constraint_kind;
        kind.is_some_and(|kind| kind == 'x' || index.method != "btree")
    };
    let mut indexes = facts.basis.source_facts.indexes.iter();
    let locks = name.schema.as_str() == "pg_catalog"
        || indexes.any(|index| index.name == *name && excludes(index));
    if locks { Rebuild::LOCKING } else { rebuild }
}

/// What happens to others while these are built.
fn meanwhile<'a>(
    facts: &CheckFacts<'_>,
    rebuild: Rebuild,
    indexes: impl Iterator<Item = &'a QualifiedName>,
) -> String {
    let said = indexes.map(|name| way(facts, rebuild, name).meanwhile());
    let said: BTreeSet<&str> = said.collect();
    said.into_iter().collect::<Vec<_>>().join(" ")
}

/// Whether the rows of a relation are read: of a table that takes part; of a materialized view, to compare it; of the catalog always.
fn is_read(facts: &CheckFacts<'_>, relation: &QualifiedName) -> bool {
    match (relation.schema.as_str(), relation.name.as_str()) {
        _ if takes_part(facts, relation) => true,
        ("pg_catalog", "pg_largeobject") => !facts.basis.source_facts.large_objects.is_empty(),
        ("pg_catalog", _) => true,
        _ => facts.basis.describes(&["MATERIALIZED VIEW"], relation),
    }
}

fn checksums(facts: &CheckFacts<'_>) -> Option<Finding> {
    let state = &facts.source.state;
    let failures = state.checksum_failures.filter(|failures| *failures > 0)?;
    let found = Finding::warning(
        "source-checksums",
        format!(
            "the source has read {} whose checksum was wrong: its files are damaged, or were; a page that still is makes the copy of its \
             table fail",
            count(failures, "page", "pages")
        ),
        "Look in the source's log for the files (\"page verification failed\"), make a copy of the data directory, and read the affected \
         tables in full (SELECT count(*)) before the move.",
    );
    Some(
        found.with_evidence(
            state
                .last_checksum_failure
                .as_ref()
                .map(|at| format!("last at {at}")),
        ),
    )
}

/// The target checks every foreign key against all rows; the source did so only when they were written.
fn orphans(facts: &CheckFacts<'_>) -> Option<Finding> {
    let orphans = facts.orphans?;
    let all = orphans.found.iter();
    let found: Vec<&Orphan> = all.filter(|one| takes_part(facts, &one.table)).collect();
    if found.is_empty() {
        return None;
    }
    let queries = found.iter().map(|one| format!("{};", one.query));
    let remedy = to_paste(
        "Fix or delete the rows on the source (or drop the key there, and add it again with NOT VALID). These queries find them:",
        queries,
    );
    let named = found.iter().map(|one| {
        format!(
            "{} of {}, to {}",
            quote_ident(&one.constraint),
            one.table.shown(),
            one.references.shown()
        )
    });
    let looked_at = format!(
        "{} of {} foreign keys were checked in the time available",
        Rows(orphans.looked_at),
        Rows(orphans.all)
    );
    Some(
        Finding::blocker(
            "source-orphans",
            "rows of the source point to rows that do not exist, in spite of a foreign key: the target will refuse that key"
                .to_owned(),
            remedy,
        )
        .with_evidence(named.chain([looked_at])),
    )
}

/// Where nothing was found among some, nothing is known about the others.
fn not_all_looked_at(facts: &CheckFacts<'_>) -> Option<Finding> {
    let orphans = facts.orphans?;
    let (looked_at, all) = (orphans.looked_at, orphans.all);
    (looked_at < all && orphans.found.is_empty()).then(|| {
        Finding::note(
            "orphans-unknown",
            format!(
                "{} of {} foreign keys were checked in the time available, and hold; the target checks the others",
                Rows(looked_at),
                Rows(all)
            ),
            "A rehearsal shows whether they hold.",
        )
    })
}

/// Whether a table is to be copied, as far as that is known: without the source's schema, it may be any.
pub(super) fn takes_part(facts: &CheckFacts<'_>, table: &QualifiedName) -> bool {
    !facts.basis.selective
        || facts.basis.toc.is_none()
        || facts.plan.tables.iter().any(|unit| unit.table == *table)
}

/// `pg_dump` leaves them out, and says nothing. A partitioned index is only as good as its parts.
fn invalid_indexes(facts: &CheckFacts<'_>) -> Option<Finding> {
    let indexes = facts.basis.source_facts.indexes.iter();
    let invalid: Vec<&Index> = indexes
        .filter(|index| !index.valid && !index.partitioned && takes_part(facts, &index.table))
        .collect();
    let source = facts.basis.source;
    let remedy = match Rebuild::on(source.version.major(), source.in_recovery) {
        None => format!("If they are wanted: {}", Rebuild::ON_STANDBY),
        Some(rebuild) => {
            let statements = invalid.iter().flat_map(|index| {
                let name = &index.name;
                let instead = or_instead(&format!("DROP INDEX {name};"));
                let way = way(facts, rebuild, name);
                [Some(way.statement("INDEX", name)), instead]
            });
            let meanwhile = meanwhile(facts, rebuild, invalid.iter().map(|index| &index.name));
            to_paste(
                &format!(
                    "{meanwhile} If they are wanted, on the source (a unique one may turn out to have duplicates):"
                ),
                statements.flatten(),
            )
        }
    };
    (!invalid.is_empty()).then(|| {
        Finding::warning(
            "indexes-invalid",
            format!(
                "indexes of the source are invalid, and will not be on the target: {}",
                listed(invalid.iter().map(|index| index.name.shown()))
            ),
            remedy,
        )
    })
}

fn not_validated(facts: &CheckFacts<'_>) -> Option<Finding> {
    let constraints = facts.basis.source_facts.constraints.iter();
    let open: Vec<&Constraint> = constraints
        // One that is NOT ENFORCED (18+) is wanted so, and cannot be validated.
        .filter(|one| !one.validated && one.enforced && !one.inherited)
        .filter(|one| takes_part(facts, &one.table))
        .collect();
    let statements = open.iter().map(|one| {
        let name = quote_ident(&one.name);
        match &one.over_time {
            None => format!("ALTER TABLE {} VALIDATE CONSTRAINT {name};", one.table),
            Some(definition) => format!(
                "ALTER TABLE {} DROP CONSTRAINT {name}, ADD CONSTRAINT {name} {definition};",
                one.table
            ),
        }
    });
    (!open.is_empty()).then(|| {
        let names = open
            .iter()
            .map(|one| format!("{} of {}", quote_ident(&one.name), one.table.shown()));
        Finding::note(
            "constraints-not-valid",
            format!(
                "constraints of the source are NOT VALID, and will be so on the target: {}",
                listed(names)
            ),
            to_paste(
                "To check them against all rows, on either side:",
                statements,
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::PreflightFacts;
    use super::super::testing::{World, rules};
    use super::*;
    use crate::catalog::Orphans;
    use crate::model::{Bytes, Severity};

    fn wrong_file(table: &str, index: Option<&str>) -> WrongFile {
        WrongFile {
            table: QualifiedName::new("public", table),
            index: index.map(|name| QualifiedName::new("public", name)),
            what: "the file 3 is missing".to_owned(),
        }
    }

    #[test]
    fn rows_that_may_be_missing_forbid_and_indexes_do_not() {
        let mut world = World::default();
        assert_eq!(findings(&world.check_facts()), []);
        world.wrong_files = vec![wrong_file("t", None), wrong_file("t", Some("i"))];
        let found = findings(&world.check_facts());
        assert_eq!(rules(&found), ["source-files", "source-index-files"]);
        assert_eq!(
            (found[0].severity, found[1].severity),
            (Severity::Blocker, Severity::Warning)
        );
        assert_eq!(found[0].evidence, ["public.t: the file 3 is missing"]);
        assert_eq!(found[1].evidence, ["public.i: the file 3 is missing"]);
        assert!(
            found[1]
                .remedy
                .ends_with("\nREINDEX INDEX CONCURRENTLY \"public\".\"i\";"),
            "{found:?}"
        );
        assert!(
            found[1]
                .remedy
                .starts_with("REINDEX CONCURRENTLY lets others"),
            "{found:?}"
        );
        world.source.in_recovery = true;
        let found = findings(&world.check_facts());
        assert_eq!(found[1].remedy, Rebuild::ON_STANDBY);
    }

    #[test]
    fn concurrently_is_said_only_where_it_works() {
        let mut world = World::default();
        world.index("plain", "t", Bytes(1));
        let period = world.index("period", "t", Bytes(1));
        (period.constraint_kind, period.method) = (Some('p'), "gist".into());
        world.index("room", "t", Bytes(1)).constraint_kind = Some('x');
        world.index("t_pkey", "t", Bytes(1)).constraint_kind = Some('p');
        let names = ["plain", "period", "room", "t_pkey"];
        let mut wrong: Vec<WrongFile> = names.map(|name| wrong_file("t", Some(name))).into();
        wrong.push(WrongFile {
            table: QualifiedName::new("pg_catalog", "pg_class"),
            index: Some(QualifiedName::new("pg_catalog", "pg_class_oid_index")),
            ..wrong_file("t", None)
        });
        world.wrong_files = wrong;
        let found = findings(&world.check_facts());
        let (sentence, statements) = found[0].remedy.split_once('\n').expect("statements");
        let statements: Vec<&str> = statements.lines().collect();
        assert_eq!(
            statements,
            [
                "REINDEX INDEX \"pg_catalog\".\"pg_class_oid_index\";",
                "REINDEX INDEX \"public\".\"period\";",
                "REINDEX INDEX CONCURRENTLY \"public\".\"plain\";",
                "REINDEX INDEX \"public\".\"room\";",
                "REINDEX INDEX CONCURRENTLY \"public\".\"t_pkey\";",
            ]
        );
        for said in ["lets others go on writing", "write to a table wait"] {
            assert!(sentence.contains(said), "{sentence}");
        }
        // Alone, it has nothing to do with CONCURRENTLY.
        world.wrong_files = vec![wrong_file("t", Some("room"))];
        let found = findings(&world.check_facts());
        assert!(!found[0].remedy.contains("lets others"), "{found:?}");
    }

    #[test]
    fn files_of_what_is_left_out_are_nobody_s_business() {
        let mut world = World::default();
        world.copied("t", Bytes(1));
        world.entry(
            "MATERIALIZED VIEW",
            "sums",
            "CREATE MATERIALIZED VIEW public.sums;",
        );
        let mut told = |schema: &str, relation: &str, read: bool| {
            let table = QualifiedName::new(schema, relation);
            world.wrong_files = vec![WrongFile {
                table,
                ..wrong_file("t", None)
            }];
            let facts = world.check_facts();
            let basis = PreflightFacts {
                selective: true,
                toc: facts.basis.toc.filter(|_| read),
                ..facts.basis
            };
            !findings(&CheckFacts { basis, ..facts }).is_empty()
        };
        assert!(told("public", "t", true));
        assert!(!told("public", "left_out", true));
        assert!(told("public", "sums", true), "it is compared");
        assert!(told("pg_catalog", "pg_attribute", true));
        assert!(!told("pg_catalog", "pg_largeobject", true), "none is moved");
        assert!(told("public", "left_out", false), "it may be any");
    }

    #[test]
    fn checksum_failures_are_told_where_somebody_counts() {
        for (failures, told) in [(None, 0), (Some(0), 0), (Some(1), 1)] {
            let mut world = World::default();
            world.source_now.state.checksum_failures = failures;
            assert_eq!(findings(&world.check_facts()).len(), told, "{failures:?}");
        }
    }

    #[test]
    fn invalid_indexes_are_named_with_the_way_to_mend_them() {
        let mut world = World::default();
        world.index("good", "t", Bytes(1));
        assert_eq!(findings(&world.check_facts()), []);
        world.index("bad", "t", Bytes(1)).valid = false;
        let part = world.index("parent", "t", Bytes(0));
        part.valid = false;
        part.partitioned = true;
        let found = findings(&world.check_facts());
        assert_eq!(rules(&found), ["indexes-invalid"]);
        assert!(found[0].what.ends_with(": public.bad"), "{found:?}");
        let lines: Vec<&str> = found[0].remedy.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "REINDEX INDEX CONCURRENTLY \"public\".\"bad\";",
                "-- or, instead: DROP INDEX \"public\".\"bad\";"
            ]
        );
        world.source.in_recovery = true;
        let found = findings(&world.check_facts());
        let remedy = &found[0].remedy;
        assert!(
            remedy.contains("on its primary") && !remedy.contains('\n'),
            "{remedy}"
        );
    }

    #[test]
    fn constraints_that_are_not_valid_are_noted() {
        let mut world = World::default();
        let constraint = |name: &str, validated, inherited| Constraint {
            table: QualifiedName::new("public", "t"),
            name: name.into(),
            kind: 'c',
            validated,
            enforced: true,
            on_partitioned: false,
            inherited,
            references: None,
            references_partitioned: false,
            over_time: None,
        };
        world.source_facts.constraints = vec![
            constraint("holds", true, false),
            constraint("inherited", false, true),
            Constraint {
                enforced: false,
                ..constraint("not_enforced", false, false)
            },
        ];
        assert_eq!(findings(&world.check_facts()), []);
        let open = constraint("open", false, false);
        world.source_facts.constraints.push(open);
        let found = findings(&world.check_facts());
        assert_eq!(rules(&found), ["constraints-not-valid"]);
        assert_eq!(found[0].severity, Severity::Note);
        assert!(found[0].remedy.contains("VALIDATE CONSTRAINT \"open\";"));
        // The server would not look at all that such a key demands.
        let over_time = Constraint {
            kind: 'f',
            over_time: Some("FOREIGN KEY (…)".into()),
            ..constraint("lasting", false, false)
        };
        world.source_facts.constraints.push(over_time);
        let found = findings(&world.check_facts());
        let added = "DROP CONSTRAINT \"lasting\", ADD CONSTRAINT \"lasting\" FOREIGN KEY (…);";
        assert!(found[0].remedy.contains(added), "{found:?}");
    }

    #[test]
    fn orphans_forbid() {
        let mut world = World::default();
        let orphan = Orphan {
            table: QualifiedName::new("public", "child"),
            constraint: "key".into(),
            references: QualifiedName::new("public", "parent"),
            query: "select 1".into(),
        };
        world.orphans = Some(Orphans {
            looked_at: 2,
            all: 2,
            found: vec![],
        });
        assert_eq!(findings(&world.check_facts()), []);
        world.orphans = Some(Orphans {
            looked_at: 2,
            all: 3,
            found: vec![],
        });
        assert_eq!(rules(&findings(&world.check_facts())), ["orphans-unknown"]);
        world.orphans = Some(Orphans {
            looked_at: 2,
            all: 3,
            found: vec![orphan],
        });
        let found = findings(&world.check_facts());
        assert_eq!(rules(&found), ["source-orphans"]);
        assert_eq!(found[0].severity, Severity::Blocker);
    }
}
