//! What `pg_restore` would execute for one entry (`_printTocEntry` in `pg_backup_archiver.c`).
//!
//! Settings that it would leave behind in the session (`default_tablespace`, `default_table_access_method`, in old archives
//! `search_path`) are given as fields, so that the executor can make them local to the entry's transaction.
//! Names that we add ourselves are always quoted, where `pg_restore` quotes only where it must.

use crate::model::SqlText;

use super::owner::{owner_statement, refused};
use super::{Entry, RestoreOptions, Text, Toc, TocError, split_statements};

/// `pg_class.relkind` of a partitioned table.
const PARTITIONED_TABLE: u8 = b'p';

/// How to restore one entry. Its data, if it has any, is not part of this.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restore {
    /// `default_tablespace` to set before; empty is the database's default, `None` means that it does not matter.
    pub tablespace: Option<Text>,
    /// `default_table_access_method` to set before.
    pub table_access_method: Option<Text>,
    /// Schema to set as `search_path`, followed by `pg_catalog`: only in archives whose statements do not qualify names.
    pub search_path: Option<Text>,
    /// What to execute, in this order. One text may hold several statements, each ended by a `;`
    /// ([`super::split_statements`] takes them apart); the last may lack it.
    pub statements: Vec<SqlText>,
    /// Why the entry is left out, as a clause; `None` if it is not. `statements` is then empty.
    pub left_out: Option<&'static str>,
}

/// What to execute for `entry`, which is one of `toc`'s.
pub fn restore_statements(
    toc: &Toc,
    entry: &Entry,
    options: &RestoreOptions,
) -> Result<Restore, TocError> {
    if let Some(because) = options.leaves_out(entry) {
        return Ok(Restore {
            left_out: Some(because),
            ..Restore::default()
        });
    }
    let partitioned = entry.relkind == Some(PARTITIONED_TABLE);
    let table_am = entry
        .table_am
        .clone()
        .filter(|_| !options.no_table_access_method);
    let mut statements = definition(toc, entry, options)?;
    if !options.no_owner {
        if entry.is("BLOB METADATA") {
            statements.extend(owners_of_large_objects(entry)?);
        } else {
            statements.extend(owner_statement(entry)?);
        }
    }
    // A partitioned table has no storage, so the default would not be taken for it.
    if let Some(table_am) = table_am.as_ref().filter(|_| partitioned) {
        statements.push(set_access_method(entry, table_am));
    }
    Ok(Restore {
        tablespace: entry.tablespace.clone().filter(|_| !options.no_tablespaces),
        table_access_method: table_am.filter(|_| !partitioned),
        search_path: entry
            .namespace
            .clone()
            .filter(|schema| !schema.is_empty() && !toc.qualifies_names()),
        statements,
        left_out: None,
    })
}

fn definition(
    toc: &Toc,
    entry: &Entry,
    options: &RestoreOptions,
) -> Result<Vec<SqlText>, TocError> {
    if entry.is("SCHEMA") {
        return schema(toc, entry, options);
    }
    if entry.is("BLOB METADATA") {
        return per_large_object(entry, |oid| format!("SELECT pg_catalog.lo_create('{oid}')"));
    }
    if entry.is("ACL") && entry.tag.starts_with(b"LARGE OBJECTS") {
        return grants_on_large_objects(toc, entry);
    }
    executable(toc, entry)
}

/// The definition as it is, if it is more than a comment.
fn executable(toc: &Toc, entry: &Entry) -> Result<Vec<SqlText>, TocError> {
    let defn = entry.defn_bytes();
    let statements = split_statements(defn, toc.std_strings())
        .map_err(|error| refused(entry, &error.to_string()))?;
    if statements.is_empty() {
        return Ok(Vec::new());
    }
    Ok(entry.defn.iter().cloned().collect())
}

/// `CREATE SCHEMA`, for which there are two special cases.
fn schema(toc: &Toc, entry: &Entry, options: &RestoreOptions) -> Result<Vec<SqlText>, TocError> {
    let defn = entry.defn_bytes();
    if defn.starts_with(b"--") {
        return Ok(Vec::new());
    }
    // Dumps by pg_dump 10 and older create "public", which every new database already has. pg_restore lets the statement
    // fail and goes on; we do not go on after an error.
    if entry.tag == "public" {
        return Ok(vec![SqlText::from(
            "CREATE SCHEMA IF NOT EXISTS \"public\"",
        )]);
    }
    // Old dumps put AUTHORIZATION into the definition.
    if options.no_owner {
        let mut sql = b"CREATE SCHEMA ".to_vec();
        sql.extend(entry.tag.quoted());
        return Ok(vec![SqlText::from(sql)]);
    }
    executable(toc, entry)
}

fn set_access_method(entry: &Entry, table_am: &Text) -> SqlText {
    let mut sql = b"ALTER TABLE ".to_vec();
    if let Some(schema) = entry.namespace.as_ref().filter(|schema| !schema.is_empty()) {
        sql.extend(schema.quoted());
        sql.push(b'.');
    }
    sql.extend(entry.tag.quoted());
    sql.extend(b" SET ACCESS METHOD ");
    sql.extend(table_am.quoted());
    SqlText::from(sql)
}

/// One statement for each large object that a `BLOB METADATA` entry lists: its definition is a column of OIDs.
fn per_large_object(
    metadata: &Entry,
    statement: impl Fn(u32) -> String,
) -> Result<Vec<SqlText>, TocError> {
    let oids = large_objects(metadata)?;
    Ok(oids.map(|oid| SqlText::from(statement(oid))).collect())
}

fn large_objects(metadata: &Entry) -> Result<impl Iterator<Item = u32>, TocError> {
    let lines = std::str::from_utf8(metadata.defn_bytes()).unwrap_or("not UTF-8");
    let oids: Result<Vec<u32>, _> = lines.lines().map(str::parse).collect();
    oids.map(Vec::into_iter)
        .map_err(|_| refused(metadata, "its definition is no list of OIDs"))
}

fn owners_of_large_objects(entry: &Entry) -> Result<Vec<SqlText>, TocError> {
    let (Some(owner), Some(drop_stmt)) = (&entry.owner, &entry.drop_stmt) else {
        return Ok(Vec::new());
    };
    if owner.is_empty() || drop_stmt.as_bytes().is_empty() {
        return Ok(Vec::new());
    }
    let owner = owner.quoted();
    let statements = large_objects(entry)?.map(|oid| {
        let mut sql = format!("ALTER LARGE OBJECT {oid} OWNER TO ").into_bytes();
        sql.extend_from_slice(&owner);
        SqlText::from(sql)
    });
    Ok(statements.collect())
}

/// `IssueACLPerBlob` in `pg_backup_db.c`: the entry's commands name one large object, and are meant for every one of the `BLOB
/// METADATA` entry that it depends on.
fn grants_on_large_objects(toc: &Toc, entry: &Entry) -> Result<Vec<SqlText>, TocError> {
    let metadata = entry
        .dependencies
        .first()
        .and_then(|&id| toc.by_id(id))
        .filter(|metadata| metadata.is("BLOB METADATA"))
        .ok_or_else(|| refused(entry, "it does not name its BLOB METADATA"))?;
    let commands = split_statements(entry.defn_bytes(), toc.std_strings())
        .map_err(|error| refused(entry, &error.to_string()))?;
    let mut statements = Vec::new();
    for command in commands {
        let (before, after) = around_large_object(command)
            .ok_or_else(|| refused(entry, "one of its commands names no large object"))?;
        for oid in large_objects(metadata)? {
            let mut sql = before.to_vec();
            sql.extend(oid.to_string().bytes());
            sql.extend_from_slice(after);
            statements.push(SqlText::from(sql));
        }
    }
    Ok(statements)
}

/// What stands before and after the OID in `GRANT … ON LARGE OBJECT 123 TO …`, double-quoted names not looked into.
fn around_large_object(command: &[u8]) -> Option<(&[u8], &[u8])> {
    const MARK: &[u8] = b"LARGE OBJECT ";
    let mut quoted = false;
    for (at, &byte) in command.iter().enumerate() {
        quoted ^= byte == b'"';
        if !quoted && command[at..].starts_with(MARK) {
            let (before, rest) = command.split_at(at + MARK.len());
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            return (digits > 0).then(|| (before, &rest[digits..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::model::{DumpId, Oid};

    use super::super::testing::toc;
    use super::super::{DataPlace, Section};
    use super::*;

    fn entry(desc: &str, tag: &str, defn: &str, drop_stmt: &str) -> Entry {
        Entry {
            dump_id: DumpId(7),
            had_dumper: false,
            table_oid: Oid(0),
            oid: Oid(0),
            tag: tag.into(),
            desc: desc.into(),
            section: Section::PreData,
            defn: Some(defn.into()),
            drop_stmt: Some(drop_stmt.into()),
            copy_stmt: None,
            namespace: Some("s".into()),
            tablespace: None,
            table_am: None,
            relkind: None,
            owner: Some("o".into()),
            with_oids: false,
            dependencies: Box::default(),
            data: DataPlace::File("".into()),
        }
    }

    fn restore(entry: Entry) -> Result<Restore, TocError> {
        let toc = toc(vec![entry]);
        restore_statements(&toc, &toc.entries[0], &RestoreOptions::default())
    }

    fn texts(restore: &Restore) -> Vec<String> {
        restore.statements.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_archive_without_qualified_names_gets_a_search_path() {
        let table = entry(
            "TABLE",
            "t",
            "CREATE TABLE t (a int);\n",
            "DROP TABLE s.t;\n",
        );
        let restored = restore(table.clone()).expect("statements");
        assert_eq!(restored.search_path, Some("s".into()));
        let set = "SELECT pg_catalog.set_config('search_path', '', false);\n";
        let path = entry("SEARCHPATH", "SEARCHPATH", set, "");
        let toc = toc(vec![path, table]);
        let restored = restore_statements(&toc, &toc.entries[1], &RestoreOptions::default());
        assert_eq!(restored.expect("statements").search_path, None);
    }

    #[test]
    fn public_is_there_already() {
        let mut public = entry(
            "SCHEMA",
            "public",
            "CREATE SCHEMA public;\n",
            "DROP SCHEMA public;\n",
        );
        public.namespace = None;
        assert_eq!(
            texts(&restore(public).expect("statements")),
            [
                "CREATE SCHEMA IF NOT EXISTS \"public\"",
                "ALTER SCHEMA \"public\" OWNER TO \"o\""
            ]
        );
    }

    #[test]
    fn what_pg_restore_refuses_is_refused() {
        let error = restore(entry(
            "NOVELTY",
            "n",
            "CREATE NOVELTY n;",
            "DROP NOVELTY n;",
        ));
        assert_eq!(
            error.expect_err("refused").to_string(),
            "could not make the statements of dump id 7, NOVELTY s.n: it is not known how its owner is set"
        );
        assert!(restore(entry("FUNCTION", "f()", "CREATE …;", "DRO")).is_err());
        assert!(restore(entry("BLOB METADATA", "1..2", "1\ntwo\n", "x")).is_err());
        assert!(
            restore(entry(
                "ACL",
                "LARGE OBJECTS 1..2",
                "GRANT ALL ON LARGE OBJECT 1 TO a;",
                ""
            ))
            .is_err()
        );
        assert!(restore(entry("VIEW", "v", "CREATE VIEW v AS SELECT 'open", "")).is_err());
    }

    #[test]
    fn grants_are_split_around_the_large_object() {
        assert_eq!(
            around_large_object(b"GRANT ALL ON LARGE OBJECT 12 TO \"LARGE OBJECT 3\""),
            Some((
                &b"GRANT ALL ON LARGE OBJECT "[..],
                &b" TO \"LARGE OBJECT 3\""[..]
            ))
        );
        assert_eq!(around_large_object(b"GRANT \"LARGE OBJECT 3\" TO a"), None);
    }
}
