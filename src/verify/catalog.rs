//! What a dump does not say: whether every index and constraint is there and in force, where sequences stand, and what
//! objects are set to (disabled triggers, row security, replica identity, storage, …), as the catalogs have it.
//!
//! How an object is defined is `schema`'s matter. Here an object is recognised by its name and asked for its state, in words
//! that are the same on every server version.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{
    self, Constraint, Extension, Index, LargeObject, Sequence, SourceFacts, VersionedQuery,
};
use crate::model::{DifferenceKind, QualifiedName, shown_ident};
use crate::pg::{PgError, Query, Session};
use crate::toc::RestoreOptions;

use super::{Outcome, Scope, large_objects};

const STATES: VersionedQuery = VersionedQuery {
    newest: Query::new("states.sql", include_str!("../../sql/verify/states.sql")),
    older: None,
};

/// Every query, for the test that prepares each on every supported server.
pub const QUERIES: &[VersionedQuery] = &[STATES];

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
}

impl Observed {
    /// The source, as it was in the run's snapshot. `states` must have been read in it, too.
    pub fn in_snapshot(facts: &SourceFacts, states: Vec<State>) -> Self {
        Self {
            indexes: facts.indexes.clone(),
            constraints: facts.constraints.clone(),
            sequences: facts.sequences.clone(),
            large_objects: facts.large_objects.clone(),
            extensions: facts.extensions.clone(),
            states,
        }
    }

    /// Reads it anew.
    pub async fn read(session: &Session) -> Result<Self, PgError> {
        Ok(Self {
            indexes: catalog::indexes(session).await?,
            constraints: catalog::constraints(session).await?,
            sequences: catalog::sequences(session).await?,
            large_objects: catalog::large_objects(session).await?,
            extensions: catalog::installed_extensions(session).await?,
            states: states(session).await?,
        })
    }
}

/// Reads what objects are set to.
pub async fn states(session: &Session) -> Result<Vec<State>, PgError> {
    let query = STATES.for_server(session.version());
    let rows = session.query(query, &[]).await?;
    rows.iter()
        .map(|row| {
            Ok(State {
                class: row.get("class")?,
                schema: row.get::<Option<String>>("schema")?.unwrap_or_default(),
                name: row.get("name")?,
                part: row.get("part")?,
                property: row.get("property")?,
                state: row.get("state")?,
            })
        })
        .collect()
}

/// Compares the two sides, as far as objects take part; what the options leave out is not missed.
pub fn compare(
    source: &Observed,
    target: &Observed,
    scope: &Scope,
    options: &RestoreOptions,
) -> Outcome {
    let mut outcome = Outcome::default();
    let never_dumped = compare_indexes(source, target, scope, &mut outcome);
    compare_constraints(source, target, scope, &never_dumped, &mut outcome);
    compare_inherited_keys(source, target, scope, &mut outcome);
    compare_sequences(source, target, scope, &mut outcome);
    compare_states(source, target, scope, options, &mut outcome);
    compare_extensions(source, target, &mut outcome);
    if scope.large_objects {
        let (left, right) = (&source.large_objects, &target.large_objects);
        outcome.extend(large_objects::compare(left, right, options));
    }
    outcome
}

/// Table and name of constraints whose index is invalid on the source: `pg_dump` leaves out both.
type NeverDumped<'a> = BTreeSet<(&'a QualifiedName, &'a str)>;

/// `pg_dump` leaves out an invalid index, unless it is that of a partitioned table, which is only invalid because some
/// partition lacks its part.
fn is_dumped(index: &Index) -> bool {
    index.valid && index.ready || index.partitioned
}

fn compare_indexes<'a>(
    source: &'a Observed,
    target: &Observed,
    scope: &Scope,
    outcome: &mut Outcome,
) -> NeverDumped<'a> {
    let mut never_dumped = NeverDumped::new();
    let mut expected = BTreeSet::new();
    let there: BTreeMap<&QualifiedName, &Index> = target
        .indexes
        .iter()
        .map(|index| (&index.name, index))
        .collect();
    let takes_part = |index: &&Index| scope.has_relation(&index.table);
    for index in source.indexes.iter().filter(takes_part) {
        let object = || ("index", index.name.shown());
        if !is_dumped(index) {
            never_dumped.extend(index.constraint.as_deref().map(|name| (&index.table, name)));
            outcome.notes.push(format!(
                "The index {} is not valid on the source. It is of no use there, pg_dump leaves it out, and so it is not on the target.",
                index.name.shown()
            ));
            continue;
        }
        expected.insert(&index.name);
        match there.get(&index.name) {
            // Reported as a constraint.
            None if index.constraint.is_some() => {}
            None => outcome.differ(DifferenceKind::Missing, object(), index.definition.clone()),
            Some(found) if found.table != index.table => {
                let detail = format!(
                    "it is on {} on the source, and on {} on the target",
                    index.table.shown(),
                    found.table.shown()
                );
                outcome.differ(DifferenceKind::Different, object(), detail);
            }
            Some(found) if (index.valid && !found.valid) || (index.ready && !found.ready) => {
                let detail = "it is there, but not valid: the server does not use it".into();
                outcome.differ(DifferenceKind::Invalid, object(), detail);
            }
            Some(_) => {}
        }
    }
    let extra = |index: &&Index| !expected.contains(&index.name) && index.constraint.is_none();
    for index in target.indexes.iter().filter(takes_part).filter(extra) {
        let object = ("index", index.name.shown());
        outcome.differ(DifferenceKind::Extra, object, index.definition.clone());
    }
    outcome.count("indexes", expected.len());
    never_dumped
}

/// A foreign key that a partition has from its parent: its name is the server's choice.
pub(super) fn has_no_name_of_its_own(constraint: &Constraint) -> bool {
    constraint.inherited && constraint.kind == 'f'
}

fn constraint_class(kind: char) -> &'static str {
    match kind {
        'f' => "fk constraint",
        'c' => "check constraint",
        _ => "constraint",
    }
}

pub(super) fn constraint_object(constraint: &Constraint) -> (&'static str, String) {
    // As pg_dump's table of contents names it.
    let table = &constraint.table;
    let name = format!(
        "{}.{} {}",
        shown_ident(&table.schema),
        table.name,
        constraint.name
    );
    (constraint_class(constraint.kind), name)
}

fn compare_constraints(
    source: &Observed,
    target: &Observed,
    scope: &Scope,
    never_dumped: &NeverDumped,
    outcome: &mut Outcome,
) {
    let named = |side: &'_ Observed| -> BTreeMap<(QualifiedName, String), Constraint> {
        side.constraints
            .iter()
            .filter(|one| !has_no_name_of_its_own(one) && scope.has_relation(&one.table))
            .map(|one| ((one.table.clone(), one.name.clone()), one.clone()))
            .collect()
    };
    let (left, mut right) = (named(source), named(target));
    let mut compared = 0;
    for (key, constraint) in &left {
        let object = || constraint_object(constraint);
        if never_dumped.contains(&(&key.0, key.1.as_str())) {
            continue;
        }
        compared += 1;
        match right.remove(key) {
            None => outcome.differ(
                DifferenceKind::Missing,
                object(),
                "it is on the source, and not on the target".into(),
            ),
            Some(found) if found.kind != constraint.kind => {
                let detail = format!(
                    "a {} on the source, a {} on the target",
                    constraint_class(constraint.kind),
                    constraint_class(found.kind)
                );
                outcome.differ(DifferenceKind::Different, object(), detail);
            }
            Some(found) if constraint.validated && !found.validated => outcome.differ(
                DifferenceKind::Invalid,
                object(),
                "it is there, but not validated: rows that were there before it may violate it"
                    .into(),
            ),
            Some(found) if found.validated && !constraint.validated => outcome.differ(
                DifferenceKind::Different,
                object(),
                "it is not validated on the source, and validated on the target".into(),
            ),
            Some(_) => {}
        }
    }
    for constraint in right.values() {
        let detail = "it is on the target, and not on the source".into();
        outcome.differ(DifferenceKind::Extra, constraint_object(constraint), detail);
    }
    outcome.count("constraints", compared);
}

/// How many foreign keys a partition has from its parent to one table, and how many of these are validated.
fn compare_inherited_keys(
    source: &Observed,
    target: &Observed,
    scope: &Scope,
    outcome: &mut Outcome,
) {
    let counted = |side: &Observed| {
        let mut counts: BTreeMap<(QualifiedName, Option<QualifiedName>), [usize; 2]> =
            BTreeMap::new();
        let inherited = side.constraints.iter();
        for key in inherited.filter(|one| has_no_name_of_its_own(one)) {
            let place = (key.table.clone(), key.references.clone());
            let count = counts.entry(place).or_default();
            count[0] += 1;
            count[1] += usize::from(key.validated);
        }
        counts
    };
    let (left, right) = (counted(source), counted(target));
    let places: BTreeSet<_> = left.keys().chain(right.keys()).collect();
    let mut compared = 0;
    for place in places {
        let (table, referenced) = place;
        if !scope.has_relation(table) {
            continue;
        }
        let count = |side: &BTreeMap<_, [usize; 2]>| side.get(place).copied().unwrap_or_default();
        let ([number, valid], [found, found_valid]) = (count(&left), count(&right));
        compared += number;
        let kind = match (found.cmp(&number), found_valid.cmp(&valid)) {
            (std::cmp::Ordering::Less, _) => DifferenceKind::Missing,
            (std::cmp::Ordering::Greater, _) => DifferenceKind::Extra,
            (_, std::cmp::Ordering::Less) => DifferenceKind::Invalid,
            (_, std::cmp::Ordering::Greater) => DifferenceKind::Different,
            _ => continue,
        };
        let to = referenced
            .as_ref()
            .map(QualifiedName::shown)
            .unwrap_or_default();
        let object = format!("{} from its parent, to {to}", table.shown());
        let detail = format!(
            "{number} on the source, {valid} of them validated; {found} on the target, {found_valid} of them validated"
        );
        outcome.differ(kind, ("fk constraint", object), detail);
    }
    if compared > 0 {
        outcome.count("foreign keys of partitions", compared);
    }
}

fn compare_sequences(source: &Observed, target: &Observed, scope: &Scope, outcome: &mut Outcome) {
    let there: BTreeMap<&QualifiedName, &Sequence> = target
        .sequences
        .iter()
        .map(|sequence| (&sequence.name, sequence))
        .collect();
    let mut compared = 0;
    for sequence in &source.sequences {
        let configures = |extension: &String| scope.has_extension(extension);
        if !scope.has_relation(&sequence.name)
            && !sequence.extension.as_ref().is_some_and(configures)
        {
            continue;
        }
        let object = ("sequence", sequence.name.shown());
        let Some(found) = there.get(&sequence.name) else {
            let detail = "it is on the source, and not on the target".into();
            outcome.differ(DifferenceKind::Missing, object, detail);
            continue;
        };
        if scope.without_value.contains(&sequence.name) {
            continue;
        }
        compared += 1;
        if (found.last_value, found.is_called) != (sequence.last_value, sequence.is_called) {
            let stands = |one: &Sequence| {
                let place = if one.is_called { "at" } else { "before" };
                format!("{place} {}", one.last_value)
            };
            let detail = format!(
                "it stands {} on the source, and {} on the target",
                stands(sequence),
                stands(found)
            );
            outcome.differ(DifferenceKind::Different, object, detail);
        }
    }
    outcome.count("sequences", compared);
}

type Settings<'a> = BTreeMap<(String, String, &'a str), &'a str>;

fn compare_states(
    source: &Observed,
    target: &Observed,
    scope: &Scope,
    options: &RestoreOptions,
    outcome: &mut Outcome,
) {
    let settings = |side| -> Settings { settings(side, scope, options) };
    let (left, right) = (settings(&source.states), settings(&target.states));
    let keys: BTreeSet<_> = left.keys().chain(right.keys()).collect();
    let mut found = Outcome::default();
    for key in keys {
        let value = |side: &Settings| side.get(key).copied().unwrap_or("the default").to_owned();
        let (ours, theirs) = (value(&left), value(&right));
        if ours != theirs {
            let (class, object, property) = key;
            let detail = format!("{property}: {ours} on the source, {theirs} on the target");
            let object = (class.as_str(), object.clone());
            found.differ(DifferenceKind::Different, object, detail);
        }
    }
    // Several settings of one object make one difference.
    outcome.extend(found);
    outcome.count("settings of objects", left.len());
}

fn settings<'a>(states: &'a [State], scope: &Scope, options: &RestoreOptions) -> Settings<'a> {
    let takes_part = |state: &&State| {
        let is_policy = options.no_policies && state.property == "row security";
        !is_policy && scope.has_object(&state.class, &state.schema, &state.name)
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

/// A new server brings newer extensions: worth saying, and no difference. One that is missing is found by its definition.
fn compare_extensions(source: &Observed, target: &Observed, outcome: &mut Outcome) {
    for extension in &source.extensions {
        let same_name = |other: &&Extension| other.name == extension.name;
        let Some(found) = target.extensions.iter().find(same_name) else {
            continue;
        };
        if found.version != extension.version {
            let version = |one: &Extension| one.version.clone().unwrap_or_default();
            outcome.notes.push(format!(
                "The extension {} is {} on the source and {} on the target.",
                extension.name,
                version(extension),
                version(found)
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Bytes, Oid};

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
            on_partitioned: false,
            inherited,
            references: (kind == 'f').then(|| name("r")),
            references_partitioned: false,
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
