//! The report for whoever stands before it at the end: a table of tables, worst first; what failed, what was skipped,
//! what differs; then one sentence that says what is proven and what is not, and what to do next.

use std::collections::BTreeMap;

use crate::model::{ExitStatus, JobId, some_of};
use crate::progress::{Style, failure_lines, words};

use super::{Report, differences, expected, tables};

/// Names of skipped jobs that are given for one failure; the report has them all.
const MOST_SKIPPED: usize = 10;

/// Names of jobs that were tried again; likewise.
const MOST_RETRIED: usize = 5;

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

/// How a word is set off.
pub(super) type Paint = fn(Style, &str) -> String;

/// The width that running text is set in.
pub(super) fn width(view: View) -> usize {
    usize::from(view.columns).clamp(40, 120)
}

/// A word and what it is about, wrapped; the word is painted afterwards, because colour has no width.
pub(super) fn head(lines: &mut Vec<String>, word: (&str, Paint), text: &str, view: View) {
    let (word, paint) = word;
    let mut wrapped = words::hang(&format!("{word} {text}"), "", width(view));
    if let Some(first) = wrapped.first_mut()
        && let Some(rest) = first.strip_prefix(word)
    {
        *first = format!("{}{rest}", paint(view.style, word));
    }
    lines.extend(wrapped);
}

/// The lines of the report.
pub fn render(report: &Report, view: View) -> Vec<String> {
    let mut lines = Vec::new();
    tables::add(&mut lines, report, view);
    failures(&mut lines, report, view);
    retries(&mut lines, report, view);
    if report.compares() {
        differences::add(&mut lines, report, view);
    } else {
        findings_of_verification(&mut lines, report, view);
    }
    expected::add(&mut lines, report, view);
    lines.extend(closing(report, view));
    lines
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

/// What was broken off and tried again, in one line: it went well in the end, or is told above.
fn retries(lines: &mut Vec<String>, report: &Report, view: View) {
    let mut jobs: BTreeMap<JobId, u64> = BTreeMap::new();
    for retry in &report.retries {
        *jobs.entry(retry.job).or_default() += 1;
    }
    if jobs.is_empty() {
        return;
    }
    let named = jobs.iter().map(|(job, times)| {
        let label = words::one_line(&report.label(*job));
        match times {
            1 => label,
            times => format!("{label} ({times} times)"),
        }
    });
    let named: Vec<String> = named.collect();
    let named = some_of(&named, MOST_RETRIED);
    let text = format!("{named}; report.json says why");
    head(lines, ("tried again:", Style::warning), &text, view);
    lines.push(String::new());
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
            let text = if report.follow.is_some() {
                "written to on the source since the snapshot, and to come by following:"
            } else {
                "written to on the source since the snapshot, and not in the copy:"
            };
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

/// What is proven and what is not, how long it took, and what to do next: the last lines.
pub fn closing(report: &Report, view: View) -> Vec<String> {
    let mut lines = Vec::new();
    let width = width(view);
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
    let (next, command) = next_step(report);
    if let Some(next) = next.as_ref().filter(|_| command.is_none()) {
        lines.extend(words::wrap(&format!("Next: {next}"), width));
    }
    let run_dir = match report.run_dir.as_str() {
        "" => String::new(),
        dir => format!(" · {}", words::one_line(dir)),
    };
    lines.push(view.style.faint(&format!(
        "{}{}{run_dir}",
        words::duration(report.elapsed_ms()),
        in_sessions(report)
    )));
    // Last of all, and whole, so that it is seen and can be copied.
    if let Some(command) = command {
        let next = format!("Next: {}", next.unwrap_or_default());
        lines.extend(words::wrap(next.trim_end(), width));
        lines.push(command);
    }
    lines
}

/// The command that goes on with the run, if that is what to do next.
pub fn resume_command(report: &Report) -> Option<String> {
    next_step(report).1
}

/// What to do next, and the command that goes on with the run, if it is that.
pub(super) fn next_step(report: &Report) -> (Option<String>, Option<String>) {
    const COMMAND: &str = "pgconvoy resume ";
    let next = report.next.as_deref().map(words::one_line);
    match next.as_deref().and_then(|next| next.split_once(COMMAND)) {
        Some((before, arguments)) => (
            Some(before.to_owned()),
            Some(format!("{COMMAND}{arguments}")),
        ),
        None => (next, None),
    }
}

/// Of a run that was resumed, how many sessions there were.
fn in_sessions(report: &Report) -> String {
    match report.sessions.as_slice() {
        [] | [_] => " in all".to_owned(),
        [first, .., last] => {
            let span = (last.ended_at - first.started_at).num_milliseconds();
            format!(
                " in session {}, {} after the first began",
                report.sessions.len(),
                words::duration(u64::try_from(span).unwrap_or(0))
            )
        }
    }
}
