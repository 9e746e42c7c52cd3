//! How long a plan may take on these servers, and how far that can be believed.

use std::collections::BTreeMap;

use super::{Job, Plan, cost};
use crate::event::Phase;
use crate::model::JobId;
use crate::schedule::{ScheduleError, simulate, timetable};

/// What was measured of the road, while all workers are busy: how many times as long everything takes for each of them as on the
/// ordinary machine that the costs of jobs are for.
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
    /// What that is known by.
    pub ground: Ground,
}

/// What a prediction stands on: the one place that says how far off it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ground {
    /// Rough rates: hardware decides.
    Rates,
    /// What was measured of the road: still caches, other load, and how the sample compares to the rest.
    Road,
    /// An earlier run of the same: still what else the servers do, and what has grown.
    Earlier,
}

impl Ground {
    /// The least and the most, as fractions of what is likely.
    const fn spread(self) -> [(u64, u64); 2] {
        match self {
            Self::Rates => [(1, 3), (4, 1)],
            Self::Road => [(1, 2), (3, 1)],
            Self::Earlier => [(3, 4), (3, 2)],
        }
    }

    /// The range around what is likely, in microseconds.
    pub fn range(self, likely_us: u64) -> Prediction {
        let [least, most] = self.spread();
        let part = |(of, by): (u64, u64)| likely_us.saturating_mul(of) / by;
        Prediction {
            least_us: part(least),
            likely_us,
            most_us: part(most),
            ground: self,
        }
    }

    /// For a person: a clause.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Rates => "by rough rates of ordinary hardware, not measured on these servers",
            Self::Road => "by rates that were measured just now, for some seconds",
            Self::Earlier => "by the earlier run, if both servers are as busy as then",
        }
    }
}

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
        let ground = match pace {
            Some(_) => Ground::Road,
            None => Ground::Rates,
        };
        Ok(ground.range(likely_us))
    }

    /// How long each phase takes, from the start of its first job to the end of its last: phases overlap. `takes` says what a job takes,
    /// in microseconds; `whole` is what all of it should come to, and as well known.
    pub fn predict_phases(
        &self,
        whole: &Prediction,
        takes: impl Fn(&Job) -> u64,
    ) -> Result<BTreeMap<Phase, Prediction>, ScheduleError<JobId>> {
        let nodes: Vec<_> = self.nodes().collect();
        let workers = usize::try_from(self.workers).unwrap_or(usize::MAX);
        let takes = |id: JobId| self.job(id).map_or(0, &takes);
        let slots = timetable(&nodes, self.limits(), workers, |node| takes(node.key))?;
        let mut spans: BTreeMap<Phase, (u64, u64)> = BTreeMap::new();
        for slot in &slots {
            if let Some(job) = self.job(slot.key) {
                let (from, to) = spans.entry(job.phase).or_insert((slot.from, slot.to));
                *from = slot.from.min(*from);
                *to = slot.to.max(*to);
            }
        }
        let end = slots.iter().map(|slot| slot.to).max().unwrap_or(0);
        // What is known of the whole may not be what its jobs come to on paper.
        let scaled = |us: u64| {
            let us = u128::from(us) * u128::from(whole.likely_us) / u128::from(end.max(1));
            u64::try_from(us).unwrap_or(u64::MAX)
        };
        let ranges = spans.into_iter();
        let ranges =
            ranges.map(|(phase, (from, to))| (phase, whole.ground.range(scaled(to - from))));
        Ok(ranges.collect())
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
            // VACUUM and ANALYZE read, too.
            Phase::Verify | Phase::Finish => self.verify,
            Phase::Indexes | Phase::ForeignKeys => self.index,
            Phase::Schema => 1.0,
        };
        let besides = cost::besides_statements(job);
        let scaled = besides as f64 * factor;
        (job.cost - besides) + scaled as u64 + self.round_trip_us * ROUND_TRIPS
    }
}

/// Of a job: begin, the work, its mark in the ledger and commit, much of which is sent at once.
const ROUND_TRIPS: u64 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Work, testing};

    fn plan() -> Plan {
        let job = |id: u32, phase, cost| Job {
            after: id.checked_sub(1).map(JobId).into_iter().collect(),
            cost,
            ..testing::job(id, phase, Work::Copy { tables: Vec::new() })
        };
        Plan {
            jobs: vec![
                job(0, Phase::Data, 1000),
                job(1, Phase::Indexes, 1000),
                job(2, Phase::Verify, 100),
            ],
            ..Plan::of_nothing(1)
        }
    }

    #[test]
    fn a_prediction_by_rough_rates_is_a_wide_range() {
        let predicted = plan().predict(None).expect("a plan");
        assert_eq!(
            (predicted.least_us, predicted.likely_us, predicted.most_us),
            (700, 2100, 8400)
        );
        assert_eq!(predicted.ground, Ground::Rates);
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
        let besides_statements = 2 * 600 + 3 * 600;
        assert_eq!(
            predicted.likely_us,
            400 + 400 + besides_statements + 100 + 3 * 3 * 10
        );
        assert_eq!(predicted.ground, Ground::Road);
        assert!(predicted.most_us < 4 * predicted.likely_us);
        let besides = predicted.besides(1000);
        assert_eq!(besides.likely_us, predicted.likely_us + 1000);
        assert_eq!(besides.ground, Ground::Road);
    }

    #[test]
    fn statements_take_as_long_where_rows_travel_slowly() {
        let pace = Pace {
            copy: 3.0,
            verify: 3.0,
            index: 3.0,
            round_trip_us: 0,
        };
        let mut plan = plan();
        plan.jobs.truncate(1);
        // 400 of the 1,000 microseconds are for a statement.
        let predicted = plan.predict(Some(&pace)).expect("a plan");
        assert_eq!(predicted.likely_us, 400 + 3 * 600);
    }

    #[test]
    fn what_is_known_better_is_told_in_a_narrower_range() {
        let width = |ground: Ground| {
            let range = ground.range(1000);
            assert!(range.least_us < 1000 && 1000 < range.most_us, "{range:?}");
            range.most_us - range.least_us
        };
        assert!(width(Ground::Earlier) < width(Ground::Road));
        assert!(width(Ground::Road) < width(Ground::Rates));
        assert_eq!(Ground::Rates.range(u64::MAX).least_us, u64::MAX / 3);
    }

    #[test]
    fn each_phase_has_a_range_on_the_scale_of_the_whole() {
        let plan = plan();
        let whole = Ground::Earlier.range(4200);
        let phases = plan.predict_phases(&whole, |job| job.cost);
        let phases: Vec<_> = phases.expect("a plan").into_iter().collect();
        // One after the other: 1000, 1000 and 100 on paper, of 2100.
        assert_eq!(
            phases,
            [
                (Phase::Data, Ground::Earlier.range(2000)),
                (Phase::Indexes, Ground::Earlier.range(2000)),
                (Phase::Verify, Ground::Earlier.range(200)),
            ]
        );
    }
}
