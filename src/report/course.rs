//! How a run went over time: which worker did what when, and how fast rows travelled.
//!
//! ```text
//!   Event ──► CourseBuilder ──► Course: a leg per session ─┬─► spans: one attempt at a job, by one worker
//!                                                          └─► series: bytes in equal stretches of time
//! ```
//!
//! The report keeps totals, because it is read by programs and grows with the plan alone. This is what a picture needs
//! besides. Pure: the time is the events' own, and no order of events makes it panic. Its size is bounded by the number of
//! attempts; a series halves its resolution instead of growing.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::event::{Event, Phase, PlannedJob, What};
use crate::model::{Bytes, JobId};

/// Most stretches of time in a series.
const MOST_STRETCHES: usize = 240;

/// The shortest stretch, in milliseconds: displays are told of progress no more often.
const SHORTEST_MS: u64 = 250;

/// Every session of a run, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Course {
    /// One for each session.
    pub legs: Vec<Leg>,
}

/// One session.
#[derive(Debug, Clone, PartialEq)]
pub struct Leg {
    /// Time of its first event.
    pub started_at: DateTime<Utc>,
    /// Time of its last event.
    pub ended_at: DateTime<Utc>,
    /// Number of workers.
    pub workers: u32,
    /// Every attempt, in the order in which they began.
    pub spans: Vec<Span>,
    /// Bytes of rows that were copied.
    pub copied: Series,
    /// Bytes of rows that were read to be compared.
    pub compared: Series,
}

/// One attempt at a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Which job.
    pub job: JobId,
    /// Its phase; `None` if the plan does not have it.
    pub phase: Option<Phase>,
    /// What it does, for a person.
    pub label: String,
    /// The worker's number, from 0.
    pub worker: u32,
    /// When it began.
    pub from: DateTime<Utc>,
    /// When it ended; of one that was running at the end, the end of the session.
    pub to: DateTime<Utc>,
    /// How it ended.
    pub end: SpanEnd,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SpanEnd {
    /// Done and committed.
    Finished,
    /// It was running when the record ends.
    Running,
    /// Broken off by something that may pass, and tried again.
    BrokenOff,
    /// Failed and rolled back.
    Failed,
}

impl Span {
    /// How long it took, in milliseconds.
    pub fn duration_ms(&self) -> u64 {
        ms_between(self.from, self.to)
    }
}

impl Leg {
    fn beginning(at: DateTime<Utc>, workers: u32) -> Self {
        Self {
            started_at: at,
            ended_at: at,
            workers,
            spans: Vec::new(),
            copied: Series::default(),
            compared: Series::default(),
        }
    }

    /// How long it took, in milliseconds.
    pub fn duration_ms(&self) -> u64 {
        ms_between(self.started_at, self.ended_at)
    }

    /// Milliseconds from its start; 0 for what a clock that was set back puts before it.
    pub fn offset_ms(&self, at: DateTime<Utc>) -> u64 {
        ms_between(self.started_at, at)
    }
}

/// Bytes in equal stretches of time, from the start of a session on.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// How long a stretch is, in milliseconds.
    pub stretch_ms: u64,
    /// Bytes in each, up to the last in which there were any.
    pub bytes: Vec<f64>,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            stretch_ms: SHORTEST_MS,
            bytes: Vec::new(),
        }
    }
}

impl Series {
    /// Whether nothing travelled.
    pub fn is_empty(&self) -> bool {
        self.bytes.iter().all(|bytes| *bytes <= 0.0)
    }

    /// Bytes per second in the fastest stretch.
    pub fn fastest(&self) -> f64 {
        self.rates().fold(0.0, f64::max)
    }

    /// Bytes per second of each stretch.
    pub fn rates(&self) -> impl Iterator<Item = f64> {
        let seconds = self.stretch_ms as f64 / 1000.0;
        self.bytes.iter().map(move |bytes| bytes / seconds)
    }

    /// All bytes, and how many milliseconds the stretches in which any travelled come to.
    pub fn total(&self) -> (Bytes, u64) {
        let sum: f64 = self.bytes.iter().sum();
        let busy = self.bytes.iter().filter(|bytes| **bytes > 0.0).count() as u64;
        (whole_bytes(sum), busy.saturating_mul(self.stretch_ms))
    }

    /// Spreads bytes evenly over the time in which they travelled.
    fn add(&mut self, from_ms: u64, to_ms: u64, bytes: u64) {
        while to_ms / self.stretch_ms >= MOST_STRETCHES as u64 {
            self.halve_resolution();
        }
        // At least a millisecond: what travelled in no time travelled all the same.
        let from_ms = from_ms.min(to_ms);
        let length = (to_ms - from_ms).max(1) as f64;
        let first = from_ms / self.stretch_ms;
        let last = to_ms / self.stretch_ms;
        for stretch in first..=last {
            let begins = (stretch * self.stretch_ms).max(from_ms);
            let ends = ((stretch + 1) * self.stretch_ms).min(to_ms.max(from_ms + 1));
            let share = ends.saturating_sub(begins) as f64 / length;
            // Fewer than MOST_STRETCHES, as seen above.
            let place = usize::try_from(stretch).unwrap_or(0);
            if self.bytes.len() <= place {
                self.bytes.resize(place + 1, 0.0);
            }
            self.bytes[place] += bytes as f64 * share;
        }
    }

    fn halve_resolution(&mut self) {
        self.stretch_ms = self.stretch_ms.saturating_mul(2);
        self.bytes = self.bytes.chunks(2).map(|pair| pair.iter().sum()).collect();
    }
}

/// Folds events into a [`Course`].
#[derive(Debug, Clone, Default)]
pub struct CourseBuilder {
    legs: Vec<Leg>,
    plans: HashMap<JobId, PlannedJob>,
    /// Running attempts, as places in the leg's spans.
    running: HashMap<JobId, usize>,
    /// Jobs that wait for their next attempt: by which worker, and when.
    waiting: HashMap<JobId, (u32, DateTime<Utc>)>,
    /// When each running job was last heard of, and how many bytes it had handled by then.
    heard: HashMap<JobId, (DateTime<Utc>, u64)>,
}

impl Course {
    /// Of a whole record.
    pub fn from_events<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut builder = CourseBuilder::default();
        events.into_iter().for_each(|event| builder.apply(event));
        builder.build()
    }
}

impl CourseBuilder {
    /// Folds in one event.
    pub fn apply(&mut self, event: &Event) {
        let at = event.at;
        match &event.what {
            // No job runs before a session's start, so nothing is drawn of what comes before it.
            What::RunStarted { jobs, .. } => {
                self.legs.push(Leg::beginning(at, *jobs));
                self.plans.clear();
                self.running.clear();
                self.waiting.clear();
                self.heard.clear();
            }
            What::Planned { jobs, .. } => {
                let jobs = jobs.iter().map(|job| (job.id, job.clone()));
                self.plans.extend(jobs);
            }
            What::JobStarted { job, worker } => {
                self.waiting.remove(job);
                self.open(*job, *worker, at);
            }
            What::JobAdvanced { job, bytes, .. } => self.advance(*job, *bytes, at),
            What::JobFinished { job, bytes, .. } => {
                self.advance(*job, *bytes, at);
                self.close(*job, at, SpanEnd::Finished);
            }
            What::JobFailed { job, .. } => {
                self.close(*job, at, SpanEnd::Failed);
            }
            What::JobRetried { job, wait_ms, .. } => {
                if let Some(worker) = self.close(*job, at, SpanEnd::BrokenOff) {
                    let wait = i64::try_from(*wait_ms).unwrap_or(i64::MAX);
                    let wait = TimeDelta::try_milliseconds(wait).unwrap_or_default();
                    let again = at.checked_add_signed(wait).unwrap_or(at);
                    self.waiting.insert(*job, (worker, again));
                }
            }
            // What comes last may be the first step of a session that has not said that it begins.
            What::StepStarted { .. } => return,
            _ => {}
        }
        if let Some(leg) = self.legs.last_mut() {
            leg.ended_at = leg.ended_at.max(at);
        }
    }

    /// The course so far.
    pub fn build(mut self) -> Course {
        for leg in &mut self.legs {
            let ended_at = leg.ended_at;
            for span in &mut leg.spans {
                if span.end == SpanEnd::Running {
                    span.to = ended_at.max(span.from);
                }
            }
        }
        Course { legs: self.legs }
    }

    fn open(&mut self, job: JobId, worker: u32, at: DateTime<Utc>) {
        if self.legs.is_empty() {
            // A record that begins in the middle.
            self.legs.push(Leg::beginning(at, 0));
        }
        let Some(leg) = self.legs.last_mut() else {
            return;
        };
        let plan = self.plans.get(&job);
        leg.workers = leg.workers.max(worker.saturating_add(1));
        self.running.insert(job, leg.spans.len());
        self.heard.insert(job, (at, 0));
        leg.spans.push(Span {
            job,
            phase: plan.map(|plan| plan.phase),
            label: plan.map_or_else(|| format!("job {job}"), |plan| plan.label.clone()),
            worker,
            from: at,
            to: at,
            end: SpanEnd::Running,
        });
    }

    /// Goes on with a job that was broken off: its worker says nothing when it tries again.
    fn try_again(&mut self, job: JobId, at: DateTime<Utc>) {
        if let Some((worker, from)) = self.waiting.remove(&job) {
            self.open(job, worker, from.min(at));
        }
    }

    fn advance(&mut self, job: JobId, bytes: Bytes, at: DateTime<Utc>) {
        self.try_again(job, at);
        let (Some(&(before, had)), Some(leg)) = (self.heard.get(&job), self.legs.last_mut()) else {
            return;
        };
        // An attempt that begins anew counts from 0 again.
        let more = bytes.0.checked_sub(had).unwrap_or(bytes.0);
        self.heard.insert(job, (at, bytes.0));
        let (from_ms, to_ms) = (leg.offset_ms(before), leg.offset_ms(at));
        match self.plans.get(&job).map(|plan| plan.phase) {
            Some(Phase::Data) => leg.copied.add(from_ms, to_ms, more),
            Some(Phase::Verify) => leg.compared.add(from_ms, to_ms, more),
            _ => {}
        }
    }

    /// Ends an attempt, and says whose it was.
    fn close(&mut self, job: JobId, at: DateTime<Utc>, end: SpanEnd) -> Option<u32> {
        self.try_again(job, at);
        let place = self.running.remove(&job)?;
        let span = self.legs.last_mut()?.spans.get_mut(place)?;
        span.to = at.max(span.from);
        span.end = end;
        Some(span.worker)
    }
}

fn ms_between(from: DateTime<Utc>, to: DateTime<Utc>) -> u64 {
    u64::try_from((to - from).num_milliseconds()).unwrap_or(0)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from float saturates, and no sum of bytes is negative"
)]
fn whole_bytes(bytes: f64) -> Bytes {
    Bytes(bytes.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_spread_over_the_time_in_which_they_travelled() {
        let mut series = Series::default();
        series.add(0, 1000, 1000);
        series.add(125, 125, 7);
        assert_eq!(series.bytes, [257.0, 250.0, 250.0, 250.0, 0.0]);
        assert_eq!(series.total(), (Bytes(1007), 1000));
    }

    #[test]
    fn a_long_run_has_no_more_stretches_than_a_short_one_and_loses_no_byte() {
        let mut series = Series::default();
        for second in 0..100_000_u64 {
            series.add(second * 1000, (second + 1) * 1000, 1_000_000);
        }
        series.add(0, u64::MAX / 4, 5);
        assert!(series.bytes.len() <= MOST_STRETCHES);
        let sum: f64 = series.bytes.iter().sum();
        assert!((sum - 100_000_000_005.0).abs() < 10.0, "{sum}");
    }
}
