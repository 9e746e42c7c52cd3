//! What stands in the way of changing rows on the target: triggers and rules that would fire, foreign keys that would object in
//! between, publications that require every row to have an identity.
//!
//! Where the role may set it (a superuser, or one who was granted it), `session_replication_role = replica` disables most of
//! them, for our session alone; what fires even then is disabled, including a foreign key's trigger. Foreign keys are then not
//! enforced, so each that touches a changed table is checked before the commit, as the server checks a new one. Where the role
//! may not, triggers and rules of the changed tables are disabled, and the foreign keys that touch them are dropped and made
//! again, which checks them: all in the one transaction, so that nobody ever sees the target without them.
//!
//! Checks that were made `NOT VALID` hold for what is written, and the source may have older rows that do not satisfy them: a
//! check that such rows violate is likewise dropped and made again, whoever we are. That closes the whole tree of its table to
//! everybody, so a check that is in nobody's way stays.

use std::collections::BTreeSet;

use crate::model::{QualifiedName, SqlText, quote_ident};
use crate::pg::{Answer, PgError, Query, Session};

const FIRING: Query = Query::new("sync/firing.sql", include_str!("../../sql/sync/firing.sql"));
const TABLES: Query = Query::new("sync/tables.sql", include_str!("../../sql/sync/tables.sql"));
const FOREIGN_KEYS: Query = Query::new(
    "sync/foreign_keys.sql",
    include_str!("../../sql/sync/foreign_keys.sql"),
);
const UNCHECKED: Query = Query::new(
    "sync/unchecked.sql",
    include_str!("../../sql/sync/unchecked.sql"),
);

pub(super) const WRITTEN: Query = Query::new(
    "sync/written.sql",
    include_str!("../../sql/sync/written.sql"),
);

/// All of them, for the test that prepares each on every supported server.
pub const QUERIES: [Query; 5] = [FIRING, TABLES, FOREIGN_KEYS, UNCHECKED, WRITTEN];

/// A trigger or a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    table: QualifiedName,
    /// `trigger` or `rule`.
    kind: String,
    name: String,
    /// `O`, `R`, `A` or `D`.
    state: char,
    /// It is a foreign key's, or (before 15) a partition's copy of its parent's trigger: some servers let only a superuser alter it.
    internal: bool,
}

/// What is dropped and made again, with the statement for each, and its comment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Remade {
    drop: String,
    add: String,
    comment: String,
}

/// A foreign key that touches a changed table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ForeignKey {
    /// Its name, with its table's.
    pub name: String,
    /// A query that counts rows that point nowhere, if that can be asked.
    pub question: Option<String>,
    /// Somebody has disabled its triggers, or made them fire always.
    unusual: bool,
    /// A partition has it under a name that the server would not give it again.
    renamed: bool,
    remade: Remade,
}

/// A check that not all rows need satisfy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unchecked {
    /// A query that tells, on the source, whether rows violate it, if that can be asked.
    pub question: Option<String>,
    /// Tables that are closed to everybody while it is gone.
    closes: BTreeSet<QualifiedName>,
    remade: Remade,
}

/// All that stands in the way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Obstacles {
    parts: Vec<Part>,
    /// Tables whose rows have no identity that a publication accepts, each with the replica identity that it has.
    unidentified: Vec<(QualifiedName, char)>,
    /// Tables whose rows, or those of a partition, are identified by an index that is gone.
    pub(super) lost: BTreeSet<QualifiedName>,
    /// Tables that a foreign key of another one points to.
    referenced: BTreeSet<QualifiedName>,
    /// The tables themselves, and the partitions below.
    pub(super) members: BTreeSet<QualifiedName>,
    pub(super) keys: Vec<ForeignKey>,
    pub(super) unchecked: Vec<Unchecked>,
}

impl Unchecked {
    fn from_row(row: &Answer) -> Result<Self, PgError> {
        let schemas: Vec<String> = row.get("closed_schemas")?;
        let names: Vec<String> = row.get("closed_names")?;
        let tables = schemas.into_iter().zip(names);
        Ok(Self {
            question: row.get("question")?,
            closes: tables
                .map(|(schema, name)| QualifiedName::new(schema, name))
                .collect(),
            remade: Remade::from_row(row)?,
        })
    }
}

impl Remade {
    fn from_row(row: &Answer) -> Result<Self, PgError> {
        Ok(Self {
            drop: row.get("drop_statement")?,
            add: row.get("add_statement")?,
            comment: row.get("comment_statement")?,
        })
    }
}

impl Obstacles {
    /// Looks for them. The tables are locked by now, so nobody adds another trigger.
    pub async fn look<'a>(
        session: &Session,
        tables: impl Iterator<Item = &'a QualifiedName> + Clone,
    ) -> Result<Self, PgError> {
        let schemas: Vec<String> = tables
            .clone()
            .map(|table| String::from(&*table.schema))
            .collect();
        let names: Vec<String> = tables.map(|table| String::from(&*table.name)).collect();
        if names.is_empty() {
            return Ok(Self::default());
        }
        let mut found = Self::default();
        for row in session.query(&FIRING, &[&schemas, &names]).await? {
            found.parts.push(Part {
                table: row.name("schema", "name")?,
                kind: row.get("kind")?,
                name: row.get("part")?,
                state: row.char("state")?,
                internal: row.get("internal")?,
            });
        }
        for row in session.query(&TABLES, &[&schemas, &names]).await? {
            let table = row.name("schema", "name")?;
            found.members.insert(table.clone());
            let root = row.name("root_schema", "root_name")?;
            if row.get("unidentified")? {
                match row.char("identity")? {
                    'i' => {
                        found.lost.insert(root.clone());
                    }
                    identity => found.unidentified.push((table, identity)),
                }
            }
            if row.get("referenced")? {
                found.referenced.insert(root);
            }
        }
        for row in session.query(&FOREIGN_KEYS, &[&schemas, &names]).await? {
            found.keys.push(ForeignKey {
                name: row.get("name")?,
                question: row.get("question")?,
                unusual: row.get("unusual")?,
                renamed: row.get("renamed")?,
                remade: Remade::from_row(&row)?,
            });
        }
        for row in session.query(&UNCHECKED, &[&schemas, &names]).await? {
            found.unchecked.push(Unchecked::from_row(&row)?);
        }
        Ok(found)
    }

    /// The tables that may be closed to everybody: those whose rows are changed, partitions below, and tables that share a check with them.
    pub fn closed(&self) -> impl Iterator<Item = &QualifiedName> {
        let of_checks = self.unchecked.iter().flat_map(|check| &check.closes);
        self.members.iter().chain(of_checks)
    }

    /// Whether all rows of a table may be removed by TRUNCATE.
    pub(super) fn may_truncate(&self, table: &QualifiedName) -> bool {
        !self.referenced.contains(table)
    }

    /// What cannot be removed and put back as it was, as a clause. `replicates`: our session counts as a replicating one.
    pub(super) fn insurmountable(&self, replicates: bool) -> Option<String> {
        let mut keys = self.keys.iter().filter(|_| !replicates);
        let key = keys.find(|key| key.unusual || key.renamed)?;
        let name = &key.name;
        Some(if key.unusual {
            format!(
                "the triggers of foreign key {name} are not in their usual state, and it would have to be made again"
            )
        } else {
            format!(
                "a partition has foreign key {name} under another name, and it would have to be made again"
            )
        })
    }

    /// What the server did not let us disable, as a clause: the trigger that the statement at this place of [`Self::quiet`] was
    /// for. Which ones it lets an owner disable differs between versions.
    pub(super) fn refused(&self, place: usize, replicates: bool) -> Option<String> {
        let mut parts = self.firing(replicates);
        let part = parts.nth(place).filter(|part| part.internal)?;
        Some(format!(
            "trigger {} of {} would fire, and the server lets nobody but a superuser disable it",
            quote_ident(&part.name),
            part.table.shown()
        ))
    }

    /// The statements that clear the way, triggers and rules first. `replicates`: our session counts as a replicating one.
    pub(super) fn quiet(&self, replicates: bool) -> Vec<SqlText> {
        let mut statements: Vec<String> = self
            .firing(replicates)
            .map(|part| part.alter("disable"))
            .collect();
        let unidentified = self.unidentified.iter();
        statements.extend(
            unidentified
                .map(|(table, _)| format!("alter table only {table} replica identity full")),
        );
        let remade = self.remade(replicates);
        statements.extend(remade.map(|one| one.drop.clone()));
        statements.into_iter().map(SqlText::from).collect()
    }

    /// The statements that put all of it back.
    pub(super) fn loud(&self, replicates: bool) -> Vec<SqlText> {
        let mut statements = Vec::new();
        for one in self.remade(replicates) {
            statements.extend([one.add.clone(), one.comment.clone()]);
        }
        for (table, identity) in &self.unidentified {
            let identity = if *identity == 'n' {
                "nothing"
            } else {
                "default"
            };
            statements.push(format!(
                "alter table only {table} replica identity {identity}"
            ));
        }
        let parts = self.firing(replicates);
        statements.extend(parts.map(|part| {
            part.alter(match part.state {
                'A' => "enable always",
                'R' => "enable replica",
                _ => "enable",
            })
        }));
        statements.into_iter().map(SqlText::from).collect()
    }

    fn remade(&self, replicates: bool) -> impl Iterator<Item = &Remade> {
        let keys = self.keys.iter().filter(move |_| !replicates);
        let checks = self.unchecked.iter().map(|check| &check.remade);
        keys.map(|key| &key.remade).chain(checks)
    }

    fn firing(&self, replicates: bool) -> impl Iterator<Item = &Part> {
        let fires = move |part: &&Part| match part.state {
            'A' => true,
            'R' => replicates,
            'O' => !replicates,
            _ => false,
        };
        self.parts.iter().filter(fires)
    }
}

impl Part {
    fn alter(&self, what: &str) -> String {
        let Self {
            table, kind, name, ..
        } = self;
        format!(
            "alter table only {table} {what} {kind} {}",
            quote_ident(name)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn obstacles() -> Obstacles {
        let part = |kind: &str, state: char| Part {
            table: QualifiedName::new("s", "t"),
            kind: kind.into(),
            name: format!("{kind} {state}"),
            state,
            internal: false,
        };
        let remade = |name: &str| Remade {
            drop: format!("drop {name}"),
            add: format!("add {name}"),
            comment: format!("comment {name}"),
        };
        Obstacles {
            parts: vec![
                part("trigger", 'O'),
                part("trigger", 'A'),
                part("trigger", 'D'),
                part("rule", 'R'),
            ],
            unidentified: vec![(QualifiedName::new("s", "bare"), 'n')],
            lost: BTreeSet::new(),
            referenced: BTreeSet::new(),
            members: BTreeSet::new(),
            keys: vec![ForeignKey {
                name: "k".into(),
                question: None,
                unusual: false,
                renamed: false,
                remade: remade("k"),
            }],
            unchecked: vec![Unchecked {
                question: None,
                closes: BTreeSet::from([QualifiedName::new("s", "above")]),
                remade: remade("c"),
            }],
        }
    }

    fn texts(statements: &[SqlText]) -> Vec<String> {
        statements.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_fires_even_in_replication_is_disabled_and_comes_back_as_it_was() {
        assert_eq!(
            texts(&obstacles().quiet(true)),
            [
                r#"alter table only "s"."t" disable trigger "trigger A""#,
                r#"alter table only "s"."t" disable rule "rule R""#,
                r#"alter table only "s"."bare" replica identity full"#,
                "drop c",
            ]
        );
        assert_eq!(
            texts(&obstacles().loud(true)),
            [
                "add c",
                "comment c",
                r#"alter table only "s"."bare" replica identity nothing"#,
                r#"alter table only "s"."t" enable always trigger "trigger A""#,
                r#"alter table only "s"."t" enable replica rule "rule R""#,
            ]
        );
    }

    #[test]
    fn an_ordinary_owner_does_without_foreign_keys_for_a_while() {
        assert_eq!(
            texts(&obstacles().quiet(false)),
            [
                r#"alter table only "s"."t" disable trigger "trigger O""#,
                r#"alter table only "s"."t" disable trigger "trigger A""#,
                r#"alter table only "s"."bare" replica identity full"#,
                "drop k",
                "drop c",
            ]
        );
        let loud = texts(&obstacles().loud(false));
        assert_eq!(loud[..4], ["add k", "comment k", "add c", "comment c"]);
        assert!(
            loud[5].ends_with(r#"enable trigger "trigger O""#),
            "{loud:?}"
        );
    }

    #[test]
    fn what_the_server_refused_to_disable_is_named() {
        let mut obstacles = obstacles();
        assert_eq!(obstacles.refused(1, false), None);
        obstacles.parts[1].internal = true;
        let because = obstacles.refused(1, false).unwrap_or_default();
        assert!(because.contains(r#"trigger "trigger A""#), "{because}");
        // To a replicating session it is the first.
        assert_eq!(obstacles.refused(0, true).as_ref(), Some(&because));
        assert_eq!(obstacles.refused(1, true), None);
        // After the triggers come other statements.
        assert_eq!(obstacles.refused(9, false), None);
    }

    #[test]
    fn what_an_ordinary_owner_cannot_put_back_is_named_beforehand() {
        let mut of_key = obstacles();
        assert_eq!(of_key.insurmountable(false), None);
        of_key.keys[0].unusual = true;
        let because = of_key.insurmountable(false).unwrap_or_default();
        assert!(because.contains("triggers of foreign key k"), "{because}");
        assert_eq!(of_key.insurmountable(true), None);
        of_key.keys[0].unusual = false;
        of_key.keys[0].renamed = true;
        let because = of_key.insurmountable(false).unwrap_or_default();
        assert!(because.contains("under another name"), "{because}");
    }
}
