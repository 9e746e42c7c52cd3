//! What may still come to its end when a job is lost: an index of hours need not be built again because the source is away.
//!
//! ```text
//!   a job is lost ──► does the target answer, and is anything running that needs nothing else?
//!                       ├─ no ──► the run ends
//!                       └─ yes ─► no other job starts
//!                                   ├─ what needs nothing but the target ends when it ends
//!                                   └─ what reads the source has as long as if the run had been asked to stop
//! ```
//!
//! Which side a connection was lost to is not asked: jobs that need the source alone, the target alone or both are lost all the
//! same. A target that answers is what the others need.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::ExecuteError;
use super::supervisor::{Supervisor, UnderWay};
use crate::event::What;
use crate::pg::PgError;

/// How long the target has to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why no other job starts.
pub(super) struct Lost {
    /// Of the first that was lost.
    error: ExecuteError,
    /// When those are given up that read the source; `None` when they have been.
    readers_until: Option<Instant>,
}

impl Lost {
    pub fn into_error(self) -> ExecuteError {
        self.error
    }

    /// Waits until whatever reads the source is to be given up.
    pub async fn time_is_up(lost: Option<&Self>) {
        match lost.and_then(|lost| lost.readers_until) {
            Some(until) => sleep_until(until).await,
            None => std::future::pending().await,
        }
    }
}

impl Supervisor {
    /// A job is lost. An error if nothing that runs is to be waited for: that of the first job that was lost.
    pub async fn lose(&mut self, error: ExecuteError) -> Result<(), ExecuteError> {
        if self.lost.is_some() {
            // The run ends with the first; what comes behind it may be something else.
            let text = format!("one more job is lost: {error}");
            self.context.emit.emit(What::Note { text });
        }
        let jobs = self.running.values();
        let jobs = jobs.filter(|job| !self.reads_source(job)).count();
        if jobs == 0 || !may_spare_target(&error) || !self.target_answers().await {
            return Err(self.lost.take().map_or(error, Lost::into_error));
        }
        if self.lost.is_none() {
            // One that was asked to stop has told them already how long they have.
            if !self.drain.is_asked_for() {
                self.tell_who_may_finish(&error, jobs);
            }
            self.lost = Some(Lost {
                error,
                readers_until: Some(Instant::now() + self.drain.patience()),
            });
        }
        Ok(())
    }

    fn tell_who_may_finish(&self, error: &ExecuteError, jobs: usize) {
        let jobs = match jobs {
            1 => "1 running job that needs only the target may finish".to_owned(),
            jobs => format!("{jobs} running jobs that need only the target may finish"),
        };
        let text = format!("{error}: no new job starts; {jobs}, however long that takes");
        self.context.emit.emit(What::Note { text });
    }

    /// The time is up for those that need what is lost.
    pub fn give_up_readers(&mut self) {
        if let Some(lost) = &mut self.lost {
            lost.readers_until = None;
        }
        let mut running = std::mem::take(&mut self.running);
        let given_up = running.extract_if(|_, job| self.reads_source(job));
        for (_, job) in given_up {
            job.task.abort();
            let watchdog = &self.context.watchdog;
            watchdog.give_up(self.context.servers(), job.running.job);
        }
        self.running = running;
    }

    /// Whether a job needs the source. What comes out of an archive needs no server of it.
    fn reads_source(&self, under_way: &UnderWay) -> bool {
        let job = self.context.plan.job(under_way.running.job);
        self.context.archive.is_none() && job.is_some_and(|job| job.work.reads_source())
    }

    /// One that has no room for another session answers as well.
    async fn target_answers(&self) -> bool {
        let asked = self.context.target.session("alive");
        match timeout(PATIENCE, asked).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => error.is_about_room(),
            Err(_) => false,
        }
    }
}

/// Whether the target may be well, for all that the error says: its disk is not full, and it has not lost what jobs are built on.
fn may_spare_target(error: &ExecuteError) -> bool {
    const DISK_FULL: &str = "53100";
    match error {
        ExecuteError::Lost { source, .. } | ExecuteError::Stuck { source, .. } => {
            !matches!(source, PgError::WorkLost { .. }) && source.code() != Some(DISK_FULL)
        }
        ExecuteError::Schedule(_) | ExecuteError::Stopped | ExecuteError::Panicked { .. } => false,
    }
}
