//! A clock that is set back while a run goes on: what is known of times moves with it, so that nothing stands still until it has
//! caught up, and nothing seems to have taken longer than it did.
//!
//! Events come a little out of order at times; that is no step of a clock.

use chrono::{DateTime, TimeDelta, Utc};

use super::State;

/// Less than this is disorder.
const STEP: TimeDelta = TimeDelta::minutes(1);

impl State {
    /// Whether time goes on at this moment: later than the latest one, or behind a step of the clock.
    pub(super) fn goes_on(&mut self, now: DateTime<Utc>) -> bool {
        let Some(before) = self.now.filter(|before| *before >= now) else {
            return true;
        };
        let back = before - now;
        if back < STEP {
            return false;
        }
        let until = self.draining.as_mut().map(|(_, until)| until);
        let jobs = self.running.values_mut();
        for job in jobs {
            job.started = earlier(job.started, back);
            job.meter.step_back(back);
        }
        if let Some(meter) = &mut self.moved {
            meter.step_back(back);
        }
        let moments = [self.started.as_mut(), self.first_job.as_mut(), until];
        for moment in moments.into_iter().flatten() {
            *moment = earlier(*moment, back);
        }
        true
    }
}

/// A record may have any time in it.
fn earlier(moment: DateTime<Utc>, by: TimeDelta) -> DateTime<Utc> {
    moment.checked_sub_signed(by).unwrap_or(moment)
}
