//! A throw-away server for these tests, whose authentication and certificates are theirs to choose.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use pgconvoy::pg::cluster::ServerInstall;

use crate::support::template;

/// A data directory, removed when dropped. Start servers on it one after the other.
pub struct Cluster {
    directory: tempfile::TempDir,
    bin: PathBuf,
    pub port: u16,
}

/// A running server, stopped when dropped.
pub struct Server<'a> {
    cluster: &'a Cluster,
    process: Child,
}

/// Postgres refuses to run as root, so it runs as the user that its packages create.
fn server_user() -> Option<User> {
    geteuid().is_root().then(|| {
        User::from_name("postgres")
            .expect("the user database can be read")
            .expect("there is a user postgres")
    })
}

fn server_command(program: &Path) -> Command {
    match server_user() {
        None => Command::new(program),
        Some(user) => {
            let mut command = Command::new("setpriv");
            command
                .arg(format!("--reuid={}", user.uid))
                .arg(format!("--regid={}", user.gid))
                .args(["--clear-groups", "--"])
                .arg(program);
            command
        }
    }
}

fn newest_bin() -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .expect("Postgres servers are installed in /usr/lib/postgresql")
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().expect("a server is installed")
}

impl Cluster {
    /// Makes one with these lines as its `pg_hba.conf`. The superuser `postgres` is trusted over the Unix socket.
    pub fn new(hba: &str) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("connect")
            .tempdir_in("/tmp")
            .expect("a directory");
        let cluster = Self {
            bin: newest_bin(),
            port: free_port(),
            directory,
        };
        Self::give_to_server(cluster.path());
        let install = ServerInstall::probe(&cluster.bin).expect("a server");
        let template = template::of(&install, None);
        template::copy(&template, &cluster.data()).expect("a data directory");
        cluster.write(
            "data/pg_hba.conf",
            &format!("local all postgres trust\n{hba}\n"),
        );
        cluster
    }

    /// Also the directory of the Unix socket.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    fn give_to_server(path: &Path) {
        if let Some(user) = server_user() {
            chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("given away");
        }
    }

    /// Writes a file that only the server may read, and returns its path.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, content).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("changed");
        Self::give_to_server(&path);
        path
    }

    /// Starts a server with these settings, and waits until it answers.
    pub fn start(&self, settings: &[(&str, &str)]) -> Server<'_> {
        let mut command = server_command(&self.bin.join("postgres"));
        command.arg("-D").arg(self.data());
        let port = self.port.to_string();
        let directory = self.path().to_str().expect("UTF-8");
        let own = [
            ("port", port.as_str()),
            ("listen_addresses", "127.0.0.1"),
            ("unix_socket_directories", directory),
            ("fsync", "off"),
        ];
        for (name, value) in own.iter().chain(settings) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let log = std::fs::File::create(self.path().join("log")).expect("a log");
        let process = command
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the server starts");
        let server = Server {
            cluster: self,
            process,
        };
        server.wait();
        server
    }
}

impl Server<'_> {
    fn wait(&self) {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(30) {
            let ready = Command::new(self.cluster.bin.join("pg_isready"))
                .arg("-q")
                .arg("-h")
                .arg(self.cluster.path())
                .args(["-p", &self.cluster.port.to_string()])
                .status()
                .expect("pg_isready starts");
            if ready.success() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the server does not start: {}", self.log());
    }

    /// What it wrote to its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.cluster.path().join("log")).unwrap_or_default()
    }

    /// Runs SQL as superuser, over the Unix socket.
    pub fn sql(&self, sql: &str) {
        let status = Command::new(self.cluster.bin.join("psql"))
            .args(["-XqAt", "-U", "postgres", "-d", "postgres", "-h"])
            .arg(self.cluster.path())
            .args(["-p", &self.cluster.port.to_string()])
            .args(["-v", "ON_ERROR_STOP=1", "-c", sql])
            .status()
            .expect("psql starts");
        assert!(status.success(), "{sql}");
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        // Immediate shutdown: nothing here is worth a checkpoint.
        if let Ok(pid) = i32::try_from(self.process.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGQUIT);
        }
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port is free")
        .port()
}
