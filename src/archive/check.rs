//! The files of an archive against its manifest: nothing missing, cut short, changed or added, and in each file the rows
//! that it must hold.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::prefix::MARK;
use super::store::Store;
use super::{
    Algorithm, ArchiveError, Codec, Content, Decoder, FileFacts, Line, Manifest, Summed,
    Unfinished, read_large_object, read_rows,
};

/// Something that is not as the manifest has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file's name within the archive.
    pub file: String,
    /// The table or large object that it belongs to.
    pub object: Option<String>,
    /// What is wrong with it.
    pub what: String,
}

/// What a file must hold.
enum Expected {
    Bytes,
    Rows(Content),
    Object(FileFacts),
}

/// What a file belongs to, and what it must be.
struct Subject<'a> {
    file: &'a str,
    facts: FileFacts,
    object: Option<String>,
    expected: Expected,
}

/// Compares every file of the archive of this name.
pub fn check_files(archive: &Path, manifest: &Manifest) -> Result<Vec<Problem>, ArchiveError> {
    check_files_of(&Store::at(archive)?, manifest)
}

/// Compares every file.
pub fn check_files_of(archive: &Store, manifest: &Manifest) -> Result<Vec<Problem>, ArchiveError> {
    let codec: Result<Codec, _> = manifest.compression.parse();
    let algorithm = codec.map_or(Algorithm::None, |codec| codec.algorithm);
    let there = archive.files();
    let there = there.map_err(ArchiveError::file("looking into", archive.shown()))?;
    let mut problems = surplus(&there, manifest);
    let subjects = subjects(manifest);
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..archive.readers().min(subjects.len()) {
            scope.spawn(|| {
                while let Some((index, subject)) = take(&next, &subjects) {
                    let length = there.get(subject.file).copied();
                    if let Some(what) = complaint((archive, length), algorithm, subject) {
                        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                        found.push((index, what));
                    }
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_unstable();
    problems.extend(found.into_iter().map(|(index, what)| Problem {
        file: subjects[index].file.to_owned(),
        object: subjects[index].object.clone(),
        what,
    }));
    Ok(problems)
}

fn take<'a, T>(next: &AtomicUsize, all: &'a [T]) -> Option<(usize, &'a T)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    all.get(index).map(|one| (index, one))
}

fn subjects(manifest: &Manifest) -> Vec<Subject<'_>> {
    let tables: BTreeMap<&str, (String, Content)> = manifest
        .tables
        .iter()
        .map(|table| {
            (
                table.file.as_str(),
                (table.table.to_string(), table.content),
            )
        })
        .collect();
    let objects: BTreeMap<&str, (String, FileFacts)> = manifest
        .large_objects
        .iter()
        .map(|object| {
            (
                object.file.as_str(),
                (object.oid.to_string(), object.content),
            )
        })
        .collect();
    let subject = |(file, facts)| {
        let (object, expected) = match (tables.get(file), objects.get(file)) {
            (Some((table, content)), _) => {
                (Some(format!("table {table}")), Expected::Rows(*content))
            }
            (_, Some((object, content))) => (
                Some(format!("large object {object}")),
                Expected::Object(*content),
            ),
            _ => (None, Expected::Bytes),
        };
        Subject {
            file,
            facts,
            object,
            expected,
        }
    };
    manifest.files().map(subject).collect()
}

/// Of the pieces that an interrupted dump had finished those of which the files are still what it says. A file that a store
/// knows by the same tag is not read again.
pub fn still_as_noted(
    archive: &Unfinished,
    algorithm: Algorithm,
    lines: Vec<Line>,
) -> Result<Vec<Line>, ArchiveError> {
    let store = archive.store();
    let there = store.files();
    let there = there.map_err(ArchiveError::file("looking into", store.shown()))?;
    let is_well = |subject: &Subject<'_>, tag: Option<&String>| {
        let length = there.get(subject.file).copied();
        if length == Some(subject.facts.bytes) && archive.has_tag(subject.file, tag)? {
            return Ok(true);
        }
        Ok::<bool, ArchiveError>(complaint((&store, length), algorithm, subject).is_none())
    };
    let mut still = Vec::with_capacity(lines.len());
    for line in lines {
        let mut all = true;
        for (subject, tag) in noted(&line) {
            all = all && is_well(&subject, tag)?;
        }
        if all {
            still.push(line);
        }
    }
    Ok(still)
}

/// The files of a piece, with their tags.
fn noted(line: &Line) -> Vec<(Subject<'_>, Option<&String>)> {
    let subject = |file, facts, expected| Subject {
        file,
        facts,
        object: None,
        expected,
    };
    match line {
        Line::Table { facts, tags, .. } => {
            let expected = Expected::Rows(facts.content);
            let table = subject(facts.file.as_str(), facts.on_disk, expected);
            vec![(table, tags.get(&facts.file))]
        }
        Line::LargeObjects { facts, tags } => {
            let each = facts.iter().map(|object| {
                let expected = Expected::Object(object.content);
                let file = subject(object.file.as_str(), object.on_disk, expected);
                (file, tags.get(&object.file))
            });
            each.collect()
        }
    }
}

/// What is there and not in the manifest.
fn surplus(there: &BTreeMap<String, u64>, manifest: &Manifest) -> Vec<Problem> {
    let names = manifest.surplus(there.keys());
    names
        .filter(|name| *name != MARK)
        .map(|name| Problem {
            file: name.clone(),
            object: None,
            what: "it is not in the manifest".to_owned(),
        })
        .collect()
}

fn complaint(
    (archive, length): (&Store, Option<u64>),
    algorithm: Algorithm,
    subject: &Subject<'_>,
) -> Option<String> {
    let facts = subject.facts;
    match length {
        None => return Some("it is missing".to_owned()),
        Some(there) if there != facts.bytes => {
            return Some(format!("it has {there} bytes instead of {}", facts.bytes));
        }
        Some(_) => {}
    }
    let opened = archive.open(subject.file, facts.bytes);
    match opened.and_then(|file| compared(file, facts, (algorithm, &subject.expected))) {
        Ok(complaint) => complaint,
        Err(error) => Some(format!("it cannot be read: {error}")),
    }
}

fn compared(
    file: Box<dyn Read + Send>,
    facts: FileFacts,
    (algorithm, expected): (Algorithm, &Expected),
) -> io::Result<Option<String>> {
    // In one pass: what is decompressed, and the hash of what it is decompressed from.
    let mut raw = BufReader::with_capacity(128 << 10, SummedRead(file, Summed::new(io::sink())));
    let said = content((algorithm, expected), &mut raw);
    io::copy(&mut raw, &mut io::sink())?;
    let read = raw.get_ref().1.facts();
    if read != facts {
        return Ok(Some(format!(
            "its content has changed: its hash is {:032x} instead of {:032x}",
            read.xxh3, facts.xxh3
        )));
    }
    said
}

fn content(
    (algorithm, expected): (Algorithm, &Expected),
    raw: impl BufRead,
) -> io::Result<Option<String>> {
    Ok(match expected {
        Expected::Bytes => None,
        Expected::Rows(content) => {
            let read = read_rows(&mut Decoder::buffered(algorithm, raw)?, false)?;
            match read {
                Err(what) => Some(what),
                Ok(read) if read != *content => Some(format!(
                    "it holds {}, the manifest says {}",
                    read.digest, content.digest
                )),
                Ok(_) => None,
            }
        }
        Expected::Object(content) => {
            let read = read_large_object(&mut Decoder::buffered(algorithm, raw)?)?;
            (read != *content).then(|| {
                format!(
                    "it holds {} bytes, hash {:032x}; the manifest says {}, {:032x}",
                    read.bytes, read.xxh3, content.bytes, content.xxh3
                )
            })
        }
    })
}

/// Hashes what is read of a file.
struct SummedRead(Box<dyn Read + Send>, Summed<io::Sink>);

impl Read for SummedRead {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(into)?;
        self.1.write_all(&into[..count])?;
        Ok(count)
    }
}
