//! Runs a command of the operator's, such as one that sends a message, through the shell: within a time limit, and without our
//! passwords.
//!
//! It gets no input, and what it says is kept to be shown if it fails: our own output belongs to whoever reads the run, and
//! may have gone. It is in a process group of its own, so that all of it can be ended.

use std::ffi::{OsStr, OsString};
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// How long it may take to end once it has been asked to.
const GRACE: Duration = Duration::from_secs(2);

/// How long we go on reading after it has ended: what it left in the background holds the pipe.
const REST: Duration = Duration::from_millis(200);

/// Most bytes that are kept of what it says.
const MOST_BYTES: usize = 16 * 1024;

/// Why a command did not do what it was to do.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// There is no shell.
    #[error("it could not be started: {0}")]
    Start(#[source] io::Error),
    /// It took too long, and was ended.
    #[error("it took longer than {} s, and was ended{said}", limit.as_secs())]
    TooLong {
        /// The time limit.
        limit: Duration,
        /// What it said.
        said: Said,
    },
    /// It failed.
    #[error("it ended with {status}{said}")]
    Failed {
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        said: Said,
    },
}

/// What a command said, below what is told of it.
#[derive(Debug, Clone, Default)]
pub struct Said(String);

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for line in self.0.lines() {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

/// A command of the operator's.
#[derive(Debug)]
pub struct Hook<'a> {
    /// As it would be typed.
    pub command: &'a OsStr,
    /// What it is told, besides what we have been told ourselves.
    pub variables: &'a [(&'static str, OsString)],
    /// Variables of ours that it must not see.
    pub withheld: &'a [&'static str],
    /// How long it may take.
    pub limit: Duration,
}

impl Hook<'_> {
    /// Runs it to its end.
    pub async fn run(&self) -> Result<(), HookError> {
        let mut child = self.start().map_err(HookError::Start)?;
        let said = Arc::new(Mutex::new(Vec::new()));
        let readers = [
            child.stdout.take().map(|out| listen(out, &said)),
            child.stderr.take().map(|err| listen(err, &said)),
        ];
        let ended = tokio::time::timeout(self.limit, child.wait()).await;
        let ended = if let Ok(status) = ended {
            Some(status.map_err(HookError::Start)?)
        } else {
            end(&mut child).await;
            None
        };
        for reader in readers.into_iter().flatten() {
            let abort = reader.abort_handle();
            if tokio::time::timeout(REST, reader).await.is_err() {
                abort.abort();
            }
        }
        let said = said.lock().unwrap_or_else(PoisonError::into_inner);
        let said = Said(String::from_utf8_lossy(&said).into_owned());
        match ended {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(HookError::Failed { status, said }),
            None => Err(HookError::TooLong {
                limit: self.limit,
                said,
            }),
        }
    }

    fn start(&self) -> io::Result<Child> {
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(self.command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        for name in self.withheld {
            command.env_remove(name);
        }
        for (name, value) in self.variables {
            command.env(name, value);
        }
        command.spawn()
    }
}

/// Asks all of it to end, and then no longer asks.
async fn end(child: &mut Child) {
    let group = child.id().and_then(|pid| i32::try_from(pid).ok());
    let Some(group) = group.map(Pid::from_raw) else {
        return;
    };
    // It may have ended meanwhile.
    let _ = killpg(group, Signal::SIGTERM);
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        let _ = killpg(group, Signal::SIGKILL);
        let _ = child.wait().await;
    }
}

fn listen(
    mut pipe: impl AsyncRead + Unpin + Send + 'static,
    said: &Arc<Mutex<Vec<u8>>>,
) -> JoinHandle<()> {
    let said = Arc::clone(said);
    tokio::spawn(async move {
        let mut bytes = [0; 4096];
        // What could be read is better than nothing.
        while let Ok(read @ 1..) = pipe.read(&mut bytes).await {
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            // What comes after that is read all the same, so that nobody waits for us.
            let room = MOST_BYTES.saturating_sub(said.len());
            said.extend_from_slice(&bytes[..read.min(room)]);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(command: &str, limit_ms: u64) -> Result<(), String> {
        let hook = Hook {
            command: command.as_ref(),
            variables: &[("PGCONVOY_STATUS", "3".into())],
            withheld: &["PATH_OF_NOTHING"],
            limit: Duration::from_millis(limit_ms),
        };
        hook.run().await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_command_is_told_what_it_needs_and_fails_with_what_it_said() {
        assert_eq!(run("test \"$PGCONVOY_STATUS\" = 3", 10_000).await, Ok(()));
        let failed = run("echo out; echo err >&2; exit 7", 10_000).await;
        let failed = failed.expect_err("it fails");
        assert!(
            failed.starts_with("it ended with exit status: 7\n"),
            "{failed}"
        );
        assert!(
            failed.contains("\n  out") && failed.contains("\n  err"),
            "{failed}"
        );
        let flood = run("head -c 10000000 /dev/zero; exit 1", 10_000).await;
        assert!(flood.expect_err("it fails").len() < 2 * MOST_BYTES);
    }

    #[tokio::test]
    async fn a_command_that_does_not_end_is_ended_with_all_that_it_started() {
        let began = std::time::Instant::now();
        let stuck = run("sleep 60 & sleep 60", 300)
            .await
            .expect_err("it is ended");
        assert!(stuck.contains("took longer"), "{stuck}");
        // One that leaves something behind is not waited for.
        assert_eq!(run("sleep 5 & exit 0", 10_000).await, Ok(()));
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}
