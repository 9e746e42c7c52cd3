//! What keeps an archive from being written or read; of stores, whose credentials, names or networks they are.

use super::{Failure, FailureKind, hints};
use crate::archive::{ArchiveError, StoreError};
use crate::execute::dump::DumpError;
use crate::model::ExitStatus;
use crate::toc::TocError;

const ANOTHER_COPY: &str = "Use another copy of the archive, or dump again.";

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        let error = match error {
            // Unlike what pg_dump has written just now, it may be anybody's, or nothing of the kind.
            ArchiveError::Contents(error) => {
                let hint = of_contents(&error).map(str::to_owned);
                return Self::from(error).with_hint(hint);
            }
            error => error,
        };
        let (status, hint) = what_to_do(&error);
        let kind = match &error {
            ArchiveError::Store { .. } => FailureKind::Connection,
            ArchiveError::NotOurs { .. } => FailureKind::NotOurs,
            _ => FailureKind::File,
        };
        Self::of(kind, status, &error).with_hint(hint)
    }
}

/// What a run ends with, and what can be done about it.
fn what_to_do(error: &ArchiveError) -> (ExitStatus, Option<String>) {
    match error {
        ArchiveError::Exists { .. } => (
            ExitStatus::Usage,
            Some("Name another directory, or remove this one if it is not needed.".to_owned()),
        ),
        ArchiveError::NotOurs { .. } => (
            ExitStatus::Failed,
            Some(
                "Look for what writes or removes files there: another run, a clean-up, a rule of the bucket. There is no archive, and this \
                 dump cannot go on: remove what is there if it is not needed, and dump again, or dump under another name."
                    .to_owned(),
            ),
        ),
        ArchiveError::Lost { .. } => (
            ExitStatus::Failed,
            Some(
                "Look for what removes or changes files there: a clean-up, a rule of the bucket, another run. Then resume: what is missing is \
                 dumped again."
                    .to_owned(),
            ),
        ),
        ArchiveError::Busy { .. } => (
            ExitStatus::Usage,
            Some("Wait for it, or watch it: pgconvoy watch.".to_owned()),
        ),
        ArchiveError::Nothing { .. } => (
            ExitStatus::Usage,
            Some("Check the bucket, and the prefix after it. An archive that is one object (pg_dump -Fc) has to be downloaded first.".to_owned()),
        ),
        ArchiveError::NotAFile { .. } => (
            ExitStatus::Usage,
            Some("Write the dump into a file, and name that.".to_owned()),
        ),
        ArchiveError::NotFinished { .. } => (
            ExitStatus::Usage,
            Some(
                "Finish it with pgconvoy resume and the directory of its run, or dump again under another name."
                    .to_owned(),
            ),
        ),
        ArchiveError::NoManifest { .. } | ArchiveError::Format { .. } => (ExitStatus::Usage, None),
        ArchiveError::Narrowed { .. } => (
            ExitStatus::NoGo,
            Some(
                "Nothing was touched, and nothing of it was used: this manifest is not as pgconvoy writes it, or was written by a \
                 later version. Use the archive as it was dumped."
                    .to_owned(),
            ),
        ),
        ArchiveError::Store { source, .. } => of_store(source),
        ArchiveError::File { source, .. } if error.is_about_the_run() => {
            (ExitStatus::Failed, hints::for_io(source))
        }
        ArchiveError::File { source, .. } => (ExitStatus::Failed, hints::for_archive(source)),
        ArchiveError::Manifest { .. } => (ExitStatus::Failed, Some(ANOTHER_COPY.to_owned())),
        ArchiveError::Data { .. } | ArchiveError::Contents(_) => (ExitStatus::Failed, None),
    }
}

impl Failure {
    /// For an archive that is looked at before anything is done with it.
    pub fn refused_archive(error: ArchiveError) -> Self {
        let hint = match &error {
            ArchiveError::Data { .. } => Some(ANOTHER_COPY),
            ArchiveError::Contents(error) => of_contents(error),
            _ => return error.into(),
        };
        let untouched = "Nothing was touched.";
        let hint = hint.map_or(untouched.to_owned(), |hint| format!("{untouched} {hint}"));
        Self::from(error)
            .with_hint(Some(hint))
            .with_status(ExitStatus::NoGo)
    }
}

/// What can be done about a table of contents that somebody has named; some say it themselves.
fn of_contents(error: &TocError) -> Option<&'static str> {
    Some(match error {
        TocError::Open { .. } | TocError::Read { .. } => {
            "Check that it is an archive of pg_dump or pgconvoy dump, and who may read it."
        }
        TocError::NotAnArchive { .. } => {
            "Name an archive of pgconvoy dump, or of pg_dump -Fd, -Fc or -Ft."
        }
        TocError::Truncated { .. } | TocError::Damaged { .. } | TocError::TrailingBytes { .. } => {
            ANOTHER_COPY
        }
        _ => return None,
    })
}

impl From<DumpError> for Failure {
    fn from(error: DumpError) -> Self {
        match error {
            DumpError::Source { job, source } => Self::from(source).while_doing(&job),
            // Some of it is there already, and goes on when the store does what it should.
            DumpError::Archive(error @ ArchiveError::Store { .. }) => {
                Self::from(error).with_status(ExitStatus::Interrupted)
            }
            DumpError::Archive(error) => error.into(),
            DumpError::Job { job, source } => {
                Self::from(DumpError::Archive(*source)).while_doing(&job)
            }
            DumpError::Stopped => Self::interrupted("a request to stop"),
            DumpError::Panicked(_) => Self::defect(error.to_string()),
        }
    }
}

/// Before anything was touched.
fn of_store(error: &StoreError) -> (ExitStatus, Option<String>) {
    let hint = match error {
        StoreError::Name { .. } => {
            "Name it like s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or file:///directory."
        }
        StoreError::Settings { .. } => {
            "Check the variables that begin with AWS_, GOOGLE_ or AZURE_; `pgconvoy dump --help` names them."
        }
        StoreError::NoCredentials { .. } => {
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (for Google GOOGLE_SERVICE_ACCOUNT, for Azure \
             AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY) in the environment."
        }
        StoreError::Refused { .. } => {
            "Check the credentials in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, …), AWS_REGION, this machine's clock, \
             and that they may list, read, write and remove objects there."
        }
        StoreError::NoBucket { .. } => {
            "Check its name, AWS_REGION and AWS_ENDPOINT; the bucket has to exist already: pgconvoy does not create it."
        }
        StoreError::Unreachable { .. } => {
            "Check AWS_ENDPOINT (or AZURE_ENDPOINT), the network, and that a store answers there."
        }
        StoreError::Stopped => return (ExitStatus::Interrupted, None),
        StoreError::Missing | StoreError::Answer { .. } | StoreError::NotAsSent { .. } => {
            return (ExitStatus::Failed, None);
        }
    };
    (ExitStatus::Usage, Some(hint.to_owned()))
}
