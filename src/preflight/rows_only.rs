//! Whether rows alone can be loaded into what the target has: the tables are there with their columns, are empty, and nothing fires.

use std::collections::{BTreeMap, BTreeSet};

use super::remade::KEEP_OIDS;
use super::worst_first;
use crate::catalog::{SourceFacts, Table, Trigger};
use crate::model::{Finding, Oid, QualifiedName, listed, shell_word, shown_ident};

/// What is looked at.
#[derive(Debug, Clone, Copy)]
pub struct RowsOnly<'a> {
    /// The tables of the archive, each with the one that it is loaded into, and the columns.
    pub loaded: &'a [Table],
    /// What the target holds.
    pub there: &'a SourceFacts,
    /// What has a name like a table's there and is no plain one, and what it is instead.
    pub others: &'a BTreeMap<QualifiedName, String>,
    /// What would fire there.
    pub triggers: &'a [Trigger],
    /// Tables that hold rows: of those that are loaded, and of what else is below a table that rows are loaded through.
    pub filled: &'a [QualifiedName],
    /// Tables whose rows have their oids with them in the archive.
    pub with_oids: &'a [QualifiedName],
    /// Sequences of the archive.
    pub sequences: &'a [QualifiedName],
    /// Large objects of the archive.
    pub objects: &'a [Oid],
    /// The target database.
    pub database: &'a str,
    /// Its name was given to have the tables emptied.
    pub overwrite: Option<&'a str>,
    /// Triggers and foreign keys are set aside while rows are loaded.
    pub disable_triggers: bool,
    /// The connected role is a superuser.
    pub superuser: bool,
}

/// Everything that speaks against it.
pub fn rows_only(facts: &RowsOnly<'_>) -> Vec<Finding> {
    let findings = [
        missing(facts),
        of_another_kind(facts),
        columns(facts),
        rows_with_oids(facts),
        further_columns(facts),
        sequences(facts),
        not_empty(facts),
        not_empty_beside(facts),
        firing(facts),
        no_superuser(facts),
        deferrable(facts),
        circle(facts),
        referenced_by_others(facts),
    ];
    worst_first(findings.into_iter().flatten().collect())
}

impl<'a> RowsOnly<'a> {
    fn there(&self) -> BTreeMap<&'a QualifiedName, &'a Table> {
        let tables = self.there.tables.iter();
        tables.map(|table| (&table.name, table)).collect()
    }

    /// Tables that are written to: those that are loaded, and what they are loaded through.
    fn written(&self) -> BTreeSet<&'a QualifiedName> {
        let roots = self.loaded.iter().filter(|table| table.load_via_root);
        let roots = roots.filter_map(|table| table.partition_root.as_ref());
        self.loaded
            .iter()
            .map(|table| &table.name)
            .chain(roots)
            .collect()
    }

    /// The loaded tables that a table of the target stands for: itself, or its partitions.
    fn parts(&self) -> BTreeMap<&'a QualifiedName, Vec<&'a QualifiedName>> {
        let there = self.there();
        let mut parts: BTreeMap<&'a QualifiedName, Vec<&'a QualifiedName>> = BTreeMap::new();
        for table in self.loaded {
            parts.entry(&table.name).or_default().push(&table.name);
            let found = there.get(&table.name);
            if let Some(root) = found.and_then(|table| table.partition_root.as_ref()) {
                parts.entry(root).or_default().push(&table.name);
            }
        }
        parts
    }

    /// Foreign keys between different tables that are loaded both: who refers, and to whom.
    fn pairs(&self) -> BTreeSet<(&'a QualifiedName, &'a QualifiedName)> {
        let parts = self.parts();
        let of = |table: &QualifiedName| parts.get(table).into_iter().flatten().copied();
        let mut pairs = BTreeSet::new();
        for key in self.there.constraints.iter().filter(|one| one.kind == 'f') {
            let Some(references) = &key.references else {
                continue;
            };
            for one in of(&key.table) {
                let others = of(references).filter(|other| *other != one);
                pairs.extend(others.map(|other| (one, other)));
            }
        }
        pairs
    }

    /// In which order foreign keys let rows be loaded: each table with one that must be there before. Nothing if they are set aside.
    pub fn order(&self) -> Vec<(QualifiedName, QualifiedName)> {
        if self.disable_triggers {
            return Vec::new();
        }
        let pairs = self.pairs().into_iter();
        pairs
            .map(|(one, other)| (one.clone(), other.clone()))
            .collect()
    }

    /// Tables that hold rows, as far as they are loaded or are not.
    fn holding_rows(&self, are_loaded: bool) -> Vec<&'a QualifiedName> {
        let loaded: BTreeSet<&QualifiedName> =
            self.loaded.iter().map(|table| &table.name).collect();
        let filled = self.filled.iter();
        filled
            .filter(|table| loaded.contains(table) == are_loaded)
            .collect()
    }

    fn is_emptied(&self) -> bool {
        self.overwrite == Some(self.database)
    }
}

fn shown<'a>(tables: impl IntoIterator<Item = &'a QualifiedName>) -> String {
    listed(tables.into_iter().map(QualifiedName::shown))
}

fn missing(facts: &RowsOnly<'_>) -> Option<Finding> {
    let there = facts.there();
    let is_there =
        |name: &QualifiedName| there.contains_key(name) || facts.others.contains_key(name);
    let names = facts.written().into_iter();
    let missing: Vec<&QualifiedName> = names.filter(|name| !is_there(name)).collect();
    (!missing.is_empty()).then(|| {
        Finding::blocker(
            "tables-missing",
            format!(
                "only rows are to be loaded, but the target has no {}",
                shown(missing)
            ),
            "Restore the definitions first (--schema-only), or everything (without --data-only).",
        )
    })
}

/// What is loaded and read back is a plain table, or a partition of the table that the archive loads it through.
fn of_another_kind(facts: &RowsOnly<'_>) -> Option<Finding> {
    let there = facts.there();
    let mut wrong = Vec::new();
    for table in facts.loaded {
        let name = table.name.shown();
        if let Some(kind) = facts.others.get(&table.name) {
            wrong.push(format!("{name} is {kind}"));
        }
        let root = table.partition_root.as_ref();
        let root = root.filter(|_| table.load_via_root);
        let Some((root, found)) = root.zip(there.get(&table.name)) else {
            continue;
        };
        if found.partition_root.as_ref() != Some(root) {
            wrong.push(format!(
                "{name} is not a partition of {}, which its rows are loaded through",
                root.shown()
            ));
        } else if found.reaches_foreign {
            wrong.push(format!(
                "{}, which the rows of {name} are loaded through, has foreign tables below it",
                root.shown()
            ));
        }
    }
    (!wrong.is_empty()).then(|| {
        Finding::blocker(
            "tables-of-another-kind",
            format!(
                "rows alone are loaded into tables as the archive has them, but on the target {}",
                listed(wrong)
            ),
            "Restore everything into another database (without --data-only), and copy the rows from there; or rename what has that name, and \
             restore the definition first (--schema-only).",
        )
    })
}

fn columns(facts: &RowsOnly<'_>) -> Option<Finding> {
    let there = facts.there();
    let mut wrong = Vec::new();
    for table in facts.loaded {
        let Some(found) = there.get(&table.name) else {
            continue;
        };
        for column in &table.columns {
            let same = found.columns.iter().find(|one| one.name == column.name);
            let what = match same {
                None => "is missing",
                Some(same) if same.generated => "is computed by the target",
                Some(_) => continue,
            };
            wrong.push(format!(
                "{}.{} {what}",
                table.name.shown(),
                shown_ident(&column.name)
            ));
        }
    }
    (!wrong.is_empty()).then(|| {
        Finding::blocker(
            "columns-missing",
            format!("columns of the archive cannot be loaded: {}", listed(wrong)),
            "Give the tables the columns that the archive has, or restore everything (without --data-only).",
        )
    })
}

/// What stands in front of each row is no column.
fn rows_with_oids(facts: &RowsOnly<'_>) -> Option<Finding> {
    (!facts.with_oids.is_empty()).then(|| {
        Finding::blocker(
            "tables-with-oids",
            format!(
                "rows of the archive carry their oids (pg_dump --oids), and cannot be loaded like that: those of {}",
                shown(facts.with_oids)
            ),
            format!("{KEEP_OIDS} Or leave the rows of these tables out with -L."),
        )
    })
}

fn further_columns(facts: &RowsOnly<'_>) -> Option<Finding> {
    let there = facts.there();
    let mut further = Vec::new();
    for table in facts.loaded {
        let Some(found) = there.get(&table.name) else {
            continue;
        };
        let is_new = |name: &str| table.columns.iter().all(|column| column.name != name);
        let columns = found.columns.iter().filter(|column| !column.generated);
        let new = columns.filter(|column| is_new(&column.name));
        further.extend(
            new.map(|column| format!("{}.{}", table.name.shown(), shown_ident(&column.name))),
        );
    }
    (!further.is_empty()).then(|| {
        Finding::warning(
            "columns-beyond",
            format!(
                "the archive has nothing for {}: they get their defaults, which are not compared",
                listed(further)
            ),
            "",
        )
    })
}

fn sequences(facts: &RowsOnly<'_>) -> Option<Finding> {
    let there: BTreeSet<&QualifiedName> =
        facts.there.sequences.iter().map(|one| &one.name).collect();
    let missing: Vec<&QualifiedName> = facts
        .sequences
        .iter()
        .filter(|name| !there.contains(name))
        .collect();
    (!missing.is_empty()).then(|| {
        Finding::blocker(
            "sequences-missing",
            format!("the target has no sequence {}", shown(missing)),
            "Restore the definitions first (--schema-only), or everything (without --data-only).",
        )
    })
}

fn not_empty(facts: &RowsOnly<'_>) -> Option<Finding> {
    let objects: BTreeSet<Oid> = facts
        .there
        .large_objects
        .iter()
        .map(|one| one.oid)
        .collect();
    let objects = facts.objects.iter().filter(|oid| objects.contains(oid));
    let objects = objects.map(|oid| format!("large object {oid}"));
    let names = facts
        .holding_rows(true)
        .into_iter()
        .map(QualifiedName::shown);
    let filled: Vec<String> = names.chain(objects).collect();
    if filled.is_empty() {
        return None;
    }
    if facts.is_emptied() {
        return Some(Finding::warning(
            "tables-emptied",
            format!(
                "what {} hold is deleted before the archive's rows are loaded",
                listed(filled)
            ),
            "",
        ));
    }
    Some(Finding::blocker(
        "tables-not-empty",
        format!(
            "only rows are to be loaded, but there is something already in {}",
            listed(filled)
        ),
        format!(
            "Empty them, or give --overwrite {} to have that done first.",
            shell_word(facts.database)
        ),
    ))
}

/// Rows that are loaded through a table may go to any of its partitions: which of the rows there are the archive's could not be known
/// then. What is not restored is not emptied either.
fn not_empty_beside(facts: &RowsOnly<'_>) -> Option<Finding> {
    let filled = facts.holding_rows(false);
    (!filled.is_empty()).then(|| {
        Finding::blocker(
            "partitions-not-empty",
            format!(
                "rows are loaded through the table above their partitions, and other partitions of it already hold something: {}",
                shown(filled)
            ),
            "Restore the rows of all of its partitions, or empty these yourself.",
        )
    })
}

fn firing(facts: &RowsOnly<'_>) -> Option<Finding> {
    let written = facts.written();
    let fires = |trigger: &&Trigger| {
        let now = if facts.disable_triggers {
            trigger.on_replica
        } else {
            trigger.on_origin
        };
        now && written.contains(&trigger.table) && (trigger.on_insert || facts.is_emptied())
    };
    let found = facts.triggers.iter().filter(fires);
    let names: Vec<String> = found
        .map(|trigger| {
            format!(
                "{} on {}",
                shown_ident(&trigger.name),
                trigger.table.shown()
            )
        })
        .collect();
    let remedy = if facts.disable_triggers {
        "They fire in every session (ENABLE ALWAYS, or REPLICA): disable them by ALTER TABLE … DISABLE TRIGGER, and enable them again afterwards."
    } else {
        "Give --disable-triggers, which keeps them from firing while rows are loaded; or disable them yourself."
    };
    (!names.is_empty()).then(|| {
        Finding::blocker(
            "triggers-fire",
            format!(
                "triggers of the target would fire on each row: {}",
                listed(names)
            ),
            remedy,
        )
    })
}

fn no_superuser(facts: &RowsOnly<'_>) -> Option<Finding> {
    (facts.disable_triggers && !facts.superuser).then(|| {
        Finding::blocker(
            "disable-triggers",
            "only a superuser can keep triggers and foreign keys from firing".to_owned(),
            "Connect as a superuser, or leave --disable-triggers out: tables are then loaded in the order of their foreign keys.",
        )
    })
}

/// Keys that are checked by a trigger at the end of a transaction would not be checked at all.
fn deferrable(facts: &RowsOnly<'_>) -> Option<Finding> {
    if !facts.disable_triggers {
        return None;
    }
    let written = facts.written();
    let indexes = facts.there.indexes.iter();
    let keys: Vec<String> = indexes
        .filter(|index| index.deferrable && written.contains(&index.table))
        .map(|index| {
            format!(
                "{} of {}",
                shown_ident(&index.name.name),
                index.table.shown()
            )
        })
        .collect();
    (!keys.is_empty()).then(|| {
        Finding::blocker(
            "deferrable-keys",
            format!(
                "with --disable-triggers, deferrable keys are not checked at all: {}",
                listed(keys)
            ),
            "Leave --disable-triggers out, or make these keys not deferrable in the meantime.",
        )
    })
}

fn circle(facts: &RowsOnly<'_>) -> Option<Finding> {
    if facts.disable_triggers {
        return None;
    }
    let mut pairs = facts.pairs();
    // A table that refers to none of those left can be loaded.
    loop {
        let waiting: BTreeSet<&QualifiedName> = pairs.iter().map(|(one, _)| *one).collect();
        let before = pairs.len();
        pairs.retain(|(_, first)| waiting.contains(first));
        if pairs.len() == before {
            break;
        }
    }
    let tables: BTreeSet<&QualifiedName> = pairs.iter().map(|(one, _)| *one).collect();
    (!tables.is_empty()).then(|| {
        Finding::blocker(
            "foreign-keys-in-a-circle",
            format!(
                "no order of loading satisfies the foreign keys of {}",
                shown(tables)
            ),
            "Give --disable-triggers: the keys are checked when all rows are there.",
        )
    })
}

fn referenced_by_others(facts: &RowsOnly<'_>) -> Option<Finding> {
    if !facts.is_emptied() {
        return None;
    }
    let parts = facts.parts();
    let keys = facts.there.constraints.iter();
    let others: BTreeSet<&QualifiedName> = keys
        .filter(|key| {
            let references = key.references.as_ref();
            let is_emptied = references.is_some_and(|table| parts.contains_key(table));
            key.kind == 'f' && is_emptied && !parts.contains_key(&key.table)
        })
        .map(|key| &key.table)
        .collect();
    (!others.is_empty()).then(|| {
        Finding::blocker(
            "referenced-by-others",
            format!(
                "tables that are to be emptied are referenced by {}, which the archive has no rows of",
                shown(others)
            ),
            "Empty these tables and drop the keys yourself, or restore everything (without --data-only).",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Column, Constraint};
    use crate::model::Severity;

    fn table(name: &str, columns: &[&str]) -> Table {
        let column = |name: &&str| Column {
            name: (*name).to_owned(),
            type_oid: Oid(23),
            generated: false,
            is_virtual: false,
        };
        let columns = columns.iter().map(column).collect();
        Table::bare(QualifiedName::new("s", name), columns)
    }

    fn key(of: &str, to: &str) -> Constraint {
        Constraint {
            table: QualifiedName::new("s", of),
            name: format!("{of}_{to}"),
            kind: 'f',
            validated: true,
            enforced: true,
            on_partitioned: false,
            inherited: false,
            references: Some(QualifiedName::new("s", to)),
            references_partitioned: false,
            over_time: None,
        }
    }

    struct World {
        with_oids: Vec<QualifiedName>,
        loaded: Vec<Table>,
        there: SourceFacts,
        others: BTreeMap<QualifiedName, String>,
        triggers: Vec<Trigger>,
        filled: Vec<QualifiedName>,
    }

    fn world() -> World {
        let loaded = vec![table("a", &["x"]), table("b", &["x"]), table("c", &["x"])];
        World {
            with_oids: Vec::new(),
            there: SourceFacts {
                tables: loaded.clone(),
                ..SourceFacts::default()
            },
            loaded,
            others: BTreeMap::new(),
            triggers: Vec::new(),
            filled: Vec::new(),
        }
    }

    impl World {
        fn facts(&self) -> RowsOnly<'_> {
            RowsOnly {
                loaded: &self.loaded,
                there: &self.there,
                others: &self.others,
                triggers: &self.triggers,
                filled: &self.filled,
                with_oids: &self.with_oids,
                sequences: &[],
                objects: &[],
                database: "db",
                overwrite: None,
                disable_triggers: false,
                superuser: true,
            }
        }
    }

    fn rules(facts: &RowsOnly<'_>) -> Vec<String> {
        rows_only(facts).into_iter().map(|one| one.rule).collect()
    }

    #[test]
    fn tables_must_be_there_with_their_columns_and_empty() {
        let mut world = world();
        assert_eq!(rules(&world.facts()), [""; 0]);
        world.there.tables.remove(2);
        world.there.tables[0] = table("a", &["y"]);
        world.filled.push(QualifiedName::new("s", "b"));
        assert_eq!(
            rules(&world.facts()),
            [
                "tables-missing",
                "columns-missing",
                "tables-not-empty",
                "columns-beyond"
            ]
        );
        let emptied = RowsOnly {
            overwrite: Some("db"),
            ..world.facts()
        };
        assert!(rules(&emptied).contains(&"tables-emptied".to_owned()));
    }

    #[test]
    fn rows_with_oids_are_none_of_a_table_of_today() {
        let mut world = world();
        world.with_oids.push(QualifiedName::new("s", "b"));
        let found = rows_only(&world.facts());
        assert_eq!(rules(&world.facts()), ["tables-with-oids"]);
        assert_eq!(found[0].severity, Severity::Blocker);
        assert!(found[0].what.ends_with("those of s.b"), "{found:?}");
    }

    #[test]
    fn what_has_the_name_and_is_no_such_table_is_not_missing() {
        let mut world = world();
        world.there.tables.remove(2);
        let c = QualifiedName::new("s", "c");
        world.others.insert(c, "a view".to_owned());
        let found = rows_only(&world.facts());
        let whats: Vec<&str> = found.iter().map(|one| one.what.as_str()).collect();
        assert_eq!(rules(&world.facts()), ["tables-of-another-kind"]);
        assert!(whats[0].ends_with("s.c is a view"), "{whats:?}");
    }

    #[test]
    fn what_is_loaded_through_a_table_needs_all_of_that() {
        let mut world = world();
        let root = QualifiedName::new("s", "root");
        for table in &mut world.loaded {
            table.partition_root = Some(root.clone());
            table.load_via_root = true;
        }
        assert_eq!(
            rules(&world.facts()),
            ["tables-missing", "tables-of-another-kind"]
        );
        world.others.insert(root, "a partitioned table".to_owned());
        world.there.tables.clone_from(&world.loaded);
        assert_eq!(rules(&world.facts()), [""; 0]);
        world.there.tables[0].partition_root = None;
        let found = rows_only(&world.facts());
        assert!(
            found[0].what.contains("s.a is not a partition of s.root"),
            "{found:?}"
        );
        world.there.tables.clone_from(&world.loaded);
        world.there.tables[0].reaches_foreign = true;
        assert_eq!(rules(&world.facts()), ["tables-of-another-kind"]);
        world.there.tables[0].reaches_foreign = false;
        world.filled.push(QualifiedName::new("s", "beside"));
        let emptied = RowsOnly {
            overwrite: Some("db"),
            ..world.facts()
        };
        assert_eq!(rules(&emptied), ["partitions-not-empty"]);
    }

    #[test]
    fn foreign_keys_give_the_order_unless_they_are_in_a_circle() {
        let mut world = world();
        world.there.constraints = vec![key("a", "b"), key("b", "c"), key("c", "c")];
        let name = |name: &str| QualifiedName::new("s", name);
        assert_eq!(rules(&world.facts()), [""; 0]);
        assert_eq!(
            world.facts().order(),
            [(name("a"), name("b")), (name("b"), name("c"))]
        );
        world.there.constraints.push(key("c", "b"));
        assert_eq!(rules(&world.facts()), ["foreign-keys-in-a-circle"]);
        let disabled = RowsOnly {
            disable_triggers: true,
            ..world.facts()
        };
        assert_eq!(rules(&disabled), [""; 0]);
        let ordinary = RowsOnly {
            superuser: false,
            ..disabled
        };
        assert_eq!(rules(&ordinary), ["disable-triggers"]);
    }

    #[test]
    fn what_would_fire_is_named() {
        let mut world = world();
        world.triggers.push(Trigger {
            table: QualifiedName::new("s", "a"),
            name: "t".to_owned(),
            on_replica: false,
            on_origin: true,
            on_insert: true,
        });
        assert_eq!(rules(&world.facts()), ["triggers-fire"]);
        let disabled = |world: &World| {
            let facts = RowsOnly {
                disable_triggers: true,
                ..world.facts()
            };
            rules(&facts)
        };
        assert_eq!(disabled(&world), [""; 0]);
        world.triggers[0].on_replica = true;
        assert_eq!(disabled(&world), ["triggers-fire"]);
    }
}
