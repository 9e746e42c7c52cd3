//! What a dump does not say: whether every index and constraint is there and in force, where sequences stand, and what
//! objects are set to (disabled triggers, row security, replica identity, storage, …), as the catalogs have it.
//!
//! How an object is defined is `schema`'s matter. Here an object is recognised by its name and asked for its state, in words
//! that are the same on every server version.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{
    self, Constraint, Extension, Index, LargeObject, NotDumped, Sequence, SourceFacts,
    VersionedQuery,
};
use crate::model::{DifferenceKind, Unverified, shown_ident};
use crate::pg::{Answer, PgError, Query, Session};
use crate::toc::{RestoreOptions, quoted_alike};

use super::constraints::{KeyTriggers, key_triggers};
use super::sequences::{Feed, feeds, feeds_if_any, with_reach};
use super::uncarried::{self, UncarriedFacts};
use super::unseen::Unseen;
use super::{
    Outcome, Scope, constraints, extensions, large_objects, nested, ours, readiness, rows,
    sequences, statements, unseen,
};

const STATES: VersionedQuery = VersionedQuery {
    newest: Query::new("states.sql", include_str!("../../sql/verify/states.sql")),
    older: None,
};

/// Every query, for the test that prepares each on every supported server.
pub const QUERIES: &[VersionedQuery] = &[
    STATES,
    rows::KEYS,
    rows::IDENTITIES,
    constraints::KEY_TRIGGERS,
    sequences::FEEDS,
    extensions::DEFAULT_VERSIONS,
    unseen::UNSEEN,
    ours::BESIDE_OURS,
    uncarried::ON_EXTENSIONS,
    uncarried::IN_SYSTEM_SCHEMAS,
    uncarried::REMARKS,
    uncarried::UNCARRIED_TABLES,
    nested::NESTED_ARRAYS,
    readiness::RECOVERY,
    readiness::LOCALES,
    readiness::SETTINGS,
    readiness::ROLE_SETTINGS,
    readiness::REPLICATION,
    readiness::STATISTICS,
    readiness::EXTENDED_STATISTICS,
    statements::COUNTERS,
];

/// One setting of an object that is not the default.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct State {
    /// `table`, `trigger`, `event trigger`, …
    pub class: String,
    /// Schema of the relation or object; empty for what is in none.
    pub schema: String,
    /// Name of the relation, or of the object if it is on none.
    pub name: String,
    /// The relation's trigger, rule or index.
    pub part: Option<String>,
    /// Which setting.
    pub property: String,
    /// What it is set to.
    pub state: String,
    /// The extension that has the relation.
    pub extension: Option<String>,
}

/// What is compared of one side.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// Indexes.
    pub indexes: Vec<Index>,
    /// Constraints of tables.
    pub constraints: Vec<Constraint>,
    /// Sequences.
    pub sequences: Vec<Sequence>,
    /// Large objects, without content.
    pub large_objects: Vec<LargeObject>,
    /// Extensions.
    pub extensions: Vec<Extension>,
    /// Settings that are not the default.
    pub states: Vec<State>,
    /// Triggers of constraints that are not as they were made.
    pub key_triggers: Vec<KeyTriggers>,
    /// Columns that sequences feed, and how far they are.
    pub feeds: Vec<Feed>,
    /// The major version of its server; 0 if nobody asked.
    pub major: u32,
    /// The versions in which its server creates the extensions that are there, where it can say.
    pub default_versions: Vec<Extension>,
    /// What is there, and kept from the role that reads.
    pub unseen: Vec<Unseen>,
    /// What is in no dump.
    pub uncarried: UncarriedFacts,
    /// Whether any expression has an array of arrays in it; `None` if nobody asked, or the server does not tell.
    pub nested_arrays: Option<bool>,
}

/// What the facts about a source leave out, read in the same snapshot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hidden {
    states: Vec<State>,
    key_triggers: Vec<KeyTriggers>,
    feeds: Vec<Feed>,
    major: u32,
    default_versions: Vec<Extension>,
    unseen: Vec<Unseen>,
    uncarried: UncarriedFacts,
    nested_arrays: Option<bool>,
}

impl Hidden {
    /// What a dump of it would leave behind, as far as one side alone tells.
    pub fn left_behind(&self) -> Vec<NotDumped> {
        self.uncarried.left_behind()
    }

    /// What of that the server refused to tell, and why.
    pub fn not_asked(&self) -> impl Iterator<Item = (&str, &str)> {
        self.uncarried.not_asked()
    }

    /// Reads it.
    pub async fn read(session: &Session) -> Result<Self, PgError> {
        Self::with_feeds(session, false).await
    }

    /// The same of a server whose catalog may be damaged: which columns take their values from sequences may be unknown.
    pub async fn read_of_damaged(session: &Session) -> Result<Self, PgError> {
        Self::with_feeds(session, true).await
    }

    async fn with_feeds(session: &Session, is_damaged: bool) -> Result<Self, PgError> {
        let (states, key_triggers) =
            tokio::try_join!(biased; states(session), key_triggers(session))?;
        // What a server may refuse is asked alone.
        let feeds = if is_damaged {
            feeds_if_any(session).await?
        } else {
            feeds(session).await?
        };
        Ok(Self {
            states,
            key_triggers,
            feeds,
            major: session.version().major(),
            default_versions: extensions::default_versions(session).await?,
            unseen: unseen::read(session).await?,
            uncarried: UncarriedFacts::read(session).await?,
            nested_arrays: nested::has_nested_arrays(session).await?,
        })
    }
}

impl Hidden {
    /// With what inserts come to next, where the sequences stand so.
    pub async fn with_reach(
        self,
        session: &Session,
        sequences: &[Sequence],
    ) -> Result<Self, PgError> {
        Ok(Self {
            feeds: with_reach(session, sequences, self.feeds).await?,
            ..self
        })
    }
}

impl Observed {
    /// The source, as it was in the run's snapshot. What is hidden must have been read in it, too.
    pub fn in_snapshot(facts: SourceFacts, hidden: Hidden) -> Self {
        let known = Self {
            indexes: facts.indexes,
            constraints: facts.constraints,
            sequences: facts.sequences,
            large_objects: facts.large_objects,
            extensions: facts.extensions,
            ..Self::default()
        };
        known.with(hidden)
    }

    /// Reads it anew.
    pub async fn read(session: &Session) -> Result<Self, PgError> {
        // What asks twice comes last: after a failure, its second question fails because of that.
        let (indexes, constraints, large_objects, extensions, sequences) = tokio::try_join!(
            biased;
            catalog::indexes(session),
            catalog::constraints(session),
            catalog::large_objects(session),
            catalog::installed_extensions(session),
            catalog::sequences(session),
        )?;
        let known = Self {
            indexes,
            constraints,
            sequences,
            large_objects,
            extensions,
            ..Self::default()
        };
        let hidden = Hidden::read(session).await?;
        let hidden = hidden.with_reach(session, &known.sequences).await?;
        Ok(known.with(hidden))
    }

    fn with(self, hidden: Hidden) -> Self {
        Self {
            states: hidden.states,
            key_triggers: hidden.key_triggers,
            feeds: hidden.feeds,
            major: hidden.major,
            default_versions: hidden.default_versions,
            unseen: hidden.unseen,
            uncarried: hidden.uncarried,
            nested_arrays: hidden.nested_arrays,
            ..self
        }
    }
}

/// Reads what objects are set to.
pub async fn states(session: &Session) -> Result<Vec<State>, PgError> {
    let query = STATES.for_server(session.version());
    let state = |row: &Answer| {
        Ok(State {
            class: row.get("class")?,
            schema: row.get::<Option<String>>("schema")?.unwrap_or_default(),
            name: row.get("name")?,
            part: row.get("part")?,
            // Both may name columns and indexes.
            property: quoted_alike(row.get("property")?).into_owned(),
            state: quoted_alike(row.get("state")?).into_owned(),
            extension: row.get("extension")?,
        })
    };
    session.query_each(query, &[], state).await
}

/// Compares the two sides, as far as objects take part; what the options leave out is not missed.
pub fn compare(
    source: &Observed,
    target: &Observed,
    scope: &Scope,
    options: &RestoreOptions,
) -> Outcome {
    let mut outcome = constraints::compare(source, target, scope);
    outcome.extend(sequences::compare(source, target, scope));
    compare_states(source, target, scope, options, &mut outcome);
    outcome.extend(extensions::compare(source, target, scope));
    outcome.extend(unseen::compare(source, target, scope, options));
    outcome.extend(uncarried::compare(source, target, scope, options));
    if scope.large_objects {
        let (left, right) = (&source.large_objects, &target.large_objects);
        outcome.extend(large_objects::compare(left, right, options));
    }
    outcome
}

/// The setting of a table whose rows have an oid each (before version 12). What these are is in no dump, and nobody reads them.
const WITH_OIDS: &str = "with oids";

/// Whether the schema is there that every new database has, and that no dump makes.
const PRESENCE: &str = "presence";

type Settings<'a> = BTreeMap<(String, String, &'a str), &'a str>;

fn compare_states(
    source: &Observed,
    target: &Observed,
    scope: &Scope,
    options: &RestoreOptions,
    outcome: &mut Outcome,
) {
    let alike = extensions::of_same_version(source, target);
    let takes_part = |state: &State| match &state.extension {
        Some(name) => scope.has_extension(name) && alike.contains(name.as_str()),
        None => scope.has_object(&state.class, &state.schema, &state.name),
    };
    let settings = |side| -> Settings { settings(side, takes_part, options) };
    let (left, right) = (settings(&source.states), settings(&target.states));
    let keys: BTreeSet<_> = left.keys().chain(right.keys()).collect();
    let mut found = Outcome::default();
    for key in keys {
        let value = |side: &Settings| side.get(key).copied().unwrap_or("the default").to_owned();
        let (ours, theirs) = (value(&left), value(&right));
        if key.2 == PRESENCE && left.contains_key(key) && ours != theirs {
            // It is what every target begins with.
            let name = &key.1;
            found.notes.push(format!(
                "the source has no schema {name}, and the target has the one that every new database has; to make it the same, on the target: \
                 DROP SCHEMA {name};"
            ));
        } else if ours != theirs {
            let (class, object, property) = key;
            let detail = format!("{property}: {ours} on the source, {theirs} on the target");
            let object = (class.as_str(), object.clone());
            found.differ(DifferenceKind::Different, object, detail);
        } else if key.2 == WITH_OIDS {
            found.unverified.push(Unverified {
                class: key.0.clone(),
                object: key.1.clone(),
                because: "its rows have oids (WITH OIDS), which are not compared".into(),
            });
        }
    }
    // Several settings of one object make one difference.
    outcome.extend(found);
    outcome.count("settings of objects", left.len());
}

fn settings<'a>(
    states: &'a [State],
    takes_part: impl Fn(&State) -> bool,
    options: &RestoreOptions,
) -> Settings<'a> {
    let takes_part = |state: &&State| {
        let is_policy = options.no_policies && state.property == "row security";
        !is_policy && takes_part(state)
    };
    let setting = |state: &'a State| {
        let key = (state.class.clone(), state.object(), state.property.as_str());
        (key, state.state.as_str())
    };
    states.iter().filter(takes_part).map(setting).collect()
}

impl State {
    /// The object's name, as the table of contents has it.
    pub(super) fn object(&self) -> String {
        match (&self.part, self.schema.as_str()) {
            (Some(part), schema) if self.class == "index" => {
                format!("{}.{}", shown_ident(schema), shown_ident(part))
            }
            (Some(part), schema) => format!("{}.{} {part}", shown_ident(schema), self.name),
            (None, "") => shown_ident(&self.name),
            (None, schema) => format!("{}.{}", shown_ident(schema), shown_ident(&self.name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Bytes, Oid, QualifiedName, Rows};

    fn name(name: &str) -> QualifiedName {
        QualifiedName::new("s", name)
    }

    fn index(of: &str, valid: bool, constraint: Option<&str>) -> Index {
        Index {
            oid: Oid(1),
            name: name(of),
            table: name("t"),
            relation: Oid(2),
            method: "btree".into(),
            partitioned: false,
            valid,
            ready: true,
            bytes: Bytes(0),
            entries: Rows(0),
            definition: format!("CREATE INDEX {of}"),
            constraint: constraint.map(str::to_owned),
            constraint_kind: constraint.map(|_| 'u'),
            deferrable: false,
            deferred: false,
        }
    }

    fn constraint(table: &str, of: &str, kind: char, inherited: bool) -> Constraint {
        Constraint {
            table: name(table),
            name: of.into(),
            kind,
            validated: true,
            enforced: true,
            on_partitioned: false,
            inherited,
            references: (kind == 'f').then(|| name("r")),
            references_partitioned: false,
            over_time: None,
        }
    }

    fn found(source: &Observed, target: &Observed) -> Vec<String> {
        let scope = Scope::of_relations([name("t"), name("p")]);
        let outcome = compare(source, target, &scope, &RestoreOptions::default());
        let named =
            |one: &crate::model::Difference| format!("{:?} {} {}", one.kind, one.class, one.object);
        outcome.differences.iter().map(named).collect()
    }

    #[test]
    fn what_is_not_valid_on_the_source_is_not_missed_but_noted() {
        let source = Observed {
            indexes: vec![
                index("broken", false, None),
                index("key", false, Some("key")),
            ],
            constraints: vec![constraint("t", "key", 'u', false)],
            ..Observed::default()
        };
        let scope = Scope::of_relations([name("t")]);
        let target = Observed::default();
        let outcome = compare(&source, &target, &scope, &RestoreOptions::default());
        assert!(outcome.is_same(), "{outcome:?}");
        assert_eq!(outcome.notes.len(), 2);

        let parent = Index {
            partitioned: true,
            ..index("parent", false, None)
        };
        let source = Observed {
            indexes: vec![parent.clone()],
            ..Observed::default()
        };
        assert_eq!(found(&source, &target), ["Missing index s.parent"]);
        let valid = Index {
            valid: true,
            ..parent
        };
        let target = Observed {
            indexes: vec![valid],
            ..Observed::default()
        };
        assert_eq!(found(&source, &target), [""; 0]);
        assert_eq!(found(&target, &source), ["Invalid index s.parent"]);
    }

    #[test]
    fn foreign_keys_of_partitions_are_counted_whatever_they_are_called() {
        let side = |keys: &[Constraint]| Observed {
            constraints: keys.to_vec(),
            ..Observed::default()
        };
        let (one, two) = (
            constraint("p", "one", 'f', true),
            constraint("p", "two", 'f', true),
        );
        let not_validated = Constraint {
            validated: false,
            ..two.clone()
        };
        let of_one = side(std::slice::from_ref(&one));
        assert_eq!(found(&of_one, &side(std::slice::from_ref(&two))), [""; 0]);
        let object = "fk constraint s.p from its parent, to s.r";
        for (target, kind) in [
            (side(&[]), "Missing"),
            (side(&[one, two]), "Extra"),
            (side(&[not_validated]), "Invalid"),
        ] {
            assert_eq!(found(&of_one, &target), [format!("{kind} {object}")]);
        }
    }

    #[test]
    fn oids_are_a_difference_on_one_side_and_not_verified_on_both() {
        let with_oids = Observed {
            states: vec![State {
                class: "table".into(),
                schema: "s".into(),
                name: "t".into(),
                part: None,
                property: WITH_OIDS.into(),
                state: "yes".into(),
                extension: None,
            }],
            ..Observed::default()
        };
        let without = Observed::default();
        assert_eq!(found(&with_oids, &without), ["Different table s.t"]);
        let scope = Scope::of_relations([name("t")]);
        let options = RestoreOptions::default();
        let one_side = compare(&with_oids, &without, &scope, &options);
        assert_eq!(one_side.unverified, []);
        let both = compare(&with_oids, &with_oids, &scope, &options);
        assert_eq!(both.differences, []);
        assert_eq!(both.unverified.len(), 1);
        assert_eq!(both.unverified[0].object, "s.t");
    }

    #[test]
    fn other_tables_do_not_take_part() {
        let elsewhere = Observed {
            constraints: vec![constraint("elsewhere", "c", 'c', false)],
            ..Observed::default()
        };
        assert_eq!(found(&elsewhere, &Observed::default()), [""; 0]);
        assert_eq!(found(&Observed::default(), &elsewhere), [""; 0]);
        let here = Observed {
            constraints: vec![constraint("t", "c", 'c', false)],
            ..Observed::default()
        };
        assert_eq!(
            found(&Observed::default(), &here),
            ["Extra check constraint s.t c"]
        );
    }
}
