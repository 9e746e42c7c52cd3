//! Uploads that nobody has completed yet: the parts of them are kept, and paid for, until somebody gives them up.
//!
//! One that fails is given up at once, if the store can still be reached. For one whose process was killed there is a note in the
//! run's directory, a line each, written before the first part is sent: whoever goes on with the dump gives up what it names.
//! A name that is noted and completed does no harm: nobody has an upload of that name any more.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::archive::ArchiveError;

/// The note.
#[derive(Debug)]
pub(in crate::archive) struct Begun {
    path: PathBuf,
    file: Mutex<Option<File>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    file: String,
    upload: String,
}

impl Begun {
    /// There; it is made with its first line.
    pub fn at(path: PathBuf) -> Self {
        Self {
            path,
            file: Mutex::new(None),
        }
    }

    /// Notes one.
    pub fn note(&self, file: &str, upload: &str) -> io::Result<()> {
        let mut text = serde_json::to_vec(&Line {
            file: file.to_owned(),
            upload: upload.to_owned(),
        })?;
        text.push(b'\n');
        let mut open = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = if let Some(file) = open.take() {
            file
        } else {
            let mut options = OpenOptions::new();
            options.append(true).create(true).mode(0o600);
            options.open(&self.path)?
        };
        file.write_all(&text)?;
        *open = Some(file);
        Ok(())
    }

    /// Those of earlier sessions: file and upload. A line that is not whole is none: nothing was sent for it.
    pub fn read(&self) -> Result<Vec<(String, String)>, ArchiveError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(ArchiveError::file("opening", &self.path)(error)),
        };
        let mut found = Vec::new();
        for text in BufReader::new(file).split(b'\n') {
            let text = text.map_err(ArchiveError::file("reading", &self.path))?;
            if let Ok(line) = serde_json::from_slice::<Line>(&text) {
                found.push((line.file, line.upload));
            }
        }
        Ok(found)
    }

    /// None of them is there any more.
    pub fn forget(&self) -> Result<(), ArchiveError> {
        let mut open = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        *open = None;
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(ArchiveError::file("removing", &self.path)(error))
            }
            _ => Ok(()),
        }
    }
}
