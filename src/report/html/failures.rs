//! What failed, whole: nothing of a statement or of an error is ever cut.

use std::collections::BTreeMap;

use super::section;
use super::write::Html;
use crate::event::JobFailure;
use crate::model::{JobId, ServerError};
use crate::progress::words;
use crate::report::{JobReport, Report};

/// Adds them, if there are any.
pub(super) fn write(html: &mut Html, report: &Report) {
    let failures: Vec<_> = report.failures().collect();
    if failures.is_empty() {
        return;
    }
    let skipped = report.skipped();
    let title = words::count(failures.len() as u64, "failed job", "failed jobs");
    section(html, "failures", &title, |html| {
        for (job, failure) in &failures {
            html.element("div", &[("class", "card bad")], |html| {
                one(html, job, failure, report);
                left_out(html, job.plan.id, &skipped);
            });
        }
    });
}

fn one(html: &mut Html, job: &JobReport, failure: &JobFailure, report: &Report) {
    html.element("h3", &[], |html| {
        html.text("✗ ");
        html.leaf("code", &[], &job.plan.label);
    });
    if let Some(entry) = &failure.entry {
        let text = format!(
            "entry {}; {} {} {}",
            entry.dump_id, entry.desc, entry.tag, entry.owner
        );
        html.leaf("p", &[("class", "faint")], &text);
    }
    html.leaf("p", &[], &failure.message);
    let error = failure.server_error.as_ref();
    if let Some(statement) = &failure.statement {
        html.leaf("h4", &[], "Statement");
        self::statement(html, statement, error.and_then(|error| error.position));
    }
    if let Some(error) = error {
        server_error(html, error);
    }
    if let Some(hint) = &failure.hint {
        html.element("p", &[], |html| {
            html.leaf("strong", &[], "What to do: ");
            html.text(hint);
        });
    }
    if let Some(file) = &failure.file {
        html.element("p", &[("class", "faint")], |html| {
            html.text("kept whole in ");
            html.leaf("code", &[], &words::in_dir(&report.run_dir, file));
        });
    }
}

/// Every field; the query of a function has its place marked too.
fn server_error(html: &mut Html, error: &ServerError) {
    let without_query = ServerError {
        internal_query: None,
        ..error.clone()
    };
    html.leaf("h4", &[], "The server says");
    html.element("pre", &[], |html| {
        html.leaf("code", &[], &without_query.to_string());
    });
    if let Some(query) = &error.internal_query {
        html.leaf("h4", &[], "Query inside");
        statement(html, query, error.internal_position);
    }
}

/// The statement, with the character at `position` marked (from 1, in characters, as the server counts).
fn statement(html: &mut Html, statement: &str, position: Option<u32>) {
    let place = position
        .and_then(|position| usize::try_from(position).ok()?.checked_sub(1))
        .and_then(|place| statement.char_indices().nth(place));
    html.element("pre", &[], |html| {
        html.element("code", &[], |html| match place {
            Some((at, c)) => {
                let after = at + c.len_utf8();
                html.text(&statement[..at]);
                html.leaf("mark", &[], &statement[at..after]);
                html.text(&statement[after..]);
            }
            None => html.text(statement),
        });
    });
    if let (None, Some(position)) = (place, position) {
        // Past the end, or where the server counts otherwise.
        let text = format!("at character {position}");
        html.leaf("p", &[("class", "faint")], &text);
    }
}

fn left_out(html: &mut Html, job: JobId, skipped: &BTreeMap<JobId, Vec<&JobReport>>) {
    let Some(jobs) = skipped.get(&job) else {
        return;
    };
    let count = words::count(jobs.len() as u64, "job", "jobs");
    html.element("details", &[], |html| {
        html.leaf("summary", &[], &format!("{count} left out because of it"));
        html.element("ul", &[], |html| {
            for job in jobs {
                html.element("li", &[], |html| html.leaf("code", &[], &job.plan.label));
            }
        });
    });
}
