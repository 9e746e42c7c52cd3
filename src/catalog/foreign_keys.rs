//! Foreign keys that are said to hold, and the question which rows violate one.
//!
//! It is the question that the server asks itself (`RI_Initial_Check` in `ri_triggers.c`), with the key's own operators: where there is no
//! search path, `=` by name is another one than that of a type whose operators are not in `pg_catalog`.

use serde::{Deserialize, Serialize};

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

/// A foreign key that the database believes to hold. One that is not enforced (18+) is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    /// The referencing table.
    pub table: QualifiedName,
    /// Its rows are in partitions.
    pub partitioned: bool,
    /// Its name.
    pub name: String,
    /// Made by a foreign key of the partitioned parent.
    pub inherited: bool,
    /// Its columns.
    pub columns: Vec<String>,
    /// As `ALTER TABLE … ADD CONSTRAINT name` takes it.
    pub definition: String,
    /// What it points to.
    pub references: Reference,
}

/// What a foreign key points to, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// The referenced table.
    pub table: QualifiedName,
    /// Its columns, in the order of those that point to them.
    pub columns: Vec<String>,
    /// The operator between each of them and the one that points to it, with its schema, and with a collation if the two have not the
    /// same.
    #[serde(default)]
    pub operators: Vec<String>,
    /// Its rows are in partitions.
    #[serde(default = "in_partitions")]
    pub partitioned: bool,
    /// `MATCH FULL`: either all columns are NULL, or none is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub match_full: bool,
    /// The last column is a period of time (18+): all referenced rows that overlap it must cover it together.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub over_time: bool,
}

/// All foreign keys that are said to hold, those of the smallest tables first. One to a partitioned table is not listed for each of
/// its partitions.
pub async fn foreign_keys(session: &Session) -> Result<Vec<ForeignKey>, PgError> {
    let rows = session.query(&FOREIGN_KEYS.newest, &[]).await?;
    rows.iter().map(foreign_key).collect()
}

fn foreign_key(row: &Answer) -> Result<ForeignKey, PgError> {
    Ok(ForeignKey {
        table: row.name("schema", "table_name")?,
        partitioned: row.get("partitioned")?,
        name: row.get("name")?,
        inherited: row.get("inherited")?,
        columns: row.get("columns")?,
        definition: row.get("definition")?,
        references: Reference {
            table: row.name("referenced_schema", "referenced_name")?,
            columns: row.get("referenced_columns")?,
            operators: row.get("operators")?,
            partitioned: row.get("referenced_partitioned")?,
            match_full: row.get("match_full")?,
            over_time: row.get("over_time")?,
        },
    })
}

/// An account of an earlier version does not say, and asked as if they were.
pub(crate) const fn in_partitions() -> bool {
    true
}

impl Reference {
    /// The condition for rows `t` that point to nothing with these columns of theirs.
    pub fn violated_by(&self, columns: &[String]) -> String {
        let given = columns
            .iter()
            .map(|ours| format!("t.{} is not null", quote_ident(ours)));
        let or = if self.match_full { " or " } else { " and " };
        let given = given.collect::<Vec<_>>().join(or);
        let pairs = columns.iter().zip(&self.columns).enumerate();
        let equal = pairs.map(|(number, (ours, theirs))| {
            // An account of an earlier version does not name them.
            let operator = self.operators.get(number).map_or("=", String::as_str);
            let (ours, theirs) = (quote_ident(ours), quote_ident(theirs));
            format!("r.{theirs} {operator} t.{ours}")
        });
        let equal = equal.collect::<Vec<_>>().join(" and ");
        let only = if self.partitioned { "" } else { "only " };
        let referenced = format!("{only}{}", self.table);
        let pointed_to = match (columns.last(), self.columns.last()) {
            // As of a row with a period when it is written (`RI_FKey_check`).
            (Some(ours), Some(theirs)) if self.over_time => format!(
                "coalesce((select t.{} operator(pg_catalog.<@) pg_catalog.range_agg(r.{}) from {referenced} r where {equal}), false)",
                quote_ident(ours),
                quote_ident(theirs)
            ),
            _ => format!("exists (select from {referenced} r where {equal})"),
        };
        format!("({given}) and not {pointed_to}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_the_one_that_the_server_asks() {
        let ours = ["a".to_owned(), "b".to_owned()];
        let reference = Reference {
            table: QualifiedName::new("s", "r"),
            columns: vec!["x".into(), "y".into()],
            operators: vec!["operator(pg_catalog.=)".into(); 2],
            partitioned: false,
            match_full: false,
            over_time: false,
        };
        assert_eq!(
            reference.violated_by(&ours),
            "(t.\"a\" is not null and t.\"b\" is not null) and not exists (select from only \"s\".\"r\" r \
             where r.\"x\" operator(pg_catalog.=) t.\"a\" and r.\"y\" operator(pg_catalog.=) t.\"b\")"
        );
        let full = Reference {
            match_full: true,
            partitioned: true,
            ..reference
        };
        let condition = full.violated_by(&ours);
        assert!(condition.contains("not null or t."), "{condition}");
        assert!(condition.contains("from \"s\".\"r\" r"), "{condition}");
        let over_time = Reference {
            over_time: true,
            ..full
        };
        assert!(over_time.violated_by(&ours).ends_with(
            "and not coalesce((select t.\"b\" operator(pg_catalog.<@) pg_catalog.range_agg(r.\"y\") from \"s\".\"r\" r \
             where r.\"x\" operator(pg_catalog.=) t.\"a\" and r.\"y\" operator(pg_catalog.=) t.\"b\"), false)"
        ));
    }

    #[test]
    fn what_an_account_of_an_earlier_version_says_is_understood() {
        let said = r#"[{"schema": "s", "name": "r"}, ["x"]]"#;
        let reference: Reference = serde_json::from_str(said).expect("it is one");
        let condition = reference.violated_by(&["a".to_owned()]);
        assert!(
            condition.ends_with("from \"s\".\"r\" r where r.\"x\" = t.\"a\")"),
            "{condition}"
        );
        let again = serde_json::to_string(&reference).expect("JSON");
        assert_eq!(
            serde_json::from_str::<Reference>(&again).ok(),
            Some(reference)
        );
    }
}
