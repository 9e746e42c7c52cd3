//! Runs the real `pgconvoy`, in an environment and a directory of its own, with a time limit.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::server::newest_tools;

/// A run of the binary to be.
pub struct Pgconvoy {
    command: Command,
    dir: TempDir,
    timeout: Duration,
}

impl Pgconvoy {
    /// A run with these arguments: empty directory, no `PG*` variables, the newest client tools, two minutes at most.
    pub fn new<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("pgconvoy-test-run-")
            .tempdir()
            .expect("a temporary directory");
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgconvoy"));
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", dir.path())
            .env("LC_ALL", "C.UTF-8")
            .env("PGCONVOY_PG_BIN", newest_tools())
            .env("RUST_BACKTRACE", "1")
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self {
            command,
            dir,
            timeout: Duration::from_secs(120),
        }
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.command.env(name, value.into());
        self
    }

    /// Removes an environment variable that [`Self::new`] set.
    #[must_use]
    pub fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Sets the time limit; a run that exceeds it is killed and fails the test.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Nobody reads what it says on stderr any more: that is a pipe whose other end is closed.
    #[must_use]
    pub fn unheard(mut self) -> Self {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        self.command.stderr(writer);
        self
    }

    /// Nobody reads what it says on stdout any more.
    #[must_use]
    pub fn unread(mut self) -> Self {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        self.command.stdout(writer);
        self
    }

    /// The directory it runs in, and `HOME`.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Runs it to the end.
    pub fn run(self) -> Finished {
        self.start().finish()
    }

    /// Starts it, for tests that do something to it meanwhile.
    pub fn start(mut self) -> Running {
        let mut child = self.command.spawn().expect("pgconvoy starts");
        let stdout = match child.stdout.take() {
            Some(pipe) => drain(pipe),
            None => drain(std::io::empty()),
        };
        let stderr = match child.stderr.take() {
            Some(pipe) => drain(pipe),
            None => drain(std::io::empty()),
        };
        Running {
            child,
            stdout,
            stderr,
            command: format!("{:?}", self.command),
            deadline: Instant::now() + self.timeout,
            dir: self.dir,
        }
    }
}

/// A run that has begun.
pub struct Running {
    child: Child,
    stdout: JoinHandle<Vec<u8>>,
    stderr: JoinHandle<Vec<u8>>,
    command: String,
    deadline: Instant,
    dir: TempDir,
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The directory it runs in.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills it at once, with SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Finished {
        let mut in_time = true;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                break status;
            }
            if in_time && Instant::now() > self.deadline {
                in_time = false;
                self.kill();
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let finished = Finished {
            status: status.code().unwrap_or(-1),
            stdout: collect(self.stdout),
            stderr: collect(self.stderr),
            command: self.command,
            dir: self.dir,
        };
        assert!(in_time, "not finished in time, and killed: {finished}");
        finished
    }
}

/// How a run ended. Its `Display` shows everything, for assertion messages.
pub struct Finished {
    /// The exit status; -1 if a signal ended it.
    pub status: i32,
    /// All of stdout.
    pub stdout: String,
    /// All of stderr.
    pub stderr: String,
    command: String,
    dir: TempDir,
}

impl Finished {
    /// The command, with its environment.
    pub fn command(&self) -> &str {
        &self.command
    }

    /// A path below the directory it ran in, which lives as long as this value.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}\nended with status {}\n--- stdout\n{}\n--- stderr\n{}",
            self.command, self.status, self.stdout, self.stderr
        )
    }
}

fn drain(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes)
            .expect("its output can be read");
        bytes
    })
}

fn collect(reader: JoinHandle<Vec<u8>>) -> String {
    let bytes = reader.join().expect("the reader does not panic");
    String::from_utf8_lossy(&bytes).into_owned()
}
