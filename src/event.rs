//! What a run tells the world: the one contract between a run and its displays.
//!
//! ```text
//!   cli, execute, verify ──► Event ──► events.jsonl ──► (later) watch, report
//!                                 └──► progress: terminal bars | plain lines | JSON
//! ```
//!
//! Whoever works emits events and knows nothing of displays. A display folds events into state and never asks a
//! server, so a recorded run replays through the same code. Pure: the time of an event is stamped by its sender.

#[cfg(test)]
pub(crate) mod testing;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::model::{
    Bytes, Difference, DumpId, Endpoint, ExitStatus, Finding, FollowMoment, FollowedBy, JobId,
    RepairFile, Rows, RowsDiffer, RunCommand, ServerError, Side, Synced, TableVerdict, TurnStep,
    Unverified, VerifyLevel, Waiver, Word,
};

/// One thing that happened, and when. One line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When it happened, by this machine's clock.
    pub at: DateTime<Utc>,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// The phases a person thinks in. Jobs of several phases run at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Pre-data: types, functions, tables.
    Schema,
    /// Rows and large objects.
    Data,
    /// Indexes, primary keys and other constraints that build an index.
    Indexes,
    /// Foreign keys and check constraints.
    ForeignKeys,
    /// Statistics, materialized views, triggers, policies, grants, and what else remains.
    Finish,
    /// Reading back and comparing.
    Verify,
}

/// What is planned for one job, as far as a display needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedJob {
    /// The job's number.
    pub id: JobId,
    /// Its phase.
    pub phase: Phase,
    /// What it does, for a person: `copy public.statuses 3/7`, `index index_statuses_on_uri`.
    pub label: String,
    /// Expected size of the work: bytes to read, or the size of the index or table it works on.
    pub bytes: Bytes,
    /// Expected rows, from the source's statistics; 0 when unknown.
    pub rows: Rows,
}

/// The entry of the table of contents a job came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryRef {
    /// `pg_dump`'s identifier of the entry.
    pub dump_id: DumpId,
    /// Its kind: `INDEX`, `FK CONSTRAINT`, …
    pub desc: Word,
    /// Schema and tag, as `pg_restore -l` shows them.
    pub tag: String,
    /// Owner.
    pub owner: Word,
}

/// Why a job failed, whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFailure {
    /// The entry, if the job came from one.
    pub entry: Option<EntryRef>,
    /// The statement that failed, whole.
    pub statement: Option<String>,
    /// One sentence.
    pub message: String,
    /// The server's own error, every field.
    pub server_error: Option<ServerError>,
    /// What to do next.
    pub hint: Option<String>,
    /// The file under `failed/` that keeps all this; relative to the run directory.
    pub file: Option<String>,
}

/// How far emptying the target is (`--overwrite`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emptying {
    /// What is to be dropped: everything that it held when the session began, but for the sign of a run.
    pub objects: u64,
    /// How many of these are gone for certain; one transaction drops some at a time, and whether the last one was committed may be unknown.
    pub dropped: u64,
}

/// Where a job stands when a run is resumed, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Which.
    pub job: JobId,
    /// Done, to be done again, or left.
    pub state: StandingState,
    /// Why: a clause.
    pub why: String,
}

/// What there is to do for a job of a resumed run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StandingState {
    /// An earlier session did it; it stays.
    Done,
    /// An earlier session did it, and it is done again.
    Redo,
    /// Nobody has done it.
    Left,
    /// It failed in an earlier session, and is not tried again in this one.
    Failed,
}

/// Who sets the pace of a job: whoever the others wait for.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// The source, or the way from it.
    Source,
    /// The target, or the way to it.
    Target,
    /// Our own machine.
    Client,
    /// No side much more than the others.
    #[default]
    Nobody,
}

/// Whether a job that has not moved is worked on all the same, as far as its server lets anybody see.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum AtWork {
    /// It waits for somebody, or nobody knows.
    #[default]
    Unknown,
    /// The server is at it, and shows how far it is.
    Shown,
    /// The server is at it, and has no figures for how far: displays may guess.
    Unshown,
}

/// What an earlier run, or else the plan's own costs, make us expect of this one; and the clock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// What the earlier run was: `rehearsal` or `earlier run`; `None` without one: then it is by rough rates.
    pub by: Option<String>,
    /// The earlier run's directory.
    pub baseline: Option<String>,
    /// From the first job to the end, on this plan's scale, in milliseconds.
    pub total_ms: Option<u64>,
    /// Of that, what comes after the last job, in milliseconds: 0 if it is not known.
    #[serde(default)]
    pub after_ms: u64,
    /// The time that there is for all of it, in milliseconds.
    pub window_ms: Option<u64>,
    /// How long each job should take.
    pub jobs: Vec<ExpectedJob>,
}

/// How long a job should take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedJob {
    /// Which.
    pub job: JobId,
    /// In milliseconds.
    pub duration_ms: u64,
    /// How long the jobs should take that wait for it, one after the other: the longest chain of them, in milliseconds. No number of
    /// workers is faster.
    #[serde(default)]
    pub then_ms: u64,
}

/// Takes events in. Whoever works is given one, and knows nothing of what is behind it.
pub trait Emit: Send + Sync {
    /// Something happened, now.
    fn emit(&self, what: What);
}

/// What can happen. New kinds may be added; a reader skips what it does not know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// First event of a session: what is moved, or compared with what.
    RunStarted {
        /// pgconvoy's own version.
        version: String,
        /// The command.
        command: RunCommand,
        /// Where from.
        source: Endpoint,
        /// Where to.
        target: Endpoint,
        /// Number of workers.
        jobs: u32,
        /// What will be proven.
        verify: VerifyLevel,
        /// The run directory.
        run_dir: String,
        /// The options that leave a part of the database out, as they would be given: `--table=public.users`, `--no-owner`.
        #[serde(default)]
        narrowed_by: Vec<String>,
    },
    /// A named step of the command began: `reading the schema`, `copying and building`, …
    StepStarted {
        /// What is being done, as a present participle, for a person.
        step: String,
    },
    /// The preflight found something.
    Finding(Finding),
    /// All reads of one side will see this snapshot: those of the source in a move, those of each side in a comparison.
    SnapshotTaken {
        /// Whose; a record without it is of the source's.
        #[serde(default)]
        side: Side,
        /// As `pg_export_snapshot` names it.
        snapshot: String,
        /// Write-ahead log position at that moment.
        lsn: String,
    },
    /// The last read in the snapshots has ended; they are given back.
    SnapshotReleased,
    /// What the target holds is being dropped: told before the first statement, and after each that is committed.
    EmptyingTarget(Emptying),
    /// The plan is made.
    Planned {
        /// Every job.
        jobs: Vec<PlannedJob>,
        /// Number of tables whose rows will be copied, or compared.
        tables: u32,
        /// Estimated bytes of table data, as stored on the source.
        bytes: Bytes,
    },
    /// What an earlier run, or the clock, makes us expect. Follows `Planned`.
    Expected(Box<Expected>),
    /// A worker took a job.
    JobStarted {
        /// Which.
        job: JobId,
        /// The worker's number, from 0.
        worker: u32,
    },
    /// A job is so far.
    JobAdvanced {
        /// Which.
        job: JobId,
        /// Rows since the job's start.
        rows: Rows,
        /// Bytes since the job's start.
        bytes: Bytes,
    },
    /// Another side than before sets the pace of a running job.
    JobBound {
        /// Which.
        job: JobId,
        /// Which side.
        bound: Bound,
    },
    /// A job is done and its work is committed.
    JobFinished {
        /// Which.
        job: JobId,
        /// Rows it handled, where that means something.
        rows: Rows,
        /// Bytes it handled.
        bytes: Bytes,
        /// How long it took.
        duration_ms: u64,
    },
    /// A job failed and was rolled back.
    JobFailed {
        /// Which.
        job: JobId,
        /// Why, whole.
        failure: Box<JobFailure>,
    },
    /// A job was not started, because one that it needs failed or was itself skipped.
    JobSkipped {
        /// Which.
        job: JobId,
        /// Because of which.
        because_of: JobId,
    },
    /// A session goes on with an earlier one's work: where each job of the plan stands. Follows `Planned`.
    Resumed {
        /// Every job of the plan.
        standing: Vec<Standing>,
    },
    /// A job was broken off by something that may pass, was rolled back, and will be tried again.
    JobRetried {
        /// Which.
        job: JobId,
        /// How many times it has been tried so far.
        attempt: u32,
        /// What broke it off: one sentence.
        because: String,
        /// How long we wait before the next attempt.
        wait_ms: u64,
    },
    /// Requests to an object store that went wrong in a way that may pass, and are sent again; told now and then.
    StoreRetried {
        /// The bucket: `s3://backups`.
        store: String,
        /// The last of them, and what was wrong: a clause.
        because: String,
        /// How many they are since the last of these events.
        requests: u64,
    },
    /// A running job has not moved for a while, and this is what the server says about it; said again when that changes.
    JobWaits {
        /// Which.
        job: JobId,
        /// The server that was asked.
        side: Side,
        /// A sentence for a person: `waits for a lock on public.users that pid 123 (psql, role bob) holds`.
        what: String,
        /// Whether it is worked on all the same.
        #[serde(default)]
        at_work: AtWork,
    },
    /// Asked to stop, the run lets what is running come to an end, for a while.
    Draining {
        /// The signal, or another reason.
        signal: String,
        /// Jobs that are running.
        jobs: u32,
        /// Seconds that they are given.
        seconds: u64,
    },
    /// A table was compared.
    TableVerified(TableVerdict),
    /// Something other than a table's rows was compared and found the same.
    Checked {
        /// What, in a few words: `indexes`, `constraints`, `sequences`, …
        what: String,
        /// How many of them.
        count: u64,
    },
    /// Source and target differ.
    Difference(Difference),
    /// Something could not be verified.
    Unverified(Unverified),
    /// Which rows of a table differ; follows the table's verdict.
    RowsDiffer(Box<RowsDiffer>),
    /// What is passed over because the operator said so by name.
    Waived(Waiver),
    /// Differences that were found at first, and no longer when they were looked at again.
    InFlux {
        /// What differed for a while.
        differences: Vec<Difference>,
    },
    /// The SQL that would make what differs the same is in a file.
    RepairWritten(RepairFile),
    /// What differed was changed on the target, all in one transaction, or would be.
    Synced(Box<Synced>),
    /// A step of a turn from one side to the other is taken from here on.
    TurnStep {
        /// Which.
        turn_step: TurnStep,
    },
    /// What has happened between two databases that follow each other: as it happens, and at the beginning of a turn what has
    /// happened before.
    FollowMoment(Box<FollowMoment>),
    /// Of a session that goes on with a turn: what the turn is not proven in, by what earlier ones have found or were asked for.
    Reserved {
        /// As a clause.
        reserved: String,
    },
    /// Once its copy is proven, the target is to follow the source, which keeps its log for it from the snapshot on.
    WillFollow(FollowedBy),
    /// The source was written to after the snapshot: the copy is of the snapshot, not of now.
    SourceMovedOn {
        /// Tables with writes since the snapshot and how many, where the statistics say so; may be empty.
        tables: Vec<(String, u64)>,
    },
    /// Nothing was written to the source since the snapshot, up to the moment of this event: no transaction has begun
    /// anywhere on its server. For certain, and cheap to know.
    SourceUnchanged,
    /// Something worth a line.
    Note {
        /// A sentence.
        text: String,
    },
    /// Last event of a session.
    RunFinished {
        /// What the process will exit with.
        status: ExitStatus,
        /// One sentence: what is proven and what is not, or what went wrong.
        sentence: String,
        /// What to do next, if anything.
        next: Option<String>,
    },
}
