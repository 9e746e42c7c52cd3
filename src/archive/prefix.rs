//! The objects of an archive while it is written.
//!
//! ```text
//!   PREFIX/pgconvoy.unfinished.json   the mark: somebody writes here, and whose run it is; first to come, last to go
//!   PREFIX/3541.dat.zst               each has its name as soon as it is complete
//!   PREFIX/pgconvoy.manifest.json     makes an archive of them
//!   RUN/archive.journal               which of them are finished
//!   RUN/archive.uploads               which were begun
//! ```
//!
//! The journal and the note of what was begun are on this machine: a line is added to them for every table, and nothing can be
//! added to an object. They are small, hold no rows, and whoever resumes the run has its directory. Without them what is in
//! the store is of no use but to be removed, which the mark allows to the same run alone.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chrono::Utc;
use serde::{Deserialize, Serialize};

use super::check::refuse_lost;
use super::store::{Begun, Head, Objects, Store, StoreError, Upload};
use super::{ArchiveError, MANIFEST, Manifest};

/// The mark's name.
pub const MARK: &str = "pgconvoy.unfinished.json";

/// What is in it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    /// The run that writes: its directory.
    run: PathBuf,
    /// Which of its attempts to begin has set it: two machines may have directories of one name.
    #[serde(default)]
    begun: String,
}

/// The objects of an archive that is being written.
#[derive(Debug, Clone)]
pub(super) struct Prefix {
    objects: Objects,
    run: PathBuf,
    begun: Arc<Begun>,
    tags: Tags,
}

/// The tags of files that are complete.
#[derive(Debug, Clone, Default)]
pub(super) struct Tags(Arc<Mutex<BTreeMap<String, String>>>);

impl Tags {
    pub fn note(&self, name: &str, tag: Option<String>) {
        if let Some(tag) = tag {
            self.held().insert(name.to_owned(), tag);
        }
    }

    pub fn of(&self, name: &str) -> Option<String> {
        self.held().get(name).cloned()
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Prefix {
    pub fn of(objects: Objects, run: &Path) -> Self {
        Self {
            begun: Arc::new(Begun::at(run.join("archive.uploads"))),
            run: run.to_owned(),
            objects,
            tags: Tags::default(),
        }
    }

    pub fn path(&self) -> &Path {
        self.objects.shown()
    }

    pub fn store(&self) -> Store {
        Store::Objects(self.objects.clone())
    }

    pub fn journal(&self) -> PathBuf {
        self.run.join("archive.journal")
    }

    pub fn tags(&self) -> Tags {
        self.tags.clone()
    }

    fn while_doing<T>(
        &self,
        doing: &'static str,
        done: Result<T, StoreError>,
    ) -> Result<T, ArchiveError> {
        done.map_err(|error| ArchiveError::file(doing, self.path())(error.into()))
    }

    pub fn is_free(&self) -> Result<(), ArchiveError> {
        if self.while_doing("looking into", self.objects.is_empty())? {
            return Ok(());
        }
        Err(self.is_taken())
    }

    pub fn begin(&self) -> Result<(), ArchiveError> {
        self.is_free()?;
        self.take()
    }

    /// Others may find it free at the same moment. Which of them was first says the store, if it can write on a condition; otherwise
    /// whose mark is still there has it, as far as one look can tell.
    fn take(&self) -> Result<(), ArchiveError> {
        let mark = self.new_mark();
        let put = self.objects.put_new(MARK, self.text_of(&mark)?);
        // One that is there may be this one, if the first answer was lost.
        self.while_doing("writing", put)?;
        match self.mark()? {
            Some(there) if there == mark => Ok(()),
            _ => Err(self.is_taken()),
        }
    }

    fn set_mark(&self) -> Result<(), ArchiveError> {
        let put = self.objects.put(MARK, self.text_of(&self.new_mark())?);
        self.while_doing("writing", put.map(drop))
    }

    fn new_mark(&self) -> Mark {
        let now = Utc::now().timestamp_nanos_opt().unwrap_or_default();
        Mark {
            run: self.run.clone(),
            begun: format!("{now:x}-{:x}", std::process::id()),
        }
    }

    fn text_of(&self, mark: &Mark) -> Result<Bytes, ArchiveError> {
        let text = serde_json::to_vec(mark).map_err(io::Error::from);
        let text = text.map_err(ArchiveError::file("writing", self.path()))?;
        Ok(Bytes::from(text))
    }

    fn is_taken(&self) -> ArchiveError {
        ArchiveError::Exists {
            path: self.path().to_owned(),
        }
    }

    /// Whose run it is that writes here, if any does.
    fn mark(&self) -> Result<Option<Mark>, ArchiveError> {
        match self.objects.whole(MARK) {
            Err(StoreError::Missing) => Ok(None),
            read => {
                let text = self.while_doing("looking into", read)?;
                // One that cannot be understood is nobody's.
                Ok(serde_json::from_slice(&text).ok())
            }
        }
    }

    pub fn exists(&self) -> Result<bool, ArchiveError> {
        let manifest = self.while_doing("looking into", self.objects.head(MANIFEST))?;
        Ok(manifest.is_none() && self.mark()?.is_some())
    }

    pub fn is_ours(&self) -> Result<bool, ArchiveError> {
        match self.mark()? {
            Some(mark) => Ok(mark.run == self.run),
            None => self.while_doing("looking into", self.objects.is_empty()),
        }
    }

    /// An error if somebody else has taken the place meanwhile, or taken the mark away.
    pub fn check_mark(&self) -> Result<(), ArchiveError> {
        let what = match self.mark()? {
            Some(mark) if mark.run == self.run => return Ok(()),
            Some(mark) => format!("{MARK} there is of another run ({})", mark.run.display()),
            None => format!("{MARK}, which says so, is gone or cannot be understood"),
        };
        Err(ArchiveError::NotOurs {
            path: self.path().to_owned(),
            what,
        })
    }

    pub fn give_up_uploads(&self) -> Result<usize, ArchiveError> {
        let begun = self.begun.read()?;
        let count = begun.len();
        for (name, upload) in begun {
            self.while_doing("clearing up", self.objects.give_up(&name, upload))?;
        }
        self.begun.forget()?;
        Ok(count)
    }

    pub fn stop(&self) {
        self.objects.stop();
    }

    pub fn clear(&self) -> Result<(), ArchiveError> {
        self.give_up_uploads()?;
        self.set_mark()?;
        let there = self.while_doing("looking into", self.objects.files())?;
        for name in there.keys().filter(|name| *name != MARK) {
            self.while_doing("emptying", self.objects.remove(name))?;
        }
        Ok(())
    }

    /// Nothing missing, and nothing besides, if the place is still ours.
    ///
    /// What is not in the manifest is taken away: an earlier session may have completed the file of a table that has another name by now,
    /// as another `pg_dump` numbers its entries otherwise.
    pub fn settle(&self, manifest: &Manifest) -> Result<(), ArchiveError> {
        self.check_mark()?;
        let there = self.while_doing("looking into", self.objects.files())?;
        refuse_lost(self.path(), &there, manifest)?;
        let surplus = manifest.surplus(there.keys());
        for name in surplus.filter(|name| *name != MARK) {
            self.while_doing("clearing up", self.objects.remove(name))?;
        }
        Ok(())
    }

    pub fn upload(&self, name: &str) -> Upload {
        Upload::new(self.objects.clone(), name, Arc::clone(&self.begun))
    }

    pub fn read(&self, name: &str, range: Range<u64>) -> Box<dyn Read + Send> {
        Box::new(self.objects.read(name, range))
    }

    /// One that is complete.
    pub fn read_all(&self, name: &str, bytes: u64) -> Box<dyn Read + Send> {
        let tag = self.tags.of(name);
        Box::new(self.objects.read_all(name, Head { bytes, tag }))
    }

    pub fn has_tag(&self, name: &str, noted: &String) -> Result<bool, ArchiveError> {
        let there = self.while_doing("looking at", self.objects.head(name))?;
        let is_same = there.and_then(|there| there.tag).as_ref() == Some(noted);
        if is_same {
            self.tags.note(name, Some(noted.clone()));
        }
        Ok(is_same)
    }

    pub fn put_away(&self) -> Result<(), ArchiveError> {
        self.begun.forget()?;
        self.while_doing("clearing up", self.objects.remove(MARK))
    }
}

#[cfg(test)]
mod tests {
    use super::super::FileFacts;
    use super::*;

    /// That of a table of contents of one byte, and nothing else.
    fn with_toc() -> Manifest {
        let toc = FileFacts {
            bytes: 1,
            ..FileFacts::default()
        };
        Manifest {
            toc,
            ..Manifest::of_nothing()
        }
    }

    /// Each was looked at when it was complete, which may be hours ago.
    #[test]
    fn what_was_lost_on_the_way_keeps_it_from_being_settled() {
        let dir = tempfile::tempdir().expect("a directory");
        let objects = Objects::in_memory();
        let one = Prefix::of(objects.clone(), &dir.path().join("one"));
        one.begin().expect("nothing is there");
        let said = |text: &'static [u8]| {
            let put = objects.put("toc.dat", Bytes::from_static(text));
            put.expect("written");
            one.settle(&with_toc()).err().map(|error| error.to_string())
        };
        assert_eq!(said(b"x"), None);
        let other = said(b"xx").expect("it is longer");
        assert!(
            other.contains("toc.dat: it has 2 bytes instead of 1"),
            "{other}"
        );
        objects.remove("toc.dat").expect("removed");
        let lost = one.settle(&with_toc()).expect_err("it is gone");
        assert!(
            matches!(&lost, ArchiveError::Lost { what, .. } if what == "toc.dat: it is missing"),
            "{lost}"
        );
        objects.remove(MARK).expect("removed");
        let whose = one.settle(&with_toc()).expect_err("nobody's");
        assert!(matches!(whose, ArchiveError::NotOurs { .. }), "{whose}");
    }

    #[test]
    fn an_archive_below_another_is_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let objects = Objects::in_memory();
        let one = Prefix::of(objects.clone(), &dir.path().join("one"));
        one.begin().expect("nothing is there");
        let put = |objects: &Objects, file: &str| {
            let put = objects.put(file, Bytes::from_static(b"x"));
            put.expect("written");
        };
        let below = objects.below("other");
        for file in ["toc.dat", "9.dat.gz"] {
            put(&objects, file);
            put(&below, file);
        }
        one.settle(&with_toc()).expect("ours");
        let names = |objects: &Objects| {
            let there = objects.files().expect("listed");
            there.into_keys().collect::<Vec<String>>()
        };
        assert_eq!(names(&objects), [MARK, "toc.dat"]);
        assert_eq!(names(&below), ["9.dat.gz", "toc.dat"]);
        one.clear().expect("ours");
        assert_eq!(names(&objects), [MARK]);
        assert_eq!(names(&below), ["9.dat.gz", "toc.dat"]);
    }

    #[test]
    fn of_two_that_begin_at_the_same_moment_one_has_begun() {
        let dir = tempfile::tempdir().expect("a directory");
        let objects = Objects::in_memory();
        let of_run = |run: &str| Prefix::of(objects.clone(), &dir.path().join(run));
        let (one, other) = (of_run("one"), of_run("other"));
        one.is_free().expect("nothing is there");
        other.is_free().expect("nothing is there");
        one.take().expect("it is the first");
        for file in ["toc.dat", "9.dat.gz"] {
            let put = objects.put(file, Bytes::from_static(b"x"));
            put.expect("written");
        }
        one.settle(&with_toc()).expect("ours");
        let there = objects.files().expect("listed");
        let there: Vec<&str> = there.keys().map(String::as_str).collect();
        assert_eq!(there, [MARK, "toc.dat"]);
        // Also if its directory is called the same, on another machine.
        for late in [other, of_run("one")] {
            assert!(matches!(late.take(), Err(ArchiveError::Exists { .. })));
        }
        one.check_mark().expect("it is still there");
    }
}
