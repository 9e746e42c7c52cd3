//! What is made so that one database follows another is no part of it: never copied, compared or kept in an archive. An archive that
//! is there is read as it is.

use super::{Entry, Toc, TocError};
use crate::model::FollowName;

/// Kinds of entries whose tag begins with the name of a publication or subscription.
const NAMED: [&str; 5] = [
    "PUBLICATION",
    "PUBLICATION TABLE",
    "PUBLICATION TABLES IN SCHEMA",
    "SUBSCRIPTION",
    "SUBSCRIPTION TABLE",
];

impl Toc {
    /// What `pg_dump` says of a server's database, without what was made so that it follows another one, or is followed.
    pub fn of_server(archive: &[u8]) -> Result<Self, TocError> {
        Self::parse(archive).map(Self::without_follow)
    }

    /// The same without that.
    #[must_use]
    pub fn without_follow(mut self) -> Self {
        self.entries.retain(|entry| !is_of_follow(entry));
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
