//! Bytes → [`Toc`].
//!
//! Reads from anything that can be read, field by field and no further than the last entry, since a custom archive
//! goes on with gigabytes of data. A length in the file is never believed: memory grows with the bytes that really
//! arrive. Every value that `pg_dump` cannot have written is an error, so whatever is accepted can be written
//! back byte for byte.

use std::collections::HashSet;
use std::io::{ErrorKind, Read};
use std::str::FromStr;

use crate::model::{DumpId, Oid, SqlText, Word};

use super::{
    ArchiveFormat, ArchiveVersion, Compression, CreatedAt, DataPlace, Entry, Header, OffsetState,
    Place, Section, Text, Texts, Toc, TocError,
};

/// No table of contents is longer, and no string in it: a value in Postgres ends at 1 GB. The bound keeps a damaged length in
/// a custom archive from pulling all of its data into memory.
const TOC_SIZE_MAX: u64 = 1 << 30;

/// How much of a foreign file is looked at in order to say what it is: a tar header's length.
const SNIFF_SIZE: u64 = 512;

impl Toc {
    /// Reads a `toc.dat`, or the beginning of a custom archive.
    pub fn parse(bytes: &[u8]) -> Result<Self, TocError> {
        Self::read(bytes)
    }

    /// Reads from `source`, which should be buffered, and takes no more from it than the table of contents (and, in a
    /// `toc.dat`, one byte to see that it has ended).
    pub fn read(source: impl Read) -> Result<Self, TocError> {
        Self::read_beside(source, Texts::default())
    }

    /// The same, beside a table of contents that mostly says the same: these texts are held once.
    pub fn read_beside(source: impl Read, texts: Texts) -> Result<Self, TocError> {
        let mut reader = Reader {
            source: source.take(TOC_SIZE_MAX),
            position: 0,
            int_size: 4,
            entry: None,
            words: HashSet::new(),
            texts,
        };
        let header = reader.header()?;
        let entries = reader.entries(&header)?;
        if header.format != ArchiveFormat::Custom {
            reader.end()?;
        }
        Ok(Self { header, entries })
    }
}

struct Reader<R> {
    source: std::io::Take<R>,
    position: u64,
    int_size: u8,
    entry: Option<(usize, Option<i32>)>,
    /// Kinds of objects, so that entries of a kind share it.
    words: HashSet<Word>,
    texts: Texts,
}

impl<R: Read> Reader<R> {
    fn header(&mut self) -> Result<Header, TocError> {
        self.magic()?;
        let mut numbers = [0; 3];
        for number in &mut numbers {
            *number = self.byte("version")?;
        }
        let version = ArchiveVersion(numbers[0], numbers[1], numbers[2]);
        if version < ArchiveVersion::OLDEST {
            return Err(TocError::TooOld { version });
        }
        if version > ArchiveVersion::NEWEST {
            return Err(TocError::TooNew { version });
        }
        let int_size = self.size("int_size")?;
        self.int_size = int_size;
        let offset_size = self.size("offset_size")?;
        let at = self.position;
        let format = match self.byte("format")? {
            1 => ArchiveFormat::Custom,
            code @ (3 | 5) => ArchiveFormat::Directory { code },
            other => return Err(self.damaged(at, "format", format!("unknown format {other}"))),
        };
        let compression = self.compression(version)?;
        let created_at = CreatedAt {
            second: self.int("created_at")?,
            minute: self.int("created_at")?,
            hour: self.int("created_at")?,
            day: self.int("created_at")?,
            month0: self.int("created_at")?,
            year_since_1900: self.int("created_at")?,
            is_dst: self.int("created_at")?,
        };
        Ok(Header {
            version,
            int_size,
            offset_size,
            format,
            compression,
            created_at,
            database: self.text("database")?,
            server_version: self.text("server_version")?,
            dump_version: self.text("dump_version")?,
        })
    }

    fn magic(&mut self) -> Result<(), TocError> {
        let mut begins = Vec::new();
        self.read_up_to(5, "magic", &mut begins)?;
        if begins == b"PGDMP" {
            return Ok(());
        }
        self.read_up_to(SNIFF_SIZE - 5, "magic", &mut begins)?;
        Err(what_is_it(begins))
    }

    /// A size of 1 to 8 bytes. Postgres writes 4 and 8 everywhere.
    fn size(&mut self, field: &'static str) -> Result<u8, TocError> {
        let at = self.position;
        match self.byte(field)? {
            size @ 1..=8 => Ok(size),
            other => Err(self.damaged(at, field, format!("a size of {other} bytes"))),
        }
    }

    fn compression(&mut self, version: ArchiveVersion) -> Result<Compression, TocError> {
        if version < ArchiveVersion::COMPRESSION_ALGORITHM {
            return Ok(Compression::Level(self.int("compression")?));
        }
        let at = self.position;
        match self.byte("compression")? {
            0 => Ok(Compression::None),
            1 => Ok(Compression::Gzip),
            2 => Ok(Compression::Lz4),
            3 => Ok(Compression::Zstd),
            other => {
                let what = format!("unknown compression algorithm {other}");
                Err(self.damaged(at, "compression", what))
            }
        }
    }

    fn entries(&mut self, header: &Header) -> Result<Vec<Entry>, TocError> {
        let at = self.position;
        let count = self.int("entry_count")?;
        let count = usize::try_from(count).map_err(|_| {
            let what = format!("a number of entries of {count}");
            self.damaged(at, "entry_count", what)
        })?;
        // Nothing is reserved for `count` entries: they are there when they have been read.
        let mut entries = Vec::new();
        let mut seen = HashSet::new();
        for index in 0..count {
            self.entry = Some((index, None));
            let at = self.position;
            let entry = self.read_entry(header)?;
            if !seen.insert(entry.dump_id) {
                let what = format!("dump id {} is there twice", entry.dump_id);
                return Err(self.damaged(at, "dump_id", what));
            }
            entries.push(entry);
        }
        entries.shrink_to_fit();
        Ok(entries)
    }

    fn read_entry(&mut self, header: &Header) -> Result<Entry, TocError> {
        let dump_id = self.dump_id()?;
        let had_dumper = self.flag()?;
        let table_oid = Oid(self.number("table_oid")?);
        let oid = Oid(self.number("oid")?);
        let tag = self.required("tag")?;
        let tag = self.texts.names.get(&*tag).cloned().unwrap_or(tag);
        let desc = self.desc()?;
        let section = self.section()?;
        let defn = self.sql("defn")?;
        let drop_stmt = self.sql("drop_stmt")?;
        let copy_stmt = self.sql("copy_stmt")?;
        let namespace = self.shared("namespace")?;
        let tablespace = self.shared("tablespace")?;
        let table_am = if header.version >= ArchiveVersion::TABLE_ACCESS_METHOD {
            self.shared("table_am")?
        } else {
            None
        };
        let relkind = if header.version >= ArchiveVersion::RELKIND {
            self.relkind()?
        } else {
            None
        };
        Ok(Entry {
            dump_id,
            had_dumper,
            table_oid,
            oid,
            tag,
            desc,
            section,
            defn,
            drop_stmt,
            copy_stmt,
            namespace,
            tablespace,
            table_am,
            relkind,
            owner: self.shared("owner")?,
            with_oids: self.with_oids()?,
            dependencies: self.dependencies()?,
            data: self.data_place(header)?,
        })
    }

    fn dump_id(&mut self) -> Result<DumpId, TocError> {
        let at = self.position;
        let id = self.int("dump_id")?;
        if id <= 0 {
            return Err(self.damaged(at, "dump_id", format!("a dump id of {id}")));
        }
        self.entry = self.entry.map(|(index, _)| (index, Some(id)));
        Ok(DumpId(id))
    }

    fn flag(&mut self) -> Result<bool, TocError> {
        let at = self.position;
        match self.int("had_dumper")? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.damaged(at, "had_dumper", format!("{other} instead of 0 or 1"))),
        }
    }

    fn desc(&mut self) -> Result<Word, TocError> {
        let at = self.position;
        let desc = self.required("desc")?;
        let Some(desc) = desc.to_str() else {
            return Err(self.damaged(at, "desc", format!("{desc:?} is no kind of object")));
        };
        if let Some(known) = self.words.get(desc) {
            return Ok(known.clone());
        }
        let desc = Word::from(desc);
        self.words.insert(desc.clone());
        Ok(desc)
    }

    fn section(&mut self) -> Result<Section, TocError> {
        let at = self.position;
        let code = self.int("section")?;
        Section::from_code(code)
            .ok_or_else(|| self.damaged(at, "section", format!("unknown section {code}")))
    }

    fn relkind(&mut self) -> Result<Option<u8>, TocError> {
        let at = self.position;
        let code = self.int("relkind")?;
        match u8::try_from(code) {
            Ok(0) => Ok(None),
            Ok(relkind) => Ok(Some(relkind)),
            Err(_) => Err(self.damaged(at, "relkind", format!("a relkind of {code}"))),
        }
    }

    fn with_oids(&mut self) -> Result<bool, TocError> {
        let at = self.position;
        let text = self.required("with_oids")?;
        match &*text {
            b"true" => Ok(true),
            b"false" => Ok(false),
            _ => Err(self.damaged(at, "with_oids", format!("{text:?} is no truth value"))),
        }
    }

    /// Dump ids as decimal strings, up to a NULL.
    fn dependencies(&mut self) -> Result<Box<[DumpId]>, TocError> {
        let mut dependencies = Vec::new();
        loop {
            let at = self.position;
            let Some(text) = self.text("dependencies")? else {
                return Ok(dependencies.into());
            };
            dependencies.push(DumpId(self.parse_number(at, "dependencies", &text)?));
        }
    }

    fn data_place(&mut self, header: &Header) -> Result<DataPlace, TocError> {
        if header.format == ArchiveFormat::Custom {
            return self.offset(header.offset_size);
        }
        let at = self.position;
        let name = self.required("file_name")?;
        // The name is going to be joined to the archive's directory, and must not lead out of it.
        if name.contains(&b'/') || name == ".." || name == "." || name.to_str().is_none() {
            let what = format!("{name:?} is no name of a file in the archive");
            return Err(self.damaged(at, "file_name", what));
        }
        Ok(DataPlace::File(name))
    }

    fn offset(&mut self, size: u8) -> Result<DataPlace, TocError> {
        let at = self.position;
        let state = match self.byte("data_offset")? {
            1 => OffsetState::NotSet,
            2 => OffsetState::Set,
            3 => OffsetState::NoData,
            other => {
                let what = format!("unknown data offset flag {other}");
                return Err(self.damaged(at, "data_offset", what));
            }
        };
        let position = self.little_endian(size, "data_offset")?;
        Ok(DataPlace::Offset { state, position })
    }

    fn sql(&mut self, field: &'static str) -> Result<Option<SqlText>, TocError> {
        let bytes = self.bytes(field)?;
        Ok(bytes.map(|bytes| {
            let known = self.texts.statements.get(bytes.as_slice());
            known.cloned().unwrap_or_else(|| SqlText::from(bytes))
        }))
    }

    fn text(&mut self, field: &'static str) -> Result<Option<Text>, TocError> {
        Ok(self.bytes(field)?.map(Text::from))
    }

    /// A text that most entries have in common with others.
    fn shared(&mut self, field: &'static str) -> Result<Option<Text>, TocError> {
        let Some(bytes) = self.bytes(field)? else {
            return Ok(None);
        };
        if let Some(known) = self.texts.names.get(bytes.as_slice()) {
            return Ok(Some(known.clone()));
        }
        let name = Text::from(bytes);
        self.texts.names.insert(name.clone());
        Ok(Some(name))
    }

    fn required(&mut self, field: &'static str) -> Result<Text, TocError> {
        let at = self.position;
        self.text(field)?
            .ok_or_else(|| self.damaged(at, field, "a NULL".to_owned()))
    }

    /// A number that the format keeps as a decimal string, "for historical reasons".
    fn number<N: FromStr + ToString>(&mut self, field: &'static str) -> Result<N, TocError> {
        let at = self.position;
        let text = self.required(field)?;
        self.parse_number(at, field, &text)
    }

    fn parse_number<N: FromStr + ToString>(
        &self,
        at: u64,
        field: &'static str,
        text: &Text,
    ) -> Result<N, TocError> {
        text.to_str()
            .and_then(|digits| {
                let number = digits.parse::<N>().ok()?;
                // As it would be written: no plus sign, no leading zeros.
                (number.to_string() == digits).then_some(number)
            })
            .ok_or_else(|| self.damaged(at, field, format!("{text:?} is no number")))
    }

    /// A string: its length, or -1 for NULL, and its bytes.
    fn bytes(&mut self, field: &'static str) -> Result<Option<Vec<u8>>, TocError> {
        let at = self.position;
        let length = self.int(field)?;
        if length == -1 {
            return Ok(None);
        }
        let length = u64::try_from(length)
            .map_err(|_| self.damaged(at, field, format!("a string of {length} bytes")))?;
        let mut bytes = Vec::new();
        if self.read_up_to(length, field, &mut bytes)? < length {
            return Err(self.truncated(at, field));
        }
        if bytes.contains(&0) {
            return Err(self.damaged(at, field, "a string with a NUL byte".to_owned()));
        }
        Ok(Some(bytes))
    }

    /// A sign byte and `int_size` bytes, least significant first. Values are those of C's `int`.
    fn int(&mut self, field: &'static str) -> Result<i32, TocError> {
        let at = self.position;
        let sign = self.byte(field)?;
        let magnitude = self.little_endian(self.int_size, field)?;
        let value = match sign {
            0 => i32::try_from(magnitude).ok(),
            // There is no minus zero, and the smallest int has no positive counterpart.
            1 if magnitude == 0 => None,
            1 => i64::try_from(magnitude)
                .ok()
                .and_then(|magnitude| i32::try_from(-magnitude).ok()),
            _ => None,
        };
        value.ok_or_else(|| {
            let what = format!("an integer with sign byte {sign} and magnitude {magnitude}");
            self.damaged(at, field, what)
        })
    }

    fn little_endian(&mut self, size: u8, field: &'static str) -> Result<u64, TocError> {
        let mut bytes = [0; 8];
        let at = self.position;
        for byte in bytes.iter_mut().take(usize::from(size)) {
            *byte = match self.byte(field) {
                Err(TocError::Truncated { .. }) => return Err(self.truncated(at, field)),
                other => other?,
            };
        }
        Ok(u64::from_le_bytes(bytes))
    }

    fn byte(&mut self, field: &'static str) -> Result<u8, TocError> {
        let mut byte = [0];
        match self.source.read_exact(&mut byte) {
            Ok(()) => {
                self.position += 1;
                Ok(byte[0])
            }
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Err(self.truncated(self.position, field))
            }
            Err(source) => Err(self.failed(field, source)),
        }
    }

    /// Appends at most `length` bytes; `read_to_end` grows the buffer as the bytes come in.
    fn read_up_to(
        &mut self,
        length: u64,
        field: &'static str,
        into: &mut Vec<u8>,
    ) -> Result<u64, TocError> {
        let read = (&mut self.source).take(length).read_to_end(into);
        let read = read.map_err(|source| self.failed(field, source))? as u64;
        self.position += read;
        Ok(read)
    }

    fn end(&mut self) -> Result<(), TocError> {
        let position = self.position;
        self.entry = None;
        match self.byte("end") {
            Err(TocError::Truncated { .. }) => Ok(()),
            Ok(_) => Err(TocError::TrailingBytes { position }),
            Err(other) => Err(other),
        }
    }

    fn place(&self, position: u64, field: &'static str) -> Place {
        Place {
            position,
            field,
            entry: self.entry,
        }
    }

    fn truncated(&self, at: u64, field: &'static str) -> TocError {
        TocError::Truncated {
            place: self.place(at, field),
        }
    }

    fn damaged(&self, at: u64, field: &'static str, what: String) -> TocError {
        TocError::Damaged {
            place: self.place(at, field),
            what,
        }
    }

    fn failed(&self, field: &'static str, source: std::io::Error) -> TocError {
        TocError::Read {
            place: self.place(self.position, field),
            source,
        }
    }
}

/// Says what a file is that does not begin with `PGDMP`.
fn what_is_it(mut begins: Vec<u8>) -> TocError {
    const COMPRESSED: [(&[u8], &str); 3] = [
        (b"\x1f\x8b", "gzip"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\x04\x22\x4d\x18", "lz4"),
    ];
    let starts = |prefix: &[u8]| begins.starts_with(prefix);
    if starts(b"--\n-- PostgreSQL database") {
        return TocError::PlainSql;
    }
    if begins.get(257..262) == Some(b"ustar") {
        return TocError::TarFile;
    }
    for (magic, algorithm) in COMPRESSED {
        if starts(magic) {
            return TocError::CompressedWhole { algorithm };
        }
    }
    begins.truncate(5);
    TocError::NotAnArchive { begins }
}
