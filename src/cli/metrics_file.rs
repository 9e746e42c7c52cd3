//! `--metrics-file`: keeps a file up to date that says where the run stands, for whoever collects such figures.
//!
//! Whoever reads it sees a whole file: it is written beside its place, and renamed. A file that cannot be written is said once,
//! and the run goes on.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use chrono::Utc;

use crate::report::{Report, metrics};

/// How often it is written.
const EVERY: Duration = Duration::from_secs(5);

/// The file, and when it is written next.
#[derive(Debug)]
pub(super) struct MetricsFile {
    path: PathBuf,
    due: Instant,
    complained: bool,
}

impl MetricsFile {
    /// To be written at once.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            due: Instant::now(),
            complained: false,
        }
    }

    /// Whether it is time to write it.
    pub fn is_due(&self) -> bool {
        Instant::now() >= self.due
    }

    /// Writes it. Returns the complaint to pass on, if there is one and it is the first.
    pub fn write(&mut self, report: &Report) -> Option<String> {
        let written = self.replace(&metrics::text(report, Utc::now()));
        self.due = Instant::now() + EVERY;
        let error = written.err()?;
        let first = !std::mem::replace(&mut self.complained, true);
        let text = format!("{} cannot be written: {error}", self.path.display());
        first.then_some(text)
    }

    fn replace(&self, text: &str) -> io::Result<()> {
        let mut beside = OsString::from(&self.path);
        // Collectors read what ends in .prom.
        beside.push(".part");
        fs::write(&beside, text)?;
        fs::rename(&beside, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_knows_how_often_the_file_is_written() {
        assert_eq!(EVERY, Duration::from_secs(5));
        assert!(crate::readme_says(
            "The file is replaced every five seconds and at the end"
        ));
    }
}
