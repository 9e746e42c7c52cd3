//! `pgconvoy follow`: watches a target that follows its source; and what `pgconvoy status --target` says of one.

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
use crate::follow::{self, FollowError, OursKind, Phase, Standing, Turn, Wanted};
use crate::model::{ExitStatus, Happening};
use crate::pg::claim::{Claim, ClaimError};
use crate::report::told;

/// Watch a target that follows its source, and let go before the source's disk is full
///
/// Says how far the target is behind, and what is wrong, until it is interrupted; nothing depends on it but the limit of move
/// --max-wal-retained: at half of it, it warns, and beyond it, it drops the slot, so that the source can remove its log. The
/// target can only be moved anew then. Nobody else watches that limit; from version 13 on, `max_slot_wal_keep_size` on the source does
/// the same by itself. A follow that was interrupted before it began is begun here.
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

    /// The source, if it is to be reached otherwise than by the move
    #[arg(
        long,
        value_name = "CONNINFO",
        env = "PGCONVOY_SOURCE",
        hide_env_values = true
    )]
    source: Option<String>,

    /// Time between two looks
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "10s")]
    every: Duration,

    /// Look once, and end: with exit status 0 if nothing is wrong
    #[arg(long)]
    once: bool,
}

/// How both ends of the direction in use stand.
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
    })
}

/// Tells on stdout how a target stands.
pub(in crate::cli) async fn tell_standing(
    source: Option<&str>,
    target: &str,
) -> Result<ExitStatus, Failure> {
    let ends = Ends::connect(source, target).await?;
    let state = ends.state()?;
    let mut lines = vec![
        format!("{} → {}", ends.source.endpoint, ends.target.endpoint),
        state.words(),
    ];
    if matches!(state.phase, Phase::Following | Phase::Turning(_)) {
        let standing = standing(&ends).await?;
        lines.push(standing.line());
        lines.extend(standing.trouble());
    }
    lines.extend(state.history.iter().map(told));
    lines.push(format!("next: {}", state.next()));
    writeln!(std::io::stdout(), "{}", lines.join("\n"))
        .map_err(|error| Failure::file("writing", "stdout".as_ref(), &error))?;
    Ok(ExitStatus::Proven)
}

/// Of a move that was to be followed and has no ledger any more: says what comes next, and whether the target follows. `None` if it is not
/// for this follow that it has gone; `status` is what the copy came to.
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
            // Somebody else may have begun it while we waited for him.
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
            // A turn may have been taken meanwhile.
            ends.state = follow::read_state(&ends.target.session).await?;
            let state = ends.state()?.clone();
            match state.phase {
                Phase::Following | Phase::Turning(_) => {}
                Phase::Copied | Phase::Parted | Phase::LetGo => {
                    say(&state.words());
                    return Ok(ExitStatus::Failed);
                }
            }
            let standing = standing(ends).await?;
            say(&standing.line());
            let trouble = standing.trouble();
            for sentence in &trouble {
                say(sentence);
            }
            if standing.is_to_be_let_go() && state.phase.may_let_go(false) {
                match let_go(ends).await? {
                    LetGo::Done(told) => return Err(told),
                    LetGo::NotNow(because) => say(&because),
                }
            }
            if self.once {
                let is_well = trouble.is_empty();
                return Ok(if is_well {
                    ExitStatus::Proven
                } else {
                    ExitStatus::Failed
                });
            }
            sleep(self.every).await;
        }
    }
}

/// What has become of the side that follows.
enum LetGo {
    /// It was given up: what is told of it.
    Done(Failure),
    /// It was not, why.
    NotNow(String),
}

/// Rather than fill a disk that is in service, the other side is given up. Nobody turns meanwhile: whoever did would have
/// the claim, or cannot go on without it.
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

/// The same once nobody else changes anything. What was seen before may be over.
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
