//! What a run comes to: events → report → terminal, JSON, a page, Markdown.
//!
//! ```text
//!   events.jsonl ──► recorded ──► Event ─┬─► model ──► Report ─┬─► terminal   for whoever stands before it
//!                                 (live) ┘       │             ├─► json       report.json, for programs
//!                                        └─► course ─► Course ─┼─► html       report.html, one file to keep and to print
//!                                                │             └─► markdown   for a ticket
//!                                            sentence: what is proven, what is not, what to do next
//! ```
//!
//! `metrics` says in figures where a run stands, while it goes on. All but what writes files is pure: a run that was recorded gives the same report as one that was watched. What the
//! documents have in common is in `outline`.

mod archive;
pub mod check;
mod comparison;
pub mod course;
mod differences;
mod evidence;
mod expected;
mod facts;
mod followed;
pub mod html;
mod job;
pub mod json;
pub mod markdown;
pub mod metrics;
mod model;
mod outline;
mod phases;
pub mod plan;
pub mod recorded;
mod rehearsed;
mod restored;
mod rows;
mod salvaged;
mod sentence;
mod sessions;
mod synced;
mod tables;
pub mod terminal;
pub mod timetable;
mod turned;

pub use expected::{Deviation, ExpectedReport};
pub use job::{JobReport, Outcome};
pub use model::{Checked, MovedOn, Report, ReportBuilder, SnapshotReport};
pub use outline::{Headline, Record, Running, Tone};
pub use phases::PhaseReport;
pub use sentence::{Conclusion, Ending, conclude};
pub use sessions::{ResumedReport, RetryReport, SessionReport};
pub use turned::{StepReport, TurnReport, told};
