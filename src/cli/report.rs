//! `pgconvoy report`: a run as a document, from what its directory says, while it runs or afterwards.
//!
//! ```text
//!   events.jsonl ──► Report, Course ─┬─► one page of HTML: RUN_DIR/report.html, a file, or stdout
//!                                    ├─► Markdown
//!                                    └─► JSON, as report.json is
//! ```
//!
//! Needs no server, and disturbs nobody. The report is made anew from the events: of a run that was killed there is no
//! report.json.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use chrono::Utc;
use clap::Args;

use super::record;
use super::run_dir::Look;
use super::watch::{self, LastWords};
use crate::failure::Failure;
use crate::model::ExitStatus;
use crate::report::course::{Course, CourseBuilder};
use crate::report::{Record, Report, ReportBuilder, Running, html, json, markdown};

/// Write a report about a run, while it runs or afterwards: one HTML file, Markdown or JSON
///
/// The page says what is proven and what is not, and shows every table, every failed statement in full, and which worker did
/// what and when. It is self-contained, and loads nothing. The exit status is 0 if it could be written, and says nothing about
/// the run.
#[derive(Debug, Clone, Args)]
#[command(name = "report")]
pub struct ReportArgs {
    /// The run's directory [default: the ./pgconvoy-* that was written to last]
    #[arg(value_name = "RUN_DIR")]
    run_dir: Option<PathBuf>,

    /// Where to write it; - is stdout [default: report.html in the run directory; stdout for --json and --markdown]
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Write JSON, for programs, as in report.json
    #[arg(long, conflicts_with = "markdown")]
    json: bool,

    /// Write Markdown, for a ticket or a chat
    #[arg(long)]
    markdown: bool,
}

/// What a run's directory says of it.
struct Told {
    report: Report,
    course: Course,
    running: Option<Running>,
    remarks: Vec<String>,
}

impl ReportArgs {
    /// Writes it.
    pub(super) fn start(self) -> Result<ExitStatus, Failure> {
        let look = watch::find(self.run_dir.clone())?;
        let told = Told::read(&look)?;
        let document = self.document(&told)?;
        match self.output.as_deref() {
            Some(file) if file != Path::new("-") => write_to(file, &document)?,
            None if !self.json && !self.markdown => {
                let path = look.write_page(&document).map_err(|mut failure| {
                    failure.hint = Some("Name another file with -o FILE; - is stdout.".to_owned());
                    failure
                })?;
                // For the next command: whatever opens it.
                say(&format!("{}\n", path.display()))?;
            }
            _ => say(&document)?,
        }
        Ok(ExitStatus::Proven)
    }

    fn document(&self, told: &Told) -> Result<String, Failure> {
        if self.json {
            let bytes = json::bytes(&told.report).map_err(Failure::from)?;
            return Ok(String::from_utf8_lossy(&bytes).into_owned());
        }
        let record = told.record();
        Ok(if self.markdown {
            markdown::text(record)
        } else {
            html::page(record)
        })
    }
}

impl Told {
    fn read(look: &Look) -> Result<Self, Failure> {
        // First who, then what: a run that ends in between is told of as ended.
        let holder = look.holder()?;
        let (mut report, mut course) = (ReportBuilder::default(), CourseBuilder::default());
        let mut recording = record::read(look, |event| {
            report.apply(&event);
            course.apply(&event);
        })?;
        if holder.is_some() {
            report = report.at_work();
        }
        let mut report = report.build();
        let run_dir = look.path().display().to_string();
        let running = holder.filter(|_| report.status.is_none());
        let running = running.map(|holder| Running {
            by: holder.to_string(),
            at: Utc::now(),
        });
        if running.is_some() {
            report.run_dir = run_dir;
        } else {
            let last_words = match report.status {
                Some(_) => LastWords::Own,
                None => LastWords::Killed,
            };
            watch::settle(&mut report, &run_dir, last_words);
        }
        // The end of a record that is still being written is no remark.
        recording.torn &= running.is_none();
        Ok(Self {
            course: course.build(),
            report,
            running,
            remarks: recording.remarks(),
        })
    }

    fn record(&self) -> Record<'_> {
        Record {
            report: &self.report,
            course: &self.course,
            running: self.running.as_ref(),
            remarks: &self.remarks,
        }
    }
}

fn write_to(file: &Path, document: &str) -> Result<(), Failure> {
    fs::write(file, document).map_err(|error| Failure::file("writing", file, &error))
}

fn say(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    written.map_err(|error| Failure::file("writing", "stdout".as_ref(), &error))
}
