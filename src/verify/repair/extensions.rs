//! Extensions of another version: an older one can be updated, a newer one cannot go back. And the one that no dump brings.

use std::cmp::Ordering;

use crate::catalog::Extension;
use crate::model::{Difference, DifferenceKind, quote_ident, shown_ident};

use super::super::extensions::{FROM_THE_BEGINNING, MAKE_FIRST, compare_versions};
use super::draft::Draft;
use super::step::{Phase, Statement};

impl Draft<'_> {
    /// Whether it is the extension that every database begins with; then it is made.
    pub(super) fn of_first(&mut self, difference: &Difference, about: &str) -> bool {
        let is_it = |one: &Difference| {
            one.kind == DifferenceKind::Missing
                && one.class == "extension"
                && one.object == FROM_THE_BEGINNING
        };
        // Where somebody has made it anew on the source, it has an entry as any other.
        let has_entry = self.entries.iter().any(|one| is_it(&one.difference));
        if !is_it(difference) || has_entry {
            return false;
        }
        // Before what is written in its language.
        self.step(Phase::Define, 0, about, vec![Statement::ours(MAKE_FIRST)]);
        true
    }

    /// Whether it is the version that differs; then it is updated, if that can be.
    pub(super) fn of_version(
        &mut self,
        difference: &Difference,
        about: &str,
        gaps: &mut Vec<String>,
    ) -> bool {
        let (source, target) = (self.input.source.observed, self.input.target.observed);
        let is_it = |one: &&Extension| shown_ident(&one.name) == difference.object;
        let version = |all: &[Extension]| all.iter().find(is_it)?.version.clone();
        let (Some(wanted), Some(found)) =
            (version(&source.extensions), version(&target.extensions))
        else {
            return false;
        };
        if difference.kind != DifferenceKind::Different || wanted == found {
            return false;
        }
        let name = source.extensions.iter().find(is_it);
        let name = name.map(|one| quote_ident(&one.name)).unwrap_or_default();
        let offered = version(&target.default_versions);
        match update(&name, &wanted, &found, offered.as_deref()) {
            Ok(statement) => {
                // What is defined below may want what the new version brings.
                self.step(Phase::Define, 0, about, vec![statement]);
            }
            Err(gap) => gaps.push(gap),
        }
        // Where it is installed, or whose it is, may differ as well.
        !self.entries.iter().any(|one| {
            let found = &one.difference;
            found.kind == difference.kind
                && found.class == difference.class
                && found.object == difference.object
        })
    }
}

/// The statement, or why there is none. `offered` is what the target's server would create.
fn update(
    name: &str,
    wanted: &str,
    found: &str,
    offered: Option<&str>,
) -> Result<Statement, String> {
    if compare_versions(found, wanted) != Ordering::Less {
        return Err(format!(
            "the target's version {found} is newer, and an extension cannot go back: update the source's with ALTER EXTENSION {name} UPDATE TO '{found}', or drop it on the target and create it again with all that depends on it"
        ));
    }
    match offered {
        Some(offered) if compare_versions(offered, wanted) != Ordering::Less => {
            let wanted = crate::model::quote_literal(wanted);
            let sql = format!("alter extension {name} update to {wanted}");
            Ok(Statement::ours(sql))
        }
        offered => Err(format!(
            "the target's server offers {}, not {wanted}: install that there, then run ALTER EXTENSION {name} UPDATE",
            offered.map_or_else(
                || "no version that it could name".to_owned(),
                |one| format!("version {one}")
            )
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_version_is_updated_where_the_new_one_is_offered() {
        let done = update("\"a b\"", "1.10", "1.9", Some("1.10")).expect("it is offered");
        assert_eq!(
            done.to_string_lossy(),
            "alter extension \"a b\" update to '1.10'"
        );
        for (wanted, found, offered, because) in [
            ("1.10", "1.9", Some("1.9"), "offers version 1.9, not 1.10"),
            ("1.10", "1.9", None, "no version that it could name"),
            ("1.9", "1.10", Some("1.10"), "cannot go back"),
        ] {
            let said = update("e", wanted, found, offered).expect_err("it cannot be done");
            assert!(said.contains(because), "{said}");
        }
    }
}
