//! A table of contents as a graph: what must be made anew when something is.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::DumpId;
use crate::toc::{Entry, Toc};

/// Entries by place, and who depends on whom.
pub(super) struct Graph<'a> {
    pub toc: &'a Toc,
    places: BTreeMap<DumpId, usize>,
    dependents: BTreeMap<DumpId, Vec<usize>>,
}

impl<'a> Graph<'a> {
    pub fn new(toc: &'a Toc) -> Self {
        let mut dependents: BTreeMap<DumpId, Vec<usize>> = BTreeMap::new();
        for (place, entry) in toc.entries.iter().enumerate() {
            for &id in &entry.dependencies {
                dependents.entry(id).or_default().push(place);
            }
        }
        let places = toc.entries.iter().enumerate();
        Self {
            toc,
            places: places
                .map(|(place, entry)| (entry.dump_id, place))
                .collect(),
            dependents,
        }
    }

    pub fn at(&self, place: usize) -> Option<&'a Entry> {
        self.toc.entries.get(place)
    }

    /// The place of one of its entries.
    pub fn place(&self, entry: &Entry) -> usize {
        self.places.get(&entry.dump_id).copied().unwrap_or(0)
    }

    /// The entries that an entry depends on.
    pub fn needs(&self, entry: &Entry) -> impl Iterator<Item = usize> {
        let places = entry.dependencies.iter();
        places.filter_map(|id| self.places.get(id).copied())
    }

    /// Everything that cannot be without this, and without that.
    pub fn dependents(&self, place: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut ahead = vec![place];
        while let Some(entry) = ahead.pop().and_then(|place| self.at(place)) {
            for &next in self.dependents.get(&entry.dump_id).into_iter().flatten() {
                if next != place && found.insert(next) {
                    ahead.push(next);
                }
            }
        }
        found
    }

    /// The entry for what another archive's entry is for.
    pub fn same_as(&self, other: &Entry) -> Option<usize> {
        self.toc.entries.iter().position(|entry| {
            entry.desc == other.desc
                && entry.namespace == other.namespace
                && entry.tag == other.tag
                && (!entry.is("DEFAULT ACL") || entry.owner == other.owner)
        })
    }
}

/// Goes with its object, and comes again with it.
pub(super) fn comes_with_its_object(entry: &Entry) -> bool {
    matches!(
        entry.desc.as_str(),
        "ACL"
            | "COMMENT"
            | "SECURITY LABEL"
            | "PUBLICATION TABLE"
            | "PUBLICATION TABLES IN SCHEMA"
            | "SEQUENCE OWNED BY"
    )
}

/// Holds what cannot be made again from a definition, or is held by what does.
pub(super) fn must_stay(entry: &Entry) -> bool {
    matches!(
        entry.desc.as_str(),
        "TABLE"
            | "FOREIGN TABLE"
            | "SEQUENCE"
            | "SCHEMA"
            | "EXTENSION"
            | "SUBSCRIPTION"
            | "TABLE ATTACH"
            | "INDEX ATTACH"
    )
}
