//! Entries and tables of contents for tests.

use super::{
    ArchiveFormat, ArchiveVersion, Compression, CreatedAt, DataPlace, Entry, Header, Section, Text,
    Toc,
};
use crate::model::{DumpId, Oid};

/// `s.t`, of some kind, with nothing but what every entry has.
pub(crate) fn entry(desc: &str) -> Entry {
    Entry {
        dump_id: DumpId(7),
        had_dumper: true,
        table_oid: Oid(0),
        oid: Oid(0),
        tag: Text::from("t"),
        desc: desc.into(),
        section: Section::Data,
        defn: None,
        drop_stmt: None,
        copy_stmt: None,
        namespace: Some(Text::from("public")),
        tablespace: None,
        table_am: None,
        relkind: None,
        owner: None,
        with_oids: false,
        dependencies: Box::default(),
        data: DataPlace::File(Text::from("7.dat")),
    }
}

/// Of a directory, by an old `pg_dump`.
pub(crate) fn toc(entries: Vec<Entry>) -> Toc {
    let created_at = CreatedAt {
        second: 0,
        minute: 0,
        hour: 0,
        day: 1,
        month0: 0,
        year_since_1900: 120,
        is_dst: 0,
    };
    let header = Header {
        version: ArchiveVersion(1, 12, 0),
        int_size: 4,
        offset_size: 8,
        format: ArchiveFormat::Directory { code: 3 },
        compression: Compression::Level(-1),
        created_at,
        database: None,
        server_version: None,
        dump_version: None,
    };
    Toc { header, entries }
}
