//! The schema: what one `pg_dump` says of the source and of the target, entry by entry.
//!
//! Both archives must be made by the same program with the same options, so that a difference in the text is one in the
//! databases. What is left out on request is no difference; the options say what that is.
//!
//! The schemas that a move and a follow keep their own notes in are not looked at. If anything else is in a schema of such a name,
//! it is named as not compared: in an archive by what `pg_dump` has written of it, here; on a server by asking it (`ours`), because
//! a dump of it leaves these schemas out.

use crate::model::{Difference, DifferenceKind, Side, Unverified};
use crate::toc::{self, CompareOptions, Entry, Toc};

use super::extensions::FROM_THE_BEGINNING;
use super::{Outcome, ours};

/// Schemas of ours, and what is in each (`sql/ledger/create.sql`, `sql/follow/create.sql`).
pub(super) const OURS: [(&str, &[&str]); 2] = [
    ("pgconvoy", &["run", "done", "trouble"]),
    ("pgconvoy_follow", &["state"]),
];

/// Compares two schema archives (`pg_dump --schema-only`).
pub fn compare(source: &Toc, target: &Toc, options: &CompareOptions) -> Outcome {
    let (mut differences, unverified) = toc::compare_or_doubt(source, target, options);
    differences.retain(|one| one.class != "trigger" || !is_of_constraint(&one.object));
    differences.retain(|one| !is_of_first_extension(one));
    let mut outcome = Outcome {
        differences,
        unverified,
        ..Outcome::default()
    };
    let compared = source.entries.iter().filter(|entry| options.takes(entry));
    outcome.count("definitions", compared.count());
    for (side, toc) in [(Side::Source, source), (Side::Target, target)] {
        outcome.unverified.extend(of_somebody_else(side, toc));
    }
    outcome
}

/// What is in a schema of ours and is none of ours: neither what it is nor what it holds is compared.
fn of_somebody_else(side: Side, toc: &Toc) -> impl Iterator<Item = Unverified> {
    let found = OURS.map(|(schema, ours)| {
        let is_theirs = |entry: &&Entry| {
            let is_in_it = entry.namespace.as_ref().is_some_and(|name| *name == schema);
            is_in_it && stands_alone(entry) && !ours.iter().any(|one| entry.tag == *one)
        };
        let theirs = toc.entries.iter().filter(is_theirs);
        let theirs = theirs.map(|entry| {
            format!(
                "{} {}",
                entry.desc.as_str().to_lowercase(),
                entry.tag_lossy()
            )
        });
        (schema, theirs.collect::<Vec<String>>())
    });
    let found = found.into_iter().filter(|(_, theirs)| !theirs.is_empty());
    found.map(move |(schema, theirs)| ours::unverified(side, schema, &theirs))
}

/// Whether an entry is no part or property of another one.
fn stands_alone(entry: &Entry) -> bool {
    matches!(
        entry.desc.as_str(),
        "AGGREGATE"
            | "COLLATION"
            | "DOMAIN"
            | "FOREIGN TABLE"
            | "FUNCTION"
            | "MATERIALIZED VIEW"
            | "OPERATOR"
            | "PROCEDURE"
            | "SEQUENCE"
            | "TABLE"
            | "TYPE"
            | "VIEW"
    )
}

/// The extension that every database begins with is listed where somebody has made it anew, and not where it is still the first one: whether
/// it is there is seen in `extensions`.
fn is_of_first_extension(difference: &Difference) -> bool {
    let is_on_one_side = matches!(
        difference.kind,
        DifferenceKind::Missing | DifferenceKind::Extra
    );
    let object = difference.object.as_str();
    is_on_one_side
        && match difference.class.as_str() {
            "extension" => object == FROM_THE_BEGINNING,
            "comment" => object.strip_prefix("EXTENSION ") == Some(FROM_THE_BEGINNING),
            _ => false,
        }
}

/// Where the triggers of a constraint are disabled on a partition, `pg_dump` says so under a name with a number that is
/// another one in each database. What state they are in is compared constraint by constraint, in `constraints`.
fn is_of_constraint(trigger: &str) -> bool {
    let name = trigger.rsplit(' ').next().unwrap_or_default();
    let number = ["RI_ConstraintTrigger_a_", "RI_ConstraintTrigger_c_"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix));
    number.is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toc::Text;
    use crate::toc::testing::{entry, toc};

    #[test]
    fn the_first_extension_is_not_missed_for_being_the_first() {
        let named = |desc: &str, tag: &str| Entry {
            tag: Text::from(tag),
            namespace: None,
            ..entry(desc)
        };
        let anew = toc(vec![
            named("EXTENSION", "plpgsql"),
            named("COMMENT", "EXTENSION plpgsql"),
            named("EXTENSION", "citext"),
        ]);
        let first = toc(vec![]);
        let options = CompareOptions::default();
        for (source, target) in [(&anew, &first), (&first, &anew)] {
            let found = compare(source, target, &options).differences;
            let objects: Vec<&str> = found.iter().map(|one| one.object.as_str()).collect();
            assert_eq!(objects, ["citext"]);
        }
    }

    #[test]
    fn what_somebody_else_keeps_in_a_schema_of_ours_is_named() {
        let named = |desc: &str, schema: &str, tag: &str| Entry {
            tag: Text::from(tag),
            namespace: Some(Text::from(schema)),
            ..entry(desc)
        };
        let ledger = toc(vec![
            named("TABLE", "pgconvoy", "run"),
            named("CONSTRAINT", "pgconvoy", "run run_pkey"),
            named("TABLE", "pgconvoy_follow", "state"),
            named("TABLE", "public", "mine"),
        ]);
        let options = CompareOptions::default();
        let none = compare(&toc(vec![]), &ledger, &options).unverified;
        assert!(none.is_empty(), "{none:?}");
        let theirs = toc(vec![
            named("TABLE", "pgconvoy", "run"),
            named("FUNCTION", "pgconvoy", "mine(integer)"),
        ]);
        let found = compare(&theirs, &ledger, &options).unverified;
        let [found] = found.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!(found.object, "pgconvoy");
        let told = "on the source there is something else in it: function mine(integer)";
        assert!(found.because.contains(told), "{found:?}");
    }

    #[test]
    fn triggers_that_the_server_named_are_known_by_their_names() {
        assert!(is_of_constraint("s.t RI_ConstraintTrigger_a_17413"));
        for other in [
            "s.t RI_ConstraintTrigger_a_",
            "s.t RI_ConstraintTrigger_a_1b",
            "s.t mine",
            "",
        ] {
            assert!(!is_of_constraint(other), "{other}");
        }
    }
}
