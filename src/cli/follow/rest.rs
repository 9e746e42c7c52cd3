//! What there was no time to compare while nobody could write is compared once the other side is open: with both sides as they were before.
//!
//! Once a side is open, its rows and the other side's cannot simply be compared: what was written to the one has not been applied to
//! the other yet. But before that, both stand still, and a snapshot keeps what they hold then. So both are held in snapshots from
//! before the opening until the rest is compared, and nothing else waits: the way back works from the first write on, and a fallback
//! loses nothing by it. (Keeping the way back from applying anything instead would make the open side retain its WAL for all that
//! time, and a fallback would have to wait for it.) The price: rows that were changed since cannot be cleaned up on either side, and
//! whoever wants to drop or truncate one of these tables waits, including a `TRUNCATE` that is on its way back.
//!
//! **If the snapshots are lost** (we were killed, or a server was), nobody can know any more what the sides held at the
//! opening. Which tables are left is in the state, and the same command compares them as they are now: writers of these tables
//! wait until the other side has applied what they wrote, both sides are held in snapshots of that moment, and the writers go
//! on. What a row was before it was changed or deleted since the opening is then not seen; a difference that is still there is.
//!
//! Deliberately absent: a way to repair what is found. `fallback` leads back with everything that was written.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::ends::{self, run};
use super::steps::{Steps, asking};
use super::subscribe::{flushed, is_applied, lost};
use crate::catalog;
use crate::cli::inspect::Server;
use crate::cli::sync;
use crate::cli::verify::{self as looks, Alike, Asked, Both, Found, Look, RowsLook};
use crate::event::{Emit, What};
use crate::failure::Failure;
use crate::fault;
use crate::follow::{self, Fate, FollowError, Names, OursKind};
use crate::model::{
    Filters, Happening, LeftSize, LeftTable, QualifiedName, Side, Unverified, Verdict, VerifyLevel,
};
use crate::pg::{Session, Snapshot};
use crate::verify::Outcome;

/// How long writers of a table that is left may have to wait.
const MEETS_WITHIN: Duration = Duration::from_secs(10);
/// At most this many rows of a differing table are named.
const MOST_ROWS: usize = 20;

/// What is left to compare, and both sides as they were.
pub(super) struct Rest {
    both: Both,
    /// Of the side that handed over, and of the one in service.
    snapshots: [Snapshot; 2],
    left: Vec<LeftTable>,
}

impl Rest {
    async fn hold(both: Both, left: Vec<LeftTable>) -> Result<Self, Failure> {
        let tables = left.iter().flat_map(|one| &one.tables).cloned().collect();
        let snapshots = tokio::try_join!(
            snapshot(&both.source, &tables),
            snapshot(&both.target, &tables)
        )?;
        Ok(Self {
            both,
            snapshots: snapshots.into(),
            left,
        })
    }

    /// How much is left.
    pub fn size(&self) -> LeftSize {
        LeftSize::of(&self.left)
    }
}

impl Steps<'_> {
    /// Holds both sides while nobody writes to either, for comparing what they hold now. What is left is written down with the next step.
    pub async fn hold(&mut self, left: Vec<LeftTable>) -> Result<(), Failure> {
        let mut state = self.ends.state()?.clone();
        state.left.clone_from(&left);
        self.ends.state = Some(state);
        self.rest = None;
        if !left.is_empty() {
            self.rest = Some(Box::pin(Rest::hold(self.read_only().await?, left)).await?);
        }
        Ok(())
    }

    /// Both sides, for reading only.
    pub async fn read_only(&self) -> Result<Both, Failure> {
        let connect =
            |server: &Server| Server::connect(server.connector.conninfo().clone(), Side::Source);
        let (from, to) = tokio::try_join!(connect(self.from()), connect(self.to()))?;
        sync::paired(from, to).await
    }

    /// Compares what is left, and writes down what remains after that.
    pub async fn compare_rest(&mut self) -> Result<(), Failure> {
        let dropped_before = self.ends.state()?.reserved.dropped.len();
        let rest = match self.rest.take() {
            Some(rest) => Some(rest),
            None => Box::pin(self.meet()).await?,
        };
        let [compared, unsettled] = match rest {
            Some(rest) => Box::pin(self.compare_held(rest)).await?,
            None => [BTreeSet::new(), BTreeSet::new()],
        };
        let mut state = self.ends.state()?.clone();
        // What could not be compared is no more proven than what was found to differ.
        state.unproven.retain(|one| {
            let name = one.name.shown();
            unsettled.contains(&name) || !compared.contains(&name)
        });
        let happening = if !state.unproven.is_empty() {
            Happening::Differed
        } else if state.reserved.dropped.len() > dropped_before {
            Happening::Dropped
        } else {
            Happening::Compared
        };
        self.ends.state = Some(state);
        self.remember(happening, self.turn.to, (None, None))?;
        let state = self.ends.state()?.clone();
        if let Some(reserved) = state.reserved.words() {
            self.emit.emit(What::Reserved { reserved });
        }
        self.ends.write(state).await
    }

    /// Compares what is held. Returns what that was, and which of it is not proven to be the same.
    async fn compare_held(&self, rest: Rest) -> Result<[BTreeSet<String>; 2], Failure> {
        let size = rest.size();
        let names = rest.left.iter().map(|one| one.name.shown()).collect();
        fault::point("follow-rest-held");
        self.emit.emit(What::StepStarted {
            step: format!(
                "{} is in service; {} tables of {} are still being compared",
                self.turn.to, size.tables, size.bytes
            ),
        });
        let restore = self.ends.state()?.restore;
        let asked = Asked {
            max_rows: MOST_ROWS,
            remembered: MOST_ROWS,
            ..sync::everything((restore, self.args.jobs(), VerifyLevel::Content))
        };
        let unsettled = Box::pin(compare(rest, &asked, &self.emit)).await?;
        Ok([names, unsettled])
    }

    /// Holds both sides at one moment, although one of them is in service: whoever writes to one of these tables waits for it.
    /// `None` if none of them can be compared.
    async fn meet(&mut self) -> Result<Option<Rest>, Failure> {
        let left = self.still_there().await?;
        if left.is_empty() {
            return Ok(None);
        }
        // Whatever takes long is done before anybody has to wait for it.
        let both = self.read_only().await?;
        self.emit.emit(What::StepStarted {
            step: format!(
                "waiting until {} has applied everything of {} tables; whoever writes to one of them waits as well",
                self.turn.from,
                left.len()
            ),
        });
        let locker = ends::writer(&self.to().connector).await?;
        let met = Box::pin(self.meet_behind(&locker, both, left)).await;
        // Writers go on, whatever came of it; if this fails, the session is gone, and its locks with it.
        let _ = locker.execute("rollback").await;
        let rest = met?;
        for (side, snapshot) in [Side::Source, Side::Target]
            .into_iter()
            .zip(&rest.snapshots)
        {
            self.emit.emit(What::SnapshotTaken {
                side,
                snapshot: snapshot.id.clone(),
                lsn: snapshot.lsn.clone(),
            });
        }
        Ok(Some(rest))
    }

    /// The tables left that can be compared, under their present names. Only those that neither side has any more are struck off.
    async fn still_there(&mut self) -> Result<Vec<LeftTable>, Failure> {
        let mut state = self.ends.state()?.clone();
        let (here, there) = tokio::try_join!(
            Names::read(&self.from().session, &state.unproven),
            Names::read(&self.to().session, &state.unproven)
        )
        .map_err(asking("looking for the tables that are left"))?;
        let mut left = Vec::new();
        for one in std::mem::take(&mut state.unproven) {
            let name = one.name.shown();
            match follow::fate(&one, [&here, &there]) {
                Fate::There(now) => {
                    left.push(now.clone());
                    state.unproven.push(now);
                }
                Fate::Astray(because) => {
                    state.unproven.push(one);
                    self.emit
                        .emit(What::Unverified(not_compared(name, &because)));
                }
                Fate::Dropped => {
                    self.note(format!(
                        "{name} was dropped on both sides: it is not compared"
                    ));
                    if !state.reserved.dropped.contains(&one.name) {
                        state.reserved.dropped.push(one.name);
                    }
                }
            }
        }
        self.ends.state = Some(state);
        Ok(left)
    }

    async fn meet_behind(
        &self,
        locker: &Session,
        both: Both,
        left: Vec<LeftTable>,
    ) -> Result<Rest, Failure> {
        // Everything below a root is locked with it.
        let listed: Vec<String> = left.iter().map(|one| one.name.to_string()).collect();
        let doing = "keeping writers of the tables that are left waiting";
        // For all of them together: a lock_timeout would apply to each.
        let limit = format!(
            "begin; set local statement_timeout = '{}s'",
            MEETS_WITHIN.as_secs()
        );
        run(locker, &limit, doing).await?;
        let lock = format!("lock table {} in share mode", listed.join(", "));
        run(locker, &lock, doing).await?;
        self.await_applied().await?;
        Box::pin(Rest::hold(both, left)).await
    }

    /// Waits until everything that was committed on the side in service is applied to the other one.
    async fn await_applied(&self) -> Result<(), Failure> {
        let (to, back) = (self.to(), self.back());
        let record = ends::record_on(&to.session, OursKind::Publication, &back).await?;
        let Some(record) = record else {
            return Err(lost(to, &back).into());
        };
        // This also brings to disk what others committed without waiting for it.
        let note = follow::note(&back, &record);
        run(&to.session, &note, "writing to the log").await?;
        let position = flushed(to).await?;
        if is_applied(to, (&back, &position), MEETS_WITHIN).await? {
            return Ok(());
        }
        Err(FollowError::NotApplied {
            subscriber: self.from().endpoint.to_string(),
            seconds: MEETS_WITHIN.as_secs(),
            because: "writers cannot wait any longer".to_owned(),
        }
        .into())
    }
}

/// A snapshot of one side, with these tables, and no others, locked against DDL.
async fn snapshot(server: &Server, tables: &BTreeSet<QualifiedName>) -> Result<Snapshot, Failure> {
    let snapshot = Snapshot::take(&server.connector, async |session: &Session| {
        let mut found = catalog::readable_tables(session).await?;
        found.retain(|(_, name)| tables.contains(name));
        Ok(found)
    });
    Ok(snapshot.await?)
}

/// Remembers which tables were found the same, and passes everything on.
struct Settled {
    emit: Arc<dyn Emit>,
    tables: Mutex<BTreeSet<String>>,
}

impl Emit for Settled {
    fn emit(&self, what: What) {
        if let What::TableVerified(table) = &what
            && table.verdict == Verdict::Identical
        {
            let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
            tables.insert(table.table.shown());
        }
        self.emit.emit(what);
    }
}

/// Reads what is left in both snapshots, and reports what is found. Returns what is not proven to be the same: every table that
/// was not reported as such.
async fn compare(
    rest: Rest,
    asked: &Asked,
    emit: &Arc<dyn Emit>,
) -> Result<BTreeSet<String>, Failure> {
    let Rest {
        both,
        snapshots: [from, to],
        left,
    } = rest;
    let filters = Filters::default();
    let (source, target) = tokio::try_join!(
        looks::view(&both.source, from, (&both.pg_dump, &filters)),
        looks::view(&both.target, to, (&both.pg_dump, &filters))
    )?;
    let look = Look {
        scope: looks::scope_of(&source.toc, &both, asked),
        source,
        target,
        unreadable: Vec::new(),
    };
    let ends = Arc::new(look.ends(&both));
    let names: BTreeSet<String> = left.iter().map(|one| one.name.shown()).collect();
    let settled = Arc::new(Settled {
        emit: Arc::clone(emit),
        tables: Mutex::default(),
    });
    let told: Arc<dyn Emit> = Arc::<Settled>::clone(&settled);
    let mut rows = looks::compare_rows(
        (&both, &look, &ends),
        asked,
        (Some(&names), &Alike::default()),
        &told,
    )
    .await;
    let mut unsettled = names.clone();
    {
        let same = settled.tables.lock();
        let same = same.unwrap_or_else(PoisonError::into_inner);
        unsettled.retain(|name| !same.contains(name));
    }
    let silent = of_which_nothing_was_said(&unsettled, &rows);
    rows.unverified.extend(silent);
    let found = Found {
        outcome: Outcome::default(),
        rows,
    };
    looks::tell(found, Vec::new(), (&look, &both, asked), emit).await;
    for pool in &ends.pools {
        pool.drain().await;
    }
    let released: Vec<Unverified> = look.release().await;
    if !released.is_empty() {
        // What was read after the session ended may have been read without a lock.
        unsettled = names;
    }
    for unverified in released {
        emit.emit(What::Unverified(unverified));
    }
    Ok(unsettled)
}

/// A table that one of the sides no longer has is not read at all.
fn of_which_nothing_was_said(unsettled: &BTreeSet<String>, rows: &RowsLook) -> Vec<Unverified> {
    let differing = rows.tables.iter().map(|table| &table.difference.object);
    let unread = rows.unverified.iter().map(|one| &one.object);
    let said: BTreeSet<&String> = differing.chain(unread).collect();
    let silent = unsettled.iter().filter(|name| !said.contains(name));
    silent
        .map(|name| not_compared(name.clone(), "one of the sides does not have it any more"))
        .collect()
}

fn not_compared(table: String, because: &str) -> Unverified {
    Unverified {
        class: "table data".to_owned(),
        object: table,
        because: format!("it was not compared: {because}"),
    }
}
