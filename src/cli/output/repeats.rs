//! What a job says again and again without any news: that it is not over. Displays are told each time; the record needs it seldom.
//!
//! Otherwise each read that stands still would write two lines a second for as long as it does, for days.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::event::{Event, What};
use crate::model::{Bytes, JobId, Rows};

/// So often it is recorded all the same: a record shows until when a run lived that was killed.
const AFTER_ALL: TimeDelta = TimeDelta::seconds(10);

/// What was recorded last of how far each job is, and when.
#[derive(Debug, Default)]
pub(super) struct Repeats(HashMap<JobId, ((Rows, Bytes), DateTime<Utc>)>);

impl Repeats {
    /// Whether an event says no more than the last one that was recorded, a moment ago. If not, it is the one to be recorded.
    pub fn has(&mut self, event: &Event) -> bool {
        match &event.what {
            What::JobAdvanced { job, rows, bytes } => {
                let so_far = (*rows, *bytes);
                let is_repeat = self.0.get(job).is_some_and(|(said, at)| {
                    let since = event.at.signed_duration_since(*at);
                    *said == so_far && since >= TimeDelta::zero() && since < AFTER_ALL
                });
                if !is_repeat {
                    self.0.insert(*job, (so_far, event.at));
                }
                is_repeat
            }
            // Another attempt begins from nothing, and says so.
            What::JobStarted { job, .. }
            | What::JobRetried { job, .. }
            | What::JobFinished { job, .. }
            | What::JobFailed { job, .. } => {
                self.0.remove(job);
                false
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of these are recorded, each with its time in milliseconds.
    fn recorded(events: &[(i64, What)]) -> Vec<i64> {
        let mut repeats = Repeats::default();
        let noon = DateTime::<Utc>::UNIX_EPOCH;
        let recorded = events.iter().filter(|(ms, what)| {
            !repeats.has(&Event {
                at: noon + TimeDelta::milliseconds(*ms),
                what: what.clone(),
            })
        });
        recorded.map(|(ms, _)| *ms).collect()
    }

    fn advanced(job: u32, rows: u64) -> What {
        What::JobAdvanced {
            job: JobId(job),
            rows: Rows(rows),
            bytes: Bytes(0),
        }
    }

    #[test]
    fn what_says_nothing_new_is_recorded_seldom() {
        let stalled: Vec<_> = (0..=50).map(|half| (half * 500, advanced(1, 7))).collect();
        assert_eq!(recorded(&stalled), [0, 10_000, 20_000]);
        let moving: Vec<_> = (0..4)
            .zip(0..)
            .map(|(ms, n)| (ms, advanced(1, n)))
            .collect();
        assert_eq!(recorded(&moving), [0, 1, 2, 3]);
        let other = [
            (0, advanced(1, 7)),
            (1, advanced(2, 7)),
            (2, advanced(1, 7)),
        ];
        assert_eq!(recorded(&other), [0, 1]);
    }

    #[test]
    fn another_attempt_and_a_clock_that_was_set_back_are_told() {
        let again = What::JobRetried {
            job: JobId(1),
            attempt: 1,
            because: "the connection was lost".to_owned(),
            wait_ms: 500,
        };
        let retried = [(0, advanced(1, 7)), (1, again), (2, advanced(1, 7))];
        assert_eq!(recorded(&retried), [0, 1, 2]);
        let set_back = [(5000, advanced(1, 7)), (0, advanced(1, 7))];
        assert_eq!(recorded(&set_back), [5000, 0]);
    }
}
