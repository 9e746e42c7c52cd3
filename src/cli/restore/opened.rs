//! An archive, opened: what is in it, and whether all of its files are there.

use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_128;

use crate::archive::{ArchiveError, LOSSES, Manifest, Store, Stored, TOC, absolute};
use crate::failure::Failure;
use crate::ledger::ArchiveRecord;
use crate::model::{Bytes, ExitStatus, Rows};
use crate::plan::ArchiveData;
use crate::salvage::Losses;
use crate::toc::{Selection, Toc};

/// How much larger rows are than their file, if nobody has counted: a guess, for the plan alone.
const UNPACKED: u64 = 3;

/// An archive.
pub(super) struct Opened {
    /// Its name: absolute.
    pub path: PathBuf,
    /// Where everything in it is.
    pub stored: Stored,
    /// What all of it must be; one by `pg_dump` has none.
    pub manifest: Option<Manifest>,
    /// What is not in it, if it is of a damaged database.
    pub losses: Option<Losses>,
    /// The encoding of its rows.
    pub encoding: String,
    /// By what it is known again.
    pub record: ArchiveRecord,
}

/// Opens it. An archive of which something is missing is refused.
pub(super) fn open(path: &Path) -> Result<Opened, Failure> {
    let path = absolute(path)?;
    let archive = Store::at(&path)?;
    if !archive
        .exists()
        .map_err(ArchiveError::file("opening", &path))?
    {
        if archive.has_files() {
            return Err(ArchiveError::Nothing { path }.into());
        }
        let missing = io::Error::from(io::ErrorKind::NotFound);
        return Err(Failure::file("opening", &path, &missing).with_status(ExitStatus::Usage));
    }
    let manifest = match Manifest::of(&archive) {
        Ok(manifest) => Some(manifest),
        Err(ArchiveError::NoManifest { .. }) => None,
        Err(ArchiveError::File { .. }) if !archive.has_files() => None,
        Err(error) => return Err(Failure::refused_archive(error)),
    };
    if let Some(manifest) = &manifest {
        sizes(&archive, manifest).map_err(Failure::refused_archive)?;
    }
    let losses = losses(&archive, manifest.as_ref()).map_err(Failure::refused_archive)?;
    let stored = Stored::of(&archive).map_err(Failure::refused_archive)?;
    let encoding = encoding_of_rows(manifest.as_ref(), &stored.toc);
    let contents = fingerprint(&archive, &stored.toc)?;
    Ok(Opened {
        record: ArchiveRecord {
            path: path.clone(),
            contents,
            selection: Selection::default(),
            clean: false,
            disable_triggers: false,
        },
        path,
        stored,
        manifest,
        losses,
        encoding,
    })
}

/// What its table of contents says, unless that is known to be in another one than the rows.
fn encoding_of_rows(manifest: Option<&Manifest>, toc: &Toc) -> String {
    let contradicts = |manifest: &&Manifest| manifest.contradicted_by(toc).is_some();
    let encoding = match manifest.filter(contradicts) {
        Some(manifest) => Some(manifest.source.encoding.clone()),
        None => toc.encoding(),
    };
    encoding.unwrap_or_else(|| "SQL_ASCII".to_owned())
}

/// The account of an archive that is not whole.
fn losses(archive: &Store, manifest: Option<&Manifest>) -> Result<Option<Losses>, ArchiveError> {
    let Some(facts) = manifest.and_then(|manifest| manifest.losses.as_ref()) else {
        return Ok(None);
    };
    let mut account = facts.account.iter();
    let noted = account.find(|(name, _)| name == LOSSES);
    let noted = noted.map(|(_, facts)| *facts).unwrap_or_default();
    let bytes = archive.as_noted(LOSSES, noted)?;
    match serde_json::from_slice(&bytes) {
        Ok(losses) => Ok(Some(losses)),
        Err(error) => Err(ArchiveError::Data {
            path: archive.path_of(LOSSES),
            what: format!("it cannot be understood: {error}"),
        }),
    }
}

/// Every file is there, and as long as the manifest says; the table of contents is what it was. What is in the others is known
/// when they have been read.
fn sizes(archive: &Store, manifest: &Manifest) -> Result<(), ArchiveError> {
    let there = archive.files();
    let there = there.map_err(ArchiveError::file("looking into", archive.shown()))?;
    for (name, facts) in manifest.files() {
        let broken = |what: String| ArchiveError::Data {
            path: archive.path_of(name),
            what,
        };
        match there.get(name) {
            Some(bytes) if *bytes == facts.bytes => {}
            Some(bytes) => {
                return Err(broken(format!(
                    "it has {bytes} bytes instead of {}{}",
                    facts.bytes,
                    of_table(manifest, name)
                )));
            }
            None => return Err(broken(format!("it is missing{}", of_table(manifest, name)))),
        }
    }
    archive.as_noted(TOC, manifest.toc).map(drop)
}

fn of_table(manifest: &Manifest, file: &str) -> String {
    let mut tables = manifest.tables.iter();
    let table = tables.find(|table| table.file == file);
    table.map_or(String::new(), |table| {
        format!(" (the rows of {})", table.table.shown())
    })
}

/// A hash of its table of contents: as it is in the file, or, of one that is part of a file, as it would be written.
fn fingerprint(archive: &Store, toc: &Toc) -> Result<String, Failure> {
    let bytes = if archive.has_files() {
        let bytes = archive.whole(TOC);
        bytes.map_err(ArchiveError::file("reading", &archive.path_of(TOC)))?
    } else {
        toc.to_bytes()?
    };
    Ok(format!("{:032x}", xxh3_128(&bytes)))
}

impl Opened {
    /// What is known of the data before it is read.
    pub fn data(&self) -> ArchiveData {
        let counted = self.manifest.iter().flat_map(|manifest| &manifest.tables);
        let counted = counted.map(|table| {
            let content = table.content;
            (table.dump_id, (content.digest.rows, Bytes(content.bytes)))
        });
        let entries = self.stored.toc.entries.iter();
        let guessed = entries.filter_map(|entry| {
            let stored = self.stored.rows(entry.dump_id)?.stored()?;
            Some((
                entry.dump_id,
                (Rows(0), Bytes(stored.0.saturating_mul(UNPACKED))),
            ))
        });
        ArchiveData {
            sizes: guessed.chain(counted).collect(),
            objects: self.stored.objects().collect(),
            encoding: self.encoding.clone(),
        }
    }

    /// What its manifest leaves out.
    pub fn narrowed_by(&self) -> Vec<String> {
        let manifest = self.manifest.as_ref();
        manifest.map_or(Vec::new(), |manifest| manifest.narrowed_by.clone())
    }
}
