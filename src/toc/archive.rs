//! What a table of contents says about an archive's data: which files there are, and what is in them.

use crate::model::{DumpId, Oid, SqlText};

use super::described::unquoted;
use super::tokens::{Kind, Tokens};
use super::{ArchiveFormat, ArchiveVersion, Compression, DataPlace, Entry, OffsetState, Text, Toc};

/// What `pg_dump` writes as the format of a directory: tar's code.
const DIRECTORY: u8 = 3;

/// Where a sequence stands, as its `SEQUENCE SET` entry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequencePosition {
    /// Its schema, not quoted.
    pub schema: Text,
    /// Its name, not quoted.
    pub name: Text,
    /// `last_value`.
    pub last_value: i64,
    /// Whether that was handed out.
    pub is_called: bool,
}

/// Large objects whose content is listed in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LargeObjectList {
    /// The `BLOBS` entry.
    pub dump_id: DumpId,
    /// The file's name.
    pub file: Text,
    /// The objects.
    pub oids: Vec<Oid>,
}

impl Toc {
    /// The same archive as a directory, with the names that `pg_dump -Fd` would give to its files; `None` if the version of
    /// the format does not know the compression.
    pub fn into_directory(mut self, compression: Compression) -> Option<Self> {
        let knows_all = self.header.version >= ArchiveVersion::COMPRESSION_ALGORITHM;
        self.header.format = ArchiveFormat::Directory { code: DIRECTORY };
        self.header.compression = match compression {
            Compression::None if !knows_all => Compression::Level(0),
            Compression::Gzip if !knows_all => Compression::Level(-1),
            Compression::Lz4 | Compression::Zstd if !knows_all => return None,
            compression => compression,
        };
        let many_lists = self.header.version >= ArchiveVersion::RELKIND;
        for entry in &mut self.entries {
            let has_data = match entry.data {
                DataPlace::Offset { state, .. } => state != OffsetState::NoData,
                DataPlace::File(_) => continue,
            };
            let id = entry.dump_id;
            entry.data = DataPlace::File(Text::from(
                match (has_data, entry.is("BLOBS")) {
                    (false, _) => String::new(),
                    (true, true) if many_lists => format!("blobs_{id}.toc"),
                    (true, true) => "blobs.toc".to_owned(),
                    (true, false) => format!("{id}.dat"),
                }
                .as_str(),
            ));
        }
        Some(self)
    }

    /// Where sequences stand; the error is an entry that does not say it as `pg_dump` does.
    pub fn sequence_positions(&self) -> Result<Vec<SequencePosition>, &Entry> {
        let entries = self.entries.iter();
        let sets = entries.filter(|entry| entry.is("SEQUENCE SET"));
        sets.map(|entry| position(entry).ok_or(entry)).collect()
    }

    /// The lists of large objects; the error is an entry that does not say it as `pg_dump` does.
    pub fn large_object_lists(&self) -> Result<Vec<LargeObjectList>, &Entry> {
        let entries = self.entries.iter();
        let lists = entries.filter(|entry| entry.is("BLOBS"));
        lists.map(|entry| self.list_of(entry)).collect()
    }

    fn list_of<'a>(&'a self, blobs: &'a Entry) -> Result<LargeObjectList, &'a Entry> {
        let DataPlace::File(file) = &blobs.data else {
            return Err(blobs);
        };
        let mut oids = Vec::new();
        for entry in &self.entries {
            let text = match entry.desc.as_str() {
                // Since 17: each list has the objects of one owner, and names what describes them.
                "BLOB METADATA" if blobs.dependencies.contains(&entry.dump_id) => {
                    String::from_utf8_lossy(entry.defn_bytes())
                }
                "BLOB" => String::from_utf8_lossy(&entry.tag),
                _ => continue,
            };
            for word in text.split_ascii_whitespace() {
                oids.push(Oid(word.parse().map_err(|_| entry)?));
            }
        }
        Ok(LargeObjectList {
            dump_id: blobs.dump_id,
            file: file.clone(),
            oids,
        })
    }
}

impl Entry {
    /// Whether it stands for the rows of a table, in a file of their own.
    pub fn is_table_data(&self) -> bool {
        self.is("TABLE DATA") && matches!(&self.data, DataPlace::File(name) if !name.is_empty())
    }

    /// The columns of a `COPY table (a, b) FROM stdin;`, unquoted, in the order of the rows. Empty for a table without any;
    /// `None` if it is no such statement.
    pub fn copied_columns(&self) -> Option<Vec<Text>> {
        let statement = self.copy_stmt.as_ref().map(SqlText::as_bytes)?;
        let mut columns = Vec::new();
        let mut depth = 0;
        for token in Tokens::new(statement, true) {
            let token = token.ok()?;
            let text = statement.get(token.start..token.end)?;
            match (token.kind, text) {
                (Kind::Symbol, b"(") => depth += 1,
                (Kind::Symbol, b")") => return (depth == 1).then_some(columns),
                (Kind::Word, word) if depth == 0 && word.eq_ignore_ascii_case(b"from") => break,
                (Kind::Word, word) if depth == 1 => columns.push(Text::from(word.to_vec())),
                (Kind::QuotedName, name) if depth == 1 => columns.push(unquoted(name)?),
                _ => {}
            }
        }
        (depth == 0).then_some(columns)
    }

    /// Whether each of the rows has its oid in front, as `pg_dump --oids` wrote them before version 12:
    /// `COPY table (a, b) WITH OIDS FROM stdin;`.
    pub fn copies_oids(&self) -> bool {
        let statement = self.copy_stmt.as_ref().map(SqlText::as_bytes);
        let statement = statement.unwrap_or_default();
        let mut depth = 0_usize;
        let mut is_with = false;
        for token in Tokens::new(statement, true).map_while(Result::ok) {
            let text = statement.get(token.start..token.end).unwrap_or_default();
            let is = |word: &[u8]| token.kind == Kind::Word && text.eq_ignore_ascii_case(word);
            match (token.kind, text) {
                (Kind::Symbol, b"(") => depth += 1,
                (Kind::Symbol, b")") => depth = depth.saturating_sub(1),
                _ if depth == 0 && is_with && is(b"oids") => return true,
                _ if depth == 0 && is(b"from") => return false,
                _ => {}
            }
            is_with = is(b"with");
        }
        false
    }
}

/// `SELECT pg_catalog.setval('public.numbers', 42, true);`
fn position(entry: &Entry) -> Option<SequencePosition> {
    let statement = entry.defn_bytes().trim_ascii();
    let arguments = statement
        .strip_prefix(b"SELECT pg_catalog.setval(")?
        .strip_suffix(b");")?;
    let comma = |bytes: &[u8]| bytes.iter().rposition(|&byte| byte == b',');
    let (rest, is_called) = arguments.split_at(comma(arguments)?);
    let (name, last_value) = rest.split_at(comma(rest)?);
    let word = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes.strip_prefix(b",")?).ok()?;
        Some(text.trim().to_owned())
    };
    let mut names = identifiers(&literal(name)?)?.into_iter();
    let (schema, name) = (names.next()?, names.next()?);
    Some(SequencePosition {
        schema,
        name,
        last_value: word(last_value)?.parse().ok()?,
        is_called: word(is_called)?.parse().ok()?,
    })
}

/// `public."odd.name"` → `public`, `odd.name`.
fn identifiers(qualified: &[u8]) -> Option<Vec<Text>> {
    let mut names = Vec::new();
    for token in Tokens::new(qualified, true) {
        let token = token.ok()?;
        let text = qualified.get(token.start..token.end)?;
        match (token.kind, text) {
            (Kind::Word, word) => names.push(Text::from(word.to_vec())),
            (Kind::QuotedName, name) => names.push(unquoted(name)?),
            (Kind::Symbol, b".") => {}
            _ => return None,
        }
    }
    Some(names)
}

/// `'a''b'` → `a'b`; with a backslash in it, `pg_dump` writes ` E'…\\…'`.
pub(super) fn literal(text: &[u8]) -> Option<Text> {
    let text = text.trim_ascii();
    let escaped = text.strip_prefix(b"E");
    let inner = escaped.unwrap_or(text);
    let inner = inner.strip_prefix(b"'")?.strip_suffix(b"'")?;
    let mut value = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(&byte) = bytes.next() {
        let doubled = byte == b'\'' || (byte == b'\\' && escaped.is_some());
        if doubled && bytes.next() != Some(&byte) {
            return None;
        }
        value.push(byte);
    }
    Some(Text::from(value))
}

#[cfg(test)]
mod tests {
    use super::super::testing::entry;
    use super::*;

    #[test]
    fn columns_are_those_of_the_statement() {
        let columns = |statement: &str| {
            let entry = Entry {
                copy_stmt: Some(SqlText::from(statement)),
                ..entry("TABLE DATA")
            };
            let columns = entry.copied_columns()?;
            Some(
                columns
                    .iter()
                    .map(Text::to_string_lossy)
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(
            columns("COPY public.\"odd (name\" (id, \"a\"\"(b\", \"from\") FROM stdin;\n"),
            Some(vec!["id".into(), "a\"(b".into(), "from".into()])
        );
        assert_eq!(columns("COPY public.empty  FROM stdin;\n"), Some(vec![]));
        assert_eq!(columns("COPY public.t (a, b"), None);
        assert_eq!(columns("COPY public.t (a, \"b) FROM stdin;"), None);
    }

    #[test]
    fn rows_have_their_oids_if_the_statement_says_so() {
        let oids = |statement: &str| {
            let entry = Entry {
                copy_stmt: Some(SqlText::from(statement)),
                ..entry("TABLE DATA")
            };
            entry.copies_oids()
        };
        for with in [
            "COPY public.old (id, \"a (b\") WITH OIDS FROM stdin;\n",
            "COPY public.old  WITH OIDS FROM stdin;\n",
        ] {
            assert!(oids(with), "{with}");
        }
        for without in [
            "COPY public.old (id, a) FROM stdin;\n",
            "COPY public.\"WITH OIDS\" (\"with\", oids) FROM stdin;\n",
            "COPY public.oids (with_it) FROM stdin;\n",
            "",
        ] {
            assert!(!oids(without), "{without}");
        }
    }

    #[test]
    fn positions_are_those_of_the_statement() {
        let read = |defn: &str| {
            position(&Entry {
                defn: Some(SqlText::from(defn)),
                ..entry("SEQUENCE SET")
            })
        };
        let plain = read("SELECT pg_catalog.setval('public.n', -42, true);\n").expect("reads");
        assert_eq!((&*plain.schema, &*plain.name), (&b"public"[..], &b"n"[..]));
        assert_eq!(plain.last_value, -42);
        assert!(plain.is_called);
        let odd = read("SELECT pg_catalog.setval( E'\"a.b\".\"it''s, \\\\\"', 1, false);\n");
        let odd = odd.expect("reads");
        assert_eq!((&*odd.schema, &*odd.name), (&b"a.b"[..], &b"it's, \\"[..]));
        for wrong in [
            "SELECT pg_catalog.setval('public.n', 42);\n",
            "SELECT pg_catalog.setval('public.n', x, true);\n",
            "SELECT pg_catalog.setval('public'.n', 1, true);\n",
            "",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
