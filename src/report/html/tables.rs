//! Every table: how many rows, how much, in which format, with which verdict and hash.
//!
//! Those that need a look come first. Of many others, the largest are seen at once and the rest when one asks for it, without
//! a script. A row is kept short: a database may have thousands of tables.

use std::collections::BTreeMap;

use super::super::outline::{Tables, verdicts};
use super::write::Html;
use super::{head_row, section};
use crate::model::{CopyFormat, Rows, TableVerdict, Verdict};
use crate::progress::words;
use crate::report::Report;

/// Most tables that are all seen at once.
const AT_ONCE: usize = 60;

/// Of more, as many of the largest.
const LARGEST: usize = 20;

/// Most tables with rows of their own. A page with more than that is no page.
const MOST_TABLES: usize = 20_000;

const HEADS: [&str; 8] = [
    "table",
    "source rows",
    "target rows",
    "bytes",
    "time",
    "format",
    "verdict",
    "hash of all rows",
];

/// Adds them, if there are any.
pub(super) fn write(html: &mut Html, report: &Report) {
    if report.tables.is_empty() {
        return;
    }
    let tables = Tables::of(report);
    let title = words::count(report.tables.len() as u64, "table", "tables");
    section(html, "tables", &title, |html| {
        let room = if tables.calm.len() > AT_ONCE {
            LARGEST
        } else {
            AT_ONCE
        };
        let (first, others) = tables.calm.split_at(tables.calm.len().min(room));
        let at_once: Vec<&TableVerdict> = tables.urgent.iter().chain(first).copied().collect();
        set(html, &tables, &at_once);
        if !others.is_empty() {
            let (listed, counted) = others.split_at(others.len().min(MOST_TABLES));
            let summary = format!(
                "{}: {}",
                words::count(others.len() as u64, "more table", "more tables"),
                verdicts(others)
            );
            html.element("details", &[], |html| {
                html.leaf("summary", &[], &summary);
                set(html, &tables, listed);
            });
            only_counted(html, counted);
        }
        as_text(html, report);
    });
}

fn set(html: &mut Html, all: &Tables<'_>, tables: &[&TableVerdict]) {
    html.element("table", &[("class", "tables")], |html| {
        head_row(html, &HEADS);
        html.element("tbody", &[], |html| {
            for table in tables {
                row(html, all, table);
            }
        });
    });
}

fn row(html: &mut Html, all: &Tables<'_>, table: &TableVerdict) {
    let (class, sign) = match (table.verdict, all.word(table)) {
        (_, "in flux") => ("careful", "!"),
        (Verdict::Identical, _) => ("", "✓"),
        (Verdict::SameCount, _) => ("", "≈"),
        (Verdict::Excluded, _) => ("faint", "–"),
        (Verdict::NotVerified, _) => ("careful", "?"),
        (Verdict::Different, _) => ("bad", "✗"),
    };
    let plain = [("class", class)];
    let attributes = if class.is_empty() { &[][..] } else { &plain };
    html.element("tr", attributes, |html| {
        let count =
            |rows: Option<Rows>| rows.map_or_else(|| "?".to_owned(), |rows| rows.to_string());
        let target = table.target.map(|digest| digest.rows);
        let source = table.source_count.or(table.read.map(|digest| digest.rows));
        let source = match table.verdict {
            Verdict::Excluded => "–".to_owned(),
            _ => count(source),
        };
        let took = match table.copy_ms {
            0 => String::new(),
            ms => words::duration(ms),
        };
        html.leaf("td", &[], &words::one_line(&table.table.shown()));
        html.leaf("td", &[], &source);
        html.leaf("td", &[], &count(target));
        html.leaf("td", &[], &table.bytes.to_string());
        html.leaf("td", &[], &took);
        html.leaf("td", &[], table.format.keyword());
        html.leaf("td", &[], &format!("{sign} {}", all.word(table)));
        html.leaf("td", &[], &hash(table));
    });
}

/// Of a table whose content was compared: of both sides at once if they have the same.
fn hash(table: &TableVerdict) -> String {
    match (table.read, table.target) {
        (Some(read), Some(target)) if read.sum == target.sum => format!("{:032x}", read.sum),
        (Some(read), Some(target)) if table.verdict == Verdict::Different => {
            format!("{:032x} source\n{:032x} target", read.sum, target.sum)
        }
        (Some(read), _) if table.verdict != Verdict::Excluded => {
            format!("{:032x} source", read.sum)
        }
        _ => String::new(),
    }
}

fn only_counted(html: &mut Html, tables: &[&TableVerdict]) {
    if tables.is_empty() {
        return;
    }
    let rows: Rows = tables.iter().filter_map(|table| table.source_count).sum();
    let text = format!(
        "… and {} with {} ({}), each of them in report.json",
        words::count(tables.len() as u64, "smaller table", "smaller tables"),
        words::count(rows.0, "row", "rows"),
        verdicts(tables)
    );
    html.leaf("p", &[("class", "more")], &text);
}

/// Why some tables travelled as text.
fn as_text(html: &mut Html, report: &Report) {
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for table in &report.tables {
        if let CopyFormat::Text { because } = &table.format {
            let name = words::one_line(&table.table.shown());
            reasons.entry(because).or_default().push(name);
        }
    }
    if reasons.is_empty() {
        return;
    }
    html.leaf("h3", &[], "Copied as text");
    html.element("ul", &[], |html| {
        for (because, tables) in &reasons {
            html.leaf("li", &[], &format!("{}: {because}", tables.join(", ")));
        }
    });
}
