//! What goes wrong when the target is made ready: created, emptied, or cleared of a part.

use super::{Failure, FailureKind};
use crate::execute::clear::ClearError;
use crate::execute::prepare::PrepareError;
use crate::model::ExitStatus;

impl From<PrepareError> for Failure {
    fn from(error: PrepareError) -> Self {
        let hint = match &error {
            PrepareError::Exists { database } => {
                format!("Leave --create out, or name it with --overwrite {database} to empty it first.")
            }
            PrepareError::Subscriptions { .. } => {
                "Drop the subscriptions yourself (DROP SUBSCRIPTION), then try again.".to_owned()
            }
            PrepareError::NotYours { .. } => {
                "Connect as their owner or as a superuser, or move into a new database with --create.".to_owned()
            }
            _ => "Look at what the server says; the target may be partly emptied or created by now.".to_owned(),
        };
        let status = match &error {
            PrepareError::Exists { .. } => ExitStatus::NoGo,
            _ => ExitStatus::Failed,
        };
        Self::of(FailureKind::Server, status, &error).with_hint(Some(hint))
    }
}

impl From<ClearError> for Failure {
    fn from(error: ClearError) -> Self {
        let source = match &error {
            ClearError::Drop { source, .. } | ClearError::Empty { source } => source,
        };
        let hint = match source.code() {
            // undefined_table, undefined_object, undefined_function, invalid_schema_name
            Some("42P01" | "42704" | "42883" | "3F000") => {
                "With --if-exists, what is not there is passed over. Nothing was dropped."
            }
            Some("2BP01") => {
                "Something that is not in the archive needs it: drop that yourself first. Nothing was dropped."
            }
            Some("53200") => {
                "All is dropped in one transaction: raise max_locks_per_transaction on the target. Nothing was dropped."
            }
            _ => "Nothing was dropped or emptied; look at what the server says.",
        };
        Self::of(FailureKind::Server, ExitStatus::Failed, &error).with_hint(Some(hint.to_owned()))
    }
}
