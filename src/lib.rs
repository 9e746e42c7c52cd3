//! pgconvoy: a supervisor for Postgres dump and restore.
//!
//! ```text
//!   inspect → preflight → plan → execute (ledger) → verify → report
//! ```
//!
//! | module | what lives there |
//! |---|---|
//! | [`cli`] | one file per command: its arguments and `run()`; the only user of clap |
//! | [`failure`] | every error → kind, message, hint, exit status |
//! | [`fault`] | fault points for the test suite, named by moment |
//! | [`model`] | shared nouns: names, quantities, digests, differences |
//! | [`event`] | what a run tells the world; the one contract between a run and its displays |
//! | [`pg`] | conninfo, TLS, sessions, snapshot, the COPY relay, client tools; the only opener of connections and processes |
//! | [`catalog`] | `sql/catalog/*.sql` → typed facts about a server |
//! | [`toc`] | read, split, compare and write an archive's table of contents |
//! | [`archive`] | data files of an archive: compression, manifest, end marker |
//! | [`preflight`] | facts → findings (severity, what, remedy) → go / no-go |
//! | [`plan`] | facts + options → an immutable plan: jobs, edges, costs |
//! | [`schedule`] | the ready queue: what may start now, longest remaining path first |
//! | [`execute`] | the supervisor, and one file per kind of job |
//! | [`ledger`] | done-marks committed with the work |
//! | [`salvage`] | what can still be read of a damaged source, and what is lost |
//! | [`verify`] | source and target → differences, in one vocabulary |
//! | [`follow`] | one database follows another, and cut-over and fallback between them |
//! | [`sync`] | brings a target that was moved earlier to the source's present |
//! | [`progress`] | folds events into state once; renders it as terminal bars, plain lines or JSON |
//! | [`report`] | events → report → terminal, JSON, a page, Markdown |
//!
//! Invariants, each with a test behind it: exit status 0 means proven; the source is only read; a target that is not
//! empty is never written over unasked; a sync that is killed leaves the target as it was, or as it is to be; of two databases that follow each other one at most is open to writers; nothing is cut short or swallowed; secrets stay secret.

// Both end the program when nobody reads what it says any more; `cli::say` does not. Not in Cargo.toml: tests and benchmarks print.
#![warn(clippy::print_stderr, clippy::print_stdout)]

pub mod archive;
pub mod catalog;
pub mod cli;
pub mod event;
pub mod execute;
pub mod failure;
pub mod fault;
pub mod follow;
pub mod ledger;
pub mod model;
pub mod pg;
pub mod plan;
pub mod preflight;
pub mod progress;
pub mod report;
pub mod salvage;
pub mod schedule;
pub mod sync;
pub mod toc;
pub mod verify;

/// Whether the README or a command's guide says this, wherever its lines break: how long things are waited for is held to the
/// constants by it.
#[cfg(test)]
fn readme_says(words: &str) -> bool {
    let guides = [
        include_str!("../README.md"),
        include_str!("cli/dump/README.md"),
        include_str!("cli/follow/README.md"),
        include_str!("cli/restore/README.md"),
        include_str!("cli/salvage/README.md"),
        include_str!("cli/sync/README.md"),
        include_str!("cli/verify/README.md"),
    ];
    guides.iter().any(|guide| {
        let guide: Vec<&str> = guide.split_whitespace().collect();
        guide.join(" ").contains(words)
    })
}
