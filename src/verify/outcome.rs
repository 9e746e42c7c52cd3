//! What a comparison found, and how several findings about one object become one.

use std::collections::BTreeMap;

use crate::model::{Difference, DifferenceKind, Unverified};

/// What was compared, and what came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Where source and target differ; at most one for an object, but for contradictions.
    pub differences: Vec<Difference>,
    /// What could not be decided.
    pub unverified: Vec<Unverified>,
    /// What was compared, and how many of it: `("indexes", 62)`.
    pub checked: Vec<(String, u64)>,
    /// What a person should know although it is no difference, a sentence each.
    pub notes: Vec<String>,
}

impl Outcome {
    /// Whether everything that was compared is the same.
    pub fn is_same(&self) -> bool {
        self.differences.is_empty() && self.unverified.is_empty()
    }

    /// Adds what another comparison found.
    pub fn extend(&mut self, other: Self) {
        self.unverified.extend(other.unverified);
        self.checked.extend(other.checked);
        self.notes.extend(other.notes);
        self.fold(other.differences);
    }

    /// Notes a difference, even if there is one about the same object already.
    pub(super) fn differ(
        &mut self,
        kind: DifferenceKind,
        (class, object): (&str, String),
        detail: String,
    ) {
        self.differences.push(Difference {
            kind,
            class: class.to_owned(),
            object,
            detail,
        });
    }

    pub(super) fn count(&mut self, what: &str, number: usize) {
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        self.checked.push((what.to_owned(), number));
    }

    /// Adds differences; two about one object become one where both can be true at once.
    fn fold(&mut self, differences: Vec<Difference>) {
        let mut places: BTreeMap<(String, String), usize> = BTreeMap::new();
        for (place, known) in self.differences.iter().enumerate() {
            let key = (known.class.clone(), known.object.clone());
            places.entry(key).or_insert(place);
        }
        for new in differences {
            let key = (new.class.clone(), new.object.clone());
            let known = places.get(&key);
            let Some(known) = known.and_then(|place| self.differences.get_mut(*place)) else {
                places.insert(key, self.differences.len());
                self.differences.push(new);
                continue;
            };
            let contradiction = join(known, new);
            self.differences.extend(contradiction);
        }
    }
}

/// Joins what is newly found about an object into what is known; gives it back if the two contradict each other.
fn join(known: &mut Difference, new: Difference) -> Option<Difference> {
    use DifferenceKind::{Different, Extra, Invalid, Missing};
    match (known.kind, new.kind) {
        // The same said twice. An object that is not there has no properties either. To pg_dump an invalid index is missing:
        // the catalog knows better.
        (Missing | Invalid, Missing) | (Missing, Different) | (Extra, Extra | Different) => {}
        (Missing, Invalid) | (Different, Missing | Extra) => *known = new,
        (Different, Different) | (Invalid, Invalid | Different) => add_detail(known, &new),
        (Different, Invalid) => {
            known.kind = Invalid;
            add_detail(known, &new);
        }
        (Missing | Invalid, Extra) | (Extra, Missing | Invalid) => return Some(new),
    }
    None
}

fn add_detail(known: &mut Difference, new: &Difference) {
    if !known.detail.contains(&new.detail) {
        known.detail = format!("{}\n{}", known.detail, new.detail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: DifferenceKind, detail: &str) -> Outcome {
        let mut outcome = Outcome::default();
        outcome.differ(kind, ("index", "s.i".to_owned()), detail.to_owned());
        outcome.count("indexes", 1);
        outcome
    }

    fn folded(parts: &[(DifferenceKind, &str)]) -> Vec<(DifferenceKind, String)> {
        let mut outcome = Outcome::default();
        for (kind, detail) in parts {
            outcome.extend(of(*kind, detail));
        }
        assert_eq!(outcome.checked.len(), parts.len());
        outcome
            .differences
            .into_iter()
            .map(|found| (found.kind, found.detail))
            .collect()
    }

    #[test]
    fn findings_about_one_object_become_one_unless_they_contradict_each_other() {
        use DifferenceKind::{Different, Extra, Invalid, Missing};
        let one = |kind, detail: &str| vec![(kind, detail.to_owned())];
        assert_eq!(folded(&[(Missing, "a"), (Missing, "b")]), one(Missing, "a"));
        assert_eq!(
            folded(&[(Missing, "a"), (Different, "b")]),
            one(Missing, "a")
        );
        assert_eq!(
            folded(&[(Different, "a"), (Missing, "b")]),
            one(Missing, "b")
        );
        assert_eq!(folded(&[(Missing, "a"), (Invalid, "b")]), one(Invalid, "b"));
        assert_eq!(folded(&[(Invalid, "a"), (Missing, "b")]), one(Invalid, "a"));
        assert_eq!(
            folded(&[(Different, "a"), (Different, "b"), (Different, "a")]),
            one(Different, "a\nb")
        );
        assert_eq!(folded(&[(Missing, "a"), (Extra, "b")]).len(), 2);
    }

    #[test]
    fn only_nothing_found_and_nothing_open_is_the_same() {
        let mut outcome = Outcome::default();
        outcome.count("indexes", 3);
        assert!(outcome.is_same());
        outcome.unverified.push(Unverified {
            class: "table".into(),
            object: "s.t".into(),
            because: "it could not be read".into(),
        });
        assert!(!outcome.is_same());
        assert!(!of(DifferenceKind::Extra, "x").is_same());
    }
}
