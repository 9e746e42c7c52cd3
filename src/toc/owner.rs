//! `ALTER … OWNER TO …` (`_getObjectDescription` and the end of `_printTocEntry` in `pg_backup_archiver.c`).

use crate::model::SqlText;

use super::{Entry, TocError};

/// The statement that gives the entry's object to its owner, without a semicolon; `None` for what has no owner of its own.
///
/// `BLOB METADATA` has many, see [`super::restore_statements`].
pub fn owner_statement(entry: &Entry) -> Result<Option<SqlText>, TocError> {
    let (Some(owner), Some(drop_stmt)) = (&entry.owner, &entry.drop_stmt) else {
        return Ok(None);
    };
    if owner.is_empty() || drop_stmt.as_bytes().is_empty() {
        return Ok(None);
    }
    let Some(object) = object_description(entry, drop_stmt.as_bytes())? else {
        return Ok(None);
    };
    let mut sql = b"ALTER ".to_vec();
    sql.extend(object);
    sql.extend(b" OWNER TO ");
    sql.extend(owner.quoted());
    Ok(Some(SqlText::from(sql)))
}

fn object_description(entry: &Entry, drop_stmt: &[u8]) -> Result<Option<Vec<u8>>, TocError> {
    let described = match entry.desc.as_str() {
        "COLLATION"
        | "CONVERSION"
        | "DOMAIN"
        | "FOREIGN TABLE"
        | "MATERIALIZED VIEW"
        | "SEQUENCE"
        | "STATISTICS"
        | "TABLE"
        | "TEXT SEARCH DICTIONARY"
        | "TEXT SEARCH CONFIGURATION"
        | "TYPE"
        | "VIEW"
        | "DATABASE"
        | "PROCEDURAL LANGUAGE"
        | "SCHEMA"
        | "EVENT TRIGGER"
        | "FOREIGN DATA WRAPPER"
        | "SERVER"
        | "PUBLICATION"
        | "SUBSCRIPTION" => by_name(entry),
        "BLOB" => {
            let mut object = b"LARGE OBJECT ".to_vec();
            object.extend_from_slice(&entry.tag);
            object
        }
        // A signature is needed, and it is what the DROP statement says.
        "AGGREGATE" | "FUNCTION" | "OPERATOR" | "OPERATOR CLASS" | "OPERATOR FAMILY"
        | "PROCEDURE" => by_drop_statement(entry, drop_stmt)?,
        "CAST"
        | "CHECK CONSTRAINT"
        | "CONSTRAINT"
        | "DATABASE PROPERTIES"
        | "DEFAULT"
        | "FK CONSTRAINT"
        | "INDEX"
        | "RULE"
        | "TRIGGER"
        | "ROW SECURITY"
        | "POLICY"
        | "USER MAPPING" => return Ok(None),
        _ => return Err(refused(entry, "it is not known how its owner is set")),
    };
    Ok(Some(described))
}

fn by_name(entry: &Entry) -> Vec<u8> {
    let mut object = entry.desc.as_bytes().to_vec();
    object.push(b' ');
    if let Some(schema) = entry.namespace.as_ref().filter(|schema| !schema.is_empty()) {
        object.extend(schema.quoted());
        object.push(b'.');
    }
    object.extend(entry.tag.quoted());
    object
}

fn by_drop_statement(entry: &Entry, drop_stmt: &[u8]) -> Result<Vec<u8>, TocError> {
    let object = drop_stmt
        .strip_prefix(b"DROP ")
        .ok_or_else(|| refused(entry, "its drop_stmt does not begin with DROP"))?;
    let is_end = |byte: &u8| matches!(byte, b'\n' | b';');
    let length = object
        .iter()
        .rposition(|byte| !is_end(byte))
        .map_or(0, |last| last + 1);
    Ok(object[..length].to_vec())
}

pub(super) fn refused(entry: &Entry, what: &str) -> TocError {
    TocError::Statements {
        entry: entry.to_string(),
        what: what.to_owned(),
    }
}
