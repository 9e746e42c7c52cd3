//! Whether every index and constraint is there and in force.
//!
//! A constraint is in force if it is validated, and if the triggers that the server made for it fire: `DISABLE TRIGGER ALL`
//! turns them off, no dump says it, and nothing else shows it.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{Constraint, Index, VersionedQuery};
use crate::model::{DifferenceKind, QualifiedName, shown_ident};
use crate::pg::{Answer, PgError, Query, Session};

use super::{Observed, Outcome, Scope};

pub(super) const KEY_TRIGGERS: VersionedQuery = VersionedQuery {
    newest: Query::new(
        "key_triggers.sql",
        include_str!("../../sql/verify/key_triggers.sql"),
    ),
    older: None,
};

/// A state in which the triggers of a constraint on one table are, that is not the one they were made in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyTriggers {
    /// The constraint's table.
    pub table: QualifiedName,
    /// The constraint.
    pub constraint: String,
    /// `pg_constraint.contype`.
    pub kind: char,
    /// Made by a constraint of the partitioned parent.
    pub inherited: bool,
    /// The table a foreign key points to.
    pub references: Option<QualifiedName>,
    /// The table the triggers are on.
    pub on: QualifiedName,
    /// `disabled`, …
    pub state: String,
}

pub(super) async fn key_triggers(session: &Session) -> Result<Vec<KeyTriggers>, PgError> {
    let query = KEY_TRIGGERS.for_server(session.version());
    let rows = session.query(query, &[]).await?;
    let read = |row: &Answer| {
        Ok(KeyTriggers {
            table: row.name("schema", "name")?,
            constraint: row.get("constraint_name")?,
            kind: row.char("kind")?,
            inherited: row.get("inherited")?,
            references: match row.get::<Option<String>>("referenced_schema")? {
                Some(_) => Some(row.name("referenced_schema", "referenced_name")?),
                None => None,
            },
            on: row.name("on_schema", "on_name")?,
            state: row.get("state")?,
        })
    };
    rows.iter().map(read).collect()
}

pub(super) fn compare(source: &Observed, target: &Observed, scope: &Scope) -> Outcome {
    let mut outcome = Outcome::default();
    let never_dumped = compare_indexes(source, target, scope, &mut outcome);
    compare_constraints(source, target, scope, &never_dumped, &mut outcome);
    compare_inherited_keys(source, target, scope, &mut outcome);
    let mut triggers = Outcome::default();
    compare_triggers(source, target, scope, &mut triggers);
    outcome.extend(triggers);
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
    named(&constraint.table, &constraint.name, constraint.kind)
}

/// As `pg_dump`'s table of contents names it.
fn named(table: &QualifiedName, constraint: &str, kind: char) -> (&'static str, String) {
    let name = format!("{}.{} {constraint}", shown_ident(&table.schema), table.name);
    (constraint_class(kind), name)
}

/// What a difference calls the foreign keys to a table that a partition has from its parent.
pub fn inherited_object(
    table: &QualifiedName,
    references: Option<&QualifiedName>,
) -> (&'static str, String) {
    let to = references.map(QualifiedName::shown).unwrap_or_default();
    let name = format!("{} from its parent, to {to}", table.shown());
    ("fk constraint", name)
}

/// Constraints by table and name.
fn by_name<'a>(
    side: &'a Observed,
    scope: &Scope,
) -> BTreeMap<(&'a QualifiedName, &'a str), &'a Constraint> {
    let named = side
        .constraints
        .iter()
        .filter(|one| !has_no_name_of_its_own(one) && scope.has_relation(&one.table));
    named
        .map(|one| ((&one.table, one.name.as_str()), one))
        .collect()
}

fn compare_constraints(
    source: &Observed,
    target: &Observed,
    scope: &Scope,
    never_dumped: &NeverDumped,
    outcome: &mut Outcome,
) {
    let (left, mut right) = (by_name(source, scope), by_name(target, scope));
    let mut compared = 0;
    for (key, constraint) in &left {
        let object = || constraint_object(constraint);
        if never_dumped.contains(key) {
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
        let object = inherited_object(table, referenced.as_ref());
        let detail = format!(
            "{number} on the source, {valid} of them validated; {found} on the target, {found_valid} of them validated"
        );
        outcome.differ(kind, object, detail);
    }
    if compared > 0 {
        outcome.count("foreign keys of partitions", compared);
    }
}

impl KeyTriggers {
    fn object(&self) -> (&'static str, String) {
        if self.inherited && self.kind == 'f' {
            inherited_object(&self.table, self.references.as_ref())
        } else {
            named(&self.table, &self.constraint, self.kind)
        }
    }

    /// Whether a constraint with such triggers lets rows pass that violate it.
    pub(super) fn lets_pass(&self) -> bool {
        self.state != "always enabled"
    }
}

/// Constraints whose triggers are off on the target, and not on the source, are not in force. The other way round it is
/// what every copy looks like, because no dump says it.
fn compare_triggers(source: &Observed, target: &Observed, scope: &Scope, outcome: &mut Outcome) {
    let (ours, theirs) = (changed(source, scope), changed(target, scope));
    let mut found = Outcome::default();
    for (key, triggers) in &theirs {
        let was = ours.get(key);
        if was.map(|was| &was.state) == Some(&triggers.state) {
            continue;
        }
        let detail = format!(
            "its triggers on {} are {} on the target, and {} on the source",
            triggers.on.shown(),
            triggers.state,
            was.map_or("enabled", |was| was.state.as_str())
        );
        let was_off = was.is_some_and(|was| was.lets_pass());
        let kind = if triggers.lets_pass() && !was_off {
            DifferenceKind::Invalid
        } else {
            DifferenceKind::Different
        };
        found.differ(kind, key.0.clone(), detail);
    }
    let mut left_behind: Vec<String> = ours
        .iter()
        .filter(|(key, _)| !theirs.contains_key(*key))
        .map(|((object, on), was)| format!("{} on {} ({})", object.1, on.shown(), was.state))
        .collect();
    left_behind.sort();
    if !left_behind.is_empty() {
        outcome.notes.push(format!(
            "Triggers that enforce constraints are not enabled on the source, and are on the target, because no dump can say so: \
             {}. What they let pass there is refused here; ALTER TABLE … DISABLE TRIGGER ALL would make it the same.",
            super::some_of(&left_behind)
        ));
    }
    outcome.extend(found);
}

/// What [`changed`] finds.
pub(super) type Changed<'a> =
    BTreeMap<((&'static str, String), &'a QualifiedName), &'a KeyTriggers>;

/// By constraint and by the table that the triggers are on; of several states there, "disabled" is the one that counts.
pub(super) fn changed<'a>(side: &'a Observed, scope: &Scope) -> Changed<'a> {
    let mut changed = Changed::new();
    let takes_part = |one: &&KeyTriggers| scope.has_relation(&one.table);
    for triggers in side.key_triggers.iter().filter(takes_part) {
        let place = changed.entry((triggers.object(), &triggers.on));
        let known = place.or_insert(triggers);
        if triggers.state == "disabled" || !known.lets_pass() {
            *known = triggers;
        }
    }
    changed
}
