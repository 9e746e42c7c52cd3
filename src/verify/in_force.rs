//! Whether constraints are in force, and materialized views populated, on a server that is compared with an archive.
//!
//! No dump says whether the triggers fire by which a server enforces constraints. A restore makes them enabled, and so they must be on
//! whatever was restored; the server that was dumped may have had them disabled then as well, and of that it is only told. To
//! fill a materialized view is an entry of its own, apart from its definition; what is in it is not in an archive.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::catalog::SourceFacts;
use crate::model::{DifferenceKind, DumpId, QualifiedName, Side};
use crate::pg::{PgError, Session};
use crate::toc::{Entry, Toc};

use super::constraints::{changed, key_triggers};
use super::{Observed, Outcome, Scope, some_of};

/// What an archive says of it.
#[derive(Debug, Clone, Copy)]
pub struct Contents<'a> {
    /// Its table of contents, in UTF-8 unless the database had no encoding.
    pub toc: &'a Toc,
    /// Whether data was left out of something that is defined in it.
    pub lacks_data: bool,
}

/// Compares it with a server: the one that was dumped, or another.
pub async fn compare(
    archive: Contents<'_>,
    (side, facts): (Side, &SourceFacts),
    session: &Session,
) -> Result<Outcome, PgError> {
    let there = Observed {
        key_triggers: key_triggers(session).await?,
        ..Observed::default()
    };
    let views = facts.matviews.iter();
    let views: Populated = views
        .map(|view| (view.name.clone(), view.populated))
        .collect();
    let mut outcome = Outcome::default();
    outcome.extend(of_constraints(archive.toc, &there, side));
    outcome.extend(of_views(archive, &views));
    Ok(outcome)
}

fn of_constraints(toc: &Toc, there: &Observed, side: Side) -> Outcome {
    let mut outcome = Outcome::default();
    let mut on_source = Vec::new();
    for ((object, on), triggers) in changed(there, &Scope::of(toc)) {
        let (on, state) = (on.shown(), &triggers.state);
        if side == Side::Source {
            on_source.push(format!("{} on {on} ({state})", object.1));
            continue;
        }
        let kind = if triggers.lets_pass() {
            DifferenceKind::Invalid
        } else {
            DifferenceKind::Different
        };
        let detail = format!(
            "its triggers on {on} are {state} on the server; a restore of the archive makes them enabled"
        );
        outcome.differ(kind, object, detail);
    }
    if !on_source.is_empty() {
        outcome.notes.push(format!(
            "Triggers that enforce constraints are not enabled on the source, and will be wherever the archive is restored, because no \
             dump can say so: {}. What they let pass there is refused then; ALTER TABLE … DISABLE TRIGGER ALL would make it the same.",
            some_of(&on_source)
        ));
    }
    outcome
}

/// Materialized views of a server, and whether each is populated.
type Populated = BTreeMap<QualifiedName, bool>;

fn of_views(archive: Contents<'_>, there: &Populated) -> Outcome {
    let views = Views::of(archive);
    let mut outcome = Outcome::default();
    let mut same = 0;
    for view in archive.toc.entries.iter().filter(|entry| is_view(entry)) {
        let Some(name) = view.qualified_name() else {
            continue;
        };
        // One that is not there is missing among the definitions.
        let known = views
            .was_populated(view, &name)
            .zip(there.get(&name).copied());
        let detail = match known {
            None => continue,
            Some((true, false)) => {
                "it is not populated on the server, and cannot be read; the archive fills it"
            }
            Some((false, true)) => "it is populated on the server, and was not when it was dumped",
            Some(_) => {
                same += 1;
                continue;
            }
        };
        let object = ("materialized view", name.shown());
        outcome.differ(DifferenceKind::Different, object, detail.to_owned());
    }
    outcome.count("materialized views' states", same);
    outcome
}

fn is_view(entry: &Entry) -> bool {
    entry.is("MATERIALIZED VIEW")
}

/// The materialized views of an archive.
struct Views<'a> {
    archive: Contents<'a>,
    by_id: HashMap<DumpId, &'a Entry>,
    /// Those that the archive fills.
    filled: BTreeSet<QualifiedName>,
}

impl<'a> Views<'a> {
    fn of(archive: Contents<'a>) -> Self {
        let entries = archive.toc.entries.iter();
        let by_id = entries.map(|entry| (entry.dump_id, entry)).collect();
        let entries = archive.toc.entries.iter();
        let filled = entries
            .filter(|entry| entry.is("MATERIALIZED VIEW DATA"))
            .filter_map(Entry::qualified_name)
            .collect();
        Self {
            archive,
            by_id,
            filled,
        }
    }

    /// Whether a view was populated. Of one that the archive does not fill that is unknown where data was left out; and where it reads
    /// another that was not populated, because `pg_dump` fills neither then.
    fn was_populated(&self, view: &Entry, name: &QualifiedName) -> Option<bool> {
        if self.filled.contains(name) {
            return Some(true);
        }
        let is_known = !self.archive.lacks_data && !self.reads_an_empty_one(view);
        is_known.then_some(false)
    }

    /// Whether it reads, also through views, a materialized view that the archive does not fill.
    fn reads_an_empty_one(&self, view: &Entry) -> bool {
        let mut seen = BTreeSet::from([view.dump_id]);
        let mut next: Vec<DumpId> = view.dependencies.to_vec();
        while let Some(id) = next.pop() {
            let Some(&entry) = self.by_id.get(&id).filter(|_| seen.insert(id)) else {
                continue;
            };
            if entry.is("VIEW") {
                next.extend(&entry.dependencies);
            } else if is_view(entry) {
                let name = entry.qualified_name();
                if name.is_none_or(|name| !self.filled.contains(&name)) {
                    return true;
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toc::Text;
    use crate::toc::testing::{entry, toc};
    use crate::verify::KeyTriggers;

    fn name(name: &str) -> QualifiedName {
        QualifiedName::new("public", name)
    }

    fn made(id: i32, desc: &str, name: &str, reads: &[i32]) -> Entry {
        Entry {
            dump_id: DumpId(id),
            tag: Text::from(name),
            dependencies: reads.iter().copied().map(DumpId).collect(),
            ..entry(desc)
        }
    }

    /// A view that is filled, one that is not, and one that reads that through a view.
    fn archive() -> Toc {
        toc(vec![
            made(1, "MATERIALIZED VIEW", "filled", &[]),
            made(2, "MATERIALIZED VIEW", "empty", &[1]),
            made(3, "VIEW", "between", &[2]),
            made(4, "MATERIALIZED VIEW", "above", &[3]),
            made(5, "MATERIALIZED VIEW DATA", "filled", &[1]),
            made(6, "TABLE", "t", &[]),
        ])
    }

    fn found(lacks_data: bool, populated: &[(&str, bool)]) -> (Vec<String>, u64) {
        let toc = archive();
        let there = populated.iter().map(|(view, is)| (name(view), *is));
        let there: Populated = there.collect();
        let contents = Contents {
            toc: &toc,
            lacks_data,
        };
        let outcome = of_views(contents, &there);
        let objects = outcome.differences.into_iter().map(|one| one.object);
        let same: u64 = outcome.checked.iter().map(|(_, count)| count).sum();
        (objects.collect(), same)
    }

    #[test]
    fn a_view_is_populated_if_the_archive_fills_it_and_only_then_where_that_is_known() {
        let differ = |views: &[&str], same: u64| {
            let views = views.iter().map(|view| format!("public.{view}"));
            (views.collect::<Vec<_>>(), same)
        };
        let as_dumped = [("filled", true), ("empty", false), ("above", false)];
        let otherwise = [("filled", false), ("empty", true), ("above", true)];
        assert_eq!(found(false, &as_dumped), differ(&[], 2));
        assert_eq!(found(false, &otherwise), differ(&["filled", "empty"], 0));
        assert_eq!(found(true, &as_dumped), differ(&[], 1));
        assert_eq!(found(true, &otherwise), differ(&["filled"], 0));
        // What is not there, or not in the archive, is not asked for.
        assert_eq!(found(false, &[("another", false)]), differ(&[], 0));
    }

    #[test]
    fn triggers_of_constraints_are_enabled_except_on_the_server_that_was_dumped() {
        let toc = archive();
        let triggers = |table: &str, on: &str, state: &str| KeyTriggers {
            table: name(table),
            constraint: "key".into(),
            kind: 'f',
            inherited: false,
            references: Some(name("r")),
            on: name(on),
            state: state.into(),
        };
        let there = |all: &[KeyTriggers]| Observed {
            key_triggers: all.to_vec(),
            ..Observed::default()
        };
        let of = |all: &[KeyTriggers], side| {
            let mut outcome = Outcome::default();
            outcome.extend(of_constraints(&toc, &there(all), side));
            let told = outcome.differences.iter();
            let told = told.map(|one| format!("{:?} {} {}", one.kind, one.class, one.object));
            (told.collect::<Vec<_>>(), outcome.notes.len())
        };
        let off = [
            triggers("t", "t", "disabled"),
            triggers("t", "r", "disabled"),
            triggers("elsewhere", "t", "disabled"),
        ];
        let invalid = vec!["Invalid fk constraint public.t key".to_owned()];
        assert_eq!(of(&off, Side::Target), (invalid, 0));
        assert_eq!(of(&off, Side::Source), (Vec::new(), 1));
        let always = [triggers("t", "t", "always enabled")];
        let different = vec!["Different fk constraint public.t key".to_owned()];
        assert_eq!(of(&always, Side::Target), (different, 0));
        assert_eq!(of(&[], Side::Source), (Vec::new(), 0));
    }
}
