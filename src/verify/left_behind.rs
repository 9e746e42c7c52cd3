//! What an archive of one side lacks, as far as that side alone tells: what its role may not see, what is in schemas of ours, and what no
//! dump carries.
//!
//! What was put onto an extension, or changed about what it is made of, is not among it: its script may have done the same. Two
//! servers can be compared in that, and one cannot: then it is said.

use crate::catalog::{Extension, NotDumped, NotDumpedKind};
use crate::model::{Difference, DifferenceKind, Side, Unverified, shown_ident};
use crate::pg::{PgError, Session};
use crate::toc::RestoreOptions;

use super::uncarried::UncarriedFacts;
use super::unseen::{self, Unseen};
use super::{Scope, some_of};

/// An extension that every database has from the beginning.
const OF_EVERY_DATABASE: &str = "plpgsql";

/// What an archive of one side lacks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LeftBehind {
    unseen: Vec<Unseen>,
    uncarried: UncarriedFacts,
}

impl LeftBehind {
    /// Reads it. What the server refuses to tell is part of the answer.
    pub async fn read(session: &Session) -> Result<Self, PgError> {
        Ok(Self {
            unseen: unseen::read(session).await?,
            uncarried: UncarriedFacts::read(session).await?,
        })
    }

    /// All of it that an archive would be expected to hold.
    pub fn unverified(
        &self,
        side: Side,
        scope: &Scope,
        options: &RestoreOptions,
    ) -> Vec<Unverified> {
        let mut all = Vec::new();
        if scope.large_objects {
            all.extend(unseen::of_side(side, &self.unseen));
        }
        let left = self.uncarried.left_behind().into_iter();
        all.extend(left.filter_map(|one| uncarried(one, side, scope)));
        let not_asked = self.uncarried.not_asked();
        all.extend(not_asked.map(|(what, why)| Unverified {
            class: "system object".to_owned(),
            object: what.to_owned(),
            because: format!("on the {side}: {why}"),
        }));
        all.retain(|one| takes_part(one, options));
        all
    }

    /// Whether a difference to an archive is none that the role could see: what is kept from it looks as if it were not there, or not so.
    pub fn is_unseen(&self, difference: &Difference) -> bool {
        let (class, object) = (difference.class.as_str(), difference.object.as_str());
        self.unseen.iter().any(|unseen| match unseen {
            Unseen::Subscription(name) if difference.kind == DifferenceKind::Missing => {
                let name = shown_ident(name);
                (class == "subscription" && object == name)
                    || object == format!("SUBSCRIPTION {name}")
            }
            Unseen::MappingOptions(user, server) => {
                difference.kind == DifferenceKind::Different
                    && class == "user mapping"
                    && object == format!("USER MAPPING {user} SERVER {server}")
            }
            Unseen::Subscription(_) | Unseen::BesideOurs(..) | Unseen::Anything(..) => false,
        })
    }
}

/// Whether a difference to a server is only that an archive lacks what its role could not see: what the server has of that is one too many, or
/// is defined otherwise.
pub fn is_lacked(difference: &Difference, lacks: &[Unverified]) -> bool {
    let (class, object) = (difference.class.as_str(), difference.object.as_str());
    lacks.iter().any(|one| match one.class.as_str() {
        "subscription" if difference.kind == DifferenceKind::Extra => {
            (class == "subscription" && object == one.object)
                || object == format!("SUBSCRIPTION {}", one.object)
        }
        "user mapping" => {
            difference.kind == DifferenceKind::Different
                && class == "user mapping"
                && object == mapping_tag(&one.object)
        }
        _ => false,
    })
}

/// What a table of contents calls a user mapping of this name: `app SERVER far`.
pub fn mapping_tag(shown: &str) -> String {
    format!("USER MAPPING {}", unquoted(shown))
}

/// Names as a table of contents has them in a text: as they are.
fn unquoted(shown: &str) -> String {
    let mut names = String::with_capacity(shown.len());
    let mut chars = shown.chars().peekable();
    let mut is_quoted = false;
    while let Some(c) = chars.next() {
        if c != '"' {
            names.push(c);
        } else if is_quoted && chars.next_if_eq(&'"').is_some() {
            names.push('"');
        } else {
            is_quoted = !is_quoted;
        }
    }
    names
}

/// Whether it would be in an archive that these options leave something out of.
pub fn takes_part(one: &Unverified, options: &RestoreOptions) -> bool {
    match one.class.as_str() {
        "subscription" => !options.no_subscriptions,
        "acl" => !options.no_acl,
        "comment" => !options.no_comments,
        _ => true,
    }
}

/// What is in no archive, and cannot be told from one side: a sentence, if there are extensions.
pub fn of_extensions<'a>(
    extensions: impl IntoIterator<Item = &'a Extension>,
    scope: &Scope,
) -> Option<String> {
    let names = extensions.into_iter().map(|extension| &extension.name);
    let names = names.filter(|name| *name != OF_EVERY_DATABASE && scope.has_extension(name));
    let names: Vec<String> = names.map(|name| shown_ident(name)).collect();
    (!names.is_empty()).then(|| {
        format!(
            "what was put onto extensions, or changed about what they are made of, is in no archive, and was not looked for: {}",
            some_of(&names)
        )
    })
}

/// What `pg_dump` does not look for, whoever runs it.
fn uncarried(one: NotDumped, side: Side, scope: &Scope) -> Option<Unverified> {
    let (class, because) = match &one.kind {
        NotDumpedKind::InSystemSchema if scope.large_objects => (
            "system object",
            format!(
                "it is on the {side}, and pg_dump does not look into pg_catalog and information_schema, whatever its role"
            ),
        ),
        NotDumpedKind::Remark { on, grants } if scope.has_relation(on) => (
            if *grants { "acl" } else { "comment" },
            format!("it is on the {side}, and pg_dump has no entry for it, whatever its role"),
        ),
        _ => return None,
    };
    Some(Unverified {
        class: class.to_owned(),
        object: one.object,
        because,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unseen() -> LeftBehind {
        LeftBehind {
            unseen: vec![
                Unseen::Subscription("News".into()),
                Unseen::MappingOptions("app".into(), "far".into()),
            ],
            ..LeftBehind::default()
        }
    }

    #[test]
    fn what_is_kept_from_the_role_is_not_verified_where_it_takes_part() {
        let mut scope = Scope::of_extensions(["hstore", "plpgsql"]);
        let said = |scope: &Scope, options: &RestoreOptions| -> Vec<String> {
            let all = unseen().unverified(Side::Target, scope, options);
            assert!(all.iter().all(Unverified::is_not_dumped), "{all:?}");
            all.into_iter().map(|one| one.object).collect()
        };
        let options = RestoreOptions::default();
        assert_eq!(said(&scope, &options), [""; 0]);
        scope.large_objects = true;
        assert_eq!(said(&scope, &options), ["\"News\"", "app SERVER far"]);
        let without = RestoreOptions {
            no_subscriptions: true,
            ..options
        };
        assert_eq!(said(&scope, &without), ["app SERVER far"]);
    }

    #[test]
    fn only_what_the_role_cannot_see_is_no_difference() {
        use DifferenceKind::{Different, Extra, Missing};
        let is_unseen = |kind, class: &str, object: &str| {
            unseen().is_unseen(&Difference {
                kind,
                class: class.to_owned(),
                object: object.to_owned(),
                detail: String::new(),
            })
        };
        let mapping = "USER MAPPING app SERVER far";
        assert!(is_unseen(Missing, "subscription", "\"News\""));
        assert!(is_unseen(Missing, "comment", "SUBSCRIPTION \"News\""));
        assert!(is_unseen(Different, "user mapping", mapping));
        assert!(!is_unseen(Missing, "subscription", "other"));
        assert!(!is_unseen(Extra, "subscription", "\"News\""));
        assert!(!is_unseen(Missing, "user mapping", mapping), "it is seen");
    }

    #[test]
    fn only_what_the_archive_is_known_to_lack_is_no_difference_to_who_sees_it() {
        use DifferenceKind::{Different, Extra, Missing};
        let unseen = [
            Unseen::Subscription("News".into()),
            Unseen::MappingOptions("A \"b\"".into(), "far".into()),
        ];
        let lacks: Vec<Unverified> = unseen::of_side(Side::Source, &unseen).collect();
        let is_lacked = |kind, class: &str, object: &str| {
            let difference = Difference {
                kind,
                class: class.to_owned(),
                object: object.to_owned(),
                detail: String::new(),
            };
            is_lacked(&difference, &lacks)
        };
        let mapping = "USER MAPPING A \"b\" SERVER far";
        assert!(is_lacked(Extra, "subscription", "\"News\""));
        assert!(is_lacked(Extra, "comment", "SUBSCRIPTION \"News\""));
        assert!(is_lacked(Different, "user mapping", mapping));
        assert!(!is_lacked(Extra, "subscription", "other"));
        assert!(!is_lacked(Missing, "subscription", "\"News\""));
        assert!(!is_lacked(Missing, "user mapping", mapping), "it is dumped");
        let other = "USER MAPPING A b SERVER far";
        assert!(!is_lacked(Different, "user mapping", other));
    }

    #[test]
    fn what_options_leave_out_of_an_archive_is_not_missed_in_it() {
        let extension = |name: &str| Extension {
            name: name.to_owned(),
            version: None,
        };
        let scope = Scope::of_extensions(["hstore", "plpgsql"]);
        let extensions = ["hstore", "plpgsql", "elsewhere"].map(extension);
        let said = of_extensions(&extensions, &scope).expect("there is one");
        assert!(said.ends_with(": hstore"), "{said}");
        assert_eq!(of_extensions(&extensions[1..], &scope), None);
        let of = |class: &str| Unverified {
            class: class.to_owned(),
            object: "s.t".to_owned(),
            because: String::new(),
        };
        let options = RestoreOptions {
            no_acl: true,
            ..RestoreOptions::default()
        };
        assert!(!takes_part(&of("acl"), &options));
        assert!(takes_part(&of("comment"), &options));
    }
}
