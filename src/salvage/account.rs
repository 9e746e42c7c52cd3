//! What is lost, and what is not: the account of a salvage, and the map of what of each table can be read.
//!
//! The account is for people and for whoever mends the rest by hand: `losses.json`, described in `losses-json.md`. The map is
//! what the reader goes by; it is kept beside it, so that a session that goes on need not search again.
//!
//! Pure: whoever has found something out puts it in.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::constraints::Key;
use crate::model::{Oid, QualifiedName, Rows, count};
use crate::plan::{Around, Check, Place, Salvaged};

/// Version of `losses.json`.
pub const FORMAT: u32 = 1;
/// How many causes of a table are kept, one for each message.
const CAUSES: usize = 20;

/// What sort of damage an error tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DamageClass {
    /// A page, an index or a row is not what it should be (XX001, XX002).
    Corrupted,
    /// A file is not there (58P01).
    MissingFile,
    /// A file cannot be read (58030 and other system errors).
    Io,
    /// The server came upon something impossible (XX000, and absurd lengths and depths: 53200, 54000, 54001).
    Internal,
    /// A value is none of its type (class 22, and 23 of a domain).
    Value,
    /// No answer in time.
    Timeout,
    /// The server process that read it ended, or an earlier session never heard of it again.
    Crash,
    /// No error at all: what should be there is not.
    Silent,
}

/// What kept something from being read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// What sort of damage.
    pub class: DamageClass,
    /// SQLSTATE, if the server said one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What the server said, or what was seen.
    pub message: String,
}

impl Cause {
    /// Of a probe whose session ended before it could say how it went.
    pub fn interrupted() -> Self {
        Self {
            class: DamageClass::Crash,
            code: None,
            message: "reading it was begun, and never ended".to_owned(),
        }
    }

    /// Of something that is missing without an error.
    pub fn silent(message: impl Into<String>) -> Self {
        Self {
            class: DamageClass::Silent,
            code: None,
            message: message.into(),
        }
    }

    /// From the server's SQLSTATE and message; `None` if that speaks of no damage.
    pub fn of_error(code: &str, message: &str) -> Option<Self> {
        let class = match code {
            "XX001" | "XX002" => DamageClass::Corrupted,
            "58P01" => DamageClass::MissingFile,
            "57014" => DamageClass::Timeout,
            "53200" | "54000" | "54001" => DamageClass::Internal,
            _ => match code.get(..2)? {
                "XX" => DamageClass::Internal,
                "58" => DamageClass::Io,
                // A value that a domain does not allow is none of it.
                "22" | "23" => DamageClass::Value,
                _ => return None,
            },
        };
        Some(Self {
            class,
            code: Some(code.to_owned()),
            message: message.to_owned(),
        })
    }
}

/// How many rows are lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostRows {
    /// So many for certain.
    pub certain: u64,
    /// So many more perhaps: nothing tells whether they were deleted before.
    pub perhaps: u64,
    /// There may be more that nothing tells of.
    pub unknown: bool,
}

impl LostRows {
    /// Whether nothing is lost, for certain.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }

    /// For people: `at least 3, at most 5 rows`.
    pub fn shown(self) -> String {
        const MORE: &str = "and there may be more";
        let most = self.certain + self.perhaps;
        let word = |number: u64| if number == 1 { "row" } else { "rows" };
        match (self.certain, self.perhaps, self.unknown) {
            (0, 0, true) => "an unknown number of rows".to_owned(),
            (0, _, true) => format!("perhaps {most} {}, {MORE}", word(most)),
            (certain, 0, true) => format!("at least {certain} {}", word(certain)),
            (certain, _, true) => format!("at least {certain}, perhaps {most} rows, {MORE}"),
            (certain, 0, false) => format!("{certain} {}", word(certain)),
            (0, _, false) => format!("at most {most} {}", word(most)),
            (certain, _, false) => format!("at least {certain}, at most {most} rows"),
        }
    }
}

/// A column of a row that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostColumn {
    /// The row: block and line pointer.
    pub place: Place,
    /// The column.
    pub column: String,
    /// What stands in its place on the target; `None` is NULL.
    pub replaced_by: Option<String>,
    /// The row's key, by column, as far as it can be read.
    pub key: BTreeMap<String, Option<String>>,
    /// Why.
    pub cause: Cause,
}

/// What is lost of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableLosses {
    /// The table.
    pub table: QualifiedName,
    /// `whole`: a healthy table is not here at all, unless something about it had to be said.
    pub rows_read: u64,
    /// Its blocks, as the server counts them.
    pub blocks: u32,
    /// Runs of blocks that cannot be read: the first, and the one behind the last.
    pub lost_blocks: Vec<(u32, u32)>,
    /// Rows that are lost.
    pub lost_rows: LostRows,
    /// The index that names them, if there is one that is whole.
    pub named_by: Option<String>,
    /// The columns of their key.
    pub key: Vec<String>,
    /// The file with their keys, in the run directory.
    pub keys_file: Option<String>,
    /// Columns of rows that are otherwise there: the first of them, if they are many.
    pub lost_columns: Vec<LostColumn>,
    /// How many they are.
    #[serde(default)]
    pub lost_values: u64,
    /// The file with all of them, in the run directory, if not all are listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values_file: Option<String>,
    /// Rows that are there and may be wrong: the server takes what they were read from for damaged.
    #[serde(default)]
    pub suspect_rows: u64,
    /// The file with these rows, in the run directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspect_file: Option<String>,
    /// Why, each message once.
    pub causes: Vec<Cause>,
    /// What else is to be said.
    pub notes: Vec<String>,
}

impl TableLosses {
    /// Of a table of which nothing is lost so far.
    pub fn none_of(table: QualifiedName, blocks: u32) -> Self {
        Self {
            table,
            rows_read: 0,
            blocks,
            lost_blocks: Vec::new(),
            lost_rows: LostRows::default(),
            named_by: None,
            key: Vec::new(),
            keys_file: None,
            lost_columns: Vec::new(),
            lost_values: 0,
            values_file: None,
            suspect_rows: 0,
            suspect_file: None,
            causes: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds a cause, unless it has been said.
    pub fn because(&mut self, cause: Cause) {
        if self.causes.len() < CAUSES && !self.causes.contains(&cause) {
            self.causes.push(cause);
        }
    }

    /// Whether anything is lost, or suspect.
    pub fn is_loss(&self) -> bool {
        !self.lost_rows.is_none()
            || !self.lost_blocks.is_empty()
            || !self.lost_columns.is_empty()
            || self.suspect_rows > 0
    }

    /// For people, in one line.
    pub fn shown(&self) -> String {
        let mut parts = Vec::new();
        if !self.lost_rows.is_none() {
            parts.push(self.lost_rows.shown());
        }
        let blocks: u64 = self
            .lost_blocks
            .iter()
            .map(|(from, to)| u64::from(to - from))
            .sum();
        if blocks > 0 {
            parts.push(format!(
                "{blocks} of {} blocks",
                u64::from(self.blocks).max(blocks)
            ));
        }
        if !self.lost_columns.is_empty() {
            let values = u64::try_from(self.lost_columns.len()).unwrap_or(u64::MAX);
            let values = count(values.max(self.lost_values), "value", "values");
            parts.push(format!("{values} of rows that are there"));
        }
        if self.suspect_rows > 0 {
            parts.push(match self.suspect_rows {
                1 => "1 row that is there is suspect".to_owned(),
                rows => format!("{} rows that are there are suspect", Rows(rows)),
            });
        }
        if parts.is_empty() {
            parts.push("nothing".to_owned());
        }
        parts.join(", ")
    }
}

/// Something else than a table that is lost, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostObject {
    /// What sort of thing: `sequence`, `large object`.
    pub class: String,
    /// Which.
    pub object: String,
    /// What of it.
    pub what: String,
    /// Why.
    pub cause: Cause,
}

/// A constraint of the source that does not hold on the target, because of what is lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftConstraint {
    /// Its table.
    pub table: QualifiedName,
    /// Its name.
    pub constraint: String,
    /// Rows that violate it.
    pub violations: u64,
    /// The file with these rows' keys, in the run directory.
    pub file: String,
    /// What adds or validates it, once they are mended.
    pub sql: String,
}

/// All that is lost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    /// Version of this format.
    pub format: u32,
    /// Whether the source was a copy that nobody used: if not, what is lost is a bound.
    pub cold: bool,
    /// Tables that were looked at.
    pub tables_looked_at: u64,
    /// Rows that were read of them.
    pub rows_read: u64,
    /// Tables of which something is lost, or has to be said.
    pub tables: Vec<TableLosses>,
    /// Constraints that do not hold because of it.
    pub constraints: Vec<LeftConstraint>,
    /// Sequences and large objects that cannot be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<LostObject>,
    /// In an archive: constraints that may not hold in what is left, for whoever restores it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub may_not_hold: Vec<Key>,
    /// What else was found: damaged indexes and maps, of which no row is lost.
    pub notes: Vec<String>,
}

impl Losses {
    /// Whether anything is lost.
    pub fn is_loss(&self) -> bool {
        !self.constraints.is_empty()
            || !self.objects.is_empty()
            || self.tables.iter().any(TableLosses::is_loss)
    }

    /// What is lost, for people: of which object, and what of it, in clauses.
    pub fn said(&self) -> Vec<(String, Vec<String>)> {
        let tables = self.tables.iter().filter(|table| table.is_loss());
        let tables = tables.map(|table| {
            let mut clauses = vec![table.shown()];
            let keys = table.keys_file.iter();
            clauses.extend(keys.map(|file| format!("their keys are in {file}")));
            let values = table.values_file.iter();
            clauses.extend(values.map(|file| format!("lost values are in {file}")));
            let suspect = table.suspect_file.iter();
            clauses.extend(suspect.map(|file| format!("suspect rows are in {file}")));
            clauses.extend(table.notes.iter().cloned());
            (table.table.shown(), clauses)
        });
        let objects = self.objects.iter().map(|one| {
            let clauses = vec![one.what.clone(), one.cause.message.clone()];
            (format!("{} {}", one.class, one.object), clauses)
        });
        tables.chain(objects).collect()
    }

    /// The names of the files that it refers to.
    pub fn files_mut(&mut self) -> impl Iterator<Item = &mut String> {
        let tables = self.tables.iter_mut();
        tables.flat_map(|table| {
            let lost = table.keys_file.iter_mut().chain(&mut table.values_file);
            lost.chain(&mut table.suspect_file)
        })
    }

    /// Tables of which something is lost.
    pub fn lossy(&self) -> BTreeSet<QualifiedName> {
        let lossy = self.tables.iter().filter(|table| table.is_loss());
        lossy.map(|table| table.table.clone()).collect()
    }
}

/// What a salvage goes by: what can be read of damaged tables, and how many rows there must be of each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamageMap {
    /// How to read damaged tables.
    pub around: Vec<(QualifiedName, Around)>,
    /// Rows that were read of each table when it was looked at.
    pub rows: Vec<(QualifiedName, u64)>,
    /// Materialized views that are damaged.
    #[serde(default)]
    pub matviews: BTreeSet<QualifiedName>,
    /// Checks that values made by damage may violate.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// Sequences whose values cannot be read.
    #[serde(default)]
    pub sequences: BTreeSet<QualifiedName>,
    /// Large objects of which not everything can be read.
    #[serde(default)]
    pub large_objects: BTreeSet<Oid>,
    /// The account.
    pub losses: Losses,
}

impl DamageMap {
    /// What a plan goes by; nothing for a source that is not damaged.
    pub fn for_plan(map: Option<&Self>) -> Salvaged {
        let of = |map: &Self| Salvaged {
            around: map.around.iter().cloned().collect(),
            lossy: map.lossy(),
            anywhere: true,
            matviews: map.matviews.clone(),
            checks: map.checks.clone(),
        };
        map.map(of).unwrap_or_default()
    }

    /// Tables of which something is lost.
    pub fn lossy(&self) -> BTreeSet<QualifiedName> {
        self.losses.lossy()
    }

    /// How many rows there must be of each table in the end: of a source that nobody used, of all of them, since the server was not asked
    /// for what its bytes prove; of any other, of those that are damaged.
    pub fn expected_rows(&self) -> impl Iterator<Item = (&QualifiedName, u64)> {
        let around = self.around.iter().map(|(table, _)| table);
        let tables = self.losses.tables.iter().map(|table| &table.table);
        let damaged: BTreeSet<&QualifiedName> = around.chain(tables).collect();
        let rows = self.rows.iter();
        rows.filter(move |(table, _)| self.losses.cold || damaged.contains(table))
            .map(|(table, rows)| (table, *rows))
    }
}

/// Runs of neighbouring blocks: the first, and the one behind the last.
pub fn runs(blocks: &BTreeSet<u32>) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &block in blocks {
        match runs.last_mut() {
            Some((_, end)) if *end == block => *end = block.saturating_add(1),
            _ => runs.push((block, block.saturating_add(1))),
        }
    }
    runs
}

/// The runs between these blocks, of so many.
pub fn gaps(blocks: &BTreeSet<u32>, end: u32) -> Vec<(u32, u32)> {
    let mut gaps = Vec::new();
    let mut from = 0;
    for &block in blocks.iter().chain([&end]) {
        if from < block.min(end) {
            gaps.push((from, block.min(end)));
        }
        from = from.max(block.saturating_add(1));
    }
    gaps
}

/// Blocks, from the first up to and not including the second.
type Run = (u32, u32);

/// The longest of these runs, so many at most; and the others. Both in order.
pub fn longest(runs: Vec<Run>, most: usize) -> (Vec<Run>, Vec<Run>) {
    let length = |run: &(u32, u32)| run.1 - run.0;
    let mut lengths: Vec<u32> = runs.iter().map(length).collect();
    lengths.sort_unstable_by(|a, b| b.cmp(a));
    // As long as the last that is taken: there may be more of them.
    let Some(&least) = most.checked_sub(1).and_then(|last| lengths.get(last)) else {
        return (runs, Vec::new());
    };
    let mut left = most - lengths.iter().filter(|length| **length > least).count();
    runs.into_iter().partition(|run| {
        let is_taken = length(run) > least || length(run) == least && left > 0;
        left -= usize::from(is_taken && length(run) == least);
        is_taken
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_of_damage_are_damage() {
        for (code, class) in [
            ("XX001", DamageClass::Corrupted),
            ("XX000", DamageClass::Internal),
            ("54001", DamageClass::Internal),
            ("58P01", DamageClass::MissingFile),
            ("58030", DamageClass::Io),
            ("22021", DamageClass::Value),
            ("23514", DamageClass::Value),
        ] {
            let cause = Cause::of_error(code, "m").expect("damage");
            assert_eq!(cause.class, class, "{code}");
        }
        for code in ["42501", "42P01", "40001", "53300", ""] {
            assert_eq!(Cause::of_error(code, "m"), None, "{code}");
        }
    }

    #[test]
    fn bounds_are_said_as_what_they_are() {
        let shown = |certain, perhaps, unknown| {
            LostRows {
                certain,
                perhaps,
                unknown,
            }
            .shown()
        };
        assert_eq!(shown(1, 0, false), "1 row");
        assert_eq!(shown(3, 2, false), "at least 3, at most 5 rows");
        assert_eq!(shown(0, 2, false), "at most 2 rows");
        assert_eq!(shown(7, 0, true), "at least 7 rows");
        assert_eq!(shown(0, 0, true), "an unknown number of rows");
        assert_eq!(
            shown(0, 100, true),
            "perhaps 100 rows, and there may be more"
        );
        assert_eq!(
            shown(3, 2, true),
            "at least 3, perhaps 5 rows, and there may be more"
        );
    }

    #[test]
    fn neighbours_are_a_run() {
        assert_eq!(runs(&BTreeSet::from([1, 2, 3, 7])), [(1, 4), (7, 8)]);
        assert_eq!(
            gaps(&BTreeSet::from([1, 2, 7]), 9),
            [(0, 1), (3, 7), (8, 9)]
        );
        assert_eq!(gaps(&BTreeSet::new(), 2), [(0, 2)]);
        assert_eq!(gaps(&BTreeSet::from([0]), 1), []);
    }

    #[test]
    fn the_longest_runs_are_taken_first() {
        let runs = vec![(0, 1), (2, 9), (10, 11), (12, 13), (14, 20)];
        let (taken, left) = longest(runs.clone(), 3);
        assert_eq!(taken, [(0, 1), (2, 9), (14, 20)]);
        assert_eq!(left, [(10, 11), (12, 13)]);
        assert_eq!(longest(runs.clone(), 2).0, [(2, 9), (14, 20)]);
        assert_eq!(longest(runs.clone(), 9), (runs, Vec::new()));
    }
}
