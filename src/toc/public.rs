//! The schema `public`, which no dump makes because every database has it.
//!
//! `pg_dump` has an entry for it only if its owner is not the usual one of version 15 and later, and one for its grants only if these
//! are not what a new database has there. Up to 14 its owner and its grants were others: where one side has such an
//! entry and the other has none, it is the owner or the grants that differ. Who calls it missing sends a person to look
//! for what is there.

use super::{Entry, Text, Toc};

/// What differs, if this entry, which the other side lacks, says no more than who owns the schema `public`, or what is granted on it.
/// `side` is the one that has it.
pub(super) fn beside_the_usual_public(entry: &Entry, other: &Toc, side: &str) -> Option<String> {
    let other_side = match side {
        "source" => "target",
        _ => "source",
    };
    match (entry.desc.as_str(), &*entry.tag) {
        ("SCHEMA", b"public") => {
            let owner = entry.owner.as_ref().map(Text::to_string_lossy);
            let owner = owner.unwrap_or_default();
            let or_gone = if has_something_in_public(other) {
                ""
            } else {
                ", or where there is no such schema"
            };
            Some(format!(
                "owner: \"{owner}\" on the {side}; on the {other_side} pg_dump names none, as where it is pg_database_owner, the usual one \
                 from version 15 on{or_gone}"
            ))
        }
        ("ACL", b"SCHEMA public") => {
            let grants = String::from_utf8_lossy(entry.defn_bytes());
            Some(format!(
                "grants: on the {other_side} those of a new database, on the {side} different ones:\n{}",
                grants.trim()
            ))
        }
        _ => None,
    }
}

/// Whether the schema can be seen to be there.
fn has_something_in_public(toc: &Toc) -> bool {
    let within = |entry: &Entry| entry.namespace.as_ref().is_some_and(|one| *one == "public");
    let about = |entry: &Entry| entry.is_attached() && entry.tag == "SCHEMA public";
    toc.entries
        .iter()
        .any(|entry| within(entry) || about(entry))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{entry, toc};
    use super::super::{CompareOptions, compare};
    use super::*;
    use crate::model::{DifferenceKind, SqlText};

    fn public() -> [Entry; 2] {
        let owned = Entry {
            tag: "public".into(),
            defn: Some(SqlText::from(
                "-- *not* creating schema, since initdb creates it\n\n",
            )),
            owner: Some("postgres".into()),
            namespace: None,
            ..entry("SCHEMA")
        };
        let granted = Entry {
            tag: "SCHEMA public".into(),
            defn: Some(SqlText::from("GRANT ALL ON SCHEMA public TO PUBLIC;\n")),
            owner: Some("postgres".into()),
            namespace: None,
            ..entry("ACL")
        };
        [owned, granted]
    }

    fn table() -> Entry {
        Entry {
            tag: "t".into(),
            namespace: Some("public".into()),
            ..entry("TABLE")
        }
    }

    #[test]
    fn an_owner_and_grants_that_differ_are_no_missing_schema() {
        let mut older = vec![table()];
        older.extend(public());
        let (older, newer) = (toc(older), toc(vec![table()]));
        let options = CompareOptions::default();
        for (source, target, (owner, grants)) in [
            (
                &older,
                &newer,
                (
                    "owner: \"postgres\" on the source; on the target pg_dump names none, ",
                    "grants: on the target those of a new database, on the source different ones:\n",
                ),
            ),
            (
                &newer,
                &older,
                (
                    "owner: \"postgres\" on the target; on the source pg_dump names none, ",
                    "grants: on the source those of a new database, on the target different ones:\n",
                ),
            ),
        ] {
            let found = compare(source, target, &options);
            let named: Vec<String> = found
                .iter()
                .map(|one| format!("{:?} {} {}", one.kind, one.class, one.object))
                .collect();
            assert_eq!(
                named,
                ["Different acl SCHEMA public", "Different schema public"]
            );
            assert_eq!(
                found[0].detail,
                format!("{grants}GRANT ALL ON SCHEMA public TO PUBLIC;")
            );
            let said = &found[1].detail;
            assert!(
                said.starts_with(owner) && said.ends_with("from version 15 on"),
                "{said}"
            );
        }
    }

    #[test]
    fn where_nothing_is_in_it_it_may_be_gone() {
        let (older, empty) = (toc(public().to_vec()), toc(Vec::new()));
        let found = compare(&older, &empty, &CompareOptions::default());
        let owner = found.iter().find(|one| one.class == "schema");
        let owner = owner.expect("the owner differs");
        assert!(
            owner.detail.ends_with(", or where there is no such schema"),
            "{owner:?}"
        );
        // What is said of any other schema is not there if it is missing.
        let mut other = public();
        other[0].tag = "s".into();
        other[1].tag = "SCHEMA s".into();
        let found = compare(&toc(other.to_vec()), &empty, &CompareOptions::default());
        let kinds: Vec<DifferenceKind> = found.iter().map(|one| one.kind).collect();
        assert_eq!(kinds, [DifferenceKind::Missing; 2]);
    }
}
