//! A plan's simulated course as a picture: who would work on what when, on the terminal, and as a file that any browser shows.
//!
//! The same picture as that of a run that has been (`html::gantt`), drawn from what the ready queue does on paper. It shows where
//! workers have nothing to do, and which job everybody waits for in the end.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta};

use super::course::{Leg, Series, Span, SpanEnd};
use super::html;
use crate::event::Phase;
use crate::model::JobId;
use crate::plan::Plan;
use crate::progress::words;
use crate::schedule::Slot;

/// Workers that are drawn on the terminal.
const MOST_LANES: usize = 24;

/// The narrowest and the widest picture.
const COLUMNS: (usize, usize) = (20, 150);

const PHASES: [Phase; 6] = [
    Phase::Schema,
    Phase::Data,
    Phase::Indexes,
    Phase::ForeignKeys,
    Phase::Finish,
    Phase::Verify,
];

/// What stands for a phase.
fn letter(phase: Phase) -> char {
    match phase {
        Phase::Schema => 's',
        Phase::Data => 'C',
        Phase::Indexes => 'I',
        Phase::ForeignKeys => 'K',
        Phase::Finish => 'a',
        Phase::Verify => 'V',
    }
}

const IDLE: char = '·';

/// The picture in characters: a line for each worker, below that the time, and what the letters mean.
pub fn picture(plan: &Plan, slots: &[Slot<JobId>], columns: usize) -> Vec<String> {
    let end = slots.iter().map(|slot| slot.to).max().unwrap_or(0);
    let lanes = slots.iter().map(|slot| slot.worker + 1).max().unwrap_or(0);
    if end == 0 || lanes == 0 {
        return Vec::new();
    }
    let margin = lanes.to_string().len() + 4;
    let width = columns.saturating_sub(margin).clamp(COLUMNS.0, COLUMNS.1);
    let mut drawn = Vec::new();
    let mut met = BTreeSet::new();
    for worker in 0..lanes.min(MOST_LANES) {
        let lane = lane(plan, slots, worker, (width, end));
        met.extend(lane.iter().copied().flatten());
        let letters: String = lane
            .into_iter()
            .map(|phase| phase.map_or(IDLE, letter))
            .collect();
        drawn.push(format!(
            "  {worker:>digits$}  {letters}",
            digits = margin - 4
        ));
    }
    let indent = " ".repeat(margin);
    if lanes > MOST_LANES {
        drawn.push(format!("{indent}… and {} more workers", lanes - MOST_LANES));
    }
    drawn.push(format!("{indent}{}", axis(end / 1000, width)));
    let meanings = met
        .into_iter()
        .map(|phase| format!("{} {}", letter(phase), words::phase(phase)));
    let meanings: Vec<String> = meanings.collect();
    drawn.push(format!(
        "{indent}{} · {IDLE} nothing to do",
        meanings.join(" · ")
    ));
    drawn
}

/// What a worker does in each of equal stretches of time: what it does for most of it, if it works for at least half of it.
fn lane(
    plan: &Plan,
    slots: &[Slot<JobId>],
    worker: usize,
    (width, end): (usize, u64),
) -> Vec<Option<Phase>> {
    let mut spent = vec![[0_u64; PHASES.len()]; width];
    let cells = width as u64;
    let begin_of =
        |cell: u64| u64::try_from(u128::from(end) * u128::from(cell) / u128::from(cells));
    let begin_of = |cell: u64| begin_of(cell).unwrap_or(end);
    for slot in slots.iter().filter(|slot| slot.worker == worker) {
        let phase = plan.job(slot.key).map(|job| job.phase);
        let Some(phase) = PHASES.iter().position(|one| Some(*one) == phase) else {
            continue;
        };
        for (cell, spent) in (0_u64..).zip(&mut spent) {
            let (from, to) = (begin_of(cell), begin_of(cell + 1));
            spent[phase] += slot.to.min(to).saturating_sub(slot.from.max(from));
        }
    }
    (0_u64..)
        .zip(&spent)
        .map(|(cell, spent)| {
            let length = begin_of(cell + 1) - begin_of(cell);
            let busy: u64 = spent.iter().sum();
            let most = spent.iter().zip(PHASES).max_by_key(|(spent, _)| **spent);
            most.filter(|_| 2 * busy >= length.max(1))
                .map(|(_, phase)| phase)
        })
        .collect()
}

/// `0:00              0:30              1:00`.
fn axis(end_ms: u64, width: usize) -> String {
    let (begin, middle, end) = (
        words::clock(0),
        words::clock(end_ms / 2),
        words::clock(end_ms),
    );
    let first = (width / 2).saturating_sub(begin.len());
    let second = (width - width / 2).saturating_sub(middle.len() + end.len());
    format!("{begin}{:first$}{middle}{:second$}{end}", "", "")
}

/// The picture as a file in SVG.
pub fn svg(plan: &Plan, slots: &[Slot<JobId>]) -> String {
    let end = slots.iter().map(|slot| slot.to).max().unwrap_or(0);
    let title = format!(
        "{} on {}: about {} by rough rates",
        words::count(plan.jobs.len() as u64, "job", "jobs"),
        words::count(u64::from(plan.workers), "worker", "workers"),
        words::duration(end / 1000)
    );
    html::gantt_file(&leg(plan, slots), &title)
}

/// As if it had been run, from the beginning of time on.
fn leg(plan: &Plan, slots: &[Slot<JobId>]) -> Leg {
    let at = |us: u64| {
        let us = i64::try_from(us).unwrap_or(i64::MAX);
        let at = DateTime::UNIX_EPOCH.checked_add_signed(TimeDelta::microseconds(us));
        at.unwrap_or(DateTime::UNIX_EPOCH)
    };
    let spans = slots.iter().map(|slot| {
        let job = plan.job(slot.key);
        Span {
            job: slot.key,
            phase: job.map(|job| job.phase),
            label: job.map_or_else(String::new, |job| job.label.clone()),
            worker: u32::try_from(slot.worker).unwrap_or(u32::MAX),
            from: at(slot.from),
            to: at(slot.to),
            end: SpanEnd::Finished,
        }
    });
    let spans: Vec<Span> = spans.collect();
    Leg {
        started_at: at(0),
        ended_at: spans.iter().map(|span| span.to).max().unwrap_or(at(0)),
        workers: plan.workers,
        spans,
        copied: Series::default(),
        compared: Series::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Job, Work, testing};

    fn plan() -> Plan {
        let job = |id: u32, phase, label: &str| Job {
            label: label.to_owned(),
            ..testing::job(id, phase, Work::Copy { tables: Vec::new() })
        };
        Plan {
            jobs: vec![
                job(0, Phase::Data, "copy public.\"<a> & b\""),
                job(1, Phase::Data, "copy public.c"),
                job(2, Phase::Indexes, "index c_pkey"),
            ],
            ..Plan::of_nothing(2)
        }
    }

    fn slots() -> Vec<Slot<JobId>> {
        let slot = |key, worker, from: u64, to: u64| Slot {
            key: JobId(key),
            worker,
            from: from * 1_000_000,
            to: to * 1_000_000,
        };
        vec![slot(0, 0, 0, 40), slot(1, 1, 0, 10), slot(2, 1, 10, 30)]
    }

    #[test]
    fn each_worker_has_a_line() {
        let drawn = picture(&plan(), &slots(), 25);
        assert_eq!(
            drawn,
            [
                "  0  CCCCCCCCCCCCCCCCCCCC",
                "  1  CCCCCIIIIIIIIII·····",
                "     0:00      0:20  0:40",
                "     C copying · I indexes · · nothing to do",
            ]
        );
        assert_eq!(picture(&plan(), &[], 80), [""; 0]);
    }

    #[test]
    fn the_file_stands_alone_and_names_are_no_markup() {
        let file = svg(&plan(), &slots());
        assert!(
            file.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg "),
            "{file}"
        );
        assert!(file.trim_end().ends_with("</svg>"), "{file}");
        assert!(file.contains("&lt;a&gt; &amp; b"), "{file}");
        for (open, close) in [
            ("<svg", "</svg>"),
            ("<g", "</g>"),
            ("<text", "</text>"),
            ("<rect", "</rect>"),
        ] {
            assert_eq!(
                file.matches(open).count(),
                file.matches(close).count(),
                "{open}"
            );
        }
        assert_eq!(file.matches("<title>").count(), 3, "{file}");
    }
}
