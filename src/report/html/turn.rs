//! How one side took over from the other: the steps, and what has happened between the two so far.

use super::super::outline::time;
use super::super::turned::{happened, steps};
use super::write::Html;
use super::{MOST, and_more, head_row, section, text_row};
use crate::report::Report;

/// Adds both; nothing for a run that is no turn.
pub(super) fn write(html: &mut Html, report: &Report) {
    let Some(turn) = &report.turn else {
        return;
    };
    section(html, "turn", "The turn", |html| {
        html.element("table", &[("class", "plain")], |html| {
            head_row(html, &["step", "begun", "took"]);
            html.element("tbody", &[], |html| {
                for [step, begun, took] in steps(report) {
                    text_row(html, &[&step, &begun, &took]);
                }
            });
        });
        if turn.moments.is_empty() {
            return;
        }
        html.leaf("h3", &[], "What has happened between the two");
        html.element("table", &[("class", "plain")], |html| {
            head_row(html, &["when", "what"]);
            html.element("tbody", &[], |html| {
                for moment in turn.moments.iter().take(MOST) {
                    text_row(html, &[&time(moment.happened_at), &happened(moment)]);
                }
            });
        });
        and_more(html, turn.moments.len(), MOST, "moments");
    });
}
