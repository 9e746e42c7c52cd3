//! How a table is made to hold what the source holds: row by row, or with all of its rows anew. Pure.

use super::changes::Facts;
use super::statements::COPIES;
use crate::catalog::{Column, SourceFacts, Table, Types, intervals_differ_because};
use crate::model::{Bytes, CopyFormat, QualifiedName, RowKind, Rows, SyncedTable, quote_ident};
use crate::verify::drill::{DifferingRow, Found};
use crate::verify::rows::{Comparand, Key};

/// If more than one of this many rows of a table differs, all are copied anew: a row by its key costs about as much as three
/// that are copied in sequence (it is looked up on both sides, and deleted).
const SHARE: u64 = 3;
/// In a table with no more rows than this, rows are changed one by one whatever the share: the difference in cost is nothing,
/// and readers are not kept out.
const FEW_ROWS: u64 = 1_000;
/// At most this many statements delete duplicate rows of a table without a key; if they do not suffice, all rows are copied anew.
const PASSES: usize = 4;

/// What was found about a table whose rows differ.
#[derive(Debug, Clone, Copy)]
pub struct Differs<'a> {
    /// What was read of it.
    pub comparand: &'a Comparand,
    /// The rows that differ, if they could be found.
    pub found: Option<&'a Found>,
    /// Rows on the source.
    pub source: Rows,
    /// Rows on the target.
    pub target: Rows,
}

/// What is to be done to a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableChange {
    /// The table or partition; for partitions that differ between servers, the root above them.
    pub table: QualifiedName,
    /// It is such a root.
    pub is_root: bool,
    /// A condition that selects the rows, for the configuration of an extension.
    pub condition: Option<String>,
    /// The columns that are written, quoted.
    pub columns: Vec<String>,
    /// What is read of them: the whole of each value, which its type may print only in part.
    pub read: Vec<String>,
    /// In which format its rows travel.
    pub format: CopyFormat,
    /// In which encoding, if it is not the sessions'.
    pub encoding: Option<String>,
    /// What tells its rows apart; without it, their whole content.
    pub key: Option<Key>,
    /// What is done.
    pub how: How,
    /// Rows inserted, updated and deleted.
    pub figures: Figures,
}

/// One by one, or all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// These rows.
    ByRows(Vec<DifferingRow>),
    /// All rows of the target go, and all of the source's come.
    Anew {
        /// Why, as a clause.
        because: String,
        /// How many come.
        rows: Rows,
    },
}

/// Rows inserted, updated and deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Rows that only the source has.
    pub inserted: Rows,
    /// Rows with the same key and other values.
    pub updated: Rows,
    /// Rows that only the target has.
    pub deleted: Rows,
}

impl TableChange {
    /// Decides. `None` if a catalog knows no such table, which cannot be: it was read.
    pub fn decide(differs: &Differs<'_>, facts: Facts<'_>) -> Option<Self> {
        let Facts { source, target, .. } = facts;
        let name = &differs.comparand.name;
        let (ours, is_root) = known(name, source)?;
        let (theirs, _) = known(name, target)?;
        let written = || ours.columns.iter().filter(|column| !column.generated);
        let because = why_anew(differs, is_root, source);
        let figures = match differs.found {
            Some(found) if !found.cut_off => Figures {
                inserted: Rows(found.missing),
                updated: Rows(found.changed),
                deleted: Rows(found.extra),
            },
            _ => Figures {
                inserted: differs.source,
                updated: Rows(0),
                deleted: differs.target,
            },
        };
        Some(Self {
            table: name.clone(),
            is_root,
            condition: differs.comparand.condition.clone(),
            columns: written().map(|column| quote_ident(&column.name)).collect(),
            read: written()
                .map(|column| Types(&source.types).whole(column))
                .collect(),
            format: format(written(), theirs, facts),
            encoding: facts.encoding.map(str::to_owned),
            key: differs.comparand.key.clone(),
            how: match because {
                Some(because) => How::Anew {
                    because,
                    rows: differs.source,
                },
                None => How::ByRows(differs.found.map_or_else(Vec::new, |one| one.rows.clone())),
            },
            figures,
        })
    }

    /// As it is reported.
    pub fn told(&self, bytes: Bytes) -> SyncedTable {
        SyncedTable {
            table: self.table.clone(),
            inserted: self.figures.inserted,
            updated: self.figures.updated,
            deleted: self.figures.deleted,
            anew: match &self.how {
                How::Anew { because, .. } => Some(because.clone()),
                How::ByRows(_) => None,
            },
            bytes,
        }
    }

    /// The rows to delete: those that only the target has, and those that come again with other values.
    pub fn going(&self) -> Vec<&DifferingRow> {
        self.rows(RowKind::Extra)
    }

    /// The rows to write: those that only the source has, and those that were deleted with other values.
    pub fn coming(&self) -> Vec<&DifferingRow> {
        self.rows(RowKind::Missing)
    }

    fn rows(&self, kind: RowKind) -> Vec<&DifferingRow> {
        let rows = match &self.how {
            How::ByRows(rows) => rows.as_slice(),
            How::Anew { .. } => &[],
        };
        let is_meant = |row: &&DifferingRow| row.kind == kind || row.kind == RowKind::Changed;
        rows.iter().filter(is_meant).collect()
    }
}

/// A table by its name; for partitions that are read as one, the first of them, and `true`.
fn known<'a>(name: &QualifiedName, facts: &'a SourceFacts) -> Option<(&'a Table, bool)> {
    let tables = &facts.tables;
    if let Some(table) = tables.iter().find(|table| table.name == *name) {
        return Some((table, false));
    }
    let is_in_it = |table: &&Table| table.partition_root.as_ref() == Some(name);
    tables.iter().find(is_in_it).map(|table| (table, true))
}

/// Why all rows are copied anew, if they are.
fn why_anew(differs: &Differs<'_>, is_root: bool, facts: &SourceFacts) -> Option<String> {
    let Differs {
        comparand,
        found,
        source,
        target,
    } = *differs;
    if is_root {
        return Some("a row may be in another partition there than on the source".to_owned());
    }
    let Some(found) = found else {
        return Some("which of its rows differ could not be found out".to_owned());
    };
    let named: u64 = found.rows.iter().map(|row| row.copies).sum();
    if found.cut_off || named < found.total() {
        return Some("more of its rows differ than are looked at one by one".to_owned());
    }
    let rows = source.0.max(target.0);
    if rows > FEW_ROWS && found.total() > rows / SHARE {
        return Some(format!("more than one of {SHARE} rows differs"));
    }
    let too_often = |row: &&DifferingRow| row.kind == RowKind::Extra && row.copies > 1;
    let too_often = found.rows.iter().filter(too_often).count();
    if comparand.key.is_none() && too_often > PASSES * COPIES {
        return Some("too many of its rows are there several times".to_owned());
    }
    let is_lost = |text: &String| text.contains('\u{fffd}');
    if comparand.key.is_some() && found.rows.iter().any(|row| row.key.iter().any(is_lost)) {
        return Some("a key is no text in UTF-8".to_owned());
    }
    comparand
        .key
        .iter()
        .flat_map(|key| &key.columns)
        .find(|name| cannot_be_named(comparand, name, facts))
        .map(|name| {
            format!(
                "its key has values that no statement can name, of a type that is not the server's own or of names that need not be \
                 unique, column {}",
                quote_ident(name)
            )
        })
}

/// For an extension's type the server finds no operators: they are not in its own schema, and our sessions look nowhere else.
/// And among functions or operators of one name, it does not know which is meant.
fn cannot_be_named(comparand: &Comparand, column: &str, facts: &SourceFacts) -> bool {
    let Some((table, _)) = known(&comparand.name, facts) else {
        return true;
    };
    let found = table.columns.iter().find(|one| one.name == column);
    let beneath = |column: &Column| {
        facts
            .types
            .get(&Types(&facts.types).beneath(column.type_oid))
    };
    // Enums, ranges and composite types use the server's own operators.
    found.and_then(beneath).is_none_or(|found| {
        let is_own = found.schema == "pg_catalog";
        (found.kind == 'b' && !is_own)
            || (is_own && matches!(found.name.as_str(), "regproc" | "regoper"))
    })
}

/// Binary, where that is safe on both sides.
fn format<'a>(
    written: impl Iterator<Item = &'a Column>,
    target: &Table,
    facts: Facts<'_>,
) -> CopyFormat {
    if let Some(encoding) = facts.encoding {
        let because = format!(
            "both databases' encoding is {encoding}, which only text passes through unconverted"
        );
        return CopyFormat::Text { because };
    }
    let (ours, theirs) = (facts.source, facts.target);
    let another_interval = intervals_differ_because(facts.versions.0, facts.versions.1);
    for column in written {
        let found = target.columns.iter().find(|one| one.name == column.name);
        let name = |facts: &SourceFacts, column: &Column| {
            let known = facts.types.get(&column.type_oid);
            known.map(|known| known.name.clone())
        };
        let same = found.is_some_and(|found| name(ours, column) == name(theirs, found));
        let not_binary = Types(&ours.types)
            .not_binary_because(column.type_oid)
            .or_else(|| {
                found.and_then(|found| Types(&theirs.types).not_binary_because(found.type_oid))
            })
            .or_else(|| {
                let because = another_interval?;
                let holds_one = Types(&ours.types).holds_intervals(column.type_oid);
                holds_one.then(|| because.to_owned())
            })
            .or_else(|| (!same).then(|| "its type is another one on the target".to_owned()));
        if let Some(because) = not_binary {
            return CopyFormat::Text {
                because: format!("column {}: {because}", quote_ident(&column.name)),
            };
        }
    }
    CopyFormat::Binary
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Type;
    use crate::model::{Oid, ServerVersion};
    use crate::verify::Scope;

    fn facts() -> SourceFacts {
        let column = |name: &str, oid| Column {
            name: name.to_owned(),
            type_oid: Oid(oid),
            generated: name == "made",
            is_virtual: false,
        };
        let columns = vec![column("id", 23), column("made", 23), column("v", 23)];
        SourceFacts {
            tables: vec![
                Table {
                    partition_root: Some(QualifiedName::new("s", "root")),
                    ..Table::bare(QualifiedName::new("s", "t"), columns)
                },
                Table::bare(
                    QualifiedName::new("s", "lasting"),
                    vec![column("lasts", 1186)],
                ),
            ],
            types: [
                (Oid(23), Type::built_in("integer")),
                (Oid(1186), Type::built_in("interval")),
            ]
            .into(),
            ..SourceFacts::default()
        }
    }

    fn row(kind: RowKind, key: &str) -> DifferingRow {
        DifferingRow {
            kind,
            key: vec![key.to_owned()],
            copies: 1,
            hash: None,
        }
    }

    fn found(rows: Vec<DifferingRow>) -> Found {
        let count = |kind| rows.iter().filter(|row| row.kind == kind).count() as u64;
        Found {
            missing: count(RowKind::Missing),
            extra: count(RowKind::Extra),
            changed: count(RowKind::Changed),
            cut_off: false,
            rows,
        }
    }

    fn decided(name: &str, found: Option<&Found>, rows: u64) -> TableChange {
        let comparand = Comparand {
            key: Some(Key {
                columns: vec!["id".to_owned()],
                number: Some(false),
                literals: Vec::new(),
            }),
            ..Comparand::named(&QualifiedName::new("s", name))
        };
        let differs = Differs {
            comparand: &comparand,
            found,
            source: Rows(rows),
            target: Rows(rows),
        };
        decided_between(&differs, (150_000, 150_000))
    }

    fn decided_between(differs: &Differs<'_>, versions: (u32, u32)) -> TableChange {
        let (known, scope) = (facts(), Scope::of_relations(std::iter::empty()));
        let facts = Facts {
            source: &known,
            target: &known,
            versions: (ServerVersion(versions.0), ServerVersion(versions.1)),
            encoding: None,
            scope: &scope,
        };
        TableChange::decide(differs, facts).expect("it is known")
    }

    fn because(change: &TableChange) -> Option<&str> {
        match &change.how {
            How::Anew { because, .. } => Some(because),
            How::ByRows(_) => None,
        }
    }

    #[test]
    fn few_rows_are_changed_one_by_one_and_what_is_generated_is_not_written() {
        let rows = vec![
            row(RowKind::Missing, "1"),
            row(RowKind::Extra, "2"),
            row(RowKind::Changed, "3"),
        ];
        let change = decided("t", Some(&found(rows)), 10);
        assert_eq!(because(&change), None);
        assert_eq!(change.columns, [r#""id""#, r#""v""#]);
        assert_eq!(change.format, CopyFormat::Binary);
        let keys = |rows: Vec<&DifferingRow>| -> Vec<String> {
            rows.iter().map(|row| row.key[0].clone()).collect()
        };
        assert_eq!(keys(change.going()), ["2", "3"]);
        assert_eq!(keys(change.coming()), ["1", "3"]);
        let told = change.told(Bytes(7));
        assert_eq!(
            (told.inserted, told.updated, told.deleted),
            (Rows(1), Rows(1), Rows(1))
        );
    }

    /// What text in another encoding cannot express travels in the encoding of both.
    #[test]
    fn rows_travel_in_the_encoding_of_both_databases() {
        let comparand = Comparand::named(&QualifiedName::new("s", "t"));
        let differs = Differs {
            comparand: &comparand,
            found: None,
            source: Rows(1),
            target: Rows(1),
        };
        let (known, scope) = (facts(), Scope::of_relations(std::iter::empty()));
        let facts = Facts {
            source: &known,
            target: &known,
            versions: (ServerVersion(150_000), ServerVersion(150_000)),
            encoding: Some("WIN1252"),
            scope: &scope,
        };
        let change = TableChange::decide(&differs, facts).expect("it is known");
        assert_eq!(
            change.copy_in().to_string(),
            r#"copy "s"."t" ("id", "v") from stdin (format text, encoding 'WIN1252')"#
        );
        let out = change.copies_out()[0].sql.to_string();
        let ends = r#"(select "id", "v" from only "s"."t") as pgconvoy_row) to stdout (format text, encoding 'WIN1252')"#;
        assert!(out.ends_with(ends), "{out}");
    }

    /// To a server that knows no infinite interval, its bytes are those of a finite one.
    #[test]
    fn intervals_travel_as_text_where_only_one_side_knows_infinity() {
        let comparand = Comparand::named(&QualifiedName::new("s", "lasting"));
        let differs = Differs {
            comparand: &comparand,
            found: None,
            source: Rows(1),
            target: Rows(1),
        };
        for (source, target, binary) in [
            (180_000, 170_000, true),
            (160_000, 110_000, true),
            (180_000, 160_000, false),
            (160_000, 180_000, false),
        ] {
            let change = decided_between(&differs, (source, target));
            let is_binary = change.format == CopyFormat::Binary;
            assert_eq!(is_binary, binary, "{source} to {target}");
        }
    }

    #[test]
    fn what_is_cheaper_or_safer_anew_is_copied_anew() {
        let third = found(
            (0..400)
                .map(|n| row(RowKind::Changed, &n.to_string()))
                .collect(),
        );
        assert!(because(&decided("t", Some(&third), 1_100)).is_some());
        assert_eq!(because(&decided("t", Some(&third), 1_300)), None);
        // For a small table, it does not matter.
        assert_eq!(because(&decided("t", Some(&third), 900)), None);
        assert!(because(&decided("root", Some(&third), 9_000)).is_some());
        let not_found = decided("t", None, 9_000);
        assert!(because(&not_found).is_some());
        assert_eq!(not_found.figures.inserted, Rows(9_000));
        let too_many = Found {
            missing: 500,
            ..third.clone()
        };
        assert!(because(&decided("t", Some(&too_many), 90_000)).is_some());
        let strange = found(vec![row(RowKind::Missing, "a\u{fffd}")]);
        assert!(because(&decided("t", Some(&strange), 9_000)).is_some());
    }

    /// Deleting duplicates reads the table twice for every thousand of them.
    #[test]
    fn a_table_of_which_many_rows_are_there_several_times_is_copied_anew() {
        let comparand = Comparand::named(&QualifiedName::new("s", "t"));
        let because_of = |rows: usize, copies| {
            let doubled = DifferingRow {
                copies,
                ..row(RowKind::Extra, "(0,1)")
            };
            let rows = vec![doubled; rows];
            let found = Found {
                extra: rows.iter().map(|row| row.copies).sum(),
                ..found(rows)
            };
            let differs = Differs {
                comparand: &comparand,
                found: Some(&found),
                source: Rows(900_000),
                target: Rows(900_000),
            };
            let decided = decided_between(&differs, (150_000, 150_000));
            because(&decided).map(str::to_owned)
        };
        assert_eq!(because_of(PASSES * COPIES, 2), None);
        assert!(because_of(PASSES * COPIES + 1, 2).is_some());
        assert_eq!(because_of(PASSES * COPIES + 1, 1), None);
    }
}
