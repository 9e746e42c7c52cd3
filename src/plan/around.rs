//! What of a damaged table is read, and how: the statement that reads around the damage.
//!
//! A damaged table travels through the same relay as any other, in one transaction with its ledger line; only its COPY is
//! another one. What can be read was found out beforehand, so that the statement meets no damage. Where that is, is decided
//! elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::model::{QualifiedName, SqlText, quote_ident};

/// `TidRangeScan` came with 14; before, every line pointer that there may be is asked for.
const TID_RANGE_SCANS: u32 = 14;
/// `MaxHeapTuplesPerPage` of a page of 8 kB (`htup_details.h`).
pub const MOST_ROWS_OF_A_BLOCK: u16 = 291;

/// What a salvage knows of a damaged source, as far as the plan depends on it.
#[derive(Debug, Clone, Default)]
pub struct Salvaged {
    /// How damaged tables are read.
    pub around: BTreeMap<QualifiedName, Around>,
    /// Tables of which something is lost: what refers to them need not hold.
    pub lossy: BTreeSet<QualifiedName>,
    /// The source is damaged, and what nobody knows of may have made values others than they were: a constraint may break anywhere.
    pub anywhere: bool,
    /// Materialized views that are damaged: they are refreshed, and there is nothing to compare them with.
    pub matviews: BTreeSet<QualifiedName>,
    /// Checks that are set aside while rows are loaded that may violate them, and put back afterwards.
    pub checks: Vec<Check>,
}

/// A `CHECK` of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its table.
    pub table: QualifiedName,
    /// Its name.
    pub name: String,
    /// As `ALTER TABLE … ADD CONSTRAINT name` takes it.
    pub definition: String,
}

impl Check {
    /// Takes it away.
    pub fn set_aside(&self) -> SqlText {
        let name = quote_ident(&self.name);
        SqlText::from(format!(
            "alter table only {} drop constraint {name}",
            self.table
        ))
    }

    /// Puts it back; `tail` is nothing, or says that what is there already need not hold.
    fn put_back_as(&self, tail: &str) -> SqlText {
        let (name, definition) = (quote_ident(&self.name), &self.definition);
        SqlText::from(format!(
            "alter table only {} add constraint {name} {definition}{tail}",
            self.table
        ))
    }

    /// Puts it back.
    pub fn put_back(&self) -> SqlText {
        self.put_back_as("")
    }

    /// The same if rows violate it: it holds for new ones alone.
    pub fn put_back_unproven(&self) -> SqlText {
        self.put_back_as(NOT_VALID)
    }
}

const NOT_VALID: &str = " not valid";

impl Salvaged {
    /// What is run in the place of a statement that fails because of what is lost.
    pub fn otherwise(&self, tables: &[&QualifiedName]) -> Option<SqlText> {
        let is_lossy = |table: &&QualifiedName| self.lossy.contains(*table);
        let concerned = self.anywhere || tables.iter().any(is_lossy);
        concerned.then(left_out)
    }
}

/// Does nothing: the constraint is left out, or not validated, and the account says which rows are in its way.
fn left_out() -> SqlText {
    SqlText::from("select 'left out'")
}

/// Whether a statement is what is done where rows violate a constraint, because of what is lost.
pub fn is_left_out(sql: &SqlText) -> bool {
    *sql == left_out() || sql.as_bytes().ends_with(NOT_VALID.as_bytes())
}

/// A row of a heap: its block, and its line pointer from 1.
pub type Place = (u32, u16);

/// What of a damaged table can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Around {
    /// The heap is whole, but no query can be planned, because an index is damaged: only COPY of the table as a whole.
    #[serde(default)]
    pub plain: bool,
    /// What is read is known to be values of their types, by its bytes.
    #[serde(default)]
    pub sound: bool,
    /// The source's major version.
    pub major: u32,
    /// Runs of blocks that are read as a whole: the first, and the one behind the last.
    pub blocks: Vec<(u32, u32)>,
    /// Rows of other blocks.
    pub rows: Vec<Place>,
    /// Rows of which some columns cannot be read, and what stands in the place of each: `None` is NULL, otherwise a literal.
    pub patched: Vec<Patched>,
    /// Values of rows in these runs that cannot be read, by column and what stands in their place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blanks: Vec<Blank>,
    /// Some of that can be read only so.
    #[serde(default, skip_serializing_if = "Doubtful::is_none")]
    pub doubtful: Doubtful,
}

/// What is read of damaged pages although it may be wrong: on request alone, and whatever comes of it is marked as suspect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubtful {
    /// A page whose checksum is wrong is read all the same (`ignore_checksum_failure`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub checksums: bool,
    /// A page whose header is wrong is read as an empty one (`zero_damaged_pages`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub zeros: bool,
}

impl Doubtful {
    /// Whether nothing is.
    pub fn is_none(&self) -> bool {
        !self.checksums && !self.zeros
    }

    /// The statements that have a session read so, or no more.
    pub fn statements(self, on: bool) -> Vec<SqlText> {
        let settings = [
            (self.checksums, "ignore_checksum_failure"),
            (self.zeros, "zero_damaged_pages"),
        ];
        let to = if on { "on" } else { "off" };
        let wanted = settings.iter().filter(|(is_wanted, _)| *is_wanted);
        wanted
            .map(|(_, name)| SqlText::from(format!("set {name} = {to}")))
            .collect()
    }
}

/// Values of one column that cannot be read, although the rest of their rows can. There may be millions of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blank {
    /// The column.
    pub column: String,
    /// What stands in their place: `None` is NULL, otherwise a literal.
    pub replaced_by: Option<String>,
    /// Their rows, in order.
    #[serde(with = "as_text")]
    pub rows: Vec<Place>,
}

impl Blank {
    /// Those of a run of blocks.
    fn within(&self, (from, to): (u32, u32)) -> &[Place] {
        let before = |end: u32| self.rows.partition_point(|(block, _)| *block < end);
        self.rows.get(before(from)..before(to)).unwrap_or_default()
    }
}

/// Rows in order, as text: `12:3,4 13:1`.
mod as_text {
    use std::fmt::Write as _;

    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::Place;

    pub(super) fn serialize<S: Serializer>(
        rows: &[Place],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut text = String::new();
        for of_block in rows.chunk_by(|one, other| one.0 == other.0) {
            for (number, (block, offset)) in of_block.iter().enumerate() {
                let _infallible = match (number, text.is_empty()) {
                    (0, true) => write!(text, "{block}:{offset}"),
                    (0, false) => write!(text, " {block}:{offset}"),
                    _ => write!(text, ",{offset}"),
                };
            }
        }
        serializer.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Place>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut rows = Vec::new();
        for of_block in text.split_ascii_whitespace() {
            let Some((block, offsets)) = of_block.split_once(':') else {
                return Err(D::Error::custom(format!(
                    "{of_block} is no rows of a block"
                )));
            };
            let block: u32 = block.parse().map_err(D::Error::custom)?;
            for offset in offsets.split(',') {
                let offset: u16 = offset.parse().map_err(D::Error::custom)?;
                rows.push((block, offset));
            }
        }
        Ok(rows)
    }
}

/// A row of which some columns cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patched {
    /// Where it is.
    pub place: Place,
    /// What stands in the place of columns, by name: `None` is NULL.
    pub columns: BTreeMap<String, Option<String>>,
}

impl Around {
    /// The statements that have a session read only what it is asked for, or no more: a small table would be scanned as a whole,
    /// and what is not asked for passed over when it had been read.
    pub fn settings(&self, on: bool) -> Vec<SqlText> {
        let scans = if on { "off" } else { "on" };
        let mut statements = vec![SqlText::from(format!("set enable_seqscan = {scans}"))];
        statements.extend(self.doubtful.statements(on));
        statements
    }

    /// A query for these columns of all that can be read; `filter` is a further condition.
    pub fn query(&self, table: &str, columns: &[String], filter: Option<&str>) -> String {
        let mut branches = Vec::new();
        for &run in &self.blocks {
            let of_run = self.list_within(columns, run);
            let part = in_blocks(self.major, run.0, Some(run.1));
            branches.push(part.select((&of_run, table), filter));
        }
        let at = |places: &[Place]| Part::Where(at(places));
        if !self.rows.is_empty() {
            let all = list(columns, &BTreeMap::new());
            branches.push(at(&self.rows).select((&all, table), filter));
        }
        let mut alike: BTreeMap<&BTreeMap<String, Option<String>>, Vec<Place>> = BTreeMap::new();
        for row in &self.patched {
            alike.entry(&row.columns).or_default().push(row.place);
        }
        for (replaced, places) in alike {
            let columns = list(columns, replaced);
            branches.push(at(&places).select((&columns, table), filter));
        }
        if branches.is_empty() {
            // The table is not mentioned: perhaps it cannot even be opened.
            let nulls = vec!["null"; columns.len()];
            branches.push(format!("select {} where false", nulls.join(", ")));
        }
        branches.join(" union all ")
    }

    /// The columns, without the values that cannot be read of a run of blocks: a server looks for a place in a list of them.
    fn list_within(&self, columns: &[String], run: (u32, u32)) -> String {
        let expression = |column: &String| {
            let mut expression = quote_ident(column);
            for blank in self.blanks.iter().filter(|one| one.column == *column) {
                let rows = blank.within(run);
                if !rows.is_empty() {
                    let by = blank.replaced_by.as_deref().unwrap_or("null");
                    expression = format!("case when {} then {by} else {expression} end", at(rows));
                }
            }
            expression
        };
        columns
            .iter()
            .map(expression)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// Some rows of a table, by where they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// Those of which a condition holds.
    Where(String),
    /// Those of some blocks, the first up to and not including the second, each of which is asked for by itself.
    Each(u32, u32),
}

impl Part {
    /// The query for columns of these rows; `filter` is a further condition.
    pub fn select(&self, (columns, table): (&str, &str), filter: Option<&str>) -> String {
        let select = format!("select {columns} from only {table}");
        let given = |condition: &str| match filter {
            Some(filter) => format!("{select} where {condition} and ({filter})"),
            None => format!("{select} where {condition}"),
        };
        match self {
            Self::Whole => given("true"),
            Self::Where(condition) => given(condition),
            // The line pointers of one block are in memory at a time, and none of all blocks: their numbers come one by one, and without
            // `offset` it would be one join, for which the whole table is scanned.
            Self::Each(from, to) => format!(
                "select pgconvoy_rows.* from (select pg_catalog.generate_series({from}::int8, {}::int8) as number) pgconvoy_blocks, \
                 lateral ({} offset 0) pgconvoy_rows",
                i64::from(*to) - 1,
                given(&format!(
                    "ctid = any (array(select ('(' || pgconvoy_blocks.number || ',' || o || ')')::pg_catalog.tid \
                     from pg_catalog.generate_series(1, {MOST_ROWS_OF_A_BLOCK}) o))"
                ))
            ),
        }
    }
}

/// A run of blocks; without an end only for a server that scans ranges.
pub fn in_blocks(major: u32, from: u32, to: Option<u32>) -> Part {
    if major < TID_RANGE_SCANS {
        return Part::Each(from, to.unwrap_or(u32::MAX));
    }
    let mut condition = format!("ctid >= '({from},0)'::pg_catalog.tid");
    if let Some(to) = to {
        let _ = write!(condition, " and ctid < '({to},0)'::pg_catalog.tid");
    }
    Part::Where(condition)
}

/// The condition for single rows.
pub fn at(places: &[Place]) -> String {
    let places: Vec<String> = places
        .iter()
        .map(|(block, offset)| format!("\"({block},{offset})\""))
        .collect();
    format!("ctid = any ('{{{}}}'::pg_catalog.tid[])", places.join(","))
}

/// The columns; an unreadable one has its type from a `case` that the planner does away with before it is read.
fn list(columns: &[String], replaced: &BTreeMap<String, Option<String>>) -> String {
    let expressions: Vec<String> = columns
        .iter()
        .map(|column| {
            let name = quote_ident(column);
            match replaced.get(column) {
                None => name,
                Some(None) => format!("case when false then {name} end"),
                Some(Some(literal)) => format!("case when true then {literal} else {name} end"),
            }
        })
        .collect();
    expressions.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around() -> Around {
        Around {
            plain: false,
            sound: false,
            major: 18,
            blocks: vec![(0, 3), (4, 9)],
            rows: vec![(3, 1), (3, 7)],
            patched: vec![Patched {
                place: (3, 2),
                columns: BTreeMap::from([("body".to_owned(), None)]),
            }],
            blanks: Vec::new(),
            doubtful: Doubtful::default(),
        }
    }

    #[test]
    fn the_statement_reads_ranges_rows_and_what_is_left_of_a_row() {
        let columns = ["id".to_owned(), "body".to_owned()];
        let query = around().query("\"public\".\"t\"", &columns, None);
        assert_eq!(
            query,
            "select \"id\", \"body\" from only \"public\".\"t\" where ctid >= '(0,0)'::pg_catalog.tid and ctid < '(3,0)'::pg_catalog.tid \
             union all select \"id\", \"body\" from only \"public\".\"t\" where ctid >= '(4,0)'::pg_catalog.tid and ctid < '(9,0)'::pg_catalog.tid \
             union all select \"id\", \"body\" from only \"public\".\"t\" where ctid = any ('{\"(3,1)\",\"(3,7)\"}'::pg_catalog.tid[]) \
             union all select \"id\", case when false then \"body\" end from only \"public\".\"t\" where ctid = any ('{\"(3,2)\"}'::pg_catalog.tid[])"
        );
    }

    #[test]
    fn values_are_left_blank_in_the_runs_that_they_are_in() {
        let columns = ["id".to_owned(), "body".to_owned()];
        let around = Around {
            blocks: vec![(0, 3), (4, 9)],
            rows: Vec::new(),
            patched: Vec::new(),
            blanks: vec![Blank {
                column: "body".to_owned(),
                replaced_by: Some("''".to_owned()),
                rows: vec![(4, 1), (4, 3), (8, 7), (9, 1)],
            }],
            ..around()
        };
        assert_eq!(
            around.query("t", &columns, None),
            "select \"id\", \"body\" from only t where ctid >= '(0,0)'::pg_catalog.tid and ctid < '(3,0)'::pg_catalog.tid \
             union all select \"id\", case when ctid = any ('{\"(4,1)\",\"(4,3)\",\"(8,7)\"}'::pg_catalog.tid[]) then '' else \"body\" end \
             from only t where ctid >= '(4,0)'::pg_catalog.tid and ctid < '(9,0)'::pg_catalog.tid"
        );
        let text = serde_json::to_string(&around).expect("JSON");
        assert!(text.contains("\"4:1,3 8:7 9:1\""), "{text}");
        let again: Around = serde_json::from_str(&text).expect("the same");
        assert_eq!(again, around);
        let bent = text.replace("8:7", "8,7");
        assert!(serde_json::from_str::<Around>(&bent).is_err());
    }

    #[test]
    fn a_table_of_which_nothing_is_left_is_read_as_nothing() {
        let none = Around::default();
        assert_eq!(
            none.query("t", &["a".to_owned(), "b".to_owned()], None),
            "select null, null where false"
        );
    }

    #[test]
    fn only_what_was_asked_for_is_set() {
        let doubtful = Doubtful {
            checksums: true,
            zeros: false,
        };
        assert!(!doubtful.is_none() && Doubtful::default().is_none());
        assert_eq!(
            doubtful.statements(true),
            [SqlText::from("set ignore_checksum_failure = on")]
        );
        assert_eq!(Doubtful::default().statements(false), []);
    }

    #[test]
    fn an_old_server_is_asked_for_each_line_pointer_block_by_block() {
        let part = in_blocks(13, 4, Some(5000));
        assert_eq!(
            part.select(("\"id\"", "t"), Some("id > 7")),
            "select pgconvoy_rows.* from (select pg_catalog.generate_series(4::int8, 4999::int8) as number) pgconvoy_blocks, \
             lateral (select \"id\" from only t where ctid = any (array(select \
             ('(' || pgconvoy_blocks.number || ',' || o || ')')::pg_catalog.tid from pg_catalog.generate_series(1, 291) o)) \
             and (id > 7) offset 0) pgconvoy_rows"
        );
        let range = Part::Where("ctid >= '(4,0)'::pg_catalog.tid".to_owned());
        assert_eq!(in_blocks(14, 4, None), range);
        assert_eq!(
            Part::Whole.select(("ctid", "t"), None),
            "select ctid from only t where true"
        );
    }
}
