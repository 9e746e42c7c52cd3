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
    (max_retries, emit): (u32, &dyn Emit),
) -> Result<(), PgError> {
    const DOING: &str = "giving the source's snapshot back";
    let mut released = in_time(DOING, snapshot.release()).await;
    for attempt in 1..=max_retries {
        let error = match released {
            Err(error) if error.may_pass() => error,
            _ => break,
        };
        if attempt == 1 {
            let text = format!(
                "the session that read the source's snapshot was lost ({error}); whether the snapshot is still held is asked on another one"
            );
            emit.emit(What::Note { text });
        }
        tokio::time::sleep(pause_after(attempt)).await;
        let again = async { snapshot.release_by(source.session("snapshot").await?).await };
        released = in_time(DOING, again).await;
    }
    if released.is_ok() {
        fault::point("snapshot-released");
        emit.emit(What::SnapshotReleased);
    }
    // Who cannot be reached any more was reached before: a connection is lost, and not a wrong one asked for.
    released.map_err(|error| match error {
        PgError::Connect(error) => PgError::Io {
            doing: "asking whether it is still held".to_owned(),
            source: std::io::Error::other(error),
        },
        other => other,
    })
}
