//! Brings what earlier sessions left on the target to another snapshot: looks what still holds, and clears away what does not.
//!
//! ```text
//!   read the source anew ─► rows that are the same stay ─┐
//!                                                        ├─► a new plan, with what of it is done already
//!   clear the target of what is in the way ──────────────┘
//! ```
//!
//! Everything here may be interrupted and run again. Rows and large objects lose their done-marks in the transaction that takes
//! them away. Whatever else is cleared does not: its marks say that it is done until there is a new plan, whose marks are those of
//! what is there. So whoever clears says in the ledger before he begins that the old plan cannot be gone on with, and the next
//! session begins here as well, even if it finds the same snapshot and all tables full.
//!
//! It touches nothing but tables that the run has filled, large objects that it has made, constraints on them and those that
//! nobody has validated, indexes that it made half a key of, and event triggers that came with the move; all of them will be made
//! again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::fault;
use crate::ledger::{self, Held, Marks, comparable};
use crate::model::{Bytes, JobId, MultisetDigest, Oid, QualifiedName, Rows, SqlText, quote_ident};
use crate::pg::wire::{Gauge, read_copy};
use crate::pg::{PgError, Pool, Query, Session};
use crate::plan::{CopyUnit, Plan, Shield, Work};

/// Tables of one TRUNCATE, and large objects of one transaction.
const BATCH: usize = 500;

const CONSTRAINTS: Query = Query::new(
    "rebase/constraints.sql",
    include_str!("../../sql/rebase/constraints.sql"),
);
const TRIGGERS: Query = Query::new(
    "rebase/triggers.sql",
    include_str!("../../sql/rebase/triggers.sql"),
);
const EVENT_TRIGGERS: Query = Query::new(
    "rebase/event_triggers.sql",
    include_str!("../../sql/rebase/event_triggers.sql"),
);
const SHIELDS: Query = Query::new(
    "rebase/shields.sql",
    include_str!("../../sql/rebase/shields.sql"),
);
const LARGE_OBJECTS: Query = Query::new(
    "rebase/large_objects.sql",
    include_str!("../../sql/rebase/large_objects.sql"),
);
const UNLOGGED: Query = Query::new(
    "rebase/unlogged.sql",
    include_str!("../../sql/rebase/unlogged.sql"),
);

/// All of them, for the test that prepares each on every supported server.
pub const QUERIES: [Query; 6] = [
    CONSTRAINTS,
    TRIGGERS,
    EVENT_TRIGGERS,
    SHIELDS,
    LARGE_OBJECTS,
    UNLOGGED,
];

/// Reads on the source, in the new snapshot, the tables that the ledger calls whole, and says which are as they were. `draft`
/// is a plan of the new snapshot. A table that shares its target with others stays only if all of them do.
pub async fn unchanged(
    source: &Pool,
    (old, marks): (&Plan, &Marks),
    draft: &Plan,
) -> Result<BTreeMap<QualifiedName, Held>, PgError> {
    let held = ledger::held(old, marks);
    let before: HashMap<&QualifiedName, &CopyUnit> =
        old.tables.iter().map(|unit| (&unit.table, unit)).collect();
    let candidates = draft.tables.iter().filter_map(|unit| {
        let digest = held.get(&unit.table)?;
        let same_form = before
            .get(&unit.table)
            .is_some_and(|old| comparable(old, unit));
        same_form.then_some((unit, *digest))
    });
    let workers = usize::try_from(draft.workers).unwrap_or(1).max(1);
    let reads = stream::iter(candidates)
        .map(|(unit, then)| async move {
            let now = read(source, unit).await?;
            Ok::<_, PgError>((now.digest == then).then(|| (unit.table.clone(), now)))
        })
        .buffer_unordered(workers);
    let same: Vec<Option<(QualifiedName, Held)>> = reads.try_collect().await?;
    let mut same: BTreeMap<QualifiedName, Held> = same.into_iter().flatten().collect();
    let spoilt: BTreeSet<&QualifiedName> = draft
        .tables
        .iter()
        .filter(|unit| !same.contains_key(&unit.table))
        .map(|unit| &unit.into)
        .collect();
    for unit in draft
        .tables
        .iter()
        .filter(|unit| spoilt.contains(&unit.into))
    {
        same.remove(&unit.table);
    }
    Ok(same)
}

async fn read(source: &Pool, unit: &CopyUnit) -> Result<Held, PgError> {
    let mut wire = source.take().await?;
    let gauge = Gauge::default();
    let read = read_copy(&mut wire, &unit.copy_out(None), unit.layout(), &gauge).await;
    match read {
        Ok(relayed) => {
            source.give_back(wire);
            Ok(Held {
                digest: relayed.digest,
                bytes: relayed.bytes,
            })
        }
        // What is wrong with it is for the copy to say; here it only means that the table is not known to be the same.
        Err(error) if error.may_pass() || error.stops_run() => {
            source.give_up(wire);
            Err(error)
        }
        Err(_) => {
            source.give_up(wire);
            Ok(Held {
                digest: MultisetDigest {
                    rows: Rows(u64::MAX),
                    sum: 0,
                },
                bytes: Bytes(0),
            })
        }
    }
}

/// What is to be cleared away.
pub struct Clearing<'a> {
    /// A session of the target.
    pub target: &'a Session,
    /// Whether it is a superuser's, who can keep event triggers and others from firing.
    pub superuser: bool,
    /// The old plan.
    pub old: &'a Plan,
    /// What of it is done.
    pub marks: &'a Marks,
    /// A plan of the new snapshot.
    pub draft: &'a Plan,
    /// Tables of the source whose rows stay.
    pub unchanged: &'a BTreeMap<QualifiedName, Held>,
    /// Indexes that were made to become keys and did not.
    pub half_made: &'a [QualifiedName],
}

impl Clearing<'_> {
    /// Clears. Returns what was done, in sentences.
    pub async fn clear(&self) -> Result<Vec<String>, PgError> {
        if self.superuser {
            self.target
                .execute("set session_replication_role = replica")
                .await?;
        }
        let notes = self.clear_away().await?;
        if self.superuser {
            self.target
                .execute("reset session_replication_role")
                .await?;
        }
        Ok(notes)
    }

    async fn clear_away(&self) -> Result<Vec<String>, PgError> {
        let mut notes = self.drop_event_triggers().await?;
        notes.extend(self.drop_half_made().await?);
        let stale = self.stale();
        let anew = self.draft.tables.iter();
        let anew = anew.filter(|unit| !self.unchanged.contains_key(&unit.table));
        let names: BTreeSet<&QualifiedName> = anew
            .map(|unit| &unit.into)
            .chain(stale.iter().map(|(unit, _)| &unit.into))
            .collect();
        let names: Vec<&QualifiedName> = names.into_iter().collect();
        notes.extend(self.drop_constraints(&names).await?);
        fault::point("constraints-dropped");
        notes.extend(self.drop_triggers(&names).await?);
        for batch in stale.chunks(BATCH) {
            self.empty(batch).await?;
            fault::point("tables-emptied");
        }
        if !stale.is_empty() {
            notes.push(format!(
                "emptied on the target, to be copied again: {}",
                listed(stale.iter().map(|(unit, _)| unit.into.shown()))
            ));
        }
        let removed = self.remove_large_objects().await?;
        if removed > 0 {
            notes.push(format!(
                "removed {removed} large objects on the target, to be copied again"
            ));
        }
        Ok(notes)
    }

    /// Tables with rows of the old snapshot that do not hold in the new one, and the jobs that brought them.
    fn stale(&self) -> Vec<(&CopyUnit, Vec<(JobId, u32)>)> {
        let mut brought: BTreeMap<usize, Vec<(JobId, u32)>> = BTreeMap::new();
        for job in &self.old.jobs {
            for (table, part) in ledger::copied(&job.work) {
                if self.marks.has(job.id, part) {
                    brought.entry(table).or_default().push((job.id, part));
                }
            }
        }
        let units = brought
            .into_iter()
            .filter_map(|(table, jobs)| Some((self.old.tables.get(table)?, jobs)));
        units
            .filter(|(unit, _)| !self.unchanged.contains_key(&unit.table))
            .collect()
    }

    async fn drop_event_triggers(&self) -> Result<Vec<String>, PgError> {
        let mut names: Vec<String> = Vec::new();
        for row in self.target.query(&EVENT_TRIGGERS, &[]).await? {
            names.push(quote_ident(&row.get::<String>("name")?));
        }
        for name in &names {
            let sql = format!("drop event trigger {name}");
            self.target.execute(&sql).await?;
        }
        let note = |names: &[String]| {
            format!(
                "dropped event triggers on the target, to be created again at the end: {}",
                names.join(", ")
            )
        };
        Ok((!names.is_empty())
            .then(|| note(&names))
            .into_iter()
            .collect())
    }

    async fn drop_half_made(&self) -> Result<Vec<String>, PgError> {
        for index in self.half_made {
            let sql = format!("drop index if exists {index}");
            self.target.execute(&sql).await?;
        }
        let note = |index: &QualifiedName| {
            format!("dropped index {index}: the key that it was built for was not created")
        };
        Ok(self.half_made.iter().map(note).collect())
    }

    async fn drop_constraints(&self, tables: &[&QualifiedName]) -> Result<Vec<String>, PgError> {
        let (schemas, names) = columns(tables);
        let mut notes = Vec::new();
        for row in self.target.query(&CONSTRAINTS, &[&schemas, &names]).await? {
            let holder = row.name("schema", "name")?;
            let kind: String = row.get("kind")?;
            let constraint = quote_ident(&row.get::<String>("constraint_name")?);
            let sql = format!("alter {kind} {holder} drop constraint if exists {constraint}");
            self.target.execute(&sql).await?;
            notes.push(format!(
                "dropped constraint {constraint} of {holder}, to be made and checked again"
            ));
        }
        Ok(notes)
    }

    /// Triggers that would fire on what is emptied and loaded; whatever they are set to, they are made again as they were.
    async fn drop_triggers(&self, tables: &[&QualifiedName]) -> Result<Vec<String>, PgError> {
        let (schemas, names) = columns(tables);
        let mut notes = Vec::new();
        for row in self.target.query(&TRIGGERS, &[&schemas, &names]).await? {
            let table = row.name("schema", "name")?;
            let trigger = quote_ident(&row.get::<String>("trigger_name")?);
            let sql = format!("drop trigger if exists {trigger} on {table}");
            self.target.execute(&sql).await?;
            notes.push(format!(
                "dropped trigger {trigger} of {}, to be made again",
                table.shown()
            ));
        }
        Ok(notes)
    }

    /// Empties tables, and takes their marks back with them.
    async fn empty(&self, batch: &[(&CopyUnit, Vec<(JobId, u32)>)]) -> Result<(), PgError> {
        let mut truncated: BTreeSet<String> = BTreeSet::new();
        let mut sql = String::from("begin");
        for (unit, _) in batch {
            match &unit.condition {
                // The other rows came with the extension.
                Some(condition) => {
                    let _ = write!(sql, "; delete from only {} {condition}", unit.into);
                }
                // Others of the extension may refer to it.
                None if unit.entry.is_none() => {
                    let _ = write!(sql, "; delete from only {}", unit.into);
                }
                None if unit.into == unit.table => {
                    truncated.insert(format!("only {}", unit.into));
                }
                None => {
                    truncated.insert(unit.into.to_string());
                }
            }
        }
        if !truncated.is_empty() {
            let tables: Vec<String> = truncated.into_iter().collect();
            let _ = write!(sql, "; truncate table {}", tables.join(", "));
        }
        let parts: Vec<(JobId, u32)> = batch.iter().flat_map(|(_, jobs)| jobs).copied().collect();
        let _ = write!(sql, "; {}; commit", ledger::unmark(&parts));
        self.target.execute(&sql).await
    }

    async fn remove_large_objects(&self) -> Result<usize, PgError> {
        let mut removed = 0;
        for job in &self.old.jobs {
            let Work::LargeObjects { objects, .. } = &job.work else {
                continue;
            };
            if !self.marks.whole(job.id) {
                continue;
            }
            let oids: Vec<Oid> = objects.iter().map(|object| object.oid).collect();
            self.target.execute("begin").await?;
            removed += self.unlink(&oids).await?;
            let unmark = ledger::unmark(&[(job.id, ledger::WHOLE)]);
            self.target.execute(&format!("{unmark}; commit")).await?;
            fault::point("large-objects-removed");
        }
        Ok(removed)
    }

    async fn unlink(&self, oids: &[Oid]) -> Result<usize, PgError> {
        remove_large_objects(self.target, oids).await
    }
}

/// Removes large objects, those of them that are there; says how many.
pub async fn remove_large_objects(target: &Session, oids: &[Oid]) -> Result<usize, PgError> {
    let oids: Vec<u32> = oids.iter().map(|oid| oid.0).collect();
    Ok(target.query(&LARGE_OBJECTS, &[&oids]).await?.len())
}

/// What is set aside while tables are loaded whose row security is in place already, and holds for their owner.
pub async fn shields(
    target: &Session,
    tables: &[&QualifiedName],
) -> Result<BTreeMap<QualifiedName, Shield>, PgError> {
    let (schemas, names) = columns(tables);
    let mut shields = BTreeMap::new();
    for row in target.query(&SHIELDS, &[&schemas, &names]).await? {
        let table = row.name("schema", "name")?;
        let alter = |what: &str| SqlText::from(format!("alter table only {table} {what}"));
        let shield = Shield {
            before: vec![alter("no force row level security")],
            after: vec![alter("force row level security")],
        };
        shields.insert(table, shield);
    }
    Ok(shields)
}

/// Unlogged tables that do not hold what was committed into them: the target has crashed since. Each with the jobs and the parts
/// that brought it. What came in through the root of a tree is known as a whole only: such a partition is told by its root.
pub async fn emptied(
    target: &Session,
    plan: &Plan,
    marks: &Marks,
) -> Result<Vec<(QualifiedName, Vec<(JobId, u32)>)>, PgError> {
    let units = plan.tables.iter();
    let loaded: HashMap<&QualifiedName, &QualifiedName> =
        units.map(|unit| (&unit.table, &unit.into)).collect();
    let mut asked: BTreeSet<QualifiedName> = BTreeSet::new();
    let mut emptied = Vec::new();
    for row in target.query(&UNLOGGED, &[]).await? {
        let table = row.name("schema", "name")?;
        let into = loaded.get(&table).copied().unwrap_or(&table);
        let brought = ledger::brought(plan, marks, into);
        if brought.is_empty() || !asked.insert(into.clone()) {
            continue;
        }
        let rows = brought
            .iter()
            .filter_map(|(job, part)| marks.part(*job, *part));
        let expected: Rows = rows.map(|mark| mark.mark.rows).sum();
        let is_whole = if *into != table {
            // Whose rows nobody may count is left to the comparison.
            is_hidden(target, into).await? || count(target, &into.to_string()).await? == expected
        } else if row.get("hidden")? {
            row.count("bytes")? > 0
        } else {
            count(target, &format!("only {table}")).await? == expected
        };
        if !is_whole {
            emptied.push((into.clone(), brought));
        }
    }
    Ok(emptied)
}

async fn count(target: &Session, from: &str) -> Result<Rows, PgError> {
    let sql = format!("select count(*) as found from {from}");
    let rows = target.query_text("an unlogged table", &sql, &[]).await?;
    let found = rows.first().map_or(Ok(0), |row| row.count("found"))?;
    Ok(Rows(found))
}

/// Whether row security holds for the owner as well.
async fn is_hidden(target: &Session, table: &QualifiedName) -> Result<bool, PgError> {
    Ok(!shields(target, &[table]).await?.is_empty())
}

fn columns(tables: &[&QualifiedName]) -> (Vec<String>, Vec<String>) {
    tables
        .iter()
        .map(|table| (String::from(&*table.schema), String::from(&*table.name)))
        .unzip()
}

fn listed(names: impl Iterator<Item = String>) -> String {
    let names: BTreeSet<String> = names.collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}
