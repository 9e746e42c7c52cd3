//! Data directories that are made once and copied for each test: `initdb` takes a second of a processor, and a fixture up to
//! three; a copy takes a tenth.
//!
//! A copy has a system identifier of its own, by which pgconvoy tells clusters apart. Everything else in it is as `initdb` or the
//! fixture has left it, the object ids as well: these are the same in any two clusters of one version anyhow.
//!
//! They are kept below `target/tmp`, by version, content, and a hash of what they were made of, and made anew when that has changed.

use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Error};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::fcntl::{Flock, FlockArg};
use pgconvoy::pg::cluster::{ClusterOptions, ServerInstall, StopMode, ThrowawayCluster};

use super::moving::build;
use super::server::Server;

/// What a cluster holds from the first: a database with a fixture in it, built with psql variables.
#[derive(Debug, Clone, Copy)]
pub struct Holding<'a> {
    /// The database's name.
    pub database: &'a str,
    /// The script below `fixtures/schemas`.
    pub fixture: &'a str,
    /// `target=18 pg_dump=18`.
    pub variables: &'a str,
}

impl<'a> Holding<'a> {
    /// The zoo, by its own name. Who asks for one that others ask for saves its building: on 15 that is `target=18
    /// subscription=off`, `pg_dump=18` or nothing, on 18 `subscription=off` or nothing, on 10 nothing.
    pub fn zoo(variables: &'a str) -> Self {
        Self {
            database: "zoo",
            fixture: "zoo.sql",
            variables,
        }
    }
}

/// Whether a copy of what `initdb` made for others is what it would make with these options.
pub fn is_for(options: &ClusterOptions) -> bool {
    let usual = ClusterOptions::new(&options.bin_dir);
    let kind = |options: &ClusterOptions| {
        (
            options.superuser.clone(),
            options.password.clone(),
            options.encoding.clone(),
            options.locale.clone(),
            options.auth_method.clone(),
            options.data_checksums,
            options.initdb_args.clone(),
        )
    };
    kind(options) == kind(&usual)
}

/// A stopped cluster's data directory with nothing in it, or with something; made if it isn't there.
pub fn of(install: &ServerInstall, holding: Option<&Holding>) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    install.bin_dir.hash(&mut hasher);
    let mut name = format!("{}-bare", install.version);
    if let Some(holding) = holding {
        let Holding {
            database,
            fixture,
            variables,
        } = holding;
        name = format!("{}-{fixture}-{database}-{variables}", install.version);
        scripts(&super::moving::fixture(""), &mut hasher);
    }
    let name: String = name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
    let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clusters");
    let path = all.join(format!("{name}.{:016x}", hasher.finish()));
    if !path.exists() {
        fs::create_dir_all(&all).expect("a directory for clusters");
        let lock = File::create(all.join(format!("{name}.lock"))).expect("a lock file");
        let _lock = Flock::lock(lock, FlockArg::LockExclusive).expect("its turn comes");
        // Somebody else may have made it meanwhile.
        if !path.exists() {
            remove_older(&all, &name);
            make(install, holding, &path);
        }
    }
    path
}

/// Copies a template, and makes the copy a cluster of its own.
pub fn copy(template: &Path, to: &Path) -> io::Result<()> {
    cp(template, to)?;
    give_identity(to)
}

fn cp(from: &Path, to: &Path) -> io::Result<()> {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).output()?;
    if done.status.success() {
        return Ok(());
    }
    Err(Error::other(String::from_utf8_lossy(&done.stderr)))
}

/// All fixtures, because some include others.
fn scripts(directory: &Path, hasher: &mut DefaultHasher) {
    let entries = fs::read_dir(directory).expect("fixtures");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            scripts(&path, hasher);
        } else {
            path.file_name().hash(hasher);
            fs::read(&path).expect("a script").hash(hasher);
        }
    }
}

/// Of the same name, made of something else.
fn remove_older(all: &Path, name: &str) {
    let prefix = format!("{name}.");
    for entry in fs::read_dir(all).expect("a directory").flatten() {
        let is_one = entry.file_name().to_string_lossy().starts_with(&prefix);
        if is_one && entry.path().is_dir() {
            // Best effort: it costs room, and nothing else.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn make(install: &ServerInstall, holding: Option<&Holding>, path: &Path) {
    let options = ClusterOptions {
        purpose: "template".to_owned(),
        ..ClusterOptions::new(&install.bin_dir)
    };
    let cluster = if holding.is_some() {
        let bare = of(install, None);
        // What it needs to be built without warnings; few files of the log, which all would be copied.
        let options = options
            .setting("wal_level", "logical")
            .setting("autovacuum", "off")
            .setting("min_wal_size", "32MB")
            .setting("max_wal_size", "32MB");
        ThrowawayCluster::start_filled(&options, |data| copy(&bare, data))
    } else {
        ThrowawayCluster::start(&options)
    };
    let cluster = cluster.unwrap_or_else(|error| panic!("cannot make {}: {error}", path.display()));
    let mut server = Server { cluster };
    if let Some(holding) = holding {
        server.database(holding.database);
        build(
            &server,
            holding.database,
            holding.fixture,
            holding.variables,
        );
    }
    let stopped = server.cluster.stop(StopMode::Fast);
    stopped.unwrap_or_else(|error| panic!("cannot stop {}: {error}", path.display()));
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let kept = cp(&server.cluster.data_dir(), Path::new(&unfinished)).and_then(|()| {
        if holding.is_some() {
            // Settings were for the building alone.
            let conf = of(install, None).join("postgresql.conf");
            fs::copy(conf, Path::new(&unfinished).join("postgresql.conf"))?;
        }
        fs::rename(&unfinished, path)
    });
    kept.unwrap_or_else(|error| panic!("cannot keep {}: {error}", path.display()));
}

/// Where the first page of a file of the log has the system identifier.
const IN_LOG: u64 = 24;

/// Gives a stopped cluster another system identifier: in its control file, which has a checksum, and in the files of its log.
fn give_identity(data: &Path) -> io::Result<()> {
    let path = data.join("global/pg_control");
    let mut control = fs::read(&path)?;
    let old: [u8; 8] = control[..8].try_into().map_err(Error::other)?;
    let sum_at = checksum_at(&control)
        .ok_or_else(|| Error::other(format!("{} has no checksum that is right", path.display())))?;
    let new = identity();
    control[..8].copy_from_slice(&new);
    let sum = checksum(&control[..sum_at]);
    control[sum_at..sum_at + 4].copy_from_slice(&sum.to_ne_bytes());
    // In place: whose it is stays.
    write_at(&path, &control, 0)?;
    let mut of_log = 0;
    for entry in fs::read_dir(data.join("pg_wal"))? {
        let path = entry?.path();
        let mut found = [0; 8];
        let is_read =
            path.is_file() && File::open(&path)?.read_exact_at(&mut found, IN_LOG).is_ok();
        if is_read && found == old {
            write_at(&path, &new, IN_LOG)?;
            of_log += 1;
        }
    }
    if of_log == 0 {
        return Err(Error::other("no file of the log has the old identifier"));
    }
    Ok(())
}

fn write_at(path: &Path, bytes: &[u8], at: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.write_all_at(bytes, at)
}

/// As `initdb` makes one: of the time and the process.
fn identity() -> [u8; 8] {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("a clock that is right");
    let of_process = u64::from(std::process::id() & 0xfff);
    let identity = (now.as_secs() << 32) | (u64::from(now.subsec_micros()) << 12) | of_process;
    identity.to_ne_bytes()
}

/// Behind the fields that every version has more of, and over all that is before it.
fn checksum_at(control: &[u8]) -> Option<usize> {
    let places = (8..control.len().min(512)).step_by(4);
    let mut places = places.filter(|&at| at + 4 <= control.len());
    places.find(|&at| control[at..at + 4] == checksum(&control[..at]).to_ne_bytes())
}

/// CRC-32C.
fn checksum(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for &byte in bytes {
        sum ^= u32::from(byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg());
        }
    }
    !sum
}
