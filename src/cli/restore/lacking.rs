//! What is missing after a restore although nobody left it out: the archive lacks it.

use std::collections::BTreeSet;

use crate::model::Unverified;
use crate::toc::{Entry, RestoreOptions, Section, Selection, Toc};
use crate::verify::left_behind::{mapping_tag, takes_part};

/// Of what an archive lacks, what would have been restored if it had it.
pub(super) fn missed<'a>(
    (lacks, toc): (&'a [Unverified], &Toc),
    (selection, options): (&Selection, &RestoreOptions),
) -> Vec<&'a Unverified> {
    let missed = lacks.iter().filter(|one| takes_part(one, options));
    if selection.is_everything() {
        return missed.collect();
    }
    let part = Part::of(toc, selection);
    let is_missed = |one: &&Unverified| match one.class.as_str() {
        // Rows alone bring no definitions.
        _ if selection.data_only => false,
        "acl" | "comment" => !is_about(&one.object, &part.left_out),
        "user mapping" => part.has_mapping(&mapping_tag(&one.object)),
        "subscription" if !selection.sections.is_empty() => {
            part.means_whole_database() && selection.sections.contains(&Section::PostData)
        }
        _ => part.means_whole_database(),
    };
    missed.filter(is_missed).collect()
}

/// A part of an archive.
struct Part<'a> {
    selection: &'a Selection,
    whole: &'a Toc,
    chosen: Toc,
    /// The relations that are not chosen.
    left_out: BTreeSet<String>,
}

impl<'a> Part<'a> {
    fn of(whole: &'a Toc, selection: &'a Selection) -> Self {
        let mut chosen = whole.clone();
        // What cannot be chosen is refused, by whoever looks next.
        if selection.narrow(&mut chosen).is_err() {
            chosen = whole.clone();
        }
        let of_chosen = relations(&chosen);
        let left_out = relations(whole).difference(&of_chosen).cloned().collect();
        Self {
            selection,
            whole,
            chosen,
            left_out,
        }
    }

    /// What is in no schema is meant unless schemas or tables are named. A list has no line for what the archive does not have: that it was
    /// not wanted, no list says, however short it is.
    fn means_whole_database(&self) -> bool {
        self.selection.schemas.is_empty() && self.selection.tables.is_empty()
    }

    /// Whether a user mapping is chosen, which the archive has without its options. One that it does not have at all is in no schema.
    fn has_mapping(&self, tag: &str) -> bool {
        let has = |toc: &Toc| {
            let mut entries = toc.entries.iter();
            entries.any(|entry| entry.is("USER MAPPING") && entry.tag == tag)
        };
        self.means_whole_database() && (!has(self.whole) || has(&self.chosen))
    }
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
        let alone = |id, desc: &str, tag: &str| Entry {
            namespace: None,
            ..Entry {
                desc: desc.into(),
                ..table(id, tag)
            }
        };
        let toc = toc(vec![
            alone(3, "SERVER", "far"),
            alone(4, "USER MAPPING", "USER MAPPING app SERVER far"),
            table(1, "t"),
            table(2, "Odd: one"),
        ]);
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
        let listed = |entries: &[i32]| {
            of(Selection {
                list: Some(entries.iter().map(|id| DumpId(*id)).collect()),
                ..Selection::default()
            })
        };
        // What has no line is missed, however little is listed; what has one, if that is.
        assert_eq!(listed(&[1]), ["comment", "subscription"]);
        assert_eq!(listed(&[1, 2]), ["comment", "acl", "subscription"]);
        assert_eq!(listed(&[1, 3]), ["comment", "subscription"]);
        assert_eq!(
            listed(&[1, 3, 4]),
            ["comment", "subscription", "user mapping"]
        );
        assert_eq!(listed(&[1, 2, 3, 4]), all);
        let without_schema = Selection {
            exclude_schemas: vec!["public".to_owned()],
            ..Selection::default()
        };
        assert_eq!(of(without_schema), ["subscription", "user mapping"]);
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
