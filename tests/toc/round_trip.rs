//! Writing is the inverse of reading.

use std::io::Read;

use pgconvoy::model::{DumpId, Oid, SqlText};
use pgconvoy::toc::{
    ArchiveFormat, ArchiveVersion, Compression, CreatedAt, DataPlace, Entry, Header, OffsetState,
    Section, Text, Toc,
};
use proptest::prelude::*;

use super::archives;

#[test]
fn real_archives_are_written_back_byte_for_byte() {
    for name in archives::NAMES {
        let bytes = archives::bytes(&format!("{name}.dir/toc.dat"));
        let toc = Toc::parse(&bytes).expect("reads");
        assert!(toc.to_bytes().expect("writes") == bytes, "{name}.dir");
        let bytes = archives::bytes(&format!("{name}.dump"));
        let written = Toc::parse(&bytes)
            .expect("reads")
            .to_bytes()
            .expect("writes");
        assert!(bytes.starts_with(&written), "{name}.dump");
    }
}

/// A custom archive goes on with its data, which must still be there for whoever reads on.
#[test]
fn nothing_behind_a_custom_table_of_contents_is_taken() {
    let bytes = archives::bytes("18-nasty.dump");
    let mut source = bytes.as_slice();
    let toc = Toc::read(&mut source).expect("reads");
    let length = toc.to_bytes().expect("writes").len();
    assert_eq!(source, &bytes[length..]);
    // The first block of data: its type (1 is rows, 3 large objects), then the dump id it belongs to.
    let mut block = [0; 1];
    source.read_exact(&mut block).expect("there is data");
    assert!(matches!(block, [1 | 3]));
}

fn text() -> impl Strategy<Value = Text> {
    proptest::collection::vec(1_u8..=255, 0..40).prop_map(Text::from)
}

fn sql() -> impl Strategy<Value = Option<SqlText>> {
    proptest::option::of(text().prop_map(|text| SqlText::from(text.to_vec())))
}

fn null_or_text() -> impl Strategy<Value = Option<Text>> {
    proptest::option::of(text())
}

fn header() -> impl Strategy<Value = Header> {
    let texts = (null_or_text(), null_or_text(), null_or_text());
    let format = prop_oneof![
        Just(ArchiveFormat::Custom),
        Just(ArchiveFormat::Directory { code: 3 })
    ];
    (
        12_u8..=16,
        any::<u8>(),
        4_u8..=8,
        4_u8..=8,
        format,
        0..4,
        any::<[i32; 7]>(),
        texts,
    )
        .prop_map(
            |(minor, revision, int_size, offset_size, format, kind, at, texts)| Header {
                version: ArchiveVersion(1, minor, revision),
                int_size,
                offset_size,
                format,
                compression: match kind {
                    _ if minor < 15 => Compression::Level(kind - 1),
                    0 => Compression::None,
                    1 => Compression::Gzip,
                    2 => Compression::Lz4,
                    _ => Compression::Zstd,
                },
                created_at: CreatedAt {
                    second: at[0],
                    minute: at[1],
                    hour: at[2],
                    day: at[3],
                    month0: at[4],
                    year_since_1900: at[5],
                    is_dst: at[6],
                },
                database: texts.0,
                server_version: texts.1,
                dump_version: texts.2,
            },
        )
}

fn entry() -> impl Strategy<Value = Entry> {
    let section = prop_oneof![
        Just(Section::None),
        Just(Section::PreData),
        Just(Section::Data),
        Just(Section::PostData)
    ];
    let names = (
        text(),
        "[A-Z ]{0,12}",
        null_or_text(),
        null_or_text(),
        null_or_text(),
        null_or_text(),
    );
    let statements = (sql(), sql(), sql());
    let numbers = (any::<u32>(), any::<u32>(), any::<u8>(), any::<u32>());
    let flags = any::<(bool, bool)>();
    let dependencies = proptest::collection::vec(any::<i32>().prop_map(DumpId), 0..5);
    (section, names, statements, numbers, flags, dependencies).prop_map(
        |(section, names, statements, numbers, flags, dependencies)| Entry {
            dump_id: DumpId(0),
            had_dumper: flags.0,
            table_oid: Oid(numbers.0),
            oid: Oid(numbers.1),
            tag: names.0,
            desc: names.1.into(),
            section,
            defn: statements.0,
            drop_stmt: statements.1,
            copy_stmt: statements.2,
            namespace: names.2,
            tablespace: names.3,
            table_am: names.4,
            relkind: Some(numbers.2).filter(|&relkind| relkind != 0),
            owner: names.5,
            with_oids: flags.1,
            dependencies: dependencies.into(),
            data: DataPlace::Offset {
                state: OffsetState::Set,
                position: u64::from(numbers.3),
            },
        },
    )
}

/// Makes the entries fit the header: what its version and format do not have goes.
fn fit(header: Header, entries: Vec<Entry>) -> Toc {
    let ArchiveVersion(_, minor, _) = header.version;
    let numbered = (1..).zip(entries).map(|(id, entry)| Entry {
        dump_id: DumpId(id),
        table_am: entry.table_am.filter(|_| minor >= 14),
        relkind: entry.relkind.filter(|_| minor >= 16),
        data: match header.format {
            ArchiveFormat::Custom => entry.data,
            ArchiveFormat::Directory { .. } => DataPlace::File("17.dat".into()),
        },
        ..entry
    });
    Toc {
        entries: numbered.collect(),
        header,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn reading_is_the_inverse_of_writing(header in header(), entries in proptest::collection::vec(entry(), 0..6)) {
        let toc = fit(header, entries);
        let bytes = toc.to_bytes().expect("writes");
        prop_assert_eq!(Toc::parse(&bytes).expect("reads"), toc);
    }
}
