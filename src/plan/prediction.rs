//! How long a plan may take on the night's own machines, and how far that can be believed.

use super::{Job, Plan};
use crate::event::Phase;
use crate::model::JobId;
use crate::schedule::{ScheduleError, simulate};

/// What was measured of the road, while all workers are at it: how many times as long everything takes for each of them as on the
/// ordinary machine that the costs of jobs are of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Bringing rows from the source to the target.
    pub copy: f64,
    /// Reading them back.
    pub verify: f64,
    /// Building a b-tree on the target.
    pub index: f64,
    /// There and back, to the side that is farther away.
    pub round_trip_us: u64,
}

/// How long a move may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prediction {
    /// It will hardly be less.
    pub least_us: u64,
    /// What the rates say.
    pub likely_us: u64,
    /// It should not be more.
    pub most_us: u64,
    /// Whether the rates are those of these servers.
    pub measured: bool,
}

/// How far off a prediction may be: it is divided by the one, and multiplied by the other. By rough rates, hardware decides; by
/// measured ones still caches, other load, and how the sample compares to the rest.
const SPREAD_ROUGH: (u64, u64) = (3, 4);
const SPREAD_MEASURED: (u64, u64) = (2, 3);

impl Plan {
    /// The expected duration, by what was measured if anything was.
    pub fn predict(&self, pace: Option<&Pace>) -> Result<Prediction, ScheduleError<JobId>> {
        let nodes: Vec<_> = self.nodes().collect();
        let workers = usize::try_from(self.workers).unwrap_or(usize::MAX);
        let takes = |id: JobId| {
            self.job(id).map_or(0, |job| match pace {
                Some(pace) => pace.cost(job),
                None => job.cost,
            })
        };
        let likely_us = simulate(&nodes, self.limits(), workers, |node| takes(node.key))?;
        let (below, above) = match pace {
            Some(_) => SPREAD_MEASURED,
            None => SPREAD_ROUGH,
        };
        Ok(Prediction {
            least_us: likely_us / below,
            likely_us,
            most_us: likely_us.saturating_mul(above),
            measured: pace.is_some(),
        })
    }
}

impl Prediction {
    /// The same with what is not in the plan: before the first job, and after the last.
    #[must_use]
    pub fn besides(self, us: u64) -> Self {
        let more = |of: u64| of.saturating_add(us);
        Self {
            least_us: more(self.least_us),
            likely_us: more(self.likely_us),
            most_us: more(self.most_us),
            ..self
        }
    }
}

impl Pace {
    /// What a job takes: its cost, by as much as its kind of work is slower or faster here, and its statements'
    /// way.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast from float saturates, and no time is negative"
    )]
    fn cost(&self, job: &Job) -> u64 {
        let factor = match job.phase {
            Phase::Data => self.copy,
            Phase::Verify => self.verify,
            Phase::Indexes | Phase::ForeignKeys => self.index,
            Phase::Schema | Phase::Finish => 1.0,
        };
        let scaled = job.cost as f64 * factor;
        scaled as u64 + self.round_trip_us * ROUND_TRIPS
    }
}

/// Of a job: begin, the work, its mark in the ledger and commit, much of which is sent at once.
const ROUND_TRIPS: u64 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Bytes, Rows, VerifyLevel};
    use crate::plan::Work;

    fn plan() -> Plan {
        let job = |id: u32, phase, cost| Job {
            id: JobId(id),
            phase,
            label: String::new(),
            work: Work::Copy { tables: Vec::new() },
            after: id.checked_sub(1).map(JobId).into_iter().collect(),
            needs: Vec::new(),
            cost,
            locks: Vec::new(),
            memory: Bytes(0),
            bytes: Bytes(0),
            rows: Rows(0),
        };
        Plan {
            format: 1,
            workers: 1,
            verify: VerifyLevel::Content,
            client_encoding: "UTF8".into(),
            memory: Bytes(0),
            tables: Vec::new(),
            comparisons: Vec::new(),
            excluded: Vec::new(),
            notes: Vec::new(),
            left_out: Vec::new(),
            jobs: vec![
                job(0, Phase::Data, 1000),
                job(1, Phase::Indexes, 1000),
                job(2, Phase::Verify, 100),
            ],
        }
    }

    #[test]
    fn a_prediction_by_rough_rates_is_a_wide_range() {
        let predicted = plan().predict(None).expect("a plan");
        assert_eq!(
            (predicted.least_us, predicted.likely_us, predicted.most_us),
            (700, 2100, 8400)
        );
        assert!(!predicted.measured);
    }

    #[test]
    fn each_kind_of_work_is_scaled_by_what_was_measured_of_it() {
        let pace = Pace {
            copy: 2.0,
            verify: 5.0,
            index: 3.0,
            round_trip_us: 10,
        };
        let predicted = plan().predict(Some(&pace)).expect("a plan");
        assert_eq!(predicted.likely_us, 2000 + 3000 + 500 + 3 * 3 * 10);
        assert!(predicted.measured);
        assert!(predicted.most_us < 4 * predicted.likely_us);
        let besides = predicted.besides(1000);
        assert_eq!(besides.likely_us, predicted.likely_us + 1000);
        assert!(besides.measured);
    }
}
