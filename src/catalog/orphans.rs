//! Rows whose foreign key points nowhere, looked for within a time.
//!
//! A server checks a foreign key when rows are written. Damage, disabled triggers and `session_replication_role = replica` leave rows
//! behind that break it, and nobody notices before another server is to build the key.

use std::time::{Duration, Instant};

use super::queries::VersionedQuery;
use crate::model::{QualifiedName, quote_ident};
use crate::pg::{Answer, PgError, Query, Session};

pub(super) const FOREIGN_KEYS: VersionedQuery = VersionedQuery {
    newest: Query::new(
        "foreign_keys.sql",
        include_str!("../../sql/preflight/foreign_keys.sql"),
    ),
    older: None,
};

/// An index scan that comes to a page which is lost takes the row for deleted, and notes that in the index, which then does not tell any
/// more that there was one. Who looks for damage leaves it as it is; a bitmap scan does.
const READ_NO_ROW_BY_AN_INDEX: &str = "set enable_indexscan = off; set enable_indexonlyscan = off";

/// A statement was cancelled.
const CANCELLED: &str = "57014";

/// Rows that point nowhere, of a foreign key that is said to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// The referencing table.
    pub table: QualifiedName,
    /// The foreign key.
    pub constraint: String,
    /// The referenced table.
    pub references: QualifiedName,
    /// A query that finds all such rows.
    pub query: String,
}

/// What a look for orphans came to, within its time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Orphans {
    /// Foreign keys that were looked at, to the end.
    pub looked_at: u64,
    /// All that there are.
    pub all: u64,
    /// Those with rows that point nowhere.
    pub found: Vec<Orphan>,
}

impl Orphans {
    /// Looks at one foreign key after the other, those of small tables first, until the time is over. The session is one's own:
    /// its statements are cut off.
    pub async fn look(session: &Session, limit: Duration) -> Result<Self, PgError> {
        let began = Instant::now();
        let keys = session.query(&FOREIGN_KEYS.newest, &[]).await?;
        session.execute(READ_NO_ROW_BY_AN_INDEX).await?;
        let mut orphans = Self {
            all: keys.len() as u64,
            ..Self::default()
        };
        for key in &keys {
            let left_ms = limit.saturating_sub(began.elapsed()).as_millis();
            if left_ms == 0 {
                break;
            }
            let orphan = Orphan::of(key)?;
            session
                .execute(&format!("set statement_timeout = {left_ms}"))
                .await?;
            let probe = format!("{} limit 1", orphan.query);
            match session.query_text("a look for orphans", &probe, &[]).await {
                Ok(rows) if rows.is_empty() => {}
                Ok(_) => orphans.found.push(orphan),
                Err(error) if error.code() == Some(CANCELLED) => break,
                Err(error) if error.is_lost_connection() || error.code().is_none() => {
                    return Err(error);
                }
                // Row security, or collations that do not go together: it counts as one that was not looked at.
                Err(_) => continue,
            }
            orphans.looked_at += 1;
        }
        Ok(orphans)
    }
}

impl Orphan {
    fn of(key: &Answer) -> Result<Self, PgError> {
        let table = key.name("schema", "table_name")?;
        let references = key.name("referenced_schema", "referenced_name")?;
        let whole = key.get::<bool>("referenced_partitioned")?;
        let names = Columns {
            ours: key.get("columns")?,
            theirs: key.get("referenced_columns")?,
            operators: key.get("operators")?,
            match_full: key.get("match_full")?,
            over_time: key.get("over_time")?,
        };
        Ok(Self {
            constraint: key.get("name")?,
            query: names.query(&table, (&references, whole)),
            table,
            references,
        })
    }
}

struct Columns {
    ours: Vec<String>,
    theirs: Vec<String>,
    operators: Vec<String>,
    match_full: bool,
    /// The last column is a period of time (18+): all referenced rows that overlap it must cover it together.
    over_time: bool,
}

impl Columns {
    /// As the server itself asks when a key is made (`RI_Initial_Check` in `ri_triggers.c`), and of a row with a period when it is
    /// written (`RI_FKey_check`).
    fn query(&self, table: &QualifiedName, (references, whole): (&QualifiedName, bool)) -> String {
        let equal = self.ours.iter().zip(&self.theirs).zip(&self.operators);
        let equal = equal.map(|((ours, theirs), operator)| {
            format!(
                "r.{} {operator} t.{}",
                quote_ident(theirs),
                quote_ident(ours)
            )
        });
        let given = self
            .ours
            .iter()
            .map(|ours| format!("t.{} is not null", quote_ident(ours)));
        let or = if self.match_full { " or " } else { " and " };
        let only = if whole { "" } else { "only " };
        let equal = equal.collect::<Vec<_>>().join(" and ");
        let pointed_to = match (self.ours.last(), self.theirs.last()) {
            (Some(ours), Some(theirs)) if self.over_time => format!(
                "coalesce((select t.{} operator(pg_catalog.<@) pg_catalog.range_agg(r.{}) from {only}{references} r where {equal}), false)",
                quote_ident(ours),
                quote_ident(theirs)
            ),
            _ => format!("exists (select from {only}{references} r where {equal})"),
        };
        format!(
            "select t.* from only {table} t where ({}) and not {pointed_to}",
            given.collect::<Vec<_>>().join(or)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_the_one_that_the_server_asks() {
        let columns = Columns {
            ours: vec!["a".into(), "b".into()],
            theirs: vec!["x".into(), "y".into()],
            operators: vec!["operator(pg_catalog.=)".into(); 2],
            match_full: false,
            over_time: false,
        };
        let (t, r) = (QualifiedName::new("s", "t"), QualifiedName::new("s", "r"));
        assert_eq!(
            columns.query(&t, (&r, false)),
            "select t.* from only \"s\".\"t\" t where (t.\"a\" is not null and t.\"b\" is not null) and not exists (select from only \
             \"s\".\"r\" r where r.\"x\" operator(pg_catalog.=) t.\"a\" and r.\"y\" operator(pg_catalog.=) t.\"b\")"
        );
        let full = Columns {
            match_full: true,
            ..columns
        };
        let query = full.query(&t, (&r, true));
        assert!(query.contains("not null or t."), "{query}");
        assert!(query.contains("from \"s\".\"r\" r"), "{query}");
        let over_time = Columns {
            over_time: true,
            ..full
        };
        assert!(over_time.query(&t, (&r, true)).ends_with(
            "and not coalesce((select t.\"b\" operator(pg_catalog.<@) pg_catalog.range_agg(r.\"y\") from \"s\".\"r\" r \
             where r.\"x\" operator(pg_catalog.=) t.\"a\" and r.\"y\" operator(pg_catalog.=) t.\"b\"), false)"
        ));
    }
}
