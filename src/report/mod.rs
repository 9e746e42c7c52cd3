//! What a run comes to: events → report → terminal, JSON.
//!
//! ```text
//!   events.jsonl ──► recorded ──► Event ──► model ──► Report ──► terminal   for whoever stands before it
//!                                 (live) ──►              └────► json       report.json, for later
//!                                              sentence: what is proven, what is not, what to do next
//! ```
//!
//! The model and the sentences are pure: a run that was recorded gives the same report as one that was watched.

mod archive;
pub mod check;
mod comparison;
mod differences;
mod evidence;
mod facts;
pub mod json;
mod model;
mod phases;
pub mod plan;
pub mod recorded;
mod rows;
mod sentence;
mod sessions;
mod tables;
pub mod terminal;

pub use model::{Checked, JobReport, MovedOn, Outcome, Report, ReportBuilder, SnapshotReport};
pub use phases::PhaseReport;
pub use sentence::{Conclusion, Ending, conclude};
pub use sessions::{ResumedReport, RetryReport, SessionReport};
