//! How fast rows travelled, over the same time as the lanes of the workers.

use std::fmt::Write as _;

use super::super::course::{Leg, Series};
use super::timeline::Scale;
use super::write::Html;
use crate::progress::words;

/// Height of the picture.
const HEIGHT: f64 = 120.0;

/// Adds it, if anything travelled.
pub(super) fn write(html: &mut Html, leg: &Leg) {
    let all = [
        ("data", "copied", &leg.copied),
        ("verify", "read to compare", &leg.compared),
    ];
    let series: Vec<_> = all
        .into_iter()
        .filter(|(_, _, series)| !series.is_empty())
        .collect();
    if series.is_empty() {
        return;
    }
    let scale = Scale::of(leg);
    let fastest = series
        .iter()
        .map(|(_, _, series)| series.fastest())
        .fold(0.0, f64::max);
    html.element("figure", &[], |html| {
        html.element("figcaption", &[], |html| {
            html.leaf("strong", &[], "How fast rows travelled");
            for (class, word, series) in &series {
                key(html, class, &told(word, series));
            }
        });
        html.element("div", &[("class", "chart")], |html| {
            html.element(
                "div",
                &[("class", "lanes rates"), ("aria-hidden", "true")],
                |html| {
                    html.leaf("span", &[], &words::rate(fastest));
                    html.leaf("span", &[], "0");
                },
            );
            let view = format!("0 0 1000 {HEIGHT:.0}");
            let attributes = [
                ("viewBox", &*view),
                ("height", "120"),
                ("preserveAspectRatio", "none"),
                ("role", "img"),
                ("aria-label", "bytes per second over time"),
            ];
            html.element("svg", &attributes, |html| {
                scale.grid(html, HEIGHT);
                for (class, word, series) in &series {
                    let class = format!("rate {class}");
                    let path = path(series, scale, fastest);
                    html.element(
                        "path",
                        &[
                            ("class", &*class),
                            ("vector-effect", "non-scaling-stroke"),
                            ("d", &*path),
                        ],
                        |html| {
                            html.leaf("title", &[], &told(word, series));
                        },
                    );
                }
            });
            scale.axis(html);
        });
    });
}

fn told(word: &str, series: &Series) -> String {
    let (bytes, busy_ms) = series.total();
    let mean = bytes.0 as f64 * 1000.0 / busy_ms.max(1) as f64;
    format!(
        "{bytes} {word}, {} on average, {} at most",
        words::rate(mean),
        words::rate(series.fastest())
    )
}

/// Steps, because what lies between two points is not known, down to the base line at both ends.
fn path(series: &Series, scale: Scale, fastest: f64) -> String {
    let mut path = format!("M0 {HEIGHT:.0}");
    let mut offset_ms = 0;
    for rate in series.rates() {
        let y = HEIGHT - rate * (HEIGHT - 4.0) / fastest.max(1.0);
        let _infallible = write!(path, "V{y:.1}");
        offset_ms += series.stretch_ms;
        let _infallible = write!(path, "H{:.1}", scale.x(offset_ms));
    }
    let _infallible = write!(path, "V{HEIGHT:.0}Z");
    path
}

fn key(html: &mut Html, class: &'static str, word: &str) {
    html.element("span", &[("class", "key")], |html| {
        let attributes = [("width", "14"), ("height", "12"), ("aria-hidden", "true")];
        html.element("svg", &attributes, |html| {
            let class = format!("rate {class}");
            let attributes = [("class", &*class), ("d", "M1 11V3H13V11Z")];
            html.leaf("path", &attributes, "");
        });
        html.text(word);
    });
}
