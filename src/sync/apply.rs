//! What is done in the transaction, step by step: first the rows that go, in all tables, so that no row that comes finds its
//! place taken (two rows may have swapped unique values); then the rows that come.

use std::collections::BTreeMap;

use crate::catalog::{LargeObject, LargeObjectGrant, large_object_content};
use crate::fault;
use crate::model::{Bytes, Oid, QualifiedName, RowLayout, Rows, SqlText, count};
use crate::pg::wire::{Bundle, Ends, Gauge, Leg, Wire, relay};
use crate::pg::{PgError, Pool, pin_values, set_values};
use crate::toc::RestoreOptions;

use super::changes::Changes;
use super::error::SyncError;
use super::large_objects::{BATCH, describe, granted};
use super::obstacles::{Obstacles, Unchecked, WRITTEN};
use super::sequences::SequenceChange;
use super::table::TableChange;
use super::writer::{MAY_NOT, Writer};

/// COPYs in one round trip: none waits for the answer to another.
const LEGS: usize = 100;

/// `object_not_in_prerequisite_state`: how the server refuses to delete published rows that nothing identifies.
const NOT_IN_THIS_STATE: &str = "55000";

/// Where large objects arrive, in parts of a megabyte.
const STAGE: &str =
    "create temporary table pgconvoy_stage (oid oid, part int4, data bytea) on commit drop";
/// The first part makes the object, the others follow.
const UNSTAGE: [&str; 3] = [
    "select pg_catalog.lo_from_bytea(oid, data) from pg_temp.pgconvoy_stage where part = 0",
    "select pg_catalog.lo_put(oid, part::int8 * 1048576, data) from pg_temp.pgconvoy_stage where part > 0",
    "truncate pg_temp.pgconvoy_stage",
];

/// Where the rows come from, and how progress is reported.
pub struct Sides<'a> {
    /// Sessions of the source, in its snapshot.
    pub source: &'a Pool,
    /// What is left out of every object.
    pub options: &'a RestoreOptions,
    /// Settings under which queries are run whose results are stored.
    pub value_settings: &'a [(String, String)],
    /// Called with what is being done.
    pub tell: &'a (dyn Fn(String) + Send + Sync),
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// `CopyData` bytes for each table.
    pub bytes: BTreeMap<QualifiedName, Bytes>,
    /// Number of foreign keys that were checked.
    pub foreign_keys: u64,
    /// Nothing else was written to; `false` if the server does not say.
    pub nothing_else: bool,
}

impl Writer {
    /// Changes the target, and commits nothing. After an error the transaction is spoilt, and must be dropped.
    pub async fn apply(
        &mut self,
        (changes, obstacles): (&Changes, &Obstacles),
        sides: &Sides<'_>,
    ) -> Result<Applied, SyncError> {
        let replicates = self
            .replicate()
            .await
            .map_err(step("preparing the target"))?;
        if let Some(because) = obstacles.insurmountable(replicates) {
            return Err(SyncError::InTheWay { because });
        }
        let obstacles = &in_the_way(obstacles, sides).await?;
        self.quiet(obstacles, replicates).await?;
        for change in &changes.tables {
            self.delete(change, obstacles).await?;
        }
        fault::point("sync-deleted");
        let mut applied = Applied::default();
        for change in &changes.tables {
            let bytes = self.copy(change, sides).await?;
            applied.bytes.insert(change.table.clone(), bytes);
        }
        fault::point("sync-copied");
        self.large_objects(changes, sides).await?;
        let settled = self.run("set constraints all immediate").await;
        settled.map_err(step("checking deferred constraints"))?;
        if replicates {
            applied.foreign_keys = self.check(obstacles, sides).await?;
        }
        let loud = self.run_all(&obstacles.loud(replicates)).await;
        loud.map_err(step(
            "putting triggers, rules and constraints in force again",
        ))?;
        self.views(changes, sides).await?;
        applied.nothing_else = self.wrote_nothing_else(obstacles).await?;
        self.sequences(changes).await?;
        Ok(applied)
    }

    /// Removes what stands in the way. A trigger that the server does not let us disable is named.
    async fn quiet(&mut self, obstacles: &Obstacles, replicates: bool) -> Result<(), SyncError> {
        let statements = obstacles.quiet(replicates);
        if statements.is_empty() {
            return Ok(());
        }
        let Err((place, error)) = self.wire.execute_all(&statements).await else {
            return Ok(());
        };
        let is_denied = error.code() == Some(MAY_NOT);
        match obstacles.refused(place, replicates).filter(|_| is_denied) {
            Some(because) => Err(SyncError::InTheWay { because }),
            None => Err(step(
                "putting triggers, rules and constraints out of the way",
            )(error)),
        }
    }

    /// Tables that were found the same are not looked at again, so nothing may have written to them: an event trigger that
    /// keeps a log would, and a function called by a materialized view could. Returns whether the server can tell.
    async fn wrote_nothing_else(&mut self, obstacles: &Obstacles) -> Result<bool, SyncError> {
        let rows = self.wire.query(&SqlText::from(WRITTEN.sql)).await;
        let rows = rows.map_err(step("looking for what was written besides"))?;
        let text = |row: &[Option<bytes::Bytes>], column: usize| {
            let value = row.get(column)?.as_deref()?;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        let counts = rows.first().and_then(|row| text(row, 2));
        let written = rows
            .iter()
            .filter_map(|row| Some(QualifiedName::new(text(row, 0)?, text(row, 1)?)));
        let others = written.filter(|table| !obstacles.members.contains(table));
        let tables: Vec<String> = others.map(|table| table.shown()).collect();
        if tables.is_empty() {
            return Ok(counts.as_deref() == Some("on"));
        }
        Err(SyncError::WrittenAlong { tables })
    }

    async fn delete(
        &mut self,
        change: &TableChange,
        obstacles: &Obstacles,
    ) -> Result<(), SyncError> {
        let table = || change.table.shown();
        let failed = |error: PgError| {
            let is_refused = error.code() == Some(NOT_IN_THIS_STATE);
            if is_refused && obstacles.lost.contains(&change.table) {
                return SyncError::Unidentified { table: table() };
            }
            step(&format!("deleting rows of {}", table()))(error)
        };
        for statement in change.deletes(obstacles.may_truncate(&change.table)) {
            let Some(expected) = statement.expected else {
                let done = self.wire.execute(&statement.sql).await;
                done.map_err(failed)?;
                continue;
            };
            let found = self.count(&statement.sql).await;
            let found = found.map_err(failed)?;
            if found != Rows(expected) {
                return Err(SyncError::Rows {
                    table: table(),
                    doing: "deleting rows of",
                    done: "deleted",
                    expected: Rows(expected),
                    found,
                });
            }
        }
        Ok(())
    }

    /// Writes the rows that come. Returns how many bytes they were.
    async fn copy(&mut self, change: &TableChange, sides: &Sides<'_>) -> Result<Bytes, SyncError> {
        let copies = change.copies_out();
        let total: u64 = copies.iter().filter_map(|copy| copy.expected).sum();
        if copies.is_empty() {
            return Ok(Bytes(0));
        }
        (sides.tell)(format!(
            "writing {} of {}",
            count(total, "row", "rows"),
            change.table.shown()
        ));
        let mut bytes = Bytes(0);
        for batch in copies.chunks(LEGS) {
            let leg = |copy: &super::statements::Counted| Leg {
                copy_out: copy.sql.clone(),
                copy_in: change.copy_in(),
                layout: change.format.layout(&[]),
                count: None,
            };
            let legs: Vec<Leg<'_>> = batch.iter().map(leg).collect();
            let passed = self.relay(sides.source, &legs).await;
            let passed =
                passed.map_err(step(&format!("writing rows of {}", change.table.shown())))?;
            for ((found, size), copy) in passed.into_iter().zip(batch) {
                let expected = copy.expected.map_or(found, Rows);
                if found != expected {
                    return Err(SyncError::Rows {
                        table: change.table.shown(),
                        doing: "writing rows of",
                        done: "written",
                        expected,
                        found,
                    });
                }
                bytes += size;
            }
        }
        Ok(bytes)
    }

    /// Returns rows and bytes of each leg.
    async fn relay(
        &mut self,
        source: &Pool,
        legs: &[Leg<'_>],
    ) -> Result<Vec<(Rows, Bytes)>, PgError> {
        let mut wire: Wire = source.take().await?;
        let bundle = Bundle {
            opening: &[],
            legs,
            tell: &|_| {},
        };
        let ends = Ends {
            source: &mut wire,
            target: &mut self.wire,
        };
        match relay(ends, &bundle, &Gauge::default()).await {
            Ok(passed) => {
                source.give_back(wire);
                let of = passed.into_iter();
                Ok(of
                    .map(|leg| (leg.relayed.digest.rows, leg.relayed.bytes))
                    .collect())
            }
            Err(error) => {
                source.give_up(wire);
                Err(error)
            }
        }
    }

    async fn large_objects(
        &mut self,
        changes: &Changes,
        sides: &Sides<'_>,
    ) -> Result<(), SyncError> {
        let objects = &changes.large_objects;
        if objects.is_empty() {
            return Ok(());
        }
        (sides.tell)("writing large objects".to_owned());
        let unlinked = self.run_all(&objects.unlinked()).await;
        unlinked.map_err(step("removing large objects"))?;
        if !objects.made.is_empty() {
            let staged = self.run(STAGE).await;
            staged.map_err(step("making room for large objects"))?;
        }
        let mut given = BTreeMap::new();
        for batch in objects.made.chunks(BATCH) {
            let oids: Vec<Oid> = batch.iter().map(|object| object.oid).collect();
            let leg = Leg {
                copy_out: SqlText::from(format!(
                    "copy ({}) to stdout (format binary)",
                    large_object_content(&oids)
                )),
                copy_in: SqlText::from("copy pg_temp.pgconvoy_stage from stdin (format binary)"),
                layout: RowLayout::PLAIN,
                count: None,
            };
            let arrived = self.relay(sides.source, &[leg]).await;
            arrived.map_err(step("writing large objects"))?;
            let made = self.run_all(&UNSTAGE.map(SqlText::from)).await;
            made.map_err(step("writing large objects"))?;
            let found = self.granted(&oids).await;
            given.extend(found.map_err(step("reading the grants of large objects"))?);
        }
        let new = objects.made.iter();
        let new = new.map(|object| (object, given.get(&object.oid)));
        let old = objects
            .described
            .iter()
            .map(|(ours, theirs)| (ours, Some(theirs)));
        for (object, now) in new.chain(old) {
            let described = self.run_all(&describe(object, now, sides.options)).await;
            described.map_err(step(&format!(
                "owner, grants and comment of large object {}",
                object.oid
            )))?;
        }
        Ok(())
    }

    /// New objects that came with grants: as they are on the target now.
    async fn granted(&mut self, oids: &[Oid]) -> Result<BTreeMap<Oid, LargeObject>, PgError> {
        let mut found: BTreeMap<Oid, LargeObject> = BTreeMap::new();
        for row in self.wire.query(&granted(oids)).await? {
            let text = |column: usize| {
                let value = row.get(column)?.as_deref()?;
                Some(String::from_utf8_lossy(value).into_owned())
            };
            let Some(oid) = text(0).and_then(|oid| oid.parse().ok()).map(Oid) else {
                continue;
            };
            let object = found.entry(oid).or_insert_with(|| LargeObject {
                oid,
                owner: text(1).unwrap_or_default(),
                comment: None,
                grants: Some(Vec::new()),
            });
            let grant = text(3).map(|privilege| LargeObjectGrant {
                grantor: None,
                grantee: text(2),
                privilege,
                grantable: false,
            });
            object.grants.get_or_insert_default().extend(grant);
        }
        Ok(found)
    }

    /// No foreign key was enforced, so those that touch a changed table are checked.
    async fn check(&mut self, obstacles: &Obstacles, sides: &Sides<'_>) -> Result<u64, SyncError> {
        let mut checked = 0;
        for key in &obstacles.keys {
            let Some(question) = &key.question else {
                continue;
            };
            if checked == 0 {
                (sides.tell)("checking the foreign keys of what was changed".to_owned());
            }
            let rows = self.count(&SqlText::from(question.as_str())).await;
            let rows = rows.map_err(step(&format!("checking foreign key {}", key.name)))?;
            if rows > Rows(0) {
                return Err(SyncError::ForeignKey {
                    key: key.name.clone(),
                    rows,
                });
            }
            checked += 1;
        }
        Ok(checked)
    }

    async fn views(&mut self, changes: &Changes, sides: &Sides<'_>) -> Result<(), SyncError> {
        if changes.views.is_empty() {
            return Ok(());
        }
        let set = self.run(&set_values(sides.value_settings)).await;
        set.map_err(step("setting what materialized views go by"))?;
        for view in &changes.views {
            let shown = view.name.shown();
            (sides.tell)(format!("refreshing {shown}"));
            let how = if view.empty { " with no data" } else { "" };
            let sql = format!("refresh materialized view {}{how}", view.name);
            let refreshed = self.run(&sql).await;
            refreshed.map_err(step(&format!("refreshing {shown}")))?;
        }
        let pinned = self.run(&pin_values()).await;
        pinned.map_err(step("setting what values go by"))
    }

    /// Advances sequences, the last thing before the commit. Those that are set back follow after it.
    async fn sequences(&mut self, changes: &Changes) -> Result<(), SyncError> {
        let statements = changes.sequences.iter().map(SequenceChange::ahead);
        let statements: Vec<SqlText> = statements.collect();
        self.run_all(&statements)
            .await
            .map_err(step("setting sequences"))
    }
}

/// The obstacles without the checks that no row of the source violates.
async fn in_the_way(obstacles: &Obstacles, sides: &Sides<'_>) -> Result<Obstacles, SyncError> {
    let mut found = obstacles.clone();
    found.unchecked.clear();
    if !obstacles.unchecked.is_empty() {
        (sides.tell)(
            "asking the source whether its rows violate checks that are not valid".to_owned(),
        );
    }
    for check in &obstacles.unchecked {
        let violated = is_violated(check, sides.source).await;
        if violated.map_err(step("asking the source for its rows"))? {
            found.unchecked.push(check.clone());
        }
    }
    Ok(found)
}

/// A question without an answer counts as answered with yes.
async fn is_violated(check: &Unchecked, source: &Pool) -> Result<bool, PgError> {
    let Some(question) = &check.question else {
        return Ok(true);
    };
    let mut wire = source.take().await?;
    let Ok(rows) = wire.query(&SqlText::from(question.as_str())).await else {
        source.give_up(wire);
        return Ok(true);
    };
    source.give_back(wire);
    let answer = rows.first().and_then(|row| row.first()?.as_deref());
    Ok(answer != Some(&b"0"[..]))
}

fn step(doing: &str) -> impl FnOnce(PgError) -> SyncError + use<> {
    let doing = doing.to_owned();
    move |source| SyncError::Step { doing, source }
}
