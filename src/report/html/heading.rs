//! The verdict, what it means and what to do next, before anything else; then the facts of the run.

use super::super::outline::{
    Headline, Record, Tables, Tone, compares, exit_status, level, sentence, time, verdicts,
};
use super::super::terminal::next_step;
use super::section;
use super::write::Html;
use crate::model::{Bytes, Rows, Side};
use crate::progress::words;
use crate::report::{Report, SnapshotReport};

/// What is read first.
pub(super) fn write(html: &mut Html, record: Record<'_>, headline: &Headline) {
    let (class, sign) = match headline.tone {
        Tone::Good => ("good", "✓"),
        Tone::Careful => ("careful", "!"),
        Tone::Bad => ("bad", "✗"),
    };
    html.element("header", &[("class", class)], |html| {
        html.element("h1", &[], |html| {
            html.leaf("span", &[("class", "sign"), ("aria-hidden", "true")], sign);
            html.text(headline.word);
        });
        html.leaf("p", &[("class", "meaning")], headline.meaning);
        html.leaf("p", &[], &sentence(record));
        let (next, command) = next_step(record.report);
        if next.is_some() || command.is_some() {
            html.element("p", &[], |html| {
                html.leaf("strong", &[], "Next: ");
                html.text(next.as_deref().unwrap_or_default().trim_end());
            });
        }
        if let Some(command) = command {
            html.element("pre", &[], |html| html.leaf("code", &[], &command));
        }
        if let Some(status) = exit_status(record.report) {
            html.leaf(
                "p",
                &[("class", "status")],
                &format!("Exit status {status}"),
            );
        }
    });
}

/// Who, when, and how much.
pub(super) fn facts(html: &mut Html, record: Record<'_>) {
    let report = record.report;
    section(html, "facts", "The run", |html| {
        numbers(html, record);
        html.element("dl", &[], |html| {
            let mut fact = |name: &str, value: Option<String>| {
                if let Some(value) = value.filter(|value| !value.is_empty()) {
                    html.leaf("dt", &[], name);
                    html.leaf("dd", &[], &value);
                }
            };
            let end = |side| {
                let end = match side {
                    Side::Source => report.source.as_ref(),
                    Side::Target => report.target.as_ref(),
                };
                end.map(|end| format!("{end}, as {}", end.user))
            };
            fact("Source", end(Side::Source));
            fact("Target", end(Side::Target));
            fact("Command", Some(report.command.to_string()));
            fact("To be proven", report.verify.map(|of| level(of).to_owned()));
            fact("Left out by", Some(report.narrowed_by.join(" ")));
            let begun = report.started_at.map(time);
            let to = report.ended_at.map(time).unwrap_or_default();
            fact("Time", begun.map(|from| format!("{from} to {to}")));
            let sessions = report.sessions.len() as u64;
            let of = (sessions > 1).then(|| words::count(sessions, "session", "sessions"));
            fact(
                "Sessions",
                of.map(|of| format!("{of}; this is about the last")),
            );
            let workers = (report.workers > 0).then(|| report.workers.to_string());
            fact("Workers", workers);
            fact("Snapshot", report.snapshot.as_ref().map(snapshot));
            let of_target = report.target_snapshot.as_ref();
            fact("Snapshot of the target", of_target.map(snapshot));
            fact("Source since then", Some(since(report)));
            let follow = report.follow.as_ref();
            fact(
                "To follow it",
                follow.map(|follow| format!("{}, from LSN {} on", follow.name, follow.lsn)),
            );
            fact("Run directory", Some(report.run_dir.clone()));
            fact("Read with care", Some(record.remarks.join("; ")));
        });
    });
}

/// The four figures that are asked for most.
fn numbers(html: &mut Html, record: Record<'_>) {
    let report = record.report;
    let tables = Tables::of(report);
    let all: Vec<_> = tables.urgent.iter().chain(&tables.calm).copied().collect();
    let rows: Rows = all
        .iter()
        .filter_map(|table| {
            let read = table.read.map(|digest| digest.rows);
            table.source_count.or(read)
        })
        .sum();
    let bytes: Bytes = all.iter().map(|table| table.bytes).sum();
    let judged = match all.len() {
        0 => "no verdict yet".to_owned(),
        _ => verdicts(&all),
    };
    let verb = if compares(report) { "read" } else { "copied" };
    let planned = words::count(
        u64::from(report.planned_tables.unwrap_or(0)),
        "table",
        "tables",
    );
    let tables = match all.len() as u64 {
        0 => planned,
        count => words::count(count, "table", "tables"),
    };
    let took = words::duration(report.elapsed_ms());
    let average = match bytes {
        Bytes(0) => String::new(),
        _ => average(record),
    };
    let figures = [
        (took, "from the first event to the last".to_owned()),
        (tables, judged),
        (
            words::count(rows.0, "row", "rows"),
            "on the source".to_owned(),
        ),
        (format!("{bytes} {verb}"), average),
    ];
    html.element("ul", &[("class", "figures")], |html| {
        for (figure, more) in &figures {
            html.element("li", &[], |html| {
                html.leaf("strong", &[], figure);
                html.leaf("span", &[], more);
            });
        }
    });
}

/// How fast rows travelled while they did, in all sessions: not over the time of indexes and keys, nor over that of a last session, which
/// may have copied next to nothing of what is there.
fn average(record: Record<'_>) -> String {
    let compares = compares(record.report);
    let (mut bytes, mut busy_ms) = (0_u64, 0_u64);
    for leg in &record.course.legs {
        let series = if compares { &leg.compared } else { &leg.copied };
        let (more, ms) = series.total();
        bytes = bytes.saturating_add(more.0);
        busy_ms = busy_ms.saturating_add(ms);
    }
    if bytes == 0 || busy_ms == 0 {
        return String::new();
    }
    let rate = words::rate(bytes as f64 * 1000.0 / busy_ms as f64);
    format!("{rate} while rows travelled")
}

fn snapshot(snapshot: &SnapshotReport) -> String {
    let until = match snapshot.released_at {
        Some(at) => format!(", given back {}", time(at)),
        None => String::new(),
    };
    format!(
        "{} at LSN {}, taken {}{until}",
        snapshot.name,
        snapshot.lsn,
        time(snapshot.taken_at)
    )
}

fn since(report: &Report) -> String {
    match (&report.source_moved_on, report.source_unchanged_at) {
        (Some(moved), _) if moved.tables.is_empty() => {
            "transactions have begun on its server; no table's statistics show writes".to_owned()
        }
        (Some(moved), _) => {
            let tables = words::count(moved.tables.len() as u64, "table", "tables");
            format!("written to, in {tables}")
        }
        (None, Some(at)) => format!(
            "quiet: no transaction began on its server until {}",
            time(at)
        ),
        (None, None) => String::new(),
    }
}

/// Where the rest is.
pub(super) fn footer(html: &mut Html, record: Record<'_>) {
    let report = record.report;
    let version = match report.version.as_str() {
        "" => String::new(),
        version => format!(" {version}"),
    };
    let text = format!(
        "Written by pgconvoy{version} from the record of the run: report.json beside this page has the same for programs, \
         events.jsonl everything that happened, failed/ each failed statement in a file of its own."
    );
    html.leaf("p", &[], &text);
}
