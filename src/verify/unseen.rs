//! What cannot be seen, and so is neither moved nor compared: it is named as such.
//!
//! `pg_dump` leaves subscriptions out, with a warning, unless a superuser runs it, and writes the user mappings of others without
//! their options. It is told to leave out the schemas of `ours`, and what somebody else keeps in these with them.

use crate::catalog::VersionedQuery;
use crate::model::{FollowName, Side, Unverified, shown_ident};
use crate::pg::{PgError, Query, Session};
use crate::toc::RestoreOptions;

use super::attempt::attempt;
use super::left_behind::takes_part;
use super::ours;
use super::{Observed, Outcome, Scope};

pub(super) const UNSEEN: VersionedQuery = VersionedQuery {
    newest: Query::new("unseen.sql", include_str!("../../sql/verify/unseen.sql")),
    older: None,
};

/// What a question that may be refused is about.
const NOT_SHOWN: &str = "subscriptions and user mappings";
const OURS: &str = "schemas of pgconvoy";

/// Something that is there, and not shown to us or not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unseen {
    /// A subscription.
    Subscription(String),
    /// The options of a user mapping: whose, and for which foreign server.
    MappingOptions(String, String),
    /// What somebody else keeps in a schema of ours: the schema, and what.
    BesideOurs(String, Vec<String>),
    /// Nobody knows: the question was refused. What it was about, and why.
    Anything(&'static str, String),
}

/// What one side does not show to the role that reads it, and what takes no part whoever reads it.
pub(super) async fn read(session: &Session) -> Result<Vec<Unseen>, PgError> {
    let mut all = not_shown(session).await?;
    match ours::read(session).await? {
        Ok(found) => all.extend(
            found
                .into_iter()
                .map(|(schema, objects)| Unseen::BesideOurs(schema, objects)),
        ),
        Err(refused) => all.push(Unseen::Anything(OURS, refused.to_string())),
    }
    Ok(all)
}

/// What makes a database follow another one is no part of it.
async fn not_shown(session: &Session) -> Result<Vec<Unseen>, PgError> {
    let rows = match attempt(session, &UNSEEN).await? {
        Ok(rows) => rows,
        Err(refused) => return Ok(vec![Unseen::Anything(NOT_SHOWN, refused.to_string())]),
    };
    let mut all = Vec::new();
    for row in &rows {
        let name: String = row.get("name")?;
        match row.get::<Option<String>>("server")? {
            Some(server) => all.push(Unseen::MappingOptions(name, server)),
            None if FollowName::parse(&name).is_some() => {}
            None => all.push(Unseen::Subscription(name)),
        }
    }
    Ok(all)
}

/// What of it would have been compared. Where only a part of the database takes part, `pg_dump` names neither.
pub(super) fn compare(
    source: &Observed,
    target: &Observed,
    scope: &Scope,
    options: &RestoreOptions,
) -> Outcome {
    let mut outcome = Outcome::default();
    if !scope.large_objects {
        return outcome;
    }
    for (side, observed) in [(Side::Source, source), (Side::Target, target)] {
        let unseen = of_side(side, &observed.unseen);
        let taking_part = unseen.filter(|one| takes_part(one, options));
        outcome.unverified.extend(taking_part);
    }
    outcome
}

/// What one side keeps from its role, each with who would see it, and what takes no part whoever looks.
pub(super) fn of_side(side: Side, unseen: &[Unseen]) -> impl Iterator<Item = Unverified> + '_ {
    unseen.iter().map(move |unseen| {
        let (class, object, because) = match unseen {
            Unseen::BesideOurs(schema, objects) => return ours::unverified(side, schema, objects),
            Unseen::Subscription(name) => (
                "subscription",
                shown_ident(name),
                format!(
                    "pg_dump shows subscriptions to superusers only, and the role on the {side} is not one"
                ),
            ),
            Unseen::MappingOptions(user, server) => (
                "user mapping",
                format!("{} SERVER {}", shown_ident(user), shown_ident(server)),
                format!(
                    "its options are not shown to the role on the {side}; a superuser would see them"
                ),
            ),
            Unseen::Anything(what, why) => (
                *what,
                format!("of the {side}"),
                format!("they could not be asked for: {why}"),
            ),
        };
        Unverified {
            class: class.to_owned(),
            object,
            because,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::QualifiedName;

    #[test]
    fn what_is_not_shown_is_said_unless_it_takes_no_part() {
        let source = Observed {
            unseen: vec![
                Unseen::Subscription("s".into()),
                Unseen::MappingOptions("app".into(), "far".into()),
                Unseen::BesideOurs("pgconvoy".into(), vec!["table mine".into()]),
            ],
            ..Observed::default()
        };
        let target = Observed::default();
        let said = |scope: &Scope, options: &RestoreOptions| -> Vec<String> {
            let found = compare(&source, &target, scope, options).unverified;
            found.into_iter().map(|one| one.object).collect()
        };
        let mut all = Scope::of_relations([QualifiedName::new("public", "t")]);
        all.large_objects = true;
        let options = RestoreOptions::default();
        assert_eq!(said(&all, &options), ["s", "app SERVER far", "pgconvoy"]);
        let without = RestoreOptions {
            no_subscriptions: true,
            ..options
        };
        assert_eq!(said(&all, &without), ["app SERVER far", "pgconvoy"]);
        all.large_objects = false;
        assert_eq!(said(&all, &options), [""; 0]);
    }
}
