//! `--detach`: the run is carried out by a process of its own, which no terminal's end reaches.
//!
//! ```text
//!   we ──start──► the same command without --detach, in a session of its own, quiet
//!    │                        │
//!    └──── follow its record ◄┘   until the first job has begun, or it has ended
//! ```
//!
//! What can go wrong does so early: a wrong password, a target that is not empty. Whoever started the run sees that before the
//! command returns. Only what the new process itself has begun counts as the run's first job: the run directory may hold the record
//! of earlier sessions, or belong to a run that is still at work, and then the new one is refused.

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
    let look = Look::ahead(&options.run_dir);
    // Before the new process can add to the record.
    let mut watching = Watching::ahead(&look, options.display);
    let mut detached = Detached::start(&arguments)
        .map_err(|error| Failure::defect(format!("starting a process of its own: {error}")))?;
    let mut asked_to_stop = signals();
    loop {
        let ended = detached.ended();
        let ended = ended.map_err(|error| Failure::defect(format!("waiting for it: {error}")))?;
        // What keeps us from reading the record keeps the other process from writing it: it says so itself, and ends.
        let _ = watching.look();
        if let Some(ended) = ended {
            watching.clear();
            let said = detached.said().await;
            // Nobody is left to tell if stderr is gone.
            let _ = write!(io::stderr(), "{said}");
            return match ended.code() {
                Some(code) => Ok(end(watching, said.is_empty(), code)),
                None => Err(was_killed(&ended.to_string(), &options.run_dir)),
            };
        }
        let is_on_its_way = watching.has_leapt() && !watching.has_ended();
        if is_on_its_way && is_held_by(detached.pid(), &look) {
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

/// Whether that process has the run directory: what another one does there is not this run's.
fn is_held_by(pid: Option<u32>, look: &Look) -> bool {
    let holder = look.holder().ok().flatten();
    holder.is_some_and(|holder| Some(holder.pid) == pid)
}

/// It is over already: how it went, if it has said nothing itself, and its exit status.
fn end(watching: Watching, is_silent: bool, code: i32) -> ExitStatus {
    if is_silent && watching.has_ended() {
        watching.close(LastWords::Own);
    }
    ExitStatus::of_code(code)
}

/// It could not say why, nor that it is over: a system that is out of memory ends a process like that.
fn was_killed(how: &str, run_dir: &Path) -> Failure {
    let is_there = Look::at(run_dir).is_ok();
    let status = is_there.then(|| run_command("status", &run_dir.display().to_string()));
    Failure {
        message: format!(
            "the process that was to carry out the run was killed ({how}): the run does not go on"
        ),
        hint: status.map(|status| format!("To see how far it was: {status}")),
        ..Failure::interrupted("a signal")
    }
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
