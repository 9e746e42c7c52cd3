//! Gives the source's snapshot back when the last read is over.
//!
//! Our own session with it has stood idle in a transaction for as long as everything was read, and whoever watches over a server
//! ends such sessions. If a keeper holds the snapshot, nothing is lost with that: it is asked for on another session.

use super::attempt::in_time;
use super::running::pause_after;
use crate::event::{Emit, What};
use crate::fault;
use crate::pg::{Connector, PgError, Snapshot};

/// Gives it back, and says so; what may pass is tried again so many times. An error if its holder has ended before, or if that cannot be known.
pub async fn release(
    mut snapshot: Snapshot,
    source: &Connector,
    how: (u32, &dyn Emit),
) -> Result<(), PgError> {
    ask(&mut snapshot, source, (Question::GiveBack, how)).await?;
    fault::point("snapshot-released");
    how.1.emit(What::SnapshotReleased);
    Ok(())
}

/// Whether it has been held to this moment. Errors as those of [`release`].
pub async fn still_held(
    snapshot: &mut Snapshot,
    source: &Connector,
    how: (u32, &dyn Emit),
) -> Result<(), PgError> {
    ask(snapshot, source, (Question::IsHeld, how)).await
}

/// What is asked of the source about it.
#[derive(Clone, Copy)]
enum Question {
    IsHeld,
    GiveBack,
}

impl Question {
    fn doing(self) -> &'static str {
        match self {
            Self::IsHeld => "asking whether the source's snapshot is held",
            Self::GiveBack => "releasing the source's snapshot",
        }
    }

    async fn ask(self, snapshot: &mut Snapshot) -> Result<(), PgError> {
        match self {
            Self::IsHeld => snapshot.check().await,
            Self::GiveBack => snapshot.release().await,
        }
    }

    async fn ask_by(self, snapshot: &mut Snapshot, source: &Connector) -> Result<(), PgError> {
        let session = source.session("snapshot").await?;
        match self {
            Self::IsHeld => snapshot.check_by(session).await,
            Self::GiveBack => snapshot.release_by(session).await,
        }
    }
}

async fn ask(
    snapshot: &mut Snapshot,
    source: &Connector,
    (question, (max_retries, emit)): (Question, (u32, &dyn Emit)),
) -> Result<(), PgError> {
    let doing = question.doing();
    let mut answer = in_time(doing, question.ask(snapshot)).await;
    for attempt in 1..=max_retries {
        let error = match answer {
            Err(error) if error.may_pass() => error,
            _ => break,
        };
        if attempt == 1 {
            let text = format!(
                "the session that read the source's snapshot was lost ({error}); asking on another one whether the snapshot is still held"
            );
            emit.emit(What::Note { text });
        }
        tokio::time::sleep(pause_after(attempt)).await;
        answer = in_time(doing, question.ask_by(snapshot, source)).await;
    }
    // Who cannot be reached any more was reached before: a connection is lost, and not a wrong one asked for.
    answer.map_err(|error| match error {
        PgError::Connect(error) => PgError::Io {
            doing: "asking whether it is still held".to_owned(),
            source: std::io::Error::other(error),
        },
        other => other,
    })
}
