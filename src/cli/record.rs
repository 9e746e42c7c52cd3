//! Reads a run's record, also while somebody else writes it.
//!
//! It asks the file again and again; there is no other link between a run and those who watch it, so nothing they do can
//! disturb it. Half a line is one that is being written; it is kept until the rest has come. Lines are handed on one by one, and none
//! is kept: a run of days writes more of them than anybody wants to hold in memory.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::PathBuf;

use serde::de::IgnoredAny;

use super::run_dir::Look;
use crate::event::{Event, What};
use crate::failure::Failure;
use crate::report::SessionBoundary;
use crate::report::recorded::{self, Recording};

/// Reads the record of a run as far as it goes, and hands its events on, in order.
pub fn read(look: &Look, take: impl FnMut(Event)) -> Result<Recording, Failure> {
    let path = look.events_path();
    let recording = File::open(&path).and_then(|file| recorded::read(BufReader::new(file), take));
    recording.map_err(|error| Failure::file("reading", &path, &error))
}

/// One line of a record.
pub struct Line<'a> {
    /// Where it begins in the record, in bytes.
    pub at: u64,
    /// As it was written: JSON.
    pub text: Cow<'a, str>,
    /// What it says, if that is an event of a kind that is known here.
    pub event: Option<Event>,
    /// What it calls itself, if that is not known here: a newer pgconvoy may have written it.
    pub unknown: Option<String>,
}

/// A reader that knows how far it is.
pub struct RecordReader {
    path: PathBuf,
    /// Where the run directory is for us: a record may name it relative to another place.
    run_dir: String,
    file: Option<File>,
    read: u64,
    half: Vec<u8>,
}

impl RecordReader {
    /// From the beginning; the record may be yet to be made.
    pub fn new(look: &Look) -> Self {
        Self {
            path: look.events_path(),
            run_dir: look.path().display().to_string(),
            file: None,
            read: 0,
            half: Vec::new(),
        }
    }

    /// Hands on the lines that have been added since the last time, one after the other; whether there were any.
    pub fn each(
        &mut self,
        mut take: impl FnMut(Line<'_>) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        let opened = self.open();
        opened.map_err(|error| Failure::file("reading", &self.path, &error))?;
        let Some(file) = &self.file else {
            return Ok(false);
        };
        let mut file = BufReader::new(file);
        let mut any = false;
        loop {
            let more = file.read_until(b'\n', &mut self.half);
            let more = more.map_err(|error| Failure::file("reading", &self.path, &error))?;
            self.read += more as u64;
            let Some(text) = self.half.strip_suffix(b"\n") else {
                return Ok(any);
            };
            let at = self.read.saturating_sub(self.half.len() as u64);
            if let Some(line) = line(text, at, &self.run_dir) {
                any = true;
                take(line)?;
            }
            self.half.clear();
        }
    }

    /// Where the last session begins in what is there by now; nothing is taken from it.
    pub fn last_session(&self) -> Result<u64, Failure> {
        let mut ahead = Self {
            path: self.path.clone(),
            run_dir: String::new(),
            file: None,
            read: 0,
            half: Vec::new(),
        };
        let (mut boundary, mut begins) = (SessionBoundary::default(), 0);
        ahead.each(|line| {
            let event = line.event.as_ref();
            if event.is_some_and(|event| boundary.falls_before(event)) {
                begins = line.at;
            }
            Ok(())
        })?;
        Ok(begins)
    }

    /// Opens the record, if it is there by now, and goes to where we are.
    fn open(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            match File::open(&self.path) {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        if let Some(file) = &mut self.file {
            let length = file.metadata()?.len();
            if length < self.read {
                // A session that touched nothing has taken its lines back.
                self.read = length;
                self.half.clear();
            }
            file.seek(SeekFrom::Start(self.read))?;
        }
        Ok(())
    }
}

/// A line that a session which was killed has left unfinished is none.
fn line<'a>(text: &'a [u8], at: u64, run_dir: &str) -> Option<Line<'a>> {
    let mut event = serde_json::from_slice::<Event>(text).ok();
    if event.is_none() {
        serde_json::from_slice::<IgnoredAny>(text).ok()?;
    }
    if let Some(Event {
        what: What::RunStarted { run_dir: told, .. },
        ..
    }) = &mut event
    {
        run_dir.clone_into(told);
    }
    let unknown = match &event {
        Some(_) => None,
        None => recorded::kind(text),
    };
    Some(Line {
        at,
        text: String::from_utf8_lossy(text),
        event,
        unknown,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn lines_come_whole_and_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let look = Look::ahead(dir.path());
        let mut reader = RecordReader::new(&look);
        let mut texts = || -> Vec<String> {
            let mut texts = Vec::new();
            let any = reader.each(|line| {
                texts.push(line.text.into_owned());
                Ok(())
            });
            assert_eq!(any.expect("read"), !texts.is_empty());
            texts
        };
        assert_eq!(texts(), [""; 0], "not there yet");
        let mut file = File::create(look.events_path()).expect("created");
        file.write_all(b"1\n{\"half\n2\n3").expect("written");
        assert_eq!(texts(), ["1", "2"]);
        file.write_all(b"3\n").expect("written");
        assert_eq!(texts(), ["33"]);
        assert_eq!(texts(), [""; 0]);
        file.set_len(2).expect("taken back");
        file.seek(SeekFrom::Start(2)).expect("moved");
        assert_eq!(texts(), [""; 0]);
        file.write_all(b"4\n").expect("written");
        assert_eq!(texts(), ["4"]);
    }

    fn step(name: &str) -> Event {
        Event {
            at: chrono::DateTime::UNIX_EPOCH,
            what: What::StepStarted {
                step: name.to_owned(),
            },
        }
    }

    fn end() -> Event {
        Event {
            at: chrono::DateTime::UNIX_EPOCH,
            what: What::RunFinished {
                status: crate::model::ExitStatus::Interrupted,
                sentence: String::new(),
                next: None,
            },
        }
    }

    /// A session that has not said that it has started begins with its first step, once the one before it has ended.
    #[test]
    fn the_last_session_is_found_before_it_says_that_it_has_started() {
        let dir = tempfile::tempdir().expect("a directory");
        let look = Look::ahead(dir.path());
        let reader = RecordReader::new(&look);
        let begins_with = |events: &[Event]| {
            let json = |event: &Event| serde_json::to_string(event).expect("JSON");
            let lines: Vec<String> = events.iter().map(json).collect();
            let text = format!("{}\n", lines.join("\n"));
            std::fs::write(look.events_path(), &text).expect("written");
            let at = reader.last_session().expect("read");
            let at = usize::try_from(at).expect("it is small");
            text[..at].lines().count()
        };
        assert_eq!(begins_with(&[step("a"), step("b")]), 0);
        assert_eq!(begins_with(&[step("a"), end()]), 0, "over, and no other");
        assert_eq!(
            begins_with(&[step("a"), end(), step("b"), step("c")]),
            2,
            "its second step is no other session"
        );
    }
}
