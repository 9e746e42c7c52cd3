//! One process at a time for a run directory: a lock that the system gives back when its holder ends, however it ends.
//!
//! The file says who holds it, for people; whether it is held, only the lock itself says. A file without a lock is what a
//! process that was killed left behind, and is no obstacle.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

/// The file's name.
pub(super) const FILE: &str = "lock";

/// Whoever asks whether a lock is held, holds it for a moment: a refusal must last longer than that to count.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(20);

/// Who works in a run directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process id, on the machine it runs on.
    pub pid: u32,
    /// Since when.
    pub since: DateTime<Utc>,
}

impl Holder {
    /// One that has not written down yet who it is, or where that cannot be read.
    const UNKNOWN: Self = Self {
        pid: 0,
        since: DateTime::UNIX_EPOCH,
    };

    fn this_process() -> Self {
        Self {
            pid: std::process::id(),
            since: Utc::now(),
        }
    }
}

/// A lock that was not to be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum LockError {
    /// Somebody else has it.
    #[error("it is in use by {0}")]
    Held(Holder),
    /// The file system refused.
    #[error(transparent)]
    File(#[from] io::Error),
}

/// `pgconvoy, pid 123, since 03:04 UTC`: as of today, and otherwise with its date.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::UNKNOWN {
            return f.write_str("pgconvoy");
        }
        let Self { pid, since } = self;
        let today = since.date_naive() == Utc::now().date_naive();
        let format = if today {
            "%H:%M UTC"
        } else {
            "%Y-%m-%d %H:%M UTC"
        };
        write!(f, "pgconvoy, pid {pid}, since {}", since.format(format))
    }
}

/// The lock, held until this is dropped.
#[derive(Debug)]
pub(super) struct RunLock {
    /// Never read again: that it is open is what counts.
    _file: Flock<File>,
}

impl RunLock {
    /// Takes the lock of a directory, and writes down who has it.
    pub fn take(dir: &Path) -> Result<Self, LockError> {
        let path = dir.join(FILE);
        for _ in 0..ATTEMPTS {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)?;
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                // Whoever had it before may have taken the file away with the directory's other files.
                Ok(file) if is_at(&file, &path) => {
                    write_down(&file)?;
                    return Ok(Self { _file: file });
                }
                Ok(_) => {}
                Err((_, Errno::EWOULDBLOCK)) => std::thread::sleep(PAUSE),
                Err((_, error)) => return Err(LockError::File(error.into())),
            }
        }
        Err(LockError::Held(read_holder(&path)))
    }
}

/// Who holds the lock of a directory now; `None` if nobody does. Takes nothing away from a holder.
pub(super) fn holder(dir: &Path) -> io::Result<Option<Holder>> {
    let path = dir.join(FILE);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Ok(_given_back_at_once) => Ok(None),
        Err((_, Errno::EWOULDBLOCK)) => Ok(Some(read_holder(&path))),
        Err((_, error)) => Err(error.into()),
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

fn write_down(mut file: &File) -> io::Result<()> {
    let text = serde_json::to_string(&Holder::this_process()).map_err(io::Error::other)?;
    file.set_len(0)?;
    file.write_all(format!("{text}\n").as_bytes())
}

fn read_holder(path: &Path) -> Holder {
    let read = || {
        let mut text = String::new();
        File::open(path)?.read_to_string(&mut text)?;
        Ok::<_, io::Error>(serde_json::from_str(&text)?)
    };
    read().unwrap_or(Holder::UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_asking_disturbs_nobody() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(holder(dir.path()).expect("asked"), None);
        let lock = RunLock::take(dir.path()).expect("free");
        let found = holder(dir.path()).expect("asked").expect("held");
        assert_eq!(found.pid, std::process::id());
        let refused = RunLock::take(dir.path()).expect_err("held").to_string();
        assert!(
            refused.starts_with(&format!("it is in use by pgconvoy, pid {}", found.pid))
                && refused.ends_with(" UTC"),
            "{refused}"
        );
        drop(lock);
        assert_eq!(
            holder(dir.path()).expect("asked"),
            None,
            "a file is no lock"
        );
        RunLock::take(dir.path()).expect("free again");
    }
}
