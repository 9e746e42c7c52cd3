//! Which servers there are for tests, written down below `target/tmp`: each has to be started to say its version, and every test would do
//! that with ten of them.
//!
//! What was found is good as long as nothing has changed in any of the directories that were looked at.

use std::collections::BTreeSet;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use pgconvoy::model::ServerVersion;
use pgconvoy::pg::cluster::{ServerInstall, installed_servers, servers_below};

/// Stands between where was looked and what was found.
const FOUND: &str = "found:\n";

/// Every server of this machine and below a directory, the newest first; of equal versions, first one that has the contrib extensions.
pub fn servers(below: &Path) -> Vec<ServerInstall> {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("servers.txt");
    let looked_at = looked_at(below);
    let text = fs::read_to_string(&kept).unwrap_or_default();
    let known = text.strip_prefix(&looked_at).and_then(read);
    known.unwrap_or_else(|| {
        let found = find(below);
        keep(&kept, &looked_at, &found);
        found
    })
}

fn find(below: &Path) -> Vec<ServerInstall> {
    let mut all = installed_servers();
    all.extend(servers_below(below));
    all.sort_by_cached_key(|install| {
        let major = install.version.major();
        (std::cmp::Reverse(major), !install.has_extension("hstore"))
    });
    all
}

/// The directories that may hold a server, and when what is in them has changed last.
fn looked_at(below: &Path) -> String {
    let mut dirs = BTreeSet::new();
    for name in ["PGCONVOY_PG_BIN", "PATH"] {
        let paths = env::var_os(name).unwrap_or_default();
        dirs.extend(env::split_paths(&paths));
    }
    for parent in [Path::new("/usr"), Path::new("/usr/lib/postgresql"), below] {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        dirs.extend(entries.map(|entry| entry.path().join("bin")));
        dirs.insert(parent.to_owned());
    }
    let mut text = String::new();
    for dir in dirs {
        // None is there, or it may not be looked into.
        let changed =
            fs::metadata(&dir).map_or((0, 0), |found| (found.mtime(), found.mtime_nsec()));
        let _infallible = writeln!(text, "{} {changed:?}", dir.display());
    }
    text + FOUND
}

fn read(lines: &str) -> Option<Vec<ServerInstall>> {
    let server = |line: &str| {
        let (version, bin_dir) = line.split_once(' ')?;
        Some(ServerInstall {
            version: ServerVersion(version.parse().ok()?),
            bin_dir: PathBuf::from(bin_dir),
        })
    };
    lines.lines().map(server).collect()
}

/// Best effort: without it, the next test looks again.
fn keep(path: &Path, looked_at: &str, found: &[ServerInstall]) {
    let mut lines = String::new();
    for install in found {
        let _infallible = writeln!(lines, "{} {}", install.version.0, install.bin_dir.display());
    }
    // Not every path can be written in a line.
    if read(&lines).as_deref() != Some(found) {
        return;
    }
    // Others may be about to read it.
    let unfinished = path.with_extension(std::process::id().to_string());
    let written = fs::write(&unfinished, format!("{looked_at}{lines}"));
    if written.is_ok() {
        let _ = fs::rename(&unfinished, path);
    }
}
