//! The files of an archive while it is written.
//!
//! All of them are in `NAME.unfinished`. [`Unfinished::finish`] is the commit point: everything is on disk, the manifest is
//! written, and only then the directory gets its name.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::{ArchiveError, FileFacts, MANIFEST, Manifest, Summed};

/// An archive that is being written.
#[derive(Debug, Clone)]
pub struct Unfinished {
    name: PathBuf,
    path: PathBuf,
}

/// Whether there is an archive of this name.
pub fn is_finished(name: &Path) -> bool {
    name.join(MANIFEST).exists()
}

impl Unfinished {
    /// Begins one. There may be an empty directory of that name, but nothing else.
    pub fn begin(name: &Path) -> Result<Self, ArchiveError> {
        let unfinished = Self::of(name);
        unfinished.is_free()?;
        let made = DirBuilder::new().mode(0o700).create(&unfinished.path);
        match made {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(ArchiveError::file("making", &unfinished.path)(error))
            }
            _ => Ok(unfinished),
        }
    }

    /// The one that an interrupted dump has left.
    pub fn of(name: &Path) -> Self {
        let mut path = OsString::from(name);
        path.push(".unfinished");
        Self {
            name: name.to_owned(),
            path: path.into(),
        }
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

    /// Takes away what there is, for a dump that has to begin anew.
    pub fn clear(&self) -> Result<(), ArchiveError> {
        let removed = match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        let cleared = removed.and_then(|()| DirBuilder::new().mode(0o700).create(&self.path));
        cleared.map_err(ArchiveError::file("emptying", &self.path))
    }

    /// Begins a file, in the place of one that may be there.
    pub fn file(&self, name: &str) -> Result<Growing, ArchiveError> {
        let path = self.path.join(name);
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path);
        let file = opened.map_err(ArchiveError::file("making", &path))?;
        Ok(Growing {
            summed: Summed::new(file),
            path,
        })
    }

    /// Writes a small file whole.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<FileFacts, ArchiveError> {
        let mut file = self.file(name)?;
        file.append(content)?;
        Ok(file.facts())
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

    /// Everything to disk, the manifest, and the name.
    pub fn finish(&self, manifest: &Manifest) -> Result<(), ArchiveError> {
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

/// A file that grows at its end.
pub struct Growing {
    summed: Summed<File>,
    path: PathBuf,
}

impl Growing {
    /// Appends.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        let written = self.summed.write_all(bytes);
        written.map_err(ArchiveError::file("writing", &self.path))
    }

    /// Appends all that another file holds.
    pub fn append_from(&mut self, mut from: impl Read) -> Result<(), ArchiveError> {
        let written = io::copy(&mut from, &mut self.summed);
        written
            .map(drop)
            .map_err(ArchiveError::file("writing", &self.path))
    }

    /// What it is so far.
    pub fn facts(&self) -> FileFacts {
        self.summed.facts()
    }
}

impl Write for Growing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.summed.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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
