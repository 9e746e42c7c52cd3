//! Dropping and making: the statements for an entry of a table of contents, and what comes with a new object.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::QualifiedName;
use crate::toc::{Entry, RestorePass, Section, Text, restore_statements, split_statements};

use super::draft::Draft;
use super::grants::{Granted, Grantees, grantable, granted, is_of_the_server, reset};
use super::graph::comes_with_its_object;
use super::order;
use super::rows::TableRepair;
use super::step::{Phase, Statement, Step};
use super::text::{around_parentheses, before, joined};

impl<'a> Draft<'a> {
    /// Makes steps of everything that is to be dropped and made.
    pub(super) fn drop_and_create(&mut self) {
        let replaced = self.replaced();
        self.identify_meanwhile(&replaced);
        let extra = self.extra_places();
        for (place, about) in self.drops.clone() {
            let Some(entry) = self.target.at(place) else {
                continue;
            };
            if replaced.values().any(|&there| there == place) {
                continue;
            }
            if let Some(statement) = drop_statement(entry) {
                let is_spare = extra.contains(&place) && self.is_still_needed(place, &extra);
                self.steps.push(Step {
                    phase: if is_spare { Phase::Spare } else { Phase::Drop },
                    // What depends on others stands behind them, and goes first.
                    position: usize::MAX - place,
                    about,
                    statements: vec![statement],
                    transaction: false,
                });
            }
        }
        for (place, about) in self.creates.clone() {
            let Some(entry) = self.source.at(place).filter(|entry| !entry.is_of_content()) else {
                continue;
            };
            if entry.is_acl() {
                self.grants(entry, &about);
                continue;
            }
            let phase = self.phase_in_order(entry);
            let goes = replaced
                .get(&place)
                .and_then(|&there| self.target.at(there));
            let mut statements: Vec<Statement> =
                goes.and_then(drop_statement).into_iter().collect();
            let transaction = !statements.is_empty();
            statements.extend(self.creation(entry));
            self.steps.push(Step {
                phase,
                position: place.saturating_mul(2),
                about: about.clone(),
                statements,
                transaction,
            });
            self.made_anew(entry, &about);
        }
    }

    /// Whether something needs it that stays, and is to be otherwise only later: the default of a column calls a function.
    fn is_still_needed(&self, place: usize, extra: &BTreeSet<usize>) -> bool {
        let is_definition = |entry: &Entry| {
            entry.section == Section::PreData && !entry.is("TABLE ATTACH") && !entry.is("POLICY")
        };
        let stays = |dependent: usize| {
            !self.drops.contains_key(&dependent)
                && !extra.contains(&dependent)
                && self.target.at(dependent).is_some_and(|entry| {
                    !entry.is_of_content()
                        && !comes_with_its_object(entry)
                        && !entry.is("INDEX ATTACH")
                })
        };
        self.target.at(place).is_some_and(is_definition)
            && self.target.dependents(place).into_iter().any(stays)
    }

    /// Indexes and triggers that are dropped where they are made anew, and not before: by their places on the source, those on the target.
    /// What needs something that goes must go first, and so must what would be in the way of rows that are written. And policies that are
    /// made at the end: without one, more rows may be seen.
    fn replaced(&self) -> BTreeMap<usize, usize> {
        let written = self.with_rows();
        let stays = |place: usize| {
            let table = self.target.at(place).and_then(Entry::qualified_name);
            !self.drops.contains_key(&place) && table.is_none_or(|name| !written.contains(&name))
        };
        let places = self.drops.keys().filter_map(|&there| {
            let theirs = self.target.at(there)?;
            let is_such = theirs.is("INDEX") || theirs.is("TRIGGER");
            let here = self.source.same_as(theirs)?;
            let is_late = |policy: &Entry| {
                policy.is("POLICY") && self.phase_in_order(policy) == Phase::Finish
            };
            let mut needed = self.target.needs(theirs);
            let may_wait = if is_such {
                needed.all(stays)
            } else {
                self.source.at(here).is_some_and(is_late)
                    && needed.all(|place| !self.drops.contains_key(&place))
            };
            let waits =
                may_wait && self.creates.contains_key(&here) && drop_statement(theirs).is_some();
            waits.then_some((here, there))
        });
        places.collect()
    }

    /// Tables whose rows are written, and what those are partitions of, or are in.
    fn with_rows(&self) -> BTreeSet<QualifiedName> {
        let above = order::partitions(self.target.toc);
        let tables = self.input.tables.iter();
        let written: Vec<&TableRepair> = tables
            .filter(|table| !self.left.contains(&table.table))
            .collect();
        let mut names: BTreeSet<QualifiedName> = written
            .iter()
            .flat_map(|table| order::with_ancestors(&table.table, &above))
            .collect();
        for partition in above.keys() {
            let all = order::with_ancestors(partition, &above);
            let holds = |table: &&TableRepair| table.is_root && all.contains(&table.table);
            if written.iter().any(holds) {
                names.insert(partition.clone());
            }
        }
        names
    }

    /// A policy that needs what is made at the end, a primary key for a query of its own, waits for that.
    fn phase_in_order(&self, entry: &Entry) -> Phase {
        let is_late = |place: usize| {
            let entry = self
                .source
                .at(place)
                .filter(|_| self.creates.contains_key(&place));
            entry.is_some_and(|entry| phase_of(entry) == Phase::Finish)
        };
        if entry.is("POLICY") && self.source.needs(entry).any(is_late) {
            return Phase::Finish;
        }
        phase_of(entry)
    }

    fn creation(&self, entry: &Entry) -> Vec<Statement> {
        let restore = restore_statements(self.source.toc, entry, &self.input.options.restore);
        // Whether it can be made was asked when the step was planned.
        let restore = restore.unwrap_or_default();
        let set = |name: &str, value: Option<&Text>| {
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
            let parts = split_statements(text.as_bytes(), self.source.toc.std_strings());
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
            self.set_value(entry.qualified_name().as_ref(), about);
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

    pub(super) fn reset_grants(&mut self, grants: &Granted, theirs: &'a Entry, about: &str) {
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

/// When a source's entry is made.
pub(super) fn phase_of(entry: &Entry) -> Phase {
    match (entry.restore_pass(), entry.section) {
        (RestorePass::Acl, _) => Phase::Grants,
        (RestorePass::PostAcl, _) => Phase::Last,
        (RestorePass::Main, Section::None) => Phase::Comments,
        (RestorePass::Main, Section::PreData) => Phase::Define,
        (RestorePass::Main, _) if entry.is("POLICY") => Phase::Define,
        (RestorePass::Main, Section::Data | Section::PostData) => Phase::Finish,
    }
}

fn split_at_word<'s>(sql: &'s [u8], word: &str) -> Option<(&'s [u8], &'s [u8])> {
    let head = before(sql, &[word])?;
    let rest = sql.get(head.len()..)?.trim_ascii_start();
    Some((head, rest))
}

/// Without a semicolon.
pub(super) fn drop_statement(entry: &Entry) -> Option<Statement> {
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
            let rest = around_parentheses(rest).map_or(rest, |(name, _, _)| name);
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
