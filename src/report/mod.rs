//! What a run comes to: events → report → terminal, JSON.
//!
//! ```text
//!   events.jsonl ──► recorded ──► Event ──► model ──► Report ──► terminal   for whoever stands before it
//!                                 (live) ──►              └────► json       report.json, for later
//!                                              sentence: what is proven, what is not, what to do next
//! ```
//!
//! The model and the sentences are pure: a run that was recorded gives the same report as one that was watched.

mod comparison;
mod differences;
mod evidence;
mod facts;
pub mod json;
mod model;
pub mod plan;
pub mod recorded;
mod rows;
mod sentence;
mod tables;
pub mod terminal;

pub use model::{
    Checked, JobReport, MovedOn, Outcome, PhaseReport, Report, ReportBuilder, SnapshotReport,
};
pub use sentence::{Conclusion, Ending, conclude};
