//! The files of an archive against its manifest: nothing missing, cut short, changed or added, and in each file the rows
//! that it must hold.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::path::Path;

use super::{
    Algorithm, ArchiveError, Codec, Content, Decoder, FileFacts, Line, MANIFEST, Manifest, Summed,
    read_large_object, read_rows,
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

/// What a file must be.
enum Expected<'a> {
    Bytes,
    Rows(&'a str, Content),
    Object(&'a str, FileFacts),
}

/// Compares every file.
pub fn check_files(archive: &Path, manifest: &Manifest) -> Result<Vec<Problem>, ArchiveError> {
    let codec: Result<Codec, _> = manifest.compression.parse();
    let algorithm = codec.map_or(Algorithm::None, |codec| codec.algorithm);
    let mut problems = surplus(archive, manifest)?;
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
    for (name, facts) in manifest.files() {
        let expected = match (tables.get(name), objects.get(name)) {
            (Some((table, content)), _) => Expected::Rows(table, *content),
            (_, Some((object, content))) => Expected::Object(object, *content),
            _ => Expected::Bytes,
        };
        if let Some(what) = complaint(&archive.join(name), facts, (algorithm, &expected)) {
            problems.push(Problem {
                file: name.to_owned(),
                object: match expected {
                    Expected::Rows(table, _) => Some(format!("table {table}")),
                    Expected::Object(object, _) => Some(format!("large object {object}")),
                    Expected::Bytes => None,
                },
                what,
            });
        }
    }
    Ok(problems)
}

/// Whether the files of a piece that an interrupted dump had finished are still what it says.
pub fn is_as_noted(archive: &Path, algorithm: Algorithm, line: &Line) -> bool {
    let is_well = |file: &str, facts, expected: &Expected<'_>| {
        complaint(&archive.join(file), facts, (algorithm, expected)).is_none()
    };
    match line {
        Line::Table { facts, .. } => {
            let expected = Expected::Rows("", facts.content);
            is_well(&facts.file, facts.on_disk, &expected)
        }
        Line::LargeObjects { facts } => facts.iter().all(|object| {
            let expected = Expected::Object("", object.content);
            is_well(&object.file, object.on_disk, &expected)
        }),
    }
}

/// What is in the directory and not in the manifest.
fn surplus(archive: &Path, manifest: &Manifest) -> Result<Vec<Problem>, ArchiveError> {
    let known: std::collections::BTreeSet<&str> = manifest.files().map(|(name, _)| name).collect();
    let looking = || ArchiveError::file("looking into", archive);
    let mut problems = Vec::new();
    for entry in std::fs::read_dir(archive).map_err(looking())? {
        let name = entry.map_err(looking())?.file_name();
        let name = name.to_string_lossy();
        if name != MANIFEST && !known.contains(&*name) {
            problems.push(Problem {
                file: name.into_owned(),
                object: None,
                what: "it is not in the manifest".to_owned(),
            });
        }
    }
    problems.sort_by(|one, other| one.file.cmp(&other.file));
    Ok(problems)
}

fn complaint(
    path: &Path,
    facts: FileFacts,
    (algorithm, expected): (Algorithm, &Expected<'_>),
) -> Option<String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Some("it is missing".to_owned());
        }
        Err(error) => return Some(format!("it cannot be read: {error}")),
    };
    match compared(file, facts, (algorithm, expected)) {
        Ok(complaint) => complaint,
        Err(error) => Some(format!("it cannot be read: {error}")),
    }
}

fn compared(
    file: File,
    facts: FileFacts,
    (algorithm, expected): (Algorithm, &Expected<'_>),
) -> io::Result<Option<String>> {
    let there = file.metadata()?.len();
    if there != facts.bytes {
        return Ok(Some(format!(
            "it has {there} bytes instead of {}",
            facts.bytes
        )));
    }
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
    (algorithm, expected): (Algorithm, &Expected<'_>),
    raw: impl BufRead,
) -> io::Result<Option<String>> {
    Ok(match expected {
        Expected::Bytes => None,
        Expected::Rows(_, content) => {
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
        Expected::Object(_, content) => {
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
struct SummedRead(File, Summed<io::Sink>);

impl Read for SummedRead {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(into)?;
        self.1.write_all(&into[..count])?;
        Ok(count)
    }
}
