//! What each step of a turn does, and how a turn goes back. Each may be done twice.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::Utc;
use futures_util::future::LocalBoxFuture;

use super::ends::{self, Ends, run};
use super::foresee;
use super::rest::Rest;
use super::standing::standing;
use super::subscribe::{await_reader, enable, lost};
use super::turn::TurnArgs;
use crate::cli::inspect::Server;
use crate::cli::session::refuse_blockers;
use crate::cli::sync::{self, Bringing, Brought, Overruling};
use crate::event::{Emit, What};
use crate::failure::Failure;
use crate::follow::{self, FollowError, OursKind, Phase, State, Step, Stranger, Turn, TurnFacts};
use crate::model::{
    FollowMoment, FollowName, Happening, LeftSize, QualifiedName, Side, VerifyLevel,
};
use crate::pg::PgError;
use crate::pg::claim::Claim;

/// How long sessions may take to end once they were told to.
pub(super) const ENDS_WITHIN: Duration = Duration::from_secs(30);
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// A turn under way.
pub(super) struct Steps<'a> {
    pub ends: Ends,
    pub turn: Turn,
    pub args: &'a TurnArgs,
    /// One command at a time.
    pub claim: Claim,
    /// What identifies our fence.
    pub mark: String,
    /// What identifies the fences that we may open: ours, and that of a run that was killed before us.
    pub fences: Vec<String>,
    /// Sessions that were there when the side that hands over was closed.
    pub writers: Vec<Stranger>,
    /// Sessions that began while a side that is now open was closed, and were at work when it was opened.
    pub readers: Vec<Stranger>,
    /// What there was no time to compare, once that is known.
    pub rest: Option<Rest>,
    /// What was brought over, and the guard that has since kept others from writing to the side that takes over.
    pub brought: Option<Brought>,
    pub emit: Arc<dyn Emit>,
}

/// Counts what speaks against a proof, and passes everything on.
struct Tally {
    emit: Arc<dyn Emit>,
    /// Tables of the closed side that were written to meanwhile.
    written: Mutex<Vec<String>>,
    differences: AtomicU64,
    unverified: AtomicU64,
}

impl Emit for Tally {
    fn emit(&self, what: What) {
        if let What::SourceMovedOn { tables } = &what {
            let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            written.extend(tables.iter().map(|(table, _)| table.clone()));
        }
        match &what {
            What::Difference(_) => self.differences.fetch_add(1, Ordering::Relaxed),
            What::Unverified(_) => self.unverified.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
        self.emit.emit(what);
    }
}

/// Writes down which tables are overruled, while both ends are borrowed.
struct Remembered<'a> {
    ends: &'a Ends,
    state: RefCell<State>,
}

impl<'a> Remembered<'a> {
    fn of(ends: &'a Ends) -> Result<Self, Failure> {
        let state = RefCell::new(ends.state()?.clone());
        Ok(Self { ends, state })
    }
}

impl Overruling for Remembered<'_> {
    fn known(&self) -> Vec<QualifiedName> {
        self.state.borrow().reserving.overruled.clone()
    }

    fn write_down(&self, tables: Vec<QualifiedName>) -> LocalBoxFuture<'_, Result<(), Failure>> {
        let mut state = self.state.borrow().clone();
        state.reserving.overrule(tables);
        Box::pin(async move {
            self.ends.write_down(&state).await?;
            self.state.replace(state);
            Ok(())
        })
    }
}

pub(super) fn asking(doing: &str) -> impl FnOnce(PgError) -> FollowError {
    FollowError::step(doing.to_owned())
}

impl<'a> Steps<'a> {
    /// Begins a turn of two claimed ends: nobody else turns them, and nothing is written down without the claim.
    pub async fn begin(
        (ends, claim): (Ends, Claim),
        turn: Turn,
        args: &'a TurnArgs,
        emit: Arc<dyn Emit>,
    ) -> Result<Self, Failure> {
        // If we are killed, the next run finds this session, and ends it.
        claim.cover(&ends.target.session).await?;
        // Before anything is asked: such a session may be about to close a side.
        for side in [Side::Source, Side::Target] {
            for ended in ends.take_over(side).await? {
                let text =
                    format!("ended a session that an earlier run left on the {side}: {ended}");
                emit.emit(What::Note { text });
            }
        }
        let mark = format!(
            "{:x}-{:x}",
            std::process::id(),
            Utc::now().timestamp_micros()
        );
        let mut steps = Self {
            ends,
            turn,
            args,
            claim,
            mark,
            fences: Vec::new(),
            writers: Vec::new(),
            readers: Vec::new(),
            rest: None,
            brought: None,
            emit,
        };
        steps.learn_fence().await?;
        Ok(steps)
    }
}

impl Steps<'_> {
    pub fn with_reverse(&self) -> bool {
        self.ends
            .state
            .as_ref()
            .is_some_and(|state| state.with_reverse)
    }

    pub fn from(&self) -> &Server {
        self.ends.side(self.turn.from)
    }

    pub fn to(&self) -> &Server {
        self.ends.side(self.turn.to)
    }

    /// What carries changes now.
    pub fn ahead(&self) -> FollowName {
        self.ends.outward(self.turn.from)
    }

    /// What will carry them back.
    pub fn back(&self) -> FollowName {
        self.ends.outward(self.turn.to)
    }

    pub fn note(&self, text: String) {
        self.emit.emit(What::Note { text });
    }

    /// Takes a step.
    pub async fn take(&mut self, step: Step) -> Result<(), Failure> {
        match step {
            Step::Check => {
                self.begin_again().await?;
                self.look().await?;
                self.prepare_way_back().await?;
                self.tell_gone_roles().await?;
                self.tell_of_large_objects().await?;
                self.empty_other_side().await
            }
            Step::Fence => self.fence().await,
            Step::Drain => self.drain().await,
            Step::BringOver => Box::pin(self.bring_over()).await,
            Step::Reverse => {
                self.reverse().await?;
                self.still_guarded().await
            }
            Step::Open => self.open().await,
            Step::Clear => self.clear().await,
            Step::Rest => Box::pin(self.compare_rest()).await,
        }
    }

    /// Checks everything that can be known before anything is changed.
    pub async fn look(&self) -> Result<(), Failure> {
        let (from, to) = (self.from(), self.to());
        let (one, other, here, there, firing, ours, sessions) = tokio::try_join!(
            follow::offers(&from.session),
            follow::offers(&to.session),
            follow::tables(&from.session),
            follow::tables(&to.session),
            follow::firing(&from.session),
            follow::ours(&from.session),
            follow::strangers(&from.session),
        )
        .map_err(asking("looking at both servers"))?;
        self.check_roles().await?;
        let findings = follow::before_turn(&TurnFacts {
            turn: self.turn,
            offers: (&one, &other),
            sessions: &sessions,
            tables: (&here, &there),
            versions: [from.facts.version, to.facts.version],
            firing: &firing,
            with_reverse: !self.args.no_fallback,
            ours: &ours,
            names: (&self.ahead(), &self.back()),
        });
        refuse_blockers(&findings)
            .map_err(|failure| failure.while_doing(self.turn.command().word()))?;
        let standing = standing(&self.ends).await?;
        if standing.lost().is_some() {
            return Err(lost(from, &self.ahead()).into());
        }
        let trouble = standing.trouble();
        let runs = standing
            .worker
            .as_ref()
            .is_some_and(|worker| worker.enabled && worker.running);
        let behind = standing.slot.as_ref().map(|slot| slot.behind);
        let what = if !runs || !standing.changed.is_empty() {
            trouble.join(" ")
        } else if behind.is_none_or(|behind| behind > self.args.max_lag) {
            format!("{} is too far behind: {}", self.turn.to, standing.line())
        } else {
            return Box::pin(self.foresee()).await;
        };
        Err(FollowError::NotNow {
            what,
            remedy: "See to it that it follows (pgconvoy status --target), and run the same again."
                .to_owned(),
        }
        .into())
    }

    /// Brings over what replication does not carry, and compares everything.
    async fn bring_over(&mut self) -> Result<(), Failure> {
        // Written down with the next step.
        let mut state = self.ends.state()?.clone();
        state.reserving.counted = self.args.level() == VerifyLevel::Counts;
        self.ends.state = Some(state);
        let tally = Arc::new(Tally {
            emit: Arc::clone(&self.emit),
            written: Mutex::default(),
            differences: AtomicU64::new(0),
            unverified: AtomicU64::new(0),
        });
        let source =
            Server::connect(self.from().connector.conninfo().clone(), Side::Source).await?;
        let mut target =
            Server::connect(self.to().connector.conninfo().clone(), Side::Target).await?;
        // If we are killed, the next run finds these sessions. On the target, the claim sees to that.
        let known = follow::works_for(&self.ends.state()?.wanted.forward);
        target.connector = target.connector.with_opening(&known);
        let claim = (self.turn.to == Side::Target).then_some(&self.claim);
        let emit: Arc<dyn Emit> = Arc::<Tally>::clone(&tally);
        let carried = follow::published(&self.from().session, &self.ahead()).await;
        let overruling = Remembered::of(&self.ends)?;
        let bringing = Bringing {
            carried: carried
                .map_err(asking("listing the tables that replication carries"))?
                .into_iter()
                .collect(),
            restore: self.ends.state()?.restore,
            jobs: self.args.jobs(),
            level: self.args.level(),
            budget: self.args.verify_budget,
            overruling: &overruling,
        };
        let brought = sync::bring_over((source, target), claim, &bringing, &emit);
        let brought = Box::pin(brought).await;
        // Whatever came of it.
        self.ends.state = Some(overruling.state.into_inner());
        let mut brought = brought.map_err(foresee::too_late)?;
        let left = std::mem::take(&mut brought.left);
        self.brought = Some(brought);
        let (differences, unverified) = (
            tally.differences.load(Ordering::Relaxed),
            tally.unverified.load(Ordering::Relaxed),
        );
        if differences + unverified > 0 {
            return Err(FollowError::Differs {
                differences,
                unverified,
            }
            .into());
        }
        let written = tally.written.lock();
        let written = std::mem::take(&mut *written.unwrap_or_else(PoisonError::into_inner));
        // Before 15, a server's counts of writes lag behind the writes.
        if !written.is_empty() && self.from().facts.version.major() >= 15 {
            return Err(FollowError::NotNow {
                what: format!(
                    "the {} was written to while it was closed to writers, in {}",
                    self.turn.from,
                    written.join(", ")
                ),
                remedy: "A client makes its transactions READ WRITE by itself. Stop it, or name its role with --fence-role, and run the same again."
                    .to_owned(),
            }
            .into());
        }
        Box::pin(self.hold(left)).await
    }

    /// Makes sure that nobody has written to the side that takes over: what kept them from it is still there.
    async fn still_guarded(&mut self) -> Result<(), Failure> {
        let brought = self.brought.as_mut();
        if let Some(guard) = brought.and_then(|brought| brought.guard.as_mut()) {
            guard.assert_held().await?;
        }
        Ok(())
    }

    /// The side is open: whoever has waited now writes to the one in service.
    async fn let_writers_in(&mut self) {
        let brought = self.brought.as_mut();
        if let Some(guard) = brought.and_then(|brought| brought.guard.take())
            && let Ok(wire) = guard.give_way().await
        {
            wire.close().await;
        }
    }

    /// Gathers statistics of what was brought over, once nobody waits any more: it may take long.
    async fn gather_statistics(&mut self) {
        if let Some(brought) = self.brought.take() {
            sync::gather_statistics(&self.to().session, &brought.stale, &self.emit).await;
        }
    }

    /// Names the roles that cannot be let in again when the side that takes over is opened.
    pub async fn tell_gone_roles(&self) -> Result<(), Failure> {
        let (to, ahead) = (self.to(), self.ahead());
        let record = ends::record_on(&to.session, OursKind::Subscription, &ahead).await?;
        if let Some(mut record) = record
            && let Some(text) = ends::forget_gone_roles(&to.session, &mut record).await?
        {
            self.note(format!("{}: {text}", self.turn.to));
        }
        Ok(())
    }

    /// Opens the side that takes over. From here on there is no way back but the opposite turn.
    async fn open(&mut self) -> Result<(), Failure> {
        let (to, ahead, back) = (self.to(), self.ahead(), self.back());
        let subscription = ends::record_on(&to.session, OursKind::Subscription, &ahead).await?;
        let publication = ends::record_on(&to.session, OursKind::Publication, &back).await?;
        let mut objects = Vec::new();
        if subscription.is_some() {
            objects.push(("subscription", &ahead));
        }
        if publication.is_some() {
            objects.push(("publication", &back));
        }
        if let Some(mut record) = subscription.or(publication) {
            ends::forget_gone_roles(&to.session, &mut record).await?;
            let sql = follow::open(&objects, &to.facts.database, &record, None);
            run(&to.session, &sql, "opening the database to writers").await?;
        }
        self.let_writers_in().await;
        let closed_at = self.ends.state()?.closed_at;
        let closed_ms = closed_at.map(|at| (Utc::now() - at).num_milliseconds());
        let closed_ms = closed_ms.map(|ms| u64::try_from(ms).unwrap_or(0));
        if let Some(ms) = closed_ms {
            let (seconds, tenths) = (ms / 1000, ms % 1000 / 100);
            self.note(format!("nobody could write for {seconds}.{tenths} seconds"));
        }
        let left = &self.ends.state()?.left;
        let left = (!left.is_empty()).then(|| LeftSize::of(left));
        self.remember(Happening::Opened, self.turn.to, (closed_ms, left))?;
        self.free_readers(self.turn.to).await;
        Ok(())
    }

    /// Reports what has just happened; it is written down with the next step.
    pub fn remember(
        &mut self,
        happening: Happening,
        side: Side,
        (without_writers_ms, left): (Option<u64>, Option<LeftSize>),
    ) -> Result<(), Failure> {
        let moment = FollowMoment {
            happened_at: Utc::now(),
            happening,
            side,
            without_writers_ms,
            left,
        };
        let mut state = self.ends.state()?.clone();
        state.remember(moment.clone());
        self.ends.state = Some(state);
        self.emit.emit(What::FollowMoment(Box::new(moment)));
        Ok(())
    }

    /// Removes what the old direction needed. The record of the side that handed over stays on its subscription or, without a
    /// way back, on its publication.
    async fn clear(&mut self) -> Result<(), Failure> {
        let (from, to, ahead, back) = (self.from(), self.to(), self.ahead(), self.back());
        let database = &to.facts.database;
        ends::clear_subscriber(&to.session, database, (&ahead, &back)).await?;
        ends::drop_slot(&from.session, &ahead).await?;
        let with_reverse = self.with_reverse();
        if with_reverse {
            let sql = follow::unpublish(&ahead, &from.facts.database, None);
            run(
                &from.session,
                &sql,
                &format!("removing publication {ahead}"),
            )
            .await?;
        }
        let mut state = self.ends.state()?.clone();
        state.serving = self.turn.to;
        state.phase = if with_reverse {
            Phase::Following
        } else {
            Phase::Parted
        };
        state.closed_at = None;
        state.unproven = std::mem::take(&mut state.left);
        state.reserved = std::mem::take(&mut state.reserving);
        self.ends.write(state).await?;
        // An application that can only read comes before one that is only slow.
        self.free_last_readers(self.turn.to).await;
        self.gather_statistics().await;
        Ok(())
    }

    /// The target was gone for a while, and the claim with it: it is claimed again, unless somebody else has taken over. The
    /// target's session must not be covered by the claim yet, or it would be ended along with what was at work for us.
    pub async fn reclaim(&mut self) -> Result<(), Failure> {
        if !self.claim.is_alive().await {
            self.claim = Claim::take(&self.ends.target.connector).await?;
            self.ends.guard = Some(self.claim.guard());
        }
        self.claim.end_leftovers().await?;
        self.claim.cover(&self.ends.target.session).await?;
        // A step that was stopped may have written down more than we know.
        let now = follow::read_state(&self.ends.target.session).await?;
        let is_ours = now.as_ref().is_some_and(|state| {
            let goes_back = match state.phase {
                Phase::Following => true,
                Phase::Turning(step) => step.goes_back(),
                Phase::Copied | Phase::Parted | Phase::LetGo => false,
            };
            goes_back && state.serving == self.turn.from
        });
        if is_ours {
            self.ends.state = now;
            return Ok(());
        }
        Err(FollowError::NotNow {
            what: "somebody else has gone on with it meanwhile".to_owned(),
            remedy: "pgconvoy status --target says how it stands.".to_owned(),
        }
        .into())
    }

    /// Goes back: what was made for the way back is removed, and the old direction works on. In this order: if both worked,
    /// changes would go round in a circle.
    pub async fn undo(&mut self) -> Result<(), Failure> {
        // The side is open again, whatever becomes of the rest.
        let mut state = self.ends.state()?.clone();
        state.closed_at = None;
        self.ends.write(state).await?;
        self.remove_way_back().await?;
        enable(self.to(), &self.ahead()).await?;
        self.remember(Happening::WentBack, self.turn.from, (None, None))?;
        let mut state = self.ends.state()?.in_phase(Phase::Following);
        state.left.clear();
        // What was overruled is committed, so the next turn would not find it again.
        state.reserving.counted = false;
        self.ends.write(state).await?;
        await_reader(self.from(), &self.ahead()).await?;
        self.note(format!(
            "gone back: {} is open to writers, and {} follows it",
            self.turn.from, self.turn.to
        ));
        self.free_last_readers(self.turn.from).await;
        Ok(())
    }
}
