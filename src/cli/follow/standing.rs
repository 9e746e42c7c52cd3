//! `pgconvoy follow`: watches a target that follows its source; and what `pgconvoy status --target` says about one.

use std::io::Write as _;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use super::ends::{self, Ends, run};
use super::subscribe::{begin, lost, moment};
use super::turn::Plainly;
use crate::cli::arguments::duration;
use crate::cli::inspect::Server;
use crate::cli::say::say;
use crate::failure::Failure;
use crate::follow::{self, FollowError, OursKind, Phase, SideRecord, Standing, Step, Turn, Wanted};
use crate::model::{ExitStatus, Happening, Side};
use crate::pg::claim::{Claim, ClaimError};
use crate::report::told;

/// Watch a target that follows its source, and drop the slot before the source's disk is full
///
/// Says how far the target is behind, and what is wrong, until it is interrupted; if a server is gone for a while, it waits for
/// it. Only the limit of move --max-wal-retained depends on it: at half of that it warns, and beyond it, it drops the slot, so
/// that the source can remove its WAL. After that, the target needs a new move. Nothing else watches this limit; from version
/// 13 on, `max_slot_wal_keep_size` on the source does the same by itself. If following was interrupted before it began, it
/// begins here.
#[derive(Debug, Clone, Args)]
#[command(name = "follow")]
pub struct FollowingArgs {
    /// The target, which knows its source
    #[arg(
        long,
        value_name = "CONNINFO",
        env = "PGCONVOY_TARGET",
        hide_env_values = true
    )]
    target: String,

    /// The source, if it is reached differently than in the move
    #[arg(
        long,
        value_name = "CONNINFO",
        env = "PGCONVOY_SOURCE",
        hide_env_values = true
    )]
    source: Option<String>,

    /// Time between two checks
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "10s")]
    every: Duration,

    /// Check once and exit, with status 0 if nothing is wrong
    #[arg(long)]
    once: bool,
}

/// The state of both ends of the direction in use.
pub(super) async fn standing(ends: &Ends) -> Result<Standing, Failure> {
    let state = ends.state()?;
    let turn = Turn::away_from(state.serving);
    let (publisher, subscriber) = (&ends.side(turn.from).session, &ends.side(turn.to).session);
    let name = state.in_use();
    let asked = tokio::try_join!(
        follow::slot(publisher, name),
        follow::worker(subscriber, name),
        follow::tables(publisher),
        follow::tables(subscriber),
    );
    let (slot, worker, here, there) =
        asked.map_err(FollowError::step("looking how the follow stands"))?;
    Ok(Standing {
        slot,
        worker,
        changed: follow::changed_tables(&here, &there),
        limit: state.wanted.max_wal_retained,
        hands_over: matches!(state.phase, Phase::Turning(step) if step >= Step::Reverse),
    })
}

/// Says that nobody can write to either side, and what opens one; `None` if somebody can. Goes by what is recorded on the sides
/// themselves: a turn that was killed may not have got as far as saying so.
async fn shut(ends: &Ends) -> Result<Option<String>, Failure> {
    let state = ends.state()?;
    let turn = Turn::away_from(state.serving);
    let (from, to) = (&ends.side(turn.from).session, &ends.side(turn.to).session);
    let (ahead, back) = (state.outward(turn.from), state.outward(turn.to));
    let closes = |record: Option<SideRecord>| record.is_some_and(|record| record.fence.is_some());
    if !closes(ends::record_on(from, OursKind::Publication, ahead).await?) {
        return Ok(None);
    }
    let taking_over = match ends::record_on(to, OursKind::Subscription, ahead).await? {
        None => ends::record_on(to, OursKind::Publication, back).await?,
        there => there,
    };
    if !closes(taking_over) {
        return Ok(None);
    }
    let (command, both) = (turn.command(), "nobody can write to either side");
    Ok(Some(match state.phase {
        Phase::Turning(step) if step.goes_back() => format!(
            "{both}: if no pgconvoy {command} is at work any more, pgconvoy {command} goes on, and pgconvoy {command} --undo opens {}.",
            turn.from
        ),
        Phase::Turning(_) => format!(
            "{both}: if no pgconvoy {command} is at work any more, pgconvoy {command} goes on, and opens {}.",
            turn.to
        ),
        Phase::Copied | Phase::Following | Phase::Parted | Phase::LetGo => {
            format!("{both}: pgconvoy {command} --undo opens {}.", turn.from)
        }
    }))
}

/// Prints how a target stands to stdout.
pub(in crate::cli) async fn tell_standing(
    source: Option<&str>,
    target: &str,
) -> Result<ExitStatus, Failure> {
    let ends = Ends::connect(source, target).await?;
    let mut state = ends.state()?.clone();
    let follows = matches!(state.phase, Phase::Following | Phase::Turning(_));
    let shut = if follows { shut(&ends).await? } else { None };
    if shut.is_none() {
        // A turn that was stopped may have opened a side again without getting as far as writing that down.
        state.closed_at = None;
    }
    let mut lines = vec![
        format!("{} → {}", ends.source.endpoint, ends.target.endpoint),
        state.words(),
    ];
    if follows {
        let standing = standing(&ends).await?;
        lines.extend(shut);
        lines.push(standing.line());
        lines.extend(standing.trouble());
    }
    lines.extend(state.history.iter().map(told));
    lines.push(format!("next: {}", state.next()));
    writeln!(std::io::stdout(), "{}", lines.join("\n"))
        .map_err(|error| Failure::file("writing", "stdout".as_ref(), &error))?;
    Ok(ExitStatus::Proven)
}

/// For a move that was to be followed and has no ledger any more: says what comes next, and whether the target follows. `None`
/// if the ledger did not go for this follow; `status` is what the copy came to.
pub(in crate::cli) async fn tell_after_move(
    target: &Server,
    wanted: &Wanted,
    status: ExitStatus,
) -> Result<Option<ExitStatus>, Failure> {
    let state = follow::read_state(&target.session).await?;
    let Some(state) = state.filter(|state| state.wanted.forward == wanted.forward) else {
        return Ok(None);
    };
    say(&format!(
        "There is nothing to resume: {}.\nWhat comes next: {}; how it stands: pgconvoy status --target",
        state.words(),
        state.next()
    ));
    Ok(Some(match state.phase {
        Phase::Copied => ExitStatus::Interrupted,
        Phase::LetGo => ExitStatus::Failed,
        Phase::Following | Phase::Turning(_) | Phase::Parted => status,
    }))
}

impl FollowingArgs {
    /// Watches until it is interrupted, or nothing is left to watch.
    pub(in crate::cli) async fn start(self) -> Result<ExitStatus, Failure> {
        let mut ends = Ends::connect(self.source.as_deref(), &self.target).await?;
        if ends.state()?.phase == Phase::Copied {
            let claim = Claim::take(&ends.target.connector).await?;
            ends.claimed_by(&claim).await?;
            // Somebody else may have begun it while we waited for the claim.
            if ends.state()?.phase == Phase::Copied {
                begin(&mut ends, &Plainly).await?;
                say(
                    "the target follows the source; pgconvoy status --target says how it stands, pgconvoy cutover turns over to it",
                );
            }
            ends.guard = None;
        }
        let interrupted = async {
            match signal(SignalKind::interrupt()) {
                Ok(mut signals) => signals.recv().await,
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            watched = self.watch(&mut ends) => watched,
            _ = interrupted => Ok(ExitStatus::Interrupted),
        }
    }

    async fn watch(&self, ends: &mut Ends) -> Result<ExitStatus, Failure> {
        loop {
            match self.look(ends).await {
                Ok(Some(status)) => return Ok(status),
                Ok(None) => sleep(self.every).await,
                Err(failure) if ends::is_away(&failure) && !self.once => come_back(ends).await?,
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Looks once, and says what there is to say; returns the exit status if this is the end.
    async fn look(&self, ends: &mut Ends) -> Result<Option<ExitStatus>, Failure> {
        // A turn may have happened meanwhile.
        ends.state = follow::read_state(&ends.target.session).await?;
        let state = ends.state()?.clone();
        match state.phase {
            Phase::Following | Phase::Turning(_) => {}
            Phase::Copied | Phase::Parted | Phase::LetGo => {
                say(&state.words());
                return Ok(Some(ExitStatus::Failed));
            }
        }
        let standing = standing(ends).await?;
        say(&standing.line());
        let mut trouble = standing.trouble();
        trouble.extend(shut(ends).await?);
        for sentence in &trouble {
            say(sentence);
        }
        if standing.is_to_be_let_go() && state.phase.may_let_go(false) {
            match let_go(ends).await? {
                LetGo::Done(told) => return Err(told),
                LetGo::NotNow(because) => say(&because),
            }
        }
        Ok(self.once.then_some(if trouble.is_empty() {
            ExitStatus::Proven
        } else {
            ExitStatus::Failed
        }))
    }
}

/// A connection was lost: says that nobody watches, and waits until both servers can be reached again, however long that takes.
async fn come_back(ends: &mut Ends) -> Result<(), Failure> {
    let is_limited = ends.state()?.wanted.max_wal_retained.is_some();
    say(if is_limited {
        "a connection was lost: until both servers can be reached again, nobody watches --max-wal-retained"
    } else {
        "a connection was lost: nobody watches until both servers can be reached again"
    });
    for side in [Side::Source, Side::Target] {
        loop {
            match ends.connect_anew(side).await {
                Err(failure) if ends::is_away(&failure) => {
                    say(&format!("{side} cannot be reached yet"));
                }
                connected => break connected?,
            }
        }
    }
    say("both servers are reached again, and watched");
    Ok(())
}

/// What has become of the side that follows.
enum LetGo {
    /// It was given up, and what to say about it.
    Done(Failure),
    /// It was not, and why.
    NotNow(String),
}

/// Gives up the other side rather than fill a disk that is in service. Nobody turns meanwhile: a turn would have the claim, or
/// cannot go on without it.
async fn let_go(ends: &mut Ends) -> Result<LetGo, Failure> {
    let claim = match Claim::take(&ends.target.connector).await {
        Ok(claim) => claim,
        Err(ClaimError::Held { holder, .. }) => {
            let holder = holder.map_or_else(String::new, |holder| format!(" ({holder})"));
            return Ok(LetGo::NotNow(format!(
                "another run of pgconvoy is at work{holder}: nothing is given up as long as it is"
            )));
        }
        Err(error) => return Err(error.into()),
    };
    ends.claimed_by(&claim).await?;
    let done = let_go_alone(ends).await;
    ends.guard = None;
    done
}

/// The same, once nobody else changes anything. What was seen before may be over.
async fn let_go_alone(ends: &mut Ends) -> Result<LetGo, Failure> {
    let state = ends.state()?.clone();
    let turn = Turn::away_from(state.serving);
    let (name, publisher) = (state.in_use(), ends.side(turn.from));
    let record = ends::record_on(&publisher.session, OursKind::Publication, name).await?;
    let is_closed = record.is_some_and(|record| record.fence.is_some());
    if !state.phase.may_let_go(is_closed) {
        let command = turn.command();
        let because = match state.phase {
            Phase::Turning(step) if step.goes_back() => format!(
                "nothing is given up while {} is closed to writers by a {command} that has not come to its end: pgconvoy {command} goes on \
                 with it, pgconvoy {command} --undo goes back",
                turn.from
            ),
            _ => format!("nothing is given up: {}", state.words()),
        };
        return Ok(LetGo::NotNow(because));
    }
    let standing = standing(ends).await?;
    if !standing.is_to_be_let_go() {
        return Ok(LetGo::NotNow(standing.line()));
    }
    let subscriber = ends.side(turn.to);
    let doing = format!("disabling subscription {name}");
    run(&subscriber.session, &follow::enable(name, false), &doing).await?;
    ends::drop_slot(&publisher.session, name).await?;
    let told = if standing.lost().is_none() {
        FollowError::SlotLost {
            slot: name.to_string(),
            publisher: publisher.endpoint.to_string(),
            because: "it kept more of the log than --max-wal-retained, and was dropped".to_owned(),
        }
    } else {
        lost(publisher, name)
    };
    let mut let_go = state.in_phase(Phase::LetGo);
    let_go.closed_at = None;
    let_go.left.clear();
    let_go.remember(moment(Happening::LetGo, turn.to));
    ends.write(let_go).await?;
    Ok(LetGo::Done(told.into()))
}
