//! SIGINT and SIGTERM: the run is given up in good order, with nothing left running on either server.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Becomes the name of the first signal that arrives.
pub fn watch() -> watch::Receiver<Option<String>> {
    let (sender, receiver) = watch::channel(None);
    for (kind, name) in [
        (SignalKind::interrupt(), "SIGINT"),
        (SignalKind::terminate(), "SIGTERM"),
    ] {
        let sender = sender.clone();
        // Without a handler the signal does what it always does, which ends the process as well.
        if let Ok(mut signals) = signal(kind) {
            tokio::spawn(async move {
                if signals.recv().await.is_some() {
                    sender.send_replace(Some(name.to_owned()));
                }
            });
        }
    }
    receiver
}

/// Waits for a signal, and says which.
pub async fn wait(mut stop: watch::Receiver<Option<String>>) -> String {
    loop {
        let name = stop.borrow_and_update().clone();
        if let Some(name) = name {
            return name;
        }
        if stop.changed().await.is_err() {
            // Nobody can send one any more.
            std::future::pending::<()>().await;
        }
    }
}

/// The same for those who need no name.
pub fn as_flag(stop: watch::Receiver<Option<String>>) -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        wait(stop).await;
        sender.send_replace(true);
    });
    receiver
}
