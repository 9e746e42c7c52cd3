//! What is missing after a restore although nobody left it out: the archive lacks it.

use std::collections::BTreeSet;

use crate::model::Unverified;
use crate::toc::{Entry, RestoreOptions, Section, Selection, Toc};
use crate::verify::left_behind::takes_part;

/// Of what an archive lacks, what would have been restored if it had it.
pub(super) fn missed<'a>(
    (lacks, toc): (&'a [Unverified], &Toc),
    (selection, options): (&Selection, &RestoreOptions),
) -> Vec<&'a Unverified> {
    let missed = lacks.iter().filter(|one| takes_part(one, options));
    if selection.is_everything() {
        return missed.collect();
    }
    let left_out = left_out(toc, selection);
    let is_missed = |one: &&Unverified| match one.class.as_str() {
        // Rows alone bring no definitions.
        _ if selection.data_only => false,
        "acl" | "comment" => !is_about(&one.object, &left_out),
        "subscription" if !selection.sections.is_empty() => {
            means_whole_database(selection) && selection.sections.contains(&Section::PostData)
        }
        _ => means_whole_database(selection),
    };
    missed.filter(is_missed).collect()
}

/// What is in no schema is meant unless schemas or tables are named. A list has no line for what the archive does not have: that it was
/// not wanted, no list says.
fn means_whole_database(selection: &Selection) -> bool {
    selection.schemas.is_empty() && selection.tables.is_empty()
}

/// The relations of the archive that are not chosen.
fn left_out(toc: &Toc, selection: &Selection) -> BTreeSet<String> {
    let mut chosen = toc.clone();
    // What cannot be chosen is refused, by whoever looks next.
    if selection.narrow(&mut chosen).is_err() {
        return BTreeSet::new();
    }
    let chosen = relations(&chosen);
    relations(toc).difference(&chosen).cloned().collect()
}

fn relations(toc: &Toc) -> BTreeSet<String> {
    const RELATIONS: [&str; 4] = ["TABLE", "VIEW", "MATERIALIZED VIEW", "FOREIGN TABLE"];
    let entries = toc.entries.iter();
    let entries = entries.filter(|entry| RELATIONS.contains(&entry.desc.as_str()));
    let names = entries.filter_map(Entry::qualified_name);
    names.map(|name| name.shown()).collect()
}

/// Whether something is said of a part of one of these: `public.t: a comment on its row type`.
fn is_about(object: &str, relations: &BTreeSet<String>) -> bool {
    let ends = object.match_indices(": ");
    let mut names = ends.filter_map(|(end, _)| object.get(..end));
    names.any(|name| relations.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DumpId;
    use crate::toc::Text;
    use crate::toc::testing::{entry, toc};

    fn said(selection: &Selection, options: &RestoreOptions) -> Vec<String> {
        let table = |id, name: &str| Entry {
            dump_id: DumpId(id),
            tag: Text::from(name),
            section: Section::PreData,
            ..entry("TABLE")
        };
        let toc = toc(vec![table(1, "t"), table(2, "Odd: one")]);
        let lacks = [
            ("comment", "public.t: a comment on its row type"),
            ("acl", "public.\"Odd: one\": grants on its row type"),
            ("subscription", "news"),
            ("user mapping", "app SERVER far"),
        ];
        let lacks = lacks.map(|(class, object)| Unverified {
            class: class.to_owned(),
            object: object.to_owned(),
            because: String::new(),
        });
        let missed = missed((&lacks, &toc), (selection, options)).into_iter();
        missed.map(|one| one.class.clone()).collect()
    }

    #[test]
    fn what_would_have_been_left_out_is_not_missed() {
        let all = ["comment", "acl", "subscription", "user mapping"];
        let everything = Selection::default();
        assert_eq!(said(&everything, &RestoreOptions::default()), all);
        let options = RestoreOptions {
            no_acl: true,
            no_comments: true,
            no_subscriptions: true,
            ..RestoreOptions::default()
        };
        assert_eq!(said(&everything, &options), ["user mapping"]);
        let of = |selection: Selection| said(&selection, &RestoreOptions::default());
        let named = |name: &str| Selection {
            tables: vec![name.to_owned()],
            ..Selection::default()
        };
        assert_eq!(of(named("t")), ["comment"]);
        assert_eq!(of(named("Odd: one")), ["acl"]);
        assert_eq!(of(named("nowhere")), ["comment", "acl"], "who knows");
        let listed = Selection {
            list: Some(vec![DumpId(1)]),
            ..Selection::default()
        };
        assert_eq!(of(listed), ["comment", "subscription", "user mapping"]);
        let schema_only = Selection {
            schema_only: true,
            ..Selection::default()
        };
        assert_eq!(of(schema_only), all);
        let data_only = Selection {
            data_only: true,
            ..Selection::default()
        };
        assert_eq!(of(data_only), [""; 0]);
        let pre_data = Selection {
            sections: vec![Section::PreData],
            ..Selection::default()
        };
        assert_eq!(of(pre_data), ["comment", "acl", "user mapping"]);
    }
}
