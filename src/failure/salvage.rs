//! What keeps a damaged source from being searched.

use super::{Failure, FailureKind};
use crate::model::ExitStatus;
use crate::salvage::SalvageError;

impl From<SalvageError> for Failure {
    fn from(error: SalvageError) -> Self {
        match error {
            SalvageError::Pg(error) => Self::from(error).while_doing("looking for damage"),
            SalvageError::NotBack(error) => Self::from(error).while_doing(
                "waiting for the source, which has ended a session that was reading it",
            ),
            SalvageError::File { .. } => Self::of(FailureKind::File, ExitStatus::Failed, &error)
                .with_hint(Some(
                    "Make room for the run directory, or name another with --run-dir.".to_owned(),
                )),
            SalvageError::Strange(_) => Self::of(FailureKind::Server, ExitStatus::Failed, &error),
        }
    }
}
