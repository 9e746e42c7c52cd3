//! The files of an archive against its manifest: nothing missing, cut short, changed or added, and in each file the rows
//! that it must hold.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::prefix::MARK;
use super::store::{Store, StoreError};
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

/// Files that are named.
const MOST_NAMED: usize = 5;

/// `ENFILE` and `EMFILE`, which are of no kind.
const TOO_MANY_FILES: [i32; 2] = [23, 24];

impl Problem {
    /// The first of them, in words.
    pub fn listed(problems: &[Self]) -> String {
        let first = problems.iter().take(MOST_NAMED);
        let mut named: Vec<String> = first
            .map(|problem| {
                let of = problem.object.as_ref();
                let of = of.map_or(String::new(), |object| format!(" ({object})"));
                format!("{}{of}: {}", problem.file, problem.what)
            })
            .collect();
        if problems.len() > MOST_NAMED {
            named.push(format!("{} more", problems.len() - MOST_NAMED));
        }
        named.join("; ")
    }
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
    let there = files_of(archive)?;
    let mut problems = surplus(&there, manifest);
    let subjects = subjects(manifest);
    let found = look_at_all(&subjects, archive.readers(), |subject| {
        let length = there.get(subject.file).copied();
        match complaint((archive, length), algorithm, subject) {
            Err(error) if is_of_the_road(&error) => {
                let path = archive.path_of(subject.file);
                Err(ArchiveError::file("reading", &path)(error))
            }
            Err(error) => Ok(Some(format!("it cannot be read: {error}"))),
            Ok(complaint) => Ok(complaint),
        }
    })?;
    problems.extend(problems_of(&subjects, found));
    Ok(problems)
}

/// Whether it says nothing of what is in a file that it could not be read: who asked may not, or the system or a store had trouble.
pub fn is_of_the_road(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, OutOfMemory, PermissionDenied, TimedOut};
    let inner = error.get_ref();
    let of_store = inner.and_then(|inner| inner.downcast_ref::<StoreError>());
    let code = error.raw_os_error();
    matches!(
        error.kind(),
        PermissionDenied | Interrupted | OutOfMemory | TimedOut
    ) || code.is_some_and(|code| TOO_MANY_FILES.contains(&code))
        || of_store.is_some_and(|error| !error.is_of_content())
}

/// What is not as its manifest has it, of an archive of which everything was written in an earlier session; what is there besides is no
/// problem yet. Files that a store knows by the tag that was noted are not read again. An error if one cannot be read: that says
/// nothing of what is in it.
pub fn changed_since(
    archive: &Unfinished,
    manifest: &Manifest,
    lines: &[Line],
) -> Result<Vec<Problem>, ArchiveError> {
    let codec: Result<Codec, _> = manifest.compression.parse();
    let algorithm = codec.map_or(Algorithm::None, |codec| codec.algorithm);
    let store = archive.store();
    let there = files_of(&store)?;
    let subjects = subjects(manifest);
    let tags: BTreeMap<&str, (FileFacts, &String)> = lines
        .iter()
        .flat_map(noted)
        .filter_map(|(subject, tag)| Some((subject.file, (subject.facts, tag?))))
        .collect();
    let found = look_at_all(&subjects, store.readers(), |subject| {
        let length = there.get(subject.file).copied();
        let tag = tags.get(subject.file);
        let tag = tag.filter(|(facts, _)| *facts == subject.facts);
        let tag = tag.map(|(_, tag)| *tag);
        if is_known(archive, (subject, length), tag)? {
            return Ok(None);
        }
        let complaint = complaint((&store, length), algorithm, subject);
        complaint.map_err(ArchiveError::file("reading", &store.path_of(subject.file)))
    })?;
    Ok(problems_of(&subjects, found).collect())
}

/// An error if a file that the manifest names is not there, or is not as long as it was: each was looked at when it was complete, which may
/// be hours ago, and something may have taken it away.
pub(super) fn refuse_lost(
    archive: &Path,
    there: &BTreeMap<String, u64>,
    manifest: &Manifest,
) -> Result<(), ArchiveError> {
    let subjects = subjects(manifest);
    let found = subjects
        .iter()
        .map(|subject| unlike(there.get(subject.file).copied(), subject.facts));
    let lost: Vec<Problem> = problems_of(&subjects, found.collect()).collect();
    if lost.is_empty() {
        return Ok(());
    }
    Err(ArchiveError::Lost {
        path: archive.to_owned(),
        what: Problem::listed(&lost),
    })
}

fn files_of(archive: &Store) -> Result<BTreeMap<String, u64>, ArchiveError> {
    let there = archive.files();
    there.map_err(ArchiveError::file("looking into", archive.shown()))
}

/// What was found of each.
fn problems_of(
    subjects: &[Subject<'_>],
    found: Vec<Option<String>>,
) -> impl Iterator<Item = Problem> {
    let both = subjects.iter().zip(found);
    both.filter_map(|(subject, what)| {
        what.map(|what| Problem {
            file: subject.file.to_owned(),
            object: subject.object.clone(),
            what,
        })
    })
}

/// Looks at each, in so many threads; what is seen is in the order of all. Nothing more is looked at behind an error.
pub(super) fn look_at_all<T: Sync, S: Send, E: Send>(
    all: &[T],
    readers: usize,
    look: impl Fn(&T) -> Result<S, E> + Sync,
) -> Result<Vec<S>, E> {
    let next = AtomicUsize::new(0);
    let seen = Mutex::new(Vec::with_capacity(all.len()));
    std::thread::scope(|scope| {
        for _ in 0..readers.min(all.len()) {
            scope.spawn(|| {
                while let Some((index, one)) = take(&next, all) {
                    let looked = look(one);
                    if looked.is_err() {
                        next.store(all.len(), Ordering::Relaxed);
                    }
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.push((index, looked));
                }
            });
        }
    });
    let mut seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    seen.sort_unstable_by_key(|(index, _)| *index);
    seen.into_iter().map(|(_, looked)| looked).collect()
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
/// knows by the same tag is not read again; one that cannot be read is written anew.
pub fn still_as_noted(
    archive: &Unfinished,
    algorithm: Algorithm,
    lines: Vec<Line>,
) -> Result<Vec<Line>, ArchiveError> {
    let store = archive.store();
    let there = files_of(&store)?;
    let is_well = |line: &Line| {
        for (subject, tag) in noted(line) {
            let length = there.get(subject.file).copied();
            let is_well = is_known(archive, (&subject, length), tag)?
                || matches!(complaint((&store, length), algorithm, &subject), Ok(None));
            if !is_well {
                return Ok::<bool, ArchiveError>(false);
            }
        }
        Ok(true)
    };
    let well = look_at_all(&lines, store.readers(), is_well)?;
    let still = lines.into_iter().zip(well);
    Ok(still
        .filter_map(|(line, well)| well.then_some(line))
        .collect())
}

/// Whether it is as long as it must be, and the store knows it by this tag.
fn is_known(
    archive: &Unfinished,
    (subject, length): (&Subject<'_>, Option<u64>),
    tag: Option<&String>,
) -> Result<bool, ArchiveError> {
    Ok(length == Some(subject.facts.bytes) && archive.has_tag(subject.file, tag)?)
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

/// What is wrong with a file by its length, before it is read; `None` for one that is not there.
fn unlike(length: Option<u64>, facts: FileFacts) -> Option<String> {
    match length {
        None => Some("it is missing".to_owned()),
        Some(there) => (there != facts.bytes)
            .then(|| format!("it has {there} bytes instead of {}", facts.bytes)),
    }
}

/// What is wrong with a file; an error if that cannot be known, because its bytes cannot be read.
fn complaint(
    (archive, length): (&Store, Option<u64>),
    algorithm: Algorithm,
    subject: &Subject<'_>,
) -> io::Result<Option<String>> {
    let facts = subject.facts;
    if let Some(what) = unlike(length, facts) {
        return Ok(Some(what));
    }
    let file = archive.open(subject.file, facts.bytes)?;
    compared(file, facts, (algorithm, &subject.expected))
}

fn compared(
    file: Box<dyn Read + Send>,
    facts: FileFacts,
    (algorithm, expected): (Algorithm, &Expected),
) -> io::Result<Option<String>> {
    // In one pass: what is decompressed, and the hash of what it is decompressed from.
    let mut raw = BufReader::with_capacity(128 << 10, SummedRead::new(file));
    let said = content((algorithm, expected), &mut raw);
    if said.is_err() && raw.get_ref().has_failed {
        return said;
    }
    io::copy(&mut raw, &mut io::sink())?;
    let read = raw.get_ref().summed.facts();
    if read != facts {
        return Ok(Some(format!(
            "its content has changed: its hash is {:032x} instead of {:032x}",
            read.xxh3, facts.xxh3
        )));
    }
    // It was written like that: what is packed in it cannot be unpacked.
    Ok(said.unwrap_or_else(|error| Some(format!("it cannot be read: {error}"))))
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
struct SummedRead {
    file: Box<dyn Read + Send>,
    summed: Summed<io::Sink>,
    /// The file could not be read, which is another thing than bytes of which no rows can be made.
    has_failed: bool,
}

impl SummedRead {
    fn new(file: Box<dyn Read + Send>) -> Self {
        Self {
            file,
            summed: Summed::new(io::sink()),
            has_failed: false,
        }
    }
}

impl Read for SummedRead {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(into);
        self.has_failed |= read.is_err();
        let count = read?;
        self.summed.write_all(&into[..count])?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_not_read_a_file_does_not_call_it_damaged() {
        let of_kind = io::Error::from;
        for (error, is_it) in [
            (of_kind(io::ErrorKind::PermissionDenied), true),
            (of_kind(io::ErrorKind::InvalidData), false),
            (of_kind(io::ErrorKind::UnexpectedEof), false),
            // EACCES, EMFILE; a disk that does not give back what it has, and a directory where a file was.
            (io::Error::from_raw_os_error(13), true),
            (io::Error::from_raw_os_error(24), true),
            (io::Error::from_raw_os_error(5), false),
            (io::Error::from_raw_os_error(21), false),
        ] {
            assert_eq!(is_of_the_road(&error), is_it, "{error}");
        }
    }
}
