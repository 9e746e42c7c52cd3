//! The file of a table that is read in parts: each is appended when all before it are.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, Notify};

use crate::archive::{ArchiveError, Content, FileFacts, Growing, Unfinished};
use crate::model::{Bytes, Rows};

/// A file that is put together.
pub(super) struct Assembly {
    state: Mutex<State>,
    turn: Notify,
    /// The file, for people.
    path: PathBuf,
    /// Nobody's turn comes any more.
    abandoned: AtomicBool,
}

struct State {
    /// Until it is whole.
    file: Option<Growing>,
    /// The part whose turn it is.
    next: usize,
    /// How long the file is with the parts before that.
    length: u64,
    /// What was read of the source.
    read: Content,
    /// What was read again of the file.
    again: Option<Content>,
    counted: Option<Rows>,
    /// Where each part is, if it cannot be read again yet.
    unread: Vec<Place>,
    /// Parts, and the count, that are not there yet.
    missing: usize,
    took: Duration,
}

/// Where something is in a file: from which byte on, and how long it is.
pub(super) type Place = (u64, u64);

/// What is known of a part when it is in the file.
pub(super) struct Appended {
    pub place: Place,
    pub read: Content,
    pub again: Again,
    pub took: Duration,
}

/// What was found when a part was read again.
pub(super) enum Again {
    /// It was not to be read again.
    Never,
    /// This.
    Now(Content),
    /// It can be read when the file is complete.
    Later,
}

/// All of a table.
pub(super) struct Whole {
    /// Which nobody has ended yet.
    pub file: Growing,
    pub read: Content,
    pub again: Option<Content>,
    pub counted: Option<Rows>,
    /// What is to be read again when it is complete, in order.
    pub unread: Vec<Place>,
    pub took: Duration,
}

/// A part's turn at the file: nobody else appends until it is over.
pub(super) struct Turn<'a> {
    state: MutexGuard<'a, State>,
    over: &'a Notify,
    begin: u64,
}

impl Assembly {
    /// Begins the file, which is expected to be so large. `parts` includes the count, if there is to be one.
    pub fn new(
        archive: &Unfinished,
        (name, expected): (&str, Bytes),
        parts: usize,
    ) -> Result<Self, ArchiveError> {
        Ok(Self {
            state: Mutex::new(State {
                file: Some(archive.file_of(name, expected)?),
                next: 0,
                length: 0,
                read: Content::default(),
                again: Some(Content::default()),
                counted: None,
                unread: Vec::new(),
                missing: parts,
                took: Duration::ZERO,
            }),
            turn: Notify::new(),
            path: archive.path().join(name),
            abandoned: AtomicBool::new(false),
        })
    }

    /// Whoever waits for a turn waits no more: those before it are not going to be done.
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
        self.turn.notify_waiters();
    }

    /// Waits for a part's turn.
    pub async fn turn(&self, part: usize) -> io::Result<Turn<'_>> {
        loop {
            let turn = self.turn.notified();
            tokio::pin!(turn);
            // From here on no notice is missed.
            turn.as_mut().enable();
            if self.abandoned.load(Ordering::Relaxed) {
                return Err(io::Error::other("the dump is stopped"));
            }
            let state = self.state.lock().await;
            if state.next == part {
                return Ok(Turn {
                    begin: state.length,
                    state,
                    over: &self.turn,
                });
            }
            drop(state);
            turn.await;
        }
    }

    /// Waits until it is a part's turn, as it is from then on until that is appended.
    pub async fn is_next(&self, part: usize) -> Result<(), ArchiveError> {
        let turn = self.turn(part).await;
        turn.map(drop)
            .map_err(ArchiveError::file("writing", &self.path))
    }

    /// Waits for a part's turn, and appends it. Returns where it is.
    pub async fn append(
        &self,
        part: usize,
        append: impl FnOnce(&mut Growing) -> Result<(), ArchiveError>,
    ) -> Result<Place, ArchiveError> {
        let turn = self.turn(part).await;
        let mut turn = turn.map_err(ArchiveError::file("writing", &self.path))?;
        if let Some(file) = turn.file() {
            tokio::task::block_in_place(|| append(file))?;
        }
        Ok(turn.over())
    }

    /// Takes in what is known of a part. Returns the whole if it was the last.
    pub async fn take(&self, part: Appended) -> Option<Whole> {
        let mut state = self.state.lock().await;
        state.read = state.read.and(part.read);
        match part.again {
            Again::Now(again) => state.again = state.again.map(|all| all.and(again)),
            Again::Never => state.again = None,
            Again::Later => {
                state.again = None;
                state.unread.push(part.place);
            }
        }
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

impl Turn<'_> {
    /// The file.
    pub fn file(&mut self) -> Option<&mut Growing> {
        self.state.file.as_mut()
    }

    /// The part is in the file, and the next may come. Returns where it is.
    pub fn over(mut self) -> Place {
        let end = self.state.file.as_ref().map(Growing::facts);
        let end = end.map_or(self.begin, |facts: FileFacts| facts.bytes);
        self.state.length = end;
        self.state.next += 1;
        drop(self.state);
        self.over.notify_waiters();
        (self.begin, end - self.begin)
    }
}

impl State {
    fn one_less(&mut self) -> Option<Whole> {
        self.missing = self.missing.saturating_sub(1);
        if self.missing > 0 {
            return None;
        }
        let mut unread = std::mem::take(&mut self.unread);
        unread.sort_unstable();
        Some(Whole {
            file: self.file.take()?,
            read: self.read,
            again: self.again,
            counted: self.counted,
            unread,
            took: self.took,
        })
    }
}
