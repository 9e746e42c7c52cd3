//! The directory of a throw-away cluster: its owner, and the keeper that removes it when we no longer can.

use std::fs::{self, DirBuilder};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::unistd::{Gid, Uid, User, geteuid};

use super::error::{ClusterError, file_error, spawn_error};

/// `sun_path` has 108 bytes on Linux (104 on the BSDs), one of them for the terminating zero.
const LONGEST_SOCKET_PATH_BYTES: usize = 103;

/// Waits for the word that all is well. If the pipe closes without it, our process has died, and what it left behind is
/// removed. The postmaster's working directory is compared, because by then its process id may be somebody else's. The
/// removal is tried again because an orphaned initdb may still be writing.
const KEEPER: &str = r#"
read -r verdict && exit 0
dir=$1
ours() {
    test -n "$pid" && kill -0 "$pid" 2>/dev/null || return 1
    test ! -e "/proc/$pid" || test "$(readlink "/proc/$pid/cwd")" = "$dir/data"
}
pid=$(head -n 1 "$dir/data/postmaster.pid" 2>/dev/null)
ours && kill -s QUIT "$pid"
tries=0
while ours && test "$tries" -lt 100; do sleep 0.1; tries=$((tries + 1)); done
ours && kill -s KILL "$pid"
tries=0
until rm -rf -- "$dir" || test "$tries" -ge 100; do sleep 0.1; tries=$((tries + 1)); done
"#;

/// The cluster's directory, who owns it, and the keeper that removes it if we can't.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) path: PathBuf,
    owner: Option<(Uid, Gid)>,
    keeper: Option<(Child, ChildStdin)>,
}

impl Home {
    pub(super) fn create(purpose: &str) -> Result<Self, ClusterError> {
        let owner = unprivileged_user()?;
        let path = unused_name(&parent_dir(owner.is_some()), purpose);
        let socket = path.join(".s.PGSQL.65535");
        if socket.as_os_str().len() > LONGEST_SOCKET_PATH_BYTES {
            return Err(ClusterError::SocketPath { path: socket });
        }
        let mut home = Self {
            path,
            owner,
            keeper: None,
        };
        // Fails if the name exists, so that nobody can have prepared it for us.
        home.make_dir(&home.path)
            .map_err(file_error("create", &home.path))?;
        home.start_keeper()?;
        Ok(home)
    }

    /// The keeper is one of us, not of the server's user, who may not remove what stands in our directory.
    fn start_keeper(&mut self) -> Result<(), ClusterError> {
        let mut command = Command::new("sh");
        command
            .args(["-c", KEEPER, "pgconvoy-keeper"])
            .arg(&self.path)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut keeper = command.spawn().map_err(spawn_error(&command))?;
        self.keeper = keeper.stdin.take().map(|pipe| (keeper, pipe));
        Ok(())
    }

    /// A command that runs as the owner, in the cluster's directory, with nothing of our environment: a `PGDATA` or
    /// `PGOPTIONS` of the operator's is not meant for it.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.path)
            .env_clear()
            .env(
                "PATH",
                std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()),
            )
            .env("HOME", &self.path)
            .env("LC_ALL", "C")
            .env("TZ", "UTC");
        if let Some((uid, gid)) = self.owner {
            command.uid(uid.as_raw()).gid(gid.as_raw());
        }
        command
    }

    pub(super) fn make_dir(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(path)?;
        self.give(path)
    }

    pub(super) fn write(&self, path: &Path, content: &[u8]) -> Result<(), ClusterError> {
        fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| file.write_all(content))
            .and_then(|()| self.give(path))
            .map_err(file_error("write", path))
    }

    fn give(&self, path: &Path) -> io::Result<()> {
        match self.owner {
            Some((uid, gid)) => chown(path, Some(uid.as_raw()), Some(gid.as_raw())),
            None => Ok(()),
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Should the removal fail, the keeper tries again: it is told that all is well only if it is.
        let removed = fs::remove_dir_all(&self.path).is_ok();
        if let Some((mut keeper, mut pipe)) = self.keeper.take() {
            if removed {
                let _best_effort = pipe.write_all(b"removed\n");
            }
            drop(pipe);
            let _best_effort = keeper.wait();
        }
    }
}

fn unprivileged_user() -> Result<Option<(Uid, Gid)>, ClusterError> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    ["postgres", "nobody"]
        .into_iter()
        .find_map(|name| User::from_name(name).ok().flatten())
        .map(|user| Some((user.uid, user.gid)))
        .ok_or(ClusterError::NoUnprivilegedUser)
}

/// The usual temporary directory, unless its name leaves no room for a socket's or the server's user can't reach it.
fn parent_dir(for_another_user: bool) -> PathBuf {
    let usual = std::env::temp_dir();
    let usual = usual.canonicalize().unwrap_or(usual);
    let room = LONGEST_SOCKET_PATH_BYTES
        - "/pgconvoy-0123456789-4294967295-4294967295/.s.PGSQL.65535".len();
    let reachable = |dir: &Path| {
        fs::metadata(dir).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0)
    };
    if usual.as_os_str().len() <= room && (!for_another_user || usual.ancestors().all(reachable)) {
        usual
    } else {
        PathBuf::from("/tmp")
    }
}

fn unused_name(parent: &Path, purpose: &str) -> PathBuf {
    static COUNTER: AtomicU32 = AtomicU32::new(1);
    loop {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!(
            "pgconvoy-{purpose}-{}-{number}",
            std::process::id()
        ));
        if fs::symlink_metadata(&path).is_err() {
            return path;
        }
    }
}
