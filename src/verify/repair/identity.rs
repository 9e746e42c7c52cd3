//! Replica identities: the server refuses to update and to delete published rows that nothing identifies, to us and to everybody else.
//!
//! What identifies them may be an index that is made again. Until it is, whole rows identify them, from before it is dropped: should the
//! file stop on its way, whoever writes to the table can go on.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::Index;
use crate::model::{QualifiedName, RowKind};
use crate::toc::{Entry, Toc};

use super::super::Observed;
use super::Repair;
use super::draft::Draft;
use super::order;
use super::rows::TableRepair;
use super::step::{Phase, Statement};

/// An identity that no statement puts back.
const LOST: &str = "using index (dropped)";

impl Draft<'_> {
    /// Has whole rows identify published ones for as long as their index is not there. `replaced`: at these places is what is never gone.
    pub(super) fn identify_meanwhile(&mut self, replaced: &BTreeMap<usize, usize>) {
        if !is_published(self.input.target.toc) {
            return;
        }
        let (source, target) = (self.input.source.observed, self.input.target.observed);
        for (place, about) in self.drops.clone() {
            if replaced.values().any(|&there| there == place) {
                continue;
            }
            for table in self.identified_by(place) {
                let set = |identity: &str| {
                    let sql = format!("alter table only {table} replica identity {identity}");
                    vec![Statement::ours(sql)]
                };
                self.step(Phase::Drop, 0, &about, set("full"));
                let found = identity_of(target, &table);
                // Otherwise that is a difference, and met as one.
                if found == identity_of(source, &table) {
                    let back = set(found.unwrap_or("default"));
                    self.step(Phase::Finish, usize::MAX / 4, &about, back);
                }
            }
        }
    }

    /// The tables whose rows an index identifies, or one that goes with it.
    fn identified_by(&self, place: usize) -> BTreeSet<QualifiedName> {
        let observed = self.input.target.observed;
        let at = |place| self.target.at(place);
        let is_index = |entry: &&Entry| entry.is("INDEX") || entry.is("CONSTRAINT");
        let Some(index) = at(place).filter(is_index) else {
            return BTreeSet::new();
        };
        let dependents = self.target.dependents(place).into_iter().filter_map(at);
        let attached = dependents.filter(|entry| entry.is("INDEX ATTACH"));
        std::iter::once(index)
            .chain(attached)
            .filter_map(|entry| index_of(observed, entry))
            .filter(|index| identifies(observed, index))
            .map(|index| index.table.clone())
            .collect()
    }

    /// Whether rows of a published table cannot be changed or deleted, and there is no identity that it could be given back afterwards.
    pub(super) fn has_lost_its_identity(&self, table: &TableRepair) -> bool {
        let (source, target) = (self.input.source, self.input.target);
        let has_lost = |observed| identity_of(observed, &table.table) == Some(LOST);
        is_changed(table)
            && has_lost(source.observed)
            && has_lost(target.observed)
            && publishes(target.toc, &table.table)
    }
}

impl Repair<'_> {
    /// The replica identity of a table whose rows could not be changed or deleted with it: the server refuses that if a
    /// publication has the table, and publications are many, of one table or of all. Where what it was is lost, it stays `full` until its
    /// turn comes among the settings.
    pub(super) fn unidentified(&self, table: &TableRepair) -> Option<&'static str> {
        let target = self.input.target;
        if !is_published(target.toc) || !is_changed(table) {
            return None;
        }
        let has_primary_key = || {
            let mut constraints = target.observed.constraints.iter();
            constraints.any(|one| one.kind == 'p' && one.table == table.table)
        };
        match identity_of(target.observed, &table.table) {
            None => (!has_primary_key()).then_some("default"),
            Some("nothing") => Some("nothing"),
            Some(LOST) => publishes(target.toc, &table.table).then_some("full"),
            Some(_) => None,
        }
    }
}

fn is_published(toc: &Toc) -> bool {
    toc.entries.iter().any(|entry| entry.is("PUBLICATION"))
}

/// Whether a publication has a table: by its name or that of what it is a partition of, by their schemas, or because it has all.
fn publishes(toc: &Toc, table: &QualifiedName) -> bool {
    let tables = order::with_ancestors(table, &order::partitions(toc));
    let is_one = |entry: &Entry| {
        entry.is("TABLE")
            && entry
                .qualified_name()
                .is_some_and(|name| tables.contains(&name))
    };
    toc.entries.iter().any(|entry| match entry.desc.as_str() {
        "PUBLICATION" => String::from_utf8_lossy(entry.defn_bytes()).contains("FOR ALL TABLES"),
        "PUBLICATION TABLE" => {
            let mut needed = entry.dependencies.iter().filter_map(|&id| toc.by_id(id));
            needed.any(is_one)
        }
        "PUBLICATION TABLES IN SCHEMA" => {
            let has = |schema: &str| tables.iter().any(|table| schema == &*table.schema);
            entry
                .namespace
                .as_ref()
                .is_some_and(|schema| schema.to_str().is_some_and(has))
        }
        _ => false,
    })
}

fn is_changed(table: &TableRepair) -> bool {
    table.count(RowKind::Extra) + table.count(RowKind::Changed) > 0
}

/// `None` is the default, a primary key.
fn identity_of<'o>(observed: &'o Observed, table: &QualifiedName) -> Option<&'o str> {
    let state = observed.states.iter().find(|state| {
        state.property == "replica identity"
            && state.schema == table.schema
            && state.name == table.name
    });
    state.map(|state| state.state.as_str())
}

fn identifies(observed: &Observed, index: &Index) -> bool {
    match identity_of(observed, &index.table) {
        None => index.constraint_kind == Some('p'),
        Some(identity) => identity
            .strip_prefix("using index ")
            .is_some_and(|name| unquoted(name) == *index.name.name),
    }
}

/// The index that an entry is for, or the constraint's.
fn index_of<'o>(observed: &'o Observed, entry: &Entry) -> Option<&'o Index> {
    let schema = entry.namespace.as_ref()?.to_str()?;
    let tag = entry.tag.to_str()?;
    observed.indexes.iter().find(|index| {
        let is_it = match &index.constraint {
            Some(constraint) if entry.is("CONSTRAINT") => {
                tag.strip_prefix(&*index.table.name)
                    .and_then(|rest| rest.strip_prefix(' '))
                    == Some(constraint.as_str())
            }
            _ => !entry.is("CONSTRAINT") && tag == &*index.name.name,
        };
        is_it && schema == &*index.name.schema
    })
}

fn unquoted(name: &str) -> String {
    let inner = name
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inner.map_or_else(|| name.to_owned(), |inner| inner.replace("\"\"", "\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_the_server_quotes_them() {
        for (quoted, bare) in [("a", "a"), (r#""A b""#, "A b"), (r#""a""""#, "a\"")] {
            assert_eq!(unquoted(quoted), bare);
        }
    }
}
