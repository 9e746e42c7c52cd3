//! Differences that a dump does not know of: what is not in force, settings, where sequences stand, large objects.

use std::collections::BTreeSet;

use crate::catalog::Constraint;
use crate::model::{Difference, DifferenceKind, QualifiedName, count, quote_ident, quote_literal};
use crate::toc::Entry;

use super::super::State;
use super::super::constraints::{constraint_object, has_no_name_of_its_own};
use super::draft::Draft;
use super::grants;
use super::no_rows::NoRows;
use super::states;
use super::step::{Phase, Statement, Step};

impl<'a> Draft<'a> {
    /// Plans what the catalogs call for. Whether the difference is one that they know.
    pub(super) fn of_catalog(
        &mut self,
        difference: &Difference,
        about: &str,
        gaps: &mut Vec<String>,
    ) -> bool {
        match difference.class.as_str() {
            "table data" => {
                self.of_rows(difference, gaps);
                return true;
            }
            "extension"
                if self.of_first(difference, about) || self.of_version(difference, about, gaps) =>
            {
                return true;
            }
            "large object" => {
                self.of_large_object(difference, about);
                return true;
            }
            "index" if difference.kind == DifferenceKind::Invalid => {
                return self.rebuild(difference, about, gaps);
            }
            "constraint" | "fk constraint" | "check constraint"
                if self.of_constraint(difference, about, gaps) =>
            {
                return true;
            }
            _ => {}
        }
        let mut known = self.of_states(difference, about, gaps);
        if difference.class == "sequence" {
            known |= self.of_sequence(difference, about);
        }
        if difference.class == "materialized view"
            && difference.kind == DifferenceKind::Different
            && !known
        {
            known = self.refresh(difference, about);
        }
        known
    }

    fn of_rows(&mut self, difference: &Difference, gaps: &mut Vec<String>) {
        let table = self
            .input
            .tables
            .iter()
            .find(|table| table.table.shown() == difference.object);
        let Some(table) = table else {
            let mut others = self.input.no_rows.iter();
            let known = others.find(|(table, _)| table.shown() == difference.object);
            let why = known.map_or(NoRows::Unknown, |(_, why)| why.clone());
            gaps.push(why.to_string());
            return;
        };
        if self.has_lost_its_identity(table) {
            self.left.insert(table.table.clone());
            gaps.push("a table that is published needs an identity of its rows, and the index that was it is gone: give it another on both sides".to_owned());
            return;
        }
        if table.more > 0 {
            self.partly.push(format!(
                "{} more rows differ than are in this file: run it, then write a new one, or copy the table again",
                table.more
            ));
        }
        self.partly
            .extend(self.undeleted.get(&table.table).cloned());
        let rows = table.rows.iter();
        let left = rows.filter(|row| table.cannot_be_updated(row)).count() as u64;
        if left > 0
            && let Err(instead) = self.input.may_replace(table)
        {
            self.partly.push(format!(
                "{}, or may, in an identity that is always generated, which no UPDATE sets: {instead}",
                count(left, "row differs", "rows differ")
            ));
        }
    }

    fn rebuild(&mut self, difference: &Difference, about: &str, gaps: &mut Vec<String>) -> bool {
        let mut indexes = self.input.target.observed.indexes.iter();
        let Some(index) = indexes.find(|index| index.name.shown() == difference.object) else {
            return false;
        };
        if index.partitioned {
            gaps.push("the index of a partitioned table becomes valid when each partition's part is attached to it: see those".to_owned());
        } else {
            let sql = format!("reindex index {}", index.name);
            // Before what is built: a constraint may want to rely on it.
            self.step(Phase::Finish, 0, about, vec![Statement::ours(sql)]);
        }
        true
    }

    /// Whether all is said about it: otherwise its entries are looked at.
    fn of_constraint(
        &mut self,
        difference: &Difference,
        about: &str,
        gaps: &mut Vec<String>,
    ) -> bool {
        let is_it = |one: &&Constraint| {
            let (class, object) = constraint_object(one);
            class == difference.class && object == difference.object && !has_no_name_of_its_own(one)
        };
        let found = self.input.target.observed.constraints.iter().find(is_it);
        let wanted = self.input.source.observed.constraints.iter().find(is_it);
        let has_entry = self.entries.iter().any(|one| {
            one.difference.class == difference.class && one.difference.object == difference.object
        });
        match (difference.kind, found, wanted) {
            (DifferenceKind::Invalid, Some(found), _) => {
                self.validate(found, about);
                true
            }
            _ if has_entry => false,
            (_, None, None) => self.of_partition(difference, about, gaps),
            (_, found, wanted) => {
                // pg_dump writes it into the table, and the table's difference is met there.
                let table = found
                    .or(wanted)
                    .map(|one| one.table.shown())
                    .unwrap_or_default();
                let name = found
                    .or(wanted)
                    .map(|one| one.name.clone())
                    .unwrap_or_default();
                let of_table = self.input.differences.iter().any(|other| {
                    matches!(other.class.as_str(), "table" | "foreign table")
                        && other.object == table
                });
                let suffix = format!(" {name}");
                let of_another = self.input.differences.iter().any(|other| {
                    other.class == difference.class
                        && other.object != difference.object
                        && other.object.ends_with(&suffix)
                });
                if of_table {
                    self.with_table.push((difference.clone(), table));
                } else if !of_another {
                    gaps.push(
                        "it is inherited, or written into a table that is otherwise the same"
                            .to_owned(),
                    );
                }
                true
            }
        }
    }

    fn validate(&mut self, constraint: &Constraint, about: &str) {
        let name = quote_ident(&constraint.name);
        // One over periods of time the server validates only in part.
        let validation = match &constraint.over_time {
            None => format!("validate constraint {name}"),
            Some(definition) => {
                format!("drop constraint {name}, add constraint {name} {definition}")
            }
        };
        let sql = format!("alter table {} {validation}", constraint.table);
        let mut statements = vec![Statement::ours(sql)];
        if constraint.kind == 'f' {
            statements.push(Statement::ours(enabled_triggers(constraint)));
        }
        // Behind everything that is built.
        self.step(Phase::Finish, usize::MAX / 4, about, statements);
    }

    /// Foreign keys that a partition has from its parent, under names that the server makes up.
    fn of_partition(
        &mut self,
        difference: &Difference,
        about: &str,
        gaps: &mut Vec<String>,
    ) -> bool {
        let named = |one: &&Constraint| {
            let to = one
                .references
                .as_ref()
                .map(QualifiedName::shown)
                .unwrap_or_default();
            has_no_name_of_its_own(one)
                && difference.object == format!("{} from its parent, to {to}", one.table.shown())
        };
        let theirs: Vec<Constraint> = self
            .input
            .target
            .observed
            .constraints
            .iter()
            .filter(named)
            .cloned()
            .collect();
        let ours = self.input.source.observed.constraints.iter().find(named);
        if theirs.is_empty() && ours.is_none() {
            return false;
        }
        if difference.kind == DifferenceKind::Invalid {
            for constraint in theirs.iter().filter(|one| !one.validated) {
                if constraint.over_time.is_none() {
                    self.validate(constraint, about);
                } else if gaps.is_empty() {
                    gaps.push("it is over periods of time, and in force when the foreign key of the partitioned table is dropped and added again".to_owned());
                }
            }
            return true;
        }
        let comes_along = self.input.differences.iter().any(|other| {
            matches!(other.class.as_str(), "fk constraint" | "table attach")
                && !other.object.contains(" from its parent, to ")
        });
        if !comes_along {
            gaps.push("it comes with the foreign key of the partitioned table: drop that and make it again".to_owned());
        }
        true
    }

    fn of_states(&mut self, difference: &Difference, about: &str, gaps: &mut Vec<String>) -> bool {
        if !matches!(
            difference.kind,
            DifferenceKind::Different | DifferenceKind::Invalid
        ) {
            return false;
        }
        let is_it =
            |state: &&State| state.class == difference.class && state.object() == difference.object;
        let (source, target) = (self.input.source.observed, self.input.target.observed);
        let settings = source.states.iter().chain(&target.states).filter(is_it);
        let mut seen = BTreeSet::new();
        let mut known = false;
        for setting in settings {
            if !seen.insert(setting.property.clone()) {
                continue;
            }
            let value = |side: &'a [State]| {
                let mut same = side.iter().filter(is_it);
                same.find(|one| one.property == setting.property)
                    .map(|one| one.state.as_str())
            };
            let (wanted, found) = (value(&source.states), value(&target.states));
            if wanted == found {
                continue;
            }
            known = true;
            if self.is_of_a_dropped_constraint(setting) {
                continue;
            }
            match states::set(setting, wanted) {
                Ok((phase, statement)) => {
                    let place = self.place_of_setting(difference, setting);
                    self.step(phase, place, about, vec![statement]);
                }
                Err(gap) => gaps.push(gap),
            }
        }
        known
    }

    /// A domain's constraint that is defined on one side only, or otherwise, is dropped or made as an entry.
    fn is_of_a_dropped_constraint(&self, setting: &State) -> bool {
        let Some(constraint) = setting.property.strip_prefix("constraint ") else {
            return false;
        };
        let bare = constraint.trim_matches('"').replace("\"\"", "\"");
        let object = format!(
            "{}.{} {bare}",
            crate::model::shown_ident(&setting.schema),
            setting.name
        );
        self.entries.iter().any(|one| {
            one.difference.class == "check constraint" && one.difference.object == object
        })
    }

    /// Behind the object's definition; materialized views in the order in which they read each other; what wants an index behind all.
    fn place_of_setting(&self, difference: &Difference, setting: &State) -> usize {
        if matches!(
            setting.property.as_str(),
            "clustered on" | "replica identity" | "state"
        ) {
            return usize::MAX / 4;
        }
        self.place_of(difference).unwrap_or(usize::MAX / 4)
    }

    fn place_of(&self, difference: &Difference) -> Option<usize> {
        let class = difference.class.to_uppercase();
        let entries = &self.source.toc.entries;
        entries.iter().position(|entry| {
            entry.desc == class
                && entry
                    .qualified_name()
                    .is_some_and(|name| name.shown() == difference.object)
        })
    }

    fn of_sequence(&mut self, difference: &Difference, about: &str) -> bool {
        let mut sequences = self.input.source.observed.sequences.iter();
        let wanted = sequences.find(|one| one.name.shown() == difference.object);
        let name = wanted.map(|one| one.name.clone());
        let known = wanted.is_some_and(|wanted| {
            let mut theirs = self.input.target.observed.sequences.iter();
            let found = theirs.find(|one| one.name == wanted.name);
            found.is_none_or(|found| {
                (found.last_value, found.is_called) != (wanted.last_value, wanted.is_called)
            })
        });
        if known {
            self.set_value(name.as_ref(), about);
        }
        known
    }

    /// `setval`, once, as the source has it.
    pub(super) fn set_value(&mut self, name: Option<&QualifiedName>, about: &str) {
        let mut sequences = self.input.source.observed.sequences.iter();
        let wanted = sequences.find(|one| Some(&one.name) == name);
        let Some(wanted) = wanted else {
            return;
        };
        let sql = format!(
            "select pg_catalog.setval({}, {}, {})",
            quote_literal(&wanted.name.to_string()),
            // Without quotes, the least of all is no bigint.
            quote_literal(&wanted.last_value.to_string()),
            wanted.is_called
        );
        let statement = Statement::ours(sql);
        if !self
            .steps
            .iter()
            .any(|step| step.statements.contains(&statement))
        {
            self.step(Phase::Values, 0, about, vec![statement]);
        }
    }

    fn refresh(&mut self, difference: &Difference, about: &str) -> bool {
        let place = self.place_of(difference);
        let entry = place.and_then(|place| self.source.at(place));
        if let Some(entry) = entry {
            self.populate(entry, about);
        }
        entry.is_some()
    }

    /// Runs a materialized view's query, unless the source's is not populated.
    pub(super) fn populate(&mut self, entry: &'a Entry, about: &str) {
        let Some(name) = entry.qualified_name() else {
            return;
        };
        let empty = self.input.source.observed.states.iter().any(|state| {
            state.property == "data" && state.schema == name.schema && state.name == name.name
        });
        if !empty {
            let place = self.source.place(entry);
            let sql = format!("refresh materialized view {name}");
            self.step(Phase::Last, place, about, vec![Statement::ours(sql)]);
        }
    }

    fn of_large_object(&mut self, difference: &Difference, about: &str) {
        let of = |side: &'a [crate::catalog::LargeObject]| {
            side.iter()
                .find(|object| object.oid.to_string() == difference.object)
        };
        let wanted = of(&self.input.source.observed.large_objects);
        let found = of(&self.input.target.observed.large_objects);
        let mut statements = Vec::new();
        match (wanted, found) {
            (None, Some(found)) => {
                statements.push(Statement::ours(format!(
                    "select pg_catalog.lo_unlink({})",
                    found.oid
                )));
            }
            (Some(wanted), found) => {
                // The lines of a difference that is not in the content.
                let of_catalog = |line: &str| {
                    ["owner: ", "grants: ", "comment: "]
                        .iter()
                        .any(|start| line.starts_with(start))
                };
                let same_content = found.is_some() && difference.detail.lines().all(of_catalog);
                if !same_content {
                    self.contents.push(super::Content {
                        oid: wanted.oid,
                        exists: found.is_some(),
                        about: about.to_owned(),
                    });
                }
                statements = grants::of_large_object(wanted, found, &self.input.options.restore);
            }
            (None, None) => {}
        }
        if !statements.is_empty() {
            self.steps.push(Step {
                // After the contents, which are written in the phase before.
                phase: Phase::Finish,
                position: 0,
                about: about.to_owned(),
                statements,
                transaction: true,
            });
        }
    }
}

/// A foreign key is not in force either while its triggers, which the server names, are disabled.
fn enabled_triggers(constraint: &Constraint) -> String {
    let block = format!(
        "declare one record; begin for one in \
         select t.tgrelid::pg_catalog.regclass as relation, t.tgname from pg_catalog.pg_trigger t \
         join pg_catalog.pg_constraint k on k.oid = t.tgconstraint \
         where t.tgenabled <> 'O' and k.contype = 'f' and k.conrelid = {}::pg_catalog.regclass and k.conname = {} loop \
         execute pg_catalog.format('alter table %s enable trigger %I', one.relation, one.tgname); end loop; end",
        quote_literal(&constraint.table.to_string()),
        quote_literal(&constraint.name),
    );
    format!("do {}", quote_literal(&block))
}
