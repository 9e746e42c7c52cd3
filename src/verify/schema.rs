//! The schema: what one `pg_dump` says of the source and of the target, entry by entry.
//!
//! Both archives must be made by the same program with the same options, so that a difference in the text is one in the
//! databases. What is left out on request is no difference; the options say what that is.

use crate::toc::{self, CompareOptions, Toc};

use super::Outcome;

/// Compares two schema archives (`pg_dump --schema-only`).
pub fn compare(source: &Toc, target: &Toc, options: &CompareOptions) -> Outcome {
    let (mut differences, unverified) = toc::compare_or_doubt(source, target, options);
    differences.retain(|one| one.class != "trigger" || !is_of_constraint(&one.object));
    let mut outcome = Outcome {
        differences,
        unverified,
        ..Outcome::default()
    };
    let compared = source.entries.iter().filter(|entry| options.takes(entry));
    outcome.count("definitions", compared.count());
    outcome
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
