//! The schema: what one `pg_dump` says of the source and of the target, entry by entry.
//!
//! Both archives must be made by the same program with the same options, so that a difference in the text is one in the
//! databases. What is left out on request is no difference; the options say what that is.

use crate::toc::{self, CompareOptions, Toc};

use super::Outcome;

/// Compares two schema archives (`pg_dump --schema-only`).
pub fn compare(source: &Toc, target: &Toc, options: &CompareOptions) -> Outcome {
    let mut outcome = Outcome {
        differences: toc::compare(source, target, options),
        ..Outcome::default()
    };
    let compared = source.entries.iter().filter(|entry| options.takes(entry));
    outcome.count("definitions", compared.count());
    outcome
}
