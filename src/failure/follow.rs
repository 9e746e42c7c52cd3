//! What keeps one database from following another, or from taking over.

use super::{Failure, FailureKind};
use crate::follow::FollowError;
use crate::model::ExitStatus;

impl From<FollowError> for Failure {
    fn from(error: FollowError) -> Self {
        let error = match error {
            FollowError::Step { doing, source } => return Self::from(source).while_doing(&doing),
            other => other,
        };
        let of = |status, hint: &str| {
            let kind = match status {
                ExitStatus::Usage => FailureKind::Usage,
                ExitStatus::NoGo => FailureKind::NoGo,
                _ => FailureKind::Server,
            };
            Self::of(kind, status, &error).with_hint(Some(hint.to_owned()))
        };
        match &error {
            FollowError::State { .. } => of(
                ExitStatus::Failed,
                "Use the version of pgconvoy that made it.",
            ),
            FollowError::NoState { .. } => of(
                ExitStatus::Usage,
                "Point --target at a database that was moved with --follow; to remove what an interrupted move has made, give --source as well.",
            ),
            FollowError::Follows { .. } => of(
                ExitStatus::NoGo,
                "To move again, stop following first: pgconvoy unfollow.",
            ),
            FollowError::NoTable { .. } => of(ExitStatus::Usage, "Write it as SCHEMA.TABLE."),
            FollowError::Tables { .. } => of(
                ExitStatus::NoGo,
                "Start it again when the source's schema is not being changed.",
            ),
            FollowError::NotProven => of(
                ExitStatus::Failed,
                "Fix what differs and resume the move, or stop following: pgconvoy unfollow.",
            ),
            FollowError::NotRead { .. } => of(
                ExitStatus::Failed,
                "The target's log says what keeps its worker from reading; if the address leads to a different server from there, \
                 give --source-from-target. Then: pgconvoy follow.",
            ),
            FollowError::SlotLost { .. } => of(
                ExitStatus::Failed,
                "Stop following (pgconvoy unfollow), and move again; or bring the target up to date with pgconvoy sync.",
            ),
            FollowError::NotApplied { .. } => of(
                ExitStatus::Failed,
                "pgconvoy status --target shows how far it is; run the same command again once it keeps up, or with a longer --patience.",
            ),
            FollowError::NotNow { remedy, .. } => of(ExitStatus::Failed, remedy),
            FollowError::Writers { .. } => of(
                ExitStatus::Failed,
                "End them, or connect as a role that may (pg_signal_backend), and run the same command again.",
            ),
            FollowError::Differs { .. } => of(
                ExitStatus::Different,
                "The report names what differs; the side that was in service still is.",
            ),
            FollowError::Step { .. } => Self::defect(error.to_string()),
        }
    }
}
