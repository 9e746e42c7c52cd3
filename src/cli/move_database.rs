//! `pgconvoy move`: source server → target server, directly, verified.

use clap::Args;

use super::arguments::IntendedArgs;
use super::arguments::{FollowArgs, KeeperOptions, OutputArgs, RetryArgs, RunningArgs};
use super::detach;
use super::expect::{ExpectArgs, Expectations};
use super::follow;
use super::inspect::{Inspection, Road};
use super::output::Output;
use super::requested::Requested;
use super::session::{self, Session};
use crate::failure::Failure;
use crate::fault;
use crate::ledger::Request;
use crate::model::{ExitStatus, RunCommand};
use crate::progress::Measured;

/// Copy a database to another server and prove the copy
///
/// Copies everything that a database holds from one server to another, on all cores. Exits with 0 only if it has read the
/// target back and found there exactly what the source held at one moment. The source is only read, and may be in use
/// meanwhile; what is written to it after that moment is not copied, and is reported.
#[derive(Debug, Clone, Args)]
#[command(name = "move", after_help = super::AFTER_HELP)]
pub struct MoveArgs {
    /// What is moved, where to, and how.
    #[command(flatten)]
    pub intended: IntendedArgs,

    /// What to expect.
    #[command(flatten)]
    pub expect: ExpectArgs,

    /// What comes after it.
    #[command(flatten)]
    pub follow: FollowArgs,

    /// What survives a crash.
    #[command(flatten)]
    pub keeper: KeeperOptions,

    /// What is tried again.
    #[command(flatten)]
    pub retry: RetryArgs,

    /// How to start and stop it.
    #[command(flatten)]
    pub running: RunningArgs,

    /// How to tell.
    #[command(flatten)]
    pub output: OutputArgs,
}

impl MoveArgs {
    /// From the command line.
    pub(super) async fn start(self) -> Result<ExitStatus, Failure> {
        self.start_as(RunCommand::Move).await
    }

    /// The same into a target that nobody needs afterwards: what is learned is what counts.
    pub(super) async fn rehearse(self) -> Result<ExitStatus, Failure> {
        self.start_as(RunCommand::Rehearse).await
    }

    /// With a display and a run directory of its own.
    async fn start_as(self, command: RunCommand) -> Result<ExitStatus, Failure> {
        let options = self.output.options();
        if self.running.detach {
            let more = self.output.run_dir_as_argument(&options);
            return Box::pin(detach::start(&options, &more)).await;
        }
        let output = Output::start(&options)?;
        Box::pin(run(self, command, output)).await
    }

    fn requested(&self) -> Result<Requested, Failure> {
        let mut requested = self.intended.requested()?;
        requested.keep_snapshot = self.keeper.keep_snapshot();
        Ok(requested)
    }
}

/// Moves.
async fn run(args: MoveArgs, command: RunCommand, output: Output) -> Result<ExitStatus, Failure> {
    let session = Session::new(&output, args.running, args.retry);
    let prepared = tokio::select! {
        prepared = prepare(&args, command, &session) => prepared,
        failure = session.stopped() => Err(failure),
    };
    let (inspection, request, expectations) = match prepared {
        Ok(prepared) => prepared,
        // Nothing was touched, so there is nothing to keep a record of; what was made on the source to be followed goes again.
        Err(failure) => {
            let failure = follow::take_back(&session, failure).await;
            // The claim goes before anybody is told.
            drop(session);
            output.abandon(&failure).await;
            return Err(failure);
        }
    };
    let done = async {
        let ready = Box::pin(session.begin(inspection, &request)).await?;
        expectations.tell(&ready.plan, &session.emitter());
        Box::pin(session.carry_out(ready)).await
    };
    let done = done.await;
    let (done, claim) = session.end(done).await;
    session::conclude(done, claim, output).await
}

/// The look before the leap: everything up to here only reads.
async fn prepare(
    args: &MoveArgs,
    command: RunCommand,
    session: &Session<'_>,
) -> Result<(Inspection, Request, Expectations), Failure> {
    let mut requested = args.requested()?;
    args.follow.check(&command, &requested)?;
    let expectations = args.expect.resolve(Measured::Move)?;
    session.step("connecting");
    let road = Road::connect(&requested).await?;
    fault::point("connected");
    session.tell_start(command, &road, &requested);
    requested.follow = follow::wanted(&args.follow, &road, &requested);
    let request = requested.record(&road, &session.run_id(), args.intended.speed.sizes());
    // From here on, a session that resumes the run knows what it is about.
    session.output.run_dir().write_request(&request)?;
    fault::point("request-written");
    let inspection = session.look(road, requested).await?;
    Ok((inspection, request, expectations))
}
