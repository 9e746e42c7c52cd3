//! Which Postgres servers are installed on this machine, and in which versions.
//!
//! Looks where distributions put them, on `PATH`, and in the directories of programs that `PGCONVOY_PG_BIN` names.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use thiserror::Error;

use crate::model::ServerVersion;

/// Why a directory's programs cannot be used.
#[derive(Debug, Error)]
pub enum InstallError {
    /// The program is not there, or may not be executed.
    #[error("cannot run {} --version", program.display())]
    Run {
        /// Its path.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It ran, and said nothing that we understand.
    #[error("{} --version ended with {status} and said: {said}", program.display())]
    Version {
        /// Its path.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// Its whole output.
        said: String,
    },
}

/// The programs of one server version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerInstall {
    /// What `postgres --version` says.
    pub version: ServerVersion,
    /// The directory of `postgres`, `initdb` and perhaps the client tools.
    pub bin_dir: PathBuf,
}

impl ServerInstall {
    /// Asks the server program in a directory for its version.
    pub fn probe(bin_dir: &Path) -> Result<Self, InstallError> {
        let program = bin_dir.join("postgres");
        let output = Command::new(&program)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .map_err(|source| InstallError::Run {
                program: program.clone(),
                source,
            })?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        match parse_version(&said) {
            Some(version) if output.status.success() => Ok(Self {
                version,
                bin_dir: bin_dir.to_owned(),
            }),
            _ => Err(InstallError::Version {
                program,
                status: output.status,
                said,
            }),
        }
    }

    /// Path of one of the programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }

    /// Whether `psql` and `pg_dump` are there too. Some packages hold nothing but the server.
    pub fn has_client_tools(&self) -> bool {
        ["psql", "pg_dump", "pg_restore"]
            .iter()
            .all(|name| self.program(name).is_file())
    }

    /// Whether an extension can be created on this server.
    pub fn has_extension(&self, name: &str) -> bool {
        let control = format!("{name}.control");
        Command::new(self.program("pg_config"))
            .arg("--sharedir")
            .stdin(Stdio::null())
            .output()
            .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
            .into_iter()
            .chain(["share", "postgresql"].map(|share| self.share_beside(share)))
            .any(|share| Path::new(&share).join("extension").join(&control).is_file())
    }

    /// Relocatable packages keep `share` or `share/postgresql` beside `bin`, and bring no `pg_config`.
    fn share_beside(&self, last: &str) -> String {
        let root = self.bin_dir.join("..").join("share");
        let dir = if last == "share" {
            root
        } else {
            root.join(last)
        };
        dir.display().to_string()
    }
}

/// Every server on this machine, the newest first; of equal versions, the one the operator named first.
pub fn installed_servers() -> Vec<ServerInstall> {
    let mut dirs = split_paths(std::env::var_os("PGCONVOY_PG_BIN"));
    dirs.extend(bin_dirs_below(Path::new("/usr/lib/postgresql")));
    dirs.extend(
        bin_dirs_below(Path::new("/usr"))
            .into_iter()
            .filter(|dir| dir.starts_with("/usr") && dir.to_string_lossy().contains("/pgsql-")),
    );
    dirs.extend(split_paths(std::env::var_os("PATH")));
    servers_in(dirs)
}

/// Every server below a directory that has one subdirectory per version, each with a `bin`; the newest first.
pub fn servers_below(dir: &Path) -> Vec<ServerInstall> {
    servers_in(bin_dirs_below(dir))
}

fn servers_in(bin_dirs: Vec<PathBuf>) -> Vec<ServerInstall> {
    let mut seen = HashSet::new();
    let mut found: Vec<ServerInstall> = bin_dirs
        .into_iter()
        .filter(|dir| dir.join("initdb").is_file() && dir.join("postgres").is_file())
        // The real path: the server's user may not be able to pass through the directory that a link stands in.
        .map(|dir| dir.canonicalize().unwrap_or(dir))
        .filter(|dir| seen.insert(dir.clone()))
        .filter_map(|dir| ServerInstall::probe(&dir).ok())
        .filter(|install| install.version >= ServerVersion::OLDEST)
        .collect();
    // Stable: what was named first stays first among equals.
    found.sort_by_key(|install| std::cmp::Reverse(install.version));
    found
}

fn split_paths(variable: Option<OsString>) -> Vec<PathBuf> {
    variable
        .map(|value| {
            std::env::split_paths(&value)
                .filter(|path| !path.as_os_str().is_empty())
                .collect()
        })
        .unwrap_or_default()
}

/// The `*/bin` below a directory; none if it can't be read.
fn bin_dirs_below(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path().join("bin")))
        .filter(|bin| bin.is_dir())
        .collect();
    found.sort();
    found
}

/// `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)` → 150014; `19beta1` → 190000.
fn parse_version(said: &str) -> Option<ServerVersion> {
    let (_, rest) = said.split_once("(PostgreSQL) ")?;
    let word = rest.split_whitespace().next()?;
    let mut numbers = word.split(|character: char| !character.is_ascii_digit());
    let major: u32 = numbers.next()?.parse().ok()?;
    let minor: u32 = if word.contains('.') {
        numbers.next()?.parse().ok()?
    } else {
        0
    };
    Some(ServerVersion(
        major.checked_mul(10_000)?.checked_add(minor)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_the_server_says() {
        let read = |said: &str| parse_version(said).map(|version| version.0);
        assert_eq!(
            read("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n"),
            Some(150_014)
        );
        assert_eq!(read("postgres (PostgreSQL) 10.23\n"), Some(100_023));
        assert_eq!(read("postgres (PostgreSQL) 19beta2\n"), Some(190_000));
        assert_eq!(read("postgres (PostgreSQL) 18devel\n"), Some(180_000));
        assert_eq!(read("postgres (PostgreSQL) \n"), None);
        assert_eq!(read("bash: postgres: command not found\n"), None);
        assert_eq!(read("postgres (PostgreSQL) 99999999999.1\n"), None);
    }

    #[test]
    fn a_directory_without_a_server_is_refused_by_name() {
        let refused = ServerInstall::probe(Path::new("/nonexistent")).expect_err("no server there");
        assert_eq!(
            refused.to_string(),
            "cannot run /nonexistent/postgres --version"
        );
    }
}
