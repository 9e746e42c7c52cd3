//! Rows: the statements that ask for values, and those that write them.
//!
//! Values travel as literals without a type, which the column they are assigned to reads with its own input function: what
//! the type's output function prints, it reads. The server makes the literals, so it is its quoting and its notion of NULL
//! (a row of NULLs is no NULL) that count. Where a literal is compared, and the server would read it as of another type than its
//! column, it says what it is.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::model::{QualifiedName, RowKind, quote_ident, quote_literal};

/// A table with rows that differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRepair {
    /// The table or partition that holds the rows.
    pub table: QualifiedName,
    /// It is the root of partitions that were compared as one table: its rows are in those.
    pub is_root: bool,
    /// All columns, in attribute order.
    pub columns: Vec<RepairColumn>,
    /// The columns that tell one row from another; empty if there is no key.
    pub key: Vec<String>,
    /// The rows.
    pub rows: Vec<RepairRow>,
    /// How many more rows differ than are listed: these are not covered, and that is said.
    pub more: u64,
    /// Every row of the source is missing: the table is, too, or it is empty. `rows` is then empty.
    pub whole: bool,
    /// The rows that are compared are those of which this holds, in parentheses: the others are not the database's own.
    pub condition: Option<String>,
    /// Rows of the target hold values that nobody has held against the source's: of columns that were not compared, or that only the
    /// target has. A row that is deleted and inserted again would lose them.
    pub has_own_values: bool,
}

/// A column of such a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairColumn {
    /// Name, unquoted.
    pub name: String,
    /// Computed by the server, so not written.
    pub generated: bool,
    /// Whether it was compared. Of one that was not, rows that are there keep what they have.
    pub compared: bool,
    /// An identity that wants to be overridden.
    pub identity_always: bool,
    /// Of a key's column whose type is not the server's own: the schema of that type's `=`. `None` is `pg_catalog`.
    pub equals_in: Option<String>,
    /// Of a key's column: the type that a literal has to be given to be compared with it; `None` if it takes the column's.
    pub literal_type: Option<String>,
}

/// A row that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairRow {
    /// In what way.
    pub kind: RowKind,
    /// The key's values as text; without a key, the row's `ctid` on the side that has it.
    pub key: Vec<String>,
    /// How many copies too few or too many; 1 where there is a key.
    pub copies: u64,
    /// Of a changed row, the columns that differ; empty if that is not known.
    pub columns: Vec<String>,
}

/// A value as the server printed it, quoted, or `NULL`.
pub(super) type Literal = Vec<u8>;

/// What the table is called while its rows are looked at as wholes: a name that no column hides.
const ROW: &str = "pgconvoy_row";

impl TableRepair {
    /// Columns that are written.
    pub(super) fn written(&self) -> Vec<&str> {
        let columns = self.columns.iter().filter(|column| !column.generated);
        columns.map(|column| column.name.as_str()).collect()
    }

    /// Columns of a changed row that are written: those that differ, as far as they can be; otherwise all that were compared, so that the
    /// server computes what is generated.
    pub(super) fn updated(&self, row: &RepairRow) -> Vec<&str> {
        let of_row = |name: &&str| row.columns.iter().any(|column| column == name);
        let compared = self.columns.iter().filter(|column| column.compared);
        let written = compared.filter(|column| !column.generated);
        let written: Vec<&str> = written.map(|column| column.name.as_str()).collect();
        let changed: Vec<&str> = written.iter().copied().filter(of_row).collect();
        if !changed.is_empty() {
            return changed;
        }
        // What is generated is computed anew only if a column is written that it is made of, be it a key's.
        let is_free = |name: &&str| {
            let mut columns = self.columns.iter();
            !columns.any(|column| column.name == *name && column.identity_always)
        };
        let free: Vec<&str> = written.iter().copied().filter(is_free).collect();
        if free.is_empty() { written } else { free }
    }

    /// Whether a changed row differs, or may, in an identity that is always generated, which no `UPDATE` sets.
    pub(super) fn cannot_be_updated(&self, row: &RepairRow) -> bool {
        let mut identities = self
            .columns
            .iter()
            .filter(|column| column.identity_always && !self.key.contains(&column.name));
        let may_differ =
            |column: &RepairColumn| row.columns.is_empty() || row.columns.contains(&column.name);
        row.kind == RowKind::Changed && identities.any(may_differ)
    }

    /// How many rows of a kind there are.
    pub(super) fn count(&self, kind: RowKind) -> u64 {
        let rows = self.rows.iter().filter(|row| row.kind == kind);
        rows.map(|row| row.copies).sum()
    }

    fn column(&self, name: &str) -> Option<&RepairColumn> {
        self.columns.iter().find(|one| one.name == name)
    }

    /// What stands behind a literal that is compared with a column.
    fn cast(&self, column: &str) -> String {
        let kind = self
            .column(column)
            .and_then(|one| one.literal_type.as_ref());
        kind.map_or_else(String::new, |kind| format!("::{kind}"))
    }

    fn equals(&self, column: &str) -> String {
        let schema = self
            .column(column)
            .and_then(|one| one.equals_in.as_deref())
            .unwrap_or("pg_catalog");
        if schema == "pg_catalog" {
            " = ".to_owned()
        } else {
            format!(" operator({}.=) ", quote_ident(schema))
        }
    }

    /// `"a" = 'x' and "b" = 'y'`, from literals that are quoted already.
    fn is_row(&self, literals: &[Literal]) -> Vec<u8> {
        let mut sql = Vec::new();
        for (column, literal) in self.key.iter().zip(literals) {
            if !sql.is_empty() {
                sql.extend(b" and ");
            }
            sql.extend(quote_ident(column).bytes());
            sql.extend(self.equals(column).bytes());
            sql.extend_from_slice(literal);
            sql.extend(self.cast(column).bytes());
        }
        sql
    }

    /// A table's own rows, and not those of its children.
    fn only(&self) -> &'static str {
        if self.is_root { "" } else { "only " }
    }

    /// One condition for all of them.
    fn is_one_of(&self, rows: &[&RepairRow]) -> String {
        if self.key.is_empty() {
            let places: Vec<String> = rows
                .iter()
                .map(|row| quote_literal(first_key(row)))
                .collect();
            return format!(
                "ctid = any (array[{}]::pg_catalog.tid[])",
                places.join(", ")
            );
        }
        if let ([column], " = ") = (self.key.as_slice(), self.equals(&self.key[0]).as_str()) {
            let cast = self.cast(column);
            let values: Vec<String> = rows
                .iter()
                .map(|row| format!("{}{cast}", quote_literal(first_key(row))))
                .collect();
            return format!("{} in ({})", quote_ident(column), values.join(", "));
        }
        let each: Vec<String> = rows
            .iter()
            .map(|row| {
                let literals: Vec<Literal> = row
                    .key
                    .iter()
                    .map(|key| quote_literal(key).into_bytes())
                    .collect();
                String::from_utf8_lossy(&self.is_row(&literals)).into_owned()
            })
            .collect();
        format!("({})", each.join(") or ("))
    }

    /// Asks for some columns of some rows, as literals; before them the row's place in its table.
    pub(super) fn select(&self, columns: &[&str], rows: &[&RepairRow]) -> String {
        let mut sql = self.literals_of(columns);
        let _ = write!(sql, " where {}", self.is_one_of(rows));
        sql
    }

    /// The same of all rows that are the database's own.
    pub(super) fn select_all(&self, columns: &[&str]) -> String {
        let mut sql = self.literals_of(columns);
        if let Some(condition) = &self.condition {
            let _ = write!(sql, " where {condition}");
        }
        sql
    }

    fn literals_of(&self, columns: &[&str]) -> String {
        let mut sql = "select pg_catalog.format('%s', ctid)".to_owned();
        for column in columns {
            let column = quote_ident(column);
            // Not IS NULL, which is true of a row of NULLs.
            let _ = write!(
                sql,
                ", case when {column} is distinct from null \
                 then pg_catalog.quote_literal(pg_catalog.format('%s', {column})) else 'NULL' end"
            );
        }
        let _ = write!(sql, " from {}{}", self.only(), self.table);
        sql
    }

    /// Asks the target what is in the rows that are to be deleted by their place.
    pub(super) fn select_fingerprints(&self, rows: &[&RepairRow]) -> String {
        format!(
            "select pg_catalog.format('%s', ctid), {} from only {} as {ROW} where {}",
            Self::fingerprint(),
            self.table,
            self.is_one_of(rows)
        )
    }

    fn fingerprint() -> String {
        format!("pg_catalog.md5(pg_catalog.format('%s', {ROW}.*))")
    }

    /// Deletes rows by key.
    pub(super) fn delete(&self, rows: &[&RepairRow]) -> String {
        format!(
            "delete from {}{} where {}",
            self.only(),
            self.table,
            self.is_one_of(rows)
        )
    }

    /// Deletes a row that is too many, by its place, if it is still what it was.
    pub(super) fn delete_copy(&self, row: &RepairRow, fingerprint: &str) -> String {
        format!(
            "delete from only {} as {ROW} where ctid = {} and {} = {}",
            self.table,
            quote_literal(first_key(row)),
            Self::fingerprint(),
            quote_literal(fingerprint)
        )
    }

    /// Deletes as many copies of each row as are too many, by what they are: all in one pass over the table.
    pub(super) fn delete_copies(&self, copies: &BTreeMap<&str, u64>) -> String {
        let each: Vec<String> = copies
            .iter()
            .map(|(fingerprint, copies)| format!("({}, {copies})", quote_literal(fingerprint)))
            .collect();
        format!(
            "delete from only {table} where ctid = any (array(\
             select place from (select {ROW}.ctid as place, gone.copies, \
             pg_catalog.row_number() over (partition by gone.print) as number \
             from only {table} as {ROW} join (values {}) as gone (print, copies) on gone.print = {}) as these \
             where number <= copies))",
            each.join(", "),
            Self::fingerprint(),
            table = self.table
        )
    }

    /// `values` are the key's literals, then those of `columns`.
    pub(super) fn update(&self, columns: &[&str], values: &[Literal]) -> Vec<u8> {
        let (key, values) = values.split_at(self.key.len().min(values.len()));
        let mut sql = format!("update {}{} set ", self.only(), self.table).into_bytes();
        for (at, (column, value)) in columns.iter().zip(values).enumerate() {
            if at > 0 {
                sql.extend(b", ");
            }
            sql.extend(quote_ident(column).bytes());
            sql.extend(b" = ");
            sql.extend_from_slice(value);
        }
        sql.extend(b" where ");
        sql.extend(self.is_row(key));
        sql
    }

    /// One statement for several rows, each the literals of [`Self::written`].
    pub(super) fn insert(&self, rows: &[Vec<Literal>]) -> Vec<u8> {
        let columns: Vec<String> = self.written().into_iter().map(quote_ident).collect();
        let overriding = if self.columns.iter().any(|column| column.identity_always) {
            " overriding system value"
        } else {
            ""
        };
        let mut sql = format!(
            "insert into {} ({}){overriding} values",
            self.table,
            columns.join(", ")
        )
        .into_bytes();
        for (at, row) in rows.iter().enumerate() {
            sql.extend(if at == 0 { &b"\n  ("[..] } else { b",\n  (" });
            sql.extend(row.join(&b", "[..]));
            sql.push(b')');
        }
        sql
    }

    /// For a table without columns that could be written.
    pub(super) fn insert_defaults(&self) -> String {
        format!("insert into {} default values", self.table)
    }
}

fn first_key(row: &RepairRow) -> &str {
    row.key.first().map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str) -> RepairColumn {
        RepairColumn {
            name: name.to_owned(),
            generated: name == "g",
            identity_always: name == "id",
            compared: name != "own",
            equals_in: (name == "ci").then(|| "ext".to_owned()),
            literal_type: (name == "pair").then(|| "s.pair".to_owned()),
        }
    }

    fn table(columns: &[&str], key: &[&str]) -> TableRepair {
        TableRepair {
            table: QualifiedName::new("s", "t\"x"),
            columns: columns.iter().map(|name| column(name)).collect(),
            key: key.iter().map(|&name| name.to_owned()).collect(),
            rows: Vec::new(),
            more: 0,
            whole: false,
            condition: None,
            is_root: false,
            has_own_values: columns.contains(&"own"),
        }
    }

    fn row(kind: RowKind, key: &[&str], columns: &[&str], copies: u64) -> RepairRow {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        RepairRow {
            kind,
            key: owned(key),
            copies,
            columns: owned(columns),
        }
    }

    #[test]
    fn keys_are_literals_without_a_type() {
        let rows = [
            row(RowKind::Extra, &["it's"], &[], 1),
            row(RowKind::Extra, &["b\\"], &[], 1),
        ];
        let both: Vec<&RepairRow> = rows.iter().collect();
        assert_eq!(
            table(&["a"], &["a"]).delete(&both),
            r#"delete from only "s"."t""x" where "a" in ('it''s',  E'b\\')"#
        );
        let two = [row(RowKind::Extra, &["1", "x"], &[], 1)];
        assert_eq!(
            table(&["a", "ci"], &["a", "ci"]).delete(&[&two[0]]),
            r#"delete from only "s"."t""x" where ("a" = '1' and "ci" operator("ext".=) 'x')"#
        );
    }

    #[test]
    fn a_row_without_a_key_is_only_deleted_if_it_is_what_it_was() {
        let table = table(&["a"], &[]);
        let delete = table.delete_copy(&row(RowKind::Extra, &["(0,1)"], &[], 1), "abc");
        assert!(
            delete.contains("ctid = '(0,1)' and pg_catalog.md5(") && delete.ends_with("= 'abc'"),
            "{delete}"
        );
        let delete = table.delete_copies(&BTreeMap::from([("abc", 3), ("def", 2)]));
        assert!(
            delete.contains("(values ('abc', 3), ('def', 2)) as gone"),
            "{delete}"
        );
    }

    #[test]
    fn generated_columns_are_not_written() {
        let table = table(&["id", "a", "g"], &["id"]);
        let changed = |columns: &[&str]| table.updated(&row(RowKind::Changed, &["1"], columns, 1));
        assert_eq!(changed(&["a", "g"]), ["a"]);
        assert_eq!(changed(&["g"]), ["a"]);
        assert_eq!(changed(&[]), ["a"]);
        let insert = table.insert(&[vec![b"'1'".to_vec(), b"NULL".to_vec()]]);
        assert_eq!(
            String::from_utf8_lossy(&insert),
            "insert into \"s\".\"t\"\"x\" (\"id\", \"a\") overriding system value values\n  ('1', NULL)"
        );
        let update = table.update(&["a"], &[b"'1'".to_vec(), b"NULL".to_vec()]);
        assert_eq!(
            String::from_utf8_lossy(&update),
            "update only \"s\".\"t\"\"x\" set \"a\" = NULL where \"id\" = '1'"
        );
    }

    #[test]
    fn what_was_not_compared_stays_as_it_is() {
        let table = table(&["id", "a", "own", "b"], &["a"]);
        let unknown = row(RowKind::Changed, &["1"], &[], 1);
        assert_eq!(table.updated(&unknown), ["a", "b"]);
        // A row that the target does not have has nothing to keep.
        assert_eq!(table.written(), ["id", "a", "own", "b"]);
    }

    #[test]
    fn the_rows_of_a_root_are_in_its_partitions() {
        let mut root = TableRepair {
            table: QualifiedName::new("s", "r"),
            is_root: true,
            columns: Vec::new(),
            key: Vec::new(),
            rows: Vec::new(),
            more: 0,
            whole: true,
            condition: None,
            has_own_values: false,
        };
        assert!(root.select_all(&[]).ends_with(" from \"s\".\"r\""));
        root.is_root = false;
        assert!(root.select_all(&[]).ends_with(" from only \"s\".\"r\""));
        root.condition = Some("(id >= 100)".to_owned());
        let own = " from only \"s\".\"r\" where (id >= 100)";
        assert!(root.select_all(&[]).ends_with(own));
    }

    #[test]
    fn a_literal_that_is_compared_says_what_it_is_where_it_must() {
        let extra = row(RowKind::Extra, &["(1,)"], &[], 1);
        assert_eq!(
            table(&["pair"], &["pair"]).delete(&[&extra]),
            r#"delete from only "s"."t""x" where "pair" in ('(1,)'::s.pair)"#
        );
        let two = table(&["a", "pair"], &["a", "pair"]);
        let update = two.update(
            &["a"],
            &[b"'1'".to_vec(), b"'(1,)'".to_vec(), b"'2'".to_vec()],
        );
        assert_eq!(
            String::from_utf8_lossy(&update),
            r#"update only "s"."t""x" set "a" = '2' where "a" = '1' and "pair" = '(1,)'::s.pair"#
        );
    }

    #[test]
    fn what_may_differ_in_an_identity_is_not_updated() {
        let table = table(&["a", "id"], &["a"]);
        let cannot =
            |kind, columns: &[&str]| table.cannot_be_updated(&row(kind, &["1"], columns, 1));
        assert!(cannot(RowKind::Changed, &["id"]) && cannot(RowKind::Changed, &[]));
        assert!(!cannot(RowKind::Changed, &["a"]) && !cannot(RowKind::Missing, &["id"]));
        let of_key = self::table(&["a", "id"], &["id"]);
        assert!(!of_key.cannot_be_updated(&row(RowKind::Changed, &["1"], &[], 1)));
    }
}
