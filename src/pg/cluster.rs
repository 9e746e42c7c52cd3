//! Throw-away Postgres clusters: for `pgconvoy demo`, and for the tests.
//!
//! A cluster is one directory, and everything it owns is inside: data, Unix socket, log. The postmaster is our own
//! child, not `pg_ctl`'s, so that its death is seen at once and the log can be shown with it. It is in a process group of its
//! own, so that a Ctrl-C meant for the move doesn't stop the servers under it.
//!
//! ```text
//!   we ──owns──▶ postmaster          dropped, or panicking: we stop it and remove the directory
//!    └──pipe───▶ keeper (sh)         killed, even with SIGKILL: the pipe closes, and the keeper does the same
//! ```
//!
//! Postgres refuses to run as root; there, files and processes belong to `postgres` if there is such a user, else to
//! `nobody`. Everything blocks: call it from `spawn_blocking`. What a throw-away cluster holds is worth nothing, so it
//! runs without fsync; nothing here is fit for a cluster that somebody means to keep.

mod error;
mod home;
mod installed;

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub use error::ClusterError;
pub use installed::{InstallError, ServerInstall, installed_servers, servers_below};

use crate::model::ServerVersion;
use error::{file_error, shown, spawn_error};
use home::Home;

const LONGEST_START: Duration = Duration::from_secs(60);
const LONGEST_STOP: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);
const LOG_TAIL_LINES: usize = 40;
/// A port that was free a moment ago may be taken by the time the server binds it.
const PORT_ATTEMPTS: u32 = 5;

/// Not one of these settings would be right for data that matters.
const SPEED_SETTINGS: [(&str, &str); 4] = [
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("synchronous_commit", "off"),
    ("max_wal_size", "4GB"),
];

/// How a server is stopped: the modes of `pg_ctl stop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Disconnects everybody and writes a checkpoint (SIGINT).
    Fast,
    /// Like a crash: the next start has to recover (SIGQUIT).
    Immediate,
}

/// What kind of cluster to make.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// Directory of `initdb` and `postgres`.
    pub bin_dir: PathBuf,
    /// A word in the directory's name, `pgconvoy-<purpose>-…`, that tells an operator what it is.
    pub purpose: String,
    /// Name of the bootstrap superuser.
    pub superuser: String,
    /// The superuser's password, for authentication methods that ask for one.
    pub password: Option<String>,
    /// Encoding of the template databases, in the server's spelling.
    pub encoding: String,
    /// Locale of the template databases, for all categories.
    pub locale: String,
    /// Whether data pages carry checksums.
    pub data_checksums: bool,
    /// Authentication method for all connections: `trust`, `scram-sha-256`, …
    pub auth_method: String,
    /// Whether the server listens on 127.0.0.1 as well as on its Unix socket.
    pub listen_tcp: bool,
    /// Further settings (`postgresql.conf`); they win over ours. Values are quoted here.
    pub settings: Vec<(String, String)>,
    /// Further arguments for `initdb`.
    pub initdb_args: Vec<String>,
}

impl ClusterOptions {
    /// UTF-8, locale C, no checksums, everybody trusted, Unix socket only.
    pub fn new(bin_dir: impl Into<PathBuf>) -> Self {
        Self {
            bin_dir: bin_dir.into(),
            purpose: "demo".to_owned(),
            superuser: "postgres".to_owned(),
            password: None,
            encoding: "UTF8".to_owned(),
            locale: "C".to_owned(),
            data_checksums: false,
            auth_method: "trust".to_owned(),
            listen_tcp: false,
            settings: Vec::new(),
            initdb_args: Vec::new(),
        }
    }

    /// Adds a setting.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A running (or stopped) cluster, which ends with this value.
#[derive(Debug)]
pub struct ThrowawayCluster {
    install: ServerInstall,
    superuser: String,
    listen_tcp: bool,
    port: u16,
    home: Home,
    postmaster: Option<Child>,
}

impl ThrowawayCluster {
    /// Makes a cluster and starts its server; returns when it accepts connections.
    pub fn start(options: &ClusterOptions) -> Result<Self, ClusterError> {
        let cluster = Self::without_data(options)?;
        cluster.initdb(options)?;
        cluster.start_first(options)
    }

    /// The same with a data directory that `fill` makes, and not `initdb`, which takes most of the time: a copy of one
    /// that was made with these options, belongs to the server's user, and has a system identifier of its own.
    pub fn start_filled(
        options: &ClusterOptions,
        fill: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<Self, ClusterError> {
        let cluster = Self::without_data(options)?;
        let data_dir = cluster.data_dir();
        fill(&data_dir).map_err(file_error("fill", &data_dir))?;
        cluster.start_first(options)
    }

    fn without_data(options: &ClusterOptions) -> Result<Self, ClusterError> {
        let install =
            ServerInstall::probe(&options.bin_dir).map_err(|source| ClusterError::Install {
                bin_dir: options.bin_dir.clone(),
                source,
            })?;
        Ok(Self {
            home: Home::create(&options.purpose)?,
            install,
            superuser: options.superuser.clone(),
            listen_tcp: options.listen_tcp,
            // Any number will do where the socket directory is private: it is only a part of the socket's name.
            port: 5432,
            postmaster: None,
        })
    }

    fn start_first(mut self, options: &ClusterOptions) -> Result<Self, ClusterError> {
        self.configure(&settings_of(options))?;
        self.start_on_free_port()?;
        Ok(self)
    }

    /// `keyword=value` conninfo over the Unix socket, as the superuser.
    pub fn conninfo(&self, database: &str) -> String {
        self.conninfo_at(&self.socket_dir().display().to_string(), database)
    }

    /// `keyword=value` conninfo over TCP, as the superuser; of use only with [`ClusterOptions::listen_tcp`].
    pub fn tcp_conninfo(&self, database: &str) -> String {
        self.conninfo_at("127.0.0.1", database)
    }

    fn conninfo_at(&self, host: &str, database: &str) -> String {
        format!(
            "host={} port={} user={} dbname={}",
            conninfo_value(host),
            self.port,
            conninfo_value(&self.superuser),
            conninfo_value(database),
        )
    }

    /// The directory of the Unix socket.
    pub fn socket_dir(&self) -> &Path {
        &self.home.path
    }

    /// The cluster's own directory. What is put in here goes with the cluster.
    pub fn dir(&self) -> &Path {
        &self.home.path
    }

    /// The data directory (`PGDATA`).
    pub fn data_dir(&self) -> PathBuf {
        self.home.path.join("data")
    }

    /// The port: of TCP, and in the socket's name. It stays the same over restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Name of the bootstrap superuser.
    pub fn superuser(&self) -> &str {
        &self.superuser
    }

    /// Directory of the server's programs.
    pub fn bin_dir(&self) -> &Path {
        &self.install.bin_dir
    }

    /// Version of the server's programs.
    pub fn version(&self) -> ServerVersion {
        self.install.version
    }

    /// The postmaster's process id, while it runs.
    pub fn postmaster_pid(&self) -> Option<u32> {
        self.postmaster.as_ref().map(Child::id)
    }

    /// The last lines of the server's log; empty if there is none.
    pub fn log_tail(&self) -> String {
        let bytes = fs::read(self.log_path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }

    /// Appends settings to `postgresql.conf`; they count from the next start (or [`Self::reload`]) on.
    pub fn configure(&self, settings: &[(String, String)]) -> Result<(), ClusterError> {
        let mut lines = String::from("\n");
        for (name, value) in settings {
            let value = value.replace('\'', "''");
            let _infallible = writeln!(lines, "{name} = '{value}'");
        }
        let path = self.data_dir().join("postgresql.conf");
        fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(lines.as_bytes()))
            .map_err(file_error("append to", &path))
    }

    /// Writes a file into the data directory, readable for the server alone (it refuses a TLS key that others can
    /// read). Returns its path. `pg_hba.conf` and certificates go this way.
    pub fn write_data_file(&self, name: &str, content: &[u8]) -> Result<PathBuf, ClusterError> {
        let path = self.data_dir().join(name);
        self.home.write(&path, content)?;
        Ok(path)
    }

    /// Makes a directory inside the cluster's own, which the server may write to: for a tablespace.
    pub fn create_dir(&self, name: &str) -> Result<PathBuf, ClusterError> {
        let path = self.home.path.join(name);
        self.home
            .make_dir(&path)
            .map_err(file_error("create", &path))?;
        Ok(path)
    }

    /// Has the server read its configuration files again.
    pub fn reload(&self) -> Result<(), ClusterError> {
        self.signal(Signal::SIGHUP)
    }

    /// Stops the server; the cluster stays, and can be started again. Does nothing if it is stopped already.
    pub fn stop(&mut self, mode: StopMode) -> Result<(), ClusterError> {
        let signal = match mode {
            StopMode::Fast => Signal::SIGINT,
            StopMode::Immediate => Signal::SIGQUIT,
        };
        self.signal(signal)?;
        let began = Instant::now();
        while let Some(postmaster) = &mut self.postmaster {
            // An error here means that the child has been waited for: it is gone either way.
            if !matches!(postmaster.try_wait(), Ok(None)) {
                self.postmaster = None;
            } else if began.elapsed() > LONGEST_STOP {
                return Err(self.late("stopped", LONGEST_STOP));
            } else {
                sleep(POLL);
            }
        }
        Ok(())
    }

    /// Stops the server and starts it again, on the same port.
    pub fn restart(&mut self, mode: StopMode) -> Result<(), ClusterError> {
        self.stop(mode)?;
        self.resume()
    }

    /// Starts the server of a stopped cluster again. Does nothing if it runs.
    pub fn resume(&mut self) -> Result<(), ClusterError> {
        if self.postmaster.is_some() {
            return Ok(());
        }
        let log = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(self.log_path())
            .map_err(file_error("open", &self.log_path()))?;
        let stderr = log
            .try_clone()
            .map_err(file_error("open", &self.log_path()))?;
        let mut command = self.postmaster_command();
        command.stdout(log).stderr(stderr).process_group(0);
        self.postmaster = Some(command.spawn().map_err(spawn_error(&command))?);
        self.wait_until_ready()
    }

    fn log_path(&self) -> PathBuf {
        self.home.path.join("log")
    }

    fn initdb(&self, options: &ClusterOptions) -> Result<(), ClusterError> {
        let mut command = self.home.command(&self.install.program("initdb"));
        command
            .arg("--no-sync")
            .arg("--pgdata")
            .arg(self.data_dir())
            .args(["--username", &options.superuser])
            .args(["--encoding", &options.encoding])
            .args(["--locale", &options.locale])
            .args(["--auth", &options.auth_method]);
        if options.data_checksums {
            command.arg("--data-checksums");
        } else if self.version().major() >= 18 {
            command.arg("--no-data-checksums");
        }
        if let Some(password) = &options.password {
            let path = self.home.path.join("password");
            self.home.write(&path, password.as_bytes())?;
            command.arg("--pwfile").arg(path);
        }
        command.args(&options.initdb_args);
        let output = command
            .stdin(Stdio::null())
            .output()
            .map_err(spawn_error(&command))?;
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].concat();
        Err(ClusterError::Initdb {
            command: shown(&command),
            status: output.status,
            output: String::from_utf8_lossy(&said).into_owned(),
        })
    }

    fn start_on_free_port(&mut self) -> Result<(), ClusterError> {
        let mut attempt = 1;
        loop {
            if self.listen_tcp {
                self.port = free_port()?;
            }
            match self.resume() {
                Err(ClusterError::Ended { log_tail, .. })
                    if self.listen_tcp
                        && attempt < PORT_ATTEMPTS
                        && log_tail.contains("Address already in use") =>
                {
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    fn postmaster_command(&self) -> Command {
        let mut command = self.home.command(&self.install.program("postgres"));
        let listen = if self.listen_tcp { "127.0.0.1" } else { "" };
        command
            .arg("-D")
            .arg(self.data_dir())
            .args(["-p", &self.port.to_string()])
            .args(["-c", &format!("listen_addresses={listen}")])
            .arg("-c")
            .arg(format!(
                "unix_socket_directories={}",
                self.home.path.display()
            ));
        command
    }

    /// The postmaster itself says in its eighth line when it is ready: `pg_ctl` waits for the same.
    fn wait_until_ready(&mut self) -> Result<(), ClusterError> {
        let status_file = self.data_dir().join("postmaster.pid");
        let began = Instant::now();
        while let Some(postmaster) = &mut self.postmaster {
            let pid = postmaster.id().to_string();
            if let Ok(Some(status)) = postmaster.try_wait() {
                self.postmaster = None;
                return Err(ClusterError::Ended {
                    command: shown(&self.postmaster_command()),
                    status,
                    log_tail: self.log_tail(),
                });
            }
            let text = fs::read_to_string(&status_file).unwrap_or_default();
            let mut lines = text.lines().map(str::trim);
            if lines.next() == Some(&pid) && lines.nth(6) == Some("ready") {
                return Ok(());
            }
            if began.elapsed() > LONGEST_START {
                return Err(self.late("become ready", LONGEST_START));
            }
            sleep(POLL);
        }
        Ok(())
    }

    fn late(&self, expected: &'static str, waited: Duration) -> ClusterError {
        ClusterError::Late {
            command: shown(&self.postmaster_command()),
            expected,
            waited,
            log_tail: self.log_tail(),
        }
    }

    fn signal(&self, signal: Signal) -> Result<(), ClusterError> {
        let Some(pid) = self
            .postmaster_pid()
            .and_then(|pid| i32::try_from(pid).ok())
        else {
            return Ok(());
        };
        let pid = Pid::from_raw(pid);
        // While we haven't waited for our child, its process id cannot be given to anyone else.
        kill(pid, signal).map_err(|source| ClusterError::Signal {
            signal,
            pid,
            source,
        })
    }
}

impl Drop for ThrowawayCluster {
    fn drop(&mut self) {
        let stopped = self.stop(StopMode::Immediate);
        if let (Err(_), Some(mut postmaster)) = (stopped, self.postmaster.take()) {
            // There is nobody to tell in a destructor, and SIGKILL leaves nothing but files, which go next.
            let _best_effort = postmaster.kill();
            let _best_effort = postmaster.wait();
        }
    }
}

/// Ours first: with two settings of the same name, the server takes the later one.
fn settings_of(options: &ClusterOptions) -> Vec<(String, String)> {
    let speed = SPEED_SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    speed
        .into_iter()
        .chain(options.settings.iter().cloned())
        .collect()
}

fn free_port() -> Result<u16, ClusterError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(ClusterError::Port)
}

fn conninfo_value(value: &str) -> String {
    let escaped = value.replace('\\', r"\\").replace('\'', r"\'");
    format!("'{escaped}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_conninfo_survive_quotes_and_backslashes() {
        assert_eq!(conninfo_value(r"it's a \ b"), r"'it\'s a \\ b'");
        assert_eq!(conninfo_value(""), "''");
    }
}
