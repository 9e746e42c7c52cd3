//! One step of a turn: the other side applies everything. Nobody can write meanwhile, so progress is reported, and nobody waits
//! for what will not come.

use std::time::Duration;

use tokio::time::Instant;

use super::standing::standing;
use super::steps::{Steps, asking};
use super::subscribe::{flushed, is_applied};
use crate::event::What;
use crate::failure::Failure;
use crate::follow::{self, FollowError, Hope};

/// Time between two looks at the side that applies.
const LOOKS_EVERY: Duration = Duration::from_secs(3);

impl Steps<'_> {
    /// Waits until the other side has applied everything.
    pub async fn drain(&self) -> Result<(), Failure> {
        let (from, to, ahead) = (self.from(), self.to(), self.ahead());
        let position = flushed(from).await?;
        let worker = follow::worker(&to.session, &ahead).await;
        let worker = worker.map_err(asking("looking at the subscription"))?;
        let mut hope = Hope::of(worker.as_ref());
        let began = Instant::now();
        loop {
            let left = self.args.patience.saturating_sub(began.elapsed());
            if is_applied(from, (&ahead, &position), left.min(LOOKS_EVERY)).await? {
                return Ok(());
            }
            let standing = standing(&self.ends).await?;
            let is_over = began.elapsed() >= self.args.patience;
            if is_over || hope.is_vain(standing.worker.as_ref()) {
                return Err(FollowError::NotApplied {
                    subscriber: to.endpoint.to_string(),
                    seconds: began.elapsed().as_secs(),
                    because: [vec![standing.line()], standing.trouble()]
                        .concat()
                        .join(" "),
                }
                .into());
            }
            self.emit.emit(What::StepStarted {
                step: format!(
                    "waiting until {} has applied everything: {}",
                    self.turn.to,
                    standing.line()
                ),
            });
        }
    }
}
