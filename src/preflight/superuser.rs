//! What only a superuser can create, where the target's role is none.
//!
//! From the permission checks in `src/backend/commands/` of Postgres; which extensions are trusted, the server says itself. On managed services, roles such as `rds_superuser` may do
//! some of it: there it is a warning.

use std::collections::BTreeMap;

use super::PreflightFacts;
use crate::model::{Finding, Severity, listed, quote_ident, rule};
use crate::toc::Entry;

/// From this version on, members of `pg_create_subscription` may create subscriptions.
const SUBSCRIPTIONS_BY_ROLE: u32 = 16;

pub(super) fn findings(facts: &PreflightFacts<'_>) -> Vec<Finding> {
    if facts.target.superuser {
        return Vec::new();
    }
    let mut found: BTreeMap<(&'static str, &'static str), Vec<String>> = BTreeMap::new();
    for entry in facts.entries() {
        if let Some(kind) = only_superuser(entry, facts) {
            found.entry(kind).or_default().push(entry.tag_lossy());
        }
    }
    let severity = if facts.nearly_superuser() {
        Severity::Warning
    } else {
        Severity::Blocker
    };
    let role = quote_ident(&facts.target.role);
    let describe = |((kinds, remedy), names): ((&str, &str), Vec<String>)| {
        let (severity, must) = match severity {
            Severity::Blocker => (severity, "need a superuser on the target, and"),
            other => (other, "may need a superuser on the target, and"),
        };
        Finding::new(
            severity,
            rule::NEEDS_SUPERUSER,
            format!("{kinds} {must} role {role} is not one: {}", listed(names)),
            format!("Connect to the target as a superuser, or {remedy}."),
        )
    };
    found.into_iter().map(describe).collect()
}

/// Kinds of objects for a sentence, and how to do without them.
fn only_superuser(
    entry: &Entry,
    facts: &PreflightFacts<'_>,
) -> Option<(&'static str, &'static str)> {
    let defn = String::from_utf8_lossy(entry.defn_bytes());
    let says = |words: &str| defn.contains(words);
    let may_subscribe = facts.target.version.major() >= SUBSCRIPTIONS_BY_ROLE
        && facts
            .assumable_roles
            .iter()
            .any(|role| role == "pg_create_subscription");
    match entry.desc.as_str() {
        "EVENT TRIGGER" => Some(("event triggers", "drop them on the source before the move")),
        "PUBLICATION" if says(" FOR ALL TABLES") => Some((
            "publications of all tables",
            "leave publications out with --no-publications",
        )),
        "PUBLICATION TABLES IN SCHEMA" => Some((
            "publications of whole schemas",
            "leave publications out with --no-publications",
        )),
        "SUBSCRIPTION" if !may_subscribe => {
            Some(("subscriptions", "leave them out with --no-subscriptions"))
        }
        "PROCEDURAL LANGUAGE" if !says(" TRUSTED ") => Some((
            "untrusted languages",
            "have a superuser create them there first",
        )),
        "FOREIGN DATA WRAPPER" => Some((
            "foreign-data wrappers",
            "have a superuser create them there first",
        )),
        "ACCESS METHOD"
        | "OPERATOR CLASS"
        | "OPERATOR FAMILY"
        | "TEXT SEARCH PARSER"
        | "TEXT SEARCH TEMPLATE" => Some((
            "access methods, operator classes, text search parsers and templates",
            "leave their schema out with -N",
        )),
        "EXTENSION" if is_for_superusers(&entry.tag_lossy(), facts) => Some((
            "extensions that are not trusted",
            "have a superuser create them in the target database first, or leave them out with --exclude-extension",
        )),
        "CAST" if says(" WITHOUT FUNCTION") => Some((
            "casts without a function",
            "drop them on the source before the move",
        )),
        "FUNCTION" | "PROCEDURE" | "AGGREGATE" => of_function(&defn),
        _ => None,
    }
}

/// One that is there already is not created.
fn is_for_superusers(extension: &str, facts: &PreflightFacts<'_>) -> bool {
    let target = facts.target_facts;
    let is_it = |name: &String| name == extension;
    // With --create, another database is looked at than will be there.
    let is_there = !facts.create && target.installed.iter().any(|one| is_it(&one.name));
    target.superuser_extensions.iter().any(is_it) && !is_there
}

fn of_function(defn: &str) -> Option<(&'static str, &'static str)> {
    // `pg_dump` writes the language and what else there is to say at the beginning of a line and in front of the body.
    let (_, behind) = defn.split_once("\n    LANGUAGE ")?;
    let line = behind.lines().next()?;
    let mut words = line.split_whitespace();
    match words.next()? {
        "c" | "internal" => Some(("functions in C", "leave their schema out with -N")),
        "plperlu" | "pltclu" | "plpythonu" | "plpython2u" | "plpython3u" => Some((
            "functions in untrusted languages",
            "leave their schema out with -N",
        )),
        _ if words.any(|word| word == "LEAKPROOF") => Some((
            "leakproof functions",
            "make them NOT LEAKPROOF on the source before the move",
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{World, rules};
    use super::super::{findings, is_go};
    use crate::catalog::Extension;

    fn world() -> World {
        let mut world = World::default();
        world.target.superuser = false;
        world.entry(
            "EVENT TRIGGER",
            "e",
            "CREATE EVENT TRIGGER e ON sql_drop EXECUTE FUNCTION f();",
        );
        world.entry(
            "PUBLICATION",
            "some",
            "CREATE PUBLICATION some WITH (publish = 'insert');",
        );
        world.entry(
            "PUBLICATION",
            "all",
            "CREATE PUBLICATION \"all\" FOR ALL TABLES WITH (publish = 'insert');",
        );
        world.entry(
            "PROCEDURAL LANGUAGE",
            "plx",
            "CREATE TRUSTED PROCEDURAL LANGUAGE plx;",
        );
        world.entry(
            "FUNCTION",
            "f()",
            "CREATE FUNCTION f() RETURNS trigger\n    LANGUAGE plpgsql\n    AS $$ LANGUAGE c $$;",
        );
        world
    }

    #[test]
    fn an_ordinary_role_is_told_what_it_cannot_create() {
        let mut world = world();
        let found = findings(&world.facts());
        let mut whats: Vec<&str> = found.iter().map(|one| one.what.as_str()).collect();
        whats.sort_unstable();
        assert_eq!(
            whats[0],
            "event triggers need a superuser on the target, and role \"me\" is not one: e"
        );
        assert!(
            whats[1..]
                .iter()
                .any(|what| what.starts_with("publications of all tables")
                    && what.ends_with(": all"))
        );
        assert_eq!(whats.len(), 2, "{whats:?}");
        assert!(!is_go(&found));
        world.entry(
            "FUNCTION",
            "g()",
            "CREATE FUNCTION g() RETURNS int\n    LANGUAGE c STRICT\n    AS 'x', 'g';",
        );
        assert_eq!(findings(&world.facts()).len(), 3);
        world.target.superuser = true;
        assert_eq!(findings(&world.facts()), []);
    }

    #[test]
    fn an_extension_must_be_trusted_or_there_already() {
        let mut world = World::default();
        world.target.superuser = false;
        world.entry("EXTENSION", "dblink", "CREATE EXTENSION dblink;");
        world.entry("EXTENSION", "hstore", "CREATE EXTENSION hstore;");
        let extension = |name: &str| Extension {
            name: name.into(),
            version: Some("1.0".into()),
        };
        world.target_facts.extensions = vec![extension("dblink"), extension("hstore")];
        assert_eq!(findings(&world.facts()), [], "nobody knows");
        world.target_facts.superuser_extensions = vec!["dblink".into()];
        let found = findings(&world.facts());
        assert_eq!(rules(&found), ["needs-superuser"]);
        assert!(found[0].what.ends_with(": dblink"), "{found:?}");
        world.target_facts.installed = vec![extension("dblink")];
        assert_eq!(findings(&world.facts()), []);
    }

    #[test]
    fn functions_of_untrusted_languages_and_leakproof_ones_need_one() {
        for (desc, defn, told) in [
            (
                "FUNCTION",
                "CREATE FUNCTION f() RETURNS int\n    LANGUAGE plpython3u\n    AS $$x$$;",
                true,
            ),
            (
                "FUNCTION",
                "CREATE FUNCTION f() RETURNS int\n    LANGUAGE sql LEAKPROOF\n    AS $$x$$;",
                true,
            ),
            (
                "FUNCTION",
                "CREATE FUNCTION f() RETURNS int\n    LANGUAGE sql\n    AS $$ LEAKPROOF $$;",
                false,
            ),
            ("CAST", "CREATE CAST (a AS b) WITHOUT FUNCTION;", true),
            ("CAST", "CREATE CAST (a AS b) WITH FUNCTION f(a);", false),
        ] {
            let mut world = World::default();
            world.target.superuser = false;
            world.entry(desc, "f", defn);
            let found = findings(&world.facts());
            assert_eq!(!found.is_empty(), told, "{defn}");
        }
    }

    #[test]
    fn on_a_managed_service_it_is_a_warning() {
        let mut world = world();
        world.assumable = vec!["rds_superuser".into()];
        let found = findings(&world.facts());
        assert!(is_go(&found) && rules(&found).contains(&"needs-superuser"));
    }

    #[test]
    fn what_is_left_out_needs_nobody() {
        let mut world = World::default();
        world.target.superuser = false;
        world.entry(
            "SUBSCRIPTION",
            "s",
            "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p;",
        );
        assert!(!is_go(&findings(&world.facts())));
        world.restore.no_subscriptions = true;
        assert_eq!(findings(&world.facts()), []);
    }
}
