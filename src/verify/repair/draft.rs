//! The repair as it is being thought out: each difference gets its steps, or a reason why there are none.

use std::collections::BTreeMap;

use crate::model::{Difference, DifferenceKind};
use crate::toc::{Entry, EntryDifference, compare_entries, restore_statements};

use super::definitions::is_data;
use super::grants::{Granted, Grantees, grantable, granted, is_of_the_server, reset};
use super::graph::{Graph, is_attached};
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
    drops: BTreeMap<usize, String>,
    /// Places in the source's table of contents, and what each is made for.
    creates: BTreeMap<usize, String>,
    pub steps: Vec<Step>,
    pub not_covered: Vec<NotCovered>,
    pub contents: Vec<Content>,
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
            suggestions: Vec::new(),
            kept: BTreeMap::new(),
        };
        draft.keep_what_holds_data();
        for difference in input.differences {
            let gaps = draft.remedy(difference);
            let suggestions = std::mem::take(&mut draft.suggestions);
            if !gaps.is_empty() {
                draft.not_covered.push(NotCovered {
                    difference: difference.clone(),
                    because: gaps.join("; "),
                    suggestions,
                });
            }
        }
        draft.drop_and_create();
        draft.steps.sort_by_key(|step| (step.phase, step.position));
        draft
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

    fn extra_places(&self) -> Vec<usize> {
        let extra = self.entries.iter().filter(|one| one.source.is_none());
        extra
            .filter_map(|one| one.target.map(|entry| self.target.place(entry)))
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
                (Some(ours), None) => gaps.extend(self.make(ours, &about)),
                (None, Some(theirs)) => gaps.extend(self.remove(theirs, &about)),
                (None, None) => {}
            }
        }
        if !known {
            gaps.push("it is not known how to change this".to_owned());
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
            self.suggest(vec![Statement::of_dump(ours.defn_bytes().trim_ascii_end())]);
            return gaps;
        }
        if let Err(error) = restore_statements(self.source.toc, ours, &self.input.options.restore) {
            return vec![error.to_string()];
        }
        if ours.is("TABLE")
            && !self
                .input
                .tables
                .iter()
                .any(|table| ours.qualified_name().as_ref() == Some(&table.table))
        {
            gaps.push(
                "the table is made, but its rows, if it has any, are not in this file: copy them with pg_dump --data-only --table, and verify again".to_owned(),
            );
        }
        self.create(self.source.place(ours), about);
        gaps
    }

    fn remove(&mut self, theirs: &'a Entry, about: &str) -> Vec<String> {
        let place = self.target.place(theirs);
        if let Some(holder) = self.kept.get(&place).cloned() {
            if let Some(drop) = self.drop_statement(theirs) {
                self.suggest(vec![drop]);
            }
            return vec![match is_holder(theirs) {
                true => "dropping it would drop what it holds: uncomment the statement if that is not needed".to_owned(),
                false => format!("it goes with {holder}, which is a person's to drop"),
            }];
        }
        let about_entry = |draft: &Self, word: &str| {
            draft
                .target
                .needs(theirs)
                .any(|needed| draft.target.at(needed).is_some_and(|one| one.is(word)))
        };
        match theirs.desc.as_str() {
            "COMMENT" | "SECURITY LABEL" => {
                let gone = self.target.needs(theirs).any(|place| {
                    self.target
                        .at(place)
                        .is_some_and(|entry| self.is_extra(entry))
                });
                if let Some(head) = before(theirs.defn_bytes(), &["IS"]).filter(|_| !gone) {
                    let sql = joined(&[head, b" IS NULL"]);
                    self.step(Phase::Comments, place, about, vec![Statement::of_dump(sql)]);
                }
                Vec::new()
            }
            "ACL" if is_of_the_server(theirs) => {
                vec!["it is about what came with the server: take it back by hand".to_owned()]
            }
            "ACL" | "DEFAULT ACL" => {
                let gone = self.target.needs(theirs).any(|place| {
                    self.target
                        .at(place)
                        .is_some_and(|entry| self.is_extra(entry))
                });
                if !gone {
                    let grants = granted(theirs, self.target.toc.std_strings());
                    self.reset_grants(&grants, theirs, about);
                }
                Vec::new()
            }
            // It goes with the index of the partitioned table.
            "INDEX ATTACH" if about_entry(self, "INDEX") || about_entry(self, "CONSTRAINT") => {
                Vec::new()
            }
            _ if self.goes_with_its_parent(theirs) => Vec::new(),
            _ if self.drop_statement(theirs).is_none() => {
                vec!["it is not known how to drop this".to_owned()]
            }
            _ => {
                self.drop_entry(place, about);
                Vec::new()
            }
        }
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
            if entry
                .filter(|entry| is_attached(entry))
                .filter(is_direct)
                .is_some()
            {
                self.create(dependent, about);
            }
        }
    }

    /// Without a semicolon.
    fn drop_statement(&self, entry: &Entry) -> Option<Statement> {
        let definition = entry.defn_bytes().trim_ascii();
        let definition = definition.strip_suffix(b";").unwrap_or(definition);
        let special = match entry.desc.as_str() {
            "TABLE ATTACH" => {
                let (head, rest) = split_at_word(definition, "ATTACH")?;
                let partition = before(rest, &["FOR", "DEFAULT"])?;
                Some(joined(&[head, b" DETACH", &partition[b"ATTACH".len()..]]))
            }
            "PUBLICATION TABLE" | "PUBLICATION TABLES IN SCHEMA" => {
                let (head, rest) = split_at_word(definition, "ADD")?;
                let rest = before(rest, &["WHERE"]).unwrap_or(rest);
                let rest = super::text::around_parentheses(rest).map_or(rest, |(name, _, _)| name);
                Some(joined(&[head, b" DROP", &rest[b"ADD".len()..]]))
            }
            "ROW SECURITY" => {
                let head = before(definition, &["ENABLE"])?;
                Some(joined(&[head, b" DISABLE ROW LEVEL SECURITY"]))
            }
            "SEQUENCE OWNED BY" => {
                let head = before(definition, &["OWNED"])?;
                Some(joined(&[head, b" OWNED BY NONE"]))
            }
            _ => None,
        };
        let sql = special.or_else(|| {
            let text = entry.drop_stmt.as_ref()?.as_bytes().trim_ascii();
            Some(text.strip_suffix(b";").unwrap_or(text).to_vec())
        })?;
        (!sql.is_empty()).then(|| Statement::of_dump(sql))
    }

    /// Makes steps of everything that is to be dropped and made.
    fn drop_and_create(&mut self) {
        for (place, about) in self.drops.clone() {
            let Some(entry) = self.target.at(place) else {
                continue;
            };
            if let Some(statement) = self.drop_statement(entry) {
                self.steps.push(Step {
                    phase: Phase::Drop,
                    // What depends on others stands behind them, and goes first.
                    position: usize::MAX - place,
                    about,
                    statements: vec![statement],
                    transaction: false,
                });
            }
        }
        for (place, about) in self.creates.clone() {
            let Some(entry) = self.source.at(place).filter(|entry| !is_data(entry)) else {
                continue;
            };
            if entry.is_acl() {
                self.grants(entry, &about);
                continue;
            }
            let phase = phase_of(entry);
            let statements = self.creation(entry);
            self.steps.push(Step {
                phase,
                position: place.saturating_mul(2),
                about: about.clone(),
                statements,
                transaction: false,
            });
            self.made_anew(entry, &about);
        }
    }

    fn creation(&self, entry: &Entry) -> Vec<Statement> {
        let restore = restore_statements(self.source.toc, entry, &self.input.options.restore);
        // Whether it can be made was asked when the step was planned.
        let restore = restore.unwrap_or_default();
        let set = |name: &str, value: Option<&crate::toc::Text>| {
            let value = value.filter(|value| !value.is_empty())?;
            Some((name.to_owned(), value.quoted()))
        };
        // Version 12 brought them.
        let knows_access_methods = !(1..12).contains(&self.input.options.target_major);
        let settings = [
            set("default_tablespace", restore.tablespace.as_ref()),
            set(
                "default_table_access_method",
                restore
                    .table_access_method
                    .as_ref()
                    .filter(|_| knows_access_methods),
            ),
        ];
        let settings: Vec<(String, Vec<u8>)> = settings.into_iter().flatten().collect();
        let mut statements = Vec::new();
        for (name, value) in &settings {
            statements.push(Statement::of_dump(joined(&[
                b"set ",
                name.as_bytes(),
                b" = ",
                value,
            ])));
        }
        for text in &restore.statements {
            let parts =
                crate::toc::split_statements(text.as_bytes(), self.source.toc.std_strings());
            statements.extend(
                parts
                    .unwrap_or_default()
                    .into_iter()
                    .map(Statement::of_dump),
            );
        }
        for (name, _) in &settings {
            statements.push(Statement::ours(format!("reset {name}")));
        }
        statements
    }

    /// What comes with a new object: where a sequence stands, the content of a materialized view, and that default privileges of
    /// the target are not the source's grants.
    fn made_anew(&mut self, entry: &'a Entry, about: &str) {
        let place = self.source.place(entry);
        if entry.is("SEQUENCE") {
            self.set_value(&entry.qualified_name(), about);
        }
        if entry.is("MATERIALIZED VIEW") {
            self.populate(entry, about);
        }
        let has_grants = self
            .source
            .toc
            .entries
            .iter()
            .any(|other| other.is("ACL") && other.dependencies.contains(&entry.dump_id));
        let no_acl = self.input.options.restore.no_acl;
        if let Some(granted) = grantable(entry).filter(|_| !has_grants && !no_acl) {
            let everybody = self.by_default(&granted, entry);
            if !everybody.is_empty() {
                let owner = entry
                    .owner
                    .as_ref()
                    .filter(|_| !self.input.options.restore.no_owner);
                let statements = reset(&granted, &everybody, owner);
                self.step(Phase::Grants, place, about, statements);
            }
        }
    }

    /// Everybody that the target's default privileges give something to, on a new object of this kind in this schema.
    fn by_default(&self, granted_on: &Granted, entry: &Entry) -> Grantees {
        let kind = granted_on.object.split(|&byte| byte == b' ').next();
        let kind: &[u8] = match kind.unwrap_or_default() {
            b"PROCEDURE" => b"FUNCTION",
            kind => kind,
        };
        let tag = joined(&[b"DEFAULT PRIVILEGES FOR ", kind, b"S"]);
        let schema = |entry: &Entry| entry.namespace.clone().unwrap_or_default();
        let defaults = self.target.toc.entries.iter().filter(|default| {
            let everywhere = schema(default).is_empty();
            default.is("DEFAULT ACL")
                && *default.tag == *tag
                && (everywhere || schema(default) == schema(entry))
        });
        defaults
            .flat_map(|entry| granted(entry, self.target.toc.std_strings()).grantees)
            .collect()
    }

    /// The source's grants on an object, after what the target has is taken back.
    fn grants(&mut self, ours: &'a Entry, about: &str) {
        let place = self.source.place(ours);
        if is_of_the_server(ours) {
            let given = self.creation(ours);
            self.step(Phase::Grants, place, about, given);
            return;
        }
        let mut grants = granted(ours, self.source.toc.std_strings());
        let theirs = self
            .target
            .same_as(ours)
            .and_then(|place| self.target.at(place));
        let mut everybody = Grantees::new();
        if let Some(theirs) = theirs {
            let there = granted(theirs, self.target.toc.std_strings());
            everybody.extend(there.grantees);
            grants.column = grants.column.or(there.column);
        }
        if !ours.is("DEFAULT ACL") && grants.column.is_none() {
            everybody.extend(self.by_default(&grants, ours));
        }
        let no_owner = self.input.options.restore.no_owner;
        let owner = if no_owner {
            theirs.and_then(|entry| entry.owner.as_ref())
        } else {
            ours.owner.as_ref()
        };
        let statements = reset(&grants, &everybody, owner);
        self.step(Phase::Grants, place, about, statements);
        let given = self.creation(ours);
        self.step(Phase::Grants, place, about, given);
        self.columns_again(ours, about);
    }

    fn reset_grants(&mut self, grants: &Granted, theirs: &'a Entry, about: &str) {
        let statements = reset(grants, &grants.grantees, theirs.owner.as_ref());
        self.step(Phase::Grants, 0, about, statements);
        self.columns_again(theirs, about);
    }

    /// Whoever loses a privilege on a table loses it on its columns, too.
    fn columns_again(&mut self, acl: &Entry, about: &str) {
        let Some(table) = acl.tag.strip_prefix(b"TABLE ") else {
            return;
        };
        let prefix = joined(&[b"COLUMN ", table, b"."]);
        let of_columns: Vec<&'a Entry> = self
            .source
            .toc
            .entries
            .iter()
            .filter(|entry| {
                entry.is("ACL")
                    && entry.namespace == acl.namespace
                    && entry.tag.starts_with(&prefix)
            })
            .collect();
        for entry in of_columns {
            let statements = self.creation(entry);
            self.step(Phase::Grants, self.source.place(entry), about, statements);
        }
    }
}

fn is_holder(entry: &Entry) -> bool {
    matches!(
        entry.desc.as_str(),
        "TABLE" | "SCHEMA" | "EXTENSION" | "SUBSCRIPTION"
    )
}

/// When a source's entry is made.
pub(super) fn phase_of(entry: &Entry) -> Phase {
    use crate::toc::{RestorePass, Section};
    match (entry.restore_pass(), entry.section) {
        (RestorePass::Acl, _) => Phase::Grants,
        (RestorePass::PostAcl, _) => Phase::Last,
        (RestorePass::Main, Section::None) => Phase::Comments,
        (RestorePass::Main, Section::PreData) => Phase::Define,
        (RestorePass::Main, Section::Data | Section::PostData) => Phase::Finish,
    }
}

fn split_at_word<'s>(sql: &'s [u8], word: &str) -> Option<(&'s [u8], &'s [u8])> {
    let head = before(sql, &[word])?;
    let rest = sql.get(head.len()..)?.trim_ascii_start();
    Some((head, rest))
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
