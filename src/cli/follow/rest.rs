//! What there was no time to compare while nobody could write is compared once the other side is open: as both sides were before.
//!
//! Once a side is open, its rows and those of the other one cannot simply be compared: what has been written to the one has not been
//! applied to the other yet. But both stand still before, and a snapshot keeps what they held then. So both are
//! held in snapshots from before the opening until the rest is compared, and nothing else waits: the way back works from the first
//! write on, and a fallback loses nothing by it. (To keep the way back from applying anything instead would have the open side keep
//! its log for all that time, and a fallback would have to wait for it.) What it costs: rows that were changed since cannot be cleaned
//! up on either side, and whoever wants to drop or truncate one of these tables waits, a `TRUNCATE` that is on its way back as well.
//!
//! **If the snapshots are lost** (we were killed, or a server was), what the sides held at the opening can be known by nobody any more.
//! Which tables are left is in the state, and the same command compares them as they are now: writers of these tables wait until
//! the other side has applied what they wrote, both sides are held in snapshots at that moment, and writers go on. What a row was
//! that has been changed or deleted since the opening is not seen then; what differs and is there still is.
//!
//! Deliberately absent: a way to mend what is found. `fallback` leads back with everything that was written.

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
/// Rows that are named of a table that differs.
const MOST_ROWS: usize = 20;

/// What is left, and both sides as they were.
pub(super) struct Rest {
    both: Both,
    /// Of the side that handed over, and of the one that is in service.
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

    /// How much it is.
    pub fn size(&self) -> LeftSize {
        LeftSize::of(&self.left)
    }
}

impl Steps<'_> {
    /// Nobody writes to either side: what they hold now will be there to be compared. What is left is written down with the next step.
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

    /// Both sides, for reading alone.
    pub async fn read_only(&self) -> Result<Both, Failure> {
        let connect =
            |server: &Server| Server::connect(server.connector.conninfo().clone(), Side::Source);
        let (from, to) = tokio::try_join!(connect(self.from()), connect(self.to()))?;
        sync::paired(from, to).await
    }

    /// Compares what is left, and writes down what still is.
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
        // What could not be compared is no more the same than what was not found so.
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

    /// Compares what is held. Gives back what that was, and what of it is not proven to be the same.
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

    /// Both sides at one moment, although one of them is in service: whoever writes to one of these tables waits for it. `None` if none of
    /// them can be compared.
    async fn meet(&mut self) -> Result<Option<Rest>, Failure> {
        let left = self.still_there().await?;
        if left.is_empty() {
            return Ok(None);
        }
        // Whatever takes long comes before anybody waits for it.
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
        // Writers go on, whatever has become of it; should this fail, the session is gone, and its locks with it.
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

    /// Of the tables that are left, those that can be compared, by the names that they have by now. Only what nobody has any more is left
    /// no longer.
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
        // Whatever is below a root is locked with it.
        let listed: Vec<String> = left.iter().map(|one| one.name.to_string()).collect();
        let doing = "keeping writers of the tables that are left waiting";
        // For all of them together: a lock_timeout would be for each.
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

    /// Everything that was committed to the side in service is applied to the other one.
    async fn await_applied(&self) -> Result<(), Failure> {
        let (to, back) = (self.to(), self.back());
        let record = ends::record_on(&to.session, OursKind::Publication, &back).await?;
        let Some(record) = record else {
            return Err(lost(to, &back).into());
        };
        // What others have committed without waiting for it is on disk with this.
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

/// A snapshot of one side, with these tables locked against being changed, and no other.
async fn snapshot(server: &Server, tables: &BTreeSet<QualifiedName>) -> Result<Snapshot, Failure> {
    let snapshot = Snapshot::take(&server.connector, async |session: &Session| {
        let mut found = catalog::readable_tables(session).await?;
        found.retain(|(_, name)| tables.contains(name));
        Ok(found)
    });
    Ok(snapshot.await?)
}

/// Remembers what was found the same, on its way to whoever tells it.
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

/// Reads what is left in both snapshots, and tells what is found. Gives back what is not proven to be the same: all of which nobody
/// has said that it is.
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
        // What was read after that may have been read without a lock.
        unsettled = names;
    }
    for unverified in released {
        emit.emit(What::Unverified(unverified));
    }
    Ok(unsettled)
}

/// What one of the sides has not any more is not read at all.
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
