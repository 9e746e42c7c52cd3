//! Small tables counted twice, within a time: their rows, and the entries of their primary keys.
//!
//! Both are the same, unless rows were deleted that VACUUM has not come to yet, or pages of either are lost without an error: a page of
//! zeros is an empty one to the server, and one that was never written is as it was before. A scan of the table then shows fewer
//! rows than there were, and a copy would be called the same; a scan of the key does not find rows that are there.
//!
//! ```text
//!   rows      Seq Scan                  what a copy reads
//!   entries   Bitmap Index Scan         all of the key's, whatever became of their rows; as EXPLAIN ANALYZE counts them
//!             Index Only Scan           only if there are more of them than rows: those of rows that are there, by the map of what is visible
//! ```
//!
//! An ordinary index scan that comes to a page which is lost takes the rows for deleted, and notes that in the index: from then on, nothing
//! tells what they were called. So the last of these is only asked of tables that VACUUM has found visible throughout, where it reads no
//! page of the table; of others with more entries than rows, nobody knows which they are. `pgconvoy salvage --survey`, which reads the
//! files themselves, does.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::queries::VersionedQuery;
use crate::model::{Bytes, QualifiedName, Rows, ServerError, quote_ident, quote_literal};
use crate::pg::{Answer, PgError, Query, Session};

pub(super) const PRIMARY_KEYS: VersionedQuery = VersionedQuery {
    newest: Query::new(
        "primary_keys.sql",
        include_str!("../../sql/preflight/primary_keys.sql"),
    ),
    older: None,
};

/// Tables that take more than this, together with their keys, are not counted.
pub const LARGEST_COUNTED: Bytes = Bytes(64 << 20);

/// Both are counted in one snapshot, each by one process, and in the way that is meant.
const BEGIN: &str = "begin transaction isolation level repeatable read, read only; \
                     set local max_parallel_workers_per_gather = 0; \
                     set local enable_sort = off";

/// A table and its primary key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyed {
    /// The table.
    pub table: QualifiedName,
    /// The key's index.
    pub key: QualifiedName,
}

/// What is wrong with one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Miscount {
    /// There are as many rows as this, and another number of entries.
    Differ {
        /// What a scan of the table shows.
        rows: Rows,
        /// What a scan of the key shows.
        entries: Rows,
    },
    /// The table cannot be read: the server's words.
    Table(String),
    /// The key cannot be read, or another index is so damaged that no question about the table is answered.
    Index(String),
}

/// What counting came to, within its time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tables that have a primary key.
    pub all: u64,
    /// Of these, those that are larger than [`LARGEST_COUNTED`].
    pub too_large: u64,
    /// Those that were counted.
    pub counted: u64,
    /// Those of them with which something is wrong.
    pub found: Vec<(Keyed, Miscount)>,
}

impl Counts {
    /// Counts one table after the other, the smallest first, until the time is over. The session is one's own: its statements are cut
    /// off.
    pub async fn look(session: &Session, limit: Duration) -> Result<Self, PgError> {
        let began = Instant::now();
        let tables = session.query(&PRIMARY_KEYS.newest, &[]).await?;
        let mut counts = Self {
            all: tables.len() as u64,
            ..Self::default()
        };
        let mut end_the_last = "";
        for table in &tables {
            if table.bytes("bytes")? > LARGEST_COUNTED {
                counts.too_large += 1;
                continue;
            }
            let left_ms = limit.saturating_sub(began.elapsed()).as_millis();
            if left_ms == 0 {
                continue;
            }
            // By itself, since up to version 10 a limit does not count before the next message.
            let opening = format!("{end_the_last}{BEGIN}; set local statement_timeout = {left_ms}");
            session.execute(&opening).await?;
            end_the_last = "rollback; ";
            let (keyed, counting) = counting(table)?;
            match counting.count(session).await? {
                Counted::Same => {}
                Counted::Wrong(miscount) => counts.found.push((keyed, miscount)),
                Counted::Unknown => continue,
            }
            counts.counted += 1;
        }
        Ok(counts)
    }
}

/// What became of one.
enum Counted {
    Same,
    Wrong(Miscount),
    /// The time is over, the table is locked, its rows are not for everybody to see, or some were deleted.
    Unknown,
}

/// What is asked about one.
struct Counting {
    /// The table, quoted.
    table: String,
    /// The key's columns, quoted.
    columns: Vec<String>,
    /// The key's index.
    key: String,
    /// The table's file, as errors name it; none, if the table is gone by now.
    path: Option<String>,
    /// VACUUM has last found that everybody sees all that is in it; or it has no pages.
    all_visible: bool,
}

fn counting(table: &Answer) -> Result<(Keyed, Counting), PgError> {
    let name = table.name("schema", "name")?;
    let columns: Vec<String> = table.get("columns")?;
    let key: String = table.get("key_name")?;
    let counting = Counting {
        table: name.to_string(),
        columns: columns.iter().map(|name| quote_ident(name)).collect(),
        key: key.clone(),
        path: table.get("path")?,
        all_visible: table.get("all_visible")?,
    };
    let key = QualifiedName::new(name.schema.clone(), key);
    Ok((Keyed { table: name, key }, counting))
}

impl Counting {
    /// Counts both, in the transaction that was begun for it.
    async fn count(&self, session: &Session) -> Result<Counted, PgError> {
        let wrong = |miscount| Ok(Counted::Wrong(miscount));
        let (rows, value) = match self.rows(session).await? {
            Read::All(rows) => rows,
            Read::Damaged(error) if is_about(&error, self.path.as_deref()) => {
                return wrong(Miscount::Table(error.message.clone()));
            }
            Read::Damaged(error) => return wrong(Miscount::Index(error.message.clone())),
            Read::Not => return Ok(Counted::Unknown),
        };
        let mut entries = match value {
            Some(value) => self.entries(session, &value).await?,
            // Of a table without rows, the entries cannot be asked for by what is in them.
            None => Read::All(Rows(u64::MAX)),
        };
        if matches!(entries, Read::All(entries) if entries > rows) {
            entries = if self.all_visible {
                self.visible_entries(session).await?
            } else {
                Read::Not
            };
        }
        match entries {
            Read::All(entries) if entries == rows => Ok(Counted::Same),
            Read::All(entries) => wrong(Miscount::Differ { rows, entries }),
            Read::Damaged(error) => wrong(Miscount::Index(error.message.clone())),
            Read::Not => Ok(Counted::Unknown),
        }
    }

    /// As many as a scan of the table shows, and some value of the key's first column, if there are any.
    async fn rows(&self, session: &Session) -> Result<Read<(Rows, Option<String>)>, PgError> {
        let Self { table, columns, .. } = self;
        let sql = format!(
            "set local enable_seqscan = on; set local enable_bitmapscan = off; \
             set local enable_indexscan = off; set local enable_indexonlyscan = off; \
             explain (format json) select count(*) from only {table}; \
             select count(*) from only {table}; \
             select {}::pg_catalog.text from only {table} limit 1",
            columns[0]
        );
        let read = read(session, &sql).await?;
        Ok(read.and_then(|answers| {
            let (plan, rows, value) = match answers.as_slice() {
                [plan, rows] => (plan, rows, None),
                [plan, rows, value] => (plan, rows, Some(value.clone())),
                _ => return None,
            };
            let is_meant = matches!(&*scans(plan), [scan] if scan.kind == "Seq Scan");
            let rows = rows.parse().ok().filter(|_| is_meant)?;
            Some((Rows(rows), value))
        }))
    }

    /// As many as the key has that are not known to be of no use any more. What is below a value and what is above it is everything,
    /// and makes the server read the index as a whole without asking the table.
    async fn entries(&self, session: &Session, value: &str) -> Result<Read<Rows>, PgError> {
        let (table, first, value) = (&self.table, &self.columns[0], quote_literal(value));
        let sql = format!(
            "set local enable_seqscan = off; set local enable_bitmapscan = on; \
             explain (analyze, timing off, summary off, format json) \
             select count(*) from only {table} where {first} > {value} or {first} <= {value}"
        );
        let read = read(session, &sql).await?;
        Ok(read.and_then(|answers| {
            let scans = scans(answers.first()?);
            let is_meant = |scan: &Scan| {
                scan.kind == "Bitmap Index Scan" && scan.index.as_ref() == Some(&self.key)
            };
            let are_meant = !scans.is_empty() && scans.iter().all(is_meant);
            are_meant.then(|| scans.iter().map(|scan| scan.rows).sum())
        }))
    }

    /// As many as lead to rows that are there: where the map says that everybody sees all of a page, without looking at it.
    async fn visible_entries(&self, session: &Session) -> Result<Read<Rows>, PgError> {
        // In the key's order, which no other way is as short to. OFFSET keeps the planner from forgetting it.
        let count = format!(
            "select count(*) from (select 1 from only {} order by {} offset 0) entries",
            self.table,
            self.columns.join(", ")
        );
        let sql = format!(
            "set local enable_bitmapscan = off; set local enable_indexscan = on; set local enable_indexonlyscan = on; \
             explain (format json) {count}; {count}"
        );
        let read = read(session, &sql).await?;
        Ok(read.and_then(|answers| {
            let [plan, entries] = answers.as_slice() else {
                return None;
            };
            let is_meant = matches!(&*scans(plan), [scan]
                if scan.kind == "Index Only Scan" && scan.index.as_ref() == Some(&self.key));
            entries.parse().ok().filter(|_| is_meant).map(Rows)
        }))
    }
}

/// What became of a question.
enum Read<T> {
    All(T),
    /// What was to be read is damaged: what the server says.
    Damaged(Box<ServerError>),
    /// Nobody knows.
    Not,
}

impl<T> Read<T> {
    fn and_then<U>(self, of: impl FnOnce(T) -> Option<U>) -> Read<U> {
        match self {
            Self::All(answers) => of(answers).map_or(Read::Not, Read::All),
            Self::Damaged(error) => Read::Damaged(error),
            Self::Not => Read::Not,
        }
    }
}

/// Asks; only what has nothing to do with the table is an error.
async fn read(session: &Session, sql: &str) -> Result<Read<Vec<String>>, PgError> {
    match session.texts(sql).await {
        Ok(answers) => Ok(Read::All(answers)),
        Err(error) if error.is_lost_connection() || error.code().is_none() => Err(error),
        Err(PgError::Server { error, .. }) if is_damage(&error.code) => Ok(Read::Damaged(error)),
        Err(_) => Ok(Read::Not),
    }
}

/// Whether an error about damage is about the table itself. To plan a question, the server opens all indexes of the table, and an error of
/// that kind names a file or says that it is about an index (XX002).
fn is_about(error: &ServerError, path: Option<&str>) -> bool {
    let message = error.message.as_str();
    let is_named = path.is_some_and(|path| {
        // `base/5/1639` is not named by `base/5/16390`.
        let mut after = message
            .match_indices(path)
            .filter_map(|(at, found)| message.get(at + found.len()..));
        after.any(|after| !after.starts_with(|next: char| next.is_ascii_digit()))
    });
    let mut places = ["base/", "pg_tblspc/"].iter();
    is_named || (error.code != "XX002" && !places.any(|place| message.contains(place)))
}

/// Classes XX (what cannot be, such as a page that is none) and 58 (the operating system: a file is missing, or cannot be read).
fn is_damage(code: &str) -> bool {
    code.starts_with("XX") || code.starts_with("58")
}

/// A scan in a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Scan {
    kind: String,
    index: Option<String>,
    /// What it has read, if the plan says so.
    rows: Rows,
}

/// The scans at the bottom of a plan, as `EXPLAIN (FORMAT JSON)` has it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from float saturates, and from 18 on the server writes numbers of rows with decimals"
)]
fn scans(plan: &str) -> Vec<Scan> {
    let plan: Value = serde_json::from_str(plan).unwrap_or_default();
    let mut open = vec![&plan[0]["Plan"]];
    let mut scans = Vec::new();
    while let Some(node) = open.pop() {
        match node["Plans"].as_array() {
            Some(below) => open.extend(below),
            None => scans.push(Scan {
                kind: node["Node Type"].as_str().unwrap_or_default().to_owned(),
                index: node["Index Name"].as_str().map(str::to_owned),
                rows: Rows(node["Actual Rows"].as_f64().unwrap_or_default() as u64),
            }),
        }
    }
    scans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scans_at_the_bottom_tell_what_was_counted() {
        let scan = |kind: &str, index: Option<&str>, rows| Scan {
            kind: kind.into(),
            index: index.map(str::to_owned),
            rows: Rows(rows),
        };
        let plan = r#"[{"Plan": {"Node Type": "Aggregate", "Actual Rows": 1, "Plans": [{"Node Type": "Bitmap Heap Scan", "Plans":
            [{"Node Type": "BitmapOr", "Actual Rows": 0, "Plans": [
                {"Node Type": "Bitmap Index Scan", "Index Name": "t_pkey", "Actual Rows": 12},
                {"Node Type": "Bitmap Index Scan", "Index Name": "other", "Actual Rows": 1999.00}]}]}]}}]"#;
        let mut found = scans(plan);
        found.sort_by_key(|scan| scan.rows);
        let expected = [
            scan("Bitmap Index Scan", Some("t_pkey"), 12),
            scan("Bitmap Index Scan", Some("other"), 1999),
        ];
        assert_eq!(found, expected);
        let plan =
            r#"[{"Plan": {"Node Type": "Aggregate", "Plans": [{"Node Type": "Seq Scan"}]}}]"#;
        assert_eq!(scans(plan), [scan("Seq Scan", None, 0)]);
        for odd in ["", "[]", "{}", "[{\"Plan\": 1}]"] {
            assert_eq!(scans(odd), [scan("", None, 0)], "{odd}");
        }
    }

    #[test]
    fn what_an_error_is_about_is_told_by_the_file_that_it_names() {
        let about = |code: &str, message: &str| {
            let error = ServerError {
                code: code.into(),
                message: message.into(),
                ..ServerError::default()
            };
            is_about(&error, Some("base/5/1639"))
        };
        let missing = |file| {
            about(
                "58P01",
                &format!("could not open file \"base/5/{file}\": gone"),
            )
        };
        assert!(missing("1639") && missing("1639.1"));
        assert!(!missing("16390"), "an index");
        assert!(about(
            "XX001",
            "invalid page in block 7 of relation base/5/1639"
        ));
        assert!(about("58P01", "could not access status of transaction 7"));
        assert!(!about("XX002", "index \"i\" is not a btree"));
    }

    #[test]
    fn a_lock_or_the_time_is_no_damage() {
        for code in ["XX000", "XX001", "XX002", "58P01", "58030"] {
            assert!(is_damage(code), "{code}");
        }
        for code in ["57014", "55P03", "42501", "40001", "53200"] {
            assert!(!is_damage(code), "{code}");
        }
    }
}
