//! What the operator wants to be passed over, by name: it is told, and takes away the word "proven".

use std::collections::{BTreeMap, BTreeSet};

use super::Observed;
use crate::catalog::SourceFacts;
use crate::model::{Difference, QualifiedName, Waiver, shown_ident};

/// A rule, as it stands behind `--ignore`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignore {
    /// As it was given.
    pub text: String,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    /// Everything in a schema.
    Schema(String),
    /// Everything about a relation.
    Table(QualifiedName),
    /// The values of a column.
    Column(QualifiedName, String),
    /// A class of differences.
    Class(String),
    /// One object, as a difference names it.
    Object { class: String, object: String },
}

/// Why a rule is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IgnoreError {
    /// It has no colon, or nothing on one side of it.
    #[error("--ignore {text}: a rule is WHAT:NAME")]
    Form {
        /// As it was given.
        text: String,
    },
    /// The name is not one that such a rule takes.
    #[error("--ignore {text}: {expected} is expected after the colon")]
    Name {
        /// As it was given.
        text: String,
        /// What it should be.
        expected: &'static str,
    },
    /// Neither side has it.
    #[error("--ignore {text}: neither the source nor the target has such a {what}")]
    Unknown {
        /// As it was given.
        text: String,
        /// What there is none of.
        what: &'static str,
    },
}

/// Classes of differences: what `pg_dump` calls its entries, and what verification adds.
const CLASSES: [&str; 58] = [
    "access method",
    "acl",
    "aggregate",
    "cast",
    "check constraint",
    "collation",
    "comment",
    "constraint",
    "conversion",
    "database",
    "database properties",
    "default",
    "default acl",
    "domain",
    "event trigger",
    "extension",
    "extension object",
    "fk constraint",
    "foreign data wrapper",
    "foreign table",
    "function",
    "index",
    "index attach",
    "large object",
    "materialized view",
    "operator",
    "operator class",
    "operator family",
    "policy",
    "procedural language",
    "procedure",
    "publication",
    "publication table",
    "publication tables in schema",
    "row security",
    "rule",
    "schema",
    "security label",
    "sequence",
    "sequence owned by",
    "server",
    "shell type",
    "statistics",
    "subscription",
    "subscription table",
    "system object",
    "table",
    "table attach",
    "table data",
    "text search configuration",
    "text search dictionary",
    "text search parser",
    "text search template",
    "transform",
    "trigger",
    "type",
    "user mapping",
    "view",
];

impl Ignore {
    /// Reads `schema:NAME`, `table:SCHEMA.NAME`, `column:SCHEMA.TABLE.COLUMN`, `class:CLASS` or `CLASS:OBJECT`.
    pub fn parse(text: &str) -> Result<Self, IgnoreError> {
        let form = || IgnoreError::Form {
            text: text.to_owned(),
        };
        let (what, name) = text.split_once(':').ok_or_else(form)?;
        let (what, name) = (what.trim(), name.trim());
        if what.is_empty() || name.is_empty() {
            return Err(form());
        }
        let expected = |expected| IgnoreError::Name {
            text: text.to_owned(),
            expected,
        };
        let parts = parts(name);
        let what = match (what, parts.as_deref()) {
            ("schema", Some([schema])) => What::Schema(schema.clone()),
            ("schema", _) => return Err(expected("one name")),
            ("table", Some([schema, table])) => What::Table(QualifiedName::new(schema, table)),
            ("table", _) => return Err(expected("SCHEMA.NAME")),
            ("column", Some([schema, table, column])) => {
                What::Column(QualifiedName::new(schema, table), column.clone())
            }
            ("column", _) => return Err(expected("SCHEMA.TABLE.COLUMN")),
            ("class", _) => What::Class(name.to_lowercase()),
            (class, _) => What::Object {
                class: class.to_lowercase(),
                object: name.to_owned(),
            },
        };
        Ok(Self {
            text: text.to_owned(),
            what,
        })
    }

    /// Whether there is such a thing at all: a rule that was mistyped must not look like one that was not needed.
    pub fn check(
        &self,
        (source, target): (&SourceFacts, &SourceFacts),
        classes: &BTreeSet<String>,
    ) -> Result<(), IgnoreError> {
        let relations = || names(source).chain(names(target));
        let unknown = |what| {
            Err(IgnoreError::Unknown {
                text: self.text.clone(),
                what,
            })
        };
        match &self.what {
            What::Schema(schema) if !relations().any(|name| name.schema == *schema) => {
                unknown("schema with anything in it")
            }
            What::Table(table) if !relations().any(|name| name == table) => unknown("table"),
            What::Column(table, column) => {
                let has = |side: &SourceFacts| {
                    let found = side.tables.iter().find(|known| known.name == *table);
                    found.is_some_and(|known| known.columns.iter().any(|one| one.name == *column))
                };
                if has(source) || has(target) {
                    Ok(())
                } else {
                    unknown("column")
                }
            }
            What::Class(class) | What::Object { class, .. }
                if !classes.contains(class) && !CLASSES.contains(&class.as_str()) =>
            {
                unknown("class of differences")
            }
            _ => Ok(()),
        }
    }

    /// Whether the rows of a relation are not to be read.
    pub fn leaves_out_rows(&self, table: &QualifiedName) -> bool {
        match &self.what {
            What::Schema(schema) => table.schema == *schema,
            What::Table(ignored) => table == ignored,
            _ => false,
        }
    }

    /// The column that is not to be read.
    pub fn column(&self) -> Option<(QualifiedName, String)> {
        match &self.what {
            What::Column(table, column) => Some((table.clone(), column.clone())),
            _ => None,
        }
    }

    fn covers(&self, difference: &Difference, tables: &BTreeMap<String, QualifiedName>) -> bool {
        let object = &difference.object;
        match &self.what {
            What::Schema(schema) => {
                let shown = shown_ident(schema);
                object.starts_with(&format!("{shown}."))
                    || (difference.class == "schema" && *object == shown)
                    || object.ends_with(&format!(" in schema {shown}"))
                    || *object == format!("SCHEMA {shown}")
            }
            What::Table(table) => {
                let part_of = format!("{}.{} ", shown_ident(&table.schema), table.name);
                let in_schema = format!(" in schema {}", shown_ident(&table.schema));
                let tagged = object.strip_suffix(&in_schema).is_some_and(|tag| {
                    let name = shown_ident(&table.name);
                    let rest = tag.split_once(' ').map_or("", |(_, rest)| rest);
                    rest == name || rest.starts_with(&format!("{name}."))
                });
                *object == table.shown()
                    || object.starts_with(&part_of)
                    || tagged
                    || tables.get(object) == Some(table)
            }
            What::Column(..) => false,
            What::Class(class) => difference.class == *class,
            What::Object { class, object } => {
                difference.class == *class && difference.object == *object
            }
        }
    }
}

/// Takes out what rules cover. Returns the waivers, and the rules that had nothing to pass over.
pub fn waive(
    rules: &[Ignore],
    differences: &mut Vec<Difference>,
    (source, target): (&Observed, &Observed),
    not_compared: &BTreeMap<String, Vec<String>>,
) -> (Vec<Waiver>, Vec<String>) {
    let indexes = source.indexes.iter().chain(&target.indexes);
    let tables: BTreeMap<String, QualifiedName> = indexes
        .map(|index| (index.name.shown(), index.table.clone()))
        .collect();
    let (mut waivers, mut unneeded) = (Vec::new(), Vec::new());
    for rule in rules {
        let covered: Vec<Difference> = differences
            .extract_if(.., |difference| rule.covers(difference, &tables))
            .collect();
        let not_compared = not_compared.get(&rule.text).cloned().unwrap_or_default();
        if covered.is_empty() && not_compared.is_empty() {
            unneeded.push(rule.text.clone());
            continue;
        }
        waivers.push(Waiver {
            rule: rule.text.clone(),
            not_compared,
            differences: covered,
        });
    }
    (waivers, unneeded)
}

fn names(side: &SourceFacts) -> impl Iterator<Item = &QualifiedName> {
    let tables = side.tables.iter().map(|table| &table.name);
    let roots = side
        .tables
        .iter()
        .filter_map(|table| table.partition_root.as_ref());
    let views = side.matviews.iter().map(|view| &view.name);
    let sequences = side.sequences.iter().map(|sequence| &sequence.name);
    tables.chain(roots).chain(views).chain(sequences)
}

/// The parts of a dotted name, some of them perhaps in double quotes; `None` if it is not one.
fn parts(name: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = name;
    loop {
        let (part, after) = if let Some(quoted) = rest.strip_prefix('"') {
            let mut part = String::new();
            let mut left = quoted;
            loop {
                let end = left.find('"')?;
                part.push_str(&left[..end]);
                left = &left[end + 1..];
                match left.strip_prefix('"') {
                    Some(more) => {
                        part.push('"');
                        left = more;
                    }
                    None => break,
                }
            }
            (part, left)
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            (rest[..end].to_owned(), &rest[end..])
        };
        if part.is_empty() {
            return None;
        }
        parts.push(part);
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None if after.is_empty() => return Some(parts),
            None => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DifferenceKind;

    fn difference(class: &str, object: &str) -> Difference {
        Difference {
            kind: DifferenceKind::Different,
            class: class.to_owned(),
            object: object.to_owned(),
            detail: String::new(),
        }
    }

    #[test]
    fn names_may_be_quoted() {
        let found = |name| parts(name).map(|parts| parts.join("|"));
        assert_eq!(found("public.t").as_deref(), Some("public|t"));
        assert_eq!(found(r#""a.b"."c""d".e"#).as_deref(), Some("a.b|c\"d|e"));
        for wrong in ["", "a.", ".a", "\"a", "\"a\"b", "a..b"] {
            assert_eq!(found(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_rule_covers_what_it_names_and_nothing_else() {
        let covers = |rule: &str, class: &str, object: &str| {
            let rule = Ignore::parse(rule).expect("a rule");
            rule.covers(&difference(class, object), &BTreeMap::new())
        };
        assert!(covers("table:zoo.egg", "table data", "zoo.egg"));
        assert!(covers("table:zoo.egg", "fk constraint", "zoo.egg pair"));
        assert!(covers("table:zoo.egg", "acl", "TABLE egg in schema zoo"));
        assert!(covers(
            "table:zoo.egg",
            "comment",
            "COLUMN egg.id in schema zoo"
        ));
        assert!(!covers("table:zoo.egg", "table data", "zoo.eggs"));
        assert!(!covers("table:zoo.egg", "acl", "TABLE eggs in schema zoo"));
        assert!(
            covers("schema:zoo", "index", "zoo.i") && !covers("schema:zoo", "index", "zoology.i")
        );
        assert!(covers("class:comment", "comment", "x") && !covers("class:comment", "acl", "x"));
        assert!(
            covers("index:zoo.i", "index", "zoo.i") && !covers("index:zoo.i", "index", "zoo.j")
        );
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for wrong in [
            "egg",
            "table:egg",
            "column:a.b",
            ":x",
            "table:",
            "schema:a.b",
        ] {
            assert!(Ignore::parse(wrong).is_err(), "{wrong}");
        }
        let nothing = SourceFacts::default();
        for unknown in [
            "table:a.b",
            "schema:a",
            "column:a.b.c",
            "class:nonsense",
            "nonsense:x",
        ] {
            let rule = Ignore::parse(unknown).expect("a rule");
            let checked = rule.check((&nothing, &nothing), &BTreeSet::new());
            assert!(checked.is_err(), "{unknown}");
        }
    }
}
