//! Starts this program again, apart from the terminal: what it does goes on when the terminal is closed.
//!
//! The new process makes a session of its own ([`leave_terminal`]) as its first step. Its standard error comes to us for as
//! long as we listen, so that what goes wrong at the start can be said; afterwards nobody listens, and that is no error of it.
//! Arguments hold no passwords (`cli::secrets` has seen to that); the environment is handed on as it is.

use std::ffi::OsString;
use std::io;
use std::process::{ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, setsid};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;

/// Tells the new process what it is.
pub const VARIABLE: &str = "PGCONVOY_DETACHED";

/// Whether this process was started apart from a terminal.
pub fn is_detached() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// Makes a session of its own for a process that was started apart from a terminal: no terminal's end reaches it.
pub fn leave_terminal() {
    if is_detached() {
        // Refused only to whoever leads a group already, and then nobody else's signals reach it either.
        let _ = setsid();
    }
}

/// The process that was started.
pub struct Detached {
    child: Child,
    said: JoinHandle<Vec<u8>>,
}

impl Detached {
    /// Starts it; `arguments` begins with the program's name.
    pub fn start(arguments: &[OsString]) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        if let Some((name, rest)) = arguments.split_first() {
            command.arg0(name).args(rest);
        }
        let mut child = command
            .env(VARIABLE, "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let said = tokio::spawn(listen(child.stderr.take()));
        Ok(Self { child, said })
    }

    /// Its process id; `None` once it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// How it has ended, if it has.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        let pid = self.pid().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid {
            // It may have ended meanwhile.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }

    /// What it has said on its standard error; for one that has ended.
    pub async fn said(self) -> String {
        let bytes = self.said.await.unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

async fn listen(stderr: Option<ChildStderr>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut stderr) = stderr {
        // What could be read is better than nothing.
        let _ = stderr.read_to_end(&mut bytes).await;
    }
    bytes
}
