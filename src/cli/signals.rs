//! SIGINT and SIGTERM stop a run in good order, with nothing left running on either server; SIGHUP does not stop it.
//!
//! A terminal that is closed says so with SIGHUP to whoever was started from it. A move that takes hours is not to be lost
//! with an ssh session: it goes on, and can be watched from elsewhere.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::output::Output;
use crate::event::{Emit as _, What};
use crate::execute::{Cause, Stop};
use crate::failure::Failure;
use crate::model::run_command;

/// Listens from now on. What is asked of the run, by signals and by its own output, is what the receiver says.
pub fn watch(output: &Output) -> watch::Receiver<Stop> {
    for (kind, name) in [
        (SignalKind::interrupt(), "SIGINT"),
        (SignalKind::terminate(), "SIGTERM"),
    ] {
        let stop = output.stop().clone();
        // Without a handler the signal does what it always does, which ends the process as well.
        if let Ok(mut signals) = signal(kind) {
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    Stop::ask(&stop, Cause::Signal(name.to_owned()));
                }
            });
        }
    }
    survive_hang_up(output);
    output.stop().subscribe()
}

fn survive_hang_up(output: &Output) {
    let emitter = output.emitter();
    let watch = run_command("watch", &output.run_dir().path().display().to_string());
    if let Ok(mut signals) = signal(SignalKind::hangup()) {
        tokio::spawn(async move {
            if signals.recv().await.is_some() {
                let text = format!("the terminal is gone (SIGHUP); the run goes on: {watch}");
                emitter.emit(What::Note { text });
            }
            // The handler stays, and whatever comes later is not worth another line.
            while signals.recv().await.is_some() {}
        });
    }
}

/// Waits until the run is asked to stop, and says so as its failure: for steps that have nothing to bring to an end.
pub async fn stopped(stop: watch::Receiver<Stop>) -> Failure {
    Failure::stopped(&crate::execute::asked(stop).await)
}
