//! Objects that are defined otherwise: what changes them, or that they can be made anew.

use crate::model::SqlText;
use crate::toc::{Entry, owner_statement, split_statements};

use super::build::phase_of;
use super::draft::Draft;
use super::graph::{comes_with_its_object, must_stay};
use super::step::{Phase, Statement, Step};
use super::text::{before, between, joined, pieces};
use super::{enums, options, table};

/// Kinds that a settings query sees better than a dump: what only the target's definition says of these is undone there.
const SETTINGS: [&str; 8] = [
    "STATISTICS",
    "STORAGE",
    "COMPRESSION",
    "REPLICA",
    "FORCE",
    "CLUSTER",
    "TRIGGER",
    "RULE",
];

impl<'a> Draft<'a> {
    /// Both sides have it, and their definitions, owners or places differ. Returns what is not covered.
    pub(super) fn change(
        &mut self,
        ours: &'a Entry,
        theirs: &'a Entry,
        of_definition: bool,
        about: &str,
    ) -> Vec<String> {
        let mut gaps = Vec::new();
        if of_definition {
            gaps.extend(self.redefine(ours, theirs, about));
        }
        let place = self.source.place(ours);
        let restore = self.input.options.restore;
        if !restore.no_owner && ours.owner != theirs.owner {
            // Whoever makes an object anew gives it to its owner as well.
            match owner_statement(ours) {
                Ok(Some(owner)) => self.step(Phase::Define, place, about, vec![(&owner).into()]),
                Ok(None) => {}
                Err(error) => gaps.push(error.to_string()),
            }
        }
        let is_stored = ours.tablespace.is_some() && theirs.tablespace.is_some();
        if !restore.no_tablespaces && is_stored && ours.tablespace != theirs.tablespace {
            let kind = if ours.is("INDEX") { "INDEX" } else { "TABLE" };
            let space = ours.tablespace.as_ref().filter(|space| !space.is_empty());
            let space = space.map_or_else(|| b"pg_default".to_vec(), crate::toc::Text::quoted);
            let mut sql = joined(&[b"ALTER ", kind.as_bytes(), b" "]);
            sql.extend(name_of(ours));
            sql.extend(joined(&[b" SET TABLESPACE ", &space]));
            self.step(Phase::Finish, place, about, vec![Statement::of_dump(sql)]);
        }
        if !restore.no_table_access_method && ours.table_am != theirs.table_am {
            self.partly.push("another access method would rewrite the table: use ALTER TABLE … SET ACCESS METHOD".to_owned());
        }
        gaps
    }

    fn redefine(&mut self, ours: &'a Entry, theirs: &'a Entry, about: &str) -> Vec<String> {
        let place = self.source.place(ours);
        match ours.desc.as_str() {
            "TABLE" | "FOREIGN TABLE" => self.alter_table(ours, theirs, about),
            "SEQUENCE" => self.alter_sequence(ours, theirs, about),
            "TYPE" => self.alter_type(ours, theirs, about),
            "DOMAIN" => self.alter_domain(ours, theirs, about),
            "FUNCTION" | "PROCEDURE" => match replacement(ours, theirs) {
                Some(statement) => {
                    self.step(Phase::Define, place, about, vec![statement]);
                    Vec::new()
                }
                None => self.recreate(ours, theirs, about),
            },
            "COMMENT" | "SECURITY LABEL" | "DEFAULT" | "SEQUENCE OWNED BY" | "ACL"
            | "DEFAULT ACL" => {
                self.create(place, about);
                Vec::new()
            }
            "INDEX" | "CONSTRAINT" | "TRIGGER" | "RULE" | "EVENT TRIGGER" | "STATISTICS" => {
                if self.set_again(ours, theirs, about) {
                    Vec::new()
                } else {
                    self.recreate(ours, theirs, about)
                }
            }
            "OPERATOR" => self.alter_operator(ours, theirs, about),
            "TEXT SEARCH CONFIGURATION" => {
                if self.map_again(ours, theirs, about) {
                    Vec::new()
                } else {
                    self.recreate(ours, theirs, about)
                }
            }
            "FK CONSTRAINT" | "CHECK CONSTRAINT" if only_less_valid(ours, theirs) => Vec::new(),
            "TABLE ATTACH" | "PUBLICATION TABLE" | "PUBLICATION TABLES IN SCHEMA" => {
                self.drop_entry(self.target.place(theirs), about);
                self.create(place, about);
                Vec::new()
            }
            "SCHEMA" | "EXTENSION" | "SUBSCRIPTION" | "INDEX ATTACH" => {
                vec![
                    "it cannot be changed in place, and other objects are in it or need it"
                        .to_owned(),
                ]
            }
            _ => self.recreate(ours, theirs, about),
        }
    }

    /// Whether the object itself is the same, and only what it is set to differs. What the target alone sets is undone by who
    /// looks at the catalogs.
    fn set_again(&mut self, ours: &'a Entry, theirs: &'a Entry, about: &str) -> bool {
        let (left, right) = (self.split(ours), self.split(theirs));
        let is_known = |one: &&[u8]| left.contains(one) || is_setting(one);
        if left.first() != right.first() || !right.iter().skip(1).all(is_known) {
            return false;
        }
        let new = left.iter().filter(|one| !right.contains(one));
        let new = new.map(|one| Statement::of_dump(*one)).collect();
        self.step(phase_of(ours), self.source.place(ours), about, new);
        true
    }

    /// The same for a search configuration, which is set to dictionaries.
    fn map_again(&mut self, ours: &'a Entry, theirs: &'a Entry, about: &str) -> bool {
        let (left, right) = (self.split(ours), self.split(theirs));
        if left.first() != right.first() {
            return false;
        }
        let unmapped = right.iter().filter(|one| !left.contains(one)).map(|one| {
            let (head, rest) = (before(one, &["ADD"])?, between(one, "ADD", &["WITH"])?);
            Some(Statement::of_dump(joined(&[head, b" DROP ", rest])))
        });
        let Some(mut statements) = unmapped.collect::<Option<Vec<_>>>() else {
            return false;
        };
        let new = left.iter().filter(|one| !right.contains(one));
        statements.extend(new.map(|one| Statement::of_dump(*one)));
        self.step(Phase::Define, self.source.place(ours), about, statements);
        true
    }

    /// Drops it and what depends on it, and makes all of that again as it is on the source.
    pub(super) fn recreate(
        &mut self,
        ours: &'a Entry,
        theirs: &'a Entry,
        about: &str,
    ) -> Vec<String> {
        let (here, there) = (self.source.place(ours), self.target.place(theirs));
        let attached_to_parent = |entry: &Entry| {
            let attach = |other: &&Entry| {
                other.is("INDEX ATTACH")
                    && other.namespace == entry.namespace
                    && other.tag == entry.tag
            };
            self.target.toc.entries.iter().find(attach).is_some()
        };
        if ours.is("INDEX") && attached_to_parent(theirs) {
            return vec![
                "it is a part of the index of the partitioned table, which must be dropped and made again with all of its parts".to_owned(),
            ];
        }
        let mut again = vec![(here, there)];
        for dependent in self.target.dependents(there) {
            let Some(entry) = self
                .target
                .at(dependent)
                .filter(|entry| !entry.is_of_content())
            else {
                continue;
            };
            if comes_with_its_object(entry) {
                continue;
            }
            let name = format!("{} {}", entry.desc.to_lowercase(), entry.tag_lossy());
            // To be made again it would wait for that, and rows that it hides would be laid open meanwhile.
            let closes = is_restrictive(entry) && phase_of(ours) == Phase::Finish;
            if must_stay(entry) || closes {
                return vec![format!(
                    "it would have to be dropped and made again, and {name} needs it"
                )];
            }
            match self.source.same_as(entry) {
                Some(place) => again.push((place, dependent)),
                None if self.is_extra(entry) => again.push((usize::MAX, dependent)),
                None => {
                    return vec![format!(
                        "it would have to be dropped and made again, and {name}, which is on the target only, needs it"
                    )];
                }
            }
        }
        for (place, dependent) in again {
            self.drop_entry(dependent, about);
            if place != usize::MAX {
                self.create_with_attached(place, about);
            }
        }
        Vec::new()
    }

    fn alter_table(&mut self, ours: &'a Entry, theirs: &'a Entry, about: &str) -> Vec<String> {
        let place = self.source.place(ours);
        let (left, right) = (self.split(ours), self.split(theirs));
        let (Some(create), Some(created)) = (left.first(), right.first()) else {
            return vec!["its definition could not be taken apart".to_owned()];
        };
        let alter = joined(&[b"ALTER ", ours.desc.as_bytes(), b" ", &name_of(ours)]);
        let mut changes = table::changes(&alter, create, created);
        self.leave_to_parent(ours, &alter, &mut changes);
        if changes.is_another {
            return changes.gaps;
        }
        let mut gaps = changes.gaps;
        self.partly.append(&mut changes.partly);
        self.suggest(changes.suggestions);
        self.step(Phase::Drop, usize::MAX, about, changes.drop);
        self.step(Phase::Define, place, about, changes.define);
        self.step(Phase::Finish, place, about, changes.constrain);
        let mut more: Vec<Statement> = options::of_statements(&left, &right)
            .into_iter()
            .map(Statement::of_dump)
            .collect();
        let is_other = |one: &&&[u8]| options::head(one).is_none();
        for statement in right
            .iter()
            .skip(1)
            .filter(|one| !left.contains(one))
            .filter(is_other)
        {
            match inverse(statement) {
                Some(undo) => more.push(undo),
                None if is_setting(statement) => {}
                None => gaps.push(format!(
                    "it is not known how to undo: {}",
                    String::from_utf8_lossy(statement)
                )),
            }
        }
        let new = left.iter().skip(1).filter(|one| !right.contains(one));
        // What refers to an index must wait for it.
        more.extend(
            new.filter(|one| is_other(one) && !needs_an_index(one))
                .map(|one| Statement::of_dump(*one)),
        );
        self.step(Phase::Finish, place, about, more);
        gaps
    }

    /// What is done to a partitioned table is done to its partitions as well, and would fail when done again.
    fn leave_to_parent(&self, ours: &Entry, alter: &[u8], changes: &mut table::TableChanges) {
        let is_attach = |one: &&Entry| {
            one.is("TABLE ATTACH") && one.namespace == ours.namespace && one.tag == ours.tag
        };
        let Some(attach) = self.source.toc.entries.iter().find(is_attach) else {
            return;
        };
        let parents = self
            .source
            .needs(attach)
            .filter_map(|place| self.source.at(place));
        let is_attached = self.target.same_as(attach).is_some();
        for parent in parents.filter(|parent| parent.dump_id != ours.dump_id) {
            let there = self
                .target
                .same_as(parent)
                .and_then(|place| self.target.at(place));
            let (left, right) = (self.split(parent), there.map(|entry| self.split(entry)));
            let (Some(create), Some(created)) =
                (left.first(), right.as_ref().and_then(|right| right.first()))
            else {
                continue;
            };
            let of_parent = table::changes(alter, create, created);
            changes
                .constrain
                .retain(|one| !of_parent.constrain.contains(one));
            if is_attached {
                changes.drop.retain(|one| !of_parent.drop.contains(one));
                changes.define.retain(|one| !of_parent.define.contains(one));
            }
        }
    }

    fn alter_type(&mut self, ours: &'a Entry, theirs: &'a Entry, about: &str) -> Vec<String> {
        let (place, name) = (self.source.place(ours), name_of(ours));
        match enums::additions(&name, ours.defn_bytes(), theirs.defn_bytes()) {
            Some(Ok(additions)) => {
                self.step(Phase::Enums, place, about, additions);
                Vec::new()
            }
            Some(Err(gap)) => vec![gap],
            None => self.recreate(ours, theirs, about),
        }
    }

    fn alter_domain(&mut self, ours: &'a Entry, theirs: &'a Entry, about: &str) -> Vec<String> {
        let place = self.source.place(ours);
        let (left, right) = (
            enums::domain(ours.defn_bytes()),
            enums::domain(theirs.defn_bytes()),
        );
        let (Some(left), Some(right)) = (left, right) else {
            return vec!["its definition could not be taken apart".to_owned()];
        };
        if left.data_type != right.data_type {
            return self.recreate(ours, theirs, about);
        }
        let alter = joined(&[b"ALTER DOMAIN ", &name_of(ours), b" "]);
        let statement = |parts: &[&[u8]]| {
            let mut all: Vec<&[u8]> = vec![&alter];
            all.extend(parts);
            Statement::of_dump(joined(&all))
        };
        let dropped = right
            .constraints
            .iter()
            .filter(|one| !left.constraints.contains(one));
        let dropped = dropped
            .map(|(name, _)| statement(&[b"DROP CONSTRAINT ", name]))
            .collect();
        let added = left
            .constraints
            .iter()
            .filter(|one| !right.constraints.contains(one));
        let checkable = self.can_be_checked(place, ours);
        let not_valid: &[u8] = if checkable { b"" } else { b" NOT VALID" };
        let mut added: Vec<Statement> = added
            .map(|(_, text)| statement(&[b"ADD ", text, not_valid]))
            .collect();
        if !checkable && !added.is_empty() {
            self.partly.push("its constraint is added for new values only: the server cannot check those within arrays and rows".to_owned());
        }
        let mut defined = Vec::new();
        if left.default != right.default {
            defined.push(match left.default {
                Some(default) => statement(&[b"SET DEFAULT ", default]),
                None => statement(&[b"DROP DEFAULT"]),
            });
        }
        if left.not_null != right.not_null {
            let verb: &[u8] = if left.not_null {
                b"SET NOT NULL"
            } else {
                b"DROP NOT NULL"
            };
            added.push(statement(&[verb]));
        }
        self.step(Phase::Drop, usize::MAX, about, dropped);
        self.step(Phase::Define, place, about, defined);
        self.step(Phase::Finish, place, about, added);
        Vec::new()
    }

    /// Whether all columns of a domain are of just that type: within an array or a row the server does not look for its values
    /// (`get_rels_with_domain`).
    fn can_be_checked(&self, place: usize, domain: &Entry) -> bool {
        let array = format!("{}[", domain.tag_lossy());
        let holds =
            |entry: &Entry| matches!(entry.desc.as_str(), "TABLE" | "TYPE" | "MATERIALIZED VIEW");
        self.source.dependents(place).into_iter().all(|dependent| {
            let Some(entry) = self.source.at(dependent).filter(|entry| holds(entry)) else {
                return true;
            };
            let is_direct = self.source.needs(entry).any(|needed| needed == place);
            is_direct
                && !entry.is("TYPE")
                && !String::from_utf8_lossy(entry.defn_bytes()).contains(&array)
        })
    }

    /// The statements of an entry's definition.
    pub(super) fn split(&self, entry: &'a Entry) -> Vec<&'a [u8]> {
        split_statements(entry.defn_bytes(), self.source.toc.std_strings()).unwrap_or_default()
    }

    /// A step of the definition of a place of the source's table of contents; without statements it is none.
    pub(super) fn step(
        &mut self,
        phase: Phase,
        place: usize,
        about: &str,
        statements: Vec<Statement>,
    ) {
        if !statements.is_empty() {
            self.steps.push(Step {
                phase,
                // Behind what makes the object.
                position: place.saturating_mul(2).saturating_add(1),
                about: about.to_owned(),
                statements,
                transaction: false,
            });
        }
    }
}

/// Schema and tag, for kinds whose tag is a name.
pub(super) fn name_of(entry: &Entry) -> Vec<u8> {
    let mut name = Vec::new();
    if let Some(schema) = entry.namespace.as_ref().filter(|schema| !schema.is_empty()) {
        name.extend(schema.quoted());
        name.push(b'.');
    }
    name.extend(entry.tag.quoted());
    name
}

/// `CREATE OR REPLACE`, if the arguments and the result are the same.
fn replacement(ours: &Entry, theirs: &Entry) -> Option<Statement> {
    let (left, right) = (ours.defn_bytes(), theirs.defn_bytes());
    if before(left, &["LANGUAGE"])? != before(right, &["LANGUAGE"])? {
        return None;
    }
    let left = left.trim_ascii();
    let rest = left
        .strip_suffix(b";")
        .unwrap_or(left)
        .strip_prefix(b"CREATE ")?;
    Some(Statement::of_dump(joined(&[b"CREATE OR REPLACE ", rest])))
}

/// Whether the two differ in nothing but `NOT VALID` on the target.
fn only_less_valid(ours: &Entry, theirs: &Entry) -> bool {
    let bare = |entry: &Entry| {
        let text = entry.defn_bytes().trim_ascii();
        text.strip_suffix(b";").unwrap_or(text).to_vec()
    };
    let theirs = bare(theirs);
    theirs
        .strip_suffix(b" NOT VALID")
        .is_some_and(|text| text == bare(ours))
}

fn is_setting(statement: &[u8]) -> bool {
    let tokens = pieces(statement);
    tokens
        .iter()
        .any(|piece| SETTINGS.iter().any(|word| piece.is_word(word)))
}

/// A policy without which more rows are seen.
fn is_restrictive(entry: &Entry) -> bool {
    let is_it = || {
        let tokens = pieces(entry.defn_bytes());
        tokens.iter().any(|piece| piece.is_word("RESTRICTIVE"))
    };
    entry.is("POLICY") && is_it()
}

fn needs_an_index(statement: &[u8]) -> bool {
    let tokens = pieces(statement);
    tokens
        .iter()
        .any(|piece| piece.is_word("CLUSTER") || piece.is_word("INDEX"))
}

/// `ALTER TABLE … ALTER COLUMN c SET (n_distinct=5)` → `… RESET (n_distinct)`.
fn inverse(statement: &[u8]) -> Option<Statement> {
    let (head, options, rest) = super::text::around_parentheses(statement)?;
    let head = head.strip_suffix(b"SET").filter(|_| rest.is_empty())?;
    let names: Vec<&[u8]> = super::text::at_commas(options)
        .into_iter()
        .filter_map(|option| option.split(|&byte| byte == b'=').next())
        .collect();
    Some(Statement::of_dump(joined(&[
        head,
        b"RESET (",
        &names.join(&b", "[..]),
        b")",
    ])))
}

impl From<SqlText> for Statement {
    fn from(sql: SqlText) -> Self {
        Self::of_dump(sql.as_bytes())
    }
}
