//! The statements that change a table: built around names and keys, and nothing else. Pure.
//!
//! How rows are named by key is up to [`verify`](crate::verify::rows::Key); rows of a table without a key are named by their places.

use std::collections::BTreeMap;

use crate::model::{QualifiedName, SqlText, quote_literal};
use crate::verify::drill::DifferingRow;

use super::table::{How, TableChange};

/// Keys in one statement: a longer one takes the server longer to plan than its rows take.
const KEYS: usize = 1_000;
/// Duplicate rows in one statement: each statement reads the table twice.
pub(super) const COPIES: usize = 1_000;
/// Tables in one LOCK.
const TABLES: usize = 500;
/// Alias of the table where its rows are looked at as wholes: a name that no column hides.
const ROW: &str = "pgconvoy_row";

/// A statement that returns a number of rows, and what that must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counted {
    pub sql: SqlText,
    /// `None`: any number.
    pub expected: Option<u64>,
}

/// Keeps out writers, not readers; only the table itself, as each partition and child is listed by its own name.
pub(super) fn locks(tables: &[QualifiedName]) -> Vec<SqlText> {
    let lock = |batch: &[QualifiedName]| {
        let names: Vec<String> = batch.iter().map(|name| format!("only {name}")).collect();
        SqlText::from(format!(
            "lock table {} in share row exclusive mode",
            names.join(", ")
        ))
    };
    tables.chunks(TABLES).map(lock).collect()
}

impl TableChange {
    fn only(&self) -> String {
        if self.is_root {
            self.table.to_string()
        } else {
            format!("only {}", self.table)
        }
    }

    /// The WHERE clause, if there is one.
    fn filter(&self, more: &str) -> String {
        match (&self.condition, more) {
            (None, "") => String::new(),
            (Some(condition), "") => format!(" where {condition}"),
            (None, more) => format!(" where {more}"),
            (Some(condition), more) => format!(" where {condition} and {more}"),
        }
    }

    /// The condition that names rows by key or, without one, by place.
    fn are(&self, rows: &[&DifferingRow]) -> String {
        match &self.key {
            Some(key) => key.is_one_of(rows.iter().map(|row| row.key.as_slice())),
            None => Self::at_places(rows),
        }
    }

    fn at_places(rows: &[&DifferingRow]) -> String {
        let places = rows.iter().filter_map(|row| row.key.first());
        let places: Vec<String> = places.map(|place| quote_literal(place)).collect();
        format!(
            "ctid = any (array[{}]::pg_catalog.tid[])",
            places.join(", ")
        )
    }

    fn delete(&self, condition: &str) -> SqlText {
        SqlText::from(format!(
            "with gone as (delete from {}{} returning 1) select count(*) from gone",
            self.only(),
            self.filter(condition)
        ))
    }

    /// The statements that delete the rows that go. `may_truncate`: no foreign key of another table points to it.
    pub(super) fn deletes(&self, may_truncate: bool) -> Vec<Counted> {
        let going = self.going();
        if let How::Anew { .. } = self.how {
            let sql = if self.truncates(may_truncate) {
                SqlText::from(format!("truncate {}", self.only()))
            } else {
                self.delete("")
            };
            return vec![Counted {
                sql,
                expected: None,
            }];
        }
        let is_single = |row: &&DifferingRow| self.key.is_some() || row.copies == 1;
        let (single, copies): (Vec<_>, Vec<_>) = going.into_iter().partition(is_single);
        let delete = |batch: &[&DifferingRow]| Counted {
            sql: self.delete(&self.are(batch)),
            expected: Some(batch.len() as u64),
        };
        // Rows named by place come first: the search for duplicates may take one that prints the same.
        let deletes = single.chunks(KEYS).map(delete);
        let copies = copies.chunks(COPIES).map(|batch| self.delete_copies(batch));
        deletes.chain(copies).collect()
    }

    fn truncates(&self, may_truncate: bool) -> bool {
        may_truncate && self.condition.is_none()
    }

    /// Deletes as many of a set of duplicate rows as are too many; each set is named by where one of its rows stands. Rows are
    /// the same if they print the same.
    fn delete_copies(&self, rows: &[&DifferingRow]) -> Counted {
        let print = format!("pg_catalog.md5(pg_catalog.format('%s', {ROW}.*))");
        let wanted = rows.iter().map(|row| {
            let place = row.key.first().map_or("", String::as_str);
            format!("({}::pg_catalog.tid, {})", quote_literal(place), row.copies)
        });
        let wanted: Vec<String> = wanted.collect();
        let table = self.only();
        let filter = self.filter("");
        let sql = format!(
            "with wanted (place, copies) as (values {}), \
             named as (select {print} as print, wanted.copies from wanted \
             join {table} as {ROW} on {ROW}.ctid = wanted.place), \
             printed as (select {ROW}.ctid as place, {print} as print from {table} as {ROW}{filter}), \
             numbered as (select printed.place, printed.print, \
             pg_catalog.row_number() over (partition by printed.print) as number \
             from printed where printed.print in (select named.print from named)), \
             gone as (delete from {table} where ctid = any (array(select numbered.place from numbered \
             join named on named.print = numbered.print where numbered.number <= named.copies)) returning 1) \
             select count(*) from gone",
            wanted.join(", ")
        );
        Counted {
            sql: SqlText::from(sql),
            expected: Some(rows.iter().map(|row| row.copies).sum()),
        }
    }

    /// The COPYs out of the source that give the rows that come, each with how many it gives.
    pub(super) fn copies_out(&self) -> Vec<Counted> {
        let coming = self.coming();
        if let How::Anew { rows, .. } = &self.how {
            return vec![Counted {
                sql: self.copy_out("", 1),
                expected: Some(rows.0),
            }];
        }
        if self.key.is_some() {
            let copy = |batch: &[&DifferingRow]| Counted {
                sql: self.copy_out(&self.are(batch), 1),
                expected: Some(batch.len() as u64),
            };
            return coming.chunks(KEYS).map(copy).collect();
        }
        let mut by_copies: BTreeMap<u64, Vec<&DifferingRow>> = BTreeMap::new();
        for row in coming {
            by_copies.entry(row.copies).or_default().push(row);
        }
        let batches = by_copies.iter().flat_map(|(copies, rows)| {
            rows.chunks(KEYS).map(move |batch| Counted {
                sql: self.copy_out(&self.are(batch), *copies),
                expected: Some(batch.len() as u64 * copies),
            })
        });
        batches.collect()
    }

    fn copy_out(&self, condition: &str, copies: u64) -> SqlText {
        // A subquery, so that no column's name can be mistaken for that of the series.
        let repeated = if copies > 1 {
            format!(
                " cross join pg_catalog.generate_series(1, {copies}) as pgconvoy_copy (pgconvoy_number)"
            )
        } else {
            String::new()
        };
        // What is read of a column has its name, even with a cast.
        let (columns, read) = (self.columns.join(", "), self.read.join(", "));
        SqlText::from(format!(
            "copy (select {columns} from (select {read} from {}{}) as {ROW}{repeated}) to stdout ({})",
            self.only(),
            self.filter(condition),
            self.options()
        ))
    }

    /// The COPY into the target.
    pub(super) fn copy_in(&self) -> SqlText {
        // No list of columns means all that can be written, and an empty one is a syntax error.
        let columns = if self.columns.is_empty() {
            String::new()
        } else {
            format!(" ({})", self.columns.join(", "))
        };
        SqlText::from(format!(
            "copy {}{columns} from stdin ({})",
            self.table,
            self.options()
        ))
    }

    fn options(&self) -> String {
        let format = self.format.keyword();
        match &self.encoding {
            Some(encoding) => format!("format {format}, encoding {}", quote_literal(encoding)),
            None => format!("format {format}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CopyFormat, RowKind, Rows};
    use crate::sync::table::Figures;
    use crate::verify::rows::Key;

    fn row(kind: RowKind, key: &[&str], copies: u64) -> DifferingRow {
        DifferingRow {
            kind,
            key: key.iter().map(|part| (*part).to_owned()).collect(),
            copies,
            hash: None,
        }
    }

    fn change(key: &[&str], rows: Vec<DifferingRow>) -> TableChange {
        TableChange {
            table: QualifiedName::new("s", "t"),
            is_root: false,
            condition: None,
            columns: vec!["\"a\"".into(), "\"b\"".into()],
            read: vec!["\"a\"".into(), "\"b\"".into()],
            format: CopyFormat::Binary,
            encoding: None,
            key: (!key.is_empty()).then(|| Key {
                columns: key.iter().map(|name| (*name).to_owned()).collect(),
                number: None,
                literals: Vec::new(),
            }),
            how: How::ByRows(rows),
            figures: Figures::default(),
        }
    }

    fn texts(statements: &[Counted]) -> Vec<(String, Option<u64>)> {
        let text = |one: &Counted| (one.sql.to_string(), one.expected);
        statements.iter().map(text).collect()
    }

    #[test]
    fn rows_with_a_key_go_and_come_by_it() {
        let rows = vec![
            row(RowKind::Extra, &["1", "it's"], 1),
            row(RowKind::Changed, &["2", "x"], 1),
            row(RowKind::Missing, &["3", "y"], 1),
        ];
        let change = change(&["a", "b"], rows);
        assert_eq!(
            texts(&change.deletes(true)),
            [(
                "with gone as (delete from only \"s\".\"t\" where (\"a\", \"b\") in (('1', 'it''s'), ('2', 'x')) returning 1) \
                 select count(*) from gone"
                    .to_owned(),
                Some(2)
            )]
        );
        assert_eq!(
            texts(&change.copies_out()),
            [(
                "copy (select \"a\", \"b\" from (select \"a\", \"b\" from only \"s\".\"t\" where (\"a\", \"b\") in (('2', 'x'), ('3', 'y'))) \
                 as pgconvoy_row) to stdout (format binary)"
                    .to_owned(),
                Some(2)
            )]
        );
        assert_eq!(
            change.copy_in().to_string(),
            "copy \"s\".\"t\" (\"a\", \"b\") from stdin (format binary)"
        );
    }

    #[test]
    fn rows_without_a_key_go_and_come_as_often_as_they_must() {
        let rows = vec![
            row(RowKind::Missing, &["(0,1)"], 3),
            row(RowKind::Missing, &["(0,2)"], 1),
            row(RowKind::Extra, &["(0,9)"], 2),
            row(RowKind::Extra, &["(0,7)"], 1),
            row(RowKind::Extra, &["(0,8)"], 1),
        ];
        let change = change(&[], rows);
        let copies = texts(&change.copies_out());
        assert_eq!(
            copies.iter().map(|(_, rows)| *rows).collect::<Vec<_>>(),
            [Some(1), Some(3)]
        );
        assert!(copies[1].0.contains("generate_series(1, 3)"), "{copies:?}");
        let deletes = texts(&change.deletes(true));
        // Only duplicates are looked for among all rows, and only after rows that have a place of their own.
        let numbers: Vec<_> = deletes.iter().map(|(_, rows)| *rows).collect();
        assert_eq!(numbers, [Some(2), Some(2)]);
        assert!(
            deletes[0]
                .0
                .contains("where ctid = any (array['(0,7)', '(0,8)']::pg_catalog.tid[]) returning"),
            "{deletes:?}"
        );
        assert!(
            deletes[1]
                .0
                .contains("(values ('(0,9)'::pg_catalog.tid, 2))"),
            "{deletes:?}"
        );
    }

    #[test]
    fn a_table_that_others_point_to_is_not_truncated() {
        let change = TableChange {
            how: How::Anew {
                because: String::new(),
                rows: Rows(5),
            },
            ..change(&[], Vec::new())
        };
        assert_eq!(
            texts(&change.deletes(true))[0].0,
            "truncate only \"s\".\"t\""
        );
        assert!(
            texts(&change.deletes(false))[0]
                .0
                .contains("delete from only")
        );
        let of_extension = TableChange {
            condition: Some("(id > 9)".into()),
            ..change
        };
        let deletes = texts(&of_extension.deletes(true));
        assert!(
            deletes[0].0.contains("where (id > 9) returning"),
            "{deletes:?}"
        );
    }
}
