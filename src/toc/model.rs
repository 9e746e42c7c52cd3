//! The table of contents as it is in the file, every field kept.

use std::fmt;

use crate::model::{DumpId, Oid, QualifiedName, SqlText, Word};

use super::{RestorePass, Section, Text};

/// Version of the archive format: major, minor, revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArchiveVersion(pub u8, pub u8, pub u8);

impl ArchiveVersion {
    /// `pg_dump` 9.0.
    pub const OLDEST: Self = Self(1, 12, 0);
    /// `pg_dump` 17 and 18; like `pg_restore`, we accept every revision of it.
    pub const NEWEST: Self = Self(1, 16, u8::MAX);
    /// Entries name their table access method (`pg_dump` 12).
    pub(super) const TABLE_ACCESS_METHOD: Self = Self(1, 14, 0);
    /// The header names the compression algorithm instead of a level (`pg_dump` 16).
    pub(super) const COMPRESSION_ALGORITHM: Self = Self(1, 15, 0);
    /// Entries carry their relkind; large objects are described in batches (`pg_dump` 17).
    pub(super) const RELKIND: Self = Self(1, 16, 0);
}

impl fmt::Display for ArchiveVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// What the file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArchiveFormat {
    /// One file with the data behind the table of contents (`-Fc`), code 1.
    Custom,
    /// The `toc.dat` of a directory. `pg_dump` writes tar's code (3) there; 5 is accepted as well.
    Directory {
        /// The code in the file.
        code: u8,
    },
}

/// How the data is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Before 1.15: zlib's level; 0 is no compression, -1 zlib's default.
    Level(i32),
    /// From 1.15 on.
    None,
    /// From 1.15 on.
    Gzip,
    /// From 1.15 on.
    Lz4,
    /// From 1.15 on.
    Zstd,
}

/// When the dump was made, in the local time of the machine that made it: the fields of C's `struct tm`, unchecked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CreatedAt {
    /// 0 to 60.
    pub second: i32,
    /// 0 to 59.
    pub minute: i32,
    /// 0 to 23.
    pub hour: i32,
    /// 1 to 31.
    pub day: i32,
    /// 0 to 11.
    pub month0: i32,
    /// Years since 1900.
    pub year_since_1900: i32,
    /// Positive during summer time, negative when unknown.
    pub is_dst: i32,
}

/// The archive's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Version of the format.
    pub version: ArchiveVersion,
    /// Bytes of an integer in the file, without its sign byte: 4 in practice.
    pub int_size: u8,
    /// Bytes of a file offset: 8 in practice.
    pub offset_size: u8,
    /// Custom or directory.
    pub format: ArchiveFormat,
    /// How the data is compressed.
    pub compression: Compression,
    /// When.
    pub created_at: CreatedAt,
    /// Name of the database.
    pub database: Option<Text>,
    /// The server's version as it reports it, for example `15.18 (Debian 15.18-0+deb12u1)`.
    pub server_version: Option<Text>,
    /// Version of the `pg_dump` that wrote the archive.
    pub dump_version: Option<Text>,
}

/// Whether a custom archive says where an entry's data begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OffsetState {
    /// There is data, but the archive was written to a pipe: it must be searched for.
    NotSet,
    /// There is data at the offset.
    Set,
    /// There is no data.
    NoData,
}

/// Where an entry's data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataPlace {
    /// Directory: the name of a file beside `toc.dat`, without its compression suffix; empty if there is no data.
    File(Text),
    /// Custom: an offset in bytes from the beginning of the file.
    Offset {
        /// Whether the offset means anything.
        state: OffsetState,
        /// The offset as it is in the file.
        position: u64,
    },
}

/// One entry: one object, or one property of an object, with the SQL that makes it.
///
/// Prints itself as `dump id 213, TABLE public.accounts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number in this archive.
    pub dump_id: DumpId,
    /// Whether the archive holds data for it.
    pub had_dumper: bool,
    /// OID of the catalog that the object is in.
    pub table_oid: Oid,
    /// OID of the object.
    pub oid: Oid,
    /// The object's name, not quoted; for some kinds more than a name: `f(integer)`, `table trigger`, `COLUMN t.c`.
    pub tag: Text,
    /// The kind of object in `pg_dump`'s words: `TABLE`, `FK CONSTRAINT`, …
    pub desc: Word,
    /// Part of the restore.
    pub section: Section,
    /// SQL that makes it; one or more statements, each with its `;`.
    pub defn: Option<SqlText>,
    /// SQL that drops it.
    pub drop_stmt: Option<SqlText>,
    /// `COPY … FROM stdin;` for data.
    pub copy_stmt: Option<SqlText>,
    /// Its schema, not quoted.
    pub namespace: Option<Text>,
    /// Its tablespace: `None` for what has no storage, empty for the database's default.
    pub tablespace: Option<Text>,
    /// Its table access method (1.14 and later).
    pub table_am: Option<Text>,
    /// `pg_class.relkind` (1.16 and later); `None` for what is not a relation and for most that are.
    pub relkind: Option<u8>,
    /// Its owner, not quoted.
    pub owner: Option<Text>,
    /// `WITH OIDS`, which only servers before 12 know.
    pub with_oids: bool,
    /// The entries that must come first; some may not be in this archive.
    pub dependencies: Box<[DumpId]>,
    /// Where its data is.
    pub data: DataPlace,
}

impl Entry {
    /// Whether it is a table whose rows `pg_dump` would dump: not partitioned, not foreign, not temporary.
    ///
    /// Archives before 1.16 do not say what kind of relation it is; the definition of a partitioned table does.
    pub fn has_rows(&self) -> bool {
        let partitioned = self.relkind == Some(b'p')
            || String::from_utf8_lossy(self.defn_bytes())
                .lines()
                .any(|line| line.starts_with("PARTITION BY"));
        self.is("TABLE") && !partitioned
    }

    /// Whether it is of this kind, in `pg_dump`'s words.
    pub fn is(&self, desc: &str) -> bool {
        self.desc == desc
    }

    /// The tag, for people.
    pub fn tag_lossy(&self) -> String {
        self.tag.to_string_lossy()
    }

    /// Schema and tag as a name, if the entry has a schema and both are UTF-8. For kinds whose tag is no plain name
    /// (functions, triggers, constraints, comments) this is not the object's name.
    pub fn qualified_name(&self) -> Option<QualifiedName> {
        let schema = self.namespace.as_ref()?.to_str()?;
        if schema.is_empty() {
            return None;
        }
        Some(QualifiedName::new(schema, self.tag.to_str()?))
    }

    /// Name of the data file in a directory archive.
    pub fn data_file(&self) -> Option<&str> {
        match &self.data {
            DataPlace::File(name) if !name.is_empty() => name.to_str(),
            _ => None,
        }
    }

    /// Whether it is a grant, a comment or a label: nothing by itself.
    pub fn is_attached(&self) -> bool {
        matches!(self.desc.as_str(), "ACL" | "COMMENT" | "SECURITY LABEL")
    }

    /// Whether it is a grant, a comment or a label of large objects.
    pub fn is_of_large_object(&self) -> bool {
        self.is_attached() && self.tag.starts_with(b"LARGE OBJECT")
    }

    /// Whether it stands for what a database holds and does not define: rows, positions of sequences, statistics, and large objects with
    /// all that is said of them.
    pub fn is_of_content(&self) -> bool {
        const OF_CONTENT: [&str; 8] = [
            "TABLE DATA",
            "SEQUENCE SET",
            "MATERIALIZED VIEW DATA",
            "STATISTICS DATA",
            "BLOB",
            "BLOBS",
            "BLOB COMMENTS",
            "BLOB METADATA",
        ];
        OF_CONTENT.contains(&self.desc.as_str()) || self.is_of_large_object()
    }

    /// Whether it is a grant (`_tocEntryIsACL`); default privileges count, and `ACL LANGUAGE`, which only ancient dumps have.
    pub fn is_acl(&self) -> bool {
        matches!(self.desc.as_str(), "ACL" | "ACL LANGUAGE" | "DEFAULT ACL")
    }

    /// The pass in which `pg_restore` would restore it.
    pub fn restore_pass(&self) -> RestorePass {
        if self.is_acl() {
            return RestorePass::Acl;
        }
        let belongs_to_event_trigger = matches!(self.desc.as_str(), "COMMENT" | "SECURITY LABEL")
            && self.tag.starts_with(b"EVENT TRIGGER ");
        let late_statistics = self.is("STATISTICS DATA") && self.section == Section::PostData;
        if belongs_to_event_trigger
            || late_statistics
            || self.is("EVENT TRIGGER")
            || self.is("MATERIALIZED VIEW DATA")
        {
            return RestorePass::PostAcl;
        }
        RestorePass::Main
    }

    /// The definition's bytes; empty if there is none.
    pub fn defn_bytes(&self) -> &[u8] {
        self.defn.as_ref().map_or(b"", SqlText::as_bytes)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dump id {}, {} ", self.dump_id, self.desc)?;
        match &self.namespace {
            Some(schema) if !schema.is_empty() => write!(f, "{schema}.{}", self.tag),
            _ => write!(f, "{}", self.tag),
        }
    }
}

/// A table of contents: header and entries, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toc {
    /// The header.
    pub header: Header,
    /// The entries. No two have the same dump id.
    pub entries: Vec<Entry>,
}

impl Toc {
    /// The encoding that all strings and all data of the archive are in, as Postgres names it; from the `ENCODING` entry.
    pub fn encoding(&self) -> Option<String> {
        let value = quoted_value(self.first("ENCODING")?.defn_bytes())?;
        Some(String::from_utf8_lossy(value).into_owned())
    }

    /// Whether a backslash in an ordinary string literal is just a backslash. Archives that do not say are from a time
    /// when it was not.
    pub fn std_strings(&self) -> bool {
        self.first("STDSTRINGS")
            .and_then(|entry| quoted_value(entry.defn_bytes()))
            .is_some_and(|value| value == b"on")
    }

    /// Whether the statements qualify every name. Dumps made before the summer of 2018 expect `search_path` to be set to each
    /// entry's schema instead.
    pub fn qualifies_names(&self) -> bool {
        self.first("SEARCHPATH").is_some()
    }

    /// The entry with this dump id, by a search through all of them.
    pub fn by_id(&self, id: DumpId) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.dump_id == id)
    }

    fn first(&self, desc: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.is(desc))
    }
}

/// What stands between the first two single quotes: `SET client_encoding = 'UTF8';`.
fn quoted_value(defn: &[u8]) -> Option<&[u8]> {
    let mut parts = defn.split(|&byte| byte == b'\'');
    parts.next()?;
    let value = parts.next()?;
    parts.next()?;
    Some(value)
}
