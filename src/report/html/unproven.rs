//! What is lost, what was not verified and why, what was passed over on request, and what may hurt although it is no difference.

use std::cmp::Reverse;

use super::super::outline::not_verified;
use super::super::salvaged::{lost, passed_over};
use super::write::Html;
use super::{MOST, and_more, differences, head_row, section, text_row};
use crate::model::{Difference, Finding, Rows, Severity, Waiver};
use crate::progress::words;
use crate::report::Report;

/// Adds all of it.
pub(super) fn write(html: &mut Html, report: &Report) {
    let lost = lost(report);
    if !lost.is_empty() {
        section(html, "lost", "Lost", |html| losses(html, &lost));
    }
    section(html, "not-verified", "Not verified", |html| {
        let gaps = not_verified(report);
        html.element("table", &[("class", "plain")], |html| {
            head_row(html, &["what", "why"]);
            html.element("tbody", &[], |html| {
                for (what, why) in gaps.iter().take(MOST) {
                    text_row(html, &[what, why]);
                }
            });
        });
        and_more(html, gaps.len(), MOST, "not verified");
    });
    let passed_over = passed_over(report);
    if !passed_over.is_empty() {
        section(html, "waivers", "Passed over on request", |html| {
            waivers(html, &passed_over);
        });
    }
    moved_on(html, report);
    if !report.findings.is_empty() {
        section(html, "findings", "Warnings and readiness", |html| {
            findings(html, report);
        });
    }
    checked(html, report);
}

fn losses(html: &mut Html, lost: &[(&str, &Waiver)]) {
    for (object, waiver) in lost.iter().take(MOST) {
        html.element("h3", &[], |html| html.leaf("code", &[], object));
        if !waiver.not_compared.is_empty() {
            html.element("ul", &[], |html| {
                for clause in &waiver.not_compared {
                    html.leaf("li", &[], clause);
                }
            });
        }
        let found: Vec<&Difference> = waiver.differences.iter().collect();
        if !found.is_empty() {
            let text = "Not as on the source, because of what is lost:";
            html.leaf("p", &[], text);
            differences::list(html, &found);
        }
    }
    and_more(html, lost.len(), MOST, "losses");
}

fn waivers(html: &mut Html, waivers: &[&Waiver]) {
    for waiver in waivers.iter().take(MOST) {
        html.element("h3", &[], |html| html.leaf("code", &[], &waiver.rule));
        if !waiver.not_compared.is_empty() {
            let text = format!("Not compared: {}.", waiver.not_compared.join(", "));
            html.leaf("p", &[], &text);
        }
        let found: Vec<&Difference> = waiver.differences.iter().collect();
        if found.is_empty() {
            html.leaf("p", &[("class", "faint")], "No difference was passed over.");
        }
        differences::list(html, &found);
    }
    and_more(html, waivers.len(), MOST, "rules");
}

fn moved_on(html: &mut Html, report: &Report) {
    let tables = report.source_moved_on.as_ref().map(|moved| &moved.tables);
    let Some(tables) = tables.filter(|tables| !tables.is_empty()) else {
        return;
    };
    section(
        html,
        "moved-on",
        "Written to on the source since its snapshot",
        |html| {
            html.element("table", &[("class", "plain numbers")], |html| {
                head_row(html, &["table", "rows written"]);
                html.element("tbody", &[], |html| {
                    for (table, rows) in tables.iter().take(MOST) {
                        text_row(html, &[table, &Rows(*rows).to_string()]);
                    }
                });
            });
            and_more(html, tables.len(), MOST, "tables");
        },
    );
}

fn findings(html: &mut Html, report: &Report) {
    let mut findings: Vec<&Finding> = report.findings.iter().collect();
    findings.sort_by_key(|finding| Reverse(finding.severity));
    for finding in findings.iter().take(MOST) {
        let (class, word) = match finding.severity {
            Severity::Note => ("card", "note"),
            Severity::Warning => ("card careful", "! warning"),
            Severity::Blocker => ("card bad", "✗ blocker"),
        };
        html.element("div", &[("class", class)], |html| {
            html.element("h3", &[], |html| {
                html.text(&format!("{word}: "));
                html.leaf("code", &[], &finding.rule);
            });
            html.leaf("p", &[("class", "lines")], finding.what.trim_end());
            for fact in &finding.evidence {
                html.leaf("pre", &[], fact.trim_end());
            }
            if !finding.remedy.is_empty() {
                html.leaf("h4", &[], "What to do");
                let remedy = finding.remedy.trim_end();
                let (sentence, statements) = remedy.split_once('\n').unwrap_or((remedy, ""));
                html.leaf("p", &[], sentence);
                if !statements.is_empty() {
                    html.element("pre", &[], |html| html.leaf("code", &[], statements));
                }
            }
        });
    }
    and_more(html, findings.len(), MOST, "warnings");
}

fn checked(html: &mut Html, report: &Report) {
    let checked: Vec<String> = report
        .checked
        .iter()
        .filter(|checked| checked.count > 0)
        .map(|checked| words::compared(checked.count, &checked.what))
        .collect();
    if checked.is_empty() {
        return;
    }
    section(html, "checked", "Compared, and the same", |html| {
        html.leaf("p", &[], &format!("{}.", checked.join(", ")));
    });
}
