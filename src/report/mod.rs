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
//! `metrics` says in figures where a run stands, while it goes on. All but what writes files is pure: a run that was recorded
//! gives the same report as one that was watched. What every document says is said once, in `outline`, and each document
//! shows it.
//!
//! | file | what is gathered |
//! |---|---|
//! | `recorded` | the events of a record, as far as it can be read |
//! | `model` | events → the report, `report.json` |
//! | `job`, `phases` | what became of each job, and of each phase |
//! | `sessions` | where a session begins, and what stays of the earlier ones of a run |
//! | `turned` | the steps of a cutover or fallback |
//! | `course` | events → who worked when, and how fast |
//! | `expected` | what an earlier run made us expect, and what came of it |
//!
//! | file | the last sentence, and what to do next |
//! |---|---|
//! | `sentence` | of a move; hands the others over to |
//! | `rehearsed`, `archive`, `restored`, `salvaged` | a rehearsal, a dump, a restore, a run with losses |
//! | `comparison`, `synced`, `followed` | a comparison, a sync or turn, a move whose target follows |
//! | `facts`, `evidence` | what these rest on, counted once; `evidence` for what compares |
//!
//! | file | the documents |
//! |---|---|
//! | `outline` | what all of them say: verdict, meaning, which tables need a look, what was not verified |
//! | `terminal` | the report on the terminal, and its parts: `tables`, `differences`, `rows` (those that differ) |
//! | `html`, `markdown`, `json` | the report as a page, for a ticket, for programs |
//! | `metrics` | where a run stands, for Prometheus |
//! | `check`, `plan`, `timetable` | what `pgconvoy check` and `pgconvoy plan` show, before there is a run |

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
pub use facts::go_on;
pub use job::{JobReport, Outcome};
pub use model::{Checked, MovedOn, Report, ReportBuilder, SnapshotReport};
pub use outline::{Headline, Record, Running, Tone};
pub use phases::PhaseReport;
pub use sentence::{Conclusion, Ending, conclude};
pub use sessions::{ResumedReport, RetryReport, SessionBoundary, SessionReport};
pub use turned::{StepReport, TurnReport, told};
