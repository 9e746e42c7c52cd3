//! Where a run stands, in the text format of Prometheus: for the textfile collector of the node exporter, or any other that
//! reads it.
//!
//! Pure. Every series is a gauge, because a session may start anew and a file does not remember the one before it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use super::{Outcome, Report};
use crate::event::Phase;
use crate::model::{ExitStatus, Verdict};

/// The text. Of a report without a status, the run goes on.
pub fn text(report: &Report, now: DateTime<Utc>) -> String {
    let mut out = Metrics::default();
    about(&mut out, report, now);
    ending(&mut out, report);
    jobs(&mut out, report);
    amounts(&mut out, report);
    verification(&mut out, report);
    out.text
}

#[derive(Default)]
struct Metrics {
    text: String,
}

impl Metrics {
    /// A gauge with its values by labels.
    fn gauge(&mut self, name: &str, help: &str, values: &[(Vec<(&str, String)>, f64)]) {
        if values.is_empty() {
            return;
        }
        let _infallible = writeln!(self.text, "# HELP pgconvoy_{name} {help}");
        let _infallible = writeln!(self.text, "# TYPE pgconvoy_{name} gauge");
        for (labels, value) in values {
            let labels: Vec<String> = labels
                .iter()
                .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
                .collect();
            let labels = match labels.as_slice() {
                [] => String::new(),
                labels => format!("{{{}}}", labels.join(",")),
            };
            let _infallible = writeln!(self.text, "pgconvoy_{name}{labels} {value}");
        }
    }

    fn one(&mut self, name: &str, help: &str, value: f64) {
        self.gauge(name, help, &[(Vec::new(), value)]);
    }
}

/// A label's value: a backslash, a quote and a line end are escaped.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

fn seconds(at: DateTime<Utc>) -> f64 {
    at.timestamp_millis() as f64 / 1000.0
}

fn about(out: &mut Metrics, report: &Report, now: DateTime<Utc>) {
    let end = |end: &Option<crate::model::Endpoint>| {
        end.as_ref().map_or_else(String::new, |end| {
            format!("{} at {}:{}", end.database, end.host, end.port)
        })
    };
    let labels = vec![
        ("version", report.version.clone()),
        ("command", report.command.to_string()),
        ("source", end(&report.source)),
        ("target", end(&report.target)),
        ("run_dir", report.run_dir.clone()),
    ];
    out.gauge("info", "What is run; always 1.", &[(labels, 1.0)]);
    if let Some(started_at) = report.started_at {
        let help = "When the session began, in seconds since 1970.";
        out.one("start_time_seconds", help, seconds(started_at));
        let until = match report.status {
            Some(_) => report.ended_at.unwrap_or(now),
            None => now,
        };
        let elapsed = (seconds(until) - seconds(started_at)).max(0.0);
        out.one(
            "elapsed_seconds",
            "How long the session has taken.",
            elapsed,
        );
    }
    let help =
        "When this was written, in seconds since 1970; a run that was killed writes no more.";
    out.one("updated_time_seconds", help, seconds(now));
}

fn ending(out: &mut Metrics, report: &Report) {
    let running = f64::from(u8::from(report.status.is_none()));
    out.one("running", "Whether the run goes on.", running);
    let Some(status) = report.status else {
        return;
    };
    let help = "The exit status; not there while the run goes on.";
    out.one("exit_status", help, f64::from(status.code()));
    let values: Vec<_> = ExitStatus::ALL
        .into_iter()
        .map(|of| {
            let is = f64::from(u8::from(of == status));
            (vec![("verdict", of.word().to_owned())], is)
        })
        .collect();
    out.gauge("verdict", "1 for how the run ended.", &values);
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Schema => "schema",
        Phase::Data => "data",
        Phase::Indexes => "indexes",
        Phase::ForeignKeys => "foreign_keys",
        Phase::Finish => "finish",
        Phase::Verify => "verify",
    }
}

fn jobs(out: &mut Metrics, report: &Report) {
    const STATES: [&str; 6] = ["open", "running", "finished", "failed", "skipped", "kept"];
    let mut counts: BTreeMap<Phase, [u64; STATES.len()]> = BTreeMap::new();
    for job in &report.jobs {
        let state = match job.outcome {
            Outcome::Open => 0,
            Outcome::Running => 1,
            Outcome::Finished => 2,
            Outcome::Failed { .. } => 3,
            Outcome::Skipped { .. } => 4,
            Outcome::Kept { .. } => 5,
        };
        counts.entry(job.plan.phase).or_default()[state] += 1;
    }
    let values: Vec<_> = counts
        .iter()
        .flat_map(|(of, counts)| {
            STATES.iter().zip(counts).map(|(state, count)| {
                let labels = vec![
                    ("phase", phase(*of).to_owned()),
                    ("state", (*state).to_owned()),
                ];
                (labels, *count as f64)
            })
        })
        .collect();
    out.gauge("jobs", "Jobs by phase and state.", &values);
    let retries = report.retries.len() as f64;
    let help = "How often a job was broken off and tried again, in all sessions.";
    out.one("retries", help, retries);
}

fn amounts(out: &mut Metrics, report: &Report) {
    let mut bytes: BTreeMap<Phase, (u64, u64)> = BTreeMap::new();
    for job in &report.jobs {
        if matches!(job.plan.phase, Phase::Data | Phase::Verify) {
            let (bytes, rows) = bytes.entry(job.plan.phase).or_default();
            *bytes = bytes.saturating_add(job.bytes_done.0);
            *rows = rows.saturating_add(job.rows_done.0);
        }
    }
    let by_phase = |of: fn(&(u64, u64)) -> u64| -> Vec<_> {
        bytes
            .iter()
            .map(|(name, amounts)| {
                let labels = vec![("phase", phase(*name).to_owned())];
                (labels, of(amounts) as f64)
            })
            .collect()
    };
    let help = "Bytes of rows that this session has copied (data), or read to compare (verify).";
    out.gauge("bytes", help, &by_phase(|amounts| amounts.0));
    let help = "Rows that this session has copied (data), or read to compare (verify).";
    out.gauge("rows", help, &by_phase(|amounts| amounts.1));
    if report.planned_tables.is_some() {
        let help = "Bytes of table data on the source, by the plan.";
        out.one("planned_bytes", help, report.planned_bytes.0 as f64);
    }
}

fn verification(out: &mut Metrics, report: &Report) {
    let verdicts = [
        (Verdict::Identical, "identical"),
        (Verdict::SameCount, "same_count"),
        (Verdict::Excluded, "excluded"),
        (Verdict::NotVerified, "not_verified"),
        (Verdict::Different, "different"),
    ];
    let values: Vec<_> = verdicts
        .into_iter()
        .map(|(verdict, word)| {
            let labels = vec![("verdict", word.to_owned())];
            (labels, report.verdicts(verdict) as f64)
        })
        .collect();
    out.gauge("tables", "Tables by verdict.", &values);
    let help = "Differences between source and target.";
    out.one("differences", help, report.differences.len() as f64);
    let help = "What could not be verified.";
    out.one("unverified", help, report.unverified.len() as f64);
}
