//! The texts of an archive that are not ASCII, and the same archive with them in UTF-8.

use std::collections::{BTreeSet, HashMap};

use super::{Entry, Text, Toc};
use crate::model::SqlText;

impl Toc {
    /// Every text in which a character's encoding matters.
    pub fn encoded_texts(&self) -> BTreeSet<&[u8]> {
        let database = self.header.database.as_deref();
        let of_entries = self.entries.iter().flat_map(texts_of);
        let all = of_entries.chain(database);
        all.filter(|text| !text.is_ascii()).collect()
    }

    /// The same archive with these texts in the place of those, and UTF-8 named as its encoding.
    #[must_use]
    pub fn in_utf8(mut self, decoded: &HashMap<Vec<u8>, String>) -> Self {
        let text = |text: &mut Text| {
            if let Some(decoded) = decoded.get(&**text) {
                *text = Text::from(decoded.as_str());
            }
        };
        let sql = |sql: &mut SqlText| {
            if let Some(decoded) = decoded.get(sql.as_bytes()) {
                *sql = SqlText::from(decoded.as_str());
            }
        };
        self.header.database.iter_mut().for_each(text);
        for entry in &mut self.entries {
            text(&mut entry.tag);
            let names = [
                &mut entry.namespace,
                &mut entry.tablespace,
                &mut entry.table_am,
                &mut entry.owner,
            ];
            names.into_iter().flatten().for_each(text);
            let statements = [&mut entry.defn, &mut entry.drop_stmt, &mut entry.copy_stmt];
            statements.into_iter().flatten().for_each(sql);
            if entry.is("ENCODING") {
                entry.defn = Some(SqlText::from("SET client_encoding = 'UTF8';\n"));
            }
        }
        self
    }
}

fn texts_of(entry: &Entry) -> impl Iterator<Item = &[u8]> {
    let names = [
        entry.namespace.as_deref(),
        entry.tablespace.as_deref(),
        entry.table_am.as_deref(),
        entry.owner.as_deref(),
    ];
    let statements = [&entry.defn, &entry.drop_stmt, &entry.copy_stmt];
    let statements = statements.into_iter().flatten().map(SqlText::as_bytes);
    std::iter::once(&*entry.tag)
        .chain(names.into_iter().flatten())
        .chain(statements)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{entry, toc};
    use super::*;

    #[test]
    fn what_is_not_ascii_is_replaced_everywhere() {
        let latin = b"gr\xf6\xdfe".to_vec();
        let statement = [b"CREATE TABLE public.".as_slice(), &latin, b" ();\n"].concat();
        let table = Entry {
            tag: Text::from(latin.clone()),
            owner: Some(Text::from(latin.clone())),
            defn: Some(SqlText::from(statement.clone())),
            ..entry("TABLE")
        };
        let encoding = Entry {
            defn: Some(SqlText::from("SET client_encoding = 'LATIN1';\n")),
            ..entry("ENCODING")
        };
        let toc = toc(vec![encoding, table]);
        let found: Vec<Vec<u8>> = toc
            .encoded_texts()
            .into_iter()
            .map(<[u8]>::to_vec)
            .collect();
        assert_eq!(found, [statement.clone(), latin.clone()]);
        let decoded = HashMap::from([
            (latin, "größe".to_owned()),
            (statement, "CREATE TABLE public.größe ();\n".to_owned()),
        ]);
        let toc = toc.in_utf8(&decoded);
        assert_eq!(toc.encoding().as_deref(), Some("UTF8"));
        assert!(
            toc.encoded_texts()
                .iter()
                .all(|text| std::str::from_utf8(text).is_ok())
        );
        assert_eq!(toc.entries[1].owner, Some("größe".into()));
    }
}
