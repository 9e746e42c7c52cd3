//! The directory of an archive while it is written.
//!
//! All files are in `NAME.unfinished`. [`Directory::finish`] is the commit point: everything is on disk, the manifest is
//! written, and only then the directory gets its name.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::store::Store;
use super::{ArchiveError, MANIFEST, Manifest};

/// The directory of an archive that is being written.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    name: PathBuf,
    path: PathBuf,
}

impl Directory {
    /// That of a name, begun or not.
    pub fn of(name: &Path) -> Self {
        let mut path = OsString::from(name);
        path.push(".unfinished");
        Self {
            name: name.to_owned(),
            path: path.into(),
        }
    }

    /// Begins one. There may be an empty directory of that name, but nothing else.
    pub fn begin(&self) -> Result<(), ArchiveError> {
        self.is_free()?;
        let made = DirBuilder::new().mode(0o700).create(&self.path);
        match made {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(ArchiveError::file("making", &self.path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Where what is finished is noted: beside it, because there is a moment when it has its name already and the note is not
    /// gone yet.
    pub fn journal(&self) -> PathBuf {
        let mut path = OsString::from(&self.path);
        path.push(".journal");
        path.into()
    }

    /// An error if something else has its name, or that which it has until it is finished.
    pub fn is_free(&self) -> Result<(), ArchiveError> {
        for path in [&self.name, &self.path] {
            if !is_free(path)? {
                return Err(ArchiveError::Exists { path: path.clone() });
            }
        }
        Ok(())
    }

    /// Whether anything of it is there.
    pub fn exists(&self) -> bool {
        self.path.is_dir()
    }

    /// Where its files are.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where it is made.
    pub fn parent(&self) -> Option<&Path> {
        self.path.parent()
    }

    /// Takes away what there is, for a dump that has to begin anew.
    pub fn clear(&self) -> Result<(), ArchiveError> {
        let removed = match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        let cleared = removed.and_then(|()| DirBuilder::new().mode(0o700).create(&self.path));
        cleared.map_err(ArchiveError::file("emptying", &self.path))
    }

    /// Makes a file, in the place of one that may be there.
    pub fn file(&self, name: &str) -> Result<File, ArchiveError> {
        let path = self.path.join(name);
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path);
        opened.map_err(ArchiveError::file("making", &path))
    }

    /// Opens a file from some byte on.
    pub fn read_from(&self, name: &str, offset: u64) -> Result<File, ArchiveError> {
        let path = self.path.join(name);
        let opened = File::open(&path).and_then(|mut file| {
            file.seek(SeekFrom::Start(offset))?;
            Ok(file)
        });
        opened.map_err(ArchiveError::file("reading", &path))
    }

    /// Takes away what is not in the manifest: a session that was killed has left a piece that waited for its turn, or the file of a
    /// table that has another name by now.
    fn remove_surplus(&self, manifest: &Manifest) -> Result<(), ArchiveError> {
        let there = Store::Local(self.path.clone()).files();
        let there = there.map_err(ArchiveError::file("looking into", &self.path))?;
        for name in manifest.surplus(there.keys()) {
            let path = self.path.join(name);
            fs::remove_file(&path).map_err(ArchiveError::file("removing", &path))?;
        }
        Ok(())
    }

    /// Nothing besides, everything to disk, the manifest, and the name.
    pub fn finish(&self, manifest: &Manifest) -> Result<(), ArchiveError> {
        self.remove_surplus(manifest)?;
        self.sync()?;
        let part = self.path.join(format!("{MANIFEST}.unfinished"));
        let whole = self.path.join(MANIFEST);
        let write = || -> io::Result<()> {
            let mut file = File::create(&part)?;
            file.write_all(&manifest.to_bytes()?)?;
            file.sync_all()?;
            fs::rename(&part, &whole)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(ArchiveError::file("writing", &whole))?;
        let rename = || {
            fs::rename(&self.path, &self.name)?;
            let parent = self
                .name
                .parent()
                .filter(|path| !path.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
        };
        rename().map_err(ArchiveError::file("giving its name to", &self.name))
    }

    /// All that was written to the file system is on disk: one call for thousands of files.
    fn sync(&self) -> Result<(), ArchiveError> {
        let synced = File::open(&self.path)
            .and_then(|directory| nix::unistd::syncfs(&directory).map_err(io::Error::from));
        synced.map_err(ArchiveError::file("flushing", &self.path))
    }
}

fn is_free(path: &Path) -> Result<bool, ArchiveError> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
        Err(error) => Err(ArchiveError::file("looking into", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_session_has_left_is_not_in_the_archive() {
        let dir = tempfile::tempdir().expect("a directory");
        let name = dir.path().join("archive");
        let directory = Directory::of(&name);
        directory.begin().expect("nothing is there");
        for file in ["toc.dat", "9.dat.part-3"] {
            directory.file(file).map(drop).expect("made");
        }
        directory.finish(&Manifest::of_nothing()).expect("finished");
        let there = Store::Local(name).files().expect("listed");
        let there: Vec<&str> = there.keys().map(String::as_str).collect();
        assert_eq!(there, [MANIFEST, "toc.dat"]);
    }
}
