//! What a plan may take: the same ready queue, with every job taking exactly its cost.
//!
//! The costs are rough (see [`super::cost`]), so the forecast says which jobs matter, and only about how long they take.

use super::{Job, Plan};
use crate::model::{JobId, QualifiedName};
use crate::schedule::{Limits, Node, ScheduleError, Slot, simulate, timetable};

/// A plan's expected course, in microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// From the first job to the end of the last.
    pub duration_us: u64,
    /// The sum of all jobs: what one worker would take.
    pub work_us: u64,
    /// The longest chain of jobs that wait for each other: no number of workers is faster than it.
    pub critical_path: Vec<JobId>,
    /// What that chain takes.
    pub critical_us: u64,
}

impl Plan {
    /// The jobs as the ready queue knows them.
    pub fn nodes(&self) -> impl Iterator<Item = Node<JobId, QualifiedName>> + '_ {
        self.jobs.iter().map(|job| Node {
            key: job.id,
            cost: job.cost,
            after: job.after.clone(),
            locks: job.locks.clone(),
            memory: job.memory.0,
        })
    }

    /// What all jobs together may use.
    pub fn limits(&self) -> Limits {
        Limits {
            memory: self.memory.0,
        }
    }

    /// The expected course with the plan's number of workers.
    pub fn forecast(&self) -> Result<Forecast, ScheduleError<JobId>> {
        let nodes: Vec<_> = self.nodes().collect();
        let workers = usize::try_from(self.workers).unwrap_or(usize::MAX);
        let critical_path = self.critical_path();
        let cost = |id: &JobId| self.job(*id).map_or(0, |job| job.cost);
        Ok(Forecast {
            duration_us: simulate(&nodes, self.limits(), workers, |node| node.cost)?,
            work_us: self.jobs.iter().map(|job| job.cost).sum(),
            critical_us: critical_path.iter().map(cost).sum(),
            critical_path,
        })
    }

    /// Who would do what when, in microseconds, if every job took what it is expected to.
    pub fn timetable(&self) -> Result<Vec<Slot<JobId>>, ScheduleError<JobId>> {
        let nodes: Vec<_> = self.nodes().collect();
        let workers = usize::try_from(self.workers).unwrap_or(usize::MAX);
        timetable(&nodes, self.limits(), workers, |node| node.cost)
    }

    /// Of each job, in the plan's order, what the longest chain of jobs takes that wait for it, if each takes so long: a unit as `takes` has it.
    pub fn behind(&self, takes: impl Fn(&Job) -> u64) -> Vec<u64> {
        let mut behind = vec![0; self.jobs.len()];
        for (place, job) in self.jobs.iter().enumerate().rev() {
            let then: u64 = behind.get(place).copied().unwrap_or(0);
            let with_it = then.saturating_add(takes(job));
            for id in &job.after {
                let before = usize::try_from(id.0).ok();
                if let Some(before) = before.and_then(|before| behind.get_mut(before)) {
                    *before = with_it.max(*before);
                }
            }
        }
        behind
    }

    /// The longest chain. A job waits only for jobs that stand before it in the plan, so one pass is enough.
    fn critical_path(&self) -> Vec<JobId> {
        let mut best: Vec<(u64, Option<JobId>)> = Vec::with_capacity(self.jobs.len());
        let position = |id: JobId| usize::try_from(id.0).unwrap_or(usize::MAX);
        for job in &self.jobs {
            let chains = job
                .after
                .iter()
                .filter_map(|&id| Some((best.get(position(id))?.0, id)));
            let longest = chains.max();
            best.push((
                longest.map_or(0, |(cost, _)| cost) + job.cost,
                longest.map(|(_, id)| id),
            ));
        }
        let last = best.iter().enumerate().max_by_key(|(_, (cost, _))| *cost);
        let mut next = last
            .and_then(|(index, _)| self.jobs.get(index))
            .map(|job: &Job| job.id);
        let mut path = Vec::new();
        while let Some(id) = next {
            path.push(id);
            next = best.get(position(id)).and_then(|(_, before)| *before);
        }
        path.reverse();
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Phase;
    use crate::plan::{Work, testing};

    fn job(id: u32, after: &[u32], cost: u64) -> Job {
        Job {
            after: after.iter().copied().map(JobId).collect(),
            cost,
            ..testing::job(id, Phase::Data, Work::Copy { tables: Vec::new() })
        }
    }

    #[test]
    fn the_critical_path_is_the_longest_chain() {
        let plan = Plan {
            jobs: vec![
                job(0, &[], 1),
                job(1, &[0], 10),
                job(2, &[0], 4),
                job(3, &[2], 5),
                job(4, &[1, 3], 2),
            ],
            ..Plan::of_nothing(2)
        };
        let forecast = plan.forecast().expect("a plan");
        assert_eq!(forecast.critical_path, [JobId(0), JobId(1), JobId(4)]);
        assert_eq!(
            (forecast.critical_us, forecast.duration_us, forecast.work_us),
            (13, 13, 22)
        );
        assert_eq!(plan.behind(|job| job.cost), [12, 2, 7, 2, 0]);
    }
}
