//! Settings under which a server passes over damage without an error.

use crate::catalog::ServerFacts;
use crate::model::{Finding, Severity, Side, not_yet, quote_ident, to_paste};

fn rule(side: Side) -> String {
    format!("{side}-passes-over-damage")
}

/// For a salvage: these settings have often been switched on before it.
pub fn for_salvage(findings: &mut [Finding]) {
    let rule = rule(Side::Source);
    for finding in findings.iter_mut().filter(|finding| finding.rule == rule) {
        finding.severity = Severity::Warning;
        "The sessions of a salvage switch it off, but what the server took for empty in other sessions before counts as lost. A restart would \
         make it forget that; if you doubt that it starts again, leave it as it is."
            .clone_into(&mut finding.remedy);
    }
}

/// Our own sessions switch them off. What others have read under them stays in the server's memory, where nobody looks at it again.
pub(super) fn finding(side: Side, server: &ServerFacts) -> Option<Finding> {
    let names = &server.passing_over_damage;
    if names.is_empty() {
        return None;
    }
    let are = if names.len() == 1 { "is" } else { "are" };
    let (role, database) = (quote_ident(&server.role), quote_ident(&server.database));
    let everywhere = names
        .iter()
        .map(|name| Some(format!("ALTER SYSTEM SET {name} = off;")));
    let elsewhere = names.iter().map(|name| {
        not_yet(
            "if it is set for the role or the database",
            &format!("ALTER ROLE {role} RESET {name}; ALTER DATABASE {database} RESET {name};"),
        )
    });
    let reload = std::iter::once(Some("SELECT pg_reload_conf();".to_owned()));
    let statements = everywhere.chain(elsewhere).chain(reload).flatten();
    Some(Finding::blocker(
        &rule(side),
        format!(
            "{} {are} enabled on the {side}: rows of damaged pages are missing or wrong there without an error, and a copy would still verify \
             as the same",
            names.join(" and ")
        ),
        to_paste(
            &format!(
                "If its files may be damaged, use pgconvoy salvage, which reads around the damage and accounts for it. Otherwise switch the \
                 setting off on the {side}, then restart the server, so that it forgets pages that it read under the setting:"
            ),
            statements,
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{World, rules};
    use super::super::{findings, is_go, restore_findings, source_findings};
    use super::for_salvage;

    #[test]
    fn each_side_is_asked_for_its_own() {
        let mut world = World::default();
        world.source.passing_over_damage = vec!["zero_damaged_pages".into()];
        let found = findings(&world.facts());
        assert_eq!(rules(&found), ["source-passes-over-damage"]);
        assert!(!is_go(&found));
        assert!(
            found[0]
                .what
                .starts_with("zero_damaged_pages is enabled on the source"),
            "{found:?}"
        );
        let statements: Vec<&str> = found[0].remedy.lines().skip(1).collect();
        assert_eq!(
            statements,
            [
                "ALTER SYSTEM SET zero_damaged_pages = off;",
                "-- if it is set for the role or the database: ALTER ROLE \"me\" RESET zero_damaged_pages; \
                 ALTER DATABASE \"shop\" RESET zero_damaged_pages;",
                "SELECT pg_reload_conf();",
            ]
        );
        assert_eq!(rules(&source_findings(&world.facts())), rules(&found));
        let mut salvaged = found;
        for_salvage(&mut salvaged);
        assert!(is_go(&salvaged) && !salvaged[0].remedy.contains("ALTER"));
        assert_eq!(restore_findings(&world.facts()), []);

        std::mem::swap(&mut world.source, &mut world.target);
        let mut found = restore_findings(&world.facts());
        for_salvage(&mut found);
        assert!(!is_go(&found), "the target is no concern of a salvage");
        assert_eq!(rules(&found), ["target-passes-over-damage"]);
        assert_eq!(source_findings(&world.facts()), []);
    }
}
