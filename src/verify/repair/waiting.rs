//! What waits for what is not covered: it cannot be made without that, or not be dropped as long as that is as it was. A statement
//! that fails ends the file for all that follows.

use std::collections::{BTreeMap, BTreeSet};

use crate::toc::Entry;

use super::draft::{Draft, about};
use super::graph::comes_with_its_object;

/// What waits, and what each waits for.
type Waiting = BTreeMap<String, String>;

impl Draft<'_> {
    /// Everything that waits for something undone.
    pub(super) fn waiting(&self, undone: &BTreeSet<String>) -> Waiting {
        let mut waiting = self.not_made(undone);
        waiting.extend(self.with_their_table(undone));
        waiting.extend(self.not_dropped(undone));
        waiting
    }

    /// What cannot be made because something that it needs is not.
    fn not_made(&self, undone: &BTreeSet<String>) -> Waiting {
        let ours = |is_missing: bool| -> BTreeMap<usize, String> {
            let entries = self.entries.iter();
            entries
                .filter(|one| one.target.is_none() == is_missing)
                .filter_map(|one| Some((self.source.place(one.source?), about(&one.difference))))
                .collect()
        };
        let (missing, changed) = (ours(true), ours(false));
        let needs_it = missing.iter().filter_map(|(&place, about)| {
            let entry = self.source.at(place)?;
            let wants = |needed: usize| {
                let needed = self.source.at(needed);
                needed.is_some_and(|needed| wants_as_on_the_source(entry, needed))
            };
            let mut needed = self.source.needs(entry).filter(|&needed| needed != place);
            let because = needed.find_map(|needed| {
                let of_form = || changed.get(&needed).filter(|_| wants(needed));
                missing
                    .get(&needed)
                    .or_else(of_form)
                    .filter(|other| undone.contains(*other) && *other != about)
            })?;
            Some((about.clone(), because.clone()))
        });
        needs_it.collect()
    }

    /// What is met by what is done about a table, of which nothing is done.
    fn with_their_table(&self, undone: &BTreeSet<String>) -> Waiting {
        let with_table = self.with_table.iter().filter_map(|(difference, table)| {
            let is_table = |one: &&String| {
                ["different table ", "different foreign table "]
                    .iter()
                    .any(|kind| one.strip_prefix(kind) == Some(table))
            };
            Some((about(difference), undone.iter().find(is_table)?.clone()))
        });
        with_table.collect()
    }

    /// What the target has on its own and keeps: something that stays as it is needs it, or a column would have neither a default nor an
    /// identity.
    fn not_dropped(&self, undone: &BTreeSet<String>) -> Waiting {
        let extra = self.extra_places();
        let theirs = self.entries.iter().filter_map(|one| {
            let about = about(&one.difference);
            Some((self.target.place(one.target?), about))
        });
        let staying: BTreeMap<usize, String> = theirs
            .filter(|(place, about)| undone.contains(about) && !self.drops.contains_key(place))
            .collect();
        let mut waiting = Waiting::new();
        for (&place, about) in &staying {
            let entry = self.target.at(place);
            let Some(entry) = entry.filter(|entry| !comes_with_its_object(entry)) else {
                continue;
            };
            let needed = self.target.needs(entry).filter(|one| extra.contains(one));
            for dropped_for in needed.filter_map(|needed| self.drops.get(&needed)) {
                if dropped_for != about {
                    waiting.insert(dropped_for.clone(), about.clone());
                }
            }
        }
        for (&place, dropped_for) in &self.drops {
            let Some(entry) = self.target.at(place).filter(|_| extra.contains(&place)) else {
                continue;
            };
            let is_sequence = |one: usize| {
                let needed = self.target.at(one);
                needed.is_some_and(|needed| is_of_a_sequence(entry, needed))
            };
            let mut needed = self.target.needs(entry).filter(|&one| is_sequence(one));
            if let Some(about) = needed.find_map(|needed| staying.get(&needed)) {
                waiting.insert(dropped_for.clone(), about.clone());
            }
        }
        waiting
    }
}

/// Whether it can only be made where what it needs is as on the source: a part has the form of the whole, or it is not attached to it;
/// and an identity's own sequence has no other owner.
fn wants_as_on_the_source(entry: &Entry, needed: &Entry) -> bool {
    let is_part = entry.is("INDEX ATTACH") || entry.is("TABLE ATTACH");
    is_part || is_of_a_sequence(entry, needed)
}

/// A column's default that asks a sequence, or whose a sequence is.
fn is_of_a_sequence(entry: &Entry, needed: &Entry) -> bool {
    needed.is("SEQUENCE") && (entry.is("DEFAULT") || entry.is("SEQUENCE OWNED BY"))
}
