//! Two plans of a statement → whether the target's is as good, and if not, in what it differs.
//!
//! Planners of two servers are never of one mind: another version, another sample of the rows, and a cost is a little higher, or a
//! sort stands elsewhere. Who is told of each of them looks at none. So a warning is only what is likely to be felt: a plan that
//! costs several times as much, and by more than what a small table costs at all. That another plan was chosen, and costs
//! about as much or less, is a note that names them all.

use std::collections::{BTreeMap, BTreeSet};

use super::super::some_of;
use super::shape::{Access, Node, figure};
use super::{Asked, Compared, Sampled};
use crate::model::{Finding, Rows, rule, to_paste};

/// A plan of another shape is worse if it costs so many times as much.
const WORSE_BY_ANOTHER_PLAN: f64 = 2.0;

/// One of the same shape, if it costs so many times as much: the planner reckons with other rows.
const WORSE_BY_OTHER_ROWS: f64 = 5.0;

/// And by at least as much as reading so many pages: nobody feels less.
const FELT: f64 = 100.0;

/// How two plans compare.
#[derive(Debug, Clone, PartialEq)]
enum Change {
    /// The same steps, for about the same cost.
    None,
    /// Other steps, which may be as good.
    Other(String),
    /// It costs much more.
    Worse(String),
}

/// Compares all, the statement that the source spends most time on first.
pub(super) fn compare(asked: &[Asked]) -> Compared {
    let mut compared = Compared::default();
    let mut others = Vec::new();
    let mut unknown = Vec::new();
    for one in asked {
        let statement = &one.statement;
        match (&one.source, &one.target) {
            (Ok(source), Ok(target)) => match change(source, target) {
                Change::None => compared.alike += 1,
                Change::Other(how) => others.push(other(statement, (source, target), &how)),
                Change::Worse(how) => {
                    let finding = worse(statement, (source, target), &how);
                    compared.findings.push(finding);
                }
            },
            (Ok(_), Err(unplanned)) if unplanned.misfit => {
                compared.findings.push(refused(statement, &unplanned.why));
            }
            (Ok(_), Err(unplanned)) => {
                unknown.push(not_asked(statement, "target", &unplanned.why));
            }
            (Err(unplanned), _) => unknown.push(not_asked(statement, "source", &unplanned.why)),
        }
    }
    let count = |number: usize| statements(number as u64);
    if !others.is_empty() {
        let found = Finding::note(
            "plan-other",
            format!(
                "the target's planner has different plans for {}, at about the same cost or less",
                count(others.len())
            ),
            "Nothing, if both servers have statistics and the same settings: look at these first if something is \
             slower than before.",
        );
        compared.findings.push(found.with_evidence(others));
    }
    if !unknown.is_empty() {
        let found = Finding::note(
            rule::PLANS_NOT_COMPARED,
            format!(
                "the plans of {} could not be compared",
                count(unknown.len())
            ),
            "Statements are looked up as a session of the connected role finds them. If tables are missing, name their schemas in the \
             connection strings, options=-csearch_path=app,public; EXPLAIN the others by hand.",
        );
        compared.findings.push(found.with_evidence(unknown));
    }
    compared
}

fn statements(number: u64) -> String {
    let noun = if number == 1 {
        "statement"
    } else {
        "statements"
    };
    format!("{} {noun}", Rows(number))
}

fn worse(statement: &Sampled, (source, target): (&Node, &Node), how: &str) -> Finding {
    let tables = slower_tables(source, target);
    let remedy = if tables.is_empty() {
        "Check whether the target's tables are analyzed (ANALYZE;) and whether its planner and memory settings are the source's, then run \
         this again."
            .to_owned()
    } else {
        to_paste(
            "On the target, and then run this again (if the plan stays, check whether the index that the source uses is there and valid, \
             and whether planner settings such as random_page_cost, effective_cache_size, enable_… are the source's):",
            tables.iter().map(|table| format!("ANALYZE {table};")),
        )
    };
    Finding::warning(
        "plan-worse",
        format!(
            "a statement{} has a worse plan on the target: {how}; cost {} → {}",
            spent_or(statement, ""),
            figure(source.cost),
            figure(target.cost)
        ),
        remedy,
    )
    .with_evidence([
        format!("statement: {}", statement.text.trim()),
        side_by_side("source", source),
        side_by_side("target", target),
    ])
}

fn refused(statement: &Sampled, why: &str) -> Finding {
    Finding::warning(
        "statement-refused",
        format!(
            "a statement{} is refused by the target: {}",
            spent_or(statement, " that the source accepts"),
            why.lines().next().unwrap_or_default().trim()
        ),
        "The application will meet the same error. If something is missing on the target (a function, an extension, a privilege, a \
         search_path of the role or database), bring it over; if the new version no longer has it, the application has to change.",
    )
    .with_evidence([
        format!("statement: {}", statement.text.trim()),
        format!("target: {}", why.trim()),
    ])
}

fn other(statement: &Sampled, (source, target): (&Node, &Node), how: &str) -> String {
    format!(
        "{how}; cost {} → {}: {}",
        figure(source.cost),
        figure(target.cost),
        statement.text.trim()
    )
}

/// What could not be asked, or what the source itself does not plan.
fn not_asked(statement: &Sampled, side: &str, why: &str) -> String {
    format!(
        "on the {side}, {}: {}",
        why.lines().next().unwrap_or_default().trim(),
        statement.text.trim()
    )
}

/// What the source spends on it, a reader's measure of whether to care; or something else where nobody has counted.
fn spent_or(statement: &Sampled, otherwise: &str) -> String {
    match statement.spent.map(|spent| spent.calls) {
        Some(1) => " that the source has run once".to_owned(),
        Some(calls) => format!(" that the source has run {} times", Rows(calls)),
        None => otherwise.to_owned(),
    }
}

fn side_by_side(side: &str, plan: &Node) -> String {
    let lines = plan.lines().into_iter().map(|line| format!("  {line}"));
    let lines: Vec<String> = lines.collect();
    format!("{side}:\n{}", lines.join("\n"))
}

fn change(source: &Node, target: &Node) -> Change {
    let same_shape = source.shape() == target.shape();
    let felt = target.cost - source.cost > FELT;
    let times = |limit: f64| felt && target.cost > limit * source.cost;
    if same_shape && times(WORSE_BY_OTHER_ROWS) {
        let (there, here) = (figure(most_rows(target)), figure(most_rows(source)));
        return Change::Worse(if there == here {
            format!(
                "the same steps over as many rows ({here}), but they are costed differently (page and tuple costs) or read more pages"
            )
        } else {
            format!(
                "the same steps, but over more rows or pages ({there} rows expected, not {here})"
            )
        });
    }
    if same_shape {
        return Change::None;
    }
    let how = difference(source, target);
    if times(WORSE_BY_ANOTHER_PLAN) {
        Change::Worse(how)
    } else {
        Change::Other(how)
    }
}

fn most_rows(plan: &Node) -> f64 {
    let below = plan.from.iter().map(most_rows);
    below.fold(plan.rows, f64::max)
}

/// In what two plans of different shape differ: `Seq Scan instead of Index Scan on public.notifications`.
fn difference(source: &Node, target: &Node) -> String {
    let (ours, theirs) = (by_relation(source), by_relation(target));
    let relations: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let none = Vec::new();
    let mut changes = Vec::new();
    for relation in relations {
        let of = |side: &BTreeMap<String, Vec<Access>>| side.get(relation).unwrap_or(&none).clone();
        let (gone, come) = without_common(of(&ours), of(&theirs));
        // Where the kind alone tells them apart, the index is not needed.
        let kinds = |side: &[Access]| -> BTreeSet<String> {
            side.iter().map(|access| access.kind.clone()).collect()
        };
        let with_index = kinds(&gone) == kinds(&come);
        let words = |side: &[Access]| -> String {
            let side: BTreeSet<String> = side.iter().map(|one| word(one, with_index)).collect();
            side.into_iter().collect::<Vec<_>>().join(" and ")
        };
        match (gone.is_empty(), come.is_empty()) {
            (true, true) => {}
            (false, false) => changes.push(format!(
                "{} instead of {} on {relation}",
                words(&come),
                words(&gone)
            )),
            (true, false) => changes.push(format!("{} on {relation} besides", words(&come))),
            (false, true) => changes.push(format!("no {} on {relation}", words(&gone))),
        }
    }
    let (gone, come) = without_common(source.others(), target.others());
    let list = |side: Vec<String>| {
        let side: BTreeSet<String> = side.into_iter().collect();
        side.into_iter().collect::<Vec<_>>().join(" and ")
    };
    match (gone.is_empty(), come.is_empty()) {
        (true, true) => {}
        (false, false) => changes.push(format!("{} instead of {}", list(come), list(gone))),
        (true, false) => changes.push(format!("{} besides", list(come))),
        (false, true) => changes.push(format!("no {}", list(gone))),
    }
    if changes.is_empty() {
        return "the same steps in another order".to_owned();
    }
    some_of(&changes)
}

fn word(access: &Access, with_index: bool) -> String {
    match &access.index {
        Some(index) if with_index => format!("{} using {index}", access.kind),
        _ => access.kind.clone(),
    }
}

fn by_relation(plan: &Node) -> BTreeMap<String, Vec<Access>> {
    let mut found: BTreeMap<String, Vec<Access>> = BTreeMap::new();
    for access in plan.accesses() {
        let relation = access.relation.clone();
        found.entry(relation).or_default().push(access);
    }
    found
}

/// What only the one has, and what only the other has, each as often as it has more of it.
fn without_common<T: PartialEq>(ours: Vec<T>, mut theirs: Vec<T>) -> (Vec<T>, Vec<T>) {
    let mut gone = Vec::new();
    for one in ours {
        match theirs.iter().position(|other| *other == one) {
            Some(place) => drop(theirs.remove(place)),
            None => gone.push(one),
        }
    }
    (gone, theirs)
}

/// Tables that are read otherwise, as SQL names them.
fn slower_tables(source: &Node, target: &Node) -> Vec<String> {
    let (ours, theirs) = (by_relation(source), by_relation(target));
    let differs = |(relation, accesses): &(&String, &Vec<Access>)| {
        ours.get(*relation).is_some_and(|ours| ours != *accesses)
    };
    let tables = theirs.iter().filter(differs);
    tables
        .map(|(relation, _)| relation.clone())
        .take(5)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Severity;
    use crate::verify::statements::{Spent, Unplanned};

    fn scan(kind: &str, index: Option<&str>, cost: f64) -> Node {
        Node {
            kind: kind.to_owned(),
            relation: Some("public.notifications".to_owned()),
            index: index.map(str::to_owned),
            cost,
            rows: 20.0,
            ..Node::default()
        }
    }

    fn over(kind: &str, cost: f64, from: Vec<Node>) -> Node {
        Node {
            kind: kind.to_owned(),
            cost,
            rows: 1.0,
            from,
            ..Node::default()
        }
    }

    type Said = Result<Node, (&'static str, bool)>;

    fn asked(source: Said, target: Said) -> Asked {
        let answer = |said: Said| {
            said.map_err(|(why, misfit)| Unplanned {
                why: why.to_owned(),
                misfit,
            })
        };
        Asked {
            statement: Sampled {
                text: "select * from notifications where account_id = $1".to_owned(),
                spent: Some(Spent {
                    calls: 12_345,
                    total_ms: 1.0,
                }),
            },
            source: answer(source),
            target: answer(target),
        }
    }

    fn told(source: Node, target: Node) -> Vec<String> {
        let compared = compare(&[asked(Ok(source), Ok(target))]);
        assert_eq!(compared.alike == 1, compared.findings.is_empty());
        let findings = compared.findings.into_iter();
        findings
            .map(|one| format!("{:?} {} {}", one.severity, one.rule, one.what))
            .collect()
    }

    #[test]
    fn a_lost_index_is_named_with_what_it_costs() {
        let index = || scan("Index Scan", Some("by_account"), 12.0);
        assert_eq!(
            told(index(), scan("Seq Scan", None, 84_000.0)),
            [
                "Warning plan-worse a statement that the source has run 12,345 times has a worse plan on the target: Seq Scan \
                 instead of Index Scan on public.notifications; cost 12 → 84,000"
            ]
        );
        let compared = compare(&[asked(Ok(index()), Ok(scan("Seq Scan", None, 84_000.0)))]);
        let finding = &compared.findings[0];
        assert_eq!(
            finding.evidence,
            [
                "statement: select * from notifications where account_id = $1",
                "source:\n  Index Scan using by_account on public.notifications  (cost 12, about 20 rows)",
                "target:\n  Seq Scan on public.notifications  (cost 84,000, about 20 rows)",
            ]
        );
        assert!(
            finding.remedy.ends_with(":\nANALYZE public.notifications;"),
            "{finding:?}"
        );
    }

    #[test]
    fn what_nobody_would_feel_is_no_warning() {
        let index = |cost| scan("Index Scan", Some("by_account"), cost);
        let seq = |cost| scan("Seq Scan", None, cost);
        let none: [String; 0] = [];
        assert_eq!(told(index(8.0), index(8.0)), none);
        // A little more of the same, or much more of almost nothing.
        assert_eq!(told(index(1000.0), index(4999.0)), none);
        assert_eq!(told(index(1.0), index(101.0)), none);
        assert_eq!(told(index(1000.0), index(5001.0)).len(), 1);
        // Another plan, of a small table or for about the same.
        for (source, target) in [(8.0, 108.0), (1000.0, 1999.0), (1000.0, 1.0)] {
            let said = told(index(source), seq(target));
            assert!(said[0].starts_with("Note plan-other"), "{said:?}");
        }
        let said = told(index(100.0), seq(201.0));
        assert!(said[0].starts_with("Warning plan-worse"), "{said:?}");
    }

    #[test]
    fn what_is_in_passing_is_no_other_plan() {
        let plain = over("Aggregate", 500.0, vec![scan("Seq Scan", None, 400.0)]);
        let gathered = over(
            "Aggregate",
            450.0,
            vec![over("Gather", 440.0, vec![scan("Seq Scan", None, 300.0)])],
        );
        assert_eq!(told(plain, gathered), [""; 0]);
    }

    #[test]
    fn other_joins_indexes_and_steps_are_named() {
        let joined = |join: &str, index: &str| {
            over(
                join,
                10.0,
                vec![
                    scan("Index Scan", Some(index), 9.0),
                    scan("Seq Scan", None, 1.0),
                ],
            )
        };
        assert_eq!(
            difference(&joined("Nested Loop", "a"), &joined("Hash Join", "b")),
            "Index Scan using b instead of Index Scan using a on public.notifications, Hash Join instead of Nested Loop"
        );
        let sorted = over("Sort", 11.0, vec![joined("Nested Loop", "a")]);
        assert_eq!(
            difference(&joined("Nested Loop", "a"), &sorted),
            "Sort besides"
        );
        assert_eq!(difference(&sorted, &joined("Nested Loop", "a")), "no Sort");
    }

    #[test]
    fn a_statement_that_only_the_target_refuses_is_a_warning() {
        let plan = || scan("Seq Scan", None, 1.0);
        let error = "ERROR:  42883: function f(integer) does not exist\nHINT:  x";
        let found = |source, target| compare(&[asked(source, target)]).findings.remove(0);
        let finding = found(Ok(plan()), Err((error, true)));
        assert_eq!(finding.severity, Severity::Warning);
        assert_eq!(finding.rule, "statement-refused");
        assert!(
            finding.what.ends_with(
                "refused by the target: ERROR:  42883: function f(integer) does not exist"
            ),
            "{finding:?}"
        );
        assert!(finding.evidence[1].ends_with("HINT:  x"), "{finding:?}");
        for (source, target) in [
            (Ok(plan()), Err((error, false))),
            (Err((error, true)), Ok(plan())),
            (Err((error, true)), Err((error, true))),
        ] {
            let finding = found(source, target);
            let rule = (finding.severity, finding.rule.as_str());
            assert_eq!(rule, (Severity::Note, "plans-not-compared"));
        }
    }
}
