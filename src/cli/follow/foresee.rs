//! Looks ahead for what would fail a turn once nobody can write: else sessions are ended, and writers kept out, for nothing.
//!
//! What may come up until then is looked for again in its time, and makes the turn go back.

use super::steps::{Steps, asking};
use crate::cli::sync;
use crate::failure::{Failure, FailureKind};
use crate::follow::{self, FollowError, Phase};
use crate::model::ExitStatus;

/// A transaction open for this long is not one of those that come and go all the time.
const OPEN_S: i32 = 5;

impl Steps<'_> {
    /// Refuses a turn that is known to fail later.
    pub async fn foresee(&self) -> Result<(), Failure> {
        if !self.args.no_fallback {
            self.refuse_open_transactions().await?;
        }
        let state = self.ends.state()?;
        // A turn that is continued may have closed a side already, and comes to this comparison soon enough.
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

    /// The slot of the way back begins only once all of them have ended, and nobody can write until then.
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

/// A comparison that refuses after a side was closed and sessions were ended no longer refuses the turn: the turn has failed.
pub(super) fn too_late(failure: Failure) -> Failure {
    match failure.status {
        ExitStatus::NoGo => failure.with_status(ExitStatus::Failed),
        _ => failure,
    }
}
