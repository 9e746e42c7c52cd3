//! A plan for people: what would be done, how, in which order, and what it hangs on.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::event::{Expected, Phase};
use crate::model::{Bytes, CopyFormat, JobId, Rows, some_of};
use crate::plan::{CopyUnit, Forecast, Plan, Prediction};
use crate::progress::words;
use crate::schedule::Slot;

use super::timetable::picture;

/// Tables shown before the rest is summed up.
const TABLES_SHOWN: usize = 40;
/// Jobs of the critical path shown.
const PATH_SHOWN: usize = 12;

/// A plan, and what would come of it on paper.
#[derive(Debug, Clone, Copy)]
pub struct OnPaper<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// How long it takes, and what that hangs on.
    pub forecast: &'a Forecast,
    /// How far that can be believed.
    pub rough: Prediction,
    /// The same by the best that is known: what an earlier run makes us expect, if there is one.
    pub best: Prediction,
    /// Each phase of that, from the start of its first job to the end of its last.
    pub phases: &'a BTreeMap<Phase, Prediction>,
    /// What an earlier run makes us expect, and the time that there is.
    pub expected: &'a Expected,
    /// Who does what when.
    pub timetable: &'a [Slot<JobId>],
    /// Width of the picture.
    pub columns: usize,
}

/// What another number of workers would come to.
#[derive(Debug, Clone, Copy)]
pub struct WithWorkers {
    /// How many.
    pub workers: u32,
    /// How long it would take, in microseconds.
    pub duration_us: u64,
    /// The longest chain of jobs that wait for each other.
    pub critical_us: u64,
    /// The sum of all jobs.
    pub work_us: u64,
}

/// The plan as lines of text.
pub fn render(paper: &OnPaper<'_>, others: &[WithWorkers]) -> Vec<String> {
    let (plan, forecast) = (paper.plan, paper.forecast);
    let mut lines = Vec::new();
    tables(plan, &mut lines);
    phases(paper, &mut lines);
    left_out(plan, &mut lines);
    disk(plan, &mut lines);
    path(plan, forecast, &mut lines);
    lines.push(String::new());
    lines.push("What each worker would do, and when:".to_owned());
    lines.extend(picture(plan, paper.timetable, paper.columns));
    compared(others, &mut lines);
    lines.push(String::new());
    lines.push(format!(
        "{} jobs on {}: about {}, {}, by rough rates of ordinary hardware, not measured here (pgconvoy check measures); \
         nothing was touched.",
        plan.jobs.len(),
        words::count(u64::from(plan.workers), "worker", "workers"),
        words::duration(forecast.duration_us / 1000),
        range(&paper.rough),
    ));
    lines.extend(measured(paper.expected, &paper.best));
    lines
}

/// The same by what an earlier run took, and whether there is time for it; nothing if neither was asked for.
fn measured(expected: &Expected, best: &Prediction) -> Option<String> {
    if expected.by.is_none() && expected.window_ms.is_none() {
        return None;
    }
    let takes_ms = best.likely_us / 1000;
    let mut line = match (&expected.by, &expected.baseline) {
        (Some(by), Some(dir)) => format!(
            "Measured by the {by} in {dir}: about {} from the first job on, {}",
            words::duration(takes_ms),
            range(best)
        ),
        _ => format!("By these rates about {}", words::duration(takes_ms)),
    };
    if let Some(window_ms) = expected.window_ms {
        let (window, off) = (
            words::duration(window_ms),
            words::duration(window_ms.abs_diff(takes_ms)),
        );
        let _infallible = if takes_ms > window_ms {
            write!(line, ", BEYOND the window of {window} by {off}")
        } else if best.most_us / 1000 > window_ms {
            write!(
                line,
                ", within the window of {window} by {off}, unless it takes longer than is likely"
            )
        } else {
            write!(line, ", within the window of {window} by {off}")
        };
    }
    Some(line + ".")
}

/// `from 20 min 5 s to 40 min 10 s`.
fn range(prediction: &Prediction) -> String {
    format!(
        "from {} to {}",
        words::duration(prediction.least_us / 1000),
        words::duration(prediction.most_us / 1000)
    )
}

/// What it needs on the target's disk at most, as far as the source's sizes tell.
fn disk(plan: &Plan, lines: &mut Vec<String>) {
    let rows = plan.data_bytes();
    let built = plan.jobs.iter().filter(|job| job.phase == Phase::Indexes);
    let indexes: Bytes = built.clone().map(|job| job.bytes).sum();
    // A sort needs as much again while it is at it, at its worst.
    let largest = built.map(|job| job.bytes).max().unwrap_or(Bytes(0));
    let objects = plan.large_object_bytes;
    let of_objects = match objects {
        Bytes(0) => String::new(),
        bytes => format!("{bytes} of large objects, "),
    };
    lines.push(String::new());
    lines.push(format!(
        "On the target's disk: {rows} of rows, {of_objects}{indexes} of indexes, up to {largest} more while the largest of these is sorted: \
         {} at its peak, besides the write-ahead log.",
        rows + objects + indexes + largest
    ));
}

fn compared(others: &[WithWorkers], lines: &mut Vec<String>) {
    if others.is_empty() {
        return;
    }
    lines.push(String::new());
    lines.push("With other numbers of workers, if both servers have the cores:".to_owned());
    lines.push(format!("  {:>5}  {:>13}  workers at work", "-j", "about"));
    for one in others {
        let available = one
            .duration_us
            .saturating_mul(u64::from(one.workers.max(1)));
        let at_work = one.work_us as f64 / available.max(1) as f64 * 100.0;
        // Within a twentieth of what no number of workers can beat.
        let is_least = one.duration_us <= one.critical_us.saturating_add(one.critical_us / 20);
        let held_up = if is_least {
            "; more would not help: it is as long as the longest chain of jobs"
        } else {
            ""
        };
        lines.push(format!(
            "  {:>5}  {:>13}  {at_work:.0}%{held_up}",
            one.workers,
            words::duration(one.duration_us / 1000)
        ));
    }
}

fn tables(plan: &Plan, lines: &mut Vec<String>) {
    let mut units: Vec<&CopyUnit> = plan.tables.iter().collect();
    units.sort_by_key(|unit| std::cmp::Reverse(unit.bytes));
    lines.push(format!(
        "{:>11}  {:>14}  {:<28}  table",
        "size", "rows (about)", "how"
    ));
    for unit in units.iter().take(TABLES_SHOWN) {
        lines.push(format!(
            "{:>11}  {:>14}  {:<28}  {}",
            unit.bytes.to_string(),
            unit.rows.to_string(),
            how(unit),
            words::one_line(&unit.table.shown())
        ));
    }
    if units.len() > TABLES_SHOWN {
        let rest = &units[TABLES_SHOWN..];
        let bytes: Bytes = rest.iter().map(|unit| unit.bytes).sum();
        let rows: Rows = rest.iter().map(|unit| unit.rows).sum();
        lines.push(format!(
            "{:>11}  {:>14}  … and {} more tables",
            bytes.to_string(),
            rows.to_string(),
            rest.len()
        ));
    }
    if units.iter().any(|unit| unit.chunks > 1) {
        lines.push(String::new());
        lines.push(
            "In chunks: tables that would keep one worker busy when the others have nothing left to do, or that --chunk-size cuts."
                .to_owned(),
        );
    }
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for unit in &plan.tables {
        if let CopyFormat::Text { because } = &unit.format {
            let table = words::one_line(&unit.table.shown());
            reasons.entry(because).or_default().push(table);
        }
    }
    if !reasons.is_empty() {
        lines.push(String::new());
        lines.push("As text, because the binary format is not safe there:".to_owned());
    }
    for (because, tables) in reasons {
        let because = words::one_line(because);
        lines.push(format!("  {}: {because}", some_of(&tables, 3)));
    }
}

fn how(unit: &CopyUnit) -> String {
    let mut how = unit.format.keyword().to_owned();
    if unit.chunks > 1 {
        let _ = write!(how, ", {} chunks", unit.chunks);
    }
    if unit.freeze {
        how.push_str(", frozen");
    }
    if unit.into != unit.table {
        how.push_str(", through its root");
    }
    how
}

fn phases(paper: &OnPaper<'_>, lines: &mut Vec<String>) {
    let plan = paper.plan;
    let mut jobs: BTreeMap<Phase, (u64, u64)> = BTreeMap::new();
    for job in &plan.jobs {
        let (count, cost) = jobs.entry(job.phase).or_default();
        *count += 1;
        *cost += job.cost;
    }
    lines.push(String::new());
    for (phase, (count, cost)) in jobs {
        let count = words::count(count, "job", "jobs");
        let takes = paper.phases.get(&phase).map_or_else(String::new, |takes| {
            let likely = words::duration(takes.likely_us / 1000);
            format!("; takes {likely}, {}", range(takes))
        });
        lines.push(format!(
            "{:<14}  {count:>10}  {} of work{takes}",
            words::phase(phase),
            words::duration(cost / 1000)
        ));
    }
    lines.push(format!(
        "Phases overlap: each takes from the start of its first job to the end of its last, {}.",
        paper.best.ground.words()
    ));
}

fn left_out(plan: &Plan, lines: &mut Vec<String>) {
    lines.extend(plan.notes.iter().map(|note| words::one_line(note)));
    for table in &plan.excluded {
        let table = words::one_line(&table.shown());
        lines.push(format!("without its rows: {table}"));
    }
    // Without --create the database itself is somebody else's business.
    let worth_telling = plan
        .left_out
        .iter()
        .filter(|(entry, _)| !entry.desc.starts_with("DATABASE"));
    for (entry, because) in worth_telling {
        lines.push(format!(
            "left out: {} {}, {because}",
            entry.desc,
            words::one_line(&entry.tag)
        ));
    }
}

fn path(plan: &Plan, forecast: &Forecast, lines: &mut Vec<String>) {
    lines.push(String::new());
    lines.push("The critical path, one job after the other:".to_owned());
    let jobs: Vec<_> = forecast
        .critical_path
        .iter()
        .filter_map(|&id| plan.job(id))
        .collect();
    let mut longest: Vec<u64> = jobs.iter().map(|job| job.cost).collect();
    longest.sort_unstable_by(|a, b| b.cmp(a));
    let least = longest.get(PATH_SHOWN - 1).copied().unwrap_or(0);
    for job in jobs.iter().filter(|job| job.cost >= least) {
        lines.push(format!(
            "  {:>10}  {}",
            words::duration(job.cost / 1000),
            words::one_line(&job.label)
        ));
    }
}
