//! What `pg_dump` says of a server's database, and is no part of that: what we made so that one database follows another, and what a
//! server notes for itself. It is never copied, compared or kept in an archive. An archive that is there is read as it is.

use std::io::Read;

use super::marks::without_marks;
use super::{Entry, Texts, Toc, TocError};
use crate::model::{FollowName, SqlText};

/// Kinds of entries whose tag begins with the name of a publication or subscription.
const NAMED: [&str; 5] = [
    "PUBLICATION",
    "PUBLICATION TABLE",
    "PUBLICATION TABLES IN SCHEMA",
    "SUBSCRIPTION",
    "SUBSCRIPTION TABLE",
];

impl Toc {
    /// What `pg_dump` says of a server's database, without what is no part of it.
    pub fn of_server(archive: impl Read) -> Result<Self, TocError> {
        Self::of_server_beside(archive, Texts::default())
    }

    /// The same, beside a table of contents whose texts are these.
    pub fn of_server_beside(archive: impl Read, texts: Texts) -> Result<Self, TocError> {
        Self::read_beside(archive, texts).map(Self::of_the_database)
    }

    /// The same without what was made so that it follows another one, or is followed, and without what the server notes for itself.
    #[must_use]
    pub fn of_the_database(mut self) -> Self {
        self.entries.retain(|entry| !is_of_follow(entry));
        for entry in &mut self.entries {
            let has_columns = matches!(
                entry.desc.as_str(),
                "TABLE" | "FOREIGN TABLE" | "MATERIALIZED VIEW"
            );
            if has_columns && let Some(defn) = without_marks(entry.defn_bytes()) {
                entry.defn = Some(SqlText::from(defn));
            }
        }
        self
    }
}

/// Whether an entry is of a publication or subscription that we made.
fn is_of_follow(entry: &Entry) -> bool {
    let tag = String::from_utf8_lossy(&entry.tag);
    let mut words = tag.split(' ');
    let name = if NAMED.contains(&entry.desc.as_str()) {
        words.next()
    } else if matches!(entry.desc.as_str(), "COMMENT" | "SECURITY LABEL") {
        let kind = words.next();
        kind.filter(|kind| matches!(*kind, "PUBLICATION" | "SUBSCRIPTION"))
            .and_then(|_| words.next())
    } else {
        None
    };
    name.is_some_and(|name| FollowName::parse(name).is_some())
}

#[cfg(test)]
mod tests {
    use super::super::Text;
    use super::super::testing::entry;
    use super::*;

    #[test]
    fn only_what_has_a_name_of_ours_is_ours() {
        let ours = "pgconvoy_0123456789abcdef";
        for (desc, tag, expected) in [
            ("PUBLICATION", ours.to_owned(), true),
            ("PUBLICATION TABLE", format!("{ours} orders"), true),
            ("SUBSCRIPTION", ours.to_owned(), true),
            ("COMMENT", format!("SUBSCRIPTION {ours}"), true),
            ("COMMENT", format!("TABLE {ours}"), false),
            ("TABLE", ours.to_owned(), false),
            ("PUBLICATION", "pgconvoy_reports".to_owned(), false),
        ] {
            let entry = Entry {
                tag: Text::from(tag.as_str()),
                ..entry(desc)
            };
            assert_eq!(is_of_follow(&entry), expected, "{desc} {tag}");
        }
    }
}
