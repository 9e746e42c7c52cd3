//! Names of what is made on two servers so that one follows the other.
//!
//! Publication, slot and subscription of one direction have one name, which is made of both ends: a slot's name is unique in a whole
//! cluster, and one source may be followed by several targets. Whoever knows both ends finds what belongs to them, without any
//! record.

use std::fmt;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// What every such name begins with.
const PREFIX: &str = "pgconvoy_";
const DIGITS: usize = 16;

/// One end of a direction: what does not change when a server is restarted or gets another address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowEnd<'a> {
    /// Made by `initdb`; not visible to everybody.
    pub system_identifier: Option<i64>,
    /// The database.
    pub database: &'a str,
}

/// `pgconvoy_` and sixteen hexadecimal digits: fit for a slot, and in need of no quotes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FollowName(String);

impl FollowName {
    /// Of the direction from one end, which publishes, to another, which subscribes.
    pub fn of(from: FollowEnd<'_>, to: FollowEnd<'_>) -> Self {
        let end = |end: FollowEnd<'_>| {
            let system = end.system_identifier.unwrap_or_default();
            // The length keeps a name from running into what follows.
            format!("{system}/{}/{}", end.database.len(), end.database)
        };
        let both = format!("{}>{}", end(from), end(to));
        Self(format!("{PREFIX}{:016x}", xxh3_64(both.as_bytes())))
    }

    /// If a text has the form of such a name.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(PREFIX)?;
        let is_digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        (digits.len() == DIGITS && digits.chars().all(is_digit)).then(|| Self(text.to_owned()))
    }

    /// A number that stands for it where there is no room for a name: a positive one, as the second of an advisory lock's two.
    pub fn lock_key(&self) -> i32 {
        let digits = self.0.get(PREFIX.len()..PREFIX.len() + 8);
        let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        number.map_or(0, |number| i32::try_from(number >> 1).unwrap_or(0))
    }

    /// As SQL has it, with or without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for FollowName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
            .ok_or_else(|| format!("{text:?} is no name of what pgconvoy makes to follow"))
    }
}

impl From<FollowName> for String {
    fn from(name: FollowName) -> Self {
        name.0
    }
}

impl fmt::Display for FollowName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_direction_between_two_databases_has_a_name_of_its_own() {
        let end = |system, database| FollowEnd {
            system_identifier: Some(system),
            database,
        };
        let ends = [end(7, "a"), end(7, "b"), end(8, "a"), end(8, "b")];
        let mut names = Vec::new();
        for from in ends {
            names.extend(ends.map(|to| FollowName::of(from, to)));
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 16);
        for name in &names {
            assert!(name.as_str().len() <= 63);
            assert_eq!(FollowName::parse(name.as_str()).as_ref(), Some(name));
            let json = serde_json::to_string(name).expect("JSON");
            assert_eq!(
                serde_json::from_str::<FollowName>(&json).ok().as_ref(),
                Some(name)
            );
        }
        let mut keys: Vec<i32> = names.iter().map(FollowName::lock_key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert!(
            keys.len() == 16 && keys.iter().all(|key| *key > 0),
            "{keys:?}"
        );
        for other in [
            "pgconvoy_",
            "pgconvoy_reports",
            "x",
            "pgconvoy_0123456789ABCDEF",
        ] {
            assert_eq!(FollowName::parse(other), None, "{other}");
        }
    }
}
