//! What a turn could only fail of once nobody can write is looked for before: otherwise sessions would be ended and writers kept out for nothing.
//!
//! What may have become true by then is looked at once more in its time, and the turn goes back.

use super::steps::{Steps, asking};
use crate::cli::sync;
use crate::failure::{Failure, FailureKind};
use crate::follow::{self, FollowError, Phase};
use crate::model::ExitStatus;

/// Transactions that have been open for so long are none of those that come and go all the time.
const OPEN_S: i32 = 5;

impl Steps<'_> {
    /// Refuses what is known to fail later.
    pub async fn foresee(&self) -> Result<(), Failure> {
        if !self.args.no_fallback {
            self.refuse_open_transactions().await?;
        }
        let state = self.ends.state()?;
        // A turn that goes on may have closed a side already, and comes to this comparison soon enough.
        if state.phase != Phase::Following {
            return Ok(());
        }
        let both = self.read_only().await?;
        let asked = (state.restore, self.args.jobs());
        let foreseen = Box::pin(sync::foresee(&both, asked, &self.emit)).await;
        foreseen.map_err(|failure| match failure.kind {
            FailureKind::NoGo => Failure {
                hint: Some(
                    "Make the same change on both sides (pgconvoy verify shows what differs), and run the same command again."
                        .to_owned(),
                ),
                ..failure.while_doing(self.turn.command().word())
            },
            _ => failure.while_doing(
                "comparing the schemas of both sides, before anything was touched",
            ),
        })
    }

    /// The slot of the way back begins once all of them have ended, and nobody can write until it has.
    async fn refuse_open_transactions(&self) -> Result<(), Failure> {
        let open = follow::unfinished(&self.to().session, OPEN_S).await;
        let open = open.map_err(asking("looking for transactions that are open"))?;
        if open.is_empty() {
            return Ok(());
        }
        Err(FollowError::NotNow {
            what: format!(
                "transactions of the {}'s server have written something and been open for more than {OPEN_S} s; the slot of the way back \
                 would wait for them while nobody can write: {}",
                self.turn.to,
                open.join("; ")
            ),
            remedy: "Have them end, and run the same again; or give --no-fallback, to do without a way back."
                .to_owned(),
        }
        .into())
    }
}

/// What a comparison refuses once a side is closed and sessions were ended is no refusal of the turn any more: it has failed.
pub(super) fn too_late(failure: Failure) -> Failure {
    match failure.status {
        ExitStatus::NoGo => failure.with_status(ExitStatus::Failed),
        _ => failure,
    }
}
