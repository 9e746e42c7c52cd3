//! Who worked when: a lane for each worker, a bar for each attempt at a job, in the colour of its phase.
//!
//! Bars too narrow to be seen are drawn together with their neighbours: a run has tens of thousands of jobs, and a screen a
//! thousand columns. What a bar stands for is in its title, and an attempt that failed is drawn as failed, whatever is beside
//! it.

use std::collections::BTreeSet;

use super::super::course::{Leg, Span, SpanEnd};
use super::super::outline::phase as phase_word;
use super::timeline::{Scale, WIDTH};
use super::write::Html;
use crate::event::Phase;
use crate::model::Rows;
use crate::progress::words;

/// Most bars in a picture.
const MOST_BARS: usize = 2000;

/// How narrow bars and gaps are drawn together, and whether with those of other phases; the first that gives few enough.
const COARSENESS: [(f64, bool); 8] = [
    (0.0, false),
    (0.8, false),
    (2.0, false),
    (4.0, false),
    (4.0, true),
    (16.0, true),
    (64.0, true),
    (WIDTH, true),
];

/// Narrower than that, a bar could not be seen.
const NARROWEST: f64 = 0.7;

/// One or more attempts of one worker, drawn as one.
#[derive(Debug, Clone, PartialEq)]
struct Bar<'a> {
    worker: u32,
    /// `None` for those of several phases.
    phase: Option<Phase>,
    end: SpanEnd,
    from: f64,
    to: f64,
    count: u64,
    /// Width of the widest attempt; a group may be wider.
    widest: f64,
    /// The longest.
    longest: &'a Span,
    from_ms: u64,
    to_ms: u64,
}

/// Adds the picture and what its colours mean.
pub(super) fn write(html: &mut Html, leg: &Leg) {
    let scale = Scale::of(leg);
    let lanes = leg.workers.max(1);
    let lane = lane_height(lanes);
    let height = lanes.saturating_mul(lane);
    html.element("figure", &[], |html| {
        html.element("figcaption", &[], |html| legend(html, leg));
        html.element("div", &[("class", "chart")], |html| {
            html.element(
                "div",
                &[("class", "lanes"), ("aria-hidden", "true")],
                |html| {
                    if lane >= 18 {
                        let worker = |worker| format!("worker {worker}");
                        (0..lanes).for_each(|lane| html.leaf("span", &[], &worker(lane)));
                    } else {
                        html.leaf(
                            "span",
                            &[],
                            &words::count(u64::from(lanes), "worker", "workers"),
                        );
                    }
                },
            );
            let view = format!("0 0 {WIDTH:.0} {height}");
            let label = format!(
                "{} of work by {}",
                words::count(leg.spans.len() as u64, "piece", "pieces"),
                words::count(u64::from(lanes), "worker", "workers")
            );
            let attributes = [
                ("viewBox", &*view),
                ("height", &*height.to_string()),
                ("preserveAspectRatio", "none"),
                ("role", "img"),
                ("aria-label", &*label),
            ];
            html.element("svg", &attributes, |html| {
                scale.grid(html, f64::from(height));
                draw_bars(html, leg, scale);
            });
            scale.axis(html);
        });
    });
}

/// How high a lane is, if there are so many.
pub(super) fn lane_height(lanes: u32) -> u32 {
    match lanes {
        0..=16 => 18,
        17..=48 => 10,
        _ => 6,
    }
}

/// The phases that occur, each with the class of its colour and its word.
pub(super) fn phases(leg: &Leg) -> Vec<(&'static str, &'static str)> {
    let phases: BTreeSet<Phase> = leg.spans.iter().filter_map(|span| span.phase).collect();
    let key = |phase| (class(Some(phase), SpanEnd::Finished), phase_word(phase));
    phases.into_iter().map(key).collect()
}

/// The bars alone.
pub(super) fn draw_bars(html: &mut Html, leg: &Leg, scale: Scale) {
    let lane = lane_height(leg.workers.max(1));
    for bar in &bars(leg, scale) {
        draw(html, bar, lane);
    }
}

fn draw(html: &mut Html, bar: &Bar<'_>, lane: u32) {
    let y = u64::from(bar.worker) * u64::from(lane) + 1;
    let width = (bar.to - bar.from).max(NARROWEST);
    // The last one stays inside.
    let x = bar.from.min(WIDTH - width);
    let attributes = [
        ("class", class(bar.phase, bar.end)),
        ("x", &*format!("{x:.1}")),
        ("y", &*y.to_string()),
        ("width", &*format!("{width:.1}")),
        ("height", &*(lane - 2).to_string()),
    ];
    html.element("rect", &attributes, |html| {
        html.leaf("title", &[], &title(bar));
    });
}

fn class(phase: Option<Phase>, end: SpanEnd) -> &'static str {
    match (end, phase) {
        (SpanEnd::Failed, _) => "failed",
        (SpanEnd::BrokenOff, _) => "broken",
        (_, None) => "mixed",
        (_, Some(Phase::Schema)) => "schema",
        (_, Some(Phase::Data)) => "data",
        (_, Some(Phase::Indexes)) => "indexes",
        (_, Some(Phase::ForeignKeys)) => "keys",
        (_, Some(Phase::Finish)) => "finish",
        (_, Some(Phase::Verify)) => "verify",
    }
}

fn title(bar: &Bar<'_>) -> String {
    let phase = bar.phase.map_or("several phases", phase_word);
    let end = end_word(bar.end);
    let when = format!(
        "{phase}{end}, worker {}, {} to {}",
        bar.worker,
        words::clock(bar.from_ms),
        words::clock(bar.to_ms)
    );
    let longest = words::duration(bar.longest.duration_ms());
    match bar.count {
        1 => format!("{}: {longest}\n{when}", bar.longest.label),
        count => format!(
            "{} jobs, the longest of them {}: {longest}\n{when}",
            Rows(count),
            bar.longest.label
        ),
    }
}

fn end_word(end: SpanEnd) -> &'static str {
    match end {
        SpanEnd::Finished => "",
        SpanEnd::Running => ", still running at the end of the record",
        SpanEnd::BrokenOff => ", broken off and tried again",
        SpanEnd::Failed => ", failed",
    }
}

/// As many as can be drawn.
fn bars(leg: &Leg, scale: Scale) -> Vec<Bar<'_>> {
    let mut bars = Vec::new();
    for (narrow, mixed) in COARSENESS {
        bars = drawn_together(leg, scale, narrow, mixed);
        if bars.len() <= MOST_BARS {
            break;
        }
    }
    bars
}

fn drawn_together(leg: &Leg, scale: Scale, narrow: f64, mixed: bool) -> Vec<Bar<'_>> {
    let mut spans: Vec<&Span> = leg.spans.iter().collect();
    spans.sort_by_key(|span| (span.worker, span.from));
    let mut bars: Vec<Bar<'_>> = Vec::new();
    for span in spans {
        let bar = bar(span, leg, scale);
        let before = bars.last_mut().filter(|before| {
            let near = before.worker == bar.worker && bar.from - before.to < narrow;
            let alike = before.phase == bar.phase && before.end == bar.end;
            near && before.widest < narrow && bar.widest < narrow && (alike || mixed)
        });
        match before {
            Some(before) => join(before, &bar),
            None => bars.push(bar),
        }
    }
    bars
}

fn bar<'a>(span: &'a Span, leg: &Leg, scale: Scale) -> Bar<'a> {
    let (from_ms, to_ms) = (leg.offset_ms(span.from), leg.offset_ms(span.to));
    let (from, to) = (scale.x(from_ms), scale.x(to_ms));
    Bar {
        worker: span.worker,
        phase: span.phase,
        end: span.end,
        from,
        to,
        count: 1,
        widest: to - from,
        longest: span,
        from_ms,
        to_ms,
    }
}

fn join<'a>(before: &mut Bar<'a>, bar: &Bar<'a>) {
    if before.phase != bar.phase {
        before.phase = None;
    }
    // The worst of them is seen.
    before.end = before.end.max(bar.end);
    before.to = before.to.max(bar.to);
    before.to_ms = before.to_ms.max(bar.to_ms);
    before.count += bar.count;
    before.widest = before.widest.max(bar.widest);
    if bar.longest.duration_ms() > before.longest.duration_ms() {
        before.longest = bar.longest;
    }
}

/// The phases and ends that occur, each with its colour.
fn legend(html: &mut Html, leg: &Leg) {
    let ends: BTreeSet<SpanEnd> = leg.spans.iter().map(|span| span.end).collect();
    html.leaf("strong", &[], "Who worked when");
    for (class, word) in phases(leg) {
        key(html, class, word);
    }
    for (end, word) in [
        (SpanEnd::BrokenOff, "broken off and tried again"),
        (SpanEnd::Failed, "failed"),
    ] {
        if ends.contains(&end) {
            key(html, class(None, end), word);
        }
    }
}

fn key(html: &mut Html, class: &'static str, word: &str) {
    html.element("span", &[("class", "key")], |html| {
        let attributes = [("width", "14"), ("height", "12"), ("aria-hidden", "true")];
        html.element("svg", &attributes, |html| {
            let attributes = [
                ("class", class),
                ("x", "1"),
                ("y", "1"),
                ("width", "12"),
                ("height", "10"),
            ];
            html.leaf("rect", &attributes, "");
        });
        html.text(word);
    });
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::model::JobId;
    use crate::report::course::Series;

    fn leg(spans: u32, workers: u32) -> Leg {
        let noon = DateTime::from_timestamp(1_790_337_600, 0).expect("is a time");
        let at = |ms: i64| noon + TimeDelta::milliseconds(ms);
        let spans: Vec<Span> = (0..spans)
            .map(|number| {
                let begins = i64::from(number / workers) * 10;
                let phases = [Phase::Data, Phase::Indexes, Phase::Verify];
                Span {
                    job: JobId(number),
                    phase: Some(phases[number as usize % 3]),
                    label: format!("job {number}"),
                    worker: number % workers,
                    from: at(begins),
                    to: at(begins + 9),
                    end: if number == 700 {
                        SpanEnd::Failed
                    } else {
                        SpanEnd::Finished
                    },
                }
            })
            .collect();
        Leg {
            started_at: noon,
            ended_at: spans.last().map_or(noon, |span| span.to),
            workers,
            spans,
            copied: Series::default(),
            compared: Series::default(),
        }
    }

    #[test]
    fn every_attempt_is_in_a_bar_however_many_there_are() {
        for (spans, workers) in [(1, 1), (100, 4), (20_000, 8), (100_000, 64)] {
            let leg = leg(spans, workers);
            let bars = bars(&leg, Scale::of(&leg));
            let counted: u64 = bars.iter().map(|bar| bar.count).sum();
            assert_eq!(counted, u64::from(spans));
            assert!(bars.len() <= MOST_BARS, "{} bars", bars.len());
            let failed = bars.iter().any(|bar| bar.end == SpanEnd::Failed);
            assert_eq!(failed, spans > 700);
        }
    }
}
