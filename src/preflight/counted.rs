//! Tables of the source with another number of rows than their primary keys have entries: damage that makes wrong results, and no error.

use super::CheckFacts;
use super::damage::{FROM_A_COPY, takes_part};
use crate::catalog::{Counts, Keyed, LARGEST_COUNTED, Miscount, ServerFacts};
use crate::model::{Finding, QualifiedName, Rebuild, Rows, to_paste};

pub(super) fn findings(facts: &CheckFacts<'_>) -> Vec<Finding> {
    let Some(counts) = facts.counts else {
        return Vec::new();
    };
    let found = counts.found.iter();
    let found: Vec<&(Keyed, Miscount)> = found
        .filter(|(keyed, _)| takes_part(facts, &keyed.table))
        .collect();
    [
        rows_missing(&found),
        rows_unreadable(&found),
        indexes_damaged(&found, facts.basis.source),
        not_counted(counts),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// How to rebuild all indexes of these tables: which of them is damaged may not be known.
fn anew(tables: &[&QualifiedName], server: &ServerFacts) -> String {
    const DUPLICATES: &str =
        "if a key exists twice, the error names it, and one of its rows has to go";
    let Some(rebuild) = Rebuild::on(server.version.major(), server.in_recovery) else {
        return format!("{} There, {DUPLICATES}.", Rebuild::ON_STANDBY);
    };
    let statements = tables.iter().map(|table| rebuild.statement("TABLE", table));
    to_paste(
        &format!(
            "{} Rebuild them, on the source; {DUPLICATES}:",
            rebuild.meanwhile()
        ),
        statements,
    )
}

/// A page of a table that is lost without an error leaves its entries in the key behind.
fn rows_missing(found: &[&(Keyed, Miscount)]) -> Option<Finding> {
    let missing = found.iter().filter_map(|(keyed, miscount)| match miscount {
        Miscount::Differ { rows, entries } if rows < entries => Some((keyed, rows, entries)),
        _ => None,
    });
    let missing: Vec<_> = missing.collect();
    (!missing.is_empty()).then(|| {
        Finding::blocker(
            "source-rows-missing",
            "tables of the source show fewer rows than their primary keys have entries: rows may be lost without an error, and a copy would \
             still verify as the same"
                .to_owned(),
            format!(
                "{FROM_A_COPY} Until then, no VACUUM and no REINDEX: only the keys still show that rows are lost, and amcheck does not report \
                 it. If the survey finds none lost, REINDEX TABLE and VACUUM (DISABLE_PAGE_SKIPPING) repair the keys and the visibility map."
            ),
        )
        .with_evidence(missing.iter().map(|(keyed, rows, entries)| {
            let (table, key) = (keyed.table.shown(), keyed.key.shown());
            format!("{table}: {rows} rows, {entries} entries in {key}")
        }))
    })
}

fn rows_unreadable(found: &[&(Keyed, Miscount)]) -> Option<Finding> {
    let said = found.iter().filter_map(|(keyed, miscount)| match miscount {
        Miscount::Table(message) => Some(format!("{}: {message}", keyed.table.shown())),
        _ => None,
    });
    let said: Vec<String> = said.collect();
    (!said.is_empty()).then(|| {
        Finding::blocker(
            "source-rows-unreadable",
            "tables of the source cannot be read to their end: a copy of them fails, and so does pg_dump".to_owned(),
            FROM_A_COPY,
        )
        .with_evidence(said)
    })
}

/// No row is lost, but a search by key does not find it, and a second row with that key may have been inserted.
fn indexes_damaged(found: &[&(Keyed, Miscount)], server: &ServerFacts) -> Option<Finding> {
    let damaged = found.iter().filter_map(|(keyed, miscount)| {
        let (table, key) = (keyed.table.shown(), keyed.key.shown());
        let what = match miscount {
            Miscount::Differ { rows, entries } if rows > entries => {
                format!("{table}: {rows} rows, {entries} entries in {key}")
            }
            Miscount::Index(message) => format!("{table}: {message}"),
            _ => return None,
        };
        Some((&keyed.table, what))
    });
    let (tables, what): (Vec<&QualifiedName>, Vec<String>) = damaged.unzip();
    (!tables.is_empty()).then(|| {
        Finding::warning(
            "source-indexes-damaged",
            "indexes of the source do not point to all rows, or cannot be read: a search by key does not find such a row, and the same key may \
             have been inserted twice, which the target refuses"
                .to_owned(),
            anew(&tables, server),
        )
        .with_evidence(what)
    })
}

/// Where nothing was found among some, nothing is known about the others.
fn not_counted(counts: &Counts) -> Option<Finding> {
    let left = counts.all.saturating_sub(counts.counted);
    let in_vain = left.saturating_sub(counts.too_large);
    let why = [
        (counts.too_large, format!("larger than {LARGEST_COUNTED}")),
        (
            in_vain,
            "out of time, not readable, or with dead rows that VACUUM has not reached".to_owned(),
        ),
    ];
    let why = why.into_iter().filter(|(number, _)| *number > 0);
    let why = why.map(|(number, why)| format!("{}: {why}", Rows(number)));
    (left > 0).then(|| {
        Finding::note(
            "keys-not-counted",
            format!(
                "{} of {} tables were not counted against their primary keys; damage to them that raises no error goes unnoticed here",
                Rows(left),
                Rows(counts.all)
            ),
            "To look at all of them, on a copy of the server's files: pgconvoy salvage --survey.",
        )
        .with_evidence(why)
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{World, rules};
    use super::*;
    use crate::model::Severity;

    fn found(miscount: Miscount) -> Vec<Finding> {
        let keyed = Keyed {
            table: QualifiedName::new("public", "t"),
            key: QualifiedName::new("public", "t key"),
        };
        let world = World {
            counts: Some(Counts {
                all: 1,
                counted: 1,
                too_large: 0,
                found: vec![(keyed, miscount)],
            }),
            ..World::default()
        };
        findings(&world.check_facts())
    }

    fn differ(rows: u64, entries: u64) -> Miscount {
        Miscount::Differ {
            rows: Rows(rows),
            entries: Rows(entries),
        }
    }

    #[test]
    fn fewer_rows_than_entries_forbid() {
        let found = found(differ(900, 1000));
        assert_eq!(rules(&found), ["source-rows-missing"]);
        assert_eq!(found[0].severity, Severity::Blocker);
        let line = "public.t: 900 rows, 1,000 entries in public.\"t key\"";
        assert_eq!(found[0].evidence, [line]);
        // Nothing is to be pasted that would wipe out what is left.
        assert_eq!(found[0].remedy.lines().count(), 1);
    }

    #[test]
    fn fewer_entries_than_rows_are_warned_of() {
        for miscount in [differ(1000, 900), Miscount::Index("no page".into())] {
            let found = found(miscount);
            assert_eq!(rules(&found), ["source-indexes-damaged"]);
            assert_eq!(found[0].severity, Severity::Warning);
            let statements: Vec<&str> = found[0].remedy.lines().skip(1).collect();
            assert_eq!(statements, ["REINDEX TABLE CONCURRENTLY \"public\".\"t\";"]);
        }
        let mut server = World::default().source;
        server.in_recovery = true;
        let on_standby = anew(&[&QualifiedName::new("public", "t")], &server);
        assert!(on_standby.starts_with(Rebuild::ON_STANDBY), "{on_standby}");
        assert_eq!(on_standby.lines().count(), 1);
    }

    #[test]
    fn what_cannot_be_read_forbids() {
        let found = found(Miscount::Table("invalid page in block 7".into()));
        assert_eq!(rules(&found), ["source-rows-unreadable"]);
        assert_eq!(found[0].severity, Severity::Blocker);
        assert_eq!(found[0].evidence, ["public.t: invalid page in block 7"]);
    }

    #[test]
    fn what_was_not_counted_is_told_with_why() {
        let told = |all, counted, too_large| {
            let counts = Counts {
                all,
                counted,
                too_large,
                found: Vec::new(),
            };
            not_counted(&counts).map(|one| (one.what, one.evidence))
        };
        assert_eq!(told(3, 3, 0), None);
        let (what, why) = told(2000, 1, 1).expect("told");
        assert!(what.starts_with("1,999 of 2,000 tables"), "{what}");
        assert_eq!(
            why,
            [
                "1: larger than 64.0 MB",
                "1,998: out of time, not readable, or with dead rows that VACUUM has not reached"
            ]
        );
    }
}
