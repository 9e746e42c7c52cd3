//! What an archive says of the database that it is of: how it is made, whose it is, and what is set on it.
//!
//! Archives by `pg_dump` always say it; a restore leaves it out unless the database is to be created.

use crate::model::{SqlText, quote_ident};

use super::described::unquoted;
use super::tokens::{Kind, Tokens};
use super::{Entry, Text, Toc};

/// The entries that are about the database itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseEntries<'a> {
    /// `DATABASE`.
    pub database: &'a Entry,
    /// Settings, connection limit and the like.
    pub properties: Option<&'a Entry>,
    /// Comments, grants and labels.
    pub attached: Vec<&'a Entry>,
}

impl Toc {
    /// The entries about the database; `None` if the archive does not describe it.
    pub fn database_entries(&self) -> Option<DatabaseEntries<'_>> {
        let of_kind = |desc: &str| self.entries.iter().find(|entry| entry.is(desc));
        let attached = self.entries.iter().filter(|entry| {
            matches!(entry.desc.as_str(), "COMMENT" | "ACL" | "SECURITY LABEL")
                && entry.tag.starts_with(b"DATABASE ")
        });
        Some(DatabaseEntries {
            database: of_kind("DATABASE")?,
            properties: of_kind("DATABASE PROPERTIES"),
            attached: attached.collect(),
        })
    }

    /// A statement about the database, for one of another name; without the tablespace, if that is not wanted.
    pub fn for_database(
        &self,
        sql: &[u8],
        (from, to): (&Text, &str),
        no_tablespaces: bool,
    ) -> SqlText {
        let tokens: Vec<_> = Tokens::new(sql, self.std_strings())
            .map_while(Result::ok)
            .collect();
        let text = |at: usize| {
            tokens
                .get(at)
                .and_then(|token| sql.get(token.start..token.end))
        };
        let is =
            |at: usize, word: &[u8]| text(at).is_some_and(|text| text.eq_ignore_ascii_case(word));
        let is_name = |at: usize| {
            let name = match tokens.get(at).map(|token| token.kind) {
                Some(Kind::Word) => text(at).map(|text| Text::from(text.to_vec())),
                Some(Kind::QuotedName) => text(at).and_then(unquoted),
                _ => None,
            };
            name.as_ref() == Some(from)
        };
        let mut made = Vec::with_capacity(sql.len());
        let mut copied = 0;
        let mut replace = |begins: usize, ends: usize, with: &[u8]| {
            let kept = tokens
                .get(begins)
                .and_then(|token| sql.get(copied..token.start));
            made.extend_from_slice(kept.unwrap_or_default());
            made.extend_from_slice(with);
            copied = tokens.get(ends).map_or(sql.len(), |token| token.end);
        };
        for at in 0..tokens.len() {
            if is(at, b"DATABASE") && is_name(at + 1) {
                replace(at + 1, at + 1, quote_ident(to).as_bytes());
            } else if no_tablespaces && is(at, b"TABLESPACE") && is(at + 1, b"=") {
                replace(at, at + 2, b"");
            }
        }
        made.extend_from_slice(sql.get(copied..).unwrap_or_default());
        SqlText::from(made)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::toc;
    use super::*;

    #[test]
    fn statements_are_about_another_database() {
        let toc = toc(Vec::new());
        let made = |sql: &str, no_tablespaces| {
            let names = (&Text::from("zoo"), "a \"b\"");
            toc.for_database(sql.as_bytes(), names, no_tablespaces)
                .to_string()
        };
        assert_eq!(
            made(
                "CREATE DATABASE zoo WITH TEMPLATE = template0 ENCODING = 'UTF8' TABLESPACE = fast;",
                true
            ),
            "CREATE DATABASE \"a \"\"b\"\"\" WITH TEMPLATE = template0 ENCODING = 'UTF8' ;"
        );
        assert_eq!(
            made(
                "ALTER DATABASE \"zoo\" SET x TO 'database zoo';\nALTER ROLE zoo IN DATABASE zoo SET y TO '1';\n",
                false
            ),
            "ALTER DATABASE \"a \"\"b\"\"\" SET x TO 'database zoo';\nALTER ROLE zoo IN DATABASE \"a \"\"b\"\"\" SET y TO '1';\n"
        );
        assert_eq!(
            made("GRANT CONNECT ON DATABASE zoo TO zoo;", false),
            "GRANT CONNECT ON DATABASE \"a \"\"b\"\"\" TO zoo;"
        );
    }
}
