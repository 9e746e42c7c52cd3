//! What can go wrong with a throw-away cluster, each with the command line and the end of the server's log.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use thiserror::Error;

use super::installed::InstallError;

/// What can go wrong with a throw-away cluster.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// The binaries are not usable.
    #[error("cannot use the server programs in {}", bin_dir.display())]
    Install {
        /// Where they were looked for.
        bin_dir: PathBuf,
        /// Why.
        #[source]
        source: InstallError,
    },
    /// Root has nobody to run a server as.
    #[error(
        "running as root, and there is neither a user \"postgres\" nor a user \"nobody\" to run a server as"
    )]
    NoUnprivilegedUser,
    /// A file or directory of the cluster could not be made, read or written.
    #[error("cannot {operation} {}", path.display())]
    File {
        /// What was tried: `create`, `write`, …
        operation: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// No directory leaves room for a Unix socket's name.
    #[error("{} is too long a name for a Unix socket: set TMPDIR to a shorter one", path.display())]
    SocketPath {
        /// The socket that could not be.
        path: PathBuf,
    },
    /// No TCP port is free on 127.0.0.1.
    #[error("cannot find a free TCP port on 127.0.0.1")]
    Port(#[source] io::Error),
    /// A program could not be started at all.
    #[error("cannot start: {command}")]
    Spawn {
        /// The whole command line.
        command: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// `initdb` failed.
    #[error("{command}\nended with {status}:\n{output}")]
    Initdb {
        /// The whole command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// All it said.
        output: String,
    },
    /// The server ended before it was ready.
    #[error("{command}\nended with {status} before it was ready; the end of its log:\n{log_tail}")]
    Ended {
        /// The whole command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The last lines of the server's log.
        log_tail: String,
    },
    /// The server did not do in time what it was told.
    #[error("{command}\nhas not {expected} within {} s; the end of its log:\n{log_tail}", waited.as_secs())]
    Late {
        /// The whole command line.
        command: String,
        /// `become ready` or `stopped`.
        expected: &'static str,
        /// For how long we waited.
        waited: Duration,
        /// The last lines of the server's log.
        log_tail: String,
    },
    /// A signal could not be sent to the postmaster.
    #[error("cannot send {signal} to the server with process id {pid}")]
    Signal {
        /// Which signal.
        signal: Signal,
        /// To whom.
        pid: Pid,
        /// Why.
        #[source]
        source: nix::Error,
    },
}

/// The command line, for people.
pub(super) fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

pub(super) fn file_error<'a>(
    operation: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> ClusterError + 'a {
    move |source| ClusterError::File {
        operation,
        path: path.to_owned(),
        source,
    }
}

pub(super) fn spawn_error(command: &Command) -> impl FnOnce(io::Error) -> ClusterError {
    let command = shown(command);
    move |source| ClusterError::Spawn { command, source }
}
