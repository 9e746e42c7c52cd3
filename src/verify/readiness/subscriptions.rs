//! Subscriptions that are enabled on one side: no dump says which are. One on the target goes on writing into what was just compared.
//!
//! What pgconvoy itself has made so that one side follows the other is not talked about.

use crate::model::{Finding, FollowName, quote_ident, shown_ident, to_paste};
use crate::pg::{Answer, PgError};

use super::{Readiness, some_of};

/// A subscription of the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its name.
    pub name: String,
    /// Whether it takes in what is published.
    pub enabled: bool,
}

/// A row of `replication.sql`: a subscription, or a publication of ours, which is neither enabled nor disabled.
pub(super) struct Replicated {
    name: String,
    enabled: Option<bool>,
}

impl Replicated {
    pub(super) fn from_answer(row: &Answer) -> Result<Self, PgError> {
        Ok(Self {
            name: row.get("name")?,
            enabled: row.get("enabled")?,
        })
    }

    /// Whether pgconvoy has made it, so that this database follows another one, or is followed.
    pub(super) fn is_ours(&self) -> bool {
        FollowName::parse(&self.name).is_some()
    }

    /// The application's subscription, if it is one.
    pub(super) fn subscription(self) -> Option<Subscription> {
        let enabled = self.enabled.filter(|_| !self.is_ours())?;
        Some(Subscription {
            name: self.name,
            enabled,
        })
    }
}

impl Readiness {
    /// Whether a subscription of this name is enabled; `None` if there is none.
    fn subscribes(&self, name: &str) -> Option<bool> {
        let named = self.subscriptions.iter().find(|one| one.name == name);
        named.map(|one| one.enabled)
    }

    fn enabled_subscriptions(&self) -> impl Iterator<Item = &str> {
        let enabled = self.subscriptions.iter().filter(|one| one.enabled);
        enabled.map(|one| one.name.as_str())
    }
}

pub(super) fn findings(source: &Readiness, target: &Readiness) -> Vec<Finding> {
    let found = [writing(source, target), at_rest(source, target)];
    found.into_iter().flatten().collect()
}

const LET_REST: &str =
    "If the target is not in service yet, disable them there, and compare again:";
/// The copy of a subscription has the slot of the original.
const ONE_SLOT: &str = "Where one is enabled on both sides and reads from one slot, each side misses what the other has received: leave \
                        only one enabled.";

fn writing(source: &Readiness, target: &Readiness) -> Option<Finding> {
    let names: Vec<&str> = target.enabled_subscriptions().collect();
    if names.is_empty() {
        return None;
    }
    let shown = names.iter().map(|name| {
        let on_source = match source.subscribes(name) {
            Some(true) => " (enabled on the source as well)",
            Some(false) => " (the copy of the source's, which is disabled there)",
            None => "",
        };
        format!("{}{on_source}", shown_ident(name))
    });
    let shown: Vec<String> = shown.collect();
    let is_twice = |name: &&str| source.subscribes(name) == Some(true);
    let sentence = if names.iter().any(is_twice) {
        format!("{ONE_SLOT} {LET_REST}")
    } else {
        LET_REST.to_owned()
    };
    let disable = names
        .iter()
        .map(|name| format!("ALTER SUBSCRIPTION {} DISABLE;", quote_ident(name)));
    Some(Finding::warning(
        "subscriptions-enabled",
        format!(
            "subscriptions are enabled on the target, and keep writing into what was compared: {}",
            some_of(&shown)
        ),
        to_paste(&sentence, disable),
    ))
}

/// They arrive so.
fn at_rest(source: &Readiness, target: &Readiness) -> Option<Finding> {
    let resting: Vec<String> = source
        .enabled_subscriptions()
        .filter(|name| target.subscribes(name) == Some(false))
        .map(shown_ident)
        .collect();
    (!resting.is_empty()).then(|| {
        Finding::note(
            "subscriptions-disabled",
            format!(
                "subscriptions are enabled on the source and not on the target, where nothing of what they bring arrives until they are: {}",
                some_of(&resting)
            ),
            "When the target takes over, disable them on the source first (ALTER SUBSCRIPTION … DISABLE), and then enable them on the \
             target (ALTER SUBSCRIPTION … ENABLE).",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Severity;

    fn side(subscriptions: &[(&str, bool)]) -> Readiness {
        let subscription = |(name, enabled): &(&str, bool)| Subscription {
            name: (*name).to_owned(),
            enabled: *enabled,
        };
        Readiness {
            subscriptions: subscriptions.iter().map(subscription).collect(),
            ..Readiness::default()
        }
    }

    #[test]
    fn what_writes_into_the_copy_is_named_with_what_it_is_on_the_source() {
        let target = side(&[("a", true), ("B b", true), ("c", true), ("d", false)]);
        let source = side(&[("a", false), ("c", true), ("d", false)]);
        let found = findings(&source, &target);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            (found[0].severity, found[0].rule.as_str()),
            (Severity::Warning, "subscriptions-enabled")
        );
        assert!(
            found[0].what.ends_with(
                ": a (the copy of the source's, which is disabled there), \"B b\", c (enabled on the source as well)"
            ),
            "{found:?}"
        );
        assert!(found[0].remedy.starts_with(ONE_SLOT), "{found:?}");
        let pasted: Vec<&str> = found[0].remedy.lines().skip(1).collect();
        assert_eq!(
            pasted,
            [
                "ALTER SUBSCRIPTION \"a\" DISABLE;",
                "ALTER SUBSCRIPTION \"B b\" DISABLE;",
                "ALTER SUBSCRIPTION \"c\" DISABLE;"
            ]
        );
        let alone = findings(&side(&[]), &side(&[("a", true)]));
        assert!(alone[0].remedy.starts_with(LET_REST), "{alone:?}");
    }

    #[test]
    fn one_that_arrived_disabled_is_a_note_and_one_that_rests_on_both_sides_is_none() {
        let found = findings(&side(&[("a", true)]), &side(&[("a", false)]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            (found[0].severity, found[0].rule.as_str()),
            (Severity::Note, "subscriptions-disabled")
        );
        assert!(found[0].what.ends_with(": a"), "{found:?}");
        let both = side(&[("a", false)]);
        assert_eq!(findings(&both, &both), []);
        // It was left out, or its absence is a difference.
        assert_eq!(findings(&side(&[("a", true)]), &side(&[])), []);
    }

    #[test]
    fn what_we_made_ourselves_is_no_subscription_of_the_application() {
        let row = |name: &str, enabled| Replicated {
            name: name.to_owned(),
            enabled,
        };
        let ours = "pgconvoy_0123456789abcdef";
        for (row, is_ours) in [
            (row(ours, Some(true)), true),
            (row(ours, None), true),
            (row("pgconvoy_reports", None), false),
        ] {
            assert_eq!(row.is_ours(), is_ours, "{}", row.name);
            assert_eq!(row.subscription(), None);
        }
        let theirs = row("pgconvoy_reports", Some(true)).subscription();
        assert_eq!(theirs.map(|one| one.enabled), Some(true));
    }
}
