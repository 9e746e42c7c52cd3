//! What is looked at right before the target goes into service, besides what is compared: extensions that are older than they could be,
//! materialized views that nobody can read yet, sequences that stand behind their columns, or far before a row of theirs.
//!
//! The source may be just the same in all of that: then it is no difference, and its users live with it. After a move is a good
//! moment to be told, and a bad one to find out.

use std::collections::BTreeMap;

use crate::model::{Finding, QualifiedName, quote_ident, quote_literal, shown_ident, to_paste};

use super::extensions::compare_versions;
use super::sequences::{self, Behind};
use super::{Observed, Scope, some_of};

/// What a person should know of the target, warnings first.
pub fn before_opening(target: &Observed, scope: &Scope) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(behind(target, scope));
    findings.extend(unpopulated(target, scope));
    findings.extend(far_beyond(target, scope));
    findings.extend(outdated(target, scope));
    findings
}

/// For people.
fn stands(behind: &Behind, place: i64) -> String {
    format!(
        "{} ({} is next, {} is at {place})",
        behind.sequence.shown(),
        behind.next,
        behind.column
    )
}

fn behind(target: &Observed, scope: &Scope) -> Option<Finding> {
    let behind = sequences::behind(target, scope);
    let colliding: Vec<(&Behind, i64)> = behind
        .iter()
        .filter_map(|one| Some((one, one.reach?)))
        .collect();
    if colliding.is_empty() {
        return None;
    }
    let named = colliding.iter().map(|(one, reach)| stands(one, *reach));
    let named: Vec<String> = named.collect();
    // One that feeds several columns has to be beyond all of them; and nothing is to be set where it gives out nothing more.
    let mut places: BTreeMap<&QualifiedName, (i64, bool)> = BTreeMap::new();
    for (one, reach) in &colliding {
        let (place, goes_on) = places.entry(&one.sequence).or_insert((*reach, true));
        *place = if one.downwards {
            (*place).min(*reach)
        } else {
            (*place).max(*reach)
        };
        *goes_on &= one.goes_on;
    }
    let ends = places.values().any(|(_, goes_on)| !goes_on);
    let set = places.into_iter().filter(|(_, (_, goes_on))| *goes_on);
    let set = set.map(|(sequence, (place, _))| {
        let sequence = quote_literal(&sequence.to_string());
        format!("select setval({sequence}, {place});")
    });
    let set: Vec<String> = set.collect();
    let sentences = [
        (ends, AT_THE_END),
        (
            !set.is_empty(),
            "If they are to feed these columns, on the target:",
        ),
    ];
    let sentences = sentences.into_iter().filter(|(holds, _)| *holds);
    let sentences: Vec<&str> = sentences.map(|(_, sentence)| sentence).collect();
    Some(Finding::warning(
        "sequence-behind",
        format!(
            "the next insert may fail, or repeat a value: sequences stand behind a column that they feed: {}",
            some_of(&named)
        ),
        to_paste(&sentences.join(" "), set),
    ))
}

const AT_THE_END: &str = "Where the values go on to the end of what the sequence, or the column's type, can hold, setting the sequence \
                          would only make every insert fail: give both a larger type, or the rows at the end other values.";

/// A row with a value of its own, as 2147483647 for "unknown". Set to that, a sequence would have lost most of its values.
fn far_beyond(target: &Observed, scope: &Scope) -> Option<Finding> {
    let behind = sequences::behind(target, scope);
    let far = behind.iter();
    let named: Vec<String> = far
        .filter_map(|one| Some(stands(one, one.ahead?)))
        .collect();
    (!named.is_empty()).then(|| {
        Finding::note(
            "row-far-beyond-sequence",
            format!(
                "rows are far beyond the sequence that feeds their column; the first one that it will reach is named, and inserts collide when \
                 it does: {}",
                some_of(&named)
            ),
            "Nothing needs to be done now; before a sequence comes that far, give these rows other values. Do not set it beyond them: \
             that would use up most of the values it has left, and inserts fail when there is none.",
        )
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
    Some(Finding::warning(
        "matview-not-populated",
        format!(
            "materialized views hold nothing yet, and reading them is an error: {}",
            some_of(&shown)
        ),
        to_paste("On the target, if they are in use:", refresh),
    ))
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
    (!named.is_empty()).then(|| {
        Finding::note(
            "extension-outdated",
            format!(
                "extensions are older than the versions on the target's server: {}",
                some_of(&named)
            ),
            to_paste("On the target, when there is time:", update),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Extension, Sequence};
    use crate::model::{QualifiedName, Severity};
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
                extension: None,
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
                partitioned: false,
                column: "id".into(),
                increment: 1,
                last: 2_147_483_647,
                farthest: Some(9),
                reach: Some(9),
                ahead: None,
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
            partitioned: false,
            column: "id".into(),
            increment: farthest.signum(),
            last: i64::from(i32::MAX) * farthest.signum(),
            farthest: Some(farthest),
            reach: Some(farthest),
            ahead: None,
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

    /// What is told of a sequence that has given out 500, by column: its last value, what it is to be set to, and the farthest, which is
    /// ahead if it is not that.
    fn told_of(columns: &[(i64, Option<i64>, i64)]) -> Vec<Finding> {
        let name = |name: &str| QualifiedName::new("s", name);
        let feed = |(last, reach, farthest): &(i64, Option<i64>, i64)| Feed {
            sequence: name("q"),
            table: name("t"),
            partitioned: false,
            column: "id".into(),
            increment: 1,
            last: *last,
            farthest: Some(*farthest),
            reach: *reach,
            ahead: (*reach != Some(*farthest)).then_some(*farthest),
        };
        let target = Observed {
            sequences: vec![Sequence {
                name: name("q"),
                last_value: 500,
                extension: None,
                ahead: None,
                is_called: true,
            }],
            feeds: columns.iter().map(feed).collect(),
            ..Observed::default()
        };
        before_opening(&target, &Scope::of_relations(["q", "t"].map(name)))
    }

    const END: i64 = 2_147_483_647;

    #[test]
    fn no_sequence_is_set_to_a_row_far_beyond_it() {
        let far = told_of(&[(END, None, END)]);
        assert_eq!(far.len(), 1, "{far:?}");
        assert_eq!(
            (far[0].severity, far[0].rule.as_str()),
            (Severity::Note, "row-far-beyond-sequence")
        );
        assert!(
            far[0]
                .what
                .ends_with("s.q (501 is next, s.t.id is at 2147483647)"),
            "{far:?}"
        );
        assert!(!far[0].remedy.contains("setval"), "{far:?}");
        assert!(far[0].what.contains("inserts collide when"), "{far:?}");

        let both = told_of(&[(END, Some(600), END)]);
        let rules: Vec<&str> = both.iter().map(|one| one.rule.as_str()).collect();
        assert_eq!(rules, ["sequence-behind", "row-far-beyond-sequence"]);
        assert!(both[0].what.ends_with("s.t.id is at 600)"), "{both:?}");
        assert!(
            both[0]
                .remedy
                .ends_with("\nselect setval('\"s\".\"q\"', 600);"),
            "{both:?}"
        );
    }

    #[test]
    fn no_sequence_is_set_to_where_there_is_no_next_value() {
        let full = told_of(&[(END, Some(END), END)]);
        assert_eq!(full.len(), 1, "{full:?}");
        assert_eq!(full[0].remedy, AT_THE_END);
        let almost = told_of(&[(END, Some(END - 1), END - 1)]);
        assert!(almost[0].remedy.ends_with(", 2147483646);"), "{almost:?}");
        // The smaller one of two columns decides, whether it is behind or not.
        let small = told_of(&[(END, Some(40_000), 40_000), (32_767, None, 100)]);
        assert_eq!(small.len(), 1, "{small:?}");
        assert_eq!(small[0].remedy, AT_THE_END);
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
