//! What goes wrong when the target is made ready: created, emptied, or cleared of a part, and given its ledger.

use std::error::Error;

use super::{Failure, FailureKind};
use crate::execute::clear::ClearError;
use crate::execute::prepare::PrepareError;
use crate::model::{ExitStatus, FollowName, SqlText};
use crate::pg::PgError;

impl Failure {
    /// The ledger could not be made. Its statements are not shown: they say nothing of the reason, and hold the whole plan.
    pub fn making_ledger(error: PgError) -> Self {
        let hint = match error.code() {
            // insufficient_privilege
            Some("42501") => Some(
                "The role must be allowed to create schemas there, and to drop one called pgconvoy that has nothing in it: connect to the \
                 target as the owner of the database, or have that role GRANT CREATE ON DATABASE to this one.",
            ),
            // dependent_objects_still_exist, duplicate_schema
            Some("2BP01" | "42P06") => Some(
                "There is a schema of that name that is not this run's: if it is yours, give it another name (ALTER SCHEMA pgconvoy RENAME \
                 TO …); if it is the ledger of another run, finish that one.",
            ),
            _ => None,
        };
        let error = match error {
            PgError::Server { error, .. } => PgError::Server {
                statement: SqlText::default(),
                error,
            },
            other => other,
        };
        let failure =
            Self::from(error).while_doing("creating the ledger, schema pgconvoy, on the target");
        match hint {
            Some(hint) => failure.with_hint(Some(hint.to_owned())),
            None => failure,
        }
    }
}

impl From<PrepareError> for Failure {
    fn from(error: PrepareError) -> Self {
        let hint = match &error {
            PrepareError::Exists { database } => {
                format!("Leave --create out, or name it with --overwrite {database} to empty it first.")
            }
            PrepareError::Subscriptions { names, .. }
                if names.iter().any(|name| FollowName::parse(name).is_some()) =>
            {
                "It follows a source since pgconvoy move --follow: stop that first (pgconvoy unfollow), then try again.".to_owned()
            }
            PrepareError::Subscriptions { .. } => {
                "Drop the subscriptions yourself (DROP SUBSCRIPTION), then try again.".to_owned()
            }
            PrepareError::Taken { .. } => {
                "If you need that schema, take it to another database: --overwrite drops everything, also what you rename. Then drop it yourself \
                 (DROP SCHEMA pgconvoy CASCADE), and try again."
                    .to_owned()
            }
            PrepareError::NotYours { .. } => {
                "Connect as their owner or as a superuser, or move into a new database with --create.".to_owned()
            }
            _ if is_lost(&error) => "The target may be partly emptied or created by now: resume the run.".to_owned(),
            _ => "Look at what the server says; the target may be partly emptied or created by now.".to_owned(),
        };
        let status = match &error {
            PrepareError::Exists { .. } => ExitStatus::NoGo,
            _ if is_lost(&error) => ExitStatus::Interrupted,
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
                "Everything is dropped in one transaction: raise max_locks_per_transaction on the target. Nothing was dropped."
            }
            _ if is_lost(&error) => {
                "Whether anything was dropped or emptied is not known: resume the run."
            }
            _ => "Nothing was dropped or emptied; look at what the server says.",
        };
        let status = if is_lost(&error) {
            ExitStatus::Interrupted
        } else {
            ExitStatus::Failed
        };
        Self::of(FailureKind::Server, status, &error).with_hint(Some(hint.to_owned()))
    }
}

/// Whether the server was lost meanwhile, so that a resumed run goes on.
fn is_lost(error: &dyn Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref());
    source.is_some_and(PgError::is_lost_connection)
}
