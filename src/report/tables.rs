//! The table of verdicts, worst first: of a move with what was copied, of a comparison with the rows of both sides.

use std::fmt::Write as _;

use crate::model::{Rows, TableVerdict, Verdict};
use crate::progress::{Style, words};

use super::Report;
use super::evidence::tables_in_flux;
use super::terminal::View;

/// As long as there are no more tables than this, each has its line.
const MOST_TABLES: usize = 40;

/// Of more tables, as many of the largest are shown besides those that need a look.
const LARGEST: usize = 20;

/// Most tables that are shown because they need a look; a comparison with a wrong database has them all.
const MOST_URGENT: usize = 100;

/// Said of a table that differed at first, and no longer when it was looked at again.
const IN_FLUX: &str = "IN FLUX";

/// The cells of one line.
struct Line<'a> {
    name: String,
    cells: Vec<String>,
    verdict: String,
    table: &'a TableVerdict,
}

/// Adds the table, if there are any tables.
pub(super) fn add(lines: &mut Vec<String>, report: &Report, view: View) {
    if report.tables.is_empty() {
        return;
    }
    let flux = tables_in_flux(report);
    let in_flux = |table: &TableVerdict| !flux.is_empty() && flux.contains(&table.table.shown());
    let needs_a_look = |table: &TableVerdict| {
        matches!(table.verdict, Verdict::Different | Verdict::NotVerified) || in_flux(table)
    };
    let mut all: Vec<&TableVerdict> = report.tables.iter().collect();
    all.sort_by_key(|table| {
        let needs_no_look = !needs_a_look(table);
        let worst_first = std::cmp::Reverse(table.verdict);
        let badness = (needs_no_look, (!needs_no_look).then_some(worst_first));
        let size = (table.bytes, table.source_count);
        (badness, std::cmp::Reverse(size), &table.table)
    });
    let urgent = all.iter().filter(|table| needs_a_look(table)).count();
    let (urgent, calm) = all.split_at(urgent);
    let room = if all.len() > MOST_TABLES {
        LARGEST
    } else {
        MOST_TABLES
    };
    let (urgent, urgent_rest) = urgent.split_at(urgent.len().min(MOST_URGENT));
    let (calm, calm_rest) = calm.split_at(calm.len().min(room));
    let shown = urgent.iter().chain(calm);
    let rows = shown.map(|table| {
        let mut line = line(report, table);
        if in_flux(table) && table.verdict != Verdict::Different {
            IN_FLUX.clone_into(&mut line.verdict);
        }
        line
    });
    let rows: Vec<Line<'_>> = rows.collect();
    set(lines, &rows, heads(report), view);
    lines.extend([urgent_rest, calm_rest].into_iter().filter_map(rest));
    lines.push(String::new());
}

fn compares(report: &Report) -> bool {
    report.compares()
}

fn heads(report: &Report) -> &'static [&'static str] {
    if compares(report) {
        &["source rows", "target rows"]
    } else {
        &["rows", "bytes", "copy time"]
    }
}

fn set(lines: &mut Vec<String>, rows: &[Line<'_>], heads: &[&str], view: View) {
    let widths: Vec<usize> = heads
        .iter()
        .enumerate()
        .map(|(column, head)| {
            let cells = rows.iter().map(|row| row.cells[column].len());
            cells.max().unwrap_or(0).max(head.len())
        })
        .collect();
    let last = rows.iter().map(|row| row.verdict.len()).max().unwrap_or(0);
    // Two spaces between columns.
    let others = widths.iter().map(|width| width + 2).sum::<usize>() + 2 + last;
    let room = usize::from(view.columns).saturating_sub(others).max(10);
    let longest = rows
        .iter()
        .map(|row| console::measure_text_width(&row.name))
        .max();
    let name_width = longest.unwrap_or(0).clamp("table".len(), room);
    let layout = |name: &str, cells: &[&str], last: &str| {
        let mut text = String::new();
        // A name too long for its column has a line of its own: it is never cut.
        if console::measure_text_width(name) > name_width {
            text.push_str(name);
            text.push('\n');
            text.push_str(&" ".repeat(name_width));
        } else {
            text.push_str(&console::pad_str(
                name,
                name_width,
                console::Alignment::Left,
                None,
            ));
        }
        for (cell, width) in cells.iter().zip(&widths) {
            let _ = write!(text, "  {cell:>width$}");
        }
        format!("{text}  {last}")
    };
    let head = layout("table", heads, "verdict");
    lines.push(view.style.strong(&head));
    for row in rows {
        let cells: Vec<&str> = row.cells.iter().map(String::as_str).collect();
        let verdict = paint(row.table.verdict, &row.verdict, view.style);
        let text = layout(&row.name, &cells, &verdict);
        lines.extend(text.split('\n').map(str::to_owned));
    }
}

fn line<'a>(report: &Report, table: &'a TableVerdict) -> Line<'a> {
    let name = words::one_line(&table.table.shown());
    let or_unknown =
        |rows: Option<Rows>| rows.map_or_else(|| "?".to_owned(), |rows| rows.to_string());
    let target = table.target.map(|digest| digest.rows);
    if compares(report) {
        let source = table.source_count.or(table.read.map(|digest| digest.rows));
        return Line {
            name,
            cells: vec![or_unknown(source), or_unknown(target)],
            verdict: compared(report, table),
            table,
        };
    }
    let rows = target.or(table.read.map(|digest| digest.rows));
    let copied = |cell: String| match table.read {
        Some(_) => cell,
        None => "-".to_owned(),
    };
    Line {
        name,
        cells: vec![
            or_unknown(rows.or(table.source_count)),
            copied(table.bytes.to_string()),
            copied(words::duration(table.copy_ms)),
        ],
        verdict: moved(table),
        table,
    }
}

fn in_words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Identical => "identical",
        Verdict::SameCount => "same count",
        Verdict::Excluded => "left out",
        Verdict::NotVerified => "NOT VERIFIED",
        Verdict::Different => "DIFFERENT",
    }
}

/// In words, and for a different table in how many rows, if that is known.
fn compared(report: &Report, table: &TableVerdict) -> String {
    let word = in_words(table.verdict);
    let mut differing = report.rows.iter();
    match differing.find(|rows| rows.table == table.table) {
        Some(differ) if table.verdict == Verdict::Different && differ.total() > Rows(0) => {
            let least = if differ.exact { "" } else { "at least " };
            let count = words::count(differ.total().0, "row", "rows");
            format!("{word}, {least}{count}")
        }
        _ => word.to_owned(),
    }
}

/// In words, and for a different table how many rows there are too many or too few.
fn moved(table: &TableVerdict) -> String {
    let word = in_words(table.verdict);
    let source = table.source_count.or(table.read.map(|digest| digest.rows));
    let target = table.target.map(|digest| digest.rows);
    match (table.verdict, source, target) {
        (Verdict::Different, Some(source), Some(target)) if source != target => {
            let sign = if source > target { '-' } else { '+' };
            let rows = words::count(source.0.abs_diff(target.0), "row", "rows");
            format!("{word}, {sign}{rows}")
        }
        _ => word.to_owned(),
    }
}

fn paint(verdict: Verdict, text: &str, style: Style) -> String {
    match verdict {
        _ if text == IN_FLUX => style.warning(text),
        Verdict::Identical => style.good(text),
        Verdict::SameCount => text.to_owned(),
        Verdict::Excluded => style.faint(text),
        Verdict::NotVerified => style.warning(text),
        Verdict::Different => style.bad(text),
    }
}

/// `… and 2,957 more tables, all identical`; nothing if there are no more.
fn rest(tables: &[&TableVerdict]) -> Option<String> {
    let kinds = [
        (Verdict::Different, "DIFFERENT"),
        (Verdict::NotVerified, "NOT VERIFIED"),
        (Verdict::Identical, "identical"),
        (Verdict::SameCount, "with the same count"),
        (Verdict::Excluded, "left out"),
    ];
    let counts: Vec<(usize, &str)> = kinds
        .into_iter()
        .map(|(verdict, word)| {
            let of_kind = tables.iter().filter(|table| table.verdict == verdict);
            (of_kind.count(), word)
        })
        .filter(|(count, _)| *count > 0)
        .collect();
    let total = words::count(tables.len() as u64, "more table", "more tables");
    match counts.as_slice() {
        [] => None,
        [(_, word)] => Some(format!("… and {total}, all {word}")),
        several => {
            let parts: Vec<String> = several
                .iter()
                .map(|(count, word)| format!("{} {word}", Rows(*count as u64)))
                .collect();
            Some(format!("… and {total}: {}", parts.join(", ")))
        }
    }
}
