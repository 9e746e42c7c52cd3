//! What is looked at right before the doors open again, besides what is compared: extensions that are older than they could be,
//! materialized views that nobody can read yet, sequences that stand behind their columns.
//!
//! The source may be just the same in all of that: then it is no difference, and its users live with it. After a move is a good
//! moment to be told, and a bad one to find out.

use std::collections::BTreeMap;

use crate::model::{
    Finding, QualifiedName, Severity, quote_ident, quote_literal, shown_ident, to_paste,
};

use super::extensions::compare_versions;
use super::{Observed, Scope, sequences, some_of};

/// What a person should know of the target, warnings first.
pub fn before_opening(target: &Observed, scope: &Scope) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(behind(target, scope));
    findings.extend(unpopulated(target, scope));
    findings.extend(outdated(target, scope));
    findings
}

fn behind(target: &Observed, scope: &Scope) -> Option<Finding> {
    let behind = sequences::behind(target, scope);
    if behind.is_empty() {
        return None;
    }
    let named = behind.iter().map(|one| {
        format!(
            "{} ({} is next, {} is at {})",
            one.sequence.shown(),
            one.next,
            one.column,
            one.farthest
        )
    });
    let named: Vec<String> = named.collect();
    // One that feeds several columns has to be beyond all of them.
    let mut farthest: BTreeMap<&QualifiedName, i64> = BTreeMap::new();
    for one in &behind {
        let place = farthest.entry(&one.sequence).or_insert(one.farthest);
        *place = if one.downwards {
            one.farthest.min(*place)
        } else {
            one.farthest.max(*place)
        };
    }
    let set = farthest.into_iter().map(|(sequence, farthest)| {
        let sequence = quote_literal(&sequence.to_string());
        format!("select setval({sequence}, {farthest});")
    });
    Some(Finding {
        severity: Severity::Warning,
        rule: "sequence-behind".to_owned(),
        what: format!(
            "the next insert may fail, or repeat a value: sequences stand behind a column that they feed: {}",
            some_of(&named)
        ),
        evidence: Vec::new(),
        remedy: to_paste("If they are to feed these columns, on the target:", set),
    })
}

fn unpopulated(target: &Observed, scope: &Scope) -> Option<Finding> {
    let views = target.states.iter().filter(|state| {
        state.class == "materialized view"
            && state.property == "data"
            && scope.has_object(&state.class, &state.schema, &state.name)
    });
    let names: Vec<(String, String)> = views
        .map(|state| {
            let shown = format!(
                "{}.{}",
                shown_ident(&state.schema),
                shown_ident(&state.name)
            );
            let quoted = format!(
                "{}.{}",
                quote_ident(&state.schema),
                quote_ident(&state.name)
            );
            (shown, quoted)
        })
        .collect();
    if names.is_empty() {
        return None;
    }
    let shown: Vec<String> = names.iter().map(|(shown, _)| shown.clone()).collect();
    let refresh = names
        .iter()
        .map(|(_, quoted)| format!("REFRESH MATERIALIZED VIEW {quoted};"));
    Some(Finding {
        severity: Severity::Warning,
        rule: "matview-not-populated".to_owned(),
        what: format!(
            "materialized views hold nothing yet, and whoever reads them gets an error: {}",
            some_of(&shown)
        ),
        evidence: Vec::new(),
        remedy: to_paste("On the target, if they are in use:", refresh),
    })
}

/// Extensions that the target's server could bring up to date. What it would create now is never older than what is there.
fn outdated(target: &Observed, scope: &Scope) -> Option<Finding> {
    let mut named = Vec::new();
    let mut update = Vec::new();
    for extension in &target.extensions {
        let same = |other: &&crate::catalog::Extension| other.name == extension.name;
        let default = target.default_versions.iter().find(same);
        let default = default.and_then(|default| default.version.as_deref());
        let (Some(has), Some(could)) = (extension.version.as_deref(), default) else {
            continue;
        };
        if scope.has_extension(&extension.name) && compare_versions(has, could).is_lt() {
            named.push(format!(
                "{} {has} (could be {could})",
                shown_ident(&extension.name)
            ));
            update.push(format!(
                "ALTER EXTENSION {} UPDATE;",
                quote_ident(&extension.name)
            ));
        }
    }
    (!named.is_empty()).then(|| Finding {
        severity: Severity::Note,
        rule: "extension-outdated".to_owned(),
        what: format!(
            "extensions are older than the target's server has them: {}",
            some_of(&named)
        ),
        evidence: Vec::new(),
        remedy: to_paste("On the target, when there is time:", update),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Extension, Sequence};
    use crate::model::QualifiedName;
    use crate::verify::{Feed, State};

    #[test]
    fn what_would_hurt_the_first_users_is_told_with_its_remedy() {
        let name = |name: &str| QualifiedName::new("s", name);
        let target = Observed {
            states: vec![State {
                class: "materialized view".into(),
                schema: "s".into(),
                name: "v".into(),
                part: None,
                property: "data".into(),
                state: "not populated".into(),
            }],
            sequences: vec![Sequence {
                name: name("q"),
                last_value: 7,
                extension: None,
                ahead: None,
                is_called: true,
            }],
            feeds: vec![Feed {
                sequence: name("q"),
                table: name("t"),
                column: "id".into(),
                increment: 1,
                farthest: Some(9),
            }],
            ..Observed::default()
        };
        let scope = Scope::of_relations(["q", "t", "v"].map(name));
        let found = before_opening(&target, &scope);
        let rules: Vec<&str> = found.iter().map(|one| one.rule.as_str()).collect();
        assert_eq!(rules, ["sequence-behind", "matview-not-populated"]);
        assert!(
            found[0]
                .remedy
                .ends_with("\nselect setval('\"s\".\"q\"', 9);"),
            "{found:?}"
        );
        assert!(
            found[0].what.contains("s.q (8 is next, s.t.id is at 9)"),
            "{found:?}"
        );
        assert!(
            found[1]
                .remedy
                .contains(r#"REFRESH MATERIALIZED VIEW "s"."v";"#),
            "{found:?}"
        );
        // What does not take part is not talked about.
        assert_eq!(before_opening(&target, &Scope::of_relations([])), []);
    }

    /// One after the other, the last of them would decide.
    #[test]
    fn a_sequence_of_two_columns_is_set_beyond_both() {
        let name = |name: &str| QualifiedName::new("s", name);
        let feed = |table: &str, farthest: i64| Feed {
            sequence: name("q"),
            table: name(table),
            column: "id".into(),
            increment: farthest.signum(),
            farthest: Some(farthest),
        };
        for (far, near) in [(100, 50), (-100, -50)] {
            let target = Observed {
                sequences: vec![Sequence {
                    name: name("q"),
                    last_value: 0,
                    extension: None,
                    ahead: None,
                    is_called: true,
                }],
                feeds: vec![feed("t", far), feed("u", near)],
                ..Observed::default()
            };
            let scope = Scope::of_relations(["q", "t", "u"].map(name));
            let found = before_opening(&target, &scope);
            let statements: Vec<&str> = found[0].remedy.lines().skip(1).collect();
            assert_eq!(
                statements,
                [format!("select setval('\"s\".\"q\"', {far});")]
            );
        }
    }

    #[test]
    fn an_extension_may_be_older_than_its_server() {
        let extension = |version: &str| Extension {
            name: "hstore".into(),
            version: Some(version.into()),
        };
        let side = |has, could| Observed {
            extensions: vec![extension(has)],
            default_versions: vec![extension(could)],
            ..Observed::default()
        };
        let scope = Scope::of_extensions(["hstore"]);
        let found = before_opening(&side("1.9", "1.10"), &scope);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            found[0].remedy,
            "On the target, when there is time:\nALTER EXTENSION \"hstore\" UPDATE;"
        );
        assert_eq!(before_opening(&side("1.10", "1.10"), &scope), []);
        assert_eq!(before_opening(&side("1.10", "1.9"), &scope), []);
    }
}
