//! The run beside the one that it was measured by.

use super::super::Report;
use super::write::Html;
use super::{head_row, section, text_row};
use crate::progress::words;

/// Adds it, if there was one.
pub(super) fn write(html: &mut Html, report: &Report) {
    let Some(expected) = &report.expected else {
        return;
    };
    let Some(sentence) = expected.sentence(report.sessions.len()) else {
        return;
    };
    section(html, "expected", "Against what was expected", |html| {
        let from = expected.baseline.as_deref().unwrap_or_default();
        html.leaf("p", &[], &format!("{sentence} ({from})."));
        if expected.deviations.is_empty() {
            let jobs = match report.sessions.len() {
                0 | 1 => "No job",
                // What an earlier one did is not told anew.
                _ => "No job of the last session",
            };
            let near = format!("{jobs} was far from what was expected of it.");
            html.leaf("p", &[], &near);
            return;
        }
        html.element("table", &[("class", "plain")], |html| {
            head_row(html, &["job", "expected", "took", ""]);
            html.element("tbody", &[], |html| {
                for off in &expected.deviations {
                    text_row(
                        html,
                        &[
                            &report.label(off.job),
                            &words::duration(off.expected_ms),
                            &words::duration(off.took_ms),
                            if off.took_ms > off.expected_ms {
                                "slower"
                            } else {
                                "faster"
                            },
                        ],
                    );
                }
            });
        });
    });
}
