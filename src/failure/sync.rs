//! What keeps a target from being brought to the source's present.

use super::{Failure, FailureKind, hints};
use crate::model::ExitStatus;
use crate::sync::SyncError;

impl From<SyncError> for Failure {
    fn from(error: SyncError) -> Self {
        let message = error.to_string();
        let told = |failure: Self| failure.while_doing(&message);
        let of = |kind, status, hint: &str| {
            Self::of(kind, status, &error).with_hint(Some(hint.to_owned()))
        };
        match error {
            SyncError::Schema { .. } => of(
                FailureKind::NoGo,
                ExitStatus::NoGo,
                "Make the same change on the target (pgconvoy verify --repair FILE writes the SQL for most), or move again.",
            ),
            SyncError::Unread { .. } => of(
                FailureKind::NoGo,
                ExitStatus::NoGo,
                "Connect as a role that may read all of it, or leave it out by name (-T, -N).",
            ),
            SyncError::Unlocked { .. } => of(
                FailureKind::NoGo,
                ExitStatus::NoGo,
                "Run the same command again when the target's schema is not being changed.",
            ),
            SyncError::PartOfTree { .. } => of(
                FailureKind::NoGo,
                ExitStatus::NoGo,
                "Leave all of it out, or none of it (-T, -t).",
            ),
            SyncError::ForeignRows { .. } => of(
                FailureKind::NoGo,
                ExitStatus::NoGo,
                "Leave it out with all of its partitions (-T for each, or --exclude-table-and-children), or detach the foreign ones \
                 on both sides for as long as the sync runs.",
            ),
            SyncError::Unidentified { .. } => of(
                FailureKind::NoGo,
                ExitStatus::NoGo,
                "Give it another on both sides: ALTER TABLE … REPLICA IDENTITY FULL, or DEFAULT if it has a primary key.",
            ),
            SyncError::InTheWay { .. } => of(
                FailureKind::NoGo,
                ExitStatus::NoGo,
                "Connect to the target as a superuser: then it need not be moved.",
            ),
            SyncError::LargeObjects { .. } => {
                of(FailureKind::Server, ExitStatus::Failed, hints::DEFECT)
            }
            SyncError::Rows { .. } => of(FailureKind::Defect, ExitStatus::Failed, hints::DEFECT),
            SyncError::ForeignKey { .. } => of(
                FailureKind::Server,
                ExitStatus::Failed,
                "Sync the table that it points to as well (leave -t and -n out); if the source's own rows violate it, fix them there.",
            ),
            SyncError::WrittenAlong { .. } => of(
                FailureKind::Server,
                ExitStatus::Failed,
                "An event trigger, or a function that a materialized view calls, does so: disable it on the target for as long as \
                 the sync runs.",
            ),
            SyncError::Lock(source)
            | SyncError::Step { source, .. }
            | SyncError::Unguarded(source) => told(Self::from(source)),
            SyncError::Commit(source) | SyncError::Sequences(source) => told(Self::from(source))
                .with_hint(Some(
                    "Run the same command again: it does what is left.".to_owned(),
                )),
        }
    }
}
