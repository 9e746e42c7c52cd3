//! How the run went over time: for each session, who worked when, and how fast, above the same axis.

use super::super::course::{Course, Leg};
use super::super::outline::time;
use super::write::Html;
use super::{gantt, section, throughput};
use crate::model::Rows;
use crate::progress::words;

/// Width of a picture, in units of its own: it is as wide on the page as there is room.
pub(super) const WIDTH: f64 = 1000.0;

/// Most sessions with a picture of their own.
const MOST_LEGS: usize = 8;

/// Steps between the marks of an axis, in milliseconds.
const STEPS_MS: [u64; 22] = [
    100,
    200,
    500,
    1000,
    2000,
    5000,
    10_000,
    20_000,
    30_000,
    60_000,
    120_000,
    300_000,
    600_000,
    1_200_000,
    1_800_000,
    3_600_000,
    7_200_000,
    14_400_000,
    28_800_000,
    86_400_000,
    172_800_000,
    604_800_000,
];

/// A session's time on its way across the page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    length_ms: u64,
}

impl Scale {
    /// Of a session; one that took no time has a picture, too.
    pub fn of(leg: &Leg) -> Self {
        Self {
            length_ms: leg.duration_ms().max(1),
        }
    }

    /// From the left.
    pub fn x(self, offset_ms: u64) -> f64 {
        offset_ms.min(self.length_ms) as f64 * WIDTH / self.length_ms as f64
    }

    /// Where the marks are: at least one.
    pub fn marks(self) -> Vec<u64> {
        let few_enough = |step: &u64| self.length_ms / step <= 6;
        let longest = self.length_ms.div_ceil(6);
        let step = STEPS_MS.into_iter().find(few_enough).unwrap_or(longest);
        (0..=self.length_ms / step)
            .map(|mark| mark * step)
            .collect()
    }

    /// What stands at a mark.
    pub fn mark_in_words(self, mark: u64) -> String {
        // Whole seconds would all be the same.
        if self.length_ms < 6000 {
            words::duration(mark)
        } else {
            words::clock(mark)
        }
    }

    /// Lines behind a picture, at the marks.
    pub fn grid(self, html: &mut Html, height: f64) {
        use std::fmt::Write as _;
        let mut path = String::new();
        for mark in self.marks().into_iter().skip(1) {
            let _infallible = write!(path, "M{:.1} 0V{height:.0}", self.x(mark));
        }
        if !path.is_empty() {
            html.leaf(
                "path",
                &[
                    ("class", "grid"),
                    ("vector-effect", "non-scaling-stroke"),
                    ("d", &path),
                ],
                "",
            );
        }
    }

    /// The words below a picture. They are not in it, because it is stretched.
    pub fn axis(self, html: &mut Html) {
        html.element("div", &[("class", "axis")], |html| {
            for mark in self.marks() {
                let text = self.mark_in_words(mark);
                // The last one would stick out.
                let left = format!("left:{:.2}%", self.x(mark) * 100.0 / WIDTH);
                let class = if self.x(mark) > WIDTH * 0.93 {
                    "end"
                } else {
                    ""
                };
                html.leaf("span", &[("class", class), ("style", &left)], &text);
            }
        });
    }
}

/// Adds the pictures of the sessions that have something to show.
pub(super) fn write(html: &mut Html, course: &Course) {
    let legs: Vec<(usize, &Leg)> = course
        .legs
        .iter()
        .enumerate()
        .filter(|(_, leg)| !leg.spans.is_empty())
        .collect();
    if legs.is_empty() {
        return;
    }
    let (passed_over, shown) = legs.split_at(legs.len().saturating_sub(MOST_LEGS));
    section(html, "course", "How it went", |html| {
        if !passed_over.is_empty() {
            let text = format!(
                "{} earlier sessions have no picture here; events.jsonl has them.",
                Rows(passed_over.len() as u64)
            );
            html.leaf("p", &[("class", "more")], &text);
        }
        for (number, leg) in shown {
            if course.legs.len() > 1 {
                let heading = format!("Session {}, from {}", number + 1, time(leg.started_at));
                html.leaf("h3", &[], &heading);
            }
            gantt::write(html, leg);
            throughput::write(html, leg);
        }
    });
}
