//! Two tables of contents, entry by entry → what differs, by name.
//!
//! Source and target are dumped with one and the same `pg_dump`, so what they say of the same object is the same text, but for
//! what the servers themselves put differently (see `normalise`). An entry is recognised by kind, schema and tag;
//! dump ids, OIDs, order and dependencies are the dump's own and mean nothing here.
//!
//! Compared are definition, owner, tablespace and access method, and grants, comments and labels, which are entries of their own.
//! Not compared is what others compare with better means: rows, sequence values, large objects, planner statistics, and the
//! database's own properties.

use std::borrow::Cow;

use crate::model::{Difference, DifferenceKind, DumpId, Unverified, quote_ident};

use super::doubt::Doubt;
use super::normalise::{
    Versions, is_same_if_locales_are, is_same_of_some_arrays, same_access_method, same_bounds,
    same_definition, same_definition_of_single_values, same_tag, with_all_quotes, with_old_quotes,
};
use super::on_both_sides::is_there_as_well;
use super::public::beside_the_usual_public;
use super::{Entry, RestoreOptions, Text, Toc, lines, owner_statement};

/// What was left out on purpose, and what is being compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompareOptions {
    /// What the restore left out is not missed. Without owners, no owner is compared.
    pub restore: RestoreOptions,
    /// Major version of the source's server; 0 if unknown, which allows for no differences between versions.
    pub source_major: u32,
    /// Major version of the target's server.
    pub target_major: u32,
    /// Schemas that do not take part, with everything in them, on both sides.
    pub exclude_schemas: Vec<String>,
    /// Whether an expression of one of the two servers has an array of arrays in it; `None` if not both were asked. If none has,
    /// whatever is in an array is a single value unless it says that it is an array; if one has, or nobody knows, that is open.
    pub nested_arrays: Option<bool>,
}

impl Default for CompareOptions {
    /// Everything counts, but for the schemas that the ledger lives in during a run, and the state of a follow.
    fn default() -> Self {
        Self {
            restore: RestoreOptions::default(),
            source_major: 0,
            target_major: 0,
            exclude_schemas: vec!["pgconvoy".to_owned(), "pgconvoy_follow".to_owned()],
            nested_arrays: None,
        }
    }
}

/// By what an entry is recognised: schema, tag, kind, and for default privileges the role that they are for.
type Identity<'a> = (&'a [u8], Cow<'a, [u8]>, &'a str, &'a [u8]);

/// An entry of one of the sides.
struct Recognised<'a> {
    identity: Identity<'a>,
    is_target: bool,
    entry: &'a Entry,
}

impl Recognised<'_> {
    /// By identity, then by side, then as the dump has numbered them.
    fn place(&self) -> (&Identity<'_>, bool, DumpId) {
        (&self.identity, self.is_target, self.entry.dump_id)
    }
}

/// A difference, and the entries that it is between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryDifference<'a> {
    /// What differs.
    pub difference: Difference,
    /// The source's entry, if it has one.
    pub source: Option<&'a Entry>,
    /// The target's.
    pub target: Option<&'a Entry>,
    /// Whether it is the definitions that differ, and not only the owner or the place.
    pub of_definition: bool,
    /// Why it may be none, if it may.
    pub doubt: Option<Doubt>,
}

/// Every difference, ordered by schema and name, and what may be one. Empty if the schemas are the same.
pub fn compare(source: &Toc, target: &Toc, options: &CompareOptions) -> Vec<Difference> {
    let found = compare_entries(source, target, options).into_iter();
    encodings(source, target)
        .into_iter()
        .chain(found.map(|one| one.difference))
        .collect()
}

/// Every difference, and beside them what cannot be told to be one.
pub fn compare_or_doubt(
    source: &Toc,
    target: &Toc,
    options: &CompareOptions,
) -> (Vec<Difference>, Vec<Unverified>) {
    let mut differences: Vec<Difference> = encodings(source, target).into_iter().collect();
    let mut unverified = Vec::new();
    for one in compare_entries(source, target, options) {
        match one.doubt {
            Some(doubt) => unverified.push(doubt.about(one.difference)),
            None => differences.push(one.difference),
        }
    }
    (differences, unverified)
}

/// A text in which a server names an object (by `quote_ident`, or `pg_identify_object`), in the words of the older one of two servers of
/// these major versions: a name that only the newer one quotes has no quotes.
pub fn named_alike(text: &str, majors: (u32, u32)) -> Cow<'_, str> {
    let versions = Versions::of(majors.0, majors.1);
    as_text(with_old_quotes(text.as_bytes(), versions))
}

/// The same for a text that may become part of a statement: a name that any server quotes, and not all, has quotes.
pub fn quoted_alike(text: &str) -> Cow<'_, str> {
    as_text(with_all_quotes(text.as_bytes()))
}

fn as_text(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// The same, each with its entries; what is not about an entry is left out.
pub fn compare_entries<'a>(
    source: &'a Toc,
    target: &'a Toc,
    options: &CompareOptions,
) -> Vec<EntryDifference<'a>> {
    let mut differences = Vec::new();
    let versions = Versions::of(options.source_major, options.target_major);
    let mut recognised = Vec::with_capacity(source.entries.len() + target.entries.len());
    for (toc, is_target) in [(source, false), (target, true)] {
        let compared = toc.entries.iter().filter(|entry| options.takes(entry));
        recognised.extend(compared.map(|entry| Recognised {
            identity: identity(entry, versions),
            is_target,
            entry,
        }));
    }
    // One list of both, put in order: a map of lists would be twice as large as what it holds.
    recognised.sort_unstable_by(|one, other| one.place().cmp(&other.place()));
    let pair = Pair {
        options,
        source,
        std_strings: source.std_strings(),
        versions,
    };
    for same in recognised.chunk_by(|one, other| one.identity == other.identity) {
        let (left, right) = same.split_at(same.partition_point(|one| !one.is_target));
        let entries = |side: &[Recognised<'a>]| side.iter().map(|one| one.entry).collect();
        differences.extend(pair.group(entries(left), entries(right)));
    }
    for one in &mut differences {
        let (entry, other, side) = match (one.source, one.target) {
            (Some(entry), None) => (entry, target, "source"),
            (None, Some(entry)) => (entry, source, "target"),
            _ => continue,
        };
        if let Some(detail) = beside_the_usual_public(entry, other, side) {
            one.difference.kind = DifferenceKind::Different;
            one.difference.detail = detail;
        } else if is_there_as_well(entry, other) {
            one.difference.kind = DifferenceKind::Different;
            one.difference.detail = format!("only on the {side}:\n{}", one.difference.detail);
        }
    }
    differences
}

impl CompareOptions {
    /// Whether an entry is compared at all.
    pub fn takes(&self, entry: &Entry) -> bool {
        let left_out = self.restore.leaves_out(entry).is_some()
            || (self.restore.no_owner && only_names_an_owner(entry));
        let others_compare_it = entry.is_of_content() || is_of_the_database(entry);
        !left_out && !others_compare_it && !self.is_excluded(entry)
    }

    fn is_excluded(&self, entry: &Entry) -> bool {
        self.exclude_schemas.iter().any(|schema| {
            let named = |name: &Text| *name == schema.as_str();
            let on_schema = format!("SCHEMA {schema}");
            let on_quoted_schema = format!("SCHEMA {}", quote_ident(schema));
            entry.namespace.as_ref().is_some_and(named)
                || (entry.is("SCHEMA") && named(&entry.tag))
                || (entry.is_attached()
                    && (entry.tag == on_schema.as_str() || entry.tag == on_quoted_schema.as_str()))
        })
    }
}

fn is_of_the_database(entry: &Entry) -> bool {
    matches!(entry.desc.as_str(), "DATABASE" | "DATABASE PROPERTIES")
        || (entry.is_attached() && entry.tag.starts_with(b"DATABASE "))
}

/// The entry of schema `public`, whose definition is a comment because the schema is always there.
fn only_names_an_owner(entry: &Entry) -> bool {
    entry.is("SCHEMA") && entry.defn_bytes().starts_with(b"--")
}

fn identity(entry: &Entry, versions: Versions) -> Identity<'_> {
    let namespace = entry.namespace.as_ref().map_or(&b""[..], |text| &**text);
    let role = match &entry.owner {
        Some(owner) if entry.is("DEFAULT ACL") => &**owner,
        _ => b"",
    };
    let tag = same_tag(&entry.desc, &entry.tag, versions);
    (namespace, tag, entry.desc.as_str(), role)
}

/// Text in different encodings cannot be compared byte by byte, so this comes first.
fn encodings(source: &Toc, target: &Toc) -> Option<Difference> {
    let name = |toc: &Toc| toc.encoding().unwrap_or_else(|| "unknown".to_owned());
    let (left, right) = (name(source), name(target));
    (left != right).then(|| Difference {
        kind: DifferenceKind::Different,
        class: "encoding".to_owned(),
        object: "dump".to_owned(),
        detail: format!("source: {left}\ntarget: {right}"),
    })
}

struct Pair<'a> {
    options: &'a CompareOptions,
    source: &'a Toc,
    std_strings: bool,
    versions: Versions,
}

impl Pair<'_> {
    /// Entries of one identity; more than one on a side is rare. What is the same belongs together, whatever the order.
    fn group<'e>(
        &self,
        left: Vec<&'e Entry>,
        mut right: Vec<&'e Entry>,
    ) -> Vec<EntryDifference<'e>> {
        let mut unmatched = Vec::new();
        for entry in left {
            let same = right
                .iter()
                .position(|other| self.details(entry, other).is_empty());
            match same {
                Some(at) => drop(right.remove(at)),
                None => unmatched.push(entry),
            }
        }
        let mut left = unmatched.into_iter();
        let mut right = right.into_iter();
        let mut differences = Vec::new();
        loop {
            let (source, target) = (left.next(), right.next());
            let (kind, entry, detail) = match (source, target) {
                (Some(entry), Some(other)) => {
                    let detail = self.details(entry, other).join("\n");
                    (DifferenceKind::Different, entry, detail)
                }
                (Some(entry), None) => (DifferenceKind::Missing, entry, whole(entry)),
                (None, Some(other)) => (DifferenceKind::Extra, other, whole(other)),
                (None, None) => return differences,
            };
            if kind == DifferenceKind::Different || !self.is_the_usual_public(entry) {
                let pair = source.zip(target);
                differences.push(EntryDifference {
                    of_definition: pair.is_none_or(|(ours, theirs)| self.redefined(ours, theirs)),
                    doubt: pair.and_then(|(ours, theirs)| self.doubt(ours, theirs)),
                    difference: difference(kind, entry, detail),
                    source,
                    target,
                });
            }
        }
    }

    /// Whether the entry says of the schema `public` what goes without saying: `pg_dump` only writes it when asked for just
    /// that schema, and who was not asked says nothing.
    fn is_the_usual_public(&self, entry: &Entry) -> bool {
        // Its owner from 15 on, and the usual name of the one before.
        let usual_owner = |owner: &Text| *owner == "pg_database_owner" || *owner == "postgres";
        let usual = match (entry.desc.as_str(), &*entry.tag) {
            ("SCHEMA", b"public") => b"CREATE SCHEMA public;".as_slice(),
            ("COMMENT", b"SCHEMA public") => {
                b"COMMENT ON SCHEMA public IS 'standard public schema';"
            }
            _ => return false,
        };
        let owned_as_usual = self.options.restore.no_owner
            || entry.is("COMMENT")
            || entry.owner.as_ref().is_some_and(usual_owner);
        entry.defn_bytes().trim_ascii_end() == usual && owned_as_usual
    }

    /// Whether both say that there is a schema `public`; one was asked for it, and the other only names its owner.
    fn both_have_public(source: &Entry, target: &Entry) -> bool {
        (only_names_an_owner(source) || only_names_an_owner(target))
            && [source, target]
                .iter()
                .all(|entry| entry.is("SCHEMA") && entry.tag == "public")
    }

    fn redefined(&self, source: &Entry, target: &Entry) -> bool {
        let (left, right) = (source.defn_bytes(), target.defn_bytes());
        left != right
            && !Self::both_have_public(source, target)
            && !self.mean_the_same(source, (left, right))
    }

    /// Why it is not known whether two entries differ that seem to.
    fn doubt(&self, source: &Entry, target: &Entry) -> Option<Doubt> {
        let (versions, std_strings) = (self.versions, self.std_strings);
        let sides = (source.defn_bytes(), target.defn_bytes());
        // Bounds are constants.
        let has_arrays = self.options.nested_arrays != Some(false) && !source.is("TABLE ATTACH");
        let doubt = if is_same_if_locales_are(&source.desc, sides, versions, std_strings) {
            Doubt::Locale
        } else if has_arrays && is_same_of_some_arrays(&source.desc, sides, versions, std_strings) {
            Doubt::Arrays
        } else {
            return None;
        };
        (self.redefined(source, target) && self.details(source, target).len() == 1).then_some(doubt)
    }

    /// Whether two definitions of an entry of the source mean the same.
    fn mean_the_same(&self, entry: &Entry, sides: (&[u8], &[u8])) -> bool {
        let (versions, std_strings) = (self.versions, self.std_strings);
        if entry.is("TABLE ATTACH") {
            // If the key is another one on the target, that is a difference of the table.
            let key = self.source.key_attached_to(entry);
            return same_bounds(&key, sides, versions, std_strings);
        }
        if self.options.nested_arrays == Some(false) {
            return same_definition_of_single_values(&entry.desc, sides, versions, std_strings);
        }
        same_definition(&entry.desc, sides, versions, std_strings)
    }

    /// One text for each property that differs.
    fn details(&self, source: &Entry, target: &Entry) -> Vec<String> {
        let mut details = Vec::new();
        if self.redefined(source, target) {
            let (left, right) = (source.defn_bytes(), target.defn_bytes());
            let text = |defn| String::from_utf8_lossy(defn).trim_end().to_owned();
            details.push(lines::diff(&text(left), &text(right)));
        }
        let restore = &self.options.restore;
        let mut property = |name: &str, left: Option<&Text>, right: Option<&Text>| {
            if left != right {
                details.push(format!(
                    "{name}: {} on the source, {} on the target",
                    shown(left),
                    shown(right)
                ));
            }
        };
        if !restore.no_owner && (has_owner(source) || has_owner(target)) {
            property("owner", source.owner.as_ref(), target.owner.as_ref());
        }
        if !restore.no_tablespaces {
            property(
                "tablespace",
                source.tablespace.as_ref(),
                target.tablespace.as_ref(),
            );
        }
        let (left, right) = (source.table_am.as_ref(), target.table_am.as_ref());
        if !restore.no_table_access_method && !same_access_method(left, right, self.versions) {
            property(
                "access method",
                source.table_am.as_ref(),
                target.table_am.as_ref(),
            );
        }
        details
    }
}

/// Whether the object has an owner of its own; an index's or a comment's is its table's, and is not reported again.
fn has_owner(entry: &Entry) -> bool {
    // What pg_restore does not know how to give an owner is compared, rather than passed over.
    owner_statement(entry).map_or(true, |statement| statement.is_some())
}

fn shown(text: Option<&Text>) -> String {
    match text {
        None => "none".to_owned(),
        Some(text) if text.is_empty() => "the default".to_owned(),
        Some(text) => format!("\"{text}\""),
    }
}

fn whole(entry: &Entry) -> String {
    String::from_utf8_lossy(entry.defn_bytes())
        .trim()
        .to_owned()
}

fn difference(kind: DifferenceKind, entry: &Entry, detail: String) -> Difference {
    Difference {
        kind,
        class: entry.desc.to_lowercase(),
        object: object_name(entry),
        detail,
    }
}

/// `s."a table"`, `s.f(integer)`; for grants and comments, whose tag says what they are on, `TABLE t in schema s`.
pub fn object_name(entry: &Entry) -> String {
    let schema = entry.namespace.as_ref().filter(|schema| !schema.is_empty());
    let tag = if has_plain_name(entry) {
        quote_if_needed(&entry.tag_lossy())
    } else {
        entry.tag_lossy()
    };
    match schema.map(|schema| quote_if_needed(&schema.to_string_lossy())) {
        None => tag,
        Some(schema) if entry.is_attached() || entry.is("DEFAULT ACL") => {
            format!("{tag} in schema {schema}")
        }
        Some(schema) => format!("{schema}.{tag}"),
    }
}

/// Kinds whose tag is nothing but an identifier.
fn has_plain_name(entry: &Entry) -> bool {
    matches!(
        entry.desc.as_str(),
        "TABLE"
            | "VIEW"
            | "MATERIALIZED VIEW"
            | "FOREIGN TABLE"
            | "SEQUENCE"
            | "INDEX"
            | "SCHEMA"
            | "TYPE"
            | "DOMAIN"
            | "COLLATION"
            | "CONVERSION"
            | "STATISTICS"
            | "EXTENSION"
            | "PUBLICATION"
            | "SUBSCRIPTION"
            | "SERVER"
            | "EVENT TRIGGER"
            | "FOREIGN DATA WRAPPER"
            | "PROCEDURAL LANGUAGE"
            | "ACCESS METHOD"
            | "TEXT SEARCH CONFIGURATION"
            | "TEXT SEARCH DICTIONARY"
            | "TEXT SEARCH PARSER"
            | "TEXT SEARCH TEMPLATE"
    )
}

fn quote_if_needed(name: &str) -> String {
    let first = name.chars().next();
    let plain = first.is_some_and(|first| first.is_ascii_lowercase() || first == '_')
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain {
        name.to_owned()
    } else {
        quote_ident(name)
    }
}
