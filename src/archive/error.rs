//! Why an archive cannot be written, or read.

use std::io;
use std::path::PathBuf;

use super::store::{StoreError, is_of_objects};

/// An archive's trouble, always with the file it is about.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// There is something of that name.
    #[error("{} exists already, and is not empty", path.display())]
    Exists {
        /// What.
        path: PathBuf,
    },
    /// Another process writes it.
    #[error("another dump is writing this archive ({})", path.display())]
    Busy {
        /// What it has locked.
        path: PathBuf,
    },
    /// Somebody has taken the place in the meantime, or taken away what says whose it is.
    #[error("it is no longer certain that {} belongs to this dump: {what}", path.display())]
    NotOurs {
        /// The place.
        path: PathBuf,
        /// What has become of the mark, as a clause.
        what: String,
    },
    /// Files that were complete are not there any more, or not as long as they were.
    #[error("{} has lost some of what was written: {what}", path.display())]
    Lost {
        /// Where they were.
        path: PathBuf,
        /// Which files, and what of them.
        what: String,
    },
    /// The operating system refused.
    #[error("{doing} {}", path.display())]
    File {
        /// What was tried, as a present participle.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A store does not do what it was asked for.
    #[error("{doing} {}: {source}", path.display())]
    Store {
        /// What was tried, as a present participle.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: StoreError,
    },
    /// There are no objects.
    #[error("there is no archive {}", path.display())]
    Nothing {
        /// Its name.
        path: PathBuf,
    },
    /// There are objects, and somebody has not finished them.
    #[error("{} is not whole: its dump was not finished", path.display())]
    NotFinished {
        /// The archive.
        path: PathBuf,
    },
    /// It is a pipe or a device: what is read of it can be read once.
    #[error("{} is neither a file nor a directory", path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// There is no manifest.
    #[error("{} has no {}: it was made by pg_dump, or is not whole", path.display(), super::MANIFEST)]
    NoManifest {
        /// The archive.
        path: PathBuf,
    },
    /// The manifest is not one.
    #[error("{} cannot be understood", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// Another version wrote it.
    #[error("{} has format {format}, which this version does not know", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
    /// Its manifest says that it was narrowed by what no dump is narrowed by.
    #[error("{}: {option:?} is not an option that leaves something out of a dump", path.display())]
    Narrowed {
        /// The manifest.
        path: PathBuf,
        /// What it says.
        option: String,
    },
    /// The table of contents cannot be read.
    #[error(transparent)]
    Contents(#[from] crate::toc::TocError),
    /// A data file does not hold what it should.
    #[error("{}: {what}", path.display())]
    Data {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

/// Notes of a dump into object storage, in the directory of its run.
const NOTES: [&str; 2] = ["archive.journal", "archive.uploads"];

impl ArchiveError {
    /// Whether the file is in the directory of the run instead of the archive's place: nothing of an archive in object storage is on a
    /// disk here but its notes, which are written while an object is.
    pub fn is_about_the_run(&self) -> bool {
        let Self::File { path, .. } = self else {
            return false;
        };
        let name = path.file_name();
        let is_note = name.is_some_and(|name| NOTES.iter().any(|note| name == *note));
        is_note || is_of_objects(path)
    }

    /// For a call of the operating system that failed, or a request to a store.
    pub fn file(doing: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.downcast::<StoreError>() {
            Ok(source) => Self::Store {
                doing,
                path,
                source,
            },
            Err(source) => Self::File {
                doing,
                path,
                source,
            },
        }
    }

    /// For a file that is an archive by itself: what is in it may be wrong, or nobody could read it.
    pub fn content(path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Self::Data {
                what: error.to_string(),
                path,
            },
            _ => Self::file("reading", &path)(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::prefix::Prefix;
    use super::super::store::Objects;
    use super::*;

    #[test]
    fn notes_of_objects_are_in_the_directory_of_the_run() {
        let full = |path: &Path| {
            let full = io::Error::from(io::ErrorKind::StorageFull);
            ArchiveError::file("writing", path)(full).is_about_the_run()
        };
        // It cannot have a directory's files.
        let run = tempfile::NamedTempFile::new().expect("a file");
        let prefix = Prefix::of(Objects::in_memory(), run.path());
        assert!(full(&prefix.journal()));
        let uploads = prefix.give_up_uploads().expect_err("no directory");
        assert!(uploads.is_about_the_run(), "{uploads}");
        assert!(full(Path::new("s3://backups/shop/7.dat")));
        assert!(!full(Path::new("/backups/shop.unfinished/7.dat")));
        assert!(!full(Path::new("archive.unfinished.journal")));
    }
}
