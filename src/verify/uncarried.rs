//! What no dump carries: what was put onto or into extensions, what stands in the system's schemas, and what is said of objects
//! that have no entry of their own.
//!
//! Nobody moves it, so a copy lacks it, and that must not pass for the same. Rows of an extension's tables are its own business, which
//! goes on on both sides: they are not read. What an extension is made of is its script's matter: only
//! between equal versions can a difference be somebody's doing. Compared of its functions is also what makes them run otherwise, and
//! not what is only told to the planner or to people, which scripts may leave otherwise on each way to a version. Who owns an
//! extension nobody can change, and owners have other names on every managed service: that is said, and is no difference.

mod said;
mod system;

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{Extension, NotDumped, NotDumpedKind, VersionedQuery, in_full};
use crate::model::{DifferenceKind, QualifiedName, Unverified, quote_ident, shown_ident};
use crate::pg::{Answer, PgError, Query, Session};
use crate::toc::{RestoreOptions, named_alike};

use super::attempt::{attempt, attempt_text};
use super::{Observed, Outcome, Scope};

use said::Said;
pub(super) use system::IN_SYSTEM_SCHEMAS;

pub(super) const ON_EXTENSIONS: VersionedQuery = VersionedQuery {
    newest: Query::new(
        "on_extensions.sql",
        include_str!("../../sql/verify/on_extensions.sql"),
    ),
    older: None,
};

pub(super) const REMARKS: VersionedQuery = VersionedQuery {
    newest: Query::new("remarks.sql", include_str!("../../sql/verify/remarks.sql")),
    older: None,
};

pub(super) const UNCARRIED_TABLES: VersionedQuery = VersionedQuery {
    newest: Query::new(
        "uncarried_tables.sql",
        include_str!("../../sql/verify/uncarried_tables.sql"),
    ),
    older: None,
};

/// Where something is, which is whether it takes part.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// Of an extension.
    Extension(String),
    /// In a schema of the system.
    System,
    /// Said of a part of a relation.
    Relation(QualifiedName),
    /// Said of a large object.
    LargeObject,
}

/// What is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// It hangs on a relation of the extension; its definition.
    Attached,
    /// The extension has it; its source, if it is a function that people write.
    Member,
    /// How a function of the extension runs: whether as its owner, with which settings, how volatile it says it is.
    Traits,
    /// The query of a view of the extension.
    Query,
    /// Its owner, if that is no superuser.
    Owner,
    /// The owner of a function of the extension, if that is neither a superuser nor who owns the extension.
    FunctionOwner,
    /// Somebody made it.
    Made,
    /// The server brought it; how it is.
    Brought,
    /// The server brought it, and it shows by itself that somebody has changed it. Told beforehand: how it is, is compared.
    Altered,
    /// The server brought it; what somebody has added to it.
    Added,
    /// How many rows a table has that somebody made.
    Rows,
    /// Who may do what with it.
    Grants,
    /// A comment.
    Comment,
    /// A security label.
    Label,
}

type Key = (Place, What, String);

/// What was asked, which is whom an answer that is missing concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    OnExtensions,
    InSystemSchemas,
    Remarks,
    /// Of tables in the system's schemas.
    Rows,
}

/// What one side has that no dump carries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UncarriedFacts {
    facts: BTreeMap<Key, String>,
    /// What could not be read, and why.
    unread: Vec<(Question, String, String)>,
}

impl UncarriedFacts {
    /// Reads it. What the server refuses is part of the answer.
    pub(super) async fn read(session: &Session) -> Result<Self, PgError> {
        let mut all = Self::default();
        match attempt(session, &ON_EXTENSIONS).await? {
            Ok(rows) => all.add(&rows, on_extension)?,
            Err(refused) => all.refused(Question::OnExtensions, "what extensions have", &refused),
        }
        match attempt(session, &IN_SYSTEM_SCHEMAS).await? {
            Ok(rows) => all.add(&rows, system::fact)?,
            Err(refused) => all.refused(
                Question::InSystemSchemas,
                "pg_catalog and information_schema",
                &refused,
            ),
        }
        match attempt(session, &REMARKS).await? {
            Ok(rows) => all.add(&rows, remark)?,
            Err(refused) => all.refused(
                Question::Remarks,
                "comments and grants of parts of tables",
                &refused,
            ),
        }
        match attempt(session, &UNCARRIED_TABLES).await? {
            Ok(rows) => {
                for row in &rows {
                    all.read_table(session, row).await?;
                }
            }
            Err(refused) => all.refused(Question::Rows, "tables that are in no dump", &refused),
        }
        Ok(all)
    }

    fn add(
        &mut self,
        rows: &[Answer],
        fact: fn(&Answer) -> Result<(Key, String), PgError>,
    ) -> Result<(), PgError> {
        for row in rows {
            let (key, value) = fact(row)?;
            self.facts.insert(key, value);
        }
        Ok(())
    }

    fn refused(&mut self, question: Question, what: impl Into<String>, why: &PgError) {
        self.unread.push((question, what.into(), why.to_string()));
    }

    async fn read_table(&mut self, session: &Session, row: &Answer) -> Result<(), PgError> {
        let name = row.name("schema", "name")?;
        let object = format!("rows of {}", name.shown());
        let sql = format!("select pg_catalog.count(*) as count from only {name}");
        match attempt_text(session, "rows that are in no dump", &sql).await? {
            Ok(rows) => {
                if let Some(row) = rows.first() {
                    let count = row.count("count")?.to_string();
                    self.facts
                        .insert((Place::System, What::Rows, object), count);
                }
            }
            Err(refused) => self.refused(Question::Rows, object, &refused),
        }
        Ok(())
    }

    /// It, with what is none of the schema as it is there: rows, and the labels of large objects.
    pub fn as_if_synced(&self, source: &Self) -> Self {
        let ours = source.facts.iter().filter(|(key, _)| is_content(key));
        let theirs = self.facts.iter().filter(|(key, _)| !is_content(key));
        let facts = theirs.chain(ours);
        Self {
            facts: facts
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            unread: self.unread.clone(),
        }
    }

    /// All of it, under names that are the same on servers of both versions.
    fn as_named_by(&self, majors: (u32, u32)) -> BTreeMap<Key, &str> {
        let facts = self.facts.iter();
        facts
            .map(|((place, what, object), value)| {
                let object = named_alike(object, majors).into_owned();
                ((place.clone(), *what, object), value.as_str())
            })
            .collect()
    }

    /// What a dump of this side would leave behind, as far as one side alone tells: what hangs on an extension may be its own.
    pub(super) fn left_behind(&self) -> Vec<NotDumped> {
        let facts = self.facts.keys();
        facts
            .filter_map(|(place, what, object)| match (place, what) {
                (Place::System, What::Made) => Some(NotDumped {
                    kind: NotDumpedKind::InSystemSchema,
                    object: object.clone(),
                }),
                (Place::System, What::Altered) => Some(NotDumped {
                    kind: NotDumpedKind::InSystemSchema,
                    object: format!("what was changed about {object}"),
                }),
                (Place::Relation(on), What::Grants | What::Comment) => {
                    let grants = *what == What::Grants;
                    let words = if grants { "grants" } else { "a comment" };
                    Some(NotDumped {
                        kind: NotDumpedKind::Remark {
                            on: on.clone(),
                            grants,
                        },
                        object: format!("{}: {words} on {object}", on.shown()),
                    })
                }
                _ => None,
            })
            .collect()
    }

    /// What of that could not be asked, and why.
    pub(super) fn not_asked(&self) -> impl Iterator<Item = (&str, &str)> {
        let unread = self.unread.iter().filter(|(question, ..)| {
            matches!(question, Question::InSystemSchemas | Question::Remarks)
        });
        unread.map(|(_, what, why)| (what.as_str(), why.as_str()))
    }
}

fn is_content((place, what, _): &Key) -> bool {
    *place == Place::LargeObject || *what == What::Rows
}

fn on_extension(row: &Answer) -> Result<(Key, String), PgError> {
    let what = match row.get::<&str>("what")? {
        "attached" => What::Attached,
        "traits" => What::Traits,
        "query" => What::Query,
        "owner" => What::Owner,
        "function owner" => What::FunctionOwner,
        _ => What::Member,
    };
    let place = Place::Extension(row.get("extension")?);
    Ok(((place, what, row.get("object")?), value_of(row)?))
}

/// What is dropped at this moment has no definition any more.
fn value_of(row: &Answer) -> Result<String, PgError> {
    let value: Option<&[u8]> = row.get("value")?;
    Ok(value.map(in_full).unwrap_or_default())
}

fn remark(row: &Answer) -> Result<(Key, String), PgError> {
    let what = match row.get::<&str>("what")? {
        "acl" => What::Grants,
        "security label" => What::Label,
        _ => What::Comment,
    };
    let place = match row.get::<Option<String>>("schema")? {
        Some(_) => Place::Relation(row.name("schema", "name")?),
        None => Place::LargeObject,
    };
    Ok(((place, what, row.get("part")?), value_of(row)?))
}

/// Compares what both sides have of it, as far as that takes part; what the options leave out is not missed.
pub(super) fn compare(
    source: &Observed,
    target: &Observed,
    scope: &Scope,
    options: &RestoreOptions,
) -> Outcome {
    let both = Both {
        source,
        target,
        scope,
        options,
    };
    let mut found = Outcome::default();
    let majors = (source.major, target.major);
    let ours = source.uncarried.as_named_by(majors);
    let theirs = target.uncarried.as_named_by(majors);
    let keys: BTreeSet<&Key> = ours.keys().chain(theirs.keys()).collect();
    let mut said = Said::default();
    for key in keys {
        if !both.takes_part(&key.0, key.1) || both.is_left_out(key.1) {
            continue;
        }
        let (left, right) = (ours.get(key), theirs.get(key));
        if left == right {
            continue;
        }
        let values = (left.copied(), right.copied());
        match &key.0 {
            Place::Extension(name) if key.1 == What::Owner => {
                said.owner(&shown_ident(name), values);
            }
            Place::Extension(name) if key.1 == What::FunctionOwner => {
                said.function_owner(&format!("{} of {}", key.2, shown_ident(name)), values);
            }
            // An extension's script may be another for each major version, and so is the wording of definitions.
            Place::Extension(name) if !both.is_same_major() && is_of_script(key.1, values) => {
                // Servers word the same query differently.
                let script = left.filter(|_| key.1 != What::Query);
                let script = script.map(|_| format!("{} of {}", key.2, shown_ident(name)));
                said.scripts.extend(script);
            }
            Place::Extension(name) => of_extension(name, key, values, &mut found),
            Place::System
                if !both.is_same_major() && system::may_be_brought(key, &ours, &theirs) => {}
            Place::System => system::compare(key, values, &mut found),
            Place::Relation(table) => remarked(Some(table), key, values, &mut found),
            Place::LargeObject => remarked(None, key, values, &mut found),
        }
    }
    found.unverified.extend(both.unread());
    found.notes.extend(said.in_words());
    let mut outcome = Outcome::default();
    // Several findings about one object make one difference.
    outcome.extend(found);
    outcome
}

/// What is on the source and on the target.
type Values<'a> = (Option<&'a str>, Option<&'a str>);

struct Both<'a> {
    source: &'a Observed,
    target: &'a Observed,
    scope: &'a Scope,
    options: &'a RestoreOptions,
}

impl Both<'_> {
    fn takes_part(&self, place: &Place, what: What) -> bool {
        match place {
            // Whatever its version is.
            Place::Extension(name) if what == What::Owner => {
                self.scope.has_extension(name) && self.versions(name).is_some()
            }
            Place::Extension(name) => {
                let versions = self.versions(name);
                self.scope.has_extension(name) && versions.is_some_and(|(one, other)| one == other)
            }
            // Only who means the whole database means these.
            Place::System | Place::LargeObject => self.scope.large_objects,
            Place::Relation(name) => self.scope.has_relation(name),
        }
    }

    /// The versions of an extension that both sides have.
    fn versions(&self, name: &str) -> Option<(Option<&str>, Option<&str>)> {
        let same_name = |extension: &&Extension| extension.name == name;
        let ours = self.source.extensions.iter().find(same_name)?;
        let theirs = self.target.extensions.iter().find(same_name)?;
        Some((ours.version.as_deref(), theirs.version.as_deref()))
    }

    fn is_left_out(&self, what: What) -> bool {
        match what {
            What::Owner | What::FunctionOwner => self.options.no_owner,
            What::Grants => self.options.no_acl,
            What::Comment => self.options.no_comments,
            What::Label => self.options.no_security_labels,
            What::Altered => true,
            What::Attached
            | What::Member
            | What::Traits
            | What::Query
            | What::Made
            | What::Brought
            | What::Added
            | What::Rows => false,
        }
    }

    fn is_same_major(&self) -> bool {
        self.source.major == self.target.major
    }

    fn concerns(&self, question: Question) -> bool {
        match question {
            Question::OnExtensions => {
                let mut extensions = self.source.extensions.iter();
                extensions.any(|one| self.scope.has_extension(&one.name))
            }
            Question::Remarks => true,
            Question::InSystemSchemas | Question::Rows => self.scope.large_objects,
        }
    }

    /// What could not be read on a side that it would have been compared with.
    fn unread(&self) -> impl Iterator<Item = Unverified> {
        let sides = [("source", self.source), ("target", self.target)];
        sides.into_iter().flat_map(move |(side, observed)| {
            let unread = observed.uncarried.unread.iter();
            unread
                .filter(move |(question, ..)| self.concerns(*question))
                .map(move |(question, object, why)| Unverified {
                    class: question.class().to_owned(),
                    object: object.clone(),
                    because: format!("on the {side}: {why}"),
                })
        })
    }
}

/// Whether an extension's script, or how a server words what that has made, may be why it is not the same.
fn is_of_script(what: What, values: Values<'_>) -> bool {
    match what {
        What::Member | What::Traits => true,
        What::Attached | What::Query => values.0.is_some() && values.1.is_some(),
        _ => false,
    }
}

fn of_extension(name: &str, key: &Key, values: Values<'_>, found: &mut Outcome) {
    let object = || ("extension object", key.2.clone());
    let of = format!("the extension {}", quote_ident(name));
    match (key.1, values) {
        // The function or view itself is missed.
        (What::Traits | What::Query, (None, _) | (_, None)) => {}
        (What::Traits, (Some(ours), Some(theirs))) => found.differ(
            DifferenceKind::Different,
            object(),
            format!("it is of {of}: {ours} on the source, {theirs} on the target"),
        ),
        (_, (Some(_), Some(_))) => found.differ(
            DifferenceKind::Different,
            object(),
            format!("it is of {of}, and defined differently on the source and on the target"),
        ),
        (_, (Some(_), None)) => found.differ(
            DifferenceKind::Missing,
            object(),
            format!("it is of {of} on the source, or on its tables, and no dump carries it"),
        ),
        (_, (None, _)) => found.differ(
            DifferenceKind::Extra,
            object(),
            format!("it is of {of} on the target, or on its tables, and not on the source"),
        ),
    }
}

impl Question {
    fn class(self) -> &'static str {
        match self {
            Self::OnExtensions => "extension object",
            Self::Remarks => "comment",
            Self::InSystemSchemas | Self::Rows => "system object",
        }
    }
}

/// Something that is said of a part of a relation, or of a large object.
fn remarked(
    table: Option<&QualifiedName>,
    key: &Key,
    (ours, theirs): Values<'_>,
    found: &mut Outcome,
) {
    let (class, nothing) = match key.1 {
        What::Grants => ("acl", "USAGE to public"),
        What::Label => ("security label", "none"),
        _ => ("comment", "none"),
    };
    let object = match table {
        Some(table) => format!("{}.{} {}", shown_ident(&table.schema), table.name, key.2),
        None => key.2.clone(),
    };
    let shown = |value: Option<&str>| match (value, key.1) {
        (Some(text), What::Grants) => text.to_owned(),
        (Some(text), _) => format!("{text:?}"),
        (None, _) => nothing.to_owned(),
    };
    let detail = format!(
        "{} on the source, {} on the target",
        shown(ours),
        shown(theirs)
    );
    found.differ(DifferenceKind::Different, (class, object), detail);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(major: u32, facts: &[(&Place, What, &str, &str)]) -> Observed {
        let fact = |(place, what, object, value): &(&Place, What, &str, &str)| {
            let key = ((*place).clone(), *what, (*object).to_owned());
            (key, (*value).to_owned())
        };
        Observed {
            major,
            extensions: vec![Extension {
                name: "e".to_owned(),
                version: Some("1.0".to_owned()),
            }],
            uncarried: UncarriedFacts {
                facts: facts.iter().map(fact).collect(),
                unread: Vec::new(),
            },
            ..Observed::default()
        }
    }

    fn found(source: &Observed, target: &Observed) -> Vec<String> {
        let mut scope = Scope::of_extensions(["e"]);
        scope.large_objects = true;
        let outcome = compare(source, target, &scope, &RestoreOptions::default());
        let unverified = outcome
            .unverified
            .iter()
            .map(|one| format!("? {}", one.object));
        let differences = outcome.differences.iter();
        differences
            .map(|one| format!("{:?} {} {}", one.kind, one.class, one.object))
            .chain(unverified)
            .collect()
    }

    #[test]
    fn what_an_extension_has_counts_between_equal_versions() {
        let e = Place::Extension("e".to_owned());
        let (index, member) = (
            (&e, What::Attached, "index i"),
            (&e, What::Member, "function f()"),
        );
        let of = |major, one: &str, other: &str| {
            let (index, member) = (
                (index.0, index.1, index.2, one),
                (member.0, member.1, member.2, other),
            );
            side(major, &[index, member])
        };
        let (ours, bare) = (of(15, "1", "a"), side(15, &[]));
        assert_eq!(found(&ours, &ours), [""; 0]);
        let both = ["extension object index i", "extension object function f()"];
        assert_eq!(
            found(&ours, &bare),
            both.map(|one| format!("Missing {one}"))
        );
        assert_eq!(found(&bare, &ours), both.map(|one| format!("Extra {one}")));
        let other = of(15, "2", "b");
        assert_eq!(
            found(&ours, &other),
            both.map(|one| format!("Different {one}"))
        );
        // Another major version words definitions otherwise, and an extension's script may know it.
        assert_eq!(found(&ours, &of(18, "2", "a")), [""; 0]);
        let newer = of(18, "1", "b");
        assert_eq!(found(&ours, &newer), [""; 0]);
        let scope = Scope::of_extensions(["e"]);
        let said = compare(&ours, &newer, &scope, &RestoreOptions::default()).notes;
        assert!(
            said[0].starts_with("Not the same on the target: function f() of e."),
            "{said:?}"
        );
        assert_eq!(
            found(&ours, &side(18, &[])),
            ["Missing extension object index i"]
        );
        let mut newer = bare;
        newer.extensions[0].version = Some("1.1".to_owned());
        assert_eq!(found(&ours, &newer), [""; 0], "nobody can tell");
    }

    #[test]
    fn how_functions_and_views_of_an_extension_are_counts_between_equal_versions() {
        let e = Place::Extension("e".to_owned());
        let of = |major, how: &str| {
            let member = (&e, What::Member, "function f()", "");
            let traits = (&e, What::Traits, "function f()", how);
            side(major, &[member, traits, (&e, What::Query, "view v", how)])
        };
        let (plain, definer) = (of(15, "stable"), of(15, "stable, security definer"));
        assert_eq!(found(&plain, &plain), [""; 0]);
        let both = [
            "Different extension object function f()",
            "Different extension object view v",
        ];
        assert_eq!(found(&plain, &definer), both);
        assert_eq!(found(&definer, &plain), both);
        let scope = Scope::of_extensions(["e"]);
        let options = RestoreOptions::default();
        let outcome = compare(&plain, &definer, &scope, &options);
        let words = "stable on the source, stable, security definer on the target";
        assert!(
            outcome.differences[0].detail.ends_with(words),
            "{outcome:?}"
        );
        let newer = compare(&plain, &of(18, "volatile"), &scope, &options);
        assert!(newer.is_same(), "{newer:?}");
        assert!(newer.notes[0].contains("function f() of e."), "{newer:?}");
        let mut updated = definer;
        updated.extensions[0].version = Some("1.1".to_owned());
        assert_eq!(found(&plain, &updated), [""; 0], "its script may say so");
        let bare = side(15, &[(&e, What::Member, "function f()", "")]);
        assert_eq!(found(&plain, &bare), [""; 0], "a member is missed itself");
    }

    #[test]
    fn what_was_changed_about_what_the_server_brought_is_found() {
        let of = |major, facts: &[(What, &str)]| {
            let facts = facts.iter().map(|(what, value)| {
                let object = "dictionary d";
                (&Place::System, *what, object, *value)
            });
            side(major, &facts.collect::<Vec<_>>())
        };
        let as_brought = |major| of(major, &[(What::Brought, "a: b; c: d")]);
        let altered = [(What::Brought, "a: b; c: x"), (What::Altered, "")];
        let (plain, changed) = (as_brought(15), of(15, &altered));
        let different = ["Different system object dictionary d"];
        assert_eq!(found(&plain, &plain), [""; 0]);
        assert_eq!(found(&changed, &changed), [""; 0]);
        assert_eq!(found(&plain, &changed), different);
        assert_eq!(found(&changed, &plain), different);
        let unmarked = |major| of(major, &[(What::Brought, "a: b")]);
        assert_eq!(found(&plain, &unmarked(15)), different);
        // Another major version may bring it otherwise, or not at all.
        assert_eq!(found(&plain, &unmarked(18)), [""; 0]);
        assert_eq!(found(&changed, &side(18, &[])), [""; 0]);
        assert_eq!(found(&changed, &as_brought(18)), different);
        assert_eq!(found(&plain, &of(18, &altered)), different);
        let added = of(15, &[(What::Added, "operator 1")]);
        assert_eq!(found(&added, &side(18, &[])), different);
        assert_eq!(found(&side(18, &[]), &added), different);
        let mut scope = Scope::of_extensions(["e"]);
        scope.large_objects = true;
        let detail = |ours: &Observed, theirs: &Observed| {
            let outcome = compare(ours, theirs, &scope, &RestoreOptions::default());
            outcome.differences[0].detail.clone()
        };
        assert!(detail(&plain, &changed).starts_with("c: d on the source, c: x on the target:"));
        let gone = detail(&added, &side(15, &[]));
        assert!(gone.starts_with("operator 1 on the source, nothing of it on the target:"));
        let left_behind = changed.uncarried.left_behind();
        let named: Vec<&str> = left_behind.iter().map(|one| &*one.object).collect();
        assert_eq!(named, ["what was changed about dictionary d"]);
    }

    #[test]
    fn an_object_is_the_same_where_only_the_newer_server_quotes_its_name() {
        let e = Place::Extension("e".to_owned());
        let of = |major, object: &str| side(major, &[(&e, What::Attached, object, "")]);
        let (older, newer) = (
            "table column public.t.json",
            "table column public.t.\"json\"",
        );
        assert_eq!(found(&of(16, older), &of(17, newer)), [""; 0]);
        assert_eq!(found(&of(17, newer), &of(16, older)), [""; 0]);
        let other = "table column public.t.\"Json\"";
        assert_eq!(found(&of(16, older), &of(17, other)).len(), 2);
        assert_eq!(found(&of(17, older), &of(17, newer)).len(), 2);
    }

    #[test]
    fn whose_an_extension_is_is_said_and_no_difference() {
        let e = Place::Extension("e".to_owned());
        let source = side(15, &[(&e, What::Owner, "extension e", "joe")]);
        let target = side(15, &[]);
        let scope = Scope::of_extensions(["e"]);
        let mut options = RestoreOptions::default();
        let outcome = compare(&source, &target, &scope, &options);
        assert!(outcome.is_same(), "{outcome:?}");
        let [note] = &outcome.notes[..] else {
            panic!("{outcome:?}")
        };
        assert!(
            note.contains("e (joe on the source, a superuser on the target)"),
            "{note}"
        );
        options.no_owner = true;
        assert_eq!(compare(&source, &target, &scope, &options).notes, [""; 0]);
        let of_function = side(15, &[(&e, What::FunctionOwner, "function f()", "joe")]);
        let outcome = compare(&target, &of_function, &scope, &RestoreOptions::default());
        assert!(outcome.is_same(), "{outcome:?}");
        let words = "function f() of e (a superuser or the extension's owner on the source, joe on the target)";
        assert!(outcome.notes[0].contains(words), "{outcome:?}");
        assert_eq!(
            compare(&target, &of_function, &scope, &options).notes,
            [""; 0]
        );
    }

    #[test]
    fn grants_count_where_both_servers_have_the_object() {
        let system = Place::System;
        let of = |facts: &[(What, &str, &str)]| {
            let facts = facts
                .iter()
                .map(|(what, object, value)| (&system, *what, *object, *value));
            side(15, &facts.collect::<Vec<_>>())
        };
        let open = of(&[(What::Grants, "view v", "SELECT to public")]);
        let closed = of(&[(What::Grants, "view v", "nothing to anybody else")]);
        assert_eq!(found(&open, &of(&[])), [""; 0]);
        assert_eq!(found(&open, &closed), ["Different system object view v"]);
        let made = of(&[(What::Made, "table t", ""), (What::Rows, "rows of t", "1")]);
        assert_eq!(found(&made, &of(&[])), ["Missing system object table t"]);
        let filled = of(&[(What::Made, "table t", ""), (What::Rows, "rows of t", "2")]);
        assert_eq!(found(&made, &filled), ["Different system object rows of t"]);
        let scope = Scope::of_extensions(["e"]);
        let of_a_part = compare(&made, &of(&[]), &scope, &RestoreOptions::default());
        assert!(of_a_part.is_same(), "{of_a_part:?}");
    }

    #[test]
    fn what_could_not_be_read_is_not_the_same() {
        let questions = [
            (Question::OnExtensions, "extensions"),
            (Question::InSystemSchemas, "schemas"),
            (Question::Remarks, "remarks"),
            (Question::Rows, "rows"),
        ];
        let mut refused = side(15, &[]);
        let unread =
            questions.map(|(question, what)| (question, what.to_owned(), "denied".to_owned()));
        refused.uncarried.unread = unread.into();
        let all = ["? extensions", "? schemas", "? remarks", "? rows"];
        assert_eq!(found(&refused, &side(15, &[])), all);
        assert_eq!(found(&side(15, &[]), &refused), all);
        // Of a part of the database, only what may be said of that part is missed.
        let options = RestoreOptions::default();
        let of_a_part = |scope| -> Vec<String> {
            let outcome = compare(&side(15, &[]), &refused, &scope, &options);
            outcome
                .unverified
                .into_iter()
                .map(|one| one.object)
                .collect()
        };
        let with_extension = of_a_part(Scope::of_extensions(["e"]));
        assert_eq!(with_extension, ["extensions", "remarks"]);
        assert_eq!(of_a_part(Scope::of_extensions([])), ["remarks"]);
        let asked: Vec<&str> = refused
            .uncarried
            .not_asked()
            .map(|(what, _)| what)
            .collect();
        assert_eq!(asked, ["schemas", "remarks"]);
    }

    #[test]
    fn a_sync_is_not_stopped_by_what_is_none_of_the_schema() {
        let label =
            |value: &'static str| (&Place::LargeObject, What::Label, "large object 1", value);
        let rows = |value: &'static str| (&Place::System, What::Rows, "rows of t", value);
        let made = |value: &'static str| (&Place::System, What::Made, "function f()", value);
        let source = side(15, &[label("secret"), rows("1"), made("a")]);
        let mut target = side(15, &[rows("2"), made("b")]);
        assert_eq!(found(&source, &target).len(), 3);
        target.uncarried = target.uncarried.as_if_synced(&source.uncarried);
        let left = ["Different system object function f()"];
        assert_eq!(found(&source, &target), left);
        target.uncarried = side(15, &[label("x"), made("a")]).uncarried;
        let unlabelled = side(15, &[made("a")]);
        target.uncarried = target.uncarried.as_if_synced(&unlabelled.uncarried);
        assert_eq!(found(&unlabelled, &target), [""; 0]);
    }

    #[test]
    fn what_stays_behind_is_known_of_the_source_alone() {
        let t = Place::Relation(QualifiedName::new("s", "t"));
        let e = Place::Extension("e".to_owned());
        let source = side(
            15,
            &[
                (&e, What::Attached, "index i", ""),
                (&Place::System, What::Made, "function f()", ""),
                (&Place::System, What::Rows, "rows of u", "1"),
                (&t, What::Grants, "its row type", "USAGE to nobody else"),
                (&t, What::Comment, "its row type", "row"),
            ],
        );
        let left_behind = source.uncarried.left_behind();
        let named: Vec<&str> = left_behind.iter().map(|one| &*one.object).collect();
        assert_eq!(
            named,
            [
                "function f()",
                "s.t: grants on its row type",
                "s.t: a comment on its row type"
            ]
        );
    }
}
