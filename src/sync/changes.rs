//! Everything to be done, from what was found. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{Matview, Sequence, SourceFacts};
use crate::model::{Bytes, Difference, Oid, QualifiedName, ServerVersion, Synced};
use crate::verify::Scope;

use super::error::SyncError;
use super::large_objects::ObjectChanges;
use super::sequences::SequenceChange;
use super::table::{Differs, TableChange};

/// What is known about both sides, each in its snapshot.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// What the source holds.
    pub source: &'a SourceFacts,
    /// What the target holds.
    pub target: &'a SourceFacts,
    /// Versions of source and target.
    pub versions: (ServerVersion, ServerVersion),
    /// The encoding of both databases, if it is the same and rows are to travel in it: not everything in it need be text in UTF-8.
    pub encoding: Option<&'a str>,
    /// Which objects take part.
    pub scope: &'a Scope,
}

/// A materialized view that is refreshed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewChange {
    /// The view.
    pub name: QualifiedName,
    /// It holds nothing on the source, and is to hold nothing.
    pub empty: bool,
}

/// Everything to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Tables.
    pub tables: Vec<TableChange>,
    /// Sequences.
    pub sequences: Vec<SequenceChange>,
    /// Large objects.
    pub large_objects: ObjectChanges,
    /// Materialized views, each after those that it reads.
    pub views: Vec<ViewChange>,
}

impl Changes {
    /// Decides. `differences` is everything that was found except rows of tables, in verification's words.
    pub fn decide(
        facts: Facts<'_>,
        tables: &[Differs<'_>],
        differences: &[Difference],
        content: &[Difference],
    ) -> Result<Self, SyncError> {
        let along = tables.iter().find_map(|differs| {
            let partition = differs.comparand.read_along.as_ref()?;
            Some((differs.comparand.name.shown(), partition.shown()))
        });
        if let Some((table, partition)) = along {
            return Err(SyncError::PartOfTree { table, partition });
        }
        if let Some(differs) = tables.iter().find(|one| one.comparand.reaches_foreign) {
            let table = differs.comparand.name.shown();
            return Err(SyncError::ForeignRows { table });
        }
        let all = [differences, content];
        let large_objects = numbers(differences)?;
        let rewritten = numbers(content)?;
        let objects = (&*facts.source.large_objects, &*facts.target.large_objects);
        Ok(Self {
            tables: tables
                .iter()
                .filter_map(|differs| TableChange::decide(differs, facts))
                .collect(),
            sequences: sequences(facts, &named("sequence", all)),
            large_objects: if facts.scope.large_objects {
                ObjectChanges::decide(objects, &large_objects, &rewritten)
            } else {
                ObjectChanges::default()
            },
            views: views(facts, &named("materialized view", all)),
        })
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
            && self.sequences.is_empty()
            && self.large_objects.is_empty()
            && self.views.is_empty()
    }

    /// As it is reported; `bytes` were written for each table.
    pub fn told(&self, committed: bool, bytes: &BTreeMap<QualifiedName, Bytes>) -> Synced {
        let objects = &self.large_objects;
        let rewritten = objects.rewritten.len();
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let of = |table: &TableChange| bytes.get(&table.table).copied().unwrap_or_default();
        Synced {
            committed,
            tables: self
                .tables
                .iter()
                .map(|table| table.told(of(table)))
                .collect(),
            sequences: self
                .sequences
                .iter()
                .map(|one| one.to.name.clone())
                .collect(),
            large_objects_added: number(objects.made.len() - rewritten),
            large_objects_changed: number(rewritten + objects.described.len()),
            large_objects_removed: number(objects.removed.len()),
            materialized_views: self.views.iter().map(|view| view.name.clone()).collect(),
            overruled: Vec::new(),
        }
    }
}

/// The names of the differing objects of one class.
fn named<'a>(class: &str, found: [&'a [Difference]; 2]) -> BTreeSet<&'a str> {
    let all = found.into_iter().flatten();
    let of_class = all.filter(|one| one.class == class);
    of_class.map(|one| one.object.as_str()).collect()
}

/// The OIDs of large objects that differ.
fn numbers(differences: &[Difference]) -> Result<BTreeSet<Oid>, SyncError> {
    let objects = differences.iter().filter(|one| one.class == "large object");
    objects
        .map(|one| match one.object.parse() {
            Ok(number) => Ok(Oid(number)),
            // An OID and those after it: it is one of these.
            Err(_) => Err(SyncError::LargeObjects {
                because: one.detail.clone(),
            }),
        })
        .collect()
}

/// Sequences that stand elsewhere, or may: if one was read on a standby, what is logged ahead may have been given out to the
/// rows that come over. As the schemas are the same, both sides have the same sequences.
fn sequences(facts: Facts<'_>, differing: &BTreeSet<&str>) -> Vec<SequenceChange> {
    let there: BTreeMap<_, _> = facts
        .target
        .sequences
        .iter()
        .map(|one| (&one.name, one))
        .collect();
    let takes_part = |one: &Sequence| {
        facts.scope.has_relation(&one.name) && !facts.scope.without_value.contains(&one.name)
    };
    let stands = facts.source.sequences.iter();
    let changes = stands.filter_map(|to| {
        let from = *there.get(&to.name)?;
        let in_doubt = takes_part(to) && to.may_stand_as(from) && !to.stands_as(from);
        let differs = in_doubt || differing.contains(to.name.shown().as_str());
        differs.then(|| SequenceChange {
            from: from.clone(),
            to: to.clone(),
        })
    });
    changes.collect()
}

/// Views whose contents differ, each after those that it reads.
fn views(facts: Facts<'_>, differing: &BTreeSet<&str>) -> Vec<ViewChange> {
    let filled: BTreeMap<&QualifiedName, bool> = facts
        .source
        .matviews
        .iter()
        .map(|view| (&view.name, view.populated))
        .collect();
    let is_meant = |view: &&Matview| {
        let differs = |filled: &bool| {
            *filled != view.populated || (*filled && differing.contains(view.name.shown().as_str()))
        };
        facts.scope.has_relation(&view.name)
            && !facts.scope.without_value.contains(&view.name)
            && filled.get(&view.name).is_some_and(differs)
    };
    let mut left: Vec<&Matview> = facts.target.matviews.iter().filter(is_meant).collect();
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let waiting: BTreeSet<Oid> = left.iter().map(|view| view.oid).collect();
        let reads_none = |view: &&Matview| !view.inputs.iter().any(|oid| waiting.contains(oid));
        let place = left.iter().position(reads_none).unwrap_or(0);
        let view = left.remove(place);
        ordered.push(ViewChange {
            name: view.name.clone(),
            empty: filled.get(&view.name) == Some(&false),
        });
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::LoggedAhead;
    use crate::model::{DifferenceKind, Rows};
    use crate::verify::rows::Comparand;

    fn view(oid: u32, inputs: &[u32], populated: bool) -> Matview {
        Matview {
            oid: Oid(oid),
            name: QualifiedName::new("s", format!("v{oid}")),
            populated,
            calls_user_code: false,
            definition: String::new(),
            bytes: Bytes(0),
            row_estimate: Rows(0),
            inputs: inputs.iter().map(|oid| Oid(*oid)).collect(),
            reads_foreign_property: false,
            columns: Vec::new(),
        }
    }

    fn difference(class: &str, object: &str) -> Difference {
        Difference {
            kind: DifferenceKind::Different,
            class: class.into(),
            object: object.into(),
            detail: "why".into(),
        }
    }

    /// What two servers of one version hold.
    fn between<'a>(
        source: &'a SourceFacts,
        target: &'a SourceFacts,
        scope: &'a Scope,
    ) -> Facts<'a> {
        Facts {
            source,
            target,
            versions: (ServerVersion(150_000), ServerVersion(150_000)),
            encoding: None,
            scope,
        }
    }

    fn everything() -> Scope {
        Scope::of_relations((1..4).map(|number| QualifiedName::new("s", format!("v{number}"))))
    }

    #[test]
    fn a_part_of_large_objects_that_differs_is_not_guessed_at() {
        let facts = SourceFacts::default();
        let scope = everything();
        let facts = between(&facts, &facts, &scope);
        let content = [difference("large object", "7 and those after it")];
        let decided = Changes::decide(facts, &[], &[], &content);
        assert!(matches!(decided, Err(SyncError::LargeObjects { .. })));
        let decided = Changes::decide(facts, &[], &[], &[]).expect("nothing is wrong");
        assert!(decided.is_empty() && decided.told(true, &BTreeMap::new()).is_nothing());
    }

    /// All rows of such a tree go, and all come again, including those of the partition that is left out.
    #[test]
    fn what_is_left_out_of_a_tree_that_is_copied_as_one_is_not_written_over() {
        let (known, scope) = (SourceFacts::default(), everything());
        let facts = between(&known, &known, &scope);
        let mut comparand = Comparand::named(&QualifiedName::new("s", "moods"));
        comparand.read_along = Some(QualifiedName::new("s", "moods_1"));
        let differs = Differs {
            comparand: &comparand,
            found: None,
            source: Rows(1),
            target: Rows(2),
        };
        let refused = Changes::decide(facts, &[differs], &[], &[]).map(|_| ());
        let because = refused.expect_err("it is refused").to_string();
        assert!(because.contains("s.moods_1"), "{because}");
    }

    /// Emptying the tree would empty what a third server holds.
    #[test]
    fn what_other_servers_hold_of_a_tree_is_not_written_over() {
        let (known, scope) = (SourceFacts::default(), everything());
        let facts = between(&known, &known, &scope);
        let mut comparand = Comparand::named(&QualifiedName::new("s", "moods"));
        comparand.reaches_foreign = true;
        let differs = Differs {
            comparand: &comparand,
            found: None,
            source: Rows(1),
            target: Rows(2),
        };
        let refused = Changes::decide(facts, &[differs], &[], &[]);
        assert!(matches!(refused, Err(SyncError::ForeignRows { table }) if table == "s.moods"));
    }

    /// A comparison finds no difference, but the rows that come over may have the numbers.
    #[test]
    fn a_sequence_goes_where_a_standby_says_it_may_be() {
        let at = |last_value, ahead| SourceFacts {
            sequences: vec![Sequence {
                name: QualifiedName::new("s", "v1"),
                last_value,
                extension: None,
                is_called: true,
                ahead,
            }],
            ..SourceFacts::default()
        };
        let ahead = Some(LoggedAhead { step: 1, cached: 1 });
        let (scope, target) = (everything(), at(3, None));
        for (source, places) in [
            (at(35, ahead), vec![35]),
            (at(3, ahead), vec![]),
            (at(35, None), vec![]),
        ] {
            let facts = between(&source, &target, &scope);
            let changes = sequences(facts, &BTreeSet::new());
            let found: Vec<i64> = changes.iter().map(|one| one.to.last_value).collect();
            assert_eq!(found, places);
        }
    }

    #[test]
    fn a_view_comes_after_those_that_it_reads() {
        let target = SourceFacts {
            matviews: vec![
                view(1, &[2, 9], true),
                view(2, &[3], true),
                view(3, &[], true),
            ],
            ..SourceFacts::default()
        };
        let mut source = target.clone();
        source.matviews[2].populated = false;
        let names: Vec<String> = target
            .matviews
            .iter()
            .map(|view| view.name.shown())
            .collect();
        let differing: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let scope = everything();
        let facts = between(&source, &target, &scope);
        let ordered = views(facts, &differing);
        let ordered: Vec<(&str, bool)> = ordered
            .iter()
            .map(|view| (view.name.name.as_str(), view.empty))
            .collect();
        assert_eq!(ordered, [("v3", true), ("v2", false), ("v1", false)]);
    }
}
