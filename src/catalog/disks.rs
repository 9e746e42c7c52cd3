//! How much room there is on the disks of a server whose files are on this machine, and how little its rows may take.
//!
//! No server says what its disks have, but whoever sees its files can ask the system. To be told a path is not enough for that: a server in
//! a container has paths of its own, a socket may lead to another machine, and a directory of the same name here be another's. So the
//! directory must be that of the process at the other end of the Unix socket (`postmaster.pid` has its number), and that of the
//! server which answered (`pg_control` begins with its identifier). Only root and the server's own user may look; for everybody else the
//! room is not known, and neither is it over TCP.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::sys::statfs::{BTRFS_SUPER_MAGIC, FsType, statfs};
use nix::sys::statvfs::statvfs;

use super::queries::VersionedQuery;
use crate::model::{Bytes, QualifiedName};
use crate::pg::{PgError, Query, Session};

pub(super) const DISK_PLACES: VersionedQuery = VersionedQuery {
    newest: Query::new(
        "disk_places.sql",
        include_str!("../../sql/preflight/disk_places.sql"),
    ),
    older: None,
};

pub(super) const PACKED_ROWS: VersionedQuery = VersionedQuery {
    newest: Query::new(
        "packed_rows.sql",
        include_str!("../../sql/preflight/packed_rows.sql"),
    ),
    older: None,
};

/// `ZFS_SUPER_MAGIC`, as its own sources have it.
const ZFS_SUPER_MAGIC: FsType = FsType(0x2fc1_2fc1);

/// A server that has written more than this into `postmaster.pid` is none that we know.
const LONGEST_PID_FILE: u64 = 4096;

/// A file system, by one of the directories on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disk {
    /// That directory.
    pub path: String,
    /// Which file system: those of two directories are the same if this is.
    pub device: u64,
    /// What others than root can still write to it.
    pub free: Bytes,
    /// It may pack what is written to it: more goes there than is free.
    pub packs: bool,
}

/// Where a server's files are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disks {
    /// Of each tablespace, by name.
    pub tablespaces: BTreeMap<String, Disk>,
    /// Of the write-ahead log.
    pub log: Disk,
    /// What the log takes already: the server uses its files again.
    pub log_bytes: Bytes,
    /// What the connected database takes.
    pub database: Bytes,
}

impl Disks {
    /// Those of the server that a session is on; `None` if they cannot be seen from here, or it is not certain that they are its own.
    /// `identifier` is the one that its `initdb` made.
    pub async fn look(session: &Session, identifier: Option<i64>) -> Result<Option<Self>, PgError> {
        let (Some(listener), Some(identifier)) = (session.peer().listener, identifier) else {
            return Ok(None);
        };
        let rows = session.query(&DISK_PLACES.newest, &[]).await?;
        let Some(first) = rows.first() else {
            return Ok(None);
        };
        let directory = PathBuf::from(first.get::<String>("data_directory")?);
        if !is_of(&directory, (listener, identifier)) {
            return Ok(None);
        }
        let mut tablespaces = BTreeMap::new();
        for row in &rows {
            let place = directory.join(row.get::<&str>("place")?);
            match Disk::of(&place) {
                Ok(disk) => tablespaces.insert(row.get("tablespace")?, disk),
                Err(_) => return Ok(None),
            };
        }
        let log = directory.join("pg_wal");
        let (Ok(disk), Ok(log_bytes)) = (Disk::of(&log), size_of_files(&log)) else {
            return Ok(None);
        };
        Ok(Some(Self {
            tablespaces,
            log: disk,
            log_bytes,
            database: first.bytes("database_bytes")?,
        }))
    }
}

impl Disk {
    /// That of a directory.
    pub fn of(path: &Path) -> io::Result<Self> {
        let system = statvfs(path)?;
        let kind = statfs(path)?.filesystem_type();
        // The server's directories have links to where things really are.
        let path = fs::canonicalize(path)?;
        Ok(Self {
            device: fs::metadata(&path)?.dev(),
            path: path.display().to_string(),
            free: Bytes(
                system
                    .blocks_available()
                    .saturating_mul(system.fragment_size()),
            ),
            packs: [BTRFS_SUPER_MAGIC, ZFS_SUPER_MAGIC].contains(&kind),
        })
    }
}

/// Whether a data directory is that of a process, and of the server with this identifier.
fn is_of(directory: &Path, (process, identifier): (i32, i64)) -> bool {
    let begun_by = || {
        let mut text = String::new();
        let file = File::open(directory.join("postmaster.pid")).ok()?;
        file.take(LONGEST_PID_FILE).read_to_string(&mut text).ok()?;
        text.lines().next()?.trim().parse::<i32>().ok()
    };
    let made_as = || {
        let mut bytes = [0; 8];
        let mut file = File::open(directory.join("global/pg_control")).ok()?;
        file.read_exact(&mut bytes).ok()?;
        Some(i64::from_ne_bytes(bytes))
    };
    begun_by() == Some(process) && made_as() == Some(identifier)
}

/// Of a directory's files, without those in directories below it.
fn size_of_files(directory: &Path) -> io::Result<Bytes> {
    let mut bytes = Bytes(0);
    for entry in fs::read_dir(directory)? {
        match entry?.metadata() {
            Ok(file) if file.is_file() => bytes += Bytes(file.len()),
            Ok(_) => {}
            // The server takes files away as it likes.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

/// What the rows of tables take at the least, as far as the server's statistics tell: no copy of them is smaller.
pub async fn packed_rows(session: &Session) -> Result<BTreeMap<QualifiedName, Bytes>, PgError> {
    let rows = session.query(&PACKED_ROWS.newest, &[]).await?;
    let packed = rows
        .iter()
        .map(|row| Ok((row.name("schema", "name")?, row.bytes("bytes")?)));
    packed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A data directory, as far as it is looked at.
    fn directory(pid_file: &str, identifier: i64) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        fs::write(path.join("postmaster.pid"), pid_file).expect("written");
        fs::create_dir(path.join("global")).expect("made");
        let control = [&identifier.to_ne_bytes()[..], b"and more"].concat();
        fs::write(path.join("global/pg_control"), control).expect("written");
        directory
    }

    #[test]
    fn a_directory_of_another_process_or_of_another_server_is_not_taken_for_ones_own() {
        let ours = directory("4711\n/var/lib\n1700000000\n5432\n", -7);
        assert!(is_of(ours.path(), (4711, -7)));
        assert!(!is_of(ours.path(), (1, -7)), "that of a container");
        assert!(!is_of(ours.path(), (4711, 7)), "that of another server");
        assert!(!is_of(&ours.path().join("global"), (4711, -7)));
        assert!(!is_of(directory("", -7).path(), (4711, -7)));
    }

    #[test]
    fn what_a_log_takes_is_the_sum_of_its_files() {
        let log = tempfile::tempdir().expect("a directory");
        fs::write(log.path().join("1"), [0; 100]).expect("written");
        fs::write(log.path().join("2"), [0; 11]).expect("written");
        fs::create_dir(log.path().join("archive_status")).expect("made");
        assert_eq!(size_of_files(log.path()).expect("read"), Bytes(111));
        assert!(size_of_files(&log.path().join("none")).is_err());
    }

    #[test]
    fn two_directories_beside_each_other_are_on_one_disk() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join("a")).expect("made");
        let [one, other] = [directory.path().join("a"), directory.path().to_owned()]
            .map(|path| Disk::of(&path).expect("there"));
        assert_eq!(one.device, other.device);
        assert!(one.free > Bytes(0) && one.path.ends_with("/a"), "{one:?}");
        assert!(Disk::of(&directory.path().join("none")).is_err());
    }
}
