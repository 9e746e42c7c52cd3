//! `pgconvoy cutover` and `pgconvoy fallback`: the steps from one side to the other, each written down before it is taken.
//!
//! ```text
//!   check ─► fence ─► drain ─► bring over ─► reverse ─► open ─► clear ─► rest
//!     └────────┴────────┴──────────┴────────────┘         └── only on
//!                        undo
//! ```
//!
//! What each step does is in `steps`. A turn that was killed goes on when the same command is run again: every step may be
//! taken twice. `--undo` goes back instead, as a step that fails does by itself.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use clap::{Args, ValueEnum};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::ends::{self, Ends};
use super::steps::{PAUSE, Steps};
use crate::cli::arguments::{OutputArgs, SpeedArgs, duration, size};
use crate::cli::output::Output;
use crate::cli::say::say;
use crate::event::{Emit, What};
use crate::execute::Stop;
use crate::failure::Failure;
use crate::fault;
use crate::follow::{FollowError, Phase, State, Step, Turn};
use crate::model::{Bytes, ExitStatus, Side, VerifyLevel};
use crate::pg::claim::Claim;
use crate::report::Ending;

/// How to turn.
#[derive(Debug, Clone, Args)]
#[command(after_help = crate::cli::AFTER_HELP)]
pub struct TurnArgs {
    /// The target of the move, which knows its source and how far everything is
    #[arg(
        long,
        value_name = "CONNINFO",
        env = "PGCONVOY_TARGET",
        hide_env_values = true,
        help_heading = "Connections"
    )]
    target: String,

    /// The source of the move, if it is reached differently now
    #[arg(
        long,
        value_name = "CONNINFO",
        env = "PGCONVOY_SOURCE",
        hide_env_values = true,
        help_heading = "Connections"
    )]
    source: Option<String>,

    /// How the source's server reaches the target, if not as pgconvoy does: for the way back from a cut-over
    #[arg(long, value_name = "CONNINFO", help_heading = "Connections")]
    pub(super) target_from_source: Option<String>,

    /// How the target's server reaches the source, if not as pgconvoy does and not as the move was told: for the way back from a fallback
    #[arg(long, value_name = "CONNINFO", help_heading = "Connections")]
    pub(super) source_from_target: Option<String>,

    /// Print the steps and whatever stands in their way, and change nothing
    #[arg(long, conflicts_with = "undo")]
    dry_run: bool,

    /// Go back from a turn that was interrupted before the other side was opened
    #[arg(long)]
    undo: bool,

    /// How long transactions may go on that are open when their side is closed to writers; after that, their sessions are ended
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "30s")]
    pub(super) grace: Duration,

    /// A role that may no longer log in to the server that hands over, for as long as it is closed; may be given several times
    ///
    /// This holds for all of its databases. It keeps out sessions that would write although the database is read-only by
    /// default. The role must be a different one on the other server, or the same of another cluster.
    #[arg(long, value_name = "ROLE")]
    pub(super) fence_role: Vec<String>,

    /// How long to wait, with both sides closed, until the other side has applied everything; after that, the turn is undone
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "10min")]
    pub(super) patience: Duration,

    /// How far behind the other side may be, at most, for the turn to begin
    #[arg(long, value_name = "SIZE", value_parser = size::parse, default_value = "64MB")]
    pub(super) max_lag: Bytes,

    /// What to compare while nobody can write
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = Compared::Content)]
    verify: Compared,

    /// For how long to compare by content while nobody can write, the smallest tables first; the rest once the other side is open
    ///
    /// Rows are counted in any case, and what replication does not carry is compared. Snapshots of both sides from before the
    /// opening are held until the rest has been compared in them; the way back works meanwhile. Exit status 3 means that
    /// something was found: see pgconvoy fallback. If this does not finish, run the same command again to continue.
    #[arg(long, value_name = "TIME", value_parser = duration::parse, conflicts_with = "no_fallback")]
    pub(super) verify_budget: Option<Duration>,

    /// Prepare no way back: this needs nothing from the side that takes over, and rules out any further turn
    #[arg(long)]
    pub(super) no_fallback: bool,

    /// Number of sessions that read each server at the same time [default: number of cores]
    #[arg(short = 'j', long, value_name = "N", help_heading = "Speed", value_parser = SpeedArgs::parse_jobs)]
    jobs: Option<u32>,

    /// How to tell.
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// What is compared of the rows that replication has carried; of everything else, all is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Compared {
    /// Every row's content
    Content,
    /// Row counts; exit status 6 at best
    Counts,
}

impl TurnArgs {
    /// The same, in the terms of comparisons.
    pub(super) fn level(&self) -> VerifyLevel {
        match self.verify {
            Compared::Content => VerifyLevel::Content,
            Compared::Counts => VerifyLevel::Counts,
        }
    }

    /// Number of readers on each side.
    pub(super) fn jobs(&self) -> u32 {
        self.jobs.unwrap_or_else(SpeedArgs::cores)
    }

    /// From the command line; `from` is the side that hands over.
    pub(in crate::cli) async fn start(self, from: Side) -> Result<ExitStatus, Failure> {
        self.check()?;
        let mut ends = Ends::connect(self.source.as_deref(), &self.target).await?;
        let claim = Claim::take(&ends.target.connector).await?;
        ends.claimed_by(&claim).await?;
        for ended in claim.end_leftovers().await? {
            say(&format!(
                "ended a session that an earlier run left on the target: {ended}"
            ));
        }
        let turn = Turn::away_from(from);
        let first = match first_step(ends.state()?, turn)? {
            Some(Step::Rest) if self.dry_run || self.undo => None,
            first => first,
        };
        let Some(mut first) = first else {
            say(&format!("nothing is to be done: {} is in service", turn.to));
            if self.dry_run || self.undo {
                return Ok(ExitStatus::Proven);
            }
            return Ok(told_reserved(ends.state()?));
        };
        let mut steps = Steps::begin((ends, claim), turn, &self, Arc::new(Plainly)).await?;
        if self.dry_run {
            return foretell(&steps, first).await;
        }
        if self.undo {
            return undo(&mut steps, first).await;
        }
        if matches!(first, Step::Open | Step::Clear) {
            // Everything was proven before this step was written down, except what is left, and what was not to be proven.
            for step in rest(first).filter(|step| *step < Step::Rest) {
                say(&turn.words(step, steps.with_reverse()));
                take(&mut steps, step).await?;
            }
            if !steps.ends.state()?.is_unproven() {
                return Ok(told_reserved(steps.ends.state()?));
            }
            first = Step::Rest;
        }
        if first == Step::Check && steps.ends.state()?.phase == Phase::Following {
            // Nothing was touched yet, and nothing will be if this fails.
            steps.look().await?;
        }
        let output = Output::start(&self.output.options())?;
        steps.emit = Arc::new(output.emitter());
        Box::pin(carry_out(steps, output, first)).await
    }

    fn check(&self) -> Result<(), Failure> {
        if self.verify_budget.is_some() && self.verify == Compared::Counts {
            return Err(Failure::usage(
                "--verify-budget is for comparing by content, and does not go with --verify counts",
                "Leave one of the two out.",
            ));
        }
        Ok(())
    }
}

/// Prints steps and notes, without a display.
pub(super) struct Plainly;

impl Emit for Plainly {
    fn emit(&self, what: What) {
        match what {
            What::StepStarted { step: text } | What::Note { text } => say(&text),
            _ => {}
        }
    }
}

/// The exit status of the last turn, for a run with nothing to write a report about; says what keeps the turn from being proven in full.
fn told_reserved(state: &State) -> ExitStatus {
    let Some(reserved) = state.reserved.words() else {
        return ExitStatus::Proven;
    };
    say(&format!("not proven in full: {reserved}"));
    ExitStatus::Waived
}

fn rest(first: Step) -> impl Iterator<Item = Step> {
    Step::ALL.into_iter().filter(move |step| *step >= first)
}

/// Where to begin: a turn that can still go back begins with its first step again. `None` if that side has taken over already.
fn first_step(state: &State, turn: Turn) -> Result<Option<Step>, FollowError> {
    if state.serving == turn.to && matches!(state.phase, Phase::Following | Phase::Parted) {
        return Ok(state.is_unproven().then_some(Step::Rest));
    }
    let step = match state.phase {
        Phase::Following => Some(Step::Check),
        Phase::Turning(step) if step.goes_back() => Some(Step::Check),
        Phase::Turning(step) => Some(step),
        Phase::Copied | Phase::Parted | Phase::LetGo => None,
    };
    step.filter(|_| state.serving == turn.from)
        .map(Some)
        .ok_or_else(|| FollowError::NotNow {
            what: state.words(),
            remedy: format!("What comes next is: {}.", state.next()),
        })
}

/// Prints the steps, and what speaks against them.
async fn foretell(steps: &Steps<'_>, first: Step) -> Result<ExitStatus, Failure> {
    let with_reverse = !steps.args.no_fallback;
    let has_rest = steps.args.verify_budget.is_some();
    let mut lines: Vec<String> = rest(first)
        .filter(|step| *step < Step::Rest || has_rest)
        .enumerate()
        .map(|(index, step)| format!("{}. {}", index + 1, steps.turn.words(step, with_reverse)))
        .collect();
    let Turn { from, to } = steps.turn;
    lines.push(format!(
        "Until {to} is opened, a step that fails opens {from} again."
    ));
    writeln!(std::io::stdout(), "{}", lines.join("\n"))
        .map_err(|error| Failure::file("writing", "stdout".as_ref(), &error))?;
    if first != Step::Check {
        return Ok(ExitStatus::Proven);
    }
    steps.tell_gone_roles().await?;
    steps.tell_of_large_objects().await?;
    if steps.ends.state()?.phase == Phase::Following {
        steps.look().await?;
    } else {
        // Its subscription is disabled by now, or about to be, and is enabled again first of all.
        say(
            "A turn has begun and not come to its end: what it has made is taken back first, and only then is looked for what speaks against another.",
        );
    }
    Ok(ExitStatus::Proven)
}

async fn undo(steps: &mut Steps<'_>, first: Step) -> Result<ExitStatus, Failure> {
    let state = steps.ends.state()?;
    if !first.goes_back() {
        return Err(FollowError::NotNow {
            what: format!("there is no way back any more: {}", state.words()),
            remedy: format!("Go on: {}.", state.next()),
        }
        .into());
    }
    if state.phase == Phase::Following {
        if steps.record_of_from().await?.fence.is_none() {
            say("nothing is to be undone: no turn has begun");
            return Ok(ExitStatus::Proven);
        }
        // Closed by something that was still on its way when a turn went back.
        steps.open_again().await?;
        let mut state = steps.ends.state()?.clone();
        state.closed_at = None;
        steps.ends.write(state).await?;
        say(&format!("{} is open to writers again", steps.turn.from));
        return Ok(ExitStatus::Proven);
    }
    steps.open_again().await?;
    steps.undo().await?;
    Ok(ExitStatus::Proven)
}

/// Writes down the step, then takes it.
async fn take(steps: &mut Steps<'_>, step: Step) -> Result<(), Failure> {
    // The rest is no longer part of the turn: which tables are left is written down, and the opposite turn may begin at any time.
    if step < Step::Rest {
        let state = steps.ends.state()?.in_phase(Phase::Turning(step));
        steps.ends.write(state).await?;
    }
    fault::point_of("follow-step", || format!("{step:?}"));
    steps.take(step).await?;
    fault::point_of("follow-step-taken", || format!("{step:?}"));
    Ok(())
}

async fn carry_out(
    mut steps: Steps<'_>,
    output: Output,
    first: Step,
) -> Result<ExitStatus, Failure> {
    let stop = crate::cli::signals::watch(&output);
    let turn = steps.turn;
    let emit = Arc::clone(&steps.emit);
    emit.emit(What::RunStarted {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        command: turn.command(),
        source: steps.ends.side(turn.from).endpoint.clone(),
        target: steps.ends.side(turn.to).endpoint.clone(),
        jobs: steps.args.jobs(),
        verify: steps.args.level(),
        run_dir: output.run_dir().path().display().to_string(),
        narrowed_by: Vec::new(),
    });
    let mut state = steps.ends.state()?.clone();
    for moment in &state.history {
        emit.emit(What::FollowMoment(Box::new(moment.clone())));
    }
    if first == Step::Check {
        state.with_reverse = !steps.args.no_fallback;
    }
    steps.ends.state = Some(state);
    for step in rest(first) {
        if step == Step::Rest && !steps.ends.state()?.is_unproven() {
            continue;
        }
        emit.emit(What::TurnStep { turn_step: step });
        emit.emit(What::StepStarted {
            step: turn.words(step, steps.with_reverse()),
        });
        let taken = if step.goes_back() || step == Step::Rest {
            Box::pin(until_stopped(take(&mut steps, step), stop.clone())).await
        } else {
            // Stopping in between would be worse.
            take(&mut steps, step).await
        };
        let Err(failure) = taken.map_err(Failure::broken_off) else {
            continue;
        };
        let failure = if step.goes_back() {
            go_back(&mut steps, failure).await
        } else {
            failure
        };
        let failure = failure.while_doing(&turn.words(step, steps.with_reverse()));
        // The claim is released before anybody is told.
        drop(steps);
        return Ok(output.fail(failure).await);
    }
    drop(steps);
    Ok(output.finish(Ending::Complete).await)
}

async fn until_stopped(
    taking: impl Future<Output = Result<(), Failure>>,
    stop: watch::Receiver<Stop>,
) -> Result<(), Failure> {
    tokio::select! {
        taken = taking => taken,
        failure = crate::cli::signals::stopped(stop) => Err(failure),
    }
}

/// The two parts of going back.
#[derive(Clone, Copy)]
enum Back {
    /// The side that was in service is opened again.
    Open,
    /// The other one follows it as before.
    Undo,
}

/// Takes one of the two, and again while a server is away: both may be done twice. What failed before may have been a
/// connection, and a server that is coming up, or a network that is being repaired, may fail once more.
async fn until_it_stays(steps: &mut Steps<'_>, back: Back) -> Result<(), Failure> {
    let deadline = Instant::now() + ends::COMES_BACK_WITHIN;
    loop {
        let gone_back = async {
            match back {
                Back::Open => {
                    steps.ends.reconnect(steps.turn.from).await?;
                    steps.open_again().await
                }
                Back::Undo => {
                    // Both sides: either may be what failed in the previous round.
                    steps.ends.reconnect(steps.turn.from).await?;
                    steps.ends.reconnect(steps.turn.to).await?;
                    steps.reclaim().await?;
                    steps.undo().await
                }
            }
        };
        match gone_back.await {
            Err(failure) if ends::is_away(&failure) && Instant::now() < deadline => {
                sleep(PAUSE).await;
            }
            ended => return ended,
        }
    }
}

/// Goes back, and says so; or says what could not be done. The side that was in service comes first: it is opened even if the other
/// one is gone.
async fn go_back(steps: &mut Steps<'_>, mut failure: Failure) -> Failure {
    let (turn, command) = (steps.turn, steps.turn.command());
    // What is held would keep tables from being changed.
    steps.rest = None;
    steps.brought = None;
    if let Err(error) = until_it_stays(steps, Back::Open).await {
        failure.details.push(format!(
            "going back has failed, too: {error}\n{} may still be closed to writers: pgconvoy {command} --undo opens it, pgconvoy {command} \
             goes on",
            turn.from
        ));
        return failure;
    }
    // The other side may take a while to follow again, and nobody has to wait for that.
    let opened_at = Utc::now();
    steps.note(format!("{} is open to writers", turn.from));
    let told = match until_it_stays(steps, Back::Undo).await {
        Ok(()) => format!("{} follows it", turn.to),
        Err(error) => format!(
            "pgconvoy {command} --undo does the rest of going back, which has failed: {error}"
        ),
    };
    failure.details.push(format!(
        "gone back at {}: {} is in service as before; {told}",
        opened_at.format("%H:%M:%S UTC"),
        turn.from
    ));
    failure
}
