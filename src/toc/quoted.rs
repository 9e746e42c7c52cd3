//! Whether all names of an archive are quoted, also those that need not be: `pg_dump --quote-all-identifiers`, which its manual advises
//! for a move between major versions. No archive says that it was made so, and every statement shows it.

use super::described::unquoted;
use super::tokens::{Kind, Tokens};
use super::{Entry, Toc};
use crate::model::SqlText;

impl Toc {
    /// Whether names are quoted that need no quotes, and none stands without. Looked at are the statements that drop objects and load
    /// rows: in these `pg_dump` writes every name itself.
    pub fn quotes_all_names(&self) -> bool {
        let mut needlessly = false;
        for entry in &self.entries {
            let statements = [&entry.drop_stmt, &entry.copy_stmt];
            for statement in statements.into_iter().flatten() {
                match quotes_its_schema(entry, statement) {
                    Some(true) => needlessly = true,
                    Some(false) => return false,
                    None => {}
                }
            }
            if has_bare_columns(entry) {
                return false;
            }
        }
        needlessly
    }
}

/// Whether the entry's schema stands in quotes that it does not need, and what is in it in quotes as well: a keyword has quotes
/// anyway, the names behind it have not. `None` if the schema needs its quotes, or is not in the statement.
fn quotes_its_schema(entry: &Entry, statement: &SqlText) -> Option<bool> {
    let schema = entry.namespace.as_deref()?;
    let sql = statement.as_bytes();
    let tokens: Result<Vec<_>, _> = Tokens::new(sql, true).collect();
    let tokens = tokens.ok()?;
    let text = |at: usize| {
        tokens
            .get(at)
            .and_then(|token| sql.get(token.start..token.end))
    };
    (0..tokens.len()).find_map(|at| {
        let (token, name) = (tokens.get(at)?, text(at)?);
        if text(at + 1) != Some(&b"."[..]) {
            return None;
        }
        let within = tokens.get(at + 2)?.kind;
        match token.kind {
            Kind::Word if name == schema => Some(false),
            Kind::QuotedName if *unquoted(name)? == *schema => match within {
                Kind::Word => Some(false),
                _ => is_plain(schema).then_some(true),
            },
            _ => None,
        }
    })
}

/// Whether a column stands without quotes in the statement that loads rows.
fn has_bare_columns(entry: &Entry) -> bool {
    let Some(statement) = &entry.copy_stmt else {
        return false;
    };
    let mut inside = false;
    let sql = statement.as_bytes();
    Tokens::new(sql, true).map_while(Result::ok).any(|token| {
        match (token.kind, sql.get(token.start..token.end)) {
            (Kind::Symbol, Some(b"(")) => inside = true,
            (Kind::Symbol, Some(b")")) => inside = false,
            (Kind::Word, _) => return inside,
            _ => {}
        }
        false
    })
}

/// Whether a name needs no quotes, unless it is a keyword.
fn is_plain(name: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_lowercase() || *byte == b'_';
    name.first().is_some_and(is_letter)
        && name
            .iter()
            .all(|byte| is_letter(byte) || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::super::Text;
    use super::super::testing::{entry, toc};
    use super::*;

    fn table(schema: &str, drop: &str, copy: &str) -> [Entry; 2] {
        let of = |desc| Entry {
            namespace: Some(Text::from(schema)),
            ..entry(desc)
        };
        let definition = Entry {
            drop_stmt: Some(SqlText::from(drop)),
            ..of("TABLE")
        };
        let rows = Entry {
            copy_stmt: Some(SqlText::from(copy)),
            ..of("TABLE DATA")
        };
        [definition, rows]
    }

    #[test]
    fn names_that_need_no_quotes_have_some_only_if_all_have() {
        let as_usual = table(
            "public",
            "DROP TABLE public.t;\n",
            "COPY public.t (id, \"V\") FROM stdin;\n",
        );
        let all = table(
            "public",
            "DROP TABLE \"public\".\"t\";\n",
            "COPY \"public\".\"t\" (\"id\", \"V\") FROM stdin;\n",
        );
        // A schema whose name is a keyword, or is written in capitals, has quotes anyway.
        let keyword = table(
            "user",
            "DROP TABLE \"user\".\"T\";\n",
            "COPY \"user\".\"T\" (id) FROM stdin;\n",
        );
        let capitals = table(
            "App",
            "DROP TABLE \"App\".t;\n",
            "COPY \"App\".t (id) FROM stdin;\n",
        );
        // Of that schema, definitions alone: nothing but the name behind the dot tells.
        let within_keyword = table("user", "DROP TABLE \"user\".accounts;\n", "");
        let all_within_keyword = table("user", "DROP TABLE \"user\".\"accounts\";\n", "");
        let objects = Entry {
            drop_stmt: Some(SqlText::from("SELECT pg_catalog.lo_unlink('7');\n")),
            namespace: None,
            ..entry("BLOB")
        };
        let quotes = |tables: &[&[Entry]]| toc(tables.concat()).quotes_all_names();
        assert!(quotes(&[&all]));
        assert!(quotes(&[&all, &[objects]]));
        assert!(quotes(&[&all[..1]]));
        assert!(!quotes(&[&as_usual]));
        assert!(!quotes(&[&as_usual[..1]]));
        assert!(!quotes(&[&keyword]));
        assert!(!quotes(&[&capitals]));
        assert!(!quotes(&[&within_keyword[..1]]));
        assert!(quotes(&[&all_within_keyword[..1]]));
        assert!(!quotes(&[&all, &within_keyword[..1]]));
        assert!(!quotes(&[&all, &capitals[..1]]));
        assert!(!quotes(&[&keyword, &as_usual]));
        assert!(!quotes(&[&[entry("SCHEMA")]]));
    }
}
