//! Grants: back to what an object has when it is new, then what the source's table of contents says.
//!
//! `pg_dump` writes grants as what is to be done to a new object without default privileges. So whoever has been granted
//! something, and whoever default privileges give something to, loses it first.

use std::collections::BTreeSet;

use crate::catalog::LargeObject;
use crate::model::quote_ident;
use crate::toc::{Entry, Text, split_statements};

use super::step::Statement;
use super::text::{around_parentheses, at_commas, before, between, joined, pieces};

const PUBLIC: &[u8] = b"PUBLIC";

/// Who is granted something, as written.
pub(super) type Grantees = BTreeSet<Vec<u8>>;

/// What an entry's statements grant, and on what.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Granted {
    /// `ALTER DEFAULT PRIVILEGES FOR ROLE r IN SCHEMA s`, or nothing.
    pub prefix: Vec<u8>,
    /// `TABLE s.t`, `FUNCTION s.f(integer)`, `SEQUENCES`.
    pub object: Vec<u8>,
    /// The column, for grants on one.
    pub column: Option<Vec<u8>>,
    /// Everybody named.
    pub grantees: Grantees,
}

/// Reads the statements of an `ACL` or `DEFAULT ACL` entry.
pub(super) fn granted(entry: &Entry, std_strings: bool) -> Granted {
    let mut granted = Granted::default();
    let statements = split_statements(entry.defn_bytes(), std_strings).unwrap_or_default();
    for statement in statements {
        let Some(prefix) = before(statement, &["GRANT", "REVOKE"]) else {
            continue;
        };
        let verb = &statement[prefix.len()..];
        let Some(object) = between(verb, "ON", &["TO", "FROM"]) else {
            continue;
        };
        prefix.clone_into(&mut granted.prefix);
        object.clone_into(&mut granted.object);
        let privileges = before(verb, &["ON"]).unwrap_or_default();
        if let Some((_, column, _)) = around_parentheses(privileges) {
            granted.column = Some(column.to_vec());
        }
        let word = if pieces(verb).iter().any(|piece| piece.is_word("TO")) {
            "TO"
        } else {
            "FROM"
        };
        let end = ["WITH", "GRANTED", "CASCADE"];
        let roles = between(verb, word, &end).unwrap_or_default();
        granted
            .grantees
            .extend(at_commas(roles).into_iter().map(<[u8]>::to_vec));
    }
    granted
}

/// Takes back what was granted on an object, but for what a new one has.
pub(super) fn reset(
    granted: &Granted,
    everybody: &Grantees,
    owner: Option<&Text>,
) -> Vec<Statement> {
    let start = |verb: &str| {
        let mut sql = granted.prefix.clone();
        if !sql.is_empty() {
            sql.push(b' ');
        }
        sql.extend_from_slice(verb.as_bytes());
        sql
    };
    let privileges = match &granted.column {
        Some(column) => joined(&[b"ALL(", column, b")"]),
        None => b"ALL".to_vec(),
    };
    let mut statements = Vec::new();
    let mut revoke = |role: &[u8]| {
        let (verb, object) = (start("REVOKE "), &granted.object);
        let sql = joined(&[
            &verb,
            &privileges,
            b" ON ",
            object,
            b" FROM ",
            role,
            b" CASCADE",
        ]);
        statements.push(Statement::of_dump(sql));
    };
    let owner = owner.filter(|owner| !owner.is_empty()).map(Text::quoted);
    for role in everybody {
        let is_owner = owner.as_ref().is_some_and(|owner| same_role(owner, role));
        if !is_owner || granted.column.is_some() {
            revoke(role);
        }
    }
    // Default privileges of a schema only ever add to the others: nothing is what goes without saying.
    let is_of_schema = between(&granted.prefix, "SCHEMA", &[]).is_some();
    if let Some(owner) = owner.as_ref().filter(|_| is_of_schema) {
        revoke(owner);
    }
    if granted.column.is_none() && !is_of_schema {
        let grant = |what: &[u8], role: &[u8]| {
            let (verb, object) = (start("GRANT "), &granted.object);
            Statement::of_dump(joined(&[&verb, what, b" ON ", object, b" TO ", role]))
        };
        statements.extend(owner.map(|owner| grant(b"ALL", &owner)));
        statements.extend(of_public(&granted.object).map(|what| grant(what, PUBLIC)));
    }
    statements
}

/// What everybody may do with a new object (`acldefault`).
fn of_public(object: &[u8]) -> Option<&'static [u8]> {
    if object == b"SCHEMA public" {
        return Some(b"USAGE");
    }
    let kind = object.split(|&byte| byte == b' ').next()?;
    match kind {
        b"FUNCTION" | b"PROCEDURE" | b"ROUTINE" | b"FUNCTIONS" => Some(b"EXECUTE"),
        b"TYPE" | b"DOMAIN" | b"LANGUAGE" | b"TYPES" => Some(b"USAGE"),
        _ => None,
    }
}

/// `pg_dump` quotes only where it must; we always do.
fn same_role(quoted: &[u8], written: &[u8]) -> bool {
    let inner = quoted.get(1..quoted.len().saturating_sub(1));
    quoted == written || inner == Some(written)
}

/// A type that is only announced: nobody can be granted anything on it.
fn is_shell(entry: &Entry) -> bool {
    let definition = entry.defn_bytes();
    !definition.contains(&b'(') && !definition.windows(4).any(|word| word == b" AS ")
}

/// Whether an object came with the server: its grants are told as what was changed about those it came with, so that they
/// must not be taken back to what goes without saying for an object of our own.
pub(super) fn is_of_the_server(entry: &Entry) -> bool {
    let of_server = |schema: &Text| *schema == "pg_catalog" || *schema == "information_schema";
    entry.namespace.as_ref().is_some_and(of_server)
}

/// What to call an entry's object in GRANT, if it is of a kind that default privileges are given on.
pub(super) fn grantable(entry: &Entry) -> Option<Granted> {
    let schema = entry.namespace.as_ref().filter(|schema| !schema.is_empty());
    let named = |kind: &[u8]| {
        let mut object = joined(&[kind, b" "]);
        if let Some(schema) = schema {
            object.extend(schema.quoted());
            object.push(b'.');
        }
        object.extend(entry.tag.quoted());
        Some(object)
    };
    let object = match entry.desc.as_str() {
        "TYPE" if is_shell(entry) => None,
        "TABLE" | "VIEW" | "MATERIALIZED VIEW" | "FOREIGN TABLE" => named(b"TABLE"),
        "SEQUENCE" => named(b"SEQUENCE"),
        "TYPE" | "DOMAIN" => named(b"TYPE"),
        "SCHEMA" => named(b"SCHEMA"),
        "FUNCTION" | "PROCEDURE" | "AGGREGATE" => {
            let drop = entry.drop_stmt.as_ref()?.as_bytes().trim_ascii();
            let drop = drop.strip_suffix(b";").unwrap_or(drop);
            let signature = drop
                .strip_prefix(b"DROP FUNCTION ")
                .or_else(|| drop.strip_prefix(b"DROP AGGREGATE "));
            match (signature, drop.strip_prefix(b"DROP PROCEDURE ")) {
                // The star of an aggregate of all rows is not for grants.
                (Some(signature), _) => match signature.strip_suffix(b"(*)") {
                    Some(name) => Some(joined(&[b"FUNCTION ", name, b"()"])),
                    None => Some(joined(&[b"FUNCTION ", signature])),
                },
                (None, Some(signature)) => Some(joined(&[b"PROCEDURE ", signature])),
                (None, None) => None,
            }
        }
        _ => None,
    };
    Some(Granted {
        object: object?,
        ..Granted::default()
    })
}

/// Owner, grants and comment of a large object, whatever they are now. `found` is the target's, if it has it.
pub(super) fn of_large_object(
    wanted: &LargeObject,
    found: Option<&LargeObject>,
    options: &crate::toc::RestoreOptions,
) -> Vec<Statement> {
    let object = format!("large object {}", wanted.oid);
    let mut statements = Vec::new();
    let mut say = |sql: String| statements.push(Statement::ours(sql));
    if !options.no_owner {
        say(format!(
            "alter {object} owner to {}",
            quote_ident(&wanted.owner)
        ));
    }
    if !options.no_acl {
        privileges(wanted, found, options.no_owner)
            .into_iter()
            .for_each(&mut say);
    }
    if !options.no_comments {
        let comment = wanted.comment.as_deref().map(crate::model::quote_literal);
        say(format!(
            "comment on {object} is {}",
            comment.as_deref().unwrap_or("null")
        ));
    }
    statements
}

/// What takes back what the target's has, and grants what the source's has.
fn privileges(wanted: &LargeObject, found: Option<&LargeObject>, no_owner: bool) -> Vec<String> {
    let object = format!("large object {}", wanted.oid);
    let role = |name: Option<&str>| name.map_or_else(|| "public".to_owned(), quote_ident);
    let granted = found
        .and_then(|one| one.grants.as_ref())
        .into_iter()
        .flatten();
    let mut everybody: BTreeSet<Option<String>> =
        granted.map(|grant| grant.grantee.clone()).collect();
    // What the owner had goes along with the object to its new owner. Where owners may differ, theirs is left alone.
    if no_owner {
        everybody.retain(|role| role.as_ref() != found.map(|one| &one.owner));
    } else {
        everybody.insert(Some(wanted.owner.clone()));
    }
    let revoke = |grantee: &Option<String>| {
        let role = role(grantee.as_deref());
        format!("revoke all on {object} from {role} cascade")
    };
    let mut statements: Vec<String> = everybody.iter().map(revoke).collect();
    let Some(grants) = &wanted.grants else {
        if !no_owner {
            statements.push(format!(
                "grant all on {object} to {}",
                quote_ident(&wanted.owner)
            ));
        }
        return statements;
    };
    let of_owner = |grantee: Option<&str>| grantee == Some(wanted.owner.as_str());
    for grant in grants {
        let to = grant.grantee.as_deref();
        if no_owner && of_owner(to) {
            continue;
        }
        let option = if grant.grantable {
            " with grant option"
        } else {
            ""
        };
        let privilege = grant.privilege.to_lowercase();
        statements.push(format!(
            "grant {privilege} on {object} to {}{option}",
            role(to)
        ));
    }
    statements
}
