//! What is dropped before it is created again (`--clean`): listed by name, and only after the target database was named.

use std::collections::BTreeMap;

use crate::model::{Finding, Rows, listed, quote_ident, shell_word, some_of};
use crate::toc::{Drop, Entry, Toc};

/// Names of each kind that are listed.
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
        findings.push(Finding::blocker(
            "clean-subscriptions",
            format!(
                "--clean does not drop subscriptions, which hold slots on other servers: {}",
                listed(subscriptions)
            ),
            "Drop them yourself, or leave them out with --no-subscriptions.",
        ));
    }
    let what = told(drops);
    if named == database {
        findings.push(Finding::warning(
            "target-cleaned",
            format!("in the target database \"{database}\", these are dropped before they are created again: {what}"),
            "",
        ));
    } else if named.is_empty() {
        findings.push(Finding::blocker(
            "clean-not-confirmed",
            format!("--clean would drop in the target database \"{database}\": {what}"),
            format!(
                "If that is what you mean, give --clean {}.",
                shell_word(database)
            ),
        ));
    } else {
        findings.push(Finding::blocker(
            "clean-name",
            format!("--clean names \"{named}\", but the target database is \"{database}\""),
            format!(
                "If you mean to drop in {} what the archive holds, give that name.",
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
        let (count, some) = (Rows(names.len() as u64), some_of(&names, EXAMPLES));
        format!("{count} × {kind} ({some})")
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
