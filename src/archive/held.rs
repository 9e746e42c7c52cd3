//! A piece of a file that waits for its turn: in memory, and beyond a limit in a file of its own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, Write};
use std::path::PathBuf;

use super::{ArchiveError, Growing};

/// More than this is not held in memory. A piece of a table is about half of it; rows with very large values may make one longer.
const MOST_HELD: usize = 32 << 20;

/// What memory is asked for at once.
const BLOCK: usize = 256 << 10;

/// Bytes in memory, one behind the other. A vector that grows is moved again and again, and leaves holes of all sizes behind; blocks of
/// one size fit into the places of those that went before.
#[derive(Default)]
pub struct Blocks {
    blocks: Vec<Vec<u8>>,
    length: usize,
}

impl Blocks {
    /// Whether there is room for so many more.
    pub fn have_room_for(&self, more: usize) -> bool {
        self.length.saturating_add(more) <= MOST_HELD
    }

    /// Appends.
    pub fn push(&mut self, mut bytes: &[u8]) {
        self.length += bytes.len();
        while !bytes.is_empty() {
            if self.blocks.last().is_none_or(|last| last.len() == BLOCK) {
                self.blocks.push(Vec::with_capacity(BLOCK));
            }
            if let Some(last) = self.blocks.last_mut() {
                let (now, later) = bytes.split_at(bytes.len().min(BLOCK - last.len()));
                last.extend_from_slice(now);
                bytes = later;
            }
        }
    }

    /// All of them, in order; each is given back to memory when it is done with.
    pub fn into_pieces(self) -> impl Iterator<Item = Vec<u8>> {
        self.blocks.into_iter()
    }
}

/// What is held.
pub struct Held {
    memory: Blocks,
    path: PathBuf,
    overflow: Option<File>,
}

impl Held {
    /// Nothing yet. What does not fit into memory goes to `path`.
    pub fn new(path: PathBuf) -> Self {
        Self {
            memory: Blocks::default(),
            path,
            overflow: None,
        }
    }

    /// Appends all of it to a file.
    pub fn append_to(mut self, file: &mut Growing) -> Result<(), ArchiveError> {
        let mut held = std::mem::take(&mut self.memory).into_pieces();
        held.try_for_each(|piece| file.append(&piece))?;
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
        if self.overflow.is_none() && self.memory.have_room_for(bytes.len()) {
            self.memory.push(bytes);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_give_back_what_was_pushed_and_have_an_end() {
        let mut blocks = Blocks::default();
        let pushed: Vec<u8> = (0..=u8::MAX).cycle().take(3 * BLOCK + 77).collect();
        for piece in pushed.chunks(100_003) {
            blocks.push(piece);
        }
        assert!(blocks.have_room_for(MOST_HELD - pushed.len()));
        assert!(!blocks.have_room_for(MOST_HELD - pushed.len() + 1));
        let pieces: Vec<Vec<u8>> = blocks.into_pieces().collect();
        assert!(pieces.iter().all(|piece| piece.capacity() == BLOCK));
        assert_eq!(pieces.concat(), pushed);
    }
}
