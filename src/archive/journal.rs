//! Which files of an unfinished archive are finished, one line each: `pgconvoy.journal` beside them.
//!
//! It is not flushed: what a crash of the machine has taken from a file shows when the file's hash is looked at, which
//! whoever goes on does before anything else.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ArchiveError, LargeObjectFacts, TableFacts, Unfinished};

const NAME: &str = "pgconvoy.journal";

/// A line of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "finished", rename_all = "snake_case")]
pub enum Line {
    /// A table's file.
    Table {
        /// What it holds, by what was read of the source.
        facts: TableFacts,
        /// `count(*)` there, if it was counted.
        counted: Option<u64>,
    },
    /// Large objects.
    LargeObjects {
        /// Each of them.
        facts: Vec<LargeObjectFacts>,
    },
}

/// The journal, open for more.
pub struct Journal {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// Opens that of an archive.
    pub fn open(archive: &Unfinished) -> Result<Self, ArchiveError> {
        let path = archive.path().join(NAME);
        let opened = OpenOptions::new().create(true).append(true).open(&path);
        Ok(Self {
            file: opened.map_err(ArchiveError::file("opening", &path))?,
            path,
        })
    }

    /// Notes what is finished.
    pub fn note(&mut self, line: &Line) -> Result<(), ArchiveError> {
        let write = |file: &mut File| -> io::Result<()> {
            let mut text = serde_json::to_vec(line)?;
            text.push(b'\n');
            file.write_all(&text)
        };
        write(&mut self.file).map_err(ArchiveError::file("writing", &self.path))
    }

    /// What an interrupted dump has finished. A last line that is not whole is none.
    pub fn read(archive: &Unfinished) -> Result<Vec<Line>, ArchiveError> {
        let path = archive.path().join(NAME);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(ArchiveError::file("reading", &path)(error)),
        };
        let mut lines: BTreeMap<String, Line> = BTreeMap::new();
        for text in BufReader::new(file).lines() {
            let text = text.map_err(ArchiveError::file("reading", &path))?;
            let Ok(line) = serde_json::from_str::<Line>(&text) else {
                break;
            };
            lines.insert(line.key(), line);
        }
        Ok(lines.into_values().collect())
    }

    /// It is of no use in a finished archive.
    pub fn remove(archive: &Unfinished) -> Result<(), ArchiveError> {
        let path = archive.path().join(NAME);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(ArchiveError::file("removing", &path)(error))
            }
            _ => Ok(()),
        }
    }
}

impl Line {
    /// A file that was written twice is the later one.
    fn key(&self) -> String {
        match self {
            Self::Table { facts, .. } => facts.file.clone(),
            Self::LargeObjects { facts } => facts
                .first()
                .map_or(String::new(), |object| object.file.clone()),
        }
    }
}
