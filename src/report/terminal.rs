//! The report for whoever stands before it at the end: a table of tables, worst first; what failed, what was skipped,
//! what differs; then one sentence that says what is proven and what is not, and what to do next.

use std::fmt::Write as _;

use crate::model::{ExitStatus, Rows, TableVerdict, Verdict};
use crate::progress::{Style, failure_lines, words};

use super::Report;

/// As long as there are no more tables than this, each has its line.
const MOST_TABLES: usize = 40;

/// Of more tables, as many of the largest are shown besides those that need a look.
const LARGEST: usize = 20;

/// Names of skipped jobs that are given for one failure; the report has them all.
const MOST_SKIPPED: usize = 10;

/// How to render it.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// Width of the terminal.
    pub columns: u16,
    /// Colour or none.
    pub style: Style,
    /// Show failures whole, as for a recorded run; a live one has shown them when they happened, and gets a line for each.
    pub whole_failures: bool,
}

/// The lines of the report.
pub fn render(report: &Report, view: View) -> Vec<String> {
    let mut lines = Vec::new();
    tables(&mut lines, report, view);
    failures(&mut lines, report, view);
    findings_of_verification(&mut lines, report, view);
    closing(&mut lines, report, view);
    lines
}

/// The cells of one line.
struct Line<'a> {
    name: String,
    cells: [String; 3],
    table: &'a TableVerdict,
}

fn tables(lines: &mut Vec<String>, report: &Report, view: View) {
    let mut all: Vec<&TableVerdict> = report.tables.iter().collect();
    all.sort_by_key(|table| {
        let needs_no_look = !needs_a_look(table);
        let worst_first = std::cmp::Reverse(table.verdict);
        let badness = (needs_no_look, (!needs_no_look).then_some(worst_first));
        (badness, std::cmp::Reverse(table.bytes), &table.table)
    });
    let shown = if all.len() > MOST_TABLES {
        let urgent = all.iter().filter(|table| needs_a_look(table)).count();
        urgent + LARGEST.min(all.len() - urgent)
    } else {
        all.len()
    };
    if all.is_empty() {
        return;
    }
    let rows: Vec<Line<'_>> = all[..shown].iter().map(|table| line(table)).collect();
    let heads = ["rows", "bytes", "copy time"];
    let widths: [usize; 3] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| row.cells[column].len());
        cells.max().unwrap_or(0).max(heads[column].len())
    });
    let verdicts: Vec<String> = rows.iter().map(|row| verdict(row.table)).collect();
    let last = verdicts.iter().map(String::len).max().unwrap_or(0);
    // Two spaces between columns.
    let others = widths.iter().map(|width| width + 2).sum::<usize>() + 2 + last;
    let room = usize::from(view.columns).saturating_sub(others).max(10);
    let longest = rows
        .iter()
        .map(|row| console::measure_text_width(&row.name))
        .max();
    let name_width = longest.unwrap_or(0).clamp("table".len(), room);
    let layout = |name: &str, cells: [&str; 3], last: &str| {
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
        for (cell, width) in cells.iter().zip(widths) {
            let _ = write!(text, "  {cell:>width$}");
        }
        format!("{text}  {last}")
    };
    let head = layout("table", heads, "verdict");
    lines.push(view.style.strong(&head));
    for (row, verdict) in rows.iter().zip(&verdicts) {
        let cells = std::array::from_fn(|column| row.cells[column].as_str());
        let text = layout(
            &row.name,
            cells,
            &paint(row.table.verdict, verdict, view.style),
        );
        lines.extend(text.split('\n').map(str::to_owned));
    }
    if shown < all.len() {
        lines.push(rest(&all[shown..]));
    }
    lines.push(String::new());
}

fn line(table: &TableVerdict) -> Line<'_> {
    let rows = table.target.or(table.read).map(|digest| digest.rows);
    let copied = table.read.is_some();
    Line {
        name: words::one_line(&table.table.shown()),
        cells: [
            rows.or(table.source_count)
                .map_or_else(|| "?".to_owned(), |rows| rows.to_string()),
            if copied {
                table.bytes.to_string()
            } else {
                "-".to_owned()
            },
            if copied {
                words::duration(table.copy_ms)
            } else {
                "-".to_owned()
            },
        ],
        table,
    }
}

/// Different, or not verified.
fn needs_a_look(table: &TableVerdict) -> bool {
    matches!(table.verdict, Verdict::Different | Verdict::NotVerified)
}

/// In words, and for a different table how many rows there are too many or too few.
fn verdict(table: &TableVerdict) -> String {
    match table.verdict {
        Verdict::Identical => "identical".to_owned(),
        Verdict::SameCount => "same count".to_owned(),
        Verdict::Excluded => "left out".to_owned(),
        Verdict::NotVerified => "NOT VERIFIED".to_owned(),
        Verdict::Different => {
            let source = table.source_count.or(table.read.map(|digest| digest.rows));
            let target = table.target.map(|digest| digest.rows);
            match (source, target) {
                (Some(source), Some(target)) if source != target => {
                    let sign = if source > target { '-' } else { '+' };
                    let rows = words::count(source.0.abs_diff(target.0), "row", "rows");
                    format!("DIFFERENT, {sign}{rows}")
                }
                _ => "DIFFERENT".to_owned(),
            }
        }
    }
}

fn paint(verdict: Verdict, text: &str, style: Style) -> String {
    match verdict {
        Verdict::Identical => style.good(text),
        Verdict::SameCount => text.to_owned(),
        Verdict::Excluded => style.faint(text),
        Verdict::NotVerified => style.warning(text),
        Verdict::Different => style.bad(text),
    }
}

/// `… and 2,957 more tables, all identical`.
fn rest(tables: &[&TableVerdict]) -> String {
    let kinds = [
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
        [(_, word)] => format!("… and {total}, all {word}"),
        several => {
            let parts: Vec<String> = several
                .iter()
                .map(|(count, word)| format!("{} {word}", Rows(*count as u64)))
                .collect();
            format!("… and {total}: {}", parts.join(", "))
        }
    }
}

fn failures(lines: &mut Vec<String>, report: &Report, view: View) {
    let skipped = report.skipped();
    for (job, failure) in report.failures() {
        if view.whole_failures {
            lines.extend(failure_lines(
                &job.plan.label,
                failure,
                &report.run_dir,
                view.style,
            ));
        } else {
            let error = failure.server_error.as_ref();
            let error = error.map(|error| format!(": {}: {}", error.code, error.message));
            lines.push(format!(
                "{} {}: {}{}",
                view.style.bad("failed:"),
                words::one_line(&job.plan.label),
                words::one_line(&failure.message),
                words::one_line(&error.unwrap_or_default())
            ));
            if let Some(file) = &failure.file {
                let file = words::in_dir(&report.run_dir, file);
                lines.push(format!("  kept whole in {file}"));
            }
        }
        let left_out = skipped
            .get(&job.plan.id)
            .map(Vec::as_slice)
            .unwrap_or_default();
        if !left_out.is_empty() {
            let count = words::count(left_out.len() as u64, "job", "jobs");
            lines.push(format!("  left out because of it: {count}"));
            for skipped in left_out.iter().take(MOST_SKIPPED) {
                lines.push(format!("    {}", words::one_line(&skipped.plan.label)));
            }
            if left_out.len() > MOST_SKIPPED {
                let more = left_out.len() - MOST_SKIPPED;
                lines.push(format!("    … and {more} more, named in report.json"));
            }
        }
        lines.push(String::new());
    }
}

fn findings_of_verification(lines: &mut Vec<String>, report: &Report, view: View) {
    let before = lines.len();
    for difference in &report.differences {
        lines.push(format!(
            "{} {} {}:",
            view.style.bad("differs:"),
            difference.class,
            words::one_line(&difference.object)
        ));
        push_indented(lines, &difference.detail);
    }
    for unverified in &report.unverified {
        lines.push(format!(
            "{} {} {}:",
            view.style.warning("not verified:"),
            unverified.class,
            words::one_line(&unverified.object)
        ));
        push_indented(lines, &unverified.because);
    }
    if let Some(moved) = &report.source_moved_on {
        if moved.tables.is_empty() {
            let text = "transactions have begun on the source's server since the snapshot; what they wrote is not in the copy";
            lines.push(view.style.warning(text));
            lines.push(
                "    (no table's statistics show writes; they may be in another database)"
                    .to_owned(),
            );
        } else {
            let text = "written to on the source since the snapshot, and not in the copy:";
            lines.push(view.style.warning(text));
        }
        for (table, rows) in &moved.tables {
            let rows = words::count(*rows, "row", "rows");
            lines.push(format!("    {}  {rows}", words::one_line(table)));
        }
    }
    if lines.len() > before {
        lines.push(String::new());
    }
}

fn push_indented(lines: &mut Vec<String>, text: &str) {
    let text = words::harmless(text);
    lines.extend(
        text.trim_end()
            .split('\n')
            .map(|line| format!("    {line}")),
    );
}

fn closing(lines: &mut Vec<String>, report: &Report, view: View) {
    let width = usize::from(view.columns).clamp(40, 120);
    let sentence = if report.status.is_some() {
        report.sentence.clone()
    } else {
        "The run has not said how it ended: it was killed, or it still goes on. Nothing is proven."
            .to_owned()
    };
    let colored = |line: &String| match report.status {
        Some(ExitStatus::Proven) => view.style.good(line),
        Some(ExitStatus::Waived) => view.style.warning(line),
        _ => view.style.bad(line),
    };
    lines.extend(
        words::wrap(&words::one_line(&sentence), width)
            .iter()
            .map(colored),
    );
    if let Some(next) = &report.next {
        let next = format!("Next: {}", words::one_line(next));
        lines.extend(words::wrap(&next, width));
    }
    let run_dir = match report.run_dir.as_str() {
        "" => String::new(),
        dir => format!(" · {}", words::one_line(dir)),
    };
    lines.push(view.style.faint(&format!(
        "{} in all{run_dir}",
        words::duration(report.elapsed_ms())
    )));
}
