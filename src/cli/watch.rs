//! `pgconvoy watch`: attaches to a run, from any terminal, while it runs or afterwards.
//!
//! ```text
//!   events.jsonl ──► RecordReader ─┬─► the same displays as those of the run itself
//!                              └─► the report ──► the final table, the run's own exit status
//! ```
//!
//! It only reads, and needs no server: what is watched may as well be over, or have been killed.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use chrono::Utc;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::arguments::DisplayArgs;
use super::record::RecordReader;
use super::run_dir::Look;
use crate::event::{Event, What};
use crate::failure::Failure;
use crate::model::{ExitStatus, run_command};
use crate::progress::{Display, DisplayOptions, Style, Verbosity, words};
use crate::report::terminal::{View, render, resume_command};
use crate::report::{Ending, Report, ReportBuilder, SessionBoundary, conclude, json};

/// How often the record is asked for more.
const TICK: Duration = Duration::from_millis(200);

/// Attach to a run, from any terminal, while it runs or afterwards
///
/// Shows what the run itself shows, from the beginning of its last session, and ends with it: with its last words and its exit
/// status. Ctrl-C ends the watching, not the run (exit status 5). For a run that was killed, it shows how far it got.
#[derive(Debug, Clone, Args)]
#[command(name = "watch", after_help = super::AFTER_HELP)]
pub struct WatchArgs {
    /// The run's directory [default: the ./pgconvoy-* that was written to last]
    #[arg(value_name = "RUN_DIR")]
    run_dir: Option<PathBuf>,

    /// How to show it.
    #[command(flatten)]
    display: DisplayArgs,
}

impl WatchArgs {
    /// Watches to the end, or until nobody wants to see more.
    pub(super) async fn start(self) -> Result<ExitStatus, Failure> {
        let look = find(self.run_dir)?;
        let mut watching = Watching::new(&look, self.display.options());
        let interrupted = async {
            match signal(SignalKind::interrupt()) {
                Ok(mut signals) => signals.recv().await,
                Err(_) => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            ended = watching.follow(&look) => Some(ended?),
            _ = interrupted => None,
        };
        if let Some(last_words) = ended {
            return Ok(watching.close(last_words));
        }
        watching.display.clear();
        let again = run_command("watch", &look.path().display().to_string());
        // Nobody is left to tell if stderr is gone.
        let _ = writeln!(
            io::stderr(),
            "no longer watching; the run goes on. To watch it again: {again}"
        );
        Ok(ExitStatus::Interrupted)
    }
}

/// The directory that was named, or the newest here.
pub fn find(named: Option<PathBuf>) -> Result<Look, Failure> {
    if let Some(path) = named {
        return Look::at(&path);
    }
    let look = Look::newest_here()?;
    let path = look.path().display();
    let _ = writeln!(io::stderr(), "run directory {path}, the newest here");
    Ok(look)
}

/// How a run has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastWords {
    /// It has said so itself.
    Own,
    /// Nobody works on it any more, and it never said how it ended.
    Killed,
}

/// A run that is being watched.
pub struct Watching {
    options: DisplayOptions,
    record: RecordReader,
    display: Display,
    report: ReportBuilder,
    run_dir: String,
    /// What comes before this place in the record, in bytes, is not shown; `None`: before its last session.
    from: Option<u64>,
    caught_up: bool,
    boundary: SessionBoundary,
    /// The last event was the last of a session.
    ended: bool,
    /// The first job has begun.
    leapt: bool,
    /// That there is what is not known here was said.
    owned_up: bool,
}

impl Watching {
    /// From the beginning.
    pub fn new(look: &Look, options: DisplayOptions) -> Self {
        Self {
            options,
            record: RecordReader::new(look),
            display: Display::choose(options, Box::new(io::stdout()), Box::new(io::stderr())),
            report: ReportBuilder::default(),
            run_dir: look.path().display().to_string(),
            from: None,
            caught_up: false,
            boundary: SessionBoundary::default(),
            ended: false,
            leapt: false,
            owned_up: false,
        }
    }

    /// Of a session that is about to begin: what the record holds by now, if anything, is of others.
    pub fn ahead(look: &Look, options: DisplayOptions) -> Self {
        let recorded = fs::metadata(look.events_path()).map_or(0, |events| events.len());
        Self {
            from: Some(recorded),
            ..Self::new(look, options)
        }
    }

    async fn follow(&mut self, look: &Look) -> Result<LastWords, Failure> {
        loop {
            let new = self.look()?;
            if self.ended {
                return Ok(LastWords::Own);
            }
            // Whoever has ended since we looked has left the rest of the record behind.
            if !new && look.holder()?.is_none() && !self.look()? {
                return Ok(LastWords::Killed);
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Shows what is new; whether there was anything.
    pub fn look(&mut self) -> Result<bool, Failure> {
        // What earlier sessions said is in the record; what they did is in the last one's report.
        let shown_from = match self.from {
            Some(from) => from,
            None if self.caught_up || self.options.json => 0,
            None => self.record.last_session()?,
        };
        let begins_at = self.from.unwrap_or(0);
        let mut unknown = BTreeSet::new();
        let (json, caught_up) = (self.options.json, self.caught_up);
        let Self {
            record,
            report,
            display,
            boundary,
            ended,
            leapt,
            ..
        } = self;
        let new = record.each(|line| {
            if json {
                pass_on(&line.text)?;
            }
            unknown.extend(line.unknown);
            let Some(event) = line.event else {
                return Ok(());
            };
            report.apply(&event);
            *ended = matches!(event.what, What::RunFinished { .. });
            if boundary.falls_before(&event) {
                *leapt = false;
            }
            *leapt |= line.at >= begins_at && matches!(event.what, What::JobStarted { .. });
            if json || line.at < shown_from {
                return Ok(());
            }
            if caught_up {
                display.event(&event);
            } else {
                display.past(&event);
            }
            Ok(())
        })?;
        self.own_up(&unknown);
        self.caught_up |= new;
        if !self.options.json {
            self.display.tick(Utc::now());
        }
        Ok(new)
    }

    /// Says, once, that the run tells of what is not shown here.
    fn own_up(&mut self, unknown: &BTreeSet<String>) {
        if unknown.is_empty() || self.owned_up || self.options.json {
            return;
        }
        self.owned_up = true;
        let kinds: Vec<&str> = unknown.iter().map(String::as_str).collect();
        let text = format!(
            "the record of this run has entries that this version, {}, does not know and does not show: {}. Watch it with the version that runs it.",
            env!("CARGO_PKG_VERSION"),
            kinds.join(", ")
        );
        let what = What::Note {
            text: words::one_line(&text),
        };
        self.display.event(&Event {
            at: Utc::now(),
            what,
        });
    }

    /// Whether the first job has begun: the look before the leap is over.
    pub fn has_leapt(&self) -> bool {
        self.leapt
    }

    /// Whether the run has said how it ended.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Takes down what does not last.
    pub fn clear(&mut self) {
        self.display.clear();
    }

    /// The final table, or the report as the last line of JSON; and what the run itself ended with.
    pub fn close(mut self, last_words: LastWords) -> ExitStatus {
        self.display.clear();
        let mut report = self.report.build();
        settle(&mut report, &self.run_dir, last_words);
        let status = report.status.unwrap_or(ExitStatus::Interrupted);
        if self.options.json {
            // A report that came out of JSON goes into it; and nobody is left to tell if stdout is gone.
            if let Ok(line) = json::line(&report) {
                let _ = writeln!(io::stdout(), "{line}");
            }
            if let Some(command) = resume_command(&report) {
                let _ = writeln!(io::stderr(), "{command}");
            }
        } else if self.options.verbosity > Verbosity::Quiet || status != ExitStatus::Proven {
            let view = View {
                columns: (self.options.size)().columns,
                style: Style {
                    color: self.options.color,
                },
                whole_failures: false,
            };
            for line in render(&report, view) {
                let _ = writeln!(io::stderr(), "{line}");
            }
        }
        status
    }
}

/// Says of a run that was killed how far it was, and of all what to type here to go on with it: a record may name its directory
/// relative to another place.
pub fn settle(report: &mut Report, run_dir: &str, last_words: LastWords) {
    run_dir.clone_into(&mut report.run_dir);
    // What a later session has taken back again leaves the words of the one before it.
    if last_words == LastWords::Killed && report.status.is_none() {
        let conclusion = conclude(
            report,
            &Ending::Stopped {
                status: ExitStatus::Interrupted,
                why: "no process works on it any more, and it never said how it ended".to_owned(),
            },
        );
        report.status = Some(conclusion.status);
        report.sentence = conclusion.sentence;
        report.next = conclusion.next;
    } else if let Some(next) = &mut report.next {
        for command in ["resume --retry-failed", "resume"] {
            if let Some(at) = next.find(&format!("pgconvoy {command} ")) {
                next.truncate(at);
                next.push_str(&run_command(command, run_dir));
                return;
            }
        }
    }
}

/// What ends with a line end is written at once: see [`io::Stdout`].
fn pass_on(line: &str) -> Result<(), Failure> {
    let written = writeln!(io::stdout(), "{line}");
    written.map_err(|error| Failure::file("writing", "stdout".as_ref(), &error))
}
