//! The report: everything that a run's events say, once, in an order that can be read.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::expected::ExpectedReport;
use super::followed;
use super::job::{JobReport, Outcome};
use super::phases::PhaseReport;
use super::sessions::{Past, ResumedReport, RetryReport, SessionReport, StoreRetries};
use super::turned::TurnReport;
use crate::event::{Emptying, Event, JobFailure, PlannedJob, Standing, StandingState, What};
use crate::model::{
    Bytes, Difference, Endpoint, ExitStatus, Finding, FollowedBy, JobId, QualifiedName, RepairFile,
    RowsDiffer, RunCommand, Side, Synced, TableVerdict, Unverified, Verdict, VerifyLevel, Waiver,
};

/// The version of the report's format. It grows when a field changes its meaning or goes; new fields do not count.
/// Every field is described in `report-json.md`, beside this file, and a test holds the two together.
pub const FORMAT: u32 = 1;

/// A run, from its first event to its last. This is `report.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// `FORMAT`.
    pub format: u32,
    /// pgconvoy's version.
    pub version: String,
    /// The command.
    pub command: RunCommand,
    /// Where from.
    pub source: Option<Endpoint>,
    /// Where to.
    pub target: Option<Endpoint>,
    /// Number of workers.
    pub workers: u32,
    /// What was to be proven.
    pub verify: Option<VerifyLevel>,
    /// The run directory.
    pub run_dir: String,
    /// The options that left a part of the database out, as they would be given: `--table=public.users`.
    #[serde(default)]
    pub narrowed_by: Vec<String>,
    /// Time of the first event.
    pub started_at: Option<DateTime<Utc>>,
    /// Time of the last event; of a run that was killed, too.
    pub ended_at: Option<DateTime<Utc>>,
    /// What the process exits with; `None` if the run never said how it ended.
    pub status: Option<ExitStatus>,
    /// What is proven and what is not.
    pub sentence: String,
    /// What to do next.
    pub next: Option<String>,
    /// The source's snapshot: the one that was copied, or compared. Of several, the first: the others are second looks.
    pub snapshot: Option<SnapshotReport>,
    /// The target's snapshot, of a comparison; likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_snapshot: Option<SnapshotReport>,
    /// Tables whose rows were to be copied or compared, by the plan; `None` without a plan.
    pub planned_tables: Option<u32>,
    /// Bytes of table data, by the plan.
    pub planned_bytes: Bytes,
    /// What was read, written and found for each table.
    pub tables: Vec<TableVerdict>,
    /// What else was compared and is the same.
    pub checked: Vec<Checked>,
    /// Where source and target differ.
    pub differences: Vec<Difference>,
    /// What could not be verified.
    pub unverified: Vec<Unverified>,
    /// Which rows of the tables that differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<RowsDiffer>,
    /// What was passed over on request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waivers: Vec<Waiver>,
    /// What differed at first, and no longer when it was looked at again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub in_flux: Vec<Difference>,
    /// The SQL that would make what differs the same (`--repair`); `None` if none was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair: Option<RepairFile>,
    /// What a sync or a turn has changed, or would change; `None` if it did not come so far, and for every other command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synced: Option<Synced>,
    /// How one side took over from the other; `None` for every other command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<TurnReport>,
    /// What the target is to follow the source by, once its copy is proven; `None` if it is not to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow: Option<FollowedBy>,
    /// When it began to follow; `None` if it has not, or was not to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub following_since: Option<DateTime<Utc>>,
    /// How far emptying the target came, in all sessions together; `None` if it was not emptied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emptying: Option<Emptying>,
    /// Writes on the source after the snapshot; `None` if none were seen.
    pub source_moved_on: Option<MovedOn>,
    /// When it was certain that nothing had been written to the source since the snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_unchanged_at: Option<DateTime<Utc>>,
    /// What the look before the leap found.
    pub findings: Vec<Finding>,
    /// What was worth a line.
    pub notes: Vec<String>,
    /// The phases that had work.
    pub phases: Vec<PhaseReport>,
    /// Every job, in the order of the plan.
    pub jobs: Vec<JobReport>,
    /// Every session of the run, in order; everything else here, except for `retries`, is about the last of them.
    #[serde(default)]
    pub sessions: Vec<SessionReport>,
    /// Where the jobs stood when the last session began, if it was not the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<ResumedReport>,
    /// What was tried again, in all sessions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retries: Vec<RetryReport>,
    /// What was expected, and what came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<ExpectedReport>,
}

/// The snapshot that all reads of one side saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotReport {
    /// As `pg_export_snapshot` names it.
    pub name: String,
    /// Write-ahead log position.
    pub lsn: String,
    /// When it was taken.
    pub taken_at: DateTime<Utc>,
    /// When it was given back.
    pub released_at: Option<DateTime<Utc>>,
}

/// Things of one kind that are the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// The kind: `indexes`.
    pub what: String,
    /// How many.
    pub count: u64,
}

/// Writes on the source that the copy does not have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedOn {
    /// Table and number of written rows, where the statistics say so; may be empty.
    pub tables: Vec<(String, u64)>,
}

impl Report {
    /// The report of a whole record.
    pub fn from_events<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut builder = ReportBuilder::default();
        for event in events {
            builder.apply(event);
        }
        builder.build()
    }

    /// The jobs that failed, with why.
    pub fn failures(&self) -> impl Iterator<Item = (&JobReport, &JobFailure)> {
        self.jobs.iter().filter_map(|job| match &job.outcome {
            Outcome::Failed { failure } => Some((job, failure.as_ref())),
            _ => None,
        })
    }

    /// The labels of skipped jobs, under the failed job that is the cause in the end.
    pub fn skipped(&self) -> BTreeMap<JobId, Vec<&JobReport>> {
        let causes: HashMap<JobId, JobId> = self
            .jobs
            .iter()
            .filter_map(|job| match job.outcome {
                Outcome::Skipped { because_of } => Some((job.plan.id, because_of)),
                _ => None,
            })
            .collect();
        let mut by_root: BTreeMap<JobId, Vec<&JobReport>> = BTreeMap::new();
        for job in self
            .jobs
            .iter()
            .filter(|job| causes.contains_key(&job.plan.id))
        {
            let mut root = job.plan.id;
            // Bounded, in case a record says that jobs were skipped because of each other.
            for _ in 0..causes.len() {
                root = causes.get(&root).copied().unwrap_or(root);
            }
            by_root.entry(root).or_default().push(job);
        }
        by_root
    }

    fn count(&mut self, what: &str, count: u64) {
        match self.checked.iter_mut().find(|one| one.what == what) {
            Some(checked) => checked.count += count,
            None => self.checked.push(Checked {
                what: what.to_owned(),
                count,
            }),
        }
    }

    fn snapshot_of(&mut self, side: Side) -> &mut Option<SnapshotReport> {
        match side {
            Side::Source => &mut self.snapshot,
            Side::Target => &mut self.target_snapshot,
        }
    }

    /// How many tables have this verdict.
    pub fn verdicts(&self, verdict: Verdict) -> u64 {
        let tables = self.tables.iter();
        tables.filter(|table| table.verdict == verdict).count() as u64
    }

    /// What a job is called.
    pub fn label(&self, job: JobId) -> String {
        let found = self.jobs.iter().find(|report| report.plan.id == job);
        found.map_or_else(|| format!("job {job}"), |job| job.plan.label.clone())
    }

    /// From the first event to the last, in milliseconds.
    pub fn elapsed_ms(&self) -> u64 {
        match (self.started_at, self.ended_at) {
            (Some(from), Some(to)) => u64::try_from((to - from).num_milliseconds()).unwrap_or(0),
            _ => 0,
        }
    }
}

/// Folds events into a [`Report`]; no order of events makes it panic.
#[derive(Debug, Clone, Default)]
pub struct ReportBuilder {
    report: Report,
    places: HashMap<JobId, usize>,
    judged: HashMap<QualifiedName, usize>,
    past: Past,
    store_retries: StoreRetries,
}

impl ReportBuilder {
    /// For who knows that somebody works on the run: what came after a session's end is another one, though it has not said so.
    #[must_use]
    pub fn at_work(mut self) -> Self {
        if let Some(began) = self.past.went_on() {
            let so_far = self.report.ended_at;
            self.next_session();
            (self.report.started_at, self.report.ended_at) = (Some(began), so_far);
        }
        self
    }

    /// Folds in one event.
    pub fn apply(&mut self, event: &Event) {
        // What comes before a session's start is shown only of one that is still at work: see `at_work`.
        if matches!(event.what, What::RunStarted { .. }) && !self.report.version.is_empty() {
            self.next_session();
        }
        let report = &mut self.report;
        report.started_at.get_or_insert(event.at);
        self.past.meet(event, &mut report.ended_at);
        match &event.what {
            What::RunStarted { .. } => {
                if !report.sessions.is_empty() {
                    report.started_at = Some(event.at);
                }
                self.run_started(&event.what);
            }
            What::Planned { .. }
            | What::JobStarted { .. }
            | What::JobAdvanced { .. }
            | What::JobFinished { .. }
            | What::JobFailed { .. }
            | What::JobSkipped { .. }
            | What::JobRetried { .. } => self.job_event(event),
            What::Resumed { standing } => self.resumed(standing),
            What::Expected(told) => report.expected = Some(ExpectedReport::of(told)),
            What::SnapshotTaken { .. } | What::SnapshotReleased => self.snapshot_event(event),
            What::Finding(finding) => report.findings.push(finding.clone()),
            What::TableVerified(table) => self.judge(table),
            What::Checked { what, count } => report.count(what, *count),
            What::Difference(difference) => report.differences.push(difference.clone()),
            What::Unverified(unverified) => report.unverified.push(unverified.clone()),
            What::RowsDiffer(rows) => report.rows.push(rows.as_ref().clone()),
            What::Waived(waiver) => report.waivers.push(waiver.clone()),
            What::RepairWritten(repair) => report.repair = Some(repair.clone()),
            What::Synced(synced) => report.synced = Some(synced.as_ref().clone()),
            What::WillFollow(_)
            | What::TurnStep { .. }
            | What::FollowMoment(_)
            | What::Reserved { .. } => {
                followed::apply(report, event);
            }
            What::EmptyingTarget(now) => report.emptying = Some(self.past.emptying(*now)),
            What::InFlux { differences } => report.in_flux.extend(differences.iter().cloned()),
            What::SourceMovedOn { tables } => {
                report.source_moved_on = Some(MovedOn {
                    tables: tables.clone(),
                });
            }
            What::SourceUnchanged => report.source_unchanged_at = Some(event.at),
            What::Note { text } => report.notes.push(text.clone()),
            What::StoreRetried { .. } => self.store_retries.meet(&event.what),
            What::RunFinished {
                status,
                sentence,
                next,
            } => {
                report.status = Some(*status);
                report.sentence.clone_from(sentence);
                report.next.clone_from(next);
            }
            What::StepStarted { .. }
            | What::JobBound { .. }
            | What::JobWaits { .. }
            | What::Draining { .. } => {}
        }
    }

    /// The report of the events so far, as it stands: without what is counted at the end.
    pub fn so_far(&self) -> &Report {
        &self.report
    }

    /// The report of the events so far.
    pub fn build(mut self) -> Report {
        self.report.format = FORMAT;
        self.report.phases = PhaseReport::of(&self.report.jobs);
        self.report.notes.extend(self.store_retries.notes());
        if let Some(mut expected) = self.report.expected.take() {
            expected.settle(&self.report, self.past.worked_ms());
            self.report.expected = Some(expected);
        }
        self.report.sessions.extend(SessionReport::of(&self.report));
        self.report
    }

    /// What comes now is another session, which proves what it proves by itself: it tells everything anew, except for what is about all
    /// of them.
    pub fn next_session(&mut self) {
        self.past.remember(&mut self.report);
        let mut report = std::mem::take(&mut self.report);
        let mut sessions = std::mem::take(&mut report.sessions);
        sessions.extend(SessionReport::of(&report));
        self.report = Report {
            // It may end before it can say so itself.
            command: RunCommand::Resume,
            run_dir: report.run_dir,
            source: report.source,
            target: report.target,
            sessions,
            retries: report.retries,
            emptying: self.past.emptied(),
            ..Report::default()
        };
        self.places.clear();
        self.judged.clear();
        self.store_retries = StoreRetries::default();
    }

    /// In a sync or a turn a table may be compared more than once: what is told last counts.
    fn judge(&mut self, table: &TableVerdict) {
        let tables = &mut self.report.tables;
        let mut at = tables.len();
        if self.report.command.is_sync() {
            at = *self.judged.entry(table.table.clone()).or_insert(at);
        }
        match tables.get_mut(at) {
            Some(one) => *one = table.clone(),
            None => tables.push(table.clone()),
        }
    }

    fn resumed(&mut self, standing: &[Standing]) {
        self.report.resumed = Some(ResumedReport::of(standing));
        for Standing { job, state, why } in standing {
            let outcome = match state {
                StandingState::Done => Outcome::Kept { why: why.clone() },
                StandingState::Failed => Outcome::Failed {
                    failure: self.past.failure(*job, why),
                },
                StandingState::Redo | StandingState::Left => Outcome::Open,
            };
            if let Some(job) = self.job(*job) {
                job.outcome = outcome;
            }
        }
    }

    fn run_started(&mut self, what: &What) {
        if let What::RunStarted {
            version,
            command,
            source,
            target,
            jobs,
            verify,
            run_dir,
            narrowed_by,
        } = what
        {
            let report = &mut self.report;
            report.version.clone_from(version);
            report.command.clone_from(command);
            report.source = Some(source.clone());
            report.target = Some(target.clone());
            report.workers = *jobs;
            report.verify = Some(*verify);
            report.run_dir.clone_from(run_dir);
            report.narrowed_by.clone_from(narrowed_by);
        }
    }

    fn snapshot_event(&mut self, event: &Event) {
        if let What::SnapshotTaken {
            side,
            snapshot,
            lsn,
        } = &event.what
        {
            let of_side = self.report.snapshot_of(*side);
            of_side.get_or_insert(SnapshotReport {
                name: snapshot.clone(),
                lsn: lsn.clone(),
                taken_at: event.at,
                released_at: None,
            });
            return;
        }
        let taken = [&mut self.report.snapshot, &mut self.report.target_snapshot];
        for snapshot in taken.into_iter().flatten() {
            snapshot.released_at.get_or_insert(event.at);
        }
    }

    fn job_event(&mut self, event: &Event) {
        match &event.what {
            What::Planned {
                jobs,
                tables,
                bytes,
            } => self.plan(jobs, *tables, *bytes),
            What::JobStarted { job, .. } => {
                if let Some(job) = self.job(*job) {
                    job.started_at = Some(event.at);
                    job.outcome = Outcome::Running;
                }
            }
            What::JobAdvanced { job, rows, bytes } => {
                if let Some(job) = self.job(*job) {
                    job.rows_done = *rows;
                    job.bytes_done = *bytes;
                }
            }
            What::JobFinished {
                job,
                rows,
                bytes,
                duration_ms,
            } => {
                if let Some(job) = self.job(*job) {
                    job.ended_at = Some(event.at);
                    job.rows_done = *rows;
                    job.bytes_done = *bytes;
                    job.duration_ms = *duration_ms;
                    job.outcome = Outcome::Finished;
                }
            }
            What::JobFailed { job, failure } => {
                if let Some(job) = self.job(*job) {
                    job.ended_at = Some(event.at);
                    job.outcome = Outcome::Failed {
                        failure: failure.clone(),
                    };
                }
            }
            What::JobRetried {
                job,
                attempt,
                because,
                ..
            } => self.report.retries.push(RetryReport {
                job: *job,
                attempt: *attempt,
                because: because.clone(),
                at: event.at,
            }),
            What::JobSkipped { job, because_of } => {
                if let Some(job) = self.job(*job) {
                    job.outcome = Outcome::Skipped {
                        because_of: *because_of,
                    };
                }
            }
            _ => {}
        }
    }

    fn plan(&mut self, jobs: &[PlannedJob], tables: u32, bytes: Bytes) {
        self.report.planned_tables = Some(tables);
        self.report.planned_bytes = bytes;
        for job in jobs {
            if self.places.insert(job.id, self.report.jobs.len()).is_none() {
                self.report.jobs.push(JobReport::planned(job.clone()));
            }
        }
    }

    fn job(&mut self, job: JobId) -> Option<&mut JobReport> {
        let place = *self.places.get(&job)?;
        self.report.jobs.get_mut(place)
    }
}
