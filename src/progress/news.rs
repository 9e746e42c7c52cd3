//! What is said at once and stays on the screen: findings, failures, differences, and the steps of the command.

use crate::event::{Bound, Emptying, Event, Expected, PlannedJob, Standing, StandingState, What};
use crate::model::{Bytes, Finding, JobId, Rows, Severity, Side, Synced, Verdict};

use super::failure;
use super::state::{PaceChange, Slower, State};
use super::style::Style;
use super::{Verbosity, words};

/// The lines that an event is worth; `state` has folded it in already.
pub fn lines(event: &Event, state: &State, verbosity: Verbosity, style: Style) -> Vec<String> {
    let mut lines = trouble(&event.what, state, style);
    if verbosity >= Verbosity::Normal {
        lines.extend(course(&event.what, state, style));
        lines.extend(setback(&event.what, state));
        lines.extend(measured(&event.what, state, style));
        lines.extend(state.pace_change.map(|change| pace(&change, state, style)));
    }
    if verbosity >= Verbosity::Verbose {
        lines.extend(job(&event.what, state).map(|line| style.faint(&line)));
        lines.extend(standing(&event.what, state).map(|line| style.faint(&line)));
    }
    lines
}

/// What even a quiet run says. Verdicts on tables need no word here: a bad one comes with a `Difference` or an
/// `Unverified` that says more.
fn trouble(what: &What, state: &State, style: Style) -> Vec<String> {
    match what {
        What::JobFailed { job, failure } => {
            failure::lines(&state.label(*job), failure, &state.run_dir, style)
        }
        What::Finding(it) if it.severity == Severity::Blocker => found(it, state, style),
        // A comparison tells them in its report, sorted and counted: of a wrong database there are thousands.
        What::Difference(_) | What::Unverified(_) if state.compares() => Vec::new(),
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
        _ => Vec::new(),
    }
}

/// How the run goes on.
fn course(what: &What, state: &State, style: Style) -> Vec<String> {
    match what {
        What::RunStarted {
            source,
            target,
            command,
            jobs,
            run_dir,
            ..
        } => vec![
            words::one_line(&format!("{command}: {source} → {target}")),
            style.faint(&words::one_line(&format!(
                "{} · run directory {run_dir}",
                words::count(u64::from(*jobs), "worker", "workers")
            ))),
        ],
        What::StepStarted { step } => vec![words::one_line(step)],
        What::Finding(it) if it.severity < Severity::Blocker => found(it, state, style),
        What::Planned {
            jobs,
            tables,
            bytes,
        } => vec![planned(jobs, *tables, *bytes, state)],
        What::SnapshotTaken {
            side,
            snapshot,
            lsn,
        } => vec![words::one_line(&taken(state, (*side, snapshot, lsn)))],
        What::SnapshotReleased if state.compares() => {
            vec!["everything has been read; the snapshots are released".to_owned()]
        }
        What::SnapshotReleased => {
            vec!["everything has been read; the source's snapshot is released".to_owned()]
        }
        What::Synced(synced) => changed(synced),
        What::SourceMovedOn { tables } => vec![moved_on(tables, state, style)],
        What::SourceUnchanged => {
            vec!["nothing was written to the source since the snapshot: no transaction has begun there".to_owned()]
        }
        What::Resumed { standing } => vec![resumed(standing)],
        What::EmptyingTarget(Emptying {
            objects,
            dropped: 0,
        }) => vec![format!(
            "emptying the target: {} dropped",
            words::count(*objects, "object is", "objects are")
        )],
        What::Draining {
            signal,
            jobs,
            seconds,
        } => vec![draining(signal, u64::from(*jobs), *seconds)],
        What::Note { text } => vec![words::harmless(text)],
        _ => Vec::new(),
    }
}

/// What goes on in another way than it was meant to.
fn setback(what: &What, state: &State) -> Option<String> {
    Some(words::one_line(&match what {
        What::JobRetried {
            job,
            attempt,
            because,
            wait_ms,
        } => format!(
            "{}: {because}; attempt {} in {}",
            state.label(*job),
            attempt + 1,
            words::duration(*wait_ms)
        ),
        What::StoreRetried {
            store,
            because,
            requests,
        } => format!(
            "{store} did not answer {} as it should, and is asked again ({because})",
            words::count(*requests, "request", "requests")
        ),
        What::JobWaits {
            job, side, what, ..
        } => stands_still((*job, *side), what, state),
        _ => return None,
    }))
}

/// `validate foreign key statuses_account (target): the statement has been running for 40 s, …; about 35 %, by the rehearsal: do not cancel`.
fn stands_still((job, side): (JobId, Side), what: &str, state: &State) -> String {
    let running = state.running().find(|running| running.plan.id == job);
    let guess = running.and_then(|running| state.guess(running));
    let guess = guess.map_or_else(String::new, |guess| format!("; {}", guess.words()));
    format!("{} ({side}): {what}{guess}", state.label(job))
}

/// What a sync has changed, a line for each table: `public.orders: 12 rows inserted, 3 updated, 1 deleted`.
fn changed(synced: &Synced) -> Vec<String> {
    if synced.is_nothing() {
        return vec!["there is nothing to change".to_owned()];
    }
    let head = if synced.committed {
        "changed on the target, and committed:"
    } else {
        "would be changed on the target:"
    };
    let mut lines = vec![head.to_owned()];
    for table in &synced.tables {
        let anew = table.anew.as_deref().map_or_else(String::new, |because| {
            format!(" (all rows copied again: {because})")
        });
        let bytes = match table.bytes {
            Bytes(0) => String::new(),
            bytes => format!(", {bytes} written"),
        };
        lines.push(words::one_line(&format!(
            "  {}: {} inserted, {} updated, {} deleted{bytes}{anew}",
            table.table.shown(),
            words::count(table.inserted.0, "row", "rows"),
            table.updated,
            table.deleted,
        )));
    }
    let objects = [
        (synced.large_objects_added, "added"),
        (synced.large_objects_changed, "changed"),
        (synced.large_objects_removed, "removed"),
    ];
    let objects = objects.iter().filter(|(count, _)| *count > 0);
    let objects: Vec<String> = objects
        .map(|(count, what)| format!("{} {what}", Rows(*count)))
        .collect();
    if !objects.is_empty() {
        lines.push(format!("  large objects: {}", objects.join(", ")));
    }
    for (what, names) in [
        ("sequences", &synced.sequences),
        ("materialized views", &synced.materialized_views),
    ] {
        if !names.is_empty() {
            let names: Vec<String> = names
                .iter()
                .map(crate::model::QualifiedName::shown)
                .collect();
            lines.push(words::one_line(&format!("  {what}: {}", names.join(", "))));
        }
    }
    lines
}

/// How the run compares with what was expected of it.
fn measured(what: &What, state: &State, style: Style) -> Vec<String> {
    match what {
        What::Expected(expected) => expectations(expected),
        What::JobFinished {
            job, duration_ms, ..
        } => {
            let slower = state.slower(*job, *duration_ms);
            let told = slower.map(|slower| slow(&state.label(*job), *duration_ms, &slower));
            told.map(|line| style.warning(&line)).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// `resuming: 120 jobs are done, 3 are done again, 45 are left`.
fn resumed(standing: &[Standing]) -> String {
    let of = |wanted| {
        let jobs = standing.iter();
        jobs.filter(|standing| standing.state == wanted).count() as u64
    };
    let mut parts = vec![words::count(
        of(StandingState::Done),
        "job is done",
        "jobs are done",
    )];
    for (count, one, many) in [
        (of(StandingState::Redo), "is done again", "are done again"),
        (of(StandingState::Failed), "has failed", "have failed"),
    ] {
        if count > 0 {
            parts.push(words::count(count, one, many));
        }
    }
    parts.push(words::count(of(StandingState::Left), "is left", "are left"));
    format!("resuming: {}", parts.join(", "))
}

/// `expected by the rehearsal in pgconvoy-rehearsal-…: 44 min 10 s, from the first job to the end`.
fn expectations(expected: &Expected) -> Vec<String> {
    let mut lines = Vec::new();
    if let (Some(by), Some(from), Some(total_ms)) =
        (&expected.by, &expected.baseline, expected.total_ms)
    {
        lines.push(words::one_line(&format!(
            "expected by the {by} in {from}: {}, from the first job to the end",
            words::duration(total_ms)
        )));
    }
    lines.extend(expected.window_ms.map(|window_ms| {
        format!(
            "there are {} for it, from the start of this run on",
            words::duration(window_ms)
        )
    }));
    lines
}

fn slow(label: &str, duration_ms: u64, slower: &Slower) -> String {
    words::one_line(&format!(
        "{label} took {:.1} times as long as in the {}: {}, not {}",
        slower.times,
        slower.by,
        words::duration(duration_ms),
        words::duration(slower.expected_ms)
    ))
}

/// `copying slows down: 310.0 MB/s, then 90.1 MB/s; the target, or the way to it, sets the pace`.
fn pace(change: &PaceChange, state: &State, style: Style) -> String {
    let work = if state.compares() {
        "reading"
    } else {
        "copying"
    };
    let slower = change.now < change.before;
    let how = if slower { "slows down" } else { "speeds up" };
    let (before, now) = (words::rate(change.before), words::rate(change.now));
    let by = match change.bound {
        Bound::Source => "; the source, or the way from it, sets the pace",
        Bound::Target => "; the target, or the way to it, sets the pace",
        Bound::Client => "; this machine sets the pace",
        Bound::Nobody => "",
    };
    let line = format!("{work} {how}: {before}, then {now}{by}");
    if slower { style.warning(&line) } else { line }
}

fn draining(because: &str, jobs: u64, seconds: u64) -> String {
    let because = words::one_line(because);
    match (jobs, seconds) {
        (0, _) => format!("{because}: stopping; nothing is running"),
        (_, 0) => format!("{because}: stopping at once"),
        _ => format!(
            "{because}: no new job starts; {} may finish within {seconds} s (a signal stops at once)",
            words::count(jobs, "running job", "running jobs")
        ),
    }
}

fn planned(jobs: &[PlannedJob], tables: u32, bytes: Bytes, state: &State) -> String {
    let tables = words::count(u64::from(tables), "table", "tables");
    let jobs_of = |one, many| words::count(jobs.len() as u64, one, many);
    if state.compares() {
        let both: Bytes = jobs.iter().map(|job| job.bytes).sum();
        format!(
            "planned: {} of {tables}, {both} on both sides together",
            jobs_of("read", "reads")
        )
    } else {
        format!(
            "planned: {}; {tables} with {bytes} of rows",
            jobs_of("job", "jobs")
        )
    }
}

/// What is done again or left of a resumed run, job by job, with why.
fn standing<'a>(what: &'a What, state: &'a State) -> impl Iterator<Item = String> + 'a {
    let standing = match what {
        What::Resumed { standing } => standing.as_slice(),
        _ => &[],
    };
    standing.iter().filter_map(
        |Standing {
             job,
             state: stands,
             why,
         }| {
            let word = match stands {
                StandingState::Done => return None,
                StandingState::Redo => "again",
                StandingState::Left => "left",
                StandingState::Failed => "failed",
            };
            Some(words::one_line(&format!(
                "{word}: {}: {why}",
                state.label(*job)
            )))
        },
    )
}

/// Each single job and table, for whoever asks.
fn job(what: &What, state: &State) -> Option<String> {
    let label = |job: &JobId| words::one_line(&state.label(*job));
    match what {
        What::JobStarted { job, worker } => Some(format!("worker {worker}: {}", label(job))),
        What::JobFinished {
            job,
            rows,
            bytes,
            duration_ms,
        } => Some(format!(
            "done: {} · {} · {bytes} · {}",
            label(job),
            words::count(rows.0, "row", "rows"),
            words::duration(*duration_ms)
        )),
        What::JobSkipped { job, because_of } => Some(format!(
            "skipped: {}, because of {}",
            label(job),
            label(because_of)
        )),
        What::TableVerified(table) if table.verdict == Verdict::Identical => {
            let table = words::one_line(&table.table.shown());
            Some(format!("identical: {table}"))
        }
        What::Checked { what, count } => {
            Some(format!("the same: {}", words::compared(*count, what)))
        }
        _ => None,
    }
}

fn found(finding: &Finding, state: &State, style: Style) -> Vec<String> {
    // A comparison tells all of it once more, in its report.
    finding_lines(finding, !state.compares(), style)
}

/// A finding, with what it was found by, if that is wanted, and what to do about it.
pub fn finding_lines(finding: &Finding, with_evidence: bool, style: Style) -> Vec<String> {
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
    let evidence = finding.evidence.iter().filter(|_| with_evidence);
    lines.extend(evidence.map(|fact| format!("  {}", indented(fact))));
    if !finding.remedy.is_empty() {
        lines.push(format!("  what to do: {}", indented(&finding.remedy)));
    }
    lines
}

/// What a snapshot means for the command that runs in it.
fn taken(state: &State, (side, snapshot, lsn): (Side, &str, &str)) -> String {
    if state.compares() {
        format!("snapshot {snapshot} of the {side} at {lsn}: it is compared as it is now")
    } else if state.restores() {
        format!("the archive has a manifest, and was dumped at snapshot {snapshot}, {lsn}")
    } else {
        format!("snapshot {snapshot} at {lsn}: the copy will be of the source as it is now")
    }
}

fn moved_on(tables: &[(String, u64)], state: &State, style: Style) -> String {
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
    let consequence = if state.compares() {
        "what is compared is the snapshot"
    } else {
        "the copy does not have that"
    };
    format!("{head}: {}; {consequence}", named.join(", "))
}

/// A text of several lines, set so that it reads as one item.
pub fn indented(text: &str) -> String {
    words::harmless(text).trim_end().replace('\n', "\n    ")
}
