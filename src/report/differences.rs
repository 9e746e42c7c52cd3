//! What a comparison found, in the order of how much it matters: rows, other differences, what could not be verified, what
//! was in flux or passed over, and what to look after before one switches over.
//!
//! Each kind has at most a hundred entries here: a comparison with a wrong database has thousands, and the terminal is not
//! the place for them. What is not shown is counted, and `report.json` has it.

use std::collections::BTreeMap;

use crate::model::{Difference, DifferenceKind, Finding, Rows, Severity, some_of};
use crate::progress::{Style, words};

use super::Report;
use super::evidence::{TABLE_DATA, columns_by_form};
use super::rows;
use super::terminal::{Paint, View, head, width};

/// Most entries of one kind.
const MOST: usize = 100;

/// Most lines of one difference's detail.
const MOST_LINES: usize = 30;

/// Most columns that are named of those that were compared in one form.
const MOST_COLUMNS: usize = 8;

/// Classes of what nothing else rests on; they come last.
const MINOR: [&str; 2] = ["comment", "security label"];

/// Adds all of it.
pub(super) fn add(lines: &mut Vec<String>, report: &Report, view: View) {
    rows::add(lines, report, view);
    let mut section = |add: fn(&mut Vec<String>, &Report, View)| {
        let before = lines.len();
        add(lines, report, view);
        if lines.len() > before {
            lines.push(String::new());
        }
    };
    section(differences);
    section(unverified);
    section(in_flux);
    section(moved_on);
    section(waivers);
    section(forms);
    section(findings);
    section(notes);
}

/// Those that are not told row by row, worst first.
fn differences(lines: &mut Vec<String>, report: &Report, view: View) {
    let told = |difference: &Difference| {
        let mut tables = report.rows.iter();
        difference.class == TABLE_DATA
            && tables.any(|rows| rows.total() > Rows(0) && rows.table.shown() == difference.object)
    };
    let differences = report.differences.iter();
    let differences = ordered(differences.filter(|difference| !told(difference)));
    for difference in differences.iter().take(MOST) {
        let word = (word(difference.kind), Style::bad as Paint);
        let what = format!(
            "{} {}",
            difference.class,
            words::one_line(&difference.object)
        );
        head(lines, word, &what, view);
        detail(lines, &difference.detail, view);
    }
    let rest = differences.iter().skip(MOST);
    let rest = rest.map(|difference| format!("{} {}", word(difference.kind), difference.class));
    count_rest(lines, rest, "more difference", "more differences");
}

/// Rows first, then what nothing else rests on last; the worst of each first.
pub(super) fn ordered<'a>(
    differences: impl Iterator<Item = &'a Difference>,
) -> Vec<&'a Difference> {
    let mut differences: Vec<&Difference> = differences.collect();
    differences.sort_by_key(|difference| {
        let not_data = difference.class != TABLE_DATA;
        let minor = MINOR.contains(&&*difference.class);
        (
            not_data,
            minor,
            badness(difference.kind),
            &difference.class,
            &difference.object,
        )
    });
    differences
}

fn badness(kind: DifferenceKind) -> u8 {
    match kind {
        DifferenceKind::Missing => 0,
        DifferenceKind::Invalid => 1,
        DifferenceKind::Different => 2,
        DifferenceKind::Extra => 3,
    }
}

/// Of what the target is, seen from the source.
pub(super) fn word(kind: DifferenceKind) -> &'static str {
    match kind {
        DifferenceKind::Missing => "missing:",
        DifferenceKind::Invalid => "not in force:",
        DifferenceKind::Different => "differs:",
        DifferenceKind::Extra => "extra:",
    }
}

fn unverified(lines: &mut Vec<String>, report: &Report, view: View) {
    let word = ("not verified:", Style::warning as Paint);
    for one in report.unverified.iter().take(MOST) {
        let what = format!("{} {}", one.class, words::one_line(&one.object));
        head(lines, word, &what, view);
        detail(lines, &one.because, view);
    }
    let rest = report.unverified.iter().skip(MOST);
    let rest = rest.map(|one| one.class.clone());
    count_rest(lines, rest, "more not verified", "more not verified");
}

fn in_flux(lines: &mut Vec<String>, report: &Report, view: View) {
    let word = ("in flux:", Style::warning as Paint);
    for one in report.in_flux.iter().take(MOST) {
        let what = format!("{} {}", one.class, words::one_line(&one.object));
        head(
            lines,
            word,
            &format!("{what}: differed at first, then no longer"),
            view,
        );
    }
    let rest = report.in_flux.iter().skip(MOST);
    let rest = rest.map(|one| one.class.clone());
    count_rest(lines, rest, "more in flux", "more in flux");
    let told = report.rows.iter().filter(|rows| rows.total() == Rows(0));
    for rows in told.filter(|rows| rows.in_flux > Rows(0)).take(MOST) {
        let table = words::one_line(&rows.table.shown());
        let text = format!("{} of {table}", rows::of(rows.in_flux));
        head(lines, word, &text, view);
    }
}

fn moved_on(lines: &mut Vec<String>, report: &Report, view: View) {
    let Some(moved) = &report.source_moved_on else {
        return;
    };
    if moved.tables.is_empty() {
        let text = "transactions have begun on the source's server since its snapshot; no table's statistics show writes, so \
                    they may be in another database";
        head(lines, ("source:", Style::warning), text, view);
        return;
    }
    let text = "written to since its snapshot:";
    head(lines, ("source:", Style::warning), text, view);
    for (table, rows) in moved.tables.iter().take(MOST) {
        let rows = words::count(*rows, "row", "rows");
        lines.push(format!("    {}  {rows}", words::one_line(table)));
    }
    if moved.tables.len() > MOST {
        let more = words::count(
            (moved.tables.len() - MOST) as u64,
            "more table",
            "more tables",
        );
        lines.push(format!("    … and {more}: report.json has them"));
    }
}

fn waivers(lines: &mut Vec<String>, report: &Report, view: View) {
    let word = ("passed over:", Style::warning as Paint);
    for waiver in report.waivers.iter().take(MOST) {
        let lost = waiver.lost();
        let word = lost.map_or(word, |_| ("lost:", Style::warning as Paint));
        let mut what = lost.map_or_else(
            || format!("--ignore {}", words::one_line(&waiver.rule)),
            words::one_line,
        );
        if !waiver.not_compared.is_empty() {
            let clauses: Vec<String> = waiver
                .not_compared
                .iter()
                .map(|clause| words::one_line(clause))
                .collect();
            let which = if lost.is_some() { "" } else { "not compared: " };
            what = format!("{what}: {which}{}", some_of(&clauses, MOST_COLUMNS));
        }
        head(lines, word, &what, view);
        for difference in waiver.differences.iter().take(MOST_COLUMNS) {
            let text = format!(
                "{} {} {}",
                self::word(difference.kind),
                difference.class,
                words::one_line(&difference.object)
            );
            lines.extend(words::hang(&text, "    ", width(view)));
        }
        let rest = waiver.differences.iter().skip(MOST_COLUMNS);
        let rest = rest.map(|difference| difference.class.clone());
        count_rest(lines, rest, "more difference", "more differences");
    }
    let rest = report.waivers.iter().skip(MOST);
    let rest = rest.map(|_| "--ignore".to_owned());
    count_rest(lines, rest, "more rule", "more rules");
}

/// The columns that were not compared as the bytes that the servers send, by form and reason.
fn forms(lines: &mut Vec<String>, report: &Report, view: View) {
    for ((form, because), columns) in &columns_by_form(report) {
        let names: Vec<String> = columns
            .iter()
            .map(|column| words::one_line(column))
            .collect();
        let text = format!(
            "{form}, because {}: {}",
            words::one_line(because),
            some_of(&names, MOST_COLUMNS)
        );
        head(lines, ("compared", Style::faint), &text, view);
    }
}

/// What was not compared but may make the target slow or wrong, with what to do about it.
fn findings(lines: &mut Vec<String>, report: &Report, view: View) {
    let mut findings: Vec<&Finding> = report.findings.iter().collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    for finding in findings.iter().take(MOST) {
        let word = match finding.severity {
            Severity::Note => ("note:", Style::faint as Paint),
            Severity::Warning => ("warning:", Style::warning as Paint),
            Severity::Blocker => ("no-go:", Style::bad as Paint),
        };
        let what = format!("{} [{}]", words::harmless(&finding.what), finding.rule);
        let mut paragraphs = what.split('\n');
        head(lines, word, paragraphs.next().unwrap_or_default(), view);
        for line in paragraphs {
            lines.extend(words::hang(line, "    ", width(view)));
        }
        for fact in &finding.evidence {
            detail(lines, fact, view);
        }
        if !finding.remedy.is_empty() {
            lines.extend(words::remedy(&finding.remedy, "    ", width(view)));
        }
    }
    let rest = findings.iter().skip(MOST);
    let rest = rest.map(|finding| finding.rule.clone());
    count_rest(lines, rest, "more warning", "more warnings");
}

fn notes(lines: &mut Vec<String>, report: &Report, view: View) {
    // Whoever watched the run has just read them.
    if !view.whole_failures {
        return;
    }
    let notes = &report.notes;
    for note in notes.iter().take(MOST) {
        let text = words::harmless(note);
        let mut paragraphs = text.trim_end().split('\n');
        head(
            lines,
            ("note:", Style::faint),
            paragraphs.next().unwrap_or_default(),
            view,
        );
        for line in paragraphs {
            lines.extend(words::hang(line, "    ", width(view)));
        }
    }
    let rest = notes.iter().skip(MOST).map(|_| "note".to_owned());
    count_rest(lines, rest, "more note", "more notes");
}

/// A text of several lines, each below its heading; a long one to a point.
fn detail(lines: &mut Vec<String>, text: &str, view: View) {
    let text = words::harmless(text);
    let all: Vec<&str> = text.trim_end().split('\n').collect();
    for line in all.iter().take(MOST_LINES) {
        lines.extend(words::hang(line, "    ", width(view)));
    }
    if all.len() > MOST_LINES {
        let more = words::count((all.len() - MOST_LINES) as u64, "more line", "more lines");
        lines.push(format!("    … and {more}: report.json has them"));
    }
}

/// `… and 312 more differences: 200 missing: comment, 112 differs: acl; report.json has them all`.
fn count_rest(lines: &mut Vec<String>, rest: impl Iterator<Item = String>, one: &str, many: &str) {
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for kind in rest {
        *kinds.entry(kind).or_default() += 1;
    }
    let total: u64 = kinds.values().sum();
    if total == 0 {
        return;
    }
    let mut kinds: Vec<(String, u64)> = kinds.into_iter().collect();
    kinds.sort_by_key(|(kind, count)| (std::cmp::Reverse(*count), kind.clone()));
    lines.push(format!(
        "… and {}; report.json has them all:",
        words::count(total, one, many)
    ));
    for (kind, count) in kinds {
        lines.push(format!("    {} × {kind}", Rows(count)));
    }
}
