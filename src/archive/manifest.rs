//! What an archive holds, file by file: `pgconvoy.manifest.json`.
//!
//! It is written last, when everything else is on disk: an archive without it is not known to be whole. Hashes are xxh3-128,
//! 32 hexadecimal digits. That of a table's content is the sum, modulo 2^128, of those of its rows as COPY sends them in its
//! text format, line feed included, in the sessions' settings that are named here: whoever reads the same columns of a server
//! in the same way can compare without the files.

use std::io;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ArchiveError;
use super::prefix::MARK;
use super::store::{Store, StoreError};
use crate::model::{DumpId, MultisetDigest, Oid, QualifiedName};

/// The manifest's name.
pub const MANIFEST: &str = "pgconvoy.manifest.json";

/// Version of the manifest's format.
const FORMAT: u32 = 1;

/// What an archive holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this format: 1.
    pub format: u32,
    /// Version of pgconvoy.
    pub pgconvoy_version: String,
    /// When the dump was finished.
    pub finished_at: DateTime<Utc>,
    /// What was dumped.
    pub source: SourceFacts,
    /// The options that left a part of it out.
    pub narrowed_by: Vec<String>,
    /// As `-Z` has it: `zstd:3`.
    pub compression: String,
    /// `toc.dat`.
    pub toc: FileFacts,
    /// Tables whose rows are in the archive.
    pub tables: Vec<TableFacts>,
    /// Where sequences stand.
    pub sequences: Vec<SequenceFacts>,
    /// Large objects.
    pub large_objects: Vec<LargeObjectFacts>,
    /// The lists of large objects (`blobs_3542.toc`), by name.
    pub large_object_lists: Vec<(String, FileFacts)>,
}

/// Where the content of an archive is from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFacts {
    /// Host and port, for people.
    pub server: String,
    /// The database.
    pub database: String,
    /// `server_version_num`.
    pub server_version_num: u32,
    /// Made by `initdb`; not visible to everybody.
    pub system_identifier: Option<i64>,
    /// The database's encoding, which is that of the files.
    pub encoding: String,
    /// The snapshot, as `pg_export_snapshot` named it.
    pub snapshot: String,
    /// The write-ahead log's position at that moment.
    pub lsn: String,
    /// What was set in the sessions that read the rows, as far as it changes what is sent.
    pub settings: Vec<(String, String)>,
}

/// A file as it is on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Its size.
    pub bytes: u64,
    /// Hash of all its bytes.
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    pub xxh3: u128,
}

/// What a table's file holds, decompressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// How many rows, and the sum of their hashes.
    #[serde(flatten)]
    pub digest: MultisetDigest,
    /// Bytes of the rows.
    pub bytes: u64,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableFacts {
    /// The entry `TABLE DATA`.
    pub dump_id: DumpId,
    /// Whose rows they are.
    pub table: QualifiedName,
    /// The columns, in the order of the file.
    pub columns: Vec<String>,
    /// The file's name.
    pub file: String,
    /// The file.
    pub on_disk: FileFacts,
    /// The rows.
    pub content: Content,
}

/// A sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceFacts {
    /// Which.
    pub sequence: QualifiedName,
    /// `last_value`.
    pub last_value: i64,
    /// Whether that was handed out.
    pub is_called: bool,
}

/// A large object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeObjectFacts {
    /// Its OID.
    pub oid: Oid,
    /// The file's name.
    pub file: String,
    /// The file.
    pub on_disk: FileFacts,
    /// Its content: size, and hash of all its bytes.
    pub content: FileFacts,
}

impl Manifest {
    /// The version of what is written here.
    pub const FORMAT: u32 = FORMAT;

    /// Reads that of the archive of this name.
    pub fn read(archive: &Path) -> Result<Self, ArchiveError> {
        Self::of(&Store::at(archive)?)
    }

    /// Reads that of an archive.
    pub fn of(archive: &Store) -> Result<Self, ArchiveError> {
        let path = archive.path_of(MANIFEST);
        let text = match archive.whole(MANIFEST) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(without_manifest(archive));
            }
            Err(error) => return Err(ArchiveError::file("opening", &path)(error)),
        };
        let understand = |source| ArchiveError::Manifest {
            path: path.clone(),
            source,
        };
        let value: serde_json::Value = serde_json::from_slice(&text).map_err(understand)?;
        let format = value.get("format").and_then(serde_json::Value::as_u64);
        match format.and_then(|format| u32::try_from(format).ok()) {
            Some(format) if format != FORMAT => Err(ArchiveError::Format {
                path: path.clone(),
                format,
            }),
            _ => serde_json::from_value(value).map_err(understand),
        }
    }

    /// Every file that it names, with what that must be: `toc.dat` first.
    pub fn files(&self) -> impl Iterator<Item = (&str, FileFacts)> {
        let tables = self.tables.iter();
        let objects = self.large_objects.iter();
        let lists = self.large_object_lists.iter();
        std::iter::once((super::TOC, self.toc))
            .chain(tables.map(|table| (table.file.as_str(), table.on_disk)))
            .chain(lists.map(|(name, facts)| (name.as_str(), *facts)))
            .chain(objects.map(|object| (object.file.as_str(), object.on_disk)))
    }
}

/// Why there is none. Objects have their names before there is one: then a mark is with them.
fn without_manifest(archive: &Store) -> ArchiveError {
    let path = archive.shown().to_owned();
    let Store::Objects(objects) = archive else {
        return ArchiveError::NoManifest { path };
    };
    let looked = || -> Result<ArchiveError, StoreError> {
        Ok(if objects.head(MARK)?.is_some() {
            ArchiveError::NotFinished { path: path.clone() }
        } else if objects.is_empty()? {
            ArchiveError::Nothing { path: path.clone() }
        } else {
            ArchiveError::NoManifest { path: path.clone() }
        })
    };
    looked().unwrap_or_else(|error| ArchiveError::file("looking into", &path)(error.into()))
}

fn to_hex<S: Serializer>(hash: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format!("{hash:032x}"))
}

fn from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
    let digits = String::deserialize(deserializer)?;
    u128::from_str_radix(&digits, 16).map_err(serde::de::Error::custom)
}
