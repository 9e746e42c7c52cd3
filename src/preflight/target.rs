//! Whether the target can be written, and is empty.

use super::{PreflightFacts, damage_passed_over};
use std::collections::BTreeSet;

use crate::catalog::{LedgerSchema, ServerFacts, Table};
use crate::model::{
    Finding, QualifiedName, Rows, ServerVersion, Side, and_more, listed, not_yet, or_instead,
    quote_ident, rule, run_command, shell_word, to_paste,
};
use crate::toc::{Entry, Toc};

/// Whether both are the same database: the same cluster, or a standby of it, and the same database in it.
///
/// A cluster that was cloned from the other's files has the same identity and cannot be told apart by it.
pub fn same_database(source: &ServerFacts, target: &ServerFacts) -> bool {
    source.system_identifier.is_some()
        && source.system_identifier == target.system_identifier
        && source.database_oid == target.database_oid
}

/// Kinds of entries that share one space of names.
const RELATIONS: [&str; 5] = [
    "TABLE",
    "VIEW",
    "MATERIALIZED VIEW",
    "SEQUENCE",
    "FOREIGN TABLE",
];

/// Ends with an error, and the schema, if there is more in it than a ledger.
const DROP_LEDGER: [&str; 2] = [
    "DROP TABLE IF EXISTS pgconvoy.run, pgconvoy.done, pgconvoy.trouble;",
    "DROP SCHEMA pgconvoy;",
];

/// A part of an archive may be added to what the target holds, as long as that has nothing of the same name, or is emptied
/// first.
pub fn add_a_part(
    findings: &mut Vec<Finding>,
    part: &Toc,
    (there, emptied): (&BTreeSet<QualifiedName>, bool),
) {
    findings.retain(|finding| finding.rule != rule::TARGET_NOT_EMPTY);
    let entries = part.entries.iter();
    let taken: Vec<String> = entries
        .filter(|entry| RELATIONS.contains(&entry.desc.as_str()))
        .filter_map(Entry::qualified_name)
        .filter(|name| there.contains(name))
        .map(|name| name.shown())
        .collect();
    if !taken.is_empty() && !emptied {
        findings.push(Finding::blocker(
            "target-has-it",
            format!("the target already has {}", listed(taken)),
            "Drop it there, or rename it, or restore into another database.",
        ));
    }
}

/// A database has room for one ledger: where what the target holds stays, that of a run that was not finished is in the way. `run` is
/// that run, if it can be told. What somebody else keeps beside it is not dropped along: then the schema stays.
pub fn ledger_in_the_way(run: Option<&str>) -> Finding {
    let drop = DROP_LEDGER.map(str::to_owned);
    // A line of its name would be taken for one to paste.
    match run.filter(|run| !run.contains(char::is_control)) {
        Some(run) => Finding::blocker(
            "target-has-ledger",
            format!(
                "the target has the ledger (schema pgconvoy) of a run that was not finished: {run}"
            ),
            to_paste(
                &format!(
                    "Finish that run ({}); or, if it is not needed, drop its ledger, on the target, and whatever else of it you do not want \
                     there:",
                    run_command("resume", run)
                ),
                drop,
            ),
        ),
        None => Finding::blocker(
            "target-has-ledger",
            "the target has a schema pgconvoy, the name of a run's ledger, but which run it belongs to cannot be known"
                .to_owned(),
            to_paste(
                "If an unfinished run left it there, finish that run (pgconvoy resume and its directory), or drop its ledger, on the target; \
                 if it is yours, rename it:",
                drop.into_iter()
                    .chain(or_instead("ALTER SCHEMA pgconvoy RENAME TO something_else;")),
            ),
        ),
    }
}

/// A schema of the ledger's name that holds none is not ours to drop. Where what the target holds stays, it can stay under another name.
pub fn schema_in_the_way() -> Finding {
    taken(to_paste(
        "Rename it, on the target:",
        ["ALTER SCHEMA pgconvoy RENAME TO something_else;".to_owned()],
    ))
}

fn taken(remedy: String) -> Finding {
    Finding::blocker(
        rule::TARGET_SCHEMA_TAKEN,
        "the target's schema pgconvoy is not the ledger of a run, and a run needs that name for its own",
        remedy,
    )
}

/// Rows of partitions that the archive loads into the table above them, which is not restored with them: what has that name in the
/// target is not the archive's.
pub fn rows_elsewhere(part: &Toc, loaded: &[Table]) -> Option<Finding> {
    let tables = part.entries.iter().filter(|entry| entry.is("TABLE"));
    let restored: BTreeSet<QualifiedName> = tables.filter_map(Entry::qualified_name).collect();
    let astray = loaded.iter().filter(|table| table.load_via_root);
    let astray: Vec<String> = astray
        .filter_map(|table| {
            let root = table.partition_root.as_ref()?;
            let goes = || format!("those of {} into {}", table.name.shown(), root.shown());
            (!restored.contains(root)).then(goes)
        })
        .collect();
    (!astray.is_empty()).then(|| {
        Finding::blocker(
            "rows-elsewhere",
            format!(
                "the archive loads rows of partitions into the table above them, which is not restored: {}",
                listed(astray)
            ),
            "Restore that table as well, with all of its partitions and what attaches them (with -n or -L: -t does not include that), or leave \
             these rows out.",
        )
    })
}

pub(super) fn findings(facts: &PreflightFacts<'_>) -> Vec<Finding> {
    [
        standby(facts),
        too_old(facts.target),
        older_than_source(facts),
        not_empty(facts),
        overwrite(facts),
        own_schema(facts),
        damage_passed_over::finding(Side::Target, facts.target),
        may_not_create(facts),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn standby(facts: &PreflightFacts<'_>) -> Option<Finding> {
    facts.target.in_recovery.then(|| {
        Finding::blocker(
            "target-read-only",
            "the target is a standby, which only allows reading".to_owned(),
            "Connect to its primary: name several hosts and add target_session_attrs=read-write, for example.",
        )
    })
}

pub(super) fn too_old(target: &ServerFacts) -> Option<Finding> {
    let version = target.version;
    (version < ServerVersion::OLDEST).then(|| {
        Finding::blocker(
            "target-too-old",
            format!("the target is PostgreSQL {version}; versions before 10 are not supported"),
            "Move to a newer server.",
        )
    })
}

fn older_than_source(facts: &PreflightFacts<'_>) -> Option<Finding> {
    let (source, target) = (facts.source.version, facts.target.version);
    (target.major() < source.major()).then(|| {
        Finding::warning(
            "target-older",
            format!("the target (PostgreSQL {target}) is older than the source (PostgreSQL {source})"),
            "What only the newer version has will fail, by name; move to a server that is at least as new if you can.",
        )
    })
}

fn not_empty(facts: &PreflightFacts<'_>) -> Option<Finding> {
    let holdings = &facts.target_facts.holdings;
    if holdings.is_empty() || facts.create {
        return None;
    }
    let database = &facts.target.database;
    let parts = holdings.iter().map(|holding| {
        // The example of large objects is how many there are.
        let shown = if holding.kind == "large object" {
            holding.count
        } else {
            holding.examples.len() as u64
        };
        format!(
            "{} ({})",
            counted(holding.count, &holding.kind),
            and_more(&holding.examples, holding.count.saturating_sub(shown))
        )
    });
    let held = listed(parts);
    if facts.overwrite == Some(database.as_str()) {
        return Some(Finding::note(
            rule::TARGET_EMPTIED,
            format!("the target database \"{database}\" holds {held}; all of it will be dropped"),
            "",
        ));
    }
    Some(Finding::blocker(
        rule::TARGET_NOT_EMPTY,
        format!("the target database \"{database}\" is not empty: it holds {held}"),
        format!(
            "Move into an empty database, or give --overwrite {} to have all of that dropped first.",
            shell_word(database)
        ),
    ))
}

fn overwrite(facts: &PreflightFacts<'_>) -> Option<Finding> {
    let named = facts.overwrite?;
    let database = &facts.target.database;
    (named != database).then(|| {
        Finding::blocker(
            "overwrite-name",
            format!("--overwrite names \"{named}\", but the target database is \"{database}\""),
            format!(
                "If you mean to lose everything in {}, give that name.",
                quote_ident(database)
            ),
        )
    })
}

/// What is emptied has a run's sign in a schema of that name before anything is dropped; and what is not empty may only be emptied. To
/// rename it would be no rescue.
fn own_schema(facts: &PreflightFacts<'_>) -> Option<Finding> {
    let is_taken = facts.target_facts.ledger_schema == Some(LedgerSchema::Another);
    (is_taken && !facts.create).then(|| {
        taken(to_paste(
            "Use another database; or, if you need that schema, take it to another one, because --overwrite drops everything, also what you \
             rename; then drop it yourself, on the target:",
            not_yet("if nobody needs it here", "DROP SCHEMA pgconvoy CASCADE;"),
        ))
    })
}

/// Without CREATE on the database there can be no schema, not even for the ledger.
fn may_not_create(facts: &PreflightFacts<'_>) -> Option<Finding> {
    let missing = &facts.target_facts.missing_privileges;
    if missing.is_empty() || facts.create {
        return None;
    }
    let role = quote_ident(&facts.target.role);
    let grants = missing
        .iter()
        .map(|privilege| format!("GRANT {privilege} TO {role};"));
    let without_database = missing.iter().any(|one| one.contains(" ON DATABASE "));
    let what = format!(
        "role {role} lacks privileges on the target: {}",
        listed(missing)
    );
    let remedy = to_paste(
        "Connect as the owner of the target database, or have that role grant:",
        grants,
    );
    // The schema public may stay as it is where nothing goes into it.
    Some(if without_database {
        Finding::blocker(rule::TARGET_PRIVILEGES, what, remedy)
    } else {
        Finding::warning(rule::TARGET_PRIVILEGES, what, remedy)
    })
}

fn counted(count: u64, kind: &str) -> String {
    let plural = match kind.strip_suffix('y') {
        _ if count == 1 => kind.to_owned(),
        Some(stem) => format!("{stem}ies"),
        None => format!("{kind}s"),
    };
    format!("{} {plural}", Rows(count))
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::super::findings;
    use super::super::testing::{World, rules};
    use super::*;
    use crate::catalog::Holding;
    use crate::model::Severity;

    fn with_holdings() -> World {
        let mut world = World::default();
        world.target.database = "it's".into();
        let mut hold = |kind: &str, count, examples: &[&str]| {
            world.target_facts.holdings.push(Holding {
                kind: kind.into(),
                count,
                examples: examples.iter().map(ToString::to_string).collect(),
            });
        };
        hold("table", 7, &["public.a", "public.b"]);
        hold("schema", 1, &["app"]);
        world
    }

    #[test]
    fn an_empty_world_is_a_go() {
        assert_eq!(findings(&World::default().facts()), []);
    }

    #[test]
    fn a_target_that_holds_anything_is_refused_with_names_and_the_way_out() {
        let world = with_holdings();
        let found = findings(&world.facts());
        assert_eq!(rules(&found), ["target-not-empty"]);
        assert_eq!(found[0].severity, Severity::Blocker);
        assert_eq!(
            found[0].what,
            "the target database \"it's\" is not empty: it holds 7 tables (public.a, public.b and 5 more) and 1 schema (app)"
        );
        assert!(
            found[0].remedy.contains(r"--overwrite 'it'\''s'"),
            "{}",
            found[0].remedy
        );
    }

    #[test]
    fn rows_go_nowhere_but_into_what_is_restored() {
        let mut world = World::default();
        let name = |name: &str| QualifiedName::new("public", name);
        let mut leaf = Table::bare(name("leaf"), Vec::new());
        leaf.partition_root = Some(name("root"));
        world.entry("TABLE", "leaf", "CREATE TABLE public.leaf ();");
        assert_eq!(rows_elsewhere(&world.toc, from_ref(&leaf)), None);
        leaf.load_via_root = true;
        let found = rows_elsewhere(&world.toc, from_ref(&leaf)).expect("the root is not restored");
        assert!(
            found
                .what
                .ends_with("those of public.leaf into public.root"),
            "{found:?}"
        );
        world.entry("TABLE", "root", "CREATE TABLE public.root ();");
        assert_eq!(rows_elsewhere(&world.toc, from_ref(&leaf)), None);
    }

    #[test]
    fn only_its_own_name_lets_it_be_overwritten() {
        let world = with_holdings();
        let named = PreflightFacts {
            overwrite: Some("it's"),
            ..world.facts()
        };
        assert!(super::super::is_go(&findings(&named)));
        let misnamed = PreflightFacts {
            overwrite: Some("its"),
            ..world.facts()
        };
        assert_eq!(
            rules(&findings(&misnamed)),
            ["target-not-empty", "overwrite-name"]
        );
        let created = PreflightFacts {
            create: true,
            ..world.facts()
        };
        assert_eq!(findings(&created), [], "another database is created");
    }

    #[test]
    fn both_ways_out_of_a_ledger_that_is_there_are_told() {
        let of_a_run = ledger_in_the_way(Some("/runs/it's"));
        assert_eq!(of_a_run.severity, Severity::Blocker);
        assert!(of_a_run.what.ends_with(": /runs/it's"), "{of_a_run:?}");
        assert!(
            of_a_run
                .remedy
                .contains(r"(pgconvoy resume '/runs/it'\''s')"),
            "{of_a_run:?}"
        );
        // Nothing that a ledger says is a line to paste.
        let forged = ledger_in_the_way(Some("/runs/a\nDROP DATABASE shop;"));
        assert_eq!(forged, ledger_in_the_way(None));
        for finding in [&of_a_run, &forged] {
            let lines: Vec<&str> = finding.remedy.lines().skip(1).collect();
            assert_eq!(lines[..2], DROP_LEDGER);
            assert!(lines[2..].iter().all(|line| line.starts_with("-- ")));
        }
        // What is ours is named, all of it, and nothing else goes with it.
        let ledger = include_str!("../../sql/ledger/create.sql");
        let tables = ledger.split("\ncreate table ").skip(1);
        let tables = tables.filter_map(|text| text.split_once(" ("));
        let tables: Vec<&str> = tables.map(|(table, _)| table).collect();
        let all = format!("DROP TABLE IF EXISTS {};", tables.join(", "));
        assert_eq!(DROP_LEDGER, [all.as_str(), "DROP SCHEMA pgconvoy;"]);
        let of_others = schema_in_the_way();
        assert_eq!(of_others.severity, Severity::Blocker);
        assert!(!of_others.remedy.contains("DROP"), "{of_others:?}");
    }

    #[test]
    fn a_schema_of_the_users_own_is_not_emptied() {
        let mut world = with_holdings();
        for (whose, is_go) in [
            (LedgerSchema::Ledger, true),
            (LedgerSchema::Sign, true),
            (LedgerSchema::Another, false),
        ] {
            world.target_facts.ledger_schema = Some(whose);
            let named = PreflightFacts {
                overwrite: Some("it's"),
                ..world.facts()
            };
            let found = findings(&named);
            assert_eq!(super::super::is_go(&found), is_go, "{found:?}");
            // It is told at once, and not only to who gives --overwrite because of it.
            for found in [found, findings(&world.facts())] {
                let taken = found
                    .iter()
                    .find(|one| one.rule == rule::TARGET_SCHEMA_TAKEN);
                assert_eq!(taken.is_some(), !is_go, "{found:?}");
                let remedy = taken.map_or("", |taken| taken.remedy.as_str());
                assert!(!remedy.contains("RENAME"), "{remedy}");
                let mut lines = remedy.lines().skip(1);
                assert!(lines.all(|line| line.starts_with("-- ")), "{remedy}");
            }
        }
        world.target_facts.ledger_schema = Some(LedgerSchema::Another);
        let created = PreflightFacts {
            create: true,
            ..world.facts()
        };
        assert_eq!(findings(&created), [], "it is another database's");
    }

    #[test]
    fn who_may_not_create_anything_is_told_before() {
        let mut world = World::default();
        world.target_facts.missing_privileges = vec!["CREATE ON SCHEMA public".into()];
        assert!(super::super::is_go(&findings(&world.facts())));
        let database = "CREATE ON DATABASE shop".to_owned();
        world.target_facts.missing_privileges.push(database);
        let found = findings(&world.facts());
        assert!(!super::super::is_go(&found));
        assert!(
            found[0]
                .remedy
                .contains("GRANT CREATE ON DATABASE shop TO \"me\";"),
            "{}",
            found[0].remedy
        );
    }

    #[test]
    fn a_standby_and_an_old_server_are_refused() {
        let mut world = World::default();
        world.target.in_recovery = true;
        world.target.version = ServerVersion(90_624);
        assert_eq!(
            rules(&findings(&world.facts())),
            ["target-read-only", "target-too-old", "target-older"]
        );
    }

    #[test]
    fn the_same_database_is_one_of_the_same_cluster() {
        let world = World::default();
        let mut other = world.source.clone();
        assert!(same_database(&world.source, &other));
        other.database_oid.0 += 1;
        assert!(!same_database(&world.source, &other));
        assert!(!same_database(&world.source, &world.target));
    }
}
