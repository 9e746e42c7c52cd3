//! The directory of an archive while it is written.
//!
//! All files are in `NAME.unfinished`, and a mark is with them until the manifest is: whoever finds the directory does not take it
//! for an archive by `pg_dump`, which has no manifest either. [`Directory::finish`] is the commit point: everything is on disk,
//! the manifest is written, and only then the directory gets its name. That it can get it is proven in the beginning.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use chrono::Utc;

use super::check::refuse_lost;
use super::prefix::MARK;
use super::store::Store;
use super::{ArchiveError, MANIFEST, Manifest};

/// What its directory is called until it has its name, and the journal beside that.
const UNFINISHED: &str = ".unfinished";
const JOURNAL: &str = ".journal";

/// What is done in the end.
const NAMING: &str = "giving its name to";

/// The directory of an archive that is being written.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    name: PathBuf,
    path: PathBuf,
}

impl Directory {
    /// That of a name, begun or not. A slash at its end is no part of it.
    pub fn of(name: &Path) -> Self {
        let name: PathBuf = name.components().collect();
        Self {
            path: with(&name, UNFINISHED),
            name,
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
            _ => self.set_mark(),
        }
    }

    /// Says to whoever finds it that it is not whole.
    fn set_mark(&self) -> Result<(), ArchiveError> {
        let path = self.path.join(MARK);
        let journal = self.journal();
        let journal = journal.file_name().unwrap_or_default().to_string_lossy();
        let text = serde_json::json!({ "journal": journal }).to_string();
        fs::write(&path, text).map_err(ArchiveError::file("writing", &path))
    }

    /// Proves that it can get its name in the end: in its directory something can be made and renamed, and the name is neither a
    /// link's nor that of a place where something is mounted. What is there is there afterwards, and nothing else.
    pub fn try_name(&self) -> Result<(), ArchiveError> {
        let name = &self.name;
        let there = match fs::symlink_metadata(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            there => Some(there.map_err(ArchiveError::file("looking at", name))?),
        };
        if there.as_ref().is_some_and(fs::Metadata::is_symlink) {
            let is_a_link = io::Error::other("it is a symbolic link");
            return Err(ArchiveError::file(NAMING, name)(is_a_link));
        }
        let trial = self.trial();
        if there.is_some() {
            // It stays the same directory, whose owner and rights somebody may have chosen.
            return match fs::rename(name, &trial) {
                // One of a lower layer (overlayfs) cannot be moved away; it can be replaced.
                Err(error) if error.kind() == io::ErrorKind::CrossesDevices => Ok(()),
                // It was that of another's trial, which proves the same.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                moved => moved.and_then(|()| fs::rename(&trial, name)),
            }
            .map_err(ArchiveError::file(NAMING, name));
        }
        let made = DirBuilder::new().mode(0o700).create(&trial);
        made.map_err(ArchiveError::file("making", &trial))?;
        let (at, named) = match fs::rename(&trial, name) {
            Ok(()) => (name, Ok(())),
            Err(error) => (&trial, Err(ArchiveError::file(NAMING, name)(error))),
        };
        // What has something in it by now is somebody else's, and stays where it is.
        let removed = match fs::remove_dir(at) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        named.and(removed.map_err(ArchiveError::file("removing", at)))
    }

    /// A name for a trial, which nobody else has: others may try at the same moment, also on another machine.
    fn trial(&self) -> PathBuf {
        let now = Utc::now().timestamp_nanos_opt().unwrap_or_default();
        let ending = format!(".trial-{now:x}-{:x}", std::process::id());
        with(&self.path, &ending)
    }

    /// Where what is finished is noted: beside it, because there is a moment when it has its name already and the note is not
    /// gone yet.
    pub fn journal(&self) -> PathBuf {
        with(&self.path, JOURNAL)
    }

    /// An error if something else has its name, or that which it has until it is finished.
    pub fn is_free(&self) -> Result<(), ArchiveError> {
        // One that has nothing but its mark was begun by somebody who came no further.
        for (path, may_have) in [(&self.name, None), (&self.path, Some(MARK))] {
            if !is_free(path, may_have)? {
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
        cleared.map_err(ArchiveError::file("emptying", &self.path))?;
        self.set_mark()
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

    /// Nothing missing and nothing besides, and everything to disk.
    ///
    /// What is not in the manifest is taken away: a session that was killed has left a piece that waited for its turn, or the file of a
    /// table that has another name by now.
    pub fn settle(&self, manifest: &Manifest) -> Result<(), ArchiveError> {
        let there = Store::Local(self.path.clone()).files();
        let there = there.map_err(ArchiveError::file("looking into", &self.path))?;
        refuse_lost(&self.path, &there, manifest)?;
        for name in manifest.surplus(there.keys()).filter(|name| *name != MARK) {
            let path = self.path.join(name);
            fs::remove_file(&path).map_err(ArchiveError::file("removing", &path))?;
        }
        self.sync()
    }

    /// The manifest, and the name. It may have come to any of that before; everything else is settled.
    pub fn finish(&self, manifest: &Manifest) -> Result<(), ArchiveError> {
        let part = self.path.join(format!("{MANIFEST}.unfinished"));
        let whole = self.path.join(MANIFEST);
        let write = || -> io::Result<()> {
            let mut file = File::create(&part)?;
            file.write_all(&manifest.to_bytes()?)?;
            file.sync_all()?;
            fs::rename(&part, &whole)?;
            match fs::remove_file(self.path.join(MARK)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
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
        rename().map_err(ArchiveError::file(NAMING, &self.name))
    }

    /// All that was written to the file system is on disk: one call for thousands of files.
    fn sync(&self) -> Result<(), ArchiveError> {
        let synced = File::open(&self.path)
            .and_then(|directory| nix::unistd::syncfs(&directory).map_err(io::Error::from));
        synced.map_err(ArchiveError::file("flushing", &self.path))
    }
}

/// Whether a directory that was found is one that nobody has finished, by the mark in it or by the journal beside it: earlier versions
/// set no mark.
pub(super) fn is_unfinished(path: &Path) -> bool {
    let path: PathBuf = path.components().collect();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let has_journal = || name.ends_with(UNFINISHED) && with(&path, JOURNAL).exists();
    path.join(MARK).exists() || has_journal()
}

fn with(path: &Path, ending: &str) -> PathBuf {
    let mut path = OsString::from(path);
    path.push(ending);
    path.into()
}

/// Whether there is nothing, or a directory with nothing in it, or only a file of this name.
fn is_free(path: &Path, may_have: Option<&str>) -> Result<bool, ArchiveError> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.all(|entry| {
            entry.is_ok_and(|entry| may_have.is_some_and(|name| *entry.file_name() == *name))
        })),
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
        let manifest = Manifest::of_nothing();
        directory.settle(&manifest).expect("everything is on disk");
        let toc = directory.path().join("toc.dat");
        fs::write(&toc, "x").expect("written");
        for what in [
            "toc.dat: it has 1 bytes instead of 0",
            "toc.dat: it is missing",
        ] {
            let lost = directory
                .settle(&manifest)
                .expect_err("it is not as it was");
            assert!(lost.to_string().ends_with(what), "{lost}");
            let _ = fs::remove_file(&toc);
        }
        directory.file("toc.dat").map(drop).expect("made");
        directory.finish(&manifest).expect("finished");
        let there = Store::Local(name).files().expect("listed");
        let there: Vec<&str> = there.keys().map(String::as_str).collect();
        assert_eq!(there, [MANIFEST, "toc.dat"]);
    }

    fn listed(path: &Path) -> Vec<String> {
        let there = Store::Local(path.to_owned()).files().expect("listed");
        there.into_keys().collect()
    }

    #[test]
    fn a_directory_that_is_not_finished_says_so() {
        let dir = tempfile::tempdir().expect("a directory");
        let directory = Directory::of(&dir.path().join("archive"));
        let refusal = |path: &Path| Manifest::read(path).expect_err("there is none");
        directory.begin().expect("nothing is there");
        assert!(directory.is_free().is_ok(), "nobody came any further");
        directory.file("toc.dat").map(drop).expect("made");
        let taken = directory.is_free();
        assert!(matches!(taken, Err(ArchiveError::Exists { .. })));
        let path = directory.path();
        assert!(matches!(refusal(path), ArchiveError::NotFinished { .. }));
        directory.clear().expect("ours");
        assert!(matches!(refusal(path), ArchiveError::NotFinished { .. }));
        // As earlier versions left it, it is known by its journal; and one of pg_dump has neither.
        fs::remove_file(path.join(MARK)).expect("removed");
        assert!(matches!(refusal(path), ArchiveError::NoManifest { .. }));
        fs::write(directory.journal(), "").expect("written");
        assert!(matches!(refusal(path), ArchiveError::NotFinished { .. }));
        directory
            .finish(&Manifest::of_nothing())
            .expect("finished without a mark");
        Manifest::read(&dir.path().join("archive")).expect("a manifest");
    }

    #[test]
    fn what_it_has_come_to_before_does_not_keep_it_from_being_finished() {
        let dir = tempfile::tempdir().expect("a directory");
        let name = dir.path().join("archive");
        let directory = Directory::of(&name);
        directory.begin().expect("nothing is there");
        directory.file("toc.dat").map(drop).expect("made");
        fs::create_dir(&name).expect("made");
        fs::write(name.join("precious"), "x").expect("written");
        let manifest = Manifest::of_nothing();
        let said = directory.finish(&manifest).expect_err("its name is taken");
        assert!(said.to_string().starts_with(NAMING), "{said}");
        fs::remove_file(name.join("precious")).expect("removed");
        directory.finish(&manifest).expect("finished");
        assert_eq!(listed(&name), [MANIFEST, "toc.dat"]);
    }

    #[test]
    fn a_name_that_it_cannot_get_is_known_and_a_trial_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let (name, link) = (dir.path().join("archive"), dir.path().join("link"));
        // A slash at its end would put the files below the name.
        let mut slashed = OsString::from(&name);
        slashed.push("//");
        let directory = Directory::of(Path::new(&slashed));
        assert_eq!(directory.path(), dir.path().join("archive.unfinished"));
        directory.try_name().expect("nothing is there");
        assert_eq!(listed(dir.path()), Vec::<String>::new());
        fs::create_dir(&name).expect("made");
        let inode = || {
            use std::os::unix::fs::MetadataExt as _;
            fs::metadata(&name).expect("there").ino()
        };
        let before = inode();
        directory.try_name().expect("it is a plain directory");
        assert_eq!(inode(), before);
        for target in ["archive", "nowhere"] {
            std::os::unix::fs::symlink(dir.path().join(target), &link).expect("made");
            let said = Directory::of(&link).try_name().expect_err("it is a link");
            assert!(said.to_string().starts_with(NAMING), "{said}");
            fs::remove_file(&link).expect("removed");
        }
        let below = Directory::of(&dir.path().join("missing/archive"));
        assert!(below.try_name().is_err());
        assert_eq!(listed(dir.path()), ["archive"]);
    }

    #[test]
    fn a_trial_moves_nothing_of_others() {
        let dir = tempfile::tempdir().expect("a directory");
        let directory = Directory::of(&dir.path().join("archive"));
        let theirs = dir.path().join("archive.unfinished.trial");
        fs::create_dir(&theirs).expect("made");
        fs::write(theirs.join("precious"), "x").expect("written");
        directory.try_name().expect("nothing is there");
        assert!(theirs.join("precious").exists());
        assert!(!dir.path().join("archive").exists());
        assert_eq!(fs::read_dir(dir.path()).expect("there").count(), 1);
    }
}
