//! The file of a table that is read in parts: each is appended when all before it are.

use std::time::Duration;

use tokio::sync::{Mutex, Notify};

use crate::archive::{ArchiveError, Content, FileFacts, Growing, Unfinished};
use crate::model::Rows;

/// A file that is put together.
pub(super) struct Assembly {
    state: Mutex<State>,
    turn: Notify,
}

struct State {
    file: Growing,
    /// The part whose turn it is.
    next: usize,
    /// What was read of the source.
    read: Content,
    /// What was read again of the file.
    again: Option<Content>,
    counted: Option<Rows>,
    /// Parts, and the count, that are not there yet.
    missing: usize,
    took: Duration,
}

/// What is known of a part when it is in the file.
pub(super) struct Appended {
    pub read: Content,
    pub again: Option<Content>,
    pub took: Duration,
}

/// All of a table.
pub(super) struct Whole {
    pub on_disk: FileFacts,
    pub read: Content,
    pub again: Option<Content>,
    pub counted: Option<Rows>,
    pub took: Duration,
}

impl Assembly {
    /// Begins the file. `parts` includes the count, if there is to be one.
    pub fn new(archive: &Unfinished, name: &str, parts: usize) -> Result<Self, ArchiveError> {
        Ok(Self {
            state: Mutex::new(State {
                file: archive.file(name)?,
                next: 0,
                read: Content::default(),
                again: Some(Content::default()),
                counted: None,
                missing: parts,
                took: Duration::ZERO,
            }),
            turn: Notify::new(),
        })
    }

    /// Waits for a part's turn, and appends it. Returns where it begins and how long it is.
    pub async fn append(
        &self,
        part: usize,
        append: impl FnOnce(&mut Growing) -> Result<(), ArchiveError>,
    ) -> Result<(u64, u64), ArchiveError> {
        loop {
            let turn = self.turn.notified();
            tokio::pin!(turn);
            // From here on no notice is missed.
            turn.as_mut().enable();
            let mut state = self.state.lock().await;
            if state.next == part {
                let begin = state.file.facts().bytes;
                tokio::task::block_in_place(|| append(&mut state.file))?;
                state.next += 1;
                let end = state.file.facts().bytes;
                drop(state);
                self.turn.notify_waiters();
                return Ok((begin, end - begin));
            }
            drop(state);
            turn.await;
        }
    }

    /// Takes in what is known of a part. Returns the whole if it was the last.
    pub async fn take(&self, part: Appended) -> Option<Whole> {
        let mut state = self.state.lock().await;
        state.read = state.read.and(part.read);
        state.again = state.again.zip(part.again).map(|(all, part)| all.and(part));
        state.took += part.took;
        state.one_less()
    }

    /// Takes in the count. Returns the whole if it was the last.
    pub async fn counted(&self, rows: Rows) -> Option<Whole> {
        let mut state = self.state.lock().await;
        state.counted = Some(rows);
        state.one_less()
    }
}

impl State {
    fn one_less(&mut self) -> Option<Whole> {
        self.missing = self.missing.saturating_sub(1);
        (self.missing == 0).then(|| Whole {
            on_disk: self.file.facts(),
            read: self.read,
            again: self.again,
            counted: self.counted,
            took: self.took,
        })
    }
}
