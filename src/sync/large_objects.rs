//! Large objects: which are added, changed and removed, and the statements that do it. Pure.
//!
//! An object whose content differs is made anew under its OID, as a new one is; one whose owner, grants or comment differ keeps
//! its content.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::LargeObject;
use crate::model::{Oid, SqlText, quote_ident, quote_literal};
use crate::toc::RestoreOptions;

/// Large objects in one batch of the transaction.
pub(super) const BATCH: usize = 500;

/// What is to be done about large objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectChanges {
    /// Those to be made, with their content: new ones, and those whose content differs.
    pub made: Vec<LargeObject>,
    /// Those among them that exist already.
    pub rewritten: BTreeSet<Oid>,
    /// Those that keep their content: as on the source, and as on the target.
    pub described: Vec<(LargeObject, LargeObject)>,
    /// Those to be removed.
    pub removed: Vec<Oid>,
}

impl ObjectChanges {
    /// Decides, from what both sides have and the OIDs of those that differ: first apart from their content, then in it.
    pub fn decide(
        (source, target): (&[LargeObject], &[LargeObject]),
        differing: &BTreeSet<Oid>,
        content: &BTreeSet<Oid>,
    ) -> Self {
        let there: BTreeMap<Oid, &LargeObject> = target.iter().map(|one| (one.oid, one)).collect();
        let mut changes = Self::default();
        for object in source {
            match there.get(&object.oid) {
                None => changes.made.push(object.clone()),
                Some(_) if content.contains(&object.oid) => {
                    changes.made.push(object.clone());
                    changes.rewritten.insert(object.oid);
                }
                Some(found) if differing.contains(&object.oid) => {
                    changes.described.push((object.clone(), (*found).clone()));
                }
                Some(_) => {}
            }
        }
        let ours: BTreeSet<Oid> = source.iter().map(|one| one.oid).collect();
        changes.removed = there
            .into_keys()
            .filter(|oid| !ours.contains(oid))
            .collect();
        changes
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.made.is_empty() && self.described.is_empty() && self.removed.is_empty()
    }

    /// The statements that unlink those that go, including those to be made anew.
    pub(super) fn unlinked(&self) -> Vec<SqlText> {
        let going: Vec<Oid> = self
            .removed
            .iter()
            .chain(&self.rewritten)
            .copied()
            .collect();
        let unlink = |batch: &[Oid]| {
            let oids: Vec<String> = batch.iter().map(ToString::to_string).collect();
            SqlText::from(format!(
                "select pg_catalog.lo_unlink(oid) from pg_catalog.unnest('{{{}}}'::pg_catalog.oid[]) as going (oid)",
                oids.join(",")
            ))
        };
        going.chunks(BATCH).map(unlink).collect()
    }
}

/// Asks which of these objects have grants: the target's default privileges may have given some to a newly made one (18 and later).
pub(super) fn granted(oids: &[Oid]) -> SqlText {
    let oids: Vec<String> = oids.iter().map(ToString::to_string).collect();
    SqlText::from(format!(
        "select m.oid, pg_catalog.pg_get_userbyid(m.lomowner), \
         case when g.grantee <> 0 then pg_catalog.pg_get_userbyid(g.grantee) end, g.privilege_type \
         from pg_catalog.pg_largeobject_metadata m left join lateral pg_catalog.aclexplode(m.lomacl) g on true \
         where m.lomacl is not null and m.oid = any ('{{{}}}'::pg_catalog.oid[])",
        oids.join(",")
    ))
}

/// What an object has besides its content: owner, grants and comment. `now` is how it is on the target; `None` if it was just
/// made, and nobody was granted anything.
pub(super) fn describe(
    object: &LargeObject,
    now: Option<&LargeObject>,
    options: &RestoreOptions,
) -> Vec<SqlText> {
    let oid = object.oid;
    let mut statements = Vec::new();
    if !options.no_owner {
        let owner = quote_ident(&object.owner);
        statements.push(format!("alter large object {oid} owner to {owner}"));
    }
    if !options.no_acl {
        statements.extend(grants(object, now, options));
    }
    if !options.no_comments {
        let comment = object.comment.as_deref();
        let text = comment.map_or_else(|| "null".to_owned(), quote_literal);
        let had = now.is_some_and(|now| now.comment.is_some());
        if comment.is_some() || had {
            statements.push(format!("comment on large object {oid} is {text}"));
        }
    }
    statements.into_iter().map(SqlText::from).collect()
}

/// Revokes everything, then grants what the source does. Where owners are left out, the owner keeps the implicit privileges.
fn grants(
    object: &LargeObject,
    now: Option<&LargeObject>,
    options: &RestoreOptions,
) -> Vec<String> {
    let oid = object.oid;
    let is_owner = |role: Option<&str>| role == Some(object.owner.as_str());
    let mut revoked: BTreeSet<Option<&str>> = BTreeSet::new();
    if let Some(grants) = now.and_then(|now| now.grants.as_ref()) {
        let grantees = grants.iter().map(|grant| grant.grantee.as_deref());
        // On the target the owner may be another role, which keeps it where owners are left out.
        let kept = now
            .map(|now| now.owner.as_str())
            .filter(|_| options.no_owner);
        revoked.extend(grantees.filter(|role| role.is_none() || *role != kept));
    }
    let Some(wanted) = &object.grants else {
        if now.is_none() {
            return Vec::new();
        }
        let mut statements: Vec<String> =
            revoked.into_iter().map(|role| revoke(oid, role)).collect();
        if !options.no_owner {
            let owner = quote_ident(&object.owner);
            statements.push(format!("grant all on large object {oid} to {owner}"));
        }
        return statements;
    };
    if !options.no_owner {
        revoked.insert(Some(object.owner.as_str()));
    }
    let mut statements: Vec<String> = revoked.into_iter().map(|role| revoke(oid, role)).collect();
    for grant in wanted {
        let grantee = grant.grantee.as_deref();
        if is_owner(grantee) && options.no_owner {
            continue;
        }
        statements.push(grant.statement(oid, &object.owner));
    }
    statements
}

fn revoke(oid: Oid, grantee: Option<&str>) -> String {
    let role = role(grantee);
    format!("revoke all on large object {oid} from {role} cascade")
}

fn role(grantee: Option<&str>) -> String {
    grantee.map_or_else(|| "public".to_owned(), quote_ident)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::LargeObjectGrant;

    fn object(oid: u32, owner: &str, grants: Option<&[(&str, &str)]>) -> LargeObject {
        let grant = |(grantee, privilege): &(&str, &str)| LargeObjectGrant {
            grantor: None,
            grantee: (!grantee.is_empty()).then(|| (*grantee).to_owned()),
            privilege: (*privilege).to_owned(),
            grantable: false,
        };
        LargeObject {
            oid: Oid(oid),
            owner: owner.into(),
            comment: None,
            grants: grants.map(|grants| grants.iter().map(grant).collect()),
        }
    }

    #[test]
    fn what_is_new_other_and_gone_is_told_apart() {
        let one = |oid| object(oid, "o", None);
        let source = [one(1), one(2), one(3), one(4)];
        let target = [one(2), one(3), one(4), one(5)];
        let set = |oids: &[u32]| oids.iter().map(|oid| Oid(*oid)).collect();
        let changes = ObjectChanges::decide((&source, &target), &set(&[1, 3, 4, 5]), &set(&[2, 3]));
        let made: Vec<u32> = changes.made.iter().map(|one| one.oid.0).collect();
        assert_eq!(made, [1, 2, 3]);
        assert_eq!(changes.rewritten, set(&[2, 3]));
        let described: Vec<u32> = changes.described.iter().map(|(one, _)| one.oid.0).collect();
        assert_eq!(described, [4]);
        assert_eq!(changes.removed, [Oid(5)]);
        assert_eq!(
            changes.unlinked()[0].to_string(),
            "select pg_catalog.lo_unlink(oid) from pg_catalog.unnest('{5,2,3}'::pg_catalog.oid[]) as going (oid)"
        );
    }

    #[test]
    fn grants_are_taken_back_before_they_are_given() {
        let options = RestoreOptions::default();
        let now = object(7, "o", Some(&[("", "SELECT"), ("a", "UPDATE")]));
        let wanted = object(7, "o", Some(&[("b", "SELECT")]));
        let texts = |statements: Vec<SqlText>| -> Vec<String> {
            statements.iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            texts(describe(&wanted, Some(&now), &options)),
            [
                "alter large object 7 owner to \"o\"",
                "revoke all on large object 7 from public cascade",
                "revoke all on large object 7 from \"a\" cascade",
                "revoke all on large object 7 from \"o\" cascade",
                "grant SELECT on large object 7 to \"b\"",
            ]
        );
        let nothing = object(7, "o", None);
        assert_eq!(
            texts(describe(&nothing, None, &options)),
            ["alter large object 7 owner to \"o\""]
        );
        assert_eq!(
            texts(describe(&nothing, Some(&now), &options))
                .last()
                .map(String::as_str),
            Some("grant all on large object 7 to \"o\"")
        );
        // Made by another role, on a target that grants something by default.
        let made = object(7, "us", Some(&[("us", "SELECT"), ("", "SELECT")]));
        assert_eq!(
            texts(describe(&nothing, Some(&made), &options)),
            [
                "alter large object 7 owner to \"o\"",
                "revoke all on large object 7 from public cascade",
                "revoke all on large object 7 from \"us\" cascade",
                "grant all on large object 7 to \"o\"",
            ]
        );
    }
}
