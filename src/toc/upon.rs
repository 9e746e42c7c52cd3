//! What in a database is on objects that were restored into it, and what is merely beside them.
//!
//! Whoever restores a part into a database that others use has no say in what these have there. But a grant, a trigger or an index
//! that nobody asked for on a table that was just made is too much on that table: default privileges and event triggers of the
//! target do such things. An object in its own right is beside the others, even if it depends on one of them.

use std::borrow::Cow;
use std::collections::HashSet;

use super::normalise::{Versions, same_tag};
use super::{Entry, Text, Toc};
use crate::model::{DumpId, QualifiedName};

/// Kinds that have others on them: rules, indexes, policies, …
const RELATIONS: [&str; 5] = [
    "TABLE",
    "VIEW",
    "MATERIALIZED VIEW",
    "FOREIGN TABLE",
    "SEQUENCE",
];

/// Kinds that stand for themselves, though they may need a table.
const IN_THEIR_OWN_RIGHT: [&str; 14] = [
    "FUNCTION",
    "PROCEDURE",
    "AGGREGATE",
    "TYPE",
    "DOMAIN",
    "CAST",
    "OPERATOR",
    "OPERATOR CLASS",
    "OPERATOR FAMILY",
    "PUBLICATION",
    "SUBSCRIPTION",
    "EVENT TRIGGER",
    "DEFAULT ACL",
    "TRANSFORM",
];

/// Kinds that a restore makes unless they are there: what is on them may be somebody else's.
const MAYBE_THERE: [&str; 2] = ["EXTENSION", "PROCEDURAL LANGUAGE"];

/// The entries of `there` that are on an object that `made` has.
pub fn on_objects_of(there: &Toc, made: &Toc) -> HashSet<DumpId> {
    let objects: HashSet<_> = made.entries.iter().filter_map(object).collect();
    let tables: HashSet<QualifiedName> = made
        .entries
        .iter()
        .filter(|entry| is_relation(entry))
        .filter_map(Entry::qualified_name)
        .collect();
    let found = there.entries.iter().filter(|entry| {
        let object = object(entry);
        object.is_some_and(|object| objects.contains(&object))
    });
    let found: Vec<&Entry> = found.collect();
    let objects: HashSet<DumpId> = found.iter().map(|entry| entry.dump_id).collect();
    let relations = found.iter().filter(|entry| is_relation(entry));
    let relations: HashSet<DumpId> = relations.map(|entry| entry.dump_id).collect();
    let is_on = |entry: &&Entry| {
        let on_one_of =
            |ids: &HashSet<DumpId>| entry.dependencies.iter().any(|id| ids.contains(id));
        if entry.is_attached() {
            return on_one_of(&objects);
        }
        if stands_alone(entry) {
            return false;
        }
        // A foreign key of another table needs the table that it points to, and is on its own.
        let key = there
            .key_between(entry)
            .filter(|_| entry.is("FK CONSTRAINT"));
        key.map_or_else(
            || on_one_of(&relations),
            |(table, _)| tables.contains(&table),
        )
    };
    let entries = there.entries.iter().filter(is_on);
    entries.map(|entry| entry.dump_id).collect()
}

fn is_relation(entry: &Entry) -> bool {
    RELATIONS.contains(&entry.desc.as_str())
}

fn stands_alone(entry: &Entry) -> bool {
    is_relation(entry) || IN_THEIR_OWN_RIGHT.contains(&entry.desc.as_str())
}

type Object<'a> = (&'a str, Option<&'a Text>, Cow<'a, [u8]>);

/// Kind, schema and name of an object that a restore makes; the schema `public` is always there, and whose it is nobody knows.
fn object(entry: &Entry) -> Option<Object<'_>> {
    let is_public = entry.is("SCHEMA") && entry.tag == "public";
    let may_be_there = MAYBE_THERE.contains(&entry.desc.as_str());
    (!entry.is_attached() && !is_public && !may_be_there).then_some((
        entry.desc.as_str(),
        entry.namespace.as_ref(),
        same_tag(&entry.desc, &entry.tag, Versions::ALL),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{entry, toc};
    use super::*;
    use crate::model::SqlText;

    fn one(id: i32, desc: &str, tag: &str, needs: &[i32]) -> Entry {
        Entry {
            dump_id: DumpId(id),
            tag: tag.into(),
            dependencies: needs.iter().copied().map(DumpId).collect(),
            ..entry(desc)
        }
    }

    fn key(id: i32, (table, other): (&str, &str), needs: &[i32]) -> Entry {
        let sql = format!(
            "ALTER TABLE ONLY public.{table}\n    ADD CONSTRAINT k FOREIGN KEY (a) REFERENCES public.{other}(id);\n"
        );
        Entry {
            defn: Some(SqlText::from(sql)),
            ..one(id, "FK CONSTRAINT", &format!("{table} k"), needs)
        }
    }

    #[test]
    fn what_is_on_a_restored_object_is_told_from_what_is_beside_it() {
        let public = Entry {
            namespace: None,
            ..one(1, "SCHEMA", "public", &[])
        };
        let there = toc(vec![
            public.clone(),
            one(2, "ACL", "SCHEMA public", &[1]),
            one(3, "EXTENSION", "hstore", &[]),
            one(4, "COMMENT", "EXTENSION hstore", &[3]),
            one(5, "TABLE", "ours", &[1]),
            one(6, "TABLE", "theirs", &[1, 5]),
            one(7, "ACL", "TABLE ours", &[5]),
            one(8, "ACL", "COLUMN ours.a", &[5, 7]),
            one(9, "ACL", "TABLE theirs", &[6]),
            one(10, "INDEX", "i", &[5]),
            one(11, "TRIGGER", "ours t", &[5, 13]),
            one(12, "TRIGGER", "theirs t", &[6, 13]),
            one(13, "FUNCTION", "f()", &[5]),
            one(14, "ACL", "FUNCTION f()", &[13]),
            one(15, "VIEW", "v", &[5]),
            key(16, ("theirs", "ours"), &[5, 6]),
            key(17, ("ours", "theirs"), &[5, 6]),
            one(18, "FUNCTION", "g()", &[]),
            one(19, "COMMENT", "FUNCTION g()", &[18]),
        ]);
        let made = toc(vec![
            public,
            one(40, "EXTENSION", "hstore", &[]),
            one(41, "TABLE", "ours", &[]),
            one(42, "FUNCTION", "g()", &[]),
        ]);
        let on_ours = on_objects_of(&there, &made);
        let mut on_ours: Vec<i32> = on_ours.iter().map(|id| id.0).collect();
        on_ours.sort_unstable();
        assert_eq!(on_ours, [7, 8, 10, 11, 17, 19]);
    }
}
