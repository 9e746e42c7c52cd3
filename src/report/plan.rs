//! A plan for people: what would be done, how, in which order, and what it hangs on.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::event::Phase;
use crate::model::{Bytes, CopyFormat, Rows};
use crate::plan::{CopyUnit, Forecast, Plan};
use crate::progress::words;

/// Tables shown before the rest is summed up.
const TABLES_SHOWN: usize = 40;
/// Jobs of the critical path shown.
const PATH_SHOWN: usize = 12;

/// The plan as lines of text.
pub fn render(plan: &Plan, forecast: &Forecast) -> Vec<String> {
    let mut lines = Vec::new();
    tables(plan, &mut lines);
    phases(plan, &mut lines);
    left_out(plan, &mut lines);
    course(plan, forecast, &mut lines);
    lines
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
            unit.table.shown()
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
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for unit in &plan.tables {
        if let CopyFormat::Text { because } = &unit.format {
            reasons.entry(because).or_default().push(unit.table.shown());
        }
    }
    if !reasons.is_empty() {
        lines.push(String::new());
        lines.push("As text, because the binary format is not safe there:".to_owned());
    }
    for (because, tables) in reasons {
        let more = if tables.len() > 3 {
            format!(" and {} more", tables.len() - 3)
        } else {
            String::new()
        };
        let named: Vec<String> = tables.into_iter().take(3).collect();
        lines.push(format!("  {}{more}: {because}", named.join(", ")));
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

fn phases(plan: &Plan, lines: &mut Vec<String>) {
    let mut jobs: BTreeMap<Phase, (u64, u64)> = BTreeMap::new();
    for job in &plan.jobs {
        let (count, cost) = jobs.entry(job.phase).or_default();
        *count += 1;
        *cost += job.cost;
    }
    lines.push(String::new());
    for (phase, (count, cost)) in jobs {
        let count = words::count(count, "job", "jobs");
        lines.push(format!(
            "{:<14}  {count:>10}  {} of work",
            words::phase(phase),
            words::duration(cost / 1000)
        ));
    }
}

fn left_out(plan: &Plan, lines: &mut Vec<String>) {
    lines.extend(plan.notes.iter().map(|note| words::one_line(note)));
    for table in &plan.excluded {
        lines.push(format!("without its rows: {}", table.shown()));
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

fn course(plan: &Plan, forecast: &Forecast, lines: &mut Vec<String>) {
    lines.push(String::new());
    lines.push("What it hangs on, one after the other:".to_owned());
    let path: Vec<_> = forecast
        .critical_path
        .iter()
        .filter_map(|&id| plan.job(id))
        .collect();
    let mut longest: Vec<u64> = path.iter().map(|job| job.cost).collect();
    longest.sort_unstable_by(|a, b| b.cmp(a));
    let least = longest.get(PATH_SHOWN - 1).copied().unwrap_or(0);
    for job in path.iter().filter(|job| job.cost >= least) {
        lines.push(format!(
            "  {:>10}  {}",
            words::duration(job.cost / 1000),
            words::one_line(&job.label)
        ));
    }
    lines.push(String::new());
    lines.push(format!(
        "{} jobs on {}: about {} by rough rates of ordinary hardware, not measured here; nothing was touched.",
        plan.jobs.len(),
        words::count(u64::from(plan.workers), "worker", "workers"),
        words::duration(forecast.duration_us / 1000),
    ));
}
