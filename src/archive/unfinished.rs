//! An archive that is being written: in a directory that gets its name in the end, or as objects that have theirs from the
//! beginning.
//!
//! Both are whole with their manifest, and [`Unfinished::finish`] is the commit point. A file grows at its end; that of a
//! directory can be read while it does, an object when it is complete.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::directory::Directory;
use super::journal::{Journal, Noted};
use super::prefix::{Prefix, Tags};
use super::store::{Store, StoreError, Upload};
use super::{ArchiveError, FileFacts, MANIFEST, Manifest, Summed};
use crate::model::Bytes;

/// Objects that are completed, or read, at the same time by one worker.
const OBJECTS_AT_ONCE: usize = 8;

/// An archive that is being written. A clone is the same.
#[derive(Debug, Clone)]
pub struct Unfinished(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Directory(Directory),
    Prefix(Prefix),
}

/// Whether there is an archive of this name.
pub fn is_finished(name: &Path) -> Result<bool, ArchiveError> {
    match Store::at(name)? {
        Store::Local(path) => Ok(path.join(MANIFEST).exists()),
        Store::Objects(objects) => {
            let there = objects.head(MANIFEST).map_err(io::Error::from);
            let there = there.map_err(ArchiveError::file("looking into", objects.shown()))?;
            Ok(there.is_some())
        }
    }
}

impl Unfinished {
    /// That of a name, begun or not. `run` is the directory of the run that writes it.
    pub fn of(name: &Path, run: &Path) -> Result<Self, ArchiveError> {
        Ok(Self(match Store::at(name)? {
            Store::Local(path) => Kind::Directory(Directory::of(&path)),
            Store::Objects(objects) => Kind::Prefix(Prefix::of(objects, run)),
        }))
    }

    /// An error if something else has its name, or that which it has until it is finished.
    pub fn is_free(&self) -> Result<(), ArchiveError> {
        match &self.0 {
            Kind::Directory(directory) => directory.is_free(),
            Kind::Prefix(prefix) => prefix.is_free(),
        }
    }

    /// An error if it could not get its name in the end. Nothing is left of the trial.
    pub fn try_name(&self) -> Result<(), ArchiveError> {
        match &self.0 {
            Kind::Directory(directory) => directory.try_name(),
            // Objects have theirs from the beginning.
            Kind::Prefix(_) => Ok(()),
        }
    }

    /// Begins it. There may be an empty directory of that name, but nothing else.
    pub fn begin(&self) -> Result<(), ArchiveError> {
        match &self.0 {
            Kind::Directory(directory) => directory.begin(),
            Kind::Prefix(prefix) => prefix.begin(),
        }
    }

    /// Whether anything of it is there, and not all.
    pub fn exists(&self) -> Result<bool, ArchiveError> {
        match &self.0 {
            Kind::Directory(directory) => Ok(directory.exists()),
            Kind::Prefix(prefix) => prefix.exists(),
        }
    }

    /// Whether what is there is that of its run, by the journal or by a mark of its own; also if there is nothing.
    pub fn is_of_its_run(&self, run: &str, noted: Option<&Noted>) -> Result<bool, ArchiveError> {
        match (&self.0, noted) {
            (Kind::Directory(_), Some(noted)) => Ok(noted.header.run == run),
            (Kind::Directory(directory), None) => Ok(directory.is_free().is_ok()),
            (Kind::Prefix(prefix), _) => prefix.is_ours(),
        }
    }

    /// Where its files are, for people.
    pub fn path(&self) -> &Path {
        match &self.0 {
            Kind::Directory(directory) => directory.path(),
            Kind::Prefix(prefix) => prefix.path(),
        }
    }

    /// The directory in which it is made; none, if it is made of objects.
    pub fn parent(&self) -> Option<&Path> {
        match &self.0 {
            Kind::Directory(directory) => directory.parent(),
            Kind::Prefix(_) => None,
        }
    }

    /// Where what is finished is noted: beside the directory; or in that of the run.
    pub(super) fn journal(&self) -> PathBuf {
        match &self.0 {
            Kind::Directory(directory) => directory.journal(),
            Kind::Prefix(prefix) => prefix.journal(),
        }
    }

    /// Where a piece of a file may be kept until it is its turn. There is no such place for objects: not a byte of them touches
    /// a disk here.
    pub fn overflow(&self, name: &str) -> Option<PathBuf> {
        match &self.0 {
            Kind::Directory(directory) => Some(directory.path().join(name)),
            Kind::Prefix(_) => None,
        }
    }

    /// Whether a file can be read before it is complete.
    pub fn can_be_read_as_it_grows(&self) -> bool {
        matches!(self.0, Kind::Directory(_))
    }

    /// What an earlier session has left on its way, and nobody will complete.
    pub fn give_up_uploads(&self) -> Result<usize, ArchiveError> {
        match &self.0 {
            Kind::Directory(_) => Ok(0),
            Kind::Prefix(prefix) => prefix.give_up_uploads(),
        }
    }

    /// Nobody waits any more for what was asked of a store.
    pub fn stop(&self) {
        if let Kind::Prefix(prefix) = &self.0 {
            prefix.stop();
        }
    }

    /// Takes away what there is, for a dump that has to begin anew.
    pub fn clear(&self) -> Result<(), ArchiveError> {
        match &self.0 {
            Kind::Directory(directory) => directory.clear(),
            Kind::Prefix(prefix) => prefix.clear(),
        }
    }

    /// Begins a file, in the place of one that may be there.
    pub fn file(&self, name: &str) -> Result<Growing, ArchiveError> {
        self.file_of(name, Bytes(0))
    }

    /// The same, of a file that is expected to be so large: an object is sent in parts that suit its size.
    pub fn file_of(&self, name: &str, expected: Bytes) -> Result<Growing, ArchiveError> {
        let path = self.path().join(name);
        let into = match &self.0 {
            Kind::Directory(directory) => Sink::File(directory.file(name)?),
            Kind::Prefix(prefix) => {
                Sink::Object(prefix.upload(name).expecting(expected.0), prefix.tags())
            }
        };
        Ok(Growing {
            summed: Summed::new(into),
            name: name.to_owned(),
            path,
        })
    }

    /// Writes a small file whole.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<FileFacts, ArchiveError> {
        let mut file = self.file(name)?;
        file.append(content)?;
        file.end()
    }

    /// Reads a part of a file.
    pub fn read(
        &self,
        name: &str,
        (begin, length): (u64, u64),
    ) -> Result<Box<dyn Read + Send>, ArchiveError> {
        match &self.0 {
            Kind::Directory(directory) => {
                Ok(Box::new(directory.read_from(name, begin)?.take(length)))
            }
            Kind::Prefix(prefix) => Ok(prefix.read(name, begin..begin.saturating_add(length))),
        }
    }

    /// Reads all of a file that is complete; an error if it is another one than was written.
    pub fn read_all(&self, name: &str, bytes: u64) -> Result<Box<dyn Read + Send>, ArchiveError> {
        match &self.0 {
            Kind::Directory(_) => self.read(name, (0, bytes)),
            Kind::Prefix(prefix) => Ok(prefix.read_all(name, bytes)),
        }
    }

    /// Whether a file that is complete reads as what was written.
    pub fn reads_as(&self, name: &str, facts: FileFacts) -> Result<bool, ArchiveError> {
        let mut read = Summed::new(io::sink());
        let opened = self.store().open(name, facts.bytes);
        let copied = opened.and_then(|mut from| io::copy(&mut from, &mut read));
        copied.map_err(ArchiveError::file("reading", &self.path().join(name)))?;
        Ok(read.facts() == facts)
    }

    /// How many small files are worth completing, and reading, at the same time: with a store most of the time is spent waiting.
    pub fn files_at_once(&self) -> usize {
        match &self.0 {
            Kind::Directory(_) => 1,
            Kind::Prefix(_) => OBJECTS_AT_ONCE,
        }
    }

    /// The tag of a file that is complete, if the store has such: another content has another.
    pub fn tag_of(&self, name: &str) -> Option<String> {
        match &self.0 {
            Kind::Directory(_) => None,
            Kind::Prefix(prefix) => prefix.tags().of(name),
        }
    }

    /// Where finished files are to be looked for.
    pub fn store(&self) -> Store {
        match &self.0 {
            Kind::Directory(directory) => Store::Local(directory.path().to_owned()),
            Kind::Prefix(prefix) => prefix.store(),
        }
    }

    /// Whether a file that an earlier session has completed is the same, as far as its tag can tell.
    pub(super) fn has_tag(&self, name: &str, noted: Option<&String>) -> Result<bool, ArchiveError> {
        match (&self.0, noted) {
            (Kind::Prefix(prefix), Some(noted)) => prefix.has_tag(name, noted),
            _ => Ok(false),
        }
    }

    /// Everything in its place and on disk, but for the manifest: what was written is still there, and nothing besides. Takes its time
    /// where a disk is slow; what is written by then is what the manifest says.
    pub fn settle(&self, manifest: &Manifest) -> Result<(), ArchiveError> {
        match &self.0 {
            Kind::Directory(directory) => directory.settle(manifest),
            Kind::Prefix(prefix) => prefix.settle(manifest),
        }
    }

    /// The manifest, and the name: the commit point. It may have come to any of that before. Everything else is settled
    /// ([`Self::settle`]).
    pub fn finish(&self, manifest: &Manifest) -> Result<(), ArchiveError> {
        match &self.0 {
            Kind::Directory(directory) => directory.finish(manifest),
            Kind::Prefix(prefix) => {
                let text = manifest.to_bytes().map_err(io::Error::from);
                let text = text.map_err(ArchiveError::file("writing", self.path()))?;
                // Somebody else may have taken the place since.
                prefix.check_mark()?;
                self.write(MANIFEST, &text).map(drop)
            }
        }
    }

    /// Takes away what only an unfinished archive needs. Nothing, if that is done. One that keeps it is complete all the same.
    pub fn put_away(&self) -> Result<(), ArchiveError> {
        Journal::remove(self)?;
        match &self.0 {
            Kind::Directory(_) => Ok(()),
            Kind::Prefix(prefix) => prefix.put_away(),
        }
    }
}

/// A file that grows at its end.
pub struct Growing {
    summed: Summed<Sink>,
    name: String,
    path: PathBuf,
}

enum Sink {
    File(File),
    Object(Upload, Tags),
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

    /// Nothing more comes: an object is completed, and looked at.
    pub fn end(self) -> Result<FileFacts, ArchiveError> {
        self.end_by(Upload::end)
    }

    /// Nothing more comes; whoever calls reads all of it again ([`Unfinished::read_all`]), which is to look at it.
    pub fn end_to_be_read(self) -> Result<FileFacts, ArchiveError> {
        self.end_by(Upload::end_to_be_read)
    }

    fn end_by(
        self,
        end: impl FnOnce(Upload) -> Result<Option<String>, StoreError>,
    ) -> Result<FileFacts, ArchiveError> {
        let facts = self.summed.facts();
        match self.summed.into_inner() {
            Sink::File(_) => {}
            Sink::Object(upload, tags) => {
                let tag = end(upload).map_err(io::Error::from);
                let tag = tag.map_err(ArchiveError::file("writing", &self.path))?;
                tags.note(&self.name, tag);
            }
        }
        Ok(facts)
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

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Object(upload, _) => upload.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Problem, TOC, changed_since};
    use super::*;

    fn begun(dir: &Path) -> Unfinished {
        let archive = Unfinished::of(&dir.join("archive"), dir).expect("a path");
        archive.begin().expect("nothing is there");
        archive
    }

    fn with_toc(toc: FileFacts) -> Manifest {
        Manifest {
            toc,
            ..Manifest::of_nothing()
        }
    }

    #[test]
    fn what_is_not_as_it_was_written_is_not_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let archive = begun(dir.path());
        let facts = archive.write(TOC, b"contents").expect("written");
        let manifest = with_toc(facts);
        let changed = |manifest: &Manifest| -> Vec<String> {
            let problems = changed_since(&archive, manifest, &[]).expect("looked at");
            let named = problems.into_iter();
            named
                .map(|Problem { file, what, .. }| format!("{file}: {what}"))
                .collect()
        };
        assert_eq!(changed(&manifest), [""; 0]);
        let path = archive.path().join(TOC);
        for (text, what) in [
            ("contentz", "its content has changed"),
            ("content", "it has 7 bytes instead of 8"),
            ("contents!", "it has 9 bytes instead of 8"),
        ] {
            std::fs::write(&path, text).expect("written");
            assert!(!archive.reads_as(TOC, facts).expect("read"), "{text}");
            let said = changed(&manifest);
            let [said] = said.as_slice() else {
                panic!("{text}: one file is not as it was");
            };
            assert!(said.starts_with(&format!("{TOC}: {what}")), "{said}");
        }
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(changed(&manifest), ["toc.dat: it is missing"]);
        archive.write(TOC, b"contents").expect("written");
        // What is there besides is taken away in the end.
        archive.write("9.dat.part-3", b"rest").expect("written");
        assert_eq!(changed(&manifest), [""; 0]);
        let tables = vec![super::super::TableFacts {
            dump_id: crate::model::DumpId(1),
            table: crate::model::QualifiedName::new("s", "t"),
            columns: Vec::new(),
            file: "1.dat".to_owned(),
            on_disk: FileFacts::default(),
            content: super::super::Content::default(),
        }];
        let more = Manifest { tables, ..manifest };
        assert_eq!(changed(&more), ["1.dat: it is missing"]);
    }

    /// What cannot be read may still be as it was.
    #[test]
    fn what_cannot_be_read_is_not_called_changed() {
        let dir = tempfile::tempdir().expect("a directory");
        let archive = begun(dir.path());
        let path = archive.path().join(TOC);
        // The same length, for whoever asks for that alone.
        std::fs::create_dir(&path).expect("made");
        let length = std::fs::metadata(&path).expect("there").len();
        let content = vec![b'x'; usize::try_from(length).expect("short")];
        std::fs::remove_dir(&path).expect("removed");
        let manifest = with_toc(archive.write(TOC, &content).expect("written"));
        std::fs::remove_file(&path).expect("removed");
        std::fs::create_dir(&path).expect("made");
        let said = changed_since(&archive, &manifest, &[]).expect_err("a directory");
        assert!(
            matches!(&said, ArchiveError::File { path: named, source, .. }
                if *named == path && source.kind() == io::ErrorKind::IsADirectory),
            "{said:?}"
        );
        // Of an archive that is looked at for what is wrong with it, it is said.
        let problems = super::super::check_files_of(&archive.store(), &manifest);
        let problems = problems.expect("looked at");
        let [problem] = problems.as_slice() else {
            panic!("{problems:?}");
        };
        assert!(problem.what.starts_with("it cannot be read"), "{problem:?}");
    }
}
