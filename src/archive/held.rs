//! A piece of a file that waits for its turn: in memory, and beyond a limit in a file of its own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, Write};
use std::path::PathBuf;

use super::{ArchiveError, Growing};

/// More than this is not held in memory. A piece of a table is about half of it; rows with very large values may make one longer.
pub const MOST_HELD: usize = 32 << 20;

/// What is held.
pub struct Held {
    memory: Vec<u8>,
    path: PathBuf,
    overflow: Option<File>,
}

impl Held {
    /// Nothing yet. What does not fit into memory goes to `path`.
    pub fn new(path: PathBuf) -> Self {
        Self {
            memory: Vec::new(),
            path,
            overflow: None,
        }
    }

    /// Appends all of it to a file.
    pub fn append_to(mut self, file: &mut Growing) -> Result<(), ArchiveError> {
        file.append(&self.memory)?;
        if let Some(overflow) = &mut self.overflow {
            overflow
                .rewind()
                .map_err(ArchiveError::file("reading", &self.path))?;
            file.append_from(overflow)?;
        }
        Ok(())
    }
}

impl Write for Held {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.overflow.is_none() && self.memory.len() + bytes.len() <= MOST_HELD {
            self.memory.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        if self.overflow.is_none() {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(true);
            self.overflow = Some(options.open(&self.path)?);
        }
        match &mut self.overflow {
            Some(file) => file.write(bytes),
            None => Ok(0),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.overflow.is_some() {
            // What stays behind is not in the manifest, and is found by whoever looks at the archive.
            let _ = fs::remove_file(&self.path);
        }
    }
}
