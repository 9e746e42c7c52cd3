//! The report as a page: one file that needs nothing besides, to be read on any screen, printed, or attached to a ticket.
//!
//! | file | part of the page, in its order |
//! |---|---|
//! | `heading` | the verdict, what it means, what to do next; the facts; the last line |
//! | `turn` | the steps from one side to the other |
//! | `failures` | what failed, whole |
//! | `differences` | where source and target differ, and in which rows |
//! | `unproven` | what is lost, what was not verified, waivers, findings |
//! | `tables` | every table |
//! | `timeline` | over time: who worked when (`gantt`), how fast (`throughput`) |
//! | `expected` | the run beside the one it was measured by |
//! | `jobs` | phases, slowest jobs, retries, notes, sessions |
//!
//! | file | besides |
//! |---|---|
//! | `gantt_file` | the bars of `gantt`, as an image of its own |
//! | `write` | HTML that is always well-formed, and in which nothing from outside is markup |
//!
//! No script, no image, no font, no request: a policy in its head forbids them. Pure, as the report is: the same record
//! gives the same page. Of lists that a wrong database makes endless there is an upper limit; what is left out is counted,
//! and `report.json` has it.

mod differences;
mod expected;
mod failures;
mod gantt;
mod gantt_file;
mod heading;
mod jobs;
mod tables;
mod throughput;
mod timeline;
mod turn;
mod unproven;
pub(super) mod write;

pub(super) use gantt_file::write as gantt_file;
use write::Html;

use super::outline::{Headline, Record};
use crate::model::Rows;

/// Nothing from anywhere, and no script.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

const STYLE: &str = include_str!("style.css");

/// Most entries of a list of differences, findings, notes and so on.
const MOST: usize = 1000;

/// The page.
pub fn page(record: Record<'_>) -> String {
    let headline = Headline::of(record);
    let mut html = Html::new();
    html.element("html", &[("lang", "en")], |html| {
        html.element("head", &[], |html| head(html, record, &headline));
        html.element("body", &[], |html| {
            heading::write(html, record, &headline);
            html.element("main", &[], |html| {
                heading::facts(html, record);
                turn::write(html, record.report);
                failures::write(html, record.report);
                differences::write(html, record.report);
                unproven::write(html, record.report);
                tables::write(html, record.report);
                timeline::write(html, record.course);
                expected::write(html, record.report);
                jobs::write(html, record);
            });
            html.element("footer", &[], |html| heading::footer(html, record));
        });
    });
    html.finish()
}

fn head(html: &mut Html, record: Record<'_>, headline: &Headline) {
    html.void("meta", &[("charset", "utf-8")]);
    html.void(
        "meta",
        &[
            ("http-equiv", "Content-Security-Policy"),
            ("content", POLICY),
        ],
    );
    let narrow = ("content", "width=device-width, initial-scale=1");
    html.void("meta", &[("name", "viewport"), narrow]);
    html.void(
        "meta",
        &[("name", "color-scheme"), ("content", "light dark")],
    );
    html.void("meta", &[("name", "robots"), ("content", "noindex")]);
    html.void("meta", &[("name", "referrer"), ("content", "no-referrer")]);
    // A browser would ask a server for one otherwise.
    html.void("link", &[("rel", "icon"), ("href", "data:,")]);
    let of = record.report.source.as_ref();
    let of = of.map_or_else(String::new, |source| format!(" of {}", source.database));
    let command = match record.report.command.word() {
        "" => "run",
        command => command,
    };
    html.leaf(
        "title",
        &[],
        &format!("{}: pgconvoy {command}{of}", headline.word),
    );
    html.stylesheet(STYLE);
}

/// A part of the page with its heading.
fn section(html: &mut Html, id: &'static str, title: &str, inside: impl FnOnce(&mut Html)) {
    html.element("section", &[("id", id)], |html| {
        html.leaf("h2", &[], title);
        inside(html);
    });
}

/// The head of a table.
fn head_row(html: &mut Html, heads: &[&str]) {
    html.element("thead", &[], |html| {
        html.element("tr", &[], |html| {
            for head in heads {
                html.leaf("th", &[("scope", "col")], head);
            }
        });
    });
}

/// The cells of a row, text all of them.
fn text_row(html: &mut Html, cells: &[&str]) {
    html.element("tr", &[], |html| {
        for cell in cells {
            html.leaf("td", &[], cell);
        }
    });
}

/// `… and 312 more differences, in report.json`; nothing if there are no more.
fn and_more(html: &mut Html, all: usize, shown: usize, what: &str) {
    let more = all.saturating_sub(shown);
    if more > 0 {
        let text = format!("… and {} more {what}, in report.json", Rows(more as u64));
        html.leaf("p", &[("class", "more")], &text);
    }
}
