//! What would drop everything that an archive is about to make, in reverse order (`RestoreArchive` in `pg_backup_archiver.c`, `--clean`).
//!
//! The statements are the archive's own, and run in one transaction: what `pg_restore` tries in vain and goes on without must not be
//! among them. What is not in the archive and needs what is keeps it from being dropped; only a base type cannot go without
//! CASCADE, since its functions and it need each other, and is looked at before. The schema `public` stays, since others may have
//! something in it; subscriptions reach beyond the database, and are for a person to drop.

use std::collections::HashSet;

use crate::model::{DumpId, QualifiedName, SqlText, quote_literal};

use super::tokens::Tokens;
use super::{Entry, RestoreOptions, Toc};

/// How one entry is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drop<'a> {
    /// What.
    pub entry: &'a Entry,
    /// The statement.
    pub sql: SqlText,
}

/// Statements for everything that `options` do not leave out; with `if_exists`, what is not there is passed over.
pub fn drops<'a>(toc: &'a Toc, options: &RestoreOptions, if_exists: bool) -> Vec<Drop<'a>> {
    let with_others = WithOthers::of(toc);
    let entries = toc.entries.iter().rev();
    let dropped = entries.filter(|entry| {
        options.leaves_out(entry).is_none() && !stays(entry) && !with_others.has(toc, entry)
    });
    let mut drops: Vec<Drop<'a>> = Vec::new();
    for entry in dropped {
        let statements = statements(entry, if_exists).into_iter();
        let path = entry.namespace.as_ref().filter(|_| !toc.qualifies_names());
        drops.extend(statements.map(|sql| {
            // In old archives the statements rely on it.
            let sql = match path.filter(|schema| !schema.is_empty()) {
                Some(schema) => {
                    let mut set = b"set local search_path = ".to_vec();
                    set.extend(schema.quoted());
                    set.extend(b", pg_catalog;\n");
                    [set, sql].concat()
                }
                None => sql,
            };
            Drop {
                entry,
                sql: SqlText::from(sql),
            }
        }));
    }
    drops
}

fn stays(entry: &Entry) -> bool {
    (entry.is("SCHEMA") && entry.tag == "public") || entry.is("SUBSCRIPTION")
}

/// What goes with something else that is dropped, and cannot be dropped alone. (Of partitions, `pg_dump` says itself that there
/// is nothing to drop for their plain indexes, triggers and foreign keys.)
struct WithOthers {
    /// Indexes of partitions that belong to one of the partitioned table.
    attached: HashSet<QualifiedName>,
    /// Base types as they are before their functions are there; these go with the type.
    shells: HashSet<DumpId>,
}

impl WithOthers {
    fn of(toc: &Toc) -> Self {
        let named = |entry: &Entry| (entry.namespace.clone(), entry.tag.clone());
        let attached = toc.entries.iter().filter(|entry| entry.is("INDEX ATTACH"));
        let types = toc.entries.iter().filter(|entry| cascades(entry));
        let types: HashSet<_> = types.map(named).collect();
        let shells = toc.entries.iter().filter(|entry| entry.is("SHELL TYPE"));
        Self {
            attached: attached.filter_map(Entry::qualified_name).collect(),
            shells: shells
                .filter(|shell| types.contains(&named(shell)))
                .map(|shell| shell.dump_id)
                .collect(),
        }
    }

    fn has(&self, toc: &Toc, entry: &Entry) -> bool {
        match entry.desc.as_str() {
            "CONSTRAINT" => {
                index_of(toc, entry).is_some_and(|index| self.attached.contains(&index))
            }
            "FUNCTION" => entry.dependencies.iter().any(|id| self.shells.contains(id)),
            _ => false,
        }
    }
}

/// The index that a key is kept by.
fn index_of(toc: &Toc, key: &Entry) -> Option<QualifiedName> {
    let table = toc.constrained(key)?;
    let name = key.tag.to_str()?.strip_prefix(table.name.as_str())?;
    Some(QualifiedName::new(table.schema, name.strip_prefix(' ')?))
}

/// Whether it is a base type, which is dropped with its functions, and with everything else that needs it.
fn cascades(entry: &Entry) -> bool {
    let sql = entry.drop_stmt.as_ref().map_or(&b""[..], SqlText::as_bytes);
    let sql = sql.trim_ascii_end();
    entry.is("TYPE") && sql.ends_with(b" CASCADE;")
}

fn statements(entry: &Entry, if_exists: bool) -> Vec<Vec<u8>> {
    if entry.is("BLOB METADATA") {
        let lines = String::from_utf8_lossy(entry.defn_bytes());
        return lines
            .split_ascii_whitespace()
            .map(|oid| unlink(oid, if_exists))
            .collect();
    }
    if entry.is("BLOB") {
        return vec![unlink(&entry.tag_lossy(), if_exists)];
    }
    let sql = entry.drop_stmt.as_ref().map_or(&b""[..], SqlText::as_bytes);
    if sql.trim_ascii().is_empty() || sql.starts_with(b"--") {
        return Vec::new();
    }
    let made = if if_exists {
        injected(entry, sql)
    } else {
        sql.to_vec()
    };
    let type_name = sql.strip_prefix(b"DROP TYPE ").map(first_name);
    vec![match type_name.filter(|_| cascades(entry)) {
        Some(name) => unless_needed(&name, &made),
        None => made,
    }]
}

/// The name that the text begins with, its schema included, as it is written there.
fn first_name(sql: &[u8]) -> String {
    let mut end = 0;
    let mut is_whole = false;
    for token in Tokens::new(sql, true).map_while(Result::ok) {
        let is_dot = sql.get(token.start..token.end) == Some(&b"."[..]);
        if is_dot != is_whole {
            break;
        }
        end = token.end;
        is_whole = !is_dot;
    }
    String::from_utf8_lossy(sql.get(..end).unwrap_or_default()).into_owned()
}

/// A block around a name and a statement, which it gets as literals.
fn block(name: &str, sql: &[u8], around: impl FnOnce(&str, &str) -> String) -> Vec<u8> {
    let sql = String::from_utf8_lossy(sql);
    let block = around(&quote_literal(name), &quote_literal(&sql));
    format!("do {}", quote_literal(&block)).into_bytes()
}

/// Executes a statement that has no `IF EXISTS` only if what it names is there; `kind` is `regclass` or `regtype`.
fn if_there((kind, name): (&str, &str), sql: &[u8]) -> Vec<u8> {
    block(name, sql, |name, sql| {
        format!("begin if pg_catalog.to_{kind}({name}) is not null then execute {sql}; end if; end")
    })
}

/// Drops a base type if nothing but its own functions needs it any more, or one of them: CASCADE would take that along.
fn unless_needed(name: &str, sql: &[u8]) -> Vec<u8> {
    block(name, sql, |name, sql| {
        format!(
            "declare others text; begin
select pg_catalog.string_agg(distinct pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid), ', ') into others
from pg_catalog.pg_type t
join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass and d.refobjid in (t.oid, t.typarray)
or d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
and d.refobjid in (t.typinput::oid, t.typoutput::oid, t.typreceive::oid, t.typsend::oid)
and not (d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass and d.objid = t.oid)
where t.oid = pg_catalog.to_regtype({name}) and d.deptype <> 'i'
and not (d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
and d.objid in (t.typinput::oid, t.typoutput::oid, t.typreceive::oid, t.typsend::oid));
if others is not null then
raise exception 'cannot drop type % because other objects depend on it: %', {name}, others using errcode = '2BP01';
end if;
execute {sql};
end"
        )
    })
}

fn unlink(oid: &str, if_exists: bool) -> Vec<u8> {
    let oid = oid.replace('\'', "''");
    if if_exists {
        format!(
            "select pg_catalog.lo_unlink(oid) from pg_catalog.pg_largeobject_metadata where oid = '{oid}'"
        )
    } else {
        format!("select pg_catalog.lo_unlink('{oid}')")
    }
    .into_bytes()
}

/// `DROP TABLE s.t` → `DROP TABLE IF EXISTS s.t`; `ALTER TABLE s.t DROP CONSTRAINT c` gets it in both places. For a view whose query is
/// taken away before the view itself is, and for a domain's constraint, there is no such thing.
fn injected(entry: &Entry, sql: &[u8]) -> Vec<u8> {
    const ALTER: &[u8] = b"ALTER TABLE";
    let (mut made, rest) = match sql.strip_prefix(ALTER) {
        Some(rest) => (b"ALTER TABLE IF EXISTS".to_vec(), rest),
        None => (Vec::new(), sql),
    };
    if let Some(view) = sql.strip_prefix(b"CREATE OR REPLACE VIEW ") {
        return if_there(("regclass", &first_name(view)), sql);
    }
    let as_it_is = entry.is("DEFAULT");
    let mark = match entry.desc.as_str() {
        "CONSTRAINT" | "CHECK CONSTRAINT" | "FK CONSTRAINT" => "DROP CONSTRAINT".to_owned(),
        desc => format!("DROP {desc}"),
    };
    let mark = mark.as_bytes();
    let found = rest.windows(mark.len()).position(|part| part == mark);
    match found.filter(|_| !as_it_is) {
        Some(at) => {
            let (before, after) = rest.split_at(at + mark.len());
            made.extend_from_slice(before);
            made.extend_from_slice(b" IF EXISTS");
            made.extend_from_slice(after);
        }
        None => made.extend_from_slice(rest),
    }
    match sql.strip_prefix(b"ALTER DOMAIN ") {
        Some(domain) => if_there(("regtype", &first_name(domain)), &made),
        None => made,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{entry, toc};
    use super::*;

    fn with(desc: &str, drop_stmt: &str) -> Entry {
        Entry {
            drop_stmt: Some(SqlText::from(drop_stmt)),
            ..entry(desc)
        }
    }

    fn made(entries: Vec<Entry>, if_exists: bool) -> Vec<String> {
        let path = Entry {
            defn: Some(SqlText::from(
                "SELECT pg_catalog.set_config('search_path', '', false);",
            )),
            ..entry("SEARCHPATH")
        };
        let toc = toc([vec![path], entries].concat());
        let drops = drops(&toc, &RestoreOptions::default(), if_exists);
        drops.iter().map(|drop| drop.sql.to_string()).collect()
    }

    #[test]
    fn everything_goes_in_reverse_order() {
        let public = Entry {
            tag: "public".into(),
            ..with("SCHEMA", "DROP SCHEMA public;")
        };
        let objects = Entry {
            defn: Some(SqlText::from("16411\n16412\n")),
            ..with("BLOB METADATA", "SELECT pg_catalog.lo_unlink('16411');")
        };
        let all = vec![
            public,
            with("TABLE", "DROP TABLE s.t;"),
            objects,
            with("COMMENT", ""),
            with("SUBSCRIPTION", "DROP SUBSCRIPTION x;"),
            with("FK CONSTRAINT", "ALTER TABLE ONLY s.t DROP CONSTRAINT k;"),
        ];
        assert_eq!(
            made(all, false),
            [
                "ALTER TABLE ONLY s.t DROP CONSTRAINT k;",
                "select pg_catalog.lo_unlink('16411')",
                "select pg_catalog.lo_unlink('16412')",
                "DROP TABLE s.t;",
            ]
        );
    }

    #[test]
    fn what_is_not_there_is_passed_over_where_that_can_be_said() {
        for (desc, sql, expected) in [
            ("TABLE", "DROP TABLE s.t;", "DROP TABLE IF EXISTS s.t;"),
            (
                "CONSTRAINT",
                "ALTER TABLE ONLY s.t DROP CONSTRAINT k;",
                "ALTER TABLE IF EXISTS ONLY s.t DROP CONSTRAINT IF EXISTS k;",
            ),
            (
                "DEFAULT",
                "ALTER TABLE s.t ALTER COLUMN a DROP DEFAULT;",
                "ALTER TABLE IF EXISTS s.t ALTER COLUMN a DROP DEFAULT;",
            ),
            (
                "RULE",
                "CREATE OR REPLACE VIEW s.\"v AS\" AS\nSELECT NULL::integer AS a;",
                "do 'begin if pg_catalog.to_regclass(''s.\"v AS\"'') is not null then execute \
                 ''CREATE OR REPLACE VIEW s.\"v AS\" AS\nSELECT NULL::integer AS a;''; end if; end'",
            ),
            (
                "CHECK CONSTRAINT",
                "ALTER DOMAIN s.d DROP CONSTRAINT k;",
                "do 'begin if pg_catalog.to_regtype(''s.d'') is not null then execute \
                 ''ALTER DOMAIN s.d DROP CONSTRAINT IF EXISTS k;''; end if; end'",
            ),
            (
                "CAST",
                "DROP CAST (a AS b);",
                "DROP CAST IF EXISTS (a AS b);",
            ),
        ] {
            assert_eq!(made(vec![with(desc, sql)], true), [expected]);
        }
    }
    #[test]
    fn keys_of_partitions_go_with_that_of_the_partitioned_table() {
        let key = |table: &str, name: &str| {
            let sql = format!("ALTER TABLE ONLY public.{table}");
            Entry {
                tag: format!("{table} {name}").as_str().into(),
                defn: Some(SqlText::from(format!(
                    "{sql}\n    ADD CONSTRAINT {name} PRIMARY KEY (id);\n"
                ))),
                ..with("CONSTRAINT", &format!("{sql} DROP CONSTRAINT {name};"))
            }
        };
        let attach = Entry {
            tag: "part_pkey".into(),
            ..with("INDEX ATTACH", "")
        };
        let keys = vec![key("whole", "whole_pkey"), key("part", "part_pkey")];
        let of_whole = "ALTER TABLE ONLY public.whole DROP CONSTRAINT whole_pkey;";
        assert_eq!(
            made([keys.clone(), vec![attach]].concat(), false),
            [of_whole]
        );
        // One that stands for itself does not.
        assert_eq!(made(keys, false).len(), 2);
    }

    #[test]
    fn the_functions_of_a_base_type_go_with_it_and_nothing_else_does() {
        let one = |id: i32, entry: Entry| Entry {
            dump_id: DumpId(id),
            tag: "label".into(),
            ..entry
        };
        let function = |id: i32, needs: i32| Entry {
            dependencies: Box::new([DumpId(needs)]),
            ..one(id, with("FUNCTION", &format!("DROP FUNCTION s.f{id}();")))
        };
        let shell = one(1, entry("SHELL TYPE"));
        let base = one(4, with("TYPE", "DROP TYPE s.label CASCADE;"));
        let functions = [function(2, 1), function(3, 9)];
        let all = [&[shell][..], &functions, &[base]].concat();
        let dropped = made(all.clone(), true);
        assert_eq!(dropped.len(), 2, "{dropped:?}");
        let looked_at = "to_regtype(''s.label'')";
        assert!(dropped[0].contains(looked_at), "{dropped:?}");
        let cascading = "execute ''DROP TYPE IF EXISTS s.label CASCADE;''";
        assert!(dropped[0].contains(cascading), "{dropped:?}");
        assert_eq!(dropped[1], "DROP FUNCTION IF EXISTS s.f3();");
        // Without the type, its functions are for themselves.
        assert_eq!(made(all[..3].to_vec(), false).len(), 2);
    }
}
