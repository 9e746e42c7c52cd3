//! How many faults, resumptions and differences: one line for each test, which `make test-faults` sums up.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// What became of the cases of a test.
#[derive(Debug, Default)]
pub struct Figures {
    /// Faults that struck.
    pub faults: u32,
    /// Runs that went on to their end all the same.
    pub survived: u32,
    /// Runs that were resumed, each as often as it was.
    pub resumed: u32,
    /// Runs that had not touched anything, and were begun anew.
    pub anew: u32,
    /// What was not as it should be, whole.
    pub failures: Vec<String>,
}

/// Whether everything is asked for, and not only what a change has to pass every time.
pub fn whole() -> bool {
    std::env::var("PGCONVOY_FAULTS").is_ok_and(|value| value == "whole")
}

/// Where what failed is kept.
pub fn kept() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults")
}

impl Figures {
    /// Writes the line, and fails if anything did.
    #[track_caller]
    pub fn conclude(self) {
        let Self {
            faults,
            survived,
            resumed,
            anew,
            failures,
        } = self;
        let line = format!(
            "{faults} faults injected, {survived} runs survived, {resumed} resumed, {anew} begun anew, {} differences",
            failures.len()
        );
        println!("{line}");
        let test = std::thread::current().name().unwrap_or("?").to_owned();
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults-figures.txt");
        let file = OpenOptions::new().append(true).create(true).open(&path);
        file.and_then(|mut file| file.write_all(format!("{line}: {test}\n").as_bytes()))
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    }
}
