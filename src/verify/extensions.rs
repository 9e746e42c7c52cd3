//! Versions of extensions: between servers of one version they must be the same, unless the target's server has no other. And whether
//! the one is there that every database is made with, and that `pg_dump` never mentions.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use crate::catalog::{Extension, VersionedQuery};
use crate::model::{DifferenceKind, quote_ident, shown_ident};
use crate::pg::{PgError, Query, Session};

use super::attempt::attempt;
use super::{Observed, Outcome, Scope};

pub(super) const DEFAULT_VERSIONS: VersionedQuery = VersionedQuery {
    newest: Query::new(
        "default_versions.sql",
        include_str!("../../sql/verify/default_versions.sql"),
    ),
    older: None,
};

/// The versions that the server would create; none if one of its control files is broken, because then it names none.
pub(super) async fn default_versions(session: &Session) -> Result<Vec<Extension>, PgError> {
    let Ok(rows) = attempt(session, &DEFAULT_VERSIONS).await? else {
        return Ok(Vec::new());
    };
    rows.iter()
        .map(|row| {
            Ok(Extension {
                name: row.get("name")?,
                version: row.get("version")?,
            })
        })
        .collect()
}

/// The extension that every new database has. (`pg_dump` lists none that was there from the beginning: `selectDumpableExtension` in
/// `pg_dump.c`.)
pub(super) const FROM_THE_BEGINNING: &str = "plpgsql";

/// What makes it as it was in the beginning.
pub(super) const MAKE_FIRST: &str = "CREATE EXTENSION plpgsql SCHEMA pg_catalog";

/// Where the source has it, and the target has not. The other way round it is what every target begins with.
fn first_missing(source: &Observed, target: &Observed) -> bool {
    let has_it = |side: &Observed| {
        let mut extensions = side.extensions.iter();
        extensions.any(|extension| extension.name == FROM_THE_BEGINNING)
    };
    has_it(source) && !has_it(target)
}

/// Those that both sides have in the same version: what belongs to them should be alike.
pub(super) fn of_same_version<'a>(source: &'a Observed, target: &Observed) -> BTreeSet<&'a str> {
    let is_there = |extension: &&Extension| target.extensions.contains(extension);
    let both = source.extensions.iter().filter(is_there);
    both.map(|extension| extension.name.as_str()).collect()
}

/// Any other extension that is missing is found by its definition.
pub(super) fn compare(source: &Observed, target: &Observed, scope: &Scope) -> Outcome {
    let mut outcome = Outcome::default();
    if scope.large_objects && first_missing(source, target) {
        let object = ("extension", FROM_THE_BEGINNING.to_owned());
        let detail = format!(
            "the source has it, and the target does not; no dump brings it, because every new database has it. To make it, on the target: \
             {MAKE_FIRST};"
        );
        outcome.differ(DifferenceKind::Missing, object, detail);
    }
    for extension in &source.extensions {
        let same_name = |other: &&Extension| other.name == extension.name;
        let Some(found) = target.extensions.iter().find(same_name) else {
            continue;
        };
        if !scope.has_extension(&extension.name) || found.version == extension.version {
            continue;
        }
        let default = target.default_versions.iter().find(same_name);
        let versions = Versions {
            source: extension.version.as_deref().unwrap_or_default(),
            target: found.version.as_deref().unwrap_or_default(),
            default: default.and_then(|default| default.version.as_deref()),
        };
        if versions.differ(source.major == target.major) {
            let object = ("extension", shown_ident(&extension.name));
            outcome.differ(DifferenceKind::Different, object, versions.in_words());
        } else {
            outcome
                .notes
                .push(versions.note(&extension.name, source.major == target.major));
        }
    }
    outcome
}

struct Versions<'a> {
    source: &'a str,
    target: &'a str,
    /// What the target's server would create, if it says.
    default: Option<&'a str>,
}

impl Versions<'_> {
    /// A newer server brings newer extensions, and there is nothing to be done about that. What is older than on the
    /// source, or chosen by somebody, is not what the source has.
    fn differ(&self, same_major: bool) -> bool {
        let is_default = self.default == Some(self.target);
        let is_older = compare_versions(self.target, self.source) == Ordering::Less;
        !is_default && (is_older || same_major && self.default.is_some())
    }

    fn in_words(&self) -> String {
        let (source, target) = (self.source, self.target);
        let default = match self.default {
            Some(default) => format!(", whose server would create {default}"),
            None => String::new(),
        };
        format!("version {source} on the source, {target} on the target{default}")
    }

    fn note(&self, name: &str, same_major: bool) -> String {
        let (source, target, name) = (self.source, self.target, quote_ident(name));
        let remedy = if same_major && compare_versions(source, target) == Ordering::Less {
            format!(
                " ALTER EXTENSION {name} UPDATE on the source would make it the same where its server has that version."
            )
        } else {
            String::new()
        };
        format!(
            "The extension {name} is {source} on the source and {target} on the target. What may have been added to it or changed in it \
             was not compared.{remedy}"
        )
    }
}

/// Number by number where there are numbers: 1.10 comes after 1.9.
pub(super) fn compare_versions(left: &str, right: &str) -> Ordering {
    let parts = |version: &str| -> Vec<(u64, String)> {
        let parts = version.split(['.', '-', '_', '+']);
        parts
            .map(|part| {
                let digits = part.bytes().take_while(u8::is_ascii_digit).count();
                let (number, rest) = part.split_at(digits);
                (number.parse().unwrap_or(0), rest.to_owned())
            })
            .collect()
    };
    parts(left).cmp(&parts(right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_counts_unless_the_server_has_no_other() {
        let differ = |source, target, default, same_major| {
            let versions = Versions {
                source,
                target,
                default,
            };
            versions.differ(same_major)
        };
        // The same major version.
        assert!(differ("1.9", "1.8", Some("1.9"), true));
        assert!(differ("1.8", "1.9", Some("1.10"), true));
        assert!(!differ("1.8", "1.9", Some("1.9"), true));
        assert!(!differ("1.9", "1.8", Some("1.8"), true));
        // Another one.
        assert!(!differ("1.8", "1.10", Some("1.10"), false));
        assert!(!differ("1.8", "1.9", Some("1.10"), false));
        assert!(differ("1.8", "1.7", Some("1.10"), false));
        // Nobody knows the default.
        assert!(differ("1.10", "1.9", None, true));
        assert!(!differ("1.9", "1.10", None, true));
    }

    #[test]
    fn what_every_database_has_is_missed_where_the_source_has_it() {
        let with = |names: &[&str]| Observed {
            extensions: names
                .iter()
                .map(|name| Extension {
                    name: (*name).to_owned(),
                    version: Some("1.0".to_owned()),
                })
                .collect(),
            ..Observed::default()
        };
        let (has_it, has_not) = (with(&["citext", "plpgsql"]), with(&["citext"]));
        let mut all = Scope::of_extensions(["citext"]);
        let found = |source, target, scope: &Scope| compare(source, target, scope).differences;
        // Of a part of a database it is none.
        assert!(found(&has_it, &has_not, &all).is_empty());
        all.large_objects = true;
        let missing = found(&has_it, &has_not, &all);
        let [missing] = missing.as_slice() else {
            panic!("{missing:?}");
        };
        let named = (missing.kind, missing.object.as_str());
        assert_eq!(named, (DifferenceKind::Missing, "plpgsql"));
        assert!(found(&has_not, &has_it, &all).is_empty());
        assert!(found(&has_it, &has_it, &all).is_empty());
    }

    #[test]
    fn versions_are_compared_number_by_number() {
        for (older, newer) in [
            ("1.9", "1.10"),
            ("1.9.1", "1.10"),
            ("3.3", "3.3.1"),
            ("2.0beta", "2.1"),
        ] {
            assert_eq!(compare_versions(older, newer), Ordering::Less);
        }
        assert_eq!(compare_versions("1.0", "1.0"), Ordering::Equal);
    }
}
