//! Which objects take part: those that the source's table of contents names.
//!
//! A run may have been asked for some schemas or tables only, and members of extensions are never dumped. What was asked for
//! is what `pg_dump` listed, so the list is taken from there, and not from how the run was planned.

use std::collections::BTreeSet;

use crate::model::QualifiedName;
use crate::toc::{Entry, Toc};

/// What a name is a name of. Relations share one space of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Space {
    Relation,
    Domain,
    Statistics,
    EventTrigger,
    Extension,
}

/// The objects that take part in a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    names: BTreeSet<(Space, String, String)>,
    knows_all_names: bool,
    /// Whether large objects take part: `pg_dump` leaves them out when tables or schemas are selected.
    pub large_objects: bool,
    /// Sequences whose values were left out on request.
    pub without_value: BTreeSet<QualifiedName>,
}

impl Scope {
    /// What the source's schema archive holds, and all large objects.
    pub fn of(source: &Toc) -> Self {
        let is_utf8 = matches!(source.encoding().as_deref(), Some("UTF8"));
        let names = source.entries.iter().filter_map(|entry| {
            let schema = match &entry.namespace {
                Some(schema) => schema.to_str()?,
                None => "",
            };
            Some((
                space(entry)?,
                schema.to_owned(),
                entry.tag.to_str()?.to_owned(),
            ))
        });
        Self {
            names: names.collect(),
            knows_all_names: is_utf8,
            large_objects: true,
            without_value: BTreeSet::new(),
        }
    }

    /// Just these relations.
    #[cfg(test)]
    pub(crate) fn of_relations(relations: impl IntoIterator<Item = QualifiedName>) -> Self {
        let relations = relations.into_iter();
        Self {
            names: relations
                .map(|name| (Space::Relation, name.schema.into(), name.name.into()))
                .collect(),
            knows_all_names: true,
            large_objects: false,
            without_value: BTreeSet::new(),
        }
    }

    /// Just these extensions.
    #[cfg(test)]
    pub(super) fn of_extensions<'a>(extensions: impl IntoIterator<Item = &'a str>) -> Self {
        let named = |name: &str| (Space::Extension, String::new(), name.to_owned());
        Self {
            names: extensions.into_iter().map(named).collect(),
            ..Self::of_relations([])
        }
    }

    /// Whether a table, view, materialized view, foreign table or sequence takes part.
    pub fn has_relation(&self, name: &QualifiedName) -> bool {
        self.has(Space::Relation, &name.schema, &name.name)
    }

    /// Whether an extension takes part.
    pub(super) fn has_extension(&self, name: &str) -> bool {
        self.has(Space::Extension, "", name)
    }

    /// Whether the object of a row of `states.sql` takes part.
    pub(super) fn has_object(&self, class: &str, schema: &str, name: &str) -> bool {
        let space = match class {
            // Only who means the whole database means this one.
            "schema" => return self.large_objects,
            "domain" => Space::Domain,
            "statistics" => Space::Statistics,
            "event trigger" => Space::EventTrigger,
            _ => Space::Relation,
        };
        self.has(space, schema, name)
    }

    /// In an archive of another encoding than our session's, a name that is not ASCII is not the name that we know. It is
    /// better to compare what should not have been than to pass over what should.
    fn has(&self, space: Space, schema: &str, name: &str) -> bool {
        let is_known = self.knows_all_names || (schema.is_ascii() && name.is_ascii());
        !is_known
            || self
                .names
                .contains(&(space, schema.to_owned(), name.to_owned()))
    }
}

fn space(entry: &Entry) -> Option<Space> {
    match entry.desc.as_str() {
        "TABLE" | "VIEW" | "MATERIALIZED VIEW" | "FOREIGN TABLE" | "SEQUENCE" => {
            Some(Space::Relation)
        }
        "DOMAIN" => Some(Space::Domain),
        "STATISTICS" => Some(Space::Statistics),
        "EVENT TRIGGER" => Some(Space::EventTrigger),
        "EXTENSION" => Some(Space::Extension),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_recognised_takes_part() {
        let known = Scope::of_relations([QualifiedName::new("s", "t")]);
        let other_encoding = Scope {
            knows_all_names: false,
            ..known.clone()
        };
        for (name, here, there) in [("t", true, true), ("u", false, false), ("ü", false, true)] {
            let name = QualifiedName::new("s", name);
            assert_eq!(known.has_relation(&name), here, "{name}");
            assert_eq!(other_encoding.has_relation(&name), there, "{name}");
        }
        assert!(known.has_object("trigger", "s", "t") && !known.has_object("domain", "s", "t"));
    }
}
