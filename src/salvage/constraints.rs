//! Constraints that may not hold where rows are lost: what they say, and the query for the rows that violate one.
//!
//! A foreign key to a row that is lost is violated by every row that points to it, and a damaged row may have come back twice.
//! The queries run on the target, over what was salvaged.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::SalvageError;
use crate::catalog::{ForeignKey, Reference, foreign_keys, in_partitions};
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
    /// The table's rows are in partitions. An account of an earlier version does not say, and asks as if they were.
    #[serde(default = "in_partitions")]
    pub partitioned: bool,
    /// Its name.
    pub name: String,
    /// `pg_constraint.contype`; `i` is a unique index that is no constraint. Of checks only those that can be set aside.
    pub kind: char,
    /// Its columns.
    pub columns: Vec<String>,
    /// For a foreign key: what it points to.
    pub references: Option<Reference>,
    /// As `ALTER TABLE … ADD CONSTRAINT name` takes it; of an index all of its statement.
    pub definition: String,
    /// What an index is on, in SQL: columns and expressions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub terms: Vec<String>,
    /// The operator of each of them, with its schema: between two rows one of them must not hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operators: Vec<String>,
    /// `NULLS NOT DISTINCT` (15+).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nulls_alike: bool,
    /// The rows that an index is on, or what a check demands, in SQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicate: Option<String>,
}

/// The kind of a check, and that of a foreign key.
const CHECK: char = 'c';
const FOREIGN_KEY: char = 'f';

/// All of them that hold on the source, as it has them; foreign keys last.
pub async fn keys(session: &Session) -> Result<Vec<Key>, SalvageError> {
    let read = |row: &Answer| -> Result<Key, PgError> {
        Ok(Key {
            table: row.name("schema", "table_name")?,
            partitioned: row.get("partitioned")?,
            name: row.get("name")?,
            kind: row.char("kind")?,
            columns: row.get("columns")?,
            references: None,
            definition: row.get("definition")?,
            terms: row.get("terms")?,
            operators: row.get("operators")?,
            nulls_alike: row.get("nulls_alike")?,
            predicate: row.get("predicate")?,
        })
    };
    let rows = session.query(&KEYS, &[]).await?;
    let mut keys = rows.iter().map(read).collect::<Result<Vec<Key>, _>>()?;
    let foreign = foreign_keys(session).await?.into_iter();
    // One that its parent has made stands and falls with that.
    keys.extend(foreign.filter(|key| !key.inherited).map(Key::from));
    Ok(keys)
}

impl From<ForeignKey> for Key {
    fn from(key: ForeignKey) -> Self {
        Self {
            table: key.table,
            partitioned: key.partitioned,
            name: key.name,
            kind: FOREIGN_KEY,
            columns: key.columns,
            references: Some(key.references),
            definition: key.definition,
            terms: Vec::new(),
            operators: Vec::new(),
            nulls_alike: false,
            predicate: None,
        }
    }
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

pub(super) const UNINDEXED: Query = Query::new(
    "salvage/unindexed.sql",
    include_str!("../../sql/salvage/unindexed.sql"),
);

/// What needs an index that a damaged catalog does not describe any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unindexed {
    /// `pg_constraint.contype`; `I` is an index of a partitioned table.
    pub kind: char,
    /// What a difference calls it.
    pub object: String,
}

/// All of it.
pub async fn unindexed(session: &Session) -> Result<Vec<Unindexed>, SalvageError> {
    let read = |row: &Answer| -> Result<Unindexed, PgError> {
        let (kind, relation) = (row.char("kind")?, row.name("schema", "relation")?);
        let object = match kind {
            'I' => relation.shown(),
            _ => object(&relation, row.get("name")?),
        };
        Ok(Unindexed { kind, object })
    };
    let rows = session.query(&UNINDEXED, &[]).await?;
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

/// What a difference calls a constraint.
fn object(table: &QualifiedName, name: &str) -> String {
    let schema = crate::model::shown_ident(&table.schema);
    format!("{schema}.{} {name}", table.name)
}

impl Key {
    /// Whether its tables are all among these.
    pub fn is_among(&self, tables: &BTreeSet<QualifiedName>) -> bool {
        let references = self.references.as_ref();
        tables.contains(&self.table)
            && references.is_none_or(|reference| tables.contains(&reference.table))
    }

    /// What a difference calls it.
    pub fn object(&self) -> String {
        object(&self.table, &self.name)
    }

    /// The query for the rows that violate it; `of_row` are the columns that a row is told by. It names every operator: where there is no
    /// search path, `=` is not always the one that the key goes by.
    pub fn violations(&self, of_row: &[String]) -> String {
        let shown: Vec<String> = of_row
            .iter()
            .map(|column| format!("t.{}", quote_ident(column)))
            .collect();
        let shown = shown.join(", ");
        let only = if self.partitioned { "" } else { "only " };
        let rows = format!("{only}{}", self.table);
        let concerned = self.predicate.as_deref().unwrap_or("true");
        if let Some(reference) = &self.references {
            let condition = reference.violated_by(&self.columns);
            return format!("select {shown} from {rows} t where {condition}");
        }
        if self.kind == CHECK {
            return format!("select {shown} from {rows} t where not ({concerned})");
        }
        if self.nulls_alike {
            // No operator holds between two NULLs. What is not qualified is of the innermost query.
            return format!(
                "select {shown} from (select *, count(*) over (partition by {}) as pgconvoy_rows from {rows} where {concerned}) t \
                 where t.pgconvoy_rows > 1",
                self.terms().join(", ")
            );
        }
        self.pairs(&shown, &format!("{rows} where {concerned}"))
    }

    /// What an index is on, in SQL; an account of an earlier version does not say it of columns.
    fn terms(&self) -> Vec<String> {
        match self.terms.as_slice() {
            [] => self.columns.iter().map(|one| quote_ident(one)).collect(),
            terms => terms.to_vec(),
        }
    }

    /// The query for those of some rows between which all operators hold; `shown` is of a row `t`.
    fn pairs(&self, shown: &str, some: &str) -> String {
        let terms = self.terms();
        let numbered = || terms.iter().zip(1..);
        let given: Vec<String> = numbered()
            .map(|(term, number)| format!("({term}) as pgconvoy_{number}"))
            .collect();
        let rows = format!(
            "(select *, tableoid as pgconvoy_table, ctid as pgconvoy_place, {} from {some})",
            given.join(", ")
        );
        let operators = self.operators.iter().map(String::as_str);
        let hold: Vec<String> = numbered()
            .zip(operators.chain(std::iter::repeat("=")))
            .map(|((_, number), operator)| {
                format!("t.pgconvoy_{number} {operator} k.pgconvoy_{number}")
            })
            .collect();
        format!(
            "select {shown} from {rows} t where exists (select from {rows} k \
             where (t.pgconvoy_table, t.pgconvoy_place) <> (k.pgconvoy_table, k.pgconvoy_place) and {})",
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

    /// What adds it when nothing violates it any more; or validates it, if it is there already. One over periods of time is added anew:
    /// servers validate only that the periods meet (18.4), and not that they are covered.
    pub fn remedy(&self, is_there: bool) -> String {
        let name = quote_ident(&self.name);
        let (table, definition) = (&self.table, &self.definition);
        let reference = self.references.as_ref();
        let is_over_time = reference.is_some_and(|reference| reference.over_time);
        match (self.kind, is_there) {
            ('i', _) => format!("{definition};"),
            (_, true) if is_over_time => format!(
                "ALTER TABLE {table} DROP CONSTRAINT {name}, ADD CONSTRAINT {name} {definition};"
            ),
            (_, true) => format!("ALTER TABLE {table} VALIDATE CONSTRAINT {name};"),
            (_, false) => format!("ALTER TABLE {table} ADD CONSTRAINT {name} {definition};"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: char, terms: &[&str], operators: &[&str]) -> Key {
        let list = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
        Key {
            table: QualifiedName::new("public", "tags"),
            partitioned: false,
            name: "one".into(),
            kind,
            columns: vec!["tag".into()],
            references: None,
            definition: "CREATE UNIQUE INDEX …".into(),
            terms: list(terms),
            operators: list(operators),
            nulls_alike: false,
            predicate: None,
        }
    }

    fn violations(key: &Key) -> String {
        key.violations(&["id".to_owned()])
    }

    #[test]
    fn a_foreign_key_is_violated_by_rows_that_point_to_nothing() {
        let posts = Key {
            references: Some(Reference {
                table: QualifiedName::new("public", "accounts"),
                columns: vec!["id".into()],
                operators: vec!["operator(public.=)".into()],
                partitioned: true,
                match_full: false,
                over_time: false,
            }),
            ..key(FOREIGN_KEY, &[], &[])
        };
        assert_eq!(
            violations(&posts),
            "select t.\"id\" from only \"public\".\"tags\" t where (t.\"tag\" is not null) and not exists \
             (select from \"public\".\"accounts\" r where r.\"id\" operator(public.=) t.\"tag\")"
        );
        assert_eq!(posts.object(), "public.tags one");
        assert!(posts.remedy(true).ends_with("VALIDATE CONSTRAINT \"one\";"));
        assert!(!posts.is_among(&BTreeSet::from([posts.table.clone()])));
        let mut over_time = posts.clone();
        over_time.definition = "FOREIGN KEY (…)".into();
        if let Some(reference) = &mut over_time.references {
            reference.over_time = true;
        }
        assert_eq!(
            over_time.remedy(true),
            "ALTER TABLE \"public\".\"tags\" DROP CONSTRAINT \"one\", ADD CONSTRAINT \"one\" FOREIGN KEY (…);"
        );
        assert!(key('p', &[], &[]).is_among(&BTreeSet::from([posts.table])));
    }

    #[test]
    fn a_key_is_violated_by_rows_between_which_its_own_operators_hold() {
        let rows = "(select *, tableoid as pgconvoy_table, ctid as pgconvoy_place, (lower(tag)) as pgconvoy_1, (n) as pgconvoy_2 \
                    from only \"public\".\"tags\" where (id > 3))";
        let unique = Key {
            predicate: Some("(id > 3)".into()),
            ..key(
                'i',
                &["lower(tag)", "n"],
                &["operator(public.=)", "operator(pg_catalog.&&)"],
            )
        };
        assert_eq!(
            violations(&unique),
            format!(
                "select t.\"id\" from {rows} t where exists (select from {rows} k \
                 where (t.pgconvoy_table, t.pgconvoy_place) <> (k.pgconvoy_table, k.pgconvoy_place) \
                 and t.pgconvoy_1 operator(public.=) k.pgconvoy_1 and t.pgconvoy_2 operator(pg_catalog.&&) k.pgconvoy_2)"
            )
        );
        let alike = Key {
            nulls_alike: true,
            partitioned: true,
            ..key('u', &["tag", "n"], &["operator(pg_catalog.=)"; 2])
        };
        assert_eq!(
            violations(&alike),
            "select t.\"id\" from (select *, count(*) over (partition by tag, n) as pgconvoy_rows \
             from \"public\".\"tags\" where true) t where t.pgconvoy_rows > 1"
        );
        // As an account of an earlier version has it.
        let earlier = violations(&key('u', &[], &[]));
        assert!(
            earlier.contains("(\"tag\") as pgconvoy_1 from only"),
            "{earlier}"
        );
        assert!(
            earlier.ends_with("and t.pgconvoy_1 = k.pgconvoy_1)"),
            "{earlier}"
        );
    }

    #[test]
    fn a_check_is_violated_where_it_does_not_hold() {
        let honest = Key {
            predicate: Some("(id > 3)".into()),
            ..key(CHECK, &[], &[])
        };
        assert_eq!(
            violations(&honest),
            "select t.\"id\" from only \"public\".\"tags\" t where not ((id > 3))"
        );
        assert_eq!(
            honest.as_check().map(|check| check.name),
            Some("one".into())
        );
        assert_eq!(key('i', &["tag"], &[]).as_check(), None);
    }
}
