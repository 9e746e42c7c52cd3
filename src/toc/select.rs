//! A part of an archive, chosen as `pg_restore`'s options choose it (`_tocEntryRequired` in `pg_backup_archiver.c`).
//!
//! Names are names here, and not patterns. What belongs to an object (grants, comments, labels) comes with it. `-t` means the table
//! and its rows alone, without indexes, keys and schema, as with `pg_restore`.
//!
//! Three things are chosen otherwise, since `pg_restore` fails there or does harm: large objects are data, with all that is said of
//! them; tables come to a publication only if that comes; and rows come only with what they are of, never into something that
//! happens to be there. What describes large objects and what is in them come together or not at all.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::{Entry, Section, Text, Toc};
use crate::model::DumpId;

/// What is chosen. `Default` is everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// Only what is in these schemas (`-n`).
    pub schemas: Vec<String>,
    /// Nothing that is in these (`-N`).
    pub exclude_schemas: Vec<String>,
    /// Only these tables, views and sequences (`-t`).
    pub tables: Vec<String>,
    /// Only these entries (`-L`).
    pub list: Option<BTreeSet<DumpId>>,
    /// No rows, no positions of sequences, no large objects (`-s`).
    pub schema_only: bool,
    /// Nothing else (`-a`).
    #[serde(default)]
    pub data_only: bool,
    /// Only these sections (`--section`); none is all.
    pub sections: Vec<Section>,
}

/// Something that is not in the archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// A name that matches nothing.
    #[error("{option} {name} matches nothing in the archive")]
    Nothing {
        /// The option.
        option: &'static str,
        /// What was given to it.
        name: String,
    },
    /// A line of a list that is none.
    #[error("line {line} of the list is not understood: {text}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What it says.
        text: String,
    },
    /// Sections that cannot be restored without others.
    #[error("only pre-data, or pre-data and data, can be restored without the rest")]
    Sections,
    /// Data of something that is defined in the archive, without that.
    #[error(
        "{entry} is chosen without its definition: it would go into whatever is there, and --data-only is for that"
    )]
    Alone {
        /// The data.
        entry: String,
    },
    /// What describes large objects without what is in them, or the reverse.
    #[error(
        "{entry} is chosen without {other}: large objects are made by the one and filled by the other, so choose both or neither"
    )]
    Parted {
        /// What is chosen.
        entry: String,
        /// What is not.
        other: String,
    },
    /// Data of something that an extension makes, without any extension.
    #[error("{entry} is chosen, but the extension that makes what it belongs to is not")]
    WithoutExtension {
        /// The data.
        entry: String,
    },
}

/// Kinds that `-t` means.
const TABLES: [&str; 8] = [
    "TABLE",
    "TABLE DATA",
    "VIEW",
    "FOREIGN TABLE",
    "MATERIALIZED VIEW",
    "MATERIALIZED VIEW DATA",
    "SEQUENCE",
    "SEQUENCE SET",
];

/// What says how the archive is to be read.
const ABOUT_THE_ARCHIVE: [&str; 3] = ["ENCODING", "STDSTRINGS", "SEARCHPATH"];

/// What is not definition.
const DATA: [&str; 5] = [
    "TABLE DATA",
    "SEQUENCE SET",
    "BLOBS",
    "BLOB",
    "BLOB METADATA",
];

/// Data that is nothing without what it is of, and by what that is defined.
const OF_ANOTHER: [(&str, &[&str]); 3] = [
    ("TABLE DATA", &["TABLE", "FOREIGN TABLE"]),
    ("SEQUENCE SET", &["SEQUENCE"]),
    ("MATERIALIZED VIEW DATA", &["MATERIALIZED VIEW"]),
];

impl Selection {
    /// Whether nothing is left out.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether some objects of the archive are chosen, and not all of them, if only in part.
    pub fn is_of_some(&self) -> bool {
        !self.names_nothing() || self.list.is_some()
    }

    /// The entries of a list as `pg_restore -l` writes it: a line that begins with `;` is left out, and of the others the number counts.
    pub fn read_list(text: &str) -> Result<BTreeSet<DumpId>, SelectError> {
        let mut entries = BTreeSet::new();
        for (line, text) in (1..).zip(text.lines()) {
            let bare = text.trim();
            if bare.is_empty() || bare.starts_with(';') {
                continue;
            }
            let number = bare.split(|c: char| c == ';' || c.is_whitespace()).next();
            let id = number.and_then(|number| number.parse().ok());
            let id = id.ok_or_else(|| SelectError::Line {
                line,
                text: text.to_owned(),
            })?;
            entries.insert(DumpId(id));
        }
        Ok(entries)
    }

    /// As it would be given, for people.
    pub fn options(&self) -> Vec<String> {
        let named = |option: &'static str, names: &[String]| {
            let names = names.iter();
            names
                .map(move |name| format!("{option}={name}"))
                .collect::<Vec<_>>()
        };
        let mut options = named("--schema", &self.schemas);
        options.extend(named("--exclude-schema", &self.exclude_schemas));
        options.extend(named("--table", &self.tables));
        options.extend(self.list.iter().map(|_| "--use-list".to_owned()));
        options.extend(self.schema_only.then(|| "--schema-only".to_owned()));
        options.extend(self.data_only.then(|| "--data-only".to_owned()));
        options.extend(self.sections.iter().map(|section| {
            let name = match section {
                Section::PreData => "pre-data",
                Section::Data => "data",
                Section::PostData => "post-data",
                Section::None => "none",
            };
            format!("--section={name}")
        }));
        options
    }

    /// Takes out of an archive what is not chosen. Of data alone, definitions stay: they say what the rows belong to, and nobody
    /// makes them. Says what is left out that may be missed, in sentences.
    pub fn narrow(&self, toc: &mut Toc) -> Result<Vec<String>, SelectError> {
        if self.is_everything() {
            return Ok(Vec::new());
        }
        self.check(toc)?;
        let defined = Defined::by(toc);
        let sections = sections(toc);
        let admits = |entry: &Entry| {
            let section = sections.get(&entry.dump_id);
            self.admits(entry, section.copied().unwrap_or(Section::None))
        };
        let entries = toc.entries.iter();
        let own: HashSet<DumpId> = entries
            .filter(|entry| !entry.is_attached() && admits(entry) && self.names(entry))
            .map(|entry| entry.dump_id)
            .collect();
        refuse_parted(toc, &own)?;
        let has_its_own = |entry: &Entry| entry.dependencies.iter().any(|id| own.contains(id));
        let entries = toc.entries.iter();
        let publications: HashSet<DumpId> = entries
            .filter(|entry| entry.is("PUBLICATION") && own.contains(&entry.dump_id))
            .map(|entry| entry.dump_id)
            .collect();
        let mut unpublished = false;
        toc.entries.retain(|entry| {
            if ABOUT_THE_ARCHIVE.contains(&entry.desc.as_str())
                || (self.data_only && !is_of_data(entry))
            {
                return true;
            }
            if self.names_nothing() {
                return admits(entry);
            }
            if entry.is_attached() {
                // A grant on a column depends on its table's grants as well, which are none of `own`.
                return admits(entry) && has_its_own(entry);
            }
            let mut publishing = entry.dependencies.iter();
            let is_lost =
                is_of_publication(entry) && !publishing.any(|id| publications.contains(id));
            let is_own = own.contains(&entry.dump_id);
            unpublished |= is_own && is_lost;
            is_own && !is_lost
        });
        let mut notes = self.leave_to_extensions(toc, &defined)?;
        if unpublished {
            let text = "publications are in no schema, and not restored: what was published is not added to any";
            notes.push(text.to_owned());
        }
        Ok(notes)
    }

    /// Rows and positions that are left without what they are of. If the archive does not define that, an extension makes it:
    /// that they are in a schema does not say that anybody wants them.
    fn leave_to_extensions(
        &self,
        toc: &mut Toc,
        defined: &Defined,
    ) -> Result<Vec<String>, SelectError> {
        let left = Defined::by(toc);
        // Without any, the archive has no definitions at all, which is for others to refuse.
        let by_extension = defined.extensions && !left.extensions;
        let mut dropped = HashSet::new();
        let mut notes = Vec::new();
        for entry in toc.entries.iter().filter(|entry| !left.has(entry)) {
            if defined.has(entry) {
                return Err(SelectError::Alone {
                    entry: entry.to_string(),
                });
            }
            if !by_extension {
                continue;
            }
            if self.list.is_some() || !self.tables.is_empty() {
                return Err(SelectError::WithoutExtension {
                    entry: entry.to_string(),
                });
            }
            dropped.insert(entry.dump_id);
            notes.push(format!(
                "{entry} is not restored: it is of something that an extension makes, and extensions are in no schema"
            ));
        }
        toc.entries
            .retain(|entry| !dropped.contains(&entry.dump_id));
        Ok(notes)
    }

    fn names_nothing(&self) -> bool {
        self.schemas.is_empty() && self.exclude_schemas.is_empty() && self.tables.is_empty()
    }

    fn check(&self, toc: &Toc) -> Result<(), SelectError> {
        let sections: BTreeSet<Section> = self.sections.iter().copied().collect();
        let whole = [Section::PreData, Section::Data, Section::PostData];
        let first = (1..=3).any(|count| sections.iter().eq(whole.iter().take(count)));
        if !sections.is_empty() && !first {
            return Err(SelectError::Sections);
        }
        let has = |wanted: &dyn Fn(&Entry) -> bool| toc.entries.iter().any(wanted);
        let nothing = |option, name: &str| SelectError::Nothing {
            option,
            name: name.to_owned(),
        };
        for (option, names) in [
            ("--schema", &self.schemas),
            ("--exclude-schema", &self.exclude_schemas),
        ] {
            for name in names {
                if !has(&|entry| is_in(entry, name)) {
                    return Err(nothing(option, name));
                }
            }
        }
        for name in &self.tables {
            if !has(&|entry| TABLES.contains(&entry.desc.as_str()) && entry.tag == name.as_str()) {
                return Err(nothing("--table", name));
            }
        }
        let there: BTreeSet<DumpId> = toc.entries.iter().map(|entry| entry.dump_id).collect();
        let mut listed = self.list.iter().flatten();
        if let Some(id) = listed.find(|id| !there.contains(id)) {
            return Err(nothing("--use-list", &id.to_string()));
        }
        Ok(())
    }

    /// Whether it may be chosen at all, whatever it is called.
    fn admits(&self, entry: &Entry, section: Section) -> bool {
        let listed = |list: &BTreeSet<DumpId>| list.contains(&entry.dump_id);
        (self.sections.is_empty() || self.sections.contains(&section))
            && !(self.schema_only && is_of_data(entry))
            && self.list.as_ref().is_none_or(listed)
    }

    /// Whether its name is one of those that are chosen.
    fn names(&self, entry: &Entry) -> bool {
        let is_named = |names: &[String]| names.iter().any(|name| is_in(entry, name));
        let of_kind = self.tables.is_empty()
            || TABLES.contains(&entry.desc.as_str())
                && self.tables.iter().any(|name| entry.tag == name.as_str());
        (self.schemas.is_empty() || is_named(&self.schemas))
            && !is_named(&self.exclude_schemas)
            && of_kind
    }
}

/// What is defined.
struct Defined {
    /// Kind, schema and name.
    objects: HashSet<(String, Option<Text>, Text)>,
    /// Any extension at all.
    extensions: bool,
}

impl Defined {
    fn by(toc: &Toc) -> Self {
        let is_meant = |entry: &&Entry| {
            let mut kinds = OF_ANOTHER.iter().flat_map(|(_, kinds)| kinds.iter());
            kinds.any(|kind| entry.is(kind))
        };
        let objects = toc.entries.iter().filter(is_meant);
        Self {
            objects: objects.map(|entry| named(&entry.desc, entry)).collect(),
            extensions: toc.entries.iter().any(|entry| entry.is("EXTENSION")),
        }
    }

    /// Whether the entry is nothing that needs another, or that is here.
    fn has(&self, entry: &Entry) -> bool {
        let mut data = OF_ANOTHER.iter();
        let Some((_, kinds)) = data.find(|(data, _)| entry.is(data)) else {
            return true;
        };
        let mut kinds = kinds.iter();
        kinds.any(|kind| self.objects.contains(&named(kind, entry)))
    }
}

/// Large objects have two entries, what describes them and their content. Of one alone, `pg_restore` makes empty objects, or fills
/// some that happen to be there.
fn refuse_parted(toc: &Toc, chosen: &HashSet<DumpId>) -> Result<(), SelectError> {
    let of_kind = |desc: &'static str| toc.entries.iter().filter(move |entry| entry.is(desc));
    let many: HashMap<DumpId, &Entry> = of_kind("BLOB METADATA")
        .map(|entry| (entry.dump_id, entry))
        .collect();
    for content in of_kind("BLOBS") {
        // Since 17 it names what describes its objects; before, each object has an entry, and all have one content.
        let named = content.dependencies.iter();
        let named = named.filter_map(|id| many.get(id).copied());
        for description in named.chain(of_kind("BLOB")) {
            let (entry, other) =
                match [description, content].map(|one| chosen.contains(&one.dump_id)) {
                    [true, false] => (description, content),
                    [false, true] => (content, description),
                    _ => continue,
                };
            return Err(SelectError::Parted {
                entry: entry.to_string(),
                other: other.to_string(),
            });
        }
    }
    Ok(())
}

fn named(kind: &str, entry: &Entry) -> (String, Option<Text>, Text) {
    (kind.to_owned(), entry.namespace.clone(), entry.tag.clone())
}

/// The section in which `pg_restore` takes each entry: what has none of its own stands behind what it belongs to. Large objects are
/// data, wherever they are described: that is when they are made.
fn sections(toc: &Toc) -> HashMap<DumpId, Section> {
    let mut current = Section::PreData;
    let entries = toc.entries.iter();
    entries
        .map(|entry| {
            if entry.section != Section::None {
                current = entry.section;
            }
            let is_object = entry.is_of_large_object()
                || matches!(entry.desc.as_str(), "BLOB" | "BLOB METADATA");
            let section = if is_object { Section::Data } else { current };
            (entry.dump_id, section)
        })
        .collect()
}

fn is_in(entry: &Entry, schema: &str) -> bool {
    let of_schema = |namespace: &Text| *namespace == schema;
    entry.namespace.as_ref().is_some_and(of_schema)
}

/// Rows, positions of sequences, large objects, and what is said of these.
fn is_of_data(entry: &Entry) -> bool {
    DATA.contains(&entry.desc.as_str()) || entry.is_of_large_object()
}

/// What is added to a publication.
fn is_of_publication(entry: &Entry) -> bool {
    entry.desc.starts_with("PUBLICATION TABLE")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{entry, toc};
    use super::*;

    fn archive() -> Toc {
        let one = |id: i32, desc: &str, schema: &str, tag: &str, section: Section| Entry {
            dump_id: DumpId(id),
            namespace: (!schema.is_empty()).then(|| schema.into()),
            tag: tag.into(),
            section,
            ..entry(desc)
        };
        let comment = |id, schema: &str, of| Entry {
            dependencies: Box::new([DumpId(of)]),
            ..one(id, "COMMENT", schema, "TABLE t", Section::None)
        };
        toc(vec![
            one(1, "ENCODING", "", "ENCODING", Section::PreData),
            one(2, "SCHEMA", "", "s", Section::PreData),
            one(3, "TABLE", "s", "t", Section::PreData),
            comment(4, "s", 3),
            one(5, "TABLE", "public", "t", Section::PreData),
            one(6, "TABLE", "public", "u", Section::PreData),
            one(7, "TABLE DATA", "s", "t", Section::Data),
            one(8, "TABLE DATA", "public", "t", Section::Data),
            one(9, "INDEX", "public", "i", Section::PostData),
        ])
    }

    fn left(selection: &Selection) -> Result<Vec<i32>, SelectError> {
        let mut toc = archive();
        selection.narrow(&mut toc)?;
        Ok(toc.entries.iter().map(|entry| entry.dump_id.0).collect())
    }

    #[test]
    fn a_part_is_what_pg_restore_takes_for_it() {
        let everything = Selection::default();
        assert_eq!(left(&everything).map(|left| left.len()), Ok(9));
        let schema = Selection {
            schemas: names(&["s"]),
            ..Selection::default()
        };
        assert_eq!(left(&schema), Ok(vec![1, 3, 4, 7]));
        let others = Selection {
            exclude_schemas: names(&["s"]),
            ..Selection::default()
        };
        assert_eq!(left(&others), Ok(vec![1, 2, 5, 6, 8, 9]));
        let table = Selection {
            schemas: names(&["public"]),
            tables: names(&["t"]),
            ..Selection::default()
        };
        assert_eq!(left(&table), Ok(vec![1, 5, 8]));
        let listed = Selection {
            list: Selection::read_list(";\n; x\n6; 0 0 TABLE public u o\n 4; 0 0 COMMENT\n").ok(),
            ..Selection::default()
        };
        assert_eq!(left(&listed), Ok(vec![1, 4, 6]));
        let schema_only = Selection {
            schema_only: true,
            ..Selection::default()
        };
        assert_eq!(left(&schema_only), Ok(vec![1, 2, 3, 4, 5, 6, 9]));
        let pre_data = Selection {
            sections: vec![Section::PreData],
            ..Selection::default()
        };
        assert_eq!(left(&pre_data), Ok(vec![1, 2, 3, 4, 5, 6]));
        let data_only = Selection {
            schemas: names(&["public"]),
            data_only: true,
            ..Selection::default()
        };
        assert_eq!(left(&data_only), Ok(vec![1, 2, 3, 4, 5, 6, 8, 9]));
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn one(id: i32, desc: &str, schema: &str, (tag, section): (&str, Section)) -> Entry {
        Entry {
            dump_id: DumpId(id),
            namespace: (!schema.is_empty()).then(|| schema.into()),
            tag: tag.into(),
            section,
            ..entry(desc)
        }
    }

    fn on(of: &[i32], entry: Entry) -> Entry {
        Entry {
            dependencies: of.iter().copied().map(DumpId).collect(),
            ..entry
        }
    }

    fn left_of(entries: Vec<Entry>, selection: &Selection) -> Result<Vec<i32>, SelectError> {
        let mut toc = toc(entries);
        selection.narrow(&mut toc)?;
        Ok(toc.entries.iter().map(|entry| entry.dump_id.0).collect())
    }

    /// As `dumpACL` has it: the grants on a column come after those on the table.
    #[test]
    fn grants_on_columns_come_with_their_table() {
        let none = Section::None;
        let entries = vec![
            one(1, "TABLE", "s", ("t", Section::PreData)),
            on(&[1], one(2, "ACL", "s", ("TABLE t", none))),
            on(&[1, 2], one(3, "ACL", "s", ("COLUMN t.c", none))),
            one(4, "TABLE", "other", ("t", Section::PreData)),
            on(&[4], one(5, "ACL", "other", ("TABLE t", none))),
            on(&[4, 5], one(6, "ACL", "other", ("COLUMN t.c", none))),
        ];
        let schema = Selection {
            schemas: names(&["s"]),
            ..Selection::default()
        };
        assert_eq!(left_of(entries.clone(), &schema), Ok(vec![1, 2, 3]));
        let others = Selection {
            exclude_schemas: names(&["s"]),
            ..Selection::default()
        };
        assert_eq!(left_of(entries, &others), Ok(vec![4, 5, 6]));
    }

    #[test]
    fn a_section_has_what_is_said_of_its_objects_and_of_no_others() {
        let none = Section::None;
        let entries = vec![
            one(1, "ACL", "", ("SCHEMA public", none)),
            one(2, "TABLE", "s", ("t", Section::PreData)),
            on(&[2], one(3, "COMMENT", "s", ("TABLE t", none))),
            one(4, "BLOB", "", ("16411", Section::PreData)),
            on(&[4], one(5, "ACL", "", ("LARGE OBJECT 16411", none))),
            one(6, "TABLE DATA", "s", ("t", Section::Data)),
            one(7, "BLOBS", "", ("BLOBS", Section::Data)),
            one(8, "INDEX", "s", ("i", Section::PostData)),
            on(&[8], one(9, "COMMENT", "s", ("INDEX i", none))),
        ];
        let of = |sections: &[Section]| {
            let selection = Selection {
                sections: sections.to_vec(),
                ..Selection::default()
            };
            left_of(entries.clone(), &selection)
        };
        assert_eq!(of(&[Section::PreData]), Ok(vec![1, 2, 3]));
        let without_indexes = of(&[Section::PreData, Section::Data]);
        assert_eq!(without_indexes, Ok(vec![1, 2, 3, 4, 5, 6, 7]));
        // A list is taken as it is.
        let listed = Selection {
            list: Some([DumpId(9)].into()),
            ..Selection::default()
        };
        assert_eq!(left_of(entries, &listed), Ok(vec![9]));
    }

    #[test]
    fn data_comes_only_with_what_it_is_of() {
        let entries = vec![
            one(1, "EXTENSION", "", ("postgis", Section::PreData)),
            one(2, "TABLE", "s", ("t", Section::PreData)),
            one(3, "SEQUENCE", "s", ("q", Section::PreData)),
            one(4, "TABLE DATA", "s", ("t", Section::Data)),
            one(5, "TABLE DATA", "s", ("spatial_ref_sys", Section::Data)),
            one(6, "SEQUENCE SET", "s", ("q", Section::Data)),
            one(7, "SEQUENCE SET", "s", ("of_postgis", Section::Data)),
        ];
        let listed = |list: &[i32], data_only: bool| {
            let selection = Selection {
                list: Some(list.iter().copied().map(DumpId).collect()),
                data_only,
                ..Selection::default()
            };
            left_of(entries.clone(), &selection)
        };
        for alone in [[1, 4], [1, 6]] {
            let refused = listed(&alone, false);
            assert!(
                matches!(refused, Err(SelectError::Alone { .. })),
                "{refused:?}"
            );
        }
        let without = listed(&[2, 4, 5], false);
        let because = without.expect_err("no extension").to_string();
        assert!(
            because.contains("TABLE DATA s.spatial_ref_sys"),
            "{because}"
        );
        assert_eq!(listed(&[1, 5, 7], false), Ok(vec![1, 5, 7]));
        assert_eq!(listed(&[4, 5], true), Ok(vec![1, 2, 3, 4, 5]));
        let schema = Selection {
            schemas: names(&["s"]),
            ..Selection::default()
        };
        let mut part = toc(entries.clone());
        let notes = schema.narrow(&mut part).expect("it is a part");
        let left: Vec<i32> = part.entries.iter().map(|entry| entry.dump_id.0).collect();
        assert_eq!(left, [2, 3, 4, 6]);
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].contains("spatial_ref_sys"), "{notes:?}");
        // Rows alone, of which nobody says what they are of, are for others to refuse.
        let data = vec![one(4, "TABLE DATA", "s", ("t", Section::Data))];
        assert_eq!(left_of(data, &schema), Ok(vec![4]));
    }

    #[test]
    fn large_objects_are_chosen_with_their_content_or_not_at_all() {
        let (pre, data) = (Section::PreData, Section::Data);
        let since_17 = vec![
            one(1, "BLOB METADATA", "", ("7..8", data)),
            on(&[1], one(2, "BLOBS", "", ("7..8", data))),
            one(3, "BLOB METADATA", "", ("9", data)),
            on(&[3], one(4, "BLOBS", "", ("9", data))),
            on(
                &[3],
                one(5, "COMMENT", "", ("LARGE OBJECT 9", Section::None)),
            ),
        ];
        let before = vec![
            one(1, "BLOB", "", ("7", pre)),
            one(2, "BLOB", "", ("8", pre)),
            one(3, "BLOBS", "", ("BLOBS", data)),
        ];
        let listed = |entries: &[Entry], list: &[i32]| {
            let selection = Selection {
                list: Some(list.iter().copied().map(DumpId).collect()),
                ..Selection::default()
            };
            left_of(entries.to_vec(), &selection)
        };
        for (entries, whole) in [(&since_17, &[3, 4, 5][..]), (&before, &[1, 2, 3][..])] {
            assert_eq!(listed(entries, whole), Ok(whole.to_vec()));
        }
        for (entries, part, words) in [
            (
                &since_17,
                &[1, 3, 4][..],
                "BLOB METADATA 7..8 is chosen without dump id 2",
            ),
            (
                &since_17,
                &[2][..],
                "BLOBS 7..8 is chosen without dump id 1",
            ),
            // Those of the one have nothing to do with those of the other.
            (&since_17, &[2, 3][..], "is chosen without dump id 1"),
            (
                &before,
                &[1, 3][..],
                "BLOBS BLOBS is chosen without dump id 2, BLOB 8",
            ),
            (&before, &[1, 2][..], "BLOB 7 is chosen without dump id 3"),
        ] {
            let refused = listed(entries, part).expect_err("refused").to_string();
            assert!(refused.contains(words), "{part:?}: {refused}");
        }
    }

    #[test]
    fn tables_come_to_a_publication_only_with_it() {
        let post = Section::PostData;
        let entries = vec![
            one(1, "TABLE", "s", ("t", Section::PreData)),
            one(2, "PUBLICATION", "", ("p", post)),
            on(&[1, 2], one(3, "PUBLICATION TABLE", "s", ("p t", post))),
            on(
                &[2],
                one(4, "PUBLICATION TABLES IN SCHEMA", "s", ("p s", post)),
            ),
        ];
        let schema = Selection {
            schemas: names(&["s"]),
            ..Selection::default()
        };
        let mut part = toc(entries.clone());
        let notes = schema.narrow(&mut part).expect("it is a part");
        assert_eq!(part.entries.len(), 1);
        assert!(notes[0].contains("publications"), "{notes:?}");
        let mut other = entries.clone();
        other.push(one(5, "TABLE", "other", ("t", Section::PreData)));
        let others = Selection {
            exclude_schemas: names(&["other"]),
            ..Selection::default()
        };
        assert_eq!(left_of(other, &others), Ok(vec![1, 2, 3, 4]));
        let listed = Selection {
            list: Some([DumpId(3)].into()),
            ..Selection::default()
        };
        assert_eq!(left_of(entries, &listed), Ok(vec![3]));
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        let mut selection = Selection {
            tables: vec!["nothing".to_owned()],
            ..Selection::default()
        };
        let error = left(&selection).expect_err("no such table").to_string();
        assert_eq!(error, "--table nothing matches nothing in the archive");
        selection = Selection {
            list: Some([DumpId(77)].into()),
            ..Selection::default()
        };
        assert!(left(&selection).is_err());
        selection = Selection {
            sections: vec![Section::PostData],
            ..Selection::default()
        };
        assert_eq!(left(&selection), Err(SelectError::Sections));
        assert!(Selection::read_list("TABLE t").is_err());
        let numbers = Selection::read_list("6\n4 ; 0 0 TABLE\n").expect("as pg_restore takes them");
        assert_eq!(numbers, [DumpId(4), DumpId(6)].into());
    }
}
