//! The planner's statistics on the source, so that the target can be given them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::queries;
use super::read::ask;
use crate::model::{Oid, QualifiedName};
use crate::pg::{PgError, Session};

/// How a table's statistics came about, and what they are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sampled {
    /// A partitioned table: its statistics are those of all partitions together, and nothing is known of changes.
    pub partitioned: bool,
    /// Some of its partitions are partitioned themselves.
    pub nested: bool,
    /// `reltuples`, 0 when never counted.
    pub rows_then: f64,
    /// `relpages`.
    pub pages_then: u64,
    /// How many pages there are now.
    pub pages: u64,
    /// Rows changed since it was analyzed; `None` if the server does not know when that was.
    pub modified: Option<u64>,
    /// Every column, and every index over expressions, has statistics.
    pub complete: bool,
    /// Some of it is no text. It is not among the columns.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unreadable: bool,
    /// There are extended statistics, which are not among these.
    pub extended: bool,
    /// What there is, by column.
    pub columns: Vec<ColumnStatistics>,
}

/// The statistics of one column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnStatistics {
    /// The table, or its index over expressions.
    pub relation: QualifiedName,
    /// The column's name.
    pub column: String,
    /// Its number instead, where the name is one that a server made up.
    pub number: Option<i16>,
    /// Of all partitions together.
    pub inherited: bool,
    /// What is known of it, as arguments of `pg_restore_attribute_stats`.
    pub arguments: String,
}

/// The statistics of these tables, and of the topmost partitioned tables above them.
pub async fn sampled(
    session: &Session,
    tables: &[Oid],
) -> Result<BTreeMap<QualifiedName, Sampled>, PgError> {
    if tables.is_empty() {
        return Ok(BTreeMap::new());
    }
    let tables: Vec<u32> = tables.iter().map(|table| table.0).collect();
    let rows = ask(session, &queries::SAMPLED, &[&tables]).await?;
    let mut sampled = BTreeMap::new();
    for row in &rows {
        let table = Sampled {
            partitioned: row.get("partitioned")?,
            nested: row.get("nested")?,
            rows_then: row.get("rows_then")?,
            pages_then: row.count("pages_then")?,
            pages: row.count("pages")?,
            modified: row
                .get::<Option<i64>>("modified")?
                .and_then(|rows| u64::try_from(rows).ok()),
            complete: row.get("complete")?,
            unreadable: false,
            extended: row.get("extended")?,
            columns: Vec::new(),
        };
        sampled.insert(row.oid("oid")?, (row.name("schema", "name")?, table));
    }
    let holders: Vec<u32> = sampled.keys().map(|oid: &Oid| oid.0).collect();
    for row in ask(session, &queries::COLUMN_STATISTICS, &[&holders]).await? {
        if let Some((_, table)) = sampled.get_mut(&row.oid("relation")?) {
            let Ok(arguments) = String::from_utf8(row.get("arguments")?) else {
                table.unreadable = true;
                continue;
            };
            table.columns.push(ColumnStatistics {
                relation: row.name("schema", "name")?,
                column: row.get("column_name")?,
                number: row.get("number")?,
                inherited: row.get("inherited")?,
                arguments,
            });
        }
    }
    Ok(sampled.into_values().collect())
}
