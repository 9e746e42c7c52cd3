//! Servers for tests, by major version, with databases and psql.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pgconvoy::pg::cluster::{ClusterOptions, ServerInstall, StopMode, ThrowawayCluster};

use super::installed;
use super::template::{self, Holding};

/// Every server there is for tests, the newest first; of equal versions, first one that has the contrib extensions.
pub fn servers() -> Vec<ServerInstall> {
    static FOUND: OnceLock<Vec<ServerInstall>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let below = std::env::var_os("PGCONVOY_TEST_SERVERS").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join(".servers"),
            PathBuf::from,
        );
        installed::servers(&below)
    });
    found.clone()
}

/// The directory of the newest `psql`, `pg_dump` and `pg_restore`.
pub fn newest_tools() -> PathBuf {
    servers()
        .into_iter()
        .find(ServerInstall::has_client_tools)
        .expect("psql, pg_dump and pg_restore are installed (make test installs them)")
        .bin_dir
}

/// The server of a major version; `None`, recorded as a skip of this test, if it is not installed.
pub fn require_server(major: u32) -> Option<ServerInstall> {
    let found = servers()
        .into_iter()
        .find(|install| install.version.major() == major);
    if found.is_none() {
        record_skip(&format!("PostgreSQL {major} is not installed"));
    }
    found
}

/// Records that this test was skipped, and why; fails where no test may be.
pub fn record_skip(reason: &str) {
    let is_set =
        |name| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "false");
    assert!(
        !is_set("CI") && !is_set("PGCONVOY_REQUIRE_ALL_SERVERS"),
        "{reason}, and here no test may be skipped"
    );
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    println!("skipped: {reason}");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("skipped-tests.txt");
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(&path)
        .and_then(|mut file| file.write_all(format!("{test}: {reason}\n").as_bytes()))
        .unwrap_or_else(|error| panic!("cannot record a skip in {}: {error}", path.display()));
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a process id"));
    // It may have ended by itself.
    let _ = kill(pid, signal);
}

/// State and parent of a process.
fn stat(pid: u32) -> Option<(char, u32)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may have anything in it.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?))
}

fn children_of(parent: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("/proc");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|(_, of)| of == parent))
        .collect()
}

fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'))
}

/// A running throw-away server.
pub struct Server {
    /// For what is not wrapped here: stop, restart, files, log.
    pub cluster: ThrowawayCluster,
}

impl Server {
    /// Starts a server of a major version with the usual settings, or records a skip.
    pub fn start(major: u32) -> Option<Self> {
        Self::start_with(major, |options| options)
    }

    /// The same with options changed: `|options| ClusterOptions { listen_tcp: true, ..options }`.
    pub fn start_with(
        major: u32,
        change: impl FnOnce(ClusterOptions) -> ClusterOptions,
    ) -> Option<Self> {
        Self::start_holding(major, None, change)
    }

    /// The same with a database that holds a fixture, which is built once for all who ask for the same.
    pub fn start_holding(
        major: u32,
        holding: Option<&Holding>,
        change: impl FnOnce(ClusterOptions) -> ClusterOptions,
    ) -> Option<Self> {
        let install = require_server(major)?;
        let options = change(ClusterOptions {
            purpose: "test".to_owned(),
            ..ClusterOptions::new(&install.bin_dir)
        });
        let cluster = if template::is_for(&options) {
            let made = template::of(&install, holding);
            ThrowawayCluster::start_filled(&options, |data| template::copy(&made, data))
        } else {
            assert!(holding.is_none(), "with these options nothing is kept");
            ThrowawayCluster::start(&options)
        };
        let cluster =
            cluster.unwrap_or_else(|error| panic!("cannot start PostgreSQL {major}: {error}"));
        Some(Self { cluster })
    }

    /// SIGKILL of all its processes, as if the machine had lost its power; it is down afterwards, and recovers when it is resumed.
    pub fn crash(&mut self) {
        let postmaster = self.cluster.postmaster_pid().expect("it runs");
        // One that is stopped starts no other process, and does not notice that these are gone.
        signal(postmaster, Signal::SIGSTOP);
        let children = children_of(postmaster);
        for child in &children {
            signal(*child, Signal::SIGKILL);
        }
        signal(postmaster, Signal::SIGKILL);
        self.cluster.stop(StopMode::Immediate).expect("it is gone");
        let deadline = Instant::now() + Duration::from_secs(20);
        // The next server refuses to start while they have the shared memory.
        while children.iter().any(|child| is_alive(*child)) {
            assert!(Instant::now() < deadline, "{children:?} do not end");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Conninfo of a database, as the superuser, over the Unix socket.
    pub fn conninfo(&self, database: &str) -> String {
        self.cluster.conninfo(database)
    }

    /// Creates an empty database and returns its conninfo.
    pub fn database(&self, name: &str) -> String {
        let quoted = name.replace('"', "\"\"");
        self.psql(
            "postgres",
            &format!("create database \"{quoted}\" template template0"),
        );
        self.conninfo(name)
    }

    /// Runs SQL through the newest psql; what it printed, columns separated by `|`, without the last newline.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        self.try_psql(database, sql)
            .unwrap_or_else(|said| panic!("psql on {database} failed:\n{said}\nin: {sql}"))
    }

    /// The same; what psql said on stderr, if it failed.
    pub fn try_psql(&self, database: &str, sql: &str) -> Result<String, String> {
        self.run_psql(database, sql.as_bytes())
    }

    /// Runs a file of SQL.
    pub fn psql_file(&self, database: &str, path: &Path) -> String {
        let sql = std::fs::read(path)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
        self.run_psql(database, &sql).unwrap_or_else(|said| {
            panic!("psql on {database} failed in {}:\n{said}", path.display())
        })
    }

    /// A command for one of the newest client tools (`pg_dump`, `pg_restore`, …) without anything of our environment.
    pub fn tool(&self, name: &str) -> Command {
        let bin_dir = newest_tools();
        let mut command = Command::new(bin_dir.join(name));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.cluster.dir())
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null());
        command
    }

    /// By way of stdin, because an argument may be at most 128 kB long.
    fn run_psql(&self, database: &str, sql: &[u8]) -> Result<String, String> {
        let mut psql = self
            .tool("psql")
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-f",
                "-",
                "-d",
            ])
            .arg(self.conninfo(database))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("psql starts");
        let mut stdin = psql.stdin.take().expect("piped");
        let finished = std::thread::scope(|scope| {
            // A psql that stops at an error reads no further: then its message is what counts, not our broken pipe.
            scope.spawn(move || drop(stdin.write_all(sql)));
            psql.wait_with_output().expect("psql ends")
        });
        let text = |bytes: &[u8]| {
            String::from_utf8_lossy(bytes)
                .trim_end_matches('\n')
                .to_owned()
        };
        if finished.status.success() {
            Ok(text(&finished.stdout))
        } else {
            Err(text(&finished.stderr))
        }
    }
}
