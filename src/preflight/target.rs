//! Whether the target can be written, and is empty.

use super::{PreflightFacts, blocker, damage_passed_over, finding, listed, warning};
use std::collections::BTreeSet;

use crate::catalog::{Holding, ServerFacts, Table};
use crate::model::{
    Finding, QualifiedName, Rows, ServerVersion, Severity, Side, quote_ident, run_command,
    shell_word, to_paste,
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

/// A part of an archive may be added to what the target holds, as long as that has nothing of the same name, or is emptied
/// first.
pub fn add_a_part(
    findings: &mut Vec<Finding>,
    part: &Toc,
    (there, emptied): (&BTreeSet<QualifiedName>, bool),
) {
    findings.retain(|finding| finding.rule != "target-not-empty");
    let entries = part.entries.iter();
    let taken: Vec<String> = entries
        .filter(|entry| RELATIONS.contains(&entry.desc.as_str()))
        .filter_map(Entry::qualified_name)
        .filter(|name| there.contains(name))
        .map(|name| name.shown())
        .collect();
    if !taken.is_empty() && !emptied {
        findings.push(blocker(
            "target-has-it",
            format!("the target already has {}", listed(taken)),
            "Drop it there, or rename it, or restore into another database.",
        ));
    }
}

/// What `sql/catalog/holdings.sql` calls the schema of a ledger.
const SIGN: &str = "sign of an unfinished run";

/// Whether a schema pgconvoy is nothing but a run's sign that it empties what a target holds.
pub fn has_sign(holdings: &[Holding]) -> bool {
    holdings.iter().any(|holding| holding.kind == SIGN)
}

/// A database has room for one ledger: where what the target holds stays, that of a run that was not finished is in the way. `run` is
/// that run, if it can be told.
pub fn ledger_in_the_way(run: Option<&str>) -> Finding {
    let drop = "DROP SCHEMA pgconvoy CASCADE;".to_owned();
    // A line of its name would be taken for one to paste.
    match run.filter(|run| !run.contains(char::is_control)) {
        Some(run) => blocker(
            "target-has-ledger",
            format!(
                "the target has the ledger (schema pgconvoy) of a run that was not finished: {run}"
            ),
            to_paste(
                &format!(
                    "Finish that run ({}); or, if nobody needs it, drop its ledger, on the target, and whatever of it is not wanted there:",
                    run_command("resume", run)
                ),
                [drop],
            ),
        ),
        None => blocker(
            "target-has-ledger",
            "the target has a schema pgconvoy, which is what the ledger of a run is called, and which run it is of cannot be told"
                .to_owned(),
            to_paste(
                "If it is what an unfinished run left there, finish that one (pgconvoy resume and its directory), or drop it, on the target; \
                 if it is yours, give it another name:",
                [
                    drop,
                    "-- or, instead: ALTER SCHEMA pgconvoy RENAME TO something_else;".to_owned(),
                ],
            ),
        ),
    }
}

/// A schema of the ledger's name that holds none is not ours to drop.
pub fn schema_in_the_way() -> Finding {
    blocker(
        "target-schema-taken",
        "the target has a schema pgconvoy with something else in it than the ledger of a run, which a restore keeps in a schema of that name"
            .to_owned(),
        to_paste(
            "Give it another name, on the target:",
            ["ALTER SCHEMA pgconvoy RENAME TO something_else;".to_owned()],
        ),
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
        blocker(
            "rows-elsewhere",
            format!(
                "the archive loads rows of partitions into the table above them, which is not restored: {}",
                listed(astray)
            ),
            "Restore that table as well, with all of its partitions and what attaches them (by -n or -L: -t does not bring that), or leave \
             the rows of these out.",
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
        damage_passed_over::finding(Side::Target, facts.target),
        may_not_create(facts),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn standby(facts: &PreflightFacts<'_>) -> Option<Finding> {
    facts.target.in_recovery.then(|| {
        blocker(
            "target-read-only",
            "the target is a standby, which only allows reading".to_owned(),
            "Connect to its primary: name several hosts and add target_session_attrs=read-write, for example.",
        )
    })
}

pub(super) fn too_old(target: &ServerFacts) -> Option<Finding> {
    let version = target.version;
    (version < ServerVersion::OLDEST).then(|| {
        blocker(
            "target-too-old",
            format!("the target is PostgreSQL {version}; versions before 10 are not supported"),
            "Move to a newer server.",
        )
    })
}

fn older_than_source(facts: &PreflightFacts<'_>) -> Option<Finding> {
    let (source, target) = (facts.source.version, facts.target.version);
    (target.major() < source.major()).then(|| {
        warning(
            "target-older",
            format!("the target (PostgreSQL {target}) is older than the source (PostgreSQL {source})"),
            "What only the newer version knows will fail, by name; move to a server that is at least as new if you can.",
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
        let more = holding.count.saturating_sub(holding.examples.len() as u64);
        let and_more = if more > 0 && holding.kind != "large object" {
            format!(" and {} more", Rows(more))
        } else {
            String::new()
        };
        format!(
            "{} ({}{and_more})",
            counted(holding.count, &holding.kind),
            holding.examples.join(", ")
        )
    });
    let held = listed(parts);
    if facts.overwrite == Some(database.as_str()) {
        return Some(finding(
            Severity::Note,
            "target-emptied",
            format!("the target database \"{database}\" holds {held}; all of it will be dropped"),
            "",
        ));
    }
    Some(blocker(
        "target-not-empty",
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
        blocker(
            "overwrite-name",
            format!("--overwrite names \"{named}\", but the target database is \"{database}\""),
            format!(
                "If you mean to lose everything in {}, give its own name.",
                quote_ident(database)
            ),
        )
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
        blocker("target-privileges", what, remedy)
    } else {
        warning("target-privileges", what, remedy)
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
        let holding = |kind: &str| Holding {
            kind: kind.into(),
            count: 1,
            examples: vec!["pgconvoy".into()],
        };
        assert!(has_sign(&[
            holding("table"),
            holding("sign of an unfinished run")
        ]));
        assert!(!has_sign(&[holding("ledger of an unfinished run")]));
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
            assert_eq!(lines[0], "DROP SCHEMA pgconvoy CASCADE;");
            assert!(lines[1..].iter().all(|line| line.starts_with("-- ")));
        }
        let of_others = schema_in_the_way();
        assert_eq!(of_others.severity, Severity::Blocker);
        assert!(!of_others.remedy.contains("DROP"), "{of_others:?}");
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
