//! Shows a run to whoever watches: folds events into state once, renders it as terminal bars, plain lines or JSON.
//!
//! ```text
//!                         ┌─► terminal  a bar per phase, a line per running job; lasting lines above them
//!   Event ──► State ──────┼─► plain     one line every few seconds; what matters at once
//!        └──► news ───────┘   json      the events themselves, one a line, on stdout
//! ```
//!
//! `state`, `estimate`, `baseline`, `news` and `failure` are pure; only the three displays write, to writers they are given. A
//! display never fails the run it shows: the first error of writing is kept, and can be asked for.
//!
//! | file | what is known |
//! |---|---|
//! | `state` | where the run stands |
//! | `estimate`, `baseline` | the time left: by this run's own pace, by that of an earlier one |
//! | `news`, `failure` | what stays on the screen; a failed job, shown whole |
//! | `words` | how quantities are worded |
//!
//! | file | how it is shown |
//! |---|---|
//! | `terminal` | bars |
//! | `screen`, `style` | lines that last above a picture that is drawn again; colour |
//! | `plain`, `json` | plain lines, events |

mod baseline;
mod estimate;
mod failure;
mod json;
mod news;
mod plain;
mod screen;
mod state;
mod style;
mod terminal;
pub mod words;

use std::io::{self, Write};

use chrono::{DateTime, FixedOffset, Utc};

use crate::event::Event;

pub use baseline::{Baseline, BaselineBuilder, Measured, NoBaseline, Planned};
pub use estimate::Speed;
pub use failure::lines as failure_lines;
pub use news::finding_lines;
pub use plain::line as plain_line;
pub use screen::Size;
pub use state::{
    Ended, Estimate, Grounds, Guess, Outlook, PaceChange, PhaseProgress, RunningJob, Slower, State,
};
pub use style::Style;
pub use terminal::picture;

/// Where a display writes to: the process's own streams, or a test's buffers.
pub type Writer = Box<dyn Write + Send>;

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Only what went wrong.
    Quiet,
    /// Progress, and everything that matters.
    Normal,
    /// Each job besides.
    Verbose,
}

/// What the command line and the surroundings say about the display.
#[derive(Debug, Clone, Copy)]
pub struct DisplayOptions {
    /// `--json`: events on stdout, nothing for people.
    pub json: bool,
    /// `-q`, `-v`.
    pub verbosity: Verbosity,
    /// Colour is wanted: no `--no-color`, no `NO_COLOR`.
    pub color: bool,
    /// Someone may be looking at stderr.
    pub stderr_is_terminal: bool,
    /// The terminal's size; asked again and again, because windows change. [`Size::of_stderr`] in real life.
    pub size: fn() -> Size,
    /// The zone in which times of day are shown.
    pub zone: FixedOffset,
}

/// A way to show a run.
pub enum Display {
    /// Bars.
    Terminal(Box<terminal::Terminal>),
    /// Lines.
    Plain(Box<plain::Plain>),
    /// Events.
    Json(json::Json),
}

impl Display {
    /// The display that fits.
    pub fn choose(options: DisplayOptions, stdout: Writer, stderr: Writer) -> Self {
        if options.json {
            Self::Json(json::Json::new(stdout))
        } else if options.stderr_is_terminal && options.verbosity > Verbosity::Quiet {
            Self::Terminal(Box::new(terminal::Terminal::new(options, stderr)))
        } else {
            Self::Plain(Box::new(plain::Plain::new(options, stderr)))
        }
    }

    /// Something happened.
    pub fn event(&mut self, event: &Event) {
        match self {
            Self::Terminal(display) => display.event(event),
            Self::Plain(display) => display.event(event),
            Self::Json(display) => display.event(event),
        }
    }

    /// Something that happened before anybody looked: what lasts is shown, and how far it was then is not.
    pub fn past(&mut self, event: &Event) {
        match self {
            Self::Plain(display) => display.past(event),
            _ => self.event(event),
        }
    }

    /// Time goes by. Call it a few times a second; a display decides by itself how often it has something to show.
    pub fn tick(&mut self, now: DateTime<Utc>) {
        match self {
            Self::Terminal(display) => display.tick(now),
            Self::Plain(display) => display.tick(now),
            Self::Json(_) => {}
        }
    }

    /// Takes down what does not last, the bars, so that others can write; [`What::RunFinished`](crate::event::What) does
    /// so too.
    pub fn clear(&mut self) {
        if let Self::Terminal(display) = self {
            display.clear();
        }
    }

    /// The first error of writing, if there was one; nothing was shown after it.
    pub fn write_error(&self) -> Option<String> {
        match self {
            Self::Terminal(display) => display.write_error(),
            Self::Plain(display) => display.output.error.as_ref().map(io::Error::to_string),
            Self::Json(display) => display.output.error.as_ref().map(io::Error::to_string),
        }
    }
}

/// Writes lines until writing fails.
struct Output {
    writer: Writer,
    error: Option<io::Error>,
}

impl Output {
    fn new(writer: Writer) -> Self {
        Self {
            writer,
            error: None,
        }
    }

    fn line(&mut self, line: &str) {
        if self.error.is_none() {
            let written = writeln!(self.writer, "{line}").and_then(|()| self.writer.flush());
            self.error = written.err();
        }
    }
}
