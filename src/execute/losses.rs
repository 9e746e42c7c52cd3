//! Whether the target has lost work that was committed.
//!
//! Commits are not waited for, so a crash of the target takes the last of them along: a table that was copied a moment ago is
//! empty again, or not there. What fails after that fails because of it, and says nothing about the statement; it must
//! neither be told as a failure nor be kept as one. So the ledger is asked whenever a connection was lost or a
//! statement has failed, and if it lacks what was done, the run is over: a resumed one does it again.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::supervisor::Context;
use crate::ledger::{self, Marks};
use crate::pg::{PgError, Session};

/// What was committed, and what of it was found to be gone.
#[derive(Debug, Default)]
pub(super) struct Losses {
    committed: Mutex<Marks>,
    found: OnceLock<Vec<String>>,
}

impl Losses {
    /// With what earlier sessions have committed.
    pub fn since(marks: Marks) -> Self {
        Self {
            committed: Mutex::new(marks),
            found: OnceLock::new(),
        }
    }

    /// Adds what a job has committed.
    pub fn commit(&self, marks: Marks) {
        self.marks().extend(marks);
    }

    /// All that was committed.
    pub fn committed(&self) -> Marks {
        self.marks().clone()
    }

    /// What is gone, if anything is known to be.
    pub fn found(&self) -> Option<&[String]> {
        self.found.get().map(Vec::as_slice)
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        // Nothing panics while it holds the lock; if something did, the marks would still be whole.
        self.committed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Context {
    /// What the ledger says is done; an error if that is less than was committed.
    pub async fn done_by_now(&self, session: &Session) -> Result<Marks, PgError> {
        // Asked first: what is committed meanwhile may be in the ledger all the more.
        let committed = self.losses.committed();
        let found = ledger::read_marks(session, None).await?;
        let lost: Vec<String> = committed
            .missing_from(&found)
            .map(|(_, _, what)| what.to_owned())
            .collect();
        if lost.is_empty() {
            return Ok(found);
        }
        // Whoever finds it first says it.
        let _ = self.losses.found.set(lost);
        Err(PgError::Closed {
            doing: "looking whether what was committed is still there".to_owned(),
        })
    }

    /// Whether a failure can be taken for what it says.
    pub async fn nothing_is_lost(&self) -> Result<Marks, PgError> {
        let session = self.target.session("ledger").await?;
        self.done_by_now(&session).await
    }
}
