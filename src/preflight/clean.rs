//! What is dropped before it is made anew (`--clean`): said with names, and only after the target database was named.

use std::collections::BTreeMap;

use super::{blocker, listed, warning};
use crate::model::{Finding, Rows, quote_ident, shell_word};
use crate::toc::{Drop, Entry, Toc};

/// Names of each kind that are told.
const EXAMPLES: usize = 5;

/// What speaks against it, and what will be lost. `named` is the name given with `--clean`; empty if there was none.
pub fn clean(drops: &[Drop<'_>], part: &Toc, (named, database): (&str, &str)) -> Vec<Finding> {
    let mut findings = Vec::new();
    let subscriptions: Vec<String> = part
        .entries
        .iter()
        .filter(|entry| entry.is("SUBSCRIPTION"))
        .map(Entry::tag_lossy)
        .collect();
    if !subscriptions.is_empty() {
        findings.push(blocker(
            "clean-subscriptions",
            format!(
                "subscriptions hold slots on other servers, and are not dropped by --clean: {}",
                listed(subscriptions)
            ),
            "Drop them yourself, or leave them out with --no-subscriptions.",
        ));
    }
    let what = told(drops);
    if named == database {
        findings.push(warning(
            "target-cleaned",
            format!("in the target database \"{database}\", these are dropped before they are made anew: {what}"),
            "",
        ));
    } else if named.is_empty() {
        findings.push(blocker(
            "clean-not-confirmed",
            format!("--clean would drop in the target database \"{database}\": {what}"),
            format!(
                "If that is what you mean, give --clean {}.",
                shell_word(database)
            ),
        ));
    } else {
        findings.push(blocker(
            "clean-name",
            format!("--clean names \"{named}\", but the target database is \"{database}\""),
            format!(
                "If you mean to lose what the archive has in {}, give its own name.",
                quote_ident(database)
            ),
        ));
    }
    findings
}

/// `2 tables (public.a, public.b) and 1 view (public.v)`.
fn told(drops: &[Drop<'_>]) -> String {
    let mut kinds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Drop { entry, .. } in drops {
        let name = match entry.qualified_name() {
            Some(name) => name.shown(),
            None => entry.tag_lossy(),
        };
        let names = kinds.entry(entry.desc.to_lowercase()).or_default();
        if names.last() != Some(&name) {
            names.push(name);
        }
    }
    let kinds = kinds.into_iter().map(|(kind, mut names)| {
        names.reverse();
        let more = names.len().saturating_sub(EXAMPLES);
        names.truncate(EXAMPLES);
        let count = names.len() + more;
        let more = match more {
            0 => String::new(),
            more => format!(" and {} more", Rows(more as u64)),
        };
        format!(
            "{} × {kind} ({}{more})",
            Rows(count as u64),
            names.join(", ")
        )
    });
    listed(kinds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SqlText;
    use crate::toc::testing::{entry, toc};

    #[test]
    fn only_the_name_of_the_database_lets_it_be_done_and_what_goes_is_named() {
        let table = entry("TABLE");
        let drops = [Drop {
            entry: &table,
            sql: SqlText::from("DROP TABLE public.t;"),
        }];
        let part = toc(vec![table.clone()]);
        let rules = |named: &str| {
            let found = clean(&drops, &part, (named, "db"));
            let rules = found.iter().map(|one| one.rule.clone());
            (rules.collect::<Vec<_>>(), found[0].what.clone())
        };
        let (found, what) = rules("db");
        assert_eq!(found, ["target-cleaned"]);
        assert!(what.contains("1 × table (public.t)"), "{what}");
        assert_eq!(rules("").0, ["clean-not-confirmed"]);
        assert_eq!(rules("other").0, ["clean-name"]);
    }
}
