//! What keeps two databases from being compared as was asked for.

use super::{Failure, FailureKind};
use crate::model::ExitStatus;
use crate::verify::IgnoreError;
use crate::verify::repair::RepairError;

impl From<IgnoreError> for Failure {
    fn from(error: IgnoreError) -> Self {
        Self::usage(
            error.to_string(),
            "Rules are schema:NAME, table:SCHEMA.NAME, column:SCHEMA.TABLE.COLUMN, class:CLASS and CLASS:OBJECT, with classes \
             and objects as a report names them.",
        )
    }
}

impl From<RepairError> for Failure {
    fn from(error: RepairError) -> Self {
        Self::of(FailureKind::Server, ExitStatus::Failed, &error)
    }
}
