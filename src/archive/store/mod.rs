//! Where an archive's files lie: in a directory, or in object storage, as objects whose names begin with the archive's.
//!
//! ```text
//!   shop, /backup/shop, file:///backup/shop   a directory, or one file
//!   s3://bucket/shop                          S3, and whatever speaks as it does
//!   gs://bucket/shop                          Google Cloud Storage
//!   az://container/shop                       Azure Blob Storage
//! ```
//!
//! Whoever reads an archive asks its [`Store`], which is the same for both. Whoever writes one has more to ask for, and does
//! that of the directory or the [`Objects`] themselves. To the outside all is blocking, as files are: what reads and writes rows
//! runs in threads of its own. The requests run elsewhere (`runtime`).
//!
//! | file | |
//! |---|---|
//! | `name` | what an archive's name means |
//! | `client` | a connection to a store, from the environment |
//! | `objects` | the objects of one archive: list, read, write, remove |
//! | `download`, `upload` | one of them as a stream |
//! | `begun` | uploads that nobody has completed yet, for whoever clears up |
//! | `runtime` | where requests run, and how to wait for one |
//! | `setbacks` | requests that are sent again, for whoever waits |
//! | `error` | what stores say, in words |
//!
//! This is the one place that talks to object storage. It makes no buckets, and does not look after versions or life cycles.

mod begun;
mod client;
mod download;
mod error;
mod name;
mod objects;
mod runtime;
mod setbacks;
mod upload;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_128;

use super::{ArchiveError, FileFacts, Manifest, TOC};
use crate::toc::Toc;

pub use error::StoreError;
pub use name::absolute;
pub use setbacks::{tell_setbacks, tell_setbacks_left};

pub(super) use begun::Begun;
pub(super) use name::is_of_objects;
pub(super) use objects::{Head, Objects};
pub(super) use upload::Upload;

/// How many files of a store are read at once: most of the time is spent waiting.
const READERS_OF_OBJECTS: usize = 8;

/// Where a finished archive lies.
#[derive(Debug, Clone)]
pub enum Store {
    /// A directory, or a file that is the whole archive.
    Local(PathBuf),
    /// Objects.
    Objects(Objects),
}

impl Store {
    /// What an archive's name means. Nothing is asked of anybody yet.
    pub fn at(name: &Path) -> Result<Self, ArchiveError> {
        match Objects::named(name)? {
            Some(objects) => Ok(Self::Objects(objects)),
            None => Ok(Self::Local(name::local(name)?)),
        }
    }

    /// The archive's name, for people.
    pub fn shown(&self) -> &Path {
        match self {
            Self::Local(path) => path,
            Self::Objects(objects) => objects.shown(),
        }
    }

    /// The name of one of its files, for people.
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.shown().join(name)
    }

    /// Whether it has files; the alternative is to be one.
    pub fn has_files(&self) -> bool {
        match self {
            Self::Local(path) => path.is_dir(),
            Self::Objects(_) => true,
        }
    }

    /// Whether there is anything.
    pub fn exists(&self) -> io::Result<bool> {
        match self {
            Self::Local(path) => Ok(path.exists()),
            Self::Objects(objects) => Ok(!objects.is_empty()?),
        }
    }

    /// All of its files, with their lengths.
    pub fn files(&self) -> io::Result<BTreeMap<String, u64>> {
        match self {
            Self::Local(path) => lengths(path),
            Self::Objects(objects) => Ok(objects.files()?),
        }
    }

    /// Reads a file from its beginning; the length is what [`Self::files`] has said.
    pub fn open(&self, name: &str, length: u64) -> io::Result<Box<dyn Read + Send>> {
        match self {
            Self::Local(path) => Ok(Box::new(File::open(path.join(name))?)),
            Self::Objects(objects) => Ok(Box::new(objects.read(name, 0..length))),
        }
    }

    /// A small file whole; an error of the kind `NotFound` if there is none.
    pub fn whole(&self, name: &str) -> io::Result<Vec<u8>> {
        match self {
            Self::Local(path) => fs::read(path.join(name)),
            Self::Objects(objects) => Ok(objects.whole(name)?),
        }
    }

    /// A small file whole, which must be what was noted of it: one of the same name may be from another archive.
    pub fn as_noted(&self, name: &str, facts: FileFacts) -> Result<Vec<u8>, ArchiveError> {
        let path = self.path_of(name);
        let bytes = self.whole(name);
        let bytes = bytes.map_err(ArchiveError::file("reading", &path))?;
        if (bytes.len() as u64, xxh3_128(&bytes)) == (facts.bytes, facts.xxh3) {
            return Ok(bytes);
        }
        Err(ArchiveError::Data {
            path,
            what: "its content has changed since the dump".to_owned(),
        })
    }

    /// The table of contents that a manifest is about.
    pub fn toc_of(&self, manifest: &Manifest) -> Result<Toc, ArchiveError> {
        let bytes = self.as_noted(TOC, manifest.toc)?;
        Ok(Toc::read(bytes.as_slice())?)
    }

    /// The table of contents, of which nothing is known: see [`Self::toc_of`].
    pub fn toc(&self) -> Result<Toc, ArchiveError> {
        match self {
            Self::Local(path) => Ok(Toc::open(path)?),
            Self::Objects(_) => {
                let bytes = self.whole(TOC);
                let bytes = bytes.map_err(ArchiveError::file("reading", &self.path_of(TOC)))?;
                Ok(Toc::read(bytes.as_slice())?)
            }
        }
    }

    /// How many files are worth reading at once.
    pub(super) fn readers(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        match self {
            Self::Local(_) => cores,
            Self::Objects(_) => cores.max(READERS_OF_OBJECTS),
        }
    }
}

fn lengths(path: &Path) -> io::Result<BTreeMap<String, u64>> {
    let mut lengths = BTreeMap::new();
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        // A link is what it leads to; one that leads nowhere is no file.
        let length = match fs::metadata(path.join(&name)) {
            Ok(there) => there.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        lengths.insert(name.to_string_lossy().into_owned(), length);
    }
    Ok(lengths)
}
