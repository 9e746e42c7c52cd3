//! Writes the rows' part of the file: deletes, updates and inserts, with triggers and rules out of the way.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use bytes::Bytes;

use crate::model::{QualifiedName, RowKind, SqlText, count, quote_ident};
use crate::pg::wire::Wire;

use super::super::State;
use super::rows::{Literal, RepairRow, TableRepair};
use super::script::Script;
use super::step::Phase;
use super::write::{RepairError, Servers};
use super::{Repair, order, silent_keys, states};

/// Rows asked for, deleted or inserted by one statement.
const BATCH: usize = 100;

impl Repair<'_> {
    /// Whether it is a trigger or rule that was dropped above.
    fn is_gone(&self, state: &State) -> bool {
        let part = format!(
            "{} {}",
            state.name,
            state.part.as_deref().unwrap_or_default()
        );
        self.dropped
            .iter()
            .any(|(schema, tag)| *schema == state.schema && *tag == part)
    }

    pub(super) async fn rows(
        &self,
        script: &mut Script<'_>,
        servers: &mut Servers<'_>,
    ) -> Result<(), RepairError> {
        let by_name: BTreeMap<&QualifiedName, &TableRepair> = self
            .input
            .tables
            .iter()
            .map(|table| (&table.table, table))
            .collect();
        let ordered = self
            .order
            .tables
            .iter()
            .filter_map(|name| by_name.get(name).copied());
        let tables: Vec<&TableRepair> = ordered
            .filter(|table| !self.left.contains(&table.table))
            .filter(|table| table.whole || !table.rows.is_empty())
            .collect();
        if tables.is_empty() {
            return Ok(());
        }
        script.section(Phase::Rows.title())?;
        script.say("begin")?;
        self.quiet(script, &tables)?;
        for table in tables.iter().rev() {
            self.deletes(script, servers, table).await?;
        }
        // What a row is changed to point to may be new. To a superuser that is all the same.
        for table in &tables {
            let points_to_itself =
                !self.input.target_superuser && self.points_to_itself(&table.table);
            if !points_to_itself {
                self.updates(script, servers, table).await?;
            }
            if table.whole {
                whole_table(script, servers, table).await?;
            } else {
                self.inserts(script, servers, table).await?;
            }
            if points_to_itself {
                self.updates(script, servers, table).await?;
            }
        }
        self.loud_again(script, &tables)?;
        script.say("commit")?;
        Ok(())
    }

    /// Keeps triggers and rules from changing what is written.
    fn quiet(&self, script: &mut Script, tables: &[&TableRepair]) -> io::Result<()> {
        let circular: Vec<String> = self
            .order
            .circular
            .iter()
            .map(QualifiedName::shown)
            .collect();
        if self.input.target_superuser {
            script.comment(
                "Triggers, rules and foreign keys are not in force in this transaction: rows are written as they are on the source.\n\
                 Nothing else checks the foreign keys of these rows: verify again afterwards.",
            )?;
            script.say("set local session_replication_role = replica")?;
            for on in self.always_checked(tables) {
                script.say(&silent_keys::disable(on))?;
            }
        } else {
            script.comment("Triggers and rules are disabled in this transaction: rows are written as they are on the source. Foreign keys are checked.")?;
            if !circular.is_empty() {
                script.comment(&format!(
                    "Foreign keys point in a circle at {}: if one of them is not deferrable, this must be run by a superuser.",
                    circular.join(", ")
                ))?;
            }
            script.say("set constraints all deferred")?;
        }
        for table in tables.iter().filter(|table| self.may_collide(table)) {
            let Err(instead) = self.input.may_replace(table) else {
                continue;
            };
            script.comment(&format!(
                "{}: where two rows have exchanged the values of a unique index, they cannot be changed one after the other: \
                 if that fails, {instead}.",
                table.table.shown()
            ))?;
        }
        script.say("set local row_security = off")?;
        for table in tables {
            for statement in self.holders_of(table).flat_map(|on| self.silenced(on)) {
                script.say(&statement)?;
            }
            if self.unidentified(table).is_some() {
                script.comment("A published table needs an identity of its rows, for as long as they are changed.")?;
                script.say(&format!(
                    "alter table only {} replica identity full",
                    table.table
                ))?;
            }
        }
        Ok(())
    }

    /// Whether a foreign key leads from a table to itself.
    fn points_to_itself(&self, table: &QualifiedName) -> bool {
        let names = order::with_ancestors(table, &self.above);
        let keys = &self.input.target.observed.constraints;
        keys.iter().any(|key| {
            let to = key.references.as_ref();
            key.kind == 'f' && names.contains(&key.table) && to.is_some_and(|to| names.contains(to))
        })
    }

    /// Where triggers and rules may act on rows of a table: on itself, and if these are in its partitions, on each of them.
    fn holders_of<'s>(&'s self, table: &'s TableRepair) -> impl Iterator<Item = &'s QualifiedName> {
        // Before 15, those that partitions have from their root are the server's own, which only a superuser may disable.
        let may = self.input.target_superuser || self.input.options.target_major >= 15;
        let partitions = self.above_on_target.keys().filter(move |name| {
            let is_in_it = || order::with_ancestors(name, &self.above).contains(&table.table);
            table.is_root && may && is_in_it()
        });
        std::iter::once(&table.table).chain(partitions)
    }

    /// Disables triggers and rules that would fire nevertheless.
    fn silenced(&self, on: &QualifiedName) -> Vec<String> {
        let alter = format!("alter table only {on}");
        if self.input.target_superuser {
            let states = self.states_of(on).filter(|state| state.state != "disabled");
            return states
                .map(|state| {
                    let part = quote_ident(state.part.as_deref().unwrap_or_default());
                    format!("{alter} disable {} {part}", state.class)
                })
                .collect();
        }
        let mut statements = vec![format!("{alter} disable trigger user")];
        statements.extend(
            self.rules_of(on)
                .map(|rule| format!("{alter} disable rule {}", quote_ident(&rule))),
        );
        statements
    }

    /// Tables on which foreign keys have triggers that fire all the same: those of the rows, or partitions that hold these.
    fn always_checked(&self, tables: &[&TableRepair]) -> BTreeSet<&QualifiedName> {
        let fires = |on: &QualifiedName| {
            let all = order::with_ancestors(on, &self.above);
            tables
                .iter()
                .any(|table| table.table == *on || table.is_root && all.contains(&table.table))
        };
        let triggers = self.input.target.observed.key_triggers.iter();
        triggers
            .filter(|one| one.kind == 'f' && one.state != "disabled" && fires(&one.on))
            .map(|one| &one.on)
            .collect()
    }

    fn loud_again(&self, script: &mut Script, tables: &[&TableRepair]) -> io::Result<()> {
        if !self.input.target_superuser {
            script.say("set constraints all immediate")?;
        } else if !self.always_checked(tables).is_empty() {
            script.say(&silent_keys::enable())?;
        }
        for table in tables {
            if let Some(identity) = self.unidentified(table).filter(|&one| one != "full") {
                script.say(&format!(
                    "alter table only {} replica identity {identity}",
                    table.table
                ))?;
            }
            for on in self.holders_of(table) {
                self.as_they_were(script, on)?;
            }
        }
        Ok(())
    }

    /// Enables triggers and rules again, those that were.
    fn as_they_were(&self, script: &mut Script, on: &QualifiedName) -> io::Result<()> {
        if !self.input.target_superuser {
            let alter = format!("alter table only {on}");
            script.say(&format!("{alter} enable trigger user"))?;
            for rule in self.rules_of(on) {
                script.say(&format!("{alter} enable rule {}", quote_ident(&rule)))?;
            }
        }
        for statement in states::as_they_are(self.states_of(on)) {
            script.statement(&statement)?;
        }
        Ok(())
    }

    /// Triggers and rules of the target's table that are not just enabled.
    fn states_of<'s>(&'s self, table: &'s QualifiedName) -> impl Iterator<Item = &'s State> {
        self.input.target.observed.states.iter().filter(|state| {
            state.property == "state"
                && matches!(state.class.as_str(), "trigger" | "rule")
                && state.schema == table.schema
                && state.name == table.name
                && !self.is_gone(state)
        })
    }

    fn rules_of<'s>(&'s self, table: &'s QualifiedName) -> impl Iterator<Item = String> {
        self.input.target.toc.entries.iter().filter_map(|entry| {
            let schema = entry.namespace.as_ref()?.to_str()?;
            let tag = entry.tag.to_str()?;
            let is_gone = self
                .dropped
                .iter()
                .any(|(in_schema, part)| in_schema == schema && part == tag);
            let rule = tag.strip_prefix(table.name.as_str())?.strip_prefix(' ')?;
            (entry.is("RULE") && schema == table.schema && !is_gone).then(|| rule.to_owned())
        })
    }

    /// Tells whether a changed row is deleted and inserted: where an update would not do, or that of one row could be in the way of
    /// the next. Foreign keys would notice, so only where they are not in force.
    fn replaces<'t>(&self, table: &'t TableRepair) -> impl Fn(&RepairRow) -> bool + use<'t> {
        let may = self.input.may_replace(table).is_ok();
        let may_collide = self.may_collide(table);
        move |row| {
            row.kind == RowKind::Changed && may && (may_collide || table.cannot_be_updated(row))
        }
    }

    /// Whether another unique key than the one that tells rows apart could object to an update of one row before that of the next.
    fn may_collide(&self, table: &TableRepair) -> bool {
        let unique = self.input.target.observed.indexes.iter().filter(|index| {
            let is_unique =
                index.definition.starts_with("CREATE UNIQUE") || index.constraint_kind == Some('x');
            is_unique && index.table == table.table
        });
        table.count(RowKind::Changed) > 0 && unique.count() > 1
    }

    async fn deletes(
        &self,
        script: &mut Script<'_>,
        servers: &mut Servers<'_>,
        table: &TableRepair,
    ) -> Result<(), RepairError> {
        let replaces = self.replaces(table);
        let stays = self.undeleted.contains_key(&table.table);
        let goes = |row: &&RepairRow| row.kind == RowKind::Extra && !stays || replaces(row);
        let rows: Vec<&RepairRow> = table.rows.iter().filter(goes).collect();
        if rows.is_empty() {
            return Ok(());
        }
        script.comment(&format!(
            "{}: {} that the source does not have, or not so",
            table.table.shown(),
            count(rows.iter().map(|row| row.copies).sum(), "row", "rows")
        ))?;
        for batch in rows.chunks(BATCH) {
            if !table.key.is_empty() {
                script.say(&table.delete(batch))?;
                continue;
            }
            let seen = ask(
                servers.target,
                &table.select_fingerprints(batch),
                &table.table,
            )
            .await?;
            let prints: BTreeMap<String, String> = seen
                .iter()
                .map(|row| (text(row, 0), text(row, 1)))
                .collect();
            // Rows that look the same are one row with as many copies.
            let mut copies: BTreeMap<&str, u64> = BTreeMap::new();
            for row in batch {
                let place = row.key.first().cloned().unwrap_or_default();
                let print = prints
                    .get(&place)
                    .ok_or_else(|| gone(table, batch.len(), prints.len()))?;
                if row.copies == 1 {
                    script.say(&table.delete_copy(row, print))?;
                } else {
                    *copies.entry(print.as_str()).or_default() += row.copies;
                }
            }
            if !copies.is_empty() {
                script.say(&table.delete_copies(&copies))?;
            }
        }
        Ok(())
    }

    async fn inserts(
        &self,
        script: &mut Script<'_>,
        servers: &mut Servers<'_>,
        table: &TableRepair,
    ) -> Result<(), RepairError> {
        let replaces = self.replaces(table);
        let comes = |row: &&RepairRow| row.kind == RowKind::Missing || replaces(row);
        let rows: Vec<&RepairRow> = table.rows.iter().filter(comes).collect();
        if rows.is_empty() {
            return Ok(());
        }
        script.comment(&format!(
            "{}: {} as on the source",
            table.table.shown(),
            count(rows.iter().map(|row| row.copies).sum(), "row", "rows")
        ))?;
        let columns = table.written();
        for batch in rows.chunks(BATCH) {
            let found = ask(servers.source, &table.select(&columns, batch), &table.table).await?;
            if found.len() != batch.len() {
                return Err(gone(table, batch.len(), found.len()));
            }
            let copies: BTreeMap<&str, u64> = batch
                .iter()
                .filter(|_| table.key.is_empty())
                .filter_map(|row| Some((row.key.first()?.as_str(), row.copies)))
                .collect();
            let mut values: Vec<Vec<Literal>> = Vec::new();
            for row in &found {
                let times = copies.get(text(row, 0).as_str()).copied().unwrap_or(1);
                for _ in 0..times {
                    values.push(literals(row));
                }
            }
            insert(script, table, &values)?;
        }
        Ok(())
    }

    async fn updates(
        &self,
        script: &mut Script<'_>,
        servers: &mut Servers<'_>,
        table: &TableRepair,
    ) -> Result<(), RepairError> {
        let replaces = self.replaces(table);
        let is_updated = |row: &&RepairRow| {
            row.kind == RowKind::Changed && !replaces(row) && !table.cannot_be_updated(row)
        };
        let changed: Vec<&RepairRow> = table.rows.iter().filter(is_updated).collect();
        if changed.is_empty() {
            return Ok(());
        }
        script.comment(&format!(
            "{}: {} with other values",
            table.table.shown(),
            count(changed.len() as u64, "row", "rows")
        ))?;
        // Rows that differ in the same columns are asked for together.
        let mut groups: BTreeMap<Vec<&str>, Vec<&RepairRow>> = BTreeMap::new();
        for row in changed {
            groups.entry(table.updated(row)).or_default().push(row);
        }
        for (columns, rows) in groups {
            let mut asked: Vec<&str> = table.key.iter().map(String::as_str).collect();
            asked.extend(&columns);
            for batch in rows.chunks(BATCH) {
                let found = ask(servers.source, &table.select(&asked, batch), &table.table).await?;
                if found.len() != batch.len() {
                    return Err(gone(table, batch.len(), found.len()));
                }
                for row in &found {
                    script.say_bytes(&table.update(&columns, &literals(row)))?;
                }
            }
        }
        Ok(())
    }
}

/// All rows of the source, by way of a cursor.
async fn whole_table(
    script: &mut Script<'_>,
    servers: &mut Servers<'_>,
    table: &TableRepair,
) -> Result<(), RepairError> {
    const CURSOR: &str = "pgconvoy_rows";
    let columns = table.written();
    script.comment(&format!("{}: every row of the source", table.table.shown()))?;
    let declare = format!(
        "declare {CURSOR} no scroll cursor for {}",
        table.select_all(&columns)
    );
    ask(servers.source, &declare, &table.table).await?;
    loop {
        let found = ask(
            servers.source,
            &format!("fetch {BATCH} from {CURSOR}"),
            &table.table,
        )
        .await?;
        if found.is_empty() {
            break;
        }
        let values: Vec<Vec<Literal>> = found.iter().map(literals).collect();
        insert(script, table, &values)?;
    }
    ask(servers.source, &format!("close {CURSOR}"), &table.table).await?;
    Ok(())
}

fn insert(script: &mut Script, table: &TableRepair, values: &[Vec<Literal>]) -> io::Result<()> {
    if !table.written().is_empty() {
        return script.say_bytes(&table.insert(values));
    }
    for _ in values {
        script.say(&table.insert_defaults())?;
    }
    Ok(())
}
type Answer = Vec<Option<Bytes>>;

async fn ask(
    wire: &mut Wire,
    sql: &str,
    table: &QualifiedName,
) -> Result<Vec<Answer>, RepairError> {
    let answer = wire.query(&SqlText::from(sql)).await;
    answer.map_err(|source| RepairError::Read {
        what: table.shown(),
        source,
    })
}

/// The literals of a row: all but its place, which comes first.
fn literals(row: &Answer) -> Vec<Literal> {
    let values = row.iter().skip(1);
    values
        .map(|value| {
            value
                .as_ref()
                .map_or_else(|| b"NULL".to_vec(), |bytes| bytes.to_vec())
        })
        .collect()
}

fn text(row: &Answer, column: usize) -> String {
    let value = row.get(column).and_then(Option::as_ref);
    value
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        .unwrap_or_default()
}

fn gone(table: &TableRepair, asked: usize, found: usize) -> RepairError {
    RepairError::Gone {
        table: table.table.shown(),
        asked,
        found,
    }
}
