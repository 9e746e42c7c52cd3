//! What the statements of an archive say of tables, keys and indexes: for who has an archive, and no server to ask.
//!
//! As much of SQL as `pg_dump` writes, and no more: what is not understood is `None`, and whoever asks has to do without it or
//! to refuse the archive. Names in old archives stand without their schema, which is the entry's own then.

use super::tokens::{Kind, Token, Tokens};
use super::{Entry, Text, Toc};
use crate::model::QualifiedName;

/// A key, as its `ALTER TABLE … ADD CONSTRAINT` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDefinition {
    /// `PRIMARY KEY`, and not `UNIQUE`.
    pub primary: bool,
    /// What stands behind `CREATE UNIQUE INDEX … ON … USING btree`.
    pub index: Vec<u8>,
    /// The constraint is deferrable.
    pub deferrable: bool,
    /// The constraint is initially deferred.
    pub deferred: bool,
}

/// A statement as words.
struct Words<'a> {
    sql: &'a [u8],
    tokens: Vec<Token>,
}

impl<'a> Words<'a> {
    fn of(sql: &'a [u8], std_strings: bool) -> Option<Self> {
        let mut tokens = Vec::new();
        for token in Tokens::new(sql, std_strings) {
            let token = token.ok()?;
            if token.kind != Kind::Comment {
                tokens.push(token);
            }
        }
        Some(Self { sql, tokens })
    }

    fn text(&self, at: usize) -> &'a [u8] {
        let token = self.tokens.get(at);
        token
            .and_then(|token| self.sql.get(token.start..token.end))
            .unwrap_or_default()
    }

    fn is(&self, at: usize, word: &str) -> bool {
        let is_word = |token: &Token| token.kind != Kind::QuotedName && token.kind != Kind::Literal;
        self.tokens.get(at).is_some_and(is_word)
            && self.text(at).eq_ignore_ascii_case(word.as_bytes())
    }

    /// Where these words stand one after the other, outside of parentheses.
    fn find(&self, words: &[&str]) -> Option<usize> {
        let mut depth = 0_u32;
        for at in 0..self.tokens.len() {
            if self.is(at, "(") {
                depth += 1;
            } else if self.is(at, ")") {
                depth = depth.checked_sub(1)?;
            } else if depth == 0
                && words
                    .iter()
                    .enumerate()
                    .all(|(further, word)| self.is(at + further, word))
            {
                return Some(at);
            }
        }
        None
    }

    /// Where the item of a list ends that begins here: at a comma, or at the end of the list.
    fn item_end(&self, from: usize) -> Option<usize> {
        let mut depth = 0_u32;
        for at in from..self.tokens.len() {
            if depth == 0 && (self.is(at, ",") || self.is(at, ")")) {
                return Some(at);
            }
            if self.is(at, "(") {
                depth += 1;
            } else if self.is(at, ")") {
                depth -= 1;
            }
        }
        None
    }

    /// The type that a column's definition begins with.
    fn type_in(&self, from: usize, to: usize) -> String {
        const BEHIND: [&str; 9] = [
            "NOT",
            "NULL",
            "DEFAULT",
            "COLLATE",
            "GENERATED",
            "CONSTRAINT",
            "CHECK",
            "STORAGE",
            "COMPRESSION",
        ];
        let mut text = String::new();
        let mut depth = 0_u32;
        let mut last_end = None;
        for at in from..to {
            if self.is(at, "(") {
                depth += 1;
                continue;
            }
            if self.is(at, ")") {
                depth = depth.saturating_sub(1);
                last_end = None;
                continue;
            }
            if depth > 0 {
                continue;
            }
            if BEHIND.iter().any(|word| self.is(at, word)) {
                break;
            }
            // What stood apart stands apart.
            let start = self.tokens.get(at).map(|token| token.start);
            let is_apart = start != last_end && !text.is_empty();
            let belongs_to_it = [b'.', b'[', b']'].contains(&self.text(at)[0]);
            if is_apart && !belongs_to_it {
                text.push(' ');
            }
            text.push_str(&String::from_utf8_lossy(self.text(at)));
            last_end = self.tokens.get(at).map(|token| token.end);
        }
        text
    }

    /// The name that begins here, and where it ends.
    fn name(&self, mut at: usize) -> Option<(Vec<Text>, usize)> {
        let mut parts = Vec::new();
        loop {
            let token = self.tokens.get(at)?;
            parts.push(match token.kind {
                Kind::Word => Text::from(self.text(at).to_vec()),
                Kind::QuotedName => unquoted(self.text(at))?,
                _ => return None,
            });
            at += 1;
            if !self.is(at, ".") {
                return Some((parts, at));
            }
            at += 1;
        }
    }

    /// The same as the name of something with a schema.
    fn qualified(&self, at: usize, entry: &Entry) -> Option<QualifiedName> {
        let (parts, _) = self.name(at)?;
        match parts.as_slice() {
            [schema, name] => Some(QualifiedName::new(schema.to_str()?, name.to_str()?)),
            [name] => {
                let schema = entry.namespace.as_ref()?.to_str()?;
                Some(QualifiedName::new(schema, name.to_str()?))
            }
            _ => None,
        }
    }

    /// What follows `ALTER TABLE`, `ONLY` passed over, and whether it was there.
    fn altered(&self) -> Option<(usize, bool)> {
        let at = self.find(&["ALTER", "TABLE"])? + 2;
        let only = self.is(at, "ONLY");
        Some((at + usize::from(only), only))
    }
}

impl Toc {
    fn words<'a>(&self, entry: &'a Entry) -> Option<Words<'a>> {
        Words::of(entry.defn_bytes(), self.std_strings())
    }

    /// The table that a `COPY` of a `TABLE DATA` entry loads: the entry's own, or the partitioned root above it.
    pub fn copied_into(&self, entry: &Entry) -> Option<QualifiedName> {
        let statement = entry.copy_stmt.as_ref()?;
        let words = Words::of(statement.as_bytes(), self.std_strings())?;
        words.qualified(words.find(&["COPY"])? + 1, entry)
    }

    /// The partitioned table that a `TABLE ATTACH` entry attaches a partition to.
    pub fn attached_to(&self, entry: &Entry) -> Option<QualifiedName> {
        let words = self.words(entry)?;
        let (at, _) = words.altered()?;
        words.qualified(at, entry)
    }

    /// The types of the key of the partitioned table that a `TABLE ATTACH` entry attaches a partition to: one for each part, as the
    /// columns are defined, without what is in parentheses. `None` for a part that is no column; empty if the archive does not say.
    pub fn key_attached_to(&self, entry: &Entry) -> Vec<Option<String>> {
        let Some(root) = self.attached_to(entry) else {
            return Vec::new();
        };
        let above = entry.dependencies.iter().filter_map(|id| self.by_id(*id));
        let key = above
            .filter(|table| table.is("TABLE"))
            .find(|table| table.qualified_name().as_ref() == Some(&root))
            .and_then(|table| self.partition_key(table));
        key.unwrap_or_default()
    }

    fn partition_key(&self, table: &Entry) -> Option<Vec<Option<String>>> {
        let columns = self.defined_columns(table)?;
        let words = self.words(table)?;
        // LIST, RANGE or HASH stands between.
        let mut at = words.find(&["PARTITION", "BY"])? + 3;
        let mut key = Vec::new();
        while words.is(at, "(") || words.is(at, ",") {
            let part = match words.name(at + 1) {
                Some((names, behind)) if !words.is(behind, "(") => names,
                _ => Vec::new(),
            };
            let column = columns
                .iter()
                .find(|(name, _)| matches!(part.as_slice(), [only] if *only == name.as_str()));
            key.push(column.map(|(_, of)| of.clone()));
            at = words.item_end(at + 1)?;
        }
        Some(key)
    }

    /// The table that an `FK CONSTRAINT` is on, and the one that it points to.
    pub fn key_between(&self, entry: &Entry) -> Option<(QualifiedName, QualifiedName)> {
        let words = self.words(entry)?;
        let (at, _) = words.altered()?;
        let references = words.find(&["REFERENCES"])? + 1;
        Some((
            words.qualified(at, entry)?,
            words.qualified(references, entry)?,
        ))
    }

    /// The table that a `CONSTRAINT` is on.
    pub fn constrained(&self, entry: &Entry) -> Option<QualifiedName> {
        let words = self.words(entry)?;
        let (at, _) = words.altered()?;
        words.qualified(at, entry)
    }

    /// The table that an `INDEX` is on, and its access method.
    pub fn indexed(&self, entry: &Entry) -> Option<(QualifiedName, String)> {
        let words = self.words(entry)?;
        let on = words.find(&["ON"])? + 1;
        let on = on + usize::from(words.is(on, "ONLY"));
        let method = words.find(&["USING"])? + 1;
        let method = String::from_utf8(words.text(method).to_vec()).ok()?;
        Some((words.qualified(on, entry)?, method))
    }

    /// What a primary key or unique constraint is made of; `None` for other constraints, and for those that no index can be
    /// made for beforehand.
    pub fn key_definition(&self, entry: &Entry) -> Option<KeyDefinition> {
        let words = self.words(entry)?;
        let at = words.find(&["ADD", "CONSTRAINT"])? + 2;
        let (_, at) = words.name(at)?;
        let (primary, at) = match (words.is(at, "PRIMARY"), words.is(at, "UNIQUE")) {
            (true, _) => (true, at + 2),
            (_, true) => (false, at + 1),
            _ => return None,
        };
        let distinct = ["NULLS", "NOT", "DISTINCT"];
        let nulls_alike = (0..3).all(|word| words.is(at + word, distinct[word]));
        let begins = at + if nulls_alike { 3 } else { 0 };
        if !words.is(begins, "(") || words.sql.windows(8).any(|some| some == b"OVERLAPS") {
            return None;
        }
        let deferrable = words.find(&["DEFERRABLE"]);
        let ends = deferrable.or_else(|| words.find(&[";"]))?;
        let slice = |from: usize, to: usize| {
            let (from, to) = (words.tokens.get(from)?.start, words.tokens.get(to)?.start);
            words.sql.get(from..to)
        };
        // In CREATE INDEX, NULLS NOT DISTINCT comes behind the columns, before the storage parameters.
        let with = words.find(&["WITH"]).filter(|with| *with < ends);
        let mut index = slice(begins, with.unwrap_or(ends))?.to_vec();
        if nulls_alike {
            index.extend_from_slice(b" nulls not distinct ");
        }
        if let Some(with) = with {
            index.extend_from_slice(slice(with, ends)?);
        }
        Some(KeyDefinition {
            primary,
            index: index.trim_ascii().to_vec(),
            deferrable: deferrable.is_some(),
            deferred: words.find(&["INITIALLY", "DEFERRED"]).is_some(),
        })
    }

    /// The columns that a `TABLE` entry defines, each with its type, without what is in parentheses behind it; `None` if it does not list
    /// them.
    pub fn defined_columns(&self, entry: &Entry) -> Option<Vec<(String, String)>> {
        let words = self.words(entry)?;
        let mut at = words.find(&["TABLE"])? + 1;
        (_, at) = words.name(at)?;
        if !words.is(at, "(") {
            return None;
        }
        at += 1;
        let mut columns = Vec::new();
        while !words.is(at, ")") {
            if words.is(at, "CONSTRAINT") {
                break;
            }
            let (name, behind) = words.name(at)?;
            let ends = words.item_end(behind)?;
            columns.push((
                name.first()?.to_str()?.to_owned(),
                words.type_in(behind, ends),
            ));
            at = ends + usize::from(words.is(ends, ","));
        }
        Some(columns)
    }

    /// Whether the columns of a `TABLE` entry are all that it has: others may come from tables that it inherits from.
    pub fn inherits_columns(&self, entry: &Entry) -> bool {
        let words = self.words(entry);
        words.is_none_or(|words| words.find(&["INHERITS"]).is_some())
    }

    /// Whether a table's definition says that it is not logged.
    pub fn is_unlogged(&self, entry: &Entry) -> bool {
        entry
            .defn_bytes()
            .trim_ascii_start()
            .starts_with(b"CREATE UNLOGGED TABLE")
    }
}

/// `"a""b"` → `a"b`.
pub(super) fn unquoted(name: &[u8]) -> Option<Text> {
    let inner = name.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let mut text = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(&byte) = bytes.next() {
        if byte == b'"' && bytes.next() != Some(&b'"') {
            return None;
        }
        text.push(byte);
    }
    Some(Text::from(text))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{entry, toc};
    use super::*;
    use crate::model::{DumpId, SqlText};

    fn with(desc: &str, defn: &str) -> (Toc, Entry) {
        let entry = Entry {
            namespace: Some("s".into()),
            defn: Some(SqlText::from(defn)),
            ..entry(desc)
        };
        (toc(vec![entry.clone()]), entry)
    }

    fn name(schema: &str, name: &str) -> QualifiedName {
        QualifiedName::new(schema, name)
    }

    #[test]
    fn columns_have_types_without_what_is_in_parentheses() {
        let (toc, table) = with(
            "TABLE",
            "CREATE TABLE s.t (\n    id bigint DEFAULT nextval('s.q'::regclass) NOT NULL,\n    \"a b\" character varying(20),\n    \
             at timestamp(3) without time zone NOT NULL,\n    n numeric(10,2)[],\n    e s.\"my type\",\n    \
             g integer GENERATED ALWAYS AS ((1 + 2)) STORED,\n    CONSTRAINT c CHECK ((id > 0))\n);\n",
        );
        let columns = toc.defined_columns(&table).expect("columns");
        let shown: Vec<(&str, &str)> = columns
            .iter()
            .map(|(name, of)| (name.as_str(), of.as_str()))
            .collect();
        assert_eq!(
            shown,
            [
                ("id", "bigint"),
                ("a b", "character varying"),
                ("at", "timestamp without time zone"),
                ("n", "numeric[]"),
                ("e", "s.\"my type\""),
                ("g", "integer"),
            ]
        );
        assert!(!toc.inherits_columns(&table));
        let (toc, child) = with("TABLE", "CREATE TABLE c (\n)\nINHERITS (s.t);\n");
        assert_eq!(toc.defined_columns(&child), Some(Vec::new()));
        assert!(toc.inherits_columns(&child));
        let (toc, typed) = with("TABLE", "CREATE TABLE c OF s.r;\n");
        assert_eq!(toc.defined_columns(&typed), None);
    }

    #[test]
    fn tables_are_found_in_statements() {
        let (toc, mut rows) = with("TABLE DATA", "");
        for (statement, into) in [
            ("COPY s.t (a, b) FROM stdin;\n", Some(name("s", "t"))),
            (
                "COPY \"S\"\"x\".\"t.u\" FROM stdin;",
                Some(name("S\"x", "t.u")),
            ),
            ("COPY t (a) FROM stdin;", Some(name("s", "t"))),
            ("INSERT INTO t", None),
        ] {
            rows.copy_stmt = Some(SqlText::from(statement));
            assert_eq!(toc.copied_into(&rows), into, "{statement}");
        }
        let (toc, attach) = with(
            "TABLE ATTACH",
            "ALTER TABLE ONLY s.root ATTACH PARTITION s.leaf FOR VALUES IN ('a');\n",
        );
        assert_eq!(toc.attached_to(&attach), Some(name("s", "root")));
        let (toc, key) = with(
            "FK CONSTRAINT",
            "ALTER TABLE ONLY s.child\n    ADD CONSTRAINT \"references\" FOREIGN KEY (\"references\") REFERENCES o.parent(id) ON DELETE CASCADE;\n",
        );
        let between = (name("s", "child"), name("o", "parent"));
        assert_eq!(toc.key_between(&key), Some(between));
        let (toc, index) = with(
            "INDEX",
            "CREATE INDEX \"on\" ON ONLY s.t USING gin (to_tsvector('a on b'::regconfig, x)) WHERE (a > 1);\n",
        );
        let found = Some((name("s", "t"), "gin".to_owned()));
        assert_eq!(toc.indexed(&index), found);
    }

    #[test]
    fn the_key_of_a_partitioned_table_has_types() {
        let defined = |desc: &str, id: i32, defn: &str| Entry {
            dump_id: DumpId(id),
            namespace: Some("s".into()),
            defn: Some(SqlText::from(defn)),
            ..entry(desc)
        };
        let key = |parts: &str| {
            let root = Entry {
                tag: "root".into(),
                ..defined(
                    "TABLE",
                    1,
                    &format!(
                        "CREATE TABLE s.root (\n    a double precision DEFAULT 0.3 NOT NULL,\n    \"B b\" bit varying(3),\n    c text COLLATE pg_catalog.\"C\"\n)\n\
                         PARTITION BY {parts};\nALTER TABLE ONLY s.root ALTER COLUMN c SET STORAGE PLAIN;\n"
                    ),
                )
            };
            let attach = Entry {
                dependencies: Box::new([DumpId(9), DumpId(1)]),
                ..defined(
                    "TABLE ATTACH",
                    2,
                    "ALTER TABLE ONLY s.root ATTACH PARTITION s.leaf FOR VALUES IN ('a');\n",
                )
            };
            let found = toc(vec![root, attach.clone()]).key_attached_to(&attach);
            let shown = found.iter().map(|of| of.as_deref().unwrap_or("?"));
            shown.collect::<Vec<_>>().join(", ")
        };
        assert_eq!(key("LIST (a)"), "double precision");
        assert_eq!(
            key("RANGE (c COLLATE \"C\", \"B b\", a s.ops)"),
            "text, bit varying, double precision"
        );
        assert_eq!(
            key("RANGE (((a * (2)::double precision)), lower(c), a)"),
            "?, ?, double precision"
        );
        assert_eq!(key("RANGE (a(c), s.a(c), d)"), "?, ?, ?");
        let (alone, attach) = with(
            "TABLE ATTACH",
            "ALTER TABLE ONLY s.root ATTACH PARTITION s.leaf FOR VALUES IN ('a');\n",
        );
        assert!(alone.key_attached_to(&attach).is_empty());
    }

    #[test]
    fn keys_are_taken_apart() {
        let key = |rest: &str| {
            let defn = format!("ALTER TABLE ONLY s.t\n    ADD CONSTRAINT \"unique\" {rest};\n");
            let (toc, entry) = with("CONSTRAINT", &defn);
            toc.key_definition(&entry)
        };
        let plain = key("PRIMARY KEY (a, \"B )\")").expect("a key");
        assert_eq!(plain.index, b"(a, \"B )\")");
        assert!(plain.primary && !plain.deferrable && !plain.deferred);
        let rich = key(
            "UNIQUE NULLS NOT DISTINCT (a) INCLUDE (b) WITH (fillfactor='70') DEFERRABLE INITIALLY DEFERRED",
        );
        let rich = rich.expect("a key");
        assert_eq!(
            String::from_utf8_lossy(&rich.index),
            "(a) INCLUDE (b)  nulls not distinct WITH (fillfactor='70')"
        );
        assert!(!rich.primary && rich.deferrable && rich.deferred);
        for other in [
            "EXCLUDE USING gist (a WITH &&)",
            "CHECK ((a > 0))",
            "PRIMARY KEY (a, b WITHOUT OVERLAPS)",
            "PRIMARY KEY USING INDEX x",
        ] {
            assert_eq!(key(other), None, "{other}");
        }
    }
}
