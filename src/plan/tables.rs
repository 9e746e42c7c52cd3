//! What is copied whole, bundled or in chunks, and the COPY statements for it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::around::Around;
use super::format::{Formats, IN_ARCHIVES, cast, stored_as};
use crate::catalog::{Column, Table, Types};
use crate::model::{
    Bytes, CopyFormat, DumpId, QualifiedName, RowLayout, Rows, SqlText, quote_ident, quote_literal,
};

/// Bytes of a stripe: a reader has gone once around all chunks before any of them runs out of rows, and neighbours stay neighbours on
/// most pages.
const STRIPE: u64 = 256 << 10;

/// A table whose rows are copied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CopyUnit {
    /// The table on the source.
    pub table: QualifiedName,
    /// The table to load: the same, or the partitioned root above it.
    pub into: QualifiedName,
    /// Its entry in the schema archive.
    pub entry: Option<DumpId>,
    /// The entry of the archive that its rows are in, if they are in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_in: Option<DumpId>,
    /// The columns to copy, in the source's order. Empty: a table without columns.
    pub columns: Vec<String>,
    /// Of these, columns that are read as another type than theirs, since theirs prints only a part of the value; as which.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stored_as: BTreeMap<String, String>,
    /// Text or binary, and why.
    pub format: CopyFormat,
    /// Places of the columns that are arrays, in the binary format.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arrays: Vec<u16>,
    /// Encoding of the rows in text format, when it is not the session's.
    pub encoding: Option<String>,
    /// A `WHERE` clause, for configuration tables of extensions.
    pub condition: Option<String>,
    /// Emptied and loaded with `FREEZE`: possible when one transaction loads the whole table.
    pub freeze: bool,
    /// Its rows are not counted as changes while they are loaded, so that no autovacuum comes between a large table and its indexes:
    /// there is nothing to clean up, and the table is analyzed later. The target allows that to a superuser.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uncounted: bool,
    /// Rows expected, from the source's statistics.
    pub rows: Rows,
    /// Bytes stored on the source: heap and TOAST.
    pub bytes: Bytes,
    /// How many parts it is cut into.
    pub chunks: u32,
    /// What is set aside on the target while it is loaded.
    #[serde(default, skip_serializing_if = "Shield::is_empty")]
    pub shield: Shield,
    /// How it is read, if it is damaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub around: Option<Around>,
}

/// Statements around a load into a table that is finished already, in the same transaction: its triggers must not fire.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shield {
    /// Before the load.
    pub before: Vec<SqlText>,
    /// After it: puts everything back as it was.
    pub after: Vec<SqlText>,
}

impl Shield {
    /// Whether there is nothing to be set aside.
    pub fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }
}

/// A part of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Range {
    /// Blocks of the heap, from `from` up to and not including `to`. The last has no `to`: the table may have grown
    /// between measuring it and the snapshot, and what the snapshot can see must be in exactly one chunk.
    Block {
        /// First block.
        from: u64,
        /// The block after the last.
        to: Option<u64>,
    },
    /// Values of an integer key. The first has no `from` and the last no `to`, for the same reason.
    Key {
        /// The key's column.
        column: String,
        /// Smallest value.
        from: Option<i64>,
        /// The value after the largest.
        to: Option<i64>,
    },
    /// Rows of a file, which is read from its beginning to its end: in stripes, of which each chunk has its share in turn.
    Stripes(Stripes),
}

/// Which rows of a file are a chunk's: the file alone says so, wherever and whenever it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stripes {
    /// Bytes of a stripe, as COPY has them in its text format; it ends with the row that reaches so many.
    pub bytes: u64,
    /// How many chunks there are.
    pub of: u32,
    /// Which of them this is, from 0: it has the stripes whose number leaves this when divided by `of`.
    pub turn: u32,
}

/// What is read on both sides and compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The table to read on both sides; for rows that were loaded through a partitioned root, that root.
    pub table: QualifiedName,
    /// Its entry, or those of its partitions.
    pub entries: Vec<DumpId>,
    /// Indexes into [`super::Plan::tables`]: what was copied into it.
    pub copied: Vec<usize>,
    /// It is a materialized view.
    pub matview: bool,
    /// For a materialized view whose query may be run: that query.
    pub definition: Option<String>,
    /// The expressions to read.
    pub columns: Vec<String>,
    /// Whether the table is read without its children.
    pub only: bool,
    /// Format of both reads.
    pub format: CopyFormat,
    /// Places of the expressions that are arrays, in the binary format.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arrays: Vec<u16>,
    /// Encoding of text.
    pub encoding: Option<String>,
    /// A `WHERE` clause.
    pub condition: Option<String>,
    /// Whether the source has to be read again, because what was copied is not all that is compared, or not in a form
    /// that can be.
    pub reads_source: bool,
    /// Bytes stored on the source.
    pub bytes: Bytes,
    /// What both sides are read with instead of what our sessions have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<(String, String)>,
}

impl CopyUnit {
    /// For a table. `chunks`, `freeze` and `uncounted` are settled later.
    pub(super) fn new(table: &Table, entry: Option<DumpId>, formats: &Formats<'_>) -> Self {
        let format = formats.of(&table.columns);
        let encoding = match &format {
            CopyFormat::Text { .. } if !matches!(formats.encoding, "UTF8" | "SQL_ASCII") => {
                Some(formats.encoding.to_owned())
            }
            _ => None,
        };
        let root = table
            .partition_root
            .as_ref()
            .filter(|_| table.load_via_root);
        // An archive has its own order.
        let columns = copied_columns(&table.columns, root.is_some() && !formats.archived);
        Self {
            into: root.unwrap_or(&table.name).clone(),
            table: table.name.clone(),
            entry,
            rows_in: None,
            columns: columns.iter().map(|column| column.name.clone()).collect(),
            stored_as: formats.stored_as(&columns),
            arrays: formats.arrays(&columns, &format),
            format,
            encoding,
            condition: table
                .extension_condition
                .clone()
                .filter(|condition| !condition.trim().is_empty()),
            freeze: false,
            uncounted: false,
            rows: table.row_estimate,
            bytes: table.total,
            chunks: 1,
            shield: Shield::default(),
            around: None,
        }
    }

    /// The same in COPY's text format, in the database's own encoding: what an archive holds.
    pub(super) fn as_text(
        table: &Table,
        entry: DumpId,
        (encoding, types): (&str, Types<'_>),
    ) -> Self {
        let columns = copied_columns(&table.columns, false);
        let condition = table.extension_condition.clone();
        Self {
            table: table.name.clone(),
            into: table.name.clone(),
            entry: Some(entry),
            rows_in: None,
            columns: columns.iter().map(|column| column.name.clone()).collect(),
            stored_as: stored_as(types, &columns),
            format: CopyFormat::Text {
                because: IN_ARCHIVES.to_owned(),
            },
            arrays: Vec::new(),
            encoding: (!matches!(encoding, "UTF8" | "SQL_ASCII")).then(|| encoding.to_owned()),
            condition: condition.filter(|condition| !condition.trim().is_empty()),
            freeze: false,
            uncounted: false,
            rows: table.row_estimate,
            bytes: table.total,
            chunks: 1,
            shield: Shield::default(),
            around: None,
        }
    }

    /// Reads around damage from now on: as text, unless all values are known to be some, since one that is none may have a binary form that
    /// the target takes.
    pub(super) fn read_around(&mut self, around: Around, encoding: &str) {
        if !around.sound {
            self.format = CopyFormat::Text {
                because: "the table is damaged".to_owned(),
            };
            self.arrays = Vec::new();
            self.encoding =
                (!matches!(encoding, "UTF8" | "SQL_ASCII")).then(|| encoding.to_owned());
        }
        self.around = Some(around);
    }

    /// Whether the source can be asked how many rows there are: not where no query can be planned.
    pub fn can_be_counted(&self) -> bool {
        self.around.as_ref().is_none_or(|around| !around.plain)
    }

    /// What a session that reads it is told before (`on`) and after, if it is damaged.
    pub fn settings(&self, on: bool) -> Vec<SqlText> {
        let around = self.around.as_ref().filter(|around| !around.plain);
        around.map_or_else(Vec::new, |around| around.settings(on))
    }

    /// `SELECT count(*)` of all rows, regardless of how they are read: a hole between two chunks shows.
    pub fn count(&self) -> SqlText {
        if let Some(query) = self.around_query(&[]) {
            return SqlText::from(format!("select count(*) from ({query}) as read"));
        }
        SqlText::from(format!(
            "select count(*) from only {}{}",
            self.table,
            self.filter(None)
        ))
    }

    /// What its rows look like on their way.
    pub fn layout(&self) -> RowLayout<'_> {
        self.format.layout(&self.arrays)
    }

    /// `COPY … TO STDOUT` for the whole table, or for a part of it.
    pub fn copy_out(&self, range: Option<&Range>) -> SqlText {
        // Where no query can be planned, columns are read as they are.
        let is_plain = self.stored_as.is_empty() || !self.can_be_counted();
        let from = if let Some(query) = self.around_query(&self.columns) {
            if is_plain {
                format!("({query})")
            } else {
                let (list, names) = (self.expressions().join(", "), column_list(&self.columns));
                format!("(select {list} from ({query}) as read{names})")
            }
        } else if is_plain && self.condition.is_none() && range.is_none() {
            format!("{}{}", self.table, column_list(&self.columns))
        } else {
            let (list, filter) = (self.expressions().join(", "), self.filter(range));
            format!("(select {list} from only {}{filter})", self.table)
        };
        SqlText::from(format!(
            "copy {from} to stdout ({})",
            self.copy_options(false)
        ))
    }

    /// What is read of each column.
    pub fn expressions(&self) -> Vec<String> {
        let read = |column: &String| cast(column, self.stored_as.get(column).map(String::as_str));
        self.columns.iter().map(read).collect()
    }

    /// What is read instead of the table, if it is damaged.
    fn around_query(&self, columns: &[String]) -> Option<String> {
        let around = self.around.as_ref().filter(|around| !around.plain)?;
        let table = self.table.to_string();
        Some(around.query(&table, columns, self.bare_condition()))
    }

    fn bare_condition(&self) -> Option<&str> {
        let condition = self.condition.as_deref()?.trim();
        let bare = condition
            .strip_prefix("WHERE")
            .or_else(|| condition.strip_prefix("where"));
        Some(bare.unwrap_or(condition))
    }

    /// The `WHERE` clause for the whole table, or for a part of it.
    fn filter(&self, range: Option<&Range>) -> String {
        let mut conditions: Vec<String> = Vec::new();
        if let Some(bare) = self.bare_condition() {
            conditions.push(format!("({bare})"));
        }
        conditions.extend(
            range
                .map(Range::condition)
                .filter(|condition| !condition.is_empty()),
        );
        if conditions.is_empty() {
            String::new()
        } else {
            format!(" where {}", conditions.join(" and "))
        }
    }

    /// `COPY … FROM STDIN`.
    pub fn copy_in(&self) -> SqlText {
        let columns = column_list(&self.columns);
        SqlText::from(format!(
            "copy {}{columns} from stdin ({})",
            self.into,
            self.copy_options(self.freeze)
        ))
    }

    fn copy_options(&self, freeze: bool) -> String {
        let mut options = format!("format {}", self.format.keyword());
        if freeze {
            options.push_str(", freeze");
        }
        if let Some(encoding) = &self.encoding {
            let _ = write!(options, ", encoding {}", quote_literal(encoding));
        }
        options
    }
}

impl Range {
    /// The condition that selects the part.
    pub fn condition(&self) -> String {
        let mut conditions: Vec<String> = Vec::new();
        match self {
            Self::Block { from, to } => {
                conditions.push(format!("ctid >= '({from},0)'::pg_catalog.tid"));
                conditions.extend(to.map(|to| format!("ctid < '({to},0)'::pg_catalog.tid")));
            }
            Self::Key { column, from, to } => {
                let column = quote_ident(column);
                conditions.extend(from.map(|from| format!("{column} >= {from}")));
                conditions.extend(to.map(|to| format!("{column} < {to}")));
            }
            // No server is asked for them.
            Self::Stripes(_) => {}
        }
        conditions.join(" and ")
    }

    /// Cuts a heap into `count` ranges of blocks.
    pub(super) fn of_blocks(blocks: u64, count: u64) -> Vec<Self> {
        let edge = |index: u64| blocks * index / count;
        let range = |index: u64| Self::Block {
            from: edge(index),
            to: (index + 1 < count).then(|| edge(index + 1)),
        };
        (0..count).map(range).collect()
    }

    /// Deals the rows of a file out to `count` chunks.
    pub(super) fn of_stripes(count: u64) -> Vec<Self> {
        let of = u32::try_from(count).unwrap_or(u32::MAX);
        let range = |turn: u32| {
            Self::Stripes(Stripes {
                bytes: STRIPE,
                of,
                turn,
            })
        };
        (0..of).map(range).collect()
    }

    /// Cuts a range of keys into `count` parts of equal width.
    pub(super) fn of_keys(column: &str, (min, max): (i64, i64), count: u64) -> Vec<Self> {
        let width = i128::from(max) - i128::from(min) + 1;
        let edge = |index: u64| {
            let edge = i128::from(min) + width * i128::from(index) / i128::from(count.max(1));
            i64::try_from(edge).unwrap_or(max)
        };
        let range = |index: u64| Self::Key {
            column: column.to_owned(),
            from: (index > 0).then(|| edge(index)),
            to: (index + 1 < count).then(|| edge(index + 1)),
        };
        (0..count).map(range).collect()
    }
}

/// In attribute order; by name for what goes through a partitioned root, whose partitions may each have another order.
fn copied_columns(columns: &[Column], by_name: bool) -> Vec<&Column> {
    let copied = columns.iter().filter(|column| !column.generated);
    let mut copied: Vec<&Column> = copied.collect();
    if by_name {
        copied.sort_by_key(|column| &column.name);
    }
    copied
}

/// A table without columns to copy takes no list, not an empty one.
fn column_list(columns: &[String]) -> String {
    if columns.is_empty() {
        return String::new();
    }
    let quoted: Vec<String> = columns.iter().map(|column| quote_ident(column)).collect();
    format!(" ({})", quoted.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit() -> CopyUnit {
        CopyUnit {
            columns: vec!["a".into(), "b\"c".into()],
            ..crate::plan::testing::unit(QualifiedName::new("public", "t"))
        }
    }

    #[test]
    fn statements_quote_and_say_what_they_mean() {
        assert_eq!(
            unit().copy_out(None).to_string(),
            r#"copy "public"."t" ("a", "b""c") to stdout (format binary)"#
        );
        assert_eq!(
            unit().copy_in().to_string(),
            r#"copy "public"."t" ("a", "b""c") from stdin (format binary, freeze)"#
        );
        let no_columns = CopyUnit {
            columns: vec![],
            freeze: false,
            ..unit()
        };
        assert_eq!(
            no_columns.copy_in().to_string(),
            r#"copy "public"."t" from stdin (format binary)"#
        );
        let configuration = CopyUnit {
            condition: Some("WHERE a > 1 OR b".into()),
            ..unit()
        };
        let range = Range::Block { from: 5, to: None };
        assert_eq!(
            configuration.copy_out(Some(&range)).to_string(),
            r#"copy (select "a", "b""c" from only "public"."t" where ( a > 1 OR b) and ctid >= '(5,0)'::pg_catalog.tid) to stdout (format binary)"#
        );
    }

    /// A type that prints only a part of what it holds is read as one that prints all of it; not where no query can be planned.
    #[test]
    fn what_is_stored_is_read() {
        let text = CopyFormat::Text {
            because: "a test".into(),
        };
        let unit = CopyUnit {
            stored_as: BTreeMap::from([("a".into(), "pg_catalog.text".into())]),
            format: text,
            freeze: false,
            ..unit()
        };
        assert_eq!(
            unit.copy_out(None).to_string(),
            r#"copy (select "a"::pg_catalog.text, "b""c" from only "public"."t") to stdout (format text)"#
        );
        let around = |plain| CopyUnit {
            around: Some(Around {
                plain,
                ..Around::default()
            }),
            ..unit.clone()
        };
        assert_eq!(
            around(false).copy_out(None).to_string(),
            r#"copy (select "a"::pg_catalog.text, "b""c" from (select null, null where false) as read ("a", "b""c")) to stdout (format text)"#
        );
        assert_eq!(
            around(true).copy_out(None).to_string(),
            r#"copy "public"."t" ("a", "b""c") to stdout (format text)"#
        );
    }

    #[test]
    fn ranges_meet_and_the_last_is_open() {
        let ranges = Range::of_blocks(10, 3);
        assert_eq!(ranges.len(), 3);
        assert_eq!(
            ranges[0],
            Range::Block {
                from: 0,
                to: Some(3)
            }
        );
        assert_eq!(
            ranges[1],
            Range::Block {
                from: 3,
                to: Some(6)
            }
        );
        assert_eq!(ranges[2], Range::Block { from: 6, to: None });
        let keys = Range::of_keys("id", (i64::MIN, i64::MAX), 2);
        assert_eq!(
            keys[0],
            Range::Key {
                column: "id".into(),
                from: None,
                to: Some(0)
            }
        );
        assert_eq!(
            keys[1],
            Range::Key {
                column: "id".into(),
                from: Some(0),
                to: None
            }
        );
        assert_eq!(keys[1].condition(), "\"id\" >= 0");
        let stripes = Range::of_stripes(3).into_iter();
        let turns = stripes.map(|range| match range {
            Range::Stripes(stripes) => (stripes.turn, stripes.of, stripes.bytes),
            _ => panic!("a file has no other parts"),
        });
        assert!(turns.eq((0..3).map(|turn| (turn, 3, STRIPE))));
    }
}
