//! The schemas that hold the notes of a run and of a follow, and what somebody else keeps in them: nothing in these is moved, dumped or
//! compared, so it is named.
//!
//! The tables of a run's ledger are ours, also of a run that broke off, or of this one: in a schema that is a ledger's, as the catalog says. A
//! sign that a target is being emptied has nothing in it.

use std::collections::BTreeMap;

use crate::catalog::{LEDGER_SCHEMA, LedgerSchema, VersionedQuery};
use crate::model::{Side, Unverified, shown_ident};
use crate::pg::{PgError, Query, Session};

use super::attempt::attempt;
use super::schema::OURS;
use super::some_of;

pub(super) const BESIDE_OURS: VersionedQuery = VersionedQuery {
    newest: Query::new(
        "beside_ours.sql",
        include_str!("../../sql/verify/beside_ours.sql"),
    ),
    older: None,
};

/// Objects, by the schema that they are in.
pub(super) type BySchema = BTreeMap<String, Vec<String>>;

/// What is in each of these schemas and is not ours, or why the server does not say.
pub(super) async fn read(session: &Session) -> Result<Result<BySchema, PgError>, PgError> {
    let whose = match attempt(session, &LEDGER_SCHEMA).await? {
        Ok(rows) => LedgerSchema::of(&rows)?,
        Err(refused) => return Ok(Err(refused)),
    };
    let [(ledger, tables), _] = OURS;
    let is_ours = |schema: &str, table: Option<&str>| {
        whose == Some(LedgerSchema::Ledger)
            && schema == ledger
            && table.is_some_and(|table| tables.contains(&table))
    };
    let rows = match attempt(session, &BESIDE_OURS).await? {
        Ok(rows) => rows,
        Err(refused) => return Ok(Err(refused)),
    };
    let mut found = BySchema::new();
    for row in &rows {
        let schema: String = row.get("schema")?;
        let table: Option<String> = row.get("table_name")?;
        if !is_ours(&schema, table.as_deref()) {
            found.entry(schema).or_default().push(row.get("object")?);
        }
    }
    Ok(Ok(found))
}

/// That it takes no part.
pub(super) fn unverified(side: Side, schema: &str, objects: &[String]) -> Unverified {
    let schema = shown_ident(schema);
    Unverified {
        class: "schema".to_owned(),
        because: format!(
            "pgconvoy keeps its own tables in a schema of this name, which is never moved, dumped or compared; on the {side} there is \
             something else in it: {}. If it is yours, rename it (ALTER SCHEMA {schema} RENAME TO …)",
            some_of(objects)
        ),
        object: schema,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEDGER: &str = include_str!("../../sql/ledger/create.sql");
    const FOLLOW: &str = include_str!("../../sql/follow/create.sql");
    const WHOSE: &str = include_str!("../../sql/catalog/ledger_schema.sql");
    const HOLDINGS: &str = include_str!("../../sql/catalog/holdings.sql");

    type Columns<'a> = BTreeMap<&'a str, &'a str>;

    /// A table by schema and name, with its columns and their types: from what follows `create table`.
    fn table(statement: &str) -> Option<((&str, &str), Columns<'_>)> {
        let (name, columns) = statement.split_once(" (\n")?;
        let (columns, _) = columns.split_once("\n);")?;
        let columns = columns.lines().map(str::trim_start);
        let columns = columns.filter(|line| !line.starts_with("primary key "));
        let typed = columns.map(|line| {
            let mut words = line.split([' ', ',']);
            Some((words.next()?, words.next()?))
        });
        Some((name.split_once('.')?, typed.collect::<Option<_>>()?))
    }

    fn created(sql: &str) -> BTreeMap<(&str, &str), Columns<'_>> {
        let statements = sql.split("\ncreate table ").skip(1);
        let tables = statements.map(|statement| table(statement).expect("a table with columns"));
        tables.collect()
    }

    fn quoted(names: &[&str]) -> String {
        format!("('{}')", names.join("', '"))
    }

    #[test]
    fn what_is_ours_is_what_we_create() {
        let (ledger, follow) = (created(LEDGER), created(FOLLOW));
        let mut ours = Vec::new();
        for (schema, tables) in OURS {
            ours.extend(tables.iter().map(|table| (schema, *table)));
        }
        ours.sort_unstable();
        let made: Vec<(&str, &str)> = ledger.keys().chain(follow.keys()).copied().collect();
        assert_eq!(made, ours);

        // As the queries know them: a ledger by two columns of every version's, the table of a follow by all that it has.
        let [(schema, tables), _] = OURS;
        let names = format!("c.relname in {}", quoted(tables));
        assert!(HOLDINGS.contains(&names), "{names}");
        let known_by = ["run", "pgconvoy_version"];
        for column in known_by {
            assert_eq!(ledger[&(schema, "run")][column], "text", "{column}");
        }
        let columns = format!("a.attname in {} and a.atttypid = ", quoted(&known_by));
        for part in ["c.relname = 'run' and c.relkind = 'r'\n", &columns] {
            assert!(WHOSE.contains(part), "{part}");
        }
        for ((schema, table), columns) in follow {
            let columns = columns.into_keys().collect::<Vec<_>>().join(" ");
            let row = quoted(&[schema, table, &columns]);
            assert!(BESIDE_OURS.newest.sql.contains(&row), "{row}");
        }
    }
}
