//! An earlier run as a measure for this one: how long its jobs took, and so how long these should take.
//!
//! The same job is found by what it is called, and scaled by its size. Of a table that was cut otherwise, all pieces together say what a
//! byte takes; of what the earlier run did not have, all jobs of its phase do. What it did not do at all, as one that read nothing
//! back, takes what the plan says, by as much more or less as all the rest does. How well its workers were used, nobody has
//! to work out: the earlier run as a whole took so long for so much work, and this one is taken to do as well.
//!
//! Pure, from recorded events. It expects, and decides nothing.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::estimate::millis_between;
use crate::event::{Event, Expected, ExpectedJob, Phase, PlannedJob, What};
use crate::model::{ExitStatus, JobId, RunCommand, VerifyLevel};

/// What any job costs besides its bytes: as much as handling this many.
const OVERHEAD: u64 = 256 * 1024;

/// A job that has grown or shrunk more than so many times is another job.
const COMPARABLE: f64 = 100.0;

/// What is measured: only a run of the same kind has the same jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measured {
    /// From a server to a server.
    Move,
    /// From an archive to a server.
    Restore,
}

/// Why a run is no measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoBaseline {
    /// It did not bring a database from one server to another.
    #[error("it is not a move")]
    NoMove,
    /// It restored nothing.
    #[error("it is not a restore")]
    NoRestore,
    /// It did not come to its end.
    #[error("it did not come to its end")]
    Unfinished,
}

/// An earlier run.
#[derive(Debug, Clone, PartialEq)]
pub struct Baseline {
    /// `rehearsal`, `earlier run` or `earlier restore`.
    by: &'static str,
    workers: u32,
    /// How much it compared.
    verify: VerifyLevel,
    /// From the first job to the end of the run; of several sessions, their sum.
    total_ms: u64,
    /// Of that, what came after the last job.
    after_ms: u64,
    /// The jobs that were finished, by phase and name.
    jobs: HashMap<(Phase, String), Spent>,
    /// All pieces of what was cut into pieces, likewise.
    whole: HashMap<(Phase, String), Spent>,
    phases: HashMap<Phase, Spent>,
}

/// What is to be expected of.
#[derive(Debug, Clone, Copy)]
pub struct Planned<'a> {
    /// All jobs.
    pub jobs: &'a [PlannedJob],
    /// What each of them should take by the plan alone, in milliseconds.
    pub costs_ms: &'a HashMap<JobId, u64>,
    /// How many carry it out.
    pub workers: u32,
    /// How much is compared.
    pub verify: VerifyLevel,
}

/// What was spent, and on how much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Spent {
    bytes: u64,
    ms: u64,
}

impl Spent {
    fn add(&mut self, bytes: u64, ms: u64) {
        self.bytes = self.bytes.saturating_add(bytes.saturating_add(OVERHEAD));
        self.ms = self.ms.saturating_add(ms);
    }

    /// What so many bytes should take; `None` if they are hardly comparable.
    fn scaled(self, bytes: u64) -> Option<f64> {
        let times = bytes.saturating_add(OVERHEAD) as f64 / self.bytes.max(1) as f64;
        let comparable = times < COMPARABLE && times > 1.0 / COMPARABLE;
        comparable.then_some(self.ms as f64 * times)
    }
}

/// Folds the events of a run into a [`Baseline`].
#[derive(Debug, Default)]
pub struct BaselineBuilder {
    command: Option<RunCommand>,
    workers: u32,
    verify: Option<VerifyLevel>,
    plans: HashMap<JobId, PlannedJob>,
    began: Option<DateTime<Utc>>,
    last: Option<DateTime<Utc>>,
    last_job: Option<DateTime<Utc>>,
    total_ms: u64,
    /// By number and name: another plan has other jobs under the same numbers.
    finished: HashMap<(JobId, String), (PlannedJob, u64)>,
    status: Option<ExitStatus>,
}

impl BaselineBuilder {
    /// Folds in one event.
    pub fn apply(&mut self, event: &Event) {
        match &event.what {
            // What comes before a session's start is a step, and nobody's time: see below.
            What::RunStarted {
                command,
                jobs,
                verify,
                ..
            } => {
                self.end_session();
                self.verify = Some(*verify);
                // What a session that resumes the run does belongs to it.
                self.command.get_or_insert_with(|| command.clone());
                self.workers = *jobs;
            }
            What::Planned { jobs, .. } => {
                self.plans = jobs.iter().map(|job| (job.id, job.clone())).collect();
            }
            What::JobStarted { .. } => {
                self.began.get_or_insert(event.at);
            }
            What::JobFinished {
                job, duration_ms, ..
            } => {
                self.last_job = Some(event.at);
                if let Some(plan) = self.plans.get(job) {
                    let key = (*job, plan.label.clone());
                    self.finished.insert(key, (plan.clone(), *duration_ms));
                }
            }
            What::RunFinished { status, .. } => self.status = Some(*status),
            // It may be the first of a session that has not said yet that it has started: the pause before it is nobody's time.
            What::StepStarted { .. } => return,
            _ => {}
        }
        self.last = Some(event.at);
    }

    fn end_session(&mut self) {
        if let (Some(began), Some(last)) = (self.began.take(), self.last) {
            let session_ms = millis_between(began, last);
            self.total_ms = self.total_ms.saturating_add(session_ms);
        }
        self.status = None;
    }

    /// What the run so far is as a measure for another one.
    pub fn build(mut self, measured: Measured) -> Result<Baseline, NoBaseline> {
        let status = self.status;
        let after_ms = self.last_job.zip(self.last);
        let after_ms = after_ms.map(|(job, end)| millis_between(job, end));
        self.end_session();
        let by = match (measured, &self.command) {
            (Measured::Move, Some(RunCommand::Rehearse)) => "rehearsal",
            (Measured::Move, Some(RunCommand::Move | RunCommand::Resume)) => "earlier run",
            (Measured::Restore, Some(RunCommand::Restore)) => "earlier restore",
            (Measured::Move, _) => return Err(NoBaseline::NoMove),
            (Measured::Restore, _) => return Err(NoBaseline::NoRestore),
        };
        // One that found differences did all its work; one that failed did not.
        let ended = matches!(
            status,
            Some(ExitStatus::Proven | ExitStatus::Waived | ExitStatus::Different)
        );
        if !ended || self.finished.is_empty() {
            return Err(NoBaseline::Unfinished);
        }
        let mut baseline = Baseline {
            by,
            workers: self.workers.max(1),
            verify: self.verify.unwrap_or(VerifyLevel::None),
            total_ms: self.total_ms,
            after_ms: after_ms.unwrap_or(0),
            jobs: HashMap::new(),
            whole: HashMap::new(),
            phases: HashMap::new(),
        };
        for (plan, ms) in self.finished.values() {
            baseline.add(plan, *ms);
        }
        Ok(baseline)
    }
}

impl Baseline {
    /// From the record of a run, as a measure for another one.
    pub fn of<'a>(
        events: impl IntoIterator<Item = &'a Event>,
        measured: Measured,
    ) -> Result<Self, NoBaseline> {
        let mut builder = BaselineBuilder::default();
        events.into_iter().for_each(|event| builder.apply(event));
        builder.build(measured)
    }

    fn add(&mut self, plan: &PlannedJob, ms: u64) {
        let bytes = plan.bytes.0;
        let name = |label: &str| (plan.phase, label.to_owned());
        self.jobs
            .entry(name(&plan.label))
            .or_default()
            .add(bytes, ms);
        let whole = without_piece(&plan.label);
        self.whole.entry(name(whole)).or_default().add(bytes, ms);
        self.phases.entry(plan.phase).or_default().add(bytes, ms);
    }

    /// What it makes us expect of a plan; `baseline` says where it is from.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast from float saturates, and no time is negative"
    )]
    pub fn expect(&self, planned: Planned<'_>, baseline: String) -> Expected {
        let workers = planned.workers;
        let pace = self.pace(planned);
        let jobs = planned.jobs.iter().map(|job| {
            let measured = self.expected_ms(job, planned.verify);
            let by_plan = || cost_ms(planned, job) * pace;
            ExpectedJob {
                job: job.id,
                duration_ms: measured.unwrap_or_else(by_plan).round() as u64,
                then_ms: 0,
            }
        });
        let jobs: Vec<ExpectedJob> = jobs.collect();
        let work = jobs.iter().map(|job| job.duration_ms);
        let work = work.fold(0, u64::saturating_add);
        let then = self.phases.values().map(|spent| spent.ms);
        let then = then.fold(0, u64::saturating_add);
        let more_work = work as f64 / then.max(1) as f64;
        let fewer_workers = f64::from(self.workers) / f64::from(workers.max(1));
        // What comes after the jobs is not shared by the workers, and does not depend on what they have done.
        let of_jobs = self.total_ms.saturating_sub(self.after_ms) as f64;
        let of_jobs = (of_jobs * more_work * fewer_workers).round() as u64;
        // No number of workers makes one job shorter.
        let longest = jobs.iter().map(|job| job.duration_ms).max().unwrap_or(0);
        Expected {
            by: Some(self.by.to_owned()),
            baseline: Some(baseline),
            total_ms: Some(of_jobs.max(longest).saturating_add(self.after_ms)),
            after_ms: self.after_ms,
            window_ms: None,
            jobs,
        }
    }

    /// How many times as long as by the plan alone those jobs take that were measured.
    fn pace(&self, planned: Planned<'_>) -> f64 {
        let (mut measured, mut by_plan) = (0.0, 0.0);
        for job in planned.jobs {
            if let Some(ms) = self.expected_ms(job, planned.verify) {
                measured += ms;
                by_plan += cost_ms(planned, job);
            }
        }
        if measured > 0.0 && by_plan > 0.0 {
            measured / by_plan
        } else {
            1.0
        }
    }

    /// `None` of what it did not do, or did less of: counting rows is no measure for reading them.
    fn expected_ms(&self, job: &PlannedJob, verify: VerifyLevel) -> Option<f64> {
        if job.phase == Phase::Verify && self.verify < verify {
            return None;
        }
        let name = |label: &str| (job.phase, label.to_owned());
        let known = [
            self.jobs.get(&name(&job.label)),
            self.whole.get(&name(without_piece(&job.label))),
        ];
        let scaled = |spent: &Spent| spent.scaled(job.bytes.0);
        let by_name = known.into_iter().flatten().find_map(scaled);
        by_name.or_else(|| {
            let spent = self.phases.get(&job.phase)?;
            let bytes = job.bytes.0.saturating_add(OVERHEAD) as f64;
            Some(spent.ms as f64 * bytes / spent.bytes.max(1) as f64)
        })
    }
}

fn cost_ms(planned: Planned<'_>, job: &PlannedJob) -> f64 {
    planned.costs_ms.get(&job.id).copied().unwrap_or(0) as f64
}

/// `copy public.statuses` of `copy public.statuses 3/7`.
pub(super) fn without_piece(label: &str) -> &str {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_piece = |text: &str| {
        let numbers = text.split_once('/');
        numbers.is_some_and(|(piece, of)| is_number(piece) && is_number(of))
    };
    match label.rsplit_once(' ') {
        Some((whole, piece)) if is_piece(piece) => whole,
        _ => label,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::testing::started;
    use crate::model::{Bytes, Rows};

    const MB: u64 = 1 << 20;

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_700_000_000_000 + ms).expect("is a time")
    }

    fn job(id: u32, phase: Phase, label: &str, mb: u64) -> PlannedJob {
        PlannedJob {
            id: JobId(id),
            phase,
            label: label.to_owned(),
            bytes: Bytes(mb * MB),
            rows: Rows(0),
        }
    }

    /// A run of these jobs, one after the other, each with what it took in seconds.
    fn run(command: &str, jobs: &[(PlannedJob, u64)], status: Option<ExitStatus>) -> Vec<Event> {
        run_with(command, jobs, (status, VerifyLevel::Content))
    }

    fn run_with(
        command: &str,
        jobs: &[(PlannedJob, u64)],
        (status, verify): (Option<ExitStatus>, VerifyLevel),
    ) -> Vec<Event> {
        let mut events = Vec::new();
        let mut now = 0;
        let mut push = |now: i64, what| events.push(Event { at: at(now), what });
        push(now, started(command.to_owned().into(), verify));
        push(
            now,
            What::Planned {
                jobs: jobs.iter().map(|(job, _)| job.clone()).collect(),
                tables: 1,
                bytes: Bytes(0),
            },
        );
        for (job, seconds) in jobs {
            let job = job.id;
            push(now, What::JobStarted { job, worker: 0 });
            now += i64::try_from(*seconds).expect("is small") * 1000;
            let (rows, bytes, duration_ms) = (Rows(0), Bytes(0), seconds * 1000);
            push(
                now,
                What::JobFinished {
                    job,
                    rows,
                    bytes,
                    duration_ms,
                },
            );
        }
        if let Some(status) = status {
            let (sentence, next) = (String::new(), None);
            push(
                now,
                What::RunFinished {
                    status,
                    sentence,
                    next,
                },
            );
        }
        events
    }

    fn rehearsal() -> Baseline {
        let jobs = [
            (job(0, Phase::Data, "copy public.statuses 1/2", 100), 20),
            (job(1, Phase::Data, "copy public.statuses 2/2", 100), 30),
            (job(2, Phase::Indexes, "index by_uri", 50), 10),
        ];
        let events = run("rehearse", &jobs, Some(ExitStatus::Proven));
        Baseline::of(&events, Measured::Move).expect("a baseline")
    }

    fn seconds(expected: &Expected) -> Vec<u64> {
        let jobs = expected.jobs.iter();
        jobs.map(|job| (job.duration_ms + 500) / 1000).collect()
    }

    #[test]
    fn a_job_takes_as_long_as_then_by_its_size() {
        let plan = [
            // The same, twice as large; cut otherwise; unheard of.
            job(0, Phase::Data, "copy public.statuses 1/2", 200),
            job(1, Phase::Data, "copy public.statuses 3/3", 100),
            job(2, Phase::Indexes, "index by_name", 100),
            job(3, Phase::Verify, "read back public.statuses", 100),
        ];
        // What was not measured at all costs by the plan half of what it does when all the rest takes twice its costs.
        let costs = [20_000, 12_500, 10_000, 15_000];
        let costs = (0..).map(JobId).zip(costs).collect();
        let with = |workers| {
            let planned = Planned {
                jobs: &plan,
                costs_ms: &costs,
                workers,
                verify: VerifyLevel::Content,
            };
            rehearsal().expect(planned, "there".to_owned())
        };
        let expected = with(2);
        assert_eq!(seconds(&expected), [40, 25, 20, 30]);
        assert_eq!(expected.by.as_deref(), Some("rehearsal"));
        // 60 s of work took 60 s; 115 s of work should take about 115, and half as long with twice the workers.
        let total = expected.total_ms.expect("is known");
        assert!((114_000..116_000).contains(&total), "{total}");
        let total = with(4).total_ms.expect("is known");
        assert!((57_000..58_000).contains(&total), "{total}");
        // But never less than its longest job.
        let widest = with(64);
        assert_eq!(
            widest.total_ms,
            expected.jobs.iter().map(|job| job.duration_ms).max()
        );
    }

    /// It takes as long with any number of workers, whatever there is to do for them.
    #[test]
    fn what_comes_after_the_jobs_is_not_shared() {
        let jobs = [(job(0, Phase::Data, "copy public.a", 100), 20)];
        let mut events = run("move", &jobs, Some(ExitStatus::Proven));
        if let Some(end) = events.last_mut() {
            end.at += chrono::TimeDelta::seconds(7);
        }
        let baseline = Baseline::of(&events, Measured::Move).expect("a baseline");
        let twice = [job(0, Phase::Data, "copy public.a", 200)];
        let planned = Planned {
            jobs: &twice,
            costs_ms: &HashMap::new(),
            workers: 2,
            verify: VerifyLevel::Content,
        };
        let expected = baseline.expect(planned, "there".to_owned());
        let total = expected.total_ms.expect("is known");
        assert_eq!(((total + 500) / 1000, expected.after_ms), (47, 7000));
    }

    /// A run that only counted rows says little of reading them.
    #[test]
    fn what_compared_less_is_no_measure_for_comparing_more() {
        let jobs = [
            (job(0, Phase::Data, "copy public.a", 100), 10),
            (job(1, Phase::Verify, "read back public.a", 100), 1),
        ];
        let plan: Vec<PlannedJob> = jobs.iter().map(|(job, _)| job.clone()).collect();
        let costs = [(JobId(0), 10_000), (JobId(1), 4_000)].into();
        for (verify, seconds_of_verify) in [(VerifyLevel::Counts, 4), (VerifyLevel::Content, 1)] {
            let run = run_with("move", &jobs, (Some(ExitStatus::Waived), verify));
            let baseline = Baseline::of(&run, Measured::Move).expect("a baseline");
            let planned = Planned {
                jobs: &plan,
                costs_ms: &costs,
                workers: 2,
                verify: VerifyLevel::Content,
            };
            let expected = baseline.expect(planned, "there".to_owned());
            assert_eq!(seconds(&expected), [10, seconds_of_verify], "{verify:?}");
        }
    }

    #[test]
    fn what_did_not_come_to_its_end_is_no_measure() {
        let jobs = [(job(0, Phase::Data, "copy public.a", 1), 1)];
        let as_measure = |measured, command, jobs: &[_], status| {
            let events = run(command, jobs, status);
            Baseline::of(&events, measured).map(|found| found.by)
        };
        let of = |command, jobs: &[_], status| as_measure(Measured::Move, command, jobs, status);
        let proven = Some(ExitStatus::Proven);
        assert_eq!(of("move", &jobs, proven), Ok("earlier run"));
        assert_eq!(of("move", &jobs, None), Err(NoBaseline::Unfinished));
        let failed = Some(ExitStatus::Failed);
        assert_eq!(of("move", &jobs, failed), Err(NoBaseline::Unfinished));
        assert_eq!(of("move", &[], proven), Err(NoBaseline::Unfinished));
        assert_eq!(of("verify", &jobs, proven), Err(NoBaseline::NoMove));
        assert_eq!(of("restore", &jobs, proven), Err(NoBaseline::NoMove));
        let of = |command| as_measure(Measured::Restore, command, &jobs, proven);
        assert_eq!(of("restore"), Ok("earlier restore"));
        assert_eq!(of("move"), Err(NoBaseline::NoRestore));
        assert_eq!(Baseline::of([], Measured::Move), Err(NoBaseline::NoMove));
    }

    #[test]
    fn the_sessions_of_a_run_are_one() {
        let jobs = [
            (job(0, Phase::Data, "copy public.a", 1), 10),
            (job(1, Phase::Data, "copy public.b", 1), 10),
        ];
        let mut events = run("move", &jobs, Some(ExitStatus::Interrupted));
        let mut later = run("resume", &jobs[1..], Some(ExitStatus::Proven));
        // It tells of a step before it says that it has started.
        let step = What::StepStarted {
            step: "connecting".to_owned(),
        };
        later.insert(
            0,
            Event {
                at: at(0),
                what: step,
            },
        );
        events.extend(later.into_iter().map(|event| Event {
            at: event.at + chrono::TimeDelta::hours(8),
            ..event
        }));
        let baseline = Baseline::of(&events, Measured::Move).expect("a baseline");
        assert_eq!(baseline.total_ms, 30_000);
    }

    /// A session that takes another snapshot makes another plan.
    #[test]
    fn what_was_finished_by_an_earlier_plan_keeps_its_name() {
        let first = [(job(0, Phase::Data, "copy public.a", 100), 40)];
        let second = [(job(0, Phase::Data, "copy public.b", 100), 10)];
        let mut events = run("move", &first, Some(ExitStatus::Interrupted));
        events.extend(run("resume", &second, Some(ExitStatus::Proven)));
        let baseline = Baseline::of(&events, Measured::Move).expect("a baseline");
        let plan = [first[0].0.clone(), second[0].0.clone()];
        let planned = Planned {
            jobs: &plan,
            costs_ms: &HashMap::new(),
            workers: 2,
            verify: VerifyLevel::Content,
        };
        let expected = baseline.expect(planned, "there".to_owned());
        assert_eq!(seconds(&expected), [40, 10]);
    }

    #[test]
    fn a_piece_is_told_from_a_name() {
        for (label, whole) in [
            ("copy public.a 3/7", "copy public.a"),
            ("copy public.\"a 3/b\"", "copy public.\"a 3/b\""),
            ("copy 2 small tables", "copy 2 small tables"),
            ("3/7", "3/7"),
        ] {
            assert_eq!(without_piece(label), whole);
        }
    }
}
