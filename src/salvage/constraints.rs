//! Constraints that may not hold where rows are lost: what they say, and the query for the rows that violate one.
//!
//! A foreign key to a row that is lost is violated by every row that points to it, and a damaged row may have come back twice.
//! The queries run on the target, over what was salvaged.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::SalvageError;
use crate::model::{QualifiedName, quote_ident};
use crate::pg::{Answer, PgError, Query, Session};
use crate::plan::Check;

pub(super) const KEYS: Query = Query::new(
    "salvage/keys.sql",
    include_str!("../../sql/salvage/keys.sql"),
);

/// A primary key, a unique constraint or index, an exclusion constraint, a foreign key, or a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Its table.
    pub table: QualifiedName,
    /// Its name.
    pub name: String,
    /// `pg_constraint.contype`; `i` is a unique index that is no constraint. Of checks only those that can be set aside.
    pub kind: char,
    /// Its columns.
    pub columns: Vec<String>,
    /// For a foreign key: the table it points to, and the columns there.
    pub references: Option<(QualifiedName, Vec<String>)>,
    /// As `ALTER TABLE … ADD CONSTRAINT name` takes it; of an index all of its statement.
    pub definition: String,
    /// What an index is on, in SQL: columns and expressions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub terms: Vec<String>,
    /// For an exclusion constraint: the operator of each of them, of which one must not hold between two rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operators: Vec<String>,
    /// The rows that an index is on, or what a check demands, in SQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicate: Option<String>,
}

/// The kind of a check.
const CHECK: char = 'c';

/// All of them, as the source has them.
pub async fn keys(session: &Session) -> Result<Vec<Key>, SalvageError> {
    let read = |row: &Answer| -> Result<Key, PgError> {
        let references = match row.get::<Option<String>>("referenced_schema")? {
            Some(_) => Some((
                row.name("referenced_schema", "referenced_name")?,
                row.get("referenced_columns")?,
            )),
            None => None,
        };
        Ok(Key {
            table: row.name("schema", "table_name")?,
            name: row.get("name")?,
            kind: row.char("kind")?,
            columns: row.get("columns")?,
            references,
            definition: row.get("definition")?,
            terms: row.get("terms")?,
            operators: row.get("operators")?,
            predicate: row.get("predicate")?,
        })
    };
    let rows = session.query(&KEYS, &[]).await?;
    let keys: Result<Vec<Key>, PgError> = rows.iter().map(read).collect();
    Ok(keys?)
}

pub(super) const DEPENDENTS: Query = Query::new(
    "salvage/dependents.sql",
    include_str!("../../sql/salvage/dependents.sql"),
);

/// Views that read a relation, also by way of each other.
pub async fn dependents(
    session: &Session,
    relation: &QualifiedName,
) -> Result<Vec<QualifiedName>, SalvageError> {
    let rows = session
        .query(&DEPENDENTS, &[&vec![relation.to_string()]])
        .await?;
    let views: Result<Vec<QualifiedName>, PgError> =
        rows.iter().map(|row| row.name("schema", "name")).collect();
    let mut views = views?;
    views.retain(|view| view != relation);
    Ok(views)
}

impl Key {
    /// Whether its tables are all among these.
    pub fn is_among(&self, tables: &BTreeSet<QualifiedName>) -> bool {
        let referenced = self.references.as_ref().map(|(table, _)| table);
        tables.contains(&self.table) && referenced.is_none_or(|table| tables.contains(table))
    }

    /// What a difference calls it.
    pub fn object(&self) -> String {
        let schema = crate::model::shown_ident(&self.table.schema);
        format!("{schema}.{} {}", self.table.name, self.name)
    }

    /// The query for the rows that violate it; `of_row` are the columns that a row is told by.
    pub fn violations(&self, of_row: &[String]) -> String {
        let list = |columns: &[String], from: &str| -> Vec<String> {
            columns
                .iter()
                .map(|column| format!("{from}.{}", quote_ident(column)))
                .collect()
        };
        let there = |from: &str| {
            let columns = list(&self.columns, from).into_iter();
            let there: Vec<String> = columns
                .map(|column| format!("{column} is not null"))
                .collect();
            there.join(" and ")
        };
        let shown = list(of_row, "r").join(", ");
        if !self.operators.is_empty() {
            return self.exclusions(&shown);
        }
        match (&self.references, &self.predicate) {
            (None, Some(demand)) if self.kind == CHECK => {
                format!(
                    "select {shown} from {} as r where not ({demand})",
                    self.table
                )
            }
            (Some((referenced, columns)), _) => {
                let pairs: Vec<String> = list(&self.columns, "r")
                    .into_iter()
                    .zip(list(columns, "k"))
                    .map(|(ours, theirs)| format!("{ours} = {theirs}"))
                    .collect();
                format!(
                    "select {shown} from {} as r where {} and not exists (select from {referenced} as k where {})",
                    self.table,
                    there("r"),
                    pairs.join(" and ")
                )
            }
            (None, None) if self.terms.is_empty() => format!(
                "select {shown} from {table} as r where ({}) in (select {} from {table} as k where {} group by {} having count(*) > 1)",
                list(&self.columns, "r").join(", "),
                list(&self.columns, "k").join(", "),
                there("k"),
                list(&self.columns, "k").join(", "),
                table = self.table,
            ),
            // What is not qualified is of the innermost query.
            (None, predicate) => {
                let on = predicate.as_deref().unwrap_or("true");
                let terms = self.terms.join(", ");
                let there: Vec<String> = self
                    .terms
                    .iter()
                    .map(|term| format!("({term}) is not null"))
                    .collect();
                format!(
                    "select {shown} from {table} as r where ({on}) and ({terms}) in (select {terms} from {table} as k where ({on}) and {} \
                     group by {terms} having count(*) > 1)",
                    there.join(" and "),
                    table = self.table,
                )
            }
        }
    }

    /// The query for rows that exclude each other; `shown` is of a row `r`.
    fn exclusions(&self, shown: &str) -> String {
        let numbered = || self.terms.iter().zip(1..);
        let terms: Vec<String> = numbered()
            .map(|(term, number)| format!("({term}) as pgconvoy_{number}"))
            .collect();
        let rows = format!(
            "(select *, tableoid as pgconvoy_table, ctid as pgconvoy_place, {} from {} where {})",
            terms.join(", "),
            self.table,
            self.predicate.as_deref().unwrap_or("true")
        );
        let hold: Vec<String> = numbered()
            .zip(&self.operators)
            .map(|((_, number), operator)| {
                format!("r.pgconvoy_{number} {operator} k.pgconvoy_{number}")
            })
            .collect();
        format!(
            "select {shown} from {rows} as r where exists (select from {rows} as k \
             where (r.pgconvoy_table, r.pgconvoy_place) <> (k.pgconvoy_table, k.pgconvoy_place) and {})",
            hold.join(" and ")
        )
    }

    /// A check, as a plan sets it aside.
    pub fn as_check(&self) -> Option<Check> {
        (self.kind == CHECK).then(|| Check {
            table: self.table.clone(),
            name: self.name.clone(),
            definition: self.definition.clone(),
        })
    }

    /// What adds it when nothing violates it any more; or validates it, if it is there already.
    pub fn remedy(&self, is_there: bool) -> String {
        let name = quote_ident(&self.name);
        if self.kind == 'i' {
            format!("{};", self.definition)
        } else if is_there {
            format!("ALTER TABLE {} VALIDATE CONSTRAINT {name};", self.table)
        } else {
            format!(
                "ALTER TABLE {} ADD CONSTRAINT {name} {};",
                self.table, self.definition
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn violations_are_rows_that_point_to_nothing_or_are_there_twice() {
        let table = QualifiedName::new("public", "posts");
        let mut key = Key {
            table: table.clone(),
            name: "posts_author".into(),
            kind: 'f',
            columns: vec!["author".into()],
            references: Some((QualifiedName::new("public", "accounts"), vec!["id".into()])),
            definition: "FOREIGN KEY (author) REFERENCES public.accounts(id)".into(),
            terms: Vec::new(),
            operators: Vec::new(),
            predicate: None,
        };
        assert_eq!(
            key.violations(&["id".to_owned()]),
            "select r.\"id\" from \"public\".\"posts\" as r where r.\"author\" is not null and not exists \
             (select from \"public\".\"accounts\" as k where r.\"author\" = k.\"id\")"
        );
        assert_eq!(key.object(), "public.posts posts_author");
        key.references = None;
        assert!(
            key.violations(&["id".to_owned()])
                .contains("having count(*) > 1")
        );
        assert!(
            key.remedy(true)
                .ends_with("VALIDATE CONSTRAINT \"posts_author\";")
        );
        assert!(key.is_among(&BTreeSet::from([table])));
    }

    #[test]
    fn an_index_is_violated_where_it_is_and_a_check_where_it_does_not_hold() {
        let mut key = Key {
            table: QualifiedName::new("public", "tags"),
            name: "tags_lower".into(),
            kind: 'i',
            columns: Vec::new(),
            references: None,
            definition: "CREATE UNIQUE INDEX …".into(),
            terms: vec!["lower(tag)".into()],
            operators: Vec::new(),
            predicate: Some("(id > 3)".into()),
        };
        assert_eq!(
            key.violations(&["id".to_owned()]),
            "select r.\"id\" from \"public\".\"tags\" as r where ((id > 3)) and (lower(tag)) in \
             (select lower(tag) from \"public\".\"tags\" as k where ((id > 3)) and (lower(tag)) is not null \
             group by lower(tag) having count(*) > 1)"
        );
        assert_eq!(key.as_check(), None);
        key.kind = CHECK;
        assert_eq!(
            key.violations(&["id".to_owned()]),
            "select r.\"id\" from \"public\".\"tags\" as r where not ((id > 3))"
        );
        let check = key.as_check().expect("it is one");
        assert_eq!(check.name, "tags_lower");
        key.kind = 'x';
        key.operators = vec!["operator(pg_catalog.=)".into()];
        assert_eq!(
            key.violations(&["id".to_owned()]),
            "select r.\"id\" from (select *, tableoid as pgconvoy_table, ctid as pgconvoy_place, (lower(tag)) as pgconvoy_1 \
             from \"public\".\"tags\" where (id > 3)) as r where exists (select from (select *, tableoid as pgconvoy_table, \
             ctid as pgconvoy_place, (lower(tag)) as pgconvoy_1 from \"public\".\"tags\" where (id > 3)) as k \
             where (r.pgconvoy_table, r.pgconvoy_place) <> (k.pgconvoy_table, k.pgconvoy_place) \
             and r.pgconvoy_1 operator(pg_catalog.=) k.pgconvoy_1)"
        );
    }
}
