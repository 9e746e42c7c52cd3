//! An archive without a manifest, read to its end: what is in it, as far as it tells.
//!
//! Rows have a last line, what is compressed has an end, and the parts of a single file a length: what is cut off or cannot be unpacked
//! shows. That something was left out of it, or that there are other rows in it than there were, nobody can tell without a manifest.

use super::check::{Problem, is_of_the_road, look_at_all};
use super::store::Store;
use super::{ArchiveError, Place, Stored, TOC, read_large_object, read_rows};
use crate::model::{Oid, Rows};
use crate::toc::{Entry, TocError};

/// What an archive without a manifest holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadThrough {
    /// Tables that have data in it.
    pub tables: u64,
    /// Their rows.
    pub rows: Rows,
    /// Those of the tables that have statements in the place of rows, which nobody has counted (`--inserts`).
    pub uncounted: u64,
    /// Large objects.
    pub objects: u64,
    /// Those of the large objects that would read as well if they had been cut off.
    pub open_ends: u64,
    /// What is missing or damaged.
    pub problems: Vec<Problem>,
    /// Not even where everything is could be told: nothing else was read.
    pub is_unopened: bool,
}

/// What a piece of the data is.
enum Piece<'a> {
    Table(&'a Entry),
    Object(Oid),
}

/// A piece of the data, and where it is.
struct Subject<'a> {
    piece: Piece<'a>,
    place: &'a Place,
}

/// Reads all of its data. The error is that it is no archive, or that nobody could read it.
pub fn read_through(archive: &Store) -> Result<ReadThrough, ArchiveError> {
    let stored = match Stored::of(archive) {
        Ok(stored) => stored,
        Err(error) => return unopened(archive, error),
    };
    let subjects = subjects(&stored);
    let seen = look_at_all(&subjects, archive.readers(), look)?;
    let open_ends = stored
        .objects()
        .filter(|(oid, _)| stored.has_open_end(*oid));
    let mut read = ReadThrough {
        open_ends: open_ends.count() as u64,
        ..ReadThrough::default()
    };
    for (subject, seen) in subjects.iter().zip(seen) {
        match &subject.piece {
            Piece::Table(entry) => {
                read.tables += 1;
                read.uncounted += u64::from(!has_rows(entry));
            }
            Piece::Object(_) => read.objects += 1,
        }
        match seen {
            Ok(rows) => read.rows = Rows(read.rows.0.saturating_add(rows.0)),
            Err(what) => read.problems.push(subject.problem(what)),
        }
    }
    Ok(read)
}

impl Subject<'_> {
    fn problem(&self, what: String) -> Problem {
        let object = match &self.piece {
            Piece::Table(entry) => {
                let name = entry.qualified_name();
                let name = name.map_or_else(|| entry.tag_lossy(), |name| name.shown());
                format!("table {name}")
            }
            Piece::Object(oid) => format!("large object {oid}"),
        };
        Problem {
            file: self.place.name().to_owned(),
            object: Some(object),
            what,
        }
    }
}

fn subjects(stored: &Stored) -> Vec<Subject<'_>> {
    let tables = stored.toc.entries.iter().filter_map(|entry| {
        Some(Subject {
            piece: Piece::Table(entry),
            place: stored.rows(entry.dump_id)?,
        })
    });
    let objects = stored.objects().filter_map(|(oid, _)| {
        Some(Subject {
            piece: Piece::Object(oid),
            place: stored.object(oid)?,
        })
    });
    tables.chain(objects).collect()
}

/// Whether its data is what COPY sends, and no statements.
fn has_rows(entry: &Entry) -> bool {
    let copy = entry.copy_stmt.as_ref();
    copy.is_some_and(|copy| !copy.as_bytes().is_empty())
}

/// How many rows a piece holds, or what is wrong with it; an error if it is the road to it that is broken.
fn look(subject: &Subject<'_>) -> Result<Result<Rows, String>, ArchiveError> {
    let read = subject
        .place
        .open()
        .and_then(|mut from| match &subject.piece {
            Piece::Table(entry) if has_rows(entry) => {
                let content = read_rows(&mut from, false)?;
                Ok(content.map(|content| content.digest.rows))
            }
            _ => read_large_object(&mut from).map(|_| Ok(Rows(0))),
        });
    let error = match read {
        Ok(read) => return Ok(read),
        Err(error) => error,
    };
    if is_of_the_road(&error) {
        return Err(ArchiveError::file("reading", subject.place.name().as_ref())(error));
    }
    Ok(Err(format!("it cannot be read: {error}")))
}

/// An archive that is cut off, or has lost a file, is one that is damaged; anything else is none.
fn unopened(archive: &Store, error: ArchiveError) -> Result<ReadThrough, ArchiveError> {
    let (path, what) = match &error {
        ArchiveError::Data { path, what } => (path.clone(), what.clone()),
        ArchiveError::Contents(
            damage @ (TocError::Truncated { .. }
            | TocError::Damaged { .. }
            | TocError::TrailingBytes { .. }),
        ) if archive.has_files() => (archive.path_of(TOC), damage.to_string()),
        ArchiveError::Contents(
            damage @ (TocError::Truncated { .. } | TocError::Damaged { .. }),
        ) => (archive.shown().to_owned(), damage.to_string()),
        _ => return Err(error),
    };
    let name = path.file_name().unwrap_or_default();
    Ok(ReadThrough {
        problems: vec![Problem {
            file: name.to_string_lossy().into_owned(),
            object: None,
            what,
        }],
        is_unopened: true,
        ..ReadThrough::default()
    })
}
