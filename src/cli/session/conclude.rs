//! The end of a session: the report is kept, and the ledger goes; a target that is to follow its source begins to.

use super::step;
use crate::cli::follow::Handover;
use crate::cli::output::Output;
use crate::cli::signals;
use crate::event::{Emit as _, What};
use crate::failure::Failure;
use crate::fault;
use crate::follow::{self, FollowError};
use crate::ledger;
use crate::model::{ExitStatus, run_command};
use crate::pg::claim::Claim;
use crate::pg::wire::Wire;
use crate::pg::{Connector, PgError};
use crate::report::Ending;

/// A session that has done all its jobs, with what proves it.
pub(in crate::cli) struct Done {
    /// Whether we are superuser on the target.
    pub target_superuser: bool,
    /// Opens sessions of the target.
    pub target: Connector,
    /// The session that drops the ledger.
    pub ledger: Wire,
    /// The target is to follow the source from here on.
    pub follow: Option<Handover>,
}

impl Done {
    /// Once the report is kept, the ledger goes, if the copy is what it was to be; last of all, as nothing can ask for it any more. What
    /// is left to do, and who it is done on.
    async fn end_ledger(
        mut self,
        status: ExitStatus,
        claim: Option<&Claim>,
    ) -> Result<(Option<Handover>, Connector), PgError> {
        fault::point("report-kept");
        if is_good(status) {
            self.drop_ledger(claim).await?;
        }
        fault::point("ledger-dropped");
        self.ledger.close().await;
        Ok((self.follow, self.target))
    }

    /// Drops the ledger: by way of another session if the one that was kept for it has gone, as long as the target is ours.
    async fn drop_ledger(&mut self, claim: Option<&Claim>) -> Result<(), PgError> {
        // The state of a follow begins where the ledger ends: there is always one of them that says how to go on.
        let state = self.follow.as_ref();
        let state = state.map(|handover| follow::create_state(&handover.state));
        let (superuser, and) = (self.target_superuser, state.as_deref());
        let dropped = ledger::drop(&mut self.ledger, superuser, and).await;
        let (Err(error), Some(claim)) = (&dropped, claim) else {
            return dropped;
        };
        if !error.may_pass() || !claim.is_alive().await {
            return dropped;
        }
        self.ledger = self.target.wire("ledger").await?;
        ledger::drop(&mut self.ledger, superuser, and).await
    }
}

/// The end: report first, and the ledger goes last, when nothing can ask for it any more. Claim and run directory are ours
/// until then; whoever is to be told of the end is told after that, and may go on with the run at once.
pub(in crate::cli) async fn conclude(
    done: Result<Done, Failure>,
    claim: Option<Claim>,
    mut output: Output,
) -> Result<ExitStatus, Failure> {
    let hooks = output.take_hooks();
    let path = output.run_dir().path().to_owned();
    let ended = match done {
        Ok(done) => Box::pin(conclude_done(done, claim.as_ref(), output)).await,
        Err(failure) => Ok(output.fail(failure).await),
    };
    drop(claim);
    let status = ended
        .as_ref()
        .map_or_else(|failure| failure.status, |status| *status);
    hooks.run(status, Some(&path)).await;
    ended
}

async fn conclude_done(
    done: Done,
    claim: Option<&Claim>,
    output: Output,
) -> Result<ExitStatus, Failure> {
    let _run_dir = output.run_dir().clone();
    let run_dir = output.run_dir().path().display().to_string();
    if done.follow.is_some() {
        return Ok(conclude_followed(done, claim, output, &run_dir).await);
    }
    let status = output.finish(Ending::Complete).await;
    let ended = done.end_ledger(status, claim).await;
    ended.map_err(|error| ledger_left(error, &run_dir))?;
    Ok(status)
}

/// The same of a copy that is followed. Its end is told once the target follows, and whoever waits for it is told of what goes wrong with
/// that as well. Until then either the ledger or the state that takes its place says how to go on.
async fn conclude_followed(
    done: Done,
    claim: Option<&Claim>,
    output: Output,
    run_dir: &str,
) -> ExitStatus {
    let emitter = output.emitter();
    let status = output.keep().await;
    let (handover, target) = match done.end_ledger(status, claim).await {
        Ok(left) => left,
        Err(error) => {
            return output
                .not_following(ledger_left(error, run_dir), true)
                .await;
        }
    };
    let Some(handover) = handover.filter(|_| is_good(status)) else {
        let text = Failure::from(FollowError::NotProven).to_string();
        emitter.emit(What::Note { text });
        return output.finish(Ending::Complete).await;
    };
    step(&emitter, "making the target follow the source");
    let stop = output.stop().subscribe();
    let begun = tokio::select! {
        begun = Box::pin(handover.begin(&target, &emitter)) => begun,
        failure = signals::stopped(stop) => Err(failure),
    };
    match begun {
        Ok(()) => output.finish(Ending::Complete).await,
        Err(failure) => output.not_following(failure, false).await,
    }
}

/// Whether a copy is what it was to be.
fn is_good(status: ExitStatus) -> bool {
    matches!(status, ExitStatus::Proven | ExitStatus::Waived)
}

/// The copy is proven, and the target is not clean.
fn ledger_left(error: PgError, run_dir: &str) -> Failure {
    let is_away = matches!(error, PgError::ClaimLost | PgError::Connect(_));
    let status = if is_away || error.may_pass() {
        ExitStatus::Interrupted
    } else {
        ExitStatus::Failed
    };
    let resume = run_command("resume", run_dir);
    Failure {
        hint: Some(format!(
            "The copy is complete; to remove the ledger: {resume}"
        )),
        ..Failure::from(error)
            .with_status(status)
            .while_doing(&format!(
                "dropping the ledger (schema pgconvoy) after the run in {run_dir} was complete"
            ))
    }
}
