//! What the target lacks: extensions, tablespaces, an encoding, settings.

use std::collections::{BTreeMap, BTreeSet};

use super::PreflightFacts;
use crate::model::{Finding, listed, rule};
use crate::toc::Text;

pub(super) fn findings(facts: &PreflightFacts<'_>) -> Vec<Finding> {
    [
        extensions_missing(facts),
        extension_versions(facts),
        tablespaces_missing(facts),
        encoding(facts),
        settings_left_behind(facts),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The version that there is, or else the one that would be.
fn versions<'a>(facts: &PreflightFacts<'a>) -> BTreeMap<&'a str, Option<&'a str>> {
    let mut versions = offered(facts);
    let installed = facts.target_facts.installed.iter();
    // With --create, another database is looked at than will be there.
    let installed = installed.filter(|_| !facts.create);
    versions.extend(installed.map(|one| (one.name.as_str(), one.version.as_deref())));
    versions
}

/// Extensions that will be created.
fn wanted<'a>(facts: &PreflightFacts<'a>) -> BTreeSet<&'a str> {
    facts
        .entries()
        .filter(|entry| entry.is("EXTENSION"))
        .filter_map(|entry| entry.tag.to_str())
        .collect()
}

fn offered<'a>(facts: &PreflightFacts<'a>) -> BTreeMap<&'a str, Option<&'a str>> {
    let extensions = facts.target_facts.extensions.iter();
    extensions
        .map(|extension| (extension.name.as_str(), extension.version.as_deref()))
        .collect()
}

fn extensions_missing(facts: &PreflightFacts<'_>) -> Option<Finding> {
    let offered = offered(facts);
    let missing: Vec<&str> = wanted(facts)
        .into_iter()
        .filter(|name| !offered.contains_key(name))
        .collect();
    if missing.is_empty() {
        return None;
    }
    let major = facts.target.version.major();
    let noun = if missing.len() == 1 {
        "extension"
    } else {
        "extensions"
    };
    Some(Finding::blocker(
        rule::EXTENSIONS_MISSING,
        format!(
            "the target's server does not have the {noun} {}",
            listed(&missing)
        ),
        format!(
            "Install them on the target's machine: those that come with PostgreSQL are in postgresql-contrib, others in \
             postgresql-{major}-NAME (Debian). Or leave them out with --exclude-extension, and what uses them with -T or -N."
        ),
    ))
}

fn extension_versions(facts: &PreflightFacts<'_>) -> Option<Finding> {
    let there = versions(facts);
    let wanted = wanted(facts);
    let different: Vec<String> = facts
        .source_facts
        .extensions
        .iter()
        .filter(|extension| wanted.contains(extension.name.as_str()))
        .filter_map(|extension| {
            let here = extension.version.as_deref()?;
            let there = (*there.get(extension.name.as_str())?)?;
            (here != there).then(|| format!("{} {here} (target: {there})", extension.name))
        })
        .collect();
    (!different.is_empty()).then(|| {
        Finding::warning(
            "extension-versions",
            format!("extensions have different versions on the target: {}", listed(&different)),
            "Read their release notes for changes in how data is stored; to be safe, install the same versions.",
        )
    })
}

fn tablespaces_missing(facts: &PreflightFacts<'_>) -> Option<Finding> {
    if facts.restore.no_tablespaces {
        return None;
    }
    let named: BTreeSet<&str> = facts
        .entries()
        .filter_map(|entry| entry.tablespace.as_ref().and_then(Text::to_str))
        .filter(|name| !name.is_empty())
        .collect();
    let there = &facts.target_facts.tablespaces;
    let missing: Vec<&str> = named
        .into_iter()
        .filter(|name| !there.iter().any(|other| other == name))
        .collect();
    (!missing.is_empty()).then(|| {
        Finding::blocker(
            rule::TABLESPACES_MISSING,
            format!(
                "the target has no tablespace {}",
                listed(missing.iter().map(|name| format!("\"{name}\"")))
            ),
            "Create them there (CREATE TABLESPACE … LOCATION …), or put everything into the default one with \
             --no-tablespaces.",
        )
    })
}

fn encoding(facts: &PreflightFacts<'_>) -> Option<Finding> {
    let (source, target) = (&facts.source.encoding, &facts.target.encoding);
    if source == target || facts.create {
        return None;
    }
    let consequence = match (source.as_str(), target.as_str()) {
        ("SQL_ASCII", _) => format!(
            "the source does not know what its bytes mean: those that are not valid {target} will be refused"
        ),
        (_, "SQL_ASCII") => "the target will not check what it is given".to_owned(),
        (_, "UTF8") => "every text is converted on the way".to_owned(),
        _ => format!("characters that {target} does not have will be refused"),
    };
    Some(Finding::warning(
        rule::ENCODING_DIFFERS,
        format!("the source is in {source}, the target in {target}: {consequence}"),
        format!("To be safe, create the target database with ENCODING '{source}' (--create does)."),
    ))
}

fn settings_left_behind(facts: &PreflightFacts<'_>) -> Option<Finding> {
    (!facts.database_settings.is_empty() && !facts.create).then(|| {
        Finding::warning(
            rule::DATABASE_SETTINGS,
            format!(
                "the source database has settings of its own that the target lacks, and they are not moved: {}",
                listed(facts.database_settings)
            ),
            "Set them on the target with ALTER DATABASE … SET (pg_db_role_setting on the source has their values), or move with --create.",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{World, rules};
    use super::super::{findings, is_go};
    use crate::catalog::Extension;

    fn extension(name: &str, version: &str) -> Extension {
        Extension {
            name: name.into(),
            version: Some(version.into()),
        }
    }

    #[test]
    fn an_extension_that_is_not_to_be_had_is_named_and_another_version_is_warned_of() {
        let mut world = World::default();
        world.entry("EXTENSION", "hstore", "CREATE EXTENSION hstore;");
        world.entry("EXTENSION", "postgis", "CREATE EXTENSION postgis;");
        world.source_facts.extensions =
            vec![extension("hstore", "1.8"), extension("postgis", "3.3")];
        world.target_facts.extensions = vec![extension("hstore", "1.7")];
        let found = findings(&world.facts());
        assert_eq!(rules(&found), ["extensions-missing", "extension-versions"]);
        assert!(
            found[0].what.ends_with("extension postgis"),
            "{}",
            found[0].what
        );
        assert!(
            found[1].what.ends_with("hstore 1.8 (target: 1.7)"),
            "{}",
            found[1].what
        );
        world
            .target_facts
            .extensions
            .push(extension("postgis", "3.3"));
        assert!(is_go(&findings(&world.facts())));
        // What is installed there counts, whatever would be installed anew.
        world.target_facts.installed = vec![extension("hstore", "1.8")];
        assert_eq!(findings(&world.facts()), []);
    }

    #[test]
    fn tablespaces_must_be_there_unless_they_are_left_out() {
        let mut world = World::default();
        world
            .entry("TABLE", "t", "CREATE TABLE public.t ();")
            .tablespace("fast");
        world
            .entry("TABLE", "u", "CREATE TABLE public.u ();")
            .tablespace("");
        assert_eq!(rules(&findings(&world.facts())), ["tablespaces-missing"]);
        world.restore.no_tablespaces = true;
        assert_eq!(findings(&world.facts()), []);
    }

    #[test]
    fn another_encoding_and_settings_left_behind_are_warned_of_but_not_when_created_alike() {
        let mut world = World::default();
        world.source.encoding = "SQL_ASCII".into();
        world.settings = vec!["work_mem".into()];
        let found = findings(&world.facts());
        assert_eq!(rules(&found), ["encoding-differs", "database-settings"]);
        assert!(
            found[0].what.contains("not valid UTF8"),
            "{}",
            found[0].what
        );
        let created = super::PreflightFacts {
            create: true,
            ..world.facts()
        };
        assert_eq!(findings(&created), []);
    }
}
