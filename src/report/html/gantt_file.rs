//! Who works when, as an image of its own: the bars of the page's picture, with their colours, names and times in it.
//!
//! A browser stretches the page's picture to the room there is, and sets the words around it. A file has its own size, and has
//! to bring its words along.

use super::super::course::Leg;
use super::gantt::{draw_bars, lane_height, phases};
use super::timeline::{Scale, WIDTH};
use super::write::Html;

/// Room around the bars, in the image's units.
const LEFT: f64 = 90.0;
const TOP: f64 = 56.0;
const RIGHT: f64 = 30.0;
const BOTTOM: f64 = 30.0;

/// Room that a word of the legend takes.
const LETTER: f64 = 7.5;

const STYLE: &str = "\
svg { font: 12px system-ui, sans-serif; background: #fff; }
text { fill: #1a1d21; } .faint { fill: #5b6370; } .heading { font-weight: 600; font-size: 14px; } .right { text-anchor: end; }
.middle { text-anchor: middle; }
rect { stroke: #f6f7f9; stroke-width: .5; } .ground { fill: #f6f7f9; } .grid { stroke: #d8dce2; fill: none; }
.schema { fill: #7b828c; } .data { fill: #0072b2; } .indexes { fill: #e69f00; } .keys { fill: #cc79a7; }
.finish { fill: #56b4e9; } .verify { fill: #009e73; } .mixed { fill: #9aa1ab; } .failed { fill: #d55e00; }
";

/// The image.
pub(in crate::report) fn write(leg: &Leg, title: &str) -> String {
    let scale = Scale::of(leg);
    let lanes = leg.workers.max(1);
    let height = f64::from(lanes) * f64::from(lane_height(lanes));
    let size = (LEFT + WIDTH + RIGHT, TOP + height + BOTTOM);
    let mut image = Html::image();
    let attributes = [
        ("xmlns", "http://www.w3.org/2000/svg"),
        ("viewBox", &*format!("0 0 {:.0} {:.0}", size.0, size.1)),
        ("width", &*format!("{:.0}", size.0)),
        ("height", &*format!("{:.0}", size.1)),
        ("role", "img"),
        ("aria-label", title),
    ];
    image.element("svg", &attributes, |image| {
        image.stylesheet(STYLE);
        text(image, "heading", (LEFT, 20.0), title);
        legend(image, leg);
        names(image, lanes);
        image.element(
            "g",
            &[("transform", &*format!("translate({LEFT} {TOP})"))],
            |image| {
                let ground = [
                    ("class", "ground"),
                    ("width", &*format!("{WIDTH:.0}")),
                    ("height", &*format!("{height:.0}")),
                ];
                image.leaf("rect", &ground, "");
                scale.grid(image, height);
                draw_bars(image, leg, scale);
            },
        );
        for mark in scale.marks() {
            let at = (LEFT + scale.x(mark), TOP + height + 18.0);
            text(image, "faint middle", at, &scale.mark_in_words(mark));
        }
    });
    image.finish()
}

fn legend(image: &mut Html, leg: &Leg) {
    let mut x = LEFT;
    for (class, word) in phases(leg) {
        let key = [
            ("class", class),
            ("x", &*format!("{x:.0}")),
            ("y", "32"),
            ("width", "12"),
            ("height", "12"),
        ];
        image.leaf("rect", &key, "");
        text(image, "faint", (x + 18.0, 42.0), word);
        x += 36.0 + word.len() as f64 * LETTER;
    }
}

/// Names of the workers, where there is room for them.
fn names(image: &mut Html, lanes: u32) {
    let lane = f64::from(lane_height(lanes));
    let every = if lane < 18.0 { 4 } else { 1 };
    for worker in (0..lanes).step_by(every) {
        let y = TOP + f64::from(worker) * lane + lane * 0.75;
        text(
            image,
            "faint right",
            (LEFT - 8.0, y),
            &format!("worker {worker}"),
        );
    }
}

fn text(image: &mut Html, class: &str, (x, y): (f64, f64), words: &str) {
    let attributes = [
        ("class", class),
        ("x", &*format!("{x:.0}")),
        ("y", &*format!("{y:.0}")),
    ];
    image.leaf("text", &attributes, words);
}
