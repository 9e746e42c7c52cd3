//! Which files of an unfinished archive are finished, and in which snapshot: `NAME.unfinished.journal`, one line each, the first
//! of which says whose dump it is.
//!
//! It is locked for as long as somebody works on the archive. It stands beside the archive's directory, because there is a moment
//! when that has its name already and the journal is not gone yet; that of an archive in object storage is in the directory of
//! the run. Its lines are not flushed: what a crash of the machine has taken from a file shows when the file's hash is looked at,
//! which whoever goes on does before anything else.
//!
//! When every file is on disk and the snapshot has been held to that moment, the finished manifest is noted as the last line, and
//! that is flushed: from then on nothing of the source is needed, and whoever goes on has only to finish.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use super::{ArchiveError, LargeObjectFacts, Manifest, TableFacts, Unfinished};

/// Whose dump it is, and what it reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// What identifies the run.
    pub run: String,
    /// Who holds the snapshot; whoever began knows what that means.
    pub holder: serde_json::Value,
}

/// A line of it, behind the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "finished", rename_all = "snake_case")]
pub enum Line {
    /// A table's file.
    Table {
        /// What it holds, by what was read of the source.
        facts: TableFacts,
        /// `count(*)` there, if it was counted.
        counted: Option<u64>,
        /// The tags of objects in a store, by file: by them they are known again without being read.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        tags: BTreeMap<String, String>,
    },
    /// Large objects.
    LargeObjects {
        /// Each of them.
        facts: Vec<LargeObjectFacts>,
        /// The tags of objects in a store, by file.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        tags: BTreeMap<String, String>,
    },
}

/// The last line: everything is written.
#[derive(Serialize, Deserialize)]
struct Last<M> {
    whole: M,
}

/// What is in a journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Noted {
    /// Whose it is.
    pub header: Header,
    /// What is finished.
    pub lines: Vec<Line>,
    /// The manifest, if everything is.
    pub whole: Option<Manifest>,
}

/// The journal, open for more; nobody else can open it meanwhile. A clone is the same.
#[derive(Clone)]
pub struct Journal {
    file: Arc<Flock<File>>,
    path: PathBuf,
}

impl Journal {
    /// Opens that of an archive, or makes one without a line. Returns what is in it: a last line that is not whole is none.
    pub fn open(archive: &Unfinished) -> Result<(Self, Option<Noted>), ArchiveError> {
        let path = archive.journal();
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        let file = options.open(&path);
        let file = file.map_err(ArchiveError::file("opening", &path))?;
        let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => file,
            Err((_, Errno::EWOULDBLOCK)) => return Err(ArchiveError::Busy { path }),
            Err((_, error)) => return Err(ArchiveError::file("locking", &path)(error.into())),
        };
        let (found, whole) = read(&file).map_err(ArchiveError::file("reading", &path))?;
        // What follows would stand in one line with what was cut off, and be lost with it.
        let cut = file.set_len(whole);
        cut.map_err(ArchiveError::file(
            "cutting off what is not whole of",
            &path,
        ))?;
        let file = Arc::new(file);
        Ok((Self { file, path }, found))
    }

    /// Begins anew: whatever was in it is of no use any more.
    pub fn begin(&mut self, header: &Header) -> Result<(), ArchiveError> {
        let mut file: &File = &self.file;
        let emptied = file.set_len(0).and_then(|()| file.rewind());
        emptied.map_err(ArchiveError::file("emptying", &self.path))?;
        self.write(header)
    }

    /// Notes what is finished.
    pub fn note(&mut self, line: &Line) -> Result<(), ArchiveError> {
        self.write(line)
    }

    /// Notes that everything is written, and on disk: what is left is the manifest, and the name.
    pub fn note_whole(&mut self, manifest: &Manifest) -> Result<(), ArchiveError> {
        self.write(&Last { whole: manifest })?;
        let flushed = self.file.sync_all();
        flushed.map_err(ArchiveError::file("flushing", &self.path))
    }

    fn write(&mut self, line: &impl Serialize) -> Result<(), ArchiveError> {
        let write = |mut file: &File| -> io::Result<()> {
            let mut text = serde_json::to_vec(line)?;
            text.push(b'\n');
            file.write_all(&text)
        };
        write(&self.file).map_err(ArchiveError::file("writing", &self.path))
    }

    /// Takes it away: the archive has its name.
    pub fn remove(archive: &Unfinished) -> Result<(), ArchiveError> {
        let path = archive.journal();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(ArchiveError::file("removing", &path)(error))
            }
            _ => Ok(()),
        }
    }
}

/// What is in it, and how many bytes of it are to stay: lines that are whole.
fn read(file: &File) -> io::Result<(Option<Noted>, u64)> {
    let mut from = BufReader::new(file);
    let mut text = Vec::new();
    // A line may be cut off anywhere, also within a character.
    let mut next = |text: &mut Vec<u8>| -> io::Result<Option<u64>> {
        text.clear();
        let length = from.read_until(b'\n', text)?;
        Ok(text.ends_with(b"\n").then_some(length as u64))
    };
    let length = next(&mut text)?;
    let header = length.zip(serde_json::from_slice::<Header>(&text).ok());
    let Some((mut whole, header)) = header else {
        // Nobody's, or not understood: that is left as it is.
        return Ok((None, file.metadata()?.len()));
    };
    let mut lines: BTreeMap<String, Line> = BTreeMap::new();
    let mut manifest = None;
    while let Some(length) = next(&mut text)? {
        if let Ok(line) = serde_json::from_slice::<Line>(&text) {
            lines.insert(line.key(), line);
            // Somebody went on nevertheless: then it was not as noted any more.
            manifest = None;
        } else if let Ok(last) = serde_json::from_slice::<Last<Manifest>>(&text) {
            manifest = Some(last.whole);
        } else {
            break;
        }
        whole += length;
    }
    let noted = Noted {
        header,
        lines: lines.into_values().collect(),
        whole: manifest,
    };
    Ok((Some(noted), whole))
}

impl Line {
    /// A file that was written twice is the later one.
    fn key(&self) -> String {
        match self {
            Self::Table { facts, .. } => facts.file.clone(),
            Self::LargeObjects { facts, .. } => facts
                .first()
                .map_or(String::new(), |object| object.file.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            run: "größe".to_owned(),
            holder: serde_json::Value::Null,
        }
    }

    fn line(table: &str) -> Line {
        Line::Table {
            facts: TableFacts {
                dump_id: crate::model::DumpId(1),
                table: crate::model::QualifiedName::new("s", table),
                columns: Vec::new(),
                file: format!("{table}.dat"),
                on_disk: super::super::FileFacts::default(),
                content: super::super::Content::default(),
            },
            counted: None,
            tags: BTreeMap::new(),
        }
    }

    #[test]
    fn a_manifest_is_the_last_line_or_none() {
        let dir = tempfile::tempdir().expect("a directory");
        let archive = Unfinished::of(&dir.path().join("archive"), dir.path()).expect("a path");
        let noted = || {
            let (_, found) = Journal::open(&archive).expect("nobody else has it");
            found.expect("it has a header")
        };
        let (mut journal, _) = Journal::open(&archive).expect("new");
        journal.begin(&header()).expect("written");
        journal.note(&line("one")).expect("written");
        // As earlier versions leave it.
        let clone = journal.clone();
        drop(journal);
        let busy = Journal::open(&archive).map(drop);
        assert!(matches!(busy, Err(ArchiveError::Busy { .. })));
        drop(clone);
        assert_eq!((noted().lines.len(), noted().whole), (1, None));
        let (mut journal, _) = Journal::open(&archive).expect("there");
        let manifest = Manifest::of_nothing();
        journal.note_whole(&manifest).expect("written");
        drop(journal);
        assert_eq!((noted().lines.len(), noted().whole), (1, Some(manifest)));
        // Cut short, it is none, and what comes after is not lost.
        let bytes = fs::read(archive.journal()).expect("read");
        fs::write(archive.journal(), &bytes[..bytes.len() - 3]).expect("written");
        assert_eq!(noted().whole, None);
        fs::write(archive.journal(), &bytes).expect("written");
        let (mut journal, _) = Journal::open(&archive).expect("there");
        journal.note(&line("other")).expect("written");
        drop(journal);
        assert_eq!((noted().lines.len(), noted().whole), (2, None));
    }

    #[test]
    fn what_was_cut_off_within_a_character_is_no_line_and_nothing_is_lost_behind_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let archive = Unfinished::of(&dir.path().join("archive"), dir.path()).expect("a path");
        let header = header();
        let lines = [line("größe"), line("länge")];
        let (mut journal, found) = Journal::open(&archive).expect("new");
        assert_eq!(found, None);
        journal.begin(&header).expect("written");
        journal.note(&lines[0]).expect("written");
        drop(journal);
        let whole = fs::read(archive.journal()).expect("read");
        let cut = serde_json::to_vec(&lines[1]).expect("JSON");
        let within = cut
            .iter()
            .position(|byte| *byte == 0xc3)
            .expect("an umlaut");
        fs::write(archive.journal(), [&whole[..], &cut[..=within]].concat()).expect("written");
        let (mut journal, found) = Journal::open(&archive).expect("there");
        assert_eq!(found.map(|found| found.lines), Some(lines[..1].to_vec()));
        journal.note(&lines[1]).expect("written");
        drop(journal);
        let (_, found) = Journal::open(&archive).expect("there");
        assert_eq!(
            found.map(|found| (found.header, found.lines)),
            Some((header, lines.to_vec()))
        );
    }
}
