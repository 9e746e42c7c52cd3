//! Finding and running Postgres' own client programs: `pg_dump` above all.
//!
//! The newest one that is found is used: a `pg_dump` reads every older server, but refuses a newer one. It learns where
//! to connect, and the password, from its environment, never from its arguments, which everybody on the machine can read;
//! and of our own environment no `PG*` variable reaches it, since what they said is in the connection string by now.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::process::{ChildStdout, Command};

use super::conninfo::{Conninfo, Environment, Place, RootSource};
use super::stream::Peer;
use crate::model::ServerVersion;

/// Names the only directories to look in, separated by `:`.
pub const BIN_VARIABLE: &str = "PGCONVOY_PG_BIN";

/// Tells a program that is ourselves what libpq has no variable for: TCP's watch over the connection, as a connection string.
pub const TCP_VARIABLE: &str = "PGCONVOY_TCP";

/// How long a program may take to say its version.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);

/// A client program that was found and runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientTool {
    /// Its name: `pg_dump`.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its version.
    pub version: ServerVersion,
}

/// `pg_dump 15.18 (/usr/lib/postgresql/15/bin/pg_dump)`.
impl fmt::Display for ClientTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        write!(f, "{} {} ({path})", self.name, self.version)
    }
}

/// What a search found, kept for the message if nothing suits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// The program's name.
    pub name: String,
    /// Directories that were looked in, in order.
    pub looked_in: Vec<PathBuf>,
    /// Programs that run, the newest first.
    pub found: Vec<ClientTool>,
    /// Programs that don't, and why.
    pub unusable: Vec<(PathBuf, String)>,
}

/// Why a client program cannot be used, or did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum ClientToolError {
    /// There is none, or none that is new enough.
    #[error("{search} To read a server of version {needed}, {} {} or newer is needed: install the package postgresql-client-{}, or name a directory in {BIN_VARIABLE}", .search.name, .needed.major(), .needed.major())]
    NoneSuits {
        /// What was found where.
        search: Box<Search>,
        /// The server's version.
        needed: ServerVersion,
    },
    /// It could not be started.
    #[error("{tool} cannot be started")]
    Start {
        /// Which.
        tool: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It cannot keep to what the connection string requires.
    #[error("{tool} cannot require channel binding (channel_binding), as 13 and newer can")]
    CannotBind {
        /// Which.
        tool: String,
    },
    /// It failed.
    #[error("{tool} failed ({status}); its arguments were: {arguments}; it said:\n{stderr}")]
    Failed {
        /// Which.
        tool: String,
        /// Exit status or signal, in words.
        status: String,
        /// Its arguments, which hold no secret.
        arguments: String,
        /// Everything it wrote to standard error.
        stderr: String,
    },
}

/// `found pg_dump 15.18 (/usr/…) and …, having looked in /…, /….`
impl fmt::Display for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        if self.found.is_empty() {
            write!(f, "no usable {name} was found")?;
        } else {
            let found: Vec<_> = self.found.iter().map(ToString::to_string).collect();
            write!(f, "found only {}", found.join(", "))?;
        }
        for (path, why) in &self.unusable {
            write!(f, "; {} cannot be used: {why}", path.display())?;
        }
        let places: Vec<_> = self
            .looked_in
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        write!(f, "; looked in {}.", places.join(", "))
    }
}

impl Search {
    /// Looks for a program in `PGCONVOY_PG_BIN`, or in `PATH` and where packages put it, and asks each its version.
    pub async fn run(name: &str, environment: &Environment) -> Self {
        let mut search = Self {
            name: name.to_owned(),
            looked_in: directories(environment),
            ..Self::default()
        };
        let mut seen = BTreeSet::new();
        let mut paths = Vec::new();
        for directory in &search.looked_in {
            let path = directory.join(name);
            // The same program by another name, or nothing there.
            let Ok(real) = path.canonicalize() else {
                continue;
            };
            // Debian's wrapper chooses a version of its own by the environment; what it wraps is found elsewhere.
            if seen.insert(real.clone()) && real.file_name() != Some(OsStr::new("pg_wrapper")) {
                paths.push(path);
            }
        }
        let versions = join_all(paths.iter().map(|path| ask_version(path))).await;
        for (path, version) in paths.into_iter().zip(versions) {
            match version {
                Ok(version) => search.found.push(ClientTool {
                    name: name.to_owned(),
                    path,
                    version,
                }),
                Err(why) => search.unusable.push((path, why)),
            }
        }
        // Stable: of two equals the one that was found first is used.
        search
            .found
            .sort_by_key(|tool| std::cmp::Reverse(tool.version));
        search
    }

    /// The one for servers of which the newest is of version `needed`: not older than that, so that it can read them all, and
    /// otherwise the oldest there is, because a newer one may write SQL that the others do not know yet.
    pub fn closest_for(self, needed: ServerVersion) -> Result<ClientTool, ClientToolError> {
        let majors = self.found.iter().map(|tool| tool.version.major());
        let closest = majors.filter(|major| *major >= needed.major()).min();
        let is_closest = |tool: &&ClientTool| Some(tool.version.major()) == closest;
        match self.found.iter().find(is_closest).cloned() {
            Some(tool) => Ok(tool),
            None => self.newest_for(needed),
        }
    }

    /// The one of this major version.
    pub fn of_major(&self, major: u32) -> Option<ClientTool> {
        let mut found = self.found.iter();
        found.find(|tool| tool.version.major() == major).cloned()
    }

    /// The newest one, unless a server of version `needed` is too new for it.
    pub fn newest_for(self, needed: ServerVersion) -> Result<ClientTool, ClientToolError> {
        match self.found.first() {
            Some(tool) if tool.version.major() >= needed.major() => Ok(tool.clone()),
            _ => Err(ClientToolError::NoneSuits {
                search: Box::new(self),
                needed,
            }),
        }
    }
}

fn directories(environment: &Environment) -> Vec<PathBuf> {
    if let Some(named) = environment.non_empty(BIN_VARIABLE) {
        return std::env::split_paths(named)
            .filter(|path| !path.as_os_str().is_empty())
            .collect();
    }
    let path = environment.variable("PATH").unwrap_or_default();
    std::env::split_paths(path)
        .filter(|path| path.is_absolute())
        .chain(packaged(Path::new("/usr/lib/postgresql"), ""))
        .chain(packaged(Path::new("/usr"), "pgsql-"))
        .collect()
}

/// `bin` in every directory whose name begins so: where Debian's and Red Hat's packages are.
fn packaged(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.starts_with(prefix))
        })
        .map(|entry| entry.path().join("bin"))
        .filter(|bin| bin.is_dir())
        .collect();
    found.sort();
    found
}

async fn ask_version(path: &Path) -> Result<ServerVersion, String> {
    let mut command = Command::new(path);
    command.arg("--version");
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(VERSION_TIMEOUT, command.output())
        .await
        .map_err(|_| "it does not say its version in 10 s".to_owned())?
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "--version failed ({}): {}",
            in_words(output.status),
            stderr.trim()
        ));
    }
    parse_version(&text).ok_or_else(|| format!("--version said \"{}\"", text.trim()))
}

/// `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`: the word behind the parenthesis; `18beta1` is 18.0.
fn parse_version(text: &str) -> Option<ServerVersion> {
    let (_, behind) = text.split_once("(PostgreSQL) ")?;
    let mut numbers = behind.split_whitespace().next()?.split('.').map(|part| {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        part[..digits].parse::<u32>().ok()
    });
    let major = numbers.next()??;
    let second = numbers.next().flatten().unwrap_or(0);
    let third = numbers.next().flatten().unwrap_or(0);
    // Before 10, the major version had two parts.
    let number = if major >= 10 {
        major.checked_mul(10_000)?.checked_add(second)?
    } else {
        major * 10_000 + second.checked_mul(100)?.checked_add(third)?
    };
    Some(ServerVersion(number))
}

/// The environment that tells a client program where to connect. It holds the password, so it cannot be printed.
#[derive(Clone, Default)]
pub struct ChildEnvironment {
    variables: Vec<(&'static str, String)>,
    system_roots: bool,
    tcp: String,
}

impl fmt::Debug for ChildEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.variables.iter().map(|(name, _)| *name).collect();
        f.debug_tuple("ChildEnvironment").field(&names).finish()
    }
}

impl ChildEnvironment {
    /// For a program that must reach the very server at the other end of a connection of ours.
    pub fn new(conninfo: &Conninfo, peer: &Peer) -> Self {
        let mut variables: Vec<(&'static str, String)> = conninfo.child_settings.clone();
        pin_settings(&mut variables);
        let mut set = |name, value: String| variables.push((name, value));
        match &peer.host.place {
            Place::Unix { directory } => set("PGHOST", directory.display().to_string()),
            Place::Tcp { host, address } => {
                set("PGHOST", host.clone().unwrap_or_default());
                if let Some(address) = peer.address.or(*address) {
                    set("PGHOSTADDR", address.to_string());
                }
            }
        }
        set("PGPORT", peer.host.port.to_string());
        set("PGUSER", conninfo.user.clone());
        set("PGDATABASE", conninfo.database.clone());
        set("PGSSLMODE", conninfo.tls.mode.to_string());
        // 0 is without limit.
        let timeout = conninfo.connect_timeout.unwrap_or_default();
        set("PGCONNECT_TIMEOUT", timeout.as_secs().to_string());
        if let Some(password) = &peer.host.password {
            set("PGPASSWORD", password.expose().to_owned());
        }
        Self {
            variables,
            system_roots: conninfo.tls.root == RootSource::System,
            tcp: conninfo.tcp.to_string(),
        }
    }

    /// The same with settings switched off in the program's session, which its role must be allowed to do.
    #[must_use]
    pub fn switching_off(mut self, settings: &[String]) -> Self {
        for name in settings {
            add_options(&mut self.variables, &format!("-c {name}=off"));
        }
        self
    }

    /// The variables for a program that is ourselves: what libpq has no variable for as well.
    pub(super) fn for_ourselves(&self) -> Vec<(&'static str, OsString)> {
        let own = [(TCP_VARIABLE, self.tcp.clone())];
        let variables = self.variables.iter().chain(&own);
        variables
            .map(|(name, value)| (*name, OsString::from(value)))
            .collect()
    }

    fn must_bind(&self) -> bool {
        let mut variables = self.variables.iter();
        variables.any(|(name, value)| *name == "PGCHANNELBINDING" && value == "require")
    }

    /// The variables, for a version of the program.
    fn for_version(&self, version: ServerVersion) -> Vec<(&'static str, OsString)> {
        let mut variables: Vec<(&'static str, OsString)> = self
            .variables
            .iter()
            .map(|(name, value)| (*name, OsString::from(value)))
            .collect();
        // "system" is a file name to libpq before 16.
        if self.system_roots
            && version.major() < 16
            && let Some(bundle) = system_bundle()
        {
            variables.retain(|(name, _)| *name != "PGSSLROOTCERT");
            variables.push(("PGSSLROOTCERT", bundle));
        }
        variables
    }
}

/// What `pg_dump` writes depends on these, and it does not set them itself: constants in definitions (bounds of partitions, say) are
/// printed by them. Our own sessions, which run what it wrote, pin them to the same. The last of several options of one name counts.
/// A statement's time limit it lifts itself, but only after its first statement.
fn pin_settings(variables: &mut Vec<(&'static str, String)>) {
    const OPTIONS: &str = "-c standard_conforming_strings=on -c quote_all_identifiers=off \
                           -c timezone=UTC -c bytea_output=hex -c lc_monetary=C -c statement_timeout=0";
    add_options(variables, OPTIONS);
}

fn add_options(variables: &mut Vec<(&'static str, String)>, more: &str) {
    match variables.iter_mut().find(|(name, _)| *name == "PGOPTIONS") {
        Some((_, options)) => {
            options.push(' ');
            options.push_str(more);
        }
        None => variables.push(("PGOPTIONS", more.to_owned())),
    }
}

/// The system's root certificates as one file: OpenSSL's variable, then Debian's, Red Hat's and the BSDs' places.
fn system_bundle() -> Option<OsString> {
    std::env::var_os("SSL_CERT_FILE").or_else(|| {
        [
            "/etc/ssl/certs/ca-certificates.crt",
            "/etc/pki/tls/certs/ca-bundle.crt",
            "/etc/ssl/cert.pem",
        ]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .map(OsString::from)
    })
}

/// What a program that succeeded wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error, whole: warnings.
    pub stderr: String,
}

impl ClientTool {
    /// Runs it to its end, and kills it if the future is dropped. Without a connection, it gets no `PG*` variable at all.
    /// It never asks for a password: there is nobody to answer.
    pub async fn run(
        &self,
        arguments: &[OsString],
        connection: Option<&ChildEnvironment>,
    ) -> Result<Output, ClientToolError> {
        let output = self.command(arguments, connection)?.output().await;
        let output = output.map_err(|source| self.cannot_start(source))?;
        if !output.status.success() {
            return Err(self.failed(arguments, output.status, &output.stderr));
        }
        Ok(Output {
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// The same for output that may be large: it is read while it comes, on a thread of its own. What is not read to its end is thrown
    /// away, so that the program ends by itself.
    pub async fn run_reading<T: Send + 'static>(
        &self,
        arguments: &[OsString],
        connection: Option<&ChildEnvironment>,
        read: impl FnOnce(&mut dyn BufRead) -> T + Send + 'static,
    ) -> Result<(T, String), ClientToolError> {
        let mut command = self.command(arguments, connection)?;
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(|source| self.cannot_start(source))?;
        let output = child.stdout.take().map(ChildStdout::into_owned_fd);
        let output = output.unwrap_or_else(|| Err(ErrorKind::BrokenPipe.into()));
        let output = output.map_err(|source| self.cannot_start(source))?;
        let reading = tokio::task::spawn_blocking(move || {
            let mut output = BufReader::new(File::from(output));
            let read = read(&mut output);
            // What becomes of the rest, the program's own status says.
            let _ = std::io::copy(&mut output, &mut std::io::sink());
            read
        });
        let ended = child.wait_with_output().await;
        let ended = ended.map_err(|source| self.cannot_start(source))?;
        if !ended.status.success() {
            return Err(self.failed(arguments, ended.status, &ended.stderr));
        }
        let read = reading
            .await
            .map_err(|error| self.cannot_start(error.into()))?;
        Ok((read, String::from_utf8_lossy(&ended.stderr).into_owned()))
    }

    pub(super) fn command(
        &self,
        arguments: &[OsString],
        connection: Option<&ChildEnvironment>,
    ) -> Result<Command, ClientToolError> {
        // libpq before 13 would pass over the setting, and hand out the password.
        if self.version.major() < 13 && connection.is_some_and(ChildEnvironment::must_bind) {
            let tool = self.to_string();
            return Err(ClientToolError::CannotBind { tool });
        }
        let mut command = Command::new(&self.path);
        command
            .args(arguments)
            .stdin(Stdio::null())
            // What a terminal sends is for us, who may go on without it.
            .process_group(0)
            .kill_on_drop(true);
        without_libpq_variables(&mut command);
        if let Some(connection) = connection {
            command
                .arg("--no-password")
                .envs(connection.for_version(self.version));
        }
        Ok(command)
    }

    pub(super) fn cannot_start(&self, source: std::io::Error) -> ClientToolError {
        ClientToolError::Start {
            tool: self.to_string(),
            source,
        }
    }

    pub(super) fn failed(
        &self,
        arguments: &[OsString],
        status: ExitStatus,
        stderr: &[u8],
    ) -> ClientToolError {
        let arguments: Vec<_> = arguments
            .iter()
            .map(|argument| format!("{:?}", argument.to_string_lossy()))
            .collect();
        ClientToolError::Failed {
            tool: self.to_string(),
            status: in_words(status),
            arguments: arguments.join(" "),
            stderr: String::from_utf8_lossy(stderr).into_owned(),
        }
    }
}

/// A program must not connect to where our own environment says, nor see the passwords in it.
pub(super) fn without_libpq_variables(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
}

pub(super) fn in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "for an unknown reason".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn versions_are_read_in_every_form() {
        for (text, version) in [
            (
                "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n",
                Some(150_018),
            ),
            ("pg_dump (PostgreSQL) 18.0\n", Some(180_000)),
            ("pg_dump (PostgreSQL) 19beta2\n", Some(190_000)),
            ("pg_dump (PostgreSQL) 20devel\n", Some(200_000)),
            ("pg_dump (PostgreSQL) 9.6.24\n", Some(90_624)),
            ("pg_dump (PostgreSQL) 99999999999.1\n", None),
            ("pg_dump (PostgreSQL) 429499.1\n", None),
            ("pg_dump (PostgreSQL) x\n", None),
            ("pg_dump 15.18\n", None),
            ("", None),
        ] {
            assert_eq!(parse_version(text), version.map(ServerVersion), "{text}");
        }
    }

    /// A directory with a program that says that it is of some version.
    fn directory_with(says: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("pg_dump");
        std::fs::write(&path, format!("#!/bin/sh\n{says}\n")).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
            .expect("made executable");
        directory
    }

    #[tokio::test]
    async fn the_newest_is_found_and_an_older_one_refused() {
        let older = directory_with("echo 'pg_dump (PostgreSQL) 14.2'");
        let newer = directory_with("echo 'pg_dump (PostgreSQL) 16.1'");
        let broken = directory_with("echo 'lib is missing' >&2; exit 3");
        let path = std::env::join_paths([older.path(), broken.path(), newer.path(), older.path()])
            .expect("no colon in a path");
        let environment = Environment::new([(BIN_VARIABLE, path.to_str().expect("UTF-8"))]);
        let search = Search::run("pg_dump", &environment).await;

        let versions: Vec<_> = search.found.iter().map(|tool| tool.version.0).collect();
        assert_eq!(versions, [160_001, 140_002]);
        let chosen = search
            .clone()
            .newest_for(ServerVersion(160_009))
            .expect("16 reads 16");
        assert_eq!(chosen.path, newer.path().join("pg_dump"));

        let message = search
            .newest_for(ServerVersion(170_000))
            .expect_err("16 doesn't read 17")
            .to_string();
        for part in [
            "found only pg_dump 16.1",
            "pg_dump 14.2",
            "exit status 3",
            "lib is missing",
            "pg_dump 17 or newer",
            "postgresql-client-17",
            BIN_VARIABLE,
        ] {
            assert!(message.contains(part), "{part}: {message}");
        }
    }

    #[tokio::test]
    async fn only_the_named_directories_are_looked_in() {
        let empty = tempfile::tempdir().expect("a directory");
        let environment = Environment::new([
            (BIN_VARIABLE, empty.path().to_str().expect("UTF-8")),
            ("PATH", "/usr/bin:/bin"),
        ]);
        let search = Search::run("pg_dump", &environment).await;
        assert_eq!(search.looked_in, [empty.path()]);
        assert!(search.found.is_empty());
        let message = search
            .newest_for(ServerVersion(150_000))
            .expect_err("there is none")
            .to_string();
        assert!(
            message.starts_with("no usable pg_dump was found"),
            "{message}"
        );
    }

    fn environment_of(conninfo: &str, address: Option<&str>) -> Vec<(&'static str, String)> {
        let environment = Environment::new([("PGCLIENTENCODING", "latin1"), ("PGAPPNAME", "app")])
            .with_os_user("me");
        let conninfo = Conninfo::resolve(conninfo, &environment).expect("resolves");
        let peer = Peer {
            host: conninfo.hosts.last().expect("one at least").clone(),
            address: address.map(|address| address.parse().expect("an address")),
            encrypted: false,
            listener: None,
        };
        let mut variables = ChildEnvironment::new(&conninfo, &peer).variables;
        variables.sort();
        variables
    }

    #[test]
    fn a_child_is_told_the_one_server_that_we_are_connected_to() {
        let variables = environment_of(
            "postgres://u:se%20cret@a:1,b:2/d?sslmode=require&sslrootcert=/r.crt&options=-cx%3D1&target_session_attrs=primary&connect_timeout=7",
            Some("192.0.2.2"),
        );
        let expected = [
            ("PGAPPNAME", "app"),
            ("PGCONNECT_TIMEOUT", "7"),
            ("PGDATABASE", "d"),
            ("PGHOST", "b"),
            ("PGHOSTADDR", "192.0.2.2"),
            (
                "PGOPTIONS",
                "-cx=1 -c standard_conforming_strings=on -c quote_all_identifiers=off \
                     -c timezone=UTC -c bytea_output=hex -c lc_monetary=C -c statement_timeout=0",
            ),
            ("PGPASSWORD", "se cret"),
            ("PGPORT", "2"),
            ("PGSSLMODE", "require"),
            ("PGSSLROOTCERT", "/r.crt"),
            ("PGTARGETSESSIONATTRS", "primary"),
            ("PGUSER", "u"),
        ]
        .map(|(name, value)| (name, value.to_owned()));
        assert_eq!(variables, expected);

        let variables = environment_of("host=/run/pg port=6 dbname=d", None);
        assert!(variables.contains(&("PGHOST", "/run/pg".to_owned())));
        assert!(
            variables
                .iter()
                .all(|(name, _)| *name != "PGPASSWORD" && *name != "PGHOSTADDR")
        );
    }

    #[tokio::test]
    async fn a_program_that_cannot_bind_its_session_is_given_no_password() {
        let run = async |major: u32, binding: &str| {
            let tool = ClientTool {
                name: "true".to_owned(),
                path: "/bin/true".into(),
                version: ServerVersion(major * 10_000),
            };
            let text = format!("host=h password=hush channel_binding={binding}");
            let environment = Environment::default().with_os_user("me");
            let conninfo = Conninfo::resolve(&text, &environment).expect("resolves");
            let peer = Peer {
                host: conninfo.hosts[0].clone(),
                address: None,
                encrypted: true,
                listener: None,
            };
            tool.run(&[], Some(&ChildEnvironment::new(&conninfo, &peer)))
                .await
        };
        assert!(run(13, "require").await.is_ok());
        assert!(run(12, "prefer").await.is_ok());
        let refused = run(12, "require").await;
        assert!(
            matches!(&refused, Err(ClientToolError::CannotBind { tool }) if tool.starts_with("true 12")),
            "{refused:?}"
        );
    }

    #[test]
    fn what_is_switched_off_comes_last() {
        let mut child = ChildEnvironment::default();
        pin_settings(&mut child.variables);
        let pinned = child.variables.clone();
        let child = child.switching_off(&[]);
        assert_eq!(child.variables, pinned);
        let child = child.switching_off(&["zero_damaged_pages".to_owned()]);
        let (_, options) = &child.variables[0];
        assert_eq!(
            options.strip_prefix(&*pinned[0].1),
            Some(" -c zero_damaged_pages=off")
        );
    }

    #[test]
    fn an_old_program_gets_the_systems_roots_as_a_file() {
        let environment = Environment::default().with_os_user("me");
        let conninfo =
            Conninfo::resolve("host=h sslrootcert=system", &environment).expect("resolves");
        let peer = Peer {
            host: conninfo.hosts[0].clone(),
            address: None,
            encrypted: true,
            listener: None,
        };
        let child = ChildEnvironment::new(&conninfo, &peer);
        let roots = |version| {
            child
                .for_version(ServerVersion(version))
                .into_iter()
                .filter(|(name, _)| *name == "PGSSLROOTCERT")
                .map(|(_, value)| value)
                .collect::<Vec<_>>()
        };
        assert_eq!(roots(160_000), ["system"]);
        if let Some(bundle) = system_bundle() {
            assert_eq!(roots(150_000), [bundle]);
        }
    }

    #[test]
    fn no_password_in_debug_output() {
        let environment = Environment::default().with_os_user("me");
        let conninfo = Conninfo::resolve("host=h password=hush", &environment).expect("resolves");
        let peer = Peer {
            host: conninfo.hosts[0].clone(),
            address: None,
            encrypted: false,
            listener: None,
        };
        let child = ChildEnvironment::new(&conninfo, &peer);
        assert!(!format!("{child:?} {conninfo:?} {peer:?} {conninfo}").contains("hush"));
        assert!(format!("{child:?}").contains("PGPASSWORD"));
    }

    #[tokio::test]
    async fn a_failure_shows_everything_that_was_said() {
        let directory = directory_with("echo one >&2; echo \"$PGHOST $2\" >&2; exit 4");
        let tool = ClientTool {
            name: "pg_dump".to_owned(),
            path: directory.path().join("pg_dump"),
            version: ServerVersion(150_000),
        };
        let environment = Environment::default().with_os_user("me");
        let conninfo = Conninfo::resolve("host=h", &environment).expect("resolves");
        let peer = Peer {
            host: conninfo.hosts[0].clone(),
            address: None,
            encrypted: false,
            listener: None,
        };
        let child = ChildEnvironment::new(&conninfo, &peer);
        match tool.run(&["-s".into()], Some(&child)).await {
            Err(ClientToolError::Failed { status, stderr, .. }) => {
                assert_eq!(status, "exit status 4");
                assert_eq!(stderr, "one\nh --no-password\n");
            }
            other => panic!("{other:?}"),
        }
    }
}
