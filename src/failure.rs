//! Every error → kind, message, details, hint and exit status: the one place where errors are made readable for people.
//!
//! A module's error says what was tried, and with what. Here it gets the rest: the chain of its sources and every field of
//! the server's error as details, one sentence that a person can act on, and the status that the process will exit with.
//! Nothing is cut, and no secret comes in: the errors it is made from hold none.

mod archive;
mod comparison;
mod follow;
mod hints;
mod prepare;
mod salvage;
mod sessions;
mod statements;
mod sync;

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

use crate::execute::{Cause, ExecuteError};
use crate::model::{
    Endpoint, ExitStatus, Filter, FilterError, Finding, PatternError, Severity, remedy,
};
use crate::pg::PgError;
use crate::pg::client_tools::ClientToolError;
use crate::pg::cluster::ClusterError;
use crate::pg::connect_error::ConnectError;
use crate::pg::conninfo::ConninfoError;
use crate::pg::keeper::{HoldError, KeeperError};
use crate::pg::tls::TlsError;
use crate::plan::{DatabaseError, DumpPlanError, PlanError};
use crate::report::json::WriteError;
use crate::schedule::ScheduleError;
use crate::toc::{SplitError, TocError};

pub use hints::for_job_error;

/// What went wrong, in the coarsest terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Arguments, patterns, files that were named.
    Usage,
    /// No session: no answer, TLS fails, or the server refuses the login.
    Connection,
    /// `pg_dump` is missing, too old, or failed.
    ClientTool,
    /// The process that holds the snapshot is missing, or does not do what it should.
    Keeper,
    /// The look before the leap found something that forbids it.
    NoGo,
    /// The server refused a statement.
    Server,
    /// A session that was open is gone.
    LostConnection,
    /// A signal.
    Interrupted,
    /// The schema archive cannot be understood.
    Archive,
    /// A file or directory cannot be read or written.
    File,
    /// What the run has written is not known to be its own any more: it cannot go on.
    NotOurs,
    /// A throw-away cluster did not start.
    Cluster,
    /// A defect of pgconvoy.
    Defect,
}

/// Why a command did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What sort of thing.
    pub kind: FailureKind,
    /// One sentence: what failed, and with what.
    pub message: String,
    /// The causes, and every field of the server's error; each may have several lines.
    pub details: Vec<String>,
    /// What to do next.
    pub hint: Option<String>,
    /// What the process exits with.
    pub status: ExitStatus,
}

impl Failure {
    fn new(kind: FailureKind, status: ExitStatus, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            details: Vec::new(),
            hint: None,
            status,
        }
    }

    /// From any error: its message, and its sources as details.
    fn of(kind: FailureKind, status: ExitStatus, error: &dyn Error) -> Self {
        let message = error.to_string();
        Self {
            details: causes(error, &message),
            ..Self::new(kind, status, message)
        }
    }

    fn with_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    /// Wrong usage; nothing was touched.
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(FailureKind::Usage, ExitStatus::Usage, message).with_hint(Some(hint.into()))
    }

    /// Source and target are the same database; nothing was touched.
    pub fn same_database(target: &Endpoint) -> Self {
        Self::usage(
            format!("source and target are the same database: {target}"),
            "Check host, port and database of --target; a standby of the source is the source, too.",
        )
    }

    /// Patterns that match nothing on the source; nothing was touched.
    pub fn unmatched(filters: &[&Filter], database: &str) -> Self {
        let named: Vec<String> = filters
            .iter()
            .map(|filter| format!("{} {}", filter.kind.flag(), filter.pattern))
            .collect();
        let verb = if named.len() == 1 { "matches" } else { "match" };
        Self::usage(
            format!(
                "{} {verb} nothing in database \"{database}\"",
                named.join(", ")
            ),
            "Check the spelling: names are folded to lower case unless they are in double quotes, and * stands for any \
             characters.",
        )
    }

    /// The preflight forbids the run; nothing was touched.
    pub fn no_go(findings: &[Finding]) -> Self {
        let blockers: Vec<&Finding> = findings
            .iter()
            .filter(|finding| finding.severity == Severity::Blocker)
            .collect();
        let forbid = if blockers.len() == 1 {
            "1 finding forbids".to_owned()
        } else {
            format!("{} findings forbid", blockers.len())
        };
        let details = blockers
            .iter()
            .map(|finding| {
                format!(
                    "{} [{}]\n  what to do: {}",
                    finding.what, finding.rule, finding.remedy
                )
            })
            .collect();
        Self {
            details,
            ..Self::new(
                FailureKind::NoGo,
                ExitStatus::NoGo,
                format!("no-go: {forbid} this run; nothing was touched"),
            )
        }
    }

    /// A signal came.
    pub fn interrupted(signal: &str) -> Self {
        Self::new(
            FailureKind::Interrupted,
            ExitStatus::Interrupted,
            format!("interrupted by {signal}"),
        )
    }

    /// The run was asked to stop.
    pub fn stopped(cause: &Cause) -> Self {
        match cause {
            Cause::Signal(name) => Self::interrupted(name),
            Cause::Trouble(why) => Self::new(FailureKind::File, ExitStatus::Failed, why),
        }
    }

    /// A file or directory could not be used: `doing` as in "writing", "creating".
    pub fn file(doing: &str, path: &Path, error: &io::Error) -> Self {
        Self {
            details: vec![error.to_string()],
            ..Self::new(
                FailureKind::File,
                ExitStatus::Failed,
                format!("{doing} {} failed", path.display()),
            )
        }
        .with_hint(hints::for_io(error))
    }

    /// Something that cannot be, unless pgconvoy has a defect.
    pub fn defect(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Defect, ExitStatus::Failed, message)
            .with_hint(Some(hints::DEFECT.to_owned()))
    }

    /// Says what was being done: `doing` as in "reading the schema of the source".
    #[must_use]
    pub fn while_doing(mut self, doing: &str) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    /// The same with another exit status: a connection that cannot be made is 2 before anything was touched, and not
    /// afterwards.
    #[must_use]
    pub fn with_status(mut self, status: ExitStatus) -> Self {
        self.status = status;
        self
    }

    /// The same once something was written: whoever is told of wrong usage takes it that nothing was touched. The run can go on when what is
    /// missing is there again.
    #[must_use]
    pub fn once_begun(mut self) -> Self {
        match self.status {
            ExitStatus::Usage => {
                let hint = self.hint.take().map(hints::once_begun);
                self.with_status(ExitStatus::Interrupted).with_hint(hint)
            }
            _ => self,
        }
    }

    /// The same of a run that has something to go on with, and may still be refused: a connection that cannot be made breaks it off.
    #[must_use]
    pub fn broken_off(self) -> Self {
        match self.kind {
            FailureKind::Connection => self.once_begun(),
            _ => self,
        }
    }
}

/// What failed, then the details, indented, then the hint.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for detail in &self.details {
            for line in detail.lines() {
                write!(f, "\n  {line}")?;
            }
        }
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl Error for Failure {}

/// The messages of all sources that the text above does not say already.
fn causes(error: &dyn Error, message: &str) -> Vec<String> {
    let mut said = message.to_owned();
    let mut causes = Vec::new();
    let mut source = error.source();
    while let Some(error) = source {
        let text = error.to_string();
        if !said.contains(&text) {
            said.push_str(&text);
            causes.push(text);
        }
        source = error.source();
    }
    causes
}

impl From<ConninfoError> for Failure {
    fn from(error: ConninfoError) -> Self {
        let hint = hints::for_conninfo(&error);
        Self::of(FailureKind::Usage, ExitStatus::Usage, &error).with_hint(Some(hint))
    }
}

impl From<TlsError> for Failure {
    fn from(error: TlsError) -> Self {
        Self::of(FailureKind::Connection, ExitStatus::Usage, &error)
            .with_hint(Some(hints::TLS.to_owned()))
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let hint = hints::for_connect(&error);
        Self::of(FailureKind::Connection, ExitStatus::Usage, &error).with_hint(hint)
    }
}

impl From<PgError> for Failure {
    fn from(error: PgError) -> Self {
        match error {
            PgError::Connect(error) => error.into(),
            PgError::PasswordMissing { .. }
            | PgError::AuthenticationMethod { .. }
            | PgError::Unbound { .. } => {
                let hint = hints::for_authentication(&error);
                Self::of(FailureKind::Connection, ExitStatus::Usage, &error).with_hint(hint)
            }
            _ if error.is_lost_connection() => lost(&error),
            PgError::Server { statement, error } => {
                let text = error.to_string();
                let (first, fields) = text.split_once('\n').unwrap_or((&text, ""));
                let mut failure = Self::new(FailureKind::Server, ExitStatus::Failed, first);
                if !fields.is_empty() {
                    failure.details.push(fields.to_owned());
                }
                if !statement.as_bytes().is_empty() {
                    failure.details.push(format!("STATEMENT:  {statement}"));
                }
                failure.with_hint(remedy(&error.code).map(str::to_owned))
            }
            PgError::Io { .. } | PgError::Closed { .. } => lost(&error),
            PgError::Unread { .. } => Self::of(FailureKind::File, ExitStatus::Interrupted, &error)
                .with_hint(for_job_error(&error)),
            PgError::SnapshotLost { .. } | PgError::WorkLost { .. } | PgError::ClaimLost => {
                Self::of(FailureKind::LostConnection, ExitStatus::Interrupted, &error)
                    .with_hint(for_job_error(&error))
            }
            PgError::Protocol { .. }
            | PgError::Scan(_)
            | PgError::CountMismatch { .. }
            | PgError::Supply { .. }
            | PgError::Answer { .. } => {
                let hint = for_job_error(&error);
                Self::of(FailureKind::Server, ExitStatus::Failed, &error).with_hint(hint)
            }
        }
    }
}

fn lost(error: &PgError) -> Failure {
    Failure::of(FailureKind::LostConnection, ExitStatus::Interrupted, error)
        .with_hint(for_job_error(error))
}

impl From<DumpPlanError> for Failure {
    fn from(error: DumpPlanError) -> Self {
        Self::of(FailureKind::Archive, ExitStatus::Failed, &error)
    }
}

impl From<KeeperError> for Failure {
    fn from(error: KeeperError) -> Self {
        match error {
            // It is the keeper's connection that was refused, or one of ours: whoever came last.
            KeeperError::Session(error) if error.is_about_room() => {
                Self::from(error).with_status(ExitStatus::Usage)
            }
            KeeperError::Session(error) => error.into(),
            // What it was to hold for can be gone on with in another snapshot.
            error @ KeeperError::Gone { .. } => {
                Self::of(FailureKind::Keeper, ExitStatus::Interrupted, &error)
            }
            error => Self::of(FailureKind::Keeper, ExitStatus::Failed, &error)
                .with_hint(Some(hints::KEEPER.to_owned())),
        }
    }
}

impl From<HoldError> for Failure {
    fn from(error: HoldError) -> Self {
        Self::of(FailureKind::Keeper, ExitStatus::Failed, &error)
    }
}

impl From<ClientToolError> for Failure {
    fn from(error: ClientToolError) -> Self {
        let (status, hint) = hints::for_client_tool(&error);
        Self::of(FailureKind::ClientTool, status, &error).with_hint(hint)
    }
}

impl From<TocError> for Failure {
    fn from(error: TocError) -> Self {
        Self::of(FailureKind::Archive, ExitStatus::Failed, &error)
            .with_hint(Some(hints::ARCHIVE.to_owned()))
    }
}

impl From<SplitError> for Failure {
    fn from(error: SplitError) -> Self {
        Self::of(FailureKind::Archive, ExitStatus::Failed, &error)
            .with_hint(Some(hints::ARCHIVE.to_owned()))
    }
}

impl From<ExecuteError> for Failure {
    fn from(error: ExecuteError) -> Self {
        match error {
            ExecuteError::Schedule(error) => error.into(),
            // Work has begun: whatever happened to the connection, the target is not as it was.
            ExecuteError::Lost { job, source } => Self::from(source)
                .while_doing(&job)
                .with_status(ExitStatus::Interrupted),
            // Its own error says whether somebody has to make room, or a resumed run helps itself.
            ExecuteError::Stuck { job, source } => Self::from(source).while_doing(&job),
            ExecuteError::Stopped => Self::interrupted("a signal"),
            ExecuteError::Panicked { job, source } => {
                let failure = Self::defect(format!("{job} ended abnormally"));
                Self {
                    details: vec![source.to_string()],
                    ..failure
                }
            }
        }
    }
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Self {
        let hint = "Create the target database yourself, with what its server supports, and leave --create out.";
        Self::of(FailureKind::NoGo, ExitStatus::NoGo, &error).with_hint(Some(hint.to_owned()))
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        let hint = hints::for_plan(&error);
        // There something else can be asked for.
        let status = if matches!(error, PlanError::ForeignRows { .. }) {
            ExitStatus::Usage
        } else {
            ExitStatus::Failed
        };
        Self::of(FailureKind::Archive, status, &error).with_hint(Some(hint))
    }
}

impl<K: fmt::Debug + fmt::Display> From<ScheduleError<K>> for Failure {
    fn from(error: ScheduleError<K>) -> Self {
        Self::defect(error.to_string())
    }
}

impl From<FilterError> for Failure {
    fn from(error: FilterError) -> Self {
        let hint = hints::for_filter(&error);
        let mut failure = Self::of(FailureKind::Usage, ExitStatus::Usage, &error);
        // The option or line alone says nothing: what is wrong with it belongs into the same sentence.
        if !failure.details.is_empty() {
            let cause = failure.details.remove(0);
            failure.message = format!("{}: {cause}", failure.message);
        }
        failure.with_hint(Some(hint))
    }
}

impl From<PatternError> for Failure {
    fn from(error: PatternError) -> Self {
        Self::of(FailureKind::Usage, ExitStatus::Usage, &error)
            .with_hint(Some(hints::PATTERN.to_owned()))
    }
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        let hint = hints::for_cluster(&error);
        Self::of(FailureKind::Cluster, ExitStatus::Failed, &error).with_hint(hint)
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        let hint = match &error {
            WriteError::Write { source, .. } => hints::for_io(source),
            WriteError::Encode(_) => Some(hints::DEFECT.to_owned()),
        };
        Self::of(FailureKind::File, ExitStatus::Failed, &error).with_hint(hint)
    }
}

#[cfg(test)]
mod tests;
