//! Where source and target differ: what is missing, extra or otherwise, and for tables in which rows.

use std::cmp::Reverse;

use super::super::differences::{ordered, word};
use super::super::rows::{counts, identity, told_apart};
use super::write::Html;
use super::{MOST, and_more, head_row, section};
use crate::model::{ColumnDifference, Difference, RowKind, Rows, RowsDiffer, ShownValue};
use crate::progress::words;
use crate::report::Report;

/// Most rows that are shown, over all tables.
const MOST_ROWS: usize = 2000;

/// Adds both, if there are any.
pub(super) fn write(html: &mut Html, report: &Report) {
    let count = report.differences.len();
    if count > 0 {
        let title = words::count(count as u64, "difference", "differences");
        section(html, "differences", &title, |html| {
            list(html, &ordered(report.differences.iter()));
        });
    }
    let mut rows: Vec<&RowsDiffer> = report.rows.iter().collect();
    rows.retain(|rows| rows.total() > Rows(0));
    rows.sort_by_key(|rows| (Reverse(rows.total()), &rows.table));
    if !rows.is_empty() {
        section(html, "rows", "Rows that differ", |html| {
            let mut room = MOST_ROWS;
            for differ in rows.iter().take(MOST) {
                table(html, differ, &mut room);
            }
            and_more(html, rows.len(), MOST, "tables");
        });
    }
}

/// Differences, the worst first.
pub(super) fn list(html: &mut Html, differences: &[&Difference]) {
    for difference in differences.iter().take(MOST) {
        html.element("div", &[("class", "card bad")], |html| {
            html.element("h3", &[], |html| {
                html.text(&format!(
                    "✗ {} {} ",
                    word(difference.kind),
                    difference.class
                ));
                html.leaf("code", &[], &difference.object);
            });
            html.element("pre", &[], |html| {
                html.leaf("code", &[], difference.detail.trim_end());
            });
        });
    }
    and_more(html, differences.len(), MOST, "differences");
}

fn table(html: &mut Html, differ: &RowsDiffer, room: &mut usize) {
    html.element("h3", &[], |html| {
        html.leaf("code", &[], &differ.table.shown());
        html.text(&format!(": {}", counts(differ)));
    });
    let shown = differ.examples.len().min(*room);
    *room -= shown;
    if shown > 0 {
        html.element("table", &[("class", "plain rows")], |html| {
            head_row(html, &["how", "row", "column", "source", "target"]);
            html.element("tbody", &[], |html| {
                for example in &differ.examples[..shown] {
                    let kind = match example.kind {
                        RowKind::Missing => "missing",
                        RowKind::Extra => "extra",
                        RowKind::Changed => "changed",
                    };
                    let copies = match example.copies {
                        0 | 1 => String::new(),
                        copies => format!(" × {}", Rows(copies)),
                    };
                    let first = [format!("{kind}{copies}"), identity(&differ.key, example)];
                    let others = example
                        .columns
                        .iter()
                        .filter(|column| !differ.key.contains(&column.column));
                    row(html, &first, &others.collect::<Vec<_>>());
                }
            });
        });
    }
    let total = usize::try_from(differ.total().0).unwrap_or(usize::MAX);
    let kept = differ.examples.len();
    if total > shown {
        let text = format!(
            "… and {} more: report.json has {} in all, the others are only counted",
            Rows((total - shown) as u64),
            words::count(kept as u64, "row", "rows")
        );
        html.leaf("p", &[("class", "more")], &text);
    }
}

/// A row of the source or the target; one line for each of its columns.
fn row(html: &mut Html, first: &[String; 2], columns: &[&ColumnDifference]) {
    let [kind, identity] = first;
    html.element("tr", &[], |html| {
        html.leaf("td", &[], kind);
        html.element("td", &[], |html| html.leaf("code", &[], identity));
        three_cells(html, columns.first().copied());
    });
    for column in columns.iter().skip(1) {
        html.element("tr", &[], |html| {
            html.leaf("td", &[], "");
            html.leaf("td", &[], "");
            three_cells(html, Some(column));
        });
    }
}

fn three_cells(html: &mut Html, column: Option<&ColumnDifference>) {
    html.element("td", &[], |html| {
        if let Some(column) = column {
            html.leaf("code", &[], &column.column);
        }
    });
    let Some(column) = column else {
        html.element("td", &[], |_| {});
        html.element("td", &[], |_| {});
        return;
    };
    for side in [&column.source, &column.target] {
        html.element("td", &[], |html| value(html, column, side.as_ref()));
    }
}

fn value(html: &mut Html, column: &ColumnDifference, value: Option<&ShownValue>) {
    match value {
        None => {}
        Some(ShownValue { text: None, .. }) => html.leaf("em", &[], "NULL"),
        Some(ShownValue {
            text: Some(text),
            cut_from,
        }) => {
            html.leaf("code", &[], &told_apart(column, text));
            if let Some(length) = cut_from {
                html.text(&format!(" … ({} characters)", Rows(*length)));
            }
        }
    }
}
