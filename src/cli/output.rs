//! Everything between a run and the world: display, run directory, report, and the status that comes of it.
//!
//! ```text
//!   Emitter ──► channel ──► one thread ─┬─► failed/NNN-label.sql
//!   (stamps the time)                   ├─► events.jsonl
//!                                       ├─► the display, and its clock
//!                                       └─► the report ──► report.json, report.html, the final table, the exit status
//! ```
//!
//! The thread is one of our own, so that a slow disk or terminal never holds up whoever copies. A run whose record cannot
//! be written is stopped: it could not prove anything to anybody, and could not be gone on with. A terminal that is gone,
//! however, stops nobody; only with `--json`, where stdout is what was asked for, does it count.

mod extras;
mod repeats;
mod verdict;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use chrono::Utc;
use tokio::sync::{oneshot, watch};

use super::hooks::Hooks;
use super::metrics_file::MetricsFile;
use super::record;
use super::run_dir::RunDir;
use crate::archive::{tell_setbacks, tell_setbacks_left};
use crate::event::{Emit, Event, What};
use crate::execute::{Cause, Stop};
use crate::failure::{Failure, FailureKind};
use crate::fault;
use crate::model::{ExitStatus, JobId};
use crate::progress::{Display, DisplayOptions, Style, Verbosity, words};
use crate::report::course::CourseBuilder;
use crate::report::terminal::{View, render, resume_command};
use crate::report::{Conclusion, Ending, Report, ReportBuilder, conclude, json};
use repeats::Repeats;

/// How often the display may show something new.
const TICK: Duration = Duration::from_millis(200);

/// What a run is told about with.
#[derive(Debug, Clone)]
pub struct OutputOptions {
    /// Its directory.
    pub run_dir: PathBuf,
    /// Its display.
    pub display: DisplayOptions,
    /// What is run at its end.
    pub hooks: Hooks,
    /// What says in figures where it stands.
    pub metrics_file: Option<PathBuf>,
}

enum Message {
    Event(Box<Event>),
    Keep(oneshot::Sender<ExitStatus>),
    Finish(Box<Finish>),
    Abandon(Box<Failure>, oneshot::Sender<()>),
}

struct Finish {
    ending: Ending,
    /// What to show besides.
    failure: Option<Failure>,
    reply: oneshot::Sender<ExitStatus>,
}

/// Says what happens; as many copies as wanted.
#[derive(Debug, Clone)]
pub struct Emitter {
    sender: Sender<Message>,
}

impl Emit for Emitter {
    fn emit(&self, what: What) {
        let event = Event {
            at: Utc::now(),
            what,
        };
        // After the end nobody listens any more, and nothing is left to say.
        let _ = self.sender.send(Message::Event(Box::new(event)));
    }
}

/// What stands between a run and the world.
pub struct Output {
    emitter: Emitter,
    run_dir: RunDir,
    stop: watch::Sender<Stop>,
    hooks: Hooks,
}

impl Output {
    /// Makes the run directory and begins to listen.
    pub fn start(options: &OutputOptions) -> Result<Self, Failure> {
        Self::listen(RunDir::create(&options.run_dir)?, options)
    }

    /// Goes on in the directory of a run that has had its sessions: their record stays, and this one's is added to it.
    pub fn go_on(run_dir: RunDir, options: &OutputOptions) -> Result<Self, Failure> {
        Self::listen(run_dir, options)
    }

    fn listen(run_dir: RunDir, all: &OutputOptions) -> Result<Self, Failure> {
        let options = all.display;
        fault::point("run-directory-made");
        let (report, course) = earlier_sessions(&run_dir)?;
        let events = run_dir.open_events().map_err(|error| {
            Failure::file("opening", &run_dir.path().join("events.jsonl"), &error)
        })?;
        let (sender, receiver) = channel();
        let display = Display::choose(options, Box::new(io::stdout()), Box::new(io::stderr()));
        let (stop, _) = watch::channel(Stop::Go);
        let listener = Listener {
            stop: stop.clone(),
            options,
            display,
            repeats: Repeats::default(),
            failures: run_dir.failed_so_far(),
            run_dir: run_dir.clone(),
            events,
            report,
            course,
            metrics: all.metrics_file.clone().map(MetricsFile::new),
            labels: HashMap::new(),
            record_ends: false,
            trouble: None,
        };
        std::thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || listener.listen(&receiver))
            .map_err(|error| Failure::defect(format!("starting a thread: {error}")))?;
        let emitter = Emitter { sender };
        tell_setbacks(Arc::new(emitter.clone()));
        Ok(Self {
            emitter,
            run_dir,
            stop,
            hooks: all.hooks.clone(),
        })
    }

    /// What asks the run to stop.
    pub fn stop(&self) -> &watch::Sender<Stop> {
        &self.stop
    }

    /// For whoever has something to say.
    pub fn emitter(&self) -> Emitter {
        self.emitter.clone()
    }

    /// The run's directory.
    pub fn run_dir(&self) -> &RunDir {
        &self.run_dir
    }

    /// Leaves what is to be run at the end to whoever has more to give back before it than the run directory.
    pub(super) fn take_hooks(&mut self) -> Hooks {
        std::mem::take(&mut self.hooks)
    }

    /// Concludes: last event, report, final table. Call it when nobody emits any more.
    pub async fn finish(self, ending: Ending) -> ExitStatus {
        self.end(ending, None).await
    }

    /// The same for a run that could not go on: shows the failure whole, keeps it in the record, and concludes.
    pub async fn fail(self, failure: Failure) -> ExitStatus {
        self.end(stopped(&failure), Some(failure)).await
    }

    async fn end(self, ending: Ending, failure: Option<Failure>) -> ExitStatus {
        let (reply, status) = oneshot::channel();
        let finish = Finish {
            ending,
            failure,
            reply,
        };
        tell_setbacks_left();
        // A listener that is gone gives no reply either.
        let _ = self.emitter.sender.send(Message::Finish(Box::new(finish)));
        let status = status.await.unwrap_or(ExitStatus::Failed);
        let path = self.run_dir.path().to_owned();
        // Whoever is told may want to go on with the run.
        drop(self.run_dir);
        self.hooks.run(status, Some(&path)).await;
        status
    }

    /// For a run that ended before it touched anything, such as by a wrong password: takes the run directory back.
    /// Whoever gets the failure prints it; only with `--json` it is in the events and in the report as well.
    pub async fn abandon(self, failure: &Failure) {
        let (reply, done) = oneshot::channel();
        let message = Message::Abandon(Box::new(failure.clone()), reply);
        let _ = self.emitter.sender.send(message);
        // A listener that is gone cannot write into the directory any more.
        let _ = done.await;
        self.run_dir.remove();
        self.hooks.run(failure.status, None).await;
    }
}

/// What earlier sessions have left in the record, for the report of this one; nothing if this is the first.
fn earlier_sessions(run_dir: &RunDir) -> Result<(ReportBuilder, CourseBuilder), Failure> {
    let (mut report, mut course) = (ReportBuilder::default(), CourseBuilder::default());
    record::read(&run_dir.look(), |event| {
        report.apply(&event);
        course.apply(&event);
    })?;
    report.next_session();
    Ok((report, course))
}

fn stopped(failure: &Failure) -> Ending {
    Ending::Stopped {
        status: failure.status,
        why: failure.message.clone(),
    }
}

/// The other end of the channel.
struct Listener {
    stop: watch::Sender<Stop>,
    options: DisplayOptions,
    display: Display,
    run_dir: RunDir,
    events: File,
    report: ReportBuilder,
    /// For the page: report.json does without it.
    course: CourseBuilder,
    metrics: Option<MetricsFile>,
    labels: HashMap<JobId, String>,
    repeats: Repeats,
    failures: usize,
    /// Nothing more is written into the record: it may end in half a line, which only a later session knows how to deal with.
    record_ends: bool,
    /// The first thing that could not be written.
    trouble: Option<String>,
}

impl Listener {
    fn listen(mut self, receiver: &Receiver<Message>) {
        loop {
            match receiver.recv_timeout(TICK) {
                Ok(Message::Event(event)) => self.event(*event),
                Ok(Message::Keep(reply)) => {
                    // Whoever asked may have been cancelled.
                    let _ = reply.send(self.keep());
                }
                Ok(Message::Finish(finish)) => {
                    if let Some(failure) = &finish.failure {
                        self.failure(failure);
                    }
                    let status = self.finish(&finish.ending, finish.failure.as_ref());
                    // The run directory is free, once that is known.
                    drop(self);
                    // Whoever asked may have been cancelled.
                    let _ = finish.reply.send(status);
                    return;
                }
                Ok(Message::Abandon(failure, reply)) => {
                    self.abandon(&failure);
                    let _ = reply.send(());
                    return;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.display.clear();
                    return;
                }
            }
            // Also when events keep coming; the display knows itself when it is time.
            self.display.tick(Utc::now());
            if self.metrics.as_ref().is_some_and(MetricsFile::is_due) {
                self.measure(None);
            }
        }
    }

    fn event(&mut self, mut event: Event) {
        match &mut event.what {
            What::Planned { jobs, .. } => {
                let labels = jobs.iter().map(|job| (job.id, job.label.clone()));
                self.labels.extend(labels);
            }
            // What failed in an earlier session has its file already.
            What::JobFailed { job, failure } if !self.run_dir.keeps(failure) => {
                self.failures += 1;
                let label = match (&failure.entry, self.labels.get(job)) {
                    // A job may have many statements: the entry says which.
                    (Some(entry), _) => format!("{} {}", entry.desc.to_lowercase(), entry.tag),
                    (None, Some(label)) => label.clone(),
                    (None, None) => format!("job {job}"),
                };
                match self.run_dir.keep_failed(self.failures, &label, failure) {
                    Ok(file) => failure.file = Some(file),
                    Err(error) => self.cannot_write("failed/", &error.to_string()),
                }
            }
            _ => {}
        }
        self.report.apply(&event);
        self.course.apply(&event);
        self.record(&event);
        self.display.event(&event);
    }

    /// One line, in one write; none of what was just said.
    fn record(&mut self, event: &Event) {
        if self.record_ends || self.repeats.has(event) {
            return;
        }
        let line = serde_json::to_string(event).map_err(io::Error::from);
        let written = line.and_then(|line| self.events.write_all(format!("{line}\n").as_bytes()));
        if let Err(error) = written {
            self.record_ends = true;
            self.cannot_write("events.jsonl", &error.to_string());
        }
        fault::point("event-written");
    }

    /// Whole, at once, and in the record.
    fn failure(&mut self, failure: &Failure) {
        let note = Event {
            at: Utc::now(),
            what: What::Note {
                text: failure.to_string(),
            },
        };
        self.report.apply(&note);
        self.record(&note);
        if self.options.json {
            self.display.event(&note);
        } else if self.trouble.as_ref() != Some(&failure.message) {
            self.display.clear();
            let word = match failure.kind {
                FailureKind::Interrupted => "pgconvoy:",
                _ => "error:",
            };
            let word = self.style().bad(word);
            let text = words::harmless(&failure.to_string());
            // Nobody is left to tell if stderr is gone.
            let _ = writeln!(io::stderr(), "{word} {text}\n");
        }
    }

    fn abandon(&mut self, failure: &Failure) {
        if self.options.json {
            self.failure(failure);
        } else {
            self.display.clear();
        }
        let conclusion = Conclusion {
            // With the run directory goes what could be gone on with.
            next: None,
            ..conclude(&self.report.clone().build(), &stopped(failure))
        };
        let report = self.report_with(&conclusion);
        self.measure(Some(&report));
        if !self.options.json {
            return;
        }
        self.display.event(&Event {
            at: Utc::now(),
            what: finished(&conclusion),
        });
        self.show(&report);
    }

    fn style(&self) -> Style {
        Style {
            color: self.options.color,
        }
    }

    /// Says it at once, asks the run to stop, and makes sure that it counts at the end.
    fn cannot_write(&mut self, file: &str, error: &str) {
        if self.trouble.is_none() {
            let path = self.run_dir.path().join(file);
            let text = format!("{} cannot be written: {error}", path.display());
            let note = Event {
                at: Utc::now(),
                what: What::Note { text: text.clone() },
            };
            self.display.event(&note);
            Stop::ask(&self.stop, Cause::Trouble(text.clone()));
            self.trouble = Some(text);
        }
    }

    fn finish(&mut self, ending: &Ending, failure: Option<&Failure>) -> ExitStatus {
        let conclusion = conclude(&self.report.clone().build(), ending);
        let mut conclusion = self.conclude(self.leading_on(conclusion, failure));
        let mut report = self.report_with(&conclusion);
        // The report is written before anybody is told how the run ended: without it, it did not end well.
        if let Err(error) = json::write(&report, &self.run_dir.report_path()) {
            let failure = Failure::from(error);
            self.cannot_write("report.json", &failure.details.join(": "));
            conclusion = self.conclude(conclusion);
            report = self.report_with(&conclusion);
        }
        fault::point("report-written");
        let last = Event {
            at: report.ended_at.unwrap_or_else(Utc::now),
            what: finished(&conclusion),
        };
        self.record(&last);
        if let Err(error) = self.events.sync_all()
            && !self.record_ends
        {
            self.cannot_write("events.jsonl", &error.to_string());
        }
        fault::point("last-event-written");
        self.write_page(&report);
        self.measure(Some(&report));
        self.display.event(&last);
        self.show(&report);
        // The record of the very last event may be what failed.
        self.conclude(conclusion).status
    }

    fn report_with(&self, conclusion: &Conclusion) -> Report {
        let mut builder = self.report.clone();
        builder.apply(&Event {
            at: Utc::now(),
            what: finished(conclusion),
        });
        builder.build()
    }

    /// The final table and sentence on stderr, or the report as the last line of JSON on stdout.
    fn show(&mut self, report: &Report) {
        let mut stderr = io::stderr();
        if self.options.json {
            let line = json::line(report).map_err(io::Error::other);
            let written = line.and_then(|line| {
                let mut stdout = io::stdout();
                writeln!(stdout, "{line}").and_then(|()| stdout.flush())
            });
            let error = written.err().map(|error| error.to_string());
            if let Some(error) = self.display.write_error().or(error) {
                let text = format!("the events cannot be written to stdout: {error}");
                let _ = writeln!(stderr, "error: {text}");
                self.trouble.get_or_insert(text);
            }
            if let Some(command) = resume_command(report) {
                let _ = writeln!(stderr, "{command}");
            }
        } else if self.options.verbosity > Verbosity::Quiet
            || report.status != Some(ExitStatus::Proven)
        {
            if let Some(trouble) = &self.trouble
                && !report.sentence.contains(trouble.as_str())
            {
                let _ = writeln!(stderr, "error: {trouble}");
            }
            let view = View {
                columns: (self.options.size)().columns,
                style: self.style(),
                whole_failures: false,
            };
            for line in render(report, view) {
                // Nobody is left to tell if stderr is gone.
                let _ = writeln!(stderr, "{line}");
            }
        }
    }
}

fn finished(conclusion: &Conclusion) -> What {
    What::RunFinished {
        status: conclusion.status,
        sentence: conclusion.sentence.clone(),
        next: conclusion.next.clone(),
    }
}

/// Whether the surroundings want colour: `NO_COLOR` (no-color.org) is not set.
pub(super) fn color_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The style of what is written to stdout outside of a run.
pub(super) fn style_of_stdout() -> Style {
    Style {
        color: io::stdout().is_terminal() && color_wanted(),
    }
}

/// The style of what is written to stderr outside of a run.
pub(super) fn style_of_stderr() -> Style {
    let refused = std::env::args_os().any(|argument| argument == "--no-color");
    Style {
        color: io::stderr().is_terminal() && color_wanted() && !refused,
    }
}
