//! [`Toc`] → bytes: the inverse of the reader.

use crate::model::SqlText;

use super::{
    ArchiveFormat, ArchiveVersion, Compression, DataPlace, Entry, OffsetState, Text, Toc, TocError,
};

impl Toc {
    /// The bytes of a `toc.dat`, or of the beginning of a custom archive. What was read is written back the same.
    ///
    /// Fields that the header's version does not have are left out.
    pub fn to_bytes(&self) -> Result<Vec<u8>, TocError> {
        let mut writer = Writer::of(self);
        writer.header(self)?;
        writer.count(self)?;
        for entry in &self.entries {
            writer.dump_id = entry.dump_id.0;
            writer.entry(self, entry)?;
        }
        Ok(writer.bytes)
    }

    /// What stands before the first entry: how many there are.
    pub(super) fn count_to_bytes(&self) -> Result<Vec<u8>, TocError> {
        let mut writer = Writer::of(self);
        writer.count(self)?;
        Ok(writer.bytes)
    }

    /// An entry as `pg_dump` writes it for the second time (see `appended`): up to the place of its data, if that is yet to be said.
    pub(super) fn entry_again(&self, entry: &Entry) -> Result<Vec<u8>, TocError> {
        let mut writer = Writer::of(self);
        writer.dump_id = entry.dump_id.0;
        writer.what_it_is(entry)?;
        if !entry.is("STATISTICS DATA") {
            writer.sql("defn", entry.defn.as_ref())?;
        }
        writer.what_belongs_to_it(self.header.version, entry)?;
        if !entry.lacks_place() {
            writer.data_place(self, entry)?;
        }
        Ok(writer.bytes)
    }
}

struct Writer {
    bytes: Vec<u8>,
    int_size: u8,
    dump_id: i32,
}

impl Writer {
    fn of(toc: &Toc) -> Self {
        Self {
            bytes: Vec::new(),
            int_size: toc.header.int_size,
            dump_id: 0,
        }
    }

    fn count(&mut self, toc: &Toc) -> Result<(), TocError> {
        let count = i32::try_from(toc.entries.len()).map_err(|_| self.unwritable("entry_count"))?;
        self.int("entry_count", count)
    }

    fn header(&mut self, toc: &Toc) -> Result<(), TocError> {
        let header = &toc.header;
        let ArchiveVersion(major, minor, revision) = header.version;
        let format = match header.format {
            ArchiveFormat::Custom => 1,
            ArchiveFormat::Directory { code } => code,
        };
        let sizes = [header.int_size, header.offset_size];
        self.bytes.extend_from_slice(b"PGDMP");
        self.bytes.extend_from_slice(&[major, minor, revision]);
        self.bytes.extend_from_slice(&sizes);
        self.bytes.push(format);
        self.compression(header.version, header.compression)?;
        let created = &header.created_at;
        for field in [
            created.second,
            created.minute,
            created.hour,
            created.day,
            created.month0,
            created.year_since_1900,
            created.is_dst,
        ] {
            self.int("created_at", field)?;
        }
        self.text("database", header.database.as_ref())?;
        self.text("server_version", header.server_version.as_ref())?;
        self.text("dump_version", header.dump_version.as_ref())
    }

    fn compression(
        &mut self,
        version: ArchiveVersion,
        compression: Compression,
    ) -> Result<(), TocError> {
        let by_level = version < ArchiveVersion::COMPRESSION_ALGORITHM;
        let algorithm = match compression {
            Compression::Level(level) if by_level => return self.int("compression", level),
            Compression::None if by_level => return self.int("compression", 0),
            Compression::None => 0,
            Compression::Gzip if !by_level => 1,
            Compression::Lz4 if !by_level => 2,
            Compression::Zstd if !by_level => 3,
            _ => return Err(self.unwritable("compression")),
        };
        self.bytes.push(algorithm);
        Ok(())
    }

    fn entry(&mut self, toc: &Toc, entry: &Entry) -> Result<(), TocError> {
        self.what_it_is(entry)?;
        self.sql("defn", entry.defn.as_ref())?;
        self.what_belongs_to_it(toc.header.version, entry)?;
        self.data_place(toc, entry)
    }

    /// Everything before its definition.
    fn what_it_is(&mut self, entry: &Entry) -> Result<(), TocError> {
        self.int("dump_id", entry.dump_id.0)?;
        self.int("had_dumper", i32::from(entry.had_dumper))?;
        self.number("table_oid", &entry.table_oid.0)?;
        self.number("oid", &entry.oid.0)?;
        self.string("tag", Some(&entry.tag))?;
        self.string("desc", Some(entry.desc.as_bytes()))?;
        self.int("section", entry.section.code())
    }

    /// Everything between its definition and the place of its data.
    fn what_belongs_to_it(
        &mut self,
        version: ArchiveVersion,
        entry: &Entry,
    ) -> Result<(), TocError> {
        self.sql("drop_stmt", entry.drop_stmt.as_ref())?;
        self.sql("copy_stmt", entry.copy_stmt.as_ref())?;
        self.text("namespace", entry.namespace.as_ref())?;
        self.text("tablespace", entry.tablespace.as_ref())?;
        if version >= ArchiveVersion::TABLE_ACCESS_METHOD {
            self.text("table_am", entry.table_am.as_ref())?;
        }
        if version >= ArchiveVersion::RELKIND {
            self.int("relkind", i32::from(entry.relkind.unwrap_or(0)))?;
        }
        self.text("owner", entry.owner.as_ref())?;
        let with_oids: &[u8] = if entry.with_oids { b"true" } else { b"false" };
        self.string("with_oids", Some(with_oids))?;
        for dependency in &entry.dependencies {
            self.number("dependencies", &dependency.0)?;
        }
        self.string("dependencies", None)
    }

    fn data_place(&mut self, toc: &Toc, entry: &Entry) -> Result<(), TocError> {
        match (&entry.data, toc.header.format) {
            (DataPlace::File(name), ArchiveFormat::Directory { .. }) => {
                self.string("file_name", Some(name))
            }
            (DataPlace::Offset { state, position }, ArchiveFormat::Custom) => {
                self.bytes.push(match state {
                    OffsetState::NotSet => 1,
                    OffsetState::Set => 2,
                    OffsetState::NoData => 3,
                });
                self.little_endian("data_offset", *position, toc.header.offset_size)
            }
            _ => Err(self.unwritable("data")),
        }
    }

    fn number(&mut self, field: &'static str, number: &impl ToString) -> Result<(), TocError> {
        self.string(field, Some(number.to_string().as_bytes()))
    }

    fn sql(&mut self, field: &'static str, sql: Option<&SqlText>) -> Result<(), TocError> {
        self.string(field, sql.map(SqlText::as_bytes))
    }

    fn text(&mut self, field: &'static str, text: Option<&Text>) -> Result<(), TocError> {
        self.string(field, text.map(|text| &**text))
    }

    fn string(&mut self, field: &'static str, string: Option<&[u8]>) -> Result<(), TocError> {
        let Some(string) = string else {
            return self.int(field, -1);
        };
        let length = i32::try_from(string.len()).map_err(|_| self.unwritable(field))?;
        self.int(field, length)?;
        self.bytes.extend_from_slice(string);
        Ok(())
    }

    fn int(&mut self, field: &'static str, value: i32) -> Result<(), TocError> {
        self.bytes.push(u8::from(value < 0));
        self.little_endian(field, u64::from(value.unsigned_abs()), self.int_size)
    }

    fn little_endian(&mut self, field: &'static str, value: u64, size: u8) -> Result<(), TocError> {
        let bytes = value.to_le_bytes();
        let (kept, cut) = bytes.split_at(usize::from(size).min(bytes.len()));
        if cut.iter().any(|&byte| byte != 0) {
            return Err(self.unwritable(field));
        }
        self.bytes.extend_from_slice(kept);
        Ok(())
    }

    fn unwritable(&self, field: &'static str) -> TocError {
        TocError::Unwritable {
            dump_id: self.dump_id,
            field,
        }
    }
}
