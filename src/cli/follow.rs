//! Follows a run's record while somebody else writes it.
//!
//! It asks the file again and again; there is no other link between a run and those who watch it, so nothing they do can
//! disturb it. Half a line is one that is being written; it is kept until the rest has come.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use serde::de::IgnoredAny;

use super::run_dir::Look;
use crate::event::{Event, What};
use crate::failure::Failure;
use crate::report::recorded;

/// One line of a record.
pub struct Line {
    /// As it was written: JSON.
    pub text: String,
    /// What it says, if that is an event of a kind that is known here.
    pub event: Option<Event>,
    /// What it calls itself, if that is not known here: a newer pgconvoy may have written it.
    pub unknown: Option<String>,
}

/// A reader that knows how far it is.
pub struct Follower {
    path: PathBuf,
    /// Where the run directory is for us: a record may name it relative to another place.
    run_dir: String,
    file: Option<File>,
    read: u64,
    half: Vec<u8>,
}

impl Follower {
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

    /// The lines that have been added since the last time.
    pub fn lines(&mut self) -> Result<Vec<Line>, Failure> {
        let bytes = self.added();
        let bytes = bytes.map_err(|error| Failure::file("reading", &self.path, &error))?;
        self.half.extend(bytes);
        let Some(end) = self.half.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(Vec::new());
        };
        let rest = self.half.split_off(end + 1);
        let whole = std::mem::replace(&mut self.half, rest);
        let lines = whole.split(|byte| *byte == b'\n');
        Ok(lines.filter_map(|line| self.line(line)).collect())
    }

    fn added(&mut self) -> io::Result<Vec<u8>> {
        if self.file.is_none() {
            match File::open(&self.path) {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(error),
            }
        }
        let mut bytes = Vec::new();
        if let Some(file) = &mut self.file {
            let length = file.metadata()?.len();
            if length < self.read {
                // A session that touched nothing has taken its lines back.
                self.read = length;
                self.half.clear();
            }
            file.seek(SeekFrom::Start(self.read))?;
            self.read += file.read_to_end(&mut bytes)? as u64;
        }
        Ok(bytes)
    }

    /// A line that a session which was killed has left unfinished is none.
    fn line(&self, line: &[u8]) -> Option<Line> {
        serde_json::from_slice::<IgnoredAny>(line).ok()?;
        let mut event = serde_json::from_slice::<Event>(line).ok();
        if let Some(Event {
            what: What::RunStarted { run_dir, .. },
            ..
        }) = &mut event
        {
            run_dir.clone_from(&self.run_dir);
        }
        let unknown = match &event {
            Some(_) => None,
            None => recorded::kind(line),
        };
        Some(Line {
            text: String::from_utf8_lossy(line).into_owned(),
            event,
            unknown,
        })
    }
}

/// Where the last session begins: with its start, or, if it has not said so yet, after the end of the one before it.
pub fn last_session(events: &[Event]) -> usize {
    let is_start = |event: &Event| matches!(event.what, What::RunStarted { .. });
    let is_end = |event: &Event| matches!(event.what, What::RunFinished { .. });
    let start = events.iter().rposition(is_start).unwrap_or(0);
    let after_end = events.iter().rposition(is_end).map_or(0, |end| end + 1);
    if after_end > start && after_end < events.len() {
        after_end
    } else {
        start
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn lines_come_whole_and_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let look = Look::ahead(dir.path());
        let mut follower = Follower::new(&look);
        let mut texts = || -> Vec<String> {
            let lines = follower.lines().expect("read");
            lines.into_iter().map(|line| line.text).collect()
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
}
