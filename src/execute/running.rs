//! A job under way, of a run or of a dump: what is told of it from its start to its end, and between two attempts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bound::Pace;
use super::stop::Cause;
use crate::event::{Emit, What};
use crate::model::{Bytes, JobId, Rows};
use crate::pg::wire::Gauge;

/// How often the progress of running jobs is told.
pub(super) const TICK: Duration = Duration::from_millis(500);

/// The wait before the second attempt; it doubles from one to the next …
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// … up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// A job under way.
pub(super) struct Running {
    pub job: JobId,
    /// How far it is.
    pub gauge: Arc<Gauge>,
    started: Instant,
    told: (Rows, Bytes),
    /// Of a job that relays rows.
    pace: Option<Pace>,
}

impl Running {
    /// Begins, and says so.
    pub fn begin(job: JobId, worker: u32, emit: &dyn Emit) -> Self {
        emit.emit(What::JobStarted { job, worker });
        Self {
            job,
            gauge: Arc::default(),
            started: Instant::now(),
            told: Default::default(),
            pace: None,
        }
    }

    /// It relays rows: what sets their pace is told.
    pub fn relays(self) -> Self {
        Self {
            pace: Some(Pace::default()),
            ..self
        }
    }

    /// Says how far it is, and what sets its pace, as far as that is news.
    pub fn tell(&mut self, emit: &dyn Emit) {
        let job = self.job;
        let pace = self.pace.as_mut();
        if let Some(bound) = pace.and_then(|pace| pace.look(&self.gauge, Instant::now())) {
            emit.emit(What::JobBound { job, bound });
        }
        let so_far = self.gauge.read();
        if so_far != self.told {
            self.told = so_far;
            let (rows, bytes) = so_far;
            emit.emit(What::JobAdvanced { job, rows, bytes });
        }
    }

    /// Says that it is done, and what it handled.
    pub fn finished(&self, (rows, bytes): (Rows, Bytes), emit: &dyn Emit) {
        emit.emit(What::JobFinished {
            job: self.job,
            rows,
            bytes,
            duration_ms: millis(self.started.elapsed()),
        });
    }
}

/// Says that no other job starts, and for how long those may go on that run.
pub(super) fn begin_to_drain(cause: &Cause, (jobs, patience): (usize, Duration), emit: &dyn Emit) {
    emit.emit(What::Draining {
        signal: cause.to_string(),
        jobs: u32::try_from(jobs).unwrap_or(u32::MAX),
        seconds: patience.as_secs(),
    });
}

/// Says why a job is tried again, and after how many attempts; lets time pass, and has its gauge begin anew.
pub(super) async fn wait_for_next(
    (job, attempt): (JobId, u32),
    because: String,
    (gauge, emit): (&Gauge, &dyn Emit),
) {
    let wait = pause_after(attempt);
    emit.emit(What::JobRetried {
        job,
        attempt,
        because,
        wait_ms: millis(wait),
    });
    tokio::time::sleep(wait).await;
    gauge.reset();
}

/// How long to wait after this many attempts.
pub(super) fn pause_after(attempts: u32) -> Duration {
    FIRST_WAIT
        .saturating_mul(1 << attempts.saturating_sub(1).min(10))
        .min(LONGEST_WAIT)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches as _};

    use super::*;
    use crate::cli::arguments::RetryArgs;

    #[test]
    fn the_readme_knows_for_how_long_a_job_is_tried_again() {
        let nothing_said = RetryArgs::augment_args(Command::new("pgconvoy"))
            .try_get_matches_from(["pgconvoy"])
            .and_then(|matches| RetryArgs::from_arg_matches(&matches));
        let retries = nothing_said.expect("a default").max_retries;
        let waited: Duration = (1..=retries).map(pause_after).sum();
        assert_eq!(waited.as_secs(), 120);
        let says =
            "is tried again, a job or a chunk at a time, for about two minutes (`--max-retries`)";
        assert!(crate::readme_says(says));
    }
}
