//! Every count that there is of a table's rows is the same: what was read, what the source counts, what was found on the
//! target, and what psql counts on either side.

use serde_json::Value;

use crate::support::server::Server;

/// Name (quoted), kind, and the name of the topmost partitioned table, for each that has or could have rows of its own.
const TABLES: &str = "
    with recursive up as (
        select c.oid as leaf, c.oid as top from pg_class c where c.relkind in ('r', 'p')
        union all
        select up.leaf, i.inhparent from up join pg_inherits i on i.inhrelid = up.top
        join pg_class p on p.oid = i.inhparent and p.relkind = 'p'
    )
    select quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relkind,
           (select json_agg(json_build_array(tn.nspname, t.relname)) from up
            join pg_class t on t.oid = up.top join pg_namespace tn on tn.oid = t.relnamespace where up.leaf = c.oid)
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    order by c.oid";

/// Schema and name.
type Name = (String, String);

/// Of a table in the report.
fn key(table: &Value) -> Name {
    let part = |name: &str| table["table"][name].as_str().expect("a name").to_owned();
    (part("schema"), part("name"))
}

/// Of each of these tables, by one psql.
fn counts(server: &Server, tables: &[String]) -> Vec<u64> {
    let count = |table: &String| format!("select count(*) from {table};");
    let sql = tables.iter().map(count).collect::<Vec<_>>().join("\n");
    let said = server.psql("zoo", &sql);
    said.lines()
        .map(|rows| rows.parse().expect("a number"))
        .collect()
}

/// Of a zoo that was moved.
pub fn assert_every_count(source: &Server, target: &Server, report: &Value) {
    let verdicts = report["tables"].as_array().expect("a list");

    let tables = source.psql(
        "zoo",
        &format!(
            "select json_agg(json_build_array(name, kind, up)) from ({TABLES}) t (name, kind, up)"
        ),
    );
    let tables: Vec<(String, String, Vec<Name>)> = serde_json::from_str(&tables).expect("a list");
    assert!(tables.len() > 100, "{}", tables.len());
    let mut seen = Vec::new();
    for (name, kind, up) in &tables {
        let own = up.first().expect("itself");
        let covered = verdicts.iter().any(|verdict| up.contains(&key(verdict)));
        assert!(covered || kind == "p", "no verdict for {name}");
        let only = if kind == "r" { "only " } else { "" };
        let verdict = verdicts.iter().find(|verdict| &key(verdict) == own);
        seen.extend(verdict.map(|verdict| (format!("{only}{name}"), verdict)));
    }
    assert_eq!(
        seen.len(),
        verdicts.len(),
        "each verdict is of a table that there is"
    );
    let (names, verdicts): (Vec<String>, Vec<&Value>) = seen.into_iter().unzip();
    let (ours, theirs) = (counts(source, &names), counts(target, &names));
    assert_eq!((ours.len(), theirs.len()), (names.len(), names.len()));
    for ((name, verdict), (rows, there)) in
        names.iter().zip(verdicts).zip(ours.into_iter().zip(theirs))
    {
        assert_eq!(verdict["read"]["rows"], rows, "{name}: {verdict}");
        assert_eq!(verdict["source_count"], rows, "{name}: {verdict}");
        assert_eq!(verdict["target"]["rows"], rows, "{name}: {verdict}");
        assert_eq!(there, rows, "{name}");
    }
}
