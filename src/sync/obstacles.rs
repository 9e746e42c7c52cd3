//! What stands in the way of changing rows on the target: triggers and rules that would fire, foreign keys that would object in
//! between, publications that want an identity of every row.
//!
//! Where the role may (a superuser, or who was granted it), `session_replication_role = replica` puts most of them out of force,
//! for our session alone; what is made to fire even then is disabled. Foreign keys are not in force then, so each that touches
//! a changed table is checked before the commit, as the server checks one that is new. Where the role may not, triggers and
//! rules of the changed tables are disabled, and the foreign keys that touch them are dropped and made again, which checks them: all
//! in the one transaction, so that nobody ever sees the target without them.

use std::collections::BTreeSet;

use crate::model::{QualifiedName, SqlText, quote_ident};
use crate::pg::{PgError, Query, Session};

const FIRING: Query = Query::new("sync/firing.sql", include_str!("../../sql/sync/firing.sql"));
const TABLES: Query = Query::new("sync/tables.sql", include_str!("../../sql/sync/tables.sql"));
const FOREIGN_KEYS: Query = Query::new(
    "sync/foreign_keys.sql",
    include_str!("../../sql/sync/foreign_keys.sql"),
);

pub(super) const WRITTEN: Query = Query::new(
    "sync/written.sql",
    include_str!("../../sql/sync/written.sql"),
);

/// All of them, for the test that prepares each on every supported server.
pub const QUERIES: [Query; 4] = [FIRING, TABLES, FOREIGN_KEYS, WRITTEN];

/// A trigger or a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    table: QualifiedName,
    /// `trigger` or `rule`.
    kind: String,
    name: String,
    /// `O`, `R`, `A` or `D`.
    state: char,
    /// Before 15, a partition's copy of its parent's trigger, which nobody but a superuser may alter.
    internal: bool,
}

/// A foreign key that touches a changed table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ForeignKey {
    /// With its table's.
    pub name: String,
    /// Counts rows that point nowhere, if that can be asked.
    pub question: Option<String>,
    /// Somebody has disabled its triggers, or has them fire always.
    unusual: bool,
    drop: String,
    add: String,
    comment: String,
}

/// All that stands in the way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Obstacles {
    parts: Vec<Part>,
    /// Tables whose rows have no identity that a publication would take, each with the identity that it has.
    unidentified: Vec<(QualifiedName, char)>,
    /// Tables that a foreign key of another one points to.
    referenced: BTreeSet<QualifiedName>,
    /// The tables themselves, and the partitions below.
    pub(super) members: BTreeSet<QualifiedName>,
    pub(super) keys: Vec<ForeignKey>,
}

impl Obstacles {
    /// Looks. The tables are locked by now, so nobody puts another trigger on one.
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
            if row.get("unidentified")? {
                found.unidentified.push((table, row.char("identity")?));
            }
            if row.get("referenced")? {
                found
                    .referenced
                    .insert(row.name("root_schema", "root_name")?);
            }
        }
        for row in session.query(&FOREIGN_KEYS, &[&schemas, &names]).await? {
            found.keys.push(ForeignKey {
                name: row.get("name")?,
                question: row.get("question")?,
                unusual: row.get("unusual")?,
                drop: row.get("drop_statement")?,
                add: row.get("add_statement")?,
                comment: row.get("comment_statement")?,
            });
        }
        Ok(found)
    }

    /// Whether all of its rows may be taken away by TRUNCATE.
    pub(super) fn may_truncate(&self, table: &QualifiedName) -> bool {
        !self.referenced.contains(table)
    }

    /// What cannot be put out of the way and put back as it was, as a clause. `replicates`: our session counts as one that replicates.
    pub(super) fn insurmountable(&self, replicates: bool) -> Option<String> {
        let mut parts = self.firing(replicates);
        // Whoever may have it otherwise is a superuser.
        let part = parts.find(|part| part.internal && !replicates);
        let of_partition = |part: &Part| {
            format!(
                "trigger {} of partition {} comes from the table above it, and nobody but a superuser may disable it before version 15",
                quote_ident(&part.name),
                part.table.shown()
            )
        };
        let of_key = |key: &ForeignKey| {
            format!(
                "the triggers of foreign key {} are not in their usual state, and it would have to be made again",
                key.name
            )
        };
        let mut keys = self.keys.iter();
        let key = keys.find(|key| key.unusual && !replicates);
        part.map(of_partition).or_else(|| key.map(of_key))
    }

    /// What is put out of the way. `replicates`: our session counts as one that replicates.
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
        if !replicates {
            statements.extend(self.keys.iter().map(|key| key.drop.clone()));
        }
        statements.into_iter().map(SqlText::from).collect()
    }

    /// The same put back.
    pub(super) fn loud(&self, replicates: bool) -> Vec<SqlText> {
        let mut statements = Vec::new();
        if !replicates {
            for key in &self.keys {
                statements.extend([key.add.clone(), key.comment.clone()]);
            }
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
        Obstacles {
            parts: vec![
                part("trigger", 'O'),
                part("trigger", 'A'),
                part("trigger", 'D'),
                part("rule", 'R'),
            ],
            unidentified: vec![(QualifiedName::new("s", "bare"), 'n')],
            referenced: BTreeSet::new(),
            members: BTreeSet::new(),
            keys: vec![ForeignKey {
                name: "k".into(),
                question: None,
                unusual: false,
                drop: "drop k".into(),
                add: "add k".into(),
                comment: "comment k".into(),
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
            ]
        );
        assert_eq!(
            texts(&obstacles().loud(true)),
            [
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
            ]
        );
        let loud = texts(&obstacles().loud(false));
        assert_eq!(loud[..2], ["add k", "comment k"]);
        assert!(
            loud[3].ends_with(r#"enable trigger "trigger O""#),
            "{loud:?}"
        );
    }

    #[test]
    fn what_an_ordinary_owner_cannot_put_back_is_named_beforehand() {
        let mut of_partition = obstacles();
        assert_eq!(of_partition.insurmountable(false), None);
        of_partition.parts[0].internal = true;
        let because = of_partition.insurmountable(false).unwrap_or_default();
        assert!(because.contains(r#"trigger "trigger O""#), "{because}");
        assert_eq!(of_partition.insurmountable(true), None);
        // It does not fire anyway.
        of_partition.parts[0].state = 'D';
        assert_eq!(of_partition.insurmountable(false), None);
        let mut of_key = obstacles();
        of_key.keys[0].unusual = true;
        let because = of_key.insurmountable(false).unwrap_or_default();
        assert!(because.contains("foreign key k"), "{because}");
        assert_eq!(of_key.insurmountable(true), None);
    }
}
