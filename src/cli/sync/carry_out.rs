//! The steps of a sync, from the first lock to the last comparison.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::budget::{self, Counting};
use super::overrule::{self, Overruling};
use super::prove::{Already, prove};
use super::{AtWork, Brought};
use crate::catalog;
use crate::cli::explain::explained;
use crate::cli::prove::{Before, tell_writes_since};
use crate::cli::verify::{
    self as looks, Alike, Asked, Both, Found, Look, RowsLook, SideView, TableDiffers,
};
use crate::event::{Emit, What};
use crate::failure::Failure;
use crate::fault;
use crate::model::{Difference, LeftTable, QualifiedName, Rows, Side, Synced, Unverified};
use crate::pg::{Pool, Session, Snapshot};
use crate::sync::{self, Applied, Changes, Differs, Obstacles, SyncError, TableChange, Writer};
use crate::verify;
use crate::verify::rows::Ends;

/// If at least one of this many rows of a table was changed, the planner's statistics are gathered anew.
const ANALYZED_SHARE: u64 = 10;
/// How long that waits for whoever has locked a table.
const ANALYZED_WITHIN: &str = "3s";

/// What every step needs.
#[derive(Clone, Copy)]
pub(super) struct Course<'a> {
    pub both: &'a Both,
    pub asked: &'a Asked,
    pub at_work: &'a AtWork,
    pub emit: &'a Arc<dyn Emit>,
    /// In a turn: the tables whose rows replication carried. Then nobody may write to the target afterwards either.
    pub carried: Option<&'a BTreeSet<QualifiedName>>,
    /// Remembers which of these were overruled.
    pub overruling: Option<&'a dyn Overruling>,
}

impl Course<'_> {
    pub fn step(&self, step: impl Into<String>) {
        self.emit.emit(What::StepStarted { step: step.into() });
    }

    pub fn snapshot_taken(&self, side: Side, snapshot: &Snapshot) {
        self.emit.emit(What::SnapshotTaken {
            side,
            snapshot: snapshot.id.clone(),
            lsn: snapshot.lsn.clone(),
        });
    }
}

/// How much of a sync is done.
#[derive(Clone, Copy)]
pub(super) enum Extent<'a> {
    /// All of it.
    Whole,
    /// Rows of tables that replication carried are only counted.
    Counted(Counting<'a>),
    /// The same, but as many of these as time allows are compared by content.
    Within(Counting<'a>, Duration),
    /// Nothing is changed.
    DryRun,
}

impl<'a> Extent<'a> {
    /// What is asked where rows are only counted.
    fn counting(self) -> Option<Counting<'a>> {
        match self {
            Self::Counted(counting) | Self::Within(counting, _) => Some(counting),
            Self::Whole | Self::DryRun => None,
        }
    }
}

/// Compares only the schemas, as is done before anything is changed, and refuses what differs, by name.
pub(super) async fn foresee(course: Course<'_>) -> Result<(), Failure> {
    let look = Box::pin(Look::take(course.both, course.asked)).await?;
    let refused = refuse_other_schema(course, &look);
    // Whether the sessions lasted does not matter: what was read is compared again in its time.
    let _ = look.release().await;
    refused
}

/// Takes all of the steps, to the given extent.
pub(super) async fn carry_out(course: Course<'_>, extent: Extent<'_>) -> Result<Brought, Failure> {
    let Course {
        both, asked, emit, ..
    } = course;
    let activity = catalog::activity(&both.source.session).await?;
    let (look, writer) = if matches!(extent, Extent::DryRun) {
        course.step("reading and comparing the schemas of both sides");
        (Box::pin(Look::take(both, asked)).await?, None)
    } else {
        let (look, writer) = Box::pin(lock(course)).await?;
        (look, Some(writer))
    };
    course.snapshot_taken(Side::Source, &look.source.snapshot);
    let before = Before {
        connector: both.source.connector.clone(),
        activity,
        transactions: look.source.snapshot.transactions.clone(),
        sequences: look.source.facts.sequences.clone(),
        unreadable: BTreeSet::new(),
    };
    refuse_other_schema(course, &look)?;
    let outcome = look.compare(both, asked);
    course.step("reading the rows of both sides");
    let ends = Arc::new(look.ends(both));
    course.at_work.read_by(&ends);
    let (rows, left) = compare(course, (&look, &ends), extent).await;
    fault::point("sync-compared");
    refuse_unread(course, &rows)?;
    let changes = decide((both, &look), &rows, &outcome.differences)?;
    let mut brought = Brought {
        left,
        ..Brought::default()
    };
    let found = (&changes, &rows, &look.source.facts);
    let overruled = overrule::tell_and_write_down(course, found).await?;
    let found = Found { outcome, rows };
    let released = match writer {
        Some(writer) if !changes.is_empty() => {
            let what = (&changes, writer, overruled, &mut brought);
            let seen = (look, &ends, extent.counting());
            Box::pin(bring(course, seen, found, what)).await?
        }
        writer => {
            let told = Synced {
                overruled,
                ..changes.told(writer.is_some(), &BTreeMap::new())
            };
            emit.emit(What::Synced(Box::new(told)));
            let (released, guard) =
                Box::pin(leave_it(course, (look, &ends), found, writer)).await?;
            brought.guard = guard;
            released
        }
    };
    for unverified in released {
        emit.emit(What::Unverified(unverified));
    }
    tell_writes_since(&before, emit.as_ref()).await?;
    Ok(brought)
}

/// Changes what differs, and proves it.
async fn bring(
    course: Course<'_>,
    (look, ends, counting): (Look, &Arc<Ends>, Option<Counting<'_>>),
    found: Found,
    (changes, writer, overruled, brought): (&Changes, Writer, Vec<QualifiedName>, &mut Brought),
) -> Result<Vec<Unverified>, Failure> {
    let Course { both, emit, .. } = course;
    let (applied, guard) = Box::pin(change(course, (&look, ends), changes, writer)).await?;
    brought.guard = guard;
    let told = Synced {
        overruled,
        ..changes.told(true, &applied.bytes)
    };
    emit.emit(What::Synced(Box::new(told)));
    brought.stale = changed_much(changes, &found.rows);
    if brought.guard.is_none() {
        gather_statistics(&both.target.session, &brought.stale, emit).await;
    }
    let already = Already {
        rows: found.rows,
        counting,
        ends: Arc::clone(ends),
        is_certain: applied.nothing_else,
    };
    Box::pin(prove(course, look, already)).await
}

/// Reads the rows of both sides. Also returns the tables whose rows were only counted, for lack of time.
async fn compare(
    course: Course<'_>,
    (look, ends): (&Look, &Arc<Ends>),
    extent: Extent<'_>,
) -> (RowsLook, Vec<LeftTable>) {
    let Course {
        both, asked, emit, ..
    } = course;
    match extent {
        Extent::Whole | Extent::DryRun => {
            let rows =
                looks::compare_rows((both, look, ends), asked, (None, &Alike::default()), emit)
                    .await;
            (rows, Vec::new())
        }
        Extent::Counted(counting) => {
            let rows = budget::counted(course, (look, ends), counting).await;
            (rows, Vec::new())
        }
        Extent::Within(counting, time) => {
            budget::within(course, (look, ends), (counting, time)).await
        }
    }
}

/// There is nothing to do, or nothing is to be done: reports what was found.
async fn leave_it(
    course: Course<'_>,
    (look, ends): (Look, &Ends),
    found: Found,
    writer: Option<Writer>,
) -> Result<(Vec<Unverified>, Option<Writer>), Failure> {
    let Course {
        both, asked, emit, ..
    } = course;
    course.snapshot_taken(Side::Target, &look.target.snapshot);
    looks::tell(found, Vec::new(), (&look, both, asked), emit).await;
    drain(ends).await;
    let released = look.release().await;
    if course.carried.is_some() {
        return Ok((released, writer));
    }
    if let Some(writer) = writer {
        writer.give_way().await?.close().await;
    }
    Ok((released, None))
}

/// Locks the target's tables, and looks at both sides, each in a snapshot: the target in that of the transaction that holds the locks.
async fn lock(course: Course<'_>) -> Result<(Look, Writer), Failure> {
    let Course { both, asked, .. } = course;
    course.step("reading the schema of the source");
    let snapshot = looks::snapshot(&both.source).await?;
    let seen = looks::view(&both.source, snapshot, (&both.pg_dump, &asked.filters));
    let source: SideView = Box::pin(seen).await?;
    let scope = looks::scope_of(&source.toc, both, asked);
    let ours: BTreeSet<&QualifiedName> = source.facts.tables.iter().map(|one| &one.name).collect();
    let tables = catalog::readable_tables(&both.target.session).await?;
    let tables: Vec<QualifiedName> = tables
        .into_iter()
        .map(|(_, name)| name)
        .filter(|name| scope.has_relation(name) || ours.contains(name))
        .collect();
    course.step("locking the tables of the target against other writers, and reading its schema");
    let encoding = looks::common_encoding(&both.source.facts.encoding, &both.target.facts.encoding);
    let pool = Arc::new(Pool::without_snapshot(
        both.target.connector.with_encoding(encoding),
    ));
    course.at_work.written_by(&pool);
    let begun = Writer::begin(pool.take().await?, tables.clone()).await;
    let mut writer = match begun {
        Ok(writer) => writer,
        Err(error) => return Err(not_locked(error, both).await),
    };
    fault::point("sync-locked");
    let exported = writer.export().await?;
    let connector = &both.target.connector;
    let snapshot = Snapshot::exported(connector, &exported.id, &exported.lsn).await?;
    let seen = looks::view(&both.target, snapshot, (&both.pg_dump, &asked.filters));
    let target: SideView = Box::pin(seen).await?;
    let locked: BTreeSet<&QualifiedName> = tables.iter().collect();
    let unlocked = target.facts.tables.iter().find(|table| {
        (scope.has_relation(&table.name) || ours.contains(&table.name))
            && !locked.contains(&table.name)
    });
    if let Some(table) = unlocked {
        let table = table.name.shown();
        return Err(SyncError::Unlocked { table }.into());
    }
    let look = Look {
        source,
        target,
        scope,
        unreadable: Vec::new(),
    };
    Ok((look, writer))
}

/// Names whoever does not give way; best effort.
async fn not_locked(error: SyncError, both: &Both) -> Failure {
    let mut failure = explained(error.into(), &both.target).await;
    let holders = catalog::writing_locks(&both.target.session).await;
    failure.details.extend(holders.unwrap_or_default());
    failure
}

/// A difference that is not for a sync to change stops it, and is named.
fn refuse_other_schema(course: Course<'_>, look: &Look) -> Result<(), Failure> {
    let Course {
        both, asked, emit, ..
    } = course;
    let options = look.options(both, asked);
    let mut outcome = verify::compare_schemas(&look.source.toc, &look.target.toc, &options);
    let (source, target) = (&look.source.observed, &look.target.observed);
    let as_if = sync::as_if_synced(source, target);
    let restore = &asked.restore;
    outcome.extend(verify::compare_catalogs(
        source,
        &as_if,
        &look.scope,
        restore,
    ));
    outcome.unverified.extend(look.unreadable.iter().cloned());
    if outcome.is_same() {
        return Ok(());
    }
    let named = |one: &Difference| format!("{} {}", one.class, one.object);
    let mut objects: Vec<String> = outcome.differences.iter().map(named).collect();
    let unknown = outcome.unverified.iter();
    objects.extend(unknown.map(|one| format!("{} {}: {}", one.class, one.object, one.because)));
    for difference in outcome.differences {
        emit.emit(What::Difference(difference));
    }
    for unverified in outcome.unverified {
        emit.emit(What::Unverified(unverified));
    }
    Err(SyncError::Schema { objects }.into())
}

/// What could not be read cannot be brought over, and nothing is done by halves.
fn refuse_unread(course: Course<'_>, rows: &RowsLook) -> Result<(), Failure> {
    if rows.unverified.is_empty() {
        return Ok(());
    }
    for unverified in &rows.unverified {
        course.emit.emit(What::Unverified(unverified.clone()));
    }
    let unread = rows.unverified.iter();
    let objects = unread.map(|one| format!("{} {}: {}", one.class, one.object, one.because));
    Err(SyncError::Unread {
        objects: objects.collect(),
    }
    .into())
}

fn decide(
    (both, look): (&Both, &Look),
    rows: &RowsLook,
    differences: &[Difference],
) -> Result<Changes, SyncError> {
    let tables: Vec<Differs<'_>> = rows.tables.iter().map(differs).collect();
    let facts = sync::Facts {
        source: &look.source.facts,
        target: &look.target.facts,
        versions: (both.source.facts.version, both.target.facts.version),
        encoding: looks::own_encoding(both),
        scope: &look.scope,
    };
    Changes::decide(facts, &tables, differences, &rows.others)
}

fn differs(table: &TableDiffers) -> Differs<'_> {
    let rows =
        |digest: Option<crate::model::MultisetDigest>| digest.map_or(Rows(0), |digest| digest.rows);
    Differs {
        comparand: &table.comparand,
        found: table.found.as_ref().map(|(found, _)| found),
        source: rows(table.verdict.read),
        target: rows(table.verdict.target),
    }
}

/// Changes the target, and commits. In a turn, nobody writes afterwards either, and it is known whether somebody did in between.
async fn change(
    course: Course<'_>,
    (look, ends): (&Look, &Arc<Ends>),
    changes: &Changes,
    mut writer: Writer,
) -> Result<(Applied, Option<Writer>), Failure> {
    let Course { both, asked, .. } = course;
    course.step("changing what differs on the target, in one transaction");
    // Sessions that still read the target would keep tables from being emptied.
    let [source, target] = &ends.pools;
    target.drain().await;
    look.target.snapshot.session().execute("commit").await?;
    let tables = changes.tables.iter().map(|change| &change.table);
    let obstacles = Obstacles::look(&both.target.session, tables).await;
    let obstacles = obstacles.map_err(|source| SyncError::Step {
        doing: "looking for what stands in the way on the target".to_owned(),
        source,
    })?;
    let emit = course.emit;
    let tell = |step: String| emit.emit(What::StepStarted { step });
    let value_settings = both.source.facts.settings_of_queries(&both.target.facts);
    let sides = sync::Sides {
        source,
        options: &asked.restore,
        value_settings: &value_settings,
        tell: &tell,
    };
    let applied = writer.apply((changes, &obstacles), &sides).await;
    let mut applied = match applied {
        Ok(applied) => applied,
        Err(error) => return Err(not_changed(error, both, (changes, &obstacles)).await),
    };
    if applied.foreign_keys > 0 {
        let text = format!(
            "foreign keys that touch what was changed, checked before the commit: {}",
            applied.foreign_keys
        );
        course.emit.emit(What::Note { text });
    }
    if course.carried.is_none() {
        writer.commit(changes).await?.close().await;
        return Ok((applied, None));
    }
    let (writer, is_alone) = match writer.commit_and_stay(changes).await {
        Ok(stayed) => stayed,
        Err(error) => return Err(not_locked(error, both).await),
    };
    // If it cannot be ruled out, everything is read again.
    applied.nothing_else &= is_alone;
    Ok((applied, Some(writer)))
}

/// What the planner needs new statistics on.
fn changed_much(changes: &Changes, rows: &RowsLook) -> Vec<QualifiedName> {
    let found: BTreeMap<&QualifiedName, &TableDiffers> = rows
        .tables
        .iter()
        .map(|table| (&table.comparand.name, table))
        .collect();
    let much = |change: &&TableChange| {
        let differs = found.get(&change.table).map(|table| differs(table));
        let largest = differs.map_or(0, |one| one.source.0.max(one.target.0));
        let figures = change.figures;
        let touched = figures.inserted + figures.updated + figures.deleted;
        touched.0.saturating_mul(ANALYZED_SHARE) >= largest
    };
    let tables = changes.tables.iter().filter(much);
    let mut names: Vec<QualifiedName> = tables.map(|change| change.table.clone()).collect();
    let views = changes.views.iter().filter(|view| !view.empty);
    names.extend(views.map(|view| view.name.clone()));
    names
}

/// Names whoever does not give way to what closes a table to everybody, even a reader; best effort.
async fn not_changed(
    error: SyncError,
    both: &Both,
    (changes, obstacles): (&Changes, &Obstacles),
) -> Failure {
    if !error.is_for_a_lock() {
        return explained(error.into(), &both.target).await;
    }
    let views = changes.views.iter().map(|view| &view.name);
    let closed: BTreeSet<&QualifiedName> = obstacles.closed().chain(views).collect();
    let holders = catalog::locks_on(&both.target.session, &closed).await;
    let mut failure = Failure::from(error);
    failure.details.extend(holders.unwrap_or_default());
    failure
}

/// Gathers the planner's statistics of what changed much. If that fails, it is worth a line, and is no failure; nor does it
/// wait long for whoever has locked a table.
pub(in crate::cli) async fn gather_statistics(
    session: &Session,
    names: &[QualifiedName],
    emit: &Arc<dyn Emit>,
) {
    if names.is_empty() {
        return;
    }
    emit.emit(What::StepStarted {
        step: "gathering the planner's statistics of what was changed much".to_owned(),
    });
    for name in names {
        let analyze =
            format!("begin; set local lock_timeout = '{ANALYZED_WITHIN}'; analyze {name}; commit");
        if let Err(error) = session.execute(&analyze).await {
            // If this fails as well, the session is gone, and the transaction with it.
            let _ = session.execute("rollback").await;
            let text = format!(
                "the statistics of {} could not be gathered: {error}",
                name.shown()
            );
            emit.emit(What::Note { text });
        }
    }
}

pub(super) async fn drain(ends: &Ends) {
    for pool in &ends.pools {
        pool.drain().await;
    }
}
