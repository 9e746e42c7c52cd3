//! What an archive holds, file by file: `pgconvoy.manifest.json`.
//!
//! It is written last, when everything else is on disk: an archive without it is not known to be whole. Hashes are xxh3-128,
//! 32 hexadecimal digits. That of a table's content is the sum, modulo 2^128, of those of its rows as COPY sends them in its
//! text format, line feed included, in the sessions' settings that are named here: whoever reads the same columns of a server
//! in the same way can compare without the files.
//!
//! The last line is a hash, too: of all bytes of the manifest before its digits. What is changed in the manifest itself shows.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use xxhash_rust::xxh3::xxh3_128;

use super::directory::is_unfinished;
use super::prefix::MARK;
use super::store::{Store, StoreError};
use super::{ArchiveError, Narrowed};
use crate::model::{DumpId, MultisetDigest, Oid, QualifiedName, Unverified};
use crate::toc::Toc;

/// The manifest's name.
pub const MANIFEST: &str = "pgconvoy.manifest.json";

/// The account of what is lost, in an archive of a damaged database.
pub const LOSSES: &str = "losses.json";

/// Version of the manifest's format.
const FORMAT: u32 = 1;
/// That of an archive with losses: who does not know of them must not take it for whole.
const FORMAT_WITH_LOSSES: u32 = 2;
/// The same of one that lacks what could not be dumped.
const FORMAT_LACKING: u32 = 3;

/// What stands before the digits of the hash.
const HASH: &[u8] = b",\n  \"xxh3\": \"";
/// And behind them.
const END: &[u8] = b"\"\n}\n";
/// How many digits.
const DIGITS: usize = 32;

/// What an archive holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this format: 1; with losses, 2; if it lacks what could not be dumped, 3.
    pub format: u32,
    /// Version of pgconvoy.
    pub pgconvoy_version: String,
    /// When the dump was finished.
    pub finished_at: DateTime<Utc>,
    /// What was dumped.
    pub source: SourceFacts,
    /// The options that left a part of it out, for people. What they mean is [`Self::narrowed`].
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
    /// What of a damaged database is not in it, or is suspect; `None`: it holds everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub losses: Option<LossFacts>,
    /// What of the database is not in it although nobody left it out: what the role was not shown, and what no `pg_dump` writes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<Unverified>,
}

/// That an archive holds what could be read of a damaged database, and not all that was in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossFacts {
    /// What is lost of which object, in words.
    pub lost: Vec<(String, String)>,
    /// The files of the account, by name: [`LOSSES`] first.
    pub account: Vec<(String, FileFacts)>,
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

    /// The same of an archive that does not hold everything, if it doesn't.
    #[must_use]
    pub fn with_losses(self, losses: Option<LossFacts>) -> Self {
        let format = losses.as_ref().map_or(FORMAT, |_| FORMAT_WITH_LOSSES);
        Self {
            format,
            losses,
            ..self
        }
    }

    /// The same of an archive that lacks what could not be dumped, if there is such.
    #[must_use]
    pub fn lacking(self, lacks: Vec<Unverified>) -> Self {
        let format = if lacks.is_empty() {
            self.format
        } else {
            FORMAT_LACKING
        };
        Self {
            format,
            lacks,
            ..self
        }
    }

    /// Reads that of the archive of this name.
    pub fn read(archive: &Path) -> Result<Self, ArchiveError> {
        Self::of(&Store::at(archive)?)
    }

    /// Reads that of an archive.
    pub fn of(archive: &Store) -> Result<Self, ArchiveError> {
        let path = archive.path_of(MANIFEST);
        match archive.whole(MANIFEST) {
            Ok(bytes) => Self::parse(&bytes, &path),
            Err(error) if is_missing(&error) => Err(without_manifest(archive)),
            Err(error) => Err(ArchiveError::file("opening", &path)(error)),
        }
    }

    /// Understands what was read; `path` is where from.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, ArchiveError> {
        let understand = |source| ArchiveError::Manifest {
            path: path.to_owned(),
            source,
        };
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(understand)?;
        let format = value.get("format").and_then(serde_json::Value::as_u64);
        match format.and_then(|format| u32::try_from(format).ok()) {
            Some(format)
                if ![FORMAT, FORMAT_WITH_LOSSES, FORMAT_LACKING].contains(&format)
                    && is_sealed(bytes) =>
            {
                Err(ArchiveError::Format {
                    path: path.to_owned(),
                    format,
                })
            }
            _ if is_sealed(bytes) => {
                let manifest: Self = serde_json::from_value(value).map_err(understand)?;
                let narrowed = Narrowed::parse(&manifest.narrowed_by);
                let narrowed = narrowed.map(drop).map_err(|option| ArchiveError::Narrowed {
                    path: path.to_owned(),
                    option: option.to_owned(),
                });
                narrowed.map(|()| manifest)
            }
            _ => Err(ArchiveError::Data {
                path: path.to_owned(),
                what: "it is not as it was written: its last line is not the hash of what stands before"
                    .to_owned(),
            }),
        }
    }

    /// What was left out. A manifest with options that no dump is narrowed by is none: see [`Self::parse`].
    pub fn narrowed(&self) -> Narrowed {
        Narrowed::parse(&self.narrowed_by).unwrap_or_default()
    }

    /// The encoding that a table of contents says everything is in, if it is another than that of the rows. Dumps have been
    /// written like that, of databases or roles that have a `client_encoding` of their own. From and to `SQL_ASCII` no server
    /// converts anything: where one of the two is that, both are the same bytes.
    pub fn contradicted_by(&self, toc: &Toc) -> Option<String> {
        let rows = self.source.encoding.as_str();
        toc.encoding()
            .filter(|named| named != rows && named != "SQL_ASCII" && rows != "SQL_ASCII")
    }

    /// As it is written.
    pub fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        // The brace at the end stands behind the hash.
        bytes.truncate(bytes.trim_ascii_end().len().saturating_sub(1));
        bytes.truncate(bytes.trim_ascii_end().len());
        bytes.extend_from_slice(HASH);
        let hash = format!("{:032x}", xxh3_128(&bytes));
        bytes.extend_from_slice(hash.as_bytes());
        bytes.extend_from_slice(END);
        Ok(bytes)
    }

    /// Of these names those that it does not have.
    pub(super) fn surplus<'a>(
        &self,
        there: impl Iterator<Item = &'a String>,
    ) -> impl Iterator<Item = &'a String> {
        let known: BTreeSet<String> = self.files().map(|(name, _)| name.to_owned()).collect();
        there.filter(move |name| *name != MANIFEST && !known.contains(*name))
    }

    /// Every file that it names, with what that must be: `toc.dat` first.
    pub fn files(&self) -> impl Iterator<Item = (&str, FileFacts)> {
        let tables = self.tables.iter();
        let objects = self.large_objects.iter();
        self.descriptions()
            .chain(tables.map(|table| (table.file.as_str(), table.on_disk)))
            .chain(objects.map(|object| (object.file.as_str(), object.on_disk)))
    }

    /// Those that hold neither the rows of a table nor a large object: the table of contents, lists, and the account of what is
    /// lost.
    pub fn descriptions(&self) -> impl Iterator<Item = (&str, FileFacts)> {
        let lists = self.large_object_lists.iter();
        let account = self.losses.iter().flat_map(|losses| &losses.account);
        std::iter::once((super::TOC, self.toc))
            .chain(lists.map(|(name, facts)| (name.as_str(), *facts)))
            .chain(account.map(|(name, facts)| (name.as_str(), *facts)))
    }
}

/// Whether there is nothing of that name. An archive that is one file has nothing in it that could have one.
fn is_missing(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

/// Why there is none. Until there is one, a mark is with the files.
fn without_manifest(archive: &Store) -> ArchiveError {
    let path = archive.shown().to_owned();
    let objects = match archive {
        Store::Objects(objects) => objects,
        Store::Local(_) if is_unfinished(&path) => return ArchiveError::NotFinished { path },
        Store::Local(_) => return ArchiveError::NoManifest { path },
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

/// Whether its last line is the hash of what stands before.
fn is_sealed(bytes: &[u8]) -> bool {
    let text = bytes.strip_suffix(END).unwrap_or_default();
    let at = text.len().saturating_sub(DIGITS);
    let (before, digits) = text.split_at(at);
    before.ends_with(HASH) && format!("{:032x}", xxh3_128(before)).as_bytes() == digits
}

fn to_hex<S: Serializer>(hash: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format!("{hash:032x}"))
}

fn from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
    let digits = String::deserialize(deserializer)?;
    u128::from_str_radix(&digits, 16).map_err(serde::de::Error::custom)
}

#[cfg(test)]
impl Manifest {
    /// Of a database without anything in it.
    pub(super) fn of_nothing() -> Self {
        Self {
            format: FORMAT,
            pgconvoy_version: "0".to_owned(),
            finished_at: DateTime::UNIX_EPOCH,
            source: SourceFacts {
                server: "a server".to_owned(),
                database: "größe".to_owned(),
                server_version_num: 180_000,
                system_identifier: Some(7),
                encoding: "UTF8".to_owned(),
                snapshot: "1".to_owned(),
                lsn: "0/1".to_owned(),
                settings: vec![("datestyle".to_owned(), "iso".to_owned())],
            },
            narrowed_by: Vec::new(),
            compression: "none".to_owned(),
            toc: FileFacts::default(),
            tables: Vec::new(),
            sequences: Vec::new(),
            large_objects: Vec::new(),
            large_object_lists: Vec::new(),
            losses: None,
            lacks: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest::of_nothing()
    }

    #[test]
    fn whatever_is_changed_in_it_shows() {
        let path = Path::new("manifest");
        let bytes = manifest().to_bytes().expect("JSON");
        assert_eq!(Manifest::parse(&bytes, path).expect("whole"), manifest());
        for at in 0..bytes.len() {
            assert!(Manifest::parse(&bytes[..at], path).is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                let read = Manifest::parse(&changed, path);
                assert!(read.is_err(), "bit {bit} of {at}");
            }
        }
        // Who reads format 1 alone would take it for whole.
        let lossy = manifest().with_losses(Some(LossFacts {
            lost: vec![("s.t".to_owned(), "a row".to_owned())],
            account: Vec::new(),
        }));
        assert_eq!((lossy.format, manifest().with_losses(None).format), (2, 1));
        let read = Manifest::parse(&lossy.to_bytes().expect("JSON"), path);
        assert_eq!(read.expect("known"), lossy);
        let lacking = lossy.lacking(vec![Unverified {
            class: "subscription".to_owned(),
            object: "news".to_owned(),
            because: "the role is no superuser".to_owned(),
        }]);
        let formats = (lacking.format, manifest().lacking(Vec::new()).format);
        assert_eq!(formats, (3, 1));
        let read = Manifest::parse(&lacking.to_bytes().expect("JSON"), path);
        assert_eq!(read.expect("known"), lacking);
        let injected = Manifest {
            narrowed_by: vec!["--no-acl".to_owned(), "--file=x".to_owned()],
            ..manifest()
        };
        let read = Manifest::parse(&injected.to_bytes().expect("JSON"), path);
        assert!(matches!(read, Err(ArchiveError::Narrowed { option, .. }) if option == "--file=x"));
        let later = Manifest {
            format: 7,
            ..manifest()
        };
        let read = Manifest::parse(&later.to_bytes().expect("JSON"), path);
        assert!(matches!(read, Err(ArchiveError::Format { format: 7, .. })));
    }
}
