//! What is said at once and stays on the screen: findings, failures, differences, and the steps of the command.

use crate::event::{Event, What};
use crate::model::{Finding, Severity, Verdict};

use super::failure;
use super::state::State;
use super::style::Style;
use super::{Verbosity, words};

/// The lines that an event is worth; `state` has folded it in already.
pub fn lines(event: &Event, state: &State, verbosity: Verbosity, style: Style) -> Vec<String> {
    let normal = verbosity >= Verbosity::Normal;
    let verbose = verbosity >= Verbosity::Verbose;
    match &event.what {
        What::JobFailed { job, failure } => failure::lines(&state.label(*job), failure, style),
        What::Finding(finding) if normal || finding.severity == Severity::Blocker => {
            found(finding, style)
        }
        What::Difference(difference) => vec![format!(
            "{} {} {}: {}",
            style.bad("differs:"),
            difference.class,
            words::one_line(&difference.object),
            indented(&difference.detail)
        )],
        What::Unverified(unverified) => vec![format!(
            "{} {} {}: {}",
            style.warning("not verified:"),
            unverified.class,
            words::one_line(&unverified.object),
            indented(&unverified.because)
        )],
        What::SourceMovedOn { tables } if normal => vec![moved_on(tables, style)],
        What::RunStarted {
            source,
            target,
            command,
            jobs,
            run_dir,
            ..
        } if normal => vec![
            words::one_line(&format!("{command}: {source} → {target}")),
            style.faint(&words::one_line(&format!(
                "{} · run directory {run_dir}",
                words::count(u64::from(*jobs), "worker", "workers")
            ))),
        ],
        What::StepStarted { step } if normal => vec![words::one_line(step)],
        What::Planned {
            jobs,
            tables,
            bytes,
        } if normal => vec![format!(
            "planned: {} in {}, {bytes} of table data",
            words::count(jobs.len() as u64, "job", "jobs"),
            words::count(u64::from(*tables), "table", "tables"),
        )],
        What::SnapshotTaken { snapshot, lsn } if normal => vec![words::one_line(&format!(
            "snapshot {snapshot} at {lsn}: the copy will be of the source as it is now"
        ))],
        What::SnapshotReleased if normal => {
            vec!["everything is read; the source's snapshot is given back".to_owned()]
        }
        What::Note { text } if normal => vec![words::harmless(text)],
        What::JobStarted { job, worker } if verbose => vec![style.faint(&format!(
            "worker {worker}: {}",
            words::one_line(&state.label(*job))
        ))],
        What::JobFinished {
            job,
            rows,
            bytes,
            duration_ms,
        } if verbose => vec![style.faint(&format!(
            "done: {} · {rows} rows · {bytes} · {}",
            words::one_line(&state.label(*job)),
            words::duration(*duration_ms)
        ))],
        What::JobSkipped { job, because_of } if verbose => vec![format!(
            "skipped: {}, because of {}",
            words::one_line(&state.label(*job)),
            words::one_line(&state.label(*because_of))
        )],
        What::TableVerified(table) if verbose && table.verdict == Verdict::Identical => {
            vec![style.faint(&format!("identical: {}", words::name(&table.table)))]
        }
        What::Checked { what, count } if verbose => {
            vec![style.faint(&format!("the same: {} {what}", crate::model::Rows(*count)))]
        }
        // Verdicts other than these come with a Difference or an Unverified that says more.
        _ => Vec::new(),
    }
}

fn found(finding: &Finding, style: Style) -> Vec<String> {
    let word = match finding.severity {
        Severity::Note => "note:".to_owned(),
        Severity::Warning => style.warning("warning:"),
        Severity::Blocker => style.bad("no-go:"),
    };
    let mut lines = vec![format!(
        "{word} {} {}",
        words::harmless(&finding.what),
        style.faint(&format!("[{}]", finding.rule))
    )];
    if !finding.remedy.is_empty() {
        lines.push(format!("  what to do: {}", indented(&finding.remedy)));
    }
    lines
}

fn moved_on(tables: &[(String, u64)], style: Style) -> String {
    let head = style.warning("the source has been written to since the snapshot");
    let mut named: Vec<String> = tables
        .iter()
        .map(|(table, rows)| {
            let rows = words::count(*rows, "row", "rows");
            format!("{} ({rows})", words::one_line(table))
        })
        .collect();
    if named.is_empty() {
        named.push("in which tables, its statistics do not say".to_owned());
    }
    format!("{head}: {}; the copy does not have that", named.join(", "))
}

/// A text of several lines, set so that it reads as one item.
pub fn indented(text: &str) -> String {
    words::harmless(text).trim_end().replace('\n', "\n    ")
}
