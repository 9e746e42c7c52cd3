//! Which differences are not in the schema: the target as it would be if only what a sync changes were changed. Pure.
//!
//! Whatever still differs from the source then is not for a sync to change.

use std::collections::BTreeMap;

use crate::model::QualifiedName;
use crate::verify::{Observed, State};

/// The target with the source's sequence positions and large objects, and its materialized views filled or not as on the
/// source; rows that no dump carries are left to the check at the end.
pub fn as_if_synced(source: &Observed, target: &Observed) -> Observed {
    let ours: BTreeMap<&QualifiedName, _> = source
        .sequences
        .iter()
        .map(|sequence| (&sequence.name, sequence))
        .collect();
    let sequences = target.sequences.iter().map(|sequence| {
        let mut sequence = sequence.clone();
        if let Some(known) = ours.get(&sequence.name) {
            sequence.last_value = known.last_value;
            sequence.is_called = known.is_called;
        }
        sequence
    });
    let theirs = target.states.iter().filter(|state| !is_filling(state));
    let filled = source.states.iter().filter(|state| is_filling(state));
    Observed {
        sequences: sequences.collect(),
        large_objects: source.large_objects.clone(),
        feeds: source.feeds.clone(),
        states: theirs.chain(filled).cloned().collect(),
        uncarried: target.uncarried.as_if_synced(&source.uncarried),
        ..target.clone()
    }
}

/// Whether the state says if a materialized view is filled.
fn is_filling(state: &State) -> bool {
    state.class == "materialized view" && state.property == "data"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Sequence;

    #[test]
    fn only_what_a_sync_changes_is_taken_from_the_source() {
        let sequence = |name: &str, last_value| Sequence {
            name: QualifiedName::new("s", name),
            last_value,
            extension: None,
            ahead: None,
            is_called: true,
        };
        let state = |class: &str, property: &str, name: &str| State {
            class: class.into(),
            schema: "s".into(),
            name: name.into(),
            part: None,
            property: property.into(),
            state: "x".into(),
            extension: None,
        };
        let source = Observed {
            sequences: vec![sequence("a", 7)],
            states: vec![state("materialized view", "data", "empty_there")],
            ..Observed::default()
        };
        let target = Observed {
            sequences: vec![sequence("a", 5), sequence("of_target", 1)],
            states: vec![
                state("materialized view", "data", "empty_here"),
                state("table", "row security", "t"),
            ],
            ..Observed::default()
        };
        let expected = as_if_synced(&source, &target);
        assert_eq!(
            expected.sequences,
            [sequence("a", 7), sequence("of_target", 1)]
        );
        let names: Vec<&str> = expected
            .states
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        assert_eq!(names, ["t", "empty_there"]);
    }
}
