//! `--detach`: the run is carried out by a process of its own, which no terminal's end reaches.
//!
//! ```text
//!   we ──start──► the same command without --detach, in a session of its own, quiet
//!    │                        │
//!    └──── follow its record ◄┘   until the first job has begun, or it has ended
//! ```
//!
//! What can go wrong does so early: a wrong password, a target that is not empty. Whoever started the run sees that before the
//! command returns.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::output::OutputOptions;
use super::run_dir::Look;
use super::watch::{LastWords, Watching};
use crate::failure::Failure;
use crate::model::{ExitStatus, run_command};
use crate::pg::detached::Detached;

const TICK: Duration = Duration::from_millis(100);

/// The option that brought us here.
const OPTION: &str = "--detach";

/// Starts this very command once more without the option, and waits until it is on its way. `more` is added to its arguments:
/// where its run directory is to be, if it was not told.
pub async fn start(options: &OutputOptions, more: &[OsString]) -> Result<ExitStatus, Failure> {
    let mut arguments: Vec<OsString> = std::env::args_os()
        .filter(|argument| argument != OPTION)
        .collect();
    arguments.extend_from_slice(more);
    let mut detached = Detached::start(&arguments)
        .map_err(|error| Failure::defect(format!("starting a process of its own: {error}")))?;
    let mut watching = Watching::new(&Look::ahead(&options.run_dir), options.display);
    let mut asked_to_stop = signals();
    loop {
        let ended = detached.ended();
        let ended = ended.map_err(|error| Failure::defect(format!("waiting for it: {error}")))?;
        watching.look()?;
        if let Some(status) = ended {
            return Ok(tell_end(watching, detached, status.code()).await);
        }
        if watching.has_leapt() && !watching.has_ended() {
            watching.clear();
            tell_where(&options.run_dir, detached.pid());
            return Ok(ExitStatus::Proven);
        }
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            // It ends in good order, and we say how.
            Some(()) = asked_to_stop.recv() => detached.terminate(),
        }
    }
}

/// Of SIGINT and SIGTERM: until the run is on its way, whoever stops us means the run.
fn signals() -> mpsc::Receiver<()> {
    let (sender, receiver) = mpsc::channel(4);
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let sender = sender.clone();
        if let Ok(mut signals) = signal(kind) {
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    if sender.send(()).await.is_err() {
                        return;
                    }
                }
            });
        }
    }
    receiver
}

/// It is over already: what it had to say, and its exit status.
async fn tell_end(mut watching: Watching, detached: Detached, code: Option<i32>) -> ExitStatus {
    watching.clear();
    let status = code.map_or(ExitStatus::Failed, ExitStatus::of_code);
    let said = detached.said().await;
    // Nobody is left to tell if stderr is gone.
    let _ = write!(io::stderr(), "{said}");
    if said.is_empty() && watching.has_ended() {
        watching.close(LastWords::Own);
    }
    status
}

fn tell_where(run_dir: &Path, pid: Option<u32>) {
    let dir = run_dir.display().to_string();
    let pid = pid.map_or_else(String::new, |pid| pid.to_string());
    let _ = writeln!(
        io::stderr(),
        "The run goes on without this terminal: pid {pid}, run directory {dir}\n  {}\n  {}\n  kill {pid}    stops it cleanly",
        run_command("watch", &dir),
        run_command("status", &dir),
    );
}
