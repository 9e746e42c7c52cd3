//! What keeps a database from being created like the source's.

use super::CheckFacts;
use crate::catalog::LocaleProvider;
use crate::model::{Finding, canonical_locale, listed, quote_ident, to_paste};

pub(super) fn findings(facts: &CheckFacts<'_>) -> Vec<Finding> {
    if !facts.basis.create {
        return Vec::new();
    }
    [may_not(facts), tablespace(facts), locale(facts)]
        .into_iter()
        .flatten()
        .collect()
}

fn may_not(facts: &CheckFacts<'_>) -> Option<Finding> {
    let target = facts.basis.target;
    let role = quote_ident(&target.role);
    (!target.superuser && !target.creates_databases).then(|| {
        Finding::blocker(
            "target-createdb",
            format!("role {role} may not create a database on the target"),
            to_paste(
                "Connect as another role, or have a superuser of the target allow it:",
                [format!("ALTER ROLE {role} CREATEDB;")],
            ),
        )
    })
}

/// The database's own, which no entry of the dump names.
fn tablespace(facts: &CheckFacts<'_>) -> Option<Finding> {
    let tablespace = &facts.source_database.tablespace;
    let there = &facts.basis.target_facts.tablespaces;
    let is_missing = !facts.basis.restore.no_tablespaces && !there.contains(tablespace);
    is_missing.then(|| {
        Finding::blocker(
            "database-tablespace",
            format!(
                "the source database is in the tablespace {}, which the target does not have",
                quote_ident(tablespace)
            ),
            "Create it there (CREATE TABLESPACE … LOCATION …), or put everything into the default one with --no-tablespaces.",
        )
    })
}

/// Those that a server has collations for are installed there; another one may have come since.
fn locale(facts: &CheckFacts<'_>) -> Option<Finding> {
    let database = facts.source_database;
    let there: Vec<String> = facts
        .target
        .collations
        .iter()
        .map(|collation| canonical_locale(&collation.name))
        .collect();
    let is_missing = |locale: &&String| {
        let locale = canonical_locale(locale);
        locale != "C" && !there.contains(&locale)
    };
    let mut missing: Vec<&String> = [&database.lc_collate, &database.lc_ctype]
        .into_iter()
        .filter(is_missing)
        .collect();
    missing.dedup();
    // A server that has refused to say what it has lacks nothing that is known.
    if missing.is_empty() || there.is_empty() {
        return None;
    }
    let what = match database.provider {
        LocaleProvider::Libc => "compares text by",
        LocaleProvider::Icu | LocaleProvider::Builtin => "has among its settings",
    };
    Some(Finding::warning(
        "database-locale",
        format!(
            "the source database {what} a locale of its operating system that the target seems not to have: {}",
            listed(missing.iter().map(|locale| quote_ident(locale)))
        ),
        "Install it on the target's machine (locale-gen, or the package locales-all) and restart the server; or create the database \
         yourself, with the locale that you want, and move into that without --create.",
    ))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{World, rules};
    use super::*;
    use crate::catalog::SystemCollation;

    fn found(world: &World, create: bool) -> Vec<String> {
        let mut facts = world.check_facts();
        facts.basis.create = create;
        let found = findings(&facts);
        rules(&found).into_iter().map(str::to_owned).collect()
    }

    fn world() -> World {
        let mut world = World::default();
        world.target_facts.tablespaces = vec!["pg_default".into(), "fast".into()];
        world.target_now.collations = vec![SystemCollation {
            name: "de_DE.utf8".into(),
            ..SystemCollation::default()
        }];
        world
    }

    #[test]
    fn a_database_that_can_be_created_is_not_worth_a_word() {
        let mut world = world();
        world.source_database.tablespace = "fast".into();
        world.source_database.lc_collate = "de_DE.UTF-8".into();
        assert!(found(&world, true).is_empty());
    }

    #[test]
    fn whatever_the_target_lacks_for_it_is_told_if_it_is_to_be_created() {
        let mut world = world();
        world.target.superuser = false;
        world.target.creates_databases = false;
        world.source_database.tablespace = "slow".into();
        world.source_database.lc_collate = "sv_SE.utf8".into();
        world.source_database.lc_ctype = "sv_SE.utf8".into();
        assert_eq!(
            found(&world, true),
            ["target-createdb", "database-tablespace", "database-locale"]
        );
        assert!(found(&world, false).is_empty());
        world.target.creates_databases = true;
        world.restore.no_tablespaces = true;
        world.target_now.collations.clear();
        assert!(found(&world, true).is_empty());
    }
}
