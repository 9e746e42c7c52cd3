//! How a run is stopped from outside: asked once it drains, asked again it is given up.
//!
//! ```text
//!   Go ──ask──► Drain ──ask, or time is up──► Abort
//! ```
//!
//! While it drains no new job starts, and what is running may come to its end: a large table that is nearly copied need not
//! be copied again. What has not ended by then is cancelled on the servers and rolled back.

use std::fmt;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Why a run is to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Somebody sent a signal: its name.
    Signal(String),
    /// It makes no sense to go on: why, as a clause.
    Trouble(String),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(text) | Self::Trouble(text) => f.write_str(text),
        }
    }
}

/// What is asked of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Stop {
    /// To go on.
    #[default]
    Go,
    /// To start nothing new.
    Drain(Cause),
    /// To end at once.
    Abort(Cause),
}

impl Stop {
    /// Asks for an end; who asks a second time does not want to wait.
    pub fn ask(asked: &watch::Sender<Self>, cause: Cause) {
        asked.send_modify(|stop| {
            *stop = match std::mem::take(stop) {
                Self::Go => Self::Drain(cause),
                // The first cause is the one that counts.
                Self::Drain(cause) | Self::Abort(cause) => Self::Abort(cause),
            };
        });
    }

    /// Why, if it is to stop at all.
    pub fn cause(&self) -> Option<&Cause> {
        match self {
            Self::Go => None,
            Self::Drain(cause) | Self::Abort(cause) => Some(cause),
        }
    }
}

/// Waits until a run is asked to stop, however, and says why.
pub async fn asked(mut stop: watch::Receiver<Stop>) -> Cause {
    until(&mut stop, |stop| stop.cause().cloned()).await
}

/// Waits until a run is to end at once.
pub(super) async fn aborted(mut stop: watch::Receiver<Stop>) {
    until(&mut stop, |stop| {
        matches!(stop, Stop::Abort(_)).then_some(())
    })
    .await;
}

async fn until<T>(stop: &mut watch::Receiver<Stop>, is_it: impl Fn(&Stop) -> Option<T>) -> T {
    loop {
        if let Some(found) = is_it(&stop.borrow_and_update()) {
            return found;
        }
        if stop.changed().await.is_err() {
            // Nobody can ask any more.
            std::future::pending::<()>().await;
        }
    }
}

/// A run's own view of it.
pub(super) struct Drain {
    stop: watch::Receiver<Stop>,
    patience: Duration,
    until: Option<Instant>,
}

/// What comes next.
pub(super) enum Turn {
    /// Draining begins now, because of this.
    Begins(Cause),
    /// The time is up.
    Over,
}

impl Drain {
    pub fn new(stop: watch::Receiver<Stop>, patience: Duration) -> Self {
        Self {
            stop,
            patience,
            until: None,
        }
    }

    /// Nothing new is to be started.
    pub fn is_asked_for(&self) -> bool {
        *self.stop.borrow() != Stop::Go
    }

    /// How long running jobs may go on once draining has begun.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Waits for the next turn; may be given up and called again.
    pub async fn turn(&mut self) -> Turn {
        if let Some(until) = self.until {
            sleep_until(until).await;
            return Turn::Over;
        }
        let cause = until(&mut self.stop, |stop| stop.cause().cloned()).await;
        self.until = Some(Instant::now() + self.patience);
        Turn::Begins(cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn first_it_drains_and_then_the_time_is_up() {
        let (sender, receiver) = watch::channel(Stop::Go);
        let mut drain = Drain::new(receiver.clone(), Duration::from_millis(50));
        assert!(!drain.is_asked_for());
        let patient = tokio::time::timeout(Duration::from_millis(100), drain.turn()).await;
        assert!(patient.is_err(), "nobody has asked");
        Stop::ask(&sender, Cause::Signal("SIGINT".into()));
        assert!(drain.is_asked_for());
        assert!(
            matches!(drain.turn().await, Turn::Begins(Cause::Signal(name)) if name == "SIGINT")
        );
        let began = Instant::now();
        assert!(matches!(drain.turn().await, Turn::Over));
        assert!(began.elapsed() >= Duration::from_millis(45));
        Stop::ask(&sender, Cause::Signal("SIGTERM".into()));
        aborted(receiver.clone()).await;
        assert_eq!(asked(receiver).await, Cause::Signal("SIGINT".into()));
    }
}
