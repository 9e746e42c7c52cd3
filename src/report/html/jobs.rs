//! The jobs in numbers: phases, the slowest, what was tried again; then notes and earlier sessions.

use chrono::{DateTime, Utc};

use super::super::outline::{Record, labels, outcome, phase, slowest, time};
use super::write::Html;
use super::{MOST, and_more, head_row, section, text_row};
use crate::model::Rows;
use crate::progress::words;
use crate::report::Report;

/// How many of the slowest jobs.
const SLOWEST: usize = 20;

/// Adds all of it.
pub(super) fn write(html: &mut Html, record: Record<'_>) {
    let report = record.report;
    phases(html, report);
    slowest_jobs(html, report);
    retries(html, report);
    notes(html, report);
    sessions(html, report);
}

fn phases(html: &mut Html, report: &Report) {
    if report.phases.is_empty() {
        return;
    }
    section(html, "phases", "Phases", |html| {
        html.element("table", &[("class", "plain numbers")], |html| {
            let heads = [
                "phase", "jobs", "finished", "failed", "skipped", "from", "to", "work",
            ];
            head_row(html, &heads);
            html.element("tbody", &[], |html| {
                for of in &report.phases {
                    let since = |at: Option<DateTime<Utc>>| since_start(report, at);
                    text_row(
                        html,
                        &[
                            phase(of.phase),
                            &Rows(of.jobs).to_string(),
                            &Rows(of.finished).to_string(),
                            &Rows(of.failed).to_string(),
                            &Rows(of.skipped).to_string(),
                            &since(of.started_at),
                            &since(of.ended_at),
                            &words::duration(of.busy_ms),
                        ],
                    );
                }
            });
        });
        let text =
            "From and to are since the start of the session; work is that of all workers together.";
        html.leaf("p", &[("class", "faint")], text);
    });
}

fn since_start(report: &Report, at: Option<DateTime<Utc>>) -> String {
    match (report.started_at, at) {
        (Some(from), Some(at)) => {
            words::clock(u64::try_from((at - from).num_milliseconds()).unwrap_or(0))
        }
        _ => String::new(),
    }
}

fn slowest_jobs(html: &mut Html, report: &Report) {
    let jobs = slowest(report, SLOWEST);
    if jobs.is_empty() {
        return;
    }
    section(html, "slowest", "Slowest jobs", |html| {
        html.element("table", &[("class", "plain numbers")], |html| {
            head_row(html, &["job", "took", "rows", "bytes", "phase", "outcome"]);
            html.element("tbody", &[], |html| {
                for job in &jobs {
                    let or_none =
                        |none: bool, text: String| if none { String::new() } else { text };
                    text_row(
                        html,
                        &[
                            &words::one_line(&job.plan.label),
                            &words::duration(job.duration_ms),
                            &or_none(job.rows_done.0 == 0, job.rows_done.to_string()),
                            &or_none(job.bytes_done.0 == 0, job.bytes_done.to_string()),
                            phase(job.plan.phase),
                            outcome(&job.outcome),
                        ],
                    );
                }
            });
        });
        and_more(html, report.jobs.len(), jobs.len(), "jobs");
    });
}

fn retries(html: &mut Html, report: &Report) {
    if report.retries.is_empty() {
        return;
    }
    let labels = labels(report);
    section(html, "retries", "Tried again", |html| {
        html.element("table", &[("class", "plain")], |html| {
            head_row(html, &["when", "job", "attempt", "broken off by"]);
            html.element("tbody", &[], |html| {
                for retry in report.retries.iter().take(MOST) {
                    let label = labels.get(&retry.job).map_or_else(
                        || format!("job {}", retry.job),
                        |label| words::one_line(label),
                    );
                    let attempt = retry.attempt.to_string();
                    text_row(html, &[&time(retry.at), &label, &attempt, &retry.because]);
                }
            });
        });
        and_more(html, report.retries.len(), MOST, "retries");
    });
}

fn notes(html: &mut Html, report: &Report) {
    if report.notes.is_empty() {
        return;
    }
    section(html, "notes", "Notes", |html| {
        html.element("ul", &[("class", "lines")], |html| {
            for note in report.notes.iter().take(MOST) {
                html.leaf("li", &[], note.trim_end());
            }
        });
        and_more(html, report.notes.len(), MOST, "notes");
    });
}

fn sessions(html: &mut Html, report: &Report) {
    if report.sessions.len() < 2 {
        return;
    }
    section(html, "sessions", "Sessions", |html| {
        html.element("table", &[("class", "plain")], |html| {
            head_row(html, &["command", "from", "to", "exit status"]);
            html.element("tbody", &[], |html| {
                for session in report.sessions.iter().take(MOST) {
                    let status = session.status.map_or_else(
                        || "never said".to_owned(),
                        |status| status.code().to_string(),
                    );
                    let (from, to) = (time(session.started_at), time(session.ended_at));
                    text_row(html, &[session.command.word(), &from, &to, &status]);
                }
            });
        });
        and_more(html, report.sessions.len(), MOST, "sessions");
        if let Some(resumed) = &report.resumed {
            let text = format!(
                "Of the jobs, when the last one began: {} done and kept, {} to be done again, {} yet to be done, {} failed and not tried again.",
                Rows(resumed.done),
                Rows(resumed.redo),
                Rows(resumed.left),
                Rows(resumed.failed)
            );
            html.leaf("p", &[], &text);
        }
    });
}
