//! What would drop everything that an archive is about to make, in reverse order (`RestoreArchive` in `pg_backup_archiver.c`, `--clean`).
//!
//! The statements are the archive's own: none of them has CASCADE, so that what is not in the archive and needs what is keeps it from
//! being dropped. The schema `public` stays, since others may have something in it; subscriptions reach beyond the
//! database, and are for a person to drop.

use crate::model::SqlText;

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
    let entries = toc.entries.iter().rev();
    let dropped = entries.filter(|entry| options.leaves_out(entry).is_none() && !stays(entry));
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
    vec![if if_exists {
        injected(entry, sql)
    } else {
        sql.to_vec()
    }]
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

/// `DROP TABLE s.t` → `DROP TABLE IF EXISTS s.t`; `ALTER TABLE s.t DROP CONSTRAINT c` gets it in both places.
fn injected(entry: &Entry, sql: &[u8]) -> Vec<u8> {
    const ALTER: &[u8] = b"ALTER TABLE";
    let (mut made, rest) = match sql.strip_prefix(ALTER) {
        Some(rest) => (b"ALTER TABLE IF EXISTS".to_vec(), rest),
        None => (Vec::new(), sql),
    };
    // A view whose query is taken away before the view itself is.
    let as_it_is = entry.is("DEFAULT") || rest.starts_with(b"CREATE OR REPLACE VIEW");
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
    made
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
                "VIEW",
                "CREATE OR REPLACE VIEW s.v AS\nSELECT NULL::integer AS a;",
                "CREATE OR REPLACE VIEW s.v AS\nSELECT NULL::integer AS a;",
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
}
