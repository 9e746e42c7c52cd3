//! Rates and remaining time, from time stamps alone.

use chrono::{DateTime, TimeDelta, Utc};

/// How far back a rate remembers: after this time what was before counts for about a third.
const MEMORY_S: f64 = 5.0;

/// Samples closer together than this say more about the clock than about the work.
const SHORTEST_SAMPLE_S: f64 = 0.25;

/// What has not grown for so long stands still: there is no rate to speak of.
const STILL_MS: u64 = 5000;

/// How fast something grows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// So much in a second, smoothed.
    PerSecond(f64),
    /// Not at all, for so many milliseconds.
    Still(u64),
}

/// Measures the speed of something that only grows.
#[derive(Debug, Clone)]
pub struct Meter {
    at: DateTime<Utc>,
    grew: DateTime<Utc>,
    value: u64,
    per_second: Option<f64>,
}

impl Meter {
    /// Begins at zero.
    pub fn new(at: DateTime<Utc>) -> Self {
        Self {
            at,
            grew: at,
            value: 0,
            per_second: None,
        }
    }

    /// Takes in a reading. Telling it the same value again lets the rate sink, until it is called a stall.
    pub fn read(&mut self, at: DateTime<Utc>, value: u64) {
        let seconds = millis_between(self.at, at) as f64 / 1000.0;
        if seconds < SHORTEST_SAMPLE_S {
            return;
        }
        let now = value.saturating_sub(self.value) as f64 / seconds;
        let weight = 1.0 - (-seconds / MEMORY_S).exp();
        self.per_second = Some(match self.per_second {
            Some(before) => before + weight * (now - before),
            None => now,
        });
        if value != self.value {
            self.grew = at;
        }
        self.at = at;
        self.value = value;
    }

    /// The clock was set back by so much.
    pub fn step_back(&mut self, by: TimeDelta) {
        for moment in [&mut self.at, &mut self.grew] {
            // A record may have any time in it.
            *moment = moment.checked_sub_signed(by).unwrap_or(*moment);
        }
    }

    /// How fast, by the latest reading; `None` before the first.
    pub fn speed(&self) -> Option<Speed> {
        let still_ms = millis_between(self.grew, self.at);
        if still_ms >= STILL_MS {
            return Some(Speed::Still(still_ms));
        }
        self.per_second.map(Speed::PerSecond)
    }
}

/// Whole milliseconds from one time to another; 0 if the clock went backwards.
pub fn millis_between(from: DateTime<Utc>, to: DateTime<Utc>) -> u64 {
    u64::try_from((to - from).num_milliseconds()).unwrap_or(0)
}

/// One phase, as the estimate sees it. Weights are bytes.
#[derive(Debug, Clone, Default)]
pub struct PhaseLoad {
    /// What the phase's unit of work costs, relative to copying, as long as nothing of it has been done.
    pub prior: f64,
    /// Weight that has been worked off, by finished jobs and by the known part of running ones.
    pub done: f64,
    /// Worker time that took, in milliseconds.
    pub busy_ms: f64,
    /// Weight that nobody has begun.
    pub open: f64,
    /// The largest single job that nobody has begun.
    pub largest_open: f64,
    /// Running jobs: weight, and milliseconds since the start.
    pub running: Vec<(f64, f64)>,
}

/// Remaining wall time in milliseconds; `None` as long as nothing is known.
///
/// A model of worker time: each phase's cost of a byte is measured where it can be and guessed from copying where it
/// cannot; what remains is shared by all workers, but one job is never faster than one worker can do it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from float saturates, and no time is negative"
)]
pub fn remaining_ms(phases: &[PhaseLoad], workers: u32) -> Option<u64> {
    // What a byte of copying costs, or would cost, judging from any phase that has data.
    let (cost, evidence) = phases
        .iter()
        .filter(|phase| phase.done > 0.0 && phase.prior > 0.0)
        .fold((0.0, 0.0), |(cost, evidence), phase| {
            (cost + phase.busy_ms, evidence + phase.done * phase.prior)
        });
    if evidence <= 0.0 {
        return None;
    }
    let of_copying = cost / evidence;
    let mut total = 0.0;
    let mut longest: f64 = 0.0;
    for phase in phases {
        let unit = if phase.done > 0.0 {
            phase.busy_ms / phase.done
        } else {
            of_copying * phase.prior
        };
        total += phase.open * unit;
        longest = longest.max(phase.largest_open * unit);
        for (weight, elapsed) in &phase.running {
            // A job that has outlived its estimate is taken to need a tenth of its time again, not to be over.
            let rest = (weight * unit - elapsed).max(elapsed * 0.1);
            total += rest;
            longest = longest.max(rest);
        }
    }
    Some((total / f64::from(workers.max(1))).max(longest) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_700_000_000_000 + ms).expect("is a time")
    }

    fn per_second(meter: &Meter) -> f64 {
        match meter.speed() {
            Some(Speed::PerSecond(rate)) => rate,
            other => panic!("no rate: {other:?}"),
        }
    }

    #[test]
    fn a_steady_rate_is_met_and_a_stall_is_seen() {
        let mut meter = Meter::new(at(0));
        assert_eq!(meter.speed(), None);
        for second in 1..=60_u32 {
            meter.read(at(i64::from(second) * 1000), u64::from(second) * 100);
        }
        assert!((per_second(&meter) - 100.0).abs() < 0.01);
        for second in 61..=64 {
            meter.read(at(second * 1000), 6000);
        }
        assert!(per_second(&meter) < 50.0);
        meter.read(at(67_500), 6000);
        assert_eq!(meter.speed(), Some(Speed::Still(7500)));
        meter.step_back(TimeDelta::hours(1));
        assert_eq!(meter.speed(), Some(Speed::Still(7500)));
        meter.read(at(68_000 - 3_600_000), 6100);
        assert!(per_second(&meter) > 0.0);
    }

    #[test]
    fn a_clock_that_jumps_back_does_no_harm() {
        let mut meter = Meter::new(at(10_000));
        meter.read(at(0), 100);
        meter.read(at(11_000), 50);
        assert!(per_second(&meter).is_finite());
        assert_eq!(millis_between(at(5), at(0)), 0);
    }

    #[test]
    fn what_remains_is_shared_but_no_job_is_split() {
        let mut copying = PhaseLoad {
            prior: 1.0,
            done: 100.0,
            busy_ms: 1000.0,
            open: 300.0,
            largest_open: 100.0,
            ..PhaseLoad::default()
        };
        assert_eq!(remaining_ms(std::slice::from_ref(&copying), 3), Some(1000));
        copying.largest_open = 250.0;
        assert_eq!(remaining_ms(std::slice::from_ref(&copying), 3), Some(2500));
        let indexes = PhaseLoad {
            prior: 0.5,
            open: 900.0,
            ..PhaseLoad::default()
        };
        assert_eq!(remaining_ms(&[copying, indexes], 1), Some(3000 + 4500));
        assert_eq!(remaining_ms(&[PhaseLoad::default()], 1), None);
    }
}
