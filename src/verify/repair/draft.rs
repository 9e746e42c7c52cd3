//! The repair as it is being thought out: each difference gets its steps, or a reason why there are none.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Difference, DifferenceKind, QualifiedName};
use crate::toc::{Entry, EntryDifference, compare_entries, restore_statements};

use super::build::drop_statement;
use super::grants::{granted, is_of_the_server};
use super::graph::{Graph, comes_with_its_object};
use super::step::{Phase, Statement, Step};
use super::text::{before, joined};
use super::{Content, NotCovered, RepairInput};

/// The plan in the making.
pub(super) struct Draft<'a> {
    pub input: &'a RepairInput<'a>,
    pub source: Graph<'a>,
    pub target: Graph<'a>,
    pub entries: Vec<EntryDifference<'a>>,
    /// Places in the target's table of contents, and what each is dropped for.
    pub drops: BTreeMap<usize, String>,
    /// Places in the source's table of contents, and what each is made for.
    pub creates: BTreeMap<usize, String>,
    pub steps: Vec<Step>,
    pub not_covered: Vec<NotCovered>,
    pub contents: Vec<Content>,
    /// Tables whose rows are not written.
    pub left: BTreeSet<QualifiedName>,
    /// Tables of which no row is deleted, and why, as a clause.
    pub undeleted: BTreeMap<QualifiedName, String>,
    /// What is left open of the difference that is being thought about although the rest of it is done, a clause each.
    pub partly: Vec<String>,
    /// Differences that are met by what is done about a table, and that table.
    pub with_table: Vec<(Difference, String)>,
    /// What the difference that is being thought about could be met with, if a person wants that.
    suggestions: Vec<Statement>,
    /// Extra entries that hold data, and what depends on them.
    kept: BTreeMap<usize, String>,
}

impl<'a> Draft<'a> {
    /// Thinks about every difference.
    pub fn of(input: &'a RepairInput<'a>) -> Self {
        let mut draft = Self {
            input,
            source: Graph::new(input.source.toc),
            target: Graph::new(input.target.toc),
            entries: compare_entries(input.source.toc, input.target.toc, input.options),
            drops: BTreeMap::new(),
            creates: BTreeMap::new(),
            steps: Vec::new(),
            not_covered: Vec::new(),
            contents: Vec::new(),
            left: BTreeSet::new(),
            undeleted: BTreeMap::new(),
            partly: Vec::new(),
            with_table: Vec::new(),
            suggestions: Vec::new(),
            kept: BTreeMap::new(),
        };
        draft.keep_what_holds_data();
        draft.keep_what_takes_others_along();
        let mut undone = BTreeSet::new();
        for difference in input.differences {
            let mut gaps = draft.remedy(difference);
            if !gaps.is_empty() {
                draft.undo(difference);
                undone.insert(about(difference));
            }
            gaps.append(&mut draft.partly);
            let suggestions = std::mem::take(&mut draft.suggestions);
            if !gaps.is_empty() {
                draft.leave(difference, gaps.join("; "), suggestions);
            }
        }
        while draft.leave_what_needs(&mut undone) {}
        draft.leave_rows(&undone);
        draft.drop_and_create();
        draft.steps.sort_by_key(|step| (step.phase, step.position));
        draft
    }

    /// What was left in part before is left as a whole now: the last reason counts.
    pub fn leave(&mut self, difference: &Difference, because: String, suggestions: Vec<Statement>) {
        let mut known = self.not_covered.iter_mut();
        if let Some(one) = known.find(|one| one.difference == *difference) {
            one.because = because;
            one.suggestions.extend(suggestions);
            return;
        }
        self.not_covered.push(NotCovered {
            difference: difference.clone(),
            because,
            suggestions,
        });
    }

    /// What is not wholly understood is not begun: a statement that is right by itself could fail without those that are
    /// missing, and end the file for all that follows.
    fn undo(&mut self, difference: &Difference) {
        let about = about(difference);
        let steps = std::mem::take(&mut self.steps);
        let (of_it, others) = steps.into_iter().partition(|step| step.about == about);
        self.steps = others;
        let of_it: Vec<Step> = of_it;
        self.suggest(of_it.into_iter().flat_map(|step| step.statements).collect());
        self.drops.retain(|_, dropped_for| *dropped_for != about);
        self.creates.retain(|_, made_for| *made_for != about);
        self.contents.retain(|content| content.about != about);
    }

    /// Leaves out what waits for something that is left out. Whether there was such a thing.
    fn leave_what_needs(&mut self, undone: &mut BTreeSet<String>) -> bool {
        if undone.is_empty() {
            return false;
        }
        let because = self.waiting(undone);
        let mut found = false;
        for difference in self.input.differences {
            let about = about(difference);
            let Some(needed) = because.get(&about).filter(|_| !undone.contains(&about)) else {
                continue;
            };
            self.undo(difference);
            let suggestions = std::mem::take(&mut self.suggestions);
            self.leave(
                difference,
                format!("it waits for what is not covered: {needed}"),
                suggestions,
            );
            undone.insert(about);
            found = true;
        }
        found
    }

    /// Tables, schemas and extensions that the target has on its own are a person's to drop, with what is in them or on them.
    fn keep_what_holds_data(&mut self) {
        for place in self.extra_places() {
            let Some(entry) = self.target.at(place) else {
                continue;
            };
            if matches!(
                entry.desc.as_str(),
                "TABLE" | "SCHEMA" | "EXTENSION" | "SUBSCRIPTION"
            ) {
                let name = format!("{} {}", entry.desc.to_lowercase(), entry.tag_lossy());
                for dependent in self.target.dependents(place) {
                    self.kept.entry(dependent).or_insert_with(|| name.clone());
                }
                self.kept.insert(place, name);
            }
        }
    }

    /// Places in the target's table of contents of what it has on its own.
    pub fn extra_places(&self) -> BTreeSet<usize> {
        let extra = self.entries.iter().filter(|one| one.source.is_none());
        let entries = extra.filter_map(|one| one.target);
        entries
            .filter(|entry| !is_schema_public(entry))
            .map(|entry| self.target.place(entry))
            .collect()
    }

    /// Whether the target has it on its own.
    pub fn is_extra(&self, entry: &Entry) -> bool {
        self.extra_places().contains(&self.target.place(entry))
    }

    /// Schema and tag of the triggers and rules that are dropped.
    pub fn dropped_parts(&self) -> Vec<(String, String)> {
        let dropped = self.drops.keys().filter_map(|&place| self.target.at(place));
        dropped
            .filter(|entry| entry.is("TRIGGER") || entry.is("RULE"))
            .filter_map(|entry| {
                Some((
                    entry.namespace.as_ref()?.to_str()?.to_owned(),
                    entry.tag.to_str()?.to_owned(),
                ))
            })
            .collect()
    }

    /// What a difference is met with; returns what is left open, a clause each.
    fn remedy(&mut self, difference: &Difference) -> Vec<String> {
        let about = about(difference);
        let mut gaps = Vec::new();
        let mut known = self.of_catalog(difference, &about, &mut gaps);
        let matching: Vec<EntryDifference> = self
            .entries
            .iter()
            .filter(|one| {
                let (found, kind) = (&one.difference, difference.kind);
                // To pg_dump an invalid index is missing.
                let same_kind = found.kind == kind
                    || (kind == DifferenceKind::Invalid && found.kind == DifferenceKind::Different);
                same_kind && found.class == difference.class && found.object == difference.object
            })
            .cloned()
            .collect();
        for one in matching {
            known = true;
            match (one.source, one.target) {
                (Some(ours), Some(theirs)) => {
                    gaps.extend(self.change(ours, theirs, one.of_definition, &about));
                }
                (Some(ours), None) => {
                    gaps.extend(self.make(ours, &about));
                    // The target has it in another form, which goes, and what was said about it with it.
                    if one.difference.kind == DifferenceKind::Different && !is_schema_public(ours) {
                        self.create_with_attached(self.source.place(ours), &about);
                    }
                }
                (None, Some(theirs)) => gaps.extend(self.remove(theirs, &about)),
                (None, None) => {}
            }
        }
        if !known {
            let why = if difference.is_in_no_dump() {
                "no dump carries it, so it is not known how it was made: make it the same by hand"
            } else {
                "it is not known how to change this"
            };
            gaps.push(why.to_owned());
        }
        gaps
    }

    fn make(&mut self, ours: &'a Entry, about: &str) -> Vec<String> {
        let mut gaps = Vec::new();
        if ours.is("SUBSCRIPTION") {
            gaps.push(
                "a subscription connects to another server as soon as it is made: make it by hand"
                    .to_owned(),
            );
            let statements = self.split(ours).into_iter().map(Statement::of_dump);
            self.suggest(statements.collect());
            return gaps;
        }
        if let Err(error) = restore_statements(self.source.toc, ours, &self.input.options.restore) {
            return vec![error.to_string()];
        }
        if ours.is("TABLE") {
            let without_rows = self.without_rows(ours);
            self.partly.extend(without_rows);
        }
        self.create(self.source.place(ours), about);
        gaps
    }

    /// What is to be said of a table that is made without its rows, as a clause.
    fn without_rows(&self, ours: &Entry) -> Option<String> {
        let name = ours.qualified_name();
        let mut with_rows = self.input.tables.iter();
        if with_rows.any(|table| name.as_ref() == Some(&table.table)) {
            return None;
        }
        let why = name.and_then(|name| self.input.no_rows.get(&name));
        Some(why.map_or_else(
            || {
                "the table is made, but its rows, if it has any, are not in this file: copy them with pg_dump --data-only --table, and verify again"
                    .to_owned()
            },
            |why| format!("the table is made, but its rows are not in this file: {why}"),
        ))
    }

    fn remove(&mut self, theirs: &'a Entry, about: &str) -> Vec<String> {
        let place = self.target.place(theirs);
        if let Some(because) = self.kept_because(place, theirs) {
            self.suggest(drop_statement(theirs).into_iter().collect());
            return vec![because];
        }
        let about_entry = |draft: &Self, word: &str| {
            draft
                .target
                .needs(theirs)
                .any(|needed| draft.target.at(needed).is_some_and(|one| one.is(word)))
        };
        match theirs.desc.as_str() {
            "COMMENT" | "SECURITY LABEL" => {
                let goes = self.goes_with_what_it_is_on(theirs);
                if let Some(head) = before(theirs.defn_bytes(), &["IS"]).filter(|_| !goes) {
                    let sql = joined(&[head, b" IS NULL"]);
                    self.step(Phase::Comments, place, about, vec![Statement::of_dump(sql)]);
                }
                Vec::new()
            }
            "ACL" if is_of_the_server(theirs) => {
                vec!["it is about what came with the server: take it back by hand".to_owned()]
            }
            "ACL" | "DEFAULT ACL" => {
                if !self.goes_with_what_it_is_on(theirs) {
                    let grants = granted(theirs, self.target.toc.std_strings());
                    self.reset_grants(&grants, theirs, about);
                }
                Vec::new()
            }
            // It goes with the index of the partitioned table.
            "INDEX ATTACH" if about_entry(self, "INDEX") || about_entry(self, "CONSTRAINT") => {
                Vec::new()
            }
            // A partition's trigger that fires otherwise than its parent's: who looks at the catalogs says how it should.
            "TRIGGER"
                if theirs
                    .defn_bytes()
                    .trim_ascii()
                    .starts_with(b"ALTER TABLE ") =>
            {
                Vec::new()
            }
            "SCHEMA" if is_schema_public(theirs) => vec![
                "its owner on the source is the usual one of version 15 and later; where the target has that role: \
                 ALTER SCHEMA public OWNER TO pg_database_owner"
                    .to_owned(),
            ],
            _ if self.goes_with_its_parent(theirs) => Vec::new(),
            _ if drop_statement(theirs).is_none() => {
                vec!["it is not known how to drop this".to_owned()]
            }
            _ => {
                self.drop_entry(place, about);
                Vec::new()
            }
        }
    }

    /// Why it is a person's to drop, as a clause: it holds data, or it goes with what does, or that needs it.
    fn kept_because(&self, place: usize, theirs: &Entry) -> Option<String> {
        if let Some(holder) = self.kept.get(&place) {
            return Some(if is_holder(theirs) {
                "dropping it would drop what it holds: uncomment the statement if that is not needed".to_owned()
            } else {
                format!("it goes with {holder}, and whether that is dropped is for you to decide")
            });
        }
        let mut dependents = self.target.dependents(place).into_iter();
        let holder = dependents.find_map(|dependent| self.kept.get(&dependent))?;
        Some(format!(
            "{holder}, which is on the target only, needs it, and whether that is dropped is for you to decide"
        ))
    }

    /// What is on something that the target has on its own goes with it.
    fn goes_with_what_it_is_on(&self, theirs: &Entry) -> bool {
        self.target.needs(theirs).any(|place| {
            self.target
                .at(place)
                .is_some_and(|entry| self.is_extra(entry))
        })
    }

    /// A partition's index that is attached to one that is dropped.
    fn goes_with_its_parent(&self, theirs: &Entry) -> bool {
        let attach = self.target.toc.entries.iter().find(|entry| {
            entry.is("INDEX ATTACH")
                && entry.namespace == theirs.namespace
                && entry.tag == theirs.tag
        });
        matches!(theirs.desc.as_str(), "INDEX" | "CONSTRAINT")
            && attach.is_some_and(|attach| self.is_extra(attach))
    }

    pub fn suggest(&mut self, statements: Vec<Statement>) {
        self.suggestions.extend(statements);
    }

    pub fn drop_entry(&mut self, place: usize, about: &str) {
        self.drops.entry(place).or_insert_with(|| about.to_owned());
    }

    pub fn create(&mut self, place: usize, about: &str) {
        self.creates
            .entry(place)
            .or_insert_with(|| about.to_owned());
    }

    /// With its comments, grants and labels, which went with it.
    pub fn create_with_attached(&mut self, place: usize, about: &str) {
        self.create(place, about);
        for dependent in self.source.dependents(place) {
            let entry = self.source.at(dependent);
            let is_direct = |entry: &&Entry| self.source.needs(entry).any(|needed| needed == place);
            if entry.is_some_and(|entry| comes_with_its_object(entry) && is_direct(&entry)) {
                self.create(dependent, about);
            }
        }
    }
}

/// It is in every database: its entry says who owns it.
fn is_schema_public(entry: &Entry) -> bool {
    entry.is("SCHEMA") && entry.tag == "public"
}

fn is_holder(entry: &Entry) -> bool {
    matches!(
        entry.desc.as_str(),
        "TABLE" | "SCHEMA" | "EXTENSION" | "SUBSCRIPTION"
    )
}

/// The line above a step.
pub(super) fn about(difference: &Difference) -> String {
    let word = match difference.kind {
        DifferenceKind::Missing => "missing",
        DifferenceKind::Extra => "extra",
        DifferenceKind::Different => "different",
        DifferenceKind::Invalid => "invalid",
    };
    format!("{word} {} {}", difference.class, difference.object)
}
