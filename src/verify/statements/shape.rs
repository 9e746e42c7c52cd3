//! A plan as a tree: what is done, to which relation, by way of which index, and what the planner thinks that it costs.
//!
//! Read from `EXPLAIN (FORMAT JSON, VERBOSE)`, whose keys are the same in all versions (`src/backend/commands/explain.c`). What a server
//! adds is passed over.

use std::fmt::Write as _;

use serde_json::Value;

use crate::model::{Rows, shown_ident};

/// What only moves rows along, or keeps them at hand. Whether one is there depends on the version, on how many workers may
/// help, and on little else.
const IN_PASSING: [&str; 6] = [
    "Gather",
    "Gather Merge",
    "Materialize",
    "Memoize",
    "Result",
    "Limit",
];

/// A step of a plan, with those that it takes its rows from.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Node {
    /// `Index Scan`, `Hash Join`, …; as the text form of a plan has it, but for what is done in parallel.
    pub kind: String,
    /// The relation that is read or written, with its schema, for people.
    pub relation: Option<String>,
    /// The index, for people.
    pub index: Option<String>,
    /// It asks a function of the server's own what is in the catalogs: `pg_settings` is read by way of one, and `pg_dump` calls others.
    pub asks_catalogs: bool,
    /// What it costs in all, in the planner's units.
    pub cost: f64,
    /// How many rows the planner reckons with.
    pub rows: f64,
    /// In the order of the plan.
    pub from: Vec<Node>,
}

/// How a relation is read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Access {
    /// The relation.
    pub relation: String,
    /// `Seq Scan`, `Index Scan`, …
    pub kind: String,
    /// The index, if there is one.
    pub index: Option<String>,
}

impl Node {
    /// From what the server has answered; `None` if that is no plan.
    pub fn parse(json: &str) -> Option<Self> {
        // Deeper than this parser goes, no plan is.
        let answer: Value = serde_json::from_str(json).ok()?;
        let plan = answer.get(0)?.get("Plan")?;
        Self::from_json(plan)
    }

    fn from_json(plan: &Value) -> Option<Self> {
        let text = |key: &str| plan.get(key).and_then(Value::as_str);
        let number = |key: &str| plan.get(key).and_then(Value::as_f64);
        let relation = text("Relation Name").map(|name| match text("Schema") {
            Some(schema) => format!("{}.{}", shown_ident(schema), shown_ident(name)),
            None => shown_ident(name),
        });
        let from = plan.get("Plans").and_then(Value::as_array);
        let from = from.map(|plans| plans.iter().map(Self::from_json).collect());
        Some(Self {
            kind: kind(text("Node Type")?, text),
            relation,
            index: text("Index Name").map(shown_ident),
            asks_catalogs: asks_catalogs(plan),
            cost: number("Total Cost")?,
            rows: number("Plan Rows").unwrap_or(0.0),
            from: from.unwrap_or_else(|| Some(Vec::new()))?,
        })
    }

    /// The plan in words that are the same for plans that do the same: without costs, and without what is in passing.
    pub fn shape(&self) -> String {
        if IN_PASSING.contains(&self.kind.as_str()) && self.relation.is_none() {
            let from: Vec<String> = self.from.iter().map(Self::shape).collect();
            return from.join(", ");
        }
        let mut shape = self.head();
        if !self.from.is_empty() {
            let from: Vec<String> = self.from.iter().map(Self::shape).collect();
            let _ = write!(shape, " ({})", from.join(", "));
        }
        shape
    }

    /// How each relation is read, wherever in the plan.
    pub fn accesses(&self) -> Vec<Access> {
        let mut found = Vec::new();
        self.each(&mut |node| {
            let Some(relation) = node.relation.clone().filter(|_| node.reads()) else {
                return;
            };
            // By way of a bitmap, the indexes stand below.
            let index = node.index.clone().or_else(|| node.index_below());
            found.push(Access {
                relation,
                kind: node.kind.clone(),
                index,
            });
        });
        found.sort();
        found
    }

    /// Whether it reads something, and only what the server itself keeps: that is no statement of an application. One that reads
    /// nothing may be, because nobody sees what a function reads.
    pub fn is_about_catalogs(&self) -> bool {
        const SYSTEM: [&str; 3] = ["pg_catalog.", "information_schema.", "pg_toast."];
        let (mut system, mut others) = (false, false);
        self.each(&mut |node| {
            system |= node.asks_catalogs;
            if let Some(relation) = &node.relation {
                let is_system = SYSTEM.iter().any(|schema| relation.starts_with(schema));
                system |= is_system;
                others |= !is_system;
            }
        });
        system && !others
    }

    /// What else is done, but for what is in passing.
    pub fn others(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.each(&mut |node| {
            let is_access = node.relation.is_some() && node.reads();
            let is_index = node.kind.starts_with("Bitmap");
            if !is_access && !is_index && !IN_PASSING.contains(&node.kind.as_str()) {
                found.push(node.kind.clone());
            }
        });
        found.sort();
        found
    }

    /// The plan for people, a step a line.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        self.add_lines(0, &mut lines);
        lines
    }

    fn add_lines(&self, depth: usize, lines: &mut Vec<String>) {
        let rows = figure(self.rows);
        let noun = if rows == "1" { "row" } else { "rows" };
        lines.push(format!(
            "{}{}  (cost {}, about {rows} {noun})",
            "  ".repeat(depth),
            self.head(),
            figure(self.cost)
        ));
        for node in &self.from {
            node.add_lines(depth + 1, lines);
        }
    }

    fn head(&self) -> String {
        let mut head = self.kind.clone();
        if let Some(index) = &self.index {
            let word = if self.relation.is_some() {
                "using"
            } else {
                "on"
            };
            let _ = write!(head, " {word} {index}");
        }
        if let Some(relation) = &self.relation {
            let _ = write!(head, " on {relation}");
        }
        head
    }

    fn reads(&self) -> bool {
        !matches!(self.kind.as_str(), "Insert" | "Update" | "Delete" | "Merge")
    }

    fn index_below(&self) -> Option<String> {
        let mut indexes = Vec::new();
        for node in &self.from {
            node.each(&mut |node| {
                if node.kind == "Bitmap Index Scan" {
                    indexes.extend(node.index.clone());
                }
            });
        }
        (!indexes.is_empty()).then(|| indexes.join(", "))
    }

    fn each(&self, look: &mut impl FnMut(&Self)) {
        look(self);
        for node in &self.from {
            node.each(look);
        }
    }
}

/// Whether rows come from a function of the server itself whose name says that it shows the catalogs, or all columns do.
fn asks_catalogs(plan: &Value) -> bool {
    let text = |key: &str| plan.get(key).and_then(Value::as_str);
    let shows = |name: &str| name.starts_with("pg_");
    if text("Node Type") != Some("Result") {
        return text("Schema") == Some("pg_catalog") && text("Function Name").is_some_and(shows);
    }
    let columns = plan.get("Output").and_then(Value::as_array);
    let calls = |column: &Value| {
        column
            .as_str()
            .is_some_and(|call| call.starts_with("pg_get_"))
    };
    columns.is_some_and(|columns| !columns.is_empty() && columns.iter().all(calls))
}

/// The step as the text form of a plan names it.
fn kind<'a>(node: &str, text: impl Fn(&str) -> Option<&'a str>) -> String {
    match node {
        "ModifyTable" => text("Operation").unwrap_or(node).to_owned(),
        "Aggregate" => match text("Strategy") {
            Some("Hashed") => "HashAggregate".to_owned(),
            Some("Sorted") => "GroupAggregate".to_owned(),
            Some("Mixed") => "MixedAggregate".to_owned(),
            _ => node.to_owned(),
        },
        // A sort that is spared a part of its work is a sort; version 13 brought it.
        "Incremental Sort" => "Sort".to_owned(),
        _ => match text("Join Type") {
            Some("Inner") | None => node.to_owned(),
            Some(join) => format!("{node} ({join})"),
        },
    }
}

/// A figure of the planner's, as exact as it deserves: `8.4`, `12`, `84,000`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from float saturates, and no figure of a plan is negative"
)]
pub(super) fn figure(number: f64) -> String {
    if number < 10.0 && number.fract() >= 0.05 {
        format!("{number:.1}")
    } else {
        Rows(number.round() as u64).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARALLEL: &str = r#"[{"Plan": {"Node Type": "Limit", "Total Cost": 90.5, "Plan Rows": 20, "Plans": [
        {"Node Type": "Gather Merge", "Total Cost": 84000.4, "Plan Rows": 1, "Plans": [
            {"Node Type": "Hash Join", "Join Type": "Left", "Total Cost": 8.44, "Plan Rows": 1000, "Plans": [
                {"Node Type": "Seq Scan", "Parallel Aware": true, "Schema": "public", "Relation Name": "Users", "Alias": "u",
                 "Total Cost": 1.0, "Plan Rows": 3, "A New Key": [1]},
                {"Node Type": "Bitmap Heap Scan", "Schema": "public", "Relation Name": "posts", "Total Cost": 2.0, "Plan Rows": 3,
                 "Plans": [{"Node Type": "Bitmap Index Scan", "Index Name": "by_user", "Total Cost": 1.0, "Plan Rows": 3}]}
            ]}]}]}, "Planning Time": 0.1}]"#;

    #[test]
    fn a_plan_is_read_and_shown() {
        let plan = Node::parse(PARALLEL).expect("a plan");
        assert_eq!(
            plan.lines(),
            [
                "Limit  (cost 91, about 20 rows)",
                "  Gather Merge  (cost 84,000, about 1 row)",
                "    Hash Join (Left)  (cost 8.4, about 1,000 rows)",
                "      Seq Scan on public.\"Users\"  (cost 1, about 3 rows)",
                "      Bitmap Heap Scan on public.posts  (cost 2, about 3 rows)",
                "        Bitmap Index Scan on by_user  (cost 1, about 3 rows)",
            ]
        );
        assert_eq!(
            plan.shape(),
            "Hash Join (Left) (Seq Scan on public.\"Users\", Bitmap Heap Scan on public.posts (Bitmap Index Scan on by_user))"
        );
        assert_eq!(plan.others(), ["Hash Join (Left)"]);
        assert!(!plan.is_about_catalogs());
        let catalog = PARALLEL.replace("\"public\"", "\"pg_catalog\"");
        assert!(Node::parse(&catalog).expect("a plan").is_about_catalogs());
        assert!(!Node::default().is_about_catalogs());
        for (step, expected) in [
            (
                r#""Function Scan", "Schema": "pg_catalog", "Function Name": "pg_show_all_settings""#,
                true,
            ),
            (
                r#""Function Scan", "Schema": "pg_catalog", "Function Name": "generate_series""#,
                false,
            ),
            (
                r#""Function Scan", "Schema": "public", "Function Name": "pg_of_ours""#,
                false,
            ),
            (r#""Result", "Output": ["pg_get_partkeydef($1)"]"#, true),
            (
                r#""Result", "Output": ["pg_get_expr($1, $2)", "bell($3)"]"#,
                false,
            ),
            (r#""Result", "Output": []"#, false),
        ] {
            let plan = format!(r#"[{{"Plan": {{"Node Type": {step}, "Total Cost": 1}}}}]"#);
            let plan = Node::parse(&plan).expect("a plan");
            assert_eq!(plan.is_about_catalogs(), expected, "{step}");
        }
        let accesses = plan.accesses();
        assert_eq!(accesses.len(), 2, "{accesses:?}");
        assert_eq!(accesses[1].index.as_deref(), Some("by_user"));
    }

    #[test]
    fn what_is_no_plan_is_none() {
        for answer in [
            "",
            "[]",
            "[{}]",
            "{\"Plan\": {}}",
            "[{\"Plan\": {\"Node Type\": \"Limit\"}}]",
        ] {
            assert_eq!(Node::parse(answer), None, "{answer}");
        }
        let deep = format!("[{}", "{\"Plans\": [".repeat(100_000));
        assert_eq!(Node::parse(&deep), None);
    }

    #[test]
    fn a_write_names_what_it_writes_and_that_is_not_read() {
        let plan = Node::parse(
            r#"[{"Plan": {"Node Type": "ModifyTable", "Operation": "Update", "Relation Name": "t", "Schema": "s", "Total Cost": 8,
                "Plan Rows": 0, "Plans": [{"Node Type": "Index Scan", "Index Name": "t_pkey", "Relation Name": "t", "Schema": "s",
                "Total Cost": 8, "Plan Rows": 1}]}}]"#,
        );
        let plan = plan.expect("a plan");
        assert_eq!(
            plan.shape(),
            "Update on s.t (Index Scan using t_pkey on s.t)"
        );
        assert_eq!(plan.accesses().len(), 1);
        assert_eq!(plan.others(), ["Update"]);
    }
}
