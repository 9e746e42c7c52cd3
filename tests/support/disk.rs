//! Small file systems in memory, mounted where nobody but a test and its children sees them.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use pgconvoy::pg::cluster::{StopMode, ThrowawayCluster};

use super::server::record_skip;

/// From here on, what this thread and its children mount is theirs alone, and ends with them.
pub fn may_mount() -> bool {
    let everywhere = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    let private = unshare(CloneFlags::CLONE_NEWNS)
        .and_then(|()| mount(None::<&str>, "/", None::<&str>, everywhere, None::<&str>));
    if let Err(error) = private {
        record_skip(&format!(
            "no small disk can be mounted here ({error}); it takes root"
        ));
    }
    private.is_ok()
}

/// A small file system.
pub struct Disk {
    path: PathBuf,
    /// What takes up its room.
    ballast: PathBuf,
}

impl Disk {
    /// Over a directory that is there, and belongs to whoever it belonged to.
    pub fn over(path: &Path, size: &str) -> Self {
        let owner = fs::metadata(path).expect("the directory is there");
        let options = format!(
            "size={size},mode=700,uid={},gid={}",
            owner.uid(),
            owner.gid()
        );
        let mounted = mount(
            Some("none"),
            path,
            Some("tmpfs"),
            MsFlags::empty(),
            Some(options.as_str()),
        );
        mounted.expect("a file system in memory is mounted");
        Self {
            path: path.to_owned(),
            ballast: path.join("ballast"),
        }
    }

    /// Over a directory of a cluster that its log is brought to; the server is restarted for it.
    pub fn of_log(cluster: &mut ThrowawayCluster, size: &str) -> Self {
        let dir = cluster.create_dir("wal").expect("a directory");
        let disk = Self::over(&dir, size);
        cluster.stop(StopMode::Fast).expect("it stops");
        let wal = cluster.data_dir().join("pg_wal");
        let moved = Command::new("cp")
            .arg("-a")
            .arg(wal.join("."))
            .arg(&dir)
            .status();
        assert!(moved.expect("cp starts").success());
        fs::remove_dir_all(&wal).expect("it is copied");
        symlink(&dir, &wal).expect("it may be elsewhere");
        cluster.resume().expect("it starts");
        disk
    }

    fn free_bytes(&self) -> u64 {
        let disk = nix::sys::statvfs::statvfs(&self.path).expect("it is mounted");
        disk.blocks_available() * disk.fragment_size()
    }

    /// Fills it up to so many bytes.
    pub fn leave(&self, bytes: u64) {
        let mut ballast = fs::File::create(&self.ballast).expect("it can be written to");
        let size = self.free_bytes().saturating_sub(bytes);
        let size = usize::try_from(size).expect("it is small");
        // A run writes there meanwhile: the room may be gone before the ballast has all of it.
        match ballast.write_all(&vec![7; size]) {
            Err(error) if error.kind() != ErrorKind::StorageFull => panic!("{error}"),
            _ => {}
        }
    }

    /// Takes away what fills it.
    pub fn make_room(&self) {
        fs::remove_file(&self.ballast).expect("it is there");
    }

    /// Whether it can be written to.
    pub fn make_read_only(&self, read_only: bool) {
        let mut flags = MsFlags::MS_REMOUNT;
        flags.set(MsFlags::MS_RDONLY, read_only);
        let mounted = mount(None::<&str>, &self.path, None::<&str>, flags, None::<&str>);
        mounted.expect("it can be mounted otherwise");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Best effort: it ends with this process.
        let _ = umount2(&self.path, MntFlags::MNT_DETACH);
    }
}
